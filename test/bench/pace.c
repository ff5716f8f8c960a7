/*
 * pace.c - a load that does not wait for its answers to ask again: so many GETs a second, evenly.
 *
 *   pace PORT PATH CONNECTIONS RATE SECONDS
 *
 * Each request goes out at its own moment, on the connection that has waited longest; one that finds
 * all of them busy waits for the first that is free, and its time counts from its own moment.
 * Told on standard output: "requests N", "took_us N", "p50_us N", "p99_us N", "errors N".
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 256, BYTES = 64 * 1024, BODY_BYTES = 1024, ANSWER_S = 10 };

struct client {
    int fd;
    size_t have; /* bytes of the answer, with its head */
    size_t due;  /* bytes it will have; 0: its head has not come */
    uint64_t asked_ns;
};

static struct client *client, **idle;
static size_t n_clients, first, n_idle, n_times;
static uint32_t *times_us;
static unsigned errors;
static char request[512], bytes[BYTES + 1];
static int epoll;

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void put_back(struct client *one)
{
    one->have = one->due = 0;
    idle[(first + n_idle++) % n_clients] = one;
}

static void open_all(const char *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    int on = 1;

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (size_t i = 0; i < n_clients; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &client[i]};

        client[i].fd = socket(AF_INET, SOCK_STREAM, 0);
        if (client[i].fd < 0 || connect(client[i].fd, (struct sockaddr *)&at, sizeof(at)) < 0)
            die("connect");
        setsockopt(client[i].fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, client[i].fd, &event) < 0)
            die("epoll_ctl");
        put_back(&client[i]);
    }
}

static void ask(uint64_t moment_ns)
{
    struct client *one = idle[first];

    first = (first + 1) % n_clients;
    n_idle--;
    one->asked_ns = moment_ns;
    if (send(one->fd, request, strlen(request), MSG_NOSIGNAL) < 0)
        die("send");
}

static void on_answer(struct client *one)
{
    ssize_t len = recv(one->fd, bytes, BYTES, 0);

    if (len <= 0)
        die("recv");
    if (one->have == 0) {
        char *end;

        bytes[len] = '\0';
        end = strstr(bytes, "\r\n\r\n");
        errors += strncmp(bytes, "HTTP/1.1 200 ", 13) != 0;
        if (!end)
            die("a head in two pieces");
        one->due = (size_t)(end + 4 - bytes) + BODY_BYTES;
    }
    one->have += (size_t)len;
    if (one->have < one->due)
        return;
    times_us[n_times++] = (uint32_t)((now_ns() - one->asked_ns) / 1000);
    put_back(one);
}

static void serve(uint64_t until_ns)
{
    struct epoll_event events[EVENTS];
    uint64_t now = now_ns();
    struct timespec wait = {0};
    int n;

    if (until_ns > now) {
        wait.tv_sec = (time_t)((until_ns - now) / 1000000000);
        wait.tv_nsec = (long)((until_ns - now) % 1000000000);
    }
    n = epoll_pwait2(epoll, events, EVENTS, &wait, NULL);
    for (int i = 0; i < n; i++)
        on_answer(events[i].data.ptr);
}

static int by_size(const void *a, const void *b)
{
    const uint32_t *left = a, *right = b;

    return *left < *right ? -1 : *left > *right;
}

int main(int argc, char **argv)
{
    uint64_t begun, took_us, give_up;
    size_t total, asked = 0;
    double rate;

    if (argc != 6) {
        fprintf(stderr, "usage: pace PORT PATH CONNECTIONS RATE SECONDS\n");
        return 2;
    }
    n_clients = strtoul(argv[3], NULL, 10);
    rate = atof(argv[4]);
    total = (size_t)(rate * atof(argv[5]));
    snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: bench.example\r\n\r\n", argv[2]);
    client = calloc(n_clients, sizeof(*client));
    idle = calloc(n_clients, sizeof(struct client *));
    times_us = calloc(total + 1, sizeof(*times_us));
    epoll = epoll_create1(0);
    if (!client || !idle || !times_us || epoll < 0)
        die("start");
    prctl(PR_SET_TIMERSLACK, 1UL, 0, 0,
          0); /* nanoseconds; the default of 50 us is half a request's gap */
    open_all(argv[1]);
    begun = now_ns();
    give_up = begun + (uint64_t)((atof(argv[5]) + ANSWER_S) * 1e9);
    while (n_times < total && now_ns() < give_up) {
        uint64_t moment = begun + (uint64_t)((double)asked * 1e9 / rate);

        if (asked < total && n_idle > 0 && now_ns() >= moment) {
            ask(moment);
            asked++;
        } else {
            serve(asked < total && n_idle > 0 ? moment : give_up);
        }
    }
    took_us = (now_ns() - begun) / 1000;
    qsort(times_us, n_times, sizeof(*times_us), by_size);
    printf("requests %zu\ntook_us %" PRIu64 "\np50_us %u\np99_us %u\nerrors %zu\n", n_times,
           took_us, times_us[n_times / 2], times_us[n_times * 99 / 100],
           errors + (total - n_times));
    return 0;
}
