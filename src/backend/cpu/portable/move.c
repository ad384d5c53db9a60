/* move.c - operators that put elements of one tensor elsewhere: views that need a copy, Transpose,
 * Expand, Tile, Slice, Split, Concat, DepthToSpace, SpaceToDepth. */
#include "backend/cpu/move.h"

#include "ops/move.h"

extern const struct dyno_kernel dyno_kernel_portable_move;

/* --- one way for each operator: axes of the copy from src to dst, both dense --- */

static void plan_expand(const struct dyno_run_args *args, struct dyno_cpu_move *move)
{
    const struct dyno_buf *in = &args->ins[0];
    const struct dyno_buf *out = &args->outs[0];
    int64_t src[DYNO_RANK_MAX] = {0}, dst[DYNO_RANK_MAX] = {0};
    dyno_cpu_row_strides(in->dims, in->rank, src);
    dyno_cpu_row_strides(out->dims, out->rank, dst);
    for (int i = 0; i < out->rank; i++) {
        const int axis = i - (out->rank - in->rank);
        const bool repeats = axis < 0 || in->dims[axis] == 1;
        dyno_cpu_move_axis(move, out->dims[i], repeats ? 0 : src[axis], dst[i]);
    }
}

static void plan_tile(const struct dyno_run_args *args, struct dyno_cpu_move *move)
{
    const struct dyno_buf *in = &args->ins[0];
    int64_t src[DYNO_RANK_MAX] = {0}, dst[DYNO_RANK_MAX] = {0};
    dyno_cpu_row_strides(in->dims, in->rank, src);
    dyno_cpu_row_strides(args->outs[0].dims, in->rank, dst);
    for (int i = 0; i < in->rank; i++) {
        const int64_t dim = in->dims[i];
        dyno_cpu_move_axis(move, dim == 0 ? 0 : args->outs[0].dims[i] / dim, 0, dim * dst[i]);
        dyno_cpu_move_axis(move, dim, src[i], dst[i]);
    }
}

/* DepthToSpace: channels are [b1][b2][C] (DCR) or [C][b1][b2] (CRD); SpaceToDepth undoes DCR. */
static void plan_depth(const struct dyno_run_args *args, struct dyno_cpu_move *move, bool to_space)
{
    const struct dyno_depth_attrs *attrs = args->step->attrs;
    const int64_t b = attrs->blocksize;
    const struct dyno_buf *deep = to_space ? &args->ins[0] : &args->outs[0];
    const struct dyno_buf *wide = to_space ? &args->outs[0] : &args->ins[0];
    const int64_t channels = wide->dims[1];
    const int64_t h = deep->dims[2], w = deep->dims[3];
    const bool crd = to_space && attrs->mode == DYNO_DEPTH_CRD;
    const int64_t plane = h * w;
    /* axes: n, c, h, block row, w, block column; strides in `deep` and in `wide` */
    const int64_t dims[6] = {deep->dims[0], channels, h, b, w, b};
    const int64_t in_deep[6] = {deep->dims[1] * plane,
                                crd ? b * b * plane : plane,
                                w,
                                crd ? b * plane : b * channels * plane,
                                1,
                                crd ? plane : channels * plane};
    const int64_t in_wide[6] = {channels * plane * b * b, plane * b * b, w * b * b, w * b, b, 1};
    for (int i = 0; i < 6; i++)
        dyno_cpu_move_axis(move, dims[i], to_space ? in_deep[i] : in_wide[i],
                           to_space ? in_wide[i] : in_deep[i]);
}

/* Axes of a BLOCK tensor as a copy sees them: batch, block, spatial..., 16 lanes. */
static int block_axes(const struct dyno_buf *buf, int64_t *dims, int64_t *strides)
{
    const int64_t spatial = dyno_cpu_spatial(buf);
    dims[0] = buf->dims[0];
    strides[0] = buf->batch_stride;
    dims[1] = dyno_cpu_blocks(buf);
    strides[1] = spatial * DYNO_CPU_BLOCK;
    int64_t stride = DYNO_CPU_BLOCK;
    for (int i = buf->rank - 1; i >= 2; i--) {
        dims[i] = buf->dims[i];
        strides[i] = stride;
        stride *= buf->dims[i];
    }
    dims[buf->rank] = DYNO_CPU_BLOCK;
    strides[buf->rank] = 1;
    return buf->rank + 1;
}

