#include "net/tls.h"

#include "base/alloc.h"
#include "net/conn.h"
#include "net/tls_state.h"

#include "unit.h"
#include "until.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PATH_BYTES = 64, GOT_MAX = 512 * 1024 };

/* -- certificates made for the test -------------------------------------------------- */

/* A self-signed certificate and its key, in files of their own. */
struct made {
    char cert[PATH_BYTES], key[PATH_BYTES];
};

static void add_names(X509 *cert, const char *names)
{
    X509_EXTENSION *extension =
        X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, (char *)(size_t)names);

    ck_assert_ptr_nonnull(extension);
    X509_add_ext(cert, extension, -1);
    X509_EXTENSION_free(extension);
}

static void write_files(struct made *made, X509 *cert, EVP_PKEY *key)
{
    FILE *file;

    snprintf(made->cert, sizeof(made->cert), "/tmp/tls_test.XXXXXX");
    file = fdopen(mkstemp(made->cert), "w");
    PEM_write_X509(file, cert);
    fclose(file);
    snprintf(made->key, sizeof(made->key), "/tmp/tls_test.XXXXXX");
    file = fdopen(mkstemp(made->key), "w");
    PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
    fclose(file);
}

static struct made make_certificate(const char *names, EVP_PKEY *key)
{
    X509 *cert = X509_new();
    struct made made;

    ck_assert_ptr_nonnull(key);
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -60);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)names, -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(cert));
    X509_set_pubkey(cert, key);
    add_names(cert, names);
    ck_assert(X509_sign(cert, key, EVP_sha256()) > 0);
    write_files(&made, cert, key);
    X509_free(cert);
    EVP_PKEY_free(key);
    return made;
}

static struct made make_ec(const char *names)
{
    return make_certificate(names, EVP_EC_gen("P-256"));
}

static void unmake(const struct made *made)
{
    unlink(made->cert);
    unlink(made->key);
}

/* -- two ends ------------------------------------------------------------------------- */

struct end {
    struct conn conn;
    unsigned shaken, failed, closed;
    enum err end; /* what reading ended with */
    size_t n_got, reads;
    char got[GOT_MAX];
};

struct scene {
    struct loop *loop;
    struct notes *notes;
    struct tls_server *server;
    struct tls_client *client;
    struct tls_memory memory;
    struct end a, b; /* the server's, the client's */
};

static void on_readable(struct conn *conn)
{
    struct end *end = (struct end *)(void *)conn;
    struct sluice_span bytes;

    do {
        end->end = conn_read(conn, &bytes);
        if (end->end == OK) {
            end->reads++;
            ck_assert_uint_le(end->n_got + bytes.len, GOT_MAX);
            memcpy(end->got + end->n_got, bytes.ptr, bytes.len);
            end->n_got += bytes.len;
            conn_consume(conn, bytes.len);
        }
    } while (end->end == OK);
    ck_assert_int_eq(conn_settle(conn, true), OK);
}

static void on_drained(struct conn *conn)
{
    ((struct end *)(void *)conn)->shaken++;
}

static void on_progress(struct conn *conn)
{
    (void)conn;
}

static void on_failed(struct conn *conn, enum err err)
{
    ((struct end *)(void *)conn)->failed++;
    (void)err;
}

static void on_hangup(struct conn *conn, enum err err)
{
    (void)conn;
    (void)err;
}

static void on_nothing(struct conn *conn)
{
    (void)conn;
}

static void on_closed(struct conn *conn)
{
    ((struct end *)(void *)conn)->closed++;
}

static const struct conn_ops ops = {.on_readable = on_readable,
                                    .on_hangup = on_hangup,
                                    .on_drained = on_drained,
                                    .on_progress = on_progress,
                                    .on_failed = on_failed,
                                    .on_alarm = on_nothing,
                                    .on_closed = on_closed};

static struct tls_file file_of(const char *path)
{
    return (struct tls_file){.path = span_of(path)};
}

static void scene_init(struct scene *it, const struct made *made, size_t n)
{
    struct tls_certificate_conf certificates[4];
    struct tls_server_conf conf = {.is_on = true,
                                   .certificates = {certificates, n},
                                   .max_version = TLS_CONF_1_3,
                                   .session_tickets = true};

    memset(it, 0, sizeof(*it));
    for (size_t i = 0; i < n; i++) {
        certificates[i] = (struct tls_certificate_conf){.cert = file_of(made[i].cert),
                                                        .key = file_of(made[i].key)};
    }
    it->loop = loop_new();
    it->notes = notes_new();
    it->server = tls_server_new(&conf, SPAN("test"), NULL, it->notes);
    ck_assert_ptr_nonnull(it->server);
}

