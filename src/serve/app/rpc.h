/* rpc.h - the application over gRPC: calls and the table of methods. */
#ifndef DYNO_SERVE_APP_RPC_H
#define DYNO_SERVE_APP_RPC_H

#include "serve/app/access.h"
#include "serve/app/server.h"

struct dyno_rpc {
    struct dyno_grpc_call grpc; /* first */
    struct dyno_guest *guest;
    bool is_begun; /* his inference, which no call stands for yet */
    struct dyno_access access;
    /* Inferences that are not answered, in the order they came: answers leave in that order. */
    struct dyno_call *first, *last;
    bool is_half_closed;
    /* A stream that is told of changes of the server's health, in a list of its I/O thread. */
    bool is_watching;
    int told_serving;
    struct dyno_rpc *next_watcher, *prev_watcher;
    char refusal_text[256];
};

static inline struct dyno_rpc *dyno_rpc_of(struct dyno_grpc_call *grpc)
{
    return (struct dyno_rpc *)(void *)grpc; /* its first member */
}

static inline struct dyno_io *dyno_rpc_io(const struct dyno_rpc *rpc)
{
    return rpc->grpc.server->app;
}

/* All but ports and limits. */
void dyno_app_grpc_init(struct dyno_grpc_server *server, struct dyno_io *io);

enum dyno_grpc_status dyno_grpc_status_of(enum dyno_status status);

/* ModelInfer and ModelStreamInfer. */
void dyno_rpc_infer(struct dyno_grpc_call *grpc, struct dyno_body *body);
void dyno_rpc_half_closed(struct dyno_grpc_call *grpc);
void dyno_rpc_gone(struct dyno_grpc_call *grpc);

/* Those of methods.def that have functions of their own. */
void dyno_rpc_watch(struct dyno_grpc_call *grpc, struct dyno_body *body);
void dyno_rpc_reflect(struct dyno_grpc_call *grpc, struct dyno_body *body);

/* Health/Check: the answer goes to io->text. */
enum dyno_status dyno_rpc_check_health(struct dyno_io *io, const char *service,
                                       struct dyno_err *err);
/* It watches no more, if it did. */
void dyno_rpc_unwatch(struct dyno_rpc *rpc);

/* The other unary methods, by the tags of methods.def. */
enum dyno_rpc_tag {
#define DYNO_METHOD(service, name, right, tag) DYNO_RPC_##tag,
#define DYNO_METHOD_OF(service, name, is_streaming, right, function)
#define DYNO_METHOD_INFER(service, name, is_streaming)
#include "serve/app/methods.def"
#undef DYNO_METHOD
#undef DYNO_METHOD_OF
#undef DYNO_METHOD_INFER
};

/* LogSettings, TraceSetting and those of shared memory: the answer goes to io->text. */
bool dyno_rpc_is_settings(int tag);
enum dyno_status dyno_rpc_settings(struct dyno_rpc *rpc, int tag, const struct dyno_body *body,
                                   struct dyno_arena *arena, struct dyno_err *err);

void dyno_rpc_control(struct dyno_grpc_call *grpc, struct dyno_body *body);

#endif /* DYNO_SERVE_APP_RPC_H */
