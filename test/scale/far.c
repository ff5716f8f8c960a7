/*
 * far.c - the upstream of the scale run: answers GET, and becomes an echo of frames on upgrade.
 *
 *   far PORT...     listens on 127.0.0.1 at each port, and runs until it is killed
 *
 * It believes its peer: a head comes in one piece and has no body, and frames are the ten bytes
 * that holder.c sends. A connection costs one descriptor and four bytes here.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "frame.h"

enum { EVENTS = 512, BACKLOG = 65535, PORTS_MAX = 64, BYTES = 16384 };

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
static const char switching[] =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
    "Upgrade: websocket\r\nSec-WebSocket-Accept: " FRAME_ACCEPT "\r\n\r\n";

struct far {
    int epoll;
    int listener[PORTS_MAX];
    int n_listeners;
    int8_t *left; /* by descriptor: -1 a head is next; else bytes of a frame that have come */
};

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static int listen_on(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, BACKLOG) < 0)
        fail("listen");
    return fd;
}

static void watch(const struct far *far, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

    if (epoll_ctl(far->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        fail("epoll_ctl");
}

static void take_all(struct far *far, int listener)
{
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        far->left[fd] = -1;
        watch(far, fd);
    }
}

/* Loopback takes these few bytes, or the peer does not read: then it is not worth keeping. */
static void put(int fd, const char *bytes, size_t len)
{
    if (send(fd, bytes, len, MSG_NOSIGNAL) != (ssize_t)len)
        close(fd);
}

static void echo(struct far *far, int fd, const char *bytes, ssize_t len)
{
    char out[BYTES];
    size_t n = 0;

    (void)bytes;
    for (ssize_t all = far->left[fd] + len; all >= FRAME_SENT; all -= FRAME_SENT) {
        memcpy(out + n, FRAME_BACK, FRAME_BACK_LEN);
        n += FRAME_BACK_LEN;
    }
    far->left[fd] = (int8_t)((far->left[fd] + len) % FRAME_SENT);
    if (n > 0)
        put(fd, out, n);
}

static void take_bytes(struct far *far, int fd)
{
    char bytes[BYTES + 1];
    ssize_t len = recv(fd, bytes, BYTES, 0);

    if (len <= 0) {
        if (len == 0 || (errno != EAGAIN && errno != EINTR))
            close(fd);
        return;
    }
    bytes[len] = '\0';
    if (far->left[fd] >= 0) {
        echo(far, fd, bytes, len);
    } else if (strcasestr(bytes, "\r\nupgrade:")) {
        far->left[fd] = 0;
        put(fd, switching, sizeof(switching) - 1);
    } else {
        put(fd, answer, sizeof(answer) - 1);
    }
}

static int is_listener(const struct far *far, int fd)
{
    for (int i = 0; i < far->n_listeners; i++) {
        if (far->listener[i] == fd)
            return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct epoll_event events[EVENTS];
    struct rlimit files;
    struct far far = {.epoll = epoll_create1(0)};

    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    far.left = calloc(files.rlim_max, 1);
    if (far.epoll < 0 || !far.left || argc < 2 || argc > PORTS_MAX)
        return 2;
    for (int i = 1; i < argc; i++) {
        far.listener[far.n_listeners++] = listen_on((int)strtol(argv[i], NULL, 10));
        watch(&far, far.listener[i - 1]);
    }
    puts("listening");
    fflush(stdout);
    for (;;) {
        int n = epoll_wait(far.epoll, events, EVENTS, -1);

        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;

            if (is_listener(&far, fd)) {
                take_all(&far, fd);
            } else {
                take_bytes(&far, fd);
            }
        }
    }
}
