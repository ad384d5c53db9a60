/* variant.c - from a file to warm instances. */
#include "serve/model/variant.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/pool.h"

#define WARM_RUNS  3
#define COPY_BYTES ((size_t)1 << 30)

struct dyno_variant *dyno_variant_create(const char *model, uint64_t version, const char *name,
                                         const struct dyno_tally_shape *tally_shape)
{
    struct dyno_variant *variant = dyno_alloc(1, sizeof(*variant));
    if (variant == NULL)
        return NULL;
    (void)pthread_mutex_init(&variant->lock, NULL);
    atomic_store(&variant->ref_count, 1);
    variant->version_number = version;
    (void)snprintf(variant->model, sizeof(variant->model), "%s", model);
    (void)snprintf(variant->version, sizeof(variant->version), "%llu", (unsigned long long)version);
    (void)snprintf(variant->name, sizeof(variant->name), "%s", name);
    variant->tally_shape = *tally_shape;
    variant->tallies = dyno_alloc((size_t)tally_shape->thread_count,
                                  (size_t)tally_shape->class_count * sizeof(*variant->tallies));
    if (variant->tallies == NULL) {
        dyno_variant_destroy(variant);
        return NULL;
    }
    return variant;
}

static void unload(struct dyno_variant *variant)
{
    for (int i = 0; i < variant->instance_count; i++)
        dyno_instance_destroy(variant->instances[i]);
    variant->instance_count = variant->idle_count = 0;
    dyno_free(variant->inputs);
    dyno_free(variant->outputs);
    dyno_free(variant->input_infos);
    for (size_t i = 0; variant->labels != NULL && i < variant->output_count; i++)
        dyno_labels_destroy(variant->labels[i]);
    dyno_free(variant->labels);
    variant->labels = NULL;
    variant->inputs = variant->outputs = NULL;
    variant->input_infos = NULL;
    dyno_free(variant->path);
    variant->path = NULL;
    dyno_remote_engine_close(variant->remote);
    variant->remote = NULL;
    dyno_engine_close(variant->engine);
    variant->engine = NULL;
}

static int tally_count(const struct dyno_variant *variant)
{
    return variant->tally_shape.thread_count * variant->tally_shape.class_count;
}

void dyno_variant_destroy(struct dyno_variant *variant)
{
    unload(variant);
    for (int i = 0; variant->tallies != NULL && i < tally_count(variant); i++)
        dyno_free(atomic_load(&variant->tallies[i]));
    dyno_free(variant->tallies);
    (void)pthread_mutex_destroy(&variant->lock);
    dyno_free(variant);
}

void dyno_variant_ref(struct dyno_variant *variant)
{
    atomic_fetch_add_explicit(&variant->ref_count, 1, memory_order_relaxed);
}

void dyno_variant_unref(struct dyno_variant *variant)
{
    if (atomic_fetch_sub_explicit(&variant->ref_count, 1, memory_order_acq_rel) == 1)
        variant->reap(variant);
}

struct dyno_tally *dyno_variant_tally(struct dyno_variant *variant, int thread, int class_idx)
{
    const int idx = thread * variant->tally_shape.class_count + class_idx;
    struct dyno_tally *tally = atomic_load_explicit(&variant->tallies[idx], memory_order_relaxed);
    if (tally == NULL) {
        tally = dyno_alloc(1, sizeof(*tally));
        atomic_store_explicit(&variant->tallies[idx], tally, memory_order_release);
    }
    return tally;
}

void dyno_variant_sum(const struct dyno_variant *variant, int class_idx, struct dyno_tally *sum_out)
{
    *sum_out = (struct dyno_tally){0};
    for (int i = 0; i < tally_count(variant); i++) {
        const struct dyno_tally *tally =
            atomic_load_explicit(&variant->tallies[i], memory_order_acquire);
        if (tally != NULL && (class_idx < 0 || i % variant->tally_shape.class_count == class_idx))
            dyno_tally_sum(tally, sum_out);
    }
}

uint64_t dyno_variant_bytes(struct dyno_variant *variant)
{
    return dyno_engine_file_bytes(variant->engine) + dyno_engine_memory_bytes(variant->engine) +
           (variant->remote != NULL ? dyno_remote_engine_host_bytes(variant->remote) : 0);
}

