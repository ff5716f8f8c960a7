/*
 * input.c - read whole files of bounded size.
 *
 * Reads to the end instead of asking for the size first: /dev/stdin, pipes and
 * files of /proc are read alike, and a file that grows meanwhile stays bounded.
 */
#include "config/input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum err fail(int number, char why[INPUT_WHY])
{
    char system_text[INPUT_WHY];

    snprintf(why, INPUT_WHY, "%s", strerror_r(number, system_text, sizeof(system_text)));
    return err_from_errno(number);
}

static enum err read_all(int fd, struct text *bytes, char why[INPUT_WHY])
{
    char block[16384];

    for (;;) {
        ssize_t n = read(fd, block, sizeof(block));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(errno, why);
        if (n == 0)
            return OK;
        text_add(bytes, span_make(block, (size_t)n));
        if (bytes->cut) {
            snprintf(why, INPUT_WHY, "it is larger than %zu KiB", bytes->max / 1024);
            return ERR_LIMIT;
        }
    }
}

enum err input_read(const char *path, struct text *bytes, struct input_id *id, char why[INPUT_WHY])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    struct stat about;
    enum err err;

    if (fd < 0)
        return fail(errno, why);
    if (fstat(fd, &about)) {
        err = fail(errno, why);
    } else {
        err = read_all(fd, bytes, why);
    }
    if (!err && id)
        *id = (struct input_id){about.st_dev, about.st_ino};
    close(fd);
    return err;
}

void input_join(struct sluice_span from_file, struct sluice_span path, struct text *out)
{
    size_t folder = from_file.len;

    while (folder > 0 && from_file.ptr[folder - 1] != '/')
        folder--;
    if (!span_starts(path, SPAN("/")))
        text_add(out, span_make(from_file.ptr, folder));
    text_add(out, path);
}
