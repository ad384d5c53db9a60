/* conv.h - the geometry of a Conv step, and weights packed for it, shared by its kernels. */
#ifndef DYNO_BACKEND_CPU_CONV_H
#define DYNO_BACKEND_CPU_CONV_H

#include "backend/cpu/gemm.h"
#include "ops/window.h"

/* A convolution over two spatial axes; one axis has h = kh = 1. */
struct dyno_cpu_conv {
    int64_t batch;
    int64_t c, m;   /* channels in and out */
    int64_t groups; /* cg = c / groups, mg = m / groups */
    int64_t cg, mg;
    int64_t h, w, oh, ow;
    int64_t kh, kw, sh, sw, dh, dw; /* kernel, stride, dilation */
    int64_t ph, pw, ph_end, pw_end; /* zeros around the input */
    int64_t taps;                   /* kh * kw */
    int64_t k;                      /* taps * cg */
};

/* False unless the step is an f32 `op` whose weights and bias are constants and whose tail the tail
 * functions take. */
bool dyno_cpu_conv_accepts(const struct dyno_site *site, enum dyno_op_id op);

/* Refuses unless the step is such a Conv of one or two spatial axes. */
enum dyno_status dyno_cpu_conv_check(const struct dyno_site *site, struct dyno_cpu_conv *conv_out,
                                     struct dyno_err *err);

/* The geometry at the bound shape; E_LIMIT where sizes overflow. */
enum dyno_status dyno_cpu_conv_resolve(const struct dyno_site *site, struct dyno_cpu_conv *conv_out,
                                       struct dyno_err *err);

/* Packed: bias of each group ([groups][columns], from the start), then B of each group, K ordered
 * by tap, then channel.  Sizes in floats. */
struct dyno_cpu_conv_packed {
    int64_t columns; /* of a group */
    int64_t b_at;    /* where B starts: a multiple of 16 */
    int64_t b_group; /* of a group */
    uint64_t all_bytes;
};
bool dyno_cpu_conv_packed(const struct dyno_cpu_conv *conv, int panel,
                          struct dyno_cpu_conv_packed *packed_out);
void dyno_cpu_conv_pack(const struct dyno_site *site, const struct dyno_cpu_conv *conv, int panel,
                        float *dst);

#endif /* DYNO_BACKEND_CPU_CONV_H */
