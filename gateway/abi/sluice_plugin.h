/*
 * sluice_plugin.h - everything a plugin may know about the gateway.
 *
 * This is the only gateway header that a plugin includes. It needs nothing but a C11 or C++17
 * compiler, and there is nothing to link against: a plugin is a shared object that exports one
 * constant, `sluice_plugin`, and is given one table of services, `struct sluice_host`.
 *
 * The life of a plugin:
 *
 *   descriptor    read when the file is loaded; nothing of the plugin runs yet
 *   options       the gateway binds what is written in the configuration to a struct of the
 *                 plugin's own, by the plugin's table: one such struct for each place in a chain
 *   conf_check    looks at the bound struct as a whole; also runs in `sluice check`
 *   conf_start    the configuration will be served: make metrics and shared state
 *   worker_start  on each worker, before its first request
 *   on_...        the phases of an exchange (one request with its response), on one worker
 *   on_done       once for each exchange in which any phase of this place ran
 *   worker_stop, conf_fini   when the last exchange of that configuration has ended
 *
 * Threads. An exchange lives on one worker for its whole life, and every callback about it runs
 * there; conf is shared by all workers and read-only after conf_start; what worker_start made is
 * the thread's own. A callback must not block: what takes time goes to offload(), http_call(),
 * redis_call() or timer(). post() is the one service that may be called from any thread.
 *
 * Memory. Spans that the gateway gives are borrowed and end with the callback in which they were
 * given, unless a comment says more. Spans given to the gateway are copied before the service
 * returns, unless a comment says otherwise. alloc() gives memory that lasts as long as the
 * exchange; nothing of an exchange may be kept beyond its on_done.
 *
 * Stability. Within one SLUICE_ABI nothing here changes its meaning. New members are appended to
 * structs, and the size in front tells who knows what: a plugin built against an older minor
 * version loads in every newer gateway of the same SLUICE_ABI; one built against a newer minor
 * version loads too, and asks SLUICE_HAS() before it uses a service that an older gateway may not
 * have.
 */
#ifndef SLUICE_PLUGIN_H
#define SLUICE_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A plugin with another SLUICE_ABI is refused. A minor version only adds. */
#define SLUICE_ABI       1u
#define SLUICE_ABI_MINOR 1u

/* -- bytes ----------------------------------------------------------------- */

/* Borrowed bytes, not NUL-terminated. ptr may be NULL only when len is 0. */
struct sluice_span {
    const char *ptr;
    size_t len;
};

/* A span of a string literal: as an expression, and to initialise constants with. */
#ifdef __cplusplus
#define SLUICE_SPAN(literal) (sluice_span{(literal), sizeof(literal) - 1})
#else
#define SLUICE_SPAN(literal) ((struct sluice_span){(literal), sizeof(literal) - 1})
#endif
#define SLUICE_SPAN_INIT(literal)                                                                  \
    {                                                                                              \
        (literal), sizeof(literal) - 1                                                             \
    }

/* A name with a value: a field, a label, a member of a log line. */
struct sluice_pair {
    struct sluice_span name, value;
};

/* Elements of a list option, one after the other; see SLUICE_OPTION_LIST. */
struct sluice_list {
    const void *first;
    size_t n;
};

/* -- opaque things of the gateway ------------------------------------------- */

struct sluice_exchange; /* one request with its response */
struct sluice_place;    /* one entry of a chain, as one worker serves it */
struct sluice_setup;    /* a configuration being checked or started */

struct sluice_template; /* text with ${attributes}, see SLUICE_OPTION_TEMPLATE */
struct sluice_target;   /* where an HTTP call goes, see SLUICE_OPTION_TARGET */
struct sluice_upstream; /* see SLUICE_OPTION_UPSTREAM */
struct sluice_metric;   /* see metric() */
struct sluice_words;    /* shared numbers by key, see words() */
struct sluice_map;      /* shared bytes by key, see map() */
struct sluice_door;     /* for other threads, see door() */

/* -- what a phase answers ----------------------------------------------------- */

enum sluice_verdict {
    /* Carry on with the next plugin. A body part goes on as it is, or as body_replace() made it. */
    SLUICE_NEXT = 0,
    /*
     * reply() was called: the exchange is answered with that. Request phases and on_attempt only.
     */
    SLUICE_REPLIED = 1,
    /*
     * Hold the exchange here: a completion (timer, http_call, redis_call, offload) of this place
     * will answer with a verdict in place of this one, or resume() will bring it. Meanwhile nothing
     * more is read from the peer. After the deadline of the entry (`wait`, 2 s unless
     * configured) the exchange goes on as with SLUICE_FAIL. Not in on_attempt,
     * on_local_reply and the trailer phases.
     */
    SLUICE_WAIT = 2,
    /*
     * The plugin cannot do its work. The entry's `on_error` decides: `closed` answers 500 (or cuts
     * a response under way), `open` goes on without this plugin for the rest of the exchange.
     */
    SLUICE_FAIL = 3
};

