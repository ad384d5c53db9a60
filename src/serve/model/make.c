/* make.c - look into the cache, build, look at what came out. */
#include "serve/model/make.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/strbuf.h"
#include "dyno/engine.h"
#include "serve/model/child.h"

#define LOOK_AGAIN_MS 200 /* for an engine that another process builds, and for a GPU's turn */

static const char *const stage_names[2] = {"baseline", "tuned"};

/* --- telling --- */

void dyno_make_tell(struct dyno_make_shop *shop, const struct dyno_make_job *job,
                    enum dyno_made_stage stage, enum dyno_made_state state, const char *path,
                    const char *reason)
{
    const struct dyno_made made = {.model = job->model,
                                   .version = job->version,
                                   .ticket = job->told_ticket,
                                   .stage = stage,
                                   .state = state,
                                   .path = path,
                                   .reason = reason};
    (void)pthread_mutex_lock(&shop->tell_lock);
    if (!atomic_load(&job->is_cancelled))
        shop->options.told(shop->options.told_arg, &made);
    (void)pthread_mutex_unlock(&shop->tell_lock);
}

/* --- one engine --- */

/* An engine of the cache that can be used is held; one that cannot is taken away. */
static bool hold_good(struct dyno_make_shop *shop, struct dyno_make_job *job,
                      enum dyno_made_stage stage, const struct dyno_engine_key *key)
{
    struct dyno_engine_hold *hold = &job->holds[stage];
    struct dyno_engine *engine = NULL;
    struct dyno_err err = {0};
    dyno_engine_hold_release(hold);
    if (dyno_engine_cache_hold(shop->options.cache, key, hold, &err) != DYNO_OK)
        return false;
    if (dyno_engine_inspect(hold->path, &engine, &err) == DYNO_OK) {
        dyno_engine_close(engine);
        return true;
    }
    dyno_log(DYNO_LOG_WARN, "engine cache: one is built again: %s", err.text);
    dyno_engine_hold_release(hold);
    dyno_engine_cache_remove(shop->options.cache, key);
    return false;
}

static enum dyno_status cancelled(struct dyno_err *err)
{
    return DYNO_FAIL(err, DYNO_E_CANCELLED, "the build was ended");
}

/* A draft of our own, or the engine that another process has built meanwhile. */
static enum dyno_status begin(struct dyno_make_shop *shop, struct dyno_make_job *job,
                              enum dyno_made_stage stage, const struct dyno_engine_key *key,
                              struct dyno_engine_draft *draft_out, struct dyno_err *err)
{
    struct pollfd fd = {.fd = job->cancel_fd, .events = POLLIN};
    for (;;) {
        struct dyno_err reason = {0};
        const enum dyno_status status =
            dyno_engine_cache_begin(shop->options.cache, key, draft_out, &reason);
        if (status == DYNO_OK && hold_good(shop, job, stage, key))
            dyno_engine_cache_abort(shop->options.cache, draft_out);
        if (status == DYNO_OK)
            return DYNO_OK;
        if (status != DYNO_E_BUSY)
            return DYNO_FAIL(err, status, "%s", reason.text);
        (void)poll(&fd, 1, LOOK_AGAIN_MS);
        if (atomic_load(&job->is_cancelled))
            return cancelled(err);
    }
}

/* What the builder said last; of several findings, which come before it, the first, too. */
static enum dyno_status why_not(enum dyno_status status, const struct dyno_err *reason,
                                const struct dyno_child_end *end, struct dyno_err *err)
{
    static const char command[] = "dyno build: ";
    static const char finding[] = "dyno: ";
    if (status == DYNO_E_IO && end->exit_code == dyno_status_exit_code(DYNO_E_UNSUPPORTED))
        status = DYNO_E_UNSUPPORTED;
    const bool is_own = strncmp(reason->text, command, sizeof(command) - 1) == 0;
    const char *last = reason->text + (is_own ? sizeof(command) - 1 : 0);
    if (!is_own || strncmp(end->said_first, finding, sizeof(finding) - 1) != 0)
        return DYNO_FAIL(err, status, "%s", last);
    return DYNO_FAIL(err, status, "%.400s; the first: %.500s", last,
                     end->said_first + sizeof(finding) - 1);
}

