/* write.c - the canonical text of a certificate: no blanks, members in this order, whole numbers,
 * a newline at the end. */
#include <math.h>

#include "base/calendar.h"
#include "base/json.h"
#include "meter/cert/internal.h"

static void hash(struct dyno_json_writer *json, const char *key, const struct dyno_cert_hash *value)
{
    char hex[DYNO_CERT_HEX_ROOM];
    dyno_cert_hex(value, hex);
    dyno_json_put_str(json, key, hex);
}

static void time_text(struct dyno_json_writer *json, const char *key, int64_t value_s)
{
    char room[DYNO_TIME_TEXT_ROOM];
    dyno_json_put_str(json, key, dyno_time_text(value_s, room));
}

static void numbers(struct dyno_json_writer *json, const char *key, const int64_t *values,
                    uint32_t count)
{
    dyno_json_put_array_begin(json, key);
    for (uint32_t i = 0; i < count; i++)
        dyno_json_i64(json, values[i]);
    dyno_json_array_end(json);
}

/* --- samples --- */

static void series(struct dyno_json_writer *json, const char *key,
                   const struct dyno_cert_series *value)
{
    dyno_json_put_array_begin(json, key);
    for (uint32_t p = 0; p < value->count; p++) {
        dyno_json_array_begin(json);
        for (uint32_t b = 0; b < value->processes[p].count; b++) {
            dyno_json_array_begin(json);
            for (int i = 0; i < 4; i++) {
                const struct dyno_cert_segment *s = &value->processes[p].blocks[b].segments[i];
                dyno_json_array_begin(json);
                dyno_json_u64(json, s->items);
                dyno_json_u64(json, s->ns);
                dyno_json_u64(json, s->chain_ns);
                dyno_json_u64(json, s->steal_ns);
                dyno_json_array_end(json);
            }
            dyno_json_array_end(json);
        }
        dyno_json_array_end(json);
    }
    dyno_json_array_end(json);
}

static int64_t whole(double value)
{
    const double most = (double)DYNO_CERT_NUMBER_MAX;
    return (int64_t)fmin(fmax(value, -most), most);
}

/* Ends outward, so that the printed interval holds the derived one. */
static void interval(struct dyno_json_writer *json, const char *key,
                     const struct dyno_cert_interval *value, double scale)
{
    dyno_json_put_array_begin(json, key);
    dyno_json_i64(json, whole(floor(value->lower * scale)));
    dyno_json_i64(json, whole(nearbyint(value->value * scale)));
    dyno_json_i64(json, whole(ceil(value->upper * scale)));
    dyno_json_array_end(json);
}

static void speedup(struct dyno_json_writer *json, const struct dyno_cert_interval *log_value)
{
    const struct dyno_cert_interval ratio = {.lower = exp(log_value->lower),
                                             .value = exp(log_value->value),
                                             .upper = exp(log_value->upper)};
    interval(json, "s_1e6", &ratio, 1e6);
}

static void point(struct dyno_json_writer *json, const struct dyno_cert *cert,
                  const struct dyno_cert_point *value)
{
    dyno_json_object_begin(json);
    numbers(json, "at", value->at, cert->axis_count);
    series(json, "control", &value->control);
    if (cert->kind == DYNO_CERT_ENGINE)
        series(json, "speedup", &value->speedup);
    dyno_json_put_u64(json, "profiled_ns", value->profiled_ns);
    dyno_json_put_u64(json, "opaque_ns", value->opaque_ns);
    dyno_json_put_u64(json, "blocks_kept", value->kept_count);
    dyno_json_put_u64(json, "blocks_dropped", value->dropped_count);
    interval(json, "control_1e6", &value->control_log, 1e6);
    interval(json, "baseline_item_ns", &value->item_ns, 1.0);
    if (cert->kind == DYNO_CERT_ENGINE)
        speedup(json, &value->speedup_log);
    else
        dyno_json_put_u64(json, "t_ref_ns", value->t_ref_ns);
    dyno_json_object_end(json);
}

static void attempts(struct dyno_json_writer *json, const struct dyno_cert *cert)
{
    dyno_json_put_array_begin(json, "attempts");
    for (uint32_t a = 0; a < cert->attempt_count; a++) {
        const struct dyno_cert_attempt *attempt = &cert->attempts[a];
        dyno_json_object_begin(json);
        time_text(json, "begun", attempt->begun_s);
        dyno_json_put_array_begin(json, "points");
        for (uint32_t i = 0; i < cert->point_count; i++)
            point(json, cert, &attempt->points[i]);
        dyno_json_array_end(json);
        dyno_json_put_str(json, "outcome", dyno_cert_outcome_text(attempt->outcome));
        dyno_json_put_str(json, "breaks", attempt->rule);
        dyno_json_object_end(json);
    }
    dyno_json_array_end(json);
}

/* --- what was measured on --- */

