/* cmd_certify.c - dyno certify: an engine measured against the unoptimised execution, as
 * certificates; verified again; shown. */
#include <stdio.h>
#include <string.h>

#include "base/calendar.h"
#include "cli/certify_job.h"
#include "cli/flags.h"
#include "meter/cert/state.h"

#define AT(field) DYNO_FLAG_AT(dyno_certify_options, field)
static const struct dyno_flag flags[] = {
    {.name = "--onnx",
     .value = "FILE",
     .help = "The model, as MODEL.onnx",
     .kind = DYNO_FLAG_STR,
     AT(onnx)},
    {.name = "--engine",
     .value = "FILE",
     .help = "Engine of the model",
     .kind = DYNO_FLAG_STR,
     AT(engine)},
    {.name = "--out",
     .value = "DIR",
     .help = "Folder for the certificates; default: the engine's, or else this one",
     .kind = DYNO_FLAG_STR,
     AT(out)},
    {.name = "--reference",
     .value = "CERT",
     .help = "Reference certificate to cite; default: the one of this model and device in the "
             "folder, or else a new one",
     .kind = DYNO_FLAG_STR,
     AT(reference)},
    {.name = "--new-reference",
     .help = "Make a new reference certificate though there is one",
     .kind = DYNO_FLAG_BOOL,
     AT(new_reference)},
    {.name = "--verify",
     .value = "CERT",
     .help = "Measure again and say whether this certificate stands (exit code 0), falls (1) or "
             "the machine is too noisy to tell (75)",
     .kind = DYNO_FLAG_STR,
     AT(verify)},
    {.name = "--show",
     .value = "CERT",
     .help = "Check a certificate and print it; with --reference also that one and the pair",
     .kind = DYNO_FLAG_STR,
     AT(show)},
    {.name = "--watch",
     .value = "CERT",
     .help =
         "Look for some seconds whether it still stands (0); suspend it when it has drifted (1)",
     .kind = DYNO_FLAG_STR,
     AT(watch)},
    {.name = "--baseline",
     .value = "FILE",
     .help = "With --watch: the kept unoptimised execution that the certificate names, in place of "
             "the model",
     .kind = DYNO_FLAG_STR,
     AT(baseline)},
    {.name = "--suspend",
     .value = "CERT",
     .help = "From now on the certificate counts for no new requests; it is not changed itself",
     .kind = DYNO_FLAG_STR,
     AT(suspend)},
    {.name = "--reinstate",
     .value = "CERT",
     .help = "A suspended certificate counts again",
     .kind = DYNO_FLAG_STR,
     AT(reinstate)},
    {.name = "--reason",
     .value = "TEXT",
     .help = "Why it is suspended or counts again",
     .kind = DYNO_FLAG_STR,
     AT(reason)},
    DYNO_FLAG_SHAPES(dyno_certify_options, "Shapes to certify; default: the engine's range"),
    DYNO_FLAGS_PROFILE(dyno_certify_options, " to certify"),
    {.name = "--points",
     .value = "INPUT[DIM]:SIZE,...",
     .help = "Sizes of an open dimension to measure at; default: smallest, best, largest",
     .kind = DYNO_FLAG_LIST,
     AT(points)},
    {.name = "--loadInputs",
     .value = "NAME:FILE.npy",
     .help = "Data for the accuracy gate, whose first dimension may be longer than a batch; with "
             "--watch: live data, whose rows are repeated to make a batch",
     .kind = DYNO_FLAG_LIST,
     AT(load_inputs)},
    {.name = "--accuracy",
     .value = "SHARE",
     .help = "Agreement with FP32 that is wanted",
     .kind = DYNO_FLAG_F64,
     AT(accuracy),
     .fallback = 0.99,
     .min = 0.99,
     .max = 1},
    {.name = "--top1",
     .help = "Judge accuracy by the largest element of each row, not by the error",
     .kind = DYNO_FLAG_BOOL,
     AT(top_1)},
    {.name = "--p99",
     .value = "MS",
     .help = "Latency bound of the Server scenario; 0: three times the unoptimised median",
     .kind = DYNO_FLAG_F64,
     AT(p99_ms),
     .fallback = 0,
     .min = 0,
     .max = 1e7},
    {.name = "--attempts",
     .value = "N",
     .help = "Measure again so often when the machine was too noisy; all are kept",
     .kind = DYNO_FLAG_INT,
     AT(attempts),
     .fallback = 2,
     .min = 1,
     .max = DYNO_CERT_ATTEMPTS_MAX},
    {.name = "--processes",
     .value = "N",
     .help = "Fresh processes to measure in, five where nothing is said; more make the intervals "
             "narrower on a machine that others use, too. Not for a trial, which has three",
     .kind = DYNO_FLAG_INT,
     AT(processes),
     .fallback = 0,
     .min = DYNO_CERT_PROCESSES,
     .max = DYNO_CERT_PROCESSES_MAX},
    {.name = "--term-days",
     .value = "N",
     .help = "How long the certificate stands",
     .kind = DYNO_FLAG_INT,
     AT(term_days),
     .fallback = 365,
     .min = 1,
     .max = 3650},
    DYNO_FLAG_DEVICE(dyno_certify_options, "Device to certify on; default: what the engine is for, "
                                           "of GPUs the first"),
    {.name = "--device-class",
     .value = "NAME",
     .help = "Name of the kind of device; default: processor and threads, or the GPU's name",
     .kind = DYNO_FLAG_STR,
     AT(device_class)},
    DYNO_FLAG_THREADS(dyno_certify_options, "Threads of both sides"),
    {.name = "--saveBaseline",
     .value = "FILE",
     .help = "Keep the engine file of the unoptimised execution",
     .kind = DYNO_FLAG_STR,
     AT(save_baseline)},
    {.name = "--keep-baseline",
     .help = "Keep it beside the certificates, named by its hash, where a server finds it",
     .kind = DYNO_FLAG_BOOL,
     AT(keep_baseline)},
    {.name = "--trial",
     .help = "In seconds instead of minutes, too short to be trusted: marked, never billed by",
     .kind = DYNO_FLAG_BOOL,
     AT(trial)},
    {.name = "--svg",
     .value = "FILE",
     .help = "Draw the distributions and s with its interval",
     .kind = DYNO_FLAG_STR,
     AT(svg)},
    {.name = "--factors",
     .value = "FILE",
     .help = "Tie this device to the reference device of this table, by their reference "
             "certificates of the model in one folder; also with --show. A table that is not there "
             "begins with this device",
     .kind = DYNO_FLAG_STR,
     AT(factors)},
    {.name = "--anchor",
     .value = "FILE",
     .help = "With --show: keep what an item takes a framework's default execution, measured by "
             "whoever has it (docs/certificates.md), beside the reference certificate; it is shown "
             "from then on, and never billed by",
     .kind = DYNO_FLAG_STR,
     AT(anchor)},
    DYNO_FLAG_JSON(dyno_certify_options),
};

