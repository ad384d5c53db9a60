/* archive_read.c - a compressed file of a ledger, read a block at a time. */
#include "meter/ledger/archive.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/le.h"
#include "base/mem.h"
#include "meter/ledger/file.h"
#include "meter/ledger/pack.h"
#include "meter/ledger/segment.h"

/* A row of the index. */
struct part {
    uint64_t offset, first;
    uint32_t groups, raw_bytes, stored_bytes, crc;
};

struct archive {
    struct dyno_ledger_file file; /* first */
    char *path;
    struct dyno_file_map map;
    const uint8_t *index;
    uint32_t block_count;
    uint64_t group_count;
    uint32_t block; /* that is unpacked; block_count: none */
    uint8_t *raw;
    size_t raw_room;
    uint32_t *places; /* of its groups in raw */
    size_t place_room;
    uint8_t *heads;
    uint32_t heads_bytes, head_count;
    uint32_t *head_places;
};

static struct archive *of_file(struct dyno_ledger_file *file)
{
    return (struct archive *)(void *)file;
}

/* A file that SQLite has open must not be opened beside it: closing it would take the locks from
 * all of this process (fcntl(2)), the writer's as well, and whoever came next would move its log
 * away from under it. */
bool dyno_archive_is(const char *path)
{
    uint8_t magic[4];
    const size_t bytes = strlen(path);
    const size_t suffix = sizeof(DYNO_LEDGER_SUFFIX) - 1;
    if (bytes >= suffix && strcmp(path + bytes - suffix, DYNO_LEDGER_SUFFIX) == 0)
        return false;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false;
    const bool is_one = read(fd, magic, sizeof(magic)) == (ssize_t)sizeof(magic) &&
                        dyno_le_u32(magic) == DYNO_ARCHIVE_MAGIC;
    (void)close(fd);
    return is_one;
}

/* --- parts --- */

static struct part part_at(const uint8_t *row)
{
    return (struct part){.offset = dyno_le_u64(row),
                         .first = dyno_le_u64(row + 8),
                         .groups = dyno_le_u32(row + 16),
                         .raw_bytes = dyno_le_u32(row + 20),
                         .stored_bytes = dyno_le_u32(row + 24),
                         .crc = dyno_le_u32(row + 28)};
}

/* Nothing unpacks to more than so many times its bytes (RFC 1951: 258 bytes of two bits). */
static bool can_unpack(const struct part *part)
{
    return part->raw_bytes <= (uint64_t)part->stored_bytes * 1032 + 64;
}

/* Unpack part->raw_bytes to `out`. */
static enum dyno_status unpack(const struct archive *archive, const struct part *part, uint8_t *out,
                               struct dyno_err *err)
{
    const uint8_t *data = (const uint8_t *)archive->map.data + part->offset;
    if (part->offset > archive->map.bytes || part->stored_bytes > archive->map.bytes - part->offset)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "a block lies outside of it");
    if (dyno_crc32c(0, data, part->stored_bytes) != part->crc)
        return DYNO_FAIL(err, DYNO_E_CORRUPT, "the checksum of the block at %" PRIu64 " differs",
                         part->offset);
    const enum dyno_status status =
        dyno_unpack(data, part->stored_bytes, out, part->raw_bytes, err);
    if (status != DYNO_OK)
        dyno_err_prefix(err, "the block at %" PRIu64, part->offset);
    return status;
}

/* Where each group of the block in archive->raw begins: its header, the bytes of its items, they.
 */
static enum dyno_status find_places(struct archive *archive, const struct part *part,
                                    struct dyno_err *err)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < part->groups; i++) {
        if (part->raw_bytes - at < DYNO_GROUP_HEADER_BYTES + 4)
            return DYNO_FAIL(err, DYNO_E_FORMAT, "a block has fewer groups than it says");
        archive->places[i] = at;
        const uint32_t items = dyno_le_u32(archive->raw + at + DYNO_GROUP_HEADER_BYTES);
        at += DYNO_GROUP_HEADER_BYTES + 4;
        if (items > part->raw_bytes - at)
            return DYNO_FAIL(err, DYNO_E_FORMAT, "the items of a group lie outside of its block");
        at += items;
    }
    return at == part->raw_bytes
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_FORMAT, "a block has more bytes than its groups");
}

