/*
 * keyfile.c - lines are read strictly: whoever is let in by a slip of the pen is let in all the
 * same.
 */
#include "keyfile.h"

#include "kit/span.h"

#include <stdio.h>
#include <time.h>

static const struct sluice_span digest_word = SLUICE_SPAN_INIT("sha256:");

/* -- words ---------------------------------------------------------------------- */

static int nibble(char byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    byte = (char)span_lower(byte);
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

static bool begins(struct sluice_span text, struct sluice_span with)
{
    return text.len >= with.len && memcmp(text.ptr, with.ptr, with.len) == 0;
}

bool keyfile_is_digest(struct sluice_span text)
{
    return begins(text, digest_word);
}

bool keyfile_digest(struct sluice_span text, unsigned char digest[KEYS_DIGEST])
{
    if (keyfile_is_digest(text)) {
        text.ptr += digest_word.len;
        text.len -= digest_word.len;
    }
    if (text.len != (size_t)2 * KEYS_DIGEST)
        return false;
    for (size_t i = 0; i < KEYS_DIGEST; i++) {
        int high = nibble(text.ptr[2 * i]), low = nibble(text.ptr[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        digest[i] = (unsigned char)(high * 16 + low);
    }
    return true;
}

static bool in_seconds(time_t at, uint32_t *seconds)
{
    if (at <= 0 || at >= (time_t)UINT32_MAX)
        return false;
    *seconds = (uint32_t)at;
    return true;
}

static bool is_number(struct sluice_span text, time_t *number)
{
    *number = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        *number = *number * 10 + (text.ptr[i] - '0');
    }
    return text.len > 0 && text.len <= 10;
}

bool keyfile_time(struct sluice_span text, uint32_t *seconds)
{
    static const char *const forms[] = {"%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d"};
    char copy[32];
    time_t number;

    if (text.len == 0 || text.len >= sizeof(copy))
        return false;
    if (text.len <= 10 && is_number(text, &number))
        return in_seconds(number, seconds);
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        struct tm tm = {0};
        const char *end = strptime(copy, forms[i], &tm);

        if (end && *end == '\0')
            return in_seconds(timegm(&tm), seconds);
    }
    return false;
}

bool keyfile_is_name(struct sluice_span text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.ptr[i];

        if (byte <= 0x20 || byte == 0x7f || byte == ',')
            return false;
    }
    return text.len > 0 && text.len <= KEYS_NAME_MAX;
}

/* -- a line --------------------------------------------------------------------- */

static bool is_groups(struct sluice_span groups)
{
    struct sluice_span one;

    if (groups.len == 0)
        return true;
    while (span_cut(&groups, ',', &one)) {
        if (!keyfile_is_name(one))
            return false;
    }
    return true;
}

static const char *read_words(struct sluice_span words, struct keys_span *span)
{
    const struct sluice_span from = SLUICE_SPAN("from="), until = SLUICE_SPAN("until=");
    struct sluice_span word;

    while (span_cut(&words, ' ', &word)) {
        struct sluice_span value;
        uint32_t *into;

        if (word.len == 0)
            continue;
        if (begins(word, from)) {
            into = &span->not_before;
            value = (struct sluice_span){word.ptr + from.len, word.len - from.len};
        } else if (begins(word, until)) {
            into = &span->expires;
            value = (struct sluice_span){word.ptr + until.len, word.len - until.len};
        } else {
            return "only from=TIME and until=TIME may follow the digest";
        }
        if (!keyfile_time(value, into))
            return "this is no time: 2026-12-31, 2026-12-31T23:59:59Z or seconds since 1970";
    }
    return NULL;
}

/* NULL: it is fine. */
static const char *read_line(struct keys *keys, struct sluice_span line)
{
    unsigned char digest[KEYS_DIGEST];
    struct sluice_span name, groups, word, words = line;
    struct keys_span span = {0, 0};
    const char *why;

    if (!span_cut(&words, ':', &name) || !span_cut(&words, ':', &groups) ||
        !span_cut(&words, ' ', &word))
        return "a line is NAME:GROUPS:SHA256";
    if (!keyfile_is_name(name) || !is_groups(groups) || groups.len > KEYS_NAME_MAX)
        return "names are without spaces, commas and control characters";
    if (!keyfile_digest(word, digest))
        return "a digest is 64 hexadecimal digits: printf %s KEY | sha256sum";
    why = words.ptr ? read_words(words, &span) : NULL;
    if (why)
        return why;
    if (keys_consumer(keys, name, groups) != KEYS_OK)
        return "out of memory";
    switch (keys_add(keys, digest, span)) {
    case KEYS_OK:
        return NULL;
    case KEYS_DUPLICATE:
        return "this key is there already";
    case KEYS_NO_MEMORY:
    case KEYS_TOO_LONG:
        break;
    }
    return "out of memory";
}

bool keyfile_read(struct keys *keys, struct sluice_span text, char why[STORE_WHY])
{
    struct sluice_span line;
    size_t number = 0;

    while (span_cut(&text, '\n', &line)) {
        const char *wrong;

        number++;
        if (line.len > 0 && line.ptr[line.len - 1] == '\r')
            line.len--;
        line = span_trim(line);
        if (line.len == 0 || line.ptr[0] == '#')
            continue;
        wrong = read_line(keys, line);
        if (!wrong)
            continue;
        snprintf(why, STORE_WHY, "line %zu: %s", number, wrong);
        return false;
    }
    return true;
}

/* -- as a store's table ---------------------------------------------------------- */

static void *read_table(struct sluice_span text, char why[STORE_WHY])
{
    struct keys *keys = keys_new();

    if (keys && !keyfile_read(keys, text, why))
        keys_free(&keys);
    return keys;
}

static void *hold_table(void *keys)
{
    return keys_hold(keys);
}

static void drop_table(void *table)
{
    struct keys *keys = table;

    keys_free(&keys);
}

const struct store_kind keyfile_kind = {read_table, hold_table, drop_table};
