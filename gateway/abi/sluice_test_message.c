/* sluice_test_message.c - the fake host's services about an exchange: fields, attributes, bodies,
 * replies. */
#include "sluice_test_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ATTRIBUTES = 4096 };

/* -- fields -------------------------------------------------------------------------- */

void fake_fields_add(struct fake_fields *fields, struct sluice_span name, struct sluice_span value)
{
    fields->line = fake_grow(fields->line, (fields->n + 1) * sizeof(*fields->line));
    fields->line[fields->n].name = fake_dup(name);
    fields->line[fields->n++].value = fake_dup(value);
}

static void remove_fields(struct fake_fields *fields, struct sluice_span name)
{
    size_t kept = 0;

    for (size_t i = 0; i < fields->n; i++) {
        if (fake_same_name(fake_span(fields->line[i].name), name)) {
            fake_drop(fields->line[i].name);
            fake_drop(fields->line[i].value);
        } else {
            fields->line[kept++] = fields->line[i];
        }
    }
    fields->n = kept;
}

void fake_fields_fini(struct fake_fields *fields)
{
    for (size_t i = 0; i < fields->n; i++) {
        fake_drop(fields->line[i].name);
        fake_drop(fields->line[i].value);
    }
    fake_drop(fields->line);
    *fields = (struct fake_fields){0};
}

static const char *find_field(const struct fake_fields *fields, struct sluice_span name)
{
    for (size_t i = 0; i < fields->n; i++) {
        if (fake_same_name(fake_span(fields->line[i].name), name))
            return fields->line[i].value;
    }
    return NULL;
}

static bool has_side(struct sluice_exchange *ex, enum sluice_side side, const char *service)
{
    if ((unsigned)side >= FAKE_SIDES) {
        fake_violation(ex->test, "%s() of side %u", service, (unsigned)side);
        return false;
    }
    return true;
}

static bool field_get(const struct sluice_call *call, enum sluice_side side,
                      struct sluice_span name, struct sluice_span *value)
{
    struct sluice_exchange *ex = fake_exchange(call, "field_get");
    const char *found;

    if (!has_side(ex, side, "field_get"))
        return false;
    found = find_field(&ex->fields[side], name);
    if (found)
        *value = fake_lend(ex->test, fake_span(found), 1U << side);
    return found != NULL;
}

static bool field_each(const struct sluice_call *call, enum sluice_side side, size_t *at,
                       struct sluice_pair *line)
{
    struct sluice_exchange *ex = fake_exchange(call, "field_each");

    if (!has_side(ex, side, "field_each") || *at >= ex->fields[side].n)
        return false;
    line->name = fake_lend(ex->test, fake_span(ex->fields[side].line[*at].name), 1U << side);
    line->value = fake_lend(ex->test, fake_span(ex->fields[side].line[*at].value), 1U << side);
    ++*at;
    return true;
}

static bool is_token(struct sluice_span name)
{
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.ptr[i];

        if (c <= ' ' || c >= 127 || strchr("()<>@,;:\\\"/[]?={}", c))
            return false;
    }
    return name.len > 0;
}

static bool is_clean(struct sluice_span value)
{
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];

        if ((c < ' ' && c != '\t') || c == 127)
            return false;
    }
    return true;
}

static bool is_gateways(struct sluice_span name)
{
    static const char *const names[] = {
        "connection",        "content-length", "keep-alive", "proxy-connection", "te", "trailer",
        "transfer-encoding", "upgrade",        "host"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (fake_same_name(name, fake_span(names[i])))
            return true;
    }
    return false;
}

static bool is_out(const struct sluice_exchange *ex, enum sluice_side side)
{
    switch (side) {
    case SLUICE_REQUEST:
        return ex->phase > SLUICE_PHASE_REQUEST_BODY ||
               (ex->phase == SLUICE_PHASE_REQUEST_BODY && ex->body[0].mode != SLUICE_BODY_WHOLE);
    case SLUICE_REQUEST_TRAILERS:
        return ex->phase > SLUICE_PHASE_REQUEST_TRAILERS;
    case SLUICE_ATTEMPT:
        return ex->phase != SLUICE_PHASE_ATTEMPT;
    case SLUICE_RESPONSE:
        return ex->phase != SLUICE_PHASE_RESPONSE_HEAD &&
               !(ex->phase == SLUICE_PHASE_RESPONSE_BODY && ex->body[1].mode == SLUICE_BODY_WHOLE);
    case SLUICE_RESPONSE_TRAILERS:
        return ex->phase == SLUICE_PHASE_DONE;
    }
    return true;
}

