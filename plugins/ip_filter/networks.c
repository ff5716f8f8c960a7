/*
 * networks.c - nested networks laid flat.
 *
 * Sorted by first address, then by length, a network comes right after those that hold it. One
 * sweep with a stack of the open ones (at most 129 deep) emits a range at each begin and end.
 */
#include "networks.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 130 };

/* First and last address; of IPv4, low alone. */
struct network_entry {
    uint64_t high, low, last_high, last_low;
    uint8_t bits, answer, is_v4;
};

/* -- collecting ------------------------------------------------------------------ */

static uint64_t read64(const uint8_t *bytes)
{
    uint64_t value = 0;

    for (int i = 0; i < 8; i++)
        value = value << 8 | bytes[i];
    return value;
}

/* The low n bits set; n up to 64. */
static uint64_t ones(uint32_t n)
{
    return n >= 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1;
}

static bool is_mapped(const uint8_t address[16])
{
    static const uint8_t prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

    return memcmp(address, prefix, sizeof(prefix)) == 0;
}

bool networks_add(struct network_list *list, const struct sluice_network *network,
                  enum answer answer)
{
    struct network_entry entry = {.bits = (uint8_t)network->bits, .answer = (uint8_t)answer};
    uint32_t host_bits = 128 - network->bits;

    if (list->n == list->room) {
        size_t room = list->room ? list->room * 2 : 64;
        struct network_entry *grown = realloc(list->entry, room * sizeof(*grown));

        if (!grown)
            return false;
        list->entry = grown;
        list->room = room;
    }
    /* an IPv4 address in IPv6 clothes is the IPv4 address */
    entry.is_v4 = network->is_v4 || (network->bits >= 96 && is_mapped(network->address));
    entry.high = entry.is_v4 ? 0 : read64(network->address);
    entry.low = read64(network->address + 8) & (entry.is_v4 ? UINT32_MAX : UINT64_MAX);
    entry.last_low = entry.low | ones(host_bits);
    entry.last_high = entry.high | ones(host_bits > 64 ? host_bits - 64 : 0);
    list->entry[list->n++] = entry;
    return true;
}

void networks_fini(struct network_list *list)
{
    free(list->entry);
    *list = (struct network_list){0};
}

static int by_place(const void *a_, const void *b_)
{
    const struct network_entry *a = a_, *b = b_;

    if (a->is_v4 != b->is_v4)
        return a->is_v4 ? -1 : 1;
    if (a->high != b->high)
        return a->high < b->high ? -1 : 1;
    if (a->low != b->low)
        return a->low < b->low ? -1 : 1;
    if (a->bits != b->bits)
        return a->bits < b->bits ? -1 : 1;
    /* the later of two alike wins, so that is the denial */
    return a->answer < b->answer ? -1 : a->answer > b->answer;
}

/* -- laying flat ------------------------------------------------------------------- */

struct sweep {
    uint32_t *v4;
    uint64_t *v6;
    uint8_t *answer;
    size_t n;
    const struct network_entry *open[DEPTH_MAX];
    unsigned depth;
};

/* From here on the answer is this one. A later word about the same address counts. */
static void emit(struct sweep *sweep, uint64_t high, uint64_t low, uint8_t answer)
{
    size_t last = sweep->n - 1;

    if (sweep->n && (sweep->v4 ? sweep->v4[last] == low
                               : sweep->v6[last * 2] == high && sweep->v6[last * 2 + 1] == low))
        sweep->n = last;
    if (sweep->n ? sweep->answer[sweep->n - 1] == answer : answer == ANSWER_NONE)
        return;
    if (sweep->v4) {
        sweep->v4[sweep->n] = (uint32_t)low;
    } else {
        sweep->v6[sweep->n * 2] = high;
        sweep->v6[sweep->n * 2 + 1] = low;
    }
    sweep->answer[sweep->n++] = answer;
}

static void close_one(struct sweep *sweep)
{
    const struct network_entry *entry = sweep->open[--sweep->depth];
    uint64_t low = entry->last_low + 1, high = entry->last_high + (low == 0);

    /* beyond the last address there is nothing */
    if (entry->is_v4 ? low > UINT32_MAX : low == 0 && high == 0)
        return;
    emit(sweep, high, low, sweep->depth ? sweep->open[sweep->depth - 1]->answer : ANSWER_NONE);
}

