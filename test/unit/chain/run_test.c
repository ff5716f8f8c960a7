/*
 * Waiting exchanges without a proxy: two plugins at two places of one worker, and an owner that
 * only remembers which direction was woken. What comes too late must do nothing.
 */
#include "chain/run.h"

#include "base/rng.h"
#include "chain/set.h"
#include "chain/state.h"
#include "core/loop.h"
#include "observe/tally.h"
#include "unit.h"
#include "until.h"

#include <string.h>

enum { PLACES = 2, WAIT_MS = 3600000 };

/* What the plugin of a place answers, and what it has seen. */
struct part {
    enum sluice_verdict head, response, late; /* late: of completions */
    bool asks;                                /* a timer at the request's head */
    unsigned came, done;
    struct sluice_ticket ticket;
};

static struct part parts[PLACES];

static struct part *part_of(const struct sluice_call *call)
{
    return &parts[call->place->entry->index];
}

static enum sluice_verdict on_timer(const struct sluice_call *call, void *arg)
{
    (void)arg;
    part_of(call)->came++;
    return part_of(call)->late;
}

static enum sluice_verdict on_request_head(const struct sluice_call *call)
{
    struct part *part = part_of(call);

    if (part->head == SLUICE_WAIT)
        part->ticket = call->host->ticket(call);
    if (part->asks)
        ck_assert_uint_ne(call->host->timer(call, 1, on_timer, NULL), 0);
    return part->head;
}

static enum sluice_verdict on_attempt(const struct sluice_call *call,
                                      const struct sluice_attempt *attempt)
{
    (void)attempt;
    part_of(call)->ticket = call->host->ticket(call);
    return SLUICE_NEXT;
}

static enum sluice_verdict on_response_head(const struct sluice_call *call)
{
    if (part_of(call)->response == SLUICE_WAIT)
        part_of(call)->ticket = call->host->ticket(call);
    return part_of(call)->response;
}

static void on_done(const struct sluice_call *call)
{
    part_of(call)->done++;
}

static const struct sluice_plugin about = {SLUICE_PLUGIN_HEAD,
                                           .name = "part",
                                           .on_request_head = on_request_head,
                                           .on_attempt = on_attempt,
                                           .on_response_head = on_response_head,
                                           .on_done = on_done};

/* -- the owner ---------------------------------------------------------------------- */

struct owner {
    unsigned entered, woken[CHAIN_FLOWS];
};

static void op_enter(void *owner)
{
    ((struct owner *)owner)->entered++;
}

static void op_leave(void *owner)
{
    ((struct owner *)owner)->entered--;
}

static void op_wake(void *owner_, enum chain_flow flow)
{
    struct owner *owner = owner_;

    ck_assert_uint_eq(owner->entered, 1);
    owner->woken[flow]++;
}

static const struct chain_ops ops = {.enter = op_enter, .leave = op_leave, .wake = op_wake};

static void no_holder(void *owner)
{
    (void)owner;
}

/* -- the scene ----------------------------------------------------------------------- */

struct scene {
    struct loop *loop;
    struct rng rng;
    struct tally *tally;
    struct chain_worker *worker;
    struct chain_set set;
    struct chain_entry entry[PLACES], *entries[PLACES];
    struct entry_written written;
    struct chain chain;
    struct chain_view *view;
    struct arena arena;
    struct owner owner;
    struct sluice_exchange *ex;
};

static struct scene it;

static void begin(uint64_t wait_ms)
{
    const struct chain_holder holder = {.hold = no_holder, .release = no_holder};

    memset(&it, 0, sizeof(it));
    memset(parts, 0, sizeof(parts));
    it.loop = loop_new();
    it.tally = tally_new(1);
    it.worker = chain_worker_new(NULL, it.loop, &it.rng, &ops, 0, 1);
    it.written.wait_ms = wait_ms;
    for (unsigned i = 0; i < PLACES; i++) {
        const struct sluice_span key = span_of(i == 0 ? "first" : "second");

        it.entry[i] = (struct chain_entry){
            .index = i,
            .about = &about,
            .name = key,
            .place = key,
            .written = &it.written,
            .tally = tally_get(it.tally, "plugin", key, sizeof(struct chain_counters)),
            .own = tally_get(it.tally, "plugin place", key, sizeof(struct chain_place_counters)),
            .phases = 1u << SLUICE_PHASE_REQUEST_HEAD | 1u << SLUICE_PHASE_ATTEMPT |
                      1u << SLUICE_PHASE_RESPONSE_HEAD | 1u << SLUICE_PHASE_DONE};
        it.entries[i] = &it.entry[i];
    }
    it.set = (struct chain_set){.entry = it.entries, .n = PLACES};
    it.chain = (struct chain){.entry = it.entries, .n = PLACES, .phases = it.entry[0].phases};
    it.view = chain_view_new(it.worker, &it.set, &holder);
    arena_init(&it.arena, NULL, 1 << 20);
    it.ex = chain_begin(it.view, &it.chain, &it.arena, &it.owner);
    ck_assert_ptr_nonnull(it.ex);
}

