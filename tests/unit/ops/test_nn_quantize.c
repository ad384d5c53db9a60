/* test_nn_quantize.c - QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear. */
#include "unit/ops/nn_case.h"

#include "ops/quantize.h"

static void quantize(void)
{
    struct nn_case c;
    uint8_t zero[] = {128};
    nn_begin(&c, &dyno_op_quantize_linear);
    nn_in(&c, DYNO_F32, DIMS(6), F32S(1, 3, 5, -1000, 1000, 0));
    nn_in(&c, DYNO_F32, 0, NULL, F32S(2));
    nn_in(&c, DYNO_U8, 0, NULL, zero);
    nn_run_ok(&c, 1);
    CHECK(c.outs[0].dtype == DYNO_U8);
    /* halves go to even: 0.5 -> 0, 1.5 -> 2, 2.5 -> 2 */
    nn_want(&c, 0, DIMS(6), F32S(128, 130, 130, 0, 255, 128));
    c.in_count = 2;
    struct dyno_quantize_attrs *a = c.attrs;
    a->output_dtype = DYNO_I4;
    nn_run_ok(&c, 1);
    CHECK(c.outs[0].dtype == DYNO_I4);
    nn_want(&c, 0, DIMS(6), F32S(0, 2, 2, -8, 7, 0));
    a->output_dtype = DYNO_F32;
    nn_refused(&c, DYNO_E_FORMAT, "not a quantised one");
    nn_end(&c);
}

static void quantize_f8(void)
{
    struct nn_case c;
    nn_begin(&c, &dyno_op_quantize_linear);
    struct dyno_quantize_attrs *a = c.attrs;
    a->output_dtype = DYNO_F8E4M3FN;
    nn_in(&c, DYNO_F32, DIMS(3), F32S(464, 465, -1000));
    nn_in(&c, DYNO_F32, 0, NULL, F32S(1));
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(3), F32S(448, 448, -448));
    a->saturate = 0; /* 464 still rounds to 448 */
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(3), F32S(448, NAN, NAN));
    a->output_dtype = DYNO_F8E5M2;
    c.ins[0].data = F32S(61439, 61440, -1e9F);
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(3), F32S(57344, INFINITY, -INFINITY));
    nn_end(&c);
}

static void axes_and_blocks(void)
{
    struct nn_case c;
    int8_t x[] = {1, 2, 3, 4, 5, 6};
    int8_t zero[] = {0, 1, 2};
    nn_begin(&c, &dyno_op_dequantize_linear);
    struct dyno_quantize_attrs *a = c.attrs;
    CHECK(a->axis == 1);
    nn_in(&c, DYNO_I8, DIMS(2, 3), x);
    nn_in(&c, DYNO_F32, DIMS(3), F32S(1, 10, 100));
    nn_in(&c, DYNO_I8, DIMS(3), zero);
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(2, 3), F32S(1, 10, 100, 4, 40, 400));
    a->axis = 0;
    nn_refused(&c, DYNO_E_FORMAT, "the scale has 3 entries, x has size 2 on axis 0");
    nn_end(&c);

    nn_begin(&c, &dyno_op_dequantize_linear);
    a = c.attrs;
    a->axis = -1;
    a->block_size = 2; /* the last block is short */
    nn_in(&c, DYNO_I8, DIMS(2, 3), x);
    nn_in(&c, DYNO_F32, DIMS(2, 2), F32S(1, 10, 100, 1000));
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(2, 3), F32S(1, 2, 30, 400, 500, 6000));
    a->block_size = 3;
    nn_refused(&c, DYNO_E_FORMAT, "does not fit blocks of 3");
    nn_end(&c);

    nn_begin(&c, &dyno_op_dequantize_linear); /* blocks on the outer axis */
    a = c.attrs;
    a->axis = 0;
    a->block_size = 2;
    nn_in(&c, DYNO_I8, DIMS(2, 3), x);
    nn_in(&c, DYNO_F32, DIMS(1, 3), F32S(1, 10, 100));
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(2, 3), F32S(1, 20, 300, 4, 50, 600));
    nn_end(&c);
}

static void dynamic(void)
{
    struct nn_case c;
    nn_begin(&c, &dyno_op_dynamic_quantize_linear);
    nn_in(&c, DYNO_F32, DIMS(4), F32S(-1, 0, 1, 4.1F)); /* scale 0.02, zero point 50 */
    nn_run_ok(&c, 3);
    nn_want(&c, 0, DIMS(4), F32S(0, 50, 100, 255));
    nn_want(&c, 1, 0, NULL, F32S(0.02F));
    nn_want(&c, 2, 0, NULL, F32S(50));
    c.ins[0].data = F32S(0, 0, 0, 0);
    nn_run_ok(&c, 3);
    nn_want(&c, 0, DIMS(4), F32S(0, 0, 0, 0));
    nn_end(&c);
}

static void shapes(void)
{
    struct nn_infer c;
    nn_infer_begin(&c, &dyno_op_quantize_linear);
    nn_infer_in(&c, DYNO_F32, "n, 64, h, w");
    nn_infer_in(&c, DYNO_F32, "64");
    nn_infer_in(&c, DYNO_I8, "64");
    CHECK(nn_infer_run(&c, 1) == DYNO_OK);
    nn_infer_want(&c, 0, DYNO_I8, "n, 64, h, w");
    nn_infer_end(&c);
}

int main(void)
{
    quantize();
    quantize_f8();
    axes_and_blocks();
    dynamic();
    shapes();
    return TEST_RESULT();
}
