/*
 * descriptors.h - how many files the process may open, and the connections that follow from it.
 */
#ifndef SERVER_DESCRIPTORS_H
#define SERVER_DESCRIPTORS_H

#include "server/gateway_conf.h"

/* Client connections of the whole process: as configured, or by the limit of open files. */
uint64_t descriptors_connections(const struct limits_conf *conf);

/* Raise the limit to what the process may have; logged when it cannot be done. */
void descriptors_raise(void);

#endif /* SERVER_DESCRIPTORS_H */
