/*
 * tls_ticket.c - keys that session tickets are sealed with, shared by all workers.
 *
 * A server has keys of its own, from a file (tls_ticket_file.c), or those of the process. These are
 * four places in a ring. n_made is published last; its key and the two before are in use. A new key
 * goes into the fourth place, which was given up a whole rotation ago, so nobody reads what is
 * being written.
 */
#include "net/tls_state.h"

#include "base/alloc.h"
#include "base/check.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <string.h>

enum { PLACES = 4, OPENED = 3 };

struct tls_tickets {
    struct tls_ticket_key key[PLACES];
    unsigned n_made; /* atomic; the newest key is at (n_made - 1) % PLACES */
};

struct tls_tickets *tls_tickets_new(void)
{
    struct tls_tickets *tickets = alloc_new(sizeof(*tickets));

    /* Full of keys from the start: an empty place would be a key that everybody knows. */
    for (int i = 0; i < PLACES; i++) {
        tls_tickets_rotate(tickets);
    }
    return tickets;
}

void tls_tickets_free(struct tls_tickets **tickets)
{
    if (*tickets)
        OPENSSL_cleanse(*tickets, sizeof(**tickets));
    alloc_free(*tickets);
    *tickets = NULL;
}

void tls_tickets_rotate(struct tls_tickets *tickets)
{
    struct tls_ticket_key *key = &tickets->key[tickets->n_made % PLACES];

    key->key_bytes = TLS_TICKET_KEY_BYTES;
    CHECK(RAND_bytes(key->name, sizeof(key->name)) == 1);
    CHECK(RAND_priv_bytes(key->cipher, sizeof(key->cipher)) == 1);
    CHECK(RAND_priv_bytes(key->mac, sizeof(key->mac)) == 1);
    __atomic_store_n(&tickets->n_made, tickets->n_made + 1, __ATOMIC_RELEASE);
}

static const struct tls_ticket_key *key_at(const struct tls_tickets *tickets, unsigned age)
{
    unsigned n_made = __atomic_load_n(&tickets->n_made, __ATOMIC_ACQUIRE);

    return &tickets->key[(n_made - 1 - age) % PLACES];
}

static bool start_mac(EVP_MAC_CTX *mac, const struct tls_ticket_key *key)
{
    char digest[] = "sha256";
    unsigned char secret[TLS_TICKET_KEY_BYTES];
    OSSL_PARAM params[3];
    bool good;

    memcpy(secret, key->mac, sizeof(secret));
    params[0] = OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, secret, key->key_bytes);
    params[1] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0);
    params[2] = OSSL_PARAM_construct_end();
    good = EVP_MAC_CTX_set_params(mac, params) == 1;
    OPENSSL_cleanse(secret, sizeof(secret));
    return good;
}

static const EVP_CIPHER *cipher_of(const struct tls_ticket_key *key)
{
    return key->key_bytes == TLS_TICKET_KEY_BYTES ? EVP_aes_256_cbc() : EVP_aes_128_cbc();
}

static int seal(const struct tls_ticket_key *key, unsigned char *name, unsigned char *iv,
                EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
    memcpy(name, key->name, TLS_TICKET_NAME_BYTES);
    if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(cipher_of(key))) != 1 ||
        !EVP_EncryptInit_ex(cipher, cipher_of(key), NULL, key->cipher, iv) || !start_mac(mac, key))
        return -1;
    return 1;
}

/* The newest first; NULL: there are no older ones. */
static const struct tls_ticket_key *nth_key(const struct tls_server *server, unsigned n)
{
    if (server->ticket_file)
        return n < server->ticket_file->n_keys ? &server->ticket_file->key[n] : NULL;
    return server->tickets && n < OPENED ? key_at(server->tickets, n) : NULL;
}

int tls_on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                  EVP_MAC_CTX *mac, int sealing)
{
    const struct tls_server *server = tls_of_ssl(ssl)->server;
    const struct tls_ticket_key *key = nth_key(server, 0);

    if (sealing)
        return !key ? -1 : seal(key, name, iv, cipher, mac);
    for (unsigned n = 0; key; key = nth_key(server, ++n)) {
        if (CRYPTO_memcmp(name, key->name, TLS_TICKET_NAME_BYTES) != 0)
            continue;
        if (!EVP_DecryptInit_ex(cipher, cipher_of(key), NULL, key->cipher, iv) ||
            !start_mac(mac, key))
            return -1;
        /* 2: and give a new one; in TLS 1.3 clients use each but once (RFC 8446 C.4). */
        return n == 0 && SSL_version(ssl) < TLS1_3_VERSION ? 1 : 2;
    }
    return 0; /* unknown: a full handshake */
}
