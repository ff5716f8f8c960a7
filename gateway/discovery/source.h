/*
 * source.h - where endpoints come from: one interface, a file a kind.
 *
 * A source publishes whole sets (found.h). Who reads them knows nothing of where they came from.
 * What a source has once published stays until something newer is published: an error never
 * takes it back. Sources are shared by all who want the same, and live as long as anybody does:
 * a reload that asks for the same finds the same source, with what it knows.
 *
 * Addresses may be host names: what all sources share (source.c) resolves them and hands on
 * literal ones, again whenever the answers change. So no kind of source but "dns" asks DNS.
 *
 * To add a kind: a file source_NAME.c with a struct source_kind, a row in kinds[] (source.c), its
 * options in struct source_conf (conf.h).
 *
 * Threads: the control thread's. Nothing here may wait.
 */
#ifndef DISCOVERY_SOURCE_H
#define DISCOVERY_SOURCE_H

#include "base/list.h"
#include "base/rng.h"
#include "base/text.h"
#include "discovery/conf.h"
#include "discovery/found.h"

struct consul;
struct expansion;
struct loop;
struct map;
struct names;
struct notes;
struct source;
struct sources;

enum source_state {
    SOURCE_WAITING, /* nothing known yet */
    SOURCE_FRESH,
    SOURCE_STALE, /* what is known may have changed: the last tries failed */
    SOURCE_HELD,  /* the source says something that is not believed, such as "none at all" */
};

struct source_status {
    enum source_state state;
    uint64_t as_of_wall_us; /* when what is known was last confirmed; 0: never */
    uint64_t updates;       /* published sets that differed from the one before */
    uint64_t errors;
    const char *why; /* the last error or what is held back; "" when fresh. Borrowed. */
};

/* One kind of source. */
struct source_kind {
    const char *name; /* "dns": the key under an upstream */

    /* Is this what the configuration asks for? */
    bool (*is_wanted)(const struct source_conf *conf);

    /*
     * Append all that makes one source of this kind another than another (two that append the
     * same are one). It is never shown: secrets may be in it.
     */
    void (*say_key)(const struct source_conf *conf, struct text *key);

    /* Append a few words for logs and metrics: "file members.yaml". */
    void (*say_title)(const struct source_conf *conf, struct text *title);

    /*
     * Make one that has copied what it needs of conf, call source_init(), and begin. It may
     * publish at once. NULL when it can never work: an error is noted.
     */
    struct source *(*open)(struct sources *sources, const struct source_conf *conf,
                           struct notes *notes);

    /* Nobody wants it any more: stop, call source_fini(), free. */
    void (*close)(struct source **source);
};

/* The first member of every kind's own struct. The fields are for source.c; kinds may read. */
struct source {
    const struct source_kind *kind;
    struct sources *sources; /* borrowed, outlives us */
    struct arena arena;      /* for what is copied of the configuration */
    char *key, *title;       /* owned */
    bool is_constant;        /* set by the kind: what it publishes does not grow old */
    unsigned refs;
    struct list readers;            /* of struct source_reader */
    struct found *raw;              /* shared: the newest that was published, or NULL */
    struct found *found;            /* shared: the same with literal addresses only, or NULL */
    struct expansion *names;        /* owned: of raw's host names; NULL: it has none */
    struct dns_conf dns;            /* how they are asked for; a kind may set it in open() */
    struct source_status own, seen; /* the kind's alone; with what became of names */
    struct text own_why, names_why; /* "": no trouble */
};

/* -- for kinds ------------------------------------------------------------- */

/* The rest of *source is zero. */
void source_init(struct source *source, const struct source_kind *kind, struct sources *sources,
                 const struct source_conf *conf);
void source_fini(struct source *source);

/*
 * Publish a set; takes it. The same content as before confirms what is known and tells nobody.
 * Confirms as of found->as_of_wall_us, and the source is fresh again.
 */
void source_publish(struct source *source, struct found **found);

/* The same, but not as of now: from a file that an earlier process kept. The source is stale. */
void source_publish_kept(struct source *source, struct found **found);

/* What is known is still so, as of now. */
void source_confirm(struct source *source);

/* A try failed: what is known stays. Logged as a warning when the reason is another than before. */
void source_fail(struct source *source, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The source says something that we do not believe: what is known stays. */
void source_hold(struct source *source, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* -- all of them -------------------------------------------------------------- */

/* What sources work with. Fields for the files of discovery/. */
struct sources {
    struct loop *loop;     /* borrowed: the control thread's */
    struct map *by_key;    /* owned, of struct source */
    struct names *names;   /* owned: host names being asked for */
    struct arena arena;    /* of dns */
    struct dns_conf dns;   /* how names are asked for where nothing else is said */
    struct rng rng;        /* for jitter */
    struct consul *consul; /* borrowed, set by who made us; NULL: nobody asks Consul */
};

struct sources *sources_new(struct loop *loop);

/* No source may be in use any more. */
void sources_free(struct sources **sources);

/*
 * The source that conf asks for: one there is already, or a new one. The caller owns a reference.
 * NULL when it can never work; an error is noted.
 */
struct source *sources_get(struct sources *sources, const struct source_conf *conf,
                           struct notes *notes);
void source_unref(struct source **source);

/*
 * How names are asked for from now on, where a source does not say itself; copied. Sources that
 * are open keep to what was said before.
 */
void sources_set_dns(struct sources *sources, const struct dns_conf *conf);

/* The kind that conf asks for; NULL: none. */
const struct source_kind *source_kind_of(const struct source_conf *conf);

/* -- for readers --------------------------------------------------------------- */

/* Told when a source has found something else; never from inside sources_get(). */
struct source_reader {
    struct list link;
    void (*on_found)(struct source_reader *reader);
    struct source *source; /* shared; NULL while not reading */
};

void source_reader_init(struct source_reader *reader,
                        void (*on_found)(struct source_reader *reader));

/* Takes over the reference. */
void source_read(struct source_reader *reader, struct source **source);

/* Gives it back. Safe when not reading. */
void source_leave(struct source_reader *reader);

/* What is known, with literal addresses only; NULL: nothing yet. Borrowed until the next event. */
struct found *source_found(const struct source *source);

/* How it is doing; borrowed until the next event. */
const struct source_status *source_status(const struct source *source);

/* Can what is known grow old? A list of literal addresses in the configuration cannot. */
bool source_ages(const struct source *source);

/* "fresh" for SOURCE_FRESH. */
const char *source_state_name(enum source_state state);

#endif /* DISCOVERY_SOURCE_H */