static bool is_before(const struct network_entry *open, const struct network_entry *entry)
{
    return open->last_high != entry->high ? open->last_high < entry->high
                                          : open->last_low < entry->low;
}

static void run_sweep(struct sweep *sweep, const struct network_entry *entry, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        while (sweep->depth && is_before(sweep->open[sweep->depth - 1], &entry[i]))
            close_one(sweep);
        if (sweep->depth && sweep->open[sweep->depth - 1]->bits == entry[i].bits) {
            sweep->depth--; /* the same network again */
        }
        emit(sweep, entry[i].high, entry[i].low, entry[i].answer);
        sweep->open[sweep->depth++] = &entry[i];
    }
    while (sweep->depth)
        close_one(sweep);
}

bool networks_build(struct network_set *set, struct network_list *list,
                    const struct sluice_host *host, struct sluice_setup *setup)
{
    struct sweep sweep4 = {0}, sweep6 = {0};
    size_t n4 = 0, n6;

    *set = (struct network_set){.n_networks = list->n};
    if (list->n)
        qsort(list->entry, list->n, sizeof(*list->entry), by_place);
    while (n4 < list->n && list->entry[n4].is_v4)
        n4++;
    n6 = list->n - n4;
    /* each network begins one range and ends in another */
    sweep4.v4 = host->conf_alloc(setup, (2 * n4 + 1) * sizeof(uint32_t));
    sweep4.answer = host->conf_alloc(setup, 2 * n4 + 1);
    sweep6.v6 = host->conf_alloc(setup, (2 * n6 + 1) * 2 * sizeof(uint64_t));
    sweep6.answer = host->conf_alloc(setup, 2 * n6 + 1);
    if (!sweep4.v4 || !sweep4.answer || !sweep6.v6 || !sweep6.answer)
        return false;
    if (n4)
        run_sweep(&sweep4, list->entry, n4);
    if (n6)
        run_sweep(&sweep6, list->entry + n4, n6);
    set->v4 = sweep4.v4;
    set->answer4 = sweep4.answer;
    set->n4 = sweep4.n;
    set->v6 = sweep6.v6;
    set->answer6 = sweep6.answer;
    set->n6 = sweep6.n;
    return true;
}

/* -- addresses -------------------------------------------------------------------------- */

static bool parse_bits(const char *text, uint32_t most, uint32_t *bits)
{
    uint32_t value = 0;
    size_t len = strlen(text);

    if (len == 0 || len > 3)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        value = value * 10 + (uint32_t)(*text - '0');
    }
    *bits = value;
    return value <= most;
}

bool networks_parse(struct sluice_span text, struct sluice_network *network)
{
    char copy[INET6_ADDRSTRLEN + 4];
    char *slash;
    uint32_t bits, most;

    if (text.len == 0 || text.len >= sizeof(copy))
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    slash = strchr(copy, '/');
    if (slash)
        *slash = '\0';
    *network = (struct sluice_network){0};
    network->is_v4 = inet_pton(AF_INET, copy, network->address + 12) == 1;
    if (network->is_v4) {
        memset(network->address + 10, 0xff, 2);
    } else if (inet_pton(AF_INET6, copy, network->address) != 1) {
        return false;
    }
    bits = most = network->is_v4 ? 32 : 128;
    if (slash && !parse_bits(slash + 1, most, &bits))
        return false;
    network->bits = bits + 128 - most;
    for (uint32_t i = network->bits; i < 128; i++)
        network->address[i / 8] &= (uint8_t) ~(0x80U >> (i % 8));
    return true;
}

static enum answer find4(const struct network_set *set, uint32_t address)
{
    size_t low = 0, high = set->n4;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (set->v4[middle] <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low ? (enum answer)set->answer4[low - 1] : ANSWER_NONE;
}

static enum answer find6(const struct network_set *set, uint64_t high_part, uint64_t low_part)
{
    size_t low = 0, high = set->n6;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const uint64_t *begin = set->v6 + middle * 2;

        if (begin[0] < high_part || (begin[0] == high_part && begin[1] <= low_part)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low ? (enum answer)set->answer6[low - 1] : ANSWER_NONE;
}

enum answer networks_find(const struct network_set *set, const struct sluice_network *address)
{
    if (address->is_v4 || is_mapped(address->address))
        return find4(set, (uint32_t)read64(address->address + 8));
    return find6(set, read64(address->address), read64(address->address + 8));
}
