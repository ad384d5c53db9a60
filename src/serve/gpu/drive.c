/* drive.c - a process that does what it is told with one GPU. */
#include "serve/gpu/drive.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/dtype.h"
#include "base/log.h"
#include "base/mem.h"
#include "serve/gpu/wire.h"

#define EXIT_FAILED 74 /* the GPU did */

struct command {
    struct command *next;
    int fd;
    uint64_t turn; /* of a run */
    struct dyno_gpu_message message;
};

/* Commands in order, for one thread; runs for a few: one has the GPU, another's inputs are copied
 * meanwhile, and a third's outputs. */
struct desk {
    struct driver *driver;
    void (*carry_out)(struct driver *driver, struct command *command);
    pthread_t threads[DYNO_GPU_LANES];
    int thread_count;
    struct dyno_turns *turns; /* each command has a number of these; NULL: none has */
    pthread_mutex_t lock;
    pthread_cond_t came;
    struct command *first, *last;
    bool is_ending;
};

struct instance {
    struct instance *next;
    uint32_t number;
    pthread_mutex_t
        lock; /* one run at a time, which the server sees to: threads see what others did */
    struct dyno_context *context;
    int fd;
    struct dyno_engine *engine;
    char *memory;
    uint64_t bytes;
    bool is_locked; /* the GPU fetches from there itself */
};

struct engine {
    struct engine *next;
    uint32_t number;
    struct dyno_engine *engine;
    struct instance *instances;
};

struct driver {
    const char *device;
    struct dyno_pool *pool;         /* for steps on the CPU */
    struct desk loads, runs, looks; /* looks: a management library may take its time */
    pthread_mutex_t lock; /* of the list; what is in it is used by one command at a time */
    struct engine *engines;
    /* Runs are answered in the order of their turns. */
    struct dyno_turns *turns;
    pthread_mutex_t answer_lock;
    pthread_cond_t answered;
    uint64_t answer_count;
    uint64_t last_end_ns; /* when the last of them ended */
};

/* --- answers --- */

/* Without the server there is nothing to do. */
static void answer(const struct dyno_gpu_message *message)
{
    if (dyno_gpu_send(DYNO_GPU_FD, message, -1, NULL) != DYNO_OK)
        _exit(0);
}

/* `status` and what is wrong; the process ends after an error of the GPU. */
static void answer_status(struct dyno_gpu_message *message, enum dyno_status status,
                          const struct dyno_err *err)
{
    message->status = (uint32_t)status;
    (void)snprintf(message->text, sizeof(message->text), "%.511s",
                   status == DYNO_OK   ? ""
                   : err->text[0] != 0 ? err->text
                                       : dyno_status_text(status));
    if (status != DYNO_OK)
        message->tensor_count = 0;
    answer(message);
    if (status == DYNO_E_IO)
        _exit(EXIT_FAILED);
}

static void tell_bytes(struct dyno_gpu_message *message, const struct engine *engine)
{
    message->host_bytes = dyno_engine_memory_bytes(engine->engine);
    message->gpu_bytes = dyno_engine_gpu_bytes(engine->engine);
}

/* --- what there is --- */

static struct engine *find_engine(struct driver *driver, uint32_t number)
{
    (void)pthread_mutex_lock(&driver->lock);
    struct engine *engine = driver->engines;
    while (engine != NULL && engine->number != number)
        engine = engine->next;
    (void)pthread_mutex_unlock(&driver->lock);
    return engine;
}

static struct instance *find_instance(struct driver *driver, const struct engine *engine,
                                      uint32_t number)
{
    (void)pthread_mutex_lock(&driver->lock);
    struct instance *instance = engine->instances;
    while (instance != NULL && instance->number != number)
        instance = instance->next;
    (void)pthread_mutex_unlock(&driver->lock);
    return instance;
}

static void unmap(struct instance *instance)
{
    if (instance->is_locked)
        dyno_engine_unlock(instance->engine, instance->memory);
    if (instance->memory != NULL)
        (void)munmap(instance->memory, instance->bytes);
    instance->is_locked = false;
    instance->memory = NULL;
    instance->bytes = 0;
}

