/* test_nn_rare.c - operators few networks use: a small case by hand each, and a refusal. */
#include "unit/ops/nn_case.h"

#include "ops/attention.h"
#include "ops/loss.h"
#include "ops/pool.h"

static void attention_grouped_causal(void)
{
    struct nn_case c;
    nn_begin(&c, &dyno_op_attention);
    struct dyno_attention_attrs *a = c.attrs;
    a->is_causal = 1;
    a->q_num_heads = 2;
    a->kv_num_heads = 1;
    nn_in(&c, DYNO_F32, DIMS(1, 2, 2), F32S(0, 0, 0, 1.0986123F)); /* [B, T, heads*1] */
    nn_in(&c, DYNO_F32, DIMS(1, 2, 1), F32S(0, 1));
    nn_in(&c, DYNO_F32, DIMS(1, 2, 1), F32S(4, 8));
    nn_run_ok(&c, 4);
    /* the first query sees one key; then weights 1/2 1/2 and 1/4 3/4 */
    nn_want(&c, 0, DIMS(1, 2, 2), F32S(4, 4, 6, 7));
    nn_want(&c, 1, DIMS(1, 1, 2, 1), F32S(0, 1));
    nn_want(&c, 3, DIMS(1, 2, 2, 2), F32S(0, 0, 0, 0, 0, 0, 0, 1.0986123F));
    a->kv_num_heads = 0;
    nn_refused(&c, DYNO_E_FORMAT, "kv_num_heads 0");
    nn_end(&c);

    struct nn_infer s;
    nn_infer_begin(&s, &dyno_op_attention);
    nn_infer_in(&s, DYNO_F32, "b, 8, t, 64");
    nn_infer_in(&s, DYNO_F32, "b, 2, t, 64");
    nn_infer_in(&s, DYNO_F32, "b, 2, t, 32");
    nn_infer_absent(&s);
    nn_infer_in(&s, DYNO_F32, "b, 2, past, 64");
    nn_infer_in(&s, DYNO_F32, "b, 2, past, 32");
    CHECK(nn_infer_run(&s, 4) == DYNO_OK);
    nn_infer_want(&s, 0, DYNO_F32, "b, 8, t, 32");
    nn_infer_want(&s, 2, DYNO_F32, "b, 2, past + t, 32");
    nn_infer_want(&s, 3, DYNO_F32, "b, 8, t, past + t");
    nn_infer_end(&s);
}

static void rotary(void)
{
    struct nn_case c;
    int64_t positions[] = {1};
    nn_begin(&c, &dyno_op_rotary_embedding);
    nn_in(&c, DYNO_F32, DIMS(1, 1, 1, 4), F32S(1, 2, 3, 4));
    nn_in(&c, DYNO_F32, DIMS(2, 2), F32S(9, 9, 0, 1)); /* row 1: a quarter turn, then none */
    nn_in(&c, DYNO_F32, DIMS(2, 2), F32S(9, 9, 1, 0));
    nn_in(&c, DYNO_I64, DIMS(1, 1), positions);
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(1, 1, 1, 4), F32S(-3, 2, 1, 4));
    positions[0] = 2;
    nn_refused(&c, DYNO_E_FORMAT, "a position is 2, the caches have 2");
    nn_end(&c);
}

static void grid_sample(void)
{
    struct nn_case c;
    nn_begin(&c, &dyno_op_grid_sample);
    nn_in(&c, DYNO_F32, DIMS(1, 1, 2, 2), F32S(1, 2, 3, 4));
    /* (x, y): the middle, the last column's edge, far outside */
    nn_in(&c, DYNO_F32, DIMS(1, 1, 3, 2), F32S(0, 0, 1, -0.5F, 9, 9));
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(1, 1, 1, 3), F32S(2.5F, 1, 0));
    nn_end(&c);
}

static void affine_grid(void)
{
    struct nn_case c;
    int64_t size[] = {1, 1, 1, 2};
    nn_begin(&c, &dyno_op_affine_grid);
    nn_in(&c, DYNO_F32, DIMS(1, 2, 3), F32S(1, 10, 100, 2, 20, 200));
    nn_in(&c, DYNO_I64, DIMS(4), size);
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(1, 1, 2, 2), F32S(99.5F, 199, 100.5F, 201));
    nn_end(&c);
}

static void regions(void)
{
    struct nn_case c;
    int64_t batch[] = {0};
    nn_begin(&c, &dyno_op_roi_align);
    nn_in_iota(&c, DIMS(1, 1, 4, 4));
    nn_in(&c, DYNO_F32, DIMS(1, 4), F32S(0.5F, 0.5F, 2.5F, 2.5F));
    nn_in(&c, DYNO_I64, DIMS(1), batch);
    nn_run_ok(&c, 1);
    /* samples 0.5, 1.5 on both axes: the mean is the value at 1, 1 */
    nn_want(&c, 0, DIMS(1, 1, 1, 1), F32S(6));
    batch[0] = 1;
    nn_refused(&c, DYNO_E_FORMAT, "batch_indices[0] is 1, x has 1 images");
    nn_end(&c);

    nn_begin(&c, &dyno_op_max_roi_pool);
    struct dyno_i64s *pooled_shape = nn_attr(c.op, c.attrs, "pooled_shape");
    *pooled_shape = I64LIST(1, 2);
    nn_in_iota(&c, DIMS(1, 1, 4, 4));
    nn_in(&c, DYNO_F32, DIMS(1, 5), F32S(0, 0, 1, 3, 2));
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(1, 1, 1, 2), F32S(10, 12));
    nn_end(&c);
}

