/* head_board.c - the newest heads at hand, and all of them in a file that others read. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "meter/ledger/heads.h"
#include "meter/ledger/reader.h"

#define LINES_KEPT 168 /* a week of hours */

struct dyno_head_board {
    struct dyno_strbuf folder, path;
    int fd;                      /* of the file; -1: nothing is published */
    bool has_last, is_caught_up; /* what was published last; is nothing before it missing? */
    struct dyno_head_line last;
    enum dyno_status status;
    struct dyno_err err;

    pthread_mutex_t lock;
    char *lines[LINES_KEPT]; /* a ring */
    uint64_t line_count;
};

/* --- the file --- */

static enum dyno_status io_error(const struct dyno_head_board *board, const char *verb,
                                 struct dyno_err *err)
{
    return DYNO_FAIL(err, DYNO_E_IO, "cannot %s \"%s\": %s", verb, dyno_strbuf_text(&board->path),
                     strerror(errno));
}

/* The last line; what a crash left behind it is cut off. */
static enum dyno_status read_last(struct dyno_head_board *board, uint32_t node,
                                  struct dyno_err *err)
{
    struct dyno_file_map map = {0};
    const char *path = dyno_strbuf_text(&board->path);
    DYNO_TRY(dyno_file_map(path, &map, err));
    const char *text = map.data;
    size_t end = map.bytes;
    while (end > 0 && text[end - 1] != '\n')
        end--;
    size_t begin = end > 0 ? end - 1 : 0;
    while (begin > 0 && text[begin - 1] != '\n')
        begin--;
    enum dyno_status status = DYNO_OK;
    if (end > 0)
        status = dyno_head_line_parse(text + begin, end - 1 - begin, &board->last, err);
    if (status == DYNO_OK && end > 0 && board->last.head.node != node)
        status = DYNO_FAIL(err, DYNO_E_MISMATCH,
                           "it has heads of node %" PRIu32 ", and this is node %" PRIu32,
                           board->last.head.node, node);
    const bool is_torn = end < map.bytes;
    dyno_file_unmap(&map);
    if (status != DYNO_OK)
        dyno_err_prefix(err, "\"%s\": its last line", path);
    board->has_last = status == DYNO_OK && end > 0;
    if (status == DYNO_OK && is_torn && ftruncate(board->fd, (off_t)end) != 0)
        status = io_error(board, "cut", err);
    return status;
}

