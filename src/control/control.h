/* control.h - the control database: tenants, their keys, limits, and what they have used.
 *
 * One file (docs/control.md) that `dyno tenant` changes and running servers watch.  A change is
 * whole or not at all.  One thread at a time uses a struct dyno_control; several processes may have
 * the file open.  What is read lives in the caller's arena.
 */
#ifndef DYNO_CONTROL_CONTROL_H
#define DYNO_CONTROL_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/calendar.h"
#include "base/strbuf.h"
#include "control/key.h"

#define DYNO_CONTROL_NAME_BYTES_MAX 128
#define DYNO_TENANTS_MAX            100000
#define DYNO_TENANT_KEYS_MAX        64
#define DYNO_TENANT_MODELS_MAX      1024
#define DYNO_RATE_MAX               1e9 /* requests a second */
#define DYNO_COUNT_MAX              1000000000
#define DYNO_QUOTA_REQUESTS_MAX     INT64_C(1000000000000000)
#define DYNO_QUOTA_DEVICE_S_MAX     1e9

/* What a tenant may do: X(symbol, bit, name). */
#define DYNO_PERMIT_MAP(X)   \
    X(INFER, 1, "infer")     \
    X(READ, 2, "read")       \
    X(CONTROL, 4, "control") \
    X(METRICS, 8, "metrics")

enum dyno_permit {
#define X(sym, bit, name) DYNO_PERMIT_##sym = (bit),
    DYNO_PERMIT_MAP(X)
#undef X
};
#define DYNO_PERMIT_ALL 15

struct dyno_use {
    uint64_t requests, device_ns;
};

/* A key as it is listed; its text is known to nobody. */
struct dyno_key_row {
    char id[DYNO_KEY_ID_BYTES + 1];
    uint8_t digest[DYNO_DIGEST_BYTES];
    int64_t created_s;
    int64_t ends_s; /* 0: never; valid before it */
};

/* 0 is "unlimited" wherever a limit stands. */
struct dyno_tenant {
    int64_t id; /* from 1 on, never given again */
    const char *name;
    bool enabled;
    uint32_t permits;       /* enum dyno_permit */
    const char *class_name; /* the best service class that it may use */
    double rate_per_s;      /* requests */
    uint32_t burst;         /* requests at once; 0: as many as in a second */
    uint32_t concurrent_max;
    enum dyno_period period; /* of the quota */
    uint64_t quota_requests, quota_device_ns;
    const char *const *models; /* names; none: all models */
    size_t model_count;
    int64_t created_s;
    /* What a reading adds. */
    const struct dyno_key_row *keys;
    size_t key_count;
    struct dyno_use day_use, month_use; /* in the day that was asked for, and in its month */
};

/* The fields of a change. */
enum dyno_tenant_field {
    DYNO_TENANT_ENABLED = 1,
    DYNO_TENANT_PERMITS = 2,
    DYNO_TENANT_CLASS = 4,
    DYNO_TENANT_RATE = 8,
    DYNO_TENANT_BURST = 16,
    DYNO_TENANT_CONCURRENT = 32,
    DYNO_TENANT_PERIOD = 64,
    DYNO_TENANT_QUOTA_REQUESTS = 128,
    DYNO_TENANT_QUOTA_DEVICE = 256,
    DYNO_TENANT_MODELS = 512,
};

struct dyno_control;

/* As dyno_db_open (control/db.h). */
enum dyno_status dyno_control_open(const char *path, bool create, uint32_t busy_ms,
                                   struct dyno_control **control_out, struct dyno_err *err);
void dyno_control_close(struct dyno_control *control); /* accepts NULL */

/* Has somebody else changed the database since this was asked last?  At first: yes. */
enum dyno_status dyno_control_has_changed(struct dyno_control *control, bool *changed_out,
                                          struct dyno_err *err);
/* Is another file under its path now, or none?  Then what is read and written here is seen by
 * nobody else. */
bool dyno_control_is_replaced(const struct dyno_control *control);

/* --- reading --- */

/* All tenants, or the one of that name (E_NOT_FOUND), by id, as they are at one moment, with what
 * they used in the UTC day `today` and its month. */
enum dyno_status dyno_control_read(struct dyno_control *control, const char *name, int64_t today,
                                   struct dyno_arena *arena, struct dyno_tenant **tenants_out,
                                   size_t *count_out, struct dyno_err *err);

/* --- changing: E_ARG names what is wrong with a value, E_NOT_FOUND the tenant or key --- */

/* What a tenant is unless told otherwise. */
struct dyno_tenant dyno_tenant_defaults(const char *name);
/* Are the values in their ranges?  dyno_control_add and _set ask, too. */
enum dyno_status dyno_tenant_check(const struct dyno_tenant *tenant, struct dyno_err *err);

/* The caller wipes the key.  E_EXISTS: there is one of that name. */
enum dyno_status dyno_control_add(struct dyno_control *control, const struct dyno_tenant *tenant,
                                  struct dyno_key *key_out, struct dyno_err *err);
/* Of the tenant of that name, change these fields (enum dyno_tenant_field). */
enum dyno_status dyno_control_set(struct dyno_control *control, const struct dyno_tenant *tenant,
                                  uint32_t fields, struct dyno_err *err);
/* A further key; those before it end in grace_s seconds, or sooner when that was so already. */
enum dyno_status dyno_control_rotate(struct dyno_control *control, const char *name,
                                     int64_t grace_s, struct dyno_key *key_out,
                                     struct dyno_err *err);
/* End one key, or all (key_id NULL), now. */
enum dyno_status dyno_control_revoke(struct dyno_control *control, const char *name,
                                     const char *key_id, struct dyno_err *err);
enum dyno_status dyno_control_remove(struct dyno_control *control, const char *name,
                                     struct dyno_err *err);

/* --- use --- */

struct dyno_use_row {
    int64_t tenant, day;
    struct dyno_use use;
};

/* Add to what is written; tenants that are not there any more are passed over. */
enum dyno_status dyno_control_add_use(struct dyno_control *control, const struct dyno_use_row *rows,
                                      size_t count, struct dyno_err *err);
/* Forget what was used before that day. */
enum dyno_status dyno_control_forget_use(struct dyno_control *control, int64_t before_day,
                                         struct dyno_err *err);

/* --- names and permits --- */

/* [A-Za-z0-9][A-Za-z0-9_.-]*, at most DYNO_CONTROL_NAME_BYTES_MAX: of tenants, classes, models. */
bool dyno_control_name_ok(const char *name);

/* "infer,read". */
enum dyno_status dyno_permits_parse(const char *text, uint32_t *permits_out, struct dyno_err *err);
void dyno_permits_print(uint32_t permits, struct dyno_strbuf *out);
const char *dyno_permit_text(enum dyno_permit permit);

#endif /* DYNO_CONTROL_CONTROL_H */
