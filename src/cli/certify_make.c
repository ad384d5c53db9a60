/* certify_make.c - measures, judges and saves a reference and an engine certificate. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/calendar.h"
#include "base/clock.h"
#include "base/file.h"
#include "cli/certify_job.h"
#include "meter/cert/store.h"

/* --- output --- */

enum dyno_status dyno_certify_save_svg(const struct dyno_certify_options *options,
                                       const struct dyno_cert *cert, struct dyno_err *err)
{
    struct dyno_strbuf text = {0};
    if (options->svg == NULL)
        return DYNO_OK;
    dyno_certify_svg(cert, &text);
    return dyno_file_write_text(options->svg, &text, err);
}

enum dyno_status dyno_certify_tell(const struct dyno_certify_options *options,
                                   const struct dyno_certify_told *told, uint32_t count,
                                   const char *verdict, struct dyno_err *err)
{
    struct dyno_strbuf text = {0};
    struct dyno_json_writer json = {.out = &text, .indent = 2};
    for (uint32_t i = 0; !options->json && i < count; i++) {
        if (told[i].cert != NULL)
            dyno_certify_report_text(told[i].cert, told[i].path);
        if (told[i].anchor != NULL)
            dyno_certify_anchor_text(told[i].anchor);
    }
    if (!options->json) {
        if (verdict != NULL)
            printf("%s\n", verdict);
        return DYNO_OK;
    }
    dyno_json_object_begin(&json);
    for (uint32_t i = 0; i < count; i++) {
        if (told[i].cert == NULL)
            continue;
        dyno_json_key(&json, told[i].key);
        dyno_certify_report_json(&json, told[i].cert, told[i].path);
        if (told[i].anchor != NULL)
            dyno_certify_anchor_json(&json, told[i].anchor);
    }
    if (verdict != NULL)
        dyno_json_put_str(&json, "verdict", verdict);
    dyno_json_object_end(&json);
    return dyno_cli_print(&text, err);
}

/* --- the reference certificate to cite --- */

static void folder_of(const struct dyno_certify_options *options, char *out, size_t bytes)
{
    const char *slash = options->engine != NULL ? strrchr(options->engine, '/') : NULL;
    if (options->out != NULL)
        (void)snprintf(out, bytes, "%s", options->out);
    else
        (void)snprintf(out, bytes, "%.*s", slash != NULL ? (int)(slash - options->engine) : 1,
                       slash != NULL ? options->engine : ".");
}

/* --- make --- */

#define SCENARIO_BATCH 16 /* the largest of the scenarios */

static void begin(struct dyno_certify_job *job, const char *label, uint64_t steps)
{
    job->campaign.start_ns = dyno_clock_ns();
    job->campaign.steps_done = 0;
    job->campaign.steps_total = steps;
    dyno_progress_begin(&job->campaign.progress, label, steps);
}

enum dyno_status dyno_certify_measure(struct dyno_certify_job *job, uint64_t batch,
                                      struct dyno_err *err)
{
    const struct dyno_certify_schedule *schedule = &job->campaign.schedule;
    const uint64_t blocks = (uint64_t)schedule->processes * schedule->blocks *
                            job->subject.point_count * (job->engine != NULL ? 2 : 1);
    bool refused = true;
    for (int64_t i = 0; refused && i < job->options->attempts; i++) {
        begin(job, i == 0 ? "certifying" : "certifying again", blocks);
        const enum dyno_status status =
            dyno_certify_attempt(&job->campaign, batch, job->reference, job->engine, err);
        dyno_progress_end(&job->campaign.progress);
        DYNO_TRY(status);
        if (job->reference != NULL)
            DYNO_TRY(dyno_cert_derive(job->reference, err));
        if (job->engine != NULL)
            DYNO_TRY(dyno_cert_derive(job->engine, err));
        refused = (job->reference != NULL && job->reference->outcome == DYNO_CERT_REFUSED) ||
                  (job->engine != NULL && job->engine->outcome == DYNO_CERT_REFUSED);
    }
    return DYNO_OK;
}

