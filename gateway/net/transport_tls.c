/*
 * transport_tls.c - bytes through OpenSSL.
 *
 * Reading asks OpenSSL until the room is full or the socket is empty. With read-ahead one recv()
 * takes several small records; when it did not fill OpenSSL's buffer and nothing is left in
 * there, the socket is known to be empty without asking again.
 *
 * Writing makes records of up to 16 KiB: large pieces as they lie, small ones gathered. A record
 * that the socket does not take stays in OpenSSL, sealed, and must leave before anything else: its
 * bytes are told as moved only then (transport.h), so what the connection holds as unsent is the
 * truth, and the retry needs their number, not their address.
 */
#include "net/tls_state.h"

#include "base/alloc.h"
#include "base/check.h"
#include "base/now.h"
#include "net/fault.h"

#include <openssl/err.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* -- the bench ---------------------------------------------------------- */

static int bio_read(BIO *bio, char *into, size_t room, size_t *n)
{
    struct tls_bench *bench = BIO_get_data(bio);
    size_t asked = room;
    ssize_t got;

    BIO_clear_retry_flags(bio);
    if (fault_read(bench->conn, &room)) {
        BIO_set_retry_read(bio);
        return 0;
    }
    do {
        got = recv(conn_fd(bench->conn), into, room, 0);
    } while (got < 0 && errno == EINTR);
    bench->was_short = got < 0 || (size_t)got < asked;
    if (got > 0) {
        *n = (size_t)got;
        return 1;
    }
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        BIO_set_retry_read(bio);
    } else if (got < 0) {
        bench->error = errno;
    } else {
        bench->at_end = true;
    }
    return 0;
}

static int bio_write(BIO *bio, const char *bytes, size_t len, size_t *n)
{
    struct tls_bench *bench = BIO_get_data(bio);
    struct iovec piece = {.iov_len = len};
    struct iovec *pieces = &piece, less;
    int n_pieces = 1;
    ssize_t put;

    memcpy(&piece.iov_base, &bytes, sizeof(bytes)); /* what is sent is only read */
    BIO_clear_retry_flags(bio);
    if (fault_write(bench->conn, &pieces, &n_pieces, &less)) {
        BIO_set_retry_write(bio);
        return 0;
    }
    do {
        put = send(conn_fd(bench->conn), pieces->iov_base, pieces->iov_len, MSG_NOSIGNAL);
    } while (put < 0 && errno == EINTR);
    if (put >= 0) {
        *n = (size_t)put;
        return 1;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
        BIO_set_retry_write(bio);
    } else {
        bench->error = errno;
    }
    return 0;
}

static long bio_control(BIO *bio, int command, long number, void *ptr)
{
    const struct tls_bench *bench = BIO_get_data(bio);

    (void)number;
    (void)ptr;
    if (command == BIO_CTRL_EOF)
        return bench->at_end;
    return command == BIO_CTRL_FLUSH;
}

static void bench_free(struct tls_bench **bench_)
{
    struct tls_bench *bench = *bench_;

    *bench_ = NULL;
    BIO_free(bench->bio);
    BIO_meth_free(bench->method);
    alloc_free(bench);
}

static struct tls_bench *bench_of(struct loop *loop)
{
    struct tls_bench *bench = loop->tls;

    if (bench)
        return bench;
    bench = alloc_new(sizeof(*bench));
    bench->method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "conn");
    CHECK(bench->method != NULL);
    BIO_meth_set_read_ex(bench->method, bio_read);
    BIO_meth_set_write_ex(bench->method, bio_write);
    BIO_meth_set_ctrl(bench->method, bio_control);
    bench->bio = BIO_new(bench->method);
    CHECK(bench->bio != NULL);
    BIO_set_data(bench->bio, bench);
    BIO_set_init(bench->bio, 1);
    loop->tls = bench;
    loop->tls_free = bench_free;
    return bench;
}

struct tls *tls_of_ssl(const SSL *ssl)
{
    const struct tls_bench *bench = BIO_get_data(SSL_get_rbio(ssl));

    return bench->tls;
}

/* It is this connection's turn. */
static struct tls_bench *take_turn(struct conn *conn, struct tls *tls)
{
    struct tls_bench *bench = bench_of(conn->loop);

    bench->tls = tls;
    bench->conn = conn;
    bench->error = 0;
    bench->was_short = bench->at_end = false;
    ERR_clear_error();
    return bench;
}

/* -- life ------------------------------------------------------------------ */

