/*
 * tls_staple.c - OCSP responses that are given along with certificates.
 *
 * Somebody else asks the authority and writes its answer to a file (DER), which is read
 * again when it changes. What does not fit its certificate is refused, what is too old is not
 * given: a client that got it would turn away, without it most do not.
 */
#include "net/tls_state.h"

#include "base/alloc.h"
#include "config/input.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>

#include <string.h>
#include <time.h>

enum { RESPONSE_MAX_BYTES = 64 * 1024 };

/* Seconds since 1970; 0 when it is none. */
static int64_t seconds_of(const ASN1_TIME *when)
{
    struct tm tm;

    return when && ASN1_TIME_to_tm(when, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

int64_t tls_certificate_end(const X509 *cert)
{
    return seconds_of(X509_get0_notAfter(cert));
}

/* What it says of this certificate: when it ends in *until_s (0: never). */
static bool find_single(OCSP_BASICRESP *basic, X509 *cert, int64_t *until_s, bool *is_good)
{
    for (int i = 0; i < OCSP_resp_count(basic); i++) {
        OCSP_SINGLERESP *single = OCSP_resp_get0(basic, i);
        /* OpenSSL's type says less than it does: the id is only read. */
        const OCSP_CERTID *id = OCSP_SINGLERESP_get0_id(single);
        ASN1_GENERALIZEDTIME *until = NULL;
        ASN1_INTEGER *serial = NULL;
        OCSP_CERTID *copy = OCSP_CERTID_dup(id);
        bool is_it = copy && OCSP_id_get0_info(NULL, NULL, NULL, &serial, copy) &&
                     ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(cert)) == 0;

        OCSP_CERTID_free(copy);
        if (!is_it)
            continue;
        *is_good =
            OCSP_single_get0_status(single, NULL, NULL, NULL, &until) == V_OCSP_CERTSTATUS_GOOD;
        *until_s = seconds_of(until);
        return true;
    }
    return false;
}

static enum err refuse(struct notes *notes, const struct tls_file *file, const char *what)
{
    notes_error(notes, file->at, "write it with: openssl ocsp -respout FILE", "'%s' %s",
                file->path.ptr, what);
    ERR_clear_error();
    return ERR_CONFIG;
}

/* Is it a good answer about this certificate? */
static enum err judge(struct tls_staple *staple, X509 *cert, const struct tls_file *file,
                      struct notes *notes)
{
    const unsigned char *at = (const unsigned char *)staple->bytes;
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &at, (long)staple->len);
    OCSP_BASICRESP *basic = NULL;
    bool is_good = false;
    enum err err = OK;

    if (!response || OCSP_response_status(response) != OCSP_RESPONSE_STATUS_SUCCESSFUL)
        err = refuse(notes, file, "is no OCSP response of success (DER)");
    if (err == OK)
        basic = OCSP_response_get1_basic(response);
    if (err == OK && (!basic || !find_single(basic, cert, &staple->until_s, &is_good)))
        err = refuse(notes, file, "is about another certificate");
    if (err == OK && !is_good)
        err = refuse(notes, file, "says that the certificate is not good");
    if (err == OK && staple->until_s != 0 && staple->until_s <= (int64_t)time(NULL)) {
        notes_warn(notes, file->at, "ask the authority again",
                   "the OCSP response '%s' is too old and will not be given", file->path.ptr);
    }
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(response);
    return err;
}

enum err tls_staple_read(struct tls_staple *staple, X509 *cert, const struct tls_file *file,
                         struct notes *notes)
{
    char why[INPUT_WHY];
    struct text bytes;
    enum err err;

    text_init(&bytes, RESPONSE_MAX_BYTES);
    err = input_read(file->path.ptr, &bytes, NULL, why);
    if (err) {
        notes_error(notes, file->at,
                    "check the path, which is relative to this file, and its rights",
                    "'%s' cannot be read: %s", file->path.ptr, why);
    } else {
        staple->bytes = alloc_text(bytes.ptr, bytes.len);
        staple->len = bytes.len;
        err = judge(staple, cert, file, notes);
    }
    text_fini(&bytes);
    if (err) {
        tls_staple_fini(staple);
        return err;
    }
    X509_up_ref(cert);
    staple->cert = cert;
    return OK;
}

void tls_staple_fini(struct tls_staple *staple)
{
    X509_free(staple->cert);
    alloc_free(staple->bytes);
    *staple = (struct tls_staple){.cert = NULL};
}

static const struct tls_staple *find(const struct tls_server *server, const X509 *cert)
{
    for (size_t i = 0; i < server->n_staples; i++) {
        if (cert && X509_cmp(server->staple[i].cert, cert) == 0)
            return &server->staple[i];
    }
    return NULL;
}

int tls_on_status(SSL *ssl, void *server)
{
    const struct tls_staple *staple = find(server, SSL_get_certificate(ssl));
    unsigned char *copy;

    if (!staple || (staple->until_s != 0 && staple->until_s <= (int64_t)time(NULL)))
        return SSL_TLSEXT_ERR_NOACK;
    copy = OPENSSL_memdup(staple->bytes, staple->len);
    if (!copy)
        return SSL_TLSEXT_ERR_NOACK;
    SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)staple->len); /* takes it */
    return SSL_TLSEXT_ERR_OK;
}
