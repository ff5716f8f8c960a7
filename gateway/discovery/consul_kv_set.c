#include "discovery/consul_kv_set.h"

#include "base/alloc.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES = 1024 };

static const uint64_t set_seed = UINT64_C(0x636f6e73756c6b76);

static int digit_of(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* Base64 with padding; ERR_PROTOCOL when it is something else. */
static enum err decode(struct sluice_span text, struct text *out)
{
    unsigned bits = 0, n_bits = 0;

    if (text.len % 4 != 0)
        return ERR_PROTOCOL;
    while (text.len > 0 && text.ptr[text.len - 1] == '=')
        text.len--;
    for (size_t i = 0; i < text.len; i++) {
        int digit = digit_of(text.ptr[i]);

        if (digit < 0)
            return ERR_PROTOCOL;
        bits = bits << 6 | (unsigned)digit;
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            text_add_char(out, (char)(bits >> n_bits & 0xff));
        }
    }
    return OK;
}

/* A folder, or a key that holds nothing, is passed over. */
static enum err add_piece(struct consul_kv_set *set, const json_t *item)
{
    const char *key = json_string_value(json_object_get(item, "Key"));
    const json_t *value = json_object_get(item, "Value");
    struct tree_piece *piece = &set->piece[set->n];
    struct text yaml;
    enum err err;

    if (!key || strlen(key) > NAME_BYTES)
        return ERR_PROTOCOL;
    if (!json_is_null(value) && !json_is_string(value))
        return ERR_PROTOCOL;
    if (json_string_length(value) == 0)
        return OK;
    text_init(&yaml, CONSUL_KV_BYTES);
    err = decode(span_make(json_string_value(value), json_string_length(value)), &yaml);
    if (!err) {
        piece->name = arena_format(&set->arena, "consul:%s", key).ptr;
        piece->yaml = arena_copy(&set->arena, text_span(&yaml));
        set->n++;
    }
    text_fini(&yaml);
    return err;
}

static int order(const void *a_, const void *b_)
{
    const struct tree_piece *a = a_, *b = b_;

    return strcmp(a->name, b->name);
}

static void seal(struct consul_kv_set *set)
{
    qsort(set->piece, set->n, sizeof(*set->piece), order);
    set->hash = set_seed;
    for (size_t i = 0; i < set->n; i++) {
        set->hash = span_hash(span_of(set->piece[i].name), set->hash);
        set->hash = span_hash(set->piece[i].yaml, set->hash);
    }
}

static enum err read_all(struct consul_kv_set *set, const json_t *root)
{
    size_t n = json_array_size(root);
    enum err err = OK;

    if (!json_is_array(root))
        return ERR_PROTOCOL;
    if (n > CONSUL_KV_KEYS)
        return ERR_LIMIT;
    set->piece = arena_new(&set->arena, (n + 1) * sizeof(*set->piece));
    for (size_t i = 0; i < n && !err; i++)
        err = add_piece(set, json_array_get(root, i));
    return err;
}

enum err consul_kv_set_read(struct sluice_span body, struct consul_kv_set **set, char *why)
{
    struct consul_kv_set *own = alloc_new(sizeof(*own));
    struct sluice_span text = body.len > 0 ? body : SPAN("[]");
    json_t *root = NULL;
    enum err err = text.len > CONSUL_KV_BYTES ? ERR_LIMIT : OK;

    *set = NULL;
    arena_init(&own->arena, NULL, 0);
    text_init(&own->body, CONSUL_KV_BYTES);
    text_add(&own->body, text);
    if (!err) {
        root = json_loadb(text.ptr, text.len, 0, NULL);
        err = read_all(own, root);
        json_decref(root);
    }
    if (!err) {
        seal(own);
        *set = own;
        return OK;
    }
    snprintf(why, CONSUL_KV_WHY, "%s",
             err == ERR_LIMIT ? "more than 1000 keys, or more than 8 MiB"
                              : "the answer is not what Consul writes");
    consul_kv_set_free(&own);
    return err;
}

void consul_kv_set_free(struct consul_kv_set **set)
{
    if (!*set)
        return;
    arena_fini(&(*set)->arena);
    text_fini(&(*set)->body);
    alloc_free(*set);
    *set = NULL;
}
