/* tune.h - choose, for every step of a plan, how it is done and in which layout.
 *
 * 1. Ask every kernel that this machine can run for candidates.
 * 2. Time those that the estimates do not rule out (level > 0), or take the estimates (level 0).
 * 3. Choose one candidate a step so that the sum of step times and layout changes is least, over
 *    the whole graph (tune/pbqp.h).
 */
#ifndef DYNO_TUNE_TUNE_H
#define DYNO_TUNE_TUNE_H

#include "backend/backend.h"
#include "backend/cuda/program.h"
#include "tune/cache.h"
#include "tune/clock.h"
#include "tune/retime.h"

struct dyno_tune_options {
    const struct dyno_target *target;
    struct dyno_pool *pool; /* runs the timings; its threads are the engine's */
    uint32_t open_from; /* steps from here on run by reference: their shapes only the run tells */
    int level;          /* 0: estimates only .. 5: widest search, longest timings */
    /* By step: enum dyno_precision allowed there, of those that the target allows; NULL: all. */
    const uint32_t *precisions;
    bool keep_f32; /* steps keep their best candidates in f32 alone and in TF32, however slow */
    struct dyno_retime_bounds retime;    /* of what is tried again in the whole graph */
    struct dyno_tune_cache *cache;       /* may be NULL */
    struct dyno_cuda_programs *programs; /* of a build for a GPU, with the GPU when level > 0 */
    /* Called after each step; may be NULL. */
    void (*progress)(void *arg, uint32_t done, uint32_t total, const char *step_name);
    void *progress_arg;
};

struct dyno_tune_report {
    uint32_t candidate_count;
    uint32_t measured_count;      /* timed now */
    uint32_t cached_count;        /* taken from the cache */
    float step_us;                /* sum of the chosen candidates */
    struct dyno_tune_clock clock; /* of a GPU */
    /* Of a build with a limit: what a larger workspace would have bought. */
    uint32_t workspace_steps; /* that would be faster */
    float workspace_us;       /* by so much, all together, each step for itself */
    uint64_t workspace_bytes; /* with so much */
    float reorder_us;         /* estimate of the layout changes */
    float total_us;           /* what was made least: both, and what packed weights cost */
};

/* The candidates of every step with their times, from which several plans may be made.  `plan`,
 * which is only read, and what the options point to must outlive it, but for `cache`. E_UNSUPPORTED
 * names a step without any kernel. */
struct dyno_tuned;
DYNO_NODISCARD enum dyno_status dyno_tuned_create(const struct dyno_plan *plan,
                                                  const struct dyno_tune_options *options,
                                                  struct dyno_tuned **tuned_out,
                                                  struct dyno_err *err);
void dyno_tuned_destroy(struct dyno_tuned *tuned); /* accepts NULL */

/* Sets tactic and measured_us of every step of `plan`: the one that was tuned, or one that was
 * lowered from the same graph.  precisions: by step, allowed of those that were when it was tuned,
 * a step that has no such candidate keeps them all; NULL: as tuned. */
DYNO_NODISCARD enum dyno_status dyno_tuned_choose(struct dyno_tuned *tuned,
                                                  const uint32_t *precisions,
                                                  struct dyno_plan *plan,
                                                  struct dyno_tune_report *report_out,
                                                  struct dyno_err *err);

/* report.total_us of that choice, which is not made. */
DYNO_NODISCARD enum dyno_status dyno_tuned_total(struct dyno_tuned *tuned,
                                                 const uint32_t *precisions, float *total_us_out,
                                                 struct dyno_err *err);

/* Both: sets tactic and measured_us of every step. E_UNSUPPORTED names a step without any kernel.
 */
DYNO_NODISCARD enum dyno_status dyno_tune(struct dyno_plan *plan,
                                          const struct dyno_tune_options *options,
                                          struct dyno_tune_report *report_out,
                                          struct dyno_err *err);

/* enum dyno_precision that a step done so uses of its first in_count inputs and its output. */
uint32_t dyno_tune_uses(const struct dyno_tactic *tactic, uint32_t in_count);

/* The step's candidates at the given site, cheapest estimate first, into out[max]; only those the
 * target allows. */
int dyno_tune_candidates(const struct dyno_site *site, struct dyno_tactic *out, int max);

/* What a candidate costs a run: its time, and what its packed weights cost besides: their share of
 * the load that brought them into memory, and what a timing does not see of reading them. */
float dyno_tune_cost_us(const struct dyno_target *target, float us, uint64_t packed_bytes);

/* Is a candidate to be preferred to another of the same layouts?  Costs within the noise of timings
 * are equal: the smaller packed form wins. */
bool dyno_tune_better(float cost_us, uint64_t packed_bytes, float than_cost_us,
                      uint64_t than_bytes);

/* Key of one timing; passing_bytes as in tune/measure.h. */
DYNO_NODISCARD enum dyno_status dyno_tune_signature(const struct dyno_site *site,
                                                    const struct dyno_tactic *tactic,
                                                    uint64_t passing_bytes,
                                                    struct dyno_tune_key *key_out,
                                                    struct dyno_err *err);

/* Estimated microseconds to change the layout of this tensor. */
float dyno_tune_reorder_us(const struct dyno_buf *buf, const struct dyno_target *target);

#endif /* DYNO_TUNE_TUNE_H */
