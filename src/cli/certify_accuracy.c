/* certify_accuracy.c - the engine's answers against those of the FP32 baseline, on given data or on
 * data that is made up.  Those of a GPU are held against the baseline of the CPU: that one has
 * nothing in common with them but the model. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "cli/certify.h"
#include "cli/shapes.h"

struct sums {
    double error, reference; /* squares */
    uint64_t rows, elements, same_top_1;
};

/* Index of the largest of values [first, first + count); the first of equal ones. */
static int64_t top_1(const struct dyno_array *array, int64_t first, int64_t count)
{
    int64_t best = 0;
    double most = -INFINITY;
    for (int64_t i = 0; i < count; i++) {
        const double value =
            dyno_elem_load_f64((enum dyno_dtype)array->dtype, array->data, (size_t)(first + i));
        if (value > most) {
            most = value;
            best = i;
        }
    }
    return best;
}

static enum dyno_status compare(const char *name, const struct dyno_array *want,
                                const struct dyno_array *got, struct sums *sums,
                                struct dyno_err *err)
{
    int64_t count = 0;
    int64_t got_count = 0;
    if (!dyno_dims_count(want->dims, want->rank, &count) ||
        !dyno_dims_count(got->dims, got->rank, &got_count) || count != got_count)
        return DYNO_FAIL(err, DYNO_E_MISMATCH,
                         "output '%s' has %lld elements from the engine and %lld unoptimised", name,
                         (long long)got_count, (long long)count);
    for (int64_t i = 0; i < count; i++) {
        const double a = dyno_elem_load_f64((enum dyno_dtype)want->dtype, want->data, (size_t)i);
        const double b = dyno_elem_load_f64((enum dyno_dtype)got->dtype, got->data, (size_t)i);
        if (a == b || (isnan(a) && isnan(b))) {
            sums->reference += isfinite(a) ? a * a : 0.0;
            continue;
        }
        sums->error += isnan(a - b) ? INFINITY : (a - b) * (a - b);
        sums->reference += isfinite(a) ? a * a : 0.0;
    }
    const int64_t rows = want->rank > 0 && want->dims[0] > 0 ? want->dims[0] : 1;
    const int64_t row = count / rows;
    for (int64_t r = 0; r < rows; r++)
        sums->same_top_1 += top_1(want, r * row, row) == top_1(got, r * row, row) ? 1 : 0;
    sums->rows += (uint64_t)rows;
    sums->elements += (uint64_t)count;
    return DYNO_OK;
}

static uint64_t error_1e9(const struct sums *sums)
{
    if (sums->error == 0.0)
        return 0;
    const double error = ceil(sqrt(sums->error / sums->reference) * 1e9);
    return error < 1e15 ? (uint64_t)error : (uint64_t)1e15; /* also where nothing but 0 is right */
}

/* --- running --- */

struct pair {
    struct dyno_built judge; /* of an engine for a GPU */
    struct dyno_context *contexts[2];
    struct dyno_array *inputs, *outputs[2];
    struct sums *sums; /* one an output */
};

static enum dyno_status run_pair(const struct dyno_certify_subject *subject, struct pair *pair,
                                 struct dyno_err *err)
{
    const uint32_t count = dyno_engine_output_count(subject->baseline);
    for (int side = 0; side < 2; side++) {
        memset(pair->outputs[side], 0, count * sizeof(struct dyno_array));
        DYNO_TRY(dyno_context_run(pair->contexts[side], pair->inputs, pair->outputs[side], err));
    }
    for (uint32_t i = 0; i < count; i++) {
        struct dyno_io_info info;
        dyno_engine_output(subject->baseline, i, &info);
        DYNO_TRY(
            compare(info.name, &pair->outputs[0][i], &pair->outputs[1][i], &pair->sums[i], err));
    }
    return DYNO_OK;
}

/* Items that all inputs hold along their first dimension; 0: there is no such number. */
static int64_t common_items(const struct dyno_array *inputs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (inputs[i].rank == 0 || inputs[i].dims[0] != inputs[0].dims[0])
            return 0;
    }
    return inputs[0].dims[0];
}

/* Given data may be a whole set: it goes through in batches. */
static enum dyno_status run_set(const struct dyno_certify_subject *subject, struct pair *pair,
                                struct dyno_arena *arena, struct dyno_err *err)
{
    const int64_t items = common_items(pair->inputs, subject->input_count);
    const int64_t batch = subject->batch_max;
    if (items <= batch)
        return run_pair(subject, pair, err);
    struct dyno_array *whole =
        dyno_arena_memdup(arena, pair->inputs, subject->input_count * sizeof(*whole));
    if (whole == NULL)
        return DYNO_NOMEM(err);
    for (int64_t first = 0; first < items; first += batch) {
        const int64_t count = first + batch <= items ? batch : items - first;
        if (count < subject->batch_min)
            break; /* the rest does not fill the smallest batch */
        for (uint32_t i = 0; i < subject->input_count; i++) {
            struct dyno_array *part = &pair->inputs[i];
            const size_t item_bytes = whole[i].bytes / (size_t)items;
            part->data = (char *)whole[i].data + (size_t)first * item_bytes;
            part->bytes = (size_t)count * item_bytes;
            part->dims[0] = count;
        }
        DYNO_TRY(run_pair(subject, pair, err));
    }
    return DYNO_OK;
}

