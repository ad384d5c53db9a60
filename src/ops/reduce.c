/* reduce.c - what Reduce* share: axes, shapes, and the loop of their references. */
#include "ops/reduce.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "ops/infer.h"
#include "ops/ref.h"
#include "ops/values.h"

#define FIELD(name) offsetof(struct dyno_reduce_attrs, name)
const struct dyno_attr dyno_reduce_attr_rows[2] = {
    {"keepdims", DYNO_ATTR_I64, FIELD(keepdims), 1, NULL, 0},
    {"noop_with_empty_axes", DYNO_ATTR_I64, FIELD(noop_with_empty_axes), 0, NULL, 0},
};

/* Marks the axes named; `count` 0 means all, or none with noop_with_empty_axes. */
static enum dyno_status mark_axes(const struct dyno_reduce_attrs *a, int rank, const int64_t *axes,
                                  uint32_t count, bool *reduced_out, struct dyno_err *err)
{
    for (int i = 0; i < rank; i++)
        reduced_out[i] = count == 0 && a->noop_with_empty_axes == 0;
    for (uint32_t i = 0; i < count; i++) {
        if (axes[i] < -rank || axes[i] >= rank)
            return DYNO_FAIL(err, DYNO_E_FORMAT, "axes[%u] is %lld, must be %d..%d", i,
                             (long long)axes[i], -rank, rank - 1);
        reduced_out[dyno_ref_axis(axes[i], rank)] = true;
    }
    return DYNO_OK;
}

enum dyno_status dyno_reduce_axes(const struct dyno_reduce_attrs *a, int rank,
                                  const struct dyno_tensor *axes, bool *reduced_out,
                                  struct dyno_err *err)
{
    int64_t list[DYNO_RANK_MAX];
    const int64_t count = axes != NULL ? dyno_tensor_count(axes) : 0;
    if (count > DYNO_RANK_MAX)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "axes has %lld entries, at most %d make sense",
                         (long long)count, DYNO_RANK_MAX);
    for (int64_t i = 0; i < count; i++)
        list[i] = dyno_ref_i64(axes, i);
    return mark_axes(a, rank, list, (uint32_t)count, reduced_out, err);
}

/* axes are an input whose contents nobody knows yet. */
static enum dyno_status infer_open_axes(struct dyno_infer *ctx, const struct dyno_reduce_attrs *a)
{
    const struct dyno_type *x = ctx->in[0];
    dyno_expr dims[DYNO_RANK_MAX];
    for (int i = 0; i < x->rank; i++)
        dims[i] = DYNO_EXPR_NONE;
    if (a->keepdims != 0)
        return dyno_infer_set(ctx, 0, x->dtype, x->rank, dims);
    const int64_t count = dyno_infer_vector_count(ctx, 1);
    const bool known = x->rank >= 0 && count > 0 && count <= x->rank;
    return dyno_infer_set(ctx, 0, x->dtype, known ? x->rank - (int)count : -1, dims);
}

static enum dyno_status infer_shape(struct dyno_infer *ctx, unsigned classes)
{
    const struct dyno_reduce_attrs *a = ctx->attrs;
    const struct dyno_type *x = ctx->in[0];
    const bool given = ctx->in_count > 1 && ctx->in[1] != NULL;
    int64_t axes[DYNO_RANK_MAX];
    uint32_t count = 0;
    DYNO_TRY(dyno_infer_want(ctx, 0, classes));
    DYNO_TRY(dyno_infer_want(ctx, 1, DYNO_WANT_INDEX));
    DYNO_TRY(dyno_check_rank(ctx, 1, "axes", 1));
    if (given && dyno_infer_vector_count(ctx, 1) != 0 &&
        !dyno_infer_consts(ctx, 1, axes, DYNO_RANK_MAX, &count))
        return infer_open_axes(ctx, a);
    if (count > DYNO_RANK_MAX)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "axes has %u entries, at most %d make sense",
                         count, DYNO_RANK_MAX);
    if (x->rank < 0) {
        const bool to_scalar = count == 0 && a->noop_with_empty_axes == 0 && a->keepdims == 0;
        return dyno_infer_set(ctx, 0, x->dtype, to_scalar ? 0 : -1, NULL);
    }
    bool reduced[DYNO_RANK_MAX];
    DYNO_TRY(mark_axes(a, x->rank, axes, count, reduced, ctx->err));
    dyno_expr dims[DYNO_RANK_MAX];
    int rank = 0;
    for (int i = 0; i < x->rank; i++) {
        if (!reduced[i])
            dims[rank++] = x->dims[i];
        else if (a->keepdims != 0)
            dims[rank++] = dyno_expr_const(ctx->exprs, 1);
    }
    return dyno_infer_set(ctx, 0, x->dtype, rank, dims);
}

