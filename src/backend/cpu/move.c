/* move.c - strided copies: merge the axes, find the plane to work in, copy it by runs, tiles or
 * single elements. */
#include "backend/cpu/move.h"

#include "backend/cpu/body/transpose.h"

#define TILE       32    /* rows and columns of a transposed tile */
#define UNIT_ELEMS 16384 /* about what a unit of work copies */
#define RUN_BYTES  64    /* runs this short are copied as one element */

void dyno_cpu_move_axis(struct dyno_cpu_move *move, int64_t dim, int64_t src_stride,
                        int64_t dst_stride)
{
    DYNO_ASSERT(move->rank < DYNO_CPU_MOVE_RANK);
    move->dims[move->rank] = dim;
    move->src_strides[move->rank] = src_stride;
    move->dst_strides[move->rank] = dst_stride;
    move->rank++;
}

void dyno_cpu_row_strides(const int64_t *dims, int rank, int64_t *strides_out)
{
    int64_t stride = 1;
    for (int i = rank - 1; i >= 0; i--) {
        strides_out[i] = stride;
        stride *= dims[i];
    }
}

int64_t dyno_cpu_elem_bytes(enum dyno_dtype dtype)
{
    const unsigned bits = dyno_dtype_bits(dtype);
    return bits % 8 == 0 ? (int64_t)(bits / 8) : 0;
}

/* --- simplification --- */

static void drop_axis(struct dyno_cpu_move *move, int axis)
{
    for (int i = axis; i + 1 < move->rank; i++) {
        move->dims[i] = move->dims[i + 1];
        move->src_strides[i] = move->src_strides[i + 1];
        move->dst_strides[i] = move->dst_strides[i + 1];
    }
    move->rank--;
}

static void swap_axes(struct dyno_cpu_move *move, int a, int b)
{
    int64_t *const lists[3] = {move->dims, move->src_strides, move->dst_strides};
    for (int i = 0; i < 3; i++) {
        const int64_t x = lists[i][a];
        lists[i][a] = lists[i][b];
        lists[i][b] = x;
    }
}

/* Axes of one element go; axes that both sides step through as through one become one.  The order
 * of the axes is that of falling dst strides, so that the last is the innermost of dst. */
static void merge(struct dyno_cpu_move *move)
{
    for (int i = move->rank - 1; i >= 0; i--)
        if (move->dims[i] == 1)
            drop_axis(move, i);
    for (int i = 1; i < move->rank; i++)
        for (int k = i; k > 0 && move->dst_strides[k] > move->dst_strides[k - 1]; k--)
            swap_axes(move, k, k - 1);
    for (int i = move->rank - 1; i > 0; i--) {
        const int64_t dim = move->dims[i];
        if (move->src_strides[i - 1] == move->src_strides[i] * dim &&
            move->dst_strides[i - 1] == move->dst_strides[i] * dim) {
            move->dims[i - 1] *= dim;
            move->src_strides[i - 1] = move->src_strides[i];
            move->dst_strides[i - 1] = move->dst_strides[i];
            drop_axis(move, i);
        }
    }
}

/* A short run both sides have in common becomes a larger element. */
static void widen(struct dyno_cpu_move *move)
{
    const int last = move->rank - 1;
    if (last < 1 || move->src_strides[last] != 1 || move->dst_strides[last] != 1)
        return;
    const int64_t run = move->dims[last];
    const int64_t bytes = run * move->elem_bytes;
    if (bytes > RUN_BYTES || (bytes & (bytes - 1)) != 0)
        return;
    int64_t rest = move->src_offset % run | move->dst_offset % run;
    for (int i = 0; i < last; i++)
        rest |= move->src_strides[i] % run | move->dst_strides[i] % run;
    if (rest != 0)
        return;
    for (int i = 0; i < last; i++) {
        move->src_strides[i] /= run;
        move->dst_strides[i] /= run;
    }
    move->src_offset /= run;
    move->dst_offset /= run;
    move->elem_bytes = bytes;
    move->rank--;
}

