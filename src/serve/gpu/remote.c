/* remote.c - engines and runs by command; what the child says of them is checked here. */
#include "serve/gpu/remote.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/dtype.h"
#include "base/mem.h"
#include "base/tensor.h"

#define ROOM_MIN_BYTES 65536
#define GROW_MAX       3 /* times that one run may find its memory too small */

struct dyno_remote_engine {
    struct dyno_card *card;
    uint64_t epoch;
    uint32_t number;
    const struct dyno_engine *engine;
    uint32_t instance_count;
    atomic_uint_fast64_t told_host_bytes, told_gpu_bytes, shared_bytes;
};

struct dyno_remote {
    struct dyno_card_call call; /* first */
    struct dyno_remote_engine *engine;
    uint32_t number;
    int fd;
    char *memory;
    uint64_t bytes;
    /* The run in flight. */
    struct dyno_array *outputs;
    dyno_remote_done_fn *done;
    void *done_arg;
    uint64_t submit_ns, inputs_end;
    int grow_count;
    struct dyno_gpu_message message; /* the command */
};

static atomic_uint engine_count; /* numbers are never used again */

/* --- engines --- */

static void take_bytes(struct dyno_remote_engine *engine, const struct dyno_gpu_message *answer)
{
    atomic_store_explicit(&engine->told_host_bytes, answer->host_bytes, memory_order_relaxed);
    atomic_store_explicit(&engine->told_gpu_bytes, answer->gpu_bytes, memory_order_relaxed);
}

uint64_t dyno_remote_engine_host_bytes(const struct dyno_remote_engine *remote)
{
    return atomic_load_explicit(&remote->told_host_bytes, memory_order_relaxed) +
           atomic_load_explicit(&remote->shared_bytes, memory_order_relaxed);
}

uint64_t dyno_remote_engine_gpu_bytes(const struct dyno_remote_engine *remote)
{
    return atomic_load_explicit(&remote->told_gpu_bytes, memory_order_relaxed);
}

/* Its sentence begins with a path of its own. */
static const char *without_path(const char *text)
{
    const char *colon = strstr(text, "': ");
    return strncmp(text, "engine '/proc/", 14) == 0 && colon != NULL ? colon + 3 : text;
}

static enum dyno_status ask(const struct dyno_remote_engine *engine,
                            struct dyno_gpu_message *message, int fd, struct dyno_err *err)
{
    struct dyno_err reason = {0};
    const enum dyno_status status =
        dyno_card_ask(engine->card, engine->epoch, message, fd, &reason);
    return status == DYNO_OK ? DYNO_OK : DYNO_FAIL(err, status, "%s", without_path(reason.text));
}

enum dyno_status dyno_remote_engine_open(struct dyno_card *card, int file,
                                         const struct dyno_engine *engine,
                                         struct dyno_remote_engine **remote_out,
                                         struct dyno_err *err)
{
    *remote_out = NULL;
    struct dyno_remote_engine *remote = dyno_alloc(1, sizeof(*remote));
    struct dyno_gpu_message *message = dyno_alloc(1, sizeof(*message));
    enum dyno_status status = remote != NULL && message != NULL ? DYNO_OK : DYNO_NOMEM(err);
    if (status == DYNO_OK) {
        remote->card = card;
        remote->engine = engine;
        remote->number = atomic_fetch_add(&engine_count, 1) + 1;
        status = dyno_card_start(card, &remote->epoch, err);
    }
    if (status == DYNO_OK) {
        message->verb = DYNO_GPU_OPEN;
        message->engine = remote->number;
        status = ask(remote, message, file, err);
    }
    if (status == DYNO_OK) {
        take_bytes(remote, message);
        *remote_out = remote;
    } else {
        dyno_free(remote);
    }
    dyno_free(message);
    return status;
}

