#include "http/rules.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>

struct pair {
    const char *name, *value;
};

/* The names that are left, each followed by a space. */
static const char *left_of(const struct pair *pairs, size_t n)
{
    static struct field_line lines[64];
    static char text[1024];
    struct fields fields = {.line = lines, .cap = 64};

    for (size_t i = 0; i < n; i++)
        ck_assert(fields_add(&fields, span_of(pairs[i].name), span_of(pairs[i].value)) == OK);
    rules_drop_hop_by_hop(&fields);
    text[0] = '\0';
    for (unsigned i = 0; i < fields.n; i++) {
        size_t at = strlen(text);

        if (!(lines[i].mark & FIELD_DROPPED))
            snprintf(text + at, sizeof(text) - at, "%.*s=%.*s ", (int)lines[i].name_len,
                     lines[i].name, (int)lines[i].value_len, lines[i].value);
    }
    return text;
}

#define LEFT(...)                                                                                  \
    left_of((const struct pair[]){__VA_ARGS__},                                                    \
            sizeof((const struct pair[]){__VA_ARGS__}) / sizeof(struct pair))

START_TEST(what_is_of_this_hop_is_dropped)
{
    ck_assert_str_eq(LEFT({"Connection", "close"}, {"Keep-Alive", "timeout=5"},
                          {"Proxy-Connection", "close"}, {"Transfer-Encoding", "chunked"},
                          {"Content-Length", "5"}, {"Upgrade", "h2c"}, {"TE", "gzip"},
                          {"Proxy-Authenticate", "Basic"}, {"Proxy-Authorization", "Basic x"},
                          {"Trailer", "a"}, {"X-Stay", "1"}),
                     "Trailer=a X-Stay=1 ");
}
END_TEST

START_TEST(what_connection_names_is_dropped)
{
    ck_assert_str_eq(LEFT({"X-A", "1"}, {"Connection", "x-a,\tX-B ,,keep-alive"}, {"x-b", "2"},
                          {"X-b", "3"}, {"X-C", "4"}, {"connection", "X-D"}, {"X-D", "5"}),
                     "X-C=4 ");
    ck_assert_str_eq(LEFT({"Connection", "user-agent, close"}, {"User-Agent", "a"}, {"X", ""}),
                     "X= ");
}
END_TEST

START_TEST(what_the_message_needs_is_not_dropped_by_naming_it)
{
    ck_assert_str_eq(
        LEFT({"Host", "h"}, {"Authorization", "a"}, {"Cookie", "c"}, {"Cache-Control", "no"},
             {"X-Forwarded-For", "f"}, {"Via", "v"}, {"Content-Type", "t"}, {"Range", "r"},
             {"Connection", "host, authorization, COOKIE, cache-control, x-forwarded-for, via, "
                            "content-type, range, content-length, connection, trailer"},
             {"Trailer", "x"}, {"Set-Cookie", "s"}, {"Connection", "set-cookie"}),
        "Host=h Authorization=a Cookie=c Cache-Control=no X-Forwarded-For=f Via=v "
        "Content-Type=t Range=r Trailer=x Set-Cookie=s ");
}
END_TEST

START_TEST(te_keeps_its_trailers_and_nothing_else)
{
    ck_assert_str_eq(LEFT({"TE", "gzip;q=1, Trailers"}, {"Connection", "te"}), "TE=trailers ");
    ck_assert_str_eq(LEFT({"TE", "trailersx"}), "");
}
END_TEST

START_TEST(lists_are_searched_by_whole_tokens_in_any_case)
{
    ck_assert(rules_list_has(SPAN("close"), SPAN("close")));
    ck_assert(rules_list_has(SPAN("a, \tCLOSE ,b"), SPAN("close")));
    ck_assert(rules_list_has(SPAN(",,close"), SPAN("close")));
    ck_assert(!rules_list_has(SPAN("closed"), SPAN("close")));
    ck_assert(!rules_list_has(SPAN("xclose, clos"), SPAN("close")));
    ck_assert(!rules_list_has(SPAN("a close"), SPAN("close")));
    ck_assert(!rules_list_has(SPAN(""), SPAN("close")));
}
END_TEST

START_TEST(trailers_may_not_frame_route_or_authenticate)
{
    static const char *const never[] = {"Content-Length",
                                        "transfer-encoding",
                                        "HOST",
                                        "Connection",
                                        "TE",
                                        "Trailer",
                                        "Upgrade",
                                        "Cache-Control",
                                        "Expect",
                                        "Max-Forwards",
                                        "Pragma",
                                        "Range",
                                        "If-Match",
                                        "If-None-Match",
                                        "Authorization",
                                        "Cookie",
                                        "Set-Cookie",
                                        "WWW-Authenticate",
                                        "Content-Type",
                                        "Content-Encoding",
                                        "Content-Range",
                                        "Age",
                                        "Expires",
                                        "Date",
                                        "Location",
                                        "Retry-After",
                                        "Vary",
                                        "Warning",
                                        "Forwarded",
                                        "X-Forwarded-For",
                                        "X-Real-IP",
                                        "Keep-Alive",
                                        "Proxy-Authorization",
                                        "Client-Cert",
                                        "Client_Cert_Chain",
                                        "Early-Data",
                                        "X_Forwarded_For",
                                        "CONTENT_LENGTH"};
    static const char *const fine[] = {"Grpc-Status",
                                       "Digest",
                                       "ETag",
                                       "Server-Timing",
                                       "X-Sum",
                                       "x_sum",
                                       "a_name_that_is_longer_than_any_that_is_known"};

    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
        ck_assert_msg(!rules_may_be_trailer(span_of(never[i])), "%s", never[i]);
    for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++)
        ck_assert_msg(rules_may_be_trailer(span_of(fine[i])), "%s", fine[i]);
}
END_TEST

UNIT_MAIN("http/rules", what_is_of_this_hop_is_dropped, what_connection_names_is_dropped,
          what_the_message_needs_is_not_dropped_by_naming_it,
          te_keeps_its_trailers_and_nothing_else, lists_are_searched_by_whole_tokens_in_any_case,
          trailers_may_not_frame_route_or_authenticate)