/* The plane: the last axis (dst's innermost) and, before it, the axis that src steps through most
 * closely. */
static void choose_plane(struct dyno_cpu_move *move)
{
    while (move->rank < 2) {
        dyno_cpu_move_axis(move, 1, 0, 0);
        swap_axes(move, move->rank - 1, 0);
    }
    const int last = move->rank - 1;
    int best = last - 1;
    if (move->src_strides[last] != 1 && move->src_strides[last] != 0)
        for (int i = 0; i < last; i++)
            if (move->src_strides[i] == 1)
                best = i;
    for (int i = best; i + 1 < last; i++)
        swap_axes(move, i, i + 1);
}

/* One long run becomes rows, so that threads can share it, where its length has a divisor. */
static void cut(struct dyno_cpu_move *move)
{
    const int64_t count = move->dims[0];
    for (int64_t rows = 64; rows >= 2; rows--)
        if (count >= rows * UNIT_ELEMS && count % rows == 0) {
            const int64_t cols = count / rows;
            const int64_t src = move->src_strides[0];
            const int64_t dst = move->dst_strides[0];
            move->rank = 0;
            dyno_cpu_move_axis(move, rows, src * cols, dst * cols);
            dyno_cpu_move_axis(move, cols, src, dst);
            return;
        }
}

/* --- planes --- */

struct plane {
    int64_t rows, cols;
    int64_t src_row, src_col, dst_row, dst_col; /* strides in elements */
    int64_t bytes;
};

#define COPY_ELEMENTS(n)                                                             \
    static void copy_elements_##n(const struct plane *p, const char *src, char *dst) \
    {                                                                                \
        for (int64_t r = 0; r < p->rows; r++)                                        \
            for (int64_t c = 0; c < p->cols; c++)                                    \
                memcpy(dst + (r * p->dst_row + c * p->dst_col) * (n),                \
                       src + (r * p->src_row + c * p->src_col) * (n), n);            \
    }
COPY_ELEMENTS(1)
COPY_ELEMENTS(2)
COPY_ELEMENTS(4)
COPY_ELEMENTS(8)
COPY_ELEMENTS(16)
COPY_ELEMENTS(32)
COPY_ELEMENTS(64)

static void copy_elements(const struct plane *p, const char *src, char *dst)
{
    switch (p->bytes) {
    case 1:
        copy_elements_1(p, src, dst);
        break;
    case 2:
        copy_elements_2(p, src, dst);
        break;
    case 4:
        copy_elements_4(p, src, dst);
        break;
    case 8:
        copy_elements_8(p, src, dst);
        break;
    case 16:
        copy_elements_16(p, src, dst);
        break;
    case 32:
        copy_elements_32(p, src, dst);
        break;
    default:
        DYNO_ASSERT(p->bytes == 64);
        copy_elements_64(p, src, dst);
        break;
    }
}

/* src's rows lie along (src_row 1), dst's columns do (dst_col 1): LANES x LANES at a time. */
static void transpose_floats(const struct plane *p, const float *src, float *dst)
{
    int64_t r = 0;
    for (; r + LANES <= p->rows; r += LANES) {
        int64_t c = 0;
        for (; c + LANES <= p->cols; c += LANES) {
            vf v[LANES];
            for (int i = 0; i < LANES; i++)
                v[i] = vf_load(src + (c + i) * p->src_col + r);
            vf_transpose(v);
            for (int i = 0; i < LANES; i++)
                vf_store(dst + (r + i) * p->dst_row + c, v[i]);
        }
        for (; c < p->cols; c++)
            for (int64_t i = r; i < r + LANES; i++)
                dst[i * p->dst_row + c] = src[c * p->src_col + i];
    }
    for (; r < p->rows; r++)
        for (int64_t c = 0; c < p->cols; c++)
            dst[r * p->dst_row + c] = src[c * p->src_col + r];
}

