/*
 * holder.c - the clients of the scale run.
 *
 *   holder hold KIND ADDRESS PORT N BLOCK   N connections from 127.BLOCK.x.1 (5,000 of each), each
 *                                           asked once; SIGUSR1 asks each again; SIGTERM ends
 *   holder load KIND ADDRESS PORT N SECONDS N connections ask ten times a second each
 *   holder http METHOD ADDRESS PORT PATH    one request; prints what came back; fails unless 2xx
 *
 * KIND: plain, tls, ws (a WebSocket tunnel in which a frame goes there and back). What is found is
 * told as lines of "name value" on standard output. When nothing moves for a minute, what is
 * missing counts as lost.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "frame.h"

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

enum {
    EVENTS = 512,
    AT_ONCE = 128,   /* connections that are being opened, or asked, at a time */
    A_SOURCE = 5000, /* connections from one address */
    STUCK_MS = 60000,
    LOAD_PERIOD_MS = 100,
    BYTES = 4096,
    TIMES_MAX = 1 << 22, /* latencies that are kept */
};

enum kind { PLAIN, TLS, WS };
enum state { FREE, CONNECTING, SHAKING, UPGRADING, ASKED, IDLE, LOST };

struct client {
    int fd;
    uint8_t state, have; /* have: bytes of the frame, or of the end of an answer, that came */
    bool opened;         /* it has been answered once */
    uint16_t source;
    uint64_t asked_us;
    SSL *ssl;
};

struct crowd {
    enum kind kind;
    struct sockaddr_in to;
    unsigned block;
    struct client *client;
    size_t n, started, opened, answered, lost, opening;
    int epoll;
    SSL_CTX *tls;
    uint64_t moved_ms;  /* when something happened last */
    uint32_t *times_us; /* of answers, under load */
    size_t n_times;
};

static uint64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static const char *request_of(enum kind kind)
{
    return kind == WS ? "GET /tunnel HTTP/1.1\r\nHost: scale.example\r\nConnection: Upgrade\r\n"
                        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                        "Sec-WebSocket-Key: " FRAME_KEY "\r\n\r\n"
                      : "GET / HTTP/1.1\r\nHost: scale.example\r\n\r\n";
}

/* -- bytes of a client ----------------------------------------------------------- */

