/* conv_transpose_block.h - ConvTranspose in BLOCK layout, phase by phase.
 *
 * Output o of an axis gets input i through tap k where o + pad = i * stride + k * dilation.  All
 * outputs with the same r = (o + pad) mod stride, a phase, have the same taps, at the same distance
 * from q = (o + pad) / stride: each phase is a convolution of stride 1 whose results lie a stride
 * apart, and nothing is added in memory.
 */
#include "backend/cpu/conv.h"
#include "backend/cpu/kernel.h"
#include "backend/cpu/simd.h"
#include "ops/conv_transpose.h"

extern const struct dyno_kernel DYNO_CPU_KERNEL(conv_transpose_block);

#define MICRO        (&DYNO_CPU_FN(dyno_gemm_micro))
#define CHUNK_PIXELS 512 /* of output lines a task completes before the tail */

struct conv_transpose_block_state {
    struct dyno_cpu_conv conv; /* h, w: input; oh, ow: output; k: of all phases together */
    struct dyno_cpu_tail tail;
    int64_t columns, b_at, b_group;
    int64_t chunk_lines, chunks; /* of output lines */
    int64_t tiles_max;           /* of a line of one phase */
    int64_t tile_floats;
    int64_t rows_bytes, thread_bytes;
};

/* --- phases of one axis --- */

/* Taps of phase r: k with (r - k * dilation) a multiple of the stride. */
static bool in_phase(int64_t r, int64_t k, int64_t dilation, int64_t stride)
{
    return (r - k * dilation) % stride == 0;
}

static int64_t phase_taps(int64_t r, int64_t kernel, int64_t dilation, int64_t stride)
{
    int64_t count = 0;
    for (int64_t k = 0; k < kernel; k++)
        count += in_phase(r, k, dilation, stride);
    return count;
}

static enum dyno_status resolve(const struct dyno_site *site, struct dyno_cpu_conv *g,
                                struct dyno_err *err)
{
    const struct dyno_conv_transpose_attrs *attrs = site->step->attrs;
    const struct dyno_buf *x = &site->ins[0];
    const struct dyno_buf *w = &site->ins[1];
    struct dyno_window win;
    if (x->rank < 3 || x->rank > 4 || w->rank != x->rank)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED, "'%s' has rank %d", site->step->name, x->rank);
    DYNO_TRY(dyno_conv_transpose_window(attrs, x->rank, x->dims, w->dims, &win, err));
    const bool flat = win.axes == 1;
    const int last = win.axes - 1;
    *g = (struct dyno_cpu_conv){
        .batch = x->dims[0],
        .c = x->dims[1],
        .m = w->dims[1] * attrs->group,
        .groups = attrs->group,
        .h = flat ? 1 : win.in[0],
        .w = win.in[last],
        .oh = flat ? 1 : win.out[0],
        .ow = win.out[last],
        .kh = flat ? 1 : win.kernel[0],
        .kw = win.kernel[last],
        .sh = flat ? 1 : win.stride[0],
        .sw = win.stride[last],
        .dh = flat ? 1 : win.dilation[0],
        .dw = win.dilation[last],
        .ph = flat ? 0 : win.pad_begin[0],
        .pw = win.pad_begin[last],
    };
    if (attrs->group < 1 || g->c % attrs->group != 0 || w->dims[0] != g->c)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "'%s' has %lld groups of %lld channels",
                         site->step->name, (long long)attrs->group, (long long)g->c);
    const int64_t sizes[] = {g->batch, g->c,  g->m,  g->h,  g->w,  g->oh, g->ow,
                             g->kh,    g->kw, g->sh, g->sw, g->dh, g->dw};
    for (size_t i = 0; i < DYNO_COUNT(sizes); i++) {
        if (sizes[i] < 0 || sizes[i] > INT32_MAX)
            return DYNO_FAIL(err, DYNO_E_LIMIT, "a size of %lld in '%s' is not in 0..2^31-1",
                             (long long)sizes[i], site->step->name);
    }
    g->cg = g->c / g->groups;
    g->mg = g->m / g->groups;
    g->taps = g->kh * g->kw;
    g->k = g->taps * g->cg;
    const int64_t columns = dyno_gemm_columns(MICRO->panel, g->mg);
    if (g->taps > INT32_MAX || g->k > INT32_MAX || g->sh > 64 || g->sw > 64 || g->ph < 0 ||
        g->pw < 0 ||
        dyno_cpu_size((uint64_t)columns * (uint64_t)g->groups, (uint64_t)g->k + 1, 16) >
            (UINT64_C(1) << 40))
        return DYNO_FAIL(err, DYNO_E_LIMIT, "'%s' is too large for phases", site->step->name);
    return DYNO_OK;
}