static enum dyno_status open_file(struct dyno_head_board *board, const char *publish, uint32_t node,
                                  struct dyno_err *err)
{
    struct stat info;
    dyno_strbuf_puts(&board->path, publish);
    if (stat(publish, &info) == 0 && S_ISDIR(info.st_mode))
        dyno_strbuf_printf(&board->path, "/heads-%" PRIu32 ".jsonl", node);
    if (!dyno_strbuf_ok(&board->path))
        return DYNO_NOMEM(err);
    board->fd = open(dyno_strbuf_text(&board->path), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (board->fd < 0)
        return io_error(board, "open", err);
    if (flock(board->fd, LOCK_EX | LOCK_NB) != 0)
        return DYNO_FAIL(err, DYNO_E_BUSY, "another process publishes heads in \"%s\"",
                         dyno_strbuf_text(&board->path));
    return read_last(board, node, err);
}

/* One line, whole or not at all. */
static enum dyno_status append(struct dyno_head_board *board, const struct dyno_strbuf *line,
                               struct dyno_err *err)
{
    struct stat info;
    if (fstat(board->fd, &info) != 0)
        return io_error(board, "look at", err);
    const ssize_t done = write(board->fd, line->text, line->bytes);
    if (done == (ssize_t)line->bytes && fdatasync(board->fd) == 0)
        return DYNO_OK;
    if (done >= 0 && done != (ssize_t)line->bytes)
        errno = ENOSPC;
    const enum dyno_status status = io_error(board, "write", err);
    (void)!ftruncate(board->fd, info.st_size); /* else the next start cuts it */
    return status;
}

/* --- heads --- */

static void keep(struct dyno_head_board *board, const struct dyno_strbuf *line)
{
    char *copy = dyno_alloc_raw(line->bytes + 1, 1);
    if (copy == NULL)
        return; /* it is in the ledger and in the file */
    memcpy(copy, line->text, line->bytes + 1);
    (void)pthread_mutex_lock(&board->lock);
    char **slot = &board->lines[board->line_count++ % LINES_KEPT];
    dyno_free(*slot);
    *slot = copy;
    (void)pthread_mutex_unlock(&board->lock);
}

static enum dyno_status show(struct dyno_head_board *board, const struct dyno_head *head,
                             const uint8_t *bytes, const uint8_t *proof, size_t proof_bytes,
                             bool is_kept, struct dyno_err *err)
{
    struct dyno_strbuf line = {0};
    enum dyno_status status = DYNO_OK;
    dyno_head_line_print(head, bytes, proof, proof_bytes, &line);
    if (!dyno_strbuf_ok(&line))
        status = DYNO_NOMEM(err);
    if (status == DYNO_OK && !is_kept)
        keep(board, &line);
    const bool is_new = !board->has_last || head->group_count > board->last.head.group_count;
    if (status == DYNO_OK && board->fd >= 0 && is_new)
        status = append(board, &line, err);
    if (status == DYNO_OK && is_new) {
        board->has_last = true;
        board->last.head = *head;
        memcpy(board->last.bytes, bytes, DYNO_HEAD_BYTES);
    }
    dyno_strbuf_fini(&line);
    return status;
}

/* The heads of one file, up to `until` groups. */
static enum dyno_status show_file(struct dyno_head_board *board, const char *path, uint64_t until,
                                  bool is_kept, struct dyno_err *err)
{
    struct dyno_ledger_file *file = NULL;
    struct dyno_ledger_head head;
    uint64_t from = 0;
    bool found = true;
    DYNO_TRY(dyno_ledger_file_open(path, &file, err));
    enum dyno_status status = DYNO_OK;
    while (status == DYNO_OK && found) {
        status = dyno_ledger_file_head(file, from, &head, &found, err);
        if (status != DYNO_OK || !found || head.head.group_count >= until)
            break;
        from = head.head.group_count + 1;
        status = show(board, &head.head, head.bytes, head.proof, head.proof_bytes, is_kept, err);
    }
    dyno_ledger_file_close(file);
    return status;
}

/* Is what was published last in the file where its place is?  Is its place in that file at all? */
static enum dyno_status look_for_last(const struct dyno_head_board *board, const char *path,
                                      bool *is_here_out, bool *is_it_out, struct dyno_err *err)
{
    const uint64_t place = board->last.head.group_count;
    struct dyno_ledger_file *file = NULL;
    struct dyno_ledger_head head = {0};
    enum dyno_status status = DYNO_OK;
    bool found = false;
    DYNO_TRY(dyno_ledger_file_open(path, &file, err));
    *is_here_out = dyno_ledger_file_opening(file)->frontier.count < place;
    if (*is_here_out)
        status = dyno_ledger_file_head(file, place, &head, &found, err);
    *is_it_out = found && memcmp(head.bytes, board->last.bytes, DYNO_HEAD_BYTES) == 0;
    dyno_ledger_file_close(file);
    return status;
}

/* Before anything of this start is published: is what was published of this ledger?  Its file may
 * be somewhere else by now. */
static enum dyno_status check_last(const struct dyno_head_board *board, const char *const *paths,
                                   size_t count, struct dyno_err *err)
{
    bool is_here = !board->has_last;
    bool is_it = true;
    for (size_t i = count; !is_here && i-- > 0;)
        DYNO_TRY(look_for_last(board, paths[i], &is_here, &is_it, err));
    return is_it || !is_here
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_MISMATCH,
                           "the last head in \"%s\", over %" PRIu64
                           " groups, is of another ledger, or this one was changed since",
                           dyno_strbuf_text(&board->path), board->last.head.group_count);
}