static bool make_room(void **memory, size_t *room, size_t count, size_t item_bytes)
{
    if (count <= *room)
        return true;
    void *grown = dyno_alloc_raw(count, item_bytes);
    if (grown == NULL)
        return false;
    dyno_free(*memory);
    *memory = grown;
    *room = count;
    return true;
}

static enum dyno_status load_block(struct archive *archive, uint32_t block, struct dyno_err *err)
{
    const struct part part = part_at(archive->index + (size_t)block * DYNO_ARCHIVE_ROW_BYTES);
    if (archive->block == block)
        return DYNO_OK;
    archive->block = archive->block_count;
    void *raw = archive->raw;
    void *places = archive->places;
    const bool has_room =
        make_room(&raw, &archive->raw_room, part.raw_bytes, 1) &&
        make_room(&places, &archive->place_room, part.groups, sizeof(*archive->places));
    archive->raw = raw;
    archive->places = places;
    if (!has_room)
        return DYNO_NOMEM(err);
    DYNO_TRY(unpack(archive, &part, archive->raw, err));
    DYNO_TRY(find_places(archive, &part, err));
    archive->block = block;
    return DYNO_OK;
}

/* --- opening --- */

/* Blocks lie one after another, their groups go on from one another, and sizes are possible. */
static enum dyno_status check_index(const struct archive *archive, uint64_t until,
                                    struct dyno_err *err)
{
    uint64_t offset = DYNO_ARCHIVE_HEAD_BYTES;
    uint64_t number = archive->file.opening.frontier.count;
    for (uint32_t i = 0; i < archive->block_count; i++) {
        const struct part part = part_at(archive->index + (size_t)i * DYNO_ARCHIVE_ROW_BYTES);
        if (part.offset != offset || part.first != number || part.groups == 0 ||
            part.raw_bytes > DYNO_ARCHIVE_BLOCK_MAX ||
            part.groups > part.raw_bytes / (DYNO_GROUP_HEADER_BYTES + 4) ||
            part.stored_bytes > until - offset || !can_unpack(&part))
            return DYNO_FAIL(err, DYNO_E_FORMAT, "row %" PRIu32 " of its index is none", i);
        offset += part.stored_bytes;
        number += part.groups;
    }
    return offset == until && number - archive->file.opening.frontier.count == archive->group_count
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_FORMAT, "its index is of another archive");
}

/* All heads, unpacked; where each begins. */
static enum dyno_status load_heads(struct archive *archive, const struct part *part,
                                   struct dyno_err *err)
{
    uint64_t before = 0;
    if (part->raw_bytes > DYNO_ARCHIVE_HEADS_MAX || !can_unpack(part) ||
        part->groups > part->raw_bytes / (DYNO_HEAD_BYTES + 4))
        return DYNO_FAIL(err, DYNO_E_FORMAT,
                         "it says that it has %" PRIu32 " heads in %" PRIu32 " bytes", part->groups,
                         part->raw_bytes);
    archive->heads = dyno_alloc_raw((size_t)part->raw_bytes + 1, 1);
    archive->head_places = dyno_alloc_raw((size_t)part->groups + 1, sizeof(*archive->head_places));
    if (archive->heads == NULL || archive->head_places == NULL)
        return DYNO_NOMEM(err);
    DYNO_TRY(unpack(archive, part, archive->heads, err));
    archive->heads_bytes = part->raw_bytes;
    archive->head_count = part->groups;
    for (uint32_t i = 0, at = 0; i < part->groups; i++) {
        if (part->raw_bytes - at < DYNO_HEAD_BYTES + 4)
            return DYNO_FAIL(err, DYNO_E_FORMAT, "it has fewer heads than it says");
        struct dyno_head head;
        DYNO_TRY(dyno_head_decode(archive->heads + at, DYNO_HEAD_BYTES, &head, err));
        const uint32_t proof = dyno_le_u32(archive->heads + at + DYNO_HEAD_BYTES);
        archive->head_places[i] = at;
        at += DYNO_HEAD_BYTES + 4;
        if (proof > part->raw_bytes - at || proof > DYNO_HEAD_PROOF_MAX ||
            head.group_count <= before)
            return DYNO_FAIL(err, DYNO_E_FORMAT, "a head of it is at no place of one");
        before = head.group_count;
        at += proof;
        if (i + 1 == part->groups && at != part->raw_bytes)
            return DYNO_FAIL(err, DYNO_E_FORMAT, "its heads have more bytes than they say");
    }
    return DYNO_OK;
}

