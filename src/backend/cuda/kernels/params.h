/* params.h - what the host hands to a GPU kernel: one structure a template, passed by value.
 *
 * Read by C here and by CUDA C++ there, so only types that both spell alike.  Addresses are 64-bit
 * numbers: the host never follows them.
 */
#ifndef DYNO_BACKEND_CUDA_KERNELS_PARAMS_H
#define DYNO_BACKEND_CUDA_KERNELS_PARAMS_H

#define DYNO_GPU_TAIL_INS  6
#define DYNO_GPU_TAIL_AXES 6
#define DYNO_GPU_MOVE_AXES 8

/* Inputs of a tail, in the order of the program's text; see backend/cuda/tail.h. */
struct dyno_gpu_tail {
    unsigned long long in[DYNO_GPU_TAIL_INS];
    long long batch_rows;      /* rows of the output an item of axis 0 has */
    int ld[DYNO_GPU_TAIL_INS]; /* channels last: elements between rows of an operand */
    int rank;                  /* of what follows: operands by strides */
    int dims[DYNO_GPU_TAIL_AXES];
    int strides[DYNO_GPU_TAIL_INS][DYNO_GPU_TAIL_AXES];
};

/* out[m][n] = tail(sum over k of a[m][k] * b[k][n] + bias[n]). */
struct dyno_gpu_product {
    unsigned long long a, b, bias, out;
    long long a_batch, b_batch, out_batch; /* elements between two products; 0: shared */
    int bias_batch, column_batch; /* products that are columns of one output: so far apart */
    int m, n, k;       /* k: up to a whole tile; what lies beyond the rows of `a` counts as zero */
    int depth;         /* rows of b that are there */
    int lda, ldb, ldo; /* elements between rows */
    int a_columns;     /* of a that are there */
    int columns;       /* of b that are there */
    int out_columns;   /* of out that are stored; columns n.. are zero */
    /* rows of `a` are windows of x [batch][h][w][c], positions lda apart */
    int c, h, w, oh, ow, kh, kw, sh, sw, dh, dw, ph, pw;
    struct dyno_gpu_tail tail;
};

/* x, y [batch][h][w][c], or in rows [batch][channels][h][w]: one window an output.  Of the mean
 * over all positions, channels last: `lanes` threads side by side have channels; of more than one
 * stretch of `chunk` positions the first launch (phase 0) puts the sums into parts
 * [batch][chunks][c]. */
struct dyno_gpu_pool {
    unsigned long long x, y, parts;
    int batch, c, channels; /* c: as stored; channels: those that are meant */
    int x_ld, y_ld;         /* channels last: elements between positions */
    int h, w, oh, ow, kh, kw, sh, sw, dh, dw, ph, pw, ph_end, pw_end;
    int lanes, chunk, chunks, phase;
    struct dyno_gpu_tail tail;
};

/* x [batch][positions][c] -> y [batch][m]: means through w1 [r][c], then w2 [m][r]. */
struct dyno_gpu_excitation {
    unsigned long long x, y, w1, b1, w2, b2, parts;
    int positions, c, r, m, channels; /* c, r, m: as stored; channels: those of m that are meant */
    int x_ld, y_ld;                   /* elements between positions */
    int chunk;                        /* positions of a block */
    int chunks;                       /* sums that an earlier launch left; 0: none */
    int phase;                        /* 0: such a launch */
    struct dyno_gpu_tail tail;
};

/* x [batch][h][w][c] -> y [batch][oh][ow][m]: weights [group][taps][c / groups][outputs a group as
 * stored], or [taps][c] where each channel has its filter. */
struct dyno_gpu_conv {
    unsigned long long x, y, weights, bias;
    int batch, c, m, channels; /* c, m: as stored; channels: those of m that are meant */
    int x_ld, y_ld;            /* elements between positions */
    int h, w, oh, ow, ph, pw;
    struct dyno_gpu_tail tail;
};

/* The same in rows: x [batch][c][h][w] -> y [batch][m][oh][ow], weights as ONNX has them; bias 0:
 * none. */
