/* conv_direct.c - Conv in groups, and ConvTranspose, channels last.
 *
 * Packed: the bias of every output as stored (f32), then the weights
 * [group][tap][input of the group][output of the group as stored] in the type of x.
 */
#include <string.h>

#include "backend/cpu/conv.h"
#include "backend/cuda/conv_plain.h"
#include "ops/conv_transpose.h"

extern const struct dyno_kernel dyno_kernel_cuda_conv_direct;

#define BYTES_MAX (INT64_C(1) << 40)
#define RUN_MAX   4 /* outputs a thread: a power of two */

/* A convolution, or a transposed one, at the bound shape. */
struct direct {
    bool is_transposed;
    int64_t batch, c, m, groups, cg, mg;
    int64_t h, w, oh, ow, kh, kw, sh, sw, dh, dw, ph, pw;
    int64_t mg_stored; /* of one group: m as stored; of more, mg */
};

static enum dyno_status take_conv(const struct dyno_site *site, struct direct *direct,
                                  struct dyno_err *err)
{
    struct dyno_cpu_conv conv = {.batch = 0};
    DYNO_TRY(dyno_cpu_conv_resolve(site, &conv, err));
    *direct = (struct direct){
        .batch = conv.batch,
        .c = conv.c,
        .m = conv.m,
        .groups = conv.groups,
        .h = conv.h,
        .w = conv.w,
        .oh = conv.oh,
        .ow = conv.ow,
        .kh = conv.kh,
        .kw = conv.kw,
        .sh = conv.sh,
        .sw = conv.sw,
        .dh = conv.dh,
        .dw = conv.dw,
        .ph = conv.ph,
        .pw = conv.pw,
    };
    return DYNO_OK;
}

static enum dyno_status take_transposed(const struct dyno_site *site, struct direct *direct,
                                        struct dyno_err *err)
{
    const struct dyno_conv_transpose_attrs *attrs = site->step->attrs;
    const struct dyno_buf *x = &site->ins[0];
    const struct dyno_buf *w = &site->ins[1];
    struct dyno_window window;
    if (w->rank != x->rank)
        return dyno_cuda_refuse(site, err);
    DYNO_TRY(dyno_conv_transpose_window(attrs, x->rank, x->dims, w->dims, &window, err));
    if (attrs->group < 1 || w->dims[0] != x->dims[1])
        return dyno_cuda_refuse(site, err);
    window = dyno_window_as_3d(&window);
    *direct = (struct direct){
        .is_transposed = true,
        .batch = x->dims[0],
        .c = x->dims[1],
        .m = w->dims[1] * attrs->group,
        .groups = attrs->group,
        .h = window.in[1],
        .w = window.in[2],
        .oh = window.out[1],
        .ow = window.out[2],
        .kh = window.kernel[1],
        .kw = window.kernel[2],
        .sh = window.stride[1],
        .sw = window.stride[2],
        .dh = window.dilation[1],
        .dw = window.dilation[2],
        .ph = window.pad_begin[1],
        .pw = window.pad_begin[2],
    };
    return DYNO_OK;
}

static enum dyno_status check_sizes(const struct dyno_site *site, const struct direct *d,
                                    struct dyno_err *err)
{
    const int64_t sizes[] = {d->batch, d->c,  d->m,  d->h,  d->w,  d->oh, d->ow, d->kh,
                             d->kw,    d->sh, d->sw, d->dh, d->dw, d->ph, d->pw};
    for (size_t i = 0; i < DYNO_COUNT(sizes); i++) {
        if (sizes[i] < 0) /* a window that cuts off what is there */
            return dyno_cuda_refuse(site, err);
        if (sizes[i] > INT32_MAX / 64)
            return DYNO_FAIL(err, DYNO_E_LIMIT, "a size of %lld in a convolution is too large",
                             (long long)sizes[i]);
    }
    if (d->kh * d->dh > INT32_MAX / 4 || d->kw * d->dw > INT32_MAX / 4 ||
        d->oh * d->sh > INT32_MAX / 4 || d->ow * d->sw > INT32_MAX / 4 ||
        d->kh * d->kw > INT32_MAX / 4 || d->oh * d->ow > INT32_MAX / (d->batch + 1) ||
        d->kh * d->kw * d->cg > BYTES_MAX / 8 / (d->m + 8))
        return DYNO_FAIL(err, DYNO_E_LIMIT, "a convolution whose sizes are too large");
    return DYNO_OK;
}

