/*
 * fetch.c - libcurl's multi interface on our loop.
 *
 * libcurl tells which sockets it waits for (on_socket) and when it wants to be called (on_timer);
 * we call curl_multi_socket_action() for both, never from inside one of its callbacks. What is
 * over goes to the list of ended fetches, and work(), at the end of the turn, tells it: so no done
 * is called from inside anything of the caller's.
 *
 * Deadlines are ours (fetch.deadline): libcurl's do not count while a fetch waits for a connection.
 */
#include "net/fetch.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "base/check.h"
#include "base/text.h"
#include "core/alarm.h"
#include "core/loop.h"
#include "net/conn.h"
#include "net/preface.h"

#include <curl/curl.h>
#include <event2/event.h>
#include <event2/event_struct.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    HEAD_BYTES = 64 * 1024, /* of an answer's head and trailers */
    KEEP_IDLE_S = 15,       /* TCP keep-alive */
    KEEP_EACH_S = 5,
    STORE_S = 60, /* how long read authorities are kept */
    READ_BYTES = 16 * 1024,
};

struct fetcher {
    struct loop *loop; /* borrowed, outlives us */
    CURLM *multi;
    struct list active; /* of struct fetch */
    struct list ended;  /* of struct fetch */
    struct list watches;
    struct fetch *telling; /* borrowed: the fetch whose done runs now */
    struct soon work;
    struct alarm timer; /* libcurl's */
    bool due;           /* its timer is at zero */
    size_t n_fetches;
};

struct fetch {
    struct list link; /* active or ended */
    struct fetcher *fetcher;
    CURL *easy;
    struct curl_slist *fields, *connect_to;
    struct dialled *dialled; /* what is said first is being said; NULL: it is over, or nothing */
    int fd;                  /* of that, for libcurl to take; -1: none */
    struct alarm deadline;
    fetch_part_fn *part; /* or NULL */
    fetch_done_fn *done;
    void *arg; /* the caller's */
    struct arena arena;
    struct sluice_span wanted[FETCH_WANTED];
    size_t n_wanted;
    size_t head_bytes, body_bytes;
    struct text body;
    struct fetch_answer answer;
    char over[64]; /* which limit it went over */
    char why[CURL_ERROR_SIZE];
};

/* A connection of ours on which something is said before libcurl has it. */
struct dialled {
    struct conn conn;
    struct fetch *fetch;     /* borrowed; NULL: forgotten */
    struct preface *preface; /* owned */
};

/* A socket that libcurl waits for. */
struct watch {
    struct list link;
    struct event event;
    struct fetcher *fetcher;
};

/* -- ends --------------------------------------------------------------- */

static enum err err_of(CURLcode code)
{
    switch ((int)code) {
    case CURLE_OK:
        return OK;
    case CURLE_COULDNT_CONNECT:
        return ERR_REFUSED;
    case CURLE_COULDNT_RESOLVE_HOST:
        return ERR_MISSING;
    case CURLE_OPERATION_TIMEDOUT:
        return ERR_TIMEOUT;
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
        return ERR_RESET;
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
        return ERR_CLOSED;
    case CURLE_OUT_OF_MEMORY:
        return ERR_MEMORY;
    case CURLE_WRITE_ERROR:
        return ERR_LIMIT;
    default:
        return ERR_PROTOCOL;
    }
}

static void forget_dialled(struct fetch *fetch)
{
    struct dialled *dialled = fetch->dialled;

    fetch->dialled = NULL;
    if (dialled) {
        dialled->fetch = NULL;
        conn_close(&dialled->conn);
    }
    if (fetch->fd >= 0)
        close(fetch->fd);
    fetch->fd = -1;
}

/* Take it out of libcurl's hands; done will hear err. */
static void end(struct fetch *fetch, enum err err, const char *why)
{
    struct fetcher *fetcher = fetch->fetcher;

    alarm_disarm(&fetch->deadline);
    curl_multi_remove_handle(fetcher->multi, fetch->easy);
    forget_dialled(fetch);
    fetch->answer.err = err;
    fetch->answer.why = fetch->why;
    if (err && !fetch->why[0])
        snprintf(fetch->why, sizeof(fetch->why), "%s", why);
    list_remove(&fetch->link);
    list_append(&fetcher->ended, &fetch->link);
    loop_soon(fetcher->loop, &fetcher->work);
}

