/* session.c - engines and arrays for the commands that run something. */
#include "cli/session.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/npy.h"
#include "base/progress.h"

bool dyno_is_onnx_path(const char *path)
{
    const size_t bytes = strlen(path);
    return bytes > 5 && strcmp(path + bytes - 5, ".onnx") == 0;
}

void dyno_findings_add(void *findings_arg, const char *text)
{
    struct dyno_findings *findings = findings_arg;
    if (findings->count++ == 0) {
        (void)snprintf(findings->first, sizeof(findings->first), "%s", text);
        return;
    }
    if (findings->count == 2)
        (void)fprintf(stderr, "dyno: %s\n", findings->first);
    (void)fprintf(stderr, "dyno: %s\n", text);
}

void dyno_findings_end(const struct dyno_findings *findings, struct dyno_err *err)
{
    static const char counted[] = " problems";
    char *list = findings->count > 1 ? strstr(err->text, " problems: ") : NULL;
    if (list != NULL)
        list[sizeof(counted) - 1] = 0;
}

enum dyno_status dyno_session_check_folder(const char *path, struct dyno_err *err)
{
    const char *slash = path != NULL ? strrchr(path, '/') : NULL;
    const int bytes = slash != NULL ? (int)(slash - path) : 0;
    char folder[4096];
    struct stat info;
    if (bytes == 0)
        return DYNO_OK;
    (void)snprintf(folder, sizeof(folder), "%.*s", bytes, path);
    if (stat(folder, &info) != 0 || !S_ISDIR(info.st_mode))
        return DYNO_FAIL(err, DYNO_E_IO, "cannot write '%s': the folder '%s' is not there", path,
                         folder);
    return DYNO_OK;
}

struct bar {
    struct dyno_progress progress;
    bool is_open;
};

static void on_progress(void *arg, enum dyno_build_stage stage, uint32_t done, uint32_t total,
                        const char *what)
{
    struct bar *bar = arg;
    if (stage != DYNO_STAGE_TUNE)
        return;
    if (!bar->is_open) {
        dyno_progress_begin(&bar->progress, "tuning", total);
        bar->is_open = true;
    }
    dyno_progress_step(&bar->progress, 1, what);
    if (done == total) {
        dyno_progress_end(&bar->progress);
        bar->is_open = false;
    }
}

static enum dyno_status build_now(const struct dyno_session_options *options,
                                  struct dyno_session *session, struct dyno_err *err)
{
    struct bar bar = {.is_open = false};
    struct dyno_findings findings = {0};
    const struct dyno_build_options build = {.onnx_path = options->onnx_path,
                                             .profile = options->profile,
                                             .profile_count = options->profile_count,
                                             .pool = session->pool,
                                             .baseline = options->baseline,
                                             .exact = options->exact,
                                             .level = options->level,
                                             .device = options->device,
                                             .timing_cache_path = options->timing_cache_path,
                                             .progress = on_progress,
                                             .progress_arg = &bar,
                                             .problem = dyno_findings_add,
                                             .problem_arg = &findings};
    const enum dyno_status status = dyno_build(&build, &session->built, err);
    dyno_findings_end(&findings, err);
    if (bar.is_open)
        dyno_progress_end(&bar.progress);
    session->engine = session->built.engine;
    return status;
}

enum dyno_status dyno_session_open(const struct dyno_session_options *options,
                                   struct dyno_session *session_out, struct dyno_err *err)
{
    *session_out = (struct dyno_session){0};
    const struct dyno_pool_options pool = {.thread_count = options->threads, .bind = true};
    enum dyno_status status = dyno_pool_create(&pool, &session_out->pool, err);
    const uint64_t start_ns = dyno_clock_ns();
    if (status == DYNO_OK && options->engine_path != NULL) {
        status =
            dyno_engine_open_on(options->engine_path, options->device, &session_out->engine, err);
        session_out->owns_engine = status == DYNO_OK;
    } else if (status == DYNO_OK) {
        status = build_now(options, session_out, err);
    }
    session_out->load_ns = dyno_clock_ns() - start_ns;
    if (status != DYNO_OK)
        dyno_session_close(session_out);
    else if (dyno_engine_warning(session_out->engine)[0] != 0)
        (void)fprintf(stderr, "dyno: warning: %s\n", dyno_engine_warning(session_out->engine));
    return status;
}

void dyno_session_close(struct dyno_session *session)
{
    if (session->owns_engine)
        dyno_engine_close(session->engine);
    dyno_built_fini(&session->built);
    dyno_pool_destroy(session->pool);
    *session = (struct dyno_session){0};
}

/* --- inputs --- */

static void fill_array(struct dyno_array *array, uint32_t seed)
{
    if (array->dtype != DYNO_F32) {
        memset(array->data, 0, array->bytes);
        return;
    }
    float *at = array->data;
    uint32_t state = seed * 2654435761U + 1;
    for (size_t i = 0; i < array->bytes / sizeof(float); i++) {
        state = state * 1664525U + 1013904223U;
        at[i] = (float)(int32_t)state * 0x1p-31F;
    }
}

