/* conv_winograd.h - Conv 3x3 at stride 1 in BLOCK layout by minimal filtering.
 *
 * A block of tiles passes three phases: inputs are transformed into [point][channel
 * block][tile][16], each point is a matrix product tiles x channels x channels, sums are
 * transformed back.  cfg[0] is m (4 or 2), cfg[1] the tiles of a block, cfg[2] says who shares the
 * work: SPREAD gives each thread blocks of its own, TOGETHER lets all threads do each phase of one
 * block.
 */
#include "backend/cpu/kernel.h"
#include "backend/cpu/simd.h"
#include "backend/cpu/winograd.h"

extern const struct dyno_kernel DYNO_CPU_KERNEL(conv_winograd);

#define INLINE          static inline __attribute__((always_inline))
#define MICRO           (&DYNO_CPU_FN(dyno_gemm_micro))
#define POINTS_MAX      36
#define BLOCK_TILES_MAX 4096

enum share { SPREAD, TOGETHER };

struct conv_winograd_state {
    struct dyno_cpu_conv conv;
    struct dyno_cpu_winograd_packed packed;
    struct dyno_cpu_tail tail;
    int m;
    enum share share;
    int64_t in_blocks, out_blocks; /* of channels */
    int64_t th, tw;                /* tiles of an image */
    int64_t tiles;                 /* of all images */
    int64_t blocks;                /* of tiles */
    int64_t block_tiles;           /* the largest block's */
    int64_t v_point, m_point;      /* floats between points */
    int64_t thread_bytes;          /* workspace of a thread (TOGETHER: of all) */
    int64_t rows_bytes;            /* for the rows of a product, at its start */
};

/* --- transforms of one vector of lanes --- */

INLINE void input_4(const vf d[6], vf o[6])
{
    const vf four = vf_set1(4.0F);
    const vf two = vf_set1(2.0F);
    const vf t0 = vf_sub(d[4], vf_mul(four, d[2]));
    const vf t1 = vf_sub(d[3], vf_mul(four, d[1]));
    const vf t2 = vf_sub(d[4], d[2]);
    const vf t3 = vf_sub(d[3], d[1]);
    o[0] = vf_fma(four, vf_sub(d[0], d[2]), t2);
    o[1] = vf_add(t0, t1);
    o[2] = vf_sub(t0, t1);
    o[3] = vf_fma(two, t3, t2);
    o[4] = vf_sub(t2, vf_mul(two, t3));
    o[5] = vf_fma(four, vf_sub(d[1], d[3]), vf_sub(d[5], d[3]));
}

INLINE void output_4(const vf m[6], vf o[4])
{
    const vf p = vf_add(m[1], m[2]);
    const vf q = vf_sub(m[1], m[2]);
    const vf r = vf_add(m[3], m[4]);
    const vf s = vf_sub(m[3], m[4]);
    o[0] = vf_add(vf_add(m[0], p), r);
    o[1] = vf_fma(vf_set1(2.0F), s, q);
    o[2] = vf_fma(vf_set1(4.0F), r, p);
    o[3] = vf_add(vf_fma(vf_set1(8.0F), s, q), m[5]);
}

INLINE void input_2(const vf d[4], vf o[4])
{
    o[0] = vf_sub(d[0], d[2]);
    o[1] = vf_add(d[1], d[2]);
    o[2] = vf_sub(d[2], d[1]);
    o[3] = vf_sub(d[1], d[3]);
}

INLINE void output_2(const vf m[4], vf o[2])
{
    o[0] = vf_add(vf_add(m[0], m[1]), m[2]);
    o[1] = vf_sub(vf_sub(m[1], m[2]), m[3]);
}

