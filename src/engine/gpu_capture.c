/* gpu_capture.c - the steps of a segment as a graph: a chain, or branches.
 *
 * One stream is captured.  Before a step it is told which nodes the next one follows, and after it
 * which nodes the step ended with: so whatever a step launches, also a library, stays together.
 */
#include "engine/gpu_capture.h"

#include "base/mem.h"
#include "engine/gpu_account.h"

enum dyno_status dyno_gpu_run_step(struct dyno_context_gpu *gpu, struct dyno_binding *binding,
                                   uint32_t idx, struct dyno_err *err)
{
    const struct dyno_engine *engine = gpu->engine;
    const struct dyno_step *step = &engine->plan->steps[idx];
    struct dyno_bound_step *bound = &binding->steps[idx];
    const struct dyno_gpu_launch launch = {
        .cu = engine->gpu->cuda->cu,
        .stream = gpu->stream,
        .function = step->program != 0 ? engine->gpu->modules[step->program - 1].function : NULL,
    };
    const uint64_t workspace = gpu->arena + bound->workspace_offset;
    struct dyno_run_args args = {.step = step,
                                 .ins = bound->ins,
                                 .outs = bound->outs,
                                 .packed = (const void *)(uintptr_t)engine->gpu->packed[idx],
                                 .state = bound->state,
                                 .workspace = (void *)(uintptr_t)workspace,
                                 .gpu = &launch,
                                 .err = err};
    const enum dyno_status status = engine->kernels[idx]->run(&args);
    if (status != DYNO_OK)
        dyno_err_prefix(err, "step '%s' (%s)", step->name, dyno_ops[step->op]->onnx_name);
    return status;
}

/* The last nodes of each step of a segment: nodes[first[i] .. first[i + 1]). */
struct ends {
    void **nodes;
    uint32_t *first;
    uint32_t count, capacity;
};

static enum dyno_status add_end(struct ends *ends, void *node, struct dyno_err *err)
{
    if (ends->count == ends->capacity) {
        const uint32_t capacity = 2 * ends->capacity;
        void **grown =
            dyno_realloc(ends->nodes, ends->count * sizeof(*grown), capacity, sizeof(*grown));
        if (grown == NULL)
            return DYNO_NOMEM(err);
        ends->nodes = grown;
        ends->capacity = capacity;
    }
    ends->nodes[ends->count++] = node;
    return DYNO_OK;
}

/* The next node follows the ends of what the i-th step of the segment waits for.  They are put
 * behind all ends for that, each once. */
static enum dyno_status follow(const struct dyno_context_gpu *gpu,
                               const struct dyno_branches *branches,
                               const struct dyno_segment *segment, uint32_t i, struct ends *ends,
                               struct dyno_err *err)
{
    const struct dyno_cu *cu = gpu->engine->gpu->cuda->cu;
    const uint32_t s = segment->first_step + i;
    const uint32_t mine = ends->count;
    for (uint32_t k = branches->first[s]; k < branches->first[s + 1]; k++) {
        const uint32_t other = branches->follows[k] - segment->first_step;
        for (uint32_t n = ends->first[other]; n < ends->first[other + 1]; n++) {
            bool is_new = true;
            for (uint32_t m = mine; is_new && m < ends->count; m++)
                is_new = ends->nodes[m] != ends->nodes[n];
            if (is_new)
                DYNO_TRY(add_end(ends, ends->nodes[n], err));
        }
    }
    const uint32_t count = ends->count - mine;
    ends->count = mine;
    return dyno_cu_check(cu,
                         cu->capture_follow(gpu->stream, count != 0 ? ends->nodes + mine : NULL,
                                            count, DYNO_CU_FOLLOW_THESE),
                         "to branch a graph", err);
}

/* Those that the stream would go on from now are the step's. */
static enum dyno_status take_ends(const struct dyno_context_gpu *gpu, struct ends *ends,
                                  struct dyno_err *err)
{
    const struct dyno_cu *cu = gpu->engine->gpu->cuda->cu;
    int status = 0;
    void *const *nodes = NULL;
    size_t count = 0;
    DYNO_TRY(dyno_cu_check(cu, cu->capture_nodes(gpu->stream, &status, NULL, NULL, &nodes, &count),
                           "to tell the nodes of a graph", err));
    for (size_t i = 0; i < count; i++)
        DYNO_TRY(add_end(ends, nodes[i], err));
    return DYNO_OK;
}

static enum dyno_status run_branches(struct dyno_context_gpu *gpu, struct dyno_binding *binding,
                                     const struct dyno_segment *segment, struct dyno_err *err)
{
    enum dyno_status status = DYNO_OK;
    struct ends ends = {.first = dyno_alloc(segment->step_count + 1U, sizeof(uint32_t)),
                        .nodes = dyno_alloc(segment->step_count + 1U, sizeof(void *)),
                        .capacity = segment->step_count + 1U};
    if (ends.first == NULL || ends.nodes == NULL)
        status = DYNO_NOMEM(err);
    for (uint32_t i = 0; status == DYNO_OK && i < segment->step_count; i++) {
        status = follow(gpu, binding->branches, segment, i, &ends, err);
        if (status == DYNO_OK)
            status = dyno_gpu_run_step(gpu, binding, segment->first_step + i, err);
        if (status == DYNO_OK)
            status = take_ends(gpu, &ends, err);
        ends.first[i + 1] = ends.count;
    }
    dyno_free(ends.nodes);
    dyno_free(ends.first);
    return status;
}

static enum dyno_status run_chain(struct dyno_context_gpu *gpu, struct dyno_binding *binding,
                                  const struct dyno_segment *segment, struct dyno_err *err)
{
    for (uint32_t i = 0; i < segment->step_count; i++)
        DYNO_TRY(dyno_gpu_run_step(gpu, binding, segment->first_step + i, err));
    return DYNO_OK;
}

enum dyno_status dyno_gpu_capture(struct dyno_context_gpu *gpu, struct dyno_binding *binding,
                                  uint32_t segment_idx, void **graph_out, struct dyno_err *err)
{
    const struct dyno_cu *cu = gpu->engine->gpu->cuda->cu;
    const struct dyno_segment *segment = &gpu->engine->schedule.segments[segment_idx];
    *graph_out = NULL;
    DYNO_TRY(dyno_cu_check(cu, cu->capture_begin(gpu->stream, DYNO_CU_CAPTURE_THREAD),
                           "to begin a graph", err));
    enum dyno_status status = binding->branches != NULL ? run_branches(gpu, binding, segment, err)
                                                        : run_chain(gpu, binding, segment, err);
    const int code = cu->capture_end(gpu->stream, graph_out); /* also after a failure */
    if (status == DYNO_OK)
        status = dyno_cu_check(cu, code, "to end a graph", err);
    return status;
}

enum dyno_status dyno_gpu_make_graph(struct dyno_context_gpu *gpu, struct dyno_binding *binding,
                                     uint32_t segment_idx, struct dyno_err *err)
{
    const struct dyno_cu *cu = gpu->engine->gpu->cuda->cu;
    void *graph = NULL;
    enum dyno_status status = dyno_gpu_capture(gpu, binding, segment_idx, &graph, err);
    if (status == DYNO_OK)
        status = dyno_cu_check(cu, cu->graph_instantiate(&binding->graphs[segment_idx], graph, 0),
                               "to make a graph", err);
    if (graph != NULL)
        (void)cu->graph_destroy(graph);
    if (status == DYNO_OK)
        dyno_gpu_hold(gpu->engine,
                      dyno_gpu_graph_bytes(&gpu->engine->schedule.segments[segment_idx]));
    return status;
}