enum dyno_status dyno_reduce_infer(struct dyno_infer *ctx)
{
    return infer_shape(ctx, DYNO_WANT_NUMBER);
}

enum dyno_status dyno_reduce_infer_fold(struct dyno_infer *ctx, unsigned classes,
                                        dyno_expr (*fold)(struct dyno_exprs *exprs, dyno_expr a,
                                                          dyno_expr b))
{
    const struct dyno_type *x = ctx->in[0];
    uint32_t count = 0;
    int64_t out_count = 0;
    int64_t dims[DYNO_RANK_MAX];
    DYNO_TRY(infer_shape(ctx, classes));
    const dyno_expr *elems = dyno_infer_elems(ctx, 0, &count);
    if (elems == NULL || count == 0 || (x->dtype != DYNO_I64 && x->dtype != DYNO_I32) ||
        ctx->out_count == 0 || !dyno_infer_const_dims(ctx, &ctx->out[0], dims) ||
        !dyno_dims_count(dims, ctx->out[0].rank, &out_count))
        return DYNO_OK;
    if (out_count == (int64_t)count) {
        dyno_infer_set_elems(ctx, 0, elems, count);
        return DYNO_OK;
    }
    if (out_count != 1)
        return DYNO_OK;
    dyno_expr *out = dyno_infer_elems_alloc(ctx, 1);
    if (out == NULL)
        return DYNO_NOMEM(ctx->err);
    out[0] = elems[0];
    for (uint32_t i = 1; i < count; i++)
        out[0] = fold(ctx->exprs, out[0], elems[i]);
    dyno_infer_set_elems(ctx, 0, out, 1);
    return DYNO_OK;
}

/* --- references --- */

/* Where each input element goes. */
struct mapping {
    struct dyno_walk walk; /* over the input; at[0] is the output element */
    int64_t in_count;
    int64_t out_count;
};

static enum dyno_status map_elements(struct dyno_ref *ctx, struct mapping *map_out)
{
    const struct dyno_reduce_attrs *a = ctx->attrs;
    const struct dyno_tensor *x = ctx->in[0];
    bool reduced[DYNO_RANK_MAX];
    int64_t kept[DYNO_RANK_MAX];
    int64_t dims[DYNO_RANK_MAX];
    int64_t strides[DYNO_RANK_MAX];
    int rank = 0;
    DYNO_TRY(
        dyno_reduce_axes(a, x->rank, ctx->in_count > 1 ? ctx->in[1] : NULL, reduced, ctx->err));
    for (int i = 0; i < x->rank; i++) {
        kept[i] = reduced[i] ? 1 : x->dims[i];
        if (!reduced[i] || a->keepdims != 0)
            dims[rank++] = kept[i];
    }
    dyno_ref_strides(x->rank, kept, strides);
    for (int i = 0; i < x->rank; i++)
        if (reduced[i])
            strides[i] = 0;
    DYNO_TRY(dyno_values_shape_out(ctx, 0, x->dtype, rank, dims));
    *map_out = (struct mapping){.in_count = dyno_tensor_count(x),
                                .out_count = dyno_tensor_count(&ctx->out[0])};
    dyno_walk_init(&map_out->walk, x->rank, x->dims);
    dyno_walk_add_strides(&map_out->walk, 0, strides);
    return DYNO_OK;
}

/* The far end of an integer type, as dyno_reduce_rule's `ordered` says. */
static int64_t ordered_start(enum dyno_dtype dtype, bool is_max)
{
    const unsigned bits = dtype == DYNO_BOOL ? 1 : dyno_dtype_bits(dtype);
    if (bits >= 64)
        return is_max ? INT64_MIN : INT64_MAX;
    if (dyno_dtype_is_signed(dtype))
        return is_max ? -(INT64_C(1) << (bits - 1)) : (INT64_C(1) << (bits - 1)) - 1;
    return is_max ? 0 : (INT64_C(1) << bits) - 1;
}

