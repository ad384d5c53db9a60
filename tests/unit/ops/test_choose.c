/* test_choose.c - references of operators that rearrange, count and choose; and every operator's
 * path out of memory. */
#include <math.h>

#include "base/mem.h"
#include "op_case.h"
#include "ops/move.h"

static void test_blocks(void)
{
    struct dyno_depth_attrs *const depth = case_attrs(DYNO_OP_depth_to_space);
    depth->blocksize = 2;
    const struct dyno_tensor *const x = T(F32, "1 8 1 1", 0, 1, 2, 3, 4, 5, 6, 7);
    CASE_RUN("f32 1 2 2 2 : 0 2 4 6 1 3 5 7", DYNO_OP_depth_to_space, depth, 1, x);
    depth->mode = DYNO_DEPTH_CRD;
    CASE_RUN("f32 1 2 2 2 : 0 1 2 3 4 5 6 7", DYNO_OP_depth_to_space, depth, 1, x);
    struct dyno_depth_attrs *const space = case_attrs(DYNO_OP_space_to_depth);
    space->blocksize = 2;
    CASE_RUN("f32 1 4 1 1 : 1 2 3 4", DYNO_OP_space_to_depth, space, 1,
             T(F32, "1 1 2 2", 1, 2, 3, 4));
    CHECK(case_run(DYNO_OP_space_to_depth, space, 1, 1, T(F32, "1 1 1 2", 1, 2)) == DYNO_E_FORMAT);
}

static void test_sums_and_triangles(void)
{
    struct dyno_cum_sum_attrs *const sum = case_attrs(DYNO_OP_cum_sum);
    const struct dyno_tensor *const x = T(I32, "2 3", 1, 2, 3, 4, 5, 6);
    CASE_RUN("i32 2 3 : 1 3 6 4 9 15", DYNO_OP_cum_sum, sum, 2, x, T(I64, "", 1));
    sum->exclusive = 1;
    sum->reverse = 1;
    CASE_RUN("i32 2 3 : 4 5 6 0 0 0", DYNO_OP_cum_sum, sum, 2, x, T(I64, "", -2));
    CASE_RUN("i32 2 3 : 1 2 3 0 5 6", DYNO_OP_trilu, NULL, 1, x);
    CASE_RUN("i32 2 3 : 0 2 3 0 0 6", DYNO_OP_trilu, NULL, 2, x, T(I64, "", 1));
    struct dyno_eye_like_attrs *const eye = case_attrs(DYNO_OP_eye_like);
    eye->k = 1;
    CASE_RUN("i32 2 3 : 0 1 0 0 0 1", DYNO_OP_eye_like, eye, 1, x);
    CASE_RUN("i32 3 2 : 1 2 4 5 0 0", DYNO_OP_center_crop_pad, NULL, 2, x, T(I64, "2", 3, 2));
    CASE_RUN("i32 2 3 : 4 5 3 1 2 6", DYNO_OP_reverse_sequence, NULL, 2, x, T(I64, "3", 2, 2, 1));
}

