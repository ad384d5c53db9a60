/* record.c - the driver without a GPU. */
#include "record_parts.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

#define FOLLOWS_MAX 256

struct record record;

struct graph {
    uint32_t launch_count;
};
static _Thread_local struct graph capturing; /* as a capture is of its thread */
static _Thread_local bool is_capturing;
/* What the next launch that is captured follows: numbers of launches, as handles. */
static _Thread_local void *heads[FOLLOWS_MAX];
static _Thread_local size_t head_count;

int record_call(void)
{
    const uint64_t count = atomic_fetch_add(&record.call_count, 1) + 1;
    if (record.fail_at == 0 || count < record.fail_at ||
        (count > record.fail_at && !record.stays_broken))
        return DYNO_CU_OK;
    record.failed = true;
    return record.fail_code;
}

int record_new_handle(void **out)
{
    *out = malloc(64);
    if (*out == NULL)
        return DYNO_CU_OUT_OF_MEMORY;
    record.live_count++;
    return DYNO_CU_OK;
}

int record_old_handle(void *handle)
{
    if (handle == NULL)
        return RECORD_INVALID;
    free(handle);
    record.live_count--;
    return DYNO_CU_OK;
}

/* --- the machine --- */

static int fake_init(unsigned flags)
{
    return (int)flags;
}

static int fake_driver_version(int *version)
{
    RECORD_CALL();
    *version = record.driver;
    return DYNO_CU_OK;
}

static int fake_error_name(int code, const char **text)
{
    *text = code == DYNO_CU_OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : "CUDA_ERROR_RECORDED";
    return DYNO_CU_OK;
}

static int fake_error_text(int code, const char **text)
{
    *text = code == DYNO_CU_OUT_OF_MEMORY ? "out of memory" : "a failure that a test asked for";
    return DYNO_CU_OK;
}

static int fake_device_count(int *count)
{
    RECORD_CALL();
    *count = record.gpu_count;
    return DYNO_CU_OK;
}

static int fake_device_get(int *device, int ordinal)
{
    RECORD_CALL();
    *device = ordinal;
    return DYNO_CU_OK;
}

static int fake_device_name(char *name, int bytes, int device)
{
    RECORD_CALL();
    (void)device;
    (void)snprintf(name, (size_t)bytes, "Recorded GPU");
    return DYNO_CU_OK;
}

static int fake_device_memory(size_t *bytes, int device)
{
    RECORD_CALL();
    (void)device;
    *bytes = (size_t)64 << 30;
    return DYNO_CU_OK;
}

static int fake_device_attribute(int *value, int attribute, int device)
{
    RECORD_CALL();
    *value = 1 << 20;
    if (attribute == DYNO_CU_CC_MAJOR)
        *value = record.compute / 10;
    else if (attribute == DYNO_CU_CC_MINOR)
        *value = record.compute % 10;
    else if (attribute == DYNO_CU_SM_COUNT)
        *value = record.sm_count;
    else if (attribute == DYNO_CU_SHARED_MAX)
        *value = record.compute >= 90 ? 232448 : 166912;
    else if (attribute == DYNO_CU_HAS_POOLS)
        *value = !record.has_no_pools;
    else if (attribute == DYNO_CU_PCI_DOMAIN)
        *value = 0;
    else if (attribute == DYNO_CU_PCI_BUS)
        *value = 0x1b;
    else if (attribute == DYNO_CU_PCI_DEVICE)
        *value = device;
    return DYNO_CU_OK;
}

