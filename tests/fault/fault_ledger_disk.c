/* fault_ledger_disk.c - a ledger on a disk that fails: at each write and sync once, by power cuts
 * at every moment that leave any part of what was not synced, and by being full.
 *
 * The disk lies below what gathers the log (db/log_vfs.h): what fails, is cut or is torn is what
 * that writes.
 */
#include <sys/mman.h>
#include <sys/wait.h>

#include "../unit/meter/ledger_case.h"
#include "../unit/meter/random.h"
#include "ledger_vfs.h"
#include "meter/ledger/segment.h"

/* --- the work --- */

/* Records of each group.  A file ends when it has 20; the largest is written in two gathered
 * pieces, the others in one. */
static const size_t groups[] = {1, 2, 3, 20, 5, 700, 6, 2};
#define RECORDS   739
#define GROUP_MAX 700

static struct dyno_ledger_options work_options(void)
{
    struct dyno_ledger_options options = case_options();
    options.segment_records_max = 20;                   /* it goes over files */
    options.sent_interval_ns = UINT64_C(3600000000000); /* nothing happens by itself */
    options.retry_interval_ns = 2000000;
    return options;
}

/* What a child has seen, for the parent. */
struct seen {
    _Atomic uint64_t calls, gathered, failed, acked_seq, acked_after;
    _Atomic uint32_t epoch;
};
static struct seen *seen;

static void note_ack(struct dyno_ledger_entry *entry)
{
    if (entry->status == DYNO_OK) {
        const uint64_t seq = entry->record.id.seq;
        vfs_note(VFS_ACK, "", (int64_t)seq, NULL, 0);
        if (seen != NULL) {
            atomic_store(&seen->epoch, entry->record.id.epoch);
            atomic_store(&seen->acked_seq, seq);
            if (atomic_load(&seen->failed) != 0)
                atomic_fetch_add(&seen->acked_after, 1);
        }
    }
    case_done(entry);
}

struct batch {
    struct case_entry entries[GROUP_MAX];
    sem_t done;
    size_t count;
};

/* One list, so that they are one group. */
static struct batch *begin_append(struct dyno_ledger *ledger, uint64_t first, size_t count)
{
    struct batch *batch = calloc(1, sizeof(*batch));
    if (batch == NULL || count > GROUP_MAX || sem_init(&batch->done, 0, 0) != 0)
        abort();
    batch->count = count;
    for (size_t i = 0; i < count; i++) {
        batch->entries[i].entry.record = case_record(ledger, first + i);
        batch->entries[i].entry.done = note_ack;
        batch->entries[i].entry.next = i + 1 < count ? &batch->entries[i + 1].entry : NULL;
        batch->entries[i].done = &batch->done;
    }
    dyno_ledger_append(ledger, &batch->entries[0].entry);
    return batch;
}

/* Wait until all are told; how many are durable? */
static size_t end_append(struct dyno_ledger *ledger, struct batch *batch)
{
    size_t durable = 0;
    for (size_t i = 0; i < batch->count; i++)
        while (sem_wait(&batch->done) != 0)
            ;
    for (size_t i = 0; i < batch->count; i++)
        if (batch->entries[i].entry.status == DYNO_OK) {
            durable++;
            if (ledger != NULL)
                (void)dyno_ledger_sent(ledger, &batch->entries[i].entry.record.id.seq, 1, NULL);
        }
    (void)sem_destroy(&batch->done);
    free(batch);
    return durable;
}

static void append(struct dyno_ledger *ledger, uint64_t first, size_t count)
{
    (void)end_append(ledger, begin_append(ledger, first, count));
}

/* The same calls in each run. */
static enum dyno_status work(void)
{
    struct dyno_ledger *ledger = NULL;
    const struct dyno_ledger_options options = work_options();
    uint64_t first = 0;
    DYNO_TRY(dyno_ledger_open(&options, &ledger, NULL));
    for (size_t i = 0; i < DYNO_COUNT(groups); i++) {
        append(ledger, first, groups[i]);
        first += groups[i];
    }
    return dyno_ledger_close(ledger, NULL);
}

