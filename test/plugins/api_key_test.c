/* api_key: who is let in, what is told, what goes on; files of keys and their changes. */
#include "sluice_test.h"

#include "api_key/keyfile.h"

#include "unit.h"

#include <openssl/sha.h>

#include <stdio.h>
#include <string.h>

#define REQUEST SLUICE_REQUEST
#define ALICE   "alice-0123456789"
#define BOB     "bob-0123456789ab"

#define CONSUMERS                                                                                  \
    "consumers={alice: {groups: [writers, readers], keys: [" ALICE ", alice-new-345678]}, "        \
    "bob: {keys: " BOB "}}"

static struct sluice_exchange *bearing(struct sluice_test *test, const char *key)
{
    struct sluice_exchange *ex = sluice_test_request(test, "GET", "/a?x=1");

    if (key)
        sluice_test_field_add(ex, REQUEST, "X-API-Key", key);
    return ex;
}

static void assert_refused(struct sluice_exchange *ex, uint32_t status, const char *word)
{
    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_REPLIED);
    ck_assert_uint_eq(sluice_test_reply(ex)->status, status);
    ck_assert_str_eq(sluice_test_reply(ex)->reason, word);
    ck_assert_ptr_null(sluice_test_attribute(ex, "consumer.name"));
}

static void assert_is(struct sluice_exchange *ex, const char *name, const char *groups)
{
    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
    ck_assert_str_eq(sluice_test_attribute(ex, "consumer.name"), name);
    ck_assert_str_eq(sluice_test_attribute(ex, "auth.method"), "api_key");
    if (groups) {
        ck_assert_str_eq(sluice_test_attribute(ex, "consumer.groups"), groups);
    } else {
        ck_assert_ptr_null(sluice_test_attribute(ex, "consumer.groups"));
    }
}

/* 64 hexadecimal digits; one of two buffers in turn. */
static const char *digest_of(const char *key)
{
    static char texts[2][65];
    static int turn;
    unsigned char digest[SHA256_DIGEST_LENGTH];
    char *text = texts[turn ^= 1];

    SHA256((const unsigned char *)key, strlen(key), digest);
    for (size_t i = 0; i < sizeof(digest); i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    return text;
}

START_TEST(each_of_a_consumers_keys_is_good)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, CONSUMERS, NULL);

    assert_is(bearing(test, ALICE), "alice", "writers,readers");
    assert_is(bearing(test, "alice-new-345678"), "alice", "writers,readers");
    assert_is(bearing(test, BOB), "bob", NULL);
    ck_assert_int_eq((int)sluice_test_metric(test, "requests_total", "passed"), 3);
    ck_assert_str_eq(sluice_test_report(test), "{\"keys\":3,\"keys_of_file\":0}");
    sluice_test_free(&test);
}
END_TEST

START_TEST(missing_and_wrong_keys_are_told_apart)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, CONSUMERS, "realm=orders", NULL);
    struct sluice_exchange *ex = bearing(test, NULL);

    assert_refused(ex, 401, "api_key_missing");
    ck_assert_str_eq(sluice_test_field(ex, SLUICE_RESPONSE, "WWW-Authenticate"),
                     "ApiKey realm=\"orders\"");
    ck_assert_str_eq(sluice_test_field(ex, SLUICE_RESPONSE, "Cache-Control"), "no-store");
    assert_refused(bearing(test, "alice-012345678"), 401, "api_key_unknown");
    assert_refused(bearing(test, ""), 401, "api_key_unknown");
    assert_refused(bearing(test, digest_of(ALICE)), 401, "api_key_unknown");
    ck_assert_int_eq((int)sluice_test_metric(test, "requests_total", "api_key_missing"), 1);
    ck_assert_int_eq((int)sluice_test_metric(test, "requests_total", "api_key_unknown"), 3);
    ck_assert_uint_eq(sluice_test_logged(test, "alice-0"), 0);
    sluice_test_free(&test);
}
END_TEST

START_TEST(a_key_longer_than_any_is_not_read)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, CONSUMERS, NULL);
    char key[4098];

    memset(key, 'a', sizeof(key) - 1);
    key[sizeof(key) - 1] = '\0';
    assert_refused(bearing(test, key), 401, "api_key_unknown");
    sluice_test_free(&test);
}
END_TEST

