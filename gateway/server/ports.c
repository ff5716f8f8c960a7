#include "server/ports.h"

#include "base/alloc.h"
#include "base/log.h"
#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* One listener that has its sockets. */
struct place {
    struct list link;
    char *name;         /* owned */
    char *path;         /* owned: of a unix socket, else NULL */
    struct addr wanted; /* as configured */
    struct addr addr;   /* as bound: port 0 has become a real one */
    const struct tally_block *tally;
    int *fd; /* owned: one per worker until handed over */
    /* owned: of a unix socket, for a listener that takes it over by another name; else -1 */
    int kept_fd;
    bool kept; /* the new configuration still has it */
};

struct ports {
    struct crew *crew;   /* borrowed */
    struct tally *tally; /* borrowed */
    struct list places;
};

struct ports_change {
    struct ports *ports; /* borrowed */
    struct list added;   /* of struct place */
};

struct ports *ports_new(struct crew *crew, struct tally *tally)
{
    struct ports *ports = alloc_new(sizeof(*ports));

    ports->crew = crew;
    ports->tally = tally;
    list_init(&ports->places);
    return ports;
}

static void place_free(struct place *place)
{
    list_remove(&place->link);
    if (place->kept_fd >= 0)
        close(place->kept_fd);
    alloc_free(place->name);
    alloc_free(place->path);
    alloc_free(place->fd);
    alloc_free(place);
}

void ports_free(struct ports **ports)
{
    if (!*ports)
        return;
    list_each_safe (node, after, &(*ports)->places) {
        struct place *place = list_entry(node, struct place, link);

        if (place->path)
            unlink(place->path);
        place_free(place);
    }
    alloc_free(*ports);
    *ports = NULL;
}

static struct place *place_new(const struct listener_conf *conf)
{
    struct place *place = alloc_new(sizeof(*place));

    list_init(&place->link);
    place->name = alloc_text(conf->name.ptr, conf->name.len);
    place->wanted = conf->addr;
    if (addr_unix_path(&conf->addr)) {
        place->path = alloc_text(conf->addr.path, strlen(conf->addr.path));
        place->wanted.path = place->path;
    }
    place->kept_fd = -1;
    return place;
}

static void close_all(const struct place *place, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        close(place->fd[i]);
    }
}

static struct place *find_addr(const struct list *places, const struct addr *addr)
{
    list_each (node, places) {
        struct place *place = list_entry(node, struct place, link);

        if (addr_equal(&place->wanted, addr))
            return place;
    }
    return NULL;
}

static enum err dup_fd(int fd, int *copy)
{
    *copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return *copy < 0 ? ERR_SYSTEM : OK;
}

/*
 * A unix socket: one for all workers. If another listener of ours has it, under another name, it
 * is the same socket: what waits to be accepted is not lost.
 */
static enum err open_unix(const struct ports *ports, struct place *place, int backlog, unsigned i)
{
    const struct place *other = find_addr(&ports->places, &place->wanted);
    enum err err;

    if (i > 0)
        return dup_fd(place->kept_fd, &place->fd[i]);
    if (other) {
        err = dup_fd(other->kept_fd, &place->fd[0]);
    } else {
        err = listener_bind(&place->wanted, backlog, false, &place->fd[0]);
    }
    place->addr = place->wanted;
    if (err == OK && dup_fd(place->fd[0], &place->kept_fd) != OK) {
        close(place->fd[0]);
        err = ERR_SYSTEM;
    }
    return err;
}

/*
 * Sockets that share a port do not notice a stranger who shares it too (another gateway, say): so
 * the first one asks for the port alone, unless it is ours already.
 */
static enum err check_alone(const struct ports *ports, const struct place *place)
{
    int fd;

    if (place->wanted.port == 0 || find_addr(&ports->places, &place->wanted))
        return OK;
    if (listener_bind(&place->wanted, 1, false, &fd))
        return ERR_SYSTEM;
    close(fd);
    return OK;
}

/* A socket for one worker, of its own in the same port group. */
static enum err open_inet(const struct ports *ports, struct place *place, int backlog, unsigned i)
{
    enum err err = OK;

    if (i == 0)
        err = check_alone(ports, place);
    if (err == OK)
        err = listener_bind(i == 0 ? &place->wanted : &place->addr, backlog, true, &place->fd[i]);
    if (err == OK && i == 0)
        err = listener_address(place->fd[0], &place->wanted, &place->addr);
    return err;
}