static void inputs(struct dyno_json_writer *json, const struct dyno_cert *cert)
{
    dyno_json_put_array_begin(json, "inputs");
    for (uint32_t i = 0; i < cert->input_count; i++) {
        const struct dyno_cert_input *input = &cert->inputs[i];
        dyno_json_object_begin(json);
        dyno_json_put_str(json, "name", input->name);
        dyno_json_put_str(json, "type", input->type);
        numbers(json, "min", input->min, input->rank);
        numbers(json, "opt", input->opt, input->rank);
        numbers(json, "max", input->max, input->rank);
        dyno_json_object_end(json);
    }
    dyno_json_array_end(json);
    dyno_json_put_array_begin(json, "axes");
    for (uint32_t a = 0; a < cert->axis_count; a++) {
        const struct dyno_cert_axis *axis = &cert->axes[a];
        dyno_json_object_begin(json);
        dyno_json_put_array_begin(json, "places");
        for (uint32_t i = 0; i < axis->place_count; i++) {
            dyno_json_array_begin(json);
            dyno_json_u64(json, axis->places[i].input);
            dyno_json_u64(json, axis->places[i].dim);
            dyno_json_array_end(json);
        }
        dyno_json_array_end(json);
        numbers(json, "points", axis->points, axis->point_count);
        dyno_json_object_end(json);
    }
    dyno_json_array_end(json);
}

static void gpu(struct dyno_json_writer *json, const struct dyno_cert_gpu *value)
{
    dyno_json_put_object_begin(json, "gpu");
    dyno_json_put_u64(json, "compute", value->compute);
    dyno_json_put_u64(json, "cuda", value->cuda);
    dyno_json_put_str(json, "driver", value->driver);
    dyno_json_put_u64(json, "multiprocessors", value->multiprocessors);
    dyno_json_put_u64(json, "memory_bytes", value->memory_bytes);
    dyno_json_put_u64(json, "power_limit_mw", value->power_limit_mw);
    dyno_json_put_u64(json, "memory_mhz", value->memory_mhz);
    dyno_json_put_str(json, "libraries", value->libraries);
    dyno_json_put_str(json, "host", value->host);
    dyno_json_put_array_begin(json, "timed_by");
    for (int side = 0; side < 2; side++)
        dyno_json_str(json, value->by_host[side] ? "host" : "events");
    dyno_json_array_end(json);
    dyno_json_object_end(json);
}

static void heading(struct dyno_json_writer *json, const struct dyno_cert *cert)
{
    dyno_json_put_u64(json, "dyno_certificate",
                      cert->gpu.compute != 0 ? DYNO_CERT_VERSION_GPU : DYNO_CERT_VERSION);
    dyno_json_put_str(json, "kind", dyno_cert_kind_text(cert->kind));
    dyno_json_put_str(json, "program", cert->program);
    time_text(json, "issued", cert->issued_s);
    dyno_json_put_u64(json, "term_days", cert->term_days);
    dyno_json_put_bool(json, "trial", cert->is_trial);
    dyno_json_put_object_begin(json, "device");
    dyno_json_put_str(json, "class", cert->device_class);
    dyno_json_put_str(json, "processor", cert->processor);
    dyno_json_put_str(json, "isa", cert->isa);
    dyno_json_put_u64(json, "threads", cert->threads);
    if (cert->gpu.compute != 0)
        gpu(json, &cert->gpu);
    dyno_json_object_end(json);
    dyno_json_put_object_begin(json, "model");
    dyno_json_put_str(json, "name", cert->model_name);
    hash(json, "sha256", &cert->model);
    dyno_json_object_end(json);
    hash(json, "baseline_sha256", &cert->baseline);
    if (cert->kind == DYNO_CERT_ENGINE) {
        dyno_json_put_object_begin(json, "engine");
        hash(json, "sha256", &cert->engine);
        dyno_json_put_str(json, "precision", cert->precision);
        dyno_json_object_end(json);
        hash(json, "reference", &cert->reference);
    }
    inputs(json, cert);
}

static void sweep(struct dyno_json_writer *json, const struct dyno_cert *cert)
{
    dyno_json_put_array_begin(json, "sweep");
    for (uint32_t i = 0; i < cert->sweep_count; i++) {
        dyno_json_array_begin(json);
        dyno_json_u64(json, cert->sweep[i].batch);
        dyno_json_u64(json, cert->sweep[i].items);
        dyno_json_u64(json, cert->sweep[i].ns);
        dyno_json_array_end(json);
    }
    dyno_json_array_end(json);
}

/* --- accuracy and scenarios --- */

static void accuracy(struct dyno_json_writer *json, const struct dyno_cert_accuracy *value)
{
    dyno_json_put_object_begin(json, "accuracy");
    dyno_json_put_str(json, "data", value->is_given ? "given" : "made up");
    dyno_json_put_str(json, "judged_by", value->by_top_1 ? "top-1" : "error");
    dyno_json_put_u64(json, "class_1e6", value->class_1e6);
    dyno_json_put_array_begin(json, "outputs");
    for (uint32_t i = 0; i < value->output_count; i++) {
        const struct dyno_cert_output *output = &value->outputs[i];
        dyno_json_object_begin(json);
        dyno_json_put_str(json, "name", output->name);
        dyno_json_put_u64(json, "rows", output->rows);
        dyno_json_put_u64(json, "elements", output->elements);
        dyno_json_put_u64(json, "error_1e9", output->error_1e9);
        dyno_json_put_u64(json, "same_top_1", output->same_top_1);
        dyno_json_object_end(json);
    }
    dyno_json_array_end(json);
    dyno_json_put_u64(json, "agreement_1e6", value->agreement_1e6);
    dyno_json_object_end(json);
}

