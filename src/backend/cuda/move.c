/* move.c - operators that put elements of one tensor elsewhere: views that need a copy, Transpose,
 * Expand, Slice, Split, Concat, DepthToSpace, SpaceToDepth; a launch a part. */
#include "backend/cpu/move.h"

#include "backend/cuda/kernel.h"
#include "ops/move.h"

extern const struct dyno_kernel dyno_kernel_cuda_move;

#define THREADS   256
#define PARTS_MAX DYNO_STEP_INS_MAX

/* One copy; strides and offsets in elements, then in words. */
struct part {
    struct dyno_gpu_move params;
    uint32_t in, out;   /* of the step */
    int64_t x_at, y_at; /* bytes from the start of the tensors */
};

struct move_state {
    uint32_t count;
    struct part parts[PARTS_MAX];
};

struct copy {
    int rank;
    int64_t dims[2 * DYNO_RANK_MAX], x[2 * DYNO_RANK_MAX], y[2 * DYNO_RANK_MAX];
    int64_t x_at, y_at, elem_bytes;
};

static void add_axis(struct copy *copy, int64_t dim, int64_t x, int64_t y)
{
    copy->dims[copy->rank] = dim;
    copy->x[copy->rank] = x;
    copy->y[copy->rank++] = y;
}

/* Elements between neighbours of each axis. */
static void strides_of(const struct dyno_buf *buf, struct dyno_layout layout, int64_t *strides)
{
    if (!dyno_cuda_is_last(layout)) {
        dyno_cpu_row_strides(buf->dims, buf->rank, strides);
        return;
    }
    int64_t stride = dyno_cuda_ld(buf, layout);
    strides[1] = 1;
    for (int i = buf->rank - 1; i >= 2; i--) {
        strides[i] = stride;
        stride *= buf->dims[i];
    }
    strides[0] = stride;
}

/* --- the copy of a part: input `in` into output `out` of the step --- */

static int axis_of(int64_t axis, int rank)
{
    return (int)(axis < 0 ? axis + rank : axis);
}

/* Elements of an axis that come before part `idx` of a Concat or Split. */
static int64_t before(const struct dyno_buf *bufs, uint32_t idx, int axis)
{
    int64_t first = 0;
    for (uint32_t i = 0; i < idx; i++)
        first += bufs[i].dims[axis];
    return first;
}

static bool slice_of(const struct dyno_site *site, const int64_t *x, const int64_t *y,
                     struct copy *copy)
{
    int64_t start[DYNO_RANK_MAX] = {0}, by[DYNO_RANK_MAX] = {0};
    for (uint32_t i = 1; i < site->step->own_in_count; i++) {
        if (i != 2 && site->ins[i].rank >= 0 && site->ins[i].data == NULL)
            return false;
    }
    if (!dyno_cpu_slice_axes(site->step, site->ins, &site->outs[0], start, by))
        return false;
    for (int i = 0; i < site->ins[0].rank; i++) {
        copy->x_at += start[i] * x[i];
        add_axis(copy, site->outs[0].dims[i], x[i] * by[i], y[i]);
    }
    return true;
}

/* DepthToSpace: channels are [b1][b2][C] (DCR) or [C][b1][b2] (CRD); SpaceToDepth undoes DCR.  d,
 * w: strides of the deep and of the wide tensor. */
static void depth_of(const struct dyno_site *site, const int64_t *d, const int64_t *w,
                     struct copy *copy)
{
    const struct dyno_depth_attrs *attrs = site->step->attrs;
    const bool to_space = site->step->op == DYNO_OP_depth_to_space;
    const struct dyno_buf *deep = to_space ? &site->ins[0] : &site->outs[0];
    const struct dyno_buf *wide = to_space ? &site->outs[0] : &site->ins[0];
    const int64_t b = attrs->blocksize;
    const int64_t channels = wide->dims[1];
    const bool crd = to_space && attrs->mode == DYNO_DEPTH_CRD;
    const int64_t dims[6] = {deep->dims[0], channels, deep->dims[2], b, deep->dims[3], b};
    const int64_t in_deep[6] = {d[0], crd ? b * b * d[1] : d[1],
                                d[2], crd ? b * d[1] : b * channels * d[1],
                                d[3], crd ? d[1] : channels * d[1]};
    const int64_t in_wide[6] = {w[0], w[1], b * w[2], w[2], b * w[3], w[3]};
    for (int i = 0; i < 6; i++)
        add_axis(copy, dims[i], to_space ? in_deep[i] : in_wide[i],
                 to_space ? in_wide[i] : in_deep[i]);
}

