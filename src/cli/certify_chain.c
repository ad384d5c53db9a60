/* certify_chain.c - a chain of dependent additions, timed. */
#include "cli/certify_chain.h"

#include "base/clock.h"
#include "meter/cert/cert.h"

#define CHAIN_TRIES 5

uint64_t dyno_certify_chain_ns(void)
{
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < CHAIN_TRIES; i++) {
        uint64_t sum = 1;
        const uint64_t start_ns = dyno_clock_ns();
        for (uint32_t k = 0; k < DYNO_CERT_CHAIN_ADDS; k += 8) {
            for (int unrolled = 0; unrolled < 8; unrolled++) {
                sum += k;
                __asm__ volatile("" : "+r"(sum)); /* the compiler may not fold the chain */
            }
        }
        const uint64_t ns = dyno_clock_ns() - start_ns;
        least = ns < least ? ns : least;
    }
    return least > 0 ? least : 1;
}
