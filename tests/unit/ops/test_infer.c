/* test_infer.c - shape rules as exporters need them: shape arithmetic folded into symbols. */
#include "op_case.h"
#include "ops/activation.h"
#include "ops/elementwise.h"
#include "ops/move.h"

static const void *axis_attrs(enum dyno_op_id op, int64_t axis)
{
    struct dyno_axis_attrs *const attrs = case_attrs(op);
    attrs->axis = axis;
    return attrs;
}

/* The text of a shape's dims and of contents. */
#define CHECK_DIMS(type, want)  CHECK_STR(case_dims(type), (want))
#define CHECK_ELEMS(type, want) CHECK_STR(case_elems(type), (want))

/* BERT's attention: Shape -> Gather -> Unsqueeze -> Concat -> Reshape. */
static void test_reshape_chain(void)
{
    const struct dyno_type *const x = case_type(DYNO_F32, "batch seq 768");
    const struct dyno_type *const shape = CASE_INFER(DYNO_OP_shape, NULL, 1, x);
    CHECK_ELEMS(shape, "batch ; seq ; 768");
    const struct dyno_type *const b = CASE_INFER(DYNO_OP_gather, NULL, 2, shape, case_scalar("0"));
    CHECK_ELEMS(b, "batch");
    CHECK(b->rank == 0);
    const struct dyno_type *const s = CASE_INFER(DYNO_OP_gather, NULL, 2, shape, case_scalar("-2"));
    const struct dyno_type *const b1 = CASE_INFER(DYNO_OP_unsqueeze, NULL, 2, b, case_vector("0"));
    CHECK_DIMS(b1, "1");
    CHECK_ELEMS(b1, "batch");
    const struct dyno_type *const s1 = CASE_INFER(DYNO_OP_unsqueeze, NULL, 2, s, case_vector("0"));
    const struct dyno_type *const to =
        CASE_INFER(DYNO_OP_concat, NULL, 4, b1, s1, case_vector("12"), case_vector("-1"));
    CHECK_DIMS(to, "4");
    const struct dyno_type *const heads = CASE_INFER(DYNO_OP_reshape, NULL, 2, x, to);
    CHECK_DIMS(heads, "batch ; seq ; 12 ; 64");
    struct dyno_transpose_attrs *const perm = case_attrs(DYNO_OP_transpose);
    perm->perm = (struct dyno_i64s){(const int64_t[]){0, 2, 1, 3}, 4};
    const struct dyno_type *const swapped = CASE_INFER(DYNO_OP_transpose, perm, 1, heads);
    CHECK_DIMS(swapped, "batch ; 12 ; seq ; 64");
    const struct dyno_type *const merged =
        CASE_INFER(DYNO_OP_reshape, NULL, 2, swapped, case_vector("-1 0 64"));
    CHECK_DIMS(merged, "batch*seq ; 12 ; 64");
    const struct dyno_type *const flat =
        CASE_INFER(DYNO_OP_reshape, NULL, 2, swapped, case_vector("-1 seq 64"));
    CHECK_DIMS(flat, "12*batch ; seq ; 64");
}

