/* order.c - orders to the manager that come back to their I/O thread. */
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "serve/app/server.h"

struct dyno_app_order *dyno_app_order_create(struct dyno_io *io, enum dyno_command_kind kind,
                                             const char *model, const struct dyno_app_part *part,
                                             void (*answer)(struct dyno_app_order *order))
{
    struct dyno_app_order *order = dyno_alloc(1, sizeof(*order));
    struct dyno_arena *arena = dyno_arena_create();
    const char *own = arena != NULL ? dyno_arena_strdup(arena, model) : NULL;
    const char *variant = part != NULL && part->variant != NULL ? part->variant : "";
    variant = arena != NULL ? dyno_arena_strdup(arena, variant) : NULL;
    if (order == NULL || own == NULL || variant == NULL) {
        dyno_arena_destroy(arena);
        dyno_free(order);
        return NULL;
    }
    order->order.kind = kind;
    order->order.arena = arena;
    order->order.model = own;
    order->order.version = part != NULL ? part->version : 0;
    order->order.variant = variant;
    order->io = io;
    order->answer = answer;
    atomic_fetch_add_explicit(&io->open_count, 1, memory_order_relaxed);
    return order;
}

struct dyno_app_order *dyno_app_fetch(struct dyno_io *io, const char *model, const char *version,
                                      void (*answer)(struct dyno_app_order *order))
{
    struct dyno_server *server = io->server;
    char name[DYNO_MODEL_NAME_BYTES_MAX + 1];
    struct dyno_app_part part = {.variant = name};
    if (!dyno_catalog_coming(server->catalog, model, version, &part.version, name))
        return NULL;
    const unsigned count = atomic_fetch_add(&server->fetch_count, 1);
    struct dyno_app_order *order =
        count < server->options.load_queue_max
            ? dyno_app_order_create(io, DYNO_COMMAND_LOAD, model, &part, answer)
            : NULL;
    if (order == NULL) {
        atomic_fetch_sub(&server->fetch_count, 1);
        return NULL;
    }
    order->is_fetch = true;
    order->order.may_put_off = true;
    order->asked = dyno_arena_strdup(order->order.arena, version);
    return order;
}

static enum dyno_status take_version(struct dyno_app_part *part, const struct dyno_v2_param *param,
                                     struct dyno_err *err)
{
    if (param->kind == DYNO_V2_PARAM_TEXT)
        part->version = dyno_model_version_parse(param->text);
    else if (param->kind == DYNO_V2_PARAM_INT && param->integer > 0)
        part->version = (uint64_t)param->integer;
    return part->version != 0
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_ARG, "parameter 'version' must be a whole number above 0");
}

enum dyno_status dyno_app_part_take(struct dyno_app_part *part, const struct dyno_v2_param *param,
                                    struct dyno_err *err)
{
    if (strcmp(param->name, "unload_dependents") == 0) /* no model depends on another */
        return param->kind == DYNO_V2_PARAM_BOOL
                   ? DYNO_OK
                   : DYNO_FAIL(err, DYNO_E_ARG, "parameter 'unload_dependents' must be a boolean");
    if (strcmp(param->name, "version") == 0)
        return take_version(part, param, err);
    if (strcmp(param->name, "variant") != 0)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED,
                         "parameter '%.64s' is not available: models come from the repository as "
                         "it is",
                         param->name);
    if (param->kind != DYNO_V2_PARAM_TEXT || !dyno_model_name_ok(param->text))
        return DYNO_FAIL(err, DYNO_E_ARG, "parameter 'variant' must be the name of a variant");
    part->variant = param->text;
    return DYNO_OK;
}

void dyno_app_order_destroy(struct dyno_app_order *order)
{
    atomic_fetch_sub_explicit(&order->io->open_count, 1, memory_order_relaxed);
    dyno_arena_destroy(order->order.arena);
    dyno_free(order);
}

static void deliver(struct dyno_mail *mail)
{
    struct dyno_app_order *order =
        (struct dyno_app_order *)(void *)((char *)mail - offsetof(struct dyno_app_order, mail));
    order->answer(order);
    dyno_app_order_destroy(order);
}

