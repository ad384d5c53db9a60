/* unique.c - the distinct elements (or slices along an axis), where each first is, which one each
 * input element is, and how often it comes.  (ONNX Unique-11) */
#include <stdlib.h>
#include <string.h>

#include "ops/infer.h"
#include "ops/move.h"
#include "ops/ref.h"

enum { VALUES, FIRSTS, INVERSE, COUNTS };

static const struct dyno_attr attrs[] = {
    {"axis", DYNO_ATTR_I64, offsetof(struct dyno_unique_attrs, axis), (double)DYNO_AXIS_ABSENT,
     NULL, 0},
    {"sorted", DYNO_ATTR_I64, offsetof(struct dyno_unique_attrs, sorted), 1, NULL, 0},
};

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_unique_attrs *const a = ctx->attrs;
    const struct dyno_type *const in = ctx->in[0];
    const dyno_expr found = dyno_infer_unknown_dim(ctx);
    dyno_expr dims[DYNO_RANK_MAX] = {found};
    dyno_expr total = DYNO_EXPR_NONE;
    int rank = 1;
    DYNO_TRY(dyno_infer_want(ctx, 0, DYNO_WANT_ANY));
    if (a->axis == DYNO_AXIS_ABSENT) {
        if (in->rank >= 0)
            total = dyno_infer_product(ctx, in->dims, 0, in->rank);
    } else {
        int axis = 0;
        rank = in->rank;
        if (rank >= 0) {
            DYNO_TRY(dyno_infer_axis(ctx, a->axis, rank, &axis));
            total = in->dims[axis];
        }
        for (int i = 0; i < rank; i++)
            dims[i] = i == axis ? found : in->dims[i];
    }
    DYNO_TRY(dyno_infer_set(ctx, VALUES, in->dtype, rank, dims));
    DYNO_TRY(dyno_infer_set(ctx, FIRSTS, DYNO_I64, 1, &found));
    DYNO_TRY(dyno_infer_set(ctx, INVERSE, DYNO_I64, 1, &total));
    return dyno_infer_set(ctx, COUNTS, DYNO_I64, 1, &found);
}

/* Slice i is made of elements (o * size + i) * inner + k for all o and k. */
struct slices {
    const struct dyno_tensor *in;
    int64_t outer, size, inner;
};

static int compare_elems(const struct dyno_tensor *in, int64_t a, int64_t b)
{
    if (in->dtype == DYNO_STR) {
        const struct dyno_str *const x = (const struct dyno_str *)in->data + a;
        const struct dyno_str *const y = (const struct dyno_str *)in->data + b;
        const size_t common = x->bytes < y->bytes ? x->bytes : y->bytes;
        const int order = common != 0 ? memcmp(x->text, y->text, common) : 0;
        return order != 0 ? order : (x->bytes > y->bytes) - (x->bytes < y->bytes);
    }
    if (dyno_dtype_is_float(in->dtype)) {
        const double x = dyno_elem_load_f64(in->dtype, in->data, (size_t)a);
        const double y = dyno_elem_load_f64(in->dtype, in->data, (size_t)b);
        return (x > y) - (x < y);
    }
    const uint64_t flip = UINT64_C(1) << 63; /* orders int64 as u64 */
    const uint64_t x = (uint64_t)dyno_ref_i64(in, a) ^ (in->dtype == DYNO_U64 ? 0 : flip);
    const uint64_t y = (uint64_t)dyno_ref_i64(in, b) ^ (in->dtype == DYNO_U64 ? 0 : flip);
    return (x > y) - (x < y);
}

static int compare_slices(const struct slices *s, int64_t a, int64_t b)
{
    for (int64_t o = 0; o < s->outer; o++)
        for (int64_t k = 0; k < s->inner; k++) {
            const int order = compare_elems(s->in, (o * s->size + a) * s->inner + k,
                                            (o * s->size + b) * s->inner + k);
            if (order != 0)
                return order;
        }
    return 0;
}

static int compare(const void *a, const void *b, void *slices)
{
    const int64_t x = *(const int64_t *)a;
    const int64_t y = *(const int64_t *)b;
    const int order = compare_slices(slices, x, y);
    return order != 0 ? order : (x > y) - (x < y);
}

