/*
 * api_key - let a request through when it carries a key that belongs to somebody.
 *
 * The digest of the key is looked up, in the keys of the configuration and in those of a file; what
 * it finds says who this is (consumer.name, consumer.groups), and a place may ask for a group.
 */
#include "kit/span.h"
#include "options.h"
#include "source.h"

#include <openssl/evp.h>

#include <stdio.h>

struct worker {
    EVP_MD *sha256;         /* owned */
    EVP_MD_CTX *hashing;    /* owned: so that a request allocates nothing */
    struct store_view view; /* of the file's keys */
    struct store_look look; /* the first worker's: what is known of the file */
    bool has_warned;        /* of a file that cannot be read */
};

/* -- judging --------------------------------------------------------------------- */

static bool hash(const struct worker *worker, struct sluice_span key,
                 unsigned char digest[KEYS_DIGEST])
{
    return EVP_DigestInit_ex(worker->hashing, worker->sha256, NULL) == 1 &&
           EVP_DigestUpdate(worker->hashing, key.ptr, key.len) == 1 &&
           EVP_DigestFinal_ex(worker->hashing, digest, NULL) == 1;
}

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

static enum refusal judge(const struct sluice_call *call, struct sluice_span key,
                          struct keys_hit *hit)
{
    const struct options *options = call->conf;
    struct worker *worker = call->worker;
    unsigned char digest[KEYS_DIGEST];
    uint64_t now_s;

    if (key.len == 0 || key.len > OPTIONS_KEY_MAX || !hash(worker, key, digest))
        return REFUSAL_UNKNOWN;
    if (!keys_find(options->fixed, digest, hit) &&
        !(options->store && keys_find(store_table(options->store, &worker->view), digest, hit)))
        return REFUSAL_UNKNOWN;
    now_s = call->host->wall_us(call) / 1000000;
    if (hit->span.not_before != 0 && now_s < hit->span.not_before)
        return REFUSAL_EARLY;
    if (hit->span.expires != 0 && now_s >= hit->span.expires)
        return REFUSAL_EXPIRED;
    return is_in(hit->groups, options) ? REFUSAL_NONE : REFUSAL_GROUP;
}

/* -- answers --------------------------------------------------------------------- */

static void count(const struct sluice_call *call, struct sluice_metric *metric,
                  struct sluice_span label)
{
    call->host->metric_add(call, metric, &label, 1);
}

static enum sluice_verdict fail(const struct sluice_call *call)
{
    call->host->note(call, SLUICE_SPAN("api_key_no_room"));
    return SLUICE_FAIL;
}

static enum sluice_verdict refuse(const struct sluice_call *call, enum refusal refusal)
{
    const struct options *options = call->conf;
    const struct refusal_rule *rule = &refusal_rules[refusal];
    const struct sluice_pair fields[] = {{SLUICE_SPAN("Cache-Control"), SLUICE_SPAN("no-store")},
                                         {SLUICE_SPAN("WWW-Authenticate"), options->challenge}};
    const struct sluice_reply reply = {.size = sizeof(reply),
                                       .status = rule->status,
                                       .reason = rule->word,
                                       .fields = fields,
                                       .n_fields = rule->status == 401 ? 2 : 1};

    return call->host->reply(call, &reply) ? SLUICE_REPLIED : fail(call);
}

static enum sluice_verdict let_in(const struct sluice_call *call, const struct keys_hit *hit)
{
    const struct options *options = call->conf;

    if (source_strip(call, options) && consumer_clear(call, &options->consumer) &&
        (!hit ||
         consumer_tell(call, &options->consumer, SLUICE_SPAN("api_key"), hit->name, hit->groups)))
        return SLUICE_NEXT;
    return fail(call);
}

static enum sluice_verdict without_key(const struct sluice_call *call)
{
    const struct options *options = call->conf;

    count(call, options->requests, SLUICE_SPAN("anonymous"));
    if (consumer_clear(call, &options->consumer) &&
        consumer_tell_anonymous(call, &options->consumer, options->anonymous))
        return SLUICE_NEXT;
    return fail(call);
}

static enum sluice_verdict on_request_head(const struct sluice_call *call)
{
    const struct options *options = call->conf;
    struct keys_hit hit = {.name = {NULL, 0}};
    enum refusal refusal = REFUSAL_MISSING;
    struct sluice_span key;
    unsigned found = source_find(call, options, &key);

    if (found == 0 && !options->is_required)
        return without_key(call);
    if (found > 0)
        refusal = found > 1 ? REFUSAL_SEVERAL : judge(call, key, &hit);
    count(call, options->requests, refusal_rules[refusal].word);
    if (refusal == REFUSAL_NONE)
        return let_in(call, &hit);
    if (!options->is_dry_run)
        return refuse(call, refusal);
    call->host->note(call, refusal_rules[refusal].word);
    return let_in(call, refusal == REFUSAL_GROUP ? &hit : NULL);
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
        call->host->log(call, SLUICE_LOG_INFO, "keys have been read again", pairs, 1);
    } else if (is_wrong && !worker->has_warned) {
        count(call, options->loads, SLUICE_SPAN("failed"));
        call->host->log(call, SLUICE_LOG_WARN, "keys stay as they were: mend the file", pairs, 2);
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

    if (call->host->timer(call, (uint32_t)options->file_interval_ms, on_time, NULL) == 0)
        call->host->log(call, SLUICE_LOG_WARN, "the file of keys is not watched any more", NULL, 0);
}

/* -- workers --------------------------------------------------------------------- */

static bool worker_start(const struct sluice_call *call)
{
    const struct options *options = call->conf;
    struct worker *worker = call->worker;

    worker->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    worker->hashing = EVP_MD_CTX_new();
    if (!worker->sha256 || !worker->hashing)
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
    EVP_MD_CTX_free(worker->hashing);
    EVP_MD_free(worker->sha256);
}

static void on_report(const struct sluice_call *call)
{
    const struct options *options = call->conf;
    struct worker *worker = call->worker;
    char text[96];
    int len;

    len = snprintf(text, sizeof(text), "{\"keys\":%zu,\"keys_of_file\":%zu}",
                   keys_count(options->fixed),
                   options->store ? keys_count(store_table(options->store, &worker->view)) : 0);
    call->host->report(call, (struct sluice_span){text, (size_t)len});
}

const struct sluice_plugin sluice_plugin = {
    SLUICE_PLUGIN_HEAD,
    .name = "api_key",
    .version = "1.0.0",
    .summary = "Lets requests with a known key through.",
    .options = options_table,
    .conf_size = sizeof(struct options),
    .worker_size = sizeof(struct worker),
    .conf_check = options_check,
    .conf_start = options_start,
    .conf_fini = options_fini,
    .worker_start = worker_start,
    .worker_stop = worker_stop,
    .on_request_head = on_request_head,
    .on_report = on_report,
};
