/* build.c - the stages of a build in their order. */
#include "build/build.h"

#include <stdio.h>
#include <string.h>

#include "backend/cuda/device.h"
#include "backend/cuda/libraries.h"
#include "backend/cuda/program.h"
#include "base/clock.h"
#include "base/mem.h"
#include "build/batch.h"
#include "build/finish.h"
#include "build/open.h"
#include "build/precision.h"
#include "build/programs.h"
#include "build/providers.h"
#include "build/retime.h"
#include "build/whole.h"
#include "engine/format.h"

const char *dyno_build_stage_text(enum dyno_build_stage stage)
{
    static const char *const texts[DYNO_STAGE_COUNT] = {"import", "passes", "tune", "pack",
                                                        "write"};
    return stage < DYNO_STAGE_COUNT ? texts[stage] : "?";
}

void dyno_builder_tell(const struct dyno_builder *builder, enum dyno_build_stage stage,
                       uint32_t done, uint32_t total, const char *what)
{
    if (builder->options->progress != NULL)
        builder->options->progress(builder->options->progress_arg, stage, done, total, what);
}

static void end_stage(struct dyno_builder *builder, enum dyno_build_stage stage)
{
    const uint64_t now_ns = dyno_clock_ns();
    builder->report->stage_ns[stage] = now_ns - builder->stage_start_ns;
    builder->stage_start_ns = now_ns;
    dyno_builder_tell(builder, stage, 1, 1, NULL);
}

/* --- import --- */

static enum dyno_status import(struct dyno_builder *builder)
{
    const struct dyno_build_options *options = builder->options;
    enum dyno_status status = DYNO_OK;
    struct dyno_onnx_profile *profiles = dyno_alloc(options->profile_count + 1U, sizeof(*profiles));
    if (profiles == NULL)
        return DYNO_NOMEM(builder->err);
    for (uint32_t i = 0; i < options->profile_count; i++) {
        profiles[i].name = options->profile[i].name;
        profiles[i].rank = options->profile[i].rank;
        memcpy(profiles[i].min, options->profile[i].min, sizeof(profiles[i].min));
        memcpy(profiles[i].max, options->profile[i].max, sizeof(profiles[i].max));
    }
    const struct dyno_onnx_options import_options = {.profiles = profiles,
                                                     .profile_count = options->profile_count,
                                                     .batch_max = options->batch_max,
                                                     .problem = options->problem,
                                                     .problem_arg = options->problem_arg};
    dyno_builder_tell(builder, DYNO_STAGE_IMPORT, 0, 1, NULL);
    status = dyno_onnx_import(options->onnx_path, &import_options, &builder->model, builder->err);
    dyno_free(profiles);
    if (status != DYNO_OK)
        return status;
    const struct dyno_graph *graph = dyno_onnx_model_graph(builder->model);
    builder->report->onnx_node_count = graph->node_count;
    builder->report->model_bytes = dyno_onnx_model_file_bytes(builder->model);
    if (options->graph != NULL)
        options->graph(options->graph_arg, NULL, graph);
    end_stage(builder, DYNO_STAGE_IMPORT);
    return DYNO_OK;
}

/* Every name of the profile must be an input. */
static enum dyno_status check_profile(const struct dyno_builder *builder)
{
    const struct dyno_graph *graph = dyno_onnx_model_graph(builder->model);
    for (uint32_t i = 0; i < builder->options->profile_count; i++) {
        const char *name = builder->options->profile[i].name;
        bool found = false;
        for (uint32_t k = 0; k < graph->input_count && !found; k++)
            found = strcmp(graph->inputs[k]->name, name) == 0;
        if (!found)
            return DYNO_FAIL(builder->err, DYNO_E_ARG,
                             "shapes are given for '%s', which is not an input of '%s'", name,
                             builder->options->onnx_path);
    }
    return DYNO_OK;
}

/* On a GPU, can no kernel be chosen for which a range of channels is copied?  Plans of cuDNN's are
 * for dense tensors. */
static bool take_views(const struct dyno_builder *builder)
{
    struct dyno_err err = {0};
    uint32_t version = 0;
    return builder->target.gpu.compute != 0 &&
           (builder->libraries == NULL ||
            dyno_cuda_library_of(DYNO_LIBRARY_cudnn)->version(&version, &err) != DYNO_OK);
}

