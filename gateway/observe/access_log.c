/*
 * access_log.c - the "access_log:" map, and formats compiled from it.
 *
 * Both forms are compiled whichever is chosen, so that an error in the other is told before
 * somebody switches to it.
 */
#include "observe/access_log.h"

#include "config/note.h"
#include "observe/access_format.h"

#include <string.h>

/* X(name, kind, member of struct access_record) */
#define ACCESS_TABLE(X)                                                                            \
    X("time", TIME, wall_us)                                                                       \
    X("request_id", SPAN, request_id)                                                              \
    X("client", SPAN, client)                                                                      \
    X("client_port", UINT32, client_port)                                                          \
    X("method", SPAN, method)                                                                      \
    X("scheme", SPAN, scheme)                                                                      \
    X("host", SPAN, host)                                                                          \
    X("path", SPAN, path)                                                                          \
    X("query", QUERY, query)                                                                       \
    X("target", SPAN, target)                                                                      \
    X("protocol", SPAN, protocol)                                                                  \
    X("status", INT, status)                                                                       \
    X("grpc_status", INT, grpc_status)                                                             \
    X("reason", CHARS, reason)                                                                     \
    X("bytes_in", INT, bytes_in)                                                                   \
    X("bytes_out", INT, bytes_out)                                                                 \
    X("duration_ms", MS, duration_us)                                                              \
    X("upstream_ms", MS, upstream_us)                                                              \
    X("connect_reused", BOOL, reused)                                                              \
    X("route", SPAN, route)                                                                        \
    X("upstream", SPAN, upstream)                                                                  \
    X("endpoint", SPAN, endpoint)                                                                  \
    X("tries", UINT32, tries)                                                                      \
    X("retry_reasons", SPAN, retry_reasons)                                                        \
    X("hedged", CHARS, hedged)                                                                     \
    X("listener", SPAN, listener)                                                                  \
    X("worker", UINT32, worker)                                                                    \
    X("connection", UINT, connection)                                                              \
    X("connection_requests", UINT, connection_requests)                                            \
    X("stream", UINT32, stream)                                                                    \
    X("generation", UINT, generation)                                                              \
    X("notes", SPAN, notes)

#define ACCESS_NAME(name, kind, member)  name,
#define ACCESS_KNOWN(name, kind, member) {ACCESS_##kind, offsetof(struct access_record, member)},
#define ACCESS_FACT_NAME(symbol, name)   name,
#define ACCESS_FACT_KNOWN(symbol, name)  {ACCESS_FACT, ACCESS_FACT_##symbol},

static const struct access_known known[] = {ACCESS_TABLE(ACCESS_KNOWN)
                                                ACCESS_FACTS(ACCESS_FACT_KNOWN)};

/* Short names of fields that are often wanted. */
static const struct alias {
    const char *name, *field;
} aliases[] = {
    {"user_agent", "user-agent"}, {"referer", "referer"}, {"forwarded_for", "x-forwarded-for"}};

/* For the nearest name: the table's, then the aliases'. */
static const char *const names[] = {ACCESS_TABLE(ACCESS_NAME)
                                        ACCESS_FACTS(ACCESS_FACT_NAME) "user_agent",
                                    "referer", "forwarded_for"};

enum { N_KNOWN = sizeof known / sizeof *known, N_ALIASES = sizeof aliases / sizeof *aliases };
enum { N_NAMES = sizeof names / sizeof *names };

_Static_assert((int)N_KNOWN <= (int)ACCESS_KNOWN_MAX, "so many numbers");
_Static_assert((int)N_NAMES == (int)N_KNOWN + (int)N_ALIASES, "every alias needs its name");

/* They let who reads the log act as somebody else. */
static const char *const secrets[] = {"authorization", "proxy-authorization", "cookie",
                                      "set-cookie", "x-api-key"};

#define ALLOWED                                                                                    \
    "time, request_id, client, client_port, method, scheme, host, path, query, target, protocol, " \
    "status, grpc_status, reason, bytes_in, bytes_out, duration_ms, upstream_ms, connect_reused, " \
    "route, "                                                                                      \
    "upstream, endpoint, tries, retry_reasons, hedged, listener, worker, connection, "             \
    "connection_requests, stream, generation, notes, tls_version, tls_cipher, tls_sni, "           \
    "tls_alpn, tls_session, tls_early, tls_client_subject, tls_client_fingerprint, proxy, "        \
    "proxy_unique_id, reset_by, reset_code, upstream_protocol, "                                   \
    "user_agent, referer, forwarded_for, req.NAME, resp.NAME, attr.NAME"