static void scene_trust(struct scene *it, const char *ca, const char *sni)
{
    struct tls_client_conf conf = {.enabled = true,
                                   .verify = true,
                                   .ca = file_of(ca),
                                   .sni = span_of(sni),
                                   .max_version = TLS_CONF_1_3};

    tls_client_unref(&it->client);
    it->client = tls_client_new(&conf, it->notes);
    ck_assert_ptr_nonnull(it->client);
}

static void scene_join(struct scene *it, int buffer)
{
    int fds[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    if (buffer > 0) {
        setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
        setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
    }
    memset(&it->a, 0, sizeof(it->a));
    memset(&it->b, 0, sizeof(it->b));
    ck_assert_int_eq(conn_open(&it->a.conn, it->loop, fds[0], &ops), OK);
    ck_assert_int_eq(conn_open(&it->b.conn, it->loop, fds[1], &ops), OK);
    ck_assert_int_eq(tls_accept(&it->a.conn, it->server), OK);
    ck_assert_int_eq(tls_connect(&it->b.conn, it->client, SPAN("peer.test"), &it->memory), OK);
}

static bool is_settled(void *it_)
{
    const struct scene *it = it_;

    return (it->a.shaken || it->a.failed) && (it->b.shaken || it->b.failed);
}

static void scene_shake(struct scene *it, int buffer)
{
    scene_join(it, buffer);
    loop_until(it->loop, is_settled, it);
}

static bool is_closed(void *end)
{
    return ((struct end *)end)->closed > 0;
}

static void end_close(struct scene *it, struct end *end)
{
    if (!conn_is_open(&end->conn))
        return;
    conn_close(&end->conn);
    loop_until(it->loop, is_closed, end);
}

static void scene_part(struct scene *it)
{
    end_close(it, &it->a);
    end_close(it, &it->b);
}

static void scene_fini(struct scene *it)
{
    scene_part(it);
    tls_forget(&it->memory);
    tls_server_unref(&it->server);
    tls_client_unref(&it->client);
    notes_free(&it->notes);
    loop_free(&it->loop);
}

static struct scene *scene;

/* -- claims --------------------------------------------------------------------------- */

START_TEST(hands_are_shaken_and_both_sides_agree)
{
    struct made made = make_ec("DNS:www.test");

    scene_init(scene, &made, 1);
    scene_trust(scene, made.cert, "www.test");
    scene_shake(scene, 0);
    ck_assert_uint_eq(scene->a.shaken, 1);
    ck_assert_uint_eq(scene->b.shaken, 1);
    ck_assert(tls_is_on(&scene->a.conn) && !tls_is_resumed(&scene->a.conn));
    ck_assert(span_equal(tls_version(&scene->a.conn), SPAN("TLSv1.3")));
    ck_assert(span_equal(tls_protocol(&scene->a.conn), SPAN("http/1.1")));
    ck_assert(span_equal(tls_protocol(&scene->b.conn), SPAN("http/1.1")));
    ck_assert(span_equal(tls_server_name(&scene->a.conn), SPAN("www.test")));
    scene_fini(scene);
    unmake(&made);
}
END_TEST

START_TEST(the_name_decides_on_the_certificate)
{
    struct made made[] = {make_ec("DNS:www.test"), make_ec("DNS:*.wild.test"),
                          make_ec("DNS:c.test")};
    static const struct {
        const char *name;
        int which; /* -1: the first one, which is not for that name */
    } rows[] = {{"www.test", 0},
                {"a.wild.test", 1},
                {"c.test", 2},
                {"a.b.wild.test", -1},
                {"none.test", -1}};

    scene_init(scene, made, 3);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        scene_trust(scene, made[rows[i].which < 0 ? 0 : rows[i].which].cert, rows[i].name);
        tls_forget(&scene->memory);
        scene_shake(scene, 0);
        ck_assert_uint_eq(scene->b.shaken, rows[i].which >= 0);
        if (rows[i].which < 0)
            ck_assert(span_equal(tls_failure(&scene->b.conn), SPAN("hostname mismatch")));
        scene_part(scene);
    }
    scene_fini(scene);
    for (int i = 0; i < 3; i++) {
        unmake(&made[i]);
    }
}
END_TEST

