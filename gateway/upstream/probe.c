#include "upstream/probe.h"

#include "net/fetch.h"

const char *probe_result_text(enum probe_result result)
{
#define PROBE_RESULT_TEXT(symbol, text) [PROBE_##symbol] = (text),
    static const char *const texts[] = {PROBE_RESULTS(PROBE_RESULT_TEXT)};
#undef PROBE_RESULT_TEXT

    return texts[result];
}

void probe_init(struct probe *probe, const struct probe_means *means,
                void (*done)(struct probe *probe, enum probe_result result, const char *why))
{
    *probe = (struct probe){.means = means, .done = done};
}

struct addr probe_address(const struct probe_order *order)
{
    struct addr addr = order->member->addr;

    if (order->conf->health.port != 0 && !addr_unix_path(&addr))
        addr.port = (uint16_t)order->conf->health.port;
    return addr;
}

void probe_start(struct probe *probe, const struct probe_order *order)
{
    probe->conf = &order->conf->health;
    if (probe->conf->kind == HEALTH_TCP) {
        probe_tcp_start(probe, order);
    } else {
        probe_fetch_start(probe, order);
    }
}

void probe_cancel(struct probe *probe)
{
    fetch_cancel(&probe->fetch);
    probe_tcp_cancel(probe);
}

bool probe_is_running(const struct probe *probe)
{
    return probe->fetch || probe->tcp;
}

struct sluice_span probe_preface(const struct probe_order *order)
{
    if (order->conf->health.port != 0) /* somebody else listens there */
        return SPAN("");
    return proxying_local((enum proxying_version)order->conf->proxying.version);
}
