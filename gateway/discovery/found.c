#include "discovery/found.h"

#include "base/alloc.h"
#include "base/now.h"
#include "base/text.h"
#include "net/addr.h"

#include <stdarg.h>
#include <string.h>

enum { FIRST_ROOM = 16, VERSION_MAX = 256, HOST_MAX = 253, PORT_MAX = 65535 };

static const uint64_t hash_seed = UINT64_C(0x646973636f766572);

/* -- life --------------------------------------------------------------- */

struct found *found_new(void)
{
    struct found *found = alloc_new(sizeof(*found));

    found->refs = 1;
    found->version = SPAN("");
    found->as_of_wall_us = now_wall_us();
    arena_init(&found->arena, NULL, 0);
    return found;
}

struct found *found_ref(struct found *found)
{
    __atomic_add_fetch(&found->refs, 1, __ATOMIC_RELAXED);
    return found;
}

void found_unref(struct found **found)
{
    struct found *old = *found;

    *found = NULL;
    if (!old || __atomic_sub_fetch(&old->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    found_unref(&old->base);
    alloc_free(old->endpoint);
    arena_fini(&old->arena);
    alloc_free(old);
}

/* -- filling ------------------------------------------------------------ */

struct found_endpoint *found_add(struct found *found)
{
    struct found_endpoint *endpoint;

    if (found->n == FOUND_MAX)
        return NULL;
    if (found->n == found->room) {
        found->room = found->room ? found->room * 2 : FIRST_ROOM;
        found->endpoint =
            alloc_resize(found->endpoint, found->room * sizeof(struct found_endpoint));
    }
    endpoint = &found->endpoint[found->n++];
    memset(endpoint, 0, sizeof(*endpoint));
    endpoint->address = endpoint->host = endpoint->id = endpoint->zone = SPAN("");
    endpoint->weight = 1;
    return endpoint;
}

static struct sluice_span copy(struct found *found, struct sluice_span text)
{
    return text.len ? arena_copy(&found->arena, text) : SPAN("");
}

struct found_endpoint *found_add_copy(struct found *found, const struct found_endpoint *from)
{
    struct found_endpoint *to = found_add(found);

    if (!to)
        return NULL;
    *to = *from;
    to->address = copy(found, from->address);
    to->host = copy(found, from->host);
    to->id = copy(found, from->id);
    to->zone = copy(found, from->zone);
    to->tags = arena_new(&found->arena, (from->n_tags + 1) * sizeof(*to->tags));
    for (size_t i = 0; i < from->n_tags; i++) {
        to->tags[i] = copy(found, from->tags[i]);
    }
    to->meta = arena_new(&found->arena, (from->n_meta + 1) * sizeof(*to->meta));
    for (size_t i = 0; i < from->n_meta; i++) {
        to->meta[i].name = copy(found, from->meta[i].name);
        to->meta[i].value = copy(found, from->meta[i].value);
    }
    return to;
}

void found_say_version(struct found *found, const char *format, ...)
{
    char bytes[VERSION_MAX];
    struct text text;
    va_list args;

    text_init_fixed(&text, bytes, sizeof(bytes));
    va_start(args, format);
    text_vformat(&text, format, args);
    va_end(args);
    found->version = arena_copy(&found->arena, text_span(&text));
}

/* -- comparing ---------------------------------------------------------- */

/* Each text counts with its place, so that moving one to another field is a change. */
static uint64_t mix(uint64_t hash, struct sluice_span text)
{
    return span_hash(text, hash + UINT64_C(0x9e3779b97f4a7c15));
}

static uint64_t mix_number(uint64_t hash, uint64_t number)
{
    return mix(hash, span_make((const char *)&number, sizeof(number)));
}

uint64_t found_hash_endpoint(const struct found_endpoint *endpoint)
{
    const uint64_t numbers[] = {endpoint->weight, endpoint->priority, endpoint->state,
                                endpoint->n_tags, endpoint->n_meta};
    uint64_t hash = mix(hash_seed, endpoint->address);

    hash = mix(hash, endpoint->host);
    hash = mix(hash, endpoint->id);
    hash = mix(hash, endpoint->zone);
    hash = mix(hash, span_make((const char *)numbers, sizeof(numbers)));
    for (size_t i = 0; i < endpoint->n_tags; i++) {
        hash = mix(hash, endpoint->tags[i]);
    }
    for (size_t i = 0; i < endpoint->n_meta; i++) {
        hash = mix(hash, endpoint->meta[i].name);
        hash = mix(hash, endpoint->meta[i].value);
    }
    return hash;
}

uint64_t found_hash(const struct found *found)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < found->n; i++) {
        sum += found_hash_endpoint(&found->endpoint[i]);
    }
    return mix_number(sum, found->n);
}

/* -- addresses ---------------------------------------------------------- */

/* A literal's bytes: addr_parse() copies the path of a socket, so it wants an arena. */
static bool parse_literal(struct sluice_span text, struct addr *addr)
{
    struct arena arena;
    enum err err;

    arena_init(&arena, NULL, 0);
    err = addr_parse(text, &arena, addr);
    arena_fini(&arena);
    return err == OK;
}

bool found_is_literal(struct sluice_span address)
{
    struct addr addr;

    return parse_literal(address, &addr);
}

static bool is_host_octet(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
}

/* As DNS and /etc/hosts have them. */
static bool is_host(struct sluice_span host)
{
    if (host.len == 0 || host.len > HOST_MAX || host.ptr[0] == '.' || host.ptr[0] == '-')
        return false;
    for (size_t i = 0; i < host.len; i++) {
        if (!is_host_octet(host.ptr[i]))
            return false;
    }
    return true;
}

/* "1.2.3.4.5" and "256.1.1.1" are mistyped addresses: the last label of a name is no number. */
static bool is_number_like(struct sluice_span host)
{
    size_t at = host.len;

    while (at > 0 && host.ptr[at - 1] >= '0' && host.ptr[at - 1] <= '9') {
        at--;
    }
    return at < host.len && (at == 0 || host.ptr[at - 1] == '.');
}

bool found_split_name(struct sluice_span address, struct sluice_span *host, uint16_t *port)
{
    size_t colon = span_find(address, ':');
    uint64_t number;

    if (colon == address.len ||
        span_number(span_make(address.ptr + colon + 1, address.len - colon - 1), PORT_MAX,
                    &number) ||
        number == 0)
        return false;
    *host = span_make(address.ptr, colon);
    *port = (uint16_t)number;
    return is_host(*host) && !is_number_like(*host);
}

const char *found_check_address(struct sluice_span text)
{
    struct sluice_span host;
    struct addr addr;
    uint16_t port;

    if (parse_literal(text, &addr))
        return addr_unix_path(&addr) || addr.port != 0 ? NULL : "port 0 cannot be connected to";
    return found_split_name(text, &host, &port) ? NULL : "that is no address";
}

const char *found_state_name(enum found_state state)
{
    static const char *const names[] = {
        [FOUND_SERVING] = "serving",
        [FOUND_WARNING] = "warning",
        [FOUND_DRAINING] = "draining",
        [FOUND_FAILING] = "failing",
    };

    return names[state];
}
