#include "server/log_files.h"

#include <errno.h>
#include <string.h>

static enum err open_file(struct writer *writer, const struct gateway_loaded *loaded,
                          const struct sluice_span *path, const char *name, struct notes *notes,
                          struct writer_file **file)
{
    struct mark at = {0};
    int number;

    if (writer_open(writer, *path, file) == OK)
        return OK;
    number = errno;
    *file = NULL;
    if (!origins_find(loaded->origins, path, &at))
        at = (struct mark){0};
    notes_error(notes, at, "check the folder and its rights", "%s '%s' cannot be opened: %s", name,
                path->ptr, strerror(number));
    return ERR_SYSTEM;
}

enum err log_files_open(struct log_files *files, struct writer *writer,
                        const struct gateway_loaded *loaded, struct notes *notes)
{
    const struct sluice_span *access = &loaded->conf.serving.access_log.path;
    enum err err;

    *files = (struct log_files){.log = NULL};
    err = open_file(writer, loaded, &loaded->conf.log.path, "log.path", notes, &files->log);
    if (access->len == 0 || span_equal(*access, SPAN("off")))
        return err;
    if (open_file(writer, loaded, access, "access_log.path", notes, &files->access))
        err = ERR_SYSTEM;
    return err;
}

void log_files_close(struct log_files *files, struct writer *writer)
{
    if (files->log)
        writer_close(writer, &files->log);
    if (files->access)
        writer_close(writer, &files->access);
}