/* --- what is there afterwards --- */

/* What a start does, then what a reader sees: all records up to `acked` of the epoch, none twice.
 * Returns how many there are. */
static uint64_t check_after(uint32_t epoch, uint64_t acked, const char *what, size_t place)
{
    struct dyno_ledger_end end;
    struct dyno_verify_report report;
    struct dyno_err err = {0};
    CHECK_MSG(dyno_ledger_recover(case_folder, &end, &err) == DYNO_OK, "%s %zu: %s", what, place,
              err.text);
    if (end.segment == 0) {
        CHECK_MSG(acked == 0, "%s %zu: all is gone", what, place);
        return 0;
    }
    CHECK_MSG(acked == 0 || (end.epoch == epoch && end.seq >= acked),
              "%s %zu: record %llu was acknowledged, %llu is the last", what, place,
              (unsigned long long)acked, (unsigned long long)end.seq);
    CHECK_MSG(case_verify(case_folder, &report, &err) == DYNO_OK, "%s %zu: %s", what, place,
              err.text);
    /* One epoch, from its first record on. */
    CHECK_MSG(report.records == end.seq && end.seq <= RECORDS,
              "%s %zu: %llu records, the last %llu", what, place,
              (unsigned long long)report.records, (unsigned long long)end.seq);
    return report.records;
}

/* --- each call fails once --- */

static int run_child(uint64_t fail_at, enum vfs_failure failure)
{
    case_clear();
    memset(seen, 0, sizeof(*seen));
    (void)fflush(NULL);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        const int quiet = open("/dev/null", O_WRONLY);
        (void)dup2(quiet, STDERR_FILENO);
        vfs.failed = &seen->failed;
        vfs.failure = failure;
        atomic_store(&vfs.calls, 0);
        atomic_store(&vfs.fail_at, fail_at);
        const enum dyno_status status = work();
        atomic_store(&seen->calls, atomic_load(&vfs.calls));
        atomic_store(&seen->gathered, atomic_load(&vfs.gathered));
        _exit(status == DYNO_OK ? 0 : 3);
    }
    int how = 0;
    REQUIRE(waitpid(child, &how, 0) == child);
    return how;
}

struct outcomes {
    uint64_t failed, ended, refused, went_on;
};

static void check_child(uint64_t nth, enum vfs_failure failure, const char *what,
                        struct outcomes *outcomes)
{
    const int how = run_child(nth, failure);
    const bool went_on = WIFEXITED(how) && WEXITSTATUS(how) == 0;
    const bool refused = WIFEXITED(how) && WEXITSTATUS(how) == 3;
    const uint64_t failed = atomic_load(&seen->failed);
    outcomes->failed += failed != 0;
    outcomes->ended += WIFSIGNALED(how) && WTERMSIG(how) == SIGABRT;
    outcomes->refused += refused;
    outcomes->went_on += went_on;
    CHECK_MSG(WIFEXITED(how) || WTERMSIG(how) == SIGABRT, "%s call %llu: signal %d", what,
              (unsigned long long)nth, WTERMSIG(how));
    CHECK_MSG(went_on || atomic_load(&seen->acked_after) == 0,
              "%s call %llu: acknowledged after it had failed", what, (unsigned long long)nth);
    /* A full disk ends nothing: but a start may be refused, before anything was acknowledged. */
    if (failure == VFS_NO_SPACE && failed == 1 + (uint64_t)VFS_WRITE)
        CHECK_MSG(went_on || (refused && atomic_load(&seen->acked_seq) == 0),
                  "full, call %llu: the process has ended", (unsigned long long)nth);
    const uint64_t records =
        check_after(atomic_load(&seen->epoch), atomic_load(&seen->acked_seq), what, (size_t)nth);
    CHECK_MSG(!went_on || (records == RECORDS && atomic_load(&seen->acked_seq) == RECORDS),
              "%s call %llu: %llu records, %llu acknowledged", what, (unsigned long long)nth,
              (unsigned long long)records, (unsigned long long)atomic_load(&seen->acked_seq));
}

