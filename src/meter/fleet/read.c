/* read.c - the fleet's copy of a node's files, read as if they were files. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/mem.h"
#include "meter/fleet/internal.h"
#include "meter/ledger/file.h"

#define NAME_ROOM 48

struct fleet_file {
    struct dyno_ledger_file file; /* first */
    struct dyno_fleet *fleet;
    char name[NAME_ROOM];
    uint32_t node, number;
    uint64_t first, end;       /* its groups */
    struct dyno_pg_rows rows;  /* some groups, in order; */
    int row;                   /* that which is shown next */
    bool has_items;            /* they came with them */
    uint64_t at_number;        /* the first number that the next row can be of */
    struct dyno_pg_rows heads; /* one */
};

/* --- groups --- */

/* Numbers have no gaps, so the next ones are those that follow: a range of any length would be
 * sorted whole where the server has not yet seen how large the table is. */
static enum dyno_status ask_range(struct fleet_file *file, uint64_t number, uint64_t end,
                                  struct dyno_err *err)
{
    static const char groups[] = "SELECT number, header, items FROM dyno_ledger.record_group"
                                 " WHERE node = $1 AND number >= $2 AND number < $3"
                                 " ORDER BY number LIMIT 16";
    static const char headers[] = "SELECT number, header FROM dyno_ledger.record_group"
                                  " WHERE node = $1 AND number >= $2 AND number < $3"
                                  " ORDER BY number LIMIT 256";
    const struct dyno_pg_value values[] = {dyno_pg_number(file->node), dyno_fleet_u64(number),
                                           dyno_fleet_u64(end)};
    dyno_pg_rows_close(&file->rows);
    return dyno_pg_query(file->fleet->pg, file->has_items ? groups : headers, values, 3,
                         &file->rows, err);
}

static enum dyno_status ask_groups(struct fleet_file *file, uint64_t number, bool has_items,
                                   struct dyno_err *err)
{
    const uint64_t count = has_items ? 16 : 256;
    if (number < file->first)
        number = file->first;
    const uint64_t end = file->end - number < count ? file->end : number + count;
    file->row = 0;
    file->has_items = has_items;
    file->at_number = number;
    DYNO_TRY(ask_range(file, number, end, err));
    return file->rows.count > 0 || end == file->end ? DYNO_OK
                                                    : ask_range(file, end, file->end, err);
}

static enum dyno_status take_group(struct fleet_file *file, struct dyno_ledger_group *group_out,
                                   struct dyno_err *err)
{
    const struct dyno_pg_rows *rows = &file->rows;
    const uint8_t *header = NULL;
    const uint8_t *items = NULL;
    size_t header_bytes = 0;
    size_t items_bytes = 0;
    uint64_t number = 0;
    DYNO_TRY(dyno_fleet_take_u64(rows, file->row, 0, &number, err));
    DYNO_TRY(
        dyno_pg_bytes(rows, file->row, 1, DYNO_GROUP_HEADER_BYTES, &header, &header_bytes, err));
    DYNO_TRY(dyno_ledger_group_open(number, header, header_bytes, group_out, err));
    if (!file->has_items)
        return DYNO_OK;
    DYNO_TRY(dyno_pg_bytes(rows, file->row, 2, DYNO_ITEMS_BYTES_MAX, &items, &items_bytes, err));
    return dyno_ledger_group_open_items(group_out, items, items_bytes, err);
}

static enum dyno_status find_group(struct dyno_ledger_file *opaque, uint64_t number, bool has_items,
                                   struct dyno_ledger_group *group_out, bool *found_out,
                                   struct dyno_err *err)
{
    struct fleet_file *file = (struct fleet_file *)opaque;
    *group_out = (struct dyno_ledger_group){0};
    *found_out = false;
    if (number >= file->end || file->first >= file->end)
        return DYNO_OK;
    if (file->has_items != has_items || file->at_number != number || file->row >= file->rows.count)
        DYNO_TRY(ask_groups(file, number, has_items, err));
    *found_out = file->row < file->rows.count;
    if (!*found_out)
        return DYNO_OK;
    DYNO_TRY(take_group(file, group_out, err));
    file->row++;
    file->at_number = group_out->group.number + 1;
    return DYNO_OK;
}

static enum dyno_status find_last(struct dyno_ledger_file *opaque, uint64_t *number_out,
                                  bool *found_out, struct dyno_err *err)
{
    static const char sql[] = "SELECT max(number) FROM dyno_ledger.record_group"
                              " WHERE node = $1 AND number >= $2 AND number < $3";
    struct fleet_file *file = (struct fleet_file *)opaque;
    const struct dyno_pg_value values[] = {dyno_pg_number(file->node), dyno_fleet_u64(file->first),
                                           dyno_fleet_u64(file->end)};
    struct dyno_pg_rows rows;
    *number_out = 0;
    enum dyno_status status = dyno_pg_query(file->fleet->pg, sql, values, 3, &rows, err);
    *found_out = status == DYNO_OK && !dyno_pg_is_null(&rows, 0, 0);
    if (*found_out)
        status = dyno_fleet_take_u64(&rows, 0, 0, number_out, err);
    dyno_pg_rows_close(&rows);
    return status;
}

