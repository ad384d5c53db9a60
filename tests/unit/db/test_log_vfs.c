/* test_log_vfs.c - writes to a log are gathered, and nobody sees a difference: call by call, then
 * below SQLite, on a disk that fails.
 */
#include <sys/stat.h>
#include <unistd.h>

#include "../../fault/ledger_vfs.h"
#include "base/mem.h"
#include "db/db.h"
#include "db/log_vfs.h"

#define PIECE 65536 /* is gathered at most */

static char folder[64];
static char path[96];     /* of the database */
static char log_path[96]; /* its owner and mode are those of the database, which must be there */

/* --- one file --- */

static struct {
    sqlite3_file *file;
    uint8_t want[4 * PIECE]; /* what its reader is to see */
    int64_t bytes;
} written;

static const sqlite3_io_methods *how(void)
{
    return written.file->pMethods;
}

static void open_log(void)
{
    sqlite3_vfs *own = vfs.sqlite->vfs_find(dyno_log_vfs());
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_WAL;
    REQUIRE(own != NULL);
    const int fd = open(path, O_CREAT | O_WRONLY, 0600);
    REQUIRE(fd >= 0 && close(fd) == 0);
    (void)unlink(log_path);
    written.bytes = 0;
    memset(written.want, 0, sizeof(written.want));
    written.file = calloc(1, (size_t)own->szOsFile);
    REQUIRE(written.file != NULL);
    REQUIRE(own->xOpen(own, log_path, written.file, flags, NULL) == SQLITE_OK && how() != NULL);
    vfs_forget();
    vfs.keeps = true;
}

static int close_log(void)
{
    const int code = how()->xClose(written.file);
    free(written.file);
    written.file = NULL;
    vfs.keeps = false;
    CHECK_MSG(dyno_mem_live_count() == 0, "%llu blocks", (unsigned long long)dyno_mem_live_count());
    return code;
}

/* Bytes that no other place and no other write has. */
static int put(int64_t offset, int bytes)
{
    static uint8_t data[2 * PIECE];
    static uint32_t writes;
    writes++;
    for (int i = 0; i < bytes; i++)
        data[i] = (uint8_t)(((uint64_t)offset + (uint64_t)i) * 31 / 7 + writes * 97);
    const int code = how()->xWrite(written.file, data, bytes, offset);
    if (code == SQLITE_OK) {
        memcpy(written.want + offset, data, (size_t)bytes);
        written.bytes = offset + bytes > written.bytes ? offset + bytes : written.bytes;
    }
    return code;
}

static size_t count_of(enum vfs_op_kind kind)
{
    size_t count = 0;
    for (size_t i = 0; i < vfs.op_count; i++)
        count += vfs.ops[i].kind == kind;
    return count;
}

static size_t writes(void)
{
    return count_of(VFS_WRITE);
}

static bool last_is(enum vfs_op_kind kind, int64_t offset, size_t bytes)
{
    const struct vfs_op *op = vfs.op_count > 0 ? &vfs.ops[vfs.op_count - 1] : NULL;
    return op != NULL && op->kind == kind && op->offset == offset && op->bytes == bytes;
}

/* What the disk has is what was written. */
static void check_disk(void)
{
    static uint8_t got[sizeof(written.want) + 1];
    const int fd = open(log_path, O_RDONLY);
    REQUIRE(fd >= 0);
    const ssize_t bytes = read(fd, got, sizeof(got));
    (void)close(fd);
    CHECK_MSG(bytes == written.bytes, "%zd bytes, want %lld", bytes, (long long)written.bytes);
    CHECK(bytes == written.bytes && test_same(got, written.want, (size_t)bytes));
}

/* --- what is gathered --- */

