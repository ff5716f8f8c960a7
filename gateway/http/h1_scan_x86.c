/*
 * h1_scan_x86.c - the searches, 16 bytes (SSE4.2) or 32 bytes (AVX2) at a time.
 *
 * Each block function turns a block into a bit mask of the bytes that end the run. The loops
 * around them are the same for both widths and the three searches, hence the macro: the
 * target attribute rules out a shared function.
 */
#include "http/h1_scan.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define SSE  __attribute__((target("sse4.2")))
#define AVX2 __attribute__((target("avx2")))

/*
 * tchar by two table look-ups: entry n of the first has bit h set when byte 16 * h + n is a
 * tchar, entry h of the second is that bit. A byte above 0x7f finds 0 in both.
 */
#define TCHAR_LOW                                                                                  \
    (char)0xe8, (char)0xfc, (char)0xf8, (char)0xfc, (char)0xfc, (char)0xfc, (char)0xfc,            \
        (char)0xfc, (char)0xf8, (char)0xf8, (char)0xf4, 0x54, (char)0xd0, 0x54, (char)0xf4, 0x70
#define TCHAR_HIGH 1, 2, 4, 8, 16, 32, 64, (char)128, 0, 0, 0, 0, 0, 0, 0, 0

/* -- blocks ----------------------------------------------------------- */

SSE static inline unsigned token_sse(const char *at)
{
    const __m128i low = _mm_setr_epi8(TCHAR_LOW), high = _mm_setr_epi8(TCHAR_HIGH);
    __m128i block = _mm_loadu_si128((const __m128i *)(const void *)at);
    __m128i rows = _mm_and_si128(_mm_srli_epi16(block, 4), _mm_set1_epi8(0xf));
    __m128i hits = _mm_and_si128(_mm_shuffle_epi8(low, block), _mm_shuffle_epi8(high, rows));

    return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(hits, _mm_setzero_si128()));
}

SSE static inline unsigned line_sse(const char *at)
{
    __m128i block = _mm_loadu_si128((const __m128i *)(const void *)at);
    __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(block, _mm_set1_epi8(0x1f)), block);
    __m128i tab = _mm_cmpeq_epi8(block, _mm_set1_epi8('\t'));
    __m128i del = _mm_cmpeq_epi8(block, _mm_set1_epi8(0x7f));

    return (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_andnot_si128(tab, low), del));
}

SSE static inline unsigned target_sse(const char *at)
{
    __m128i block = _mm_loadu_si128((const __m128i *)(const void *)at);
    __m128i fine = _mm_cmpgt_epi8(block, _mm_set1_epi8(0x20)); /* signed: not above 0x7f either */
    __m128i del = _mm_cmpeq_epi8(block, _mm_set1_epi8(0x7f));
    __m128i hash = _mm_cmpeq_epi8(block, _mm_set1_epi8('#'));

    return (unsigned)_mm_movemask_epi8(_mm_andnot_si128(_mm_or_si128(del, hash), fine)) ^ 0xffffU;
}

AVX2 static inline unsigned token_avx2(const char *at)
{
    const __m256i low = _mm256_setr_epi8(TCHAR_LOW, TCHAR_LOW);
    const __m256i high = _mm256_setr_epi8(TCHAR_HIGH, TCHAR_HIGH);
    __m256i block = _mm256_loadu_si256((const __m256i *)(const void *)at);
    __m256i rows = _mm256_and_si256(_mm256_srli_epi16(block, 4), _mm256_set1_epi8(0xf));
    __m256i hits =
        _mm256_and_si256(_mm256_shuffle_epi8(low, block), _mm256_shuffle_epi8(high, rows));

    return (unsigned)_mm256_movemask_epi8(_mm256_cmpeq_epi8(hits, _mm256_setzero_si256()));
}

AVX2 static inline unsigned line_avx2(const char *at)
{
    __m256i block = _mm256_loadu_si256((const __m256i *)(const void *)at);
    __m256i low = _mm256_cmpeq_epi8(_mm256_min_epu8(block, _mm256_set1_epi8(0x1f)), block);
    __m256i tab = _mm256_cmpeq_epi8(block, _mm256_set1_epi8('\t'));
    __m256i del = _mm256_cmpeq_epi8(block, _mm256_set1_epi8(0x7f));

    return (unsigned)_mm256_movemask_epi8(_mm256_or_si256(_mm256_andnot_si256(tab, low), del));
}

AVX2 static inline unsigned target_avx2(const char *at)
{
    __m256i block = _mm256_loadu_si256((const __m256i *)(const void *)at);
    __m256i fine = _mm256_cmpgt_epi8(block, _mm256_set1_epi8(0x20));
    __m256i del = _mm256_cmpeq_epi8(block, _mm256_set1_epi8(0x7f));
    __m256i hash = _mm256_cmpeq_epi8(block, _mm256_set1_epi8('#'));

    return ~(unsigned)_mm256_movemask_epi8(_mm256_andnot_si256(_mm256_or_si256(del, hash), fine));
}

/* -- loops ------------------------------------------------------------ */

static const char *token_few(const char *at, const char *end, const char *floor)
{
    (void)floor;
    return h1_scan_class(at, end, OCTET_TOKEN, 0);
}

static const char *line_few(const char *at, const char *end, const char *floor)
{
    (void)floor;
    return h1_scan_class(at, end, OCTET_STOP, OCTET_STOP);
}

static const char *target_few(const char *at, const char *end, const char *floor)
{
    (void)floor;
    return h1_scan_class(at, end, OCTET_TARGET, 0);
}

/* The last, partial block is loaded so that it ends at end, and the bits before at shifted out. */
#define SEARCH(function, isa, width, block, few)                                                   \
    isa static const char *function(const char *at, const char *end, const char *floor)            \
    {                                                                                              \
        unsigned mask;                                                                             \
                                                                                                   \
        while (end - at >= (width)) {                                                              \
            mask = block(at);                                                                      \
            if (mask != 0)                                                                         \
                return at + __builtin_ctz(mask);                                                   \
            at += (width);                                                                         \
        }                                                                                          \
        if (at == end)                                                                             \
            return end;                                                                            \
        if (end - floor < (width))                                                                 \
            return few(at, end, floor);                                                            \
        mask = block(end - (width)) >> ((width) - (end - at));                                     \
        return mask != 0 ? at + __builtin_ctz(mask) : end;                                         \
    }

SEARCH(token_end_sse, SSE, 16, token_sse, token_few)
SEARCH(line_end_sse, SSE, 16, line_sse, line_few)
SEARCH(target_end_sse, SSE, 16, target_sse, target_few)
SEARCH(token_end_avx2, AVX2, 32, token_avx2, token_end_sse)
SEARCH(line_end_avx2, AVX2, 32, line_avx2, line_end_sse)
SEARCH(target_end_avx2, AVX2, 32, target_avx2, target_end_sse)

const struct h1_scan_set h1_scan_sse42 = {"sse4.2", token_end_sse, line_end_sse, target_end_sse};
const struct h1_scan_set h1_scan_avx2 = {"avx2", token_end_avx2, line_end_avx2, target_end_avx2};

#endif
