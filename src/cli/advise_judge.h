/* advise_judge.h - what dyno advise goes by: device time out of a ledger, and what to say of it.
 *
 * How it works:
 *  1. The time asked for is cut into windows from its start on; one that is not over is not looked
 * at.
 *  2. Device time of requests is summed by model, variant, device, certificate, price and window,
 *     so memory grows with those and not with the records (advise_gather.c).
 *  3. Its price is P, the device-hour of the tenant's tariff at that time; a tariff that is told in
 *     EPU alone takes the first that the book has.
 *  4. What it ran at is the speed-up of the certificate that the records cite; 1 where they cite a
 *     reference certificate alone or the variant is `baseline`; else nobody knows.
 *  5. What it could run at is the best of the model's other certificates (advise_certs.c).  A trial
 *     and one that no longer counts are a probe: an estimate.
 *  6. A certified engine in batches under those of its certificate could run at its own speed-up;
 *     what it did run at is what it delivered, reference-ns for a device's ns.
 *  7. Memory is held by whoever used the engine in that minute, or else by nobody.  A window in
 * which nearly all of it was nobody's is waste (advise_idle.c): P x the part of a device's memory
 * that it is x hours.
 *  8. src/rate/advice.h makes both into money, and lets advice stand and fall, for each kind alone.
 */
#ifndef DYNO_CLI_ADVISE_JUDGE_H
#define DYNO_CLI_ADVISE_JUDGE_H

#include "base/map.h"
#include "cli/advise_certs.h"
#include "cli/billing.h"

#define DYNO_ADVISE_WINDOWS_MAX 100000

/* X(symbol, name, sentence): why advice is given. */
#define DYNO_ADVISE_REASONS(X)                                                                \
    X(UNDER_BATCHED, "under-batched", "it runs in smaller batches than it was certified for") \
    X(SLOW, "slow-engine", "its engine is hardly faster than the unoptimised execution")      \
    X(UNCERTIFIED, "uncertified", "its engine has no certificate")                            \
    X(EXPIRED, "expired", "the term of its certificate is over")                              \
    X(SUSPENDED, "suspended", "its certificate is suspended")                                 \
    X(UNOPTIMISED, "unoptimised", "it runs unoptimised")                                      \
    X(IDLE, "idle", "it is held in memory, and next to nobody uses it")

enum dyno_advise_reason {
#define X(sym, name, sentence) DYNO_ADVISE_##sym,
    DYNO_ADVISE_REASONS(X)
#undef X
};

/* Indices of names, but for is_core, is_memory, price and window. */
struct dyno_advise_key {
    uint32_t model, variant, device, window;
    uint32_t certificate, reference, is_core, price;
    uint32_t is_memory; /* of what is held; certificate to price are 0 */
};

/* Device time that is alike, or memory. */
struct dyno_advise_cell {
    struct dyno_advise_key key;
    uint64_t requests;
    dyno_u128 ns;
    /* Of it, what delivered certified work. */
    dyno_u128 certified_ns, reference_ns, items;
    dyno_u128 runs_1e9;                   /* 1e-9 of runs: each request is one part of its run's */
    dyno_u128 held_byte_ns, idle_byte_ns; /* memory: all, and what nobody used */
};

struct dyno_advise_price {
    int64_t device_hour;
    uint64_t cores;
};

/* A kind of advice for a subject. */
struct dyno_advise_track {
    struct dyno_advice advice;
    struct dyno_waste waste; /* of all the time that is wasted so */
    dyno_u128 device_ns;     /* of devices */
    dyno_u128 held_byte_ns;  /* IDLE: in the windows that wasted */
    enum dyno_advise_reason reason;
    struct dyno_speed now;                /* in the last window that wasted */
    const struct dyno_advise_cert *could; /* what it goes by there; NULL: nobody knows */
    const struct dyno_advise_cert *own;   /* its certificate, or the one that lapsed; NULL: none */
    uint64_t batch_1e3;                   /* UNDER_BATCHED: items of its runs, thousandths */
};

/* A variant of a model on a device. */
struct dyno_advise_subject {
    const struct dyno_advise_cell *cells; /* by window */
    size_t cell_count;
    const char *model, *variant, *device;
    bool is_on_gpu;
    const struct dyno_advise_cert *cited; /* the last that its own records cite; NULL: none */
    struct dyno_advise_tie tie;
    uint64_t requests;
    struct dyno_advise_track slow, batch, idle;
};

struct dyno_advise {
    struct dyno_arena *arena;
    const struct dyno_tariff_book *book;
    const char *book_path, *folder; /* folder: of certificates; NULL: none */
    struct dyno_usage_source *source;
    struct dyno_advise_certs certs;
    int64_t first_s, window_s, least;
    uint32_t window_count;
    struct dyno_map cell_indices;
    struct dyno_advise_cell **cells;
    size_t cell_count, cell_room;
    struct {
        int64_t device_hour;
        uint64_t device_bytes; /* 0: no tariff says it, and memory has no price */
        bool is_idle;          /* some is nobody's */
    } memory;
    struct dyno_advise_price *prices;
    size_t price_count, price_room;
    struct dyno_advise_subject *subjects; /* by model, variant, device */
    size_t subject_count;
    /* The tariff that was found last, and when it holds. */
    const struct dyno_tariff *tariff;
    uint32_t tenant;
    int64_t tariff_from_s, tariff_until_s;
};

const char *dyno_advise_reason_text(enum dyno_advise_reason reason);
const char *dyno_advise_reason_sentence(enum dyno_advise_reason reason);

/* Read the device time of the windows.  E_ARG: no price of a device-hour; E_NOT_FOUND: a
 * certificate that is cited is not there; errors of the reader. */
enum dyno_status dyno_advise_gather(struct dyno_advise *advise, struct dyno_err *err);

/* --- memory that is held idle: advise_idle.c --- */

/* What memory of a device costs, out of the book; none where no tariff says how much it has. */
void dyno_advise_memory_price(struct dyno_advise *advise);
/* The next window of a subject, in byte-ns that were held, and of them those that nobody used.
 * E_LIMIT: money past all reason. */
enum dyno_status dyno_advise_idle_step(const struct dyno_advise *advise,
                                       struct dyno_advise_subject *subject, dyno_u128 held_byte_ns,
                                       dyno_u128 idle_byte_ns, struct dyno_err *err);
/* The request that unloads it, for a shell, at the end of `out`; E_NOMEM. */
enum dyno_status dyno_advise_unload_command(const struct dyno_advise_subject *subject,
                                            struct dyno_strbuf *out, struct dyno_err *err);

/* What to say of it. */
enum dyno_status dyno_advise_judge(struct dyno_advise *advise, struct dyno_err *err);
void dyno_advise_fini(struct dyno_advise *advise); /* not what the caller opened */

#endif /* DYNO_CLI_ADVISE_JUDGE_H */
