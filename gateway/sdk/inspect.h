/*
 * inspect.h - what a plugin's shared object says of itself.
 *
 * Loading runs its constructors, if it has any, and nothing else of it.
 */
#ifndef SDK_INSPECT_H
#define SDK_INSPECT_H

#include "abi/sluice_plugin.h"
#include "base/err.h"
#include "base/text.h"

/* A descriptor of any minor version, as this header knows it. */
struct inspected {
    const struct sluice_plugin *exported; /* borrowed from the file, which stays loaded */
    struct sluice_plugin about;           /* NULL and 0 in what the file does not know */
    const char *path;                     /* borrowed */
};

/* ERR_CONFIG: it cannot be loaded, or is for another ABI; why says both sides. */
CHECKED enum err inspect_open(const char *path, struct inspected *plugin, struct text *why);

/* For people; for programs; and the table of options of a README. */
void inspect_text(const struct inspected *plugin, struct text *out);
void inspect_json(const struct inspected *plugin, struct text *out);
void inspect_markdown(const struct inspected *plugin, struct text *out);

#endif /* SDK_INSPECT_H */
