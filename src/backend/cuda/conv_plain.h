/* conv_plain.h - what the convolutions that are no product have in common: geometry, parameters and
 * launches.
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
    uint32_t shared_bytes;
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

/* With params and so many threads that have something to do: the rest of a `prepare`.  A kernel
 * with other blocks than DYNO_CUDA_CONV_THREADS sets grid and threads after it. */
DYNO_NODISCARD enum dyno_status dyno_cuda_conv_prepare(const struct dyno_site *site,
                                                       const struct dyno_tactic *tactic,
                                                       const struct dyno_gpu_conv *params,
                                                       int64_t threads,
                                                       struct dyno_cuda_conv_state *state_out,
                                                       struct dyno_err *err);

/* What a block wants of shared memory; E_LIMIT when the GPU has less. */
DYNO_NODISCARD enum dyno_status dyno_cuda_conv_share(const struct dyno_site *site, int64_t bytes,
                                                     struct dyno_cuda_conv_state *state,
                                                     struct dyno_err *err);

enum dyno_status dyno_cuda_conv_run(struct dyno_run_args *args);

#endif /* DYNO_BACKEND_CUDA_CONV_PLAIN_H */
