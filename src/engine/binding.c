/* binding.c - shapes, places and prepared kernels for one set of input shapes. */
#include "engine/binding_maker.h"

#include <string.h>

#include "base/mem.h"
#include "engine/gpu.h"

static enum dyno_status eval_shapes(struct dyno_binding_maker *maker)
{
    const struct dyno_plan *plan = maker->plan;
    struct dyno_arena *memory = maker->binding->memory;
    const int64_t *dims[64];
    int ranks[64];
    const int64_t *at = maker->binding->key;
    if (plan->input_count > DYNO_COUNT(dims))
        return DYNO_FAIL(maker->err, DYNO_E_LIMIT, "%u inputs, at most %zu", plan->input_count,
                         DYNO_COUNT(dims));
    for (uint32_t i = 0; i < plan->input_count; i++) {
        dims[i] = at;
        ranks[i] = plan->tensors[plan->inputs[i].tensor].rank;
        at += ranks[i];
    }
    const size_t symbol_count = dyno_exprs_symbol_count(plan->exprs);
    int64_t *symbols = dyno_arena_alloc(memory, symbol_count + 1, sizeof(*symbols));
    maker->values = dyno_arena_alloc(memory, dyno_exprs_count(plan->exprs) + 1, sizeof(int64_t));
    maker->is_open = dyno_arena_alloc(memory, dyno_exprs_count(plan->exprs) + 1, sizeof(bool));
    if (symbols == NULL || maker->values == NULL || maker->is_open == NULL)
        return DYNO_NOMEM(maker->err);
    DYNO_TRY(dyno_engine_solve(plan, dims, ranks, symbols, maker->err));
    dyno_exprs_eval(plan->exprs, symbols, maker->values);
    dyno_plan_open_exprs(plan, maker->is_open);
    return DYNO_OK;
}

/* Contents of a HOST tensor from the values of its expressions. */
static enum dyno_status fill_host(struct dyno_binding_maker *maker,
                                  const struct dyno_plan_tensor *tensor, struct dyno_buf *buf)
{
    size_t bytes = 0;
    if (!dyno_dtype_bytes(tensor->dtype, tensor->elem_count, &bytes))
        return DYNO_FAIL(maker->err, DYNO_E_LIMIT, "tensor '%s' is too large", tensor->name);
    buf->data = dyno_arena_alloc(maker->binding->memory, bytes + 8, 1);
    if (buf->data == NULL)
        return DYNO_NOMEM(maker->err);
    for (uint32_t i = 0; i < tensor->elem_count; i++) {
        const int64_t value = maker->values[tensor->elems[i]];
        if (!dyno_expr_value_ok(value))
            return DYNO_FAIL(maker->err, DYNO_E_LIMIT,
                             "tensor '%s': element %u cannot be computed for these shapes",
                             tensor->name, i);
        dyno_elem_store_i64(tensor->dtype, buf->data, i, value);
    }
    return DYNO_OK;
}

