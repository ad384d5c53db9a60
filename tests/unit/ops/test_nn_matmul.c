/* test_nn_matmul.c - MatMul, Gemm and their quantised kin; softmaxes; attention. */
#include "unit/ops/nn_case.h"

#include "ops/gemm.h"
#include "ops/mha.h"
#include "ops/softmax.h"

static void mat_mul(void)
{
    struct nn_case c;
    nn_begin(&c, &dyno_op_mat_mul);
    nn_in(&c, DYNO_F32, DIMS(2, 1, 2), F32S(1, 2, 3, 4));
    nn_in(&c, DYNO_F32, DIMS(1, 2, 2), F32S(1, 10, 100, 1000));
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(2, 1, 2), F32S(201, 2010, 403, 4030));
    nn_end(&c);

    nn_begin(&c, &dyno_op_mat_mul); /* row . column gives a scalar */
    nn_in(&c, DYNO_F32, DIMS(3), F32S(1, 2, 3));
    nn_in(&c, DYNO_F32, DIMS(3), F32S(1, 10, 100));
    nn_run_ok(&c, 1);
    nn_want(&c, 0, 0, NULL, F32S(321));
    nn_end(&c);

    nn_begin(&c, &dyno_op_mat_mul); /* the vector's axis disappears */
    int64_t a[] = {1, 2, 3, 4};
    int64_t b[] = {INT64_MAX, 1};
    nn_in(&c, DYNO_I64, DIMS(2, 2), a);
    nn_in(&c, DYNO_I64, DIMS(2), b);
    nn_run_ok(&c, 1);
    const int64_t *y = c.outs[0].data;
    CHECK(c.outs[0].rank == 1 && c.outs[0].dims[0] == 2);
    /* 2^63 + 1 and 3 * 2^63 + 1 wrap */
    CHECK(y[0] == INT64_MIN + 1 && y[1] == INT64_MIN + 1);
    nn_end(&c);
}

static void mat_mul_shapes(void)
{
    static const struct {
        const char *a, *b, *y;
    } rows[] = {
        {"batch, t, 64", "64, 256", "batch, t, 256"},
        {"batch, 8, t, 64", "batch, 8, 64, s", "batch, 8, t, s"},
        {"batch, 1, t, 64", "8, 64, s", "batch, 8, t, s"},
        {"64", "batch, 64, n", "batch, n"},
        {"batch, m, 64", "64", "batch, m"},
    };
    struct nn_infer c;
    for (size_t i = 0; i < DYNO_COUNT(rows); i++) {
        nn_infer_begin(&c, &dyno_op_mat_mul);
        nn_infer_in(&c, DYNO_F32, rows[i].a);
        nn_infer_in(&c, DYNO_F32, rows[i].b);
        nn_infer_gives(&c, rows[i].y);
        nn_infer_end(&c);
    }
    nn_infer_begin(&c, &dyno_op_mat_mul);
    nn_infer_in(&c, DYNO_F32, "n, 3");
    nn_infer_in(&c, DYNO_F32, "4, m");
    nn_infer_refused(&c, "A has 3 columns but B has 4 rows");
    nn_infer_end(&c);
}

static void gemm(void)
{
    struct nn_case c;
    nn_begin(&c, &dyno_op_gemm);
    struct dyno_gemm_attrs *a = c.attrs;
    a->alpha = 2;
    a->beta = 0.5F;
    a->trans_a = 1;
    a->trans_b = 1;
    nn_in(&c, DYNO_F32, DIMS(2, 1), F32S(1, 2));
    nn_in(&c, DYNO_F32, DIMS(3, 2), F32S(1, 10, 2, 20, 3, 30));
    nn_in(&c, DYNO_F32, DIMS(3), F32S(2, 4, 6));
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(1, 3), F32S(43, 86, 129));
    c.ins[2].dims[0] = 2;
    nn_refused(&c, DYNO_E_FORMAT, "C has 2 columns");
    nn_end(&c);

    struct nn_infer s;
    nn_infer_begin(&s, &dyno_op_gemm);
    a = s.attrs;
    a->trans_b = 1;
    nn_infer_in(&s, DYNO_F32, "batch, 512");
    nn_infer_in(&s, DYNO_F32, "1000, 512");
    nn_infer_gives(&s, "batch, 1000");
    a->trans_b = 0;
    nn_infer_refused(&s, "A has 512 columns but B has 1000 rows");
    nn_infer_end(&s);
}