/* The phases, as numbers for detach(), metrics and messages. */
enum sluice_phase {
    SLUICE_PHASE_REQUEST_HEAD = 0,
    SLUICE_PHASE_REQUEST_BODY = 1,
    SLUICE_PHASE_REQUEST_TRAILERS = 2,
    SLUICE_PHASE_ATTEMPT = 3,
    SLUICE_PHASE_ATTEMPT_DONE = 4,
    SLUICE_PHASE_LOCAL_REPLY = 5,
    SLUICE_PHASE_RESPONSE_HEAD = 6,
    SLUICE_PHASE_RESPONSE_BODY = 7,
    SLUICE_PHASE_RESPONSE_TRAILERS = 8,
    SLUICE_PHASE_DONE = 9
};

/* -- what a callback is given -------------------------------------------------- */

struct sluice_host;

/*
 * Given to every callback on a worker; valid until the callback returns. Services want it back.
 *
 * In the worker's own callbacks (worker_start, on_message, completions that belong to no exchange)
 * exchange and ctx are NULL, and services about an exchange answer no: false, NULL, -1, nothing.
 */
struct sluice_call {
    const struct sluice_host *host;
    struct sluice_exchange *exchange;
    struct sluice_place *place;
    const void *conf; /* the bound options of this place; read-only */
    void *worker;     /* worker_size bytes, zero before worker_start; this thread's own */
    void *ctx;        /* ctx_size bytes, zero before the first phase; this exchange's own */
};

/* Which list of fields. */
enum sluice_side {
    SLUICE_REQUEST = 0,
    SLUICE_RESPONSE = 1,
    SLUICE_REQUEST_TRAILERS = 2,
    SLUICE_RESPONSE_TRAILERS = 3,
    SLUICE_ATTEMPT = 4 /* in on_attempt: the request's fields of this try alone */
};

/* Numbers about an exchange, for fact(); -1 when not known (yet). Durations are microseconds. */
enum sluice_fact {
    SLUICE_FACT_STATUS = 0,          /* of the response that the client gets, or got */
    SLUICE_FACT_STATUS_UPSTREAM = 1, /* of the last response from upstream */
    SLUICE_FACT_IS_LOCAL = 2,        /* 1: the gateway or a plugin made the response */
    SLUICE_FACT_REQUEST_BYTES = 3,   /* of content, so far */
    SLUICE_FACT_RESPONSE_BYTES = 4,  /* of content, so far */
    SLUICE_FACT_REQUEST_LENGTH = 5,  /* as announced by the client; 0: no content */
    SLUICE_FACT_ATTEMPTS = 6,        /* so far */
    SLUICE_FACT_BEGUN_US = 7,        /* when the head had come, as now_us() */
    SLUICE_FACT_DURATION_US = 8,     /* since then */
    SLUICE_FACT_UPSTREAM_US = 9,     /* of the last attempt, to the head of its response */
    SLUICE_FACT_IS_COMPLETE = 10,    /* in on_done: 1: the client got the whole response */
    SLUICE_FACT_BEGUN_WALL_US = 11,  /* when the head had come, since 1970 */
    SLUICE_FACT_IS_TUNNEL = 12       /* 1: it has become a tunnel (WebSocket and the like) */
};

/* One try on one endpoint. */
struct sluice_attempt {
    uint32_t size;
    uint32_t number;                /* 1 for the first */
    struct sluice_span upstream;    /* its name */
    struct sluice_span endpoint;    /* address: "127.0.0.1:9000" */
    bool is_reused;                 /* on a connection that has served before */
    bool is_done;                   /* false in on_attempt; the rest is for on_attempt_done */
    bool will_retry;                /* another try follows */
    int32_t status;                 /* of its response; 0: there was none */
    struct sluice_span failure;     /* a word of the access log's reasons; empty: none */
    uint64_t begun_us, duration_us; /* by now_us(); to the head of the response or the failure */
};

/* What on_local_reply may change of an answer that the gateway makes itself. */
struct sluice_reply {
    uint32_t size;
    uint32_t status;           /* 200 to 599 */
    struct sluice_span reason; /* a word for the access log; read only in on_local_reply */
    /* empty: text/plain, or JSON for a body that the gateway makes */
    struct sluice_span content_type;
    struct sluice_span body;          /* empty with a status from 400 on: the gateway makes one */
    const struct sluice_pair *fields; /* to add */
    size_t n_fields;
};

/* How much of a body a place wants, see body_want(). */
enum sluice_body_mode {
    SLUICE_BODY_NONE = 0, /* nothing (any more) */
    SLUICE_BODY_READ = 1, /* each part as it passes; what is not changed costs no copy */
    SLUICE_BODY_EDIT = 2, /* each part, and body_replace() is allowed: the length is then open */
    SLUICE_BODY_WHOLE = 3 /* once, whole, before the head goes on; body_replace() is allowed */
};

