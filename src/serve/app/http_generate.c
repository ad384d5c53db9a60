/* http_generate.c - POST /v2/models/M/generate and generate_stream. */
#include "serve/app/http.h"
#include "serve/v2/generate.h"

/* The model's inputs, with names that live as long as the call: the variant may go meanwhile. */
static enum dyno_status copy_inputs(struct dyno_call *call, const struct dyno_variant *variant,
                                    struct dyno_v2_tensor **inputs_out)
{
    struct dyno_v2_tensor *inputs =
        dyno_arena_alloc(call->arena, variant->input_count + 1, sizeof(*inputs));
    if (inputs == NULL)
        return DYNO_NOMEM(&call->err);
    for (size_t i = 0; i < variant->input_count; i++) {
        inputs[i] = variant->inputs[i];
        inputs[i].name = dyno_arena_strdup(call->arena, variant->inputs[i].name);
        if (inputs[i].name == NULL)
            return DYNO_NOMEM(&call->err);
    }
    *inputs_out = inputs;
    return DYNO_OK;
}

static enum dyno_status decode_generate(struct dyno_call *call, const struct dyno_visit *visit)
{
    (void)visit;
    struct dyno_variant *variant = NULL;
    struct dyno_v2_tensor *inputs = NULL;
    DYNO_TRY(dyno_call_find(call, dyno_visit_decode, &variant));
    if (variant == NULL)
        return DYNO_OK; /* it waits */
    const size_t count = variant->input_count;
    const enum dyno_status status = copy_inputs(call, variant, &inputs);
    dyno_variant_unref(variant);
    if (status != DYNO_OK)
        return status;
    DYNO_TRY(dyno_v2_generate_decode(call->body.data, call->body.bytes, inputs, count, call->arena,
                                     &call->memory, &call->infer, &call->err));
    call->infer.wants_binary = false; /* whatever a parameter says, it is JSON */
    return DYNO_OK;
}

void dyno_route_generate(struct dyno_visit *visit)
{
    dyno_visit_infer(visit, DYNO_FORM_GENERATE, decode_generate);
}

void dyno_route_generate_stream(struct dyno_visit *visit)
{
    dyno_visit_infer(visit, DYNO_FORM_EVENTS, decode_generate);
}
