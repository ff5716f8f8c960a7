#include "net/redis.h"

#include "base/alloc.h"
#include "base/rng.h"
#include "core/alarm.h"
#include "core/loop.h"
#include "net/addr.h"
#include "net/redis_conf.h"

#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* -- a Redis that answers by a script ---------------------------------------------- */

/*
 * Takes connections one after the other. For each line of the script: wait until that many
 * commands have come (lists are counted), then send the bytes; "" closes the connection.
 */
struct scene {
    unsigned commands;
    const char *answer; /* NULL: the end of the script */
};

struct stage {
    const struct scene *scene;
    int listener;
    uint16_t port;
    pthread_t thread;
};

static void read_commands(int fd, unsigned n)
{
    char c;

    while (n > 0 && read(fd, &c, 1) == 1)
        n -= c == '*';
}

static void *play(void *stage_)
{
    struct stage *stage = stage_;
    int fd = accept(stage->listener, NULL, NULL);

    for (const struct scene *scene = stage->scene; scene->answer; scene++) {
        read_commands(fd, scene->commands);
        if (*scene->answer) {
            ck_assert_int_gt(write(fd, scene->answer, strlen(scene->answer)), 0);
        } else {
            close(fd);
            fd = accept(stage->listener, NULL, NULL);
        }
    }
    read_commands(fd, 1000); /* until the client has gone */
    close(fd);
    return NULL;
}

static void stage_open(struct stage *stage, const struct scene *scene)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);

    stage->scene = scene;
    stage->listener = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(stage->listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
    ck_assert_int_eq(listen(stage->listener, 10), 0);
    ck_assert_int_eq(getsockname(stage->listener, (struct sockaddr *)&addr, &len), 0);
    stage->port = ntohs(addr.sin_port);
    if (scene)
        ck_assert_int_eq(pthread_create(&stage->thread, NULL, play, stage), 0);
}

static void stage_close(struct stage *stage)
{
    if (stage->scene)
        ck_assert_int_eq(pthread_join(stage->thread, NULL), 0);
    close(stage->listener);
}

/* -- a client ------------------------------------------------------------------------ */

enum { REPLIES = 16 };

struct desk {
    struct stage stage;
    struct loop *loop;
    struct rng rng;
    struct redis_counters counters;
    struct redis *redis;
    struct notes *notes;
    struct alarm limit;
    struct soon last;
    unsigned n, stop_at;
    uint32_t kind[REPLIES];
    char text[REPLIES][200];
};

static void on_limit(struct alarm *alarm)
{
    (void)alarm;
    ck_abort_msg("no answers in time");
}

static void on_reply(void *desk_, const struct sluice_redis_reply *reply)
{
    struct desk *desk = desk_;

    ck_assert_uint_lt(desk->n, REPLIES);
    desk->kind[desk->n] = reply->kind;
    snprintf(desk->text[desk->n], 200, "%.*s", (int)reply->text.len,
             reply->text.ptr ? reply->text.ptr : "");
    if (++desk->n == desk->stop_at)
        loop_stop(desk->loop);
}

static struct redis_conf conf_of(const struct stage *stage, char address[32])
{
    snprintf(address, 32, "127.0.0.1:%u", stage->port);
    return (struct redis_conf){.address = span_of(address),
                               .connect_ms = 5000,
                               .answer_ms = 5000,
                               .connections = 1,
                               .pipeline = 100,
                               .queue = 10};
}

static void use(struct desk *desk, const struct redis_conf *conf)
{
    struct redis_peer *peer = redis_peer_new(conf, desk->notes);

    ck_assert_ptr_nonnull(peer);
    redis_set_peer(desk->redis, peer);
    redis_peer_unref(&peer);
}

static void desk_open(struct desk *desk, const struct scene *scene)
{
    memset(desk, 0, sizeof(*desk));
    stage_open(&desk->stage, scene);
    desk->notes = notes_new();
    desk->loop = loop_new();
    rng_init(&desk->rng);
    desk->redis = redis_new(desk->loop, &desk->rng, &desk->counters);
    alarm_init(&desk->limit, on_limit);
    alarm_arm(desk->loop, &desk->limit, 20000);
}

static void stop(struct soon *soon)
{
    loop_stop(list_entry(soon, struct desk, last)->loop);
}

static void desk_close(struct desk *desk)
{
    alarm_disarm(&desk->limit);
    redis_free(&desk->redis);
    ck_assert_ptr_null(desk->redis);
    redis_free(&desk->redis);
    soon_init(&desk->last, stop);
    loop_soon(desk->loop, &desk->last);
    loop_run(desk->loop); /* connections go at the end of a turn */
    stage_close(&desk->stage);
    ck_assert_uint_eq(counter_get(&desk->counters.waiting), 0);
    loop_free(&desk->loop);
    notes_free(&desk->notes);
}

static struct redis_call *ask(struct desk *desk, const char *command, uint64_t timeout_ms)
{
    struct sluice_span argv[] = {span_of(command)};

