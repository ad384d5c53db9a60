/* proof_make.c - finding a record and its names, and the paths above them. */
#include <inttypes.h>
#include <string.h>

#include "base/hex.h"
#include "base/json.h"
#include "base/mem.h"
#include "meter/ledger/proof.h"

/* A leaf that is shown. */
struct shown {
    uint32_t group; /* index into the groups */
    uint32_t index;
    uint8_t salt[DYNO_SALT_BYTES];
    uint8_t bytes[DYNO_ENTRY_HEAD_BYTES + DYNO_NAME_BYTES_MAX];
    size_t bytes_count;
    struct dyno_digest path[DYNO_MERKLE_PATH_MAX];
    uint32_t path_count;
};

struct making {
    const struct dyno_ledger_store *store;
    const char *const *paths;
    size_t path_count;
    struct dyno_record_id id;
    struct dyno_digest *leaves;
    struct shown record;
    struct shown names[DYNO_NAME_KINDS];
    uint32_t name_count;
    struct {
        uint64_t number;
        uint8_t header[DYNO_GROUP_HEADER_BYTES];
        struct dyno_path_finder finder;
    } groups[DYNO_PROOF_GROUPS_MAX];
    uint32_t group_count;
    struct dyno_frontier frontier; /* over the groups that were seen */
    struct dyno_digest chain;
    uint8_t head[DYNO_HEAD_BYTES];
    uint64_t end; /* groups under the head */
};

/* --- finding --- */

/* The group that holds the record, by halving: within a file numbers grow as seqs do. */
static enum dyno_status find_group(struct dyno_ledger_file *file, struct dyno_record_id id,
                                   uint64_t *number_out, bool *found_out, struct dyno_err *err)
{
    const struct dyno_opening *opening = dyno_ledger_file_opening(file);
    uint64_t first = opening->frontier.count;
    uint64_t last = 0;
    struct dyno_ledger_group group;
    *found_out = false;
    if (opening->node != id.node)
        return DYNO_OK;
    DYNO_TRY(dyno_ledger_file_last(file, &last, found_out, err));
    while (*found_out && first < last) {
        const uint64_t middle = first + (last - first + 1) / 2;
        DYNO_TRY(dyno_ledger_file_header(file, middle, &group, found_out, err));
        if (!*found_out)
            return DYNO_OK;
        if (group.group.epoch > id.epoch ||
            (group.group.epoch == id.epoch && group.group.first_seq > id.seq))
            last = middle - 1;
        else
            first = middle;
    }
    if (!*found_out)
        return DYNO_OK;
    DYNO_TRY(dyno_ledger_file_header(file, first, &group, found_out, err));
    *found_out = *found_out && group.group.epoch == id.epoch && id.seq >= group.group.first_seq &&
                 id.seq - group.group.first_seq < group.group.record_count;
    *number_out = group.group.number;
    return DYNO_OK;
}

/* The place of a group among those that are shown. */
static uint32_t place_of(struct making *making, const struct dyno_ledger_group *group)
{
    for (uint32_t i = 0; i < making->group_count; i++)
        if (making->groups[i].number == group->group.number)
            return i;
    DYNO_ASSERT(making->group_count < DYNO_PROOF_GROUPS_MAX);
    making->groups[making->group_count].number = group->group.number;
    memcpy(making->groups[making->group_count].header, group->header, DYNO_GROUP_HEADER_BYTES);
    return making->group_count++;
}

static enum dyno_status show(struct making *making, const struct dyno_ledger_group *group,
                             uint32_t index, const uint8_t *bytes, size_t bytes_count,
                             struct shown *shown, struct dyno_err *err)
{
    struct dyno_digest root;
    shown->group = place_of(making, group);
    shown->index = index;
    shown->bytes_count = bytes_count;
    memcpy(shown->bytes, bytes, bytes_count);
    dyno_item_salt(group->items.seed, index, shown->salt);
    DYNO_TRY(dyno_items_leaves(&group->items, making->leaves, err));
    dyno_merkle_prove(making->leaves, (size_t)group->items.entry_count + group->items.record_count,
                      index, shown->path, &shown->path_count, &root);
    return dyno_digest_equal(&root, &group->group.items_root)
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_CORRUPT,
                           "group %" PRIu64 ": its items have another hash than was written",
                           group->group.number);
}

