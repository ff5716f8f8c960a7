/*
 * rate_fields.c - the fields that tell a client where it stands.
 */
#include "kit/print.h"
#include "rate.h"

static uint64_t seconds(uint64_t ns)
{
    return (ns + 999999999) / 1000000000;
}

static uint64_t quota(const struct rate_limit *limit)
{
    if (limit->algorithm == RATE_CONCURRENCY)
        return limit->concurrent;
    return limit->algorithm == RATE_GCRA ? limit->bucket.burst : limit->rate.amount;
}

/* One more field; its value is the number, in the text's next row. */
static void add(struct rate_fields_text *text, struct sluice_span name, uint64_t number)
{
    struct sluice_pair *field = &text->field[text->n];
    char *row = text->row[text->n++];

    field->name = name;
    field->value.ptr = row;
    field->value.len = print_number(row, number);
}

/* "NAME";r=REMAINING;t=SECONDS: a name is cut where it would fill the row. */
static size_t print_standing(char *row, size_t room, struct sluice_span name,
                             const struct limit_answer *answer)
{
    const size_t rest = sizeof("\"\";r=;t=") + 2 * (size_t)PRINT_NUMBER_MAX;
    char *at = row;

    *at++ = '"';
    at = print_bytes(at, name.ptr, name.len < room - rest ? name.len : room - rest);
    at = print_bytes(at, "\";r=", 4);
    at += print_number(at, answer->remaining);
    at = print_bytes(at, ";t=", 3);
    at += print_number(at, seconds(answer->reset_ns));
    return (size_t)(at - row);
}

void rate_tell(const struct sluice_call *call, struct rate_fields_text *text)
{
    const struct rate_conf *conf = call->conf;
    const struct rate_ctx *ctx = call->ctx;
    const struct rate_limit *limit;
    const struct limit_answer *answer;
    struct sluice_pair *field;

    text->n = 0;
    if (!ctx->hit || ctx->tightest < 0 || conf->fields == RATE_FIELDS_OFF)
        return;
    limit = &conf->limit[ctx->tightest];
    answer = &ctx->hit[ctx->tightest].answer;
    if (conf->fields == RATE_FIELDS_LEGACY) {
        add(text, SLUICE_SPAN("x-ratelimit-limit"), quota(limit));
        add(text, SLUICE_SPAN("x-ratelimit-remaining"), answer->remaining);
        add(text, SLUICE_SPAN("x-ratelimit-reset"), seconds(answer->reset_ns));
        return;
    }
    text->field[text->n++] = (struct sluice_pair){SLUICE_SPAN("ratelimit-policy"), limit->policy};
    field = &text->field[text->n];
    field->name = SLUICE_SPAN("ratelimit");
    field->value.ptr = text->row[text->n];
    field->value.len =
        print_standing(text->row[text->n], sizeof(text->row[0]), limit->name, answer);
    text->n++;
}
