/* pool.c - what the poolings share: their window, their shape rules, the loop of their references.
 */
#include "ops/pool.h"

#include <math.h>

#include "base/mem.h"
#include "ops/infer.h"
#include "ops/values.h"

static struct dyno_window_attrs window_attrs(const struct dyno_pooling_attrs *a)
{
    return (struct dyno_window_attrs){.auto_pad = a->auto_pad,
                                      .ceil_mode = a->ceil_mode != 0,
                                      .kernel_shape = a->kernel_shape,
                                      .strides = a->strides,
                                      .dilations = a->dilations,
                                      .pads = a->pads};
}

enum dyno_status dyno_pooling_window(const struct dyno_pooling_attrs *a, int rank,
                                     const int64_t *x_dims, struct dyno_window *window_out,
                                     struct dyno_err *err)
{
    const struct dyno_window_attrs how = window_attrs(a);
    return dyno_window_resolve(&how, rank - 2, x_dims + 2, NULL, window_out, err);
}

enum dyno_status dyno_pooling_infer(struct dyno_infer *ctx)
{
    const struct dyno_type *x = ctx->in[0];
    const struct dyno_window_attrs how = window_attrs(ctx->attrs);
    dyno_expr dims[DYNO_RANK_MAX];
    DYNO_TRY(dyno_infer_want(ctx, 0, DYNO_WANT_NUMBER));
    if (x->rank >= 0 && x->rank < 3)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "x has rank %d, wants at least 3: N, C and space",
                         x->rank);
    if (x->rank >= 0) {
        struct dyno_window window;
        DYNO_TRY(dyno_window_static(&how, x->rank - 2, NULL, &window, ctx->err));
        dims[0] = x->dims[0];
        dims[1] = x->dims[1];
        for (int i = 0; i < window.axes; i++)
            dims[2 + i] = dyno_window_out_expr(ctx->exprs, &how, &window, i, x->dims[2 + i]);
    }
    DYNO_TRY(dyno_infer_set(ctx, 0, x->dtype, x->rank, dims));
    return dyno_infer_set(ctx, 1, DYNO_I64, x->rank, dims);
}

enum dyno_status dyno_global_pooling_infer(struct dyno_infer *ctx)
{
    const struct dyno_type *x = ctx->in[0];
    dyno_expr dims[DYNO_RANK_MAX];
    DYNO_TRY(dyno_infer_want(ctx, 0, DYNO_WANT_NUMBER));
    if (x->rank >= 0 && x->rank < 2)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "x has rank %d, wants at least 2: N and C",
                         x->rank);
    for (int i = 0; i < x->rank; i++)
        dims[i] = i < 2 ? x->dims[i] : dyno_expr_const(ctx->exprs, 1);
    return dyno_infer_set(ctx, 0, x->dtype, x->rank, dims);
}

/* One output element: folds the window at output index o of a plane, and says how many positions
 * were inside the input, and how many inside the padded input. */
struct fold {
    double state;
    int64_t inside;
    int64_t padded;
};

static struct fold fold_window(const struct dyno_window *v, const struct dyno_pooling_rule *rule,
                               int64_t p, const double *plane, const int64_t *o)
{
    struct fold fold = {.state = rule->start};
    int64_t k[3];
    for (k[0] = 0; k[0] < v->kernel[0]; k[0]++)
        for (k[1] = 0; k[1] < v->kernel[1]; k[1]++)
            for (k[2] = 0; k[2] < v->kernel[2]; k[2]++) {
                int64_t at = 0;
                bool inside = true;
                bool padded = true;
                for (int i = 0; i < 3; i++) {
                    const int64_t idx =
                        o[i] * v->stride[i] + k[i] * v->dilation[i] - v->pad_begin[i];
                    inside = inside && idx >= 0 && idx < v->in[i];
                    padded = padded && idx < v->in[i] + v->pad_end[i];
                    at = at * v->in[i] + idx;
                }
                fold.padded += padded;
                if (!inside)
                    continue;
                fold.inside++;
                fold.state = rule->add(fold.state, plane[at], p);
            }
    return fold;
}

enum dyno_status dyno_pooling_run(struct dyno_ref *ctx, const struct dyno_pooling_rule *rule)
{
    const struct dyno_pooling_attrs *a = ctx->attrs;
    const struct dyno_tensor *x = ctx->in[0];
    struct dyno_window window;
    DYNO_TRY(dyno_pooling_window(a, x->rank, x->dims, &window, ctx->err));
    const struct dyno_window v = dyno_window_as_3d(&window);
    double *values = dyno_values_load(x);
    if (values == NULL)
        return DYNO_NOMEM(ctx->err);
    const int64_t in_size = v.in[0] * v.in[1] * v.in[2];
    int64_t at = 0;
    for (int64_t plane = 0; plane < x->dims[0] * x->dims[1]; plane++) {
        int64_t o[3];
        for (o[0] = 0; o[0] < v.out[0]; o[0]++)
            for (o[1] = 0; o[1] < v.out[1]; o[1]++)
                for (o[2] = 0; o[2] < v.out[2]; o[2]++) {
                    const struct fold fold =
                        fold_window(&v, rule, a->p, values + plane * in_size, o);
                    const int64_t count = a->count_include_pad != 0 ? fold.padded : fold.inside;
                    const double y = rule->finish(fold.state, (double)count, a->p);
                    dyno_values_store_at(&ctx->out[0], at++, &y, 1);
                }
    }
    dyno_free(values);
    return DYNO_OK;
}

enum dyno_status dyno_global_pooling_run(struct dyno_ref *ctx, const struct dyno_pooling_rule *rule,
                                         int64_t p)
{
    const struct dyno_tensor *x = ctx->in[0];
    double *values = dyno_values_load(x);
    if (values == NULL)
        return DYNO_NOMEM(ctx->err);
    const int64_t planes = x->dims[0] * x->dims[1];
    const int64_t size = planes > 0 ? dyno_tensor_count(x) / planes : 0;
    for (int64_t plane = 0; plane < planes; plane++) {
        double state = rule->start;
        for (int64_t i = 0; i < size; i++)
            state = rule->add(state, values[plane * size + i], p);
        state = rule->finish(state, (double)size, p);
        dyno_values_store_at(&ctx->out[0], plane, &state, 1);
    }
    dyno_free(values);
    return DYNO_OK;
}

static double add_power(double state, double x, int64_t p)
{
    return state + pow(fabs(x), (double)p);
}

static double root(double state, double count, int64_t p)
{
    (void)count;
    return pow(state, 1.0 / (double)p);
}

static double add(double state, double x, int64_t p)
{
    (void)p;
    return state + x;
}

static double divide(double state, double count, int64_t p)
{
    (void)p;
    return state / count;
}

const struct dyno_pooling_rule dyno_pooling_lp = {0, add_power, root};
const struct dyno_pooling_rule dyno_pooling_average = {0, add, divide};
