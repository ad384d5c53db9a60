/* http_models.c - what is told of the server and its models. */
#include <string.h>

#include "serve/app/http.h"

/* Triton tells it by the status alone, OIP also by {"live": true} and the like. */
static void answer_health(struct dyno_visit *visit, const char *key, bool is_good)
{
    struct dyno_strbuf *text = &visit->io->text;
    struct dyno_json_writer json = dyno_visit_writer(visit);
    dyno_json_object_begin(&json);
    if (visit->model[0] != 0) {
        dyno_json_put_str(&json, "name", visit->model);
    }
    dyno_json_put_bool(&json, key, is_good);
    dyno_json_object_end(&json);
    dyno_visit_answer_text(visit, is_good ? 200 : 400, "application/json", text);
    dyno_strbuf_clear(text);
}

void dyno_route_live(struct dyno_visit *visit)
{
    answer_health(visit, "live", true);
}

void dyno_route_ready(struct dyno_visit *visit)
{
    answer_health(visit, "ready", dyno_server_is_ready(visit->io->server));
}

void dyno_route_server(struct dyno_visit *visit)
{
    struct dyno_json_writer json = dyno_visit_writer(visit);
    dyno_v2_json_server(&json, visit->io->server->shm != NULL);
    dyno_visit_answer_json(visit);
}

void dyno_route_model_ready(struct dyno_visit *visit)
{
    const bool is_ready =
        dyno_catalog_answers(visit->io->server->catalog, visit->model, visit->version);
    answer_health(visit, "ready", is_ready);
}

/* The ready variants of a model, of one version when that is given, and what to do with them. */
typedef enum dyno_status variants_fn(struct dyno_visit *visit, struct dyno_variant *const *variants,
                                     size_t count, struct dyno_arena *arena, struct dyno_err *err);

/* Those of the version that is asked for, and which the guest may see. */
static size_t keep(const struct dyno_visit *visit, struct dyno_variant **variants, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if ((visit->version[0] == 0 || strcmp(variants[i]->version, visit->version) == 0) &&
            dyno_guest_sees(visit->guest, variants[i]->model))
            variants[kept++] = variants[i];
        else
            dyno_variant_unref(variants[i]);
    }
    return kept;
}

static enum dyno_status with_variants_in(struct dyno_visit *visit, variants_fn *fn,
                                         struct dyno_arena *arena, struct dyno_err *err)
{
    struct dyno_catalog *catalog = visit->io->server->catalog;
    struct dyno_variant **variants = NULL;
    size_t count = 0;
    DYNO_TRY(dyno_catalog_ready(catalog, visit->model[0] != 0 ? visit->model : NULL, arena,
                                &variants, &count, err));
    count = keep(visit, variants, count);
    enum dyno_status status = DYNO_OK;
    if (count == 0 && visit->model[0] != 0) { /* for the sentence that says why */
        struct dyno_variant *none = NULL;
        status = dyno_catalog_find(catalog, visit->model, visit->version, &none, err);
        if (none != NULL)
            dyno_variant_unref(none);
        if (status == DYNO_OK)
            status = DYNO_FAIL(err, DYNO_E_BUSY, "the model has just changed");
    } else {
        status = fn(visit, variants, count, arena, err);
    }
    for (size_t i = 0; i < count; i++)
        dyno_variant_unref(variants[i]);
    return status;
}

/* Once more, whatever came of it. */
static void answer_fetch(struct dyno_app_order *order)
{
    order->visit->route->fn(order->visit);
}

static bool fetch(struct dyno_visit *visit)
{
    struct dyno_app_order *order =
        visit->is_fetched || visit->model[0] == 0
            ? NULL
            : dyno_app_fetch(visit->io, visit->model, visit->version, answer_fetch);
    if (order == NULL)
        return false;
    visit->is_fetched = true;
    order->visit = visit;
    dyno_app_order_send(order);
    return true;
}

static void with_variants(struct dyno_visit *visit, variants_fn *fn, bool may_fetch)
{
    struct dyno_err err = {0};
    struct dyno_arena *arena = dyno_arena_create();
    const enum dyno_status status =
        arena != NULL ? with_variants_in(visit, fn, arena, &err) : DYNO_NOMEM(&err);
    if (status == DYNO_OK)
        dyno_visit_answer_json(visit);
    else if (status != DYNO_E_BUSY || !may_fetch || !fetch(visit))
        dyno_visit_answer_err(visit, &err);
    dyno_arena_destroy(arena);
}

static enum dyno_status write_metadata(struct dyno_visit *visit,
                                       struct dyno_variant *const *variants, size_t count,
                                       struct dyno_arena *arena, struct dyno_err *err)
{
    struct dyno_v2_model model;
    struct dyno_json_writer json = dyno_visit_writer(visit);
    DYNO_TRY(dyno_app_describe(variants, count, arena, &model, err));
    dyno_v2_json_model(&json, &model);
    return DYNO_OK;
}

static enum dyno_status write_config(struct dyno_visit *visit, struct dyno_variant *const *variants,
                                     size_t count, struct dyno_arena *arena, struct dyno_err *err)
{
    struct dyno_v2_model model;
    struct dyno_json_writer json = dyno_visit_writer(visit);
    DYNO_TRY(dyno_app_describe(variants, count, arena, &model, err));
    dyno_v2_json_config(&json, &model);
    return DYNO_OK;
}

static enum dyno_status write_stats(struct dyno_visit *visit, struct dyno_variant *const *variants,
                                    size_t count, struct dyno_arena *arena, struct dyno_err *err)
{
    struct dyno_json_writer json = dyno_visit_writer(visit);
    dyno_json_object_begin(&json);
    dyno_json_put_array_begin(&json, "model_stats");
    for (size_t i = 0; i < count; i++) {
        struct dyno_v2_stats stats;
        DYNO_TRY(dyno_app_stats(variants[i], arena, &stats, err));
        dyno_v2_json_stats(&json, &stats);
    }
    dyno_json_array_end(&json);
    dyno_json_object_end(&json);
    return DYNO_OK;
}

/* KServe's list: {"models": [names]}. */
static enum dyno_status write_names(struct dyno_visit *visit, struct dyno_variant *const *variants,
                                    size_t count, struct dyno_arena *arena, struct dyno_err *err)
{
    struct dyno_json_writer json = dyno_visit_writer(visit);
    (void)arena;
    (void)err;
    dyno_json_object_begin(&json);
    dyno_json_put_array_begin(&json, "models");
    for (size_t i = 0; i < count; i++)
        if (i == 0 || strcmp(variants[i]->model, variants[i - 1]->model) != 0)
            dyno_json_str(&json, variants[i]->model);
    dyno_json_array_end(&json);
    dyno_json_object_end(&json);
    return DYNO_OK;
}

void dyno_route_metadata(struct dyno_visit *visit)
{
    with_variants(visit, write_metadata, true);
}
void dyno_route_config(struct dyno_visit *visit)
{
    with_variants(visit, write_config, true);
}
void dyno_route_stats(struct dyno_visit *visit)
{
    with_variants(visit, write_stats, false);
}
void dyno_route_models(struct dyno_visit *visit)
{
    with_variants(visit, write_names, false);
}
