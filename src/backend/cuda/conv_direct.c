/* conv_direct.c - Conv in groups, and ConvTranspose, channels last.
 *
 * Packed: the bias of every output as stored (f32), then the weights
 * [group][tap][input of the group][output of the group as stored] in the type of x.
 */
#include <string.h>

#include "backend/cuda/conv_plain.h"

extern const struct dyno_kernel dyno_kernel_cuda_conv_direct;

#define RUN_MAX 4 /* outputs a thread: a power of two */

/* At the bound shape. */
struct direct {
    struct dyno_cuda_conv conv;
    int64_t mg_stored; /* of one group: m as stored; of more, mg */
    int64_t threads;
};

/* Outputs of a thread are a stride apart where the convolution is transposed: a row is made by one
 * thread or more for each phase of the stride, also where it is shorter than that. */
static int64_t threads_of(const struct dyno_cuda_conv *conv, struct dyno_layout layout, int64_t run)
{
    const int64_t step = conv->is_transposed ? conv->sw : 1;
    const int64_t runs = dyno_cuda_div_up(conv->ow, run * step) * step;
    return conv->batch * conv->oh * runs * (dyno_cuda_stored(conv->m, layout) / layout.block);
}

/* cfg[0]: number of the layout; cfg[1], `run`: outputs a thread. */
static enum dyno_status direct_of(const struct dyno_site *site, struct dyno_layout layout,
                                  int64_t run, struct direct *direct, struct dyno_err *err)
{
    struct dyno_cuda_conv *conv = &direct->conv;
    DYNO_TRY(dyno_cuda_conv_of(site, conv, err));
    if (layout.block < 1)
        return dyno_cuda_refuse(site, err);
    direct->mg_stored = conv->groups == 1 ? dyno_cuda_stored(conv->m, layout) : conv->mg;
    /* A vector of outputs is of one group; one filter a channel, and one group, have kernels. */
    if (direct->mg_stored % layout.block != 0 ||
        (!conv->is_transposed && (conv->groups == 1 || conv->cg == 1)))
        return dyno_cuda_refuse(site, err);
    if (conv->oh * conv->ow >
        INT32_MAX / (conv->batch + 1) / (dyno_cuda_stored(conv->m, layout) / 4 + 1))
        return DYNO_FAIL(err, DYNO_E_LIMIT, "a convolution of too many outputs");
    direct->threads = threads_of(conv, layout, run);
    if (direct->threads > INT32_MAX) /* they have numbers of 32 bits */
        return DYNO_FAIL(err, DYNO_E_LIMIT, "a convolution by %lld threads",
                         (long long)direct->threads);
    return DYNO_OK;
}

static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    int count = 0;
    for (int i = 0; i < dyno_cuda_layout_count; i++) {
        const struct dyno_layout layout = dyno_cuda_layouts[i];
        if (!dyno_cuda_is_last(layout) || !dyno_cuda_layout_allowed(layout, site->target))
            continue;
        for (int64_t run = 1; run <= RUN_MAX && count < max; run *= 2) {
            struct direct direct = {.mg_stored = 0};
            if (direct_of(site, layout, run, &direct, NULL) != DYNO_OK)
                continue;
            out[count] = (struct dyno_tactic){.cfg = {(uint32_t)i, (uint32_t)run}};
            dyno_cuda_tail_layouts(site, layout, &out[count]);
            const double taps =
                (double)(direct.conv.kh * direct.conv.kw) /
                (double)(direct.conv.is_transposed ? direct.conv.sh * direct.conv.sw : 1);
            const double ops =
                2.0 * taps * (double)direct.conv.cg *
                (double)(direct.conv.batch * direct.conv.oh * direct.conv.ow * direct.conv.m);
            /* A weight is read by fewer threads; there are fewer threads. */
            out[count++].est_us = (float)(dyno_cuda_move_us(site->target, 0.0) +
                                          ops / 1.0e7 * (1.0 + 0.5 / (double)run));
        }
    }
    return count;
}

