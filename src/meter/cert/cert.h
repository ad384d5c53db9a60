/* cert.h - certificates: what the unoptimised execution of a model takes (reference certificate),
 * and how many times as fast an engine is (engine certificate).
 *
 * A certificate is a text in canonical JSON (docs/certificate-format.md) that holds its raw
 * samples. Its address is the SHA-256 of the text.  Whatever can be derived from the samples is
 * derived again when it is read, by the code that wrote it, and the text must come out the same,
 * byte for byte: so it is canonical, and no number in it can be changed alone.  Its version is that
 * of the rules, too: other rules are another version, and these stay: 1 is of the CPU, 2 of a GPU.
 * It is never changed; whether it is suspended or has expired is said beside it (state.h).
 *
 * Ownership: a certificate owns an arena with everything that it points to.
 * Threads:   one at a time while it is made; once derived it is read by any number.
 */
#ifndef DYNO_METER_CERT_CERT_H
#define DYNO_METER_CERT_CERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/strbuf.h"
#include "meter/cert/stats.h"

#define DYNO_CERT_VERSION      1 /* of the CPU */
#define DYNO_CERT_VERSION_GPU  2
#define DYNO_CERT_BYTES_MAX    ((size_t)64 << 20)
#define DYNO_CERT_RANK_MAX     8
#define DYNO_CERT_INPUTS_MAX   64U
#define DYNO_CERT_AXES_MAX     3U
#define DYNO_CERT_POINTS_MAX   256U /* of the whole grid */
#define DYNO_CERT_ATTEMPTS_MAX 8U
#define DYNO_CERT_ROWS_MAX     32U    /* batches of the sweep and of the scenarios */
#define DYNO_CERT_BLOCKS_MAX   32768U /* of the whole certificate */
#define DYNO_CERT_RUNS_MAX     65536U /* run times of one side of one batch */
#define DYNO_CERT_OUTPUTS_MAX  256U
#define DYNO_CERT_EARLIER_MAX  64U                 /* refused certificates that came before it */
#define DYNO_CERT_AXIS_MAX     ((int64_t)1 << 20)  /* a dimension that is interpolated over */
#define DYNO_CERT_ITEM_NS_MAX  ((uint64_t)1 << 44) /* t_ref: nearly five hours */
#define DYNO_CERT_NUMBER_MAX   ((uint64_t)1 << 53)

/* What a certificate that may be billed by was measured with, at least. */
#define DYNO_CERT_PROCESSES   5U
#define DYNO_CERT_BLOCKS      4U
#define DYNO_CERT_PATIENCE    6U /* so many times as many blocks are tried, where some do not hold */
#define DYNO_CERT_SEGMENT_NS  1000000000U
#define DYNO_CERT_CHAIN_ADDS  131072U /* dependent additions, a cycle each */
#define DYNO_CERT_OPAQUE_MAX  0.05    /* share of the baseline's time in steps without a kernel */
#define DYNO_CERT_CLASS_LEAST 990000U /* of the accuracy, millionths */

struct dyno_cert_hash {
    uint8_t bytes[32];
};
#define DYNO_CERT_HEX_ROOM 65

/* --- raw samples --- */

/* Runs one after the other on one side. */
struct dyno_cert_segment {
    uint64_t items;
    uint64_t ns;       /* on a GPU: between the events around the runs */
    uint64_t chain_ns; /* the chain of dependent additions, timed every 50 ms meanwhile and once
                        * after it, the mean; on a GPU: as many cycles at the mean clock that the
                        * card told meanwhile, 0 where it tells none */
    uint64_t steal_ns; /* what a hypervisor and other processes took from its threads meanwhile */
};
/* A B B A.  A is the baseline; B is it too (control) or the engine (speed-up). */
struct dyno_cert_block {
    struct dyno_cert_segment segments[4];
};
/* A against B, free of what drifts steadily over the four segments; of items and times above 0. */
double dyno_cert_block_log_ratio(const struct dyno_cert_block *block);

