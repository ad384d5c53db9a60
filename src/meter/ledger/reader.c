/* reader.c - groups and heads of one file, which is a database of SQLite. */
#include "meter/ledger/reader.h"

#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "db/db.h"
#include "meter/ledger/archive.h"
#include "meter/ledger/file.h"
#include "meter/ledger/segment.h"

#define STEPS_MAX 64 /* groups that are read in one transaction, when they are read in order */
#define BUSY_MS   5000

struct db_file {
    struct dyno_ledger_file file; /* first */
    struct dyno_db db;
    struct dyno_stmt groups, headers, last, heads;
    struct dyno_stmt *at; /* groups or headers, where one of them may be stepped on */
    uint64_t at_number;   /* to this number or the next larger one */
    uint32_t at_left;     /* so often: then its transaction ends */
};

/* What is shown lives in a statement that was not reset: that ends its transaction. */
static void let_go(struct db_file *file)
{
    struct dyno_stmt *const all[] = {&file->groups, &file->headers, &file->last, &file->heads};
    for (size_t i = 0; i < DYNO_COUNT(all); i++)
        if (all[i]->handle != NULL)
            dyno_stmt_reset(all[i]);
    file->at = NULL;
}

static enum dyno_status read_opening(struct db_file *file, struct dyno_err *err)
{
    struct dyno_stmt stmt = {0};
    const uint8_t *bytes = NULL;
    size_t count = 0;
    bool found = false;
    DYNO_TRY(dyno_stmt_open(&file->db, "SELECT bytes FROM opening WHERE id = 1", &stmt, err));
    enum dyno_status status = dyno_stmt_step(&stmt, &found, err);
    if (status == DYNO_OK && !found)
        status = DYNO_FAIL(err, DYNO_E_FORMAT, "it has no opening");
    if (status == DYNO_OK)
        status = dyno_stmt_blob(&stmt, 0, DYNO_OPENING_BYTES_MAX, &bytes, &count, err);
    if (status == DYNO_OK)
        status = dyno_opening_decode(bytes, count, &file->file.opening, err);
    dyno_stmt_close(&stmt);
    return status;
}

static enum dyno_status prepare(struct db_file *file, struct dyno_err *err)
{
    DYNO_TRY(read_opening(file, err));
    DYNO_TRY(dyno_stmt_open(&file->db,
                            "SELECT number, header, items FROM record_group WHERE number >= ?1 "
                            "ORDER BY number",
                            &file->groups, err));
    DYNO_TRY(dyno_stmt_open(&file->db,
                            "SELECT number, header FROM record_group WHERE number >= ?1 "
                            "ORDER BY number",
                            &file->headers, err));
    DYNO_TRY(dyno_stmt_open(&file->db, "SELECT max(number) FROM record_group", &file->last, err));
    return dyno_stmt_open(&file->db,
                          "SELECT group_count, bytes, proof FROM head WHERE group_count >= ?1 "
                          "ORDER BY group_count LIMIT 1",
                          &file->heads, err);
}

static const struct dyno_ledger_file_ops ops;

enum dyno_status dyno_ledger_file_open(const char *path, struct dyno_ledger_file **file_out,
                                       struct dyno_err *err)
{
    *file_out = NULL;
    if (dyno_archive_is(path))
        return dyno_archive_open(path, file_out, err);
    struct db_file *file = dyno_alloc(1, sizeof(*file));
    if (file == NULL)
        return DYNO_NOMEM(err);
    file->file.ops = &ops;
    enum dyno_status status =
        dyno_db_open_to_read(&dyno_ledger_kind, path, BUSY_MS, &file->db, err);
    if (status != DYNO_OK) {
        dyno_free(file);
        return status;
    }
    file->file.name = file->db.path;
    status = prepare(file, err);
    if (status != DYNO_OK) {
        dyno_err_prefix(err, "\"%s\"", path);
        dyno_ledger_file_close(&file->file);
        return status;
    }
    *file_out = &file->file;
    return DYNO_OK;
}

static void close_file(struct dyno_ledger_file *opaque)
{
    struct db_file *file = (struct db_file *)opaque;
    dyno_stmt_close(&file->groups);
    dyno_stmt_close(&file->headers);
    dyno_stmt_close(&file->last);
    dyno_stmt_close(&file->heads);
    dyno_db_close(&file->db);
    dyno_free(file);
}

/* --- groups --- */

/* The row's number and header, which are one. */
static enum dyno_status take_header(struct dyno_stmt *stmt, struct dyno_ledger_group *out,
                                    struct dyno_err *err)
{
    int64_t number = 0;
    const uint8_t *header = NULL;
    size_t count = 0;
    DYNO_TRY(dyno_stmt_i64(stmt, 0, 0, INT64_MAX, &number, err));
    DYNO_TRY(dyno_stmt_blob(stmt, 1, DYNO_GROUP_HEADER_BYTES, &header, &count, err));
    return dyno_ledger_group_open((uint64_t)number, header, count, out, err);
}

