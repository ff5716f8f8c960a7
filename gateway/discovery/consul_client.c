#include "discovery/consul_client.h"

#include "base/alloc.h"
#include "base/check.h"
#include "base/log.h"
#include "base/text.h"
#include "config/input.h"
#include "core/alarm.h"
#include "core/loop.h"

#include <sys/stat.h>

enum {
    CONNECT_MS = 2000,
    ANSWER_MS = 10000, /* beyond what the agent may wait */
    WATCH_MS = 2000,   /* how often to look whether the token's file has changed */
    TOKEN_BYTES = 4096,
    URL_BYTES = 16 * 1024,
};

struct consul_client {
    struct loop *loop; /* borrowed */
    struct fetcher *fetcher;
    struct arena arena; /* of conf */
    struct consul_conf conf;
    struct text where; /* all that makes it another agent than before */
    bool is_set;
    struct text token;
    unsigned n_tokens; /* counts them */
    struct stat stamp; /* of the token's file, as last read */
    struct alarm watch;
};

/* -- the token --------------------------------------------------------------- */

static bool is_changed(const struct stat *a, const struct stat *b)
{
    return a->st_ino != b->st_ino || a->st_size != b->st_size || a->st_dev != b->st_dev ||
           a->st_mtim.tv_sec != b->st_mtim.tv_sec || a->st_mtim.tv_nsec != b->st_mtim.tv_nsec;
}

/* True when it is another token now. A file that cannot be read leaves the old one. */
static bool read_token(struct consul_client *client)
{
    char why[INPUT_WHY];
    struct text bytes;
    struct sluice_span token;
    bool is_new;

    if (client->conf.token.file.len == 0)
        return false;
    text_init(&bytes, TOKEN_BYTES);
    (void)stat(client->conf.token.file.ptr, &client->stamp);
    if (input_read(client->conf.token.file.ptr, &bytes, NULL, why)) {
        log_warn("the token of consul cannot be read, the one before stays",
                 F_SPAN("file", client->conf.token.file), F_STR("cause", why));
        text_fini(&bytes);
        return false;
    }
    token = text_span(&bytes);
    while (token.len && (token.ptr[token.len - 1] == '\n' || token.ptr[token.len - 1] == '\r'))
        token.len--;
    is_new = !span_equal(token, text_span(&client->token));
    if (is_new) {
        client->n_tokens++;
        text_reset(&client->token);
        text_add(&client->token, token);
        log_info("the token of consul has been read", F_SPAN("file", client->conf.token.file));
    }
    text_fini(&bytes);
    return is_new;
}

static void on_watch(struct alarm *alarm)
{
    struct consul_client *client = list_entry(alarm, struct consul_client, watch);
    struct stat status;

    alarm_arm(client->loop, &client->watch, WATCH_MS);
    if (client->conf.token.file.len > 0 && stat(client->conf.token.file.ptr, &status) == 0 &&
        is_changed(&status, &client->stamp))
        read_token(client);
}

unsigned consul_client_token(const struct consul_client *client)
{
    return client->n_tokens;
}

bool consul_client_refused(struct consul_client *client)
{
    return read_token(client);
}

/* -- life ---------------------------------------------------------------------- */

struct consul_client *consul_client_new(struct loop *loop)
{
    struct consul_client *client = alloc_new(sizeof(*client));

    client->loop = loop;
    arena_init(&client->arena, NULL, 0);
    text_init(&client->where, URL_BYTES);
    text_init(&client->token, TOKEN_BYTES);
    alarm_init(&client->watch, on_watch);
    return client;
}

void consul_client_free(struct consul_client **client)
{
    struct consul_client *old = *client;

    if (!old)
        return;
    *client = NULL;
    alarm_disarm(&old->watch);
    fetcher_free(&old->fetcher);
    text_fini(&old->where);
    text_fini(&old->token);
    arena_fini(&old->arena);
    alloc_free(old);
}

static void copy(struct arena *arena, struct sluice_span *text)
{
    *text = text->len ? arena_copy(arena, *text) : SPAN("");
}

static void copy_conf(struct consul_client *client, const struct consul_conf *conf)
{
    struct consul_conf *own = &client->conf;
    struct sluice_span *const texts[] = {
        &own->written,      &own->url,         &own->unix_path,        &own->host,
        &own->token.text,   &own->token.file,  &own->datacenter,       &own->ns,
        &own->state_dir,    &own->tls.sni,     &own->tls.ca.path,      &own->tls.cert.path,
        &own->tls.key.path, &own->tls.ciphers, &own->tls.ciphersuites, &own->tls.groups};

    arena_fini(&client->arena);
    *own = *conf;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        copy(&client->arena, texts[i]);
}