/* Baseline and engine; null where 0 says that there is no such number. */
static void both(struct dyno_json_writer *json, const char *key, const uint64_t values[2])
{
    dyno_json_put_array_begin(json, key);
    for (int i = 0; i < 2; i++) {
        if (values[i] == 0)
            dyno_json_null(json);
        else
            dyno_json_u64(json, values[i]);
    }
    dyno_json_array_end(json);
}

static void scenarios(struct dyno_json_writer *json, const struct dyno_cert_scenarios *value)
{
    static const char *const sides[] = {"baseline_ns", "engine_ns"};
    dyno_json_put_object_begin(json, "scenarios");
    dyno_json_put_u64(json, "bound_ns", value->bound_ns);
    dyno_json_put_array_begin(json, "runs");
    for (uint32_t r = 0; r < value->row_count; r++) {
        const struct dyno_cert_row *row = &value->rows[r];
        dyno_json_object_begin(json);
        dyno_json_put_u64(json, "batch", row->batch);
        for (int side = 0; side < 2; side++) {
            dyno_json_put_array_begin(json, sides[side]);
            for (uint32_t i = 0; i < row->counts[side]; i++)
                dyno_json_u64(json, row->run_ns[side][i]);
            dyno_json_array_end(json);
        }
        dyno_json_object_end(json);
    }
    dyno_json_array_end(json);
    both(json, "single_stream_p90_ns", value->single_stream_p90_ns);
    both(json, "multi_stream_p99_ns", value->multi_stream_p99_ns);
    both(json, "offline_items_1e6", value->offline_1e6);
    both(json, "server_queries_1e6", value->server_1e6);
    both(json, "server_batch", value->server_batch);
    if (value->slo_1e6 != 0) {
        dyno_json_put_u64(json, "s_slo_1e6", value->slo_1e6);
    } else {
        dyno_json_key(json, "s_slo_1e6");
        dyno_json_null(json);
    }
    dyno_json_object_end(json);
}

/* Of the whole card, whoever used it meanwhile: an estimate. */
static void energy(struct dyno_json_writer *json, const struct dyno_cert_energy *value)
{
    static const char *const sides[] = {"baseline", "engine"};
    dyno_json_key(json, "energy");
    if (value->items[0] == 0) {
        dyno_json_null(json);
        return;
    }
    dyno_json_object_begin(json);
    dyno_json_put_bool(json, "estimate", true);
    for (int side = 0; side < 2; side++) {
        dyno_json_put_array_begin(json, sides[side]);
        dyno_json_u64(json, value->items[side]);
        dyno_json_u64(json, value->millijoules[side]);
        dyno_json_array_end(json);
    }
    dyno_json_put_array_begin(json, "item_uj");
    for (int side = 0; side < 2; side++)
        dyno_json_u64(json, value->item_uj[side]);
    dyno_json_array_end(json);
    dyno_json_object_end(json);
}

void dyno_cert_text(const struct dyno_cert *cert, struct dyno_strbuf *text_out)
{
    struct dyno_json_writer json = {.out = text_out, .indent = -1};
    dyno_json_object_begin(&json);
    heading(&json, cert);
    if (cert->kind == DYNO_CERT_REFERENCE)
        sweep(&json, cert);
    dyno_json_put_u64(&json, "batch", cert->batch);
    dyno_json_put_u64(&json, "processes", cert->process_count);
    dyno_json_put_u64(&json, "blocks", cert->block_count);
    dyno_json_put_u64(&json, "segment_ns", cert->segment_ns);
    dyno_json_put_array_begin(&json, "earlier");
    for (uint32_t i = 0; i < cert->earlier_count; i++) {
        char hex[DYNO_CERT_HEX_ROOM];
        dyno_cert_hex(&cert->earlier[i], hex);
        dyno_json_str(&json, hex);
    }
    dyno_json_array_end(&json);
    attempts(&json, cert);
    if (cert->kind == DYNO_CERT_ENGINE) {
        accuracy(&json, &cert->accuracy);
        scenarios(&json, &cert->scenarios);
        energy(&json, &cert->energy);
        dyno_json_put_array_begin(&json, "s_1e6");
        for (int i = 0; i < 3; i++)
            dyno_json_u64(&json, cert->speedup_1e6[i]);
        dyno_json_array_end(&json);
    }
    dyno_json_put_str(&json, "outcome", dyno_cert_outcome_text(cert->outcome));
    dyno_json_put_str(&json, "breaks", cert->rule);
    dyno_json_object_end(&json);
    dyno_strbuf_puts(text_out, "\n");
}
