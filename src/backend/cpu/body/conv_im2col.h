/* conv_im2col.h - Conv in ROW layout, any rank and any groups: weights x unfolded image.
 *
 * Each panel of 16 or 32 output pixels is unfolded ([channel, tap][pixel]) into the workspace just
 * before the product needs it.  Weights are A; the bias is one more element of K against a row of
 * ones.  Groups of one input channel are summed plane by plane instead.  This is the baseline's
 * convolution.
 */
#include "backend/cpu/conv.h"
#include "backend/cpu/kernel.h"
#include "backend/cpu/simd.h"
#include "ops/conv.h"

#include "backend/cpu/body/copy.h"
#include "backend/cpu/body/dot_columns.h"
#include "backend/cpu/body/tail_linear.h"

extern const struct dyno_kernel DYNO_CPU_KERNEL(conv_im2col);

#define MICRO     (&DYNO_CPU_FN(dyno_gemm_micro))
#define CHUNK_MAX (1280 * 1024) /* bytes unfolded at a time: weights stream by once a chunk */
#define K_PART    2048          /* a panel's part of K stays in L2 while tiles stream by */
#define DOT_K_MIN 64            /* shorter sums are cheaper in a panel that is mostly empty */
#define DOT_PART  512           /* K_PART where tiles stay while panels and columns stream by */
#define INLINE    static inline __attribute__((always_inline))

struct conv_im2col_state {
    struct dyno_window window; /* three axes */
    struct dyno_cpu_tail tail;
    struct dyno_gemm_split split; /* tile_parts of the panels, panel_parts of the tiles */
    int64_t batch, groups, cg, mg;
    int64_t taps, k; /* k: taps * cg */
    int64_t in_plane, out_plane;
    int64_t tiles, tile_floats; /* of a group's weights; tile_floats: of a tile of all rows */
    int dot_cols;               /* pixels after the panels, summed along K */
    int64_t panels, chunk_panels;
    int64_t units; /* panels, and the columns after them */
    int64_t thread_bytes;
    int64_t rows_bytes;
    int64_t dot_floats; /* of a column */
};

static int64_t k_blocks(int64_t k)
{
    return k / 16 + 1; /* with the bias */
}

/* A window of one pixel that skips none sees the image as one line. */
static void merge_lines(struct dyno_window *win)
{
    for (int i = 0; i < 3; i++) {
        if (win->kernel[i] != 1 || win->stride[i] != 1 || win->in[i] != win->out[i] ||
            win->pad_begin[i] != 0)
            return;
    }
    const int64_t plane = win->in[0] * win->in[1] * win->in[2];
    win->in[0] = win->in[1] = win->out[0] = win->out[1] = 1;
    win->in[2] = win->out[2] = plane;
}

