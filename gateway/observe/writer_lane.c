/*
 * writer_lane.c - head is stored and read with sequential consistency, because the writer
 * goes to sleep by "say that I sleep, then look at head" while the producer does
 * "move head, then look whether it sleeps": one of them must see the other.
 */
#include "observe/writer_lane.h"

#include "base/alloc.h"

#include <string.h>

enum { LANE_BYTES_MIN = 1024, RECORD_ALIGN = 16 };

struct record {
    struct writer_file *file;
    uint64_t len;
};

_Static_assert(sizeof(struct record) <= RECORD_ALIGN, "a record's header must never wrap");

struct writer_lane *writer_lane_make(struct writer *writer, size_t bytes)
{
    struct writer_lane *lane = alloc_new(sizeof *lane);

    lane->writer = writer;
    lane->bytes = LANE_BYTES_MIN;
    while (lane->bytes < bytes)
        lane->bytes *= 2;
    lane->ring = alloc_new(lane->bytes);
    return lane;
}

void writer_lane_free(struct writer_lane **lane)
{
    if (!*lane)
        return;
    alloc_free((*lane)->ring);
    alloc_free(*lane);
    *lane = NULL;
}

static size_t record_bytes(size_t len)
{
    return RECORD_ALIGN + (len + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
}

/* The pieces of the ring that hold len bytes from a position on. */
static void cut(const struct writer_lane *lane, uint64_t from, size_t len,
                struct sluice_span parts[2])
{
    size_t place = from & (lane->bytes - 1);
    size_t first = lane->bytes - place < len ? lane->bytes - place : len;

    parts[0] = span_make(lane->ring + place, first);
    parts[1] = span_make(lane->ring, len - first);
}

/* -- the producer ------------------------------------------------------- */

static bool has_room(struct writer_lane *lane, size_t bytes)
{
    if (bytes <= lane->bytes - (lane->head - lane->tail_seen))
        return true;
    lane->tail_seen = __atomic_load_n(&lane->tail, __ATOMIC_ACQUIRE);
    return bytes <= lane->bytes - (lane->head - lane->tail_seen);
}

bool writer_lane_put(struct writer_lane *lane, struct writer_file *file, struct sluice_span line)
{
    struct record record = {file, line.len};
    uint64_t place = lane->head & (lane->bytes - 1);
    uint64_t body = (lane->head + RECORD_ALIGN) & (lane->bytes - 1);
    size_t first = lane->bytes - body < line.len ? lane->bytes - body : line.len;

    if (line.len > lane->bytes || !has_room(lane, record_bytes(line.len)))
        return false;
    memcpy(lane->ring + place, &record, sizeof record);
    memcpy(lane->ring + body, line.ptr, first);
    if (first < line.len)
        memcpy(lane->ring, line.ptr + first, line.len - first);
    __atomic_store_n(&lane->head, lane->head + record_bytes(line.len), __ATOMIC_SEQ_CST);
    return true;
}

bool writer_lane_is_crowded(struct writer_lane *lane)
{
    if (lane->head - lane->tail_seen <= lane->bytes / 2)
        return false;
    lane->tail_seen = __atomic_load_n(&lane->tail, __ATOMIC_ACQUIRE);
    return lane->head - lane->tail_seen > lane->bytes / 2;
}

/* -- the writer thread -------------------------------------------------- */

uint64_t writer_lane_head(const struct writer_lane *lane)
{
    return __atomic_load_n(&lane->head, __ATOMIC_SEQ_CST);
}

bool writer_lane_is_empty(const struct writer_lane *lane)
{
    return writer_lane_head(lane) == lane->tail;
}

bool writer_lane_peek(const struct writer_lane *lane, uint64_t until, struct writer_lane_line *line)
{
    struct record record;

    if (lane->tail == until)
        return false;
    memcpy(&record, lane->ring + (lane->tail & (lane->bytes - 1)), sizeof record);
    line->file = record.file;
    line->next = lane->tail + record_bytes(record.len);
    cut(lane, lane->tail + RECORD_ALIGN, record.len, line->parts);
    return true;
}

void writer_lane_pop(struct writer_lane *lane, const struct writer_lane_line *line)
{
    __atomic_store_n(&lane->tail, line->next, __ATOMIC_RELEASE);
}
