/*
 * jwks.c - who fetches, when, and who is woken by it.
 *
 *   shared words   due    when the next fetch is due; after a failure: when the next try is
 *                  began  when the latest fetch began
 *                  done   when the latest fetch that has ended had begun
 *                  lease  until when one worker may be fetching; 0: none is
 *                  fails  fetches that failed since the last that did not
 *   shared map     the moment of the fetch, then the document
 *
 * step() is the whole machine: read what is new, wake whom that helps, fetch if it is time and
 * nobody else does, come again. A timer, an exchange that waits and the end of a fetch call it.
 */
#include "jwks.h"

#include "digest.h"
#include "kit/span.h"

#include <stdlib.h>

#define WAITERS_MAX 1024u
#define PATIENCE_US                                                                                \
    1000000u                /* who would have to wait longer for a fetch to begin is told at once */
#define POLL_MS         20u /* while somebody waits for another worker's fetch */
#define IDLE_MS         1000u
#define SLACK_US        5000u /* clocks of two workers differ by a turn of their loops */
#define BACKOFF_MS      250u  /* after the first failure; doubles */
#define BACKOFF_MAX     30000u
#define MAX_AGE_LEAST_S 30u /* an issuer that says less is asked no more often */
#define KEPT_MS         UINT32_MAX

struct waiter {
    struct sluice_ticket ticket;
    uint64_t asked_us;
    struct digest kid; /* of the name; kid_len 0: any key will do */
    size_t kid_len;
    enum alg alg;
};

struct jwks {
    const struct jwks_options *options; /* borrowed from conf */
    jwks_changed_fn *changed;
    sluice_timer_fn *woken;
    struct sluice_door *door; /* owned: our own, for work that must outlive the exchange */
    struct keyset *keys;      /* owned; NULL: none */
    struct digest text;       /* of the document they were read from */
    uint64_t serial;          /* of the map's value */
    uint64_t fetched_us;
    uint64_t fetch_began_us; /* of our own fetch; 0: none */
    uint64_t timer;
    bool is_posted;
    size_t n_waiters;
    struct waiter waiters[WAITERS_MAX];
};

/* What lies in the map before the document. */
struct stored {
    uint64_t fetched_us;
};

static const struct digest_key plain_key = {0, 0}; /* tells texts apart, keeps no secret */

static void step(const struct sluice_call *call, struct jwks *jwks);

/* -- shared words ------------------------------------------------------------ */

static uint64_t word(const struct sluice_call *call, const struct jwks *jwks, const char *name)
{
    return call->host->words_get(jwks->options->words, span_of(name));
}

/* Only who holds the lease writes, so that a swap which fails once does not fail for ever. */
static void word_set(const struct sluice_call *call, const struct jwks *jwks, const char *name,
                     uint64_t value)
{
    uint64_t there = word(call, jwks, name);

    for (int i = 0; i < 8; i++) {
        if (call->host->words_swap(jwks->options->words, span_of(name), &there, value, KEPT_MS) !=
            SLUICE_SHARED_OTHER)
            return;
    }
}

static bool take_lease(const struct sluice_call *call, const struct jwks *jwks, uint64_t now_us)
{
    uint64_t until_us = word(call, jwks, "lease");

    if (until_us > now_us)
        return false;
    return call->host->words_swap(jwks->options->words, SLUICE_SPAN("lease"), &until_us,
                                  now_us + (jwks->options->timeout_ms + IDLE_MS) * 1000,
                                  KEPT_MS) == SLUICE_SHARED_OK;
}

/* -- reading what is shared -------------------------------------------------- */

static void drop_keys(const struct sluice_call *call, struct jwks *jwks)
{
    keyset_free(&jwks->keys);
    jwks->text = (struct digest){0, 0};
    jwks->changed(call);
}

static void take_document(const struct sluice_call *call, struct jwks *jwks,
                          struct sluice_span text)
{
    struct digest digest = digest_of(&plain_key, text);
    struct keyset_report report;
    struct keyset *keys;

    if (jwks->keys && digest_same(digest, jwks->text))
        return;
    keys = keyset_new();
    if (!keys || !keyset_read(keys, text, false, &report)) {
        keyset_free(&keys);
        return;
    }
    keyset_free(&jwks->keys);
    jwks->keys = keys;
    jwks->text = digest;
    jwks->changed(call);
}

