/*
 * list.h - intrusive doubly linked list. A node that is in no list points to itself.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *prev;
};

/* The struct around the node. */
#define list_entry(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

#define list_each(node, head)                                                                      \
    for (struct list *node = (head)->next; node != (head); node = node->next)

/* As list_each, and the body may remove the node. */
#define list_each_safe(node, after, head)                                                          \
    for (struct list *node = (head)->next, *after = node->next; node != (head);                    \
         node = after, after = node->next)

static inline void list_init(struct list *list)
{
    list->next = list->prev = list;
}

static inline bool list_is_empty(const struct list *list)
{
    return list->next == list;
}

static inline void list_insert_after(struct list *place, struct list *node)
{
    node->prev = place;
    node->next = place->next;
    place->next->prev = node;
    place->next = node;
}

static inline void list_push(struct list *list, struct list *node)
{
    list_insert_after(list, node);
}

static inline void list_append(struct list *list, struct list *node)
{
    list_insert_after(list->prev, node);
}

/* Safe on a node that is in no list. */
static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

#endif /* BASE_LIST_H */