/* -- names for exchanges that wait -------------------------------------------- */

/*
 * Names one waiting exchange at one place. May be kept anywhere and copied to any thread; it goes
 * stale when the exchange goes on or ends, and a stale ticket does nothing.
 */
struct sluice_ticket {
    uint64_t worker;
    uint64_t serial;
};

/* -- completions --------------------------------------------------------------- */

/*
 * What a completion answers counts only when the call belongs to an exchange that waits
 * (SLUICE_WAIT) at this place: it is then the phase's verdict. Else it is ignored.
 *
 * A completion that belongs to an exchange is not called when the exchange is gone; one that
 * belongs to a worker is not called after worker_stop. arg must not be memory that
 * only the completion would free: take it from alloc(), from the worker's state, or pass NULL.
 */

typedef enum sluice_verdict sluice_timer_fn(const struct sluice_call *call, void *arg);

/* How an HTTP call ended. */
enum sluice_http_end {
    SLUICE_HTTP_OK = 0, /* there is a response, whatever its status */
    SLUICE_HTTP_TIMEOUT = 1,
    SLUICE_HTTP_UNREACHABLE = 2, /* no endpoint, no connection, the queue is full */
    SLUICE_HTTP_BROKEN = 3,      /* reset, cut or malformed */
    SLUICE_HTTP_TOO_LARGE = 4    /* more than max_body */
};

struct sluice_http_request {
    uint32_t size;
    struct sluice_span method;          /* empty: GET */
    const struct sluice_target *target; /* from an option; required */
    /* replaces the target's path and query; empty: the target's */
    struct sluice_span path;
    const struct sluice_pair *fields;
    size_t n_fields;
    struct sluice_span body;
    uint32_t timeout_ms; /* 0: 1000 */
    uint32_t max_body;   /* bytes of the response's content; 0: 64 KiB */
};

/* fields and body are valid until the completion returns. */
struct sluice_http_response {
    uint32_t size;
    uint32_t end;                     /* enum sluice_http_end */
    uint32_t status;                  /* 0 unless SLUICE_HTTP_OK */
    const struct sluice_pair *fields; /* names in lower case */
    size_t n_fields;
    struct sluice_span body;
};

typedef enum sluice_verdict sluice_http_fn(const struct sluice_call *call,
                                           const struct sluice_http_response *response, void *arg);

enum sluice_redis_kind {
    SLUICE_REDIS_NIL = 0,
    SLUICE_REDIS_STATUS = 1, /* text */
    SLUICE_REDIS_ERROR = 2,  /* text; what Redis answered */
    SLUICE_REDIS_INTEGER = 3,
    SLUICE_REDIS_TEXT = 4,
    SLUICE_REDIS_LIST = 5,
    SLUICE_REDIS_TIMEOUT = 6,    /* no answer in time */
    SLUICE_REDIS_UNREACHABLE = 7 /* no connection, or it broke; text says why */
};

/* Valid until the completion returns. */
struct sluice_redis_reply {
    uint32_t size; /* of one element */
    uint32_t kind; /* enum sluice_redis_kind */
    int64_t integer;
    struct sluice_span text;
    const struct sluice_redis_reply *element; /* of a list; use sluice_redis_at() */
    size_t n;
};

typedef enum sluice_verdict sluice_redis_fn(const struct sluice_call *call,
                                            const struct sluice_redis_reply *reply, void *arg);

/* Runs on a helper thread: data is the job's own copy, and all that it may touch besides conf. */
typedef void sluice_work_fn(const void *conf, void *data);
typedef enum sluice_verdict sluice_work_done_fn(const struct sluice_call *call, void *data);

/* Runs on the worker that the door belongs to. */
typedef void sluice_message_fn(const struct sluice_call *call, void *arg);

/* -- metrics and logs ------------------------------------------------------------ */

enum sluice_metric_kind {
    SLUICE_COUNTER = 0,  /* metric_add() with what is to be added, never negative */
    SLUICE_GAUGE = 1,    /* metric_add() with the difference */
    SLUICE_HISTOGRAM = 2 /* metric_add() with one observation */
};

struct sluice_metric_spec {
    uint32_t size;
    uint32_t kind;    /* enum sluice_metric_kind */
    const char *name; /* the series is sluice_plugin_PLUGIN_name; counters end in _total */
    const char *help;
    const char *const *labels; /* names, ended by NULL; NULL: none; at most 8 */
    const double *buckets;     /* of a histogram: upper bounds, rising; NULL: the gateway's */
    size_t n_buckets;
    uint32_t max_series; /* more label sets than this are counted as label "other"; 0: 1000 */
};

