/* manager.h - orders to load, unload and list models, and the threads that carry them out.
 *
 * Orders about one model are carried out one after the other, in the order they came.  Those about
 * others do not wait for a load: of the threads, which run at low priority, one never loads.  A
 * command's `done` is called on whichever of them did it.
 */
#ifndef DYNO_SERVE_MODEL_MANAGER_H
#define DYNO_SERVE_MODEL_MANAGER_H

#include "serve/model/catalog.h"

struct dyno_manager;

enum dyno_command_kind {
    DYNO_COMMAND_LOAD,
    DYNO_COMMAND_UNLOAD,
    DYNO_COMMAND_INDEX,
    DYNO_COMMAND_FORGET, /* unload, and know it no more: its folder is gone */
};

struct dyno_order {
    struct dyno_order *next;
    enum dyno_command_kind kind;
    /* All of it lives until done.  Of a LOAD without a version: what the configuration of the model
     * wants, and what it does not want any more is unloaded. */
    const char *model;
    uint64_t version;    /* 0: all */
    const char *variant; /* "" or NULL: all */
    /* LOAD of one variant of one version.  path: its engine, where the repository does not have it
     * under that name.  replaces: the name of another variant of that version, which drains in the
     * step that makes this one ready, and is known no more.  NULL: nothing of the kind. */
    const char *path, *replaces;
    /* Of LOAD.  may_put_off: what does not fit now is left until a request wants it, and is no
     * failure.  is_spare: nothing goes to make room.  is_demand: requests wait for it, or did.
     * only_loaded: what is not loaded, and not pinned, is only made known. */
    bool may_put_off, is_spare, is_demand, only_loaded;
    /* Asked when its turn has come; false: it is cancelled.  NULL: it is wanted. */
    bool (*is_wanted)(const struct dyno_order *order);
    void (*done)(struct dyno_order *order);
    /* What came of it. */
    enum dyno_status status;
    struct dyno_err err;
    struct dyno_arena *arena; /* INDEX: the caller's, for the rows */
    struct dyno_index_row *rows;
    /* The manager's: versions of a LOAD that are being built, and why one of them is not; it is
     * carried out a second time when none is left. */
    size_t wait_count;
    bool is_second;
    struct dyno_err build_reason;
};

/* How engines are made of versions that are a model.onnx. */
struct dyno_workshop_options {
    const char *builder;      /* the program dyno; NULL: the one beside this program, or in PATH */
    const char *cache_folder; /* NULL: dyno_engine_cache_default */
    uint64_t cache_bytes_max; /* 0: no limit */
    int job_max;              /* builds at one time */
    int thread_count;         /* that engines are tuned for; 0: one a CPU */
    uint64_t timeout_ns;      /* of one build; 0: none */
};

/* What is done at the start, as by an order. */
struct dyno_start {
    enum dyno_command_kind kind;
    const char *model, *variant;
    uint64_t version;
};

/* A GPU that engines may go to. */
struct dyno_gpu_options {
    const char *name;            /* "cuda:N"; lives as long as the manager */
    struct dyno_device *account; /* that runs are charged to; NULL: to none */
};

struct dyno_manager_options {
    const char *const *folders; /* live as long as the manager */
    size_t folder_count;
    int threads;       /* that runs share; 0: one a CPU */
    int lane_count;    /* runs at one time, each with its part of the threads */
    int context_count; /* of a variant, unless its configuration says; a lane has one at least */
    int load_count;    /* loads at one time; 1..DYNO_LOADS_MAX */
    uint64_t memory_bytes_max; /* of all loaded variants; 0: any */
    struct dyno_tally_shape tally_shape;
    struct dyno_device *device; /* that runs are charged to; NULL: to none */
    struct dyno_gpu_options gpus[DYNO_GPUS_MAX];
    int gpu_count;
    bool is_gpu_assumed;                        /* nobody named it: this machine may have none */
    const char *gpu_program;                    /* that drives them, with --drive-gpu NAME */
    uint64_t gpu_bytes_max;                     /* of each; 0: nine tenths of what it has */
    uint64_t gpu_timeout_ns;                    /* for what one is told to do; 0: none */
    const struct dyno_workshop_options *builds; /* for the call; NULL: nothing is built */
    bool load_at_start;                         /* everything, before what `starts` say */
    bool on_demand;    /* what there is is loaded when a request wants it */
    uint32_t wait_max; /* requests that wait for one variant to be loaded; more are refused */
    uint64_t poll_ns;  /* between looks at what has changed in the repository; 0: none */
    /* Told of an engine that was loaded, before requests find it; when it fails, so does the load.
     * On whichever thread loads; NULL: nobody is told. */
    enum dyno_status (*adopt)(void *arg, struct dyno_variant *variant, struct dyno_err *err);
    void *adopt_arg;
    const struct dyno_start *starts;
    size_t start_count;
};

#define DYNO_LOADS_MAX 16

enum dyno_status dyno_manager_create(const struct dyno_manager_options *options,
                                     struct dyno_manager **manager_out, struct dyno_err *err);
/* Nobody holds a variant.  Accepts NULL. */
void dyno_manager_destroy(struct dyno_manager *manager);

/* Has what was asked for at start been tried? */
bool dyno_manager_is_ready(struct dyno_manager *manager);

/* End what is being built, and build nothing more; what is loaded stays. */
void dyno_manager_stop_builds(struct dyno_manager *manager);
/* False: nothing is built here. */
bool dyno_manager_build_stats(struct dyno_manager *manager, struct dyno_maker_stats *stats_out);

/* Lives as long as the manager. */
struct dyno_catalog *dyno_manager_catalog(struct dyno_manager *manager);

/* Now; any thread. */
struct dyno_figures {
    uint64_t memory_bytes;     /* of loaded engines, and of loads */
    uint64_t memory_bytes_max; /* 0: no bound */
    uint64_t eviction_count;
    uint64_t failed_count, put_off_count; /* loads that came to nothing, or did not fit */
    struct dyno_histogram load;           /* those that went well, and how long they took */
};
void dyno_manager_figures(struct dyno_manager *manager, struct dyno_figures *figures_out);

/* The same of its GPUs; how many there are. */
struct dyno_gpu_figures {
    struct dyno_card_figures card;
    uint64_t memory_bytes, memory_bytes_max; /* of loaded engines, and of loads; 0: not known yet */
    uint64_t item_count;                     /* rows of requests that were done there */
};
int dyno_manager_gpu_figures(struct dyno_manager *manager,
                             struct dyno_gpu_figures out[DYNO_GPUS_MAX]);

/* LOAD fails when, of what it was to load, nothing is ready afterwards; a variant whose file and
 * configuration are those it was loaded from is ready as it is.  UNLOAD fails when nothing of the
 * kind is known. */
void dyno_manager_order(struct dyno_manager *manager, struct dyno_order *order);

#endif /* DYNO_SERVE_MODEL_MANAGER_H */
