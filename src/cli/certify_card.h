/* certify_card.h - what a card tells while something is measured on it: clock and energy.
 *
 * A thread asks every 20 ms, so that who measures is not kept waiting.  One user, one thread.
 */
#ifndef DYNO_CLI_CERTIFY_CARD_H
#define DYNO_CLI_CERTIFY_CARD_H

#include "engine/engine.h"

struct dyno_certify_card;

/* The card of an engine, which outlives it; *card_out NULL: it tells nothing. */
DYNO_NODISCARD enum dyno_status dyno_certify_card_open(const struct dyno_engine *engine,
                                                       struct dyno_certify_card **card_out,
                                                       struct dyno_err *err);
void dyno_certify_card_close(struct dyno_certify_card *card); /* accepts NULL */

/* Begin a segment. */
void dyno_certify_card_begin(struct dyno_certify_card *card); /* accepts NULL */
struct dyno_certify_card_segment {
    double core_mhz; /* mean since it began; 0: not told */
    double energy_j; /* since it began; NAN: not told */
};
/* End it; with NULL nothing is told. */
struct dyno_certify_card_segment dyno_certify_card_end(struct dyno_certify_card *card);

#endif /* DYNO_CLI_CERTIFY_CARD_H */