static void tls_free(struct tls **tls_)
{
    struct tls *tls = *tls_;

    *tls_ = NULL;
    if (!tls)
        return;
    SSL_free(tls->ssl);
    alloc_free(tls->early);
    tls_server_unref(&tls->server);
    tls_client_unref(&tls->client);
    alloc_free(tls);
}

enum err tls_start(struct conn *conn, SSL_CTX *context, struct tls **tls)
{
    struct tls_bench *bench = bench_of(conn->loop);
    SSL *ssl = SSL_new(context);

    (*tls)->transport.ops = &transport_tls;
    (*tls)->ssl = ssl;
    if (!ssl || !BIO_up_ref(bench->bio)) {
        tls_free(tls);
        return ERR_MEMORY;
    }
    SSL_set_bio(ssl, bench->bio, bench->bio);
    if ((*tls)->server) {
        SSL_set_accept_state(ssl);
    } else {
        SSL_set_connect_state(ssl);
    }
    conn_set_transport(conn, &(*tls)->transport);
    *tls = NULL;
    return OK;
}

/* -- what OpenSSL says -------------------------------------------------------- */

static void note_failure(struct tls *tls, const struct tls_bench *bench)
{
    unsigned long number = ERR_peek_error();
    long verdict = SSL_get_verify_result(tls->ssl);

    if (verdict != X509_V_OK && SSL_get_verify_mode(tls->ssl) != SSL_VERIFY_NONE) {
        tls->why = X509_verify_cert_error_string(verdict);
    } else if (bench->at_end) {
        tls->why = "the peer closed the connection";
    } else if (bench->error) {
        tls->why = err_text(err_from_errno(bench->error));
    } else {
        tls->why = tls_error_text();
    }
    tls->cause = (uint8_t)tls_cause_of(number);
    if (tls->cause == TLS_CAUSE_OTHER && (bench->at_end || bench->error))
        tls->cause = TLS_CAUSE_CLOSED;
    tls->is_plain_http =
        ERR_GET_LIB(number) == ERR_LIB_SSL && (ERR_GET_REASON(number) == SSL_R_HTTP_REQUEST ||
                                               ERR_GET_REASON(number) == SSL_R_HTTPS_PROXY_REQUEST);
    ERR_clear_error();
}

/* A call on tls->ssl did not succeed: is there something to wait for, or is it the end? */
static enum err judge(struct tls *tls, const struct tls_bench *bench, int *wanted)
{
    *wanted = SSL_get_error(tls->ssl, 0);
    if (*wanted == SSL_ERROR_WANT_READ || *wanted == SSL_ERROR_WANT_WRITE)
        return ERR_AGAIN;
    if (*wanted == SSL_ERROR_ZERO_RETURN)
        return ERR_CLOSED;
    note_failure(tls, bench);
    if (bench->error)
        return err_from_errno(bench->error);
    /* The end without a close_notify may be anybody's doing: nothing was ended in order. */
    return bench->at_end ? ERR_RESET : ERR_PROTOCOL;
}

/* The same of a call that reads: an end stays the end. */
static enum err judge_reading(struct tls *tls, const struct tls_bench *bench, int *wanted)
{
    enum err err = judge(tls, bench, wanted);

    if (err != ERR_AGAIN)
        tls->end = (int8_t)err;
    return err;
}

/*
 * A step may sign with our key, which takes as long as dozens of requests. Of many clients that
 * come at once, some wait for the next turn, and those who have shaken hands get theirs.
 */
static bool may_step(struct tls_bench *bench, struct loop *loop)
{
    uint64_t turn = counter_get(&loop->turns);

    if (bench->turn != turn)
        bench->steps = 0;
    bench->turn = turn;
    return bench->steps++ < TLS_STEPS_MAX;
}

/*
 * Begin the handshake of a client that may send early data. OK: it has, and the first of it is
 * kept; or there is none, and the handshake goes on.
 */
static enum err gather_early(struct tls *tls, struct tls_bench *bench)
{
    size_t got;
    bool is_over;
    int wanted;

    if (!tls_early_read(tls, bench->record, sizeof(bench->record), &got, &is_over))
        return judge_reading(tls, bench, &wanted);
    if (is_over)
        return OK;
    if (got == 0)
        return ERR_AGAIN;
    return tls_early_keep(tls, bench->record, got);
}

/* A whole handshake may fit into one turn of the loop, so the clock is asked. */
static uint64_t taken_us(const struct tls *tls)
{
    return (uint32_t)now_us() - tls->began_us;
}