/* Neither the clock nor a hypervisor nor other processes disturbed it.  On a GPU the clock is held
 * against itself on each side: what a side's own load makes of it is part of what that side takes.
 */
bool dyno_cert_block_held(const struct dyno_cert_block *block, bool on_gpu);
/* How much of it did, as shares: what the clock moved by, what others took. */
struct dyno_cert_disturbance {
    double clock, taken;
};
struct dyno_cert_disturbance dyno_cert_block_disturbance(const struct dyno_cert_block *block,
                                                         bool on_gpu);

struct dyno_cert_process {
    struct dyno_cert_block *blocks;
    uint32_t count;
};
struct dyno_cert_series {
    struct dyno_cert_process *processes;
    uint32_t count;
};

struct dyno_cert_point {
    struct dyno_cert_series control;
    struct dyno_cert_series speedup; /* ENGINE */
    /* Profiled runs of the baseline: all steps, and those that run by their slow reference. */
    uint64_t profiled_ns, opaque_ns;
    /* Derived. */
    int64_t at[DYNO_CERT_AXES_MAX];
    uint32_t kept_count, dropped_count;    /* blocks */
    struct dyno_cert_interval control_log; /* 0: the same */
    struct dyno_cert_interval item_ns;     /* of the baseline */
    struct dyno_cert_interval speedup_log; /* ENGINE */
    uint64_t t_ref_ns;                     /* REFERENCE: an item, billed */
};

enum dyno_cert_outcome {
    DYNO_CERT_ACCEPTED,
    DYNO_CERT_TRIAL, /* may be looked at and never billed by */
    DYNO_CERT_REFUSED,
};

/* One go over all points of the grid, in row-major order of the axes. */
struct dyno_cert_attempt {
    int64_t begun_s;
    struct dyno_cert_point *points;
    /* Derived. */
    enum dyno_cert_outcome outcome;
    const char *rule;   /* that it breaks: "clock", "opaque", "control", "steady"; "": none */
    const char *reason; /* the same as a sentence, which is not part of the text */
};

/* --- what was measured on --- */

struct dyno_cert_input {
    const char *name;
    const char *type;
    uint32_t rank;
    int64_t min[DYNO_CERT_RANK_MAX], opt[DYNO_CERT_RANK_MAX], max[DYNO_CERT_RANK_MAX];
};

/* An open dimension other than the batch; inputs that share it are one axis. */
struct dyno_cert_place {
    uint32_t input, dim;
};
struct dyno_cert_axis {
    struct dyno_cert_place *places;
    uint32_t place_count;
    int64_t *points; /* rising */
    uint32_t point_count;
};

/* Throughput of the baseline at one batch. */
struct dyno_cert_sweep {
    uint64_t batch, items, ns;
};

/* --- what an engine certificate says besides --- */

struct dyno_cert_output {
    const char *name;
    uint64_t rows, elements;
    uint64_t error_1e9;  /* |engine - FP32| of |FP32| (Euclidean), rounded up; saturated */
    uint64_t same_top_1; /* rows whose largest element is the same */
};
struct dyno_cert_accuracy {
    bool is_given;      /* the data; else made up */
    bool by_top_1;      /* judged by it; else by the error */
    uint32_t class_1e6; /* agreement that is wanted */
    struct dyno_cert_output *outputs;
    uint32_t output_count;
    /* Derived. */
    uint32_t agreement_1e6; /* the least of the outputs', rounded down */
};