void dyno_remote_engine_close(struct dyno_remote_engine *remote)
{
    if (remote == NULL)
        return;
    struct dyno_gpu_message *message = dyno_alloc(1, sizeof(*message));
    if (message != NULL) { /* else it goes with the child */
        message->verb = DYNO_GPU_CLOSE;
        message->engine = remote->number;
        (void)!ask(remote, message, -1, NULL);
    }
    dyno_free(message);
    dyno_free(remote);
}

/* --- instances --- */

/* The child may write into it, and make it larger, but never smaller: what is mapped stays. */
static enum dyno_status make_memory(struct dyno_remote *remote, struct dyno_err *err)
{
    remote->fd = memfd_create("tensors", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (remote->fd < 0 || fcntl(remote->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_SEAL) != 0)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "no memory to share with a GPU's driver: %s",
                         strerror(errno));
    return dyno_remote_room(remote, ROOM_MIN_BYTES) != NULL ? DYNO_OK : DYNO_NOMEM(err);
}

char *dyno_remote_room(struct dyno_remote *remote, uint64_t bytes)
{
    const uint64_t old = remote->bytes;
    if (bytes <= old)
        return remote->memory;
    if (bytes > DYNO_GPU_BYTES_MAX)
        return NULL;
    const uint64_t wanted = (bytes + ROOM_MIN_BYTES - 1) / ROOM_MIN_BYTES * ROOM_MIN_BYTES;
    /* Taken now: a machine without room for it must not fault later. */
    if (posix_fallocate(remote->fd, 0, (off_t)wanted) != 0)
        return NULL;
    void *memory = old == 0 ? mmap(NULL, wanted, PROT_READ | PROT_WRITE, MAP_SHARED, remote->fd, 0)
                            : mremap(remote->memory, old, wanted, MREMAP_MAYMOVE);
    if (memory == MAP_FAILED)
        return NULL;
    remote->memory = memory;
    remote->bytes = wanted;
    atomic_fetch_add_explicit(&remote->engine->shared_bytes, wanted - old, memory_order_relaxed);
    return remote->memory;
}

enum dyno_status dyno_remote_create(struct dyno_remote_engine *engine,
                                    struct dyno_remote **remote_out, struct dyno_err *err)
{
    *remote_out = NULL;
    struct dyno_remote *remote = dyno_alloc(1, sizeof(*remote));
    if (remote == NULL)
        return DYNO_NOMEM(err);
    remote->engine = engine;
    remote->number = engine->instance_count;
    remote->fd = -1;
    enum dyno_status status = make_memory(remote, err);
    if (status == DYNO_OK) {
        remote->message.verb = DYNO_GPU_ADD;
        remote->message.engine = engine->number;
        remote->message.instance = remote->number;
        remote->message.bytes = remote->bytes;
        status = ask(engine, &remote->message, remote->fd, err);
    }
    if (status != DYNO_OK) {
        dyno_remote_destroy(remote);
        return status;
    }
    take_bytes(engine, &remote->message);
    engine->instance_count++;
    *remote_out = remote;
    return DYNO_OK;
}

void dyno_remote_destroy(struct dyno_remote *remote)
{
    if (remote == NULL)
        return;
    if (remote->memory != NULL)
        (void)munmap(remote->memory, remote->bytes);
    atomic_fetch_sub_explicit(&remote->engine->shared_bytes, remote->bytes, memory_order_relaxed);
    if (remote->fd >= 0)
        (void)close(remote->fd);
    dyno_free(remote);
}

/* --- runs --- */

