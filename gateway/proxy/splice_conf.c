#include "proxy/splice_conf.h"

#include <stddef.h>

static const struct shape size_shape = {
    .kind = SHAPE_SIZE, .size = sizeof(uint64_t), .min = 4096, .what = "a size of 4KiB or more"};
static const struct shape pipes_shape = {.kind = SHAPE_UINT,
                                         .size = sizeof(uint64_t),
                                         .min = 1,
                                         .max = 65536,
                                         .what = "a number from 1 to 65536"};

static void settle(struct bind *bind, const struct tree *node, void *out)
{
    struct splice_conf *conf = out;

    (void)bind;
    (void)node;
    if (conf->enabled)
        return;
    conf->min_bytes = UINT64_MAX;
    conf->pipes = 0;
}

#define AT(member) offsetof(struct splice_conf, member)

static const struct field splice_fields[] = {
    {.name = "enabled",
     .shape = &shape_bool,
     .offset = AT(enabled),
     .preset = "true",
     .help =
         "Whether content of responses may pass from socket to socket inside the kernel: by "
         "HTTP/1.1 with a length, without TLS on either side, and where no plugin looks at it."},
    {.name = "min_size",
     .shape = &size_shape,
     .offset = AT(min_bytes),
     .preset = "64KiB",
     .help = "Content of which less than this is to come is copied: that is cheaper."},
    {.name = "pipes",
     .shape = &pipes_shape,
     .offset = AT(pipes),
     .preset = "128",
     .help = "Pipes of a worker at most, two descriptors each: one for each client that has not "
             "taken what was moved for it. Without one, content is copied."},
    {.name = NULL},
};

#undef AT

const struct shape splice_shape = {.kind = SHAPE_STRUCT,
                                   .size = sizeof(struct splice_conf),
                                   .fields = splice_fields,
                                   .scalar = "enabled",
                                   .check = settle,
                                   .title = "splice"};