/* cfg[0]: number of the layout; cfg[1]: outputs a thread. */
static enum dyno_status direct_of(const struct dyno_site *site, struct dyno_layout layout,
                                  struct direct *direct, struct dyno_err *err)
{
    const enum dyno_op_id op = site->step->op;
    if ((op != DYNO_OP_conv && op != DYNO_OP_conv_transpose) || !dyno_cpu_conv_accepts(site, op) ||
        !dyno_cuda_readable(site, 0) || site->in_is_weight[0] || site->ins[0].rank < 3 ||
        site->ins[0].rank > 4)
        return dyno_cuda_refuse(site, err);
    DYNO_TRY(op == DYNO_OP_conv ? take_conv(site, direct, err)
                                : take_transposed(site, direct, err));
    if (layout.block < 1 || direct->c < 1 || direct->m < 1 || direct->c % direct->groups != 0 ||
        direct->kh < 1 || direct->kw < 1)
        return dyno_cuda_refuse(site, err);
    direct->cg = direct->c / direct->groups;
    direct->mg = direct->m / direct->groups;
    direct->mg_stored = direct->groups == 1 ? dyno_cuda_stored(direct->m, layout) : direct->mg;
    /* A vector of outputs is of one group; one filter a channel, and one group, have kernels. */
    if (direct->mg_stored % layout.block != 0 ||
        (!direct->is_transposed && (direct->groups == 1 || direct->cg == 1)))
        return dyno_cuda_refuse(site, err);
    return check_sizes(site, direct, err);
}

