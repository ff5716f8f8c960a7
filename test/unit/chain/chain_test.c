/*
 * Which entries of which lists serve what, and in which order: chain rule 2. The plugins are those
 * of test/plugins/so, beside this binary.
 */
#include "chain/chain.h"

#include "base/text.h"
#include "chain/entry.h"
#include "chain/plugin.h"
#include "chain/set.h"
#include "config/tree.h"
#include "observe/tally.h"
#include "unit.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

/* Lists as they are written at each level; NULL: none. */
struct written {
    const char *top, *listener, *route, *upstream;
};

static struct arena arena;
static struct notes *notes;
static struct tally *tally;
static struct chain_home *home;
static struct chain_set *set;

/* OUT/test/unit/chain/chain_test is this; OUT/test/so has the plugins. */
static struct sluice_span folder(void)
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

    ck_assert_int_gt(n, 0);
    path[n] = '\0';
    for (unsigned i = 0; i < 3; i++)
        *strrchr(path, '/') = '\0';
    return arena_format(&arena, "%s/so", path);
}

static const struct tree *parse(const char *list)
{
    struct tree *tree = NULL;

    if (list)
        ck_assert_int_eq(tree_parse(span_of(list), "test.yaml", &arena, notes, &tree), OK);
    return tree;
}

static void make(const struct written *written)
{
    static const unsigned target = 0;
    const struct sluice_span dir = folder();
    const struct chain_spot listener = {.name = SPAN("edge"), .plugins = parse(written->listener)};
    const struct chain_spot route = {
        .name = SPAN("all"), .plugins = parse(written->route), .targets = &target, .n_targets = 1};
    const struct chain_spot upstream = {.name = SPAN("app"), .plugins = parse(written->upstream)};
    const struct chain_wanted wanted = {.home = home,
                                        .arena = &arena,
                                        .notes = notes,
                                        .dirs = &dir,
                                        .n_dirs = 1,
                                        .plugins = parse(written->top),
                                        .listeners = &listener,
                                        .n_listeners = 1,
                                        .routes = &route,
                                        .n_routes = 1,
                                        .upstreams = &upstream,
                                        .n_upstreams = 1,
                                        .check_only = true};

    set = chain_set_new(&wanted);
}

static void begin(const struct written *written)
{
    arena_init(&arena, NULL, 0);
    notes = notes_new();
    tally = tally_new(1);
    home = home_new(tally, 0);
    make(written);
}

static void end(void)
{
    chain_set_free(&set);
    home_free(&home);
    tally_free(&tally);
    notes_free(&notes);
    arena_fini(&arena);
}

/* "where/name ..." of a chain, in the order of requests; "none" when there is none. */
static void assert_chain(const struct chain *chain, const char *wanted)
{
    char bytes[1024];
    struct text text;

    text_init_fixed(&text, bytes, sizeof(bytes));
    for (unsigned i = 0; chain && i < chain->n; i++) {
        const struct chain_entry *entry = chain->entry[i];

        text_format(&text, "%s%.*s", i ? " " : "", (int)entry->id.len, entry->id.ptr);
    }
    ck_assert_str_eq(chain ? bytes : "none", wanted);
}

static void assert_front(const char *wanted)
{
    ck_assert_uint_eq(notes_errors(notes), 0);
    assert_chain(chain_front(set, 0, 0), wanted);
}

/* What was said is this, among others. */
static void assert_told(const char *message)
{
    struct text text;

    text_init(&text, 1 << 16);
    notes_print(notes, &text);
    ck_assert_msg(text.ptr && strstr(text.ptr, message), "'%s' is not in: %s", message,
                  text.ptr ? text.ptr : "");
    text_fini(&text);
}

START_TEST(lists_follow_one_another_from_the_outside_in)
{
    begin(&(struct written){.top = "[ { probe: a, name: a }, { probe: b, name: b } ]",
                            .listener = "[ { probe: c, name: c } ]",
                            .route = "[ { probe: d, name: d } ]",
                            .upstream = "[ { probe: e, name: e }, editor ]"});
    assert_front("a b listener.edge.c route.all.d");
    assert_chain(chain_back(set, 0), "upstream.app.e upstream.app.editor");
    end();
}
END_TEST

START_TEST(a_request_that_no_route_takes_passes_the_outer_lists)
{
    begin(&(struct written){.top = "[ probe ]", .listener = "[ editor ]", .route = "[ router ]"});
    assert_chain(chain_front(set, 0, 1), "probe listener.edge.editor");
    end();
}
END_TEST

