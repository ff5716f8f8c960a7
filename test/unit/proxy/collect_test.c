#include "proxy/collect.h"

#include "base/alloc.h"
#include "http/h2.h"
#include "proxy/worker.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>

enum { WORKERS = 2 };

/* Two workers that only count, and the page they make. */
struct scene {
    struct crew crew;
    struct worker *workers[WORKERS];
    struct loop loops[WORKERS];
    struct tally *tally;
    struct text page;
};

static struct scene *scene_new(void)
{
    struct scene *scene = alloc_new(sizeof(*scene));

    for (unsigned i = 0; i < WORKERS; i++) {
        scene->workers[i] = alloc_new(sizeof(struct worker));
        scene->workers[i]->index = i;
        scene->workers[i]->loop = &scene->loops[i];
        scene->workers[i]->h2 = h2_bench_new();
    }
    scene->crew.worker = scene->workers;
    scene->crew.n_workers = WORKERS;
    scene->tally = tally_new(WORKERS);
    text_init(&scene->page, 1 << 20);
    return scene;
}

static void scene_free(struct scene *scene)
{
    for (unsigned i = 0; i < WORKERS; i++) {
        h2_bench_free(&scene->workers[i]->h2);
        alloc_free(scene->workers[i]);
    }
    tally_free(&scene->tally);
    text_fini(&scene->page);
    alloc_free(scene);
}

static void scene_print(struct scene *scene)
{
    struct traffic_numbers numbers = {&scene->crew, scene->tally};
    struct metrics *metrics = metrics_new();

    text_reset(&scene->page);
    metrics_add(metrics, collect_traffic, &numbers);
    metrics_print(metrics, &scene->page);
    metrics_free(&metrics);
}

/* The page has exactly this line. */
static void check_line(const struct scene *scene, const char *line)
{
    char whole[300];

    snprintf(whole, sizeof(whole), "\n%s\n", line);
    ck_assert_msg(strstr(scene->page.ptr, whole) != NULL, "%s", line);
}

START_TEST(workers_say_their_own_numbers)
{
    struct scene *scene = scene_new();
    struct worker_counters *second = &scene->workers[1]->counters;

    counter_add(&second->connections, 2);
    counter_add(&second->exchanges, 3);
    counter_add(&second->accepted, 4);
    counter_add(&second->handed_off, 5);
    counter_add(&scene->loops[1].turns, 6);
    counter_add(&second->spliced_bodies, 7);
    counter_add(&second->spliced_bytes, 8000);
    counter_add(&scene->loops[1].pipes.used, 9);
    counter_add(&scene->loops[1].pipes.spare, 10);
    counter_add(&scene->loops[1].pipes.bytes, 11);
    counter_add(&scene->loops[1].pipes.missed, 12);
    slab_init(&scene->workers[1]->sessions, 1000, 0);
    slab_init(&scene->workers[1]->chunks, 1000, 0);
    slab_init(&scene->loops[1].blocks, 1000, 0);
    ck_assert_ptr_nonnull(slab_take(&scene->workers[1]->chunks));
    ck_assert_ptr_nonnull(slab_take(&scene->workers[1]->sessions));
    ck_assert_ptr_nonnull(slab_take(&scene->loops[1].blocks));
    scene_print(scene);
    check_line(scene, "sluice_worker_block_bytes{worker=\"0\"} 0");
    check_line(scene, "sluice_worker_block_bytes{worker=\"1\"} 65536");
    check_line(scene, "sluice_worker_slab_bytes{worker=\"1\"} 131072");
    slab_fini(&scene->workers[1]->sessions);
    slab_fini(&scene->workers[1]->chunks);
    slab_fini(&scene->loops[1].blocks);
    check_line(scene, "sluice_workers 2");
    check_line(scene, "sluice_worker_connections{worker=\"0\"} 0");
    check_line(scene, "sluice_worker_connections{worker=\"1\"} 2");
    check_line(scene, "sluice_worker_exchanges_active{worker=\"1\"} 3");
    check_line(scene, "sluice_worker_accepted_total{worker=\"1\"} 4");
    check_line(scene, "sluice_worker_handed_off_total{worker=\"1\"} 5");
    check_line(scene, "sluice_worker_spliced_bodies_total{worker=\"1\"} 7");
    check_line(scene, "sluice_worker_spliced_bytes_total{worker=\"1\"} 8000");
    check_line(scene, "sluice_worker_pipes_used{worker=\"0\"} 0");
    check_line(scene, "sluice_worker_pipes_used{worker=\"1\"} 9");
    check_line(scene, "sluice_worker_pipes_spare{worker=\"1\"} 10");
    check_line(scene, "sluice_worker_pipe_bytes{worker=\"1\"} 11");
    check_line(scene, "sluice_worker_pipes_missed_total{worker=\"1\"} 12");
    check_line(scene, "sluice_worker_loop_turns_total{worker=\"1\"} 6");
    scene_free(scene);
}
END_TEST

