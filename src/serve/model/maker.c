/* maker.c - the queue of builds and its threads. */
#include "serve/model/maker.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cpus.h"
#include "base/mem.h"
#include "base/strbuf.h"
#include "serve/model/make.h"
#include "serve/model/program.h"

#define NICENESS      10 /* of who reads models; builders have less */
#define ENV_MAX       64
#define LOOK_AGAIN_MS 1000 /* at files that change while they are read */

struct worker {
    struct dyno_maker *maker;
    pthread_t thread;
    int cancel_fd;
    bool has_thread;
};

struct dyno_maker {
    struct dyno_make_shop shop;
    const char *env[ENV_MAX + 1];
    char *builder;

    pthread_mutex_t lock;
    pthread_cond_t work;
    struct dyno_make_job *jobs; /* in the order of their first wish */
    uint64_t last_ticket;
    struct worker workers[DYNO_MAKER_JOBS_MAX];
    int idle_count;
    bool is_ending;
};

/* --- making it --- */

static bool copy_env(struct dyno_maker *maker)
{
    size_t count = 0;
    for (char **at = environ; at != NULL && *at != NULL && count < ENV_MAX; at++) {
        if (!dyno_program_may_know(*at))
            continue;
        maker->env[count] = dyno_strdup(*at);
        if (maker->env[count++] == NULL)
            return false;
    }
    maker->shop.env = maker->env;
    return true;
}

enum dyno_status dyno_maker_create(const struct dyno_maker_options *options,
                                   struct dyno_maker **maker_out, struct dyno_err *err)
{
    *maker_out = NULL;
    struct dyno_maker *maker = dyno_alloc(1, sizeof(*maker));
    if (maker == NULL)
        return DYNO_NOMEM(err);
    (void)pthread_mutex_init(&maker->lock, NULL);
    (void)pthread_cond_init(&maker->work, NULL);
    (void)pthread_mutex_init(&maker->shop.tell_lock, NULL);
    dyno_make_gpus_init(&maker->shop.gpus);
    (void)signal(SIGCHLD, SIG_DFL); /* ignored ones have no exit code */
    maker->shop.options = *options;
    if (maker->shop.options.thread_count == 0)
        maker->shop.options.thread_count = dyno_cpus_allowed_count();
    for (int i = 0; i < DYNO_MAKER_JOBS_MAX; i++)
        maker->workers[i] = (struct worker){.maker = maker, .cancel_fd = -1};
    maker->builder = dyno_strdup(options->builder);
    maker->shop.options.builder = maker->builder;
    if (maker->builder == NULL || !copy_env(maker)) {
        dyno_maker_destroy(maker);
        return DYNO_NOMEM(err);
    }
    *maker_out = maker;
    return DYNO_OK;
}

/* --- jobs, under the lock --- */

static void destroy_job(struct dyno_make_job *job)
{
    for (int i = 0; i < 2; i++)
        dyno_engine_hold_release(&job->holds[i]);
    dyno_recipe_destroy(job->recipe);
    dyno_recipe_destroy(job->next_recipe);
    dyno_free(job->model);
    dyno_free(job);
}

static struct dyno_make_job *find(const struct dyno_maker *maker, const char *model,
                                  uint64_t version)
{
    for (struct dyno_make_job *at = maker->jobs; at != NULL; at = at->next)
        if (at->version == version && strcmp(at->model, model) == 0)
            return at;
    return NULL;
}

static void cancel(struct dyno_make_job *job)
{
    const uint64_t one = 1;
    if (!job->is_running || atomic_exchange(&job->is_cancelled, true))
        return;
    (void)!write(job->cancel_fd, &one, sizeof(one));
}

/* Begin anew, with the recipe that came meanwhile if one did. */
static void restart(struct dyno_maker *maker, struct dyno_make_job *job)
{
    if (job->next_recipe != NULL) {
        dyno_recipe_destroy(job->recipe);
        job->recipe = job->next_recipe;
        job->next_recipe = NULL;
        job->has_failed = false;
        job->has_sum = false;
    }
    job->has_failed = job->has_failed && !job->try_again;
    job->try_again = false;
    atomic_store(&job->is_there, false);
    atomic_store(&job->seen_stamp, 0);
    job->stage = DYNO_MADE_BASELINE;
    job->is_waiting = true;
    (void)pthread_cond_signal(&maker->work);
}