/* x: (m + 2)^2 pixels, lines `x_line` apart; v: a vector a point, `v_point` apart. */
INLINE void input_tile(const int m, const float *x, ptrdiff_t x_line, float *v, ptrdiff_t v_point)
{
    const int a = m + 2;
    vf half[6][6];
#pragma GCC unroll 6
    for (int j = 0; j < a; j++) {
        vf d[6], o[6];
#pragma GCC unroll 6
        for (int i = 0; i < a; i++)
            d[i] = vf_load(x + i * x_line + (ptrdiff_t)j * DYNO_CPU_BLOCK);
        if (m == 4)
            input_4(d, o);
        else
            input_2(d, o);
#pragma GCC unroll 6
        for (int i = 0; i < a; i++)
            half[i][j] = o[i];
    }
#pragma GCC unroll 6
    for (int i = 0; i < a; i++) {
        vf o[6];
        if (m == 4)
            input_4(half[i], o);
        else
            input_2(half[i], o);
#pragma GCC unroll 6
        for (int j = 0; j < a; j++)
            vf_store(v + (i * a + j) * v_point, o[j]);
    }
}

/* The sums of a tile back to m x m pixels, and the bias. */
INLINE void output_tile(const int m, const float *sums, ptrdiff_t m_point, vf bias, vf y[4][4])
{
    const int a = m + 2;
    vf half[4][6];
#pragma GCC unroll 6
    for (int j = 0; j < a; j++) {
        vf d[6], o[4];
#pragma GCC unroll 6
        for (int i = 0; i < a; i++)
            d[i] = vf_load(sums + (i * a + j) * m_point);
        if (m == 4)
            output_4(d, o);
        else
            output_2(d, o);
#pragma GCC unroll 4
        for (int i = 0; i < m; i++)
            half[i][j] = o[i];
    }
#pragma GCC unroll 4
    for (int i = 0; i < m; i++) {
        vf o[4];
        if (m == 4)
            output_4(half[i], o);
        else
            output_2(half[i], o);
#pragma GCC unroll 4
        for (int j = 0; j < m; j++)
            y[i][j] = vf_add(o[j], bias);
    }
}

/* --- phases of a block of tiles --- */

struct block {
    const struct conv_winograd_state *state;
    const struct dyno_run_args *args;
    int64_t first, count;        /* tiles */
    struct dyno_gemm_rows *rows; /* of a product; SPREAD */
    float *v, *sums;
};

struct place {
    int64_t n, y, x; /* image, first output pixel */
};

static struct place place_of(const struct conv_winograd_state *state, int64_t tile)
{
    const int64_t a_image = state->th * state->tw;
    const int64_t in_image = tile % a_image;
    return (struct place){
        .n = tile / a_image,
        .y = in_image / state->tw * state->m,
        .x = in_image % state->tw * state->m,
    };
}

INLINE void input_phase(const struct block *b, const int m, int64_t cb0, int64_t cb1)
{
    const struct conv_winograd_state *state = b->state;
    const struct dyno_cpu_conv *g = &state->conv;
    const struct dyno_buf *in = &b->args->ins[0];
    const int a = m + 2;
    for (int64_t cb = cb0; cb < cb1; cb++) {
        for (int64_t t = 0; t < b->count; t++) {
            const struct place at = place_of(state, b->first + t);
            const float *x = (const float *)in->data + at.n * in->batch_stride +
                             cb * g->h * g->w * DYNO_CPU_BLOCK;
            const int64_t y0 = at.y - g->ph;
            const int64_t x0 = at.x - g->pw;
            ptrdiff_t x_line = g->w * DYNO_CPU_BLOCK;
            float copy[POINTS_MAX * DYNO_CPU_BLOCK];
            const float *from = x + (y0 * g->w + x0) * DYNO_CPU_BLOCK;
            if (y0 < 0 || x0 < 0 || y0 + a > g->h || x0 + a > g->w) {
                for (int i = 0; i < a * a; i++) {
                    const int64_t iy = y0 + i / a;
                    const int64_t ix = x0 + i % a;
                    const bool inside = iy >= 0 && iy < g->h && ix >= 0 && ix < g->w;
                    for (int v = 0; v < DYNO_CPU_BLOCK; v += LANES)
                        vf_store(copy + i * DYNO_CPU_BLOCK + v,
                                 inside ? vf_load(x + (iy * g->w + ix) * DYNO_CPU_BLOCK + v)
                                        : vf_zero());
                }
                from = copy;
                x_line = (ptrdiff_t)a * DYNO_CPU_BLOCK;
            }
            float *v = b->v + (cb * b->count + t) * DYNO_CPU_BLOCK;
            for (int half = 0; half < DYNO_CPU_BLOCK; half += LANES)
                input_tile(m, from + half, x_line, v + half, state->v_point);
        }
    }
}

