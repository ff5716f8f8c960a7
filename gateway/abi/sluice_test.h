/*
 * sluice_test.h - a gateway in a test: drives a plugin through its phases, without sockets,
 * threads or a clock.
 *
 *   struct sluice_test *test = sluice_test_started(&sluice_plugin, "header=x-key", NULL);
 *   struct sluice_exchange *ex = sluice_test_request(test, "GET", "/");
 *
 *   assert(sluice_test_request_head(ex) == SLUICE_REPLIED);
 *   assert(sluice_test_reply(ex)->status == 401);
 *   sluice_test_done(ex, true);
 *   sluice_test_free(&test);
 *
 * What the gateway promises, it does: callbacks that are NULL or detached are not called, bodies
 * only when wanted, completions later and never inside a service. What the plugin owes is watched:
 * a verdict that does not fit, REPLIED without reply(), WAIT that nothing will end, a service in
 * the wrong phase, a write to conf, a door left open end the test with a message (see
 * sluice_test_collect()). What was lent is overwritten when the callback returns, so whoever keeps
 * a span reads garbage, and with AddressSanitizer is told where.
 *
 * Time stands still but for sluice_test_advance(). One thread, except post().
 */
#ifndef SLUICE_TEST_H
#define SLUICE_TEST_H

#include "sluice_plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sluice_test; /* one plugin at one place, served by a few workers */

/* -- life ---------------------------------------------------------------------- */

/* Nothing of the plugin has run yet, but its descriptor has been looked at. */
struct sluice_test *sluice_test_new(const struct sluice_plugin *plugin);

/* The same, from the start as after sluice_test_collect(). */
struct sluice_test *sluice_test_collecting(const struct sluice_plugin *plugin);

/* New, with these options ("name=value", ended by NULL) and started; ends the test if refused. */
struct sluice_test *sluice_test_started(const struct sluice_plugin *plugin, ...)
#if defined(__GNUC__)
    __attribute__((sentinel))
#endif
    ;

/* End all exchanges, stop the workers, end conf. Accepts NULL. */
void sluice_test_free(struct sluice_test **test_);

/*
 * The descriptor of a shared object, which stays loaded; NULL and why (a text of at most room
 * bytes) when it cannot be used.
 */
const struct sluice_plugin *sluice_test_load(const char *path, char *why, size_t room);

/* -- before the start ----------------------------------------------------------- */

/*
 * One option as "name=value". name is a path: "keys[2].file", "claims.sub". value is flow YAML:
 * a scalar, [a, b] or {a: b}. Later rows add to or replace earlier ones; the plugin's own table
 * checks them in sluice_test_start().
 */
void sluice_test_set(struct sluice_test *test, const char *row);
/* Forget all options that were set. */
void sluice_test_unset(struct sluice_test *test);
/* These conf_size bytes instead of options; borrowed until the start. */
void sluice_test_conf(struct sluice_test *test, const void *conf);

void sluice_test_workers(struct sluice_test *test, uint32_t n);      /* else 1; at most 64 */
void sluice_test_wait_limit(struct sluice_test *test, uint32_t ms);  /* else 2000 */
void sluice_test_open_on_error(struct sluice_test *test, bool open); /* else closed */
void sluice_test_seed(struct sluice_test *test, uint64_t seed);      /* of random() */

/* Bind and conf_check alone. False: refused, see sluice_test_errors(). */
bool sluice_test_check(struct sluice_test *test);
/* Bind, conf_check, conf_start, worker_start. False: refused, see sluice_test_errors(). */
bool sluice_test_start(struct sluice_test *test);
/*
 * The same with what was set since, and then end the old configuration. Shared state survives;
 * exchanges that have not ended are ended before. False: refused, the old one goes on.
 */
bool sluice_test_reload(struct sluice_test *test);
/*
 * The gateway ends: on_drain on each worker, again every 20 ms, until all say NEXT or flush_ms of
 * virtual time are over (false).
 */
