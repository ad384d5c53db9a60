/* grpc_control.c - the unary calls but ModelInfer. */
#include <string.h>

#include "base/mem.h"
#include "base/pbwire.h"
#include "serve/app/rpc.h"

/* Send io->text as the answer. */
static void answer(struct dyno_rpc *rpc)
{
    struct dyno_strbuf *text = &dyno_rpc_io(rpc)->text;
    struct dyno_seg *seg = dyno_strbuf_ok(text) ? dyno_grpc_seg(&rpc->grpc, text->bytes) : NULL;
    dyno_grpc_release(&rpc->grpc);
    if (seg == NULL) {
        dyno_grpc_finish(&rpc->grpc, DYNO_GRPC_RESOURCE_EXHAUSTED, "out of memory");
    } else {
        if (text->bytes != 0)
            memcpy(seg->data + DYNO_GRPC_PREFIX_BYTES, text->text, text->bytes);
        dyno_grpc_send(&rpc->grpc, seg);
        dyno_grpc_finish(&rpc->grpc, DYNO_GRPC_OK, "");
    }
    dyno_strbuf_clear(text);
}

static void answer_err(struct dyno_rpc *rpc, const struct dyno_err *err)
{
    dyno_strbuf_clear(&dyno_rpc_io(rpc)->text);
    dyno_grpc_release(&rpc->grpc);
    dyno_grpc_finish(&rpc->grpc, dyno_grpc_status_of(err->status), err->text);
}

/* --- models --- */

static enum dyno_status write_models(struct dyno_io *io, int tag,
                                     struct dyno_variant *const *variants, size_t count,
                                     struct dyno_arena *arena, struct dyno_err *err)
{
    struct dyno_v2_model model;
    if (tag == DYNO_RPC_MODEL_STATISTICS) {
        for (size_t i = 0; i < count; i++) {
            struct dyno_v2_stats stats;
            DYNO_TRY(dyno_app_stats(variants[i], arena, &stats, err));
            dyno_v2_pb_stats(&io->text, &stats);
        }
        return DYNO_OK;
    }
    DYNO_TRY(dyno_app_describe(variants, count, arena, &model, err));
    if (tag == DYNO_RPC_MODEL_CONFIG)
        dyno_v2_pb_config(&io->text, &model);
    else
        dyno_v2_pb_model(&io->text, &model);
    return DYNO_OK;
}

static enum dyno_status tell_models(const struct dyno_rpc *rpc, int tag,
                                    const struct dyno_v2_names *names, struct dyno_arena *arena,
                                    struct dyno_err *err)
{
    struct dyno_io *io = dyno_rpc_io(rpc);
    struct dyno_variant **all = NULL;
    size_t all_count = 0;
    size_t count = 0;
    struct dyno_variant *found = NULL;
    /* First for the sentence of what is missing. */
    if (tag != DYNO_RPC_MODEL_STATISTICS || names->first[0] != 0) {
        DYNO_TRY(dyno_catalog_find(io->server->catalog, names->first, names->second, &found, err));
        dyno_variant_unref(found);
    }
    DYNO_TRY(dyno_catalog_ready(io->server->catalog, names->first[0] != 0 ? names->first : NULL,
                                arena, &all, &all_count, err));
    struct dyno_variant **kept = dyno_arena_alloc(arena, all_count + 1, sizeof(*kept));
    for (size_t i = 0; i < all_count && kept != NULL; i++)
        if ((names->second[0] == 0 || strcmp(all[i]->version, names->second) == 0) &&
            dyno_guest_sees(rpc->guest, all[i]->model))
            kept[count++] = all[i];
    enum dyno_status status = DYNO_OK;
    if (kept == NULL)
        status = DYNO_NOMEM(err);
    else if (count == 0 && tag != DYNO_RPC_MODEL_STATISTICS)
        status = DYNO_FAIL(err, DYNO_E_BUSY, "the model has just changed");
    else
        status = write_models(io, tag, kept, count, arena, err);
    for (size_t i = 0; i < all_count; i++)
        dyno_variant_unref(all[i]);
    return status;
}

/* --- repository --- */