/* Its end says where everything is. */
static enum dyno_status read_end(struct archive *archive, struct dyno_err *err)
{
    const uint8_t *data = archive->map.data;
    const uint64_t bytes = archive->map.bytes;
    if (bytes < DYNO_ARCHIVE_HEAD_BYTES + DYNO_ARCHIVE_END_BYTES ||
        dyno_le_u32(data) != DYNO_ARCHIVE_MAGIC)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "it is no archive of a ledger");
    if (dyno_le_u32(data + 4) != DYNO_ARCHIVE_FORMAT)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED, "it has format %" PRIu32 ", this build knows %u",
                         dyno_le_u32(data + 4), DYNO_ARCHIVE_FORMAT);
    const uint8_t *end = data + bytes - DYNO_ARCHIVE_END_BYTES;
    if (dyno_le_u32(end) != DYNO_ARCHIVE_END_MAGIC ||
        dyno_le_u32(end + DYNO_ARCHIVE_END_BYTES - 4) !=
            dyno_crc32c(0, end, DYNO_ARCHIVE_END_BYTES - 4))
        return DYNO_FAIL(err, DYNO_E_CORRUPT, "its end is missing or damaged");
    archive->block_count = dyno_le_u32(end + 4);
    archive->group_count = dyno_le_u64(end + 8);
    const uint64_t index_at = dyno_le_u64(end + 16);
    const uint64_t opening_at = dyno_le_u64(end + 24);
    const uint32_t opening_bytes = dyno_le_u32(end + 32);
    const struct part heads = part_at(end + 36);
    const uint64_t until = bytes - DYNO_ARCHIVE_END_BYTES;
    const uint64_t index_bytes = (uint64_t)archive->block_count * DYNO_ARCHIVE_ROW_BYTES;
    archive->block = archive->block_count;
    if (archive->block_count > DYNO_ARCHIVE_BLOCKS_MAX || index_at > until ||
        until - index_at != index_bytes || opening_at > index_at ||
        index_at - opening_at != opening_bytes || heads.offset > opening_at ||
        opening_at - heads.offset != heads.stored_bytes || heads.first != 0 ||
        heads.offset < DYNO_ARCHIVE_HEAD_BYTES)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "its end says that its parts lie where they cannot");
    archive->index = data + index_at;
    DYNO_TRY(dyno_opening_decode(data + opening_at, opening_bytes, &archive->file.opening, err));
    DYNO_TRY(check_index(archive, heads.offset, err));
    return load_heads(archive, &heads, err);
}

static const struct dyno_ledger_file_ops archive_ops;

enum dyno_status dyno_archive_open(const char *path, struct dyno_ledger_file **file_out,
                                   struct dyno_err *err)
{
    *file_out = NULL;
    struct archive *archive = dyno_alloc(1, sizeof(*archive));
    if (archive == NULL)
        return DYNO_NOMEM(err);
    archive->file.ops = &archive_ops;
    archive->path = dyno_strdup(path);
    enum dyno_status status = archive->path != NULL ? DYNO_OK : DYNO_NOMEM(err);
    archive->file.name = archive->path;
    if (status == DYNO_OK)
        status = dyno_file_map(path, &archive->map, err);
    if (status == DYNO_OK) {
        status = read_end(archive, err);
        if (status != DYNO_OK)
            dyno_err_prefix(err, "\"%s\"", path);
    }
    if (status != DYNO_OK) {
        dyno_ledger_file_close(&archive->file);
        return status;
    }
    *file_out = &archive->file;
    return DYNO_OK;
}

