/*
 * sluice_plugin.h - everything a plugin may know about the gateway.
 *
 * This is the only gateway header a plugin includes. It is self-contained C11
 * and holds types only; there is nothing to link against. ABI 1 is not frozen
 * yet: the types below are the ones that the gateway itself shares with plugins.
 */
#ifndef SLUICE_PLUGIN_H
#define SLUICE_PLUGIN_H

#include <stddef.h>

/* Borrowed bytes, not NUL-terminated. ptr may be NULL only when len is 0. */
struct sluice_span {
    const char *ptr;
    size_t len;
};

#endif /* SLUICE_PLUGIN_H */