    return redis_send(desk->redis, argv, 1, timeout_ms, on_reply, desk);
}

static void wait_for(struct desk *desk, unsigned n)
{
    desk->stop_at = n;
    if (desk->n < n)
        loop_run(desk->loop);
}

START_TEST(commands_share_a_connection_and_keep_their_order)
{
    static const struct scene scene[] = {{3, "+one\r\n-ERR two\r\n"}, {0, "$5\r\nthree\r\n"}, {0}};
    struct desk desk;
    char address[32];
    struct redis_conf conf;

    desk_open(&desk, scene);
    conf = conf_of(&desk.stage, address);
    use(&desk, &conf);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_ptr_nonnull(ask(&desk, "PING", 5000));
    wait_for(&desk, 3);
    ck_assert_str_eq(desk.text[0], "one");
    ck_assert_uint_eq(desk.kind[1], SLUICE_REDIS_ERROR);
    ck_assert_str_eq(desk.text[2], "three");
    ck_assert_uint_eq(counter_get(&desk.counters.connects), 1);
    ck_assert_uint_eq(counter_get(&desk.counters.answers), 3);
    ck_assert_uint_eq(counter_get(&desk.counters.errors), 1);
    ck_assert_uint_eq(counter_get(&desk.counters.in_flight), 0);
    desk_close(&desk);
}
END_TEST

START_TEST(without_a_peer_nothing_is_sent)
{
    struct desk desk;

    desk_open(&desk, NULL);
    ck_assert(!redis_has_peer(desk.redis));
    ck_assert_ptr_null(ask(&desk, "PING", 5000));
    desk_close(&desk);
}
END_TEST

START_TEST(a_connection_begins_with_who_we_are)
{
    static const struct scene scene[] = {{2, "+OK\r\n"}, {0, "+OK\r\n"}, {1, "+PONG\r\n"}, {0}};
    struct desk desk;
    char address[32];
    struct redis_conf conf;

    desk_open(&desk, scene);
    conf = conf_of(&desk.stage, address);
    conf.password = SPAN("secret");
    conf.database = 3;
    use(&desk, &conf);
    ask(&desk, "PING", 5000);
    wait_for(&desk, 1);
    ck_assert_str_eq(desk.text[0], "PONG");
    desk_close(&desk);
}
END_TEST

START_TEST(a_refused_password_is_told)
{
    static const struct scene scene[] = {{1, "-WRONGPASS no\r\n"}, {0}};
    struct desk desk;
    char address[32];
    struct redis_conf conf;

    desk_open(&desk, scene);
    conf = conf_of(&desk.stage, address);
    conf.password = SPAN("secret");
    use(&desk, &conf);
    ask(&desk, "PING", 5000);
    wait_for(&desk, 1);
    ck_assert_uint_eq(desk.kind[0], SLUICE_REDIS_UNREACHABLE);
    ck_assert_str_eq(desk.text[0], "WRONGPASS no");
    ck_assert_uint_eq(counter_get(&desk.counters.connect_failures), 1);
    ask(&desk, "PING", 5000);
    wait_for(&desk, 2);
    ck_assert_uint_eq(desk.kind[1], SLUICE_REDIS_UNREACHABLE);
    ck_assert_uint_eq(counter_get(&desk.counters.connect_failures), 1);
    desk_close(&desk);
}
END_TEST

START_TEST(an_answer_that_comes_late_belongs_to_nobody)
{
    static const struct scene scene[] = {{2, "+late\r\n+second\r\n"}, {0}};
    struct desk desk;
    char address[32];
    struct redis_conf conf;

    desk_open(&desk, scene);
    conf = conf_of(&desk.stage, address);
    use(&desk, &conf);
    ask(&desk, "PING", 20);
    wait_for(&desk, 1);
    ck_assert_uint_eq(desk.kind[0], SLUICE_REDIS_TIMEOUT);
    ask(&desk, "PING", 5000);
    wait_for(&desk, 2);
    ck_assert_str_eq(desk.text[1], "second");
    ck_assert_uint_eq(counter_get(&desk.counters.timeouts), 1);
    ck_assert_uint_eq(counter_get(&desk.counters.answers), 1);
    desk_close(&desk);
}
END_TEST

START_TEST(what_is_cancelled_is_not_told)
{
    static const struct scene scene[] = {{2, "+first\r\n+second\r\n"}, {0}};
    struct desk desk;
    char address[32];
    struct redis_conf conf;
    struct redis_call *call, *waiting;

    desk_open(&desk, scene);
    conf = conf_of(&desk.stage, address);
    use(&desk, &conf);
    waiting = ask(&desk, "NEVER", 5000);
    redis_cancel(&waiting); /* before it was sent */
    ck_assert_ptr_null(waiting);
    redis_cancel(&waiting);
    ask(&desk, "PING", 20); /* sent, when it ends */
    wait_for(&desk, 1);
    call = ask(&desk, "PING", 5000);
    ck_assert_ptr_nonnull(call);
    wait_for(&desk, 2);
    ck_assert_str_eq(desk.text[1], "second");
    desk_close(&desk);
}
END_TEST