static void close_archive(struct dyno_ledger_file *file)
{
    struct archive *archive = of_file(file);
    dyno_file_unmap(&archive->map);
    dyno_free(archive->path);
    dyno_free(archive->raw);
    dyno_free(archive->places);
    dyno_free(archive->heads);
    dyno_free(archive->head_places);
    dyno_free(archive);
}

/* --- reading --- */

/* The block that has the group: the last one that begins at or before it. */
static uint32_t block_of(const struct archive *archive, uint64_t number)
{
    uint32_t low = 0;
    uint32_t high = archive->block_count - 1;
    while (low < high) {
        const uint32_t middle = low + (high - low + 1) / 2;
        if (dyno_le_u64(archive->index + (size_t)middle * DYNO_ARCHIVE_ROW_BYTES + 8) <= number)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

static enum dyno_status read_group(struct dyno_ledger_file *file, uint64_t number, bool has_items,
                                   struct dyno_ledger_group *group_out, bool *found_out,
                                   struct dyno_err *err)
{
    struct archive *archive = of_file(file);
    const uint64_t first = file->opening.frontier.count;
    *group_out = (struct dyno_ledger_group){0};
    number = number < first ? first : number;
    *found_out = number - first < archive->group_count;
    if (!*found_out)
        return DYNO_OK;
    const uint32_t block = block_of(archive, number);
    const uint64_t begin = dyno_le_u64(archive->index + (size_t)block * DYNO_ARCHIVE_ROW_BYTES + 8);
    DYNO_TRY(load_block(archive, block, err));
    const uint8_t *bytes = archive->raw + archive->places[number - begin];
    DYNO_TRY(dyno_ledger_group_open(number, bytes, DYNO_GROUP_HEADER_BYTES, group_out, err));
    if (!has_items)
        return DYNO_OK;
    return dyno_ledger_group_open_items(group_out, bytes + DYNO_GROUP_HEADER_BYTES + 4,
                                        dyno_le_u32(bytes + DYNO_GROUP_HEADER_BYTES), err);
}

static enum dyno_status read_last(struct dyno_ledger_file *file, uint64_t *number_out,
                                  bool *found_out, struct dyno_err *err)
{
    const struct archive *archive = of_file(file);
    (void)err;
    *found_out = archive->group_count > 0;
    *number_out = *found_out ? file->opening.frontier.count + archive->group_count - 1 : 0;
    return DYNO_OK;
}

static enum dyno_status read_head(struct dyno_ledger_file *file, uint64_t group_count,
                                  struct dyno_ledger_head *head_out, bool *found_out,
                                  struct dyno_err *err)
{
    const struct archive *archive = of_file(file);
    uint32_t low = 0;
    uint32_t high = archive->head_count;
    *head_out = (struct dyno_ledger_head){0};
    while (low < high) { /* the first over at least so many; heads rise */
        const uint32_t middle = low + (high - low) / 2;
        const uint8_t *bytes = archive->heads + archive->head_places[middle];
        struct dyno_head head;
        DYNO_TRY(dyno_head_decode(bytes, DYNO_HEAD_BYTES, &head, err));
        if (head.group_count < group_count)
            low = middle + 1;
        else
            high = middle;
    }
    *found_out = low < archive->head_count;
    if (!*found_out)
        return DYNO_OK;
    const uint8_t *bytes = archive->heads + archive->head_places[low];
    struct dyno_head head;
    DYNO_TRY(dyno_head_decode(bytes, DYNO_HEAD_BYTES, &head, err));
    return dyno_ledger_head_open(head.group_count, bytes, DYNO_HEAD_BYTES,
                                 bytes + DYNO_HEAD_BYTES + 4, dyno_le_u32(bytes + DYNO_HEAD_BYTES),
                                 head_out, err);
}

static const struct dyno_ledger_file_ops archive_ops = {
    .group = read_group, .last = read_last, .head = read_head, .close = close_archive};
