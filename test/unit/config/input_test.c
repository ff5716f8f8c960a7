#include "config/input.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>

static void assert_joined(const char *from, const char *path, const char *want)
{
    struct text out;

    text_init(&out, 100);
    input_join(span_of(from), span_of(path), &out);
    ck_assert_str_eq(out.ptr, want);
    text_fini(&out);
}

START_TEST(path_is_relative_to_the_folder_of_the_file)
{
    assert_joined("/etc/sluice.yaml", "conf.d/x", "/etc/conf.d/x");
    assert_joined("a/b/c", "../x", "a/b/../x");
    assert_joined("c", "x", "x");
    assert_joined("", "x", "x");
    assert_joined("/etc/sluice.yaml", "/run/x", "/run/x");
}
END_TEST

START_TEST(input_is_read_to_its_end_and_no_further_than_its_limit)
{
    char name[] = "/tmp/input_test.XXXXXX", block[40000], why[INPUT_WHY];
    int fd = mkstemp(name);
    struct text bytes;

    memset(block, 'x', sizeof(block));
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, block, sizeof(block)), sizeof(block));
    close(fd);
    text_init(&bytes, sizeof(block));
    ck_assert_int_eq(input_read(name, &bytes, NULL, why), OK);
    ck_assert_uint_eq(bytes.len, sizeof(block));
    text_fini(&bytes);
    text_init(&bytes, 38912);
    ck_assert_int_eq(input_read(name, &bytes, NULL, why), ERR_LIMIT);
    ck_assert_str_eq(why, "it is larger than 38 KiB");
    text_fini(&bytes);
    unlink(name);
}
END_TEST

START_TEST(input_that_cannot_be_opened_says_why)
{
    char why[INPUT_WHY];
    struct text bytes;

    text_init(&bytes, 100);
    ck_assert_int_ne(input_read("/nowhere/x", &bytes, NULL, why), OK);
    ck_assert_str_eq(why, "No such file or directory");
    text_fini(&bytes);
}
END_TEST

START_TEST(id_is_the_same_for_all_names_of_a_file)
{
    struct input_id first, second, other;
    char why[INPUT_WHY];
    struct text bytes;

    text_init(&bytes, 1 << 20);
    ck_assert_int_eq(input_read("/proc/self/status", &bytes, &other, why), OK);
    ck_assert_int_eq(input_read("/etc/passwd", &bytes, &first, why), OK);
    ck_assert_int_eq(input_read("/etc/../etc/passwd", &bytes, &second, why), OK);
    ck_assert(first.device == second.device && first.inode == second.inode);
    ck_assert(first.device != other.device || first.inode != other.inode);
    text_fini(&bytes);
}
END_TEST

UNIT_MAIN("config/input", path_is_relative_to_the_folder_of_the_file,
          input_is_read_to_its_end_and_no_further_than_its_limit,
          input_that_cannot_be_opened_says_why, id_is_the_same_for_all_names_of_a_file)
