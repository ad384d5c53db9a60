/* ledger_vfs.h - the files of SQLite, with everything written down, and failures on demand.
 *
 * A shim over the system's own VFS, which it replaces as the default.  What a file is told (writes,
 * sizes, syncs) is kept in a list, so that the disk can be built again as it may be after a power
 * cut at any moment.  Calls come from one or more threads.
 */
#ifndef DYNO_TESTS_FAULT_LEDGER_VFS_H
#define DYNO_TESTS_FAULT_LEDGER_VFS_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "db/sqlite.h"
#include "test.h"

enum vfs_op_kind { VFS_CREATE, VFS_WRITE, VFS_TRUNCATE, VFS_SYNC, VFS_DELETE, VFS_ACK };

/* How a call fails.  A write that is short has written half of what it was given; on a full disk,
 * too.  A sync says that the disk is full, or that it is broken; both are the same to it. */
enum vfs_failure { VFS_BROKEN, VFS_SHORT, VFS_NO_SPACE };

struct vfs_op {
    enum vfs_op_kind kind;
    char name[40];  /* of the file, without its folder */
    int64_t offset; /* WRITE; TRUNCATE: the size; ACK: the record */
    size_t bytes;
    uint8_t *data;
};

#define VFS_OPS_MAX    20000
#define VFS_PAGE_BYTES 4096 /* of our databases: SQLite's default */

static struct {
    pthread_mutex_t lock;
    const struct dyno_sqlite *sqlite;
    sqlite3_vfs *real;
    sqlite3_vfs shim;
    bool keeps;                /* a list of what is done */
    atomic_bool is_full;       /* the disk: writes that make a file longer fail */
    _Atomic uint64_t calls;    /* writes, sizes, syncs and deletions */
    _Atomic uint64_t fail_at;  /* this call fails; 0: none */
    enum vfs_failure failure;  /* how */
    _Atomic uint64_t *failed;  /* told when it did, 1 + its enum vfs_op_kind; may be NULL */
    _Atomic uint64_t gathered; /* writes of more than SQLite itself writes a call */
    size_t op_count;
    struct vfs_op ops[VFS_OPS_MAX];
} vfs = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct vfs_file {
    sqlite3_file base;
    char name[40];
    /* the real one lies behind */
};

static inline sqlite3_file *vfs_real(sqlite3_file *file)
{
    return (sqlite3_file *)(void *)((struct vfs_file *)file + 1);
}

static inline void vfs_note(enum vfs_op_kind kind, const char *name, int64_t offset,
                            const void *data, size_t bytes)
{
    (void)pthread_mutex_lock(&vfs.lock);
    if (vfs.keeps) {
        struct vfs_op *op = &vfs.ops[vfs.op_count++];
        if (vfs.op_count == VFS_OPS_MAX)
            abort();
        *op = (struct vfs_op){.kind = kind, .offset = offset, .bytes = bytes};
        (void)snprintf(op->name, sizeof(op->name), "%s", name);
        if (bytes > 0) {
            op->data = malloc(bytes);
            if (op->data == NULL)
                abort();
            memcpy(op->data, data, bytes);
        }
    }
    (void)pthread_mutex_unlock(&vfs.lock);
}

/* Count a call; true when it is the one that fails. */
static inline bool vfs_fails(enum vfs_op_kind kind)
{
    const uint64_t call = atomic_fetch_add(&vfs.calls, 1) + 1;
    if (call != atomic_load(&vfs.fail_at))
        return false;
    if (vfs.failed != NULL)
        atomic_store(vfs.failed, 1 + (uint64_t)kind);
    return true;
}

static inline const char *vfs_base_name(const char *path)
{
    const char *slash = path != NULL ? strrchr(path, '/') : NULL;
    return slash != NULL ? slash + 1 : "";
}

/* --- files --- */

static inline int vfs_close(sqlite3_file *file)
{
    return vfs_real(file)->pMethods->xClose(vfs_real(file));
}