uint64_t tls_handshake_us(const struct conn *conn)
{
    const struct tls *tls = tls_of(conn);

    return tls ? taken_us(tls) : 0;
}

/* Who speaks to an endpoint wants to know how its handshakes end. */
static void count_end(const struct tls *tls, enum err err)
{
    struct tls_client_counters *counters = tls->memory ? tls->memory->counters : NULL;

    if (!counters || err == ERR_AGAIN)
        return;
    if (err) {
        counter_add(&counters->failed, 1);
        return;
    }
    if (tls->memory->times)
        histogram_add(tls->memory->times, taken_us(tls));
    counter_add(SSL_session_reused(tls->ssl) ? &counters->resumed : &counters->full, 1);
    counter_add(SSL_version(tls->ssl) == TLS1_3_VERSION ? &counters->tls_1_3 : &counters->tls_1_2,
                1);
}

static enum err handshake(struct conn *conn)
{
    struct tls *tls = tls_state(conn);
    struct tls_bench *bench;
    enum err err = OK;
    int wanted;

    if (tls->began_us == 0)
        tls->began_us = (uint32_t)now_us() & ~UINT32_C(1);
    if (!may_step(bench_of(conn->loop), conn->loop)) {
        conn_yield(conn);
        return ERR_AGAIN;
    }
    bench = take_turn(conn, tls);
    if (tls->may_be_early) {
        err = gather_early(tls, bench);
        if (err || tls->early)
            return err;
    }
    if (SSL_do_handshake(tls->ssl) != 1)
        err = judge_reading(tls, bench, &wanted);
    count_end(tls, err);
    return err;
}

/* -- reading -------------------------------------------------------------------- */

/* The next bytes, early or not; the result of SSL_read_ex(). */
static int read_some(struct tls *tls, char *into, size_t room, size_t *got)
{
    bool is_over = false;

    if (tls->may_be_early) {
        if (!tls_early_read(tls, into, room, got, &is_over))
            return 0;
        if (!is_over)
            return 1;
    }
    return SSL_read_ex(tls->ssl, into, room, got);
}

static enum err read_bytes(struct conn *conn, char *into, size_t room, struct transfer *moved)
{
    struct tls *tls = tls_state(conn);
    const struct tls_bench *bench;
    int wanted;
    enum err err = OK;

    if (tls->early)
        moved->n = tls_early_take(tls, into, room);
    if (tls->end)
        return moved->n > 0 ? OK : (enum err)tls->end;
    bench = take_turn(conn, tls);
    while (moved->n < room && !moved->drained) {
        size_t got;

        if (!read_some(tls, into + moved->n, room - moved->n, &got)) {
            err = judge_reading(tls, bench, &wanted);
            break;
        }
        moved->n += got;
        moved->drained = bench->was_short && !tls->may_be_early && !SSL_has_pending(tls->ssl);
    }
    if (err == ERR_AGAIN && wanted == SSL_ERROR_WANT_READ)
        moved->drained = true;
    if (moved->n > 0)
        return OK; /* what else there was to tell is told the next time */
    moved->crossed = err == ERR_AGAIN && wanted == SSL_ERROR_WANT_WRITE;
    return err;
}

static enum err peek(struct conn *conn)
{
    struct tls *tls = tls_state(conn);
    struct tls_bench *bench;
    char byte;
    size_t n;
    int wanted;

    if (tls->early)
        return OK;
    if (tls->end)
        return (enum err)tls->end;
    bench = take_turn(conn, tls);
    if (tls->may_be_early) {
        enum err err = gather_early(tls, bench);

        if (err || tls->early)
            return err;
    }
    if (SSL_peek_ex(tls->ssl, &byte, 1, &n))
        return OK;
    return judge_reading(tls, bench, &wanted);
}

/* -- writing ------------------------------------------------------------------------ */

/* Where the next byte to send lies. */
struct place {
    const struct iovec *piece, *end;
    size_t at;
};

static struct place place_move(struct place place, size_t n)
{
    while (n > 0 && place.piece < place.end) {
        size_t here = place.piece->iov_len - place.at;

        if (n < here) {
            place.at += n;
            return place;
        }
        n -= here;
        place.piece++;
        place.at = 0;
    }
    return place;
}

/* The next record's bytes: as they lie when they fill one or are the last, else gathered. */
static struct sluice_span next_record(struct tls_bench *bench, struct place place, size_t max)
{
    size_t used = 0;