static enum dyno_status shape_tensor(struct dyno_binding_maker *maker, uint32_t id)
{
    const struct dyno_plan_tensor *tensor = &maker->plan->tensors[id];
    struct dyno_buf *buf = &maker->binding->bufs[id];
    uint64_t bytes = 0;
    buf->dtype = tensor->dtype;
    buf->layout = tensor->layout;
    buf->rank = tensor->rank;
    for (int i = 0; i < tensor->rank; i++) {
        const int64_t value = maker->values[tensor->dims[i]];
        if (!dyno_expr_value_ok(value)) {
            buf->rank = -1; /* a size that only the run tells */
            break;
        }
        if (value < 0)
            return DYNO_FAIL(maker->err, DYNO_E_ARG,
                             "tensor '%s': dimension %d is %lld for these input shapes",
                             tensor->name, i, (long long)value);
        buf->dims[i] = value;
        buf->open[i] = maker->is_open[tensor->dims[i]] ? tensor->dims[i] + 1 : 0;
    }
    maker->binding->is_open[id] = buf->rank < 0;
    if (buf->rank < 0)
        return DYNO_OK;
    if (!dyno_layout_bytes(buf->layout, buf->dtype, buf->rank, buf->dims, &bytes) ||
        bytes > INT64_MAX / 4)
        return DYNO_FAIL(maker->err, DYNO_E_LIMIT, "tensor '%s': its size overflows 64 bits",
                         tensor->name);
    const int64_t elems =
        (int64_t)(bytes * 8 / dyno_dtype_bits(dyno_layout_elem(buf->layout, buf->dtype)));
    buf->batch_stride = buf->rank > 0 && buf->dims[0] > 0 ? elems / buf->dims[0] : elems;
    if (buf->layout.kind == DYNO_LAYOUT_LAST)
        buf->ld = dyno_layout_stored(buf->layout, buf->dims[1]);
    if (tensor->role == DYNO_ROLE_WEIGHT)
        memcpy(&buf->data, &tensor->data, sizeof(buf->data)); /* const: kernels only read inputs */
    if (tensor->role == DYNO_ROLE_WEIGHT && bytes == 0)
        buf->data = &maker->binding->nothing; /* a file holds no block without bytes */
    return tensor->role == DYNO_ROLE_HOST ? fill_host(maker, tensor, buf) : DYNO_OK;
}

static int64_t inner_count(const struct dyno_buf *buf, int from)
{
    int64_t count = 1;
    for (int i = from; i < buf->rank; i++)
        count *= buf->dims[i];
    return count;
}

/* A range of channels: all of the batch and of the positions of its base.  In LAST what lies behind
 * the last channel is zero, so there is nothing, or the padding of the base. */
static bool is_range(const struct dyno_buf *buf, const struct dyno_buf *base, int64_t offset)
{
    const int64_t block = buf->layout.block;
    const int64_t channels = buf->dims[1];
    const bool ends = channels % block == 0 || channels == base->dims[1] - offset;
    return offset % block == 0 && offset < INT64_MAX / 2 &&
           offset / block + (channels + block - 1) / block <= (base->dims[1] + block - 1) / block &&
           (buf->layout.kind != DYNO_LAYOUT_LAST || ends) && buf->dims[0] == base->dims[0] &&
           inner_count(buf, 2) == inner_count(base, 2);
}

/* All that is there of a tensor are its elements. */
static bool has_no_padding(const struct dyno_buf *buf)
{
    return buf->layout.kind == DYNO_LAYOUT_ROW || buf->dims[1] % buf->layout.block == 0;
}

/* Byte offset of a view inside its base; the plan's promise is checked for these shapes. */
static enum dyno_status place_view(struct dyno_binding_maker *maker, uint32_t id)
{
    const struct dyno_plan_tensor *tensor = &maker->plan->tensors[id];
    struct dyno_buf *buf = &maker->binding->bufs[id];
    const struct dyno_buf *base = &maker->binding->bufs[tensor->base];
    const int64_t offset = maker->values[tensor->view_offset];
    uint64_t bytes = 0;
    uint64_t base_bytes = 0;
    bool ok = buf->rank >= 0 && base->rank >= 0 && dyno_expr_value_ok(offset) && offset >= 0 &&
              dyno_layout_bytes(base->layout, base->dtype, base->rank, base->dims, &base_bytes) &&
              dyno_layout_bytes(buf->layout, buf->dtype, buf->rank, buf->dims, &bytes);
    const bool turned = buf->layout.kind != base->layout.kind;
    if (ok && (turned || buf->layout.kind == DYNO_LAYOUT_ROW)) {
        const unsigned elem_bytes =
            (dyno_dtype_bits(dyno_layout_elem(buf->layout, buf->dtype)) + 7) / 8;
        ok = (uint64_t)offset <= base_bytes && bytes <= base_bytes - (uint64_t)offset &&
             offset % elem_bytes == 0 &&
             (maker->plan->gpu.compute == 0 || offset % DYNO_GPU_VIEW_BYTES == 0) &&
             (!turned || (has_no_padding(buf) && has_no_padding(base)));
        maker->binding->offsets[id] = (uint64_t)offset;
    } else if (ok) {
        const bool last = buf->layout.kind == DYNO_LAYOUT_LAST;
        const int64_t step = last ? 1 : inner_count(base, 2);
        const unsigned bits = dyno_dtype_bits(dyno_layout_elem(buf->layout, buf->dtype));
        ok = is_range(buf, base, offset);
        buf->batch_stride = base->batch_stride;
        buf->ld = base->ld;
        maker->binding->offsets[id] = ok ? (uint64_t)(offset * step) * bits / 8 : 0;
        if (ok && last && buf->ld > INT32_MAX / 16) /* as kernels check dims[1] */
            return DYNO_FAIL(maker->err, DYNO_E_LIMIT, "tensor '%s': one of %lld channels",
                             maker->plan->tensors[tensor->base].name, (long long)base->dims[1]);
    }
    if (!ok)
        return DYNO_FAIL(maker->err, DYNO_E_FORMAT,
                         "tensor '%s' does not fit into '%s', which it is a view of", tensor->name,
                         maker->plan->tensors[tensor->base].name);
    return DYNO_OK;
}

