/* plan.h - what the compiler and the run time share: tensors with layouts, steps (fused nodes), the
 * schedule, and shape expressions.
 *
 * A plan is built by `build`, written into and read from an engine file by `engine`, executed by
 * `backend` kernels.  It is immutable once built and may be read by any thread.
 */
#ifndef DYNO_PLAN_PLAN_H
#define DYNO_PLAN_PLAN_H

#include "ops/op.h"

#define DYNO_NO_TENSOR      UINT32_MAX
#define DYNO_GPU_VIEW_BYTES 16

/* How a tensor's elements lie in memory, and as what.
 * ROW:   dense row-major, in the order of its dimensions.
 * BLOCK: [N][ceil(C/block)][spatial...][block]: axis 1 (channels) is cut into blocks.  Lanes past C
 *        in the last block hold anything: no kernel lets them reach a result.
 *        For f32 block is 16 (64 bytes).  On the CPU alone.
 * LAST:  [N][spatial...][C rounded up to block]: channels last; those past C are zero.  A block is
 *        16 bytes: f32 4, f16 and bf16 8.  On a GPU alone.
 * A tensor of f32 may be stored as another type: what an operator means does not change, what it
 * costs and how exact it is does.  On a GPU alone, and never at the edge of an engine. */
enum dyno_layout_kind { DYNO_LAYOUT_ROW = 0, DYNO_LAYOUT_BLOCK = 1, DYNO_LAYOUT_LAST = 2 };
struct dyno_layout {
    uint8_t kind;  /* enum dyno_layout_kind */
    uint8_t block; /* channels a block; 0 for ROW */
    uint8_t elem;  /* enum dyno_dtype of the stored elements; 0: the tensor's own */
};
#define DYNO_ROW     ((struct dyno_layout){DYNO_LAYOUT_ROW, 0, 0})
#define DYNO_BLOCK16 ((struct dyno_layout){DYNO_LAYOUT_BLOCK, 16, 0})

static inline bool dyno_layout_same(struct dyno_layout a, struct dyno_layout b)
{
    return a.kind == b.kind && a.block == b.block && a.elem == b.elem;
}

/* Channels as stored, of a tensor in LAST or BLOCK. */
static inline int64_t dyno_layout_stored(struct dyno_layout layout, int64_t channels)
{
    const int64_t block = layout.block != 0 ? layout.block : 1;
    return (channels + block - 1) / block * block;
}

/* What the elements of a tensor of `dtype` are stored as. */
static inline enum dyno_dtype dyno_layout_elem(struct dyno_layout layout, enum dyno_dtype dtype)
{
    return layout.elem != 0 ? (enum dyno_dtype)layout.elem : dtype;
}

enum dyno_role {
    DYNO_ROLE_TEMP,   /* in the context's arena */
    DYNO_ROLE_INPUT,  /* bound by the caller */
    DYNO_ROLE_OUTPUT, /* bound by the caller, or in memory of the context */
    DYNO_ROLE_WEIGHT, /* in the engine file, row-major, used in place */
    DYNO_ROLE_HOST,   /* small integers known as expressions: computed at bind, no step makes it */
};

struct dyno_plan_tensor {
    const char *name; /* of the ONNX value */
    enum dyno_role role;
    enum dyno_dtype dtype;
    struct dyno_layout layout;
    int rank; /* -1: known only while running (data-dependent) */
    dyno_expr dims[DYNO_RANK_MAX];
    /* A view: the bytes lie inside tensor `base`.  DYNO_NO_TENSOR: storage of its own.
     * ROW views are whole and dense (reshape) or dense slices at byte offset view_offset;
     * BLOCK views are channel ranges: view_offset counts channels and is a multiple of block, and
     * batch and channel-block strides are those of the base.
     * LAST views are channel ranges, too: positions lie as far apart as those of the base, and
     * channels end at a multiple of block or with the base, whose padding is then theirs.
     * A view of another kind of layout than its base's is dense, without padding, at a byte
     * offset; its base has no padding either.  In a plan for a GPU byte offsets are multiples of
     * DYNO_GPU_VIEW_BYTES. */
    uint32_t base;
    dyno_expr view_offset; /* bytes (ROW, another kind) or channels (BLOCK, LAST) */
    const void *data; /* WEIGHT: dense row-major elements; NULL with data_bytes 0 when they live
                       * in the packed form of their steps alone */
    uint64_t data_bytes;
    const dyno_expr *elems; /* HOST: contents */
    uint32_t elem_count;
};

/* One candidate implementation of a step: which provider's kernel, with which parameters. */
#define DYNO_TACTIC_CFGS  6
#define DYNO_STEP_INS_MAX 32 /* layouts are kept for the first ones; the rest must be ROW */
struct dyno_tactic {
    uint32_t kernel; /* stable id: hash of the kernel's name, never renumbered */
    uint32_t cfg[DYNO_TACTIC_CFGS];
    struct dyno_layout in_layouts[DYNO_STEP_INS_MAX];
    struct dyno_layout out_layout; /* of output 0; the other outputs are ROW */
    uint64_t packed_bytes;         /* packed weights this tactic keeps in the engine */
    float est_us;                  /* estimate at the plan's optimal shape, one thread */
    uint32_t flags;                /* enum dyno_tactic_flags */
};
enum dyno_tactic_flags {
    DYNO_TACTIC_WINOGRAD = 1U << 0,  /* result depends on an algorithm with larger rounding error */
    DYNO_TACTIC_REFERENCE = 1U << 1, /* the op's reference meaning: correct, slow */
    DYNO_TACTIC_BASELINE = 1U << 2,  /* allowed in an unoptimised engine */
    DYNO_TACTIC_PASS = 1U << 4,      /* its tail is a program behind a library's routine */
    DYNO_TACTIC_TF32 = 1U << 3,      /* rounds factors of f32 to TF32: ten bits behind the point */
};