START_TEST(two_keys_are_one_too_many)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, CONSUMERS, "query=key", "cookie=key", NULL);
    struct sluice_exchange *ex = bearing(test, ALICE);

    sluice_test_field_add(ex, REQUEST, "x-api-key", BOB);
    assert_refused(ex, 400, "api_key_several");
    ck_assert_ptr_null(sluice_test_field(ex, SLUICE_RESPONSE, "WWW-Authenticate"));
    ex = bearing(test, ALICE);
    sluice_test_field_add(ex, REQUEST, "Cookie", "key=" ALICE);
    assert_refused(ex, 400, "api_key_several");
    sluice_test_free(&test);
}
END_TEST

START_TEST(a_group_is_asked_for)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, CONSUMERS, "groups=[admins, readers]", NULL);
    struct sluice_exchange *ex = bearing(test, BOB);

    assert_is(bearing(test, ALICE), "alice", "writers,readers");
    assert_refused(ex, 403, "api_key_group");
    ck_assert_ptr_null(sluice_test_field(ex, SLUICE_RESPONSE, "WWW-Authenticate"));
    sluice_test_free(&test);
}
END_TEST

START_TEST(authorization_has_a_scheme)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, CONSUMERS, "fields=[Authorization, X-Key]", NULL);
    struct sluice_exchange *ex = sluice_test_request(test, "GET", "/");

    sluice_test_field_add(ex, REQUEST, "Authorization", "bearer " ALICE);
    assert_is(ex, "alice", "writers,readers");
    ex = sluice_test_request(test, "GET", "/");
    sluice_test_field_add(ex, REQUEST, "Authorization", "Basic " ALICE);
    assert_refused(ex, 401, "api_key_missing");
    ck_assert_str_eq(sluice_test_field(ex, SLUICE_RESPONSE, "WWW-Authenticate"),
                     "Bearer realm=\"api\"");
    ex = sluice_test_request(test, "GET", "/");
    sluice_test_field_add(ex, REQUEST, "Authorization", "Bearer" ALICE);
    assert_refused(ex, 401, "api_key_missing");
    ex = sluice_test_request(test, "GET", "/");
    sluice_test_field_add(ex, REQUEST, "X-Key", BOB);
    assert_is(ex, "bob", NULL);
    sluice_test_free(&test);
}
END_TEST

START_TEST(a_key_in_the_query_does_not_go_on)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, CONSUMERS, "query=key", NULL);
    struct sluice_exchange *ex = sluice_test_request(test, "GET", "/a?x=1&key=" BOB "&y=2");

    assert_is(ex, "bob", NULL);
    ck_assert_str_eq(sluice_test_target(ex), "/a?x=1&y=2");
    ex = sluice_test_request(test, "GET", "/a?monkey=" BOB);
    assert_refused(ex, 401, "api_key_missing");
    ex = bearing(test, BOB);
    assert_is(ex, "bob", NULL);
    ck_assert_str_eq(sluice_test_field(ex, REQUEST, "X-API-Key"), BOB);
    sluice_test_free(&test);
}
END_TEST

START_TEST(a_key_is_hidden_wherever_it_was)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, CONSUMERS, "query=key", "cookie=key",
                            "fields=[X-API-Key, Authorization]", "strip=all", NULL);
    struct sluice_exchange *ex = bearing(test, BOB);

    sluice_test_field_add(ex, REQUEST, "Authorization", "Basic eDp5");
    sluice_test_field_add(ex, REQUEST, "Cookie", "a=b");
    assert_is(ex, "bob", NULL);
    ck_assert_ptr_null(sluice_test_field(ex, REQUEST, "X-API-Key"));
    ck_assert_str_eq(sluice_test_field(ex, REQUEST, "Authorization"), "Basic eDp5");
    ck_assert_str_eq(sluice_test_field(ex, REQUEST, "Cookie"), "a=b");
    ck_assert_ptr_null(sluice_test_target(ex));

    ex = sluice_test_request(test, "GET", "/");
    sluice_test_field_add(ex, REQUEST, "Cookie", "a=b; key=" BOB "; c=d");
    sluice_test_field_add(ex, REQUEST, "Cookie", "e=f");
    assert_is(ex, "bob", NULL);
    ck_assert_uint_eq(sluice_test_field_count(ex, REQUEST, "Cookie"), 1);
    ck_assert_str_eq(sluice_test_field(ex, REQUEST, "Cookie"), "a=b; c=d; e=f");

    ex = sluice_test_request(test, "GET", "/");
    sluice_test_field_add(ex, REQUEST, "Cookie", "key=" BOB);
    assert_is(ex, "bob", NULL);
    ck_assert_ptr_null(sluice_test_field(ex, REQUEST, "Cookie"));
    sluice_test_free(&test);
}
END_TEST