static enum dyno_status run_made_up(const struct dyno_certify_subject *subject, struct pair *pair,
                                    struct dyno_arena *arena, struct dyno_err *err)
{
    static const struct dyno_cli_list none = {.count = 0};
    struct dyno_strbuf text = {0};
    enum dyno_status status = DYNO_OK;
    for (uint32_t point = 0; point < subject->point_count && status == DYNO_OK; point++) {
        struct dyno_cli_shapes shapes;
        dyno_strbuf_clear(&text);
        dyno_certify_shape_text(subject, subject->batch_max < 8 ? subject->batch_max : 8, point,
                                &text);
        status = dyno_strbuf_ok(&text) ? dyno_cli_shapes(dyno_strbuf_text(&text), NULL, NULL, NULL,
                                                         arena, &shapes, err)
                                       : DYNO_NOMEM(err);
        if (status == DYNO_OK)
            status = dyno_session_inputs(subject->baseline, &none, ':', &shapes, arena,
                                         &pair->inputs, err);
        if (status == DYNO_OK)
            status = run_pair(subject, pair, err);
    }
    dyno_strbuf_fini(&text);
    return status;
}

static enum dyno_status keep(const struct dyno_certify_subject *subject, const struct pair *pair,
                             struct dyno_cert *engine, struct dyno_err *err)
{
    struct dyno_cert_accuracy *accuracy = &engine->accuracy;
    const uint32_t count = dyno_engine_output_count(subject->baseline);
    if (count > DYNO_CERT_OUTPUTS_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "%u outputs, at most %u are compared", count,
                         DYNO_CERT_OUTPUTS_MAX);
    accuracy->outputs = dyno_arena_alloc(engine->arena, count + 1U, sizeof(*accuracy->outputs));
    accuracy->output_count = count;
    if (accuracy->outputs == NULL)
        return DYNO_NOMEM(err);
    for (uint32_t i = 0; i < count; i++) {
        struct dyno_io_info info;
        dyno_engine_output(subject->baseline, i, &info);
        accuracy->outputs[i] = (struct dyno_cert_output){
            .name = dyno_arena_strdup(engine->arena, info.name),
            .rows = pair->sums[i].rows,
            .elements = pair->sums[i].elements > 0 ? pair->sums[i].elements : 1,
            .error_1e9 = error_1e9(&pair->sums[i]),
            .same_top_1 = pair->sums[i].same_top_1,
        };
        if (accuracy->outputs[i].name == NULL)
            return DYNO_NOMEM(err);
    }
    return DYNO_OK;
}

static enum dyno_status open_pair(const struct dyno_certify_subject *subject, struct pair *pair,
                                  struct dyno_err *err)
{
    struct dyno_engine *judge = subject->baseline;
    if (subject->device.on_gpu) {
        struct dyno_findings findings = {0};
        const struct dyno_build_options build = {.onnx_path = subject->onnx_path,
                                                 .profile = dyno_certify_profile(subject),
                                                 .profile_count = subject->input_count,
                                                 .pool = subject->pool,
                                                 .baseline = true,
                                                 .problem = dyno_findings_add,
                                                 .problem_arg = &findings};
        if (build.profile == NULL)
            return DYNO_NOMEM(err);
        const enum dyno_status status = dyno_build(&build, &pair->judge, err);
        dyno_findings_end(&findings, err);
        if (status != DYNO_OK)
            return status;
        judge = pair->judge.engine;
    }
    DYNO_TRY(dyno_context_create(judge, subject->pool, &pair->contexts[0], err));
    return dyno_context_create(subject->engine, subject->pool, &pair->contexts[1], err);
}

enum dyno_status dyno_certify_accuracy(const struct dyno_certify_options *options,
                                       const struct dyno_certify_subject *subject,
                                       struct dyno_cert *engine, struct dyno_err *err)
{
    struct pair pair = {.inputs = NULL};
    const uint32_t count = dyno_engine_output_count(subject->baseline) + 1U;
    struct dyno_arena *arena = dyno_arena_create();
    if (arena == NULL)
        return DYNO_NOMEM(err);
    struct dyno_cli_shapes shapes = {.count = 0};
    enum dyno_status status = DYNO_OK;
    engine->accuracy.is_given = options->load_inputs.count > 0;
    engine->accuracy.by_top_1 = options->top_1;
    engine->accuracy.class_1e6 = (uint32_t)nearbyint(options->accuracy * 1e6);
    for (int side = 0; side < 2; side++)
        pair.outputs[side] = dyno_arena_alloc(arena, count, sizeof(struct dyno_array));
    pair.sums = dyno_arena_alloc(arena, count, sizeof(*pair.sums));
    if (pair.outputs[0] == NULL || pair.outputs[1] == NULL || pair.sums == NULL)
        status = DYNO_NOMEM(err);
    if (status == DYNO_OK)
        status = open_pair(subject, &pair, err);
    if (status == DYNO_OK && engine->accuracy.is_given)
        status = dyno_session_inputs(subject->baseline, &options->load_inputs, ':', &shapes, arena,
                                     &pair.inputs, err);
    if (status == DYNO_OK && engine->accuracy.is_given)
        status = run_set(subject, &pair, arena, err);
    else if (status == DYNO_OK)
        status = run_made_up(subject, &pair, arena, err);
    if (status == DYNO_OK)
        status = keep(subject, &pair, engine, err);
    dyno_context_destroy(pair.contexts[0]);
    dyno_context_destroy(pair.contexts[1]);
    dyno_built_fini(&pair.judge);
    dyno_arena_destroy(arena);
    return status;
}
