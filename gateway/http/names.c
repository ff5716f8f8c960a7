/*
 * names.c - a perfect hash over the known field names.
 *
 * The slot of a name comes from its length, its first four and its last four bytes, all folded
 * to lower case. SLOT_FACTOR was searched for by trial so that no two names share a slot: a
 * name added to FIELD_NAMES needs a line in slots[] (and perhaps a new factor), and the unit
 * test names_finds_every_name_in_any_case fails until it has one. The name found there is then
 * compared eight bytes at a time, so a miss costs one table look-up and a hit a few loads.
 */
#include "http/names.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum {
    NAME_ROOM = 24, /* the longest known name has 19 bytes; a multiple of 8 */
    SLOT_BITS = 7,
};

#define SLOT_FACTOR 0xe991f1f3U

struct known_name {
    char text[NAME_ROOM]; /* lower case */
    uint8_t len;
};

#define KNOWN(symbol, name) [FIELD_##symbol] = {name, sizeof(name) - 1},
static const struct known_name known[FIELD_ID_COUNT] = {FIELD_NAMES(KNOWN)};
#undef KNOWN

static const uint8_t slots[1 << SLOT_BITS] = {
    [57] = FIELD_HOST,
    [25] = FIELD_CONNECTION,
    [79] = FIELD_CONTENT_LENGTH,
    [74] = FIELD_TRANSFER_ENCODING,
    [41] = FIELD_TE,
    [95] = FIELD_TRAILER,
    [1] = FIELD_UPGRADE,
    [7] = FIELD_KEEP_ALIVE,
    [87] = FIELD_PROXY_CONNECTION,
    [8] = FIELD_PROXY_AUTHENTICATE,
    [53] = FIELD_PROXY_AUTHORIZATION,
    [124] = FIELD_EXPECT,
    [96] = FIELD_VIA,
    [32] = FIELD_FORWARDED,
    [28] = FIELD_X_FORWARDED_FOR,
    [110] = FIELD_X_FORWARDED_PROTO,
    [42] = FIELD_X_FORWARDED_HOST,
    [13] = FIELD_X_FORWARDED_PORT,
    [86] = FIELD_X_REAL_IP,
    [121] = FIELD_X_REQUEST_ID,
    [115] = FIELD_DATE,
    [61] = FIELD_SERVER,
    [60] = FIELD_COOKIE,
    [114] = FIELD_SET_COOKIE,
    [65] = FIELD_AUTHORIZATION,
    [30] = FIELD_USER_AGENT,
    [38] = FIELD_REFERER,
    [24] = FIELD_ACCEPT,
    [27] = FIELD_ACCEPT_ENCODING,
    [43] = FIELD_CONTENT_TYPE,
    [55] = FIELD_CONTENT_ENCODING,
    [88] = FIELD_CONTENT_RANGE,
    [3] = FIELD_CACHE_CONTROL,
    [108] = FIELD_LOCATION,
    [100] = FIELD_RETRY_AFTER,
    [119] = FIELD_ALLOW,
    [77] = FIELD_ORIGIN,
    [106] = FIELD_TRACEPARENT,
};

static uint64_t load8(const char *ptr)
{
    uint64_t word;

    memcpy(&word, ptr, sizeof(word));
    return word;
}

static uint32_t load4(const char *ptr)
{
    uint32_t word;

    memcpy(&word, ptr, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap32(word); /* slots[] was made for the other order */
#endif
    return word;
}

static uint32_t load2(const char *ptr)
{
    return (uint32_t)(unsigned char)ptr[0] | (uint32_t)(unsigned char)ptr[1] << 8;
}

/* The first and the last four (of short names: two) bytes of a name, side by side. */
static inline uint64_t ends(const char *ptr, size_t len)
{
    if (len >= 4)
        return load4(ptr) | (uint64_t)load4(ptr + len - 4) << 32;
    return load2(ptr) | (uint64_t)load2(ptr + len - 2) << 32;
}

static inline unsigned slot_of(const char *ptr, size_t len)
{
    uint64_t fold = len >= 4 ? 0x2020202020202020U : 0x0000202000002020U;
    uint64_t word = ends(ptr, len) | fold;
    uint32_t sum = (uint32_t)word + (uint32_t)(word >> 32) * 5 + (uint32_t)len;

    return (sum * SLOT_FACTOR) >> (32 - SLOT_BITS);
}

/*
 * Are eight bytes of a name the lower-case ones of word? Setting bit 5 makes capitals small and
 * leaves '-' alone, but would also make '-' of a carriage return: what differs may only be bit 5,
 * and only where the known byte is a letter (0x40 set).
 */
static inline bool same8(uint64_t given, uint64_t word)
{
    uint64_t letters = (word & 0x4040404040404040U) >> 1;

    return (given | letters) == word;
}

static inline bool same_name(const char *ptr, const struct known_name *name)
{
    size_t len = name->len;

    if (len < 8)
        return same8(ends(ptr, len), ends(name->text, len));
    for (size_t at = 0; at + 8 <= len; at += 8) {
        if (!same8(load8(ptr + at), load8(name->text + at)))
            return false;
    }
    return same8(load8(ptr + len - 8), load8(name->text + len - 8)); /* overlaps, no matter */
}

enum field_id name_find(struct sluice_span name)
{
    const struct known_name *candidate;
    unsigned id;

    if (name.len < 2 || name.len >= NAME_ROOM)
        return FIELD_OTHER;
    id = slots[slot_of(name.ptr, name.len)];
    candidate = &known[id];
    if (candidate->len != name.len || !same_name(name.ptr, candidate))
        return FIELD_OTHER;
    return (enum field_id)id;
}

struct sluice_span name_text(enum field_id id)
{
    if ((unsigned)id >= FIELD_ID_COUNT)
        return SPAN("");
    return (struct sluice_span){known[id].text, known[id].len};
}
