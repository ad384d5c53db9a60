/* grpc_settings.c - logging, tracing and shared memory regions over gRPC. */
#include "serve/app/rpc.h"
#include "serve/app/settings.h"

static enum dyno_status logging(struct dyno_io *io, const struct dyno_body *body,
                                struct dyno_arena *arena, struct dyno_err *err)
{
    const struct dyno_v2_setting *asked = NULL;
    const char *none = NULL;
    struct dyno_v2_setting settings[DYNO_APP_SETTINGS_MAX];
    DYNO_TRY(dyno_v2_pb_settings(body->data, body->bytes, arena, &asked, &none, err));
    DYNO_TRY(dyno_app_set_log(asked, err));
    dyno_v2_pb_put_settings(&io->text, settings, dyno_app_log_settings(settings), false);
    return DYNO_OK;
}

static enum dyno_status tracing(struct dyno_rpc *rpc, const struct dyno_body *body,
                                struct dyno_arena *arena, struct dyno_err *err)
{
    struct dyno_io *io = dyno_rpc_io(rpc);
    const struct dyno_v2_setting *asked = NULL;
    const char *model = NULL;
    struct dyno_v2_setting settings[DYNO_APP_SETTINGS_MAX];
    DYNO_TRY(dyno_v2_pb_settings(body->data, body->bytes, arena, &asked, &model, err));
    if (model[0] != 0)
        DYNO_TRY(dyno_guest_check_model(rpc->guest, model, err));
    DYNO_TRY(dyno_app_set_trace(io->server, model, "", asked, err));
    dyno_v2_pb_put_settings(&io->text, settings, dyno_app_trace_settings(settings), true);
    return DYNO_OK;
}

static enum dyno_status status_of(struct dyno_io *io, const char *name, struct dyno_arena *arena,
                                  struct dyno_err *err)
{
    struct dyno_v2_region *regions = NULL;
    size_t count = 0;
    DYNO_TRY(dyno_app_regions(io->server, name, arena, &regions, &count, err));
    for (size_t i = 0; i < count; i++)
        dyno_v2_pb_put_region(&io->text, &regions[i]);
    return DYNO_OK;
}

bool dyno_rpc_is_settings(int tag)
{
    return tag >= DYNO_RPC_LOG_SETTINGS && tag <= DYNO_RPC_CUDA_UNREGISTER;
}

enum dyno_status dyno_rpc_settings(struct dyno_rpc *rpc, int tag, const struct dyno_body *body,
                                   struct dyno_arena *arena, struct dyno_err *err)
{
    struct dyno_io *io = dyno_rpc_io(rpc);
    struct dyno_v2_region region;
    if (tag == DYNO_RPC_LOG_SETTINGS)
        return logging(io, body, arena, err);
    if (tag == DYNO_RPC_TRACE_SETTING)
        return tracing(rpc, body, arena, err);
    if (tag == DYNO_RPC_CUDA_REGISTER)
        return dyno_app_cuda_register(err);
    DYNO_TRY(dyno_v2_pb_region(body->data, body->bytes, arena, &region, err));
    switch (tag) {
    case DYNO_RPC_SHM_STATUS:
        return status_of(io, region.name, arena, err);
    case DYNO_RPC_SHM_REGISTER:
        return dyno_app_register(io->server, &region, err);
    case DYNO_RPC_SHM_UNREGISTER:
        return dyno_app_unregister(io->server, region.name, err);
    case DYNO_RPC_CUDA_STATUS:
        return dyno_app_cuda_find(region.name, err);
    default:
        return dyno_app_cuda_unregister(io->server, err);
    }
}
