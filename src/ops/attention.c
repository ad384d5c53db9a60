/* attention.c - Attention-24: softmax(softcap(scale * Q . K^T + mask)) . V, grouped heads, cache.
 */
#include "ops/attention.h"

#include <math.h>

#include "base/mem.h"
#include "ops/infer.h"
#include "ops/ref.h"
#include "ops/softmax.h"
#include "ops/values.h"

#define FIELD(name) offsetof(struct dyno_attention_attrs, name)
static const struct dyno_attr attrs[] = {
    {"is_causal", DYNO_ATTR_I64, FIELD(is_causal), 0, NULL, 0},
    {"kv_num_heads", DYNO_ATTR_I64, FIELD(kv_num_heads), 0, NULL, 0},
    {"q_num_heads", DYNO_ATTR_I64, FIELD(q_num_heads), 0, NULL, 0},
    {"qk_matmul_output_mode", DYNO_ATTR_I64, FIELD(qk_mode), 0, NULL, 0},
    {"scale", DYNO_ATTR_F32, FIELD(scale), 0, NULL, 0},
    {"softcap", DYNO_ATTR_F32, FIELD(softcap), 0, NULL, 0},
    {"softmax_precision", DYNO_ATTR_I64, FIELD(softmax_precision), 0, NULL, 0},
};

enum { IN_Q, IN_K, IN_V, IN_MASK, IN_PAST_K, IN_PAST_V, IN_LENGTHS };
enum { OUT_Y, OUT_K, OUT_V, OUT_QK };

/* --- shapes --- */

static enum dyno_status check_attrs(const struct dyno_attention_attrs *a, int rank,
                                    struct dyno_err *err)
{
    if (rank >= 0 && rank != 3 && rank != 4)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "Q has rank %d, wants 3 or 4", rank);
    if (rank == 3 && (a->q_num_heads < 1 || a->kv_num_heads < 1))
        return DYNO_FAIL(err, DYNO_E_FORMAT,
                         "q_num_heads is %lld and kv_num_heads %lld; rank 3 wants both at least 1",
                         (long long)a->q_num_heads, (long long)a->kv_num_heads);
    if (a->qk_mode < 0 || a->qk_mode > DYNO_ATTENTION_QK_SOFTMAX)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "qk_matmul_output_mode is %lld, must be 0..3",
                         (long long)a->qk_mode);
    return DYNO_OK;
}

static const struct dyno_type *type_in(const struct dyno_infer *ctx, uint32_t idx)
{
    return idx < ctx->in_count ? ctx->in[idx] : NULL;
}

/* [B, heads, T, dim] of a rank-3 or rank-4 input. */
static void heads_dims(struct dyno_infer *ctx, const struct dyno_type *in, int64_t heads,
                       dyno_expr *dims_out)
{
    for (int i = 0; i < 4; i++)
        dims_out[i] = in->rank == 4 ? in->dims[i] : DYNO_EXPR_NONE;
    if (in->rank != 3)
        return;
    dims_out[0] = in->dims[0];
    dims_out[1] = dyno_expr_const(ctx->exprs, heads);
    dims_out[2] = in->dims[1];
    dims_out[3] = dyno_expr_floordiv(ctx->exprs, in->dims[2], dims_out[1]);
}

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_attention_attrs *a = ctx->attrs;
    const struct dyno_type *q_type = ctx->in[IN_Q];
    const struct dyno_type *past = type_in(ctx, IN_PAST_K);
    dyno_expr q[4];
    dyno_expr k[4];
    dyno_expr v[4];
    DYNO_TRY(dyno_check_classes(ctx, IN_Q, IN_V, DYNO_WANT_FLOAT));
    DYNO_TRY(dyno_infer_want(ctx, IN_MASK, DYNO_WANT_NUMBER | DYNO_WANT_BOOL));
    DYNO_TRY(dyno_check_classes(ctx, IN_PAST_K, IN_PAST_V, DYNO_WANT_FLOAT));
    DYNO_TRY(dyno_infer_want(ctx, IN_LENGTHS, DYNO_WANT_INDEX));
    DYNO_TRY(check_attrs(a, q_type->rank, ctx->err));
    DYNO_TRY(dyno_check_rank(ctx, IN_PAST_K, "past_key", 4));
    DYNO_TRY(dyno_check_rank(ctx, IN_PAST_V, "past_value", 4));
    heads_dims(ctx, q_type, a->q_num_heads, q);
    heads_dims(ctx, ctx->in[IN_K], a->kv_num_heads, k);
    heads_dims(ctx, ctx->in[IN_V], a->kv_num_heads, v);
    if (past != NULL) {
        const dyno_expr length = past->rank == 4 ? past->dims[2] : DYNO_EXPR_NONE;
        k[2] = dyno_expr_add(ctx->exprs, k[2], length);
        v[2] = dyno_expr_add(ctx->exprs, v[2], length);
    }
    const dyno_expr y4[4] = {q[0], q[1], q[2], v[3]};
    const dyno_expr y3[3] = {q[0], q[2], dyno_expr_mul(ctx->exprs, q[1], v[3])};
    const dyno_expr qk[4] = {q[0], q[1], q[2], k[2]};
    DYNO_TRY(dyno_infer_set(ctx, OUT_Y, q_type->dtype, q_type->rank, q_type->rank == 3 ? y3 : y4));
    DYNO_TRY(dyno_infer_set(ctx, OUT_K, ctx->in[IN_K]->dtype, 4, k));
    DYNO_TRY(dyno_infer_set(ctx, OUT_V, ctx->in[IN_V]->dtype, 4, v));
    return dyno_infer_set(ctx, OUT_QK, q_type->dtype, 4, qk);
}

