/* choose.c - one candidate a step, over the whole graph. */
#include <string.h>

#include "tune/tuner.h"

static struct dyno_layout in_layout(const struct dyno_tactic *tactic, uint32_t idx)
{
    return idx < DYNO_STEP_INS_MAX ? tactic->in_layouts[idx] : DYNO_ROW;
}

static struct dyno_layout made_layout(const struct dyno_tune_option *option, bool is_first_out)
{
    return is_first_out ? option->tactic.out_layout : DYNO_ROW;
}

/* Microseconds to have tensor `id` in another layout. */
static float change_us(const struct dyno_tuned *tuner, uint32_t id, struct dyno_layout from,
                       struct dyno_layout to)
{
    const struct dyno_target *target = tuner->options.target;
    if (dyno_layout_same(from, to) ||
        (!target->baseline && tuner->plan->tensors[id].role != DYNO_ROLE_WEIGHT &&
         dyno_plan_same_bytes(tuner->plan, id, from, id, to, NULL)))
        return 0.0F;
    return dyno_tune_reorder_us(&tuner->bufs[id], target);
}

/* Costs that hang on one step alone: its own, and changes at the edge of the graph. */
static void node_costs(const struct dyno_tuned *tuner, uint32_t idx, const uint32_t *producer,
                       float *costs)
{
    const struct dyno_plan *plan = tuner->plan;
    const struct dyno_step *step = &plan->steps[idx];
    for (int o = 0; o < tuner->choices[idx].count; o++) {
        const struct dyno_tune_option *option = &tuner->choices[idx].options[o];
        costs[o] = option->cost_us;
        for (uint32_t i = 0; i < step->in_count; i++) {
            const uint32_t id = step->ins[i];
            if (id != DYNO_NO_TENSOR && producer[id] == UINT32_MAX)
                costs[o] += change_us(tuner, id, DYNO_ROW, in_layout(&option->tactic, i));
        }
        const uint32_t out = step->outs[0];
        if (out != DYNO_NO_TENSOR && plan->tensors[out].role == DYNO_ROLE_OUTPUT)
            costs[o] += change_us(tuner, out, option->tactic.out_layout, DYNO_ROW);
    }
}

static enum dyno_status add_edge(const struct dyno_tuned *tuner, struct dyno_pbqp *pbqp,
                                 uint32_t from, bool is_first_out, uint32_t to, uint32_t in_idx,
                                 uint32_t id)
{
    float costs[DYNO_PBQP_OPTIONS_MAX * DYNO_PBQP_OPTIONS_MAX];
    const struct dyno_tune_choice *a = &tuner->choices[from];
    const struct dyno_tune_choice *b = &tuner->choices[to];
    bool any = false;
    for (int i = 0; i < a->count; i++) {
        const struct dyno_layout made = made_layout(&a->options[i], is_first_out);
        for (int j = 0; j < b->count; j++) {
            const float us = change_us(tuner, id, made, in_layout(&b->options[j].tactic, in_idx));
            costs[i * b->count + j] = us;
            any = any || us > 0.0F;
        }
    }
    return any ? dyno_pbqp_edge(pbqp, from, to, costs, tuner->err) : DYNO_OK;
}

/* Far above any plan. */
#define FORBIDDEN_US 1e12F

/* What is not allowed there costs too much, unless there is nothing else. */
static void forbid(const struct dyno_tuned *tuner, uint32_t idx, uint32_t allowed, float *costs)
{
    const struct dyno_tune_choice *choice = &tuner->choices[idx];
    const uint32_t in_count = tuner->plan->steps[idx].in_count;
    bool any = false;
    for (int o = 0; o < choice->count; o++)
        any = any || (dyno_tune_uses(&choice->options[o].tactic, in_count) & ~allowed) == 0;
    for (int o = 0; any && o < choice->count; o++) {
        if ((dyno_tune_uses(&choice->options[o].tactic, in_count) & ~allowed) != 0)
            costs[o] = FORBIDDEN_US;
    }
}

/* Of a choice for each step. */
static float total_of(const struct dyno_tuned *tuner, const int *picked, const uint32_t *producer,
                      const bool *first_out)
{
    const struct dyno_plan *plan = tuner->plan;
    float total = 0.0F;
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const struct dyno_step *step = &plan->steps[s];
        const struct dyno_tune_option *option = &tuner->choices[s].options[picked[s]];
        float costs[DYNO_PBQP_OPTIONS_MAX];
        node_costs(tuner, s, producer, costs);
        total += costs[picked[s]];
        for (uint32_t i = 0; i < step->in_count; i++) {
            const uint32_t id = step->ins[i];
            const uint32_t from = id != DYNO_NO_TENSOR ? producer[id] : UINT32_MAX;
            if (from != UINT32_MAX)
                total += change_us(
                    tuner, id,
                    made_layout(&tuner->choices[from].options[picked[from]], first_out[id]),
                    in_layout(&option->tactic, i));
        }
    }
    return total;
}

