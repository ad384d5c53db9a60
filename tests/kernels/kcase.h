/* kcase.h - a kernel test case is a row of text; kcheck runs it through every kernel, instruction
 * set, tactic, layout and number of threads that accepts it, and against the operator's reference.
 *
 * ins, by blanks, the tail's after "|":
 *   -              absent
 *   2x3x5          f32 of that shape, random; "s" is a scalar
 *   i64:5          another type
 *   16x3!          a weight: its data are there when kernels are prepared
 *   i64:2=1,-1     contents, known to prepare
 *   i64:5%7        random whole numbers in [0, 7)
 *   2x3+           random positive
 * attrs, by blanks: name=value, name=v,v,v, name=ENUM_SPELLING
 * tail, by ";": instruction, operands (r0 registers, $2 inputs, #1.5 constants), p, q
 */
#ifndef DYNO_TESTS_KCASE_H
#define DYNO_TESTS_KCASE_H

#include <stddef.h>

#include "backend/backend.h"

enum kcheck_mode {
    KCHECK_BITS,  /* random bits in, equal bits out (any NaN equals any NaN) */
    KCHECK_REL,   /* random finite numbers in, |got - want| <= tol * (|want| + 1e-6) */
    KCHECK_SUM,   /* <= tol * (the operator on the magnitudes of its inputs) */
    KCHECK_RANGE, /* <= tol * (greatest magnitude of the output) */
};

/* NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): in the order that rows are written */
struct kcase {
    const char *op;
    const char *attrs;
    const char *ins;
    const char *tail;
    enum kcheck_mode mode;
    double tol;
    int out_count; /* 0: 1 */
};

struct kcase_family {
    const char *name;
    const struct kcase *cases;
    size_t count;
};
#define KCASES(name, rows) \
    const struct kcase_family kcases_##name = {#name, rows, sizeof(rows) / sizeof((rows)[0])};

#define KCASE_INS_MAX  40
#define KCASE_OUTS_MAX 8

/* A case made concrete: row-major tensors. */
struct kcase_data {
    struct dyno_arena *arena;
    const struct kcase *row;
    struct dyno_step step;
    void *attrs;
    struct dyno_tensor ins[KCASE_INS_MAX]; /* rank -1: absent */
    bool in_is_weight[KCASE_INS_MAX];
    bool in_is_known[KCASE_INS_MAX];         /* weights and host values */
    struct dyno_tensor outs[KCASE_OUTS_MAX]; /* what the reference gives */
    const float *bound;                      /* SUM: of output 0, before its tail */
    /* dyno_buf.open of their sizes; kcase_make leaves them 0. */
    uint32_t in_open[KCASE_INS_MAX][DYNO_RANK_MAX], out_open[KCASE_OUTS_MAX][DYNO_RANK_MAX];
};

/* Parse, fill with random values, run the reference.  Everything lives in data->arena. */
enum dyno_status kcase_make(const struct kcase *row, uint64_t seed, struct kcase_data *data,
                            struct dyno_err *err);

/* --- guarded memory: an unreadable page before and after --- */

struct kguard {
    char *base;
    size_t map_bytes;
    char *data; /* ends where the page ends, rounded down to `align` */
    size_t bytes;
    size_t page_bytes;
};
/* Exits the process when there is no memory. */
struct kguard kguard_create(size_t bytes, size_t align);
void kguard_fill(struct kguard *guard, unsigned char byte);
void kguard_readonly(struct kguard *guard);
/* Bytes around data that changed. */
size_t kguard_damage(const struct kguard *guard);
void kguard_destroy(struct kguard *guard);

#endif /* DYNO_TESTS_KCASE_H */
