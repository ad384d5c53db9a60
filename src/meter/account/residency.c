/* residency.c - bytes times time. */
#include "meter/account/residency.h"

void dyno_residency_init(struct dyno_residency *residency, uint64_t bytes, uint64_t now_ns)
{
    *residency = (struct dyno_residency){.bytes = bytes, .now_ns = now_ns};
}

void dyno_residency_set(struct dyno_residency *residency, uint64_t bytes, uint64_t now_ns)
{
    if (now_ns > residency->now_ns) {
        residency->byte_ns += (dyno_u128)residency->bytes * (now_ns - residency->now_ns);
        residency->now_ns = now_ns;
    }
    residency->bytes = bytes;
}

dyno_u128 dyno_residency_take(struct dyno_residency *residency, uint64_t now_ns)
{
    dyno_residency_set(residency, residency->bytes, now_ns);
    const dyno_u128 taken = residency->byte_ns;
    residency->byte_ns = 0;
    return taken;
}
