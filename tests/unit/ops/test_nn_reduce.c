/* test_nn_reduce.c - Reduce*, ArgMax, ArgMin: values, axes, shapes, folded contents. */
#include "unit/ops/nn_case.h"

#include "ops/reduce.h"

static void every_rule(void)
{
    static const struct {
        const struct dyno_op *op;
        float want[2];
    } rows[] = {
        {&dyno_op_reduce_sum, {2, 5}},
        {&dyno_op_reduce_mean, {1, 2.5F}},
        {&dyno_op_reduce_max, {3, 4}},
        {&dyno_op_reduce_min, {-1, 1}},
        {&dyno_op_reduce_prod, {-3, 4}},
        {&dyno_op_reduce_l1, {4, 5}},
        {&dyno_op_reduce_l2, {3.1622777F, 4.1231056F}},
        {&dyno_op_reduce_log_sum, {0.6931472F, 1.6094379F}},
        {&dyno_op_reduce_log_sum_exp, {3.01815F, 4.0485873F}},
        {&dyno_op_reduce_sum_square, {10, 17}},
    };
    for (size_t i = 0; i < DYNO_COUNT(rows); i++) {
        struct nn_case c;
        int64_t axes[] = {-1};
        nn_begin(&c, rows[i].op);
        struct dyno_reduce_attrs *a = c.attrs;
        CHECK(a->keepdims == 1 && a->noop_with_empty_axes == 0);
        nn_in(&c, DYNO_F32, DIMS(2, 2), F32S(-1, 3, 4, 1));
        nn_in(&c, DYNO_I64, DIMS(1), axes);
        nn_run_ok(&c, 1);
        nn_want(&c, 0, DIMS(2, 1), rows[i].want);
        a->keepdims = 0;
        nn_run_ok(&c, 1);
        nn_want(&c, 0, DIMS(2), rows[i].want);
        c.in_count = 1;
        a->noop_with_empty_axes = 1;
        nn_run_ok(&c, 1);
        nn_want(&c, 0, DIMS(2, 2), F32S(-1, 3, 4, 1));
        axes[0] = 2;
        c.in_count = 2;
        nn_refused(&c, DYNO_E_FORMAT, "axes[0] is 2, must be -2..1");
        nn_end(&c);
    }
}

static void special_values(void)
{
    struct nn_case c;
    nn_begin(&c, &dyno_op_reduce_log_sum_exp);
    nn_in(&c, DYNO_F32, DIMS(2), F32S(1000, 1000)); /* exp alone would overflow */
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(1), F32S(1000.6931F));
    nn_end(&c);

    nn_begin(&c, &dyno_op_reduce_max);
    nn_in(&c, DYNO_F32, DIMS(3), F32S(1, NAN, 2));
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(1), F32S(NAN));
    nn_end(&c);

    nn_begin(&c, &dyno_op_reduce_max);
    uint64_t large[] = {1, UINT64_MAX, 3};
    nn_in(&c, DYNO_U64, DIMS(3), large);
    nn_run_ok(&c, 1);
    CHECK(*(const uint64_t *)c.outs[0].data == UINT64_MAX);
    nn_end(&c);

    nn_begin(&c, &dyno_op_reduce_min); /* of nothing: the type's far end */
    int8_t none[1];
    nn_in(&c, DYNO_I8, DIMS(0), none);
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(1), F32S(127));
    nn_end(&c);

    nn_begin(&c, &dyno_op_reduce_sum);
    int64_t exact[] = {INT64_C(1) << 60, 1, -(INT64_C(1) << 60)};
    nn_in(&c, DYNO_I64, DIMS(3), exact);
    nn_run_ok(&c, 1);
    CHECK(*(const int64_t *)c.outs[0].data == 1);
    nn_end(&c);
}

static void shapes(void)
{
    struct nn_infer c;
    int64_t list[] = {1, -1};
    struct dyno_tensor axes = {.dtype = DYNO_I64, .rank = 1, .dims = {2}, .data = list};
    nn_infer_begin(&c, &dyno_op_reduce_mean);
    struct dyno_reduce_attrs *a = c.attrs;
    nn_infer_in(&c, DYNO_F32, "n, c, h, w");
    nn_infer_constant(&c, &axes);
    nn_infer_gives(&c, "n, 1, h, 1");
    a->keepdims = 0;
    nn_infer_gives(&c, "n, h");
    c.in_count = 1;
    nn_infer_gives(&c, "");
    nn_infer_in(&c, DYNO_I64, "2"); /* axes that nobody knows yet */
    CHECK(nn_infer_run(&c, 1) == DYNO_OK && c.outs[0].rank == 2);
    nn_infer_end(&c);
}

/* Contents of small integer tensors are folded: the size of [batch, 3, time]. */
static void contents(void)
{
    static const struct {
        const struct dyno_op *op;
        const char *want;
    } rows[] = {
        {&dyno_op_reduce_prod, "3*batch*time"},
        {&dyno_op_reduce_sum, "batch + time + 3"},
        {&dyno_op_reduce_max, "max(max(batch, 3), time)"},
        {&dyno_op_reduce_min, "min(min(batch, 3), time)"},
    };
    for (size_t i = 0; i < DYNO_COUNT(rows); i++) {
        struct nn_infer c;
        nn_infer_begin(&c, rows[i].op);
        struct dyno_reduce_attrs *a = c.attrs;
        a->keepdims = 0;
        dyno_expr elems[3] = {dyno_expr_symbol(c.exprs, "batch", 1, INT64_MAX),
                              dyno_expr_const(c.exprs, 3),
                              dyno_expr_symbol(c.exprs, "time", 1, INT64_MAX)};
        struct dyno_type *data = nn_infer_in(&c, DYNO_I64, "3");
        data->elems = elems;
        data->elem_count = 3;
        dyno_expr want = DYNO_EXPR_NONE;
        REQUIRE(dyno_expr_parse(c.exprs, rows[i].want, strlen(rows[i].want), &want, &c.err) ==
                DYNO_OK);
        CHECK(nn_infer_run(&c, 1) == DYNO_OK && c.outs[0].rank == 0);
        CHECK(c.outs[0].elems != NULL && c.outs[0].elem_count == 1);
        CHECK_MSG(c.outs[0].elems != NULL && c.outs[0].elems[0] == want, "%s",
                  rows[i].op->onnx_name);
        nn_infer_end(&c);
    }
}

static void args(void)
{
    struct nn_case c;
    nn_begin(&c, &dyno_op_arg_max);
    struct dyno_arg_reduce_attrs *a = c.attrs;
    nn_in(&c, DYNO_F32, DIMS(3, 2), F32S(1, 9, 5, 2, 5, 9));
    nn_run_ok(&c, 1);
    CHECK(c.outs[0].dtype == DYNO_I64);
    nn_want(&c, 0, DIMS(1, 2), F32S(1, 0));
    a->select_last_index = 1;
    a->keepdims = 0;
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(2), F32S(2, 2));
    nn_end(&c);

    nn_begin(&c, &dyno_op_arg_min);
    a = c.attrs;
    a->axis = -1;
    nn_in(&c, DYNO_F32, DIMS(2, 3), F32S(3, 1, 1, 2, 2, 4));
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(2, 1), F32S(1, 0));
    nn_end(&c);
}

int main(void)
{
    every_rule();
    special_values();
    shapes();
    contents();
    args();
    return TEST_RESULT();
}
