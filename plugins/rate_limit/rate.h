/*
 * rate.h - what the files of rate_limit share.
 */
#ifndef RATE_H
#define RATE_H

#include "limit.h"
#include "sluice_plugin.h"

enum {
    RATE_LIMITS_MAX = 16,       /* of one place */
    RATE_KEY_MAX = 1024,        /* bytes of a key's value: what is equal that far shares a limit */
    RATE_NAME_MAX = 200,        /* bytes of a limit's name */
    RATE_TEXT_MAX = 1024 + 256, /* of a whole key: the limit's name and its value */
    RATE_SEEN_BITS = 6,
    RATE_REFILLS = 64, /* leases fetched in the background at once, by one worker */
};

enum rate_algorithm { RATE_GCRA, RATE_SLIDING_WINDOW, RATE_CONCURRENCY };
enum rate_store { RATE_LOCAL, RATE_REDIS, RATE_HYBRID };
enum rate_missing { RATE_MISSING_ADDRESS, RATE_MISSING_SKIP, RATE_MISSING_REFUSE };
enum rate_failure { RATE_FAILURE_LOCAL, RATE_FAILURE_OPEN, RATE_FAILURE_CLOSED };
enum rate_fields { RATE_FIELDS_OFF, RATE_FIELDS_STANDARD, RATE_FIELDS_LEGACY };

/* One limit as configured. */
struct rate_limit {
    struct sluice_span name;
    struct sluice_span key; /* a word (address, consumer, ...) or a template */
    struct sluice_rate rate;
    uint64_t burst;     /* 0: as much as the rate's amount */
    uint32_t algorithm; /* enum rate_algorithm */
    uint64_t concurrent;
    uint64_t cost;
    bool dry_run;
    /* made of the above */
    const struct sluice_template *value;
    bool by_address;
    struct limit_bucket bucket;
    uint64_t lease;            /* hybrid: so many are fetched at once */
    struct sluice_span policy; /* as RateLimit-Policy says it */
};

struct rate_conf {
    struct rate_limit one;     /* written at the top, without "limits" */
    struct sluice_list limits; /* of struct rate_limit */
    uint32_t store;            /* enum rate_store */
    uint32_t missing;          /* enum rate_missing */
    uint32_t failure;          /* enum rate_failure */
    uint32_t fields;           /* enum rate_fields */
    uint64_t ipv4_bits, ipv6_bits;
    uint64_t redis_ms, pause_ms, lease_ms;
    struct sluice_span prefix;
    uint64_t status;
    struct sluice_span body, content_type;
    uint64_t capacity;
    /* made of the above */
    bool dry_run; /* all of several limits */
    const struct rate_limit *limit;
    size_t n_limits;
    bool has_slots;   /* one of them is by concurrency: taken until the end */
    uint32_t address; /* attribute */
    struct sluice_words *words;
    struct sluice_metric *requests, *redis, *unkept;
};

/* One lease being fetched in the background. */
struct rate_refill {
    const struct rate_limit *limit; /* NULL: free */
    size_t key_len;
    char key[RATE_TEXT_MAX];
};

struct rate_worker {
    uint64_t seen[1 << RATE_SEEN_BITS]; /* of buckets, by the end of a key: a guess */
    uint64_t redis_again_us;            /* Redis failed: not asked before this */
    bool is_alone;                      /* since then it has not answered; told once */
    struct rate_refill *refills;        /* owned, RATE_REFILLS; NULL: not hybrid */
};

/* One limit of one exchange. */
struct rate_hit {
    struct sluice_span key; /* empty: this limit does not apply */
    struct limit_answer answer;
    bool is_taken;  /* here: given back when another limit refuses */
    bool is_leased; /* from a lease: the same */
    bool is_remote; /* Redis decides */
};

/* Go on with what Redis has said, or without. */
typedef enum sluice_verdict rate_asked_fn(const struct sluice_call *call, bool is_answered);

struct rate_ctx {
    struct rate_hit *hit; /* n_limits; NULL: nothing was limited */
    int tightest;         /* index; -1: none */
    rate_asked_fn *asked; /* Redis is being asked */
};

extern const struct sluice_option rate_options[];

void rate_check(const struct sluice_host *host, struct sluice_setup *setup, void *conf_);
bool rate_start(const struct sluice_host *host, struct sluice_setup *setup, void *conf_);

/*
 * The key of a limit for this exchange, as long as that lives; empty: the limit does not apply
 * (rate_key.c). False: there is nothing to tell clients apart by, and such are refused.
 */
bool rate_key(const struct sluice_call *call, const struct rate_limit *limit,
              struct sluice_span *key);

/* Fields for a response, with room for their values and for one more field. */
struct rate_fields_text {
    struct sluice_pair field[4];
    char row[3][RATE_NAME_MAX + 64];
    size_t n;
};

/* What tells the client where it stands: standard, legacy or no fields (rate_fields.c). */
void rate_tell(const struct sluice_call *call, struct rate_fields_text *text);

/* Decide by the words that all workers share (rate_local.c). */
void rate_take(const struct sluice_call *call, const struct rate_limit *limit,
               struct rate_hit *hit);
void rate_give_back(const struct sluice_call *call, const struct rate_limit *limit,
                    struct rate_hit *hit);

/* Hybrid: take from what was leased. False: nothing is there, ask. */
bool rate_take_leased(const struct sluice_call *call, const struct rate_limit *limit,
                      struct rate_hit *hit);
/* So many more may be given away here. */
void rate_add_leased(const struct sluice_call *call, struct sluice_span key, uint64_t n);

/* For a while: Redis has nothing for this key; or no more than it gave, so do not fetch ahead. */
enum rate_pause { RATE_DRY = 'd', RATE_NO_REFILL = 'r' };
void rate_pause(const struct sluice_call *call, struct sluice_span key, enum rate_pause pause,
                uint64_t ms);

/*
 * Ask Redis about all hits that are remote, in one call (rate_redis.c). What it says is in them
 * when asked is called. False: it cannot be asked now.
 */
bool rate_ask(const struct sluice_call *call, rate_asked_fn *asked);

/* Fetch another lease before this one is used up. */
void rate_refill(const struct sluice_call *call, const struct rate_limit *limit,
                 struct sluice_span key);

#endif /* RATE_H */
