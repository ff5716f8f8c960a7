/*
 * writer_lane.h - the ring of one lane: one producer, one consumer. Private to the writer.
 *
 * Positions only grow; a position modulo the size is a place in the ring. The producer
 * owns head, the writer thread owns tail, each on its own cache line. A record is a
 * header and the line, rounded up, so that a header never wraps (a line may).
 */
#ifndef OBSERVE_WRITER_LANE_H
#define OBSERVE_WRITER_LANE_H

#include "base/count.h"
#include "base/span.h"

struct writer;
struct writer_file;

enum { WRITER_LANE_APART = 64 }; /* bytes of a cache line */

struct writer_lane {
    struct writer *writer;    /* borrowed, outlives us */
    struct writer_lane *next; /* of the writer's list; set before the lane is seen there */
    char *ring;               /* owned */
    size_t bytes;             /* a power of two */

    char producer_line[WRITER_LANE_APART];
    uint64_t head;      /* atomic */
    uint64_t tail_seen; /* what the producer last knew of tail */
    struct counter dropped;

    char writer_line[WRITER_LANE_APART];
    uint64_t tail; /* atomic */
    char end_line[WRITER_LANE_APART];
};

/* One record as it lies in the ring; valid until writer_lane_pop(). */
struct writer_lane_line {
    struct writer_file *file;
    struct sluice_span parts[2]; /* the second is empty unless the line wraps */
    uint64_t next;               /* position after it */
};

struct writer_lane *writer_lane_make(struct writer *writer, size_t bytes);
void writer_lane_free(struct writer_lane **lane);

/* -- the producer ------------------------------------------------------- */

/* False when it does not fit. */
bool writer_lane_put(struct writer_lane *lane, struct writer_file *file, struct sluice_span line);

/* More than half of the ring is waiting. */
bool writer_lane_is_crowded(struct writer_lane *lane);

/* -- the writer thread -------------------------------------------------- */

/* The position up to which records are whole. */
uint64_t writer_lane_head(const struct writer_lane *lane);

bool writer_lane_is_empty(const struct writer_lane *lane);

/* The next record before position until; false when there is none. */
bool writer_lane_peek(const struct writer_lane *lane, uint64_t until,
                      struct writer_lane_line *line);

/* Give its room back to the producer. */
void writer_lane_pop(struct writer_lane *lane, const struct writer_lane_line *line);

#endif /* OBSERVE_WRITER_LANE_H */
