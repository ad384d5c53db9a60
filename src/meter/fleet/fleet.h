/* fleet.h - the ledgers of a fleet's nodes in one PostgreSQL database (docs/fleet.md).
 *
 * What a node's ledger holds is kept there byte by byte: its groups, heads and the openings of its
 * files, so that it verifies there as it does at the node.  A node's number stands for one ledger,
 * for ever: a chain of groups without a gap, of which the fleet has the first so many.  That
 * number, the watermark, is moved in the transaction that adds the groups, under the lock of the
 * node's row; so what is delivered twice or in another order is there once, and what got lost is
 * missed at once.
 *
 * One thread at a time uses a connection.  What the database holds is hostile until it is decoded.
 */
#ifndef DYNO_METER_FLEET_FLEET_H
#define DYNO_METER_FLEET_FLEET_H

#include "db/pg.h"
#include "meter/ledger/heads.h"
#include "meter/ledger/reader.h"

struct dyno_fleet;

struct dyno_fleet_options {
    const char *conninfo;         /* as dyno_pg_options has it */
    uint32_t timeout_ms;          /* of each call to the server; 0: 10,000 */
    bool writes;                  /* the tables are made when they are not there */
    const atomic_bool *is_ending; /* may be NULL */
};

/* Errors of dyno_pg_open.  Without `writes` all is read as it stands now. */
enum dyno_status dyno_fleet_open(const struct dyno_fleet_options *options,
                                 struct dyno_fleet **fleet_out, struct dyno_err *err);
void dyno_fleet_close(struct dyno_fleet *fleet); /* accepts NULL */
bool dyno_fleet_is_lost(const struct dyno_fleet *fleet);

/* --- writing --- */

/* What the fleet has of a node's ledger. */
struct dyno_fleet_mark {
    uint64_t group_count;     /* from its first group on */
    uint64_t head_count;      /* groups under its last head; 0: it has none */
    struct dyno_digest chain; /* the hash of the last group; zeros when there is none */
    bool is_retired;          /* no group comes after it */
};
enum dyno_status dyno_fleet_mark(struct dyno_fleet *fleet, uint32_t node,
                                 struct dyno_fleet_mark *mark_out, struct dyno_err *err);
/* The header of one group; *found_out false: there is none. */
enum dyno_status dyno_fleet_header(struct dyno_fleet *fleet, uint32_t node, uint64_t number,
                                   uint8_t header_out[DYNO_GROUP_HEADER_BYTES], bool *found_out,
                                   struct dyno_err *err);

struct dyno_fleet_group {
    const uint8_t *header; /* DYNO_GROUP_HEADER_BYTES */
    const uint8_t *items;
    size_t items_bytes;
};

/* Groups in any order, any of them any number of times. */
struct dyno_fleet_delivery {
    uint32_t node;
    const struct dyno_fleet_group *groups;
    size_t group_count;
    const struct dyno_opening *openings; /* of the files that some of the groups begin */
    size_t opening_count;
    const struct dyno_ledger_head *heads;
    size_t head_count;
};

/* Add, in one transaction, those groups that go on from what the fleet has, and the heads over what
 * it has then.  What it has already is passed over; what comes after a gap is, too, and is to be
 * delivered again: *mark_out says where the fleet's copy ends now.  Durable there when it returns;
 * after a failure nothing has happened, or (E_IO, dyno_fleet_is_lost) perhaps all of it.
 * E_MISMATCH: the fleet has another ledger under this node's number; E_DENIED: the node is retired,
 * and something of it goes on from what the fleet has; E_FORMAT, E_CORRUPT: a header
 * is none; errors of db/pg.h. */
enum dyno_status dyno_fleet_deliver(struct dyno_fleet *fleet,
                                    const struct dyno_fleet_delivery *delivery,
                                    struct dyno_fleet_mark *mark_out, struct dyno_err *err);

/* E_MISMATCH, saying that node's ledger is another one than the fleet's. */
enum dyno_status dyno_fleet_refuse_node(uint32_t node, struct dyno_err *err);

/* E_DENIED, saying when the node was retired. */
enum dyno_status dyno_fleet_refuse_retired(struct dyno_fleet *fleet, uint32_t node,
                                           struct dyno_err *err);

/* The node of this last head (meter/ledger/retire.h) comes back no more.  Durable when it returns.
 * E_BUSY: the fleet has other groups of it than are under the head; E_EXISTS: it is retired. */
enum dyno_status dyno_fleet_retire(struct dyno_fleet *fleet, const struct dyno_head_line *line,
                                   struct dyno_err *err);
/* *found_out false: the node is not retired.  Any connection. */
enum dyno_status dyno_fleet_retirement(struct dyno_fleet *fleet, uint32_t node,
                                       struct dyno_head_line *line_out, bool *found_out,
                                       struct dyno_err *err);

/* --- reading: a connection that does not write --- */

/* The files of a node, or of all (node < 0), as one list by node and number, as dyno_ledger_paths
 * gives them: names of the store, which lives as long as the fleet.  In the arena.  E_NOT_FOUND:
 * there are none. */
enum dyno_status dyno_fleet_files(struct dyno_fleet *fleet, int64_t node, struct dyno_arena *arena,
                                  const char ***names_out, size_t *count_out, struct dyno_err *err);
const struct dyno_ledger_store *dyno_fleet_store(struct dyno_fleet *fleet);
/* The nodes that have files, in the arena. */
enum dyno_status dyno_fleet_nodes(struct dyno_fleet *fleet, struct dyno_arena *arena,
                                  uint32_t **nodes_out, size_t *count_out, struct dyno_err *err);

/* Has the fleet all of this file, or archive, as it is: its opening, groups and heads, byte by
 * byte? E_NOT_FOUND: not yet all of it; E_MISMATCH: something is another one there.  *records_out:
 * in it. */
enum dyno_status dyno_fleet_compare(struct dyno_fleet *fleet, const char *path,
                                    uint64_t *records_out, struct dyno_err *err);

/* Do the watermarks of a node, its own and those of its epochs, say what its groups do?  `chain`
 * and `group_count` are those that verifying its files ended with.  E_CORRUPT. */
enum dyno_status dyno_fleet_check(struct dyno_fleet *fleet, uint32_t node, uint64_t group_count,
                                  const struct dyno_digest *chain, struct dyno_err *err);

#endif /* DYNO_METER_FLEET_FLEET_H */