static enum dyno_status catch_up(struct dyno_head_board *board, uint64_t until,
                                 struct dyno_err *err)
{
    const char *folder = dyno_strbuf_text(&board->folder);
    const char **paths = NULL;
    size_t count = 0;
    const bool is_kept = board->line_count > 0; /* they are at hand from an earlier go */
    struct dyno_arena *arena = dyno_arena_create();
    if (arena == NULL)
        return DYNO_NOMEM(err);
    enum dyno_status status = dyno_ledger_paths(&folder, 1, arena, &paths, &count, err);
    if (status == DYNO_OK && !is_kept) {
        status = check_last(board, paths, count, err);
        if (status == DYNO_E_MISMATCH) {
            board->status = status;
            board->err = *err;
        }
    }
    for (size_t i = 0; i < count && status == DYNO_OK; i++)
        status = show_file(board, paths[i], until, is_kept, err);
    board->is_caught_up = status == DYNO_OK;
    dyno_arena_destroy(arena);
    return status;
}

void dyno_head_board_take(void *arg, const struct dyno_head *head, const uint8_t *bytes,
                          const uint8_t *proof, size_t proof_bytes)
{
    struct dyno_head_board *board = arg;
    struct dyno_err err = {0};
    enum dyno_status status = board->status;
    if (status == DYNO_OK && !board->is_caught_up)
        status = catch_up(board, head->group_count, &err);
    if (status == DYNO_OK)
        status = show(board, head, bytes, proof, proof_bytes, false, &err);
    if (status == DYNO_OK || board->status != DYNO_OK)
        return; /* of the second, dyno_head_board_check tells */
    board->is_caught_up = false;
    dyno_log(DYNO_LOG_ERROR,
             "a head of the ledger was not published, and will be with the next: %s", err.text);
}

/* --- the board --- */

enum dyno_status dyno_head_board_create(const struct dyno_head_board_options *options,
                                        struct dyno_head_board **board_out, struct dyno_err *err)
{
    *board_out = NULL;
    struct dyno_head_board *board = dyno_alloc(1, sizeof(*board));
    if (board == NULL)
        return DYNO_NOMEM(err);
    board->fd = -1;
    (void)pthread_mutex_init(&board->lock, NULL);
    dyno_strbuf_puts(&board->folder, options->ledger);
    enum dyno_status status = dyno_strbuf_ok(&board->folder) ? DYNO_OK : DYNO_NOMEM(err);
    if (status == DYNO_OK && options->publish != NULL)
        status = open_file(board, options->publish, options->node, err);
    if (status != DYNO_OK) {
        dyno_head_board_destroy(board);
        return status;
    }
    *board_out = board;
    return DYNO_OK;
}

void dyno_head_board_destroy(struct dyno_head_board *board)
{
    if (board == NULL)
        return;
    if (board->fd >= 0)
        (void)close(board->fd);
    for (size_t i = 0; i < LINES_KEPT; i++)
        dyno_free(board->lines[i]);
    (void)pthread_mutex_destroy(&board->lock);
    dyno_strbuf_fini(&board->folder);
    dyno_strbuf_fini(&board->path);
    dyno_free(board);
}

enum dyno_status dyno_head_board_check(struct dyno_head_board *board, struct dyno_err *err)
{
    return board->status == DYNO_OK ? DYNO_OK
                                    : DYNO_FAIL(err, board->status, "%s", board->err.text);
}

void dyno_head_board_print(struct dyno_head_board *board, struct dyno_strbuf *out)
{
    (void)pthread_mutex_lock(&board->lock);
    const uint64_t count = board->line_count;
    for (uint64_t i = count > LINES_KEPT ? count - LINES_KEPT : 0; i < count; i++)
        dyno_strbuf_puts(out, board->lines[i % LINES_KEPT]);
    (void)pthread_mutex_unlock(&board->lock);
}
