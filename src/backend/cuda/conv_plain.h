/* conv_plain.h - what the convolutions that are no product have in common: geometry, parameters,
 * programs and launches.  A kernel of them writes enumerate, settle and pack, and one function that
 * describes it: DYNO_CUDA_CONV_KERNEL makes the rest.
 *
 * Packed: the bias of every output as stored (f32), then the weights in the type of x.
 */
#ifndef DYNO_BACKEND_CUDA_CONV_PLAIN_H
#define DYNO_BACKEND_CUDA_CONV_PLAIN_H

#include "backend/cpu/conv.h"
#include "backend/cuda/tail.h"

#define DYNO_CUDA_CONV_THREADS 128

/* A convolution, or a transposed one, at the bound shape; one spatial axis has h = kh = 1. */
struct dyno_cuda_conv {
    bool is_transposed;
    int64_t batch, c, m, groups, cg, mg;
    int64_t h, w, oh, ow, kh, kw, sh, sw, dh, dw, ph, pw;
};

/* Refuses what is no f32 Conv or ConvTranspose of one or two spatial axes with constant weights. */
DYNO_NODISCARD enum dyno_status dyno_cuda_conv_of(const struct dyno_site *site,
                                                  struct dyno_cuda_conv *conv_out,
                                                  struct dyno_err *err);

struct dyno_cuda_conv_state {
    struct dyno_gpu_conv params;
    struct dyno_cuda_tail tail;
    int64_t grid[3];
    int threads; /* of a block */
    int64_t shared_bytes;
};

/* A Conv over a small window: one group, no dilation, two spatial axes. */
struct dyno_cuda_window {
    struct dyno_cpu_conv conv;
    int64_t in_stored, out_stored; /* channels */
};

/* Channels last in and out; refuses what is none of more than one tap and constant weights. */
DYNO_NODISCARD enum dyno_status dyno_cuda_window_of(const struct dyno_site *site,
                                                    struct dyno_layout layout,
                                                    struct dyno_cuda_window *window_out,
                                                    struct dyno_err *err);

/* The bias of an output; 0 where the step has none. */
float dyno_cuda_conv_bias(const struct dyno_site *site, int64_t m);

/* What settling a tactic of a window begins with: cfg[0] is its layout, the last of `used` numbers
 * is followed by zeros, and the tail can be run. */
DYNO_NODISCARD enum dyno_status dyno_cuda_window_settle(const struct dyno_site *site,
                                                        const struct dyno_tactic *asked, int used,
                                                        struct dyno_tactic *tactic,
                                                        struct dyno_cuda_window *window_out,
                                                        struct dyno_err *err);

/* Bias and weights of a window, packed: `place` says at which element the weight of an output, an
 * input channel and a tap lies. */
typedef int64_t dyno_cuda_place_fn(const struct dyno_cuda_window *window, uint32_t tile, int64_t m,
                                   int64_t c, int64_t tap);
DYNO_NODISCARD enum dyno_status dyno_cuda_window_pack(const struct dyno_site *site,
                                                      const struct dyno_tactic *tactic,
                                                      dyno_cuda_place_fn *place, void *dst,
                                                      struct dyno_err *err);

/* E_LIMIT when sizes do not fit into the parameters, or the batch into a grid's depth. */
DYNO_NODISCARD enum dyno_status dyno_cuda_conv_limits(const struct dyno_cpu_conv *conv,
                                                      struct dyno_err *err);
/* c, m: channels as stored. */
struct dyno_gpu_conv dyno_cuda_conv_params(const struct dyno_cpu_conv *conv, int64_t c, int64_t m);

/* cfg[0] is one layout, channels last, for input and output; cfg[1] how many outputs a thread
 * makes, a power of two up to `longest`; the rest is zero. */
bool dyno_cuda_conv_asks(const struct dyno_tactic *asked, uint32_t longest);

/* Choices that most of them begin with: T (of x and the weights), TO (of y), VEC (channels of 16
 * bytes). */
void dyno_cuda_conv_types(const struct dyno_tactic *tactic, struct dyno_strbuf *choices);

/* Blocks of DYNO_CUDA_CONV_THREADS for so many threads that have something to do. */
void dyno_cuda_conv_spread(int64_t threads, struct dyno_cuda_conv_state *state);

/* What is special about a kernel: of a step and its tactic the geometry (params), the grid, threads
 * and shared memory of its launch; and, where `choices` is not NULL, what its program is told.  All
 * else of *state is zero.  Refuses what is no step, or no tactic, of this kernel. */
typedef enum dyno_status dyno_cuda_conv_describe_fn(const struct dyno_site *site,
                                                    const struct dyno_tactic *tactic,
                                                    struct dyno_cuda_conv_state *state,
                                                    struct dyno_strbuf *choices,
                                                    struct dyno_err *err);

/* The functions of a kernel that follow from its description.  E_LIMIT when the tail is too large,
 * or a block wants more shared memory than the GPU has. */
enum dyno_status dyno_cuda_conv_program(const struct dyno_site *site,
                                        const struct dyno_tactic *tactic,
                                        dyno_cuda_conv_describe_fn *describe,
                                        struct dyno_strbuf *choices, struct dyno_err *err);
enum dyno_status dyno_cuda_conv_prepare(const struct dyno_site *site,
                                        const struct dyno_tactic *tactic,
                                        dyno_cuda_conv_describe_fn *describe,
                                        struct dyno_cuda_conv_state *state, struct dyno_err *err);
enum dyno_status dyno_cuda_conv_run(struct dyno_run_args *args);

/* A kernel of these, and of the enumerate, settle, pack and describe that stand before it. */
#define DYNO_CUDA_CONV_KERNEL(kernel_name, packing_number, source)                             \
    static enum dyno_status prepare(                                                           \
        const struct dyno_site *site, const struct dyno_tactic *tactic, const void *packed,    \
        void *state, uint64_t *workspace_bytes_out, struct dyno_err *err)                      \
    {                                                                                          \
        (void)packed;                                                                          \
        *workspace_bytes_out = 0;                                                              \
        return dyno_cuda_conv_prepare(site, tactic, describe, state, err);                     \
    }                                                                                          \
    static enum dyno_status program(const struct dyno_site *site,                              \
                                    const struct dyno_tactic *tactic, const char **source_out, \
                                    struct dyno_strbuf *choices, struct dyno_err *err)         \
    {                                                                                          \
        *source_out = (source);                                                                \
        return dyno_cuda_conv_program(site, tactic, describe, choices, err);                   \
    }                                                                                          \
    const struct dyno_kernel dyno_kernel_cuda_##kernel_name = {                                \
        .name = #kernel_name "_cuda",                                                          \
        .packing = (packing_number),                                                           \
        .packed_ins = 1U << 1,                                                                 \
        .state_bytes = sizeof(struct dyno_cuda_conv_state),                                    \
        .strided = true,                                                                       \
        .place = DYNO_ON_GPU,                                                                  \
        .enumerate = enumerate,                                                                \
        .settle = settle,                                                                      \
        .pack = pack,                                                                          \
        .prepare = prepare,                                                                    \
        .run = dyno_cuda_conv_run,                                                             \
        .program = program,                                                                    \
    }

#endif /* DYNO_BACKEND_CUDA_CONV_PLAIN_H */
