/*
 * access_format.h - a compiled format: what access_log.c makes and access_format.c follows.
 * Private to the access log.
 */
#ifndef OBSERVE_ACCESS_FORMAT_H
#define OBSERVE_ACCESS_FORMAT_H

#include "observe/access_log.h"

/* What a step says of a record. */
enum access_kind {
    ACCESS_TIME,      /* uint64_t, microseconds since 1970 */
    ACCESS_SPAN,      /* struct sluice_span, missing when empty */
    ACCESS_CHARS,     /* const char *, missing when NULL */
    ACCESS_QUERY,     /* query, missing unless has_query */
    ACCESS_INT,       /* int64_t, missing when ACCESS_NONE */
    ACCESS_UINT,      /* uint64_t */
    ACCESS_UINT32,    /* uint32_t */
    ACCESS_MS,        /* int64_t, microseconds, missing when ACCESS_NONE */
    ACCESS_BOOL,      /* bool */
    ACCESS_FIELD,     /* a field of the request or the response */
    ACCESS_FACT,      /* of the client's connection */
    ACCESS_ATTRIBUTE, /* what a plugin has found */
};

/* A value of a record that has a name of its own. */
struct access_known {
    enum access_kind kind;
    size_t offset; /* in struct access_record; ACCESS_FACT: enum access_fact */
};

enum { ACCESS_KNOWN_MAX = 128 };

/* By number, from 0: the same as long as the process lives. NULL behind the last. */
const struct access_known *access_known(unsigned number);

struct access_step {
    struct sluice_span before; /* constant bytes before the value */
    enum access_kind kind;
    size_t offset;           /* as in struct access_known */
    unsigned number;         /* of its struct access_known; not of ACCESS_FIELD, ACCESS_ATTRIBUTE */
    bool of_response;        /* ACCESS_FIELD */
    struct sluice_span name; /* ACCESS_FIELD: lower case; ACCESS_ATTRIBUTE */
};

struct access_format {
    enum access_form form;
    const struct access_step *steps;
    size_t n_steps;
    struct sluice_span last; /* constant bytes after the last value, '\n' included */
};

enum {
    ACCESS_STEPS_MAX = 64,
    ACCESS_NAME_MAX = 64,          /* of req.NAME */
    ACCESS_PATTERN_MAX = 4096,     /* bytes */
    ACCESS_VALUE_MAX = 4096,       /* bytes of one value; more is cut and ends in "..." */
    ACCESS_VALUES_MAX = 24 * 1024, /* bytes of all values of a line, as written */
};

#endif /* OBSERVE_ACCESS_FORMAT_H */
