/*
 * replay.c - feed the files of a folder to a fuzz target, each once, without a fuzzer.
 *
 * usage: NAME_replay FOLDER-OR-FILE...; fails when there is nothing to feed.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len);

/* An input of its very size, so that a sanitizer sees a read beyond it. */
static int feed_file(const char *path, size_t len)
{
    FILE *file = fopen(path, "rb");
    uint8_t *input = malloc(len > 0 ? len : 1);
    size_t got;

    if (!file || !input) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        exit(EXIT_FAILURE);
    }
    got = fread(input, 1, len, file);
    fclose(file);
    if (got != len) {
        fprintf(stderr, "%s: cannot read it\n", path);
        exit(EXIT_FAILURE);
    }
    LLVMFuzzerTestOneInput(input, len);
    free(input);
    return 1;
}

static int feed_folder(const char *path)
{
    DIR *folder = opendir(path);
    struct dirent *entry;
    int fed = 0;

    while (folder && (entry = readdir(folder))) {
        char name[PATH_MAX];
        struct stat about;

        if (snprintf(name, sizeof(name), "%s/%s", path, entry->d_name) >= (int)sizeof(name))
            continue;
        if (stat(name, &about) == 0 && S_ISREG(about.st_mode))
            fed += feed_file(name, (size_t)about.st_size);
    }
    if (folder)
        closedir(folder);
    return fed;
}

int main(int argc, char **argv)
{
    int fed = 0;

    for (int i = 1; i < argc; i++) {
        struct stat about;

        if (stat(argv[i], &about) != 0) {
            fprintf(stderr, "%s: %s\n", argv[i], strerror(errno));
            return EXIT_FAILURE;
        }
        fed += S_ISDIR(about.st_mode) ? feed_folder(argv[i])
                                      : feed_file(argv[i], (size_t)about.st_size);
    }
    printf("%s: %d inputs\n", argv[0], fed);
    return fed > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
