/* op_case.h - what the tests of operators share: symbolic types in, printed shapes out; small
 * tensors in, lists of numbers out. */
#ifndef DYNO_TESTS_UNIT_OPS_OP_CASE_H
#define DYNO_TESTS_UNIT_OPS_OP_CASE_H

#include <stdarg.h>

#include "base/arena.h"
#include "ops/op.h"
#include "test.h"

/* One pool and arena a test program. */
static struct dyno_exprs *case_exprs;
static struct dyno_arena *case_arena;
static struct dyno_err case_err;

static inline void case_open(void)
{
    case_exprs = dyno_exprs_create();
    case_arena = dyno_arena_create();
    REQUIRE(case_exprs != NULL && case_arena != NULL);
}

static inline void case_close(void)
{
    dyno_exprs_destroy(case_exprs);
    dyno_arena_destroy(case_arena);
}

static inline void *case_attrs(enum dyno_op_id op)
{
    void *const attrs = dyno_op_attrs_create(dyno_ops[op], case_arena);
    REQUIRE(attrs != NULL);
    return attrs;
}

/* --- types --- */

/* A type with the dimensions of a text such as "batch 12 2*time"; "" is a scalar. */
static inline struct dyno_type *case_type(enum dyno_dtype dtype, const char *dims)
{
    struct dyno_type *const type = dyno_arena_alloc(case_arena, 1, sizeof(*type));
    REQUIRE(type != NULL);
    type->dtype = dtype;
    while (*dims != '\0') {
        const size_t bytes = strcspn(dims, " ");
        REQUIRE(type->rank < DYNO_RANK_MAX);
        REQUIRE(dyno_expr_parse(case_exprs, dims, bytes, &type->dims[type->rank++], &case_err) ==
                DYNO_OK);
        dims += bytes + (dims[bytes] == ' ');
    }
    return type;
}

/* A rank-1 i64 whose contents are the expressions of a text. */
static inline struct dyno_type *case_vector(const char *elems)
{
    struct dyno_type *const type = case_type(DYNO_I64, elems);
    dyno_expr *const copy = dyno_arena_memdup(case_arena, type->dims, sizeof(type->dims));
    REQUIRE(copy != NULL);
    type->elems = copy;
    type->elem_count = (uint32_t)type->rank;
    type->dims[0] = dyno_expr_const(case_exprs, type->rank);
    type->rank = 1;
    return type;
}

/* The same as a scalar. */
static inline struct dyno_type *case_scalar(const char *elem)
{
    struct dyno_type *const type = case_vector(elem);
    type->rank = 0;
    return type;
}

#define CASE_OUTS_MAX 4
static struct dyno_type *case_outs; /* of the last case_infer */

/* Run the rule; the inputs end with a NULL after in_count of them (absent inputs are NULL too). */
static inline enum dyno_status case_infer(enum dyno_op_id op, const void *attrs, uint32_t out_count,
                                          uint32_t in_count, ...)
{
    const struct dyno_type *ins[8] = {NULL};
    va_list args;
    va_start(args, in_count);
    for (uint32_t i = 0; i < in_count; i++)
        ins[i] = va_arg(args, const struct dyno_type *);
    va_end(args);
    case_outs = dyno_arena_alloc(case_arena, CASE_OUTS_MAX, sizeof(*case_outs));
    REQUIRE(case_outs != NULL);
    for (uint32_t i = 0; i < out_count; i++)
        case_outs[i].rank = -1;
    case_err = (struct dyno_err){0};
    struct dyno_infer ctx = {.attrs = attrs != NULL ? attrs : case_attrs(op),
                             .in_count = in_count,
                             .out_count = out_count,
                             .in = ins,
                             .out = case_outs,
                             .exprs = case_exprs,
                             .arena = case_arena,
                             .err = &case_err};
    return dyno_ops[op]->infer(&ctx);
}

/* The same for one output that must come out. */
#define CASE_INFER(op, attrs, in_count, ...) \
    (case_need(case_infer((op), (attrs), 1, (in_count), __VA_ARGS__), __LINE__), &case_outs[0])
static inline void case_need(enum dyno_status status, int line)
{
    CHECK_MSG(status == DYNO_OK, "line %d: %s", line, case_err.text);
    REQUIRE(status == DYNO_OK);
}

