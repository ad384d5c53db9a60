/* certify_watch.c - a quick look whether a certificate still stands: short blocks back to back
 * until the sequential test decides; one that has drifted is suspended. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/calendar.h"
#include "cli/certify_job.h"
#include "meter/cert/state.h"

#define PILOT 12 /* ratios that tell how much they vary */
#define CLIP  4.0

struct watching {
    const struct dyno_cert *cert;
    double certified; /* log */
    double first[PILOT];
    uint32_t count;
    double sum, spread;
    struct dyno_cert_watch watch;
    enum dyno_cert_verdict verdict;
};

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median_of(double *values, uint32_t count)
{
    qsort(values, count, sizeof(*values), by_value);
    return (values[(count - 1) / 2] + values[count / 2]) / 2.0;
}

/* Standard deviation of the first ratios, from the median distance to their median: one block in
 * which something else ran says nothing of the others.  Never so small that a single one decides.
 */
static double spread_of(const double *values)
{
    double sorted[PILOT];
    memcpy(sorted, values, sizeof(sorted));
    const double middle = median_of(sorted, PILOT);
    for (uint32_t i = 0; i < PILOT; i++)
        sorted[i] = fabs(values[i] - middle);
    return fmax(1.4826 * median_of(sorted, PILOT), 0.01);
}

/* A ratio for the test: no further from what is certified than CLIP spreads. */
static double clipped(const struct watching *watching, double ratio)
{
    const double most = CLIP * watching->spread;
    return watching->certified + fmin(fmax(ratio - watching->certified, -most), most);
}

/* A decision ends the worker: E_CANCELLED. */
static enum dyno_status on_block(void *arg, const struct dyno_cert_block *block,
                                 struct dyno_err *err)
{
    struct watching *watching = arg;
    if (!dyno_cert_block_counts(watching->cert, block))
        return DYNO_OK;
    const double ratio = dyno_cert_block_log_ratio(block);
    watching->sum += ratio;
    watching->count++;
    if (watching->count <= PILOT)
        watching->first[watching->count - 1] = ratio;
    if (watching->count < PILOT)
        return DYNO_OK;
    const bool is_pilot = watching->count == PILOT;
    if (is_pilot)
        watching->spread = spread_of(watching->first);
    for (uint32_t i = 0; i < (is_pilot ? PILOT : 1); i++) {
        const double next = clipped(watching, is_pilot ? watching->first[i] : ratio);
        watching->verdict =
            dyno_cert_watch_add(&watching->watch, next, watching->certified, watching->spread);
        if (watching->verdict != DYNO_CERT_UNDECIDED)
            return DYNO_FAIL(err, DYNO_E_CANCELLED, "decided");
    }
    return DYNO_OK;
}

static enum dyno_status suspend(const struct dyno_certify_options *options,
                                const struct watching *watching, struct dyno_err *err)
{
    char folder[4096];
    const char *slash = strrchr(options->watch, '/');
    struct dyno_cert_state state = {.kind = DYNO_CERT_SUSPENDED, .since_s = dyno_now_s()};
    (void)snprintf(folder, sizeof(folder), "%.*s",
                   slash == NULL ? 1 : (int)(slash - options->watch),
                   slash == NULL ? "." : options->watch);
    (void)snprintf(state.reason, sizeof(state.reason),
                   "it drifted: s is %.4f after %u blocks, certified is %.4f",
                   exp(watching->sum / watching->count), watching->count, exp(watching->certified));
    return dyno_cert_state_write(watching->cert, folder, &state, err);
}

