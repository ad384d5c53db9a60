/* corners.c - will a candidate that was found at the optimum run at the profile's bounds? */
#include "tune/corners.h"

#include <string.h>

#include "backend/cuda/program.h"
#include "base/mem.h"

enum dyno_status dyno_tune_corners_init(struct dyno_tune_corners *corners,
                                        const struct dyno_plan *plan, struct dyno_arena *arena,
                                        struct dyno_err *err)
{
    static const enum dyno_corner which[] = {DYNO_CORNER_MIN, DYNO_CORNER_MAX};
    const size_t count = dyno_exprs_count(plan->exprs);
    bool *is_open = dyno_arena_alloc(arena, count + 1, sizeof(*is_open));
    bool any = false;
    *corners = (struct dyno_tune_corners){.plan = plan};
    if (is_open == NULL)
        return DYNO_NOMEM(err);
    dyno_plan_open_exprs(plan, is_open);
    for (size_t e = 0; e < count; e++)
        any = any || is_open[e];
    for (int i = 0; any && i < DYNO_CORNERS; i++) {
        struct dyno_err refusal = {0};
        if (dyno_tune_shapes_at(plan, which[i], arena, &corners->bufs[i], &refusal) == DYNO_OK)
            continue;
        if (refusal.status == DYNO_E_NOMEM)
            return DYNO_NOMEM(err);
        corners->bufs[i] = NULL; /* a size without a bound: no memory holds that */
    }
    return DYNO_OK;
}

enum dyno_status dyno_tune_corner_sites(const struct dyno_tune_corners *corners,
                                        struct dyno_arena *arena, struct dyno_site *site,
                                        struct dyno_err *err)
{
    struct dyno_site *others = dyno_arena_alloc(arena, DYNO_CORNERS, sizeof(*others));
    if (others == NULL)
        return DYNO_NOMEM(err);
    site->others = others;
    for (int i = 0; i < DYNO_CORNERS; i++) {
        if (corners->bufs[i] != NULL)
            DYNO_TRY(dyno_tune_site(corners->plan, site->step, corners->bufs[i], site->target,
                                    arena, &others[site->other_count++], err));
    }
    return DYNO_OK;
}

/* --- judging --- */

/* Tensors there that the run alone gives a shape: its steps run by reference. */
static bool has_shapes(const struct dyno_site *site)
{
    for (uint32_t i = 0; i < site->step->in_count; i++) {
        if (site->step->ins[i] != DYNO_NO_TENSOR && site->ins[i].rank < 0)
            return false;
    }
    for (uint32_t i = 0; i < site->step->out_count; i++) {
        if (site->step->outs[i] != DYNO_NO_TENSOR && site->outs[i].rank < 0)
            return false;
    }
    return true;
}

static bool is_settled(const struct dyno_kernel *kernel, const struct dyno_site *site,
                       const struct dyno_tactic *tactic)
{
    struct dyno_tactic there;
    if (dyno_kernel_settle(kernel, site, tactic, &there, NULL) != DYNO_OK)
        return false;
    for (uint32_t i = 0; i < site->step->own_in_count && i < DYNO_STEP_INS_MAX; i++) {
        if (!dyno_layout_same(there.in_layouts[i], tactic->in_layouts[i]))
            return false;
    }
    return there.packed_bytes == tactic->packed_bytes && there.flags == tactic->flags &&
           dyno_layout_same(there.out_layout, tactic->out_layout);
}

/* Is it the same program there? */
static bool has_program(const struct dyno_kernel *kernel, const struct dyno_site *site,
                        const struct dyno_site *other, const struct dyno_tactic *tactic)
{
    struct dyno_strbuf a = {0}, b = {0};
    const char *a_source = "", *b_source = "";
    const bool same =
        !dyno_kernel_has_program(kernel, tactic) ||
        (dyno_cuda_program_choices(kernel, site, tactic, &a_source, &a, NULL) == DYNO_OK &&
         dyno_cuda_program_choices(kernel, other, tactic, &b_source, &b, NULL) == DYNO_OK &&
         strcmp(a_source, b_source) == 0 &&
         strcmp(dyno_strbuf_text(&a), dyno_strbuf_text(&b)) == 0);
    dyno_strbuf_fini(&a);
    dyno_strbuf_fini(&b);
    return same;
}

static bool is_prepared(const struct dyno_kernel *kernel, const struct dyno_site *site,
                        const struct dyno_tactic *tactic)
{
    uint64_t workspace_bytes = 0;
    void *state = dyno_alloc(1, kernel->state_bytes + 64);
    const bool done = state != NULL &&
                      kernel->prepare(site, tactic, NULL, state, &workspace_bytes, NULL) == DYNO_OK;
    if (done && kernel->release != NULL)
        kernel->release(state);
    dyno_free(state);
    return done && workspace_bytes <= site->target->workspace_bytes_max;
}

bool dyno_tune_prepares(const struct dyno_kernel *kernel, const struct dyno_site *site,
                        const struct dyno_tactic *tactic)
{
    const struct dyno_step *step = site->step;
    struct dyno_buf *bufs = dyno_alloc((size_t)step->in_count + step->out_count + 1, sizeof(*bufs));
    if (bufs == NULL)
        return false;
    struct dyno_site laid = *site;
    laid.ins = bufs;
    laid.outs = bufs + step->in_count;
    for (uint32_t i = 0; i < step->in_count; i++) {
        bufs[i] = site->ins[i];
        dyno_tune_set_layout(&bufs[i], i < DYNO_STEP_INS_MAX ? tactic->in_layouts[i] : DYNO_ROW);
    }
    for (uint32_t i = 0; i < step->out_count; i++) {
        bufs[step->in_count + i] = site->outs[i];
        dyno_tune_set_layout(&bufs[step->in_count + i], i == 0 ? tactic->out_layout : DYNO_ROW);
    }
    const bool ok = is_prepared(kernel, &laid, tactic);
    dyno_free(bufs);
    return ok;
}

/* Routines of libraries are not asked: what they do not do there they have a stand-in for. */
static bool runs_at(const struct dyno_kernel *kernel, const struct dyno_site *site,
                    const struct dyno_site *other, const struct dyno_tactic *tactic)
{
    return is_settled(kernel, other, tactic) && has_program(kernel, site, other, tactic) &&
           (kernel->library != DYNO_LIBRARY_NONE || dyno_tune_prepares(kernel, other, tactic));
}

bool dyno_tune_runs_at_corners(const struct dyno_kernel *kernel, const struct dyno_site *site,
                               const struct dyno_tactic *tactic)
{
    for (uint32_t i = 0; i < site->other_count; i++) {
        if (has_shapes(&site->others[i]) && !runs_at(kernel, site, &site->others[i], tactic))
            return false;
    }
    return true;
}