static void test_one_write(void)
{
    open_log();
    CHECK(put(0, 32) == SQLITE_OK);
    for (int i = 0; i < 8; i++) {
        CHECK(put(32 + 4120 * i, 24) == SQLITE_OK);
        CHECK(put(56 + 4120 * i, 4096) == SQLITE_OK);
    }
    CHECK(writes() == 0);
    CHECK(how()->xSync(written.file, SQLITE_SYNC_NORMAL) == SQLITE_OK);
    CHECK(writes() == 1 && vfs.ops[0].kind == VFS_WRITE && vfs.ops[0].offset == 0 &&
          vfs.ops[0].bytes == 32 + 8 * 4120);
    CHECK(last_is(VFS_SYNC, 0, 0)); /* and nothing twice */
    CHECK(how()->xSync(written.file, SQLITE_SYNC_NORMAL) == SQLITE_OK && writes() == 1);
    check_disk();
    CHECK(close_log() == SQLITE_OK);
}

static void test_jumps(void)
{
    open_log();
    CHECK(put(1000, 100) == SQLITE_OK && put(1100, 100) == SQLITE_OK && writes() == 0);
    CHECK(put(500, 100) == SQLITE_OK); /* back */
    CHECK(writes() == 1 && last_is(VFS_WRITE, 1000, 200));
    CHECK(put(601, 100) == SQLITE_OK); /* a byte is left out */
    CHECK(writes() == 2 && last_is(VFS_WRITE, 500, 100));
    CHECK(put(650, 10) == SQLITE_OK); /* over what is gathered */
    CHECK(writes() == 3 && last_is(VFS_WRITE, 601, 100));
    CHECK(put(650, 20) == SQLITE_OK); /* the same place again */
    CHECK(put(0, 1) == SQLITE_OK && writes() == 5);
    CHECK(how()->xSync(written.file, 0) == SQLITE_OK && writes() == 6);
    check_disk();
    CHECK(close_log() == SQLITE_OK);
}

static void test_sizes(void)
{
    open_log();
    CHECK(put(0, PIECE) == SQLITE_OK && writes() == 0); /* just fits */
    CHECK(put(PIECE, 1) == SQLITE_OK);
    CHECK(writes() == 1 && last_is(VFS_WRITE, 0, PIECE));
    CHECK(put(PIECE + 1, PIECE - 1) == SQLITE_OK && writes() == 1);
    CHECK(put(2 * PIECE, PIECE + 1) == SQLITE_OK); /* never fits: by itself, in order */
    CHECK(writes() == 3 && last_is(VFS_WRITE, 2 * PIECE, PIECE + 1));
    CHECK(put(3 * PIECE + 1, 10) == SQLITE_OK && writes() == 3);
    CHECK(how()->xSync(written.file, 0) == SQLITE_OK && writes() == 4);
    check_disk();
    CHECK(close_log() == SQLITE_OK);
}

/* --- who asks sees it --- */

static void test_reads_see_writes(void)
{
    static uint8_t got[PIECE];
    static const uint8_t zeros[20];
    open_log();
    CHECK(put(0, 4000) == SQLITE_OK && put(4000, 4000) == SQLITE_OK);
    CHECK(how()->xRead(written.file, got, 3000, 2500) == SQLITE_OK);
    CHECK(test_same(got, written.want + 2500, 3000));
    CHECK(put(8000, 100) == SQLITE_OK && put(2600, 50) == SQLITE_OK);
    CHECK(how()->xRead(written.file, got, 8100, 0) == SQLITE_OK &&
          test_same(got, written.want, 8100));
    CHECK(put(8100, 100) == SQLITE_OK);
    /* Past the end the rest is zeros, as everywhere. */
    CHECK(how()->xRead(written.file, got, 120, 8100) == SQLITE_IOERR_SHORT_READ);
    CHECK(test_same(got, written.want + 8100, 100) && test_same(got + 100, zeros, 20));
    check_disk();
    CHECK(close_log() == SQLITE_OK);
}

