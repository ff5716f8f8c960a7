/*
 * consul_index.h - the rules of X-Consul-Index, as a state machine without any I/O.
 *
 *   answer                        verdict         the next question asks with
 *   the index asked with          INDEX_SAME      the same: the wait ran out
 *   a lower one                   INDEX_REREAD    0, at once; this answer is not applied
 *   0, or none at all             INDEX_NEWS      1 after the commit: never 0, which would not wait
 *   any other                     INDEX_NEWS      it, after the commit
 *
 * An index counts only once consul_index_commit() has said that the answer was applied.
 */
#ifndef DISCOVERY_CONSUL_INDEX_H
#define DISCOVERY_CONSUL_INDEX_H

#include "base/span.h"

enum { CONSUL_INDEX_ERRORS = 5 /* in a row, and what is known of the index is forgotten */ };

enum consul_index_verdict { INDEX_SAME, INDEX_REREAD, INDEX_NEWS };

/* Zero: nothing known. */
struct consul_index {
    uint64_t at;      /* to ask with; 0: answer at once */
    uint64_t offered; /* by the last answer, not committed */
    unsigned errors;  /* in a row */
    bool suspicious;  /* the last answer had no index, or 0 */
    uint64_t resets;  /* how often it went backwards, for people */
};

/* What the header of an answer means. text.ptr NULL: there was none. */
enum consul_index_verdict consul_index_take(struct consul_index *index, struct sluice_span text);

/* The answer of the last INDEX_NEWS has been parsed, checked and applied. */
void consul_index_commit(struct consul_index *index);

/* No answer, or one that cannot be used: the index is kept, but not for ever. */
void consul_index_fail(struct consul_index *index);

/* Somebody else may be answering now. */
void consul_index_reset(struct consul_index *index);

#endif /* DISCOVERY_CONSUL_INDEX_H */
