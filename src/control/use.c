/* use.c - what tenants have used, a row a day. */
#include "control/internal.h"

static enum dyno_status add(struct dyno_stmt *stmt, const struct dyno_use_row *rows, size_t count,
                            struct dyno_err *err)
{
    for (size_t i = 0; i < count; i++) {
        dyno_stmt_bind_i64(stmt, 1, rows[i].tenant);
        dyno_stmt_bind_i64(stmt, 2, rows[i].day);
        dyno_stmt_bind_i64(stmt, 3, (int64_t)rows[i].use.requests);
        dyno_stmt_bind_i64(stmt, 4, (int64_t)rows[i].use.device_ns);
        DYNO_TRY(dyno_stmt_run(stmt, err));
    }
    return DYNO_OK;
}

enum dyno_status dyno_control_add_use(struct dyno_control *control, const struct dyno_use_row *rows,
                                      size_t count, struct dyno_err *err)
{
    struct dyno_stmt stmt = {0};
    DYNO_TRY(dyno_db_begin(&control->db, true, err));
    enum dyno_status status =
        dyno_stmt_open(&control->db,
                       "INSERT INTO tenant_use (tenant, day, requests, device_ns)"
                       " SELECT ?1, ?2, ?3, ?4 WHERE EXISTS (SELECT 1 FROM tenant WHERE id = ?1)"
                       " ON CONFLICT (tenant, day) DO UPDATE SET"
                       " requests = requests + excluded.requests,"
                       " device_ns = device_ns + excluded.device_ns",
                       &stmt, err);
    if (status == DYNO_OK)
        status = add(&stmt, rows, count, err);
    dyno_stmt_close(&stmt);
    return dyno_db_end(&control->db, status, err);
}

enum dyno_status dyno_control_forget_use(struct dyno_control *control, int64_t before_day,
                                         struct dyno_err *err)
{
    return dyno_control_do(control, "DELETE FROM tenant_use WHERE day < ?1", before_day, NULL, err);
}
