/* backend.h - the provider table: kernels over fused nodes.
 *
 * The tuner calls `enumerate`, then for each tactic `pack` once at build; the run time calls
 * `prepare` once for each bound shape of a context and `run` for each inference.  A kernel never
 * allocates, never fails while it runs, and is safe to run in several contexts at once.
 *
 * A tactic is a few parameters; `settle` says what follows from them, at build and again for each
 * bound shape.  An engine file is hostile: what it says of a step goes no further than
 * dyno_kernel_check, so `pack`, `prepare` and `run` see only what `settle` agreed to.
 */
#ifndef DYNO_BACKEND_BACKEND_H
#define DYNO_BACKEND_BACKEND_H

#include "base/pool.h"
#include "base/strbuf.h"
#include "plan/plan.h"

struct dyno_cu;
struct dyno_cuda_libraries;

#define DYNO_TACTICS_MAX 64 /* candidates a kernel may give for one step */

/* Where a kernel runs.  A step is where its kernel is; nothing else in a plan says so. */
enum dyno_place { DYNO_ON_CPU, DYNO_ON_GPU };

/* Libraries of NVIDIA's that kernels call (backend/cuda/libraries.h). */
enum dyno_library {
    DYNO_LIBRARY_NONE,
#define DYNO_LIBRARY(name) DYNO_LIBRARY_##name,
#include "backend/cuda/libraries.def"
#undef DYNO_LIBRARY
    DYNO_LIBRARY_COUNT
};
/* The parameter of a tactic that holds the version of its kernel's library. */
#define DYNO_CFG_LIBRARY (DYNO_TACTIC_CFGS - 1)

enum dyno_precision {
    DYNO_PRECISION_F16 = 1U << 0,  /* tensors of f32 stored as f16 */
    DYNO_PRECISION_BF16 = 1U << 1, /* as bf16 */
    DYNO_PRECISION_TF32 = 1U << 2, /* factors of f32 rounded to TF32 where they are multiplied */
};

/* The machine a plan is built for. */
struct dyno_target {
    uint64_t isa_mask; /* enum dyno_isa bits present */
    int thread_count;
    uint64_t l1_bytes, l2_bytes, l3_bytes; /* a core's L1 and L2, the shared L3 */
    float peak_gflops;                     /* one thread f32, estimated from the ISA */
    float mem_gbps;
    uint64_t workspace_bytes_max;          /* --memPoolSize=workspace; UINT64_MAX: no limit */
    bool baseline;                         /* only tactics with DYNO_TACTIC_BASELINE */
    bool exact;                            /* no WINOGRAD tactics */
    uint32_t precisions;                   /* enum dyno_precision: what is allowed besides f32 */
    struct dyno_gpu gpu;                   /* compute 0: everything runs on the CPU */
    struct dyno_cuda_libraries *libraries; /* of that GPU; NULL: none */
};

/* A tensor as a kernel sees it. */
struct dyno_buf {
    void *data;
    enum dyno_dtype dtype;
    struct dyno_layout layout;
    int rank;
    int64_t dims[DYNO_RANK_MAX];
    uint32_t open[DYNO_RANK_MAX]; /* of each size: 0: every shape of the profile has this one; else
                                   * a number that only sizes have which are always equal */
    int64_t batch_stride; /* BLOCK: elements between batches (a channel view inherits its base's).
                           * ROW: elements between items of axis 0 when dense. */
    int64_t ld; /* LAST: elements between positions: channels as stored, of a channel view those of
                 * its base.  0: no layout was given yet. */
};

/* A step with concrete shapes, while kernels are chosen or prepared.  data is NULL for tensors that
 * do not exist yet; weights have theirs. */
struct dyno_site {
    const struct dyno_step *step;
    const struct dyno_buf *ins; /* step->in_count; absent: data NULL and rank -1 */
    const struct dyno_buf *outs;
    const bool *in_is_weight; /* constant over the engine's life */
    const struct dyno_target *target;
    const struct dyno_site *others; /* of a build: the same step at the bounds of the profile */
    uint32_t other_count;
};

/* Where a kernel of a GPU puts its launches. */
struct dyno_gpu_launch {
    const struct dyno_cu *cu; /* the driver */
    void *stream;
    void *function; /* of the step's program; NULL: its kernel calls a library */
};

/* One run.  On a GPU data, packed and workspace are addresses there, and `run` returns when its
 * launches are in the stream. */
struct dyno_run_args {
    const struct dyno_step *step;
    const struct dyno_buf *ins;
    struct dyno_buf *outs;
    const void *packed;
    void *state;     /* what prepare wrote: state_bytes, 64-byte aligned */
    void *workspace; /* what prepare asked for, 64-byte aligned */
    struct dyno_pool *pool;
    struct dyno_arena *scratch;        /* REFERENCE tactics only; reset after each run */
    const struct dyno_gpu_launch *gpu; /* of a kernel on a GPU */
    struct dyno_err *err;
};

struct dyno_kernel {
    const char *name;    /* stable: written into engine files as a 32-bit FNV-1a hash */
    uint64_t isa_mask;   /* all these must be present */
    uint32_t packing;    /* version of the packed form; refused on mismatch */
    uint32_t packed_ins; /* bit i: weight input i lives on in the packed form alone: the engine
                          * keeps no raw copy, and run and prepare see its shape with data NULL */
    size_t state_bytes;
    bool strided; /* its tensors in LAST may be channel views: positions lie dyno_buf.ld apart. Seen
                   * by `prepare` alone; else they are dense */
    enum dyno_place place;
    enum dyno_library library; /* on a GPU: whose routines it calls, in the place of a program
                                * or before one (dyno_kernel_has_program) */

