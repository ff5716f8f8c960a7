/* basic_auth: which hashes are taken, who is let in, what is checked how often, who waits. */
#include "sluice_test.h"

#include "basic_auth/credentials.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>

#define REQUEST SLUICE_REQUEST

/* All of "open-sesame", but for the last. */
#define BCRYPT "$2b$04$abcdefghijklmnopqrstuuXcjcm5avyCiJoD2uS24xa2lb6fjMB3G"
#define SHA512                                                                                     \
    "$6$rounds=1000$saltsalt$DrjWAO/MPesqcpu8YFKGSFbzMeH6hOVfdV5i4kx7.OoZAZoHcjYsZmqGdmGY4v81mC7l" \
    "KO/0Bf2HPb4f8fHJI0"
#define SHA256     "$5$rounds=1000$saltsalt$jzsvpfBNo86syCuIHiXdTRN66BBIS7C3peLMeKp.I04"
#define YESCRYPT   "$y$j75$saltsaltsaltsalts0$pWXKNvHAOcuo6A/C6nHXJ7Cx8x.JYWjCSlnwt7lQFl1"
#define BCRYPT_UTF "$2b$04$zbcdefghijklmnopqrstuuHBN1J8hwezy./78MRXiqxz700p2weNS" /* sésame */

#define USERS                                                                                      \
    "users={alice: {password: '" BCRYPT "', groups: [staff, ops]}, bob: '" SHA512                  \
    "', carol: '" SHA256 "', dave: '" YESCRYPT "', zoe: '" BCRYPT_UTF "'}"

/* "Basic " and name:password in base64; one of four buffers in turn. */
static const char *basic(const char *pair)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static char texts[4][2048];
    static int turn;
    char *text = texts[turn = (turn + 1) % 4], *out = text + 6;
    size_t len = strlen(pair);

    memcpy(text, "Basic ", 6);
    for (size_t i = 0; i < len; i += 3, out += 4) {
        uint32_t bits = 0;

        for (size_t j = 0; j < 3; j++)
            bits = bits << 8 | (i + j < len ? (unsigned char)pair[i + j] : 0);
        for (size_t j = 0; j < 4; j++)
            out[j] = i + j > len ? '=' : digits[bits >> (18 - 6 * j) & 63];
    }
    *out = '\0';
    return text;
}

static struct sluice_exchange *bearing(struct sluice_test *test, const char *field)
{
    struct sluice_exchange *ex = sluice_test_request(test, "GET", "/");

    if (field)
        sluice_test_field_add(ex, REQUEST, "Authorization", field);
    return ex;
}

static enum sluice_verdict run(struct sluice_exchange *ex)
{
    return sluice_test_request_head(ex) == SLUICE_WAIT ? sluice_test_settle(ex)
                                                       : sluice_test_verdict(ex);
}

static void assert_refused(struct sluice_exchange *ex, uint32_t status, const char *word)
{
    ck_assert_int_eq(run(ex), SLUICE_REPLIED);
    ck_assert_uint_eq(sluice_test_reply(ex)->status, status);
    ck_assert_str_eq(sluice_test_reply(ex)->reason, word);
    ck_assert_ptr_null(sluice_test_attribute(ex, "consumer.name"));
}

static void assert_is(struct sluice_exchange *ex, const char *name, const char *groups)
{
    ck_assert_int_eq(run(ex), SLUICE_NEXT);
    ck_assert_str_eq(sluice_test_attribute(ex, "consumer.name"), name);
    ck_assert_str_eq(sluice_test_attribute(ex, "auth.method"), "basic_auth");
    if (groups) {
        ck_assert_str_eq(sluice_test_attribute(ex, "consumer.groups"), groups);
    } else {
        ck_assert_ptr_null(sluice_test_attribute(ex, "consumer.groups"));
    }
}

static int checks(const struct sluice_test *test, const char *result)
{
    return (int)sluice_test_metric(test, "checks_total", result);
}

START_TEST(each_scheme_of_hashes_is_verified)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, USERS, NULL);

    assert_is(bearing(test, basic("alice:open-sesame")), "alice", "staff,ops");
    assert_is(bearing(test, basic("bob:open-sesame")), "bob", NULL);
    assert_is(bearing(test, basic("carol:open-sesame")), "carol", NULL);
    assert_is(bearing(test, basic("dave:open-sesame")), "dave", NULL);
    assert_is(bearing(test, basic("zoe:s\xc3\xa9same")), "zoe", NULL);
    ck_assert_int_eq(checks(test, "right"), 5);
    for (const char *const *name = (const char *const[]){"alice", "bob", "carol", "dave", NULL};
         *name; name++) {
        char pair[64];

        snprintf(pair, sizeof(pair), "%s:Open-sesame", *name);
        assert_refused(bearing(test, basic(pair)), 401, "basic_auth_wrong");
    }
    ck_assert_int_eq(checks(test, "wrong"), 4);
    ck_assert_uint_eq(sluice_test_logged(test, "sesame"), 0);
    sluice_test_free(&test);
}
END_TEST

