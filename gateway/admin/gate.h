/*
 * gate.h - who may not speak to the control port: pages in a browser (private to admin).
 *
 * A page from anywhere can make a browser on this machine send requests here: by its own origin,
 * or by a name that was bent to this address (DNS rebinding). The first kind carries Origin, the
 * second kind that name in Host.
 */
#ifndef ADMIN_GATE_H
#define ADMIN_GATE_H

#include "base/span.h"

#include <stdbool.h>

/* True for a literal IP address or "localhost", each with or without a port. */
bool gate_has_host(struct sluice_span host);

#endif /* ADMIN_GATE_H */
