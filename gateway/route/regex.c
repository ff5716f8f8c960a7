/*
 * Limits: a pattern is the operator's, a subject the peer's, and some pairs take exponential time.
 * So each match may take MATCH_STEPS backtracking points, DEPTH_MAX nested ones and HEAP_KIB of
 * heap; beyond that it did not match. PCRE2 counts the points anew for each place in the subject
 * that a match may begin at, so a pattern that is not anchored gets fewer on a long subject.
 *
 * Patterns are compiled to machine code where the system allows it (not where memory cannot be
 * both written and run); without, only the limits are met a little earlier or later.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "route/regex.h"

#include "base/alloc.h"
#include "base/check.h"
#include "base/log.h"

#include <pcre2.h>
#include <string.h>

#define MATCH_STEPS   10000
#define SUBJECT_STEPS 4000000 /* over all places a match may begin at: some ms */
#define DEPTH_MAX     1000
#define HEAP_KIB      1024
#define STACK_BYTES   32768 /* at first; grows up to HEAP_KIB */
#define PATTERN_BYTES 4096
#define DECODE_BYTES  65536 /* a head is never larger */

struct route_regex {
    pcre2_code *code; /* owned, freed by the arena's clean-up */
    struct sluice_span pattern;
    struct sluice_span literal;
    unsigned groups;
    bool is_anchored; /* a match can only begin at the beginning */
};

struct route_scratch {
    pcre2_general_context *memory;
    pcre2_match_context *limits;
    pcre2_match_data *match;
    pcre2_jit_stack *stack; /* of the machine code; NULL where there is none */
    char bytes[DECODE_BYTES];
};

static void *take_memory(PCRE2_SIZE size, void *arg)
{
    (void)arg;
    return alloc_try(size);
}

static void give_memory(void *memory, void *arg)
{
    (void)arg;
    alloc_free(memory);
}

/* -- scratch ------------------------------------------------------------ */

struct route_scratch *route_scratch_new(void)
{
    struct route_scratch *scratch = alloc_new(sizeof(*scratch));

    scratch->memory = pcre2_general_context_create(take_memory, give_memory, NULL);
    CHECK(scratch->memory);
    scratch->limits = pcre2_match_context_create(scratch->memory);
    scratch->match = pcre2_match_data_create(REGEX_GROUPS, scratch->memory);
    CHECK(scratch->limits && scratch->match);
    scratch->stack = pcre2_jit_stack_create(STACK_BYTES, (size_t)HEAP_KIB * 1024, scratch->memory);
    if (scratch->stack)
        pcre2_jit_stack_assign(scratch->limits, NULL, scratch->stack);
    pcre2_set_depth_limit(scratch->limits, DEPTH_MAX);
    pcre2_set_heap_limit(scratch->limits, HEAP_KIB);
    return scratch;
}

void route_scratch_free(struct route_scratch **scratch)
{
    struct route_scratch *old = *scratch;

    *scratch = NULL;
    if (!old)
        return;
    pcre2_jit_stack_free(old->stack);
    pcre2_match_data_free(old->match);
    pcre2_match_context_free(old->limits);
    pcre2_general_context_free(old->memory);
    alloc_free(old);
}

char *regex_scratch_bytes(struct route_scratch *scratch, size_t *room)
{
    *room = sizeof(scratch->bytes);
    return scratch->bytes;
}

/* -- compiling ---------------------------------------------------------- */

static void free_code(void *code)
{
    pcre2_code_free(code);
}

/*
 * Plain bytes after a leading "^". Anything else than plain bytes ends it; alternatives,
 * groups with options and literal quoting make us give up, for what stands left of them need
 * not be there.
 */
static struct sluice_span literal_start(struct sluice_span pattern)
{
    static const char special[] = "\\^$.[]|()?*+{}#";
    size_t len = 1;

    if (pattern.len < 2 || pattern.ptr[0] != '^' || memchr(pattern.ptr, '|', pattern.len))
        return SPAN("");
    while (len < pattern.len && !strchr(special, pattern.ptr[len]))
        len++;
    if (len < pattern.len && len > 1 && strchr("?*{", pattern.ptr[len]))
        len--; /* the last byte may be missing */
    return span_make(pattern.ptr + 1, len - 1);
}

