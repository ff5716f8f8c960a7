/*
 * slab.c - a region begins at a multiple of its size, so that an object tells where it belongs.
 *
 *   current   objects are taken from here, then carved from front to back: pages that nobody has
 *             needed yet are never touched
 *   partial   others with room; those that were full last come first and are filled again first,
 *             so that the rest can become empty
 *   full      nothing to be taken
 *   empty     nothing in use: as if it were new; released by slab_trim(), or used again
 */
#include "base/slab.h"

#include "base/alloc.h"
#include "base/check.h"
#include "base/poison.h"

#include <string.h>

enum {
    ALIGN = 8, /* enough for all sizes that are no multiple of 16 */
    REGION_BYTES = 64 * 1024,
    REGION_OBJECTS = 4, /* of large objects, at least */
};

struct slab_region {
    struct list link;
    void *head;  /* free objects, a list through their first word */
    char *fresh; /* from here on nothing was carved */
    uint32_t used, carved;
    bool full; /* in slab->full */
    char pad[16];
};

_Static_assert(sizeof(struct slab_region) % 16 == 0, "objects begin aligned");

void slab_init(struct slab *slab, size_t object_bytes, size_t max)
{
    CHECK(object_bytes > 0 && object_bytes < SIZE_MAX / REGION_OBJECTS / 4);
    *slab = (struct slab){.max = max};
    slab->object_bytes = (object_bytes + ALIGN - 1) / ALIGN * ALIGN;
    slab->region_bytes = REGION_BYTES;
    while (slab->region_bytes < sizeof(struct slab_region) + REGION_OBJECTS * slab->object_bytes) {
        slab->region_bytes *= 2;
    }
    list_init(&slab->partial);
    list_init(&slab->full);
    list_init(&slab->empty);
    list_init(&slab->link);
}

/* By the one thread that writes it, so that others may read it. */
/* NOLINTNEXTLINE(readability-non-const-parameter): the builtin writes */
static void add(size_t *number, size_t n)
{
    __atomic_store_n(number, *number + n, __ATOMIC_RELAXED);
}

/* -- regions ------------------------------------------------------------------ */

static struct slab_region *region_at(struct list *link)
{
    return list_entry(link, struct slab_region, link);
}

static struct slab_region *region_of(const struct slab *slab, void *object)
{
    char *at = object;

    return (struct slab_region *)(void *)(at - ((uintptr_t)at & (slab->region_bytes - 1)));
}

static char *region_end(const struct slab *slab, struct slab_region *region)
{
    return (char *)region + slab->region_bytes;
}

/* Nothing is in it. */
static void clear(const struct slab *slab, struct slab_region *region)
{
    region->head = NULL;
    region->fresh = (char *)(region + 1);
    region->used = region->carved = 0;
    region->full = false;
    POISON(region->fresh, (size_t)(region_end(slab, region) - region->fresh));
}

static void release(struct slab *slab, struct slab_region *region)
{
    UNPOISON(region, slab->region_bytes);
    alloc_region_free(region, slab->region_bytes);
    add(&slab->bytes, -slab->region_bytes);
}

static void release_all(struct slab *slab, struct list *regions)
{
    while (!list_is_empty(regions)) {
        struct slab_region *region = region_at(regions->next);

        list_remove(&region->link);
        release(slab, region);
    }
}

void slab_fini(struct slab *slab)
{
    if (!slab->link.next)
        return; /* it was never prepared */
    list_remove(&slab->link);
    release_all(slab, &slab->partial);
    release_all(slab, &slab->full);
    release_all(slab, &slab->empty);
    if (slab->current)
        release(slab, slab->current);
    slab->current = NULL;
    slab->used = slab->carved = 0;
    slab->n_empty = slab->least_empty = 0;
}

static struct slab_region *grow(struct slab *slab)
{
    struct slab_region *region;

    alloc_faults_stop(); /* slab_take() has counted this one */
    region = alloc_region_try(slab->region_bytes);
    alloc_faults_start();
    if (!region)
        return NULL;
    list_init(&region->link);
    clear(slab, region);
    add(&slab->bytes, slab->region_bytes);
    return region;
}

/* Out of its list: the best of those that have room. NULL: none has. */
static struct slab_region *pick(struct slab *slab)
{
    struct list *link = slab->partial.next;

    if (link == &slab->partial) {
        link = slab->empty.next;
        if (link == &slab->empty)
            return NULL;
        add(&slab->n_empty, (size_t)-1);
        if (slab->least_empty > slab->n_empty)
            slab->least_empty = slab->n_empty;
    }
    list_remove(link);
    return region_at(link);
}

/* -- objects ------------------------------------------------------------------ */

static bool has_fresh(const struct slab *slab, struct slab_region *region)
{
    return (size_t)(region_end(slab, region) - region->fresh) >= slab->object_bytes;
}

