/* file.c - mmap for reading; temporary file, fsync, rename for writing. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

#define BUFFER_BYTES ((size_t)256 * 1024)

static atomic_uint_fast64_t fail_countdown;
static atomic_int fail_errno;

void dyno_file_fail_at(uint64_t nth, int error)
{
    atomic_store(&fail_errno, error);
    atomic_store(&fail_countdown, nth);
}

/* True when this system call is the one to fail: errno is set. */
static bool lose_this_one(void)
{
    uint64_t left = atomic_load_explicit(&fail_countdown, memory_order_relaxed);
    while (left != 0 && !atomic_compare_exchange_weak(&fail_countdown, &left, left - 1)) {
    }
    if (left == 1)
        errno = atomic_load(&fail_errno);
    return left == 1;
}

static enum dyno_status io_error(struct dyno_err *err, const char *verb, const char *path,
                                 int error)
{
    const char *hint = error == ENOSPC || error == EDQUOT ? " (the disk or quota is full)" : "";
    return DYNO_FAIL(err, DYNO_E_IO, "cannot %s \"%s\": %s%s", verb, path, strerror(error), hint);
}

enum dyno_status dyno_file_read_status(int error)
{
    return error == ENOENT || error == ENOTDIR ? DYNO_E_NOT_FOUND : DYNO_E_IO;
}

enum dyno_status dyno_file_map(const char *path, struct dyno_file_map *map_out,
                               struct dyno_err *err)
{
    *map_out = (struct dyno_file_map){0};
    /* A named pipe is opened at once, and refused: waiting for who writes it would be for ever. */
    const int fd = lose_this_one() ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        const int error = errno;
        const enum dyno_status status = dyno_file_read_status(error);
        if (status == DYNO_E_IO)
            return io_error(err, "open", path, error);
        return DYNO_FAIL(err, status, "cannot open \"%s\": %s", path, strerror(error));
    }
    struct stat info;
    enum dyno_status status = DYNO_OK;
    if (lose_this_one() || fstat(fd, &info) != 0) {
        status = io_error(err, "look at", path, errno);
    } else if (!S_ISREG(info.st_mode)) {
        status = DYNO_FAIL(err, DYNO_E_IO, "cannot map \"%s\": not a regular file", path);
    } else if (info.st_size != 0) {
        void *data = lose_this_one()
                         ? MAP_FAILED
                         : mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED)
            status = io_error(err, "map", path, errno);
        else
            *map_out = (struct dyno_file_map){.data = data, .bytes = (size_t)info.st_size};
    }
    (void)close(fd);
    return status;
}

void dyno_file_unmap(struct dyno_file_map *map)
{
    if (map->data != NULL)
        (void)munmap((void *)(uintptr_t)map->data, map->bytes);
    *map = (struct dyno_file_map){0};
}

/* --- writing --- */

static void release(struct dyno_file_writer *writer)
{
    if (writer->fd >= 0)
        (void)close(writer->fd);
    dyno_free(writer->path);
    dyno_free(writer->temp_path);
    dyno_free(writer->buffer);
    *writer = (struct dyno_file_writer){.fd = -1};
}

