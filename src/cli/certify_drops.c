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

/* The rules that were broken, and no others.  A card that told its clock in some segments and not
 * in others has moved by nothing. */
static void say_why(const struct dyno_cert_disturbance *most, char *out, size_t bytes)
{
    const bool is_taken = most->taken > DYNO_CERT_STEAL;
    const bool has_moved = most->clock > DYNO_CERT_CLOCK_DRIFT;
    char taken[80] = "";
    char clock[80] = "";
    if (is_taken)
        (void)snprintf(taken, sizeof(taken), "others took up to %.1f %% of one (%.0f %% may be)",
                       most->taken * 100.0, DYNO_CERT_STEAL * 100.0);
    if (has_moved)
        (void)snprintf(clock, sizeof(clock), "the clock moved by up to %.1f %% (%.0f %% may be)",
                       most->clock * 100.0, DYNO_CERT_CLOCK_DRIFT * 100.0);
    if (is_taken || has_moved)
        (void)snprintf(out, bytes, "%s%s%s", taken, is_taken && has_moved ? ", " : "", clock);
    else
        (void)snprintf(out, bytes, "the clock was not told all the time");
}

const char *dyno_certify_drops_text(const struct dyno_certify_drops *drops, uint32_t process,
                                    uint32_t process_count, char out[DYNO_CERTIFY_DROPS_ROOM])
{
    char why[170];
    if (drops->count == 0)
        return NULL;
    say_why(&drops->most, why, sizeof(why));
    (void)snprintf(out, DYNO_CERTIFY_DROPS_ROOM,
                   "process %u of %u: %u of %u blocks do not count: %s", process + 1, process_count,
                   drops->count, drops->tried_count, why);
    return out;
}
