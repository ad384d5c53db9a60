/* segment.c - a file of a ledger: made, written, closed. */
#include "meter/ledger/segment.h"

#include <stdio.h>
#include <string.h>

#define BUSY_MS \
    5000 /* who reads holds nobody up; this is for who closes a file while it is opened */

static const char *const changes[] = {
    "CREATE TABLE opening (id INTEGER PRIMARY KEY CHECK (id = 1), bytes BLOB NOT NULL) STRICT;"
    "CREATE TABLE record_group (number INTEGER PRIMARY KEY, header BLOB NOT NULL,"
    " items BLOB NOT NULL) STRICT;"
    "CREATE TABLE head (group_count INTEGER PRIMARY KEY, bytes BLOB NOT NULL,"
    " proof BLOB NOT NULL) STRICT;",
};

const struct dyno_db_kind dyno_ledger_kind = {
    .what = "ledger",
    .application_id = 0x64796e6c, /* "dynl" */
    .version = 1,
    .changes = changes,
    .commits_often = true,
};

enum dyno_status dyno_segment_path(const char *folder, uint32_t number,
                                   char path_out[DYNO_SEGMENT_PATH_ROOM], struct dyno_err *err)
{
    const int bytes = snprintf(path_out, DYNO_SEGMENT_PATH_ROOM, "%s/%08u" DYNO_LEDGER_SUFFIX,
                               folder, (unsigned)number);
    return bytes > 0 && bytes < DYNO_SEGMENT_PATH_ROOM
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_LIMIT, "the path of a ledger is longer than %d bytes",
                           DYNO_SEGMENT_PATH_ROOM - 16);
}

static enum dyno_status put_opening(struct dyno_segment *segment,
                                    const struct dyno_opening *opening, struct dyno_err *err)
{
    uint8_t bytes[DYNO_OPENING_BYTES_MAX];
    struct dyno_stmt stmt = {0};
    const size_t count = dyno_opening_encode(opening, bytes);
    DYNO_TRY(
        dyno_stmt_open(&segment->db, "INSERT INTO opening (id, bytes) VALUES (1, ?1)", &stmt, err));
    dyno_stmt_bind_bytes(&stmt, 1, bytes, count);
    const enum dyno_status status = dyno_stmt_run(&stmt, err);
    dyno_stmt_close(&stmt);
    return status;
}

static enum dyno_status prepare(struct dyno_segment *segment, const struct dyno_opening *opening,
                                struct dyno_err *err)
{
    DYNO_TRY(dyno_db_keep_log(&segment->db, err));
    DYNO_TRY(put_opening(segment, opening, err));
    DYNO_TRY(dyno_stmt_open(&segment->db,
                            "INSERT INTO record_group (number, header, items) VALUES (?1, ?2, ?3)",
                            &segment->put_group, err));
    return dyno_stmt_open(&segment->db,
                          "INSERT INTO head (group_count, bytes, proof) VALUES (?1, ?2, ?3)",
                          &segment->put_head, err);
}

static void let_go(struct dyno_segment *segment)
{
    dyno_stmt_close(&segment->put_group);
    dyno_stmt_close(&segment->put_head);
    dyno_db_close(&segment->db);
}

enum dyno_status dyno_segment_create(const char *folder, const struct dyno_opening *opening,
                                     struct dyno_segment *segment_out, struct dyno_err *err)
{
    char path[DYNO_SEGMENT_PATH_ROOM];
    *segment_out = (struct dyno_segment){.number = opening->segment};
    DYNO_TRY(dyno_segment_path(folder, opening->segment, path, err));
    DYNO_TRY(dyno_db_open(&dyno_ledger_kind, path, true, BUSY_MS, &segment_out->db, err));
    const enum dyno_status status = prepare(segment_out, opening, err);
    if (status != DYNO_OK)
        let_go(segment_out);
    return status;
}

enum dyno_status dyno_segment_put_group(struct dyno_segment *segment, uint64_t number,
                                        const uint8_t *header, const uint8_t *items,
                                        size_t items_bytes, struct dyno_err *err)
{
    dyno_stmt_bind_i64(&segment->put_group, 1, (int64_t)number);
    dyno_stmt_bind_bytes(&segment->put_group, 2, header, DYNO_GROUP_HEADER_BYTES);
    dyno_stmt_bind_bytes(&segment->put_group, 3, items, items_bytes);
    DYNO_TRY(dyno_stmt_run(&segment->put_group, err));
    segment->group_count++;
    segment->unmoved_bytes += items_bytes + 8192; /* and the pages above it */
    return DYNO_OK;
}

enum dyno_status dyno_segment_put_head(struct dyno_segment *segment, uint64_t group_count,
                                       const uint8_t *head, const uint8_t *proof,
                                       size_t proof_bytes, struct dyno_err *err)
{
    dyno_stmt_bind_i64(&segment->put_head, 1, (int64_t)group_count);
    dyno_stmt_bind_bytes(&segment->put_head, 2, head, DYNO_HEAD_BYTES);
    dyno_stmt_bind_bytes(&segment->put_head, 3, proof, proof_bytes);
    return dyno_stmt_run(&segment->put_head, err);
}

enum dyno_status dyno_segment_move(struct dyno_segment *segment, struct dyno_err *err)
{
    DYNO_TRY(dyno_db_exec(&segment->db, "PRAGMA wal_checkpoint(PASSIVE)", err));
    segment->unmoved_bytes = 0;
    return DYNO_OK;
}

enum dyno_status dyno_segment_close(struct dyno_segment *segment, struct dyno_err *err)
{
    dyno_stmt_close(&segment->put_group);
    dyno_stmt_close(&segment->put_head);
    /* Who has the file open to read it does so as long as he likes: he is not waited for. */
    enum dyno_status status = dyno_db_exec(&segment->db, "PRAGMA busy_timeout = 0", err);
    if (status == DYNO_OK)
        status = dyno_segment_move(segment, err);
    if (status == DYNO_OK) /* moves the rest, and gives the log up */
        status = dyno_db_exec(&segment->db, "PRAGMA journal_mode = DELETE", err);
    segment->was_full = status != DYNO_OK && dyno_db_is_full(&segment->db);
    dyno_db_close(&segment->db);
    return status;
}
