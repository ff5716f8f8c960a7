#include "base/err.h"

#include <errno.h>

const char *err_text(enum err err)
{
#define ERR_CASE(name, value, text)                                                                \
    case ERR_##name:                                                                               \
        return text;
    switch (err) {
    case OK:
        return "ok";
        ERR_TABLE(ERR_CASE)
    }
#undef ERR_CASE
    return "unknown error";
}

enum err err_from_errno(int number)
{
    switch (number) {
    case EAGAIN:
    case EINPROGRESS:
    case EALREADY:
    case EINTR:
        return ERR_AGAIN;
    case EPIPE:
    case ESHUTDOWN:
    case ENOTCONN:
        return ERR_CLOSED;
    case ETIMEDOUT:
        return ERR_TIMEOUT;
    case ECONNREFUSED:
        return ERR_REFUSED;
    case EPROTO:
        return ERR_PROTOCOL;
    case EMFILE:
    case ENFILE:
    case EDQUOT:
        return ERR_LIMIT;
    case ENOMEM:
    case ENOBUFS:
        return ERR_MEMORY;
    case ECONNRESET:
    case ECONNABORTED:
        return ERR_RESET;
    case ENETUNREACH:
    case ENETDOWN:
    case EHOSTUNREACH:
    case EHOSTDOWN:
        return ERR_UNREACHABLE;
    case ENOENT:
    case ENOTDIR:
        return ERR_MISSING;
    default: /* errno is no enum: the rest has no better name */
        return ERR_SYSTEM;
    }
}