/* A fused node: an op, its attributes, its tail, its tensors and the way it is done. */
struct dyno_step {
    const char *name;
    const char *const *origins; /* ONNX node names */
    uint32_t origin_count;
    enum dyno_op_id op;
    const void *attrs; /* the op's attribute struct */
    uint32_t *ins;     /* tensor ids; DYNO_NO_TENSOR: absent */
    uint32_t in_count;
    uint32_t own_in_count;
    uint32_t *outs;
    uint32_t out_count;
    struct dyno_tail tail;
    struct dyno_tactic tactic;
    const void *packed; /* tactic.packed_bytes, 64-byte aligned */
    uint32_t program;   /* GPU: number of its program in the plan, from 1; 0: none */
    float measured_us;  /* by the tuner at the optimal shape; 0: not measured (not in the file) */
};

/* One input or output of the whole engine. */
struct dyno_io {
    const char *name;
    uint32_t tensor;
    int64_t min[DYNO_RANK_MAX], opt[DYNO_RANK_MAX], max[DYNO_RANK_MAX]; /* inputs: the profile */
};

/* A GPU program: a template of this build (backend/cuda/kernels), the choices that a kernel made
 * for it, and what the compiler made of both. */
struct dyno_program {
    const char *source;  /* name of the template */
    const char *choices; /* text before it */
    const void *image;   /* cubin */
    uint64_t image_bytes;
};

/* A GPU as plans and engines know it.  compute 0: none. */
struct dyno_gpu {
    char name[64];
    int compute;        /* capability: 90 for 9.0 */
    int driver_version; /* CUDA version that the driver is for: 13000 for 13.0 */
    int sm_count;
    int clock_khz;
    uint64_t memory_bytes, l2_bytes;
    uint64_t shared_bytes; /* that a block may have */
};

struct dyno_plan {
    struct dyno_arena *arena; /* owns everything but file-mapped data */
    struct dyno_exprs *exprs;
    const char *name;
    struct dyno_plan_tensor *tensors;
    uint32_t tensor_count;
    struct dyno_step *steps; /* in order of execution */
    uint32_t step_count;
    struct dyno_io *inputs, *outputs;
    uint32_t input_count, output_count;
    uint32_t flags; /* enum dyno_plan_flags */
    /* Largest error that was allowed, and that was found, as shares of an output's range; both 0:
     * not judged. */
    float accuracy_budget, accuracy_error;
    struct dyno_gpu gpu; /* compute 0: every step runs on the CPU */
    struct dyno_program *programs;
    uint32_t program_count;
};
enum dyno_plan_flags {
    DYNO_PLAN_BASELINE = 1U << 0,
    DYNO_PLAN_F16 = 1U << 1, /* these were allowed besides f32; which steps use them they say */
    DYNO_PLAN_BF16 = 1U << 2,
    DYNO_PLAN_TF32 = 1U << 3,
    DYNO_PLAN_BRANCHES = 1U << 4,    /* on a GPU steps that need not wait for each other do not */
    DYNO_PLAN_FLAGS = (1U << 5) - 1, /* all that there are */
};
#define DYNO_PLAN_PRECISIONS_MAX 4

/* The precisions that were allowed, "f32" first, into names_out; their number. */
uint32_t dyno_plan_precisions(const struct dyno_plan *plan,
                              const char *names_out[DYNO_PLAN_PRECISIONS_MAX]);

/* An empty plan with its arena and pool; NULL: out of memory. */
struct dyno_plan *dyno_plan_create(void);
void dyno_plan_destroy(struct dyno_plan *plan); /* accepts NULL */

/* The tensor whose memory holds this one. */
static inline uint32_t dyno_plan_root(const struct dyno_plan *plan, uint32_t id)
{
    return plan->tensors[id].base != DYNO_NO_TENSOR ? plan->tensors[id].base : id;
}

/* Tensors `from` and `to`, whose axis i is axis perm[i] of `from` (NULL: i), in these layouts: do
 * they hold the same bytes, in every shape of the profile?  Then neither has padding, and the axes
 * that may be longer than 1 lie in one order. */
bool dyno_plan_same_bytes(const struct dyno_plan *plan, uint32_t from,
                          struct dyno_layout from_layout, uint32_t to, struct dyno_layout to_layout,
                          const int64_t *perm);

/* Is the step a Transpose or a Reorder that, from and to these layouts, leaves all bytes where they
 * are? */
bool dyno_plan_moves_nothing(const struct dyno_plan *plan, const struct dyno_step *step,
                             struct dyno_layout from_layout, struct dyno_layout to_layout);

/* open_out[dyno_exprs_count]: may this expression have several values in the profile of the inputs?
 * Where it is false all shapes of the profile give it the same. */
void dyno_plan_open_exprs(const struct dyno_plan *plan, bool *open_out);

/* Every promise above, and the index of everything in range: a plan out of a file is hostile. */
enum dyno_status dyno_plan_verify(const struct dyno_plan *plan, struct dyno_err *err);

/* Elements between two batches / the bytes of a tensor in its layout, from concrete dims.
 * False on overflow. */
bool dyno_layout_bytes(struct dyno_layout layout, enum dyno_dtype dtype, int rank,
                       const int64_t *dims, uint64_t *bytes_out);

#endif /* DYNO_PLAN_PLAN_H */
