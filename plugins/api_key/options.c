/*
 * options.c - what may be written, and how it is compiled: keys become digests, the file a table.
 */
#include "options.h"

#include "kit/span.h"

#include <openssl/sha.h>

#include <stdio.h>

#define AT(member)      offsetof(struct options, member)
#define GROUPS_ROOM     (KEYS_NAME_MAX + 1)
#define SHORT_KEY_BYTES 16
#define TEXTS           .element = SLUICE_OPTION_TEXT, .element_size = sizeof(struct sluice_span)

static const struct sluice_choice strip_choices[] = {
    {"none", STRIP_NONE, "send the key on as it came"},
    {"query", STRIP_QUERY, "take it out of the query only, for queries end up in logs"},
    {"all", STRIP_ALL, "take it out wherever it was"},
    {NULL, 0, NULL},
};

static const struct sluice_option key_table[] = {
    {.kind = SLUICE_OPTION_SECRET,
     .flags = SLUICE_OPTION_SCALAR | SLUICE_OPTION_REQUIRED,
     .name = "key",
     .offset = offsetof(struct key_option, key),
     .help = "The key, or sha256: and its digest in hexadecimal."},
    {.kind = SLUICE_OPTION_TEXT,
     .name = "from",
     .offset = offsetof(struct key_option, from),
     .help = "It is good from then on.",
     .example = "2026-12-01"},
    {.kind = SLUICE_OPTION_TEXT,
     .name = "until",
     .offset = offsetof(struct key_option, until),
     .help = "It is good until then.",
     .example = "2026-12-31T23:59:59Z"},
    {.kind = SLUICE_OPTION_END},
};

static const struct sluice_option consumer_table[] = {
    {.kind = SLUICE_OPTION_LIST,
     .name = "groups",
     .offset = offsetof(struct consumer_option, groups),
     .help = "The groups it is in.",
     .max = 64,
     TEXTS,
     .example = "[readers]"},
    {.kind = SLUICE_OPTION_LIST,
     .flags = SLUICE_OPTION_REQUIRED,
     .name = "keys",
     .offset = offsetof(struct consumer_option, keys),
     .help = "Its keys; several while an old one is replaced.",
     .min = 1,
     .max = 64,
     .fields = key_table,
     .element = SLUICE_OPTION_STRUCT,
     .element_size = sizeof(struct key_option)},
    {.kind = SLUICE_OPTION_END},
};

const struct sluice_option options_table[] = {
    {.kind = SLUICE_OPTION_MAP,
     .name = "consumers",
     .offset = AT(consumers),
     .help = "Who has which keys.",
     .max = 10000,
     .fields = consumer_table,
     .element = SLUICE_OPTION_STRUCT,
     .element_size = sizeof(struct consumer_option),
     .example = "{shop: {keys: [\"file:/run/secrets/shop\"]}}"},
    {.kind = SLUICE_OPTION_FILE,
     .name = "file",
     .offset = AT(file),
     .help = "A file of lines NAME:GROUPS:SHA256, for many keys.",
     .example = "keys.txt"},
    {.kind = SLUICE_OPTION_DURATION,
     .name = "file_interval",
     .offset = AT(file_interval_ms),
     .preset = "5s",
     .help = "Look so often whether the file has changed; 0: a reload only.",
     .max = 3600000},
    {.kind = SLUICE_OPTION_LIST,
     .name = "fields",
     .offset = AT(fields),
     .preset = "[X-API-Key]",
     .help = "Fields that may carry the key.",
     .max = OPTIONS_FIELDS_MAX,
     TEXTS},
    {.kind = SLUICE_OPTION_TEXT,
     .name = "scheme",
     .offset = AT(scheme),
     .preset = "Bearer",
     .help = "The word before the key in the field Authorization."},
    {.kind = SLUICE_OPTION_TEXT,
     .name = "query",
     .offset = AT(query),
     .help = "A parameter of the query that may carry the key.",
     .example = "api_key"},
    {.kind = SLUICE_OPTION_TEXT,
     .name = "cookie",
     .offset = AT(cookie),
     .help = "A cookie that may carry the key.",
     .example = "api_key"},
    {.kind = SLUICE_OPTION_CHOICE,
     .name = "strip",
     .offset = AT(strip),
     .preset = "query",
     .help = "Whether the key goes on to the upstream.",
     .choices = strip_choices},
    {.kind = SLUICE_OPTION_BOOL,
     .name = "required",
     .offset = AT(is_required),
     .preset = "true",
     .help = "Refuse requests without a key. A key that is not known is refused anyway."},
    {.kind = SLUICE_OPTION_TEXT,
     .name = "anonymous",
     .offset = AT(anonymous),
     .help = "consumer.name of requests without a key; needs required: false.",
     .example = "guest"},
    {.kind = SLUICE_OPTION_LIST,
     .name = "groups",
     .offset = AT(groups),
     .help = "The consumer must be in one of these groups; none given: any consumer.",
     .max = 64,
     .example = "[writers]",
     TEXTS},
    {.kind = SLUICE_OPTION_TEXT,
     .name = "consumer_field",
     .offset = AT(consumer.name_field),
     .help = "Tell the upstream the consumer's name in this field.",
     .example = "X-Consumer"},
    {.kind = SLUICE_OPTION_TEXT,
     .name = "groups_field",
     .offset = AT(consumer.groups_field),
     .help = "Tell the upstream the consumer's groups in this field.",
     .example = "X-Consumer-Groups"},
    {.kind = SLUICE_OPTION_TEXT,
     .name = "realm",
     .offset = AT(realm),
     .preset = "api",
     .help = "realm in WWW-Authenticate."},
    {.kind = SLUICE_OPTION_BOOL,
     .name = "dry_run",
     .offset = AT(is_dry_run),
     .preset = "false",
     .help = "Let everybody in, but count and log who would be refused."},
    {.kind = SLUICE_OPTION_END},
};