static enum dyno_status show_names_of(struct making *making, const struct dyno_ledger_group *group,
                                      uint32_t wanted[DYNO_NAME_KINDS], struct dyno_err *err)
{
    size_t at = 0;
    for (uint32_t i = 0; i < group->items.entry_count; i++) {
        struct dyno_entry entry;
        DYNO_TRY(dyno_entry_decode(group->items.entries + at, group->items.entries_bytes - at,
                                   &entry, err));
        at += entry.bytes_count;
        if (wanted[entry.kind - 1] != entry.id)
            continue;
        wanted[entry.kind - 1] = 0;
        DYNO_TRY(show(making, group, i, entry.bytes, entry.bytes_count,
                      &making->names[making->name_count++], err));
    }
    return DYNO_OK;
}

/* Names stand in the group that needed them first. */
static enum dyno_status show_names(struct making *making, struct dyno_ledger_file *file,
                                   const struct dyno_record *record, uint64_t last,
                                   struct dyno_err *err)
{
    uint32_t wanted[DYNO_NAME_KINDS];
    uint64_t number = 0;
    memcpy(wanted, record->names, sizeof(wanted));
    while (number <= last) {
        struct dyno_ledger_group group;
        bool found = false;
        DYNO_TRY(dyno_ledger_file_header(file, number, &group, &found, err));
        if (!found)
            break;
        number = group.group.number + 1;
        if (group.group.entry_count == 0)
            continue;
        DYNO_TRY(dyno_ledger_file_group(file, group.group.number, &group, &found, err));
        if (found)
            DYNO_TRY(show_names_of(making, &group, wanted, err));
    }
    for (uint32_t i = 0; i < DYNO_NAME_KINDS; i++)
        if (wanted[i] != 0)
            return DYNO_FAIL(err, DYNO_E_CORRUPT, "there is no %s %" PRIu32,
                             dyno_name_kind_text(i + 1), wanted[i]);
    return DYNO_OK;
}

static enum dyno_status show_record(struct making *making, struct dyno_ledger_file *file,
                                    uint64_t number, struct dyno_err *err)
{
    struct dyno_ledger_group group;
    struct dyno_record record;
    bool found = false;
    DYNO_TRY(dyno_ledger_file_group(file, number, &group, &found, err));
    const uint64_t i = making->id.seq - group.group.first_seq;
    if (!found || group.group.number != number || i >= group.items.record_count)
        return DYNO_FAIL(err, DYNO_E_CORRUPT, "group %" PRIu64 " is missing", number);
    const uint8_t *bytes = group.items.records + (size_t)i * DYNO_RECORD_BYTES;
    DYNO_TRY(dyno_record_decode(bytes, &record, err));
    DYNO_TRY(show(making, &group, group.items.entry_count + (uint32_t)i, bytes, DYNO_RECORD_BYTES,
                  &making->record, err));
    return show_names(making, file, &record, number, err);
}

/* --- the head and the paths to it --- */

/* The first head over the group of the record, in this file or one after it. */
static enum dyno_status find_head(struct making *making, size_t first_file, struct dyno_err *err)
{
    bool found = false;
    for (size_t i = first_file; i < making->path_count && !found; i++) {
        struct dyno_ledger_file *file = NULL;
        struct dyno_ledger_head head;
        DYNO_TRY(dyno_ledger_store_open(making->store, making->paths[i], &file, err));
        const enum dyno_status status = dyno_ledger_file_head(
            file, making->groups[making->record.group].number + 1, &head, &found, err);
        if (status == DYNO_OK && found) {
            memcpy(making->head, head.bytes, DYNO_HEAD_BYTES);
            making->end = head.head.group_count;
        }
        dyno_ledger_file_close(file);
        DYNO_TRY(status);
    }
    return DYNO_OK;
}

