/*
 * tls_key_log.c - the secrets of connections in a file, for who has to see what is said (the format
 * that is known by the name SSLKEYLOGFILE). Only where the configuration asks for it.
 */
#include "net/tls_state.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum err tls_key_log_open(const struct tls_file *file, struct notes *notes, int *fd)
{
    *fd = open(file->path.ptr, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (*fd >= 0 && fchmod(*fd, 0600) == 0) {
        log_warn("TLS SECRETS ARE BEING LOGGED: whoever reads this file reads all that is said",
                 F_STR("file", file->path.ptr));
        return OK;
    }
    notes_error(notes, file->at, "check the folder and its rights, or leave tls.key_log out",
                "'%s' cannot be written: %s", file->path.ptr, strerror(errno));
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    return ERR_CONFIG;
}

/* One call a line: lines of several workers do not mix. */
void tls_key_log_write(int fd, const char *line)
{
    char end = '\n';
    struct iovec pieces[] = {{.iov_len = strlen(line)}, {&end, 1}};
    ssize_t put;

    memcpy(&pieces[0].iov_base, &line, sizeof(line)); /* what is written is only read */
    put = writev(fd, pieces, 2);
    (void)put; /* a disk that is full takes nothing from the connection */
}