static enum dyno_status resolve(const struct dyno_site *site, struct conv_im2col_state *state,
                                struct dyno_err *err)
{
    const struct dyno_conv_attrs *attrs = site->step->attrs;
    const struct dyno_buf *x = &site->ins[0];
    const struct dyno_buf *w = &site->ins[1];
    struct dyno_window window;
    *state = (struct conv_im2col_state){0};
    if (x->rank < 3 || x->rank > 2 + DYNO_WINDOW_AXES_MAX || w->rank != x->rank)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED, "'%s' has rank %d", site->step->name, x->rank);
    DYNO_TRY(dyno_conv_window(attrs, x->rank, x->dims, w->dims, &window, err));
    state->window = dyno_window_as_3d(&window);
    merge_lines(&state->window);
    const struct dyno_window *win = &state->window;
    if (attrs->group < 1 || x->dims[1] % attrs->group != 0 || w->dims[0] % attrs->group != 0 ||
        w->dims[1] != x->dims[1] / attrs->group)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "'%s' has %lld groups of %lld channels",
                         site->step->name, (long long)attrs->group, (long long)x->dims[1]);
    state->batch = x->dims[0];
    state->groups = attrs->group;
    state->cg = w->dims[1];
    state->mg = w->dims[0] / attrs->group;
    state->taps = win->kernel[0] * win->kernel[1] * win->kernel[2];
    state->k = state->taps * state->cg;
    state->in_plane = win->in[0] * win->in[1] * win->in[2];
    state->out_plane = win->out[0] * win->out[1] * win->out[2];
    if (state->k > INT32_MAX - 1 || state->out_plane > INT32_MAX || state->mg > INT32_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "'%s' is too large to unfold", site->step->name);
    state->tiles = dyno_cpu_div_up(state->mg, MICRO->rows_max);
    state->tile_floats = k_blocks(state->k) * 16 * MICRO->rows_max;
    const int64_t rest = state->out_plane % (MICRO->panel / 2);
    /* A quarter of a vector at most, or the half panel that is saved is dearer. */
    state->dot_cols = rest <= LANES / 4 && state->k >= DOT_K_MIN ? (int)rest : 0;
    state->panels = dyno_gemm_panels(MICRO->panel, state->out_plane - state->dot_cols);
    state->units = state->panels + (state->dot_cols > 0 ? 1 : 0);
    if (dyno_cpu_size((uint64_t)state->tile_floats * sizeof(float),
                      (uint64_t)state->tiles * (uint64_t)state->groups, 0) > (UINT64_C(1) << 40))
        return DYNO_FAIL(err, DYNO_E_LIMIT, "'%s' is too large to unfold", site->step->name);
    return DYNO_OK;
}

static enum dyno_status check(const struct dyno_site *site, struct conv_im2col_state *s,
                              struct dyno_err *err)
{
    if (!dyno_cpu_conv_accepts(site, DYNO_OP_conv))
        return dyno_cpu_refuse(site, err);
    DYNO_TRY(resolve(site, s, err));
    return s->mg > 0 ? DYNO_OK : dyno_cpu_refuse(site, err);
}

static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    struct conv_im2col_state s = {0};
    if (max < 1 || check(site, &s, NULL) != DYNO_OK)
        return 0;
    const double outer = (double)s.batch * (double)s.groups;
    const double unfolded = outer * (double)s.out_plane * (double)s.k;
    double us = unfolded * 1e-3 * DYNO_CPU_ISA_COST;
    us = s.cg == 1 ? us * (double)s.mg
                   : us + (double)dyno_gemm_estimate_us(site->target, MICRO, outer, (double)s.mg,
                                                        (double)s.k, (double)s.out_plane, 0.0);
    out[0].est_us = (float)us;
    return 1;
}

static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err)
{
    (void)asked;
    struct conv_im2col_state s = {0};
    DYNO_TRY(check(site, &s, err));
    if (!dyno_cpu_settle_row(site, 0, tactic))
        return dyno_cpu_refuse(site, err);
    tactic->packed_bytes =
        (uint64_t)s.tile_floats * (uint64_t)s.tiles * (uint64_t)s.groups * sizeof(float);
    return DYNO_OK;
}

