/* whole.c - runs of a whole engine, one way and the other. */
#include "tune/whole.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "tune/shapes.h"
#include "tune/tune.h"

#define IO_MAX      64
#define WARM_RUNS   3     /* a graph is captured in the first or the second */
#define ROUNDS      2     /* of each way, in turns: clocks drift */
#define NO_TIME_US  1e-3F /* what the cache makes of no time at all */
#define CHAIN_TEXT  "graph_chain"
#define BRANCH_TEXT "graph_branches"

/* --- keys --- */

static void add_ids(struct dyno_strbuf *text, const struct dyno_plan *plan, const uint32_t *ids,
                    uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i] == DYNO_NO_TENSOR)
            dyno_strbuf_puts(text, " -");
        else
            dyno_strbuf_printf(text, " %u/%u", ids[i], dyno_plan_root(plan, ids[i]));
    }
    dyno_strbuf_puts(text, ";");
}

static enum dyno_status add_steps(struct dyno_strbuf *text, const struct dyno_plan *plan,
                                  const struct dyno_target *target, struct dyno_arena *arena,
                                  struct dyno_err *err)
{
    struct dyno_buf *bufs = NULL;
    DYNO_TRY(dyno_tune_shapes(plan, arena, &bufs, err));
    for (uint32_t i = 0; i < plan->tensor_count; i++)
        dyno_tune_set_layout(&bufs[i], plan->tensors[i].layout);
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const struct dyno_step *step = &plan->steps[s];
        struct dyno_tune_key key;
        struct dyno_site site;
        DYNO_TRY(dyno_tune_site(plan, step, bufs, target, arena, &site, err));
        DYNO_TRY(dyno_tune_signature(&site, &step->tactic, 0, &key, err));
        dyno_strbuf_printf(text, "%016llx%016llx", (unsigned long long)key.hi,
                           (unsigned long long)key.lo);
        add_ids(text, plan, step->ins, step->in_count);
        add_ids(text, plan, step->outs, step->out_count);
    }
    return DYNO_OK;
}

static struct dyno_tune_key key_of(const struct dyno_strbuf *text, uint64_t seed)
{
    return (struct dyno_tune_key){.hi = dyno_hash64(seed, text->text, text->bytes),
                                  .lo = dyno_hash64(seed + 1, text->text, text->bytes)};
}

enum dyno_status dyno_whole_keys_make(const struct dyno_plan *plan,
                                      const struct dyno_target *target,
                                      struct dyno_whole_keys *keys_out, struct dyno_err *err)
{
    struct dyno_strbuf text = {0};
    struct dyno_arena *arena = dyno_arena_create();
    enum dyno_status status = DYNO_NOMEM(NULL);
    if (arena != NULL) {
        dyno_strbuf_puts(&text, "whole graph 1\n");
        status = add_steps(&text, plan, target, arena, err);
    }
    if (status == DYNO_OK && !dyno_strbuf_ok(&text))
        status = DYNO_E_NOMEM;
    if (status == DYNO_OK)
        *keys_out =
            (struct dyno_whole_keys){.chain = key_of(&text, 1), .branches = key_of(&text, 3)};
    dyno_arena_destroy(arena);
    dyno_strbuf_fini(&text);
    return status == DYNO_E_NOMEM ? DYNO_NOMEM(err) : status;
}

bool dyno_whole_find(const struct dyno_tune_cache *cache, const struct dyno_whole_keys *keys,
                     struct dyno_whole_times *times_out)
{
    *times_out = (struct dyno_whole_times){.is_cached = true};
    const bool found = dyno_tune_cache_find(cache, keys->chain, &times_out->chain_us) &&
                       dyno_tune_cache_find(cache, keys->branches, &times_out->branches_us);
    if (times_out->branches_us <= NO_TIME_US)
        times_out->branches_us = 0.0F;
    if (times_out->chain_us <= NO_TIME_US)
        times_out->chain_us = 0.0F;
    return found;
}

bool dyno_whole_put(struct dyno_tune_cache *cache, const struct dyno_whole_keys *keys,
                    const struct dyno_whole_times *times)
{
    return dyno_tune_cache_put(cache, keys->chain, times->chain_us, CHAIN_TEXT) &&
           dyno_tune_cache_put(cache, keys->branches, times->branches_us, BRANCH_TEXT);
}

/* --- runs --- */

struct dyno_whole_run {
    struct dyno_context *context;
    struct dyno_arena *arena; /* of the inputs */
    struct dyno_array inputs[IO_MAX];
    bool is_warm;
    double us[DYNO_WHOLE_RUNS_MAX];
};

void dyno_whole_run_close(struct dyno_whole_run *run)
{
    if (run == NULL)
        return;
    dyno_context_destroy(run->context);
    dyno_arena_destroy(run->arena);
    dyno_free(run);
}

static bool fits(const struct dyno_engine *engine)
{
    return dyno_engine_input_count(engine) <= IO_MAX && dyno_engine_output_count(engine) <= IO_MAX;
}

