/* infer_elems.c - helpers of infer rules: contents of small integer tensors as expressions. */
#include <string.h>

#include "ops/infer.h"
#include "ops/ref.h"

const dyno_expr *dyno_infer_elems(const struct dyno_infer *ctx, uint32_t idx, uint32_t *count_out)
{
    *count_out = 0;
    if (idx >= ctx->in_count || ctx->in[idx] == NULL || ctx->in[idx]->elems == NULL)
        return NULL;
    *count_out = ctx->in[idx]->elem_count;
    return ctx->in[idx]->elems;
}

bool dyno_infer_consts(const struct dyno_infer *ctx, uint32_t idx, int64_t *values_out,
                       uint32_t max, uint32_t *count_out)
{
    *count_out = 0;
    if (idx >= ctx->in_count || ctx->in[idx] == NULL)
        return false;
    const struct dyno_type *const in = ctx->in[idx];
    const struct dyno_tensor *const tensor = in->constant;
    if (in->elems == NULL && tensor != NULL &&
        (dyno_dtype_is_int(tensor->dtype) || tensor->dtype == DYNO_BOOL)) {
        const int64_t count = dyno_tensor_count(tensor);
        for (int64_t i = 0; i < count && i < max; i++)
            values_out[i] = dyno_ref_i64(tensor, i);
        *count_out = count > UINT32_MAX ? UINT32_MAX : (uint32_t)count;
        return true;
    }
    if (in->elems == NULL)
        return false;
    for (uint32_t i = 0; i < in->elem_count; i++) {
        int64_t value = 0;
        if (!dyno_expr_is_const(ctx->exprs, in->elems[i], &value))
            return false;
        if (i < max)
            values_out[i] = value;
    }
    *count_out = in->elem_count;
    return true;
}

dyno_expr *dyno_infer_elems_alloc(struct dyno_infer *ctx, uint32_t count)
{
    return dyno_arena_alloc(ctx->arena, (size_t)count + 1, sizeof(dyno_expr));
}

void dyno_infer_set_elems(struct dyno_infer *ctx, uint32_t idx, const dyno_expr *elems,
                          uint32_t count)
{
    int64_t dims[DYNO_RANK_MAX];
    int64_t want = 0;
    if (idx >= ctx->out_count || elems == NULL || count > DYNO_ELEMS_MAX ||
        !dyno_infer_const_dims(ctx, &ctx->out[idx], dims) ||
        !dyno_dims_count(dims, ctx->out[idx].rank, &want) || want != (int64_t)count)
        return;
    for (uint32_t i = 0; i < count; i++)
        if (elems[i] == DYNO_EXPR_NONE)
            return;
    ctx->out[idx].elems = elems;
    ctx->out[idx].elem_count = count;
}

static bool is_tracked(enum dyno_dtype dtype)
{
    return dtype == DYNO_I64 || dtype == DYNO_I32 || dtype == DYNO_BOOL;
}

/* What an element of that type holds: a known i32 that does not fit is not tracked further. */
static dyno_expr checked_elem(struct dyno_infer *ctx, enum dyno_dtype dtype, dyno_expr e)
{
    int64_t value = 0;
    if (dtype == DYNO_I32 && dyno_expr_is_const(ctx->exprs, e, &value) &&
        (value < INT32_MIN || value > INT32_MAX))
        return DYNO_EXPR_NONE;
    return e;
}

#define ARGS_MAX DYNO_WALK_OPERANDS_MAX

/* fn makes an element of those of the inputs; where it is NULL, they are folded. */
static enum dyno_status map_elems(struct dyno_infer *ctx, dyno_infer_elem_fn *fn,
                                  dyno_infer_fold_fn *fold)
{
    struct dyno_type *const out = &ctx->out[0];
    int64_t dims[DYNO_RANK_MAX];
    int64_t count = 0;
    if (ctx->out_count == 0 || !is_tracked(out->dtype) || ctx->in_count > ARGS_MAX ||
        !dyno_infer_const_dims(ctx, out, dims) || !dyno_dims_count(dims, out->rank, &count) ||
        count > DYNO_ELEMS_MAX)
        return DYNO_OK;
    struct dyno_walk walk;
    dyno_walk_init(&walk, out->rank, dims);
    for (uint32_t i = 0; i < ctx->in_count; i++) {
        const struct dyno_type *const in = ctx->in[i];
        struct dyno_tensor shape = {0};
        if (in == NULL || in->elems == NULL || !is_tracked(in->dtype) ||
            !dyno_infer_const_dims(ctx, in, shape.dims))
            return DYNO_OK;
        shape.rank = in->rank;
        dyno_walk_add(&walk, &shape);
    }
    dyno_expr *const elems = dyno_infer_elems_alloc(ctx, (uint32_t)count);
    if (elems == NULL)
        return DYNO_NOMEM(ctx->err);
    for (int64_t i = 0; i < count; i++, dyno_walk_next(&walk)) {
        dyno_expr args[ARGS_MAX] = {DYNO_EXPR_NONE};
        for (uint32_t j = 0; j < ctx->in_count; j++)
            args[j] = ctx->in[j]->elems[walk.at[j]];
        dyno_expr e = fn != NULL ? fn(ctx, args) : args[0];
        for (uint32_t j = 1; fn == NULL && j < ctx->in_count; j++)
            e = fold(ctx->exprs, e, args[j]);
        elems[i] = checked_elem(ctx, out->dtype, e);
    }
    dyno_infer_set_elems(ctx, 0, elems, (uint32_t)count);
    return DYNO_OK;
}

