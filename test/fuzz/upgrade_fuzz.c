/*
 * upgrade_fuzz.c - the handshake of a tunnel: what is asked of the upstream is one protocol that
 * the route allows, written once, and a response is taken for its grant only if it says the same.
 *
 * Input: a request head and a response head, one after the other.
 */
#include "base/check.h"
#include "http/h1_parse.h"
#include "http/h1_write.h"
#include "http/rules.h"
#include "proxy/exchange.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len);

enum { LINES = 16, OUT = 8192 };

static const struct h1_limits limits = {256, 2048, LINES};

static bool read_request(struct sluice_span bytes, struct field_line *lines,
                         struct request *request, size_t *head_bytes)
{
    struct h1_scan scan = {0};

    *request = (struct request){.fields = {.line = lines, .cap = LINES}};
    return h1_parse_request(&scan, bytes, &limits, request, head_bytes) == H1_DONE;
}

static unsigned count(const struct fields *fields, enum field_id id)
{
    unsigned n = 0;

    for (unsigned i = 0; i < fields->n; i++) {
        n += fields->line[i].id == id;
    }
    return n;
}

/* What leaves for the upstream asks for this and for nothing else. */
static void check_asked(struct request *request, const struct route *route)
{
    struct sluice_span wanted = upgrade_wanted(request, route), host = SPAN("a");
    struct field_line lines[LINES];
    struct request sent;
    char out[OUT];
    size_t n;

    request->upgrade = wanted;
    rules_drop_hop_by_hop(&request->fields);
    n = h1_write_request(out, sizeof(out), request, SPAN("/"), host, FRAMING_NONE, BODY_UNKNOWN,
                         H1_CONNECTION_NONE);
    if (n == 0 || !read_request(span_make(out, n), lines, &sent, &n))
        return; /* the table of the second reading is full */
    CHECK(count(&sent.fields, FIELD_UPGRADE) == (wanted.len > 0));
    if (wanted.len == 0)
        return;
    CHECK(span_equal_nocase(wanted, route->upgrades[0]) ||
          span_equal_nocase(wanted, route->upgrades[1]));
    CHECK(span_equal(upgrade_wanted(&sent, route), wanted));
}

static void check_granted(struct sluice_span bytes, struct sluice_span wanted)
{
    struct field_line lines[LINES];
    struct response response = {.fields = {.line = lines, .cap = LINES}};
    struct exchange ex = {.request = {.upgrade = SPAN("")}};
    struct h1_scan scan = {0};
    struct field_line *line;
    size_t head_bytes;

    if (h1_parse_response(&scan, bytes, &limits, METHOD_GET, &response, &head_bytes) != H1_DONE)
        return;
    CHECK(!upgrade_is_open(&ex, &response));
    ex.request.upgrade = wanted;
    if (!upgrade_is_open(&ex, &response))
        return;
    line = fields_find(&response.fields, FIELD_UPGRADE);
    CHECK(line && span_equal_nocase(field_value(line), wanted));
    rules_drop_hop_by_hop(&response.fields);
    CHECK(!upgrade_is_open(&ex, &response));
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len)
{
    struct sluice_span allowed[] = {SPAN("websocket"), SPAN("chat/2")};
    const struct route route = {.upgrades = allowed, .n_upgrades = 2}, none = {.n_upgrades = 0};
    struct sluice_span bytes = span_make((const char *)input, len);
    struct field_line lines[LINES];
    struct request request;
    size_t used;

    if (!read_request(bytes, lines, &request, &used))
        return 0;
    CHECK(upgrade_wanted(&request, &none).len == 0);
    check_asked(&request, &route);
    check_granted(span_make(bytes.ptr + used, len - used),
                  request.upgrade.len > 0 ? request.upgrade : allowed[0]);
    return 0;
}
