/* recover.c - where a ledger ends, after whatever has ended its writer. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "meter/ledger/segment.h"

#define BUSY_MS 5000

/* 0: no name of a file of a ledger. */
static uint32_t number_of(const char *name)
{
    const size_t digits = strspn(name, "0123456789");
    if (digits != 8 || strcmp(name + digits, DYNO_LEDGER_SUFFIX) != 0)
        return 0;
    return (uint32_t)strtoul(name, NULL, 10);
}

enum dyno_status dyno_ledger_last_segment(const char *folder, uint32_t *number_out,
                                          struct dyno_err *err)
{
    *number_out = 0;
    DIR *dir = opendir(folder);
    if (dir == NULL)
        return DYNO_FAIL(err, DYNO_E_IO, "cannot read \"%s\": %s", folder, strerror(errno));
    errno = 0;
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        const uint32_t number = number_of(entry->d_name);
        if (number > *number_out)
            *number_out = number;
    }
    const int error = errno;
    (void)closedir(dir);
    return error == 0
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_IO, "cannot read \"%s\": %s", folder, strerror(error));
}

/* --- the last file --- */

static enum dyno_status read_opening(struct dyno_db *db, struct dyno_opening *opening_out,
                                     bool *found_out, struct dyno_err *err)
{
    struct dyno_stmt stmt = {0};
    const uint8_t *bytes = NULL;
    size_t count = 0;
    DYNO_TRY(dyno_stmt_open(db, "SELECT bytes FROM opening WHERE id = 1", &stmt, err));
    enum dyno_status status = dyno_stmt_step(&stmt, found_out, err);
    if (status == DYNO_OK && *found_out) {
        status = dyno_stmt_blob(&stmt, 0, DYNO_OPENING_BYTES_MAX, &bytes, &count, err);
        if (status == DYNO_OK)
            status = dyno_opening_decode(bytes, count, opening_out, err);
    }
    dyno_stmt_close(&stmt);
    return status;
}

/* The place of the last head: 0 when there is none. */
static enum dyno_status read_head_place(struct dyno_db *db, uint64_t *count_out,
                                        struct dyno_err *err)
{
    struct dyno_stmt stmt = {0};
    bool found = false;
    int64_t count = 0;
    DYNO_TRY(dyno_stmt_open(db, "SELECT max(group_count) FROM head", &stmt, err));
    enum dyno_status status = dyno_stmt_step(&stmt, &found, err);
    if (status == DYNO_OK && found && !dyno_stmt_is_null(&stmt, 0))
        status = dyno_stmt_i64(&stmt, 0, 0, INT64_MAX, &count, err);
    dyno_stmt_close(&stmt);
    *count_out = (uint64_t)count;
    return status;
}

static void start_at(const struct dyno_opening *opening, struct dyno_ledger_end *end)
{
    *end = (struct dyno_ledger_end){0};
    end->segment = opening->segment;
    end->node = opening->node;
    end->epoch = opening->last_epoch;
    end->seq = opening->last_seq;
    end->sent_seq = opening->last_sent_seq;
    end->time_ns = opening->time_ns;
    end->chain = opening->chain;
    end->frontier = opening->frontier;
    end->head_frontier = opening->frontier;
    dyno_cover_init(&end->cover, opening->frontier.count);
}

/* One more group; the links are followed, items are left to `dyno ledger verify`. */
static enum dyno_status follow(struct dyno_stmt *stmt, uint64_t head_place,
                               struct dyno_ledger_end *end, struct dyno_err *err)
{
    const uint8_t *bytes = NULL;
    size_t count = 0;
    int64_t number = 0;
    struct dyno_group group;
    DYNO_TRY(dyno_stmt_i64(stmt, 0, 0, INT64_MAX, &number, err));
    DYNO_TRY(dyno_stmt_blob(stmt, 1, DYNO_GROUP_HEADER_BYTES, &bytes, &count, err));
    DYNO_TRY(dyno_group_decode(bytes, count, &group, err));
    if (group.number != (uint64_t)number || group.number != end->frontier.count ||
        !dyno_digest_equal(&group.before, &end->chain) || group.node != end->node ||
        group.segment != end->segment)
        return DYNO_FAIL(err, DYNO_E_CORRUPT, "group %" PRIu64 " does not follow group %" PRIu64,
                         group.number, end->frontier.count);
    dyno_group_hash(bytes, &end->chain);
    dyno_frontier_add(&end->frontier, &end->chain);
    dyno_cover_add(&end->cover, &end->chain);
    end->epoch = group.epoch;
    end->seq = group.first_seq + group.record_count - 1;
    end->sent_seq = group.sent_seq;
    end->time_ns = group.time_ns;
    if (end->frontier.count == head_place) {
        end->head_frontier = end->frontier;
        dyno_cover_init(&end->cover, head_place);
    }
    return DYNO_OK;
}