static void answer_order(struct dyno_app_order *order)
{
    struct dyno_rpc *rpc = order->rpc;
    struct dyno_strbuf *text = &order->io->text;
    dyno_strbuf_clear(text);
    for (const struct dyno_index_row *at = order->order.rows; at != NULL; at = at->next) {
        const struct dyno_v2_index_row row = {
            .name = at->model, .version = at->version, .state = at->state, .reason = at->reason};
        if ((!order->only_ready || strcmp(at->state, "READY") == 0) &&
            dyno_guest_sees(rpc->guest, at->model))
            dyno_v2_pb_index_row(text, &row);
    }
    if (order->order.status == DYNO_OK)
        answer(rpc);
    else
        answer_err(rpc, &order->order.err);
    dyno_grpc_unref(&rpc->grpc);
}

static bool is_order(int tag)
{
    return tag == DYNO_RPC_REPOSITORY_INDEX || tag == DYNO_RPC_REPOSITORY_LOAD ||
           tag == DYNO_RPC_REPOSITORY_UNLOAD;
}

static enum dyno_status send_order(struct dyno_rpc *rpc, int tag, const struct dyno_v2_names *names,
                                   struct dyno_err *err)
{
    struct dyno_io *io = dyno_rpc_io(rpc);
    struct dyno_app_part part = {0};
    const enum dyno_command_kind kind = tag == DYNO_RPC_REPOSITORY_INDEX  ? DYNO_COMMAND_INDEX
                                        : tag == DYNO_RPC_REPOSITORY_LOAD ? DYNO_COMMAND_LOAD
                                                                          : DYNO_COMMAND_UNLOAD;
    if (names->first[0] != 0)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED,
                         "a repository cannot be named: all of them are one");
    for (const struct dyno_v2_param *at = names->params; at != NULL; at = at->next)
        DYNO_TRY(dyno_app_part_take(&part, at, err));
    if (kind != DYNO_COMMAND_INDEX && !io->server->options.explicit_control)
        return DYNO_FAIL(err, DYNO_E_BUSY,
                         "explicit model load / unload is not allowed without "
                         "--model-control-mode=explicit");
    struct dyno_app_order *order =
        dyno_app_order_create(io, kind, names->second, &part, answer_order);
    if (order == NULL)
        return DYNO_NOMEM(err);
    dyno_grpc_ref(&rpc->grpc);
    order->rpc = rpc;
    order->only_ready = names->ready;
    dyno_app_order_send(order);
    return DYNO_OK;
}

/* --- all --- */

/* The model that a call is about; "": none, or all. */
static const char *model_of(int tag, const struct dyno_v2_names *names)
{
    switch ((enum dyno_rpc_tag)tag) {
    case DYNO_RPC_MODEL_READY:
    case DYNO_RPC_MODEL_METADATA:
    case DYNO_RPC_MODEL_CONFIG:
    case DYNO_RPC_MODEL_STATISTICS:
        return names->first;
    case DYNO_RPC_REPOSITORY_LOAD:
    case DYNO_RPC_REPOSITORY_UNLOAD:
        return names->second;
    case DYNO_RPC_SERVER_LIVE:
    case DYNO_RPC_SERVER_READY:
    case DYNO_RPC_SERVER_METADATA:
    case DYNO_RPC_HEALTH_CHECK:
    case DYNO_RPC_REPOSITORY_INDEX:
    case DYNO_RPC_LOG_SETTINGS:
    case DYNO_RPC_TRACE_SETTING:
    case DYNO_RPC_SHM_STATUS:
    case DYNO_RPC_SHM_REGISTER:
    case DYNO_RPC_SHM_UNREGISTER:
    case DYNO_RPC_CUDA_STATUS:
    case DYNO_RPC_CUDA_REGISTER:
    case DYNO_RPC_CUDA_UNREGISTER:
        break;
    }
    return "";
}

