/* op.h - what Dyno knows about one operator: its attributes, its rule of types and shapes, and its
 * reference meaning.
 *
 * An op is data.  Speed lives elsewhere (backend/); a fused node of the plan is an op with its
 * attributes, its tail and its tensors, so the compiler, the engine file and the kernels share this
 * one vocabulary.  Each op has one canonical form (the newest opset's meaning, or a Dyno op);
 * older opsets are adapted to it by `onnx`.
 */
#ifndef DYNO_OPS_OP_H
#define DYNO_OPS_OP_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/expr.h"
#include "base/tensor.h"
#include "ops/pw.h"

enum dyno_op_id {
#define DYNO_OP(name) DYNO_OP_##name,
#include "ops/ops.def"
#undef DYNO_OP
    DYNO_OP_COUNT
};

/* --- attributes --- */

enum dyno_attr_kind {
    DYNO_ATTR_I64,    /* int64_t */
    DYNO_ATTR_F32,    /* float */
    DYNO_ATTR_ENUM,   /* int32_t; ONNX spells it as a string, `names` lists the spellings */
    DYNO_ATTR_STR,    /* struct dyno_str */
    DYNO_ATTR_I64S,   /* struct dyno_i64s */
    DYNO_ATTR_F32S,   /* struct dyno_f32s */
    DYNO_ATTR_STRS,   /* struct dyno_strs */
    DYNO_ATTR_TENSOR, /* const struct dyno_tensor *, may be NULL */
};

struct dyno_i64s {
    const int64_t *at; /* NULL: attribute absent */
    uint32_t count;
};
struct dyno_f32s {
    const float *at;
    uint32_t count;
};
struct dyno_strs {
    const struct dyno_str *at;
    uint32_t count;
};

/* One attribute: where ONNX's `name` lands inside the op's own struct. */
/* NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): in the order that rows are written */
struct dyno_attr {
    const char *name;
    enum dyno_attr_kind kind;
    size_t offset_bytes;
    double fallback;          /* I64, F32, ENUM (index); the others start empty */
    const char *const *names; /* ENUM: spellings, NULL-terminated */
    int required;             /* the node is refused without it */
};

/* --- types and shapes --- */

enum dyno_type_kind { DYNO_TYPE_TENSOR, DYNO_TYPE_SEQUENCE, DYNO_TYPE_OPTIONAL };

/* What is known of a value before it exists.  dtype is the element's for sequences/optionals. */
struct dyno_type {
    enum dyno_type_kind kind;
    enum dyno_dtype dtype; /* NONE: unknown */
    int rank;              /* -1: unknown */
    dyno_expr dims[DYNO_RANK_MAX];
    /* Contents of a small integer/bool tensor, row-major, when they are known as expressions: this
     * is how shape arithmetic is folded.  NULL: not known.  Lives in the graph's arena. */
    const dyno_expr *elems;
    uint32_t elem_count;
    /* The constant itself, when the value is one.  elems is derived from it for small integers. */
    const struct dyno_tensor *constant;
};

#define DYNO_ELEMS_MAX 1024 /* contents of larger tensors are not tracked */

/* One call of an infer rule.  Inputs are checked for count and presence before the call (absent
 * optional inputs are NULL).  The rule fills out[i] (zeroed, rank -1 before) and may set elems. */
struct dyno_infer {
    const void *attrs;
    uint32_t in_count;
    uint32_t out_count;
    const struct dyno_type *const *in;
    struct dyno_type *out;
    struct dyno_exprs *exprs;
    struct dyno_arena *arena; /* for elems */
    struct dyno_err *err;
};

/* --- reference meaning --- */

/* One call of a reference.  in[i] is NULL when absent.  out[i] has dtype, rank and dims set and
 * data allocated, since the infer rule knows them given the concrete inputs; of a DYNO_OP_OPEN data
 * is NULL where it does not, and the reference calls dyno_ref_alloc.  Inputs and outputs never
 * overlap. */
struct dyno_ref {
    const void *attrs;
    uint32_t in_count;
    uint32_t out_count;
    const struct dyno_tensor *const *in;
    struct dyno_tensor *out;
    struct dyno_arena *arena; /* scratch, and outputs of data-dependent shape */
    struct dyno_err *err;
};

enum dyno_op_flags {
    DYNO_OP_COMMUTES = 1U << 0, /* inputs 0 and 1 may be swapped */
    DYNO_OP_VIEW = 1U << 1,     /* output 0 is input 0's bytes under another shape */
    DYNO_OP_RANDOM = 1U << 2,   /* not to be folded or merged */
    DYNO_OP_REGIONS = 1U << 3,  /* holds sub-graphs; no reference of its own */
    DYNO_OP_OPEN = 1U << 4,     /* shapes of outputs follow from data that no rule sees */
};

