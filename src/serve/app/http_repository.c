/* http_repository.c - the index, loading and unloading. */
#include <string.h>

#include "base/json.h"
#include "serve/app/http.h"

static void answer_order(struct dyno_app_order *order)
{
    struct dyno_visit *visit = order->visit;
    struct dyno_json_writer json = dyno_visit_writer(visit);
    if (order->order.status != DYNO_OK) {
        dyno_visit_answer_err(visit, &order->order.err);
        return;
    }
    if (order->order.kind != DYNO_COMMAND_INDEX) { /* Triton tells nothing, KServe this */
        dyno_json_object_begin(&json);
        dyno_json_put_str(&json, "name", visit->model);
        dyno_json_put_bool(&json, order->order.kind == DYNO_COMMAND_LOAD ? "load" : "unload", true);
        dyno_json_object_end(&json);
        dyno_visit_answer_json(visit);
        return;
    }
    dyno_json_array_begin(&json);
    for (const struct dyno_index_row *at = order->order.rows; at != NULL; at = at->next) {
        const struct dyno_v2_index_row row = {
            .name = at->model, .version = at->version, .state = at->state, .reason = at->reason};
        if ((!order->only_ready || strcmp(at->state, "READY") == 0) &&
            dyno_guest_sees(visit->guest, at->model))
            dyno_v2_json_index_row(&json, &row);
    }
    dyno_json_array_end(&json);
    dyno_visit_answer_json(visit);
}

static void send_order(struct dyno_visit *visit, enum dyno_command_kind kind,
                       const struct dyno_app_part *part, bool only_ready)
{
    struct dyno_app_order *order =
        dyno_app_order_create(visit->io, kind, visit->model, part, answer_order);
    if (order == NULL) {
        dyno_visit_answer_error(visit, 503, "out of memory");
        return;
    }
    order->visit = visit;
    order->only_ready = only_ready;
    dyno_app_order_send(order);
}

static enum dyno_status take_parameter(const struct dyno_json *value, struct dyno_app_part *part,
                                       struct dyno_err *err)
{
    struct dyno_v2_param param = {.name = value->key, .kind = DYNO_V2_PARAM_DOUBLE};
    if (value->kind == DYNO_JSON_BOOL) {
        param.kind = DYNO_V2_PARAM_BOOL;
    } else if (value->kind == DYNO_JSON_NUMBER && value->is_int) {
        param.kind = DYNO_V2_PARAM_INT;
        param.integer = value->integer;
    } else if (value->kind == DYNO_JSON_STRING && strlen(value->text) == value->text_bytes) {
        param.kind = DYNO_V2_PARAM_TEXT;
        param.text = value->text;
    }
    return dyno_app_part_take(part, &param, err);
}

static enum dyno_status take_parameters(const struct dyno_json *root, struct dyno_app_part *part,
                                        struct dyno_err *err)
{
    const struct dyno_json *params = dyno_json_find(root, "parameters");
    if (params != NULL && params->kind != DYNO_JSON_OBJECT)
        return DYNO_FAIL(err, DYNO_E_ARG, "parameters must be an object");
    for (const struct dyno_json *at = params != NULL ? params->first : NULL; at != NULL;
         at = at->next)
        DYNO_TRY(take_parameter(at, part, err));
    return DYNO_OK;
}

static void control(struct dyno_visit *visit, enum dyno_command_kind kind)
{
    const struct dyno_json *root = NULL;
    struct dyno_err err = {0};
    struct dyno_app_part part = {0};
    struct dyno_arena *arena = dyno_arena_create();
    enum dyno_status status =
        arena != NULL ? dyno_visit_parse(visit, arena, &root, &err) : DYNO_NOMEM(&err);
    const struct dyno_json *ready = dyno_json_find(root, "ready");
    const bool only_ready = ready != NULL && ready->boolean;
    if (status == DYNO_OK && ready != NULL && ready->kind != DYNO_JSON_BOOL)
        status = DYNO_FAIL(&err, DYNO_E_ARG, "ready must be a boolean");
    if (status == DYNO_OK && kind != DYNO_COMMAND_INDEX)
        status = take_parameters(root, &part, &err);
    if (status == DYNO_OK && kind != DYNO_COMMAND_INDEX &&
        !visit->io->server->options.explicit_control)
        status = DYNO_FAIL(&err, DYNO_E_BUSY,
                           "explicit model load / unload is not allowed without "
                           "--model-control-mode=explicit");
    if (status == DYNO_OK)
        send_order(visit, kind, &part, only_ready);
    else
        dyno_visit_answer_err(visit, &err);
    dyno_arena_destroy(arena);
}

void dyno_route_index(struct dyno_visit *visit)
{
    control(visit, DYNO_COMMAND_INDEX);
}
void dyno_route_load(struct dyno_visit *visit)
{
    control(visit, DYNO_COMMAND_LOAD);
}
void dyno_route_unload(struct dyno_visit *visit)
{
    control(visit, DYNO_COMMAND_UNLOAD);
}

/* Triton has the path and refuses it, too. */
void dyno_route_named_repository(struct dyno_visit *visit)
{
    dyno_visit_answer_error(visit, 501, "a repository cannot be named: all of them are one");
}