static enum dyno_status check_kv(const struct dyno_attention_shape *s, const struct dyno_tensor *q,
                                 const struct dyno_tensor *k, const struct dyno_tensor *v,
                                 struct dyno_err *err)
{
    const int length_axis = s->packed ? 1 : 2;
    const int64_t k_width = k->dims[k->rank - 1];
    if (k->dims[0] != s->batch || v->dims[0] != s->batch ||
        v->dims[length_axis] != k->dims[length_axis])
        return DYNO_FAIL(err, DYNO_E_FORMAT, "Q, K and V differ in batch, or K and V in length");
    if (!s->packed && v->dims[1] != s->kv_heads)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "V has %lld heads but K has %lld",
                         (long long)v->dims[1], (long long)s->kv_heads);
    if (s->packed && (q->dims[2] != s->q_heads * s->dim || v->dims[2] != s->kv_heads * s->v_dim))
        return DYNO_FAIL(err, DYNO_E_FORMAT,
                         "the heads do not divide Q's %lld or V's %lld elements",
                         (long long)q->dims[2], (long long)v->dims[2]);
    if (k_width != (s->packed ? s->kv_heads * s->dim : s->dim))
        return DYNO_FAIL(err, DYNO_E_FORMAT, "K's last axis is %lld, Q's heads have %lld",
                         (long long)k_width, (long long)s->dim);
    if (s->kv_heads < 1 || s->q_heads % s->kv_heads != 0)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "%lld kv heads do not divide %lld query heads",
                         (long long)s->kv_heads, (long long)s->q_heads);
    return DYNO_OK;
}

enum dyno_status dyno_attention_shape(const struct dyno_attention_attrs *a,
                                      const struct dyno_tensor *q, const struct dyno_tensor *k,
                                      const struct dyno_tensor *v, const struct dyno_tensor *past,
                                      struct dyno_attention_shape *shape_out, struct dyno_err *err)
{
    DYNO_TRY(check_attrs(a, q->rank, err));
    if (k->rank != q->rank || v->rank != q->rank)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "Q, K and V have ranks %d, %d and %d, want one rank",
                         q->rank, k->rank, v->rank);
    struct dyno_attention_shape s = {.batch = q->dims[0], .packed = q->rank == 3};
    if (s.packed) {
        s.q_heads = a->q_num_heads;
        s.kv_heads = a->kv_num_heads;
        s.dim = q->dims[2] / s.q_heads;
        s.v_dim = v->dims[2] / s.kv_heads;
    } else {
        s.q_heads = q->dims[1];
        s.kv_heads = k->dims[1];
        s.dim = q->dims[3];
        s.v_dim = v->dims[3];
    }
    s.q_len = q->dims[s.packed ? 1 : 2];
    s.kv_len = k->dims[s.packed ? 1 : 2];
    s.past_len = past != NULL ? past->dims[2] : 0;
    s.total_len = s.past_len + s.kv_len;
    *shape_out = s;
    return check_kv(&s, q, k, v, err);
}

/* --- reference --- */

struct run {
    struct dyno_ref *ctx;
    struct dyno_attention_shape s;
    double *q, *k, *v; /* [B, heads, T, dim]; k and v with the past in front */
    double *scores;    /* [total] */
    double *out;       /* [v_dim] */
};

static const struct dyno_tensor *input(const struct dyno_ref *ctx, uint32_t idx)
{
    return idx < ctx->in_count ? ctx->in[idx] : NULL;
}