static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    int count = 0;
    for (int i = 0; i < dyno_cuda_layout_count; i++) {
        const struct dyno_layout layout = dyno_cuda_layouts[i];
        struct direct direct = {.batch = 0};
        if (!dyno_cuda_is_last(layout) || !dyno_cuda_layout_allowed(layout, site->target) ||
            direct_of(site, layout, &direct, NULL) != DYNO_OK)
            continue;
        for (int64_t run = 1; run <= RUN_MAX && count < max; run *= 2) {
            out[count] = (struct dyno_tactic){.cfg = {(uint32_t)i, (uint32_t)run}};
            dyno_cuda_tail_layouts(site, layout, &out[count]);
            const double taps = (double)(direct.kh * direct.kw) /
                                (double)(direct.is_transposed ? direct.sh * direct.sw : 1);
            const double ops = 2.0 * taps * (double)direct.cg *
                               (double)(direct.batch * direct.oh * direct.ow * direct.m);
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
    struct direct direct = {.batch = 0};
    struct dyno_cuda_tail tail;
    if (!dyno_cuda_conv_asks(asked, RUN_MAX))
        return dyno_cuda_refuse(site, err);
    const struct dyno_layout layout = asked->out_layout;
    tactic->in_layouts[0] = layout;
    DYNO_TRY(direct_of(site, layout, &direct, err));
    if (!dyno_cuda_tail_plan(site, tactic, &tail))
        return dyno_cuda_refuse(site, err);
    tactic->packed_bytes =
        (uint64_t)dyno_cuda_stored(direct.m, layout) * sizeof(float) +
        (uint64_t)(direct.groups * direct.kh * direct.kw * direct.cg * direct.mg_stored) *
            (layout.elem != 0 ? 2U : 4U);
    tactic->flags = layout.elem == 0 ? DYNO_TACTIC_BASELINE : 0;
    return DYNO_OK;
}

/* Conv: [m][cg][taps]; ConvTranspose: [c][mg][taps]. */
static float weight_at(const struct dyno_site *site, const struct direct *direct, int64_t group,
                       int64_t tap, int64_t in, int64_t out)
{
    const float *weights = site->ins[1].data;
    const int64_t taps = direct->kh * direct->kw;
    const int64_t row = direct->is_transposed ? (group * direct->cg + in) * direct->mg + out
                                              : (group * direct->mg + out) * direct->cg + in;
    return weights[row * taps + tap];
}

static enum dyno_status pack(const struct dyno_site *site, const struct dyno_tactic *tactic,
                             void *dst, struct dyno_err *err)
{
    struct direct direct = {.batch = 0};
    const struct dyno_layout layout = tactic->in_layouts[0];
    DYNO_TRY(direct_of(site, layout, &direct, err));
    const bool has_bias = site->step->own_in_count > 2 && site->ins[2].rank >= 0;
    const enum dyno_dtype elem = layout.elem != 0 ? (enum dyno_dtype)layout.elem : DYNO_F32;
    const int64_t taps = direct.kh * direct.kw;
    float *bias = dst;
    float *weights = bias + dyno_cuda_stored(direct.m, layout);
    memset(dst, 0, tactic->packed_bytes);
    for (int64_t m = 0; has_bias && m < direct.m; m++)
        bias[m] = ((const float *)site->ins[2].data)[m];
    for (int64_t row = 0; row < direct.groups * taps * direct.cg; row++) {
        const int64_t in = row % direct.cg, tap = row / direct.cg % taps;
        const int64_t group = row / direct.cg / taps;
        for (int64_t out = 0; out < direct.mg; out++)
            dyno_elem_store_f64(elem, weights, (size_t)(row * direct.mg_stored + out),
                                (double)weight_at(site, &direct, group, tap, in, out));
    }
    return DYNO_OK;
}

static enum dyno_status program_of(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                   const char **source_out, struct dyno_strbuf *choices,
                                   struct dyno_err *err)
{
    struct direct direct = {.batch = 0};
    struct dyno_cuda_tail tail;
    const struct dyno_layout layout = tactic->out_layout;
    DYNO_TRY(direct_of(site, layout, &direct, err));
    if (!dyno_cuda_tail_plan(site, tactic, &tail))
        return dyno_cuda_refuse(site, err);
    const char *type = dyno_cuda_type(layout);
    *source_out = "direct.cu";
    dyno_strbuf_printf(choices,
                       "#define T %s\n#define TO %s\n#define VEC %d\n#define RUN %u\n"
                       "#define TRANSPOSED %d\n#define KH %d\n#define KW %d\n#define SH %d\n"
                       "#define SW %d\n#define DH %d\n#define DW %d\n#define CG %d\n"
                       "#define MG %d\n#define VX %d\n",
                       type, type, layout.block, tactic->cfg[1], direct.is_transposed,
                       (int)direct.kh, (int)direct.kw, (int)direct.sh, (int)direct.sw,
                       (int)direct.dh, (int)direct.dw, (int)direct.cg, (int)direct.mg_stored,
                       direct.cg % layout.block == 0 ? layout.block : 1);
    dyno_cuda_tail_text(&site->step->tail, &tail, choices);
    return DYNO_OK;
}

static enum dyno_status prepare(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                const void *packed, void *state_bytes,
                                uint64_t *workspace_bytes_out, struct dyno_err *err)
{
    (void)packed;
    const struct dyno_layout layout = tactic->in_layouts[0];
    struct direct d = {.batch = 0};
    *workspace_bytes_out = 0;
    DYNO_TRY(direct_of(site, layout, &d, err));
    const int64_t stored = dyno_cuda_stored(d.m, layout);
    const struct dyno_gpu_conv params = {.batch = (int)d.batch,
                                         .c = (int)dyno_cuda_stored(d.c, layout),
                                         .m = (int)stored,
                                         .channels = (int)d.m,
                                         .h = (int)d.h,
                                         .w = (int)d.w,
                                         .oh = (int)d.oh,
                                         .ow = (int)d.ow,
                                         .ph = (int)d.ph,
                                         .pw = (int)d.pw};
    const int64_t step = d.is_transposed ? d.sw : 1;
    const int64_t runs = dyno_cuda_div_up(d.ow, tactic->cfg[1] * step) * step;
    return dyno_cuda_conv_prepare(
        site, tactic, &params, d.batch * d.oh * runs * (stored / layout.block), state_bytes, err);
}

const struct dyno_kernel dyno_kernel_cuda_conv_direct = {
    .name = "conv_direct_cuda",
    .packing = 1,
    .packed_ins = 1U << 1,
    .state_bytes = sizeof(struct dyno_cuda_conv_state),
    .place = DYNO_ON_GPU,
    .enumerate = enumerate,
    .settle = settle,
    .pack = pack,
    .prepare = prepare,
    .run = dyno_cuda_conv_run,
    .program = program_of,
};
