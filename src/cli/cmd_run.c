/* cmd_run.c - dyno run: one inference, outputs to .npy files. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/json.h"
#include "base/npy.h"
#include "cli/flags.h"
#include "cli/session.h"
#include "cli/shapes.h"

struct options {
    struct dyno_cli_list positional;
    struct dyno_cli_list inputs;
    const char *output, *shapes, *device;
    int64_t threads, level;
    bool baseline, exact, json;
};

#define AT(field) DYNO_FLAG_AT(options, field)
static const struct dyno_flag flags[] = {
    DYNO_FLAG_INPUTS(options),
    {.name = "--output",
     .value = "DIR",
     .help = "Folder for the outputs, DIR/NAME.npy each (a / in a name becomes _)",
     .kind = DYNO_FLAG_STR,
     AT(output)},
    DYNO_FLAG_SHAPES(options, "Shapes of made-up inputs; also the shapes a model is built for"),
    DYNO_FLAG_THREADS(options, "Threads"),
    DYNO_FLAG_DEVICE(options, "Where to run: an engine for a GPU takes the first one unless this "
                              "says another"),
    DYNO_FLAG_LEVEL(options, 0),
    DYNO_FLAG_BASELINE(options, "Run a model given as .onnx unoptimised"),
    DYNO_FLAG_EXACT(options),
    DYNO_FLAG_JSON(options),
};

static enum dyno_status output_path(const char *folder, const char *name, struct dyno_strbuf *path,
                                    struct dyno_err *err)
{
    dyno_strbuf_clear(path);
    dyno_strbuf_printf(path, "%s/", folder);
    const size_t start = path->bytes;
    dyno_strbuf_printf(path, "%s.npy", name);
    if (!dyno_strbuf_ok(path))
        return DYNO_NOMEM(err);
    for (size_t i = start; i < path->bytes; i++)
        path->text[i] = path->text[i] == '/' ? '_' : path->text[i];
    return DYNO_OK;
}

static enum dyno_status save_outputs(const struct dyno_engine *engine,
                                     const struct dyno_array *outputs, const char *folder,
                                     struct dyno_err *err)
{
    enum dyno_status status = DYNO_OK;
    struct dyno_strbuf path = {0};
    for (uint32_t i = 0; i < dyno_engine_output_count(engine) && status == DYNO_OK; i++) {
        struct dyno_io_info info;
        struct dyno_tensor tensor = {.dtype = (enum dyno_dtype)outputs[i].dtype,
                                     .rank = outputs[i].rank,
                                     .data = outputs[i].data};
        memcpy(tensor.dims, outputs[i].dims, sizeof(tensor.dims));
        dyno_engine_output(engine, i, &info);
        status = output_path(folder, info.name, &path, err);
        if (status == DYNO_OK)
            status = dyno_npy_save(dyno_strbuf_text(&path), &tensor, err);
    }
    dyno_strbuf_fini(&path);
    return status;
}

static void print_shape(const struct dyno_array *array, char *out, size_t bytes)
{
    int used = snprintf(out, bytes, "%s[", dyno_dtype_text((enum dyno_dtype)array->dtype));
    for (int i = 0; i < array->rank && used > 0 && (size_t)used < bytes; i++)
        used += snprintf(out + used, bytes - (size_t)used, "%s%lld", i > 0 ? ", " : "",
                         (long long)array->dims[i]);
    if (used > 0 && (size_t)used < bytes)
        (void)snprintf(out + used, bytes - (size_t)used, "]");
}

static enum dyno_status print_outputs(const struct dyno_engine *engine,
                                      const struct dyno_array *outputs, bool as_json,
                                      struct dyno_err *err)
{
    struct dyno_strbuf text = {0};
    struct dyno_json_writer json = {.out = &text, .indent = 2};
    dyno_json_object_begin(&json);
    for (uint32_t i = 0; i < dyno_engine_output_count(engine); i++) {
        struct dyno_io_info info;
        char shape[128];
        dyno_engine_output(engine, i, &info);
        print_shape(&outputs[i], shape, sizeof(shape));
        dyno_json_put_str(&json, info.name, shape);
        if (!as_json)
            printf("%s: %s\n", info.name, shape);
    }
    dyno_json_object_end(&json);
    const bool ok = dyno_strbuf_ok(&text);
    if (as_json && ok)
        printf("%s\n", dyno_strbuf_text(&text));
    dyno_strbuf_fini(&text);
    return ok ? DYNO_OK : DYNO_NOMEM(err);
}

static enum dyno_status run_session(const struct options *options,
                                    const struct dyno_cli_shapes *shapes,
                                    struct dyno_session *session, struct dyno_arena *arena,
                                    struct dyno_err *err)
{
    struct dyno_context *context = NULL;
    struct dyno_array *inputs = NULL;
    DYNO_TRY(
        dyno_session_inputs(session->engine, &options->inputs, '=', shapes, arena, &inputs, err));
    struct dyno_array *outputs =
        dyno_arena_alloc(arena, dyno_engine_output_count(session->engine) + 1U, sizeof(*outputs));
    if (outputs == NULL)
        return DYNO_NOMEM(err);
    DYNO_TRY(dyno_context_create(session->engine, session->pool, &context, err));
    enum dyno_status status = dyno_context_run(context, inputs, outputs, err);
    if (status == DYNO_OK && options->output != NULL)
        status = save_outputs(session->engine, outputs, options->output, err);
    if (status == DYNO_OK)
        status = print_outputs(session->engine, outputs, options->json, err);
    dyno_context_destroy(context);
    return status;
}

static enum dyno_status run(const void *opaque, struct dyno_err *err)
{
    const struct options *options = opaque;
    const char *path = options->positional.items[0];
    const bool is_onnx = dyno_is_onnx_path(path);
    struct stat info;
    if (options->output != NULL && (stat(options->output, &info) != 0 || !S_ISDIR(info.st_mode)))
        return DYNO_FAIL(err, DYNO_E_IO, "output folder '%s' is not there", options->output);
    struct dyno_cli_shapes shapes;
    struct dyno_session session = {0};
    struct dyno_arena *arena = dyno_arena_create();
    if (arena == NULL)
        return DYNO_NOMEM(err);
    enum dyno_status status =
        dyno_cli_shapes(options->shapes, NULL, NULL, NULL, arena, &shapes, err);
    if (status != DYNO_OK)
        goto out;
    const struct dyno_session_options session_options = {
        .engine_path = is_onnx ? NULL : path,
        .onnx_path = is_onnx ? path : NULL,
        .baseline = options->baseline,
        .exact = options->exact,
        .level = (int)options->level,
        .threads = (int)options->threads,
        .device = options->device,
        .profile = shapes.items,
        .profile_count = shapes.count,
    };
    status = dyno_session_open(&session_options, &session, err);
    if (status == DYNO_OK)
        status = run_session(options, &shapes, &session, arena, err);
    dyno_session_close(&session);
out:
    dyno_arena_destroy(arena);
    return status;
}

const struct dyno_command dyno_command_run = {
    .name = "run",
    .summary = "Run an engine (or a model, built on the spot) once on .npy arrays",
    .positional = "ENGINE|MODEL.onnx",
    .positional_min = 1,
    .positional_max = 1,
    .text = "",
    .flags = flags,
    .flag_count = DYNO_COUNT(flags),
    .options_bytes = sizeof(struct options),
    .run = run,
};