START_TEST(who_sends_nothing_is_asked)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, USERS, "realm=orders", NULL);
    struct sluice_exchange *ex = bearing(test, NULL);

    assert_refused(ex, 401, "basic_auth_missing");
    ck_assert_str_eq(sluice_test_field(ex, SLUICE_RESPONSE, "WWW-Authenticate"),
                     "Basic realm=\"orders\", charset=\"UTF-8\"");
    assert_refused(bearing(test, "Bearer abc"), 401, "basic_auth_missing");
    assert_refused(bearing(test, "BasicYTpi"), 401, "basic_auth_missing");
    ck_assert_int_eq(checks(test, NULL), 0);
    sluice_test_free(&test);
}
END_TEST

START_TEST(a_name_that_nobody_has_is_checked_all_the_same)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, USERS, NULL);

    assert_refused(bearing(test, basic("mallory:guess")), 401, "basic_auth_wrong");
    ck_assert_int_eq(checks(test, "wrong"), 1);
    /* the password of whoever stands in for the name lets nobody in, at the first and second try */
    for (int i = 0; i < 2; i++)
        assert_refused(bearing(test, basic("mallory:open-sesame")), 401, "basic_auth_wrong");
    ck_assert_int_eq(checks(test, NULL), 3);
    sluice_test_free(&test);
}
END_TEST

START_TEST(what_was_right_is_remembered_for_a_while)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, USERS, "cache=10s", NULL);
    struct sluice_exchange *ex = bearing(test, basic("alice:open-sesame"));

    assert_is(ex, "alice", "staff,ops");
    sluice_test_advance(test, 9000);
    ex = bearing(test, basic("alice:open-sesame"));
    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
    ck_assert_str_eq(sluice_test_attribute(ex, "consumer.groups"), "staff,ops");
    assert_refused(bearing(test, basic("alice:open-sesam")), 401, "basic_auth_wrong");
    ck_assert_int_eq(checks(test, "right"), 1);
    sluice_test_advance(test, 1001);
    assert_is(bearing(test, basic("alice:open-sesame")), "alice", "staff,ops");
    ck_assert_int_eq(checks(test, "right"), 2);
    /* the same options, but another configuration: nothing is known */
    ck_assert(sluice_test_reload(test));
    assert_is(bearing(test, basic("alice:open-sesame")), "alice", "staff,ops");
    ck_assert_int_eq(checks(test, "right"), 3);
    sluice_test_free(&test);
}
END_TEST

START_TEST(nothing_is_remembered_when_so_told)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, USERS, "cache=0s", NULL);

    for (int i = 0; i < 3; i++)
        assert_is(bearing(test, basic("alice:open-sesame")), "alice", "staff,ops");
    ck_assert_int_eq(checks(test, "right"), 3);
    sluice_test_free(&test);
}
END_TEST

START_TEST(a_full_cache_goes_on_working)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, USERS, "cache_size=1", "cache=1h", NULL);
    static const char *const names[] = {"alice", "bob", "carol", "dave"};

    for (int i = 0; i < 12; i++) {
        char pair[64];

        snprintf(pair, sizeof(pair), "%s:open-sesame", names[i % 4]);
        assert_is(bearing(test, basic(pair)), names[i % 4], i % 4 == 0 ? "staff,ops" : NULL);
    }
    ck_assert_int_eq(checks(test, "right"), 4);
    sluice_test_free(&test);
}
END_TEST