static void quantised(void)
{
    struct nn_case c;
    nn_begin(&c, &dyno_op_mat_mul_integer);
    uint8_t a[] = {11, 7, 3, 10, 6, 2};
    int8_t b[] = {1, 4, 2, 5, 3, 6};
    uint8_t a_zero[] = {12, 0};
    int8_t b_zero[] = {0, 1};
    nn_in(&c, DYNO_U8, DIMS(2, 3), a);
    nn_in(&c, DYNO_I8, DIMS(3, 2), b);
    nn_in(&c, DYNO_U8, DIMS(2), a_zero);
    nn_in(&c, DYNO_I8, DIMS(2), b_zero);
    nn_run_ok(&c, 1);
    /* rows (-1,-5,-9) and (10,6,2); columns (1,2,3) and (3,4,5) */
    nn_want(&c, 0, DIMS(2, 2), F32S(-38, -68, 28, 64));
    nn_end(&c);

    nn_begin(&c, &dyno_op_q_linear_mat_mul);
    int8_t x[] = {100, 100};
    int8_t w[] = {100, 100};
    int8_t zero[] = {0};
    nn_in(&c, DYNO_I8, DIMS(1, 2), x);
    nn_in(&c, DYNO_F32, 0, NULL, F32S(0.01F));
    nn_in(&c, DYNO_I8, 0, NULL, zero);
    nn_in(&c, DYNO_I8, DIMS(2, 1), w);
    nn_in(&c, DYNO_F32, 0, NULL, F32S(0.01F));
    nn_in(&c, DYNO_I8, 0, NULL, zero);
    nn_in(&c, DYNO_F32, 0, NULL, F32S(0.01F));
    nn_in(&c, DYNO_I8, 0, NULL, zero);
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(1, 1), F32S(127)); /* 200, clamped and not wrapped */
    nn_end(&c);
}

static void softmaxes(void)
{
    static const struct {
        const struct dyno_op *op;
        float want[6];
    } rows[] = {
        {&dyno_op_softmax, {0.25F, 0.5F, 0.5F, 0.75F, 0.5F, 0.5F}},
        {&dyno_op_log_softmax,
         {-1.3862944F, -0.6931472F, -0.6931472F, -0.2876821F, -0.6931472F, -0.6931472F}},
        {&dyno_op_hardmax, {0, 1, 1, 1, 0, 0}},
    };
    for (size_t i = 0; i < DYNO_COUNT(rows); i++) {
        struct nn_case c;
        nn_begin(&c, rows[i].op);
        struct dyno_softmax_attrs *a = c.attrs;
        CHECK(a->axis == -1);
        a->axis = 0;
        const float log3 = 1.0986123F;
        nn_in(&c, DYNO_F32, DIMS(2, 3), F32S(1000, 7, 2, 1000 + log3, 7, 2));
        nn_run_ok(&c, 1);
        for (int64_t e = 0; e < 6; e++) {
            const float got = ((const float *)c.outs[0].data)[e];
            /* 1000 + log 3 is not exact in f32 */
            CHECK_MSG(fabsf(got - rows[i].want[e]) < 1e-4F, "%s[%d]: %g", rows[i].op->onnx_name,
                      (int)e, (double)got);
        }
        nn_end(&c);
    }
    struct nn_infer s;
    nn_infer_begin(&s, &dyno_op_softmax);
    struct dyno_softmax_attrs *a = s.attrs;
    nn_infer_in(&s, DYNO_F32, "n, t");
    nn_infer_gives(&s, "n, t");
    a->axis = 2;
    nn_infer_refused(&s, "2");
    nn_infer_end(&s);
}

static void mha(void)
{
    /* One packed tensor [1, 2, q(2) k(2) v(1+1)]: two heads of one element each. */
    float packed[] = {1, 0, 0,          0, 5, 6, /* t = 0 */
                      1, 1, 1.0986123F, 0, 9, 8};
    struct nn_case c;
    nn_begin(&c, &dyno_op_mha);
    struct dyno_mha_attrs *a = c.attrs;
    a->heads = 2;
    a->head_dim = 1;
    a->k_offset = 2;
    a->v_offset = 4;
    for (int i = 0; i < 3; i++)
        nn_in(&c, DYNO_F32, DIMS(1, 2, 6), packed);
    nn_run_ok(&c, 1);
    /* head 0 scores (0, log 3): weights 1/4, 3/4; head 1 scores (0, 0): 1/2, 1/2 */
    nn_want(&c, 0, DIMS(1, 2, 2), F32S(8, 7, 8, 7));
    /* masked: head 0 may not see the second key; head 1's first row sees nothing */
    const float off = -INFINITY;
    nn_in(&c, DYNO_F32, DIMS(1, 2, 2, 2), F32S(0, off, 0, off, off, off, 0, 0));
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(1, 2, 2), F32S(5, NAN, 5, 7));
    a->scale = 0;
    c.in_count = 3;
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(1, 2, 2), F32S(7, 7, 7, 7));
    a->v_offset = 5;
    nn_refused(&c, DYNO_E_FORMAT, "the heads of v are elements 5..6 of 6");
    nn_end(&c);
}

static void mha_shapes(void)
{
    struct nn_infer c;
    nn_infer_begin(&c, &dyno_op_mha);
    struct dyno_mha_attrs *a = c.attrs;
    a->heads = 8;
    a->head_dim = 64;
    a->v_head_dim = 32;
    nn_infer_in(&c, DYNO_F32, "b, tq, 512");
    nn_infer_in(&c, DYNO_F32, "b, tk, 512");
    nn_infer_in(&c, DYNO_F32, "b, tk, 256");
    nn_infer_gives(&c, "b, tq, 256");
    nn_infer_in(&c, DYNO_F32, "1, 3, tq, tk");
    nn_infer_refused(&c, "mask has size 3 where the scores");
    nn_infer_end(&c);
}

int main(void)
{
    mat_mul();
    mat_mul_shapes();
    gemm();
    quantised();
    softmaxes();
    mha();
    mha_shapes();
    return TEST_RESULT();
}
