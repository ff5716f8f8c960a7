#include "server/command.h"
#include "server/explain.h"
#include "server/rehearsal.h"

static int explain(const struct args *args, const struct rehearsal *rehearsal,
                   const struct notes *notes)
{
    const struct explain_asked asked = {.method = args->operand[0],
                                        .url = args->operand[1],
                                        .field = args->field,
                                        .n_fields = args->n_fields,
                                        .listener = args->value[OPTION_LISTENER]};
    struct explanation explanation;
    const char *why = NULL;
    struct text out;
    int code;

    if (explain_request(&explanation, rehearsal->snapshot, notes, &asked, &why)) {
        code = command_usage(args->command, "%s", why);
    } else {
        text_init(&out, COMMAND_BYTES);
        if (args->value[OPTION_JSON]) {
            explain_print_json(&explanation, &out);
        } else {
            explain_print(&explanation, &out);
        }
        code = command_out(&out);
    }
    explain_fini(&explanation);
    return code;
}

int command_explain(const struct args *args)
{
    struct gateway_source source = command_source(args);
    struct notes *notes = notes_new();
    struct rehearsal rehearsal;
    int code = EXIT_REFUSED;

    if (rehearsal_start(&rehearsal, &source, notes)) {
        command_print_notes(notes);
    } else {
        code = explain(args, &rehearsal, notes);
    }
    rehearsal_stop(&rehearsal);
    notes_free(&notes);
    return code;
}
