/*
 * tls_ticket_file.c - keys of session tickets that several gateways share.
 *
 * What nginx and HAProxy take: one record of 48 or 80 bytes as it is, or lines of such records in
 * Base64. A record is a name (16 bytes) and two keys: of 48, cipher and MAC with 16 bytes each; of
 * 80, MAC and cipher with 32 each. The first seals new tickets, all are opened: a new key is first
 * added at the end everywhere, then moved to the front, and the oldest is left out once
 * no ticket of it is good any more.
 */
#include "net/tls_state.h"

#include "base/alloc.h"
#include "base/check.h"
#include "config/input.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <string.h>
#include <sys/stat.h>

enum { SMALL_RECORD = 48, LARGE_RECORD = 80, FILE_MAX_BYTES = 4096 };

#define HINT                                                                                       \
    "make a key with: openssl rand 80 | base64 -w0, one a line; the first seals, all are opened"

static void take_record(struct tls_ticket_key *key, const unsigned char *bytes, size_t n)
{
    size_t half = (n - TLS_TICKET_NAME_BYTES) / 2;
    const unsigned char *first = bytes + TLS_TICKET_NAME_BYTES;

    memset(key, 0, sizeof(*key));
    memcpy(key->name, bytes, TLS_TICKET_NAME_BYTES);
    key->key_bytes = half;
    memcpy(n == SMALL_RECORD ? key->cipher : key->mac, first, half);
    memcpy(n == SMALL_RECORD ? key->mac : key->cipher, first + half, half);
}

/* Returns how many bytes it has; 0: it is no record in Base64. */
static size_t decode(struct sluice_span line, unsigned char out[LARGE_RECORD + 3])
{
    size_t n_pads = 0;
    int n;

    while (n_pads < 2 && n_pads < line.len && line.ptr[line.len - 1 - n_pads] == '=') {
        n_pads++;
    }
    if (line.len % 4 != 0 || line.len / 4 * 3 > LARGE_RECORD + 3)
        return 0;
    n = EVP_DecodeBlock(out, (const unsigned char *)line.ptr, (int)line.len);
    return n > 0 ? (size_t)n - n_pads : 0;
}

static bool is_record(size_t n)
{
    return n == SMALL_RECORD || n == LARGE_RECORD;
}

static bool has_name(const struct tls_ticket_file *file, const struct tls_ticket_key *key)
{
    for (size_t i = 0; i < file->n_keys; i++) {
        if (memcmp(file->key[i].name, key->name, TLS_TICKET_NAME_BYTES) == 0)
            return true;
    }
    return false;
}

static enum err add_line(struct tls_ticket_file *file, struct sluice_span line, size_t number,
                         const struct tls_file *from, struct notes *notes)
{
    unsigned char bytes[LARGE_RECORD + 3];
    struct tls_ticket_key key;
    size_t n = decode(line, bytes);

    if (!is_record(n)) {
        notes_error(notes, from->at, HINT, "line %zu of '%s' is no key of 48 or 80 bytes in Base64",
                    number, from->path.ptr);
        return ERR_CONFIG;
    }
    take_record(&key, bytes, n);
    OPENSSL_cleanse(bytes, sizeof(bytes));
    if (file->n_keys == TLS_TICKET_FILE_KEYS || has_name(file, &key)) {
        notes_error(notes, from->at, "leave out those that are no longer needed",
                    "line %zu of '%s': the same key again, or more than %d", number, from->path.ptr,
                    TLS_TICKET_FILE_KEYS);
        return ERR_CONFIG;
    }
    file->key[file->n_keys++] = key;
    return OK;
}

static enum err take_bytes(struct tls_ticket_file *file, struct sluice_span bytes,
                           const struct tls_file *from, struct notes *notes)
{
    struct sluice_span line;
    size_t number = 0;

    if (is_record(bytes.len)) {
        take_record(&file->key[file->n_keys++], (const unsigned char *)bytes.ptr, bytes.len);
        return OK;
    }
    while (span_split(&bytes, '\n', &line)) {
        number++;
        if (line.len > 0 && add_line(file, line, number, from, notes))
            return ERR_CONFIG;
    }
    if (file->n_keys > 0)
        return OK;
    notes_error(notes, from->at, HINT, "'%s' has no key", from->path.ptr);
    return ERR_CONFIG;
}

/* Who has the keys reads what was said under them, unless TLS 1.3 agreed on new ones. */
static void warn_of_rights(const struct tls_file *from, struct notes *notes)
{
    struct stat status;

    if (stat(from->path.ptr, &status) == 0 && (status.st_mode & (S_IRWXG | S_IRWXO))) {
        notes_warn(notes, from->at, "chmod 600", "'%s' may be read by others than its owner",
                   from->path.ptr);
    }
}

struct tls_ticket_file *tls_ticket_file_read(const struct tls_file *from, struct notes *notes)
{
    struct tls_ticket_file *file = alloc_new(sizeof(*file));
    char why[INPUT_WHY];
    struct text bytes;
    enum err err;

    text_init(&bytes, FILE_MAX_BYTES);
    err = input_read(from->path.ptr, &bytes, NULL, why);
    if (err) {
        notes_error(notes, from->at,
                    "check the path, which is relative to this file, and its rights",
                    "'%s' cannot be read: %s", from->path.ptr, why);
    } else {
        warn_of_rights(from, notes);
        err = take_bytes(file, text_span(&bytes), from, notes);
    }
    if (bytes.len > 0)
        OPENSSL_cleanse(bytes.ptr, bytes.len);
    text_fini(&bytes);
    if (err)
        tls_ticket_file_free(&file);
    return file;
}

void tls_ticket_file_free(struct tls_ticket_file **file)
{
    if (*file)
        OPENSSL_cleanse(*file, sizeof(**file));
    alloc_free(*file);
    *file = NULL;
}
