/*
 * tls_context.c - what contexts of both sides are made of: options, certificates, authorities.
 */
#include "net/tls_state.h"

#include "config/input.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <errno.h>
#include <string.h>

enum { FILE_MAX_BYTES = 4 * 1024 * 1024 };

const char *tls_error_text(void)
{
    const char *text = ERR_reason_error_string(ERR_peek_last_error());

    ERR_clear_error();
    return text ? text : "TLS failed";
}

/* -- what both sides have ---------------------------------------------------- */

/* A key with a password cannot be used: nobody is there to be asked. */
static int no_password(char *out, int room, int writing, void *arg)
{
    (void)writing;
    (void)arg;
    if (room > 0)
        out[0] = '\0';
    return -1;
}

void tls_prepare(SSL_CTX *context)
{
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_passwd_cb(context, no_password);
}

static int version_number(int version)
{
    return version == TLS_CONF_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;
}

static enum err refuse(const struct tls_policy *policy, const char *key, struct sluice_span value,
                       struct notes *notes)
{
    notes_error(notes, policy->at, "write it as openssl ciphers, or openssl ecparam do",
                "tls.%s '%s' is not known to OpenSSL", key, value.ptr);
    ERR_clear_error();
    return ERR_CONFIG;
}

enum err tls_use_policy(SSL_CTX *context, const struct tls_policy *policy, struct notes *notes)
{
    char *groups;

    if (!SSL_CTX_set_min_proto_version(context, version_number(policy->min_version)) ||
        !SSL_CTX_set_max_proto_version(context, version_number(policy->max_version)))
        return ERR_CONFIG;
    if (policy->ciphers.len > 0 && !SSL_CTX_set_cipher_list(context, policy->ciphers.ptr))
        return refuse(policy, "ciphers", policy->ciphers, notes);
    if (policy->ciphersuites.len > 0 &&
        !SSL_CTX_set_ciphersuites(context, policy->ciphersuites.ptr))
        return refuse(policy, "ciphersuites", policy->ciphersuites, notes);
    /* Only read, but OpenSSL does not say so. */
    memcpy(&groups, &policy->groups.ptr, sizeof(groups));
    if (policy->groups.len > 0 && !SSL_CTX_set1_groups_list(context, groups))
        return refuse(policy, "groups", policy->groups, notes);
    return OK;
}

/* -- certificates -------------------------------------------------------------- */

static void note_file(struct notes *notes, const struct tls_file *file, const char *hint,
                      const char *what)
{
    notes_error(notes, file->at, hint, "'%s' %s: %s", file->path.ptr, what, tls_error_text());
}

/* NULL, with errno's reason in the notes. */
static BIO *open_file(const struct tls_file *file, struct notes *notes)
{
    BIO *bio;

    errno = 0;
    bio = BIO_new_file(file->path.ptr, "r");
    if (!bio) {
        notes_error(notes, file->at,
                    "check the path, which is relative to this file, and its rights",
                    "'%s' cannot be read: %s", file->path.ptr, strerror(errno));
    }
    ERR_clear_error();
    return bio;
}

X509 *tls_read_certificate(const struct tls_file *file, struct notes *notes)
{
    BIO *bio = open_file(file, notes);
    X509 *cert;

    if (!bio)
        return NULL;
    cert = PEM_read_bio_X509(bio, NULL, no_password, NULL);
    BIO_free(bio);
    if (!cert) {
        note_file(notes, file, "it should begin with -----BEGIN CERTIFICATE-----",
                  "has no certificate");
    }
    return cert;
}

static void warn_of_time(const X509 *cert, const struct tls_file *file, struct notes *notes)
{
    if (X509_cmp_current_time(X509_get0_notAfter(cert)) < 0) {
        notes_warn(notes, file->at, "renew it", "the certificate '%s' has expired", file->path.ptr);
    } else if (X509_cmp_current_time(X509_get0_notBefore(cert)) > 0) {
        notes_warn(notes, file->at, "check the clock", "the certificate '%s' is not valid yet",
                   file->path.ptr);
    }
}

