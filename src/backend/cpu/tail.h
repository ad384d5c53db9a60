/* tail.h - a step's tail (ops/pw.h) made ready for concrete shapes, and its execution.
 *
 * `prepare` looks once at how each extra input spreads over output 0; the run functions then work
 * on pieces of the output while they are hot in the cache.  A struct dyno_cpu_tail is plain data
 * that lives in a kernel's state: it holds no pointers, the data of inputs come from the run.
 *
 * Kernels that keep results in registers may look at `simple` first: the few programs worth doing
 * there.  simple.kind DYNO_CPU_SIMPLE_NONE with instr_count != 0 means: run the tail in memory.
 */
#ifndef DYNO_BACKEND_CPU_TAIL_H
#define DYNO_BACKEND_CPU_TAIL_H

#include "backend/backend.h"

#define DYNO_CPU_TAIL_INPUTS_MAX 16
#define DYNO_CPU_BLOCK           16 /* channels a block, f32 */

/* How an input spreads over the output. */
enum dyno_cpu_spread {
    DYNO_CPU_SAME,    /* element for element: same layout, same shape */
    DYNO_CPU_SCALAR,  /* one value */
    DYNO_CPU_LAST,    /* ROW: along the last axis, the same for every row */
    DYNO_CPU_ROWS,    /* ROW: one value a row, dense in the row */
    DYNO_CPU_CHANNEL, /* BLOCK: 16 values for (batch, channel block), the same at each position */
    DYNO_CPU_GENERAL, /* by strides */
};

struct dyno_cpu_tail_in {
    uint32_t idx;         /* of the step's inputs */
    uint8_t spread;       /* enum dyno_cpu_spread */
    bool block;           /* the input itself is in BLOCK layout */
    int64_t batch_stride; /* BLOCK: elements, 0 when the input has one batch */
    int64_t chan_stride;  /* BLOCK output: elements a channel (ROW input), a block (BLOCK input);
                           * 0: one channel for all */
    int64_t strides[DYNO_RANK_MAX]; /* elements a step of tail->dims (ROW: the last is 0 or 1) */
};

struct dyno_cpu_tail_operand {
    uint8_t kind; /* enum dyno_operand_kind */
    uint8_t slot; /* REG: scratch slot, DYNO_CPU_SLOT_SRC: register 0.  INPUT: of tail->ins */
    float value;  /* CONST */
};
#define DYNO_CPU_SLOT_SRC UINT8_MAX

struct dyno_cpu_tail_instr {
    uint8_t op; /* enum dyno_pw_op */
    uint8_t operand_count;
    uint8_t slot; /* scratch slot written; the last instruction writes the result */
    struct dyno_cpu_tail_operand operands[3];
    float p, q;
};

enum dyno_cpu_simple_kind {
    DYNO_CPU_SIMPLE_NONE, /* no tail at all when instr_count is 0 */
    DYNO_CPU_SIMPLE_RELU, /* max(x, 0) */
    DYNO_CPU_SIMPLE_CLIP, /* p <= x <= q, p <= q */
    DYNO_CPU_SIMPLE_ADD,  /* x + input, spread SAME */
    DYNO_CPU_SIMPLE_ADD_RELU,
    DYNO_CPU_SIMPLE_ADD_CLIP,
};
struct dyno_cpu_simple {
    uint8_t kind; /* enum dyno_cpu_simple_kind */
    float p, q;
    uint32_t idx;         /* ADD: of the step's inputs */
    int64_t batch_stride; /* ADD, BLOCK: of that input */
};

struct dyno_cpu_tail {
    uint32_t instr_count; /* 0: no tail */
    uint32_t in_count;
    struct dyno_cpu_simple simple;
    bool flat; /* every input is SAME or SCALAR: position in the output is all that matters */
    /* ROW: the output as rows x cols, dims[0..rank-1] the axes that make up `rows` (merged where
     * inputs allow).  BLOCK: dims are the spatial axes. */
    int rank;
    int64_t dims[DYNO_RANK_MAX];
    int64_t rows, cols;
    /* BLOCK */
    int64_t channels, spatial;
    struct dyno_cpu_tail_in ins[DYNO_CPU_TAIL_INPUTS_MAX];
    struct dyno_cpu_tail_instr instrs[DYNO_TAIL_INSTRS_MAX];
};