static uint64_t bias_floats(const struct dyno_cpu_conv *g)
{
    const int64_t columns = dyno_gemm_columns(MICRO->panel, g->mg);
    return ((uint64_t)g->groups * (uint64_t)columns + 15) & ~15ULL;
}

static enum dyno_status check(const struct dyno_site *site, struct dyno_cpu_conv *g,
                              struct dyno_err *err)
{
    if (!dyno_cpu_conv_accepts(site, DYNO_OP_conv_transpose))
        return dyno_cpu_refuse(site, err);
    DYNO_TRY(resolve(site, g, err));
    const bool whole = g->cg % DYNO_CPU_BLOCK == 0 && g->mg % DYNO_CPU_BLOCK == 0;
    return g->mg > 0 && g->cg > 0 && (g->groups == 1 || whole) ? DYNO_OK
                                                               : dyno_cpu_refuse(site, err);
}

static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    struct dyno_cpu_conv g;
    if (max < 1 || check(site, &g, NULL) != DYNO_OK)
        return 0;
    const double pixels = (double)g.oh * (double)g.ow;
    const double taps = (double)g.taps / (double)(g.sh * g.sw);
    const double line = (double)g.ow / (double)g.sw;
    const double bytes =
        4.0 * (double)g.batch * ((double)g.m * pixels + (double)g.c * (double)g.h * (double)g.w);
    const double us = (double)dyno_gemm_estimate_us(
        site->target, MICRO, (double)(g.batch * g.groups) * pixels / (line > 0.0 ? line : 1.0),
        line, (double)g.cg * taps, (double)g.mg, bytes);
    dyno_cpu_tactic_block(&out[0], site, us * 1.1);
    return 1;
}

static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err)
{
    (void)asked;
    struct dyno_cpu_conv g;
    DYNO_TRY(check(site, &g, err));
    if (!dyno_cpu_settle_block(site, 0, 1, tactic))
        return dyno_cpu_refuse(site, err);
    const int64_t columns = dyno_gemm_columns(MICRO->panel, g.mg);
    tactic->packed_bytes =
        (bias_floats(&g) + (uint64_t)(g.groups * columns) * (uint64_t)g.k) * sizeof(float);
    return DYNO_OK;
}

/* Biases [group][columns], then for each group and phase (ry, rx) B: [taps, channels] x columns. */
static enum dyno_status pack(const struct dyno_site *site, const struct dyno_tactic *tactic,
                             void *dst, struct dyno_err *err)
{
    (void)tactic;
    struct dyno_cpu_conv g;
    DYNO_TRY(resolve(site, &g, err));
    const float *w = site->ins[1].data;
    const float *bias =
        site->step->own_in_count > 2 && site->ins[2].rank >= 0 ? site->ins[2].data : NULL;
    const int64_t columns = dyno_gemm_columns(MICRO->panel, g.mg);
    const int64_t panels = dyno_gemm_panels(MICRO->panel, g.mg);
    float *to = dst;
    for (int64_t i = 0; i < (int64_t)bias_floats(&g); i++) {
        const int64_t group = i / columns;
        const int64_t j = i % columns;
        *to++ = bias && group < g.groups && j < g.mg ? bias[group * g.mg + j] : 0.0F;
    }
    const int64_t phases = g.groups * g.sh * g.sw;
    for (int64_t i = 0; i < phases * panels; i++) {
        const int64_t p = i % panels;
        const int64_t rx = i / panels % g.sw;
        const int64_t ry = i / panels / g.sw % g.sh;
        const int64_t group = i / panels / g.sw / g.sh;
        const int width = dyno_gemm_width(MICRO->panel, g.mg, p);
        const int64_t cols = dyno_cpu_min(g.mg - p * MICRO->panel, width);
        for (int64_t tap = 0; tap < g.taps; tap++) {
            if (!in_phase(ry, tap / g.kw, g.dh, g.sh) || !in_phase(rx, tap % g.kw, g.dw, g.sw))
                continue;
            const float *from = w + (group * g.cg * g.mg + p * MICRO->panel) * g.taps + tap;
            dyno_gemm_pack_panel(width, cols, g.cg, from, g.mg * g.taps, g.taps, 1.0F, to);
            to += width * g.cg;
        }
    }
    return DYNO_OK;
}