START_TEST(a_broken_connection_fails_what_was_sent_and_comes_back)
{
    static const struct scene scene[] = {{1, "+one\r\n"}, {2, ""}, {1, "+again\r\n"}, {0}};
    struct desk desk;
    char address[32];
    struct redis_conf conf;

    desk_open(&desk, scene);
    conf = conf_of(&desk.stage, address);
    use(&desk, &conf);
    ask(&desk, "PING", 5000);
    wait_for(&desk, 1);
    ask(&desk, "PING", 5000);
    ask(&desk, "PING", 5000);
    wait_for(&desk, 3);
    ck_assert_uint_eq(desk.kind[1], SLUICE_REDIS_UNREACHABLE);
    ck_assert_uint_eq(desk.kind[2], SLUICE_REDIS_UNREACHABLE);
    ck_assert_str_ne(desk.text[1], "");
    ck_assert_uint_eq(counter_get(&desk.counters.breaks), 1);
    /* Down for its time: told at once. */
    ask(&desk, "PING", 5000);
    wait_for(&desk, 4);
    ck_assert_uint_eq(desk.kind[3], SLUICE_REDIS_UNREACHABLE);
    while (strcmp(desk.text[0], "again") != 0) {
        desk.n = 0;
        ask(&desk, "PING", 5000);
        wait_for(&desk, 1);
    }
    ck_assert_uint_eq(counter_get(&desk.counters.connects), 2);
    desk_close(&desk);
}
END_TEST

START_TEST(the_queue_is_bounded)
{
    static const struct scene scene[] = {{10, ""}, {0}};
    struct desk desk;
    char address[32];
    struct redis_conf conf;

    desk_open(&desk, scene);
    conf = conf_of(&desk.stage, address);
    use(&desk, &conf);
    for (unsigned i = 0; i < 10; i++)
        ck_assert_ptr_nonnull(ask(&desk, "PING", 5000));
    ck_assert_ptr_null(ask(&desk, "PING", 5000));
    ck_assert_uint_eq(counter_get(&desk.counters.refused), 1);
    ck_assert_uint_eq(counter_get(&desk.counters.waiting), 10);
    wait_for(&desk, 10);
    /* The script waits for one more connection. */
    while (counter_get(&desk.counters.connects) == 1) {
        desk.n = 0;
        ask(&desk, "PING", 50);
        wait_for(&desk, 1);
    }
    desk_close(&desk);
}
END_TEST

START_TEST(nonsense_ends_the_connection)
{
    static const struct scene scene[] = {{1, "HTTP/1.1 400 Bad Request\r\n\r\n"}, {0}};
    struct desk desk;
    char address[32];
    struct redis_conf conf;

    desk_open(&desk, scene);
    conf = conf_of(&desk.stage, address);
    use(&desk, &conf);
    ask(&desk, "PING", 5000);
    wait_for(&desk, 1);
    ck_assert_uint_eq(desk.kind[0], SLUICE_REDIS_UNREACHABLE);
    ck_assert_str_eq(desk.text[0], "what answers is not Redis");
    desk_close(&desk);
}
END_TEST

START_TEST(another_peer_takes_over_without_losing_an_answer)
{
    static const struct scene old_scene[] = {{2, "+old\r\n"}, {0}};
    static const struct scene new_scene[] = {{1, "+new\r\n"}, {0}};
    struct stage other;
    struct desk desk;
    char address[32], other_address[32];
    struct redis_conf conf;

    desk_open(&desk, old_scene);
    conf = conf_of(&desk.stage, address);
    use(&desk, &conf);
    use(&desk, &conf); /* the same again: nothing happens */
    ask(&desk, "PING", 10);
    wait_for(&desk, 1); /* sent for sure, and its time is over */
    ask(&desk, "PING", 10);
    wait_for(&desk, 2);
    stage_open(&other, new_scene);
    conf = conf_of(&other, other_address);
    use(&desk, &conf);
    ask(&desk, "PING", 5000);
    wait_for(&desk, 3);
    ck_assert_str_eq(desk.text[2], "new");
    redis_set_peer(desk.redis, NULL);
    ck_assert(!redis_has_peer(desk.redis));
    desk_close(&desk);
    stage_close(&other);
}
END_TEST

UNIT_MAIN("net/redis", commands_share_a_connection_and_keep_their_order,
          without_a_peer_nothing_is_sent, a_connection_begins_with_who_we_are,
          a_refused_password_is_told, an_answer_that_comes_late_belongs_to_nobody,
          what_is_cancelled_is_not_told, a_broken_connection_fails_what_was_sent_and_comes_back,
          the_queue_is_bounded, nonsense_ends_the_connection,
          another_peer_takes_over_without_losing_an_answer)
