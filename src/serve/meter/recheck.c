/* recheck.c - certificates in force are looked at again, with live inputs, while nobody is served.
 *
 * A request of a certified shape leaves a copy of its inputs.  When the device has been idle for
 * some seconds, the program dyno runs unoptimised execution and engine back to back on them
 * (`dyno certify --watch`), with what processor time nobody else wants: blocks in which somebody
 * did are dropped by its own rule.  A certificate that has drifted is suspended there, and its
 * engine is adopted anew here: from then on its requests are uncertified.  None of this is ever
 * billed; on the device's account it is idle time.  Certificates of GPUs are not looked at: what
 * runs there beside the child would be in the way of whoever comes.
 */
#include <ftw.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/calendar.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "serve/meter/internal.h"
#include "serve/model/child.h"
#include "serve/model/program.h"

#define SECOND_NS  UINT64_C(1000000000)
#define IDLE_NS    (5 * SECOND_NS)
#define TIMEOUT_NS (600 * SECOND_NS)
#define ENV_MAX    64
#define ARGS_MAX   (DYNO_CERT_INPUTS_MAX + 10)
#define EXIT_BUSY  75 /* of the program: undecided */

enum verdict { STANDS, SUSPENDED, UNDECIDED, FAILED };

struct dyno_recheck {
    pthread_t thread;
    bool has_thread;
    int end_fd; /* can be read: stop */
    char program[PATH_MAX];
    dyno_u128 busy_ns; /* of tenants, when it was looked at last */
    uint64_t idle_since_ns;
    atomic_uint_fast64_t counts[DYNO_CHECK_VERDICTS], run_ns;
};

/* --- when --- */

static bool is_idle(struct dyno_meter *meter, uint64_t now_ns)
{
    struct dyno_recheck *recheck = meter->recheck;
    struct dyno_timeline_sums sums;
    dyno_device_read(meter->options.device, &sums);
    const dyno_u128 busy_ns = sums.tenants_ns + sums.running_ns;
    if (busy_ns != recheck->busy_ns || sums.running_ns != 0)
        recheck->idle_since_ns = now_ns;
    recheck->busy_ns = busy_ns;
    return now_ns - recheck->idle_since_ns >= IDLE_NS;
}

static void path_of(const struct dyno_meter *meter, const struct dyno_cert_hash *hash,
                    const char *end, char *out, size_t room)
{
    char hex[DYNO_CERT_HEX_ROOM];
    dyno_cert_hex(hash, hex);
    (void)snprintf(out, room, "%s/%s%s", meter->options.certificates, hex, end);
}

static bool has_baseline(const struct dyno_meter *meter, const struct dyno_subject *subject)
{
    char path[PATH_MAX];
    path_of(meter, &subject->certificate->baseline, ".engine", path, sizeof(path));
    return access(path, R_OK) == 0;
}

/* Whose time has come, and that has inputs; those without are asked to keep the next ones. */
static struct dyno_subject *next_due(struct dyno_meter *meter, uint64_t now_ns)
{
    struct dyno_subject *due = NULL;
    (void)pthread_mutex_lock(&meter->lock);
    for (struct dyno_subject *at = meter->subjects; at != NULL; at = at->next) {
        /* One of a GPU is not: its device is the child's alone while it serves. */
        if (at->certificate == NULL || !at->is_core)
            continue;
        if (at->check_ns == 0)
            at->check_ns = now_ns + meter->options.recheck_ns;
        if (now_ns < at->check_ns)
            continue;
        if (!has_baseline(meter, at)) {
            dyno_log(DYNO_LOG_DEBUG,
                     "the certificate of '%s' is not looked at: its unoptimised execution was not "
                     "kept beside it (dyno certify --keep-baseline)",
                     at->model);
            at->check_ns = now_ns + meter->options.recheck_ns;
        } else if (atomic_load(&at->sample) == NULL) {
            atomic_store(&at->wants_sample, true);
        } else if (due == NULL) {
            due = at;
        }
    }
    (void)pthread_mutex_unlock(&meter->lock);
    return due;
}

/* --- the variants of an engine --- */

static enum dyno_status take_path(struct dyno_meter *meter, struct dyno_variant *variant, void *arg,
                                  struct dyno_err *err)
{
    (void)meter;
    (void)err;
    (void)snprintf(arg, PATH_MAX, "%s", variant->path);
    return DYNO_OK;
}

