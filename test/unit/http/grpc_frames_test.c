#include "http/grpc_frames.h"

#include "unit.h"

/* Two messages, of 3 and 258 bytes, with an empty one between them. */
#define PREFIXED (5 + 3 + 5 + 5 + 258)

static void fill(char *content)
{
    static const char first[] = {0, 0, 0, 0, 3}, second[] = {1, 0, 0, 0, 0},
                      third[] = {0, 0, 0, 1, 2};

    memset(content, 0xff, PREFIXED);
    memcpy(content, first, sizeof(first));
    memcpy(content + 8, second, sizeof(second));
    memcpy(content + 13, third, sizeof(third));
}

static bool is_end(size_t at)
{
    return at == 0 || at == 8 || at == 13 || at == PREFIXED;
}

START_TEST(messages_are_whole_at_their_ends_only)
{
    char content[PREFIXED];

    fill(content);
    for (size_t cut = 0; cut <= PREFIXED; cut++) {
        struct grpc_frames frames = {0};

        grpc_frames_pass(&frames, span_make(content, cut));
        ck_assert_msg(grpc_frames_are_whole(&frames) == is_end(cut), "%zu", cut);
        grpc_frames_pass(&frames, span_make(content + cut, PREFIXED - cut));
        ck_assert_msg(grpc_frames_are_whole(&frames), "split at %zu", cut);
    }
}
END_TEST

START_TEST(content_may_come_byte_by_byte)
{
    struct grpc_frames frames = {0};
    char content[PREFIXED];

    fill(content);
    for (size_t i = 0; i < PREFIXED; i++) {
        grpc_frames_pass(&frames, span_make(content + i, 1));
        ck_assert_msg(grpc_frames_are_whole(&frames) == is_end(i + 1), "%zu", i);
    }
}
END_TEST

START_TEST(the_longest_message_is_counted)
{
    struct grpc_frames frames = {0};
    char content[64];

    memset(content, 0xff, sizeof(content));
    content[0] = 0;
    grpc_frames_pass(&frames, span_make(content, sizeof(content)));
    ck_assert_uint_eq(frames.left, UINT32_MAX - (sizeof(content) - 5));
    ck_assert(!grpc_frames_are_whole(&frames));
}
END_TEST

UNIT_MAIN("http/grpc_frames", messages_are_whole_at_their_ends_only, content_may_come_byte_by_byte,
          the_longest_message_is_counted)
