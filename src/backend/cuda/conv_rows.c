/* conv_rows.c - Conv, in groups or not, and ConvTranspose, in rows of f32, as frameworks have them:
 * for the unoptimised execution; for few outputs, where channels last are mostly padding and
 * two changes of layout (a detector's weighted sums of bins); and for groups that no other kernel
 * does. */
#include "backend/cuda/conv_plain.h"

extern const struct dyno_kernel dyno_kernel_cuda_conv_rows;

#define THREADS     256
#define OUTPUTS_MAX 4 /* channels, but of the unoptimised execution */

struct conv_rows_state {
    struct dyno_gpu_conv_rows params;
    struct dyno_cuda_tail tail;
    int64_t grid[3];
};

/* Groups of outputs that are no whole vectors, several filters a channel, and windows of one filter
 * a channel that are too wide for its kernel (conv_direct.c, conv_depthwise.c). */
static bool is_for_rows_alone(const struct dyno_cuda_conv *conv)
{
    if (conv->groups == 1)
        return false;
    if (conv->is_transposed || conv->cg > 1)
        return conv->mg % 4 != 0;
    return conv->m != conv->c || (conv->kw - 1) * conv->dw >= 64 || conv->kw > 64 ||
           conv->kh * conv->kw > 1024;
}

static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    struct dyno_cuda_conv conv = {.batch = 0};
    if (max < 1 || dyno_cuda_conv_of(site, &conv, NULL) != DYNO_OK ||
        (!site->target->baseline && conv.m > OUTPUTS_MAX && !is_for_rows_alone(&conv)))
        return 0;
    dyno_cuda_tail_layouts(site, DYNO_ROW, &out[0]);
    const double taps =
        (double)(conv.kh * conv.kw) / (double)(conv.is_transposed ? conv.sh * conv.sw : 1);
    const double ops =
        2.0 * taps * (double)conv.cg * (double)(conv.batch * conv.oh * conv.ow * conv.m);
    out[0].est_us = (float)(dyno_cuda_move_us(site->target, 0.0) + ops / 2.0e6);
    return 1;
}

static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err)
{
    struct dyno_cuda_conv conv = {.batch = 0};
    struct dyno_cuda_tail tail;
    if (!dyno_cuda_rest_is_zero(asked, 0) || !dyno_layout_same(asked->out_layout, DYNO_ROW))
        return dyno_cuda_refuse(site, err);
    DYNO_TRY(dyno_cuda_conv_of(site, &conv, err));
    if (!dyno_cuda_tail_plan(site, tactic, &tail))
        return dyno_cuda_refuse(site, err);
    tactic->flags = DYNO_TACTIC_BASELINE;
    return DYNO_OK;
}

static enum dyno_status program_of(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                   const char **source_out, struct dyno_strbuf *choices,
                                   struct dyno_err *err)
{
    struct dyno_cuda_conv conv = {.batch = 0};
    struct dyno_cuda_tail tail;
    DYNO_TRY(dyno_cuda_conv_of(site, &conv, err));
    if (!dyno_cuda_tail_plan(site, tactic, &tail))
        return dyno_cuda_refuse(site, err);
    *source_out = "conv_rows.cu";
    dyno_strbuf_printf(choices,
                       "#define TRANSPOSED %d\n#define KH %d\n#define KW %d\n#define SH %d\n"
                       "#define SW %d\n#define DH %d\n#define DW %d\n#define CG %d\n",
                       conv.is_transposed, (int)conv.kh, (int)conv.kw, (int)conv.sh, (int)conv.sw,
                       (int)conv.dh, (int)conv.dw, (int)conv.cg);
    dyno_cuda_tail_text(&site->step->tail, &tail, choices);
    return DYNO_OK;
}

static enum dyno_status prepare(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                const void *packed, void *state_bytes,
                                uint64_t *workspace_bytes_out, struct dyno_err *err)
{
    (void)packed;
    struct conv_rows_state *state = state_bytes;
    struct dyno_cuda_conv conv = {.batch = 0};
    *state = (struct conv_rows_state){.grid = {0, 1, 1}};
    *workspace_bytes_out = 0;
    DYNO_TRY(dyno_cuda_conv_of(site, &conv, err));
    if (!dyno_cuda_tail_plan(site, tactic, &state->tail))
        return dyno_cuda_refuse(site, err);
    const int64_t count = conv.batch * conv.oh * conv.ow * conv.m;
    if (count > INT32_MAX || !dyno_cuda_tail_sizes(site, tactic, &state->tail, &state->params.tail))
        return DYNO_FAIL(err, DYNO_E_LIMIT, "a convolution to %lld elements is too large",
                         (long long)count);
    struct dyno_gpu_conv_rows *params = &state->params;
    params->count = (unsigned)count;
    params->c = (int)conv.c;
    params->m = (int)conv.m;
    params->mg = (int)conv.mg;
    params->h = (int)conv.h;
    params->w = (int)conv.w;
    params->oh = (int)conv.oh;
    params->ow = (int)conv.ow;
    params->ph = (int)conv.ph;
    params->pw = (int)conv.pw;
    state->grid[0] = dyno_cuda_div_up(count, THREADS);
    return DYNO_OK;
}

static enum dyno_status run(struct dyno_run_args *args)
{
    const struct conv_rows_state *state = args->state;
    struct dyno_gpu_conv_rows params = state->params;
    params.x = dyno_cuda_address(args->ins[0].data);
    params.weights = dyno_cuda_address(args->ins[1].data);
    if (args->step->own_in_count > 2 && args->ins[2].rank >= 0)
        params.bias = dyno_cuda_address(args->ins[2].data);
    params.y = dyno_cuda_address(args->outs[0].data);
    dyno_cuda_tail_bind(args, &state->tail, &params.tail);
    return dyno_cuda_launch(args, state->grid, THREADS, 0, &params, sizeof(params));
}

const struct dyno_kernel dyno_kernel_cuda_conv_rows = {
    .name = "conv_rows_cuda",
    .packing = 1,
    .state_bytes = sizeof(struct conv_rows_state),
    .place = DYNO_ON_GPU,
    .enumerate = enumerate,
    .settle = settle,
    .prepare = prepare,
    .run = run,
    .program = program_of,
};