static void test_choosing(void)
{
    const struct dyno_tensor *const x = T(F32, "2 3", 1, 9, 9, 4, 0, 6);
    CHECK(case_run(DYNO_OP_top_k, NULL, 2, 2, x, T(I64, "1", 2)) == DYNO_OK);
    CHECK_STR(case_text(&case_results[0]), "f32 2 2 : 9 9 6 4");
    CHECK_STR(case_text(&case_results[1]), "i64 2 2 : 1 2 2 0");
    struct dyno_top_k_attrs *const least = case_attrs(DYNO_OP_top_k);
    least->largest = 0;
    least->axis = 0;
    CHECK(case_run(DYNO_OP_top_k, least, 2, 2, x, T(I64, "1", 1)) == DYNO_OK);
    CHECK_STR(case_text(&case_results[1]), "i64 1 3 : 0 1 1");
    CHECK(case_run(DYNO_OP_top_k, NULL, 2, 2, x, T(I64, "1", 4)) == DYNO_E_FORMAT);
    CASE_RUN("i64 2 2 : 0 2 1 0", DYNO_OP_non_zero, NULL, 1, T(I32, "3 2", 0, 5, 0, 0, -1, 0));
    CASE_RUN("f32 2 : 9 4", DYNO_OP_compress, NULL, 2, x, T(BOOL, "4", 0, 1, 0, 1));
    struct dyno_compress_attrs *const column = case_attrs(DYNO_OP_compress);
    column->axis = 1;
    CASE_RUN("f32 2 1 : 9 6", DYNO_OP_compress, column, 2, x, T(BOOL, "3", 0, 0, 1));
    CASE_RUN("f32 3 3 : 5 2 2 2 2 5 2 2 2", DYNO_OP_one_hot, NULL, 3, T(I64, "3", 0, -1, 7),
             T(I64, "", 3), T(F32, "2", 2, 5));
}

static void test_unique(void)
{
    const struct dyno_tensor *const x = T(F32, "6", 2, 1, 1, 3, 4, 3);
    CHECK(case_run(DYNO_OP_unique, NULL, 4, 1, x) == DYNO_OK);
    CHECK_STR(case_text(&case_results[0]), "f32 4 : 1 2 3 4");
    CHECK_STR(case_text(&case_results[1]), "i64 4 : 1 0 3 4");
    CHECK_STR(case_text(&case_results[2]), "i64 6 : 1 0 0 2 3 2");
    CHECK_STR(case_text(&case_results[3]), "i64 4 : 2 1 2 1");
    struct dyno_unique_attrs *const attrs = case_attrs(DYNO_OP_unique);
    attrs->sorted = 0;
    CASE_RUN("f32 4 : 2 1 3 4", DYNO_OP_unique, attrs, 1, x);
    attrs->axis = 0;
    attrs->sorted = 1;
    CASE_RUN("i64 2 2 : 0 1 1 0", DYNO_OP_unique, attrs, 1, T(I64, "3 2", 1, 0, 0, 1, 1, 0));
}

static struct dyno_einsum_attrs *equation(const char *text)
{
    struct dyno_einsum_attrs *const attrs = case_attrs(DYNO_OP_einsum);
    attrs->equation = (struct dyno_str){text, strlen(text)};
    return attrs;
}

static void test_einsum(void)
{
    const struct dyno_tensor *const a = T(F32, "2 2", 1, 2, 3, 4);
    const struct dyno_tensor *const b = T(F32, "2 2", 5, 6, 7, 8);
    CASE_RUN("f32 2 2 : 19 22 43 50", DYNO_OP_einsum, equation("ij,jk->ik"), 2, a, b);
    CASE_RUN("f32 2 2 : 19 43 22 50", DYNO_OP_einsum, equation("ij, jk -> ki"), 2, a, b);
    CASE_RUN("f32 : 5", DYNO_OP_einsum, equation("ii"), 1, a);
    CASE_RUN("f32 2 : 1 4", DYNO_OP_einsum, equation("ii->i"), 1, a);
    CASE_RUN("f32 2 : 3 7", DYNO_OP_einsum, equation("...j->..."), 1, a);
    CASE_RUN("f32 1 2 2 : 19 22 43 50", DYNO_OP_einsum, equation("...ij,...jk->...ik"), 2, a,
             T(F32, "1 2 2", 5, 6, 7, 8));
    CHECK(case_run(DYNO_OP_einsum, equation("ij->ik"), 1, 1, a) == DYNO_E_FORMAT);
    CHECK(case_run(DYNO_OP_einsum, equation("ijk->i"), 1, 1, a) == DYNO_E_FORMAT);
    CHECK(case_run(DYNO_OP_einsum, equation("ij"), 1, 2, a, b) == DYNO_E_FORMAT);
    CHECK(case_run(DYNO_OP_einsum, equation("i?"), 1, 1, a) == DYNO_E_FORMAT);
    CHECK(case_run(DYNO_OP_einsum, equation("ij,jk"), 1, 2, a, T(F32, "3 1", 1, 2, 3)) ==
          DYNO_E_FORMAT);
    const struct dyno_type *const type =
        CASE_INFER(DYNO_OP_einsum, equation("bthd,bshd->bhts"), 2, case_type(DYNO_F32, "n t 8 64"),
                   case_type(DYNO_F32, "n s 8 64"));
    CHECK_STR(case_dims(type), "n ; 8 ; t ; s");
}

