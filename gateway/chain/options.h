/*
 * options.h - a plugin's table of options as shapes of config/.
 *
 * The shapes check, bind, and print schema and reference, so that plugins are told of like
 * everything else. What the kinds of the ABI mean that config/ does not know is in kinds.c.
 *
 * Threads: the control thread.
 */
#ifndef CHAIN_OPTIONS_H
#define CHAIN_OPTIONS_H

#include "abi/sluice_plugin.h"
#include "config/shape.h"

/*
 * Make the shape of a plugin's conf: a struct, also when there are no options. about is already
 * checked. ERR_CONFIG when the table is malformed: why says how.
 */
CHECKED enum err options_shape(const struct sluice_plugin *about, struct arena *arena,
                               const struct shape **shape, struct text *why);

/* -- for options.c: the kinds that are parsed here (kinds.c) -------------------------------- */

extern const struct shape kind_file, kind_template, kind_target, kind_upstream, kind_network,
    kind_rate;

/*
 * What binding the options of a place works with: bind->user while kinds.c parses. NULL members:
 * only printing.
 */
struct chain_build;

#endif /* CHAIN_OPTIONS_H */
