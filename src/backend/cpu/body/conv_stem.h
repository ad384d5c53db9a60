/* conv_stem.h - Conv of few input channels from ROW into BLOCK layout: a network's first layer.
 *
 * The input lines that a stretch of one output line needs are copied with their zeros into a window
 * ([channel][ky][column]); a table says where in it each element of K lies, and a tile's rows are a
 * stride apart.
 */
#include "backend/cpu/conv.h"
#include "backend/cpu/kernel.h"
#include "backend/cpu/simd.h"

extern const struct dyno_kernel DYNO_CPU_KERNEL(conv_stem);

#define MICRO        (&DYNO_CPU_FN(dyno_gemm_micro))
#define CHANNELS_MAX 16
#define PIXELS_MAX   512 /* of a stretch */

struct conv_stem_state {
    struct dyno_cpu_conv conv;
    struct dyno_cpu_conv_packed packed;
    struct dyno_cpu_tail tail;
    int64_t stretches; /* of an output line */
    int64_t tiles_max; /* of a stretch */
    int64_t window_cols;
    int64_t table_bytes; /* of K's offsets, before the threads' parts of the workspace */
    int64_t rows_bytes, thread_bytes;
};

static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    struct dyno_cpu_conv g;
    if (max < 1 || dyno_cpu_conv_check(site, &g, NULL) != DYNO_OK)
        return 0;
    const double lines = (double)g.batch * (double)g.oh;
    const double bytes = 4.0 * ((double)g.batch * (double)g.c * (double)g.h * (double)g.w +
                                lines * (double)g.ow * (double)g.m);
    const double us = 1.1 * (double)dyno_gemm_estimate_us(site->target, MICRO, lines, (double)g.ow,
                                                          (double)g.k, (double)g.m, bytes);
    dyno_cpu_tactic_block(&out[0], site, us);
    return 1;
}

static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err)
{
    (void)asked;
    struct dyno_cpu_conv g;
    struct dyno_cpu_conv_packed packed;
    DYNO_TRY(dyno_cpu_conv_check(site, &g, err));
    if (g.groups != 1 || g.c > CHANNELS_MAX || !dyno_cpu_conv_packed(&g, MICRO->panel, &packed) ||
        !dyno_cpu_settle_block(site, 0, 0, tactic))
        return dyno_cpu_refuse(site, err);
    tactic->packed_bytes = packed.all_bytes;
    return DYNO_OK;
}

static enum dyno_status pack(const struct dyno_site *site, const struct dyno_tactic *tactic,
                             void *dst, struct dyno_err *err)
{
    struct dyno_cpu_conv g;
    (void)tactic;
    DYNO_TRY(dyno_cpu_conv_resolve(site, &g, err));
    dyno_cpu_conv_pack(site, &g, MICRO->panel, dst);
    return DYNO_OK;
}

static enum dyno_status prepare(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                const void *packed, void *state_bytes,
                                uint64_t *workspace_bytes_out, struct dyno_err *err)
{
    (void)tactic;
    (void)packed;
    struct conv_stem_state *state = state_bytes;
    const struct dyno_cpu_conv *g = &state->conv;
    *state = (struct conv_stem_state){0};
    DYNO_TRY(dyno_cpu_conv_resolve(site, &state->conv, err));
    DYNO_TRY(dyno_cpu_tail_prepare(site, DYNO_CPU_TAIL_AXES, &state->tail, err));
    if (!dyno_cpu_conv_packed(g, MICRO->panel, &state->packed))
        return DYNO_FAIL(err, DYNO_E_LIMIT, "'%s' has weights too large to pack", site->step->name);
    state->stretches = dyno_cpu_div_up(g->ow, PIXELS_MAX);
    const int64_t pixels = state->stretches > 0 ? dyno_cpu_div_up(g->ow, state->stretches) : 0;
    state->tiles_max = dyno_cpu_div_up(pixels, MICRO->rows_max);
    state->window_cols = pixels > 0 ? (pixels - 1) * g->sw + (g->kw - 1) * g->dw + 1 : 0;
    const uint64_t window =
        dyno_cpu_size((uint64_t)state->window_cols, (uint64_t)g->c * (uint64_t)g->kh, 16);
    const uint64_t tasks =
        dyno_cpu_size((uint64_t)g->batch * (uint64_t)g->oh, (uint64_t)state->stretches, 0);
    if (window > INT32_MAX || tasks > INT32_MAX || g->k > INT32_MAX / 8)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "'%s' has a window of %llu elements in %llu pieces",
                         site->step->name, (unsigned long long)window, (unsigned long long)tasks);
    state->table_bytes = (g->k * (int64_t)sizeof(int32_t) + 63) / 64 * 64;
    state->rows_bytes = (state->tiles_max * (int64_t)sizeof(struct dyno_gemm_rows) + 63) / 64 * 64;
    state->thread_bytes =
        state->rows_bytes + ((int64_t)window * (int64_t)sizeof(float) + 63) / 64 * 64;
    *workspace_bytes_out = (uint64_t)state->table_bytes +
                           (uint64_t)state->thread_bytes * (uint64_t)site->target->thread_count;
    return DYNO_OK;
}

/* --- a run --- */

struct job {
    const struct conv_stem_state *state;
    struct dyno_run_args *args;
    const int32_t *table;
};

