#include "recent.h"

#include <stdlib.h>
#include <string.h>

enum { END_BYTES = 16 /* of a signature, which nobody can choose */ };

struct copy {
    uint64_t mark; /* of the token's end */
    struct digest digest;
    size_t len;
    char *bytes; /* owned; NULL: nobody is here */
};

struct recent {
    struct digest_key secret;
    struct copy copy[RECENT_PLACES];
};

struct recent *recent_new(const struct digest_key *secret)
{
    struct recent *recent = calloc(1, sizeof(*recent));

    if (recent)
        recent->secret = *secret;
    return recent;
}

static void drop(struct copy *copy)
{
    if (copy->bytes)
        explicit_bzero(copy->bytes, copy->len);
    free(copy->bytes);
    copy->bytes = NULL;
}

void recent_free(struct recent **recent)
{
    struct recent *gone = *recent;

    *recent = NULL;
    for (size_t i = 0; gone && i < RECENT_PLACES; i++)
        drop(&gone->copy[i]);
    free(gone);
}

/*
 * No hash to rely on: it chooses the place, and saves most comparisons in vain. Whoever does not
 * know the end of a token does not even get it compared.
 */
static uint64_t mark_of(const struct recent *recent, struct sluice_span token)
{
    uint64_t word[END_BYTES / 8];
    unsigned __int128 product;

    memcpy(word, token.ptr + token.len - END_BYTES, END_BYTES);
    product = (unsigned __int128)(word[0] ^ recent->secret.k0) * (word[1] ^ recent->secret.k1);
    return (uint64_t)product ^ (uint64_t)(product >> 64) ^ token.len;
}

static bool is_kept(struct sluice_span token)
{
    return token.len >= END_BYTES && token.len <= RECENT_TOKEN_MAX;
}

bool recent_find(const struct recent *recent, struct sluice_span token, struct digest *digest)
{
    const struct copy *copy;
    uint64_t mark;

    if (!is_kept(token))
        return false;
    mark = mark_of(recent, token);
    copy = &recent->copy[mark % RECENT_PLACES];
    if (!copy->bytes || copy->mark != mark || copy->len != token.len ||
        memcmp(copy->bytes, token.ptr, token.len) != 0)
        return false;
    *digest = copy->digest;
    return true;
}

void recent_put(struct recent *recent, struct sluice_span token, struct digest digest)
{
    struct copy *copy;
    uint64_t mark;

    if (!is_kept(token))
        return;
    mark = mark_of(recent, token);
    copy = &recent->copy[mark % RECENT_PLACES];
    drop(copy);
    copy->bytes = malloc(token.len);
    if (!copy->bytes)
        return;
    memcpy(copy->bytes, token.ptr, token.len);
    copy->len = token.len;
    copy->mark = mark;
    copy->digest = digest;
}
