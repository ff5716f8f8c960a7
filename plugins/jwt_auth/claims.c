/*
 * claims.c - the registered claims of RFC 7519, scopes of RFC 8693 and Azure's scp, and rules of
 * the operator's own.
 */
#include "claims.h"

#include "document.h"
#include "kit/span.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define SECOND_US   1000000.0
#define SECONDS_MAX 9007199254740992.0 /* 2^53: what a double tells exactly */
#define PATH_DEPTH  8

/* -- lists of spans ---------------------------------------------------------- */

static bool list_has(struct sluice_list list, struct sluice_span text)
{
    const struct sluice_span *spans = list.first;

    for (size_t i = 0; i < list.n; i++) {
        if (span_is(spans[i], text))
            return true;
    }
    return false;
}

/* -- moments ----------------------------------------------------------------- */

enum moment { MOMENT_ABSENT, MOMENT_OK, MOMENT_BAD };

/* A NumericDate: a number, not negative, not beyond what numbers can tell. */
static enum moment moment_of(const json_t *claims, const char *name, uint64_t *at_us)
{
    const json_t *value = json_object_get(claims, name);
    double seconds;

    if (!value)
        return MOMENT_ABSENT;
    if (!json_is_number(value))
        return MOMENT_BAD;
    seconds = json_number_value(value);
    if (!isfinite(seconds) || seconds < 0 || seconds > SECONDS_MAX)
        return MOMENT_BAD;
    /* beyond the year 500,000 is as good as never, and fits */
    *at_us = seconds > SECONDS_MAX / SECOND_US ? UINT64_MAX / 4 : (uint64_t)(seconds * SECOND_US);
    return MOMENT_OK;
}

static void sooner(uint64_t *until_us, uint64_t at_us)
{
    if (at_us < *until_us)
        *until_us = at_us;
}

static enum refusal check_exp(const struct claims_rules *rules, const json_t *claims,
                              uint64_t now_us, uint64_t *until_us)
{
    uint64_t exp_us = 0, leeway_us = rules->leeway_ms * 1000;

    switch (moment_of(claims, "exp", &exp_us)) {
    case MOMENT_BAD:
        return REFUSAL_CLAIMS;
    case MOMENT_ABSENT:
        return rules->needs_exp ? REFUSAL_CLAIMS : REFUSAL_NONE;
    case MOMENT_OK:
        break;
    }
    if (now_us >= exp_us + leeway_us)
        return REFUSAL_EXPIRED;
    sooner(until_us, exp_us + leeway_us);
    return REFUSAL_NONE;
}

static enum refusal check_nbf(const struct claims_rules *rules, const json_t *claims,
                              uint64_t now_us)
{
    uint64_t nbf_us = 0;
    enum moment moment = moment_of(claims, "nbf", &nbf_us);

    if (moment == MOMENT_BAD)
        return REFUSAL_CLAIMS;
    return nbf_us > now_us + rules->leeway_ms * 1000 ? REFUSAL_EARLY : REFUSAL_NONE;
}

/* A token from the future is none; one without iat has no age. */
static enum refusal check_iat(const struct claims_rules *rules, const json_t *claims,
                              uint64_t now_us, uint64_t *until_us)
{
    uint64_t iat_us = 0, leeway_us = rules->leeway_ms * 1000;
    enum moment moment = moment_of(claims, "iat", &iat_us);

    if (moment == MOMENT_BAD || (moment == MOMENT_ABSENT && rules->max_age_ms > 0))
        return REFUSAL_CLAIMS;
    if (moment == MOMENT_ABSENT)
        return REFUSAL_NONE;
    if (iat_us > now_us + leeway_us)
        return REFUSAL_EARLY;
    if (rules->max_age_ms == 0)
        return REFUSAL_NONE;
    if (now_us >= iat_us + rules->max_age_ms * 1000 + leeway_us)
        return REFUSAL_AGE;
    sooner(until_us, iat_us + rules->max_age_ms * 1000 + leeway_us);
    return REFUSAL_NONE;
}

