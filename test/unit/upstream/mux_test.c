#include "mux_scene.h"

/* -- dials ------------------------------------------------------------------ */

START_TEST(who_comes_during_a_dial_waits_for_it)
{
    struct scene *it = scene_open("");
    struct ask a = {0}, b = {0};
    struct peer *peer;

    ask(it, &a);
    ask(it, &b);
    ck_assert(a.lease.dialling && b.lease.dialling);
    ck_assert_ptr_eq(a.lease.mux, b.lease.mux);
    peer = accept_speaker(it, 10);
    await(it, has_two, peer);
    ck_assert(!a.lease.reused && b.lease.reused);
    ck_assert_uint_eq(counted(it, connects), 1);
    ck_assert_uint_eq(counted(it, h2_connections), 1);
    ck_assert_uint_eq(counted(it, streams), 2);
    ck_assert(nobody_dials(it));
    finish(it, &a, peer, 0);
    finish(it, &b, peer, 1);
    ck_assert_uint_eq(counted(it, idle), 1);
    scene_close(it);
}
END_TEST

START_TEST(before_settings_have_come_one_stream_is_opened)
{
    struct scene *it = scene_open("");
    struct ask a = {0}, b = {0};
    struct peer *peer;

    ask(it, &a);
    ask(it, &b);
    peer = accept_peer(it);
    await(it, is_told, &a);
    ck_assert(a.opened && !stream_knows(&a.lease));
    some_turns(it);
    ck_assert(!is_told(&b));
    peer_speak(peer, 10);
    await(it, has_two, peer);
    ck_assert(b.opened && stream_knows(&b.lease));
    ck_assert_uint_eq(counted(it, connects), 1);
    finish(it, &b, peer, 1);
    finish(it, &a, peer, 0);
    scene_close(it);
}
END_TEST

START_TEST(a_dial_whose_lease_has_ended_is_the_next_ones)
{
    struct scene *it = scene_open("");
    struct ask a = {0}, b = {0};
    struct peer *peer;

    ask(it, &a);
    lease_discard(&a.lease);
    ck_assert_ptr_null(a.lease.mux);
    ask(it, &b);
    peer = accept_speaker(it, 10);
    await(it, has_one, peer);
    ck_assert_int_eq(a.err, ERR_AGAIN); /* it was not told of what it does not wait for */
    ck_assert_uint_eq(counted(it, connects), 1);
    finish(it, &b, peer, 0);
    scene_close(it);
}
END_TEST

START_TEST(a_dial_in_vain_is_told_to_all_who_wait)
{
    struct scene *it = scene_open_at(false, "");
    struct ask a = {0}, b = {0};

    ask(it, &a);
    ask(it, &b);
    await(it, is_told, &a);
    await(it, is_told, &b);
    ck_assert_int_ne(a.err, OK);
    ck_assert_int_eq(b.err, a.err);
    ck_assert(a.lease.dialled && b.lease.dialled);
    ck_assert_ptr_null(a.lease.mux);
    ck_assert_ptr_eq(a.lease.endpoint, it->upstream->endpoint[0]);
    scene_close(it);
}
END_TEST

/* -- caps ---------------------------------------------------------------------- */

START_TEST(beyond_our_cap_another_connection_is_made)
{
    struct scene *it = scene_open("http2: { max_concurrent_streams: 2 }");
    struct ask a = {0}, b = {0}, c = {0}, d = {0};
    struct peer *first, *second;

    ask(it, &a);
    first = accept_speaker(it, 10);
    await(it, has_one, first);
    ask(it, &b);
    await(it, has_two, first);
    ask(it, &c);
    second = accept_speaker(it, 10);
    await(it, has_one, second);
    ck_assert_ptr_eq(a.lease.mux, b.lease.mux);
    ck_assert_ptr_ne(a.lease.mux, c.lease.mux);
    ask(it, &d); /* the second has room for one more */
    ck_assert_int_eq(d.err, OK);
    await(it, has_two, second);
    ck_assert_uint_eq(counted(it, connects), 2);
    ck_assert_uint_eq(first->n_streams, 2);
    finish(it, &c, second, 0);
    finish(it, &d, second, 1);
    finish(it, &a, first, 0);
    finish(it, &b, first, 1);
    scene_close(it);
}
END_TEST