/* Times of single runs of a batch, side by side. */
struct dyno_cert_row {
    uint64_t batch;
    uint64_t *run_ns[2]; /* baseline, engine */
    uint32_t counts[2];
};
struct dyno_cert_scenarios {
    uint64_t bound_ns; /* Server: 99 of 100 queries come back within */
    struct dyno_cert_row *rows;
    uint32_t row_count; /* 0: not measured */
    /* Derived; baseline, engine; 0: not enough queries to tell. */
    uint64_t single_stream_p90_ns[2];
    uint64_t multi_stream_p99_ns[2]; /* queries of 8 */
    uint64_t offline_1e6[2];         /* items in 1e6 s, at the best batch */
    uint64_t server_1e6[2];          /* queries in 1e6 s */
    uint64_t server_batch[2];
    uint64_t slo_1e6; /* the engine's server rate against the baseline's */
};

/* A GPU that was measured on.  compute 0: it was the CPU. */
struct dyno_cert_gpu {
    uint32_t compute;   /* capability: 90 for 9.0 */
    uint32_t cuda;      /* version that its driver is for: 13000 */
    const char *driver; /* its version; "": not told */
    uint32_t multiprocessors;
    uint64_t memory_bytes;
    uint64_t power_limit_mw, memory_mhz; /* 0: it does not tell */
    const char *libraries;               /* whose kernels the unoptimised execution runs */
    const char *host;                    /* the processor that launches */
    bool by_host[2]; /* baseline, engine: steps run on the CPU, too, so the host's clock counts */
};

/* What a card's counter moved during the segments of speed-ups, whoever used it. */
struct dyno_cert_energy {
    uint64_t items[2], millijoules[2]; /* baseline, engine; items 0: it tells none */
    /* Derived. */
    uint64_t item_uj[2];
};

enum dyno_cert_kind { DYNO_CERT_REFERENCE, DYNO_CERT_ENGINE };

struct dyno_cert {
    struct dyno_arena *arena;
    enum dyno_cert_kind kind;
    const char *program; /* "dyno 0.1.0" */
    int64_t issued_s;
    uint32_t term_days;
    bool is_trial;
    const char *device_class, *processor, *isa;
    uint32_t threads;
    struct dyno_cert_gpu gpu;
    const char *model_name;
    struct dyno_cert_hash model, baseline;
    struct dyno_cert_input *inputs;
    uint32_t input_count;
    struct dyno_cert_axis *axes;
    uint32_t axis_count, point_count;
    uint64_t batch; /* REFERENCE: derived from the sweep */
    uint32_t process_count, block_count;
    uint64_t segment_ns; /* at least */
    struct dyno_cert_attempt *attempts;
    uint32_t attempt_count; /* the last one counts */
    /* Addresses of what was refused of the same subject before, rising. */
    struct dyno_cert_hash *earlier;
    uint32_t earlier_count;
    /* REFERENCE */
    struct dyno_cert_sweep *sweep;
    uint32_t sweep_count;
    /* ENGINE */
    struct dyno_cert_hash engine, reference; /* reference: the address of that certificate */
    const char *precision;
    struct dyno_cert_accuracy accuracy;
    struct dyno_cert_scenarios scenarios;
    struct dyno_cert_energy energy; /* of a GPU */
    /* Derived. */
    enum dyno_cert_outcome outcome;
    const char *rule, *reason; /* rule: of the last attempt, or "accuracy" */
    /* ENGINE, over all points: least lower end, geometric mean of the values, greatest upper end.
     */
    uint64_t speedup_1e6[3];
    struct dyno_cert_hash address; /* SHA-256 of the text */
};

/* --- making one --- */

/* Empty, of this kind; NULL: out of memory. */
struct dyno_cert *dyno_cert_create(enum dyno_cert_kind kind);
void dyno_cert_destroy(struct dyno_cert *cert); /* accepts NULL */

/* Fill in everything that is derived, and the address.  E_FORMAT names what the samples lack to be
 * a certificate at all (a refused one is one); E_NOMEM. */
DYNO_NODISCARD enum dyno_status dyno_cert_derive(struct dyno_cert *cert, struct dyno_err *err);

/* The canonical text of a derived certificate, with its final newline. */
void dyno_cert_text(const struct dyno_cert *cert, struct dyno_strbuf *text_out);

