/*
 * basic_auth - let a request through when it carries a name and the password that belongs to it.
 *
 * What verifies passwords is slow by design, so helper threads do it, a bounded number at once; for
 * a short while a worker remembers what was right. A name that nobody has is checked like any
 * other, against somebody else's hash, so that the time does not tell who is there.
 */
#include "checks.h"
#include "kit/span.h"
#include "options.h"

#include <stdio.h>

/* When there are no users at all: a setting alone, which no password fits. */
static const struct sluice_span nobodys_hash = SLUICE_SPAN_INIT("$6$wq3ZbB4Z5m4tX9uV$");

struct worker {
    struct cache *cache;    /* owned */
    struct checks *checks;  /* owned */
    struct store_view view; /* of the file's users */
    struct store_look look; /* the first worker's: what is known of the file */
    unsigned serial;        /* of the users that the cache knows */
    bool has_warned;        /* of a file that cannot be read */
};

/* One exchange that waits: who it will be. */
struct asked {
    struct sluice_span name, groups; /* the exchange's own memory; no name: nobody has it */
};

/* -- answers --------------------------------------------------------------------- */

static void count(const struct sluice_call *call, struct sluice_metric *metric,
                  struct sluice_span label)
{
    call->host->metric_add(call, metric, &label, 1);
}

static enum sluice_verdict fail(const struct sluice_call *call, struct sluice_span word)
{
    call->host->note(call, word);
    return SLUICE_FAIL;
}

static enum sluice_verdict no_room(const struct sluice_call *call)
{
    return fail(call, SLUICE_SPAN("basic_auth_no_room"));
}

static enum sluice_verdict refuse(const struct sluice_call *call, enum refusal refusal)
{
    const struct options *options = call->conf;
    const struct refusal_rule *rule = &refusal_rules[refusal];
    const struct sluice_pair fields[] = {
        {SLUICE_SPAN("Cache-Control"), SLUICE_SPAN("no-store")},
        refusal == REFUSAL_BUSY
            ? (struct sluice_pair){SLUICE_SPAN("Retry-After"), SLUICE_SPAN("1")}
            : (struct sluice_pair){SLUICE_SPAN("WWW-Authenticate"), options->challenge}};
    const struct sluice_reply reply = {.size = sizeof(reply),
                                       .status = rule->status,
                                       .reason = rule->word,
                                       .fields = fields,
                                       .n_fields =
                                           rule->status == 401 || rule->status == 503 ? 2 : 1};

    count(call, options->requests, rule->word);
    return call->host->reply(call, &reply) ? SLUICE_REPLIED : no_room(call);
}

/* -- who it is ------------------------------------------------------------------- */

static bool is_in(struct sluice_span groups, const struct options *options)
{
    const struct sluice_span *wanted = options->groups.first;
    struct sluice_span group;

    while (span_cut(&groups, ',', &group)) {
        for (size_t i = 0; i < options->groups.n; i++) {
            if (span_is(group, wanted[i]))
                return true;
        }
    }
    return options->groups.n == 0;
}

static enum sluice_verdict let_in(const struct sluice_call *call, struct sluice_span name,
                                  struct sluice_span groups)
{
    const struct options *options = call->conf;

    if (!is_in(groups, options))
        return refuse(call, REFUSAL_GROUP);
    if ((options->strips && !credentials_strip(call)) ||
        !consumer_clear(call, &options->consumer) ||
        !consumer_tell(call, &options->consumer, SLUICE_SPAN("basic_auth"), name, groups))
        return no_room(call);
    count(call, options->requests, refusal_rules[REFUSAL_NONE].word);
    return SLUICE_NEXT;
}

static enum sluice_verdict without_credentials(const struct sluice_call *call)
{
    const struct options *options = call->conf;

    if (options->is_required)
        return refuse(call, REFUSAL_MISSING);
    count(call, options->requests, SLUICE_SPAN("anonymous"));
    if (consumer_clear(call, &options->consumer) &&
        consumer_tell_anonymous(call, &options->consumer, options->anonymous))
        return SLUICE_NEXT;
    return no_room(call);
}