enum sluice_log_level {
    SLUICE_LOG_TRACE = 0,
    SLUICE_LOG_DEBUG = 1,
    SLUICE_LOG_INFO = 2,
    SLUICE_LOG_WARN = 3,
    SLUICE_LOG_ERROR = 4
};

/* -- shared state -------------------------------------------------------------------- */

enum sluice_shared {
    SLUICE_SHARED_OK = 0,
    SLUICE_SHARED_OTHER = 1, /* words_swap(): another value is there now, see *expected */
    SLUICE_SHARED_FULL = 2,  /* no room, even after what had expired was dropped */
    SLUICE_SHARED_ABSENT = 3 /* map_get(): nothing under this key */
};

struct sluice_shared_spec {
    uint32_t size;
    uint32_t version;       /* state kept under another version is not taken over */
    const char *name;       /* with the plugin's name and the key, what the state is known by */
    struct sluice_span key; /* tells places apart: empty: all places of this plugin share it */
    uint64_t capacity;      /* keys; memory is bounded by it */
    uint32_t max_value;     /* map(): bytes of one value */
};

/* -- the services of the gateway ----------------------------------------------------- */

/*
 * The one table of services. Compare size (SLUICE_HAS) before using a member that came after
 * minor version 0. All of it is callable from a callback that was given a call; where a setup is
 * wanted, from conf_check and conf_start.
 */
struct sluice_host {
    uint32_t size;
    uint16_t abi, abi_minor;
    const char *version; /* of the gateway: "1.2.3" */

    /* ---- while a configuration is checked or started ---- */

    /*
     * Report what is wrong with an option: the gateway adds file, line and column. option is a
     * path as in the file: "keys[2].file"; NULL: the entry as a whole. hint says what to do
     * instead, or NULL. conf_check may call it any number of times; one error refuses the
     * configuration, all are shown.
     */
    void (*conf_error)(struct sluice_setup *setup, const char *option, const char *hint,
                       const char *format, ...)
#if defined(__GNUC__)
        __attribute__((format(printf, 4, 5)))
#endif
        ;
    void (*conf_warn)(struct sluice_setup *setup, const char *option, const char *hint,
                      const char *format, ...)
#if defined(__GNUC__)
        __attribute__((format(printf, 4, 5)))
#endif
        ;
    /* Memory as long as conf, zeroed, never NULL. */
    void *(*conf_alloc)(struct sluice_setup *setup, size_t bytes);
    /* A name for the place: "route api, plugins[1]". As long as conf. */
    struct sluice_span (*conf_place)(struct sluice_setup *setup);
    /* The number of workers that will serve. */
    uint32_t (*workers)(struct sluice_setup *setup);
    /*
     * Compile a text with ${attributes} that is not an option of its own; option as for
     * conf_error(). As long as conf; NULL when it is malformed, which has been reported then.
     */
    const struct sluice_template *(*template_make)(struct sluice_setup *setup, const char *option,
                                                   struct sluice_span text);
    /*
     * The number of an attribute, for attribute_get() and attribute_set(): a new one is made when
     * nobody has named it yet. 0: malformed name (letters, digits, '_', '-', '.'), or too many.
     */
    uint32_t (*attribute)(struct sluice_setup *setup, struct sluice_span name);
    /*
     * A metric of this plugin; every place that asks for the same name gets the same. NULL when
     * it was made before with another kind or other labels. conf_start only.
     */
    struct sluice_metric *(*metric)(struct sluice_setup *setup,
                                    const struct sluice_metric_spec *spec);
    /*
     * State that all workers share and that survives reloads, by plugin, name, key and version.
     * NULL when out of memory. conf_start only.
     */
    struct sluice_words *(*words)(struct sluice_setup *setup,
                                  const struct sluice_shared_spec *spec);
    struct sluice_map *(*map)(struct sluice_setup *setup, const struct sluice_shared_spec *spec);

    /* ---- memory, time, chance ---- */

    /*
     * As long as the exchange (until on_done has returned), aligned for any type, not zeroed.
     * NULL when over the exchange's limit: answer SLUICE_FAIL.
     */
    void *(*alloc)(const struct sluice_call *call, size_t bytes);
    /* The span in memory as above; an empty one with NULL when over the limit. */
    struct sluice_span (*copy)(const struct sluice_call *call, struct sluice_span text);
    /* A steady clock, as of this turn of the worker's loop: microseconds. */
    uint64_t (*now_us)(const struct sluice_call *call);
    /* Microseconds since 1970, as of this turn. */
    uint64_t (*wall_us)(const struct sluice_call *call);
    /* 64 random bits; not for keys. */
    uint64_t (*random)(const struct sluice_call *call);
    /* 0 to workers() - 1. */
    uint32_t (*worker_index)(const struct sluice_call *call);

    /* ---- the message ---- */

