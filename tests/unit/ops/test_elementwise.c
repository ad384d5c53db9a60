/* test_elementwise.c - references of element-wise operators on small examples. */
#include <math.h>

#include "op_case.h"
#include "ops/activation.h"
#include "ops/elementwise.h"

static void test_integers(void)
{
    CASE_RUN("i64 2 : -3 3", DYNO_OP_div, NULL, 2, T(I64, "2", -7, 7), T(I64, "", 2));
    CASE_RUN("i32 2 : 1 -1", DYNO_OP_mod, NULL, 2, T(I32, "2", -7, 7), T(I32, "2", 2, -2));
    struct dyno_mod_attrs *const fmod_attrs = case_attrs(DYNO_OP_mod);
    fmod_attrs->fmod = 1;
    CASE_RUN("i32 2 : -1 1", DYNO_OP_mod, fmod_attrs, 2, T(I32, "2", -7, 7), T(I32, "2", 2, -2));
    CHECK(case_run(DYNO_OP_div, NULL, 1, 2, T(I64, "1", 1), T(I64, "1", 0)) == DYNO_E_ARG);
    CASE_RUN("u8 1 : 4", DYNO_OP_add, NULL, 2, T(U8, "1", 250), T(U8, "1", 10));
    CASE_RUN("i8 1 : 127", DYNO_OP_sub, NULL, 2, T(I8, "1", -128), T(I8, "1", 1));
    CASE_RUN("i64 3 : 8 1 0", DYNO_OP_pow, NULL, 2, T(I64, "3", 2, -1, 5), T(I64, "3", 3, 4, -1));
    CASE_RUN("u8 2 : 80 1", DYNO_OP_bitwise_xor, NULL, 2, T(U8, "2", 85, 0), T(U8, "2", 5, 1));
    struct dyno_bit_shift_attrs *const shift = case_attrs(DYNO_OP_bit_shift);
    shift->direction = DYNO_BIT_SHIFT_LEFT;
    CASE_RUN("u8 2 : 254 0", DYNO_OP_bit_shift, shift, 2, T(U8, "2", 255, 1), T(U8, "2", 1, 9));
    CASE_RUN("u8 1 : 250", DYNO_OP_bitwise_not, NULL, 1, T(U8, "1", 5));
    CASE_RUN("i32 3 : 3 0 7", DYNO_OP_abs, NULL, 1, T(I32, "3", -3, 0, 7));
    CASE_RUN("i32 3 : -1 0 1", DYNO_OP_sign, NULL, 1, T(I32, "3", -3, 0, 7));
    /* 2^63 as u64 is large, not negative. */
    const double large = 0x1p63;
    CASE_RUN("bool 1 : 1", DYNO_OP_greater, NULL, 2, T(U64, "1", large), T(U64, "1", 1));
    CASE_RUN("u64 1 : 1", DYNO_OP_sign, NULL, 1, T(U64, "1", large));
    CASE_RUN("u64 1 : 9.22337e+18", DYNO_OP_max, NULL, 2, T(U64, "1", large), T(U64, "1", 1));
    /* What a double cannot hold stays exact. */
    struct dyno_tensor *const wide = T(I64, "1", 0);
    *(int64_t *)wide->data = INT64_MAX - 1;
    case_need(case_run(DYNO_OP_add, NULL, 1, 2, wide, T(I64, "1", 1)), __LINE__);
    CHECK(*(int64_t *)case_results[0].data == INT64_MAX);
}

