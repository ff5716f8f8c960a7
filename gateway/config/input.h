/*
 * input.h - the bytes of a file, up to a maximum; for config and for shapes that name files.
 */
#ifndef CONFIG_INPUT_H
#define CONFIG_INPUT_H

#include "base/text.h"

#include <sys/types.h>

/* Which file a path led to, whatever it was called. */
struct input_id {
    dev_t device;
    ino_t inode;
};

/*
 * Append the content of path to bytes, whose maximum is the limit. id may be NULL.
 * On failure *why says in words what is wrong: ERR_LIMIT when the file is larger, else
 * what the system said. *why may live in why_bytes.
 */
enum { INPUT_WHY = 128 };
CHECKED enum err input_read(const char *path, struct text *bytes, struct input_id *id,
                            char why[INPUT_WHY]);

/*
 * "conf/x.yaml" as written in the file "/etc/sluice.yaml" is "/etc/conf/x.yaml". Appended to out.
 */
void input_join(struct sluice_span from_file, struct sluice_span path, struct text *out);

#endif /* CONFIG_INPUT_H */
