/* certify_chain.h - the clock of the processors while something is measured on them, by a timed
 * chain of additions.
 *
 * A turbo clock that hops within milliseconds is not told by one look after a segment.  A thread
 * times the chain every 50 ms of a segment, on whichever processor it lands; three tries of
 * 131,072 cycles take 0.16 ms at 2.5 GHz, so that is 0.3 % of one processor.  Between segments it
 * sleeps.  One user, one thread, which is none of a pool's.
 */
#ifndef DYNO_CLI_CERTIFY_CHAIN_H
#define DYNO_CLI_CERTIFY_CHAIN_H

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/* Nanoseconds of additions that each wait for the one before: a fixed number of cycles, so the
 * time tells the clock.  The least of some tries: an interrupt only adds.  Above 0. */
uint64_t dyno_certify_chain_ns(void);

struct dyno_certify_chain;

/* What times the chain once, above 0: dyno_certify_chain_ns.  Called by the thread and by who ends
 * a segment, maybe at one time. */
typedef uint64_t dyno_certify_chain_fn(void);

/* The thread may run wherever the calling thread may. */
DYNO_NODISCARD enum dyno_status dyno_certify_chain_open(dyno_certify_chain_fn *time,
                                                        struct dyno_certify_chain **chain_out,
                                                        struct dyno_err *err);
void dyno_certify_chain_close(struct dyno_certify_chain *chain); /* accepts NULL */

/* The thread's number: what it waits for a processor disturbs nothing.  NULL: 0, no thread's. */
pid_t dyno_certify_chain_tid(const struct dyno_certify_chain *chain);

/* Begin a segment. */
void dyno_certify_chain_begin(struct dyno_certify_chain *chain); /* accepts NULL */
/* End it: the mean of what was timed since it began and of the chain timed now, which of a short
 * segment is the only one. */
uint64_t dyno_certify_chain_end(struct dyno_certify_chain *chain);

#endif /* DYNO_CLI_CERTIFY_CHAIN_H */