/* -- looking up and checking ----------------------------------------------------- */

static const struct users *users_of_file(const struct sluice_call *call)
{
    const struct options *options = call->conf;
    struct worker *worker = call->worker;
    const struct users *users;

    if (!options->store)
        return NULL;
    users = store_table(options->store, &worker->view);
    if (worker->serial != worker->view.serial) {
        worker->serial = worker->view.serial;
        cache_clear(worker->cache);
    }
    return users;
}

/* The user of that name; or false, and somebody's hash to check in place of theirs. */
static bool look_up(const struct sluice_call *call, struct sluice_span name, struct user *user)
{
    const struct options *options = call->conf;
    const struct worker *worker = call->worker;
    const struct users *more = users_of_file(call);
    size_t n = users_count(options->fixed), n_all = n + users_count(more), at;

    if (users_find(options->fixed, name, user) || users_find(more, name, user))
        return true;
    *user = (struct user){.hash = nobodys_hash};
    if (n_all > 0) {
        at = cache_pick(worker->cache, name, n_all);
        users_at(at < n ? options->fixed : more, at < n ? at : at - n, user);
    }
    return false;
}

static enum sluice_verdict ask(const struct sluice_call *call,
                               const struct credentials *credentials, const struct user *user,
                               const struct cache_key *key)
{
    struct worker *worker = call->worker;
    struct asked *asked = call->ctx;
    const struct checks_request request = {key, credentials->password, user->hash};

    if (span_is(user->name, credentials->name)) {
        asked->name = call->host->copy(call, user->name);
        asked->groups = call->host->copy(call, user->groups);
        if (!asked->name.ptr || (user->groups.len > 0 && !asked->groups.ptr))
            return no_room(call);
    }
    return checks_wait(call, worker->checks, &request) ? SLUICE_WAIT : refuse(call, REFUSAL_BUSY);
}

static enum sluice_verdict identify(const struct sluice_call *call,
                                    const struct credentials *credentials)
{
    struct worker *worker = call->worker;
    struct user user;
    struct cache_key key;
    bool is_known = look_up(call, credentials->name, &user);

    if (!cache_key(worker->cache, credentials, user.hash, &key))
        return no_room(call);
    if (is_known && cache_has(worker->cache, &key, call->host->now_us(call)))
        return let_in(call, user.name, user.groups);
    return ask(call, credentials, &user, &key);
}

static enum sluice_verdict on_request_head(const struct sluice_call *call)
{
    struct credentials credentials;
    enum refusal refusal = credentials_read(call, &credentials);
    enum sluice_verdict verdict;

    if (refusal == REFUSAL_MISSING)
        return without_credentials(call);
    verdict = refusal == REFUSAL_NONE ? identify(call, &credentials) : refuse(call, refusal);
    credentials_wipe(&credentials);
    return verdict;
}

/* Of nobody's credentials too: they are never looked for. */
static void on_check_ended(const struct sluice_call *call, const struct cache_key *key,
                           enum password_answer answer)
{
    static const struct sluice_span words[] = {
        [PASSWORD_WRONG] = SLUICE_SPAN_INIT("wrong"),
        [PASSWORD_RIGHT] = SLUICE_SPAN_INIT("right"),
        [PASSWORD_NO_MEMORY] = SLUICE_SPAN_INIT("failed"),
    };
    const struct options *options = call->conf;
    struct worker *worker = call->worker;
    uint64_t now_us = call->host->now_us(call);

    count(call, options->checks, words[answer]);
    if (answer == PASSWORD_RIGHT)
        cache_put(worker->cache, key, now_us, now_us + options->cache_ms * 1000);
}

static enum sluice_verdict on_woken(const struct sluice_call *call, void *answer)
{
    const struct asked *asked = call->ctx;

    switch (*(const enum password_answer *)answer) {
    case PASSWORD_RIGHT:
        if (asked->name.len > 0)
            return let_in(call, asked->name, asked->groups);
        break;
    case PASSWORD_NO_MEMORY:
        return no_room(call);
    case PASSWORD_WRONG:
        break;
    }
    return refuse(call, REFUSAL_WRONG);
}

