/* make.h - one step of making the engines of a version; what maker.c's threads do.
 *
 * A job is worked on by one thread at a time, which alone touches what is not under the maker's
 * lock.
 */
#ifndef DYNO_SERVE_MODEL_MAKE_H
#define DYNO_SERVE_MODEL_MAKE_H

#include <pthread.h>
#include <stdatomic.h>

#include "serve/model/engine_cache.h"
#include "serve/model/make_gpus.h"
#include "serve/model/recipe.h"

struct dyno_make_job {
    /* Under the lock. */
    struct dyno_make_job *next;
    char *model;
    uint64_t version, ticket;
    struct dyno_recipe *next_recipe; /* for when the thread is through; NULL: no other */
    enum dyno_made_stage stage;      /* the next thing to be done */
    bool is_waiting, is_running, is_dropped, try_again;
    int cancel_fd; /* of the thread that works on it */
    atomic_bool is_cancelled;
    atomic_bool is_there;            /* an engine was told of since it was begun */
    atomic_uint_fast64_t seen_stamp; /* of the files that it is made of; 0: not known yet */

    /* The thread's. */
    struct dyno_recipe *recipe;
    uint64_t told_ticket; /* as it was when the thread began */
    bool has_sum, has_failed;
    uint64_t stamp; /* of the files that were summed up, or that no engine can be made of */
    uint8_t sum[32];
    struct dyno_engine_hold holds[2];
    struct dyno_err reason; /* has_failed */
};

struct dyno_make_counts {
    atomic_uint_fast64_t built, failed, cancelled, build_ns, hit, miss, running;
};

/* What all jobs share. */
struct dyno_make_shop {
    struct dyno_maker_options options;
    const char *const *env;
    struct dyno_make_counts counts;
    struct dyno_make_gpus gpus;
    pthread_mutex_t tell_lock; /* held while something is told, and while a job is cancelled */
};

/* Do the stage `stage` of the job: tell of the tuned engine if it is there, else of the one of the
 * stage, which is built if need be.  *is_done_out: there is nothing left to do.  What fails was
 * told of, but for E_CANCELLED. */
enum dyno_status dyno_make_step(struct dyno_make_shop *shop, struct dyno_make_job *job,
                                enum dyno_made_stage stage, bool *is_done_out,
                                struct dyno_err *err);

void dyno_make_tell(struct dyno_make_shop *shop, const struct dyno_make_job *job,
                    enum dyno_made_stage stage, enum dyno_made_state state, const char *path,
                    const char *reason);

#endif /* DYNO_SERVE_MODEL_MAKE_H */