static inline int vfs_read(sqlite3_file *file, void *data, int bytes, sqlite3_int64 offset)
{
    return vfs_real(file)->pMethods->xRead(vfs_real(file), data, bytes, offset);
}

static inline int vfs_put(sqlite3_file *file, const void *data, int bytes, sqlite3_int64 offset)
{
    const int code = vfs_real(file)->pMethods->xWrite(vfs_real(file), data, bytes, offset);
    if (code == SQLITE_OK)
        vfs_note(VFS_WRITE, ((struct vfs_file *)file)->name, offset, data, (size_t)bytes);
    return code;
}

static inline int vfs_write(sqlite3_file *file, const void *data, int bytes, sqlite3_int64 offset)
{
    sqlite3_int64 size = 0;
    if (bytes > VFS_PAGE_BYTES)
        (void)atomic_fetch_add(&vfs.gathered, 1);
    if (vfs_fails(VFS_WRITE)) {
        if (vfs.failure != VFS_BROKEN && bytes > 1)
            (void)vfs_put(file, data, bytes / 2, offset);
        errno = vfs.failure == VFS_NO_SPACE ? ENOSPC : EIO;
        return vfs.failure == VFS_NO_SPACE ? SQLITE_FULL : SQLITE_IOERR_WRITE;
    }
    (void)vfs_real(file)->pMethods->xFileSize(vfs_real(file), &size);
    if (atomic_load(&vfs.is_full) && offset + bytes > size)
        return SQLITE_FULL;
    return vfs_put(file, data, bytes, offset);
}

static inline int vfs_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    if (vfs_fails(VFS_TRUNCATE))
        return SQLITE_IOERR_TRUNCATE;
    const int code = vfs_real(file)->pMethods->xTruncate(vfs_real(file), size);
    if (code == SQLITE_OK)
        vfs_note(VFS_TRUNCATE, ((struct vfs_file *)file)->name, size, NULL, 0);
    return code;
}

static inline int vfs_sync(sqlite3_file *file, int flags)
{
    if (vfs_fails(VFS_SYNC)) {
        errno = vfs.failure == VFS_NO_SPACE ? ENOSPC : EIO;
        return SQLITE_IOERR_FSYNC;
    }
    const int code = vfs_real(file)->pMethods->xSync(vfs_real(file), flags);
    if (code == SQLITE_OK)
        vfs_note(VFS_SYNC, ((struct vfs_file *)file)->name, 0, NULL, 0);
    return code;
}

static inline int vfs_file_size(sqlite3_file *file, sqlite3_int64 *size)
{
    return vfs_real(file)->pMethods->xFileSize(vfs_real(file), size);
}

static inline int vfs_lock(sqlite3_file *file, int level)
{
    return vfs_real(file)->pMethods->xLock(vfs_real(file), level);
}

static inline int vfs_unlock(sqlite3_file *file, int level)
{
    return vfs_real(file)->pMethods->xUnlock(vfs_real(file), level);
}

static inline int vfs_check_reserved(sqlite3_file *file, int *out)
{
    return vfs_real(file)->pMethods->xCheckReservedLock(vfs_real(file), out);
}

static inline int vfs_control(sqlite3_file *file, int op, void *arg)
{
    return vfs_real(file)->pMethods->xFileControl(vfs_real(file), op, arg);
}

static inline int vfs_sector_size(sqlite3_file *file)
{
    return vfs_real(file)->pMethods->xSectorSize(vfs_real(file));
}

static inline int vfs_characteristics(sqlite3_file *file)
{
    return vfs_real(file)->pMethods->xDeviceCharacteristics(vfs_real(file));
}

static inline int vfs_shm_map(sqlite3_file *file, int page, int bytes, int extend,
                              void volatile **out)
{
    return vfs_real(file)->pMethods->xShmMap(vfs_real(file), page, bytes, extend, out);
}