static void end(void)
{
    chain_end(it.ex);
    chain_view_free(&it.view);
    chain_worker_free(&it.worker);
    arena_fini(&it.arena);
    tally_free(&it.tally);
    loop_free(&it.loop);
}

static bool resume(unsigned place, struct sluice_ticket ticket, enum sluice_verdict verdict)
{
    return host_table.resume(&it.view->places[place].call, ticket, verdict, NULL, NULL);
}

static uint64_t stale(unsigned place)
{
    return counter_get(&it.view->places[place].counters->stale);
}

static bool is_woken(void *flow)
{
    return it.owner.woken[*(const enum chain_flow *)flow] > 0;
}

static bool has_come(void *part)
{
    return ((const struct part *)part)->came > 0;
}

static void begin_waiting(void)
{
    begin(WAIT_MS);
    parts[0].head = SLUICE_WAIT;
    ck_assert_int_eq(chain_request_head(it.ex), CHAIN_WAITS);
}

/* -- tickets ------------------------------------------------------------------------ */

START_TEST(a_ticket_brings_the_verdict_once)
{
    begin_waiting();
    ck_assert_int_eq(chain_request_head(it.ex), CHAIN_WAITS); /* asked again, nothing has come */
    ck_assert(resume(0, parts[0].ticket, SLUICE_NEXT));
    ck_assert_uint_eq(it.owner.woken[CHAIN_REQUEST], 1);
    ck_assert(!resume(0, parts[0].ticket, SLUICE_FAIL));
    ck_assert_uint_eq(it.owner.woken[CHAIN_REQUEST], 1);
    ck_assert_uint_eq(stale(0), 1);
    ck_assert_int_eq(chain_request_head(it.ex), CHAIN_GOES_ON);
    end();
}
END_TEST

START_TEST(a_ticket_of_an_exchange_that_has_ended_does_nothing)
{
    begin_waiting();
    chain_end(it.ex);
    ck_assert_uint_eq(parts[0].done, 1);
    ck_assert(!resume(0, parts[0].ticket, SLUICE_NEXT));
    ck_assert_uint_eq(it.owner.woken[CHAIN_REQUEST], 0);
    end();
    ck_assert_uint_eq(parts[0].done, 1);
    ck_assert_uint_eq(parts[1].done, 0); /* it has seen nothing */
}
END_TEST

START_TEST(a_ticket_of_an_earlier_wait_does_not_end_a_later_one)
{
    struct sluice_ticket earlier;

    begin_waiting();
    earlier = parts[0].ticket;
    ck_assert(resume(0, earlier, SLUICE_NEXT));
    parts[1].head = SLUICE_WAIT;
    ck_assert_int_eq(chain_request_head(it.ex), CHAIN_WAITS);
    ck_assert_uint_ne(parts[1].ticket.serial, earlier.serial);
    ck_assert(!resume(0, earlier, SLUICE_NEXT) && !resume(1, earlier, SLUICE_NEXT));
    ck_assert_int_eq(chain_request_head(it.ex), CHAIN_WAITS);
    ck_assert(resume(1, parts[1].ticket, SLUICE_NEXT));
    ck_assert_int_eq(chain_request_head(it.ex), CHAIN_GOES_ON);
    end();
}
END_TEST

START_TEST(a_ticket_is_of_its_own_place_and_worker)
{
    struct sluice_ticket other;

    begin_waiting();
    ck_assert(!resume(1, parts[0].ticket, SLUICE_NEXT));
    other = parts[0].ticket;
    other.worker++;
    ck_assert(!resume(0, other, SLUICE_NEXT));
    other = parts[0].ticket;
    other.serial += CHAIN_TICKET_ROWS; /* in the same row */
    ck_assert(!resume(0, other, SLUICE_NEXT));
    ck_assert(!resume(0, (struct sluice_ticket){0, 0}, SLUICE_NEXT));
    ck_assert_int_eq(chain_request_head(it.ex), CHAIN_WAITS);
    ck_assert(resume(0, parts[0].ticket, SLUICE_NEXT));
    end();
}
END_TEST

START_TEST(a_ticket_is_stale_after_the_deadline)
{
    enum chain_flow flow = CHAIN_REQUEST;

    begin(1);
    parts[0].head = SLUICE_WAIT;
    ck_assert_int_eq(chain_request_head(it.ex), CHAIN_WAITS);
    loop_until(it.loop, is_woken, &flow);
    ck_assert(!resume(0, parts[0].ticket, SLUICE_NEXT));
    ck_assert_int_eq(chain_request_head(it.ex), CHAIN_TIMES_OUT);
    ck_assert_uint_eq(counter_get(&it.view->places[0].counters->wait_timeouts), 1);
    end();
}
END_TEST

START_TEST(what_may_not_wait_gets_a_stale_ticket)
{
    const struct sluice_attempt attempt = {.size = sizeof(attempt), .number = 1};
    unsigned seen;

    begin(WAIT_MS);
    ck_assert_int_eq(chain_request_head(it.ex), CHAIN_GOES_ON);
    ck_assert_int_eq(chain_attempt(it.ex, &attempt, &seen), CHAIN_GOES_ON);
    ck_assert_uint_eq(seen, PLACES);
    ck_assert_uint_eq(parts[0].ticket.serial, 0);
    ck_assert(!resume(0, parts[0].ticket, SLUICE_NEXT));
    end();
}
END_TEST