static void apply(const struct dyno_tuned *tuner, const int *picked, struct dyno_plan *plan,
                  struct dyno_tune_report *report)
{
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const struct dyno_tune_option *option = &tuner->choices[s].options[picked[s]];
        const struct dyno_rival *rival = tuner->taken != NULL ? tuner->taken[s] : NULL;
        const float us = rival != NULL ? rival->us : option->us;
        plan->steps[s].tactic = rival != NULL ? rival->tactic : option->tactic;
        plan->steps[s].measured_us = option->measured ? us : 0.0F;
        report->step_us += us;
    }
}

static enum dyno_status pick(const struct dyno_tuned *tuner, const uint32_t *precisions,
                             int *picked, float *total_out)
{
    const struct dyno_plan *plan = tuner->plan;
    enum dyno_status status = DYNO_OK;
    struct dyno_pbqp *pbqp = dyno_pbqp_create(plan->step_count);
    uint32_t *producer = dyno_arena_alloc(tuner->arena, plan->tensor_count + 1U, sizeof(*producer));
    bool *first_out = dyno_arena_alloc(tuner->arena, plan->tensor_count + 1U, sizeof(*first_out));
    if (pbqp == NULL || producer == NULL || first_out == NULL) {
        status = DYNO_NOMEM(tuner->err);
        goto out;
    }
    memset(producer, 0xFF, plan->tensor_count * sizeof(*producer));
    for (uint32_t s = 0; s < plan->step_count; s++) {
        for (uint32_t i = 0; i < plan->steps[s].out_count; i++) {
            if (plan->steps[s].outs[i] != DYNO_NO_TENSOR) {
                producer[plan->steps[s].outs[i]] = s;
                first_out[plan->steps[s].outs[i]] = i == 0;
            }
        }
    }
    for (uint32_t s = 0; s < plan->step_count; s++) {
        float costs[DYNO_PBQP_OPTIONS_MAX];
        node_costs(tuner, s, producer, costs);
        if (precisions != NULL)
            forbid(tuner, s, precisions[s], costs);
        dyno_pbqp_node(pbqp, s, costs, tuner->choices[s].count);
    }
    for (uint32_t s = 0; s < plan->step_count && status == DYNO_OK; s++) {
        for (uint32_t i = 0; i < plan->steps[s].in_count && status == DYNO_OK; i++) {
            const uint32_t id = plan->steps[s].ins[i];
            if (id != DYNO_NO_TENSOR && producer[id] != UINT32_MAX && producer[id] != s)
                status = add_edge(tuner, pbqp, producer[id], first_out[id], s, i, id);
        }
    }
    if (status == DYNO_OK)
        status = dyno_pbqp_solve(pbqp, picked, tuner->err);
    if (status == DYNO_OK)
        *total_out = total_of(tuner, picked, producer, first_out);
out:
    dyno_pbqp_destroy(pbqp);
    return status;
}

enum dyno_status dyno_tuned_total(struct dyno_tuned *tuned, const uint32_t *precisions,
                                  float *total_us_out, struct dyno_err *err)
{
    int *picked = dyno_arena_alloc(tuned->arena, tuned->plan->step_count + 1U, sizeof(*picked));
    tuned->err = err;
    return picked != NULL ? pick(tuned, precisions, picked, total_us_out) : DYNO_NOMEM(err);
}

enum dyno_status dyno_tuned_choose(struct dyno_tuned *tuned, const uint32_t *precisions,
                                   struct dyno_plan *plan, struct dyno_tune_report *report_out,
                                   struct dyno_err *err)
{
    DYNO_ASSERT(plan->step_count == tuned->plan->step_count);
    int *picked = dyno_arena_alloc(tuned->arena, plan->step_count + 1U, sizeof(*picked));
    tuned->err = err;
    *report_out = tuned->report;
    if (picked == NULL)
        return DYNO_NOMEM(err);
    DYNO_TRY(pick(tuned, precisions, picked, &report_out->total_us));
    tuned->picked = picked;
    apply(tuned, picked, plan, report_out);
    return DYNO_OK;
}
