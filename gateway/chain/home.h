/*
 * home.h - what of the chain outlives configurations. Private to chain/.
 *
 * Each service that keeps something over reloads (words, maps, metrics) has its member here, which
 * home_new() and home_free() make and end.
 *
 * Threads: the control thread's, but for what a member says may be read elsewhere.
 */
#ifndef CHAIN_HOME_H
#define CHAIN_HOME_H

#include "base/list.h"
#include "base/text.h"

struct tally;

struct chain_home {
    struct list plugins; /* of struct plugin: every loaded file */
    struct text dirs;    /* folders to look in, separated by colons */
    struct tally *tally; /* borrowed, outlives us */
    unsigned n_workers;  /* 0: nothing will be served */
};

#endif /* CHAIN_HOME_H */