/* Baselines first, then whoever waits longest. */
static struct dyno_make_job *pick(const struct dyno_maker *maker)
{
    struct dyno_make_job *best = NULL;
    for (struct dyno_make_job *at = maker->jobs; at != NULL; at = at->next)
        if (at->is_waiting && (best == NULL || at->stage < best->stage))
            best = at;
    return best;
}

/* --- the threads --- */

/* After a step, under the lock again. */
static void put_back(struct dyno_maker *maker, struct dyno_make_job *job, enum dyno_status status,
                     bool is_done)
{
    job->is_running = false;
    if (job->is_dropped) {
        destroy_job(job);
        return;
    }
    if (maker->is_ending)
        return;
    if (job->next_recipe != NULL || job->try_again || status == DYNO_E_BUSY)
        restart(maker, job);
    else if (status == DYNO_OK && !is_done) {
        job->stage = DYNO_MADE_TUNED;
        job->is_waiting = true;
    }
}

static void do_step(struct worker *worker, struct dyno_make_job *job)
{
    struct dyno_maker *maker = worker->maker;
    struct pollfd fd = {.fd = worker->cancel_fd, .events = POLLIN};
    struct dyno_err err = {0};
    uint64_t count = 0;
    bool is_done = false;
    const enum dyno_made_stage stage = job->stage;
    (void)!read(worker->cancel_fd, &count, sizeof(count)); /* of a job before */
    job->is_waiting = false;
    job->is_running = true;
    job->cancel_fd = worker->cancel_fd;
    job->told_ticket = job->ticket;
    atomic_store(&job->is_cancelled, false);
    (void)pthread_mutex_unlock(&maker->lock);
    const enum dyno_status status = dyno_make_step(&maker->shop, job, stage, &is_done, &err);
    if (status == DYNO_E_BUSY)
        (void)poll(&fd, 1, LOOK_AGAIN_MS);
    (void)pthread_mutex_lock(&maker->lock);
    put_back(maker, job, status, is_done);
}

static void *work(void *arg)
{
    struct worker *worker = arg;
    struct dyno_maker *maker = worker->maker;
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICENESS);
    (void)pthread_mutex_lock(&maker->lock);
    while (!maker->is_ending) {
        struct dyno_make_job *job = pick(maker);
        if (job != NULL) {
            do_step(worker, job);
            continue;
        }
        maker->idle_count++;
        (void)pthread_cond_wait(&maker->work, &maker->lock);
        maker->idle_count--;
    }
    (void)pthread_mutex_unlock(&maker->lock);
    return NULL;
}

/* One more thread, if all are busy and there may be one; with one at least the queue moves. */
static enum dyno_status start_worker(struct dyno_maker *maker, struct dyno_err *err)
{
    int count = 0;
    while (count < maker->shop.options.job_max && maker->workers[count].has_thread)
        count++;
    if (maker->idle_count > 0 || count == maker->shop.options.job_max)
        return DYNO_OK;
    struct worker *worker = &maker->workers[count];
    if (worker->cancel_fd < 0)
        worker->cancel_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int code = worker->cancel_fd < 0 ? errno : 0;
    if (code == 0)
        code = pthread_create(&worker->thread, NULL, work, worker);
    worker->has_thread = code == 0;
    return code == 0 || count > 0
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_LIMIT, "cannot start a thread: %s", strerror(code));
}

/* --- wishes --- */

static struct dyno_make_job *add_job(struct dyno_maker *maker, const char *model, uint64_t version)
{
    struct dyno_make_job *job = dyno_alloc(1, sizeof(*job));
    if (job == NULL)
        return NULL;
    job->model = dyno_strdup(model);
    job->version = version;
    if (job->model == NULL) {
        dyno_free(job);
        return NULL;
    }
    struct dyno_make_job **at = &maker->jobs;
    while (*at != NULL)
        at = &(*at)->next;
    *at = job;
    return job;
}