/* No head is over it: the last group of the last file ends the tree. */
static enum dyno_status find_end(struct making *making, struct dyno_err *err)
{
    struct dyno_ledger_file *file = NULL;
    uint64_t number = 0;
    bool found = false;
    DYNO_TRY(
        dyno_ledger_store_open(making->store, making->paths[making->path_count - 1], &file, err));
    const enum dyno_status status = dyno_ledger_file_last(file, &number, &found, err);
    dyno_ledger_file_close(file);
    making->end = number + 1;
    return status != DYNO_OK || found ? status
                                      : DYNO_FAIL(err, DYNO_E_FORMAT, "\"%s\" has no groups",
                                                  making->paths[making->path_count - 1]);
}

static enum dyno_status pass_groups(struct making *making, struct dyno_ledger_file *file,
                                    struct dyno_group *last, struct dyno_err *err)
{
    while (making->frontier.count < making->end) {
        struct dyno_ledger_group group;
        bool found = false;
        DYNO_TRY(dyno_ledger_file_header(file, making->frontier.count, &group, &found, err));
        if (!found)
            return DYNO_OK;
        if (group.group.number != making->frontier.count)
            return DYNO_FAIL(err, DYNO_E_CORRUPT, "group %" PRIu64 " is missing",
                             making->frontier.count);
        *last = group.group;
        dyno_group_hash(group.header, &making->chain);
        dyno_frontier_add(&making->frontier, &making->chain);
        for (uint32_t i = 0; i < making->group_count; i++)
            dyno_path_finder_add(&making->groups[i].finder, &making->chain);
    }
    return DYNO_OK;
}

static enum dyno_status climb(struct making *making, size_t first_file, struct dyno_err *err)
{
    struct dyno_group last = {0};
    for (size_t i = first_file; i < making->path_count && making->frontier.count < making->end;
         i++) {
        struct dyno_ledger_file *file = NULL;
        DYNO_TRY(dyno_ledger_store_open(making->store, making->paths[i], &file, err));
        if (i == first_file) {
            making->frontier = dyno_ledger_file_opening(file)->frontier;
            for (uint32_t k = 0; k < making->group_count; k++)
                dyno_path_finder_init(&making->groups[k].finder, &making->frontier,
                                      making->groups[k].number, making->end);
        }
        const enum dyno_status status = pass_groups(making, file, &last, err);
        if (status != DYNO_OK)
            dyno_err_prefix(err, "\"%s\"", making->paths[i]);
        dyno_ledger_file_close(file);
        DYNO_TRY(status);
    }
    if (making->frontier.count != making->end)
        return DYNO_FAIL(err, DYNO_E_NOT_FOUND,
                         "the groups %" PRIu64 " to %" PRIu64 " are in none of the files",
                         making->frontier.count, making->end - 1);
    struct dyno_head head = {
        .node = last.node,
        .segment = last.segment,
        .epoch = last.epoch,
        .seq = last.first_seq + last.record_count - 1,
        .group_count = making->end,
        .time_ns = last.time_ns,
        .chain = making->chain,
    };
    dyno_frontier_root(&making->frontier, &head.root);
    if (making->head[0] == 0)
        return dyno_head_encode(&head, NULL, making->head, err);
    struct dyno_head written;
    DYNO_TRY(dyno_head_decode(making->head, DYNO_HEAD_BYTES, &written, err));
    return dyno_digest_equal(&written.root, &head.root)
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_CORRUPT,
                           "the groups have another root than the head over %" PRIu64 " of them",
                           making->end);
}

/* --- the text --- */

static void put_hex(struct dyno_json_writer *json, const char *key, const void *data, size_t bytes)
{
    char text[2 * (DYNO_HEAD_BYTES + DYNO_NAME_BYTES_MAX) + 1];
    dyno_json_put_str(json, key, dyno_hex_text(data, bytes, text));
}

static void put_path(struct dyno_json_writer *json, const struct dyno_digest *path, uint32_t count)
{
    char text[2 * DYNO_DIGEST_BYTES + 1];
    dyno_json_put_array_begin(json, "path");
    for (uint32_t i = 0; i < count; i++)
        dyno_json_str(json, dyno_hex_text(path[i].bytes, DYNO_DIGEST_BYTES, text));
    dyno_json_array_end(json);
}