/* -- the file -------------------------------------------------------------------- */

static void watch(const struct sluice_call *call);

static void work_look(const void *conf, void *look)
{
    const struct options *options = conf;

    store_look(options->store, options->file.path.ptr, look);
}

static enum sluice_verdict on_looked(const struct sluice_call *call, void *look)
{
    const struct options *options = call->conf;
    struct worker *worker = call->worker;
    const struct sluice_pair pairs[] = {
        {SLUICE_SPAN("file"), options->file.path},
        {SLUICE_SPAN("why"), span_of(((struct store_look *)look)->why)}};
    bool is_wrong;

    worker->look = *(struct store_look *)look;
    is_wrong = worker->look.news == STORE_WRONG || worker->look.news == STORE_GONE;
    if (worker->look.news == STORE_CHANGED) {
        count(call, options->loads, SLUICE_SPAN("done"));
        call->host->log(call, SLUICE_LOG_INFO, "users have been read again", pairs, 1);
    } else if (is_wrong && !worker->has_warned) {
        count(call, options->loads, SLUICE_SPAN("failed"));
        call->host->log(call, SLUICE_LOG_WARN, "users stay as they were: mend the file", pairs, 2);
    }
    /* A file with a mistake is looked at again when it changes: said once is enough till then. */
    worker->has_warned = is_wrong || (worker->look.news == STORE_SAME && worker->has_warned);
    watch(call);
    return SLUICE_NEXT;
}

static enum sluice_verdict on_time(const struct sluice_call *call, void *arg)
{
    struct worker *worker = call->worker;

    (void)arg;
    if (call->host->offload(call, work_look, &worker->look, sizeof(worker->look), on_looked) == 0)
        watch(call); /* the helpers are busy: next time */
    return SLUICE_NEXT;
}

static void watch(const struct sluice_call *call)
{
    const struct options *options = call->conf;

    if (call->host->timer(call, (uint32_t)options->file_interval_ms, on_time, NULL) == 0) {
        call->host->log(call, SLUICE_LOG_WARN, "the file of users is not watched any more", NULL,
                        0);
    }
}

/* -- workers --------------------------------------------------------------------- */

static bool worker_start(const struct sluice_call *call)
{
    const struct options *options = call->conf;
    struct worker *worker = call->worker;
    const struct checks_limits limits = {options->max_checks, options->max_waiting};

    worker->cache = cache_new(options->cache_ms > 0 ? options->cache_size : 0);
    worker->checks = checks_new(limits, on_check_ended, on_woken);
    if (!worker->cache || !worker->checks)
        return false;
    if (options->store && options->file_interval_ms > 0 && call->host->worker_index(call) == 0)
        watch(call);
    return true;
}

static void worker_stop(const struct sluice_call *call)
{
    const struct options *options = call->conf;
    struct worker *worker = call->worker;

    store_view_fini(options->store, &worker->view);
    checks_free(&worker->checks);
    cache_free(&worker->cache);
}

static void on_report(const struct sluice_call *call)
{
    const struct options *options = call->conf;
    struct worker *worker = call->worker;
    char text[128];
    int len;

    len = snprintf(text, sizeof(text), "{\"users\":%zu,\"checks\":%zu,\"waiting\":%zu}",
                   users_count(options->fixed) + users_count(users_of_file(call)),
                   checks_running(worker->checks), checks_waiting(worker->checks));
    call->host->report(call, (struct sluice_span){text, (size_t)len});
}

const struct sluice_plugin sluice_plugin = {
    SLUICE_PLUGIN_HEAD,
    .name = "basic_auth",
    .version = "1.0.0",
    .summary = "Lets requests with a name and its password through.",
    .options = options_table,
    .conf_size = sizeof(struct options),
    .worker_size = sizeof(struct worker),
    .ctx_size = sizeof(struct asked),
    .conf_check = options_check,
    .conf_start = options_start,
    .conf_fini = options_fini,
    .worker_start = worker_start,
    .worker_stop = worker_stop,
    .on_request_head = on_request_head,
    .on_report = on_report,
};