START_TEST(beyond_the_endpoints_cap_another_connection_is_made)
{
    struct scene *it = scene_open("");
    struct ask a = {0}, b = {0}, c = {0};
    struct peer *first, *second;

    ask(it, &a);
    ask(it, &b);
    ask(it, &c);
    first = accept_speaker(it, 2);
    await(it, has_two, first);
    second = accept_speaker(it, 2); /* for the third, who was sent away from the first */
    await(it, has_one, second);
    ck_assert_uint_eq(it->upstream->endpoint[0]->max_streams, 2);
    ck_assert_uint_eq(first->n_streams, 2);
    ck_assert_uint_eq(counted(it, connects), 2);
    ck_assert_uint_eq(counted(it, h2_connections), 2);
    finish(it, &a, first, 0);
    finish(it, &b, first, 1);
    finish(it, &c, second, 0);
    scene_close(it);
}
END_TEST

START_TEST(at_both_caps_a_request_waits_for_a_stream_to_end)
{
    struct scene *it = scene_open("http2: { max_concurrent_streams: 1 }, connections: { max: 1 }");
    struct ask a = {0}, b = {0};
    struct peer *peer;

    ask(it, &a);
    peer = accept_speaker(it, 10);
    await(it, has_one, peer);
    ask(it, &b);
    ck_assert(lease_is_queued(&b.lease));
    ck_assert(nobody_dials(it));
    ck_assert(!is_told(&b));
    finish(it, &a, peer, 0);
    await(it, has_two, peer);
    ck_assert_uint_eq(counted(it, connects), 1);
    finish(it, &b, peer, 1);
    scene_close(it);
}
END_TEST

static bool has_no_room(void *ask)
{
    return h2_stream_room(((struct ask *)ask)->lease.mux->h2) == 0;
}

START_TEST(a_lowered_cap_ends_no_stream_and_lets_none_in)
{
    struct scene *it = scene_open("");
    struct ask a = {0}, b = {0}, c = {0};
    struct peer *first, *second;
    struct h2_settings fewer;

    ask(it, &a);
    ask(it, &b);
    first = accept_speaker(it, 10);
    await(it, has_two, first);
    fewer = first->settings;
    fewer.max_streams = 1;
    h2_set_settings(first->h2, &fewer);
    await(it, has_no_room, &a);
    ck_assert_uint_eq(it->upstream->endpoint[0]->max_streams, 1); /* though two are open */
    ask(it, &c);
    second = accept_speaker(it, 10);
    await(it, has_one, second);
    ck_assert_uint_eq(first->n_streams, 2);
    finish(it, &a, first, 0);
    finish(it, &b, first, 1);
    finish(it, &c, second, 0);
    scene_close(it);
}
END_TEST

START_TEST(a_raised_cap_lets_in_who_waits)
{
    struct scene *it = scene_open("connections: { max: 1 }");
    struct ask a = {0}, b = {0};
    struct peer *peer;
    struct h2_settings more;

    ask(it, &a);
    ask(it, &b);
    peer = accept_speaker(it, 1);
    await(it, has_one, peer);
    some_turns(it);
    ck_assert(!is_told(&b));
    more = peer->settings;
    more.max_streams = 2;
    h2_set_settings(peer->h2, &more);
    await(it, has_two, peer);
    ck_assert_uint_eq(counted(it, connects), 1);
    finish(it, &a, peer, 0);
    finish(it, &b, peer, 1);
    scene_close(it);
}
END_TEST

static bool is_shut(void *scene)
{
    return ((struct scene *)scene)->upstream->endpoint[0]->shut;
}

START_TEST(an_endpoint_that_wants_no_streams_is_not_dialled_for_more)
{
    struct scene *it = scene_open("");
    struct ask a = {.idles = true}, b = {0}, c = {0};
    struct h2_settings more;
    struct peer *peer;

    ask(it, &a);
    peer = accept_speaker(it, 0);
    await(it, is_shut, it);
    ask(it, &b);
    ck_assert(lease_is_queued(&b.lease));
    ck_assert(nobody_dials(it));
    ck_assert_int_eq(try_stream(&a), ERR_REFUSED); /* it was promised before that was known */
    lease_discard(&a.lease);
    ck_assert(nobody_dials(it));
    ck_assert(!is_told(&b));
    more = peer->settings;
    more.max_streams = 2;
    h2_set_settings(peer->h2, &more);
    await(it, has_one, peer);
    ck_assert(!is_shut(it));
    ask(it, &c);
    await(it, has_two, peer);
    ck_assert_uint_eq(counted(it, connects), 1);
    finish(it, &b, peer, 0);
    finish(it, &c, peer, 1);
    scene_close(it);
}
END_TEST

