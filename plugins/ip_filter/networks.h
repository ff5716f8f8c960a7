/*
 * networks.h - a set of networks with an answer each; the longest prefix decides.
 *
 * Built once, then looked up by any thread. Nested networks are laid flat to ranges, so that a
 * look-up is one binary search: 5 bytes a range for IPv4, 17 for IPv6.
 */
#ifndef IP_FILTER_NETWORKS_H
#define IP_FILTER_NETWORKS_H

#include "sluice_plugin.h"

enum answer { ANSWER_NONE, ANSWER_ALLOW, ANSWER_DENY };

/* Networks that are being collected. */
struct network_list {
    struct network_entry *entry; /* owned */
    size_t n, room;
};

struct network_set {
    /* borrowed from conf; the answer is for addresses from here to before the next */
    const uint32_t *v4;
    const uint64_t *v6; /* two a range: high, low */
    const uint8_t *answer4, *answer6;
    size_t n4, n6;
    size_t n_networks;
};

/* False: out of memory. */
bool networks_add(struct network_list *list, const struct sluice_network *network,
                  enum answer answer);
void networks_fini(struct network_list *list);

/*
 * Lay them flat, in memory of conf. Where the same network is in both lists, it is denied. False:
 * out of memory.
 */
bool networks_build(struct network_set *set, struct network_list *list,
                    const struct sluice_host *host, struct sluice_setup *setup);

/* An address or network as text: "10.0.0.0/8", "::1". Host bits are cut. False: neither. */
bool networks_parse(struct sluice_span text, struct sluice_network *network);

enum answer networks_find(const struct network_set *set, const struct sluice_network *address);

#endif /* IP_FILTER_NETWORKS_H */
