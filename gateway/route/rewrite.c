#include "route/rewrite.h"

#include "base/check.h"
#include "http/target.h"
#include "route/regex.h"

#include <string.h>

#define PATH_BYTES 65536 /* of a rewritten path: no head is larger */

/* Literal text, or what a group took. */
struct rewrite_piece {
    struct sluice_span text;
    int group; /* -1: text */
};

/* -- making ------------------------------------------------------------- */

void rewrite_make_path(const struct draft *draft, const char *section,
                       const struct draft_text *path, const struct draft_text *path_prefix,
                       struct route_rewrite *rewrite)
{
    if (path->text.ptr) {
        rewrite->kind = REWRITE_PATH;
        rewrite->to = draft_path(draft, path, "path");
    }
    if (!path_prefix->text.ptr)
        return;
    rewrite->kind = REWRITE_PREFIX;
    rewrite->to = draft_path(draft, path_prefix, "path_prefix");
    if (!draft->written->match.path.text.ptr) {
        draft_error(draft, path_prefix->at, "write match: { path: PREFIX }, or path instead",
                    "%s.path_prefix replaces what match.path matched, which is missing", section);
    }
}

static void add_piece(struct route_rewrite *rewrite, struct sluice_span text, int group)
{
    if (group < 0 && !text.len)
        return;
    rewrite->piece[rewrite->n_pieces++] = (struct rewrite_piece){text, group};
}

/* "/b/$1" as pieces; "$$" is a dollar. */
static void split_pieces(const struct draft *draft, const struct draft_text *to,
                         struct route_rewrite *rewrite)
{
    unsigned groups = regex_groups(rewrite->regex);
    struct sluice_span text = to->text;
    size_t start = 0;

    rewrite->piece = arena_new(draft->bind->arena, (text.len + 1) * sizeof(*rewrite->piece));
    for (size_t i = 0; i < text.len; i++) {
        int c = i + 1 < text.len ? text.ptr[i + 1] : ' ';

        if (text.ptr[i] != '$')
            continue;
        add_piece(rewrite, span_make(text.ptr + start, i - start), -1);
        start = i + 2;
        if (c == '$') {
            start = i + 1; /* the second dollar begins the next literal */
        } else if (c >= '0' && c <= '9' && (unsigned)(c - '0') <= groups) {
            add_piece(rewrite, SPAN(""), c - '0');
        } else {
            draft_error(draft, to->at, "$0 is all that matched, $1 to $9 are groups, $$ a dollar",
                        "rewrite.path_regex.to: '$' at offset %zu names no group of the pattern",
                        i);
        }
        i++;
    }
    if (start < text.len)
        add_piece(rewrite, span_make(text.ptr + start, text.len - start), -1);
}

static void make_regex(const struct draft *draft, struct route_rewrite *rewrite)
{
    const struct draft_pattern *pattern = &draft->written->rewrite.path_regex;

    rewrite->kind = REWRITE_REGEX;
    rewrite->regex = draft_regex(draft, &pattern->match, "rewrite.path_regex.match");
    if (rewrite->regex)
        split_pieces(draft, &pattern->to, rewrite);
}

void rewrite_make(const struct draft *draft)
{
    const struct draft_rewrite *written = &draft->written->rewrite;
    const struct tree *node = draft_find(draft, "rewrite");
    bool by_regex = written->path_regex.match.text.ptr != NULL;
    struct route_rewrite *rewrite;

    if (!node)
        return;
    if (written->host.text.ptr)
        draft->route->host = draft_host(draft, &written->host, "rewrite.host", true);
    if ((written->path.text.ptr != NULL) + (written->path_prefix.text.ptr != NULL) + by_regex > 1) {
        draft_error(draft, node->at, "keep one of path, path_prefix and path_regex",
                    "rewrite changes the path in two ways");
    }
    rewrite = arena_new(draft->bind->arena, sizeof(*rewrite));
    rewrite_make_path(draft, "rewrite", &written->path, &written->path_prefix, rewrite);
    if (by_regex)
        make_regex(draft, rewrite);
    if (rewrite->kind != REWRITE_NONE)
        draft->route->rewrite = rewrite;
}

/* -- following ---------------------------------------------------------- */

static struct sluice_span without_slash(struct sluice_span path)
{
    if (path.len && path.ptr[path.len - 1] == '/')
        path.len--;
    return path;
}

/* Two spans behind each other in the arena. */
static enum err join(struct arena *arena, struct sluice_span a, struct sluice_span b,
                     struct sluice_span *both)
{
    char *out = arena_try_raw(arena, a.len + b.len + 1);

    if (!out)
        return ERR_MEMORY;
    if (a.len)
        memcpy(out, a.ptr, a.len);
    if (b.len)
        memcpy(out + a.len, b.ptr, b.len);
    *both = span_make(out, a.len + b.len);
    return OK;
}