static enum refusal check_time(const struct claims_rules *rules, const json_t *claims,
                               uint64_t now_us, uint64_t *until_us)
{
    enum refusal refusal = check_exp(rules, claims, now_us, until_us);

    if (refusal == REFUSAL_NONE)
        refusal = check_nbf(rules, claims, now_us);
    if (refusal == REFUSAL_NONE)
        refusal = check_iat(rules, claims, now_us, until_us);
    return refusal;
}

/* -- who, and for whom ------------------------------------------------------- */

/* What RFC 7519 calls StringOrURI is text, when it is there. */
static bool names_are_text(const json_t *claims)
{
    static const char *const names[] = {"iss", "sub", "jti"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const json_t *value = json_object_get(claims, names[i]);

        if (value && !json_is_string(value))
            return false;
    }
    return true;
}

static enum refusal check_issuer(const struct claims_rules *rules, const json_t *claims)
{
    const json_t *iss = json_object_get(claims, "iss");

    if (!names_are_text(claims))
        return REFUSAL_CLAIMS;
    if (rules->issuers.n > 0 && (!iss || !list_has(rules->issuers, document_span(iss))))
        return REFUSAL_ISSUER;
    return REFUSAL_NONE;
}

/* Text, or a list of nothing but text. */
static bool is_text_or_texts(const json_t *value)
{
    for (size_t i = 0; i < json_array_size(value); i++) {
        if (!json_is_string(json_array_get(value, i)))
            return false;
    }
    return json_is_string(value) || json_is_array(value);
}

static enum refusal check_audience(const struct claims_rules *rules, const json_t *claims)
{
    const json_t *aud = json_object_get(claims, "aud");

    if (aud && !is_text_or_texts(aud))
        return REFUSAL_CLAIMS;
    if (rules->audiences.n == 0)
        return REFUSAL_NONE;
    if (json_is_string(aud) && list_has(rules->audiences, document_span(aud)))
        return REFUSAL_NONE;
    for (size_t i = 0; i < json_array_size(aud); i++) {
        if (list_has(rules->audiences, document_span(json_array_get(aud, i))))
            return REFUSAL_NONE;
    }
    return REFUSAL_AUDIENCE;
}

/* -- scopes ------------------------------------------------------------------ */

static bool words_have(struct sluice_span words, struct sluice_span wanted)
{
    struct sluice_span word;

    while (span_cut(&words, ' ', &word)) {
        if (span_is(word, wanted))
            return true;
    }
    return false;
}

/* In a claim that is text with spaces, or a list. */
static bool has_scope(const json_t *value, struct sluice_span wanted)
{
    if (json_is_string(value))
        return words_have(document_span(value), wanted);
    for (size_t i = 0; i < json_array_size(value); i++) {
        if (span_is(document_span(json_array_get(value, i)), wanted))
            return true;
    }
    return false;
}

static enum refusal check_scopes(const struct claims_rules *rules, const json_t *claims)
{
    const json_t *scope = json_object_get(claims, "scope"), *scp = json_object_get(claims, "scp");
    const struct sluice_span *wanted = rules->scopes.first;
    size_t found = 0;

    for (size_t i = 0; i < rules->scopes.n; i++)
        found += has_scope(scope, wanted[i]) || has_scope(scp, wanted[i]);
    if (found == rules->scopes.n || (rules->any_scope && found > 0))
        return REFUSAL_NONE;
    return REFUSAL_SCOPE;
}

/* -- rules of one's own ------------------------------------------------------ */

const json_t *claims_find(const json_t *claims, struct sluice_span name)
{
    const json_t *value = json_object_getn(claims, name.ptr, name.len);
    struct sluice_span rest = name, step;

    /* a claim may have dots in its name, as those that are URLs do */
    if (value)
        return value;
    value = claims;
    for (int i = 0; i < PATH_DEPTH && span_cut(&rest, '.', &step); i++) {
        value = json_object_getn(value, step.ptr, step.len);
        if (!value)
            return NULL;
    }
    return rest.ptr ? NULL : value;
}