    /*
     * Fields. Names are compared without case. The first line of that name; false: none.
     * VALID UNTIL the fields of that side change or the callback returns.
     */
    bool (*field_get)(const struct sluice_call *call, enum sluice_side side,
                      struct sluice_span name, struct sluice_span *value);
    /*
     * Each line in turn: begin with *at 0. False after the last. Fields must not change meanwhile.
     */
    bool (*field_each)(const struct sluice_call *call, enum sluice_side side, size_t *at,
                       struct sluice_pair *line);
    /*
     * Change fields: replace all lines of that name by one; add a line; remove all. False when
     * this is not possible: the head is out, the name is no token, the value holds control bytes,
     * the field belongs to the gateway (framing, Connection and what it names, Host: the
     * configuration says what the upstream is asked for), or no memory is left. Nothing has
     * changed then. SLUICE_ATTEMPT can be changed in on_attempt only.
     */
    bool (*field_set)(const struct sluice_call *call, enum sluice_side side,
                      struct sluice_span name, struct sluice_span value);
    bool (*field_add)(const struct sluice_call *call, enum sluice_side side,
                      struct sluice_span name, struct sluice_span value);
    bool (*field_remove)(const struct sluice_call *call, enum sluice_side side,
                         struct sluice_span name);
    /*
     * Attributes: facts and findings with a name, as text; one namespace for access log, templates,
     * `when` and plugins. Those of the gateway are read-only: request.method, request.path,
     * request.query, request.host, request.scheme, request.target, request.id, request.protocol,
     * client.address, client.port, peer.address, listener, route, upstream, endpoint,
     * response.status, reason, tls.version, tls.cipher, tls.sni, tls.client.subject,
     * tls.client.fingerprint (SHA-256 in hex; both only of a certificate that was verified).
     * request.id alone may be set, in on_request_head (1 to 128 visible ASCII characters, no
     * quotation mark, backslash, '<', '>' or '&'): access log, error pages and templates show it
     * from then on. A plugin may set any other, such as consumer.name and consumer.groups (names
     * separated by commas), which are the contract between those who identify and those who limit
     * and log. False: not set, unknown, or (set) read-only or no memory.
     * VALID UNTIL the exchange ends, or the attribute is set again.
     */
    bool (*attribute_get)(const struct sluice_call *call, uint32_t attribute,
                          struct sluice_span *value);
    bool (*attribute_set)(const struct sluice_call *call, uint32_t attribute,
                          struct sluice_span value);
    int64_t (*fact)(const struct sluice_call *call, enum sluice_fact fact);
    /*
     * Send the request to another path and query ("/a/b", "x=1"; the path normalised, beginning
     * with '/'). Before the upstream is chosen. The route stays. False: too late, or not a valid
     * target.
     */
    bool (*target_set)(const struct sluice_call *call, struct sluice_span path,
                       struct sluice_span query);
    /* Send the request to that upstream instead of the route's. False: too late. */
    bool (*upstream_set)(const struct sluice_call *call, const struct sluice_upstream *upstream);
    /*
     * The text with its attributes put in, valid as long as the exchange; attributes that are not
     * set give their default, or nothing. NULL with 0 bytes when out of memory.
     */
    struct sluice_span (*render)(const struct sluice_call *call,
                                 const struct sluice_template *text);

    /* ---- what to do with the exchange ---- */

    /*
     * Answer the request ourselves; then return SLUICE_REPLIED. All is copied. Response phases of
     * the plugins passed so far see it. In request phases and on_attempt, and in completions that
     * bring their verdict. False: a response is under way already.
     */
    bool (*reply)(const struct sluice_call *call, const struct sluice_reply *reply);
    /* In on_local_reply: change the answer. Status, content type, body; fields are added. */
    bool (*reply_edit)(const struct sluice_call *call, const struct sluice_reply *reply);
    /*
     * What the gateway's answer is now. In on_local_reply; valid until it returns. Set
     * reply->size before: no more than that is written.
     */
    bool (*reply_get)(const struct sluice_call *call, struct sluice_reply *reply);
    /* A word for the access log that says what this plugin found: [a-z0-9_]+. Said once. */
    void (*note)(const struct sluice_call *call, struct sluice_span word);
    /* Not interested in these phases of this exchange any more: 1u << enum sluice_phase, or'ed. */
    void (*detach)(const struct sluice_call *call, uint32_t phases);

    /*
     * Ask for the body of the request (in on_request_head) or of the response (in
     * on_response_head); body phases are not called without. max_bytes: of SLUICE_BODY_WHOLE; a
     * larger request is answered 413, a larger response 502. False: no such body, or too late.
     */
    bool (*body_want)(const struct sluice_call *call, enum sluice_side side,
                      enum sluice_body_mode mode, uint64_t max_bytes);
    /*
     * In a body phase: this goes on in place of the part; empty: nothing of it. Copied. False:
     * not allowed by the mode, or no memory.
     */
    bool (*body_replace)(const struct sluice_call *call, struct sluice_span data);

