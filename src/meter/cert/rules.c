/* rules.c - what a certificate is refused for, and how two of them are compared. */
#include <math.h>

#include "meter/cert/stats.h"

bool dyno_cert_control_holds(const struct dyno_cert_interval *log_ratio)
{
    return log_ratio->lower <= 0.0 && log_ratio->upper >= 0.0 &&
           (log_ratio->upper - log_ratio->lower) / 2.0 < DYNO_CERT_HALF_WIDTH;
}

bool dyno_cert_is_steady(const double *values, uint32_t count, struct dyno_cert_change *change_out)
{
    *change_out = (struct dyno_cert_change){0};
    double total = 0.0;
    double squares = 0.0;
    for (uint32_t i = 0; i < count; i++)
        total += values[i];
    const double mean = count > 0 ? total / (double)count : 0.0;
    for (uint32_t i = 0; i < count; i++)
        squares += (values[i] - mean) * (values[i] - mean);
    double before = count > 0 ? values[0] - mean : 0.0; /* sum of deviations */
    for (uint32_t at = 2; at + 2 <= count; at++) {
        before += values[at - 1] - mean;
        const double left = (double)at;
        const double right = (double)(count - at);
        const double shift = -before / right - before / left;
        const double within = squares - before * before / left - before * before / right;
        const double variance = fmax(within, 0.0) / (double)(count - 2);
        const double error = sqrt(variance * (1.0 / left + 1.0 / right));
        const double errors = shift == 0.0 ? 0.0 : fabs(shift) / error;
        if (errors > change_out->errors)
            *change_out = (struct dyno_cert_change){.at = at, .shift = shift, .errors = errors};
    }
    return fabs(change_out->shift) <= DYNO_CERT_SHIFT ||
           change_out->errors <= DYNO_CERT_SHIFT_ERRORS;
}

bool dyno_cert_clock_held(const uint64_t *chain_ns, uint32_t count)
{
    uint64_t least = UINT64_MAX;
    uint64_t most = 0;
    for (uint32_t i = 0; i < count; i++) {
        least = chain_ns[i] < least ? chain_ns[i] : least;
        most = chain_ns[i] > most ? chain_ns[i] : most;
    }
    return least > 0 && (double)most <= (double)least * (1.0 + DYNO_CERT_CLOCK_DRIFT);
}

uint32_t dyno_cert_reference_batch(const double *items_s, uint32_t count)
{
    DYNO_ASSERT(count > 0);
    double best = 0.0;
    for (uint32_t i = 0; i < count; i++)
        best = fmax(best, items_s[i]);
    uint32_t idx = 0;
    while (idx + 1 < count && items_s[idx] < best * (1.0 - DYNO_CERT_BATCH_SLACK))
        idx++;
    return idx;
}

enum dyno_cert_verdict dyno_cert_equivalence(const struct dyno_cert_interval *again,
                                             double certified)
{
    const double margin = log1p(DYNO_CERT_MARGIN);
    if (again->lower >= certified - margin && again->upper <= certified + margin)
        return DYNO_CERT_STANDS;
    if (again->lower > certified + margin || again->upper < certified - margin)
        return DYNO_CERT_FALLS;
    return DYNO_CERT_UNDECIDED;
}

enum dyno_cert_verdict dyno_cert_watch_add(struct dyno_cert_watch *watch, double log_ratio,
                                           double certified, double spread)
{
    DYNO_ASSERT(spread > 0.0);
    const double margin = log1p(DYNO_CERT_MARGIN);
    const double scale = margin / (spread * spread);
    const double alarm = log((1.0 - DYNO_CERT_WATCH_MISS) / (DYNO_CERT_WATCH_ALARM / 2.0));
    const double calm = log(DYNO_CERT_WATCH_MISS / (1.0 - DYNO_CERT_WATCH_ALARM / 2.0));
    const double off = log_ratio - certified;
    watch->below += scale * (-off - margin / 2.0);
    watch->above += scale * (off - margin / 2.0);
    watch->seen++;
    enum dyno_cert_verdict verdict = DYNO_CERT_UNDECIDED;
    if (watch->below >= alarm || watch->above >= alarm)
        verdict = DYNO_CERT_FALLS;
    else if (watch->below <= calm && watch->above <= calm)
        verdict = DYNO_CERT_STANDS;
    if (verdict != DYNO_CERT_UNDECIDED)
        *watch = (struct dyno_cert_watch){0};
    return verdict;
}