static void test_each_call(enum vfs_failure failure)
{
    static const char *const texts[] = {"broken,", "short,", "full,"};
    struct outcomes outcomes = {0};
    seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(seen != MAP_FAILED);
    CHECK(run_child(0, failure) == 0 && atomic_load(&seen->acked_seq) == RECORDS);
    const uint64_t calls = atomic_load(&seen->calls);
    const uint64_t gathered = atomic_load(&seen->gathered);
    CHECK_MSG(calls > 80, "%llu calls", (unsigned long long)calls);
    /* A commit is one write, or for the largest two, and so is making a file. */
    CHECK_MSG(gathered > DYNO_COUNT(groups), "%llu gathered", (unsigned long long)gathered);
    for (uint64_t nth = 1; nth <= calls; nth++)
        check_child(nth, failure, texts[failure], &outcomes);
    /* A start refuses, later the process ends.  Only a new file, which nobody was told of, is made
     * again; and what does not fit is written when there is space. */
    printf(
        "%s %llu calls failed, %llu writes were gathered: %llu ended the process, %llu refused to "
        "start, %llu went on\n",
        texts[failure], (unsigned long long)outcomes.failed, (unsigned long long)gathered,
        (unsigned long long)outcomes.ended, (unsigned long long)outcomes.refused,
        (unsigned long long)outcomes.went_on);
    CHECK(outcomes.failed == calls);
    CHECK(failure == VFS_NO_SPACE || outcomes.ended + outcomes.refused > calls / 2);
    (void)munmap(seen, sizeof(*seen));
    seen = NULL;
}

/* --- power cuts --- */

#define FILES_MAX 64

struct image {
    char name[40];
    bool exists;
    uint8_t *data;
    size_t bytes, room;
};
static struct image images[FILES_MAX];
static size_t image_count;

static struct image *image_of(const char *name)
{
    for (size_t i = 0; i < image_count; i++)
        if (strcmp(images[i].name, name) == 0)
            return &images[i];
    REQUIRE(image_count < FILES_MAX);
    (void)snprintf(images[image_count].name, sizeof(images[0].name), "%s", name);
    return &images[image_count++];
}

static void resize(struct image *image, size_t bytes)
{
    if (bytes > image->room) {
        image->room = 2 * bytes;
        image->data = realloc(image->data, image->room);
        REQUIRE(image->data != NULL);
    }
    if (bytes > image->bytes)
        memset(image->data + image->bytes, 0, bytes - image->bytes);
    image->bytes = bytes;
}

static void apply(const struct vfs_op *op, size_t bytes_max)
{
    if (op->kind == VFS_ACK || op->kind == VFS_SYNC)
        return;
    struct image *image = image_of(op->name);
    if (op->kind == VFS_DELETE) {
        image->exists = false;
        image->bytes = 0;
    } else if (op->kind == VFS_TRUNCATE) {
        resize(image, (size_t)op->offset);
    } else if (op->kind == VFS_CREATE) {
        image->exists = true;
    } else {
        const size_t bytes = op->bytes < bytes_max ? op->bytes : bytes_max;
        const size_t end = (size_t)op->offset + bytes;
        if (end > image->bytes)
            resize(image, end);
        memcpy(image->data + op->offset, op->data, bytes);
    }
}

/* Was it synced before the cut?  Making and deleting files is taken as done in order. */
static bool is_synced(size_t i, size_t cut)
{
    if (vfs.ops[i].kind == VFS_CREATE || vfs.ops[i].kind == VFS_DELETE)
        return true;
    for (size_t k = i + 1; k < cut; k++)
        if (strcmp(vfs.ops[k].name, vfs.ops[i].name) == 0 &&
            (vfs.ops[k].kind == VFS_SYNC || vfs.ops[k].kind == VFS_DELETE))
            return true;
    return false;
}

#define SECTOR_BYTES 512