uint64_t dyno_variant_gpu_bytes(const struct dyno_variant *variant)
{
    return variant->remote != NULL ? dyno_remote_engine_gpu_bytes(variant->remote) : 0;
}

enum dyno_status dyno_variant_try(struct dyno_variant *variant, int instance,
                                  const struct dyno_array *inputs, struct dyno_array *outputs,
                                  struct dyno_err *err)
{
    struct dyno_device *account = variant->gpu != NULL ? variant->gpu->account : NULL;
    struct dyno_instance_times times = {0};
    struct dyno_device_run run;
    dyno_device_begin(account, 1, true, &run);
    const enum dyno_status status =
        dyno_instance_run(variant->instances[instance], inputs, outputs, &times, err);
    (void)atomic_fetch_add(&variant->load_core_ns,
                           dyno_device_end(account, &run, times.end_ns, times.busy_ns));
    return status;
}

/* --- loading --- */

static enum dyno_status describe(const struct dyno_io_info *info, struct dyno_v2_tensor *tensor,
                                 struct dyno_err *err)
{
    tensor->name = info->name;
    tensor->dtype = (enum dyno_dtype)info->dtype;
    if (dyno_v2_datatype(tensor->dtype) == NULL || tensor->dtype == DYNO_STR)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED,
                         "tensor '%s' is of type %s, which cannot be served", info->name,
                         dyno_dtype_text(tensor->dtype));
    tensor->rank = info->rank;
    for (int i = 0; i < info->rank; i++)
        tensor->dims[i] = info->min[i] == info->max[i] ? info->min[i] : -1;
    return DYNO_OK;
}

static enum dyno_status describe_all(struct dyno_variant *variant, struct dyno_err *err)
{
    variant->input_count = dyno_engine_input_count(variant->engine);
    variant->output_count = dyno_engine_output_count(variant->engine);
    variant->inputs = dyno_alloc(variant->input_count + 1, sizeof(*variant->inputs));
    variant->outputs = dyno_alloc(variant->output_count + 1, sizeof(*variant->outputs));
    variant->input_infos = dyno_alloc(variant->input_count + 1, sizeof(*variant->input_infos));
    if (variant->inputs == NULL || variant->outputs == NULL || variant->input_infos == NULL)
        return DYNO_NOMEM(err);
    if (variant->input_count > DYNO_V2_TENSORS_MAX || variant->output_count > DYNO_V2_TENSORS_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "more than %d inputs or outputs", DYNO_V2_TENSORS_MAX);
    for (uint32_t i = 0; i < variant->input_count; i++) {
        dyno_engine_input(variant->engine, i, &variant->input_infos[i]);
        DYNO_TRY(describe(&variant->input_infos[i], &variant->inputs[i], err));
    }
    for (uint32_t i = 0; i < variant->output_count; i++) {
        struct dyno_io_info info;
        dyno_engine_output(variant->engine, i, &info);
        variant->has_open_outputs = variant->has_open_outputs || info.rank < 0;
        DYNO_TRY(describe(&info, &variant->outputs[i], err));
    }
    return DYNO_OK;
}

/* Zeros at the optimal shape: valid for every type, an index too. */
static enum dyno_status make_inputs(const struct dyno_variant *variant, struct dyno_arena *arena,
                                    struct dyno_array *arrays, struct dyno_err *err)
{
    for (size_t i = 0; i < variant->input_count; i++) {
        const struct dyno_io_info *info = &variant->input_infos[i];
        struct dyno_array *array = &arrays[i];
        int64_t count = 0;
        *array = (struct dyno_array){.dtype = info->dtype, .rank = info->rank};
        memcpy(array->dims, info->opt, sizeof(array->dims));
        if (!dyno_dims_count(array->dims, array->rank, &count) ||
            !dyno_dtype_bytes((enum dyno_dtype)info->dtype, (uint64_t)count, &array->bytes))
            return DYNO_FAIL(err, DYNO_E_LIMIT, "input '%s' is too large", info->name);
        array->data = dyno_arena_alloc(arena, array->bytes + 1, 1);
        if (array->data == NULL)
            return DYNO_NOMEM(err);
    }
    return DYNO_OK;
}