static enum dyno_status run_builder(struct dyno_make_shop *shop, struct dyno_make_job *job,
                                    const struct dyno_recipe_way *way, enum dyno_made_stage stage,
                                    const char *engine_path, struct dyno_err *err)
{
    struct dyno_strbuf model = {0};
    struct dyno_strbuf engine = {0};
    struct dyno_child_end end = {0};
    struct dyno_err reason = {0};
    char device[32];
    const char *args[DYNO_RECIPE_ARGS_MAX + 6] = {"dyno", "build"};
    size_t count = 4;
    dyno_strbuf_printf(&model, "--onnx=%s/model.onnx", job->recipe->folder);
    dyno_strbuf_printf(&engine, "--saveEngine=%s", engine_path);
    args[2] = dyno_strbuf_text(&model);
    args[3] = dyno_strbuf_text(&engine);
    for (size_t i = 0; way->args[stage][i] != NULL; i++)
        args[count++] = way->args[stage][i];
    (void)snprintf(device, sizeof(device), "--device=%s", way->device != NULL ? way->device : "");
    if (way->device != NULL)
        args[count++] = device;
    const struct dyno_child_options options = {.path = shop->options.builder,
                                               .args = args,
                                               .env = shop->env,
                                               .timeout_ns = shop->options.timeout_ns,
                                               .cancel_fd = job->cancel_fd};
    enum dyno_status status = dyno_strbuf_ok(&model) && dyno_strbuf_ok(&engine)
                                  ? dyno_child_run(&options, &end, &reason)
                                  : DYNO_NOMEM(&reason);
    dyno_strbuf_fini(&model);
    dyno_strbuf_fini(&engine);
    if (status != DYNO_OK)
        return why_not(status, &reason, &end, err);
    atomic_fetch_add(&shop->counts.build_ns, end.run_ns);
    dyno_log(DYNO_LOG_INFO, "model '%s' version %llu: the %s engine was built in %.1f s",
             job->model, (unsigned long long)job->version, stage_names[stage],
             (double)end.run_ns * 1e-9);
    return DYNO_OK;
}

/* Did the files change since they were summed up?  Then the engine has not the key's name. */
static enum dyno_status check_stamp(struct dyno_make_job *job, struct dyno_err *err)
{
    uint64_t stamp = 0;
    DYNO_TRY(dyno_model_stamp(job->recipe->folder, &stamp, err));
    if (stamp == job->stamp)
        return DYNO_OK;
    job->has_sum = false;
    return DYNO_FAIL(err, DYNO_E_BUSY, "files of '%s' changed while it was built",
                     job->recipe->folder);
}

/* Until nobody else builds for that GPU. */
static enum dyno_status take_turn(struct dyno_make_shop *shop, struct dyno_make_job *job,
                                  const struct dyno_recipe_way *way, struct dyno_err *err)
{
    struct pollfd fd = {.fd = job->cancel_fd, .events = POLLIN};
    while (way->device != NULL && !dyno_make_gpus_take(&shop->gpus, way->device)) {
        (void)poll(&fd, 1, LOOK_AGAIN_MS);
        if (atomic_load(&job->is_cancelled))
            return cancelled(err);
    }
    return DYNO_OK;
}

static enum dyno_status build_draft(struct dyno_make_shop *shop, struct dyno_make_job *job,
                                    const struct dyno_recipe_way *way, enum dyno_made_stage stage,
                                    const char *path, struct dyno_err *err)
{
    DYNO_TRY(take_turn(shop, job, way, err));
    atomic_fetch_add(&shop->counts.running, 1);
    const enum dyno_status status = run_builder(shop, job, way, stage, path, err);
    atomic_fetch_sub(&shop->counts.running, 1);
    if (way->device != NULL)
        dyno_make_gpus_leave(&shop->gpus, way->device);
    return status;
}

