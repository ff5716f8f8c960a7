/*
 * tls_server.c - our certificates, and who gets which.
 *
 * Certificates with the same names but keys of different kinds share a context, and OpenSSL takes
 * the one that the client can check. Names lead to contexts through one map: "www.example.com"
 * and, for "*.example.com", ".example.com". The first certificate that has a name gets it.
 */
#include "net/tls_state.h"

#include "base/alloc.h"
#include "base/check.h"
#include "base/map.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <string.h>
#include <unistd.h>

enum { NAME_MAX_BYTES = 255, NAMES_MAX_BYTES = 256 * 1024, DIGEST_BYTES = 32 };

/* What a server is being built from. */
struct build {
    const struct tls_server_conf *conf;
    struct tls_server *server;
    struct notes *notes;
    unsigned char scope[DIGEST_BYTES]; /* sessions are good within it only */
    STACK_OF(X509_NAME) * authorities; /* owned: told to clients */
};

/* -- during the handshake --------------------------------------------------------- */

static char lower_case(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

/* False when it is too long for a name. */
static bool fold(struct sluice_span name, char out[NAME_MAX_BYTES])
{
    for (size_t i = 0; i < name.len && i < NAME_MAX_BYTES; i++) {
        char c = name.ptr[i];

        out[i] = lower_case(c);
    }
    return name.len > 0 && name.len <= NAME_MAX_BYTES;
}

static SSL_CTX *find(const struct tls_server *server, struct sluice_span name)
{
    char folded[NAME_MAX_BYTES];
    SSL_CTX *found;
    size_t dot;

    if (name.len > 1 && name.ptr[name.len - 1] == '.')
        name.len--;
    if (!fold(name, folded))
        return NULL;
    name = span_make(folded, name.len);
    found = map_find(server->by_name, name);
    dot = span_find(name, '.');
    if (!found && dot > 0 && dot < name.len)
        found = map_find(server->by_name, span_make(folded + dot, name.len - dot));
    return found;
}

static int on_server_name(SSL *ssl, int *alert, void *server)
{
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    SSL_CTX *context = name ? find(server, span_of(name)) : NULL;

    if (!context && ((const struct tls_server *)server)->is_strict) {
        *alert = SSL_AD_UNRECOGNIZED_NAME;
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    if (!context)
        return SSL_TLSEXT_ERR_NOACK;
    if (context != SSL_get_SSL_CTX(ssl))
        SSL_set_SSL_CTX(ssl, context);
    return SSL_TLSEXT_ERR_OK;
}

/* Of a server whose owner has not said what it speaks. */
static const struct tls_protocols default_protocols = {9,
                                                       {8, 'h', 't', 't', 'p', '/', '1', '.', '1'}};

static int on_protocols(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                        const unsigned char *in, unsigned in_len, void *server_)
{
    const struct tls_protocols *alpn = &((const struct tls_server *)server_)->alpn;
    unsigned char *chosen;

    (void)ssl;
    /* Speaking something else than what was asked for lets protocols be mixed up (RFC 7301 3.2). */
    if (SSL_select_next_proto(&chosen, out_len, alpn->wire, alpn->len, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* -- building: a context -------------------------------------------------------------- */

static enum err set_policy(SSL_CTX *context, const struct build *build)
{
    const struct tls_server_conf *conf = build->conf;
    const struct tls_policy policy = {.at = conf->at,
                                      .min_version = conf->min_version,
                                      .max_version = conf->max_version,
                                      .ciphers = conf->ciphers,
                                      .ciphersuites = conf->ciphersuites,
                                      .groups = conf->groups};

    SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    return tls_use_policy(context, &policy, build->notes);
}

static enum err set_sessions(SSL_CTX *context, const struct build *build)
{
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    if (build->conf->session_ms > 0)
        SSL_CTX_set_timeout(context, (long)(build->conf->session_ms / 1000));
    if (!SSL_CTX_set_session_id_context(context, build->scope, sizeof(build->scope)))
        return ERR_CONFIG;
    if (!build->conf->session_tickets) {
        SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
        SSL_CTX_set_num_tickets(context, 0);
    } else if (build->server->tickets || build->server->ticket_file) {
        SSL_CTX_set_tlsext_ticket_key_evp_cb(context, tls_on_ticket);
    }
    return OK;
}

static enum err set_asking(SSL_CTX *context, const struct build *build)
{
    const struct tls_asking_conf *conf = &build->conf->client;
    int mode = SSL_VERIFY_PEER;

    if (conf->mode == TLS_CLIENT_NONE)
        return OK;
    if (conf->mode == TLS_CLIENT_REQUIRE)
        mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    SSL_CTX_set_verify(context, mode, NULL);
    if (build->authorities)
        SSL_CTX_set_client_CA_list(context, SSL_dup_CA_list(build->authorities));
    if (conf->crl.path.len > 0 &&
        tls_use_revocations(context, &conf->crl, build->server->n_identities == 0, build->notes))
        return ERR_CONFIG;
    return tls_use_authority(context, &conf->ca, build->notes);
}

static void on_key(const SSL *ssl, const char *line)
{
    tls_key_log_write(tls_of_ssl(ssl)->server->key_log, line);
}

/* NULL when something is wrong, and noted. */
static SSL_CTX *context_new(const struct build *build)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());

    if (!context)
        return NULL;
    tls_prepare(context);
    SSL_CTX_set_tlsext_servername_callback(context, on_server_name);
    SSL_CTX_set_tlsext_servername_arg(context, build->server);
    SSL_CTX_set_alpn_select_cb(context, on_protocols, build->server);
    SSL_CTX_set_tlsext_status_cb(context, tls_on_status);
    SSL_CTX_set_tlsext_status_arg(context, build->server);
    if (build->server->takes_early) {
        SSL_CTX_set_max_early_data(context, TLS_RECORD_BYTES);
        /* OpenSSL's own guard needs sessions kept at home, and does not see other gateways. */
        SSL_CTX_set_options(context, SSL_OP_NO_ANTI_REPLAY);
    }
    if (build->server->key_log >= 0)
        SSL_CTX_set_keylog_callback(context, on_key);
    if (!set_policy(context, build) && !set_sessions(context, build) && !set_asking(context, build))
        return context;
    SSL_CTX_free(context);
    return NULL;
}

/* -- building: names ---------------------------------------------------------------------- */

static void add_name(struct text *names, const ASN1_STRING *string)
{
    struct sluice_span name =
        span_make((const char *)ASN1_STRING_get0_data(string), (size_t)ASN1_STRING_length(string));
    char folded[NAME_MAX_BYTES];

    if (span_starts(name, SPAN("*.")))
        name = span_make(name.ptr + 1, name.len - 1);
    if (span_find(name, '\n') < name.len || span_find(name, '\0') < name.len || !fold(name, folded))
        return;
    text_add(names, span_make(folded, name.len));
    text_add_char(names, '\n');
}

/* The subject's common name counts only where there are no alternative names, as in RFC 6125. */
static void read_names(X509 *cert, struct text *names)
{
    GENERAL_NAMES *general = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    X509_NAME *subject = X509_get_subject_name(cert);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);

    for (int i = 0; i < sk_GENERAL_NAME_num(general); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(general, i);

        if (name->type == GEN_DNS)
            add_name(names, name->d.dNSName);
    }
    if (!general && at >= 0)
        add_name(names, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    GENERAL_NAMES_free(general);
    ERR_clear_error();
}

static int kind_of(const X509 *cert)
{
    const EVP_PKEY *key = X509_get0_pubkey(cert);
    int type = key ? EVP_PKEY_get_base_id(key) : 0;

    if (type == EVP_PKEY_RSA)
        return 0;
    return type == EVP_PKEY_EC ? 1 : 2;
}

/* The identity with these names that has no key of this kind yet, or a new one; NULL: noted. */
static struct tls_identity *identity_get(const struct build *build, struct sluice_span names,
                                         int kind)
{
    struct tls_server *server = build->server;
    struct tls_identity *identity;

    for (size_t i = 0; i < server->n_identities; i++) {
        identity = &server->identity[i];
        if (!identity->has_kind[kind] && names.len > 0 &&
            span_equal(span_of(identity->names), names))
            return identity;
    }
    identity = &server->identity[server->n_identities];
    identity->context = context_new(build);
    if (!identity->context)
        return NULL;
    identity->names = alloc_text(names.ptr, names.len);
    server->n_identities++;
    return identity;
}

static void map_names(struct tls_server *server, const struct tls_identity *identity)
{
    struct sluice_span rest = span_of(identity->names), name;

    while (span_split(&rest, '\n', &name)) {
        if (name.len > 0 && !map_find(server->by_name, name))
            map_set(server->by_name, name, identity->context);
    }
}

/* Remember what is told of it, and what the authority says. */
static enum err note_certificate(const struct build *build, const struct tls_certificate_conf *conf,
                                 X509 *cert, struct sluice_span names)
{
    struct tls_server *server = build->server;
    struct tls_certificate *noted = &server->certificate[server->n_certificates++];

    noted->path = alloc_text(conf->cert.path.ptr, conf->cert.path.len);
    noted->names = alloc_text(names.ptr, names.len);
    noted->end_s = tls_certificate_end(cert);
    if (conf->ocsp.path.len == 0)
        return OK;
    if (tls_staple_read(&server->staple[server->n_staples], cert, &conf->ocsp, build->notes))
        return ERR_CONFIG;
    server->n_staples++;
    return OK;
}

static enum err add_certificate(const struct build *build, const struct tls_certificate_conf *conf)
{
    X509 *cert = tls_read_certificate(&conf->cert, build->notes);
    struct tls_identity *identity;
    struct text names;
    enum err err;
    int kind;

    if (!cert)
        return ERR_CONFIG;
    kind = kind_of(cert);
    text_init(&names, NAMES_MAX_BYTES);
    read_names(cert, &names);
    identity = identity_get(build, text_span(&names), kind);
    err = identity ? note_certificate(build, conf, cert, text_span(&names)) : ERR_CONFIG;
    text_fini(&names);
    X509_free(cert);
    if (err)
        return err;
    identity->has_kind[kind] = true;
    build->server->certificate[build->server->n_certificates - 1].context = identity->context;
    map_names(build->server, identity);
    return tls_use_certificate(identity->context, &conf->cert, &conf->key, build->notes);
}

/* -- life ------------------------------------------------------------------------------------- */

/* A session is not to be resumed where other certificates of clients are asked for. */
static void make_scope(struct build *build, struct sluice_span name)
{
    const struct tls_asking_conf *client = &build->conf->client;
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    unsigned len = 0;

    CHECK(digest && EVP_DigestInit_ex(digest, EVP_sha256(), NULL));
    EVP_DigestUpdate(digest, name.ptr, name.len);
    EVP_DigestUpdate(digest, &client->mode, sizeof(client->mode));
    tls_digest_file(digest, &client->ca);
    tls_digest_file(digest, &client->crl);
    EVP_DigestFinal_ex(digest, build->scope, &len);
    EVP_MD_CTX_free(digest);
}

/* Those beside certificates. The log of keys is not touched when nothing will be served. */
static enum err open_files(const struct build *build)
{
    const struct tls_server_conf *conf = build->conf;
    struct tls_server *server = build->server;

    if (conf->session_tickets && conf->ticket_keys.path.len > 0) {
        server->ticket_file = tls_ticket_file_read(&conf->ticket_keys, build->notes);
        if (!server->ticket_file)
            return ERR_CONFIG;
    }
    if (conf->key_log.path.len == 0 || !server->tickets)
        return OK;
    return tls_key_log_open(&conf->key_log, build->notes, &server->key_log);
}

struct tls_server *tls_server_new(const struct tls_server_conf *conf, struct sluice_span name,
                                  struct tls_tickets *tickets, struct notes *notes)
{
    struct tls_server *server = alloc_new(sizeof(*server));
    struct build build = {.conf = conf, .server = server, .notes = notes, .authorities = NULL};
    const struct tls_certificate_conf *certificate = conf->certificates.first;
    bool is_bad = false;

    server->refs = 1;
    server->alpn = conf->alpn.len > 0 ? conf->alpn : default_protocols;
    server->by_name = map_new();
    server->identity = alloc_new((conf->certificates.n + 1) * sizeof(*server->identity));
    server->staple = alloc_new((conf->certificates.n + 1) * sizeof(*server->staple));
    server->certificate = alloc_new((conf->certificates.n + 1) * sizeof(*server->certificate));
    server->tickets = tickets;
    server->small_bytes = (uint32_t)conf->small_bytes;
    server->takes_early = tls_server_conf_takes_early(conf);
    server->is_strict = conf->strict_sni;
    server->key_log = -1;
    is_bad = open_files(&build) != OK;
    make_scope(&build, name);
    if (conf->client.mode != TLS_CLIENT_NONE)
        build.authorities = SSL_load_client_CA_file(conf->client.ca.path.ptr);
    for (size_t i = 0; i < conf->certificates.n && !is_bad; i++) {
        is_bad = add_certificate(&build, &certificate[i]) != OK;
    }
    sk_X509_NAME_pop_free(build.authorities, X509_NAME_free);
    ERR_clear_error();
    if (is_bad)
        tls_server_unref(&server);
    return server;
}

struct tls_server *tls_server_ref(struct tls_server *server)
{
    if (server)
        __atomic_add_fetch(&server->refs, 1, __ATOMIC_RELAXED);
    return server;
}

void tls_server_unref(struct tls_server **server)
{
    struct tls_server *old = *server;

    *server = NULL;
    if (!old || __atomic_sub_fetch(&old->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (size_t i = 0; i < old->n_identities; i++) {
        SSL_CTX_free(old->identity[i].context);
        alloc_free(old->identity[i].names);
    }
    for (size_t i = 0; i < old->n_certificates; i++) {
        alloc_free(old->certificate[i].path);
        alloc_free(old->certificate[i].names);
    }
    for (size_t i = 0; i < old->n_staples; i++) {
        tls_staple_fini(&old->staple[i]);
    }
    if (old->key_log >= 0)
        close(old->key_log);
    tls_ticket_file_free(&old->ticket_file);
    map_free(&old->by_name);
    alloc_free(old->identity);
    alloc_free(old->staple);
    alloc_free(old->certificate);
    alloc_free(old);
}

enum err tls_accept(struct conn *conn, struct tls_server *server)
{
    struct tls *tls = alloc_try(sizeof(*tls));

    if (!tls)
        return ERR_MEMORY;
    *tls = (struct tls){.server = tls_server_ref(server),
                        .small_bytes = server->small_bytes,
                        .may_be_early = server->takes_early};
    return tls_start(conn, server->identity[0].context, &tls);
}

/* -- questions --------------------------------------------------------------------------------- */

static struct tls_certificate_facts facts_of(const struct tls_certificate *certificate)
{
    return (struct tls_certificate_facts){.path = span_of(certificate->path),
                                          .names = span_of(certificate->names),
                                          .end_s = certificate->end_s};
}

static const SSL_CTX *context_for(const struct tls_server *server, struct sluice_span host)
{
    const SSL_CTX *context = find(server, host);

    return context ? context : server->identity[0].context;
}

bool tls_is_for(const struct conn *conn, struct sluice_span host)
{
    const struct tls *tls = tls_of(conn);

    return !tls || !tls->server || context_for(tls->server, host) == SSL_get_SSL_CTX(tls->ssl);
}

bool tls_server_find(const struct tls_server *server, struct sluice_span host,
                     struct tls_certificate_facts *facts)
{
    const SSL_CTX *context = context_for(server, host);

    size_t i = 0;

    while (server->certificate[i].context != context) { /* each context was made for one */
        i++;
    }
    *facts = facts_of(&server->certificate[i]);
    return find(server, host) != NULL;
}

void tls_server_each(const struct tls_server *server, tls_certificate_fn *fn, void *arg)
{
    for (size_t i = 0; i < server->n_certificates; i++) {
        const struct tls_certificate_facts facts = facts_of(&server->certificate[i]);

        fn(arg, &facts);
    }
}
