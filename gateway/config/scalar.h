/*
 * scalar.h - the kinds of values that are one scalar (private to config).
 */
#ifndef CONFIG_SCALAR_H
#define CONFIG_SCALAR_H

#include "config/shape.h"

/* What became of a value. */
enum bound {
    BOUND,        /* it is right */
    BOUND_PARTLY, /* something inside is wrong, and holds its preset */
    UNBOUND,      /* it is wrong itself, and noted */
};

/* True for the kinds that scalar_bind() knows: neither struct, list, map nor custom. */
bool scalar_is(const struct shape *shape);

/* What the shape wants, in words: "a duration such as 10s". Never NULL. */
const char *scalar_what(const struct shape *shape);

/* Store the value of node at out, or note what is wrong. */
enum bound scalar_bind(struct bind *bind, const struct shape *shape, const struct tree *node,
                       void *out);

/* Note that node is something else than the shape wants. */
enum bound scalar_unexpected(struct bind *bind, const struct shape *shape, const struct tree *node);

/* "a, b, c" for the names of choices. */
void scalar_list_choices(const struct choice *choices, struct text *out);

/* 90000 as "90s", 65536 as "64KiB": the largest unit that divides it. */
void scalar_format(const struct shape *shape, uint64_t value, struct text *out);

/* How much of a text to show in a message. */
#define SCALAR_SHOWN(span) (int)((span).len > 60 ? 60 : (span).len), (span).ptr

#endif /* CONFIG_SCALAR_H */
