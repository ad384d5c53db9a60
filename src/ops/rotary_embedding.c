/* rotary_embedding.c - RotaryEmbedding-23: rotate pairs of each head by a cached angle. */
#include "ops/infer.h"
#include "ops/ref.h"
#include "ops/values.h"

struct rotary_attrs {
    int64_t interleaved;          /* pairs are neighbours, not halves */
    int64_t num_heads;            /* for rank-3 input */
    int64_t rotary_embedding_dim; /* first elements of a head that rotate; 0: all */
};

#define FIELD(name) offsetof(struct rotary_attrs, name)
static const struct dyno_attr attrs[] = {
    {"interleaved", DYNO_ATTR_I64, FIELD(interleaved), 0, NULL, 0},
    {"num_heads", DYNO_ATTR_I64, FIELD(num_heads), 0, NULL, 0},
    {"rotary_embedding_dim", DYNO_ATTR_I64, FIELD(rotary_embedding_dim), 0, NULL, 0},
};

enum { IN_X, IN_COS, IN_SIN, IN_POSITIONS };

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct rotary_attrs *a = ctx->attrs;
    const struct dyno_type *x = ctx->in[IN_X];
    if (x->rank >= 0 && x->rank != 3 && x->rank != 4)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "x has rank %d, wants 3 or 4", x->rank);
    if (x->rank == 3 && a->num_heads < 1)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "num_heads is %lld; rank 3 wants at least 1",
                         (long long)a->num_heads);
    DYNO_TRY(dyno_check_classes(ctx, IN_X, IN_SIN, DYNO_WANT_FLOAT));
    DYNO_TRY(dyno_infer_want(ctx, IN_POSITIONS, DYNO_WANT_INDEX));
    return dyno_infer_unary_float(ctx);
}

/* Where things lie: element (b, h, t, d) is at b*batch + h*head + t*time + d. */
struct layout {
    int64_t batches, heads, times, dim;
    int64_t batch, head, time;
    int64_t rotated; /* elements of a head that rotate */
};

static enum dyno_status read_layout(struct dyno_ref *ctx, struct layout *out)
{
    const struct rotary_attrs *a = ctx->attrs;
    const struct dyno_tensor *x = ctx->in[IN_X];
    const bool packed = x->rank == 3;
    struct layout l = {.batches = x->dims[0]};
    l.heads = packed ? a->num_heads : x->dims[1];
    l.times = x->dims[packed ? 1 : 2];
    l.dim = packed ? x->dims[2] / l.heads : x->dims[3];
    l.batch = l.heads * l.times * l.dim;
    l.head = packed ? l.dim : l.times * l.dim;
    l.time = packed ? l.heads * l.dim : l.dim;
    l.rotated = a->rotary_embedding_dim != 0 ? a->rotary_embedding_dim : l.dim;
    if (l.rotated < 0 || l.rotated > l.dim || l.rotated % 2 != 0)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                         "%lld elements of a head rotate; must be even and at most its %lld",
                         (long long)l.rotated, (long long)l.dim);
    if (packed && x->dims[2] != l.heads * l.dim)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "num_heads %lld does not divide x's %lld",
                         (long long)l.heads, (long long)x->dims[2]);
    if (ctx->in[IN_COS]->dims[0] != ctx->in[IN_SIN]->dims[0])
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "the caches have %lld and %lld rows",
                         (long long)ctx->in[IN_COS]->dims[0], (long long)ctx->in[IN_SIN]->dims[0]);
    const bool positions = ctx->in_count > IN_POSITIONS && ctx->in[IN_POSITIONS] != NULL;
    for (uint32_t i = IN_COS; i <= IN_SIN; i++) {
        const struct dyno_tensor *cache = ctx->in[i];
        if (cache->rank != (positions ? 2 : 3) || cache->dims[cache->rank - 1] * 2 != l.rotated ||
            (!positions && (cache->dims[0] != l.batches || cache->dims[1] != l.times)))
            return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "the %s cache must be [%s, %lld] here",
                             i == IN_COS ? "cos" : "sin", positions ? "positions" : "batch, time",
                             (long long)(l.rotated / 2));
    }
    if (positions && dyno_tensor_count(ctx->in[IN_POSITIONS]) != l.batches * l.times)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "position_ids must be [batch, time]");
    *out = l;
    return DYNO_OK;
}

/* Rotates one head at one time; `angle` is its row of the caches. */
static void rotate(struct dyno_ref *ctx, const struct layout *l, int64_t base, int64_t angle)
{
    const struct rotary_attrs *a = ctx->attrs;
    const struct dyno_tensor *x = ctx->in[IN_X];
    const int64_t half = l->rotated / 2;
    for (int64_t i = 0; i < half; i++) {
        const int64_t first = base + (a->interleaved != 0 ? 2 * i : i);
        const int64_t second = a->interleaved != 0 ? first + 1 : first + half;
        const size_t at = (size_t)(angle * half + i);
        const double c = dyno_elem_load_f64(ctx->in[IN_COS]->dtype, ctx->in[IN_COS]->data, at);
        const double s = dyno_elem_load_f64(ctx->in[IN_SIN]->dtype, ctx->in[IN_SIN]->data, at);
        const double p = dyno_elem_load_f64(x->dtype, x->data, (size_t)first);
        const double q = dyno_elem_load_f64(x->dtype, x->data, (size_t)second);
        const double real = c * p - s * q;
        const double imaginary = s * p + c * q;
        dyno_values_store_at(&ctx->out[0], first, &real, 1);
        dyno_values_store_at(&ctx->out[0], second, &imaginary, 1);
    }
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_tensor *positions =
        ctx->in_count > IN_POSITIONS ? ctx->in[IN_POSITIONS] : NULL;
    struct layout l = {0};
    DYNO_TRY(read_layout(ctx, &l));
    dyno_ref_copy_all(ctx->in[IN_X], &ctx->out[0]);
    for (int64_t b = 0; b < l.batches; b++)
        for (int64_t t = 0; t < l.times; t++) {
            int64_t angle = b * l.times + t;
            if (positions != NULL) {
                angle = dyno_ref_i64(positions, angle);
                if (angle < 0 || angle >= ctx->in[IN_COS]->dims[0])
                    return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                                     "a position is %lld, the caches have %lld", (long long)angle,
                                     (long long)ctx->in[IN_COS]->dims[0]);
            }
            for (int64_t h = 0; h < l.heads; h++)
                rotate(ctx, &l, b * l.batch + h * l.head + t * l.time, angle);
        }
    return DYNO_OK;
}

const struct dyno_op dyno_op_rotary_embedding = {
    .onnx_name = "RotaryEmbedding",
    .domain = "",
    .since = 23,
    .in_min = 3,
    .in_max = 4,
    .out_min = 1,
    .out_max = 1,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct rotary_attrs),
    .infer = infer,
    .reference = reference,
};