/* --- steps --- */

static bool step_is_fixed(const struct dyno_binding_maker *maker, const struct dyno_step *step)
{
    for (uint32_t i = 0; i < step->in_count; i++) {
        if (step->ins[i] != DYNO_NO_TENSOR && maker->binding->bufs[step->ins[i]].rank < 0)
            return false;
    }
    for (uint32_t i = 0; i < step->out_count; i++) {
        if (step->outs[i] != DYNO_NO_TENSOR && maker->binding->bufs[step->outs[i]].rank < 0)
            return false;
    }
    return true;
}

/* The op's own rule on these shapes must give the shapes the plan promises: kernels rely on it. */
static enum dyno_status check_shapes(struct dyno_binding_maker *maker, const struct dyno_step *step,
                                     const struct dyno_bound_step *bound)
{
    struct dyno_arena *memory = maker->binding->memory;
    struct dyno_tensor *ins = dyno_arena_alloc(memory, step->own_in_count + 1U, sizeof(*ins));
    const struct dyno_tensor **in_ptrs =
        dyno_arena_alloc(memory, step->own_in_count + 1U, sizeof(*in_ptrs));
    struct dyno_tensor *outs = dyno_arena_alloc(memory, step->out_count + 1U, sizeof(*outs));
    if (ins == NULL || in_ptrs == NULL || outs == NULL)
        return DYNO_NOMEM(maker->err);
    for (uint32_t i = 0; i < step->own_in_count; i++) {
        const struct dyno_buf *buf = &bound->ins[i];
        in_ptrs[i] = buf->rank < 0 ? NULL : &ins[i];
        ins[i].dtype = buf->dtype;
        ins[i].rank = buf->rank;
        ins[i].data = buf->data;
        memcpy(ins[i].dims, buf->dims, sizeof(ins[i].dims));
    }
    DYNO_TRY(dyno_op_infer_concrete(dyno_ops[step->op], step->attrs, in_ptrs, step->own_in_count,
                                    outs, step->out_count, maker->err));
    for (uint32_t i = 0; i < step->out_count; i++) {
        const struct dyno_buf *buf = &bound->outs[i];
        if (step->outs[i] == DYNO_NO_TENSOR)
            continue;
        const bool is_open = outs[i].rank < 0; /* the rule wants the data: type alone */
        bool same = (is_open || outs[i].rank == buf->rank) &&
                    (outs[i].dtype == buf->dtype || outs[i].dtype == DYNO_DTYPE_NONE);
        for (int d = 0; same && !is_open && d < buf->rank; d++)
            same = outs[i].dims[d] == buf->dims[d];
        if (!same)
            return DYNO_FAIL(
                maker->err, DYNO_E_FORMAT, "output %u ('%s') has another shape than %s gives it", i,
                maker->plan->tensors[step->outs[i]].name, dyno_ops[step->op]->onnx_name);
    }
    return DYNO_OK;
}

