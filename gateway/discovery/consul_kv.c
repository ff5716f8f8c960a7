#include "discovery/consul_kv.h"

#include "base/alloc.h"
#include "base/log.h"
#include "base/now.h"
#include "core/alarm.h"
#include "core/loop.h"
#include "discovery/consul_client.h"
#include "discovery/consul_index.h"
#include "discovery/consul_kv_set.h"
#include "discovery/consul_pace.h"
#include "discovery/consul_state.h"
#include "observe/metrics.h"

#include <stdio.h>
#include <string.h>

enum { PATH_BYTES = 4096, PREFIX_BYTES = 1024, WHY_BYTES = 256 };

struct consul_kv {
    struct loop *loop; /* borrowed */
    struct consul_client *client;
    consul_kv_fn *told;
    void *arg;
    struct text prefix; /* empty: nothing is watched */
    struct text dc, ns, state_dir;
    uint64_t wait_ms, debounce_ms;
    bool allow_empty;
    struct fetch *fetch;
    struct alarm alarm;    /* to ask again */
    struct alarm debounce; /* to tell */
    struct consul_index index;
    struct consul_pace pace;
    struct rng rng;
    unsigned errors; /* in a row */
    bool refused_token;
    bool is_settled, is_refused, is_held;
    struct consul_kv_set *newest, *good; /* owned; may be the same */
    struct text why;                     /* of the last trouble with the agent; empty: none */
    uint64_t confirmed_wall_us;          /* when the newest was last seen to be so; 0: never */
    uint64_t n_updates, n_refused, n_errors, n_held;
};

static void ask(struct consul_kv *kv);

static void set_newest(struct consul_kv *kv, struct consul_kv_set *set)
{
    if (kv->newest != kv->good)
        consul_kv_set_free(&kv->newest);
    kv->newest = set;
}

/* -- the disk --------------------------------------------------------------------- */

static bool find_file(const struct consul_kv *kv, char path[CONSUL_STATE_PATH])
{
    struct text key;

    if (kv->state_dir.len == 0)
        return false;
    text_init(&key, PATH_BYTES);
    text_format(&key, "kv %s %s %s", kv->prefix.ptr, kv->dc.ptr ? kv->dc.ptr : "",
                kv->ns.ptr ? kv->ns.ptr : "");
    consul_state_path(kv->state_dir.ptr, SPAN("configuration"), text_span(&key), path);
    text_fini(&key);
    return true;
}

static void keep(const struct consul_kv *kv)
{
    char path[CONSUL_STATE_PATH], why[CONSUL_STATE_WHY];

    if (!find_file(kv, path) || !consul_state_save(path, text_span(&kv->good->body), why))
        return;
    log_warn("the configuration from consul cannot be kept", F_STR("file", path),
             F_STR("cause", why));
}

static void load_kept(struct consul_kv *kv)
{
    char path[CONSUL_STATE_PATH], why[CONSUL_STATE_WHY + CONSUL_KV_WHY] = "";
    struct consul_state_body body;
    struct consul_kv_set *set = NULL;
    struct text bytes;
    enum err err;

    if (!find_file(kv, path))
        return;
    text_init(&bytes, CONSUL_KV_BYTES + 1024);
    err = consul_state_load(path, &bytes, &body, why);
    if (!err)
        err = consul_kv_set_read(body.bytes, &set, why);
    if (!err) {
        set->as_of_wall_us = body.as_of_wall_us;
        kv->newest = kv->good = set;
        log_info("configuration from consul as kept from before", F_UINT("keys", set->n),
                 F_UINT("age_s", (now_wall_us() - set->as_of_wall_us) / 1000000));
    } else if (err != ERR_MISSING) {
        log_warn("the configuration that was kept of consul cannot be used", F_STR("file", path),
                 F_STR("cause", why));
    }
    text_fini(&bytes);
}

/* -- telling ------------------------------------------------------------------------ */

static void on_debounce(struct alarm *alarm)
{
    struct consul_kv *kv = list_entry(alarm, struct consul_kv, debounce);

    kv->is_settled = true;
    kv->told(kv->arg);
}