    /* ---- later ---- */

    /*
     * A name for this exchange while it waits here: call it right before SLUICE_WAIT. Where
     * nothing may wait, a stale one.
     */
    struct sluice_ticket (*ticket)(const struct sluice_call *call);
    /*
     * On the exchange's own worker (in timers, completions, messages of this place): bring the
     * verdict of a waiting exchange. before, unless NULL, is called first with the exchange's own
     * call, and its verdict counts instead. False: stale, nothing was called. Never from inside a
     * callback of that same exchange.
     */
    bool (*resume)(const struct sluice_call *call, struct sluice_ticket ticket,
                   enum sluice_verdict verdict, sluice_timer_fn *before, void *arg);

    /*
     * The worker's own call of this place: what is begun with it belongs to the worker and goes on
     * when the exchange has ended. VALID UNTIL the callback returns.
     */
    const struct sluice_call *(*worker_call)(const struct sluice_call *call);
    /*
     * The following belong to the exchange of the call, or to the worker when the call has none,
     * and return a number for cancel(); 0: not possible (too many at once, out of
     * memory), and the completion is not called. Completions never run inside the service.
     */
    uint64_t (*timer)(const struct sluice_call *call, uint32_t ms, sluice_timer_fn *done,
                      void *arg);
    /* HTTP through the gateway's own pools, TLS and balancing. */
    uint64_t (*http_call)(const struct sluice_call *call, const struct sluice_http_request *request,
                          sluice_http_fn *done, void *arg);
    /* One command: argv[0] is its name. timeout_ms 0: 100. */
    uint64_t (*redis_call)(const struct sluice_call *call, const struct sluice_span *argv, size_t n,
                           uint32_t timeout_ms, sluice_redis_fn *done, void *arg);
    /*
     * Run work on a helper thread with a copy of bytes bytes at data; done gets the copy as work
     * left it.
     */
    uint64_t (*offload)(const struct sluice_call *call, sluice_work_fn *work, const void *data,
                        size_t bytes, sluice_work_done_fn *done);
    /* The completion will not be called. Any number is safe. */
    void (*cancel)(const struct sluice_call *call, uint64_t number);

    /*
     * A door to this place on this worker, for other threads. Counted: each door() needs a
     * door_close(). It may outlive the worker; post() is then refused.
     */
    struct sluice_door *(*door)(const struct sluice_call *call);
    /*
     * From any thread: have message called on the door's worker. False: nobody is there any more,
     * or its queue is full.
     */
    bool (*post)(struct sluice_door *door, sluice_message_fn *message, void *arg);
    void (*door_close)(struct sluice_door *door); /* from any thread */

    /* ---- shared between workers ---- */

    /*
     * A 64-bit number under each key, 0 when absent. get, compare-and-swap (and the number that is
     * there otherwise), add (and the new number). ttl_ms: forgotten when not written for so
     * long; 0: one hour. Never blocks.
     */
    uint64_t (*words_get)(struct sluice_words *words, struct sluice_span key);
    enum sluice_shared (*words_swap)(struct sluice_words *words, struct sluice_span key,
                                     uint64_t *expected, uint64_t desired, uint32_t ttl_ms);
    enum sluice_shared (*words_add)(struct sluice_words *words, struct sluice_span key,
                                    int64_t difference, uint32_t ttl_ms, uint64_t *result);
    /*
     * Bytes under a key. get copies at most cap bytes to out and says how many there are; serial
     * grows with each set of the key: what was made of a value can be kept beside its serial. A
     * lock is held for the copy only. A full map drops what has expired, then what was used longest
     * ago. ttl_ms 0: one hour.
     */
    enum sluice_shared (*map_get)(struct sluice_map *map, struct sluice_span key, void *out,
                                  size_t cap, size_t *len, uint64_t *serial);
    enum sluice_shared (*map_set)(struct sluice_map *map, struct sluice_span key,
                                  struct sluice_span value, uint32_t ttl_ms);
    void (*map_remove)(struct sluice_map *map, struct sluice_span key);

    /* ---- telling ---- */

    /* values: one for each label, in their order. NULL metric: nothing. */
    void (*metric_add)(const struct sluice_call *call, struct sluice_metric *metric,
                       const struct sluice_span *values, double amount);
    bool (*log_enabled)(enum sluice_log_level level);
    /* One line; the gateway adds plugin, place and, in an exchange, its id. */
    void (*log)(const struct sluice_call *call, enum sluice_log_level level, const char *message,
                const struct sluice_pair *pairs, size_t n);
    /* For the span of this exchange, whoever traces it. */
    void (*span_attribute)(const struct sluice_call *call, struct sluice_span name,
                           struct sluice_span value);
    /* For who traces: each in turn, begin with *at 0; false after the last. */
    bool (*span_attribute_each)(const struct sluice_call *call, size_t *at,
                                struct sluice_pair *pair);
    /*
     * What the admin page of plugins shows of this place: called rarely, on the control thread's
     * behalf, as one JSON value. In worker callbacks; copied.
     */
    void (*report)(const struct sluice_call *call, struct sluice_span json);

