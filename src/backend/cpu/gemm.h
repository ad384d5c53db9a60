/* gemm.h - the f32 matrix product that every dense kernel stands on.
 *
 * C[rows, columns] = A * B: A's elements are broadcast, B is packed in panels of `panel` columns
 * ([k][panel], k exact), the sums stay in registers over all of K.  What A is (a blocked image, a
 * row-major matrix, rows gathered into a workspace, the window of a convolution) is a matter of
 * addresses: a tile names where its rows lie.
 */
#ifndef DYNO_BACKEND_CPU_GEMM_H
#define DYNO_BACKEND_CPU_GEMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/cpu/tail.h"

#define DYNO_GEMM_ROWS_MAX  14 /* of any instruction set's tile */
#define DYNO_GEMM_PANEL_MAX 32
#define DYNO_GEMM_CACHE_MAX (1 << 20) /* KiB of A a task may work on */

/* One register tile.  K = segs * (blks * 16 + rem): segments are the taps of a convolution.
 * Element k of a segment's block b, row i: a[seg_off[seg] + b * a_blk + i * a_row + k]. */
struct dyno_gemm_tile {
    const float *a;
    ptrdiff_t a_row;          /* floats between rows */
    ptrdiff_t a_blk;          /* floats between blocks of 16 */
    const ptrdiff_t *seg_off; /* NULL: segments follow one another */
    const int32_t *k_off;     /* OFFSETS only: where element k of row 0 lies, for all of K */
    const float *b;           /* [K][columns of the tile] */
    int segs, blks, rem;
    const float *bias; /* a value a column; NULL: 0 */
    float *c;
    ptrdiff_t c_row;  /* floats between rows */
    ptrdiff_t c_blk;  /* floats between groups of 16 columns */
    const float *res; /* added, addressed like c; NULL: none */
    const char *next; /* prefetched into L2, next_lines a block of K; NULL: none */
    int next_lines;
    float lo, hi;
    bool clip; /* clamp to lo..hi, NaN stays */
    bool load; /* start from what c holds; bias is ignored */
};

typedef void dyno_gemm_fn(const struct dyno_gemm_tile *tile);

enum dyno_gemm_kind {
    DYNO_GEMM_BLOCKED, /* a_row is 16 */
    DYNO_GEMM_STRIDED, /* any a_row */
    DYNO_GEMM_OFFSETS, /* k_off says */
    DYNO_GEMM_KIND_COUNT
};

/* How many columns of a panel there are.  Three quarters exist where panel is 32. */
enum dyno_gemm_part { DYNO_GEMM_WHOLE, DYNO_GEMM_HALF, DYNO_GEMM_THREE_QUARTERS, DYNO_GEMM_PARTS };

/* The tiles of one instruction set. */
struct dyno_gemm_micro {
    int rows_max;
    int panel;
    dyno_gemm_fn *fn[DYNO_GEMM_KIND_COUNT][DYNO_GEMM_PARTS][DYNO_GEMM_ROWS_MAX + 1];
};

extern const struct dyno_gemm_micro dyno_gemm_micro_portable;
extern const struct dyno_gemm_micro dyno_gemm_micro_avx2;
extern const struct dyno_gemm_micro dyno_gemm_micro_avx512;

/* --- many tiles --- */

/* The rows of one tile: where A's lie, where C's go. */
struct dyno_gemm_rows {
    const float *a;
    ptrdiff_t a_row, a_blk;
    const ptrdiff_t *seg_off;
    ptrdiff_t c; /* floats from block.c (and block.res) to row 0 */
    int rows;
    enum dyno_gemm_kind kind;
};

/* Called when columns [col0, col1) of all rows are complete. */
typedef void dyno_gemm_done_fn(void *arg, int64_t col0, int64_t col1);

/* Tiles x panels [panel0, panel1), the panels outside: a panel stays in L1 while A streams by. */
struct dyno_gemm_block {
    struct dyno_gemm_tile
        tile; /* segs blks rem k_off c_row c_blk lo hi clip load: for every tile */
    const struct dyno_gemm_rows *rows;
    int64_t row_tiles;
    const float *b; /* panels from b_panel0 on */
    int64_t b_panel0;
    int64_t k, n;
    int64_t panel0, panel1;
    const float *then; /* a panel that is worked on after panel1 - 1; fetched too; NULL: none */
    const float *bias; /* dyno_gemm_columns(n) values; NULL: 0 */
    float *c;
    const float *res;        /* NULL: none */
    ptrdiff_t c_group;       /* floats between groups of 16 columns */
    bool exact;              /* columns past n must not be written (ROW) */
    int64_t done_cols;       /* how many columns to complete before `done`; multiple of panel */
    dyno_gemm_done_fn *done; /* NULL: none */
    void *done_arg;
};

void dyno_gemm_block_portable(const struct dyno_gemm_block *block);
void dyno_gemm_block_avx2(const struct dyno_gemm_block *block);
void dyno_gemm_block_avx512(const struct dyno_gemm_block *block);

/* What of a tail is done while results are in registers, in this order: + res, clamp. */
struct dyno_cpu_epilogue {
    const float *res; /* of the batch asked for; NULL: none */
    float lo, hi;
    bool clip;      /* clamp to lo..hi, NaN stays */
    bool in_memory; /* nothing of the above: the tail functions do it afterwards */
};
struct dyno_cpu_epilogue dyno_cpu_epilogue(const struct dyno_cpu_tail *tail,
                                           const struct dyno_buf *ins, int64_t n);

/* a * b + c, saturating at UINT64_MAX: sizes that no machine has are refused by their size. */
uint64_t dyno_cpu_size(uint64_t a, uint64_t b, uint64_t c);

/* --- packing and planning, the same for every instruction set --- */

/* Columns of packed B: whole panels, and a part of one where the rest fits into it. */
int64_t dyno_gemm_columns(int panel, int64_t n);
int64_t dyno_gemm_panels(int panel, int64_t n);

/* Width of panel p, 0 <= p < panels. */
int dyno_gemm_width(int panel, int64_t n, int64_t p);

/* dst[columns * k] = b[i * row + j * col] * scale in panels; columns past n are 0. */
void dyno_gemm_pack(int panel, int64_t k, int64_t n, const float *b, ptrdiff_t row, ptrdiff_t col,
                    float scale, float *dst);

/* One panel of them: cols <= width columns of b. */
void dyno_gemm_pack_panel(int width, int64_t cols, int64_t k, const float *b, ptrdiff_t row,
                          ptrdiff_t col, float scale, float *dst);

/* How the tiles and panels of each of `outer` products are cut into tasks. */
struct dyno_gemm_split {
    int64_t tile_parts, panel_parts;
};

/* tiles_max: how many tiles' A should stay in the cache; gather: cost of preparing a tile's A, in
 * panels. */
struct dyno_gemm_split dyno_gemm_split_choose(int64_t outer, int64_t tiles, int64_t panels,
                                              int64_t tiles_max, double gather, int threads);

/* Microseconds of outer products [rows, k] x [k, n] on one thread, `bytes` moved beside. */
float dyno_gemm_estimate_us(const struct dyno_target *target, const struct dyno_gemm_micro *micro,
                            double outer, double rows, double k, double n, double bytes);

/* The part of the target's peak that an instruction set's multipliers reach. */
double dyno_gemm_peak_share(const struct dyno_target *target, const struct dyno_gemm_micro *micro);

#endif /* DYNO_BACKEND_CPU_GEMM_H */
