/*
 * password.c - by crypt(3), which knows the schemes; we only say which of them are good enough.
 */
#include "password.h"

#include "kit/span.h"
#include "users.h"

#include <openssl/crypto.h>

#include <crypt.h>
#include <stdlib.h>

#define BCRYPT_BYTES 60

static const char weak_md5[] =
    "MD5 (apr1 and $1$) is guessed too fast: make the hash anew with htpasswd -B or mkpasswd";
static const char weak_sha[] =
    "{SHA} and {SSHA} are guessed too fast: make the hash anew with htpasswd -B or mkpasswd";
static const char plain[] =
    "this is no hash of bcrypt, yescrypt, scrypt, sha512-crypt or sha256-crypt: use htpasswd -B";

/* What a hash begins with; why NULL: accepted. */
static const struct scheme {
    struct sluice_span begin;
    const char *why;
} schemes[] = {
    {SLUICE_SPAN_INIT("$2y$"), NULL},       {SLUICE_SPAN_INIT("$2b$"), NULL},
    {SLUICE_SPAN_INIT("$2a$"), NULL},       {SLUICE_SPAN_INIT("$y$"), NULL},
    {SLUICE_SPAN_INIT("$gy$"), NULL},       {SLUICE_SPAN_INIT("$7$"), NULL},
    {SLUICE_SPAN_INIT("$6$"), NULL},        {SLUICE_SPAN_INIT("$5$"), NULL},
    {SLUICE_SPAN_INIT("$apr1$"), weak_md5}, {SLUICE_SPAN_INIT("$1$"), weak_md5},
    {SLUICE_SPAN_INIT("{SHA}"), weak_sha},  {SLUICE_SPAN_INIT("{SSHA}"), weak_sha},
};

static const struct scheme *scheme_of(struct sluice_span hash)
{
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        if (hash.len > schemes[i].begin.len &&
            memcmp(hash.ptr, schemes[i].begin.ptr, schemes[i].begin.len) == 0)
            return &schemes[i];
    }
    return NULL;
}

/* "$2y$12$" and 53 digits: crypt_checksalt() does not look at the cost, from 4 to 31. */
static bool is_bcrypt(const char *text, size_t len)
{
    int cost = (text[4] - '0') * 10 + (text[5] - '0');

    return len == BCRYPT_BYTES && strspn(text + 4, "0123456789") == 2 && cost >= 4 && cost <= 31;
}

const char *password_fault(struct sluice_span hash)
{
    const struct scheme *scheme = scheme_of(hash);
    char text[USERS_HASH_MAX + 1];
    const char *last;

    if (!scheme)
        return plain;
    if (scheme->why)
        return scheme->why;
    if (hash.len > USERS_HASH_MAX)
        return "this hash is too long";
    memcpy(text, hash.ptr, hash.len);
    text[hash.len] = '\0';
    last = strrchr(text, '$');
    if (strlen(text) != hash.len || crypt_checksalt(text) == CRYPT_SALT_INVALID || !last ||
        strlen(last) < 32 || (text[1] == '2' && !is_bcrypt(text, hash.len)))
        return "this hash is malformed or cut";
    return NULL;
}

enum password_answer password_check(const char *password, const char *hash)
{
    struct crypt_data *data = calloc(1, sizeof(*data));
    enum password_answer answer = PASSWORD_WRONG;
    const char *made;

    if (!data)
        return PASSWORD_NO_MEMORY;
    made = crypt_rn(password, hash, data, (int)sizeof(*data));
    if (made && strlen(made) == strlen(hash) && CRYPTO_memcmp(made, hash, strlen(hash)) == 0)
        answer = PASSWORD_RIGHT;
    OPENSSL_cleanse(data, sizeof(*data));
    free(data);
    return answer;
}
