/* variant.h - one engine file made ready to run: (model, version, name).
 *
 * Made and destroyed by the manager's thread.  While somebody holds a reference it stays as it is;
 * the last reference hands it back to the manager.  Contexts are lent one at a time.
 */
#ifndef DYNO_SERVE_MODEL_VARIANT_H
#define DYNO_SERVE_MODEL_VARIANT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "dyno/engine.h"
#include "serve/v2/infer.h"
#include "serve/watch/histogram.h"

#define DYNO_CONTEXTS_MAX 64
#define DYNO_BATCH_COSTS  128 /* batches of more rows are judged by the nearest smaller one */

enum dyno_variant_state {
    DYNO_VARIANT_LOADING,
    DYNO_VARIANT_WARMING,
    DYNO_VARIANT_READY,
    DYNO_VARIANT_DRAINING,
    DYNO_VARIANT_UNLOADED,
    DYNO_VARIANT_FAILED,
};

/* What Triton counts, since the variant was loaded.  Any thread; relaxed. */
struct dyno_variant_stats {
    atomic_uint_fast64_t success_count, success_ns; /* requests */
    atomic_uint_fast64_t fail_count, fail_ns;
    atomic_uint_fast64_t queue_ns, input_ns, infer_ns, output_ns; /* sums over requests */
    atomic_uint_fast64_t inference_count, execution_count;
    atomic_uint_fast64_t last_ms; /* since the epoch */
    atomic_uint_fast64_t pending_count;
    /* Of requests that went well: from their first byte, waiting, running. */
    struct dyno_histogram request, queue, compute;
    /* Executions by rows, as the protocol's batch_stats has them; [0]: more rows than counted. */
    atomic_uint_fast64_t batch_count[DYNO_BATCH_COSTS + 1], batch_ns[DYNO_BATCH_COSTS + 1];
};

struct dyno_task;

struct dyno_variant {
    struct dyno_variant *next; /* the manager's */
    struct dyno_variant *next_reap;
    void (*reap)(struct dyno_variant *variant); /* the last reference is gone; any thread */
    void *reap_arg;
    atomic_uint_fast32_t ref_count;
    char model[129], version[24], name[129];
    uint64_t version_number;
    char *path;
    _Atomic enum dyno_variant_state state;
    struct dyno_err reason; /* FAILED */

    struct dyno_engine *engine;
    struct dyno_v2_tensor *inputs, *outputs; /* names, types, dims with -1 for open; no data */
    struct dyno_io_info *input_infos;
    size_t input_count, output_count;
    int64_t max_batch; /* 0: rows may see each other, requests run alone */
    uint64_t run_ns;   /* at the optimal shape, measured at warm-up */
    /* Moving means of whole runs by rows, 0: not seen; written under the lock. */
    uint64_t cost_ns[DYNO_BATCH_COSTS + 1];
    bool has_open_outputs; /* an output's shape is known only after the run */

    /* The scheduler's. */
    pthread_mutex_t lock;
    struct dyno_context *contexts[DYNO_CONTEXTS_MAX];
    struct dyno_context *idle[DYNO_CONTEXTS_MAX];
    int context_count, idle_count;
    struct dyno_task *queue_first, *queue_last;
    uint32_t queue_count;
    bool is_running; /* a batch is; batches of one variant go one after the other */

    struct dyno_variant_stats stats;
};

/* A new one in state LOADING with one reference; NULL: out of memory. */
struct dyno_variant *dyno_variant_create(const char *model, uint64_t version, const char *name,
                                         const char *path);
/* Open the engine, make contexts, warm up: LOADING -> WARMING -> (the caller sets READY).
 * max_batch -1: as large as the engine takes, if rows are proved to be independent.  On failure
 * the state is FAILED with its reason. */
enum dyno_status dyno_variant_load(struct dyno_variant *variant, struct dyno_pool *pool,
                                   int context_count, int64_t max_batch, struct dyno_err *err);
/* The largest batch whose rows are independent, as far as two rows show it; 0: they are not. */
int64_t dyno_variant_probe_batch(struct dyno_variant *variant);
void dyno_variant_destroy(struct dyno_variant *variant); /* nobody holds it */

void dyno_variant_ref(struct dyno_variant *variant);
void dyno_variant_unref(struct dyno_variant *variant);

/* Triton's words: READY, UNAVAILABLE, LOADING, UNLOADING. */
const char *dyno_variant_state_text(enum dyno_variant_state state);

/* Bytes of the engine file and of the contexts' arenas. */
uint64_t dyno_variant_bytes(struct dyno_variant *variant);

/* Do these inputs suit the engine?  Puts them in the engine's order into arrays[input_count].
 * E_ARG names the input, the dimension and the rule. */
enum dyno_status dyno_variant_arrange(const struct dyno_variant *variant,
                                      const struct dyno_infer *infer, struct dyno_array *arrays,
                                      struct dyno_err *err);
/* Index of an output by name; -1: none. */
int dyno_variant_output(const struct dyno_variant *variant, const char *name);

#endif /* DYNO_SERVE_MODEL_VARIANT_H */
