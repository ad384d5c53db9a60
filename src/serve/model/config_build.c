/* config_build.c - "build" of config.json: how engines are built of a model.onnx. */
#include <stdio.h>
#include <string.h>

#include "base/strbuf.h"
#include "serve/model/config_part.h"

#define BATCH_MAX 1048576

/* "NAME:1x3x224x224", after a comma if it is not the first. */
static enum dyno_status add_shape(struct dyno_strbuf *out, const char *input,
                                  const struct dyno_json *dims, struct dyno_err *err)
{
    dyno_strbuf_printf(out, "%s%s:%s", out->bytes > 0 ? "," : "", input,
                       dims->count == 0 ? "scalar" : "");
    for (const struct dyno_json *at = dims->first; at != NULL; at = at->next) {
        int64_t size = 0;
        DYNO_TRY(dyno_config_whole(at, "a size in build.shapes", INT32_MAX, &size, err));
        dyno_strbuf_printf(out, "%s%lld", at == dims->first ? "" : "x", (long long)size);
    }
    return DYNO_OK;
}

/* [sizes], or {"min": [sizes], "opt": [sizes], "max": [sizes]}. */
static enum dyno_status add_corners(struct dyno_strbuf corners[3], const struct dyno_json *input,
                                    struct dyno_err *err)
{
    static const char *const names[3] = {"min", "opt", "max"};
    for (int i = 0; i < 3; i++) {
        const struct dyno_json *dims =
            input->kind == DYNO_JSON_ARRAY ? input : dyno_json_find(input, names[i]);
        if (input->key[0] == 0 || strlen(input->key) != input->key_bytes ||
            strchr(input->key, ',') != NULL || dims == NULL || dims->kind != DYNO_JSON_ARRAY ||
            (input->kind == DYNO_JSON_OBJECT && input->count != 3))
            return DYNO_FAIL(err, DYNO_E_FORMAT,
                             "build.shapes.%.64s must be an array of sizes, or an object with such "
                             "arrays as min, opt and max",
                             input->key);
        DYNO_TRY(add_shape(&corners[i], input->key, dims, err));
    }
    return DYNO_OK;
}

static enum dyno_status take_shapes(const struct dyno_json *shapes, struct dyno_arena *arena,
                                    struct dyno_make_wish *build, struct dyno_err *err)
{
    const char **const texts[3] = {&build->min_shapes, &build->opt_shapes, &build->max_shapes};
    struct dyno_strbuf corners[3] = {{0}, {0}, {0}};
    if (shapes->kind != DYNO_JSON_OBJECT || shapes->count == 0)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "build.shapes must be an object of shapes by input");
    enum dyno_status status = DYNO_OK;
    for (const struct dyno_json *at = shapes->first; at != NULL && status == DYNO_OK; at = at->next)
        status = add_corners(corners, at, err);
    for (int i = 0; i < 3; i++) {
        if (status == DYNO_OK) {
            *texts[i] = dyno_arena_strdup(arena, dyno_strbuf_text(&corners[i]));
            if (*texts[i] == NULL || !dyno_strbuf_ok(&corners[i]))
                status = DYNO_NOMEM(err);
        }
        dyno_strbuf_fini(&corners[i]);
    }
    return status;
}

/* {"LAYER": "fp32", ...}, as LAYER:fp32,... */
static enum dyno_status take_layers(const struct dyno_json *layers, struct dyno_arena *arena,
                                    struct dyno_make_wish *build, struct dyno_err *err)
{
    struct dyno_strbuf text = {0};
    enum dyno_status status = DYNO_OK;
    if (layers->kind != DYNO_JSON_OBJECT || layers->count == 0)
        return DYNO_FAIL(err, DYNO_E_FORMAT,
                         "build.layer_precisions must be an object of precisions by layer");
    for (const struct dyno_json *at = layers->first; at != NULL && status == DYNO_OK;
         at = at->next) {
        const char *precision = at->kind == DYNO_JSON_STRING ? at->text : "";
        if (at->key[0] == 0 || strlen(at->key) != at->key_bytes || strchr(at->key, ',') != NULL ||
            (strcmp(precision, "fp32") != 0 && strcmp(precision, "fp16") != 0 &&
             strcmp(precision, "bf16") != 0))
            status = DYNO_FAIL(err, DYNO_E_FORMAT,
                               "build.layer_precisions.%.64s must be fp32, fp16 or bf16, and no "
                               "comma be in its name",
                               at->key);
        dyno_strbuf_printf(&text, "%s%s:%s", text.bytes > 0 ? "," : "", at->key, precision);
    }
    if (status == DYNO_OK) {
        build->layer_precisions = dyno_arena_strdup(arena, dyno_strbuf_text(&text));
        if (build->layer_precisions == NULL || !dyno_strbuf_ok(&text))
            status = DYNO_NOMEM(err);
    }
    dyno_strbuf_fini(&text);
    return status;
}