static enum dyno_status read_groups(struct dyno_db *db, struct dyno_ledger_end *end,
                                    struct dyno_err *err)
{
    struct dyno_stmt stmt = {0};
    uint64_t head_place = 0;
    DYNO_TRY(read_head_place(db, &head_place, err));
    DYNO_TRY(
        dyno_stmt_open(db, "SELECT number, header FROM record_group ORDER BY number", &stmt, err));
    bool more = true;
    enum dyno_status status = DYNO_OK;
    while (status == DYNO_OK) {
        status = dyno_stmt_step(&stmt, &more, err);
        if (status != DYNO_OK || !more)
            break;
        status = follow(&stmt, head_place, end, err);
    }
    dyno_stmt_close(&stmt);
    return status;
}

static void remove_file(const char *path)
{
    static const char *const endings[] = {"-wal", "-shm", "-journal", ""};
    char name[DYNO_SEGMENT_PATH_ROOM + 16];
    for (size_t i = 0; i < DYNO_COUNT(endings); i++) {
        (void)snprintf(name, sizeof(name), "%s%s", path, endings[i]);
        (void)unlink(name);
    }
}

/* Read what the file says; *found_out false: it has no groups. */
static enum dyno_status read_file(struct dyno_db *db, uint32_t number, struct dyno_ledger_end *end,
                                  bool *found_out, struct dyno_err *err)
{
    struct dyno_opening opening = {0};
    bool has_opening = false;
    *found_out = false;
    DYNO_TRY(read_opening(db, &opening, &has_opening, err));
    if (!has_opening)
        return DYNO_OK;
    if (opening.segment != number)
        return DYNO_FAIL(err, DYNO_E_CORRUPT, "it is file %u of its ledger by its opening",
                         (unsigned)opening.segment);
    start_at(&opening, end);
    DYNO_TRY(read_groups(db, end, err));
    *found_out = end->frontier.count > opening.frontier.count;
    return DYNO_OK;
}

/* --- the last head, when the last file has none --- */

struct back {
    const char *folder;
    uint32_t segment; /* of the last file */
    struct dyno_frontier frontier;
    struct dyno_ledger_end *end;
};

/* *place_out: groups under the last head of a file, 0: it has none; *is_there_out false: nor is the
 * file there. */
static enum dyno_status head_place_of(const struct back *back, uint32_t number, uint64_t *place_out,
                                      bool *is_there_out, struct dyno_err *err)
{
    char path[DYNO_SEGMENT_PATH_ROOM];
    struct dyno_db db = {0};
    *place_out = 0;
    DYNO_TRY(dyno_segment_path(back->folder, number, path, err));
    *is_there_out = access(path, F_OK) == 0;
    if (!*is_there_out)
        return DYNO_OK;
    DYNO_TRY(dyno_db_open_to_read(&dyno_ledger_kind, path, BUSY_MS, &db, err));
    const enum dyno_status status = read_head_place(&db, place_out, err);
    dyno_db_close(&db);
    return status;
}

static enum dyno_status pass_group(struct dyno_stmt *stmt, uint64_t place, struct back *back,
                                   struct dyno_err *err)
{
    const uint8_t *bytes = NULL;
    size_t count = 0;
    struct dyno_group group;
    struct dyno_digest hash;
    struct dyno_ledger_end *end = back->end;
    DYNO_TRY(dyno_stmt_blob(stmt, 0, DYNO_GROUP_HEADER_BYTES, &bytes, &count, err));
    DYNO_TRY(dyno_group_decode(bytes, count, &group, err));
    dyno_group_hash(bytes, &hash);
    dyno_frontier_add(&back->frontier, &hash);
    dyno_cover_add(&end->cover, &hash);
    if (back->frontier.count == place) {
        end->head_frontier = back->frontier;
        dyno_cover_init(&end->cover, place);
    }
    return DYNO_OK;
}

static enum dyno_status pass_file(struct back *back, uint32_t number, bool is_first, uint64_t place,
                                  struct dyno_err *err)
{
    char path[DYNO_SEGMENT_PATH_ROOM];
    struct dyno_db db = {0};
    struct dyno_stmt stmt = {0};
    struct dyno_opening opening = {0};
    bool more = false;
    DYNO_TRY(dyno_segment_path(back->folder, number, path, err));
    DYNO_TRY(dyno_db_open_to_read(&dyno_ledger_kind, path, BUSY_MS, &db, err));
    enum dyno_status status = read_opening(&db, &opening, &more, err);
    if (is_first) {
        back->frontier = opening.frontier;
        back->end->head_frontier = opening.frontier;
        dyno_cover_init(&back->end->cover, opening.frontier.count);
    }
    if (status == DYNO_OK)
        status = dyno_stmt_open(&db, "SELECT header FROM record_group ORDER BY number", &stmt, err);
    while (status == DYNO_OK) {
        status = dyno_stmt_step(&stmt, &more, err);
        if (status != DYNO_OK || !more)
            break;
        status = pass_group(&stmt, place, back, err);
    }
    dyno_stmt_close(&stmt);
    dyno_db_close(&db);
    return status;
}

/* Heads go on from one another, over files that have none.  Where older files were taken away, from
 * the oldest one that is there. */
