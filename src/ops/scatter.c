/* scatter.c - what ScatterElements and ScatterND share: an update meets what is there. */
#include "ops/move.h"
#include "ops/ref.h"

const char *const dyno_scatter_reductions[] = {"none", "add", "mul", "max", "min", NULL};

static double fold_f64(enum dyno_scatter_reduction reduction, double a, double b)
{
    switch (reduction) {
    case DYNO_SCATTER_ADD:
        return a + b;
    case DYNO_SCATTER_MUL:
        return a * b;
    case DYNO_SCATTER_MAX:
        return a != a || a > b ? a : b;
    case DYNO_SCATTER_MIN:
        return a != a || a < b ? a : b;
    case DYNO_SCATTER_NONE:
        break;
    }
    return b;
}

static int64_t fold_i64(enum dyno_scatter_reduction reduction, int64_t a, int64_t b, bool is_u64)
{
    const bool less = is_u64 ? (uint64_t)a < (uint64_t)b : a < b;
    switch (reduction) {
    case DYNO_SCATTER_ADD:
        return (int64_t)((uint64_t)a + (uint64_t)b);
    case DYNO_SCATTER_MUL:
        return (int64_t)((uint64_t)a * (uint64_t)b);
    case DYNO_SCATTER_MAX:
        return less ? b : a;
    case DYNO_SCATTER_MIN:
        return less ? a : b;
    case DYNO_SCATTER_NONE:
        break;
    }
    return b;
}

enum dyno_status dyno_scatter_elem(struct dyno_ref *ctx, enum dyno_scatter_reduction reduction,
                                   int64_t to, const struct dyno_tensor *updates, int64_t from)
{
    struct dyno_tensor *const out = &ctx->out[0];
    const enum dyno_dtype dtype = out->dtype;
    if (reduction == DYNO_SCATTER_NONE) {
        dyno_ref_copy(dtype, out->data, to, updates->data, from);
    } else if (dyno_dtype_is_float(dtype)) {
        const double a = dyno_elem_load_f64(dtype, out->data, (size_t)to);
        const double b = dyno_elem_load_f64(dtype, updates->data, (size_t)from);
        dyno_elem_store_f64(dtype, out->data, (size_t)to, fold_f64(reduction, a, b));
    } else if (dyno_dtype_is_int(dtype) || dtype == DYNO_BOOL) {
        const int64_t a = dyno_ref_i64(out, to);
        const int64_t b = dyno_ref_i64(updates, from);
        dyno_elem_store_i64(dtype, out->data, (size_t)to,
                            fold_i64(reduction, a, b, dtype == DYNO_U64));
    } else {
        return dyno_ref_refuse(ctx, dtype);
    }
    return DYNO_OK;
}
