/*
 * target_fuzz.c - paths, queries and authorities: a normal form is normal, holds no dot-segment
 * and no byte that may not stand there; parameters decode within their room.
 *
 * Input: the text; its part before the first '=' is the parameter looked for.
 */
#include "base/check.h"
#include "http/target.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len);

static bool has_dot_segment(struct sluice_span path)
{
    struct sluice_span rest = path, segment;

    while (span_split(&rest, '/', &segment)) {
        if (span_equal(segment, SPAN(".")) || span_equal(segment, SPAN("..")))
            return true;
    }
    return false;
}

static void check_path(struct sluice_span text, enum target_slashes slashes)
{
    struct arena arena;
    struct sluice_span normal, twice;

    arena_init(&arena, NULL, 0);
    if (target_normalise(text, slashes, &arena, &normal) == OK) {
        CHECK(normal.len != 0 && normal.len <= text.len && normal.ptr[0] == '/');
        CHECK(!has_dot_segment(normal));
        CHECK(slashes == TARGET_KEEP_SLASHES || !span_has(normal, SPAN("//")));
        CHECK(target_normalise(normal, slashes, &arena, &twice) == OK);
        CHECK(twice.ptr == normal.ptr && twice.len == normal.len);
    }
    arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len)
{
    struct sluice_span text = {(const char *)input, len}, host, again, value;
    uint16_t port, port_again;
    char scratch[16];

    check_path(text, TARGET_MERGE_SLASHES);
    check_path(text, TARGET_KEEP_SLASHES);
    if (target_authority(text, &host, &port) == OK) {
        CHECK(host.len <= text.len && (host.len != 0 || len == 0));
        CHECK(target_authority(host, &again, &port_again) == OK);
        CHECK(span_equal(host, again) && port_again == 0);
    }
    if (target_query_find(text, span_make(text.ptr, span_find(text, '=')), scratch, sizeof(scratch),
                          &value))
        CHECK(value.len <= sizeof(scratch));
    (void)target_query_is_valid(text);
    return 0;
}