static enum dyno_status find_last_head(const char *folder, struct dyno_ledger_end *end,
                                       struct dyno_err *err)
{
    struct back back = {.folder = folder, .segment = end->segment, .end = end};
    uint32_t first = end->segment;
    uint64_t place = 0;
    bool is_there = true;
    DYNO_TRY(head_place_of(&back, first, &place, &is_there, err));
    if (place != 0)
        return DYNO_OK;
    while (first > 1 && place == 0) {
        DYNO_TRY(head_place_of(&back, first - 1, &place, &is_there, err));
        if (!is_there)
            break;
        first--;
    }
    for (uint32_t number = first; number <= end->segment; number++)
        DYNO_TRY(pass_file(&back, number, number == first, place, err));
    return dyno_digest_equal(&back.frontier.peaks[0], &end->frontier.peaks[0]) &&
                   back.frontier.count == end->frontier.count
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_CORRUPT, "the files before the last one do not lead to it");
}

/* --- logs that were kept --- */

static bool has_log(const char *path)
{
    char log_path[DYNO_SEGMENT_PATH_ROOM + 16];
    (void)snprintf(log_path, sizeof(log_path), "%s-wal", path);
    return access(log_path, F_OK) == 0;
}

void dyno_ledger_tidy_old(const char *folder, uint32_t last)
{
    for (uint32_t number = last; number-- > 1;) {
        char path[DYNO_SEGMENT_PATH_ROOM];
        struct dyno_segment segment = {.number = number};
        struct dyno_err err = {0};
        if (dyno_segment_path(folder, number, path, &err) != DYNO_OK || access(path, F_OK) != 0)
            return; /* older ones were taken away */
        if (!has_log(path) ||
            dyno_db_open(&dyno_ledger_kind, path, false, 0, &segment.db, &err) != DYNO_OK)
            continue;
        enum dyno_status status = dyno_db_keep_log(&segment.db, &err);
        if (status == DYNO_OK)
            status = dyno_segment_close(&segment, &err);
        else
            dyno_db_close(&segment.db);
        if (status != DYNO_OK && status != DYNO_E_BUSY)
            dyno_log(DYNO_LOG_WARN, "\"%s\" keeps its log: %s", path, err.text);
    }
}

/* --- all of it --- */

/* A file that was closed in order is not written again. */
static bool is_closed(const char *path, uint32_t number, struct dyno_ledger_end *end)
{
    struct dyno_db db = {0};
    bool found = false;
    if (has_log(path) ||
        dyno_db_open_to_read(&dyno_ledger_kind, path, BUSY_MS, &db, NULL) != DYNO_OK)
        return false;
    const enum dyno_status status = read_file(&db, number, end, &found, NULL);
    dyno_db_close(&db);
    return status == DYNO_OK && found;
}

/* *done_out false: the file had no groups, and is no more. */
static enum dyno_status recover_file(const char *path, uint32_t number, struct dyno_ledger_end *end,
                                     bool *done_out, struct dyno_err *err)
{
    struct dyno_segment segment = {.number = number};
    *done_out = is_closed(path, number, end);
    if (*done_out)
        return DYNO_OK;
    *end = (struct dyno_ledger_end){0};
    DYNO_TRY(dyno_db_open(&dyno_ledger_kind, path, true, BUSY_MS, &segment.db, err));
    enum dyno_status status = dyno_db_keep_log(&segment.db, err);
    if (status == DYNO_OK)
        status = read_file(&segment.db, number, end, done_out, err);
    if (status != DYNO_OK || !*done_out) {
        dyno_db_close(&segment.db);
        if (status == DYNO_OK)
            remove_file(path);
        return status;
    }
    struct dyno_err why = {0};
    status = dyno_segment_close(&segment, &why);
    if (status == DYNO_OK || status == DYNO_E_BUSY) /* it is read: its log may stay */
        return DYNO_OK;
    return DYNO_FAIL(err, status, "%s", why.text);
}

enum dyno_status dyno_ledger_recover(const char *folder, struct dyno_ledger_end *end_out,
                                     struct dyno_err *err)
{
    uint32_t number = 0;
    char path[DYNO_SEGMENT_PATH_ROOM];
    *end_out = (struct dyno_ledger_end){0};
    DYNO_TRY(dyno_ledger_last_segment(folder, &number, err));
    for (; number > 0; number--) {
        bool done = false;
        DYNO_TRY(dyno_segment_path(folder, number, path, err));
        if (access(path, F_OK) != 0)
            return DYNO_FAIL(err, DYNO_E_NOT_FOUND,
                             "\"%s\" is not there: a ledger goes on from its last file", path);
        const enum dyno_status status = recover_file(path, number, end_out, &done, err);
        if (status != DYNO_OK) {
            dyno_err_prefix(err, "\"%s\"", path);
            return status;
        }
        if (done)
            return find_last_head(folder, end_out, err);
        *end_out = (struct dyno_ledger_end){0};
        dyno_log(DYNO_LOG_WARN, "\"%s\" was never begun; it is made again", path);
    }
    return DYNO_OK;
}