static bool copy_of(const struct dyno_site *site, const struct dyno_tactic *tactic, uint32_t in,
                    uint32_t out, struct copy *copy)
{
    const struct dyno_step *step = site->step;
    const struct dyno_buf *from = &site->ins[in];
    const struct dyno_buf *to = &site->outs[out];
    const struct dyno_layout layout = out == 0 ? tactic->out_layout : DYNO_ROW;
    int64_t x[DYNO_RANK_MAX] = {0}, y[DYNO_RANK_MAX] = {0};
    *copy = (struct copy){.elem_bytes =
                              dyno_cpu_elem_bytes(dyno_layout_elem(tactic->out_layout, to->dtype))};
    if (dyno_cpu_is_view(step->op)) {
        add_axis(copy, dyno_cuda_count(to, 0, to->rank), 1, 1);
        return true;
    }
    strides_of(from, tactic->in_layouts[in], x);
    strides_of(to, layout, y);
    switch ((int)step->op) {
    case DYNO_OP_transpose: {
        const struct dyno_transpose_attrs *attrs = step->attrs;
        for (int i = 0; i < to->rank; i++)
            add_axis(copy, to->dims[i],
                     x[attrs->perm.count != 0 ? attrs->perm.at[i] : to->rank - 1 - i], y[i]);
        return true;
    }
    case DYNO_OP_expand:
        for (int i = 0; i < to->rank; i++) {
            const int axis = i - (to->rank - from->rank);
            add_axis(copy, to->dims[i], axis < 0 || from->dims[axis] == 1 ? 0 : x[axis], y[i]);
        }
        return true;
    case DYNO_OP_concat: {
        const int axis = axis_of(((const struct dyno_axis_attrs *)step->attrs)->axis, to->rank);
        copy->y_at = before(site->ins, in, axis) * y[axis];
        break;
    }
    case DYNO_OP_split: {
        const int axis = axis_of(((const struct dyno_split_attrs *)step->attrs)->axis, to->rank);
        copy->x_at = before(site->outs, out, axis) * x[axis];
        for (int i = 0; i < to->rank; i++)
            add_axis(copy, to->dims[i], x[i], y[i]);
        return true;
    }
    case DYNO_OP_slice:
        return slice_of(site, x, y, copy);
    case DYNO_OP_depth_to_space:
        depth_of(site, x, y, copy);
        return true;
    case DYNO_OP_space_to_depth:
        depth_of(site, y, x, copy);
        return true;
    default:
        return false;
    }
    for (int i = 0; i < from->rank; i++)
        add_axis(copy, from->dims[i], x[i], y[i]);
    return true;
}

/* --- fewer axes, wider words --- */

/* Axes of one element go; of LAST tensors the axis of channels comes last. */
static void sort_axes(struct copy *copy)
{
    int kept = 0;
    for (int i = 0; i < copy->rank; i++) {
        if (copy->dims[i] == 1)
            continue;
        copy->dims[kept] = copy->dims[i];
        copy->x[kept] = copy->x[i];
        copy->y[kept++] = copy->y[i];
    }
    copy->rank = kept;
    for (int i = 1; i < copy->rank; i++) { /* by what is written: greatest stride first */
        for (int k = i; k > 0 && copy->y[k] > copy->y[k - 1]; k--) {
            const int64_t swap[3] = {copy->dims[k], copy->x[k], copy->y[k]};
            copy->dims[k] = copy->dims[k - 1];
            copy->x[k] = copy->x[k - 1];
            copy->y[k] = copy->y[k - 1];
            copy->dims[k - 1] = swap[0];
            copy->x[k - 1] = swap[1];
            copy->y[k - 1] = swap[2];
        }
    }
}