/* PyTorch's expand: Where(Equal(shape, -1), ones, shape), with ones = ConstantOfShape. */
static void test_expand_idiom(void)
{
    const struct dyno_type *const wanted = case_vector("batch -1 8");
    const struct dyno_type *const shape = CASE_INFER(DYNO_OP_shape, NULL, 1, wanted);
    CHECK_ELEMS(shape, "3");
    struct dyno_constant_of_shape_attrs *const one = case_attrs(DYNO_OP_constant_of_shape);
    one->value = T(I64, "1", 1);
    const struct dyno_type *const ones = CASE_INFER(DYNO_OP_constant_of_shape, one, 1, shape);
    CHECK_DIMS(ones, "3");
    CHECK_ELEMS(ones, "1 ; 1 ; 1");
    const struct dyno_type *const minus = CASE_INFER(DYNO_OP_mul, NULL, 2, ones, case_scalar("-1"));
    CHECK_ELEMS(minus, "-1 ; -1 ; -1");
    const struct dyno_type *const open = CASE_INFER(DYNO_OP_equal, NULL, 2, wanted, minus);
    CHECK(open->dtype == DYNO_BOOL);
    CHECK_ELEMS(open, "0 ; 1 ; 0");
    const struct dyno_type *const to = CASE_INFER(DYNO_OP_where, NULL, 3, open, ones, wanted);
    CHECK_ELEMS(to, "batch ; 1 ; 8");
    const struct dyno_type *const out =
        CASE_INFER(DYNO_OP_expand, NULL, 2, case_type(DYNO_F32, "1 5 8"), to);
    CHECK_DIMS(out, "batch ; 5 ; 8");
}

/* A comparison is one of tensors. */
static void test_sequences(void)
{
    const enum dyno_op_id ops[] = {DYNO_OP_equal, DYNO_OP_greater, DYNO_OP_less_or_equal};
    struct dyno_type *const list = case_type(DYNO_F32, "2");
    list->kind = DYNO_TYPE_SEQUENCE;
    for (size_t i = 0; i < DYNO_COUNT(ops); i++) {
        CHECK(case_infer(ops[i], NULL, 1, 2, list, case_type(DYNO_F32, "2")) == DYNO_E_FORMAT);
        CHECK(strstr(case_err.text, "input 0 is not a tensor") != NULL);
    }
}

static void test_slice(void)
{
    const struct dyno_type *const x = case_type(DYNO_F32, "batch 10 w");
#define SLICE(starts, ends, axes, steps)                                          \
    CASE_INFER(DYNO_OP_slice, NULL, 5, x, case_vector(starts), case_vector(ends), \
               case_vector(axes), case_vector(steps))
    CHECK_DIMS(SLICE("1", "9223372036854775807", "1", "1"), "batch ; 9 ; w");
    CHECK_DIMS(SLICE("0", "-1", "1", "2"), "batch ; 5 ; w");
    CHECK_DIMS(SLICE("0", "9223372036854775807", "2", "1"), "batch ; 10 ; w");
    CHECK_DIMS(SLICE("0", "w", "2", "1"), "batch ; 10 ; w");
    CHECK_DIMS(SLICE("1", "2147483647", "-1", "1"), "batch ; 10 ; w - 1");
    CHECK_DIMS(SLICE("-1", "-9223372036854775808", "2", "-1"), "batch ; 10 ; w");
    CHECK_DIMS(SLICE("9", "0", "1", "-1"), "batch ; 9 ; w");
    CHECK_DIMS(SLICE("7", "3", "1", "1"), "batch ; 0 ; w");
    /* Contents, every other one backwards. */
    const struct dyno_type *const v =
        CASE_INFER(DYNO_OP_slice, NULL, 5, case_vector("a b c d"), case_vector("3"),
                   case_vector("-9"), case_vector("0"), case_vector("-2"));
    CHECK_ELEMS(v, "d ; b");
    CHECK(case_infer(DYNO_OP_slice, NULL, 1, 5, x, case_vector("0"), case_vector("1"),
                     case_vector("0"), case_vector("0")) == DYNO_E_FORMAT);
    CHECK(case_infer(DYNO_OP_slice, NULL, 1, 4, x, case_vector("0"), case_vector("1"),
                     case_vector("3")) == DYNO_E_FORMAT);
    CHECK(strstr(case_err.text, "axis 3") != NULL);
#undef SLICE
}