START_TEST(every_reason_is_said_and_none_else)
{
    struct scene *scene = scene_new();
    const char *at;
    int n = 0;

    counter_add(&scene->workers[0]->counters.ends[REASON_NOT_FOUND], 1);
    counter_add(&scene->workers[1]->counters.ends[REASON_NOT_FOUND], 2);
    counter_add(&scene->workers[1]->counters.ends[REASON_NONE], 1000);
    scene_print(scene);
    check_line(scene, "sluice_request_ends_total{reason=\"not_found\"} 3");
    check_line(scene, "sluice_request_ends_total{reason=\"internal\"} 0");
    for (at = scene->page.ptr; (at = strstr(at, "\nsluice_request_ends_total{")); at++)
        n++;
    ck_assert_int_eq(n, REASON_COUNT - 1);
    ck_assert_ptr_null(strstr(scene->page.ptr, " 1000\n"));
    scene_free(scene);
}
END_TEST

START_TEST(listeners_are_sums_over_the_workers)
{
    struct scene *scene = scene_new();
    const struct tally_block *block =
        tally_get(scene->tally, PORT_TALLY, SPAN("edge"), sizeof(struct port_counters));

    for (unsigned i = 0; i < WORKERS; i++) {
        struct port_counters *counters = tally_slot(block, i);

        counter_add(&counters->open, 1 + i);
        counter_add(&counters->accepted, 10 + i);
        counter_add(&counters->refused_limit, 20 + i);
        counter_add(&counters->refused_descriptors, 30 + i);
    }
    scene_print(scene);
    check_line(scene, "sluice_downstream_connections{listener=\"edge\"} 3");
    check_line(scene, "sluice_downstream_connections_total{listener=\"edge\"} 21");
    check_line(scene, "sluice_downstream_refused_total{listener=\"edge\",cause=\"limit\"} 41");
    check_line(scene,
               "sluice_downstream_refused_total{listener=\"edge\",cause=\"descriptors\"} 61");
    scene_free(scene);
}
END_TEST

START_TEST(routes_have_classes_bytes_and_durations)
{
    struct scene *scene = scene_new();
    const struct tally_block *block =
        tally_get(scene->tally, ROUTE_TALLY, SPAN("all"), sizeof(struct route_counters));

    for (unsigned i = 0; i < WORKERS; i++) {
        struct route_counters *counters = tally_slot(block, i);

        for (unsigned class = 0; class < STATUS_CLASSES; class ++)
            counter_add(&counters->requests[class], 10 * class + i);
        counter_add(&counters->request_bytes, 500 + i);
        counter_add(&counters->response_bytes, 600 + i);
        histogram_add(&counters->duration, 100);
    }
    scene_print(scene);
    check_line(scene, "sluice_requests_total{route=\"all\",class=\"none\"} 1");
    check_line(scene, "sluice_requests_total{route=\"all\",class=\"1xx\"} 21");
    check_line(scene, "sluice_requests_total{route=\"all\",class=\"2xx\"} 41");
    check_line(scene, "sluice_requests_total{route=\"all\",class=\"5xx\"} 101");
    check_line(scene, "sluice_request_body_bytes_total{route=\"all\"} 1001");
    check_line(scene, "sluice_response_body_bytes_total{route=\"all\"} 1201");
    check_line(scene, "sluice_request_duration_seconds_bucket{route=\"all\",le=\"0.000064\"} 0");
    check_line(scene, "sluice_request_duration_seconds_bucket{route=\"all\",le=\"+Inf\"} 2");
    check_line(scene, "sluice_request_duration_seconds_count{route=\"all\"} 2");
    scene_free(scene);
}
END_TEST

START_TEST(dropped_lines_are_told_when_there_is_a_writer)
{
    struct scene *scene = scene_new();

    scene_print(scene);
    ck_assert_ptr_null(strstr(scene->page.ptr, "sluice_log_dropped_total"));
    scene->crew.writer = writer_new();
    ck_assert_ptr_nonnull(scene->crew.writer);
    scene_print(scene);
    check_line(scene, "sluice_log_dropped_total{log=\"access\"} 0");
    check_line(scene, "sluice_log_dropped_total{log=\"main\"} 0");
    writer_free(&scene->crew.writer);
    scene_free(scene);
}
END_TEST

UNIT_MAIN("proxy/collect", workers_say_their_own_numbers, every_reason_is_said_and_none_else,
          listeners_are_sums_over_the_workers, routes_have_classes_bytes_and_durations,
          dropped_lines_are_told_when_there_is_a_writer)
