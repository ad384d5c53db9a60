/* log_vfs.c - writes to a log, one after another, become one. */
#include "db/log_vfs.h"

#include <pthread.h>
#include <string.h>

#include "base/mem.h"

/* The system's own writes less than 128 KiB a call, and takes more for a full disk. */
#define GATHER_BYTES 65536

struct log_file {
    sqlite3_file base;
    char *data;       /* GATHER_BYTES; NULL: not yet */
    sqlite3_int64 at; /* where in the file what is gathered belongs */
    int bytes;
    /* the real one lies behind */
};

static sqlite3_vfs *below; /* not changed any more once ours is registered */
static sqlite3_vfs own;

static sqlite3_file *real_of(sqlite3_file *file)
{
    return (sqlite3_file *)(void *)((struct log_file *)(void *)file + 1);
}

/* For who only looks: when that fails, SQLite may take back one statement and go on with the
 * transaction, whose frames it takes for written.  They stay here. */
static int flush(sqlite3_file *file)
{
    struct log_file *log = (struct log_file *)(void *)file;
    sqlite3_file *real = real_of(file);
    const int code =
        log->bytes == 0 ? SQLITE_OK : real->pMethods->xWrite(real, log->data, log->bytes, log->at);
    if (code == SQLITE_OK)
        log->bytes = 0;
    return code;
}

/* For who writes or syncs: what cannot be written is forgotten, for its transaction fails, and is
 * written again or never. */
static int flush_or_forget(sqlite3_file *file)
{
    const int code = flush(file);
    ((struct log_file *)(void *)file)->bytes = 0;
    return code;
}

/* --- the file --- */

static int log_close(sqlite3_file *file)
{
    sqlite3_file *real = real_of(file);
    const int flushed = flush_or_forget(file);
    dyno_free(((struct log_file *)(void *)file)->data);
    const int closed = real->pMethods->xClose(real);
    return flushed != SQLITE_OK ? flushed : closed;
}

static int log_write(sqlite3_file *file, const void *data, int bytes, sqlite3_int64 offset)
{
    struct log_file *log = (struct log_file *)(void *)file;
    sqlite3_file *real = real_of(file);
    if (log->bytes > 0 && (offset != log->at + log->bytes || bytes > GATHER_BYTES - log->bytes)) {
        const int code = flush_or_forget(file);
        if (code != SQLITE_OK)
            return code;
    }
    if (log->data == NULL)
        log->data = dyno_alloc_raw(1, GATHER_BYTES);
    if (log->data == NULL || bytes > GATHER_BYTES)
        return real->pMethods->xWrite(real, data, bytes, offset);
    if (log->bytes == 0)
        log->at = offset;
    memcpy(log->data + log->bytes, data, (size_t)bytes);
    log->bytes += bytes;
    return SQLITE_OK;
}

static int log_read(sqlite3_file *file, void *data, int bytes, sqlite3_int64 offset)
{
    sqlite3_file *real = real_of(file);
    const int code = flush(file);
    return code != SQLITE_OK ? code : real->pMethods->xRead(real, data, bytes, offset);
}

static int log_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    sqlite3_file *real = real_of(file);
    const int code = flush_or_forget(file);
    return code != SQLITE_OK ? code : real->pMethods->xTruncate(real, size);
}

static int log_sync(sqlite3_file *file, int flags)
{
    sqlite3_file *real = real_of(file);
    const int code = flush_or_forget(file);
    return code != SQLITE_OK ? code : real->pMethods->xSync(real, flags);
}

static int log_size(sqlite3_file *file, sqlite3_int64 *size_out)
{
    sqlite3_file *real = real_of(file);
    const int code = flush(file);
    return code != SQLITE_OK ? code : real->pMethods->xFileSize(real, size_out);
}

static int log_lock(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xLock(real_of(file), level);
}

static int log_unlock(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xUnlock(real_of(file), level);
}

static int log_check_lock(sqlite3_file *file, int *is_locked_out)
{
    return real_of(file)->pMethods->xCheckReservedLock(real_of(file), is_locked_out);
}

static int log_control(sqlite3_file *file, int op, void *arg)
{
    const int code = flush(file);
    return code != SQLITE_OK ? code : real_of(file)->pMethods->xFileControl(real_of(file), op, arg);
}

static int log_sector_bytes(sqlite3_file *file)
{
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int log_traits(sqlite3_file *file)
{
    return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static const sqlite3_io_methods methods = {.iVersion = 1, /* the rest is of databases alone */
                                           .xClose = log_close,
                                           .xRead = log_read,
                                           .xWrite = log_write,
                                           .xTruncate = log_truncate,
                                           .xSync = log_sync,
                                           .xFileSize = log_size,
                                           .xLock = log_lock,
                                           .xUnlock = log_unlock,
                                           .xCheckReservedLock = log_check_lock,
                                           .xFileControl = log_control,
                                           .xSectorSize = log_sector_bytes,
                                           .xDeviceCharacteristics = log_traits};

/* --- the file system --- */

static int open_file(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags,
                     int *flags_out)
{
    struct log_file *log = (struct log_file *)(void *)file;
    (void)vfs;
    if ((flags & SQLITE_OPEN_WAL) == 0)
        return below->xOpen(below, path, file, flags, flags_out);
    memset(log, 0, sizeof(*log));
    const int code = below->xOpen(below, path, real_of(file), flags, flags_out);
    if (real_of(file)->pMethods != NULL)
        file->pMethods = &methods;
    return code;
}

static pthread_once_t register_once = PTHREAD_ONCE_INIT;
static const char *name; /* NULL: it is not there */

static void add(void)
{
    const struct dyno_sqlite *library = NULL;
    if (dyno_sqlite_get(&library, NULL) != DYNO_OK || library->initialize() != SQLITE_OK)
        return;
    below = library->vfs_find(NULL);
    if (below == NULL)
        return;
    own = *below;
    own.zName = "dyno-log";
    own.pNext = NULL;
    own.szOsFile = (int)sizeof(struct log_file) + below->szOsFile;
    own.xOpen = open_file;
    if (library->vfs_register(&own, 0) == SQLITE_OK)
        name = own.zName;
}

const char *dyno_log_vfs(void)
{
    (void)pthread_once(&register_once, add);
    return name;
}