static void destroy_instance(struct instance *instance)
{
    dyno_context_destroy(instance->context);
    unmap(instance);
    (void)pthread_mutex_destroy(&instance->lock);
    if (instance->fd >= 0)
        (void)close(instance->fd);
    dyno_free(instance);
}

static void destroy_engine(struct engine *engine)
{
    while (engine->instances != NULL) {
        struct instance *next = engine->instances->next;
        destroy_instance(engine->instances);
        engine->instances = next;
    }
    dyno_engine_close(engine->engine);
    dyno_free(engine);
}

/* --- loading --- */

static enum dyno_status open_engine(struct driver *driver, struct command *command,
                                    struct dyno_err *err)
{
    char path[64];
    struct engine *engine = dyno_alloc(1, sizeof(*engine));
    if (engine == NULL)
        return DYNO_NOMEM(err);
    engine->number = command->message.engine;
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", command->fd);
    const enum dyno_status status = dyno_engine_open_on(path, driver->device, &engine->engine, err);
    if (status != DYNO_OK) {
        dyno_free(engine);
        return status;
    }
    tell_bytes(&command->message, engine);
    (void)pthread_mutex_lock(&driver->lock);
    engine->next = driver->engines;
    driver->engines = engine;
    (void)pthread_mutex_unlock(&driver->lock);
    return DYNO_OK;
}

/* As much of the file as the server says there is.  Where it cannot be page-locked copies are
 * slower, and all else is as it was. */
static enum dyno_status map(struct instance *instance, uint64_t bytes, struct dyno_err *err)
{
    struct stat info;
    if (bytes == instance->bytes)
        return DYNO_OK;
    if (fstat(instance->fd, &info) != 0 || (uint64_t)info.st_size < bytes)
        return DYNO_FAIL(err, DYNO_E_ARG, "shared memory is smaller than it was said to be");
    unmap(instance);
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, instance->fd, 0);
    if (memory == MAP_FAILED)
        return DYNO_NOMEM(err);
    instance->memory = memory;
    instance->bytes = bytes;
    struct dyno_err reason = {0};
    instance->is_locked = dyno_engine_lock(instance->engine, memory, bytes, &reason) == DYNO_OK;
    if (!instance->is_locked)
        dyno_log(DYNO_LOG_WARN, "tensors are copied more slowly: %s", reason.text);
    return DYNO_OK;
}

static enum dyno_status add_instance(struct driver *driver, struct command *command,
                                     struct dyno_err *err)
{
    struct engine *engine = find_engine(driver, command->message.engine);
    if (engine == NULL)
        return DYNO_FAIL(err, DYNO_E_ARG, "there is no engine %u", command->message.engine);
    struct instance *instance = dyno_alloc(1, sizeof(*instance));
    if (instance == NULL)
        return DYNO_NOMEM(err);
    (void)pthread_mutex_init(&instance->lock, NULL);
    instance->number = command->message.instance;
    instance->engine = engine->engine;
    instance->fd = command->fd;
    command->fd = -1;
    enum dyno_status status = map(instance, command->message.bytes, err);
    if (status == DYNO_OK)
        status = dyno_context_create(engine->engine, driver->pool, &instance->context, err);
    if (status != DYNO_OK) {
        destroy_instance(instance);
        return status;
    }
    tell_bytes(&command->message, engine);
    (void)pthread_mutex_lock(&driver->lock);
    instance->next = engine->instances;
    engine->instances = instance;
    (void)pthread_mutex_unlock(&driver->lock);
    return DYNO_OK;
}

static enum dyno_status close_engine(struct driver *driver, uint32_t number, struct dyno_err *err)
{
    struct engine *found = NULL;
    (void)pthread_mutex_lock(&driver->lock);
    for (struct engine **at = &driver->engines; *at != NULL && found == NULL;)
        if ((*at)->number == number) {
            found = *at;
            *at = found->next;
        } else {
            at = &(*at)->next;
        }
    (void)pthread_mutex_unlock(&driver->lock);
    if (found == NULL)
        return DYNO_FAIL(err, DYNO_E_ARG, "there is no engine %u", number);
    destroy_engine(found);
    return DYNO_OK;
}

