/* conv_depthwise.c - Conv with a filter a channel, channels last.
 *
 * Packed: the bias (f32), then the weights [taps][channels as stored] in the type of x; channels
 * past those that are meant are zero.
 */
#include <string.h>

#include "backend/cpu/conv.h"
#include "backend/cuda/conv_plain.h"

extern const struct dyno_kernel dyno_kernel_cuda_conv_depthwise;

#define TAPS_MAX 1024 /* of a filter */
#define RUN_MAX  8    /* outputs a thread: a power of two */

/* cfg[0]: number of the layout; cfg[1]: outputs a thread. */
static enum dyno_status sizes_of(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                 struct dyno_cpu_conv *conv, struct dyno_err *err)
{
    const int64_t run = tactic->cfg[1];
    if (!dyno_cpu_conv_accepts(site, DYNO_OP_conv) || !dyno_cuda_readable(site, 0) ||
        site->in_is_weight[0] || site->ins[0].rank < 3 || site->ins[0].rank > 4)
        return dyno_cuda_refuse(site, err);
    DYNO_TRY(dyno_cpu_conv_resolve(site, conv, err));
    if (conv->groups != conv->c || conv->m != conv->c || conv->c < 1 || conv->taps < 1 ||
        (run - 1) * conv->sw + (conv->kw - 1) * conv->dw >= 64 || conv->kw > 64 ||
        conv->taps > TAPS_MAX)
        return dyno_cuda_refuse(site, err);
    if (conv->c > INT32_MAX / 16 || conv->h > INT32_MAX / 16 || conv->w > INT32_MAX / 16 ||
        conv->sh > INT32_MAX / 16 || conv->dh > INT32_MAX / 16 / conv->kh ||
        conv->ph > INT32_MAX / 16 || conv->pw > INT32_MAX / 16 || conv->batch > INT32_MAX / 16 ||
        /* a thread, of which there are fewer than 2^31, has four channels or more */
        conv->oh * conv->ow > INT32_MAX / (conv->batch + 1) / (conv->c / 4 + 1))
        return DYNO_FAIL(err, DYNO_E_LIMIT, "a depthwise Conv whose sizes are too large");
    return DYNO_OK;
}

static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    const struct dyno_buf *x = &site->ins[0];
    int count = 0;
    for (int i = 0; i < dyno_cuda_layout_count; i++) {
        const struct dyno_layout layout = dyno_cuda_layouts[i];
        if (!dyno_cuda_is_last(layout) || !dyno_cuda_layout_allowed(layout, site->target))
            continue;
        for (int64_t run = 1; run <= RUN_MAX && count < max; run *= 2) {
            struct dyno_cpu_conv conv = {.batch = 0};
            struct dyno_tactic *tactic = &out[count];
            *tactic = (struct dyno_tactic){.cfg = {(uint32_t)i, (uint32_t)run}};
            if (sizes_of(site, tactic, &conv, NULL) != DYNO_OK)
                continue;
            dyno_cuda_tail_layouts(site, layout, tactic);
            /* Neighbours share what they read, but threads must be enough to hide the wait. */
            const double elem_bytes = layout.elem != 0 ? 2.0 : 4.0;
            const double outputs = (double)(conv.batch * conv.oh * conv.ow * conv.c);
            const double reads =
                (double)conv.kh * (double)((run - 1) * conv.sw + conv.kw) / (double)run;
            tactic->est_us = (float)dyno_cuda_move_us(
                site->target, elem_bytes * ((double)dyno_cuda_count(x, 0, x->rank) +
                                            outputs * (1.0 + reads / 8.0)));
            count++;
        }
    }
    return count;
}

static uint64_t bias_bytes(const struct dyno_cpu_conv *conv, struct dyno_layout layout)
{
    return (uint64_t)dyno_cuda_stored(conv->c, layout) * sizeof(float);
}

static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err)
{
    struct dyno_cpu_conv conv = {.batch = 0};
    struct dyno_cuda_tail tail;
    if (!dyno_cuda_conv_asks(asked, RUN_MAX))
        return dyno_cuda_refuse(site, err);
    const struct dyno_layout layout = asked->out_layout;
    tactic->in_layouts[0] = layout;
    DYNO_TRY(sizes_of(site, tactic, &conv, err));
    if (!dyno_cuda_tail_plan(site, tactic, &tail))
        return dyno_cuda_refuse(site, err);
    tactic->packed_bytes =
        bias_bytes(&conv, layout) +
        (uint64_t)(conv.taps * dyno_cuda_stored(conv.c, layout)) * (layout.elem != 0 ? 2U : 4U);
    return DYNO_OK;
}

static enum dyno_status pack(const struct dyno_site *site, const struct dyno_tactic *tactic,
                             void *dst, struct dyno_err *err)
{
    struct dyno_cpu_conv conv = {.batch = 0};
    const struct dyno_layout layout = tactic->in_layouts[0];
    DYNO_TRY(sizes_of(site, tactic, &conv, err));
    const float *weights = site->ins[1].data;
    const int64_t stored = dyno_cuda_stored(conv.c, layout);
    const enum dyno_dtype elem = layout.elem != 0 ? (enum dyno_dtype)layout.elem : DYNO_F32;
    memset(dst, 0, tactic->packed_bytes);
    float *bias = dst;
    for (int64_t c = 0; c < conv.c; c++)
        bias[c] = dyno_cuda_conv_bias(site, c);
    for (int64_t tap = 0; tap < conv.taps; tap++) {
        for (int64_t c = 0; c < conv.c; c++)
            dyno_elem_store_f64(elem, bias + stored, (size_t)(tap * stored + c),
                                (double)weights[c * conv.taps + tap]);
    }
    return DYNO_OK;
}

static enum dyno_status describe(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                 struct dyno_cuda_conv_state *state, struct dyno_strbuf *choices,
                                 struct dyno_err *err)
{
    struct dyno_cpu_conv conv = {.batch = 0};
    const struct dyno_layout layout = tactic->in_layouts[0];
    DYNO_TRY(sizes_of(site, tactic, &conv, err));
    if (layout.block < 1)
        return dyno_cuda_refuse(site, err);
    const int64_t stored = dyno_cuda_stored(conv.c, layout);
    const int64_t runs = dyno_cuda_div_up(conv.ow, tactic->cfg[1]);
    state->params = dyno_cuda_conv_params(&conv, stored, stored);
    dyno_cuda_conv_spread(conv.batch * conv.oh * runs * (stored / layout.block), state);
    if (choices == NULL)
        return DYNO_OK;
    dyno_cuda_conv_types(tactic, choices);
    dyno_strbuf_printf(choices,
                       "#define RUN %u\n#define KH %d\n#define KW %d\n#define SH %d\n"
                       "#define SW %d\n#define DH %d\n#define DW %d\n",
                       tactic->cfg[1], (int)conv.kh, (int)conv.kw, (int)conv.sh, (int)conv.sw,
                       (int)conv.dh, (int)conv.dw);
    return DYNO_OK;
}

DYNO_CUDA_CONV_KERNEL(conv_depthwise, 1, "depthwise.cu");
