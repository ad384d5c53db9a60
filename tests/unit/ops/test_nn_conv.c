/* test_nn_conv.c - Conv, ConvTranspose, ConvInteger, QLinearConv: small cases by hand, symbolic
 * shapes, refusals. */
#include "unit/ops/nn_case.h"

#include "ops/conv.h"
#include "ops/conv_transpose.h"

static void conv_2d(void)
{
    struct nn_case c;
    nn_begin(&c, &dyno_op_conv);
    nn_in_iota(&c, DIMS(1, 1, 3, 3));
    nn_in(&c, DYNO_F32, DIMS(1, 1, 2, 2), F32S(1, 2, 3, 4));
    nn_in(&c, DYNO_F32, DIMS(1), F32S(0.5F));
    nn_run_ok(&c, 1);
    /* 1*1+2*2+4*3+5*4 = 37, ... */
    nn_want(&c, 0, DIMS(1, 1, 2, 2), F32S(37.5F, 47.5F, 67.5F, 77.5F));
    nn_end(&c);
}

static void conv_pads_strides_dilations(void)
{
    struct nn_case c;
    nn_begin(&c, &dyno_op_conv);
    struct dyno_conv_attrs *a = c.attrs;
    a->pads = I64LIST(2, 0);
    a->strides = I64LIST(2);
    a->dilations = I64LIST(2);
    nn_in_iota(&c, DIMS(1, 1, 5));
    nn_in(&c, DYNO_F32, DIMS(1, 1, 2), F32S(10, 1));
    nn_run_ok(&c, 1);
    /* taps at o*2-2 and o*2: (0,1) (1,3) (3,5) */
    nn_want(&c, 0, DIMS(1, 1, 3), F32S(1, 13, 35));
    nn_end(&c);
}

static void conv_groups(void)
{
    struct nn_case c;
    nn_begin(&c, &dyno_op_conv);
    struct dyno_conv_attrs *a = c.attrs;
    a->group = 2;
    nn_in(&c, DYNO_F32, DIMS(1, 4, 1), F32S(1, 2, 3, 4));
    nn_in(&c, DYNO_F32, DIMS(2, 2, 1), F32S(1, 10, 100, 1000));
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(1, 2, 1), F32S(21, 4300));
    nn_end(&c);
}

static void conv_3d_same(void)
{
    struct nn_case c;
    nn_begin(&c, &dyno_op_conv);
    struct dyno_conv_attrs *a = c.attrs;
    a->auto_pad = DYNO_AUTO_PAD_SAME_LOWER;
    nn_in(&c, DYNO_F32, DIMS(1, 1, 1, 1, 3), F32S(1, 2, 3));
    nn_in(&c, DYNO_F32, DIMS(1, 1, 1, 1, 2), F32S(1, 10));
    nn_run_ok(&c, 1);
    /* SAME_LOWER pads in front: (0,1) (1,2) (2,3) */
    nn_want(&c, 0, DIMS(1, 1, 1, 1, 3), F32S(10, 21, 32));
    a->auto_pad = DYNO_AUTO_PAD_SAME_UPPER;
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(1, 1, 1, 1, 3), F32S(21, 32, 3));
    nn_end(&c);
}

static void conv_f16_rounds_once(void)
{
    struct nn_case c;
    nn_begin(&c, &dyno_op_conv);
    /* 2048 + 1 + 1: in halves each addition alone would be lost. */
    uint16_t x[3] = {dyno_f32_to_f16(2048), dyno_f32_to_f16(1), dyno_f32_to_f16(1)};
    uint16_t w[3] = {dyno_f32_to_f16(1), dyno_f32_to_f16(1), dyno_f32_to_f16(1)};
    nn_in(&c, DYNO_F16, DIMS(1, 3, 1), x);
    nn_in(&c, DYNO_F16, DIMS(1, 3, 1), w);
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(1, 1, 1), F32S(2050));
    nn_end(&c);
}

