/* internal.h - what the files of control share. */
#ifndef DYNO_CONTROL_INTERNAL_H
#define DYNO_CONTROL_INTERNAL_H

#include "control/control.h"
#include "db/db.h"

struct dyno_control {
    struct dyno_db db;
    int64_t seen_version; /* of the data; -1: never asked */
};

/* In a transaction: the id of the tenant of that name, E_NOT_FOUND. */
enum dyno_status dyno_control_find(struct dyno_control *control, const char *name,
                                   int64_t *tenant_out, struct dyno_err *err);

/* In a transaction: as dyno_control_read. */
enum dyno_status dyno_control_load(struct dyno_control *control, const char *name, int64_t today,
                                   struct dyno_arena *arena, struct dyno_tenant **tenants_out,
                                   size_t *count_out, struct dyno_err *err);

/* Run `sql` with its only parameter, or with a second one that is text (NULL: it has none). */
enum dyno_status dyno_control_do(struct dyno_control *control, const char *sql, int64_t first,
                                 const char *second, struct dyno_err *err);

#endif /* DYNO_CONTROL_INTERNAL_H */