    /* The parameters worth trying for the step at its optimal shape, each with its estimate; 0 when
     * there are none.  Call it through dyno_kernel_candidates, which settles what it gives. */
    int (*enumerate)(const struct dyno_site *site, struct dyno_tactic *out, int max);
    /* What follows from the parameters of `asked`: cfg, out_layout, and the layouts of inputs that
     * spread over the output.  `tactic` holds those, flags and packed_bytes 0, and ROW for each of
     * the op's own inputs; fill in the rest.  Refuse (E_UNSUPPORTED, E_LIMIT) what pack, prepare
     * and run cannot do: another op, types, attributes, a tail, constants that are none, cfg out of
     * range, shapes.  Only these may depend on it: the step, types, layouts, dimensions, which
     * inputs are constant, which sizes are open, and values that prepare reads; not the target,
     * and not the data of inputs in packed_ins, which an engine no longer has.  packed_bytes must
     * be the same for every shape of the profile.  The op's own rule holds for the shapes, where it
     * can tell them without the data of the run: where it cannot, the plan says what it likes. */
    enum dyno_status (*settle)(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err);
    /* Write tactic.packed_bytes; NULL when the kernel packs nothing.  Threads do not matter. */
    enum dyno_status (*pack)(const struct dyno_site *site, const struct dyno_tactic *tactic,
                             void *dst, struct dyno_err *err);
    /* Fill `state` for these concrete shapes and say how much workspace a run needs.
     * Must work for every shape of the profile, and refuse (E_LIMIT) rather than overflow.
     * packed: on the host, also of a kernel on a GPU; NULL while a build times its candidates. */
    enum dyno_status (*prepare)(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                const void *packed, void *state, uint64_t *workspace_bytes_out,
                                struct dyno_err *err);
    /* Give back what a `prepare` that succeeded took besides its state; NULL: nothing. */
    void (*release)(void *state);
    /* Only the REFERENCE kernel may fail, and those of a GPU: with what its driver says. */
    enum dyno_status (*run)(struct dyno_run_args *args);
    /* Of a tactic that has a program: the template and the text before it, from the step and the
     * tactic alone, as for `settle`.  An engine whose program has another text is refused: it must
     * not depend on a size that is open. */
    enum dyno_status (*program)(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                const char **source_out, struct dyno_strbuf *choices,
                                struct dyno_err *err);
};

/* Does a step of this tactic have a program of ours?  On a GPU, where its kernel calls no library,
 * or has its tail done behind the library's routine. */
static inline bool dyno_kernel_has_program(const struct dyno_kernel *kernel,
                                           const struct dyno_tactic *tactic)
{
    return kernel->place == DYNO_ON_GPU &&
           (kernel->library == DYNO_LIBRARY_NONE || (tactic->flags & DYNO_TACTIC_PASS) != 0);
}

/* All of a tactic of this kernel from the parameters of `asked`; est_us is kept. */
DYNO_NODISCARD enum dyno_status dyno_kernel_settle(const struct dyno_kernel *kernel,
                                                   const struct dyno_site *site,
                                                   const struct dyno_tactic *asked,
                                                   struct dyno_tactic *tactic_out,
                                                   struct dyno_err *err);

/* The kernel's candidates for the step, settled, into out[max]; their number. */
int dyno_kernel_candidates(const struct dyno_kernel *kernel, const struct dyno_site *site,
                           struct dyno_tactic *out, int max);

/* Is site->step->tactic what this kernel makes of its parameters at these shapes, and does every
 * tensor lie as the tactic says?  E_FORMAT names what differs. */
DYNO_NODISCARD enum dyno_status dyno_kernel_check(const struct dyno_kernel *kernel,
                                                  const struct dyno_site *site,
                                                  struct dyno_err *err);

enum dyno_isa {
    DYNO_ISA_PORTABLE = 0,
    DYNO_ISA_AVX2 = 1U << 0,   /* with FMA */
    DYNO_ISA_AVX512 = 1U << 1, /* F VL BW DQ */
    DYNO_ISA_AVX512VNNI = 1U << 2,
    DYNO_ISA_AVX512BF16 = 1U << 3,
    DYNO_ISA_AVXVNNI = 1U << 4,
    DYNO_ISA_AMX = 1U << 5, /* TILE INT8 BF16 */
};

/* Every kernel of this build, those for the machine and those not. */
extern const struct dyno_kernel *const dyno_kernels[];
extern const size_t dyno_kernel_count;

/* By stable id; NULL when this build has none. */
const struct dyno_kernel *dyno_kernel_find(uint32_t id);
uint32_t dyno_kernel_id(const struct dyno_kernel *kernel);

/* Instruction sets of this machine less those named in the environment variable DYNO_ISA_DISABLE
 * (comma-separated: "avx512,avx2"). */
uint64_t dyno_isa_detect(void);
/* "avx2 avx512 ..." into text. */
void dyno_isa_print(uint64_t isa_mask, struct dyno_strbuf *out);

/* What this machine is: caches, ISA, thread count of `pool` (NULL: 1). */
void dyno_target_detect(struct dyno_target *target_out, const struct dyno_pool *pool);
/* "AMD EPYC 7B13, family 25 model 1" from CPUID. */
void dyno_cpu_name(char *text_out, size_t bytes);

#endif /* DYNO_BACKEND_BACKEND_H */
