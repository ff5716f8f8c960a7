/*
 * Responses and trailer sections: what is read, and what is refused by which rule.
 */
#include "splits.h"

#include "unit.h"

static const struct h1_limits usual = {64, 1024, 8};

static void offer_response(struct h1_scan *scan, struct sluice_span bytes,
                           const struct h1_limits *limits, struct field_line *lines,
                           const void *arg, struct split_answer *answer)
{
    static const char *const framings[] = {"none", "length", "chunked", "close"};
    struct response response;
    size_t head_bytes = 0;
    char text[256];

    memset(&response, 0xa5, sizeof(response));
    response.fields = (struct fields){.line = lines, .cap = SPLIT_LINES};
    answer->result =
        h1_parse_response(scan, bytes, limits, *(const enum method *)arg, &response, &head_bytes);
    if (answer->result != H1_DONE)
        return;
    snprintf(text, sizeof(text), "%u 1.%d%s %s %lld ", response.status, response.minor,
             response.keep_alive ? " keep" : "", framings[response.framing],
             (long long)response.body_bytes);
    split_say(answer, text);
    split_say_span(answer, "", response.reason);
    split_say_fields(answer, &response.fields);
    snprintf(text, sizeof(text), " %zu", bytes.len - head_bytes);
    split_say(answer, text);
}

static void offer_trailers(struct h1_scan *scan, struct sluice_span bytes,
                           const struct h1_limits *limits, struct field_line *lines,
                           const void *arg, struct split_answer *answer)
{
    struct fields trailers = {.line = lines, .cap = SPLIT_LINES};
    size_t section_bytes = 0;
    char text[32];

    (void)arg;
    answer->result = h1_parse_trailers(scan, bytes, limits, &trailers, &section_bytes);
    if (answer->result != H1_DONE)
        return;
    split_say_fields(answer, &trailers);
    snprintf(text, sizeof(text), " %zu", bytes.len - section_bytes);
    split_say(answer, text);
}

struct expected {
    enum method method;
    const char *bytes;
    const char *text; /* the head, or the rule */
};

static void check(split_offer_fn *offer, const struct expected *want, size_t n,
                  enum h1_result result, const struct h1_limits *limits)
{
    struct split_answer *answer = malloc(sizeof(*answer));

    for (size_t i = 0; i < n; i++) {
        split_check(offer, want[i].bytes, strlen(want[i].bytes), limits, &want[i].method, answer);
        ck_assert_msg(answer->result == result, "<<%s>> gave %d %s", want[i].bytes,
                      (int)answer->result, answer->text);
        ck_assert_str_eq(answer->text, want[i].text);
    }
    free(answer);
}

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static const struct expected goods[] = {
    {METHOD_GET, "HTTP/1.1 200 OK\r\n\r\nx", "200 1.1 close -1 OK 1"},
    {METHOD_GET, "HTTP/1.1 200\r\n\r\n", "200 1.1 close -1  0"},
    {METHOD_GET, "HTTP/1.1 200 \r\n\r\n", "200 1.1 close -1  0"},
    {METHOD_GET, "HTTP/1.1 599  a \x80\t!\r\n\r\n", "599 1.1 close -1  a \x80\t! 0"},
    {METHOD_GET, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n",
     "200 1.1 keep length 7 OK [Content-Length=7] 0"},
    {METHOD_GET, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
     "200 1.1 length 0 OK [Content-Length=0] [Connection=close] 0"},
    {METHOD_GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n",
     "200 1.1 keep chunked -1 OK [Transfer-Encoding=Chunked] 0"},
    {METHOD_GET, "HTTP/1.0 200 OK\r\nContent-Length: 7\r\n\r\n",
     "200 1.0 length 7 OK [Content-Length=7] 0"},
    {METHOD_GET, "HTTP/1.0 200 OK\r\nContent-Length: 7\r\nConnection: keep-alive\r\n\r\n",
     "200 1.0 keep length 7 OK [Content-Length=7] [Connection=keep-alive] 0"},
    {METHOD_GET, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n",
     "200 1.0 close -1 OK [Connection=keep-alive] 0"},
    {METHOD_HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n",
     "200 1.1 keep none 7 OK [Content-Length=7] 0"},
    {METHOD_HEAD, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
     "200 1.1 keep none -1 OK [Transfer-Encoding=chunked] 0"},
    {METHOD_HEAD, "HTTP/1.1 200 OK\r\n\r\n", "200 1.1 keep none -1 OK 0"},
    {METHOD_GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
     "304 1.1 keep none 7 Not Modified [Content-Length=7] 0"},
    {METHOD_GET, "HTTP/1.1 204 No Content\r\n\r\n", "204 1.1 keep none -1 No Content 0"},
    {METHOD_GET, "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
     "204 1.1 keep none 0 No Content [Content-Length=0] 0"},
    {METHOD_GET, "HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n",
     "204 1.1 none 7 No Content [Content-Length=7] 0"},
    {METHOD_GET, "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
     "204 1.1 none -1 No Content [Transfer-Encoding=chunked] 0"},
    {METHOD_GET, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n",
     "100 1.1 keep none -1 Continue 17"},
    {METHOD_GET, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 0\r\n\r\n",
     "103 1.1 keep none 0 Early Hints [Link=</a>] [Content-Length=0] 0"},
    {METHOD_CONNECT, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n",
     "200 1.1 keep none 7 OK [Content-Length=7] 0"},
    {METHOD_CONNECT, "HTTP/1.1 403 No\r\nContent-Length: 7\r\n\r\n",
     "403 1.1 keep length 7 No [Content-Length=7] 0"},
    {METHOD_GET, "HTTP/1.7 200 OK\r\nHost: a b\r\nHost: c\r\n\r\n",
     "200 1.1 close -1 OK [Host=a b] [Host=c] 0"},
};