static enum err use_key(SSL_CTX *context, const X509 *cert, const struct tls_file *file,
                        struct notes *notes)
{
    BIO *bio = open_file(file, notes);
    EVP_PKEY *key;
    enum err err = ERR_CONFIG;

    if (!bio)
        return ERR_CONFIG;
    key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
    BIO_free(bio);
    if (!key) {
        note_file(notes, file, "it must be PEM, without a password", "has no private key");
    } else if (X509_check_private_key(cert, key) != 1) {
        notes_error(notes, file->at, "name the key that the certificate was made with",
                    "the key '%s' is not that of the certificate", file->path.ptr);
    } else if (!SSL_CTX_use_PrivateKey(context, key)) {
        note_file(notes, file, NULL, "cannot be used");
    } else {
        err = OK;
    }
    ERR_clear_error();
    EVP_PKEY_free(key);
    return err;
}

enum err tls_use_certificate(SSL_CTX *context, const struct tls_file *cert,
                             const struct tls_file *key, struct notes *notes)
{
    X509 *first = tls_read_certificate(cert, notes);
    enum err err = ERR_CONFIG;

    if (!first)
        return ERR_CONFIG;
    warn_of_time(first, cert, notes);
    if (!SSL_CTX_use_certificate_chain_file(context, cert->path.ptr)) {
        note_file(notes, cert, "a key below 2048 bits (RSA) or 224 bits (EC) is refused",
                  "cannot be used");
    } else {
        err = use_key(context, first, key, notes);
    }
    X509_free(first);
    return err;
}

enum err tls_use_authority(SSL_CTX *context, const struct tls_file *ca, struct notes *notes)
{
    BIO *bio = open_file(ca, notes);

    if (!bio)
        return ERR_CONFIG;
    BIO_free(bio);
    if (SSL_CTX_load_verify_file(context, ca->path.ptr))
        return OK;
    note_file(notes, ca, "it should hold certificates (PEM)", "cannot be used");
    return ERR_CONFIG;
}

static void warn_of_age(const X509_CRL *list, const struct tls_file *crl, struct notes *notes)
{
    const ASN1_TIME *next = X509_CRL_get0_nextUpdate(list);

    if (next && X509_cmp_current_time(next) < 0) {
        notes_warn(notes, crl->at, "fetch the new one: until then, no client is let in",
                   "a list in '%s' is too old", crl->path.ptr);
    }
}

enum err tls_use_revocations(SSL_CTX *context, const struct tls_file *crl, bool warns,
                             struct notes *notes)
{
    X509_STORE *store = SSL_CTX_get_cert_store(context);
    BIO *bio = open_file(crl, notes);
    X509_CRL *list;
    unsigned n = 0;
    enum err err = OK;

    if (!bio)
        return ERR_CONFIG;
    while (err == OK && (list = PEM_read_bio_X509_CRL(bio, NULL, no_password, NULL)) != NULL) {
        if (warns)
            warn_of_age(list, crl, notes);
        if (!X509_STORE_add_crl(store, list))
            err = ERR_CONFIG;
        X509_CRL_free(list);
        n++;
    }
    BIO_free(bio);
    /* Behind the last one, there is to be nothing that begins like another. */
    if (n == 0 || ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        err = ERR_CONFIG;
    if (err)
        note_file(notes, crl, "it should begin with -----BEGIN X509 CRL-----", "cannot be used");
    ERR_clear_error();
    X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    return err;
}

void tls_digest_file(EVP_MD_CTX *digest, const struct tls_file *file)
{
    char why[INPUT_WHY];
    struct text bytes;

    text_init(&bytes, FILE_MAX_BYTES);
    if (file->path.len > 0 && input_read(file->path.ptr, &bytes, NULL, why))
        text_reset(&bytes);
    EVP_DigestUpdate(digest, &bytes.len, sizeof(bytes.len));
    if (bytes.len > 0)
        EVP_DigestUpdate(digest, bytes.ptr, bytes.len);
    text_fini(&bytes);
}
