#include "upstream/condition.h"

static bool enter(struct condition *condition, bool well)
{
    condition->state = well ? CONDITION_WELL : CONDITION_UNWELL;
    condition->row = 0;
    return true;
}

bool condition_note(struct condition *condition, bool passed, uint64_t rise, uint64_t fall)
{
    bool is_well = condition->state == CONDITION_WELL;

    if (condition->state == CONDITION_UNKNOWN)
        return enter(condition, passed);
    if (passed == is_well) {
        condition->row = 0;
        return false;
    }
    if (++condition->row < (is_well ? fall : rise))
        return false;
    return enter(condition, passed);
}
