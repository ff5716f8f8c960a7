/*
 * origin.c - the cheapest upstream that still speaks HTTP/1.1, for measuring what is before it.
 *
 * One thread, epoll, kept connections, answers made once at the start. It believes that a request
 * has no body and ends with an empty line, which is true of wrk behind any gateway; it is no
 * server for anything else.
 *
 *   origin          prints the port it listens on at 127.0.0.1, and runs until it is killed
 *   GET /1k /64k /128k /256k /512k /1m /4m   that many bytes; any other path: 2 bytes
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

enum { REQUEST_MAX = 4096, EVENTS = 256, BACKLOG = 65535, HEAD_MAX = 256 };

struct answer {
    const char *path;
    size_t body_bytes;
    char *bytes;
    size_t len;
};

/* What a connection has sent of its request, and what it has not yet got of its answer. */
struct client {
    int fd;
    size_t have;
    const char *rest;
    size_t rest_len;
    bool is_waiting; /* for room to write: EPOLLOUT is asked for */
    char request[REQUEST_MAX];
};

static struct answer answers[] = {
    {"/1k ", 1024, NULL, 0},
    {"/64k ", 64 * 1024, NULL, 0},
    {"/128k ", 128 * 1024, NULL, 0},
    {"/256k ", 256 * 1024, NULL, 0},
    {"/512k ", 512 * 1024, NULL, 0},
    {"/1m ", 1024 * 1024, NULL, 0},
    {"/4m ", 4 * 1024 * 1024, NULL, 0},
    {"", 2, NULL, 0},
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void make_answers(void)
{
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        struct answer *answer = &answers[i];
        int head;

        answer->bytes = malloc(HEAD_MAX + answer->body_bytes);
        if (!answer->bytes)
            die("malloc");
        head = snprintf(answer->bytes, HEAD_MAX,
                        "HTTP/1.1 200 OK\r\nServer: origin\r\n"
                        "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/plain\r\n"
                        "Content-Length: %zu\r\n\r\n",
                        answer->body_bytes);
        memset(answer->bytes + head, 'x', answer->body_bytes);
        answer->len = (size_t)head + answer->body_bytes;
    }
}

static const struct answer *choose_answer(const char *request)
{
    const char *path = memchr(request, ' ', REQUEST_MAX);
    const struct answer *answer = answers;

    while (answer->path[0] && (!path || strncmp(path + 1, answer->path, strlen(answer->path)) != 0))
        answer++;
    return answer;
}

static void watch(int loop, struct client *client, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = client};

    if (epoll_ctl(loop, operation, client->fd, &event) != 0)
        die("epoll_ctl");
}

static void end(struct client *client)
{
    close(client->fd);
    free(client);
}

/* True while the connection lives. */
static bool write_rest(int loop, struct client *client)
{
    bool waits;

    while (client->rest_len > 0) {
        ssize_t sent = send(client->fd, client->rest, client->rest_len, MSG_NOSIGNAL);

        if (sent < 0 && errno != EAGAIN)
            return false;
        if (sent < 0)
            break;
        client->rest += sent;
        client->rest_len -= (size_t)sent;
    }
    waits = client->rest_len > 0;
    if (waits != client->is_waiting)
        watch(loop, client, EPOLL_CTL_MOD, waits ? EPOLLOUT : EPOLLIN);
    client->is_waiting = waits;
    return true;
}

/* Answers the request that is there when it is whole. */
static bool answer_request(int loop, struct client *client)
{
    const char *end_of_head = memmem(client->request, client->have, "\r\n\r\n", 4);
    const struct answer *answer;
    size_t used;

    if (!end_of_head)
        return client->have < REQUEST_MAX;
    used = (size_t)(end_of_head - client->request) + 4;
    answer = choose_answer(client->request);
    memmove(client->request, client->request + used, client->have - used);
    client->have -= used;
    client->rest = answer->bytes;
    client->rest_len = answer->len;
    return write_rest(loop, client);
}

static bool read_request(int loop, struct client *client)
{
    ssize_t got = recv(client->fd, client->request + client->have, REQUEST_MAX - client->have, 0);

    if (got < 0 && errno == EAGAIN)
        return true;
    if (got <= 0)
        return false;
    client->have += (size_t)got;
    return answer_request(loop, client);
}

static void accept_all(int loop, int listener)
{
    int fd, on = 1;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct client *client = calloc(1, sizeof(*client));

        if (!client)
            die("calloc");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        client->fd = fd;
        watch(loop, client, EPOLL_CTL_ADD, EPOLLIN);
    }
}

static int listen_somewhere(void)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY)};
    socklen_t len = sizeof(addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&addr, len) != 0 || listen(fd, BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)&addr, &len) != 0)
        die("listen");
    printf("%d\n", ntohs(addr.sin_port));
    fflush(stdout);
    return fd;
}

int main(void)
{
    struct rlimit files;
    struct epoll_event events[EVENTS];
    int listener, loop = epoll_create1(0);

    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    make_answers();
    listener = listen_somewhere();
    events[0] = (struct epoll_event){.events = EPOLLIN, .data.ptr = NULL};
    if (loop < 0 || epoll_ctl(loop, EPOLL_CTL_ADD, listener, &events[0]) != 0)
        die("epoll");
    for (;;) {
        int ready = epoll_wait(loop, events, EVENTS, -1);

        for (int i = 0; i < ready; i++) {
            struct client *client = events[i].data.ptr;

            if (!client)
                accept_all(loop, listener);
            else if (!(client->is_waiting ? write_rest : read_request)(loop, client))
                end(client);
        }
    }
}