static void test_arithmetic(void)
{
    const struct dyno_type *const a = case_vector("n 2*n 7");
    CHECK_ELEMS(CASE_INFER(DYNO_OP_add, NULL, 2, a, case_vector("1 n n")), "n + 1 ; 3*n ; n + 7");
    CHECK_ELEMS(CASE_INFER(DYNO_OP_sub, NULL, 2, a, case_scalar("7")), "n - 7 ; 2*n - 7 ; 0");
    CHECK_ELEMS(CASE_INFER(DYNO_OP_div, NULL, 2, case_vector("4*n -7 7"), case_scalar("2")),
                "2*n ; -3 ; 3");
    CHECK_ELEMS(CASE_INFER(DYNO_OP_mod, NULL, 2, case_vector("2*n -7"), case_scalar("2")), "0 ; 1");
    CHECK_ELEMS(CASE_INFER(DYNO_OP_neg, NULL, 1, a), "-n ; -2*n ; -7");
    CHECK_ELEMS(
        CASE_INFER(DYNO_OP_min, NULL, 3, case_vector("3 9"), case_vector("5 5"), case_scalar("4")),
        "3 ; 4");
    CHECK_ELEMS(CASE_INFER(DYNO_OP_greater, NULL, 2, a, case_scalar("0")), "1 ; 1 ; 1");
    CHECK_ELEMS(CASE_INFER(DYNO_OP_less_or_equal, NULL, 2, case_vector("1 2 3"), case_scalar("2")),
                "1 ; 1 ; 0");
    struct dyno_cast_attrs *const to = case_attrs(DYNO_OP_cast);
    to->to = DYNO_BOOL;
    CHECK_ELEMS(CASE_INFER(DYNO_OP_cast, to, 1, case_vector("0 5 n")), "0 ; 1 ; 1");
    to->to = DYNO_I32;
    CHECK_ELEMS(CASE_INFER(DYNO_OP_cast, to, 1, case_vector("5000000000")), "unknown");
    to->to = DYNO_F32;
    CHECK_ELEMS(CASE_INFER(DYNO_OP_cast, to, 1, a), "unknown");
    CHECK_ELEMS(CASE_INFER(DYNO_OP_size, NULL, 1, case_type(DYNO_F32, "n 3 m")), "3*n*m");
    CHECK_ELEMS(CASE_INFER(DYNO_OP_tile, NULL, 2, case_vector("n 1"), case_vector("2")),
                "n ; 1 ; n ; 1");
    const struct dyno_type *const range =
        CASE_INFER(DYNO_OP_range, NULL, 3, case_scalar("0"), case_scalar("n"), case_scalar("1"));
    CHECK_DIMS(range, "n");
    CHECK_ELEMS(
        CASE_INFER(DYNO_OP_range, NULL, 3, case_scalar("n"), case_scalar("n+5"), case_scalar("2")),
        "n ; n + 2 ; n + 4");
}

static void test_split_and_concat(void)
{
    struct dyno_split_attrs *const attrs = case_attrs(DYNO_OP_split);
    CHECK(case_infer(DYNO_OP_split, attrs, 2, 2, case_vector("a b c"), case_vector("2 1")) ==
          DYNO_OK);
    CHECK_ELEMS(&case_outs[0], "a ; b");
    CHECK_ELEMS(&case_outs[1], "c");
    attrs->axis = -1;
    CHECK(case_infer(DYNO_OP_split, attrs, 3, 1, case_type(DYNO_F32, "n 3*w")) == DYNO_OK);
    CHECK_DIMS(&case_outs[0], "n ; w");
    CHECK_DIMS(&case_outs[2], "n ; w");
    CHECK(case_infer(DYNO_OP_split, attrs, 4, 1, case_type(DYNO_F32, "n 10")) == DYNO_OK);
    CHECK_DIMS(&case_outs[0], "n ; 3");
    CHECK_DIMS(&case_outs[3], "n ; 1");
    CHECK(case_infer(DYNO_OP_split, attrs, 2, 2, case_type(DYNO_F32, "n 10"), case_vector("4 7")) ==
          DYNO_E_FORMAT);
    const void *const axis = axis_attrs(DYNO_OP_concat, 1);
    const struct dyno_type *const x = case_type(DYNO_F32, "n 3 h");
    CHECK_DIMS(CASE_INFER(DYNO_OP_concat, axis, 2, x, case_type(DYNO_F32, "n c 20")),
               "n ; c + 3 ; 20");
    CHECK(case_infer(DYNO_OP_concat, axis, 1, 2, x, case_type(DYNO_F32, "n 3")) == DYNO_E_FORMAT);
    CHECK(case_infer(DYNO_OP_concat, axis, 1, 2, x, case_type(DYNO_I64, "n 3 h")) == DYNO_E_FORMAT);
}

