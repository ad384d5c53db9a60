/* file.h - whole files: mapped for reading, replaced atomically when written.
 *
 * Errors are DYNO_E_IO (DYNO_E_NOT_FOUND of what is to be read and is not there), and name the path
 * and the reason (a full disk is named as such).
 */
#ifndef DYNO_BASE_FILE_H
#define DYNO_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/strbuf.h"

/* A file mapped read-only and private.  `data` is page-aligned, NULL for an empty file.
 * A file that another process shortens while it is mapped faults on access, as any map does. */
struct dyno_file_map {
    const void *data;
    size_t bytes;
};

/* Of the errno of a file or folder that could not be opened to read it: one for all that read. */
enum dyno_status dyno_file_read_status(int error);

enum dyno_status dyno_file_map(const char *path, struct dyno_file_map *map_out,
                               struct dyno_err *err);
void dyno_file_unmap(struct dyno_file_map *map); /* accepts a zeroed one; zeroes it */

/* A file being written beside `path`; it takes the place of `path` at commit, whole or not at all.
 * Begin, write any number of times, then exactly one of commit and abort.  After a failed commit
 * nothing is left to abort; abort of a zeroed or finished writer does nothing. */
struct dyno_file_writer {
    char *path;
    char *temp_path; /* PATH.tmp-<pid>-<n>; owned, NULL when not open */
    int fd;
    unsigned char *buffer; /* small writes are gathered */
    size_t buffered_bytes;
    unsigned long long offset_bytes; /* bytes written so far */
};

enum dyno_status dyno_file_write_begin(struct dyno_file_writer *writer, const char *path,
                                       struct dyno_err *err);
enum dyno_status dyno_file_write(struct dyno_file_writer *writer, const void *data, size_t bytes,
                                 struct dyno_err *err);
/* Write over bytes already written (a header that is known only at the end). */
enum dyno_status dyno_file_write_at(struct dyno_file_writer *writer, unsigned long long offset,
                                    const void *data, size_t bytes, struct dyno_err *err);
/* Flush, fsync, rename over `path`, fsync the directory. */
enum dyno_status dyno_file_write_commit(struct dyno_file_writer *writer, struct dyno_err *err);
void dyno_file_write_abort(struct dyno_file_writer *writer);

/* All of the above for one block of bytes. */
enum dyno_status dyno_file_write_atomic(const char *path, const void *data, size_t bytes,
                                        struct dyno_err *err);

/* The same where nothing is yet: E_EXISTS, and what is there stays, even when two do it at once. */
enum dyno_status dyno_file_write_new(const char *path, const void *data, size_t bytes,
                                     struct dyno_err *err);

/* As dyno_file_write_atomic for a text, which it frees; E_NOMEM when that is not whole. */
enum dyno_status dyno_file_write_text(const char *path, struct dyno_strbuf *text,
                                      struct dyno_err *err);

/* Test hook: the n-th system call from now fails with this errno (0 disables). */
void dyno_file_fail_at(uint64_t nth, int error);

#endif /* DYNO_BASE_FILE_H */