static enum sluice_verdict resume_from_inside(const struct sluice_call *call, void *arg)
{
    (void)arg;
    ck_assert(!call->host->resume(call, part_of(call)->ticket, SLUICE_NEXT, NULL, NULL));
    return SLUICE_WAIT; /* not yet after all */
}

START_TEST(what_is_asked_first_decides_and_cannot_resume_itself)
{
    begin_waiting();
    ck_assert(host_table.resume(&it.view->places[0].call, parts[0].ticket, SLUICE_FAIL,
                                resume_from_inside, NULL));
    ck_assert_int_eq(chain_request_head(it.ex), CHAIN_WAITS);
    ck_assert(resume(0, parts[0].ticket, SLUICE_NEXT));
    ck_assert_int_eq(chain_request_head(it.ex), CHAIN_GOES_ON);
    end();
}
END_TEST

START_TEST(a_response_that_is_replaced_forgets_who_held_it)
{
    struct sluice_ticket earlier;

    begin(WAIT_MS);
    ck_assert_int_eq(chain_request_head(it.ex), CHAIN_GOES_ON);
    parts[1].response = SLUICE_WAIT;
    ck_assert_int_eq(chain_response_head(it.ex), CHAIN_WAITS);
    earlier = parts[1].ticket;
    chain_response_reset(it.ex);
    ck_assert(!resume(1, earlier, SLUICE_NEXT));
    ck_assert_int_eq(chain_response_head(it.ex), CHAIN_WAITS); /* of the one in its place */
    ck_assert(!resume(1, earlier, SLUICE_NEXT));
    ck_assert(resume(1, parts[1].ticket, SLUICE_NEXT));
    ck_assert_int_eq(chain_response_head(it.ex), CHAIN_GOES_ON);
    end();
}
END_TEST

/* -- completions ---------------------------------------------------------------------- */

START_TEST(a_completion_answers_where_its_place_waits)
{
    begin(WAIT_MS);
    parts[0].asks = true; /* at the request, and waits at the response */
    ck_assert_int_eq(chain_request_head(it.ex), CHAIN_GOES_ON);
    parts[0].response = SLUICE_WAIT;
    ck_assert_int_eq(chain_response_head(it.ex), CHAIN_WAITS);
    loop_until(it.loop, has_come, &parts[0]);
    ck_assert_uint_eq(it.owner.woken[CHAIN_RESPONSE], 1);
    ck_assert_uint_eq(it.owner.woken[CHAIN_REQUEST], 0);
    ck_assert_int_eq(chain_response_head(it.ex), CHAIN_GOES_ON);
    end();
}
END_TEST

START_TEST(a_completion_does_not_answer_for_another_place)
{
    begin(WAIT_MS);
    parts[0].asks = true;
    parts[0].late = SLUICE_FAIL;
    parts[1].head = SLUICE_WAIT;
    ck_assert_int_eq(chain_request_head(it.ex), CHAIN_WAITS);
    loop_until(it.loop, has_come, &parts[0]);
    ck_assert_uint_eq(it.owner.woken[CHAIN_REQUEST], 0);
    ck_assert(resume(1, parts[1].ticket, SLUICE_NEXT));
    ck_assert_int_eq(chain_request_head(it.ex), CHAIN_GOES_ON);
    end();
}
END_TEST

START_TEST(a_completion_of_who_was_given_up_is_not_called)
{
    begin(WAIT_MS);
    it.written.on_error = ENTRY_OPEN;
    parts[0].asks = true;
    parts[0].head = SLUICE_FAIL;
    parts[1].head = SLUICE_WAIT;
    parts[1].asks = true;
    ck_assert_int_eq(chain_request_head(it.ex), CHAIN_WAITS); /* the first is left out */
    loop_until(it.loop, has_come, &parts[1]);
    loop_turns(it.loop, 2);
    ck_assert_uint_eq(parts[0].came, 0);
    ck_assert_int_eq(chain_request_head(it.ex), CHAIN_GOES_ON);
    end();
    ck_assert_uint_eq(parts[0].done, 1); /* but told of the end */
}
END_TEST

UNIT_MAIN("chain/run", a_ticket_brings_the_verdict_once,
          a_ticket_of_an_exchange_that_has_ended_does_nothing,
          a_ticket_of_an_earlier_wait_does_not_end_a_later_one,
          a_ticket_is_of_its_own_place_and_worker, a_ticket_is_stale_after_the_deadline,
          what_may_not_wait_gets_a_stale_ticket,
          what_is_asked_first_decides_and_cannot_resume_itself,
          a_response_that_is_replaced_forgets_who_held_it,
          a_completion_answers_where_its_place_waits,
          a_completion_does_not_answer_for_another_place,
          a_completion_of_who_was_given_up_is_not_called)
