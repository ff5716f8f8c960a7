/*
 * log_files.h - the files that a configuration writes to, opened before it is published.
 *
 * Holding both open makes what comes later certain: the gateway's own log moves without a chance
 * to fail, and the snapshot gets the file of the access log that is already there.
 *
 * Threads: the control thread.
 */
#ifndef SERVER_LOG_FILES_H
#define SERVER_LOG_FILES_H

#include "observe/writer.h"
#include "server/gateway_conf.h"

struct log_files {
    struct writer_file *log;    /* owned */
    struct writer_file *access; /* owned, or NULL: off */
};

/*
 * ERR_SYSTEM when one cannot be opened: notes say which and where it was written. *files is valid
 * in any case and is to be closed.
 */
CHECKED enum err log_files_open(struct log_files *files, struct writer *writer,
                                const struct gateway_loaded *loaded, struct notes *notes);
void log_files_close(struct log_files *files, struct writer *writer);

#endif /* SERVER_LOG_FILES_H */
