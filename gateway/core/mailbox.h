/*
 * mailbox.h - the one door between threads: letters that the receiving loop opens in order.
 *
 * A letter carries values, counted snapshots or descriptors, never a pointer to a worker's own
 * things. Posting is lock-free, never blocks, and wakes the receiver only when the box was empty.
 */
#ifndef CORE_MAILBOX_H
#define CORE_MAILBOX_H

#include "base/err.h"

struct letter;
struct loop;
struct mailbox;

/* Called on the receiver's thread, once. The callee owns the letter. */
typedef void letter_fn(void *owner, struct letter *letter);

/* First member of every kind of letter; allocated by the sender. */
struct letter {
    struct letter *next; /* the mailbox's */
    letter_fn *open;
};

/* A mailbox read by loop; owner is handed to every letter's open. */
CHECKED enum err mailbox_new(struct mailbox **mailbox, struct loop *loop, void *owner);

/* Open what is left, then end. Nobody may post any more. */
void mailbox_free(struct mailbox **mailbox);

/* Any thread. */
void mailbox_post(struct mailbox *mailbox, struct letter *letter, letter_fn *open);

#endif /* CORE_MAILBOX_H */