/* What the functions of a check share. */
struct checking {
    const struct sluice_host *host;
    struct sluice_setup *setup;
    struct options *options;
};

static void want(const struct checking *checking, bool fine, const char *option, const char *what)
{
    if (!fine)
        checking->host->conf_error(checking->setup, option, NULL, "%s", what);
}

/* -- keys -------------------------------------------------------------------- */

static void check_span(const struct checking *checking, const char *where,
                       const struct key_option *option, struct keys_span *span)
{
    if ((option->from.len > 0 && !keyfile_time(option->from, &span->not_before)) ||
        (option->until.len > 0 && !keyfile_time(option->until, &span->expires))) {
        checking->host->conf_error(checking->setup, where,
                                   "2026-12-31, 2026-12-31T23:59:59Z or seconds since 1970",
                                   "from and until are times");
    } else if (span->expires != 0 && span->expires <= span->not_before) {
        checking->host->conf_error(checking->setup, where, NULL, "this key is never good");
    }
}

static void check_key(const struct checking *checking, const char *where,
                      const struct key_option *option)
{
    unsigned char digest[KEYS_DIGEST];
    struct keys_span span = {0, 0};
    enum keys_result result;

    check_span(checking, where, option, &span);
    if (keyfile_is_digest(option->key)) {
        if (!keyfile_digest(option->key, digest)) {
            checking->host->conf_error(checking->setup, where, "printf %s KEY | sha256sum",
                                       "a digest is 64 hexadecimal digits");
            return;
        }
    } else {
        if (option->key.len == 0 || option->key.len > OPTIONS_KEY_MAX) {
            checking->host->conf_error(checking->setup, where, NULL, "a key has 1 to %d bytes",
                                       OPTIONS_KEY_MAX);
            return;
        }
        if (option->key.len < SHORT_KEY_BYTES) {
            checking->host->conf_warn(checking->setup, where, "openssl rand -hex 16",
                                      "this key is short enough to be guessed");
        }
        SHA256((const unsigned char *)option->key.ptr, option->key.len, digest);
    }
    result = keys_add(checking->options->fixed, digest, span);
    if (result != KEYS_OK) {
        checking->host->conf_error(checking->setup, where, NULL, "%s",
                                   result == KEYS_DUPLICATE ? "this key is there already"
                                                            : "out of memory");
    }
}

/* "a,b" in text; false: a name that cannot be in a list, or too many. */
static bool join(const struct sluice_list *groups, char text[GROUPS_ROOM], struct sluice_span *list)
{
    const struct sluice_span *names = groups->first;
    size_t len = 0;

    for (size_t i = 0; i < groups->n; i++) {
        if (!keyfile_is_name(names[i]) || len + names[i].len + 1 > KEYS_NAME_MAX)
            return false;
        if (i > 0)
            text[len++] = ',';
        memcpy(text + len, names[i].ptr, names[i].len);
        len += names[i].len;
    }
    *list = (struct sluice_span){text, len};
    return true;
}

static void check_consumer(const struct checking *checking, const struct consumer_option *consumer)
{
    const struct key_option *keys = consumer->keys.first;
    char where[128], groups_text[GROUPS_ROOM];
    struct sluice_span groups = {NULL, 0};
    enum keys_result result;

    if (!keyfile_is_name(consumer->name) || !join(&consumer->groups, groups_text, &groups)) {
        snprintf(where, sizeof(where), "consumers.%.*s", (int)consumer->name.len,
                 consumer->name.ptr);
        checking->host->conf_error(checking->setup, where, NULL,
                                   "names of consumers and groups are without spaces, commas and "
                                   "control characters");
        return;
    }
    result = keys_consumer(checking->options->fixed, consumer->name, groups);
    if (result != KEYS_OK) {
        checking->host->conf_error(checking->setup, NULL, NULL, "out of memory");
        return;
    }
    for (size_t i = 0; i < consumer->keys.n; i++) {
        snprintf(where, sizeof(where), "consumers.%.*s.keys[%zu]", (int)consumer->name.len,
                 consumer->name.ptr, i);
        check_key(checking, where, &keys[i]);
    }
}