/* --- heads --- */

static enum dyno_status find_head(struct dyno_ledger_file *opaque, uint64_t group_count,
                                  struct dyno_ledger_head *head_out, bool *found_out,
                                  struct dyno_err *err)
{
    static const char sql[] = "SELECT group_count, bytes, proof FROM dyno_ledger.head"
                              " WHERE node = $1 AND file = $2 AND group_count >= $3"
                              " AND group_count <= $4 ORDER BY group_count LIMIT 1";
    struct fleet_file *file = (struct fleet_file *)opaque;
    const uint8_t *bytes = NULL;
    const uint8_t *proof = NULL;
    size_t bytes_count = 0;
    size_t proof_bytes = 0;
    uint64_t place = 0;
    *head_out = (struct dyno_ledger_head){0};
    *found_out = false;
    if (group_count > file->end)
        return DYNO_OK;
    const struct dyno_pg_value values[] = {dyno_pg_number(file->node), dyno_pg_number(file->number),
                                           dyno_fleet_u64(group_count), dyno_fleet_u64(file->end)};
    dyno_pg_rows_close(&file->heads);
    DYNO_TRY(dyno_pg_query(file->fleet->pg, sql, values, DYNO_COUNT(values), &file->heads, err));
    *found_out = file->heads.count > 0;
    if (!*found_out)
        return DYNO_OK;
    DYNO_TRY(dyno_fleet_take_u64(&file->heads, 0, 0, &place, err));
    DYNO_TRY(dyno_pg_bytes(&file->heads, 0, 1, DYNO_HEAD_BYTES, &bytes, &bytes_count, err));
    DYNO_TRY(dyno_pg_bytes(&file->heads, 0, 2, DYNO_HEAD_PROOF_MAX, &proof, &proof_bytes, err));
    return dyno_ledger_head_open(place, bytes, bytes_count, proof, proof_bytes, head_out, err);
}

/* --- files --- */

static void close_file(struct dyno_ledger_file *opaque)
{
    struct fleet_file *file = (struct fleet_file *)opaque;
    dyno_pg_rows_close(&file->rows);
    dyno_pg_rows_close(&file->heads);
    dyno_free(file);
}

static const struct dyno_ledger_file_ops ops = {
    .group = find_group, .last = find_last, .head = find_head, .close = close_file};

static enum dyno_status take_opening(struct fleet_file *file, const struct dyno_pg_rows *rows,
                                     struct dyno_err *err)
{
    const uint8_t *bytes = NULL;
    size_t count = 0;
    DYNO_TRY(dyno_fleet_take_u64(rows, 0, 0, &file->first, err));
    DYNO_TRY(dyno_pg_bytes(rows, 0, 1, DYNO_OPENING_BYTES_MAX, &bytes, &count, err));
    DYNO_TRY(dyno_opening_decode(bytes, count, &file->file.opening, err));
    const struct dyno_opening *opening = &file->file.opening;
    return opening->node == file->node && opening->segment == file->number &&
                   opening->frontier.count == file->first
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_CORRUPT,
                           "its opening is that of node %" PRIu32 ", file %" PRIu32
                           ", after %" PRIu64 " groups",
                           opening->node, opening->segment, opening->frontier.count);
}

/* It has the groups up to the first of the next one. */
static enum dyno_status look_up(struct fleet_file *file, struct dyno_err *err)
{
    static const char sql[] =
        "SELECT first_group, opening FROM dyno_ledger.file WHERE node = $1 AND number = $2";
    static const char next[] = "SELECT first_group FROM dyno_ledger.file"
                               " WHERE node = $1 AND number > $2 ORDER BY number LIMIT 1";
    const struct dyno_pg_value values[] = {dyno_pg_number(file->node),
                                           dyno_pg_number(file->number)};
    struct dyno_pg_rows rows;
    enum dyno_status status = dyno_pg_query(file->fleet->pg, sql, values, 2, &rows, err);
    if (status == DYNO_OK && rows.count == 0)
        status = DYNO_FAIL(err, DYNO_E_NOT_FOUND, "the fleet has no such file");
    if (status == DYNO_OK)
        status = take_opening(file, &rows, err);
    dyno_pg_rows_close(&rows);
    if (status != DYNO_OK)
        return status;
    file->end = INT64_MAX;
    status = dyno_pg_query(file->fleet->pg, next, values, 2, &rows, err);
    if (status == DYNO_OK && rows.count > 0)
        status = dyno_fleet_take_u64(&rows, 0, 0, &file->end, err);
    dyno_pg_rows_close(&rows);
    return status;
}

