/*
 * source_file.c - a list of endpoints in a file that others write, YAML or JSON.
 *
 * The file is looked at now and then (a stat: it works on every kind of file system and follows
 * links that are switched). A change is read when the file has been quiet for a moment, so that
 * one that is being written in place is not taken for whole. A file with an error in it changes
 * nothing, and neither does an empty list.
 */
#include "base/alloc.h"
#include "base/now.h"
#include "config/input.h"
#include "core/alarm.h"
#include "discovery/kinds.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum {
    FILE_MAX = 4 * 1024 * 1024,
    QUIET_MS = 100,   /* without a change before it is read ... */
    QUIET_LOOKS = 10, /* ... looked for so often at most */
    WHY_MAX = 512,
};

struct file_source {
    struct source source;
    char *path; /* owned */
    uint64_t interval_ms;
    struct alarm look;
    struct stat seen;   /* of what was last read, good or bad */
    unsigned n_unquiet; /* looks at a change that was too young */
    bool good;          /* what was last read */
};

static bool is_wanted(const struct source_conf *conf)
{
    return conf->file.path.len > 0;
}

static void say_key(const struct source_conf *conf, struct text *key)
{
    text_format(key, "%s %llu", conf->file.path.ptr, (unsigned long long)conf->file.interval_ms);
}

static void say_title(const struct source_conf *conf, struct text *title)
{
    text_format(title, "file %s", conf->file.path.ptr);
}

/* -- reading ------------------------------------------------------------ */

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec &&
           a->st_size == b->st_size && a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

static struct found *parse(const struct file_source *file, struct sluice_span bytes,
                           struct notes *notes)
{
    size_t errors = notes_errors(notes);
    struct found *found = NULL;
    struct items list = {NULL, 0};
    struct tree *tree = NULL;
    struct arena arena;
    struct bind bind = {.arena = &arena, .notes = notes};

    arena_init(&arena, NULL, 0);
    if (tree_parse(bytes, file->path, &arena, notes, &tree) == OK &&
        shape_bind(&bind, &endpoint_list_shape, tree, &list) == OK &&
        notes_errors(notes) == errors) {
        const struct endpoint_conf *endpoint = list.first;

        found = found_new();
        for (size_t i = 0; i < list.n; i++) {
            endpoint_conf_add(&endpoint[i], found);
        }
    }
    arena_fini(&arena);
    return found;
}

/* NULL: notes has it. */
static struct found *read_file(const struct file_source *file, struct notes *notes)
{
    char why[INPUT_WHY], when[NOW_TEXT];
    struct found *found = NULL;
    struct text bytes;

    text_init(&bytes, FILE_MAX);
    if (input_read(file->path, &bytes, NULL, why)) {
        notes_error(notes, (struct mark){0}, NULL, "endpoints in %s: %s", file->path, why);
    } else {
        found = parse(file, text_span(&bytes), notes);
    }
    text_fini(&bytes);
    if (found) {
        now_format((uint64_t)file->seen.st_mtim.tv_sec * 1000000u +
                       (uint64_t)file->seen.st_mtim.tv_nsec / 1000u,
                   when);
        found_say_version(found, "written %s", when);
    }
    return found;
}

static void take_first(void *why_, const struct notes_entry *entry)
{
    struct text *why = why_;

    if (entry->warning || why->len > 0)
        return;
    if (entry->line > 0) {
        text_format(why, "%.*s:%u:%u: ", (int)entry->file.len, entry->file.ptr, entry->line,
                    entry->column);
    }
    text_add(why, span_of(entry->message));
}

/* It has changed: take over what it says, or say what is wrong with it. */
static void take_over(struct file_source *file)
{
    struct notes *notes = notes_new();
    struct found *found = read_file(file, notes);
    char bytes[WHY_MAX];
    struct text why;

    file->good = found != NULL;
    if (found) {
        source_publish(&file->source, &found);
    } else {
        text_init_fixed(&why, bytes, sizeof(bytes));
        notes_each(notes, take_first, &why);
        if (notes_errors(notes) > 1)
            text_format(&why, " (and %zu more)", notes_errors(notes) - 1);
        source_fail(&file->source, "%s", bytes);
    }
    notes_free(&notes);
}

/* -- looking ------------------------------------------------------------ */

static bool is_quiet(const struct stat *about)
{
    uint64_t written_us =
        (uint64_t)about->st_mtim.tv_sec * 1000000u + (uint64_t)about->st_mtim.tv_nsec / 1000u;
    uint64_t wall_us = now_wall_us();

    return written_us > wall_us || wall_us - written_us >= QUIET_MS * UINT64_C(1000);
}

static void on_look(struct alarm *alarm)
{
    struct file_source *file = list_entry(alarm, struct file_source, look);
    uint64_t next_ms = file->interval_ms;
    struct stat about;

    if (stat(file->path, &about) < 0) {
        source_fail(&file->source, "%s: %s", file->path, strerror(errno));
        file->good = false;
        memset(&file->seen, 0, sizeof(file->seen));
    } else if (is_same(&about, &file->seen)) {
        if (file->good)
            source_confirm(&file->source);
    } else if (!is_quiet(&about) && file->n_unquiet++ < QUIET_LOOKS) {
        next_ms = QUIET_MS;
    } else {
        file->n_unquiet = 0;
        file->seen = about;
        take_over(file);
    }
    alarm_arm(file->source.sources->loop, &file->look, next_ms);
}

/* -- life --------------------------------------------------------------- */

static void file_close(struct source **source)
{
    struct file_source *file = list_entry(*source, struct file_source, source);

    alarm_disarm(&file->look);
    source_fini(&file->source);
    alloc_free(file->path);
    alloc_free(file);
    *source = NULL;
}

static struct source *open(struct sources *sources, const struct source_conf *conf,
                           struct notes *notes)
{
    struct file_source *file = alloc_new(sizeof(*file));
    struct source *source = &file->source;
    struct found *found;

    source_init(source, &source_file, sources, conf);
    file->path = alloc_text(conf->file.path.ptr, conf->file.path.len);
    file->interval_ms = conf->file.interval_ms;
    alarm_init(&file->look, on_look);
    if (stat(file->path, &file->seen) < 0)
        memset(&file->seen, 0, sizeof(file->seen)); /* reading it says why */
    found = read_file(file, notes);
    if (!found) {
        file_close(&source);
        return NULL;
    }
    file->good = true;
    source_publish(source, &found);
    alarm_arm(sources->loop, &file->look, file->interval_ms);
    return source;
}

const struct source_kind source_file = {
    .name = "file",
    .is_wanted = is_wanted,
    .say_key = say_key,
    .say_title = say_title,
    .open = open,
    .close = file_close,
};
