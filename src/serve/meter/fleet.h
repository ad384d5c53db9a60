/* fleet.h - the meter's ledger on its way to the fleet's: a thread that ships, and answers that
 * wait for it.
 *
 * It goes on from where the fleet's copy ends, four times a second, or at once when somebody waits.
 * When the database is away it tries again, later each time.  An answer that waits (with
 * `is_awaited`) does so for wait_ns at most: then it is told E_BUSY, and no new work is admitted
 * until the fleet has everything again.
 */
#ifndef DYNO_SERVE_METER_FLEET_H
#define DYNO_SERVE_METER_FLEET_H

#include "meter/ledger/ledger.h"

struct dyno_meter_fleet;

struct dyno_meter_fleet_options {
    const char *conninfo; /* of the database */
    const char *ledger;   /* folder; a ledger is being written there */
    bool is_awaited;      /* answers wait */
    uint64_t wait_ns;
    bool is_strict; /* what only a person can mend fails the opening; else it is logged */
    /* Answers that may leave, or not (their status): as dyno_meter_options.told, on one of several
     * threads, of which one at a time calls. */
    void (*told)(void *arg, struct dyno_ledger_entry *entries);
    void *arg;
};

/* A first look at the database.  One that cannot be reached is logged, and tried again.
 * E_MISMATCH (another ledger has this node's number), E_DENIED, E_UNSUPPORTED, ... */
enum dyno_status dyno_meter_fleet_create(const struct dyno_meter_fleet_options *options,
                                         struct dyno_meter_fleet **fleet_out, struct dyno_err *err);
/* The ledger is closed, and nobody waits.  What it has is shipped, in a few seconds or not.
 * Accepts NULL. */
void dyno_meter_fleet_destroy(struct dyno_meter_fleet *fleet);

/* Entries of one status.  Those that are durable are told when the fleet has them, others now.  By
 * the committer. */
void dyno_meter_fleet_await(struct dyno_meter_fleet *fleet, struct dyno_ledger_entry *entries);
/* Tell those who have waited long enough.  Once a second. */
void dyno_meter_fleet_expire(struct dyno_meter_fleet *fleet);

/* From on to off (by the same thread) it has no file of the ledger open, which is closed then. */
void dyno_meter_fleet_keep_off(struct dyno_meter_fleet *fleet, bool is_on); /* accepts NULL */

/* Any thread; cheap.  False: answers would have to wait, and the fleet is behind. */
bool dyno_meter_fleet_admits(const struct dyno_meter_fleet *fleet);

struct dyno_meter_fleet_figures {
    bool is_up;             /* the last thing that was wanted of the database went well */
    uint32_t epoch;         /* of the last record that the fleet has, */
    uint64_t shipped_seq;   /* and its number */
    double lag_s;           /* since when the fleet lacks something */
    uint64_t failure_count; /* of tries */
    uint64_t waiting_count; /* answers */
    uint64_t expired_count; /* that waited too long */
};
void dyno_meter_fleet_read(struct dyno_meter_fleet *fleet,
                           struct dyno_meter_fleet_figures *figures_out);

#endif /* DYNO_SERVE_METER_FLEET_H */