START_TEST(an_endpoint_that_wanted_no_streams_is_asked_again_when_its_connection_has_gone)
{
    struct scene *it = scene_open("");
    struct ask a = {.idles = true}, b = {0};
    struct peer *first, *second;

    ask(it, &a);
    first = accept_speaker(it, 0);
    await(it, is_shut, it);
    ask(it, &b);
    ck_assert(lease_is_queued(&b.lease));
    peer_vanish(first, false);
    second = accept_peer(it);
    some_turns(it);
    ck_assert(!is_told(&b)); /* it says first whether it wants some now */
    peer_speak(second, 10);
    await(it, has_one, second);
    ck_assert(!is_shut(it));
    ck_assert_int_eq(try_stream(&a), ERR_REFUSED);
    lease_discard(&a.lease);
    finish(it, &b, second, 0);
    scene_close(it);
}
END_TEST

/* -- what endpoints end ----------------------------------------------------------- */

START_TEST(a_goaway_gives_back_what_it_leaves_out)
{
    struct scene *it = scene_open("");
    struct ask a = {0}, b = {0}, c = {0}, d = {0};
    struct peer *first, *second;
    const struct stream_loss *loss;

    ask(it, &a);
    ask(it, &b);
    ask(it, &c);
    first = accept_speaker(it, 10);
    await(it, has_three, first);
    peer_goaway(first, 3);
    loss = lose(it, &c);
    ck_assert(loss->unprocessed && !loss->of_connection);
    ck_assert_uint_eq(counted(it, goaways), 1);
    ck_assert_uint_eq(counted(it, resets[ENDPOINT_RESET_REFUSED]), 1);
    ck_assert_int_eq(a.lease.mux->state, MUX_DRAINING);
    ask(it, &d);
    second = accept_speaker(it, 10);
    await(it, has_one, second);
    ck_assert_uint_eq(first->n_streams, 3);
    finish(it, &a, first, 0);
    ck_assert(!first->ended);
    finish(it, &b, first, 1);
    await(it, is_gone, first); /* with its last stream */
    ck_assert_uint_eq(counted(it, h2_connections), 1);
    ck_assert(!second->ended);
    finish(it, &d, second, 0);
    scene_close(it);
}
END_TEST

START_TEST(a_goaway_on_an_idle_connection_ends_it)
{
    struct scene *it = scene_open("");
    struct ask a = {0};
    struct peer *peer;

    ask(it, &a);
    peer = accept_speaker(it, 10);
    await(it, has_one, peer);
    finish(it, &a, peer, 0);
    ck_assert_uint_eq(counted(it, idle), 1);
    peer_goaway(peer, 1);
    await(it, is_gone, peer);
    ck_assert_uint_eq(counted(it, idle), 0);
    ck_assert_uint_eq(counted(it, goaways), 1);
    ck_assert_uint_eq(counted(it, h2_connections), 0);
    scene_close(it);
}
END_TEST

static void check_reset(uint32_t code, enum endpoint_reset reset, bool unprocessed)
{
    struct scene *it = scene_open("");
    struct ask a = {0}, b = {0};
    const struct stream_loss *loss;
    struct peer *peer;

    ask(it, &a);
    ask(it, &b);
    peer = accept_speaker(it, 10);
    await(it, has_two, peer);
    peer_reset(peer, 0, code);
    loss = lose(it, &a);
    ck_assert_int_eq(loss->unprocessed, unprocessed);
    ck_assert(loss->reset && !loss->of_connection);
    ck_assert_uint_eq(loss->code, code);
    ck_assert_int_eq(loss->failure, ENDPOINT_RESET);
    ck_assert_str_eq(loss->detail, h2_code_name(code));
    for (unsigned i = 0; i < ENDPOINT_RESET_COUNT; i++) {
        ck_assert_uint_eq(counted(it, resets[i]), i == reset);
    }
    finish(it, &b, peer, 1);
    ck_assert_uint_eq(counted(it, connects), 1);
    ck_assert_uint_eq(counted(it, idle), 1);
    scene_close(it);
}

