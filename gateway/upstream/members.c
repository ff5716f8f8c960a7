#include "upstream/members.h"

#include "base/alloc.h"
#include "net/resolve.h"
#include "upstream/balance.h"
#include "upstream/endpoint.h"

static bool has_addr(const struct members *members, const struct addr *addr)
{
    for (size_t i = 0; i < members->n; i++) {
        if (addr_equal(&members->member[i].addr, addr))
            return true;
    }
    return false;
}

static void add(struct members *members, struct shares *shares, const struct addr *addr,
                const struct upstream_endpoint_conf *conf)
{
    struct member *member = &members->member[members->n];
    char text[ADDR_TEXT + 128];
    size_t len = addr_format(addr, text, sizeof(text));
    struct sluice_span key;

    member->addr = *addr;
    if (addr->path)
        member->addr.path = arena_copy(&members->arena, span_of(addr->path)).ptr;
    member->text = arena_copy(&members->arena, span_make(text, len));
    member->id = balance_hash(member->text);
    member->weight = (uint32_t)conf->weight;
    member->name =
        arena_copy(&members->arena, addr->path ? SPAN("") : upstream_host_alone(conf->address));
    key = arena_format(&members->arena, "%.*s %s", (int)members->upstream.len,
                       members->upstream.ptr, text);
    member->share = shares_get(shares, members->group, key);
    member->tally =
        tally_get(shares_tally(shares), ENDPOINT_TALLY, key, sizeof(struct endpoint_counters));
    members->n++;
}

/* One more place in the table; grows by doubling. */
static void make_room(struct members *members, size_t *room, size_t n)
{
    struct member *old = members->member;
    size_t want = *room ? *room * 2 : 16;

    if (members->n + n <= *room)
        return;
    while (want < members->n + n) {
        want *= 2;
    }
    members->member = arena_new(&members->arena, want * sizeof(*old));
    for (size_t i = 0; i < members->n; i++) {
        members->member[i] = old[i];
    }
    *room = want;
}

struct members *members_from_conf(const struct upstream_conf *conf, struct shares *shares,
                                  struct notes *notes)
{
    struct members *members = alloc_new(sizeof(*members));
    const struct upstream_endpoint_conf *endpoint = conf->endpoints.first;
    size_t room = 0;
    bool bad = false;

    arena_init(&members->arena, NULL, 0);
    members->refs = 1;
    members->upstream = arena_copy(&members->arena, conf->named.name);
    members->group = shares_group(shares, members->upstream);
    for (size_t i = 0; i < conf->endpoints.n; i++, endpoint++) {
        struct addr *addrs;
        size_t n;
        const char *why;

        if (endpoint->address.len == 0) { /* told already, when it was bound */
            bad = true;
            continue;
        }
        if (resolve(endpoint->address, &members->arena, &addrs, &n, &why)) {
            notes_error(notes, endpoint->at, "write host:port, [v6]:port or unix:/path",
                        "endpoint '%s' of upstream '%s': %s", endpoint->address.ptr,
                        conf->named.name.ptr, why);
            bad = true;
            continue;
        }
        make_room(members, &room, n);
        for (size_t j = 0; j < n; j++) {
            if (has_addr(members, &addrs[j])) {
                notes_warn(notes, endpoint->at, "write each endpoint once, with a weight",
                           "endpoint '%s' of upstream '%s' is there already", endpoint->address.ptr,
                           conf->named.name.ptr);
            } else {
                add(members, shares, &addrs[j], endpoint);
            }
        }
    }
    if (bad) {
        members_unref(&members);
    } else {
        balance_prepare(conf->balance, members);
    }
    return members;
}

struct members *members_ref(struct members *members)
{
    __atomic_add_fetch(&members->refs, 1, __ATOMIC_RELAXED);
    return members;
}

void members_unref(struct members **members)
{
    struct members *old = *members;

    *members = NULL;
    if (!old || __atomic_sub_fetch(&old->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (size_t i = 0; i < old->n; i++) {
        share_unref(&old->member[i].share);
    }
    arena_fini(&old->arena);
    alloc_free(old);
}
