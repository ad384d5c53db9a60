/* test_nn_pool.c - the poolings: small cases by hand, symbolic shapes. */
#include "unit/ops/nn_case.h"

#include "ops/pool.h"

static void max_pool(void)
{
    struct nn_case c;
    nn_begin(&c, &dyno_op_max_pool);
    struct dyno_pooling_attrs *a = c.attrs;
    a->kernel_shape = I64LIST(2, 2);
    a->strides = I64LIST(2, 2);
    a->ceil_mode = 1;
    nn_in(&c, DYNO_F32, DIMS(1, 1, 3, 3), F32S(1, 5, 2, 4, 3, 6, 9, 8, 7));
    nn_run_ok(&c, 2);
    nn_want(&c, 0, DIMS(1, 1, 2, 2), F32S(5, 6, 9, 7));
    nn_want(&c, 1, DIMS(1, 1, 2, 2), F32S(1, 5, 6, 8));
    a->storage_order = 1;
    nn_run_ok(&c, 2);
    nn_want(&c, 1, DIMS(1, 1, 2, 2), F32S(3, 7, 2, 8));
    a->ceil_mode = 0;
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(1, 1, 1, 1), F32S(5));
    nn_end(&c);
}

static void max_pool_negative_with_pads(void)
{
    struct nn_case c;
    nn_begin(&c, &dyno_op_max_pool);
    struct dyno_pooling_attrs *a = c.attrs;
    a->kernel_shape = I64LIST(3);
    a->pads = I64LIST(1, 1);
    nn_in(&c, DYNO_F32, DIMS(1, 1, 3), F32S(-5, -4, -6));
    nn_run_ok(&c, 1);
    /* padding is never the maximum */
    nn_want(&c, 0, DIMS(1, 1, 3), F32S(-4, -4, -4));
    nn_end(&c);
}

static void average_pool(void)
{
    struct nn_case c;
    nn_begin(&c, &dyno_op_average_pool);
    struct dyno_pooling_attrs *a = c.attrs;
    a->kernel_shape = I64LIST(2);
    a->pads = I64LIST(1, 0);
    a->strides = I64LIST(2);
    a->ceil_mode = 1;
    nn_in(&c, DYNO_F32, DIMS(1, 1, 4), F32S(2, 4, 6, 8));
    nn_run_ok(&c, 1);
    /* windows (pad,2) (4,6) (8,beyond) */
    nn_want(&c, 0, DIMS(1, 1, 3), F32S(2, 5, 8));
    a->count_include_pad = 1;
    nn_run_ok(&c, 1);
    /* padding counts, what ceil_mode adds does not */
    nn_want(&c, 0, DIMS(1, 1, 3), F32S(1, 5, 8));
    nn_end(&c);
}

static void lp_and_global(void)
{
    struct nn_case c;
    nn_begin(&c, &dyno_op_lp_pool);
    struct dyno_pooling_attrs *a = c.attrs;
    a->kernel_shape = I64LIST(2);
    nn_in(&c, DYNO_F32, DIMS(1, 1, 3), F32S(3, -4, 0));
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(1, 1, 2), F32S(5, 4));
    nn_end(&c);

    static const struct {
        const struct dyno_op *op;
        float want[2];
    } rows[] = {
        {&dyno_op_global_average_pool, {2.5F, -2.5F}},
        {&dyno_op_global_max_pool, {4, -1}},
        {&dyno_op_global_lp_pool, {5.477226F, 5.477226F}},
    };
    for (size_t i = 0; i < DYNO_COUNT(rows); i++) {
        nn_begin(&c, rows[i].op);
        nn_in(&c, DYNO_F32, DIMS(1, 2, 2, 2), F32S(1, 2, 3, 4, -1, -2, -3, -4));
        nn_run_ok(&c, 1);
        nn_want(&c, 0, DIMS(1, 2, 1, 1), rows[i].want);
        nn_end(&c);
    }
}

static void shapes(void)
{
    struct nn_infer c;
    nn_infer_begin(&c, &dyno_op_max_pool);
    struct dyno_pooling_attrs *a = c.attrs;
    a->kernel_shape = I64LIST(3, 3);
    a->strides = I64LIST(2, 2);
    a->pads = I64LIST(1, 1, 1, 1);
    nn_infer_in(&c, DYNO_F32, "n, 64, h, w");
    nn_infer_gives(&c, "n, 64, (h - 1)//2 + 1, (w - 1)//2 + 1");
    CHECK(nn_infer_run(&c, 2) == DYNO_OK);
    nn_infer_want(&c, 1, DYNO_I64, "n, 64, (h - 1)//2 + 1, (w - 1)//2 + 1");
    a->pads = (struct dyno_i64s){0};
    a->ceil_mode = 1;
    nn_infer_gives(&c, "n, 64, (h - 2)//2 + 1, (w - 2)//2 + 1");
    a->kernel_shape = I64LIST(3);
    nn_infer_refused(&c, "kernel_shape has 1 entries, wants 2");
    nn_infer_end(&c);

    nn_infer_begin(&c, &dyno_op_global_average_pool);
    nn_infer_in(&c, DYNO_F32, "n, c, h, w");
    nn_infer_gives(&c, "n, c, 1, 1");
    nn_infer_end(&c);
}

/* What the expression says and what the concrete window says agree, everywhere nearby. */
static void sizes_agree(void)
{
    for (int64_t in = 1; in < 12; in++)
        for (int64_t kernel = 1; kernel < 4; kernel++)
            for (int64_t stride = 1; stride < 4; stride++)
                for (int64_t pad = 0; pad < kernel; pad++)
                    for (int ceil_mode = 0; ceil_mode < 2; ceil_mode++) {
                        const struct dyno_window_attrs attrs = {
                            .ceil_mode = ceil_mode != 0,
                            .kernel_shape = {&kernel, 1},
                            .strides = {&stride, 1},
                            .pads = I64LIST(pad, 0),
                        };
                        struct dyno_window window;
                        if (dyno_window_resolve(&attrs, 1, &in, NULL, &window, NULL) != DYNO_OK)
                            continue;
                        struct dyno_exprs *exprs = dyno_exprs_create();
                        REQUIRE(exprs != NULL);
                        int64_t out = -1;
                        const dyno_expr e = dyno_window_out_expr(exprs, &attrs, &window, 0,
                                                                 dyno_expr_const(exprs, in));
                        CHECK(dyno_expr_is_const(exprs, e, &out));
                        CHECK_MSG(out == window.out[0], "in %lld kernel %lld stride %lld pad %lld",
                                  (long long)in, (long long)kernel, (long long)stride,
                                  (long long)pad);
                        CHECK((out - 1) * stride < in + pad);
                        dyno_exprs_destroy(exprs);
                    }
}

int main(void)
{
    max_pool();
    max_pool_negative_with_pads();
    average_pool();
    lp_and_global();
    shapes();
    sizes_agree();
    return TEST_RESULT();
}
