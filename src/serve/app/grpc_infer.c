/* grpc_infer.c - ModelInfer and ModelStreamInfer. */
#include <string.h>

#include "base/pbwire.h"
#include "serve/app/rpc.h"
#include "serve/app/usage.h"

/* --- the answer --- */

static char *put(char *to, const void *data, size_t bytes)
{
    if (bytes != 0)
        memcpy(to, data, bytes);
    return to + bytes;
}

/* A message whose `bytes` of fields are field `number` of an outer one (0: no outer one); *to_out
 * is where they go. */
static struct dyno_seg *make_seg(struct dyno_call *call, uint32_t number, size_t bytes,
                                 char **to_out)
{
    char head[1 + DYNO_PB_VARINT_BYTES_MAX];
    size_t head_bytes = 0;
    struct dyno_budget *budget = &call->io->server->budget;
    if (number != 0) {
        head[0] = (char)(number << 3 | DYNO_PB_LEN);
        head_bytes = 1 + dyno_pb_varint(bytes, head + 1);
    }
    const size_t total = head_bytes + bytes;
    if (!dyno_budget_take(budget, total + DYNO_GRPC_PREFIX_BYTES))
        return NULL;
    struct dyno_seg *seg = dyno_grpc_seg(&call->rpc->grpc, total);
    if (seg == NULL) {
        dyno_budget_give(budget, total + DYNO_GRPC_PREFIX_BYTES);
        return NULL;
    }
    seg->budget = budget;
    *to_out = put(seg->data + DYNO_GRPC_PREFIX_BYTES, head, head_bytes);
    return seg;
}

static enum dyno_status write_result(struct dyno_call *call, uint32_t number,
                                     struct dyno_seg **seg_out)
{
    struct dyno_infer_answer answer;
    struct dyno_strbuf *text = &call->io->text;
    char head[1 + DYNO_PB_VARINT_BYTES_MAX];
    char *to = NULL;
    DYNO_TRY(dyno_call_result(call, &answer, &call->err));
    answer.is_of_stream = number != 0;
    dyno_v2_pb_encode(&answer, text);
    size_t bytes = text->bytes;
    for (size_t i = 0; i < answer.output_count; i++)
        bytes += dyno_v2_pb_raw_head(answer.outputs[i].bytes, head) + answer.outputs[i].bytes;
    *seg_out = dyno_strbuf_ok(text) ? make_seg(call, number, bytes, &to) : NULL;
    if (*seg_out == NULL)
        return DYNO_FAIL(&call->err, DYNO_E_BUSY, "the server has too many bytes in flight");
    to = put(to, text->text, text->bytes);
    for (size_t i = 0; i < answer.output_count; i++) {
        to = put(to, head, dyno_v2_pb_raw_head(answer.outputs[i].bytes, head));
        to = put(to, answer.outputs[i].data, answer.outputs[i].bytes);
    }
    return DYNO_OK;
}

/* ModelStreamInferResponse{error_message = 1, infer_response = 2 with what the request named}. */
static struct dyno_seg *write_stream_error(struct dyno_call *call)
{
    const struct dyno_infer_answer answer = {.model = call->infer.model,
                                             .version = call->infer.version,
                                             .id = call->infer.id,
                                             .is_of_stream = true};
    struct dyno_strbuf *text = &call->io->text;
    struct dyno_strbuf inner = {0};
    char *to = NULL;
    dyno_strbuf_clear(text);
    dyno_pb_put_text(text, 1, dyno_call_error(call));
    dyno_v2_pb_encode(&answer, &inner);
    dyno_pb_put_bytes(text, 2, dyno_strbuf_text(&inner), inner.bytes);
    const bool ok = dyno_strbuf_ok(text) && dyno_strbuf_ok(&inner);
    dyno_strbuf_fini(&inner);
    struct dyno_seg *seg = ok ? make_seg(call, 0, text->bytes, &to) : NULL;
    if (seg != NULL)
        (void)put(to, text->text, text->bytes);
    return seg;
}

/* End the call with what went wrong. */
static void finish_failed(struct dyno_call *call)
{
    struct dyno_grpc_call *grpc = &call->rpc->grpc;
    grpc->retry_after_s = (uint32_t)((call->task.retry_ns + 999999999) / 1000000000);
    grpc->limit_policy = call->limit_policy;
    grpc->limit = call->limit;
    dyno_grpc_finish(grpc, dyno_grpc_status_of(call->status), dyno_call_error(call));
}

/* Its answer waits for its record. */
static void hold(struct dyno_call *call)
{
    if (call->usage != NULL)
        call->usage->conn = dyno_h2_hold(&call->rpc->grpc.stream, &call->io->usage.hold,
                                         call->usage->entry.record.id.seq);
}

static void answer_unary(struct dyno_call *call)
{
    struct dyno_grpc_call *grpc = &call->rpc->grpc;
    struct dyno_seg *seg = NULL;
    hold(call);
    if (call->status == DYNO_OK && grpc->stream.h2 != NULL)
        call->status = write_result(call, 0, &seg);
    call->has_left = seg != NULL && !grpc->is_finished; /* its deadline may have passed */
    if (seg != NULL)
        dyno_grpc_send(grpc, seg);
    dyno_grpc_release(grpc);
    if (call->status == DYNO_OK)
        dyno_grpc_finish(grpc, DYNO_GRPC_OK, "");
    else
        finish_failed(call);
}

/* --- streams --- */

