/* matmul.h - MatMul and Gemm in ROW layout.
 *
 * A constant B was packed when the engine was built; any other is packed by the task that needs it.
 * cfg[0] says how A is read: IN_PLACE, or COPIED into tiles that lie densely (rows that are a
 * multiple of 4 KiB apart fight for the same cache sets).  cfg[1]: KiB of A a task works on.
 */
#include "backend/cpu/kernel.h"
#include "backend/cpu/product.h"
#include "backend/cpu/simd.h"

#include "backend/cpu/body/tail_linear.h"

extern const struct dyno_kernel DYNO_CPU_KERNEL(matmul);

#define MICRO       (&DYNO_CPU_FN(dyno_gemm_micro))
#define DONE_COLS   512          /* columns completed before the tail passes over them */
#define B_CHUNK_MAX (256 * 1024) /* bytes of B packed at a time */

enum mode { IN_PLACE, COPIED };

struct matmul_state {
    struct dyno_cpu_product product;
    struct dyno_cpu_product_packed packed;
    struct dyno_cpu_tail tail;
    struct dyno_gemm_split split;
    enum mode mode;
    int64_t tiles, panels;
    int64_t tiles_a_task;
    int64_t tile_floats;  /* of a copied tile; 0: in place */
    int64_t chunk_panels; /* of B packed at a time; 0: B is constant */
    int64_t rows_bytes, a_bytes, thread_bytes;
};

/* --- candidates --- */

