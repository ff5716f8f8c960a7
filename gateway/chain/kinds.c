/*
 * kinds.c - kinds of options that only plugins have: files, templates, targets, networks, rates.
 */
#include "chain/options.h"

#include "chain/set.h"
#include "chain/template.h"
#include "config/input.h"

#include <arpa/inet.h>
#include <string.h>

enum { FILE_MAX = 16 * 1024 * 1024, SHOWN = 80, WHY_BYTES = 256, PATH_BYTES = 4096 };

static struct chain_build *build_of(const struct bind *bind)
{
    return bind->user;
}

static int shown(struct sluice_span text)
{
    return (int)(text.len > SHOWN ? SHOWN : text.len);
}

/* -- files ------------------------------------------------------------------------- */

static enum err read_file(struct bind *bind, const struct tree *node, const char *path,
                          struct sluice_file *file)
{
    char why[INPUT_WHY];
    struct text bytes;
    enum err err;

    text_init(&bytes, FILE_MAX);
    err = input_read(path, &bytes, NULL, why);
    if (err) {
        notes_error(bind->notes, node->at, "a file of at most 16 MiB", "cannot read '%s': %s", path,
                    why);
    } else {
        file->path = arena_copy(bind->arena, span_of(path));
        file->content = arena_copy(bind->arena, text_span(&bytes));
    }
    text_fini(&bytes);
    return err ? ERR_CONFIG : OK;
}

static enum err parse_file(struct bind *bind, const struct tree *node, void *out)
{
    struct chain_build *build = build_of(bind);
    struct sluice_span from = node->at.line ? notes_file(bind->notes, node->at.file) : SPAN("");
    struct text path;
    enum err err;

    if (node->kind != TREE_SCALAR || tree_is_null(node) || node->text.len == 0)
        return ERR_CONFIG;
    text_init(&path, PATH_BYTES);
    input_join(from, node->text, &path);
    err = path.ptr && !path.cut ? read_file(bind, node, path.ptr, out) : ERR_CONFIG;
    if (err == OK && build)
        set_add_file(build->set, path.ptr);
    text_fini(&path);
    return err;
}

const struct shape kind_file = {.kind = SHAPE_CUSTOM,
                                .size = sizeof(struct sluice_file),
                                .parse = parse_file,
                                .what = "the path of a file",
                                .pattern = "^.+$"};

/* -- templates ------------------------------------------------------------------------ */

static enum err parse_template(struct bind *bind, const struct tree *node, void *out)
{
    struct chain_build *build = build_of(bind);
    const struct sluice_template **template = out;
    struct text why;

    if (node->kind != TREE_SCALAR || tree_is_null(node))
        return ERR_CONFIG;
    text_init(&why, WHY_BYTES);
    *template = template_new(node->text, build ? &build->set->attributes : NULL, bind->arena, &why);
    if (!*template) {
        notes_error(bind->notes, node->at,
                    "write ${consumer.name}, ${request.field.NAME}, ${client.address/24/64} or "
                    "${NAME.NAME:-default}",
                    "%s", why.ptr ? why.ptr : "this text cannot be used");
    }
    text_fini(&why);
    return *template ? OK : ERR_CONFIG;
}

const struct shape kind_template = {.kind = SHAPE_CUSTOM,
                                    .size = sizeof(const struct sluice_template *),
                                    .parse = parse_template,
                                    .what = "text with ${attribute} in it"};

/* -- upstreams and targets ---------------------------------------------------------------- */

/* NULL: there is none of that name. */
static const struct sluice_upstream *find_upstream(const struct chain_build *build,
                                                   struct sluice_span name)
{
    for (size_t i = 0; i < build->set->n_upstreams; i++) {
        if (!span_equal(build->set->upstreams[i].name, name))
            continue;
        build->set->is_used[i] = true;
        return &build->set->upstreams[i];
    }
    return NULL;
}