static enum dyno_status build(struct dyno_make_shop *shop, struct dyno_make_job *job,
                              const struct dyno_recipe_way *way, enum dyno_made_stage stage,
                              const struct dyno_engine_key *key, struct dyno_err *err)
{
    struct dyno_engine_draft draft;
    DYNO_TRY(begin(shop, job, stage, key, &draft, err));
    if (draft.path == NULL)
        return DYNO_OK;
    enum dyno_status status = build_draft(shop, job, way, stage, draft.path, err);
    atomic_fetch_add(status == DYNO_OK            ? &shop->counts.built
                     : status == DYNO_E_CANCELLED ? &shop->counts.cancelled
                                                  : &shop->counts.failed,
                     1);
    if (status == DYNO_OK)
        status = check_stamp(job, err);
    if (status == DYNO_OK)
        return dyno_engine_cache_commit(shop->options.cache, &draft, &job->holds[stage], err);
    dyno_engine_cache_abort(shop->options.cache, &draft);
    return status;
}

/* --- a version --- */

/* The sum of its files, unless they are those of the last time. */
static enum dyno_status sum_up(struct dyno_make_job *job, struct dyno_err *err)
{
    uint64_t stamp = 0;
    DYNO_TRY(dyno_model_stamp(job->recipe->folder, &stamp, err));
    if (stamp == job->stamp && job->has_failed)
        return DYNO_FAIL(err, job->reason.status, "%s", job->reason.text);
    if (stamp == job->stamp && job->has_sum)
        return DYNO_OK;
    job->has_sum = job->has_failed = false;
    job->stamp = stamp;
    atomic_store(&job->seen_stamp, stamp);
    DYNO_TRY(dyno_model_sum(job->recipe->folder, &job->is_cancelled, job->sum, err));
    DYNO_TRY(check_stamp(job, err));
    job->has_sum = true;
    return DYNO_OK;
}

static void tell_there(struct dyno_make_shop *shop, struct dyno_make_job *job,
                       enum dyno_made_stage stage)
{
    atomic_store(&job->is_there, true);
    dyno_make_tell(shop, job, stage, DYNO_MADE_THERE, job->holds[stage].path, "");
}

/* Which of the recipe's ways it is, and what its engines' keys hold of a GPU ("": none). */
static enum dyno_status choose_way(struct dyno_make_shop *shop, const struct dyno_make_job *job,
                                   const struct dyno_recipe_way **way_out,
                                   char gpu_out[DYNO_MAKE_GPU_TEXT_BYTES], struct dyno_err *err)
{
    const struct dyno_recipe *recipe = job->recipe;
    const struct dyno_make_gpu_asking asking = {
        .builder = shop->options.builder, .env = shop->env, .cancel_fd = job->cancel_fd};
    struct dyno_err reason = {0};
    *way_out = &recipe->ways[0];
    gpu_out[0] = 0;
    if (recipe->ways[0].device == NULL || access(asking.builder, F_OK) != 0)
        return DYNO_OK; /* that it is not there is told with the key */
    const enum dyno_status status =
        dyno_make_gpus_ask(&shop->gpus, &asking, recipe->ways[0].device, gpu_out, &reason);
    if (status == DYNO_OK)
        return DYNO_OK;
    if (status == DYNO_E_CANCELLED || recipe->way_count == 1)
        return DYNO_FAIL(err, status, "%s", reason.text);
    *way_out = &recipe->ways[1];
    gpu_out[0] = 0;
    return DYNO_OK;
}

static enum dyno_status check_way(const struct dyno_recipe_way *way, struct dyno_err *err)
{
    return way->refusal == NULL ? DYNO_OK : DYNO_FAIL(err, DYNO_E_UNSUPPORTED, "%s", way->refusal);
}

/* The engine of a stage that is not in the cache. */
static enum dyno_status make_one(struct dyno_make_shop *shop, struct dyno_make_job *job,
                                 const struct dyno_recipe_way *way, enum dyno_made_stage stage,
                                 const struct dyno_engine_key *key, bool *is_done_out,
                                 struct dyno_err *err)
{
    const bool on_gpu = way->device != NULL;
    struct dyno_err reason = {0};
    char what[64];
    atomic_fetch_add(&shop->counts.miss, 1);
    (void)snprintf(what, sizeof(what), "building the %s engine%s%s", stage_names[stage],
                   on_gpu ? " on " : "", on_gpu ? way->device : "");
    dyno_make_tell(shop, job, stage, DYNO_MADE_BUILDING, "", what);
    const enum dyno_status status = build(shop, job, way, stage, key, &reason);
    if (status == DYNO_E_UNSUPPORTED && on_gpu && stage == DYNO_MADE_BASELINE) {
        dyno_log(DYNO_LOG_INFO, "model '%s' version %llu: it begins with its tuned engine: %s",
                 job->model, (unsigned long long)job->version, reason.text);
        return DYNO_OK;
    }
    if (status != DYNO_OK)
        return DYNO_FAIL(err, status, "%s", reason.text);
    tell_there(shop, job, stage);
    *is_done_out = stage == DYNO_MADE_TUNED;
    return DYNO_OK;
}

