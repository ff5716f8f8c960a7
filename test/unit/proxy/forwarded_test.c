#include "proxy/exchange.h"

#include "scene.h"

/* Peers are 127.0.0.1 here: whether they are trusted is up to the listener. */
#define TRUSTING "forwarded: { trust: [ 127.0.0.0/8, 10.0.0.0/8 ] }"

static char seen[16 * 1024];

/* The head that the upstream gets for these fields of a request. */
static const char *forward(const char *listener, const char *version, const char *fields)
{
    struct scene *it = scene_open((struct scene_conf){.listener = listener});
    struct peer *client = client_open(it, 0);
    struct peer *up;

    peer_says(client, "GET / HTTP/");
    peer_says(client, version);
    peer_says(client, "\r\nHost: app\r\n");
    peer_says(client, fields);
    peer_says(client, "\r\n");
    up = upstream_accept(it, 0);
    snprintf(seen, sizeof(seen), "%s", peer_head(up));
    peer_close(up);
    peer_close(client);
    scene_close(it);
    return seen;
}

/* Who the gateway takes for the client, as the echo service says. */
static const char *client_of(const char *listener, const char *fields)
{
    struct scene *it = scene_open((struct scene_conf){.listener = listener});
    struct peer *client = client_open(it, 0);

    peer_says(client, "GET /echo HTTP/1.1\r\nHost: app\r\n");
    peer_says(client, fields);
    peer_says(client, "\r\n");
    peer_head(client);
    peer_until(client, "\"client\": \"");
    snprintf(seen, sizeof(seen), "%s", peer_until(client, "\""));
    peer_close(client);
    scene_close(it);
    return seen;
}

static unsigned count_of(const char *text, const char *part)
{
    unsigned n = 0;

    for (text = strcasestr(text, part); text; text = strcasestr(text + 1, part)) {
        n++;
    }
    return n;
}

static void check_field(const char *head, const char *line)
{
    ck_assert_msg(strcasestr(head, line) != NULL, "no '%s' in: %s", line, head);
}

START_TEST(an_untrusted_peer_is_told_of_and_not_believed)
{
    const char *head = forward("", "1.1",
                               "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n"
                               "X-Forwarded-Host: evil\r\nX-Real-IP: 6.6.6.6\r\n"
                               "Forwarded: for=6.6.6.6\r\n");

    check_field(head, "\r\nx-forwarded-for: 127.0.0.1\r\n");
    check_field(head, "\r\nx-forwarded-proto: http\r\n");
    check_field(head, "\r\nx-forwarded-host: app\r\n");
    check_lacks(head, "6.6.6.6");
    check_lacks(head, "evil");
}
END_TEST

START_TEST(a_trusted_peer_is_added_to_the_list)
{
    const char *head =
        forward(TRUSTING, "1.1", "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\n");

    check_field(head, "\r\nx-forwarded-for: 1.2.3.4, 127.0.0.1\r\n");
    check_field(head, "\r\nx-forwarded-proto: https\r\n");
    ck_assert_uint_eq(count_of(head, "\r\nx-forwarded-for:"), 1);
    ck_assert_uint_eq(count_of(head, "\r\nx-forwarded-proto:"), 1);
}
END_TEST

START_TEST(several_lines_become_one_list_in_their_order)
{
    check_field(forward(TRUSTING, "1.1",
                        "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2, 3.3.3.3\r\n"
                        "X-Forwarded-For: 4.4.4.4\r\n"),
                "\r\nx-forwarded-for: 1.1.1.1, 2.2.2.2, 3.3.3.3, 4.4.4.4, 127.0.0.1\r\n");
}
END_TEST