enum dyno_status dyno_file_write_begin(struct dyno_file_writer *writer, const char *path,
                                       struct dyno_err *err)
{
    static atomic_uint serial;
    *writer = (struct dyno_file_writer){.fd = -1};
    const size_t path_bytes = strlen(path) + 1;
    writer->path = dyno_alloc(path_bytes, 1);
    writer->temp_path = dyno_alloc(path_bytes + 48, 1);
    writer->buffer = dyno_alloc_raw(BUFFER_BYTES, 1);
    if (writer->path == NULL || writer->temp_path == NULL || writer->buffer == NULL) {
        release(writer);
        return DYNO_NOMEM(err);
    }
    memcpy(writer->path, path, path_bytes);
    (void)snprintf(writer->temp_path, path_bytes + 48, "%s.tmp-%ld-%u", path, (long)getpid(),
                   atomic_fetch_add(&serial, 1));
    (void)unlink(writer->temp_path); /* left by a killed process that had our number */
    writer->fd = lose_this_one()
                     ? -1
                     : open(writer->temp_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (writer->fd < 0) {
        const enum dyno_status status = io_error(err, "create", writer->path, errno);
        release(writer);
        return status;
    }
    return DYNO_OK;
}

/* All of it, at `offset` (-1: at the file position). */
static enum dyno_status write_all(struct dyno_file_writer *writer, long long offset,
                                  const void *data, size_t bytes, struct dyno_err *err)
{
    const char *at = data;
    while (bytes != 0) {
        ssize_t done = -1;
        if (!lose_this_one())
            done = offset < 0 ? write(writer->fd, at, bytes)
                              : pwrite(writer->fd, at, bytes, (off_t)offset);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return io_error(err, "write", writer->path, errno);
        at += done;
        bytes -= (size_t)done;
        offset += offset < 0 ? 0 : done;
    }
    return DYNO_OK;
}

static enum dyno_status flush(struct dyno_file_writer *writer, struct dyno_err *err)
{
    const size_t bytes = writer->buffered_bytes;
    writer->buffered_bytes = 0;
    return write_all(writer, -1, writer->buffer, bytes, err);
}

enum dyno_status dyno_file_write(struct dyno_file_writer *writer, const void *data, size_t bytes,
                                 struct dyno_err *err)
{
    if (writer->temp_path == NULL)
        return DYNO_FAIL(err, DYNO_E_ARG, "write to a file that is not open");
    writer->offset_bytes += bytes;
    if (bytes > BUFFER_BYTES - writer->buffered_bytes)
        DYNO_TRY(flush(writer, err));
    if (bytes > BUFFER_BYTES)
        return write_all(writer, -1, data, bytes, err);
    if (bytes != 0)
        memcpy(writer->buffer + writer->buffered_bytes, data, bytes);
    writer->buffered_bytes += bytes;
    return DYNO_OK;
}

enum dyno_status dyno_file_write_at(struct dyno_file_writer *writer, unsigned long long offset,
                                    const void *data, size_t bytes, struct dyno_err *err)
{
    if (writer->temp_path == NULL || offset > writer->offset_bytes ||
        bytes > writer->offset_bytes - offset)
        return DYNO_FAIL(err, DYNO_E_ARG, "overwrite of bytes that are not written yet");
    DYNO_TRY(flush(writer, err));
    return write_all(writer, (long long)offset, data, bytes, err);
}

static enum dyno_status sync_folder(const char *path, struct dyno_err *err)
{
    const char *slash = strrchr(path, '/');
    const size_t bytes = slash == NULL ? 1 : slash == path ? 1 : (size_t)(slash - path);
    char *folder = dyno_alloc(bytes + 1, 1);
    if (folder == NULL)
        return DYNO_NOMEM(err);
    memcpy(folder, slash == NULL ? "." : path, bytes);
    enum dyno_status status = DYNO_OK;
    const int fd = lose_this_one() ? -1 : open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* Some file systems cannot sync a folder and say EINVAL. */
    if (fd < 0 || lose_this_one() || (fsync(fd) != 0 && errno != EINVAL))
        status = io_error(err, "sync the folder", folder, errno);
    if (fd >= 0)
        (void)close(fd);
    dyno_free(folder);
    return status;
}

/* The finished file to its place: over what is there, or only where nothing is (a link fails
 * otherwise, and is never half made). */
static enum dyno_status put_in_place(const struct dyno_file_writer *writer, bool is_new,
                                     struct dyno_err *err)
{
    if (!is_new)
        return lose_this_one() || rename(writer->temp_path, writer->path) != 0
                   ? io_error(err, "rename a finished file to", writer->path, errno)
                   : DYNO_OK;
    if (lose_this_one() || link(writer->temp_path, writer->path) != 0)
        return errno == EEXIST
                   ? DYNO_FAIL(err, DYNO_E_EXISTS, "%s is there already, and is not written over",
                               writer->path)
                   : io_error(err, "link a finished file to", writer->path, errno);
    (void)unlink(writer->temp_path);
    return DYNO_OK;
}

static enum dyno_status commit(struct dyno_file_writer *writer, bool is_new, struct dyno_err *err)
{
    if (writer->temp_path == NULL)
        return DYNO_FAIL(err, DYNO_E_ARG, "commit of a file that is not open");
    enum dyno_status status = flush(writer, err);
    if (status == DYNO_OK && (lose_this_one() || fsync(writer->fd) != 0))
        status = io_error(err, "sync", writer->path, errno);
    if (status == DYNO_OK) {
        const int fd = writer->fd;
        writer->fd = -1;
        if (close(fd) != 0 || lose_this_one())
            status = io_error(err, "close", writer->path, errno);
    }
    if (status == DYNO_OK)
        status = put_in_place(writer, is_new, err);
    if (status == DYNO_OK)
        status = sync_folder(writer->path, err);
    else
        (void)unlink(writer->temp_path);
    release(writer);
    return status;
}

enum dyno_status dyno_file_write_commit(struct dyno_file_writer *writer, struct dyno_err *err)
{
    return commit(writer, false, err);
}

void dyno_file_write_abort(struct dyno_file_writer *writer)
{
    if (writer->temp_path == NULL)
        return;
    (void)unlink(writer->temp_path);
    release(writer);
}

static enum dyno_status write_whole(const char *path, const void *data, size_t bytes, bool is_new,
                                    struct dyno_err *err)
{
    struct dyno_file_writer writer;
    DYNO_TRY(dyno_file_write_begin(&writer, path, err));
    const enum dyno_status status = dyno_file_write(&writer, data, bytes, err);
    if (status != DYNO_OK) {
        dyno_file_write_abort(&writer);
        return status;
    }
    return commit(&writer, is_new, err);
}

enum dyno_status dyno_file_write_atomic(const char *path, const void *data, size_t bytes,
                                        struct dyno_err *err)
{
    return write_whole(path, data, bytes, false, err);
}

enum dyno_status dyno_file_write_new(const char *path, const void *data, size_t bytes,
                                     struct dyno_err *err)
{
    return write_whole(path, data, bytes, true, err);
}

enum dyno_status dyno_file_write_text(const char *path, struct dyno_strbuf *text,
                                      struct dyno_err *err)
{
    const enum dyno_status status =
        dyno_strbuf_ok(text)
            ? dyno_file_write_atomic(path, dyno_strbuf_text(text), text->bytes, err)
            : DYNO_NOMEM(err);
    dyno_strbuf_fini(text);
    return status;
}