/* Tile by tile, so that neither side leaves the cache between two visits of a line. */
static void transpose(const struct plane *p, const char *src, char *dst)
{
    for (int64_t r = 0; r < p->rows; r += TILE)
        for (int64_t c = 0; c < p->cols; c += TILE) {
            struct plane tile = *p;
            tile.rows = dyno_cpu_min(TILE, p->rows - r);
            tile.cols = dyno_cpu_min(TILE, p->cols - c);
            const void *from = src + (r * p->src_row + c * p->src_col) * p->bytes;
            void *to = dst + (r * p->dst_row + c * p->dst_col) * p->bytes;
            if (p->bytes == 4)
                transpose_floats(&tile, from, to);
            else
                copy_elements(&tile, from, to);
        }
}

static void copy_plane(const struct plane *p, const char *src, char *dst)
{
    if (p->src_col == 1 && p->dst_col == 1) {
        for (int64_t r = 0; r < p->rows; r++)
            memcpy(dst + r * p->dst_row * p->bytes, src + r * p->src_row * p->bytes,
                   (size_t)(p->cols * p->bytes));
    } else if (p->src_row == 1 && p->dst_col == 1) {
        transpose(p, src, dst);
    } else {
        copy_elements(p, src, dst);
    }
}

/* --- units --- */

struct job {
    const struct dyno_cpu_move *move;
    const char *src;
    char *dst;
    struct plane plane;
    int64_t strip; /* rows of a plane that a unit takes */
    int64_t strips;
    int64_t unit_count;
    int task_count;
};

static void do_unit(const struct job *job, int64_t unit)
{
    const struct dyno_cpu_move *move = job->move;
    const int64_t row = unit % job->strips * job->strip;
    int64_t outer = unit / job->strips;
    int64_t src = move->src_offset + row * job->plane.src_row;
    int64_t dst = move->dst_offset + row * job->plane.dst_row;
    for (int i = move->rank - 3; i >= 0; i--) {
        const int64_t idx = outer % move->dims[i];
        outer /= move->dims[i];
        src += idx * move->src_strides[i];
        dst += idx * move->dst_strides[i];
    }
    struct plane plane = job->plane;
    plane.rows = dyno_cpu_min(job->strip, plane.rows - row);
    copy_plane(&plane, job->src + src * plane.bytes, job->dst + dst * plane.bytes);
}

static void task(void *arg, int idx, int thread)
{
    (void)thread;
    const struct job *job = arg;
    int64_t first, last;
    dyno_cpu_share(job->unit_count, job->task_count, idx, &first, &last);
    for (int64_t unit = first; unit < last; unit++)
        do_unit(job, unit);
}

void dyno_cpu_move_run(const struct dyno_run_args *args, const struct dyno_cpu_move *from,
                       const void *src, void *dst)
{
    struct dyno_cpu_move move = *from;
    for (int i = 0; i < move.rank; i++)
        if (move.dims[i] <= 0)
            return;
    merge(&move);
    if (move.rank == 1)
        cut(&move);
    widen(&move);
    choose_plane(&move);
    const int r = move.rank - 2;
    const int c = move.rank - 1;
    struct job job = {.move = &move, .src = src, .dst = dst};
    job.plane = (struct plane){move.dims[r],        move.dims[c],        move.src_strides[r],
                               move.src_strides[c], move.dst_strides[r], move.dst_strides[c],
                               move.elem_bytes};
    const int64_t row_elems = job.plane.cols * dyno_cpu_div_up(move.elem_bytes, 4);
    job.strip = UNIT_ELEMS / row_elems < 1 ? 1 : UNIT_ELEMS / row_elems;
    if (job.strip >= TILE)
        job.strip -= job.strip % TILE;
    job.strip = dyno_cpu_min(job.strip, job.plane.rows);
    job.strips = dyno_cpu_div_up(job.plane.rows, job.strip);
    job.unit_count = dyno_cpu_product(move.dims, 0, r) * job.strips;
    job.task_count = dyno_cpu_tasks(args->pool, job.unit_count, job.strip * row_elems);
    if (job.task_count == 1)
        task(&job, 0, 0);
    else
        dyno_pool_run(args->pool, task, &job, job.task_count);
}