static void test_floats(void)
{
    CASE_RUN("f32 2 3 : 11 21 31 12 22 32", DYNO_OP_add, NULL, 2, T(F32, "2 1", 1, 2),
             T(F32, "3", 10, 20, 30));
    CASE_RUN("f32 2 : 0.5 inf", DYNO_OP_div, NULL, 2, T(F32, "2", 1, 1), T(F32, "2", 2, 0));
    CASE_RUN("f32 2 : 2 nan", DYNO_OP_max, NULL, 3, T(F32, "1", 1), T(F32, "2", 2, (double)NAN),
             T(F32, "", -1));
    CASE_RUN("f32 2 : 2 3", DYNO_OP_mean, NULL, 2, T(F32, "2", 1, 2), T(F32, "2", 3, 4));
    CASE_RUN("f16 1 : 0.333252", DYNO_OP_div, NULL, 2, T(F16, "1", 1), T(F16, "1", 3));
    CASE_RUN("f64 1 : 0.841345", DYNO_OP_gelu, NULL, 1, T(F64, "1", 1));
    struct dyno_gelu_attrs *const gelu = case_attrs(DYNO_OP_gelu);
    gelu->approximate = DYNO_GELU_TANH;
    CASE_RUN("f32 1 : 0.841192", DYNO_OP_gelu, gelu, 1, T(F32, "1", 1));
    CASE_RUN("f32 5 : -2 -2 0 2 2", DYNO_OP_round, NULL, 1, T(F32, "5", -2.5, -1.5, 0.5, 1.5, 2.5));
    CASE_RUN("f32 2 : -0.02 3", DYNO_OP_leaky_relu, NULL, 1, T(F32, "2", -2, 3));
    CASE_RUN("f32 2 : -0.632121 3", DYNO_OP_elu, NULL, 1, T(F32, "2", -1, 3));
    CASE_RUN("f32 2 : -1.11133 1.0507", DYNO_OP_selu, NULL, 1, T(F32, "2", -1, 1));
    CASE_RUN("f32 3 : 0 0.5 1", DYNO_OP_hard_sigmoid, NULL, 1, T(F32, "3", -9, 0, 9));
    CASE_RUN("f32 3 : -0 0.666667 9", DYNO_OP_hard_swish, NULL, 1, T(F32, "3", -9, 1, 9));
    CASE_RUN("f32 1 : 0.731059", DYNO_OP_swish, NULL, 1, T(F32, "1", 1));
    CASE_RUN("f32 2 : -2 2", DYNO_OP_prelu, NULL, 2, T(F32, "2", -4, 2), T(F32, "1", 0.5));
    CASE_RUN("f32 2 : 4 9", DYNO_OP_pow, NULL, 2, T(F32, "2", 2, 3), T(I64, "", 2));
    CASE_RUN("f32 3 : -1 0.5 1", DYNO_OP_clip, NULL, 3, T(F32, "3", -5, 0.5, 5), T(F32, "", -1),
             T(F32, "", 1));
    CASE_RUN("f32 3 : -5 0.5 1", DYNO_OP_clip, NULL, 3, T(F32, "3", -5, 0.5, 5),
             (struct dyno_tensor *)NULL, T(F32, "", 1));
    CASE_RUN("i32 2 : 2 3", DYNO_OP_clip, NULL, 2, T(I32, "2", 1, 3), T(I32, "", 2));
    CASE_RUN("bool 3 : 0 1 0", DYNO_OP_is_nan, NULL, 1, T(F32, "3", 1, (double)NAN, INFINITY));
    struct dyno_is_inf_attrs *const inf = case_attrs(DYNO_OP_is_inf);
    inf->detect_negative = 0;
    CASE_RUN("bool 3 : 1 0 0", DYNO_OP_is_inf, inf, 1, T(F32, "3", INFINITY, -INFINITY, 1));
    CHECK(case_run(DYNO_OP_sqrt, NULL, 1, 1, T(I64, "1", 1)) == DYNO_E_FORMAT);
}

static void test_choices(void)
{
    CASE_RUN("bool 2 2 : 1 0 0 1", DYNO_OP_equal, NULL, 2, T(I64, "2 1", 1, 2), T(I64, "2", 1, 2));
    CASE_RUN("bool 2 : 1 0", DYNO_OP_not, NULL, 1, T(BOOL, "2", 0, 1));
    CASE_RUN("bool 2 : 1 0", DYNO_OP_xor, NULL, 2, T(BOOL, "2", 0, 1), T(BOOL, "", 1));
    CASE_RUN("f32 2 2 : 1 20 1 20", DYNO_OP_where, NULL, 3, T(BOOL, "2", 1, 0), T(F32, "2 1", 1, 1),
             T(F32, "2", 10, 20));
    const struct dyno_str words[] = {{"ab", 2}, {"b", 1}};
    struct dyno_tensor texts = {.dtype = DYNO_STR, .rank = 1, .dims = {2}};
    texts.data = dyno_arena_memdup(case_arena, words, sizeof(words));
    struct dyno_tensor one = {.dtype = DYNO_STR, .rank = 0, .data = texts.data};
    CASE_RUN("bool 2 : 1 0", DYNO_OP_equal, NULL, 2, &texts, &one);
}

static const char *cast(enum dyno_dtype to, int saturate, const struct dyno_tensor *in)
{
    struct dyno_cast_attrs *const attrs = case_attrs(DYNO_OP_cast);
    attrs->to = to;
    attrs->saturate = saturate;
    case_need(case_run(DYNO_OP_cast, attrs, 1, 1, in), __LINE__);
    return case_text(&case_results[0]);
}

