#include "server/command.h"
#include "server/control.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* The file as it is written: values from the environment may be secrets. */
static int print_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : 1;
    char bytes[16384];
    struct text out;

    text_init(&out, COMMAND_BYTES);
    while (fd >= 0 && (n = read(fd, bytes, sizeof(bytes))) > 0)
        text_add(&out, span_make(bytes, (size_t)n));
    if (n < 0) {
        int why = errno;

        text_fini(&out);
        if (fd >= 0)
            close(fd);
        return command_fail(EXIT_FAILED, "cannot read '%s': %s", path, strerror(why));
    }
    close(fd);
    return command_out(&out);
}

static int print_source(const struct gateway_source *source)
{
    struct text out;

    if (source->path)
        return print_file(source->path);
    text_init(&out, COMMAND_BYTES);
    gateway_print_source(source, &out);
    return command_out(&out);
}

static int check_address(const struct args *args, const char *address)
{
    struct arena arena;
    struct addr addr;
    enum err err;

    arena_init(&arena, NULL, 0);
    err = addr_parse(span_of(address), &arena, &addr);
    arena_fini(&arena);
    if (err) {
        return command_usage(args->command,
                             "--listen '%s' is not an address such as 127.0.0.1:8080", address);
    }
    return EXIT_FINE;
}

/* With --to or --listen no file is looked for. */
static int find_source(const struct args *args, struct gateway_source *source)
{
    const char *to = args->value[OPTION_TO];
    const char *listen = args->value[OPTION_LISTEN];
    struct sluice_span authority;
    const char *why = to ? gateway_check_url(to, &authority) : NULL;

    if (!to && !listen) {
        *source = command_source(args);
        return EXIT_FINE;
    }
    if (args->value[OPTION_CONFIG]) {
        return command_usage(args->command,
                             "--%s is for a run without a file: leave out -c, or "
                             "write it into the file",
                             to ? "to" : "listen");
    }
    if (why)
        return command_usage(args->command, "--to '%s': %s", to, why);
    *source = (struct gateway_source){.to = to, .listen = listen};
    return listen ? check_address(args, listen) : EXIT_FINE;
}

int command_run(const struct args *args)
{
    struct gateway_source source = {.path = NULL};
    int code = find_source(args, &source);

    if (code != EXIT_FINE)
        return code;
    if (args->value[OPTION_PRINT_CONFIG])
        return print_source(&source);
    return control_run(&source);
}
