/*
 * page_connections.c - the connections there are, and the end of one that somebody wants gone.
 */
#include "admin/pages.h"
#include "config/json.h"
#include "http/target.h"
#include "proxy/connections.h"

enum {
    ROWS_PRESET = 100,
    VALUE_ROOM = CONNECTIONS_NAME_MAX,
};

/* -- what is asked for ---------------------------------------------------------------- */

/* One parameter of the query, decoded. */
struct parameter {
    char room[VALUE_ROOM];
    struct sluice_span value;
};

/* False: it is not there, or empty, which means the same. */
static bool find(const struct ask *ask, const char *name, struct parameter *parameter)
{
    return target_query_find(ask->query, span_of(name), parameter->room, sizeof(parameter->room),
                             &parameter->value) &&
           parameter->value.len > 0;
}

/* "30s", "500ms", "5m", "2h", "1d"; a number alone is seconds. */
static bool read_time(struct sluice_span told, uint64_t *ms)
{
    static const struct {
        struct sluice_span unit;
        uint64_t ms;
    } units[] = {{SPAN("ms"), 1},      {SPAN("s"), 1000},     {SPAN("m"), 60000},
                 {SPAN("h"), 3600000}, {SPAN("d"), 86400000}, {SPAN(""), 1000}};
    size_t n = 0;

    while (n < told.len && told.ptr[n] >= '0' && told.ptr[n] <= '9')
        n++;
    if (n == 0 || span_number(span_make(told.ptr, n), UINT32_MAX, ms))
        return false;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (span_equal(units[i].unit, span_make(told.ptr + n, told.len - n))) {
            *ms *= units[i].ms;
            return true;
        }
    }
    return false;
}

struct choice_of_page {
    struct sluice_span name;
    int value;
};

static bool choose(struct sluice_span told, const struct choice_of_page *choices, int *value)
{
    for (; choices->name.len > 0; choices++) {
        if (span_equal_nocase(choices->name, told)) {
            *value = choices->value;
            return true;
        }
    }
    return false;
}

static const struct choice_of_page protocols[] = {
    {SPAN("HTTP/1.1"), SESSION_HTTP_1},  {SPAN("h1"), SESSION_HTTP_1},
    {SPAN("HTTP/2"), SESSION_HTTP_2},    {SPAN("h2"), SESSION_HTTP_2},
    {SPAN("tunnel"), SESSION_TUNNELS},   {SPAN("websocket"), SESSION_TUNNELS},
    {SPAN("none"), SESSION_NO_PROTOCOL}, {{0}, 0}};

static const struct choice_of_page sides[] = {
    {SPAN("downstream"), CONNECTIONS_DOWN}, {SPAN("upstream"), CONNECTIONS_UP}, {{0}, 0}};

static const struct choice_of_page sorts[] = {{SPAN("age"), CONNECTIONS_BY_AGE},
                                              {SPAN("idle"), CONNECTIONS_BY_IDLE},
                                              {SPAN("requests"), CONNECTIONS_BY_REQUESTS},
                                              {{0}, 0}};

/* Numbers: NULL, or what is wrong. */
static const char *read_numbers(const struct ask *ask, struct connections_wanted *wanted)
{
    struct parameter one;
    uint64_t number;

    if (find(ask, "limit", &one)) {
        if (span_number(one.value, CONNECTIONS_MAX, &number) || number == 0)
            return "limit= is a number of connections from 1 to 1000.";
        wanted->limit = (unsigned)number;
    }
    if (find(ask, "worker", &one)) {
        if (span_number(one.value, ask->host->crew->n_workers - 1, &number))
            return "worker= is the number of a worker, from 0; GET /workers lists them.";
        wanted->worker = (int)number;
    }
    if (find(ask, "id", &one) && span_number(one.value, UINT64_MAX, &wanted->id))
        return "id= is the number of a connection.";
    if (find(ask, "idle_over", &one) && !read_time(one.value, &wanted->idle_over_ms))
        return "idle_over= is a time such as 30s, 5m or 500ms.";
    return NULL;
}

/* What only one of the sides has; NULL, or what is wrong. */
static const char *read_side(const struct ask *ask, struct connections_wanted *wanted,
                             struct parameter *name)
{
    struct parameter one;
    int side = CONNECTIONS_DOWN;
    bool is_up;