START_TEST(the_same_credentials_are_checked_once)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, USERS, "max_checks=1", NULL);
    struct sluice_exchange *same[5], *other;

    for (int i = 0; i < 5; i++) {
        same[i] = bearing(test, basic("alice:open-sesame"));
        ck_assert_int_eq(sluice_test_request_head(same[i]), SLUICE_WAIT);
    }
    ck_assert_str_eq(sluice_test_report(test), "{\"users\":5,\"checks\":1,\"waiting\":5}");
    other = bearing(test, basic("bob:open-sesame"));
    assert_refused(other, 503, "basic_auth_busy");
    ck_assert_str_eq(sluice_test_field(other, SLUICE_RESPONSE, "Retry-After"), "1");
    ck_assert_ptr_null(sluice_test_field(other, SLUICE_RESPONSE, "WWW-Authenticate"));
    sluice_test_done(same[2], false); /* a client leaves */
    sluice_test_turn(test);
    for (int i = 0; i < 5; i++) {
        if (i != 2) {
            ck_assert_int_eq(sluice_test_verdict(same[i]), SLUICE_NEXT);
            ck_assert_str_eq(sluice_test_attribute(same[i], "consumer.name"), "alice");
        }
    }
    ck_assert_int_eq(checks(test, "right"), 1);
    ck_assert_str_eq(sluice_test_report(test), "{\"users\":5,\"checks\":0,\"waiting\":0}");
    sluice_test_free(&test);
}
END_TEST

START_TEST(who_leaves_makes_no_room_for_another_check)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, USERS, "max_checks=2", NULL);

    for (int i = 0; i < 2; i++) {
        struct sluice_exchange *ex = bearing(test, basic(i == 0 ? "a:x" : "b:x"));

        ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_WAIT);
        sluice_test_done(ex, false);
    }
    assert_refused(bearing(test, basic("alice:open-sesame")), 503, "basic_auth_busy");
    sluice_test_turn(test);
    assert_is(bearing(test, basic("alice:open-sesame")), "alice", "staff,ops");
    sluice_test_free(&test);
}
END_TEST

START_TEST(only_so_many_wait)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, USERS, "max_waiting=2", NULL);

    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(sluice_test_request_head(bearing(test, basic("bob:open-sesame"))),
                         SLUICE_WAIT);
    assert_refused(bearing(test, basic("bob:open-sesame")), 503, "basic_auth_busy");
    sluice_test_turn(test);
    sluice_test_free(&test);
}
END_TEST

START_TEST(helpers_without_room_are_told)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, USERS, "cache=0s", NULL);
    struct sluice_exchange *ex = NULL;
    bool was_busy = false;

    for (uint64_t n = 1; n < 30 && !was_busy; n++) {
        ex = bearing(test, basic("bob:open-sesame"));
        sluice_test_fail_nth(test, n);
        (void)sluice_test_request_head(ex);
        was_busy =
            sluice_test_reply(ex) && strcmp(sluice_test_reply(ex)->reason, "basic_auth_busy") == 0;
        sluice_test_fail_nth(test, 0);
        sluice_test_turn(test); /* nobody is to join the check of the one before */
    }
    ck_assert(was_busy);
    ck_assert_uint_eq(sluice_test_reply(ex)->status, 503);
    sluice_test_free(&test);
}
END_TEST

START_TEST(a_field_is_read_strictly)
{
    static const char *const malformed[] = {
        "Basic",           "Basic ",         "Basic YWxpY2U", "Basic YWxpY2U=",
        "Basic YTpi YTpi", "Basic YTpi=",    "Basic YTp-",    "Basic YTpiY===",
        "Basic YTpiYR==",  "Basic YTpi\xe4", "Basic ====",
    };
    static const char *const pairs[] = {
        "alice",          ":open-sesame",   "alice:a\tb",         "alice:\x7f",
        "alice:\xe9",     "alice:\xc0\xaf", "alice:\xed\xa0\x80", "alice:\xf4\x90\x80\x80",
        "alice:\xe2\x82", "alice:\xc2\x85",
    };
    struct sluice_test *test = sluice_test_started(&sluice_plugin, USERS, NULL);
    struct sluice_exchange *ex;
    char long_pair[1024];

    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++)
        assert_refused(bearing(test, malformed[i]), 401, "basic_auth_malformed");
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        assert_refused(bearing(test, basic(pairs[i])), 401, "basic_auth_malformed");
    memset(long_pair, 'x', sizeof(long_pair));
    long_pair[1] = ':';
    long_pair[2 + PASSWORD_MAX + 1] = '\0';
    assert_refused(bearing(test, basic(long_pair)), 401, "basic_auth_malformed");
    long_pair[2 + PASSWORD_MAX] = '\0';
    assert_refused(bearing(test, basic(long_pair)), 401, "basic_auth_wrong");
    ex = bearing(test, basic("alice:open-sesame"));
    sluice_test_field_add(ex, REQUEST, "authorization", basic("bob:open-sesame"));
    assert_refused(ex, 400, "basic_auth_several");
    ex = bearing(test, basic("alice:open-sesame"));
    sluice_test_field_add(ex, REQUEST, "Authorization", "Bearer x");
    assert_refused(ex, 400, "basic_auth_several");
    assert_is(bearing(test, basic("alice:open-sesame")), "alice", "staff,ops");
    sluice_test_free(&test);
}
END_TEST

