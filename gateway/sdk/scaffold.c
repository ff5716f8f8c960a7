/* scaffold.c - the files of a new plugin; @ stands for its name. */
#include "sdk/scaffold.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_MAX_LEN = 40, FILE_MAX = 64 << 10, PATH_ROOM = 4096 };

static const char source[] =
    "/*\n"
    " * @ - ask for a field in every request, and greet in every response.\n"
    " *\n"
    " * A request without the field is answered 400; its value goes to the upstream as it is.\n"
    " */\n"
    "#include <sluice_plugin.h>\n"
    "\n"
    "/* What the configuration says; filled in by the gateway from the table below. */\n"
    "struct conf {\n"
    "    struct sluice_span require, greeting;\n"
    "    struct sluice_metric *refused;\n"
    "};\n"
    "\n"
    "static const struct sluice_option options[] = {\n"
    "    {.kind = SLUICE_OPTION_TEXT, .name = \"require\", .offset = offsetof(struct conf, "
    "require),\n"
    "     .help = \"field that a request must carry; empty: none\", .example = \"x-team\"},\n"
    "    {.kind = SLUICE_OPTION_TEXT, .name = \"greeting\", .offset = offsetof(struct conf, "
    "greeting),\n"
    "     .preset = \"hello\", .help = \"value of the response field x-greeting\"},\n"
    "    {.kind = SLUICE_OPTION_END}};\n"
    "\n"
    "/* The main thread, also in `sluice check`: look at the options as a whole, change nothing. "
    "*/\n"
    "static void conf_check(const struct sluice_host *host, struct sluice_setup *setup, void "
    "*conf_)\n"
    "{\n"
    "    const struct conf *conf = conf_;\n"
    "\n"
    "    if (conf->greeting.len == 0)\n"
    "        host->conf_error(setup, \"greeting\", \"say hello\", \"it is empty\");\n"
    "}\n"
    "\n"
    "/* The main thread, when this configuration is going to be served. */\n"
    "static bool conf_start(const struct sluice_host *host, struct sluice_setup *setup, void "
    "*conf_)\n"
    "{\n"
    "    const struct sluice_metric_spec spec = {.size = sizeof(spec),\n"
    "                                            .kind = SLUICE_COUNTER,\n"
    "                                            .name = \"refused_total\",\n"
    "                                            .help = \"Requests without the field.\"};\n"
    "    struct conf *conf = conf_;\n"
    "\n"
    "    conf->refused = host->metric(setup, &spec);\n"
    "    return true;\n"
    "}\n"
    "\n"
    "static enum sluice_verdict on_request_head(const struct sluice_call *call)\n"
    "{\n"
    "    const struct conf *conf = call->conf;\n"
    "    const struct sluice_reply reply = {.size = sizeof(reply),\n"
    "                                       .status = 400,\n"
    "                                       .reason = SLUICE_SPAN(\"@_missing\")};\n"
    "    struct sluice_span value;\n"
    "\n"
    "    if (conf->require.len == 0 ||\n"
    "        call->host->field_get(call, SLUICE_REQUEST, conf->require, &value))\n"
    "        return SLUICE_NEXT;\n"
    "    call->host->metric_add(call, conf->refused, NULL, 1);\n"
    "    return call->host->reply(call, &reply) ? SLUICE_REPLIED : SLUICE_FAIL;\n"
    "}\n"
    "\n"
    "static enum sluice_verdict on_response_head(const struct sluice_call *call)\n"
    "{\n"
    "    const struct conf *conf = call->conf;\n"
    "\n"
    "    return call->host->field_set(call, SLUICE_RESPONSE, SLUICE_SPAN(\"x-greeting\"),\n"
    "                                 conf->greeting)\n"
    "               ? SLUICE_NEXT\n"
    "               : SLUICE_FAIL;\n"
    "}\n"
    "\n"
    "const struct sluice_plugin sluice_plugin = {\n"
    "    SLUICE_PLUGIN_HEAD,\n"
    "    .name = \"@\",\n"
    "    .version = \"0.1.0\",\n"
    "    .summary = \"Asks for a field, and greets.\",\n"
    "    .options = options,\n"
    "    .conf_size = sizeof(struct conf),\n"
    "    .conf_check = conf_check,\n"
    "    .conf_start = conf_start,\n"
    "    .on_request_head = on_request_head,\n"
    "    .on_response_head = on_response_head,\n"
    "};\n";

