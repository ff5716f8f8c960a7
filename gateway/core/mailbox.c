#include "core/mailbox.h"

#include "base/alloc.h"
#include "core/loop.h"

#include <event2/event.h>
#include <event2/event_struct.h>

#include <sys/eventfd.h>
#include <unistd.h>

/*
 * Senders push onto a stack with compare-and-swap; the receiver takes the whole stack at once and
 * turns it round.
 */
struct mailbox {
    struct letter *top; /* atomic */
    struct event event;
    void *owner; /* borrowed */
    int fd;
};

static struct letter *take_all(struct mailbox *mailbox)
{
    struct letter *letter = __atomic_exchange_n(&mailbox->top, NULL, __ATOMIC_ACQUIRE);
    struct letter *first = NULL;

    while (letter) {
        struct letter *next = letter->next;

        letter->next = first;
        first = letter;
        letter = next;
    }
    return first;
}

static void open_all(struct mailbox *mailbox)
{
    struct letter *letter = take_all(mailbox);

    while (letter) {
        struct letter *next = letter->next;

        letter->open(mailbox->owner, letter);
        letter = next;
    }
}

static void on_mail(evutil_socket_t fd, short what, void *mailbox_)
{
    uint64_t n;

    (void)what;
    /* The count does not matter: reading it only takes the wake-up back. */
    if (read(fd, &n, sizeof(n)) < 0)
        return;
    open_all(mailbox_);
}

enum err mailbox_new(struct mailbox **out, struct loop *loop, void *owner)
{
    struct mailbox *mailbox = alloc_new(sizeof(*mailbox));

    mailbox->owner = owner;
    mailbox->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (mailbox->fd < 0) {
        alloc_free(mailbox);
        return ERR_SYSTEM;
    }
    event_assign(&mailbox->event, loop->base, mailbox->fd, EV_READ | EV_PERSIST, on_mail, mailbox);
    event_add(&mailbox->event, NULL);
    *out = mailbox;
    return OK;
}

void mailbox_free(struct mailbox **mailbox)
{
    struct mailbox *old = *mailbox;

    if (!old)
        return;
    *mailbox = NULL;
    open_all(old);
    event_del(&old->event);
    close(old->fd);
    alloc_free(old);
}

void mailbox_post(struct mailbox *mailbox, struct letter *letter, letter_fn *open)
{
    struct letter *top = __atomic_load_n(&mailbox->top, __ATOMIC_RELAXED);

    letter->open = open;
    do {
        letter->next = top;
    } while (!__atomic_compare_exchange_n(&mailbox->top, &top, letter, true, __ATOMIC_RELEASE,
                                          __ATOMIC_RELAXED));
    if (top == NULL) {
        uint64_t one = 1;

        /* Fails only when the counter is full, and then the receiver is awake anyway. */
        if (write(mailbox->fd, &one, sizeof(one)) < 0)
            return;
    }
}
