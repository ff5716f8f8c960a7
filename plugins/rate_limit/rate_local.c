/*
 * rate_local.c - limits in the words that all workers of this gateway share.
 *
 * A key is one word: the arrival time of its bucket, or a count. Every change is one
 * compare-and-swap, so what is admitted is exact whatever the number of workers. A key that is
 * not used is forgotten when it would be full again.
 */
#include "rate.h"

#include <string.h>

enum { SWAPS_MAX = 1000, HOLD_TTL_MS = 24 * 60 * 60 * 1000 };

static uint64_t now_ns(const struct sluice_call *call)
{
    return call->host->now_us(call) * 1000;
}

static uint32_t ttl_ms(uint64_t ns)
{
    uint64_t ms = ns / 1000000 + 1000;

    return ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

/* Better let one through than refuse all: the table is full, or everybody wants this key. */
static void cannot_keep(const struct sluice_call *call, struct rate_hit *hit)
{
    const struct rate_conf *conf = call->conf;

    call->host->metric_add(call, conf->unkept, NULL, 1);
    hit->answer = (struct limit_answer){.passed = true};
    hit->is_taken = false;
}

/* -- buckets ------------------------------------------------------------- */

/* What this worker saw last at a key that ends alike: most often it is still there. */
static uint64_t *seen_of(const struct sluice_call *call, struct sluice_span key)
{
    struct rate_worker *worker = call->worker;
    uint64_t end = 0;

    if (key.len >= sizeof(end))
        memcpy(&end, key.ptr + key.len - sizeof(end), sizeof(end));
    return &worker->seen[(end * UINT64_C(0x9e3779b97f4a7c15)) >> (64 - RATE_SEEN_BITS)];
}

/* A guess saves to read what a swap finds anyway; who is refused was looked up. */
static void take_bucket(const struct sluice_call *call, const struct rate_limit *limit,
                        struct rate_hit *hit)
{
    const struct rate_conf *conf = call->conf;
    uint64_t *seen = seen_of(call, hit->key), old = *seen, now = now_ns(call);
    bool is_guess = true;

    for (unsigned i = 0; i < SWAPS_MAX; i++) {
        uint64_t arrival = old;
        enum sluice_shared end;

        hit->answer = limit_take(&limit->bucket, &arrival, now, limit->cost);
        if (!hit->answer.passed && !is_guess)
            return;
        if (!hit->answer.passed) {
            old = call->host->words_get(conf->words, hit->key);
            is_guess = false;
            continue;
        }
        end = call->host->words_swap(conf->words, hit->key, &old, arrival,
                                     ttl_ms(hit->answer.reset_ns));
        hit->is_taken = end == SLUICE_SHARED_OK;
        *seen = hit->is_taken ? arrival : old;
        if (hit->is_taken)
            return;
        if (end != SLUICE_SHARED_OTHER)
            break;
        is_guess = false;
    }
    cannot_keep(call, hit);
}

static void give_back_bucket(const struct sluice_call *call, const struct rate_limit *limit,
                             const struct rate_hit *hit)
{
    const struct rate_conf *conf = call->conf;
    uint64_t old = call->host->words_get(conf->words, hit->key);
    uint64_t cost = limit->cost * limit->bucket.interval_ns;

    for (unsigned i = 0; i < SWAPS_MAX && old > cost; i++) {
        if (call->host->words_swap(conf->words, hit->key, &old, old - cost,
                                   ttl_ms(hit->answer.reset_ns)) != SLUICE_SHARED_OTHER)
            return;
    }
}

/* -- windows ---------------------------------------------------------------- */

/* The key of a window: the limit's with the window's number behind it. */
static struct sluice_span window_key(const struct rate_hit *hit, uint64_t window, char *text)
{
    memcpy(text, hit->key.ptr, hit->key.len);
    memcpy(text + hit->key.len, &window, sizeof(window));
    return (struct sluice_span){text, hit->key.len + sizeof(window)};
}

static void take_window(const struct sluice_call *call, const struct rate_limit *limit,
                        struct rate_hit *hit)
{
    const struct rate_conf *conf = call->conf;
    uint64_t window_ns = limit->rate.period_ms * 1000000, now = now_ns(call);
    char text[RATE_TEXT_MAX + sizeof(now)];
    uint64_t before =
        call->host->words_get(conf->words, window_key(hit, now / window_ns - 1, text));
    struct sluice_span key = window_key(hit, now / window_ns, text);
    uint64_t old = call->host->words_get(conf->words, key);

    for (unsigned i = 0; i < SWAPS_MAX; i++) {
        enum sluice_shared end;

        hit->answer = limit_slide(limit->rate.amount, window_ns, now, before, old, limit->cost);
        if (!hit->answer.passed)
            return;
        end = call->host->words_swap(conf->words, key, &old, old + limit->cost,
                                     ttl_ms(2 * window_ns));
        hit->is_taken = end == SLUICE_SHARED_OK;
        if (hit->is_taken)
            return;
        if (end != SLUICE_SHARED_OTHER)
            break;
    }
    cannot_keep(call, hit);
}

static void give_back_window(const struct sluice_call *call, const struct rate_limit *limit,
                             const struct rate_hit *hit)
{
    const struct rate_conf *conf = call->conf;
    uint64_t window_ns = limit->rate.period_ms * 1000000, sum;
    char text[RATE_TEXT_MAX + sizeof(sum)];
    struct sluice_span key = window_key(hit, now_ns(call) / window_ns, text);

    if (call->host->words_get(conf->words, key) >= limit->cost)
        call->host->words_add(conf->words, key, -(int64_t)limit->cost, ttl_ms(2 * window_ns), &sum);
}

/* -- requests at once --------------------------------------------------------- */

static void take_slot(const struct sluice_call *call, const struct rate_limit *limit,
                      struct rate_hit *hit)
{
    const struct rate_conf *conf = call->conf;
    uint64_t old = call->host->words_get(conf->words, hit->key);

    for (unsigned i = 0; i < SWAPS_MAX; i++) {
        enum sluice_shared end;

        hit->answer = (struct limit_answer){.passed = old < limit->concurrent};
        if (!hit->answer.passed)
            return;
        hit->answer.remaining = limit->concurrent - old - 1;
        end = call->host->words_swap(conf->words, hit->key, &old, old + 1, HOLD_TTL_MS);
        hit->is_taken = end == SLUICE_SHARED_OK;
        if (hit->is_taken)
            return;
        if (end != SLUICE_SHARED_OTHER)
            break;
    }
    cannot_keep(call, hit);
}

static void give_back_slot(const struct sluice_call *call, const struct rate_hit *hit)
{
    const struct rate_conf *conf = call->conf;
    uint64_t old = call->host->words_get(conf->words, hit->key);

    for (unsigned i = 0; i < SWAPS_MAX && old > 0; i++) {
        if (call->host->words_swap(conf->words, hit->key, &old, old - 1, HOLD_TTL_MS) !=
            SLUICE_SHARED_OTHER)
            return;
    }
}

void rate_take(const struct sluice_call *call, const struct rate_limit *limit, struct rate_hit *hit)
{
    hit->is_taken = hit->is_remote = false;
    switch ((enum rate_algorithm)limit->algorithm) {
    case RATE_GCRA:
        take_bucket(call, limit, hit);
        return;
    case RATE_SLIDING_WINDOW:
        take_window(call, limit, hit);
        return;
    case RATE_CONCURRENCY:
        take_slot(call, limit, hit);
        return;
    }
}

void rate_give_back(const struct sluice_call *call, const struct rate_limit *limit,
                    struct rate_hit *hit)
{
    if (hit->is_leased)
        rate_add_leased(call, hit->key, limit->cost);
    hit->is_leased = false;
    if (!hit->is_taken)
        return;
    hit->is_taken = false;
    switch ((enum rate_algorithm)limit->algorithm) {
    case RATE_GCRA:
        give_back_bucket(call, limit, hit);
        return;
    case RATE_SLIDING_WINDOW:
        give_back_window(call, limit, hit);
        return;
    case RATE_CONCURRENCY:
        give_back_slot(call, hit);
        return;
    }
}

/* -- leases of the hybrid store --------------------------------------------------- */

/* What belongs to a key's lease stands beside it under a letter. */
static struct sluice_span lease_key(struct sluice_span key, char letter, char *text)
{
    memcpy(text, key.ptr, key.len);
    text[key.len] = '\n';
    text[key.len + 1] = letter;
    return (struct sluice_span){text, key.len + 2};
}

static uint64_t until(const struct sluice_call *call, struct sluice_span key, enum rate_pause pause)
{
    const struct rate_conf *conf = call->conf;
    char text[RATE_TEXT_MAX + 2];

    return call->host->words_get(conf->words, lease_key(key, (char)pause, text));
}

bool rate_take_leased(const struct sluice_call *call, const struct rate_limit *limit,
                      struct rate_hit *hit)
{
    const struct rate_conf *conf = call->conf;
    char text[RATE_TEXT_MAX + 2];
    struct sluice_span key = lease_key(hit->key, 'l', text);
    uint64_t old = call->host->words_get(conf->words, key), now = now_ns(call), dry;

    for (unsigned i = 0; i < SWAPS_MAX && old >= limit->cost; i++) {
        uint64_t left = old - limit->cost;

        if (call->host->words_swap(conf->words, key, &old, left, (uint32_t)conf->lease_ms) !=
            SLUICE_SHARED_OK)
            continue;
        hit->answer = (struct limit_answer){.passed = true, .remaining = left};
        hit->is_leased = true;
        if (left < limit->lease / 2 && until(call, hit->key, RATE_NO_REFILL) <= now)
            rate_refill(call, limit, hit->key);
        return true;
    }
    dry = until(call, hit->key, RATE_DRY);
    if (dry <= now)
        return false;
    hit->answer = (struct limit_answer){.retry_ns = dry - now, .reset_ns = dry - now};
    return true;
}

void rate_add_leased(const struct sluice_call *call, struct sluice_span key, uint64_t n)
{
    const struct rate_conf *conf = call->conf;
    char text[RATE_TEXT_MAX + 2];
    uint64_t sum;

    if (n > 0) {
        call->host->words_add(conf->words, lease_key(key, 'l', text), (int64_t)n,
                              (uint32_t)conf->lease_ms, &sum);
    }
}

void rate_pause(const struct sluice_call *call, struct sluice_span key, enum rate_pause pause,
                uint64_t ms)
{
    const struct rate_conf *conf = call->conf;
    char text[RATE_TEXT_MAX + 2];
    struct sluice_span word = lease_key(key, (char)pause, text);
    uint64_t old = call->host->words_get(conf->words, word);

    /* Whoever is quicker says the same. */
    call->host->words_swap(conf->words, word, &old, now_ns(call) + ms * 1000000, (uint32_t)ms + 1);
}
