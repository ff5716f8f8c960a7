/* command_table.c - all commands and options. Help, completion and the reader follow it. */
#include "server/command.h"

#define TAKES(id) (1U << OPTION_##id)

const struct option_row option_table[OPTION_COUNT] = {
    [OPTION_CONFIG] = {"config", 'c', "FILE", true,
                       "The configuration; default ./sluice.yaml, then /etc/sluice/sluice.yaml, "
                       "then one that is built in."},
    [OPTION_TO] = {"to", 0, "URL", false, "No file: forward everything to http://HOST[:PORT]."},
    [OPTION_LISTEN] = {"listen", 0, "ADDR:PORT", false,
                       "No file: listen here; default 127.0.0.1:8080."},
    [OPTION_PRINT_CONFIG] = {"print-config", 0, NULL, false,
                             "Print the configuration that would be used, and end."},
    [OPTION_JSON] = {"json", 0, NULL, false, "Answer in JSON, on stdout."},
    [OPTION_MARKDOWN] = {"markdown", 0, NULL, false, "Print the table of options of a README."},
    [OPTION_ADMIN] = {"admin", 0, "ADDR", false,
                      "The admin listener (ADDR:PORT or unix:PATH); default that of the "
                      "configuration."},
    [OPTION_WATCH] = {"watch", 'w', NULL, false, "Show it again and again, until q or Ctrl-C."},
    [OPTION_INTERVAL] = {"interval", 'n', "TIME", false,
                         "How long between two looks, such as 500ms or 2s; default 1s."},
    [OPTION_FIELD] = {"header", 'H', "'NAME: VALUE'", false,
                      "A field of the request; may be repeated."},
    [OPTION_LISTENER] = {"listener", 0, "NAME", false,
                         "The listener the request comes in by; default the first."},
    [OPTION_VERBOSE] = {"verbose", 'v', NULL, false, "Name the libraries too."},
    [OPTION_HELP] = {"help", 'h', NULL, false, "Tell of this command, and end."},
};

static const char *const shells[] = {"bash", "zsh", "fish", NULL};

static const char *const connection_filters[] = {
    "side=",      "client=", "listener=", "upstream=", "protocol=", "worker=",
    "idle_over=", "id=",     "sort=",     "limit=",    NULL};

static const char *const plugin_actions[] = {"new", "inspect", "test", NULL};

const struct command command_table[] = {
    {.name = "run",
     .operands = "",
     .options = TAKES(CONFIG) | TAKES(TO) | TAKES(LISTEN) | TAKES(PRINT_CONFIG),
     .help = "Serve until a signal or the admin listener ends it.",
     .more = "SIGTERM and SIGINT drain, a second one ends at once; SIGHUP reads the configuration\n"
             "again; SIGUSR1 opens the log files again.\n",
     .run = command_run},
    {.name = "check",
     .operands = "[FILE]",
     .max_operands = 1,
     .options = TAKES(CONFIG) | TAKES(JSON),
     .takes_file = true,
     .help = "Tell all that is wrong with a configuration; open nothing.",
     .run = command_check},
    {.name = "reload",
     .operands = "",
     .options = TAKES(CONFIG) | TAKES(ADMIN),
     .help = "Let the running gateway read its configuration again.",
     .more = "Asks the admin listener, and tells what it noted.\n",
     .run = command_reload},
    {.name = "upstreams",
     .operands = "[NAME]",
     .max_operands = 1,
     .options = TAKES(CONFIG) | TAKES(ADMIN) | TAKES(WATCH) | TAKES(INTERVAL) | TAKES(JSON),
     .help = "Show the upstreams of the running gateway, and how their endpoints are.",
     .more = "Asks the admin listener. With --watch: q ends, j, k and the arrows move by a line,\n"
             "blank and b by a page, g goes to the top. With --watch and --json each look is a\n"
             "line.\n",
     .run = command_upstreams},
    {.name = "connections",
     .operands = "[FILTER=VALUE]...",
     .max_operands = COMMAND_OPERANDS,
     .options = TAKES(CONFIG) | TAKES(ADMIN) | TAKES(JSON),
     .choices = connection_filters,
     .help = "Show the connections of the running gateway, oldest first.",
     .more = "Asks the admin listener. Filters: client=ADDR[/BITS], listener=NAME, "
             "protocol=h1|h2|tunnel,\n"
             "worker=N, idle_over=TIME, id=N; sort=age|idle|requests, limit=N (100);\n"
             "side=upstream: those to endpoints, upstream=NAME.\n",
     .run = command_connections},
    {.name = "mem",
     .operands = "",
     .options = TAKES(CONFIG) | TAKES(ADMIN) | TAKES(JSON),
     .help = "Show where the memory of the running gateway is, by kind.",
     .more = "Asks the admin listener.\n",
     .run = command_mem},
    {.name = "explain",
     .operands = "METHOD URL",
     .min_operands = 2,
     .max_operands = 2,
     .options = TAKES(CONFIG) | TAKES(FIELD) | TAKES(LISTENER) | TAKES(JSON),
     .help = "Tell what would happen to a request, and why; send nothing.",
     .more = "URL is http://HOST/PATH, or a path alone.\n",
     .run = command_explain},
    {.name = "plugin",
     .operands = "new|inspect|test NAME|FILE [DIR|OPTION=VALUE...]",
     .min_operands = 2,
     .max_operands = COMMAND_OPERANDS,
     .options = TAKES(JSON) | TAKES(MARKDOWN),
     .choices = plugin_actions,
     .takes_file = true,
     .help = "Begin a plugin, look at one, or hold one to its contract.",
     .more = "new NAME [DIR]     writes DIR/NAME/: source, Makefile, README, unit test\n"
             "inspect FILE       prints what FILE.so says of itself\n"
             "test FILE [OPTION=VALUE]...\n"
             "                   drives FILE.so through all phases, with memory failing too\n",
     .run = command_plugin},
    {.name = "schema",
     .operands = "",
     .help = "Print the JSON Schema of the configuration.",
     .run = command_schema},
    {.name = "reference",
     .operands = "",
     .help = "Print the reference of the configuration, in Markdown.",
     .run = command_reference},
    {.name = "version",
     .operands = "",
     .options = TAKES(VERBOSE),
     .help = "Print the version.",
     .run = command_version},
    {.name = "completion",
     .operands = "bash|zsh|fish",
     .min_operands = 1,
     .max_operands = 1,
     .choices = shells,
     .help = "Print a completion script for a shell.",
     .more = "bash: source <(sluice completion bash)\n"
             "zsh:  sluice completion zsh >\"${fpath[1]}/_sluice\"\n"
             "fish: sluice completion fish | source\n",
     .run = command_completion},
    {.name = "help",
     .operands = "[COMMAND]",
     .max_operands = 1,
     .help = "Tell of all commands, or of one.",
     .run = command_help},
    {.name = NULL},
};