static bool may_change(const struct sluice_call *call, enum sluice_side side,
                       const struct sluice_pair *line, const char *service)
{
    struct sluice_exchange *ex = fake_exchange(call, service);

    if ((line->name.len && !line->name.ptr) || (line->value.len && !line->value.ptr))
        fake_violation(ex->test, "%s() of a span without bytes", service);
    if (!has_side(ex, side, service) || is_out(ex, side) || !is_token(line->name) ||
        !is_clean(line->value) || is_gateways(line->name) || fake_fails(ex->test))
        return false;
    return true;
}

/* Copies first: the new value may be a span of the very fields that end now. */
static bool change(const struct sluice_call *call, enum sluice_side side,
                   const struct sluice_pair *line, const char *service)
{
    struct sluice_exchange *ex = call->exchange;
    char *name, *value;

    if (!may_change(call, side, line, service))
        return false;
    name = fake_dup(line->name);
    value = fake_dup(line->value);
    fake_block_end(&ex->test->lent, &ex->test->quarantine, 1U << side);
    if (strcmp(service, "field_add") != 0)
        remove_fields(&ex->fields[side], fake_span(name));
    if (strcmp(service, "field_remove") != 0)
        fake_fields_add(&ex->fields[side], fake_span(name), fake_span(value));
    fake_drop(name);
    fake_drop(value);
    return true;
}

static bool field_set(const struct sluice_call *call, enum sluice_side side,
                      struct sluice_span name, struct sluice_span value)
{
    return change(call, side, &(struct sluice_pair){name, value}, "field_set");
}

static bool field_add(const struct sluice_call *call, enum sluice_side side,
                      struct sluice_span name, struct sluice_span value)
{
    return change(call, side, &(struct sluice_pair){name, value}, "field_add");
}

static bool field_remove(const struct sluice_call *call, enum sluice_side side,
                         struct sluice_span name)
{
    return change(call, side, &(struct sluice_pair){name, {"", 0}}, "field_remove");
}

/* -- attributes ------------------------------------------------------------------------- */

uint32_t fake_attribute(struct sluice_test *test, struct sluice_span name)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";

    for (uint32_t i = 0; i < test->n_attributes; i++) {
        if (fake_same(fake_span(test->attribute[i]), name))
            return i + 1;
    }
    for (size_t i = 0; i < name.len; i++) {
        if (!memchr(allowed, name.ptr[i], sizeof(allowed) - 1))
            return 0;
    }
    if (name.len == 0 || test->n_attributes == ATTRIBUTES)
        return 0;
    test->attribute =
        fake_grow(test->attribute, (test->n_attributes + 1) * sizeof(*test->attribute));
    test->attribute[test->n_attributes++] = fake_dup(name);
    return test->n_attributes;
}

bool fake_attribute_is_own(const struct sluice_test *test, uint32_t attribute)
{
    return attribute <= test->n_own_attributes;
}

void fake_attribute_put(struct sluice_exchange *ex, uint32_t attribute, struct sluice_span value)
{
    char *copy = value.ptr ? fake_dup(value) : NULL;

    if (attribute > ex->n_attributes) {
        ex->attribute = fake_grow(ex->attribute, attribute * sizeof(*ex->attribute));
        memset(ex->attribute + ex->n_attributes, 0,
               (attribute - ex->n_attributes) * sizeof(*ex->attribute));
        ex->n_attributes = attribute;
    }
    fake_drop(ex->attribute[attribute - 1]);
    ex->attribute[attribute - 1] = copy;
}

static const char *attribute_of(const struct sluice_exchange *ex, uint32_t attribute)
{
    return attribute && attribute <= ex->n_attributes ? ex->attribute[attribute - 1] : NULL;
}

static bool attribute_get(const struct sluice_call *call, uint32_t attribute,
                          struct sluice_span *value)
{
    struct sluice_exchange *ex = fake_exchange(call, "attribute_get");
    const char *found = attribute_of(ex, attribute);

