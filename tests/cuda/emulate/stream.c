/* stream.c - streams, graphs and events.
 *
 * What is put on a stream waits there until somebody waits for it, as long as a real one could let
 * it wait: copies from and to memory that the driver did not give happen at once, as CUDA says.
 * Time is counted in launches and threads: the same every time, and less than what passes.
 *
 * The nodes of a graph run in any order in which each comes after those that it follows, another
 * one at each launch; by the clock those that need not wait for each other run at the same time.
 */
#include <stdlib.h>
#include <string.h>

#include "api.h"

#define FOLLOWS_MAX 256 /* nodes that one node of a graph waits for */

enum kind { LAUNCH, COPY, FILL, RECORD, WAIT, GRAPH, CALL };

/* Something to do in order; `data` is its own. */
struct op {
    struct op *next;
    enum kind kind;
    struct emulate_launch launch; /* params: data */
    unsigned char *to;
    const unsigned char *from; /* NULL: data */
    size_t bytes;
    unsigned char value;
    struct event *event;
    struct stream *recorded; /* WAIT: where the event is recorded */
    uint64_t count;          /* WAIT: the record of it that is waited for */
    const struct list *graph;
    emulate_call_fn *call; /* on data[bytes] */
    /* Of a node of a graph: */
    unsigned idx; /* its number there */
    unsigned follows[FOLLOWS_MAX], follow_count;
    unsigned waiting; /* while it runs: for so many of them */
    bool is_done;
    uint64_t end_ns;
    unsigned char data[];
};

struct list {
    struct op *first, *last;
    /* While it is captured: what the next node follows. */
    struct op *heads[FOLLOWS_MAX];
    unsigned head_count;
    unsigned count; /* nodes */
    uint64_t edge_count;
};

struct stream {
    struct list ops;
    struct list *capture; /* NULL: it does not */
    struct stream *next;
};

struct event {
    bool is_pending, is_recorded;
    uint64_t time_ns;
    struct stream *stream; /* where it was recorded last */
    uint64_t put_count, done_count;
};

static struct stream null_stream; /* the first of all */
static uint64_t time_ns, run_count;
static uint64_t random_state;
int emulate_broken;

static int flush(struct stream *stream);

/* --- doing --- */

/* Before a launch: the clock, and the failure that a test asked for. */
static void count_launch(uint64_t ns)
{
    run_count++;
    time_ns += ns;
    if (run_count == emulate_setting("DYNO_EMULATE_FAIL", 0))
        emulate_broken = EMULATE_BAD_ADDRESS;
}

static void run_graph(const struct list *graph);

static void run_op(const struct op *op)
{
    const unsigned char *from = op->from != NULL ? op->from : op->data;
    switch (op->kind) {
    case LAUNCH:
        count_launch(emulate_launch_ns(&op->launch));
        if (emulate_broken == 0)
            emulate_broken = emulate_launch_run(&op->launch);
        break;
    case COPY:
        memcpy(op->to, from, op->bytes);
        break;
    case FILL:
        memset(op->to, op->value, op->bytes);
        break;
    case RECORD:
        op->event->time_ns = time_ns;
        op->event->done_count++;
        op->event->is_pending = op->event->done_count < op->event->put_count;
        break;
    case WAIT: /* what it waits for was put in before it, so nothing waits in a circle */
        if (op->event->done_count < op->count)
            (void)flush(op->recorded);
        break;
    case GRAPH:
        run_graph(op->graph);
        break;
    case CALL:
        count_launch(emulate_call_ns(op->launch.grid[0]));
        if (emulate_broken == 0)
            emulate_broken = op->call(op->data);
        break;
    }
}

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
    time_ns = start_ns;
    for (const struct op *op = graph->first; op != NULL; op = op->next) {
        for (unsigned i = 0; i < node->follow_count; i++) {
            if (node->follows[i] == op->idx && op->end_ns > time_ns)
                time_ns = op->end_ns;
        }
    }
    run_op(node);
    node->is_done = true;
    node->end_ns = time_ns;
    for (struct op *op = graph->first; op != NULL; op = op->next) {
        for (unsigned i = 0; i < op->follow_count; i++)
            op->waiting -= op->follows[i] == node->idx;
    }
}

static void run_graph(const struct list *graph)
{
    const uint64_t start_ns = time_ns;
    uint64_t end_ns = time_ns;
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
    time_ns = end_ns;
}

static void clear(struct list *list)
{
    for (struct op *next = NULL; list->first != NULL; list->first = next) {
        next = list->first->next;
        free(list->first);
    }
    list->last = NULL;
}

/* All that waits on a stream, until the GPU is emulate_broken. */
static int flush(struct stream *stream)
{
    while (stream->ops.first != NULL && emulate_broken == 0) {
        struct op *op = stream->ops.first; /* taken out: it may come here again by another stream */
        stream->ops.first = op->next;
        if (op->next == NULL)
            stream->ops.last = NULL;
        run_op(op);
        free(op);
    }
    clear(&stream->ops);
    return emulate_broken;
}

