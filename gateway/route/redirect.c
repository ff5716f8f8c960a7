#include "route/redirect.h"

#include "http/target.h"

#include <stdio.h>
#include <string.h>

#define LOCATION_BYTES 393216 /* twice the largest head, each byte escaped */

void redirect_make(const struct draft *draft)
{
    const struct draft_redirect *written = &draft->written->redirect;
    const struct tree *node = draft_find(draft, "redirect");
    struct route_redirect *redirect;

    if (!node)
        return;
    redirect = arena_new(draft->bind->arena, sizeof(*redirect));
    redirect->status = (unsigned)written->status;
    redirect->scheme = (enum redirect_scheme)written->scheme;
    redirect->port = (unsigned)written->port;
    if (written->host.text.ptr)
        redirect->host = draft_host(draft, &written->host, "redirect.host", false);
    if (written->path.text.ptr && written->path_prefix.text.ptr) {
        draft_error(draft, node->at, "keep one of path and path_prefix",
                    "redirect changes the path in two ways");
    }
    rewrite_make_path(draft, "redirect", &written->path, &written->path_prefix, &redirect->path);
    if (!written->scheme && !written->port && !written->host.text.ptr && !written->path.text.ptr &&
        !written->path_prefix.text.ptr) {
        draft_error(draft, node->at, "write one of scheme, host, port, path, path_prefix",
                    "redirect leads back to the same place");
    }
    draft->route->redirect = redirect;
}

const struct route *route_to_https(struct arena *arena, unsigned port)
{
    struct route *route = arena_new(arena, sizeof(*route));

    route->action = ROUTE_REDIRECT;
    route->redirect = arena_new(arena, sizeof(*route->redirect));
    route->redirect->status = 308;
    route->redirect->scheme = REDIRECT_HTTPS;
    route->redirect->port = port;
    return route;
}

unsigned route_redirect_status(const struct route *route)
{
    return route->redirect ? route->redirect->status : 0;
}

/* -- Location ----------------------------------------------------------- */

/*
 * Add bytes, escaping what may not stand in a URI. They were checked before; a redirect is no
 * place for trust.
 */
static size_t add_escaped(char *out, struct sluice_span text)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t len = 0;

    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];

        if (c > 0x20 && c < 0x7f && !strchr("\"<>\\^`{|}", c)) {
            out[len++] = (char)c;
            continue;
        }
        out[len++] = '%';
        out[len++] = digits[c >> 4];
        out[len++] = digits[c & 15];
    }
    return len;
}

static size_t add(char *out, struct sluice_span text)
{
    if (text.len)
        memcpy(out, text.ptr, text.len);
    return text.len;
}

/* Host of the request as it was written, brackets included; empty when there is none. */
static struct sluice_span request_host(const struct request *request, unsigned *port)
{
    struct sluice_span text = request->authority;
    struct sluice_span host;
    uint16_t number = 0;

    *port = 0;
    if (target_authority(text, &host, &number) || !host.len)
        return SPAN("");
    *port = number;
    if (text.ptr[0] == '[')
        return span_make(text.ptr, span_find(text, ']') + 1);
    return host;
}

struct location {
    struct sluice_span scheme, host, path;
    unsigned port; /* 0: the scheme's own */
};

static bool is_default_port(struct sluice_span scheme, unsigned port)
{
    return port == 0 || (port == 80 && span_equal(scheme, SPAN("http"))) ||
           (port == 443 && span_equal(scheme, SPAN("https")));
}

static enum err print(const struct location *to, const struct request *request, struct arena *arena,
                      struct sluice_span *location)
{
    struct sluice_span path = to->path;
    size_t room = to->scheme.len + to->host.len + 16 + 3 * (path.len + request->query.len);
    size_t len = 0;
    char *out;

    if (room > LOCATION_BYTES)
        return ERR_LIMIT;
    out = arena_try_raw(arena, room);
    if (!out)
        return ERR_MEMORY;
    if (to->host.len) {
        len += add(out + len, to->scheme);
        len += add(out + len, SPAN("://"));
        len += add(out + len, to->host);
        if (!is_default_port(to->scheme, to->port))
            len += (size_t)snprintf(out + len, 7, ":%u", to->port);
    } else {
        /* "//other.example" would name another host */
        while (path.len > 1 && path.ptr[1] == '/') {
            path.ptr++;
            path.len--;
        }
    }
    len += add_escaped(out + len, path);
    if (request->has_query) {
        out[len++] = '?';
        len += add_escaped(out + len, request->query);
    }
    *location = span_make(out, len);
    return OK;
}

enum err route_location(const struct route *route, const struct request *request,
                        struct sluice_span scheme, struct arena *arena,
                        struct sluice_span *location)
{
    const struct route_redirect *redirect = route->redirect;
    struct location to = {scheme, SPAN(""), request->path, 0};
    enum err err;

    to.host = request_host(request, &to.port);
    if (redirect->host.len) {
        to.host = redirect->host;
        to.port = 0;
    }
    if (redirect->scheme != REDIRECT_SAME) {
        to.scheme = redirect->scheme == REDIRECT_HTTP ? SPAN("http") : SPAN("https");
        to.port = 0;
    }
    if (redirect->port)
        to.port = redirect->port;
    if (!to.path.len || to.path.ptr[0] != '/')
        to.path = SPAN("/");
    err = rewrite_path(route, &redirect->path, to.path, NULL, arena, &to.path);
    if (err)
        return err;
    return print(&to, request, arena, location);
}
