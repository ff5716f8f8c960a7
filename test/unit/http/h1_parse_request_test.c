/*
 * Requests: what is read, and what is refused by which rule.
 */
#include "splits.h"

#include "unit.h"

static const struct h1_limits usual = {8192, 16384, 40};

static void offer_request(struct h1_scan *scan, struct sluice_span bytes,
                          const struct h1_limits *limits, struct field_line *lines, const void *arg,
                          struct split_answer *answer)
{
    static const char *const forms[] = {"origin", "absolute", "authority", "asterisk"};
    static const char *const framings[] = {"none", "length", "chunked", "close"};
    struct request request;
    size_t head_bytes = 0;
    char text[256];

    (void)arg;
    memset(&request, 0xa5, sizeof(request));
    request.fields = (struct fields){.line = lines, .cap = SPLIT_LINES};
    answer->result = h1_parse_request(scan, bytes, limits, &request, &head_bytes);
    if (answer->result != H1_DONE)
        return;
    split_say_span(answer, "", request.method_text);
    ck_assert_uint_eq(request.method, method_find(request.method_text));
    split_say_span(answer, " ", request.target);
    split_say(answer, " ");
    split_say(answer, forms[request.form]);
    split_say_span(answer, " scheme=", request.scheme);
    split_say_span(answer, " authority=", request.authority);
    split_say_span(answer, " path=", request.path);
    split_say_span(answer, request.has_query ? " query=" : " no query", request.query);
    snprintf(text, sizeof(text), " 1.%d%s%s%s %s %lld", request.minor,
             request.keep_alive ? " keep" : "", request.expects_continue ? " continue" : "",
             request.accepts_trailers ? " trailers" : "", framings[request.framing],
             (long long)request.body_bytes);
    split_say(answer, text);
    split_say_fields(answer, &request.fields);
    snprintf(text, sizeof(text), " %zu", bytes.len - head_bytes);
    split_say(answer, text);
}

#define LEN(literal) (literal), sizeof(literal) - 1

static void check(const char *bytes, size_t len, const struct h1_limits *limits,
                  enum h1_result result, const char *text)
{
    struct split_answer *answer = malloc(sizeof(*answer));

    split_check(offer_request, bytes, len, limits, NULL, answer);
    ck_assert_msg(answer->result == result, "<<%s>> gave %d %s", bytes, (int)answer->result,
                  answer->text);
    ck_assert_str_eq(answer->text, text);
    free(answer);
}

struct good {
    const char *bytes;
    const char *text; /* the last number: bytes beyond the head */
};