    if (attribute > ex->test->n_attributes)
        fake_violation(ex->test, "attribute_get() of number %u, which nobody was given", attribute);
    if (found)
        *value = fake_span(found);
    return found != NULL;
}

static bool attribute_set(const struct sluice_call *call, uint32_t attribute,
                          struct sluice_span value)
{
    struct sluice_exchange *ex = fake_exchange(call, "attribute_set");

    if (attribute == 0 || attribute > ex->test->n_attributes) {
        fake_violation(ex->test, "attribute_set() of number %u, which nobody was given", attribute);
        return false;
    }
    if ((fake_attribute_is_own(ex->test, attribute) &&
         !fake_same(fake_span(ex->test->attribute[attribute - 1]), SLUICE_SPAN("request.id"))) ||
        fake_fails(ex->test))
        return false;
    fake_attribute_put(ex, attribute, value.ptr ? value : (struct sluice_span){"", 0});
    return true;
}

static int64_t known_fact(const struct sluice_exchange *ex, enum sluice_fact fact)
{
    switch (fact) {
    case SLUICE_FACT_STATUS: {
        struct sluice_test *test = ex->test;
        const char *status = attribute_of(ex, fake_attribute(test, SLUICE_SPAN("response.status")));

        return status          ? strtol(status, NULL, 10)
               : ex->reply.has ? (int64_t)ex->reply.shown.status
                               : -1;
    }
    case SLUICE_FACT_STATUS_UPSTREAM:
        return ex->attempt.is_done && ex->attempt.status ? ex->attempt.status : -1;
    case SLUICE_FACT_IS_LOCAL:
        return ex->reply.has;
    case SLUICE_FACT_REQUEST_BYTES:
        return (int64_t)ex->body[0].sent.len;
    case SLUICE_FACT_RESPONSE_BYTES:
        return (int64_t)ex->body[1].sent.len;
    case SLUICE_FACT_REQUEST_LENGTH: {
        const char *length = find_field(&ex->fields[SLUICE_REQUEST], SLUICE_SPAN("content-length"));

        return length ? strtol(length, NULL, 10) : -1;
    }
    case SLUICE_FACT_ATTEMPTS:
        return ex->attempt.number;
    case SLUICE_FACT_BEGUN_US:
        return (int64_t)ex->begun_us;
    case SLUICE_FACT_DURATION_US:
        return (int64_t)(ex->test->now_us - ex->begun_us);
    case SLUICE_FACT_UPSTREAM_US:
        return ex->attempt.is_done ? (int64_t)ex->attempt.duration_us : -1;
    case SLUICE_FACT_IS_COMPLETE:
        return ex->is_complete;
    case SLUICE_FACT_BEGUN_WALL_US:
        return (int64_t)(ex->test->wall_us - (ex->test->now_us - ex->begun_us));
    case SLUICE_FACT_IS_TUNNEL:
        return 0;
    }
    return -1;
}

static int64_t fact_get(const struct sluice_call *call, enum sluice_fact fact)
{
    struct sluice_exchange *ex = fake_exchange(call, "fact");

    if ((unsigned)fact >= FAKE_FACTS)
        return -1;
    return ex->has_fact & 1U << fact ? ex->fact[fact] : known_fact(ex, fact);
}

static bool target_set(const struct sluice_call *call, struct sluice_span path,
                       struct sluice_span query)
{
    struct sluice_exchange *ex = fake_exchange(call, "target_set");
    struct fake_text text = {0};

    if (ex->phase > SLUICE_PHASE_REQUEST_BODY || path.len == 0 || path.ptr[0] != '/' ||
        fake_fails(ex->test))
        return false;
    fake_add(&text, path.ptr, path.len);
    if (query.len) {
        fake_add(&text, "?", 1);
        fake_add(&text, query.ptr, query.len);
    }
    fake_drop(ex->target_set);
    ex->target_set = text.ptr;
    return true;
}

