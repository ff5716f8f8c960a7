/*
 * users.c - entries sorted by name, over one run of text.
 */
#include "users.h"

#include "kit/span.h"
#include "password.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

struct entry {
    uint32_t at; /* of the name in text; hash and groups follow */
    uint16_t name_len, hash_len, groups_len;
};

struct users {
    atomic_uint holders;
    size_t n, room;
    size_t text_len, text_room;
    struct entry *entries; /* owned */
    char *text;            /* owned */
};

/* -- life ---------------------------------------------------------------------- */

struct users *users_new(void)
{
    struct users *users = calloc(1, sizeof(*users));

    if (users)
        atomic_init(&users->holders, 1);
    return users;
}

struct users *users_hold(struct users *users)
{
    if (users)
        atomic_fetch_add_explicit(&users->holders, 1, memory_order_relaxed);
    return users;
}

void users_free(struct users **users)
{
    struct users *gone = *users;

    *users = NULL;
    if (!gone || atomic_fetch_sub_explicit(&gone->holders, 1, memory_order_acq_rel) > 1)
        return;
    free(gone->entries);
    free(gone->text);
    free(gone);
}

/* -- making -------------------------------------------------------------------- */

/* Room for that many of that size, half as many again when it is used up. */
static bool grow(void **list, size_t *room, size_t wanted, size_t size)
{
    size_t more = *room + *room / 2 + 16;
    void *grown;

    if (wanted <= *room)
        return true;
    if (more < wanted)
        more = wanted;
    if (more > UINT32_MAX)
        return false;
    grown = realloc(*list, more * size);
    if (!grown)
        return false;
    *list = grown;
    *room = more;
    return true;
}

bool users_is_name(struct sluice_span text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.ptr[i];

        if (byte <= 0x20 || byte == 0x7f || byte == ',' || byte == ':')
            return false;
    }
    return text.len > 0 && text.len <= USERS_NAME_MAX;
}

static bool is_list(struct sluice_span groups)
{
    struct sluice_span one;

    if (groups.len == 0)
        return true;
    if (groups.len > USERS_LIST_MAX)
        return false;
    while (span_cut(&groups, ',', &one)) {
        if (!users_is_name(one))
            return false;
    }
    return true;
}

static void append(struct users *users, struct sluice_span text)
{
    if (text.len > 0)
        memcpy(users->text + users->text_len, text.ptr, text.len);
    users->text_len += text.len;
}

const char *users_add(struct users *users, const struct user *user)
{
    void *text = users->text, *entries = users->entries;
    const char *why;

    if (!users_is_name(user->name) || !is_list(user->groups))
        return "names are without spaces, commas, colons and control characters";
    why = password_fault(user->hash);
    if (why)
        return why;
    if (!grow(&text, &users->text_room,
              users->text_len + user->name.len + user->hash.len + user->groups.len, 1))
        return "out of memory";
    users->text = text;
    if (!grow(&entries, &users->room, users->n + 1, sizeof(struct entry)))
        return "out of memory";
    users->entries = entries;
    users->entries[users->n++] =
        (struct entry){(uint32_t)users->text_len, (uint16_t)user->name.len,
                       (uint16_t)user->hash.len, (uint16_t)user->groups.len};
    append(users, user->name);
    append(users, user->hash);
    append(users, user->groups);
    return NULL;
}

static const char *read_line(struct users *users, struct sluice_span line)
{
    struct user user = {.groups = {NULL, 0}};

    if (!span_cut(&line, ':', &user.name) || !span_cut(&line, ':', &user.hash))
        return "a line is NAME:HASH";
    if (line.ptr)
        user.groups = line;
    return users_add(users, &user);
}

bool users_read(struct users *users, struct sluice_span text, char why[STORE_WHY])
{
    struct sluice_span line;
    size_t number = 0;

    while (span_cut(&text, '\n', &line)) {
        const char *wrong;

        number++;
        if (line.len > 0 && line.ptr[line.len - 1] == '\r')
            line.len--;
        line = span_trim(line);
        if (line.len == 0 || line.ptr[0] == '#')
            continue;
        wrong = read_line(users, line);
        if (!wrong)
            continue;
        snprintf(why, STORE_WHY, "line %zu: %s", number, wrong);
        return false;
    }
    if (users_sort(users, &line))
        return true;
    snprintf(why, STORE_WHY, "'%.*s' is there twice", (int)(line.len > 80 ? 80 : line.len),
             line.ptr);
    return false;
}

static struct sluice_span name_of(const struct users *users, size_t i)
{
    return (struct sluice_span){users->text + users->entries[i].at, users->entries[i].name_len};
}

static int compare(struct sluice_span a, struct sluice_span b)
{
    int order = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);

    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* The sort may look at copies of entries: where they are says nothing. */
static int compare_entries(const void *a_, const void *b_, void *text_)
{
    const struct entry *a = a_, *b = b_;
    const char *text = text_;

    return compare((struct sluice_span){text + a->at, a->name_len},
                   (struct sluice_span){text + b->at, b->name_len});
}

bool users_sort(struct users *users, struct sluice_span *name)
{
    if (users->n > 1)
        qsort_r(users->entries, users->n, sizeof(struct entry), compare_entries, users->text);
    for (size_t i = 1; i < users->n; i++) {
        *name = name_of(users, i);
        if (span_is(name_of(users, i - 1), *name))
            return false;
    }
    return true;
}

/* -- asking -------------------------------------------------------------------- */

void users_at(const struct users *users, size_t i, struct user *user)
{
    const struct entry *entry = &users->entries[i];

    user->name = name_of(users, i);
    user->hash = (struct sluice_span){user->name.ptr + entry->name_len, entry->hash_len};
    user->groups = (struct sluice_span){user->hash.ptr + entry->hash_len, entry->groups_len};
}

bool users_find(const struct users *users, struct sluice_span name, struct user *user)
{
    size_t from = 0, to = users_count(users);

    while (from < to) {
        size_t middle = from + (to - from) / 2;
        int order = compare(name, name_of(users, middle));

        if (order == 0) {
            users_at(users, middle, user);
            return true;
        }
        if (order < 0) {
            to = middle;
        } else {
            from = middle + 1;
        }
    }
    return false;
}

size_t users_count(const struct users *users)
{
    return users ? users->n : 0;
}

/* -- as a store's table ---------------------------------------------------------- */

static void *read_table(struct sluice_span text, char why[STORE_WHY])
{
    struct users *users = users_new();

    if (users && !users_read(users, text, why))
        users_free(&users);
    return users;
}

static void *hold_table(void *users)
{
    return users_hold(users);
}

static void drop_table(void *table)
{
    struct users *users = table;

    users_free(&users);
}

const struct store_kind users_kind = {read_table, hold_table, drop_table};