static void put_shown(struct dyno_json_writer *json, const struct shown *shown)
{
    dyno_json_object_begin(json);
    dyno_json_put_u64(json, "group", shown->group);
    dyno_json_put_u64(json, "index", shown->index);
    put_hex(json, "salt", shown->salt, DYNO_SALT_BYTES);
    put_hex(json, "bytes", shown->bytes, shown->bytes_count);
    put_path(json, shown->path, shown->path_count);
    dyno_json_object_end(json);
}

static void put_proof(const struct making *making, struct dyno_strbuf *out)
{
    char id[DYNO_RECORD_TEXT_ROOM];
    struct dyno_digest path[DYNO_MERKLE_PATH_MAX];
    struct dyno_json_writer json = {.out = out, .indent = 2};
    dyno_json_object_begin(&json);
    dyno_json_put_u64(&json, "dyno_ledger_proof", DYNO_LEDGER_FORMAT);
    dyno_json_put_str(&json, "id", dyno_record_id_text(making->id, id));
    put_hex(&json, "head", making->head, DYNO_HEAD_BYTES);
    dyno_json_put_array_begin(&json, "groups");
    for (uint32_t i = 0; i < making->group_count; i++) {
        const uint32_t count = dyno_path_finder_take(&making->groups[i].finder, path);
        dyno_json_object_begin(&json);
        put_hex(&json, "header", making->groups[i].header, DYNO_GROUP_HEADER_BYTES);
        put_path(&json, path, count);
        dyno_json_object_end(&json);
    }
    dyno_json_array_end(&json);
    dyno_json_key(&json, "record");
    put_shown(&json, &making->record);
    dyno_json_put_array_begin(&json, "names");
    for (uint32_t i = 0; i < making->name_count; i++)
        put_shown(&json, &making->names[i]);
    dyno_json_array_end(&json);
    dyno_json_object_end(&json);
}

static enum dyno_status make(struct making *making, struct dyno_strbuf *json_out,
                             struct dyno_err *err)
{
    size_t i = 0;
    bool found = false;
    for (; i < making->path_count; i++) {
        struct dyno_ledger_file *file = NULL;
        uint64_t number = 0;
        DYNO_TRY(dyno_ledger_store_open(making->store, making->paths[i], &file, err));
        enum dyno_status status = find_group(file, making->id, &number, &found, err);
        if (status == DYNO_OK && found)
            status = show_record(making, file, number, err);
        if (status != DYNO_OK)
            dyno_err_prefix(err, "\"%s\"", making->paths[i]);
        dyno_ledger_file_close(file);
        DYNO_TRY(status);
        if (found)
            break;
    }
    char id[DYNO_RECORD_TEXT_ROOM];
    if (!found)
        return DYNO_FAIL(err, DYNO_E_NOT_FOUND, "there is no record %s in %zu file%s",
                         dyno_record_id_text(making->id, id), making->path_count,
                         making->path_count == 1 ? "" : "s");
    DYNO_TRY(find_head(making, i, err));
    if (making->head[0] == 0)
        DYNO_TRY(find_end(making, err));
    DYNO_TRY(climb(making, i, err));
    put_proof(making, json_out);
    return dyno_strbuf_ok(json_out) ? DYNO_OK : DYNO_NOMEM(err);
}

enum dyno_status dyno_proof_make(const struct dyno_ledger_store *store, const char *const *paths,
                                 size_t path_count, struct dyno_record_id id,
                                 struct dyno_strbuf *json_out, struct dyno_err *err)
{
    struct making *making = dyno_alloc(1, sizeof(*making));
    if (making == NULL)
        return DYNO_NOMEM(err);
    making->store = store;
    making->paths = paths;
    making->path_count = path_count;
    making->id = id;
    making->leaves = dyno_alloc_raw(DYNO_GROUP_ITEMS_MAX, sizeof(*making->leaves));
    const enum dyno_status status =
        making->leaves != NULL ? make(making, json_out, err) : DYNO_NOMEM(err);
    dyno_free(making->leaves);
    dyno_free(making);
    return status;
}
