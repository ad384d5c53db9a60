/* ledger_case.h - a folder with a ledger, records by the hundred, and ways to look at it. */
#ifndef DYNO_TESTS_METER_LEDGER_CASE_H
#define DYNO_TESTS_METER_LEDGER_CASE_H

#include <dirent.h>
#include <errno.h>
#include <semaphore.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/mem.h"
#include "meter/ledger/ledger.h"
#include "meter/ledger/verify.h"
#include "test.h"

static char case_root[64];
static char case_folder[96];

static inline void case_empty(const char *folder)
{
    char path[512];
    DIR *dir = opendir(folder);
    if (dir == NULL)
        return;
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        (void)snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        (void)unlink(path);
    }
    (void)closedir(dir);
}

/* In memory where that is possible: every commit waits for the disk. */
static inline void case_begin(void)
{
    const char *root = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    (void)snprintf(case_root, sizeof(case_root), "%s/dyno-ledger-XXXXXX", root);
    REQUIRE(mkdtemp(case_root) != NULL);
    (void)snprintf(case_folder, sizeof(case_folder), "%s/ledger", case_root);
}

static inline void case_clear(void)
{
    case_empty(case_folder);
    (void)rmdir(case_folder);
}

static inline void case_end(void)
{
    case_clear();
    case_empty(case_root);
    CHECK(rmdir(case_root) == 0);
    CHECK_MSG(dyno_mem_live_count() == 0, "%llu blocks are left",
              (unsigned long long)dyno_mem_live_count());
}

static inline struct dyno_ledger_options case_options(void)
{
    return (struct dyno_ledger_options){
        .folder = case_folder, .node = 7, .reserve_bytes = 4096, .retry_interval_ns = 20000000};
}

static inline struct dyno_ledger *case_open(const struct dyno_ledger_options *options)
{
    struct dyno_ledger *ledger = NULL;
    struct dyno_err err = {0};
    CHECK_MSG(dyno_ledger_open(options, &ledger, &err) == DYNO_OK, "%s", err.text);
    REQUIRE(ledger != NULL);
    return ledger;
}

static inline void case_close(struct dyno_ledger *ledger)
{
    struct dyno_err err = {0};
    CHECK_MSG(dyno_ledger_close(ledger, &err) == DYNO_OK, "%s", err.text);
}

/* --- entries --- */

struct case_entry {
    struct dyno_ledger_entry entry; /* first: what `done` gets is this */
    sem_t *done;
};

static inline void case_done(struct dyno_ledger_entry *entry)
{
    (void)sem_post(((struct case_entry *)entry)->done);
}

/* A request of one of three tenants for one of two models; n makes them differ. */
static inline struct dyno_record case_record(struct dyno_ledger *ledger, uint64_t n)
{
    static const char *const tenants[] = {"acme", "other.co", "t\xc3\xa9nant"};
    static const char *const models[] = {"resnet50", "bert"};
    struct dyno_record record = {.kind = DYNO_RECORD_USAGE,
                                 .outcome = n % 11 == 10 ? DYNO_OUTCOME_FAILED : DYNO_OUTCOME_OK,
                                 .items = (uint32_t)(n % 8) + 1,
                                 .batch_count = 4,
                                 .batch_id = n / 4 + 1,
                                 .start_ns = 1764401001000000000 + n * 1000000,
                                 .queue_ns = 1000 + n,
                                 .device_ns = 2000000 + n,
                                 .memory_byte_ns = ((dyno_u128)n << 66) + 3};
    record.reference_ns = record.outcome == DYNO_OUTCOME_OK ? 8000000 + n : 0;
    const char *const names[] = {tenants[n % 3], models[n % 2], "1/int8",
                                 "sha256:aa",    "sha256:bb",   "standard",
                                 "3x224x224",    "cpu-zen4",    "gain-share/3"};
    for (uint32_t i = 0; i < DYNO_NAME_KINDS; i++)
        if (dyno_ledger_name(ledger, (enum dyno_name_kind)(i + 1), names[i], &record.names[i],
                             NULL) != DYNO_OK)
            abort(); /* any thread: the checks count without a lock */
    return record;
}

/* Append records first.. and wait for all; `sent`: their answers leave, too. */
static inline void case_append(struct dyno_ledger *ledger, uint64_t first, size_t count, bool sent)
{
    sem_t done;
    struct case_entry *entries = calloc(count, sizeof(*entries));
    REQUIRE(entries != NULL && sem_init(&done, 0, 0) == 0);
    for (size_t i = 0; i < count; i++) {
        entries[i].entry.record = case_record(ledger, first + i);
        entries[i].entry.done = case_done;
        entries[i].done = &done;
        dyno_ledger_append(ledger, &entries[i].entry);
    }
    for (size_t i = 0; i < count; i++)
        while (sem_wait(&done) != 0)
            REQUIRE(errno == EINTR);
    for (size_t i = 0; i < count; i++) {
        CHECK(entries[i].entry.status == DYNO_OK && entries[i].entry.record.id.seq > 0);
        if (sent)
            CHECK(dyno_ledger_sent(ledger, &entries[i].entry.record.id.seq, 1, NULL) == DYNO_OK);
    }
    (void)sem_destroy(&done);
    free(entries);
}

/* --- verifying --- */

static inline enum dyno_status case_verify_with(const char *path,
                                                const struct dyno_verify_options *options,
                                                struct dyno_verify_report *report_out,
                                                struct dyno_err *err)
{
    struct dyno_arena *arena = dyno_arena_create();
    const char **paths = NULL;
    size_t count = 0;
    REQUIRE(arena != NULL);
    *report_out = (struct dyno_verify_report){0};
    enum dyno_status status = dyno_ledger_paths(&path, 1, arena, &paths, &count, err);
    if (status == DYNO_OK)
        status = dyno_ledger_verify(paths, count, options, report_out, err);
    dyno_arena_destroy(arena);
    return status;
}

static inline enum dyno_status case_verify(const char *path, struct dyno_verify_report *report_out,
                                           struct dyno_err *err)
{
    return case_verify_with(path, &(struct dyno_verify_options){0}, report_out, err);
}

static inline void case_segment(uint32_t number, char path_out[160])
{
    (void)snprintf(path_out, 160, "%s/%08u.ledger", case_folder, (unsigned)number);
}

#endif /* DYNO_TESTS_METER_LEDGER_CASE_H */
