/* internal.h - a connection to the fleet's ledger. */
#ifndef DYNO_METER_FLEET_INTERNAL_H
#define DYNO_METER_FLEET_INTERNAL_H

#include "meter/fleet/fleet.h"

struct dyno_fleet {
    struct dyno_pg *pg;
    struct dyno_ledger_store store;
};

/* fleet.c: with `locks` nobody else can change it until the transaction ends. */
enum dyno_status dyno_fleet_find_mark(struct dyno_fleet *fleet, uint32_t node, bool locks,
                                      struct dyno_fleet_mark *mark_out, bool *found_out,
                                      struct dyno_err *err);

/* read.c */
enum dyno_status dyno_fleet_file_open(void *fleet, const char *name,
                                      struct dyno_ledger_file **file_out, struct dyno_err *err);

/* view.c: what makes functions and views of single records. */
extern const char dyno_fleet_functions_sql[], dyno_fleet_views_sql[];

/* A u64 of a file as a bigint; it is at most INT64_MAX. */
static inline struct dyno_pg_value dyno_fleet_u64(uint64_t value)
{
    DYNO_ASSERT(value <= INT64_MAX);
    return dyno_pg_number((int64_t)value);
}

/* A column that is a digest, or a count. */
enum dyno_status dyno_fleet_take_digest(const struct dyno_pg_rows *rows, int row, int column,
                                        struct dyno_digest *digest_out, struct dyno_err *err);
enum dyno_status dyno_fleet_take_u64(const struct dyno_pg_rows *rows, int row, int column,
                                     uint64_t *value_out, struct dyno_err *err);

#endif /* DYNO_METER_FLEET_INTERNAL_H */
