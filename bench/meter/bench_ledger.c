/* bench_ledger.c - how fast records become durable, what they take on the disk, how fast they are
 * read.
 *
 *     bench_ledger FOLDER RECORDS GROUP BLOCKS [free|keep]
 *
 * BLOCKS blocks of GROUP records are in flight, each a commit; `free`: the ledger commits what has
 * come, as it does in a server.  FOLDER is made, on the disk that is to be measured, and removed
 * (`keep`: it stays).
 * Prints a JSON object.
 */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "meter/ledger/ledger.h"
#include "meter/ledger/scan.h"
#include "meter/ledger/verify.h"

#define TENANTS 50

struct block {
    struct dyno_ledger_entry *entries;
    atomic_uint left; /* not durable yet */
    uint64_t start_ns;
};

struct record_entry {
    struct dyno_ledger_entry entry;
    struct block *block;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wakes = PTHREAD_COND_INITIALIZER;

static void stop(const char *what, const struct dyno_err *err)
{
    (void)fprintf(stderr, "bench_ledger: %s: %s\n", what, err->text);
    exit(1);
}

static void note_done(struct dyno_ledger_entry *entry)
{
    struct block *block = ((struct record_entry *)entry)->block;
    if (atomic_fetch_sub(&block->left, 1) != 1)
        return;
    (void)pthread_mutex_lock(&lock);
    (void)pthread_cond_signal(&wakes);
    (void)pthread_mutex_unlock(&lock);
}

static void wait_for(struct block *block)
{
    (void)pthread_mutex_lock(&lock);
    while (atomic_load(&block->left) != 0)
        (void)pthread_cond_wait(&wakes, &lock);
    (void)pthread_mutex_unlock(&lock);
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static struct dyno_record make_record(struct dyno_ledger *ledger, uint32_t tenant)
{
    static const char *const texts[] = {
        "",         "resnet50",  "3/int8",   "sha256:4f1d", "sha256:9a0c",
        "standard", "3x224x224", "cpu-zen4", "gain-share/3"};
    struct dyno_record record = {.kind = DYNO_RECORD_USAGE,
                                 .outcome = DYNO_OUTCOME_OK,
                                 .items = 1,
                                 .batch_count = 8,
                                 .batch_id = 1,
                                 .start_ns = 1764401001000000000,
                                 .queue_ns = 120000,
                                 .device_ns = 3400000,
                                 .reference_ns = 13600000};
    char name[32];
    (void)snprintf(name, sizeof(name), "tenant-%u", (unsigned)tenant);
    for (uint32_t kind = 1; kind <= DYNO_NAME_KINDS; kind++)
        (void)dyno_ledger_name(ledger, (enum dyno_name_kind)kind,
                               kind == DYNO_NAME_TENANT ? name : texts[kind - 1],
                               &record.names[kind - 1], NULL);
    return record;
}

struct figures {
    double write_s, cpu_s, p50_us, p99_us, verify_s, scan_s;
    uint64_t bytes, groups;
    bool is_free;
};

static double cpu_s(void)
{
    return (double)dyno_clock_cpu_ns() * 1e-9;
}

static void write_all(const char *folder, uint64_t records, uint32_t group, uint32_t block_count,
                      struct figures *out)
{
    const struct dyno_ledger_options options = {
        .folder = folder, .node = 1, .group_records_max = out->is_free ? 0 : group};
    struct dyno_ledger *ledger = NULL;
    struct dyno_err err = {0};
    struct dyno_record templates[TENANTS];
    const uint64_t rounds = records / group;
    struct block *blocks = calloc(block_count, sizeof(*blocks));
    struct record_entry *entries = calloc((size_t)block_count * group, sizeof(*entries));
    double *waits_us = calloc(rounds, sizeof(*waits_us));
    if (blocks == NULL || entries == NULL || waits_us == NULL)
        exit(1);
    if (dyno_ledger_open(&options, &ledger, &err) != DYNO_OK)
        stop("open", &err);
    for (uint32_t i = 0; i < TENANTS; i++)
        templates[i] = make_record(ledger, i);
    const double cpu_before_s = cpu_s();
    const uint64_t start_ns = dyno_clock_ns();
    for (uint64_t round = 0; round < rounds + block_count; round++) {
        struct block *block = &blocks[round % block_count];
        struct record_entry *own = entries + (round % block_count) * group;
        if (round >= block_count) {
            wait_for(block);
            waits_us[round - block_count] = (double)(dyno_clock_ns() - block->start_ns) * 1e-3;
            for (uint32_t i = 0; i < group; i++)
                (void)dyno_ledger_sent(ledger, &own[i].entry.record.id.seq, 1, NULL);
        }
        if (round >= rounds)
            continue;
        atomic_store(&block->left, group);
        block->start_ns = dyno_clock_ns();
        for (uint32_t i = 0; i < group; i++) {
            own[i].entry.record = templates[(round + i) % TENANTS];
            own[i].entry.done = note_done;
            own[i].block = block;
            dyno_ledger_append(ledger, &own[i].entry);
        }
    }
    out->write_s = (double)(dyno_clock_ns() - start_ns) * 1e-9;
    out->cpu_s = cpu_s() - cpu_before_s;
    if (dyno_ledger_close(ledger, &err) != DYNO_OK)
        stop("close", &err);
    qsort(waits_us, rounds, sizeof(*waits_us), compare);
    out->p50_us = waits_us[rounds / 2];
    out->p99_us = waits_us[rounds * 99 / 100];
    free(blocks);
    free(entries);
    free(waits_us);
}

static enum dyno_status count_record(void *arg, const struct dyno_scanned *scanned,
                                     struct dyno_err *err)
{
    (void)err;
    *(uint64_t *)arg += scanned->record.reference_ns;
    return DYNO_OK;
}

static void read_all(const char *folder, uint64_t records, struct figures *out)
{
    struct dyno_err err = {0};
    struct dyno_verify_report report;
    const char **paths = NULL;
    size_t count = 0;
    uint64_t sum = 0;
    struct stat info;
    struct dyno_arena *arena = dyno_arena_create();
    if (arena == NULL || dyno_ledger_paths(&folder, 1, arena, &paths, &count, &err) != DYNO_OK)
        stop("paths", &err);
    for (size_t i = 0; i < count; i++)
        out->bytes += stat(paths[i], &info) == 0 ? (uint64_t)info.st_size : 0;
    uint64_t start_ns = dyno_clock_ns();
    if (dyno_ledger_verify(paths, count, &(struct dyno_verify_options){0}, &report, &err) !=
        DYNO_OK)
        stop("verify", &err);
    out->verify_s = (double)(dyno_clock_ns() - start_ns) * 1e-9;
    out->groups = report.groups;
    start_ns = dyno_clock_ns();
    if (dyno_ledger_scan(paths, count, count_record, &sum, &err) != DYNO_OK)
        stop("scan", &err);
    out->scan_s = (double)(dyno_clock_ns() - start_ns) * 1e-9;
    if (report.records != records || sum != records * 13600000)
        stop("verify", &(struct dyno_err){.text = "records are missing"});
    dyno_arena_destroy(arena);
}

/* What the disk does by itself: as many bytes as a group has, written and synced, one after
 * another; microseconds in the middle of 200 times. */
static double raw_us(const char *folder, uint32_t group)
{
    enum { TIMES = 200 };
    double us[TIMES];
    char path[4096];
    const size_t bytes = (size_t)group * DYNO_RECORD_BYTES;
    uint8_t *data = calloc(bytes, 1);
    (void)snprintf(path, sizeof(path), "%s.raw", folder);
    const int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (data == NULL || fd < 0 || posix_fallocate(fd, 0, (off_t)(bytes * TIMES)) != 0)
        exit(1);
    for (int i = 0; i < TIMES; i++) {
        const uint64_t start_ns = dyno_clock_ns();
        if (pwrite(fd, data, bytes, (off_t)(bytes * (size_t)i)) != (ssize_t)bytes ||
            fdatasync(fd) != 0)
            exit(1);
        us[i] = (double)(dyno_clock_ns() - start_ns) * 1e-3;
    }
    (void)close(fd);
    (void)unlink(path);
    free(data);
    qsort(us, TIMES, sizeof(*us), compare);
    return us[TIMES / 2];
}

static void remove_folder(const char *folder)
{
    char path[4096];
    DIR *dir = opendir(folder);
    for (struct dirent *entry = dir != NULL ? readdir(dir) : NULL; entry != NULL;
         entry = readdir(dir)) {
        (void)snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        (void)unlink(path);
    }
    if (dir != NULL)
        (void)closedir(dir);
    (void)rmdir(folder);
}

int main(int argc, char **argv)
{
    struct figures f = {0};
    struct rusage usage;
    if (argc < 5)
        return 2;
    f.is_free = argc > 5 && strcmp(argv[5], "free") == 0;
    const uint32_t group = (uint32_t)strtoul(argv[3], NULL, 10);
    const uint32_t block_count = (uint32_t)strtoul(argv[4], NULL, 10);
    if (group == 0 || block_count == 0)
        return 2;
    const uint64_t records = strtoull(argv[2], NULL, 10) / group * group;
    remove_folder(argv[1]);
    const double raw_before_us = raw_us(argv[1], group);
    write_all(argv[1], records, group, block_count, &f);
    const double raw_after_us = raw_us(argv[1], group);
    (void)getrusage(RUSAGE_SELF, &usage);
    read_all(argv[1], records, &f);
    if (argc <= 5 || strcmp(argv[5], "keep") != 0)
        remove_folder(argv[1]);
    printf(
        "{\"records\": %llu, \"block\": %u, \"free\": %s, \"in_flight\": %u, \"groups\": %llu,\n",
        (unsigned long long)records, (unsigned)group, f.is_free ? "true" : "false",
        (unsigned)(group * block_count), (unsigned long long)f.groups);
    printf(" \"records_per_s\": %.0f, \"cpu_us_per_record\": %.3f, \"block_us_p50\": %.0f, "
           "\"block_us_p99\": %.0f,\n",
           (double)records / f.write_s, f.cpu_s * 1e6 / (double)records, f.p50_us, f.p99_us);
    printf(" \"raw_write_and_sync_us\": [%.0f, %.0f], \"bytes_per_record\": %.1f, \"verify_s\": "
           "%.2f, \"scan_s\": %.2f, \"peak_rss_mb\": %.1f}\n",
           raw_before_us, raw_after_us, (double)f.bytes / (double)records, f.verify_s, f.scan_s,
           (double)usage.ru_maxrss / 1024);
    return 0;
}
