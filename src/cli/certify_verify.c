/* certify_verify.c - measures again what a certificate says, and judges it. */
#include <math.h>
#include <stdio.h>

#include "base/calendar.h"
#include "cli/certify_job.h"

enum dyno_status dyno_certify_check_subject(const struct dyno_certify_options *options,
                                            const struct dyno_cert *cert,
                                            const struct dyno_cert_hash *model,
                                            struct dyno_err *err)
{
    struct dyno_cert_want want = {.model = model, .now_s = dyno_now_s()};
    struct dyno_cert_hash engine_hash;
    struct dyno_certify_device device;
    struct dyno_certify_options narrowed = *options;
    if (cert->kind != DYNO_CERT_ENGINE)
        narrowed.engine = NULL;
    if (options->engine != NULL && cert->kind == DYNO_CERT_ENGINE) {
        struct dyno_engine *engine = NULL;
        DYNO_TRY(dyno_engine_inspect(options->engine, &engine, err));
        const enum dyno_status status = dyno_engine_identity(engine, engine_hash.bytes, err);
        dyno_engine_close(engine);
        DYNO_TRY(status);
        want.engine = &engine_hash;
    }
    DYNO_TRY(dyno_certify_device(&narrowed, cert, &device, err));
    want.device_class = device.class;
    return dyno_cert_check(cert, &want, err);
}

/* The worst verdict over the points; says each. */
static enum dyno_cert_verdict judge(const struct dyno_cert *cert, const struct dyno_cert *again,
                                    bool is_quiet)
{
    enum dyno_cert_verdict worst = DYNO_CERT_STANDS;
    const struct dyno_cert_point *then = dyno_cert_points(cert);
    const struct dyno_cert_point *now = dyno_cert_points(again);
    for (uint32_t i = 0; i < cert->point_count; i++) {
        const bool is_engine = cert->kind == DYNO_CERT_ENGINE;
        const struct dyno_cert_interval measured =
            is_engine ? now[i].speedup_log
                      : (struct dyno_cert_interval){.lower = log(now[i].item_ns.lower),
                                                    .value = log(now[i].item_ns.value),
                                                    .upper = log(now[i].item_ns.upper)};
        const double certified = is_engine ? then[i].speedup_log.value : log(then[i].item_ns.value);
        const enum dyno_cert_verdict verdict = dyno_cert_equivalence(&measured, certified);
        const double off = expm1(measured.value - certified) * 100.0;
        if (!is_quiet)
            printf("point %u: %s certified %.4g%s, measured %.4g (%.4g to %.4g)%s, %+.2f %%\n",
                   i + 1, is_engine ? "s" : "an item",
                   is_engine ? exp(certified) : exp(certified) * 1e-6, is_engine ? "" : " ms",
                   exp(measured.value) * (is_engine ? 1.0 : 1e-6),
                   exp(measured.lower) * (is_engine ? 1.0 : 1e-6),
                   exp(measured.upper) * (is_engine ? 1.0 : 1e-6), is_engine ? "" : " ms", off);
        if (verdict == DYNO_CERT_FALLS ||
            (verdict == DYNO_CERT_UNDECIDED && worst == DYNO_CERT_STANDS))
            worst = verdict;
    }
    return worst;
}

static enum dyno_status measure_again(struct dyno_certify_job *job, const struct dyno_cert *cert,
                                      struct dyno_err *err)
{
    struct dyno_cert *again = dyno_cert_create(cert->kind);
    if (again == NULL)
        return DYNO_NOMEM(err);
    if (cert->kind == DYNO_CERT_ENGINE)
        job->engine = again;
    else
        job->reference = again;
    job->campaign = (struct dyno_certify_campaign){
        .options = job->options,
        .subject = &job->subject,
        .schedule = dyno_certify_schedule(job->options->trial, job->options->processes),
    };
    DYNO_TRY(dyno_certify_check_threads(job, cert, err));
    DYNO_TRY(dyno_certify_check_baseline(job, cert, err));
    DYNO_TRY(dyno_certify_fill(job->options, &job->subject, again, err));
    again->batch = cert->batch;
    again->sweep = cert->sweep; /* the batch is not asked again */
    again->sweep_count = cert->sweep_count;
    again->reference = cert->reference;
    again->is_trial = job->options->trial || cert->is_trial;
    if (cert->kind == DYNO_CERT_ENGINE) {
        DYNO_TRY(dyno_certify_accuracy(job->options, &job->subject, again, err));
        DYNO_TRY(dyno_certify_gate(job, err));
    }
    return dyno_certify_measure(job, cert->batch, err);
}

