/* rate.h - from what was used to what it costs.
 *
 * A rater takes usage (records of a ledger, or sums of them) in any order, and gives a statement:
 * for each tenant lines, each rounded once, and sums.  It is a pure function of the usage, the book
 * of tariffs and the period; its memory grows with the distinct keys (and hours, where a tariff has
 * a residency floor), never with the records.  One thread at a time.
 *
 * Money is exact until a line is rounded to the least amount of its currency, half away from zero
 * (credits: half to even).  What rounding took or gave stands in `residue`, so that
 * charged + paid by credit + residue = revenue, to the nano-unit.
 */
#ifndef DYNO_RATE_RATE_H
#define DYNO_RATE_RATE_H

#include "rate/tariff.h"

/* X(symbol, name) */
#define DYNO_USAGE_KINDS(X)                                                                    \
    X(DELIVERED, "delivered")     /* an answer that its client got */                          \
    X(FAILED, "failed")           /* free */                                                   \
    X(CACHED, "cached")           /* no work was done: free */                                 \
    X(UNCONFIRMED, "unconfirmed") /* the answer may not have left: free */                     \
    X(COLD_START, "cold-start")   /* loading an engine for this tenant: device time, no EPU */ \
    X(RESIDENCY, "residency")     /* byte_ns alone */

enum dyno_usage_kind {
#define X(sym, name) DYNO_USAGE_##sym,
    DYNO_USAGE_KINDS(X)
#undef X
        DYNO_USAGE_KIND_COUNT
};
const char *dyno_usage_kind_text(enum dyno_usage_kind kind);

/* Indices into the rater's names; precision as "fp32", certificate as its address ("": none). */
struct dyno_usage_key {
    uint32_t tenant, model, variant, class_name, precision, certificate;
};

struct dyno_usage {
    dyno_u128 byte_ns; /* RESIDENCY */
    int64_t start_s;
    uint64_t requests, items;
    uint64_t device_ns, reference_ns; /* DELIVERED's reference_ns are its EPU */
    struct dyno_usage_key key;
    enum dyno_usage_kind kind;
    uint32_t claimed;   /* the tariff that its record names, as NAME/VERSION; 0: none */
    bool is_core;       /* device_ns are those of cores, not of the whole device */
    bool is_taken_back; /* charged in an earlier period, and not owed: a credit */
    /* It cites a certificate whose term was over, or one that was suspended when it began:
     * reference_ns are bounded by it. */
    bool is_lapsed, is_suspended;
    /* The record that it is of, for who wants to know; nothing is rated by it. */
    uint64_t seq;
    uint32_t node, epoch;
    uint32_t device, reference; /* indices of names, as in the key */
    uint32_t batch_count;       /* requests that ran with it, itself included; 0: it did not run */
    bool is_certified;          /* reference_ns are those of a reference certificate */
};

struct dyno_credit {
    const char *tenant;
    int64_t nano; /* prepaid, left before this period */
};

/* How statements and their documents are made, counted: what was closed by an earlier form is made
 * again by it; the JSON, which is what is verified, to the byte.  2: tiers take off no more than
 * their lines are charged, and nothing is written as -0.  3: invoices tell their date of issue, and
 * who sells and who buys. */
#define DYNO_RATE_FORM 3U

struct dyno_rater_options {
    const struct dyno_tariff_book *book;
    const char *tariff; /* everybody by this one, whatever the grants say; NULL: by the grants */
    const char *const *names;
    size_t name_count;
    /* The upper bound of the speed-up that a certificate shows, parts per million. */
    int64_t (*speed_up_ppm)(void *arg, const char *certificate);
    void *arg;
    int64_t first_s, next_s; /* the period: from, and before */
    const struct dyno_credit *credits;
    size_t credit_count;
    uint32_t form; /* 0: DYNO_RATE_FORM */
};

/* --- the statement; in the caller's arena --- */

/* X(symbol, name) */
#define DYNO_LINE_KINDS(X)          \
    X(USAGE, "usage")               \
    X(COLD_START, "cold-start")     \
    X(RESIDENCY, "residency-floor") \
    X(TIERS, "tiers")               \
    X(MINIMUM, "minimum")           \
    X(CREDIT, "credit")

enum dyno_line_kind {
#define X(sym, name) DYNO_LINE_##sym,
    DYNO_LINE_KINDS(X)
#undef X
};
const char *dyno_line_kind_text(enum dyno_line_kind kind);

