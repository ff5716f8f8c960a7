/*
 * scaffold.h - the folder a new plugin begins with.
 */
#ifndef SDK_SCAFFOLD_H
#define SDK_SCAFFOLD_H

#include "base/err.h"
#include "base/text.h"

/*
 * Write parent/name/ with a plugin that builds and passes its test. ERR_CONFIG: name is not
 * [a-z0-9_]+; ERR_SYSTEM: something is there already, or cannot be written; why says what.
 */
CHECKED enum err scaffold_write(const char *parent, const char *name, struct text *why);

#endif /* SDK_SCAFFOLD_H */
