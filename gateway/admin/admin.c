/*
 * admin.c - libevent's HTTP server in front of the pages.
 *
 * A request goes through three questions: is it whole and unambiguous (framed), may it be asked
 * (gate.h), which page is it. What passes is answered at once, in the same callback.
 */
#include "admin/admin.h"

#include "admin/collect.h"
#include "admin/gate.h"
#include "admin/pages.h"
#include "base/alloc.h"
#include "base/check.h"
#include "base/log.h"
#include "core/alarm.h"
#include "core/loop.h"
#include "http/message.h"
#include "http/octet.h"
#include "observe/metrics.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <event2/util.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <sys/socket.h>

enum {
    HEAD_MAX = 8 * 1024,
    BODY_MAX = 4 * 1024, /* no page wants one; a client may send one all the same */
    QUIET_S = 10,        /* then a silent client is let go; each holds a descriptor */
    WATCH_MS = 1000,     /* how long accepting rests when there are no descriptors */
    METHODS = EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT |
              EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE | EVHTTP_REQ_CONNECT |
              EVHTTP_REQ_PATCH, /* all known ones: we say 405 ourselves */
    REST_MAX = 1024,
    LATER_MAX = 16, /* answers that wait for workers */
};

struct admin {
    struct loop *loop;               /* borrowed, outlives us */
    struct admin_host host;          /* our copy; what it points to outlives us */
    struct metrics *own;             /* owned: what we say on the metrics page */
    struct evhttp *http;             /* owned */
    struct evconnlistener *listener; /* borrowed from http */
    struct alarm watch;
    struct list later; /* of struct later */
    unsigned n_later;
    bool is_local; /* a unix socket: no browser gets there by a name */
};

/* A request whose answer waits for what workers say. */
struct later {
    struct list link;
    struct admin *admin;
    const struct admin_page *page;
    struct evhttp_request *request; /* borrowed: of its connection */
    struct inquiry *inquiry;        /* until it is done */
};

/* -- may it pass ----------------------------------------------------------- */

static unsigned count_fields(const struct evkeyvalq *fields, const char *name)
{
    const struct evkeyval *field;
    unsigned n = 0;

    TAILQ_FOREACH(field, fields, next)
    {
        n += strcasecmp(field->key, name) == 0;
    }
    return n;
}

/* NULL when the request can be read in one way only, else what is wrong. */
static const char *misframed(const struct evhttp_request *request, const struct evkeyvalq *fields)
{
    unsigned n_hosts = count_fields(fields, "Host");
    unsigned n_lengths = count_fields(fields, "Content-Length");
    unsigned n_codings = count_fields(fields, "Transfer-Encoding");

    if (n_hosts > 1)
        return "There is more than one Host field.";
    if (n_hosts == 0 && request->minor > 0)
        return "There is no Host field.";
    if (n_lengths + n_codings > 1)
        return "The length of the content is told twice.";
    return NULL;
}

static bool may_ask(const struct admin *admin, const struct evhttp_request *request,
                    const struct evkeyvalq *fields)
{
    const char *host = evhttp_find_header(fields, "Host");
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
    const char *authority = uri ? evhttp_uri_get_host(uri) : NULL;

    if (evhttp_find_header(fields, "Origin"))
        return false;
    if (admin->is_local)
        return true;
    return (!host || gate_has_host(span_of(host))) &&
           (!authority || gate_has_host(span_of(authority)));
}

/* -- answer ---------------------------------------------------------------- */

static bool is_method(enum evhttp_cmd_type command, enum admin_method method)
{
    switch (method) {
    case ADMIN_GET:
        return command == EVHTTP_REQ_GET || command == EVHTTP_REQ_HEAD;
    case ADMIN_POST:
        return command == EVHTTP_REQ_POST;
    case ADMIN_PUT:
        return command == EVHTTP_REQ_PUT;
    }
    return false;
}

/* "a%5B1%5D" is "a[1]". False when it is too long for REST_MAX bytes at out, or malformed. */
static bool decode(struct sluice_span sent, char *out, struct sluice_span *rest)
{
    size_t n = 0;

    if (sent.len > REST_MAX)
        return false;
    for (size_t i = 0; i < sent.len; i++) {
        const char *at = sent.ptr + i;

        if (*at != '%') {
            out[n++] = *at;
            continue;
        }
        if (i + 2 >= sent.len || !octet_is(at[1], OCTET_HEX) || !octet_is(at[2], OCTET_HEX))
            return false;
        out[n++] = (char)(octet_hex(at[1]) << 4 | octet_hex(at[2]));
        i += 2;
    }
    *rest = span_make(out, n);
    return true;
}