static void conv_symbolic(void)
{
    struct nn_infer c;
    nn_infer_begin(&c, &dyno_op_conv);
    struct dyno_conv_attrs *a = c.attrs;
    a->pads = I64LIST(1, 1, 1, 1);
    a->strides = I64LIST(2, 2);
    nn_infer_in(&c, DYNO_F32, "batch, 3, h, w");
    nn_infer_in(&c, DYNO_F32, "8, 3, 3, 3");
    nn_infer_gives(&c, "batch, 8, (h - 1)//2 + 1, (w - 1)//2 + 1");
    a->pads = (struct dyno_i64s){0};
    a->auto_pad = DYNO_AUTO_PAD_SAME_UPPER;
    nn_infer_gives(&c, "batch, 8, (h + 1)//2, (w + 1)//2");
    a->auto_pad = DYNO_AUTO_PAD_VALID;
    a->strides = I64LIST(1, 1);
    a->dilations = I64LIST(2, 1);
    nn_infer_gives(&c, "batch, 8, h - 4, w - 2");
    nn_infer_end(&c);
}

static void conv_refusals(void)
{
    static const struct {
        const char *x, *w, *bias, *words;
    } rows[] = {
        {"1, 4, 8, 8", "8, 3, 3, 3", "8", "w has 3 channels a group, wants 4"},
        {"1, 3, 8, 8", "8, 3, 3, 3", "7", "bias has 7 entries, wants 8"},
        {"1, 3, 8, 8", "8, 3, 3", "8", "x has rank 4 but w has rank 3"},
        {"1, 3", "8, 3", "8", "x has rank 2, wants at least 3"},
        {"1, 3, 8, 8", "8, 3, 9, 3", "8",
         "the window is larger than the padded input on spatial axis 0"},
    };
    for (size_t i = 0; i < DYNO_COUNT(rows); i++) {
        struct nn_infer c;
        nn_infer_begin(&c, &dyno_op_conv);
        nn_infer_in(&c, DYNO_F32, rows[i].x);
        nn_infer_in(&c, DYNO_F32, rows[i].w);
        nn_infer_in(&c, DYNO_F32, rows[i].bias);
        nn_infer_refused(&c, rows[i].words);
        nn_infer_end(&c);
    }
}

/* A size that was open while compiling is refused when it is bound. */
static void conv_window_too_large(void)
{
    const struct dyno_conv_attrs a = {.group = 1};
    const int64_t x[] = {1, 3, 8, 8};
    const int64_t w[] = {8, 3, 9, 3};
    struct dyno_window window;
    struct dyno_err err = {0};
    CHECK(dyno_conv_window(&a, 4, x, w, &window, &err) == DYNO_E_FORMAT);
    CHECK(strstr(err.text, "spans 9 elements on spatial axis 0") != NULL);
}

static void conv_bad_attributes(void)
{
    struct nn_infer c;
    nn_infer_begin(&c, &dyno_op_conv);
    struct dyno_conv_attrs *a = c.attrs;
    nn_infer_in(&c, DYNO_F32, "1, 3, 8, 8");
    nn_infer_in(&c, DYNO_F32, "8, 3, 3, 3");
    a->pads = I64LIST(1, 1, 1);
    nn_infer_refused(&c, "pads has 3 entries, wants 4");
    c.err = (struct dyno_err){0};
    a->pads = I64LIST(1, 1, 1, -1);
    nn_infer_refused(&c, "pads[3] is -1");
    c.err = (struct dyno_err){0};
    a->pads = (struct dyno_i64s){0};
    a->strides = I64LIST(0, 1);
    nn_infer_refused(&c, "strides[0] is 0");
    c.err = (struct dyno_err){0};
    a->strides = (struct dyno_i64s){0};
    a->kernel_shape = I64LIST(3, 5);
    nn_infer_refused(&c, "kernel_shape[1] is 5 but the weight has 3");
    c.err = (struct dyno_err){0};
    a->group = 2;
    nn_infer_refused(&c, "group 2 does not divide x's 3 channels");
    nn_infer_end(&c);
}