static void release(struct fetch *fetch)
{
    alarm_disarm(&fetch->deadline);
    list_remove(&fetch->link);
    curl_multi_remove_handle(fetch->fetcher->multi, fetch->easy);
    forget_dialled(fetch);
    curl_easy_cleanup(fetch->easy);
    curl_slist_free_all(fetch->fields);
    curl_slist_free_all(fetch->connect_to);
    fetch->fetcher->n_fetches--;
    text_fini(&fetch->body);
    arena_fini(&fetch->arena);
    alloc_free(fetch);
}

static void on_deadline(struct alarm *alarm)
{
    struct fetch *fetch = list_entry(alarm, struct fetch, deadline);

    fetch->why[0] = '\0';
    end(fetch, ERR_TIMEOUT, "no whole answer in time");
}

/* What libcurl says is over. */
static void gather(struct fetcher *fetcher)
{
    const CURLMsg *message;
    int left = 0;

    while ((message = curl_multi_info_read(fetcher->multi, &left)) != NULL) {
        CURLcode code = message->data.result;
        struct fetch *fetch = NULL;
        long number = 0;

        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &fetch);
        curl_easy_getinfo(fetch->easy, CURLINFO_RESPONSE_CODE, &number);
        fetch->answer.status = (unsigned)number;
        curl_easy_getinfo(fetch->easy, CURLINFO_NUM_CONNECTS, &number);
        fetch->answer.connected = number > 0;
        curl_easy_getinfo(fetch->easy, CURLINFO_HTTP_VERSION, &number);
        fetch->answer.shared = number == CURL_HTTP_VERSION_2_0;
        if (fetch->over[0])
            snprintf(fetch->why, sizeof(fetch->why), "%s", fetch->over);
        end(fetch, err_of(code), curl_easy_strerror(code));
    }
}

static void tell(struct fetcher *fetcher)
{
    while (!list_is_empty(&fetcher->ended)) {
        struct fetch *fetch = list_entry(fetcher->ended.next, struct fetch, link);

        list_remove(&fetch->link);
        fetch->answer.body = text_span(&fetch->body);
        fetcher->telling = fetch;
        fetch->done(fetch->arg, &fetch->answer);
        fetcher->telling = NULL;
        release(fetch);
    }
}

static void act(struct fetcher *fetcher, curl_socket_t socket, int events)
{
    int running = 0;

    curl_multi_socket_action(fetcher->multi, socket, events, &running);
    gather(fetcher);
}

static void work(struct soon *soon)
{
    struct fetcher *fetcher = list_entry(soon, struct fetcher, work);

    if (fetcher->due) {
        fetcher->due = false;
        act(fetcher, CURL_SOCKET_TIMEOUT, 0);
    }
    tell(fetcher);
}

/* -- what libcurl waits for ---------------------------------------------- */

static void on_ready(evutil_socket_t socket, short events, void *fetcher)
{
    int what = 0;

    if (events & EV_READ)
        what |= CURL_CSELECT_IN;
    if (events & EV_WRITE)
        what |= CURL_CSELECT_OUT;
    act(fetcher, socket, what);
}

static void watch_free(struct watch *watch)
{
    event_del(&watch->event);
    list_remove(&watch->link);
    alloc_free(watch);
}

static int on_socket(CURL *easy, curl_socket_t socket, int what, void *fetcher_, void *watch_)
{
    struct fetcher *fetcher = fetcher_;
    struct watch *watch = watch_;
    short events = EV_PERSIST;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (watch)
            watch_free(watch);
        return 0;
    }
    if (what & CURL_POLL_IN)
        events |= EV_READ;
    if (what & CURL_POLL_OUT)
        events |= EV_WRITE;
    if (watch) {
        event_del(&watch->event);
    } else {
        watch = alloc_new(sizeof(*watch));
        watch->fetcher = fetcher;
        list_init(&watch->link);
        list_append(&fetcher->watches, &watch->link);
        curl_multi_assign(fetcher->multi, socket, watch);
    }
    event_assign(&watch->event, fetcher->loop->base, socket, events, on_ready, fetcher);
    return event_add(&watch->event, NULL);
}