START_TEST(a_reset_ends_one_stream_and_says_why)
{
    check_reset(H2_REFUSED_STREAM, ENDPOINT_RESET_REFUSED, true);
    check_reset(H2_CANCEL, ENDPOINT_RESET_CANCELLED, false);
    check_reset(H2_INTERNAL_ERROR, ENDPOINT_RESET_FAILED, false);
}
END_TEST

static void check_loss(bool reset, enum endpoint_failure failure)
{
    struct scene *it = scene_open("");
    struct ask a = {0}, b = {0}, late = {.idles = true};
    const struct stream_loss *loss;
    struct peer *peer;

    ask(it, &a);
    ask(it, &b);
    ask(it, &late);
    peer = accept_speaker(it, 10);
    await(it, has_two, peer);
    await(it, is_told, &late);
    ck_assert_int_eq(late.err, OK);
    peer_vanish(peer, reset);
    loss = lose(it, &a);
    ck_assert(loss->of_connection && !loss->unprocessed && !loss->reset);
    ck_assert_int_eq(loss->failure, failure);
    loss = lose(it, &b);
    ck_assert(loss->of_connection && !loss->unprocessed);
    loss = lose(it, &late); /* it had opened none yet */
    ck_assert(loss->unprocessed);
    ck_assert_int_eq(loss->failure, failure);
    ck_assert_uint_eq(counted(it, h2_connections), 0);
    ck_assert_uint_eq(counted(it, resets[ENDPOINT_RESET_FAILED]), 0);
    scene_close(it);
}

START_TEST(a_connection_that_is_lost_takes_its_streams_along)
{
    check_loss(false, ENDPOINT_CLOSED);
    check_loss(true, ENDPOINT_RESET);
}
END_TEST

START_TEST(a_connection_lost_before_settings_fails_who_waits)
{
    struct scene *it = scene_open("");
    struct ask a = {0}, b = {0};
    struct peer *peer;

    ask(it, &a);
    ask(it, &b);
    peer = accept_peer(it);
    await(it, is_told, &a);
    peer_vanish(peer, false);
    await(it, is_told, &b);
    ck_assert_int_eq(b.err, ERR_RESET);
    ck_assert(b.lease.dialled);
    ck_assert_ptr_null(b.lease.mux);
    ck_assert(lose(it, &a)->of_connection);
    scene_close(it);
}
END_TEST

static bool has_none_idle(void *it)
{
    return counted((struct scene *)it, idle) == 0;
}

START_TEST(an_idle_connection_that_is_lost_is_not_used_again)
{
    struct scene *it = scene_open("");
    struct ask a = {0}, b = {0};
    struct peer *first, *second;

    ask(it, &a);
    first = accept_speaker(it, 10);
    await(it, has_one, first);
    finish(it, &a, first, 0);
    peer_vanish(first, false);
    await(it, has_none_idle, it);
    ask(it, &b);
    second = accept_speaker(it, 10);
    await(it, has_one, second);
    finish(it, &b, second, 0);
    scene_close(it);
}
END_TEST

static bool is_cancelled(void *peer_)
{
    const struct peer *peer = peer_;

    return peer->n_lost == 1 && peer->lost_code == H2_CANCEL;
}

START_TEST(a_lease_that_ends_early_cancels_its_stream_only)
{
    struct scene *it = scene_open("");
    struct ask a = {0}, b = {0};
    struct peer *peer;

    ask(it, &a);
    ask(it, &b);
    peer = accept_speaker(it, 10);
    await(it, has_two, peer);
    lease_discard(&a.lease);
    ck_assert_uint_eq(counted(it, streams), 1);
    await(it, is_cancelled, peer);
    ck_assert_uint_eq(a.losses, 0); /* who has left is told nothing */
    finish(it, &b, peer, 1);
    ck_assert(!peer->ended);
    scene_close(it);
}
END_TEST

/* -- what time ends ----------------------------------------------------------------- */

