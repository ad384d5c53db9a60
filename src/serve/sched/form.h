/* form.h - what runs next on a free lane: a task and those that join it.
 *
 * Others join the fairest task, the fairest first, while
 *   - the largest batch, and a lane's longest run (dyno_fair_run_ns_max), are not passed,
 *   - the predicted end is not past the deadline of one of them.
 * With an idle device a run may be held back for more to come: while one more row is predicted to
 * save more than the time until it comes, as judged by how requests of the variant came so far, and
 * by whether holding back was of use before.
 *
 * Under the scheduler's lock.
 */
#ifndef DYNO_SERVE_SCHED_FORM_H
#define DYNO_SERVE_SCHED_FORM_H

#include "serve/sched/fair.h"

/* Tasks that were taken out together. */
struct dyno_form {
    struct dyno_task *tasks, *last; /* to run, linked by next, in the order of joining */
    struct dyno_task *dropped;      /* cancelled or too late */
    struct dyno_instance *instance; /* lent to them */
    int lane;
    uint32_t count;
    int64_t rows;
    uint64_t deadline_ns; /* the earliest; UINT64_MAX: none */
    uint64_t run_ns;      /* predicted */
};

/* Fill `form` (its lane set, the rest zeroed); false: nothing is to run now, and *wake_ns_out says
 * when to ask again (UINT64_MAX: not before something happens). */
bool dyno_form_next(struct dyno_fair *fair, uint64_t now_ns, int lane_count, struct dyno_form *form,
                    uint64_t *wake_ns_out);

/* A request of the variant came. */
void dyno_form_arrived(struct dyno_variant *variant, uint64_t now_ns);

/* Take out what is cancelled or past its deadline, in front of what was; the earliest deadline that
 * is left. */
uint64_t dyno_form_sweep(struct dyno_fair *fair, uint64_t now_ns, struct dyno_task **dropped);

/* An instance of the lane (-1: of any), NULL: all are lent. */
struct dyno_instance *dyno_variant_lend(struct dyno_variant *variant, int lane, int lane_count);
void dyno_variant_return(struct dyno_variant *variant, struct dyno_instance *instance);

/* Predictions, with the variant's lock. */
uint64_t dyno_variant_predict(struct dyno_variant *variant, const struct dyno_cost_key *key,
                              int64_t rows);
void dyno_variant_note(struct dyno_variant *variant, const struct dyno_cost_key *key, int64_t rows,
                       uint64_t ns);

/* dyno_cost_parts, with the variant's lock. */
void dyno_variant_cost(struct dyno_variant *variant, const struct dyno_cost_key *key,
                       uint64_t *fixed_ns_out, uint64_t *row_ns_out);

#endif /* DYNO_SERVE_SCHED_FORM_H */