/* --- looking --- */

static enum dyno_status run_program(struct dyno_meter *meter, const struct dyno_subject *subject,
                                    const char *engine, const char *folder,
                                    struct dyno_child_end *end, struct dyno_err *err)
{
    const struct dyno_cert *cert = subject->certificate;
    const char *env[ENV_MAX + 1] = {NULL};
    const char *args[ARGS_MAX] = {"dyno", "certify"};
    char watch[PATH_MAX + 16];
    char baseline[PATH_MAX + 16];
    char temp[80];
    size_t count = 2;
    size_t env_count = 0;
    (void)snprintf(watch, sizeof(watch), "--watch=");
    path_of(meter, &cert->address, ".engine.json", watch + strlen(watch), PATH_MAX);
    (void)snprintf(baseline, sizeof(baseline), "--baseline=");
    path_of(meter, &cert->baseline, ".engine", baseline + strlen(baseline), PATH_MAX);
    args[count++] = watch;
    args[count++] = baseline;
    struct dyno_strbuf text = {0};
    dyno_strbuf_printf(&text, "--engine=%s%c--threads=%u%c--device-class=%s%c", engine, 0,
                       cert->threads, 0, cert->device_class, 0);
    for (uint32_t i = 0; i < cert->input_count; i++)
        dyno_strbuf_printf(&text, "--loadInputs=%s:%s/%u.npy%c", cert->inputs[i].name, folder,
                           subject->inputs[i], 0);
    const char *at = dyno_strbuf_text(&text);
    for (uint32_t i = 0; dyno_strbuf_ok(&text) && i < cert->input_count + 3; i++) {
        args[count++] = at;
        at += strlen(at) + 1;
    }
    (void)snprintf(temp, sizeof(temp), "TMPDIR=%s", folder);
    env[env_count++] = temp;
    for (char **item = environ; item != NULL && *item != NULL && env_count < ENV_MAX; item++)
        if (dyno_program_may_know(*item) && strncmp(*item, "TMPDIR=", 7) != 0)
            env[env_count++] = *item;
    const struct dyno_child_options options = {.path = meter->recheck->program,
                                               .args = args,
                                               .env = env,
                                               .timeout_ns = TIMEOUT_NS,
                                               .cancel_fd = meter->recheck->end_fd};
    const enum dyno_status status =
        dyno_strbuf_ok(&text) ? dyno_child_run(&options, end, err) : DYNO_NOMEM(err);
    dyno_strbuf_fini(&text);
    return status;
}

static bool make_folder(char *out, size_t room)
{
    static const char *const places[] = {"/dev/shm/dyno-sample-XXXXXX", "/tmp/dyno-sample-XXXXXX"};
    for (size_t i = 0; i < DYNO_COUNT(places); i++) {
        (void)snprintf(out, room, "%s", places[i]);
        if (mkdtemp(out) != NULL)
            return true;
    }
    out[0] = 0;
    return false;
}

static int drop(const char *path, const struct stat *info, int kind, struct FTW *at)
{
    (void)info;
    (void)at;
    return kind == FTW_DP ? rmdir(path) : unlink(path);
}

/* With what the program left there, which may have been killed. */
static void drop_folder(const char *folder)
{
    (void)nftw(folder, drop, 4, FTW_DEPTH | FTW_PHYS);
}

/* What the program said and wrote. */
static enum verdict judge(const struct dyno_meter *meter, const struct dyno_cert *cert,
                          enum dyno_status status, const struct dyno_child_end *end)
{
    struct dyno_cert_state state;
    if (status == DYNO_OK)
        return STANDS;
    if (end->exit_code == EXIT_BUSY)
        return UNDECIDED;
    if (dyno_cert_state_read(cert, meter->options.certificates, dyno_now_s(), &state, NULL) ==
            DYNO_OK &&
        state.kind == DYNO_CERT_SUSPENDED)
        return SUSPENDED;
    return FAILED;
}

