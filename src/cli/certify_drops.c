/* certify_drops.c - which blocks do not count, counted and told. */
#include "cli/certify_drops.h"

#include <math.h>
#include <stdio.h>

void dyno_certify_drops_add(struct dyno_certify_drops *drops, const struct dyno_cert *cert,
                            const struct dyno_cert_block *block)
{
    drops->tried_count++;
    if (dyno_cert_block_counts(cert, block))
        return;
    const struct dyno_cert_disturbance by =
        dyno_cert_block_disturbance(block, cert->gpu.compute != 0);
    drops->count++;
    drops->most.clock = fmax(drops->most.clock, by.clock);
    drops->most.taken = fmax(drops->most.taken, by.taken);
}

const char *dyno_certify_drops_text(const struct dyno_certify_drops *drops, uint32_t process,
                                    uint32_t process_count, char out[DYNO_CERTIFY_DROPS_ROOM])
{
    if (drops->count == 0)
        return NULL;
    (void)snprintf(out, DYNO_CERTIFY_DROPS_ROOM,
                   "process %u of %u: %u of %u blocks dropped: others took up to %.1f %% of a "
                   "block (%.0f %% may be), the clock moved by up to %.1f %% (%.0f %%)",
                   process + 1, process_count, drops->count, drops->tried_count,
                   drops->most.taken * 100.0, DYNO_CERT_STEAL * 100.0, drops->most.clock * 100.0,
                   DYNO_CERT_CLOCK_DRIFT * 100.0);
    return out;
}
