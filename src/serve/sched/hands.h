/* hands.h - threads that do what is left of runs of a GPU when they are over: outputs are copied,
 * the next inputs put together, requests told.
 *
 * The thread that hears of a GPU's runs hears of one after the other; what is done for each is
 * megabytes of copies, so it is done beside it, for a few runs at once.
 */
#ifndef DYNO_SERVE_SCHED_HANDS_H
#define DYNO_SERVE_SCHED_HANDS_H

#include "base/err.h"

struct dyno_hands;

/* Embedded in what it is about; linked while it waits. */
struct dyno_hand_work {
    struct dyno_hand_work *next;
    void (*carry_out)(struct dyno_hand_work *work); /* the work may be gone when it returns */
};

enum dyno_status dyno_hands_create(int thread_count, struct dyno_hands **hands_out,
                                   struct dyno_err *err);
/* After what waits.  Accepts NULL. */
void dyno_hands_destroy(struct dyno_hands *hands);

/* Any thread, never blocked for long. */
void dyno_hands_give(struct dyno_hands *hands, struct dyno_hand_work *work);

#endif /* DYNO_SERVE_SCHED_HANDS_H */
