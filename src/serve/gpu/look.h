/* look.h - what a GPU tells of itself, asked of its child every two seconds.
 *
 * On the card's thread, but for dyno_look_read.  A child that does not answer this is not ended for
 * it: what was told grows old, and is not told any more.
 */
#ifndef DYNO_SERVE_GPU_LOOK_H
#define DYNO_SERVE_GPU_LOOK_H

#include <pthread.h>

#include "serve/gpu/card.h"

struct dyno_look {
    struct dyno_card_call call; /* first */
    struct dyno_gpu_message message;
    uint64_t next_ns; /* to ask */
    pthread_mutex_t lock;
    bool is_asked, has_facts;
    uint64_t told_ns;
    double first_j; /* of the card's counter; below 0: not told yet */
    struct dyno_device_facts facts;
};

void dyno_look_init(struct dyno_look *look);
void dyno_look_fini(struct dyno_look *look);

/* A child has begun. */
void dyno_look_begin(struct dyno_look *look);
/* Ask it when it is time; when to come again. */
uint64_t dyno_look_step(struct dyno_look *look, struct dyno_card *card, uint64_t epoch);

/* What was told last; energy_j counts from when this card was first asked.  False: nothing, or too
 * long ago.  Any thread. */
bool dyno_look_read(struct dyno_look *look, struct dyno_device_facts *facts_out);

#endif /* DYNO_SERVE_GPU_LOOK_H */