START_TEST(a_connection_that_is_used_up_drains)
{
    struct scene *it = scene_open("connections: { requests: 2 }");
    struct ask a = {0}, b = {0}, c = {0};
    struct peer *first, *second;

    ask(it, &a);
    ask(it, &b);
    first = accept_speaker(it, 10);
    await(it, has_two, first);
    ask(it, &c);
    second = accept_speaker(it, 10);
    await(it, has_one, second);
    ck_assert_int_eq(a.lease.mux->state, MUX_DRAINING);
    ck_assert_uint_eq(counted(it, used_up), 1);
    finish(it, &a, first, 0);
    finish(it, &b, first, 1);
    await(it, is_gone, first);
    ck_assert_uint_eq(counted(it, used_up), 1); /* counted once */
    finish(it, &c, second, 0);
    scene_close(it);
}
END_TEST

static bool is_aged(void *ask_)
{
    const struct ask *ask = ask_;

    return pool_age_ms(ask->lease.mux->pooled, loop_now_us(ask->lease.mux->loop)) >= 40;
}

START_TEST(a_connection_that_is_old_drains)
{
    struct scene *it = scene_open("connections: { max_age: 40ms }");
    struct ask a = {0}, b = {0};
    struct peer *first, *second;

    ask(it, &a);
    first = accept_speaker(it, 10);
    await(it, has_one, first);
    await(it, is_aged, &a);
    ck_assert_uint_eq(counted(it, aged), 0); /* it has a stream */
    ask(it, &b);
    ck_assert_uint_eq(counted(it, aged), 1);
    second = accept_speaker(it, 10);
    await(it, has_one, second);
    finish(it, &a, first, 0);
    await(it, is_gone, first);
    lease_discard(&b.lease);
    await(it, is_gone, second);
    ck_assert_uint_eq(counted(it, aged), 2);
    scene_close(it);
}
END_TEST

START_TEST(an_idle_connection_is_closed_after_its_time)
{
    struct scene *it = scene_open("connections: { idle_timeout: 20ms }");
    struct ask a = {0};
    struct peer *peer;

    ask(it, &a);
    peer = accept_speaker(it, 10);
    await(it, has_one, peer);
    ck_assert_uint_eq(counted(it, active), 1);
    finish(it, &a, peer, 0);
    ck_assert_uint_eq(counted(it, active), 0);
    ck_assert_uint_eq(counted(it, idle), 1);
    await(it, is_gone, peer);
    ck_assert_uint_eq(counted(it, idle), 0);
    ck_assert_uint_eq(counted(it, h2_connections), 0);
    ck_assert_uint_eq(counted(it, aged), 0);
    scene_close(it);
}
END_TEST

START_TEST(an_endpoint_that_answers_no_ping_is_given_up)
{
    struct scene *it = scene_open("http2: { keepalive_interval: 20ms, keepalive_timeout: 20ms }");
    struct ask a = {0};
    const struct stream_loss *loss;
    struct peer *peer;

    ask(it, &a);
    peer = accept_peer(it); /* whose SETTINGS are all that it ever says */
    peer_speak(peer, 10);
    it->n_peers = 0;
    loss = lose(it, &a);
    it->n_peers = 1;
    ck_assert(loss->of_connection && !loss->unprocessed);
    ck_assert_int_eq(loss->failure, ENDPOINT_IDLE_TIMEOUT);
    ck_assert_str_eq(loss->detail, "no answer to a PING");
    ck_assert_uint_eq(counted(it, unanswered_pings), 1);
    scene_close(it);
}
END_TEST

struct pings {
    const struct mux *mux;
    unsigned answered;
    bool asked;
};

static bool three_are_answered(void *pings_)
{
    struct pings *pings = pings_;

    if (pings->asked && !pings->mux->pinged)
        pings->answered++;
    pings->asked = pings->mux->pinged;
    return pings->answered == 3;
}

START_TEST(an_endpoint_that_answers_pings_is_kept)
{
    struct scene *it = scene_open("http2: { keepalive_interval: 8ms, keepalive_timeout: 1h }");
    struct ask a = {0};
    struct pings pings = {0};
    struct peer *peer;

    ask(it, &a);
    peer = accept_speaker(it, 10);
    await(it, has_one, peer);
    pings.mux = a.lease.mux;
    await(it, three_are_answered, &pings);
    ck_assert_uint_eq(counted(it, unanswered_pings), 0);
    finish(it, &a, peer, 0);
    ck_assert(!alarm_is_armed(&pings.mux->ping)); /* nobody is on it who could wait in vain */
    ck_assert_uint_eq(counted(it, idle), 1);
    scene_close(it);
}
END_TEST

