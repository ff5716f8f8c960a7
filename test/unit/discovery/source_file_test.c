#include "discovery/source.h"

#include "core/loop.h"

#include "unit.h"
#include "until.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { INTERVAL_MS = 10, OLD_S = 5 };

struct scene {
    struct loop *loop;
    struct sources *sources;
    struct notes *notes;
    struct source_reader reader;
    char folder[32], path[64], other[64];
    unsigned told;
    long age; /* how much older than the file before the next one is */
};

static void on_found(struct source_reader *reader)
{
    list_entry(reader, struct scene, reader)->told++;
}

/* Replace the file by one that was written long ago: nobody waits for it to be quiet. */
static void write_file(struct scene *it, const char *text)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
                                {.tv_sec = time(NULL) - OLD_S - it->age++}};
    FILE *file = fopen(it->other, "w");

    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(futimens(fileno(file), times), 0);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_int_eq(rename(it->other, it->path), 0);
}

static void scene_open(struct scene *it)
{
    *it = (struct scene){.loop = loop_new(), .notes = notes_new()};
    it->sources = sources_new(it->loop);
    source_reader_init(&it->reader, on_found);
    snprintf(it->folder, sizeof(it->folder), "/tmp/source_file.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(it->folder));
    snprintf(it->path, sizeof(it->path), "%s/m.yaml", it->folder);
    snprintf(it->other, sizeof(it->other), "%s/new", it->folder);
}

static void scene_close(struct scene *it)
{
    source_leave(&it->reader);
    sources_free(&it->sources);
    notes_free(&it->notes);
    loop_free(&it->loop);
    unlink(it->path);
    unlink(it->other);
    rmdir(it->folder);
}

static struct source *get(struct scene *it)
{
    const struct source_conf conf = {
        .file = {.path = span_of(it->path), .interval_ms = INTERVAL_MS}};

    return sources_get(it->sources, &conf, it->notes);
}

static void read_source(struct scene *it)
{
    struct source *source = get(it);

    ck_assert_ptr_nonnull(source);
    source_read(&it->reader, &source);
}

static bool is_told(void *it)
{
    return ((struct scene *)it)->told > 0;
}

static bool is_stale(void *it)
{
    return source_status(((struct scene *)it)->reader.source)->state == SOURCE_STALE;
}

static bool is_fresh(void *it)
{
    return source_status(((struct scene *)it)->reader.source)->state == SOURCE_FRESH;
}

static void expect_first(const struct scene *it, const char *address, size_t n)
{
    const struct found *found = source_found(it->reader.source);

    ck_assert_uint_eq(found->n, n);
    ck_assert(span_equal(found->endpoint[0].address, span_of(address)));
}

START_TEST(a_file_is_known_at_once_and_followed)
{
    struct scene it;

    scene_open(&it);
    write_file(&it, "[ \"10.0.0.1:80\" ]");
    read_source(&it);
    expect_first(&it, "10.0.0.1:80", 1);
    write_file(&it, "- { address: \"10.0.0.2:80\", weight: 3 }\n- 10.0.0.3:80\n");
    loop_until(it.loop, is_told, &it);
    expect_first(&it, "10.0.0.2:80", 2);
    ck_assert_uint_eq(source_found(it.reader.source)->endpoint[0].weight, 3);
    ck_assert(span_starts(source_found(it.reader.source)->version, SPAN("written ")));
    scene_close(&it);
}
END_TEST

START_TEST(a_file_that_never_was_right_is_refused)
{
    static const char *const wrong[] = {"[]", "[ nonsense ]", "{",
                                        "- address: 10.0.0.1:80\n  wait: 1", ""};
    struct scene it;

    scene_open(&it);
    ck_assert_ptr_null(get(&it)); /* not there at all */
    ck_assert_uint_eq(notes_errors(it.notes), 1);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        size_t errors = notes_errors(it.notes);

        write_file(&it, wrong[i]);
        ck_assert_msg(get(&it) == NULL, "%s", wrong[i]);
        ck_assert_uint_gt(notes_errors(it.notes), errors);
    }
    scene_close(&it);
}
END_TEST

START_TEST(an_error_changes_nothing_and_names_its_place)
{
    static const struct {
        const char *text, *why;
    } rows[] = {{"- 10.0.0.9:80\n- { address: 10.0.0.8:80, weigth: 1 }\n", "m.yaml:2:"},
                {"[ \"10.0.0.9:80\", ", "m.yaml:"},
                {"[]", "m.yaml:1:1"}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct scene it;

        scene_open(&it);
        write_file(&it, "[ \"10.0.0.1:80\" ]");
        read_source(&it);
        write_file(&it, rows[i].text);
        loop_until(it.loop, is_stale, &it);
        expect_first(&it, "10.0.0.1:80", 1);
        ck_assert_ptr_nonnull(strstr(source_status(it.reader.source)->why, rows[i].why));
        ck_assert_uint_eq(source_status(it.reader.source)->errors, 1);
        loop_turns(it.loop, 50);
        ck_assert_uint_eq(source_status(it.reader.source)->errors,
                          1); /* read once, not at every look */
        write_file(&it, "[ \"10.0.0.2:80\" ]");
        loop_until(it.loop, is_fresh, &it);
        expect_first(&it, "10.0.0.2:80", 1);
        scene_close(&it);
    }
}
END_TEST

START_TEST(a_file_that_is_gone_takes_nothing_back)
{
    struct scene it;

    scene_open(&it);
    write_file(&it, "[ \"10.0.0.1:80\" ]");
    read_source(&it);
    ck_assert_int_eq(unlink(it.path), 0);
    loop_until(it.loop, is_stale, &it);
    expect_first(&it, "10.0.0.1:80", 1);
    write_file(&it, "[ \"10.0.0.1:80\" ]");
    loop_until(it.loop, is_fresh, &it);
    ck_assert_uint_eq(it.told, 0); /* the same as before: nothing to tell */
    scene_close(&it);
}
END_TEST

/* One that is being written in place is not taken for whole. */
START_TEST(a_file_is_read_when_it_has_been_quiet)
{
    struct scene it;
    FILE *file;

    scene_open(&it);
    write_file(&it, "[ \"10.0.0.1:80\" ]");
    read_source(&it);
    file = fopen(it.path, "w");
    ck_assert_ptr_nonnull(file);
    fputs("[ \"10.0.0.2:80\" ", file);
    fflush(file);
    loop_turns(it.loop, 20);
    ck_assert_uint_eq(source_status(it.reader.source)->errors, 0);
    fputs(", \"10.0.0.3:80\" ]", file);
    fclose(file);
    loop_until(it.loop, is_told, &it);
    ck_assert_uint_eq(source_status(it.reader.source)->errors, 0);
    expect_first(&it, "10.0.0.2:80", 2);
    scene_close(&it);
}
END_TEST

UNIT_MAIN("discovery/source_file", a_file_is_known_at_once_and_followed,
          a_file_that_never_was_right_is_refused, an_error_changes_nothing_and_names_its_place,
          a_file_that_is_gone_takes_nothing_back, a_file_is_read_when_it_has_been_quiet)
