/*
 * state.h - an exchange as the chain sees it. Private to chain/.
 *
 * Threads: the exchange's worker.
 */
#ifndef CHAIN_STATE_H
#define CHAIN_STATE_H

#include "base/text.h"
#include "base/ticks.h"
#include "chain/host.h"
#include "core/alarm.h"
#include "core/crash.h"

struct arena;

/* One place as one exchange sees it. */
struct chain_seat {
    const struct chain_entry *entry; /* borrowed from the set */
    struct sluice_call call;
    uint32_t detached;         /* 1 << phase: not called any more */
    uint8_t body[CHAIN_ASIDE]; /* enum sluice_body_mode, by flow */
    bool has_run;              /* a phase of it ran: on_done is owed */
    bool is_out;               /* failed, and the exchange goes on without it */
};

/* One direction: where it is, and whether somebody holds it there. */
struct chain_wait {
    struct list link; /* in worker->tickets while it has a number */
    struct sluice_exchange *exchange;
    uint64_t number; /* of the ticket; 0: nobody asked for one */
    struct alarm deadline;
    uint8_t phase;    /* enum sluice_phase: what runs, or waits */
    uint8_t verdict;  /* enum sluice_verdict: what came, when has_verdict */
    bool is_waiting;  /* a seat said SLUICE_WAIT */
    bool has_verdict; /* and got what it waited for: the story takes it */
    bool is_late;     /* it is the deadline's */
    unsigned seat;    /* whose turn it is */
};

/* An attribute of the span of this exchange. */
struct state_span {
    struct state_span *next;
    struct sluice_pair pair;
};

/* Content of one direction, for who asked for it. In the arena, but for the texts. */
struct chain_body {
    unsigned n_seats;    /* that look at it */
    bool edits, whole;   /* one of them may change it; one wants it in one piece */
    uint64_t max;        /* bytes of it whole */
    struct text kept;    /* the part that waits, or what was collected */
    struct text queue;   /* what came behind a part that waits */
    struct text edit[2]; /* what seats made of the part, in turns */
    bool current;        /* which of them holds the part */
    bool is_replaced;    /* the other one holds what the present seat made */
    bool is_busy;        /* a part is on its way */
    bool is_ready;       /* whole, and all seats have seen it */
    bool is_last, queue_last;
    struct sluice_span part;
    unsigned at; /* seats that have seen it */
};

struct sluice_exchange {
    void *owner;                 /* borrowed: the exchange of whoever filled in ops */
    const struct chain_ops *ops; /* borrowed, static */
    struct chain_view *view;     /* borrowed: the owner is a user of it */
    struct arena *arena;         /* borrowed: the owner's */
    size_t arena_left;           /* bytes that plugins may still take */
    struct chain_seat *seat;     /* in the arena; in the order of the request */
    unsigned n_seats;
    unsigned n_passed;   /* so many the request's head has passed */
    unsigned n_returned; /* so many the response's head has passed, from the last one back */
    uint32_t phases;     /* of all seats */
    struct chain_wait wait[CHAIN_FLOWS];
    struct chain_body *body[CHAIN_ASIDE]; /* NULL: nobody asked */
    uint8_t flow;                         /* whose callback runs */
    struct chain_seat *running;           /* in a callback now, or NULL */
    struct sluice_span *attributes; /* in the arena, by number - CHAIN_ATTRIBUTES_OWN; or NULL */
    struct sluice_span notes;       /* words, separated by commas */
    struct chain_reply reply;       /* of reply(); status 0: none */
    struct chain_reply *edited;     /* in on_local_reply: what may be changed, else NULL */
    struct list pending;            /* of struct chain_pending */
    unsigned n_pending;
    struct state_span *spans, *last_span; /* in order; in the arena */
    unsigned n_spans;
    bool is_ended;
};

enum { STATE_ALLOC_MAX = 256 * 1024 /* bytes that plugins may take from one exchange */ };

const char *run_phase_name(enum sluice_phase phase);

/* -- run.c ----------------------------------------------------------------------- */

/* Bracket a callback: what runs is known when it crashes or takes long. */
struct run_call {
    struct sluice_place *place;
    enum sluice_phase phase;
    uint64_t begun;
    const struct crash_words *before;
};

/* Count and tell a callback that was slow. */
__attribute__((cold)) void run_say_slow(const struct sluice_place *place, enum sluice_phase phase,
                                        uint64_t us);

static inline void run_enter(struct run_call *run, struct sluice_place *place,
                             enum sluice_phase phase)
{
    run->place = place;
    run->phase = phase;
    run->before = crash_say(&place->entry->words[phase]);
    run->begun = ticks_now();
}

static inline void run_leave(const struct run_call *run)
{
    const struct chain_worker *worker = run->place->worker;
    uint64_t ticks = ticks_now() - run->begun;

    (void)crash_say(run->before);
    times_add(&run->place->counters->phase[run->phase].times, ticks, worker->times_scale);
    if (ticks >= worker->slow_ticks)
        run_say_slow(run->place, run->phase, ticks / worker->ticks_per_us);
}

/* Somebody brings the verdict of a flow that waits; the story takes it. Entered. */
void run_answer(struct sluice_exchange *ex, enum chain_flow flow, enum sluice_verdict verdict);

/* The flow waits no longer; its ticket is stale from now on. */
void wait_clear_rest(struct chain_wait *wait);

static inline void wait_clear(struct chain_wait *wait)
{
    if (wait->is_waiting || wait->number > 0)
        wait_clear_rest(wait);
}

/*
 * Call a completion for a seat that began it in a flow; its verdict is that of the flow which waits
 * there, this one before others. The exchange is entered.
 */
void run_finish(struct sluice_exchange *ex, enum chain_flow begun, struct chain_seat *seat,
                chain_finish_fn *finish, void *arg);

/* One part for one seat, or the verdict that it waited for. */
enum chain_answer run_body(struct sluice_exchange *ex, enum chain_flow flow,
                           struct chain_seat *seat, struct sluice_span part, bool last);

/* -- body.c -------------------------------------------------------------------------- */

/* Nobody asks for content any more; what was kept of it is gone. */
void body_reset(struct sluice_exchange *ex, enum chain_flow flow);

/* -- pending.c -------------------------------------------------------------------- */

void pending_drop_all(struct list *pending);
void pending_cancel(const struct sluice_call *call, uint64_t number);
struct sluice_ticket ticket_new(const struct sluice_call *call);
bool ticket_resume(const struct sluice_call *call, struct sluice_ticket ticket,
                   enum sluice_verdict verdict, sluice_timer_fn *before, void *arg);

/* -- for services and templates ---------------------------------------------------------- */

/* NULL beyond the limit. */
void *run_alloc(struct sluice_exchange *ex, size_t bytes);
struct sluice_span run_copy(struct sluice_exchange *ex, struct sluice_span text);
bool run_attribute(struct sluice_exchange *ex, uint32_t attribute, struct sluice_span *value);
/* The first line's value; empty: none. */
struct sluice_span run_field(struct sluice_exchange *ex, enum sluice_side side,
                             struct sluice_span name);

#endif /* CHAIN_STATE_H */