static void conclude(struct dyno_meter *meter, struct dyno_subject *subject, enum verdict verdict,
                     const char *why)
{
    atomic_fetch_add(&meter->recheck->counts[verdict], 1);
    switch (verdict) {
    case STANDS:
        dyno_log(DYNO_LOG_INFO, "the certificate of '%s' stands", subject->model);
        break;
    case SUSPENDED:
        dyno_log(DYNO_LOG_WARN,
                 "the certificate of '%s' has drifted and is suspended: its requests count as "
                 "uncertified from now on",
                 subject->model);
        dyno_meter_reload(meter);
        break;
    case UNDECIDED:
        dyno_log(DYNO_LOG_INFO, "whether the certificate of '%s' stands is undecided: %s",
                 subject->model, why);
        break;
    case FAILED:
        dyno_log(DYNO_LOG_WARN, "the certificate of '%s' could not be looked at: %s",
                 subject->model, why);
        break;
    }
}

static void look_at(struct dyno_meter *meter, struct dyno_subject *subject)
{
    struct dyno_sample *sample = atomic_exchange(&subject->sample, NULL);
    struct dyno_child_end end = {0};
    struct dyno_err err = {0};
    char engine[PATH_MAX] = "";
    char folder[64];
    subject->check_ns = dyno_clock_ns() + meter->options.recheck_ns;
    enum dyno_status status = dyno_meter_each_variant(meter, subject, take_path, engine, &err);
    if (status == DYNO_OK && engine[0] == 0) { /* nobody serves it any more */
        dyno_sample_destroy(sample);
        return;
    }
    if (status == DYNO_OK && !make_folder(folder, sizeof(folder)))
        status = DYNO_FAIL(&err, DYNO_E_IO, "no folder can be made in /dev/shm or /tmp");
    if (status == DYNO_OK) {
        status = dyno_sample_save(sample, folder, &err);
        if (status == DYNO_OK)
            status = run_program(meter, subject, engine, folder, &end, &err);
        drop_folder(folder);
    }
    dyno_sample_destroy(sample);
    atomic_fetch_add(&meter->recheck->run_ns, end.run_ns);
    if (status != DYNO_E_CANCELLED)
        conclude(meter, subject, judge(meter, subject->certificate, status, &end), err.text);
}

/* --- the thread --- */

static void *keep_looking(void *arg)
{
    struct dyno_meter *meter = arg;
    struct pollfd end = {.fd = meter->recheck->end_fd, .events = POLLIN};
    while (poll(&end, 1, 1000) <= 0) {
        const uint64_t now_ns = dyno_clock_ns();
        const bool idle = is_idle(meter, now_ns);
        struct dyno_subject *subject = next_due(meter, now_ns);
        if (subject != NULL && idle)
            look_at(meter, subject);
    }
    return NULL;
}

enum dyno_status dyno_recheck_start(struct dyno_meter *meter, struct dyno_err *err)
{
    if (meter->options.certificates == NULL || meter->options.recheck_ns == 0)
        return DYNO_OK;
    struct dyno_recheck *recheck = dyno_alloc(1, sizeof(*recheck));
    if (recheck == NULL)
        return DYNO_NOMEM(err);
    meter->recheck = recheck;
    recheck->idle_since_ns = dyno_clock_ns();
    dyno_program_find(meter->options.certifier, recheck->program, sizeof(recheck->program));
    (void)signal(SIGCHLD, SIG_DFL); /* ignored ones have no exit code */
    recheck->end_fd = eventfd(0, EFD_CLOEXEC);
    if (recheck->end_fd < 0)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "cannot make an eventfd");
    const int code = pthread_create(&recheck->thread, NULL, keep_looking, meter);
    recheck->has_thread = code == 0;
    return code == 0 ? DYNO_OK
                     : DYNO_FAIL(err, DYNO_E_LIMIT, "cannot start a thread: %s", strerror(code));
}

void dyno_recheck_stop(struct dyno_meter *meter)
{
    struct dyno_recheck *recheck = meter->recheck;
    const uint64_t one = 1;
    if (recheck == NULL)
        return;
    if (recheck->has_thread) {
        (void)!write(recheck->end_fd, &one, sizeof(one));
        (void)pthread_join(recheck->thread, NULL);
    }
    if (recheck->end_fd >= 0)
        (void)close(recheck->end_fd);
    dyno_free(recheck);
    meter->recheck = NULL;
}

void dyno_recheck_read(const struct dyno_meter *meter, struct dyno_meter_figures *figures)
{
    const struct dyno_recheck *recheck = meter->recheck;
    if (recheck == NULL)
        return;
    for (size_t i = 0; i < DYNO_CHECK_VERDICTS; i++)
        figures->check_counts[i] = atomic_load(&recheck->counts[i]);
    figures->check_ns = atomic_load(&recheck->run_ns);
}
