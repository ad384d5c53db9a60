/* conv_transpose.h - ConvTranspose in ROW layout, any rank and groups.
 *
 * Two phases a batch and group: columns [output channel, tap][input pixel] = weights x image, then
 * each output channel adds its taps' columns where they belong.
 */
#include "backend/cpu/conv.h"
#include "backend/cpu/kernel.h"
#include "backend/cpu/simd.h"
#include "ops/conv_transpose.h"

#include "backend/cpu/body/tail_linear.h"

extern const struct dyno_kernel DYNO_CPU_KERNEL(conv_transpose);

#define MICRO     (&DYNO_CPU_FN(dyno_gemm_micro))
#define CHUNK_MAX (128 * 1024) /* bytes of image packed at a time */

struct conv_transpose_state {
    struct dyno_window window; /* three axes */
    struct dyno_cpu_tail tail;
    struct dyno_gemm_split split; /* tile_parts of the panels, panel_parts of the tiles */
    int64_t batch, groups, cg, mg, taps;
    int64_t in_plane, out_plane;
    int64_t rows; /* mg * taps */
    int64_t tiles, tile_floats;
    int64_t panels, chunk_panels;
    int64_t columns_bytes; /* of the workspace, before the threads' parts */
    int64_t rows_bytes, thread_bytes;
};

static enum dyno_status resolve(const struct dyno_site *site, struct conv_transpose_state *state,
                                struct dyno_err *err)
{
    const struct dyno_conv_transpose_attrs *attrs = site->step->attrs;
    const struct dyno_buf *x = &site->ins[0];
    const struct dyno_buf *w = &site->ins[1];
    struct dyno_window window;
    *state = (struct conv_transpose_state){0};
    if (x->rank < 3 || x->rank > 2 + DYNO_WINDOW_AXES_MAX || w->rank != x->rank)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED, "'%s' has rank %d", site->step->name, x->rank);
    DYNO_TRY(dyno_conv_transpose_window(attrs, x->rank, x->dims, w->dims, &window, err));
    if (attrs->group < 1 || x->dims[1] % attrs->group != 0 || w->dims[0] != x->dims[1])
        return DYNO_FAIL(err, DYNO_E_FORMAT, "'%s' has %lld groups of %lld channels",
                         site->step->name, (long long)attrs->group, (long long)x->dims[1]);
    state->window = dyno_window_as_3d(&window);
    const struct dyno_window *win = &state->window;
    state->batch = x->dims[0];
    state->groups = attrs->group;
    state->cg = x->dims[1] / attrs->group;
    state->mg = w->dims[1];
    state->taps = win->kernel[0] * win->kernel[1] * win->kernel[2];
    state->in_plane = win->in[0] * win->in[1] * win->in[2];
    state->out_plane = win->out[0] * win->out[1] * win->out[2];
    state->rows = state->mg * state->taps;
    if (state->cg > INT32_MAX || state->in_plane > INT32_MAX || state->rows > INT32_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "'%s' is too large", site->step->name);
    state->tiles = dyno_cpu_div_up(state->rows, MICRO->rows_max);
    state->tile_floats = dyno_cpu_div_up(state->cg, 16) * 16 * MICRO->rows_max;
    state->panels = dyno_gemm_panels(MICRO->panel, state->in_plane);
    if (dyno_cpu_size((uint64_t)state->tile_floats * sizeof(float),
                      (uint64_t)state->tiles * (uint64_t)state->groups, 0) > (UINT64_C(1) << 40))
        return DYNO_FAIL(err, DYNO_E_LIMIT, "'%s' is too large", site->step->name);
    return DYNO_OK;
}

static enum dyno_status check(const struct dyno_site *site, struct conv_transpose_state *s,
                              struct dyno_err *err)
{
    if (!dyno_cpu_conv_accepts(site, DYNO_OP_conv_transpose))
        return dyno_cpu_refuse(site, err);
    DYNO_TRY(resolve(site, s, err));
    return s->rows > 0 && s->cg > 0 ? DYNO_OK : dyno_cpu_refuse(site, err);
}

static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    struct conv_transpose_state s = {0};
    if (max < 1 || check(site, &s, NULL) != DYNO_OK)
        return 0;
    const double outer = (double)s.batch * (double)s.groups;
    const double columns = outer * (double)s.rows * (double)s.in_plane;
    const double us = (double)dyno_gemm_estimate_us(site->target, MICRO, outer, (double)s.rows,
                                                    (double)s.cg, (double)s.in_plane, 0.0) +
                      columns * 1.5e-3 * DYNO_CPU_ISA_COST;
    out[0].est_us = (float)us;
    return 1;
}

