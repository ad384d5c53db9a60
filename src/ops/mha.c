/* mha.c - Dyno's MultiHeadAttention: softmax(scale * q . k^T + mask) . v for each head. */
#include "ops/mha.h"

#include "base/mem.h"
#include "ops/infer.h"
#include "ops/ref.h"
#include "ops/softmax.h"
#include "ops/values.h"

#define FIELD(name) offsetof(struct dyno_mha_attrs, name)
static const struct dyno_attr attrs[] = {
    {"heads", DYNO_ATTR_I64, FIELD(heads), 0, NULL, 1},
    {"head_dim", DYNO_ATTR_I64, FIELD(head_dim), 0, NULL, 1},
    {"v_head_dim", DYNO_ATTR_I64, FIELD(v_head_dim), 0, NULL, 0},
    {"scale", DYNO_ATTR_F32, FIELD(scale), 1, NULL, 0},
    {"q_offset", DYNO_ATTR_I64, FIELD(q_offset), 0, NULL, 0},
    {"k_offset", DYNO_ATTR_I64, FIELD(k_offset), 0, NULL, 0},
    {"v_offset", DYNO_ATTR_I64, FIELD(v_offset), 0, NULL, 0},
};

enum { IN_Q, IN_K, IN_V, IN_MASK };

static const char *const names[] = {"q", "k", "v", "mask"};

static enum dyno_status check_attrs(struct dyno_infer *ctx, const struct dyno_mha_attrs *a)
{
    if (a->heads < 1 || a->heads > INT32_MAX || a->head_dim < 1 || a->head_dim > INT32_MAX ||
        a->v_head_dim < 0 || a->v_head_dim > INT32_MAX)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                         "heads is %lld, head_dim %lld, v_head_dim %lld: the first two must be at "
                         "least 1, the last at least 0",
                         (long long)a->heads, (long long)a->head_dim, (long long)a->v_head_dim);
    return DYNO_OK;
}

/* The heads lie inside the last axis of input idx. */
static enum dyno_status check_heads(struct dyno_infer *ctx, uint32_t idx, int64_t offset,
                                    int64_t width)
{
    int64_t size = 0;
    DYNO_TRY(dyno_check_rank(ctx, idx, names[idx], 3));
    if (offset < 0 || offset > INT64_MAX - width)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "%s_offset is %lld, must be at least 0",
                         names[idx], (long long)offset);
    if (dyno_dim_const(ctx, ctx->in[idx], 2, &size) && offset + width > size)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                         "the heads of %s are elements %lld..%lld of %lld on its last axis",
                         names[idx], (long long)offset, (long long)(offset + width - 1),
                         (long long)size);
    return DYNO_OK;
}

static enum dyno_status check_equal(struct dyno_infer *ctx, uint32_t a, uint32_t b, int axis)
{
    int64_t left = 0;
    int64_t right = 0;
    if (dyno_dim_const(ctx, ctx->in[a], axis, &left) &&
        dyno_dim_const(ctx, ctx->in[b], axis, &right) && left != right)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "%s has size %lld on axis %d but %s has %lld",
                         names[a], (long long)left, axis, names[b], (long long)right);
    return DYNO_OK;
}

static enum dyno_status check_mask(struct dyno_infer *ctx, const struct dyno_mha_attrs *a)
{
    const struct dyno_type *mask = ctx->in_count > IN_MASK ? ctx->in[IN_MASK] : NULL;
    const struct dyno_type *q = ctx->in[IN_Q];
    const struct dyno_type *k = ctx->in[IN_K];
    if (mask == NULL || mask->rank < 0 || q->rank < 0 || k->rank < 0)
        return DYNO_OK;
    if (mask->rank > 4)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "mask has rank %d, wants at most 4", mask->rank);
    const dyno_expr scores[4] = {q->dims[0], dyno_expr_const(ctx->exprs, a->heads), q->dims[1],
                                 k->dims[1]};
    for (int i = 1; i <= mask->rank; i++) {
        int64_t size = 0;
        int64_t want = 0;
        if (dyno_dim_const(ctx, mask, mask->rank - i, &size) && size != 1 &&
            dyno_expr_is_const(ctx->exprs, scores[4 - i], &want) && size != want)
            return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                             "mask has size %lld where the scores [B, heads, Tq, Tk] have %lld "
                             "(axis %d)",
                             (long long)size, (long long)want, 4 - i);
    }
    return DYNO_OK;
}

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_mha_attrs *a = ctx->attrs;
    const struct dyno_type *q = ctx->in[IN_Q];
    DYNO_TRY(check_attrs(ctx, a));
    const int64_t v_width = a->heads * dyno_mha_v_head_dim(a);
    DYNO_TRY(dyno_check_classes(ctx, IN_Q, IN_MASK, DYNO_WANT_FLOAT));
    DYNO_TRY(dyno_check_same_dtype(ctx, IN_Q, "q", IN_K, "k"));
    DYNO_TRY(dyno_check_same_dtype(ctx, IN_Q, "q", IN_V, "v"));
    DYNO_TRY(check_heads(ctx, IN_Q, a->q_offset, a->heads * a->head_dim));
    DYNO_TRY(check_heads(ctx, IN_K, a->k_offset, a->heads * a->head_dim));
    DYNO_TRY(check_heads(ctx, IN_V, a->v_offset, v_width));
    DYNO_TRY(check_equal(ctx, IN_Q, IN_K, 0));
    DYNO_TRY(check_equal(ctx, IN_Q, IN_V, 0));
    DYNO_TRY(check_equal(ctx, IN_K, IN_V, 1));
    DYNO_TRY(check_mask(ctx, a));
    const dyno_expr dims[3] = {q->rank == 3 ? q->dims[0] : DYNO_EXPR_NONE,
                               q->rank == 3 ? q->dims[1] : DYNO_EXPR_NONE,
                               dyno_expr_const(ctx->exprs, v_width)};
    return dyno_infer_set(ctx, 0, q->dtype, 3, dims);
}

