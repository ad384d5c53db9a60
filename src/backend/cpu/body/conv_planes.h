/* conv_planes.h - Conv in ROW layout whose groups have one input channel: plane by plane.
 *
 * Lines of a plane are copied into a workspace, the zeros around them written out and the columns
 * of a stride dealt into lines of their own, so that every tap is a load of neighbours.  A tile is
 * ROWS output lines, one vector wide: its sums stay in registers, and a vector once loaded serves
 * every line of the tile that it reaches.  Weights are used as they come.
 */
#include "backend/cpu/conv.h"
#include "backend/cpu/kernel.h"
#include "backend/cpu/simd.h"

#include "backend/cpu/body/copy.h"
#include "backend/cpu/body/tail_linear.h"

extern const struct dyno_kernel DYNO_CPU_KERNEL(conv_planes);

#define ROWS        4
#define STRIP_BYTES 16384 /* of copied lines at a time: they stay in L1 */
#define INLINE      static inline __attribute__((always_inline))

struct conv_planes_state {
    struct dyno_cpu_conv conv;
    struct dyno_cpu_tail tail;
    int64_t line;  /* floats of a copied line of one phase (column modulo the stride) */
    int64_t lines; /* floats of a copied line, all phases */
    int64_t strip_rows;
    int64_t thread_floats;
};

/* --- candidates --- */

static enum dyno_status check(const struct dyno_site *site, struct dyno_cpu_conv *conv,
                              struct dyno_err *err)
{
    DYNO_TRY(dyno_cpu_conv_check(site, conv, err));
    return conv->cg == 1 ? DYNO_OK : dyno_cpu_refuse(site, err);
}

static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    struct dyno_cpu_conv g = {0};
    if (max < 1 || check(site, &g, NULL) != DYNO_OK)
        return 0;
    const double planes = (double)g.batch * (double)g.m;
    const double columns = (double)dyno_cpu_div_up(g.ow, LANES) * LANES;
    const double share = dyno_gemm_peak_share(site->target, &DYNO_CPU_FN(dyno_gemm_micro)) * 0.5;
    const double taps_us = planes * (double)g.oh * columns * 2.0 * (double)g.taps /
                           ((double)site->target->peak_gflops * share * 1e3);
    const double bytes = planes * 4.0 * (double)(g.h * g.w + g.oh * g.ow);
    out[0].est_us = (float)(taps_us + dyno_cpu_move_us(site->target, bytes));
    return 1;
}

static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err)
{
    (void)asked;
    struct dyno_cpu_conv g = {0};
    DYNO_TRY(check(site, &g, err));
    return dyno_cpu_settle_row(site, 0, tactic) ? DYNO_OK : dyno_cpu_refuse(site, err);
}

/* --- one bound shape --- */

static enum dyno_status prepare(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                const void *packed, void *state_bytes,
                                uint64_t *workspace_bytes_out, struct dyno_err *err)
{
    (void)tactic;
    (void)packed;
    struct conv_planes_state *state = state_bytes;
    const struct dyno_cpu_conv *g = &state->conv;
    *state = (struct conv_planes_state){0};
    DYNO_TRY(dyno_cpu_conv_resolve(site, &state->conv, err));
    DYNO_TRY(dyno_cpu_tail_prepare(site, DYNO_CPU_TAIL_MERGED, &state->tail, err));
    /* Products of sizes below 2^31 that are checked before they are multiplied on. */
    state->line = dyno_cpu_div_up(g->ow, LANES) * LANES + (g->kw - 1) * g->dw / g->sw + 1;
    const uint64_t lines = dyno_cpu_size((uint64_t)state->line, (uint64_t)g->sw, 0);
    const uint64_t reach = dyno_cpu_size((uint64_t)(g->kh - 1), (uint64_t)g->dh, 1);
    if (lines > INT32_MAX || reach > INT32_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "'%s' has a window or line too long", site->step->name);
    state->lines = (int64_t)lines;
    const int64_t fit = STRIP_BYTES / (int64_t)sizeof(float) / state->lines - (int64_t)reach;
    const int64_t rows = fit / g->sh / ROWS * ROWS;
    const int64_t strips = dyno_cpu_div_up(g->oh, rows < ROWS ? ROWS : rows);
    state->strip_rows = strips > 1 ? dyno_cpu_div_up(g->oh, strips) : g->oh;
    if (strips > 1 && state->strip_rows < ROWS)
        state->strip_rows = ROWS;
    const uint64_t strip_lines = dyno_cpu_size(
        (uint64_t)(state->strip_rows > 0 ? state->strip_rows - 1 : 0), (uint64_t)g->sh, reach);
    const uint64_t floats = dyno_cpu_size(strip_lines, lines, LANES + 15) / 16 * 16;
    const uint64_t planes = dyno_cpu_size((uint64_t)g->batch, (uint64_t)g->m, 0);
    if (floats > INT64_MAX / 256 || planes > INT32_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "'%s' needs more workspace than can be addressed",
                         site->step->name);
    state->thread_floats = (int64_t)floats;
    *workspace_bytes_out = floats * sizeof(float) * (uint64_t)site->target->thread_count;
    return DYNO_OK;
}