static void tell_later(struct consul_kv *kv, uint64_t ms)
{
    if (!alarm_is_armed(&kv->debounce))
        alarm_arm(kv->loop, &kv->debounce, ms);
}

static void fail(struct consul_kv *kv, const char *why)
{
    kv->n_errors++;
    kv->errors++;
    if (!span_equal(span_of(why), text_span(&kv->why))) {
        text_reset(&kv->why);
        text_add(&kv->why, span_of(why));
        log_warn("consul does not say its configuration, the one before stays",
                 F_STR("prefix", kv->prefix.ptr), F_STR("cause", why));
    }
    if (!kv->is_settled)
        tell_later(kv, 0);
}

/* -- answers ---------------------------------------------------------------------------- */

static bool is_doubtful(const struct consul_kv *kv, const struct consul_kv_set *set,
                        const struct fetch_answer *answer)
{
    struct sluice_span hidden = answer->field[CONSUL_FIELD_HIDDEN];

    if (!kv->newest || kv->newest->n == 0)
        return false;
    if (hidden.ptr && span_equal_nocase(hidden, SPAN("true")))
        return true;
    return set->n == 0 && !kv->allow_empty;
}

static void hold(struct consul_kv *kv, const struct consul_kv_set *set)
{
    if (!kv->is_held) {
        kv->n_held++;
        log_warn("the configuration in consul is gone, the one before stays",
                 F_STR("prefix", kv->prefix.ptr), F_UINT("keys", set->n),
                 F_UINT("kept", kv->newest->n), F_UINT("index", kv->index.offered));
    }
    kv->is_held = true;
}

static void take_set(struct consul_kv *kv, struct consul_kv_set *set,
                     const struct fetch_answer *answer)
{
    bool is_first = kv->confirmed_wall_us == 0;

    set->as_of_wall_us = now_wall_us();
    set->index = kv->index.offered;
    if (is_doubtful(kv, set, answer)) {
        hold(kv, set);
        consul_kv_set_free(&set);
    } else if (kv->newest && kv->newest->hash == set->hash) {
        kv->is_held = false;
        kv->confirmed_wall_us = now_wall_us();
        consul_kv_set_free(&set);
    } else {
        kv->is_held = kv->is_refused = false;
        kv->confirmed_wall_us = now_wall_us();
        kv->n_updates++;
        set_newest(kv, set);
        tell_later(kv, is_first ? 0 : kv->debounce_ms);
    }
    consul_index_commit(&kv->index);
    if (!kv->is_settled)
        tell_later(kv, 0);
}

/* False: it cannot be used. */
static bool take(struct consul_kv *kv, const struct fetch_answer *answer)
{
    /* 404: there is no such key. */
    struct sluice_span body = answer->status == 200 ? answer->body : SPAN("");
    struct consul_kv_set *set;
    char why[CONSUL_KV_WHY];

    switch (consul_index_take(&kv->index, answer->field[CONSUL_FIELD_INDEX])) {
    case INDEX_SAME:
        if (kv->newest && !kv->is_held)
            kv->confirmed_wall_us = now_wall_us();
        return true;
    case INDEX_REREAD:
        return true;
    case INDEX_NEWS:
        break;
    }
    if (consul_kv_set_read(body, &set, why)) {
        fail(kv, why);
        return false;
    }
    kv->errors = 0;
    kv->refused_token = false;
    text_reset(&kv->why);
    take_set(kv, set, answer);
    return true;
}

static bool take_failure(struct consul_kv *kv, const struct fetch_answer *answer)
{
    char why[WHY_BYTES];

    consul_index_fail(&kv->index);
    if (answer->err) {
        if (answer->err != ERR_TIMEOUT)
            consul_index_reset(&kv->index);
        snprintf(why, sizeof(why), "%s", answer->why);
    } else {
        snprintf(why, sizeof(why), "status %u", answer->status);
    }
    fail(kv, why);
    if (answer->err || answer->status != 403 || kv->refused_token)
        return false;
    kv->refused_token = true;
    return consul_client_refused(kv->client);
}

