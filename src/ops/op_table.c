/* op_table.c - the table of operators, and running one operator on concrete tensors. */
#include <string.h>

#include "ops/infer.h"
#include "ops/op.h"

const struct dyno_op *const dyno_ops[DYNO_OP_COUNT] = {
#define DYNO_OP(name) [DYNO_OP_##name] = &dyno_op_##name,
#include "ops/ops.def"
#undef DYNO_OP
};

int dyno_op_find(const char *domain, const char *onnx_name)
{
    if (strcmp(domain, "ai.onnx") == 0)
        domain = "";
    for (int id = 0; id < DYNO_OP_COUNT; id++)
        if (strcmp(dyno_ops[id]->onnx_name, onnx_name) == 0 &&
            strcmp(dyno_ops[id]->domain, domain) == 0)
            return id;
    return -1;
}

static void attr_set_fallback(const struct dyno_attr *attr, void *attrs)
{
    char *const at = (char *)attrs + attr->offset_bytes;
    switch (attr->kind) {
    case DYNO_ATTR_I64: {
        const int64_t value = (int64_t)attr->fallback;
        memcpy(at, &value, sizeof(value));
        break;
    }
    case DYNO_ATTR_ENUM: {
        const int32_t value = (int32_t)attr->fallback;
        memcpy(at, &value, sizeof(value));
        break;
    }
    case DYNO_ATTR_F32: {
        const float value = (float)attr->fallback;
        memcpy(at, &value, sizeof(value));
        break;
    }
    case DYNO_ATTR_STR:
    case DYNO_ATTR_I64S:
    case DYNO_ATTR_F32S:
    case DYNO_ATTR_STRS:
    case DYNO_ATTR_TENSOR:
        break; /* empty is all zeros */
    }
}

void *dyno_op_attrs_create(const struct dyno_op *op, struct dyno_arena *arena)
{
    void *const attrs = dyno_arena_alloc(arena, 1, op->attr_bytes != 0 ? op->attr_bytes : 1);
    if (attrs == NULL)
        return NULL;
    for (size_t i = 0; i < op->attr_count; i++)
        attr_set_fallback(&op->attrs[i], attrs);
    return attrs;
}

struct dyno_pw_form dyno_op_pw_form(const struct dyno_op *op, const void *attrs)
{
    if (op->pw_form != NULL)
        return op->pw_form(attrs);
    return (struct dyno_pw_form){.pw = op->pw};
}

static enum dyno_status check_counts(const struct dyno_op *op, const struct dyno_tensor *const *in,
                                     uint32_t in_count, uint32_t out_count, struct dyno_err *err)
{
    if (in_count < op->in_min || in_count > op->in_max)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "%s has %u inputs, wants %u to %u", op->onnx_name,
                         in_count, op->in_min, op->in_max);
    if (out_count > op->out_max)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "%s has %u outputs, wants at most %u", op->onnx_name,
                         out_count, op->out_max);
    for (uint32_t i = 0; i < dyno_op_needed_ins(op, in_count); i++)
        if (in[i] == NULL)
            return DYNO_FAIL(err, DYNO_E_FORMAT, "%s lacks its input %u", op->onnx_name, i);
    return DYNO_OK;
}

/* The shape of a type as numbers; rank -1 when any size is open. */
static void type_to_tensor(const struct dyno_type *type, const struct dyno_exprs *exprs,
                           struct dyno_tensor *out)
{
    *out = (struct dyno_tensor){.dtype = type->dtype, .rank = type->rank};
    for (int i = 0; i < type->rank; i++) {
        if (!dyno_expr_is_const(exprs, type->dims[i], &out->dims[i])) {
            out->rank = -1;
            return;
        }
    }
}

