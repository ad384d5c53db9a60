/* nn_case.h - one operator, its attributes and tensors, run by its reference; and one infer rule
 * on symbolic shapes.  For tests/unit/ops/test_nn_*.c.
 */
#ifndef DYNO_TESTS_NN_CASE_H
#define DYNO_TESTS_NN_CASE_H

#include <math.h>

#include "ops/infer.h"
#include "ops/op.h"
#include "test.h"

#define NN_INS_MAX  9
#define NN_OUTS_MAX 4

#define DIMS(...)                                       \
    DYNO_COUNT(((int64_t[]){__VA_ARGS__})), (int64_t[]) \
    {                                                   \
        __VA_ARGS__                                     \
    }
#define F32S(...)   \
    (float[])       \
    {               \
        __VA_ARGS__ \
    }
#define I64LIST(...) \
    ((struct dyno_i64s){(int64_t[]){__VA_ARGS__}, DYNO_COUNT(((int64_t[]){__VA_ARGS__}))})

/* --- concrete: op, inputs, run, look --- */

struct nn_case {
    const struct dyno_op *op;
    struct dyno_arena *arena;
    void *attrs;
    struct dyno_tensor ins[NN_INS_MAX];
    const struct dyno_tensor *in_at[NN_INS_MAX];
    uint32_t in_count;
    struct dyno_tensor outs[NN_OUTS_MAX];
    struct dyno_err err;
};

static inline void nn_begin(struct nn_case *c, const struct dyno_op *op)
{
    *c = (struct nn_case){.op = op, .arena = dyno_arena_create()};
    REQUIRE(c->arena != NULL);
    c->attrs = dyno_op_attrs_create(op, c->arena);
    REQUIRE(c->attrs != NULL);
}

static inline void nn_end(struct nn_case *c)
{
    dyno_arena_destroy(c->arena);
}

/* Where the attribute of that ONNX name is: for ops whose attribute struct is their own. */
static inline void *nn_attr(const struct dyno_op *op, void *attrs, const char *name)
{
    for (size_t i = 0; i < op->attr_count; i++)
        if (strcmp(op->attrs[i].name, name) == 0)
            return (char *)attrs + op->attrs[i].offset_bytes;
    (void)fprintf(stderr, "%s has no attribute %s\n", op->onnx_name, name);
    exit(EXIT_FAILURE);
}

/* `data` is not copied. */
static inline void nn_in(struct nn_case *c, enum dyno_dtype dtype, size_t rank, const int64_t *dims,
                         void *data)
{
    struct dyno_tensor *t = &c->ins[c->in_count];
    t->dtype = dtype;
    t->rank = (int)rank;
    for (size_t i = 0; i < rank; i++)
        t->dims[i] = dims[i];
    t->data = data;
    c->in_at[c->in_count++] = t;
}

/* Values 1, 2, 3, ... */
static inline void nn_in_iota(struct nn_case *c, size_t rank, const int64_t *dims)
{
    int64_t count = 1;
    for (size_t i = 0; i < rank; i++)
        count *= dims[i];
    float *data = dyno_arena_alloc(c->arena, (size_t)count, sizeof(*data));
    REQUIRE(data != NULL);
    for (int64_t i = 0; i < count; i++)
        data[i] = (float)(i + 1);
    nn_in(c, DYNO_F32, rank, dims, data);
}

static inline void nn_absent(struct nn_case *c)
{
    c->in_at[c->in_count++] = NULL;
}

static inline enum dyno_status nn_run(struct nn_case *c, uint32_t out_count)
{
    return dyno_op_run_reference(c->op, c->attrs, c->in_at, c->in_count, c->outs, out_count,
                                 c->arena, &c->err);
}

static inline void nn_run_ok(struct nn_case *c, uint32_t out_count)
{
    const enum dyno_status status = nn_run(c, out_count);
    CHECK_MSG(status == DYNO_OK, "%s: %s", c->op->onnx_name, c->err.text);
    if (status != DYNO_OK)
        exit(TEST_RESULT());
}

/* Shape and values of output idx, any numeric dtype; NaN equals NaN. */
static inline void nn_want(const struct nn_case *c, uint32_t idx, size_t rank, const int64_t *dims,
                           const float *values)
{
    const struct dyno_tensor *t = &c->outs[idx];
    CHECK_MSG(t->rank == (int)rank, "%s: rank %d, want %zu", c->op->onnx_name, t->rank, rank);
    if (t->rank != (int)rank)
        return;
    int64_t count = 1;
    for (size_t i = 0; i < rank; i++) {
        CHECK_MSG(t->dims[i] == dims[i], "%s: dim %zu is %lld, want %lld", c->op->onnx_name, i,
                  (long long)t->dims[i], (long long)dims[i]);
        count *= dims[i];
    }
    for (int64_t i = 0; i < count && count == dyno_tensor_count(t); i++) {
        const double got = dyno_elem_load_f64(t->dtype, t->data, (size_t)i);
        const double want = (double)values[i];
        const bool same = isnan(want)   ? isnan(got)
                          : isinf(want) ? got == want
                                        : fabs(got - want) <= 1e-5 * (1 + fabs(want));
        CHECK_MSG(same, "%s: output %u[%lld] is %g, want %g", c->op->onnx_name, idx, (long long)i,
                  got, want);
    }
}

