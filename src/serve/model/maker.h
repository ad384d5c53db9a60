/* maker.h - engines for model versions that are a model.onnx: a queue of builds, done by another
 * program, kept in the engine cache.
 *
 * Of each version there are two engines: the baseline, which is built in a moment and is slow, and
 * the tuned one, which takes its time.  All baselines that wait are built before any tuned one. The
 * tuned engine alone is told of when it was there already.  Reasons are told without the paths of
 * this machine, and logged with them.
 *
 * For a GPU its key holds what the builder tells of it (make_gpus.h), and one build runs there at
 * a time.  Where there can be no baseline (it is by libraries of NVIDIA's) the tuned engine is the
 * first.
 *
 * Any thread may ask.  Builds are waited for, and `told` is called, on threads of the maker's own,
 * which begin with the first request.
 */
#ifndef DYNO_SERVE_MODEL_MAKER_H
#define DYNO_SERVE_MODEL_MAKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define DYNO_MAKER_JOBS_MAX 16
#define DYNO_MAKER_LEVEL    3 /* of a tuned engine, when nothing is said */

struct dyno_maker;
struct dyno_engine_cache;

/* How an engine is built; zero and NULL: as the builder does when it is not told. */
struct dyno_make_wish {
    int64_t max_batch, opt_batch;                     /* --maxBatch, --optBatch */
    const char *min_shapes, *opt_shapes, *max_shapes; /* as the flags take them */
    bool has_level, exact, no_baseline;
    int64_t level; /* --builderOptimizationLevel */
    /* Of builds for a GPU alone. */
    bool fp16, bf16, tf32, lean;
    double accuracy_budget;       /* of the tuned engine; 0: it is not judged */
    const char *layer_precisions; /* as the flag takes them */
    const char *device;           /* "cuda:N"; "cpu" or NULL: the CPU */
    /* Nobody has named that GPU: where it tells that there is none, engines are for the CPU. */
    bool is_device_assumed;
    const char *refusal; /* why nothing can be built so; NULL: it can be tried */
};

/* The name of the first member that a build for the CPU cannot have ("fp16"); NULL: it has none. */
const char *dyno_make_wish_of_gpu(const struct dyno_make_wish *wish);

enum dyno_made_stage { DYNO_MADE_BASELINE, DYNO_MADE_TUNED };

enum dyno_made_state {
    DYNO_MADE_BUILDING, /* `reason` says what and how */
    DYNO_MADE_THERE,    /* at `path` */
    DYNO_MADE_FAILED,   /* for `reason` */
};

/* What is told of a version; its pointers live for the call. */
struct dyno_made {
    const char *model;
    uint64_t version;
    uint64_t ticket; /* dyno_maker_is_current */
    enum dyno_made_stage stage;
    enum dyno_made_state state;
    const char *path, *reason; /* "" where there is none */
};
typedef void dyno_made_fn(void *arg, const struct dyno_made *made);

struct dyno_maker_options {
    const char *builder; /* path of the program dyno */
    struct dyno_engine_cache *cache;
    int job_max;         /* builds at one time, 1..DYNO_MAKER_JOBS_MAX */
    int thread_count;    /* that engines are tuned for; 0: one a CPU */
    uint64_t timeout_ns; /* of one build; 0: none */
    dyno_made_fn *told;
    void *told_arg;
};

/* Strings are copied. */
DYNO_NODISCARD enum dyno_status dyno_maker_create(const struct dyno_maker_options *options,
                                                  struct dyno_maker **maker_out,
                                                  struct dyno_err *err);
/* End what is built, wait for the threads; from then on nothing is told, and wishes are forgotten.
 */
void dyno_maker_stop(struct dyno_maker *maker);
void dyno_maker_destroy(struct dyno_maker *maker); /* stops it; accepts NULL */

/* The version whose model is FOLDER/model.onnx shall have engines.  What is known of it is told
 * (again), what is being built for the same wish goes on, and what is not as asked for any more is
 * built anew.  A build that failed is tried again when a file has changed, the wish is another one,
 * or `again`.  *is_pending_out: an engine or a failure will be told of; else an engine was, and a
 * better one is being built.  Strings are copied.  E_NOMEM, E_LIMIT. */
DYNO_NODISCARD enum dyno_status dyno_maker_want(struct dyno_maker *maker, const char *model,
                                                uint64_t version, const char *folder,
                                                const struct dyno_make_wish *wish, bool again,
                                                bool *is_pending_out, struct dyno_err *err);
/* It is not wanted any more (version 0: none of the model is): what is built for it is ended, its
 * engines in the cache are held no longer, and nothing is told of it when this returns.  Not from
 * within `told`. */
void dyno_maker_drop(struct dyno_maker *maker, const char *model, uint64_t version);
/* Of a model only these versions are wanted any more. */
void dyno_maker_retain(struct dyno_maker *maker, const char *model, const uint64_t *versions,
                       size_t count);

/* Was what was told with this ticket told of a version that is still wanted in the same way? */
bool dyno_maker_is_current(struct dyno_maker *maker, const char *model, uint64_t version,
                           uint64_t ticket);

/* Is this another wish than the last one for the version, or are its files others than those that
 * were looked at?  Then it should be made.  False for what nobody has asked for.  Looks at files.
 */
bool dyno_maker_is_outdated(struct dyno_maker *maker, const char *model, uint64_t version,
                            const char *folder, const struct dyno_make_wish *wish);

struct dyno_maker_stats {
    uint64_t running_count, waiting_count;               /* builds now */
    uint64_t built_count, failed_count, cancelled_count; /* since the start */
    uint64_t build_ns;                                   /* of all that ended */
    uint64_t hit_count, miss_count;                      /* of the cache */
};
void dyno_maker_stats(struct dyno_maker *maker, struct dyno_maker_stats *stats_out);

#endif /* DYNO_SERVE_MODEL_MAKER_H */