static void test_casts(void)
{
    CHECK_STR(cast(DYNO_I32, 1, T(F32, "3", -1.9, 1.9, 3)), "i32 3 : -1 1 3");
    CHECK_STR(cast(DYNO_BOOL, 1, T(F32, "3", -1.9, 0, 0.1)), "bool 3 : 1 0 1");
    CHECK_STR(cast(DYNO_U8, 1, T(I32, "2", 300, -1)), "u8 2 : 44 255");
    CHECK_STR(cast(DYNO_F8E4M3FN, 1, T(F32, "2", 1000, 1.06)), "f8e4m3fn 2 : 448 1");
    CHECK_STR(cast(DYNO_F8E4M3FN, 0, T(F32, "2", 1000, 464)), "f8e4m3fn 2 : nan 448");
    CHECK_STR(cast(DYNO_F8E5M2, 0, T(F32, "2", -70000, 57344)), "f8e5m2 2 : -inf 57344");
    CHECK_STR(cast(DYNO_F8E8M0, 1, T(F32, "3", 1.1, 2, 5)), "f8e8m0 3 : 2 2 8");
    CHECK_STR(cast(DYNO_I4, 1, T(F32, "3", -8, 7, 1)), "i4 3 : -8 7 1");
    struct dyno_tensor *const wide = T(I64, "1", 0);
    *(int64_t *)wide->data = 0x1000001000000001; /* a double would round it to a tie first */
    (void)cast(DYNO_F32, 1, wide);
    CHECK(*(float *)case_results[0].data == (float)0x1000001000000001);

    struct dyno_cast_attrs *const to_text = case_attrs(DYNO_OP_cast);
    to_text->to = DYNO_STR;
    case_need(case_run(DYNO_OP_cast, to_text, 1, 1, T(F32, "3", 0.1, 2, -INFINITY)), __LINE__);
    struct dyno_tensor texts = case_results[0];
    const struct dyno_str *const strs = texts.data;
    CHECK_STR(strs[0].text, "0.1");
    CHECK_STR(strs[1].text, "2.0");
    CHECK_STR(cast(DYNO_F64, 1, &texts), "f64 3 : 0.1 2 -inf");
    struct dyno_cast_attrs *const to_int = case_attrs(DYNO_OP_cast);
    to_int->to = DYNO_I32;
    CHECK(case_run(DYNO_OP_cast, to_int, 1, 1, &texts) == DYNO_E_ARG);
    CHECK(strstr(case_err.text, "'0.1'") != NULL);
    to_int->to = 99;
    CHECK(case_run(DYNO_OP_cast, to_int, 1, 1, wide) == DYNO_E_FORMAT);
    CASE_RUN("f16 1 : 3", DYNO_OP_cast_like, NULL, 2, T(I64, "1", 3), T(F16, "1", 0));
}

/* relu(x * w + 1), w broadcast along the last axis. */
static void test_tail(void)
{
    struct dyno_tail tail = {.instr_count = 3};
    tail.instrs[0] = (struct dyno_tail_instr){
        .op = DYNO_PW_mul,
        .operands = {{.kind = DYNO_OPERAND_REG, .idx = 0}, {.kind = DYNO_OPERAND_INPUT, .idx = 1}}};
    tail.instrs[1] =
        (struct dyno_tail_instr){.op = DYNO_PW_add,
                                 .operands = {{.kind = DYNO_OPERAND_REG, .idx = 1},
                                              {.kind = DYNO_OPERAND_CONST, .value = 1.0F}}};
    tail.instrs[2] = (struct dyno_tail_instr){.op = DYNO_PW_clip,
                                              .operands = {{.kind = DYNO_OPERAND_REG, .idx = 2}},
                                              .p = 0.0F,
                                              .q = 6.0F};
    const struct dyno_tensor *inputs[] = {NULL, T(F32, "2 1", 1, -1)};
    struct dyno_tensor *const out = T(F32, "2 3", 1, 2, 8, -1, 0, 3);
    CHECK(dyno_tail_run_reference(&tail, inputs, out, &case_err) == DYNO_OK);
    CHECK_STR(case_text(out), "f32 2 3 : 2 3 6 2 1 0");
    inputs[1] = T(F32, "2", 1, -1);
    CHECK(dyno_tail_run_reference(&tail, inputs, out, &case_err) == DYNO_E_FORMAT);
    inputs[1] = T(I64, "", 1);
    CHECK(dyno_tail_run_reference(&tail, inputs, out, NULL) == DYNO_E_FORMAT);
    tail.instr_count = 0;
    CHECK(dyno_tail_run_reference(&tail, NULL, T(I64, "", 1), NULL) == DYNO_OK);
    CHECK(dyno_pw_infos[DYNO_PW_clip].immediate_count == 2);
    CHECK_STR(dyno_pw_infos[DYNO_PW_gelu_erf].name, "gelu_erf");
}

int main(void)
{
    case_open();
    test_integers();
    test_floats();
    test_choices();
    test_casts();
    test_tail();
    case_close();
    return TEST_RESULT();
}