/* Strides in either layout; in BLOCK one axis (the lanes) is appended. */
static int axes_of(const struct dyno_buf *buf, int64_t *dims, int64_t *strides)
{
    if (dyno_cpu_is_block(buf))
        return block_axes(buf, dims, strides);
    dyno_cpu_row_strides(buf->dims, buf->rank, strides);
    memcpy(dims, buf->dims, sizeof(buf->dims));
    return buf->rank;
}

/* Channels [first, first + C) of a BLOCK tensor, in either direction.  Where `first` is not a whole
 * block, blocks of the part fall into two of the whole: their heads are one copy, their tails
 * another.  Lanes past the part's last channel are carried along; the parts of a Concat are moved
 * in order, so that the next part overwrites them. */
static void move_channels(const struct dyno_run_args *args, const struct dyno_buf *part,
                          const struct dyno_buf *whole, int64_t first, bool to_whole)
{
    const int64_t spatial = dyno_cpu_spatial(part);
    const int64_t shift = first % DYNO_CPU_BLOCK;
    const struct dyno_buf *src = to_whole ? part : whole;
    const struct dyno_buf *dst = to_whole ? whole : part;
    for (int half = 0; half < 2; half++) {
        const int64_t lane = half == 0 ? 0 : DYNO_CPU_BLOCK - shift;
        const int64_t lanes = half == 0 ? DYNO_CPU_BLOCK - shift : shift;
        if (lanes == 0 || lane >= part->dims[1])
            continue;
        const int64_t block = (first + lane) / DYNO_CPU_BLOCK;
        const int64_t far = block * spatial * DYNO_CPU_BLOCK + (first + lane) % DYNO_CPU_BLOCK;
        struct dyno_cpu_move move = {.elem_bytes = sizeof(float)};
        move.src_offset = to_whole ? lane : far;
        move.dst_offset = to_whole ? far : lane;
        dyno_cpu_move_axis(&move, part->dims[0], src->batch_stride, dst->batch_stride);
        dyno_cpu_move_axis(&move, dyno_cpu_div_up(part->dims[1] - lane, DYNO_CPU_BLOCK),
                           spatial * DYNO_CPU_BLOCK, spatial * DYNO_CPU_BLOCK);
        dyno_cpu_move_axis(&move, spatial, DYNO_CPU_BLOCK, DYNO_CPU_BLOCK);
        dyno_cpu_move_axis(&move, lanes, 1, 1);
        dyno_cpu_move_run(args, &move, src->data, dst->data);
    }
}

/* One part of a Concat (to_whole) or a Split: elements [first, first + size) of the whole's axis.
 */
static void move_part(const struct dyno_run_args *args, const struct dyno_buf *part,
                      const struct dyno_buf *whole, int axis, int64_t first, bool to_whole)
{
    if (dyno_cpu_is_block(whole) && axis == 1) {
        move_channels(args, part, whole, first, to_whole);
        return;
    }
    int64_t dims[DYNO_RANK_MAX + 1] = {0};
    int64_t near[DYNO_RANK_MAX + 1] = {0}, far[DYNO_RANK_MAX + 1] = {0};
    (void)axes_of(whole, dims, far);
    const int rank = axes_of(part, dims, near);
    struct dyno_cpu_move move = {.elem_bytes = dyno_cpu_elem_bytes(part->dtype)};
    for (int i = 0; i < rank; i++)
        dyno_cpu_move_axis(&move, dims[i], to_whole ? near[i] : far[i],
                           to_whole ? far[i] : near[i]);
    const int64_t offset = first * far[axis];
    if (to_whole)
        move.dst_offset = offset;
    else
        move.src_offset = offset;
    dyno_cpu_move_run(args, &move, to_whole ? part->data : whole->data,
                      to_whole ? whole->data : part->data);
}

/* Axes of the copy for channels [first, first + lanes * count) of the blocked side, which is the
 * input or the output; neither: all of it, count is not looked at. */
