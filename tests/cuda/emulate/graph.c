/* graph.c - graphs: captured, looked at, run.
 *
 * The nodes of a graph run in any order in which each comes after those that it follows, another
 * one at each launch; by the clock those that need not wait for each other run at the same time.
 */
#include <stdlib.h>
#include <string.h>

#include "stream.h"

static uint64_t random_state;

/* --- running --- */

static unsigned random_below(unsigned bound)
{
    if (random_state == 0)
        random_state = emulate_setting("DYNO_EMULATE_SEED", 1);
    random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407U;
    return (unsigned)(random_state >> 33) % bound;
}

/* One of the nodes that wait for nothing. */
static struct op *ready_node(const struct list *graph)
{
    unsigned count = 0;
    struct op *chosen = NULL;
    for (struct op *op = graph->first; op != NULL; op = op->next) {
        if (!op->is_done && op->waiting == 0 && random_below(++count) == 0)
            chosen = op;
    }
    return chosen;
}

/* The clock of a node begins when the last is done that it follows. */
static void run_node(const struct list *graph, struct op *node, uint64_t start_ns)
{
    emulate_time_ns = start_ns;
    for (const struct op *op = graph->first; op != NULL; op = op->next) {
        for (unsigned i = 0; i < node->follow_count; i++) {
            if (node->follows[i] == op->idx && op->end_ns > emulate_time_ns)
                emulate_time_ns = op->end_ns;
        }
    }
    emulate_op_run(node);
    node->is_done = true;
    node->end_ns = emulate_time_ns;
    for (struct op *op = graph->first; op != NULL; op = op->next) {
        for (unsigned i = 0; i < op->follow_count; i++)
            op->waiting -= op->follows[i] == node->idx;
    }
}

void emulate_graph_run(const struct list *graph)
{
    const uint64_t start_ns = emulate_time_ns;
    uint64_t end_ns = emulate_time_ns;
    for (struct op *op = graph->first; op != NULL; op = op->next) {
        op->waiting = op->follow_count;
        op->is_done = false;
    }
    for (unsigned i = 0; i < graph->count && emulate_broken == 0; i++) {
        struct op *node = ready_node(graph);
        if (node == NULL) { /* never: edges go back to nodes that were there before */
            emulate_broken = EMULATE_FAILED;
            break;
        }
        run_node(graph, node, start_ns);
        end_ns = node->end_ns > end_ns ? node->end_ns : end_ns;
    }
    emulate_time_ns = end_ns;
}

void emulate_graph_link(struct list *list, struct op *node)
{
    node->idx = list->count++;
    node->follow_count = 0;
    for (unsigned i = 0; i < list->head_count; i++) {
        if (++list->edge_count != emulate_setting("DYNO_EMULATE_LOSE_EDGE", 0))
            node->follows[node->follow_count++] = list->heads[i]->idx;
    }
    list->heads[0] = node;
    list->head_count = 1;
}

/* --- capturing, and what was captured --- */

int cuStreamBeginCapture_v2(void *stream, int mode)
{
    int code = emulate_begin();
    (void)mode;
    if (code == EMULATE_OK && (stream == NULL || emulate_stream_of(stream)->capture != NULL))
        code = EMULATE_CAPTURING;
    if (code == EMULATE_OK) {
        emulate_stream_of(stream)->capture = calloc(1, sizeof(struct list));
        code = emulate_stream_of(stream)->capture != NULL ? EMULATE_OK : EMULATE_NO_MEMORY;
    }
    return emulate_end(code);
}

int cuStreamEndCapture(void *stream, void **graph)
{
    const int code = emulate_begin();
    *graph = emulate_stream_of(stream)->capture;
    emulate_stream_of(stream)->capture = NULL;
    return emulate_end(code != EMULATE_OK ? code : *graph != NULL ? EMULATE_OK : EMULATE_INVALID);
}

/* A node is an operation; a library's call counts as one kernel, though it may be more on a card.
 */
int cuGraphGetNodes(void *graph, void **nodes, size_t *count)
{
    const int code = emulate_begin();
    const size_t room = *count;
    *count = 0;
    const struct op *op = code == EMULATE_OK ? ((const struct list *)graph)->first : NULL;
    for (; op != NULL; op = op->next) {
        if (nodes != NULL && *count < room)
            nodes[*count] = (void *)(uintptr_t)op;
        (*count)++;
    }
    return emulate_end(code);
}

