/* cmd_build.c - dyno build: an ONNX file becomes an engine file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/device.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/progress.h"
#include "cli/flags.h"
#include "cli/precisions.h"
#include "cli/report.h"
#include "cli/session.h"
#include "cli/shapes.h"

struct options {
    struct dyno_cli_list positional;
    const char *onnx, *engine, *shapes, *min_shapes, *opt_shapes, *max_shapes;
    const char *pool_size, *timing_cache, *device, *branches, *print_graph;
    const char *layer_precisions;
    struct dyno_cli_list load_inputs;
    double accuracy_budget, retime_budget;
    int64_t threads, level, batch_max, batch_opt;
    bool baseline, exact, fp16, bf16, tf32, no_tf32, lean, json, verbose;
};

#define NOT_GIVEN (-1.0)
#define AT(field) DYNO_FLAG_AT(options, field)
static const struct dyno_flag flags[] = {
    {.name = "--onnx",
     .value = "FILE",
     .help = "The ONNX model to build from",
     .kind = DYNO_FLAG_STR,
     AT(onnx)},
    {.name = "--saveEngine",
     .value = "FILE",
     .help = "Where the engine goes; the build report is put beside it as FILE.json",
     .kind = DYNO_FLAG_STR,
     AT(engine)},
    DYNO_FLAG_SHAPES(options, "Fix the shapes of inputs"),
    DYNO_FLAGS_PROFILE(options, ""),
    {.name = "--maxBatch",
     .value = "N",
     .help = "Take batches of 1 to N: the first dimension of each input, where the model leaves it "
             "open and no shape flag names the input; 0 leaves it open",
     .kind = DYNO_FLAG_INT,
     AT(batch_max),
     .min = 0,
     .max = 1048576},
    {.name = "--optBatch",
     .value = "N",
     .help = "With --maxBatch: the batch to tune for; 0 is a power of two about its square root",
     .kind = DYNO_FLAG_INT,
     AT(batch_opt),
     .min = 0,
     .max = 1048576},
    DYNO_FLAG_THREADS(options, "Threads the engine is tuned for"),
    DYNO_FLAG_LEVEL(options, 3),
    DYNO_FLAG_TIMING_CACHE(options),
    {.name = "--memPoolSize",
     .value = "workspace:MiB",
     .help = "Most workspace a kernel may use",
     .kind = DYNO_FLAG_STR,
     AT(pool_size)},
    {.name = "--device",
     .value = "cpu|cuda[:N]",
     .help = "Device to build for: the CPU, or a GPU of NVIDIA's by its number",
     .kind = DYNO_FLAG_STR,
     AT(device)},
    {.name = "--fp16",
     .help = "With --device=cuda: allow 16-bit floating point where it is faster",
     .kind = DYNO_FLAG_BOOL,
     AT(fp16)},
    {.name = "--bf16",
     .help = "With --device=cuda: allow bfloat16 where it is faster",
     .kind = DYNO_FLAG_BOOL,
     AT(bf16)},
    {.name = "--tf32",
     .help = "With --device=cuda: allow products and convolutions of f32 tensors to round their "
             "factors to TF32, for tensor cores, where it is faster",
     .kind = DYNO_FLAG_BOOL,
     AT(tf32)},
    {.name = "--noTF32",
     .help = "What holds without --tf32, but that --accuracyBudget may take layers from 16 bits to "
             "TF32: with this flag not even that",
     .kind = DYNO_FLAG_BOOL,
     AT(no_tf32)},
    {.name = "--layerPrecisions",
     .value = "LAYER:fp32|fp16|bf16,...",
     .help = "What --fp16, --bf16 and --tf32 allow, layer by layer: fp32 keeps a layer in f32 "
             "altogether, fp16 and bf16 leave it those 16 bits alone; layers are named as in the "
             "model, * stands for any characters, a name without one goes before",
     .kind = DYNO_FLAG_STR,
     AT(layer_precisions)},
    {.name = "--accuracyBudget",
     .value = "X",
     .help = "With --fp16, --bf16 or --tf32: the largest error allowed against the unoptimised "
             "execution in f32, as a share of an output's range; layers go from 16 bits to TF32 "
             "(unless --noTF32) or f32 until it is kept. 0: not judged",
     .kind = DYNO_FLAG_F64,
     AT(accuracy_budget),
     .fallback = 0,
     .min = 0,
     .max = 0.999},
    {.name = "--loadInputs",
     .value = "NAME:FILE.npy",
     .help = "Data for --accuracyBudget, whose first dimension may be longer than a batch; inputs "
             "without any get made-up data",
     .kind = DYNO_FLAG_LIST,
     AT(load_inputs)},
    {.name = "--lean",
     .help = "With --device=cuda: leave out the kernels of NVIDIA's libraries, so that the engine "
             "needs the driver alone",
     .kind = DYNO_FLAG_BOOL,
     AT(lean)},
    {.name = "--branches",
     .value = "timed|on|off",
     .help = "With --device=cuda: may steps that need not wait for each other overlap? `timed`, "
             "where the whole graph was faster so",
     .kind = DYNO_FLAG_STR,
     AT(branches)},
    {.name = "--retimeBudget",
     .value = "SECONDS",
     .help = "With --device=cuda: time for trying, in runs of the whole graph, what was nearly as "
             "fast as the chosen kernels when timed alone; 0: none. Without it 8 at "
             "--builderOptimizationLevel=4, 30 at 5, none below",
     .kind = DYNO_FLAG_F64,
     AT(retime_budget),
     .fallback = NOT_GIVEN,
     .min = 0,
     .max = 86400},
    DYNO_FLAG_BASELINE(options, "Build the unoptimised execution: op by op, no fusion, no tuning"),
    DYNO_FLAG_EXACT(options),
    {.name = "--printGraph",
     .value = "PASS|all|import",
     .help = "Print the graph after that pass (all: after each one; import: before the first)",
     .kind = DYNO_FLAG_STR,
     AT(print_graph)},
    {.name = "--verbose",
     .help = "Print every step with its kernel",
     .kind = DYNO_FLAG_BOOL,
     AT(verbose)},
    DYNO_FLAG_JSON(options),
};

struct sight {
    const struct options *options;
    struct dyno_progress progress;
    bool bar_open;
};

static void on_graph(void *arg, const struct dyno_pass *pass, const struct dyno_graph *graph)
{
    const struct sight *sight = arg;
    const char *wanted = sight->options->print_graph;
    const char *name = pass != NULL ? pass->name : "import";
    if (wanted == NULL || (strcmp(wanted, "all") != 0 && strcmp(wanted, name) != 0))
        return;
    struct dyno_strbuf text = {0};
    dyno_graph_print(graph, &text);
    printf("// after %s\n%s\n", name, dyno_strbuf_text(&text));
    dyno_strbuf_fini(&text);
}

static void on_progress(void *arg, enum dyno_build_stage stage, uint32_t done, uint32_t total,
                        const char *what)
{
    struct sight *sight = arg;
    if (stage != DYNO_STAGE_TUNE || total <= 1)
        return;
    if (!sight->bar_open)
        dyno_progress_begin(&sight->progress, "tuning", total);
    sight->bar_open = true;
    dyno_progress_step(&sight->progress, 1, what);
    if (done == total) {
        dyno_progress_end(&sight->progress);
        sight->bar_open = false;
    }
}

static enum dyno_status workspace_of(const char *text, uint64_t *bytes_out, struct dyno_err *err)
{
    *bytes_out = 0;
    if (text == NULL)
        return DYNO_OK;
    char *end = NULL;
    const char *colon = strchr(text, ':');
    const double mib = colon != NULL ? strtod(colon + 1, &end) : 0.0;
    if (strncmp(text, "workspace:", 10) != 0 || end == colon + 1 ||
        (*end != 0 && strcmp(end, "M") != 0) || !(mib > 0.0 && mib < 1e9))
        return DYNO_FAIL(err, DYNO_E_ARG, "--memPoolSize=%s: wants workspace:MiB", text);
    *bytes_out = (uint64_t)(mib * 1048576.0);
    return DYNO_OK;
}

static enum dyno_status check_budget(const struct options *options, bool on_cpu,
                                     struct dyno_err *err)
{
    if (options->accuracy_budget == 0.0 && options->load_inputs.count > 0)
        return DYNO_FAIL(err, DYNO_E_ARG, "--loadInputs goes with --accuracyBudget");
    if (options->accuracy_budget == 0.0)
        return DYNO_OK;
    if (on_cpu)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED,
                         "--accuracyBudget goes with --device=cuda: the CPU's kernels are f32");
    if (options->baseline)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "--accuracyBudget is for engines: the unoptimised execution is f32");
    if (!options->fp16 && !options->bf16 && !options->tf32)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "--accuracyBudget goes with --fp16, --bf16 or --tf32: all else is f32");
    return DYNO_OK;
}

static enum dyno_status check(const struct options *options, struct dyno_err *err)
{
    if (options->onnx == NULL)
        return DYNO_FAIL(err, DYNO_E_ARG, "--onnx=FILE is missing");
    if (options->engine == NULL)
        return DYNO_FAIL(err, DYNO_E_ARG, "--saveEngine=FILE is missing");
    int ordinal = 0;
    const bool on_cpu = options->device == NULL || strcmp(options->device, "cpu") == 0;
    if (!on_cpu && !dyno_cuda_ordinal(options->device, &ordinal))
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED,
                         "--device=%s: this build knows cpu, cuda and cuda:N", options->device);
    if (on_cpu && (options->fp16 || options->bf16))
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED,
                         "--fp16 and --bf16 go with --device=cuda: the CPU's kernels are f32");
    if (on_cpu && options->tf32)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED,
                         "--tf32 goes with --device=cuda: the CPU has nothing like it");
    if (options->tf32 && options->no_tf32)
        return DYNO_FAIL(err, DYNO_E_ARG, "give either --tf32 or --noTF32");
    if (on_cpu && options->layer_precisions != NULL)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED,
                         "--layerPrecisions goes with --device=cuda: the CPU's kernels are f32");
    DYNO_TRY(check_budget(options, on_cpu, err));
    if (on_cpu && options->lean)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED,
                         "--lean goes with --device=cuda: engines for the CPU need no library");
    if (on_cpu && options->branches != NULL)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED,
                         "--branches goes with --device=cuda: on the CPU a step has all threads");
    if (on_cpu && options->retime_budget >= 0.0)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED,
                         "--retimeBudget goes with --device=cuda: the CPU's graphs are not timed");
    if (options->batch_opt > options->batch_max)
        return DYNO_FAIL(err, DYNO_E_ARG, "--optBatch=%lld is more than --maxBatch=%lld",
                         (long long)options->batch_opt, (long long)options->batch_max);
    DYNO_TRY(dyno_session_check_folder(options->engine, err));
    return dyno_session_check_folder(options->timing_cache, err);
}

/* The report lies beside the engine, so that the engine's bytes hold no times. */
static enum dyno_status save_report(const struct options *options, const struct dyno_strbuf *json,
                                    struct dyno_err *err)
{
    struct dyno_strbuf path = {0};
    dyno_strbuf_printf(&path, "%s.json", options->engine);
    const enum dyno_status status =
        dyno_strbuf_ok(&path) && dyno_strbuf_ok(json)
            ? dyno_file_write_atomic(dyno_strbuf_text(&path), dyno_strbuf_text(json), json->bytes,
                                     err)
            : DYNO_NOMEM(err);
    dyno_strbuf_fini(&path);
    return status;
}