/* [B, heads, past + T, dim] as doubles; the caller frees; NULL: no memory. */
static double *load_heads(const struct dyno_tensor *now, const struct dyno_tensor *past,
                          int64_t batch, int64_t heads, int64_t length, int64_t dim)
{
    const int64_t before = past != NULL ? past->dims[2] : 0;
    const int64_t total = before + length;
    double *to = dyno_values_alloc(batch * heads * total * dim);
    for (int64_t i = 0; to != NULL && i < batch * heads * total * dim; i++) {
        const int64_t d = i % dim;
        const int64_t t = i / dim % total;
        const int64_t row = i / dim / total; /* batch * heads + head */
        if (past != NULL && t < before) {
            const int64_t at = (row * before + t) * dim + d;
            to[i] = dyno_elem_load_f64(past->dtype, past->data, (size_t)at);
            continue;
        }
        int64_t at = (row * length + t - before) * dim + d;
        if (now->rank == 3)
            at = ((row / heads * length + t - before) * heads + row % heads) * dim + d;
        to[i] = dyno_elem_load_f64(now->dtype, now->data, (size_t)at);
    }
    return to;
}

/* What is added to the score of key j; strides are the mask's, with its own last axis. */
static double mask_at(const struct run *run, const int64_t *strides, int64_t b, int64_t h,
                      int64_t t, int64_t j)
{
    const struct dyno_attention_attrs *a = run->ctx->attrs;
    const struct dyno_tensor *mask = input(run->ctx, IN_MASK);
    const struct dyno_tensor *lengths = input(run->ctx, IN_LENGTHS);
    const double off = -INFINITY;
    double value = 0;
    if (a->is_causal != 0 && j > run->s.past_len + t)
        return off;
    if (lengths != NULL && j >= dyno_ref_i64(lengths, b))
        return off;
    if (mask == NULL)
        return 0;
    const int64_t width = mask->dims[mask->rank - 1];
    if (width != 1 && j >= width)
        return off;
    const int64_t at = b * strides[0] + h * strides[1] + t * strides[2] + j * strides[3];
    value = dyno_elem_load_f64(mask->dtype, mask->data, (size_t)at);
    if (mask->dtype == DYNO_BOOL)
        value = value != 0 ? 0 : off;
    return value;
}

static void emit_qk(const struct run *run, enum dyno_attention_qk now, int64_t row)
{
    const struct dyno_attention_attrs *a = run->ctx->attrs;
    if (run->ctx->out_count > OUT_QK && a->qk_mode == (int64_t)now)
        dyno_values_store_at(&run->ctx->out[OUT_QK], row * run->s.total_len, run->scores,
                             run->s.total_len);
}

/* Query t of head h of batch item b. */
static void attend(const struct run *run, const int64_t *strides, int64_t b, int64_t h, int64_t t)
{
    const struct dyno_attention_attrs *a = run->ctx->attrs;
    const struct dyno_attention_shape *s = &run->s;
    const int64_t row = (b * s->q_heads + h) * s->q_len + t;
    const int64_t kv_head = b * s->kv_heads + h / (s->q_heads / s->kv_heads);
    const double *q = run->q + row * s->dim;
    const double *k = run->k + kv_head * s->total_len * s->dim;
    const double *v = run->v + kv_head * s->total_len * s->v_dim;
    const double scale = a->scale != 0 ? (double)a->scale : 1 / sqrt((double)s->dim);
    const double cap = (double)a->softcap;
    for (int64_t j = 0; j < s->total_len; j++) {
        double dot = 0;
        for (int64_t d = 0; d < s->dim; d++)
            dot += q[d] * k[j * s->dim + d];
        run->scores[j] = scale * dot;
    }
    emit_qk(run, DYNO_ATTENTION_QK_RAW, row);
    for (int64_t j = 0; j < s->total_len; j++)
        run->scores[j] += mask_at(run, strides, b, h, t, j);
    emit_qk(run, DYNO_ATTENTION_QK_MASKED, row);
    for (int64_t j = 0; cap > 0 && j < s->total_len; j++)
        run->scores[j] = cap * tanh(run->scores[j] / cap);
    emit_qk(run, DYNO_ATTENTION_QK_CAPPED, row);
    dyno_softmax_row(run->scores, s->total_len);
    emit_qk(run, DYNO_ATTENTION_QK_SOFTMAX, row);
    for (int64_t d = 0; d < s->v_dim; d++) {
        run->out[d] = 0;
        for (int64_t j = 0; j < s->total_len; j++)
            run->out[d] += run->scores[j] * v[j * s->v_dim + d];
    }
    const int64_t to = s->packed ? (b * s->q_len + t) * s->q_heads + h : row;
    dyno_values_store_at(&run->ctx->out[OUT_Y], to * s->v_dim, run->out, s->v_dim);
}

