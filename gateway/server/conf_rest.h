/*
 * conf_rest.h - what else is wrong with a configuration that is already refused.
 *
 * Undefined names show when a snapshot is built. A refused
 * configuration is never built, but a user shall be told of all errors at once.
 */
#ifndef SERVER_CONF_REST_H
#define SERVER_CONF_REST_H

#include "proxy/snapshot.h"

/*
 * Note it. conf may hold presets where something was wrong. has_names: all files were read to
 * their ends, so a name that is not there is undefined.
 */
void conf_rest_note(const struct snapshot_conf *conf, bool has_names, struct arena *arena,
                    struct notes *notes);

#endif /* SERVER_CONF_REST_H */
