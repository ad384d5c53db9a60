/* gpu_capture.h - steps of a segment, and all of them as one graph. */
#ifndef DYNO_ENGINE_GPU_CAPTURE_H
#define DYNO_ENGINE_GPU_CAPTURE_H

#include "engine/binding.h"
#include "engine/gpu.h"

/* What the driver keeps of a graph that can be launched; it does not tell. */
#define DYNO_GPU_GRAPH_BYTES      65536
#define DYNO_GPU_GRAPH_STEP_BYTES 4096

static inline uint64_t dyno_gpu_graph_bytes(const struct dyno_segment *segment)
{
    return DYNO_GPU_GRAPH_BYTES + (uint64_t)segment->step_count * DYNO_GPU_GRAPH_STEP_BYTES;
}

/* The launches of a step, into the context's stream. */
DYNO_NODISCARD enum dyno_status dyno_gpu_run_step(struct dyno_context_gpu *gpu,
                                                  struct dyno_binding *binding, uint32_t idx,
                                                  struct dyno_err *err);

/* binding->graphs[segment_idx] from its steps (dyno_gpu_capture). */
DYNO_NODISCARD enum dyno_status dyno_gpu_make_graph(struct dyno_context_gpu *gpu,
                                                    struct dyno_binding *binding,
                                                    uint32_t segment_idx, struct dyno_err *err);

#endif /* DYNO_ENGINE_GPU_CAPTURE_H */
