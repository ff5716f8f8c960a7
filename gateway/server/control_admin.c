/* control_admin.c - the admin port: where it listens, and what it may ask of the process. */
#include "server/control_room.h"

#include "admin/admin.h"
#include "base/alloc.h"
#include "base/log.h"
#include "base/now.h"
#include "net/listener.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static enum admin_readiness readiness(void *control_)
{
    const struct control *control = control_;

    if (control->phase == STARTING)
        return ADMIN_STARTING;
    return control->phase == READY ? ADMIN_READY : ADMIN_DRAINING;
}

static struct snapshot *host_snapshot(void *control)
{
    return ((struct control *)control)->snapshot;
}

static const struct tree *host_tree(void *control)
{
    return ((struct control *)control)->tree;
}

const char *control_source(void *control)
{
    const struct gateway_source *source = ((struct control *)control)->source;

    return source->path ? source->path : "built in";
}

static uint64_t host_loaded(void *control)
{
    return ((struct control *)control)->loaded_wall_us;
}

static void host_last(void *control, struct admin_reload *last)
{
    *last = ((struct control *)control)->last;
}

static void host_generations(void *control_, uint64_t *n, uint64_t *bytes)
{
    const struct control *control = control_;

    *n = control->n_snapshots;
    *bytes = control->snapshot_bytes;
}

void control_fill_host(struct control *control)
{
    control->host = (struct admin_host){
        .owner = control,
        .crew = &control->crew,
        .tally = control->tally,
        .metrics = control->metrics,
        .mailbox = control->mailbox,
        .roster = control->roster,
        .started_wall_us = now_wall_us(),
        .version = SLUICE_VERSION,
        .readiness = readiness,
        .snapshot = host_snapshot,
        .tree = host_tree,
        .source = control_source,
        .loaded_wall_us = host_loaded,
        .last_reload = host_last,
        .generations = host_generations,
        .reload = control_reload,
        .drain = control_begin_drain,
    };
}

/*
 * Whoever reaches it controls the gateway: a unix socket is its owner's alone, from the moment it
 * exists. No other thread makes files, so none is met by the mask.
 */
static enum err bind_admin(const struct addr *wanted, int *fd)
{
    mode_t mask = umask(0177);
    enum err err = listener_bind(wanted, 64, false, fd);
    int number = errno;

    umask(mask);
    errno = number;
    return err;
}

enum err control_open_admin(struct control *control, const struct admin_conf *conf)
{
    char text[ADDR_TEXT + 128];
    struct addr addr;
    int fd;

    if (conf->off)
        return OK;
    if (bind_admin(&conf->addr, &fd) || listener_address(fd, &conf->addr, &addr)) {
        log_error("the admin listener cannot be opened", F_SPAN("address", conf->bind),
                  F_STR("cause", strerror(errno)));
        return ERR_SYSTEM;
    }
    if (addr_unix_path(&addr))
        control->admin_path = alloc_text(addr.path, strlen(addr.path));
    addr_format(&addr, text, sizeof(text));
    control->admin = admin_new(control->loop, fd, &control->host);
    log_info("admin listening", F_STR("address", text));
    return OK;
}
