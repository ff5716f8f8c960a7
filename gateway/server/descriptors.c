#include "server/descriptors.h"

#include "base/log.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

enum {
    SPARE_DESCRIPTORS = 64, /* for listeners, logs, admin and the like */
    MIN_DESCRIPTORS = 128,
};

uint64_t descriptors_connections(const struct limits_conf *conf)
{
    struct rlimit limit;

    if (conf->connections > 0)
        return conf->connections;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
        return UINT32_MAX;
    if (limit.rlim_cur < MIN_DESCRIPTORS)
        return limit.rlim_cur / 2;
    /* Most connections idle most of the time; the others need a second descriptor upstream. */
    return (limit.rlim_cur - SPARE_DESCRIPTORS) / 5 * 4;
}

/* A connection costs us a descriptor and little else, so take all that we may have. */
void descriptors_raise(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        log_warn("the limit of open files cannot be raised", F_STR("cause", strerror(errno)));
}