static enum dyno_status report(const struct options *options, const struct dyno_built *built,
                               struct dyno_err *err)
{
    enum dyno_status status = DYNO_OK;
    struct dyno_strbuf json = {0};
    struct dyno_engine *engine = NULL;
    status = dyno_engine_open_on(options->engine, options->device, &engine, err);
    /* A trial may have broken the GPU for this process; the engine is not of that trial. */
    if (status != DYNO_OK && (built->report.retime.failure.status != DYNO_OK ||
                              built->report.providers.failure.status != DYNO_OK))
        status = dyno_engine_inspect(options->engine, &engine, err);
    if (status != DYNO_OK)
        return status;
    dyno_report_build_json(&built->report, engine, options->onnx, options->engine, &json);
    status = save_report(options, &json, err);
    if (status == DYNO_OK && options->json)
        (void)fputs(dyno_strbuf_text(&json), stdout);
    else if (status == DYNO_OK)
        dyno_report_build_text(&built->report, engine, options->onnx, options->engine,
                               options->verbose);
    dyno_strbuf_fini(&json);
    dyno_engine_close(engine);
    return status;
}

static enum dyno_status branches_of(const char *text, enum dyno_build_branches *branches_out,
                                    struct dyno_err *err)
{
    static const char *const texts[] = {
        [DYNO_BRANCHES_TIMED] = "timed", [DYNO_BRANCHES_ON] = "on", [DYNO_BRANCHES_OFF] = "off"};
    *branches_out = DYNO_BRANCHES_TIMED;
    for (size_t i = 0; i < DYNO_COUNT(texts); i++) {
        if (text == NULL || strcmp(text, texts[i]) == 0) {
            *branches_out = (enum dyno_build_branches)i;
            return DYNO_OK;
        }
    }
    return DYNO_FAIL(err, DYNO_E_ARG, "--branches=%s: it is timed, on or off", text);
}