static enum dyno_status make_array(const struct dyno_io_info *info, uint32_t idx,
                                   const struct dyno_cli_shapes *shapes, struct dyno_arena *arena,
                                   struct dyno_array *array, struct dyno_err *err)
{
    const int64_t *dims = info->opt;
    int64_t count = 0;
    for (uint32_t i = 0; i < shapes->count; i++) {
        const struct dyno_profile_input *shape = &shapes->items[i];
        if (strcmp(shape->name, info->name) != 0)
            continue;
        if (shape->rank != info->rank)
            return DYNO_FAIL(err, DYNO_E_ARG, "input '%s': a shape of %d sizes, wants %d",
                             info->name, shape->rank, info->rank);
        dims = shape->opt;
    }
    array->dtype = info->dtype;
    array->rank = info->rank;
    memcpy(array->dims, dims, sizeof(array->dims));
    if (!dyno_dims_count(array->dims, array->rank, &count) ||
        !dyno_dtype_bytes((enum dyno_dtype)info->dtype, (uint64_t)count, &array->bytes))
        return DYNO_FAIL(err, DYNO_E_LIMIT, "input '%s': its size overflows", info->name);
    array->data = dyno_arena_alloc(arena, array->bytes + 1, 1);
    if (array->data == NULL)
        return DYNO_NOMEM(err);
    fill_array(array, idx + 1);
    return DYNO_OK;
}

static enum dyno_status load_array(const struct dyno_io_info *info, const char *path,
                                   struct dyno_arena *arena, struct dyno_array *array,
                                   struct dyno_err *err)
{
    struct dyno_tensor tensor;
    DYNO_TRY(dyno_npy_load(path, arena, &tensor, err));
    if ((int)tensor.dtype != info->dtype)
        return DYNO_FAIL(err, DYNO_E_ARG, "input '%s': '%s' holds %s, wants %s", info->name, path,
                         dyno_dtype_text(tensor.dtype),
                         dyno_dtype_text((enum dyno_dtype)info->dtype));
    array->dtype = (int)tensor.dtype;
    array->rank = tensor.rank;
    memcpy(array->dims, tensor.dims, sizeof(array->dims));
    array->data = tensor.data;
    if (!dyno_dtype_bytes(tensor.dtype, (uint64_t)dyno_tensor_count(&tensor), &array->bytes))
        return DYNO_FAIL(err, DYNO_E_LIMIT, "input '%s': its size overflows", info->name);
    return DYNO_OK;
}

/* The item NAME<separator>FILE of this input; names may hold the separator, so it must match. */
static const char *find_item(const struct dyno_cli_list *files, char separator, const char *name,
                             bool *used)
{
    const size_t bytes = strlen(name);
    for (uint32_t i = 0; i < files->count; i++) {
        if (strncmp(files->items[i], name, bytes) == 0 && files->items[i][bytes] == separator) {
            used[i] = true;
            return files->items[i] + bytes + 1;
        }
    }
    return NULL;
}

static enum dyno_status check_shape_names(const struct dyno_engine *engine,
                                          const struct dyno_cli_shapes *shapes,
                                          struct dyno_err *err)
{
    for (uint32_t i = 0; i < shapes->count; i++) {
        bool found = false;
        for (uint32_t k = 0; k < dyno_engine_input_count(engine) && !found; k++) {
            struct dyno_io_info info;
            dyno_engine_input(engine, k, &info);
            found = strcmp(info.name, shapes->items[i].name) == 0;
        }
        if (!found)
            return DYNO_FAIL(err, DYNO_E_ARG,
                             "a shape is given for '%s', which is not an input of the engine",
                             shapes->items[i].name);
    }
    return DYNO_OK;
}

enum dyno_status dyno_session_inputs(const struct dyno_engine *engine,
                                     const struct dyno_cli_list *files, char separator,
                                     const struct dyno_cli_shapes *shapes, struct dyno_arena *arena,
                                     struct dyno_array **inputs_out, struct dyno_err *err)
{
    const uint32_t count = dyno_engine_input_count(engine);
    struct dyno_array *inputs = dyno_arena_alloc(arena, count + 1U, sizeof(*inputs));
    bool *used = dyno_arena_alloc(arena, files->count + 1U, sizeof(*used));
    if (inputs == NULL || used == NULL)
        return DYNO_NOMEM(err);
    for (uint32_t i = 0; i < count; i++) {
        struct dyno_io_info info;
        dyno_engine_input(engine, i, &info);
        const char *path = find_item(files, separator, info.name, used);
        if (path != NULL)
            DYNO_TRY(load_array(&info, path, arena, &inputs[i], err));
        else
            DYNO_TRY(make_array(&info, i, shapes, arena, &inputs[i], err));
    }
    DYNO_TRY(check_shape_names(engine, shapes, err));
    for (uint32_t i = 0; i < files->count; i++) {
        if (!used[i])
            return DYNO_FAIL(err, DYNO_E_ARG, "'%s' names no input of the engine (NAME%cFILE.npy)",
                             files->items[i], separator);
    }
    *inputs_out = inputs;
    return DYNO_OK;
}
