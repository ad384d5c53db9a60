/* turns.h - whose turn it is on a GPU (dyno_turns of include/dyno/engine.h).
 *
 * A number waits on the host until all before it have put their kernels into their streams, and on
 * the GPU, by an event, until those have ended.  So nothing lies between two runs, and what a
 * stream did before its turn, copies of inputs, is done meanwhile.
 */
#ifndef DYNO_ENGINE_TURNS_H
#define DYNO_ENGINE_TURNS_H

#include "base/err.h"
#include "dyno/engine.h"

/* Wait for that number's turn; what the stream is given from now on begins when the kernels before
 * it have ended.  The GPU is entered. */
DYNO_NODISCARD enum dyno_status dyno_turns_take(struct dyno_turns *turns, uint64_t number,
                                                void *stream, struct dyno_err *err);
/* All that the stream was given has to end before the kernels of the next. */
DYNO_NODISCARD enum dyno_status dyno_turns_mark(struct dyno_turns *turns, void *stream,
                                                struct dyno_err *err);
/* It is the next one's turn. */
void dyno_turns_end(struct dyno_turns *turns);

#endif /* DYNO_ENGINE_TURNS_H */