/* A format being compiled. */
struct compile {
    struct bind *bind;
    struct mark at;     /* of the name, or of the pattern */
    size_t position;    /* in the pattern, from 1; 0: not in a pattern */
    struct text before; /* constant bytes that wait for the next step */
    struct access_step steps[ACCESS_STEPS_MAX];
    size_t n_steps;
    bool failed;
};

const struct access_known *access_known(unsigned number)
{
    return number < N_KNOWN ? &known[number] : NULL;
}

/* -- names -------------------------------------------------------------- */

static void refuse(struct compile *compile, const char *hint, const char *what,
                   struct sluice_span name)
{
    int shown = name.len < ACCESS_NAME_MAX ? (int)name.len : ACCESS_NAME_MAX;

    compile->failed = true;
    if (compile->position) {
        notes_error(compile->bind->notes, compile->at, hint,
                    "%s '%.*s' at position %zu of the pattern", what, shown,
                    name.ptr ? name.ptr : "", compile->position);
    } else {
        notes_error(compile->bind->notes, compile->at, hint, "%s '%.*s'", what, shown,
                    name.ptr ? name.ptr : "");
    }
}

static void refuse_unknown(struct compile *compile, struct sluice_span name)
{
    const char *nearest = notes_nearest(name, names, N_NAMES);
    struct text hint;

    text_init(&hint, 1024);
    if (nearest)
        text_format(&hint, "did you mean '%s'? ", nearest);
    text_add(&hint, SPAN("allowed: " ALLOWED));
    refuse(compile, hint.ptr, "unknown access log field", name);
    text_fini(&hint);
}

/* RFC 9110 5.6.2. */
static bool is_token(struct sluice_span name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        char lower = (char)(c | 0x20);

        if ((lower < 'a' || lower > 'z') && (c < '0' || c > '9') &&
            (c == '\0' || !strchr("!#$%&'*+-.^_`|~", c)))
            return false;
    }
    return name.len > 0 && name.len <= ACCESS_NAME_MAX;
}

static bool find_message_field(struct compile *compile, struct sluice_span name, bool of_response,
                               struct access_step *step)
{
    size_t prefix = of_response ? sizeof "resp." - 1 : sizeof "req." - 1;
    struct sluice_span field = span_make(name.ptr + prefix, name.len - prefix);
    char lower[ACCESS_NAME_MAX];

    if (!is_token(field)) {
        refuse(compile, "a field name has 1 to 64 letters, digits or dashes, as in req.x-version",
               "malformed field name", name);
        return false;
    }
    for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++) {
        if (!span_equal_nocase(field, span_of(secrets[i])))
            continue;
        refuse(compile, "its value would let a reader of the log act as the client", "secret field",
               name);
        return false;
    }
    for (size_t i = 0; i < field.len; i++) {
        char c = field.ptr[i];

        lower[i] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
    }
    step->kind = ACCESS_FIELD;
    step->of_response = of_response;
    step->name = arena_copy(compile->bind->arena, span_make(lower, field.len));
    return true;
}

static bool find_attribute(struct compile *compile, struct sluice_span name,
                           struct access_step *step)
{
    struct sluice_span attribute =
        span_make(name.ptr + sizeof "attr." - 1, name.len - (sizeof "attr." - 1));

    if (!is_token(attribute)) {
        refuse(compile, "an attribute has a name such as attr.consumer.name",
               "malformed attribute name", name);
        return false;
    }
    step->kind = ACCESS_ATTRIBUTE;
    step->name = arena_copy(compile->bind->arena, attribute);
    return true;
}