START_TEST(response_heads_are_read_however_they_are_split)
{
    check(offer_response, goods, COUNT(goods), H1_DONE, &usual);
}
END_TEST

#define OK_HEAD(lines) "HTTP/1.1 200 OK\r\n" lines "\r\n\r\n"

static const struct expected bads[] = {
    {METHOD_GET, "\r\nHTTP/1.1 200 OK\r\n", "malformed start line"},
    {METHOD_GET, "HTTP/1.1\r\n\r\n", "malformed start line"},
    {METHOD_GET, "HTTP/1.\r\n\r\n", "malformed start line"},
    {METHOD_GET, "HTTP/1.1200 OK\r\n\r\n", "malformed start line"},
    {METHOD_GET, "http/1.1 200 OK\r\n\r\n", "malformed start line"},
    {METHOD_GET, " HTTP/1.1 200 OK\r\n\r\n", "malformed start line"},
    {METHOD_GET, "ICY 200 OK\r\n\r\n", "malformed start line"},
    {METHOD_GET, "HTTP/1.1 200 O\x01K\r\n\r\n", "malformed start line"},
    {METHOD_GET, "HTTP/2.0 200 OK\r\n\r\n", "unsupported HTTP version"},
    {METHOD_GET, "HTTP/0.9 200 OK\r\n\r\n", "unsupported HTTP version"},
    {METHOD_GET, "HTTP/1.1 \r\n\r\n", "malformed status code"},
    {METHOD_GET, "HTTP/1.1 20\r\n\r\n", "malformed status code"},
    {METHOD_GET, "HTTP/1.1 20 OK\r\n\r\n", "malformed status code"},
    {METHOD_GET, "HTTP/1.1  200 OK\r\n\r\n", "malformed status code"},
    {METHOD_GET, "HTTP/1.1 2000 OK\r\n\r\n", "malformed status code"},
    {METHOD_GET, "HTTP/1.1 200OK\r\n\r\n", "malformed status code"},
    {METHOD_GET, "HTTP/1.1 200\tOK\r\n\r\n", "malformed status code"},
    {METHOD_GET, "HTTP/1.1 099 OK\r\n\r\n", "malformed status code"},
    {METHOD_GET, "HTTP/1.1 600 OK\r\n\r\n", "malformed status code"},
    {METHOD_GET, "HTTP/1.1 999 OK\r\n\r\n", "malformed status code"},
    {METHOD_GET, "HTTP/1.1 +20 OK\r\n\r\n", "malformed status code"},
    {METHOD_GET, "HTTP/1.1 200 OK\n\n", "line feed without carriage return"},
    {METHOD_GET, "HTTP/1.1 200 OK\rX\n", "carriage return without line feed"},
    {METHOD_GET, OK_HEAD("Content-Length: 1\r\nTransfer-Encoding: chunked"),
     "both Content-Length and Transfer-Encoding"},
    {METHOD_HEAD, OK_HEAD("Transfer-Encoding: chunked\r\nContent-Length: 1"),
     "both Content-Length and Transfer-Encoding"},
    {METHOD_GET, OK_HEAD("Content-Length: 1\r\nContent-Length: 1"), "more than one Content-Length"},
    {METHOD_GET, OK_HEAD("Content-Length: 1,1"), "malformed Content-Length"},
    {METHOD_GET, OK_HEAD("Transfer-Encoding: gzip"), "transfer coding other than a final chunked"},
    {METHOD_GET, "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
     "Transfer-Encoding in an HTTP/1.0 message"},
    {METHOD_GET, "HTTP/1.1 103 Hints\r\nTransfer-Encoding: chunked\r\n\r\n",
     "transfer coding other than a final chunked"},
    {METHOD_GET, "HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n", "malformed Content-Length"},
    {METHOD_GET, OK_HEAD("A: b\r\n c"), "folded field line"},
    {METHOD_GET, OK_HEAD(" A: b"), "folded field line"},
    {METHOD_GET, OK_HEAD("A : b"), "whitespace before the colon of a field"},
    {METHOD_GET, OK_HEAD("A"), "malformed field name"},
    {METHOD_GET, OK_HEAD("A: \x02"), "control byte in a field value"},
    {METHOD_GET, OK_HEAD("1:\r\n2:\r\n3:\r\n4:\r\n5:\r\n6:\r\n7:\r\n8:\r\n9:"),
     "more fields than the limit"},
    {METHOD_GET, "HTTP/1.1 200 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n\r\n",
     "start line longer than the limit"},
};

