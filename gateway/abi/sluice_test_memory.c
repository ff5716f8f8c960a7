/* sluice_test_memory.c - memory of the fake host: text, and blocks that are overwritten when lent
 * time is over. */
#include "sluice_test_private.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif

#ifdef HAS_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(ptr, len)   __asan_poison_memory_region((ptr), (len))
#define UNPOISON(ptr, len) __asan_unpoison_memory_region((ptr), (len))
#else
#define POISON(ptr, len)   ((void)0)
#define UNPOISON(ptr, len) ((void)0)
#endif

void *fake_alloc(size_t bytes)
{
    void *made = calloc(1, bytes ? bytes : 1);

    if (!made)
        abort();
    return made;
}

void *fake_grow(void *ptr, size_t bytes)
{
    void *made = realloc(ptr, bytes ? bytes : 1);

    if (!made)
        abort();
    return made;
}

void fake_drop(void *ptr)
{
    free(ptr);
}

char *fake_dup(struct sluice_span text)
{
    char *made = fake_alloc(text.len + 1);

    if (text.len)
        memcpy(made, text.ptr, text.len);
    return made;
}

void fake_add(struct fake_text *text, const char *ptr, size_t len)
{
    if (text->len + len + 1 > text->room) {
        text->room = (text->len + len + 1) * 2;
        text->ptr = fake_grow(text->ptr, text->room);
    }
    if (len)
        memcpy(text->ptr + text->len, ptr, len);
    text->len += len;
    text->ptr[text->len] = '\0';
}

void fake_format(struct fake_text *text, const char *format, ...)
{
    char line[2048];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    fake_add(text, line, strlen(line));
}

void fake_text_fini(struct fake_text *text)
{
    free(text->ptr);
    *text = (struct fake_text){0};
}

struct sluice_span fake_span(const char *text)
{
    return (struct sluice_span){text, text ? strlen(text) : 0};
}

bool fake_same(struct sluice_span a, struct sluice_span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool fake_same_name(struct sluice_span a, struct sluice_span b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (tolower((unsigned char)a.ptr[i]) != tolower((unsigned char)b.ptr[i]))
            return false;
    }
    return true;
}

/* -- blocks ---------------------------------------------------------------------- */

static void append(struct fake_blocks *blocks, struct fake_block *block)
{
    block->next = NULL;
    if (blocks->last) {
        blocks->last->next = block;
    } else {
        blocks->first = block;
    }
    blocks->last = block;
    blocks->total += block->len;
}

char *fake_block_add(struct fake_blocks *blocks, size_t bytes)
{
    struct fake_block *block = fake_alloc(sizeof(*block) + bytes);

    block->len = bytes;
    memset(block->bytes, 0xa5, bytes);
    append(blocks, block);
    return block->bytes;
}

void fake_block_end(struct fake_blocks *blocks, struct fake_blocks *quarantine, uint32_t sides)
{
    struct fake_blocks kept = {0};

    for (struct fake_block *block = blocks->first, *next; block; block = next) {
        next = block->next;
        if (sides && !(block->side & sides)) {
            append(&kept, block);
            continue;
        }
        memset(block->bytes, 0xdb, block->len);
        POISON(block->bytes, block->len);
        append(quarantine, block);
    }
    *blocks = kept;
    fake_block_free(quarantine, 1 << 20);
}

void fake_block_free(struct fake_blocks *blocks, size_t keep)
{
    while (blocks->first && (keep == 0 || blocks->total > keep)) {
        struct fake_block *block = blocks->first;

        blocks->first = block->next;
        blocks->total -= block->len;
        UNPOISON(block->bytes, block->len);
        free(block);
    }
    if (!blocks->first)
        blocks->last = NULL;
}

struct sluice_span fake_lend(struct sluice_test *test, struct sluice_span text, uint32_t sides)
{
    char *bytes;

    if (text.len == 0)
        return (struct sluice_span){"", 0};
    bytes = fake_block_add(&test->lent, text.len);
    test->lent.last->side = sides;
    memcpy(bytes, text.ptr, text.len);
    return (struct sluice_span){bytes, text.len};
}
