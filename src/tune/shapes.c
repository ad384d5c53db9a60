/* shapes.c - shapes at the profile's optimum, and at its bounds. */
#include "tune/shapes.h"

#include <string.h>

void dyno_tune_set_layout(struct dyno_buf *buf, struct dyno_layout layout)
{
    uint64_t bytes = 0;
    buf->layout = layout;
    buf->batch_stride = buf->ld = 0;
    if (buf->rank < 0 || !dyno_layout_bytes(layout, buf->dtype, buf->rank, buf->dims, &bytes))
        return;
    const int64_t elems =
        (int64_t)(bytes * 8 / dyno_dtype_bits(dyno_layout_elem(layout, buf->dtype)));
    buf->batch_stride = buf->rank > 0 && buf->dims[0] > 0 ? elems / buf->dims[0] : elems;
    if (layout.kind == DYNO_LAYOUT_LAST)
        buf->ld = dyno_layout_stored(layout, buf->dims[1]);
}

static enum dyno_status host_data(const struct dyno_plan_tensor *tensor, const int64_t *values,
                                  struct dyno_arena *arena, struct dyno_buf *buf,
                                  struct dyno_err *err)
{
    size_t bytes = 0;
    if (!dyno_dtype_bytes(tensor->dtype, tensor->elem_count, &bytes))
        return DYNO_FAIL(err, DYNO_E_LIMIT, "tensor '%s' is too large", tensor->name);
    buf->data = dyno_arena_alloc(arena, bytes + 8, 1);
    if (buf->data == NULL)
        return DYNO_NOMEM(err);
    for (uint32_t i = 0; i < tensor->elem_count; i++) {
        const int64_t value = values[tensor->elems[i]];
        dyno_elem_store_i64(tensor->dtype, buf->data, i, dyno_expr_value_ok(value) ? value : 0);
    }
    return DYNO_OK;
}

static enum dyno_status shape_one(const struct dyno_plan *plan, uint32_t id, const int64_t *values,
                                  const bool *is_open, enum dyno_corner corner,
                                  struct dyno_arena *arena, struct dyno_buf *buf,
                                  struct dyno_err *err)
{
    static const char *const corner_names[] = {"the least shapes", "the optimal shapes",
                                               "the greatest shapes"};
    const struct dyno_plan_tensor *tensor = &plan->tensors[id];
    uint64_t bytes = 0;
    buf->dtype = tensor->dtype;
    buf->rank = tensor->rank;
    for (int i = 0; i < tensor->rank; i++) {
        buf->dims[i] = values[tensor->dims[i]];
        buf->open[i] = is_open[tensor->dims[i]] ? tensor->dims[i] + 1 : 0;
        if (!dyno_expr_value_ok(buf->dims[i])) {
            buf->rank = -1;
            return DYNO_OK;
        }
        if (buf->dims[i] < 0)
            return DYNO_FAIL(err, DYNO_E_ARG,
                             "tensor '%s': dimension %d is %lld at %s of the profile", tensor->name,
                             i, (long long)buf->dims[i], corner_names[corner]);
    }
    if (buf->rank >= 0 && !dyno_layout_bytes(DYNO_ROW, buf->dtype, buf->rank, buf->dims, &bytes))
        return DYNO_FAIL(err, DYNO_E_LIMIT, "tensor '%s': its size overflows 64 bits",
                         tensor->name);
    dyno_tune_set_layout(buf, DYNO_ROW);
    if (tensor->role == DYNO_ROLE_WEIGHT)
        memcpy(&buf->data, &tensor->data, sizeof(buf->data)); /* const: inputs are only read */
    return tensor->role == DYNO_ROLE_HOST ? host_data(tensor, values, arena, buf, err) : DYNO_OK;
}

enum dyno_status dyno_tune_shapes_at(const struct dyno_plan *plan, enum dyno_corner corner,
                                     struct dyno_arena *arena, struct dyno_buf **bufs_out,
                                     struct dyno_err *err)
{
    const size_t symbol_count = dyno_exprs_symbol_count(plan->exprs);
    const size_t expr_count = dyno_exprs_count(plan->exprs);
    int64_t *symbols = dyno_arena_alloc(arena, symbol_count + 1, sizeof(*symbols));
    int64_t *values = dyno_arena_alloc(arena, expr_count + 1, sizeof(*values));
    bool *is_open = dyno_arena_alloc(arena, expr_count + 1, sizeof(*is_open));
    struct dyno_buf *bufs = dyno_arena_alloc(arena, plan->tensor_count + 1U, sizeof(*bufs));
    if (symbols == NULL || values == NULL || is_open == NULL || bufs == NULL)
        return DYNO_NOMEM(err);
    for (size_t i = 0; i < symbol_count; i++)
        symbols[i] = INT64_MIN;
    for (uint32_t i = 0; i < plan->input_count; i++) {
        const struct dyno_io *io = &plan->inputs[i];
        const int64_t *dims = corner == DYNO_CORNER_MIN   ? io->min
                              : corner == DYNO_CORNER_OPT ? io->opt
                                                          : io->max;
        for (int d = 0; d < plan->tensors[io->tensor].rank; d++) {
            const struct dyno_expr_node node =
                dyno_exprs_node(plan->exprs, plan->tensors[io->tensor].dims[d]);
            if (node.op == DYNO_EXPR_SYMBOL)
                symbols[node.value] = dims[d];
        }
    }
    dyno_exprs_eval(plan->exprs, symbols, values);
    dyno_plan_open_exprs(plan, is_open);
    for (uint32_t i = 0; i < plan->tensor_count; i++)
        DYNO_TRY(shape_one(plan, i, values, is_open, corner, arena, &bufs[i], err));
    *bufs_out = bufs;
    return DYNO_OK;
}

enum dyno_status dyno_tune_shapes(const struct dyno_plan *plan, struct dyno_arena *arena,
                                  struct dyno_buf **bufs_out, struct dyno_err *err)
{
    return dyno_tune_shapes_at(plan, DYNO_CORNER_OPT, arena, bufs_out, err);
}

enum dyno_status dyno_tune_site(const struct dyno_plan *plan, const struct dyno_step *step,
                                const struct dyno_buf *bufs, const struct dyno_target *target,
                                struct dyno_arena *arena, struct dyno_site *site_out,
                                struct dyno_err *err)
{
    struct dyno_buf *ins = dyno_arena_alloc(arena, step->in_count + 1U, sizeof(*ins));
    struct dyno_buf *outs = dyno_arena_alloc(arena, step->out_count + 1U, sizeof(*outs));
    bool *is_weight = dyno_arena_alloc(arena, step->in_count + 1U, sizeof(*is_weight));
    if (ins == NULL || outs == NULL || is_weight == NULL)
        return DYNO_NOMEM(err);
    for (uint32_t i = 0; i < step->in_count; i++) {
        ins[i].rank = -1;
        if (step->ins[i] == DYNO_NO_TENSOR)
            continue;
        ins[i] = bufs[step->ins[i]];
        is_weight[i] = plan->tensors[step->ins[i]].role == DYNO_ROLE_WEIGHT;
    }
    for (uint32_t i = 0; i < step->out_count; i++) {
        outs[i].rank = -1;
        if (step->outs[i] != DYNO_NO_TENSOR)
            outs[i] = bufs[step->outs[i]];
    }
    *site_out = (struct dyno_site){
        .step = step, .ins = ins, .outs = outs, .in_is_weight = is_weight, .target = target};
    return DYNO_OK;
}