static bool put(struct client *client, const char *bytes, size_t len)
{
    if (client->ssl)
        return SSL_write(client->ssl, bytes, (int)len) == (int)len;
    return send(client->fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len;
}

/* Bytes; 0: not now; -1: it is over. */
static ssize_t get(struct client *client, char *bytes, size_t room)
{
    ssize_t len;

    if (client->ssl) {
        len = SSL_read(client->ssl, bytes, (int)room);
        if (len > 0)
            return len;
        return SSL_get_error(client->ssl, (int)len) == SSL_ERROR_WANT_READ ? 0 : -1;
    }
    len = recv(client->fd, bytes, room, 0);
    if (len > 0)
        return len;
    return len < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

static void lose(struct crowd *crowd, struct client *client, const char *why)
{
    if (crowd->lost++ < 10)
        fprintf(stderr, "holder: lost in state %d: %s\n", client->state, why);
    if (!client->opened)
        crowd->opening--;
    SSL_free(client->ssl);
    client->ssl = NULL;
    close(client->fd);
    client->state = LOST;
}

static void listen_for(struct crowd *crowd, struct client *client, uint32_t events, int how)
{
    struct epoll_event event = {.events = events, .data.ptr = client};

    if (epoll_ctl(crowd->epoll, how, client->fd, &event) < 0)
        fail("epoll_ctl");
}

static void ask(struct crowd *crowd, struct client *client)
{
    const char *bytes = crowd->kind == WS ? FRAME_PING : request_of(crowd->kind);
    size_t len = crowd->kind == WS ? FRAME_SENT : strlen(bytes);

    client->have = 0;
    client->asked_us = now_us();
    if (!put(client, bytes, len)) {
        lose(crowd, client, "cannot be asked");
        return;
    }
    client->state = ASKED;
}

/* -- the life of a client ---------------------------------------------------------- */

static void start(struct crowd *crowd, struct client *client)
{
    size_t i = (size_t)(client - crowd->client);
    struct sockaddr_in from = {.sin_family = AF_INET};
    int on = 1;

    from.sin_addr.s_addr = htonl(0x7f000001u | crowd->block << 16 | (uint32_t)(i / A_SOURCE) << 8);
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (client->fd < 0)
        fail("socket");
    setsockopt(client->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (bind(client->fd, (struct sockaddr *)&from, sizeof(from)) < 0)
        fail("bind");
    if (connect(client->fd, (struct sockaddr *)&crowd->to, sizeof(crowd->to)) < 0 &&
        errno != EINPROGRESS)
        fail("connect");
    client->state = CONNECTING;
    crowd->opening++;
    listen_for(crowd, client, EPOLLOUT, EPOLL_CTL_ADD);
}

static void shake(struct crowd *crowd, struct client *client)
{
    int rc = SSL_connect(client->ssl);

    if (rc == 1) {
        listen_for(crowd, client, EPOLLIN, EPOLL_CTL_MOD);
        ask(crowd, client);
        return;
    }
    rc = SSL_get_error(client->ssl, rc);
    if (rc == SSL_ERROR_WANT_READ || rc == SSL_ERROR_WANT_WRITE) {
        listen_for(crowd, client, rc == SSL_ERROR_WANT_READ ? EPOLLIN : EPOLLOUT, EPOLL_CTL_MOD);
    } else {
        lose(crowd, client, "no TLS");
    }
}

static void on_connected(struct crowd *crowd, struct client *client)
{
    int error = 0;
    socklen_t len = sizeof(error);

    getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error) {
        lose(crowd, client, strerror(error));
        return;
    }
    if (crowd->kind == TLS) {
        client->ssl = SSL_new(crowd->tls);
        SSL_set_fd(client->ssl, client->fd);
        SSL_set_tlsext_host_name(client->ssl, "scale.example");
        client->state = SHAKING;
        shake(crowd, client);
        return;
    }
    listen_for(crowd, client, EPOLLIN, EPOLL_CTL_MOD);
    client->state = UPGRADING;
    if (crowd->kind == WS && !put(client, request_of(WS), strlen(request_of(WS))))
        lose(crowd, client, "cannot upgrade");
    else if (crowd->kind == PLAIN)
        ask(crowd, client);
}

static void on_answered(struct crowd *crowd, struct client *client)
{
    client->state = IDLE;
    crowd->answered++;
    if (!client->opened)
        crowd->opening--;
    client->opened = true;
    if (crowd->times_us && crowd->n_times < TIMES_MAX)
        crowd->times_us[crowd->n_times++] = (uint32_t)(now_us() - client->asked_us);
}

/* An answer ends with its two bytes "ok"; a frame has six. Both come whole on loopback, or nearly. */
static void on_bytes(struct crowd *crowd, struct client *client)
{
    char bytes[BYTES + 1];
    ssize_t len = get(client, bytes, BYTES);

    if (len == 0)
        return;
    if (len < 0 || client->state == IDLE) {
        lose(crowd, client, len < 0 ? "closed" : "bytes that nobody asked for");
        return;
    }
    bytes[len] = '\0';
    if (client->state == UPGRADING) {
        if (strncmp(bytes, "HTTP/1.1 101", 12) != 0) {
            lose(crowd, client, bytes);
            return;
        }
        ask(crowd, client);
    } else if (crowd->kind == WS) {
        client->have = (uint8_t)(client->have + len);
        if (client->have == FRAME_BACK_LEN)
            on_answered(crowd, client);
    } else {
        if (client->have == 0 && strncmp(bytes, "HTTP/1.1 200", 12) != 0) {
            lose(crowd, client, bytes);
            return;
        }
        client->have = 1;
        if (memcmp(bytes + len - 2, "ok", 2) == 0)
            on_answered(crowd, client);
    }
}

static void on_event(struct crowd *crowd, struct client *client)
{
    crowd->moved_ms = now_us() / 1000;
    switch ((enum state)client->state) {
    case CONNECTING:
        on_connected(crowd, client);
        break;
    case SHAKING:
        shake(crowd, client);
        break;
    case UPGRADING:
    case ASKED:
    case IDLE:
        on_bytes(crowd, client);
        break;
    case FREE:
    case LOST:
        break;
    }
}

/* -- the crowd ------------------------------------------------------------------------- */

static void turn(struct crowd *crowd, int wait_ms)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(crowd->epoll, events, EVENTS, wait_ms);

    for (int i = 0; i < n; i++) {
        if (events[i].data.ptr)
            on_event(crowd, events[i].data.ptr);
    }
}

static bool is_stuck(const struct crowd *crowd)
{
    return now_us() / 1000 > crowd->moved_ms + STUCK_MS;
}

static void crowd_init(struct crowd *crowd, char **argv)
{
    struct rlimit files;

    memset(crowd, 0, sizeof(*crowd));
    crowd->kind = strcmp(argv[0], "tls") == 0 ? TLS : strcmp(argv[0], "ws") == 0 ? WS : PLAIN;
    crowd->to.sin_family = AF_INET;
    inet_pton(AF_INET, argv[1], &crowd->to.sin_addr);
    crowd->to.sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10));
    crowd->n = strtoul(argv[3], NULL, 10);
    crowd->client = calloc(crowd->n, sizeof(*crowd->client));
    crowd->epoll = epoll_create1(0);
    crowd->moved_ms = now_us() / 1000;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (crowd->kind == TLS) {
        crowd->tls = SSL_CTX_new(TLS_client_method());
        SSL_CTX_set_mode(crowd->tls, SSL_MODE_RELEASE_BUFFERS);
        SSL_CTX_set_session_cache_mode(crowd->tls, SSL_SESS_CACHE_OFF);
    }
    if (!crowd->client || crowd->epoll < 0 || (crowd->kind == TLS && !crowd->tls))
        fail("crowd");
}

