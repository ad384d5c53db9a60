/* grpc.c - the table of methods, and who may call them. */
#include <stdio.h>
#include <string.h>

#include "serve/app/rpc.h"

static const struct dyno_grpc_method methods[] = {
#define DYNO_METHOD(service, name, right, tag) \
    {"/" service "/" name, false, DYNO_RPC_##tag, DYNO_RIGHT_##right, dyno_rpc_control},
#define DYNO_METHOD_INFER(service, name, is_streaming) \
    {"/" service "/" name, is_streaming, 0, DYNO_RIGHT_INFER, dyno_rpc_infer},
#include "serve/app/methods.def"
#undef DYNO_METHOD
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

static bool wants_header(const char *name, size_t bytes)
{
    static const char *const names[] = {"triton_grpc_error", "authorization", "traceparent", "sla"};
    for (size_t i = 0; i < DYNO_COUNT(names); i++)
        if (strlen(names[i]) == bytes && memcmp(names[i], name, bytes) == 0)
            return true;
    return false;
}

static enum dyno_grpc_status on_head(struct dyno_grpc_call *grpc, const char **text_out)
{
    struct dyno_rpc *rpc = dyno_rpc_of(grpc);
    struct dyno_err err = {0};
    const struct dyno_credentials shown = {.authorization =
                                               dyno_grpc_header(grpc, "authorization")};
    const enum dyno_status status =
        dyno_gate_admit(dyno_rpc_io(rpc)->server->gate, &shown,
                        (enum dyno_right)grpc->method->right, &rpc->guest, &err);
    if (status == DYNO_OK)
        return DYNO_GRPC_OK;
    (void)snprintf(rpc->refusal_text, sizeof(rpc->refusal_text), "%.255s", err.text);
    *text_out = rpc->refusal_text;
    return dyno_grpc_status_of(status);
}

/* Every inference of a call holds a reference, so none is left. */
static void on_over(struct dyno_grpc_call *grpc)
{
    dyno_guest_unref(dyno_rpc_of(grpc)->guest);
}

void dyno_app_grpc_init(struct dyno_grpc_server *server, struct dyno_io *io)
{
    dyno_grpc_server_init(server, &io->server->budget, sizeof(struct dyno_rpc));
    server->app = io;
    server->methods = methods;
    server->method_count = DYNO_COUNT(methods);
    server->head = on_head;
    server->wants_header = wants_header;
    server->gone = dyno_rpc_gone;
    server->over = on_over;
    server->half_closed = dyno_rpc_half_closed;
}
