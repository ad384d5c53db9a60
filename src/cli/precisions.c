/* precisions.c - rules of precision, and inputs that engines are judged by. */
#include "cli/precisions.h"

#include <string.h>

#include "cli/session.h"

/* --- rules --- */

static enum dyno_status parse_rule(const char *text, size_t bytes, uint32_t allowed,
                                   struct dyno_arena *arena, struct dyno_layer_precision *rule,
                                   struct dyno_err *err)
{
    static const struct {
        const char *name;
        uint32_t precision;
        const char *flag;
    } rows[] = {{"fp32", 0, ""},
                {"fp16", DYNO_PRECISION_F16, "--fp16"},
                {"bf16", DYNO_PRECISION_BF16, "--bf16"}};
    const char *colon = memrchr(text, ':', bytes);
    const size_t name_bytes = colon != NULL ? (size_t)(colon - text) : 0;
    if (name_bytes == 0)
        return DYNO_FAIL(err, DYNO_E_ARG, "--layerPrecisions: '%.*s' is not LAYER:PRECISION",
                         (int)bytes, text);
    rule->pattern = dyno_arena_strndup(arena, text, name_bytes);
    if (rule->pattern == NULL)
        return DYNO_NOMEM(err);
    for (size_t i = 0; i < DYNO_COUNT(rows); i++) {
        if (strlen(rows[i].name) != bytes - name_bytes - 1 ||
            memcmp(rows[i].name, colon + 1, strlen(rows[i].name)) != 0)
            continue;
        if ((rows[i].precision & ~allowed) != 0)
            return DYNO_FAIL(err, DYNO_E_ARG, "--layerPrecisions: '%.*s' wants %s, too", (int)bytes,
                             text, rows[i].flag);
        /* A layer that may be in 16 bits may also do what other layers in f32 may, if anything. */
        rule->precisions = rows[i].precision;
        rule->precisions |= rows[i].precision != 0 ? DYNO_PRECISION_TF32 : 0U;
        return DYNO_OK;
    }
    return DYNO_FAIL(err, DYNO_E_ARG,
                     "--layerPrecisions: '%.*s': there are fp32, fp16 and bf16, not '%.*s'",
                     (int)bytes, text, (int)(bytes - name_bytes - 1), colon + 1);
}

enum dyno_status dyno_cli_precisions(const char *text, uint32_t allowed, struct dyno_arena *arena,
                                     struct dyno_layer_precision **rules_out, uint32_t *count_out,
                                     struct dyno_err *err)
{
    size_t most = 1;
    for (const char *at = text; at != NULL && *at != 0; at++)
        most += *at == ',';
    *count_out = 0;
    *rules_out = dyno_arena_alloc(arena, most, sizeof(**rules_out));
    if (*rules_out == NULL)
        return DYNO_NOMEM(err);
    while (text != NULL && *text != 0) {
        const size_t bytes = strcspn(text, ",");
        DYNO_TRY(parse_rule(text, bytes, allowed, arena, &(*rules_out)[*count_out], err));
        (*count_out)++;
        text += bytes;
        text += *text == ',';
    }
    return DYNO_OK;
}

/* --- inputs --- */

/* Items that all inputs hold along their first dimension, and the most of them that the engine
 * takes at once; items 0: there is no such number, or it takes them all. */
static void find_batches(const struct dyno_engine *engine, struct dyno_cli_samples *samples)
{
    const uint32_t count = dyno_engine_input_count(engine);
    int64_t items = count > 0 && samples->whole[0].rank > 0 ? samples->whole[0].dims[0] : 0;
    int64_t batch = INT64_MAX;
    for (uint32_t i = 0; i < count; i++) {
        struct dyno_io_info info;
        dyno_engine_input(engine, i, &info);
        if (samples->whole[i].rank == 0 || samples->whole[i].dims[0] != items || info.rank < 1)
            items = 0;
        else if (info.max[0] < batch)
            batch = info.max[0];
    }
    samples->items = batch > 0 && batch < items ? items : 0;
    samples->batch = batch;
}

static enum dyno_status cut_batch(const struct dyno_cli_samples *samples, uint32_t input_count,
                                  uint32_t idx, struct dyno_arena *arena,
                                  struct dyno_array **inputs_out, struct dyno_err *err)
{
    const int64_t first = (int64_t)idx * samples->batch;
    const int64_t left = samples->items - first;
    const int64_t count = left < samples->batch ? left : samples->batch;
    if (count < samples->batch && idx > 0)
        return DYNO_OK; /* the rest fills no batch */
    struct dyno_array *inputs =
        dyno_arena_memdup(arena, samples->whole, (size_t)input_count * sizeof(*inputs));
    if (inputs == NULL)
        return DYNO_NOMEM(err);
    for (uint32_t i = 0; i < input_count; i++) {
        const size_t item_bytes = inputs[i].bytes / (size_t)samples->items;
        inputs[i].data = (char *)inputs[i].data + (size_t)first * item_bytes;
        inputs[i].bytes = (size_t)count * item_bytes;
        inputs[i].dims[0] = count;
    }
    *inputs_out = inputs;
    return DYNO_OK;
}

enum dyno_status dyno_cli_sample(void *samples_arg, const struct dyno_engine *engine, uint32_t idx,
                                 struct dyno_arena *arena, struct dyno_array **inputs_out,
                                 struct dyno_err *err)
{
    static const struct dyno_cli_shapes optimum = {.count = 0};
    struct dyno_cli_samples *samples = samples_arg;
    *inputs_out = NULL;
    if (idx == 0) {
        DYNO_TRY(dyno_session_inputs(engine, samples->files, ':', &optimum, arena, &samples->whole,
                                     err));
        find_batches(engine, samples);
    }
    if (samples->items != 0)
        return cut_batch(samples, dyno_engine_input_count(engine), idx, arena, inputs_out, err);
    *inputs_out = idx == 0 ? samples->whole : NULL;
    return DYNO_OK;
}