/* Content of a command, in one piece. */
static struct sluice_span body_of(struct evhttp_request *request)
{
    struct evbuffer *body = evhttp_request_get_input_buffer(request);
    size_t len = evbuffer_get_length(body);

    return len > 0 ? span_make((const char *)evbuffer_pullup(body, -1), len) : SPAN("");
}

/* Returns the page when it has a question first. */
static const struct admin_page *fill(const struct admin *admin, struct evhttp_request *request,
                                     struct answer *answer)
{
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
    struct sluice_span rest = SPAN("");
    const struct admin_page *page =
        uri ? pages_find(span_of(evhttp_uri_get_path(uri)), &rest) : NULL;
    struct evkeyvalq *out = evhttp_request_get_output_headers(request);
    struct ask ask = {.host = &admin->host, .own = admin->own};
    char decoded[REST_MAX];

    if (!page || !decode(rest, decoded, &ask.rest)) {
        answer_problem(answer, 404, "There is no such page; GET / lists them.");
        return NULL;
    }
    if (!is_method(evhttp_request_get_command(request), page->method)) {
        const char *allowed =
            page->method == ADMIN_GET ? "GET, HEAD" : pages_method_name(page->method);

        answer_problem(answer, 405, "The page does not know this method; see Allow.");
        evhttp_add_header(out, "Allow", allowed);
        return NULL;
    }
    ask.query = span_of(evhttp_uri_get_query(uri));
    ask.body = body_of(request);
    answer->content_type = page->content_type;
    page->fill(&ask, answer);
    if (answer->body.cut)
        answer_problem(answer, 500, "The page is too large.");
    return answer->question.ops ? page : NULL;
}

static void send_answer(struct evhttp_request *request, const struct answer *answer)
{
    struct evkeyvalq *out = evhttp_request_get_output_headers(request);
    /* libevent would send the body to HEAD as well. */
    bool is_head = evhttp_request_get_command(request) == EVHTTP_REQ_HEAD;
    struct evbuffer *body = evbuffer_new();
    char length[24];
    struct text number;

    if (!body || evbuffer_add(body, answer->body.ptr, is_head ? 0 : answer->body.len)) {
        evhttp_send_error(request, 500, NULL);
        if (body)
            evbuffer_free(body);
        return;
    }
    text_init_fixed(&number, length, sizeof(length));
    text_add_number(&number, answer->body.len);
    evhttp_add_header(out, "Content-Type", answer->content_type);
    evhttp_add_header(out, "Content-Length", length); /* for HEAD, too */
    evhttp_add_header(out, "Cache-Control", "no-store");
    evhttp_add_header(out, "X-Content-Type-Options", "nosniff");
    evhttp_send_reply(request, (int)answer->status, status_reason(answer->status), body);
    evbuffer_free(body);
}

/* -- answers that wait for workers ------------------------------------------------ */

static void later_free(struct later **later)
{
    struct later *old = *later;

    *later = NULL;
    evhttp_connection_set_closecb(evhttp_request_get_connection(old->request), NULL, NULL);
    inquiry_cancel(&old->inquiry);
    list_remove(&old->link);
    old->admin->n_later--;
    alloc_free(old);
}

/* The client has gone: nobody wants to know any more. */
static void on_gone(struct evhttp_connection *connection, void *later_)
{
    struct later *later = later_;

    (void)connection;
    later_free(&later);
}

static void on_inquired(void *later_, const struct inquiry *inquiry)
{
    struct later *later = later_;
    struct evhttp_request *request = later->request;
    struct answer answer = {.status = 200, .content_type = later->page->content_type};
    const struct ask ask = {.host = &later->admin->host, .own = later->admin->own};

    text_init(&answer.body, ANSWER_MAX);
    later->page->finish(&ask, inquiry, &answer);
    if (answer.body.cut)
        answer_problem(&answer, 500, "The page is too large.");
    later->inquiry = NULL; /* it ends with this call */
    later_free(&later);
    send_answer(request, &answer);
    text_fini(&answer.body);
}

/* Takes the question over. False: there are too many already. */
static bool later_begin(struct admin *admin, const struct admin_page *page,
                        struct evhttp_request *request, struct question *question)
{
    const struct admin_host *host = &admin->host;
    struct later *later;