/* A write of which each sector is there or not. */
static void apply_sectors(const struct vfs_op *op)
{
    struct image *image = image_of(op->name);
    for (size_t at = 0; at < op->bytes; at += SECTOR_BYTES) {
        const size_t bytes = op->bytes - at < SECTOR_BYTES ? op->bytes - at : SECTOR_BYTES;
        const size_t end = (size_t)op->offset + at + bytes;
        if (random_below(2) == 0)
            continue;
        if (end > image->bytes)
            resize(image, end);
        memcpy(image->data + op->offset + at, op->data + at, bytes);
    }
}

enum rest { NONE_OF_IT, ALL_OF_IT, SOME_OF_IT, SECTORS_OF_IT };

/* The disk when the power goes at call `cut`: what was synced, and of the rest what `rest` says; of
 * the call itself the first `bytes`. */
static void build(size_t cut, enum rest rest, size_t bytes)
{
    for (size_t i = 0; i < image_count; i++) {
        images[i].exists = false;
        images[i].bytes = 0;
    }
    for (size_t i = 0; i < cut; i++)
        if (rest == ALL_OF_IT || is_synced(i, cut) || (rest == SOME_OF_IT && random_below(2) == 0))
            apply(&vfs.ops[i], SIZE_MAX);
        else if (rest == SECTORS_OF_IT && vfs.ops[i].kind == VFS_WRITE)
            apply_sectors(&vfs.ops[i]);
    if (bytes > 0)
        apply(&vfs.ops[cut], bytes);
    case_clear();
    REQUIRE(mkdir(case_folder, 0700) == 0);
    for (size_t i = 0; i < image_count; i++) {
        char path[sizeof(case_folder) + sizeof(images[0].name)];
        if (!images[i].exists)
            continue;
        (void)snprintf(path, sizeof(path), "%s/%.39s", case_folder, images[i].name);
        const int fd = open(path, O_CREAT | O_WRONLY, 0600);
        REQUIRE(fd >= 0 && write(fd, images[i].data, images[i].bytes) == (ssize_t)images[i].bytes);
        (void)close(fd);
    }
}

static void check_cut(size_t cut, enum rest rest, size_t bytes, uint32_t epoch, uint64_t acked)
{
    static const char *const texts[] = {"cut, nothing of the rest,", "cut, all of the rest,",
                                        "cut, some of the rest,", "cut, sectors of the rest,"};
    build(cut, rest, bytes);
    check_after(epoch, acked, texts[rest], cut * 10000 + bytes);
}

static void test_power_cuts(void)
{
    uint64_t acked = 0;
    size_t cuts = 0;
    size_t torn = 0; /* moments inside a gathered write */
    case_clear();
    vfs.keeps = true;
    CHECK(work() == DYNO_OK);
    vfs.keeps = false;
    struct dyno_ledger_end end;
    REQUIRE(dyno_ledger_recover(case_folder, &end, NULL) == DYNO_OK);
    for (size_t cut = 0; cut < vfs.op_count; cut++) {
        const struct vfs_op *op = &vfs.ops[cut];
        if (op->kind == VFS_ACK) {
            acked = (uint64_t)op->offset;
            check_cut(cut, NONE_OF_IT, 0, end.epoch, acked);
            continue;
        }
        check_cut(cut, NONE_OF_IT, 0, end.epoch, acked);
        check_cut(cut, SOME_OF_IT, 0, end.epoch, acked);
        check_cut(cut, SECTORS_OF_IT, 0, end.epoch, acked);
        for (size_t bytes = SECTOR_BYTES; op->kind == VFS_WRITE && bytes < op->bytes + SECTOR_BYTES;
             bytes += SECTOR_BYTES) {
            check_cut(cut, ALL_OF_IT, bytes, end.epoch, acked);
            torn += op->bytes > VFS_PAGE_BYTES;
        }
        cuts++;
    }
    printf("%zu calls cut, gathered writes at %zu places, %llu records acknowledged\n", cuts, torn,
           (unsigned long long)acked);
    CHECK(acked == RECORDS && torn > 300);
    vfs_forget();
    for (size_t i = 0; i < image_count; i++)
        free(images[i].data);
}

/* --- a full disk --- */