static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    static const uint32_t cache_kb[] = {128, 384, 48};
    struct dyno_cpu_product p;
    if (!dyno_cpu_product_resolve(site, &p))
        return 0;
    const double b_bytes = 4.0 * (double)p.b_count * (double)p.k * (double)p.n;
    const double bytes = b_bytes + 4.0 * (double)p.batches * (double)p.rows * (double)(p.k + p.n);
    double us = (double)dyno_gemm_estimate_us(site->target, MICRO, (double)p.batches,
                                              (double)p.rows, (double)p.k, (double)p.n, bytes);
    if (!p.b_constant)
        us += 2.0 * b_bytes / 20e3;
    int count = 0;
    for (uint32_t mode = IN_PLACE; mode <= COPIED; mode++) {
        if (mode == IN_PLACE && p.a_col != 1)
            continue;
        for (size_t i = 0; i < DYNO_COUNT(cache_kb) && count < max; i++) {
            const bool clash = mode == IN_PLACE && p.rows > 1 && p.a_row % 1024 == 0;
            const double copy = mode == COPIED
                                    ? 8.0 * (double)p.batches * (double)p.rows * (double)p.k / 60e3
                                    : 0.0;
            out[count].est_us = (float)(us * (clash ? 1.2 : 1.0) * (1.0 + 0.01 * (double)i) + copy);
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
    struct dyno_cpu_product p;
    struct dyno_cpu_product_packed packed;
    if (!dyno_cpu_product_resolve(site, &p) ||
        !dyno_cpu_product_packed(&p, MICRO->panel, &packed) || asked->cfg[0] > COPIED ||
        (asked->cfg[0] == IN_PLACE && p.a_col != 1) || asked->cfg[1] > DYNO_GEMM_CACHE_MAX ||
        !dyno_cpu_settle_row(site, 2, tactic))
        return dyno_cpu_refuse(site, err);
    tactic->packed_bytes = packed.all_bytes;
    return DYNO_OK;
}

static enum dyno_status pack(const struct dyno_site *site, const struct dyno_tactic *tactic,
                             void *dst, struct dyno_err *err)
{
    (void)tactic;
    struct dyno_cpu_product p;
    if (!dyno_cpu_product_resolve(site, &p))
        return DYNO_FAIL(err, DYNO_E_FORMAT, "'%s' is no f32 product", site->step->name);
    dyno_cpu_product_pack(site, &p, MICRO->panel, dst);
    return DYNO_OK;
}

/* --- once a shape --- */

static void plan(struct matmul_state *state, uint32_t mode, uint32_t cache_kb, int threads)
{
    const struct dyno_cpu_product *p = &state->product;
    const int64_t tile_bytes = p->k * MICRO->rows_max * (int64_t)sizeof(float);
    int64_t tiles_max = (int64_t)cache_kb * 1024 / (tile_bytes > 0 ? tile_bytes : 1);
    /* Packing B again for each part of the rows must not cost more than it gains. */
    const int64_t least = p->b_constant ? 4 : 256 / MICRO->rows_max;
    tiles_max = tiles_max < least ? least : tiles_max > 256 ? 256 : tiles_max;
    state->mode = mode == IN_PLACE && p->a_col == 1 ? IN_PLACE : COPIED;
    state->tiles = dyno_cpu_div_up(p->rows, MICRO->rows_max);
    state->panels = dyno_gemm_panels(MICRO->panel, p->n);
    state->split = dyno_gemm_split_choose(p->batches, state->tiles, state->panels, tiles_max,
                                          state->mode == COPIED ? 0.5 : 0.1, threads);
    state->tiles_a_task = dyno_cpu_div_up(state->tiles, state->split.tile_parts);
    if (state->mode == COPIED)
        state->tile_floats = dyno_cpu_div_up(p->k, 16) * 16 * MICRO->rows_max;
    if (!p->b_constant) {
        const int64_t panel_bytes = p->k * MICRO->panel * (int64_t)sizeof(float);
        const int64_t fit = panel_bytes > 0 ? B_CHUNK_MAX / panel_bytes : 1;
        const int64_t have = dyno_cpu_div_up(state->panels, state->split.panel_parts);
        state->chunk_panels = fit < 1 ? 1 : dyno_cpu_min(fit, have > 0 ? have : 1);
    }
}

static enum dyno_status prepare(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                const void *packed, void *state_bytes,
                                uint64_t *workspace_bytes_out, struct dyno_err *err)
{
    (void)packed;
    struct matmul_state *state = state_bytes;
    const struct dyno_cpu_product *p = &state->product;
    *state = (struct matmul_state){0};
    if (!dyno_cpu_product_resolve(site, &state->product) ||
        !dyno_cpu_product_packed(p, MICRO->panel, &state->packed))
        return DYNO_FAIL(err, DYNO_E_LIMIT, "'%s' is no f32 product, or too large",
                         site->step->name);
    struct dyno_tail tail;
    dyno_cpu_product_tail(site->step, p, &tail);
    DYNO_TRY(dyno_cpu_tail_prepare_program(site, &tail, DYNO_CPU_TAIL_AXES, &state->tail, err));
    plan(state, tactic->cfg[0], tactic->cfg[1], site->target->thread_count);
    const uint64_t rows =
        dyno_cpu_size((uint64_t)state->tiles_a_task, sizeof(struct dyno_gemm_rows), 63);
    const uint64_t a = dyno_cpu_size((uint64_t)state->tile_floats * sizeof(float),
                                     (uint64_t)state->tiles_a_task, 63);
    const uint64_t b = dyno_cpu_size((uint64_t)state->chunk_panels * sizeof(float),
                                     (uint64_t)p->k * (uint64_t)MICRO->panel, 63);
    const uint64_t tasks =
        dyno_cpu_size((uint64_t)p->batches,
                      (uint64_t)state->split.tile_parts * (uint64_t)state->split.panel_parts, 0);
    if (rows > INT32_MAX || a > INT64_MAX / 256 || b > INT64_MAX / 256 || tasks > INT32_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "'%s' needs more workspace than can be addressed",
                         site->step->name);
    state->rows_bytes = (int64_t)(rows & ~63ULL);
    state->a_bytes = (int64_t)(a & ~63ULL);
    state->thread_bytes = state->rows_bytes + state->a_bytes + (int64_t)(b & ~63ULL);
    *workspace_bytes_out = (uint64_t)state->thread_bytes * (uint64_t)site->target->thread_count;
    return DYNO_OK;
}

/* --- a run --- */

struct job {
    const struct matmul_state *state;
    struct dyno_run_args *args;
};

/* Rows [row, row + rows) of A's matrix as [block of 16][row][16]. */
static void copy_tile(const struct dyno_cpu_product *p, const float *a, int64_t row, int rows,
                      float *dst)
{
    for (int64_t k0 = 0; k0 < p->k; k0 += 16) {
        const int64_t count = dyno_cpu_min(16, p->k - k0);
        for (int i = 0; i < rows; i++, dst += 16) {
            const float *from = a + (row + i) * p->a_row + k0 * p->a_col;
            if (p->a_col == 1 && count == 16) {
                for (int v = 0; v < 16; v += LANES)
                    vf_store(dst + v, vf_load(from + v));
                continue;
            }
            for (int64_t k = 0; k < count; k++)
                dst[k] = from[k * p->a_col];
        }
    }
}

struct finish {
    const struct job *job;
    int64_t first_row, row_count; /* of all of y, as rows of n */
};

static void run_tail(void *arg, int64_t col0, int64_t col1)
{
    const struct finish *finish = arg;
    const struct matmul_state *state = finish->job->state;
    const struct dyno_run_args *args = finish->job->args;
    float *y = args->outs[0].data;
    const int64_t n = state->product.n;
    for (int64_t row = finish->first_row; row < finish->first_row + finish->row_count; row++)
        tail_linear(&state->tail, args->ins, y, row * n + col0, row * n + col1);
}

/* y = beta * C over the task's rows and columns. */
static void place_addend(const struct job *job, int64_t row0, int64_t row1, int64_t col0,
                         int64_t col1)
{
    const struct dyno_cpu_product *p = &job->state->product;
    const struct dyno_buf *c = &job->args->ins[2];
    float *y = job->args->outs[0].data;
    const float *from = c->data;
    ptrdiff_t c_row, c_col;
    dyno_cpu_product_addend(c, &c_row, &c_col);
    for (int64_t i = row0; i < row1; i++) {
        for (int64_t j = col0; j < col1; j++)
            y[i * p->n + j] = p->beta * from[i * c_row + j * c_col];
    }
}

static void make_rows(const struct matmul_state *state, const float *a, int64_t t0, int64_t t1,
                      float *space, struct dyno_gemm_rows *rows)
{
    const struct dyno_cpu_product *p = &state->product;
    for (int64_t t = t0; t < t1; t++, rows++, space += state->tile_floats) {
        int64_t first, last;
        dyno_cpu_share(p->rows, (int)state->tiles, (int)t, &first, &last);
        *rows = (struct dyno_gemm_rows){
            .a = a + first * p->a_row,
            .a_row = p->a_row,
            .a_blk = 16,
            .c = first * p->n,
            .rows = (int)(last - first),
            .kind = DYNO_GEMM_STRIDED,
        };
        if (state->mode == COPIED) {
            copy_tile(p, a, first, rows->rows, space);
            rows->a = space;
            rows->a_row = 16;
            rows->a_blk = (ptrdiff_t)rows->rows * 16;
            rows->kind = DYNO_GEMM_BLOCKED;
        }
    }
}

/* Panels [p0, p1) of a B that is not constant, packed piece by piece. */
static void run_packing(const struct matmul_state *state, const float *b, int64_t p0, int64_t p1,
                        float *space, struct dyno_gemm_block *block)
{
    const struct dyno_cpu_product *p = &state->product;
    const int64_t panel = MICRO->panel;
    for (int64_t at = p0; at < p1; at += state->chunk_panels) {
        const int64_t end = dyno_cpu_min(at + state->chunk_panels, p1);
        float *dst = space;
        for (int64_t i = at; i < end; i++) {
            const int width = dyno_gemm_width(MICRO->panel, p->n, i);
            dyno_gemm_pack_panel(width, dyno_cpu_min(p->n - i * panel, width), p->k,
                                 b + i * panel * p->b_col, p->b_row, p->b_col, p->alpha, dst);
            dst += width * p->k;
        }
        block->b = space;
        block->b_panel0 = at;
        block->panel0 = at;
        block->panel1 = end;
        DYNO_CPU_FN(dyno_gemm_block)(block);
    }
}

static void task(void *arg, int idx, int thread)
{
    const struct job *job = arg;
    const struct matmul_state *state = job->state;
    const struct dyno_cpu_product *p = &state->product;
    const struct dyno_run_args *args = job->args;
    const int64_t tile_part = idx % state->split.tile_parts;
    const int64_t panel_part = idx / state->split.tile_parts % state->split.panel_parts;
    const int64_t batch = idx / (state->split.tile_parts * state->split.panel_parts);
    int64_t t0, t1, p0, p1, a_idx, b_idx, row0, row1, skip;
    dyno_cpu_share(state->tiles, (int)state->split.tile_parts, (int)tile_part, &t0, &t1);
    dyno_cpu_share(state->panels, (int)state->split.panel_parts, (int)panel_part, &p0, &p1);
    if (t0 == t1 || p0 == p1)
        return;
    dyno_cpu_product_batch(p, batch, &a_idx, &b_idx);
    dyno_cpu_share(p->rows, (int)state->tiles, (int)t0, &row0, &skip);
    dyno_cpu_share(p->rows, (int)state->tiles, (int)(t1 - 1), &skip, &row1);

    char *space = (char *)args->workspace + thread * state->thread_bytes;
    struct dyno_gemm_rows *rows = (void *)space;
    const float *a = (const float *)args->ins[0].data + a_idx * p->rows * p->k;
    make_rows(state, a, t0, t1, (void *)(space + state->rows_bytes), rows);

    const float *weights = args->packed;
    const int64_t y_row = batch * p->rows;
    struct finish finish = {.job = job, .first_row = y_row + row0, .row_count = row1 - row0};
    const struct dyno_cpu_epilogue ep = dyno_cpu_epilogue(&state->tail, args->ins, 0);
    struct dyno_gemm_block block = {
        .tile = {.segs = 1,
                 .blks = (int)(p->k / 16),
                 .rem = (int)(p->k % 16),
                 .c_row = p->n,
                 .c_blk = 16,
                 .clip = ep.clip,
                 .lo = ep.lo,
                 .hi = ep.hi,
                 .load = p->addend},
        .rows = rows,
        .row_tiles = t1 - t0,
        .k = p->k,
        .n = p->n,
        .panel0 = p0,
        .panel1 = p1,
        .bias = p->bias ? weights : NULL,
        .c = (float *)args->outs[0].data + y_row * p->n,
        .res = ep.res ? ep.res + y_row * p->n : NULL,
        .c_group = 16,
        .exact = true,
        .done_cols = DONE_COLS,
        .done = ep.in_memory ? run_tail : NULL,
        .done_arg = &finish,
    };
    if (p->addend)
        place_addend(job, row0, row1, p0 * MICRO->panel, dyno_cpu_min(p1 * MICRO->panel, p->n));
    if (p->b_constant) {
        block.b = weights + state->packed.b_at + b_idx * state->packed.b_matrix;
        DYNO_CPU_FN(dyno_gemm_block)(&block);
    } else {
        run_packing(state, (const float *)args->ins[1].data + b_idx * p->k * p->n, p0, p1,
                    (void *)(space + state->rows_bytes + state->a_bytes), &block);
    }
}

static enum dyno_status run(struct dyno_run_args *args)
{
    const struct matmul_state *state = args->state;
    struct job job = {.state = state, .args = args};
    if (state->tiles > 0 && state->panels > 0)
        dyno_pool_run(
            args->pool, task, &job,
            (int)(state->product.batches * state->split.tile_parts * state->split.panel_parts));
    return DYNO_OK;
}

const struct dyno_kernel DYNO_CPU_KERNEL(matmul) = {
    .name = DYNO_CPU_KERNEL_NAME("matmul"),
    .isa_mask = DYNO_CPU_ISA_MASK,
    .packing = 2,
    .state_bytes = sizeof(struct matmul_state),
    .enumerate = enumerate,
    .settle = settle,
    .packed_ins = 1U << 1,
    .pack = pack,
    .prepare = prepare,
    .run = run,
};