/* Make another region the current one; false when out of memory. */
static bool move_on(struct slab *slab)
{
    struct slab_region *old = slab->current, *next = pick(slab);

    if (!next)
        next = grow(slab);
    if (!next)
        return false;
    slab->current = next;
    if (old) {
        old->full = true;
        list_push(&slab->full, &old->link);
    }
    return true;
}

static void *pop(struct slab *slab, struct slab_region *region)
{
    void *object = region->head;

    UNPOISON(object, slab->object_bytes);
    memcpy(&region->head, object, sizeof(region->head));
    return object;
}

/* The current region has nothing that was given back. */
static void *take_elsewhere(struct slab *slab)
{
    struct slab_region *region = slab->current;
    void *object;

    if (!region || !has_fresh(slab, region)) {
        if (!move_on(slab))
            return NULL;
        region = slab->current;
        if (region->head)
            return pop(slab, region);
    }
    object = region->fresh;
    region->fresh += slab->object_bytes;
    region->carved++;
    add(&slab->carved, 1);
    UNPOISON(object, slab->object_bytes);
    return object;
}

void *slab_take(struct slab *slab)
{
    struct slab_region *region = slab->current;
    void *object;

    if (alloc_is_faulty() || (slab->max > 0 && slab->used >= slab->max))
        return NULL;
    if (region && region->head) {
        object = pop(slab, region);
    } else {
        object = take_elsewhere(slab);
        if (!object)
            return NULL;
        region = slab->current;
    }
    region->used++;
    add(&slab->used, 1);
    return object;
}

static void note_empty(struct slab *slab, struct slab_region *region)
{
    struct slab_set *set = slab->set;

    list_remove(&region->link);
    list_push(&slab->empty, &region->link);
    add(&slab->carved, -(size_t)region->carved);
    clear(slab, region);
    add(&slab->n_empty, 1);
    if (set && !set->awake && set->wake) {
        set->awake = true;
        set->wake(set);
    }
}

/* It was full, or nothing is left in it. */
static void note_given(struct slab *slab, struct slab_region *region)
{
    if (region->full) {
        region->full = false;
        list_remove(&region->link);
        list_push(&slab->partial, &region->link);
    }
    if (region->used == 0 && region != slab->current)
        note_empty(slab, region);
}

void slab_give(struct slab *slab, void *object)
{
    struct slab_region *region;

    if (!object)
        return;
    CHECK(slab->used > 0);
    region = region_of(slab, object);
    memcpy(object, &region->head, sizeof(region->head));
    region->head = object;
    region->used--;
    add(&slab->used, (size_t)-1);
    POISON(object, slab->object_bytes);
    if (region->full || region->used == 0)
        note_given(slab, region);
}

/* -- giving back to the system -------------------------------------------------- */

size_t slab_trim(struct slab *slab, size_t most)
{
    size_t n = (slab->least_empty + 1) / 2;
    size_t released = 0;

    while (n > 0 && (released == 0 || released + slab->region_bytes <= most)) {
        struct slab_region *region = region_at(slab->empty.prev); /* the longest so */

        list_remove(&region->link);
        add(&slab->n_empty, (size_t)-1);
        release(slab, region);
        released += slab->region_bytes;
        n--;
    }
    slab->least_empty = slab->n_empty;
    return released;
}

void slab_set_init(struct slab_set *set, void (*wake)(struct slab_set *set))
{
    *set = (struct slab_set){.wake = wake};
    list_init(&set->slabs);
}

void slab_join(struct slab *slab, struct slab_set *set)
{
    slab->set = set;
    list_append(&set->slabs, &slab->link);
}

bool slab_set_trim(struct slab_set *set, size_t most)
{
    bool more = false;

    list_each (link, &set->slabs) {
        struct slab *slab = list_entry(link, struct slab, link);
        size_t released = slab_trim(slab, most);

        most -= released < most ? released : most;
        __atomic_store_n(&set->released, set->released + released, __ATOMIC_RELAXED);
        more |= slab->n_empty > 0;
    }
    set->awake = more;
    return more;
}

/* -- questions ------------------------------------------------------------------ */

size_t slab_bytes(const struct slab *slab)
{
    return __atomic_load_n(&slab->bytes, __ATOMIC_RELAXED);
}

struct slab_look slab_look(const struct slab *slab)
{
    size_t used = __atomic_load_n(&slab->used, __ATOMIC_RELAXED);
    size_t carved = __atomic_load_n(&slab->carved, __ATOMIC_RELAXED);
    size_t n_empty = __atomic_load_n(&slab->n_empty, __ATOMIC_RELAXED);

    return (struct slab_look){.object_bytes = slab->object_bytes,
                              .used = used,
                              .free = carved > used ? carved - used : 0,
                              .bytes = slab_bytes(slab),
                              .empty_bytes = n_empty * slab->region_bytes};
}
