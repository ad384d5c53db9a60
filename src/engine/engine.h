/* engine.h - inside of an engine: a verified plan with the kernels of this build behind its steps.
 *
 * Immutable after creation; any thread.
 */
#ifndef DYNO_ENGINE_ENGINE_H
#define DYNO_ENGINE_ENGINE_H

#include "backend/backend.h"
#include "base/file.h"
#include "base/mem.h"
#include "dyno/engine.h"
#include "engine/schedule.h"

struct dyno_branches;
struct dyno_executor;
struct dyno_engine_gpu;

struct dyno_engine {
    struct dyno_plan *plan;
    const struct dyno_kernel **kernels; /* one a step; NULL: none of this build (engine refused) */
    struct dyno_schedule schedule;
    struct dyno_engine_gpu *gpu; /* NULL: every step runs on the CPU, or none runs here */
    struct dyno_target here;
    struct dyno_executor *executor;  /* runs what was submitted to contexts without a pool */
    struct dyno_mem_account account; /* all memory of the engine and its contexts but this struct */
    struct dyno_file_map map;        /* of the file; empty for an engine made from a plan */
    char warning[512];
};

/* An engine straight from a verified plan (dyno_finish and dyno_engine_read verify theirs).  Takes
 * `plan` on success and on failure. */
DYNO_NODISCARD enum dyno_status dyno_engine_from_plan(struct dyno_plan *plan,
                                                      struct dyno_engine **engine_out,
                                                      struct dyno_err *err);
/* The same, a plan for a GPU on that one. */
DYNO_NODISCARD enum dyno_status dyno_engine_from_plan_on(struct dyno_plan *plan, int gpu_ordinal,
                                                         struct dyno_engine **engine_out,
                                                         struct dyno_err *err);

/* The symbols' values that input shapes give (symbols without an input keep INT64_MIN: known only
 * while running).  symbols_out has dyno_exprs_symbol_count items.  E_ARG names input, dimension and
 * rule. dims[i] are the dimensions of input i. */
DYNO_NODISCARD enum dyno_status dyno_engine_solve(const struct dyno_plan *plan,
                                                  const int64_t *const *dims, const int *ranks,
                                                  int64_t *symbols_out, struct dyno_err *err);

/* Sees each tensor a step has just written, in the order of the run; `buf` may be in any layout and
 * its data dies with the run. */
typedef void dyno_tap_fn(void *arg, const struct dyno_plan_tensor *tensor,
                         const struct dyno_buf *buf);

/* Watch the runs of a context (calibration, comparison layer by layer); NULL: no more. */
void dyno_context_tap(struct dyno_context *context, dyno_tap_fn *tap, void *arg);

/* Microseconds that the GPU took for the last run, without copies; 0 on the CPU. */
double dyno_context_gpu_us(const struct dyno_context *context);

/* How the steps of the GPU may overlap at the shapes that were bound last (engine/binding.h); NULL:
 * they are a chain. */
const struct dyno_branches *dyno_context_branches(const struct dyno_context *context);

#endif /* DYNO_ENGINE_ENGINE_H */
