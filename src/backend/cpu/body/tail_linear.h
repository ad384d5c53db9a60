/* tail_linear.h - a tail over elements [at, end) of an output in ROW layout (after simd.h). */
#ifndef DYNO_BACKEND_CPU_BODY_TAIL_LINEAR_H
#define DYNO_BACKEND_CPU_BODY_TAIL_LINEAR_H

static inline void tail_linear(const struct dyno_cpu_tail *tail, const struct dyno_buf *ins,
                               float *y, int64_t at, int64_t end)
{
    while (at < end) {
        const int64_t col = at % tail->cols;
        const int64_t count = dyno_cpu_min(end - at, tail->cols - col);
        tail_row(tail, ins, y + at, y + at, at / tail->cols, col, count);
        at += count;
    }
}

#endif /* DYNO_BACKEND_CPU_BODY_TAIL_LINEAR_H */