/* Each instance so many times at the optimal shape; *best_ns_out is the quickest run. */
static enum dyno_status run_each(struct dyno_variant *variant, struct dyno_arena *arena,
                                 const struct dyno_array *inputs, int times, uint64_t *best_ns_out,
                                 struct dyno_err *err)
{
    struct dyno_array *outputs =
        dyno_arena_alloc(arena, variant->output_count + 1, sizeof(*outputs));
    if (outputs == NULL)
        return DYNO_NOMEM(err);
    *best_ns_out = UINT64_MAX;
    for (int i = 0; i < variant->instance_count * times; i++) {
        const uint64_t start_ns = dyno_clock_ns();
        memset(outputs, 0, variant->output_count * sizeof(*outputs));
        DYNO_TRY(dyno_variant_try(variant, i % variant->instance_count, inputs, outputs, err));
        const uint64_t ns = dyno_clock_ns() - start_ns;
        *best_ns_out = ns < *best_ns_out ? ns : *best_ns_out;
    }
    return DYNO_OK;
}

static struct dyno_stamp stamp_from(const struct stat *info)
{
    return (struct dyno_stamp){.device = (uint64_t)info->st_dev,
                               .inode = (uint64_t)info->st_ino,
                               .bytes = (uint64_t)info->st_size,
                               .time_ns = (uint64_t)info->st_mtim.tv_sec * 1000000000U +
                                          (uint64_t)info->st_mtim.tv_nsec};
}

struct dyno_stamp dyno_stamp_of(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 ? stamp_from(&info) : (struct dyno_stamp){0};
}

bool dyno_stamp_is_same(const struct dyno_stamp *a, const struct dyno_stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->bytes == b->bytes &&
           a->time_ns == b->time_ns && a->settings == b->settings;
}

/* What is read is what the stamp says: nobody wrote meanwhile. */
static enum dyno_status copy_all(int from, int to, const struct dyno_variant_plan *plan,
                                 struct dyno_stamp *stamp, struct dyno_err *err)
{
    struct stat info;
    ssize_t bytes = 0;
    if (fstat(from, &info) != 0 || !S_ISREG(info.st_mode))
        return DYNO_FAIL(err, DYNO_E_IO, "it is no file");
    struct dyno_stamp before = stamp_from(&info);
    before.settings = stamp->settings;
    *stamp = before;
    DYNO_TRY(plan->reserve(plan->arg, 0, before.bytes, err));
    do {
        bytes = sendfile(to, from, NULL, COPY_BYTES);
    } while (bytes > 0 || (bytes < 0 && errno == EINTR));
    if (bytes < 0)
        return DYNO_FAIL(err, DYNO_E_IO, "cannot read it: %s", strerror(errno));
    if (fstat(from, &info) != 0)
        return DYNO_FAIL(err, DYNO_E_IO, "cannot read it: %s", strerror(errno));
    struct dyno_stamp after = stamp_from(&info);
    after.settings = before.settings;
    if (!dyno_stamp_is_same(&before, &after))
        return DYNO_FAIL(err, DYNO_E_IO, "it was written to while it was read");
    return DYNO_OK;
}

