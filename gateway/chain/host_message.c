/*
 * host_message.c - services about the message: fields, attributes, answers, words for the log.
 *
 * What a plugin gives is copied into the exchange's memory, within a limit, and nothing it gives
 * can break out of its line or change how a message is framed.
 */
#include "chain/host_message.h"

#include "base/log.h"
#include "chain/set.h"
#include "http/octet.h"

#include <string.h>

enum { NOTES_MAX = 256, PAIRS_MAX = 24, SPANS_MAX = 64, ID_MAX = 128 };

/* -- memory ------------------------------------------------------------------------ */

void *run_alloc(struct sluice_exchange *ex, size_t bytes)
{
    void *memory;

    if (bytes > ex->arena_left)
        return NULL;
    memory = arena_try_raw(ex->arena, bytes > 0 ? bytes : 1);
    if (memory)
        ex->arena_left -= bytes;
    return memory;
}

struct sluice_span run_copy(struct sluice_exchange *ex, struct sluice_span text)
{
    char *copy = run_alloc(ex, text.len + 1);

    if (!copy)
        return (struct sluice_span){NULL, 0};
    if (text.len > 0)
        memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    return span_make(copy, text.len);
}

/* -- fields --------------------------------------------------------------------------- */

/*
 * How a message is delimited, what belongs to one connection, and where a request goes (`host` of
 * routes and upstreams says): the gateway's own business.
 */
static bool is_ours(enum field_id id)
{
    const uint64_t ours = field_bit(FIELD_CONTENT_LENGTH) | field_bit(FIELD_TRANSFER_ENCODING) |
                          field_bit(FIELD_CONNECTION) | field_bit(FIELD_KEEP_ALIVE) |
                          field_bit(FIELD_TE) | field_bit(FIELD_TRAILER) |
                          field_bit(FIELD_UPGRADE) | field_bit(FIELD_PROXY_CONNECTION) |
                          field_bit(FIELD_HOST);

    return (ours & field_bit(id)) != 0;
}

/* Does a callback of that phase run, beside the two directions? */
static bool is_in(const struct sluice_exchange *ex, enum sluice_phase phase)
{
    return ex->running && ex->flow == CHAIN_ASIDE && ex->wait[CHAIN_ASIDE].phase == phase;
}

static struct fields *fields_of(const struct sluice_call *call, enum sluice_side side,
                                bool to_change)
{
    struct sluice_exchange *ex = call->exchange;
    bool frozen = false;
    struct fields *fields;

    if (!ex || (to_change && side == SLUICE_ATTEMPT && !is_in(ex, SLUICE_PHASE_ATTEMPT)))
        return NULL;
    fields = ex->ops->fields(ex->owner, side, &frozen);
    return fields && !(to_change && frozen) ? fields : NULL;
}

/* The same to look at them. The request's own, which most ask for, are there always. */
static const struct fields *fields_seen(const struct sluice_call *call, enum sluice_side side)
{
    const struct sluice_exchange *ex = call->exchange;

    if (ex && side == SLUICE_REQUEST)
        return &ex->ops->request(ex->owner)->fields;
    return fields_of(call, side, false);
}

struct sluice_span run_field(struct sluice_exchange *ex, enum sluice_side side,
                             struct sluice_span name)
{
    bool frozen;
    const struct fields *fields = ex->ops->fields(ex->owner, side, &frozen);
    const struct field_line *line;
    unsigned at = 0;

    line = fields ? fields_next(fields, name, &at) : NULL;
    return line ? field_value(line) : (struct sluice_span){NULL, 0};
}

bool host_field_get(const struct sluice_call *call, enum sluice_side side, struct sluice_span name,
                    struct sluice_span *value)
{
    const struct fields *fields = fields_seen(call, side);
    const struct field_line *line;
    unsigned at = 0;

    line = fields ? fields_next(fields, name, &at) : NULL;
    if (line)
        *value = field_value(line);
    return line != NULL;
}

bool host_field_each(const struct sluice_call *call, enum sluice_side side, size_t *at,
                     struct sluice_pair *line)
{
    const struct fields *fields = fields_seen(call, side);

    while (fields && *at < fields->n) {
        const struct field_line *one = &fields->line[(*at)++];

        if (one->mark & FIELD_DROPPED)
            continue;
        line->name = field_name(one);
        line->value = field_value(one);
        return true;
    }
    return false;
}

