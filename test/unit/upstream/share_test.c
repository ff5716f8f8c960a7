#include "upstream/share.h"

#include "unit.h"

#include <stdio.h>

static struct shares *shares;
static struct share_group *group;

static struct share *get(const char *key)
{
    return shares_get(shares, group, span_of(key));
}

static void set_up(void)
{
    shares = shares_new(NULL);
    group = shares_group(shares, SPAN("app"));
}

START_TEST(an_address_of_an_upstream_has_one_share)
{
    set_up();
    ck_assert_ptr_eq(get("app 10.0.0.1:80"), get("app 10.0.0.1:80"));
    ck_assert_ptr_ne(get("app 10.0.0.1:80"), get("app 10.0.0.2:80"));
    ck_assert_ptr_eq(shares_group(shares, SPAN("app")), group);
    ck_assert_ptr_ne(shares_group(shares, SPAN("api")), group);
    shares_free(&shares);
    ck_assert_ptr_null(shares);
}
END_TEST

START_TEST(each_cause_is_set_and_cleared_by_itself)
{
    struct share *share;

    set_up();
    share = get("app 10.0.0.1:80");
    ck_assert_uint_eq(share_state(share), 0);
    ck_assert(share_set(share, SHARE_EJECTED, true));
    ck_assert(share_set(share, SHARE_CHECK_FAILED, true));
    ck_assert_uint_eq(share_state(share), SHARE_EJECTED | SHARE_CHECK_FAILED);
    ck_assert(share_set(share, SHARE_EJECTED, false));
    ck_assert_uint_eq(share_state(share), SHARE_CHECK_FAILED);
    shares_free(&shares);
}
END_TEST

START_TEST(only_a_change_raises_the_version)
{
    struct share *share;

    set_up();
    share = get("app 10.0.0.1:80");
    ck_assert(!share_set(share, SHARE_EJECTED, false));
    ck_assert_uint_eq(share_group_version(group), 0);
    ck_assert(share_set(share, SHARE_EJECTED, true));
    ck_assert(!share_set(share, SHARE_EJECTED, true));
    ck_assert_uint_eq(share_group_version(group), 1);
    shares_free(&shares);
}
END_TEST

START_TEST(causes_have_labels_of_their_own)
{
    ck_assert_str_eq(share_cause_text(SHARE_EJECTED), "ejected");
    ck_assert_str_eq(share_cause_text(SHARE_CHECK_FAILED), "check_failed");
}
END_TEST

START_TEST(what_nobody_names_is_forgotten_in_time)
{
    struct share *kept, *gone;
    char key[64];

    set_up();
    kept = get("app kept:80");
    share_set(kept, SHARE_EJECTED, true);
    for (unsigned i = 0; i < 100000; i++) {
        snprintf(key, sizeof(key), "app 10.0.%u.%u:80", i / 256, i % 256);
        gone = get(key);
        share_unref(&gone);
        ck_assert_ptr_null(gone);
    }
    ck_assert_uint_lt(shares_count(shares), 10000);
    ck_assert_ptr_eq(get("app kept:80"), kept);
    ck_assert_uint_eq(share_state(kept), SHARE_EJECTED);
    shares_free(&shares);
}
END_TEST

START_TEST(a_letter_under_way_keeps_its_share)
{
    struct share *accused, *gone;
    char key[64];

    set_up();
    accused = get("app accused:80");
    share_accuse(accused, EJECT_5XX);
    gone = accused;
    share_unref(&gone);
    for (unsigned i = 0; i < 20000; i++) {
        snprintf(key, sizeof(key), "app 10.0.%u.%u:80", i / 256, i % 256);
        gone = get(key);
        share_unref(&gone);
    }
    ck_assert_ptr_eq(share_of_letter(&accused->letter), accused);
    ck_assert_uint_eq(share_take_accused(accused), 1u << EJECT_5XX);
    shares_free(&shares);
}
END_TEST

UNIT_MAIN("upstream/share", what_nobody_names_is_forgotten_in_time,
          a_letter_under_way_keeps_its_share, an_address_of_an_upstream_has_one_share,
          each_cause_is_set_and_cleared_by_itself, only_a_change_raises_the_version,
          causes_have_labels_of_their_own)
