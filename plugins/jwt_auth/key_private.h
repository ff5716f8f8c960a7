/*
 * key_private.h - what a key is made of; for key.c and signature.c only.
 */
#ifndef JWT_AUTH_KEY_PRIVATE_H
#define JWT_AUTH_KEY_PRIVATE_H

#include "key.h"

#include <openssl/evp.h>

struct key {
    EVP_PKEY *pkey;        /* owned; NULL: a secret */
    unsigned char *secret; /* owned; NULL: a public key */
    size_t secret_len;
    uint32_t algs;
    size_t kid_len;
    char kid[KEY_KID_MAX];
};

#endif /* JWT_AUTH_KEY_PRIVATE_H */
