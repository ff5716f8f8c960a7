/* command_schema.c - what the program says of itself: schema, reference, version. */
#include "chain/catalogue.h"
#include "config/library.h"
#include "core/library.h"
#include "net/fetch.h"
#include "route/library.h"
#include "server/command.h"

#include <jansson.h>

int command_schema(const struct args *args)
{
    struct catalogue *plugins = catalogue_new();
    struct text out;

    (void)args;
    text_init(&out, COMMAND_BYTES);
    schema_print(&gateway_shape, "sluice configuration", catalogue_shape(plugins), &out);
    catalogue_free(&plugins);
    return command_out(&out);
}

int command_reference(const struct args *args)
{
    struct catalogue *plugins = catalogue_new();
    struct text out;

    (void)args;
    text_init(&out, COMMAND_BYTES);
    reference_print(&gateway_shape, "Configuration reference", catalogue_shape(plugins), &out);
    catalogue_free(&plugins);
    return command_out(&out);
}

int command_version(const struct args *args)
{
    struct text out;

    text_init(&out, COMMAND_BYTES);
    text_add(&out, SPAN("sluice " SLUICE_VERSION "\n"));
    if (args->value[OPTION_VERBOSE]) {
        text_format(&out, "libevent %s\n", library_libevent());
        text_format(&out, "libyaml %s\n", library_libyaml());
        text_add(&out, SPAN("pcre2 "));
        library_pcre2(&out);
        text_format(&out, "\njansson %s\n", JANSSON_VERSION);
        text_format(&out, "libcurl %s\n", fetch_library());
    }
    return command_out(&out);
}
