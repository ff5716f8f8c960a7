/*
 * relay.c - the floor: the cheapest thing that still passes requests on to an upstream.
 *
 * One thread, epoll, every client with an upstream connection of its own. Bytes go on as they come:
 * of a request it is only looked at whether it ends with an empty line, of an answer nothing.
 * What a gateway takes beyond it, in user time, is what it knows about HTTP, and about failing.
 *
 *   relay PORT ORIGIN   from 127.0.0.1:PORT to 127.0.0.1:ORIGIN, until it is killed
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 256, BACKLOG = 65535, BYTES = 128 * 1024, FILES_MAX = 1 << 20 };

static char buffer[BYTES];
static int *peer_of; /* by descriptor; -1: none */
static bool *is_upstream;
static int epoll;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void watch(int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        die("epoll_ctl");
}

static void part(int fd)
{
    int peer = peer_of[fd];

    close(fd);
    if (peer >= 0)
        close(peer);
    peer_of[fd] = -1;
    if (peer >= 0)
        peer_of[peer] = -1;
}

/* Answers of 64 KiB may find the socket full: the measured cases are those that do not. */
static bool pass(int to, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t put = send(to, bytes, len, MSG_NOSIGNAL);

        if (put < 0 && errno != EAGAIN)
            return false;
        bytes += put > 0 ? put : 0;
        len -= put > 0 ? (size_t)put : 0;
    }
    return true;
}

static void relay(int fd)
{
    ssize_t len = peer_of[fd] < 0 ? 0 : recv(fd, buffer, sizeof(buffer), 0);

    if (len < 0 && errno == EAGAIN)
        return;
    if (len <= 0 || (!is_upstream[fd] && !memmem(buffer, (size_t)len, "\r\n\r\n", 4)) ||
        !pass(peer_of[fd], buffer, (size_t)len))
        part(fd);
}

static void accept_one(int listener, const struct sockaddr_in *origin)
{
    int on = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK), up;

    if (fd < 0)
        return;
    up = socket(AF_INET, SOCK_STREAM, 0);
    if (up < 0 || connect(up, (const struct sockaddr *)origin, sizeof(*origin)) < 0)
        die("connect");
    setsockopt(up, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    peer_of[fd] = up;
    peer_of[up] = fd;
    is_upstream[fd] = false;
    is_upstream[up] = true;
    watch(fd);
    watch(up);
}

static int listen_at(const char *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on,
               sizeof(on)); /* those that are accepted inherit it */
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, BACKLOG) < 0)
        die("listen");
    return fd;
}

int main(int argc, char **argv)
{
    struct sockaddr_in origin = {.sin_family = AF_INET};
    struct epoll_event events[EVENTS];
    struct rlimit files;
    int listener;

    if (argc != 3) {
        fprintf(stderr, "usage: relay PORT ORIGIN\n");
        return 2;
    }
    origin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    origin.sin_port = htons((uint16_t)atoi(argv[2]));
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    peer_of = calloc(FILES_MAX, sizeof(*peer_of));
    is_upstream = calloc(FILES_MAX, sizeof(*is_upstream));
    epoll = epoll_create1(0);
    listener = listen_at(argv[1]);
    watch(listener);
    for (;;) {
        int n = epoll_wait(epoll, events, EVENTS, -1);

        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == listener)
                accept_one(listener, &origin);
            else
                relay(events[i].data.fd);
        }
    }
}
