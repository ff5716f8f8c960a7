/*
 * origins.h - filling the memory of where values were written (private to config).
 */
#ifndef CONFIG_ORIGINS_H
#define CONFIG_ORIGINS_H

#include "config/shape.h"

/*
 * Remember that the value at address was written at at. origins may be NULL; a place without a
 * line is a preset and not kept.
 */
void origins_add(struct origins *origins, const void *address, struct mark at);

#endif /* CONFIG_ORIGINS_H */
