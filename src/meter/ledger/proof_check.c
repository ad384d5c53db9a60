/* proof_check.c - a proof, believed only as far as it goes. */
#include <inttypes.h>
#include <string.h>

#include "base/hex.h"
#include "base/json.h"
#include "meter/ledger/proof.h"

struct checking {
    struct dyno_arena *arena;
    struct dyno_proof_report *report;
    struct dyno_group groups[DYNO_PROOF_GROUPS_MAX];
    uint32_t group_count;
    bool has_name[DYNO_NAME_KINDS];
};

/* One leaf as the text has it. */
struct leaf {
    const struct dyno_group *group;
    uint32_t index;
    uint8_t bytes[DYNO_ENTRY_HEAD_BYTES + DYNO_NAME_BYTES_MAX];
    size_t bytes_count;
};

/* --- pieces of JSON --- */

/* `min` to `max` bytes as hexadecimal digits. */
static enum dyno_status take_hex(const struct dyno_json *value, const char *what, size_t min,
                                 size_t max, uint8_t *out, size_t *bytes_out, struct dyno_err *err)
{
    *bytes_out = 0;
    if (value == NULL || value->kind != DYNO_JSON_STRING || value->text_bytes < 2 * min ||
        value->text_bytes > 2 * max || !dyno_hex_parse(value->text, value->text_bytes, out))
        return DYNO_FAIL(err, DYNO_E_FORMAT,
                         "the proof's %s is no text of %zu to %zu hexadecimal "
                         "digits",
                         what, 2 * min, 2 * max);
    *bytes_out = value->text_bytes / 2;
    return DYNO_OK;
}

static enum dyno_status take_number(const struct dyno_json *value, const char *what, uint64_t below,
                                    uint32_t *out, struct dyno_err *err)
{
    *out = 0;
    if (value == NULL || value->kind != DYNO_JSON_NUMBER || !value->is_int || value->integer < 0 ||
        (uint64_t)value->integer >= below)
        return DYNO_FAIL(err, DYNO_E_FORMAT,
                         "the proof's %s is no whole number from 0 to below %" PRIu64, what, below);
    *out = (uint32_t)value->integer;
    return DYNO_OK;
}

/* The root that a leaf's path, "path" of the object, leads to. */
static enum dyno_status climb(const struct dyno_json *object, const struct dyno_digest *leaf,
                              uint64_t index, uint64_t count, struct dyno_digest *root_out,
                              struct dyno_err *err)
{
    struct dyno_digest path[DYNO_MERKLE_PATH_MAX];
    uint32_t path_count = 0;
    size_t bytes = 0;
    const struct dyno_json *list = dyno_json_find(object, "path");
    if (list == NULL || list->kind != DYNO_JSON_ARRAY)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "the proof has no path where one is wanted");
    for (const struct dyno_json *item = list->first; item != NULL; item = item->next) {
        if (path_count == DYNO_MERKLE_PATH_MAX)
            return DYNO_FAIL(err, DYNO_E_FORMAT, "the proof has a path of over %u hashes",
                             DYNO_MERKLE_PATH_MAX);
        DYNO_TRY(take_hex(item, "path", DYNO_DIGEST_BYTES, DYNO_DIGEST_BYTES,
                          path[path_count++].bytes, &bytes, err));
    }
    if (!dyno_merkle_climb(leaf, index, count, path, path_count, root_out))
        return DYNO_FAIL(err, DYNO_E_CORRUPT,
                         "the proof has a path of %" PRIu32
                         " hashes, which leads from place %" PRIu64 " of %" PRIu64 " to no root",
                         path_count, index, count);
    return DYNO_OK;
}

/* --- groups --- */

