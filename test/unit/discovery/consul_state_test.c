/* Rule 18: what is kept on disk. */
#include "discovery/consul_state.h"

#include "base/now.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static char folder[] = "/tmp/consul-state-XXXXXX";

static struct found *example(void)
{
    struct sluice_span tags[] = {SPAN("prod"), SPAN("a \"quoted\" one")};
    struct found_pair meta[] = {{SPAN("version"), SPAN("2\n")}};
    struct found *found = found_new();
    struct found_endpoint endpoint = {.address = SPAN("10.0.0.1:80"),
                                      .host = SPAN("web.example"),
                                      .id = SPAN("n1/web-1"),
                                      .zone = SPAN("eu-1"),
                                      .weight = 7,
                                      .priority = 1,
                                      .state = FOUND_DRAINING,
                                      .tags = tags,
                                      .n_tags = 2,
                                      .meta = meta,
                                      .n_meta = 1};

    ck_assert_ptr_nonnull(found_add_copy(found, &endpoint));
    endpoint.address = SPAN("[fd00::1]:80");
    endpoint.state = FOUND_WARNING;
    endpoint.weight = 0;
    ck_assert_ptr_nonnull(found_add_copy(found, &endpoint));
    return found;
}

static void in_folder(char path[CONSUL_STATE_PATH], const char *name)
{
    ck_assert_ptr_nonnull(mkdtemp(folder));
    consul_state_path(folder, span_of(name), SPAN("key"), path);
}

START_TEST(what_is_written_is_read_again)
{
    char path[CONSUL_STATE_PATH], why[CONSUL_STATE_WHY];
    struct found *found = example(), *again;
    uint64_t now = now_wall_us();

    in_folder(path, "web");
    ck_assert_int_eq(consul_state_write(path, found, why), OK);
    ck_assert_int_eq(consul_state_read(path, &again, why), OK);
    ck_assert_uint_eq(again->n, 2);
    ck_assert_uint_eq(found_hash(again), found_hash(found));
    ck_assert_uint_lt(now - again->as_of_wall_us + 5000000, 10000000);
    unlink(path);
    ck_assert_int_eq(rmdir(folder), 0); /* nothing else is left behind */
    found_unref(&again);
    found_unref(&found);
}
END_TEST

START_TEST(its_age_is_when_it_was_last_true)
{
    char path[CONSUL_STATE_PATH], why[CONSUL_STATE_WHY];
    const struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    struct found *found = example(), *again;

    in_folder(path, "web");
    ck_assert_int_eq(consul_state_write(path, found, why), OK);
    ck_assert_int_eq(utimensat(AT_FDCWD, path, old, 0), 0);
    ck_assert_int_eq(consul_state_read(path, &again, why), OK);
    ck_assert_uint_eq(again->as_of_wall_us, 1000000000);
    found_unref(&again);
    consul_state_touch(path);
    ck_assert_int_eq(consul_state_read(path, &again, why), OK);
    ck_assert_uint_gt(again->as_of_wall_us, 1000000000);
    found_unref(&again);
    unlink(path);
    rmdir(folder);
    found_unref(&found);
}
END_TEST

START_TEST(every_changed_byte_is_noticed)
{
    struct found *found = example(), *again;
    struct text bytes;

    text_init(&bytes, 65536);
    consul_state_format(found, &bytes);
    ck_assert_int_eq(consul_state_parse(text_span(&bytes), &again), OK);
    found_unref(&again);
    for (size_t i = 0; i < bytes.len; i++) {
        bytes.ptr[i] ^= 1;
        ck_assert_int_eq(consul_state_parse(text_span(&bytes), &again), ERR_PROTOCOL);
        ck_assert_ptr_null(again);
        bytes.ptr[i] ^= 1;
    }
    for (size_t i = 0; i < bytes.len; i++)
        ck_assert_int_eq(consul_state_parse(span_make(bytes.ptr, i), &again), ERR_PROTOCOL);
    text_fini(&bytes);
    found_unref(&found);
}
END_TEST

START_TEST(an_empty_set_is_a_set)
{
    struct found *found = found_new(), *again;
    struct text bytes;

    text_init(&bytes, 65536);
    consul_state_format(found, &bytes);
    ck_assert_int_eq(consul_state_parse(text_span(&bytes), &again), OK);
    ck_assert_uint_eq(again->n, 0);
    found_unref(&again);
    found_unref(&found);
    text_fini(&bytes);
}
END_TEST

START_TEST(none_or_a_folder_that_is_not_there_is_told)
{
    char why[CONSUL_STATE_WHY] = "";
    struct found *found = example(), *again;

    ck_assert_int_eq(consul_state_read("/nonexistent/x.state", &again, why), ERR_MISSING);
    ck_assert_int_eq(consul_state_write("/nonexistent/x.state", found, why), ERR_SYSTEM);
    ck_assert_str_eq(why, "No such file or directory");
    found_unref(&found);
}
END_TEST

START_TEST(a_name_stays_within_its_folder)
{
    char path[CONSUL_STATE_PATH], other[CONSUL_STATE_PATH];

    consul_state_path("/var/lib/x", SPAN("../../etc/passwd"), SPAN("a"), path);
    ck_assert_int_eq(strncmp(path, "/var/lib/x/______etc_passwd-", 28), 0);
    consul_state_path("/var/lib/x", SPAN("../../etc/passwd"), SPAN("b"), other);
    ck_assert_str_ne(path, other);
}
END_TEST

UNIT_MAIN("discovery/consul_state", what_is_written_is_read_again, its_age_is_when_it_was_last_true,
          every_changed_byte_is_noticed, an_empty_set_is_a_set,
          none_or_a_folder_that_is_not_there_is_told, a_name_stays_within_its_folder)