/* --- a run: copies --- */

/* Line iy of a plane, inside or not: column q of phase p is column q * sw + p - pw. */
static void copy_line(const struct conv_planes_state *state, const float *x, int64_t iy, float *to)
{
    const struct dyno_cpu_conv *g = &state->conv;
    if (iy < 0 || iy >= g->h) {
        zero_floats(to, state->lines);
        return;
    }
    const float *from = x + iy * g->w;
    for (int64_t phase = 0; phase < g->sw; phase++, to += state->line) {
        const int64_t before = g->pw > phase ? dyno_cpu_div_up(g->pw - phase, g->sw) : 0;
        const int64_t first = dyno_cpu_min(before, state->line);
        const int64_t end_col = g->w + g->pw - phase;
        const int64_t end = end_col > 0 ? dyno_cpu_div_up(end_col, g->sw) : 0;
        const int64_t last = dyno_cpu_min(end < first ? first : end, state->line);
        zero_floats(to, first);
        copy_stepped(from + first * g->sw + phase - g->pw, g->sw, to + first, last - first);
        zero_floats(to + last, state->line - last);
    }
}

/* --- a run: sums --- */

/* What a tile reads and writes: lines from its first on, weights of its plane. */
struct tile {
    const float *x;
    int64_t lines, line;
    const float *w;
    float bias;
    float *y;
    int64_t y_line;
    int cols;
};