/* Is what is being done what is wished for, and of the files that are there now? */
static bool is_going_on(const struct dyno_make_job *job, uint64_t stamp)
{
    const uint64_t seen = atomic_load(&job->seen_stamp);
    return (job->is_running || job->is_waiting) && (seen == 0 || stamp == 0 || seen == stamp);
}

/* Takes the recipe.  Will something be told? */
static bool wish_for(struct dyno_maker *maker, struct dyno_make_job *job,
                     struct dyno_recipe *recipe, uint64_t stamp, bool again)
{
    const struct dyno_recipe *now = job->next_recipe != NULL ? job->next_recipe : job->recipe;
    const bool is_same = now != NULL && dyno_recipe_is_same(now, recipe);
    if (is_same && is_going_on(job, stamp)) {
        dyno_recipe_destroy(recipe);
        return !atomic_load(&job->is_there);
    }
    job->ticket = ++maker->last_ticket;
    job->try_again = again || job->is_running;
    if (is_same) {
        dyno_recipe_destroy(recipe);
    } else {
        dyno_recipe_destroy(job->next_recipe);
        job->next_recipe = recipe;
    }
    cancel(job);
    if (!job->is_running)
        restart(maker, job);
    return true;
}

enum dyno_status dyno_maker_want(struct dyno_maker *maker, const char *model, uint64_t version,
                                 const char *folder, const struct dyno_make_wish *wish, bool again,
                                 bool *is_pending_out, struct dyno_err *err)
{
    struct dyno_recipe *recipe = NULL;
    uint64_t stamp = 0;
    *is_pending_out = false;
    if (dyno_model_stamp(folder, &stamp, NULL) != DYNO_OK)
        stamp = 0; /* what is wrong with it is told later */
    DYNO_TRY(dyno_recipe_create(folder, wish, maker->shop.options.thread_count, &recipe, err));
    enum dyno_status status = DYNO_OK;
    dyno_make_gpus_wish(&maker->shop.gpus);
    (void)pthread_mutex_lock(&maker->lock);
    if (maker->is_ending)
        goto out;
    struct dyno_make_job *job = find(maker, model, version);
    if (job == NULL)
        job = add_job(maker, model, version);
    if (job == NULL) {
        status = DYNO_NOMEM(err);
        goto out;
    }
    *is_pending_out = wish_for(maker, job, recipe, stamp, again);
    recipe = NULL;
    status = start_worker(maker, err);
out:
    (void)pthread_mutex_unlock(&maker->lock);
    dyno_recipe_destroy(recipe);
    return status;
}

static bool is_in(const uint64_t *versions, size_t count, uint64_t version)
{
    for (size_t i = 0; i < count; i++)
        if (versions[i] == version)
            return true;
    return false;
}

/* Drop the jobs of a model whose version is in the list, or those whose is not. */
static void drop(struct dyno_maker *maker, const char *model, const uint64_t *versions,
                 size_t count, bool those_in)
{
    (void)pthread_mutex_lock(&maker->shop.tell_lock);
    (void)pthread_mutex_lock(&maker->lock);
    struct dyno_make_job **at = &maker->jobs;
    while (*at != NULL) {
        struct dyno_make_job *job = *at;
        if (strcmp(job->model, model) != 0 || is_in(versions, count, job->version) != those_in) {
            at = &job->next;
            continue;
        }
        *at = job->next;
        job->is_dropped = true;
        cancel(job);
        if (!job->is_running)
            destroy_job(job);
    }
    (void)pthread_mutex_unlock(&maker->lock);
    (void)pthread_mutex_unlock(&maker->shop.tell_lock);
}

void dyno_maker_drop(struct dyno_maker *maker, const char *model, uint64_t version)
{
    drop(maker, model, &version, version != 0, version != 0);
}

void dyno_maker_retain(struct dyno_maker *maker, const char *model, const uint64_t *versions,
                       size_t count)
{
    drop(maker, model, versions, count, false);
}