static enum dyno_status write_answer(const struct dyno_rpc *rpc, int tag,
                                     const struct dyno_v2_names *names, struct dyno_arena *arena,
                                     struct dyno_err *err)
{
    struct dyno_io *io = dyno_rpc_io(rpc);
    switch ((enum dyno_rpc_tag)tag) {
    case DYNO_RPC_SERVER_LIVE:
        dyno_pb_put_varint(&io->text, 1, 1);
        return DYNO_OK;
    case DYNO_RPC_SERVER_READY:
        dyno_pb_put_varint(&io->text, 1, dyno_server_is_ready(io->server));
        return DYNO_OK;
    case DYNO_RPC_SERVER_METADATA:
        dyno_v2_pb_server(&io->text, io->server->shm != NULL);
        return DYNO_OK;
    case DYNO_RPC_MODEL_READY:
        dyno_pb_put_varint(&io->text, 1,
                           dyno_catalog_answers(io->server->catalog, names->first, names->second));
        return DYNO_OK;
    case DYNO_RPC_HEALTH_CHECK:
        return dyno_rpc_check_health(io, names->first, err);
    case DYNO_RPC_MODEL_METADATA:
    case DYNO_RPC_MODEL_CONFIG:
    case DYNO_RPC_MODEL_STATISTICS:
    case DYNO_RPC_REPOSITORY_INDEX:
    case DYNO_RPC_REPOSITORY_LOAD:
    case DYNO_RPC_REPOSITORY_UNLOAD:
    case DYNO_RPC_LOG_SETTINGS:
    case DYNO_RPC_TRACE_SETTING:
    case DYNO_RPC_SHM_STATUS:
    case DYNO_RPC_SHM_REGISTER:
    case DYNO_RPC_SHM_UNREGISTER:
    case DYNO_RPC_CUDA_STATUS:
    case DYNO_RPC_CUDA_REGISTER:
    case DYNO_RPC_CUDA_UNREGISTER:
        break;
    }
    return tell_models(rpc, tag, names, arena, err);
}

/* Once more, whatever came of it. */
static void answer_fetch(struct dyno_app_order *order)
{
    struct dyno_rpc *rpc = order->rpc;
    const struct dyno_v2_names names = {.first = order->order.model, .second = order->asked};
    struct dyno_err err = {0};
    dyno_strbuf_clear(&order->io->text);
    const enum dyno_status status =
        order->asked != NULL
            ? write_answer(rpc, rpc->grpc.method->tag, &names, order->order.arena, &err)
            : DYNO_NOMEM(&err);
    if (status == DYNO_OK)
        answer(rpc);
    else
        answer_err(rpc, &err);
    dyno_grpc_unref(&rpc->grpc);
}

/* Is the model that is asked about loaded first, to be told of later? */
static bool fetch(struct dyno_rpc *rpc, int tag, const struct dyno_v2_names *names)
{
    if (tag != DYNO_RPC_MODEL_METADATA && tag != DYNO_RPC_MODEL_CONFIG)
        return false;
    struct dyno_app_order *order =
        dyno_app_fetch(dyno_rpc_io(rpc), names->first, names->second, answer_fetch);
    if (order == NULL)
        return false;
    dyno_grpc_ref(&rpc->grpc);
    order->rpc = rpc;
    dyno_app_order_send(order);
    return true;
}

/* Do what the message asks for; its answer goes to io->text.  *is_later_out: it comes later. */
static enum dyno_status serve(struct dyno_rpc *rpc, int tag, const struct dyno_body *body,
                              struct dyno_arena *arena, bool *is_later_out, struct dyno_err *err)
{
    struct dyno_v2_names names;
    if (dyno_rpc_is_settings(tag))
        return dyno_rpc_settings(rpc, tag, body, arena, err);
    DYNO_TRY(dyno_v2_pb_names(body->data, body->bytes, arena, &names, err));
    const char *model = model_of(tag, &names);
    if (model[0] != 0)
        DYNO_TRY(dyno_guest_check_model(rpc->guest, model, err));
    *is_later_out = is_order(tag);
    if (is_order(tag))
        return send_order(rpc, tag, &names, err);
    const enum dyno_status status = write_answer(rpc, tag, &names, arena, err);
    *is_later_out = status == DYNO_E_BUSY && fetch(rpc, tag, &names);
    return *is_later_out ? DYNO_OK : status;
}

void dyno_rpc_control(struct dyno_grpc_call *grpc, struct dyno_body *body)
{
    struct dyno_rpc *rpc = dyno_rpc_of(grpc);
    struct dyno_err err = {0};
    bool is_later = false;
    const int tag = grpc->method->tag;
    struct dyno_arena *arena = dyno_arena_create();
    dyno_strbuf_clear(&dyno_rpc_io(rpc)->text);
    const enum dyno_status status =
        arena != NULL ? serve(rpc, tag, body, arena, &is_later, &err) : DYNO_NOMEM(&err);
    dyno_body_fini(body);
    if (status != DYNO_OK)
        answer_err(rpc, &err);
    else if (!is_later)
        answer(rpc);
    dyno_arena_destroy(arena);
}