static inline const char *case_print(const dyno_expr *exprs, int count)
{
    struct dyno_strbuf buf = {0};
    for (int i = 0; i < count; i++) {
        if (i > 0)
            dyno_strbuf_puts(&buf, " ; ");
        dyno_expr_print(case_exprs, exprs[i], &buf);
    }
    const char *const text = dyno_arena_strdup(case_arena, dyno_strbuf_text(&buf));
    dyno_strbuf_fini(&buf);
    REQUIRE(text != NULL);
    return text;
}

/* "batch ; 12" */
static inline const char *case_dims(const struct dyno_type *type)
{
    return type->rank < 0 ? "unknown" : case_print(type->dims, type->rank);
}

static inline const char *case_elems(const struct dyno_type *type)
{
    return type->elems == NULL ? "unknown" : case_print(type->elems, (int)type->elem_count);
}

/* --- tensors --- */

/* A tensor of that type; dims "2 3"; values in row-major order, as many as there are elements. */
static inline struct dyno_tensor *case_tensor(enum dyno_dtype dtype, const char *dims,
                                              const double *values, size_t value_count)
{
    struct dyno_tensor *const tensor = dyno_arena_alloc(case_arena, 1, sizeof(*tensor));
    REQUIRE(tensor != NULL);
    tensor->dtype = dtype;
    for (char *end = NULL; *dims != '\0'; dims = end + (*end == ' '))
        tensor->dims[tensor->rank++] = strtoll(dims, &end, 10);
    const size_t count = (size_t)dyno_tensor_count(tensor);
    REQUIRE(count == value_count || (count == 0 && value_count == 1)); /* 0 stands for none */
    tensor->data = dyno_arena_alloc(case_arena, count + 1, 16);
    REQUIRE(tensor->data != NULL);
    for (size_t i = 0; i < count && i < value_count; i++)
        dyno_elem_store_f64(dtype, tensor->data, i, values[i]);
    return tensor;
}
#define T(dtype, dims, ...)                                          \
    case_tensor(DYNO_##dtype, (dims), (const double[]){__VA_ARGS__}, \
                DYNO_COUNT(((const double[]){__VA_ARGS__})))

static struct dyno_tensor case_results[CASE_OUTS_MAX]; /* of the last case_run */

static inline enum dyno_status case_run(enum dyno_op_id op, const void *attrs, uint32_t out_count,
                                        uint32_t in_count, ...)
{
    const struct dyno_tensor *ins[8] = {NULL};
    va_list args;
    va_start(args, in_count);
    for (uint32_t i = 0; i < in_count; i++)
        ins[i] = va_arg(args, const struct dyno_tensor *);
    va_end(args);
    case_err = (struct dyno_err){0};
    return dyno_op_run_reference(dyno_ops[op], attrs != NULL ? attrs : case_attrs(op), ins,
                                 in_count, case_results, out_count, case_arena, &case_err);
}

/* "i64 2 3 : 1 2 3 4 5 6" */
static inline const char *case_text(const struct dyno_tensor *tensor)
{
    struct dyno_strbuf buf = {0};
    dyno_strbuf_puts(&buf, dyno_dtype_text(tensor->dtype));
    for (int i = 0; i < tensor->rank; i++)
        dyno_strbuf_printf(&buf, " %lld", (long long)tensor->dims[i]);
    dyno_strbuf_puts(&buf, " :");
    const int64_t count = dyno_tensor_count(tensor);
    for (int64_t i = 0; i < count; i++)
        dyno_strbuf_printf(&buf, " %.6g",
                           dyno_elem_load_f64(tensor->dtype, tensor->data, (size_t)i));
    const char *const text = dyno_arena_strdup(case_arena, dyno_strbuf_text(&buf));
    dyno_strbuf_fini(&buf);
    REQUIRE(text != NULL);
    return text;
}

/* Run for one output and compare its text. */
#define CASE_RUN(want, op, attrs, in_count, ...)                                  \
    do {                                                                          \
        case_need(case_run((op), (attrs), 1, (in_count), __VA_ARGS__), __LINE__); \
        CHECK_STR(case_text(&case_results[0]), (want));                           \
    } while (0)

#endif /* DYNO_TESTS_UNIT_OPS_OP_CASE_H */
