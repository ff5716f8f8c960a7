#include "http/websocket.h"

#include "unit.h"

#include <string.h>

START_TEST(websocket_accept_is_that_of_the_rfc)
{
    char accept[WEBSOCKET_ACCEPT];

    websocket_accept(SPAN("dGhlIHNhbXBsZSBub25jZQ=="), accept); /* RFC 6455 1.3 */
    ck_assert(memcmp(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", sizeof(accept)) == 0);
}
END_TEST

START_TEST(websocket_accept_takes_keys_of_any_length)
{
    /* By another implementation. Around what fills one block and two, with 36 bytes of our own. */
    static const struct {
        size_t len;
        const char *accept;
    } known[] = {{19, "yzaGyu0mcUukN7CdsSwa30tnCpc="},
                 {20, "dUYRM7bOMwDmbriNIPr11x+r3E0="},
                 {27, "NCEiOv6lMC9mC8oEZnneqRdJ4DU="},
                 {28, "xMWmCBqYJY4uXzUs8PNU1t+Pzro="},
                 {60, "tcgN0NU24HLnPXrs4KLF3gkeQB0="}};
    char key[60], accept[WEBSOCKET_ACCEPT];

    memset(key, 'a', sizeof(key));
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        websocket_accept(span_make(key, known[i].len), accept);
        ck_assert(memcmp(accept, known[i].accept, sizeof(accept)) == 0);
    }
}
END_TEST

START_TEST(websocket_key_is_16_bytes_in_base64)
{
    const uint64_t random[2] = {0, 0};
    char key[WEBSOCKET_KEY];

    websocket_key(random, key);
    ck_assert(memcmp(key, "AAAAAAAAAAAAAAAAAAAAAA==", sizeof(key)) == 0);
}
END_TEST

UNIT_MAIN("http/websocket", websocket_accept_is_that_of_the_rfc,
          websocket_accept_takes_keys_of_any_length, websocket_key_is_16_bytes_in_base64)
