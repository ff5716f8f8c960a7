/*
 * consul_state.c - the form of a file:
 *
 *   sluice-state 1 HASH LENGTH       HASH: 16 hex digits over what follows the line
 *   [ {"address":"10.0.0.1:80", ...}, ... ]
 *
 * Read again with the same distrust as anything from the network.
 */
#include "discovery/consul_state.h"

#include "base/now.h"
#include "base/text.h"
#include "config/input.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STATE_MAX = 64 * 1024 * 1024, NAME_MAX_BYTES = 64, HEAD_MAX = 64 };

static const uint64_t state_seed = UINT64_C(0x736c756963652d73);

/* -- names ------------------------------------------------------------------ */

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

void consul_state_path(const char *directory, struct sluice_span name, struct sluice_span key,
                       char path[CONSUL_STATE_PATH])
{
    struct text text;

    text_init_fixed(&text, path, CONSUL_STATE_PATH);
    text_add(&text, span_of(directory));
    text_add_char(&text, '/');
    for (size_t i = 0; i < name.len && i < NAME_MAX_BYTES; i++) {
        char plain = '_';

        if (is_plain(name.ptr[i]))
            plain = name.ptr[i];
        text_add_char(&text, plain);
    }
    text_format(&text, "-%016" PRIx64 ".state", span_hash(key, state_seed));
}

/* -- writing ------------------------------------------------------------------ */

static void add_text(struct text *out, const char *name, struct sluice_span value)
{
    if (value.len == 0)
        return;
    text_format(out, ",\"%s\":\"", name);
    text_add_json(out, value);
    text_add_char(out, '"');
}

static void add_tags(struct text *out, const struct found_endpoint *endpoint)
{
    text_add(out, SPAN(",\"tags\":["));
    for (size_t i = 0; i < endpoint->n_tags; i++) {
        text_add(out, i ? SPAN(",\"") : SPAN("\""));
        text_add_json(out, endpoint->tags[i]);
        text_add_char(out, '"');
    }
    text_add(out, SPAN("],\"meta\":{"));
    for (size_t i = 0; i < endpoint->n_meta; i++) {
        text_add(out, i ? SPAN(",\"") : SPAN("\""));
        text_add_json(out, endpoint->meta[i].name);
        text_add(out, SPAN("\":\""));
        text_add_json(out, endpoint->meta[i].value);
        text_add_char(out, '"');
    }
    text_add(out, SPAN("}"));
}

static void add_endpoint(struct text *out, const struct found_endpoint *endpoint)
{
    text_format(out, "{\"state\":\"%s\",\"weight\":%" PRIu32 ",\"priority\":%" PRIu32,
                found_state_name(endpoint->state), endpoint->weight, endpoint->priority);
    add_text(out, "address", endpoint->address);
    add_text(out, "host", endpoint->host);
    add_text(out, "id", endpoint->id);
    add_text(out, "zone", endpoint->zone);
    add_tags(out, endpoint);
    text_add_char(out, '}');
}

static void add_checked(struct text *out, struct sluice_span body)
{
    text_format(out, "sluice-state 1 %016" PRIx64 " %zu\n", span_hash(body, state_seed), body.len);
    text_add(out, body);
}

void consul_state_format(const struct found *found, struct text *out)
{
    struct text body;

    text_init(&body, STATE_MAX);
    text_add_char(&body, '[');
    for (size_t i = 0; i < found->n; i++) {
        if (i)
            text_add(&body, SPAN(",\n"));
        add_endpoint(&body, &found->endpoint[i]);
    }
    text_add(&body, SPAN("]\n"));
    add_checked(out, text_span(&body));
    if (body.cut)
        out->cut = true;
    text_fini(&body);
}

static enum err put(int fd, struct sluice_span bytes)
{
    while (bytes.len > 0) {
        ssize_t n = write(fd, bytes.ptr, bytes.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return ERR_SYSTEM;
        bytes = span_make(bytes.ptr + n, bytes.len - (size_t)n);
    }
    return OK;
}

static enum err write_whole(const char *path, const struct text *bytes, char *why)
{
    char fresh[CONSUL_STATE_PATH + 8];
    enum err err = ERR_SYSTEM;
    int fd;

    snprintf(fresh, sizeof(fresh), "%s.new", path);
    fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0) {
        err = bytes->cut ? ERR_LIMIT : put(fd, text_span(bytes));
        if (close(fd) < 0 && !err)
            err = ERR_SYSTEM;
        if (!err && rename(fresh, path) < 0)
            err = ERR_SYSTEM;
    }
    if (err) {
        snprintf(why, CONSUL_STATE_WHY, "%s",
                 err == ERR_LIMIT ? "it is too large" : strerror(errno));
        unlink(fresh);
    }
    return err;
}

enum err consul_state_write(const char *path, const struct found *found, char *why)
{
    struct text bytes;
    enum err err;

    text_init(&bytes, STATE_MAX);
    consul_state_format(found, &bytes);
    err = write_whole(path, &bytes, why);
    text_fini(&bytes);
    return err;
}

enum err consul_state_save(const char *path, struct sluice_span body, char *why)
{
    struct text bytes;
    enum err err;

    text_init(&bytes, STATE_MAX);
    add_checked(&bytes, body);
    err = write_whole(path, &bytes, why);
    text_fini(&bytes);
    return err;
}

void consul_state_touch(const char *path)
{
    /* Should it be gone, the next change writes it again. */
    (void)utimensat(AT_FDCWD, path, NULL, 0);
}

