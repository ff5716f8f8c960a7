/*
 * tls_client.c - how we speak TLS to upstreams: whom to believe, what to show, what to resume.
 */
#include "net/tls_state.h"

#include "base/alloc.h"
#include "base/check.h"
#include "net/addr.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <string.h>
#include <unistd.h>

enum { NAME_MAX_BYTES = 255, DIGEST_BYTES = 32 };

struct tls_client {
    unsigned refs; /* atomic */
    SSL_CTX *context;
    char *sni;   /* owned; NULL: whoever is dialled */
    int key_log; /* a descriptor; -1: none */
    bool verify;
    unsigned char digest[DIGEST_BYTES]; /* of all that it was made of */
};

/* -- sessions ------------------------------------------------------------------ */

static void replace(struct tls_memory *memory, SSL_SESSION *session)
{
    SSL_SESSION_free(memory->session);
    memory->session = session;
}

void tls_forget(struct tls_memory *memory)
{
    replace(memory, NULL);
    memory->era++;
}

/* OpenSSL has a session that may be resumed; 1: it is ours now. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
    const struct tls *tls = tls_of_ssl(ssl);

    if (!tls->memory || tls->era != tls->memory->era)
        return 0;
    replace(tls->memory, session);
    return 1;
}

/* -- life ------------------------------------------------------------------------ */

