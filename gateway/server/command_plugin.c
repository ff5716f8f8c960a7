/* command_plugin.c - for those who write plugins: new, inspect, test. */
#include "sdk/contract.h"
#include "sdk/inspect.h"
#include "sdk/scaffold.h"
#include "server/command.h"

#include <stdio.h>
#include <string.h>

enum { WHY_BYTES = 4096 };

static int fail_with(const char *path, struct text *why)
{
    command_fail(EXIT_FAILED, "%s: %s", path, why->len ? why->ptr : "?");
    text_fini(why);
    return EXIT_FAILED;
}

static int make_new(const char *name, const char *parent)
{
    struct text why, out;

    text_init(&why, WHY_BYTES);
    if (scaffold_write(parent, name, &why))
        return fail_with(name, &why);
    text_fini(&why);
    text_init(&out, COMMAND_BYTES);
    text_format(&out, "%s/%s is there; next: cd %s/%s && make check\n", parent, name, parent, name);
    return command_out(&out);
}

static int inspect(const struct args *args, const char *path)
{
    struct inspected plugin;
    struct text why, out;

    text_init(&why, WHY_BYTES);
    if (inspect_open(path, &plugin, &why))
        return fail_with(path, &why);
    text_fini(&why);
    text_init(&out, COMMAND_BYTES);
    if (args->value[OPTION_JSON]) {
        inspect_json(&plugin, &out);
    } else if (args->value[OPTION_MARKDOWN]) {
        inspect_markdown(&plugin, &out);
    } else {
        inspect_text(&plugin, &out);
    }
    return command_out(&out);
}

static int test(const struct args *args, const char *path)
{
    struct inspected plugin;
    struct text why, out;
    unsigned failed;
    int code;

    text_init(&why, WHY_BYTES);
    if (inspect_open(path, &plugin, &why))
        return fail_with(path, &why);
    text_fini(&why);
    text_init(&out, COMMAND_BYTES);
    failed = contract_check(&plugin, args->operand + 2, args->n_operands - 2, &out);
    text_format(&out, "%s %s: %s\n", plugin.about.name, plugin.about.version,
                failed ? "does not keep the contract" : "keeps the contract");
    code = command_out(&out);
    return code == EXIT_FINE && failed ? EXIT_FAILED : code;
}

int command_plugin(const struct args *args)
{
    const char *what = args->operand[0], *on = args->operand[1];

    if (strcmp(what, "test") == 0)
        return test(args, on);
    if (args->n_operands > (strcmp(what, "new") == 0 ? 3U : 2U))
        return command_usage(args->command, "too many operands for '%s'", what);
    if (strcmp(what, "new") == 0)
        return make_new(on, args->n_operands > 2 ? args->operand[2] : ".");
    return inspect(args, on);
}
