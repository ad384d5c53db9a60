/* control_case.h - a folder with a control database, and ways to spoil it. */
#ifndef DYNO_TESTS_CONTROL_CASE_H
#define DYNO_TESTS_CONTROL_CASE_H

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "control/control.h"
#include "db/db_fail.h"
#include "test.h"

static char case_folder[64];
static char case_path[80];

static inline void case_clear(void)
{
    static const char *const endings[] = {"", "-wal", "-shm", "-journal"};
    char path[96];
    for (size_t i = 0; i < DYNO_COUNT(endings); i++) {
        (void)snprintf(path, sizeof(path), "%s%s", case_path, endings[i]);
        (void)unlink(path);
    }
}

/* In memory where that is possible: every commit waits for the disk. */
static inline void case_begin(void)
{
    const char *root = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    (void)snprintf(case_folder, sizeof(case_folder), "%s/dyno-control-XXXXXX", root);
    REQUIRE(mkdtemp(case_folder) != NULL);
    (void)snprintf(case_path, sizeof(case_path), "%s/c.db", case_folder);
}

static inline void case_end(void)
{
    case_clear();
    CHECK(rmdir(case_folder) == 0);
}

static inline struct dyno_control *case_open(bool create)
{
    struct dyno_control *control = NULL;
    struct dyno_err err = {0};
    CHECK_MSG(dyno_control_open(case_path, create, 1000, &control, &err) == DYNO_OK, "%s",
              err.text);
    REQUIRE(control != NULL);
    return control;
}

/* A database with the tenants "a", of all kinds of limits, and "b", of none; the keys of a. */
static inline struct dyno_control *case_make(struct dyno_key *key_out)
{
    static const char *const models[] = {"resnet", "bert.v2"};
    struct dyno_key key;
    case_clear();
    struct dyno_control *control = case_open(true);
    struct dyno_tenant tenant = dyno_tenant_defaults("a");
    tenant.permits = DYNO_PERMIT_INFER | DYNO_PERMIT_METRICS;
    tenant.class_name = "realtime";
    tenant.rate_per_s = 2.5;
    tenant.burst = 7;
    tenant.concurrent_max = 3;
    tenant.period = DYNO_PERIOD_MONTH;
    tenant.quota_requests = 1000;
    tenant.quota_device_ns = 5000000000;
    tenant.models = models;
    tenant.model_count = DYNO_COUNT(models);
    CHECK(dyno_control_add(control, &tenant, key_out, NULL) == DYNO_OK);
    tenant = dyno_tenant_defaults("b");
    CHECK(dyno_control_add(control, &tenant, &key, NULL) == DYNO_OK);
    return control;
}

/* SQL as anybody may run it: nothing is enforced but what the tables say. */
static inline bool case_sql(const char *sql)
{
    const struct dyno_sqlite *sqlite = NULL;
    struct sqlite3 *handle = NULL;
    REQUIRE(dyno_sqlite_get(&sqlite, NULL) == DYNO_OK);
    const int code = sqlite->open_v2(case_path, &handle, SQLITE_OPEN_READWRITE, NULL);
    const bool ok = code == SQLITE_OK && sqlite->exec(handle, sql, NULL, NULL, NULL) == SQLITE_OK;
    if (!ok)
        (void)test_say("%s: %s", sql, sqlite->errmsg(handle));
    (void)sqlite->close(handle);
    return ok;
}

/* The whole file; the caller frees it. */
static inline char *case_slurp(size_t *bytes_out)
{
    struct stat info = {0};
    const int fd = open(case_path, O_RDONLY);
    REQUIRE(fd >= 0 && fstat(fd, &info) == 0);
    *bytes_out = (size_t)info.st_size;
    char *data = malloc(*bytes_out + 1);
    REQUIRE(data != NULL && read(fd, data, *bytes_out) == (ssize_t)*bytes_out);
    (void)close(fd);
    return data;
}

static inline void case_spill(const char *data, size_t bytes)
{
    const int fd = open(case_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    REQUIRE(fd >= 0 && write(fd, data, bytes) == (ssize_t)bytes);
    (void)close(fd);
}

#endif /* DYNO_TESTS_CONTROL_CASE_H */
