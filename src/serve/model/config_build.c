/* config_build.c - "build" of config.json: how engines are built of a model.onnx. */
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

/* How engines are built of a model.onnx. */
enum dyno_status dyno_config_build(const struct dyno_json *object, struct dyno_arena *arena,
                                   struct dyno_make_wish *build, struct dyno_err *err)
{
    bool has_baseline = true;
    if (object->kind != DYNO_JSON_OBJECT)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "build must be an object");
    for (const struct dyno_json *at = object->first; at != NULL; at = at->next) {
        enum dyno_status status = DYNO_OK;
        if (strcmp(at->key, "max_batch") == 0)
            status = dyno_config_whole(at, "build.max_batch", BATCH_MAX, &build->max_batch, err);
        else if (strcmp(at->key, "opt_batch") == 0)
            status = dyno_config_whole(at, "build.opt_batch", BATCH_MAX, &build->opt_batch, err);
        else if (strcmp(at->key, "level") == 0)
            status = dyno_config_whole(at, "build.level", 5, &build->level, err);
        else if (strcmp(at->key, "exact") == 0)
            status = dyno_config_flag(at, "build.exact", &build->exact, err);
        else if (strcmp(at->key, "baseline") == 0)
            status = dyno_config_flag(at, "build.baseline", &has_baseline, err);
        else if (strcmp(at->key, "shapes") == 0)
            status = take_shapes(at, arena, build, err);
        else
            status = DYNO_FAIL(err, DYNO_E_FORMAT,
                               "build.%.64s is not known (there are max_batch, opt_batch, level, "
                               "exact, baseline, shapes)",
                               at->key);
        DYNO_TRY(status);
        build->has_level = build->has_level || strcmp(at->key, "level") == 0;
    }
    build->no_baseline = !has_baseline;
    return DYNO_OK;
}
