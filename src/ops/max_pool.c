/* max_pool.c - MaxPool-22: the greatest value of each window, and where it was. */
#include <math.h>

#include "base/mem.h"
#include "ops/pool.h"
#include "ops/values.h"

#define FIELD(name) offsetof(struct dyno_pooling_attrs, name)
static const struct dyno_attr attrs[] = {
    {"auto_pad", DYNO_ATTR_ENUM, FIELD(auto_pad), 0, dyno_auto_pad_names, 0},
    {"ceil_mode", DYNO_ATTR_I64, FIELD(ceil_mode), 0, NULL, 0},
    {"dilations", DYNO_ATTR_I64S, FIELD(dilations), 0, NULL, 0},
    {"kernel_shape", DYNO_ATTR_I64S, FIELD(kernel_shape), 0, NULL, 1},
    {"pads", DYNO_ATTR_I64S, FIELD(pads), 0, NULL, 0},
    {"storage_order", DYNO_ATTR_I64, FIELD(storage_order), 0, NULL, 0},
    {"strides", DYNO_ATTR_I64S, FIELD(strides), 0, NULL, 0},
};

struct best {
    double value;
    int64_t row_major; /* index in the plane; -1: the window saw no element */
    int64_t column_major;
};

/* The first greatest element of the window at output index o of a plane. */
static struct best find_best(const struct dyno_window *v, const double *plane, const int64_t *o)
{
    struct best best = {-INFINITY, -1, -1};
    int64_t k[3];
    for (k[0] = 0; k[0] < v->kernel[0]; k[0]++)
        for (k[1] = 0; k[1] < v->kernel[1]; k[1]++)
            for (k[2] = 0; k[2] < v->kernel[2]; k[2]++) {
                int64_t idx[3];
                bool inside = true;
                for (int i = 0; i < 3; i++) {
                    idx[i] = o[i] * v->stride[i] + k[i] * v->dilation[i] - v->pad_begin[i];
                    inside = inside && idx[i] >= 0 && idx[i] < v->in[i];
                }
                if (!inside)
                    continue;
                const int64_t at = (idx[0] * v->in[1] + idx[1]) * v->in[2] + idx[2];
                if (best.row_major >= 0 && !(plane[at] > best.value))
                    continue;
                best.value = plane[at];
                best.row_major = at;
                best.column_major = (idx[2] * v->in[1] + idx[1]) * v->in[0] + idx[0];
            }
    return best;
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_pooling_attrs *a = ctx->attrs;
    const struct dyno_tensor *x = ctx->in[0];
    struct dyno_window window;
    DYNO_TRY(dyno_pooling_window(a, x->rank, x->dims, &window, ctx->err));
    const struct dyno_window v = dyno_window_as_3d(&window);
    double *values = dyno_values_load(x);
    if (values == NULL)
        return DYNO_NOMEM(ctx->err);
    int64_t *indices = ctx->out_count > 1 ? ctx->out[1].data : NULL;
    const int64_t in_size = v.in[0] * v.in[1] * v.in[2];
    int64_t at = 0;
    for (int64_t plane = 0; plane < x->dims[0] * x->dims[1]; plane++) {
        int64_t o[3];
        for (o[0] = 0; o[0] < v.out[0]; o[0]++)
            for (o[1] = 0; o[1] < v.out[1]; o[1]++)
                for (o[2] = 0; o[2] < v.out[2]; o[2]++) {
                    const struct best best = find_best(&v, values + plane * in_size, o);
                    const int64_t where =
                        a->storage_order == 0 ? best.row_major : best.column_major;
                    if (indices != NULL)
                        indices[at] = plane * in_size + where;
                    dyno_values_store_at(&ctx->out[0], at++, &best.value, 1);
                }
    }
    dyno_free(values);
    return DYNO_OK;
}

const struct dyno_op dyno_op_max_pool = {
    .onnx_name = "MaxPool",
    .domain = "",
    .since = 22,
    .in_min = 1,
    .in_max = 1,
    .out_min = 1,
    .out_max = 2,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_pooling_attrs),
    .infer = dyno_pooling_infer,
    .reference = reference,
};