static enum dyno_status copy_file(const struct dyno_variant_plan *plan, int to,
                                  struct dyno_stamp *stamp, struct dyno_err *err)
{
    /* Whatever stands there under that name, nobody waits for it. */
    const int from = open(plan->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (from < 0)
        return DYNO_FAIL(err, DYNO_E_IO, "cannot open it: %s", strerror(errno));
    const enum dyno_status status = copy_all(from, to, plan, stamp, err);
    (void)close(from);
    return status;
}

/* In the child of a GPU, which reads the same copy. */
static enum dyno_status open_remote(struct dyno_variant *variant,
                                    const struct dyno_variant_plan *plan, int fd,
                                    struct dyno_err *err)
{
    DYNO_TRY(plan->place(plan->arg, variant, err));
    DYNO_TRY(
        plan->reserve(plan->arg, variant->device, dyno_engine_file_bytes(variant->engine), err));
    DYNO_TRY(
        dyno_remote_engine_open(variant->gpu->card, fd, variant->engine, &variant->remote, err));
    return plan->reserve(plan->arg, variant->device, dyno_variant_gpu_bytes(variant), err);
}

/* From a copy in memory: what is written over the file, or cut off it, cannot reach what is served
 * (a map of the file itself would fault), and the bytes that we count are the bytes that are held.
 */
static enum dyno_status open_copy(struct dyno_variant *variant,
                                  const struct dyno_variant_plan *plan, struct dyno_err *err)
{
    char path[64];
    struct dyno_err reason = {0};
    const int fd = memfd_create("engine", MFD_CLOEXEC);
    if (fd < 0)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "no memory file for an engine: %s", strerror(errno));
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    enum dyno_status status = copy_file(plan, fd, &variant->stamp, &reason);
    if (status == DYNO_OK)
        status = dyno_engine_inspect(path, &variant->engine, &reason);
    if (status == DYNO_OK && dyno_engine_device_name(variant->engine)[0] != 0)
        status = open_remote(variant, plan, fd, &reason);
    if (status != DYNO_OK) {
        const bool has_path = strncmp(reason.text, "engine '", 8) == 0;
        const char *colon = has_path ? strstr(reason.text, "': ") : NULL;
        status = DYNO_FAIL(err, status, "engine '%s/%s/%s': %s", variant->model, variant->version,
                           variant->name, colon != NULL ? colon + 3 : reason.text);
    }
    (void)close(fd);
    return status;
}

static enum dyno_status read_labels(struct dyno_variant *variant, const char *folder,
                                    const struct dyno_model_labels *labels, struct dyno_err *err)
{
    variant->labels = dyno_alloc(variant->output_count + 1, sizeof(*variant->labels));
    if (variant->labels == NULL)
        return DYNO_NOMEM(err);
    for (; labels != NULL; labels = labels->next) {
        const int idx = dyno_variant_output(variant, labels->output);
        if (idx < 0)
            return DYNO_FAIL(err, DYNO_E_FORMAT, "labels: there is no output '%.64s'",
                             labels->output);
        if (variant->labels[idx] == NULL)
            DYNO_TRY(dyno_labels_read(folder, labels->file, &variant->labels[idx], err));
    }
    return DYNO_OK;
}

/* What the configuration says counts, within what the engine takes. */
static void set_max_batch(struct dyno_variant *variant, int64_t wanted)
{
    int64_t most = DYNO_BATCH_ROWS_MAX;
    for (size_t i = 0; i < variant->input_count; i++) {
        const struct dyno_io_info *info = &variant->input_infos[i];
        const int64_t rows = info->rank > 0 ? info->max[0] : 0;
        most = rows < most ? rows : most;
    }
    if (wanted < 0)
        variant->max_batch = dyno_variant_probe_batch(variant);
    else
        variant->max_batch = variant->input_count == 0 ? 0 : wanted < most ? wanted : most;
}

static enum dyno_status add_instance(struct dyno_variant *variant, const struct dyno_lanes *lanes,
                                     struct dyno_err *err)
{
    const int idx = variant->instance_count;
    DYNO_TRY(dyno_instance_create(variant->engine, lanes->pools[idx % lanes->count],
                                  variant->remote, &variant->instances[idx], err));
    variant->instance_count++;
    variant->idle[variant->idle_count] = (uint8_t)idx;
    variant->idle_count++;
    return DYNO_OK;
}

/* What it holds, of the host and of a GPU, and `more` than that. */
static enum dyno_status reserve(struct dyno_variant *variant, const struct dyno_variant_plan *plan,
                                uint64_t more_host, uint64_t more_gpu, struct dyno_err *err)
{
    DYNO_TRY(plan->reserve(plan->arg, 0, dyno_variant_bytes(variant) + more_host, err));
    if (variant->device == 0)
        return DYNO_OK;
    return plan->reserve(plan->arg, variant->device, dyno_variant_gpu_bytes(variant) + more_gpu,
                         err);
}

static uint64_t growth(uint64_t before, uint64_t now)
{
    return now > before ? now - before : 0;
}