/* Keep a line in one piece, as HTTP/1 writes it: then it is sent in one. False: no room. */
static bool keep_line(struct sluice_exchange *ex, struct sluice_span *name,
                      struct sluice_span *value)
{
    char *copy;

    if (name->len == 0 || name->len > UINT16_MAX || value->len > ex->arena_left)
        return false;
    copy = run_alloc(ex, name->len + 2 + value->len + 2);
    if (!copy)
        return false;
    memcpy(copy, name->ptr, name->len);
    name->ptr = copy;
    copy += name->len;
    copy[0] = ':';
    copy[1] = ' ';
    if (value->len > 0)
        memcpy(copy + 2, value->ptr, value->len);
    value->ptr = copy + 2;
    copy += 2 + value->len;
    copy[0] = '\r'; /* what lies behind it goes out with it */
    copy[1] = '\n';
    return true;
}

static bool change(const struct sluice_call *call, enum sluice_side side, struct sluice_span name,
                   struct sluice_span value, bool add)
{
    struct fields *fields = fields_of(call, side, true);
    enum field_id id = name_find(name);

    if (!fields || is_ours(id) || !keep_line(call->exchange, &name, &value))
        return false;
    if (!fields->arena)
        fields->arena = call->exchange->arena;
    return (add ? fields_add_known(fields, id, name, value)
                : fields_set_known(fields, id, name, value)) == OK;
}

bool host_field_set(const struct sluice_call *call, enum sluice_side side, struct sluice_span name,
                    struct sluice_span value)
{
    return change(call, side, name, value, false);
}

bool host_field_add(const struct sluice_call *call, enum sluice_side side, struct sluice_span name,
                    struct sluice_span value)
{
    return change(call, side, name, value, true);
}

bool host_field_remove(const struct sluice_call *call, enum sluice_side side,
                       struct sluice_span name)
{
    struct fields *fields = fields_of(call, side, true);

    if (!fields || is_ours(name_find(name)))
        return false;
    (void)fields_remove(fields, name);
    return true;
}

/* -- attributes --------------------------------------------------------------------------- */

bool run_attribute(struct sluice_exchange *ex, uint32_t attribute, struct sluice_span *value)
{
    if (attribute == CHAIN_NO_ATTRIBUTE)
        return false;
    if (attribute < CHAIN_ATTRIBUTES_OWN) {
        *value = ex->ops->attribute(ex->owner, (enum chain_attribute)attribute);
        return value->len > 0;
    }
    attribute -= CHAIN_ATTRIBUTES_OWN;
    if (!ex->attributes || attribute >= ex->view->set->attributes.n ||
        !ex->attributes[attribute].ptr)
        return false;
    *value = ex->attributes[attribute];
    return true;
}

bool host_attribute_get(const struct sluice_call *call, uint32_t attribute,
                        struct sluice_span *value)
{
    return call->exchange && run_attribute(call->exchange, attribute, value);
}

typedef unsigned char octets16 __attribute__((vector_size(16)));

static inline bool are_of_id(const char *octets)
{
    octets16 c, wrong;
    uint64_t words[2];

    memcpy(&c, octets, sizeof(c));
    wrong = (octets16)((c <= ' ') | (c > '~') | (c == '"') | (c == '\\') | (c == '<') | (c == '>') |
                       (c == '&'));
    memcpy(words, &wrong, sizeof(words));
    return (words[0] | words[1]) == 0;
}