static pcre2_code *compile(struct sluice_span pattern, struct text *why)
{
    const uint32_t options =
        PCRE2_NEVER_UTF | PCRE2_NEVER_UCP | PCRE2_NEVER_BACKSLASH_C | PCRE2_DOLLAR_ENDONLY;
    pcre2_general_context *memory = pcre2_general_context_create(take_memory, give_memory, NULL);
    pcre2_compile_context *compiling;
    pcre2_code *code;
    PCRE2_SIZE offset = 0;
    int number = 0;
    char text[160] = "out of memory";

    CHECK(memory);
    compiling = pcre2_compile_context_create(memory);
    CHECK(compiling);
    code =
        pcre2_compile((PCRE2_SPTR)pattern.ptr, pattern.len, options, &number, &offset, compiling);
    if (!code) {
        (void)pcre2_get_error_message(number, (PCRE2_UCHAR *)text, sizeof(text));
        text_format(why, "%s at offset %zu", text, (size_t)offset);
    }
    pcre2_compile_context_free(compiling);
    pcre2_general_context_free(memory);
    return code;
}

enum err regex_new(struct sluice_span pattern, struct arena *arena, struct text *why,
                   struct route_regex **regex)
{
    struct route_regex *made;
    pcre2_code *code;
    uint32_t groups = 0, options = 0;

    if (pattern.len > PATTERN_BYTES) {
        text_format(why, "it is longer than %d bytes", PATTERN_BYTES);
        return ERR_CONFIG;
    }
    code = compile(pattern, why);
    if (!code)
        return ERR_CONFIG;
    arena_on_fini(arena, free_code, code);
    (void)pcre2_jit_compile(code, PCRE2_JIT_COMPLETE); /* interpreted when it cannot be */
    (void)pcre2_pattern_info(code, PCRE2_INFO_CAPTURECOUNT, &groups);
    (void)pcre2_pattern_info(code, PCRE2_INFO_ALLOPTIONS, &options);
    made = arena_new(arena, sizeof(*made));
    made->code = code;
    made->pattern = pattern;
    made->literal = literal_start(pattern);
    made->groups = groups;
    made->is_anchored = (options & PCRE2_ANCHORED) != 0;
    *regex = made;
    return OK;
}

unsigned regex_groups(const struct route_regex *regex)
{
    return regex->groups;
}

struct sluice_span regex_literal(const struct route_regex *regex)
{
    return regex->literal;
}

/* -- matching ----------------------------------------------------------- */

static uint32_t steps_for(const struct route_regex *regex, size_t len)
{
    if (regex->is_anchored || len <= SUBJECT_STEPS / MATCH_STEPS)
        return MATCH_STEPS;
    return len < SUBJECT_STEPS ? (uint32_t)(SUBJECT_STEPS / len) : 1;
}

enum regex_answer regex_match(const struct route_regex *regex, struct sluice_span subject,
                              struct route_scratch *scratch)
{
    const char *bytes = subject.len ? subject.ptr : "";
    int rc;

    pcre2_set_match_limit(scratch->limits, steps_for(regex, subject.len));
    rc = pcre2_match(regex->code, (PCRE2_SPTR)bytes, subject.len, 0, 0, scratch->match,
                     scratch->limits);
    if (rc >= 0)
        return REGEX_YES;
    if (rc == PCRE2_ERROR_NOMATCH)
        return REGEX_NO;
    log_debug("pattern gave up", F_SPAN("pattern", regex->pattern), F_INT("code", rc));
    return REGEX_GAVE_UP;
}

struct sluice_span regex_group(const struct route_scratch *scratch, struct sluice_span subject,
                               unsigned group)
{
    const PCRE2_SIZE *place = pcre2_get_ovector_pointer(scratch->match);

    if (group >= REGEX_GROUPS)
        return SPAN("");
    place += (size_t)2 * group;
    /* \K in a lookahead could put the start behind the end */
    if (place[0] == PCRE2_UNSET || place[0] > place[1] || place[1] > subject.len)
        return SPAN("");
    return span_make(subject.ptr + place[0], place[1] - place[0]);
}