static void wait_for(const struct dyno_ledger *ledger, bool admits)
{
    for (int i = 0; i < 5000 && dyno_ledger_admits(ledger) != admits; i++)
        (void)usleep(1000);
    CHECK(dyno_ledger_admits(ledger) == admits);
}

/* What does not fit is the first piece of a group, not its end. */
static void test_full_for_a_large_group(struct dyno_ledger *ledger)
{
    const uint64_t before = dyno_ledger_durable_seq(ledger);
    atomic_store(&vfs.is_full, true);
    struct batch *batch = begin_append(ledger, 1000, GROUP_MAX);
    wait_for(ledger, false);
    CHECK(dyno_ledger_durable_seq(ledger) == before);
    atomic_store(&vfs.is_full, false);
    CHECK(end_append(ledger, batch) == GROUP_MAX);
    CHECK(dyno_ledger_durable_seq(ledger) == before + GROUP_MAX);
    wait_for(ledger, true);
}

static void test_full(void)
{
    struct case_entry entry = {.entry = {.done = case_done}};
    struct dyno_verify_report report;
    struct dyno_err err = {0};
    sem_t done;
    char reserve[160];
    const struct dyno_ledger_options options = work_options();
    case_clear();
    CHECK(sem_init(&done, 0, 0) == 0);
    (void)snprintf(reserve, sizeof(reserve), "%s/reserve", case_folder);
    struct dyno_ledger *ledger = case_open(&options);
    CHECK(dyno_ledger_admits(ledger) && access(reserve, F_OK) == 0);
    atomic_store(&vfs.is_full, true);
    entry.done = &done;
    entry.entry.record = case_record(ledger, 1);
    dyno_ledger_append(ledger, &entry.entry);
    wait_for(ledger, false);
    CHECK(access(reserve, F_OK) != 0); /* given free */
    (void)usleep(60000);
    CHECK(sem_trywait(&done) != 0 && dyno_ledger_durable_seq(ledger) == 0);
    atomic_store(&vfs.is_full, false); /* space again: all goes on by itself */
    while (sem_wait(&done) != 0)
        ;
    CHECK(entry.entry.status == DYNO_OK && entry.entry.record.id.seq == 1);
    wait_for(ledger, true);
    CHECK(access(reserve, F_OK) == 0);
    append(ledger, 100, 10); /* over the end of the file, too */
    append(ledger, 110, 10);
    append(ledger, 120, 10);
    test_full_for_a_large_group(ledger);
    case_close(ledger);
    CHECK_MSG(case_verify(case_folder, &report, &err) == DYNO_OK, "%s", err.text);
    CHECK(report.records == 31 + GROUP_MAX);

    ledger = case_open(&options); /* it stays full until the end: what waits is told so */
    atomic_store(&vfs.is_full, true);
    entry.entry.record = case_record(ledger, 2);
    dyno_ledger_append(ledger, &entry.entry);
    wait_for(ledger, false);
    CHECK(dyno_ledger_close(ledger, &err) == DYNO_E_IO);
    CHECK_MSG(strstr(err.text, "no space is left") != NULL, "%s", err.text);
    CHECK(sem_trywait(&done) == 0 && entry.entry.status == DYNO_E_CANCELLED);
    err = (struct dyno_err){0};
    CHECK(dyno_ledger_open(&options, &ledger, &err) != DYNO_OK && err.text[0] != 0);
    atomic_store(&vfs.is_full, false);
    ledger = case_open(&options);
    append(ledger, 130, 2);
    case_close(ledger);
    CHECK_MSG(case_verify(case_folder, &report, &err) == DYNO_OK, "%s", err.text);
    CHECK(report.records == 33 + GROUP_MAX);
    (void)sem_destroy(&done);
}

int main(void)
{
    case_begin();
    vfs_install();
    for (int failure = VFS_BROKEN; failure <= VFS_NO_SPACE; failure++)
        test_each_call((enum vfs_failure)failure);
    test_power_cuts();
    test_full();
    case_end();
    return TEST_RESULT();
}