static enum dyno_status make(struct dyno_make_shop *shop, struct dyno_make_job *job,
                             enum dyno_made_stage stage, bool *is_done_out, struct dyno_err *err)
{
    const struct dyno_recipe_way *way = NULL;
    struct dyno_engine_key keys[2];
    char gpu[DYNO_MAKE_GPU_TEXT_BYTES];
    DYNO_TRY(check_way(&job->recipe->ways[0], err));
    DYNO_TRY(sum_up(job, err));
    DYNO_TRY(choose_way(shop, job, &way, gpu, err));
    DYNO_TRY(check_way(way, err));
    for (int i = 0; i < 2; i++)
        DYNO_TRY(dyno_engine_key_make(job->sum, way->args[i], gpu, shop->options.builder, &keys[i],
                                      err));
    for (int at = DYNO_MADE_TUNED; at >= (int)stage; at--) {
        if (at == DYNO_MADE_BASELINE && !job->recipe->has_baseline)
            return DYNO_OK;
        if (!hold_good(shop, job, (enum dyno_made_stage)at, &keys[at]))
            continue;
        atomic_fetch_add(&shop->counts.hit, 1);
        tell_there(shop, job, (enum dyno_made_stage)at);
        *is_done_out = at == DYNO_MADE_TUNED;
        return DYNO_OK;
    }
    return make_one(shop, job, way, stage, &keys[stage], is_done_out, err);
}

/* Take FOLDER/ out of a sentence. */
static void strip(char *text, const char *folder)
{
    const size_t bytes = strlen(folder);
    char *at = bytes > 1 ? strstr(text, folder) : NULL;
    while (at != NULL) {
        if (at[bytes] == '/')
            memmove(at, at + bytes + 1, strlen(at + bytes + 1) + 1);
        else
            at += bytes;
        at = strstr(at, folder);
    }
}

/* For clients. */
static void strip_paths(const struct dyno_make_shop *shop, const struct dyno_make_job *job,
                        char *text)
{
    char folder[4096];
    const char *builder = shop->options.builder;
    const char *slash = strrchr(builder, '/');
    (void)snprintf(folder, sizeof(folder), "%.*s", slash != NULL ? (int)(slash - builder) : 0,
                   builder);
    strip(text, job->recipe->folder);
    strip(text, dyno_engine_cache_folder(shop->options.cache));
    strip(text, folder);
}

enum dyno_status dyno_make_step(struct dyno_make_shop *shop, struct dyno_make_job *job,
                                enum dyno_made_stage stage, bool *is_done_out, struct dyno_err *err)
{
    struct dyno_err reason = {0};
    *is_done_out = false;
    const bool had_failed = job->has_failed;
    const enum dyno_status status = make(shop, job, stage, is_done_out, &reason);
    if (status == DYNO_OK && *is_done_out)
        dyno_engine_hold_release(&job->holds[DYNO_MADE_BASELINE]);
    if (status == DYNO_OK)
        return DYNO_OK;
    if (status == DYNO_E_CANCELLED || atomic_load(&job->is_cancelled))
        return cancelled(err);
    if (status == DYNO_E_BUSY) /* of files that change: once more */
        return DYNO_FAIL(err, status, "%s", reason.text);
    if (!had_failed || !job->has_failed)
        dyno_log(DYNO_LOG_WARN, "model '%s' version %llu: the %s engine cannot be built: %s",
                 job->model, (unsigned long long)job->version, stage_names[stage], reason.text);
    strip_paths(shop, job, reason.text);
    job->has_failed = true;
    job->reason = reason;
    dyno_make_tell(shop, job, stage, DYNO_MADE_FAILED, "", reason.text);
    return DYNO_FAIL(err, status, "%s", reason.text);
}
