#include "upstream/eject.h"

#include "upstream/conf_outlier.h"

#include <math.h>

const char *eject_cause_text(enum eject_cause cause)
{
#define EJECT_CAUSE_TEXT(symbol, text) [EJECT_##symbol] = (text),
    static const char *const texts[] = {EJECT_CAUSES(EJECT_CAUSE_TEXT)};
#undef EJECT_CAUSE_TEXT

    return texts[cause];
}

/* -- one endpoint ------------------------------------------------------------ */

bool ejection_is_allowed(const struct outlier_conf *conf, size_t n, size_t n_ejected, size_t n_well)
{
    uint64_t most = n * conf->max_percent / 100;

    return n_well > 1 && n_ejected < (most > 0 ? most : 1);
}

void ejection_begin(struct ejection *ejection, const struct outlier_conf *conf,
                    enum eject_cause cause, uint64_t now_us, uint64_t random)
{
    uint64_t ms;

    ejection->times++;
    ms = conf->ejection_ms * ejection->times;
    if (ms > conf->ejection_max_ms) {
        ms = conf->ejection_max_ms;
        /* Those beyond the longest would only take longer to forgive. */
        ejection->times =
            (uint32_t)((conf->ejection_max_ms + conf->ejection_ms - 1) / conf->ejection_ms);
    }
    if (conf->jitter_ms > 0)
        ms += random % (conf->jitter_ms + 1);
    ejection->cause = cause;
    ejection->since_us = now_us;
    ejection->until_us = now_us + ms * 1000;
}

void ejection_end(struct ejection *ejection)
{
    ejection->until_us = 0;
}

bool ejection_is_over(const struct ejection *ejection, uint64_t now_us)
{
    return ejection->until_us <= now_us;
}

void ejection_forgive(struct ejection *ejection)
{
    if (ejection->until_us == 0 && ejection->times > 0)
        ejection->times--;
}

/* -- compared with the others -------------------------------------------------- */

static bool has_volume(const struct eject_sample *sample, uint64_t volume)
{
    uint64_t sum = sample->good + sample->bad;

    return sum > 0 && sum >= volume;
}

static double rate_of(const struct eject_sample *sample)
{
    return (double)sample->good / (double)(sample->good + sample->bad);
}

double eject_rate_limit(const struct outlier_conf *conf, const struct eject_sample *sample,
                        size_t n)
{
    double sum = 0;
    double squares = 0;
    double mean;
    uint64_t n_rates = 0;

    if (conf->rate_factor == 0)
        return EJECT_NOBODY;
    for (size_t i = 0; i < n; i++) {
        if (!has_volume(&sample[i], conf->rate_volume))
            continue;
        sum += rate_of(&sample[i]);
        n_rates++;
    }
    if (n_rates == 0 || n_rates < conf->rate_hosts)
        return EJECT_NOBODY;
    mean = sum / (double)n_rates;
    for (size_t i = 0; i < n; i++) {
        if (has_volume(&sample[i], conf->rate_volume))
            squares += (rate_of(&sample[i]) - mean) * (rate_of(&sample[i]) - mean);
    }
    return mean - (double)conf->rate_factor / 1000 * sqrt(squares / (double)n_rates);
}

bool eject_is_low(const struct outlier_conf *conf, const struct eject_sample *sample, double limit)
{
    return has_volume(sample, conf->rate_volume) && rate_of(sample) < limit;
}

bool eject_looks_at_failures(const struct outlier_conf *conf, const struct eject_sample *sample,
                             size_t n)
{
    uint64_t n_enough = 0;

    if (conf->failure_percent == 0)
        return false;
    for (size_t i = 0; i < n; i++) {
        n_enough += has_volume(&sample[i], conf->failure_volume);
    }
    return n_enough >= conf->failure_hosts;
}

bool eject_fails_much(const struct outlier_conf *conf, const struct eject_sample *sample)
{
    return has_volume(sample, conf->failure_volume) &&
           sample->bad * 100 >= conf->failure_percent * (sample->good + sample->bad);
}
