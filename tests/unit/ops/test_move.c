/* test_move.c - references of operators that make, move, pick or place elements. */
#include "op_case.h"
#include "ops/move.h"

#define SIX T(F32, "2 3", 1, 2, 3, 4, 5, 6)

static void *axis_attrs(enum dyno_op_id op, int64_t axis)
{
    struct dyno_axis_attrs *const attrs = case_attrs(op);
    attrs->axis = axis;
    return attrs;
}

static void test_shapes(void)
{
    CASE_RUN("i64 2 : 2 3", DYNO_OP_shape, NULL, 1, SIX);
    struct dyno_shape_attrs *const part = case_attrs(DYNO_OP_shape);
    part->start = -1;
    CASE_RUN("i64 1 : 3", DYNO_OP_shape, part, 1, SIX);
    CASE_RUN("i64 : 6", DYNO_OP_size, NULL, 1, SIX);
    CASE_RUN("f32 3 2 : 1 2 3 4 5 6", DYNO_OP_reshape, NULL, 2, SIX, T(I64, "2", 3, -1));
    CASE_RUN("f32 3 2 : 1 4 2 5 3 6", DYNO_OP_transpose, NULL, 1, SIX);
    CASE_RUN("f32 2 1 3 : 1 2 3 4 5 6", DYNO_OP_unsqueeze, NULL, 2, SIX, T(I64, "1", 1));
    CASE_RUN("f32 2 : 7 8", DYNO_OP_squeeze, NULL, 1, T(F32, "1 2 1", 7, 8));
    CASE_RUN("f32 2 2 : 7 7 8 8", DYNO_OP_expand, NULL, 2, T(F32, "2 1", 7, 8), T(I64, "1", 2));
    CASE_RUN("f32 1 4 : 7 8 7 8", DYNO_OP_tile, NULL, 2, T(F32, "1 2", 7, 8), T(I64, "2", 1, 2));
    CASE_RUN("f32 2 4 : 1 2 3 0 4 5 6 9", DYNO_OP_concat, axis_attrs(DYNO_OP_concat, -1), 2, SIX,
             T(F32, "2 1", 0, 9));
    CASE_RUN("f32 2 : 0 0", DYNO_OP_constant_of_shape, NULL, 1, T(I64, "1", 2));
    CASE_RUN("f32 3 : 1 1.5 2", DYNO_OP_range, NULL, 3, T(F32, "", 1), T(F32, "", 2.5),
             T(F32, "", 0.5));
    CASE_RUN("i32 3 : 5 3 1", DYNO_OP_range, NULL, 3, T(I32, "", 5), T(I32, "", 0), T(I32, "", -2));
    CHECK(case_run(DYNO_OP_range, NULL, 1, 3, T(F32, "", 1), T(F32, "", 2), T(F32, "", 0)) ==
          DYNO_E_FORMAT);
}

static void test_slices(void)
{
    CASE_RUN("f32 2 2 : 3 1 6 4", DYNO_OP_slice, NULL, 5, SIX, T(I64, "1", -1), T(I64, "1", -9),
             T(I64, "1", 1), T(I64, "1", -2));
    CASE_RUN("f32 0 3 :", DYNO_OP_slice, NULL, 3, SIX, T(I64, "1", 2), T(I64, "1", 1));
    struct dyno_split_attrs *const split = case_attrs(DYNO_OP_split);
    split->axis = 1;
    CHECK(case_run(DYNO_OP_split, split, 2, 1, SIX) == DYNO_OK);
    CHECK_STR(case_text(&case_results[0]), "f32 2 2 : 1 2 4 5");
    CHECK_STR(case_text(&case_results[1]), "f32 2 1 : 3 6");
    struct dyno_pad_attrs *const pad = case_attrs(DYNO_OP_pad);
    CASE_RUN("f32 5 : 9 9 1 2 9", DYNO_OP_pad, pad, 3, T(F32, "2", 1, 2), T(I64, "2", 2, 1),
             T(F32, "", 9));
    pad->mode = DYNO_PAD_REFLECT;
    CASE_RUN("f32 7 : 3 2 1 2 3 2 1", DYNO_OP_pad, pad, 2, T(F32, "3", 1, 2, 3), T(I64, "2", 2, 2));
    pad->mode = DYNO_PAD_EDGE;
    CASE_RUN("f32 2 4 : 1 1 2 3 4 4 5 6", DYNO_OP_pad, pad, 4, T(F32, "2 3", 1, 2, 3, 4, 5, 6),
             T(I64, "2", 1, 0), (struct dyno_tensor *)NULL, T(I64, "1", -1));
}

