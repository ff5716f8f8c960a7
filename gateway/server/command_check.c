/* command_check.c - all that a start does, except opening anything. */
#include "server/command.h"
#include "server/rehearsal.h"

static void add_counts(const struct snapshot_conf *conf, struct text *out)
{
    const struct {
        size_t n;
        const char *what;
    } counts[] = {{conf->listeners.n, "listener"},
                  {conf->upstreams.n, "upstream"},
                  {conf->routes.n, "route"}};

    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        text_format(out, "%s%zu %s%s", i ? ", " : "", counts[i].n, counts[i].what,
                    counts[i].n == 1 ? "" : "s");
    }
}

static int print_json(const char *name, bool ok, const struct snapshot_conf *conf,
                      const struct notes *notes)
{
    struct text out;

    text_init(&out, COMMAND_BYTES);
    text_format(&out, "{\"ok\": %s, \"file\": ", ok ? "true" : "false");
    command_add_json(&out, span_of(name));
    if (ok) {
        text_format(&out, ", \"listeners\": %zu, \"upstreams\": %zu, \"routes\": %zu",
                    conf->listeners.n, conf->upstreams.n, conf->routes.n);
    }
    text_add(&out, SPAN(", \"notes\": "));
    notes_print_json(notes, &out);
    text_add(&out, SPAN("}\n"));
    return command_out(&out);
}

static int print_fine(const char *name, const struct snapshot_conf *conf)
{
    struct text out;

    text_init(&out, COMMAND_BYTES);
    text_format(&out, "%s: fine (", name);
    add_counts(conf, &out);
    text_add(&out, SPAN(")\n"));
    return command_out(&out);
}

int command_check(const struct args *args)
{
    struct gateway_source source;
    struct notes *notes;
    struct rehearsal rehearsal;
    const char *name;
    bool ok;
    int code = EXIT_FINE;

    if (args->n_operands && args->value[OPTION_CONFIG])
        return command_usage(args->command, "name the file once: as FILE, or with -c");
    if (args->n_operands) {
        source = (struct gateway_source){.path = args->operand[0]};
    } else {
        source = command_source(args);
    }
    name = gateway_source_name(&source);
    notes = notes_new();
    ok = rehearsal_start(&rehearsal, &source, notes) == OK;
    if (args->value[OPTION_JSON]) {
        code = print_json(name, ok, &rehearsal.loaded.conf.serving, notes);
    } else {
        command_print_notes(notes);
        if (ok)
            code = print_fine(name, &rehearsal.loaded.conf.serving);
    }
    rehearsal_stop(&rehearsal);
    notes_free(&notes);
    return ok ? code : EXIT_REFUSED;
}