/* --- states --- */

static void folder_of(const char *path, char *out, size_t bytes)
{
    const char *slash = strrchr(path, '/');
    (void)snprintf(out, bytes, "%.*s", slash == NULL ? 1 : (int)(slash - path),
                   slash == NULL ? "." : path);
}

static void say_state(const struct dyno_cert_state *state, char *out, size_t bytes)
{
    char since[DYNO_TIME_TEXT_ROOM];
    (void)snprintf(out, bytes, "%s since %s%s%s", dyno_cert_state_text(state->kind),
                   dyno_time_text(state->since_s, since), state->reason[0] != 0 ? ": " : "",
                   state->reason);
}

/* Suspend or reinstate: written beside the certificate. */
static enum dyno_status set_state(const struct dyno_certify_options *options,
                                  enum dyno_cert_state_kind kind, struct dyno_err *err)
{
    const char *path = kind == DYNO_CERT_SUSPENDED ? options->suspend : options->reinstate;
    struct dyno_cert_state state = {.kind = kind, .since_s = dyno_now_s()};
    struct dyno_cert *cert = NULL;
    char folder[4096];
    if (options->reason != NULL && strlen(options->reason) >= sizeof(state.reason))
        return DYNO_FAIL(err, DYNO_E_ARG, "--reason: at most %zu bytes", sizeof(state.reason) - 1);
    if (kind == DYNO_CERT_SUSPENDED && options->reason == NULL)
        return DYNO_FAIL(err, DYNO_E_ARG, "--reason=TEXT is missing");
    (void)snprintf(state.reason, sizeof(state.reason), "%s",
                   options->reason != NULL ? options->reason : "");
    DYNO_TRY(dyno_cert_load(path, &cert, err));
    folder_of(path, folder, sizeof(folder));
    const enum dyno_status status = dyno_cert_state_write(cert, folder, &state, err);
    dyno_cert_destroy(cert);
    return status;
}