static void merge_axes(struct copy *copy)
{
    int kept = 0;
    for (int i = 1; i < copy->rank; i++) {
        if (copy->x[kept] == copy->x[i] * copy->dims[i] &&
            copy->y[kept] == copy->y[i] * copy->dims[i]) {
            copy->dims[kept] *= copy->dims[i];
            copy->x[kept] = copy->x[i];
            copy->y[kept] = copy->y[i];
            continue;
        }
        kept++;
        copy->dims[kept] = copy->dims[i];
        copy->x[kept] = copy->x[i];
        copy->y[kept] = copy->y[i];
    }
    copy->rank = copy->rank > 0 ? kept + 1 : 0;
}

/* Words of as many elements as everything is a multiple of, up to 16 bytes. */
static void widen(struct copy *copy)
{
    const int last = copy->rank - 1;
    int64_t count = copy->elem_bytes < 16 ? 16 / copy->elem_bytes : 1;
    if (last < 0 || copy->x[last] != 1 || copy->y[last] != 1)
        return;
    for (bool fits = false; !fits && count > 1;) {
        fits = copy->dims[last] % count == 0 && copy->x_at % count == 0 && copy->y_at % count == 0;
        for (int i = 0; fits && i < last; i++)
            fits = copy->x[i] % count == 0 && copy->y[i] % count == 0;
        count = fits ? count : count / 2;
    }
    copy->dims[last] /= count;
    copy->x_at /= count;
    copy->y_at /= count;
    for (int i = 0; i < last; i++) {
        copy->x[i] /= count;
        copy->y[i] /= count;
    }
    copy->elem_bytes *= count;
}

static bool finish_copy(struct copy *copy, struct part *part)
{
    int64_t count = 1;
    for (int i = 0; i < copy->rank; i++)
        count *= copy->dims[i];
    sort_axes(copy);
    merge_axes(copy);
    widen(copy);
    if (copy->rank > DYNO_GPU_MOVE_AXES || count > INT32_MAX)
        return false;
    part->params = (struct dyno_gpu_move){.word_bytes = (int)copy->elem_bytes, .rank = copy->rank};
    uint32_t words = count != 0 ? 1 : 0;
    for (int i = 0; i < copy->rank; i++) {
        words *= (uint32_t)copy->dims[i];
        part->params.dims[i] = (uint32_t)copy->dims[i];
        part->params.x_strides[i] = copy->x[i];
        part->params.y_strides[i] = copy->y[i];
    }
    part->params.count = words;
    part->x_at = copy->x_at * copy->elem_bytes;
    part->y_at = copy->y_at * copy->elem_bytes;
    return true;
}

/* --- the kernel --- */

static uint32_t part_count(const struct dyno_step *step)
{
    if (step->op == DYNO_OP_concat)
        return step->own_in_count;
    return step->op == DYNO_OP_split ? step->out_count : 1;
}

/* cfg[0]: number of the inputs' layout. */
static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    int count = 0;
    if (dyno_cpu_move_check(site, NULL) != DYNO_OK)
        return 0;
    const bool turns = site->step->op == DYNO_OP_transpose;
    const double elems = (double)dyno_cuda_count(&site->outs[0], 0, site->outs[0].rank);
    for (int i = 0; i < dyno_cuda_layout_count; i++) {
        for (int k = 0; k < dyno_cuda_layout_count && count < max; k++) {
            const struct dyno_layout from = dyno_cuda_layouts[i], to = dyno_cuda_layouts[k];
            if (!dyno_cuda_layout_allowed(from, site->target) || from.elem != to.elem ||
                (i != k && !turns))
                continue;
            out[count] = (struct dyno_tactic){.cfg = {(uint32_t)i}, .out_layout = to};
            out[count++].est_us = (float)(dyno_cuda_move_us(site->target, 8.0 * elems) +
                                          2.0 * (part_count(site->step) - 1.0));
        }
    }
    return count;
}

static bool layouts_fit(const struct dyno_site *site, struct dyno_layout from,
                        struct dyno_layout to)
{
    const struct dyno_step *step = site->step;
    const struct dyno_buf *y = &site->outs[0];
    const bool last = dyno_cuda_is_last(from) || dyno_cuda_is_last(to);
    const bool plain = dyno_layout_same(from, DYNO_ROW) && dyno_layout_same(to, DYNO_ROW);
    if (plain)
        return true;
    if (y->dtype != DYNO_F32 || from.elem != to.elem || step->op == DYNO_OP_split)
        return false;
    if (!dyno_layout_same(from, to) && step->op != DYNO_OP_transpose)
        return false;
    if (!last)
        return true;
    if (dyno_cpu_is_view(step->op) || step->op == DYNO_OP_expand || y->rank < 2 ||
        site->ins[0].rank < 2)
        return false;
    /* Padding channels would have to be written, too. */
    return !dyno_cuda_is_last(to) || (y->open[1] == 0 && y->dims[1] % to.block == 0);
}