bool sluice_test_drain(struct sluice_test *test, uint64_t flush_ms);
/* Lines "option: what is wrong (what to do)" of the last check or start; "" when there are none. */
const char *sluice_test_errors(const struct sluice_test *test);
const char *sluice_test_warnings(const struct sluice_test *test);
/* Whether worker_start of that worker said true. */
bool sluice_test_serves(const struct sluice_test *test, uint32_t worker);

/* -- an exchange ------------------------------------------------------------------ */

/*
 * A request on the worker chosen last; target is a path with or without a query. The attributes of
 * the gateway that a request has are set (request.*, client.address 192.0.2.1, peer.address,
 * listener, route). It lives until the test is freed; what a plugin may see ends with done.
 */
struct sluice_exchange *sluice_test_request(struct sluice_test *test, const char *method,
                                            const char *target);
/* Later requests, messages, reports and commands are that worker's. */
void sluice_test_on_worker(struct sluice_test *test, uint32_t worker);

/* Fields as the peer sent them: add a line; the first value, or NULL; how many lines. */
void sluice_test_field_add(struct sluice_exchange *ex, enum sluice_side side, const char *name,
                           const char *value);
const char *sluice_test_field(struct sluice_exchange *ex, enum sluice_side side, const char *name);
size_t sluice_test_field_count(struct sluice_exchange *ex, enum sluice_side side, const char *name);
/* Attributes, also those of the gateway; NULL: not set. */
void sluice_test_attribute_set(struct sluice_exchange *ex, const char *name, const char *value);
const char *sluice_test_attribute(struct sluice_exchange *ex, const char *name);
void sluice_test_fact_set(struct sluice_exchange *ex, enum sluice_fact fact, int64_t value);

/*
 * Drive one phase and return its verdict; SLUICE_NEXT when the plugin is not called. After
 * SLUICE_WAIT: sluice_test_advance() or sluice_test_settle(), then sluice_test_verdict().
 */
enum sluice_verdict sluice_test_request_head(struct sluice_exchange *ex);
enum sluice_verdict sluice_test_request_body(struct sluice_exchange *ex, struct sluice_span part,
                                             bool last);
enum sluice_verdict sluice_test_request_trailers(struct sluice_exchange *ex);
/* SLUICE_ATTEMPT begins as a copy of the request's fields, for each try. */
enum sluice_verdict sluice_test_attempt(struct sluice_exchange *ex, const char *endpoint);
void sluice_test_attempt_done(struct sluice_exchange *ex, int32_t status, const char *failure,
                              bool will_retry);
enum sluice_verdict sluice_test_local_reply(struct sluice_exchange *ex, uint32_t status,
                                            const char *reason);
/* status 0: that of the reply which the exchange has. */
enum sluice_verdict sluice_test_response_head(struct sluice_exchange *ex, uint32_t status);
enum sluice_verdict sluice_test_response_body(struct sluice_exchange *ex, struct sluice_span part,
                                              bool last);
enum sluice_verdict sluice_test_response_trailers(struct sluice_exchange *ex);
/* End it: what still waits is dropped, on_done runs if the plugin saw the exchange. Once only. */
void sluice_test_done(struct sluice_exchange *ex, bool complete);

/* The verdict of the last phase; SLUICE_WAIT while it waits. */
enum sluice_verdict sluice_test_verdict(const struct sluice_exchange *ex);
/* Advance to what ends the wait, at most to the limit; the verdict. */
enum sluice_verdict sluice_test_settle(struct sluice_exchange *ex);

/* What the client is answered with: by the plugin, or by the gateway (on_error, limits). */
struct sluice_test_reply {
    uint32_t status;
    const char *reason, *content_type; /* "" when not given */
    struct sluice_span body;
    bool is_plugins; /* made or edited by it */
};

/* NULL: none. Its fields are in SLUICE_RESPONSE. Valid as long as the test. */
const struct sluice_test_reply *sluice_test_reply(const struct sluice_exchange *ex);
/* What has gone on of a body so far. Until the next part. */
struct sluice_span sluice_test_body(const struct sluice_exchange *ex, enum sluice_side side);
/* Words of note(), separated by commas. */
const char *sluice_test_notes(const struct sluice_exchange *ex);
/* A span attribute; NULL: not set. */
const char *sluice_test_span(const struct sluice_exchange *ex, const char *name);
/* "upstream" or "/path?query" when the plugin has changed them; else NULL. */
const char *sluice_test_upstream(const struct sluice_exchange *ex);
const char *sluice_test_target(const struct sluice_exchange *ex);

