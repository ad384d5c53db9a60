/* tuner.h - what the files of the tuner share. */
#ifndef DYNO_TUNE_TUNER_H
#define DYNO_TUNE_TUNER_H

#include "tune/corners.h"
#include "tune/pbqp.h"
#include "tune/rivals.h"
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
    struct dyno_tune_option *timed; /* all that were, on a GPU; NULL: nobody asks for them */
    int timed_count;
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
    int *picked;                      /* options by step, of the choice that was made last */
    const struct dyno_rival **taken;  /* by step: what is done in its place; NULL, NULLs: nothing */
    struct dyno_err *err;             /* of the call that goes on */
};

/* The step as its kernels see it, with what is allowed there. */
DYNO_NODISCARD enum dyno_status dyno_tuned_site(struct dyno_tuned *tuned, uint32_t idx,
                                                struct dyno_site *site_out);

/* Of the first in_count inputs and the output. */
bool dyno_tune_same_layouts(const struct dyno_tactic *a, const struct dyno_tactic *b,
                            uint32_t in_count);

#endif /* DYNO_TUNE_TUNER_H */