static void test_boxes(void)
{
    const struct dyno_tensor *const boxes =
        T(F32, "1 3 4", 0, 0, 1, 1, 0, 0.1, 1, 1.1, 0, 10, 1, 11);
    const struct dyno_tensor *const scores = T(F32, "1 1 3", 0.9, 0.75, 0.6);
    CASE_RUN("i64 2 3 : 0 0 0 0 0 2", DYNO_OP_non_max_suppression, NULL, 4, boxes, scores,
             T(I64, "1", 3), T(F32, "1", 0.5));
    CASE_RUN("i64 1 3 : 0 0 0", DYNO_OP_non_max_suppression, NULL, 5, boxes, scores, T(I64, "1", 3),
             T(F32, "1", 0.5), T(F32, "1", 0.7));
    CASE_RUN("i64 0 3 :", DYNO_OP_non_max_suppression, NULL, 2, boxes, scores);
    CHECK(case_run(DYNO_OP_non_max_suppression, NULL, 1, 2, boxes, T(F32, "1 1 2", 1, 1)) ==
          DYNO_E_ARG);
}

/* Lose each allocation of a run once: the status says so, and nothing stays behind. */
static void lose_allocations(enum dyno_op_id op, const void *attrs, uint32_t out_count,
                             const struct dyno_tensor *const *ins, uint32_t in_count)
{
    enum dyno_status status = DYNO_E_NOMEM;
    uint64_t nth = 0;
    while (status != DYNO_OK && nth < 1000) {
        struct dyno_tensor outs[CASE_OUTS_MAX];
        const uint64_t live = dyno_mem_live_count();
        struct dyno_arena *const arena = dyno_arena_create();
        REQUIRE(arena != NULL);
        dyno_mem_fail_at(++nth);
        status =
            dyno_op_run_reference(dyno_ops[op], attrs, ins, in_count, outs, out_count, arena, NULL);
        dyno_mem_fail_at(0);
        dyno_arena_destroy(arena);
        CHECK_MSG(status == DYNO_OK || status == DYNO_E_NOMEM, "%s: %d at %llu",
                  dyno_ops[op]->onnx_name, (int)status, (unsigned long long)nth);
        CHECK(dyno_mem_live_count() == live);
    }
    CHECK(status == DYNO_OK && nth > 3);
}

static void test_no_memory(void)
{
    const struct dyno_tensor *const x = T(F32, "2 3", 1, 2, 3, 4, 5, 6);
    lose_allocations(DYNO_OP_reshape, case_attrs(DYNO_OP_reshape), 1,
                     (const struct dyno_tensor *[]){x, T(I64, "2", 3, -1)}, 2);
    lose_allocations(
        DYNO_OP_slice, NULL, 1,
        (const struct dyno_tensor *[]){T(I64, "3", 1, 2, 3), T(I64, "1", 1), T(I64, "1", 9)}, 3);
    lose_allocations(DYNO_OP_unique, case_attrs(DYNO_OP_unique), 4,
                     (const struct dyno_tensor *[]){x}, 1);
    lose_allocations(DYNO_OP_add, NULL, 1, (const struct dyno_tensor *[]){x, x}, 2);
}

int main(void)
{
    case_open();
    test_blocks();
    test_sums_and_triangles();
    test_choosing();
    test_unique();
    test_einsum();
    test_boxes();
    test_no_memory();
    case_close();
    return TEST_RESULT();
}
