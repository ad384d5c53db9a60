/* open.c - steps on the reference operators, and what they made for the caller. */
#include "engine/open.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

static struct dyno_tensor as_tensor(const struct dyno_buf *buf)
{
    struct dyno_tensor tensor = {.dtype = buf->dtype, .rank = buf->rank, .data = buf->data};
    memcpy(tensor.dims, buf->dims, sizeof(tensor.dims));
    return tensor;
}

/* Others rely on the type that the plan gives a tensor, and on its shape where it gives one. */
static bool is_promised(const struct dyno_binding *binding, uint32_t id,
                        const struct dyno_tensor *made)
{
    const struct dyno_buf *buf = &binding->bufs[id];
    if (made->dtype != buf->dtype || made->rank < 0)
        return false;
    if (binding->is_open[id])
        return true;
    bool same = made->rank == buf->rank;
    for (int d = 0; same && d < buf->rank; d++)
        same = made->dims[d] == buf->dims[d];
    return same;
}

static enum dyno_status run_step(const struct dyno_open_run *run, const struct dyno_step *step,
                                 struct dyno_err *err)
{
    struct dyno_buf *bufs = run->binding->bufs;
    struct dyno_tensor *ins = dyno_arena_alloc(run->memory, step->in_count + 1U, sizeof(*ins));
    const struct dyno_tensor **in_ptrs =
        dyno_arena_alloc(run->memory, step->in_count + 1U, sizeof(*in_ptrs));
    struct dyno_tensor *outs = dyno_arena_alloc(run->memory, step->out_count + 1U, sizeof(*outs));
    if (ins == NULL || in_ptrs == NULL || outs == NULL)
        return DYNO_NOMEM(err);
    for (uint32_t i = 0; i < step->in_count; i++) {
        if (step->ins[i] == DYNO_NO_TENSOR)
            continue;
        ins[i] = as_tensor(&bufs[step->ins[i]]);
        in_ptrs[i] = &ins[i];
    }
    DYNO_TRY(dyno_op_run_reference(dyno_ops[step->op], step->attrs, in_ptrs, step->own_in_count,
                                   outs, step->out_count, run->memory, err));
    if (step->tail.instr_count != 0)
        DYNO_TRY(dyno_tail_run_reference(&step->tail, in_ptrs, &outs[0], err));
    for (uint32_t i = 0; i < step->out_count; i++) {
        if (step->outs[i] == DYNO_NO_TENSOR)
            continue;
        struct dyno_buf *buf = &bufs[step->outs[i]];
        if (!is_promised(run->binding, step->outs[i], &outs[i]))
            return DYNO_FAIL(err, DYNO_E_FORMAT,
                             "output %u ('%s') has another type or shape than the engine says", i,
                             run->plan->tensors[step->outs[i]].name);
        buf->rank = outs[i].rank;
        buf->data = outs[i].data;
        memcpy(buf->dims, outs[i].dims, sizeof(buf->dims));
    }
    return DYNO_OK;
}

static enum dyno_status run_steps(const struct dyno_open_run *run, struct dyno_err *err)
{
    for (uint32_t s = run->binding->fixed_step_count; s < run->plan->step_count; s++) {
        const struct dyno_step *step = &run->plan->steps[s];
        const uint64_t start_ns = dyno_clock_ns();
        const enum dyno_status status = run_step(run, step, err);
        if (status != DYNO_OK) {
            dyno_err_prefix(err, "step '%s' (%s)", step->name, dyno_ops[step->op]->onnx_name);
            return status;
        }
        if (run->step_us != NULL)
            run->step_us[s] = (float)(dyno_clock_ns() - start_ns) * 1e-3F;
    }
    return DYNO_OK;
}

/* Hand the outputs that were made to the caller: into his memory where he gave some. */
static enum dyno_status deliver(const struct dyno_open_run *run, struct dyno_err *err)
{
    for (uint32_t i = 0; i < run->plan->output_count; i++) {
        struct dyno_array *array = &run->outputs[i];
        const struct dyno_array *given = &run->given[i];
        const struct dyno_io *output = &run->plan->outputs[i];
        const struct dyno_buf *buf = &run->binding->bufs[output->tensor];
        if (array->rank >= 0 && buf->data == array->data)
            continue;
        dyno_binding_describe(run->binding, output->tensor, array);
        array->data = buf->data;
        if (given->data == NULL)
            continue;
        if (given->bytes < array->bytes)
            return DYNO_FAIL(err, DYNO_E_ARG, "output '%s': room for %zu bytes, needs %zu",
                             output->name, given->bytes, array->bytes);
        memcpy(given->data, buf->data, array->bytes);
        array->data = given->data;
    }
    return DYNO_OK;
}

enum dyno_status dyno_open_run(const struct dyno_open_run *run, struct dyno_err *err)
{
    dyno_arena_reset(run->memory);
    enum dyno_status status = run_steps(run, err);
    if (status == DYNO_OK)
        status = deliver(run, err);
    /* Open again for the next run, failed or not. */
    for (uint32_t i = 0; i < run->plan->tensor_count; i++) {
        if (run->binding->is_open[i])
            run->binding->bufs[i].rank = -1;
    }
    return status;
}
