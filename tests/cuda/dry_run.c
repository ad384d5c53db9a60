/* dry_run.c - dry_run MODEL.onnx [sm] [fp32|fp16|bf16] [INPUT DIMxDIMx...]: build a model for a GPU
 * that is not there, an input of that shape, run it once through the recording driver, and print
 * each step with where and how it runs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "build/build.h"
#include "engine/binding.h"
#include "record.h"

/* Zeros for every input at the profile's optimum, in `arena`. */
static bool make_inputs(const struct dyno_engine *engine, struct dyno_arena *arena,
                        struct dyno_array *inputs)
{
    for (uint32_t i = 0; i < dyno_engine_input_count(engine); i++) {
        struct dyno_io_info info;
        int64_t count = 0;
        dyno_engine_input(engine, i, &info);
        inputs[i].dtype = info.dtype;
        inputs[i].rank = info.rank;
        memcpy(inputs[i].dims, info.opt, sizeof(info.opt));
        if (!dyno_dims_count(info.opt, info.rank, &count) ||
            !dyno_dtype_bytes((enum dyno_dtype)info.dtype, (uint64_t)count, &inputs[i].bytes))
            return false;
        inputs[i].data = dyno_arena_alloc(arena, inputs[i].bytes + 1, 1);
        if (inputs[i].data == NULL)
            return false;
    }
    return true;
}

static void print_memory(const struct dyno_context *context)
{
    const struct dyno_branches *branches = dyno_context_branches(context);
    printf("arena %.2f MiB\n", (double)dyno_context_arena_bytes(context) / 1048576.0);
    if (branches != NULL)
        printf("%u steps in a row at least, up to %u at once, %u edges; as a chain %.2f MiB\n",
               branches->depth, branches->width, branches->edge_count,
               (double)branches->chain_bytes / 1048576.0);
}

static int run_once(struct dyno_engine *engine, struct dyno_err *err)
{
    struct dyno_context *context = NULL;
    struct dyno_array inputs[16] = {{0}};
    struct dyno_array outputs[64] = {{0}};
    struct dyno_arena *arena = dyno_arena_create();
    const bool able = arena != NULL && dyno_engine_input_count(engine) <= 16 &&
                      dyno_engine_output_count(engine) <= 64 &&
                      make_inputs(engine, arena, inputs) &&
                      dyno_context_create(engine, NULL, &context, err) == DYNO_OK;
    const bool ran = able && dyno_context_run(context, inputs, outputs, err) == DYNO_OK;
    if (ran)
        print_memory(context);
    dyno_context_destroy(context);
    dyno_arena_destroy(arena);
    return !ran;
}

static bool read_shape(const char *name, const char *text, struct dyno_profile_input *profile)
{
    profile->name = name;
    for (char *end = NULL; *text != 0 && profile->rank < DYNO_RANK_MAX; text = end + (*end != 0)) {
        const int64_t dim = strtoll(text, &end, 10);
        if (end == text || dim < 1)
            return false;
        profile->min[profile->rank] = profile->opt[profile->rank] = dim;
        profile->max[profile->rank++] = dim;
    }
    return profile->rank != 0;
}

int main(int argc, char **argv)
{
    struct dyno_err err = {0};
    struct dyno_built built;
    if (argc < 2) {
        (void)fprintf(stderr,
                      "usage: dry_run MODEL.onnx [sm] [fp32|fp16|bf16] [INPUT DIMxDIMx...]\n");
        return 2;
    }
    const struct record *record = record_start(argc > 2 ? (int)strtol(argv[2], NULL, 10) : 90);
    struct dyno_build_options options = {.onnx_path = argv[1], .device = "cuda"};
    options.branches = DYNO_BRANCHES_ON;
    if (argc > 3 && strcmp(argv[3], "fp32") != 0)
        options.precisions =
            strcmp(argv[3], "fp16") == 0 ? DYNO_PRECISION_F16 : DYNO_PRECISION_BF16;
    struct dyno_profile_input profile = {0};
    if (argc > 5 && !read_shape(argv[4], argv[5], &profile)) {
        (void)fprintf(stderr, "'%s' is no shape\n", argv[5]);
        return 2;
    }
    options.profile = &profile;
    options.profile_count = argc > 5;
    if (dyno_build(&options, &built, &err) != DYNO_OK) {
        (void)fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    const struct dyno_plan *plan = built.engine->plan;
    for (uint32_t i = 0; i < plan->step_count; i++) {
        const struct dyno_step *step = &plan->steps[i];
        printf("%3u %s %-20s %-18s cfg %u %u %u program %u %s\n", i,
               built.engine->kernels[i]->place == DYNO_ON_GPU ? "gpu" : "CPU",
               dyno_ops[step->op]->onnx_name, built.engine->kernels[i]->name, step->tactic.cfg[0],
               step->tactic.cfg[1], step->tactic.cfg[2], step->program, step->name);
    }
    const int failed = run_once(built.engine, &err);
    printf("%u steps, %u of them on the CPU, %u layout changes, %u programs, %u launches in %u "
           "graphs, copies: %u in, %u out\n",
           plan->step_count, built.report.cpu_step_count, built.report.reorder_count,
           plan->program_count, record->run_count, record->graph_count, record->copy_in_count,
           record->copy_out_count);
    dyno_built_fini(&built);
    if (failed || record->live_count != 0)
        (void)fprintf(stderr, "%s; %lld live\n", err.text, (long long)record->live_count);
    return failed || record->live_count != 0;
}