static void answer_of_stream(struct dyno_call *call)
{
    struct dyno_grpc_call *grpc = &call->rpc->grpc;
    const char *wants_status = dyno_grpc_header(grpc, "triton_grpc_error");
    struct dyno_seg *seg = NULL;
    if (grpc->stream.h2 == NULL)
        return;
    hold(call);
    seg = call->seg;
    call->seg = NULL;
    if (call->status == DYNO_OK && seg == NULL)
        call->status = write_result(call, 2, &seg);
    if (call->status != DYNO_OK && wants_status != NULL && strcmp(wants_status, "true") == 0) {
        finish_failed(call);
        return;
    }
    call->has_left = call->status == DYNO_OK && !grpc->is_finished;
    if (call->status != DYNO_OK)
        seg = write_stream_error(call);
    if (seg != NULL)
        dyno_grpc_send(grpc, seg);
    else
        dyno_grpc_finish(grpc, DYNO_GRPC_RESOURCE_EXHAUSTED, "out of memory");
}

/* It is not its turn.  What it waits for may be another model's loading, which may want the room
 * of this one: so its answer is written, and the variant let go. */
static void keep_answer(struct dyno_call *call)
{
    const struct dyno_variant *variant = call->task.variant;
    if (call->status != DYNO_OK || call->rpc->grpc.stream.h2 == NULL)
        return;
    call->kept_model = dyno_arena_strdup(call->arena, variant->model);
    call->kept_version = dyno_arena_strdup(call->arena, variant->version);
    call->kept_variant = dyno_arena_strdup(call->arena, variant->name);
    call->status = write_result(call, 2, &call->seg);
    dyno_strbuf_clear(&call->io->text);
    dyno_call_release(call);
}

/* Send what is done, in order; end the call when the client has and all is sent. */
static void advance(struct dyno_rpc *rpc)
{
    while (rpc->first != NULL && rpc->first->is_done) {
        struct dyno_call *call = rpc->first;
        rpc->first = call->next;
        if (rpc->first == NULL)
            rpc->last = NULL;
        const uint64_t sent_bytes = rpc->grpc.sent_bytes;
        answer_of_stream(call);
        dyno_access_infer_grpc(call, rpc->grpc.sent_bytes - sent_bytes);
        dyno_strbuf_clear(&call->io->text);
        dyno_grpc_release(&rpc->grpc);
        dyno_call_destroy(call);
        dyno_grpc_unref(&rpc->grpc); /* one more is held by whoever called */
    }
    if (rpc->first == NULL && rpc->is_half_closed)
        dyno_grpc_finish(&rpc->grpc, DYNO_GRPC_OK, "");
}

static void join(struct dyno_rpc *rpc, struct dyno_call *call)
{
    call->next = NULL;
    if (rpc->last != NULL)
        rpc->last->next = call;
    else
        rpc->first = call;
    rpc->last = call;
}

void dyno_rpc_half_closed(struct dyno_grpc_call *grpc)
{
    struct dyno_rpc *rpc = dyno_rpc_of(grpc);
    rpc->is_half_closed = true;
    dyno_grpc_ref(grpc);
    advance(rpc);
    dyno_grpc_unref(grpc);
}

/* --- both --- */

void dyno_call_answer_grpc(struct dyno_call *call)
{
    struct dyno_rpc *rpc = call->rpc;
    dyno_grpc_ref(&rpc->grpc);
    if (rpc->grpc.method->is_streaming) {
        call->is_done = true;
        if (rpc->first != call)
            keep_answer(call);
        advance(rpc);
    } else {
        rpc->first = rpc->last = NULL;
        answer_unary(call);
        dyno_access_infer_grpc(call, rpc->grpc.sent_bytes);
        dyno_strbuf_clear(&call->io->text);
        dyno_call_destroy(call);
        dyno_grpc_unref(&rpc->grpc);
    }
    dyno_grpc_unref(&rpc->grpc);
}

void dyno_rpc_gone(struct dyno_grpc_call *grpc)
{
    dyno_rpc_unwatch(dyno_rpc_of(grpc));
    for (struct dyno_call *call = dyno_rpc_of(grpc)->first; call != NULL; call = call->next)
        dyno_call_cancel(call);
}

/* A unary call was begun when its head came. */
static void take_begun(struct dyno_call *call)
{
    struct dyno_rpc *rpc = call->rpc;
    if (!rpc->is_begun)
        return;
    rpc->is_begun = false;
    call->guest = dyno_guest_ref(rpc->guest);
}

/* Once the model's name is known. */
static enum dyno_status admit(struct dyno_call *call)
{
    struct dyno_rpc *rpc = call->rpc;
    uint32_t retry_s = 0;
    DYNO_TRY(dyno_guest_check_model(rpc->guest, call->infer.model, &call->err));
    if (call->guest != NULL)
        return DYNO_OK;
    const enum dyno_status status = dyno_guest_begin(rpc->guest, &retry_s, &call->err);
    call->task.retry_ns = retry_s * UINT64_C(1000000000);
    if (status == DYNO_OK)
        call->guest = dyno_guest_ref(rpc->guest);
    return status;
}

void dyno_rpc_infer(struct dyno_grpc_call *grpc, struct dyno_body *body)
{
    struct dyno_rpc *rpc = dyno_rpc_of(grpc);
    struct dyno_call *call = dyno_call_create(dyno_rpc_io(rpc));
    if (call == NULL) {
        dyno_body_fini(body);
        dyno_grpc_release(grpc);
        dyno_grpc_finish(grpc, DYNO_GRPC_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    call->rpc = rpc;
    take_begun(call);
    call->body = *body;
    join(rpc, call);
    dyno_grpc_ref(grpc);
    if (!grpc->method->is_streaming)
        call->start_ns = grpc->start_ns;
    call->status = dyno_v2_pb_decode(call->body.data, call->body.bytes, call->arena, &call->memory,
                                     &call->infer, &call->err);
    if (call->status == DYNO_OK)
        call->status = admit(call);
    if (call->status == DYNO_OK)
        dyno_call_run(call);
    else
        dyno_call_answer_grpc(call);
}