/* -- later ------------------------------------------------------------------------- */

/* Let time pass: timers, answers, offloaded work, messages and limits, each when it is due. */
void sluice_test_advance(struct sluice_test *test, uint64_t ms);
/* Run what is due now. */
void sluice_test_turn(struct sluice_test *test);
uint64_t sluice_test_now_us(const struct sluice_test *test);
/* Completions that are still to come. */
size_t sluice_test_pending(const struct sluice_test *test);

/* How an HTTP call is answered. Preset: SLUICE_HTTP_UNREACHABLE at once. */
struct sluice_test_http {
    uint32_t end, status; /* end: enum sluice_http_end */
    const struct sluice_pair *fields;
    size_t n_fields;
    struct sluice_span body; /* more than the call's max_body becomes SLUICE_HTTP_TOO_LARGE */
    uint32_t delay_ms;       /* beyond the call's timeout becomes SLUICE_HTTP_TIMEOUT */
};

/* Called inside http_call(); url is the target with the path of the request. Fill *answer. */
typedef void sluice_test_http_fn(void *arg, const char *url,
                                 const struct sluice_http_request *request,
                                 struct sluice_test_http *answer);
void sluice_test_on_http(struct sluice_test *test, sluice_test_http_fn *answer, void *arg);
/* One answer for the next call without one; in order. Its pointers must last until then. */
void sluice_test_http_next(struct sluice_test *test, const struct sluice_test_http *answer);
uint32_t sluice_test_http_calls(const struct sluice_test *test); /* so far */

/* How a Redis call is answered. Preset: SLUICE_REDIS_UNREACHABLE at once. */
struct sluice_test_redis {
    struct sluice_redis_reply reply; /* with size set; elements must last until it is delivered */
    uint32_t delay_ms;               /* beyond the call's timeout becomes SLUICE_REDIS_TIMEOUT */
};
typedef void sluice_test_redis_fn(void *arg, const struct sluice_span *argv, size_t n,
                                  struct sluice_test_redis *answer);
void sluice_test_on_redis(struct sluice_test *test, sluice_test_redis_fn *answer, void *arg);
void sluice_test_redis_next(struct sluice_test *test, const struct sluice_test_redis *answer);
uint32_t sluice_test_redis_calls(const struct sluice_test *test);

/* Offloaded work runs, and is done, so much later; else in the next turn. */
void sluice_test_offload_delay(struct sluice_test *test, uint32_t ms);

/* -- what it told -------------------------------------------------------------------- */

/*
 * What a metric was given in sum, and how often. labels are its values joined by commas; NULL:
 * all series. A metric that nobody made is an error of the test.
 */
double sluice_test_metric(const struct sluice_test *test, const char *name, const char *labels);
uint64_t sluice_test_metric_count(const struct sluice_test *test, const char *name,
                                  const char *labels);
/* Log lines "LEVEL message name=value ..." that contain the text. */
size_t sluice_test_logged(const struct sluice_test *test, const char *text);
/* Let the worker report, or obey; what it said last, "" for nothing. Until the next. */
const char *sluice_test_report(struct sluice_test *test);
const char *sluice_test_command(struct sluice_test *test, const char *command);

/* -- making it hard --------------------------------------------------------------------- */

/*
 * Let the n-th service that may run out of memory or room from now on fail, once; 0: none.
 * sluice_test_has_failed() tells whether it came to that.
 */
void sluice_test_fail_nth(struct sluice_test *test, uint64_t n);
bool sluice_test_has_failed(const struct sluice_test *test);

/*
 * Collect violations of the contract instead of ending the test; sluice_test_violations() gives
 * them as lines and forgets them (valid until the next one). What is left at the end ends the test.
 */
void sluice_test_collect(struct sluice_test *test);
const char *sluice_test_violations(struct sluice_test *test);

#ifdef __cplusplus
}
#endif

#endif /* SLUICE_TEST_H */