static void transpose_part(const struct dyno_run_args *args, int64_t first, int64_t count,
                           int64_t lanes)
{
    const struct dyno_transpose_attrs *attrs = args->step->attrs;
    const struct dyno_buf *in = &args->ins[0];
    const struct dyno_buf *out = &args->outs[0];
    int64_t dims[DYNO_RANK_MAX + 1] = {0};
    int64_t src[DYNO_RANK_MAX + 1] = {0}, dst[DYNO_RANK_MAX + 1] = {0};
    struct dyno_cpu_move move = {.elem_bytes = dyno_cpu_elem_bytes(out->dtype)};
    (void)axes_of(in, dims, src);
    (void)axes_of(out, dims, dst);
    for (int i = 0; i < out->rank; i++) {
        const int from = (int)(attrs->perm.count != 0 ? attrs->perm.at[i] : in->rank - 1 - i);
        const bool cut_in = dyno_cpu_is_block(in) && from == 1;
        const bool cut_out = dyno_cpu_is_block(out) && i == 1;
        if (!cut_in && !cut_out) {
            dyno_cpu_move_axis(&move, out->dims[i], src[from], dst[i]);
            continue;
        }
        const int64_t block = first / DYNO_CPU_BLOCK;
        const int64_t src_block = cut_in ? src[from] : src[from] * DYNO_CPU_BLOCK;
        const int64_t dst_block = cut_out ? dst[i] : dst[i] * DYNO_CPU_BLOCK;
        move.src_offset += block * src_block;
        move.dst_offset += block * dst_block;
        dyno_cpu_move_axis(&move, count, src_block, dst_block);
        dyno_cpu_move_axis(&move, lanes, cut_in ? 1 : src[from], cut_out ? 1 : dst[i]);
    }
    dyno_cpu_move_run(args, &move, in->data, out->data);
}

static void run_transpose(const struct dyno_run_args *args)
{
    const struct dyno_buf *blocked =
        dyno_cpu_is_block(&args->ins[0]) ? &args->ins[0] : &args->outs[0];
    if (!dyno_cpu_is_block(blocked)) {
        transpose_part(args, 0, 0, 0);
        return;
    }
    const int64_t whole = blocked->dims[1] / DYNO_CPU_BLOCK;
    const int64_t rest = blocked->dims[1] % DYNO_CPU_BLOCK;
    transpose_part(args, 0, whole, DYNO_CPU_BLOCK);
    if (rest != 0)
        transpose_part(args, whole * DYNO_CPU_BLOCK, 1, rest);
}

/* --- BLOCK, one element at a time: shapes of the profile that the planned way does not fit --- */

static void to_index(int64_t flat, const struct dyno_buf *buf, int64_t *idx)
{
    for (int i = buf->rank - 1; i >= 0; i--) {
        idx[i] = flat % buf->dims[i];
        flat /= buf->dims[i];
    }
}

static float *element(const struct dyno_buf *buf, const int64_t *idx)
{
    int64_t pos = 0;
    for (int i = 2; i < buf->rank; i++)
        pos = pos * buf->dims[i] + idx[i];
    return dyno_cpu_block_at(buf, idx[0], idx[1] / DYNO_CPU_BLOCK) + pos * DYNO_CPU_BLOCK +
           idx[1] % DYNO_CPU_BLOCK;
}

/* start NULL: the same element in row-major order. */
static void move_elements(const struct dyno_run_args *args, const int64_t *start, const int64_t *by)
{
    const struct dyno_buf *in = &args->ins[0];
    const struct dyno_buf *out = &args->outs[0];
    const int64_t count = dyno_cpu_count(out);
    for (int64_t flat = 0; flat < count; flat++) {
        int64_t to[DYNO_RANK_MAX] = {0}, from[DYNO_RANK_MAX] = {0};
        to_index(flat, out, to);
        if (start == NULL)
            to_index(flat, in, from);
        for (int i = 0; start != NULL && i < in->rank; i++)
            from[i] = start[i] + to[i] * by[i];
        *element(out, to) = *element(in, from);
    }
}

/* In BLOCK a tensor whose batch and channels stay is the same bytes under another shape. */
static void run_block_view(const struct dyno_run_args *args)
{
    const struct dyno_buf *in = &args->ins[0];
    const struct dyno_buf *out = &args->outs[0];
    struct dyno_cpu_move move = {.elem_bytes = sizeof(float)};
    if (in->dims[0] != out->dims[0] || in->dims[1] != out->dims[1]) {
        move_elements(args, NULL, NULL);
        return;
    }
    dyno_cpu_move_axis(&move, in->dims[0], in->batch_stride, out->batch_stride);
    dyno_cpu_move_axis(&move, dyno_cpu_blocks(in) * dyno_cpu_spatial(in) * DYNO_CPU_BLOCK, 1, 1);
    dyno_cpu_move_run(args, &move, in->data, out->data);
}

static bool cuts_channels_only(const struct dyno_buf *in, const struct dyno_buf *out)
{
    for (int i = 0; i < in->rank; i++)
        if (i != 1 && in->dims[i] != out->dims[i])
            return false;
    return true;
}