START_TEST(the_upstream_is_told_by_us_alone)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, CONSUMERS, "consumer_field=X-Consumer",
                            "groups_field=X-Groups", "required=false", NULL);
    struct sluice_exchange *ex = bearing(test, ALICE);

    sluice_test_field_add(ex, REQUEST, "X-Consumer", "root");
    sluice_test_field_add(ex, REQUEST, "x_consumer", "root");
    assert_is(ex, "alice", "writers,readers");
    ck_assert_uint_eq(sluice_test_field_count(ex, REQUEST, "X-Consumer"), 1);
    ck_assert_str_eq(sluice_test_field(ex, REQUEST, "X-Consumer"), "alice");
    ck_assert_str_eq(sluice_test_field(ex, REQUEST, "X-Groups"), "writers,readers");
    ck_assert_ptr_null(sluice_test_field(ex, REQUEST, "x_consumer"));
    ex = bearing(test, NULL);
    sluice_test_field_add(ex, REQUEST, "X-Groups", "writers");
    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
    ck_assert_ptr_null(sluice_test_field(ex, REQUEST, "X-Groups"));
    sluice_test_free(&test);
}
END_TEST

START_TEST(without_a_key_one_may_be_anonymous)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, CONSUMERS, "required=false", "anonymous=guest", NULL);
    struct sluice_exchange *ex = bearing(test, NULL);

    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
    ck_assert_str_eq(sluice_test_attribute(ex, "consumer.name"), "guest");
    ck_assert_ptr_null(sluice_test_attribute(ex, "auth.method"));
    assert_refused(bearing(test, "wrong"), 401, "api_key_unknown");
    sluice_test_free(&test);
}
END_TEST

START_TEST(a_dry_run_lets_everybody_in_and_counts)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, CONSUMERS, "dry_run=true", "groups=[readers]", NULL);
    struct sluice_exchange *ex = bearing(test, "wrong");

    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
    ck_assert_str_eq(sluice_test_notes(ex), "api_key_unknown");
    ck_assert_ptr_null(sluice_test_attribute(ex, "consumer.name"));
    ex = bearing(test, BOB);
    assert_is(ex, "bob", NULL);
    ck_assert_str_eq(sluice_test_notes(ex), "api_key_group");
    ck_assert_int_eq((int)sluice_test_metric(test, "requests_total", "api_key_unknown"), 1);
    sluice_test_free(&test);
}
END_TEST