/* Types the inputs, runs the rule, and takes the shapes out of the types; ctx lacks the types. */
static enum dyno_status infer_in(const struct dyno_op *op, struct dyno_infer *ctx,
                                 const struct dyno_tensor *const *in, struct dyno_tensor *out)
{
    struct dyno_type *const types =
        dyno_arena_alloc(ctx->arena, (size_t)ctx->in_count + 1, sizeof(*types));
    struct dyno_type *const outs =
        dyno_arena_alloc(ctx->arena, (size_t)ctx->out_count + 1, sizeof(*outs));
    const struct dyno_type **const ins =
        dyno_arena_alloc(ctx->arena, (size_t)ctx->in_count + 1, sizeof(void *));
    if (types == NULL || outs == NULL || ins == NULL)
        return DYNO_NOMEM(ctx->err);
    for (uint32_t i = 0; i < ctx->in_count; i++) {
        if (in[i] == NULL)
            continue;
        if (!dyno_type_of_tensor(in[i], ctx->exprs, ctx->arena, &types[i]))
            return DYNO_NOMEM(ctx->err);
        ins[i] = &types[i];
    }
    for (uint32_t i = 0; i < ctx->out_count; i++)
        outs[i].rank = -1;
    ctx->in = ins;
    ctx->out = outs;
    DYNO_TRY(op->infer(ctx));
    for (uint32_t i = 0; i < ctx->out_count; i++) {
        type_to_tensor(&outs[i], ctx->exprs, &out[i]);
        int64_t count = 0;
        if (out[i].rank >= 0 && !dyno_dims_count(out[i].dims, out[i].rank, &count))
            return DYNO_FAIL(ctx->err, DYNO_E_LIMIT,
                             "output %u of %s has a negative or too large size", i, op->onnx_name);
    }
    return DYNO_OK;
}

/* NOLINTNEXTLINE(readability-function-size): two arrays with their counts */
enum dyno_status dyno_op_infer_concrete(const struct dyno_op *op, const void *attrs,
                                        const struct dyno_tensor *const *in, uint32_t in_count,
                                        struct dyno_tensor *out, uint32_t out_count,
                                        struct dyno_err *err)
{
    DYNO_TRY(check_counts(op, in, in_count, out_count, err));
    enum dyno_status status = DYNO_OK;
    struct dyno_infer ctx = {.attrs = attrs,
                             .in_count = in_count,
                             .out_count = out_count,
                             .exprs = dyno_exprs_create(),
                             .arena = dyno_arena_create(),
                             .err = err};
    if (ctx.exprs == NULL || ctx.arena == NULL)
        status = DYNO_NOMEM(err);
    else
        status = infer_in(op, &ctx, in, out);
    dyno_arena_destroy(ctx.arena);
    dyno_exprs_destroy(ctx.exprs);
    return status;
}

enum dyno_status dyno_ref_alloc(struct dyno_ref *ctx, uint32_t idx, enum dyno_dtype dtype, int rank,
                                const int64_t *dims)
{
    DYNO_ASSERT(rank >= 0 && rank <= DYNO_RANK_MAX);
    if (idx >= ctx->out_count)
        return DYNO_OK;
    struct dyno_tensor *const out = &ctx->out[idx];
    out->dtype = dtype;
    out->rank = rank;
    for (int i = 0; i < rank; i++)
        out->dims[i] = dims[i];
    int64_t count = 0;
    size_t bytes = 0;
    if (!dyno_dims_count(dims, rank, &count) || !dyno_dtype_bytes(dtype, (uint64_t)count, &bytes))
        return DYNO_FAIL(ctx->err, DYNO_E_LIMIT, "output %u (%s) is too large or has no type", idx,
                         dyno_dtype_text(dtype));
    out->data = dyno_arena_alloc(ctx->arena, bytes != 0 ? bytes : 1, 1);
    return out->data != NULL ? DYNO_OK : DYNO_NOMEM(ctx->err);
}

/* NOLINTNEXTLINE(readability-function-size): two arrays with their counts */
enum dyno_status dyno_op_run_reference(const struct dyno_op *op, const void *attrs,
                                       const struct dyno_tensor *const *in, uint32_t in_count,
                                       struct dyno_tensor *out, uint32_t out_count,
                                       struct dyno_arena *arena, struct dyno_err *err)
{
    if (op->reference == NULL)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED, "%s has no meaning outside a graph",
                         op->onnx_name);
    DYNO_TRY(dyno_op_infer_concrete(op, attrs, in, in_count, out, out_count, err));
    struct dyno_ref ctx = {.attrs = attrs,
                           .in_count = in_count,
                           .out_count = out_count,
                           .in = in,
                           .out = out,
                           .arena = arena,
                           .err = err};
    for (uint32_t i = 0; i < out_count; i++) {
        if (out[i].rank >= 0)
            DYNO_TRY(dyno_ref_alloc(&ctx, i, out[i].dtype, out[i].rank, out[i].dims));
        else if ((op->flags & DYNO_OP_OPEN) == 0)
            return DYNO_FAIL(err, DYNO_E_FORMAT,
                             "the shape of output %u of %s does not follow from its inputs", i,
                             op->onnx_name);
    }
    return op->reference(&ctx);
}
