/*
 * upgrade.c - which tunnel a client asks for, and whether the upstream opens it (RFC 9110 7.8).
 *
 * Connection and Upgrade belong to one hop: they are read here and dropped, and each leg says in
 * the words of its own version what was decided (struct request and struct response, upgrade).
 */
#include "http/rules.h"
#include "proxy/exchange.h"

/* Is the Upgrade field meant for us? */
static bool names_upgrade(const struct fields *fields)
{
    for (unsigned i = 0; i < fields->n; i++) {
        const struct field_line *line = &fields->line[i];

        if (line->id == FIELD_CONNECTION && !(line->mark & FIELD_DROPPED) &&
            rules_list_has(field_value(line), SPAN("upgrade")))
            return true;
    }
    return false;
}

static bool is_allowed(const struct route *route, struct sluice_span token)
{
    for (size_t i = 0; i < route->n_upgrades; i++) {
        if (span_equal_nocase(route->upgrades[i], token))
            return true;
    }
    return false;
}

struct sluice_span upgrade_wanted(const struct request *request, const struct route *route)
{
    const struct fields *fields = &request->fields;

    if (route->n_upgrades == 0 || request->minor == 0 || request_has_content(request) ||
        !fields_find(fields, FIELD_UPGRADE) || !names_upgrade(fields))
        return SPAN("");
    for (unsigned i = 0; i < fields->n; i++) {
        struct sluice_span rest = field_value(&fields->line[i]), token;

        if (fields->line[i].id != FIELD_UPGRADE || (fields->line[i].mark & FIELD_DROPPED))
            continue;
        while (span_split(&rest, ',', &token)) {
            if (is_allowed(route, token))
                return token;
        }
    }
    return SPAN("");
}

bool upgrade_is_granted(const struct response *response, struct sluice_span wanted)
{
    const struct fields *fields = &response->fields;

    if (wanted.len == 0 || response->minor == 0 || !fields_find(fields, FIELD_UPGRADE) ||
        !names_upgrade(fields))
        return false;
    for (unsigned i = 0; i < fields->n; i++) {
        const struct field_line *line = &fields->line[i];

        if (line->id == FIELD_UPGRADE && !(line->mark & FIELD_DROPPED) &&
            !span_equal_nocase(field_value(line), wanted))
            return false;
    }
    return true;
}