static __attribute__((noinline)) void input_any(const struct block *b, int64_t cb0, int64_t cb1)
{
    if (b->state->m == 4)
        input_phase(b, 4, cb0, cb1);
    else
        input_phase(b, 2, cb0, cb1);
}

/* One point's product; rows: space for the tiles' addresses. */
static void product(const struct block *b, struct dyno_gemm_rows *rows, int64_t point)
{
    const struct conv_winograd_state *state = b->state;
    const struct dyno_cpu_conv *g = &state->conv;
    const int row_tiles = (int)dyno_cpu_div_up(b->count, MICRO->rows_max);
    for (int i = 0; i < row_tiles; i++) {
        int64_t first, last;
        dyno_cpu_share(b->count, row_tiles, i, &first, &last);
        rows[i] = (struct dyno_gemm_rows){
            .a = b->v + point * state->v_point + first * DYNO_CPU_BLOCK,
            .a_row = DYNO_CPU_BLOCK,
            .a_blk = b->count * DYNO_CPU_BLOCK,
            .c = first * DYNO_CPU_BLOCK,
            .rows = (int)(last - first),
            .kind = DYNO_GEMM_BLOCKED,
        };
    }
    const float *filters =
        (const float *)b->args->packed + state->packed.b_at + point * state->packed.b_point;
    const struct dyno_gemm_block block = {
        .tile = {.segs = 1,
                 .blks = (int)(g->c / DYNO_CPU_BLOCK),
                 .rem = (int)(g->c % DYNO_CPU_BLOCK),
                 .c_row = DYNO_CPU_BLOCK,
                 .c_blk = b->count * DYNO_CPU_BLOCK},
        .rows = rows,
        .row_tiles = row_tiles,
        .b = filters,
        .then = point + 1 < state->packed.points ? filters + state->packed.b_point : NULL,
        .k = g->c,
        .n = g->m,
        .panel1 = dyno_gemm_panels(MICRO->panel, g->m),
        .c = b->sums + point * state->m_point,
        .c_group = b->count * DYNO_CPU_BLOCK,
    };
    DYNO_CPU_FN(dyno_gemm_block)(&block);
}

INLINE void output_phase(const struct block *b, const int m, int64_t ob,
                         const struct dyno_cpu_epilogue *ep, const struct place *at, int64_t t)
{
    const struct conv_winograd_state *state = b->state;
    const struct dyno_cpu_conv *g = &state->conv;
    const struct dyno_buf *out = &b->args->outs[0];
    const float *bias = (const float *)b->args->packed + ob * DYNO_CPU_BLOCK;
    const float *sums = b->sums + (ob * b->count + t) * DYNO_CPU_BLOCK;
    const int64_t y_off = ((ob * g->oh + at->y) * g->ow + at->x) * DYNO_CPU_BLOCK;
    float *dst = (float *)out->data + at->n * out->batch_stride + y_off;
    const float *res = ep->res ? ep->res + y_off : NULL;
    const int lines = (int)dyno_cpu_min(m, g->oh - at->y);
    const int cols = (int)dyno_cpu_min(m, g->ow - at->x);
    const vf lo = vf_set1(ep->lo);
    const vf hi = vf_set1(ep->hi);
    for (int half = 0; half < DYNO_CPU_BLOCK; half += LANES) {
        vf y[4][4];
        output_tile(m, sums + half, state->m_point, vf_load(bias + half), y);
#pragma GCC unroll 4
        for (int i = 0; i < m; i++) {
            if (i >= lines)
                break;
            const ptrdiff_t line = i * g->ow * DYNO_CPU_BLOCK + half;
#pragma GCC unroll 4
            for (int j = 0; j < m; j++) {
                if (j >= cols)
                    break;
                const ptrdiff_t pixel = line + (ptrdiff_t)j * DYNO_CPU_BLOCK;
                if (res)
                    y[i][j] = vf_add(y[i][j], vf_load(res + pixel));
                if (ep->clip)
                    y[i][j] = vf_clip(y[i][j], lo, hi);
                vf_store(dst + pixel, y[i][j]);
            }
        }
    }
}

