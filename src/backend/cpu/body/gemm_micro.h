/* gemm_micro.h - the register tiles of gemm.h for one instruction set.
 *
 * The includer has defined ROWS_MAX and NV, the vectors of a full panel.  Everywhere here nv is the
 * vectors of a panel and `low` says that of its last one only the lower eight lanes exist.
 */
#include "backend/cpu/gemm.h"
#include "backend/cpu/kernel.h"
#include "backend/cpu/simd.h"

#include "backend/cpu/body/fma.h"

#define SETS_MAX       4
#define LINE           64 /* bytes of a cache line */
#define NEXT_LINES_MAX 16 /* prefetched a block of K */
#define INLINE         static inline __attribute__((always_inline))

/* Few rows leave the multipliers waiting for the last sum: they get several sums a column. */
#define SETS(rows, nv) ((rows) * (nv) <= 2 ? 4 : (rows) * (nv) <= 7 ? 2 : 1)

INLINE vf load(const float *p, const bool low)
{
#if LANES == 16
    if (low)
        return _mm512_castps256_ps512(_mm256_loadu_ps(p));
#endif
    (void)low;
    return vf_load(p);
}

INLINE void store(float *p, vf x, const bool low)
{
#if LANES == 16
    if (low) {
        _mm256_storeu_ps(p, _mm512_castps512_ps256(x));
        return;
    }
#endif
    (void)low;
    vf_store(p, x);
}

INLINE ptrdiff_t column(ptrdiff_t c_blk, int v)
{
    return v * LANES / 16 * c_blk + v * LANES % 16;
}

INLINE void start(const struct dyno_gemm_tile *t, const int rows, const int nv, const bool low,
                  const int sets, vf acc[SETS_MAX * ROWS_MAX][NV])
{
#pragma GCC unroll 64
    for (int i = 0; i < rows * sets; i++) {
#pragma GCC unroll 8
        for (int v = 0; v < nv; v++)
            acc[i][v] = vf_zero();
    }
    if (t->load) {
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++) {
#pragma GCC unroll 8
            for (int v = 0; v < nv; v++)
                acc[i][v] = load(t->c + i * t->c_row + column(t->c_blk, v), low && v == nv - 1);
        }
    } else if (t->bias) {
#pragma GCC unroll 8
        for (int v = 0; v < nv; v++) {
            const vf bias = load(t->bias + (ptrdiff_t)v * LANES, low && v == nv - 1);
#pragma GCC unroll 16
            for (int i = 0; i < rows; i++)
                acc[i][v] = bias;
        }
    }
}

/* Sums for one k: a is row 0's element, b a row of the panel, set the sums it goes to. */
INLINE void step(const int rows, const int nv, const bool low, const int set, const float *a,
                 ptrdiff_t a_row, const float *b, vf acc[SETS_MAX * ROWS_MAX][NV])
{
    vf x[NV];
#pragma GCC unroll 8
    for (int v = 0; v < nv; v++)
        x[v] = load(b + (ptrdiff_t)v * LANES, low && v == nv - 1);
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
        const vf y = vf_set1(a[i * a_row]);
#pragma GCC unroll 8
        for (int v = 0; v < nv; v++) {
            if (low && v == nv - 1)
                FMA_LOW(acc[set * rows + i][v], y, x[v]);
            else
                FMA(acc[set * rows + i][v], y, x[v]);
        }
    }
}

INLINE void finish(const struct dyno_gemm_tile *t, const int rows, const int nv, const bool low,
                   const int sets, vf acc[SETS_MAX * ROWS_MAX][NV])
{
#pragma GCC unroll 4
    for (int set = 1; set < sets; set++) {
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++) {
#pragma GCC unroll 8
            for (int v = 0; v < nv; v++)
                acc[i][v] = vf_add(acc[i][v], acc[set * rows + i][v]);
        }
    }
    if (t->res) {
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++) {
#pragma GCC unroll 8
            for (int v = 0; v < nv; v++)
                acc[i][v] = vf_add(acc[i][v], load(t->res + i * t->c_row + column(t->c_blk, v),
                                                   low && v == nv - 1));
        }
    }
    if (t->clip) {
        const vf lo = vf_set1(t->lo);
        const vf hi = vf_set1(t->hi);
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++) {
#pragma GCC unroll 8
            for (int v = 0; v < nv; v++)
                acc[i][v] = vf_clip(acc[i][v], lo, hi);
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
#pragma GCC unroll 8
        for (int v = 0; v < nv; v++)
            store(t->c + i * t->c_row + column(t->c_blk, v), acc[i][v], low && v == nv - 1);
    }
}