static enum dyno_status rewrite(struct dyno_builder *builder)
{
    const struct dyno_build_options *options = builder->options;
    struct dyno_graph *graph = dyno_onnx_model_graph(builder->model);
    const struct dyno_passes_options passes = {
        .baseline = options->baseline,
        /* An exporter that knows no Gelu writes five operators; a framework's execution has one. */
        .wholes = builder->target.gpu.compute != 0,
        .gpu = builder->target.gpu.compute != 0,
        .views = take_views(builder),
        .after = options->graph,
        .after_arg = options->graph_arg};
    DYNO_TRY(check_profile(builder));
    dyno_builder_tell(builder, DYNO_STAGE_PASSES, 0, 1, NULL);
    DYNO_TRY(dyno_passes_run(graph, &passes, builder->err));
    builder->report->graph_node_count = graph->node_count;
    end_stage(builder, DYNO_STAGE_PASSES);
    return DYNO_OK;
}

/* --- tune --- */

static void on_tuned(void *arg, uint32_t done, uint32_t total, const char *step_name)
{
    dyno_builder_tell(arg, DYNO_STAGE_TUNE, done, total, step_name);
}

static enum dyno_status open_cache(struct dyno_builder *builder)
{
    const char *path = builder->options->timing_cache_path;
    builder->cache = dyno_tune_cache_create();
    if (builder->cache == NULL)
        return DYNO_NOMEM(builder->err);
    if (path != NULL)
        DYNO_TRY(dyno_tune_cache_load(builder->cache, path, builder->err));
    builder->known_count = dyno_tune_cache_count(builder->cache);
    return DYNO_OK;
}

enum dyno_status dyno_builder_save_cache(struct dyno_builder *builder)
{
    const char *path = builder->options->timing_cache_path;
    const uint32_t count = dyno_tune_cache_count(builder->cache);
    if (path == NULL || count == builder->known_count)
        return DYNO_OK;
    builder->known_count = count;
    return dyno_tune_cache_save(builder->cache, path, builder->err);
}

enum dyno_status dyno_builder_tune(struct dyno_builder *builder, const struct dyno_target *target,
                                   struct dyno_tuned **tuned_out)
{
    const struct dyno_build_options *options = builder->options;
    const int level = options->baseline ? 0 : options->level;
    const struct dyno_tune_options how = {.target = target,
                                          .pool = options->pool,
                                          .open_from = builder->open_from,
                                          .level = level,
                                          .retime =
                                              dyno_retime_bounds(level, options->retime_seconds),
                                          .precisions = builder->precisions,
                                          .keep_f32 = options->accuracy_budget > 0.0,
                                          .cache = builder->cache,
                                          .programs = builder->programs,
                                          .progress = on_tuned,
                                          .progress_arg = builder};
    DYNO_TRY(dyno_tuned_create(builder->tuned_plan, &how, tuned_out, builder->err));
    return dyno_builder_save_cache(builder);
}

/* Of builder->plan, which becomes builder->tuned_plan. */
static enum dyno_status tune(struct dyno_builder *builder)
{
    builder->tuned_plan = builder->plan;
    builder->plan = NULL;
    DYNO_TRY(open_cache(builder));
    DYNO_TRY(dyno_builder_tune(builder, &builder->target, &builder->tuned));
    end_stage(builder, DYNO_STAGE_TUNE);
    return DYNO_OK;
}

static void count_cpu_steps(const struct dyno_builder *builder)
{
    const struct dyno_plan *plan = builder->plan;
    builder->report->program_count = plan->program_count;
    builder->report->cpu_step_count = 0; /* of the last plan: there may have been trials */
    for (uint32_t s = 0; plan->gpu.compute != 0 && s < plan->step_count; s++)
        builder->report->cpu_step_count +=
            dyno_kernel_find(plan->steps[s].tactic.kernel)->place == DYNO_ON_CPU;
}

/* Those that are not here do without saying so: the build goes on with our own kernels. */
static enum dyno_status open_libraries(struct dyno_builder *builder)
{
    struct dyno_strbuf lines = {0};
    if (builder->options->lean)
        return DYNO_OK;
    builder->libraries = dyno_cuda_libraries_create(builder->cuda, NULL);
    if (builder->libraries == NULL)
        return DYNO_NOMEM(builder->err);
    builder->target.libraries = builder->libraries;
    dyno_cuda_libraries_describe(builder->libraries, &lines);
    (void)snprintf(builder->report->libraries, sizeof(builder->report->libraries), "%s",
                   dyno_strbuf_text(&lines));
    dyno_strbuf_fini(&lines);
    return DYNO_OK;
}

/* What only steps may use that an accuracy budget takes out of 16 bits.  TF32 holds every number
 * that f16 and bf16 do, so whoever allows those loses nothing by it that was not allowed. */
static uint32_t for_budget(const struct dyno_build_options *options)
{
    const uint32_t narrow = DYNO_PRECISION_F16 | DYNO_PRECISION_BF16;
    return options->accuracy_budget > 0.0 && (options->precisions & narrow) != 0 &&
                   !options->no_tf32
               ? DYNO_PRECISION_TF32
               : 0;
}