static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err)
{
    (void)asked;
    struct conv_transpose_state s = {0};
    DYNO_TRY(check(site, &s, err));
    if (!dyno_cpu_settle_row(site, 0, tactic))
        return dyno_cpu_refuse(site, err);
    tactic->packed_bytes = ((uint64_t)s.tile_floats * (uint64_t)s.tiles * (uint64_t)s.groups +
                            (uint64_t)s.mg * (uint64_t)s.groups) *
                           sizeof(float);
    return DYNO_OK;
}

/* [group][tile][block of 16 of cg][row][16], row = channel * taps + tap; then the biases. */
static enum dyno_status pack(const struct dyno_site *site, const struct dyno_tactic *tactic,
                             void *dst, struct dyno_err *err)
{
    (void)tactic;
    struct conv_transpose_state s = {0};
    DYNO_TRY(resolve(site, &s, err));
    const float *w = site->ins[1].data;
    const float *bias =
        site->step->own_in_count > 2 && site->ins[2].rank >= 0 ? site->ins[2].data : NULL;
    float *to = dst;
    memset(to, 0, (size_t)(s.tile_floats * s.tiles * s.groups) * sizeof(float));
    for (int64_t t = 0; t < s.tiles * s.groups; t++, to += s.tile_floats) {
        int64_t first, last;
        dyno_cpu_share(s.rows, (int)s.tiles, (int)(t % s.tiles), &first, &last);
        const float *from = w + t / s.tiles * s.cg * s.rows;
        for (int64_t r = first; r < last; r++) {
            for (int64_t c = 0; c < s.cg; c++)
                to[(c / 16 * (last - first) + r - first) * 16 + c % 16] = from[c * s.rows + r];
        }
    }
    for (int64_t m = 0; m < s.mg * s.groups; m++)
        to[m] = bias ? bias[m] : 0.0F;
    return DYNO_OK;
}

static enum dyno_status prepare(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                const void *packed, void *state_bytes,
                                uint64_t *workspace_bytes_out, struct dyno_err *err)
{
    (void)tactic;
    (void)packed;
    struct conv_transpose_state *state = state_bytes;
    const int threads = site->target->thread_count;
    DYNO_TRY(resolve(site, state, err));
    DYNO_TRY(dyno_cpu_tail_prepare(site, DYNO_CPU_TAIL_MERGED, &state->tail, err));
    state->split =
        dyno_gemm_split_choose(1, state->panels, state->tiles, state->panels, 1.0, threads);
    const int64_t panel_bytes = (state->cg + 1) * MICRO->panel * (int64_t)sizeof(float);
    const int64_t fit = CHUNK_MAX / panel_bytes;
    state->chunk_panels = fit < 1 ? 1 : fit;
    state->rows_bytes = (state->tiles * (int64_t)sizeof(struct dyno_gemm_rows) + 63) / 64 * 64;
    const uint64_t bytes = dyno_cpu_size((uint64_t)state->chunk_panels, (uint64_t)panel_bytes,
                                         (uint64_t)state->rows_bytes + 63);
    const uint64_t columns =
        dyno_cpu_size((uint64_t)state->rows * sizeof(float), (uint64_t)state->in_plane, 63);
    if (bytes > INT64_MAX / 256 || columns > INT64_MAX / 256)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "'%s' needs more workspace than can be addressed",
                         site->step->name);
    state->thread_bytes = (int64_t)(bytes & ~63ULL);
    state->columns_bytes = (int64_t)(columns & ~63ULL);
    *workspace_bytes_out =
        (uint64_t)state->columns_bytes + (uint64_t)state->thread_bytes * (uint64_t)threads;
    return DYNO_OK;
}

/* --- a run --- */

struct job {
    const struct conv_transpose_state *state;
    struct dyno_run_args *args;
    int64_t outer; /* batch * groups + group */
};