/* Newer keys than ours, when there are any; none, when ours have become too old. */
static void load(const struct sluice_call *call, struct jwks *jwks)
{
    const struct sluice_host *host = call->host;
    struct sluice_map *map = jwks->options->map;
    size_t cap = sizeof(struct stored) + KEYSET_BYTES, len = 0;
    struct stored stored;
    uint64_t serial = 0;
    char *value;

    if (host->map_get(map, SLUICE_SPAN("jwks"), NULL, 0, &len, &serial) == SLUICE_SHARED_OK &&
        serial != jwks->serial) {
        value = malloc(cap);
        if (value &&
            host->map_get(map, SLUICE_SPAN("jwks"), value, cap, &len, &serial) ==
                SLUICE_SHARED_OK &&
            len > sizeof(stored) && len <= cap) {
            memcpy(&stored, value, sizeof(stored));
            jwks->serial = serial;
            jwks->fetched_us = stored.fetched_us;
            take_document(call, jwks,
                          (struct sluice_span){value + sizeof(stored), len - sizeof(stored)});
        }
        free(value);
    }
    if (jwks->keys && host->now_us(call) > jwks->fetched_us + jwks->options->max_stale_ms * 1000)
        drop_keys(call, jwks);
}

/* -- fetching ---------------------------------------------------------------- */

/* Somewhere in the last tenth before ms, so that gateways do not ask all at once. */
static uint64_t jittered_us(const struct sluice_call *call, uint64_t ms)
{
    uint64_t us = ms * 1000;

    return us - call->host->random(call) % (us / 10 + 1);
}

/* max-age of Cache-Control, in milliseconds; 0: not said. */
static uint64_t max_age_ms(const struct sluice_http_response *response)
{
    for (size_t i = 0; i < response->n_fields; i++) {
        struct sluice_span rest = response->fields[i].value, part;

        if (!span_is_word(response->fields[i].name, SLUICE_SPAN("cache-control")))
            continue;
        while (span_cut(&rest, ',', &part)) {
            uint64_t seconds = 0;

            part = span_trim(part);
            if (part.len < 9 || part.len > 16 ||
                !span_is_word((struct sluice_span){part.ptr, 8}, SLUICE_SPAN("max-age=")))
                continue;
            for (size_t at = 8; at < part.len && part.ptr[at] >= '0' && part.ptr[at] <= '9'; at++)
                seconds = seconds * 10 + (uint64_t)(part.ptr[at] - '0');
            return (seconds > MAX_AGE_LEAST_S ? seconds : MAX_AGE_LEAST_S) * 1000;
        }
    }
    return 0;
}

static void count_fetch(const struct sluice_call *call, const struct jwks *jwks, const char *how)
{
    struct sluice_span label = span_of(how);

    call->host->metric_add(call, jwks->options->fetches, &label, 1);
}

/* Nothing is lost but freshness: the keys stay, and the next try is later each time. */
static void on_failure(const struct sluice_call *call, struct jwks *jwks, const char *why)
{
    uint64_t fails = word(call, jwks, "fails");
    uint64_t backoff_ms = BACKOFF_MS << (fails < 8 ? fails : 8);
    struct sluice_pair pair = {SLUICE_SPAN("why"), span_of(why)};

    if (backoff_ms > BACKOFF_MAX)
        backoff_ms = BACKOFF_MAX;
    word_set(call, jwks, "fails", fails + 1);
    word_set(call, jwks, "due", call->host->now_us(call) + jittered_us(call, backoff_ms));
    count_fetch(call, jwks, "failed");
    if (fails == 0)
        call->host->log(call, SLUICE_LOG_WARN, "cannot fetch keys", &pair, 1);
}

/* A document with at least one key that can be used. */
static bool is_useful(struct sluice_span text)
{
    struct keyset *keys = keyset_new();
    struct keyset_report report;
    bool useful = keys && keyset_read(keys, text, false, &report) && report.taken > 0;

    keyset_free(&keys);
    return useful;
}

static void on_success(const struct sluice_call *call, struct jwks *jwks,
                       const struct sluice_http_response *response)
{
    const struct jwks_options *options = jwks->options;
    struct stored stored = {call->host->now_us(call)};
    struct sluice_span value = {NULL, sizeof(stored) + response->body.len};
    uint64_t next_ms = max_age_ms(response);
    char *bytes = malloc(value.len);

    if (next_ms == 0 || next_ms > options->refresh_ms)
        next_ms = options->refresh_ms;
    if (bytes) {
        memcpy(bytes, &stored, sizeof(stored));
        memcpy(bytes + sizeof(stored), response->body.ptr, response->body.len);
        value.ptr = bytes;
        (void)call->host->map_set(options->map, SLUICE_SPAN("jwks"), value, KEPT_MS);
    }
    free(bytes);
    if (word(call, jwks, "fails") > 0)
        call->host->log(call, SLUICE_LOG_INFO, "keys can be fetched again", NULL, 0);
    word_set(call, jwks, "fails", 0);
    word_set(call, jwks, "due", call->host->now_us(call) + jittered_us(call, next_ms));
    count_fetch(call, jwks, "done");
}