struct dyno_gpu_conv_rows {
    unsigned long long x, y, weights, bias;
    unsigned int count; /* of y */
    int c, m, mg, h, w, oh, ow, ph, pw;
    struct dyno_gpu_tail tail;
};

/* Element-wise over count elements in rows of `stored`, `columns` of them meant; rows of x and y
 * lie x_ld and y_ld apart. */
struct dyno_gpu_pointwise {
    unsigned long long x, y;
    long long count;
    int stored, columns, x_ld, y_ld;
    struct dyno_gpu_tail tail;
};

/* y[i . y_strides] = x[i . x_strides] for every i inside dims, in words of word_bytes; the last
 * axis varies fastest. */
struct dyno_gpu_move {
    unsigned long long x, y;
    unsigned int count;
    int word_bytes, rank;
    unsigned int dims[DYNO_GPU_MOVE_AXES];
    long long x_strides[DYNO_GPU_MOVE_AXES], y_strides[DYNO_GPU_MOVE_AXES];
};

/* x [batch][channels][positions] as rows, or [batch][positions][stored] channels last, positions
 * `ld` apart. */
struct dyno_gpu_reorder {
    unsigned long long x, y;
    int batch, channels;
    int stored; /* channels of the side that has them last */
    int x_ld, y_ld;
    int narrow; /* between rows and at most eight stored channels: a thread a position */
    long long positions;
};

/* Rows of `columns` elements, `inner` apart. */
struct dyno_gpu_rows {
    unsigned long long x, y, scale, bias;
    long long rows;
    int columns, inner;
    float epsilon;
    struct dyno_gpu_tail tail;
};

/* x [outer][axis][inner] -> y [outer][inner], which as rows has so many columns; what is folded is
 * multiplied by `scale`. */
struct dyno_gpu_reduce {
    unsigned long long x, y;
    long long outer, inner;
    int axis, columns;
    float scale;
    struct dyno_gpu_tail tail;
};

/* x, y [batch][positions][c]: a mean and a variance for every `group` channels of an item.  First
 * launch (phase 0): those of `chunks` stretches of positions into parts [batch][chunks][c][2].
 * In rows [batch][channels][positions], in one launch: c is the size of the last axis, and where
 * moments are given a thread makes `chunk` neighbours. */
struct dyno_gpu_channel_norm {
    unsigned long long x, y, scale, bias, mean, var, parts;
    long long positions, chunk;
    int batch, c, channels, group, chunks, phase;
    int x_ld, y_ld; /* channels last: elements between positions */
    float epsilon;
    struct dyno_gpu_tail tail;
};

/* y[o][i][:] = x[o][index[i]][:], slices of `inner` elements. */
struct dyno_gpu_gather {
    unsigned long long x, index, y;
    long long outer, axis, indices, inner;
};

/* y[i] = x[i, but along `axis` index[i]] for every i inside dims; strides of x, in elements. */
struct dyno_gpu_gather_elements {
    unsigned long long x, index, y;
    unsigned int count;
    int rank, axis;
    long long size; /* of the axis in x */
    unsigned int dims[DYNO_GPU_MOVE_AXES];
    long long strides[DYNO_GPU_MOVE_AXES];
};

/* x [batch][h][w][c] -> y [batch][oh][ow][c], or in rows [batch][channels][..]: output o of an axis
 * lies at o * step + first in the input, or where `mode` says. */
struct dyno_gpu_resize {
    unsigned long long x, y;
    int batch, c, channels, h, w, oh, ow;
    int x_ld, y_ld; /* channels last: elements between positions */
    double y_step, y_first, x_step, x_first;
    struct dyno_gpu_tail tail;
};

/* Attention: head h of q, k, v at columns offset + h * dim of their rows. */
struct dyno_gpu_attention {
    unsigned long long q, k, v, mask, out;
    int batch, heads, dim, v_dim, tq, tk;
    int q_ld, k_ld, v_ld, out_ld, q_offset, k_offset, v_offset;
    int mask_strides[4]; /* batch, head, row, column; 0 where it is shared */
    float scale;
};

#endif /* DYNO_BACKEND_CUDA_KERNELS_PARAMS_H */