/* Where a tensor lies in the memory of its root: [first, last) in bytes, or in channel blocks; all
 * of it where they are told apart. */
static void extent_of(const struct dyno_binding_maker *maker, uint32_t id, uint64_t *first_out,
                      uint64_t *last_out)
{
    const struct dyno_plan_tensor *tensor = &maker->plan->tensors[id];
    const struct dyno_buf *buf = &maker->binding->bufs[id];
    *first_out = 0;
    *last_out = UINT64_MAX;
    if (tensor->base != DYNO_NO_TENSOR &&
        maker->binding->bufs[tensor->base].layout.kind != buf->layout.kind)
        return;
    if (tensor->base != DYNO_NO_TENSOR)
        *first_out = (uint64_t)maker->values[tensor->view_offset];
    if (buf->layout.kind == DYNO_LAYOUT_ROW) {
        (void)dyno_layout_bytes(buf->layout, buf->dtype, buf->rank, buf->dims, last_out);
    } else {
        const int64_t block = buf->layout.block;
        *first_out /= (uint64_t)block;
        *last_out = (uint64_t)((buf->dims[1] + block - 1) / block);
    }
    *last_out += *first_out;
}

static bool overlap(const struct dyno_binding_maker *maker, uint32_t a, uint32_t b)
{
    uint64_t a_first, a_last, b_first, b_last;
    if (a == DYNO_NO_TENSOR || b == DYNO_NO_TENSOR ||
        dyno_plan_root(maker->plan, a) != dyno_plan_root(maker->plan, b))
        return false;
    extent_of(maker, a, &a_first, &a_last);
    extent_of(maker, b, &b_first, &b_last);
    return a_first < b_last && b_first < a_last;
}

/* Kernels take it that what they write is nothing that they read, or write elsewhere. */
static enum dyno_status check_overlaps(const struct dyno_binding_maker *maker,
                                       const struct dyno_step *step)
{
    for (uint32_t o = 0; o < step->out_count; o++) {
        for (uint32_t i = 0; i < step->in_count; i++) {
            if (overlap(maker, step->outs[o], step->ins[i]))
                return DYNO_FAIL(maker->err, DYNO_E_FORMAT, "output %u lies on input %u", o, i);
        }
        for (uint32_t k = 0; k < o; k++) {
            if (overlap(maker, step->outs[o], step->outs[k]))
                return DYNO_FAIL(maker->err, DYNO_E_FORMAT, "output %u lies on output %u", o, k);
        }
    }
    return DYNO_OK;
}

