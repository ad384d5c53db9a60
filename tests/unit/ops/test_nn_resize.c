/* test_nn_resize.c - Resize: coordinates, filters, sizes. */
#include "unit/ops/nn_case.h"

#include "ops/resize.h"

static void begin(struct nn_case *c, int64_t in, float *data, float *scale)
{
    nn_begin(c, &dyno_op_resize);
    nn_in(c, DYNO_F32, DIMS(1, in), data);
    nn_absent(c);
    nn_in(c, DYNO_F32, DIMS(2), scale);
}

static void nearest(void)
{
    struct nn_case c;
    begin(&c, 2, F32S(1, 2), F32S(1, 3));
    struct dyno_resize_attrs *a = c.attrs;
    a->coord = DYNO_RESIZE_ASYMMETRIC; /* 0 1/3 2/3 1 4/3 5/3 */
    static const struct {
        enum dyno_resize_round round;
        float want[6];
    } rows[] = {
        {DYNO_RESIZE_FLOOR, {1, 1, 1, 2, 2, 2}},
        {DYNO_RESIZE_CEIL, {1, 2, 2, 2, 2, 2}},
        {DYNO_RESIZE_ROUND_PREFER_FLOOR, {1, 1, 2, 2, 2, 2}},
        {DYNO_RESIZE_ROUND_PREFER_CEIL, {1, 1, 2, 2, 2, 2}},
    };
    for (size_t i = 0; i < DYNO_COUNT(rows); i++) {
        a->round = (int32_t)rows[i].round;
        nn_run_ok(&c, 1);
        nn_want(&c, 0, DIMS(1, 6), rows[i].want);
    }
    nn_end(&c);

    begin(&c, 4, F32S(1, 2, 3, 4), F32S(1, 0.5F)); /* centres 0.5 and 2.5: a tie */
    a = c.attrs;
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(1, 2), F32S(1, 3));
    a->round = DYNO_RESIZE_ROUND_PREFER_CEIL;
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(1, 2), F32S(2, 4));
    nn_end(&c);
}

static void linear(void)
{
    static const struct {
        enum dyno_resize_coord coord;
        float want[4];
    } rows[] = {
        {DYNO_RESIZE_HALF_PIXEL, {10, 12.5F, 17.5F, 20}},
        {DYNO_RESIZE_PYTORCH_HALF_PIXEL, {10, 12.5F, 17.5F, 20}},
        {DYNO_RESIZE_HALF_PIXEL_SYMMETRIC, {10, 12.5F, 17.5F, 20}},
        {DYNO_RESIZE_ALIGN_CORNERS, {10, 13.333333F, 16.666666F, 20}},
        {DYNO_RESIZE_ASYMMETRIC, {10, 15, 20, 20}},
    };
    struct nn_case c;
    begin(&c, 2, F32S(10, 20), F32S(1, 2));
    struct dyno_resize_attrs *a = c.attrs;
    a->mode = DYNO_RESIZE_LINEAR;
    for (size_t i = 0; i < DYNO_COUNT(rows); i++) {
        a->coord = (int32_t)rows[i].coord;
        nn_run_ok(&c, 1);
        nn_want(&c, 0, DIMS(1, 4), rows[i].want);
    }
    nn_end(&c);

    begin(&c, 4, F32S(0, 8, 16, 24), F32S(1, 0.5F));
    a = c.attrs;
    a->mode = DYNO_RESIZE_LINEAR;
    a->antialias = 1; /* weights 1 3 3 1 around each centre; the edge repeats */
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(1, 2), F32S(5, 19));
    a->exclude_outside = 1;
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(1, 2), F32S(40 / 7.0F, 128 / 7.0F));
    nn_end(&c);
}

static void cubic(void)
{
    struct nn_case c;
    begin(&c, 4, F32S(1, 2, 3, 4), F32S(1, 2));
    struct dyno_resize_attrs *a = c.attrs;
    a->mode = DYNO_RESIZE_CUBIC;
    a->cubic_coeff_a = -0.5F; /* reproduces straight lines away from the edges */
    nn_run_ok(&c, 1);
    const float *y = c.outs[0].data;
    CHECK(fabsf(y[3] - 2.25F) < 1e-5F && fabsf(y[4] - 2.75F) < 1e-5F);
    nn_end(&c);
}

