/* tensors.c - tensors that do not travel as they are: those in shared memory, and classes. */
#include <string.h>

#include "serve/app/server.h"

/* The region of a requested output, from the check of the request to its answer: it may be
 * unregistered meanwhile. */
struct dyno_held {
    struct dyno_held *next;
    struct dyno_shm_region *region;
    size_t idx; /* of the requested output */
};

void dyno_call_let_go(struct dyno_call *call)
{
    for (struct dyno_held *held = call->held; held != NULL; held = held->next)
        dyno_shm_unref(held->region);
    call->held = NULL; /* it lies in the arena */
}

/* The region of a place, referenced, with the place inside it. */
static enum dyno_status find_region(struct dyno_call *call, const struct dyno_v2_place *place,
                                    struct dyno_shm_region **region_out, struct dyno_err *err)
{
    struct dyno_shm *shm = call->io->server->shm;
    if (shm == NULL)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED,
                         "shared memory of clients is off: --allow-client-shm turns it on");
    DYNO_TRY(dyno_shm_find(shm, place->region, region_out, err));
    const enum dyno_status status = dyno_shm_check(*region_out, place->offset, place->bytes, err);
    if (status != DYNO_OK)
        dyno_shm_unref(*region_out);
    return status;
}

/* --- before the run --- */

static enum dyno_status fetch(struct dyno_call *call, struct dyno_v2_tensor *tensor,
                              struct dyno_err *err)
{
    struct dyno_shm_region *region = NULL;
    DYNO_TRY(find_region(call, &tensor->place, &region, err));
    void *to = call->memory.take(&call->memory, tensor->bytes + 1);
    const enum dyno_status status =
        to != NULL ? dyno_shm_read(region, tensor->place.offset, to, tensor->bytes, err)
                   : DYNO_FAIL(err, DYNO_E_BUSY, "the server has too many bytes in flight");
    dyno_shm_unref(region);
    tensor->data = to;
    return status;
}

static enum dyno_status hold(struct dyno_call *call, size_t idx, struct dyno_err *err)
{
    struct dyno_held *held = dyno_arena_alloc(call->arena, 1, sizeof(*held));
    if (held == NULL)
        return DYNO_NOMEM(err);
    DYNO_TRY(find_region(call, &call->infer.wanted[idx].place, &held->region, err));
    held->idx = idx;
    held->next = call->held;
    call->held = held;
    return DYNO_OK;
}

enum dyno_status dyno_call_take_tensors(struct dyno_call *call, struct dyno_err *err)
{
    const struct dyno_variant *variant = call->task.variant;
    const struct dyno_infer *infer = &call->infer;
    bool is_wanted[DYNO_V2_TENSORS_MAX] = {false};
    for (size_t i = 0; i < infer->wanted_count; i++) {
        const int idx = dyno_variant_output(variant, infer->wanted[i].name);
        if (idx < 0)
            return DYNO_FAIL(err, DYNO_E_ARG, "unexpected inference output '%s' for model '%s'",
                             infer->wanted[i].name, variant->model);
        if (is_wanted[idx])
            return DYNO_FAIL(err, DYNO_E_ARG, "output '%s' is asked for twice",
                             infer->wanted[i].name);
        is_wanted[idx] = true;
        if (infer->wanted[i].place.region != NULL)
            DYNO_TRY(hold(call, i, err));
    }
    for (size_t i = 0; i < infer->input_count; i++)
        if (infer->inputs[i].place.region != NULL)
            DYNO_TRY(fetch(call, &infer->inputs[i], err));
    return DYNO_OK;
}

/* --- after it --- */

static enum dyno_status put(struct dyno_call *call, size_t idx, struct dyno_v2_tensor *tensor,
                            struct dyno_err *err)
{
    const struct dyno_v2_place *place = &call->infer.wanted[idx].place;
    const struct dyno_held *held = call->held;
    while (held->idx != idx)
        held = held->next;
    if (tensor->bytes > place->bytes)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "output '%s' has %zu bytes, its shared_memory_byte_size is %llu",
                         tensor->name, tensor->bytes, (unsigned long long)place->bytes);
    DYNO_TRY(dyno_shm_write(held->region, place->offset, tensor->data, tensor->bytes, err));
    tensor->place = *place;
    tensor->data = NULL;
    tensor->bytes = 0;
    return DYNO_OK;
}

enum dyno_status dyno_call_give_tensor(struct dyno_call *call, size_t idx,
                                       struct dyno_v2_tensor *tensor, struct dyno_err *err)
{
    const struct dyno_variant *variant = call->task.variant;
    const struct dyno_v2_wanted *wanted = &call->infer.wanted[idx];
    if (wanted->place.region != NULL)
        return put(call, idx, tensor, err);
    if (wanted->classifications == 0)
        return DYNO_OK;
    const struct dyno_labels *labels = variant->labels[dyno_variant_output(variant, wanted->name)];
    return dyno_v2_classify(tensor, variant->max_batch > 0, wanted->classifications,
                            labels != NULL ? &labels->labels : NULL, &call->memory, tensor, err);
}