static const struct good goods[] = {
    {"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
     "GET / origin scheme= authority=a path=/ no query 1.1 keep none -1 [Host=a] 0"},
    {"GET /a/b?c=d&e HTTP/1.1\r\nhOST:\t a:80 \t\r\n\r\nGET",
     "GET /a/b?c=d&e origin scheme= authority=a:80 path=/a/b query=c=d&e 1.1 keep none -1 "
     "[hOST=a:80] 3"},
    {"GET /? HTTP/1.1\r\nHost:\r\n\r\n",
     "GET /? origin scheme= authority= path=/ query= 1.1 keep none -1 [Host=] 0"},
    {"GET / HTTP/1.0\r\n\r\n", "GET / origin scheme= authority= path=/ no query 1.0 none -1 0"},
    {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
     "GET / origin scheme= authority= path=/ no query 1.0 keep none -1 [Connection=Keep-Alive] 0"},
    {"GET / HTTP/1.9\r\nHost: a\r\n\r\n",
     "GET / origin scheme= authority=a path=/ no query 1.1 keep none -1 [Host=a] 0"},
    {"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
     "GET / origin scheme= authority=a path=/ no query 1.1 keep none -1 [Host=a] 0"},
    {"GET / HTTP/1.1\r\nHost: a\r\nConnection: foo, CLOSE\r\n\r\n",
     "GET / origin scheme= authority=a path=/ no query 1.1 none -1 [Host=a] "
     "[Connection=foo, CLOSE] 0"},
    {"GET / HTTP/1.0\r\nConnection: keep-alive\r\nConnection: x,,close\r\n\r\n",
     "GET / origin scheme= authority= path=/ no query 1.0 none -1 [Connection=keep-alive] "
     "[Connection=x,,close] 0"},
    {"GET / HTTP/1.1\r\nHost: a\r\nConnection: closed, xclose\r\n\r\n",
     "GET / origin scheme= authority=a path=/ no query 1.1 keep none -1 [Host=a] "
     "[Connection=closed, xclose] 0"},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
     "POST / origin scheme= authority=a path=/ no query 1.1 keep length 5 [Host=a] "
     "[Content-Length=5] 5"},
    {"POST / HTTP/1.1\r\nHost: a\r\nCONTENT-LENGTH:0000000000000000000000000000000 \r\n\r\n",
     "POST / origin scheme= authority=a path=/ no query 1.1 keep length 0 [Host=a] "
     "[CONTENT-LENGTH=0000000000000000000000000000000] 0"},
    {"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775807\r\n\r\n",
     "PUT / origin scheme= authority=a path=/ no query 1.1 keep length 9223372036854775807 "
     "[Host=a] [Content-Length=9223372036854775807] 0"},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\t\r\n\r\n",
     "POST / origin scheme= authority=a path=/ no query 1.1 keep chunked -1 [Host=a] "
     "[Transfer-Encoding=CHUNKED] 0"},
    {"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nTE: gzip;q=0.5, Trailers\r\n\r\n",
     "POST / origin scheme= authority=a path=/ no query 1.1 keep continue trailers none -1 "
     "[Host=a] [Expect=100-Continue] [TE=gzip;q=0.5, Trailers] 0"},
    {"POST / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n",
     "POST / origin scheme= authority= path=/ no query 1.0 none -1 [Expect=100-continue] 0"},
    {"POST / HTTP/1.1\r\nHost: a\r\nExpect: something\r\nTE: trailersx\r\n\r\n",
     "POST / origin scheme= authority=a path=/ no query 1.1 keep none -1 [Host=a] "
     "[Expect=something] [TE=trailersx] 0"},
    {"GET http://b.example:8080/x?y HTTP/1.1\r\nHost: a\r\n\r\n",
     "GET http://b.example:8080/x?y absolute scheme=http authority=b.example:8080 path=/x query=y "
     "1.1 keep none -1 [Host=b.example:8080] 0"},
    {"GET HTTPS://[::1]?y HTTP/1.1\r\nHost: [::1]\r\n\r\n",
     "GET HTTPS://[::1]?y absolute scheme=HTTPS authority=[::1] path=/ query=y 1.1 keep none -1 "
     "[Host=[::1]] 0"},
    {"GET http://b HTTP/1.0\r\n\r\n",
     "GET http://b absolute scheme=http authority=b path=/ no query 1.0 none -1 0"},
    {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
     "OPTIONS * asterisk scheme= authority=a path=* no query 1.1 keep none -1 [Host=a] 0"},
    {"OPTIONS http://b HTTP/1.1\r\nHost: b\r\n\r\n",
     "OPTIONS http://b asterisk scheme=http authority=b path=* no query 1.1 keep none -1 "
     "[Host=b] 0"},
    {"OPTIONS http://b/ HTTP/1.1\r\nHost: b\r\n\r\n",
     "OPTIONS http://b/ absolute scheme=http authority=b path=/ no query 1.1 keep none -1 "
     "[Host=b] 0"},
    {"CONNECT b.example:443 HTTP/1.1\r\nHost: b.example:443\r\n\r\n",
     "CONNECT b.example:443 authority scheme= authority=b.example:443 path= no query 1.1 keep "
     "none -1 [Host=b.example:443] 0"},
    {"M-SEARCH /a;b=%2F HTTP/1.1\r\nHost: a\r\n\r\n",
     "M-SEARCH /a;b=%2F origin scheme= authority=a path=/a;b=%2F no query 1.1 keep none -1 "
     "[Host=a] 0"},
    {"GET / HTTP/1.1\r\nHost: a\r\n!#$%&'*+-.^_`|~0aZ: a\tb \x80\xff \"(,;@\r\nEmpty:\r\n\r\n",
     "GET / origin scheme= authority=a path=/ no query 1.1 keep none -1 [Host=a] "
     "[!#$%&'*+-.^_`|~0aZ=a\tb \x80\xff \"(,;@] [Empty=] 0"},
};