/* Open all of them and have each answered once. */
static void open_all(struct crowd *crowd)
{
    uint64_t begun = now_us();
    double seconds;

    while (crowd->answered + crowd->lost < crowd->n && !is_stuck(crowd)) {
        while (crowd->started < crowd->n && crowd->opening < AT_ONCE)
            start(crowd, &crowd->client[crowd->started++]);
        turn(crowd, 100);
    }
    seconds = (double)(now_us() - begun) / 1e6;
    crowd->opened = crowd->answered;
    printf("opened %zu\nopening_seconds %.3f\nopened_per_second %.0f\n", crowd->opened, seconds,
           (double)crowd->opened / seconds);
    fflush(stdout);
}

/* Ask each that is left once more. */
static void ask_all(struct crowd *crowd)
{
    uint64_t begun = now_us();
    size_t asked = 0, lost = crowd->lost;

    crowd->answered = 0;
    crowd->moved_ms = now_us() / 1000;
    for (size_t i = 0; i < crowd->n; i++) {
        if (crowd->client[i].state == IDLE) {
            ask(crowd, &crowd->client[i]);
            asked++;
        }
        while (crowd->answered + (crowd->lost - lost) + AT_ONCE < asked && !is_stuck(crowd))
            turn(crowd, 100);
    }
    while (crowd->answered + (crowd->lost - lost) < asked && !is_stuck(crowd))
        turn(crowd, 100);
    printf("asked %zu\nanswered %zu\nasking_seconds %.3f\nlost %zu\n", asked, crowd->answered,
           (double)(now_us() - begun) / 1e6, crowd->lost);
    fflush(stdout);
}

static int hold(char **argv)
{
    struct signalfd_siginfo info;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    struct crowd crowd;
    sigset_t set;
    int signals;

    crowd_init(&crowd, argv);
    crowd.block = (unsigned)strtoul(argv[4], NULL, 10);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signals = signalfd(-1, &set, SFD_NONBLOCK);
    epoll_ctl(crowd.epoll, EPOLL_CTL_ADD, signals, &event);
    open_all(&crowd);
    for (;;) {
        turn(&crowd, 1000);
        if (read(signals, &info, sizeof(info)) != sizeof(info))
            continue;
        if (info.ssi_signo == SIGTERM)
            return 0;
        ask_all(&crowd);
    }
}

/* -- load ---------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static uint32_t share_of(const struct crowd *crowd, double share)
{
    return crowd->n_times ? crowd->times_us[(size_t)((double)(crowd->n_times - 1) * share)] : 0;
}

/* Each asks when its time has come, unless its last answer is not there yet. */
static int load(char **argv)
{
    struct crowd crowd;
    uint64_t until;

    crowd_init(&crowd, argv);
    crowd.block = 200;
    crowd.times_us = malloc(TIMES_MAX * sizeof(*crowd.times_us));
    until = now_us() + strtoull(argv[4], NULL, 10) * 1000000;
    open_all(&crowd);
    crowd.n_times = 0;
    while (now_us() < until) {
        uint64_t now = now_us();

        for (size_t i = 0; i < crowd.n; i++) {
            struct client *client = &crowd.client[i];

            if (client->state == IDLE && now >= client->asked_us + LOAD_PERIOD_MS * 1000UL)
                ask(&crowd, client);
        }
        turn(&crowd, 5);
    }
    qsort(crowd.times_us, crowd.n_times, sizeof(*crowd.times_us), by_size);
    printf("requests %zu\nlost %zu\np50_us %u\np99_us %u\nmax_us %u\n", crowd.n_times, crowd.lost,
           share_of(&crowd, 0.5), share_of(&crowd, 0.99), share_of(&crowd, 1));
    return 0;
}

/* -- one request ----------------------------------------------------------------------------- */

static int http(char **argv)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10))};
    char bytes[BYTES];
    int fd = socket(AF_INET, SOCK_STREAM, 0), len;
    bool is_fine = false, is_first = true;
    ssize_t n;

    inet_pton(AF_INET, argv[1], &to.sin_addr);
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
        return 1;
    len = snprintf(bytes, sizeof(bytes),
                   "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n"
                   "Connection: close\r\n\r\n",
                   argv[0], argv[3]);
    if (send(fd, bytes, (size_t)len, MSG_NOSIGNAL) != len)
        return 1;
    while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0) {
        if (is_first)
            is_fine = n > 9 && bytes[9] == '2';
        is_first = false;
        fwrite(bytes, 1, (size_t)n, stdout);
    }
    close(fd);
    return is_fine ? 0 : 1;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    if (argc == 7 && strcmp(argv[1], "hold") == 0)
        return hold(argv + 2);
    if (argc == 7 && strcmp(argv[1], "load") == 0)
        return load(argv + 2);
    if (argc == 6 && strcmp(argv[1], "http") == 0)
        return http(argv + 2);
    fputs("usage: see the head of holder.c\n", stderr);
    return 2;
}
