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
#include "serve/model/cost.h"
#include "serve/model/instance.h"
#include "serve/model/labels.h"
#include "serve/v2/infer.h"
#include "serve/watch/device.h"
#include "serve/watch/tally.h"

#define DYNO_INSTANCES_MAX  64
#define DYNO_LANES_MAX      16
#define DYNO_GPUS_MAX       16
#define DYNO_DEVICES_MAX    (1 + DYNO_GPUS_MAX) /* the CPU, which is the first, and GPUs */
#define DYNO_BATCH_COSTS    DYNO_COST_ROWS
#define DYNO_BATCH_ROWS_MAX INT32_MAX /* what the protocol can say */

/* How many I/O threads count, for how many service classes. */
struct dyno_tally_shape {
    int thread_count, class_count;
};

/* The device, shared out: a pool a lane, each running one thing at a time. */
struct dyno_lanes {
    struct dyno_pool *pools[DYNO_LANES_MAX];
    int count;
};

/* A GPU, as device 1 and up. */
struct dyno_gpu_device {
    const char *name; /* "cuda:N" */
    struct dyno_card *card;
    struct dyno_device *account;     /* NULL: none */
    atomic_uint_fast64_t item_count; /* rows of runs that ended well there; whoever runs adds */
};

/* Which file it was, and what of its configuration it was loaded with: two that are alike need not
 * be loaded one after the other. */
struct dyno_stamp {
    uint64_t device, inode, bytes, time_ns;
    uint64_t settings;
};

/* Runs since the variant was loaded; whoever runs adds.  Requests are counted in tallies. */
struct dyno_variant_stats {
    atomic_uint_fast64_t execution_count;
    /* By rows, as the protocol's batch_stats has them; [0]: more rows than counted. */
    atomic_uint_fast64_t batch_count[DYNO_BATCH_COSTS + 1], batch_ns[DYNO_BATCH_COSTS + 1];
};

struct dyno_line;
struct dyno_subject;

/* The scheduler's, of a variant, under the scheduler's lock. */
struct dyno_gather {
    uint64_t came_ns, gap_ns; /* when a request came last; the usual time between two */
    uint64_t held_ns;         /* since when a run is held back for more rows; 0: none is */
    int64_t held_rows;        /* that waited then */
    double use;               /* how often holding back brought rows, 0..1 */
    uint32_t skipped_count;   /* times that it was not tried */
    uint32_t formed_count;
};

struct dyno_slot;

struct dyno_variant {
    struct dyno_variant *next_reap;
    void (*reap)(struct dyno_variant *variant); /* the last reference is gone; any thread */
    void *reap_arg;
    struct dyno_slot *slot;                     /* the catalog's, which outlives it */
    struct dyno_variant *next_held, *prev_held; /* of those whose bytes count */
    atomic_uint_fast32_t ref_count;
    char model[129], version[24], name[129];
    uint64_t version_number;
    struct dyno_stamp stamp;
    atomic_uint_fast64_t load_core_ns; /* what warming took, until somebody is charged for it */
    int device;                        /* it runs on; what runs on the CPU is in this process, */
    struct dyno_gpu_device *gpu;       /* NULL then, */
    struct dyno_remote_engine *remote; /* and NULL; else its engine is here to be looked at */
    char *path; /* of the file that was loaded, where others may find it since; NULL: none was */
    _Atomic(struct dyno_subject *) account; /* the meter's, which outlives it; NULL: none */

    struct dyno_engine *engine;
    struct dyno_v2_tensor *inputs, *outputs; /* names, types, dims with -1 for open; no data */
    struct dyno_io_info *input_infos;
    size_t input_count, output_count;
    int64_t max_batch;           /* 0: rows may see each other, requests run alone */
    struct dyno_labels **labels; /* one an output, or NULL there */
    bool has_open_outputs;       /* an output's shape is known only after the run */

    /* Contexts, those of one pool every pool_count-th; which are not lent, and what runs take. */
    pthread_mutex_t lock;
    struct dyno_instance *instances[DYNO_INSTANCES_MAX];
    uint8_t idle[DYNO_INSTANCES_MAX]; /* indices */
    int instance_count, idle_count;
    struct dyno_cost cost;