/* One output that the child tells of: NULL, or what is wrong with it. */
static const char *check_output(const struct dyno_remote *remote, uint32_t idx,
                                const struct dyno_gpu_tensor *tensor)
{
    struct dyno_io_info info;
    int64_t count = 0;
    size_t bytes = 0;
    dyno_engine_output(remote->engine->engine, idx, &info);
    if (tensor->dtype != info.dtype || tensor->rank < 0 || tensor->rank > DYNO_API_RANK_MAX ||
        (info.rank >= 0 && tensor->rank != info.rank))
        return "an output of another type or rank than its engine has";
    for (int d = 0; d < tensor->rank; d++)
        if (tensor->dims[d] < 0)
            return "an output of a negative size";
    if (!dyno_dims_count(tensor->dims, tensor->rank, &count) ||
        !dyno_dtype_bytes((enum dyno_dtype)tensor->dtype, (uint64_t)count, &bytes) ||
        bytes != tensor->bytes)
        return "an output whose bytes are not those of its shape";
    if (tensor->offset % DYNO_GPU_ALIGN_BYTES != 0 || tensor->offset < remote->inputs_end ||
        tensor->offset > remote->bytes || bytes > remote->bytes - tensor->offset)
        return "an output outside its memory";
    return NULL;
}

static const char *check_run(const struct dyno_card_call *call,
                             const struct dyno_gpu_message *answer)
{
    const struct dyno_remote *remote = (const struct dyno_remote *)(const void *)call;
    const struct dyno_remote_engine *engine = remote->engine;
    if (answer->engine != engine->number || answer->instance != remote->number)
        return "an answer of another instance";
    if (answer->start_ns > answer->turn_ns || answer->turn_ns > answer->end_ns ||
        answer->end_ns > dyno_clock_ns() ||
        (answer->end_ns != 0 && answer->start_ns < remote->submit_ns))
        return "a run at another time";
    if (answer->status != DYNO_OK || answer->needs_bytes != 0)
        return answer->tensor_count != 0 ? "outputs of no run"
               : answer->needs_bytes != 0 && answer->needs_bytes <= remote->bytes
                   ? "too little room"
               : remote->grow_count >= GROW_MAX && answer->needs_bytes != 0 ? "ever more room"
               : answer->needs_bytes > DYNO_GPU_BYTES_MAX ? "more memory than there is"
                                                          : NULL;
    if (answer->tensor_count != dyno_engine_output_count(engine->engine))
        return "another number of outputs than its engine has";
    for (uint32_t i = 0; i < answer->tensor_count; i++) {
        const char *wrong = check_output(remote, i, &answer->tensors[i]);
        if (wrong != NULL)
            return wrong;
    }
    return NULL;
}

static void give_outputs(const struct dyno_remote *remote, const struct dyno_gpu_message *answer)
{
    for (uint32_t i = 0; i < answer->tensor_count; i++) {
        const struct dyno_gpu_tensor *tensor = &answer->tensors[i];
        struct dyno_array *array = &remote->outputs[i];
        array->data = remote->memory + tensor->offset;
        array->bytes = tensor->bytes;
        array->dtype = tensor->dtype;
        array->rank = tensor->rank;
        memcpy(array->dims, tensor->dims, sizeof(array->dims));
    }
}

static enum dyno_status send(struct dyno_remote *remote, struct dyno_err *err)
{
    remote->message.bytes = remote->bytes;
    return dyno_card_send(remote->engine->card, remote->engine->epoch, &remote->call,
                          &remote->message, -1, err);
}

/* Again, with the room that its outputs need. */
static enum dyno_status run_again(struct dyno_remote *remote, uint64_t bytes, struct dyno_err *err)
{
    remote->grow_count++;
    if (dyno_remote_room(remote, bytes) == NULL)
        return DYNO_FAIL(err, DYNO_E_NOMEM, "no room for outputs of %llu bytes",
                         (unsigned long long)bytes);
    return send(remote, err);
}

/* It took the GPU from its turn on, and if that was told late, as long as its events say: they are
 * of another clock, which may be a little ahead. */
static void take_times(struct dyno_remote_times *times, const struct dyno_gpu_message *answer)
{
    const uint64_t all_ns = answer->end_ns - answer->start_ns;
    times->device_ns = answer->device_ns < all_ns ? answer->device_ns : all_ns;
    times->end_ns = answer->end_ns;
    times->start_ns = answer->end_ns - times->device_ns;
    if (answer->turn_ns < times->start_ns)
        times->start_ns = answer->turn_ns;
}

