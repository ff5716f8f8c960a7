/*
 * entry.h - one entry of a list of plugins: as written, and as it serves. Private to chain/.
 *
 * Threads: made by the control thread; immutable from then on.
 */
#ifndef CHAIN_ENTRY_H
#define CHAIN_ENTRY_H

#include "abi/sluice_plugin.h"
#include "base/arena.h"
#include "chain/when.h"
#include "config/shape.h"
#include "core/crash.h"

struct chain_set;
struct chain_wanted;
struct plugin;
struct tally_block;

enum { CHAIN_PHASES = SLUICE_PHASE_DONE + 1 };

enum entry_on_error { ENTRY_CLOSED, ENTRY_OPEN };

/* What every entry may say beside its plugin. */
struct entry_written {
    struct sluice_span name;
    bool disabled;
    int on_error; /* enum entry_on_error */
    uint64_t wait_ms;
    struct when when;
};

struct chain_entry {
    unsigned index;        /* in the set */
    struct plugin *plugin; /* one reference of the set's; NULL: only switches another one off */
    const struct sluice_plugin *about;
    struct sluice_span name;  /* its own, or the plugin's */
    struct sluice_span place; /* "route api, plugins[1]" */
    struct sluice_span id;    /* "route.api.cors": its list and its name */
    struct mark at;
    const struct entry_written *written;
    void *conf;
    const struct tree *options;      /* as written, or NULL */
    const struct tally_block *tally; /* struct chain_counters; NULL: only checking */
    const struct tally_block *own;   /* struct chain_place_counters, by id; NULL: as above */
    bool has_when;
    unsigned group;  /* of "any_of", from 1; 0: none */
    uint32_t phases; /* 1 << enum sluice_phase: those it has callbacks for */
    /* What is said when the process dies in a callback, by phase. */
    struct crash_words words[CHAIN_PHASES];
    bool is_checked; /* conf_check ran: conf_fini is owed */
};

/* Room for what it keeps of an exchange, so that the next one's is aligned. */
static inline size_t entry_ctx_bytes(const struct chain_entry *entry)
{
    return (entry->about->ctx_size + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
}

/* What binding works with (bind->user of kinds.c). */
struct chain_build {
    struct chain_set *set;
    const struct chain_wanted *wanted;
};

/*
 * Bind one element of a list. place, in the arena, says where it stands: "route api, plugins[1]".
 * NULL when it is wrong, which is noted.
 */
struct chain_entry *entry_new(struct chain_build *build, const struct tree *node,
                              struct sluice_span place);

/* conf_check, when the options are right; what it says goes to the notes. */
void entry_check(struct chain_build *build, struct chain_entry *entry);

/* conf_start. */
void entry_start(struct chain_build *build, struct chain_entry *entry);

/* conf_fini. */
void entry_fini(struct chain_entry *entry);

/* The shape of what every entry may say. */
extern const struct field entry_fields[];

#endif /* CHAIN_ENTRY_H */
