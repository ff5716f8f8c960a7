#include "proxy/proxied_conf.h"

#include "net/addr_conf.h"

#include <stddef.h>

static const struct choice others_choices[] = {
    {"refuse", PROXIED_REFUSE, "Their connections are closed."},
    {"direct", PROXIED_DIRECT, "They are clients like any, and send no header."},
    {NULL, 0, NULL},
};

static const struct shape others_shape = {
    .kind = SHAPE_CHOICE, .size = sizeof(int), .choices = others_choices};

static const struct shape wait_shape = {.kind = SHAPE_DURATION,
                                        .size = sizeof(uint64_t),
                                        .min = 1,
                                        .what = "a duration such as 5s, above 0"};

static void proxied_check(struct bind *bind, const struct tree *node, void *out)
{
    struct proxied_conf *conf = out;

    if (!node)
        return;
    conf->is_on = true;
    if (conf->from.n == 0) {
        notes_error(bind->notes, node->at,
                    "name the load balancers: from: [ 10.0.0.0/8 ]; 0.0.0.0/0 is everybody",
                    "proxy_protocol.from is empty: nobody's header would be believed");
    }
}

#define AT(member) offsetof(struct proxied_conf, member)

static const struct field proxied_fields[] = {
    {.name = "from",
     .shape = &addr_ranges_shape,
     .offset = AT(from),
     .required = true,
     .help = "Who sends the header, and is believed.",
     .example = "[ 10.0.0.0/8, \"fd00::/8\" ]"},
    {.name = "others",
     .shape = &others_shape,
     .offset = AT(others),
     .preset = "refuse",
     .help = "What becomes of connections from elsewhere."},
    {.name = "optional",
     .shape = &shape_bool,
     .offset = AT(optional),
     .preset = "false",
     .help = "Peers in from may leave the header out, and are clients like any then."},
    {.name = "timeout",
     .shape = &wait_shape,
     .offset = AT(timeout_ms),
     .preset = "5s",
     .help = "For the whole header."},
    {0},
};

#undef AT

const struct shape proxied_conf_shape = {.kind = SHAPE_STRUCT,
                                         .size = sizeof(struct proxied_conf),
                                         .fields = proxied_fields,
                                         .check = proxied_check,
                                         .title = "proxy protocol"};