static enum dyno_status prepare_step(struct dyno_binding_maker *maker, uint32_t idx,
                                     uint64_t *workspace_out)
{
    const struct dyno_step *step = &maker->plan->steps[idx];
    struct dyno_bound_step *bound = &maker->binding->steps[idx];
    const struct dyno_kernel *kernel = maker->engine->kernels[idx];
    struct dyno_arena *memory = maker->binding->memory;
    bool *is_weight = dyno_arena_alloc(memory, step->in_count + 1U, sizeof(*is_weight));
    bound->ins = dyno_arena_alloc(memory, step->in_count + 1U, sizeof(*bound->ins));
    bound->outs = dyno_arena_alloc(memory, step->out_count + 1U, sizeof(*bound->outs));
    bound->state = dyno_arena_alloc(memory, kernel->state_bytes + 64, 1);
    if (is_weight == NULL || bound->ins == NULL || bound->outs == NULL || bound->state == NULL)
        return DYNO_NOMEM(maker->err);
    for (uint32_t i = 0; i < step->in_count; i++) {
        if (step->ins[i] == DYNO_NO_TENSOR) {
            bound->ins[i].rank = -1;
            continue;
        }
        bound->ins[i] = maker->binding->bufs[step->ins[i]];
        is_weight[i] = maker->plan->tensors[step->ins[i]].role == DYNO_ROLE_WEIGHT;
        const bool is_packed =
            step->packed != NULL && i < 32 && (kernel->packed_ins >> i & 1U) != 0;
        if (is_weight[i] && bound->ins[i].data == NULL && !is_packed)
            return DYNO_FAIL(maker->err, DYNO_E_FORMAT,
                             "step '%s': kernel %s reads input %u, whose data is not in the engine",
                             step->name, kernel->name, i);
    }
    for (uint32_t i = 0; i < step->out_count; i++) {
        if (step->outs[i] == DYNO_NO_TENSOR)
            bound->outs[i].rank = -1;
        else
            bound->outs[i] = maker->binding->bufs[step->outs[i]];
    }
    const struct dyno_site site = {.step = step,
                                   .ins = bound->ins,
                                   .outs = bound->outs,
                                   .in_is_weight = is_weight,
                                   .target = &maker->target};
    enum dyno_status status = check_overlaps(maker, step);
    if (status == DYNO_OK)
        status = check_shapes(maker, step, bound);
    if (status == DYNO_OK)
        status = dyno_kernel_check(kernel, &site, maker->err);
    if (status == DYNO_OK && kernel->place == DYNO_ON_GPU)
        status = dyno_gpu_check_program(maker->engine, kernel, &site, maker->err);
    if (status == DYNO_OK)
        status = kernel->prepare(&site, &step->tactic, step->packed, bound->state, workspace_out,
                                 maker->err);
    bound->is_prepared = status == DYNO_OK;
    if (status != DYNO_OK)
        dyno_err_prefix(maker->err, "step '%s' (%s)", step->name, dyno_ops[step->op]->onnx_name);
    return status;
}

/* Steps whose shapes only the run tells are done by reference, on what lies densely. */
static enum dyno_status check_open_step(const struct dyno_binding_maker *maker, uint32_t idx)
{
    const struct dyno_step *step = &maker->plan->steps[idx];
    if (maker->engine->kernels[idx]->place == DYNO_ON_GPU)
        return DYNO_FAIL(maker->err, DYNO_E_FORMAT,
                         "step '%s' is on the GPU, and its shapes are not known before the run",
                         step->name);
    for (uint32_t i = 0; i < step->in_count + step->out_count; i++) {
        const bool is_in = i < step->in_count;
        const uint32_t id = is_in ? step->ins[i] : step->outs[i - step->in_count];
        if (id == DYNO_NO_TENSOR)
            continue;
        const struct dyno_plan_tensor *tensor = &maker->plan->tensors[id];
        const bool is_weight = tensor->role == DYNO_ROLE_WEIGHT;
        if (tensor->layout.kind != DYNO_LAYOUT_ROW ||
            (is_weight && maker->binding->bufs[id].data == NULL))
            return DYNO_FAIL(maker->err, DYNO_E_FORMAT,
                             "step '%s' runs by reference, and '%s' is not there row by row",
                             step->name, tensor->name);
    }
    return DYNO_OK;
}

/* --- addresses --- */

static bool is_io(const struct dyno_plan *plan, uint32_t id)
{
    const enum dyno_role role = plan->tensors[dyno_plan_root(plan, id)].role;
    return role == DYNO_ROLE_INPUT || role == DYNO_ROLE_OUTPUT;
}

static void add_patch(struct dyno_binding *binding, const struct dyno_plan *plan, uint32_t id,
                      enum dyno_place place, struct dyno_buf *buf)
{
    if (place == DYNO_ON_GPU) {
        binding->gpu_patches[binding->gpu_patch_count++] = (struct dyno_patch){buf, id};
        return;
    }
    const enum dyno_role role = plan->tensors[dyno_plan_root(plan, id)].role;
    if (role == DYNO_ROLE_WEIGHT || role == DYNO_ROLE_HOST)
        return;
    if (is_io(plan, id))
        binding->io_patches[binding->io_patch_count++] = (struct dyno_patch){buf, id};
    else
        binding->arena_patches[binding->arena_patch_count++] = (struct dyno_patch){buf, id};
}