static void unpool(void)
{
    struct nn_case c;
    int64_t at[] = {1, 7};
    nn_begin(&c, &dyno_op_max_unpool);
    struct dyno_pooling_attrs *a = c.attrs;
    a->kernel_shape = I64LIST(2, 2);
    a->strides = I64LIST(2, 2);
    nn_in(&c, DYNO_F32, DIMS(1, 1, 1, 2), F32S(5, 6));
    nn_in(&c, DYNO_I64, DIMS(1, 1, 1, 2), at);
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(1, 1, 2, 4), F32S(0, 5, 0, 0, 0, 0, 0, 6));
    at[1] = 8;
    nn_refused(&c, DYNO_E_FORMAT, "indices[1] is 8, must be 0..7");
    nn_end(&c);
}

static void deform(void)
{
    struct nn_case c;
    nn_begin(&c, &dyno_op_deform_conv);
    nn_in(&c, DYNO_F32, DIMS(1, 1, 1, 3), F32S(1, 2, 4));
    nn_in(&c, DYNO_F32, DIMS(1, 1, 1, 1), F32S(10));
    /* rows stay; columns move by 1/2, 0 and 5 */
    nn_in(&c, DYNO_F32, DIMS(1, 2, 1, 3), F32S(0, 0, 0, 0.5F, 0, 5));
    nn_in(&c, DYNO_F32, DIMS(1), F32S(1));
    nn_in(&c, DYNO_F32, DIMS(1, 1, 1, 3), F32S(1, 0.5F, 1));
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(1, 1, 1, 3), F32S(16, 11, 1));
    nn_end(&c);
}

static void losses(void)
{
    struct nn_case c;
    int64_t labels[] = {1, 0, 1};
    nn_begin(&c, &dyno_op_negative_log_likelihood_loss);
    struct dyno_loss_attrs *a = c.attrs;
    CHECK(a->ignore_index == DYNO_LOSS_IGNORE_NONE);
    nn_in(&c, DYNO_F32, DIMS(3, 2), F32S(-1, -2, -3, -4, -5, -6));
    nn_in(&c, DYNO_I64, DIMS(3), labels);
    nn_in(&c, DYNO_F32, DIMS(2), F32S(1, 3));
    nn_run_ok(&c, 1);
    nn_want(&c, 0, 0, NULL, F32S((3 * 2 + 3 + 3 * 6) / 7.0F));
    a->reduction = DYNO_LOSS_NONE;
    a->ignore_index = 0;
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(3), F32S(6, 0, 18));
    labels[0] = 2;
    nn_refused(&c, DYNO_E_FORMAT, "labels[0] is 2, must be 0..1");
    nn_end(&c);

    nn_begin(&c, &dyno_op_softmax_cross_entropy_loss);
    labels[0] = 0;
    nn_in(&c, DYNO_F32, DIMS(1, 2), F32S(7, 7));
    nn_in(&c, DYNO_I64, DIMS(1), labels);
    nn_run_ok(&c, 2);
    nn_want(&c, 0, 0, NULL, F32S(0.6931472F));
    nn_want(&c, 1, DIMS(1, 2), F32S(-0.6931472F, -0.6931472F));
    nn_end(&c);
}

static void dft(void)
{
    struct nn_case c;
    nn_begin(&c, &dyno_op_dft);
    int64_t *inverse = nn_attr(c.op, c.attrs, "inverse");
    int64_t *onesided = nn_attr(c.op, c.attrs, "onesided");
    nn_in(&c, DYNO_F32, DIMS(1, 4, 1), F32S(1, 2, 3, 4));
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(1, 4, 2), F32S(10, 0, -2, 2, -2, 0, -2, -2));
    *onesided = 1;
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(1, 3, 2), F32S(10, 0, -2, 2, -2, 0));
    *onesided = 0;
    *inverse = 1;
    c.ins[0].dims[2] = 2;
    c.ins[0].data = F32S(10, 0, -2, 2, -2, 0, -2, -2);
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(1, 4, 2), F32S(1, 0, 2, 0, 3, 0, 4, 0));
    nn_end(&c);

    struct nn_infer s;
    nn_infer_begin(&s, &dyno_op_dft);
    onesided = nn_attr(s.op, s.attrs, "onesided");
    *onesided = 1;
    nn_infer_in(&s, DYNO_F32, "n, t, 1");
    nn_infer_gives(&s, "n, t//2 + 1, 2");
    nn_infer_end(&s);
}

static void det(void)
{
    struct nn_case c;
    nn_begin(&c, &dyno_op_det);
    nn_in(&c, DYNO_F32, DIMS(2, 2, 2), F32S(0, 2, 3, 4, 1, 2, 2, 4));
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(2), F32S(-6, 0));
    c.ins[0].dims[0] = 4;
    c.ins[0].dims[1] = 1;
    nn_refused(&c, DYNO_E_FORMAT, "matrices of 1 x 2 are not square");
    nn_end(&c);
}

int main(void)
{
    attention_grouped_causal();
    rotary();
    grid_sample();
    affine_grid();
    regions();
    unpool();
    deform();
    losses();
    dft();
    det();
    return TEST_RESULT();
}
