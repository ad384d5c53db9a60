/* dot_columns.h - the few columns of a product that would leave most of a panel empty: sums along K
 * (after simd.h).
 */
#ifndef DYNO_BACKEND_CPU_BODY_DOT_COLUMNS_H
#define DYNO_BACKEND_CPU_BODY_DOT_COLUMNS_H

#define DOT_COLS_MAX 4 /* a quarter of the widest vector */
#define DOT_ROWS     4 /* at a time */

static inline __attribute__((always_inline)) void dot_group(const float *a, ptrdiff_t a_blk,
                                                            int64_t blks, const float *b,
                                                            ptrdiff_t b_col, const int rows,
                                                            const int cols, float *sums)
{
    vf acc[DOT_ROWS][DOT_COLS_MAX];
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++) {
#pragma GCC unroll 4
        for (int j = 0; j < cols; j++)
            acc[i][j] = vf_zero();
    }
    for (int64_t blk = 0; blk < blks; blk++, a += a_blk, b += 16) {
        for (int at = 0; at < 16; at += LANES) {
            vf x[DOT_COLS_MAX];
#pragma GCC unroll 4
            for (int j = 0; j < cols; j++)
                x[j] = vf_load(b + j * b_col + at);
#pragma GCC unroll 4
            for (int i = 0; i < rows; i++) {
                const vf y = vf_load(a + i * 16 + at);
#pragma GCC unroll 4
                for (int j = 0; j < cols; j++)
                    acc[i][j] = vf_fma(y, x[j], acc[i][j]);
            }
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++) {
#pragma GCC unroll 4
        for (int j = 0; j < cols; j++)
            sums[i * DOT_COLS_MAX + j] = vf_hsum(acc[i][j]);
    }
}

static inline __attribute__((always_inline)) void dot_rows(const float *a, ptrdiff_t a_blk,
                                                           int rows, int64_t blks, const float *b,
                                                           ptrdiff_t b_col, const int cols,
                                                           float *sums)
{
    int i = 0;
    for (; i + DOT_ROWS <= rows; i += DOT_ROWS)
        dot_group(a + (ptrdiff_t)i * 16, a_blk, blks, b, b_col, DOT_ROWS, cols,
                  sums + (ptrdiff_t)i * DOT_COLS_MAX);
    for (; i < rows; i++)
        dot_group(a + (ptrdiff_t)i * 16, a_blk, blks, b, b_col, 1, cols,
                  sums + (ptrdiff_t)i * DOT_COLS_MAX);
}

/* sums[i * DOT_COLS_MAX + j] = row i of A times column j of B over blks * 16 elements.  A is
 * [blk][row][16], a_blk floats a block; column j lies at b + j * b_col. */
static void dot_columns(const float *a, ptrdiff_t a_blk, int rows, int64_t blks, const float *b,
                        ptrdiff_t b_col, int cols, float *sums)
{
    if (cols == 1)
        dot_rows(a, a_blk, rows, blks, b, b_col, 1, sums);
    else if (cols == 2)
        dot_rows(a, a_blk, rows, blks, b, b_col, 2, sums);
    else if (cols == 3)
        dot_rows(a, a_blk, rows, blks, b, b_col, 3, sums);
    else
        dot_rows(a, a_blk, rows, blks, b, b_col, 4, sums);
}

#endif /* DYNO_BACKEND_CPU_BODY_DOT_COLUMNS_H */
