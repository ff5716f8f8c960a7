#include "base/pair.h"

#include <string.h>

typedef unsigned __int128 both;

static both both_of(struct pair pair)
{
    both words;

    memcpy(&words, &pair, sizeof(words));
    return words;
}

/*
 * gcc makes the instruction of the older builtin only and sends the newer one to a library; clang
 * and ThreadSanitizer know the newer one.
 */
bool pair_swap(struct pair *pair, struct pair seen, struct pair wanted)
{
    both *at = (both *)(void *)pair;
    both old = both_of(seen);

#if defined(__clang__)
    return __atomic_compare_exchange_n(at, &old, both_of(wanted), false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE);
#else
    return __sync_bool_compare_and_swap(at, old, both_of(wanted));
#endif
}