    /*
     * Where a target points to, as the configuration writes it; as long as conf. For keys of
     * shared state, so that what was learnt from one place is not believed of another.
     */
    struct sluice_span (*target_text)(const struct sluice_target *target);
};

/* Does this gateway have that service? For those added after minor version 0. */
#define SLUICE_HAS(host, member)                                                                   \
    ((host)->size >= offsetof(struct sluice_host, member) + sizeof((host)->member))

/* -- options --------------------------------------------------------------------------- */

/* What an option looks like in the file, and what is stored at its offset. */
enum sluice_option_kind {
    SLUICE_OPTION_END = 0,      /* the last row of a table */
    SLUICE_OPTION_BOOL = 1,     /* bool */
    SLUICE_OPTION_UINT = 2,     /* uint64_t, within min..max (max 0: no bound) */
    SLUICE_OPTION_DURATION = 3, /* uint64_t milliseconds: 250ms, 10s, 5m; within min..max */
    SLUICE_OPTION_SIZE = 4,     /* uint64_t bytes: 512, 64KiB; within min..max */
    SLUICE_OPTION_RATIO = 5,    /* double 0..1: 50% or 0.5 */
    SLUICE_OPTION_TEXT = 6,     /* struct sluice_span, NUL-terminated beyond its length */
    SLUICE_OPTION_SECRET = 7,   /* the same; file:PATH is what the file holds; never shown */
    SLUICE_OPTION_CHOICE = 8,   /* uint32_t: the value of one of choices */
    SLUICE_OPTION_STRUCT = 9,   /* a struct of fields, in place */
    SLUICE_OPTION_LIST = 10,    /* struct sluice_list of elements, min..max of them */
    SLUICE_OPTION_MAP = 11,  /* struct sluice_list of elements; each begins with its name, a span */
    SLUICE_OPTION_FILE = 12, /* struct sluice_file: a file is read; a reload follows its changes */
    SLUICE_OPTION_TEMPLATE = 13, /* const struct sluice_template *: text with ${attribute} */
    SLUICE_OPTION_TARGET = 14,   /* const struct sluice_target *: http(s) URL, or UPSTREAM/path */
    SLUICE_OPTION_UPSTREAM = 15, /* const struct sluice_upstream *: the name of an upstream */
    SLUICE_OPTION_NETWORK = 16,  /* struct sluice_network: address or CIDR */
    SLUICE_OPTION_RATE = 17      /* struct sluice_rate: 100/s, 5000/m, 10/10s */
};

enum sluice_option_flags {
    SLUICE_OPTION_REQUIRED = 1u << 0,
    /* Of a STRUCT's table: a scalar in place of the map sets this option. */
    SLUICE_OPTION_SCALAR = 1u << 1
};

struct sluice_choice {
    const char *name; /* NULL ends the list */
    uint32_t value;
    const char *help;
};

struct sluice_file {
    struct sluice_span path, content; /* content is NUL-terminated beyond its length */
};

struct sluice_network {
    uint8_t address[16]; /* network order; IPv4 as ::ffff:a.b.c.d */
    uint32_t bits;       /* of the 128 */
    uint32_t is_v4;
};

struct sluice_rate {
    uint64_t amount, period_ms;
};

/* One row. The gateway checks, tells errors with their place, and stores. */
struct sluice_option {
    uint32_t kind;  /* enum sluice_option_kind */
    uint32_t flags; /* enum sluice_option_flags */
    const char *name;
    size_t offset;
    const char *preset; /* as it would be written in the file; NULL: zero bytes */
    const char *help;   /* one sentence, for the reference and the schema */
    uint64_t min, max;
    const struct sluice_choice *choices; /* CHOICE */
    const struct sluice_option *fields;  /* STRUCT; LIST and MAP of structs: of an element */
    uint32_t element;                    /* LIST: kind of an element; MAP: STRUCT always */
    uint32_t element_size;               /* LIST, MAP: bytes of one */
    const char *example;                 /* as it would be written, or NULL */
};

/* -- the descriptor ----------------------------------------------------------------------- */

enum sluice_plugin_flags {
    /* Has threads or at-exit handlers of its own: never unload the file. */
    SLUICE_PLUGIN_KEEP_LOADED = 1u << 0
};

/*
 * A NULL callback means: nothing to do there, and costs nothing.
 *
 * Request phases run in the order of the chain, response phases in reverse order; on_response_head
 * and what follows run for every final response, whoever made it, at the places that the head of
 * the request has passed; the place that answered it by reply() is not among them. When a response
 * fails before its head went out (a plugin could not do its work, content was too large), they run
 * again, from on_response_head, for the answer that replaces it. What began always ends: on_done
 * runs once for each exchange in which a phase of this place ran, in every ending, after the
 * response phases.
 */