/* The first instance is warmed alone: what it takes the others will take, too. */
static enum dyno_status add_instances(struct dyno_variant *variant,
                                      const struct dyno_variant_plan *plan,
                                      struct dyno_arena *arena, const struct dyno_array *inputs,
                                      struct dyno_err *err)
{
    const int count = variant->device == 0 ? plan->instance_count : plan->gpu_instance_count;
    const uint64_t host = dyno_variant_bytes(variant);
    const uint64_t gpu = dyno_variant_gpu_bytes(variant);
    uint64_t ns = 0;
    DYNO_TRY(add_instance(variant, plan->lanes, err));
    DYNO_TRY(run_each(variant, arena, inputs, 1, &ns, err));
    const uint64_t others = (uint64_t)count - 1;
    DYNO_TRY(reserve(variant, plan, growth(host, dyno_variant_bytes(variant)) * others,
                     growth(gpu, dyno_variant_gpu_bytes(variant)) * others, err));
    while (variant->instance_count < count)
        DYNO_TRY(add_instance(variant, plan->lanes, err));
    return DYNO_OK;
}

static enum dyno_status warm(struct dyno_variant *variant, const struct dyno_variant_plan *plan,
                             struct dyno_arena *arena, struct dyno_err *err)
{
    struct dyno_cost_key key;
    uint64_t ns = 0;
    struct dyno_array *inputs = dyno_arena_alloc(arena, variant->input_count + 1, sizeof(*inputs));
    if (inputs == NULL)
        return DYNO_NOMEM(err);
    DYNO_TRY(make_inputs(variant, arena, inputs, err));
    DYNO_TRY(add_instances(variant, plan, arena, inputs, err));
    DYNO_TRY(run_each(variant, arena, inputs, WARM_RUNS, &ns, err));
    set_max_batch(variant, plan->max_batch);
    const int64_t rows = dyno_variant_rows(variant, inputs, &key);
    dyno_cost_note(&variant->cost, &key, rows, ns);
    return reserve(variant, plan, 0, 0, err);
}

static enum dyno_status load(struct dyno_variant *variant, const struct dyno_variant_plan *plan,
                             struct dyno_err *err)
{
    variant->stamp.settings = plan->settings;
    variant->path = dyno_strdup(plan->path);
    if (variant->path == NULL)
        return DYNO_NOMEM(err);
    DYNO_TRY(open_copy(variant, plan, err));
    DYNO_TRY(describe_all(variant, err));
    DYNO_TRY(read_labels(variant, plan->folder, plan->labels, err));
    plan->warming(plan->arg);
    struct dyno_arena *arena = dyno_arena_create();
    if (arena == NULL)
        return DYNO_NOMEM(err);
    struct dyno_device *cpu = variant->device == 0 ? plan->device : NULL;
    struct dyno_device_run mark;
    const int threads = dyno_pool_thread_count(plan->lanes->pools[0]);
    dyno_device_begin(cpu, (uint32_t)threads, true, &mark);
    const enum dyno_status status = warm(variant, plan, arena, err);
    (void)atomic_fetch_add(&variant->load_core_ns, dyno_device_end(cpu, &mark, 0, 0));
    dyno_arena_destroy(arena);
    return status;
}

enum dyno_status dyno_variant_load(struct dyno_variant *variant,
                                   const struct dyno_variant_plan *plan, struct dyno_err *err)
{
    DYNO_ASSERT(plan->instance_count > 0 && plan->instance_count <= DYNO_INSTANCES_MAX);
    DYNO_ASSERT(plan->gpu_instance_count > 0 && plan->gpu_instance_count <= DYNO_INSTANCES_MAX);
    const enum dyno_status status = load(variant, plan, err);
    if (status != DYNO_OK)
        unload(variant);
    return status;
}

/* --- requests --- */

int dyno_variant_output(const struct dyno_variant *variant, const char *name)
{
    for (size_t i = 0; i < variant->output_count; i++)
        if (strcmp(variant->outputs[i].name, name) == 0)
            return (int)i;
    return -1;
}

