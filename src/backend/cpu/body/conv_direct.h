/* conv_direct.h - Conv in BLOCK layout as a matrix product: pixels x (taps, channels) x channels.
 *
 * What a tile's rows are (cfg[0]):
 *   FLAT    1x1, stride 1: the image itself, its rows and columns as one line;
 *   LINES   pixels of one output line, read in place tap by tap; those at the border are gathered;
 *   GATHER  any pixels: the tile's taps are copied side by side (zeros outside) before it starts.
 * Groups whose channels fill whole blocks are products of their own.
 */
#include "backend/cpu/conv.h"
#include "backend/cpu/kernel.h"
#include "backend/cpu/simd.h"

extern const struct dyno_kernel DYNO_CPU_KERNEL(conv_direct);

enum mode { FLAT, LINES, GATHER };

#define MICRO (&DYNO_CPU_FN(dyno_gemm_micro))

struct conv_direct_state {
    struct dyno_cpu_conv conv;
    struct dyno_cpu_conv_packed packed;
    struct dyno_cpu_tail tail;
    struct dyno_gemm_split split;
    enum mode mode;
    int64_t lines, line_pixels, line_tiles; /* tiles never cross lines */
    int64_t tiles, panels;
    int64_t tile_floats; /* a gathered tile's A; 0: nothing is gathered */
    int64_t tiles_a_task;
    int64_t table_bytes; /* of the tap offsets, before the threads' parts of the workspace */
    int64_t thread_bytes;
};

static bool is_flat(const struct dyno_cpu_conv *g)
{
    return g->taps == 1 && g->sh == 1 && g->sw == 1 && g->ph == 0 && g->pw == 0 && g->oh == g->h &&
           g->ow == g->w;
}

/* --- candidates --- */

static enum dyno_status check(const struct dyno_site *site, struct dyno_cpu_conv *g,
                              struct dyno_err *err)
{
    DYNO_TRY(dyno_cpu_conv_check(site, g, err));
    const bool whole = g->cg % DYNO_CPU_BLOCK == 0 && g->mg % DYNO_CPU_BLOCK == 0;
    return g->groups == 1 || whole ? DYNO_OK : dyno_cpu_refuse(site, err);
}

static double estimate(const struct dyno_site *site, const struct dyno_cpu_conv *g, enum mode mode)
{
    const double pixels = (double)g->oh * (double)g->ow;
    const double outer = (double)g->batch * (double)g->groups;
    const double line = mode == LINES ? (double)g->ow : pixels;
    const double bytes =
        4.0 * ((double)g->k * (double)g->m +
               (double)g->batch * ((double)g->c * (double)(g->h * g->w) + (double)g->m * pixels));
    double us = (double)dyno_gemm_estimate_us(site->target, MICRO, outer * pixels / line, line,
                                              (double)g->k, (double)g->mg, bytes);
    if (mode == GATHER)
        us += outer * pixels * (double)g->k * 8.0 / 60e3;
    return us;
}

static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    static const uint32_t cache_kb[] = {128, 384, 48};
    struct dyno_cpu_conv g;
    int count = 0;
    if (check(site, &g, NULL) != DYNO_OK)
        return 0;
    for (uint32_t mode = FLAT; mode <= GATHER; mode++) {
        if ((mode == FLAT) != is_flat(&g))
            continue;
        for (size_t i = 0; i < DYNO_COUNT(cache_kb) && count < max; i++) {
            if (mode != FLAT && i == 2)
                break;
            const double us = estimate(site, &g, (enum mode)mode) * (1.0 + 0.01 * (double)i);
            dyno_cpu_tactic_block(&out[count], site, us);
            out[count].cfg[0] = mode;
            out[count].cfg[1] = cache_kb[i];
            count++;
        }
    }
    return count;
}

