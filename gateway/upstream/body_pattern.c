#define PCRE2_CODE_UNIT_WIDTH 8

#include "upstream/body_pattern.h"

#include "base/check.h"

#include <pcre2.h>

enum { PATTERN_BYTES = 1024, STEPS_MAX = 200000, HEAP_KIB = 1024 };

struct body_pattern {
    pcre2_code *code;            /* owned, freed by the arena's clean-up */
    pcre2_match_context *limits; /* the same */
    pcre2_match_data *match;     /* the same */
};

static void end(void *pattern_)
{
    struct body_pattern *pattern = pattern_;

    pcre2_match_data_free(pattern->match);
    pcre2_match_context_free(pattern->limits);
    pcre2_code_free(pattern->code);
}

enum err body_pattern_new(struct sluice_span text, struct arena *arena, struct text *why,
                          struct body_pattern **pattern)
{
    const uint32_t options = PCRE2_NEVER_UTF | PCRE2_NEVER_UCP | PCRE2_NEVER_BACKSLASH_C;
    struct body_pattern *made = arena_new(arena, sizeof(*made));
    PCRE2_SIZE offset = 0;
    int number = 0;
    char message[160] = "out of memory";

    if (text.len > PATTERN_BYTES) {
        text_format(why, "it is longer than %d bytes", PATTERN_BYTES);
        return ERR_CONFIG;
    }
    made->code = pcre2_compile((PCRE2_SPTR)text.ptr, text.len, options, &number, &offset, NULL);
    if (!made->code) {
        (void)pcre2_get_error_message(number, (PCRE2_UCHAR *)message, sizeof(message));
        text_format(why, "%s at offset %zu", message, (size_t)offset);
        return ERR_CONFIG;
    }
    made->limits = pcre2_match_context_create(NULL);
    made->match = pcre2_match_data_create(1, NULL);
    CHECK(made->limits && made->match);
    pcre2_set_match_limit(made->limits, STEPS_MAX);
    pcre2_set_heap_limit(made->limits, HEAP_KIB);
    arena_on_fini(arena, end, made);
    *pattern = made;
    return OK;
}

bool body_pattern_matches(const struct body_pattern *pattern, struct sluice_span body)
{
    /* 0: it matched, and there was no room for its groups */
    return pcre2_match(pattern->code, (PCRE2_SPTR)(body.ptr ? body.ptr : ""), body.len, 0, 0,
                       pattern->match, pattern->limits) >= 0;
}