static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err)
{
    const struct dyno_step *step = site->step;
    const uint32_t parts = part_count(step);
    struct part part;
    struct copy copy;
    DYNO_TRY(dyno_cpu_move_check(site, err));
    if (step->op == DYNO_OP_tile || parts > PARTS_MAX || !dyno_cuda_rest_is_zero(asked, 1) ||
        asked->cfg[0] >= (uint32_t)dyno_cuda_layout_count ||
        !dyno_cuda_layout_known(asked->out_layout) ||
        !layouts_fit(site, dyno_cuda_layouts[asked->cfg[0]], asked->out_layout))
        return dyno_cuda_refuse(site, err);
    const struct dyno_layout from = dyno_cuda_layouts[asked->cfg[0]];
    for (uint32_t i = 0; i < (step->op == DYNO_OP_concat ? parts : 1); i++) {
        if (!dyno_cuda_readable(site, i) ||
            (site->in_is_weight[i] && !dyno_layout_same(from, DYNO_ROW)))
            return dyno_cuda_refuse(site, err);
        tactic->in_layouts[i] = from;
    }
    for (uint32_t i = 0; i < parts; i++) {
        if (!copy_of(site, tactic, step->op == DYNO_OP_concat ? i : 0,
                     step->op == DYNO_OP_split ? i : 0, &copy) ||
            !finish_copy(&copy, &part))
            return dyno_cuda_refuse(site, err);
    }
    tactic->flags = from.elem == 0 && !dyno_cuda_is_last(from) ? DYNO_TACTIC_BASELINE : 0;
    return DYNO_OK;
}

static enum dyno_status program_of(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                   const char **source_out, struct dyno_strbuf *choices,
                                   struct dyno_err *err)
{
    (void)site;
    (void)tactic;
    (void)choices;
    (void)err;
    *source_out = "move.cu";
    return DYNO_OK;
}

static enum dyno_status prepare(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                const void *packed, void *state_bytes,
                                uint64_t *workspace_bytes_out, struct dyno_err *err)
{
    (void)packed;
    struct move_state *state = state_bytes;
    const enum dyno_op_id op = site->step->op;
    struct copy copy;
    *workspace_bytes_out = 0;
    state->count = part_count(site->step);
    for (uint32_t i = 0; i < state->count; i++) {
        struct part *part = &state->parts[i];
        part->in = op == DYNO_OP_concat ? i : 0;
        part->out = op == DYNO_OP_split ? i : 0;
        if (!copy_of(site, tactic, part->in, part->out, &copy) || !finish_copy(&copy, part))
            return dyno_cuda_refuse(site, err);
    }
    return DYNO_OK;
}

static enum dyno_status run(struct dyno_run_args *args)
{
    const struct move_state *state = args->state;
    for (uint32_t i = 0; i < state->count; i++) {
        const struct part *part = &state->parts[i];
        struct dyno_gpu_move params = part->params;
        params.x = dyno_cuda_address(args->ins[part->in].data) + (uint64_t)part->x_at;
        params.y = dyno_cuda_address(args->outs[part->out].data) + (uint64_t)part->y_at;
        const int64_t grid[3] = {dyno_cuda_div_up(params.count, THREADS), 1, 1};
        DYNO_TRY(dyno_cuda_launch(args, grid, THREADS, 0, &params, sizeof(params)));
    }
    return DYNO_OK;
}

const struct dyno_kernel dyno_kernel_cuda_move = {
    .name = "move_cuda",
    .packing = 1,
    .state_bytes = sizeof(struct move_state),
    .strided = true,
    .place = DYNO_ON_GPU,
    .enumerate = enumerate,
    .settle = settle,
    .prepare = prepare,
    .run = run,
    .program = program_of,
};