enum dyno_status dyno_infer_map_elems(struct dyno_infer *ctx, dyno_infer_elem_fn *fn)
{
    return map_elems(ctx, fn, NULL);
}

enum dyno_status dyno_infer_compare(struct dyno_infer *ctx, dyno_infer_elem_fn *fn)
{
    DYNO_TRY(dyno_infer_want_same(ctx, 0, 1));
    DYNO_TRY(dyno_infer_broadcast_to(ctx, DYNO_BOOL));
    return map_elems(ctx, fn, NULL);
}

enum dyno_status dyno_infer_arith_fold(struct dyno_infer *ctx, dyno_infer_fold_fn *fold)
{
    DYNO_TRY(dyno_infer_arith(ctx));
    return map_elems(ctx, NULL, fold);
}

/* Input idx as the reference is to see it: expressions (as i64) for data, numbers otherwise.
 * *known_out is false when something is open. */
static enum dyno_status move_input(struct dyno_infer *ctx, uint32_t idx, bool is_data,
                                   struct dyno_tensor *tensor, bool *known_out)
{
    const struct dyno_type *const in = ctx->in[idx];
    *known_out = false;
    if (!is_data && in->constant != NULL) {
        *tensor = *in->constant;
        *known_out = true;
        return DYNO_OK;
    }
    if (in->elems == NULL || !dyno_infer_const_dims(ctx, in, tensor->dims))
        return DYNO_OK;
    tensor->rank = in->rank;
    tensor->dtype = DYNO_I64;
    int64_t *const data = dyno_arena_alloc(ctx->arena, (size_t)in->elem_count + 1, sizeof(*data));
    if (data == NULL)
        return DYNO_NOMEM(ctx->err);
    tensor->data = data;
    for (uint32_t i = 0; i < in->elem_count; i++) {
        if (is_data)
            data[i] = (int64_t)in->elems[i];
        else if (!dyno_expr_is_const(ctx->exprs, in->elems[i], &data[i]))
            return DYNO_OK;
    }
    *known_out = true;
    return DYNO_OK;
}

static bool move_output(struct dyno_infer *ctx, uint32_t idx, struct dyno_tensor *tensor)
{
    const struct dyno_type *const out = &ctx->out[idx];
    int64_t count = 0;
    if (!dyno_infer_const_dims(ctx, out, tensor->dims) ||
        !dyno_dims_count(tensor->dims, out->rank, &count) || count > DYNO_ELEMS_MAX)
        return false;
    tensor->rank = out->rank;
    tensor->dtype = DYNO_I64;
    tensor->data = dyno_arena_alloc(ctx->arena, (size_t)count + 1, sizeof(int64_t));
    return tensor->data != NULL;
}

enum dyno_status dyno_infer_move_elems(struct dyno_infer *ctx,
                                       enum dyno_status (*reference)(struct dyno_ref *ref),
                                       uint32_t data_mask)
{
    for (uint32_t i = 0; i < ctx->in_count && i < 32; i++)
        if ((data_mask >> i & 1) != 0 && ctx->in[i] != NULL && ctx->in[i]->elems == NULL)
            return DYNO_OK; /* the usual case, before any allocation */
    struct dyno_tensor *const tensors =
        dyno_arena_alloc(ctx->arena, (size_t)ctx->in_count + ctx->out_count + 1, sizeof(*tensors));
    const struct dyno_tensor **const ins =
        dyno_arena_alloc(ctx->arena, (size_t)ctx->in_count + 1, sizeof(void *));
    if (tensors == NULL || ins == NULL)
        return DYNO_NOMEM(ctx->err);
    for (uint32_t i = 0; i < ctx->in_count; i++) {
        const bool is_data = (data_mask >> (i < 31 ? i : 31) & 1) != 0;
        bool known = false;
        if (ctx->in[i] == NULL)
            continue;
        DYNO_TRY(move_input(ctx, i, is_data, &tensors[i], &known));
        if (!known)
            return DYNO_OK;
        ins[i] = &tensors[i];
    }
    struct dyno_tensor *const outs = tensors + ctx->in_count;
    for (uint32_t i = 0; i < ctx->out_count; i++)
        if (!move_output(ctx, i, &outs[i]))
            return DYNO_OK;
    struct dyno_ref ref = {.attrs = ctx->attrs,
                           .in_count = ctx->in_count,
                           .out_count = ctx->out_count,
                           .in = ins,
                           .out = outs,
                           .arena = ctx->arena,
                           .err = ctx->err};
    DYNO_TRY(reference(&ref));
    for (uint32_t i = 0; i < ctx->out_count; i++) {
        const int64_t count = dyno_tensor_count(&outs[i]);
        dyno_expr *const elems = dyno_infer_elems_alloc(ctx, (uint32_t)count);
        if (elems == NULL)
            return DYNO_NOMEM(ctx->err);
        for (int64_t j = 0; j < count; j++)
            elems[j] = (dyno_expr)dyno_ref_i64(&outs[i], j);
        dyno_infer_set_elems(ctx, i, elems, (uint32_t)count);
    }
    return DYNO_OK;
}
