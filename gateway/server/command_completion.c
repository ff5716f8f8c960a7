/* command_completion.c - completion scripts, printed from the tables of commands and options. */
#include "server/command.h"

#include <string.h>

/* In single quotes, for each of the shells. */
static void add_quoted(const char *words, struct text *out)
{
    text_add_char(out, '\'');
    for (; *words; words++) {
        if (*words == '\'') {
            text_add(out, SPAN("'\\''"));
        } else {
            text_add_char(out, *words);
        }
    }
    text_add_char(out, '\'');
}

/* "run check reload" */
static void add_names(struct text *out)
{
    for (const struct command *command = command_table; command->name; command++)
        text_format(out, "%s%s", command == command_table ? "" : " ", command->name);
}

/* What may stand where the first operand does, or nothing. */
static void add_choices(const struct command *command, struct text *out)
{
    const char *const *choice = command->choices;

    if (strcmp(command->name, "help") == 0)
        add_names(out);
    for (; choice && *choice; choice++)
        text_format(out, "%s%s", choice == command->choices ? "" : " ", *choice);
}

/* -- bash ---------------------------------------------------------------------- */

static void add_bash_values(bool of_files, const char *then, struct text *out)
{
    bool first = true;

    text_add(out, SPAN("    "));
    for (enum option_id id = 0; id < OPTION_COUNT; id++) {
        const struct option_row *row = &option_table[id];

        if (!row->metavar || row->is_file != of_files)
            continue;
        text_format(out, "%s--%s", first ? "" : "|", row->name);
        if (row->letter)
            text_format(out, "|-%c", row->letter);
        first = false;
    }
    text_format(out, ")\n        %s\n        return ;;\n", then);
}

static void add_bash_words(const struct command *command, struct text *out)
{
    text_format(out, "    %s)\n        words='", command->name);
    for (enum option_id id = 0; id < OPTION_COUNT; id++) {
        if (command_takes(command, id))
            text_format(out, "--%s ", option_table[id].name);
    }
    add_choices(command, out);
    text_add(out, SPAN("'\n"));
    if (command->takes_file)
        text_add(out, SPAN("        files=yes\n"));
    text_add(out, SPAN("        ;;\n"));
}

static void print_bash(struct text *out)
{
    text_add(out, SPAN("# bash completion for sluice; printed by 'sluice completion bash'\n"
                       "_sluice()\n{\n"
                       "    local word=${COMP_WORDS[COMP_CWORD]} words='' files=''\n"
                       "    local before=${COMP_WORDS[COMP_CWORD-1]}\n\n"
                       "    COMPREPLY=()\n"
                       "    if ((COMP_CWORD == 1)); then\n        words='"));
    add_names(out);
    text_add(out, SPAN(" --help --version'\n"
                       "        mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n"
                       "        return\n    fi\n"
                       "    case $before in\n"));
    add_bash_values(true, "mapfile -t COMPREPLY < <(compgen -f -- \"$word\")", out);
    add_bash_values(false, ":", out);
    text_add(out, SPAN("    esac\n    case ${COMP_WORDS[1]} in\n"));
    for (const struct command *command = command_table; command->name; command++)
        add_bash_words(command, out);
    text_add(out, SPAN("    esac\n"
                       "    if [[ $files && $word != -* ]]; then\n"
                       "        mapfile -t COMPREPLY < <(compgen -f -- \"$word\")\n"
                       "    else\n"
                       "        mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n"
                       "    fi\n}\n"
                       "complete -o filenames -F _sluice sluice\n"));
}

/* -- zsh ------------------------------------------------------------------------ */

/* Help inside [...] of _arguments. */
static void add_zsh_help(const char *words, struct text *out)
{
    for (; *words; words++) {
        if (strchr("[]\\", *words))
            text_add_char(out, '\\');
        if (*words == '\'') {
            text_add(out, SPAN("'\\''"));
        } else {
            text_add_char(out, *words);
        }
    }
}