static enum dyno_status take_group(struct checking *checking, const struct dyno_json *object,
                                   struct dyno_err *err)
{
    uint8_t header[DYNO_GROUP_HEADER_BYTES];
    size_t bytes = 0;
    struct dyno_digest hash;
    struct dyno_digest root;
    const struct dyno_head *head = &checking->report->head;
    if (checking->group_count == DYNO_PROOF_GROUPS_MAX)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "the proof has over %u groups", DYNO_PROOF_GROUPS_MAX);
    struct dyno_group *group = &checking->groups[checking->group_count++];
    DYNO_TRY(take_hex(dyno_json_find(object, "header"), "header", sizeof(header), sizeof(header),
                      header, &bytes, err));
    DYNO_TRY(dyno_group_decode(header, bytes, group, err));
    dyno_group_hash(header, &hash);
    DYNO_TRY(climb(object, &hash, group->number, head->group_count, &root, err));
    if (group->node != head->node || !dyno_digest_equal(&root, &head->root))
        return DYNO_FAIL(err, DYNO_E_CORRUPT,
                         "group %" PRIu64 " of the proof is not under its head", group->number);
    return DYNO_OK;
}

/* --- leaves --- */

static enum dyno_status take_leaf(struct checking *checking, const struct dyno_json *object,
                                  uint8_t type, struct leaf *leaf, struct dyno_err *err)
{
    uint32_t place = 0;
    uint8_t salt[DYNO_SALT_BYTES];
    size_t salt_bytes = 0;
    struct dyno_digest hash;
    struct dyno_digest root;
    const bool is_record = type == DYNO_ITEM_RECORD;
    DYNO_TRY(
        take_number(dyno_json_find(object, "group"), "group", checking->group_count, &place, err));
    leaf->group = &checking->groups[place];
    const uint32_t entry_count = leaf->group->entry_count;
    const uint32_t count = entry_count + leaf->group->record_count;
    DYNO_TRY(take_number(dyno_json_find(object, "index"), "index", count, &leaf->index, err));
    DYNO_TRY(take_hex(dyno_json_find(object, "salt"), "salt", sizeof(salt), sizeof(salt), salt,
                      &salt_bytes, err));
    DYNO_TRY(take_hex(dyno_json_find(object, "bytes"), "bytes",
                      is_record ? DYNO_RECORD_BYTES : DYNO_ENTRY_HEAD_BYTES + 1,
                      is_record ? DYNO_RECORD_BYTES : sizeof(leaf->bytes), leaf->bytes,
                      &leaf->bytes_count, err));
    dyno_item_leaf(type, salt, leaf->bytes, leaf->bytes_count, &hash);
    DYNO_TRY(climb(object, &hash, leaf->index, count, &root, err));
    if (!dyno_digest_equal(&root, &leaf->group->items_root) ||
        is_record != (leaf->index >= entry_count))
        return DYNO_FAIL(err, DYNO_E_CORRUPT, "a %s of the proof is not in its group",
                         is_record ? "record" : "name");
    return DYNO_OK;
}

static enum dyno_status take_record(struct checking *checking, const struct dyno_json *root,
                                    struct dyno_err *err)
{
    struct leaf leaf;
    struct dyno_record *record = &checking->report->record;
    char id[DYNO_RECORD_TEXT_ROOM];
    const struct dyno_json *text = dyno_json_find(root, "id");
    DYNO_TRY(take_leaf(checking, dyno_json_find(root, "record"), DYNO_ITEM_RECORD, &leaf, err));
    DYNO_TRY(dyno_record_decode(leaf.bytes, record, err));
    const struct dyno_group *group = leaf.group;
    if (record->id.node != group->node || record->id.epoch != group->epoch ||
        record->id.seq != group->first_seq + (leaf.index - group->entry_count))
        return DYNO_FAIL(err, DYNO_E_CORRUPT, "the record of the proof is not where its id says");
    if (text == NULL || text->kind != DYNO_JSON_STRING ||
        strcmp(text->text, dyno_record_id_text(record->id, id)) != 0)
        return DYNO_FAIL(err, DYNO_E_CORRUPT, "the proof is not of the record that it names: %s",
                         dyno_record_id_text(record->id, id));
    checking->report->group = *group;
    return DYNO_OK;
}