START_TEST(no_settings_in_time_is_a_dial_that_took_too_long)
{
    struct scene *it = scene_open("");
    struct ask a = {0}, b = {0};
    const struct stream_loss *loss;

    ask(it, &a);
    ask(it, &b);
    (void)accept_peer(it);
    await(it, is_told, &a);
    conn_set_alarm(mux_conn(a.lease.mux), 1); /* what is left of the time to connect */
    loss = lose(it, &a);
    ck_assert_int_eq(loss->failure, ENDPOINT_CONNECT_TIMEOUT);
    ck_assert(loss->of_connection);
    await(it, is_told, &b);
    ck_assert_int_ne(b.err, OK);
    scene_close(it);
}
END_TEST

/* -- what else ends them ------------------------------------------------------------ */

START_TEST(who_wants_no_kept_connection_gets_a_young_one)
{
    struct scene *it = scene_open("");
    struct ask a = {0}, young = {.wants_fresh = true}, fresh = {.wants_fresh = true};
    struct peer *first, *second;

    ask(it, &a);
    first = accept_speaker(it, 10);
    await(it, has_one, first);
    a.lease.mux->pooled->born = pool_ticks(loop_now_us(it->loop));
    ask(it, &young);
    await(it, has_two, first);
    a.lease.mux->pooled->born -= 2000 / ALARM_TICK_MS; /* two seconds later ... */
    ask(it, &fresh);
    second = accept_speaker(it, 10);
    await(it, has_one, second);
    ck_assert_int_eq(a.lease.mux->state, MUX_OPEN); /* the old one is good for others */
    finish(it, &a, first, 0);
    finish(it, &young, first, 1);
    finish(it, &fresh, second, 0);
    scene_close(it);
}
END_TEST

START_TEST(an_endpoint_out_of_rotation_serves_who_has_been_promised)
{
    struct scene *it = scene_open("http2: { max_concurrent_streams: 1 }");
    struct ask a = {0}, b = {0};
    struct peer *first, *second;

    ask(it, &a);
    first = accept_speaker(it, 10);
    await(it, has_one, first);
    ask(it, &b);
    ck_assert(b.lease.dialling);
    endpoint_set_rotation(it->upstream->endpoint[0], false);
    ck_assert_int_eq(a.lease.mux->state, MUX_DRAINING);
    second = accept_speaker(it, 10);
    await(it, has_one, second);
    ck_assert_int_eq(b.lease.mux->state, MUX_DRAINING);
    finish(it, &a, first, 0);
    finish(it, &b, second, 0);
    await(it, is_gone, first);
    await(it, is_gone, second);
    ck_assert_uint_eq(counted(it, idle), 0);
    ck_assert_uint_eq(counted(it, h2_connections), 0);
    scene_close(it);
}
END_TEST

START_TEST(one_connection_at_a_time_gives_way)
{
    struct scene *it = scene_open("http2: { max_concurrent_streams: 1 }");
    struct ask a = {0}, b = {0};
    struct peer *first, *second;

    ask(it, &a);
    first = accept_speaker(it, 10);
    await(it, has_one, first);
    ask(it, &b);
    second = accept_speaker(it, 10);
    await(it, has_one, second);
    ck_assert(!mux_drop_idle(it->upstream->endpoint[0]));
    mux_give_way(it->upstream->endpoint[0]);
    mux_give_way(it->upstream->endpoint[0]);
    ck_assert_int_eq(a.lease.mux->state, MUX_OPEN);
    ck_assert_int_eq(b.lease.mux->state, MUX_DRAINING); /* the one that was made last */
    finish(it, &b, second, 0);
    await(it, is_gone, second);
    finish(it, &a, first, 0);
    ck_assert(!first->ended);
    ck_assert(mux_drop_idle(it->upstream->endpoint[0]));
    await(it, is_gone, first);
    scene_close(it);
}
END_TEST

