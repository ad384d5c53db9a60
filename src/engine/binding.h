/* binding.h - a plan at concrete shapes: every tensor's place, every step's prepared state.
 *
 * Made once for each set of input shapes a context meets and cached.  Belongs to its context.
 */
#ifndef DYNO_ENGINE_BINDING_H
#define DYNO_ENGINE_BINDING_H

#include "engine/engine.h"

struct dyno_context_gpu;

struct dyno_bound_step {
    struct dyno_buf *ins;
    struct dyno_buf *outs;
    void *state;
    bool is_prepared;
    uint64_t workspace_offset; /* in the arena */
};

/* A buffer whose data pointer is the address of tensor `tensor`. */
struct dyno_patch {
    struct dyno_buf *buf;
    uint32_t tensor;
};

/* Steps of the GPU that may run at the same time (plan/order.h). */
struct dyno_branches {
    uint32_t *first, *follows; /* step s waits for follows[first[s] .. first[s + 1]) */
    uint32_t step_count, edge_count;
    uint32_t depth;       /* steps one after the other at least, over all segments */
    uint32_t width;       /* the most steps that are as far from the start of a segment */
    uint64_t chain_bytes; /* of the arena, were it a chain */
};

struct dyno_binding {
    const struct dyno_engine *engine;
    struct dyno_binding *next; /* most recently used first */
    struct dyno_arena *memory; /* of everything here */
    int64_t *key;              /* dimensions of all inputs, one after the other */
    size_t key_count;
    struct dyno_buf *bufs; /* one a tensor; rank -1: not known before the run */
    uint64_t nothing;      /* the data of weights without elements */
    bool *is_open;         /* by tensor: its shape is known only while running */
    uint64_t *offsets;     /* byte offset in the arena, or inside the base for views */
    struct dyno_bound_step *steps;
    uint32_t fixed_step_count; /* steps from here on have shapes known only while running */
    struct dyno_patch *arena_patches, *io_patches;
    uint32_t arena_patch_count, io_patch_count;
    uint64_t arena_bytes;  /* activations and workspace together */
    uint64_t tensor_bytes; /* the plain sum of the activations */
    /* On a GPU: offsets in the arena there, by tensor without a base; buffers of steps there; a
     * graph a segment, made when it first runs (engine/gpu.h). */
    uint64_t *gpu_offsets;
    uint64_t gpu_bytes;
    struct dyno_patch *gpu_patches;
    uint32_t gpu_patch_count;
    void **graphs;
    struct dyno_branches *branches; /* NULL: the steps of a graph are a chain */
    bool *has_run;                  /* by segment */
    uint64_t gpu_generation;        /* of the arena that the buffers are placed in; 0: none */
};

/* Plan the memory and prepare every step for these input dimensions.
 * gpu: of the context, which outlives it; NULL: none.  thread_count: of the pool that will run it.
 */
DYNO_NODISCARD enum dyno_status dyno_binding_create(
    const struct dyno_engine *engine, const struct dyno_context_gpu *gpu, int thread_count,
    const int64_t *key, size_t key_count, struct dyno_binding **binding_out, struct dyno_err *err);
void dyno_binding_destroy(struct dyno_binding *binding); /* accepts NULL */

/* Set the data pointers of everything that lives in the arena. */
void dyno_binding_place(struct dyno_binding *binding, const struct dyno_plan *plan, void *arena);

/* Set those of inputs and outputs: address[tensor id] of INPUT and OUTPUT tensors. */
void dyno_binding_place_io(struct dyno_binding *binding, const struct dyno_plan *plan,
                           void *const *address);

/* Type, dimensions and bytes of tensor `id`; rank -1 and no bytes where only the run tells them. */
void dyno_binding_describe(const struct dyno_binding *binding, uint32_t id,
                           struct dyno_array *array);

#endif /* DYNO_ENGINE_BINDING_H */
