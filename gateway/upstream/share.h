/*
 * share.h - what all workers and the control thread share about one address of one upstream.
 *
 * It is kept by upstream and address: what is learnt of an endpoint outlives reloads, and absences
 * from what its source says. The control thread alone decides whether an endpoint may be picked and
 * writes that into the state word; then it raises the version of the upstream, which each worker
 * compares with what it has seen when it picks (upstream/candidates.h). So a pick costs one load,
 * however many endpoints there are, and workers agree on who is out.
 *
 * Threads: made and freed by the control thread; the fields are atomic, or say whose they are.
 */
#ifndef UPSTREAM_SHARE_H
#define UPSTREAM_SHARE_H

#include "base/span.h"
#include "core/mailbox.h"
#include "upstream/budget.h"
#include "upstream/condition.h"
#include "upstream/eject.h"
#include "upstream/probe_result.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct patient;
struct shares;
struct tally;

/* Why an endpoint is not to be picked. No bit: it may be. X(symbol, bit, metric label) */
#define SHARE_CAUSES(X)                                                                            \
    X(CHECK_FAILED, 1, "check_failed")                                                             \
    X(EJECTED, 2, "ejected")

#define SHARE_CAUSE_MEMBER(symbol, bit, text) SHARE_##symbol = (bit),
enum share_cause { SHARE_CAUSES(SHARE_CAUSE_MEMBER) };
#undef SHARE_CAUSE_MEMBER

/* The metric label; a static string. */
const char *share_cause_text(enum share_cause cause);

/* Requests under way, over all workers; counted only under a cap of them. */
struct share_active {
    uint32_t n; /* atomic */
};

/* Of all endpoints of one upstream together; lives as long as the process. */
struct share_group {
    char *name;                  /* owned */
    struct shares *all;          /* borrowed, owns us; for share_accuse() */
    uint32_t version;            /* atomic: raised after each change of a state word */
    uint64_t n_ejected_not;      /* ejections that the cap has prevented; the control thread's */
    void (*on_state)(void *arg); /* the control thread's; may be NULL */
    void *on_state_arg;          /* borrowed until it is replaced */

    char apart[64]; /* keeps it off the cache line of what workers write */

    struct pace retries; /* spent of the retry budget */
    struct share_active active;
    uint64_t waiting; /* atomic: a bit per worker (index modulo 64) that waits for a slot */
};

/* Failures in a row, over all workers. */
struct share_row {
    uint32_t n; /* atomic */
};

/* The last check of an endpoint, for whoever shows it. */
struct share_check {
    uint64_t at_us; /* of now_us(); 0: none yet */
    enum probe_result result;
    char why[80]; /* what went wrong; "" when nothing did */
};

struct share {
    /* -- read at every change, written seldom -- */
    struct share_group *group; /* borrowed */
    uint32_t refs;             /* atomic: sets of members that name it */
    uint32_t state;            /* atomic: bits of enum share_cause; by share_set() */
    uint64_t slow_until_us;    /* atomic: of now_us(), the latest slow start ends; 0: none */

    char apart[64]; /* keeps the above off the cache line of what follows */

    /* -- written by all workers under a cap -- */
    uint32_t used; /* atomic: connections open or being opened */
    struct share_active active;
    uint64_t waiting; /* atomic: a bit per worker (index modulo 64) with requests that wait */

    /* -- written by all workers when tries fail, see outlier.h -- */
    struct share_row row_5xx, row_gateway, row_local;
    uint32_t accused;     /* atomic: bits 1 << enum eject_cause; letter is under way unless 0 */
    struct letter letter; /* to the control thread */

    /* -- the control thread's -- */
    struct ejection ejection;
    struct eject_sample seen; /* all tries until the last interval ended */
    uint64_t n_ejected[EJECT_CAUSE_COUNT];
    struct condition condition;
    uint64_t n_checks[PROBE_RESULT_COUNT];
    struct share_check checked;
    struct patient *patient; /* owned by its prober (prober.c); NULL: not checked */
    bool marked;             /* while sets are compared */
};

/*
 * Bring an accusation to the control thread, which then asks share_take_accused(). Called on a
 * worker's thread, and must not wait.
 */
typedef void share_accused_fn(void *arg, struct letter *letter);

/* The registry. The control thread's. */
struct shares *shares_new(struct tally *tally);
void shares_free(struct shares **shares);

/* Who brings accusations; before any worker runs. Without one there are none. */
void shares_on_accused(struct shares *shares, share_accused_fn *accused, void *arg);

/* Where the counters of its addresses are. */
struct tally *shares_tally(const struct shares *shares);

/* That of an upstream, made when there is none. */
struct share_group *shares_group(struct shares *shares, struct sluice_span upstream);

/*
 * That of an address, made when there is none; key: "UPSTREAM ADDRESS". The caller owns a
 * reference. Without any, a share is kept, with what is known of it, until there are as many such
 * as others (and some thousands): registries that name new addresses all the time must not
 * fill the memory.
 */
struct share *shares_get(struct shares *shares, struct share_group *group, struct sluice_span key);

/* Any thread. */
void share_unref(struct share **share);

/* One more reference, from who has one; returns it. Any thread. */
struct share *share_ref(struct share *share);

/* Shares there are. */
size_t shares_count(const struct shares *shares);

/*
 * Set or clear one cause; true when that changes the state. Workers follow with their next pick.
 * The control thread's.
 */
bool share_set(struct share *share, enum share_cause cause, bool on);

/* Whom share_set() tells when it has changed a state of the group; NULL: nobody. */
void share_group_on_state(struct share_group *group, void (*on_state)(void *arg), void *arg);

/* Its tries look as if it should be ejected. Any thread; accused again before that is looked at
 * costs one atomic operation. */
void share_accuse(struct share *share, enum eject_cause cause);

/* Of whom a letter is, and what for (bits 1 << enum eject_cause). The control thread's. */
struct share *share_of_letter(struct letter *letter);
uint32_t share_take_accused(struct share *share);

/* The state word. Any thread. */
static inline uint32_t share_state(const struct share *share)
{
    return __atomic_load_n(&share->state, __ATOMIC_RELAXED);
}

/* What to compare to see that a state has changed; states read after it are no older. */
static inline uint32_t share_group_version(const struct share_group *group)
{
    return __atomic_load_n(&group->version, __ATOMIC_ACQUIRE);
}

#endif /* UPSTREAM_SHARE_H */