/* The rows of one head of one batch item, as doubles. */
struct head {
    const double *q, *k, *v;     /* element 0 of the head in the first row */
    int64_t q_row, k_row, v_row; /* elements from row to row */
};

/* out[d] for query row t: scores[Tk] is scratch. */
static void attend(const struct dyno_mha_attrs *a, const struct head *head, int64_t t,
                   int64_t key_count, const double *mask, int64_t mask_stride, double *scores,
                   double *out)
{
    for (int64_t j = 0; j < key_count; j++) {
        double dot = 0;
        for (int64_t d = 0; d < a->head_dim; d++)
            dot += head->q[t * head->q_row + d] * head->k[j * head->k_row + d];
        scores[j] = (double)a->scale * dot + (mask != NULL ? mask[j * mask_stride] : 0);
    }
    dyno_softmax_row(scores, key_count);
    for (int64_t d = 0; d < dyno_mha_v_head_dim(a); d++) {
        double sum = 0;
        for (int64_t j = 0; j < key_count; j++)
            sum += scores[j] * head->v[j * head->v_row + d];
        out[d] = sum;
    }
}

/* Loaded inputs. */
struct loaded {
    double *q, *k, *v, *mask, *scores, *out;
};

static void run(struct dyno_ref *ctx, const struct loaded *at)
{
    const struct dyno_mha_attrs *a = ctx->attrs;
    const int64_t *q_dims = ctx->in[IN_Q]->dims;
    const int64_t *k_dims = ctx->in[IN_K]->dims;
    const int64_t v_width = ctx->in[IN_V]->dims[2];
    const int64_t dim = dyno_mha_v_head_dim(a);
    int64_t strides[4] = {0};
    if (at->mask != NULL)
        dyno_ref_broadcast_strides(ctx->in[IN_MASK], 4, strides);
    for (int64_t b = 0; b < q_dims[0]; b++)
        for (int64_t h = 0; h < a->heads; h++) {
            const struct head head = {
                .q = at->q + b * q_dims[1] * q_dims[2] + a->q_offset + h * a->head_dim,
                .k = at->k + b * k_dims[1] * k_dims[2] + a->k_offset + h * a->head_dim,
                .v = at->v + b * k_dims[1] * v_width + a->v_offset + h * dim,
                .q_row = q_dims[2],
                .k_row = k_dims[2],
                .v_row = v_width,
            };
            for (int64_t t = 0; t < q_dims[1]; t++) {
                const double *mask = at->mask;
                if (mask != NULL)
                    mask += b * strides[0] + h * strides[1] + t * strides[2];
                attend(a, &head, t, k_dims[1], mask, strides[3], at->scores, at->out);
                dyno_values_store_at(&ctx->out[0], ((b * q_dims[1] + t) * a->heads + h) * dim,
                                     at->out, dim);
            }
        }
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_mha_attrs *a = ctx->attrs;
    const struct dyno_tensor *mask = ctx->in_count > IN_MASK ? ctx->in[IN_MASK] : NULL;
    enum dyno_status status = DYNO_OK;
    struct loaded at = {
        .q = dyno_values_load(ctx->in[IN_Q]),
        .k = dyno_values_load(ctx->in[IN_K]),
        .v = dyno_values_load(ctx->in[IN_V]),
        .mask = mask != NULL ? dyno_values_load(mask) : NULL,
        .scores = dyno_values_alloc(ctx->in[IN_K]->dims[1]),
        .out = dyno_values_alloc(dyno_mha_v_head_dim(a)),
    };
    if (at.q == NULL || at.k == NULL || at.v == NULL || (mask != NULL && at.mask == NULL) ||
        at.scores == NULL || at.out == NULL)
        status = DYNO_NOMEM(ctx->err);
    else
        run(ctx, &at);
    dyno_free(at.out);
    dyno_free(at.scores);
    dyno_free(at.mask);
    dyno_free(at.v);
    dyno_free(at.k);
    dyno_free(at.q);
    return status;
}

const struct dyno_op dyno_op_mha = {
    .onnx_name = "MultiHeadAttention",
    .domain = "dyno",
    .since = 1,
    .in_min = 3,
    .in_max = 4,
    .out_min = 1,
    .out_max = 1,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_mha_attrs),
    .infer = infer,
    .reference = reference,
};
