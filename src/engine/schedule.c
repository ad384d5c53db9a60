/* schedule.c - segments and moves. */
#include "engine/schedule.h"

#include "base/mem.h"

struct maker {
    const struct dyno_plan *plan;
    struct dyno_schedule *schedule;
    /* By tensor: written by one side and not yet on the other.  The lists go through `next`, one
     * for each root and side that wrote. */
    uint32_t *first[2];
    uint32_t *next;
    struct dyno_segment *segment; /* that is being made */
    uint32_t move_capacity;
    struct dyno_err *err;
};

static bool moves(const struct dyno_plan *plan, uint32_t id)
{
    const enum dyno_role role = plan->tensors[dyno_plan_root(plan, id)].role;
    return role != DYNO_ROLE_WEIGHT && role != DYNO_ROLE_HOST;
}

static enum dyno_status add_move(struct maker *maker, uint32_t id)
{
    struct dyno_segment *segment = maker->segment;
    if (segment->move_count == maker->move_capacity) {
        const uint32_t capacity = maker->move_capacity * 2 + 8;
        uint32_t *grown = dyno_arena_alloc(maker->plan->arena, capacity, sizeof(*grown));
        if (grown == NULL)
            return DYNO_NOMEM(maker->err);
        for (uint32_t i = 0; i < segment->move_count; i++)
            grown[i] = segment->moves[i];
        segment->moves = grown;
        maker->move_capacity = capacity;
    }
    segment->moves[segment->move_count++] = id;
    return DYNO_OK;
}

/* Whatever the other side wrote of this tensor's memory comes over. */
static enum dyno_status read(struct maker *maker, enum dyno_place place, uint32_t id)
{
    const uint32_t root = dyno_plan_root(maker->plan, id);
    uint32_t *first = &maker->first[place == DYNO_ON_CPU ? DYNO_ON_GPU : DYNO_ON_CPU][root];
    if (!moves(maker->plan, id))
        return DYNO_OK;
    while (*first != DYNO_NO_TENSOR) {
        DYNO_TRY(add_move(maker, *first));
        *first = maker->next[*first];
    }
    return DYNO_OK;
}

static void write(struct maker *maker, enum dyno_place place, uint32_t id)
{
    uint32_t *first = &maker->first[place][dyno_plan_root(maker->plan, id)];
    maker->next[id] = *first;
    *first = id;
}

static void touch(struct maker *maker, enum dyno_place place, uint32_t id)
{
    bool *on = place == DYNO_ON_CPU ? maker->schedule->on_cpu : maker->schedule->on_gpu;
    on[dyno_plan_root(maker->plan, id)] = true;
}

static void touch_in_step(struct maker *maker, enum dyno_place place, uint32_t id, uint32_t idx)
{
    uint32_t *first = &maker->schedule->cpu_step[dyno_plan_root(maker->plan, id)];
    touch(maker, place, id);
    if (place == DYNO_ON_CPU && *first == UINT32_MAX)
        *first = idx;
}

static void begin_segment(struct maker *maker, enum dyno_place place, uint32_t first_step)
{
    maker->segment = &maker->schedule->segments[maker->schedule->segment_count++];
    *maker->segment = (struct dyno_segment){.place = place, .first_step = first_step};
    maker->move_capacity = 0;
}

static enum dyno_status add_step(struct maker *maker, uint32_t idx, enum dyno_place place)
{
    const struct dyno_step *step = &maker->plan->steps[idx];
    if (maker->segment == NULL || maker->segment->place != place)
        begin_segment(maker, place, idx);
    maker->segment->step_count++;
    for (uint32_t i = 0; i < step->in_count; i++) {
        if (step->ins[i] == DYNO_NO_TENSOR)
            continue;
        touch_in_step(maker, place, step->ins[i], idx);
        DYNO_TRY(read(maker, place, step->ins[i]));
    }
    for (uint32_t i = 0; i < step->out_count; i++) {
        if (step->outs[i] == DYNO_NO_TENSOR)
            continue;
        touch_in_step(maker, place, step->outs[i], idx);
        write(maker, place, step->outs[i]);
    }
    return DYNO_OK;
}

static enum dyno_status fill(struct maker *maker, const struct dyno_kernel *const *kernels)
{
    const struct dyno_plan *plan = maker->plan;
    for (uint32_t i = 0; i < plan->tensor_count; i++)
        maker->first[0][i] = maker->first[1][i] = maker->next[i] = DYNO_NO_TENSOR;
    for (uint32_t i = 0; i < plan->tensor_count; i++)
        maker->schedule->cpu_step[i] = UINT32_MAX;
    for (uint32_t i = 0; i < plan->input_count; i++)
        write(maker, DYNO_ON_CPU, plan->inputs[i].tensor);
    for (uint32_t s = 0; s < plan->step_count; s++)
        DYNO_TRY(add_step(maker, s, kernels[s]->place));
    begin_segment(maker, DYNO_ON_CPU, plan->step_count);
    for (uint32_t i = 0; i < plan->output_count; i++) {
        touch(maker, DYNO_ON_CPU, plan->outputs[i].tensor);
        DYNO_TRY(read(maker, DYNO_ON_CPU, plan->outputs[i].tensor));
    }
    return DYNO_OK;
}

enum dyno_status dyno_schedule_make(const struct dyno_plan *plan,
                                    const struct dyno_kernel *const *kernels,
                                    struct dyno_schedule *schedule_out, struct dyno_err *err)
{
    enum dyno_status status = DYNO_OK;
    struct maker maker = {.plan = plan, .schedule = schedule_out, .err = err};
    *schedule_out = (struct dyno_schedule){0};
    uint32_t *lists = dyno_alloc(3 * ((size_t)plan->tensor_count + 1), sizeof(*lists));
    schedule_out->segments =
        dyno_arena_alloc(plan->arena, plan->step_count + 2U, sizeof(struct dyno_segment));
    schedule_out->on_cpu = dyno_arena_alloc(plan->arena, plan->tensor_count + 1U, sizeof(bool));
    schedule_out->on_gpu = dyno_arena_alloc(plan->arena, plan->tensor_count + 1U, sizeof(bool));
    schedule_out->cpu_step =
        dyno_arena_alloc(plan->arena, plan->tensor_count + 1U, sizeof(uint32_t));
    if (lists == NULL || schedule_out->cpu_step == NULL || schedule_out->segments == NULL ||
        schedule_out->on_cpu == NULL || schedule_out->on_gpu == NULL) {
        status = DYNO_NOMEM(err);
        goto out;
    }
    maker.first[0] = lists;
    maker.first[1] = lists + plan->tensor_count + 1;
    maker.next = lists + 2 * ((size_t)plan->tensor_count + 1);
    status = fill(&maker, kernels);
out:
    dyno_free(lists);
    return status;
}
