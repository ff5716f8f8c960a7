/*
 * preset.h - values written in our own tables: defaults and examples (private to config).
 */
#ifndef CONFIG_PRESET_H
#define CONFIG_PRESET_H

#include "config/shape.h"

/*
 * The text as a tree without places, in arena; borrows text, which is a constant of ours. For a
 * scalar shape it is the bare text unless it begins with a quote. NULL when it is
 * wrong (then notes has it) or memory is out.
 */
struct tree *preset_parse(const char *text, const struct shape *shape, struct arena *arena,
                          struct notes *notes);

#endif /* CONFIG_PRESET_H */
