/*
 * checks.c - a few slots for checks, and a heap of tickets without order.
 */
#include "checks.h"

#include <openssl/crypto.h>

#include <stdlib.h>
#include <string.h>

struct slot {
    uint64_t serial; /* of the check; 0: free */
    struct cache_key key;
};

struct waiter {
    struct sluice_ticket ticket;
    uint64_t serial; /* of the check it waits for */
};

struct checks {
    struct checks_limits limits;
    checks_ended_fn *ended;
    sluice_timer_fn *woken;
    uint64_t last_serial;
    size_t n_running, n_waiting;
    struct slot *slots;     /* owned: limits.max_checks */
    struct waiter *waiters; /* owned: limits.max_waiting */
};

/* What a helper gets a copy of. */
struct job {
    struct checks *checks; /* for the worker, not for the helper */
    size_t slot;
    enum password_answer answer;
    char hash[USERS_HASH_MAX + 1], password[PASSWORD_MAX + 1];
};

struct checks *checks_new(struct checks_limits limits, checks_ended_fn *ended,
                          sluice_timer_fn *woken)
{
    struct checks *checks = calloc(1, sizeof(*checks));

    if (!checks)
        return NULL;
    checks->limits = limits;
    checks->ended = ended;
    checks->woken = woken;
    checks->slots = calloc(limits.max_checks, sizeof(*checks->slots));
    checks->waiters = calloc(limits.max_waiting, sizeof(*checks->waiters));
    if (!checks->slots || !checks->waiters)
        checks_free(&checks);
    return checks;
}

void checks_free(struct checks **checks)
{
    struct checks *gone = *checks;

    *checks = NULL;
    if (!gone)
        return;
    free(gone->slots);
    free(gone->waiters);
    free(gone);
}

/* -- the end of a check ---------------------------------------------------------- */

/* Who is woken may bring new ones who wait: their serial is another. */
static void wake(const struct sluice_call *call, struct checks *checks, uint64_t serial,
                 enum password_answer answer)
{
    for (size_t i = checks->n_waiting; i-- > 0;) {
        struct sluice_ticket ticket = checks->waiters[i].ticket;

        if (checks->waiters[i].serial != serial)
            continue;
        checks->waiters[i] = checks->waiters[--checks->n_waiting];
        (void)call->host->resume(call, ticket, SLUICE_FAIL, checks->woken, &answer);
    }
}

static void work(const void *conf, void *job_)
{
    struct job *job = job_;

    (void)conf;
    job->answer = password_check(job->password, job->hash);
    OPENSSL_cleanse(job->password, sizeof(job->password));
}

static enum sluice_verdict on_worked(const struct sluice_call *call, void *job_)
{
    const struct job *job = job_;
    struct checks *checks = job->checks;
    struct slot slot = checks->slots[job->slot];

    checks->slots[job->slot].serial = 0;
    checks->n_running--;
    checks->ended(call, &slot.key, job->answer);
    wake(call, checks, slot.serial, job->answer);
    return SLUICE_NEXT;
}

/* -- asking ---------------------------------------------------------------------- */

static bool submit(const struct sluice_call *call, struct checks *checks, size_t slot,
                   const struct checks_request *request)
{
    struct job job = {.checks = checks, .slot = slot};
    bool is_done;

    memcpy(job.hash, request->hash.ptr, request->hash.len);
    memcpy(job.password, request->password.ptr, request->password.len);
    is_done =
        call->host->offload(call->host->worker_call(call), work, &job, sizeof(job), on_worked) != 0;
    OPENSSL_cleanse(&job, sizeof(job));
    return is_done;
}

/* The check that will tell: one under way, or a new one. NULL: there is no room. */
static const struct slot *slot_for(const struct sluice_call *call, struct checks *checks,
                                   const struct checks_request *request)
{
    struct slot *unused = NULL;

    for (size_t i = 0; i < checks->limits.max_checks; i++) {
        struct slot *slot = &checks->slots[i];

        if (slot->serial == 0) {
            unused = slot;
        } else if (cache_key_same(&slot->key, request->key)) {
            return slot;
        }
    }
    if (!unused || !submit(call, checks, (size_t)(unused - checks->slots), request))
        return NULL;
    unused->serial = ++checks->last_serial;
    unused->key = *request->key;
    checks->n_running++;
    return unused;
}

bool checks_wait(const struct sluice_call *call, struct checks *checks,
                 const struct checks_request *request)
{
    const struct slot *slot;

    if (checks->n_waiting == checks->limits.max_waiting)
        return false;
    slot = slot_for(call, checks, request);
    if (!slot)
        return false;
    checks->waiters[checks->n_waiting++] = (struct waiter){call->host->ticket(call), slot->serial};
    return true;
}

size_t checks_running(const struct checks *checks)
{
    return checks->n_running;
}

size_t checks_waiting(const struct checks *checks)
{
    return checks->n_waiting;
}
