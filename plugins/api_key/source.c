/*
 * source.c - fields, cookies and queries, read where they are.
 */
#include "source.h"

#include "kit/span.h"

static const struct sluice_span cookie_field = SLUICE_SPAN_INIT("cookie");
static const struct sluice_span authorization = SLUICE_SPAN_INIT("authorization");

struct search {
    struct sluice_span key;
    unsigned found;
};

static void note_key(struct search *search, struct sluice_span key)
{
    search->key = key;
    search->found++;
}

/* Authorization has a scheme before the key; another scheme is none of ours. */
static void look_at_line(struct search *search, const struct options *options,
                         const struct sluice_pair *line)
{
    struct sluice_span scheme = options->scheme, word = {line->value.ptr, scheme.len}, rest;

    if (scheme.len == 0 || !span_is_word(line->name, authorization)) {
        note_key(search, span_trim(line->value));
        return;
    }
    if (line->value.len < scheme.len || !span_is_word(word, scheme))
        return;
    rest = (struct sluice_span){line->value.ptr + scheme.len, line->value.len - scheme.len};
    if (rest.len == 0 || rest.ptr[0] == ' ')
        note_key(search, span_trim(rest));
}

static bool is_ours_to_read(const struct options *options, struct sluice_span name)
{
    const struct sluice_span *fields = options->fields.first;

    for (size_t i = 0; i < options->fields.n; i++) {
        if (span_is_word(name, fields[i]))
            return true;
    }
    return false;
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
            note_key(search, value);
    }
}

unsigned source_find(const struct sluice_call *call, const struct options *options,
                     struct sluice_span *key)
{
    struct search search = {{NULL, 0}, 0};
    struct sluice_pair line;
    struct sluice_span query;

    for (size_t at = 0; call->host->field_each(call, SLUICE_REQUEST, &at, &line);) {
        if (is_ours_to_read(options, line.name)) {
            look_at_line(&search, options, &line);
        } else if (options->cookie.len > 0 && span_is_word(line.name, cookie_field)) {
            look_at_pairs(&search, line.value, ';', options->cookie);
        }
    }
    if (options->query.len > 0 && call->host->attribute_get(call, options->query_id, &query))
        look_at_pairs(&search, query, '&', options->query);
    *key = search.key;
    return search.found;
}

/* -- taking it out ----------------------------------------------------------- */

/* pairs without those of that name, in memory of the exchange. */
static bool without(const struct sluice_call *call, struct sluice_span pairs,
                    struct sluice_span name, char separator, struct sluice_span *kept)
{
    char *out = call->host->alloc(call, pairs.len + 1);
    struct sluice_span part, value;
    size_t len = 0;

    if (!out)
        return false;
    while (span_cut(&pairs, separator, &part)) {
        if (is_pair(span_trim(part), name, &value))
            continue;
        if (len > 0)
            out[len++] = separator;
        if (part.len > 0)
            memcpy(out + len, part.ptr, part.len);
        len += part.len;
    }
    *kept = (struct sluice_span){out, len};
    return true;
}

static bool strip_query(const struct sluice_call *call, const struct options *options)
{
    struct sluice_span query, path, kept;
    struct search search = {{NULL, 0}, 0};

    if (options->query.len == 0 || !call->host->attribute_get(call, options->query_id, &query))
        return true;
    look_at_pairs(&search, query, '&', options->query);
    if (search.found == 0)
        return true;
    return call->host->attribute_get(call, options->path_id, &path) &&
           without(call, query, options->query, '&', &kept) &&
           call->host->target_set(call, path, kept);
}

/* All cookies in one line, as a client would send them. None: ours is in none of them. */
static bool gather_cookies(const struct sluice_call *call, const struct options *options,
                           struct sluice_span *all)
{
    struct search search = {{NULL, 0}, 0};
    struct sluice_pair line;
    size_t room = 0, len = 0;
    char *text;

    for (size_t at = 0; call->host->field_each(call, SLUICE_REQUEST, &at, &line);) {
        if (!span_is_word(line.name, cookie_field))
            continue;
        room += line.value.len + 2;
        look_at_pairs(&search, line.value, ';', options->cookie);
    }
    *all = (struct sluice_span){NULL, 0};
    if (search.found == 0)
        return true;
    text = call->host->alloc(call, room);
    if (!text)
        return false;
    for (size_t at = 0; call->host->field_each(call, SLUICE_REQUEST, &at, &line);) {
        if (!span_is_word(line.name, cookie_field) || line.value.len == 0)
            continue;
        if (len > 0) {
            text[len++] = ';';
            text[len++] = ' ';
        }
        memcpy(text + len, line.value.ptr, line.value.len);
        len += line.value.len;
    }
    *all = (struct sluice_span){text, len};
    return true;
}

static bool strip_cookie(const struct sluice_call *call, const struct options *options)
{
    struct sluice_span all, kept;

    if (!gather_cookies(call, options, &all))
        return false;
    if (!all.ptr)
        return true;
    if (!without(call, all, options->cookie, ';', &kept))
        return false;
    kept = span_trim(kept);
    if (kept.len == 0)
        return call->host->field_remove(call, SLUICE_REQUEST, cookie_field);
    return call->host->field_set(call, SLUICE_REQUEST, cookie_field, kept);
}

/* Authorization with another scheme is not ours to take. */
static bool strip_field(const struct sluice_call *call, const struct options *options,
                        struct sluice_span name)
{
    struct search search = {{NULL, 0}, 0};
    struct sluice_pair line;

    for (size_t at = 0; call->host->field_each(call, SLUICE_REQUEST, &at, &line);) {
        if (span_is_word(line.name, name))
            look_at_line(&search, options, &line);
    }
    return search.found == 0 || call->host->field_remove(call, SLUICE_REQUEST, name);
}

bool source_strip(const struct sluice_call *call, const struct options *options)
{
    const struct sluice_span *fields = options->fields.first;

    if (options->strip == STRIP_NONE)
        return true;
    if (!strip_query(call, options))
        return false;
    if (options->strip == STRIP_QUERY)
        return true;
    for (size_t i = 0; i < options->fields.n; i++) {
        if (!strip_field(call, options, fields[i]))
            return false;
    }
    return options->cookie.len == 0 || strip_cookie(call, options);
}