static const char test[] =
    "/* @_test.c - @ in a gateway that is none: sluice_test.h tells what it can do. */\n"
    "#undef NDEBUG\n"
    "#include <assert.h>\n"
    "#include <sluice_test.h>\n"
    "#include <stdio.h>\n"
    "#include <string.h>\n"
    "\n"
    "static void greets(void)\n"
    "{\n"
    "    struct sluice_test *test = sluice_test_started(&sluice_plugin, \"greeting=good day\", "
    "NULL);\n"
    "    struct sluice_exchange *ex = sluice_test_request(test, \"GET\", \"/\");\n"
    "\n"
    "    assert(sluice_test_request_head(ex) == SLUICE_NEXT);\n"
    "    assert(sluice_test_response_head(ex, 200) == SLUICE_NEXT);\n"
    "    assert(strcmp(sluice_test_field(ex, SLUICE_RESPONSE, \"x-greeting\"), \"good day\") == "
    "0);\n"
    "    sluice_test_done(ex, true);\n"
    "    sluice_test_free(&test);\n"
    "}\n"
    "\n"
    "static void refuses_without_the_field(void)\n"
    "{\n"
    "    struct sluice_test *test = sluice_test_started(&sluice_plugin, \"require=x-team\", "
    "NULL);\n"
    "    struct sluice_exchange *ex = sluice_test_request(test, \"GET\", \"/\");\n"
    "\n"
    "    assert(sluice_test_request_head(ex) == SLUICE_REPLIED);\n"
    "    assert(sluice_test_reply(ex)->status == 400);\n"
    "    assert(sluice_test_metric(test, \"refused_total\", NULL) == 1);\n"
    "    ex = sluice_test_request(test, \"GET\", \"/\");\n"
    "    sluice_test_field_add(ex, SLUICE_REQUEST, \"X-Team\", \"red\");\n"
    "    assert(sluice_test_request_head(ex) == SLUICE_NEXT);\n"
    "    sluice_test_free(&test);\n"
    "}\n"
    "\n"
    "static void refuses_an_empty_greeting(void)\n"
    "{\n"
    "    struct sluice_test *test = sluice_test_new(&sluice_plugin);\n"
    "\n"
    "    sluice_test_set(test, \"greeting=''\");\n"
    "    assert(!sluice_test_check(test));\n"
    "    assert(strstr(sluice_test_errors(test), \"greeting: it is empty\"));\n"
    "    sluice_test_free(&test);\n"
    "}\n"
    "\n"
    "int main(void)\n"
    "{\n"
    "    greets();\n"
    "    refuses_without_the_field();\n"
    "    refuses_an_empty_greeting();\n"
    "    puts(\"@: ok\");\n"
    "    return 0;\n"
    "}\n";

static const char makefile[] =
    "# make           @.so\n"
    "# make check     its unit test, and the contract with the gateway (sluice plugin test)\n"
    "# make install   into the gateway's folder of plugins; DESTDIR is put before it\n"
    "PKG_CONFIG ?= pkg-config\n"
    "SLUICE     ?= $(shell $(PKG_CONFIG) --variable=sluice sluice-plugin)\n"
    "SDK        := $(shell $(PKG_CONFIG) --variable=sdkdir sluice-plugin)\n"
    "PLUGINDIR  := $(shell $(PKG_CONFIG) --variable=plugindir sluice-plugin)\n"
    "ifeq ($(SDK),)\n"
    "$(error pkg-config does not find sluice-plugin; set PKG_CONFIG_PATH to where sluice-plugin.pc "
    "is)\n"
    "endif\n"
    "CFLAGS     ?= -O2 -g\n"
    "override CFLAGS += -std=c11 -Wall -Wextra -fvisibility=hidden $(shell $(PKG_CONFIG) --cflags "
    "sluice-plugin)\n"
    "\n"
    "all: @.so\n"
    "@.so: @.c\n"
    "\t$(CC) $(CFLAGS) -fPIC -shared -o $@ $^ $(LDFLAGS)\n"
    "@_test: @_test.c @.c\n"
    "\t$(CC) $(CFLAGS) -D_GNU_SOURCE -o $@ $^ $(wildcard $(SDK)/sluice_test*.c) $(LDFLAGS) -ldl\n"
    "check: @_test @.so\n"
    "\t./@_test\n"
    "\t$(SLUICE) plugin test ./@.so\n"
    "install: @.so\n"
    "\tinstall -D -m 644 @.so $(DESTDIR)$(PLUGINDIR)/@.so\n"
    "clean:\n"
    "\trm -f @.so @_test\n"
    ".PHONY: all check install clean\n";

