/* copy.h - short runs of floats, copied and zeroed in vectors (after simd.h). */
#ifndef DYNO_BACKEND_CPU_BODY_COPY_H
#define DYNO_BACKEND_CPU_BODY_COPY_H

static inline void zero_floats(float *dst, int64_t count)
{
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES)
        vf_store(dst + i, vf_zero());
    if (i < count)
        vf_store_n(dst + i, vf_zero(), (int)(count - i));
}

static inline void copy_next(const float *src, float *dst, int64_t count)
{
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES)
        vf_store(dst + i, vf_load(src + i));
    if (i < count)
        vf_store_n(dst + i, vf_load_n(src + i, (int)(count - i)), (int)(count - i));
}

/* dst[i] = src[2 * i]; nothing past the last of those is read. */
static inline void copy_second(const float *src, float *dst, int64_t count)
{
    int64_t i = 0;
    for (; i + LANES < count; i += LANES)
        vf_store(dst + i, vf_even(vf_load(src + 2 * i), vf_load(src + 2 * i + LANES)));
    if (i < count) {
        const int left = (int)(count - i);
        const int span = 2 * left - 1;
        const vf low = vf_load_n(src + 2 * i, span < LANES ? span : LANES);
        const vf high = span > LANES ? vf_load_n(src + 2 * i + LANES, span - LANES) : vf_zero();
        vf_store_n(dst + i, vf_even(low, high), left);
    }
}

/* dst[i] = src[i * step], i < count; step is best known to the compiler. */
static inline __attribute__((always_inline)) void copy_stepped(const float *src, const int64_t step,
                                                               float *dst, int64_t count)
{
    if (step == 1)
        copy_next(src, dst, count);
    else if (step == 2)
        copy_second(src, dst, count);
    else
        for (int64_t i = 0; i < count; i++)
            dst[i] = src[i * step];
}

#endif /* DYNO_BACKEND_CPU_BODY_COPY_H */