/* "h2", "http/1.1", each behind its length. */
static const unsigned char offers[] = {2, 'h', '2', 8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

enum { OFFER_H2_BYTES = 3 };

static const unsigned char *offer_of(int alpn)
{
    return alpn == TLS_ALPN_H1 ? offers + OFFER_H2_BYTES : offers;
}

static unsigned offer_bytes(int alpn)
{
    if (alpn == TLS_ALPN_BOTH)
        return sizeof(offers);
    return alpn == TLS_ALPN_H2 ? OFFER_H2_BYTES : sizeof(offers) - OFFER_H2_BYTES;
}

static enum err set_up(struct tls_client *client, const struct tls_client_conf *conf,
                       struct notes *notes)
{
    SSL_CTX *context = client->context;
    const struct tls_policy policy = {.at = conf->at,
                                      .min_version = conf->min_version,
                                      .max_version = conf->max_version,
                                      .ciphers = conf->ciphers,
                                      .ciphersuites = conf->ciphersuites,
                                      .groups = conf->groups};

    tls_prepare(context);
    if (tls_use_policy(context, &policy, notes) ||
        SSL_CTX_set_alpn_protos(context, offer_of(conf->alpn), offer_bytes(conf->alpn)) != 0)
        return ERR_CONFIG;
    SSL_CTX_set_session_cache_mode(context,
                                   SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
    SSL_CTX_sess_set_new_cb(context, on_session);
    if (conf->cert.path.len > 0 && tls_use_certificate(context, &conf->cert, &conf->key, notes))
        return ERR_CONFIG;
    if (!conf->verify)
        return OK;
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    if (conf->ca.path.len > 0)
        return tls_use_authority(context, &conf->ca, notes);
    return SSL_CTX_set_default_verify_paths(context) ? OK : ERR_CONFIG;
}

/* With its length, so that two texts are not taken for other two. */
static void add_text(EVP_MD_CTX *digest, struct sluice_span text)
{
    EVP_DigestUpdate(digest, &text.len, sizeof(text.len));
    if (text.len > 0)
        EVP_DigestUpdate(digest, text.ptr, text.len);
}

static void make_digest(struct tls_client *client, const struct tls_client_conf *conf)
{
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    unsigned len = 0;

    CHECK(digest && EVP_DigestInit_ex(digest, EVP_sha256(), NULL));
    EVP_DigestUpdate(digest, &conf->verify, sizeof(conf->verify));
    EVP_DigestUpdate(digest, &conf->min_version, sizeof(conf->min_version));
    EVP_DigestUpdate(digest, &conf->max_version, sizeof(conf->max_version));
    add_text(digest, conf->ciphers);
    add_text(digest, conf->ciphersuites);
    add_text(digest, conf->groups);
    EVP_DigestUpdate(digest, &conf->alpn, sizeof(conf->alpn));
    add_text(digest, conf->key_log.path);
    tls_digest_file(digest, &conf->ca);
    tls_digest_file(digest, &conf->cert);
    tls_digest_file(digest, &conf->key);
    if (client->sni)
        EVP_DigestUpdate(digest, client->sni, strlen(client->sni));
    EVP_DigestFinal_ex(digest, client->digest, &len);
    EVP_MD_CTX_free(digest);
}

struct tls_client *tls_client_new(const struct tls_client_conf *conf, struct notes *notes)
{
    struct tls_client *client = alloc_new(sizeof(*client));

    client->refs = 1;
    client->key_log = -1;
    client->verify = conf->verify;
    client->context = SSL_CTX_new(TLS_client_method());
    CHECK(client->context != NULL);
    if (conf->sni.len > 0)
        client->sni = alloc_text(conf->sni.ptr, conf->sni.len);
    make_digest(client, conf);
    if (set_up(client, conf, notes))
        tls_client_unref(&client);
    ERR_clear_error();
    return client;
}

static void on_key(const SSL *ssl, const char *line)
{
    tls_key_log_write(tls_of_ssl(ssl)->client->key_log, line);
}

void tls_client_log_keys(struct tls_client *client, const struct tls_client_conf *conf,
                         struct notes *notes)
{
    if (conf->key_log.path.len > 0 &&
        tls_key_log_open(&conf->key_log, notes, &client->key_log) == OK)
        SSL_CTX_set_keylog_callback(client->context, on_key);
}

struct tls_client *tls_client_ref(struct tls_client *client)
{
    if (client)
        __atomic_add_fetch(&client->refs, 1, __ATOMIC_RELAXED);
    return client;
}

void tls_client_unref(struct tls_client **client)
{
    struct tls_client *old = *client;

    *client = NULL;
    if (!old || __atomic_sub_fetch(&old->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    if (old->key_log >= 0)
        close(old->key_log);
    SSL_CTX_free(old->context);
    alloc_free(old->sni);
    alloc_free(old);
}

bool tls_client_is_same(const struct tls_client *a, const struct tls_client *b)
{
    if (!a || !b)
        return a == b;
    return memcmp(a->digest, b->digest, sizeof(a->digest)) == 0;
}

/* -- connecting -------------------------------------------------------------------- */

/* Ask for the peer by name, and hold it to that. An IP address is checked, but never asked for. */
static bool expect(SSL *ssl, const struct tls_client *client, char *peer)
{
    struct addr_range range;
    bool is_ip = addr_range_parse(span_of(peer), &range) == OK;

    if (peer[0] == '\0')
        return !client->verify;
    if (!is_ip && !SSL_set_tlsext_host_name(ssl, peer))
        return false;
    if (!client->verify)
        return true;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (is_ip)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), peer) == 1;
    return SSL_set1_host(ssl, peer) == 1;
}

enum err tls_connect(struct conn *conn, struct tls_client *client, struct sluice_span peer,
                     struct tls_memory *memory)
{
    struct tls *tls;
    char name[NAME_MAX_BYTES + 1];
    SSL *ssl;
    enum err err;

    if (client->sni)
        peer = span_of(client->sni);
    if (peer.len > NAME_MAX_BYTES)
        return ERR_CONFIG;
    if (peer.len > 0)
        memcpy(name, peer.ptr, peer.len);
    name[peer.len] = '\0';
    tls = alloc_try(sizeof(*tls));
    if (!tls)
        return ERR_MEMORY;
    *tls = (struct tls){.client = tls_client_ref(client), .memory = memory, .era = memory->era};
    err = tls_start(conn, client->context, &tls);
    if (err)
        return err;
    ssl = tls_state(conn)->ssl;
    if (!expect(ssl, client, name)) {
        ERR_clear_error();
        return ERR_CONFIG;
    }
    if (memory->session && !SSL_set_session(ssl, memory->session))
        replace(memory, NULL);
    return OK;
}

void tls_leave_memory(struct conn *conn)
{
    struct tls *tls = tls_of(conn);

    if (tls)
        tls->memory = NULL;
}

void tls_offer_h1(struct conn *conn)
{
    struct tls *tls = tls_state(conn);

    /* Without memory the endpoint is offered what all are, and its choice is looked at. */
    (void)SSL_set_alpn_protos(tls->ssl, offer_of(TLS_ALPN_H1), offer_bytes(TLS_ALPN_H1));
}