START_TEST(a_key_is_good_from_then_until_then)
{
    struct sluice_test *test = sluice_test_started(
        &sluice_plugin,
        "consumers={old: {keys: {key: old-0123456789abc, until: 1000000000}}, "
        "young: {keys: {key: young-0123456789a, from: 2100-01-01}}, "
        "now: {keys: {key: now-0123456789abc, from: 2001-09-09, until: 2100-01-01T00:00:00Z}}}",
        NULL);

    assert_refused(bearing(test, "old-0123456789abc"), 401, "api_key_expired");
    assert_refused(bearing(test, "young-0123456789a"), 401, "api_key_early");
    assert_is(bearing(test, "now-0123456789abc"), "now", NULL);
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

static void make_path(char path[32])
{
    int fd;

    strcpy(path, "/tmp/api_key.XXXXXX");
    fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    close(fd);
}

START_TEST(a_changed_file_is_taken_up)
{
    struct sluice_test *test = sluice_test_new(&sluice_plugin);
    char path[32], text[512], row[64];

    make_path(path);
    snprintf(text, sizeof(text),
             "# keys\n\nalice:writers,readers:%s\r\nbob::sha256:%s until=2099-01-01\n",
             digest_of(ALICE), digest_of(BOB));
    write_file(path, text);
    snprintf(row, sizeof(row), "file=%s", path);
    sluice_test_set(test, row);
    sluice_test_workers(test, 2);
    ck_assert_msg(sluice_test_start(test), "%s", sluice_test_errors(test));
    assert_is(bearing(test, ALICE), "alice", "writers,readers");
    assert_is(bearing(test, BOB), "bob", NULL);
    sluice_test_advance(test, 6000);
    ck_assert_int_eq((int)sluice_test_metric(test, "loads_total", NULL), 0);

    snprintf(text, sizeof(text), "carol::%s", digest_of(ALICE));
    write_file(path, text);
    sluice_test_advance(test, 6000);
    for (uint32_t worker = 0; worker < 2; worker++) {
        sluice_test_on_worker(test, worker);
        assert_is(bearing(test, ALICE), "carol", NULL);
        assert_refused(bearing(test, BOB), 401, "api_key_unknown");
    }
    ck_assert_int_eq((int)sluice_test_metric(test, "loads_total", "done"), 1);

    write_file(path, "carol::not a digest\n");
    sluice_test_advance(test, 60000);
    assert_is(bearing(test, ALICE), "carol", NULL);
    ck_assert_int_eq((int)sluice_test_metric(test, "loads_total", "failed"), 1);
    ck_assert_uint_eq(sluice_test_logged(test, "line 1: a digest is 64"), 1);

    ck_assert_int_eq(unlink(path), 0);
    sluice_test_advance(test, 60000);
    assert_is(bearing(test, ALICE), "carol", NULL);

    snprintf(text, sizeof(text), "dave::%s", digest_of(BOB));
    write_file(path, text);
    sluice_test_advance(test, 6000);
    assert_is(bearing(test, BOB), "dave", NULL);
    ck_assert_int_eq((int)sluice_test_metric(test, "loads_total", "done"), 2);
    unlink(path);
    sluice_test_free(&test);
}
END_TEST

START_TEST(lines_are_read_strictly)
{
    static const char good[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789ABCDEF";
    const struct {
        const char *line, *why;
    } cases[] = {
        {"alice", "a line is"},
        {"alice:readers", "a line is"},
        {":readers:%s", "names are"},
        {"al ice::%s", "names are"},
        {"alice:a,,b:%s", "names are"},
        {"alice::%s0", "64 hexadecimal"},
        {"alice::sha1:%s", "64 hexadecimal"},
        {"alice::%s for=ever", "only from=TIME"},
        {"alice::%s until=tomorrow", "no time"},
        {"alice::%s until=2026-13-40", "no time"},
        {"alice::%s\nbob::%s", "line 2: this key is there already"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct keys *keys = keys_new();
        char text[512], why[STORE_WHY] = "";
        const char *hole = strstr(cases[i].line, "%s");
        int len = snprintf(text, sizeof(text), "%.*s%s%s",
                           hole ? (int)(hole - cases[i].line) : (int)strlen(cases[i].line),
                           cases[i].line, hole ? good : "", hole ? hole + 2 : "");
        char *second = strstr(text, "bob::%s");

        if (second)
            len = (int)(second - text) + sprintf(second, "bob::%s", good);
        ck_assert(!keyfile_read(keys, (struct sluice_span){text, (size_t)len}, why));
        ck_assert_msg(strstr(why, cases[i].why) != NULL, "%zu: %s", i, why);
        keys_free(&keys);
    }
}
END_TEST

START_TEST(many_keys_are_found_each)
{
    struct keys *keys = keys_new();
    unsigned char digest[SHA256_DIGEST_LENGTH];
    struct keys_hit hit;
    const uint32_t n = 20000; /* more in test/e2e/test_plugin_api_key.py */

    for (uint32_t i = 0; i < n; i++) {
        char name[16];
        int len = snprintf(name, sizeof(name), "c%u", i / 2);

        ck_assert_int_eq(keys_consumer(keys, (struct sluice_span){name, (size_t)len},
                                       (struct sluice_span){"g", i / 2 % 2}),
                         KEYS_OK);
        SHA256((const unsigned char *)&i, sizeof(i), digest);
        ck_assert_int_eq(keys_add(keys, digest, (struct keys_span){0, i}), KEYS_OK);
        ck_assert_int_eq(keys_add(keys, digest, (struct keys_span){0, i}), KEYS_DUPLICATE);
    }
    ck_assert_uint_eq(keys_count(keys), n);
    for (uint32_t i = 0; i < n; i++) {
        char name[16];
        int len = snprintf(name, sizeof(name), "c%u", i / 2);

        SHA256((const unsigned char *)&i, sizeof(i), digest);
        ck_assert(keys_find(keys, digest, &hit));
        ck_assert_uint_eq(hit.span.expires, i);
        ck_assert_uint_eq(hit.name.len, (size_t)len);
        ck_assert_mem_eq(hit.name.ptr, name, (size_t)len);
        ck_assert_uint_eq(hit.groups.len, i / 2 % 2);
        digest[31] ^= 1;
        ck_assert(!keys_find(keys, digest, &hit));
    }
    keys_free(&keys);
}
END_TEST

/* -- mistakes, and no room ----------------------------------------------------------- */

START_TEST(mistakes_in_options_are_told)
{
    const char *const cases[][3] = {
        /* options, and a part of the error */
        {"realm=x", NULL, "give consumers, file, or both"},
        {"consumers={a: {keys: []}}", NULL, "consumers.a.keys"},
        {"consumers={a: {keys: \"sha256:12\"}}", NULL, "64 hexadecimal"},
        {"consumers={a: {keys: [secret-123, secret-123]}}", NULL, "there already"},
        {"consumers={a b: {keys: secret-123}}", NULL, "without spaces"},
        {"consumers={a: {groups: ['x,y'], keys: secret-123}}", NULL, "commas"},
        {"consumers={a: {keys: {key: secret-123, until: never}}}", NULL, "are times"},
        {"consumers={a: {keys: {key: secret-123, from: 2030-01-01, until: 2029-01-01}}}", NULL,
         "never good"},
        {CONSUMERS, "fields=[]", "give fields, cookie or query"},
        {CONSUMERS, "fields=['a b']", "name of a field"},
        {CONSUMERS, "anonymous=x", "required: false"},
        {CONSUMERS, "realm='a\"b'", "realm"},
        {CONSUMERS, "consumer_field='a:b'", "name of a field"},
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

START_TEST(short_keys_are_warned_about)
{
    struct sluice_test *test = sluice_test_started(
        &sluice_plugin, "consumers={a: {keys: [short, 0123456789abcdef]}}", NULL);

    ck_assert_ptr_nonnull(strstr(sluice_test_warnings(test), "consumers.a.keys[0]"));
    ck_assert_ptr_null(strstr(sluice_test_warnings(test), "keys[1]"));
    sluice_test_free(&test);
}
END_TEST

START_TEST(running_out_of_room_lets_nobody_in_untold)
{
    for (uint64_t n = 1; n < 100; n++) {
        struct sluice_test *test =
            sluice_test_started(&sluice_plugin, CONSUMERS, "query=key", "cookie=key", "strip=all",
                                "consumer_field=X-Consumer", "groups_field=X-Groups", NULL);
        struct sluice_exchange *ex = sluice_test_request(test, "GET", "/a?key=" ALICE "&x=1");
        enum sluice_verdict verdict;
        bool has_failed;

        sluice_test_field_add(ex, REQUEST, "X-Consumer", "root");
        sluice_test_field_add(ex, REQUEST, "Cookie", "a=b");
        sluice_test_fail_nth(test, n);
        verdict = sluice_test_request_head(ex);
        has_failed = sluice_test_has_failed(test);
        sluice_test_fail_nth(test, 0);
        if (!has_failed) {
            ck_assert_int_eq(verdict, SLUICE_NEXT);
            ck_assert_str_eq(sluice_test_field(ex, REQUEST, "X-Consumer"), "alice");
            sluice_test_free(&test);
            return;
        }
        ck_assert_int_eq(verdict, SLUICE_FAIL);
        sluice_test_free(&test);
    }
    ck_abort_msg("it never ends");
}
END_TEST

UNIT_MAIN("plugins/api_key", each_of_a_consumers_keys_is_good,
          missing_and_wrong_keys_are_told_apart, a_key_longer_than_any_is_not_read,
          two_keys_are_one_too_many, a_group_is_asked_for, authorization_has_a_scheme,
          a_key_in_the_query_does_not_go_on, a_key_is_hidden_wherever_it_was,
          the_upstream_is_told_by_us_alone, without_a_key_one_may_be_anonymous,
          a_dry_run_lets_everybody_in_and_counts, a_key_is_good_from_then_until_then,
          a_changed_file_is_taken_up, lines_are_read_strictly, many_keys_are_found_each,
          mistakes_in_options_are_told, short_keys_are_warned_about,
          running_out_of_room_lets_nobody_in_untold)