static void test_more_pads(void)
{
    struct dyno_pad_attrs *const pad = case_attrs(DYNO_OP_pad);
    pad->mode = DYNO_PAD_WRAP;
    CASE_RUN("f32 5 : 3 1 2 3 1", DYNO_OP_pad, pad, 2, T(F32, "3", 1, 2, 3), T(I64, "2", 1, 1));
    pad->mode = DYNO_PAD_CONSTANT;
    CASE_RUN("f32 3 : 2 3 0", DYNO_OP_pad, pad, 2, T(F32, "3", 1, 2, 3), T(I64, "2", -1, 1));
}

static void test_gathers(void)
{
    CASE_RUN("f32 2 2 : 3 1 6 4", DYNO_OP_gather, axis_attrs(DYNO_OP_gather, 1), 2, SIX,
             T(I64, "2", -1, 0));
    CHECK(case_run(DYNO_OP_gather, NULL, 1, 2, SIX, T(I64, "1", 2)) == DYNO_E_ARG);
    CHECK(strstr(case_err.text, "index 2 is outside [-2, 2)") != NULL);
    CASE_RUN("f32 2 2 : 1 1 6 5", DYNO_OP_gather_elements, axis_attrs(DYNO_OP_gather_elements, 1),
             2, SIX, T(I64, "2 2", 0, 0, -1, 1));
    CASE_RUN("f32 2 : 2 6", DYNO_OP_gather_nd, NULL, 2, SIX, T(I64, "2 2", 0, 1, 1, 2));
    struct dyno_gather_nd_attrs *const nd = case_attrs(DYNO_OP_gather_nd);
    nd->batch_dims = 1;
    CASE_RUN("f32 2 : 2 6", DYNO_OP_gather_nd, nd, 2, SIX, T(I64, "2 1", 1, 2));
}

static void test_scatters(void)
{
    struct dyno_scatter_elements_attrs *const elements = case_attrs(DYNO_OP_scatter_elements);
    elements->axis = 1;
    CASE_RUN("f32 2 3 : 1 9 3 4 5 8", DYNO_OP_scatter_elements, elements, 3, SIX,
             T(I64, "2 1", 1, -1), T(F32, "2 1", 9, 8));
    elements->reduction = DYNO_SCATTER_ADD;
    CASE_RUN("f32 2 3 : 1 15 3 4 5 6", DYNO_OP_scatter_elements, elements, 3, SIX,
             T(I64, "1 2", 1, 1), T(F32, "1 2", 9, 4));
    struct dyno_scatter_nd_attrs *const nd = case_attrs(DYNO_OP_scatter_nd);
    CASE_RUN("f32 2 3 : 1 2 3 7 8 9", DYNO_OP_scatter_nd, nd, 3, SIX, T(I64, "1 1", 1),
             T(F32, "1 3", 7, 8, 9));
    nd->reduction = DYNO_SCATTER_MIN;
    CASE_RUN("f32 2 3 : 1 2 3 4 0 6", DYNO_OP_scatter_nd, nd, 3, SIX, T(I64, "2 2", 1, 1, 0, 0),
             T(F32, "2", 0, 9));
    CHECK(case_run(DYNO_OP_scatter_nd, nd, 1, 3, SIX, T(I64, "1 2", 2, 0), T(F32, "1", 0)) ==
          DYNO_E_ARG);
}

static void test_others(void)
{
    CHECK(case_run(DYNO_OP_dropout, NULL, 2, 1, T(F32, "2", 1, 2)) == DYNO_OK);
    CHECK_STR(case_text(&case_results[0]), "f32 2 : 1 2");
    CHECK_STR(case_text(&case_results[1]), "bool 2 : 1 1");
    CHECK(case_run(DYNO_OP_dropout, NULL, 1, 3, T(F32, "2", 1, 2), T(F32, "", 0.5),
                   T(BOOL, "", 1)) == DYNO_E_UNSUPPORTED);
    CHECK(case_run(DYNO_OP_dropout, NULL, 1, 3, T(F32, "2", 1, 2), (struct dyno_tensor *)NULL,
                   T(BOOL, "", 1)) == DYNO_E_UNSUPPORTED);
    CASE_RUN("f32 2 : 1 2", DYNO_OP_dropout, NULL, 3, T(F32, "2", 1, 2), T(F32, "", 0),
             T(BOOL, "", 1));
    CASE_RUN("i4 3 : 3 2 1", DYNO_OP_slice, NULL, 5, T(I4, "3", 1, 2, 3), T(I64, "1", -1),
             T(I64, "1", -9), T(I64, "1", 0), T(I64, "1", -1));
    CHECK(case_run(DYNO_OP_add, NULL, 1, 1, SIX) == DYNO_E_FORMAT);
    CHECK(case_run(DYNO_OP_add, NULL, 1, 2, SIX, (struct dyno_tensor *)NULL) == DYNO_E_FORMAT);
}

int main(void)
{
    case_open();
    test_shapes();
    test_slices();
    test_more_pads();
    test_gathers();
    test_scatters();
    test_others();
    case_close();
    return TEST_RESULT();
}
