/* db_fail.h - from a code of SQLite to a status: shared by db.c and stmt.c. */
#ifndef DYNO_DB_DB_FAIL_H
#define DYNO_DB_DB_FAIL_H

#include "db/db.h"
#include "db/sqlite.h"

/* Record what the last call on the database, which returned `code`, has failed with. */
enum dyno_status dyno_db_fail(const struct dyno_db *db, int code, struct dyno_err *err);

#endif /* DYNO_DB_DB_FAIL_H */
