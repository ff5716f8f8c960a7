/*
 * catalogue.h - the plugins that there are, and what a list of them may say.
 *
 * For the JSON Schema and the reference page: the tables that bind a plugin's options print them.
 *
 * Owns:    the loaded files.
 * Threads: the control thread.
 */
#ifndef CHAIN_CATALOGUE_H
#define CHAIN_CATALOGUE_H

#include "config/shape.h"

struct catalogue;

/*
 * Load every plugin of SLUICE_PLUGINS and of the installation. What cannot be loaded is left out
 * and logged.
 */
struct catalogue *catalogue_new(void);
void catalogue_free(struct catalogue **catalogue);

/* The shape of a list of plugins (config/shape.h, shape_plugins). As long as the catalogue. */
const struct shape *catalogue_shape(const struct catalogue *catalogue);

#endif /* CHAIN_CATALOGUE_H */