static void test_broadcast(void)
{
    CHECK_DIMS(
        CASE_INFER(DYNO_OP_add, NULL, 2, case_type(DYNO_F32, "n 1 8"), case_type(DYNO_F32, "5 1")),
        "n ; 5 ; 8");
    CHECK_DIMS(
        CASE_INFER(DYNO_OP_add, NULL, 2, case_type(DYNO_F32, "n 4"), case_type(DYNO_F32, "4 m")),
        "4 ; 4");
    CHECK_DIMS(
        CASE_INFER(DYNO_OP_add, NULL, 2, case_type(DYNO_F32, ""), case_type(DYNO_F32, "n n+1")),
        "n ; n + 1");
    CHECK(case_infer(DYNO_OP_add, NULL, 1, 2, case_type(DYNO_F32, "3"), case_type(DYNO_F32, "4")) ==
          DYNO_E_FORMAT);
    CHECK(strstr(case_err.text, "sizes 3 and 4") != NULL);
    CHECK(case_infer(DYNO_OP_add, NULL, 1, 2, case_type(DYNO_F32, "3"), case_type(DYNO_I64, "3")) ==
          DYNO_E_FORMAT);
    CHECK(strstr(case_err.text, "f32 and i64") != NULL);
    CHECK(case_infer(DYNO_OP_and, NULL, 1, 2, case_type(DYNO_F32, "3"), case_type(DYNO_F32, "3")) ==
          DYNO_E_FORMAT);
    CHECK(case_infer(DYNO_OP_prelu, NULL, 1, 2, case_type(DYNO_F32, "3"),
                     case_type(DYNO_F32, "2 3")) == DYNO_E_FORMAT);
    struct dyno_type *const unknown = case_type(DYNO_F32, "");
    unknown->rank = -1;
    CHECK_DIMS(CASE_INFER(DYNO_OP_add, NULL, 2, unknown, case_type(DYNO_F32, "3")), "unknown");
}

static void test_reshape_errors(void)
{
    const struct dyno_type *const x = case_type(DYNO_F32, "4 6");
    CHECK(case_infer(DYNO_OP_reshape, NULL, 1, 2, x, case_vector("5 -1")) == DYNO_E_FORMAT);
    CHECK(case_infer(DYNO_OP_reshape, NULL, 1, 2, x, case_vector("5 5")) == DYNO_E_FORMAT);
    CHECK(case_infer(DYNO_OP_reshape, NULL, 1, 2, x, case_vector("-1 -1")) == DYNO_E_FORMAT);
    CHECK(case_infer(DYNO_OP_reshape, NULL, 1, 2, x, case_vector("-2 12")) == DYNO_E_FORMAT);
    CHECK(case_infer(DYNO_OP_reshape, NULL, 1, 2, x, case_type(DYNO_I64, "9")) == DYNO_E_LIMIT);
    struct dyno_reshape_attrs *const zero = case_attrs(DYNO_OP_reshape);
    zero->allowzero = 1;
    CHECK_DIMS(CASE_INFER(DYNO_OP_reshape, zero, 2, case_type(DYNO_F32, "0 6"), case_vector("3 0")),
               "3 ; 0");
    /* A shape that is only known while running still has a rank. */
    const struct dyno_type *const open =
        CASE_INFER(DYNO_OP_reshape, NULL, 2, x, case_type(DYNO_I64, "3"));
    CHECK(open->rank == 3);
    CHECK_DIMS(CASE_INFER(DYNO_OP_squeeze, NULL, 2, case_type(DYNO_F32, "n 1 4"), case_vector("1")),
               "n ; 4");
    CHECK(case_infer(DYNO_OP_squeeze, NULL, 1, 2, x, case_vector("0")) == DYNO_E_FORMAT);
    CHECK(case_infer(DYNO_OP_unsqueeze, NULL, 1, 2, x, case_vector("1 -3")) == DYNO_E_FORMAT);
    CHECK_DIMS(CASE_INFER(DYNO_OP_flatten, NULL, 1, case_type(DYNO_F32, "n 3 4")), "n ; 12");
}