static bool upstream_set(const struct sluice_call *call, const struct sluice_upstream *upstream)
{
    struct sluice_exchange *ex = fake_exchange(call, "upstream_set");

    if (!upstream)
        fake_violation(ex->test, "upstream_set() of NULL");
    if (ex->phase > SLUICE_PHASE_REQUEST_BODY || !upstream)
        return false;
    fake_drop(ex->upstream_set);
    ex->upstream_set = fake_dup(fake_span(upstream->name));
    return true;
}

static struct sluice_span in_memory(struct sluice_exchange *ex, struct sluice_span text)
{
    char *copy;

    if (fake_fails(ex->test))
        return (struct sluice_span){NULL, 0};
    copy = fake_block_add(&ex->memory, text.len + 1);
    if (text.len)
        memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    return (struct sluice_span){copy, text.len};
}

/* The value of ${name}: a field of the message, or an attribute. NULL: not set. */
static const char *value_of(struct sluice_exchange *ex, struct sluice_span name)
{
    static const struct {
        struct sluice_span prefix;
        enum sluice_side side;
    } fields[] = {{SLUICE_SPAN_INIT("request.field."), SLUICE_REQUEST},
                  {SLUICE_SPAN_INIT("response.field."), SLUICE_RESPONSE}};

    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        size_t len = fields[i].prefix.len;

        if (name.len > len && memcmp(name.ptr, fields[i].prefix.ptr, len) == 0) {
            return find_field(&ex->fields[fields[i].side],
                              (struct sluice_span){name.ptr + len, name.len - len});
        }
    }
    return attribute_of(ex, fake_attribute(ex->test, name));
}

/* ${name} or ${name:-default} at hole; returns what follows it. */
static const char *fill(struct sluice_exchange *ex, const char *hole, struct fake_text *out)
{
    const char *name = hole + 2, *end = strchr(name, '}');
    size_t len = strcspn(name, ":}");
    const char *value = value_of(ex, (struct sluice_span){name, len});

    if (value) {
        fake_add(out, value, strlen(value));
    } else if (strncmp(name + len, ":-", 2) == 0) {
        fake_add(out, name + len + 2, (size_t)(end - name) - len - 2);
    }
    return end + 1;
}

static struct sluice_span render(const struct sluice_call *call, const struct sluice_template *text)
{
    struct sluice_exchange *ex = fake_exchange(call, "render");
    struct fake_text out = {0};
    struct sluice_span made;

    fake_add(&out, "", 0);
    for (const char *at = text->text, *hole; *at;) {
        hole = strstr(at, "${");
        fake_add(&out, at, hole ? (size_t)(hole - at) : strlen(at));
        at = hole ? fill(ex, hole, &out) : "";
    }
    made = in_memory(ex, (struct sluice_span){out.ptr, out.len});
    fake_text_fini(&out);
    return made;
}

/* -- replies ------------------------------------------------------------------------------- */

void fake_reply_set(struct sluice_exchange *ex, const struct sluice_reply *reply, bool is_plugins)
{
    struct fake_reply *kept = &ex->reply;
    char *reason = fake_dup(reply->reason), *type = fake_dup(reply->content_type);
    struct fake_text body = {0};

    fake_add(&body, reply->body.ptr, reply->body.len);
    for (size_t i = 0; i < reply->n_fields; i++) {
        fake_fields_add(&ex->fields[SLUICE_RESPONSE], reply->fields[i].name,
                        reply->fields[i].value);
    }
    fake_drop(kept->reason);
    fake_drop(kept->content_type);
    fake_text_fini(&kept->body);
    kept->reason = reason;
    kept->content_type = type;
    kept->body = body;
    kept->has = true;
    kept->shown =
        (struct sluice_test_reply){reply->status, reason, type, {body.ptr, body.len}, is_plugins};
}

static bool is_sound(struct sluice_test *test, const struct sluice_reply *reply,
                     const char *service)
{
    if (reply->size != sizeof(*reply)) {
        fake_violation(test, "%s() of a struct whose size is %u, not %zu", service, reply->size,
                       sizeof(*reply));
    }
    if (reply->status < 200 || reply->status > 599)
        fake_violation(test, "%s() with status %u", service, reply->status);
    for (size_t i = 0; i < reply->n_fields; i++) {
        if (!is_token(reply->fields[i].name) || !is_clean(reply->fields[i].value) ||
            is_gateways(reply->fields[i].name)) {
            fake_violation(test, "%s() with field '%.*s', which is malformed or the gateway's",
                           service, (int)reply->fields[i].name.len, reply->fields[i].name.ptr);
        }
    }
    return reply->status >= 200 && reply->status <= 599;
}