int cuGraphNodeGetType(void *node, int *type)
{
    const int code = emulate_begin();
    const enum kind kind = ((const struct op *)node)->kind;
    *type = kind == LAUNCH || kind == CALL   ? DYNO_CU_NODE_KERNEL
            : kind == COPY                   ? 1
            : kind == FILL                   ? 2
            : kind == RECORD || kind == WAIT ? 5
                                             : DYNO_CU_NODE_GRAPH;
    return emulate_end(code);
}

/* NOLINTNEXTLINE(readability-non-const-parameter): as NVIDIA declares it */
int cuStreamGetCaptureInfo_v2(void *stream, int *status, uint64_t *id, void **graph,
                              void *const **nodes, size_t *count)
{
    const int code = emulate_begin();
    const struct list *list = emulate_stream_of(stream)->capture;
    *status = list != NULL;
    if (list == NULL || id != NULL || graph != NULL)
        return emulate_end(code != EMULATE_OK ? code : EMULATE_INVALID);
    *nodes = (void *const *)list->heads;
    *count = list->head_count;
    return emulate_end(code);
}

int cuStreamUpdateCaptureDependencies(void *stream, void **nodes, size_t count, unsigned int flags)
{
    int code = emulate_begin();
    struct list *list = emulate_stream_of(stream)->capture;
    if (code == EMULATE_OK &&
        (list == NULL || flags != DYNO_CU_FOLLOW_THESE || count > FOLLOWS_MAX))
        code = EMULATE_INVALID;
    for (size_t i = 0; i < count && code == EMULATE_OK; i++) {
        bool is_node = false, is_twice = false;
        for (const struct op *op = list->first; op != NULL; op = op->next)
            is_node = is_node || op == nodes[i];
        for (size_t k = 0; k < i; k++)
            is_twice = is_twice || nodes[k] == nodes[i];
        if (!is_node || is_twice)
            code = EMULATE_INVALID;
    }
    if (code == EMULATE_OK) {
        for (size_t i = 0; i < count; i++)
            list->heads[i] = nodes[i];
        list->head_count = (unsigned)count;
    }
    return emulate_end(code);
}

/* The same operations again. */
int cuGraphInstantiateWithFlags(void **exec, void *graph, unsigned long long flags)
{
    int code = emulate_begin();
    struct stream copy = {.capture = code == EMULATE_OK ? calloc(1, sizeof(struct list)) : NULL};
    struct op **const last = copy.capture != NULL ? &copy.capture->last : NULL;
    (void)flags;
    if (code == EMULATE_OK && copy.capture == NULL)
        code = EMULATE_NO_MEMORY;
    const struct op *op = code == EMULATE_OK ? ((const struct list *)graph)->first : NULL;
    for (; op != NULL && code == EMULATE_OK; op = op->next) {
        const size_t bytes = op->kind == LAUNCH ? op->launch.program->about->params_bytes
                             : op->kind == CALL || (op->kind == COPY && op->from == NULL)
                                 ? op->bytes
                                 : 0;
        code = emulate_stream_put(&copy, op, op->data, bytes);
        if (code != EMULATE_OK)
            break;
        memcpy((*last)->follows, op->follows, sizeof(op->follows));
        (*last)->follow_count = op->follow_count;
    }
    if (code != EMULATE_OK && copy.capture != NULL) {
        emulate_list_clear(copy.capture);
        free(copy.capture);
        copy.capture = NULL;
    }
    *exec = copy.capture;
    return emulate_end(code);
}

static int destroy_list(struct list *list)
{
    const int code = emulate_begin();
    if (list == NULL)
        return emulate_end(EMULATE_BAD_HANDLE);
    (void)emulate_stream_flush_all();
    emulate_list_clear(list);
    free(list);
    return emulate_end(code);
}

int cuGraphDestroy(void *graph)
{
    return destroy_list(graph);
}

int cuGraphExecDestroy(void *exec)
{
    return destroy_list(exec);
}

int cuGraphLaunch(void *exec, void *stream)
{
    const struct op op = {.kind = GRAPH, .graph = exec};
    int code = emulate_begin();
    if (code == EMULATE_OK)
        code = exec != NULL ? emulate_stream_put(stream, &op, NULL, 0) : EMULATE_BAD_HANDLE;
    return emulate_end(code);
}
