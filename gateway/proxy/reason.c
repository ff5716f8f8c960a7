#include "proxy/reason.h"

#define ROW(symbol, name, status, text) [REASON_##symbol] = {name, status, text},
static const struct {
    const char *name;
    unsigned status;
    const char *text;
} rows[REASON_COUNT] = {[REASON_NONE] = {"none", 0, ""}, REASONS(ROW)};
#undef ROW

const char *reason_name(enum reason reason)
{
    return rows[reason].name;
}

unsigned reason_status(enum reason reason)
{
    return rows[reason].status;
}

const char *reason_text(enum reason reason)
{
    return rows[reason].text;
}