INLINE void run_blocks(const struct dyno_gemm_tile *t, const int rows, const int nv, const bool low,
                       const int sets, const ptrdiff_t a_row)
{
    vf acc[SETS_MAX * ROWS_MAX][NV];
    const ptrdiff_t width = (ptrdiff_t)nv * LANES - (low ? LANES / 2 : 0);
    start(t, rows, nv, low, sets, acc);
    const float *a = t->a;
    const float *b = t->b;
    const char *next = t->next;
    const int next_lines = next ? t->next_lines : 0;
    const ptrdiff_t a_blk = t->a_blk;
    for (int seg = 0; seg < t->segs; seg++) {
        if (t->seg_off)
            a = t->a + t->seg_off[seg];
        for (int blk = 0; blk < t->blks; blk++, a += a_blk) {
            for (int line = 0; line < next_lines; line++, next += LINE)
                __builtin_prefetch(next, 0, 2);
            for (int k = 0; k < 16; k += 4, b += 4 * width) {
#pragma GCC unroll 4
                for (int u = 0; u < 4; u++)
                    step(rows, nv, low, u % sets, a + k + u, a_row, b + u * width, acc);
            }
        }
        if (t->rem) {
            for (int k = 0; k < t->rem; k++, b += width)
                step(rows, nv, low, 0, a + k, a_row, b, acc);
            a += a_blk;
        }
    }
    finish(t, rows, nv, low, sets, acc);
}

INLINE void run_offsets(const struct dyno_gemm_tile *t, const int rows, const int nv,
                        const bool low)
{
    vf acc[SETS_MAX * ROWS_MAX][NV];
    const ptrdiff_t width = (ptrdiff_t)nv * LANES - (low ? LANES / 2 : 0);
    start(t, rows, nv, low, 1, acc);
    const float *b = t->b;
    const ptrdiff_t a_row = t->a_row;
    const int k_count = t->segs * (t->blks * 16 + t->rem);
    for (int k = 0; k < k_count; k++, b += width)
        step(rows, nv, low, 0, t->a + t->k_off[k], a_row, b, acc);
    finish(t, rows, nv, low, 1, acc);
}

#define TILE_OF(name, rows, run)                                                        \
    static __attribute__((noinline)) void name##_##rows(const struct dyno_gemm_tile *t) \
    {                                                                                   \
        run;                                                                            \
    }
#define TILE(rows)                                                                                \
    TILE_OF(blocked, rows, run_blocks(t, rows, NV, false, SETS(rows, NV), 16))                    \
    TILE_OF(strided, rows, run_blocks(t, rows, NV, false, SETS(rows, NV), t->a_row))              \
    TILE_OF(offsets, rows, run_offsets(t, rows, NV, false))                                       \
    TILE_OF(blocked_half, rows, run_blocks(t, rows, NV / 2, false, SETS(rows, NV / 2), 16))       \
    TILE_OF(strided_half, rows, run_blocks(t, rows, NV / 2, false, SETS(rows, NV / 2), t->a_row)) \
    TILE_OF(offsets_half, rows, run_offsets(t, rows, NV / 2, false))
#define TILE_LOW(rows)                                                                  \
    TILE_OF(blocked_low, rows, run_blocks(t, rows, NV, true, SETS(rows, NV), 16))       \
    TILE_OF(strided_low, rows, run_blocks(t, rows, NV, true, SETS(rows, NV), t->a_row)) \
    TILE_OF(offsets_low, rows, run_offsets(t, rows, NV, true))

#if ROWS_MAX == 14
#define TILES(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14)
#elif ROWS_MAX == 6
#define TILES(X) X(1) X(2) X(3) X(4) X(5) X(6)
#else
#define TILES(X) X(1) X(2) X(3)
#endif

TILES(TILE)
#if LANES == 16
TILES(TILE_LOW)
#endif

#define BLOCKED(rows)      [rows] = blocked_##rows,
#define BLOCKED_HALF(rows) [rows] = blocked_half_##rows,
#define BLOCKED_LOW(rows)  [rows] = blocked_low_##rows,
#define STRIDED(rows)      [rows] = strided_##rows,
#define STRIDED_HALF(rows) [rows] = strided_half_##rows,
#define STRIDED_LOW(rows)  [rows] = strided_low_##rows,
#define OFFSETS(rows)      [rows] = offsets_##rows,
#define OFFSETS_HALF(rows) [rows] = offsets_half_##rows,
#define OFFSETS_LOW(rows)  [rows] = offsets_low_##rows,

