/* spending.c - budgets of calls. */
#include "serve/app/spending.h"

#include "serve/sched/form.h"

enum dyno_status dyno_server_open_quota(struct dyno_server *server, struct dyno_err *err)
{
    const struct dyno_serve_options *options = &server->options;
    const struct dyno_quota_options quota = {.control_db = options->control_db,
                                             .budget_db = options->budget_db,
                                             .tariffs = options->tariffs,
                                             .ledger = options->ledger,
                                             .certificates = options->certificates,
                                             .factors = options->factors,
                                             .node = options->node};
    return dyno_quota_create(&quota, &server->quota, err);
}

enum dyno_status dyno_server_start_quota(struct dyno_server *server, struct dyno_err *err)
{
    return server->meter != NULL
               ? dyno_quota_start(server->quota, dyno_meter_epoch(server->meter), err)
               : DYNO_OK;
}

void dyno_server_close_quota(struct dyno_server *server)
{
    dyno_quota_destroy(server->quota);
    server->quota = NULL;
}

/* What a run of its own would take of all cores, or of its GPU: the scheduler's prediction.  In
 * company it takes less. */
static uint64_t predict_core_ns(const struct dyno_call *call)
{
    const struct dyno_server *server = call->io->server;
    const struct dyno_task *task = &call->task;
    struct dyno_cost_key key;
    const int64_t rows = dyno_variant_rows(task->variant, task->inputs, &key);
    const uint64_t run_ns = dyno_variant_predict(task->variant, &key, rows);
    const uint64_t lanes = (uint64_t)server->options.lanes;
    if (task->variant->device != 0)
        return run_ns;
    const uint64_t threads = (server->device.timeline.capacity + lanes - 1) / lanes;
    return run_ns * (threads > 0 ? threads : 1);
}

static enum dyno_status keep_fields(struct dyno_call *call,
                                    const struct dyno_quota_refusal *refusal,
                                    enum dyno_status status)
{
    call->task.retry_ns = refusal->retry_s * UINT64_C(1000000000);
    if (refusal->policy[0] == 0)
        return status;
    call->limit_policy = dyno_arena_strdup(call->arena, refusal->policy);
    call->limit = dyno_arena_strdup(call->arena, refusal->limit);
    return status;
}

enum dyno_status dyno_call_may_spend(struct dyno_call *call)
{
    const struct dyno_server *server = call->io->server;
    struct dyno_quota_refusal refusal = {0};
    /* Where nothing is loaded by asking, the reservation says the same. */
    if (!server->options.on_demand || !dyno_guest_has_budgets(call->guest))
        return DYNO_OK;
    const struct dyno_spend spend = {.model = call->infer.model,
                                     .class_name = server->classes.rows[call->task.class_idx].name,
                                     .start_ns = dyno_call_came_ns(call)};
    const enum dyno_status status = dyno_guest_has_left(call->guest, &spend, &refusal, &call->err);
    return status == DYNO_OK ? DYNO_OK : keep_fields(call, &refusal, status);
}

enum dyno_status dyno_call_reserve(struct dyno_call *call)
{
    const struct dyno_server *server = call->io->server;
    struct dyno_quota_refusal refusal = {0};
    struct dyno_meter_quote quote = {.precision = "", .speed_up_ppm = DYNO_PPM};
    if (!dyno_guest_has_budgets(call->guest))
        return DYNO_OK;
    const uint64_t core_ns = predict_core_ns(call);
    if (server->meter != NULL)
        dyno_meter_quote(call->task.variant, call->task.inputs, core_ns, &quote);
    const struct dyno_spend spend = {.model = call->task.variant->model,
                                     .class_name = server->classes.rows[call->task.class_idx].name,
                                     .class_idx = call->task.class_idx,
                                     .subject = quote.subject,
                                     .precision = quote.precision,
                                     .speed_up_ppm = quote.speed_up_ppm,
                                     .device_class = quote.device_class,
                                     .reference_ns = quote.reference_ns,
                                     .core_ns = core_ns,
                                     .is_device = call->task.variant->device != 0,
                                     .start_ns = dyno_call_came_ns(call)};
    const enum dyno_status status =
        dyno_guest_reserve(call->guest, &spend, &call->reservation, &refusal, &call->err);
    return status == DYNO_OK ? DYNO_OK : keep_fields(call, &refusal, status);
}
