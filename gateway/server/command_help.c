#include "server/command.h"

#include <string.h>

enum { HELP_COLUMNS = 78, ROOM = 128 };

/* " [-c FILE]" for each option, without help's own. */
static void add_synopsis(const struct command *command, struct text *out)
{
    text_format(out, "sluice %s", command->name);
    for (enum option_id id = 0; id < OPTION_HELP; id++) {
        const struct option_row *row = &option_table[id];

        if (!command_takes(command, id))
            continue;
        if (row->letter) {
            text_format(out, " [-%c%s%s]", row->letter, row->metavar ? " " : "",
                        row->metavar ? row->metavar : "");
        } else {
            text_format(out, " [--%s%s%s]", row->name, row->metavar ? " " : "",
                        row->metavar ? row->metavar : "");
        }
        if (id == OPTION_FIELD)
            text_add(out, SPAN("..."));
    }
    if (command->operands[0])
        text_format(out, " %s", command->operands);
}

/* words, broken at blanks, each further line indented to the column. */
static void add_wrapped(const char *words, size_t column, struct text *out)
{
    struct sluice_span rest = span_of(words);
    struct sluice_span word;
    size_t at = column;

    while (span_split(&rest, ' ', &word)) {
        if (at > column && at + 1 + word.len > HELP_COLUMNS) {
            text_format(out, "\n%*s", (int)column, "");
            at = column;
        }
        if (at > column) {
            text_add_char(out, ' ');
            at++;
        }
        text_add(out, word);
        at += word.len;
    }
    text_add_char(out, '\n');
}

static void add_option(const struct option_row *row, struct text *out)
{
    char label[ROOM];
    char letter[] = {'-', row->letter, ',', ' ', 0};
    struct text text;

    text_init_fixed(&text, label, sizeof(label));
    text_format(&text, "%s--%s%s%s", row->letter ? letter : "    ", row->name,
                row->metavar ? " " : "", row->metavar ? row->metavar : "");
    text_format(out, "  %-26s", label);
    if (text_span(&text).len >= 26) /* no blank is left between the two */
        text_format(out, "\n%28s", "");
    add_wrapped(row->help, 28, out);
}

static void print_command(const struct command *command, struct text *out)
{
    text_add(out, SPAN("usage: "));
    add_synopsis(command, out);
    text_format(out, "\n\n%s\n", command->help);
    if (command->more)
        text_add(out, span_of(command->more));
    text_add(out, SPAN("\noptions:\n"));
    for (enum option_id id = 0; id < OPTION_COUNT; id++) {
        if (command_takes(command, id))
            add_option(&option_table[id], out);
    }
}

void command_print_help(const struct command *command, struct text *out)
{
    if (command) {
        print_command(command, out);
        return;
    }
    text_add(out, SPAN("sluice " SLUICE_VERSION ": an API gateway and reverse proxy.\n\n"
                       "usage: sluice COMMAND [OPTIONS]\n\ncommands:\n"));
    for (const struct command *each = command_table; each->name; each++)
        text_format(out, "  %-12s%s\n", each->name, each->help);
    text_add(out, SPAN("\n'sluice help COMMAND' tells of one command.\n\n"
                       "exit codes: 0 fine, 1 failed at run time, 2 wrong usage, "
                       "3 configuration refused\n"));
}

int command_help(const struct args *args)
{
    const struct command *command = NULL;
    struct text out;

    if (args->n_operands) {
        command = command_find(args->operand[0]);
        if (!command)
            return command_usage(NULL, "there is no command '%s'", args->operand[0]);
    }
    text_init(&out, COMMAND_BYTES);
    command_print_help(command, &out);
    return command_out(&out);
}