/* Input lines of output line oy, `cols` columns from ix on, zeros outside. */
static void copy_window(const struct conv_stem_state *state, const float *x, int64_t oy, int64_t ix,
                        int64_t cols, float *dst)
{
    const struct dyno_cpu_conv *g = &state->conv;
    const int64_t left = ix < 0 ? dyno_cpu_min(-ix, cols) : 0;
    const int64_t have = g->w - (ix + left);
    const int64_t inside = have < 0 ? 0 : dyno_cpu_min(have, cols - left);
    for (int64_t c = 0; c < g->c; c++) {
        for (int64_t ky = 0; ky < g->kh; ky++, dst += state->window_cols) {
            const int64_t iy = oy * g->sh - g->ph + ky * g->dh;
            if (iy < 0 || iy >= g->h || inside == 0) {
                memset(dst, 0, (size_t)cols * sizeof(float));
                continue;
            }
            memset(dst, 0, (size_t)left * sizeof(float));
            memcpy(dst + left, x + (c * g->h + iy) * g->w + ix + left,
                   (size_t)inside * sizeof(float));
            memset(dst + left + inside, 0, (size_t)(cols - left - inside) * sizeof(float));
        }
    }
}

struct finish {
    const struct job *job;
    float *y;
    int64_t n, pos, count;
};

static void run_tail(void *arg, int64_t col0, int64_t col1)
{
    const struct finish *finish = arg;
    const struct conv_stem_state *state = finish->job->state;
    const int64_t plane = state->conv.oh * state->conv.ow * DYNO_CPU_BLOCK;
    for (int64_t cb = col0 / DYNO_CPU_BLOCK; cb * DYNO_CPU_BLOCK < col1; cb++) {
        float *y = finish->y + cb * plane + finish->pos * DYNO_CPU_BLOCK;
        tail_block(&state->tail, finish->job->args->ins, y, y, finish->n, cb, finish->pos,
                   finish->count);
    }
}

static void task(void *arg, int idx, int thread)
{
    const struct job *job = arg;
    const struct conv_stem_state *state = job->state;
    const struct dyno_cpu_conv *g = &state->conv;
    const struct dyno_run_args *args = job->args;
    const int64_t oy = idx / state->stretches % g->oh;
    const int64_t n = idx / state->stretches / g->oh;
    int64_t ox0, ox1;
    dyno_cpu_share(g->ow, (int)state->stretches, (int)(idx % state->stretches), &ox0, &ox1);

    char *space = (char *)args->workspace + state->table_bytes + thread * state->thread_bytes;
    struct dyno_gemm_rows *rows = (void *)space;
    float *window = (void *)(space + state->rows_bytes);
    const float *x = (const float *)args->ins[0].data + n * g->c * g->h * g->w;
    copy_window(state, x, oy, ox0 * g->sw - g->pw,
                (ox1 - ox0 - 1) * g->sw + (g->kw - 1) * g->dw + 1, window);
    const int64_t pixels = ox1 - ox0;
    const int tiles = (int)dyno_cpu_div_up(pixels, MICRO->rows_max);
    for (int i = 0; i < tiles; i++) {
        int64_t first, last;
        dyno_cpu_share(pixels, tiles, i, &first, &last);
        rows[i] = (struct dyno_gemm_rows){
            .a = window + first * g->sw,
            .a_row = g->sw,
            .c = (oy * g->ow + ox0 + first) * DYNO_CPU_BLOCK,
            .rows = (int)(last - first),
            .kind = DYNO_GEMM_OFFSETS,
        };
    }
    const struct dyno_buf *out = &args->outs[0];
    const int64_t plane = g->oh * g->ow * DYNO_CPU_BLOCK;
    const float *weights = args->packed;
    struct finish finish = {
        .job = job,
        .y = (float *)out->data + n * out->batch_stride,
        .n = n,
        .pos = oy * g->ow + ox0,
        .count = pixels,
    };
    const struct dyno_cpu_epilogue ep = dyno_cpu_epilogue(&state->tail, args->ins, n);
    const struct dyno_gemm_block block = {
        .tile = {.k_off = job->table,
                 .segs = 1,
                 .blks = (int)(g->k / 16),
                 .rem = (int)(g->k % 16),
                 .c_row = DYNO_CPU_BLOCK,
                 .c_blk = plane,
                 .clip = ep.clip,
                 .lo = ep.lo,
                 .hi = ep.hi},
        .rows = rows,
        .row_tiles = tiles,
        .b = weights + state->packed.b_at,
        .k = g->k,
        .n = g->m,
        .panel1 = dyno_gemm_panels(MICRO->panel, g->m),
        .bias = weights,
        .c = finish.y,
        .res = ep.res,
        .c_group = plane,
        .done = ep.in_memory ? run_tail : NULL,
        .done_arg = &finish,
    };
    DYNO_CPU_FN(dyno_gemm_block)(&block);
}

static enum dyno_status run(struct dyno_run_args *args)
{
    const struct conv_stem_state *state = args->state;
    const struct dyno_cpu_conv *g = &state->conv;
    int32_t *table = args->workspace;
    for (int64_t tap = 0; tap < g->taps; tap++) {
        for (int64_t c = 0; c < g->c; c++)
            table[tap * g->c + c] =
                (int32_t)((c * g->kh + tap / g->kw) * state->window_cols + tap % g->kw * g->dw);
    }
    struct job job = {.state = state, .args = args, .table = table};
    dyno_pool_run(args->pool, task, &job, (int)(g->batch * g->oh * state->stretches));
    return DYNO_OK;
}

const struct dyno_kernel DYNO_CPU_KERNEL(conv_stem) = {
    .name = DYNO_CPU_KERNEL_NAME("conv_stem"),
    .isa_mask = DYNO_CPU_ISA_MASK,
    .packing = 2,
    .state_bytes = sizeof(struct conv_stem_state),
    .enumerate = enumerate,
    .settle = settle,
    .packed_ins = 1U << 1,
    .pack = pack,
    .prepare = prepare,
    .run = run,
};
