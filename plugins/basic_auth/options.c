/*
 * options.c - what may be written, and how it is compiled: users become tables.
 */
#include "options.h"

#include "kit/span.h"

#include <stdio.h>

#define AT(member) offsetof(struct options, member)
#define TEXTS      .element = SLUICE_OPTION_TEXT, .element_size = sizeof(struct sluice_span)

static const struct sluice_option user_table[] = {
    {.kind = SLUICE_OPTION_SECRET,
     .flags = SLUICE_OPTION_SCALAR | SLUICE_OPTION_REQUIRED,
     .name = "password",
     .offset = offsetof(struct user_option, password),
     .help = "A hash of the password: bcrypt, yescrypt, scrypt, sha512-crypt or sha256-crypt."},
    {.kind = SLUICE_OPTION_LIST,
     .name = "groups",
     .offset = offsetof(struct user_option, groups),
     .help = "The groups of the user.",
     .max = 64,
     TEXTS,
     .example = "[staff]"},
    {.kind = SLUICE_OPTION_END},
};

const struct sluice_option options_table[] = {
    {.kind = SLUICE_OPTION_MAP,
     .name = "users",
     .offset = AT(users),
     .help = "Names and hashes of passwords.",
     .max = 10000,
     .fields = user_table,
     .element = SLUICE_OPTION_STRUCT,
     .element_size = sizeof(struct user_option),
     .example = "{alice: \"file:/run/secrets/alice\"}"},
    {.kind = SLUICE_OPTION_FILE,
     .name = "file",
     .offset = AT(file),
     .help = "A file as htpasswd makes it: lines NAME:HASH, or NAME:HASH:GROUPS.",
     .example = "htpasswd"},
    {.kind = SLUICE_OPTION_DURATION,
     .name = "file_interval",
     .offset = AT(file_interval_ms),
     .preset = "5s",
     .help = "Look so often whether the file has changed; 0: a reload only.",
     .max = 3600000},
    {.kind = SLUICE_OPTION_BOOL,
     .name = "required",
     .offset = AT(is_required),
     .preset = "true",
     .help = "Refuse requests without credentials. Wrong ones are refused anyway."},
    {.kind = SLUICE_OPTION_TEXT,
     .name = "anonymous",
     .offset = AT(anonymous),
     .help = "consumer.name of requests without credentials; needs required: false.",
     .example = "guest"},
    {.kind = SLUICE_OPTION_LIST,
     .name = "groups",
     .offset = AT(groups),
     .help = "The user must be in one of these groups; none given: any user.",
     .max = 64,
     .example = "[staff]",
     TEXTS},
    {.kind = SLUICE_OPTION_TEXT,
     .name = "consumer_field",
     .offset = AT(consumer.name_field),
     .help = "Tell the upstream the user's name in this field.",
     .example = "X-Remote-User"},
    {.kind = SLUICE_OPTION_TEXT,
     .name = "groups_field",
     .offset = AT(consumer.groups_field),
     .help = "Tell the upstream the user's groups in this field.",
     .example = "X-Remote-Groups"},
    {.kind = SLUICE_OPTION_TEXT,
     .name = "realm",
     .offset = AT(realm),
     .preset = "api",
     .help = "realm in WWW-Authenticate: what a browser asks the password for."},
    {.kind = SLUICE_OPTION_BOOL,
     .name = "strip",
     .offset = AT(strips),
     .preset = "false",
     .help = "Take the credentials out of what goes on to the upstream."},
    {.kind = SLUICE_OPTION_DURATION,
     .name = "cache",
     .offset = AT(cache_ms),
     .preset = "1m",
     .help = "Remember so long that credentials were right; 0: check each time.",
     .max = 3600000},
    {.kind = SLUICE_OPTION_UINT,
     .name = "cache_size",
     .offset = AT(cache_size),
     .preset = "1024",
     .help = "Credentials that each worker remembers.",
     .min = 1,
     .max = 1000000},
    {.kind = SLUICE_OPTION_UINT,
     .name = "max_checks",
     .offset = AT(max_checks),
     .preset = "16",
     .help = "Passwords that one worker has checked at once; for more the answer is 503.",
     .min = 1,
     .max = OPTIONS_CHECKS_MAX},
    {.kind = SLUICE_OPTION_UINT,
     .name = "max_waiting",
     .offset = AT(max_waiting),
     .preset = "256",
     .help = "Requests of one worker that wait for checks; for more the answer is 503.",
     .min = 1,
     .max = 10000},
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

/* -- users ------------------------------------------------------------------- */

/* "a,b" in text; false: a name that cannot be in a list, or too many. */
static bool join(const struct sluice_list *groups, char text[USERS_LIST_MAX],
                 struct sluice_span *list)
{
    const struct sluice_span *names = groups->first;
    size_t len = 0;

    for (size_t i = 0; i < groups->n; i++) {
        if (!users_is_name(names[i]) || len + names[i].len + 1 > USERS_LIST_MAX)
            return false;
        if (i > 0)
            text[len++] = ',';
        memcpy(text + len, names[i].ptr, names[i].len);
        len += names[i].len;
    }
    *list = (struct sluice_span){text, len};
    return true;
}

static void check_user(const struct checking *checking, const struct user_option *option)
{
    struct user user = {option->name, option->password, {NULL, 0}};
    char where[128], groups[USERS_LIST_MAX];
    const char *why = "names of groups are without spaces, commas, colons and control characters";

    if (join(&option->groups, groups, &user.groups))
        why = users_add(checking->options->fixed, &user);
    if (!why)
        return;
    snprintf(where, sizeof(where), "users.%.*s", (int)option->name.len, option->name.ptr);
    checking->host->conf_error(checking->setup, where, NULL, "%s", why);
}

static void check_file(const struct checking *checking)
{
    struct options *options = checking->options;
    char why[STORE_WHY];

    if (options->file.path.len == 0)
        return;
    options->store = store_new(&users_kind);
    if (!options->store) {
        checking->host->conf_error(checking->setup, NULL, NULL, "out of memory");
    } else if (store_read(options->store, options->file.content, why) == STORE_WRONG) {
        checking->host->conf_error(checking->setup, "file", NULL, "%s", why);
    }
}

static void check_users(const struct checking *checking)
{
    struct options *options = checking->options;
    const struct user_option *users = options->users.first;
    struct sluice_span twice;

    options->fixed = users_new();
    if (!options->fixed) {
        checking->host->conf_error(checking->setup, NULL, NULL, "out of memory");
        return;
    }
    if (options->users.n == 0 && options->file.path.len == 0) {
        checking->host->conf_error(checking->setup, NULL, "give users, file, or both",
                                   "there are no users");
    }
    for (size_t i = 0; i < options->users.n; i++)
        check_user(checking, &users[i]);
    want(checking, users_sort(options->fixed, &twice), "users", "a user is there twice");
    check_file(checking);
}

/* -- names that go over the wire --------------------------------------------- */

static void check_names(const struct checking *checking)
{
    const struct options *options = checking->options;
    const struct sluice_span *groups = options->groups.first;

    for (size_t i = 0; i < options->groups.n; i++) {
        want(checking, users_is_name(groups[i]), "groups",
             "a group is without spaces, commas, colons and control characters");
    }
    want(checking, span_is_quotable(options->realm) && options->realm.len <= 256, "realm",
         "a realm is ASCII without quotes and control characters");
    want(checking, options->anonymous.len == 0 || users_is_name(options->anonymous), "anonymous",
         "a name is without spaces, commas, colons and control characters");
    want(checking, options->anonymous.len == 0 || !options->is_required, "anonymous",
         "requests without credentials are refused: set required: false");
    want(checking, options->groups.n == 0 || options->is_required, "groups",
         "who sends no credentials is in no group: leave required at true");
}

/* -- the whole --------------------------------------------------------------- */

static void make_challenge(const struct checking *checking)
{
    struct options *options = checking->options;
    size_t room = options->realm.len + 48;
    char *text = checking->host->conf_alloc(checking->setup, room);

    options->challenge.ptr = text;
    options->challenge.len = (size_t)snprintf(text, room, "Basic realm=\"%.*s\", charset=\"UTF-8\"",
                                              (int)options->realm.len, options->realm.ptr);
}

void options_check(const struct sluice_host *host, struct sluice_setup *setup, void *conf)
{
    struct options *options = conf;
    const struct checking checking = {host, setup, options};

    check_users(&checking);
    check_names(&checking);
    make_challenge(&checking);
    consumer_bind(&options->consumer, host, setup);
}

bool options_start(const struct sluice_host *host, struct sluice_setup *setup, void *conf)
{
    static const char *const labels[] = {"result", NULL};
    struct sluice_metric_spec spec = {.size = sizeof(spec),
                                      .kind = SLUICE_COUNTER,
                                      .name = "requests_total",
                                      .help = "Requests, by what their credentials came to.",
                                      .labels = labels,
                                      .max_series = 16};
    struct options *options = conf;

    options->requests = host->metric(setup, &spec);
    spec.name = "checks_total";
    spec.help = "Passwords that helper threads have checked, by what came of it.";
    options->checks = host->metric(setup, &spec);
    spec.name = "loads_total";
    spec.help = "Changes of files of users, by what came of them.";
    options->loads = host->metric(setup, &spec);
    return true;
}

void options_fini(const struct sluice_host *host, void *conf)
{
    struct options *options = conf;

    (void)host;
    users_free(&options->fixed);
    store_free(&options->store);
}