static void on_time(struct alarm *alarm)
{
    act(list_entry(alarm, struct fetcher, timer), CURL_SOCKET_TIMEOUT, 0);
}

static int on_timer(CURLM *multi, long ms, void *fetcher_)
{
    struct fetcher *fetcher = fetcher_;

    (void)multi;
    alarm_disarm(&fetcher->timer);
    fetcher->due = ms == 0;
    if (ms > 0) {
        alarm_arm(fetcher->loop, &fetcher->timer, (uint64_t)ms);
    } else if (ms == 0) {
        loop_soon(fetcher->loop, &fetcher->work);
    }
    return 0;
}

/* -- bytes of the answer -------------------------------------------------- */

static size_t on_body(char *bytes, size_t one, size_t n, void *fetch_)
{
    struct fetch *fetch = fetch_;
    struct sluice_span piece = span_make(bytes, one * n);
    long status = 0;

    fetch->body_bytes += piece.len;
    if (!fetch->part) {
        text_add(&fetch->body, piece);
    } else if (fetch->body_bytes <= fetch->body.max) {
        curl_easy_getinfo(fetch->easy, CURLINFO_RESPONSE_CODE, &status);
        fetch->answer.status = (unsigned)status;
        fetch->part(fetch->arg, &fetch->answer, piece);
    }
    if (fetch->body_bytes <= fetch->body.max && !fetch->body.cut)
        return piece.len;
    snprintf(fetch->over, sizeof(fetch->over), "the body is longer than %zu bytes",
             fetch->body.max);
    return CURL_WRITEFUNC_ERROR;
}

static void keep_field(struct fetch *fetch, struct sluice_span line)
{
    size_t colon = span_find(line, ':');
    struct sluice_span name = span_make(line.ptr, colon), value;

    if (colon == line.len)
        return;
    value = span_trim(span_make(line.ptr + colon + 1, line.len - colon - 1));
    for (size_t i = 0; i < fetch->n_wanted; i++) {
        if (span_equal_nocase(name, fetch->wanted[i]))
            fetch->answer.field[i] = arena_copy(&fetch->arena, value);
    }
}

/* A line of a head or of the trailers, one call each. */
static size_t on_head(char *bytes, size_t one, size_t n, void *fetch_)
{
    struct fetch *fetch = fetch_;
    struct sluice_span line = span_make(bytes, one * n);

    fetch->head_bytes += line.len;
    if (fetch->head_bytes > HEAD_BYTES) {
        snprintf(fetch->over, sizeof(fetch->over), "the head is longer than %d bytes", HEAD_BYTES);
        return 0;
    }
    while (line.len && (line.ptr[line.len - 1] == '\n' || line.ptr[line.len - 1] == '\r'))
        line.len--;
    if (span_starts(line, SPAN("HTTP/"))) { /* what an interim answer said is not meant */
        memset(fetch->answer.field, 0, sizeof(fetch->answer.field));
    } else {
        keep_field(fetch, line);
    }
    return one * n;
}

/* -- asking ---------------------------------------------------------------- */

static bool is_clean(struct sluice_span value)
{
    for (size_t i = 0; i < value.len; i++) {
        if ((unsigned char)value.ptr[i] < ' ' || value.ptr[i] == 0x7f)
            return false;
    }
    return true;
}

static void append(struct curl_slist **list, const char *line)
{
    struct curl_slist *longer = curl_slist_append(*list, line);

    CHECK(longer != NULL);
    *list = longer;
}

/* Fields to send. "Name;" is how libcurl wants a field without a value, "Name:" removes its own. */
static enum err set_fields(struct fetch *fetch, const struct fetch_request *request)
{
    struct text line;
    bool typed = false, clean = true;