static void test_size_and_truncate(void)
{
    sqlite3_int64 size = -1;
    int ignored = 0;
    open_log();
    CHECK(how()->xFileSize(written.file, &size) == SQLITE_OK && size == 0);
    CHECK(put(0, 5000) == SQLITE_OK);
    CHECK(how()->xFileSize(written.file, &size) == SQLITE_OK && size == 5000);
    CHECK(put(5000, 100) == SQLITE_OK);
    CHECK(how()->xTruncate(written.file, 5050) == SQLITE_OK);
    written.bytes = 5050;
    CHECK(how()->xFileSize(written.file, &size) == SQLITE_OK && size == 5050);
    check_disk();
    CHECK(put(5050, 100) == SQLITE_OK);
    CHECK(how()->xTruncate(written.file, 0) == SQLITE_OK);
    written.bytes = 0;
    check_disk();
    CHECK(put(0, 10) == SQLITE_OK && writes() == 3); /* nothing comes back from the dead */
    CHECK(how()->xFileControl(written.file, SQLITE_FCNTL_LOCKSTATE, &ignored) == SQLITE_OK);
    CHECK(writes() == 4);
    check_disk();
    CHECK(how()->xSectorSize(written.file) > 0);
    CHECK(close_log() == SQLITE_OK);
}

static void test_close(void)
{
    open_log();
    CHECK(put(0, 5000) == SQLITE_OK && writes() == 0);
    CHECK(close_log() == SQLITE_OK);
    check_disk();
    open_log();
    CHECK(put(0, 5000) == SQLITE_OK);
    atomic_store(&vfs.calls, 0);
    atomic_store(&vfs.fail_at, 1);
    CHECK(close_log() == SQLITE_IOERR_WRITE); /* it is closed all the same */
    atomic_store(&vfs.fail_at, 0);
}

static void test_other_files(void)
{
    sqlite3_vfs *own = vfs.sqlite->vfs_find(dyno_log_vfs());
    sqlite3_file *file = calloc(1, (size_t)own->szOsFile);
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_MAIN_DB;
    REQUIRE(file != NULL && own->xOpen(own, path, file, flags, NULL) == SQLITE_OK);
    CHECK(file->pMethods == &vfs_methods); /* nothing of ours lies between */
    CHECK(file->pMethods->xClose(file) == SQLITE_OK);
    CHECK(own->xOpen(own, folder, file, flags | SQLITE_OPEN_WAL, NULL) != SQLITE_OK);
    CHECK(file->pMethods == NULL);
    free(file);
}

/* --- what fails --- */

static void test_no_memory(void)
{
    open_log();
    dyno_mem_fail_at(1);
    CHECK(put(0, 100) == SQLITE_OK); /* by itself */
    dyno_mem_fail_at(0);
    CHECK(writes() == 1 && last_is(VFS_WRITE, 0, 100));
    CHECK(put(100, 100) == SQLITE_OK && put(200, 100) == SQLITE_OK && writes() == 1);
    CHECK(how()->xSync(written.file, 0) == SQLITE_OK);
    CHECK(writes() == 2 && vfs.ops[1].offset == 100 && vfs.ops[1].bytes == 200);
    check_disk();
    CHECK(close_log() == SQLITE_OK);
}

/* The next call on the disk fails. */
static void fail_next(enum vfs_failure failure)
{
    vfs.failure = failure;
    atomic_store(&vfs.calls, 0);
    atomic_store(&vfs.fail_at, 1);
}

/* Who commits is told, and what he gathered is gone: he begins again, at the same place. */
static void test_failed_commit(enum vfs_failure failure)
{
    const int code = failure == VFS_NO_SPACE ? SQLITE_FULL : SQLITE_IOERR_WRITE;
    open_log();
    CHECK(put(0, 2000) == SQLITE_OK && how()->xSync(written.file, 0) == SQLITE_OK);
    CHECK(put(2000, 2000) == SQLITE_OK);
    fail_next(failure);
    const size_t synced = count_of(VFS_SYNC);
    CHECK(how()->xSync(written.file, 0) == code);
    CHECK(count_of(VFS_SYNC) == synced); /* what is not written is not synced */
    const size_t count = writes();
    CHECK(put(2000, 1000) == SQLITE_OK && writes() == count);
    CHECK(how()->xSync(written.file, 0) == SQLITE_OK);
    CHECK(last_is(VFS_SYNC, 0, 0));
    CHECK(put(3000, 2000) == SQLITE_OK);
    fail_next(failure);
    CHECK(put(9000, 10) == code); /* for the one before; this one was not taken */
    CHECK(put(3000, 2000) == SQLITE_OK && how()->xSync(written.file, 0) == SQLITE_OK);
    check_disk();
    CHECK(put(5000, 2000) == SQLITE_OK);
    atomic_store(&vfs.calls, 0);
    atomic_store(&vfs.fail_at, 2);
    CHECK(how()->xSync(written.file, 0) == SQLITE_IOERR_FSYNC);
    check_disk();
    CHECK(close_log() == SQLITE_OK);
}