START_TEST(a_password_may_hold_colons)
{
    /* the second colon belongs to the password, so this is wrong, not malformed */
    struct sluice_test *test = sluice_test_started(&sluice_plugin, USERS, NULL);

    assert_refused(bearing(test, basic("alice:open:sesame")), 401, "basic_auth_wrong");
    assert_refused(bearing(test, basic("alice:")), 401, "basic_auth_wrong");
    sluice_test_free(&test);
}
END_TEST

START_TEST(a_group_is_asked_for)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, USERS, "groups=[ops]", NULL);

    for (int i = 0; i < 2; i++) {
        assert_is(bearing(test, basic("alice:open-sesame")), "alice", "staff,ops");
        assert_refused(bearing(test, basic("bob:open-sesame")), 403, "basic_auth_group");
    }
    sluice_test_free(&test);
}
END_TEST

START_TEST(the_upstream_is_told_by_us_alone)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, USERS, "strip=true", "consumer_field=X-User",
                            "groups_field=X-Groups", "required=false", "anonymous=guest", NULL);
    struct sluice_exchange *ex = bearing(test, basic("bob:open-sesame"));

    sluice_test_field_add(ex, REQUEST, "X_User", "root");
    sluice_test_field_add(ex, REQUEST, "X-Groups", "wheel");
    assert_is(ex, "bob", NULL);
    ck_assert_str_eq(sluice_test_field(ex, REQUEST, "X-User"), "bob");
    ck_assert_ptr_null(sluice_test_field(ex, REQUEST, "X_User"));
    ck_assert_ptr_null(sluice_test_field(ex, REQUEST, "X-Groups"));
    ck_assert_ptr_null(sluice_test_field(ex, REQUEST, "Authorization"));
    ex = bearing(test, "Bearer abc");
    ck_assert_int_eq(run(ex), SLUICE_NEXT);
    ck_assert_str_eq(sluice_test_field(ex, REQUEST, "X-User"), "guest");
    ck_assert_str_eq(sluice_test_field(ex, REQUEST, "Authorization"), "Bearer abc");
    ck_assert_ptr_null(sluice_test_attribute(ex, "auth.method"));
    assert_refused(bearing(test, basic("bob:wrong")), 401, "basic_auth_wrong");
    sluice_test_free(&test);
}
END_TEST

/* -- files ------------------------------------------------------------------------- */