static enum dyno_status find(struct db_file *file, struct dyno_stmt *stmt, uint64_t number,
                             struct dyno_ledger_group *group_out, bool *found_out,
                             struct dyno_err *err)
{
    const bool goes_on = file->at == stmt && file->at_number == number && file->at_left > 0;
    *group_out = (struct dyno_ledger_group){0};
    *found_out = false;
    if (goes_on) {
        file->at_left--;
        DYNO_TRY(dyno_stmt_step(stmt, found_out, err));
    }
    if (!*found_out) { /* a new transaction, which sees what was written since */
        let_go(file);
        if (number > INT64_MAX)
            return DYNO_OK;
        dyno_stmt_bind_i64(stmt, 1, (int64_t)number);
        DYNO_TRY(dyno_stmt_step(stmt, found_out, err));
        file->at_left = STEPS_MAX - 1;
    }
    if (!*found_out)
        return DYNO_OK;
    DYNO_TRY(take_header(stmt, group_out, err));
    file->at = stmt;
    file->at_number = group_out->group.number + 1;
    return DYNO_OK;
}

static enum dyno_status find_group(struct dyno_ledger_file *opaque, uint64_t number, bool has_items,
                                   struct dyno_ledger_group *group_out, bool *found_out,
                                   struct dyno_err *err)
{
    struct db_file *file = (struct db_file *)opaque;
    const uint8_t *bytes = NULL;
    size_t count = 0;
    DYNO_TRY(
        find(file, has_items ? &file->groups : &file->headers, number, group_out, found_out, err));
    if (!*found_out || !has_items)
        return DYNO_OK;
    const enum dyno_status status =
        dyno_stmt_blob(&file->groups, 2, DYNO_ITEMS_BYTES_MAX, &bytes, &count, err);
    if (status != DYNO_OK) {
        dyno_err_prefix(err, "group %" PRIu64, group_out->group.number);
        return status;
    }
    return dyno_ledger_group_open_items(group_out, bytes, count, err);
}

static enum dyno_status find_last(struct dyno_ledger_file *opaque, uint64_t *number_out,
                                  bool *found_out, struct dyno_err *err)
{
    struct db_file *file = (struct db_file *)opaque;
    int64_t number = 0;
    *number_out = 0;
    let_go(file);
    DYNO_TRY(dyno_stmt_step(&file->last, found_out, err));
    *found_out = *found_out && !dyno_stmt_is_null(&file->last, 0);
    if (*found_out)
        DYNO_TRY(dyno_stmt_i64(&file->last, 0, 0, INT64_MAX, &number, err));
    *number_out = (uint64_t)number;
    let_go(file);
    return DYNO_OK;
}

/* --- heads --- */

static enum dyno_status take_head(struct db_file *file, struct dyno_ledger_head *out, int64_t place,
                                  struct dyno_err *err)
{
    const uint8_t *bytes = NULL;
    const uint8_t *proof = NULL;
    size_t bytes_count = 0;
    size_t proof_bytes = 0;
    enum dyno_status status =
        dyno_stmt_blob(&file->heads, 1, DYNO_HEAD_BYTES, &bytes, &bytes_count, err);
    if (status == DYNO_OK)
        status = dyno_stmt_blob(&file->heads, 2, DYNO_HEAD_PROOF_MAX, &proof, &proof_bytes, err);
    if (status != DYNO_OK) {
        dyno_err_prefix(err, "the head over %lld groups", (long long)place);
        return status;
    }
    return dyno_ledger_head_open((uint64_t)place, bytes, bytes_count, proof, proof_bytes, out, err);
}

static enum dyno_status find_head(struct dyno_ledger_file *opaque, uint64_t group_count,
                                  struct dyno_ledger_head *head_out, bool *found_out,
                                  struct dyno_err *err)
{
    struct db_file *file = (struct db_file *)opaque;
    int64_t place = 0;
    *head_out = (struct dyno_ledger_head){0};
    *found_out = false;
    let_go(file);
    if (group_count > INT64_MAX)
        return DYNO_OK;
    dyno_stmt_bind_i64(&file->heads, 1, (int64_t)group_count);
    DYNO_TRY(dyno_stmt_step(&file->heads, found_out, err));
    if (!*found_out)
        return DYNO_OK;
    DYNO_TRY(dyno_stmt_i64(&file->heads, 0, 0, INT64_MAX, &place, err));
    return take_head(file, head_out, place, err);
}

static const struct dyno_ledger_file_ops ops = {
    .group = find_group, .last = find_last, .head = find_head, .close = close_file};