static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err)
{
    struct direct direct = {.mg_stored = 0};
    struct dyno_cuda_tail tail;
    if (!dyno_cuda_conv_asks(asked, RUN_MAX))
        return dyno_cuda_refuse(site, err);
    const struct dyno_layout layout = asked->out_layout;
    tactic->in_layouts[0] = layout;
    DYNO_TRY(direct_of(site, layout, asked->cfg[1], &direct, err));
    if (!dyno_cuda_tail_plan(site, tactic, &tail))
        return dyno_cuda_refuse(site, err);
    tactic->packed_bytes = (uint64_t)dyno_cuda_stored(direct.conv.m, layout) * sizeof(float) +
                           (uint64_t)(direct.conv.groups * direct.conv.kh * direct.conv.kw *
                                      direct.conv.cg * direct.mg_stored) *
                               (layout.elem != 0 ? 2U : 4U);
    return DYNO_OK;
}

/* Conv: [m][cg][taps]; ConvTranspose: [c][mg][taps]. */
static float weight_at(const struct dyno_site *site, const struct direct *direct, int64_t group,
                       int64_t tap, int64_t in, int64_t out)
{
    const float *weights = site->ins[1].data;
    const int64_t taps = direct->conv.kh * direct->conv.kw;
    const int64_t row = direct->conv.is_transposed
                            ? (group * direct->conv.cg + in) * direct->conv.mg + out
                            : (group * direct->conv.mg + out) * direct->conv.cg + in;
    return weights[row * taps + tap];
}

static enum dyno_status pack(const struct dyno_site *site, const struct dyno_tactic *tactic,
                             void *dst, struct dyno_err *err)
{
    struct direct direct = {.mg_stored = 0};
    const struct dyno_layout layout = tactic->in_layouts[0];
    DYNO_TRY(direct_of(site, layout, tactic->cfg[1], &direct, err));
    const enum dyno_dtype elem = layout.elem != 0 ? (enum dyno_dtype)layout.elem : DYNO_F32;
    const int64_t taps = direct.conv.kh * direct.conv.kw;
    float *bias = dst;
    float *weights = bias + dyno_cuda_stored(direct.conv.m, layout);
    memset(dst, 0, tactic->packed_bytes);
    for (int64_t m = 0; m < direct.conv.m; m++)
        bias[m] = dyno_cuda_conv_bias(site, m);
    for (int64_t row = 0; row < direct.conv.groups * taps * direct.conv.cg; row++) {
        const int64_t in = row % direct.conv.cg, tap = row / direct.conv.cg % taps;
        const int64_t group = row / direct.conv.cg / taps;
        for (int64_t out = 0; out < direct.conv.mg; out++)
            dyno_elem_store_f64(elem, weights, (size_t)(row * direct.mg_stored + out),
                                (double)weight_at(site, &direct, group, tap, in, out));
    }
    return DYNO_OK;
}

static enum dyno_status describe(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                 struct dyno_cuda_conv_state *state, struct dyno_strbuf *choices,
                                 struct dyno_err *err)
{
    struct direct direct = {.mg_stored = 0};
    const struct dyno_cuda_conv *conv = &direct.conv;
    const struct dyno_layout layout = tactic->out_layout;
    DYNO_TRY(direct_of(site, layout, tactic->cfg[1], &direct, err));
    const int64_t stored = dyno_cuda_stored(conv->m, layout);
    state->params = (struct dyno_gpu_conv){.batch = (int)conv->batch,
                                           .c = (int)dyno_cuda_stored(conv->c, layout),
                                           .m = (int)stored,
                                           .channels = (int)conv->m,
                                           .h = (int)conv->h,
                                           .w = (int)conv->w,
                                           .oh = (int)conv->oh,
                                           .ow = (int)conv->ow,
                                           .ph = (int)conv->ph,
                                           .pw = (int)conv->pw};
    dyno_cuda_conv_spread(direct.threads, state);
    if (choices == NULL)
        return DYNO_OK;
    dyno_cuda_conv_types(tactic, choices);
    dyno_strbuf_printf(choices,
                       "#define RUN %u\n#define TRANSPOSED %d\n#define KH %d\n#define KW %d\n"
                       "#define SH %d\n#define SW %d\n#define DH %d\n#define DW %d\n"
                       "#define CG %d\n#define MG %d\n#define VX %d\n",
                       tactic->cfg[1], conv->is_transposed, (int)conv->kh, (int)conv->kw,
                       (int)conv->sh, (int)conv->sw, (int)conv->dh, (int)conv->dw, (int)conv->cg,
                       (int)direct.mg_stored, conv->cg % layout.block == 0 ? layout.block : 1);
    return DYNO_OK;
}

DYNO_CUDA_CONV_KERNEL(conv_direct, 1, "direct.cu");
