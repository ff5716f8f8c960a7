/*
 * source.c - fields, cookies and queries, read where they are.
 */
#include "source.h"

#include "kit/consumer.h"
#include "kit/span.h"

#define COOKIE SLUICE_SPAN("cookie")

struct search {
    const struct options *options;
    struct sluice_span token;
    unsigned found;
};

static void note_token(struct search *search, struct sluice_span token)
{
    search->token = token;
    search->found++;
}

/* "Bearer x": the word may be in any case. Another scheme is none of ours. */
static void look_at_field(struct search *search, struct sluice_span value)
{
    struct sluice_span scheme = search->options->scheme, word = {value.ptr, scheme.len}, rest;

    if (scheme.len == 0) {
        note_token(search, value);
        return;
    }
    if (value.len < scheme.len || !span_is_word(word, scheme))
        return;
    rest = (struct sluice_span){value.ptr + scheme.len, value.len - scheme.len};
    if (rest.len > 0 && rest.ptr[0] != ' ')
        return;
    note_token(search, span_trim(rest));
}

static bool is_pair(struct sluice_span part, struct sluice_span name, struct sluice_span *value)
{
    if (part.len <= name.len || part.ptr[name.len] != '=' ||
        memcmp(part.ptr, name.ptr, name.len) != 0)
        return false;
    *value = (struct sluice_span){part.ptr + name.len + 1, part.len - name.len - 1};
    return true;
}

/* name=value between separators, in cookies and queries. */
static void look_at_pairs(struct search *search, struct sluice_span pairs, char separator,
                          struct sluice_span name)
{
    struct sluice_span part, value;

    while (span_cut(&pairs, separator, &part)) {
        if (is_pair(span_trim(part), name, &value))
            note_token(search, value);
    }
}

enum refusal source_find(const struct sluice_call *call, const struct options *options,
                         struct sluice_span *token)
{
    struct search search = {.options = options};
    struct sluice_pair line;
    struct sluice_span query;

    for (size_t at = 0; call->host->field_each(call, SLUICE_REQUEST, &at, &line);) {
        if (options->field.len > 0 && span_is_word(line.name, options->field)) {
            look_at_field(&search, line.value);
        } else if (options->cookie.len > 0 && span_is_word(line.name, COOKIE)) {
            look_at_pairs(&search, line.value, ';', options->cookie);
        }
    }
    if (options->query.len > 0 && call->host->attribute_get(call, options->query_id, &query))
        look_at_pairs(&search, query, '&', options->query);
    *token = search.token;
    if (search.found == 0)
        return REFUSAL_MISSING;
    return search.found == 1 ? REFUSAL_NONE : REFUSAL_SEVERAL;
}

/* -- taking it out ----------------------------------------------------------- */

/* pairs without that one, in memory of the exchange. glue: what stands between them. */
static bool without(const struct sluice_call *call, struct sluice_span pairs,
                    struct sluice_span name, char separator, struct sluice_span *kept)
{
    char *out = call->host->alloc(call, pairs.len + 1);
    struct sluice_span part, value;

    *kept = (struct sluice_span){out, 0};
    if (!out)
        return false;
    while (span_cut(&pairs, separator, &part)) {
        if (is_pair(span_trim(part), name, &value))
            continue;
        if (kept->len > 0)
            out[kept->len++] = separator;
        if (part.len > 0)
            memcpy(out + kept->len, part.ptr, part.len);
        kept->len += part.len;
    }
    if (separator == ';')
        *kept = span_trim(*kept);
    return true;
}

static bool strip_query(const struct sluice_call *call, const struct options *options)
{
    struct sluice_span query, path, kept;
    struct search search = {.options = options};

    if (options->query.len == 0 || !call->host->attribute_get(call, options->query_id, &query))
        return true;
    look_at_pairs(&search, query, '&', options->query);
    if (search.found == 0)
        return true;
    return call->host->attribute_get(call, options->path_id, &path) &&
           without(call, query, options->query, '&', &kept) &&
           call->host->target_set(call, path, kept);
}

/* The token was the only one, so it is in one line of cookies: the first that names it. */
static bool strip_cookie(const struct sluice_call *call, const struct options *options)
{
    struct search search = {.options = options};
    struct sluice_span all = {NULL, 0}, kept;
    struct sluice_pair line;
    size_t room = 0, at = 0;
    char *text;

    while (call->host->field_each(call, SLUICE_REQUEST, &at, &line)) {
        if (!span_is_word(line.name, COOKIE))
            continue;
        room += line.value.len + 2;
        look_at_pairs(&search, line.value, ';', options->cookie);
    }
    if (search.found == 0)
        return true;
    text = call->host->alloc(call, room);
    if (!text)
        return false;
    all.ptr = text;
    for (at = 0; call->host->field_each(call, SLUICE_REQUEST, &at, &line);) {
        if (!span_is_word(line.name, COOKIE))
            continue;
        if (all.len > 0) {
            text[all.len++] = ';';
            text[all.len++] = ' ';
        }
        memcpy(text + all.len, line.value.ptr, line.value.len);
        all.len += line.value.len;
    }
    if (!without(call, all, options->cookie, ';', &kept))
        return false;
    if (kept.len == 0)
        return call->host->field_remove(call, SLUICE_REQUEST, COOKIE);
    return call->host->field_set(call, SLUICE_REQUEST, COOKIE, kept);
}

/* Authorization with another scheme is not ours to take. */
static bool strip_field(const struct sluice_call *call, const struct options *options)
{
    struct search search = {.options = options};
    struct sluice_pair line;

    for (size_t at = 0; call->host->field_each(call, SLUICE_REQUEST, &at, &line);) {
        if (span_is_word(line.name, options->field))
            look_at_field(&search, line.value);
    }
    return search.found == 0 || call->host->field_remove(call, SLUICE_REQUEST, options->field);
}

bool source_strip(const struct sluice_call *call, const struct options *options)
{
    if (options->strip == STRIP_NONE)
        return true;
    if (!strip_query(call, options))
        return false;
    if (options->strip == STRIP_QUERY)
        return true;
    return (options->field.len == 0 || strip_field(call, options)) &&
           (options->cookie.len == 0 || strip_cookie(call, options));
}

/* -- fields that are ours ---------------------------------------------------- */

static bool is_ours(const void *arg, struct sluice_span name)
{
    const struct options *options = arg;
    const struct forward_option *forward = options->forward.first;

    for (size_t i = 0; i < options->forward.n; i++) {
        if (span_is_alike(name, forward[i].field))
            return true;
    }
    return false;
}

bool source_clear(const struct sluice_call *call, const struct options *options)
{
    return options->forward.n == 0 || consumer_clear_fields(call, is_ours, options);
}