static enum dyno_status prepare(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                const void *packed, void *state_bytes,
                                uint64_t *workspace_bytes_out, struct dyno_err *err)
{
    (void)tactic;
    (void)packed;
    struct conv_transpose_block_state *state = state_bytes;
    const struct dyno_cpu_conv *g = &state->conv;
    *state = (struct conv_transpose_block_state){0};
    DYNO_TRY(resolve(site, &state->conv, err));
    DYNO_TRY(dyno_cpu_tail_prepare(site, DYNO_CPU_TAIL_AXES, &state->tail, err));
    state->columns = dyno_gemm_columns(MICRO->panel, g->mg);
    state->b_at = (int64_t)bias_floats(g);
    state->b_group = state->columns * g->k;
    state->chunk_lines = dyno_cpu_div_up(CHUNK_PIXELS, g->ow > 0 ? g->ow : 1);
    state->chunks = dyno_cpu_div_up(g->oh, state->chunk_lines);
    state->tiles_max = dyno_cpu_div_up(dyno_cpu_div_up(g->ow, g->sw), MICRO->rows_max);
    state->tile_floats =
        g->taps * dyno_cpu_div_up(g->cg, DYNO_CPU_BLOCK) * DYNO_CPU_BLOCK * MICRO->rows_max;
    state->rows_bytes = (state->tiles_max * (int64_t)sizeof(struct dyno_gemm_rows) + 63) / 64 * 64;
    const uint64_t bytes = dyno_cpu_size((uint64_t)state->tiles_max * sizeof(float),
                                         (uint64_t)state->tile_floats, (uint64_t)state->rows_bytes);
    const uint64_t tasks =
        dyno_cpu_size((uint64_t)g->batch * (uint64_t)g->groups, (uint64_t)state->chunks, 0);
    if (bytes > INT64_MAX / 256 || tasks > INT32_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "'%s' needs more workspace than can be addressed",
                         site->step->name);
    state->thread_bytes = (int64_t)bytes;
    *workspace_bytes_out = bytes * (uint64_t)site->target->thread_count;
    return DYNO_OK;
}

/* --- a run --- */

struct job {
    const struct conv_transpose_block_state *state;
    struct dyno_run_args *args;
};

/* The taps of phase (ry, rx) for `rows` pixels from input position (qy, qx) on, side by side:
 * [tap][block][row][16], zeros outside. */
static void gather(const struct dyno_cpu_conv *g, const float *x, int64_t ry, int64_t rx,
                   int64_t qy, int64_t qx, int rows, float *dst)
{
    const int64_t plane = g->h * g->w * DYNO_CPU_BLOCK;
    const int64_t blocks = dyno_cpu_div_up(g->cg, DYNO_CPU_BLOCK);
    for (int64_t tap = 0; tap < g->taps; tap++) {
        const int64_t ky = tap / g->kw;
        const int64_t kx = tap % g->kw;
        if (!in_phase(ry, ky, g->dh, g->sh) || !in_phase(rx, kx, g->dw, g->sw))
            continue;
        const int64_t iy = qy + (ry - ky * g->dh) / g->sh;
        const int64_t ix = qx + (rx - kx * g->dw) / g->sw;
        for (int64_t cb = 0; cb < blocks; cb++) {
            for (int i = 0; i < rows; i++, dst += DYNO_CPU_BLOCK) {
                const bool inside = iy >= 0 && iy < g->h && ix + i >= 0 && ix + i < g->w;
                const float *from = x + cb * plane + (iy * g->w + ix + i) * DYNO_CPU_BLOCK;
                for (int v = 0; v < DYNO_CPU_BLOCK; v += LANES)
                    vf_store(dst + v, inside ? vf_load(from + v) : vf_zero());
            }
        }
    }
}

/* Output line oy, columns of phase rx: fills rows; their number, and the phase's taps. */
static int make_rows(const struct conv_transpose_block_state *state, const float *x, int64_t oy,
                     int64_t rx, int64_t taps, float *space, struct dyno_gemm_rows *rows)
{
    const struct dyno_cpu_conv *g = &state->conv;
    const int64_t ry = (oy + g->ph) % g->sh;
    const int64_t qy = (oy + g->ph) / g->sh;
    const int64_t ox0 = ((rx - g->pw) % g->sw + g->sw) % g->sw;
    const int64_t pixels = ox0 < g->ow ? dyno_cpu_div_up(g->ow - ox0, g->sw) : 0;
    const int tiles = (int)dyno_cpu_div_up(pixels, MICRO->rows_max);
    for (int i = 0; i < tiles; i++, space += state->tile_floats) {
        int64_t first, last;
        dyno_cpu_share(pixels, tiles, i, &first, &last);
        const int count = (int)(last - first);
        const int64_t ox = ox0 + first * g->sw;
        const int64_t qx = (ox + g->pw) / g->sw;
        rows[i] = (struct dyno_gemm_rows){
            .a = space,
            .a_row = DYNO_CPU_BLOCK,
            .a_blk = (ptrdiff_t)count * DYNO_CPU_BLOCK,
            .c = (oy * g->ow + ox) * DYNO_CPU_BLOCK,
            .rows = count,
            .kind = DYNO_GEMM_BLOCKED,
        };
        /* With a window no wider than the stride the one tap of a phase is read in place. */
        const bool plain =
            taps == 1 && g->dh == 1 && g->dw == 1 && g->kh <= g->sh && g->kw <= g->sw;
        if (plain && qy < g->h && qx + count <= g->w) {
            rows[i].a = x + (qy * g->w + qx) * DYNO_CPU_BLOCK;
            rows[i].a_blk = g->h * g->w * DYNO_CPU_BLOCK;
            continue;
        }
        gather(g, x, ry, rx, qy, qx, count, space);
    }
    return tiles;
}