    text_init(&line, HEAD_BYTES);
    for (size_t i = 0; i < request->n_fields; i++) {
        const struct fetch_field *field = &request->fields[i];

        typed = typed || span_equal_nocase(span_of(field->name), SPAN("content-type"));
        clean = clean && is_clean(field->value);
        text_reset(&line);
        text_add(&line, span_of(field->name));
        text_add(&line, field->value.len ? SPAN(": ") : SPAN(";"));
        text_add(&line, field->value);
        append(&fetch->fields, line.ptr);
    }
    clean = clean && !line.cut;
    text_fini(&line);
    append(&fetch->fields, "Expect:");
    if (!typed)
        append(&fetch->fields, "Content-Type:");
    curl_easy_setopt(fetch->easy, CURLOPT_HTTPHEADER, fetch->fields);
    return clean ? OK : ERR_PROTOCOL;
}

static void set_method(CURL *easy, const struct fetch_request *request)
{
    const char *method = request->method ? request->method : "GET";

    if (strcmp(method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
        return;
    }
    if (request->body.len || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.len);
        curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, request->body.len ? request->body.ptr : "");
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
}

static long versions_of(const struct fetch_tls *tls)
{
    if (tls && tls->only_tls13)
        return CURL_SSLVERSION_TLSv1_3;
    return tls && tls->only_tls12 ? (long)CURL_SSLVERSION_TLSv1_2 | CURL_SSLVERSION_MAX_TLSv1_2
                                  : (long)CURL_SSLVERSION_TLSv1_2;
}

static void set_tls(CURL *easy, const struct fetch_tls *tls)
{
    curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, (long)STORE_S);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, versions_of(tls));
    if (!tls)
        return;
    if (tls->ciphers)
        curl_easy_setopt(easy, CURLOPT_SSL_CIPHER_LIST, tls->ciphers);
    if (tls->ciphersuites)
        curl_easy_setopt(easy, CURLOPT_TLS13_CIPHERS, tls->ciphersuites);
    if (tls->groups)
        curl_easy_setopt(easy, CURLOPT_SSL_EC_CURVES, tls->groups);
    if (tls->ca) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, tls->ca);
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    }
    if (tls->cert)
        curl_easy_setopt(easy, CURLOPT_SSLCERT, tls->cert);
    if (tls->key)
        curl_easy_setopt(easy, CURLOPT_SSLKEY, tls->key);
    if (tls->skip_verify) {
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
}

static void set_place(struct fetch *fetch, const struct fetch_request *request)
{
    CURL *easy = fetch->easy;
    struct text to;

    curl_easy_setopt(easy, CURLOPT_URL, request->url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    if (request->unix_path)
        curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, request->unix_path);
    if (request->connect_to) {
        text_init(&to, 1024);
        text_format(&to, "::%s", request->connect_to);
        append(&fetch->connect_to, to.ptr);
        text_fini(&to);
        curl_easy_setopt(easy, CURLOPT_CONNECT_TO, fetch->connect_to);
    }
}

static long version_of(const struct fetch_request *request)
{
    if (request->http2)
        return CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE;
    return request->may_share ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1;
}

/* libcurl before 8.0 cannot use a connection again that spoke HTTP/2 without TLS. */
static bool is_alone(const struct fetch_request *request)
{
    return request->fresh || request->first.len > 0 ||
           (request->http2 && curl_version_info(CURLVERSION_NOW)->version_num < 0x080000);
}

static void set_ways(CURL *easy, const struct fetch_request *request)
{
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* do not wait for a slow resolver */
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)request->connect_ms);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, (long)KEEP_IDLE_S);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, (long)KEEP_EACH_S);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)READ_BYTES);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "sluice/" SLUICE_VERSION);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, version_of(request));
    curl_easy_setopt(easy, CURLOPT_PIPEWAIT, request->may_share ? 1L : 0L);
    if (request->max_quiet_s > 0)
        curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, (long)request->max_quiet_s);
    if (is_alone(request)) {
        curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
        curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    }
}