START_TEST(an_answer_that_came_whole_outlives_its_connection)
{
    struct scene *it = scene_open("");
    struct ask a = {.holds = true}, b = {0};
    struct peer *peer;

    ask(it, &a);
    ask(it, &b);
    peer = accept_speaker(it, 10);
    await(it, has_two, peer);
    peer_answer_at_length(peer, 0, SPAN("whole"));
    await(it, has_head, &a);
    peer_vanish(peer, false);
    ck_assert(lose(it, &b)->of_connection);
    ck_assert_uint_eq(a.body_bytes, 0);
    stream_release(&a.lease);
    await(it, has_ended, &a);
    ck_assert_uint_eq(a.body_bytes, 5);
    lease_return(&a.lease);
    scene_close(it);
}
END_TEST

START_TEST(a_malformed_answer_costs_its_stream_only)
{
    struct scene *it = scene_open("");
    struct ask a = {0}, b = {0};
    const struct stream_loss *loss;
    struct peer *peer;

    ask(it, &a);
    ask(it, &b);
    peer = accept_speaker(it, 10);
    await(it, has_two, peer);
    /* HEADERS with END_STREAM on stream 1: 200, and a field "a b". */
    peer_says(peer, 0, 0, 7, 1, 5, 0, 0, 0, 1, 0x88, 0, 3, 'a', ' ', 'b', 0);
    loss = lose(it, &a);
    ck_assert(!loss->of_connection && !loss->unprocessed && !loss->reset);
    ck_assert_int_eq(loss->failure, ENDPOINT_PROTOCOL);
    ck_assert_uint_eq(counted(it, resets[ENDPOINT_RESET_MALFORMED]), 1);
    finish(it, &b, peer, 1);
    ck_assert_uint_eq(counted(it, idle), 1);
    scene_close(it);
}
END_TEST

START_TEST(a_broken_rule_ends_the_connection)
{
    struct scene *it = scene_open("");
    struct ask a = {0};
    const struct stream_loss *loss;
    struct peer *peer;

    ask(it, &a);
    peer = accept_speaker(it, 10);
    await(it, has_one, peer);
    peer_says(peer, 0, 0, 0, 0, 0, 0, 0, 0, 0); /* DATA on stream 0 */
    it->n_peers = 0;                            /* which would be offended by our GOAWAY */
    loss = lose(it, &a);
    it->n_peers = 1;
    ck_assert(loss->of_connection && !loss->unprocessed);
    ck_assert_int_eq(loss->failure, ENDPOINT_PROTOCOL);
    ck_assert_uint_eq(counted(it, h2_connections), 0);
    scene_close(it);
}
END_TEST

UNIT_MAIN("upstream/mux", who_comes_during_a_dial_waits_for_it,
          before_settings_have_come_one_stream_is_opened,
          a_dial_whose_lease_has_ended_is_the_next_ones, a_dial_in_vain_is_told_to_all_who_wait,
          beyond_our_cap_another_connection_is_made,
          beyond_the_endpoints_cap_another_connection_is_made,
          at_both_caps_a_request_waits_for_a_stream_to_end,
          a_lowered_cap_ends_no_stream_and_lets_none_in, a_raised_cap_lets_in_who_waits,
          an_endpoint_that_wants_no_streams_is_not_dialled_for_more,
          an_endpoint_that_wanted_no_streams_is_asked_again_when_its_connection_has_gone,
          a_goaway_gives_back_what_it_leaves_out, a_goaway_on_an_idle_connection_ends_it,
          a_reset_ends_one_stream_and_says_why, a_connection_that_is_lost_takes_its_streams_along,
          a_connection_lost_before_settings_fails_who_waits,
          an_idle_connection_that_is_lost_is_not_used_again,
          a_lease_that_ends_early_cancels_its_stream_only, a_connection_that_is_used_up_drains,
          a_connection_that_is_old_drains, an_idle_connection_is_closed_after_its_time,
          an_endpoint_that_answers_no_ping_is_given_up, an_endpoint_that_answers_pings_is_kept,
          no_settings_in_time_is_a_dial_that_took_too_long,
          who_wants_no_kept_connection_gets_a_young_one,
          an_endpoint_out_of_rotation_serves_who_has_been_promised,
          one_connection_at_a_time_gives_way, an_answer_that_came_whole_outlives_its_connection,
          a_malformed_answer_costs_its_stream_only, a_broken_rule_ends_the_connection)
