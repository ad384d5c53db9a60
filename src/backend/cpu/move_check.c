/* move_check.c - which steps the kernel `move` does. */
#include "backend/cpu/move.h"

#include "ops/move.h"

bool dyno_cpu_is_view(enum dyno_op_id op)
{
    return op == DYNO_OP_reshape || op == DYNO_OP_flatten || op == DYNO_OP_squeeze ||
           op == DYNO_OP_unsqueeze || op == DYNO_OP_identity || op == DYNO_OP_dropout;
}

static bool handles(const struct dyno_step *step)
{
    switch ((int)step->op) {
    case DYNO_OP_transpose:
    case DYNO_OP_expand:
    case DYNO_OP_tile:
    case DYNO_OP_slice:
    case DYNO_OP_split:
    case DYNO_OP_concat:
    case DYNO_OP_depth_to_space:
    case DYNO_OP_space_to_depth:
        return true;
    default:
        return dyno_cpu_is_view(step->op);
    }
}

/* --- what the rule of an operator leaves open when sizes come with the data --- */

static bool spreads(const struct dyno_buf *in, const struct dyno_buf *out)
{
    for (int i = 0; i < in->rank && in->rank <= out->rank; i++) {
        const int64_t dim = in->dims[in->rank - 1 - i];
        if (dim != 1 && dim != out->dims[out->rank - 1 - i])
            return false;
    }
    return in->rank <= out->rank;
}

static bool repeats(const struct dyno_buf *in, const struct dyno_buf *out)
{
    for (int i = 0; i < in->rank && in->rank == out->rank; i++) {
        const int64_t dim = in->dims[i];
        if (dim == 0 ? out->dims[i] != 0 : out->dims[i] % dim != 0)
            return false;
    }
    return in->rank == out->rank;
}

/* As many ends, axes and steps as starts. */
static bool is_slice(const struct dyno_site *site)
{
    for (uint32_t i = 1; i < site->step->own_in_count; i++)
        if (site->ins[i].rank >= 0 &&
            dyno_cpu_count(&site->ins[i]) != dyno_cpu_count(&site->ins[1]))
            return false;
    return site->ins[0].rank == site->outs[0].rank;
}

/* Parts that are all wanted and make up the input. */
static bool is_split(const struct dyno_site *site)
{
    const struct dyno_split_attrs *attrs = site->step->attrs;
    const struct dyno_buf *in = &site->ins[0];
    const int axis = dyno_cpu_axis(attrs->axis, in->rank);
    int64_t sum = 0;
    for (uint32_t k = 0; k < site->step->out_count; k++) {
        const struct dyno_buf *part = &site->outs[k];
        if (part->rank != in->rank || part->dtype != in->dtype)
            return false;
        for (int i = 0; i < in->rank; i++)
            if (i != axis && part->dims[i] != in->dims[i])
                return false;
        if (part->dims[axis] > in->dims[axis] - sum)
            return false;
        sum += part->dims[axis];
    }
    return sum == in->dims[axis];
}

static bool shapes_fit(const struct dyno_site *site)
{
    const struct dyno_buf *in = &site->ins[0];
    const struct dyno_buf *out = &site->outs[0];
    switch ((int)site->step->op) {
    case DYNO_OP_expand:
        return spreads(in, out);
    case DYNO_OP_tile:
        return repeats(in, out);
    case DYNO_OP_slice:
        return is_slice(site);
    case DYNO_OP_split:
        return is_split(site);
    case DYNO_OP_transpose:
    case DYNO_OP_concat:
    case DYNO_OP_depth_to_space:
    case DYNO_OP_space_to_depth:
        return true; /* the rule tells all */
    default:
        return dyno_cpu_count(in) == dyno_cpu_count(out);
    }
}

enum dyno_status dyno_cpu_move_check(const struct dyno_site *site, struct dyno_err *err)
{
    const struct dyno_step *step = site->step;
    if (!handles(step) || step->tail.instr_count != 0 || step->own_in_count == 0 ||
        site->outs[0].rank < 0 || dyno_cpu_elem_bytes(site->outs[0].dtype) == 0)
        return dyno_cpu_refuse(site, err);
    for (uint32_t i = 1; i < step->out_count; i++)
        if (step->op != DYNO_OP_split && step->outs[i] != DYNO_NO_TENSOR)
            return dyno_cpu_refuse(site, err);
    /* Told to train by the data of a run: the reference knows what to say. */
    if (step->op == DYNO_OP_dropout && step->own_in_count > 2 && site->ins[2].rank >= 0)
        return dyno_cpu_refuse(site, err);
    for (uint32_t i = 0; i < (step->op == DYNO_OP_concat ? step->own_in_count : 1); i++)
        if (site->ins[i].rank < 0 || site->ins[i].dtype != site->outs[0].dtype)
            return dyno_cpu_refuse(site, err);
    return shapes_fit(site) ? DYNO_OK : dyno_cpu_refuse(site, err);
}

/* --- bounds of a slice --- */

static int64_t index_at(const struct dyno_buf *buf, int64_t idx)
{
    return dyno_elem_load_i64(buf->dtype, buf->data, (size_t)idx);
}

bool dyno_cpu_slice_axes(const struct dyno_step *step, const struct dyno_buf *ins,
                         const struct dyno_buf *out, int64_t *start_out, int64_t *step_out)
{
    const struct dyno_buf *in = &ins[0];
    for (int i = 0; i < in->rank; i++) {
        start_out[i] = 0;
        step_out[i] = 1;
    }
    const int64_t count = dyno_cpu_count(&ins[1]);
    const bool has_axes = step->own_in_count > 3 && ins[3].rank >= 0;
    const bool has_steps = step->own_in_count > 4 && ins[4].rank >= 0;
    for (int64_t i = 0; i < count; i++) {
        const int64_t named = has_axes ? index_at(&ins[3], i) : i;
        const int axis = dyno_cpu_axis(named, in->rank);
        if (axis < 0 || axis >= in->rank)
            return false;
        const int64_t by = has_steps ? index_at(&ins[4], i) : 1;
        const int64_t dim = in->dims[axis];
        int64_t start = index_at(&ins[1], i);
        if (start < 0)
            start = start < -dim ? (by < 0 ? -1 : 0) : start + dim;
        start = dyno_cpu_min(start, by < 0 ? dim - 1 : dim);
        start_out[axis] = start;
        step_out[axis] = by;
    }
    for (int i = 0; i < in->rank; i++) {
        const int64_t size = out->dims[i];
        int64_t reach = 0;
        if (size == 0)
            continue;
        if (__builtin_mul_overflow(size - 1, step_out[i], &reach) ||
            __builtin_add_overflow(reach, start_out[i], &reach) || reach < 0 ||
            reach >= in->dims[i] || start_out[i] < 0 || start_out[i] >= in->dims[i])
            return false;
    }
    return true;
}
