/*
 * server_case.h - configuration files for a test, and what a command writes.
 */
#ifndef TEST_SERVER_CASE_H
#define TEST_SERVER_CASE_H

#include "server/options.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

enum { CASE_BYTES = 1 << 20, CASE_WORDS = 16 };

/* One run of a command. */
struct ran {
    int code;
    char out[CASE_BYTES], err[CASE_BYTES];
};

/* Write yaml to a new file; its path is static. */
static inline const char *case_file(const char *yaml)
{
    static char path[64];
    FILE *file;
    int fd;

    snprintf(path, sizeof(path), "/tmp/sluice-test-XXXXXX");
    fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    file = fdopen(fd, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(yaml, file), 0);
    ck_assert_int_eq(fclose(file), 0);
    return path;
}

/* Send a stream to a new file without a name; returns a descriptor of it. */
static inline int case_catch(FILE *stream)
{
    FILE *file = tmpfile();
    int fd;

    ck_assert_ptr_nonnull(file);
    fd = dup(fileno(file));
    ck_assert_int_ge(fd, 0);
    fflush(stream);
    ck_assert_int_ge(dup2(fd, fileno(stream)), 0);
    fclose(file);
    return fd;
}

static inline void case_read(int fd, char *bytes)
{
    ssize_t n = pread(fd, bytes, CASE_BYTES - 1, 0);

    ck_assert_int_ge(n, 0);
    bytes[n] = 0;
    close(fd);
}

/* Run "sluice WORDS", which are parted by single blanks. */
static inline struct ran *case_run(const char *words)
{
    static struct ran ran;
    static char line[1024];
    char *argv[CASE_WORDS + 1] = {(char[]){"sluice"}};
    int argc = 1;
    int saved_out = dup(STDOUT_FILENO);
    int saved_err = dup(STDERR_FILENO);
    int out = case_catch(stdout);
    int err = case_catch(stderr);

    snprintf(line, sizeof(line), "%s", words);
    for (char *word = line; word && *word && argc < CASE_WORDS;) {
        argv[argc++] = word;
        word = strchr(word, ' ');
        if (word)
            *word++ = 0;
    }
    ran.code = options_main(argc, argv);
    fflush(stdout);
    fflush(stderr);
    dup2(saved_out, STDOUT_FILENO);
    dup2(saved_err, STDERR_FILENO);
    close(saved_out);
    close(saved_err);
    case_read(out, ran.out);
    case_read(err, ran.err);
    return &ran;
}

#endif /* TEST_SERVER_CASE_H */