static enum dyno_status measure_scenarios(struct dyno_certify_job *job, struct dyno_err *err)
{
    begin(job, "single runs", 100);
    const enum dyno_status status = dyno_certify_scenarios(&job->campaign, job->engine, err);
    dyno_progress_end(&job->campaign.progress);
    return status;
}

enum dyno_status dyno_certify_gate(const struct dyno_certify_job *job, struct dyno_err *err)
{
    const struct dyno_cert_accuracy *accuracy = &job->engine->accuracy;
    const uint32_t agreement = dyno_cert_agreement_1e6(accuracy);
    if (agreement < accuracy->class_1e6)
        return DYNO_FAIL(err, DYNO_E_MISMATCH,
                         "refused before it was measured: %s agrees with FP32 to %.4f %%, %.4f %% "
                         "are wanted",
                         job->options->engine, agreement / 1e4, accuracy->class_1e6 / 1e4);
    return DYNO_OK;
}

static enum dyno_status make_reference(struct dyno_certify_job *job, struct dyno_err *err)
{
    job->reference = dyno_cert_create(DYNO_CERT_REFERENCE);
    if (job->reference == NULL)
        return DYNO_NOMEM(err);
    DYNO_TRY(dyno_certify_fill(job->options, &job->subject, job->reference, err));
    DYNO_TRY(dyno_cert_add_earlier(job->folder, job->reference, err));
    begin(job, "batches", 14);
    const enum dyno_status status = dyno_certify_sweep(&job->campaign, job->reference, err);
    dyno_progress_end(&job->campaign.progress);
    return status;
}

/* At which speeds are compared, or the baseline is timed. */
static uint64_t batch_of(const struct dyno_certify_job *job)
{
    const uint64_t batch =
        job->cited != NULL ? job->cited->batch : dyno_cert_sweep_batch(job->reference);
    return batch < (uint64_t)job->subject.batch_max ? batch : (uint64_t)job->subject.batch_max;
}

enum dyno_status dyno_certify_check_threads(const struct dyno_certify_job *job,
                                            const struct dyno_cert *cert, struct dyno_err *err)
{
    if (job->subject.threads != cert->threads)
        return DYNO_FAIL(err, DYNO_E_TARGET,
                         "the certificate was measured with %u threads, here are %u (--threads)",
                         cert->threads, job->subject.threads);
    return DYNO_OK;
}

enum dyno_status dyno_certify_check_baseline(const struct dyno_certify_job *job,
                                             const struct dyno_cert *cert, struct dyno_err *err)
{
    if (!dyno_cert_same(&cert->baseline, &job->subject.baseline_hash))
        return DYNO_FAIL(err, DYNO_E_MISMATCH,
                         "the certificate was measured with another baseline than %s builds of "
                         "this model here (it is by %s on %s)",
                         "dyno " DYNO_VERSION, cert->program, cert->processor);
    return DYNO_OK;
}

/* The term begins when everything is measured. */
static enum dyno_status issue(struct dyno_certify_job *job, struct dyno_err *err)
{
    const int64_t now_s = dyno_now_s();
    if (job->reference != NULL) {
        job->reference->issued_s = now_s;
        DYNO_TRY(dyno_cert_derive(job->reference, err));
    }
    if (job->engine == NULL)
        return DYNO_OK;
    if (job->reference != NULL)
        job->engine->reference = job->reference->address;
    job->engine->issued_s = now_s;
    return dyno_cert_derive(job->engine, err);
}

/* At least the smallest batch that the engine takes: then that many items are a query. */
static int64_t scenario_batch(const struct dyno_certify_job *job, const struct dyno_cert *reference)
{
    const int64_t swept = (int64_t)reference->sweep[reference->sweep_count - 1].batch;
    const int64_t most = swept < SCENARIO_BATCH ? swept : SCENARIO_BATCH;
    return most > job->subject.batch_min ? most : job->subject.batch_min;
}

