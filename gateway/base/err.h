/*
 * err.h - the one result type of the gateway.
 *
 * OK is 0; everything else is negative, so `if (err)` reads as "it failed".
 * ERR_AGAIN is not a failure: nothing is wrong, the peer is just not ready.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

/* X(symbol, value, text for logs) */
#define ERR_TABLE(X)                                                                               \
    X(AGAIN, -1, "not ready yet")                                                                  \
    X(CLOSED, -2, "peer closed")                                                                   \
    X(TIMEOUT, -3, "deadline passed")                                                              \
    X(REFUSED, -4, "connection refused")                                                           \
    X(PROTOCOL, -5, "peer broke the protocol")                                                     \
    X(LIMIT, -6, "a configured limit was reached")                                                 \
    X(CONFIG, -7, "configuration is wrong")                                                        \
    X(SYSTEM, -8, "system call failed")                                                            \
    X(MEMORY, -9, "out of memory")                                                                 \
    X(RESET, -10, "connection reset")                                                              \
    X(UNREACHABLE, -11, "no route to host")                                                        \
    X(MISSING, -12, "not there")

#define ERR_MEMBER(name, value, text) ERR_##name = value,
enum err { OK = 0, ERR_TABLE(ERR_MEMBER) };
#undef ERR_MEMBER

/* Put on every function that returns enum err. */
#define CHECKED __attribute__((warn_unused_result))

/* "not ready yet" for ERR_AGAIN; a static string, never NULL. */
const char *err_text(enum err err);

/* The err that a failed system call's errno stands for; ERR_SYSTEM when none fits better. */
enum err err_from_errno(int number);

#endif /* BASE_ERR_H */
