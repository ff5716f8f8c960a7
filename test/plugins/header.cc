/* header.cc - the plugin header in C++: a plugin made with it, and the macros in use. */
#include "sluice_plugin.h"

namespace
{
struct conf {
    sluice_span field;
};

const sluice_option row = {SLUICE_OPTION_TEXT, 0, "field", offsetof(conf, field), "x-a", "a field",
                           0, 0, nullptr, nullptr, 0, 0, nullptr};

sluice_verdict on_request_head(const sluice_call *call)
{
    sluice_span value = SLUICE_SPAN_INIT("b");

    if (!SLUICE_HAS(call->host, report))
        return SLUICE_FAIL;
    return call->host->field_set(call, SLUICE_REQUEST, SLUICE_SPAN("x-a"), value) ? SLUICE_NEXT
                                                                                   : SLUICE_FAIL;
}
} // namespace

/* in its own function, because designated initialisers are C++20 */
struct sluice_plugin make_plugin()
{
    struct sluice_plugin plugin = {};

    plugin.size = sizeof(plugin);
    plugin.abi = SLUICE_ABI;
    plugin.option_size = sizeof(sluice_option);
    plugin.options = &row;
    plugin.on_request_head = on_request_head;
    return plugin;
}