int emulate_stream_flush_all(void)
{
    for (struct stream *stream = &null_stream; stream != NULL; stream = stream->next)
        (void)flush(stream);
    return emulate_broken;
}

static struct stream *stream_of(void *handle)
{
    return handle == NULL ? &null_stream : handle;
}

/* A new node follows the heads of what is captured, and is the only one from now on.  A test may
 * have one of all edges left out. */
static void link_node(struct list *list, struct op *node)
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

/* A copy of `op` and its data at the end of the stream, or of what it captures. */
static int put(void *handle, const struct op *op, const void *data, size_t bytes)
{
    struct stream *stream = stream_of(handle);
    struct list *list = stream->capture != NULL ? stream->capture : &stream->ops;
    struct op *made = malloc(sizeof(*made) + bytes);
    if (made == NULL)
        return EMULATE_NO_MEMORY;
    *made = *op;
    if (bytes != 0)
        memcpy(made->data, data, bytes);
    if (op->kind == LAUNCH)
        made->launch.params = made->data;
    made->next = NULL;
    if (list->last == NULL)
        list->first = made;
    else
        list->last->next = made;
    list->last = made;
    if (stream->capture != NULL)
        link_node(list, made);
    return EMULATE_OK;
}

int emulate_stream_launch(void *stream, const struct emulate_launch *what, size_t params_bytes)
{
    const struct op op = {.kind = LAUNCH, .launch = *what};
    return put(stream, &op, what->params, params_bytes);
}

/* --- what a library does there --- */

int emulate_library_call(void *stream, emulate_call_fn *call, const void *data, size_t bytes,
                         unsigned threads)
{
    const struct op op = {
        .kind = CALL, .launch = {.grid = {threads}}, .call = call, .bytes = bytes};
    int code = emulate_begin();
    if (code == EMULATE_OK)
        code = put(stream, &op, data, bytes);
    return emulate_end(code);
}

bool emulate_library_is_capturing(void *stream)
{
    const int code = emulate_begin();
    const bool is_capturing = stream_of(stream)->capture != NULL;
    (void)emulate_end(code);
    return is_capturing;
}

bool emulate_library_memory(const void *at, size_t bytes)
{
    return emulate_is_device(at, bytes);
}

int emulate_library_device(int *compute, int *sm_count)
{
    int major = 0, minor = 0;
    int code = emulate_begin();
    (void)cuDeviceGetAttribute(&major, DYNO_CU_CC_MAJOR, 0);
    (void)cuDeviceGetAttribute(&minor, DYNO_CU_CC_MINOR, 0);
    (void)cuDeviceGetAttribute(sm_count, DYNO_CU_SM_COUNT, 0);
    *compute = major * 10 + minor;
    return emulate_end(code);
}

/* --- copies --- */

int cuMemcpyHtoDAsync_v2(unsigned long long to, const void *from, size_t bytes, void *stream)
{
    const bool is_ours = emulate_is_pinned(from) || emulate_is_device(from, bytes);
    const struct op op = {.kind = COPY,
                          .to = (unsigned char *)(uintptr_t)to,
                          .from = is_ours ? from : NULL,
                          .bytes = bytes};
    int code = emulate_begin();
    if (code == EMULATE_OK)
        code = emulate_is_device(op.to, bytes) ? put(stream, &op, from, is_ours ? 0 : bytes)
                                               : EMULATE_INVALID;
    return emulate_end(code);
}

int cuMemcpyDtoHAsync_v2(void *to, unsigned long long from, size_t bytes, void *stream)
{
    const struct op op = {
        .kind = COPY, .to = to, .from = (const unsigned char *)(uintptr_t)from, .bytes = bytes};
    int code = emulate_begin();
    if (code == EMULATE_OK)
        code = emulate_is_device(op.from, bytes) ? put(stream, &op, NULL, 0) : EMULATE_INVALID;
    if (code == EMULATE_OK && stream_of(stream)->capture == NULL && !emulate_is_pinned(to))
        code = flush(stream_of(stream));
    return emulate_end(code);
}

int cuMemsetD8Async(unsigned long long to, unsigned char value, size_t bytes, void *stream)
{
    const struct op op = {
        .kind = FILL, .to = (unsigned char *)(uintptr_t)to, .value = value, .bytes = bytes};
    int code = emulate_begin();
    if (code == EMULATE_OK)
        code = emulate_is_device(op.to, bytes) ? put(stream, &op, NULL, 0) : EMULATE_INVALID;
    return emulate_end(code);
}

/* --- streams --- */