static bool reply(const struct sluice_call *call, const struct sluice_reply *reply)
{
    struct sluice_exchange *ex = fake_exchange(call, "reply");
    struct fake_call *made = ex->test->call;

    if (!is_sound(ex->test, reply, "reply"))
        return false;
    if (ex->phase > SLUICE_PHASE_ATTEMPT) {
        fake_violation(ex->test, "reply() in %s: only request phases may",
                       fake_phase_name(ex->phase));
        return false;
    }
    if (!made->is_phase && !ex->waiting)
        fake_violation(ex->test, "reply() in a completion of an exchange that does not wait");
    if (ex->response_begun)
        return false;
    fake_reply_set(ex, reply, true);
    made->has_reply = true;
    return true;
}

static bool reply_edit(const struct sluice_call *call, const struct sluice_reply *reply)
{
    struct sluice_exchange *ex = fake_exchange(call, "reply_edit");
    struct sluice_reply edited = *reply;

    if (!ex->test->call->may_edit) {
        fake_violation(ex->test, "reply_edit() outside of on_local_reply");
        return false;
    }
    if (!is_sound(ex->test, reply, "reply_edit") || fake_fails(ex->test))
        return false;
    if (reply->reason.len == 0)
        edited.reason = fake_span(ex->reply.reason);
    fake_reply_set(ex, &edited, true);
    return true;
}

static bool reply_get(const struct sluice_call *call, struct sluice_reply *reply)
{
    struct sluice_exchange *ex = fake_exchange(call, "reply_get");

    if (!ex->test->call->may_edit) {
        fake_violation(ex->test, "reply_get() outside of on_local_reply");
        return false;
    }
    *reply = (struct sluice_reply){.size = sizeof(*reply),
                                   .status = ex->reply.shown.status,
                                   .reason = fake_lend(ex->test, fake_span(ex->reply.reason), 0),
                                   .content_type =
                                       fake_lend(ex->test, fake_span(ex->reply.content_type), 0),
                                   .body = fake_lend(ex->test, ex->reply.shown.body, 0)};
    return true;
}

static void note(const struct sluice_call *call, struct sluice_span word)
{
    struct sluice_exchange *ex = fake_exchange(call, "note");

    for (size_t i = 0; i < word.len; i++) {
        if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789_", word.ptr[i]) || !word.ptr[i]) {
            fake_violation(ex->test, "note() of '%.*s': [a-z0-9_]+ is allowed", (int)word.len,
                           word.ptr);
        }
    }
    fake_format(&ex->notes, "%s%.*s", ex->notes.len ? "," : "", (int)word.len, word.ptr);
}

static void detach(const struct sluice_call *call, uint32_t phases)
{
    fake_exchange(call, "detach")->detached |= phases;
}

/* -- bodies ----------------------------------------------------------------------------- */

static bool body_want(const struct sluice_call *call, enum sluice_side side,
                      enum sluice_body_mode mode, uint64_t max_bytes)
{
    struct sluice_exchange *ex = fake_exchange(call, "body_want");
    const struct sluice_plugin *plugin = ex->test->plugin;
    bool of_response = side == SLUICE_RESPONSE;

    if (side != SLUICE_REQUEST && side != SLUICE_RESPONSE) {
        fake_violation(ex->test, "body_want() of side %u", (unsigned)side);
        return false;
    }
    if (mode != SLUICE_BODY_NONE &&
        !(of_response ? plugin->on_response_body : plugin->on_request_body))
        fake_violation(ex->test, "body_want() by a plugin without the phase that looks at it");
    if (mode == SLUICE_BODY_WHOLE && max_bytes == 0)
        fake_violation(ex->test, "body_want() of the whole without a limit");
    if (mode != SLUICE_BODY_NONE &&
        ex->phase != (of_response ? SLUICE_PHASE_RESPONSE_HEAD : SLUICE_PHASE_REQUEST_HEAD))
        return false;
    ex->body[of_response].mode = mode;
    ex->body[of_response].max = max_bytes;
    return true;
}