    while (place.piece < place.end && used < max) {
        const char *from = (const char *)place.piece->iov_base + place.at;
        size_t len = place.piece->iov_len - place.at;

        if (used == 0 && (len >= max || place.piece + 1 == place.end))
            return span_make(from, len < max ? len : max);
        if (len > max - used)
            len = max - used;
        memcpy(bench->record + used, from, len);
        used += len;
        place = place_move(place, len);
    }
    return span_make(bench->record, used);
}

/*
 * A record is read when its last byte is there. At first, and after a silence, the path takes
 * few segments at a time, so a large one would wait for a round trip more.
 */
static void size_records(struct tls *tls, struct loop *loop)
{
    uint32_t now_ms;

    if (!tls->server || tls->server->small_bytes == 0)
        return;
    now_ms = (uint32_t)(loop_now_us(loop) / 1000);
    if (now_ms - tls->sent_ms >= TLS_SMALL_AFTER_MS)
        tls->small_bytes = tls->server->small_bytes;
    tls->sent_ms = now_ms;
}

static void note_sent(struct tls *tls, size_t n)
{
    tls->small_bytes -= n < tls->small_bytes ? (uint32_t)n : tls->small_bytes;
}

/* Before the handshake is over, who reads it is not known better than the ticket says. */
static int write_some(struct tls *tls, struct sluice_span record, size_t *put)
{
    if (tls_early_is_on(tls))
        return SSL_write_early_data(tls->ssl, record.ptr, record.len, put);
    return SSL_write_ex(tls->ssl, record.ptr, record.len, put);
}

static enum err write_bytes(struct conn *conn, struct iovec *pieces, int n_pieces,
                            struct transfer *moved)
{
    struct tls *tls = tls_state(conn);
    struct tls_bench *bench = take_turn(conn, tls);
    struct place place = {pieces, pieces + n_pieces, 0};
    int wanted;
    enum err err;

    size_records(tls, conn->loop);
    while (place.piece < place.end) {
        size_t max = tls->small_bytes > 0 ? TLS_SMALL_RECORD : TLS_RECORD_BYTES;
        /* Of a record that waits, OpenSSL only wants to hear the length again. */
        struct sluice_span record =
            tls->pending ? span_make(bench->record, tls->pending) : next_record(bench, place, max);
        size_t put;

        if (record.len == 0)
            break;
        if (!write_some(tls, record, &put)) {
            err = judge(tls, bench, &wanted);
            tls->pending = (uint16_t)(err == ERR_AGAIN ? record.len : 0);
            moved->crossed = err == ERR_AGAIN && wanted == SSL_ERROR_WANT_READ;
            return err == ERR_AGAIN && moved->n > 0 ? OK : err;
        }
        tls->pending = 0;
        moved->n += put;
        note_sent(tls, put);
        place = place_move(place, put);
    }
    return OK;
}

/* -- the end ---------------------------------------------------------------------------- */

static void say_end(struct conn *conn, struct tls *tls)
{
    bool is_sound = tls->end == OK || tls->end == ERR_CLOSED;

    if (!is_sound || tls->pending || !SSL_is_init_finished(tls->ssl))
        return;
    take_turn(conn, tls);
    /* When the socket does not take it, the peer sees the bare end, as it would without us. */
    if (SSL_shutdown(tls->ssl) < 0)
        ERR_clear_error();
}

static void shut_write(struct conn *conn)
{
    say_end(conn, tls_state(conn));
}

