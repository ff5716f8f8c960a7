#include "chain/plugin.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

static const struct sluice_option no_options[] = {{.kind = SLUICE_OPTION_END}};
static const struct sluice_plugin good = {SLUICE_PLUGIN_HEAD, .name = "good", .version = "1.2.3",
                                          .summary = "Good."};

/* Of a descriptor of minor version 0. */
#define SIZE_0 offsetof(struct sluice_plugin, on_drain)

/* What is said of a descriptor; empty: it is fine, and about is its content. */
static const char *said(const struct sluice_plugin *exported, struct sluice_plugin *about)
{
    static char words[512];
    struct text why;
    enum err err;

    text_init(&why, sizeof(words));
    err = plugin_check(exported, SPAN("good"), about, &why);
    ck_assert_int_eq(err == OK, why.len == 0);
    snprintf(words, sizeof(words), "%s", why.len ? why.ptr : "");
    text_fini(&why);
    return words;
}

static void assert_refused(const struct sluice_plugin *exported, const char *words)
{
    struct sluice_plugin about;

    ck_assert_msg(strstr(said(exported, &about), words) != NULL, "'%s' is not in '%s'", words,
                  said(exported, &about));
}

START_TEST(a_descriptor_of_this_abi_is_taken_over)
{
    struct sluice_plugin about;

    ck_assert_str_eq(said(&good, &about), "");
    ck_assert_str_eq(about.name, "good");
    ck_assert_str_eq(about.version, "1.2.3");
    ck_assert_ptr_null(about.on_request_head);
}
END_TEST

START_TEST(what_is_not_said_of_it_is_empty)
{
    struct sluice_plugin plugin = good, about;

    plugin.version = plugin.summary = NULL;
    ck_assert_str_eq(said(&plugin, &about), "");
    ck_assert_str_eq(about.version, "");
    ck_assert_str_eq(about.summary, "");
}
END_TEST

START_TEST(what_a_later_minor_version_appends_is_not_looked_at)
{
    struct {
        struct sluice_plugin plugin;
        void *more[4];
    } later = {.plugin = good, .more = {(void *)1, (void *)2, (void *)3, (void *)4}};
    struct sluice_plugin about;

    later.plugin.size = sizeof(later);
    later.plugin.abi_minor = 7;
    ck_assert_str_eq(said(&later.plugin, &about), "");
    ck_assert_uint_eq(about.abi_minor, 7);
}
END_TEST

static enum sluice_verdict on_drain(const struct sluice_call *call)
{
    (void)call;
    return SLUICE_NEXT;
}

START_TEST(what_an_earlier_minor_version_does_not_have_is_not_read)
{
    struct sluice_plugin plugin = good, about;

    plugin.size = SIZE_0;
    plugin.abi_minor = 0;
    plugin.on_drain = on_drain; /* beyond its size: whatever lies there */
    ck_assert_str_eq(said(&plugin, &about), "");
    ck_assert_ptr_null(about.on_drain);
    plugin.size = sizeof(plugin);
    ck_assert_str_eq(said(&plugin, &about), "");
    ck_assert(about.on_drain == on_drain);
}
END_TEST

START_TEST(another_abi_is_refused_and_both_sides_are_named)
{
    struct sluice_plugin plugin = good;

    plugin.abi = 2;
    assert_refused(&plugin, "built for plugin ABI 2, this gateway speaks ABI 1");
    plugin.abi = 0;
    assert_refused(&plugin, "built for plugin ABI 0, this gateway speaks ABI 1");
}
END_TEST

START_TEST(sizes_that_are_too_small_are_refused_with_the_least)
{
    struct sluice_plugin plugin = good;
    char least[64];

    plugin.size = 0;
    assert_refused(&plugin, "it exports no descriptor of a plugin (its size says 0)");
    plugin.size = SIZE_0 - 1;
    snprintf(least, sizeof(least), "has %zu bytes, ABI 1.0 has at least %zu", SIZE_0 - 1, SIZE_0);
    assert_refused(&plugin, least);
    plugin = good;
    plugin.options = no_options;
    plugin.conf_size = 8;
    plugin.option_size = sizeof(struct sluice_option) - 8;
    snprintf(least, sizeof(least), "its options have %zu bytes each, ABI 1.0 has at least %zu",
             sizeof(struct sluice_option) - 8, sizeof(struct sluice_option));
    assert_refused(&plugin, least);
    plugin.options = NULL; /* then nobody reads them */
    ck_assert_str_eq(said(&plugin, &(struct sluice_plugin){0}), "");
}
END_TEST

START_TEST(names_and_rooms_must_fit)
{
    struct sluice_plugin plugin = good;

    plugin.name = "bad";
    assert_refused(&plugin, "it calls itself 'bad', the file is called 'good'");
    plugin.name = NULL;
    assert_refused(&plugin, "it calls itself '', the file is called 'good'");
    plugin = good;
    plugin.options = no_options;
    assert_refused(&plugin, "it has options, and conf_size 0 to keep them in");
}
END_TEST

UNIT_MAIN("chain/plugin", a_descriptor_of_this_abi_is_taken_over, what_is_not_said_of_it_is_empty,
          what_a_later_minor_version_appends_is_not_looked_at,
          what_an_earlier_minor_version_does_not_have_is_not_read,
          another_abi_is_refused_and_both_sides_are_named,
          sizes_that_are_too_small_are_refused_with_the_least, names_and_rooms_must_fit)
