/*
 * sluice_test_private.h - what the files of the fake host share.
 */
#ifndef SLUICE_TEST_PRIVATE_H
#define SLUICE_TEST_PRIVATE_H

#include "sluice_test.h"

#include <stdatomic.h>

enum {
    FAKE_SIDES = 5,
    FAKE_WORKERS = 64,
    FAKE_FACTS = 13,
    FAKE_JOBS = 10000, /* completions under way at once, as the gateway has a limit too */
    FAKE_DEPTH = 16    /* of options within options */
};

/* -- memory and text ------------------------------------------------------------ */

/* Growing text, always NUL-terminated once anything was added. */
struct fake_text {
    char *ptr; /* owned */
    size_t len, room;
};

/* Zeroed; ends the process when there is no memory, for a test has no use for that. */
void *fake_alloc(size_t bytes);
void *fake_grow(void *ptr, size_t bytes);
void fake_drop(void *ptr);
char *fake_dup(struct sluice_span text);
void fake_add(struct fake_text *text, const char *ptr, size_t len);
void fake_format(struct fake_text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void fake_text_fini(struct fake_text *text);
struct sluice_span fake_span(const char *text);
bool fake_same(struct sluice_span a, struct sluice_span b);
bool fake_same_name(struct sluice_span a, struct sluice_span b);

/* A piece of memory that the plugin has been given for a while. */
struct fake_block {
    struct fake_block *next;
    size_t len;
    uint32_t side; /* 1 << enum sluice_side: ends when those fields change; 0: none */
    _Alignas(max_align_t) char bytes[];
};

struct fake_blocks {
    struct fake_block *first, *last;
    size_t total;
};

char *fake_block_add(struct fake_blocks *blocks, size_t bytes);
/* Overwrite all, or those of the side, and keep them where nobody else gets them. */
void fake_block_end(struct fake_blocks *blocks, struct fake_blocks *quarantine, uint32_t sides);
/* Really free; keep at most so many bytes. */
void fake_block_free(struct fake_blocks *blocks, size_t keep);

/* -- options ---------------------------------------------------------------------- */

struct fake_node {
    struct fake_node *next;  /* sibling */
    struct fake_node *first; /* of a list or a map */
    char *name;              /* in a map */
    char *text;              /* of a scalar; NULL: a list or map */
    bool is_list;
};

/* Adds a row to the tree; false: malformed. */
bool fake_row(struct fake_node **root, const char *row);
/* One flow value; false: malformed. */
bool fake_flow(struct fake_node **node, const char *text);
void fake_node_free(struct fake_node **node_);

/* Looks at the table; a line of why for each thing that is wrong. */
void fake_table_check(const struct sluice_plugin *plugin, struct fake_text *why);
/* Bind to conf (conf_size zero bytes); what is wrong becomes lines of test->errors. */
void fake_bind(struct sluice_test *test, const struct fake_node *root, void *conf);

struct sluice_template {
    char *text;
};
struct sluice_target {
    char *url;
};
struct sluice_upstream {
    char *name;
};

/* -- things of the fake gateway ------------------------------------------------------ */

struct fake_field {
    char *name, *value;
};

struct fake_fields {
    struct fake_field *line;
    size_t n;
};

struct fake_reply {
    struct sluice_test_reply shown;
    char *reason, *content_type;
    struct fake_text body;
    bool has;
};

struct fake_body {
    uint32_t mode; /* enum sluice_body_mode */
    uint64_t max;
    struct fake_text gathered; /* WHOLE */
    struct fake_text part;     /* that a phase is looking at */
    struct fake_text replaced;
    struct fake_text sent;
    bool is_replaced;
};

struct sluice_exchange {
    struct sluice_exchange *next; /* in test */
    struct sluice_test *test;
    uint32_t worker;
    struct fake_fields fields[FAKE_SIDES];
    char **attribute; /* by number - 1; NULL: not set */
    uint32_t n_attributes;
    int64_t fact[FAKE_FACTS];
    uint32_t has_fact; /* bits: set by the test */
    uint64_t begun_us;
    struct fake_blocks memory;
    void *ctx;
    struct fake_reply reply;
    struct fake_body body[2];
    struct fake_text notes;
    struct fake_fields spans;
    struct sluice_attempt attempt;
    char *endpoint, *failure, *upstream_set, *target_set;
    enum sluice_phase phase;
    enum sluice_verdict verdict;
    uint32_t detached; /* bits of phases */
    uint64_t ticket;   /* serial; 0: none */
    uint64_t wait_until_us;
    bool saw, waiting, out, done, replied, is_complete, response_begun, has_ticket;
};

enum fake_job_kind { FAKE_TIMER, FAKE_HTTP, FAKE_REDIS, FAKE_OFFLOAD };

/* A completion to come. */
struct fake_job {
    struct fake_job *next;
    enum fake_job_kind kind;
    uint64_t number, due_us;
    struct sluice_exchange *exchange; /* NULL: the worker's */
    uint32_t worker;
    void *arg;
    union {
        sluice_timer_fn *timer;
        sluice_http_fn *http;
        sluice_redis_fn *redis;
        sluice_work_done_fn *offload;
    } fn;
    sluice_work_fn *work;
    size_t bytes;
    void *data; /* owned: the offloaded copy */
    struct sluice_test_http http;
    struct sluice_test_redis redis;
};

struct fake_mail {
    struct fake_mail *next;
    struct sluice_door *door;
    sluice_message_fn *message;
    void *arg;
};

struct sluice_door {
    struct sluice_test *test;
    struct sluice_door *next;
    uint32_t worker;
    bool is_open, is_shut; /* is_shut: its worker is gone; under mail_lock */
};

struct fake_series {
    struct fake_series *next;
    char *labels;
    double sum;
    uint64_t count;
};

struct sluice_metric {
    struct sluice_metric *next;
    char *name, *labels;
    uint32_t kind, n_labels, max_series, n_series;
    struct fake_series *series;
};

struct fake_entry {
    struct fake_entry *next;
    char *key, *value;
    size_t key_len, value_len;
    uint64_t word, serial, until_us;
};

/* words() and map() alike. */
struct fake_shared {
    struct fake_shared *next;
    struct sluice_test *test;
    char *name, *key;
    uint32_t version, max_value;
    uint64_t capacity, n, serial;
    struct fake_entry *entry;
    bool is_map;
};

struct sluice_words {
    struct fake_shared shared;
};
struct sluice_map {
    struct fake_shared shared;
};

enum fake_stage { FAKE_IDLE, FAKE_CHECKING, FAKE_STARTING, FAKE_SERVING };

struct sluice_setup {
    struct sluice_test *test;
};

/* What is being called now. */
struct fake_call {
    uint32_t magic;
    struct sluice_test *test;
    enum sluice_phase phase;
    bool is_phase;  /* else a completion, a message or a worker's callback */
    bool has_reply; /* reply() in this callback */
    bool may_edit;  /* inside on_local_reply */
    struct fake_call *outer;
    struct fake_call *own; /* what worker_call() gave in it */
    bool is_own;           /* such a one; outer is whose */
    struct sluice_call call;
};

struct fake_queued_http {
    struct fake_queued_http *next;
    struct sluice_test_http answer;
};
struct fake_queued_redis {
    struct fake_queued_redis *next;
    struct sluice_test_redis answer;
};

struct sluice_test {
    struct sluice_host host;            /* first: services find the test by it */
    const struct sluice_plugin *plugin; /* about */
    struct sluice_plugin about;         /* NULL in what an older minor version does not know */
    struct fake_node *options;          /* owned */
    const void *given_conf;
    struct sluice_setup setup;
    enum fake_stage stage;
    struct fake_blocks conf_memory; /* conf_alloc() and what binding made */
    void *conf;
    uint64_t conf_sum;
    void *worker[FAKE_WORKERS];
    bool serves[FAKE_WORKERS];
    uint32_t n_workers, on_worker, wait_ms, offload_ms;
    bool fails_open, is_started, collects;
    struct fake_text errors, warnings, violations, shown_violations, log, report;
    uint32_t n_errors;
    struct sluice_exchange *exchange;
    struct fake_job *job;
    uint32_t n_jobs;
    struct fake_mail *mail, **mail_end;
    atomic_flag mail_lock;
    struct sluice_door *door;
    struct sluice_metric *metric;
    struct fake_shared *shared;
    char **attribute; /* names */
    uint32_t n_attributes, n_own_attributes;
    uint64_t now_us, wall_us, random, number, fallible, fail_at;
    bool has_failed;
    struct fake_call *call; /* innermost */
    struct fake_blocks lent, quarantine;
    sluice_test_http_fn *on_http;
    void *http_arg;
    sluice_test_redis_fn *on_redis;
    void *redis_arg;
    struct fake_queued_http *http;
    struct fake_queued_redis *redis;
    uint32_t n_http, n_redis;
};

/* Say what the plugin did wrong. */
void fake_violation(struct sluice_test *test, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Say what the test did wrong, and end it. */
_Noreturn void fake_misuse(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The test of a call; checks that the call is the one that is running. */
struct sluice_test *fake_enter(const struct sluice_call *call, const char *service);
/* The same for services about an exchange; NULL (and a violation) when there is none. */
struct sluice_exchange *fake_exchange(const struct sluice_call *call, const char *service);
bool fake_fails(struct sluice_test *test);

/* Bytes for the plugin that end with the callback. */
struct sluice_span fake_lend(struct sluice_test *test, struct sluice_span text, uint32_t sides);
const char *fake_phase_name(enum sluice_phase phase);

void fake_call_begin(struct sluice_test *test, struct sluice_exchange *ex, uint32_t worker);
/* Ends what was lent; conf is checked. */
void fake_call_end(struct sluice_test *test);
/* The phase that runs, or that the exchange waits in. */
void fake_verdict(struct sluice_exchange *ex, enum sluice_verdict verdict, bool has_reply);

void fake_host_init(struct sluice_test *test);
void fake_host_message(struct sluice_host *host); /* each file its own services */
void fake_host_later(struct sluice_host *host);
void fake_host_shared(struct sluice_host *host);

uint32_t fake_attribute(struct sluice_test *test, struct sluice_span name);
bool fake_attribute_is_own(const struct sluice_test *test, uint32_t attribute);
void fake_attribute_put(struct sluice_exchange *ex, uint32_t attribute, struct sluice_span value);
void fake_fields_add(struct fake_fields *fields, struct sluice_span name, struct sluice_span value);
void fake_fields_fini(struct fake_fields *fields);
void fake_exchange_free(struct sluice_exchange **ex_);
void fake_reply_set(struct sluice_exchange *ex, const struct sluice_reply *reply, bool is_plugins);

void fake_jobs_drop(struct sluice_test *test, const struct sluice_exchange *ex, bool all);
/* What is posted from now on is refused, what was posted before is dropped. */
void fake_doors_shut(struct sluice_test *test);
void fake_later_fini(struct sluice_test *test);
void fake_told_fini(struct sluice_test *test);

#endif /* SLUICE_TEST_PRIVATE_H */