static void note_no_upstream(struct bind *bind, const struct tree *node, struct sluice_span name)
{
    const struct chain_set *set = build_of(bind)->set;
    const char *names[64];
    const char *nearest;
    struct text hint;
    size_t n = 0;

    for (; n < set->n_upstreams && n < 64; n++)
        names[n] = set->upstreams[n].name.ptr;
    nearest = notes_nearest(name, names, n);
    text_init(&hint, WHY_BYTES);
    if (nearest)
        text_format(&hint, "did you mean '%s'? ", nearest);
    text_add(&hint, SPAN("name one of upstreams:"));
    notes_error(bind->notes, node->at, hint.ptr, "there is no upstream '%.*s'", shown(name),
                name.ptr);
    text_fini(&hint);
}

static enum err parse_upstream(struct bind *bind, const struct tree *node, void *out)
{
    const struct sluice_upstream **upstream = out;

    if (node->kind != TREE_SCALAR || tree_is_null(node))
        return ERR_CONFIG;
    if (!build_of(bind))
        return OK;
    *upstream = find_upstream(build_of(bind), node->text);
    if (*upstream)
        return OK;
    note_no_upstream(bind, node, node->text);
    return ERR_CONFIG;
}

const struct shape kind_upstream = {.kind = SHAPE_CUSTOM,
                                    .size = sizeof(const struct sluice_upstream *),
                                    .parse = parse_upstream,
                                    .what = "the name of an upstream",
                                    .pattern = "^.+$"};

/* "host", "host:port", "[v6]:port" */
static bool split_authority(struct sluice_target *target)
{
    struct sluice_span text = target->authority;
    size_t end;

    target->port = target->is_tls ? SPAN("443") : SPAN("80");
    if (text.len > 0 && text.ptr[0] == '[') {
        end = span_find(text, ']');
        if (end == text.len)
            return false;
        target->host = span_make(text.ptr + 1, end - 1);
        end++;
    } else {
        end = span_find(text, ':');
        target->host = span_make(text.ptr, end);
    }
    if (end < text.len) {
        uint64_t number;

        target->port = span_make(text.ptr + end + 1, text.len - end - 1);
        if (text.ptr[end] != ':' || span_number(target->port, 65535, &number) || number == 0)
            return false;
    }
    return target->host.len > 0;
}

static bool split_url(struct sluice_target *target, struct sluice_span rest)
{
    size_t end = 0;

    while (end < rest.len && rest.ptr[end] != '/' && rest.ptr[end] != '?')
        end++;
    target->authority = span_make(rest.ptr, end);
    target->path = span_make(rest.ptr + end, rest.len - end);
    if (target->path.len == 0)
        target->path = SPAN("/");
    return target->path.ptr[0] == '/' && span_find(target->authority, '@') == end &&
           split_authority(target);
}

static bool is_plain(struct sluice_span text)
{
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.ptr[i] <= ' ' || (unsigned char)text.ptr[i] >= 0x7f)
            return false;
    }
    return text.len > 0;
}

static enum err parse_target(struct bind *bind, const struct tree *node, void *out)
{
    struct sluice_target *target;
    size_t slash;

    if (node->kind != TREE_SCALAR || tree_is_null(node))
        return ERR_CONFIG;
    target = arena_new(bind->arena, sizeof(*target));
    target->text = arena_copy(bind->arena, node->text);
    target->at = node->at;
    *(const struct sluice_target **)out = target;
    target->is_tls = span_starts(target->text, SPAN("https://"));
    if (target->is_tls || span_starts(target->text, SPAN("http://"))) {
        size_t skip = target->is_tls ? 8 : 7;

        target->is_url = true;
        if (is_plain(target->text) &&
            split_url(target, span_make(target->text.ptr + skip, target->text.len - skip))) {
            if (build_of(bind))
                target->upstream = set_url(build_of(bind)->set, target);
            return OK;
        }
        notes_error(bind->notes, node->at,
                    "write http://HOST[:PORT]/PATH, https://..., or "
                    "UPSTREAM/PATH",
                    "'%.*s' is no URL", shown(node->text), node->text.ptr);
        return ERR_CONFIG;
    }
    slash = span_find(target->text, '/');
    target->path = slash < target->text.len
                       ? span_make(target->text.ptr + slash, target->text.len - slash)
                       : SPAN("/");
    if (!build_of(bind))
        return OK;
    target->upstream = find_upstream(build_of(bind), span_make(target->text.ptr, slash));
    if (target->upstream && is_plain(target->path))
        return OK;
    note_no_upstream(bind, node, span_make(target->text.ptr, slash));
    return ERR_CONFIG;
}

