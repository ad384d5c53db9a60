/* settle.c - a tactic and what follows from it, whoever wrote the tactic down. */
#include <string.h>

#include "backend/backend.h"

/* Inputs of the tail spread over the output: each lies as it does, or as the output does. */
static bool tail_layouts_ok(const struct dyno_site *site, const struct dyno_tactic *asked)
{
    const struct dyno_step *step = site->step;
    for (uint32_t i = step->own_in_count; i < step->in_count && i < DYNO_STEP_INS_MAX; i++) {
        if (!dyno_layout_same(asked->in_layouts[i], DYNO_ROW) &&
            (!dyno_layout_same(asked->in_layouts[i], asked->out_layout) ||
             site->ins[i].rank != site->outs[0].rank))
            return false;
    }
    return true;
}

enum dyno_status dyno_kernel_settle(const struct dyno_kernel *kernel, const struct dyno_site *site,
                                    const struct dyno_tactic *asked, struct dyno_tactic *tactic_out,
                                    struct dyno_err *err)
{
    if (!tail_layouts_ok(site, asked))
        return DYNO_FAIL(err, DYNO_E_FORMAT, "an input of the tail lies as kernel %s reads none",
                         kernel->name);
    *tactic_out = *asked;
    tactic_out->kernel = dyno_kernel_id(kernel);
    tactic_out->flags = 0;
    tactic_out->packed_bytes = 0;
    for (uint32_t i = 0; i < site->step->own_in_count && i < DYNO_STEP_INS_MAX; i++)
        tactic_out->in_layouts[i] = DYNO_ROW;
    return kernel->settle(site, asked, tactic_out, err);
}

int dyno_kernel_candidates(const struct dyno_kernel *kernel, const struct dyno_site *site,
                           struct dyno_tactic *out, int max)
{
    struct dyno_tactic asked[DYNO_TACTICS_MAX];
    if (kernel->place == DYNO_ON_GPU && site->target->gpu.compute == 0)
        return 0;
    memset(asked, 0, sizeof(asked));
    const int asked_count =
        kernel->enumerate(site, asked, max < DYNO_TACTICS_MAX ? max : DYNO_TACTICS_MAX);
    int count = 0;
    for (int i = 0; i < asked_count; i++) {
        if (dyno_kernel_settle(kernel, site, &asked[i], &out[count], NULL) == DYNO_OK)
            count++;
    }
    return count;
}

/* --- a tactic out of a file --- */

/* A kernel that knows of no distance between positions must not meet a channel view. */
static enum dyno_status check_distance(const struct dyno_kernel *kernel, const struct dyno_buf *buf,
                                       const char *what, uint32_t idx, struct dyno_err *err)
{
    if (kernel->strided || buf->rank < 2 || buf->layout.kind != DYNO_LAYOUT_LAST ||
        buf->ld == dyno_layout_stored(buf->layout, buf->dims[1]))
        return DYNO_OK;
    return DYNO_FAIL(err, DYNO_E_FORMAT, "kernel %s wants %s %u to lie densely, not in another",
                     kernel->name, what, idx);
}

static enum dyno_status check_layouts(const struct dyno_kernel *kernel,
                                      const struct dyno_site *site, struct dyno_err *err)
{
    const struct dyno_step *step = site->step;
    for (uint32_t i = 0; i < step->in_count; i++) {
        const struct dyno_layout want =
            i < DYNO_STEP_INS_MAX ? step->tactic.in_layouts[i] : DYNO_ROW;
        if (site->ins[i].rank < 0)
            continue;
        if (!dyno_layout_same(site->ins[i].layout, want))
            return DYNO_FAIL(err, DYNO_E_FORMAT, "kernel %s reads input %u in another layout",
                             kernel->name, i);
        DYNO_TRY(check_distance(kernel, &site->ins[i], "input", i, err));
    }
    for (uint32_t i = 0; i < step->out_count; i++) {
        const struct dyno_layout want = i == 0 ? step->tactic.out_layout : DYNO_ROW;
        if (site->outs[i].rank >= 0 && !dyno_layout_same(site->outs[i].layout, want))
            return DYNO_FAIL(err, DYNO_E_FORMAT, "kernel %s writes output %u in another layout",
                             kernel->name, i);
        if (site->outs[i].rank >= 0)
            DYNO_TRY(check_distance(kernel, &site->outs[i], "output", i, err));
    }
    return DYNO_OK;
}

enum dyno_status dyno_kernel_check(const struct dyno_kernel *kernel, const struct dyno_site *site,
                                   struct dyno_err *err)
{
    const struct dyno_step *step = site->step;
    const struct dyno_tactic *asked = &step->tactic;
    struct dyno_tactic tactic;
    DYNO_TRY(dyno_kernel_settle(kernel, site, asked, &tactic, err));
    if (asked->packed_bytes != tactic.packed_bytes ||
        (step->packed == NULL) != (tactic.packed_bytes == 0))
        return DYNO_FAIL(err, DYNO_E_FORMAT,
                         "kernel %s packs its weights into %llu bytes, not %llu", kernel->name,
                         (unsigned long long)tactic.packed_bytes,
                         (unsigned long long)asked->packed_bytes);
    for (uint32_t i = 0; i < step->own_in_count && i < DYNO_STEP_INS_MAX; i++) {
        if (!dyno_layout_same(asked->in_layouts[i], tactic.in_layouts[i]))
            return DYNO_FAIL(err, DYNO_E_FORMAT, "kernel %s wants input %u in another layout",
                             kernel->name, i);
    }
    if (!dyno_layout_same(asked->out_layout, tactic.out_layout))
        return DYNO_FAIL(err, DYNO_E_FORMAT, "kernel %s gives its output in another layout",
                         kernel->name);
    if (asked->flags != tactic.flags)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "kernel %s has the flags %x here, not %x",
                         kernel->name, tactic.flags, asked->flags);
    if ((tactic.flags & DYNO_TACTIC_REFERENCE) == 0 && site->outs[0].rank < 0)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "kernel %s has no output 0 to write", kernel->name);
    return check_layouts(kernel, site, err);
}