static enum dyno_status run_int(struct dyno_ref *ctx, const struct dyno_reduce_rule *rule,
                                struct mapping *map)
{
    const struct dyno_tensor *x = ctx->in[0];
    struct dyno_tensor *out = &ctx->out[0];
    const uint64_t flip = rule->ordered && x->dtype == DYNO_U64 ? (uint64_t)INT64_MIN : 0;
    int64_t *states = dyno_alloc_raw((size_t)map->out_count + 1, sizeof(*states));
    if (states == NULL)
        return DYNO_NOMEM(ctx->err);
    for (int64_t i = 0; i < map->out_count; i++)
        states[i] = rule->ordered ? ordered_start(x->dtype, rule->ordered_is_max) : rule->int_start;
    for (int64_t i = 0; i < map->in_count; i++, dyno_walk_next(&map->walk)) {
        int64_t *state = &states[map->walk.at[0]];
        *state = rule->int_add(*state, (int64_t)((uint64_t)dyno_ref_i64(x, i) ^ flip));
    }
    const int64_t each = map->out_count > 0 ? map->in_count / map->out_count : 0;
    for (int64_t i = 0; i < map->out_count; i++) {
        if (rule->int_finish != NULL)
            states[i] = rule->int_finish(states[i], each);
        dyno_elem_store_i64(out->dtype, out->data, (size_t)i,
                            (int64_t)((uint64_t)states[i] ^ flip));
    }
    dyno_free(states);
    return DYNO_OK;
}

/* The greatest value that goes to each output, 0 where that is not finite. */
static void find_shifts(struct mapping map, const double *values, double *shifts)
{
    for (int64_t i = 0; i < map.out_count; i++)
        shifts[i] = -INFINITY;
    for (int64_t i = 0; i < map.in_count; i++, dyno_walk_next(&map.walk))
        if (values[i] > shifts[map.walk.at[0]])
            shifts[map.walk.at[0]] = values[i];
    for (int64_t i = 0; i < map.out_count; i++)
        if (!isfinite(shifts[i]))
            shifts[i] = 0;
}

static enum dyno_status run_f64(struct dyno_ref *ctx, const struct dyno_reduce_rule *rule,
                                struct mapping *map)
{
    enum dyno_status status = DYNO_OK;
    double *values = dyno_values_load(ctx->in[0]);
    double *states = dyno_values_alloc(map->out_count);
    double *shifts = dyno_values_alloc(map->out_count);
    if (values == NULL || states == NULL || shifts == NULL) {
        status = DYNO_NOMEM(ctx->err);
        goto out;
    }
    for (int64_t i = 0; i < map->out_count; i++) {
        states[i] = rule->start;
        shifts[i] = 0;
    }
    if (rule->shift_by_max)
        find_shifts(*map, values, shifts);
    for (int64_t i = 0; i < map->in_count; i++, dyno_walk_next(&map->walk)) {
        const int64_t to = map->walk.at[0];
        states[to] = rule->add(states[to], values[i] - shifts[to]);
    }
    const int64_t each = map->out_count > 0 ? map->in_count / map->out_count : 0;
    for (int64_t i = 0; rule->finish != NULL && i < map->out_count; i++)
        states[i] = rule->finish(states[i], (double)each, shifts[i]);
    dyno_values_store(&ctx->out[0], states);
out:
    dyno_free(shifts);
    dyno_free(states);
    dyno_free(values);
    return status;
}

enum dyno_status dyno_reduce_run(struct dyno_ref *ctx, const struct dyno_reduce_rule *rule)
{
    const struct dyno_reduce_attrs *a = ctx->attrs;
    const bool given = ctx->in_count > 1 && ctx->in[1] != NULL && dyno_tensor_count(ctx->in[1]) > 0;
    struct mapping map;
    DYNO_TRY(map_elements(ctx, &map));
    /* Nothing is reduced and nothing computed: |x| or x*x are not applied either. */
    if (!given && a->noop_with_empty_axes != 0) {
        dyno_ref_copy_all(ctx->in[0], &ctx->out[0]);
        return DYNO_OK;
    }
    if (!dyno_dtype_is_float(ctx->in[0]->dtype) && rule->int_add != NULL)
        return run_int(ctx, rule, &map);
    return run_f64(ctx, rule, &map);
}
