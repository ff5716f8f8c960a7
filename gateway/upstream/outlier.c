#include "upstream/outlier.h"

enum outcome outcome_of_status(unsigned status)
{
    if (status < 500)
        return OUTCOME_GOOD;
    return status >= 502 && status <= 504 ? OUTCOME_GATEWAY : OUTCOME_5XX;
}

static void end_row(struct share_row *row)
{
    if (__atomic_load_n(&row->n, __ATOMIC_RELAXED) != 0)
        __atomic_store_n(&row->n, 0, __ATOMIC_RELAXED);
}

/* One more in a row; a long enough one accuses, and the next begins. */
static void lengthen(struct share *share, struct share_row *row, uint64_t limit,
                     enum eject_cause cause)
{
    if (limit == 0 || __atomic_add_fetch(&row->n, 1, __ATOMIC_RELAXED) < limit)
        return;
    __atomic_store_n(&row->n, 0, __ATOMIC_RELAXED);
    share_accuse(share, cause);
}

/*
 * A row of answers is not ended by tries without one, which say nothing about answers; any
 * answer ends a row of tries without one.
 */
void outlier_note(struct endpoint *endpoint, enum outcome outcome)
{
    const struct outlier_conf *conf = &endpoint->upstream->outlier;
    struct share *share = endpoint->member.share;

    if (outcome == OUTCOME_LOCAL) {
        counter_add(&endpoint->counters->bad, 1);
        lengthen(share, &share->row_local, conf->consecutive_local, EJECT_LOCAL);
        return;
    }
    end_row(&share->row_local);
    if (outcome == OUTCOME_GOOD) {
        counter_add(&endpoint->counters->good, 1);
        end_row(&share->row_5xx);
        end_row(&share->row_gateway);
        return;
    }
    counter_add(&endpoint->counters->bad, 1);
    lengthen(share, &share->row_5xx, conf->consecutive_5xx, EJECT_5XX);
    if (outcome == OUTCOME_GATEWAY) {
        lengthen(share, &share->row_gateway, conf->consecutive_gateway, EJECT_GATEWAY);
    } else {
        end_row(&share->row_gateway);
    }
}