/* --- show --- */

/* Keep --anchor beside the reference certificate, and read what is kept there. */
static enum dyno_status take_anchor(const struct dyno_certify_options *options,
                                    const struct dyno_cert *reference, const char *path,
                                    struct dyno_arena *arena, struct dyno_anchor *anchor_out,
                                    bool *found_out, struct dyno_err *err)
{
    char folder[4096];
    *found_out = false;
    if (reference == NULL || reference->kind != DYNO_CERT_REFERENCE)
        return options->anchor == NULL
                   ? DYNO_OK
                   : DYNO_FAIL(err, DYNO_E_ARG,
                               "--anchor is kept beside a reference certificate: show that one, or "
                               "give it as --reference");
    folder_of(path, folder, sizeof(folder));
    if (options->anchor != NULL)
        DYNO_TRY(dyno_anchor_keep(reference, options->anchor, folder, err));
    return dyno_anchor_read(reference, folder, arena, anchor_out, found_out, err);
}

/* Everything of it that is there, read and checked. */
struct shown {
    struct dyno_cert *cert, *reference;
    struct dyno_arena *arena;
    struct dyno_anchor anchor;
    bool has_anchor;
};

static enum dyno_status load_shown(const struct dyno_certify_options *options, struct shown *shown,
                                   struct dyno_err *err)
{
    shown->arena = dyno_arena_create();
    if (shown->arena == NULL)
        return DYNO_NOMEM(err);
    DYNO_TRY(dyno_cert_load(options->show, &shown->cert, err));
    if (options->reference != NULL) {
        DYNO_TRY(dyno_cert_load(options->reference, &shown->reference, err));
        DYNO_TRY(dyno_cert_check_pair(shown->cert, shown->reference, err));
    }
    const bool is_pair = options->reference != NULL;
    return take_anchor(options, is_pair ? shown->reference : shown->cert,
                       is_pair ? options->reference : options->show, shown->arena, &shown->anchor,
                       &shown->has_anchor, err);
}

static enum dyno_status tell_shown(const struct dyno_certify_options *options,
                                   const struct shown *shown, struct dyno_err *err)
{
    const struct dyno_anchor *anchor = shown->has_anchor ? &shown->anchor : NULL;
    const bool is_pair = shown->reference != NULL;
    const struct dyno_certify_told told[] = {
        {"reference", shown->reference, options->reference, is_pair ? anchor : NULL},
        {"certificate", shown->cert, options->show, is_pair ? NULL : anchor}};
    struct dyno_cert_state state;
    char folder[4096];
    char verdict[DYNO_CERT_REASON_BYTES + 64];
    folder_of(options->show, folder, sizeof(folder));
    DYNO_TRY(dyno_cert_state_read(shown->cert, folder, dyno_now_s(), &state, err));
    DYNO_TRY(dyno_certify_save_svg(options, shown->cert, err));
    if (shown->cert->outcome == DYNO_CERT_REFUSED)
        (void)snprintf(verdict, sizeof(verdict), "refused: never in force");
    else
        say_state(&state, verdict, sizeof(verdict));
    DYNO_TRY(dyno_certify_tell(options, told, DYNO_COUNT(told), verdict, err));
    return options->factors != NULL
               ? dyno_certify_note_factor(options->factors, shown->cert, folder, err)
               : DYNO_OK;
}

static enum dyno_status show(const struct dyno_certify_options *options, struct dyno_err *err)
{
    struct shown shown = {0};
    enum dyno_status status = load_shown(options, &shown, err);
    if (status == DYNO_OK)
        status = tell_shown(options, &shown, err);
    dyno_cert_destroy(shown.reference);
    dyno_cert_destroy(shown.cert);
    dyno_arena_destroy(shown.arena);
    return status;
}