static void load(struct driver *driver, struct command *command)
{
    struct dyno_err err = {0};
    struct dyno_gpu_message *message = &command->message;
    enum dyno_status status = DYNO_OK;
    message->host_bytes = message->gpu_bytes = 0;
    if (message->verb == DYNO_GPU_OPEN)
        status = open_engine(driver, command, &err);
    else if (message->verb == DYNO_GPU_ADD)
        status = add_instance(driver, command, &err);
    else
        status = close_engine(driver, message->engine, &err);
    answer_status(message, status, &err);
}

/* --- running --- */

/* Where outputs go: behind the inputs, those whose shapes are known before the run at once. */
static uint64_t place(const struct dyno_array *outputs, uint32_t count, uint64_t from,
                      uint64_t *offsets)
{
    for (uint32_t i = 0; i < count; i++) {
        offsets[i] = from;
        from += dyno_gpu_align(outputs[i].bytes);
    }
    return from;
}

static uint64_t end_of_inputs(const struct dyno_gpu_message *message)
{
    uint64_t end = 0;
    for (uint32_t i = 0; i < message->tensor_count; i++) {
        const uint64_t own = message->tensors[i].offset + message->tensors[i].bytes;
        end = own > end ? own : end;
    }
    return dyno_gpu_align(end);
}

static enum dyno_status take_inputs(const struct instance *instance, const struct engine *engine,
                                    const struct dyno_gpu_message *message,
                                    struct dyno_array *inputs, struct dyno_err *err)
{
    if (message->tensor_count != dyno_engine_input_count(engine->engine))
        return DYNO_FAIL(err, DYNO_E_ARG, "a run with %u inputs", message->tensor_count);
    for (uint32_t i = 0; i < message->tensor_count; i++) {
        const struct dyno_gpu_tensor *tensor = &message->tensors[i];
        if (tensor->offset > instance->bytes || tensor->bytes > instance->bytes - tensor->offset)
            return DYNO_FAIL(err, DYNO_E_ARG, "input %u is not in the shared memory", i);
        inputs[i] = (struct dyno_array){.data = instance->memory + tensor->offset,
                                        .bytes = tensor->bytes,
                                        .dtype = tensor->dtype,
                                        .rank = tensor->rank};
        memcpy(inputs[i].dims, tensor->dims, sizeof(inputs[i].dims));
    }
    return DYNO_OK;
}

/* Outputs as the answer tells them; those that the context holds are copied. */
static void give_outputs(const struct instance *instance, const struct dyno_array *outputs,
                         const uint64_t *offsets, struct dyno_gpu_message *message)
{
    for (uint32_t i = 0; i < message->tensor_count; i++) {
        struct dyno_gpu_tensor *tensor = &message->tensors[i];
        *tensor = (struct dyno_gpu_tensor){.dtype = outputs[i].dtype,
                                           .rank = outputs[i].rank,
                                           .offset = offsets[i],
                                           .bytes = outputs[i].bytes};
        memcpy(tensor->dims, outputs[i].dims, sizeof(tensor->dims));
        if (outputs[i].bytes != 0 && outputs[i].data != NULL &&
            outputs[i].data != instance->memory + offsets[i])
            memcpy(instance->memory + offsets[i], outputs[i].data, outputs[i].bytes);
    }
}

struct turn {
    struct dyno_turns *turns;
    uint64_t number;
    bool is_used;
};

/* One run's arrays: too many for a stack. */
struct arrays {
    struct dyno_array inputs[DYNO_GPU_TENSORS_MAX], outputs[DYNO_GPU_TENSORS_MAX];
    uint64_t offsets[DYNO_GPU_TENSORS_MAX];
};

