/*
 * keyset.c - a short list: sets are small, and looking through one costs less than a hash.
 */
#include "keyset.h"

#include "document.h"
#include "kit/span.h"

#include <stdlib.h>

struct keyset {
    size_t n;
    uint32_t algs;
    struct key *keys[KEYSET_MAX]; /* owned */
};

struct keyset *keyset_new(void)
{
    return calloc(1, sizeof(struct keyset));
}

void keyset_free(struct keyset **set)
{
    struct keyset *gone = *set;

    *set = NULL;
    if (!gone)
        return;
    for (size_t i = 0; i < gone->n; i++)
        key_free(&gone->keys[i]);
    free(gone);
}

bool keyset_add(struct keyset *set, struct key **key)
{
    if (set->n == KEYSET_MAX) {
        key_free(key);
        return false;
    }
    set->algs |= key_algs(*key);
    set->keys[set->n++] = *key;
    *key = NULL;
    return true;
}

static bool read_key(struct keyset *set, const json_t *jwk, bool secrets,
                     struct keyset_report *report)
{
    struct key *key = NULL;
    enum key_fault fault = json_is_object(jwk) ? key_from_jwk(jwk, secrets, &key) : KEY_MALFORMED;

    if (fault == KEY_OK) {
        report->taken++;
        return keyset_add(set, &key);
    }
    if (report->passed_over++ == 0)
        report->first_fault = fault;
    return true;
}

bool keyset_read(struct keyset *set, struct sluice_span text, bool secrets,
                 struct keyset_report *report)
{
    json_t *document = text.len <= KEYSET_BYTES ? document_parse(text) : NULL;
    const json_t *list = json_object_get(document, "keys");
    bool fine = true;

    *report = (struct keyset_report){0};
    if (!document)
        return false;
    if (!list && json_object_get(document, "kty")) {
        fine = read_key(set, document, secrets, report);
    } else if (!json_is_array(list)) {
        fine = false;
    }
    for (size_t i = 0; fine && i < json_array_size(list); i++)
        fine = read_key(set, json_array_get(list, i), secrets, report);
    json_decref(document);
    return fine;
}

size_t keyset_size(const struct keyset *set)
{
    return set ? set->n : 0;
}

uint32_t keyset_algs(const struct keyset *set)
{
    return set ? set->algs : 0;
}

const struct key *keyset_next(const struct keyset *set, enum alg alg, struct sluice_span kid,
                              size_t *at)
{
    while (set && *at < set->n) {
        const struct key *key = set->keys[(*at)++];
        struct sluice_span name = key_kid(key);

        if ((key_algs(key) & 1u << alg) != 0 &&
            (kid.len == 0 || name.len == 0 || span_is(kid, name)))
            return key;
    }
    return NULL;
}
