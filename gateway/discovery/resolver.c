#include "discovery/resolver.h"

#include "base/alloc.h"
#include "base/list.h"
#include "core/alarm.h"
#include "core/loop.h"
#include "core/watch.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

enum {
    TRIES = 2,
    UDP_BYTES = 1232, /* what passes everywhere in one piece; longer answers come by TCP */
    HEADER_BYTES = 12,
    RECORD_BYTES = 10, /* of a record between its name and its content */
    SRV_BYTES = 6,     /* of an SRV record before its target */
};

struct resolver {
    struct loop *loop; /* borrowed */
    ares_channel channel;
    struct list sockets; /* of struct socket */
    struct alarm alarm;  /* c-ares' next time-out */
    bool ending;
};

/* One of c-ares' sockets. */
struct socket {
    struct list link;
    struct watch *watch;
    int fd;
};

struct question {
    struct resolver *resolver; /* borrowed */
    resolver_done_fn *done;    /* NULL: not wanted any more */
    void *arg;
    bool asking; /* resolver_ask() has not returned yet */
    bool over;
};

/* -- the loop ----------------------------------------------------------- */

static void arm(struct resolver *resolver)
{
    struct timeval longest = {.tv_sec = 60}, wait;

    if (resolver->ending)
        return;
    if (list_is_empty(&resolver->sockets)) {
        alarm_disarm(&resolver->alarm);
        return;
    }
    ares_timeout(resolver->channel, &longest, &wait);
    alarm_arm(resolver->loop, &resolver->alarm,
              (uint64_t)wait.tv_sec * 1000 + (uint64_t)wait.tv_usec / 1000 + 1);
}

