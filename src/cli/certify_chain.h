/* certify_chain.h - the clock of the processor, by a timed chain of additions. */
#ifndef DYNO_CLI_CERTIFY_CHAIN_H
#define DYNO_CLI_CERTIFY_CHAIN_H

#include <stdint.h>

/* Nanoseconds of additions that each wait for the one before: a fixed number of cycles, so the
 * time tells the clock.  The least of some tries: an interrupt only adds.  Above 0. */
uint64_t dyno_certify_chain_ns(void);

#endif /* DYNO_CLI_CERTIFY_CHAIN_H */