static void say_where(const struct consul_conf *conf, struct text *where)
{
    const struct sluice_span texts[] = {conf->url,
                                        conf->unix_path,
                                        conf->host,
                                        conf->datacenter,
                                        conf->ns,
                                        conf->tls.sni,
                                        conf->tls.ca.path,
                                        conf->tls.cert.path,
                                        conf->tls.key.path,
                                        conf->tls.ciphers,
                                        conf->tls.ciphersuites,
                                        conf->tls.groups};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        text_format(where, "%.*s\n", (int)texts[i].len, texts[i].len ? texts[i].ptr : "");
    text_format(where, "%d %d %d %d %llu", conf->tls.verify, conf->tls.min_version,
                conf->tls.max_version, conf->read, (unsigned long long)conf->connections);
}

bool consul_client_is_other(const struct consul_client *client, const struct consul_conf *conf)
{
    struct text where;
    bool is_other;

    if (!client->is_set)
        return true;
    text_init(&where, URL_BYTES);
    say_where(conf, &where);
    is_other = !span_equal(text_span(&where), text_span(&client->where));
    text_fini(&where);
    return is_other;
}

void consul_client_apply(struct consul_client *client, const struct consul_conf *conf)
{
    if (consul_client_is_other(client, conf))
        fetcher_free(&client->fetcher);
    text_reset(&client->where);
    say_where(conf, &client->where);
    copy_conf(client, conf);
    if (client->conf.token.file.len == 0 &&
        !span_equal(client->conf.token.text, text_span(&client->token))) {
        text_reset(&client->token);
        text_add(&client->token, client->conf.token.text);
        client->n_tokens++;
    }
    read_token(client);
    client->is_set = true;
    if (!alarm_is_armed(&client->watch))
        alarm_arm(client->loop, &client->watch, WATCH_MS);
}

const struct consul_conf *consul_client_conf(const struct consul_client *client)
{
    return client->is_set ? &client->conf : NULL;
}

/* -- asking ---------------------------------------------------------------------- */

void consul_client_encode(struct text *path, struct sluice_span value)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";

    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];

        if (span_find(span_make(plain, sizeof(plain) - 1), (char)c) < sizeof(plain) - 1) {
            text_add_char(path, (char)c);
        } else {
            text_format(path, "%%%02X", c);
        }
    }
}

void consul_client_add(struct text *path, const char *name, struct sluice_span value)
{
    if (value.len == 0)
        return;
    text_add_char(path, span_find(text_span(path), '?') < path->len ? '&' : '?');
    text_format(path, "%s=", name);
    consul_client_encode(path, value);
}

static const char *text_or_null(struct sluice_span text)
{
    return text.len > 0 ? text.ptr : NULL;
}

struct fetch *consul_client_ask(struct consul_client *client,
                                const struct consul_question *question)
{
    static const char *const wanted[CONSUL_FIELD_COUNT] = {
        [CONSUL_FIELD_INDEX] = "X-Consul-Index",
        [CONSUL_FIELD_HIDDEN] = "X-Consul-Results-Filtered-By-ACLs",
        [CONSUL_FIELD_AGE] = "Age",
    };
    const struct consul_conf *conf = &client->conf;
    const struct fetch_tls tls = {.ca = text_or_null(conf->tls.ca.path),
                                  .cert = text_or_null(conf->tls.cert.path),
                                  .key = text_or_null(conf->tls.key.path),
                                  .skip_verify = conf->tls.is_written && !conf->tls.verify,
                                  .ciphers = text_or_null(conf->tls.ciphers),
                                  .ciphersuites = text_or_null(conf->tls.ciphersuites),
                                  .groups = text_or_null(conf->tls.groups),
                                  .only_tls13 = conf->tls.min_version == TLS_CONF_1_3,
                                  .only_tls12 = conf->tls.is_written &&
                                                conf->tls.max_version == TLS_CONF_1_2};
    const struct fetch_field token = {"X-Consul-Token", text_span(&client->token)};
    struct fetch_request request = {
        .method = question->method,
        .unix_path = text_or_null(conf->unix_path),
        .connect_to = conf->tls.sni.len > 0 ? text_or_null(conf->host) : NULL,
        .fields = &token,
        .n_fields = client->token.len > 0,
        .body = question->body,
        .wanted = wanted,
        .n_wanted = CONSUL_FIELD_COUNT,
        .connect_ms = CONNECT_MS,
        .max_bytes = question->part ? CONSUL_PARTS_MAX : CONSUL_BODY_MAX,
        .may_share = true,
        .tls = &tls,
        .part = question->part,
        .done = question->done,
        .arg = question->arg};
    struct fetch *fetch;
    struct text url;

    CHECK(client->is_set);
    if (!client->fetcher)
        client->fetcher = fetcher_new(client->loop, (unsigned)conf->connections);
    text_init(&url, URL_BYTES);
    text_add(&url, conf->url);
    text_add(&url, span_of(question->path));
    request.url = url.ptr;
    /* The agent adds up to a sixteenth of the wait. */
    request.total_ms = question->wait_ms * 17 / 16 + ANSWER_MS;
    fetch = fetch_start(client->fetcher, &request);
    text_fini(&url);
    return fetch;
}