static void task(void *arg, int idx, int thread)
{
    const struct job *job = arg;
    const struct conv_transpose_block_state *state = job->state;
    const struct dyno_cpu_conv *g = &state->conv;
    const struct dyno_run_args *args = job->args;
    const int64_t chunk = idx % state->chunks;
    const int64_t group = idx / state->chunks % g->groups;
    const int64_t n = idx / state->chunks / g->groups;
    const int64_t oy0 = chunk * state->chunk_lines;
    const int64_t oy1 = dyno_cpu_min(oy0 + state->chunk_lines, g->oh);
    char *space = (char *)args->workspace + thread * state->thread_bytes;
    struct dyno_gemm_rows *rows = (void *)space;
    float *a_space = (void *)(space + state->rows_bytes);
    const struct dyno_buf *in = &args->ins[0];
    const struct dyno_buf *out = &args->outs[0];
    const float *x = (const float *)in->data + n * in->batch_stride + group * g->cg * g->h * g->w;
    const int64_t y_off = group * g->mg * g->oh * g->ow;
    const int64_t plane = g->oh * g->ow * DYNO_CPU_BLOCK;
    const float *weights = args->packed;
    const struct dyno_cpu_epilogue ep = dyno_cpu_epilogue(&state->tail, args->ins, n);
    struct dyno_gemm_block block = {
        .tile = {.blks = (int)(g->cg / DYNO_CPU_BLOCK),
                 .rem = (int)(g->cg % DYNO_CPU_BLOCK),
                 .c_row = g->sw * DYNO_CPU_BLOCK,
                 .c_blk = plane,
                 .clip = ep.clip,
                 .lo = ep.lo,
                 .hi = ep.hi},
        .rows = rows,
        .n = g->mg,
        .panel1 = dyno_gemm_panels(MICRO->panel, g->mg),
        .bias = weights + group * state->columns,
        .c = (float *)out->data + n * out->batch_stride + y_off,
        .res = ep.res ? ep.res + y_off : NULL,
        .c_group = plane,
    };
    for (int64_t oy = oy0; oy < oy1; oy++) {
        const int64_t ry = (oy + g->ph) % g->sh;
        block.b = weights + state->b_at + group * state->b_group;
        for (int64_t phase = 0; phase < ry * g->sw; phase++)
            block.b += state->columns * g->cg * phase_taps(phase / g->sw, g->kh, g->dh, g->sh) *
                       phase_taps(phase % g->sw, g->kw, g->dw, g->sw);
        for (int64_t rx = 0; rx < g->sw; rx++) {
            const int64_t taps =
                phase_taps(ry, g->kh, g->dh, g->sh) * phase_taps(rx, g->kw, g->dw, g->sw);
            block.tile.segs = (int)taps;
            block.k = taps * g->cg;
            block.row_tiles = make_rows(state, x, oy, rx, taps, a_space, rows);
            DYNO_CPU_FN(dyno_gemm_block)(&block);
            block.b += state->columns * block.k;
        }
    }
    if (!ep.in_memory)
        return;
    for (int64_t cb = 0; cb < dyno_cpu_div_up(g->mg, DYNO_CPU_BLOCK); cb++) {
        float *y = block.c + cb * plane + oy0 * g->ow * DYNO_CPU_BLOCK;
        tail_block(&state->tail, args->ins, y, y, n, group * g->mg / DYNO_CPU_BLOCK + cb,
                   oy0 * g->ow, (oy1 - oy0) * g->ow);
    }
}

static enum dyno_status run(struct dyno_run_args *args)
{
    const struct conv_transpose_block_state *state = args->state;
    struct job job = {.state = state, .args = args};
    if (state->conv.ow > 0)
        dyno_pool_run(args->pool, task, &job,
                      (int)(state->conv.batch * state->conv.groups * state->chunks));
    return DYNO_OK;
}

const struct dyno_kernel DYNO_CPU_KERNEL(conv_transpose_block) = {
    .name = DYNO_CPU_KERNEL_NAME("conv_transpose_block"),
    .isa_mask = DYNO_CPU_ISA_MASK,
    .packing = 2,
    .state_bytes = sizeof(struct conv_transpose_block_state),
    .enumerate = enumerate,
    .settle = settle,
    .packed_ins = 1U << 1,
    .pack = pack,
    .prepare = prepare,
    .run = run,
};