static enum dyno_status verdict(const struct dyno_certify_options *options,
                                const struct dyno_cert *cert, const struct dyno_cert *again,
                                struct dyno_err *err)
{
    static const char *const texts[] = {"stands", "falls", "undecided"};
    const struct dyno_certify_told told[] = {{"certified", cert, options->verify, NULL},
                                             {"measured", again, NULL, NULL}};
    const bool refused = again->reason[0] != 0; /* of a trial, too: its control must hold */
    const enum dyno_cert_verdict verdict =
        refused ? DYNO_CERT_UNDECIDED : judge(cert, again, options->json);
    DYNO_TRY(dyno_certify_save_svg(options, again, err));
    if (options->json)
        DYNO_TRY(dyno_certify_tell(options, told, DYNO_COUNT(told), texts[verdict], err));
    if (verdict == DYNO_CERT_STANDS) {
        if (!options->json)
            printf("the certificate stands: the same within %.0f %%%s\n", DYNO_CERT_MARGIN * 100.0,
                   again->is_trial ? " (a trial)" : "");
        return DYNO_OK;
    }
    if (verdict == DYNO_CERT_FALLS)
        return DYNO_FAIL(err, DYNO_E_MISMATCH,
                         "the certificate falls: measured again it is off by more than %.0f %%",
                         DYNO_CERT_MARGIN * 100.0);
    return DYNO_FAIL(err, DYNO_E_BUSY, "undecided, this machine is too noisy: %s",
                     refused ? again->reason : "the interval crosses the margin");
}

enum dyno_status dyno_certify_verify(const struct dyno_certify_options *options,
                                     struct dyno_err *err)
{
    struct dyno_certify_job job = {.options = options, .subject = {.baseline_fd = -1}};
    struct dyno_cert *cert = NULL;
    DYNO_TRY(dyno_session_check_folder(options->svg, err));
    DYNO_TRY(dyno_session_check_folder(options->save_baseline, err));
    enum dyno_status status = dyno_cert_load(options->verify, &cert, err);
    if (status == DYNO_OK && cert->kind == DYNO_CERT_ENGINE && options->engine == NULL)
        status =
            DYNO_FAIL(err, DYNO_E_ARG, "--engine=FILE is missing: it is an engine certificate");
    if (status == DYNO_OK && cert->is_trial && options->processes != 0)
        status = DYNO_FAIL(err, DYNO_E_ARG,
                           "%s is a trial, which is measured in three processes: no --processes",
                           options->verify);
    if (status == DYNO_OK)
        status = dyno_certify_model_hash(options->onnx, &job.model, err);
    if (status == DYNO_OK)
        status = dyno_certify_check_subject(options, cert, &job.model, err);
    struct dyno_certify_options narrowed = *options;
    if (status == DYNO_OK) {
        narrowed.engine = cert->kind == DYNO_CERT_ENGINE ? options->engine : NULL;
        narrowed.trial = options->trial || cert->is_trial;
        job.options = &narrowed;
        status = dyno_certify_subject_open(&narrowed, &job.model, cert, &job.subject, err);
    }
    if (status == DYNO_OK)
        status = measure_again(&job, cert, err);
    if (status == DYNO_OK)
        status = verdict(options, cert, job.engine != NULL ? job.engine : job.reference, err);
    dyno_certify_job_end(&job);
    dyno_cert_destroy(cert);
    return status;
}