/* The tail over the pixels of the block's tiles, stretches of one line at a time. */
static void tail_phase(const struct block *b, int64_t ob)
{
    const struct conv_winograd_state *state = b->state;
    const struct dyno_cpu_conv *g = &state->conv;
    const struct dyno_buf *out = &b->args->outs[0];
    for (int64_t t = 0; t < b->count;) {
        const struct place at = place_of(state, b->first + t);
        const int64_t in_line = dyno_cpu_min(state->tw - at.x / state->m, b->count - t);
        const int64_t cols = dyno_cpu_min(in_line * state->m, g->ow - at.x);
        for (int64_t y = at.y; y < at.y + state->m && y < g->oh; y++) {
            const int64_t pos = y * g->ow + at.x;
            float *dst = (float *)out->data + at.n * out->batch_stride +
                         (ob * g->oh * g->ow + pos) * DYNO_CPU_BLOCK;
            tail_block(&state->tail, b->args->ins, dst, dst, at.n, ob, pos, cols);
        }
        t += in_line;
    }
}

static __attribute__((noinline)) void output_any(const struct block *b, int64_t ob0, int64_t ob1)
{
    for (int64_t ob = ob0; ob < ob1; ob++) {
        struct dyno_cpu_epilogue ep = {0};
        int64_t image = -1;
        for (int64_t t = 0; t < b->count; t++) {
            const struct place at = place_of(b->state, b->first + t);
            if (at.n != image)
                ep = dyno_cpu_epilogue(&b->state->tail, b->args->ins, at.n);
            image = at.n;
            if (b->state->m == 4)
                output_phase(b, 4, ob, &ep, &at, t);
            else
                output_phase(b, 2, ob, &ep, &at, t);
        }
        if (ep.in_memory)
            tail_phase(b, ob);
    }
}

/* --- who does what --- */

static void set_block(const struct conv_winograd_state *state, const struct dyno_run_args *args,
                      int64_t idx, char *space, struct block *b)
{
    int64_t last;
    b->state = state;
    b->args = args;
    dyno_cpu_share(state->tiles, (int)state->blocks, (int)idx, &b->first, &last);
    b->count = last - b->first;
    b->rows = (void *)space;
    b->v = (void *)(space + state->rows_bytes);
    b->sums = b->v + state->packed.points * state->v_point;
}

struct job {
    const struct conv_winograd_state *state;
    const struct dyno_run_args *args;
};

static void spread_task(void *arg, int idx, int thread)
{
    const struct job *job = arg;
    struct block b;
    set_block(job->state, job->args, idx,
              (char *)job->args->workspace + thread * job->state->thread_bytes, &b);
    input_any(&b, 0, job->state->in_blocks);
    for (int64_t point = 0; point < job->state->packed.points; point++)
        product(&b, b.rows, point);
    output_any(&b, 0, job->state->out_blocks);
}

static void input_task(void *arg, int idx, int thread)
{
    (void)thread;
    input_any(arg, idx, idx + 1);
}

static void product_task(void *arg, int idx, int thread)
{
    const struct block *b = arg;
    const int64_t tiles = dyno_cpu_div_up(b->state->block_tiles, MICRO->rows_max);
    product(b, b->rows + thread * tiles, idx);
}

static void output_task(void *arg, int idx, int thread)
{
    (void)thread;
    output_any(arg, idx, idx + 1);
}