static int compare_i64(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a;
    const int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static struct slices slices_of(const struct dyno_unique_attrs *a, const struct dyno_tensor *in)
{
    struct slices s = {in, 1, 1, 1};
    if (a->axis == DYNO_AXIS_ABSENT) {
        s.size = dyno_tensor_count(in);
        return s;
    }
    const int axis = dyno_ref_axis(a->axis, in->rank);
    for (int i = 0; i < in->rank; i++) {
        s.outer *= i < axis ? in->dims[i] : 1;
        s.size = i == axis ? in->dims[i] : s.size;
        s.inner *= i > axis ? in->dims[i] : 1;
    }
    return s;
}

static enum dyno_status put_values(struct dyno_ref *ctx, const struct slices *s,
                                   const int64_t *firsts, int64_t found)
{
    const struct dyno_unique_attrs *const a = ctx->attrs;
    int64_t dims[DYNO_RANK_MAX] = {found};
    int rank = 1;
    if (a->axis != DYNO_AXIS_ABSENT) {
        rank = s->in->rank;
        for (int i = 0; i < rank; i++)
            dims[i] = i == dyno_ref_axis(a->axis, rank) ? found : s->in->dims[i];
    }
    DYNO_TRY(dyno_ref_alloc(ctx, VALUES, s->in->dtype, rank, dims));
    for (int64_t o = 0; o < s->outer; o++)
        for (int64_t i = 0; i < found; i++)
            for (int64_t k = 0; k < s->inner; k++)
                dyno_ref_copy(s->in->dtype, ctx->out[VALUES].data, (o * found + i) * s->inner + k,
                              s->in->data, (o * s->size + firsts[i]) * s->inner + k);
    return DYNO_OK;
}

/* order: all slices, equal ones together, each group's first in front.  firsts_out: the first of
 * each group, in the order of the output. */
static int64_t find_firsts(const struct slices *s, const int64_t *order, bool sorted,
                           int64_t *firsts_out)
{
    int64_t found = 0;
    for (int64_t i = 0; i < s->size; i++)
        if (i == 0 || compare_slices(s, order[i - 1], order[i]) != 0)
            firsts_out[found++] = order[i];
    if (!sorted)
        qsort(firsts_out, (size_t)found, sizeof(*firsts_out), compare_i64);
    return found;
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_unique_attrs *const a = ctx->attrs;
    const struct slices s = slices_of(a, ctx->in[0]);
    if (s.in->dtype == DYNO_C64 || s.in->dtype == DYNO_C128)
        return dyno_ref_refuse(ctx, s.in->dtype);
    const size_t room = (size_t)s.size + 1;
    int64_t *const order = dyno_arena_alloc(ctx->arena, room, sizeof(*order));
    int64_t *const firsts = dyno_arena_alloc(ctx->arena, room, sizeof(*firsts));
    int64_t *const inverse = dyno_arena_alloc(ctx->arena, room, sizeof(*inverse));
    int64_t *const counts = dyno_arena_alloc(ctx->arena, room, sizeof(*counts));
    if (order == NULL || firsts == NULL || inverse == NULL || counts == NULL)
        return DYNO_NOMEM(ctx->err);
    for (int64_t i = 0; i < s.size; i++)
        order[i] = i;
    qsort_r(order, (size_t)s.size, sizeof(*order), compare, (void *)(uintptr_t)&s);
    const int64_t found = find_firsts(&s, order, a->sorted != 0, firsts);
    for (int64_t i = 0; i < found; i++)
        for (int64_t j = 0; j < s.size; j++)
            if (compare_slices(&s, firsts[i], j) == 0) {
                inverse[j] = i;
                counts[i]++;
            }
    DYNO_TRY(put_values(ctx, &s, firsts, found));
    const int64_t *const lists[] = {NULL, firsts, inverse, counts};
    for (uint32_t i = FIRSTS; i < ctx->out_count && i <= COUNTS; i++) {
        const int64_t count = i == INVERSE ? s.size : found;
        DYNO_TRY(dyno_ref_alloc(ctx, i, DYNO_I64, 1, &count));
        memcpy(ctx->out[i].data, lists[i], (size_t)count * sizeof(int64_t));
    }
    return DYNO_OK;
}

const struct dyno_op dyno_op_unique = {
    .onnx_name = "Unique",
    .domain = "",
    .since = 11,
    .in_min = 1,
    .in_max = 1,
    .out_min = 1,
    .out_max = 4,
    .flags = DYNO_OP_OPEN,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_unique_attrs),
    .infer = infer,
    .reference = reference,
};