/* -- reading -------------------------------------------------------------------- */

static struct sluice_span copy_text(struct found *found, const json_t *value)
{
    if (!json_is_string(value) || json_string_length(value) == 0)
        return SPAN("");
    return arena_copy(&found->arena,
                      span_make(json_string_value(value), json_string_length(value)));
}

static enum found_state find_state(const json_t *value)
{
    const char *name = json_is_string(value) ? json_string_value(value) : "";

    for (enum found_state state = FOUND_SERVING; state <= FOUND_FAILING; state++) {
        if (strcmp(found_state_name(state), name) == 0)
            return state;
    }
    return FOUND_SERVING;
}

static uint32_t read_number(const json_t *value, json_int_t max)
{
    json_int_t number = json_integer_value(value);

    if (number < 0)
        return 0;
    return (uint32_t)(number > max ? max : number);
}

static void read_facts(const json_t *item, struct found *found, struct found_endpoint *endpoint)
{
    const json_t *tags = json_object_get(item, "tags");
    json_t *meta = json_object_get(item, "meta"), *value;
    const char *name;

    endpoint->tags =
        arena_new(&found->arena, (json_array_size(tags) + 1) * sizeof(*endpoint->tags));
    for (size_t i = 0; i < json_array_size(tags); i++)
        endpoint->tags[endpoint->n_tags++] = copy_text(found, json_array_get(tags, i));
    endpoint->meta =
        arena_new(&found->arena, (json_object_size(meta) + 1) * sizeof(*endpoint->meta));
    json_object_foreach(meta, name, value)
    {
        endpoint->meta[endpoint->n_meta].name = arena_copy(&found->arena, span_of(name));
        endpoint->meta[endpoint->n_meta++].value = copy_text(found, value);
    }
}

static bool read_endpoint(const json_t *item, struct found *found)
{
    const json_t *address = json_object_get(item, "address");
    struct found_endpoint *endpoint;

    if (!json_is_string(address) || strlen(json_string_value(address)) == 0 ||
        found_check_address(span_of(json_string_value(address))))
        return false;
    endpoint = found_add(found);
    if (!endpoint)
        return false;
    endpoint->address = copy_text(found, address);
    endpoint->host = copy_text(found, json_object_get(item, "host"));
    endpoint->id = copy_text(found, json_object_get(item, "id"));
    endpoint->zone = copy_text(found, json_object_get(item, "zone"));
    endpoint->state = find_state(json_object_get(item, "state"));
    endpoint->weight = read_number(json_object_get(item, "weight"), FOUND_WEIGHT_MAX);
    endpoint->priority = read_number(json_object_get(item, "priority"), INT32_MAX);
    read_facts(item, found, endpoint);
    return true;
}

/* The body behind a head that is right. */
static enum err check_head(struct sluice_span bytes, struct sluice_span *body)
{
    size_t end = span_find(bytes, '\n');
    char head[HEAD_MAX], wanted[HEAD_MAX];

    if (end == bytes.len || end >= sizeof(head))
        return ERR_PROTOCOL;
    snprintf(head, sizeof(head), "%.*s", (int)end, bytes.ptr);
    *body = span_make(bytes.ptr + end + 1, bytes.len - end - 1);
    snprintf(wanted, sizeof(wanted), "sluice-state 1 %016" PRIx64 " %zu",
             span_hash(*body, state_seed), body->len);
    return strcmp(head, wanted) == 0 ? OK : ERR_PROTOCOL;
}

enum err consul_state_parse(struct sluice_span bytes, struct found **found)
{
    struct sluice_span body;
    enum err err = check_head(bytes, &body);
    json_t *root;
    bool right;

    *found = NULL;
    if (err)
        return err;
    root = json_loadb(body.len ? body.ptr : "", body.len, 0, NULL);
    right = json_is_array(root);
    *found = found_new();
    for (size_t i = 0; right && i < json_array_size(root); i++)
        right = read_endpoint(json_array_get(root, i), *found);
    json_decref(root);
    if (right)
        return OK;
    found_unref(found);
    return ERR_PROTOCOL;
}

enum err consul_state_load(const char *path, struct text *bytes, struct consul_state_body *body,
                           char *why)
{
    char input_why[INPUT_WHY] = "";
    struct stat status;
    enum err err;

    if (stat(path, &status) < 0) {
        snprintf(why, CONSUL_STATE_WHY, "%s", strerror(errno));
        return ERR_MISSING;
    }
    err = input_read(path, bytes, NULL, input_why);
    if (err) {
        snprintf(why, CONSUL_STATE_WHY, "%s", input_why);
        return err;
    }
    err = check_head(text_span(bytes), &body->bytes);
    if (err)
        snprintf(why, CONSUL_STATE_WHY, "its checksum or its form is wrong");
    body->as_of_wall_us =
        (uint64_t)status.st_mtim.tv_sec * 1000000 + (uint64_t)status.st_mtim.tv_nsec / 1000;
    return err;
}

enum err consul_state_read(const char *path, struct found **found, char *why)
{
    struct consul_state_body body;
    struct text bytes;
    enum err err;

    *found = NULL;
    text_init(&bytes, STATE_MAX);
    err = consul_state_load(path, &bytes, &body, why);
    if (!err) {
        err = consul_state_parse(text_span(&bytes), found);
        if (err)
            snprintf(why, CONSUL_STATE_WHY, "its checksum or its form is wrong");
    }
    if (!err)
        (*found)->as_of_wall_us = body.as_of_wall_us;
    text_fini(&bytes);
    return err;
}
