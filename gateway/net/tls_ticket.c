/*
 * tls_ticket.c - keys that session tickets are sealed with, shared by all workers.
 *
 * Four places in a ring. n_made is published last; its key and the two before are in use. A new key
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

enum { PLACES = 4, OPENED = 3, NAME_BYTES = 16, KEY_BYTES = 32 };

struct ticket_key {
    unsigned char name[NAME_BYTES], cipher[KEY_BYTES], mac[KEY_BYTES];
};

struct tls_tickets {
    struct ticket_key key[PLACES];
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
    struct ticket_key *key = &tickets->key[tickets->n_made % PLACES];

    CHECK(RAND_bytes(key->name, sizeof(key->name)) == 1);
    CHECK(RAND_priv_bytes(key->cipher, sizeof(key->cipher)) == 1);
    CHECK(RAND_priv_bytes(key->mac, sizeof(key->mac)) == 1);
    __atomic_store_n(&tickets->n_made, tickets->n_made + 1, __ATOMIC_RELEASE);
}

static const struct ticket_key *key_at(const struct tls_tickets *tickets, unsigned age)
{
    unsigned n_made = __atomic_load_n(&tickets->n_made, __ATOMIC_ACQUIRE);

    return &tickets->key[(n_made - 1 - age) % PLACES];
}

static bool start_mac(EVP_MAC_CTX *mac, const struct ticket_key *key)
{
    char digest[] = "sha256";
    unsigned char secret[KEY_BYTES];
    OSSL_PARAM params[3];
    bool good;

    memcpy(secret, key->mac, sizeof(secret));
    params[0] = OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, secret, sizeof(secret));
    params[1] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0);
    params[2] = OSSL_PARAM_construct_end();
    good = EVP_MAC_CTX_set_params(mac, params) == 1;
    OPENSSL_cleanse(secret, sizeof(secret));
    return good;
}

static int seal(const struct tls_tickets *tickets, unsigned char *name, unsigned char *iv,
                EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
    const struct ticket_key *key = key_at(tickets, 0);

    memcpy(name, key->name, NAME_BYTES);
    if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1 ||
        !EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv) ||
        !start_mac(mac, key))
        return -1;
    return 1;
}

int tls_on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                  EVP_MAC_CTX *mac, int sealing)
{
    const struct tls_tickets *tickets = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

    if (sealing)
        return seal(tickets, name, iv, cipher, mac);
    for (unsigned age = 0; age < OPENED; age++) {
        const struct ticket_key *key = key_at(tickets, age);

        if (CRYPTO_memcmp(name, key->name, NAME_BYTES) != 0)
            continue;
        if (!EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv) ||
            !start_mac(mac, key))
            return -1;
        return age == 0 ? 1 : 2; /* 2: and give a new one */
    }
    return 0; /* unknown: a full handshake */
}