    if (admin->n_later == LATER_MAX) {
        question_fini(question);
        return false;
    }
    later = alloc_new(sizeof(*later));
    later->admin = admin;
    later->page = page;
    later->request = request;
    list_append(&admin->later, &later->link);
    admin->n_later++;
    evhttp_connection_set_closecb(evhttp_request_get_connection(request), on_gone, later);
    later->inquiry = inquiry_begin(&(struct inquiry_wanted){.crew = host->crew,
                                                            .loop = admin->loop,
                                                            .mailbox = host->mailbox,
                                                            .question = *question,
                                                            .done = on_inquired,
                                                            .arg = later});
    return true;
}

static void on_request(struct evhttp_request *request, void *admin_)
{
    struct admin *admin = admin_;
    const struct admin_page *page = NULL;
    struct evkeyvalq *fields = evhttp_request_get_input_headers(request);
    const char *wrong = misframed(request, fields);
    struct answer answer = {.status = 200};

    text_init(&answer.body, ANSWER_MAX);
    if (wrong) {
        answer_problem(&answer, 400, wrong);
        evhttp_add_header(evhttp_request_get_output_headers(request), "Connection", "close");
    } else if (!may_ask(admin, request, fields)) {
        answer_problem(&answer, 403,
                       "Ask without Origin, and by an IP address or localhost: pages in a browser "
                       "may not steer the gateway.");
    } else {
        page = fill(admin, request, &answer);
    }
    if (page && !later_begin(admin, page, request, &answer.question)) {
        answer_problem(&answer, 503, "Too many wait for workers already; ask again.");
        page = NULL;
    }
    if (!page)
        send_answer(request, &answer);
    text_fini(&answer.body);
}

/* -- accepting --------------------------------------------------------------- */

/* Without this, libevent would try again at once, and log each time. */
static void on_accept_failed(struct evconnlistener *listener, void *unused)
{
    static struct log_gate gate = {.per_second = 1, .burst = 1};

    int cause = errno;

    (void)unused;
    evconnlistener_disable(listener);
    if (log_gate_pass(&gate))
        log_warn("the admin listener cannot accept", F_STR("cause", strerror(cause)));
}

/* libevent hands the failure to a callback that cannot name us, so we look by ourselves. */
static void on_watch(struct alarm *alarm)
{
    struct admin *admin = list_entry(alarm, struct admin, watch);

    evconnlistener_enable(admin->listener);
    alarm_arm(admin->loop, &admin->watch, WATCH_MS);
}

static bool is_unix(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof(address);

    return getsockname(fd, (struct sockaddr *)&address, &len) == 0 && address.ss_family == AF_UNIX;
}

/* -- life -------------------------------------------------------------------- */

static void serve(struct admin *admin, int fd)
{
    struct evhttp_bound_socket *bound;

    evutil_make_socket_nonblocking(fd);
    admin->http = evhttp_new(admin->loop->base);
    CHECK(admin->http != NULL);
    evhttp_set_max_headers_size(admin->http, HEAD_MAX);
    evhttp_set_max_body_size(admin->http, BODY_MAX);
    evhttp_set_timeout(admin->http, QUIET_S);
    evhttp_set_allowed_methods(admin->http, METHODS);
    evhttp_set_default_content_type(admin->http, NULL);
    evhttp_set_gencb(admin->http, on_request, admin);
    bound = evhttp_accept_socket_with_handle(admin->http, fd);
    CHECK(bound != NULL);
    admin->listener = evhttp_bound_socket_get_listener(bound);
    evconnlistener_set_error_cb(admin->listener, on_accept_failed);
}

struct admin *admin_new(struct loop *loop, int fd, const struct admin_host *host)
{
    struct admin *admin = alloc_new(sizeof(*admin));

    admin->loop = loop;
    list_init(&admin->later);
    admin->host = *host;
    admin->is_local = is_unix(fd);
    admin->own = metrics_new();
    metrics_add(admin->own, collect_gateway, &admin->host);
    serve(admin, fd);
    alarm_init(&admin->watch, on_watch);
    alarm_arm(loop, &admin->watch, WATCH_MS);
    return admin;
}

void admin_free(struct admin **admin)
{
    if (!*admin)
        return;
    alarm_disarm(&(*admin)->watch);
    list_each_safe (node, after, &(*admin)->later) {
        struct later *later = list_entry(node, struct later, link);

        later_free(&later);
    }
    evhttp_free((*admin)->http);
    metrics_free(&(*admin)->own);
    alloc_free(*admin);
    *admin = NULL;
}
