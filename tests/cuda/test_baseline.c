/* test_baseline.c - the unoptimised execution on a GPU, on a driver that writes down what it is
 * asked for (record.h): op by op, in rows of the tensors' own types, launched one after the other.
 */
#include "needs_nvrtc.h"
#include "record.h"
#include "unit/build/chain.h"

#define SKIPPED 77

static enum dyno_status run_batch(struct dyno_context *context, int64_t batch, struct dyno_err *err)
{
    const int64_t dims[4] = {batch, 3, 9, 9};
    struct dyno_arena *arena = dyno_arena_create();
    struct dyno_array input = chain_array(arena, dims, 4, 1);
    struct dyno_array output = {.data = NULL};
    const enum dyno_status status = dyno_context_run(context, &input, &output, err);
    dyno_arena_destroy(arena);
    return status;
}

static void check_step(const struct dyno_engine *engine, uint32_t idx)
{
    const struct dyno_step *step = &engine->plan->steps[idx];
    CHECK_MSG(engine->kernels[idx]->place == DYNO_ON_GPU, "%s is on the CPU", step->name);
    CHECK_MSG((step->tactic.flags & DYNO_TACTIC_BASELINE) != 0, "%s", step->name);
    CHECK_MSG(step->tail.instr_count == 0 && step->op != DYNO_OP_reorder, "%s", step->name);
    CHECK_MSG(dyno_layout_same(step->tactic.out_layout, DYNO_ROW), "%s", step->name);
    for (uint32_t i = 0; i < step->in_count; i++)
        CHECK_MSG(dyno_layout_same(step->tactic.in_layouts[i], DYNO_ROW), "%s", step->name);
}

/* x[N,3,9,9] -> y[N,6]: what takes no library. */
static message net(void)
{
    static const int64_t two[2] = {2, 2};
    message graph = {0};
    put_input(&graph, "x", DYNO_F32, "N,3,9,9");
    put_output(&graph, "y", DYNO_F32, "N,6");
    put_weight(&graph, "s", 3, 0, 0, 0);
    put_node(&graph, "BatchNormalization", "norm", "x,s,s,s,s", "n");
    put_node(&graph, "Relu", "act", "n", "r");
    put_node_attr(&graph, "MaxPool", "pool", "r", "p", attr_ints("kernel_shape", two, 2));
    put_node_attr(&graph, "Concat", "both", "p,p", "c", attr_int("axis", 1));
    put_node(&graph, "Sigmoid", "gate", "c", "g");
    put_node(&graph, "Mul", "gated", "c,g", "m");
    put_node(&graph, "GlobalAveragePool", "mean", "m", "a");
    put_node(&graph, "Flatten", "flat", "a", "y");
    return model_of(&graph, 17);
}

/* A kernel's error comes with a later call: where the GPU is broken then, no step before the one
 * that noticed is acquitted.  A launch that fails alone is that step's. */
static void test_blame(struct record *record, struct dyno_context *context)
{
    uint32_t alone = 0, broken = 0, waiting = 0;
    for (int stays = 0; stays < 2; stays++) {
        bool failed = true;
        for (uint64_t nth = 1; failed; nth++) {
            struct dyno_err err = {0};
            record->failed = false;
            record->stays_broken = stays != 0;
            record->fail_code = 700;
            record->fail_at = record->call_count + nth;
            const enum dyno_status status = run_batch(context, 2, &err);
            record->fail_at = 0;
            failed = record->failed;
            CHECK(failed == (status != DYNO_OK));
            const bool is_range =
                strstr(err.text, "one of the steps from 'norm' (BatchNormalization) to '") != NULL;
            alone += stays == 0 && !is_range && strstr(err.text, "to launch") != NULL;
            broken += is_range && strstr(err.text, "': step '") == NULL &&
                      strstr(err.text, "): step '") != NULL;
            waiting += is_range && strstr(err.text, "the GPU failed to run") != NULL;
            CHECK_MSG(stays != 0 || strstr(err.text, "): step '") == NULL, "%s", err.text);
        }
    }
    CHECK_MSG(alone >= 6 && broken >= 5 && waiting >= 2, "%u, %u, %u", alone, broken, waiting);
}

int main(void)
{
    struct dyno_err err = {0};
    struct dyno_context *context = NULL;
    if (nvrtc_is_missing())
        return SKIPPED;
    struct record *record = record_start(90);
    message model = net();
    /* 16-bit types are allowed, and none is taken: that is tuning. */
    struct dyno_built built = chain_build(
        &model,
        (struct dyno_build_options){
            .device = "cuda", .baseline = true, .level = 3, .precisions = DYNO_PRECISION_F16},
        &err);
    const struct dyno_engine *engine = built.engine;
    CHECK((engine->plan->flags & DYNO_PLAN_BASELINE) != 0);
    CHECK(built.report.cpu_step_count == 0 && built.report.reorder_count == 0);
    CHECK(built.report.tune.measured_count == 0 && record->run_count == 0);
    for (uint32_t i = 0; i < engine->plan->step_count; i++)
        check_step(engine, i);

    REQUIRE(dyno_context_create(built.engine, NULL, &context, &err) == DYNO_OK);
    CHECK_MSG(run_batch(context, 2, &err) == DYNO_OK, "%s", err.text);
    const uint32_t launches = record->launch_count; /* a part of a Concat or Split is one */
    CHECK(launches >= engine->plan->step_count && record->run_count == launches);
    uint64_t counted = 0;
    CHECK(dyno_context_launches(context, &counted, &err) == DYNO_OK && counted == launches);
    CHECK(record->run_count == launches && record->graph_count == 0); /* counting runs nothing */
    record->launch_count = launches;
    CHECK(run_batch(context, 2, &err) == DYNO_OK && run_batch(context, 5, &err) == DYNO_OK);
    CHECK(record->launch_count == 3 * launches && record->graph_count == 0);
    for (uint32_t i = 0; i < record->launch_count; i++)
        CHECK(!record->launches[i].captured);
    CHECK(dyno_context_gpu_us(context) == 125.0); /* between two events, as for a graph */
    test_blame(record, context);

    dyno_context_destroy(context);
    dyno_built_fini(&built);
    dyno_strbuf_fini(&model);
    CHECK(record->live_count == 0 && record->module_count == 0);
    record_end();
    return TEST_RESULT();
}