static void run_done(struct dyno_card_call *call, const struct dyno_gpu_message *answer,
                     const struct dyno_err *fallen)
{
    struct dyno_remote *remote = (struct dyno_remote *)(void *)call;
    struct dyno_err err = {0};
    enum dyno_status status = DYNO_OK;
    struct dyno_remote_times times = {.start_ns = remote->submit_ns, .end_ns = dyno_clock_ns()};
    if (answer == NULL) {
        err = *fallen;
        status = err.status;
    } else {
        take_bytes(remote->engine, answer);
        if (answer->status == DYNO_OK && answer->needs_bytes != 0) {
            status = run_again(remote, answer->needs_bytes, &err);
            if (status == DYNO_OK)
                return;
        } else if (answer->status != DYNO_OK) {
            status = DYNO_FAIL(&err, (enum dyno_status)answer->status, "%s",
                               answer->text[0] != 0 ? answer->text : "it failed");
        } else {
            give_outputs(remote, answer);
        }
        if (answer->end_ns != 0)
            take_times(&times, answer);
    }
    remote->done(remote->done_arg, status, &times, &err);
}

/* Where an input is to lie: where it does, or the next place. */
static uint64_t offset_of(const struct dyno_remote *remote, const struct dyno_array *input,
                          uint64_t next)
{
    const uintptr_t from = (uintptr_t)remote->memory;
    const uintptr_t at = (uintptr_t)input->data;
    return at >= from && at < from + remote->bytes ? at - from : next;
}

static enum dyno_status put_inputs(struct dyno_remote *remote, const struct dyno_array *inputs,
                                   uint32_t count, struct dyno_err *err)
{
    uint64_t next = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct dyno_gpu_tensor *tensor = &remote->message.tensors[i];
        *tensor = (struct dyno_gpu_tensor){.dtype = inputs[i].dtype,
                                           .rank = inputs[i].rank,
                                           .offset = offset_of(remote, &inputs[i], next),
                                           .bytes = inputs[i].bytes};
        memcpy(tensor->dims, inputs[i].dims, sizeof(tensor->dims));
        next = dyno_gpu_align(tensor->offset + tensor->bytes);
    }
    remote->inputs_end = next;
    const char *before = remote->memory;
    const uintptr_t from = (uintptr_t)before;
    const uint64_t old = remote->bytes;
    if (dyno_remote_room(remote, next) == NULL)
        return DYNO_FAIL(err, DYNO_E_NOMEM, "no room for inputs of %llu bytes",
                         (unsigned long long)next);
    for (uint32_t i = 0; i < count; i++) {
        const uintptr_t at = (uintptr_t)inputs[i].data;
        if ((at < from || at >= from + old) && inputs[i].bytes != 0)
            memcpy(remote->memory + remote->message.tensors[i].offset, inputs[i].data,
                   inputs[i].bytes);
    }
    return DYNO_OK;
}

enum dyno_status dyno_remote_submit(struct dyno_remote *remote, const struct dyno_array *inputs,
                                    struct dyno_array *outputs, dyno_remote_done_fn *done,
                                    void *done_arg, struct dyno_err *err)
{
    const uint32_t count = dyno_engine_input_count(remote->engine->engine);
    DYNO_ASSERT(count <= DYNO_GPU_TENSORS_MAX);
    DYNO_TRY(put_inputs(remote, inputs, count, err));
    remote->call.check = check_run;
    remote->call.done = run_done;
    remote->outputs = outputs;
    remote->done = done;
    remote->done_arg = done_arg;
    remote->grow_count = 0;
    remote->submit_ns = dyno_clock_ns();
    remote->message.verb = DYNO_GPU_RUN;
    remote->message.engine = remote->engine->number;
    remote->message.instance = remote->number;
    remote->message.tensor_count = count;
    return send(remote, err);
}