static const char *failure_of(const struct sluice_http_response *response)
{
    switch ((enum sluice_http_end)response->end) {
    case SLUICE_HTTP_OK:
        if (response->status != 200)
            return "status";
        return is_useful(response->body) ? NULL : "no usable key in the document";
    case SLUICE_HTTP_TIMEOUT:
        return "timeout";
    case SLUICE_HTTP_UNREACHABLE:
        return "unreachable";
    case SLUICE_HTTP_BROKEN:
        return "broken";
    case SLUICE_HTTP_TOO_LARGE:
        return "too large";
    }
    return "unknown";
}

static void fetch_ended(const struct sluice_call *call, struct jwks *jwks)
{
    word_set(call, jwks, "done", jwks->fetch_began_us);
    word_set(call, jwks, "lease", 0);
    jwks->fetch_began_us = 0;
}

static enum sluice_verdict on_fetched(const struct sluice_call *call,
                                      const struct sluice_http_response *response, void *arg)
{
    struct jwks *jwks = arg;
    const char *why = failure_of(response);

    if (why) {
        on_failure(call, jwks, why);
    } else {
        on_success(call, jwks, response);
    }
    fetch_ended(call, jwks);
    step(call, jwks);
    return SLUICE_NEXT;
}

static void begin(const struct sluice_call *call, struct jwks *jwks, uint64_t now_us)
{
    struct sluice_pair accept = {SLUICE_SPAN("accept"),
                                 SLUICE_SPAN("application/jwk-set+json, application/json")};
    struct sluice_http_request request = {.size = sizeof(request),
                                          .target = jwks->options->target,
                                          .fields = &accept,
                                          .n_fields = 1,
                                          .timeout_ms = (uint32_t)jwks->options->timeout_ms,
                                          .max_body = KEYSET_BYTES};

    word_set(call, jwks, "began", now_us);
    jwks->fetch_began_us = now_us;
    if (call->host->http_call(call, &request, on_fetched, jwks) != 0)
        return;
    on_failure(call, jwks, "the gateway has no room for the call");
    fetch_ended(call, jwks);
}

/* -- when -------------------------------------------------------------------- */

/* The moment from which a fetch may begin for who asked then. */
static uint64_t fetch_from(const struct sluice_call *call, const struct jwks *jwks,
                           uint64_t asked_us)
{
    uint64_t from_us = asked_us + SLACK_US;
    uint64_t cool_us = word(call, jwks, "began") + jwks->options->cooldown_ms * 1000;
    uint64_t due_us = word(call, jwks, "due");

    if (word(call, jwks, "began") != 0 && cool_us > from_us)
        from_us = cool_us;
    if (word(call, jwks, "fails") != 0 && due_us > from_us)
        from_us = due_us;
    return from_us;
}

static bool is_answered(const struct waiter *waiter, uint64_t done_us)
{
    return done_us >= waiter->asked_us + SLACK_US;
}

static bool is_time(const struct sluice_call *call, const struct jwks *jwks, uint64_t now_us)
{
    uint64_t done_us = word(call, jwks, "done");

    if (now_us >= word(call, jwks, "due"))
        return true;
    for (size_t i = 0; i < jwks->n_waiters; i++) {
        if (!is_answered(&jwks->waiters[i], done_us))
            return now_us >= fetch_from(call, jwks, jwks->waiters[i].asked_us);
    }
    return false;
}

/* -- who waits --------------------------------------------------------------- */

static bool has_its_key(const struct jwks *jwks, const struct waiter *waiter)
{
    const struct key *key;

    for (size_t at = 0;
         (key = keyset_next(jwks->keys, waiter->alg, (struct sluice_span){NULL, 0}, &at));) {
        struct sluice_span name = key_kid(key);

        if (waiter->kid_len == 0 || name.len == 0 ||
            digest_same(digest_of(&plain_key, name), waiter->kid))
            return true;
    }
    return false;
}

/* Resuming may bring new ones who wait; they come to the end, and their turn is the next. */
static void wake(const struct sluice_call *call, struct jwks *jwks)
{
    uint64_t done_us = word(call, jwks, "done");

    for (size_t i = jwks->n_waiters; i-- > 0;) {
        struct waiter waiter = jwks->waiters[i];

        if (!is_answered(&waiter, done_us) && !has_its_key(jwks, &waiter))
            continue;
        jwks->waiters[i] = jwks->waiters[--jwks->n_waiters];
        (void)call->host->resume(call, waiter.ticket, SLUICE_FAIL, jwks->woken, NULL);
    }
}

static enum sluice_verdict on_timer(const struct sluice_call *call, void *arg)
{
    struct jwks *jwks = arg;

    jwks->timer = 0;
    step(call, jwks);
    return SLUICE_NEXT;
}

