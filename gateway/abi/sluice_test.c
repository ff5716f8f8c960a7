/* sluice_test.c - the fake gateway's life: options bound, conf started, workers started, ended. */
#include "sluice_test_private.h"

#include <ctype.h>
#include <dlfcn.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FAKE_DRAIN_MS = 20 };

enum { BEGIN_US = 1000000000 };
static const uint64_t begin_wall_us = 1700000000000000U;

_Noreturn void fake_misuse(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("sluice_test: the test is wrong: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    abort();
}

void fake_violation(struct sluice_test *test, const char *format, ...)
{
    va_list args;
    char line[512];

    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (test->collects) {
        fake_format(&test->violations, "%s\n", line);
        return;
    }
    fprintf(stderr, "sluice_test: %s: %s\n", test->plugin->name ? test->plugin->name : "?", line);
    abort();
}

bool fake_fails(struct sluice_test *test)
{
    if (test->fail_at == 0 || ++test->fallible != test->fail_at)
        return false;
    test->has_failed = true;
    return true;
}

/* -- conf and its memory -------------------------------------------------------- */

static uint64_t conf_sum(const struct sluice_test *test)
{
    const unsigned char *byte = test->conf;
    uint64_t sum = 14695981039346656037U;

    for (size_t i = 0; i < test->plugin->conf_size; i++)
        sum = (sum ^ byte[i]) * 1099511628211U;
    return sum;
}

static bool has_errors(const struct sluice_test *test)
{
    return test->n_errors != 0;
}

static void bind_conf(struct sluice_test *test)
{
    test->errors.len = test->warnings.len = 0;
    test->n_errors = 0;
    test->conf = fake_block_add(&test->conf_memory, test->plugin->conf_size + 1U);
    memset(test->conf, 0, test->plugin->conf_size);
    if (test->given_conf) {
        memcpy(test->conf, test->given_conf, test->plugin->conf_size);
    } else {
        fake_bind(test, test->options, test->conf);
    }
}

static void end_conf(struct sluice_test *test)
{
    if (!test->conf)
        return;
    if (test->plugin->conf_fini)
        test->plugin->conf_fini(&test->host, test->conf);
    test->conf = NULL;
    fake_block_end(&test->conf_memory, &test->quarantine, 0);
}

/* conf_check runs only for options that could be bound, as in the gateway. */
static bool check_conf(struct sluice_test *test)
{
    bind_conf(test);
    if (has_errors(test)) {
        test->conf = NULL;
        fake_block_end(&test->conf_memory, &test->quarantine, 0);
        return false;
    }
    test->stage = FAKE_CHECKING;
    if (test->plugin->conf_check)
        test->plugin->conf_check(&test->host, &test->setup, test->conf);
    test->stage = FAKE_IDLE;
    return !has_errors(test);
}

static bool start_conf(struct sluice_test *test)
{
    bool started = true;

    test->stage = FAKE_STARTING;
    if (test->plugin->conf_start)
        started = test->plugin->conf_start(&test->host, &test->setup, test->conf);
    test->stage = FAKE_IDLE;
    if (!started && !has_errors(test))
        fake_violation(test, "conf_start() answered false and reported no error");
    return started && !has_errors(test);
}

/* -- workers --------------------------------------------------------------------- */

static void start_workers(struct sluice_test *test)
{
    test->conf_sum = conf_sum(test);
    test->stage = FAKE_SERVING;
    for (uint32_t i = 0; i < test->n_workers; i++) {
        test->worker[i] = fake_alloc(test->plugin->worker_size + 1U);
        test->serves[i] = true;
        if (!test->plugin->worker_start)
            continue;
        fake_call_begin(test, NULL, i);
        test->serves[i] = test->plugin->worker_start(&test->call->call);
        fake_call_end(test);
    }
    test->is_started = true;
}

static void stop_workers(struct sluice_test *test)
{
    if (!test->is_started)
        return;
    for (struct sluice_exchange *ex = test->exchange; ex; ex = ex->next) {
        if (!ex->done)
            sluice_test_done(ex, false);
    }
    fake_jobs_drop(test, NULL, true);
    fake_doors_shut(test);
    for (uint32_t i = 0; i < test->n_workers; i++) {
        if (test->plugin->worker_stop) {
            fake_call_begin(test, NULL, i);
            test->plugin->worker_stop(&test->call->call);
            fake_call_end(test);
        }
        fake_jobs_drop(test, NULL, true);
        fake_drop(test->worker[i]);
        test->worker[i] = NULL;
    }
    test->is_started = false;
    test->stage = FAKE_IDLE;
}

/* -- life ------------------------------------------------------------------------- */

static bool is_plugin_name(const char *name)
{
    size_t n = name ? strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") : 0;

    return n > 0 && n <= 64 && name[n] == '\0';
}

static void check_descriptor(struct sluice_test *test)
{
    const struct sluice_plugin *plugin = test->plugin;
    struct fake_text why = {0};

    if (!is_plugin_name(plugin->name))
        fake_violation(test, "name is not of [a-z0-9_]+");
    if (!plugin->version || !*plugin->version)
        fake_violation(test, "version is missing");
    if (!plugin->summary || !*plugin->summary)
        fake_violation(test, "summary is missing");
    fake_table_check(plugin, &why);
    for (char *line = why.len ? why.ptr : NULL; line && *line;) {
        char *end = strchr(line, '\n');

        *end = '\0';
        fake_violation(test, "options: %s", line);
        line = end + 1;
    }
    fake_text_fini(&why);
}

static struct sluice_test *new_test(const struct sluice_plugin *plugin, bool collects)
{
    struct sluice_test *test = fake_alloc(sizeof(*test));

    if (plugin->abi != SLUICE_ABI || plugin->size < offsetof(struct sluice_plugin, conf_check) ||
        plugin->option_size != sizeof(struct sluice_option))
        fake_misuse("the descriptor is of another ABI; begin it with SLUICE_PLUGIN_HEAD");
    memcpy(&test->about, plugin,
           plugin->size < sizeof(test->about) ? plugin->size : sizeof(test->about));
    test->plugin = &test->about;
    test->collects = collects;
    test->setup.test = test;
    test->n_workers = 1;
    test->wait_ms = 2000;
    test->now_us = BEGIN_US;
    test->wall_us = begin_wall_us;
    test->random = 88172645463325252U;
    atomic_flag_clear(&test->mail_lock);
    test->mail_end = &test->mail;
    fake_host_init(test);
    check_descriptor(test);
    return test;
}

struct sluice_test *sluice_test_new(const struct sluice_plugin *plugin)
{
    return new_test(plugin, false);
}

struct sluice_test *sluice_test_collecting(const struct sluice_plugin *plugin)
{
    return new_test(plugin, true);
}

struct sluice_test *sluice_test_started(const struct sluice_plugin *plugin, ...)
{
    struct sluice_test *test = sluice_test_new(plugin);
    va_list args;
    const char *row;

    va_start(args, plugin);
    for (row = va_arg(args, const char *); row; row = va_arg(args, const char *))
        sluice_test_set(test, row);
    va_end(args);
    if (!sluice_test_start(test))
        fake_misuse("the options are refused:\n%s", sluice_test_errors(test));
    return test;
}

static void free_lists(struct sluice_test *test)
{
    while (test->exchange) {
        struct sluice_exchange *ex = test->exchange;

        test->exchange = ex->next;
        fake_exchange_free(&ex);
    }
    for (uint32_t i = 0; i < test->n_attributes; i++)
        fake_drop(test->attribute[i]);
    fake_drop(test->attribute);
    fake_later_fini(test);
    fake_told_fini(test);
}

void sluice_test_free(struct sluice_test **test_)
{
    struct sluice_test *test = *test_;

    if (!test)
        return;
    *test_ = NULL;
    stop_workers(test);
    end_conf(test);
    for (struct sluice_door *door = test->door; door; door = door->next) {
        if (door->is_open)
            fake_violation(test, "a door of worker %u was never closed", door->worker);
    }
    if (test->violations.len) {
        fprintf(stderr, "sluice_test: %s:\n%s", test->plugin->name, test->violations.ptr);
        abort();
    }
    free_lists(test);
    fake_node_free(&test->options);
    fake_block_free(&test->conf_memory, 0);
    fake_block_free(&test->lent, 0);
    fake_block_free(&test->quarantine, 0);
    fake_text_fini(&test->errors);
    fake_text_fini(&test->warnings);
    fake_text_fini(&test->violations);
    fake_text_fini(&test->shown_violations);
    fake_text_fini(&test->log);
    fake_text_fini(&test->report);
    fake_drop(test);
}

const struct sluice_plugin *sluice_test_load(const char *path, char *why, size_t room)
{
    const struct sluice_plugin *plugin;
    char here[PATH_MAX];
    void *file;

    if (!strchr(path, '/')) { /* a file of this folder, not one of the system's libraries */
        snprintf(here, sizeof(here), "./%s", path);
        path = here;
    }
    file = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    plugin = file ? dlsym(file, "sluice_plugin") : NULL;
    if (!plugin) {
        snprintf(why, room, "%s", dlerror());
        if (file)
            dlclose(file);
        return NULL;
    }
    if (plugin->abi != SLUICE_ABI) {
        snprintf(why, room, "built for plugin ABI %u, this is %u", plugin->abi, SLUICE_ABI);
        dlclose(file);
        return NULL;
    }
    /* cppcheck-suppress resourceLeak ; it stays loaded */
    return plugin;
}

/* -- settings ----------------------------------------------------------------------- */

void sluice_test_set(struct sluice_test *test, const char *row)
{
    if (!fake_row(&test->options, row))
        fake_misuse("not \"name=value\" with a value of flow YAML: %s", row);
}

void sluice_test_unset(struct sluice_test *test)
{
    fake_node_free(&test->options);
}

void sluice_test_conf(struct sluice_test *test, const void *conf)
{
    test->given_conf = conf;
}

void sluice_test_workers(struct sluice_test *test, uint32_t n)
{
    if (n == 0 || n > FAKE_WORKERS || test->is_started)
        fake_misuse("1 to %d workers, before the start", FAKE_WORKERS);
    test->n_workers = n;
}

void sluice_test_wait_limit(struct sluice_test *test, uint32_t ms)
{
    test->wait_ms = ms;
}

void sluice_test_open_on_error(struct sluice_test *test, bool open)
{
    test->fails_open = open;
}

void sluice_test_seed(struct sluice_test *test, uint64_t seed)
{
    test->random = seed ? seed : 1;
}

void sluice_test_on_worker(struct sluice_test *test, uint32_t worker)
{
    if (worker >= test->n_workers)
        fake_misuse("there is no worker %u", worker);
    test->on_worker = worker;
}

bool sluice_test_check(struct sluice_test *test)
{
    bool fine;

    if (test->is_started)
        fake_misuse("check before the start");
    fine = check_conf(test);
    end_conf(test);
    return fine;
}

bool sluice_test_start(struct sluice_test *test)
{
    if (test->is_started)
        fake_misuse("it is started already; see sluice_test_reload()");
    if (!check_conf(test) || !start_conf(test)) {
        end_conf(test);
        return false;
    }
    start_workers(test);
    return true;
}

static bool drain_once(struct sluice_test *test)
{
    bool all = true;

    for (uint32_t i = 0; i < test->n_workers; i++) {
        enum sluice_verdict verdict;

        if (!test->serves[i])
            continue;
        fake_call_begin(test, NULL, i);
        verdict = test->plugin->on_drain(&test->call->call);
        fake_call_end(test);
        if (verdict != SLUICE_NEXT && verdict != SLUICE_WAIT)
            fake_violation(test, "on_drain answers SLUICE_NEXT or SLUICE_WAIT");
        all = all && verdict != SLUICE_WAIT;
    }
    return all;
}

bool sluice_test_drain(struct sluice_test *test, uint64_t flush_ms)
{
    /* One that was built for minor version 0 ends before this member. */
    if (test->plugin->size <= offsetof(struct sluice_plugin, on_drain) || !test->plugin->on_drain)
        return true;
    for (uint64_t passed = 0; !drain_once(test); passed += FAKE_DRAIN_MS) {
        if (passed >= flush_ms)
            return false;
        sluice_test_advance(test, FAKE_DRAIN_MS);
    }
    return true;
}

/*
 * The old configuration goes on until the new one has been accepted, and ends after the new one
 * has begun to serve: what a plugin hands over through shared state sees that order too.
 */
bool sluice_test_reload(struct sluice_test *test)
{
    void *old = test->conf, *conf;
    struct fake_blocks old_memory = test->conf_memory, memory;
    bool fine;

    if (!test->is_started)
        fake_misuse("reload after the start");
    test->conf_memory = (struct fake_blocks){0};
    test->conf = NULL;
    fine = check_conf(test) && start_conf(test);
    if (!fine)
        end_conf(test);
    conf = test->conf;
    memory = test->conf_memory;
    test->conf = old;
    test->conf_memory = old_memory;
    test->stage = FAKE_SERVING;
    if (!fine)
        return false;
    stop_workers(test);
    end_conf(test);
    test->conf = conf;
    test->conf_memory = memory;
    start_workers(test);
    return true;
}

const char *sluice_test_errors(const struct sluice_test *test)
{
    return test->errors.len ? test->errors.ptr : "";
}

const char *sluice_test_warnings(const struct sluice_test *test)
{
    return test->warnings.len ? test->warnings.ptr : "";
}

bool sluice_test_serves(const struct sluice_test *test, uint32_t worker)
{
    return test->is_started && worker < test->n_workers && test->serves[worker];
}

void sluice_test_fail_nth(struct sluice_test *test, uint64_t n)
{
    test->fail_at = n;
    test->fallible = 0;
    test->has_failed = false;
}

bool sluice_test_has_failed(const struct sluice_test *test)
{
    return test->has_failed;
}

void sluice_test_collect(struct sluice_test *test)
{
    test->collects = true;
}

const char *sluice_test_violations(struct sluice_test *test)
{
    struct fake_text shown = test->shown_violations;

    test->shown_violations = test->violations;
    test->violations = shown;
    test->violations.len = 0;
    return test->shown_violations.len ? test->shown_violations.ptr : "";
}

/* -- calls ---------------------------------------------------------------------------- */

enum { MAGIC = 0x51ca11ed };

void fake_call_begin(struct sluice_test *test, struct sluice_exchange *ex, uint32_t worker)
{
    struct fake_call *made = fake_alloc(sizeof(*made));

    made->magic = MAGIC;
    made->test = test;
    made->outer = test->call;
    made->call.host = &test->host;
    made->call.exchange = ex;
    made->call.place = (struct sluice_place *)(void *)test;
    made->call.conf = test->conf;
    made->call.worker = test->worker[worker];
    made->call.ctx = ex ? ex->ctx : NULL;
    test->call = made;
}

void fake_call_end(struct sluice_test *test)
{
    struct fake_call *made = test->call;

    test->call = made->outer;
    if (made->own)
        memset(made->own, 0xdb, sizeof(*made->own));
    fake_drop(made->own);
    memset(made, 0xdb, sizeof(*made));
    fake_drop(made);
    if (!test->call)
        fake_block_end(&test->lent, &test->quarantine, 0);
    if (conf_sum(test) != test->conf_sum) {
        test->conf_sum = conf_sum(test);
        fake_violation(test, "conf was written to; it is read-only once workers serve");
    }
}

struct sluice_test *fake_enter(const struct sluice_call *call, const char *service)
{
    const struct fake_call *made =
        (const struct fake_call *)(const void *)((const char *)call -
                                                 offsetof(struct fake_call, call));

    if (made->magic != MAGIC)
        fake_misuse("%s() with a call that has ended", service);
    if ((made->is_own ? made->outer : made) != made->test->call)
        fake_violation(made->test, "%s() with the call of another callback", service);
    return made->test;
}

struct sluice_exchange *fake_exchange(const struct sluice_call *call, const char *service)
{
    struct sluice_test *test = fake_enter(call, service);

    if (!call->exchange)
        fake_violation(test, "%s() where there is no exchange", service);
    return call->exchange;
}