static inline int vfs_shm_lock(sqlite3_file *file, int offset, int count, int flags)
{
    return vfs_real(file)->pMethods->xShmLock(vfs_real(file), offset, count, flags);
}

static inline void vfs_shm_barrier(sqlite3_file *file)
{
    vfs_real(file)->pMethods->xShmBarrier(vfs_real(file));
}

static inline int vfs_shm_unmap(sqlite3_file *file, int deletes)
{
    return vfs_real(file)->pMethods->xShmUnmap(vfs_real(file), deletes);
}

static const sqlite3_io_methods vfs_methods = {
    .iVersion = 2, /* without mapping: every write is seen */
    .xClose = vfs_close,
    .xRead = vfs_read,
    .xWrite = vfs_write,
    .xTruncate = vfs_truncate,
    .xSync = vfs_sync,
    .xFileSize = vfs_file_size,
    .xLock = vfs_lock,
    .xUnlock = vfs_unlock,
    .xCheckReservedLock = vfs_check_reserved,
    .xFileControl = vfs_control,
    .xSectorSize = vfs_sector_size,
    .xDeviceCharacteristics = vfs_characteristics,
    .xShmMap = vfs_shm_map,
    .xShmLock = vfs_shm_lock,
    .xShmBarrier = vfs_shm_barrier,
    .xShmUnmap = vfs_shm_unmap,
};

/* --- the file system --- */

static inline int vfs_open(sqlite3_vfs *self, const char *path, sqlite3_file *file, int flags,
                           int *flags_out)
{
    struct vfs_file *own = (struct vfs_file *)file;
    int exists = 0;
    (void)self;
    (void)snprintf(own->name, sizeof(own->name), "%s", vfs_base_name(path));
    own->base.pMethods = NULL;
    if (path != NULL)
        (void)vfs.real->xAccess(vfs.real, path, SQLITE_ACCESS_EXISTS, &exists);
    const int code = vfs.real->xOpen(vfs.real, path, vfs_real(file), flags, flags_out);
    if (vfs_real(file)->pMethods != NULL)
        own->base.pMethods = &vfs_methods;
    if (code == SQLITE_OK && !exists)
        vfs_note(VFS_CREATE, own->name, 0, NULL, 0);
    return code;
}

static inline int vfs_delete(sqlite3_vfs *self, const char *path, int sync_dir)
{
    (void)self;
    if (vfs_fails(VFS_DELETE))
        return SQLITE_IOERR_DELETE;
    const int code = vfs.real->xDelete(vfs.real, path, sync_dir);
    if (code == SQLITE_OK)
        vfs_note(VFS_DELETE, vfs_base_name(path), 0, NULL, 0);
    return code;
}

/* Takes the place of the system's own VFS for the rest of the process: call it before the first
 * database is opened, so that the one that gathers (db/log_vfs.h) stands on it, too. */
static inline void vfs_install(void)
{
    if (dyno_sqlite_get(&vfs.sqlite, NULL) != DYNO_OK || vfs.sqlite == NULL)
        abort();
    REQUIRE(vfs.sqlite->initialize() == SQLITE_OK);
    vfs.real = vfs.sqlite->vfs_find(NULL);
    REQUIRE(vfs.real != NULL);
    vfs.shim = *vfs.real;
    vfs.shim.zName = "dyno-test";
    vfs.shim.szOsFile = (int)sizeof(struct vfs_file) + vfs.real->szOsFile;
    vfs.shim.pNext = NULL;
    vfs.shim.xOpen = vfs_open;
    vfs.shim.xDelete = vfs_delete;
    REQUIRE(vfs.sqlite->vfs_register(&vfs.shim, 1) == SQLITE_OK);
}

static inline void vfs_forget(void)
{
    for (size_t i = 0; i < vfs.op_count; i++)
        free(vfs.ops[i].data);
    vfs.op_count = 0;
}

#endif /* DYNO_TESTS_FAULT_LEDGER_VFS_H */
