/*
 * store.c - a table behind a lock, and a number that says whether to take it.
 */
#include "kit/store.h"

#include <openssl/sha.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_MAX ((off_t)16 * 1024 * 1024)

struct store {
    const struct store_kind *kind; /* borrowed, static */
    pthread_mutex_t lock;
    void *table;                                /* held; by lock */
    unsigned char digest[SHA256_DIGEST_LENGTH]; /* of the text it was read from; by lock */
    atomic_uint serial;
};

/* -- life ---------------------------------------------------------------------- */

struct store *store_new(const struct store_kind *kind)
{
    struct store *store = calloc(1, sizeof(*store));

    if (!store || pthread_mutex_init(&store->lock, NULL) != 0) {
        free(store);
        return NULL;
    }
    store->kind = kind;
    atomic_init(&store->serial, 0);
    return store;
}

void store_free(struct store **store)
{
    struct store *gone = *store;

    *store = NULL;
    if (!gone)
        return;
    gone->kind->drop(gone->table);
    pthread_mutex_destroy(&gone->lock);
    free(gone);
}

/* -- taking and putting -------------------------------------------------------- */

static void put(struct store *store, void *table, const unsigned char digest[SHA256_DIGEST_LENGTH])
{
    void *old;

    pthread_mutex_lock(&store->lock);
    old = store->table;
    store->table = table;
    memcpy(store->digest, digest, SHA256_DIGEST_LENGTH);
    atomic_fetch_add_explicit(&store->serial, 1, memory_order_release);
    pthread_mutex_unlock(&store->lock);
    store->kind->drop(old);
}

static bool is_known(struct store *store, const unsigned char digest[SHA256_DIGEST_LENGTH])
{
    bool is_same;

    pthread_mutex_lock(&store->lock);
    is_same = store->table && memcmp(store->digest, digest, SHA256_DIGEST_LENGTH) == 0;
    pthread_mutex_unlock(&store->lock);
    return is_same;
}

enum store_news store_read(struct store *store, struct sluice_span text, char why[STORE_WHY])
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    void *table;

    SHA256((const unsigned char *)text.ptr, text.len, digest);
    if (is_known(store, digest))
        return STORE_SAME;
    snprintf(why, STORE_WHY, "out of memory");
    table = store->kind->read(text, why);
    if (!table)
        return STORE_WRONG;
    put(store, table, digest);
    return STORE_CHANGED;
}

const void *store_table(struct store *store, struct store_view *view)
{
    if (atomic_load_explicit(&store->serial, memory_order_acquire) == view->serial)
        return view->table;
    store->kind->drop(view->table);
    pthread_mutex_lock(&store->lock);
    view->table = store->kind->hold(store->table);
    view->serial = atomic_load_explicit(&store->serial, memory_order_relaxed);
    pthread_mutex_unlock(&store->lock);
    return view->table;
}

void store_view_fini(struct store *store, struct store_view *view)
{
    if (store)
        store->kind->drop(view->table);
    view->table = NULL;
}

/* -- looking at the file ------------------------------------------------------- */

static void stamp_of(const struct stat *st, uint64_t stamp[4])
{
    stamp[0] = (uint64_t)st->st_ino;
    stamp[1] = (uint64_t)st->st_size;
    stamp[2] = (uint64_t)st->st_mtim.tv_sec;
    stamp[3] = (uint64_t)st->st_mtim.tv_nsec;
}

/* All of an open file; NULL: it cannot be read, or grows. */
static char *slurp(int fd, size_t bytes)
{
    char *text = malloc(bytes + 1);
    size_t len = 0;

    while (text && len < bytes) {
        ssize_t n = read(fd, text + len, bytes - len);

        if (n > 0) {
            len += (size_t)n;
        } else if (n == 0 || errno != EINTR) {
            free(text);
            return NULL;
        }
    }
    return text;
}

static void take_in(struct store *store, int fd, const struct stat *st, struct store_look *look)
{
    char *text;

    look->news = STORE_WRONG;
    if (!S_ISREG(st->st_mode) || st->st_size > FILE_BYTES_MAX) {
        snprintf(look->why, sizeof(look->why), "not a file of at most 16 MiB");
        return;
    }
    text = slurp(fd, (size_t)st->st_size);
    if (!text) {
        snprintf(look->why, sizeof(look->why), "cannot be read");
        return;
    }
    look->news = store_read(store, (struct sluice_span){text, (size_t)st->st_size}, look->why);
    free(text);
}

void store_look(struct store *store, const char *path, struct store_look *look)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    uint64_t stamp[4];
    struct stat st;

    look->news = STORE_GONE;
    if (fd < 0 || fstat(fd, &st) != 0) {
        snprintf(look->why, sizeof(look->why), "cannot be opened");
    } else {
        look->news = STORE_SAME;
        stamp_of(&st, stamp);
        if (memcmp(stamp, look->stamp, sizeof(stamp)) != 0) {
            memcpy(look->stamp, stamp, sizeof(stamp));
            take_in(store, fd, &st, look);
        }
    }
    if (fd >= 0)
        close(fd);
}