static enum err replace_prefix(struct sluice_span matched, struct sluice_span to,
                               struct sluice_span path, struct arena *arena,
                               struct sluice_span *changed)
{
    struct sluice_span rest = path;

    matched = without_slash(matched);
    if (BUG(path.len < matched.len))
        return ERR_PROTOCOL;
    rest.ptr += matched.len;
    rest.len -= matched.len;
    if (!rest.len) {
        *changed = to;
        return OK;
    }
    return join(arena, without_slash(to), rest, changed); /* rest begins with a slash */
}

static size_t copy_piece(char *out, struct sluice_span text)
{
    if (out && text.len)
        memcpy(out, text.ptr, text.len);
    return text.len;
}

/* Write the path with the match replaced at out, or only measure it (out NULL). */
static size_t expand(const struct route_rewrite *rewrite, const struct route_scratch *scratch,
                     struct sluice_span path, char *out)
{
    struct sluice_span match = regex_group(scratch, path, 0);
    size_t before = match.ptr ? (size_t)(match.ptr - path.ptr) : 0;
    size_t after = before + match.len;
    size_t len = copy_piece(out, span_make(path.ptr, before));

    for (size_t i = 0; i < rewrite->n_pieces; i++) {
        const struct rewrite_piece *piece = &rewrite->piece[i];
        struct sluice_span text = piece->text;

        if (piece->group >= 0)
            text = regex_group(scratch, path, (unsigned)piece->group);
        len += copy_piece(out ? out + len : NULL, text);
    }
    return len + copy_piece(out ? out + len : NULL, span_make(path.ptr + after, path.len - after));
}

/*
 * What comes out may hold dot-segments or half a triplet that the pieces made together, so it
 * is brought into normal form again: a rewritten path never leaves the root.
 */
static enum err replace_regex(const struct route_rewrite *rewrite, struct sluice_span path,
                              struct route_scratch *scratch, struct arena *arena,
                              struct sluice_span *changed)
{
    enum regex_answer answer = regex_match(rewrite->regex, path, scratch);
    size_t len;
    char *out;

    *changed = path;
    if (answer == REGEX_GAVE_UP)
        return ERR_LIMIT;
    if (answer == REGEX_NO)
        return OK;
    len = expand(rewrite, scratch, path, NULL);
    if (len > PATH_BYTES)
        return ERR_LIMIT;
    out = arena_try_raw(arena, len + 1);
    if (!out)
        return ERR_MEMORY;
    out[0] = '/';
    (void)expand(rewrite, scratch, path, out + 1);
    if (len && out[1] == '/')
        return target_normalise(span_make(out + 1, len), TARGET_KEEP_SLASHES, arena, changed);
    return target_normalise(span_make(out, len + 1), TARGET_KEEP_SLASHES, arena, changed);
}

enum err rewrite_path(const struct route *route, const struct route_rewrite *rewrite,
                      struct sluice_span path, struct route_scratch *scratch, struct arena *arena,
                      struct sluice_span *changed)
{
    *changed = path;
    switch (rewrite->kind) {
    case REWRITE_NONE:
        return OK;
    case REWRITE_PATH:
        *changed = rewrite->to;
        return OK;
    case REWRITE_PREFIX:
        return replace_prefix(route->match.path, rewrite->to, path, arena, changed);
    case REWRITE_REGEX:
        return replace_regex(rewrite, path, scratch, arena, changed);
    }
    return OK;
}

/* True when the target is path and query just as they are. */
static bool is_unchanged(const struct request *request, struct sluice_span path)
{
    struct sluice_span target = request->target;
    size_t query = request->has_query ? request->query.len + 1 : 0;

    if (request->form != TARGET_ORIGIN || target.len != path.len + query)
        return false;
    return path.ptr == target.ptr || span_starts(target, path);
}

enum err route_rewrite_target(const struct route *route, const struct request *request,
                              struct route_scratch *scratch, struct arena *arena,
                              struct sluice_span *target)
{
    struct sluice_span path = request->path;
    char *out;

    *target = request->target;
    if (request->form == TARGET_ASTERISK || request->form == TARGET_AUTHORITY)
        return OK;
    if (route->rewrite) {
        enum err err = rewrite_path(route, route->rewrite, path, scratch, arena, &path);

        if (err)
            return err;
    }
    if (is_unchanged(request, path))
        return OK;
    if (!request->has_query) {
        *target = path;
        return OK;
    }
    out = arena_try_raw(arena, path.len + 1 + request->query.len);
    if (!out)
        return ERR_MEMORY;
    memcpy(out, path.ptr, path.len);
    out[path.len] = '?';
    if (request->query.len)
        memcpy(out + path.len + 1, request->query.ptr, request->query.len);
    *target = span_make(out, path.len + 1 + request->query.len);
    return OK;
}