START_TEST(an_entry_takes_the_place_where_it_stands_itself)
{
    begin(&(struct written){.top = "[ probe, editor ]",
                            .listener = "[ router ]",
                            .route = "[ { name: x, probe: x }, editor, probe ]"});
    /* Not in the place of the one further out: a route decides its own order. */
    assert_front("listener.edge.router route.all.x route.all.editor route.all.probe");
    assert_chain(chain_front(set, 0, 1), "probe editor listener.edge.router");
    end();
}
END_TEST

START_TEST(the_innermost_of_three_wins)
{
    begin(&(struct written){
        .top = "[ probe, editor ]", .listener = "[ probe ]", .route = "[ probe ]"});
    assert_front("editor route.all.probe");
    assert_chain(chain_front(set, 0, 1), "editor listener.edge.probe");
    end();
}
END_TEST

START_TEST(names_tell_entries_of_one_plugin_apart)
{
    begin(
        &(struct written){.top = "[ { probe: a, name: first } ]",
                          .route = "[ { probe: b, name: second }, { editor: {}, name: first } ]"});
    assert_front("route.all.second route.all.first"); /* whatever plugin bears the name */
    end();
}
END_TEST

START_TEST(what_is_disabled_takes_away_those_further_out)
{
    begin(&(struct written){.top = "[ probe, editor ]",
                            .listener = "[ { probe: {}, disabled: true } ]",
                            .route = "[ { editor: {}, disabled: true }, router ]"});
    assert_front("route.all.router");
    assert_chain(chain_front(set, 0, 1), "editor");
    end();
}
END_TEST

START_TEST(what_was_taken_away_may_come_back_further_in)
{
    begin(&(struct written){
        .top = "[ probe ]", .listener = "[ { probe: {}, disabled: true } ]", .route = "[ probe ]"});
    assert_front("route.all.probe");
    assert_chain(chain_front(set, 0, 1), "none");
    end();
}
END_TEST

START_TEST(entries_of_an_upstream_replace_none)
{
    begin(&(struct written){.top = "[ probe ]", .upstream = "[ probe ]"});
    assert_front("probe");
    assert_chain(chain_back(set, 0), "upstream.app.probe");
    end();
}
END_TEST

START_TEST(an_upstream_alone_makes_its_routes_begin_a_chain)
{
    begin(&(struct written){.upstream = "[ probe ]"});
    assert_front(""); /* empty, and there: its plugins join later */
    assert_chain(chain_front(set, 0, 1), "none");
    end();
}
END_TEST

START_TEST(members_of_any_of_stay_together_under_one_name)
{
    begin(&(struct written){.top = "[ { any_of: [ probe, editor ], name: auth }, router ]",
                            .listener = "[ { any_of: [ editor, probe ], name: auth } ]"});
    assert_front("router listener.edge.auth.editor listener.edge.auth.probe");
    ck_assert_uint_eq(chain_front(set, 0, 0)->entry[1]->group,
                      chain_front(set, 0, 0)->entry[2]->group);
    end();
}
END_TEST

START_TEST(a_chain_knows_the_phases_of_its_entries)
{
    begin(&(struct written){.top = "[ router ]", .route = "[ editor ]"});
    assert_front("router route.all.editor");
    ck_assert(chain_front(set, 0, 0)->phases & 1u << SLUICE_PHASE_REQUEST_BODY);
    ck_assert(!(chain_front(set, 0, 1)->phases & 1u << SLUICE_PHASE_REQUEST_BODY));
    end();
}
END_TEST

START_TEST(a_name_that_nothing_has_is_told_with_the_nearest)
{
    begin(&(struct written){.top = "[ editr, nothing_like_it ]"});
    ck_assert_uint_eq(notes_errors(notes), 2);
    assert_told("did you mean 'editor'? name one of the plugins that are installed");
    assert_told("plugin 'nothing_like_it': there is no nothing_like_it.so in ");
    end();
}
END_TEST

START_TEST(two_of_one_name_in_one_list_are_refused)
{
    begin(&(struct written){.route = "[ probe, editor, probe ]"});
    ck_assert_uint_eq(notes_errors(notes), 1);
    assert_told("two plugins of this list are called 'probe'");
    end();
}
END_TEST

UNIT_MAIN("chain/chain", lists_follow_one_another_from_the_outside_in,
          a_request_that_no_route_takes_passes_the_outer_lists,
          an_entry_takes_the_place_where_it_stands_itself, the_innermost_of_three_wins,
          names_tell_entries_of_one_plugin_apart, what_is_disabled_takes_away_those_further_out,
          what_was_taken_away_may_come_back_further_in, entries_of_an_upstream_replace_none,
          an_upstream_alone_makes_its_routes_begin_a_chain,
          members_of_any_of_stay_together_under_one_name, a_chain_knows_the_phases_of_its_entries,
          two_of_one_name_in_one_list_are_refused, a_name_that_nothing_has_is_told_with_the_nearest)
