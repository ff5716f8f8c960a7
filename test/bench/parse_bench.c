/*
 * parse_bench.c - what reading and writing a head costs, for each scan this processor has.
 *
 * Not a test: it judges nothing. Started by "make bench-parts".
 */
#include "http/h1_parse.h"
#include "http/h1_write.h"
#include "http/rules.h"
#include "http/target.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 1000000, LINES = 100, OUT = 8192, TRIES = 5 };

static const struct h1_limits limits = {8192, 16384, LINES};

static const char get_curl[] = "GET /orders/17 HTTP/1.1\r\nHost: api.example.com\r\n"
                               "User-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n";

static const char get_browser[] =
    "GET /static/img/logo.png?v=20240501 HTTP/1.1\r\nHost: www.example.com\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
    "\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\n"
    "Referer: https://www.example.com/index.html\r\nConnection: keep-alive\r\n"
    "Cookie: session=8f14e45fceea167a5a36dedd4bea2543; theme=dark; seen=1700000000\r\n"
    "Cache-Control: max-age=0\r\nX-Request-Id: 4bf92f3577b34da6a3ce929d0e0e4736\r\n\r\n";

static const char post_json[] =
    "POST /v1/orders HTTP/1.1\r\nHost: api.example.com\r\nContent-Type: application/json\r\n"
    "Content-Length: 512\r\nAuthorization: Bearer eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIi\r\n"
    "Accept: application/json\r\nAccept-Encoding: gzip\r\nUser-Agent: orders-client/2.1\r\n\r\n";

static const char response[] =
    "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    "Content-Type: application/octet-stream\r\nContent-Length: 1024\r\n"
    "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nConnection: keep-alive\r\n"
    "ETag: \"66303c0b-400\"\r\nAccept-Ranges: bytes\r\n\r\n";

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static struct field_line lines[LINES];
static char out[OUT];
static size_t sink;

static void read_request(const char *bytes, size_t len)
{
    struct request head = {.fields = {.line = lines, .cap = LINES}};
    struct h1_scan scan = {0};
    size_t head_bytes = 0;

    if (h1_parse_request(&scan, span_make(bytes, len), &limits, &head, &head_bytes) != H1_DONE)
        puts("not a request");
    sink += head_bytes;
}

static void pass_request(const char *bytes, size_t len)
{
    struct request head = {.fields = {.line = lines, .cap = LINES}};
    struct h1_scan scan = {0};
    struct sluice_span path = {"", 0};
    size_t head_bytes;

    (void)h1_parse_request(&scan, span_make(bytes, len), &limits, &head, &head_bytes);
    if (target_normalise(head.path, TARGET_MERGE_SLASHES, NULL, &path))
        puts("not a path");
    rules_drop_hop_by_hop(&head.fields);
    sink += h1_write_request(out, OUT, &head, head.target, head.authority, head.framing,
                             head.body_bytes, H1_CONNECTION_NONE);
}

static void read_response(const char *bytes, size_t len)
{
    struct response head = {.fields = {.line = lines, .cap = LINES}};
    struct h1_scan scan = {0};
    size_t head_bytes = 0;

    if (h1_parse_response(&scan, span_make(bytes, len), &limits, METHOD_GET, &head, &head_bytes) !=
        H1_DONE)
        puts("not a response");
    sink += head_bytes;
}

static void pass_response(const char *bytes, size_t len)
{
    struct response head = {.fields = {.line = lines, .cap = LINES}};
    struct h1_scan scan = {0};
    size_t head_bytes;

    (void)h1_parse_response(&scan, span_make(bytes, len), &limits, METHOD_GET, &head, &head_bytes);
    rules_drop_hop_by_hop(&head.fields);
    sink +=
        h1_write_response(out, OUT, &head, head.framing, head.body_bytes, -1, H1_CONNECTION_NONE);
}

/* The best of some tries: what disturbs only adds. */
static double best_ns(void (*work)(const char *, size_t), const char *bytes, size_t len)
{
    double best = 1e9;

    for (int i = 0; i < TRIES; i++) {
        double begin = seconds(), ns;

        for (int j = 0; j < ROUNDS; j++)
            work(bytes, len);
        ns = (seconds() - begin) * 1e9 / ROUNDS;
        best = ns < best ? ns : best;
    }
    return best;
}

int main(void)
{
    static const struct {
        const char *name;
        void (*work)(const char *, size_t);
        const char *bytes;
        size_t len;
    } cases[] = {
        {"read GET curl", read_request, get_curl, sizeof(get_curl) - 1},
        {"read GET browser", read_request, get_browser, sizeof(get_browser) - 1},
        {"read POST json", read_request, post_json, sizeof(post_json) - 1},
        {"read response", read_response, response, sizeof(response) - 1},
        {"pass GET curl", pass_request, get_curl, sizeof(get_curl) - 1},
        {"pass GET browser", pass_request, get_browser, sizeof(get_browser) - 1},
        {"pass response", pass_response, response, sizeof(response) - 1},
    };
    static const char *const scans[] = {"scalar", "sse4.2", "avx2"};

    printf("%-18s %6s %10s %10s %10s   ns a head\n", "", "bytes", scans[0], scans[1], scans[2]);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        printf("%-18s %6zu", cases[i].name, cases[i].len);
        for (size_t j = 0; j < sizeof(scans) / sizeof(scans[0]); j++) {
            if (strcmp(h1_scan_choose(scans[j]), scans[j]) == 0)
                printf(" %10.1f", best_ns(cases[i].work, cases[i].bytes, cases[i].len));
        }
        putchar('\n');
    }
    return sink == 0;
}
