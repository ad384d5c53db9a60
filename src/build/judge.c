/* judge.c - the right answers, and how far an engine's are from them. */
#include "build/judge.h"

#include <math.h>
#include <string.h>

#include "base/difference.h"
#include "base/mem.h"

/* An output of the right answer. */
struct answer {
    double *values; /* NULL: of no floating point, not judged */
    int64_t count;
};

struct sample {
    struct dyno_array *inputs;
    struct answer *answers; /* by output */
    struct sample *next;
};

struct dyno_judge {
    struct dyno_pool *pool;
    struct dyno_arena *arena;
    struct sample *first;
    uint32_t output_count;
};

void dyno_judge_destroy(struct dyno_judge *judge)
{
    if (judge == NULL)
        return;
    dyno_arena_destroy(judge->arena);
    dyno_free(judge);
}

static bool values_of(const struct dyno_array *array, struct dyno_arena *arena,
                      struct answer *answer)
{
    const enum dyno_dtype dtype = (enum dyno_dtype)array->dtype;
    *answer = (struct answer){.values = NULL};
    if (!dyno_dtype_is_float(dtype))
        return true;
    if (!dyno_dims_count(array->dims, array->rank, &answer->count))
        return false;
    answer->values = dyno_arena_alloc(arena, (size_t)answer->count + 1, sizeof(double));
    for (int64_t i = 0; answer->values != NULL && i < answer->count; i++)
        answer->values[i] = dyno_elem_load_f64(dtype, array->data, (size_t)i);
    return answer->values != NULL;
}

/* --- the right answers --- */

static enum dyno_status answer(struct dyno_judge *judge, struct dyno_context *context,
                               struct sample *sample, struct dyno_err *err)
{
    bool any = false;
    struct dyno_array *outputs =
        dyno_arena_alloc(judge->arena, judge->output_count + 1U, sizeof(*outputs));
    sample->answers =
        dyno_arena_alloc(judge->arena, judge->output_count + 1U, sizeof(*sample->answers));
    if (outputs == NULL || sample->answers == NULL)
        return DYNO_NOMEM(err);
    DYNO_TRY(dyno_context_run(context, sample->inputs, outputs, err));
    for (uint32_t i = 0; i < judge->output_count; i++) {
        if (!values_of(&outputs[i], judge->arena, &sample->answers[i]))
            return DYNO_NOMEM(err);
        any = any || sample->answers[i].values != NULL;
    }
    return any ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_UNSUPPORTED,
                           "an accuracy budget is for outputs of floating point: there is none");
}

static enum dyno_status answer_all(struct dyno_judge *judge,
                                   const struct dyno_build_options *options,
                                   struct dyno_engine *right, struct dyno_err *err)
{
    struct dyno_context *context = NULL;
    struct sample **last = &judge->first;
    judge->output_count = dyno_engine_output_count(right);
    DYNO_TRY(dyno_context_create(right, options->pool, &context, err));
    enum dyno_status status = DYNO_OK;
    for (uint32_t idx = 0; status == DYNO_OK; idx++) {
        struct dyno_array *inputs = NULL;
        status = options->sample(options->sample_arg, right, idx, judge->arena, &inputs, err);
        if (status != DYNO_OK || inputs == NULL)
            break;
        struct sample *sample = dyno_arena_alloc(judge->arena, 1, sizeof(*sample));
        if (sample == NULL) {
            status = DYNO_NOMEM(err);
            break;
        }
        sample->inputs = inputs;
        *last = sample;
        last = &sample->next;
        status = answer(judge, context, sample, err);
    }
    dyno_context_destroy(context);
    return status;
}

enum dyno_status dyno_judge_create(const struct dyno_build_options *options,
                                   struct dyno_judge **judge_out, struct dyno_err *err)
{
    /* What the importer found has been said. */
    const struct dyno_build_options right_options = {.onnx_path = options->onnx_path,
                                                     .profile = options->profile,
                                                     .profile_count = options->profile_count,
                                                     .batch_max = options->batch_max,
                                                     .batch_opt = options->batch_opt,
                                                     .pool = options->pool,
                                                     .baseline = true,
                                                     .isa_mask = options->isa_mask};
    struct dyno_built right = {.engine = NULL};
    struct dyno_judge *judge = dyno_alloc(1, sizeof(*judge));
    *judge_out = NULL;
    if (judge == NULL)
        return DYNO_NOMEM(err);
    judge->pool = options->pool;
    judge->arena = dyno_arena_create();
    enum dyno_status status = judge->arena != NULL ? DYNO_OK : DYNO_NOMEM(err);
    if (status == DYNO_OK)
        status = dyno_build(&right_options, &right, err);
    if (status == DYNO_OK)
        status = answer_all(judge, options, right.engine, err);
    dyno_built_fini(&right);
    if (status == DYNO_OK)
        *judge_out = judge;
    else
        dyno_judge_destroy(judge);
    return status;
}

/* --- judging --- */

static enum dyno_status judge_one(const struct dyno_judge *judge, struct dyno_context *context,
                                  const struct sample *sample, struct dyno_arena *arena,
                                  double *error, struct dyno_err *err)
{
    struct dyno_array *outputs =
        dyno_arena_alloc(arena, judge->output_count + 1U, sizeof(*outputs));
    if (outputs == NULL)
        return DYNO_NOMEM(err);
    DYNO_TRY(dyno_context_run(context, sample->inputs, outputs, err));
    for (uint32_t i = 0; i < judge->output_count; i++) {
        const struct answer *want = &sample->answers[i];
        struct answer got;
        if (!values_of(&outputs[i], arena, &got))
            return DYNO_NOMEM(err);
        if (want->values == NULL || got.values == NULL)
            continue;
        const struct dyno_difference diff =
            dyno_difference_of(want->values, want->count, got.values, got.count);
        *error = fmax(*error, diff.relative);
    }
    return DYNO_OK;
}

enum dyno_status dyno_judge_error(struct dyno_judge *judge, struct dyno_engine *engine,
                                  double *error_out, struct dyno_err *err)
{
    struct dyno_context *context = NULL;
    struct dyno_arena *arena = dyno_arena_create();
    *error_out = 0.0;
    if (arena == NULL)
        return DYNO_NOMEM(err);
    enum dyno_status status = dyno_context_create(engine, judge->pool, &context, err);
    for (const struct sample *at = judge->first; at != NULL && status == DYNO_OK; at = at->next)
        status = judge_one(judge, context, at, arena, error_out, err);
    dyno_context_destroy(context);
    dyno_arena_destroy(arena);
    return status;
}
