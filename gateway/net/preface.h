/*
 * preface.h - bytes that are said first on a connection being dialled, before its transport's own:
 * a PROXY header before TLS.
 *
 * To the owner this is a part of the handshake (conn_set_transport()). The preface stays afterwards
 * and tells what the connection was begun with.
 */
#ifndef NET_PREFACE_H
#define NET_PREFACE_H

#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>

struct conn;
struct preface;

enum { PREFACE_MAX = 4096 /* bytes */ };

/* A copy of at most PREFACE_MAX bytes. NULL when out of memory. */
struct preface *preface_new(struct sluice_span bytes);
void preface_free(struct preface **preface);

/* Say it on a connection that was just dialled, to which it is lent for as long as that is open. */
void preface_say(struct conn *conn, struct preface *preface);

/* Was it these bytes? NULL: was it nothing? */
bool preface_is(const struct preface *preface, struct sluice_span bytes);

#endif /* NET_PREFACE_H */
