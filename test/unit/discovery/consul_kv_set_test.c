#include "discovery/consul_kv_set.h"

#include "base/text.h"
#include "unit.h"

static char why[CONSUL_KV_WHY];

static struct consul_kv_set *read_set(const char *body)
{
    struct consul_kv_set *set = NULL;

    ck_assert_int_eq(consul_kv_set_read(span_of(body), &set, why), OK);
    return set;
}

START_TEST(pieces_are_decoded_and_in_order_of_their_keys)
{
    struct consul_kv_set *set = read_set("[{\"Key\":\"p/b\",\"Value\":\"YmI=\"},"
                                         "{\"Key\":\"p/\",\"Value\":null},"
                                         "{\"Key\":\"p/e\",\"Value\":\"\"},"
                                         "{\"Key\":\"p/a\",\"Value\":\"YQ==\"},"
                                         "{\"Key\":\"p/c\",\"Value\":\"Y2Nj\"}]");

    ck_assert_uint_eq(set->n, 3);
    ck_assert_str_eq(set->piece[0].name, "consul:p/a");
    ck_assert_str_eq(set->piece[0].yaml.ptr, "a");
    ck_assert_str_eq(set->piece[1].yaml.ptr, "bb");
    ck_assert_str_eq(set->piece[2].yaml.ptr, "ccc");
    consul_kv_set_free(&set);
    ck_assert_ptr_null(set);
}
END_TEST

START_TEST(no_body_is_no_keys)
{
    struct consul_kv_set *set = read_set("");

    ck_assert_uint_eq(set->n, 0);
    consul_kv_set_free(&set);
}
END_TEST

START_TEST(the_hash_tells_names_and_texts_apart_and_nothing_else)
{
    struct consul_kv_set *one = read_set("[{\"Key\":\"a\",\"Value\":\"YQ==\",\"ModifyIndex\":1}]");
    struct consul_kv_set *same = read_set("[{\"Key\":\"a\",\"Value\":\"YQ==\",\"ModifyIndex\":9}]");
    struct consul_kv_set *text = read_set("[{\"Key\":\"a\",\"Value\":\"YmI=\"}]");
    struct consul_kv_set *name = read_set("[{\"Key\":\"b\",\"Value\":\"YQ==\"}]");

    ck_assert_uint_eq(one->hash, same->hash);
    ck_assert_uint_ne(one->hash, text->hash);
    ck_assert_uint_ne(one->hash, name->hash);
    consul_kv_set_free(&one);
    consul_kv_set_free(&same);
    consul_kv_set_free(&text);
    consul_kv_set_free(&name);
}
END_TEST

START_TEST(what_consul_does_not_write_is_refused)
{
    static const char *const bodies[] = {"{}",
                                         "[1]",
                                         "[{\"Value\":\"YQ==\"}]",
                                         "[{\"Key\":\"a\",\"Value\":7}]",
                                         "[{\"Key\":\"a\",\"Value\":\"YQ=\"}]",
                                         "[{\"Key\":\"a\",\"Value\":\"Y*==\"}]",
                                         "[{\"Key\":\"a\",",
                                         "no"};

    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        struct consul_kv_set *set = NULL;

        ck_assert_int_eq(consul_kv_set_read(span_of(bodies[i]), &set, why), ERR_PROTOCOL);
        ck_assert_ptr_null(set);
    }
}
END_TEST

START_TEST(more_keys_than_allowed_are_refused)
{
    struct consul_kv_set *set = NULL;
    struct text body;

    text_init(&body, 1 << 20);
    text_add_char(&body, '[');
    for (int i = 0; i <= CONSUL_KV_KEYS; i++)
        text_format(&body, "%s{\"Key\":\"k%d\",\"Value\":\"YQ==\"}", i ? "," : "", i);
    text_add_char(&body, ']');
    ck_assert_int_eq(consul_kv_set_read(text_span(&body), &set, why), ERR_LIMIT);
    text_fini(&body);
}
END_TEST

UNIT_MAIN("discovery/consul_kv_set", pieces_are_decoded_and_in_order_of_their_keys,
          no_body_is_no_keys, the_hash_tells_names_and_texts_apart_and_nothing_else,
          what_consul_does_not_write_is_refused, more_keys_than_allowed_are_refused)
