/*
 * credentials.c - what could be written in two ways is refused: base64 without its padding or with
 * bits left over, text that is no UTF-8, control characters.
 */
#include "credentials.h"

#include "kit/span.h"

#include <openssl/crypto.h>

static const struct sluice_span authorization = SLUICE_SPAN_INIT("authorization");
static const struct sluice_span scheme = SLUICE_SPAN_INIT("Basic");

/* -- base64 ---------------------------------------------------------------------- */

static int sextet(char byte)
{
    if (byte >= 'A' && byte <= 'Z')
        return byte - 'A';
    if (byte >= 'a' && byte <= 'z')
        return byte - 'a' + 26;
    if (byte >= '0' && byte <= '9')
        return byte - '0' + 52;
    if (byte == '+')
        return 62;
    return byte == '/' ? 63 : -1;
}

/* With the padding that belongs there. */
static bool decode(struct sluice_span text, char *out, size_t cap, size_t *len)
{
    uint32_t bits = 0;
    unsigned n_bits = 0;

    *len = 0;
    if (text.len == 0 || text.len % 4 != 0 || text.len / 4 * 3 > cap + 2)
        return false;
    for (int i = 0; i < 2 && text.ptr[text.len - 1] == '='; i++)
        text.len--;
    for (size_t i = 0; i < text.len; i++) {
        int six = sextet(text.ptr[i]);

        if (six < 0)
            return false;
        bits = bits << 6 | (uint32_t)six;
        n_bits += 6;
        if (n_bits < 8)
            continue;
        n_bits -= 8;
        if (*len == cap)
            return false;
        out[(*len)++] = (char)(bits >> n_bits & 0xff);
    }
    return (bits & ((1u << n_bits) - 1)) == 0;
}

/* -- UTF-8 ----------------------------------------------------------------------- */

/* How many bytes follow that one, and the least character that needs so many; -1: none can. */
static int follow(unsigned char byte, uint32_t *bits, uint32_t *least)
{
    static const uint32_t leasts[] = {0, 0x80, 0x800, 0x10000};
    int n = -1;

    if (byte >= 0x20 && byte < 0x7f) {
        n = 0;
    } else if (byte >= 0xc2 && byte < 0xe0) {
        n = 1;
    } else if (byte >= 0xe0 && byte < 0xf0) {
        n = 2;
    } else if (byte >= 0xf0 && byte < 0xf5) {
        n = 3;
    }
    if (n < 0)
        return n;
    *bits = n == 0 ? byte : byte & (0x3fu >> n);
    *least = leasts[n];
    return n;
}

/* UTF-8 without control characters. */
static bool is_text(const char *text, size_t len)
{
    for (size_t i = 0; i < len;) {
        uint32_t bits = 0, least = 0;
        int n = follow((unsigned char)text[i++], &bits, &least);

        if (n < 0)
            return false;
        for (; n > 0; n--, i++) {
            if (i == len || ((unsigned char)text[i] & 0xc0) != 0x80)
                return false;
            bits = bits << 6 | ((unsigned char)text[i] & 0x3f);
        }
        if (bits < least || bits > 0x10ffff || (bits >= 0xd800 && bits < 0xe000) ||
            (bits >= 0x80 && bits < 0xa0))
            return false;
    }
    return true;
}

/* -- the field ------------------------------------------------------------------- */

static bool is_basic(struct sluice_span value, struct sluice_span *token)
{
    struct sluice_span word = {value.ptr, scheme.len};

    if (value.len < scheme.len || !span_is_word(word, scheme))
        return false;
    *token = (struct sluice_span){value.ptr + scheme.len, value.len - scheme.len};
    if (token->len > 0 && token->ptr[0] != ' ')
        return false;
    *token = span_trim(*token);
    return true;
}

static bool take_apart(struct credentials *credentials, struct sluice_span token)
{
    char *colon;
    size_t len;

    if (!decode(token, credentials->text, sizeof(credentials->text) - 1, &len) ||
        !is_text(credentials->text, len))
        return false;
    credentials->text[len] = '\0';
    colon = memchr(credentials->text, ':', len);
    if (!colon)
        return false;
    *colon = '\0';
    credentials->name.ptr = credentials->text;
    credentials->name.len = (size_t)(colon - credentials->text);
    credentials->password.ptr = colon + 1;
    credentials->password.len = len - credentials->name.len - 1;
    return credentials->name.len > 0 && credentials->name.len <= USERS_NAME_MAX &&
           credentials->password.len <= PASSWORD_MAX;
}

enum refusal credentials_read(const struct sluice_call *call, struct credentials *credentials)
{
    struct sluice_pair line;
    struct sluice_span token = {NULL, 0};
    unsigned lines = 0, found = 0;

    for (size_t at = 0; call->host->field_each(call, SLUICE_REQUEST, &at, &line);) {
        if (!span_is_word(line.name, authorization))
            continue;
        lines++;
        found += is_basic(line.value, &token);
    }
    if (found == 0)
        return REFUSAL_MISSING;
    if (lines > 1)
        return REFUSAL_SEVERAL;
    return take_apart(credentials, token) ? REFUSAL_NONE : REFUSAL_MALFORMED;
}

void credentials_wipe(struct credentials *credentials)
{
    OPENSSL_cleanse(credentials, sizeof(*credentials));
}

bool credentials_strip(const struct sluice_call *call)
{
    struct sluice_span value, token;

    return !call->host->field_get(call, SLUICE_REQUEST, authorization, &value) ||
           !is_basic(value, &token) ||
           call->host->field_remove(call, SLUICE_REQUEST, authorization);
}