/* [group][tile][block of 16 of K][row][16]; element k of K is the bias, those after it are 0. */
static enum dyno_status pack(const struct dyno_site *site, const struct dyno_tactic *tactic,
                             void *dst, struct dyno_err *err)
{
    (void)tactic;
    struct conv_im2col_state s = {0};
    DYNO_TRY(resolve(site, &s, err));
    const float *w = site->ins[1].data;
    const float *bias =
        site->step->own_in_count > 2 && site->ins[2].rank >= 0 ? site->ins[2].data : NULL;
    memset(dst, 0, (size_t)(s.tile_floats * s.tiles * s.groups) * sizeof(float));
    for (int64_t m = 0; m < s.mg * s.groups; m++) {
        const int64_t in_group = m % s.mg;
        int64_t tile = 0;
        int64_t first, last;
        do {
            dyno_cpu_share(s.mg, (int)s.tiles, (int)tile++, &first, &last);
        } while (in_group >= last);
        float *to = (float *)dst + (m / s.mg * s.tiles + tile - 1) * s.tile_floats;
        const int64_t rows = last - first;
        for (int64_t k = 0; k <= s.k; k++) {
            const float value = k < s.k ? w[m * s.k + k] : bias ? bias[m] : 0.0F;
            to[(k / 16 * rows + in_group - first) * 16 + k % 16] = value;
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
    struct conv_im2col_state *state = state_bytes;
    const int threads = site->target->thread_count;
    DYNO_TRY(resolve(site, state, err));
    DYNO_TRY(dyno_cpu_tail_prepare(site, DYNO_CPU_TAIL_MERGED, &state->tail, err));
    state->split = dyno_gemm_split_choose(state->batch * state->groups, state->units, state->tiles,
                                          state->units, 2.0, threads);
    const int64_t panel_bytes = (state->k + 1) * MICRO->panel * (int64_t)sizeof(float);
    const int64_t fit = CHUNK_MAX / panel_bytes;
    const int64_t chunks = dyno_cpu_div_up(state->panels, fit < 1 ? 1 : fit);
    state->chunk_panels = chunks < 1 ? 1 : dyno_cpu_div_up(state->panels, chunks);
    state->dot_floats = k_blocks(state->k) * 16;
    state->rows_bytes = (state->tiles * (int64_t)sizeof(struct dyno_gemm_rows) + 63) / 64 * 64;
    const uint64_t bytes = dyno_cpu_size((uint64_t)state->chunk_panels, (uint64_t)panel_bytes,
                                         (uint64_t)state->rows_bytes) +
                           (uint64_t)(state->dot_cols * state->dot_floats) * sizeof(float);
    const uint64_t tasks =
        dyno_cpu_size((uint64_t)state->batch * (uint64_t)state->groups,
                      (uint64_t)state->split.tile_parts * (uint64_t)state->split.panel_parts, 0);
    const uint64_t planes =
        dyno_cpu_size((uint64_t)state->batch * (uint64_t)state->groups, (uint64_t)state->mg, 0);
    if (bytes > INT64_MAX / 256 || tasks > INT32_MAX || planes > INT32_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "'%s' needs more workspace than can be addressed",
                         site->step->name);
    state->thread_bytes = ((int64_t)bytes + 63) / 64 * 64;
    *workspace_bytes_out = (uint64_t)state->thread_bytes * (uint64_t)threads;
    return DYNO_OK;
}

/* --- a run --- */

struct job {
    const struct conv_im2col_state *state;
    struct dyno_run_args *args;
};

/* Pixels of one output line. */
struct stretch {
    int64_t oz, oy, ox;
    int count;
};

/* Where a tap of a stretch is read in a plane: pixels [lo, hi) from `at` on, the others are 0. */
struct reach {
    int64_t at; /* of pixel 0, inside or not */
    int lo, hi;
};

static struct reach reach_of(const struct dyno_window *win, const struct stretch *stretch,
                             int64_t kz, int64_t ky, int64_t kx)
{
    const int64_t ix = stretch->ox * win->stride[2] + kx * win->dilation[2] - win->pad_begin[2];
    const int64_t iy = stretch->oy * win->stride[1] + ky * win->dilation[1] - win->pad_begin[1];
    const int64_t iz = stretch->oz * win->stride[0] + kz * win->dilation[0] - win->pad_begin[0];
    const int64_t step = win->stride[2];
    struct reach reach = {.at = (iz * win->in[1] + iy) * win->in[2] + ix, .hi = stretch->count};
    if (iy < 0 || iy >= win->in[1] || iz < 0 || iz >= win->in[0])
        reach.hi = 0;
    while (reach.lo < reach.hi && ix + reach.lo * step < 0)
        reach.lo++;
    while (reach.hi > reach.lo && ix + (reach.hi - 1) * step >= win->in[2])
        reach.hi--;
    return reach;
}

/* All channels of one tap of a stretch: `count` floats in each row of the panel. */
INLINE void unfold_tap(const struct conv_im2col_state *state, const float *x,
                       const struct reach *reach, const int64_t step, int count, int width,
                       float *dst)
{
    const int64_t rows = state->taps * width;
    const float *from = x + reach->at + reach->lo * step;
    for (int64_t c = 0; c < state->cg; c++, from += state->in_plane, dst += rows) {
        if (reach->hi - reach->lo < count)
            zero_floats(dst, count);
        if (reach->lo < reach->hi)
            copy_stepped(from, step, dst + reach->lo, reach->hi - reach->lo);
    }
}

/* One stretch of a panel: all its taps and channels. */
static void unfold_stretch(const struct conv_im2col_state *state, const float *x,
                           const struct stretch *stretch, int width, float *dst)
{
    const struct dyno_window *win = &state->window;
    const int64_t step = win->stride[2];
    for (int64_t tap = 0; tap < state->taps; tap++, dst += width) {
        const struct reach reach =
            reach_of(win, stretch, tap / win->kernel[2] / win->kernel[1],
                     tap / win->kernel[2] % win->kernel[1], tap % win->kernel[2]);
        if (step == 1 && reach.lo == 0 && reach.hi == 2 * LANES && reach.hi == stretch->count)
            unfold_tap(state, x, &(struct reach){reach.at, 0, 2 * LANES}, 1, 2 * LANES, width, dst);
        else if (step == 1)
            unfold_tap(state, x, &reach, 1, stretch->count, width, dst);
        else if (step == 2)
            unfold_tap(state, x, &reach, 2, stretch->count, width, dst);
        else
            unfold_tap(state, x, &reach, step, stretch->count, width, dst);
    }
}

/* One panel: [k + 1][width], columns past cols 0, the last row ones. */
static void unfold(const struct conv_im2col_state *state, const float *x, int64_t first, int cols,
                   int width, float *dst)
{
    const struct dyno_window *win = &state->window;
    for (int j = 0; j < cols;) {
        const int64_t pixel = first + j;
        const int64_t ox = pixel % win->out[2];
        const struct stretch stretch = {
            .oz = pixel / win->out[2] / win->out[1],
            .oy = pixel / win->out[2] % win->out[1],
            .ox = ox,
            .count = (int)dyno_cpu_min(cols - j, win->out[2] - ox),
        };
        unfold_stretch(state, x, &stretch, width, dst + j);
        j += stretch.count;
    }
    if (cols < width) {
        for (int64_t k = 0; k < state->k; k++)
            zero_floats(dst + k * width + cols, width - cols);
    }
    for (int j = 0; j < width; j++)
        dst[state->k * width + j] = 1.0F;
}

struct finish {
    const struct job *job;
    int64_t first_row, row_count; /* rows of out_plane pixels */
};

static void run_tail(void *arg, int64_t col0, int64_t col1)
{
    const struct finish *finish = arg;
    const struct conv_im2col_state *state = finish->job->state;
    const struct dyno_run_args *args = finish->job->args;
    float *y = args->outs[0].data;
    for (int64_t row = finish->first_row; row < finish->first_row + finish->row_count; row++)
        tail_linear(&state->tail, args->ins, y, row * state->out_plane + col0,
                    row * state->out_plane + col1);
}

static void make_rows(const struct conv_im2col_state *state, const float *weights, int64_t t0,
                      int64_t t1, struct dyno_gemm_rows *rows)
{
    for (int64_t t = t0; t < t1; t++, rows++) {
        int64_t first, last;
        dyno_cpu_share(state->mg, (int)state->tiles, (int)t, &first, &last);
        *rows = (struct dyno_gemm_rows){
            .a = weights + t * state->tile_floats,
            .a_row = 16,
            .a_blk = (last - first) * 16,
            .c = first * state->out_plane,
            .rows = (int)(last - first),
            .kind = DYNO_GEMM_BLOCKED,
        };
    }
}

/* One pixel along K: [channel, tap], a one for the bias, zeros. */
static void unfold_column(const struct conv_im2col_state *state, const float *x, int64_t pixel,
                          float *dst)
{
    const struct dyno_window *win = &state->window;
    const struct stretch stretch = {.oz = pixel / win->out[2] / win->out[1],
                                    .oy = pixel / win->out[2] % win->out[1],
                                    .ox = pixel % win->out[2],
                                    .count = 1};
    for (int64_t tap = 0; tap < state->taps; tap++) {
        const struct reach reach =
            reach_of(win, &stretch, tap / win->kernel[2] / win->kernel[1],
                     tap / win->kernel[2] % win->kernel[1], tap % win->kernel[2]);
        const bool inside = reach.lo < reach.hi;
        for (int64_t c = 0; c < state->cg; c++)
            dst[c * state->taps + tap] = inside ? x[c * state->in_plane + reach.at] : 0.0F;
    }
    dst[state->k] = 1.0F;
    for (int64_t k = state->k + 1; k < state->dot_floats; k++)
        dst[k] = 0.0F;
}

/* Columns beside the panels; none: cols is 0. */
struct dots {
    const float *b;
    ptrdiff_t b_col;
    int cols;
};

/* Elements [k, k + count) of the sums of one tile. */
static void run_dots(const struct dyno_gemm_block *whole, const struct dyno_gemm_rows *rows,
                     const struct dots *dots, int64_t k, int64_t count)
{
    const struct dyno_gemm_tile *tile = &whole->tile;
    const bool last = k + count == whole->k;
    float sums[DYNO_GEMM_ROWS_MAX * DOT_COLS_MAX];
    dot_columns(rows->a, rows->a_blk, rows->rows, dyno_cpu_div_up(count, 16), dots->b + k,
                dots->b_col, dots->cols, sums);
    for (int i = 0; i < rows->rows; i++) {
        const ptrdiff_t at = rows->c + i * tile->c_row + whole->n;
        for (int j = 0; j < dots->cols; j++) {
            float x = sums[i * DOT_COLS_MAX + j];
            if (k > 0)
                x += whole->c[at + j];
            if (last && whole->res)
                x += whole->res[at + j];
            if (last && tile->clip)
                x = x < tile->lo ? tile->lo : x > tile->hi ? tile->hi : x;
            whole->c[at + j] = x;
        }
    }
}

static void run_part(const struct dyno_gemm_block *whole, struct dyno_gemm_block *part, int64_t k,
                     int64_t p)
{
    const int panel = MICRO->panel;
    part->b = whole->b + (p - whole->b_panel0) * panel * whole->k +
              k * dyno_gemm_width(panel, whole->n, p);
    part->b_panel0 = p;
    part->panel0 = p;
    part->panel1 = p + 1;
    DYNO_CPU_FN(dyno_gemm_block)(part);
}

/* The unfolded panels and columns times the tiles, a long K in parts; sums wait in the output.
 * Panels stay while tiles stream by; but where there are columns, a tile stays for panels and
 * columns, which would not be worth another pass over the weights. */
static void multiply(const struct dyno_gemm_block *whole, struct dyno_gemm_rows *rows,
                     const struct dots *dots)
{
    const int64_t parts = whole->k / (dots->cols > 0 ? DOT_PART : K_PART);
    if (parts <= 1 && dots->cols == 0) {
        DYNO_CPU_FN(dyno_gemm_block)(whole);
        return;
    }
    struct dyno_gemm_block block = *whole;
    const int64_t size = dyno_cpu_div_up(dyno_cpu_div_up(whole->k, parts < 1 ? 1 : parts), 16) * 16;
    block.done = NULL;
    block.row_tiles = dots->cols > 0 ? 1 : whole->row_tiles;
    for (int64_t k = 0; k < whole->k; k += size) {
        const int64_t count = dyno_cpu_min(size, whole->k - k);
        const bool last = k + count == whole->k;
        block.tile.blks = (int)(count / 16);
        block.tile.rem = (int)(count % 16);
        block.tile.load = k > 0;
        block.tile.clip = last && whole->tile.clip;
        block.res = last ? whole->res : NULL;
        for (int64_t t = 0; t < whole->row_tiles; t += block.row_tiles) {
            block.rows = rows + t;
            for (int64_t p = whole->panel0; p < whole->panel1; p++)
                run_part(whole, &block, k, p);
            if (dots->cols > 0)
                run_dots(whole, &rows[t], dots, k, count);
        }
        for (int64_t t = 0; t < whole->row_tiles; t++)
            rows[t].a += size / 16 * rows[t].a_blk;
    }
    for (int64_t t = 0; t < whole->row_tiles; t++)
        rows[t].a -= dyno_cpu_div_up(whole->k, size) * (size / 16) * rows[t].a_blk;
    const int64_t panel = MICRO->panel;
    if (whole->done)
        whole->done(whole->done_arg, dyno_cpu_min(whole->panel0 * panel, whole->n),
                    dyno_cpu_min(whole->panel1 * panel, whole->n) + dots->cols);
}

static void task(void *arg, int idx, int thread)
{
    const struct job *job = arg;
    const struct conv_im2col_state *state = job->state;
    const struct dyno_run_args *args = job->args;
    const int64_t panel_part = idx % state->split.tile_parts;
    const int64_t tile_part = idx / state->split.tile_parts % state->split.panel_parts;
    const int64_t outer = idx / (state->split.tile_parts * state->split.panel_parts);
    const int64_t group = outer % state->groups;
    int64_t t0, t1, p0, p1, row0, row1, skip;
    dyno_cpu_share(state->tiles, (int)state->split.panel_parts, (int)tile_part, &t0, &t1);
    dyno_cpu_share(state->units, (int)state->split.tile_parts, (int)panel_part, &p0, &p1);
    if (t0 == t1 || p0 == p1)
        return;
    const int dot_cols = p1 > state->panels ? state->dot_cols : 0;
    p1 = dyno_cpu_min(p1, state->panels);
    dyno_cpu_share(state->mg, (int)state->tiles, (int)t0, &row0, &skip);
    dyno_cpu_share(state->mg, (int)state->tiles, (int)(t1 - 1), &skip, &row1);

    char *space = (char *)args->workspace + thread * state->thread_bytes;
    struct dyno_gemm_rows *rows = (void *)space;
    float *unfolded = (void *)(space + state->rows_bytes);
    make_rows(state, (const float *)args->packed + group * state->tiles * state->tile_floats, t0,
              t1, rows);
    const float *x = (const float *)args->ins[0].data + outer * state->cg * state->in_plane;
    const int64_t y_row = outer * state->mg;
    struct finish finish = {.job = job, .first_row = y_row + row0, .row_count = row1 - row0};
    const struct dyno_cpu_epilogue ep = dyno_cpu_epilogue(&state->tail, args->ins, 0);
    struct dyno_gemm_block block = {
        .tile = {.segs = 1,
                 .blks = (int)((state->k + 1) / 16),
                 .rem = (int)((state->k + 1) % 16),
                 .c_row = state->out_plane,
                 .c_blk = 16,
                 .clip = ep.clip,
                 .lo = ep.lo,
                 .hi = ep.hi},
        .rows = rows,
        .row_tiles = t1 - t0,
        .b = unfolded,
        .k = state->k + 1,
        .n = state->out_plane - state->dot_cols,
        .c = (float *)args->outs[0].data + y_row * state->out_plane,
        .res = ep.res ? ep.res + y_row * state->out_plane : NULL,
        .c_group = 16,
        .exact = true,
        .done_cols = state->chunk_panels * MICRO->panel,
        .done = ep.in_memory ? run_tail : NULL,
        .done_arg = &finish,
    };
    const int64_t panel = MICRO->panel;
    int64_t p = p0;
    do {
        block.b_panel0 = p;
        block.panel0 = p;
        block.panel1 = dyno_cpu_min(p + state->chunk_panels, p1);
        float *dst = unfolded;
        for (int64_t i = p; i < block.panel1; i++) {
            const int width = dyno_gemm_width(MICRO->panel, block.n, i);
            const int cols = (int)dyno_cpu_min(block.n - i * panel, width);
            unfold(state, x, i * panel, cols, width, dst);
            dst += width * (state->k + 1);
        }
        const struct dots dots = {
            .b = dst, .b_col = state->dot_floats, .cols = block.panel1 == p1 ? dot_cols : 0};
        for (int j = 0; j < dots.cols; j++)
            unfold_column(state, x, block.n + j, dst + j * state->dot_floats);
        multiply(&block, rows, &dots);
        p = block.panel1;
    } while (p < p1);
}

/* y[j] += w * x[j * step] */
static void add_scaled(const float *x, int64_t step, float w, float *y, int64_t count)
{
    int64_t j = 0;
    if (step == 1) {
        const vf scale = vf_set1(w);
        for (; j + LANES <= count; j += LANES)
            vf_store(y + j, vf_fma(scale, vf_load(x + j), vf_load(y + j)));
    }
    for (; j < count; j++)
        y[j] += w * x[j * step];
}

/* One input channel a group: unfolding would cost more than the sums.  A task is an output plane.
 */
static void plane_task(void *arg, int idx, int thread)
{
    (void)thread;
    const struct job *job = arg;
    const struct conv_im2col_state *state = job->state;
    const struct dyno_window *win = &state->window;
    const int64_t m = idx % (state->groups * state->mg);
    const int64_t group = idx / state->mg;
    int64_t first, last, tile = 0;
    do {
        dyno_cpu_share(state->mg, (int)state->tiles, (int)tile++, &first, &last);
    } while (m % state->mg >= last);
    const float *w = (const float *)job->args->packed +
                     (m / state->mg * state->tiles + tile - 1) * state->tile_floats +
                     (m % state->mg - first) * 16;
    const int64_t w_blk = (last - first) * 16;
    const float *x = (const float *)job->args->ins[0].data + group * state->in_plane;
    float *y = (float *)job->args->outs[0].data + idx * state->out_plane;
    const float bias = w[state->taps / 16 * w_blk + state->taps % 16];
    for (int64_t line = 0; line < win->out[0] * win->out[1]; line++, y += win->out[2]) {
        for (int64_t j = 0; j < win->out[2]; j++)
            y[j] = bias;
        const struct stretch stretch = {
            .oz = line / win->out[1], .oy = line % win->out[1], .count = (int)win->out[2]};
        for (int64_t tap = 0; tap < state->taps; tap++) {
            const struct reach reach =
                reach_of(win, &stretch, tap / win->kernel[2] / win->kernel[1],
                         tap / win->kernel[2] % win->kernel[1], tap % win->kernel[2]);
            if (reach.lo < reach.hi)
                add_scaled(x + reach.at + reach.lo * win->stride[2], win->stride[2],
                           w[tap / 16 * w_blk + tap % 16], y + reach.lo, reach.hi - reach.lo);
        }
    }
    struct finish finish = {.job = job, .first_row = idx, .row_count = 1};
    if (state->tail.instr_count > 0)
        run_tail(&finish, 0, state->out_plane);
}

static enum dyno_status run(struct dyno_run_args *args)
{
    const struct conv_im2col_state *state = args->state;
    struct job job = {.state = state, .args = args};
    if (state->units == 0)
        return DYNO_OK;
    if (state->cg == 1)
        dyno_pool_run(args->pool, plane_task, &job,
                      (int)(state->batch * state->groups * state->mg));
    else
        dyno_pool_run(args->pool, task, &job,
                      (int)(state->batch * state->groups * state->split.tile_parts *
                            state->split.panel_parts));
    return DYNO_OK;
}

const struct dyno_kernel DYNO_CPU_KERNEL(conv_im2col) = {
    .name = DYNO_CPU_KERNEL_NAME("conv_im2col"),
    .isa_mask = DYNO_CPU_ISA_MASK,
    .packing = 2,
    .state_bytes = sizeof(struct conv_im2col_state),
    .enumerate = enumerate,
    .settle = settle,
    .packed_ins = 1U << 1,
    .pack = pack,
    .prepare = prepare,
    .run = run,
};