/* The GPU that the build is for, and where its programs are compiled. */
static enum dyno_status open_gpu(struct dyno_builder *builder)
{
    const struct dyno_build_options *options = builder->options;
    int ordinal = 0;
    if (options->device == NULL || strcmp(options->device, "cpu") == 0)
        return DYNO_OK;
    if (!dyno_cuda_ordinal(options->device, &ordinal))
        return DYNO_FAIL(builder->err, DYNO_E_ARG,
                         "there is no device '%s': there are cpu, cuda and cuda:N",
                         options->device);
    DYNO_TRY(dyno_cuda_open(ordinal, &builder->cuda, builder->err));
    builder->target.gpu = builder->cuda->gpu;
    /* Whatever is allowed elsewhere, the unoptimised execution is f32, and so are its products. */
    builder->target.precisions = options->baseline ? 0 : options->precisions | for_budget(options);
    builder->programs = dyno_cuda_programs_create(builder->cuda, builder->target.gpu.compute);
    return builder->programs != NULL ? open_libraries(builder) : DYNO_NOMEM(builder->err);
}

static enum dyno_status set_target(struct dyno_builder *builder)
{
    const struct dyno_build_options *options = builder->options;
    dyno_target_detect(&builder->target, options->pool);
    builder->target.workspace_bytes_max =
        options->workspace_bytes_max != 0 ? options->workspace_bytes_max : UINT64_MAX;
    builder->target.baseline = options->baseline;
    builder->target.exact = options->exact;
    if (options->isa_mask != 0)
        builder->target.isa_mask &= options->isa_mask;
    const enum dyno_status status = open_gpu(builder);
    builder->report->target = builder->target;
    builder->report->target.libraries = NULL; /* they end with the build */
    return status;
}

static enum dyno_status lower(struct dyno_builder *builder)
{
    const struct dyno_build_options *options = builder->options;
    struct dyno_graph *graph = dyno_onnx_model_graph(builder->model);
    const struct dyno_profile_input *profile = options->profile;
    uint32_t count = options->profile_count;
    struct dyno_arena *arena = dyno_arena_create();
    if (arena == NULL)
        return DYNO_NOMEM(builder->err);
    enum dyno_status status = DYNO_OK;
    if (options->batch_max > 0)
        status = dyno_batch_profile(graph, options, arena, &profile, &count, builder->err);
    if (status == DYNO_OK)
        status = dyno_lower(graph, profile, count, &builder->plan, builder->err);
    dyno_arena_destroy(arena);
    return status;
}

static void set_facts(struct dyno_builder *builder)
{
    const uint32_t allowed = builder->target.gpu.compute != 0 ? builder->target.precisions : 0;
    uint32_t *flags = &builder->plan->flags;
    builder->plan->accuracy_budget = (float)builder->options->accuracy_budget;
    builder->plan->accuracy_error = (float)builder->report->accuracy.error;
    *flags |= builder->options->baseline ? DYNO_PLAN_BASELINE : 0;
    *flags |= (allowed & DYNO_PRECISION_F16) != 0 ? DYNO_PLAN_F16 : 0;
    *flags |= (allowed & DYNO_PRECISION_BF16) != 0 ? DYNO_PLAN_BF16 : 0;
    *flags |=
        (allowed & builder->options->precisions & DYNO_PRECISION_TF32) != 0 ? DYNO_PLAN_TF32 : 0;
}

/* builder->plan, without any choice. */
static enum dyno_status make_plan(struct dyno_builder *builder)
{
    dyno_plan_destroy(builder->plan);
    builder->plan = NULL;
    DYNO_TRY(lower(builder));
    DYNO_TRY(dyno_sort_open(builder->plan, &builder->open_from, builder->err));
    set_facts(builder);
    return DYNO_OK;
}

static enum dyno_status finish(struct dyno_builder *builder)
{
    struct dyno_finish_report report;
    dyno_builder_tell(builder, DYNO_STAGE_PACK, 0, 1, NULL);
    DYNO_TRY(dyno_finish(builder->plan, &builder->target, builder->open_from,
                         !builder->options->baseline, &report, builder->err));
    if (builder->target.gpu.compute != 0)
        DYNO_TRY(dyno_compile_programs(builder->plan, &builder->target, builder->options->pool,
                                       builder->programs, builder->err));
    count_cpu_steps(builder);
    builder->report->reorder_count = report.reorder_count;
    builder->report->view_count = report.view_count;
    builder->report->packed_bytes = report.packed_bytes;
    builder->report->step_count = builder->plan->step_count;
    end_stage(builder, DYNO_STAGE_PACK);
    return DYNO_OK;
}