START_TEST(malformed_responses_are_refused)
{
    check(offer_response, bads, COUNT(bads), H1_WRONG, &usual);
}
END_TEST

static const struct expected trailers[] = {
    {METHOD_GET, "\r\nGET /", " 5"},
    {METHOD_GET, "Checksum: 1\r\nX-B:\t2 \r\n\r\n", " [Checksum=1] [X-B=2] 0"},
    {METHOD_GET,
     "Content-Length: 1\r\nTransfer-Encoding: a\r\nHost: b\r\nAuthorization: c\r\nSet-Cookie: d\r\n"
     "X-Forwarded-For: e\r\nIf-Match: f\r\nGrpc-Status: 0\r\n\r\n",
     " (Content-Length=1) (Transfer-Encoding=a) (Host=b) (Authorization=c) (Set-Cookie=d) "
     "(X-Forwarded-For=e) (If-Match=f) [Grpc-Status=0] 0"},
};

static const struct expected bad_trailers[] = {
    {METHOD_GET, "A: b\n\r\n", "line feed without carriage return"},
    {METHOD_GET, "\n", "line feed without carriage return"},
    {METHOD_GET, "\rX", "carriage return without line feed"},
    {METHOD_GET, " A: b\r\n", "folded field line"},
    {METHOD_GET, "A : b\r\n", "whitespace before the colon of a field"},
    {METHOD_GET, "GET / HTTP/1.1\r\n", "malformed field name"},
    {METHOD_GET, "1:\r\n2:\r\n3:\r\n4:\r\n5:\r\n6:\r\n7:\r\n8:\r\n9:\r\n",
     "more fields than the limit"},
};

START_TEST(trailers_are_read_and_dangerous_ones_dropped)
{
    check(offer_trailers, trailers, COUNT(trailers), H1_DONE, &usual);
}
END_TEST

START_TEST(malformed_trailers_are_refused)
{
    check(offer_trailers, bad_trailers, COUNT(bad_trailers), H1_WRONG, &usual);
}
END_TEST

START_TEST(trailer_limit_is_exact)
{
    struct expected whole = {METHOD_GET, "A: b\r\n\r\nxyz", " [A=b] 3"};
    struct h1_limits limits = {1, 8, 1};

    check(offer_trailers, &whole, 1, H1_DONE, &limits);
    limits.head_bytes = 7;
    whole.text = "fields larger than the limit";
    check(offer_trailers, &whole, 1, H1_WRONG, &limits);
}
END_TEST

START_TEST(rules_have_texts)
{
    ck_assert_str_eq(h1_rule_text(H1_RULE_NONE), "nothing is wrong");
    ck_assert_str_eq(h1_rule_text(H1_RULE_TRAILER), "field that is not allowed as a trailer");
}
END_TEST

UNIT_MAIN("http/h1_parse response", response_heads_are_read_however_they_are_split,
          malformed_responses_are_refused, trailers_are_read_and_dangerous_ones_dropped,
          malformed_trailers_are_refused, trailer_limit_is_exact, rules_have_texts)