bool dyno_maker_is_current(struct dyno_maker *maker, const char *model, uint64_t version,
                           uint64_t ticket)
{
    (void)pthread_mutex_lock(&maker->lock);
    const struct dyno_make_job *job = find(maker, model, version);
    const bool is_current = job != NULL && job->ticket == ticket;
    (void)pthread_mutex_unlock(&maker->lock);
    return is_current;
}

bool dyno_maker_is_outdated(struct dyno_maker *maker, const char *model, uint64_t version,
                            const char *folder, const struct dyno_make_wish *wish)
{
    struct dyno_recipe *recipe = NULL;
    uint64_t stamp = 0;
    bool is_outdated = false;
    if (dyno_recipe_create(folder, wish, maker->shop.options.thread_count, &recipe, NULL) !=
        DYNO_OK)
        return false; /* out of memory: another time */
    const bool is_looked_at = dyno_model_stamp(folder, &stamp, NULL) == DYNO_OK;
    (void)pthread_mutex_lock(&maker->lock);
    const struct dyno_make_job *job = find(maker, model, version);
    if (job != NULL) {
        const uint64_t seen = atomic_load(&job->seen_stamp);
        is_outdated = !dyno_recipe_is_same(
                          job->next_recipe != NULL ? job->next_recipe : job->recipe, recipe) ||
                      (seen != 0 && is_looked_at && seen != stamp);
    }
    (void)pthread_mutex_unlock(&maker->lock);
    dyno_recipe_destroy(recipe);
    return is_outdated;
}

void dyno_maker_stats(struct dyno_maker *maker, struct dyno_maker_stats *stats_out)
{
    struct dyno_make_counts *counts = &maker->shop.counts;
    *stats_out = (struct dyno_maker_stats){.running_count = atomic_load(&counts->running),
                                           .built_count = atomic_load(&counts->built),
                                           .failed_count = atomic_load(&counts->failed),
                                           .cancelled_count = atomic_load(&counts->cancelled),
                                           .build_ns = atomic_load(&counts->build_ns),
                                           .hit_count = atomic_load(&counts->hit),
                                           .miss_count = atomic_load(&counts->miss)};
    (void)pthread_mutex_lock(&maker->lock);
    for (const struct dyno_make_job *at = maker->jobs; at != NULL; at = at->next)
        stats_out->waiting_count += at->is_waiting;
    (void)pthread_mutex_unlock(&maker->lock);
}

/* --- the end --- */

void dyno_maker_stop(struct dyno_maker *maker)
{
    (void)pthread_mutex_lock(&maker->lock);
    maker->is_ending = true;
    for (struct dyno_make_job *at = maker->jobs; at != NULL; at = at->next)
        cancel(at);
    (void)pthread_cond_broadcast(&maker->work);
    (void)pthread_mutex_unlock(&maker->lock);
    for (int i = 0; i < DYNO_MAKER_JOBS_MAX; i++) {
        struct worker *worker = &maker->workers[i];
        if (worker->has_thread)
            (void)pthread_join(worker->thread, NULL);
        worker->has_thread = false;
    }
}

void dyno_maker_destroy(struct dyno_maker *maker)
{
    if (maker == NULL)
        return;
    dyno_maker_stop(maker);
    while (maker->jobs != NULL) {
        struct dyno_make_job *job = maker->jobs;
        maker->jobs = job->next;
        destroy_job(job);
    }
    for (int i = 0; i < DYNO_MAKER_JOBS_MAX; i++)
        if (maker->workers[i].cancel_fd >= 0)
            (void)close(maker->workers[i].cancel_fd);
    for (size_t i = 0; i < ENV_MAX; i++)
        dyno_free((void *)(uintptr_t)maker->env[i]);
    dyno_free(maker->builder);
    (void)pthread_cond_destroy(&maker->work);
    dyno_make_gpus_fini(&maker->shop.gpus);
    (void)pthread_mutex_destroy(&maker->shop.tell_lock);
    (void)pthread_mutex_destroy(&maker->lock);
    dyno_free(maker);
}