START_TEST(a_stranger_is_not_believed)
{
    struct made made = make_ec("DNS:www.test"), other = make_ec("DNS:www.test");

    scene_init(scene, &made, 1);
    scene_trust(scene, other.cert, "www.test");
    scene_shake(scene, 0);
    ck_assert_uint_eq(scene->b.failed, 1);
    ck_assert_uint_eq(scene->b.shaken, 0);
    ck_assert_uint_gt(tls_failure(&scene->b.conn).len, 0);
    scene_fini(scene);
    unmake(&made);
    unmake(&other);
}
END_TEST

static bool b_has_memory(void *it_)
{
    return ((struct scene *)it_)->memory.session != NULL;
}

START_TEST(a_session_is_resumed_the_next_time)
{
    struct made made = make_ec("DNS:www.test");

    scene_init(scene, &made, 1);
    scene_trust(scene, made.cert, "www.test");
    scene_shake(scene, 0);
    loop_until(scene->loop, b_has_memory, scene);
    scene_part(scene);
    scene_shake(scene, 0);
    ck_assert(tls_is_resumed(&scene->a.conn));
    ck_assert(tls_is_resumed(&scene->b.conn));
    scene_fini(scene);
    unmake(&made);
}
END_TEST

static bool b_has_heard(void *it_)
{
    return ((struct scene *)it_)->b.n_got > 0;
}

/* What its tickets say is not checked again when they are used: so it must not be used. */
START_TEST(a_session_that_began_before_it_was_to_be_forgotten_is_not_resumed)
{
    struct made made = make_ec("DNS:www.test"), other = make_ec("DNS:www.test");
    const struct tls_client_conf careless = {.enabled = true, .max_version = TLS_CONF_1_3};

    scene_init(scene, &made, 1);
    scene->client = tls_client_new(&careless, scene->notes);
    ck_assert_ptr_nonnull(scene->client);
    scene_join(scene, 0);
    tls_forget(&scene->memory); /* from now on, others are to be believed */
    loop_until(scene->loop, is_settled, scene);
    conn_put(&scene->a.conn, SPAN("hello"));
    ck_assert_int_eq(conn_flush(&scene->a.conn), OK);
    loop_until(scene->loop, b_has_heard, scene); /* and the tickets before it */
    ck_assert_ptr_null(scene->memory.session);
    scene_part(scene);
    scene_trust(scene, other.cert, "www.test");
    scene_shake(scene, 0);
    ck_assert_uint_eq(scene->b.shaken, 0);
    ck_assert_uint_eq(scene->b.failed, 1);
    scene_fini(scene);
    unmake(&made);
    unmake(&other);
}
END_TEST

static bool a_has_all(void *it_)
{
    return ((struct scene *)it_)->a.n_got == GOT_MAX;
}

/* The socket takes a few KiB at a time, so records wait half-sent and are tried again. */
START_TEST(many_bytes_pass_a_narrow_socket_whole)
{
    static char sent[GOT_MAX];
    struct made made = make_ec("DNS:www.test");

    for (size_t i = 0; i < GOT_MAX; i++) {
        sent[i] = (char)(i * 7 + i / 251);
    }
    scene_init(scene, &made, 1);
    scene_trust(scene, made.cert, "www.test");
    scene_shake(scene, 4096);
    for (size_t i = 0, n; i < GOT_MAX; i += n) {
        n = 1 + i % 40000 < GOT_MAX - i ? 1 + i % 40000 : GOT_MAX - i;
        conn_lend(&scene->b.conn, span_make(sent + i, n));
        if (i % 3 == 0)
            ck_assert_int_eq(conn_flush(&scene->b.conn) == OK, !conn_has_unsent(&scene->b.conn));
    }
    ck_assert_int_eq(conn_flush(&scene->b.conn), ERR_AGAIN);
    loop_until(scene->loop, a_has_all, scene);
    ck_assert_mem_eq(scene->a.got, sent, GOT_MAX);
    scene_fini(scene);
    unmake(&made);
}
END_TEST

static bool a_has_ended(void *it_)
{
    enum err end = ((struct scene *)it_)->a.end;

    return end != OK && end != ERR_AGAIN;
}

