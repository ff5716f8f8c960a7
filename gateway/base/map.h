/*
 * map.h - string keys to pointers, seeded against chosen keys.
 *
 * Keys are copied, values are borrowed. Iteration order is insertion order.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/span.h"

struct map;

struct map *map_new(void);
void map_free(struct map **map);

/* Set key to value (not NULL); returns the value it replaces, or NULL. */
void *map_set(struct map *map, struct sluice_span key, void *value);

/* Value of key, or NULL. */
void *map_find(const struct map *map, struct sluice_span key);

/* Forget key; returns its value, or NULL. */
void *map_remove(struct map *map, struct sluice_span key);

size_t map_count(const struct map *map);

/* Step through: start with *at = 0; false at the end. The map must not change meanwhile. */
bool map_each(const struct map *map, size_t *at, struct sluice_span *key, void **value);

#endif /* BASE_MAP_H */
