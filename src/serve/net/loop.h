/* loop.h - an event loop: descriptors, timers, a mailbox.  One thread owns it.
 *
 * Everything is embedded in its owner and removed by its owner; a callback may remove itself and
 * anything else.  Only dyno_loop_post, dyno_loop_post_list and dyno_loop_stop may be called from
 * other threads.
 */
#ifndef DYNO_SERVE_NET_LOOP_H
#define DYNO_SERVE_NET_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "serve/net/slab.h"

#define DYNO_LOOP_BUFFER_BYTES ((size_t)128 * 1024)

struct dyno_loop;

/* A descriptor.  Edge-triggered: `ready` gets EPOLL* bits once for each change. */
struct dyno_watch {
    int fd;
    void (*ready)(struct dyno_watch *watch, uint32_t events);
};

/* Once, at a time of dyno_clock_ns. */
struct dyno_timer {
    uint64_t at_ns;
    size_t heap_idx; /* + 1; 0: not armed */
    void (*fire)(struct dyno_timer *timer);
};

/* Something to do on the loop's thread. */
struct dyno_mail {
    struct dyno_mail *next;
    void (*deliver)(struct dyno_mail *mail);
};

/* Called once before mail or events are read again, then forgotten: where output is gathered. */
struct dyno_turn {
    struct dyno_turn *next;
    bool is_queued;
    void (*end)(struct dyno_turn *turn);
};

enum dyno_status dyno_loop_create(struct dyno_loop **loop_out, struct dyno_err *err);
void dyno_loop_destroy(struct dyno_loop *loop); /* nothing is watched any more; accepts NULL */

/* Wait at most so long (-1: as long as it takes) and do what there is, once: mail first, and
 * between two descriptors. */
void dyno_loop_turn(struct dyno_loop *loop, int wait_ms_max);
/* Turn until dyno_loop_stop. */
void dyno_loop_run(struct dyno_loop *loop);
void dyno_loop_stop(struct dyno_loop *loop);

enum dyno_status dyno_loop_watch(struct dyno_loop *loop, struct dyno_watch *watch, uint32_t events,
                                 struct dyno_err *err);
void dyno_loop_unwatch(struct dyno_loop *loop, struct dyno_watch *watch);

/* False when out of memory.  Arming an armed timer moves it. */
bool dyno_loop_arm(struct dyno_loop *loop, struct dyno_timer *timer, uint64_t at_ns);
void dyno_loop_disarm(struct dyno_loop *loop, struct dyno_timer *timer);

void dyno_loop_post(struct dyno_loop *loop, struct dyno_mail *mail);
/* A list, from the one that comes last to the one that comes first: rung for once. */
void dyno_loop_post_list(struct dyno_loop *loop, struct dyno_mail *last, struct dyno_mail *first);
void dyno_loop_at_end(struct dyno_loop *loop, struct dyno_turn *turn);

/* Time as of the last wake-up. */
uint64_t dyno_loop_now_ns(const struct dyno_loop *loop);
/* For reading into, DYNO_LOOP_BUFFER_BYTES; holds nothing between two callbacks. */
char *dyno_loop_buffer(struct dyno_loop *loop);
struct dyno_slab *dyno_loop_slab(struct dyno_loop *loop);

#endif /* DYNO_SERVE_NET_LOOP_H */