static enum dyno_status check_input(const struct dyno_variant *variant, size_t idx,
                                    const struct dyno_v2_tensor *tensor, struct dyno_err *err)
{
    const struct dyno_io_info *info = &variant->input_infos[idx];
    if ((int)tensor->dtype != info->dtype)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "inference input '%s' data-type is '%s', but model '%s' expects '%s'",
                         tensor->name, dyno_v2_datatype(tensor->dtype), variant->model,
                         dyno_v2_datatype((enum dyno_dtype)info->dtype));
    if (tensor->rank != info->rank)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "unexpected shape for input '%s' for model '%s': %d dimensions, expected "
                         "%d",
                         tensor->name, variant->model, tensor->rank, info->rank);
    for (int i = 0; i < info->rank; i++)
        if (tensor->dims[i] < info->min[i] || tensor->dims[i] > info->max[i])
            return DYNO_FAIL(err, DYNO_E_ARG,
                             "unexpected shape for input '%s' for model '%s': dimension %d is "
                             "%lld, expected %lld to %lld",
                             tensor->name, variant->model, i, (long long)tensor->dims[i],
                             (long long)info->min[i], (long long)info->max[i]);
    return DYNO_OK;
}

int64_t dyno_variant_rows(const struct dyno_variant *variant, const struct dyno_array *arrays,
                          struct dyno_cost_key *key_out)
{
    const bool has_rows = variant->max_batch > 0;
    uint64_t hash = 0;
    uint64_t elements = 0;
    for (size_t i = 0; i < variant->input_count; i++) {
        uint64_t own = 1;
        for (int d = has_rows ? 1 : 0; d < arrays[i].rank; d++) {
            hash = (hash ^ (uint64_t)arrays[i].dims[d]) * UINT64_C(0x9e3779b97f4a7c15);
            own *= (uint64_t)arrays[i].dims[d]; /* of a checked input: no overflow */
        }
        elements += own;
    }
    *key_out = (struct dyno_cost_key){.hash = hash, .elements = elements};
    return has_rows ? arrays[0].dims[0] : 1;
}

/* A request's rows are cut out of a batch by its first input: all its inputs have as many. */
static enum dyno_status check_rows(const struct dyno_variant *variant,
                                   const struct dyno_array *arrays, struct dyno_err *err)
{
    if (variant->max_batch == 0)
        return DYNO_OK;
    for (size_t i = 1; i < variant->input_count; i++)
        if (arrays[i].dims[0] != arrays[0].dims[0])
            return DYNO_FAIL(err, DYNO_E_ARG,
                             "unexpected shape for input '%s' for model '%s': dimension 0 is %lld, "
                             "but %lld for input '%s'",
                             variant->inputs[i].name, variant->model, (long long)arrays[i].dims[0],
                             (long long)arrays[0].dims[0], variant->inputs[0].name);
    return DYNO_OK;
}

enum dyno_status dyno_variant_arrange(const struct dyno_variant *variant,
                                      const struct dyno_infer *infer, struct dyno_array *arrays,
                                      struct dyno_err *err)
{
    if (infer->input_count != variant->input_count)
        return DYNO_FAIL(err, DYNO_E_ARG, "expected %zu inputs but got %zu inputs for model '%s'",
                         variant->input_count, infer->input_count, variant->model);
    memset(arrays, 0, variant->input_count * sizeof(*arrays));
    for (size_t i = 0; i < infer->input_count; i++) {
        const struct dyno_v2_tensor *tensor = &infer->inputs[i];
        size_t idx = 0;
        while (idx < variant->input_count && strcmp(variant->inputs[idx].name, tensor->name) != 0)
            idx++;
        if (idx == variant->input_count || arrays[idx].dtype != 0)
            return DYNO_FAIL(err, DYNO_E_ARG, "unexpected inference input '%s' for model '%s'",
                             tensor->name, variant->model);
        DYNO_TRY(check_input(variant, idx, tensor, err));
        arrays[idx] = (struct dyno_array){.data = (void *)(uintptr_t)tensor->data,
                                          .bytes = tensor->bytes,
                                          .dtype = (int)tensor->dtype,
                                          .rank = tensor->rank};
        memcpy(arrays[idx].dims, tensor->dims, sizeof(arrays[idx].dims));
    }
    return check_rows(variant, arrays, err);
}