const struct dyno_gemm_micro DYNO_CPU_FN(dyno_gemm_micro) = {
    .rows_max = ROWS_MAX,
    .panel = NV * LANES,
    .fn =
        {
#if LANES == 16
            [DYNO_GEMM_BLOCKED] = {{TILES(BLOCKED)}, {TILES(BLOCKED_HALF)}, {TILES(BLOCKED_LOW)}},
            [DYNO_GEMM_STRIDED] = {{TILES(STRIDED)}, {TILES(STRIDED_HALF)}, {TILES(STRIDED_LOW)}},
            [DYNO_GEMM_OFFSETS] = {{TILES(OFFSETS)}, {TILES(OFFSETS_HALF)}, {TILES(OFFSETS_LOW)}},
#else
            [DYNO_GEMM_BLOCKED] = {{TILES(BLOCKED)}, {TILES(BLOCKED_HALF)}},
            [DYNO_GEMM_STRIDED] = {{TILES(STRIDED)}, {TILES(STRIDED_HALF)}},
            [DYNO_GEMM_OFFSETS] = {{TILES(OFFSETS)}, {TILES(OFFSETS_HALF)}},
#endif
        },
};

/* A panel narrower than its tile, in a matrix that ends there: by way of the stack. */
static void run_partial(const struct dyno_gemm_block *block, struct dyno_gemm_tile *tile,
                        dyno_gemm_fn *fn, int rows, int cols)
{
    float sums[ROWS_MAX * NV * LANES];
    float *c = tile->c;
    const float *res = tile->res;
    tile->res = NULL;
    tile->c = sums;
    tile->c_row = NV * LANES;
    tile->c_blk = 16;
    tile->clip = false;
    if (tile->load) {
        for (int i = 0; i < rows; i++)
            memcpy(sums + (ptrdiff_t)i * NV * LANES, c + i * block->tile.c_row,
                   (size_t)cols * sizeof(*c));
    }
    fn(tile);
    for (int i = 0; i < rows; i++) {
        const ptrdiff_t at = i * block->tile.c_row;
        for (int j = 0; j < cols; j++) {
            float x = sums[i * NV * LANES + j];
            if (res)
                x += res[at + j];
            if (block->tile.clip)
                x = x < tile->lo ? tile->lo : x > tile->hi ? tile->hi : x;
            c[at + j] = x;
        }
    }
    tile->c_row = block->tile.c_row;
    tile->c_blk = block->tile.c_blk;
    tile->clip = block->tile.clip;
}

static void run_panel(const struct dyno_gemm_block *block, struct dyno_gemm_tile *tile, int64_t p)
{
    const int panel = NV * LANES;
    const int width = dyno_gemm_width(panel, block->n, p);
    const enum dyno_gemm_part part = width == panel       ? DYNO_GEMM_WHOLE
                                     : width == panel / 2 ? DYNO_GEMM_HALF
                                                          : DYNO_GEMM_THREE_QUARTERS;
    const ptrdiff_t c_off = (ptrdiff_t)(p * panel / 16 * block->c_group + p * panel % 16);
    const int64_t left = block->n - p * panel;
    tile->b = block->b + (p - block->b_panel0) * panel * block->k;
    tile->bias = block->bias ? block->bias + p * panel : NULL;
    /* The whole of the next panel while this one is worked on: few tiles fetch much each. */
    const int64_t panel_bytes = width * block->k * (int64_t)sizeof(float);
    const int64_t steps = block->row_tiles * tile->segs * tile->blks;
    const float *after = p + 1 < block->panel1 ? tile->b + width * block->k : block->then;
    const char *next = steps > 0 ? (const char *)after : NULL;
    const char *next_end = next ? next + panel_bytes : NULL;
    if (next)
        tile->next_lines =
            (int)dyno_cpu_min(dyno_cpu_div_up(panel_bytes, steps * LINE), NEXT_LINES_MAX);
    const ptrdiff_t next_step = (ptrdiff_t)tile->segs * tile->blks * tile->next_lines * LINE;
    for (int64_t i = 0; i < block->row_tiles; i++) {
        const struct dyno_gemm_rows *rows = &block->rows[i];
        dyno_gemm_fn *fn = DYNO_CPU_FN(dyno_gemm_micro).fn[rows->kind][part][rows->rows];
        tile->a = rows->a;
        tile->a_row = rows->a_row;
        tile->a_blk = rows->a_blk;
        tile->seg_off = rows->seg_off;
        tile->c = block->c + c_off + rows->c;
        tile->res = block->res ? block->res + c_off + rows->c : NULL;
        tile->next = next < next_end ? next : NULL;
        next = next < next_end ? next + next_step : next;
        if (block->exact && left < width)
            run_partial(block, tile, fn, rows->rows, (int)left);
        else
            fn(tile);
    }
}

void DYNO_CPU_FN(dyno_gemm_block)(const struct dyno_gemm_block *block)
{
    const int panel = NV * LANES;
    struct dyno_gemm_tile tile = block->tile;
    int64_t ready = block->panel0;
    for (int64_t p = block->panel0; p < block->panel1; p++) {
        run_panel(block, &tile, p);
        if (!block->done || ((p + 1 - ready) * panel < block->done_cols && p + 1 < block->panel1))
            continue;
        const int64_t end = (p + 1) * panel;
        block->done(block->done_arg, ready * panel, end < block->n ? end : block->n);
        ready = p + 1;
    }
}
