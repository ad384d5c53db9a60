/* kernel.c - candidates, estimates and shares of work. */
#include "backend/cpu/kernel.h"

#define LAUNCH_US      0.5 /* fixed cost of a step */
#define TASKS_A_THREAD 4

void dyno_cpu_tactic_block(struct dyno_tactic *tactic, const struct dyno_site *site, double est_us)
{
    tactic->est_us = (float)est_us;
    tactic->out_layout = DYNO_BLOCK16;
    dyno_cpu_tail_layouts(site, DYNO_BLOCK16, tactic);
}

static bool rest_is_zero(const struct dyno_tactic *tactic, int cfg_count)
{
    for (int i = cfg_count; i < DYNO_TACTIC_CFGS; i++)
        if (tactic->cfg[i] != 0)
            return false;
    return true;
}

bool dyno_cpu_settle_row(const struct dyno_site *site, int cfg_count, struct dyno_tactic *tactic)
{
    tactic->flags = DYNO_TACTIC_BASELINE;
    return site->outs[0].rank >= 0 && tactic->out_layout.kind == DYNO_LAYOUT_ROW &&
           tactic->out_layout.block == 0 && rest_is_zero(tactic, cfg_count);
}

bool dyno_cpu_settle_block(const struct dyno_site *site, int cfg_count, uint32_t block_in_count,
                           struct dyno_tactic *tactic)
{
    if (!dyno_cpu_blockable(&site->outs[0]) || !dyno_cpu_asks_block(tactic) ||
        tactic->out_layout.block != DYNO_CPU_BLOCK || block_in_count > site->step->own_in_count ||
        block_in_count > DYNO_STEP_INS_MAX || !rest_is_zero(tactic, cfg_count))
        return false;
    for (uint32_t i = 0; i < block_in_count; i++) {
        if (!dyno_cpu_blockable(&site->ins[i]))
            return false;
        tactic->in_layouts[i] = DYNO_BLOCK16;
    }
    return true;
}

enum dyno_status dyno_cpu_refuse(const struct dyno_site *site, struct dyno_err *err)
{
    return DYNO_FAIL(err, DYNO_E_UNSUPPORTED,
                     "its kernel does not do %s on these types, shapes and constants in this way",
                     dyno_ops[site->step->op]->onnx_name);
}

double dyno_cpu_move_us(const struct dyno_target *target, double bytes)
{
    return LAUNCH_US + bytes / ((double)target->mem_gbps * 1e3);
}

int dyno_cpu_tasks(const struct dyno_pool *pool, int64_t count, int64_t elems)
{
    if (pool == NULL || dyno_pool_thread_count(pool) == 1 || count <= 1)
        return 1;
    int64_t tasks = count;
    const int64_t threads = dyno_pool_thread_count(pool);
    if (elems < DYNO_CPU_TASK_ELEMS)
        tasks = dyno_cpu_div_up(count, dyno_cpu_div_up(DYNO_CPU_TASK_ELEMS, elems < 1 ? 1 : elems));
    return (int)dyno_cpu_min(tasks, threads * TASKS_A_THREAD);
}

struct units {
    const struct dyno_run_args *args;
    dyno_cpu_unit_fn *fn;
    int64_t count;
    int task_count;
};

static void units_task(void *arg, int task, int thread)
{
    const struct units *units = arg;
    int64_t first, last;
    dyno_cpu_share(units->count, units->task_count, task, &first, &last);
    for (int64_t unit = first; unit < last; unit++)
        units->fn(units->args, unit, thread);
}

void dyno_cpu_units(const struct dyno_run_args *args, int64_t count, int64_t elems,
                    dyno_cpu_unit_fn *fn)
{
    struct units units = {args, fn, count, dyno_cpu_tasks(args->pool, count, elems)};
    if (count <= 0)
        return;
    if (units.task_count == 1)
        units_task(&units, 0, 0);
    else
        dyno_pool_run(args->pool, units_task, &units, units.task_count);
}
