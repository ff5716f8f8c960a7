/*
 * collect_members.c - members by state, and what their sources know, as of now.
 */
#include "base/now.h"
#include "upstream/collect.h"
#include "upstream/roster.h"

static const double US_PER_S = 1e6;

/* Call say for every upstream, as the samples of one family. */
static void say_family(const struct roster *roster, struct page *page, const char *family,
                       enum page_type type, const char *help,
                       void (*say)(struct page *page, const struct roster_row *row))
{
    struct roster_row row;
    size_t at = 0;

    page_family(page, family, type, help);
    while (roster_each(roster, &at, &row)) {
        say(page, &row);
    }
}

static void say_members(struct page *page, const struct roster_row *row)
{
    const struct members *members = row->members;
    const struct {
        const char *state;
        size_t n;
    } counts[] = {{"in_rotation", members->n},
                  {"failing", members->n_failing},
                  {"draining", members->n_draining}};

    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        const struct label labels[] = {{"upstream", row->upstream},
                                       {"state", span_of(counts[i].state)}};

        page_count(page, labels, 2, counts[i].n);
    }
}

/* Labels of what is said of a source. */
static void label_source(struct label labels[2], const struct roster_row *row)
{
    labels[0] = (struct label){"upstream", row->upstream};
    labels[1] = (struct label){"source", span_of(row->source->kind->name)};
}

static void say_fresh(struct page *page, const struct roster_row *row)
{
    struct label labels[2];

    label_source(labels, row);
    page_count(page, labels, 2, source_status(row->source)->state == SOURCE_FRESH);
}

/* A list of the configuration has no age. */
static void say_age(struct page *page, const struct roster_row *row)
{
    uint64_t as_of_us = source_status(row->source)->as_of_wall_us;
    uint64_t wall_us = now_wall_us();
    struct label labels[2];

    if (as_of_us == 0 || !source_ages(row->source))
        return;
    label_source(labels, row);
    page_sample(page, labels, 2, wall_us > as_of_us ? (double)(wall_us - as_of_us) / US_PER_S : 0);
}

static void say_updates(struct page *page, const struct roster_row *row)
{
    struct label labels[2];

    label_source(labels, row);
    page_count(page, labels, 2, source_status(row->source)->updates);
}

static void say_errors(struct page *page, const struct roster_row *row)
{
    struct label labels[2];

    label_source(labels, row);
    page_count(page, labels, 2, source_status(row->source)->errors);
}

void collect_members(void *arg, struct page *page)
{
    const struct roster *roster = arg;

    say_family(roster, page, "sluice_upstream_members", PAGE_GAUGE,
               "Endpoints of an upstream by what its source says of them.", say_members);
    say_family(roster, page, "sluice_discovery_fresh", PAGE_GAUGE,
               "1: what the source of an upstream knows is as new as it can be.", say_fresh);
    say_family(roster, page, "sluice_discovery_age_seconds", PAGE_GAUGE,
               "Since what the source knows was last confirmed.", say_age);
    say_family(roster, page, "sluice_discovery_updates_total", PAGE_COUNTER,
               "Sets of endpoints that differed from the one before.", say_updates);
    say_family(roster, page, "sluice_discovery_errors_total", PAGE_COUNTER,
               "Tries to find out that failed; what was known stayed.", say_errors);
}