static void test_pad_and_gather(void)
{
    CHECK_DIMS(
        CASE_INFER(DYNO_OP_pad, NULL, 2, case_type(DYNO_F32, "n 3 h"), case_vector("0 1 2 0 0 -1")),
        "n ; 4 ; h + 1");
    CHECK(case_infer(DYNO_OP_pad, NULL, 1, 2, case_type(DYNO_F32, "n 3"), case_vector("0 1 2")) ==
          DYNO_E_FORMAT);
    CHECK_DIMS(CASE_INFER(DYNO_OP_gather, axis_attrs(DYNO_OP_gather, 1), 2,
                          case_type(DYNO_F32, "n 3 h"), case_type(DYNO_I64, "a b")),
               "n ; a ; b ; h");
    CHECK(case_infer(DYNO_OP_gather, NULL, 1, 2, case_type(DYNO_F32, "3"),
                     case_type(DYNO_F32, "2")) == DYNO_E_FORMAT);
    /* An index outside the contents that are known. */
    CHECK(case_infer(DYNO_OP_gather, NULL, 1, 2, case_vector("a b"), case_scalar("2")) != DYNO_OK);
    CHECK_DIMS(CASE_INFER(DYNO_OP_gather_nd, NULL, 2, case_type(DYNO_F32, "5 6 7"),
                          case_type(DYNO_I64, "n 2")),
               "n ; 7");
}

static void test_table(void)
{
    for (int id = 0; id < DYNO_OP_COUNT; id++) {
        const struct dyno_op *const op = dyno_ops[id];
        REQUIRE(op != NULL);
        CHECK_MSG(op->infer != NULL, "row %d", id);
        CHECK_MSG(dyno_op_find(op->domain, op->onnx_name) == id, "%s", op->onnx_name);
        CHECK_MSG((op->reference == NULL) == ((op->flags & DYNO_OP_REGIONS) != 0), "%s",
                  op->onnx_name);
        CHECK_MSG(op->pw >= -1 && op->pw < DYNO_PW_COUNT, "%s", op->onnx_name);
        for (size_t i = 0; i < op->attr_count; i++)
            CHECK_MSG(op->attrs[i].offset_bytes < op->attr_bytes, "%s.%s", op->onnx_name,
                      op->attrs[i].name);
    }
    CHECK(dyno_op_find("ai.onnx", "Add") == DYNO_OP_add);
    CHECK(dyno_op_find("", "NoSuch") == -1);
    CHECK(dyno_op_find("dyno", "Add") == -1);
    const struct dyno_alpha_attrs *const leaky = case_attrs(DYNO_OP_leaky_relu);
    CHECK(leaky->alpha == 0.01F);
    const struct dyno_pw_form form = dyno_op_pw_form(&dyno_op_leaky_relu, leaky);
    CHECK(form.pw == DYNO_PW_leaky_relu && form.p == 0.01F);
}

int main(void)
{
    case_open();
    test_table();
    test_reshape_chain();
    test_expand_idiom();
    test_sequences();
    test_slice();
    test_arithmetic();
    test_split_and_concat();
    test_broadcast();
    test_reshape_errors();
    test_pad_and_gather();
    case_close();
    return TEST_RESULT();
}
