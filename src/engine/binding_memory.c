/* binding_memory.c - where the tensors of a binding lie, from when to when each is used. */
#include "base/mem.h"
#include "engine/binding_maker.h"

static bool in_arena(const struct dyno_plan_tensor *tensor)
{
    return tensor->role == DYNO_ROLE_TEMP && tensor->base == DYNO_NO_TENSOR;
}

static void touch(struct dyno_mem_item *item, uint32_t step_idx, bool *seen)
{
    if (!*seen || step_idx < item->first_step_idx)
        item->first_step_idx = step_idx;
    if (!*seen || step_idx > item->last_step_idx)
        item->last_step_idx = step_idx;
    *seen = true;
}

/* Lifetimes: from the first step that writes a tensor or a view of it to the last that reads one.
 */
static void find_lifetimes(const struct dyno_plan *plan, uint32_t step_count,
                           struct dyno_mem_item *items, bool *seen)
{
    for (uint32_t s = 0; s < step_count; s++) {
        const struct dyno_step *step = &plan->steps[s];
        for (uint32_t i = 0; i < step->in_count; i++) {
            if (step->ins[i] != DYNO_NO_TENSOR) {
                const uint32_t root = dyno_plan_root(plan, step->ins[i]);
                touch(&items[root], s, &seen[root]);
            }
        }
        for (uint32_t i = 0; i < step->out_count; i++) {
            if (step->outs[i] != DYNO_NO_TENSOR) {
                const uint32_t root = dyno_plan_root(plan, step->outs[i]);
                touch(&items[root], s, &seen[root]);
            }
        }
    }
    /* What the open-shaped rest reads lives to the end. */
    for (uint32_t s = step_count; s < plan->step_count; s++) {
        for (uint32_t i = 0; i < plan->steps[s].in_count; i++) {
            if (plan->steps[s].ins[i] != DYNO_NO_TENSOR) {
                const uint32_t root = dyno_plan_root(plan, plan->steps[s].ins[i]);
                touch(&items[root], plan->step_count, &seen[root]);
            }
        }
    }
}

/* Its memory on this side: of what the side touches; on the GPU of inputs and outputs, too. */
static uint64_t bytes_on(const struct dyno_binding_maker *maker, uint32_t id, enum dyno_place place)
{
    const struct dyno_plan_tensor *tensor = &maker->plan->tensors[id];
    const struct dyno_buf *buf = &maker->binding->bufs[id];
    const struct dyno_schedule *schedule = &maker->engine->schedule;
    uint64_t bytes = 0;
    const bool there = place == DYNO_ON_GPU
                           ? schedule->on_gpu[id] && tensor->role != DYNO_ROLE_WEIGHT &&
                                 tensor->role != DYNO_ROLE_HOST && tensor->base == DYNO_NO_TENSOR
                           : schedule->on_cpu[id] && in_arena(tensor);
    if (there && buf->rank >= 0)
        (void)dyno_layout_bytes(buf->layout, buf->dtype, buf->rank, buf->dims, &bytes);
    return bytes;
}

/* The arena on the GPU.  items: lifetimes, as found; workspaces come last. */
static enum dyno_status plan_gpu_memory(struct dyno_binding_maker *maker,
                                        struct dyno_mem_item *items, const uint64_t *workspaces)
{
    const struct dyno_plan *plan = maker->plan;
    struct dyno_binding *binding = maker->binding;
    const uint32_t step_count = binding->fixed_step_count;
    uint64_t sum = 0;
    const size_t segments = maker->engine->schedule.segment_count;
    binding->gpu_offsets =
        dyno_arena_alloc(binding->memory, plan->tensor_count + 1U, sizeof(uint64_t));
    binding->graphs = dyno_arena_alloc(binding->memory, segments + 1, sizeof(void *));
    binding->has_run = dyno_arena_alloc(binding->memory, segments + 1, sizeof(bool));
    if (binding->gpu_offsets == NULL || binding->graphs == NULL || binding->has_run == NULL)
        return DYNO_NOMEM(maker->err);
    for (uint32_t i = 0; i < plan->tensor_count; i++) {
        items[i].bytes = bytes_on(maker, i, DYNO_ON_GPU);
        /* An input comes with the first segment that reads anything, an output leaves at the end.
         */
        if (plan->tensors[i].role == DYNO_ROLE_INPUT)
            items[i].first_step_idx = 0;
        if (plan->tensors[i].role == DYNO_ROLE_OUTPUT)
            items[i].last_step_idx = plan->step_count;
        binding->tensor_bytes += items[i].bytes;
    }
    for (uint32_t s = 0; s < step_count; s++) {
        const bool here = maker->engine->kernels[s]->place == DYNO_ON_GPU;
        items[plan->tensor_count + s] = (struct dyno_mem_item){
            .bytes = here ? workspaces[s] : 0, .first_step_idx = s, .last_step_idx = s};
    }
    DYNO_TRY(dyno_mem_plan(items, plan->tensor_count + step_count, &binding->gpu_bytes, &sum,
                           maker->err));
    DYNO_TRY(dyno_binding_plan_branches(maker, items));
    for (uint32_t i = 0; i < plan->tensor_count; i++)
        binding->gpu_offsets[i] = items[i].offset_out;
    for (uint32_t s = 0; s < step_count; s++) {
        if (maker->engine->kernels[s]->place == DYNO_ON_GPU)
            binding->steps[s].workspace_offset = items[plan->tensor_count + s].offset_out;
    }
    return DYNO_OK;
}

enum dyno_status dyno_binding_plan_memory(struct dyno_binding_maker *maker,
                                          const uint64_t *workspaces)
{
    const struct dyno_plan *plan = maker->plan;
    struct dyno_binding *binding = maker->binding;
    const uint32_t step_count = binding->fixed_step_count;
    enum dyno_status status = DYNO_OK;
    const uint32_t item_count = plan->tensor_count + step_count;
    struct dyno_mem_item *items = dyno_alloc(item_count + 1U, sizeof(*items));
    bool *seen = dyno_alloc(plan->tensor_count + 1U, sizeof(*seen));
    uint64_t sum = 0;
    if (items == NULL || seen == NULL) {
        status = DYNO_NOMEM(maker->err);
        goto out;
    }
    find_lifetimes(plan, step_count, items, seen);
    for (uint32_t i = 0; i < plan->tensor_count; i++) {
        if (seen[i])
            items[i].bytes = bytes_on(maker, i, DYNO_ON_CPU);
        binding->tensor_bytes += items[i].bytes;
    }
    for (uint32_t s = 0; s < step_count; s++) {
        const bool here = maker->engine->kernels[s]->place == DYNO_ON_CPU;
        items[plan->tensor_count + s] = (struct dyno_mem_item){
            .bytes = here ? workspaces[s] : 0, .first_step_idx = s, .last_step_idx = s};
    }
    status = dyno_mem_plan(items, item_count, &binding->arena_bytes, &sum, maker->err);
    if (status != DYNO_OK)
        goto out;
    for (uint32_t i = 0; i < plan->tensor_count; i++) {
        if (in_arena(&plan->tensors[i]))
            binding->offsets[i] = items[i].offset_out;
    }
    for (uint32_t s = 0; s < step_count; s++)
        binding->steps[s].workspace_offset = items[plan->tensor_count + s].offset_out;
    if (maker->engine->gpu != NULL)
        status = plan_gpu_memory(maker, items, workspaces);
out:
    dyno_free(seen);
    dyno_free(items);
    return status;
}