static int fake_context_retain(void **context, int device)
{
    RECORD_CALL();
    record.opened_gpu = device;
    return record_new_handle(context);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the next */
static void *retained; /* the primary context is one: its handle is freed at its release */
static int fake_context_retain_kept(void **context, int device)
{
    const int code = fake_context_retain(context, device);
    if (code == DYNO_CU_OK) {
        /* A context each time would do; the last is enough to free as many. */
        void **link = *context;
        (void)pthread_mutex_lock(&lock);
        link[0] = retained;
        retained = *context;
        (void)pthread_mutex_unlock(&lock);
    }
    return code;
}

static int fake_context_release(int device)
{
    (void)device;
    (void)pthread_mutex_lock(&lock);
    void *last = retained;
    retained = last != NULL ? *(void **)last : NULL;
    (void)pthread_mutex_unlock(&lock);
    return record_old_handle(last);
}

static int fake_context_set(void *context)
{
    RECORD_CALL();
    return context != NULL ? DYNO_CU_OK : RECORD_INVALID;
}

/* --- streams, graphs, events --- */

static int fake_stream_create(void **stream, unsigned flags)
{
    RECORD_CALL();
    (void)flags;
    return record_new_handle(stream);
}

static int fake_wait(void *stream)
{
    RECORD_CALL();
    (void)stream;
    record.is_busy = false;
    record.idle_bytes = 0; /* of pools that keep nothing, as they are made */
    return DYNO_CU_OK;
}

static int fake_wait_event(void *stream, void *event, unsigned flags)
{
    RECORD_CALL();
    (void)flags;
    record.wait_count++;
    return stream != NULL && event != NULL ? DYNO_CU_OK : RECORD_INVALID;
}

static int fake_capture_begin(void *stream, int mode)
{
    RECORD_CALL();
    (void)stream;
    (void)mode;
    is_capturing = true;
    capturing.launch_count = 0;
    head_count = 0;
    return DYNO_CU_OK;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): as NVIDIA declares it */
static int fake_capture_nodes(void *stream, int *status, uint64_t *id, void **graph,
                              void *const **nodes, size_t *count)
{
    RECORD_CALL();
    (void)stream;
    *status = is_capturing;
    *nodes = heads;
    *count = head_count;
    return is_capturing && id == NULL && graph == NULL ? DYNO_CU_OK : RECORD_INVALID;
}

static int fake_capture_follow(void *stream, void **nodes, size_t count, unsigned flags)
{
    RECORD_CALL();
    (void)stream;
    if (!is_capturing || flags != DYNO_CU_FOLLOW_THESE || count > FOLLOWS_MAX)
        return RECORD_INVALID;
    for (size_t i = 0; i < count; i++) {
        if ((uintptr_t)nodes[i] == 0 || (uintptr_t)nodes[i] > record.launch_count)
            return RECORD_INVALID;
        heads[i] = nodes[i];
    }
    head_count = count;
    return DYNO_CU_OK;
}

static int fake_capture_end(void *stream, void **graph)
{
    (void)stream;
    is_capturing = false;
    *graph = NULL;
    RECORD_CALL();
    const int code = record_new_handle(graph);
    if (code == DYNO_CU_OK)
        memcpy(*graph, &capturing, sizeof(capturing));
    return code;
}

/* A node is its own number. */
static int fake_graph_nodes(void *graph, void **nodes, size_t *count)
{
    RECORD_CALL();
    const size_t own = ((const struct graph *)graph)->launch_count;
    for (size_t i = 0; nodes != NULL && i < *count && i < own; i++)
        nodes[i] = (void *)(uintptr_t)(i + 1);
    *count = own;
    return DYNO_CU_OK;
}

static int fake_graph_node_type(void *node, int *type)
{
    RECORD_CALL();
    *type = DYNO_CU_NODE_KERNEL;
    return node != NULL ? DYNO_CU_OK : RECORD_INVALID;
}

static int fake_graph_instantiate(void **exec, void *graph, unsigned long long flags)
{
    RECORD_CALL();
    (void)flags;
    const int code = record_new_handle(exec);
    if (code == DYNO_CU_OK)
        memcpy(*exec, graph, sizeof(struct graph));
    record.graph_count++;
    return code;
}

static int fake_graph_launch(void *exec, void *stream)
{
    RECORD_CALL();
    (void)stream;
    record.graph_launch_count++;
    record.is_busy = true;
    record.run_count += ((const struct graph *)exec)->launch_count;
    return DYNO_CU_OK;
}

static int fake_event_create(void **event, unsigned flags)
{
    RECORD_CALL();
    (void)flags;
    return record_new_handle(event);
}

static int fake_event_record(void *event, void *stream)
{
    RECORD_CALL();
    (void)event;
    (void)stream;
    return DYNO_CU_OK;
}

static int fake_event_elapsed(float *milliseconds, void *start, void *end)
{
    RECORD_CALL();
    (void)start;
    (void)end;
    *milliseconds = 0.125F;
    return DYNO_CU_OK;
}

/* --- programs --- */

static int fake_module_load(void **module, const void *image)
{
    RECORD_CALL();
    if (memcmp(image, "\177ELF", 4) != 0)
        return RECORD_INVALID;
    record.module_count++;
    return record_new_handle(module);
}

static int fake_module_unload(void *module)
{
    record.module_count--;
    return record_old_handle(module);
}

static int fake_module_function(void **function, void *module, const char *name)
{
    RECORD_CALL();
    *function = module;
    return strcmp(name, "dyno_main") == 0 ? DYNO_CU_OK : RECORD_INVALID;
}

static int fake_function_get(int *value, int attribute, void *function)
{
    RECORD_CALL();
    (void)attribute;
    (void)function;
    *value = 1024;
    return DYNO_CU_OK;
}

static int fake_function_set(void *function, int attribute, int value)
{
    RECORD_CALL();
    (void)function;
    (void)attribute;
    return value > 0 ? DYNO_CU_OK : RECORD_INVALID;
}

/* What a card takes. */
static bool is_sound(const struct record_launch *launch)
{
    for (int i = 0; i < 3; i++) {
        if (launch->grid[i] == 0 || (i > 0 && launch->grid[i] > 65535))
            return false;
    }
    return launch->threads != 0 && launch->threads <= 1024 && launch->threads % 32 == 0 &&
           launch->shared_bytes <= 232448 - 1024;
}

/* NOLINTNEXTLINE(readability-function-size): as many parameters as NVIDIA gave it */
static int fake_launch(void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                       unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                       void *stream, void **params, void **extra)
{
    RECORD_CALL();
    (void)stream;
    const struct record_launch launch = {
        .grid = {grid_x, grid_y, grid_z}, .threads = block_x, .shared_bytes = shared_bytes};
    if (function == NULL || params != NULL || extra == NULL || extra[4] != NULL || block_y != 1 ||
        block_z != 1 || !is_sound(&launch) || record.launch_count == RECORD_LAUNCHES_MAX)
        return RECORD_INVALID;
    const uint32_t idx = atomic_fetch_add(&record.launch_count, 1) % RECORD_LAUNCHES_MAX;
    record.launches[idx] = launch;
    record.launches[idx].params_bytes = *(const size_t *)extra[3];
    record.launches[idx].params_hash = dyno_hash64(1, extra[1], *(const size_t *)extra[3]);
    record.launches[idx].follow_count = is_capturing ? (uint32_t)head_count : 0;
    record.launches[idx].captured = is_capturing;
    if (is_capturing) {
        capturing.launch_count++;
        heads[0] = (void *)(uintptr_t)(idx + 1);
        head_count = 1;
    } else {
        record.run_count++;
    }
    return DYNO_CU_OK;
}

static struct dyno_cu table = {
    .init = fake_init,
    .driver_version = fake_driver_version,
    .error_name = fake_error_name,
    .error_text = fake_error_text,
    .device_count = fake_device_count,
    .device_get = fake_device_get,
    .device_name = fake_device_name,
    .device_memory = fake_device_memory,
    .device_attribute = fake_device_attribute,
    .context_retain = fake_context_retain_kept,
    .context_release = fake_context_release,
    .context_set = fake_context_set,
    .stream_create = fake_stream_create,
    .stream_destroy = record_old_handle,
    .stream_wait = fake_wait,
    .stream_wait_event = fake_wait_event,
    .capture_begin = fake_capture_begin,
    .capture_end = fake_capture_end,
    .graph_nodes = fake_graph_nodes,
    .graph_node_type = fake_graph_node_type,
    .capture_nodes = fake_capture_nodes,
    .capture_follow = fake_capture_follow,
    .graph_instantiate = fake_graph_instantiate,
    .graph_destroy = record_old_handle,
    .graph_launch = fake_graph_launch,
    .graph_exec_destroy = record_old_handle,
    .event_create = fake_event_create,
    .event_destroy = record_old_handle,
    .event_record = fake_event_record,
    .event_wait = fake_wait,
    .event_elapsed = fake_event_elapsed,
    .module_load = fake_module_load,
    .module_unload = fake_module_unload,
    .module_function = fake_module_function,
    .function_get = fake_function_get,
    .function_set = fake_function_set,
    .launch = fake_launch,
};

struct record *record_start(int compute)
{
    record = (struct record){.compute = compute, .sm_count = 132, .gpu_count = 1, .driver = 13000};
    retained = NULL;
    is_capturing = false;
    record_memory_rows(&table);
    dyno_cu_replace(&table);
    return &record;
}

void record_end(void)
{
    dyno_cu_replace(NULL);
}