enum dyno_status dyno_builder_finish(struct dyno_builder *builder, const uint32_t *precisions,
                                     void (*chosen)(void *arg, const struct dyno_plan *plan),
                                     void *arg)
{
    DYNO_TRY(make_plan(builder));
    DYNO_TRY(dyno_tuned_choose(builder->tuned, precisions, builder->plan, &builder->report->tune,
                               builder->err));
    for (uint32_t s = 0; s < builder->plan->step_count; s++) {
        const bool rounds = (builder->plan->steps[s].tactic.flags & DYNO_TACTIC_TF32) != 0;
        builder->plan->flags |= rounds ? DYNO_PLAN_TF32 : 0; /* for the budget, if not asked for */
    }
    if (chosen != NULL)
        chosen(arg, builder->plan);
    return finish(builder);
}

/* What the rules of the options leave to each step. */
static enum dyno_status set_precisions(struct dyno_builder *builder)
{
    const struct dyno_build_options *options = builder->options;
    const uint32_t allowed = builder->target.precisions;
    if (options->layer_count == 0 && options->accuracy_budget == 0.0)
        return DYNO_OK;
    builder->precisions = dyno_alloc(builder->plan->step_count + 1U, sizeof(*builder->precisions));
    if (builder->precisions == NULL)
        return DYNO_NOMEM(builder->err);
    return dyno_layer_precisions(builder->plan, options->layers, options->layer_count, allowed,
                                 builder->precisions, builder->err);
}

/* The right answers, before the long work: what is wrong with the data is found at once. */
static enum dyno_status ask_judge(struct dyno_builder *builder)
{
    const uint64_t start_ns = dyno_clock_ns();
    if (!(builder->options->accuracy_budget > 0.0))
        return DYNO_OK;
    DYNO_TRY(dyno_judge_create(builder->options, &builder->judge, builder->err));
    builder->stage_start_ns = dyno_clock_ns();
    builder->report->accuracy.ns = builder->stage_start_ns - start_ns;
    return DYNO_OK;
}

/* --- all of it --- */

static enum dyno_status choose(struct dyno_builder *builder)
{
    bool changed = false;
    DYNO_TRY(dyno_builder_choose(builder));
    DYNO_TRY(dyno_builder_retime(builder, &changed));
    return changed ? dyno_builder_branch(builder) : DYNO_OK; /* of what it is now */
}

static enum dyno_status run_stages(struct dyno_builder *builder, struct dyno_built *built)
{
    const struct dyno_build_options *options = builder->options;
    DYNO_TRY(import(builder));
    DYNO_TRY(rewrite(builder));
    DYNO_TRY(make_plan(builder));
    DYNO_TRY(set_precisions(builder));
    DYNO_TRY(ask_judge(builder));
    DYNO_TRY(tune(builder));
    DYNO_TRY(choose(builder));
    if (options->engine_path != NULL) {
        const struct dyno_plan *plan = dyno_builder_plan(builder);
        dyno_builder_tell(builder, DYNO_STAGE_WRITE, 0, 1, NULL);
        DYNO_TRY(dyno_engine_write(plan, &builder->target, options->engine_path, builder->err));
        end_stage(builder, DYNO_STAGE_WRITE);
        return DYNO_OK;
    }
    DYNO_TRY(dyno_builder_engine(builder));
    built->engine = builder->engine;
    builder->engine = NULL;
    return DYNO_OK;
}

enum dyno_status dyno_build(const struct dyno_build_options *options, struct dyno_built *built_out,
                            struct dyno_err *err)
{
    *built_out = (struct dyno_built){0};
    struct dyno_builder builder = {.options = options,
                                   .report = &built_out->report,
                                   .stage_start_ns = dyno_clock_ns(),
                                   .err = err};
    enum dyno_status status = set_target(&builder);
    if (status == DYNO_OK)
        status = run_stages(&builder, built_out);
    dyno_engine_close(builder.engine);
    dyno_plan_destroy(builder.plan);
    dyno_tuned_destroy(builder.tuned);
    dyno_judge_destroy(builder.judge);
    dyno_plan_destroy(builder.tuned_plan);
    dyno_free(builder.precisions);
    dyno_tune_cache_destroy(builder.cache);
    dyno_cuda_libraries_destroy(builder.libraries);
    dyno_cuda_programs_destroy(builder.programs);
    dyno_cuda_close(builder.cuda);
    built_out->model = builder.model;
    if (status != DYNO_OK) {
        const struct dyno_build_report report = built_out->report;
        dyno_built_fini(built_out);
        built_out->report = report;
        /* Their names are gone. */
        built_out->report.accuracy = (struct dyno_accuracy_report){0};
        built_out->report.retime = (struct dyno_retime_report){.trial_count = 0};
    }
    return status;
}

void dyno_built_fini(struct dyno_built *built)
{
    dyno_engine_close(built->engine);
    dyno_onnx_model_close(built->model);
    *built = (struct dyno_built){0};
}
