/* conv.c - the geometry of a Conv step, and weights packed for it. */
#include "backend/cpu/conv.h"

#include "backend/cpu/kernel.h"
#include "ops/conv.h"

#define ELEMENTS_MAX (INT64_C(1) << 40)

static bool constants_only(const struct dyno_site *site)
{
    const struct dyno_step *step = site->step;
    for (uint32_t i = 0; i < step->own_in_count && i < 3; i++) {
        const struct dyno_buf *in = &site->ins[i];
        const bool absent = in->rank < 0;
        if (absent && i == 2)
            continue;
        if (absent || in->dtype != DYNO_F32)
            return false;
        if (i > 0 && !site->in_is_weight[i])
            return false;
    }
    return dyno_cpu_is_f32(&site->outs[0]);
}

bool dyno_cpu_conv_accepts(const struct dyno_site *site, enum dyno_op_id op)
{
    return site->step->op == op && constants_only(site) && dyno_cpu_tail_accepts(site);
}

enum dyno_status dyno_cpu_conv_resolve(const struct dyno_site *site, struct dyno_cpu_conv *conv_out,
                                       struct dyno_err *err)
{
    const struct dyno_conv_attrs *attrs = site->step->attrs;
    const struct dyno_buf *x = &site->ins[0];
    const struct dyno_buf *w = &site->ins[1];
    struct dyno_window window;
    if (x->rank < 3 || x->rank > 4 || w->rank != x->rank)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED, "Conv of rank %d wants rank 3 or 4", x->rank);
    DYNO_TRY(dyno_conv_window(attrs, x->rank, x->dims, w->dims, &window, err));
    const int last = window.axes - 1;
    const bool flat = window.axes == 1;
    struct dyno_cpu_conv conv = {
        .batch = x->dims[0],
        .c = x->dims[1],
        .m = w->dims[0],
        .groups = attrs->group,
        .h = flat ? 1 : window.in[0],
        .w = window.in[last],
        .oh = flat ? 1 : window.out[0],
        .ow = window.out[last],
        .kh = flat ? 1 : window.kernel[0],
        .kw = window.kernel[last],
        .sh = flat ? 1 : window.stride[0],
        .sw = window.stride[last],
        .dh = flat ? 1 : window.dilation[0],
        .dw = window.dilation[last],
        .ph = flat ? 0 : window.pad_begin[0],
        .pw = window.pad_begin[last],
        .ph_end = flat ? 0 : window.pad_end[0],
        .pw_end = window.pad_end[last],
    };
    const int64_t sizes[] = {conv.batch, conv.c,  conv.m,  conv.h,      conv.w,     conv.oh,
                             conv.ow,    conv.kh, conv.kw, conv.sh,     conv.sw,    conv.dh,
                             conv.dw,    conv.ph, conv.pw, conv.ph_end, conv.pw_end};
    for (size_t i = 0; i < DYNO_COUNT(sizes); i++) {
        if (sizes[i] < 0 || sizes[i] > INT32_MAX)
            return DYNO_FAIL(err, DYNO_E_LIMIT, "a size of %lld in a Conv is not in 0..2^31-1",
                             (long long)sizes[i]);
    }
    if (attrs->group < 1 || conv.c % attrs->group != 0 || conv.m % attrs->group != 0 ||
        w->dims[1] != conv.c / attrs->group)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "Conv with %lld groups of %lld channels",
                         (long long)attrs->group, (long long)conv.c);
    conv.cg = conv.c / conv.groups;
    conv.mg = conv.m / conv.groups;
    conv.taps = conv.kh * conv.kw;
    if (conv.taps > ELEMENTS_MAX ||
        dyno_cpu_size((uint64_t)conv.taps, (uint64_t)conv.cg, 0) > ELEMENTS_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "a Conv of %lld taps and %lld channels is too large",
                         (long long)conv.taps, (long long)conv.cg);
    conv.k = conv.taps * conv.cg;
    *conv_out = conv;
    return DYNO_OK;
}

enum dyno_status dyno_cpu_conv_check(const struct dyno_site *site, struct dyno_cpu_conv *conv_out,
                                     struct dyno_err *err)
{
    if (!dyno_cpu_conv_accepts(site, DYNO_OP_conv) || site->ins[0].rank < 3 ||
        site->ins[0].rank > 4)
        return dyno_cpu_refuse(site, err);
    DYNO_TRY(dyno_cpu_conv_resolve(site, conv_out, err));
    return conv_out->m > 0 && conv_out->k > 0 ? DYNO_OK : dyno_cpu_refuse(site, err);
}

bool dyno_cpu_conv_packed(const struct dyno_cpu_conv *conv, int panel,
                          struct dyno_cpu_conv_packed *packed_out)
{
    const int64_t columns = dyno_gemm_columns(panel, conv->mg);
    const uint64_t bias = dyno_cpu_size((uint64_t)conv->groups, (uint64_t)columns, 15) & ~15ULL;
    const uint64_t group = dyno_cpu_size((uint64_t)columns, (uint64_t)conv->k, 0);
    const uint64_t floats = dyno_cpu_size(group, (uint64_t)conv->groups, bias);
    if (floats > ELEMENTS_MAX)
        return false;
    *packed_out = (struct dyno_cpu_conv_packed){
        .columns = columns,
        .b_at = (int64_t)bias,
        .b_group = (int64_t)group,
        .all_bytes = floats * sizeof(float),
    };
    return true;
}

void dyno_cpu_conv_pack(const struct dyno_site *site, const struct dyno_cpu_conv *conv, int panel,
                        float *dst)
{
    struct dyno_cpu_conv_packed packed;
    DYNO_ASSERT(dyno_cpu_conv_packed(conv, panel, &packed));
    const float *w = site->ins[1].data;
    const float *bias =
        site->step->own_in_count > 2 && site->ins[2].rank >= 0 ? site->ins[2].data : NULL;
    for (int64_t i = 0; i < packed.b_at; i++) {
        const int64_t g = i / packed.columns;
        const int64_t j = i % packed.columns;
        dst[i] = bias && g < conv->groups && j < conv->mg ? bias[g * conv->mg + j] : 0.0F;
    }
    for (int64_t g = 0; g < conv->groups; g++) {
        float *b = dst + packed.b_at + g * packed.b_group;
        for (int64_t p = 0; p < dyno_gemm_panels(panel, conv->mg); p++) {
            const int width = dyno_gemm_width(panel, conv->mg, p);
            const int64_t left = conv->mg - p * panel;
            for (int64_t tap = 0; tap < conv->taps; tap++) {
                const float *from = w + (g * conv->mg + p * panel) * conv->k + tap;
                dyno_gemm_pack_panel(width, dyno_cpu_min(left, width), conv->cg, from, conv->taps,
                                     conv->k, 1.0F, b);
                b += width * conv->cg;
            }
        }
    }
}