/* It stands in logs, fields and pages of all kinds: nothing in it needs quoting anywhere. */
static bool is_id(struct sluice_span id)
{
    if (id.len == 0 || id.len > ID_MAX)
        return false;
    if (id.len >= sizeof(octets16)) {
        for (size_t i = 0; i + sizeof(octets16) < id.len; i += sizeof(octets16)) {
            if (!are_of_id(id.ptr + i))
                return false;
        }
        return are_of_id(id.ptr + id.len - sizeof(octets16)); /* overlaps, no matter */
    }
    for (size_t i = 0; i < id.len; i++) {
        char c = id.ptr[i];

        if (c <= ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&')
            return false;
    }
    return true;
}

static bool set_id(struct sluice_exchange *ex, struct sluice_span id)
{
    struct sluice_span copy;

    if (!ex->running || ex->flow != CHAIN_REQUEST ||
        ex->wait[CHAIN_REQUEST].phase != SLUICE_PHASE_REQUEST_HEAD || !is_id(id))
        return false;
    copy = run_copy(ex, id);
    if (copy.ptr)
        ex->ops->id_set(ex->owner, copy);
    return copy.ptr != NULL;
}

bool host_attribute_set(const struct sluice_call *call, uint32_t attribute,
                        struct sluice_span value)
{
    struct sluice_exchange *ex = call->exchange;
    struct sluice_span copy;
    unsigned n;

    if (!ex)
        return false;
    if (attribute == CHAIN_ID)
        return set_id(ex, value);
    n = ex->view->set->attributes.n;
    if (attribute < CHAIN_ATTRIBUTES_OWN || attribute - CHAIN_ATTRIBUTES_OWN >= n)
        return false;
    if (!ex->attributes)
        ex->attributes = arena_try(ex->arena, n * sizeof(*ex->attributes));
    copy = run_copy(ex, value);
    if (!ex->attributes || !copy.ptr)
        return false;
    ex->attributes[attribute - CHAIN_ATTRIBUTES_OWN] = copy;
    return true;
}

/* -- answers ---------------------------------------------------------------------------------- */

static bool is_word(struct sluice_span word)
{
    for (size_t i = 0; i < word.len; i++) {
        char c = word.ptr[i];

        if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_')
            return false;
    }
    return word.len > 0 && word.len <= 64;
}

/* A word that note() said and reply() gives as its reason is said once. */
static bool is_noted(struct sluice_span notes, struct sluice_span word)
{
    struct sluice_span one;

    while (span_split(&notes, ',', &one)) {
        if (span_equal(one, word))
            return true;
    }
    return false;
}

void host_note(const struct sluice_call *call, struct sluice_span word)
{
    struct sluice_exchange *ex = call->exchange;
    char *both;

    if (!ex || !is_word(word) || ex->notes.len + word.len + 1 > NOTES_MAX ||
        is_noted(ex->notes, word))
        return;
    if (ex->notes.len == 0) {
        ex->notes = run_copy(ex, word);
        return;
    }
    both = run_alloc(ex, ex->notes.len + word.len + 2);
    if (!both)
        return;
    memcpy(both, ex->notes.ptr, ex->notes.len);
    both[ex->notes.len] = ',';
    memcpy(both + ex->notes.len + 1, word.ptr, word.len);
    ex->notes = span_make(both, ex->notes.len + word.len + 1);
}

static bool copy_pairs(struct sluice_exchange *ex, const struct sluice_reply *reply,
                       struct chain_reply *kept)
{
    struct sluice_pair *pairs;

    kept->n_fields = 0;
    if (reply->n_fields == 0)
        return true;
    pairs = run_alloc(ex, reply->n_fields * sizeof(*pairs));
    for (size_t i = 0; pairs && i < reply->n_fields; i++) {
        struct sluice_span name = reply->fields[i].name, value = reply->fields[i].value;

        if (is_ours(name_find(name)))
            continue;
        pairs[kept->n_fields].name = run_copy(ex, name);
        pairs[kept->n_fields].value = run_copy(ex, value);
        if (!pairs[kept->n_fields].name.ptr || !pairs[kept->n_fields].value.ptr)
            return false;
        kept->n_fields++;
    }
    kept->fields = pairs;
    return pairs != NULL;
}

static bool keep_reply(struct sluice_exchange *ex, const struct sluice_reply *reply,
                       struct chain_reply *kept)
{
    kept->status = reply->status;
    kept->content_type = run_copy(ex, reply->content_type);
    kept->body = (struct sluice_span){NULL, 0};
    if (reply->body.len > 0) {
        kept->body = arena_copy(ex->arena, reply->body); /* the plugin's own limit holds */
        if (!kept->body.ptr)
            return false;
    }
    return kept->content_type.ptr && copy_pairs(ex, reply, kept);
}

bool host_reply(const struct sluice_call *call, const struct sluice_reply *reply)
{
    struct sluice_exchange *ex = call->exchange;
    struct chain_reply kept = {0};

    if (!ex || !ex->running || reply->status < 200 || reply->status > 599 ||
        ex->flow == CHAIN_RESPONSE || ex->ops->fact(ex->owner, SLUICE_FACT_STATUS) > 0)
        return false;
    if (!keep_reply(ex, reply, &kept))
        return false;
    if (reply->reason.len > 0)
        host_note(call, reply->reason);
    kept.reason = is_word(reply->reason) ? run_copy(ex, reply->reason) : SPAN("");
    ex->reply = kept;
    return true;
}

bool host_reply_edit(const struct sluice_call *call, const struct sluice_reply *reply)
{
    struct sluice_exchange *ex = call->exchange;
    struct chain_reply kept = {0};

    if (!ex || !ex->edited || reply->status < 200 || reply->status > 599 ||
        !keep_reply(ex, reply, &kept))
        return false;
    for (size_t i = 0; i < kept.n_fields; i++) {
        if (!change(call, SLUICE_RESPONSE, kept.fields[i].name, kept.fields[i].value, true))
            return false;
    }
    ex->edited->status = kept.status;
    if (kept.content_type.len > 0)
        ex->edited->content_type = kept.content_type;
    if (kept.body.len > 0)
        ex->edited->body = kept.body;
    return true;
}

bool host_reply_get(const struct sluice_call *call, struct sluice_reply *reply)
{
    const struct chain_reply *edited = call->exchange ? call->exchange->edited : NULL;

    if (!edited)
        return false;
    *reply = (struct sluice_reply){.size = sizeof(*reply),
                                   .status = edited->status,
                                   .reason = edited->reason,
                                   .content_type = edited->content_type,
                                   .body = edited->body};
    return true;
}

/* -- telling ----------------------------------------------------------------------------------- */

static enum log_level level_of(enum sluice_log_level level)
{
    switch (level) {
    case SLUICE_LOG_TRACE:
        return LOG_TRACE;
    case SLUICE_LOG_DEBUG:
        return LOG_DEBUG;
    case SLUICE_LOG_INFO:
        return LOG_INFO;
    case SLUICE_LOG_WARN:
        return LOG_WARN;
    case SLUICE_LOG_ERROR:
        break;
    }
    return LOG_ERROR;
}

bool host_log_enabled(enum sluice_log_level level)
{
    return log_is_on(level_of(level));
}

void host_log(const struct sluice_call *call, enum sluice_log_level level, const char *message,
              const struct sluice_pair *pairs, size_t n)
{
    struct log_field fields[PAIRS_MAX + 4];
    char names[PAIRS_MAX][64];
    const struct chain_entry *entry = call->place->entry;
    struct sluice_exchange *ex = call->exchange;
    size_t at = 0;

    if (!host_log_enabled(level))
        return;
    fields[at++] = F_STR("plugin", entry->about->name);
    fields[at++] = F_SPAN("place", entry->place);
    if (ex)
        fields[at++] = F_SPAN("request_id", ex->ops->attribute(ex->owner, CHAIN_ID));
    for (size_t i = 0; i < n && i < PAIRS_MAX; i++) {
        size_t len =
            pairs[i].name.len < sizeof(names[i]) ? pairs[i].name.len : sizeof(names[i]) - 1;

        memcpy(names[i], pairs[i].name.ptr, len);
        names[i][len] = '\0';
        fields[at++] = F_SPAN(names[i], pairs[i].value);
    }
    fields[at] = (struct log_field){0};
    log_write(level_of(level), message, fields);
}

void host_span_attribute(const struct sluice_call *call, struct sluice_span name,
                         struct sluice_span value)
{
    struct sluice_exchange *ex = call->exchange;
    struct state_span *span;

    if (!ex || ex->n_spans == SPANS_MAX)
        return;
    span = run_alloc(ex, sizeof(*span));
    if (!span)
        return;
    span->pair.name = run_copy(ex, name);
    span->pair.value = run_copy(ex, value);
    span->next = NULL;
    if (!span->pair.name.ptr || !span->pair.value.ptr)
        return;
    *(ex->last_span ? &ex->last_span->next : &ex->spans) = span;
    ex->last_span = span;
    ex->n_spans++;
}

bool host_span_attribute_each(const struct sluice_call *call, size_t *at, struct sluice_pair *pair)
{
    const struct state_span *span = call->exchange ? call->exchange->spans : NULL;

    for (size_t i = 0; span && i < *at; i++)
        span = span->next;
    if (!span)
        return false;
    ++*at;
    *pair = span->pair;
    return true;
}

void host_report(const struct sluice_call *call, struct sluice_span json)
{
    if (call->place->report)
        text_add(call->place->report, json);
}
