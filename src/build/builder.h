/* builder.h - a build while it goes on: what its files share. */
#ifndef DYNO_BUILD_BUILDER_H
#define DYNO_BUILD_BUILDER_H

#include "build/build.h"
#include "build/judge.h"

struct dyno_builder {
    const struct dyno_build_options *options;
    struct dyno_build_report *report;
    struct dyno_onnx_model *model;
    struct dyno_plan *plan;
    struct dyno_target target;
    struct dyno_target own_target; /* the same without NVIDIA's libraries */
    struct dyno_cuda *cuda;        /* of a build for a GPU */
    struct dyno_cuda_libraries *libraries;
    struct dyno_cuda_programs *programs;
    struct dyno_plan *tuned_plan; /* what `tuned` is of; not changed any more */
    struct dyno_tuned *tuned;
    struct dyno_judge *judge; /* with an accuracy budget */
    uint32_t *precisions;     /* by step: enum dyno_precision that the rules leave it; NULL: all */
    struct dyno_tune_cache *cache;
    uint32_t known_count;       /* times that the file of the cache has */
    struct dyno_engine *engine; /* has taken the plan; NULL: not yet */
    uint32_t open_from;         /* steps from here on have shapes that only the run tells */
    uint64_t stage_start_ns;
    struct dyno_err *err;
};

/* builder->plan is made anew, with the choice that these precisions leave (NULL:
 * builder->precisions), and finished, so that it can be written or run.  chosen: called before
 * layout changes come in; may be NULL. */
DYNO_NODISCARD enum dyno_status dyno_builder_finish(
    struct dyno_builder *builder, const uint32_t *precisions,
    void (*chosen)(void *arg, const struct dyno_plan *plan), void *arg);

/* The candidates of builder->tuned_plan on `target`, which must outlive them. */
DYNO_NODISCARD enum dyno_status dyno_builder_tune(struct dyno_builder *builder,
                                                  const struct dyno_target *target,
                                                  struct dyno_tuned **tuned_out);

/* To the progress of the options, if there is any. */
void dyno_builder_tell(const struct dyno_builder *builder, enum dyno_build_stage stage,
                       uint32_t done, uint32_t total, const char *what);

/* The file of the timing cache, where there is one and it lacks something. */
DYNO_NODISCARD enum dyno_status dyno_builder_save_cache(struct dyno_builder *builder);

#endif /* DYNO_BUILD_BUILDER_H */