static enum dyno_status list_patches(struct dyno_binding_maker *maker)
{
    const struct dyno_plan *plan = maker->plan;
    struct dyno_binding *binding = maker->binding;
    size_t count = plan->tensor_count;
    for (uint32_t s = 0; s < binding->fixed_step_count; s++)
        count += plan->steps[s].in_count + plan->steps[s].out_count;
    binding->io_patches = dyno_arena_alloc(binding->memory, count + 1, sizeof(struct dyno_patch));
    binding->arena_patches =
        dyno_arena_alloc(binding->memory, count + 1, sizeof(struct dyno_patch));
    if (maker->engine->gpu != NULL)
        binding->gpu_patches =
            dyno_arena_alloc(binding->memory, count + 1, sizeof(struct dyno_patch));
    if (binding->io_patches == NULL || binding->arena_patches == NULL ||
        (maker->engine->gpu != NULL && binding->gpu_patches == NULL))
        return DYNO_NOMEM(maker->err);
    for (uint32_t i = 0; i < plan->tensor_count; i++)
        add_patch(binding, plan, i, DYNO_ON_CPU, &binding->bufs[i]);
    for (uint32_t s = 0; s < binding->fixed_step_count; s++) {
        const struct dyno_step *step = &plan->steps[s];
        const enum dyno_place place = maker->engine->kernels[s]->place;
        for (uint32_t i = 0; i < step->in_count; i++) {
            if (step->ins[i] != DYNO_NO_TENSOR)
                add_patch(binding, plan, step->ins[i], place, &binding->steps[s].ins[i]);
        }
        for (uint32_t i = 0; i < step->out_count; i++) {
            if (step->outs[i] != DYNO_NO_TENSOR)
                add_patch(binding, plan, step->outs[i], place, &binding->steps[s].outs[i]);
        }
    }
    return DYNO_OK;
}

void dyno_binding_place(struct dyno_binding *binding, const struct dyno_plan *plan, void *arena)
{
    for (uint32_t i = 0; i < binding->arena_patch_count; i++) {
        const struct dyno_patch *patch = &binding->arena_patches[i];
        uint64_t offset = binding->offsets[patch->tensor];
        if (plan->tensors[patch->tensor].base != DYNO_NO_TENSOR)
            offset += binding->offsets[plan->tensors[patch->tensor].base];
        patch->buf->data = (char *)arena + offset;
    }
}

void dyno_binding_place_io(struct dyno_binding *binding, const struct dyno_plan *plan,
                           void *const *address)
{
    for (uint32_t i = 0; i < binding->io_patch_count; i++) {
        const struct dyno_patch *patch = &binding->io_patches[i];
        const uint32_t root = dyno_plan_root(plan, patch->tensor);
        const uint64_t offset = root != patch->tensor ? binding->offsets[patch->tensor] : 0;
        /* None yet: an output whose shape the run tells. */
        patch->buf->data = address[root] != NULL ? (char *)address[root] + offset : NULL;
    }
}

void dyno_binding_describe(const struct dyno_binding *binding, uint32_t id,
                           struct dyno_array *array)
{
    const struct dyno_buf *buf = &binding->bufs[id];
    uint64_t bytes = 0;
    array->dtype = (int)buf->dtype;
    array->rank = buf->rank;
    if (buf->rank >= 0) {
        memcpy(array->dims, buf->dims, sizeof(array->dims));
        (void)dyno_layout_bytes(buf->layout, buf->dtype, buf->rank, buf->dims, &bytes);
    }
    array->bytes = bytes;
}

/* --- the whole --- */

