/*
 * ip_filter - allow and deny by the client's address.
 *
 * Networks come from lists in the configuration and from files with one network a line, large ones
 * too. The longest prefix decides: a host may be denied inside an allowed network, and the other
 * way round.
 */
#include "networks.h"

#include <stdio.h>
#include <string.h>

enum address { CLIENT, PEER };
enum otherwise { AUTO, ALLOW, DENY };
enum { FILE_ERRORS = 5 /* told of one file */ };

struct conf {
    struct sluice_list allow, deny;             /* of struct sluice_network */
    struct sluice_list allow_files, deny_files; /* of struct sluice_file */
    uint32_t address, otherwise;
    uint64_t status;
    struct sluice_span message;
    bool dry_run;
    bool denies_others; /* what `otherwise` comes to */
    struct network_set set;
    uint32_t attribute;
    struct sluice_metric *decisions;
};

/* clang-format off */
static const struct sluice_choice addresses[] = {
    {"client", CLIENT, "the client, as trusted proxies name it"},
    {"peer", PEER, "the other end of the connection"},
    {NULL, 0, NULL}};

static const struct sluice_choice others[] = {
    {"auto", AUTO, "deny when anything is allowed by name, else allow"},
    {"allow", ALLOW, "allow"},
    {"deny", DENY, "deny"},
    {NULL, 0, NULL}};

static const struct sluice_option options[] = {
    {.kind = SLUICE_OPTION_LIST, .name = "allow", .offset = offsetof(struct conf, allow),
     .element = SLUICE_OPTION_NETWORK, .element_size = sizeof(struct sluice_network),
     .max = 10000, .help = "networks that may pass", .example = "[10.0.0.0/8, 'fd00::/8']"},
    {.kind = SLUICE_OPTION_LIST, .name = "deny", .offset = offsetof(struct conf, deny),
     .element = SLUICE_OPTION_NETWORK, .element_size = sizeof(struct sluice_network),
     .max = 10000, .help = "networks that may not; of a network in both lists too",
     .example = "[10.6.6.0/24]"},
    {.kind = SLUICE_OPTION_LIST, .name = "allow_files",
     .offset = offsetof(struct conf, allow_files), .element = SLUICE_OPTION_FILE,
     .element_size = sizeof(struct sluice_file), .max = 100,
     .help = "files of networks that may pass: one a line; `#` and `;` begin a comment",
     .example = "[office.txt]"},
    {.kind = SLUICE_OPTION_LIST, .name = "deny_files", .offset = offsetof(struct conf, deny_files),
     .element = SLUICE_OPTION_FILE, .element_size = sizeof(struct sluice_file), .max = 100,
     .help = "files of networks that may not", .example = "[drop.txt]"},
    {.kind = SLUICE_OPTION_CHOICE, .name = "otherwise", .offset = offsetof(struct conf, otherwise),
     .preset = "auto", .choices = others, .help = "what of an address that no network holds"},
    {.kind = SLUICE_OPTION_CHOICE, .name = "address", .offset = offsetof(struct conf, address),
     .preset = "client", .choices = addresses, .help = "whose address is looked at"},
    {.kind = SLUICE_OPTION_UINT, .name = "status", .offset = offsetof(struct conf, status),
     .preset = "403", .min = 400, .max = 599, .help = "what a denied request is answered with"},
    {.kind = SLUICE_OPTION_TEXT, .name = "message", .offset = offsetof(struct conf, message),
     .help = "text of that answer; empty: the gateway's error page",
     .example = "Not from here."},
    {.kind = SLUICE_OPTION_BOOL, .name = "dry_run", .offset = offsetof(struct conf, dry_run),
     .preset = "false", .help = "count and note what would be denied, and let it pass"},
    {.kind = SLUICE_OPTION_END}};
/* clang-format on */

/* -- reading the lists -------------------------------------------------------------- */

static bool add_list(struct network_list *list, const struct sluice_list *from, enum answer answer)
{
    const struct sluice_network *network = from->first;

    for (size_t i = 0; i < from->n; i++) {
        if (!networks_add(list, &network[i], answer))
            return false;
    }
    return true;
}

/* The first word of the line; empty: none. */
static struct sluice_span word_of(const char *line, size_t len)
{
    size_t begin = 0, end;

    while (begin < len && strchr(" \t\r", line[begin]) && line[begin])
        begin++;
    end = begin;
    while (end < len && !(line[end] && strchr(" \t\r#;,", line[end])))
        end++;
    return (struct sluice_span){line + begin, end - begin};
}

/* What one file is read with. */
struct reading {
    const struct sluice_host *host;
    struct sluice_setup *setup;
    struct network_list *list;
    const char *option; /* "deny_files[0]" */
    enum answer answer;
};

static bool add_file(const struct reading *reading, const struct sluice_file *file)
{
    const char *at = file->content.ptr, *end = at + file->content.len;
    unsigned n_errors = 0, line = 1;

    for (; at < end; line++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline ? newline : end;
        struct sluice_span word = word_of(at, (size_t)(stop - at));
        struct sluice_network network;

        at = newline ? newline + 1 : end;
        if (word.len == 0)
            continue;
        if (networks_parse(word, &network)) {
            if (!networks_add(reading->list, &network, reading->answer))
                return false;
        } else if (n_errors++ < FILE_ERRORS) {
            reading->host->conf_error(reading->setup, reading->option,
                                      "write an address or a network: 192.0.2.0/24, 2001:db8::/32",
                                      "%.*s, line %u: '%.*s' is neither", (int)file->path.len,
                                      file->path.ptr, line, (int)(word.len < 60 ? word.len : 60),
                                      word.ptr);
        }
    }
    return true;
}

