#include "proxy/affinity.h"

#include "base/text.h"
#include "http/octet.h"
#include "http/target.h"
#include "proxy/exchange.h"
#include "proxy/worker.h"
#include "upstream/balance.h"

#include <inttypes.h>

enum { QUERY_MAX = 4096 /* bytes of a query parameter that is hashed */, ID_DIGITS = 16 };

static const struct upstream_conf *conf_of(const struct exchange *ex)
{
    return ex->view->snapshot->upstreams[ex->target->index].conf;
}

/* -- what the request says ------------------------------------------------------ */

static bool find_field(const struct request *request, struct sluice_span name,
                       struct sluice_span *value)
{
    unsigned at = 0;
    const struct field_line *line = fields_next(&request->fields, name, &at);

    if (line)
        *value = field_value(line);
    return line != NULL;
}

static bool find_in_line(struct sluice_span line, struct sluice_span name,
                         struct sluice_span *value)
{
    struct sluice_span piece;

    while (span_split(&line, ';', &piece)) {
        size_t len = span_find(piece, '=');

        if (len < piece.len && span_equal(span_make(piece.ptr, len), name)) {
            *value = span_make(piece.ptr + len + 1, piece.len - len - 1);
            return true;
        }
    }
    return false;
}

static bool find_cookie(const struct request *request, struct sluice_span name,
                        struct sluice_span *value)
{
    const struct field_line *line;
    unsigned at = 0;

    while ((line = fields_next(&request->fields, SPAN("cookie"), &at))) {
        if (find_in_line(field_value(line), name, value))
            return true;
    }
    return false;
}

static void hash_query(struct lease *lease, const struct request *request, struct sluice_span name)
{
    char bytes[QUERY_MAX];
    struct sluice_span value;

    lease->has_key =
        request->has_query && target_query_find(request->query, name, bytes, sizeof(bytes), &value);
    if (lease->has_key)
        lease->key = balance_hash(value);
}

static void find_hash(struct exchange *ex, const struct upstream_hash *hash)
{
    const struct request *request = &ex->request;
    struct lease *lease = &ex->attempt->lease;
    struct sluice_span value = SPAN("");

    if (hash->query.len > 0) {
        hash_query(lease, request, hash->query);
        return;
    }
    if (hash->field.len > 0) {
        lease->has_key = find_field(request, hash->field, &value);
    } else if (hash->cookie.len > 0) {
        lease->has_key = find_cookie(request, hash->cookie, &value);
    } else {
        value = hash->by == HASH_BY_PATH ? request->path : exchange_client(ex);
        lease->has_key = value.len > 0;
    }
    if (lease->has_key)
        lease->key = balance_hash(value);
}

/* An id as 16 hexadecimal digits. */
static bool read_id(struct sluice_span text, uint64_t *id)
{
    *id = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (!octet_is(text.ptr[i], OCTET_HEX))
            return false;
        *id = *id << 4 | octet_hex(text.ptr[i]);
    }
    return text.len == ID_DIGITS;
}

void affinity_find(struct exchange *ex)
{
    const struct upstream_conf *conf = conf_of(ex);
    struct lease *lease = &ex->attempt->lease;
    struct sluice_span value;

    switch (balance_get(conf->balance)->key) {
    case BALANCE_NO_KEY:
        break;
    case BALANCE_KEY_HASH:
        find_hash(ex, &conf->hash);
        break;
    case BALANCE_KEY_ENDPOINT:
        lease->has_key =
            find_cookie(&ex->request, conf->sticky.cookie, &value) && read_id(value, &lease->key);
        break;
    }
}

/* -- what the client is told ------------------------------------------------------ */

static void put_cookie(struct text *out, const struct upstream_sticky *sticky, uint64_t id)
{
    static const char *const same_site[] = {
        [SAME_SITE_OFF] = "",
        [SAME_SITE_LAX] = "; SameSite=Lax",
        [SAME_SITE_STRICT] = "; SameSite=Strict",
        [SAME_SITE_NONE] = "; SameSite=None",
    };

    text_add(out, sticky->cookie);
    text_format(out, "=%016" PRIx64 "; Path=", id);
    text_add(out, sticky->path);
    if (sticky->ttl_ms > 0)
        text_format(out, "; Max-Age=%" PRIu64, (sticky->ttl_ms + 999) / 1000);
    text_format(out, "%s%s%s", sticky->http_only ? "; HttpOnly" : "",
                sticky->secure ? "; Secure" : "", same_site[sticky->same_site]);
}

enum err affinity_tell(const struct exchange *ex, struct fields *fields)
{
    const struct upstream_conf *conf = conf_of(ex);
    const struct lease *lease = &ex->attempt->lease;
    uint64_t id = lease->endpoint->member.id;
    struct sluice_span value;
    char bytes[UPSTREAM_STICKY_MAX + 128];
    struct text text;

    if (balance_get(conf->balance)->key != BALANCE_KEY_ENDPOINT ||
        (lease->has_key && lease->key == id))
        return OK;
    text_init_fixed(&text, bytes, sizeof(bytes));
    put_cookie(&text, &conf->sticky, id);
    value = arena_copy(fields->arena, text_span(&text));
    return value.ptr ? fields_add(fields, SPAN("set-cookie"), value) : ERR_MEMORY;
}