enum dyno_cpu_tail_shape {
    DYNO_CPU_TAIL_AXES,   /* ROW: a row is the output's last axis */
    DYNO_CPU_TAIL_MERGED, /* ROW: rows as long as the inputs allow; see rows and cols */
};

/* For `enumerate`: false when the tail is not for these functions (types, too many inputs). */
bool dyno_cpu_tail_accepts(const struct dyno_site *site);

/* For `enumerate`: the layouts that inputs from `first` on (the tail's: step->own_in_count) are
 * wanted in when they spread over an output 0 in `out_layout`. */
void dyno_cpu_tail_layouts_from(const struct dyno_site *site, uint32_t first,
                                struct dyno_layout out_layout, struct dyno_tactic *tactic);
static inline void dyno_cpu_tail_layouts(const struct dyno_site *site,
                                         struct dyno_layout out_layout, struct dyno_tactic *tactic)
{
    dyno_cpu_tail_layouts_from(site, site->step->own_in_count, out_layout, tactic);
}

/* For `prepare`: the layout is that of site->outs[0].  E_FORMAT when an input does not broadcast.
 */
enum dyno_status dyno_cpu_tail_prepare(const struct dyno_site *site, enum dyno_cpu_tail_shape shape,
                                       struct dyno_cpu_tail *tail_out, struct dyno_err *err);
/* The same for another program over the step's inputs and output 0 than the step's own tail. */
enum dyno_status dyno_cpu_tail_prepare_program(const struct dyno_site *site,
                                               const struct dyno_tail *program,
                                               enum dyno_cpu_tail_shape shape,
                                               struct dyno_cpu_tail *tail_out,
                                               struct dyno_err *err);

/* Once an instruction set.  `ins` are the run's inputs; src may be dst (in place).
 *
 * block: count positions from pos0 (spatial index) of channel block cb of batch n; src and dst
 * point at [count][16] floats.  Lanes past the last channel are written, with anything. row: count
 * elements from column col0 of row `row`; src and dst point at the first of them. flat:  only when
 * tail->flat: count elements from element `first` of the output's storage (ROW, or BLOCK when no
 * input or output is a view). */
#define DYNO_CPU_TAIL_DECLARE(isa)                                                               \
    void dyno_cpu_tail_block_##isa(const struct dyno_cpu_tail *tail, const struct dyno_buf *ins, \
                                   const float *src, float *dst, int64_t n, int64_t cb,          \
                                   int64_t pos0, int64_t count);                                 \
    void dyno_cpu_tail_row_##isa(const struct dyno_cpu_tail *tail, const struct dyno_buf *ins,   \
                                 const float *src, float *dst, int64_t row, int64_t col0,        \
                                 int64_t count);                                                 \
    void dyno_cpu_tail_flat_##isa(const struct dyno_cpu_tail *tail, const struct dyno_buf *ins,  \
                                  const float *src, float *dst, int64_t first, int64_t count);
DYNO_CPU_TAIL_DECLARE(portable)
DYNO_CPU_TAIL_DECLARE(avx2)
DYNO_CPU_TAIL_DECLARE(avx512)

/* Those of the instruction set a body is compiled for (after simd.h). */
#define tail_block DYNO_CPU_FN(dyno_cpu_tail_block) /* NOLINT(readability-identifier-naming) */
#define tail_row   DYNO_CPU_FN(dyno_cpu_tail_row)   /* NOLINT(readability-identifier-naming) */
#define tail_flat  DYNO_CPU_FN(dyno_cpu_tail_flat)  /* NOLINT(readability-identifier-naming) */

#endif /* DYNO_BACKEND_CPU_TAIL_H */