/* "node 3, file 7": one of dyno_fleet_files, which has read the numbers. */
static void read_name(struct fleet_file *file)
{
    const char *at = file->name;
    uint32_t *const numbers[] = {&file->node, &file->number};
    for (size_t i = 0; i < DYNO_COUNT(numbers); i++) {
        at += strcspn(at, "0123456789");
        DYNO_ASSERT(*at != 0);
        for (; *at >= '0' && *at <= '9'; at++)
            *numbers[i] = 10 * *numbers[i] + (uint32_t)(*at - '0');
    }
}

enum dyno_status dyno_fleet_file_open(void *fleet, const char *name,
                                      struct dyno_ledger_file **file_out, struct dyno_err *err)
{
    *file_out = NULL;
    struct fleet_file *file = dyno_alloc(1, sizeof(*file));
    if (file == NULL)
        return DYNO_NOMEM(err);
    file->fleet = fleet;
    file->file = (struct dyno_ledger_file){.ops = &ops, .name = file->name};
    (void)snprintf(file->name, sizeof(file->name), "%s", name);
    read_name(file);
    const enum dyno_status status = look_up(file, err);
    if (status != DYNO_OK) {
        dyno_err_prefix(err, "\"%s\"", name);
        close_file(&file->file);
        return status;
    }
    *file_out = &file->file;
    return DYNO_OK;
}

/* --- what there is --- */

enum dyno_status dyno_fleet_files(struct dyno_fleet *fleet, int64_t node, struct dyno_arena *arena,
                                  const char ***names_out, size_t *count_out, struct dyno_err *err)
{
    static const char sql[] = "SELECT node, number FROM dyno_ledger.file"
                              " WHERE $1 < 0 OR node = $1 ORDER BY node, number";
    const struct dyno_pg_value value = dyno_pg_number(node);
    struct dyno_pg_rows rows;
    *names_out = NULL;
    *count_out = 0;
    enum dyno_status status = dyno_pg_query(fleet->pg, sql, &value, 1, &rows, err);
    if (status == DYNO_OK && rows.count == 0)
        status = node < 0 ? DYNO_FAIL(err, DYNO_E_NOT_FOUND, "fleet ledger: it has no node yet")
                          : DYNO_FAIL(err, DYNO_E_NOT_FOUND, "fleet ledger: it has no node %lld",
                                      (long long)node);
    const char **names =
        status == DYNO_OK ? dyno_arena_alloc(arena, (size_t)rows.count, sizeof(*names)) : NULL;
    if (status == DYNO_OK && names == NULL)
        status = DYNO_NOMEM(err);
    for (int i = 0; status == DYNO_OK && i < rows.count; i++) {
        char *name = dyno_arena_alloc(arena, NAME_ROOM, 1);
        int64_t of = 0;
        int64_t number = 0;
        status = name != NULL ? dyno_pg_i64(&rows, i, 0, 0, UINT32_MAX, &of, err) : DYNO_NOMEM(err);
        if (status == DYNO_OK)
            status = dyno_pg_i64(&rows, i, 1, 0, UINT32_MAX, &number, err);
        if (status != DYNO_OK)
            break;
        (void)snprintf(name, NAME_ROOM, "node %" PRId64 ", file %" PRId64, of, number);
        names[i] = name;
    }
    *names_out = names;
    *count_out = status == DYNO_OK ? (size_t)rows.count : 0;
    dyno_pg_rows_close(&rows);
    return status;
}

enum dyno_status dyno_fleet_nodes(struct dyno_fleet *fleet, struct dyno_arena *arena,
                                  uint32_t **nodes_out, size_t *count_out, struct dyno_err *err)
{
    static const char sql[] = "SELECT node FROM dyno_ledger.node ORDER BY node";
    struct dyno_pg_rows rows;
    *count_out = 0;
    enum dyno_status status = dyno_pg_query(fleet->pg, sql, NULL, 0, &rows, err);
    *nodes_out = status == DYNO_OK
                     ? dyno_arena_alloc(arena, (size_t)rows.count + 1, sizeof(**nodes_out))
                     : NULL;
    if (status == DYNO_OK && *nodes_out == NULL)
        status = DYNO_NOMEM(err);
    for (int i = 0; status == DYNO_OK && i < rows.count; i++) {
        int64_t node = 0;
        status = dyno_pg_i64(&rows, i, 0, 0, UINT32_MAX, &node, err);
        (*nodes_out)[i] = (uint32_t)node;
    }
    *count_out = status == DYNO_OK ? (size_t)rows.count : 0;
    dyno_pg_rows_close(&rows);
    return status;
}