static void write_file(const char *path, const char *text)
{
    char beside[64];
    FILE *file;

    snprintf(beside, sizeof(beside), "%s.new", path);
    file = fopen(beside, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_int_eq(rename(beside, path), 0);
}

START_TEST(a_changed_file_is_taken_up_and_what_was_known_forgotten)
{
    struct sluice_test *test = sluice_test_new(&sluice_plugin);
    char path[] = "/tmp/basic_auth.XXXXXX", row[64];
    int fd = mkstemp(path);

    ck_assert_int_ge(fd, 0);
    close(fd);
    write_file(path, "# users\n\nbob:" SHA512 "\r\nalice:" BCRYPT ":staff\n");
    snprintf(row, sizeof(row), "file=%s", path);
    sluice_test_set(test, row);
    sluice_test_set(test, "cache=1h");
    ck_assert_msg(sluice_test_start(test), "%s", sluice_test_errors(test));
    assert_is(bearing(test, basic("alice:open-sesame")), "alice", "staff");
    assert_is(bearing(test, basic("bob:open-sesame")), "bob", NULL);

    write_file(path, "alice:" BCRYPT_UTF ":ops\n");
    sluice_test_advance(test, 6000);
    assert_refused(bearing(test, basic("alice:open-sesame")), 401, "basic_auth_wrong");
    assert_refused(bearing(test, basic("bob:open-sesame")), 401, "basic_auth_wrong");
    assert_is(bearing(test, basic("alice:s\xc3\xa9same")), "alice", "ops");
    ck_assert_int_eq((int)sluice_test_metric(test, "loads_total", "done"), 1);

    write_file(path, "alice:plain\n");
    sluice_test_advance(test, 60000);
    assert_is(bearing(test, basic("alice:s\xc3\xa9same")), "alice", "ops");
    ck_assert_int_eq((int)sluice_test_metric(test, "loads_total", "failed"), 1);
    ck_assert_uint_eq(sluice_test_logged(test, "line 1: this is no hash"), 1);
    ck_assert_uint_eq(sluice_test_logged(test, "plain\n"), 0);
    unlink(path);
    sluice_test_free(&test);
}
END_TEST

START_TEST(weak_and_broken_hashes_are_told_apart)
{
    const struct {
        const char *hash, *why;
    } cases[] = {
        {"open-sesame", "no hash of"},
        {"", "no hash of"},
        {"ab1234567890c", "no hash of"}, /* DES */
        {"$apr1$abcdefgh$0123456789abcdef012345", "MD5"},
        {"$1$abcdefgh$0123456789abcdef012345", "MD5"},
        {"{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "{SHA}"},
        {"$2b$04$abcdefghijklmnopqrstuuXcjcm5avyCiJoD2uS24xa2lb6fjMB3", "malformed or cut"},
        {"$2b$99$abcdefghijklmnopqrstuuXcjcm5avyCiJoD2uS24xa2lb6fjMB3G", "malformed or cut"},
        {"$6$saltsalt$cut", "malformed or cut"},
        {"$6$saltsalt", "malformed or cut"},
        {"$9$what$DrjWAO/MPesqcpu8YFKGSFbzMeH6hOVfdV5i4kx7", "no hash of"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *why =
            password_fault((struct sluice_span){cases[i].hash, strlen(cases[i].hash)});

        ck_assert_msg(why && strstr(why, cases[i].why), "%zu: %s", i, why ? why : "accepted");
    }
}
END_TEST

/* -- mistakes, and no room ----------------------------------------------------------- */

START_TEST(mistakes_in_options_are_told)
{
    const char *const cases[][3] = {
        {"realm=x", NULL, "give users, file, or both"},
        {"users={a: secret-123}", NULL, "users.a: this is no hash"},
        {"users={'a,b': '" BCRYPT "'}", NULL, "without spaces"},
        {"users={a: {password: '" BCRYPT "', groups: ['x y']}}", NULL, "names of groups"},
        {USERS, "anonymous=x", "required: false"},
        {USERS, "realm='a\"b'", "realm"},
        {USERS, "consumer_field='a:b'", "name of a field"},
        {USERS, "max_checks=1000", "max_checks"},
        {"file=/nonexistent", NULL, "cannot read"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sluice_test *test = sluice_test_new(&sluice_plugin);

        sluice_test_set(test, cases[i][0]);
        if (cases[i][1])
            sluice_test_set(test, cases[i][1]);
        ck_assert_msg(!sluice_test_check(test), "%zu", i);
        ck_assert_msg(strstr(sluice_test_errors(test), cases[i][2]) != NULL, "%zu: %s", i,
                      sluice_test_errors(test));
        ck_assert_ptr_null(strstr(sluice_test_errors(test), "secret-123"));
        sluice_test_free(&test);
    }
}
END_TEST

START_TEST(running_out_of_room_lets_nobody_in)
{
    for (uint64_t n = 1; n < 100; n++) {
        struct sluice_test *test =
            sluice_test_started(&sluice_plugin, USERS, "strip=true", "consumer_field=X-User",
                                "groups_field=X-Groups", NULL);
        struct sluice_exchange *ex = bearing(test, basic("alice:open-sesame"));
        enum sluice_verdict verdict;
        bool has_failed;

        sluice_test_field_add(ex, REQUEST, "X-User", "root");
        sluice_test_fail_nth(test, n);
        verdict = run(ex);
        has_failed = sluice_test_has_failed(test);
        sluice_test_fail_nth(test, 0);
        if (!has_failed) {
            ck_assert_int_eq(verdict, SLUICE_NEXT);
            ck_assert_str_eq(sluice_test_field(ex, REQUEST, "X-User"), "alice");
            sluice_test_free(&test);
            return;
        }
        ck_assert_int_ne(verdict, SLUICE_NEXT);
        sluice_test_free(&test);
    }
    ck_abort_msg("it never ends");
}
END_TEST

UNIT_MAIN("plugins/basic_auth", each_scheme_of_hashes_is_verified, who_sends_nothing_is_asked,
          a_name_that_nobody_has_is_checked_all_the_same, what_was_right_is_remembered_for_a_while,
          nothing_is_remembered_when_so_told, a_full_cache_goes_on_working,
          the_same_credentials_are_checked_once, who_leaves_makes_no_room_for_another_check,
          only_so_many_wait, helpers_without_room_are_told, a_field_is_read_strictly,
          a_password_may_hold_colons, a_group_is_asked_for, the_upstream_is_told_by_us_alone,
          a_changed_file_is_taken_up_and_what_was_known_forgotten,
          weak_and_broken_hashes_are_told_apart, mistakes_in_options_are_told,
          running_out_of_room_lets_nobody_in)