static void set_callbacks(struct fetch *fetch)
{
    CURL *easy = fetch->easy;

    curl_easy_setopt(easy, CURLOPT_PRIVATE, fetch);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, fetch->why);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, fetch);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_head);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, fetch);
}

/* -- what is said first ---------------------------------------------------- */

static struct dialled *dialled_of(struct conn *conn)
{
    return (struct dialled *)(void *)conn;
}

static void begin(struct fetch *fetch)
{
    if (curl_multi_add_handle(fetch->fetcher->multi, fetch->easy) != CURLM_OK)
        end(fetch, ERR_MEMORY, "libcurl does not take the request");
}

/* It is said: the descriptor is libcurl's from here. */
static void on_said(struct conn *conn)
{
    struct fetch *fetch = dialled_of(conn)->fetch;

    if (!fetch || fetch->fd >= 0)
        return;
    fetch->fd = fcntl(conn_fd(conn), F_DUPFD_CLOEXEC, 0);
    fetch->dialled = NULL;
    dialled_of(conn)->fetch = NULL;
    conn_close(conn);
    if (fetch->fd < 0) {
        end(fetch, ERR_LIMIT, "no descriptor is left");
    } else {
        begin(fetch);
    }
}

static void fail_dialled(struct conn *conn, enum err err)
{
    struct fetch *fetch = dialled_of(conn)->fetch;

    if (!fetch)
        return;
    forget_dialled(fetch);
    end(fetch, err, err_text(err));
}

static void on_dial_failed(struct conn *conn, enum err err)
{
    fail_dialled(conn, err);
}

static void on_dial_alarm(struct conn *conn)
{
    fail_dialled(conn, ERR_TIMEOUT);
}

static void on_nothing(struct conn *conn)
{
    (void)conn;
}

static void on_dial_closed(struct conn *conn)
{
    struct dialled *dialled = dialled_of(conn);

    preface_free(&dialled->preface);
    alloc_free(dialled);
}

static const struct conn_ops dialled_ops = {
    .on_readable = on_nothing,
    .on_hangup = on_dial_failed,
    .on_drained = on_said,
    .on_progress = on_nothing,
    .on_failed = on_dial_failed,
    .on_alarm = on_dial_alarm,
    .on_closed = on_dial_closed,
};

static curl_socket_t on_open_socket(void *fetch_, curlsocktype purpose, struct curl_sockaddr *addr)
{
    struct fetch *fetch = fetch_;
    int fd = fetch->fd;

    (void)purpose;
    (void)addr;
    fetch->fd = -1; /* libcurl's */
    return fd < 0 ? CURL_SOCKET_BAD : fd;
}

static int on_socket_options(void *fetch, curl_socket_t socket, curlsocktype purpose)
{
    (void)fetch;
    (void)socket;
    (void)purpose;
    return CURL_SOCKOPT_ALREADY_CONNECTED;
}

