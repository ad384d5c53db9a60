/* conv_plain.c - geometry, parameters, programs and launches of the convolutions that are no
 * product. */
#include "backend/cuda/conv_plain.h"

#include <string.h>

#include "backend/cpu/conv.h"
#include "ops/conv_transpose.h"

#define BYTES_MAX  (INT64_C(1) << 40) /* of weights */
#define WINDOW_MAX 7                  /* taps of an axis */
#define STRIDE_MAX 4

/* --- geometry --- */

static enum dyno_status take_conv(const struct dyno_site *site, struct dyno_cuda_conv *out,
                                  struct dyno_err *err)
{
    struct dyno_cpu_conv conv = {.batch = 0};
    DYNO_TRY(dyno_cpu_conv_resolve(site, &conv, err));
    *out = (struct dyno_cuda_conv){
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

static enum dyno_status take_transposed(const struct dyno_site *site, struct dyno_cuda_conv *out,
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
    *out = (struct dyno_cuda_conv){
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

static enum dyno_status check_sizes(const struct dyno_site *site, const struct dyno_cuda_conv *conv,
                                    struct dyno_err *err)
{
    const int64_t sizes[] = {conv->batch, conv->c,  conv->m,  conv->h,  conv->w,
                             conv->oh,    conv->ow, conv->kh, conv->kw, conv->sh,
                             conv->sw,    conv->dh, conv->dw, conv->ph, conv->pw};
    for (size_t i = 0; i < DYNO_COUNT(sizes); i++) {
        if (sizes[i] < 0) /* a window that cuts off what is there */
            return dyno_cuda_refuse(site, err);
        if (sizes[i] > INT32_MAX / 64)
            return DYNO_FAIL(err, DYNO_E_LIMIT, "a size of %lld in a convolution is too large",
                             (long long)sizes[i]);
    }
    if (conv->kh * conv->dh > INT32_MAX / 4 || conv->kw * conv->dw > INT32_MAX / 4 ||
        conv->oh * conv->sh > INT32_MAX / 4 || conv->ow * conv->sw > INT32_MAX / 4 ||
        conv->kh * conv->kw > INT32_MAX / 4 ||
        conv->oh * conv->ow > INT32_MAX / (conv->batch + 1) ||
        conv->kh * conv->kw * conv->cg > BYTES_MAX / 8 / (conv->m + 8))
        return DYNO_FAIL(err, DYNO_E_LIMIT, "a convolution whose sizes are too large");
    return DYNO_OK;
}

enum dyno_status dyno_cuda_conv_of(const struct dyno_site *site, struct dyno_cuda_conv *conv_out,
                                   struct dyno_err *err)
{
    const enum dyno_op_id op = site->step->op;
    struct dyno_cuda_conv conv = {.batch = 0};
    if ((op != DYNO_OP_conv && op != DYNO_OP_conv_transpose) || !dyno_cpu_conv_accepts(site, op) ||
        !dyno_cuda_readable(site, 0) || site->in_is_weight[0] || site->ins[0].rank < 3 ||
        site->ins[0].rank > 4)
        return dyno_cuda_refuse(site, err);
    DYNO_TRY(op == DYNO_OP_conv ? take_conv(site, &conv, err) : take_transposed(site, &conv, err));
    if (conv.c < 1 || conv.m < 1 || conv.c % conv.groups != 0 || conv.kh < 1 || conv.kw < 1)
        return dyno_cuda_refuse(site, err);
    conv.cg = conv.c / conv.groups;
    conv.mg = conv.m / conv.groups;
    *conv_out = conv;
    return check_sizes(site, &conv, err);
}

enum dyno_status dyno_cuda_window_of(const struct dyno_site *site, struct dyno_layout layout,
                                     struct dyno_cuda_window *window_out, struct dyno_err *err)
{
    struct dyno_cuda_window window = {.in_stored = 0};
    struct dyno_cpu_conv *conv = &window.conv;
    if (site->step->op != DYNO_OP_conv || !dyno_cpu_conv_accepts(site, DYNO_OP_conv) ||
        !dyno_cuda_readable(site, 0) || site->in_is_weight[0] || site->ins[0].rank != 4 ||
        layout.block != 8)
        return dyno_cuda_refuse(site, err);
    DYNO_TRY(dyno_cpu_conv_resolve(site, conv, err));
    if (conv->groups != 1 || conv->c < 1 || conv->m < 1 || conv->kw < 1 || conv->kh < 1 ||
        conv->kw > WINDOW_MAX || conv->kh > WINDOW_MAX || conv->taps < 2 || conv->dh != 1 ||
        conv->dw != 1 || conv->sh > STRIDE_MAX || conv->sw > STRIDE_MAX || conv->ph < 0 ||
        conv->pw < 0)
        return dyno_cuda_refuse(site, err);
    window.in_stored = dyno_cuda_stored(conv->c, layout);
    window.out_stored = dyno_cuda_stored(conv->m, layout);
    DYNO_TRY(dyno_cuda_conv_limits(conv, err));
    *window_out = window;
    return DYNO_OK;
}

float dyno_cuda_conv_bias(const struct dyno_site *site, int64_t m)
{
    return dyno_cuda_is_absent(site, 2) ? 0.0F : ((const float *)site->ins[2].data)[m];
}

enum dyno_status dyno_cuda_window_settle(const struct dyno_site *site,
                                         const struct dyno_tactic *asked, int used,
                                         struct dyno_tactic *tactic,
                                         struct dyno_cuda_window *window_out, struct dyno_err *err)
{
    struct dyno_cuda_tail tail;
    if (!dyno_cuda_rest_is_zero(asked, used) || !dyno_cuda_asks_layout(asked, true))
        return dyno_cuda_refuse(site, err);
    tactic->in_layouts[0] = asked->out_layout;
    DYNO_TRY(dyno_cuda_window_of(site, asked->out_layout, window_out, err));
    return dyno_cuda_tail_plan(site, tactic, &tail) ? DYNO_OK : dyno_cuda_refuse(site, err);
}

enum dyno_status dyno_cuda_window_pack(const struct dyno_site *site,
                                       const struct dyno_tactic *tactic, dyno_cuda_place_fn *place,
                                       void *dst, struct dyno_err *err)
{
    struct dyno_cuda_window window = {.in_stored = 0};
    DYNO_TRY(dyno_cuda_window_of(site, tactic->out_layout, &window, err));
    const struct dyno_cpu_conv *conv = &window.conv;
    const float *w = site->ins[1].data;
    float *bias = dst;
    void *weights = bias + window.out_stored;
    memset(dst, 0, tactic->packed_bytes);
    for (int64_t m = 0; m < conv->m; m++) {
        bias[m] = dyno_cuda_conv_bias(site, m);
        for (int64_t i = 0; i < conv->c * conv->taps; i++)
            dyno_elem_store_f64(
                (enum dyno_dtype)tactic->out_layout.elem, weights,
                (size_t)place(&window, tactic->cfg[1], m, i / conv->taps, i % conv->taps),
                (double)w[m * conv->c * conv->taps + i]);
    }
    return DYNO_OK;
}

/* --- parameters and launches --- */

enum dyno_status dyno_cuda_conv_limits(const struct dyno_cpu_conv *conv, struct dyno_err *err)
{
    const int64_t sizes[] = {conv->h,  conv->w,  conv->oh, conv->ow,
                             conv->ph, conv->pw, conv->c,  conv->m};
    bool fits = conv->batch <= UINT16_MAX && conv->oh * conv->ow <= INT32_MAX / (conv->batch + 1);
    for (size_t i = 0; i < DYNO_COUNT(sizes); i++)
        fits = fits && sizes[i] <= INT32_MAX / 128;
    return fits ? DYNO_OK
                : DYNO_FAIL(err, DYNO_E_LIMIT,
                            "a Conv of %lld times %lld x %lld outputs is too large",
                            (long long)conv->batch, (long long)conv->oh, (long long)conv->ow);
}

struct dyno_gpu_conv dyno_cuda_conv_params(const struct dyno_cpu_conv *conv, int64_t c, int64_t m)
{
    return (struct dyno_gpu_conv){.batch = (int)conv->batch,
                                  .c = (int)c,
                                  .m = (int)m,
                                  .channels = (int)conv->m,
                                  .h = (int)conv->h,
                                  .w = (int)conv->w,
                                  .oh = (int)conv->oh,
                                  .ow = (int)conv->ow,
                                  .ph = (int)conv->ph,
                                  .pw = (int)conv->pw};
}

bool dyno_cuda_conv_asks(const struct dyno_tactic *asked, uint32_t longest)
{
    const uint32_t run = asked->cfg[1];
    return run >= 1 && run <= longest && (run & (run - 1)) == 0 &&
           dyno_cuda_rest_is_zero(asked, 2) && dyno_cuda_asks_layout(asked, true);
}

void dyno_cuda_conv_types(const struct dyno_tactic *tactic, struct dyno_strbuf *choices)
{
    const char *type = dyno_cuda_type(tactic->out_layout);
    dyno_strbuf_printf(choices, "#define T %s\n#define TO %s\n#define VEC %d\n", type, type,
                       tactic->out_layout.block);
}

void dyno_cuda_conv_spread(int64_t threads, struct dyno_cuda_conv_state *state)
{
    state->grid[0] = dyno_cuda_div_up(threads, DYNO_CUDA_CONV_THREADS);
    state->grid[1] = state->grid[2] = 1;
    state->threads = DYNO_CUDA_CONV_THREADS;
}

enum dyno_status dyno_cuda_conv_program(const struct dyno_site *site,
                                        const struct dyno_tactic *tactic,
                                        dyno_cuda_conv_describe_fn *describe,
                                        struct dyno_strbuf *choices, struct dyno_err *err)
{
    struct dyno_cuda_conv_state state = {.threads = 0};
    DYNO_TRY(describe(site, tactic, &state, choices, err));
    if (!dyno_cuda_tail_plan(site, tactic, &state.tail))
        return dyno_cuda_refuse(site, err);
    dyno_cuda_tail_text(&site->step->tail, &state.tail, choices);
    return DYNO_OK;
}

enum dyno_status dyno_cuda_conv_prepare(const struct dyno_site *site,
                                        const struct dyno_tactic *tactic,
                                        dyno_cuda_conv_describe_fn *describe,
                                        struct dyno_cuda_conv_state *state, struct dyno_err *err)
{
    const uint64_t most = site->target->gpu.shared_bytes;
    *state = (struct dyno_cuda_conv_state){.threads = 0};
    DYNO_TRY(describe(site, tactic, state, NULL, err));
    state->params.x_ld = (int)dyno_cuda_ld(&site->ins[0], tactic->in_layouts[0]);
    state->params.y_ld = (int)dyno_cuda_ld(&site->outs[0], tactic->out_layout);
    if (!dyno_cuda_tail_plan(site, tactic, &state->tail))
        return dyno_cuda_refuse(site, err);
    if (!dyno_cuda_tail_sizes(site, tactic, &state->tail, &state->params.tail))
        return DYNO_FAIL(err, DYNO_E_LIMIT, "an operand of the tail is too large");
    if ((uint64_t)state->shared_bytes > most || state->shared_bytes > INT32_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT,
                         "a block wants %lld bytes of shared memory, this GPU has %llu",
                         (long long)state->shared_bytes, (unsigned long long)most);
    return DYNO_OK;
}

enum dyno_status dyno_cuda_conv_run(struct dyno_run_args *args)
{
    const struct dyno_cuda_conv_state *state = args->state;
    struct dyno_gpu_conv params = state->params;
    params.x = dyno_cuda_address(args->ins[0].data);
    params.y = dyno_cuda_address(args->outs[0].data);
    params.bias = dyno_cuda_address(args->packed);
    params.weights = params.bias + (unsigned long long)params.m * sizeof(float);
    dyno_cuda_tail_bind(args, &state->tail, &params.tail);
    return dyno_cuda_launch(args, state->grid, state->threads, (uint32_t)state->shared_bytes,
                            &params, sizeof(params));
}