static enum dyno_status take_budget(const struct dyno_json *value, double *out,
                                    struct dyno_err *err)
{
    if (value->kind != DYNO_JSON_NUMBER || !(value->number >= 0.0 && value->number <= 0.999))
        return DYNO_FAIL(err, DYNO_E_FORMAT,
                         "build.accuracy_budget must be a number between 0 and 0.999");
    *out = value->number;
    return DYNO_OK;
}

/* A member that is true or false; false: it is another. */
static bool take_switch(const struct dyno_json *at, struct dyno_make_wish *build,
                        bool *has_baseline, enum dyno_status *status_out, struct dyno_err *err)
{
    const struct {
        const char *key;
        bool *to;
    } rows[] = {{"exact", &build->exact}, {"baseline", has_baseline}, {"fp16", &build->fp16},
                {"bf16", &build->bf16},   {"tf32", &build->tf32},     {"lean", &build->lean}};
    char name[32];
    for (size_t i = 0; i < DYNO_COUNT(rows); i++) {
        if (strcmp(at->key, rows[i].key) != 0)
            continue;
        (void)snprintf(name, sizeof(name), "build.%s", rows[i].key);
        *status_out = dyno_config_flag(at, name, rows[i].to, err);
        return true;
    }
    return false;
}

static enum dyno_status take_member(const struct dyno_json *at, struct dyno_arena *arena,
                                    struct dyno_make_wish *build, bool *has_baseline,
                                    struct dyno_err *err)
{
    enum dyno_status status = DYNO_OK;
    if (take_switch(at, build, has_baseline, &status, err))
        return status;
    if (strcmp(at->key, "max_batch") == 0)
        return dyno_config_whole(at, "build.max_batch", BATCH_MAX, &build->max_batch, err);
    if (strcmp(at->key, "opt_batch") == 0)
        return dyno_config_whole(at, "build.opt_batch", BATCH_MAX, &build->opt_batch, err);
    if (strcmp(at->key, "level") == 0) {
        build->has_level = true;
        return dyno_config_whole(at, "build.level", 5, &build->level, err);
    }
    if (strcmp(at->key, "shapes") == 0)
        return take_shapes(at, arena, build, err);
    if (strcmp(at->key, "device") == 0)
        return dyno_config_device(at, "build.device", true, &build->device, err);
    if (strcmp(at->key, "accuracy_budget") == 0)
        return take_budget(at, &build->accuracy_budget, err);
    if (strcmp(at->key, "layer_precisions") == 0)
        return take_layers(at, arena, build, err);
    return DYNO_FAIL(err, DYNO_E_FORMAT,
                     "build.%.64s is not known (there are max_batch, opt_batch, level, exact, "
                     "baseline, shapes, device, fp16, bf16, tf32, lean, accuracy_budget, "
                     "layer_precisions)",
                     at->key);
}

/* What of it goes together. */
static enum dyno_status check(const struct dyno_make_wish *build, struct dyno_err *err)
{
    const char *of_gpu = dyno_make_wish_of_gpu(build);
    if (of_gpu != NULL && build->device != NULL && strcmp(build->device, "cpu") == 0)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "build.%s goes with a GPU, and build.device is cpu",
                         of_gpu);
    if (build->accuracy_budget > 0.0 && !build->fp16 && !build->bf16 && !build->tf32)
        return DYNO_FAIL(err, DYNO_E_FORMAT,
                         "build.accuracy_budget goes with fp16, bf16 or tf32: all else is f32");
    return DYNO_OK;
}

/* How engines are built of a model.onnx. */
enum dyno_status dyno_config_build(const struct dyno_json *object, struct dyno_arena *arena,
                                   struct dyno_make_wish *build, struct dyno_err *err)
{
    bool has_baseline = true;
    if (object->kind != DYNO_JSON_OBJECT)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "build must be an object");
    for (const struct dyno_json *at = object->first; at != NULL; at = at->next)
        DYNO_TRY(take_member(at, arena, build, &has_baseline, err));
    build->no_baseline = !has_baseline;
    return check(build, err);
}