static void speak_first(struct fetch *fetch, const struct fetch_request *request)
{
    struct dialled *dialled = alloc_new(sizeof(*dialled));
    bool connected;
    enum err err;

    curl_easy_setopt(fetch->easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    curl_easy_setopt(fetch->easy, CURLOPT_OPENSOCKETDATA, fetch);
    curl_easy_setopt(fetch->easy, CURLOPT_SOCKOPTFUNCTION, on_socket_options);
    dialled->fetch = fetch;
    dialled->preface = preface_new(request->first);
    err = dialled->preface ? OK : ERR_MEMORY;
    if (err == OK) {
        err = conn_dial(&dialled->conn, fetch->fetcher->loop, request->first_to, &dialled_ops,
                        &connected);
    }
    if (err) {
        preface_free(&dialled->preface);
        alloc_free(dialled);
        end(fetch, err, err_text(err));
        return;
    }
    fetch->dialled = dialled;
    preface_say(&dialled->conn, dialled->preface);
    conn_set_alarm(&dialled->conn, request->connect_ms);
}

/* -- starting ---------------------------------------------------------------- */

static void keep_wanted(struct fetch *fetch, const struct fetch_request *request)
{
    fetch->n_wanted = request->n_wanted < FETCH_WANTED ? request->n_wanted : FETCH_WANTED;
    for (size_t i = 0; i < fetch->n_wanted; i++)
        fetch->wanted[i] = arena_copy(&fetch->arena, span_of(request->wanted[i]));
}

struct fetch *fetch_start(struct fetcher *fetcher, const struct fetch_request *request)
{
    struct fetch *fetch = alloc_new(sizeof(*fetch));
    enum err err;

    CHECK(request->connect_ms > 0 && request->total_ms > 0 && request->done);
    fetch->fetcher = fetcher;
    fetch->fd = -1;
    fetch->part = request->part;
    fetch->done = request->done;
    fetch->arg = request->arg;
    fetch->easy = curl_easy_init();
    CHECK(fetch->easy != NULL);
    list_init(&fetch->link);
    list_append(&fetcher->active, &fetch->link);
    fetcher->n_fetches++;
    alarm_init(&fetch->deadline, on_deadline);
    arena_init(&fetch->arena, NULL, 2 * (size_t)HEAD_BYTES);
    text_init(&fetch->body, request->max_bytes);
    keep_wanted(fetch, request);
    set_callbacks(fetch);
    set_place(fetch, request);
    set_ways(fetch->easy, request);
    set_method(fetch->easy, request);
    set_tls(fetch->easy, request->tls);
    err = set_fields(fetch, request);
    if (err) {
        end(fetch, err, "a field has control characters or is too long");
        return fetch;
    }
    alarm_arm(fetcher->loop, &fetch->deadline, request->total_ms);
    if (request->first.len > 0) {
        speak_first(fetch, request);
    } else {
        begin(fetch);
    }
    return fetch;
}

void fetch_cancel(struct fetch **fetch)
{
    struct fetch *old = *fetch;

    *fetch = NULL;
    if (old && old != old->fetcher->telling)
        release(old);
}

/* -- life ------------------------------------------------------------------ */

struct fetcher *fetcher_new(struct loop *loop, unsigned max_connections)
{
    struct fetcher *fetcher = alloc_new(sizeof(*fetcher));
    CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);

    CHECK(code == CURLE_OK);
    fetcher->loop = loop;
    fetcher->multi = curl_multi_init();
    CHECK(fetcher->multi != NULL);
    list_init(&fetcher->active);
    list_init(&fetcher->ended);
    list_init(&fetcher->watches);
    soon_init(&fetcher->work, work);
    alarm_init(&fetcher->timer, on_time);
    curl_multi_setopt(fetcher->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)max_connections);
    curl_multi_setopt(fetcher->multi, CURLMOPT_MAXCONNECTS, (long)max_connections);
    curl_multi_setopt(fetcher->multi, CURLMOPT_MAX_CONCURRENT_STREAMS, (long)FETCH_STREAMS);
    curl_multi_setopt(fetcher->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(fetcher->multi, CURLMOPT_SOCKETDATA, fetcher);
    curl_multi_setopt(fetcher->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(fetcher->multi, CURLMOPT_TIMERDATA, fetcher);
    return fetcher;
}

static void release_all(struct list *fetches)
{
    while (!list_is_empty(fetches))
        release(list_entry(fetches->next, struct fetch, link));
}

void fetcher_free(struct fetcher **fetcher)
{
    struct fetcher *old = *fetcher;

    if (!old)
        return;
    CHECK(!old->telling);
    *fetcher = NULL;
    release_all(&old->active);
    release_all(&old->ended);
    curl_multi_cleanup(old->multi);
    while (!list_is_empty(&old->watches))
        watch_free(list_entry(old->watches.next, struct watch, link));
    soon_cancel(&old->work);
    alarm_disarm(&old->timer);
    alloc_free(old);
    curl_global_cleanup();
}

/* -- questions -------------------------------------------------------------- */

size_t fetcher_count(const struct fetcher *fetcher)
{
    return fetcher->n_fetches;
}

const char *fetch_library(void)
{
    return curl_version_info(CURLVERSION_NOW)->version;
}
