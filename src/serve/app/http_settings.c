/* http_settings.c - logging, tracing and shared memory regions over HTTP. */
#include "serve/app/http.h"
#include "serve/app/settings.h"

/* Does what one of these requests asks for; the answer's JSON goes to io->text. */
typedef enum dyno_status settings_fn(struct dyno_visit *visit, const struct dyno_json *root,
                                     struct dyno_arena *arena, struct dyno_err *err);

static void serve(struct dyno_visit *visit, settings_fn *fn)
{
    const struct dyno_json *root = NULL;
    struct dyno_err err = {0};
    struct dyno_arena *arena = dyno_arena_create();
    enum dyno_status status =
        arena != NULL ? dyno_visit_parse(visit, arena, &root, &err) : DYNO_NOMEM(&err);
    if (status == DYNO_OK)
        status = fn(visit, root, arena, &err);
    if (status == DYNO_OK)
        dyno_visit_answer_json(visit);
    else
        dyno_visit_answer_err(visit, &err);
    dyno_arena_destroy(arena);
}

static bool is_post(const struct dyno_visit *visit)
{
    return visit->route->method == DYNO_HTTP_POST;
}

/* An answer that says no more than that it went well. */
static void write_done(struct dyno_visit *visit)
{
    struct dyno_json_writer json = dyno_visit_writer(visit);
    dyno_json_object_begin(&json);
    dyno_json_object_end(&json);
}

/* --- settings --- */

static enum dyno_status logging(struct dyno_visit *visit, const struct dyno_json *root,
                                struct dyno_arena *arena, struct dyno_err *err)
{
    const struct dyno_v2_setting *asked = NULL;
    struct dyno_v2_setting settings[DYNO_APP_SETTINGS_MAX];
    if (is_post(visit)) {
        DYNO_TRY(dyno_v2_json_settings(root, arena, &asked, err));
        DYNO_TRY(dyno_app_set_log(asked, err));
    }
    struct dyno_json_writer json = dyno_visit_writer(visit);
    dyno_v2_json_put_settings(&json, settings, dyno_app_log_settings(settings));
    return DYNO_OK;
}

static enum dyno_status tracing(struct dyno_visit *visit, const struct dyno_json *root,
                                struct dyno_arena *arena, struct dyno_err *err)
{
    const struct dyno_v2_setting *asked = NULL;
    struct dyno_v2_setting settings[DYNO_APP_SETTINGS_MAX];
    if (is_post(visit))
        DYNO_TRY(dyno_v2_json_settings(root, arena, &asked, err));
    DYNO_TRY(dyno_app_set_trace(visit->io->server, visit->model, visit->version, asked, err));
    struct dyno_json_writer json = dyno_visit_writer(visit);
    dyno_v2_json_put_settings(&json, settings, dyno_app_trace_settings(settings));
    return DYNO_OK;
}

void dyno_route_logging(struct dyno_visit *visit)
{
    serve(visit, logging);
}
void dyno_route_trace(struct dyno_visit *visit)
{
    serve(visit, tracing);
}

/* --- regions --- */

static enum dyno_status shm_status(struct dyno_visit *visit, const struct dyno_json *root,
                                   struct dyno_arena *arena, struct dyno_err *err)
{
    struct dyno_v2_region *regions = NULL;
    size_t count = 0;
    (void)root;
    DYNO_TRY(dyno_app_regions(visit->io->server, visit->region, arena, &regions, &count, err));
    struct dyno_json_writer json = dyno_visit_writer(visit);
    dyno_json_array_begin(&json);
    for (size_t i = 0; i < count; i++)
        dyno_v2_json_put_region(&json, &regions[i]);
    dyno_json_array_end(&json);
    return DYNO_OK;
}

static enum dyno_status shm_register(struct dyno_visit *visit, const struct dyno_json *root,
                                     struct dyno_arena *arena, struct dyno_err *err)
{
    struct dyno_v2_region region = {.name = visit->region};
    (void)arena;
    DYNO_TRY(dyno_v2_json_region(root, &region, err));
    DYNO_TRY(dyno_app_register(visit->io->server, &region, err));
    write_done(visit);
    return DYNO_OK;
}

static enum dyno_status shm_unregister(struct dyno_visit *visit, const struct dyno_json *root,
                                       struct dyno_arena *arena, struct dyno_err *err)
{
    (void)root;
    (void)arena;
    DYNO_TRY(dyno_app_unregister(visit->io->server, visit->region, err));
    write_done(visit);
    return DYNO_OK;
}

static enum dyno_status cuda_status(struct dyno_visit *visit, const struct dyno_json *root,
                                    struct dyno_arena *arena, struct dyno_err *err)
{
    (void)root;
    (void)arena;
    DYNO_TRY(dyno_app_cuda_find(visit->region, err));
    struct dyno_json_writer json = dyno_visit_writer(visit);
    dyno_json_array_begin(&json);
    dyno_json_array_end(&json);
    return DYNO_OK;
}

static enum dyno_status cuda_register(struct dyno_visit *visit, const struct dyno_json *root,
                                      struct dyno_arena *arena, struct dyno_err *err)
{
    (void)visit;
    (void)root;
    (void)arena;
    return dyno_app_cuda_register(err);
}

static enum dyno_status cuda_unregister(struct dyno_visit *visit, const struct dyno_json *root,
                                        struct dyno_arena *arena, struct dyno_err *err)
{
    (void)root;
    (void)arena;
    DYNO_TRY(dyno_app_cuda_unregister(visit->io->server, err));
    write_done(visit);
    return DYNO_OK;
}

void dyno_route_shm_status(struct dyno_visit *visit)
{
    serve(visit, shm_status);
}
void dyno_route_shm_register(struct dyno_visit *visit)
{
    serve(visit, shm_register);
}
void dyno_route_shm_unregister(struct dyno_visit *visit)
{
    serve(visit, shm_unregister);
}
void dyno_route_cuda_status(struct dyno_visit *visit)
{
    serve(visit, cuda_status);
}
void dyno_route_cuda_register(struct dyno_visit *visit)
{
    serve(visit, cuda_register);
}
void dyno_route_cuda_unregister(struct dyno_visit *visit)
{
    serve(visit, cuda_unregister);
}