/* The run fails with this status and a sentence that holds `words`. */
static inline void nn_refused(struct nn_case *c, enum dyno_status want, const char *words)
{
    const enum dyno_status status = nn_run(c, c->op->out_min > 0 ? c->op->out_min : 1);
    CHECK_MSG(status == want, "%s: status %d, want %d (%s)", c->op->onnx_name, status, want,
              c->err.text);
    CHECK_MSG(strstr(c->err.text, words) != NULL, "%s: \"%s\" lacks \"%s\"", c->op->onnx_name,
              c->err.text, words);
}

/* --- symbolic: shapes are texts like "batch, 3, h, w" --- */

struct nn_infer {
    const struct dyno_op *op;
    struct dyno_arena *arena;
    struct dyno_exprs *exprs;
    void *attrs;
    struct dyno_type ins[NN_INS_MAX];
    const struct dyno_type *in_at[NN_INS_MAX];
    uint32_t in_count;
    struct dyno_type outs[NN_OUTS_MAX];
    struct dyno_err err;
};

static inline void nn_infer_begin(struct nn_infer *c, const struct dyno_op *op)
{
    *c = (struct nn_infer){.op = op, .arena = dyno_arena_create(), .exprs = dyno_exprs_create()};
    REQUIRE(c->arena != NULL && c->exprs != NULL);
    c->attrs = dyno_op_attrs_create(op, c->arena);
    REQUIRE(c->attrs != NULL);
}

static inline void nn_infer_end(struct nn_infer *c)
{
    dyno_exprs_destroy(c->exprs);
    dyno_arena_destroy(c->arena);
}

/* An input of that shape; "" is a scalar, "?" an unknown rank. */
static inline struct dyno_type *nn_infer_in(struct nn_infer *c, enum dyno_dtype dtype,
                                            const char *shape)
{
    struct dyno_type *t = &c->ins[c->in_count];
    *t = (struct dyno_type){.dtype = dtype, .rank = 0};
    c->in_at[c->in_count++] = t;
    if (strcmp(shape, "?") == 0) {
        t->rank = -1;
        return t;
    }
    while (*shape != '\0') {
        const size_t bytes = strcspn(shape, ",");
        REQUIRE(dyno_expr_parse(c->exprs, shape, bytes, &t->dims[t->rank++], &c->err) == DYNO_OK);
        shape += bytes;
        shape += strspn(shape, ", ");
    }
    return t;
}

/* A constant input. */
static inline void nn_infer_constant(struct nn_infer *c, struct dyno_tensor *tensor)
{
    REQUIRE(dyno_type_of_tensor(tensor, c->exprs, c->arena, &c->ins[c->in_count]));
    c->in_at[c->in_count] = &c->ins[c->in_count];
    c->in_count++;
}

static inline void nn_infer_absent(struct nn_infer *c)
{
    c->in_at[c->in_count++] = NULL;
}

static inline enum dyno_status nn_infer_run(struct nn_infer *c, uint32_t out_count)
{
    for (uint32_t i = 0; i < out_count; i++)
        c->outs[i] = (struct dyno_type){.rank = -1};
    struct dyno_infer ctx = {.attrs = c->attrs,
                             .in_count = c->in_count,
                             .out_count = out_count,
                             .in = c->in_at,
                             .out = c->outs,
                             .exprs = c->exprs,
                             .arena = c->arena,
                             .err = &c->err};
    return c->op->infer(&ctx);
}

/* Output idx has the shape that the text says (compared as expressions). */
static inline void nn_infer_want(struct nn_infer *c, uint32_t idx, enum dyno_dtype dtype,
                                 const char *shape)
{
    const struct dyno_type *out = &c->outs[idx];
    struct dyno_strbuf text = {0};
    for (int i = 0; i < out->rank; i++) {
        dyno_strbuf_puts(&text, i > 0 ? ", " : "");
        dyno_expr_print(c->exprs, out->dims[i], &text);
    }
    const struct dyno_type *want = nn_infer_in(c, dtype, shape);
    c->in_count--;
    CHECK_MSG(out->dtype == dtype, "%s: dtype %s", c->op->onnx_name, dyno_dtype_text(out->dtype));
    CHECK_MSG(out->rank == want->rank, "%s: rank %d (%s), want %s", c->op->onnx_name, out->rank,
              dyno_strbuf_text(&text), shape);
    for (int i = 0; i < out->rank && i < want->rank; i++)
        CHECK_MSG(out->dims[i] == want->dims[i], "%s: shape [%s], want [%s]", c->op->onnx_name,
                  dyno_strbuf_text(&text), shape);
    dyno_strbuf_fini(&text);
}

/* The rule runs and gives output 0 that shape. */
static inline void nn_infer_gives(struct nn_infer *c, const char *shape)
{
    const enum dyno_status status = nn_infer_run(c, 1);
    CHECK_MSG(status == DYNO_OK, "%s: %s", c->op->onnx_name, c->err.text);
    if (status == DYNO_OK)
        nn_infer_want(c, 0, DYNO_F32, shape);
}

static inline void nn_infer_refused(struct nn_infer *c, const char *words)
{
    const enum dyno_status status = nn_infer_run(c, 1);
    CHECK_MSG(status != DYNO_OK, "%s: accepted", c->op->onnx_name);
    CHECK_MSG(strstr(c->err.text, words) != NULL, "%s: \"%s\" lacks \"%s\"", c->op->onnx_name,
              c->err.text, words);
}

#endif /* DYNO_TESTS_NN_CASE_H */
