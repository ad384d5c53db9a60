/* pad.c - y = x with elements added (or, for negative pads, taken away) around it.
 * (ONNX Pad-25) */
#include "ops/infer.h"
#include "ops/move.h"
#include "ops/ref.h"

enum { PADS = 1, VALUE, AXES };

static const char *const modes[] = {"constant", "reflect", "edge", "wrap", NULL};

static const struct dyno_attr attrs[] = {
    {"mode", DYNO_ATTR_ENUM, offsetof(struct dyno_pad_attrs, mode), DYNO_PAD_CONSTANT, modes, 0},
};

/* --- shape rule --- */

static enum dyno_status read_axes(struct dyno_infer *ctx, int *axes, uint32_t *count_out,
                                  bool *known_out)
{
    int64_t named[DYNO_RANK_MAX] = {0};
    *count_out = (uint32_t)ctx->in[0]->rank;
    *known_out = true;
    if (ctx->in_count <= AXES || ctx->in[AXES] == NULL) {
        for (int i = 0; i < ctx->in[0]->rank; i++)
            axes[i] = i;
        return DYNO_OK;
    }
    *known_out = dyno_infer_consts(ctx, AXES, named, DYNO_RANK_MAX, count_out);
    if (*known_out && *count_out > DYNO_RANK_MAX)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "there are %u axes for %d dimensions", *count_out,
                         ctx->in[0]->rank);
    for (uint32_t i = 0; *known_out && i < *count_out; i++)
        DYNO_TRY(dyno_infer_axis(ctx, named[i], ctx->in[0]->rank, &axes[i]));
    return DYNO_OK;
}

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_type *const in = ctx->in[0];
    int axes[DYNO_RANK_MAX] = {0};
    dyno_expr dims[DYNO_RANK_MAX] = {0};
    uint32_t axis_count = 0;
    uint32_t pad_count = 0;
    bool known = false;
    DYNO_TRY(dyno_infer_want(ctx, 0, DYNO_WANT_ANY));
    DYNO_TRY(dyno_infer_want(ctx, PADS, DYNO_WANT_INDEX));
    DYNO_TRY(dyno_infer_want_same(ctx, 0, VALUE));
    if (in->rank < 0)
        return dyno_infer_set(ctx, 0, in->dtype, -1, NULL);
    DYNO_TRY(read_axes(ctx, axes, &axis_count, &known));
    const dyno_expr *const pads = dyno_infer_elems(ctx, PADS, &pad_count);
    if (known && pads != NULL && pad_count != 2 * axis_count)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "pads has %u entries, wants %u", pad_count,
                         2 * axis_count);
    for (int i = 0; i < in->rank; i++)
        dims[i] = known ? in->dims[i] : DYNO_EXPR_NONE;
    for (uint32_t i = 0; known && i < axis_count; i++) {
        dyno_expr *const dim = &dims[axes[i]];
        if (pads == NULL) {
            *dim = DYNO_EXPR_NONE;
            continue;
        }
        *dim = dyno_expr_add(ctx->exprs, *dim, pads[i]);
        *dim = dyno_expr_add(ctx->exprs, *dim, pads[axis_count + i]);
    }
    return dyno_infer_set(ctx, 0, in->dtype, in->rank, dims);
}

/* --- reference --- */

/* One axis: what remains of the input after negative pads, and where it lies in the output. */
struct axis {
    int64_t from;  /* first element of the input that is kept */
    int64_t size;  /* elements kept */
    int64_t begin; /* elements put before them */
};

/* Coordinate in the kept part for output coordinate `at`; -1: the padding value. */
static int64_t source(const struct axis *axis, int64_t at, enum dyno_pad_mode mode)
{
    const int64_t c = at - axis->begin;
    if (c >= 0 && c < axis->size)
        return c;
    switch (mode) {
    case DYNO_PAD_CONSTANT:
        break;
    case DYNO_PAD_EDGE:
        return c < 0 ? 0 : axis->size - 1;
    case DYNO_PAD_WRAP: {
        const int64_t r = c % axis->size;
        return r < 0 ? r + axis->size : r;
    }
    case DYNO_PAD_REFLECT: {
        if (axis->size == 1)
            return 0;
        const int64_t period = 2 * (axis->size - 1);
        int64_t r = c % period;
        r = r < 0 ? r + period : r;
        return r < axis->size ? r : period - r;
    }
    }
    return -1;
}

static enum dyno_status find_axes(struct dyno_ref *ctx, struct axis *found)
{
    const struct dyno_pad_attrs *const a = ctx->attrs;
    const struct dyno_tensor *const in = ctx->in[0];
    const bool named = ctx->in_count > AXES && ctx->in[AXES] != NULL;
    const int64_t count = named ? dyno_tensor_count(ctx->in[AXES]) : in->rank;
    for (int i = 0; i < in->rank; i++)
        found[i] = (struct axis){.size = in->dims[i]};
    for (int64_t i = 0; i < count; i++) {
        const int axis = dyno_ref_axis(named ? dyno_ref_i64(ctx->in[AXES], i) : i, in->rank);
        const int64_t begin = dyno_ref_i64(ctx->in[PADS], i);
        const int64_t end = dyno_ref_i64(ctx->in[PADS], count + i);
        found[axis].from = begin < 0 ? -begin : 0;
        found[axis].begin = begin < 0 ? 0 : begin;
        found[axis].size += (begin < 0 ? begin : 0) + (end < 0 ? end : 0);
        if (a->mode != DYNO_PAD_CONSTANT && found[axis].size <= 0 && ctx->out[0].dims[axis] > 0)
            return DYNO_FAIL(ctx->err, DYNO_E_ARG, "dimension %d has no element to pad from", axis);
    }
    return DYNO_OK;
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_pad_attrs *const a = ctx->attrs;
    const struct dyno_tensor *const in = ctx->in[0];
    const struct dyno_tensor *const value = ctx->in_count > VALUE ? ctx->in[VALUE] : NULL;
    struct dyno_tensor *const out = &ctx->out[0];
    struct axis axes[DYNO_RANK_MAX];
    int64_t strides[DYNO_RANK_MAX];
    DYNO_TRY(find_axes(ctx, axes));
    dyno_ref_strides(in->rank, in->dims, strides);
    const int64_t count = dyno_tensor_count(out);
    struct dyno_walk walk;
    dyno_walk_init(&walk, out->rank, out->dims);
    for (int64_t i = 0; i < count; i++, dyno_walk_next(&walk)) {
        int64_t from = 0;
        bool inside = true;
        for (int j = 0; j < in->rank; j++) {
            const int64_t c = source(&axes[j], walk.idx[j], (enum dyno_pad_mode)a->mode);
            inside = inside && c >= 0;
            from += (c + axes[j].from) * strides[j];
        }
        if (inside)
            dyno_ref_copy(in->dtype, out->data, i, in->data, from);
        else if (value != NULL)
            dyno_ref_copy(in->dtype, out->data, i, value->data, 0);
    }
    return DYNO_OK; /* without a value the padding is 0, which the allocation gave */
}

const struct dyno_op dyno_op_pad = {
    .onnx_name = "Pad",
    .domain = "",
    .since = 25,
    .in_min = 2,
    .in_max = 4,
    .out_min = 1,
    .out_max = 1,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_pad_attrs),
    .infer = infer,
    .reference = reference,
};