static enum dyno_status tell(const struct dyno_certify_options *options,
                             const struct watching *watching, struct dyno_err *err)
{
    static const char *const texts[] = {"stands", "falls", "undecided"};
    const double again = watching->count > 0 ? exp(watching->sum / watching->count) : NAN;
    struct dyno_strbuf text = {0};
    struct dyno_json_writer json = {.out = &text, .indent = 2};
    dyno_json_object_begin(&json);
    dyno_json_put_str(&json, "verdict", texts[watching->verdict]);
    dyno_json_put_u64(&json, "blocks", watching->count);
    dyno_json_put_f64(&json, "certified", exp(watching->certified));
    dyno_json_put_f64(&json, "measured", again);
    dyno_json_object_end(&json);
    const bool ok = dyno_strbuf_ok(&text);
    if (options->json && ok)
        printf("%s\n", dyno_strbuf_text(&text));
    else if (ok)
        printf("s certified %.4f, now %.4f after %u blocks\n", exp(watching->certified), again,
               watching->count);
    dyno_strbuf_fini(&text);
    if (!ok)
        return DYNO_NOMEM(err);
    if (watching->verdict == DYNO_CERT_STANDS)
        return DYNO_OK;
    if (watching->verdict == DYNO_CERT_UNDECIDED)
        return DYNO_FAIL(err, DYNO_E_BUSY, "undecided after %u blocks, this machine is too noisy",
                         watching->count);
    DYNO_TRY(suspend(options, watching, err));
    return DYNO_FAIL(err, DYNO_E_MISMATCH,
                     "the certificate is suspended: it is off by %.0f %% or more",
                     DYNO_CERT_MARGIN * 100.0);
}

static enum dyno_status watch_it(struct dyno_certify_job *job, const struct dyno_cert *cert,
                                 struct dyno_err *err)
{
    struct watching watching = {.cert = cert, .verdict = DYNO_CERT_UNDECIDED};
    struct dyno_err stopped = {0};
    job->campaign = (struct dyno_certify_campaign){
        .options = job->options,
        .subject = &job->subject,
        .schedule = dyno_certify_schedule(cert->is_trial, cert->process_count),
    };
    DYNO_TRY(dyno_certify_check_threads(job, cert, err));
    DYNO_TRY(dyno_certify_check_baseline(job, cert, err));
    struct dyno_certify_look look = {.batch = cert->batch,
                                     .point = dyno_certify_best_point(&job->subject),
                                     .fn = on_block,
                                     .arg = &watching};
    struct dyno_certify_live live = {0};
    if (job->options->load_inputs.count > 0)
        DYNO_TRY(dyno_certify_live_open(job->options, &job->subject, cert->batch, &live, err));
    if (live.inputs.count > 0) {
        look.point = live.point;
        look.inputs = &live.inputs;
    }
    watching.certified = dyno_cert_points(cert)[look.point].speedup_log.value;
    const enum dyno_status status = dyno_certify_blocks(&job->campaign, &look, &stopped);
    dyno_certify_live_close(&live);
    if (status != DYNO_OK && status != DYNO_E_CANCELLED) {
        if (err != NULL)
            *err = stopped;
        return status;
    }
    return tell(job->options, &watching, err);
}

enum dyno_status dyno_certify_watch(const struct dyno_certify_options *options,
                                    struct dyno_err *err)
{
    struct dyno_certify_job job = {.options = options, .subject = {.baseline_fd = -1}};
    struct dyno_cert *cert = NULL;
    enum dyno_status status = dyno_cert_load(options->watch, &cert, err);
    if (status == DYNO_OK && cert->kind != DYNO_CERT_ENGINE)
        status = DYNO_FAIL(err, DYNO_E_ARG, "%s is a reference certificate: an engine's is watched",
                           options->watch);
    if (status == DYNO_OK && options->engine == NULL)
        status = DYNO_FAIL(err, DYNO_E_ARG, "--engine=FILE is missing");
    if (status == DYNO_OK && options->onnx != NULL)
        status = dyno_certify_model_hash(options->onnx, &job.model, err);
    else if (status == DYNO_OK)
        job.model = cert->model; /* the baseline that the certificate names is of this one */
    if (status == DYNO_OK)
        status = dyno_certify_check_subject(options, cert, &job.model, err);
    if (status == DYNO_OK)
        status = dyno_certify_subject_open(options, &job.model, cert, &job.subject, err);
    if (status == DYNO_OK)
        status = watch_it(&job, cert, err);
    dyno_certify_job_end(&job);
    dyno_cert_destroy(cert);
    return status;
}