static enum dyno_status run(struct dyno_run_args *args)
{
    const struct conv_winograd_state *state = args->state;
    struct job job = {.state = state, .args = args};
    if (state->share == SPREAD) {
        dyno_pool_run(args->pool, spread_task, &job, (int)state->blocks);
        return DYNO_OK;
    }
    for (int64_t i = 0; i < state->blocks; i++) {
        struct block b;
        set_block(state, args, i, args->workspace, &b);
        dyno_pool_run(args->pool, input_task, &b, (int)state->in_blocks);
        dyno_pool_run(args->pool, product_task, &b, (int)state->packed.points);
        dyno_pool_run(args->pool, output_task, &b, (int)state->out_blocks);
    }
    return DYNO_OK;
}

/* --- the kernel --- */

static double estimate(const struct dyno_site *site, const struct dyno_cpu_conv *g, int m,
                       int64_t block_tiles, uint64_t packed_bytes)
{
    const struct dyno_target *target = site->target;
    const double points = (double)(m + 2) * (double)(m + 2);
    const double tiles =
        (double)g->batch * (double)(dyno_cpu_div_up(g->oh, m) * dyno_cpu_div_up(g->ow, m));
    const double blocks = tiles > (double)block_tiles ? tiles / (double)block_tiles : 1.0;
    /* Weights come from memory once, and from a cache for each further block. */
    const double passes = 1.0 + (blocks - 1.0) / 3.0;
    const double weights_us = (double)packed_bytes * passes / ((double)target->mem_gbps * 1e3);
    const double us =
        weights_us + (double)dyno_gemm_estimate_us(target, MICRO, points * blocks, tiles / blocks,
                                                   (double)g->c, (double)g->m, 0.0);
    return us + tiles * points * (double)(g->c + g->m) * 8.0 / 30e3 * DYNO_CPU_ISA_COST;
}

static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    static const uint32_t factors[] = {12, 24, 48};
    static const uint32_t factors_wide[] = {14, 28, 56};
    const bool wide = MICRO->rows_max == 14;
    struct dyno_cpu_conv g;
    int count = 0;
    if (site->target->exact || dyno_cpu_winograd_check(site, &g, NULL) != DYNO_OK)
        return 0;
    for (int m = 4; m >= 2; m -= 2) {
        struct dyno_cpu_winograd_packed packed;
        /* Small tiles pay where large ones would mostly hang over the edge. */
        if (!dyno_cpu_winograd_packed(&g, m, MICRO->panel, &packed) ||
            (m == 2 && g.oh > 10 && g.ow > 10))
            continue;
        for (size_t i = 0; i < DYNO_COUNT(factors); i++) {
            const uint32_t tiles = wide ? factors_wide[i] : factors[i];
            const double us = estimate(site, &g, m, tiles, packed.all_bytes);
            for (uint32_t share = SPREAD; share <= TOGETHER && count < max; share++) {
                if (share == TOGETHER && site->target->thread_count == 1)
                    continue;
                dyno_cpu_tactic_block(&out[count], site, us);
                out[count].cfg[0] = (uint32_t)m;
                out[count].cfg[1] = tiles;
                out[count].cfg[2] = share;
                count++;
            }
        }
    }
    return count;
}

static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err)
{
    struct dyno_cpu_conv g;
    struct dyno_cpu_winograd_packed packed;
    DYNO_TRY(dyno_cpu_winograd_check(site, &g, err));
    if ((asked->cfg[0] != 4 && asked->cfg[0] != 2) || asked->cfg[1] < 1 ||
        asked->cfg[1] > BLOCK_TILES_MAX || asked->cfg[2] > TOGETHER ||
        !dyno_cpu_winograd_packed(&g, (int)asked->cfg[0], MICRO->panel, &packed) ||
        !dyno_cpu_settle_block(site, 3, 1, tactic))
        return dyno_cpu_refuse(site, err);
    tactic->flags = DYNO_TACTIC_WINOGRAD;
    tactic->packed_bytes = packed.all_bytes;
    return DYNO_OK;
}

static enum dyno_status pack(const struct dyno_site *site, const struct dyno_tactic *tactic,
                             void *dst, struct dyno_err *err)
{
    struct dyno_cpu_conv g;
    DYNO_TRY(dyno_cpu_conv_resolve(site, &g, err));
    dyno_cpu_winograd_pack(site, &g, (int)tactic->cfg[0], MICRO->panel, dst);
    return DYNO_OK;
}

