/* log_vfs.h - a file system for SQLite that gathers what is written to a write-ahead log.
 *
 * SQLite writes a log by the page, each with a call for its head and one for itself, and syncs it
 * when the transaction ends.  Here they lie in memory until then, and are one write.  Whatever else
 * is asked of the file writes them first, so that nobody sees a difference; every other file is the
 * system's own.  This wants synchronous = FULL: with less a commit would be told to readers before
 * it is written.  And one connection at a time that writes: what a transaction had gathered is
 * written even when it is taken back, later, where another writer's frames might lie by then.
 */
#ifndef DYNO_DB_LOG_VFS_H
#define DYNO_DB_LOG_VFS_H

#include "db/sqlite.h"

/* Its name for sqlite3_open_v2; NULL, which is the system's own: it cannot be had.  It stands on
 * what is the default at the first call.  Any thread. */
const char *dyno_log_vfs(void);

#endif /* DYNO_DB_LOG_VFS_H */
