/* stream.c - streams and events.
 *
 * What is put on a stream waits there until somebody waits for it, as long as a real one could let
 * it wait: copies from and to memory that the driver did not give happen at once, as CUDA says.
 * Time is counted in launches and threads: the same every time, and less than what passes.
 */
#include <stdlib.h>
#include <string.h>

#include "stream.h"

struct event {
    bool is_pending, is_recorded;
    uint64_t time_ns;
    struct stream *stream; /* where it was recorded last */
    uint64_t put_count, done_count;
};

static struct stream null_stream; /* the first of all */
static uint64_t run_count;
uint64_t emulate_time_ns;
int emulate_broken;

static int flush(struct stream *stream);

/* --- doing --- */

/* Before a launch: the clock, and the failure that a test asked for. */
static void count_launch(uint64_t ns)
{
    run_count++;
    emulate_time_ns += ns;
    if (run_count == emulate_setting("DYNO_EMULATE_FAIL", 0))
        emulate_broken = EMULATE_BAD_ADDRESS;
}

void emulate_op_run(const struct op *op)
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
        op->event->time_ns = emulate_time_ns;
        op->event->done_count++;
        op->event->is_pending = op->event->done_count < op->event->put_count;
        break;
    case WAIT: /* what it waits for was put in before it, so nothing waits in a circle */
        if (op->event->done_count < op->count)
            (void)flush(op->recorded);
        break;
    case GRAPH:
        emulate_graph_run(op->graph);
        break;
    case CALL:
        count_launch(emulate_call_ns(op->launch.grid[0]));
        if (emulate_broken == 0)
            emulate_broken = op->call(op->data);
        break;
    }
}

void emulate_list_clear(struct list *list)
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
        emulate_op_run(op);
        free(op);
    }
    emulate_list_clear(&stream->ops);
    return emulate_broken;
}

int emulate_stream_flush_all(void)
{
    for (struct stream *stream = &null_stream; stream != NULL; stream = stream->next)
        (void)flush(stream);
    return emulate_broken;
}

struct stream *emulate_stream_of(void *handle)
{
    return handle == NULL ? &null_stream : handle;
}

int emulate_stream_put(void *handle, const struct op *op, const void *data, size_t bytes)
{
    struct stream *stream = emulate_stream_of(handle);
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
        emulate_graph_link(list, made);
    return EMULATE_OK;
}

int emulate_stream_launch(void *stream, const struct emulate_launch *what, size_t params_bytes)
{
    const struct op op = {.kind = LAUNCH, .launch = *what};
    return emulate_stream_put(stream, &op, what->params, params_bytes);
}

/* --- what a library does there --- */

int emulate_library_call(void *stream, emulate_call_fn *call, const void *data, size_t bytes,
                         unsigned threads)
{
    const struct op op = {
        .kind = CALL, .launch = {.grid = {threads}}, .call = call, .bytes = bytes};
    int code = emulate_begin();
    if (code == EMULATE_OK)
        code = emulate_stream_put(stream, &op, data, bytes);
    return emulate_end(code);
}

bool emulate_library_is_capturing(void *stream)
{
    const int code = emulate_begin();
    const bool is_capturing = emulate_stream_of(stream)->capture != NULL;
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
        code = emulate_is_device(op.to, bytes)
                   ? emulate_stream_put(stream, &op, from, is_ours ? 0 : bytes)
                   : EMULATE_INVALID;
    return emulate_end(code);
}

int cuMemcpyDtoHAsync_v2(void *to, unsigned long long from, size_t bytes, void *stream)
{
    const struct op op = {
        .kind = COPY, .to = to, .from = (const unsigned char *)(uintptr_t)from, .bytes = bytes};
    int code = emulate_begin();
    if (code == EMULATE_OK)
        code = emulate_is_device(op.from, bytes) ? emulate_stream_put(stream, &op, NULL, 0)
                                                 : EMULATE_INVALID;
    if (code == EMULATE_OK && emulate_stream_of(stream)->capture == NULL && !emulate_is_pinned(to))
        code = flush(emulate_stream_of(stream));
    return emulate_end(code);
}

int cuMemsetD8Async(unsigned long long to, unsigned char value, size_t bytes, void *stream)
{
    const struct op op = {
        .kind = FILL, .to = (unsigned char *)(uintptr_t)to, .value = value, .bytes = bytes};
    int code = emulate_begin();
    if (code == EMULATE_OK)
        code = emulate_is_device(op.to, bytes) ? emulate_stream_put(stream, &op, NULL, 0)
                                               : EMULATE_INVALID;
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
        code = emulate_stream_put(stream, &op, NULL, 0);
    }
    return emulate_end(code);
}

int cuStreamSynchronize(void *stream)
{
    int code = emulate_begin();
    if (code == EMULATE_OK)
        code = emulate_stream_of(stream)->capture != NULL ? EMULATE_CAPTURING
                                                          : flush(emulate_stream_of(stream));
    if (code == EMULATE_OK)
        emulate_pools_trim();
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
        code = event != NULL ? emulate_stream_put(stream, &op, NULL, 0) : EMULATE_BAD_HANDLE;
    if (code == EMULATE_OK) {
        op.event->is_pending = true;
        op.event->is_recorded = true;
        op.event->stream = emulate_stream_of(stream);
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
