/* gpu_launches.c - how many kernels a run launches.
 *
 * A library's routine is as many as it likes, which it does not tell.  So the steps are captured
 * once more, and the kernels of that graph are counted: the unoptimised execution's, too, which is
 * launched one by one otherwise.
 */
#include "base/mem.h"
#include "engine/binding.h"
#include "engine/gpu_account.h"

static enum dyno_status count_kernels(const struct dyno_cu *cu, void *const *nodes,
                                      size_t node_count, uint64_t *count, struct dyno_err *err)
{
    for (size_t i = 0; i < node_count; i++) {
        int type = -1;
        DYNO_TRY(
            dyno_cu_check(cu, cu->graph_node_type(nodes[i], &type), "to tell of a graph", err));
        if (type == DYNO_CU_NODE_GRAPH)
            return DYNO_FAIL(err, DYNO_E_UNSUPPORTED,
                             "a step launches a graph of its own: its kernels are not counted");
        *count += type == DYNO_CU_NODE_KERNEL;
    }
    return DYNO_OK;
}

static enum dyno_status count_graph(const struct dyno_cu *cu, void *graph, uint64_t *count,
                                    struct dyno_err *err)
{
    size_t node_count = 0;
    DYNO_TRY(
        dyno_cu_check(cu, cu->graph_nodes(graph, NULL, &node_count), "to tell of a graph", err));
    void **nodes = dyno_alloc(node_count + 1, sizeof(*nodes));
    if (nodes == NULL)
        return DYNO_NOMEM(err);
    enum dyno_status status = DYNO_OK;
    if (node_count != 0)
        status = dyno_cu_check(cu, cu->graph_nodes(graph, nodes, &node_count), "to tell of a graph",
                               err);
    if (status == DYNO_OK)
        status = count_kernels(cu, nodes, node_count, count, err);
    dyno_free(nodes);
    return status;
}

enum dyno_status dyno_gpu_count_launches(struct dyno_context_gpu *gpu, struct dyno_binding *binding,
                                         uint64_t *count_out, struct dyno_err *err)
{
    const struct dyno_cu *cu = gpu->engine->gpu->cuda->cu;
    const struct dyno_schedule *schedule = &gpu->engine->schedule;
    uint64_t count = 0;
    DYNO_TRY(dyno_cuda_enter(gpu->engine->gpu->cuda, err));
    for (uint32_t i = 0; i < schedule->segment_count; i++) {
        void *graph = NULL;
        if (schedule->segments[i].place != DYNO_ON_GPU)
            continue;
        enum dyno_status status = dyno_gpu_capture(gpu, binding, i, &graph, err);
        if (status == DYNO_OK)
            status = count_graph(cu, graph, &count, err);
        if (graph != NULL)
            (void)cu->graph_destroy(graph);
        DYNO_TRY(status);
    }
    *count_out = count;
    return DYNO_OK;
}