static enum dyno_status take_name(struct checking *checking, const struct dyno_json *object,
                                  struct dyno_err *err)
{
    struct leaf leaf;
    struct dyno_entry entry;
    const struct dyno_proof_report *report = checking->report;
    DYNO_TRY(take_leaf(checking, object, DYNO_ITEM_ENTRY, &leaf, err));
    DYNO_TRY(dyno_entry_decode(leaf.bytes, leaf.bytes_count, &entry, err));
    /* Numbers of names are those of one file. */
    if (entry.bytes_count != leaf.bytes_count || leaf.group->segment != report->group.segment ||
        report->record.names[entry.kind - 1] != entry.id || checking->has_name[entry.kind - 1])
        return DYNO_FAIL(err, DYNO_E_CORRUPT, "the proof has a name that is not the record's");
    const char *text = dyno_arena_strndup(checking->arena, entry.text, entry.text_bytes);
    if (text == NULL)
        return DYNO_NOMEM(err);
    checking->report->names[entry.kind - 1] = text;
    checking->has_name[entry.kind - 1] = true;
    return DYNO_OK;
}

static enum dyno_status each(struct checking *checking, const struct dyno_json *root,
                             const char *key,
                             enum dyno_status (*take)(struct checking *checking,
                                                      const struct dyno_json *object,
                                                      struct dyno_err *err),
                             struct dyno_err *err)
{
    const struct dyno_json *list = dyno_json_find(root, key);
    if (list == NULL || list->kind != DYNO_JSON_ARRAY)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "the proof has no list \"%s\"", key);
    for (const struct dyno_json *item = list->first; item != NULL; item = item->next)
        DYNO_TRY(take(checking, item, err));
    return DYNO_OK;
}

static enum dyno_status check(struct checking *checking, const struct dyno_json *root,
                              struct dyno_err *err)
{
    uint8_t head[DYNO_HEAD_BYTES];
    size_t bytes = 0;
    const struct dyno_json *format = dyno_json_find(root, "dyno_ledger_proof");
    if (format == NULL || format->kind != DYNO_JSON_NUMBER || !format->is_int)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "it is no proof of a ledger's record");
    if (format->integer != DYNO_LEDGER_FORMAT)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED, "the proof has format %lld, this build knows %u",
                         (long long)format->integer, DYNO_LEDGER_FORMAT);
    DYNO_TRY(take_hex(dyno_json_find(root, "head"), "head", sizeof(head), sizeof(head), head,
                      &bytes, err));
    DYNO_TRY(dyno_head_decode(head, bytes, &checking->report->head, err));
    DYNO_TRY(dyno_head_check(head, err));
    DYNO_TRY(each(checking, root, "groups", take_group, err));
    DYNO_TRY(take_record(checking, root, err));
    DYNO_TRY(each(checking, root, "names", take_name, err));
    for (uint32_t i = 0; i < DYNO_NAME_KINDS; i++)
        if (checking->report->record.names[i] != 0 && !checking->has_name[i])
            return DYNO_FAIL(err, DYNO_E_FORMAT, "the proof leaves out the name of the %s",
                             dyno_name_kind_text(i + 1));
    return DYNO_OK;
}

enum dyno_status dyno_proof_check(const char *json, size_t bytes, struct dyno_arena *arena,
                                  struct dyno_proof_report *report_out, struct dyno_err *err)
{
    const struct dyno_json *root = NULL;
    struct checking checking = {.arena = arena, .report = report_out};
    *report_out = (struct dyno_proof_report){0};
    for (uint32_t i = 0; i < DYNO_NAME_KINDS; i++)
        report_out->names[i] = "";
    DYNO_TRY(dyno_json_parse(json, bytes, arena, &root, err));
    return check(&checking, root, err);
}