static void on_answer(void *kv_, const struct fetch_answer *answer)
{
    struct consul_kv *kv = kv_;
    bool usable = !answer->err && (answer->status == 200 || answer->status == 404);
    uint64_t wait_ms;

    kv->fetch = NULL;
    usable = usable ? take(kv, answer) : take_failure(kv, answer);
    wait_ms = usable ? consul_pace_take(&kv->pace, loop_now_us(kv->loop))
                     : consul_pace_backoff(kv->errors, &kv->rng);
    if (wait_ms > 0) {
        alarm_arm(kv->loop, &kv->alarm, wait_ms);
    } else {
        ask(kv);
    }
}

/* -- questions ----------------------------------------------------------------------------- */

static void ask(struct consul_kv *kv)
{
    struct consul_question question = {.done = on_answer, .arg = kv};
    struct text path;

    text_init(&path, PATH_BYTES);
    text_add(&path, SPAN("/v1/kv/"));
    consul_client_encode(&path, text_span(&kv->prefix));
    text_format(&path, "?recurse&index=%llu", (unsigned long long)kv->index.at);
    consul_client_add(&path, "dc", text_span(&kv->dc));
    consul_client_add(&path, "ns", text_span(&kv->ns));
    if (kv->index.at > 0) {
        question.wait_ms = kv->errors > 0 ? CONSUL_BRIEF_MS : kv->wait_ms;
        text_format(&path, "&wait=%llums", (unsigned long long)question.wait_ms);
    }
    question.path = path.ptr;
    kv->fetch = consul_client_ask(kv->client, &question);
    text_fini(&path);
}

static void on_alarm(struct alarm *alarm)
{
    ask(list_entry(alarm, struct consul_kv, alarm));
}

/* -- life -------------------------------------------------------------------------------------- */

struct consul_kv *consul_kv_new(struct loop *loop, consul_kv_fn *told, void *arg)
{
    struct consul_kv *kv = alloc_new(sizeof(*kv));

    kv->loop = loop;
    kv->told = told;
    kv->arg = arg;
    kv->client = consul_client_new(loop);
    text_init(&kv->prefix, PREFIX_BYTES);
    text_init(&kv->dc, PREFIX_BYTES);
    text_init(&kv->ns, PREFIX_BYTES);
    text_init(&kv->state_dir, PATH_BYTES);
    text_init(&kv->why, WHY_BYTES);
    alarm_init(&kv->alarm, on_alarm);
    alarm_init(&kv->debounce, on_debounce);
    rng_init(&kv->rng);
    return kv;
}

static void stop(struct consul_kv *kv)
{
    fetch_cancel(&kv->fetch);
    alarm_disarm(&kv->alarm);
    alarm_disarm(&kv->debounce);
    consul_index_reset(&kv->index);
    kv->errors = 0;
    kv->is_settled = kv->is_held = kv->is_refused = false;
}

static void forget(struct consul_kv *kv)
{
    set_newest(kv, NULL);
    consul_kv_set_free(&kv->good);
    kv->confirmed_wall_us = 0;
}

void consul_kv_free(struct consul_kv **kv)
{
    struct consul_kv *old = *kv;

    if (!old)
        return;
    *kv = NULL;
    stop(old);
    forget(old);
    consul_client_free(&old->client);
    text_fini(&old->prefix);
    text_fini(&old->dc);
    text_fini(&old->ns);
    text_fini(&old->state_dir);
    text_fini(&old->why);
    alloc_free(old);
}

/* True when it is another than before. */
static bool change(struct text *text, struct sluice_span value)
{
    if (span_equal(text_span(text), value))
        return false;
    text_reset(text);
    text_add(text, value);
    return true;
}