/* Uses the turn only if the engine is run. */
static enum dyno_status run_with(const struct engine *engine, struct instance *instance,
                                 struct arrays *arrays, struct turn *turn,
                                 struct dyno_gpu_message *message, struct dyno_err *err)
{
    const uint32_t count = dyno_engine_output_count(engine->engine);
    const uint64_t from = end_of_inputs(message);
    bool is_open = false;
    message->needs_bytes = 0;
    if (count > DYNO_GPU_TENSORS_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "%u outputs", count);
    DYNO_TRY(map(instance, message->bytes, err));
    DYNO_TRY(take_inputs(instance, engine, message, arrays->inputs, err));
    DYNO_TRY(dyno_context_bind(instance->context, arrays->inputs, arrays->outputs, err));
    for (uint32_t i = 0; i < count; i++)
        is_open = is_open || arrays->outputs[i].rank < 0;
    uint64_t end = place(arrays->outputs, count, from, arrays->offsets);
    message->tensor_count = 0;
    if (end > instance->bytes) {
        message->needs_bytes = end;
        return DYNO_OK;
    }
    for (uint32_t i = 0; i < count; i++)
        arrays->outputs[i].data = is_open ? NULL : instance->memory + arrays->offsets[i];
    message->start_ns = dyno_clock_ns();
    turn->is_used = true;
    const enum dyno_status status = dyno_context_run_in_turn(
        instance->context, turn->turns, turn->number, arrays->inputs, arrays->outputs, err);
    message->end_ns = dyno_clock_ns();
    message->device_ns = dyno_context_device_ns(instance->context);
    DYNO_TRY(status);
    end = is_open ? place(arrays->outputs, count, from, arrays->offsets) : end;
    if (end > instance->bytes) {
        message->needs_bytes = end;
        return DYNO_OK;
    }
    message->tensor_count = count;
    give_outputs(instance, arrays->outputs, arrays->offsets, message);
    return DYNO_OK;
}

/* In the order of turns: then the account of the GPU, which is told of ends alone, adds up. */
static void answer_run(struct driver *driver, uint64_t number, struct dyno_gpu_message *message,
                       enum dyno_status status, const struct dyno_err *err)
{
    (void)pthread_mutex_lock(&driver->answer_lock);
    while (driver->answer_count != number)
        (void)pthread_cond_wait(&driver->answered, &driver->answer_lock);
    if (message->end_ns != 0) {
        message->turn_ns =
            driver->last_end_ns > message->start_ns ? driver->last_end_ns : message->start_ns;
        message->end_ns = message->turn_ns > message->end_ns ? message->turn_ns : message->end_ns;
        driver->last_end_ns = message->end_ns;
    }
    answer_status(message, status, err);
    driver->answer_count++;
    (void)pthread_cond_broadcast(&driver->answered);
    (void)pthread_mutex_unlock(&driver->answer_lock);
}

static void run(struct driver *driver, struct command *command)
{
    static _Thread_local struct arrays arrays;
    struct dyno_err err = {0};
    struct turn turn = {.turns = driver->turns, .number = command->turn};
    struct dyno_gpu_message *message = &command->message;
    const struct engine *engine = find_engine(driver, message->engine);
    struct instance *instance =
        engine != NULL ? find_instance(driver, engine, message->instance) : NULL;
    enum dyno_status status = DYNO_OK;
    memset(&arrays, 0, sizeof(arrays));
    if (instance != NULL) {
        (void)pthread_mutex_lock(&instance->lock);
        status = run_with(engine, instance, &arrays, &turn, message, &err);
        (void)pthread_mutex_unlock(&instance->lock);
    } else {
        status = DYNO_FAIL(&err, DYNO_E_ARG, "there is no instance %u of engine %u",
                           message->instance, message->engine);
    }
    if (!turn.is_used)
        dyno_turns_pass(driver->turns, turn.number);
    if (engine != NULL)
        tell_bytes(message, engine);
    answer_run(driver, turn.number, message, status, &err);
}

/* --- looking --- */

/* That a card tells nothing is no failure of the GPU. */
static void look(struct driver *driver, struct command *command)
{
    struct dyno_err err = {0};
    struct dyno_gpu_message *message = &command->message;
    message->status = (uint32_t)dyno_device_look(driver->device, &message->facts, &err);
    message->tensor_count = 0;
    (void)snprintf(message->text, sizeof(message->text), "%.511s", err.text);
    answer(message);
}

/* --- threads --- */

static void *work(void *arg)
{
    struct desk *desk = arg;
    (void)pthread_mutex_lock(&desk->lock);
    for (;;) {
        struct command *command = desk->first;
        if (command == NULL && desk->is_ending)
            break;
        if (command == NULL) {
            (void)pthread_cond_wait(&desk->came, &desk->lock);
            continue;
        }
        desk->first = command->next;
        command->turn = desk->turns != NULL ? dyno_turns_next(desk->turns) : 0;
        (void)pthread_mutex_unlock(&desk->lock);
        desk->carry_out(desk->driver, command);
        if (command->fd >= 0)
            (void)close(command->fd);
        dyno_free(command);
        (void)pthread_mutex_lock(&desk->lock);
    }
    (void)pthread_mutex_unlock(&desk->lock);
    return NULL;
}

