/*
 * probe_result.h - how an active check ended.
 */
#ifndef UPSTREAM_PROBE_RESULT_H
#define UPSTREAM_PROBE_RESULT_H

/* X(symbol, metric label) */
#define PROBE_RESULTS(X)                                                                           \
    X(PASSED, "passed")                                                                            \
    X(CONNECT, "connect_failed")                                                                   \
    X(TIMEOUT, "timeout")                                                                          \
    X(RESET, "reset")                                                                              \
    X(PROTOCOL, "protocol")                                                                        \
    X(STATUS, "status")                                                                            \
    X(BODY, "body")                                                                                \
    X(NOT_SERVING, "not_serving")

#define PROBE_RESULT_MEMBER(symbol, text) PROBE_##symbol,
enum probe_result { PROBE_RESULTS(PROBE_RESULT_MEMBER) PROBE_RESULT_COUNT };
#undef PROBE_RESULT_MEMBER

/* The metric label; a static string. */
const char *probe_result_text(enum probe_result result);

#endif /* UPSTREAM_PROBE_RESULT_H */