    /* The scheduler's. */
    struct dyno_line *lines; /* tasks that wait */
    atomic_uint_fast32_t waiting_count;
    struct dyno_gather gather;

    struct dyno_variant_stats stats;
    /* [thread * class_count + class], each made by its thread with its first request. */
    _Atomic(struct dyno_tally *) *tallies;
    struct dyno_tally_shape tally_shape;
};

/* How to load one; all of it is borrowed for the call. */
struct dyno_variant_plan {
    const char *path, *folder; /* of the engine; of the model, where its labels are */
    const struct dyno_model_labels *labels;
    const struct dyno_lanes *lanes;
    struct dyno_device *device; /* the runs of warming are charged to it, as its platform's */
    int instance_count, gpu_instance_count; /* on the CPU, and on a GPU */
    int64_t max_batch; /* -1: as large as the engine takes, if rows are proved to be independent */
    uint64_t settings; /* of the stamp */
    void (*warming)(void *arg); /* the file was read and checked, runs begin */
    /* May it hold so many bytes of that device's memory (0: the host's) in all?  Asked with what is
     * expected (the file; then instances like the first one) and with what came of it. */
    enum dyno_status (*reserve)(void *arg, int device, uint64_t bytes, struct dyno_err *err);
    /* An engine for a GPU: say on which one it is to run, which then has a child.  E_TARGET. */
    enum dyno_status (*place)(void *arg, struct dyno_variant *variant, struct dyno_err *err);
    void *arg;
};

/* A new one with one reference, nothing in it; NULL: out of memory. */
struct dyno_variant *dyno_variant_create(const char *model, uint64_t version, const char *name,
                                         const struct dyno_tally_shape *tally_shape);
/* Open the engine, make instances, warm up.  What is wrong is told without the paths of this
 * machine; in any case the stamp is that of the file, as far as there was one. */
enum dyno_status dyno_variant_load(struct dyno_variant *variant,
                                   const struct dyno_variant_plan *plan, struct dyno_err *err);
/* The stamp of a file, without its settings; zeroed where there is none. */
struct dyno_stamp dyno_stamp_of(const char *path);
bool dyno_stamp_is_same(const struct dyno_stamp *a, const struct dyno_stamp *b);
/* The largest batch whose rows are independent, as far as two rows show it; 0: they are not. */
int64_t dyno_variant_probe_batch(struct dyno_variant *variant);
void dyno_variant_destroy(struct dyno_variant *variant); /* nobody holds it */

void dyno_variant_ref(struct dyno_variant *variant);
void dyno_variant_unref(struct dyno_variant *variant);

/* Where I/O thread `thread` counts requests of a class; NULL: out of memory. */
struct dyno_tally *dyno_variant_tally(struct dyno_variant *variant, int thread, int class_idx);
/* Adds up what all threads counted of a class (-1: of all) into *sum_out. */
void dyno_variant_sum(const struct dyno_variant *variant, int class_idx,
                      struct dyno_tally *sum_out);

/* Bytes of the engine file and of all that it and its instances allocated; and of a GPU's memory.
 */
uint64_t dyno_variant_bytes(struct dyno_variant *variant);
uint64_t dyno_variant_gpu_bytes(const struct dyno_variant *variant);
/* A run of the platform's own, while it is loaded. */
enum dyno_status dyno_variant_try(struct dyno_variant *variant, int instance,
                                  const struct dyno_array *inputs, struct dyno_array *outputs,
                                  struct dyno_err *err);

/* Do these inputs suit the engine?  Puts them in the engine's order into arrays[input_count].
 * E_ARG names the input, the dimension and the rule. */
enum dyno_status dyno_variant_arrange(const struct dyno_variant *variant,
                                      const struct dyno_infer *infer, struct dyno_array *arrays,
                                      struct dyno_err *err);
/* Rows of a request that was arranged, and the shape of one of them. */
int64_t dyno_variant_rows(const struct dyno_variant *variant, const struct dyno_array *arrays,
                          struct dyno_cost_key *key_out);
/* Index of an output by name; -1: none. */
int dyno_variant_output(const struct dyno_variant *variant, const char *name);

#endif /* DYNO_SERVE_MODEL_VARIANT_H */