struct sluice_plugin {
    uint32_t size;                       /* sizeof(struct sluice_plugin) */
    uint16_t abi, abi_minor;             /* SLUICE_ABI, SLUICE_ABI_MINOR */
    uint32_t flags;                      /* enum sluice_plugin_flags */
    uint32_t option_size;                /* sizeof(struct sluice_option) */
    const char *name;                    /* [a-z0-9_]+, as in the file name and the configuration */
    const char *version;                 /* of the plugin: "1.2.3" */
    const char *summary;                 /* one sentence */
    const char *doc_url;                 /* or NULL */
    const struct sluice_option *options; /* or NULL: none */
    uint32_t conf_size, worker_size, ctx_size; /* bytes; may be 0 */

    /*
     * Main thread, once for each place in a chain, also when only checking: no side effects.
     * Report with conf_error(). conf may be completed (compiled, sorted); what needs freeing
     * is freed in conf_fini, which runs for each conf that was given to conf_check.
     */
    void (*conf_check)(const struct sluice_host *host, struct sluice_setup *setup, void *conf);
    /* Main thread, when the configuration is going to be served. False refuses it: conf_error(). */
    bool (*conf_start)(const struct sluice_host *host, struct sluice_setup *setup, void *conf);
    /* Main thread, after the last worker_stop; must survive a conf_check that reported errors. */
    void (*conf_fini)(const struct sluice_host *host, void *conf);

    /* False: this worker serves this place as if each phase answered SLUICE_FAIL. */
    bool (*worker_start)(const struct sluice_call *call);
    /*
     * What belongs to the worker has been cancelled already. Also after a worker_start that
     * failed.
     */
    void (*worker_stop)(const struct sluice_call *call);

    enum sluice_verdict (*on_request_head)(const struct sluice_call *call);
    /* Only after body_want(). last: nothing follows; the part may be empty then. */
    enum sluice_verdict (*on_request_body)(const struct sluice_call *call, struct sluice_span part,
                                           bool last);
    enum sluice_verdict (*on_request_trailers)(const struct sluice_call *call);

    /* Before each try: fields of SLUICE_ATTEMPT may be changed. In the order of the chain. */
    enum sluice_verdict (*on_attempt)(const struct sluice_call *call,
                                      const struct sluice_attempt *attempt);
    /* Each try that on_attempt saw, once: with its response's head, its failure, or cancelled. */
    void (*on_attempt_done)(const struct sluice_call *call, const struct sluice_attempt *attempt);

    /* The gateway answers itself, for a reason of its own: change how that looks. */
    enum sluice_verdict (*on_local_reply)(const struct sluice_call *call);

    enum sluice_verdict (*on_response_head)(const struct sluice_call *call);
    enum sluice_verdict (*on_response_body)(const struct sluice_call *call, struct sluice_span part,
                                            bool last);
    enum sluice_verdict (*on_response_trailers)(const struct sluice_call *call);

    /* Everything is over: count, log, let go. Nothing can be changed any more. */
    void (*on_done)(const struct sluice_call *call);

    /*
     * Fill the admin page: on a worker, about once a second while somebody looks. Answer with
     * report().
     */
    void (*on_report)(const struct sluice_call *call);
    /*
     * An operator calls POST /plugins/PLACE with this text: on every worker. Answer with report().
     */
    void (*on_command)(const struct sluice_call *call, struct sluice_span command);

    /* ---- since minor version 1 ---- */

    /*
     * On each worker when the gateway ends and the last exchange has ended: send what must not be
     * lost. WAIT: not all of it has gone yet; asked again soon, until it is NEXT or the
     * configuration's drain.flush is over. worker_stop follows.
     */
    enum sluice_verdict (*on_drain)(const struct sluice_call *call);
};

/* The one symbol that a plugin exports. */
#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
extern const struct sluice_plugin sluice_plugin;

/* Fill the first members of the descriptor. */
#define SLUICE_PLUGIN_HEAD                                                                         \
    .size = sizeof(struct sluice_plugin), .abi = SLUICE_ABI, .abi_minor = SLUICE_ABI_MINOR,        \
    .option_size = sizeof(struct sluice_option)

/* Element i of a list reply; NULL when there is none. */
static inline const struct sluice_redis_reply *
sluice_redis_at(const struct sluice_redis_reply *reply, size_t i)
{
    return i < reply->n
               ? (const struct sluice_redis_reply *)(const void *)((const char *)reply->element +
                                                                   i * reply->element->size)
               : NULL;
}

#ifdef __cplusplus
}
#endif

#endif /* SLUICE_PLUGIN_H */