START_TEST(an_end_in_order_is_one_and_a_bare_end_is_none)
{
    struct made made = make_ec("DNS:www.test");

    scene_init(scene, &made, 1);
    scene_trust(scene, made.cert, "www.test");
    scene_shake(scene, 0);
    conn_put(&scene->b.conn, SPAN("last words"));
    ck_assert_int_eq(conn_flush(&scene->b.conn), OK);
    end_close(scene, &scene->b);
    loop_until(scene->loop, a_has_ended, scene);
    ck_assert_int_eq(scene->a.end, ERR_CLOSED);
    ck_assert_mem_eq(scene->a.got, "last words", 10);
    scene_part(scene);

    scene_shake(scene, 0);
    shutdown(conn_fd(&scene->b.conn), SHUT_WR);
    loop_until(scene->loop, a_has_ended, scene);
    ck_assert_int_eq(scene->a.end, ERR_RESET);
    scene_fini(scene);
    unmake(&made);
}
END_TEST

START_TEST(looking_consumes_nothing_and_sees_the_end)
{
    struct made made = make_ec("DNS:www.test");

    scene_init(scene, &made, 1);
    scene_trust(scene, made.cert, "www.test");
    scene_shake(scene, 0);
    loop_until(scene->loop, b_has_memory, scene); /* its tickets are read */
    ck_assert(!conn_is_stale(&scene->a.conn));
    conn_hold(&scene->a.conn, CONN_HOLD_TURN);
    conn_put(&scene->b.conn, SPAN("more"));
    ck_assert_int_eq(conn_flush(&scene->b.conn), OK);
    ck_assert(conn_is_stale(&scene->a.conn));
    ck_assert_uint_eq(scene->a.n_got, 0);
    scene_fini(scene);
    unmake(&made);
}
END_TEST

START_TEST(plain_http_is_recognised)
{
    struct made made = make_ec("DNS:www.test");
    int fds[2];

    scene_init(scene, &made, 1);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    ck_assert_int_eq(conn_open(&scene->a.conn, scene->loop, fds[0], &ops), OK);
    ck_assert_int_eq(tls_accept(&scene->a.conn, scene->server), OK);
    ck_assert_int_eq(write(fds[1], "GET / HTTP/1.1\r\n\r\n", 18), 18);
    scene->b.shaken = 1;
    loop_until(scene->loop, is_settled, scene);
    ck_assert(tls_met_plain_http(&scene->a.conn));
    tls_give_up(&scene->a.conn);
    ck_assert(!tls_is_on(&scene->a.conn));
    conn_put(&scene->a.conn, SPAN("plain"));
    ck_assert_int_eq(conn_flush(&scene->a.conn), OK);
    ck_assert_int_eq(read(fds[1], scene->a.got, 16), 5);
    close(fds[1]);
    scene_fini(scene);
    unmake(&made);
}
END_TEST

START_TEST(the_key_of_another_certificate_is_refused_with_its_place)
{
    struct made made = make_ec("DNS:www.test"), other = make_ec("DNS:www.test");
    struct tls_certificate_conf certificate = {.cert = file_of(made.cert),
                                               .key = file_of(other.key)};
    struct tls_server_conf conf = {.certificates = {&certificate, 1}, .max_version = TLS_CONF_1_3};
    struct notes *notes = notes_new();

    ck_assert_ptr_null(tls_server_new(&conf, SPAN("test"), NULL, notes));
    ck_assert_uint_eq(notes_errors(notes), 1);
    notes_free(&notes);
    unmake(&made);
    unmake(&other);
}
END_TEST

START_TEST(the_same_again_is_the_same_client)
{
    struct made made = make_ec("DNS:www.test"), other = make_ec("DNS:www.test");
    struct tls_client_conf conf = {.enabled = true, .verify = true, .ca = file_of(made.cert)};
    struct notes *notes = notes_new();
    struct tls_client *a = tls_client_new(&conf, notes), *b = tls_client_new(&conf, notes), *c;

    conf.ca = file_of(other.cert);
    c = tls_client_new(&conf, notes);
    ck_assert(tls_client_is_same(a, b) && !tls_client_is_same(a, c));
    ck_assert(tls_client_is_same(NULL, NULL) && !tls_client_is_same(a, NULL));
    tls_client_unref(&a);
    tls_client_unref(&b);
    tls_client_unref(&c);
    notes_free(&notes);
    unmake(&made);
    unmake(&other);
}
END_TEST

