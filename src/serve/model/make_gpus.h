/* make_gpus.h - GPUs that engines are built for: what each is, as the builder tells it
 * (`dyno inspect device`), and whose turn it is there.
 *
 * This process has no driver.  The builder is asked when somebody wants to know, once for all
 * wishes that came until then: what is installed may be another thing the next time.  Any thread.
 */
#ifndef DYNO_SERVE_MODEL_MAKE_GPUS_H
#define DYNO_SERVE_MODEL_MAKE_GPUS_H

#include <pthread.h>
#include <stdatomic.h>

#include "serve/model/variant.h"

#define DYNO_MAKE_GPU_TEXT_BYTES 1024

struct dyno_make_gpu {
    char device[16]; /* "cuda:N" */
    /* What was told, when there were so many wishes, or why nothing was. */
    uint64_t wish_count;
    char text[DYNO_MAKE_GPU_TEXT_BYTES];
    struct dyno_err why_not;
    bool is_taken; /* a build runs there */
};

struct dyno_make_gpus {
    pthread_mutex_t ask_lock; /* what is told of each, and while one is asked for */
    pthread_mutex_t turn_lock;
    struct dyno_make_gpu items[DYNO_GPUS_MAX];
    size_t count; /* under both, to be made larger */
    atomic_uint_fast64_t wish_count;
};

void dyno_make_gpus_init(struct dyno_make_gpus *gpus);
void dyno_make_gpus_fini(struct dyno_make_gpus *gpus);

/* A wish came: what was told before it is asked anew. */
void dyno_make_gpus_wish(struct dyno_make_gpus *gpus);

/* Who is asked, and by whom. */
struct dyno_make_gpu_asking {
    const char *builder;    /* its path */
    const char *const *env; /* NULL ends it */
    int cancel_fd;          /* it is ended when this can be read; -1: never */
};
/* What decides how an engine is built for the GPU: the same text is the same machine to it, in this
 * respect.  Waits for the builder, and for others who ask.  E_TARGET: there is no such GPU or no
 * driver, in the builder's words; E_IO: the builder cannot be asked; E_CANCELLED. */
DYNO_NODISCARD enum dyno_status dyno_make_gpus_ask(struct dyno_make_gpus *gpus,
                                                   const struct dyno_make_gpu_asking *asking,
                                                   const char *device,
                                                   char text_out[DYNO_MAKE_GPU_TEXT_BYTES],
                                                   struct dyno_err *err);

/* One build at a time has a GPU, as two would time each other.  False: another has it. */
bool dyno_make_gpus_take(struct dyno_make_gpus *gpus, const char *device);
void dyno_make_gpus_leave(struct dyno_make_gpus *gpus, const char *device);

#endif /* DYNO_SERVE_MODEL_MAKE_GPUS_H */
