/* ref.c - helpers of references. */
#include "ops/ref.h"

#include <inttypes.h>
#include <string.h>

void dyno_walk_init(struct dyno_walk *walk, int rank, const int64_t *dims)
{
    memset(walk, 0, sizeof(*walk));
    walk->rank = rank;
    for (int i = 0; i < rank; i++)
        walk->dims[i] = dims[i];
}

void dyno_walk_add_strides(struct dyno_walk *walk, int64_t base, const int64_t *strides)
{
    DYNO_ASSERT(walk->operand_count < DYNO_WALK_OPERANDS_MAX);
    const int operand = walk->operand_count++;
    walk->at[operand] = base;
    for (int i = 0; i < walk->rank; i++)
        walk->strides[operand][i] = strides[i];
}

void dyno_walk_add(struct dyno_walk *walk, const struct dyno_tensor *tensor)
{
    int64_t strides[DYNO_RANK_MAX];
    dyno_ref_broadcast_strides(tensor, walk->rank, strides);
    dyno_walk_add_strides(walk, 0, strides);
}

void dyno_walk_next(struct dyno_walk *walk)
{
    for (int i = walk->rank - 1; i >= 0; i--) {
        walk->idx[i]++;
        for (int j = 0; j < walk->operand_count; j++)
            walk->at[j] += walk->strides[j][i];
        if (walk->idx[i] < walk->dims[i])
            return;
        for (int j = 0; j < walk->operand_count; j++)
            walk->at[j] -= walk->strides[j][i] * walk->idx[i];
        walk->idx[i] = 0;
    }
}

void dyno_ref_strides(int rank, const int64_t *dims, int64_t *strides_out)
{
    int64_t stride = 1;
    for (int i = rank - 1; i >= 0; i--) {
        strides_out[i] = stride;
        stride *= dims[i];
    }
}

void dyno_ref_broadcast_strides(const struct dyno_tensor *tensor, int rank, int64_t *strides_out)
{
    DYNO_ASSERT(tensor->rank <= rank);
    const int lead = rank - tensor->rank;
    int64_t stride = 1;
    for (int i = rank - 1; i >= 0; i--) {
        const int64_t size = i >= lead ? tensor->dims[i - lead] : 1;
        strides_out[i] = size == 1 ? 0 : stride;
        stride *= size;
    }
}

bool dyno_ref_broadcasts(const struct dyno_tensor *tensor, const struct dyno_tensor *to)
{
    const int lead = to->rank - tensor->rank;
    if (lead < 0)
        return false;
    for (int i = 0; i < tensor->rank; i++)
        if (tensor->dims[i] != 1 && tensor->dims[i] != to->dims[i + lead])
            return false;
    return true;
}

void dyno_ref_copy(enum dyno_dtype dtype, void *dst, int64_t dst_idx, const void *src,
                   int64_t src_idx)
{
    const unsigned bits = dyno_dtype_bits(dtype);
    if (bits < 8) {
        const enum dyno_dtype raw = bits == 4 ? DYNO_U4 : DYNO_U2;
        dyno_elem_store_i64(raw, dst, (size_t)dst_idx,
                            dyno_elem_load_i64(raw, src, (size_t)src_idx));
        return;
    }
    const size_t bytes = bits / 8;
    memcpy((char *)dst + (size_t)dst_idx * bytes, (const char *)src + (size_t)src_idx * bytes,
           bytes);
}

void dyno_ref_copy_all(const struct dyno_tensor *in, struct dyno_tensor *out)
{
    size_t bytes = 0;
    if (dyno_dtype_bytes(in->dtype, (uint64_t)dyno_tensor_count(in), &bytes) && bytes != 0)
        memcpy(out->data, in->data, bytes);
}

enum dyno_status dyno_ref_index(struct dyno_ref *ctx, const struct dyno_tensor *indices,
                                int64_t idx, int64_t size, int64_t *idx_out)
{
    const int64_t value = dyno_ref_i64(indices, idx);
    if (value < -size || value >= size)
        return DYNO_FAIL(ctx->err, DYNO_E_ARG,
                         "index %" PRId64 " is outside [%" PRId64 ", %" PRId64 ")", value, -size,
                         size);
    *idx_out = value < 0 ? value + size : value;
    return DYNO_OK;
}

enum dyno_status dyno_ref_refuse(struct dyno_ref *ctx, enum dyno_dtype dtype)
{
    return DYNO_FAIL(ctx->err, DYNO_E_UNSUPPORTED, "elements of type %s are not supported here",
                     dyno_dtype_text(dtype));
}

enum dyno_status dyno_ref_view(struct dyno_ref *ctx)
{
    dyno_ref_copy_all(ctx->in[0], &ctx->out[0]);
    return DYNO_OK;
}

/* The types that are computed in single precision and then rounded. */
static bool is_single(enum dyno_dtype dtype)
{
    return dtype == DYNO_F32 || dtype == DYNO_F16 || dtype == DYNO_BF16;
}