static void on_alarm(struct alarm *alarm)
{
    struct resolver *resolver = list_entry(alarm, struct resolver, alarm);

    ares_process_fd(resolver->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    arm(resolver);
}

static void on_ready(void *resolver_, int fd, unsigned ready)
{
    struct resolver *resolver = resolver_;

    ares_process_fd(resolver->channel, ready & WATCH_READ ? fd : ARES_SOCKET_BAD,
                    ready & WATCH_WRITE ? fd : ARES_SOCKET_BAD);
    arm(resolver);
}

static struct socket *socket_find(const struct resolver *resolver, int fd)
{
    list_each (node, &resolver->sockets) {
        struct socket *socket = list_entry(node, struct socket, link);

        if (socket->fd == fd)
            return socket;
    }
    return NULL;
}

static void socket_free(struct socket *socket)
{
    list_remove(&socket->link);
    watch_free(&socket->watch);
    alloc_free(socket);
}

/* c-ares says what it waits for; nothing: it is about to close the socket. */
static void on_socket(void *resolver_, ares_socket_t fd, int readable, int writable)
{
    struct resolver *resolver = resolver_;
    struct socket *socket = socket_find(resolver, fd);

    if (!readable && !writable) {
        if (socket)
            socket_free(socket);
        return;
    }
    if (!socket) {
        socket = alloc_new(sizeof(*socket));
        socket->fd = fd;
        socket->watch = watch_new(resolver->loop, fd, on_ready, resolver);
        list_append(&resolver->sockets, &socket->link);
    }
    watch_set(socket->watch, (readable ? WATCH_READ : 0u) | (writable ? WATCH_WRITE : 0u));
}

/* -- life --------------------------------------------------------------- */

struct resolver *resolver_new(struct loop *loop, const char *servers, unsigned timeout_ms)
{
    struct resolver *resolver = alloc_new(sizeof(*resolver));
    struct ares_options options = {
        .timeout = (int)timeout_ms,
        .tries = TRIES,
        .ednspsz = UDP_BYTES,
        .flags = ARES_FLAG_EDNS,
        .sock_state_cb = on_socket,
        .sock_state_cb_data = resolver,
    };
    const int set = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_EDNSPSZ | ARES_OPT_FLAGS |
                    ARES_OPT_SOCK_STATE_CB;

    resolver->loop = loop;
    list_init(&resolver->sockets);
    alarm_init(&resolver->alarm, on_alarm);
    if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
        goto fail;
    if (ares_init_options(&resolver->channel, &options, set) != ARES_SUCCESS)
        goto fail_library;
    if (servers[0] != '\0' &&
        ares_set_servers_ports_csv(resolver->channel, servers) != ARES_SUCCESS)
        goto fail_channel;
    return resolver;

fail_channel:
    ares_destroy(resolver->channel);
fail_library:
    ares_library_cleanup();
fail:
    alloc_free(resolver);
    return NULL;
}

void resolver_free(struct resolver **resolver)
{
    struct resolver *old = *resolver;

    if (!old)
        return;
    *resolver = NULL;
    old->ending = true;
    alarm_disarm(&old->alarm);
    ares_destroy(old->channel); /* ends every question */
    list_each_safe (node, after, &old->sockets) {
        socket_free(list_entry(node, struct socket, link));
    }
    ares_library_cleanup();
    alloc_free(old);
}

/* -- answers ------------------------------------------------------------ */

static enum err err_of(int status)
{
    switch (status) {
    case ARES_SUCCESS:
        return OK;
    case ARES_ENODATA:
    case ARES_ENOTFOUND:
        return ERR_MISSING;
    case ARES_ETIMEOUT:
        return ERR_TIMEOUT;
    case ARES_ECONNREFUSED:
        return ERR_REFUSED;
    default:
        return ERR_PROTOCOL;
    }
}

/* Tell the answer, unless nobody wants it or the resolver itself is ending. */
static void tell(struct question *question, const struct resolver_answer *answer)
{
    if (question->done && !question->resolver->ending)
        question->done(question->arg, answer);
    question->over = true;
    if (!question->asking)
        alloc_free(question);
}

static void tell_failure(struct question *question, enum err err, const char *why)
{
    const struct resolver_answer answer = {.err = err, .why = why};

    tell(question, &answer);
}

static void on_addresses(void *question_, int status, int timeouts, struct ares_addrinfo *result)
{
    struct question *question = question_;
    struct resolver_answer answer = {.why = "", .ttl_s = UINT32_MAX};
    struct record *record;

    (void)timeouts;
    if (status != ARES_SUCCESS) {
        ares_freeaddrinfo(result);
        tell_failure(question, err_of(status), ares_strerror(status));
        return;
    }
    record = alloc_new(RESOLVER_RECORDS * sizeof(*record));
    for (const struct ares_addrinfo_node *node = result->nodes; node; node = node->ai_next) {
        if (answer.n == RESOLVER_RECORDS)
            break;
        if (node->ai_ttl >= 0 && (uint32_t)node->ai_ttl < answer.ttl_s)
            answer.ttl_s = (uint32_t)node->ai_ttl;
        addr_from_sockaddr(node->ai_addr, &record[answer.n++].addr);
    }
    ares_freeaddrinfo(result);
    answer.record = record;
    answer.err = answer.n > 0 ? OK : ERR_MISSING;
    tell(question, &answer);
    alloc_free(record);
}

static void on_message(void *question_, int status, int timeouts, unsigned char *bytes, int len)
{
    struct question *question = question_;
    struct resolver_answer answer = {.why = ""};
    struct record *record;

    (void)timeouts;
    if (status != ARES_SUCCESS) {
        tell_failure(question, err_of(status), ares_strerror(status));
        return;
    }
    record = alloc_new(RESOLVER_RECORDS * sizeof(*record));
    answer.err = resolver_read_srv(span_make((const char *)bytes, (size_t)len), record,
                                   RESOLVER_RECORDS, &answer.n, &answer.ttl_s);
    if (answer.err) {
        answer.why = "the answer cannot be read";
    } else if (answer.n == 0) {
        answer.err = ERR_MISSING;
        answer.why = "there is no such service";
    }
    answer.record = record;
    tell(question, &answer);
    alloc_free(record);
}

/* -- questions ---------------------------------------------------------- */

/* "localhost" and what ends in ".localhost" is this machine, whatever DNS says (RFC 6761, 6.3). */
static bool is_localhost(struct sluice_span name)
{
    static const size_t len = sizeof("localhost") - 1;

    if (name.len > 0 && name.ptr[name.len - 1] == '.')
        name.len--;
    if (name.len > len && name.ptr[name.len - len - 1] != '.')
        return false;
    return name.len >= len &&
           span_equal_nocase(span_make(name.ptr + name.len - len, len), SPAN("localhost"));
}

static void tell_localhost(enum resolver_type type, resolver_done_fn *done, void *arg)
{
    const struct sockaddr_in v4 = {.sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct record record = {.port = 0};
    const struct resolver_answer answer = {
        .err = OK, .why = "", .record = &record, .n = 1, .ttl_s = UINT32_MAX};

    addr_from_sockaddr(type == RESOLVER_AAAA ? (const struct sockaddr *)(const void *)&v6
                                             : (const struct sockaddr *)(const void *)&v4,
                       &record.addr);
    done(arg, &answer);
}

struct question *resolver_ask(struct resolver *resolver, enum resolver_type type, const char *name,
                              resolver_done_fn *done, void *arg)
{
    const struct ares_addrinfo_hints hints = {
        .ai_flags = ARES_AI_NOSORT,
        .ai_family = type == RESOLVER_AAAA ? AF_INET6 : AF_INET,
        .ai_socktype = SOCK_STREAM,
    };
    struct question *question;

    if (type != RESOLVER_SRV && is_localhost(span_of(name))) {
        tell_localhost(type, done, arg);
        return NULL;
    }
    question = alloc_new(sizeof(*question));
    question->resolver = resolver;
    question->done = done;
    question->arg = arg;
    question->asking = true;
    if (type == RESOLVER_SRV) {
        ares_query(resolver->channel, name, ns_c_in, ns_t_srv, on_message, question);
    } else {
        ares_getaddrinfo(resolver->channel, name, NULL, &hints, on_addresses, question);
    }
    question->asking = false;
    if (question->over) {
        alloc_free(question);
        question = NULL;
    }
    arm(resolver);
    return question;
}

void resolver_forget(struct question **question)
{
    if (*question)
        (*question)->done = NULL;
    *question = NULL;
}

/* -- SRV ---------------------------------------------------------------- */

/* A message being read. at <= end always. */
struct reader {
    const unsigned char *first, *at, *end;
};

static bool skip(struct reader *reader, size_t n)
{
    if ((size_t)(reader->end - reader->at) < n)
        return false;
    reader->at += n;
    return true;
}

static uint16_t number16(const unsigned char *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t number32(const unsigned char *at)
{
    return (uint32_t)number16(at) << 16 | number16(at + 2);
}

/* A name, pointers followed; out may be NULL. */
static bool read_name(struct reader *reader, char *out)
{
    char *name;
    long used;

    if (reader->at == reader->end ||
        ares_expand_name(reader->at, reader->first, (int)(reader->end - reader->first), &name,
                         &used) != ARES_SUCCESS)
        return false;
    if (out) {
        size_t len = strnlen(name, RESOLVER_NAME - 1);

        memcpy(out, name, len);
        out[len] = '\0';
    }
    ares_free_string(name);
    return used > 0 && skip(reader, (size_t)used);
}

/* One record; *kept when it is an SRV record of use. */
static bool read_record(struct reader *reader, struct record *record, uint32_t *ttl_s, bool *kept)
{
    const unsigned char *fixed, *content;
    struct reader target;
    size_t len;

    *kept = false;
    if (!read_name(reader, NULL))
        return false;
    fixed = reader->at;
    if (!skip(reader, RECORD_BYTES))
        return false;
    len = number16(fixed + 8);
    content = reader->at;
    if (!skip(reader, len))
        return false;
    if (number16(fixed) != ns_t_srv || number16(fixed + 2) != ns_c_in)
        return true;
    target = (struct reader){reader->first, content + SRV_BYTES, reader->end};
    if (len <= SRV_BYTES || !read_name(&target, record->target))
        return false;
    record->priority = number16(content);
    record->weight = number16(content + 2);
    record->port = number16(content + 4);
    if (number32(fixed + 4) < *ttl_s)
        *ttl_s = number32(fixed + 4);
    *kept = record->target[0] != '\0' && record->port != 0;
    return true;
}

enum err resolver_read_srv(struct sluice_span message, struct record *record, size_t room,
                           size_t *n, uint32_t *ttl_s)
{
    const unsigned char *bytes = (const unsigned char *)message.ptr;
    struct reader reader = {bytes, bytes, bytes + message.len};
    unsigned n_questions, n_answers;

    *n = 0;
    *ttl_s = UINT32_MAX;
    if (!skip(&reader, HEADER_BYTES))
        return ERR_PROTOCOL;
    n_questions = number16(bytes + 4);
    n_answers = number16(bytes + 6);
    for (unsigned i = 0; i < n_questions; i++) {
        if (!read_name(&reader, NULL) || !skip(&reader, 4))
            return ERR_PROTOCOL;
    }
    for (unsigned i = 0; i < n_answers && *n < room; i++) {
        bool kept;

        if (!read_record(&reader, &record[*n], ttl_s, &kept))
            return ERR_PROTOCOL;
        *n += kept;
    }
    return OK;
}

const char *resolver_library(void)
{
    return ares_version(NULL);
}