static void step(const struct sluice_call *call, struct jwks *jwks)
{
    uint64_t now_us = call->host->now_us(call);
    bool is_polling;

    load(call, jwks);
    wake(call, jwks);
    if (jwks->fetch_began_us == 0 && is_time(call, jwks, now_us) && take_lease(call, jwks, now_us))
        begin(call, jwks, now_us);
    is_polling = jwks->n_waiters > 0;
    call->host->cancel(call, jwks->timer);
    jwks->timer = call->host->timer(call, is_polling ? POLL_MS : IDLE_MS, on_timer, jwks);
}

/* Called on the worker itself: what begins here does not end with the exchange that asked. */
static void on_asked(const struct sluice_call *call, void *arg)
{
    struct jwks *jwks = arg;

    jwks->is_posted = false;
    step(call, jwks);
}

/* Some worker's fetch has begun and not ended; one whose worker has died counts until its lease. */
static bool is_under_way(const struct sluice_call *call, const struct jwks *jwks, uint64_t now_us)
{
    return word(call, jwks, "lease") > now_us &&
           word(call, jwks, "began") > word(call, jwks, "done");
}

/*
 * As of when a request that comes now has asked: then a fetch that begins later answers it. When
 * none may begin soon, the one under way has to do, if there is one. 0: nothing to wait for.
 */
static uint64_t asked_as_of(const struct sluice_call *call, const struct jwks *jwks)
{
    uint64_t now_us = call->host->now_us(call);

    if (fetch_from(call, jwks, now_us) <= now_us + PATIENCE_US + SLACK_US)
        return now_us;
    if (is_under_way(call, jwks, now_us))
        return word(call, jwks, "began") - SLACK_US;
    return 0;
}

bool jwks_wait(const struct sluice_call *call, struct jwks *jwks, enum alg alg,
               struct sluice_span kid)
{
    uint64_t asked_us = asked_as_of(call, jwks);
    struct waiter *waiter = &jwks->waiters[jwks->n_waiters];

    if (jwks->n_waiters == WAITERS_MAX || asked_us == 0)
        return false;
    waiter->ticket = call->host->ticket(call);
    waiter->asked_us = asked_us;
    waiter->alg = alg;
    waiter->kid = digest_of(&plain_key, kid);
    waiter->kid_len = kid.len;
    jwks->n_waiters++;
    if (!jwks->is_posted)
        jwks->is_posted = call->host->post(jwks->door, on_asked, jwks);
    return true;
}

/* -- life -------------------------------------------------------------------- */

bool jwks_share(const struct sluice_host *host, struct sluice_setup *setup,
                struct jwks_options *options)
{
    static const char *const labels[] = {"result", NULL};
    const struct sluice_metric_spec spec = {.size = sizeof(spec),
                                            .kind = SLUICE_COUNTER,
                                            .name = "fetches_total",
                                            .help = "Fetches of keys from issuers.",
                                            .labels = labels};
    struct sluice_shared_spec shared = {.size = sizeof(shared),
                                        .version = 1,
                                        .name = "jwks",
                                        .capacity = 16,
                                        .max_value = sizeof(struct stored) + KEYSET_BYTES};

    if (!SLUICE_HAS(host, target_text) || !host->target_text) {
        host->conf_error(setup, "jwks", "use jwks_file", "this gateway cannot tell issuers apart");
        return false;
    }
    shared.key = host->target_text(options->target);
    options->words = host->words(setup, &shared);
    shared.capacity = 1;
    options->map = host->map(setup, &shared);
    options->fetches = host->metric(setup, &spec);
    if (options->words && options->map)
        return true;
    host->conf_error(setup, "jwks", NULL, "no memory for keys that are shared");
    return false;
}

struct jwks *jwks_start(const struct sluice_call *call, const struct jwks_options *options,
                        jwks_changed_fn *changed, sluice_timer_fn *woken)
{
    struct jwks *jwks = calloc(1, sizeof(*jwks));

    if (!jwks)
        return NULL;
    jwks->options = options;
    jwks->changed = changed;
    jwks->woken = woken;
    jwks->door = call->host->door(call);
    if (!jwks->door) {
        free(jwks);
        return NULL;
    }
    step(call, jwks);
    return jwks;
}

void jwks_stop(const struct sluice_call *call, struct jwks **jwks)
{
    struct jwks *gone = *jwks;

    *jwks = NULL;
    if (!gone)
        return;
    if (gone->fetch_began_us != 0) /* it was cancelled: let another fetch */
        word_set(call, gone, "lease", 0);
    call->host->door_close(gone->door);
    keyset_free(&gone->keys);
    free(gone);
}

/* -- questions --------------------------------------------------------------- */

const struct keyset *jwks_keys(const struct jwks *jwks)
{
    return jwks ? jwks->keys : NULL;
}

uint64_t jwks_fetched_us(const struct jwks *jwks)
{
    return jwks->fetched_us;
}
