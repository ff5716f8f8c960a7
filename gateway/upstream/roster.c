#include "upstream/roster.h"

#include "base/alloc.h"
#include "base/check.h"
#include "base/log.h"
#include "base/map.h"
#include "core/loop.h"

enum { NAMED_MAX = 8 /* endpoints that the log line of a change names, of each kind */ };

/* One upstream, as it is or as a draft wants it. */
struct seat {
    struct source_reader reader;
    struct roster *roster; /* borrowed */
    char *name;            /* owned */
    int balance;
    struct arena arena;      /* owned: what subset is made of */
    struct subset subset;    /* whom to take of what is found; not set: all */
    struct members *members; /* shared */
};

struct roster {
    struct sources *sources; /* borrowed */
    struct shares *shares;   /* borrowed */
    struct map *seats;       /* owned, of owned struct seat, in the configuration's order */
    struct {
        roster_fn *fn;
        void *arg; /* borrowed */
    } listener[ROSTER_LISTENERS];
    unsigned n_listeners;
    uint64_t serial; /* of the newest set */
    bool drafting;
};

struct roster_draft {
    struct roster *roster; /* borrowed */
    struct map *seats;     /* owned, of owned struct seat */
};

/* -- what has changed --------------------------------------------------- */

/* Of one kind: how many, and the first of them by name. */
struct changed {
    size_t n;
    struct text names;
    char bytes[512];
};

struct changes {
    struct changed added, removed, altered;
};

static void changed_init(struct changed *changed)
{
    changed->n = 0;
    text_init_fixed(&changed->names, changed->bytes, sizeof(changed->bytes));
}

static void count(struct changed *changed, const struct member *member)
{
    if (changed->n < NAMED_MAX) {
        text_add(&changed->names, changed->n ? SPAN(" ") : SPAN(""));
        text_add(&changed->names, member->text);
    } else if (changed->n == NAMED_MAX) {
        text_add(&changed->names, SPAN(" ..."));
    }
    changed->n++;
}

static void compare(const struct members *before, const struct members *after,
                    struct changes *changes)
{
    size_t n_before = before ? members_count(before) : 0;
    size_t n_kept = 0;

    changed_init(&changes->added);
    changed_init(&changes->removed);
    changed_init(&changes->altered);
    for (size_t i = 0; i < members_count(after); i++) {
        const struct member *member = &after->member[i];

        if (!before || member->was == MEMBER_NONE) {
            count(&changes->added, member);
        } else {
            n_kept++;
            if (before->member[member->was].hash != member->hash)
                count(&changes->altered, member);
        }
    }
    for (size_t i = 0; n_kept < n_before && i < n_before; i++) {
        if (!members_find(after, before->member[i].text))
            count(&changes->removed, &before->member[i]);
    }
}

/* What, from where, which version: one line for each change. */
static void say_change(const struct seat *seat, const struct members *before)
{
    const struct members *after = seat->members;
    struct changes changes;

    if (!log_is_on(LOG_INFO) || !after->found || after == before)
        return;
    compare(before, after, &changes);
    if (changes.added.n + changes.removed.n + changes.altered.n == 0)
        return;
    log_info("members changed", F_STR("upstream", seat->name),
             F_STR("source", seat->reader.source->title), F_SPAN("version", after->found->version),
             F_UINT("added", changes.added.n), F_UINT("removed", changes.removed.n),
             F_UINT("changed", changes.altered.n), F_UINT("members", members_count(after)),
             F_UINT("in_rotation", after->n), F_SPAN("now_there", text_span(&changes.added.names)),
             F_SPAN("gone", text_span(&changes.removed.names)),
             F_SPAN("otherwise", text_span(&changes.altered.names)));
}

static void tell(struct roster *roster, enum roster_cause cause, const struct seat *seat)
{
    const struct roster_news news = {
        .cause = cause, .upstream = span_of(seat->name), .members = seat->members};

    for (unsigned i = 0; i < roster->n_listeners; i++) {
        roster->listener[i].fn(roster->listener[i].arg, &news);
    }
}

/* -- seats -------------------------------------------------------------- */

static struct members *make_members(const struct seat *seat, struct found *found,
                                    const struct members *before)
{
    struct roster *roster = seat->roster;
    const struct members_recipe recipe = {.upstream = span_of(seat->name),
                                          .balance = seat->balance,
                                          .subset = &seat->subset,
                                          .serial = ++roster->serial,
                                          .found = found,
                                          .before = before,
                                          .shares = roster->shares};

    return members_new(&recipe);
}

static void on_found(struct source_reader *reader)
{
    struct seat *seat = list_entry(reader, struct seat, reader);
    struct members *before = seat->members;

    seat->members = make_members(seat, source_found(reader->source), before);
    say_change(seat, before);
    members_unref(&before);
    tell(seat->roster, ROSTER_FOUND, seat);
}

static void seat_free(struct seat *seat)
{
    source_leave(&seat->reader);
    members_unref(&seat->members);
    arena_fini(&seat->arena);
    alloc_free(seat->name);
    alloc_free(seat);
}

static void free_seats(struct map **seats)
{
    struct sluice_span name;
    void *seat;
    size_t at = 0;

    while (map_each(*seats, &at, &name, &seat)) {
        seat_free(seat);
    }
    map_free(seats);
}

/* -- life --------------------------------------------------------------- */

struct roster *roster_new(struct sources *sources, struct shares *shares)
{
    struct roster *roster = alloc_new(sizeof(*roster));

