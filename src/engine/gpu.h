/* gpu.h - the part of engines, contexts and bindings that is on a GPU.
 *
 * An engine's programs and weights are there once; a context has a stream and an arena there; each
 * segment of a binding is captured as a CUDA graph when it first runs (where its steps call a
 * library: when it runs again; of the unoptimised execution: never).  Calls from any thread that
 * owns the object; each enters the GPU's context itself.
 */
#ifndef DYNO_ENGINE_GPU_H
#define DYNO_ENGINE_GPU_H

#include <stdatomic.h>

#include "engine/engine.h"
#include "engine/turns.h"

struct dyno_binding;

struct dyno_engine_gpu {
    struct dyno_cuda *cuda;
    struct dyno_cuda_module *modules; /* one a program of the plan */
    uint64_t memory;                  /* weights and packed weights */
    uint64_t memory_bytes;
    uint64_t *weights;          /* address, by tensor; 0: not there */
    uint64_t *packed;           /* address, by step; 0: none */
    bool has_libraries;         /* steps call NVIDIA's libraries */
    atomic_uint_fast64_t bytes; /* of the GPU: all of the above, arenas and graphs of contexts */
};

/* Opens that GPU, checks that the engine is for it (E_TARGET), loads programs, copies weights.
 * engine->kernels and schedule are there. */
DYNO_NODISCARD enum dyno_status dyno_engine_gpu_open(struct dyno_engine *engine, int ordinal,
                                                     struct dyno_err *err);
void dyno_engine_gpu_close(struct dyno_engine_gpu *gpu); /* accepts NULL */

struct dyno_context_gpu {
    const struct dyno_engine *engine;
    void *stream;
    struct dyno_cuda_libraries *libraries; /* on that stream; NULL: no step calls one */
    void *start, *end;                     /* events around a run's work */
    uint64_t arena, arena_bytes;
    uint64_t generation;      /* of the arena: graphs made in another are made again */
    bool ran;                 /* the events are those of a segment that is not counted yet */
    uint32_t ran_segment;     /* the last one that ran: whose steps an error is told of */
    double us;                /* between them, over the segments of the last run */
    bool keeps_io;            /* inputs and outputs are not copied */
    bool *is_there;           /* by tensor: that input or output of the caller's is on the GPU */
    struct dyno_turns *turns; /* of the run in flight; NULL: it takes none, or had its own */
    uint64_t turn;
    bool has_turn;
};

DYNO_NODISCARD enum dyno_status dyno_context_gpu_create(const struct dyno_engine *engine,
                                                        struct dyno_context_gpu **gpu_out,
                                                        struct dyno_err *err);
void dyno_context_gpu_destroy(struct dyno_context_gpu *gpu); /* accepts NULL */

/* What a run of one step sees and tells; NULLs: nothing. */
struct dyno_gpu_watch {
    float *step_us; /* by step: each alone, between two events */
    dyno_tap_fn *tap;
    void *tap_arg;
};

/* Where a tensor of the GPU lies there. */
uint64_t dyno_gpu_tensor_address(const struct dyno_context_gpu *gpu,
                                 const struct dyno_binding *binding, uint32_t id);
/* gpu_show.c: a tensor that is made, as rows of its own type, to watch->tap. */
DYNO_NODISCARD enum dyno_status dyno_gpu_show(struct dyno_context_gpu *gpu,
                                              const struct dyno_binding *binding, uint32_t id,
                                              const struct dyno_gpu_watch *watch,
                                              struct dyno_err *err);

/* Run a segment of the GPU: its moves, then its steps, as one graph (one by one with `watch` and in
 * the unoptimised execution).
 * Returns when they are in the stream. */
DYNO_NODISCARD enum dyno_status dyno_gpu_run(struct dyno_context_gpu *gpu,
                                             struct dyno_binding *binding, uint32_t segment_idx,
                                             const struct dyno_gpu_watch *watch,
                                             struct dyno_err *err);
/* The run in flight has no more kernels: the next one's turn, if it takes turns. */
enum dyno_status dyno_gpu_end_turn(struct dyno_context_gpu *gpu, struct dyno_err *err);
/* The moves of a segment of the CPU, and the end of all that is in the stream. */
DYNO_NODISCARD enum dyno_status dyno_gpu_bring(struct dyno_context_gpu *gpu,
                                               struct dyno_binding *binding, uint32_t segment_idx,
                                               struct dyno_err *err);

/* gpu_capture.c: a segment's steps as a graph that is not made ready.  A step follows those that
 * binding->branches names, or where there are no branches the step before it.  To be destroyed by
 * the caller, also after a failure, unless it is NULL.  The GPU's context is entered, the binding
 * is placed. */
DYNO_NODISCARD enum dyno_status dyno_gpu_capture(struct dyno_context_gpu *gpu,
                                                 struct dyno_binding *binding, uint32_t segment_idx,
                                                 void **graph_out, struct dyno_err *err);
/* gpu_launches.c: kernels that the steps of a binding launch, NVIDIA's own among them.  It was the
 * last to run. */
DYNO_NODISCARD enum dyno_status dyno_gpu_count_launches(struct dyno_context_gpu *gpu,
                                                        struct dyno_binding *binding,
                                                        uint64_t *count_out, struct dyno_err *err);

/* Is the program in the engine the one that the kernel would have compiled for this step at these
 * shapes?  E_UNSUPPORTED when not. */
DYNO_NODISCARD enum dyno_status dyno_gpu_check_program(const struct dyno_engine *engine,
                                                       const struct dyno_kernel *kernel,
                                                       const struct dyno_site *site,
                                                       struct dyno_err *err);

/* Page-locked memory of the host, at a multiple of 64, counted on the engine's account. */
DYNO_NODISCARD enum dyno_status dyno_gpu_host_alloc(struct dyno_engine *engine, size_t bytes,
                                                    void **memory_out, struct dyno_err *err);
void dyno_gpu_host_free(struct dyno_engine *engine, void *memory); /* accepts NULL */
/* The same of the caller's. */
DYNO_NODISCARD enum dyno_status dyno_gpu_host_lock(struct dyno_engine *engine, void *memory,
                                                   size_t bytes, struct dyno_err *err);
void dyno_gpu_host_unlock(struct dyno_engine *engine, void *memory);

/* What a binding has there: its graphs. */
void dyno_gpu_binding_fini(struct dyno_binding *binding);

#endif /* DYNO_ENGINE_GPU_H */