/* --- reading one --- */

/* text[bytes] may be an enemy's.  E_FORMAT: no certificate; E_UNSUPPORTED: of another version;
 * E_CORRUPT: what it says does not follow from its samples, with the first place where it does not;
 * E_LIMIT, E_NOMEM. */
DYNO_NODISCARD enum dyno_status dyno_cert_parse(const char *text, size_t bytes,
                                                struct dyno_cert **cert_out, struct dyno_err *err);

/* The same from a file; errors begin with the path.  A file whose name begins with 64 hexadecimal
 * digits must have that address (E_CORRUPT). */
DYNO_NODISCARD enum dyno_status dyno_cert_load(const char *path, struct dyno_cert **cert_out,
                                               struct dyno_err *err);

/* Write FOLDER/ADDRESS.reference.json, .engine.json or .refused.json; path_out has the path. */
DYNO_NODISCARD enum dyno_status dyno_cert_save(const struct dyno_cert *cert, const char *folder,
                                               struct dyno_strbuf *path_out, struct dyno_err *err);

/* --- asking one --- */

/* Does the block count?  Those that held do; of a trial, which is never billed by, all do. */
bool dyno_cert_block_counts(const struct dyno_cert *cert, const struct dyno_cert_block *block);

/* The points that count: of the last attempt. */
const struct dyno_cert_point *dyno_cert_points(const struct dyno_cert *cert);
/* "reference", "engine"; "accepted", "trial", "refused". */
const char *dyno_cert_kind_text(enum dyno_cert_kind kind);
const char *dyno_cert_outcome_text(enum dyno_cert_outcome outcome);
int64_t dyno_cert_expires_s(const struct dyno_cert *cert);

/* s as a price takes it: the upper end, clamped to [1, most]; and as a claim takes it: the lower
 * end, at least 1.  Millionths. */
uint64_t dyno_cert_billed_speedup_1e6(const struct dyno_cert *cert, uint64_t most_1e6);
uint64_t dyno_cert_claimed_speedup_1e6(const struct dyno_cert *cert);

/* Derived before the rest: the reference batch of the sweep, and the least agreement of the outputs
 * in millionths. */
uint64_t dyno_cert_sweep_batch(const struct dyno_cert *cert);
uint32_t dyno_cert_agreement_1e6(const struct dyno_cert_accuracy *accuracy);

/* What a certificate is wanted for.  NULL: not asked. */
struct dyno_cert_want {
    const struct dyno_cert_hash *model, *engine;
    const char *device_class;
    int64_t now_s; /* 0: the term is not asked */
    bool to_bill;  /* a trial or a refused one will not do */
};
/* E_MISMATCH: another model or engine; E_TARGET: another device; E_DENIED: its term has not begun
 * or is over, or it is not to be billed by.  One sentence each. */
DYNO_NODISCARD enum dyno_status dyno_cert_check(const struct dyno_cert *cert,
                                                const struct dyno_cert_want *want,
                                                struct dyno_err *err);

/* Does the engine certificate cite this reference certificate, and is it of the same model,
 * baseline, device, shapes?  E_MISMATCH says what differs. */
DYNO_NODISCARD enum dyno_status dyno_cert_check_pair(const struct dyno_cert *engine,
                                                     const struct dyno_cert *reference,
                                                     struct dyno_err *err);

/* --- hashes as text --- */

void dyno_cert_hex(const struct dyno_cert_hash *hash, char out[DYNO_CERT_HEX_ROOM]);
/* False unless text[64] is lower-case hexadecimal. */
bool dyno_cert_unhex(const char *text, size_t bytes, struct dyno_cert_hash *hash_out);
static inline bool dyno_cert_same(const struct dyno_cert_hash *a, const struct dyno_cert_hash *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

#endif /* DYNO_METER_CERT_CERT_H */
