/* gcompare.c - what a GPU made, beside what the reference makes. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "gplace.h"
#include "gtrial.h"

static double tolerance(const struct trial *trial)
{
    double tol = trial->data->row->mode == KCHECK_SUM ? 1e-4 : 2e-5;
    uint8_t elem = trial->tactic.out_layout.elem;
    for (uint32_t i = 0; i < trial->step.in_count && i < DYNO_STEP_INS_MAX; i++)
        elem = trial->tactic.in_layouts[i].elem != 0 ? trial->tactic.in_layouts[i].elem : elem;
    if (elem == DYNO_F16 || (trial->tactic.flags & DYNO_TACTIC_TF32) != 0)
        tol = 1e-2;
    if (elem == DYNO_BF16)
        tol = 6e-2;
    return tol;
}

static bool close_enough(double got, double want, double range, double tol)
{
    if (isnan(want) || isnan(got))
        return isnan(want) && isnan(got);
    if (isinf(want) || isinf(got))
        return want == got;
    return fabs(got - want) <= tol * (range > 0.0 ? range : 1.0) + 1e-30;
}

static bool uses(const struct trial *trial, enum dyno_dtype elem)
{
    bool found = trial->tactic.out_layout.elem == elem;
    for (uint32_t i = 0; i < trial->step.in_count && i < DYNO_STEP_INS_MAX; i++)
        found = found || trial->tactic.in_layouts[i].elem == elem;
    return found;
}

/* No such number in f16, or none closer; or random bits that are no number, of which the compiler's
 * saturating instructions make another one than C does (docs/cuda.md). */
static bool is_beyond(const struct trial *trial, int64_t i, double got, double want)
{
    const struct dyno_tensor *x = &trial->data->ins[0];
    if (uses(trial, DYNO_F16) && (fabs(want) > 60000.0 || fabs(got - want) <= 0x1p-24))
        return true;
    return trial->data->row->mode == KCHECK_BITS && x->dtype == DYNO_F32 &&
           i < dyno_tensor_count(x) && isnan(dyno_elem_load_f64(x->dtype, x->data, (size_t)i));
}

bool stores_halves(const struct dyno_tactic *tactic, uint32_t in_count)
{
    bool halves = tactic->out_layout.elem != 0 || (tactic->flags & DYNO_TACTIC_TF32) != 0;
    for (uint32_t i = 0; i < in_count && i < DYNO_STEP_INS_MAX; i++)
        halves = halves || tactic->in_layouts[i].elem != 0;
    return halves;
}

bool is_for_halves(const struct kcase *row)
{
    return row->mode != KCHECK_BITS && (row->tail == NULL || strstr(row->tail, "1e6") == NULL);
}

/* Padding is zero, and channels of others are as they were. */
static void check_around(const struct trial *trial, const struct dyno_buf *buf, const char *whole)
{
    const uint64_t bytes = elem_bytes(buf);
    const int64_t stored = dyno_layout_stored(buf->layout, buf->dims[1]);
    const int64_t first = (int64_t)(view_at(buf) / bytes);
    const int64_t count = (int64_t)(stored_bytes(buf) / bytes);
    const uint64_t nan = UINT64_MAX, zero = 0;
    for (int64_t i = 0; i < count; i++) {
        const int64_t channel = i % buf->ld - first;
        const bool is_own = channel >= 0 && channel < stored;
        const char *at = whole + (uint64_t)i * bytes;
        if (is_own && channel >= buf->dims[1] && memcmp(at, &zero, bytes) != 0) {
            fail(trial, "padding channels are not zero");
            return;
        }
        if (!is_own && memcmp(at, &nan, bytes) != 0) {
            fail(trial, "it writes channels that are not its own");
            return;
        }
    }
}

void compare(const struct trial *trial, uint32_t o)
{
    const struct dyno_buf *buf = &trial->outs[o];
    const struct dyno_tensor *want = &trial->data->outs[o];
    const enum dyno_dtype elem = dyno_layout_elem(buf->layout, buf->dtype);
    const char *whole = trial->out_mem[o].host + GUARD_BYTES;
    const char *got = whole + trial->out_mem[o].at;
    double range = 0.0;
    char text[160];
    for (int64_t i = 0; i < count_of(buf); i++) {
        const double value = fabs(dyno_elem_load_f64(want->dtype, want->data, (size_t)i));
        range = isfinite(value) && value > range ? value : range;
    }
    /* A lone sum may be next to nothing: what was summed up is what its error is measured by. */
    if (o == 0 && trial->data->bound != NULL && count_of(buf) == 1)
        range = fmax(range, (double)trial->data->bound[0]);
    for (int64_t i = 0; i < count_of(buf); i++) {
        const double a = dyno_elem_load_f64(elem, got, (size_t)place_of(buf, i));
        const double b = dyno_elem_load_f64(want->dtype, want->data, (size_t)i);
        if (close_enough(a, b, range, tolerance(trial)) || is_beyond(trial, i, a, b))
            continue;
        (void)snprintf(text, sizeof(text), "output %u element %lld is %g, wants %g of range %g", o,
                       (long long)i, a, b, range);
        fail(trial, text);
        return;
    }
    if (is_last(buf))
        check_around(trial, buf, whole);
}
