/* grpc.c - the table of methods, and who may call them. */
#include <stdio.h>
#include <string.h>

#include "serve/app/rpc.h"

static const struct dyno_grpc_method methods[] = {
#define DYNO_METHOD(service, name, right, tag) \
    {"/" service "/" name, false, DYNO_RPC_##tag, DYNO_RIGHT_##right, dyno_rpc_control},
#define DYNO_METHOD_OF(service, name, is_streaming, right, function) \
    {"/" service "/" name, is_streaming, 0, DYNO_RIGHT_##right, function},
#define DYNO_METHOD_INFER(service, name, is_streaming) \
    {"/" service "/" name, is_streaming, 0, DYNO_RIGHT_INFER, dyno_rpc_infer},
#include "serve/app/methods.def"
#undef DYNO_METHOD
#undef DYNO_METHOD_OF
#undef DYNO_METHOD_INFER
};

enum dyno_grpc_status dyno_grpc_status_of(enum dyno_status status)
{
    switch (status) {
    case DYNO_OK:
        return DYNO_GRPC_OK;
    case DYNO_E_NOT_FOUND:
        return DYNO_GRPC_NOT_FOUND;
    case DYNO_E_BUSY:
        return DYNO_GRPC_UNAVAILABLE;
    case DYNO_E_NOMEM:
        return DYNO_GRPC_RESOURCE_EXHAUSTED;
    case DYNO_E_UNSUPPORTED:
        return DYNO_GRPC_UNIMPLEMENTED;
    case DYNO_E_CANCELLED:
        return DYNO_GRPC_CANCELLED;
    case DYNO_E_UNKNOWN_CALLER:
        return DYNO_GRPC_UNAUTHENTICATED;
    case DYNO_E_DENIED:
        return DYNO_GRPC_PERMISSION_DENIED;
    case DYNO_E_QUOTA:
        return DYNO_GRPC_RESOURCE_EXHAUSTED;
    case DYNO_E_EXISTS:
        return DYNO_GRPC_ALREADY_EXISTS;
    case DYNO_E_ARG:
    case DYNO_E_FORMAT:
    case DYNO_E_LIMIT:
        return DYNO_GRPC_INVALID_ARGUMENT;
    case DYNO_E_IO:
    case DYNO_E_CORRUPT:
    case DYNO_E_TARGET:
    case DYNO_E_MISMATCH:
        break;
    }
    return DYNO_GRPC_INTERNAL;
}

static bool is_name(const struct dyno_h2_field *field, const char *name)
{
    return strlen(name) == field->name_bytes && memcmp(field->name, name, field->name_bytes) == 0;
}

/* What may hold a key is kept unless it is longer than any key. */
static bool wants_header(const struct dyno_grpc_call *grpc, const struct dyno_h2_field *field)
{
    static const char *const names[] = {"triton_grpc_error", "traceparent", "sla"};
    const struct dyno_gate *gate = ((const struct dyno_io *)grpc->server->app)->server->gate;
    for (size_t i = 0; i < DYNO_COUNT(names); i++)
        if (is_name(field, names[i]))
            return true;
    return field->value_bytes <= DYNO_CREDENTIAL_BYTES_MAX &&
           (is_name(field, "authorization") || is_name(field, dyno_gate_key_header(gate)) ||
            is_name(field, dyno_gate_grpc_key_header(gate)));
}

static enum dyno_status admit(struct dyno_rpc *rpc, struct dyno_err *err)
{
    struct dyno_grpc_call *grpc = &rpc->grpc;
    struct dyno_gate *gate = dyno_rpc_io(rpc)->server->gate;
    const char *key = dyno_grpc_header(grpc, dyno_gate_grpc_key_header(gate));
    const struct dyno_credentials shown = {
        .authorization = dyno_grpc_header(grpc, "authorization"),
        .key = key != NULL ? key : dyno_grpc_header(grpc, dyno_gate_key_header(gate))};
    const enum dyno_right right = (enum dyno_right)grpc->method->right;
    const enum dyno_status status = dyno_gate_admit(gate, &shown, right, &rpc->guest, err);
    dyno_credentials_wipe(&shown);
    DYNO_TRY(status);
    /* The messages of a stream begin one by one. */
    if (right == DYNO_RIGHT_INFER && !grpc->method->is_streaming) {
        DYNO_TRY(dyno_guest_begin(rpc->guest, &grpc->retry_after_s, err));
        rpc->is_begun = true;
    }
    return DYNO_OK;
}

static void on_begin(struct dyno_grpc_call *grpc)
{
    dyno_access_begin_grpc(dyno_rpc_of(grpc));
}

static enum dyno_grpc_status on_head(struct dyno_grpc_call *grpc, const char **text_out)
{
    struct dyno_rpc *rpc = dyno_rpc_of(grpc);
    struct dyno_err err = {0};
    const enum dyno_status status = admit(rpc, &err);
    if (status == DYNO_OK)
        return DYNO_GRPC_OK;
    (void)snprintf(rpc->refusal_text, sizeof(rpc->refusal_text), "%.255s", err.text);
    *text_out = rpc->refusal_text;
    return dyno_grpc_status_of(status);
}

/* Every inference of a call holds a reference, so none is left. */
static void on_over(struct dyno_grpc_call *grpc)
{
    struct dyno_rpc *rpc = dyno_rpc_of(grpc);
    if (rpc->is_begun)
        dyno_guest_end(rpc->guest, 0);
    dyno_rpc_unwatch(rpc);
    dyno_access_end_grpc(rpc);
    dyno_guest_unref(rpc->guest);
}

void dyno_app_grpc_init(struct dyno_grpc_server *server, struct dyno_io *io)
{
    dyno_grpc_server_init(server, &io->server->budget, sizeof(struct dyno_rpc));
    server->app = io;
    server->methods = methods;
    server->method_count = DYNO_COUNT(methods);
    server->begin = on_begin;
    server->head = on_head;
    server->wants_header = wants_header;
    server->gone = dyno_rpc_gone;
    server->over = on_over;
    server->half_closed = dyno_rpc_half_closed;
}
