#include "upstream/share.h"

#include "unit.h"

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

UNIT_MAIN("upstream/share", an_address_of_an_upstream_has_one_share,
          each_cause_is_set_and_cleared_by_itself, only_a_change_raises_the_version,
          causes_have_labels_of_their_own)
