/*
 * slab.c - regions are carved from front to back, and only when the free list is empty:
 * pages of a region that nobody has needed yet are never touched.
 */
#include "base/slab.h"

#include "base/alloc.h"
#include "base/check.h"
#include "base/poison.h"

#include <stdint.h>
#include <string.h>

enum {
    ALIGN = 8, /* enough for all sizes that are no multiple of 16 */
    REGION_BYTES = 64 * 1024,
    REGION_OBJECTS = 8, /* of large objects: keeps what a region wastes below an eighth */
};

struct slab_region {
    struct slab_region *next; /* owned */
    size_t bytes;
};

_Static_assert(sizeof(struct slab_region) % 16 == 0, "objects begin aligned");

void slab_init(struct slab *slab, size_t object_bytes, size_t max)
{
    CHECK(object_bytes > 0 && object_bytes < SIZE_MAX / REGION_OBJECTS / 2);
    *slab = (struct slab){.max = max};
    slab->object_bytes = (object_bytes + ALIGN - 1) / ALIGN * ALIGN;
    slab->region_bytes = sizeof(struct slab_region) + REGION_OBJECTS * slab->object_bytes;
    if (slab->region_bytes < REGION_BYTES)
        slab->region_bytes = REGION_BYTES;
}

void slab_fini(struct slab *slab)
{
    while (slab->regions) {
        struct slab_region *region = slab->regions;

        slab->regions = region->next;
        UNPOISON(region, region->bytes);
        alloc_free(region);
    }
    slab->head = NULL;
    slab->fresh = slab->fresh_end = NULL;
    slab->used = slab->carved = 0;
}

/* By the one thread that writes it, so that others may read it. */
/* NOLINTNEXTLINE(readability-non-const-parameter): the builtin writes */
static void add(size_t *number, size_t n)
{
    __atomic_store_n(number, *number + n, __ATOMIC_RELAXED);
}

static bool grow(struct slab *slab)
{
    struct slab_region *region;

    alloc_faults_stop(); /* slab_take() has counted this one */
    region = alloc_try(slab->region_bytes);
    alloc_faults_start();
    if (!region)
        return false;
    region->next = slab->regions;
    region->bytes = slab->region_bytes;
    /* Whole before others may see it: slab_bytes() is for any thread. */
    __atomic_store_n(&slab->regions, region, __ATOMIC_RELEASE);
    slab->fresh = (char *)(region + 1);
    slab->fresh_end = (char *)region + region->bytes;
    POISON(slab->fresh, (size_t)(slab->fresh_end - slab->fresh));
    return true;
}

static void *carve(struct slab *slab)
{
    void *object;

    if ((size_t)(slab->fresh_end - slab->fresh) < slab->object_bytes && !grow(slab))
        return NULL;
    object = slab->fresh;
    slab->fresh += slab->object_bytes;
    add(&slab->carved, 1);
    UNPOISON(object, slab->object_bytes);
    return object;
}

void *slab_take(struct slab *slab)
{
    void *object = slab->head;

    if (alloc_is_faulty() || (slab->max > 0 && slab->used >= slab->max))
        return NULL;
    if (object) {
        UNPOISON(object, slab->object_bytes);
        memcpy(&slab->head, object, sizeof(slab->head));
    } else {
        object = carve(slab);
        if (!object)
            return NULL;
    }
    add(&slab->used, 1);
    return object;
}

void slab_give(struct slab *slab, void *object)
{
    if (!object)
        return;
    CHECK(slab->used > 0);
    memcpy(object, &slab->head, sizeof(slab->head));
    slab->head = object;
    add(&slab->used, (size_t)-1);
    POISON(object, slab->object_bytes);
}

size_t slab_bytes(const struct slab *slab)
{
    const struct slab_region *region = __atomic_load_n(&slab->regions, __ATOMIC_ACQUIRE);
    size_t bytes = 0;

    for (; region; region = region->next)
        bytes += region->bytes;
    return bytes;
}

struct slab_look slab_look(const struct slab *slab)
{
    size_t used = __atomic_load_n(&slab->used, __ATOMIC_RELAXED);
    size_t carved = __atomic_load_n(&slab->carved, __ATOMIC_RELAXED);

    return (struct slab_look){.object_bytes = slab->object_bytes,
                              .used = used,
                              .free = carved > used ? carved - used : 0,
                              .bytes = slab_bytes(slab)};
}