/* What the next worker starts with; before the client hears of it, on a thread of the manager. */
static void remember(struct dyno_server *server, const struct dyno_order *done)
{
    const struct dyno_wanted_order order = {.model = done->model,
                                            .variant = done->variant,
                                            .version = done->version,
                                            .is_load = done->kind == DYNO_COMMAND_LOAD};
    if (done->status != DYNO_OK || done->kind == DYNO_COMMAND_INDEX)
        return;
    (void)pthread_mutex_lock(&server->wanted_lock);
    const bool is_kept = dyno_wanted_set(dyno_super_wanted(server->super), &order);
    (void)pthread_mutex_unlock(&server->wanted_lock);
    if (!is_kept)
        dyno_log(DYNO_LOG_WARN, "an order about model '%s' is not kept for another worker: %d are",
                 done->model, DYNO_WANTED_MAX);
}

static void on_done(struct dyno_order *done)
{
    struct dyno_app_order *order = (struct dyno_app_order *)(void *)done; /* its first member */
    if (order->is_fetch)
        atomic_fetch_sub(&order->io->server->fetch_count, 1);
    else
        remember(order->io->server, done);
    order->mail.deliver = deliver;
    dyno_loop_post(order->io->loop, &order->mail);
}

void dyno_app_order_send(struct dyno_app_order *order)
{
    order->order.done = on_done;
    dyno_manager_order(order->io->server->manager, &order->order);
}

/* --- what is told of models --- */

enum dyno_status dyno_app_describe(struct dyno_variant *const *variants, size_t count,
                                   struct dyno_arena *arena, struct dyno_v2_model *model_out,
                                   struct dyno_err *err)
{
    DYNO_ASSERT(count > 0);
    const struct dyno_variant *first = variants[0];
    const char **versions = dyno_arena_alloc(arena, count, sizeof(*versions));
    const char **files = dyno_arena_alloc(arena, first->output_count + 1, sizeof(*files));
    if (versions == NULL || files == NULL)
        return DYNO_NOMEM(err);
    for (size_t i = 0; i < first->output_count; i++)
        files[i] = first->labels[i] != NULL ? first->labels[i]->file : "";
    *model_out = (struct dyno_v2_model){.name = first->model,
                                        .versions = versions,
                                        .inputs = first->inputs,
                                        .outputs = first->outputs,
                                        .input_count = first->input_count,
                                        .output_count = first->output_count,
                                        .label_files = files,
                                        .max_batch = first->max_batch,
                                        .instances = first->instance_count};
    for (size_t i = 0; i < count; i++)
        if (i == 0 || strcmp(variants[i]->version, variants[i - 1]->version) != 0)
            versions[model_out->version_count++] = variants[i]->version;
    return DYNO_OK;
}

static uint64_t get(const atomic_uint_fast64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

enum dyno_status dyno_app_stats(struct dyno_variant *variant, struct dyno_arena *arena,
                                struct dyno_v2_stats *stats_out, struct dyno_err *err)
{
    size_t batch_count = 0;
    struct dyno_v2_batch *batches = dyno_arena_alloc(arena, DYNO_BATCH_COSTS + 1, sizeof(*batches));
    const struct dyno_variant_stats *runs = &variant->stats;
    struct dyno_tally sum;
    uint64_t fail_count = 0;
    if (batches == NULL)
        return DYNO_NOMEM(err);
    dyno_variant_sum(variant, -1, &sum);
    const uint64_t count = get(&sum.success_count);
    for (int i = 0; i < DYNO_FAIL_REASONS; i++)
        fail_count += get(&sum.fail_count[i]);
    for (uint64_t size = 1; size <= DYNO_BATCH_COSTS; size++)
        if (get(&runs->batch_count[size]) != 0)
            batches[batch_count++] = (struct dyno_v2_batch){
                .size = size, .infer = {get(&runs->batch_count[size]), get(&runs->batch_ns[size])}};
    *stats_out = (struct dyno_v2_stats){.name = variant->model,
                                        .version = variant->version,
                                        .last_ms = get(&sum.last_ms),
                                        .inference_count = get(&sum.inference_count),
                                        .execution_count = get(&runs->execution_count),
                                        .success = {count, get(&sum.success_ns)},
                                        .fail = {fail_count, get(&sum.fail_ns)},
                                        .queue = {count, get(&sum.queue_ns)},
                                        .input = {count, get(&sum.input_ns)},
                                        .infer = {count, get(&sum.infer_ns)},
                                        .output = {count, get(&sum.output_ns)},
                                        .batches = batches,
                                        .batch_count = batch_count,
                                        .memory_bytes = dyno_variant_bytes(variant)};
    return DYNO_OK;
}
