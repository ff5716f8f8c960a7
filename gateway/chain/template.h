/*
 * template.h - text with ${attributes}, compiled once. Private to chain/.
 *
 *   ${consumer.name}            an attribute
 *   ${consumer.name:-anyone}    or this when it is not set
 *   ${request.field.NAME}       a field of the request; ${response.field.NAME} of the response
 *   ${client.address/24/64}     an address cut to a network: bits for IPv4 and IPv6
 *   $${                         a plain ${
 */
#ifndef CHAIN_TEMPLATE_H
#define CHAIN_TEMPLATE_H

#include "base/arena.h"
#include "base/text.h"

struct attributes;
struct sluice_exchange;
struct sluice_template;

/*
 * Compile into the arena; NULL when it is malformed: why says how. attributes NULL: only look.
 */
const struct sluice_template *template_new(struct sluice_span text, struct attributes *attributes,
                                           struct arena *arena, struct text *why);

/* In the exchange's memory; NULL when that is not to be had. */
struct sluice_span template_render(const struct sluice_template *template,
                                   struct sluice_exchange *ex);

#endif /* CHAIN_TEMPLATE_H */
