/*
 * host_door.c - doors: how other threads reach a place on its worker.
 *
 * A door outlives its place. The lock makes sure that nobody posts to a mailbox that is gone: the
 * place's end takes it too. Who comes too late finds the door shut.
 */
#include "base/alloc.h"
#include "base/lock.h"
#include "chain/host.h"
#include "core/mailbox.h"

enum { DOOR_QUEUE_MAX = 1024 };

struct sluice_door {
    struct list link;           /* in place->doors; the worker's */
    struct sluice_place *place; /* the worker's; NULL: it has ended */
    unsigned refs; /* atomic: one of who opened it, one of each message, and the place's */
    struct lock lock;
    struct mailbox *mailbox; /* with the lock; NULL: nobody is there any more */
    unsigned n_queued;       /* with the lock */
};

struct message {
    struct letter letter;
    struct sluice_door *door; /* a reference */
    sluice_message_fn *run;
    void *arg; /* the plugin's */
};

static void door_unref(struct sluice_door *door)
{
    if (__atomic_sub_fetch(&door->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    lock_fini(&door->lock);
    alloc_free(door);
}

struct sluice_door *host_door(const struct sluice_call *call)
{
    struct sluice_place *place = call->place;
    struct sluice_door *door;

    if (place->is_ended)
        return NULL;
    door = alloc_new(sizeof(*door));
    door->place = place;
    door->refs = 2;
    lock_init(&door->lock);
    door->mailbox = place->worker->ops->mailbox(place->worker->owner);
    list_append(&place->doors, &door->link);
    return door;
}

void doors_end(struct sluice_place *place)
{
    list_each_safe (node, after, &place->doors) {
        struct sluice_door *door = list_entry(node, struct sluice_door, link);

        lock_take(&door->lock);
        door->mailbox = NULL;
        lock_give(&door->lock);
        door->place = NULL;
        list_remove(&door->link);
        door_unref(door);
    }
}

static enum sluice_verdict come_in(const struct sluice_call *call, void *message_)
{
    const struct message *message = message_;

    message->run(call, message->arg);
    return SLUICE_NEXT;
}

static void on_message(void *owner, struct letter *letter)
{
    struct message *message = (struct message *)(void *)letter;
    struct sluice_door *door = message->door;

    (void)owner;
    lock_take(&door->lock);
    door->n_queued--;
    lock_give(&door->lock);
    if (door->place)
        place_run(door->place, come_in, message);
    door_unref(door);
    alloc_free(message);
}

bool host_post(struct sluice_door *door, sluice_message_fn *message, void *arg)
{
    struct message *posted = alloc_try(sizeof(*posted));
    bool is_open;

    if (!posted)
        return false;
    *posted = (struct message){.door = door, .run = message, .arg = arg};
    lock_take(&door->lock);
    is_open = door->mailbox && door->n_queued < DOOR_QUEUE_MAX;
    if (is_open) {
        door->n_queued++;
        __atomic_add_fetch(&door->refs, 1, __ATOMIC_RELAXED);
        mailbox_post(door->mailbox, &posted->letter, on_message);
    }
    lock_give(&door->lock);
    if (!is_open)
        alloc_free(posted);
    return is_open;
}

void host_door_close(struct sluice_door *door)
{
    if (door)
        door_unref(door);
}