static bool add_files(const struct reading *common, const struct sluice_list *files,
                      const char *name)
{
    const struct sluice_file *file = files->first;
    struct reading reading = *common;
    char option[32];

    reading.option = option;
    for (size_t i = 0; i < files->n; i++) {
        snprintf(option, sizeof(option), "%s[%zu]", name, i);
        if (!add_file(&reading, &file[i]))
            return false;
    }
    return true;
}

static void conf_check(const struct sluice_host *host, struct sluice_setup *setup, void *conf_)
{
    struct conf *conf = conf_;
    struct network_list list = {0};
    struct reading allowed = {host, setup, &list, NULL, ANSWER_ALLOW};
    struct reading denied = {host, setup, &list, NULL, ANSWER_DENY};

    conf->attribute = host->attribute(setup, conf->address == PEER ? SLUICE_SPAN("peer.address")
                                                                   : SLUICE_SPAN("client.address"));
    conf->denies_others = conf->otherwise == DENY ||
                          (conf->otherwise == AUTO && conf->allow.n + conf->allow_files.n > 0);
    if (conf->allow.n + conf->deny.n + conf->allow_files.n + conf->deny_files.n == 0 &&
        conf->otherwise != DENY) {
        host->conf_warn(setup, NULL, "give allow, deny or files of networks",
                        "there are no networks: every address passes");
    }
    if (!add_list(&list, &conf->allow, ANSWER_ALLOW) ||
        !add_list(&list, &conf->deny, ANSWER_DENY) ||
        !add_files(&allowed, &conf->allow_files, "allow_files") ||
        !add_files(&denied, &conf->deny_files, "deny_files") ||
        !networks_build(&conf->set, &list, host, setup))
        host->conf_error(setup, NULL, NULL, "there is not enough memory for the networks");
    networks_fini(&list);
}

static bool conf_start(const struct sluice_host *host, struct sluice_setup *setup, void *conf_)
{
    static const char *const labels[] = {"outcome", NULL};
    struct conf *conf = conf_;

    conf->decisions =
        host->metric(setup, &(struct sluice_metric_spec){.size = sizeof(struct sluice_metric_spec),
                                                         .kind = SLUICE_COUNTER,
                                                         .name = "decisions_total",
                                                         .help = "Requests: allowed, denied, or "
                                                                 "would_deny of a dry run.",
                                                         .labels = labels});
    return true;
}

/* -- phases ------------------------------------------------------------------------------ */

static bool is_denied(const struct sluice_call *call)
{
    const struct conf *conf = call->conf;
    struct sluice_network address;
    struct sluice_span text;

    /* an address that cannot be read is one that no network holds */
    if (!call->host->attribute_get(call, conf->attribute, &text) || !networks_parse(text, &address))
        return conf->denies_others;
    switch (networks_find(&conf->set, &address)) {
    case ANSWER_ALLOW:
        return false;
    case ANSWER_DENY:
        return true;
    case ANSWER_NONE:
        break;
    }
    return conf->denies_others;
}

static void count(const struct sluice_call *call, struct sluice_span outcome)
{
    const struct conf *conf = call->conf;

    call->host->metric_add(call, conf->decisions, &outcome, 1);
}

static enum sluice_verdict on_request_head(const struct sluice_call *call)
{
    const struct conf *conf = call->conf;
    const struct sluice_reply reply = {.size = sizeof(reply),
                                       .status = (uint32_t)conf->status,
                                       .reason = SLUICE_SPAN("ip_denied"),
                                       .body = conf->message};

    if (!is_denied(call)) {
        count(call, SLUICE_SPAN("allowed"));
        return SLUICE_NEXT;
    }
    if (conf->dry_run) {
        count(call, SLUICE_SPAN("would_deny"));
        call->host->note(call, SLUICE_SPAN("ip_would_deny"));
        return SLUICE_NEXT;
    }
    count(call, SLUICE_SPAN("denied"));
    call->host->note(call, SLUICE_SPAN("ip_denied"));
    return call->host->reply(call, &reply) ? SLUICE_REPLIED : SLUICE_FAIL;
}

static void on_report(const struct sluice_call *call)
{
    const struct conf *conf = call->conf;
    char json[128];

    snprintf(json, sizeof(json),
             "{\"networks\": %zu, \"ranges_v4\": %zu, \"ranges_v6\": %zu, \"otherwise\": \"%s\"}",
             conf->set.n_networks, conf->set.n4, conf->set.n6,
             conf->denies_others ? "deny" : "allow");
    call->host->report(call, (struct sluice_span){json, strlen(json)});
}

const struct sluice_plugin sluice_plugin = {
    SLUICE_PLUGIN_HEAD,
    .name = "ip_filter",
    .version = "1.0.0",
    .summary = "Allows and denies by the client's address.",
    .options = options,
    .conf_size = sizeof(struct conf),
    .conf_check = conf_check,
    .conf_start = conf_start,
    .on_request_head = on_request_head,
    .on_report = on_report,
};