static void transpose(void)
{
    struct nn_case c;
    nn_begin(&c, &dyno_op_conv_transpose);
    struct dyno_conv_transpose_attrs *a = c.attrs;
    a->strides = I64LIST(2);
    nn_in(&c, DYNO_F32, DIMS(1, 1, 3), F32S(1, 2, 3));
    nn_in(&c, DYNO_F32, DIMS(1, 1, 3), F32S(1, 10, 100));
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(1, 1, 7), F32S(1, 10, 102, 20, 203, 30, 300));
    a->pads = I64LIST(1, 0);
    a->output_padding = I64LIST(1);
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(1, 1, 7), F32S(10, 102, 20, 203, 30, 300, 0));
    a->pads = (struct dyno_i64s){0};
    a->output_padding = (struct dyno_i64s){0};
    a->output_shape = I64LIST(6);
    nn_run_ok(&c, 1);
    /* one element too many; without SAME_UPPER the larger half goes in front */
    nn_want(&c, 0, DIMS(1, 1, 6), F32S(10, 102, 20, 203, 30, 300));
    a->auto_pad = DYNO_AUTO_PAD_SAME_UPPER;
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(1, 1, 6), F32S(1, 10, 102, 20, 203, 30));
    nn_end(&c);
}

static void transpose_groups_symbolic(void)
{
    struct nn_case c;
    nn_begin(&c, &dyno_op_conv_transpose);
    struct dyno_conv_transpose_attrs *a = c.attrs;
    a->group = 2;
    nn_in(&c, DYNO_F32, DIMS(1, 2, 1), F32S(2, 3));
    nn_in(&c, DYNO_F32, DIMS(2, 2, 1), F32S(1, 10, 100, 1000));
    nn_in(&c, DYNO_F32, DIMS(4), F32S(0, 0, 0, 1));
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(1, 4, 1), F32S(2, 20, 300, 3001));
    nn_end(&c);

    struct nn_infer s;
    nn_infer_begin(&s, &dyno_op_conv_transpose);
    a = s.attrs;
    a->strides = I64LIST(2, 2);
    nn_infer_in(&s, DYNO_F32, "n, 16, h, w");
    nn_infer_in(&s, DYNO_F32, "16, 8, 2, 2");
    nn_infer_gives(&s, "n, 8, 2*h, 2*w");
    a->output_padding = I64LIST(1);
    nn_infer_refused(&s, "output_padding has 1 entries, wants 2");
    nn_infer_end(&s);
}

static void integers(void)
{
    struct nn_case c;
    nn_begin(&c, &dyno_op_conv_integer);
    uint8_t x[] = {2, 3, 4, 5};
    uint8_t w[] = {1, 1};
    uint8_t zero[] = {1};
    nn_in(&c, DYNO_U8, DIMS(1, 1, 4), x);
    nn_in(&c, DYNO_U8, DIMS(1, 1, 2), w);
    nn_in(&c, DYNO_U8, 0, NULL, zero);
    nn_run_ok(&c, 1);
    CHECK(c.outs[0].dtype == DYNO_I32);
    nn_want(&c, 0, DIMS(1, 1, 3), F32S(3, 5, 7));
    nn_end(&c);

    nn_begin(&c, &dyno_op_q_linear_conv);
    int8_t xs[] = {10, -10, 100};
    int8_t ws[] = {1, -2};
    int8_t none[] = {0};
    int8_t y_zero[] = {1};
    int32_t bias[] = {4, 0};
    nn_in(&c, DYNO_I8, DIMS(1, 1, 3), xs);
    nn_in(&c, DYNO_F32, 0, NULL, F32S(0.5F));
    nn_in(&c, DYNO_I8, 0, NULL, none);
    nn_in(&c, DYNO_I8, DIMS(2, 1, 1), ws);
    nn_in(&c, DYNO_F32, DIMS(2), F32S(1, 2));
    nn_in(&c, DYNO_I8, 0, NULL, none);
    nn_in(&c, DYNO_F32, 0, NULL, F32S(1));
    nn_in(&c, DYNO_I8, 0, NULL, y_zero);
    nn_in(&c, DYNO_I32, DIMS(2), bias);
    nn_run_ok(&c, 1);
    /* row 0: (x+4)/2 + 1; row 1: -2x + 1, clamped */
    nn_want(&c, 0, DIMS(1, 2, 3), F32S(8, -2, 53, -19, 21, -128));
    nn_end(&c);
}

int main(void)
{
    conv_2d();
    conv_pads_strides_dilations();
    conv_groups();
    conv_3d_same();
    conv_f16_rounds_once();
    conv_symbolic();
    conv_refusals();
    conv_window_too_large();
    conv_bad_attributes();
    transpose();
    transpose_groups_symbolic();
    integers();
    return TEST_RESULT();
}
