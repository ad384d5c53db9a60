/* build.h - from an ONNX file to an engine, in one call.
 *
 *   import -> passes -> lower -> tune -> finish -> engine in memory, or an engine file
 */
#ifndef DYNO_BUILD_BUILD_H
#define DYNO_BUILD_BUILD_H

#include "build/lower.h"
#include "engine/engine.h"
#include "onnx/import.h"
#include "passes/pass.h"
#include "tune/tune.h"
#include "tune/whole.h"

enum dyno_build_stage {
    DYNO_STAGE_IMPORT,
    DYNO_STAGE_PASSES,
    DYNO_STAGE_TUNE,
    DYNO_STAGE_PACK,
    DYNO_STAGE_WRITE,
    DYNO_STAGE_COUNT
};

/* May steps of a GPU that need not wait for each other overlap? */
enum dyno_build_branches {
    DYNO_BRANCHES_TIMED, /* where the whole graph is faster so; without timing never */
    DYNO_BRANCHES_ON,
    DYNO_BRANCHES_OFF,
};

/* For the layers whose names fit the pattern ('*': any characters). */
struct dyno_layer_precision {
    const char *pattern;
    uint32_t precisions; /* enum dyno_precision that are allowed, of those that the build allows */
};

struct dyno_build_options {
    const char *onnx_path;
    const char *engine_path; /* NULL: keep it in memory */
    const struct dyno_profile_input *profile;
    uint32_t profile_count;
    /* Above 0: open first dimensions that `profile` does not name are 1..batch_max, tuned for
     * batch_opt (0: chosen). */
    int64_t batch_max, batch_opt;
    struct dyno_pool *pool; /* the engine is tuned for its threads; NULL: one */
    bool baseline;          /* the unoptimised execution: op by op, no fusion, no tuning */
    bool exact;             /* no Winograd */
    const char *device;     /* "cuda", "cuda:N"; NULL or "cpu": the CPU */
    uint32_t precisions;    /* enum dyno_precision: allowed besides f32, on a GPU */
    bool no_tf32;           /* not in place of 16 bits either, for an accuracy budget */
    enum dyno_build_branches branches;
    const struct dyno_layer_precision *layers; /* rules; see build/precision.h */
    uint32_t layer_count;
    /* On a GPU: the largest error allowed, as a share of an output's range (build/budget.h); 0: not
     * judged.  `sample` gives the idx-th set of inputs for an engine of the model's shapes, in
     * `arena`; NULL: there are no more. */
    double accuracy_budget;
    enum dyno_status (*sample)(void *arg, const struct dyno_engine *engine, uint32_t idx,
                               struct dyno_arena *arena, struct dyno_array **inputs_out,
                               struct dyno_err *err);
    void *sample_arg;
    bool lean; /* on a GPU: no kernels that call NVIDIA's libraries */
    int level; /* --builderOptimizationLevel, 0..5 */
    /* On a GPU, with timing: seconds for trying alternatives in runs of the whole graph; 0: what
     * the level gives, below 0: none. */
    double retime_seconds;
    uint64_t workspace_bytes_max;  /* a kernel's workspace; 0: no limit */
    const char *timing_cache_path; /* NULL: none; read, and written after the build */
    uint64_t isa_mask;             /* instruction sets to use; 0: all of this machine */
    /* Called as the build goes on: step `done` of `total` inside a stage.  May be NULL. */
    void (*progress)(void *arg, enum dyno_build_stage stage, uint32_t done, uint32_t total,
                     const char *what);
    void *progress_arg;
    dyno_onnx_problem_fn *problem; /* findings of the importer; may be NULL */
    void *problem_arg;
    /* Called with the graph after import (pass NULL) and after each pass that changed it. */
    void (*graph)(void *arg, const struct dyno_pass *pass, const struct dyno_graph *graph);
    void *graph_arg;
};

/* A step that an accuracy budget takes out of what was fastest. */
struct dyno_raised {
    const char *name; /* lives with the model */
    uint32_t step;    /* in the order of the plan that was tuned */
    bool is_tf32;     /* rounds to TF32; else it is in f32 alone */
};

/* How the accuracy budget was kept. */
struct dyno_accuracy_report {
    double free_error, error;   /* with what was fastest; of the engine */
    uint32_t trials;            /* engines that were built and run for it */
    struct dyno_raised *raised; /* in order */
    uint32_t raised_count;
    uint64_t ns;
};

/* Another candidate in runs of the whole graph (tune/retime.h). */
struct dyno_retime_trial {
    const char *step_name; /* the first of the steps that were changed; lives with the model */
    uint32_t step_count;
    struct dyno_tactic chosen, other;
    float chosen_us, other_us; /* of a step, timed alone */
    float saves_us;            /* a run of the whole graph; what the cache says is left saves 0 */
    bool is_taken, is_cached;
};
struct dyno_retime_report {
    struct dyno_retime_trial trials[DYNO_RETIME_TRIALS_MAX];
    uint32_t trial_count, taken_count, cached_count;
    float graph_us; /* a run before the first trial that was not in the cache; 0: all were */
    bool is_cut;    /* there were more that could have been tried */
    struct dyno_err failure; /* what ended it; DYNO_OK: nothing */
    uint64_t ns;
};

/* Kernels of NVIDIA's libraries against our own alone, in runs of the whole graph
 * (build/providers.h). */
struct dyno_providers_report {
    bool was_tried, own_alone; /* own_alone: they are what the build goes on with */
    float saves_us;            /* a run with the libraries; what the cache says is left saves 0 */
    double with_error, own_error; /* with an accuracy budget: of what is fastest of each */
    struct dyno_err failure;      /* why our own alone were not tried; DYNO_OK: nothing */
};

struct dyno_build_report {
    uint64_t stage_ns[DYNO_STAGE_COUNT];
    uint32_t onnx_node_count;  /* as imported, constants and identities included */
    uint32_t graph_node_count; /* after the passes */
    uint32_t step_count;
    uint32_t reorder_count;
    uint32_t view_count;
    uint32_t cpu_step_count; /* of a plan for a GPU: those that no kernel there can do */
    uint32_t program_count;
    uint64_t packed_bytes;
    uint64_t model_bytes;
    struct dyno_tune_report tune;
    struct dyno_whole_times whole; /* zeros: not timed */
    struct dyno_providers_report providers;
    struct dyno_retime_report retime;
    struct dyno_accuracy_report accuracy;
    struct dyno_target target;
    /* Of a build for a GPU: a line for each of NVIDIA's libraries; "" with `lean`. */
    char libraries[1024];
};

/* A built engine with what it borrows from. */
struct dyno_built {
    struct dyno_onnx_model *model;
    struct dyno_engine *engine; /* NULL when it went to a file */
    struct dyno_build_report report;
};

/* E_ARG for options that contradict each other or the model; else the errors of the stages. Nothing
 * is left behind on failure, neither memory nor a file. */
DYNO_NODISCARD enum dyno_status dyno_build(const struct dyno_build_options *options,
                                           struct dyno_built *built_out, struct dyno_err *err);
void dyno_built_fini(struct dyno_built *built); /* accepts a zeroed one */

/* "import", "passes", ... */
const char *dyno_build_stage_text(enum dyno_build_stage stage);

#endif /* DYNO_BUILD_BUILD_H */
