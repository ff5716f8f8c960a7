#include "server/conf_rest.h"

/* Resolve endpoints as a start does, and forget them. */
static void note_endpoints(const struct items *upstreams, struct notes *notes)
{
    const struct upstream_conf *upstream = upstreams->first;
    struct tally *tally = tally_new(1);
    struct shares *shares = shares_new(tally);

    for (size_t i = 0; i < upstreams->n; i++) {
        struct members *members = members_from_conf(&upstream[i], shares, notes);

        members_unref(&members);
    }
    shares_free(&shares);
    tally_free(&tally);
}

void conf_rest_note(const struct snapshot_conf *conf, struct notes *notes)
{
    note_endpoints(&conf->upstreams, notes);
}