static enum err open_one(const struct ports *ports, struct place *place, int backlog, unsigned i)
{
    if (place->wanted.family == AF_UNIX)
        return open_unix(ports, place, backlog, i);
    return open_inet(ports, place, backlog, i);
}

static enum err open_place(struct ports *ports, struct place *place,
                           const struct listener_conf *conf, struct notes *notes)
{
    unsigned n = ports->crew->n_workers;

    place->fd = alloc_new(n * sizeof(*place->fd));
    for (unsigned i = 0; i < n; i++) {
        int number;

        if (open_one(ports, place, (int)conf->backlog, i) == OK)
            continue;
        number = errno;
        close_all(place, i);
        notes_error(
            notes, conf->at,
            number == EADDRINUSE ? "another process listens there: stop it or choose another port"
                                 : "check the address and the rights",
            "listener '%s' cannot listen on %s: %s", place->name, conf->bind.ptr, strerror(number));
        return ERR_SYSTEM;
    }
    place->tally = tally_get(ports->tally, PORT_TALLY, conf->name, sizeof(struct port_counters));
    return OK;
}

static struct place *find(struct ports *ports, const struct listener_conf *conf)
{
    list_each (node, &ports->places) {
        struct place *place = list_entry(node, struct place, link);

        if (span_equal(span_of(place->name), conf->name) && addr_equal(&place->wanted, &conf->addr))
            return place;
    }
    return NULL;
}

enum err ports_prepare(struct ports *ports, const struct snapshot *snapshot, struct notes *notes,
                       struct ports_change **change_)
{
    struct ports_change *change = alloc_new(sizeof(*change));
    bool failed = false;

    change->ports = ports;
    list_init(&change->added);
    list_each (node, &ports->places) {
        list_entry(node, struct place, link)->kept = false;
    }
    for (size_t i = 0; i < snapshot->n_listeners; i++) {
        const struct listener_conf *conf = &snapshot->listeners[i];
        struct place *place = find(ports, conf);

        if (place) {
            place->kept = true;
            continue;
        }
        place = place_new(conf);
        if (open_place(ports, place, conf, notes)) {
            place_free(place);
            failed = true;
        } else {
            place->kept = true;
            list_append(&change->added, &place->link);
        }
    }
    *change_ = change;
    if (failed)
        ports_forget(change_);
    return failed ? ERR_SYSTEM : OK;
}

static bool is_named(const struct list *places, const char *name)
{
    list_each (node, places) {
        if (strcmp(list_entry(node, struct place, link)->name, name) == 0)
            return true;
    }
    return false;
}

static void let_go(struct ports *ports, struct place *place, const struct ports_change *change)
{
    /*
     * A listener that only moved gets its new sockets under the same name, which replaces the
     * old.
     */
    bool moved = is_named(&change->added, place->name);

    for (unsigned i = 0; !moved && i < ports->crew->n_workers; i++) {
        worker_remove_port(ports->crew->worker[i], span_of(place->name));
    }
    log_info("no longer listening", F_STR("listener", place->name));
    if (place->path && !find_addr(&change->added, &place->wanted))
        unlink(place->path);
    place_free(place);
}

static void hand_over(struct ports *ports, struct place *place)
{
    char text[ADDR_TEXT + 128];

    addr_format(&place->addr, text, sizeof(text));
    log_info("listening", F_STR("listener", place->name), F_STR("address", text));
    for (unsigned i = 0; i < ports->crew->n_workers; i++) {
        worker_add_port(ports->crew->worker[i], span_of(place->name), place->fd[i], place->tally);
    }
    list_remove(&place->link);
    list_append(&ports->places, &place->link);
}

void ports_apply(struct ports *ports, struct ports_change **change)
{
    list_each_safe (node, after, &ports->places) {
        struct place *place = list_entry(node, struct place, link);

        if (!place->kept)
            let_go(ports, place, *change);
    }
    list_each_safe (node, after, &(*change)->added) {
        hand_over(ports, list_entry(node, struct place, link));
    }
    alloc_free(*change);
    *change = NULL;
}

void ports_forget(struct ports_change **change)
{
    unsigned n;

    if (!*change)
        return;
    n = (*change)->ports->crew->n_workers;
    list_each_safe (node, after, &(*change)->added) {
        struct place *place = list_entry(node, struct place, link);

        close_all(place, n);
        if (place->path && !find_addr(&(*change)->ports->places, &place->wanted))
            unlink(place->path);
        place_free(place);
    }
    alloc_free(*change);
    *change = NULL;
}