static void plan_blocks(struct conv_winograd_state *state, int64_t block_tiles, int threads)
{
    int64_t blocks = dyno_cpu_div_up(state->tiles, block_tiles);
    if (state->share == SPREAD && threads > 1) {
        /* The same number for each thread, unless that leaves hardly a row tile a block. */
        const int64_t even = dyno_cpu_div_up(blocks, threads) * threads;
        if (even <= state->tiles)
            blocks = even;
    }
    state->blocks = blocks;
    state->block_tiles = blocks > 0 ? dyno_cpu_div_up(state->tiles, blocks) : 0;
}

static enum dyno_status prepare(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                const void *packed, void *state_bytes,
                                uint64_t *workspace_bytes_out, struct dyno_err *err)
{
    (void)packed;
    struct conv_winograd_state *state = state_bytes;
    const struct dyno_cpu_conv *g = &state->conv;
    const int threads = site->target->thread_count;
    *state = (struct conv_winograd_state){.m = (int)tactic->cfg[0]};
    DYNO_TRY(dyno_cpu_conv_resolve(site, &state->conv, err));
    DYNO_TRY(dyno_cpu_tail_prepare(site, DYNO_CPU_TAIL_AXES, &state->tail, err));
    if (!dyno_cpu_winograd_packed(g, state->m, MICRO->panel, &state->packed))
        return DYNO_FAIL(err, DYNO_E_LIMIT, "'%s' has weights too large to pack", site->step->name);
    state->share = tactic->cfg[2] == TOGETHER && threads > 1 ? TOGETHER : SPREAD;
    state->in_blocks = dyno_cpu_div_up(g->c, DYNO_CPU_BLOCK);
    state->out_blocks = dyno_cpu_div_up(g->m, DYNO_CPU_BLOCK);
    state->th = dyno_cpu_div_up(g->oh, state->m);
    state->tw = dyno_cpu_div_up(g->ow, state->m);
    const uint64_t tiles =
        dyno_cpu_size((uint64_t)state->th * (uint64_t)state->tw, (uint64_t)g->batch, 0);
    if (tiles > INT32_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "'%s' has %llu tiles", site->step->name,
                         (unsigned long long)tiles);
    state->tiles = (int64_t)tiles;
    plan_blocks(state, tactic->cfg[1], threads);
    /* A line more than needed: points a multiple of 4 KiB apart would share cache sets. */
    const int64_t a_tile = DYNO_CPU_BLOCK * state->block_tiles;
    state->v_point = state->in_blocks * a_tile + DYNO_CPU_BLOCK;
    state->m_point = state->out_blocks * a_tile + DYNO_CPU_BLOCK;
    const int64_t row_tiles = dyno_cpu_div_up(state->block_tiles, MICRO->rows_max) *
                              (state->share == TOGETHER ? threads : 1);
    state->rows_bytes = (row_tiles * (int64_t)sizeof(struct dyno_gemm_rows) + 63) / 64 * 64;
    const uint64_t bytes =
        dyno_cpu_size((uint64_t)(state->v_point + state->m_point),
                      (uint64_t)state->packed.points * sizeof(float), (uint64_t)state->rows_bytes);
    if (bytes > INT64_MAX / 128)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "'%s' needs more workspace than can be addressed",
                         site->step->name);
    state->thread_bytes = (int64_t)bytes;
    *workspace_bytes_out = bytes * (uint64_t)(state->share == SPREAD ? threads : 1);
    return DYNO_OK;
}

const struct dyno_kernel DYNO_CPU_KERNEL(conv_winograd) = {
    .name = DYNO_CPU_KERNEL_NAME("conv_winograd"),
    .isa_mask = DYNO_CPU_ISA_MASK,
    .packing = 2,
    .state_bytes = sizeof(struct conv_winograd_state),
    .enumerate = enumerate,
    .settle = settle,
    .packed_ins = 1U << 1,
    .pack = pack,
    .prepare = prepare,
    .run = run,
};