static void crop(void)
{
    struct nn_case c;
    nn_begin(&c, &dyno_op_resize);
    struct dyno_resize_attrs *a = c.attrs;
    a->mode = DYNO_RESIZE_LINEAR;
    a->coord = DYNO_RESIZE_TF_CROP_AND_RESIZE;
    a->extrapolation_value = -1;
    a->axes = I64LIST(-1);
    int64_t sizes[] = {3};
    nn_in(&c, DYNO_F32, DIMS(1, 3), F32S(0, 10, 20));
    nn_in(&c, DYNO_F32, DIMS(2), F32S(0.5F, 1.5F));
    nn_absent(&c);
    nn_in(&c, DYNO_I64, DIMS(1), sizes);
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(1, 3), F32S(10, 20, -1));
    nn_end(&c);
}

static void policies(void)
{
    static const struct {
        enum dyno_resize_policy policy;
        int64_t h, w;
    } rows[] = {
        {DYNO_RESIZE_STRETCH, 8, 6},
        {DYNO_RESIZE_NOT_LARGER, 3, 6},
        {DYNO_RESIZE_NOT_SMALLER, 8, 16},
    };
    for (size_t i = 0; i < DYNO_COUNT(rows); i++) {
        struct nn_case c;
        nn_begin(&c, &dyno_op_resize);
        struct dyno_resize_attrs *a = c.attrs;
        a->policy = (int32_t)rows[i].policy;
        int64_t sizes[] = {8, 6};
        nn_in_iota(&c, DIMS(2, 4));
        nn_absent(&c);
        nn_absent(&c);
        nn_in(&c, DYNO_I64, DIMS(2), sizes);
        nn_run_ok(&c, 1);
        CHECK(c.outs[0].dims[0] == rows[i].h && c.outs[0].dims[1] == rows[i].w);
        nn_end(&c);
    }
}

static void refusals(void)
{
    struct nn_case c;
    begin(&c, 2, F32S(1, 2), F32S(1, -1));
    nn_refused(&c, DYNO_E_FORMAT, "scales[1] is -1");
    nn_end(&c);
    begin(&c, 2, F32S(1, 2), F32S(1, 1));
    c.in_count = 1;
    nn_refused(&c, DYNO_E_FORMAT, "neither scales nor sizes is given");
    nn_end(&c);
    begin(&c, 2, F32S(1, 2), F32S(1, 1));
    c.ins[2].dims[0] = 1;
    nn_refused(&c, DYNO_E_FORMAT, "scales has 1 entries, wants 2");
    nn_end(&c);
}

static void shapes(void)
{
    struct nn_infer c;
    float factors[] = {1, 1, 2, 1.5F};
    struct dyno_tensor scales = {.dtype = DYNO_F32, .rank = 1, .dims = {4}, .data = factors};
    nn_infer_begin(&c, &dyno_op_resize);
    nn_infer_in(&c, DYNO_F32, "n, 3, h, w");
    nn_infer_absent(&c);
    nn_infer_constant(&c, &scales);
    nn_infer_gives(&c, "n, 3, 2*h, 3*w//2");
    factors[3] = 1.1F; /* rounds differently in f32: nobody can say */
    CHECK(nn_infer_run(&c, 1) == DYNO_OK);
    int64_t size = 0;
    CHECK(!dyno_expr_is_const(c.exprs, c.outs[0].dims[3], &size));
    nn_infer_end(&c);

    nn_infer_begin(&c, &dyno_op_resize); /* the sizes are another tensor's shape */
    nn_infer_in(&c, DYNO_F32, "n, 3, h, w");
    nn_infer_absent(&c);
    nn_infer_absent(&c);
    dyno_expr elems[4] = {c.ins[0].dims[0], c.ins[0].dims[1],
                          dyno_expr_symbol(c.exprs, "th", 1, INT64_MAX),
                          dyno_expr_symbol(c.exprs, "tw", 1, INT64_MAX)};
    struct dyno_type *sizes = nn_infer_in(&c, DYNO_I64, "4");
    sizes->elems = elems;
    sizes->elem_count = 4;
    nn_infer_gives(&c, "n, 3, th, tw");
    nn_infer_end(&c);
}

int main(void)
{
    nearest();
    linear();
    cubic();
    crop();
    policies();
    refusals();
    shapes();
    return TEST_RESULT();
}