static bool find_name(struct compile *compile, struct sluice_span name, struct access_step *step)
{
    for (size_t i = 0; i < N_KNOWN; i++) {
        if (!span_equal(name, span_of(names[i])))
            continue;
        step->kind = known[i].kind;
        step->offset = known[i].offset;
        step->number = (unsigned)i;
        return true;
    }
    for (size_t i = 0; i < N_ALIASES; i++) {
        if (!span_equal(name, span_of(aliases[i].name)))
            continue;
        step->kind = ACCESS_FIELD;
        step->name = span_of(aliases[i].field);
        return true;
    }
    if (span_starts(name, SPAN("req.")))
        return find_message_field(compile, name, false, step);
    if (span_starts(name, SPAN("resp.")))
        return find_message_field(compile, name, true, step);
    if (span_starts(name, SPAN("attr.")))
        return find_attribute(compile, name, step);
    refuse_unknown(compile, name);
    return false;
}

/* -- compiling ---------------------------------------------------------- */

static struct compile *compile_new(struct bind *bind, const struct tree *node,
                                   struct sluice_span key)
{
    struct compile *compile = arena_new(bind->arena, sizeof *compile);
    const struct tree *entry = tree_find(node, key);

    compile->bind = bind;
    if (entry)
        compile->at = entry->at;
    text_init(&compile->before, ACCESS_PATTERN_MAX + 1); /* and the line's end */
    return compile;
}

/* Take the constant bytes gathered so far into the arena: whole, or the format is refused. */
static struct sluice_span take_before(struct compile *compile)
{
    struct sluice_span taken = arena_copy(compile->bind->arena, text_span(&compile->before));

    if (compile->before.cut || !taken.ptr) {
        compile->failed = true;
        notes_error(compile->bind->notes, compile->at, NULL, "out of memory");
    }
    text_reset(&compile->before);
    return taken;
}

/* A step for name, with the constant bytes gathered before it. */
static void add_step(struct compile *compile, struct sluice_span name)
{
    struct access_step *step;

    if (compile->n_steps == ACCESS_STEPS_MAX) {
        refuse(compile, "a line has at most 64 fields", "no room for access log field", name);
        return;
    }
    step = &compile->steps[compile->n_steps];
    if (!find_name(compile, name, step))
        return;
    step->before = take_before(compile);
    compile->n_steps++;
}

/* End with what is left as constant bytes; NULL when anything was wrong. */
static struct access_format *compile_end(struct compile *compile, enum access_form form)
{
    struct sluice_span last = take_before(compile);
    struct access_format *format = NULL;

    if (!compile->failed) {
        format = arena_new(compile->bind->arena, sizeof *format);
        format->form = form;
        format->steps = compile->steps; /* in the arena, as all of compile */
        format->n_steps = compile->n_steps;
        format->last = last;
    }
    text_fini(&compile->before);
    return format;
}

static bool is_listed_before(const struct items *fields, size_t index)
{
    const struct sluice_span *list = fields->first;

    for (size_t i = 0; i < index; i++) {
        if (span_equal(list[i], list[index]))
            return true;
    }
    return false;
}

/* {"time":...,"status":...} */
static struct access_format *compile_json(struct bind *bind, const struct tree *node,
                                          const struct items *fields)
{
    struct compile *compile = compile_new(bind, node, SPAN("fields"));
    const struct tree *list = tree_find(node, SPAN("fields"));
    const struct tree *item = list && list->kind == TREE_LIST ? list->first : NULL;
    const struct sluice_span *field = fields->first;

    for (size_t i = 0; i < fields->n; i++) {
        if (item)
            compile->at = item->at;
        if (is_listed_before(fields, i)) {
            refuse(compile, "a name occurs once in a JSON object",
                   "access log field listed twice:", field[i]);
        }
        text_reset(&compile->before);
        text_add_char(&compile->before, i ? ',' : '{');
        text_add_char(&compile->before, '"');
        text_add_json(&compile->before, field[i]);
        text_add(&compile->before, SPAN("\":"));
        add_step(compile, field[i]);
        item = item ? item->next : NULL;
    }
    text_reset(&compile->before);
    text_add(&compile->before, SPAN("}\n"));
    return compile_end(compile, ACCESS_JSON);
}

