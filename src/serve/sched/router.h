/* router.h - which variant of a model answers a request.
 *
 * Of the variants that take the request's inputs and are as accurate as its class demands: for a
 * class that wants accuracy the most accurate one, the cheaper of two alike; for any other class
 * the cheapest. Where the class may degrade and that one is predicted to be late, the most accurate
 * one that is not; when all are, the one that is late least. Any thread.
 */
#ifndef DYNO_SERVE_SCHED_ROUTER_H
#define DYNO_SERVE_SCHED_ROUTER_H

#include "serve/model/catalog.h"
#include "serve/sched/sched.h"

/* What is asked. */
struct dyno_route_ask {
    struct dyno_sched *sched;
    const struct dyno_class *row;
    int class_idx;
    uint64_t tenant;
    uint64_t deadline_ns; /* 0: none */
    const char *variant;  /* this one and no other; NULL: any */
    const struct dyno_infer *infer;
    struct dyno_array *arrays; /* room for any variant's inputs, to try them: DYNO_V2_TENSORS_MAX */
    /* When none was chosen: none has the name that was asked for; none is accurate enough. */
    bool is_unnamed, is_too_coarse;
};

/* A dyno_choose_fn whose arg is a struct dyno_route_ask. */
dyno_choose_fn dyno_router_choose;

#endif /* DYNO_SERVE_SCHED_ROUTER_H */