void consul_kv_apply(struct consul_kv *kv, const struct consul_conf *conf)
{
    const struct consul_kv_conf *own = &conf->kv;
    bool was_watched = kv->prefix.len > 0, is_other;

    if (own->prefix.len == 0 && !was_watched)
        return;
    is_other = change(&kv->prefix, own->prefix);
    is_other |= change(&kv->dc, conf->datacenter);
    is_other |= change(&kv->ns, conf->ns);
    is_other |= change(&kv->state_dir, conf->state_dir);
    if (is_other)
        forget(kv); /* another configuration altogether */
    if (is_other || consul_client_is_other(kv->client, conf))
        stop(kv);
    consul_client_apply(kv->client, conf);
    kv->wait_ms = conf->wait_ms;
    kv->debounce_ms = own->debounce_ms;
    kv->allow_empty = own->allow_empty;
    if (own->prefix.len == 0 || kv->fetch || alarm_is_armed(&kv->alarm))
        return;
    if (!kv->newest)
        load_kept(kv);
    ask(kv);
}

/* -- what is known ------------------------------------------------------------------- */

bool consul_kv_is_settled(const struct consul_kv *kv)
{
    return kv->prefix.len == 0 || kv->is_settled;
}

const struct consul_kv_set *consul_kv_newest(const struct consul_kv *kv)
{
    return kv->newest;
}

const struct consul_kv_set *consul_kv_good(const struct consul_kv *kv)
{
    return kv->good;
}

struct sluice_span consul_kv_prefix(const struct consul_kv *kv)
{
    return text_span(&kv->prefix);
}

bool consul_kv_is_refused(const struct consul_kv *kv)
{
    return kv->is_refused;
}

void consul_kv_judge(struct consul_kv *kv, bool applied)
{
    if (!kv->newest)
        return;
    if (!applied && kv->newest == kv->good)
        return; /* something else is wrong */
    if (!applied) {
        kv->n_refused += !kv->is_refused;
        kv->is_refused = true;
        return;
    }
    kv->is_refused = false;
    if (kv->good == kv->newest)
        return;
    consul_kv_set_free(&kv->good);
    kv->good = kv->newest;
    keep(kv);
}

static const char *state_of(const struct consul_kv *kv)
{
    if (kv->is_refused)
        return "refused";
    if (kv->is_held)
        return "held";
    if (kv->errors > 0)
        return kv->newest ? "stale" : "waiting";
    return kv->confirmed_wall_us > 0 ? "fresh" : "waiting";
}

void consul_kv_collect(void *keys, struct page *page)
{
    const struct consul_kv *kv = keys;
    const struct label state = {"state", span_of(state_of(kv))};
    uint64_t as_of = kv->confirmed_wall_us;

    if (kv->prefix.len == 0)
        return;
    if (as_of == 0 && kv->newest)
        as_of = kv->newest->as_of_wall_us;
    page_family(page, "sluice_consul_config_state", PAGE_GAUGE,
                "1 for the state that the configuration in Consul is in.");
    page_count(page, &state, 1, 1);
    page_family(page, "sluice_consul_config_keys", PAGE_GAUGE,
                "Keys of the last set that was applied.");
    page_count(page, NULL, 0, kv->good ? kv->good->n : 0);
    page_family(page, "sluice_consul_config_updates_total", PAGE_COUNTER, "Sets that differed.");
    page_count(page, NULL, 0, kv->n_updates);
    page_family(page, "sluice_consul_config_refused_total", PAGE_COUNTER,
                "Sets that were refused, as a configuration file is.");
    page_count(page, NULL, 0, kv->n_refused);
    page_family(page, "sluice_consul_config_held_total", PAGE_COUNTER,
                "Empty sets that were not believed.");
    page_count(page, NULL, 0, kv->n_held);
    page_family(page, "sluice_consul_config_errors_total", PAGE_COUNTER,
                "Questions without an answer to use.");
    page_count(page, NULL, 0, kv->n_errors);
    if (as_of > 0) {
        page_family(page, "sluice_consul_config_age_seconds", PAGE_GAUGE,
                    "Since when it has not been confirmed.");
        page_sample(page, NULL, 0, (double)(now_wall_us() - as_of) / 1e6);
    }
}