START_TEST(the_client_is_the_last_address_that_is_not_trusted)
{
    static const struct {
        const char *listener, *fields, *client;
    } rows[] = {
        {"", "X-Forwarded-For: 1.2.3.4\r\n", "127.0.0.1\""},
        {TRUSTING, "", "127.0.0.1\""},
        {TRUSTING, "X-Forwarded-For: 1.2.3.4\r\n", "1.2.3.4\""},
        {TRUSTING, "X-Forwarded-For: 6.6.6.6, 1.2.3.4\r\n", "1.2.3.4\""},
        {TRUSTING, "X-Forwarded-For: 1.2.3.4, 10.0.0.1, 10.0.0.2\r\n", "1.2.3.4\""},
        {TRUSTING, "X-Forwarded-For: 10.0.0.1, 10.0.0.2\r\n", "10.0.0.1\""},
        {TRUSTING, "X-Forwarded-For: nonsense\r\n", "127.0.0.1\""},
        {TRUSTING, "X-Forwarded-For: 1.2.3.0/24\r\n", "127.0.0.1\""},
        {TRUSTING, "X-Forwarded-For: 2001:db8::1\r\n", "2001:db8::1\""},
        /* A proxy that adds a line of its own: what the client has sent comes before it. */
        {TRUSTING, "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 1.2.3.4\r\n", "1.2.3.4\""},
        {TRUSTING, "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 10.0.0.1\r\n", "1.2.3.4\""},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *client = client_of(rows[i].listener, rows[i].fields);

        ck_assert_msg(strcmp(client, rows[i].client) == 0, "row %zu: %s", i, client);
    }
}
END_TEST

START_TEST(the_form_is_the_one_configured)
{
    static const struct {
        const char *listener;
        unsigned x, standard;
    } rows[] = {
        {"forwarded: { send: x-forwarded }", 1, 0},
        {"forwarded: { send: forwarded }", 0, 1},
        {"forwarded: { send: both }", 1, 1},
        {"forwarded: { send: none }", 0, 0},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *head = forward(rows[i].listener, "1.1", "");

        ck_assert_uint_eq(count_of(head, "\r\nx-forwarded-for: 127.0.0.1\r\n"), rows[i].x);
        ck_assert_uint_eq(
            count_of(head, "\r\nforwarded: for=127.0.0.1;proto=http;host=\"app\"\r\n"),
            rows[i].standard);
    }
}
END_TEST

START_TEST(via_names_the_version_received_unless_switched_off)
{
    check_field(forward("", "1.1", ""), "\r\nvia: 1.1 sluice\r\n");
    check_field(forward("", "1.0", ""), "\r\nvia: 1.0 sluice\r\n");
    ck_assert_uint_eq(count_of(forward("via: false", "1.1", ""), "\r\nvia:"), 0);
}
END_TEST

START_TEST(fields_of_the_hop_before_are_dropped)
{
    const char *head =
        forward("", "1.1",
                "Connection: x-own, keep-alive\r\nX-Own: 1\r\nKeep-Alive: 5\r\n"
                "Proxy-Connection: close\r\nTE: gzip\r\nUpgrade: x\r\nX-Kept: 1\r\n");

    check_field(head, "\r\nx-kept: 1\r\n");
    ck_assert_uint_eq(count_of(head, "x-own"), 0);
    ck_assert_uint_eq(count_of(head, "keep-alive"), 0);
    ck_assert_uint_eq(count_of(head, "proxy-connection"), 0);
    ck_assert_uint_eq(count_of(head, "\r\nte:"), 0);
    ck_assert_uint_eq(count_of(head, "\r\nupgrade:"), 0);
    ck_assert_uint_eq(count_of(head, "\r\nhost: app\r\n"), 1);
}
END_TEST

UNIT_MAIN("proxy/forwarded", an_untrusted_peer_is_told_of_and_not_believed,
          a_trusted_peer_is_added_to_the_list, several_lines_become_one_list_in_their_order,
          the_client_is_the_last_address_that_is_not_trusted, the_form_is_the_one_configured,
          via_names_the_version_received_unless_switched_off, fields_of_the_hop_before_are_dropped)