struct dyno_line {
    enum dyno_line_kind kind;
    enum dyno_usage_kind usage;                                         /* USAGE */
    const char *model, *variant, *class_name, *precision, *certificate; /* "": not of this line */
    const struct dyno_tariff *tariff;
    bool is_late;         /* used before the period */
    bool is_taken_back;   /* charged then, and given back: amounts are below 0, figures are not */
    int64_t speed_up_ppm; /* that the price was made with; 0: no matter */
    uint64_t requests, items;
    uint64_t lapsed;    /* of the requests, those that cite a certificate whose term was over */
    uint64_t suspended; /* those that cite one which was suspended */
    uint64_t unclaimed; /* those whose records name another tariff, or another version of it */
    dyno_u128 core_ns;  /* of all cores, where devices are told by core */
    dyno_u128 device_ns, reference_ns, byte_ns;
    dyno_i128 unit_nano; /* price of a unit (an EPU-hour, a device-hour), to the nano-unit */
    dyno_i128 nano;      /* the exact amount, cut to the nano-unit */
    dyno_i128 minor;     /* what is charged, in the least amounts of the currency */
};

struct dyno_account {
    const char *tenant;
    struct dyno_line *lines;
    size_t line_count;
    dyno_i128 total_minor;
    dyno_i128 residue_nano;
    dyno_i128 credit_minor; /* of the total before it, what prepaid credit paid */
    dyno_i128 credit_left_nano;
    dyno_u128 device_ns, reference_ns; /* of what was delivered, before what is taken back */
    dyno_i128 cost_nano;               /* of its device time; -1: a tariff does not say */
};

struct dyno_statement {
    const struct dyno_currency *currency; /* NULL: there is no account */
    uint32_t form;                        /* 1 to DYNO_RATE_FORM */
    int64_t first_s, next_s;
    /* By tenant's name: who used something, and who has a tariff with a minimum by a grant of its
     * own. */
    struct dyno_account *accounts;
    size_t account_count;
    dyno_i128 charged_minor, credit_minor;
    dyno_i128 revenue_nano, residue_nano;
    dyno_i128 cost_nano; /* -1: not known of all */
    dyno_u128 device_ns, reference_ns;
};

struct dyno_rater;
enum dyno_status dyno_rater_create(const struct dyno_rater_options *options,
                                   struct dyno_rater **rater_out, struct dyno_err *err);
void dyno_rater_destroy(struct dyno_rater *rater); /* accepts NULL */

/* E_NOT_FOUND: the tenant has no tariff at that time; E_ARG: an index that is none, a start after
 * the period; E_LIMIT: too many distinct keys. */
enum dyno_status dyno_rater_add(struct dyno_rater *rater, const struct dyno_usage *usage,
                                struct dyno_err *err);
/* E_LIMIT: an amount that is past all reason. */
enum dyno_status dyno_rater_finish(struct dyno_rater *rater, struct dyno_arena *arena,
                                   struct dyno_statement **statement_out, struct dyno_err *err);

/* --- what a customer should know of it --- */

/* What is strange in the records of an account, in requests. */
struct dyno_account_doubts {
    uint64_t lapsed, suspended, unclaimed; /* as in lines */
};
struct dyno_account_doubts dyno_account_doubts(const struct dyno_account *account);

/* --- a line, and what it is made of --- */

/* Is the line made of usage?  (Tiers, minimum and credit are made of other lines.) */
bool dyno_line_has_usage(const struct dyno_line *line);
/* Did this usage go into that line of the account?  Both of a statement with the rater's options.
 * Errors of dyno_rater_add. */
enum dyno_status dyno_line_find(struct dyno_rater *rater, const struct dyno_account *account,
                                const struct dyno_line *line, const struct dyno_usage *usage,
                                bool *found_out, struct dyno_err *err);
/* What the line's amount goes by: reference-ns, ns of cores, byte-ns. */
dyno_u128 dyno_line_units(const struct dyno_line *line, const struct dyno_usage *usage);
/* What so many of its units make, cut to the nano-unit; all of them make line->nano.  So the parts
 * of records one after another, each up to it less that before it, add up to the line. */
enum dyno_status dyno_line_part(const struct dyno_line *line, dyno_u128 units, dyno_i128 *nano_out,
                                struct dyno_err *err);

#endif /* DYNO_RATE_RATE_H */