/* Who only looks is told, too; but a transaction may go on after that, so nothing is forgotten. */
static void test_failed_look(enum vfs_failure failure)
{
    const int code = failure == VFS_NO_SPACE ? SQLITE_FULL : SQLITE_IOERR_WRITE;
    uint8_t got[100];
    sqlite3_int64 size = 0;
    int ignored = 0;
    open_log();
    CHECK(put(0, 3000) == SQLITE_OK);
    fail_next(failure);
    CHECK(how()->xRead(written.file, got, 100, 10) == code);
    CHECK(how()->xRead(written.file, got, 100, 10) == SQLITE_OK &&
          test_same(got, written.want + 10, 100));
    CHECK(put(3000, 1000) == SQLITE_OK);
    fail_next(failure);
    CHECK(how()->xFileSize(written.file, &size) == code);
    CHECK(put(4000, 1000) == SQLITE_OK);
    fail_next(failure);
    CHECK(how()->xFileControl(written.file, SQLITE_FCNTL_LOCKSTATE, &ignored) == code);
    CHECK(how()->xSync(written.file, 0) == SQLITE_OK);
    check_disk();
    CHECK(close_log() == SQLITE_OK);
}

/* --- below SQLite --- */

static const char *const changes[] = {
    "CREATE TABLE row (id INTEGER PRIMARY KEY, text TEXT NOT NULL CHECK (text <> 'no')) STRICT;"
    "CREATE TABLE other (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;"};
static const struct dyno_db_kind kind = {.what = "test",
                                         .application_id = 0x74657374,
                                         .version = 1,
                                         .changes = changes,
                                         .commits_often = true};

static int64_t ask(struct dyno_db *db, const char *sql)
{
    struct dyno_stmt stmt = {0};
    struct dyno_err err = {0};
    bool has_row = false;
    int64_t value = -1;
    CHECK_MSG(dyno_stmt_open(db, sql, &stmt, &err) == DYNO_OK &&
                  dyno_stmt_step(&stmt, &has_row, &err) == DYNO_OK && has_row &&
                  dyno_stmt_i64(&stmt, 0, INT64_MIN, INT64_MAX, &value, &err) == DYNO_OK,
              "%s: %s", sql, err.text);
    dyno_stmt_close(&stmt);
    return value;
}

static void do_sql(struct dyno_db *db, const char *sql)
{
    struct dyno_err err = {0};
    CHECK_MSG(dyno_db_exec(db, sql, &err) == DYNO_OK, "%s: %s", sql, err.text);
}

static void remove_database(void)
{
    char name[128];
    static const char *const ends[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < DYNO_COUNT(ends); i++) {
        (void)snprintf(name, sizeof(name), "%s%s", path, ends[i]);
        (void)unlink(name);
    }
}

/* What a file is that its writer has left. */
static void check_database(int64_t rows, int64_t sum)
{
    struct dyno_db db = {0};
    struct dyno_err err = {0};
    REQUIRE(dyno_db_open(&kind, path, false, 1000, &db, &err) == DYNO_OK);
    CHECK(ask(&db, "SELECT count(*) FROM row") == rows);
    CHECK(ask(&db, "SELECT sum(length(text)) FROM row") == sum);
    CHECK(ask(&db, "SELECT integrity_check = 'ok' FROM pragma_integrity_check") == 1);
    dyno_db_close(&db);
}