/* Take what stands at *at: "{{", "{name}" or a byte. */
static void compile_piece(struct compile *compile, struct sluice_span pattern, size_t *at)
{
    struct sluice_span rest = span_make(pattern.ptr + *at, pattern.len - *at);
    size_t end;

    compile->position = *at + 1;
    if (span_starts(rest, SPAN("{{"))) {
        text_add_char(&compile->before, '{');
        *at += 2;
        return;
    }
    if (rest.ptr[0] != '{') {
        if ((unsigned char)rest.ptr[0] < 0x20 && rest.ptr[0] != '\t') {
            refuse(compile, "a line ends by itself; of control bytes only tabs are allowed",
                   "control byte", rest.ptr[0] == '\n' ? SPAN("\\n") : SPAN(""));
        }
        text_add_char(&compile->before, rest.ptr[0]);
        ++*at;
        return;
    }
    end = span_find(rest, '}');
    if (end == rest.len) {
        refuse(compile, "write {field}, or {{ for a brace", "unclosed", span_make(rest.ptr, end));
        *at = pattern.len;
        return;
    }
    add_step(compile, span_make(rest.ptr + 1, end - 1));
    *at += end + 1;
}

static struct access_format *compile_pattern(struct bind *bind, const struct tree *node,
                                             struct sluice_span pattern)
{
    struct compile *compile = compile_new(bind, node, SPAN("pattern"));
    size_t at = 0;

    if (pattern.len == 0 || pattern.len > ACCESS_PATTERN_MAX) {
        compile->failed = true;
        notes_error(bind->notes, compile->at, NULL, "the pattern must have 1 to %d bytes",
                    ACCESS_PATTERN_MAX);
        at = pattern.len;
    }
    while (at < pattern.len)
        compile_piece(compile, pattern, &at);
    text_add_char(&compile->before, '\n');
    return compile_end(compile, ACCESS_PATTERN);
}

/* -- the map ------------------------------------------------------------ */

static void access_log_check(struct bind *bind, const struct tree *node, void *out)
{
    struct access_log_conf *conf = out;
    struct access_format *json = compile_json(bind, node, &conf->fields);
    struct access_format *pattern = compile_pattern(bind, node, conf->pattern);
    const struct tree *path = tree_find(node, SPAN("path"));

    conf->format = conf->form == ACCESS_JSON ? json : pattern;
    if (conf->path.len == 0) {
        notes_error(bind->notes, path ? path->at : node->at, "write \"off\" for no access log",
                    "the access log's path is empty");
    }
}

static const struct choice forms[] = {
    {"json", ACCESS_JSON, "an object a line, with the listed fields"},
    {"pattern", ACCESS_PATTERN, "the pattern with its fields filled in"},
    {NULL, 0, NULL},
};
static const struct shape form_shape = {
    .kind = SHAPE_CHOICE, .size = sizeof(int), .choices = forms};
static const struct shape fields_shape = {.kind = SHAPE_LIST,
                                          .size = sizeof(struct items),
                                          .element = &shape_text,
                                          .min = 1,
                                          .max = ACCESS_STEPS_MAX,
                                          .what = "a list of access log fields"};

#define AT(member) offsetof(struct access_log_conf, member)

static const struct field access_log_fields[] = {
    {"path", &shape_text, AT(path), "off", false, "Where lines go: off, stdout, stderr or a file.",
     "/var/log/sluice/access.log"},
    {"format", &form_shape, AT(form), "json", false, "How a line looks.", "pattern"},
    {"fields", &fields_shape, AT(fields),
     "[ time, request_id, client, method, host, path, status, reason, bytes_in, bytes_out, "
     "duration_ms, route, upstream, endpoint ]",
     false, "Format json: what a line says, in this order. One or more of " ALLOWED ".",
     "[ time, status, req.x-tenant ]"},
    {"pattern", &shape_text, AT(pattern),
     "{client} - [{time}] \"{method} {path} {protocol}\" {status} {bytes_out} {duration_ms} "
     "{reason}",
     false, "Format pattern: text with {field}; {{ stands for a brace, a missing value is -.",
     "'{time} {status} {path}'"},
    {NULL, NULL, 0, NULL, false, NULL, NULL},
};

const struct shape access_log_shape = {.kind = SHAPE_STRUCT,
                                       .size = sizeof(struct access_log_conf),
                                       .fields = access_log_fields,
                                       .scalar = "path",
                                       .check = access_log_check,
                                       .title = "the access log"};