/* False: the bounds lead outside the input. */
static bool run_slice(const struct dyno_run_args *args)
{
    const struct dyno_buf *in = &args->ins[0];
    const struct dyno_buf *out = &args->outs[0];
    int64_t start[DYNO_RANK_MAX] = {0}, by[DYNO_RANK_MAX] = {0};
    int64_t dims[DYNO_RANK_MAX + 1] = {0};
    int64_t src[DYNO_RANK_MAX + 1] = {0}, dst[DYNO_RANK_MAX + 1] = {0};
    struct dyno_cpu_move move = {.elem_bytes = dyno_cpu_elem_bytes(out->dtype)};
    if (!dyno_cpu_slice_axes(args->step, args->ins, out, start, by))
        return false;
    if (dyno_cpu_is_block(in)) {
        const bool whole = start[1] % DYNO_CPU_BLOCK == 0;
        if (by[1] != 1 || (!whole && !cuts_channels_only(in, out))) {
            move_elements(args, start, by);
            return true;
        }
        if (!whole) {
            move_channels(args, out, in, start[1], false);
            return true;
        }
        start[1] /= DYNO_CPU_BLOCK;
    }
    (void)axes_of(in, dims, src);
    const int rank = axes_of(out, dims, dst);
    for (int i = 0; i < rank; i++) {
        const bool lanes = i == in->rank;
        move.src_offset += lanes ? 0 : start[i] * src[i];
        dyno_cpu_move_axis(&move, dims[i], lanes ? 1 : src[i] * by[i], dst[i]);
    }
    dyno_cpu_move_run(args, &move, in->data, out->data);
    return true;
}

static void run_concat(const struct dyno_run_args *args)
{
    const struct dyno_axis_attrs *attrs = args->step->attrs;
    const struct dyno_buf *out = &args->outs[0];
    const int axis = dyno_cpu_axis(attrs->axis, out->rank);
    int64_t first = 0;
    for (uint32_t i = 0; i < args->step->own_in_count; i++) {
        move_part(args, &args->ins[i], out, axis, first, true);
        first += args->ins[i].dims[axis];
    }
}

static void run_split(const struct dyno_run_args *args)
{
    const struct dyno_split_attrs *attrs = args->step->attrs;
    const struct dyno_buf *in = &args->ins[0];
    const int axis = dyno_cpu_axis(attrs->axis, in->rank);
    int64_t first = 0;
    for (uint32_t i = 0; i < args->step->out_count; i++) {
        const struct dyno_buf *part = &args->outs[i];
        move_part(args, part, in, axis, first, false);
        first += part->dims[axis];
    }
}

/* --- the kernel --- */

/* How much dearer than whole blocks a move of channels is. */
#define SHIFTED 2.0

/* A factor on the estimate. */
static double concat_in_blocks(const struct dyno_site *site)
{
    const struct dyno_axis_attrs *attrs = site->step->attrs;
    const struct dyno_buf *out = &site->outs[0];
    if (dyno_cpu_axis(attrs->axis, out->rank) != 1)
        return 1.0;
    for (uint32_t i = 0; i + 1 < site->step->own_in_count; i++)
        if (site->ins[i].dims[1] % DYNO_CPU_BLOCK != 0)
            return SHIFTED;
    return 1.0;
}

/* 0: not worth trying in BLOCK. */
static double slice_in_blocks(const struct dyno_site *site)
{
    int64_t start[DYNO_RANK_MAX] = {0}, by[DYNO_RANK_MAX] = {0};
    for (uint32_t i = 1; i < site->step->own_in_count; i++)
        if (site->ins[i].rank >= 0 && (site->ins[i].data == NULL || !site->in_is_weight[i]))
            return 0.0;
    if (!dyno_cpu_slice_axes(site->step, site->ins, &site->outs[0], start, by) || by[1] != 1)
        return 0.0;
    if (start[1] % DYNO_CPU_BLOCK == 0)
        return 1.0;
    return cuts_channels_only(&site->ins[0], &site->outs[0]) ? SHIFTED : 0.0;
}

/* Candidates beside the plain one, from out[0] on. */
static int enumerate_blocks(const struct dyno_site *site, struct dyno_tactic *out, double us)
{
    const struct dyno_step *step = site->step;
    const struct dyno_buf *x = &site->ins[0];
    const struct dyno_buf *y = &site->outs[0];
    double factor = 0.0;
    if (step->op == DYNO_OP_transpose) {
        out[0].est_us = out[1].est_us = (float)us;
        out[0].in_layouts[0] = DYNO_BLOCK16;
        out[1].out_layout = DYNO_BLOCK16;
        return 2;
    }
    if (step->op == DYNO_OP_concat)
        factor = concat_in_blocks(site);
    else if (step->op == DYNO_OP_slice)
        factor = slice_in_blocks(site);
    else if (dyno_cpu_is_view(step->op) && x->rank >= 2 && y->rank >= 2 &&
             x->dims[0] == y->dims[0] && x->dims[1] == y->dims[1])
        factor = 1.0;
    if (factor == 0.0)
        return 0;
    dyno_cpu_tactic_block(out, site, us * factor);
    return 1;
}