/* A large transaction, with a cache so small that its pages go to the log before it ends, on a disk
 * of which call `nth` fails.  It goes on where SQLite lets it, and then commits.  Returns false
 * when so many calls were not made. */
static bool try_large_transaction(uint64_t nth, enum vfs_failure failure)
{
    struct dyno_db db = {0};
    struct dyno_err err = {0};
    bool failed = false;
    remove_database();
    REQUIRE(dyno_db_open(&kind, path, true, 1000, &db, &err) == DYNO_OK);
    REQUIRE(dyno_db_keep_log(&db, &err) == DYNO_OK);
    do_sql(&db, "PRAGMA cache_size = 10; PRAGMA cache_spill = 1");
    do_sql(&db, "INSERT INTO row (id, text) VALUES (1000, 'before')");
    atomic_store(&vfs.calls, 0);
    vfs.failure = failure;
    atomic_store(&vfs.fail_at, nth);
    /* The last ones read what was written, and are taken back by themselves where they fail. */
    static const char *const steps[] = {
        "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 60)"
        " INSERT INTO row SELECT i, printf('%.*c', 3000 + i, 'x') FROM n",
        "INSERT INTO other SELECT id, text FROM row WHERE id < 50",
        "UPDATE row SET text = replace(text, 'x', 'y') WHERE id < 30", "DELETE FROM other"};
    bool is_whole = dyno_db_begin(&db, true, NULL) == DYNO_OK;
    for (size_t i = 0; i < DYNO_COUNT(steps) && db.sqlite->get_autocommit(db.handle) == 0; i++) {
        const bool ok = dyno_db_exec(&db, steps[i], NULL) == DYNO_OK;
        failed = failed || !ok;
        is_whole = is_whole && (ok || i > 0);
    }
    is_whole = is_whole && db.sqlite->get_autocommit(db.handle) == 0;
    is_whole = dyno_db_end(&db, is_whole ? DYNO_OK : DYNO_E_IO, NULL) == DYNO_OK && is_whole;
    failed = failed || !is_whole;
    const bool reached = atomic_load(&vfs.calls) >= nth;
    atomic_store(&vfs.fail_at, 0);
    const int64_t rows = ask(&db, "SELECT count(*) FROM row");
    const int64_t sum = ask(&db, "SELECT sum(length(text)) FROM row");
    CHECK_MSG(is_whole ? rows == 61 : rows == 1, "call %llu: %lld rows", (unsigned long long)nth,
              (long long)rows);
    CHECK(failed == reached);
    do_sql(&db, "INSERT INTO row (id, text) VALUES (2000, 'after')");
    dyno_db_close(&db);
    check_database(rows + 1, sum + 5);
    return reached;
}

static void test_large_transaction(enum vfs_failure failure)
{
    uint64_t nth = 1;
    while (nth < 1000 && try_large_transaction(nth, failure))
        nth++;
    printf("a large transaction: %llu calls lost\n", (unsigned long long)(nth - 1));
    CHECK(nth > 5 && nth < 1000);
    remove_database();
}

int main(void)
{
    (void)snprintf(folder, sizeof(folder), "%s/dyno-log-XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    REQUIRE(mkdtemp(folder) != NULL);
    (void)snprintf(path, sizeof(path), "%s/file", folder);
    (void)snprintf(log_path, sizeof(log_path), "%s/file-wal", folder);
    vfs_install();
    REQUIRE(dyno_log_vfs() != NULL);
    test_one_write();
    test_jumps();
    test_sizes();
    test_reads_see_writes();
    test_size_and_truncate();
    test_close();
    test_other_files();
    test_no_memory();
    for (int failure = VFS_BROKEN; failure <= VFS_NO_SPACE; failure++) {
        test_failed_commit((enum vfs_failure)failure);
        test_failed_look((enum vfs_failure)failure);
        test_large_transaction((enum vfs_failure)failure);
    }
    vfs_forget();
    remove_database();
    CHECK(rmdir(folder) == 0);
    CHECK(dyno_mem_live_count() == 0);
    return TEST_RESULT();
}
