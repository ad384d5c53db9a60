/* tuner.h - what the files of the tuner share. */
#ifndef DYNO_TUNE_TUNER_H
#define DYNO_TUNE_TUNER_H

#include "tune/corners.h"
#include "tune/pbqp.h"
#include "tune/shapes.h"
#include "tune/tune.h"

/* The best candidate of one layout signature. */
struct dyno_tune_option {
    struct dyno_tactic tactic;
    float us;
    float cost_us;
    bool measured;
};

struct dyno_tune_choice {
    struct dyno_tune_option options[DYNO_PBQP_OPTIONS_MAX];
    int count;
};

#define DYNO_TUNE_MASKS 8 /* sets of enum dyno_precision */

struct dyno_tuned {
    const struct dyno_plan *plan;
    struct dyno_tune_options options;
    struct dyno_target targets[DYNO_TUNE_MASKS]; /* by what is allowed of a step */
    struct dyno_tune_report report;              /* of finding the choices */
    struct dyno_arena *arena;
    struct dyno_buf *bufs;
    struct dyno_tune_corners corners;
    struct dyno_tune_choice *choices; /* by step */
    uint64_t passing_bytes;           /* tune/measure.h */
    struct dyno_err *err;             /* of the call that goes on */
};

#endif /* DYNO_TUNE_TUNER_H */