static bool body_replace(const struct sluice_call *call, struct sluice_span data)
{
    struct sluice_exchange *ex = fake_exchange(call, "body_replace");
    struct fake_body *body = &ex->body[ex->phase == SLUICE_PHASE_RESPONSE_BODY];

    if (ex->phase != SLUICE_PHASE_REQUEST_BODY && ex->phase != SLUICE_PHASE_RESPONSE_BODY) {
        fake_violation(ex->test, "body_replace() outside of a body phase");
        return false;
    }
    if (body->mode < SLUICE_BODY_EDIT || fake_fails(ex->test))
        return false;
    body->replaced.len = 0;
    fake_add(&body->replaced, data.ptr, data.len);
    body->is_replaced = true;
    return true;
}

static void *alloc(const struct sluice_call *call, size_t bytes)
{
    struct sluice_exchange *ex = fake_exchange(call, "alloc");

    return fake_fails(ex->test) ? NULL : fake_block_add(&ex->memory, bytes);
}

static struct sluice_span copy(const struct sluice_call *call, struct sluice_span text)
{
    return in_memory(fake_exchange(call, "copy"), text);
}

void fake_host_message(struct sluice_host *host)
{
    host->alloc = alloc;
    host->copy = copy;
    host->field_get = field_get;
    host->field_each = field_each;
    host->field_set = field_set;
    host->field_add = field_add;
    host->field_remove = field_remove;
    host->attribute_get = attribute_get;
    host->attribute_set = attribute_set;
    host->fact = fact_get;
    host->target_set = target_set;
    host->upstream_set = upstream_set;
    host->render = render;
    host->reply = reply;
    host->reply_edit = reply_edit;
    host->reply_get = reply_get;
    host->note = note;
    host->detach = detach;
    host->body_want = body_want;
    host->body_replace = body_replace;
}

/* -- for tests -------------------------------------------------------------------------- */

void sluice_test_field_add(struct sluice_exchange *ex, enum sluice_side side, const char *name,
                           const char *value)
{
    fake_fields_add(&ex->fields[side], fake_span(name), fake_span(value));
}

const char *sluice_test_field(struct sluice_exchange *ex, enum sluice_side side, const char *name)
{
    return find_field(&ex->fields[side], fake_span(name));
}

size_t sluice_test_field_count(struct sluice_exchange *ex, enum sluice_side side, const char *name)
{
    size_t n = 0;

    for (size_t i = 0; i < ex->fields[side].n; i++)
        n += fake_same_name(fake_span(ex->fields[side].line[i].name), fake_span(name));
    return n;
}

void sluice_test_attribute_set(struct sluice_exchange *ex, const char *name, const char *value)
{
    uint32_t attribute = fake_attribute(ex->test, fake_span(name));

    if (attribute == 0)
        fake_misuse("'%s' is not the name of an attribute", name);
    fake_attribute_put(ex, attribute, fake_span(value));
}

const char *sluice_test_attribute(struct sluice_exchange *ex, const char *name)
{
    return attribute_of(ex, fake_attribute(ex->test, fake_span(name)));
}

void sluice_test_fact_set(struct sluice_exchange *ex, enum sluice_fact fact, int64_t value)
{
    ex->fact[fact] = value;
    ex->has_fact |= 1U << fact;
}

const struct sluice_test_reply *sluice_test_reply(const struct sluice_exchange *ex)
{
    return ex->reply.has ? &ex->reply.shown : NULL;
}

struct sluice_span sluice_test_body(const struct sluice_exchange *ex, enum sluice_side side)
{
    const struct fake_text *sent = &ex->body[side == SLUICE_RESPONSE].sent;

    return (struct sluice_span){sent->ptr ? sent->ptr : "", sent->len};
}

const char *sluice_test_notes(const struct sluice_exchange *ex)
{
    return ex->notes.len ? ex->notes.ptr : "";
}

const char *sluice_test_span(const struct sluice_exchange *ex, const char *name)
{
    return find_field(&ex->spans, fake_span(name));
}

const char *sluice_test_upstream(const struct sluice_exchange *ex)
{
    return ex->upstream_set;
}

const char *sluice_test_target(const struct sluice_exchange *ex)
{
    return ex->target_set;
}