    roster->sources = sources;
    roster->shares = shares;
    roster->seats = map_new();
    return roster;
}

void roster_free(struct roster **roster)
{
    if (!*roster)
        return;
    free_seats(&(*roster)->seats);
    alloc_free(*roster);
    *roster = NULL;
}

void roster_on_change(struct roster *roster, roster_fn *fn, void *arg)
{
    CHECK(roster->n_listeners < ROSTER_LISTENERS);
    roster->listener[roster->n_listeners].fn = fn;
    roster->listener[roster->n_listeners].arg = arg;
    roster->n_listeners++;
}

/* -- taking over a configuration ---------------------------------------- */

struct roster_draft *roster_begin(struct roster *roster)
{
    struct roster_draft *draft = alloc_new(sizeof(*draft));

    CHECK(!roster->drafting);
    roster->drafting = true;
    draft->roster = roster;
    draft->seats = map_new();
    return draft;
}

/* Which of the configured endpoints it was; only a list of the configuration is looked at. */
static void note_repeats(const struct upstream_conf *conf, const struct members *members,
                         struct notes *notes)
{
    const struct endpoint_conf *endpoint = conf->source.endpoints.first;
    struct map *seen;

    if (members->n_repeats == 0)
        return;
    seen = map_new();
    for (size_t i = 0; i < conf->source.endpoints.n; i++) {
        if (map_set(seen, endpoint[i].address, seen)) {
            notes_warn(notes, endpoint[i].at, "write each endpoint once, with a weight",
                       "endpoint '%s' of upstream '%s' is there already", endpoint[i].address.ptr,
                       conf->named.name.ptr);
        }
    }
    map_free(&seen);
}

struct members *roster_plan(struct roster_draft *draft, const struct upstream_conf *conf,
                            struct notes *notes)
{
    struct roster *roster = draft->roster;
    const struct seat *now = map_find(roster->seats, conf->named.name);
    struct source *source = sources_get(roster->sources, &conf->source, notes);
    struct found *found;
    struct seat *seat;

    if (!source)
        return NULL;
    found = source_found(source);
    if (!found && now)
        found = now->members->found; /* until the other source knows something */
    seat = alloc_new(sizeof(*seat));
    seat->roster = roster;
    seat->name = alloc_text(conf->named.name.ptr, conf->named.name.len);
    seat->balance = conf->balance;
    arena_init(&seat->arena, NULL, 0);
    seat->subset = subset_copy(&conf->subset, &seat->arena);
    if (now && now->members->found == found && now->balance == conf->balance &&
        subset_is_same(&now->subset, &seat->subset)) {
        seat->members = members_ref(now->members);
    } else {
        seat->members = make_members(seat, found, now ? now->members : NULL);
    }
    note_repeats(conf, seat->members, notes);
    source_reader_init(&seat->reader, on_found);
    source_read(&seat->reader, &source);
    map_set(draft->seats, conf->named.name, seat);
    return members_ref(seat->members);
}

/* Everything of the old configuration: replaced, or gone. */
static void retire_seats(struct roster *roster, struct map **old)
{
    struct sluice_span name;
    void *seat;
    size_t at = 0;

    while (map_each(*old, &at, &name, &seat)) {
        if (!map_find(roster->seats, name)) {
            log_info("upstream removed", F_SPAN("upstream", name));
            tell(roster, ROSTER_GONE, seat);
        }
    }
    free_seats(old);
}

void roster_commit(struct roster_draft **draft)
{
    struct roster *roster = (*draft)->roster;
    struct map *old = roster->seats;
    struct sluice_span name;
    void *seat;
    size_t at = 0;

    roster->seats = (*draft)->seats;
    roster->drafting = false;
    alloc_free(*draft);
    *draft = NULL;
    while (map_each(roster->seats, &at, &name, &seat)) {
        const struct seat *before = map_find(old, name);

        say_change(seat, before ? before->members : NULL);
        tell(roster, ROSTER_CONFIGURED, seat);
    }
    retire_seats(roster, &old);
}

void roster_abandon(struct roster_draft **draft)
{
    if (!*draft)
        return;
    (*draft)->roster->drafting = false;
    free_seats(&(*draft)->seats);
    alloc_free(*draft);
    *draft = NULL;
}

/* -- questions ------------------------------------------------------------ */

static void fill_row(const struct seat *seat, struct roster_row *row)
{
    row->upstream = span_of(seat->name);
    row->members = seat->members;
    row->source = seat->reader.source;
}

bool roster_each(const struct roster *roster, size_t *at, struct roster_row *row)
{
    struct sluice_span name;
    void *seat;

    if (!map_each(roster->seats, at, &name, &seat))
        return false;
    fill_row(seat, row);
    return true;
}

bool roster_find(const struct roster *roster, struct sluice_span upstream, struct roster_row *row)
{
    const struct seat *seat = map_find(roster->seats, upstream);

    if (seat)
        fill_row(seat, row);
    return seat != NULL;
}

struct members *roster_members(const struct roster *roster, struct sluice_span upstream)
{
    const struct seat *seat = map_find(roster->seats, upstream);

    return seat ? members_ref(seat->members) : NULL;
}

bool roster_find_waiting(const struct roster *roster, struct roster_row *row)
{
    size_t at = 0;

    while (roster_each(roster, &at, row)) {
        if (!source_found(row->source))
            return true;
    }
    return false;
}
