/* tariff.h - what things cost: tariffs, their versions, and who has which.
 *
 * A book of tariffs is a JSON document (docs/tariffs.md).  It is checked as a whole when it is
 * read, and does not change afterwards; everything lives in the caller's arena.  Any thread.
 *
 * Prices are nano-units of the currency, factors are nano (1e9 is one), speed-ups and shares are
 * parts per million; times are seconds since 1970, UTC.
 */
#ifndef DYNO_RATE_TARIFF_H
#define DYNO_RATE_TARIFF_H

#include "base/arena.h"
#include "base/strbuf.h"
#include "rate/money.h"

#define DYNO_TARIFF_TIERS_MAX    32
#define DYNO_TARIFF_FACTORS_MAX  64
#define DYNO_TARIFFS_MAX         10000
#define DYNO_TARIFF_FOREVER      INT64_MAX
#define DYNO_TARIFF_SPEED_UP_MAX (INT64_C(1000) * DYNO_PPM)
#define DYNO_TARIFF_FACTOR_MAX   (INT64_C(1000) * DYNO_NANO)
#define DYNO_TARIFF_PRICE_MAX    (INT64_C(1000000) * DYNO_NANO)
#define DYNO_TARIFF_NAME_BYTES   128

/* X(symbol, name) */
#define DYNO_TARIFF_KINDS(X)                                                     \
    X(DEVICE_HOUR, "device-hour") /* P a device-hour, whatever was done in it */ \
    X(FLAT_EPU, "flat-epu")       /* q an EPU-hour */                            \
    X(GAIN_SHARE, "gain-share")   /* P * (1 - a * (1 - 1/s)) an EPU-hour */

enum dyno_tariff_kind {
#define X(sym, name) DYNO_TARIFF_##sym,
    DYNO_TARIFF_KINDS(X)
#undef X
};
const char *dyno_tariff_kind_text(enum dyno_tariff_kind kind);

enum dyno_tier_mode {
    DYNO_TIERS_NONE,
    DYNO_TIERS_GRADUATED, /* each step's factor for what lies in it */
    DYNO_TIERS_VOLUME,    /* the factor of the step that the sum reaches, for all of it */
};

/* What lies above the step before, up to this many reference-ns (UINT64_MAX: all). */
struct dyno_tier {
    uint64_t up_to_ns;
    int64_t factor;
};

struct dyno_factor {
    const char *name; /* of a class or a precision */
    int64_t factor;
};

struct dyno_tariff {
    const char *name;
    int64_t version;
    const struct dyno_currency *currency;
    int64_t from_s, until_s; /* in force from, and before */
    enum dyno_tariff_kind kind;
    int64_t device_hour; /* P, nano; GAIN_SHARE, DEVICE_HOUR and the floor of residency */
    int64_t epu_hour;    /* q, nano; FLAT_EPU */
    int64_t share_ppm;   /* a; GAIN_SHARE */
    int64_t speed_up_max_ppm;
    uint64_t device_cores; /* of a device whose time is told by core; else 1 */
    int64_t cost_hour;     /* c: what a device-hour costs the platform; -1: not said */
    struct dyno_factor *classes, *precisions;
    size_t class_count, precision_count;
    enum dyno_tier_mode tier_mode;
    struct dyno_tier tiers[DYNO_TARIFF_TIERS_MAX];
    size_t tier_count;
    int64_t minimum;         /* nano a period; 0: none */
    int64_t floor_factor;    /* lambda, nano; 0: no residency floor */
    uint64_t device_bytes;   /* M, of the floor */
    bool charges_cold_start; /* the device time of loading, at P */
};

struct dyno_tariff_grant {
    const char *tenant; /* NULL: everybody else */
    const char *tariff; /* a name */
    int64_t from_s, until_s;
};

struct dyno_tariff_book {
    const struct dyno_tariff *tariffs; /* by name, then from_s */
    size_t tariff_count;
    const struct dyno_tariff_grant *grants; /* by tenant (everybody else last), then from_s */
    size_t grant_count;
};

/* A whole book from its text.  E_FORMAT: no JSON; E_ARG names the tariff, the field and the rule:
 * overlapping versions or grants, a negative price, a currency that is not known or two of them,
 * a share outside 0..1, tiers that do not rise, a grant of a tariff that is not there. */
enum dyno_status dyno_tariff_book_parse(const char *text, size_t bytes, struct dyno_arena *arena,
                                        const struct dyno_tariff_book **book_out,
                                        struct dyno_err *err);

/* The version of a tenant's tariff that was in force at a time; NULL: none. */
const struct dyno_tariff *dyno_tariff_of(const struct dyno_tariff_book *book, const char *tenant,
                                         int64_t time_s);
/* The same, and before which time no other one is in force. */
const struct dyno_tariff *dyno_tariff_until(const struct dyno_tariff_book *book, const char *tenant,
                                            int64_t time_s, int64_t *until_s_out);
/* Has the tenant its tariff at that time by a grant of its own, not by that of everybody else? */
bool dyno_tariff_is_granted(const struct dyno_tariff_book *book, const char *tenant,
                            int64_t time_s);
/* A version of a tariff by its name; NULL: none. */
const struct dyno_tariff *dyno_tariff_at(const struct dyno_tariff_book *book, const char *name,
                                         int64_t time_s);

/* E_MISMATCH when anybody had another tariff from first_s to next_s by the one book than by the
 * other; what the platform's own cost is does not matter. */
enum dyno_status dyno_tariff_book_same(const struct dyno_tariff_book *before,
                                       const struct dyno_tariff_book *now, int64_t first_s,
                                       int64_t next_s, struct dyno_err *err);

/* 1e9 for a class or precision that the tariff does not mention. */
int64_t dyno_tariff_factor(const struct dyno_factor *factors, size_t count, const char *name);

/* The price of an EPU-hour at a speed-up: price * nums... / dens... nano-units (an exact ratio; the
 * numbers go to dyno_ratio).  `speed_up_ppm` is the certificate's upper bound; it is clamped to 1
 * and the tariff's largest.  Not for DEVICE_HOUR, whose price is that of a device-hour. */
struct dyno_price {
    int64_t nano;
    uint64_t num, den;
};
struct dyno_price dyno_tariff_price(const struct dyno_tariff *tariff, int64_t speed_up_ppm);

#endif /* DYNO_RATE_TARIFF_H */