static enum dyno_status build(const struct options *options, struct dyno_arena *arena,
                              struct dyno_pool *pool, struct dyno_err *err)
{
    struct dyno_cli_shapes shapes;
    uint64_t workspace_bytes = 0;
    enum dyno_build_branches branches = DYNO_BRANCHES_TIMED;
    DYNO_TRY(branches_of(options->branches, &branches, err));
    DYNO_TRY(dyno_cli_shapes(options->shapes, options->min_shapes, options->opt_shapes,
                             options->max_shapes, arena, &shapes, err));
    DYNO_TRY(workspace_of(options->pool_size, &workspace_bytes, err));
    struct sight sight = {.options = options};
    const uint32_t precisions = (options->fp16 ? DYNO_PRECISION_F16 : 0U) |
                                (options->bf16 ? DYNO_PRECISION_BF16 : 0U) |
                                (options->tf32 ? DYNO_PRECISION_TF32 : 0U);
    struct dyno_layer_precision *layers = NULL;
    uint32_t layer_count = 0;
    struct dyno_cli_samples samples = {.files = &options->load_inputs};
    DYNO_TRY(dyno_cli_precisions(options->layer_precisions, precisions, arena, &layers,
                                 &layer_count, err));
    struct dyno_findings findings = {0};
    const struct dyno_build_options build_options = {
        .onnx_path = options->onnx,
        .engine_path = options->engine,
        .profile = shapes.items,
        .profile_count = shapes.count,
        .batch_max = options->batch_max,
        .batch_opt = options->batch_opt,
        .pool = pool,
        .baseline = options->baseline,
        .exact = options->exact,
        .device = options->device,
        .branches = branches,
        .precisions = precisions,
        .no_tf32 = options->no_tf32,
        .layers = layers,
        .layer_count = layer_count,
        .accuracy_budget = options->accuracy_budget,
        .sample = dyno_cli_sample,
        .sample_arg = &samples,
        .lean = options->lean,
        .level = (int)options->level,
        .retime_seconds = options->retime_budget < 0.0    ? 0.0
                          : options->retime_budget == 0.0 ? -1.0
                                                          : options->retime_budget,
        .workspace_bytes_max = workspace_bytes,
        .timing_cache_path = options->timing_cache,
        .progress = on_progress,
        .progress_arg = &sight,
        .problem = dyno_findings_add,
        .problem_arg = &findings,
        .graph = on_graph,
        .graph_arg = &sight,
    };
    struct dyno_built built;
    enum dyno_status status = dyno_build(&build_options, &built, err);
    dyno_findings_end(&findings, err);
    if (sight.bar_open)
        dyno_progress_end(&sight.progress);
    if (status == DYNO_OK)
        status = report(options, &built, err);
    dyno_built_fini(&built);
    return status;
}

static enum dyno_status run(const void *opaque, struct dyno_err *err)
{
    const struct options *options = opaque;
    DYNO_TRY(check(options, err));
    struct dyno_pool *pool = NULL;
    const struct dyno_pool_options pool_options = {.thread_count = (int)options->threads,
                                                   .bind = true};
    struct dyno_arena *arena = dyno_arena_create();
    if (arena == NULL)
        return DYNO_NOMEM(err);
    enum dyno_status status = dyno_pool_create(&pool_options, &pool, err);
    if (status == DYNO_OK)
        status = build(options, arena, pool, err);
    dyno_pool_destroy(pool);
    dyno_arena_destroy(arena);
    return status;
}

const struct dyno_command dyno_command_build = {
    .name = "build",
    .summary = "Make a tuned engine file of an ONNX model",
    .text = "Reads the model, rewrites its graph, times kernels for each layer on this machine, "
            "chooses kernels and layouts over the whole graph, and writes an engine that is mapped "
            "and run in place. Dimensions that no shape flag fixes stay open; the engine is tuned "
            "for size 1 of those.",
    .flags = flags,
    .flag_count = DYNO_COUNT(flags),
    .options_bytes = sizeof(struct options),
    .run = run,
};