static void check_file(const struct checking *checking)
{
    struct options *options = checking->options;
    char why[STORE_WHY];

    if (options->file.path.len == 0)
        return;
    options->store = store_new(&keyfile_kind);
    if (!options->store) {
        checking->host->conf_error(checking->setup, NULL, NULL, "out of memory");
    } else if (store_read(options->store, options->file.content, why) == STORE_WRONG) {
        checking->host->conf_error(checking->setup, "file", NULL, "%s", why);
    }
}

static void check_keys(const struct checking *checking)
{
    struct options *options = checking->options;
    const struct consumer_option *consumers = options->consumers.first;

    options->fixed = keys_new();
    if (!options->fixed) {
        checking->host->conf_error(checking->setup, NULL, NULL, "out of memory");
        return;
    }
    if (options->consumers.n == 0 && options->file.path.len == 0) {
        checking->host->conf_error(checking->setup, NULL, "give consumers, file, or both",
                                   "there are no keys");
    }
    for (size_t i = 0; i < options->consumers.n; i++)
        check_consumer(checking, &consumers[i]);
    check_file(checking);
}

/* -- names that go over the wire --------------------------------------------- */

static bool is_token_or_none(struct sluice_span text)
{
    return text.len == 0 || span_is_token(text);
}

static void check_names(const struct checking *checking)
{
    const struct options *options = checking->options;
    const struct sluice_span *fields = options->fields.first, *groups = options->groups.first;

    for (size_t i = 0; i < options->fields.n; i++)
        want(checking, span_is_token(fields[i]), "fields", "this is no name of a field");
    for (size_t i = 0; i < options->groups.n; i++) {
        want(checking, keyfile_is_name(groups[i]), "groups",
             "a group is without spaces, commas and control characters");
    }
    want(checking, options->fields.n + options->cookie.len + options->query.len > 0, "fields",
         "there is no place where a key may be: give fields, cookie or query");
    want(checking, is_token_or_none(options->scheme), "scheme", "this is no name of a scheme");
    want(checking, is_token_or_none(options->cookie), "cookie", "this is no name of a cookie");
    want(checking, is_token_or_none(options->query), "query", "this is no name of a parameter");
    want(checking, span_is_quotable(options->realm) && options->realm.len <= 256, "realm",
         "a realm is ASCII without quotes and control characters");
    want(checking, options->anonymous.len == 0 || keyfile_is_name(options->anonymous), "anonymous",
         "a name is without spaces, commas and control characters");
    want(checking, options->anonymous.len == 0 || !options->is_required, "anonymous",
         "requests without a key are refused: set required: false");
    want(checking, options->groups.n == 0 || options->is_required, "groups",
         "who sends no key is in no group: leave required at true");
}

/* -- the whole --------------------------------------------------------------- */

/* The scheme is that of Authorization when it may carry the key; else there is none registered. */
static void make_challenge(const struct checking *checking)
{
    struct options *options = checking->options;
    const struct sluice_span *fields = options->fields.first;
    struct sluice_span scheme = SLUICE_SPAN("ApiKey");
    size_t room;
    char *text;

    for (size_t i = 0; i < options->fields.n; i++) {
        if (span_is_word(fields[i], SLUICE_SPAN("Authorization")) && options->scheme.len > 0)
            scheme = options->scheme;
    }
    room = scheme.len + options->realm.len + 16;
    text = checking->host->conf_alloc(checking->setup, room);
    options->challenge.ptr = text;
    options->challenge.len =
        (size_t)snprintf(text, room, "%.*s realm=\"%.*s\"", (int)scheme.len, scheme.ptr,
                         (int)options->realm.len, options->realm.ptr);
}

void options_check(const struct sluice_host *host, struct sluice_setup *setup, void *conf)
{
    struct options *options = conf;
    const struct checking checking = {host, setup, options};

    check_keys(&checking);
    check_names(&checking);
    make_challenge(&checking);
    consumer_bind(&options->consumer, host, setup);
    options->path_id = host->attribute(setup, SLUICE_SPAN("request.path"));
    options->query_id = host->attribute(setup, SLUICE_SPAN("request.query"));
}

bool options_start(const struct sluice_host *host, struct sluice_setup *setup, void *conf)
{
    static const char *const labels[] = {"result", NULL};
    struct sluice_metric_spec spec = {.size = sizeof(spec),
                                      .kind = SLUICE_COUNTER,
                                      .name = "requests_total",
                                      .help = "Requests, by what their key came to.",
                                      .labels = labels,
                                      .max_series = 16};
    struct options *options = conf;

    options->requests = host->metric(setup, &spec);
    spec.name = "loads_total";
    spec.help = "Changes of files of keys, by what came of them.";
    options->loads = host->metric(setup, &spec);
    return true;
}

void options_fini(const struct sluice_host *host, void *conf)
{
    struct options *options = conf;

    (void)host;
    keys_free(&options->fixed);
    store_free(&options->store);
}