static bool is_integral(enum dyno_dtype dtype)
{
    return dyno_dtype_is_int(dtype) || dtype == DYNO_BOOL;
}

enum dyno_status dyno_ref_unary(struct dyno_ref *ctx, const struct dyno_ref_unary *fn)
{
    const struct dyno_tensor *const in = ctx->in[0];
    struct dyno_tensor *const out = &ctx->out[0];
    const int64_t count = dyno_tensor_count(in);
    if (is_integral(in->dtype) && fn->i64 != NULL) {
        for (int64_t i = 0; i < count; i++)
            dyno_elem_store_i64(out->dtype, out->data, (size_t)i, fn->i64(dyno_ref_i64(in, i)));
        return DYNO_OK;
    }
    if (!dyno_dtype_is_float(in->dtype))
        return dyno_ref_refuse(ctx, in->dtype);
    const struct dyno_pw_form form = fn->form;
    const bool use_pw = form.pw >= 0 && is_single(in->dtype);
    for (int64_t i = 0; i < count; i++) {
        const double a = dyno_elem_load_f64(in->dtype, in->data, (size_t)i);
        double y;
        if (use_pw)
            y = (double)dyno_pw_eval((enum dyno_pw_op)form.pw, (float)a, 0.0F, 0.0F, form.p,
                                     form.q);
        else
            y = fn->f64 != NULL ? fn->f64(a) : fn->f64_pq(a, (double)form.p, (double)form.q);
        dyno_elem_store_f64(out->dtype, out->data, (size_t)i, y);
    }
    return DYNO_OK;
}

static enum dyno_status binary_into(struct dyno_ref *ctx, const struct dyno_ref_binary *fn,
                                    const struct dyno_tensor *a, const struct dyno_tensor *b)
{
    struct dyno_tensor *const out = &ctx->out[0];
    const bool integral = is_integral(a->dtype) && fn->i64 != NULL;
    if (!integral && (!dyno_dtype_is_float(a->dtype) || fn->f64 == NULL))
        return dyno_ref_refuse(ctx, a->dtype);
    const bool is_u64 = a->dtype == DYNO_U64;
    const bool use_pw = fn->pw >= 0 && is_single(a->dtype);
    const int64_t count = dyno_tensor_count(out);
    struct dyno_walk walk;
    dyno_walk_init(&walk, out->rank, out->dims);
    dyno_walk_add(&walk, a);
    dyno_walk_add(&walk, b);
    for (int64_t i = 0; i < count; i++, dyno_walk_next(&walk)) {
        if (integral) {
            const int64_t y =
                fn->i64(dyno_ref_i64(a, walk.at[0]), dyno_ref_i64(b, walk.at[1]), is_u64);
            dyno_elem_store_i64(out->dtype, out->data, (size_t)i, y);
            continue;
        }
        const double x0 = dyno_elem_load_f64(a->dtype, a->data, (size_t)walk.at[0]);
        const double x1 = dyno_elem_load_f64(b->dtype, b->data, (size_t)walk.at[1]);
        const double y = use_pw ? (double)dyno_pw_eval((enum dyno_pw_op)fn->pw, (float)x0,
                                                       (float)x1, 0.0F, 0.0F, 0.0F)
                                : fn->f64(x0, x1);
        dyno_elem_store_f64(out->dtype, out->data, (size_t)i, y);
    }
    return DYNO_OK;
}

enum dyno_status dyno_ref_binary(struct dyno_ref *ctx, const struct dyno_ref_binary *fn)
{
    return binary_into(ctx, fn, ctx->in[0], ctx->in[1]);
}

enum dyno_status dyno_ref_variadic(struct dyno_ref *ctx, const struct dyno_ref_binary *fn)
{
    /* The first input is spread over the output, then the others are folded in, in place: an
     * element depends on the output's own element only. */
    struct dyno_tensor *const out = &ctx->out[0];
    const int64_t count = dyno_tensor_count(out);
    struct dyno_walk walk;
    dyno_walk_init(&walk, out->rank, out->dims);
    dyno_walk_add(&walk, ctx->in[0]);
    for (int64_t i = 0; i < count; i++, dyno_walk_next(&walk))
        dyno_ref_copy(out->dtype, out->data, i, ctx->in[0]->data, walk.at[0]);
    for (uint32_t i = 1; i < ctx->in_count; i++)
        DYNO_TRY(binary_into(ctx, fn, out, ctx->in[i]));
    return DYNO_OK;
}

enum dyno_status dyno_ref_check_divisor(struct dyno_ref *ctx)
{
    const struct dyno_tensor *const divisor = ctx->in[1];
    const int64_t count = dyno_dtype_is_int(divisor->dtype) ? dyno_tensor_count(divisor) : 0;
    for (int64_t i = 0; i < count; i++)
        if (dyno_ref_i64(divisor, i) == 0)
            return DYNO_FAIL(ctx->err, DYNO_E_ARG,
                             "division by zero: element %" PRId64 " of input 1 is 0", i);
    return DYNO_OK;
}
