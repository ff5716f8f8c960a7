#include "upstream/conf_levels.h"

#include <stddef.h>

const struct shape panic_shape = {.kind = SHAPE_UINT,
                                  .size = sizeof(uint64_t),
                                  .max = 100,
                                  .what = "a percentage from 0 to 100, without a sign"};

const struct shape overprovisioning_shape = {.kind = SHAPE_UINT,
                                             .size = sizeof(uint64_t),
                                             .min = 100,
                                             .max = 1000,
                                             .what =
                                                 "a percentage from 100 to 1000, without a sign"};

static const struct field zone_fields[] = {
    {.name = "enabled",
     .shape = &shape_bool,
     .offset = offsetof(struct zone_conf, enabled),
     .preset = "true",
     .help = "Whether it is on; \"zone_preference: true\" is short for all defaults."},
    {.name = "min_endpoints",
     .shape = &shape_uint,
     .offset = offsetof(struct zone_conf, min_endpoints),
     .preset = "6",
     .help = "With fewer endpoints that are well, of a priority, zones do not count."},
    {0},
};

static void zone_check(struct bind *bind, const struct tree *node, void *out)
{
    (void)bind;
    (void)node;
    ((struct zone_conf *)out)->is_written = true;
}

const struct shape zone_shape = {.kind = SHAPE_STRUCT,
                                 .size = sizeof(struct zone_conf),
                                 .fields = zone_fields,
                                 .scalar = "enabled",
                                 .check = zone_check,
                                 .what = "true, false, or a map",
                                 .title = "zone_preference"};

bool zone_conf_is_on(const struct zone_conf *conf)
{
    return conf->is_written && conf->enabled;
}
