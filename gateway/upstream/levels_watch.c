#include "upstream/levels_watch.h"

#include "base/log.h"

#include <string.h>

static size_t find_levels(const struct levels_watch *watch, struct level level[LEVELS_MAX])
{
    const struct members *members = watch->members;
    size_t n_levels = 0;

    for (size_t i = 0; i < members->n + members->n_failing; i++) {
        const struct member *member = &members->member[i];
        struct level *its = levels_find(level, &n_levels, member->facts->priority);

        its->n++;
        its->n_well += i < members->n && share_state(member->share) == 0;
    }
    levels_share(&watch->rule, level, n_levels);
    return n_levels;
}

static bool was_in_panic(const struct levels_watch *watch, uint32_t priority)
{
    for (size_t i = 0; i < watch->n_levels; i++) {
        if (watch->level[i].priority == priority)
            return watch->level[i].panic;
    }
    return false;
}

static void look(struct soon *soon)
{
    struct levels_watch *watch = list_entry(soon, struct levels_watch, soon);
    struct level level[LEVELS_MAX];
    size_t n_levels = find_levels(watch, level);

    for (size_t i = 0; i < n_levels; i++) {
        bool before = was_in_panic(watch, level[i].priority);

        if (level[i].panic && !before) {
            log_warn("upstream in panic: all endpoints are asked",
                     F_SPAN("upstream", watch->members->upstream),
                     F_UINT("priority", level[i].priority), F_UINT("well", level[i].n_well),
                     F_UINT("endpoints", level[i].n));
        } else if (!level[i].panic && before) {
            log_info("upstream out of panic", F_SPAN("upstream", watch->members->upstream),
                     F_UINT("priority", level[i].priority), F_UINT("well", level[i].n_well),
                     F_UINT("endpoints", level[i].n));
        }
    }
    memcpy(watch->level, level, n_levels * sizeof(*level));
    watch->n_levels = n_levels;
}

/* Many states may change in one turn of the loop; they are looked at once. */
static void on_state(void *watch_)
{
    struct levels_watch *watch = watch_;

    loop_soon(watch->loop, &watch->soon);
}

void levels_watch_init(struct levels_watch *watch, struct loop *loop)
{
    watch->loop = loop;
    watch->members = NULL;
    watch->n_levels = 0;
    soon_init(&watch->soon, look);
}

void levels_watch_set(struct levels_watch *watch, const struct levels_rule *rule,
                      const struct members *members)
{
    watch->rule = *rule;
    watch->members = members;
    share_group_on_state(members->group, on_state, watch);
    on_state(watch);
}

void levels_watch_fini(struct levels_watch *watch)
{
    if (watch->members)
        share_group_on_state(watch->members->group, NULL, NULL);
    soon_cancel(&watch->soon);
}

static void say(const struct levels_watch *watch, struct page *page, bool shares)
{
    for (size_t i = 0; i < watch->n_levels; i++) {
        const struct level *level = &watch->level[i];
        struct label labels[] = {{"upstream", watch->members->upstream}, {.name = "priority"}};
        char number[16];
        struct text text;

        text_init_fixed(&text, number, sizeof(number));
        text_add_number(&text, level->priority);
        labels[1].value = text_span(&text);
        page_sample(page, labels, 2,
                    shares ? (double)level->share / LEVELS_WHOLE : (double)level->panic);
    }
}

void levels_watch_say_shares(const struct levels_watch *watch, struct page *page)
{
    say(watch, page, true);
}

void levels_watch_say_panic(const struct levels_watch *watch, struct page *page)
{
    say(watch, page, false);
}