static enum dyno_status begin_engine(struct dyno_certify_job *job, struct dyno_err *err)
{
    job->engine = dyno_cert_create(DYNO_CERT_ENGINE);
    if (job->engine == NULL)
        return DYNO_NOMEM(err);
    DYNO_TRY(dyno_certify_fill(job->options, &job->subject, job->engine, err));
    DYNO_TRY(dyno_cert_add_earlier(job->folder, job->engine, err));
    DYNO_TRY(dyno_certify_accuracy(job->options, &job->subject, job->engine, err));
    return dyno_certify_gate(job, err);
}

static enum dyno_status measure_all(struct dyno_certify_job *job, struct dyno_err *err)
{
    job->campaign = (struct dyno_certify_campaign){
        .options = job->options,
        .subject = &job->subject,
        .schedule = dyno_certify_schedule(job->options->trial, job->options->processes),
    };
    if (job->options->engine != NULL)
        DYNO_TRY(begin_engine(job, err));
    if (job->cited != NULL) {
        DYNO_TRY(dyno_certify_check_threads(job, job->cited, err));
        DYNO_TRY(dyno_certify_check_baseline(job, job->cited, err));
        job->engine->reference = job->cited->address;
    } else {
        DYNO_TRY(make_reference(job, err));
    }
    const struct dyno_cert *reference = job->cited != NULL ? job->cited : job->reference;
    const uint64_t batch = batch_of(job);
    job->campaign.batch_max = scenario_batch(job, reference);
    if (job->engine != NULL)
        job->engine->batch = batch;
    DYNO_TRY(dyno_certify_measure(job, batch, err));
    if (job->engine != NULL && job->engine->outcome != DYNO_CERT_REFUSED)
        DYNO_TRY(measure_scenarios(job, err));
    return issue(job, err);
}

static enum dyno_status keep_baseline(const struct dyno_certify_job *job, struct dyno_err *err)
{
    struct dyno_strbuf path = {0};
    struct dyno_file_map map = {0};
    char hash[DYNO_CERT_HEX_ROOM];
    dyno_cert_hex(&job->subject.baseline_hash, hash);
    dyno_strbuf_printf(&path, "%s/%s.engine", job->folder, hash);
    enum dyno_status status = dyno_strbuf_ok(&path)
                                  ? dyno_file_map(job->subject.baseline_path, &map, err)
                                  : DYNO_NOMEM(err);
    if (status == DYNO_OK)
        status = dyno_file_write_atomic(dyno_strbuf_text(&path), map.data, map.bytes, err);
    dyno_file_unmap(&map);
    dyno_strbuf_fini(&path);
    return status;
}

/* What whoever measures can do about a refusal. */
static const char *hint_of(const struct dyno_cert *refused)
{
    bool is_wide = false;
    for (uint32_t i = 0; i < refused->point_count; i++) {
        const struct dyno_cert_interval *control = &dyno_cert_points(refused)[i].control_log;
        is_wide = is_wide || control->upper - control->lower >= 2.0 * DYNO_CERT_HALF_WIDTH;
    }
    return is_wide && strcmp(refused->rule, "control") == 0 &&
                   refused->process_count < DYNO_CERT_PROCESSES_MAX
               ? "; more processes make it narrower (--processes)"
               : "";
}

