#include "base/list.h"

#include "unit.h"

struct thing {
    int number;
    struct list node;
};

static int numbers(struct list *list)
{
    int sum = 0;

    list_each (node, list)
        sum = sum * 10 + list_entry(node, struct thing, node)->number;
    return sum;
}

START_TEST(list_keeps_the_order_of_push_and_append)
{
    struct thing things[4] = {{.number = 1}, {.number = 2}, {.number = 3}, {.number = 4}};
    struct list list;

    list_init(&list);
    ck_assert(list_is_empty(&list));
    list_append(&list, &things[1].node);
    list_append(&list, &things[3].node);
    list_push(&list, &things[0].node);
    list_insert_after(&things[1].node, &things[2].node);
    ck_assert_int_eq(numbers(&list), 1234);
    ck_assert(!list_is_empty(&list));
}
END_TEST

START_TEST(list_remove_is_safe_twice_and_while_stepping)
{
    struct thing things[4] = {{.number = 1}, {.number = 2}, {.number = 3}, {.number = 4}};
    struct list list;

    list_init(&list);
    for (int i = 0; i < 4; i++)
        list_append(&list, &things[i].node);
    list_each_safe (node, after, &list)
        if (list_entry(node, struct thing, node)->number % 2 == 0)
            list_remove(node);
    ck_assert_int_eq(numbers(&list), 13);
    list_remove(&things[1].node);
    ck_assert_int_eq(numbers(&list), 13);
    list_remove(&things[0].node);
    list_remove(&things[2].node);
    ck_assert(list_is_empty(&list));
}
END_TEST

UNIT_MAIN("base/list", list_keeps_the_order_of_push_and_append,
          list_remove_is_safe_twice_and_while_stepping)