static const char readme[] =
    "# @\n"
    "\n"
    "Asks for a field in every request, and greets in every response.\n"
    "\n"
    "    make && make check\n"
    "    sluice plugin inspect @.so\n"
    "\n"
    "## Options\n"
    "\n"
    "| option | value | default | meaning |\n"
    "| --- | --- | --- | --- |\n"
    "| `require` | text |  | field that a request must carry; empty: none "
    "|\n"
    "| `greeting` | text | `hello` | value of the response field x-greeting "
    "|\n"
    "\n"
    "## Example\n"
    "\n"
    "```yaml\n"
    "plugin_path: [.]\n"
    "plugins:\n"
    "  - @: {require: x-team, greeting: good day}\n"
    "```\n"
    "\n"
    "## When it fails\n"
    "\n"
    "It needs nothing outside of the process. Out of memory for the "
    "exchange, `on_error` of the\n"
    "entry decides.\n";

/* "$@" of make stays. */
static void fill_in(const char *content, const char *name, struct text *out)
{
    for (const char *at = content; *at; at++) {
        bool is_makes = at > content && at[-1] == '$';

        if (*at == '@' && !is_makes) {
            text_add(out, span_of(name));
        } else {
            text_add_char(out, *at);
        }
    }
}

static bool write_all(int fd, struct sluice_span rest)
{
    while (rest.len) {
        ssize_t n = write(fd, rest.ptr, rest.len);

        if (n < 0)
            return false;
        rest.ptr += n;
        rest.len -= (size_t)n;
    }
    return true;
}

static enum err write_file(const char *path, const char *content, const char *name,
                           struct text *why)
{
    struct text out;
    bool written = false;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

    text_init(&out, FILE_MAX);
    fill_in(content, name, &out);
    if (fd >= 0) {
        written = write_all(fd, text_span(&out));
        written = close(fd) == 0 && written;
    }
    text_fini(&out);
    if (written)
        return OK;
    text_format(why, "cannot write %s: %s", path, strerror(errno));
    return ERR_SYSTEM;
}

static bool is_plugin_name(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");

    return n > 0 && n <= NAME_MAX_LEN && name[n] == '\0' && (name[0] < '0' || name[0] > '9');
}

enum err scaffold_write(const char *parent, const char *name, struct text *why)
{
    const struct {
        const char *suffix, *content;
    } files[] = {{".c", source}, {"_test.c", test}, {NULL, makefile}, {NULL, readme}};
    char path[PATH_ROOM];
    struct text where;
    enum err err = OK;

    if (!is_plugin_name(name)) {
        text_format(why, "'%s' is no name for a plugin: [a-z0-9_]+, at most %d, a letter first",
                    name, NAME_MAX_LEN);
        return ERR_CONFIG;
    }
    text_init_fixed(&where, path, sizeof(path));
    text_format(&where, "%s/%s", parent, name);
    if (where.cut || mkdir(path, 0777) != 0) {
        text_format(why, "cannot make %s: %s", path, strerror(where.cut ? ENAMETOOLONG : errno));
        return ERR_SYSTEM;
    }
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]) && !err; i++) {
        text_reset(&where);
        text_format(&where, "%s/%s/", parent, name);
        if (files[i].suffix) {
            text_format(&where, "%s%s", name, files[i].suffix);
        } else {
            text_add(&where, files[i].content == readme ? SPAN("README.md") : SPAN("Makefile"));
        }
        err = write_file(path, files[i].content, name, why);
    }
    return err;
}
