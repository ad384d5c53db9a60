/* ship.h - a ledger's files on their way into the fleet: from the watermark that the fleet has, in
 * the order of their groups, also while they are being written.
 *
 * A shipper keeps nothing: one that is begun anew, elsewhere even, goes on where the fleet's copy
 * ends.  One thread at a time.
 */
#ifndef DYNO_METER_FLEET_SHIP_H
#define DYNO_METER_FLEET_SHIP_H

#include "meter/fleet/fleet.h"

struct dyno_shipper;

/* Files and folders, as dyno_ledger_paths takes them, in the order of their numbers; when the last
 * one is a folder, files that begin in it later are shipped, too.  Errors of dyno_ledger_paths. */
enum dyno_status dyno_shipper_create(const char *const *given, size_t given_count,
                                     struct dyno_shipper **shipper_out, struct dyno_err *err);
void dyno_shipper_destroy(struct dyno_shipper *shipper); /* accepts NULL */

/* Find the place where the fleet's copy ends: once for each connection.  E_MISMATCH: the fleet has
 * another ledger under this node's number, or files between are missing, or these are older than
 * what the fleet has; E_DENIED: the node is retired, and they go on; errors of reader.h and
 * db/pg.h. */
enum dyno_status dyno_shipper_begin(struct dyno_shipper *shipper, struct dyno_fleet *fleet,
                                    struct dyno_err *err);

/* What the fleet has now. */
struct dyno_shipped {
    uint32_t node, epoch;     /* of its last group */
    uint64_t seq, sent_seq;   /* the last record of that epoch, the last that has left */
    uint64_t groups, records; /* that this shipper has sent since it was made */
    uint64_t oldest_ns;       /* when the first group that it lacks was written; 0: it lacks none */
};

/* Read what comes next, about a megabyte at most, and then send it, in one transaction;
 * *is_all_out: the fleet has all that there was when it was read.  After a failure of either, begin
 * again.  Files are open while begin and read go on, and no longer. */
enum dyno_status dyno_shipper_read(struct dyno_shipper *shipper, struct dyno_err *err);
enum dyno_status dyno_shipper_send(struct dyno_shipper *shipper, struct dyno_fleet *fleet,
                                   bool *is_all_out, struct dyno_err *err);
/* As it is known after the last of them. */
const struct dyno_shipped *dyno_shipper_shipped(const struct dyno_shipper *shipper);

#endif /* DYNO_METER_FLEET_SHIP_H */