static enum dyno_status fill(struct dyno_binding_maker *maker)
{
    const struct dyno_plan *plan = maker->plan;
    struct dyno_binding *binding = maker->binding;
    struct dyno_arena *memory = binding->memory;
    DYNO_TRY(eval_shapes(maker));
    binding->bufs = dyno_arena_alloc(memory, plan->tensor_count + 1U, sizeof(*binding->bufs));
    binding->offsets = dyno_arena_alloc(memory, plan->tensor_count + 1U, sizeof(uint64_t));
    binding->is_open = dyno_arena_alloc(memory, plan->tensor_count + 1U, sizeof(bool));
    binding->steps = dyno_arena_alloc(memory, plan->step_count + 1U, sizeof(*binding->steps));
    uint64_t *workspaces = dyno_arena_alloc(memory, plan->step_count + 1U, sizeof(*workspaces));
    if (binding->bufs == NULL || binding->offsets == NULL || binding->is_open == NULL ||
        binding->steps == NULL || workspaces == NULL)
        return DYNO_NOMEM(maker->err);
    for (uint32_t i = 0; i < plan->tensor_count; i++)
        DYNO_TRY(shape_tensor(maker, i));
    uint32_t fixed = 0;
    while (fixed < plan->step_count && step_is_fixed(maker, &plan->steps[fixed]))
        fixed++;
    binding->fixed_step_count = fixed;
    for (uint32_t i = 0; i < plan->tensor_count; i++) {
        if (plan->tensors[i].base != DYNO_NO_TENSOR && binding->bufs[i].rank >= 0)
            DYNO_TRY(place_view(maker, i));
    }
    for (uint32_t s = 0; s < fixed; s++)
        DYNO_TRY(prepare_step(maker, s, &workspaces[s]));
    for (uint32_t s = fixed; s < plan->step_count; s++)
        DYNO_TRY(check_open_step(maker, s));
    DYNO_TRY(dyno_binding_plan_memory(maker, workspaces));
    return list_patches(maker);
}

static void release_steps(struct dyno_binding *binding)
{
    for (uint32_t s = 0; binding->steps != NULL && s < binding->fixed_step_count; s++) {
        const struct dyno_kernel *kernel = binding->engine->kernels[s];
        if (kernel->release != NULL && binding->steps[s].is_prepared)
            kernel->release(binding->steps[s].state);
    }
}

enum dyno_status dyno_binding_create(const struct dyno_engine *engine,
                                     const struct dyno_context_gpu *gpu, int thread_count,
                                     const int64_t *key, size_t key_count,
                                     struct dyno_binding **binding_out, struct dyno_err *err)
{
    enum dyno_status status = DYNO_OK;
    struct dyno_binding *binding = NULL;
    struct dyno_arena *memory = dyno_arena_create();
    *binding_out = NULL;
    if (memory == NULL)
        return DYNO_NOMEM(err);
    binding = dyno_arena_alloc(memory, 1, sizeof(*binding));
    if (binding != NULL)
        binding->key = dyno_arena_memdup(memory, key, key_count * sizeof(*key));
    if (binding == NULL || binding->key == NULL) {
        status = DYNO_NOMEM(err);
        goto out;
    }
    binding->engine = engine;
    binding->memory = memory;
    binding->key_count = key_count;
    struct dyno_binding_maker maker = {.engine = engine,
                                       .plan = engine->plan,
                                       .binding = binding,
                                       .target = engine->here,
                                       .err = err};
    maker.target.thread_count = thread_count;
    maker.target.libraries = gpu != NULL ? gpu->libraries : NULL;
    status = fill(&maker);
    if (status != DYNO_OK) {
        release_steps(binding);
        goto out;
    }
    *binding_out = binding;
    memory = NULL;
out:
    dyno_arena_destroy(memory);
    return status;
}

void dyno_binding_destroy(struct dyno_binding *binding)
{
    if (binding == NULL)
        return;
    dyno_gpu_binding_fini(binding);
    release_steps(binding);
    dyno_arena_destroy(binding->memory); /* the binding lives there */
}
