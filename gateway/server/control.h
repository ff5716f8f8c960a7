/*
 * control.h - the control thread: starts everything, changes it while it runs, ends it.
 *
 * Threads: main's.
 */
#ifndef SERVER_CONTROL_H
#define SERVER_CONTROL_H

#include "server/gateway_conf.h"

/*
 * Serve until told to end by a signal or the admin listener; returns the exit code (options.h).
 * Notes on the configuration are printed to stderr.
 */
int control_run(const struct gateway_source *source);

#endif /* SERVER_CONTROL_H */
