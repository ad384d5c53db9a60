/* reduce.h - attributes of Reduce* and ArgMax/ArgMin.
 *
 * Reduce*: inputs data, axes (i64 [n], optional).  No axes (absent or empty): all axes, or a copy
 * when noop_with_empty_axes is set.
 */
#ifndef DYNO_OPS_REDUCE_H
#define DYNO_OPS_REDUCE_H

#include "ops/op.h"

struct dyno_reduce_attrs {
    int64_t keepdims;             /* != 0 (default 1): reduced axes stay with size 1 */
    int64_t noop_with_empty_axes; /* default 0 */
};

struct dyno_arg_reduce_attrs {
    int64_t axis;              /* -rank..rank-1; 0 */
    int64_t keepdims;          /* default 1 */
    int64_t select_last_index; /* among equal values: the last (default 0: the first) */
};

/* reduced_out[axis] says which axes are reduced, for a tensor of that rank.  axes: the second
 * input, NULL when absent. */
enum dyno_status dyno_reduce_axes(const struct dyno_reduce_attrs *attrs, int rank,
                                  const struct dyno_tensor *axes, bool *reduced_out,
                                  struct dyno_err *err);

extern const struct dyno_attr dyno_reduce_attr_rows[2];
extern const struct dyno_attr dyno_arg_reduce_attr_rows[3];

/* Members of struct dyno_op that all Reduce* have, and ArgMax/ArgMin. */
#define DYNO_REDUCE_OP                                                               \
    .domain = "", .in_min = 1, .in_max = 2, .out_min = 1, .out_max = 1, .pw = -1,    \
    .attrs = dyno_reduce_attr_rows, .attr_count = DYNO_COUNT(dyno_reduce_attr_rows), \
    .attr_bytes = sizeof(struct dyno_reduce_attrs)
#define DYNO_ARG_REDUCE_OP                                                              \
    .pw = -1, .attrs = dyno_arg_reduce_attr_rows,                                       \
    .attr_count = DYNO_COUNT(dyno_arg_reduce_attr_rows),                                \
    .attr_bytes = sizeof(struct dyno_arg_reduce_attrs), .infer = dyno_arg_reduce_infer, \
    DYNO_UNARY_OP

/* Rules of Reduce* of numbers, and of ArgMax/ArgMin. */
enum dyno_status dyno_reduce_infer(struct dyno_infer *ctx);
enum dyno_status dyno_arg_reduce_infer(struct dyno_infer *ctx);
/* The same for data of these classes (enum dyno_type_class), and its contents: when they are known
 * and the axes are, out[0].elems by `fold`. */
enum dyno_status dyno_reduce_infer_fold(struct dyno_infer *ctx, unsigned classes,
                                        dyno_expr (*fold)(struct dyno_exprs *exprs, dyno_expr a,
                                                          dyno_expr b));

/* How a reduction folds: the state starts at `start`, add() takes each value less `shift`, finish()
 * ends it.  shift is 0, or the greatest value when `shift_by_max` asks for it. */
struct dyno_reduce_rule {
    double start;
    bool shift_by_max;
    double (*add)(double state, double x);
    double (*finish)(double state, double count, double shift); /* NULL: the state itself */
    /* Integers and bool, exactly (they wrap); NULL: through f64.  u64 is offset by 2^63 for
     * `ordered` rules, so that int64 compares it rightly. */
    int64_t (*int_add)(int64_t state, int64_t x);
    int64_t (*int_finish)(int64_t state, int64_t count); /* NULL: the state itself */
    int64_t int_start;
    bool ordered;        /* min or max: integers start at the dtype's far end, NaN wins */
    bool ordered_is_max; /* which */
};
enum dyno_status dyno_reduce_run(struct dyno_ref *ctx, const struct dyno_reduce_rule *rule);

/* ArgMax / ArgMin: better(candidate, best). */
enum dyno_status dyno_arg_reduce_run(struct dyno_ref *ctx, bool (*better)(double a, double b));

#endif /* DYNO_OPS_REDUCE_H */