/* --- the command --- */

/* What would be passed over in silence. */
static enum dyno_status check_processes(const struct dyno_certify_options *options,
                                        struct dyno_err *err)
{
    if (options->processes == 0)
        return DYNO_OK;
    if (options->trial)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "--processes is not for a trial, which is measured in three");
    if (options->show != NULL || options->watch != NULL || options->suspend != NULL ||
        options->reinstate != NULL)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "--processes is for making a certificate and for --verify");
    return DYNO_OK;
}

static enum dyno_status check_reference_alone(const struct dyno_certify_options *options,
                                              struct dyno_err *err)
{
    const char *flag = options->reference != NULL       ? "--reference"
                       : options->load_inputs.count > 0 ? "--loadInputs"
                       : options->top_1                 ? "--top1"
                                                        : NULL;
    return options->engine != NULL || flag == NULL
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_ARG,
                           "%s is for an engine certificate: --engine=FILE is missing", flag);
}

static enum dyno_status run(const void *opaque, struct dyno_err *err)
{
    struct dyno_certify_options options = *(const struct dyno_certify_options *)opaque;
    const char *const modes[] = {options.show, options.verify, options.watch, options.suspend,
                                 options.reinstate};
    uint32_t mode_count = 0;
    for (size_t i = 0; i < DYNO_COUNT(modes); i++)
        mode_count += modes[i] != NULL ? 1 : 0;
    if (mode_count > 1)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "give only one of --show, --verify, --watch, --suspend and --reinstate");
    if (options.anchor != NULL && options.show == NULL)
        return DYNO_FAIL(err, DYNO_E_ARG, "--anchor is for --show");
    DYNO_TRY(check_processes(&options, err));
    if (options.suspend != NULL)
        return set_state(&options, DYNO_CERT_SUSPENDED, err);
    if (options.reinstate != NULL)
        return set_state(&options, DYNO_CERT_IN_FORCE, err);
    if (options.show != NULL)
        return show(&options, err);
    if (options.positional.count > 0 && options.onnx != NULL)
        return DYNO_FAIL(err, DYNO_E_ARG, "the model is given twice");
    if (options.positional.count > 0)
        options.onnx = options.positional.items[0];
    if (options.baseline != NULL && options.watch == NULL)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "--baseline is for --watch: elsewhere the unoptimised execution is built");
    if (options.baseline != NULL && options.onnx != NULL)
        return DYNO_FAIL(err, DYNO_E_ARG, "give either the model or --baseline");
    if (options.onnx == NULL && options.baseline == NULL)
        return DYNO_FAIL(err, DYNO_E_ARG, "MODEL.onnx is missing");
    if (options.watch != NULL)
        return dyno_certify_watch(&options, err);
    if (options.verify != NULL)
        return dyno_certify_verify(&options, err);
    if (options.trial && options.factors != NULL)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "--factors wants more than a trial: nothing is billed by one");
    DYNO_TRY(check_reference_alone(&options, err));
    return dyno_certify_make(&options, err);
}

const struct dyno_command dyno_command_certify = {
    .name = "certify",
    .summary = "Measure an engine against the unoptimised execution, as a certificate",
    .positional = "MODEL.onnx",
    .positional_min = 0,
    .positional_max = 1,
    .text =
        "Builds the unoptimised execution of the model, which nobody may choose, and runs it and "
        "the engine in turn in at least five fresh processes, in blocks of four segments of a "
        "second; the same with the unoptimised execution against itself. Writes a reference "
        "certificate (what an item takes unoptimised) unless there is one to cite, and an engine "
        "certificate (how many times as fast the engine is), both with all samples. Without "
        "--engine the reference certificate alone is made, of the shapes that the flags say: that "
        "is what a factor between devices wants. Exits with 75 when the machine was too noisy and "
        "the certificate is refused, with 1 when the engine's answers are not those of the model.",
    .flags = flags,
    .flag_count = DYNO_COUNT(flags),
    .options_bytes = sizeof(struct dyno_certify_options),
    .run = run,
};