    if (find(ask, "side", &one) && !choose(one.value, sides, &side))
        return "side= is downstream or upstream.";
    wanted->side = (enum connections_side)side;
    is_up = wanted->side == CONNECTIONS_UP;
    if (is_up &&
        (find(ask, "client", &one) || find(ask, "listener", &one) || find(ask, "id", &one)))
        return "client=, listener= and id= are of clients, not of side=upstream.";
    if (!is_up && find(ask, "upstream", &one))
        return "upstream= goes with side=upstream.";
    if (find(ask, is_up ? "upstream" : "listener", name))
        wanted->name = name->value;
    return NULL;
}

/* NULL, or what is wrong. name: memory for one that wanted borrows. */
static const char *read_query(const struct ask *ask, struct connections_wanted *wanted,
                              struct parameter *name)
{
    const char *wrong = read_side(ask, wanted, name);
    int sort = CONNECTIONS_BY_AGE;
    struct parameter one;

    if (wrong)
        return wrong;
    if (find(ask, "sort", &one) && !choose(one.value, sorts, &sort))
        return "sort= is age, idle or requests.";
    wanted->sort = (enum connections_sort)sort;
    if (find(ask, "protocol", &one) && !choose(one.value, protocols, &wanted->protocol))
        return "protocol= is h1, h2, tunnel or none.";
    wanted->has_client = find(ask, "client", &one);
    if (wanted->has_client && addr_range_parse(one.value, &wanted->client))
        return "client= is an IP address or a network such as 10.0.0.0/8.";
    return read_numbers(ask, wanted);
}

/* -- GET /connections ------------------------------------------------------------------- */

void page_connections(const struct ask *ask, struct answer *answer)
{
    struct connections_wanted wanted = {
        .limit = ROWS_PRESET, .worker = CONNECTIONS_ANY, .protocol = CONNECTIONS_ANY};
    struct parameter name;
    const char *wrong = read_query(ask, &wanted, &name);

    if (wrong) {
        answer_problem(answer, 422, wrong);
    } else {
        answer->question = connections_ask(&wanted);
    }
}

void finish_connections(const struct ask *ask, const struct inquiry *inquiry, struct answer *answer)
{
    unsigned n_workers = ask->host->crew->n_workers;
    struct json json = {.out = &answer->body};

    json_open(&json, NULL, '{');
    connections_write(inquiry, n_workers, &json);
    (void)answer_silent(&json, inquiry, n_workers);
    json_close(&json, '}');
    text_add_char(&answer->body, '\n');
}

/* -- POST /connections/ID/close ---------------------------------------------------------- */

/* "12/close" */
static bool read_id(struct sluice_span rest, uint64_t *id)
{
    const struct sluice_span end = SPAN("/close");

    return rest.len > end.len &&
           span_equal(span_make(rest.ptr + rest.len - end.len, end.len), end) &&
           span_number(span_make(rest.ptr, rest.len - end.len), UINT64_MAX, id) == OK && *id > 0;
}

void page_connection(const struct ask *ask, struct answer *answer)
{
    struct parameter now;
    uint64_t id;

    if (!read_id(ask->rest, &id)) {
        answer_problem(answer, 404,
                       "Say POST /connections/ID/close; GET /connections has the ids.");
        return;
    }
    answer->question =
        connections_close(id, find(ask, "now", &now) && !span_equal(now.value, SPAN("false")));
}

void finish_connection(const struct ask *ask, const struct inquiry *inquiry, struct answer *answer)
{
    struct json json = {.out = &answer->body};

    switch (connections_ended(inquiry, ask->host->crew->n_workers)) {
    case CONNECTIONS_NONE:
        answer_problem(answer, 404, "There is no such connection, or its worker does not answer.");
        return;
    case CONNECTIONS_TALKS:
        answer_problem(answer, 409, "It is a tunnel, which only ?now=true ends.");
        return;
    case CONNECTIONS_ENDED:
        break;
    case CONNECTIONS_ENDS:
        answer->status = 202;
        break;
    }
    json_open_row(&json, NULL, '{');
    json_literal(&json, "ok", SPAN("true"));
    json_literal(&json, "closed", answer->status == 200 ? SPAN("true") : SPAN("false"));
    json_close(&json, '}');
    text_add_char(&answer->body, '\n');
}