static void columns_task(void *arg, int idx, int thread)
{
    const struct job *job = arg;
    const struct conv_transpose_state *state = job->state;
    const struct dyno_run_args *args = job->args;
    int64_t t0, t1, p0, p1;
    dyno_cpu_share(state->panels, (int)state->split.tile_parts,
                   (int)(idx % state->split.tile_parts), &p0, &p1);
    dyno_cpu_share(state->tiles, (int)state->split.panel_parts,
                   (int)(idx / state->split.tile_parts), &t0, &t1);
    if (t0 == t1 || p0 == p1)
        return;
    char *space = (char *)args->workspace + state->columns_bytes + thread * state->thread_bytes;
    struct dyno_gemm_rows *rows = (void *)space;
    float *image = (void *)(space + state->rows_bytes);
    const float *weights = (const float *)args->packed +
                           job->outer % state->groups * state->tiles * state->tile_floats;
    for (int64_t t = t0; t < t1; t++) {
        int64_t first, last;
        dyno_cpu_share(state->rows, (int)state->tiles, (int)t, &first, &last);
        rows[t - t0] = (struct dyno_gemm_rows){
            .a = weights + t * state->tile_floats,
            .a_row = 16,
            .a_blk = (last - first) * 16,
            .c = first * state->in_plane,
            .rows = (int)(last - first),
            .kind = DYNO_GEMM_BLOCKED,
        };
    }
    struct dyno_gemm_block block = {
        .tile = {.segs = 1,
                 .blks = (int)(state->cg / 16),
                 .rem = (int)(state->cg % 16),
                 .c_row = state->in_plane,
                 .c_blk = 16},
        .rows = rows,
        .row_tiles = t1 - t0,
        .b = image,
        .k = state->cg,
        .n = state->in_plane,
        .c = args->workspace,
        .c_group = 16,
        .exact = true,
    };
    const int64_t panel = MICRO->panel;
    const float *x = (const float *)args->ins[0].data + job->outer * state->cg * state->in_plane;
    for (int64_t p = p0; p < p1; p = block.panel1) {
        block.b_panel0 = p;
        block.panel0 = p;
        block.panel1 = dyno_cpu_min(p + state->chunk_panels, p1);
        float *dst = image;
        for (int64_t i = p; i < block.panel1; i++) {
            const int width = dyno_gemm_width(MICRO->panel, state->in_plane, i);
            dyno_gemm_pack_panel(width, dyno_cpu_min(state->in_plane - i * panel, width), state->cg,
                                 x + i * panel, state->in_plane, 1, 1.0F, dst);
            dst += width * state->cg;
        }
        DYNO_CPU_FN(dyno_gemm_block)(&block);
    }
}

/* One line of a tap's columns into the output line it belongs to. */
static void add_line(const struct dyno_window *win, const float *from, int64_t kx, float *to)
{
    const int64_t step = win->stride[2];
    const int64_t shift = kx * win->dilation[2] - win->pad_begin[2];
    int64_t lo = 0;
    int64_t hi = win->in[2];
    while (lo < hi && lo * step + shift < 0)
        lo++;
    while (hi > lo && (hi - 1) * step + shift >= win->out[2])
        hi--;
    for (int64_t i = lo; i < hi; i++)
        to[i * step + shift] += from[i];
}

static void plane_task(void *arg, int idx, int thread)
{
    (void)thread;
    const struct job *job = arg;
    const struct conv_transpose_state *state = job->state;
    const struct dyno_window *win = &state->window;
    const int64_t plane = job->outer * state->mg + idx;
    const float *biases =
        (const float *)job->args->packed + state->groups * state->tiles * state->tile_floats;
    const float bias = biases[plane % (state->groups * state->mg)];
    const float *columns =
        (const float *)job->args->workspace + (int64_t)idx * state->taps * state->in_plane;
    float *all = job->args->outs[0].data;
    float *y = all + plane * state->out_plane;
    for (int64_t i = 0; i < state->out_plane; i++)
        y[i] = bias;
    for (int64_t tap = 0; tap < state->taps; tap++) {
        const int64_t kx = tap % win->kernel[2];
        const int64_t ky = tap / win->kernel[2] % win->kernel[1];
        const int64_t kz = tap / win->kernel[2] / win->kernel[1];
        for (int64_t line = 0; line < win->in[0] * win->in[1]; line++) {
            const int64_t oz =
                line / win->in[1] * win->stride[0] + kz * win->dilation[0] - win->pad_begin[0];
            const int64_t oy =
                line % win->in[1] * win->stride[1] + ky * win->dilation[1] - win->pad_begin[1];
            if (oz < 0 || oz >= win->out[0] || oy < 0 || oy >= win->out[1])
                continue;
            add_line(win, columns + tap * state->in_plane + line * win->in[2], kx,
                     y + (oz * win->out[1] + oy) * win->out[2]);
        }
    }
    if (state->tail.instr_count > 0)
        tail_linear(&state->tail, job->args->ins, all, plane * state->out_plane,
                    (plane + 1) * state->out_plane);
}

static enum dyno_status run(struct dyno_run_args *args)
{
    const struct conv_transpose_state *state = args->state;
    struct job job = {.state = state, .args = args};
    if (state->out_plane == 0)
        return DYNO_OK;
    for (; job.outer < state->batch * state->groups; job.outer++) {
        dyno_pool_run(args->pool, columns_task, &job,
                      (int)(state->split.tile_parts * state->split.panel_parts));
        dyno_pool_run(args->pool, plane_task, &job, (int)state->mg);
    }
    return DYNO_OK;
}

const struct dyno_kernel DYNO_CPU_KERNEL(conv_transpose) = {
    .name = DYNO_CPU_KERNEL_NAME("conv_transpose"),
    .isa_mask = DYNO_CPU_ISA_MASK,
    .packing = 2,
    .state_bytes = sizeof(struct conv_transpose_state),
    .enumerate = enumerate,
    .settle = settle,
    .packed_ins = 1U << 1,
    .pack = pack,
    .prepare = prepare,
    .run = run,
};
