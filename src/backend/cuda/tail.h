/* tail.h - a step's tail (ops/pw.h) as text of a GPU program, and its operands.
 *
 * The text is a function dyno_tail<W>(v, tail, at, row, column) that rewrites W neighbouring
 * elements of output 0 in registers: `at` counts stored elements from the output's start, `row` and
 * `column` are the same place as a row (a position, in LAST) and an element of it (a channel).
 */
#ifndef DYNO_BACKEND_CUDA_TAIL_H
#define DYNO_BACKEND_CUDA_TAIL_H

#include "backend/cuda/kernel.h"

/* How an operand spreads over the output. */
enum dyno_cuda_spread {
    DYNO_CUDA_SAME,    /* element for element, in the output's layout */
    DYNO_CUDA_SCALAR,  /* one value */
    DYNO_CUDA_COLUMN,  /* along the fastest axis, the same for every row */
    DYNO_CUDA_ITEM,    /* LAST: one value for each item of axis 0 and channel */
    DYNO_CUDA_STRIDES, /* ROW: by strides */
    DYNO_CUDA_ANY,     /* ROW: element for element or by strides, as the run's shapes say */
};

struct dyno_cuda_tail {
    uint32_t in_count;
    struct {
        uint32_t idx; /* of the step's inputs */
        uint8_t spread;
        struct dyno_layout layout;
    } ins[DYNO_GPU_TAIL_INS];
};

/* For `settle`, `program` and `prepare`: false when programs cannot do this tail in the layouts
 * that `tactic` gives output 0 and the tail's inputs. */
bool dyno_cuda_tail_plan(const struct dyno_site *site, const struct dyno_tactic *tactic,
                         struct dyno_cuda_tail *tail_out);
/* The same with the step's inputs from `first` on as operands. */
bool dyno_cuda_tail_plan_from(const struct dyno_site *site, const struct dyno_tactic *tactic,
                              uint32_t first, struct dyno_cuda_tail *tail_out);

/* What `settle` ends with where input 0 is read in one layout: it is `in`, the tail fits, and plain
 * rows are for the unoptimised execution too. */
enum dyno_status dyno_cuda_settle_input(const struct dyno_site *site, struct dyno_layout in,
                                        struct dyno_tactic *tactic, struct dyno_err *err);

/* From here on the plan's text is the same for all shapes: how an operand spreads that is no vector
 * along the rows and no number is decided when it is prepared.  For rows alone. */
void dyno_cuda_tail_open(const struct dyno_site *site, struct dyno_cuda_tail *tail);

/* For `enumerate`: out_layout, and the layouts of the tail's inputs that go with it. */
void dyno_cuda_tail_layouts(const struct dyno_site *site, struct dyno_layout out_layout,
                            struct dyno_tactic *tactic);
/* The layout that an operand has beside an output in out_layout. */
struct dyno_layout dyno_cuda_operand_layout(const struct dyno_site *site, uint32_t i,
                                            struct dyno_layout out_layout);

/* For `program`: the instructions, over operands of the plan. */
void dyno_cuda_tail_text(const struct dyno_tail *program, const struct dyno_cuda_tail *tail,
                         struct dyno_strbuf *out);

/* For `prepare`: all but the addresses.  False when sizes overflow. */
bool dyno_cuda_tail_sizes(const struct dyno_site *site, const struct dyno_tactic *tactic,
                          const struct dyno_cuda_tail *tail, struct dyno_gpu_tail *params_out);

/* For `run`. */
void dyno_cuda_tail_bind(const struct dyno_run_args *args, const struct dyno_cuda_tail *tail,
                         struct dyno_gpu_tail *params);

#endif /* DYNO_BACKEND_CUDA_TAIL_H */
