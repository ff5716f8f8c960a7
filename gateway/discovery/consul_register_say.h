/*
 * consul_register_say.h - what the agent is told of the gateway, as /v1/agent/service/register
 * wants it.
 */
#ifndef DISCOVERY_CONSUL_REGISTER_SAY_H
#define DISCOVERY_CONSUL_REGISTER_SAY_H

#include "base/text.h"
#include "discovery/consul_register_conf.h"

/* Append the JSON. No status of checks is in it: those that are there keep theirs. */
void consul_register_say(const struct consul_register_conf *conf, struct text *out);

#endif /* DISCOVERY_CONSUL_REGISTER_SAY_H */