/* A scalar against the text that the configuration has for it. */
static bool is_value(const json_t *value, struct sluice_span wanted)
{
    char text[64];
    int len;

    if (json_is_string(value))
        return span_is(document_span(value), wanted);
    if (json_is_boolean(value))
        return span_is(wanted, json_is_true(value) ? SLUICE_SPAN("true") : SLUICE_SPAN("false"));
    if (!json_is_integer(value))
        return false;
    len = snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    return span_is((struct sluice_span){text, (size_t)len}, wanted);
}

static bool is_one_of(const json_t *value, struct sluice_list wanted)
{
    const struct sluice_span *spans = wanted.first;

    for (size_t i = 0; i < wanted.n; i++) {
        if (is_value(value, spans[i]))
            return true;
    }
    return false;
}

/* A list has it; a scalar is it. */
static bool has_value(const json_t *value, struct sluice_span wanted)
{
    for (size_t i = 0; i < json_array_size(value); i++) {
        if (is_value(json_array_get(value, i), wanted))
            return true;
    }
    return is_value(value, wanted);
}

static bool holds(const struct claims_rule *rule, const json_t *claims)
{
    const json_t *value = claims_find(claims, rule->name);
    const struct sluice_span *contained = rule->contains.first;

    if (!value || json_is_null(value))
        return false;
    if (rule->equals.len > 0 && !is_value(value, rule->equals))
        return false;
    if (rule->one_of.n > 0 && !is_one_of(value, rule->one_of))
        return false;
    for (size_t i = 0; i < rule->contains.n; i++) {
        if (!has_value(value, contained[i]))
            return false;
    }
    return true;
}

static enum refusal check_rules(const struct claims_rules *rules, const json_t *claims)
{
    const struct claims_rule *rule = rules->claims.first;

    for (size_t i = 0; i < rules->claims.n; i++) {
        if (!holds(&rule[i], claims))
            return REFUSAL_CLAIM;
    }
    return REFUSAL_NONE;
}

enum refusal claims_check(const struct claims_rules *rules, const json_t *claims, uint64_t now_us,
                          uint64_t *until_us)
{
    enum refusal refusal;

    *until_us = UINT64_MAX;
    refusal = check_time(rules, claims, now_us, until_us);
    if (refusal == REFUSAL_NONE)
        refusal = check_issuer(rules, claims);
    if (refusal == REFUSAL_NONE)
        refusal = check_audience(rules, claims);
    if (refusal == REFUSAL_NONE)
        refusal = check_rules(rules, claims);
    if (refusal == REFUSAL_NONE)
        refusal = check_scopes(rules, claims);
    return refusal;
}

/* -- as text ----------------------------------------------------------------- */

struct line {
    char *out;
    size_t cap, len;
};

static bool line_add(struct line *line, struct sluice_span text)
{
    if (text.len > line->cap - line->len)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f)
            return false;
    }
    if (text.len > 0)
        memcpy(line->out + line->len, text.ptr, text.len);
    line->len += text.len;
    return true;
}

static bool add_json(struct line *line, const json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
    bool added = text && line_add(line, span_of(text));

    free(text);
    return added;
}

static bool add_list(struct line *line, const json_t *list)
{
    size_t n = 0;

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *element = json_array_get(list, i);
        struct sluice_span text = document_span(element);

        if (json_is_null(element) || (text.len > 0 && memchr(text.ptr, ',', text.len)))
            continue;
        if (n++ > 0 && !line_add(line, SLUICE_SPAN(",")))
            return false;
        if (text.ptr ? !line_add(line, text) : !add_json(line, element))
            return false;
    }
    return true;
}

static bool has_objects(const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *element = json_array_get(list, i);

        if (json_is_object(element) || json_is_array(element))
            return true;
    }
    return false;
}

bool claims_render(const json_t *value, char *out, size_t cap, size_t *len)
{
    struct line line = {.cap = cap};
    bool added;

    if (!value || json_is_null(value))
        return false;
    line.out = out;
    if (json_is_string(value)) {
        added = line_add(&line, document_span(value));
    } else if (json_is_array(value) && !has_objects(value)) {
        added = add_list(&line, value);
    } else {
        added = add_json(&line, value);
    }
    *len = line.len;
    return added;
}