START_TEST(tickets_are_opened_for_two_rotations)
{
    struct tls_tickets *tickets = tls_tickets_new();
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *mac = EVP_MAC_CTX_new(hmac);
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    struct tls_server server = {.tickets = tickets};
    struct tls tls = {.server = &server};
    struct tls_bench *bench = alloc_new(sizeof(*bench));
    BIO *bio = BIO_new(BIO_s_null());
    unsigned char name[16], iv[16];
    SSL *ssl = SSL_new(context);

    bench->tls = &tls; /* whose turn it is */
    BIO_set_data(bio, bench);
    SSL_set_bio(ssl, bio, bio);
    ck_assert_int_eq(tls_on_ticket(ssl, name, iv, cipher, mac, 1), 1);
    /* 2: and a new one, as TLS 1.3 has it for each that was used */
    ck_assert_int_eq(tls_on_ticket(ssl, name, iv, cipher, mac, 0), 2);
    tls_tickets_rotate(tickets);
    ck_assert_int_eq(tls_on_ticket(ssl, name, iv, cipher, mac, 0), 2);
    tls_tickets_rotate(tickets);
    ck_assert_int_eq(tls_on_ticket(ssl, name, iv, cipher, mac, 0), 2);
    tls_tickets_rotate(tickets);
    ck_assert_int_eq(tls_on_ticket(ssl, name, iv, cipher, mac, 0), 0);
    SSL_free(ssl);
    SSL_CTX_free(context);
    EVP_MAC_CTX_free(mac);
    EVP_MAC_free(hmac);
    EVP_CIPHER_CTX_free(cipher);
    alloc_free(bench);
    tls_tickets_free(&tickets);
}
END_TEST

enum { CROWD = 3 * TLS_STEPS_MAX };

static unsigned n_failed;

static void on_crowd_failed(struct conn *conn, enum err err)
{
    (void)err;
    n_failed++;
    loop_stop(conn->loop); /* after this turn */
}

static const struct conn_ops crowd_ops = {.on_readable = on_readable,
                                          .on_hangup = on_hangup,
                                          .on_drained = on_drained,
                                          .on_progress = on_progress,
                                          .on_failed = on_crowd_failed,
                                          .on_alarm = on_nothing,
                                          .on_closed = on_closed};

START_TEST(of_many_handshakes_at_once_a_turn_takes_some)
{
    struct made made = make_ec("DNS:www.test");
    struct end *crowd = alloc_new(CROWD * sizeof(*crowd));
    int fds[CROWD][2];

    scene_init(scene, &made, 1);
    for (unsigned i = 0; i < CROWD; i++) {
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds[i]), 0);
        ck_assert_int_eq(write(fds[i][1], "no handshake", 12), 12);
        ck_assert_int_eq(conn_open(&crowd[i].conn, scene->loop, fds[i][0], &crowd_ops), OK);
        ck_assert_int_eq(tls_accept(&crowd[i].conn, scene->server), OK);
    }
    for (unsigned before = 0; n_failed < CROWD; before = n_failed) {
        loop_run(scene->loop);
        ck_assert_uint_gt(n_failed, before);
        ck_assert_uint_le(n_failed - before, TLS_STEPS_MAX);
    }
    for (unsigned i = 0; i < CROWD; i++) {
        conn_close(&crowd[i].conn);
        loop_until(scene->loop, is_closed, &crowd[i]);
        close(fds[i][1]);
    }
    alloc_free(crowd);
    scene_fini(scene);
    unmake(&made);
}
END_TEST

static int run(void)
{
    const TTest *const tests[] = {hands_are_shaken_and_both_sides_agree,
                                  the_name_decides_on_the_certificate,
                                  a_stranger_is_not_believed,
                                  a_session_is_resumed_the_next_time,
                                  a_session_that_began_before_it_was_to_be_forgotten_is_not_resumed,
                                  many_bytes_pass_a_narrow_socket_whole,
                                  an_end_in_order_is_one_and_a_bare_end_is_none,
                                  looking_consumes_nothing_and_sees_the_end,
                                  plain_http_is_recognised,
                                  the_key_of_another_certificate_is_refused_with_its_place,
                                  the_same_again_is_the_same_client,
                                  tickets_are_opened_for_two_rotations,
                                  of_many_handshakes_at_once_a_turn_takes_some};
    int failed;

    scene = alloc_new(sizeof(*scene));
    failed = unit_run("net/tls", tests, sizeof(tests) / sizeof(tests[0]));
    alloc_free(scene);
    return failed;
}

int main(void)
{
    return run();
}