static void add_zsh_option(enum option_id id, struct text *out)
{
    const struct option_row *row = &option_table[id];
    const char *repeats = id == OPTION_FIELD ? "*" : "";

    text_add(out, SPAN(" \\\n            "));
    if (row->letter) {
        text_format(out, "'%s'{-%c,--%s}'[", repeats, row->letter, row->name);
    } else {
        text_format(out, "'%s--%s[", repeats, row->name);
    }
    add_zsh_help(row->help, out);
    text_add_char(out, ']');
    if (row->metavar)
        text_format(out, ":%s:%s", row->name, row->is_file ? "_files" : "");
    text_add_char(out, '\'');
}

static void add_zsh_command(const struct command *command, struct text *out)
{
    text_format(out, "    %s)\n        _arguments", command->name);
    for (enum option_id id = 0; id < OPTION_COUNT; id++) {
        if (command_takes(command, id))
            add_zsh_option(id, out);
    }
    if (command->takes_file) {
        text_add(out, SPAN(" \\\n            '1:file:_files'"));
    } else if (command->max_operands) {
        text_format(out, " \\\n            '%s:operand:(",
                    command_choices_begin(command) ? "*" : "1");
        add_choices(command, out);
        text_add(out, SPAN(")'"));
    }
    text_add(out, SPAN("\n        ;;\n"));
}

static void print_zsh(struct text *out)
{
    text_add(out, SPAN("#compdef sluice\n"
                       "# zsh completion for sluice; printed by 'sluice completion zsh'\n"
                       "_sluice()\n{\n    local -a commands\n    commands=(\n"));
    for (const struct command *command = command_table; command->name; command++) {
        text_format(out, "        %s:", command->name);
        add_quoted(command->help, out);
        text_add_char(out, '\n');
    }
    text_add(out, SPAN("    )\n"
                       "    if (( CURRENT == 2 )); then\n"
                       "        _describe command commands\n        return\n    fi\n"
                       "    shift words\n    (( CURRENT-- ))\n"
                       "    case $words[1] in\n"));
    for (const struct command *command = command_table; command->name; command++)
        add_zsh_command(command, out);
    text_add(out, SPAN("    esac\n}\n"
                       "if [[ $funcstack[1] == _sluice ]]; then\n"
                       "    _sluice \"$@\"\nelse\n    compdef _sluice sluice\nfi\n"));
}

/* -- fish ----------------------------------------------------------------------- */

static void add_fish_option(const struct command *command, const struct option_row *row,
                            struct text *out)
{
    text_format(out, "complete -c sluice -n '__fish_seen_subcommand_from %s' -l %s", command->name,
                row->name);
    if (row->letter)
        text_format(out, " -s %c", row->letter);
    if (row->metavar)
        text_format(out, " -r%s", row->is_file ? " -F" : "");
    text_add(out, SPAN(" -d "));
    add_quoted(row->help, out);
    text_add_char(out, '\n');
}

static void add_fish_command(const struct command *command, struct text *out)
{
    text_format(out, "complete -c sluice -n __fish_use_subcommand -a %s -d ", command->name);
    add_quoted(command->help, out);
    text_add_char(out, '\n');
    for (enum option_id id = 0; id < OPTION_COUNT; id++) {
        if (command_takes(command, id))
            add_fish_option(command, &option_table[id], out);
    }
    if (!command->max_operands || (!command->takes_file && command->min_operands > 1))
        return;
    text_format(out, "complete -c sluice -n '__fish_seen_subcommand_from %s'", command->name);
    if (command->takes_file) {
        text_add(out, SPAN(" -F\n"));
        return;
    }
    text_add(out, SPAN(" -a '"));
    add_choices(command, out);
    text_add(out, SPAN("'\n"));
}

static void print_fish(struct text *out)
{
    text_add(out, SPAN("# fish completion for sluice; printed by 'sluice completion fish'\n"
                       "complete -c sluice -f\n"));
    for (const struct command *command = command_table; command->name; command++)
        add_fish_command(command, out);
}

int command_completion(const struct args *args)
{
    struct text out;

    text_init(&out, COMMAND_BYTES);
    if (strcmp(args->operand[0], "bash") == 0) {
        print_bash(&out);
    } else if (strcmp(args->operand[0], "zsh") == 0) {
        print_zsh(&out);
    } else {
        print_fish(&out);
    }
    return command_out(&out);
}