static void close_tls(struct conn *conn, bool in_order)
{
    struct tls *tls = tls_state(conn);

    if (in_order && !(SSL_get_shutdown(tls->ssl) & SSL_SENT_SHUTDOWN))
        say_end(conn, tls);
    /* Else OpenSSL takes a session that may be resumed for a bad one. */
    if (SSL_is_init_finished(tls->ssl))
        SSL_set_shutdown(tls->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    tls_free(&tls);
}

const struct transport_ops transport_tls = {
    .name = "tls",
    .handshake = handshake,
    .read = read_bytes,
    .write = write_bytes,
    .peek = peek,
    .shut_write = shut_write,
    .close = close_tls,
};

/* -- questions ----------------------------------------------------------------------------- */

bool tls_is_on(const struct conn *conn)
{
    return tls_of(conn) != NULL;
}

bool tls_is_resumed(const struct conn *conn)
{
    const struct tls *tls = tls_of(conn);

    return tls && SSL_session_reused(tls->ssl) == 1;
}

struct sluice_span tls_version(const struct conn *conn)
{
    const struct tls *tls = tls_of(conn);

    return span_of(tls ? SSL_get_version(tls->ssl) : NULL);
}

struct sluice_span tls_cipher(const struct conn *conn)
{
    const struct tls *tls = tls_of(conn);
    const SSL_CIPHER *cipher = tls ? SSL_get_current_cipher(tls->ssl) : NULL;

    return span_of(cipher ? SSL_CIPHER_standard_name(cipher) : NULL);
}

struct sluice_span tls_server_name(const struct conn *conn)
{
    const struct tls *tls = tls_of(conn);

    return span_of(tls ? SSL_get_servername(tls->ssl, TLSEXT_NAMETYPE_host_name) : NULL);
}

struct sluice_span tls_protocol(const struct conn *conn)
{
    const struct tls *tls = tls_of(conn);
    const unsigned char *name = NULL;
    unsigned len = 0;

    if (tls)
        SSL_get0_alpn_selected(tls->ssl, &name, &len);
    return span_make((const char *)name, len);
}

enum tls_cause tls_failure_cause(const struct conn *conn)
{
    const struct tls *tls = tls_of(conn);

    return tls ? (enum tls_cause)tls->cause : TLS_CAUSE_OTHER;
}

struct sluice_span tls_failure(const struct conn *conn)
{
    const struct tls *tls = tls_of(conn);

    return span_of(tls ? tls->why : NULL);
}

bool tls_met_plain_http(const struct conn *conn)
{
    const struct tls *tls = tls_of(conn);

    return tls && tls->is_plain_http;
}

void tls_give_up(struct conn *conn)
{
    struct tls *tls = tls_state(conn);

    conn_set_transport(conn, NULL);
    tls_free(&tls);
}

/* Of the client; NULL: there is none. */
static X509 *verified_cert(const struct conn *conn)
{
    const struct tls *tls = tls_of(conn);
    X509 *cert = tls && tls->server ? SSL_get0_peer_certificate(tls->ssl) : NULL;

    return cert && SSL_get_verify_result(tls->ssl) == X509_V_OK ? cert : NULL;
}

bool tls_has_client_cert(const struct conn *conn)
{
    return verified_cert(conn) != NULL;
}

enum err tls_client_subject(const struct conn *conn, struct arena *arena, struct sluice_span *value)
{
    X509 *cert = verified_cert(conn);
    BIO *out;
    char *text = NULL;
    long len;

    *value = span_make(NULL, 0);
    if (!cert)
        return OK;
    out = BIO_new(BIO_s_mem());
    if (!out)
        return ERR_MEMORY;
    (void)X509_NAME_print_ex(out, X509_get_subject_name(cert), 0, XN_FLAG_RFC2253);
    len = BIO_get_mem_data(out, &text);
    *value = arena_copy(arena, span_make(text, len > 0 ? (size_t)len : 0));
    BIO_free(out);
    return value->ptr ? OK : ERR_MEMORY;
}

enum err tls_client_fingerprint(const struct conn *conn, struct arena *arena,
                                struct sluice_span *value)
{
    static const char digits[] = "0123456789abcdef";
    X509 *cert = verified_cert(conn);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    char *text;

    *value = span_make(NULL, 0);
    if (!cert)
        return OK;
    if (!X509_digest(cert, EVP_sha256(), digest, &len))
        return ERR_MEMORY;
    text = arena_try_raw(arena, (size_t)len * 2);
    if (!text)
        return ERR_MEMORY;
    for (unsigned i = 0; i < len; i++) {
        text[(size_t)2 * i] = digits[digest[i] >> 4];
        text[(size_t)2 * i + 1] = digits[digest[i] & 15];
    }
    *value = span_make(text, (size_t)len * 2);
    return OK;
}

enum err tls_client_cert(const struct conn *conn, struct arena *arena, struct sluice_span *value)
{
    X509 *cert = verified_cert(conn);
    unsigned char *der = NULL;
    char *text;
    int len;

    *value = span_make(NULL, 0);
    if (!cert)
        return OK;
    len = i2d_X509(cert, &der);
    if (len <= 0)
        return ERR_MEMORY;
    text = arena_try_raw(arena, (size_t)len / 3 * 4 + 4 + 3);
    if (text) {
        size_t n = (size_t)EVP_EncodeBlock((unsigned char *)text + 1, der, len);

        text[0] = text[n + 1] = ':';
        *value = span_make(text, n + 2);
    }
    OPENSSL_free(der);
    return text ? OK : ERR_MEMORY;
}
