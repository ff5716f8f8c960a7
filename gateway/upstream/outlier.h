/*
 * outlier.h - how tries on endpoints end, as far as it says that one of them is out of line.
 *
 * Failures in a row are counted over all workers by atomics in the endpoint's share: a good try
 * writes nothing unless it ends a row. A row that is long enough accuses the endpoint, and the
 * control thread decides at once (upstream/ejector.h). Good and bad tries are also counted per
 * worker, for the comparison of success rates.
 *
 * Threads: the worker's.
 */
#ifndef UPSTREAM_OUTLIER_H
#define UPSTREAM_OUTLIER_H

#include "upstream/upstream.h"

enum outcome {
    OUTCOME_GOOD,    /* an answer below 500 */
    OUTCOME_5XX,     /* an answer of 500 or above, but for these: */
    OUTCOME_GATEWAY, /* 502, 503, 504 */
    OUTCOME_LOCAL,   /* no answer: not connected, reset, too late, malformed */
};

enum outcome outcome_of_status(unsigned status);

/* For endpoint_note_outcome(), where outliers are detected. */
void outlier_note(struct endpoint *endpoint, enum outcome outcome);

/* A try on the endpoint has ended, or its answer has begun. */
static inline void endpoint_note_outcome(struct endpoint *endpoint, enum outcome outcome)
{
    if (outlier_conf_is_on(&endpoint->upstream->outlier))
        outlier_note(endpoint, outcome);
}

#endif /* UPSTREAM_OUTLIER_H */