static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    const struct dyno_step *step = site->step;
    if (max < 3 || dyno_cpu_move_check(site, NULL) != DYNO_OK)
        return 0;
    double bytes = 0.0;
    for (uint32_t i = 0; i < step->out_count; i++) {
        if (site->outs[i].rank >= 0)
            bytes += 2.0 * (double)dyno_cpu_elem_bytes(site->outs[i].dtype) *
                     (double)dyno_cpu_count(&site->outs[i]);
    }
    double us = dyno_cpu_move_us(site->target, bytes);
    if (step->op == DYNO_OP_transpose)
        us *= 2.0;
    out[0].est_us = (float)us;
    return 1 + enumerate_blocks(site, out + 1, us);
}

/* A Transpose has at most one side in BLOCK, other steps both or none. */
static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err)
{
    const struct dyno_step *step = site->step;
    bool ok = false;
    DYNO_TRY(dyno_cpu_move_check(site, err));
    if (step->op == DYNO_OP_transpose) {
        const bool from_block = asked->in_layouts[0].kind == DYNO_LAYOUT_BLOCK;
        ok = dyno_cpu_asks_block(asked) ? !from_block && dyno_cpu_settle_block(site, 0, 0, tactic)
                                        : dyno_cpu_settle_row(site, 0, tactic);
        if (ok && from_block) {
            ok = dyno_cpu_blockable(&site->ins[0]);
            tactic->in_layouts[0] = DYNO_BLOCK16;
            tactic->flags = 0;
        }
    } else if (!dyno_cpu_asks_block(asked)) {
        ok = dyno_cpu_settle_row(site, 0, tactic);
    } else if (step->op == DYNO_OP_concat || step->op == DYNO_OP_slice ||
               dyno_cpu_is_view(step->op)) {
        ok = dyno_cpu_settle_block(site, 0, step->op == DYNO_OP_concat ? step->own_in_count : 1,
                                   tactic);
    }
    return ok ? DYNO_OK : dyno_cpu_refuse(site, err);
}

static enum dyno_status prepare(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                const void *packed, void *state, uint64_t *workspace_bytes_out,
                                struct dyno_err *err)
{
    (void)site;
    (void)tactic;
    (void)packed;
    (void)state;
    (void)err;
    *workspace_bytes_out = 0;
    return DYNO_OK;
}

static void run_single(const struct dyno_run_args *args)
{
    const struct dyno_buf *out = &args->outs[0];
    struct dyno_cpu_move move = {.elem_bytes = dyno_cpu_elem_bytes(out->dtype)};
    switch ((int)args->step->op) {
    case DYNO_OP_expand:
        plan_expand(args, &move);
        break;
    case DYNO_OP_tile:
        plan_tile(args, &move);
        break;
    case DYNO_OP_depth_to_space:
        plan_depth(args, &move, true);
        break;
    case DYNO_OP_space_to_depth:
        plan_depth(args, &move, false);
        break;
    default:
        dyno_cpu_move_axis(&move, dyno_cpu_count(out), 1, 1);
        break;
    }
    dyno_cpu_move_run(args, &move, args->ins[0].data, out->data);
}

static enum dyno_status run(struct dyno_run_args *args)
{
    const struct dyno_buf *out = &args->outs[0];
    switch ((int)args->step->op) {
    case DYNO_OP_concat:
        run_concat(args);
        break;
    case DYNO_OP_split:
        run_split(args);
        break;
    case DYNO_OP_slice:
        /* Bounds that arrive with the data cannot be refused here; nothing outside is read. */
        if (!run_slice(args))
            memset(out->data, 0, (size_t)(dyno_cpu_count(out) * dyno_cpu_elem_bytes(out->dtype)));
        break;
    case DYNO_OP_transpose:
        run_transpose(args);
        break;
    default:
        if (dyno_cpu_is_block(out))
            run_block_view(args);
        else
            run_single(args);
        break;
    }
    return DYNO_OK;
}

const struct dyno_kernel dyno_kernel_portable_move = {
    .name = "move_portable",
    .isa_mask = DYNO_ISA_PORTABLE,
    .packing = 1,
    .state_bytes = 0,
    .enumerate = enumerate,
    .settle = settle,
    .prepare = prepare,
    .run = run,
};