START_TEST(request_heads_are_read_however_they_are_split)
{
    for (size_t i = 0; i < sizeof(goods) / sizeof(goods[0]); i++)
        check(goods[i].bytes, strlen(goods[i].bytes), &usual, H1_DONE, goods[i].text);
}
END_TEST

struct bad {
    const char *bytes;
    size_t len;
    enum h1_rule rule;
};

#define HEAD(lines) LEN("POST / HTTP/1.1\r\nHost: a\r\n" lines "\r\n\r\n")
#define LINE(line)  LEN(line "\r\nHost: a\r\n\r\n")
#define HOST(value) LEN("GET / HTTP/1.1\r\nHost:" value "\r\n\r\n")

static void check_bads(const struct bad *bads, size_t n)
{
    for (size_t i = 0; i < n; i++)
        check(bads[i].bytes, bads[i].len, &usual, H1_WRONG, h1_rule_text(bads[i].rule));
}

#define CHECK_BADS(table) check_bads((table), sizeof(table) / sizeof((table)[0]))

static const struct bad bad_lines[] = {
    {LEN("\r\n\r\n\r\nGET / HTTP/1.1\r\n"), H1_RULE_START_LINE},
    {LEN("\nGET / HTTP/1.1\r\n"), H1_RULE_BARE_LF},
    {LEN("\rGET / HTTP/1.1\r\n"), H1_RULE_BARE_CR},
    {LEN(" GET / HTTP/1.1\r\n"), H1_RULE_START_LINE},
    {LINE("GET"), H1_RULE_START_LINE},
    {LINE("GET /"), H1_RULE_START_LINE},
    {LINE("GET  HTTP/1.1"), H1_RULE_START_LINE},
    {LINE("GET HTTP/1.1"), H1_RULE_START_LINE},
    {LINE("GET  / HTTP/1.1"), H1_RULE_START_LINE},
    {LINE("GET /  HTTP/1.1"), H1_RULE_START_LINE},
    {LINE("GET / HTTP/1.1 "), H1_RULE_START_LINE},
    {LINE("GET /\tHTTP/1.1"), H1_RULE_START_LINE},
    {LINE("GET\t/ HTTP/1.1"), H1_RULE_METHOD},
    {LINE("GET / http/1.1"), H1_RULE_START_LINE},
    {LINE("GET / HTTP/1.1x"), H1_RULE_START_LINE},
    {LINE("GET / HTTP/1.10"), H1_RULE_START_LINE},
    {LINE("GET / HTTP/11"), H1_RULE_START_LINE},
    {LINE("GET / HTTP/1,1"), H1_RULE_START_LINE},
    {LINE("GET / HTTP/+.1"), H1_RULE_START_LINE},
    {LINE("GET / HTTQ/1.1"), H1_RULE_START_LINE},
    {LINE("GET / HTTP/0.9"), H1_RULE_VERSION},
    {LINE("GET / HTTP/2.0"), H1_RULE_VERSION},
    {LEN("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), H1_RULE_VERSION},
    {LINE("G(T / HTTP/1.1"), H1_RULE_METHOD},
    {LINE("G\xc3\x89T / HTTP/1.1"), H1_RULE_METHOD},
    {LEN("\x16\x03\x01\x02\x00\x01"), H1_RULE_METHOD},
    {LEN("GET\0 / HTTP/1.1\r\n"), H1_RULE_METHOD},
    {LEN("GET /\0 HTTP/1.1\r\n"), H1_RULE_TARGET},
    {LEN("GET /\x7f HTTP/1.1\r\n"), H1_RULE_TARGET},
    {LEN("GET / HTTP/1.1\nHost: a\r\n"), H1_RULE_BARE_LF},
    {LEN("GET / HTTP/1.1\rHost: a\r\n"), H1_RULE_BARE_CR},
    {LEN("GET / HTTP/1.1\r\r\nHost: a\r\n"), H1_RULE_BARE_CR},
};

START_TEST(malformed_request_lines_are_refused)
{
    CHECK_BADS(bad_lines);
}
END_TEST

static const struct bad bad_targets[] = {
    {LINE("GET /a b HTTP/1.1"), H1_RULE_TARGET},
    {LINE("GET /a\tb HTTP/1.1"), H1_RULE_TARGET},
    {LINE("GET /a HTTP/1.1 HTTP/1.1"), H1_RULE_TARGET},
    {LINE("GET /a#b HTTP/1.1"), H1_RULE_TARGET},
    {LINE("GET /\xc3\xa9 HTTP/1.1"), H1_RULE_TARGET},
    {LINE("GET a HTTP/1.1"), H1_RULE_TARGET},
    {LINE("GET a/b HTTP/1.1"), H1_RULE_TARGET},
    {LINE("GET ?a HTTP/1.1"), H1_RULE_TARGET},
    {LINE("GET \\a HTTP/1.1"), H1_RULE_TARGET},
    {LINE("GET * HTTP/1.1"), H1_RULE_TARGET},
    {LINE("OPTIONS ** HTTP/1.1"), H1_RULE_TARGET},
    {LINE("OPTIONS *?a HTTP/1.1"), H1_RULE_TARGET},
    {LINE("GET ftp://a/ HTTP/1.1"), H1_RULE_TARGET},
    {LINE("GET http:a HTTP/1.1"), H1_RULE_TARGET},
    {LINE("GET http:/a HTTP/1.1"), H1_RULE_TARGET},
    {LINE("GET http:// HTTP/1.1"), H1_RULE_TARGET},
    {LINE("GET http:///x HTTP/1.1"), H1_RULE_TARGET},
    {LINE("GET http://:80/x HTTP/1.1"), H1_RULE_TARGET},
    {LINE("GET http://u@a/ HTTP/1.1"), H1_RULE_TARGET},
    {LINE("GET http://u:p@a/ HTTP/1.1"), H1_RULE_TARGET},
    {LINE("GET http://a:b/ HTTP/1.1"), H1_RULE_TARGET},
    {LINE("GET http://a:65536/ HTTP/1.1"), H1_RULE_TARGET},
    {LINE("GET http://a\\b/ HTTP/1.1"), H1_RULE_TARGET},
    {LINE("GET a:80 HTTP/1.1"), H1_RULE_TARGET},
    {LINE("CONNECT / HTTP/1.1"), H1_RULE_TARGET},
    {LINE("CONNECT a HTTP/1.1"), H1_RULE_TARGET},
    {LINE("CONNECT :443 HTTP/1.1"), H1_RULE_TARGET},
    {LINE("CONNECT u@a:443 HTTP/1.1"), H1_RULE_TARGET},
    {LINE("CONNECT http://a:443 HTTP/1.1"), H1_RULE_TARGET},
};

START_TEST(malformed_targets_are_refused)
{
    CHECK_BADS(bad_targets);
}
END_TEST

static const struct bad bad_fields[] = {
    {HEAD("No colon"), H1_RULE_FIELD_NAME},
    {HEAD("NoColon"), H1_RULE_FIELD_NAME},
    {HEAD(": empty name"), H1_RULE_FIELD_NAME},
    {HEAD("A(b): c"), H1_RULE_FIELD_NAME},
    {HEAD("A b: c"), H1_RULE_FIELD_NAME},
    {HEAD("\"A\": c"), H1_RULE_FIELD_NAME},
    {HEAD("A\xe9: c"), H1_RULE_FIELD_NAME},
    {HEAD("A\0: c"), H1_RULE_FIELD_NAME},
    {HEAD("\x0b"
          "A: c"),
     H1_RULE_FIELD_NAME},
    {HEAD("A\x0b: c"), H1_RULE_FIELD_NAME},
    {HEAD("A : c"), H1_RULE_FIELD_SPACE},
    {HEAD("A\t: c"), H1_RULE_FIELD_SPACE},
    {HEAD("Transfer-Encoding : chunked"), H1_RULE_FIELD_SPACE},
    {HEAD("Content-Length\t:5"), H1_RULE_FIELD_SPACE},
    {HEAD("A: b\r\n c"), H1_RULE_FOLD},
    {HEAD("A: b\r\n\tc: d"), H1_RULE_FOLD},
    {HEAD("A: b\r\n "), H1_RULE_FOLD},
    {HEAD("Transfer-Encoding:\r\n chunked"), H1_RULE_CODING},
    {LEN("GET / HTTP/1.1\r\n Host: a\r\n\r\n"), H1_RULE_FOLD},
    {LEN("GET / HTTP/1.1\r\n\tX: a\r\nHost: a\r\n\r\n"), H1_RULE_FOLD},
    {HEAD("A: b\0c"), H1_RULE_FIELD_VALUE},
    {HEAD("A: b\x01"), H1_RULE_FIELD_VALUE},
    {HEAD("A: b\x7f"), H1_RULE_FIELD_VALUE},
    {HEAD("A: b\x0b"), H1_RULE_FIELD_VALUE},
    {HEAD("A: b\x0c"), H1_RULE_FIELD_VALUE},
    {HEAD("A: b\x1b[2J"), H1_RULE_FIELD_VALUE},
    {HEAD("A: b\nC: d"), H1_RULE_BARE_LF},
    {HEAD("A: b\n\n"), H1_RULE_BARE_LF},
    {HEAD("A: b\rC: d"), H1_RULE_BARE_CR},
    {HEAD("A: b\r\r"), H1_RULE_BARE_CR},
    {LEN("GET / HTTP/1.1\r\nHost: a\r\n\n"), H1_RULE_BARE_LF},
    {LEN("GET / HTTP/1.1\r\nHost: a\r\n\rX"), H1_RULE_BARE_CR},
};

START_TEST(malformed_fields_are_refused)
{
    CHECK_BADS(bad_fields);
}
END_TEST

static const struct bad bad_framings[] = {
    {HEAD("Content-Length: "), H1_RULE_LENGTH},
    {HEAD("Content-Length: +5"), H1_RULE_LENGTH},
    {HEAD("Content-Length: -5"), H1_RULE_LENGTH},
    {HEAD("Content-Length: 5, 5"), H1_RULE_LENGTH},
    {HEAD("Content-Length: 5,6"), H1_RULE_LENGTH},
    {HEAD("Content-Length: 0x5"), H1_RULE_LENGTH},
    {HEAD("Content-Length:  5 6"), H1_RULE_LENGTH},
    {HEAD("Content-Length: 5;"), H1_RULE_LENGTH},
    {HEAD("Content-Length: 5.0"), H1_RULE_LENGTH},
    {HEAD("Content-Length: 1e3"), H1_RULE_LENGTH},
    {HEAD("Content-Length: \"5\""), H1_RULE_LENGTH},
    {HEAD("Content-Length: five"), H1_RULE_LENGTH},
    {HEAD("Content-Length: 9223372036854775808"), H1_RULE_LENGTH},
    {HEAD("Content-Length: 18446744073709551621"), H1_RULE_LENGTH},
    {HEAD("Content-Length: 99999999999999999999999"), H1_RULE_LENGTH},
    {HEAD("Content-Length: 000000000000000000000000000000005"), H1_RULE_LENGTH},
    {HEAD("Content-Length: 5\r\nContent-Length: 5"), H1_RULE_LENGTH_TWICE},
    {HEAD("Content-Length: 5\r\ncontent-length: 6"), H1_RULE_LENGTH_TWICE},
    {HEAD("Content-Length: 5\r\nTransfer-Encoding: chunked"), H1_RULE_LENGTH_AND_CODING},
    {HEAD("Transfer-Encoding: chunked\r\nContent-Length: 5"), H1_RULE_LENGTH_AND_CODING},
    {HEAD("Transfer-Encoding: chunked\r\nX: y\r\nContent-length: x"), H1_RULE_LENGTH_AND_CODING},
    {HEAD("Transfer-Encoding: "), H1_RULE_CODING},
    {HEAD("Transfer-Encoding: identity"), H1_RULE_CODING},
    {HEAD("Transfer-Encoding: gzip"), H1_RULE_CODING},
    {HEAD("Transfer-Encoding: gzip, chunked"), H1_RULE_CODING},
    {HEAD("Transfer-Encoding: chunked, gzip"), H1_RULE_CODING},
    {HEAD("Transfer-Encoding: chunked, chunked"), H1_RULE_CODING},
    {HEAD("Transfer-Encoding: chunked, identity"), H1_RULE_CODING},
    {HEAD("Transfer-Encoding: identity, chunked"), H1_RULE_CODING},
    {HEAD("Transfer-Encoding: ,chunked"), H1_RULE_CODING},
    {HEAD("Transfer-Encoding: chunked,"), H1_RULE_CODING},
    {HEAD("Transfer-Encoding: chunked;q=1"), H1_RULE_CODING},
    {HEAD("Transfer-Encoding: xchunked"), H1_RULE_CODING},
    {HEAD("Transfer-Encoding: chunkedx"), H1_RULE_CODING},
    {HEAD("Transfer-Encoding: \"chunked\""), H1_RULE_CODING},
    {HEAD("Transfer-Encoding: 'chunked'"), H1_RULE_CODING},
    {HEAD("Transfer-Encoding: chun ked"), H1_RULE_CODING},
    {HEAD("Transfer-Encoding: chunked\xa0"), H1_RULE_CODING},
    {HEAD("Transfer-Encoding: chunked\x0b"), H1_RULE_FIELD_VALUE},
    {HEAD("Transfer-Encoding: \x0b"
          "chunked"),
     H1_RULE_FIELD_VALUE},
    {HEAD("Transfer-Encoding: chunked\0"), H1_RULE_FIELD_VALUE},
    {HEAD("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), H1_RULE_CODING},
    {HEAD("Transfer-Encoding: chunked\r\ntransfer-encoding: identity"), H1_RULE_CODING},
    {HEAD("X: y\nTransfer-Encoding: chunked"), H1_RULE_BARE_LF},
    {HEAD("X: y\rTransfer-Encoding: chunked"), H1_RULE_BARE_CR},
    {LEN("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), H1_RULE_CODING_VERSION},
    {LEN("POST / HTTP/1.0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
     H1_RULE_LENGTH_AND_CODING},
};

START_TEST(ambiguous_framing_is_refused)
{
    CHECK_BADS(bad_framings);
}
END_TEST

static const struct bad bad_hosts[] = {
    {LEN("GET / HTTP/1.1\r\n\r\n"), H1_RULE_HOST_MISSING},
    {LEN("GET http://a/ HTTP/1.1\r\n\r\n"), H1_RULE_HOST_MISSING},
    {LEN("GET / HTTP/1.2\r\nX: y\r\n\r\n"), H1_RULE_HOST_MISSING},
    {LEN("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"), H1_RULE_HOST_TWICE},
    {LEN("GET / HTTP/1.0\r\nHost: a\r\nHOST: b\r\n\r\n"), H1_RULE_HOST_TWICE},
    {LEN("GET http://a/ HTTP/1.1\r\nHost:\r\n\r\n"), H1_RULE_HOST},
    {LEN("CONNECT a:1 HTTP/1.1\r\nHost: \r\n\r\n"), H1_RULE_HOST},
    {HOST("a:b"), H1_RULE_HOST},
    {HOST("a:0"), H1_RULE_HOST},
    {HOST("a:65536"), H1_RULE_HOST},
    {HOST("a:000080"), H1_RULE_HOST},
    {HOST("a:80:80"), H1_RULE_HOST},
    {HOST(":80"), H1_RULE_HOST},
    {HOST("u@a"), H1_RULE_HOST},
    {HOST("a/b"), H1_RULE_HOST},
    {HOST("a b"), H1_RULE_HOST},
    {HOST("a,b"), H1_RULE_HOST},
    {HOST("a?b"), H1_RULE_HOST},
    {HOST("a#b"), H1_RULE_HOST},
    {HOST("a\\b"), H1_RULE_HOST},
    {HOST("a%00"), H1_RULE_HOST},
    {HOST("<a>"), H1_RULE_HOST},
    {HOST("\xc3\xa9"), H1_RULE_HOST},
    {HOST("a..b"), H1_RULE_HOST},
    {HOST("[::1"), H1_RULE_HOST},
    {HOST("::1"), H1_RULE_HOST},
    {HOST("[::1]a"), H1_RULE_HOST},
};

START_TEST(missing_doubled_or_malformed_hosts_are_refused)
{
    CHECK_BADS(bad_hosts);
}
END_TEST

START_TEST(start_line_limit_is_exact)
{
    struct h1_limits limits = usual;
    static const char head[] = "GET /abc HTTP/1.1\r\nHost: a\r\n\r\n";

    limits.line_bytes = sizeof("GET /abc HTTP/1.1") - 1;
    check(LEN(head), &limits, H1_DONE,
          "GET /abc origin scheme= authority=a path=/abc no query 1.1 keep none -1 [Host=a] 0");
    limits.line_bytes--;
    check(LEN(head), &limits, H1_WRONG, h1_rule_text(H1_RULE_LINE_BYTES));
    check(LEN("GET /aaaaaaaaaaa"), &limits, H1_AGAIN, "");
    check(LEN("GET /aaaaaaaaaaaa"), &limits, H1_WRONG, h1_rule_text(H1_RULE_LINE_BYTES));
    check(LEN("\r\nGET /aaaaaaaaaaa"), &limits, H1_AGAIN, "");
}
END_TEST

START_TEST(head_limit_is_exact)
{
    struct h1_limits limits = usual;
    static const char head[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\nbody";

    limits.head_bytes = sizeof(head) - 1 - 4;
    check(LEN(head), &limits, H1_DONE,
          "GET / origin scheme= authority=a path=/ no query 1.1 keep none -1 [Host=a] 4");
    limits.head_bytes--;
    check(LEN(head), &limits, H1_WRONG, h1_rule_text(H1_RULE_HEAD_BYTES));
    limits.head_bytes = 15; /* between the CR and the LF of the start line */
    check(LEN(head), &limits, H1_WRONG, h1_rule_text(H1_RULE_LINE_BYTES));
}
END_TEST

START_TEST(field_limit_is_exact)
{
    struct h1_limits limits = usual;
    static const char head[] = "GET / HTTP/1.1\r\nHost: a\r\nB: c\r\n\r\n";

    limits.field_count = 2;
    check(LEN(head), &limits, H1_DONE,
          "GET / origin scheme= authority=a path=/ no query 1.1 keep none -1 [Host=a] [B=c] 0");
    limits.field_count = 1;
    check(LEN(head), &limits, H1_WRONG, h1_rule_text(H1_RULE_FIELD_COUNT));
}
END_TEST

START_TEST(fields_never_exceed_the_table)
{
    struct h1_scan scan = {0};
    struct field_line lines[2];
    struct request request = {.fields = {.line = lines, .cap = 1}};
    size_t head_bytes;

    ck_assert_int_eq(h1_parse_request(&scan, SPAN("GET / HTTP/1.1\r\nHost: a\r\nB: c\r\n\r\n"),
                                      &usual, &request, &head_bytes),
                     H1_WRONG);
    ck_assert_uint_eq(scan.rule, H1_RULE_FIELD_COUNT);
}
END_TEST

START_TEST(every_truncated_head_asks_for_more)
{
    static const char head[] =
        "GET /abc?d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

    for (size_t n = 0; n < sizeof(head) - 1; n++)
        check(head, n, &usual, H1_AGAIN, "");
}
END_TEST

UNIT_MAIN("http/h1_parse request", request_heads_are_read_however_they_are_split,
          malformed_request_lines_are_refused, malformed_targets_are_refused,
          malformed_fields_are_refused, ambiguous_framing_is_refused,
          missing_doubled_or_malformed_hosts_are_refused, start_line_limit_is_exact,
          head_limit_is_exact, field_limit_is_exact, fields_never_exceed_the_table,
          every_truncated_head_asks_for_more)
