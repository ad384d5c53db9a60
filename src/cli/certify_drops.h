/* certify_drops.h - the blocks of a process that measures and do not count, and why: what `dyno
 * certify` says while it waits for quiet.  Pure; any thread. */
#ifndef DYNO_CLI_CERTIFY_DROPS_H
#define DYNO_CLI_CERTIFY_DROPS_H

#include "meter/cert/cert.h"

#define DYNO_CERTIFY_DROPS_ROOM 256

/* Zeroed: a process has begun. */
struct dyno_certify_drops {
    uint32_t tried_count, count;
    struct dyno_cert_disturbance most; /* of those that do not count */
};

/* One more block of a process that measures for `cert`. */
void dyno_certify_drops_add(struct dyno_certify_drops *drops, const struct dyno_cert *cert,
                            const struct dyno_cert_block *block);
/* A line about the process of that index, of so many; NULL: nothing was dropped. */
const char *dyno_certify_drops_text(const struct dyno_certify_drops *drops, uint32_t process,
                                    uint32_t process_count, char out[DYNO_CERTIFY_DROPS_ROOM]);

#endif /* DYNO_CLI_CERTIFY_DROPS_H */