int cuStreamCreate(void **stream, unsigned int flags)
{
    int code = emulate_begin();
    struct stream *made = code == EMULATE_OK ? calloc(1, sizeof(*made)) : NULL;
    (void)flags;
    if (made != NULL) {
        made->next = null_stream.next;
        null_stream.next = made;
    } else if (code == EMULATE_OK) {
        code = EMULATE_NO_MEMORY;
    }
    *stream = made;
    return emulate_end(code);
}

int cuStreamDestroy_v2(void *stream)
{
    const int code = emulate_begin();
    struct stream *before = &null_stream;
    while (before->next != NULL && before->next != stream)
        before = before->next;
    if (before->next == NULL)
        return emulate_end(EMULATE_BAD_HANDLE);
    (void)flush(stream);
    before->next = ((struct stream *)stream)->next;
    free(stream);
    return emulate_end(code);
}

int cuStreamWaitEvent(void *stream, void *handle, unsigned int flags)
{
    struct event *event = handle;
    int code = emulate_begin();
    (void)flags;
    if (code == EMULATE_OK && event == NULL)
        code = EMULATE_BAD_HANDLE;
    if (code == EMULATE_OK && event->is_recorded) {
        const struct op op = {
            .kind = WAIT, .event = event, .recorded = event->stream, .count = event->put_count};
        code = put(stream, &op, NULL, 0);
    }
    return emulate_end(code);
}

int cuStreamSynchronize(void *stream)
{
    int code = emulate_begin();
    if (code == EMULATE_OK)
        code = stream_of(stream)->capture != NULL ? EMULATE_CAPTURING : flush(stream_of(stream));
    if (code == EMULATE_OK)
        emulate_pools_trim();
    return emulate_end(code);
}

/* --- graphs --- */

int cuStreamBeginCapture_v2(void *stream, int mode)
{
    int code = emulate_begin();
    (void)mode;
    if (code == EMULATE_OK && (stream == NULL || stream_of(stream)->capture != NULL))
        code = EMULATE_CAPTURING;
    if (code == EMULATE_OK) {
        stream_of(stream)->capture = calloc(1, sizeof(struct list));
        code = stream_of(stream)->capture != NULL ? EMULATE_OK : EMULATE_NO_MEMORY;
    }
    return emulate_end(code);
}

int cuStreamEndCapture(void *stream, void **graph)
{
    const int code = emulate_begin();
    *graph = stream_of(stream)->capture;
    stream_of(stream)->capture = NULL;
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
    const struct list *list = stream_of(stream)->capture;
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
    struct list *list = stream_of(stream)->capture;
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
        code = put(&copy, op, op->data, bytes);
        if (code != EMULATE_OK)
            break;
        memcpy((*last)->follows, op->follows, sizeof(op->follows));
        (*last)->follow_count = op->follow_count;
    }
    if (code != EMULATE_OK && copy.capture != NULL) {
        clear(copy.capture);
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
    clear(list);
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
        code = exec != NULL ? put(stream, &op, NULL, 0) : EMULATE_BAD_HANDLE;
    return emulate_end(code);
}

/* --- events --- */

int cuEventCreate(void **event, unsigned int flags)
{
    int code = emulate_begin();
    (void)flags;
    *event = code == EMULATE_OK ? calloc(1, sizeof(struct event)) : NULL;
    if (code == EMULATE_OK && *event == NULL)
        code = EMULATE_NO_MEMORY;
    return emulate_end(code);
}

int cuEventDestroy_v2(void *event)
{
    const int code = emulate_begin();
    if (event == NULL)
        return emulate_end(EMULATE_BAD_HANDLE);
    (void)emulate_stream_flush_all();
    free(event);
    return emulate_end(code);
}

int cuEventRecord(void *event, void *stream)
{
    const struct op op = {.kind = RECORD, .event = event};
    int code = emulate_begin();
    if (code == EMULATE_OK)
        code = event != NULL ? put(stream, &op, NULL, 0) : EMULATE_BAD_HANDLE;
    if (code == EMULATE_OK) {
        op.event->is_pending = true;
        op.event->is_recorded = true;
        op.event->stream = stream_of(stream);
        op.event->put_count++;
    }
    return emulate_end(code);
}

int cuEventSynchronize(void *event)
{
    int code = emulate_begin();
    if (code == EMULATE_OK && ((struct event *)event)->is_pending)
        code = emulate_stream_flush_all();
    if (code == EMULATE_OK)
        emulate_pools_trim();
    return emulate_end(code);
}

int cuEventElapsedTime(float *milliseconds, void *start, void *end)
{
    const struct event *from = start, *to = end;
    int code = emulate_begin();
    if (code == EMULATE_OK && (!from->is_recorded || !to->is_recorded))
        code = EMULATE_BAD_HANDLE;
    if (code == EMULATE_OK && (from->is_pending || to->is_pending))
        code = EMULATE_NOT_READY;
    if (code == EMULATE_OK)
        *milliseconds = (float)((double)(to->time_ns - from->time_ns) * 1e-6);
    return emulate_end(code);
}
