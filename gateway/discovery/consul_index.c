#include "discovery/consul_index.h"

enum consul_index_verdict consul_index_take(struct consul_index *index, struct sluice_span text)
{
    uint64_t number = 0;

    if (!text.ptr || span_number(text, UINT64_MAX, &number))
        number = 0;
    index->errors = 0;
    index->suspicious = number == 0;
    if (number == 0) { /* it says nothing, so the content has to */
        index->offered = 1;
        return INDEX_NEWS;
    }
    if (number < index->at) {
        index->at = index->offered = 0;
        index->resets++;
        return INDEX_REREAD;
    }
    if (number == index->at)
        return INDEX_SAME;
    index->offered = number;
    return INDEX_NEWS;
}

void consul_index_commit(struct consul_index *index)
{
    index->at = index->offered;
}

void consul_index_fail(struct consul_index *index)
{
    if (++index->errors > CONSUL_INDEX_ERRORS)
        index->at = index->offered = 0;
}

void consul_index_reset(struct consul_index *index)
{
    index->at = index->offered = 0;
}