static enum dyno_status save_all(struct dyno_certify_job *job, struct dyno_err *err)
{
    struct dyno_strbuf reference_path = {0};
    struct dyno_strbuf engine_path = {0};
    enum dyno_status status = DYNO_OK;
    if (job->reference != NULL)
        status = dyno_cert_save(job->reference, job->folder, &reference_path, err);
    if (status == DYNO_OK && job->engine != NULL)
        status = dyno_cert_save(job->engine, job->folder, &engine_path, err);
    const struct dyno_cert *judged = job->engine != NULL ? job->engine : job->reference;
    if (status == DYNO_OK)
        status = dyno_certify_save_svg(job->options, judged, err);
    if (status == DYNO_OK && job->options->keep_baseline)
        status = keep_baseline(job, err);
    const struct dyno_certify_told told[] = {
        {"reference", job->reference, dyno_strbuf_text(&reference_path), NULL},
        {"engine", job->engine, dyno_strbuf_text(&engine_path), NULL},
    };
    if (status == DYNO_OK)
        status = dyno_certify_tell(job->options, told, DYNO_COUNT(told), NULL, err);
    if (job->reference != NULL && job->reference->outcome == DYNO_CERT_REFUSED)
        judged = job->reference;
    if (status == DYNO_OK && judged->outcome == DYNO_CERT_REFUSED)
        status = DYNO_FAIL(err, DYNO_E_BUSY, "the %s certificate is refused: %s%s",
                           dyno_cert_kind_text(judged->kind), judged->reason, hint_of(judged));
    if (status == DYNO_OK && job->options->factors != NULL)
        status = dyno_certify_note_factor(job->options->factors,
                                          job->cited != NULL ? job->cited : job->reference,
                                          job->folder, err);
    dyno_strbuf_fini(&reference_path);
    dyno_strbuf_fini(&engine_path);
    return status;
}

void dyno_certify_job_end(struct dyno_certify_job *job)
{
    dyno_cert_destroy(job->engine);
    dyno_cert_destroy(job->reference);
    dyno_certify_subject_close(&job->subject);
    dyno_cert_destroy(job->cited);
}

/* Nothing would be made. */
static enum dyno_status fail_there(const struct dyno_certify_job *job, struct dyno_err *err)
{
    char address[DYNO_CERT_HEX_ROOM];
    dyno_cert_hex(&job->cited->address, address);
    return DYNO_FAIL(err, DYNO_E_ARG,
                     "%s has the reference certificate of this model and device, %.16s...; "
                     "--new-reference makes another one, --engine=FILE an engine certificate",
                     job->folder, address);
}

static enum dyno_status find_cited(struct dyno_certify_job *job, struct dyno_err *err)
{
    const struct dyno_certify_options *options = job->options;
    struct dyno_certify_device device;
    DYNO_TRY(dyno_certify_device(options, NULL, &device, err));
    const struct dyno_cert_want want = {.model = &job->model,
                                        .device_class = device.class,
                                        .now_s = dyno_now_s(),
                                        .to_bill = !options->trial};
    const struct dyno_cert_query query = {
        .kind = DYNO_CERT_REFERENCE, .is_trial = options->trial, .want = want};
    if (options->reference == NULL && !options->new_reference)
        DYNO_TRY(dyno_cert_find(job->folder, &query, &job->cited, err));
    if (options->engine == NULL && job->cited != NULL)
        return fail_there(job, err);
    if (options->reference == NULL)
        return DYNO_OK;
    DYNO_TRY(dyno_cert_load(options->reference, &job->cited, err));
    if (job->cited->kind != DYNO_CERT_REFERENCE)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "%s is an engine certificate, not a reference certificate",
                         options->reference);
    return dyno_cert_check(job->cited, &want, err);
}

enum dyno_status dyno_certify_make(const struct dyno_certify_options *options, struct dyno_err *err)
{
    struct dyno_certify_job job = {.options = options, .subject = {.baseline_fd = -1}};
    folder_of(options, job.folder, sizeof(job.folder));
    if (access(job.folder[0] != 0 ? job.folder : "/", W_OK) != 0)
        return DYNO_FAIL(err, DYNO_E_IO, "cannot write into folder '%s': %s", job.folder,
                         strerror(errno));
    DYNO_TRY(dyno_session_check_folder(options->svg, err));
    DYNO_TRY(dyno_session_check_folder(options->save_baseline, err));
    DYNO_TRY(dyno_certify_model_hash(options->onnx, &job.model, err));
    enum dyno_status status = find_cited(&job, err);
    if (status == DYNO_OK)
        status = dyno_certify_subject_open(options, &job.model, job.cited, &job.subject, err);
    if (status == DYNO_OK)
        status = measure_all(&job, err);
    if (status == DYNO_OK)
        status = save_all(&job, err);
    dyno_certify_job_end(&job);
    return status;
}