/* The mask's strides along [B, heads, Tq, total]; its last axis may be shorter than total. */
static enum dyno_status mask_strides(struct dyno_ref *ctx, const struct dyno_attention_shape *s,
                                     int64_t *strides)
{
    const struct dyno_tensor *mask = input(ctx, IN_MASK);
    if (mask == NULL)
        return DYNO_OK;
    if (mask->rank < 1 || mask->rank > 4)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "attn_mask has rank %d, wants 1..4", mask->rank);
    const int64_t width = mask->dims[mask->rank - 1];
    struct dyno_tensor scores = {.rank = 4, .dims = {s->batch, s->q_heads, s->q_len, width}};
    if (width > s->total_len || !dyno_ref_broadcasts(mask, &scores))
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                         "attn_mask does not broadcast to the scores [%lld, %lld, %lld, %lld]",
                         (long long)s->batch, (long long)s->q_heads, (long long)s->q_len,
                         (long long)s->total_len);
    dyno_ref_broadcast_strides(mask, 4, strides);
    return DYNO_OK;
}

static enum dyno_status check_past(struct dyno_ref *ctx, const struct dyno_attention_shape *s)
{
    const struct dyno_tensor *k = input(ctx, IN_PAST_K);
    const struct dyno_tensor *v = input(ctx, IN_PAST_V);
    const struct dyno_tensor *lengths = input(ctx, IN_LENGTHS);
    if ((k == NULL) != (v == NULL))
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "past_key and past_value come together");
    if (k != NULL && (k->dims[0] != s->batch || k->dims[1] != s->kv_heads || k->dims[3] != s->dim ||
                      v->dims[0] != s->batch || v->dims[1] != s->kv_heads ||
                      v->dims[2] != k->dims[2] || v->dims[3] != s->v_dim))
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "the past's shape does not fit K and V");
    if (lengths != NULL && dyno_tensor_count(lengths) != s->batch)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "nonpad_kv_seqlen has %lld entries, wants %lld",
                         (long long)dyno_tensor_count(lengths), (long long)s->batch);
    return DYNO_OK;
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_tensor *past_k = input(ctx, IN_PAST_K);
    const struct dyno_tensor *past_v = input(ctx, IN_PAST_V);
    int64_t strides[4] = {0};
    struct run run = {.ctx = ctx};
    struct dyno_attention_shape *s = &run.s;
    DYNO_TRY(dyno_attention_shape(ctx->attrs, ctx->in[IN_Q], ctx->in[IN_K], ctx->in[IN_V], past_k,
                                  s, ctx->err));
    DYNO_TRY(check_past(ctx, s));
    DYNO_TRY(mask_strides(ctx, s, strides));
    enum dyno_status status = DYNO_OK;
    run.q = load_heads(ctx->in[IN_Q], NULL, s->batch, s->q_heads, s->q_len, s->dim);
    run.k = load_heads(ctx->in[IN_K], past_k, s->batch, s->kv_heads, s->kv_len, s->dim);
    run.v = load_heads(ctx->in[IN_V], past_v, s->batch, s->kv_heads, s->kv_len, s->v_dim);
    run.scores = dyno_values_alloc(s->total_len);
    run.out = dyno_values_alloc(s->v_dim);
    if (run.q == NULL || run.k == NULL || run.v == NULL || run.scores == NULL || run.out == NULL) {
        status = DYNO_NOMEM(ctx->err);
        goto out;
    }
    for (int64_t b = 0; b < s->batch; b++)
        for (int64_t h = 0; h < s->q_heads; h++)
            for (int64_t t = 0; t < s->q_len; t++)
                attend(&run, strides, b, h, t);
    if (ctx->out_count > OUT_K)
        dyno_values_store(&ctx->out[OUT_K], run.k);
    if (ctx->out_count > OUT_V)
        dyno_values_store(&ctx->out[OUT_V], run.v);
out:
    dyno_free(run.out);
    dyno_free(run.scores);
    dyno_free(run.v);
    dyno_free(run.k);
    dyno_free(run.q);
    return status;
}

const struct dyno_op dyno_op_attention = {
    .onnx_name = "Attention",
    .domain = "",
    .since = 24,
    .in_min = 3,
    .in_max = 7,
    .out_min = 1,
    .out_max = 4,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_attention_attrs),
    .infer = infer,
    .reference = reference,
};