static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err)
{
    struct dyno_cpu_conv g;
    struct dyno_cpu_conv_packed packed;
    DYNO_TRY(check(site, &g, err));
    if (!dyno_cpu_conv_packed(&g, MICRO->panel, &packed) || asked->cfg[0] > GATHER ||
        (asked->cfg[0] == FLAT && !is_flat(&g)) || asked->cfg[1] > DYNO_GEMM_CACHE_MAX ||
        !dyno_cpu_settle_block(site, 2, 1, tactic))
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

/* --- once a shape --- */

static void plan_tiles(struct conv_direct_state *state, uint32_t mode, uint32_t cache_kb,
                       int threads)
{
    const struct dyno_cpu_conv *g = &state->conv;
    state->mode = mode == LINES ? LINES : is_flat(g) ? FLAT : GATHER;
    state->lines = state->mode == LINES ? g->oh : 1;
    state->line_pixels = state->mode == LINES ? g->ow : g->oh * g->ow;
    state->line_tiles = dyno_cpu_div_up(state->line_pixels, MICRO->rows_max);
    state->tiles = state->lines * state->line_tiles;
    state->panels = dyno_gemm_panels(MICRO->panel, g->mg);
    state->tile_floats = state->mode == FLAT ? 0
                                             : g->taps * dyno_cpu_div_up(g->cg, DYNO_CPU_BLOCK) *
                                                   DYNO_CPU_BLOCK * MICRO->rows_max;
    const int64_t tile_bytes = g->k * MICRO->rows_max * (int64_t)sizeof(float);
    int64_t tiles_max = (int64_t)cache_kb * 1024 / (tile_bytes > 0 ? tile_bytes : 1);
    tiles_max = tiles_max < 4 ? 4 : tiles_max > 256 ? 256 : tiles_max;
    state->split = dyno_gemm_split_choose(g->batch * g->groups, state->tiles, state->panels,
                                          tiles_max, state->mode == GATHER ? 0.5 : 0.1, threads);
    state->tiles_a_task = dyno_cpu_div_up(state->tiles, state->split.tile_parts);
}

static enum dyno_status prepare(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                const void *packed, void *state_bytes,
                                uint64_t *workspace_bytes_out, struct dyno_err *err)
{
    struct conv_direct_state *state = state_bytes;
    (void)packed;
    DYNO_TRY(dyno_cpu_conv_resolve(site, &state->conv, err));
    DYNO_TRY(dyno_cpu_tail_prepare(site, DYNO_CPU_TAIL_AXES, &state->tail, err));
    if (!dyno_cpu_conv_packed(&state->conv, MICRO->panel, &state->packed))
        return DYNO_FAIL(err, DYNO_E_LIMIT, "'%s' has weights too large to pack", site->step->name);
    plan_tiles(state, tactic->cfg[0], tactic->cfg[1], site->target->thread_count);
    const uint64_t table = dyno_cpu_size((uint64_t)state->conv.taps, sizeof(ptrdiff_t), 63);
    const uint64_t rows =
        dyno_cpu_size((uint64_t)state->tiles_a_task, sizeof(struct dyno_gemm_rows), 63);
    const uint64_t floats = dyno_cpu_size((uint64_t)state->tile_floats,
                                          (uint64_t)state->tiles_a_task * sizeof(float), 63);
    const uint64_t tasks =
        dyno_cpu_size((uint64_t)(state->conv.batch * state->conv.groups),
                      (uint64_t)state->split.tile_parts * (uint64_t)state->split.panel_parts, 0);
    if (table > INT32_MAX || rows > INT32_MAX || floats > INT64_MAX / 256 || tasks > INT32_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "'%s' needs more workspace than can be addressed",
                         site->step->name);
    state->table_bytes = (int64_t)(table & ~63ULL);
    state->thread_bytes = (int64_t)((rows & ~63ULL) + (floats & ~63ULL));
    *workspace_bytes_out = (uint64_t)state->table_bytes +
                           (uint64_t)state->thread_bytes * (uint64_t)site->target->thread_count;
    return DYNO_OK;
}

/* --- tiles --- */

struct job {
    const struct conv_direct_state *state;
    struct dyno_run_args *args;
    ptrdiff_t *tap_off;
};

/* Copy the taps of `rows` pixels from (oy, ox), line by line, side by side: [tap][block][row][16].
 * x: the group's first channel block. */
static void gather(const struct dyno_cpu_conv *g, const float *x, int64_t oy, int64_t ox, int rows,
                   float *dst)
{
    static const float zeros[DYNO_CPU_BLOCK];
    const int64_t plane = g->h * g->w * DYNO_CPU_BLOCK;
    const int64_t blocks = dyno_cpu_div_up(g->cg, DYNO_CPU_BLOCK);
    int64_t iy0[DYNO_GEMM_ROWS_MAX];
    int64_t ix0[DYNO_GEMM_ROWS_MAX];
    for (int i = 0; i < rows; i++) {
        iy0[i] = oy * g->sh - g->ph;
        ix0[i] = ox * g->sw - g->pw;
        if (++ox == g->ow) {
            ox = 0;
            oy++;
        }
    }
    for (int64_t ky = 0; ky < g->kh; ky++) {
        for (int64_t kx = 0; kx < g->kw; kx++) {
            const float *src[DYNO_GEMM_ROWS_MAX];
            int64_t step[DYNO_GEMM_ROWS_MAX];
            for (int i = 0; i < rows; i++) {
                const int64_t iy = iy0[i] + ky * g->dh;
                const int64_t ix = ix0[i] + kx * g->dw;
                const bool inside = iy >= 0 && iy < g->h && ix >= 0 && ix < g->w;
                src[i] = inside ? x + (iy * g->w + ix) * DYNO_CPU_BLOCK : zeros;
                step[i] = inside ? plane : 0;
            }
            for (int64_t cb = 0; cb < blocks; cb++) {
                for (int i = 0; i < rows; i++, dst += DYNO_CPU_BLOCK) {
                    for (int v = 0; v < DYNO_CPU_BLOCK; v += LANES)
                        vf_store(dst + v, vf_load(src[i] + cb * step[i] + v));
                }
            }
        }
    }
}

/* Tile t of the image x: where its rows are read; gathers them into a_space when they must be. */
static void make_rows(const struct job *job, const float *x, int64_t t, float *a_space,
                      struct dyno_gemm_rows *rows)
{
    const struct conv_direct_state *state = job->state;
    const struct dyno_cpu_conv *g = &state->conv;
    const int64_t line = t / state->line_tiles;
    int64_t first, last;
    dyno_cpu_share(state->line_pixels, (int)state->line_tiles, (int)(t % state->line_tiles), &first,
                   &last);
    const int count = (int)(last - first);
    *rows = (struct dyno_gemm_rows){
        .a = a_space,
        .a_row = DYNO_CPU_BLOCK,
        .a_blk = (ptrdiff_t)count * DYNO_CPU_BLOCK,
        .c = (line * state->line_pixels + first) * DYNO_CPU_BLOCK,
        .rows = count,
        .kind = DYNO_GEMM_BLOCKED,
    };
    if (state->mode == FLAT) {
        rows->a = x + first * DYNO_CPU_BLOCK;
        rows->a_blk = g->h * g->w * DYNO_CPU_BLOCK;
        return;
    }
    const int64_t oy = state->mode == LINES ? line : first / g->ow;
    const int64_t ox = state->mode == LINES ? first : first % g->ow;
    const int64_t iy = oy * g->sh - g->ph;
    const int64_t ix = ox * g->sw - g->pw;
    const int64_t ix_last = ix + (count - 1) * g->sw + (g->kw - 1) * g->dw;
    if (state->mode == GATHER || iy < 0 || iy + (g->kh - 1) * g->dh >= g->h || ix < 0 ||
        ix_last >= g->w) {
        gather(g, x, oy, ox, count, a_space);
        return;
    }
    rows->a = x + (iy * g->w + ix) * DYNO_CPU_BLOCK;
    rows->a_row = g->sw * DYNO_CPU_BLOCK;
    rows->a_blk = g->h * g->w * DYNO_CPU_BLOCK;
    rows->seg_off = job->tap_off;
    rows->kind = g->sw == 1 ? DYNO_GEMM_BLOCKED : DYNO_GEMM_STRIDED;
}

struct finish {
    const struct job *job;
    float *y;
    int64_t n, cb0, pos, count;
};

static void run_tail(void *arg, int64_t col0, int64_t col1)
{
    const struct finish *finish = arg;
    const struct conv_direct_state *state = finish->job->state;
    const int64_t plane = state->conv.oh * state->conv.ow * DYNO_CPU_BLOCK;
    for (int64_t cb = col0 / DYNO_CPU_BLOCK; cb * DYNO_CPU_BLOCK < col1; cb++) {
        float *y = finish->y + cb * plane + finish->pos * DYNO_CPU_BLOCK;
        tail_block(&state->tail, finish->job->args->ins, y, y, finish->n, finish->cb0 + cb,
                   finish->pos, finish->count);
    }
}

static void task(void *arg, int idx, int thread)
{
    const struct job *job = arg;
    const struct conv_direct_state *state = job->state;
    const struct dyno_cpu_conv *g = &state->conv;
    const struct dyno_run_args *args = job->args;
    const int64_t tile_part = idx % state->split.tile_parts;
    const int64_t panel_part = idx / state->split.tile_parts % state->split.panel_parts;
    const int64_t outer = idx / (state->split.tile_parts * state->split.panel_parts);
    const int64_t n = outer / g->groups;
    const int64_t group = outer % g->groups;
    int64_t t0, t1, p0, p1;
    dyno_cpu_share(state->tiles, (int)state->split.tile_parts, (int)tile_part, &t0, &t1);
    dyno_cpu_share(state->panels, (int)state->split.panel_parts, (int)panel_part, &p0, &p1);
    if (t0 == t1 || p0 == p1)
        return;

    char *space = (char *)args->workspace + state->table_bytes + thread * state->thread_bytes;
    struct dyno_gemm_rows *rows = (void *)space;
    float *a_space =
        (void *)(space + (((size_t)state->tiles_a_task * sizeof(*rows) + 63) & ~63ULL));
    const struct dyno_buf *in = &args->ins[0];
    const struct dyno_buf *out = &args->outs[0];
    const float *x = (const float *)in->data + n * in->batch_stride + group * g->cg * g->h * g->w;
    for (int64_t t = t0; t < t1; t++)
        make_rows(job, x, t, a_space + (t - t0) * state->tile_floats, &rows[t - t0]);

    const int64_t plane = g->oh * g->ow * DYNO_CPU_BLOCK;
    const int64_t y_off = group * g->mg * g->oh * g->ow;
    const float *weights = args->packed;
    struct finish finish = {
        .job = job,
        .y = (float *)out->data + n * out->batch_stride + y_off,
        .n = n,
        .cb0 = group * g->mg / DYNO_CPU_BLOCK,
        .pos = rows[0].c / DYNO_CPU_BLOCK,
        .count = rows[t1 - t0 - 1].c / DYNO_CPU_BLOCK + rows[t1 - t0 - 1].rows -
                 rows[0].c / DYNO_CPU_BLOCK,
    };
    struct dyno_gemm_block block = {
        .tile = {.segs = (int)g->taps,
                 .blks = (int)(g->cg / DYNO_CPU_BLOCK),
                 .rem = (int)(g->cg % DYNO_CPU_BLOCK),
                 .c_row = DYNO_CPU_BLOCK,
                 .c_blk = plane},
        .rows = rows,
        .row_tiles = t1 - t0,
        .b = weights + state->packed.b_at + group * state->packed.b_group,
        .k = g->k,
        .n = g->mg,
        .panel0 = p0,
        .panel1 = p1,
        .bias = weights + group * state->packed.columns,
        .c = finish.y,
        .c_group = plane,
        .done_arg = &finish,
    };
    const struct dyno_cpu_epilogue ep = dyno_cpu_epilogue(&state->tail, args->ins, n);
    block.res = ep.res ? ep.res + y_off : NULL;
    block.tile.clip = ep.clip;
    block.tile.lo = ep.lo;
    block.tile.hi = ep.hi;
    block.done = ep.in_memory ? run_tail : NULL;
    DYNO_CPU_FN(dyno_gemm_block)(&block);
}

static enum dyno_status run(struct dyno_run_args *args)
{
    const struct conv_direct_state *state = args->state;
    const struct dyno_cpu_conv *g = &state->conv;
    struct job job = {.state = state, .args = args, .tap_off = args->workspace};
    for (int64_t tap = 0; tap < g->taps; tap++)
        job.tap_off[tap] = (tap / g->kw * g->dh * g->w + tap % g->kw * g->dw) * DYNO_CPU_BLOCK;
    if (state->tiles == 0)
        return DYNO_OK;
    dyno_pool_run(args->pool, task, &job,
                  (int)(g->batch * g->groups * state->split.tile_parts * state->split.panel_parts));
    return DYNO_OK;
}

const struct dyno_kernel DYNO_CPU_KERNEL(conv_direct) = {
    .name = DYNO_CPU_KERNEL_NAME("conv_direct"),
    .isa_mask = DYNO_CPU_ISA_MASK,
    .packing = 2,
    .state_bytes = sizeof(struct conv_direct_state),
    .enumerate = enumerate,
    .settle = settle,
    .packed_ins = 1U << 1,
    .pack = pack,
    .prepare = prepare,
    .run = run,
};