/* Every number but the pointers is known to the compiler. */
INLINE void fixed_tile(const struct tile *t, const int kh, const int kw, const int stride)
{
    vf sums[ROWS];
#pragma GCC unroll 4
    for (int r = 0; r < ROWS; r++)
        sums[r] = vf_set1(t->bias);
#pragma GCC unroll 16
    for (int i = 0; i < (ROWS - 1) * stride + kh; i++) {
#pragma GCC unroll 5
        for (int kx = 0; kx < kw; kx++) {
            const vf x = vf_load(t->x + i * t->lines + kx % stride * t->line + kx / stride);
#pragma GCC unroll 4
            for (int r = 0; r < ROWS; r++) {
                const int ky = i - r * stride;
                if (ky >= 0 && ky < kh)
                    sums[r] = vf_fma(vf_set1(t->w[ky * kw + kx]), x, sums[r]);
            }
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < ROWS; r++)
        vf_store_n(t->y + r * t->y_line, sums[r], t->cols);
}

INLINE void any_tile(const struct tile *t, const struct dyno_cpu_conv *g, const int rows)
{
    vf sums[ROWS];
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++)
        sums[r] = vf_set1(t->bias);
    for (int64_t kx = 0; kx < g->kw; kx++) {
        const int64_t column = kx * g->dw;
        const float *x = t->x + column % g->sw * t->line + column / g->sw;
        for (int64_t ky = 0; ky < g->kh; ky++) {
            const vf w = vf_set1(t->w[ky * g->kw + kx]);
#pragma GCC unroll 4
            for (int r = 0; r < rows; r++)
                sums[r] = vf_fma(w, vf_load(x + (r * g->sh + ky * g->dh) * t->lines), sums[r]);
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++)
        vf_store_n(t->y + r * t->y_line, sums[r], t->cols);
}

typedef void tile_fn(const struct tile *tile, const struct dyno_cpu_conv *g);

#define FIXED(k, stride)                                                                       \
    static void tile_##k##x##k##_##stride(const struct tile *t, const struct dyno_cpu_conv *g) \
    {                                                                                          \
        (void)g;                                                                               \
        fixed_tile(t, k, k, stride);                                                           \
    }
FIXED(3, 1)
FIXED(3, 2)
FIXED(5, 1)
FIXED(5, 2)

static void tile_any(const struct tile *t, const struct dyno_cpu_conv *g)
{
    any_tile(t, g, ROWS);
}

static void tile_line(const struct tile *t, const struct dyno_cpu_conv *g)
{
    any_tile(t, g, 1);
}

/* The tile for ROWS lines. */
static tile_fn *choose(const struct dyno_cpu_conv *g)
{
    if (g->kh != g->kw || g->sh != g->sw || g->dh != 1 || g->dw != 1)
        return tile_any;
    if (g->kh == 3)
        return g->sh == 1 ? tile_3x3_1 : g->sh == 2 ? tile_3x3_2 : tile_any;
    if (g->kh == 5)
        return g->sh == 1 ? tile_5x5_1 : g->sh == 2 ? tile_5x5_2 : tile_any;
    return tile_any;
}

/* A strip whose input lines have been copied.  The last tile may do lines again, as may the last
 * strip of a plane. */
static void do_strip(const struct conv_planes_state *state, struct tile *tile, const float *copied,
                     float *y)
{
    const struct dyno_cpu_conv *g = &state->conv;
    const int64_t count = state->strip_rows;
    const bool whole = count >= ROWS;
    tile_fn *fn = whole ? choose(g) : tile_line;
    for (int64_t row = 0; row < count; row += whole ? ROWS : 1) {
        const int64_t at = whole ? dyno_cpu_min(row, count - ROWS) : row;
        for (int64_t col = 0; col < g->ow; col += LANES) {
            tile->x = copied + at * g->sh * state->lines + col;
            tile->y = y + at * g->ow + col;
            tile->cols = (int)dyno_cpu_min(g->ow - col, LANES);
            fn(tile, g);
        }
    }
}

static void do_plane(const struct dyno_run_args *args, int64_t unit, int thread)
{
    const struct conv_planes_state *state = args->state;
    const struct dyno_cpu_conv *g = &state->conv;
    const int64_t out_plane = g->oh * g->ow;
    const int64_t m = unit % g->m;
    const bool has_bias = args->step->own_in_count > 2 && args->ins[2].rank >= 0;
    const float *x =
        (const float *)args->ins[0].data + (unit / g->m * g->c + m / g->mg) * g->h * g->w;
    float *out = args->outs[0].data;
    float *copied = (float *)args->workspace + thread * state->thread_floats;
    struct tile tile = {
        .lines = state->lines,
        .line = state->line,
        .w = (const float *)args->ins[1].data + m * g->taps,
        .bias = has_bias ? ((const float *)args->ins[2].data)[m] : 0.0F,
        .y_line = g->ow,
    };
    const int64_t line_count = (state->strip_rows - 1) * g->sh + (g->kh - 1) * g->dh + 1;
    for (int64_t row = 0; row < g->oh; row += state->strip_rows) {
        const int64_t at = dyno_cpu_min(row, g->oh - state->strip_rows);
        for (int64_t i = 0; i < line_count; i++)
            copy_line(state, x, at * g->sh - g->ph + i, copied + i * state->lines);
        do_strip(state, &tile, copied, out + unit * out_plane + at * g->ow);
    }
    if (state->tail.instr_count > 0)
        tail_linear(&state->tail, args->ins, out, unit * out_plane, (unit + 1) * out_plane);
}

static enum dyno_status run(struct dyno_run_args *args)
{
    const struct conv_planes_state *state = args->state;
    const struct dyno_cpu_conv *g = &state->conv;
    if (g->ow > 0)
        dyno_cpu_units(args, g->batch * g->m, g->oh * g->ow * (g->taps / 4 + 1), do_plane);
    return DYNO_OK;
}

const struct dyno_kernel DYNO_CPU_KERNEL(conv_planes) = {
    .name = DYNO_CPU_KERNEL_NAME("conv_planes"),
    .isa_mask = DYNO_CPU_ISA_MASK,
    .packing = 1,
    .state_bytes = sizeof(struct conv_planes_state),
    .enumerate = enumerate,
    .settle = settle,
    .prepare = prepare,
    .run = run,
};