#define DYNO_OP_INPUTS_MAX UINT32_MAX /* for in_max: any number */

/* A node as one pointwise instruction on its inputs; pw -1: it is none. */
struct dyno_pw_form {
    int pw; /* enum dyno_pw_op */
    float p, q;
};

struct dyno_op {
    const char *onnx_name; /* or the name of a Dyno op */
    const char *domain;    /* "" for ONNX, "dyno" for ours, "ai.onnx.ml" ... */
    int since;             /* the opset whose meaning this is */
    uint32_t in_min, in_max, out_min, out_max;
    uint32_t flags;
    int pw; /* the enum dyno_pw_op this op becomes inside a tail (f32 only); -1: none */
    const struct dyno_attr *attrs;
    size_t attr_count;
    size_t attr_bytes; /* sizeof the attribute struct; 0: none */
    enum dyno_status (*infer)(struct dyno_infer *ctx);
    enum dyno_status (*reference)(struct dyno_ref *ctx); /* slow, obvious, never optimised */
    /* When attributes choose the instruction or its immediates; NULL: {pw, 0, 0}. */
    struct dyno_pw_form (*pw_form)(const void *attrs);
};

/* Members of ONNX's operators that make one output of one, of two, or of any number of inputs. */
#define DYNO_UNARY_OP  .domain = "", .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1
#define DYNO_BINARY_OP .domain = "", .in_min = 2, .in_max = 2, .out_min = 1, .out_max = 1
#define DYNO_VARIADIC_OP \
    .domain = "", .in_min = 1, .in_max = DYNO_OP_INPUTS_MAX, .out_min = 1, .out_max = 1

#define DYNO_OP(name) extern const struct dyno_op dyno_op_##name;
#include "ops/ops.def"
#undef DYNO_OP

extern const struct dyno_op *const dyno_ops[DYNO_OP_COUNT];

/* How many of its first inputs a node of in_count inputs must have; later ones may be absent. Where
 * any number may be given, each counts. */
static inline uint32_t dyno_op_needed_ins(const struct dyno_op *op, uint32_t in_count)
{
    return op->in_max == DYNO_OP_INPUTS_MAX ? in_count : op->in_min;
}

/* The op of that name and domain ("" and "ai.onnx" are the same); -1 when there is none. */
int dyno_op_find(const char *domain, const char *onnx_name);

/* Attribute storage at its fallback values, from `arena`; NULL when out of memory (an op without
 * attributes gets a pointer that must not be read). */
void *dyno_op_attrs_create(const struct dyno_op *op, struct dyno_arena *arena);

/* The instruction that a node of this op with these attributes is inside a tail (f32 only).  Clip's
 * immediates are its inputs 1 and 2 (when constant; absent: -infinity, +infinity). */
struct dyno_pw_form dyno_op_pw_form(const struct dyno_op *op, const void *attrs);

/* Concrete inference: run the op's rule on concrete types.  out[i].rank is -1 (dtype may be known)
 * where the shape depends on data the rule does not see.  Uses a throw-away expression pool. */
enum dyno_status dyno_op_infer_concrete(const struct dyno_op *op, const void *attrs,
                                        const struct dyno_tensor *const *in, uint32_t in_count,
                                        struct dyno_tensor *out, uint32_t out_count,
                                        struct dyno_err *err);

/* Run op by its reference: infers, allocates outputs from `arena`, calls. */
enum dyno_status dyno_op_run_reference(const struct dyno_op *op, const void *attrs,
                                       const struct dyno_tensor *const *in, uint32_t in_count,
                                       struct dyno_tensor *out, uint32_t out_count,
                                       struct dyno_arena *arena, struct dyno_err *err);

/* For references whose output shape depends on data: set out[idx] and allocate its data. */
enum dyno_status dyno_ref_alloc(struct dyno_ref *ctx, uint32_t idx, enum dyno_dtype dtype, int rank,
                                const int64_t *dims);

/* Apply a tail by its reference meaning, in place on `out` (f32).  inputs[] are the node's inputs,
 * operands broadcast to out's shape.  Fails with DYNO_E_FORMAT when one does not. */
enum dyno_status dyno_tail_run_reference(const struct dyno_tail *tail,
                                         const struct dyno_tensor *const *inputs,
                                         struct dyno_tensor *out, struct dyno_err *err);

#endif /* DYNO_OPS_OP_H */