static enum dyno_status make_inputs(struct dyno_whole_run *run, const struct dyno_engine *engine,
                                    struct dyno_err *err)
{
    for (uint32_t i = 0; i < dyno_engine_input_count(engine); i++) {
        struct dyno_array *input = &run->inputs[i];
        struct dyno_io_info info;
        int64_t count = 0;
        dyno_engine_input(engine, i, &info);
        input->dtype = info.dtype;
        input->rank = info.rank;
        memcpy(input->dims, info.opt, sizeof(info.opt));
        if (!dyno_dims_count(info.opt, info.rank, &count) ||
            !dyno_dtype_bytes((enum dyno_dtype)info.dtype, (uint64_t)count, &input->bytes))
            return DYNO_FAIL(err, DYNO_E_LIMIT, "input '%s' is too large", info.name);
        input->data = dyno_arena_alloc(run->arena, input->bytes + 1, 1);
        if (input->data == NULL)
            return DYNO_NOMEM(err);
    }
    return DYNO_OK;
}

static enum dyno_status bind(struct dyno_whole_run *run, struct dyno_engine *engine,
                             struct dyno_err *err)
{
    struct dyno_array outputs[IO_MAX] = {{0}};
    run->arena = dyno_arena_create();
    if (run->arena == NULL)
        return DYNO_NOMEM(err);
    DYNO_TRY(make_inputs(run, engine, err));
    DYNO_TRY(dyno_context_create(engine, NULL, &run->context, err));
    return dyno_context_bind(run->context, run->inputs, outputs, err);
}

enum dyno_status dyno_whole_run_open(struct dyno_engine *engine, bool in_branches,
                                     struct dyno_whole_run **run_out, struct dyno_err *err)
{
    uint32_t *flags = &engine->plan->flags;
    const uint32_t before = *flags;
    *run_out = NULL;
    if (!fits(engine))
        return DYNO_FAIL(err, DYNO_E_LIMIT, "more than %d inputs or outputs", IO_MAX);
    struct dyno_whole_run *run = dyno_alloc(1, sizeof(*run));
    if (run == NULL)
        return DYNO_NOMEM(err);
    *flags = in_branches ? before | DYNO_PLAN_BRANCHES : before & ~(uint32_t)DYNO_PLAN_BRANCHES;
    const enum dyno_status status = bind(run, engine, err);
    *flags = before;
    if (status == DYNO_OK)
        *run_out = run;
    else
        dyno_whole_run_close(run);
    return status;
}

bool dyno_whole_run_has_branches(const struct dyno_whole_run *run)
{
    return dyno_context_branches(run->context) != NULL;
}

static enum dyno_status run_once(struct dyno_whole_run *run, struct dyno_err *err)
{
    struct dyno_array outputs[IO_MAX] = {{0}};
    return dyno_context_run(run->context, run->inputs, outputs, err);
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return x < y ? -1 : x > y;
}

enum dyno_status dyno_whole_run_time(struct dyno_whole_run *run,
                                     const struct dyno_whole_effort *effort, double *us_out,
                                     struct dyno_err *err)
{
    double spent_us = 0.0;
    int count = 0;
    for (int i = 0; i < WARM_RUNS && !run->is_warm; i++)
        DYNO_TRY(run_once(run, err));
    run->is_warm = true;
    dyno_context_transfers(run->context, 0);
    for (int i = 0; i < effort->runs_before; i++)
        DYNO_TRY(run_once(run, err));
    while (count < effort->runs_max && (count < effort->runs_min || spent_us < effort->us)) {
        DYNO_TRY(run_once(run, err));
        run->us[count] = dyno_context_gpu_us(run->context);
        spent_us += run->us[count++];
    }
    qsort(run->us, (size_t)count, sizeof(run->us[0]), by_value);
    *us_out = run->us[count / 2];
    return DYNO_OK;
}

/* --- both ways --- */

/* The least median of one way so far into *us; 0 where there are no branches. */
static enum dyno_status time_way(struct dyno_engine *engine, bool in_branches, float *us,
                                 struct dyno_err *err)
{
    static const struct dyno_whole_effort effort = {
        .runs_min = 10, .runs_max = DYNO_WHOLE_RUNS_MAX, .us = 100e3};
    struct dyno_whole_run *run = NULL;
    double now = 0.0;
    enum dyno_status status = dyno_whole_run_open(engine, in_branches, &run, err);
    const bool has_way = status == DYNO_OK && (!in_branches || dyno_whole_run_has_branches(run));
    if (has_way)
        status = dyno_whole_run_time(run, &effort, &now, err);
    if (has_way && (*us <= 0.0F || (float)now < *us))
        *us = (float)now;
    dyno_whole_run_close(run);
    return status;
}

enum dyno_status dyno_whole_time(struct dyno_engine *engine, struct dyno_whole_times *times_out,
                                 struct dyno_err *err)
{
    *times_out = (struct dyno_whole_times){0};
    for (int i = 0; i < ROUNDS && fits(engine); i++) { /* what does not fit is a chain */
        struct dyno_err why = {0};
        const enum dyno_status branched = time_way(engine, true, &times_out->branches_us, &why);
        if (branched != DYNO_OK)
            times_out->branches_us = 0.0F; /* the chain tells whether it is the GPU itself */
        if (branched == DYNO_OK && times_out->branches_us <= 0.0F)
            break; /* nothing to choose */
        DYNO_TRY(time_way(engine, false, &times_out->chain_us, err));
        if (branched != DYNO_OK)
            break;
    }
    return DYNO_OK;
}