const struct shape kind_target = {.kind = SHAPE_CUSTOM,
                                  .size = sizeof(const struct sluice_target *),
                                  .parse = parse_target,
                                  .what = "an http:// or https:// URL, or UPSTREAM/path",
                                  .pattern = "^.+$"};

/* -- networks -------------------------------------------------------------------------------- */

static bool read_address(struct sluice_span text, struct sluice_network *network)
{
    char bytes[INET6_ADDRSTRLEN];

    if (text.len == 0 || text.len >= sizeof(bytes))
        return false;
    memcpy(bytes, text.ptr, text.len);
    bytes[text.len] = '\0';
    if (inet_pton(AF_INET, bytes, &network->address[12]) == 1) {
        network->address[10] = network->address[11] = 0xff;
        network->is_v4 = 1;
        return true;
    }
    return inet_pton(AF_INET6, bytes, network->address) == 1;
}

static bool has_host_bits(const struct sluice_network *network)
{
    for (unsigned bit = network->bits; bit < 128; bit++) {
        if (network->address[bit / 8] & (0x80u >> (bit % 8)))
            return true;
    }
    return false;
}

static enum err parse_network(struct bind *bind, const struct tree *node, void *out)
{
    struct sluice_network *network = out;
    size_t slash = span_find(node->text, '/');
    uint64_t bits, most;

    if (node->kind != TREE_SCALAR || tree_is_null(node))
        return ERR_CONFIG;
    if (!read_address(span_make(node->text.ptr, slash), network))
        return ERR_CONFIG;
    most = network->is_v4 ? 32 : 128;
    bits = most;
    if (slash < node->text.len &&
        span_number(span_make(node->text.ptr + slash + 1, node->text.len - slash - 1), most, &bits))
        return ERR_CONFIG;
    network->bits = (uint32_t)(bits + (network->is_v4 ? 96 : 0));
    if (has_host_bits(network)) {
        notes_warn(bind->notes, node->at, NULL,
                   "'%.*s' has bits set beyond its length: they are ignored", shown(node->text),
                   node->text.ptr);
        for (unsigned bit = network->bits; bit < 128; bit++)
            network->address[bit / 8] &= (uint8_t) ~(0x80u >> (bit % 8));
    }
    return OK;
}

const struct shape kind_network = {.kind = SHAPE_CUSTOM,
                                   .size = sizeof(struct sluice_network),
                                   .parse = parse_network,
                                   .what = "an address or a network such as 10.0.0.0/8",
                                   .pattern = "^[0-9a-fA-F.:]+(/[0-9]+)?$"};

/* -- rates ------------------------------------------------------------------------- */

static enum err read_period(struct sluice_span text, uint64_t *ms)
{
    char bytes[24];

    /* "s" is "1s" */
    if (text.len > 0 && (text.ptr[0] < '0' || text.ptr[0] > '9') && text.len < sizeof(bytes) - 1) {
        bytes[0] = '1';
        memcpy(bytes + 1, text.ptr, text.len);
        text = span_make(bytes, text.len + 1);
    }
    return shape_read_duration(text, ms);
}

static enum err parse_rate(struct bind *bind, const struct tree *node, void *out)
{
    struct sluice_rate *rate = out;
    size_t slash = span_find(node->text, '/');

    (void)bind;
    if (node->kind != TREE_SCALAR || tree_is_null(node) || slash == node->text.len)
        return ERR_CONFIG;
    if (span_number(span_make(node->text.ptr, slash), UINT32_MAX, &rate->amount) ||
        read_period(span_make(node->text.ptr + slash + 1, node->text.len - slash - 1),
                    &rate->period_ms) ||
        rate->period_ms == 0)
        return ERR_CONFIG;
    return OK;
}

const struct shape kind_rate = {.kind = SHAPE_CUSTOM,
                                .size = sizeof(struct sluice_rate),
                                .parse = parse_rate,
                                .what = "a rate such as 100/s, 5000/m or 10/10s",
                                .pattern = "^[0-9]+/[0-9]*(ms|s|m|h|d)$"};
