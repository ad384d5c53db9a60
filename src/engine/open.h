/* open.h - steps whose shapes only the run tells: by reference, after all the others. */
#ifndef DYNO_ENGINE_OPEN_H
#define DYNO_ENGINE_OPEN_H

#include "engine/binding.h"

struct dyno_open_run {
    const struct dyno_plan *plan;
    struct dyno_binding *binding;   /* the steps before them have run */
    struct dyno_arena *memory;      /* emptied; what is made lies here until it is emptied again */
    float *step_us;                 /* by step; NULL: not timed */
    struct dyno_array *outputs;     /* of the run; those that are made here are described, too */
    const struct dyno_array *given; /* outputs as the caller handed them in */
};

/* E_ARG: an output has more bytes than the caller's memory; E_FORMAT: a step made what the engine
 * does not say; errors of the operators, with the step's name. */
enum dyno_status dyno_open_run(const struct dyno_open_run *run, struct dyno_err *err);

#endif /* DYNO_ENGINE_OPEN_H */