static bool open_desk(struct desk *desk, struct driver *driver, int thread_count,
                      void (*carry_out)(struct driver *driver, struct command *command))
{
    desk->driver = driver;
    desk->carry_out = carry_out;
    (void)pthread_mutex_init(&desk->lock, NULL);
    (void)pthread_cond_init(&desk->came, NULL);
    while (desk->thread_count < thread_count &&
           pthread_create(&desk->threads[desk->thread_count], NULL, work, desk) == 0)
        desk->thread_count++;
    return desk->thread_count == thread_count;
}

static void put(struct desk *desk, struct command *command)
{
    (void)pthread_mutex_lock(&desk->lock);
    command->next = NULL;
    if (desk->first != NULL)
        desk->last->next = command;
    else
        desk->first = command;
    desk->last = command;
    (void)pthread_cond_signal(&desk->came);
    (void)pthread_mutex_unlock(&desk->lock);
}

static void close_desk(struct desk *desk)
{
    (void)pthread_mutex_lock(&desk->lock);
    desk->is_ending = true;
    (void)pthread_cond_broadcast(&desk->came);
    (void)pthread_mutex_unlock(&desk->lock);
    for (int i = 0; i < desk->thread_count; i++)
        (void)pthread_join(desk->threads[i], NULL);
}

/* --- the whole --- */

static enum dyno_status say_hello(const char *device, struct dyno_err *err)
{
    struct dyno_device_info info;
    struct dyno_gpu_message message = {.verb = DYNO_GPU_HELLO};
    const enum dyno_status status = dyno_device_describe(device, &info, err);
    message.status = (uint32_t)status;
    message.compute = info.compute;
    message.bytes = info.memory_bytes;
    (void)snprintf(message.text, sizeof(message.text), "%.511s",
                   status == DYNO_OK ? info.name : err->text);
    answer(&message);
    return status;
}

/* False: the server has gone, or there is no memory. */
static bool serve_one(struct driver *driver)
{
    bool is_end = false;
    struct command *command = dyno_alloc(1, sizeof(*command));
    if (command == NULL)
        return false;
    if (dyno_gpu_receive(DYNO_GPU_FD, &command->message, &command->fd, &is_end, NULL) != DYNO_OK ||
        is_end) {
        dyno_free(command);
        return false;
    }
    put(command->message.verb == DYNO_GPU_RUN    ? &driver->runs
        : command->message.verb == DYNO_GPU_LOOK ? &driver->looks
                                                 : &driver->loads,
        command);
    return true;
}

int dyno_gpu_drive(const char *device)
{
    struct driver driver = {.device = device};
    struct dyno_err err = {0};
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    (void)pthread_mutex_init(&driver.lock, NULL);
    (void)pthread_mutex_init(&driver.answer_lock, NULL);
    (void)pthread_cond_init(&driver.answered, NULL);
    enum dyno_status status = say_hello(device, &err);
    if (status == DYNO_OK)
        status = dyno_threads_create(1, 0, &driver.pool, &err);
    if (status == DYNO_OK)
        status = dyno_turns_create(device, &driver.turns, &err);
    driver.runs.turns = driver.turns;
    if (status != DYNO_OK || !open_desk(&driver.loads, &driver, 1, load) ||
        !open_desk(&driver.runs, &driver, DYNO_GPU_LANES, run) ||
        !open_desk(&driver.looks, &driver, 1, look))
        return dyno_status_exit_code(status != DYNO_OK ? status : DYNO_E_LIMIT);
    while (serve_one(&driver)) {
    }
    close_desk(&driver.looks);
    close_desk(&driver.runs);
    close_desk(&driver.loads);
    while (driver.engines != NULL) {
        struct engine *next = driver.engines->next;
        destroy_engine(driver.engines);
        driver.engines = next;
    }
    dyno_turns_destroy(driver.turns);
    dyno_threads_destroy(driver.pool);
    (void)pthread_cond_destroy(&driver.answered);
    (void)pthread_mutex_destroy(&driver.answer_lock);
    (void)pthread_mutex_destroy(&driver.lock);
    return 0;
}
