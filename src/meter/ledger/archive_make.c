/* archive_make.c - a closed file of a ledger into an archive, and the file away. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/le.h"
#include "base/mem.h"
#include "meter/ledger/archive.h"
#include "meter/ledger/pack.h"
#include "meter/ledger/segment.h"
#include "meter/ledger/verify.h"

struct maker {
    struct dyno_ledger_file *file;
    struct dyno_file_writer writer;
    struct dyno_strbuf raw, packed, index;
    uint64_t first;       /* group of the block that is gathered */
    uint32_t group_count; /* in it */
    uint32_t block_count;
    uint64_t all_groups, all_records;
};

static void put_u32(struct dyno_strbuf *out, uint32_t value)
{
    uint8_t bytes[4];
    dyno_le_put_u32(bytes, value);
    dyno_strbuf_add(out, (const char *)bytes, sizeof(bytes));
}

static void put_u64(struct dyno_strbuf *out, uint64_t value)
{
    uint8_t bytes[8];
    dyno_le_put_u64(bytes, value);
    dyno_strbuf_add(out, (const char *)bytes, sizeof(bytes));
}

/* --- parts --- */

/* Write what is gathered, packed; its row goes to `row`. */
static enum dyno_status write_part(struct maker *maker, uint64_t first, uint32_t count,
                                   struct dyno_strbuf *row, struct dyno_err *err)
{
    const struct dyno_strbuf *packed = &maker->packed;
    const uint64_t offset = maker->writer.offset_bytes;
    if (!dyno_strbuf_ok(&maker->raw))
        return DYNO_NOMEM(err);
    DYNO_TRY(dyno_pack(dyno_strbuf_text(&maker->raw), maker->raw.bytes, &maker->packed, err));
    put_u64(row, offset);
    put_u64(row, first);
    put_u32(row, count);
    put_u32(row, (uint32_t)maker->raw.bytes);
    put_u32(row, (uint32_t)packed->bytes);
    put_u32(row, dyno_crc32c(0, packed->text, packed->bytes));
    dyno_strbuf_clear(&maker->raw);
    return dyno_file_write(&maker->writer, packed->text, packed->bytes, err);
}

static enum dyno_status end_block(struct maker *maker, struct dyno_err *err)
{
    if (maker->group_count == 0)
        return DYNO_OK;
    DYNO_TRY(write_part(maker, maker->first, maker->group_count, &maker->index, err));
    maker->first += maker->group_count;
    maker->group_count = 0;
    maker->block_count++;
    return DYNO_OK;
}

static void put_group(struct dyno_strbuf *out, const struct dyno_ledger_group *group)
{
    const struct dyno_items *items = &group->items;
    const uint64_t records = (uint64_t)items->record_count * DYNO_RECORD_BYTES;
    const bool has_items = items->record_count > 0;
    dyno_strbuf_add(out, (const char *)group->header, DYNO_GROUP_HEADER_BYTES);
    put_u32(out, has_items ? DYNO_SEED_BYTES + items->entries_bytes + (uint32_t)records : 0);
    if (!has_items)
        return;
    dyno_strbuf_add(out, (const char *)items->seed, DYNO_SEED_BYTES);
    dyno_strbuf_add(out, (const char *)items->entries, items->entries_bytes);
    dyno_strbuf_add(out, (const char *)items->records, records);
}

static enum dyno_status write_groups(struct maker *maker, struct dyno_err *err)
{
    uint64_t number = maker->first;
    for (;;) {
        struct dyno_ledger_group group;
        bool found = false;
        DYNO_TRY(dyno_ledger_file_group(maker->file, number, &group, &found, err));
        if (!found)
            return end_block(maker, err);
        if (group.group.number != number)
            return DYNO_FAIL(err, DYNO_E_CORRUPT, "group %" PRIu64 " is missing", number);
        number++;
        put_group(&maker->raw, &group);
        maker->group_count++;
        maker->all_groups++;
        maker->all_records += group.group.record_count;
        if (maker->raw.bytes >= DYNO_ARCHIVE_BLOCK_BYTES)
            DYNO_TRY(end_block(maker, err));
    }
}

static enum dyno_status write_heads(struct maker *maker, struct dyno_strbuf *row,
                                    struct dyno_err *err)
{
    uint32_t count = 0;
    uint64_t from = 0;
    for (;;) {
        struct dyno_ledger_head head;
        bool found = false;
        DYNO_TRY(dyno_ledger_file_head(maker->file, from, &head, &found, err));
        if (!found)
            return write_part(maker, 0, count, row, err);
        from = head.head.group_count + 1;
        count++;
        dyno_strbuf_add(&maker->raw, (const char *)head.bytes, DYNO_HEAD_BYTES);
        put_u32(&maker->raw, (uint32_t)head.proof_bytes);
        dyno_strbuf_add(&maker->raw, (const char *)head.proof, head.proof_bytes);
        if (maker->raw.bytes > DYNO_ARCHIVE_HEADS_MAX)
            return DYNO_FAIL(err, DYNO_E_LIMIT, "its heads have more than %u bytes",
                             DYNO_ARCHIVE_HEADS_MAX);
    }
}

static enum dyno_status write_all(struct maker *maker, struct dyno_err *err)
{
    uint8_t opening[DYNO_OPENING_BYTES_MAX];
    uint8_t begin[DYNO_ARCHIVE_HEAD_BYTES];
    struct dyno_strbuf end = {0};
    struct dyno_strbuf heads = {0};
    const size_t opening_bytes =
        dyno_opening_encode(dyno_ledger_file_opening(maker->file), opening);
    maker->first = dyno_ledger_file_opening(maker->file)->frontier.count;
    dyno_le_put_u32(begin, DYNO_ARCHIVE_MAGIC);
    dyno_le_put_u32(begin + 4, DYNO_ARCHIVE_FORMAT);
    enum dyno_status status = dyno_file_write(&maker->writer, begin, sizeof(begin), err);
    if (status == DYNO_OK)
        status = write_groups(maker, err);
    if (status == DYNO_OK)
        status = write_heads(maker, &heads, err);
    const uint64_t opening_at = maker->writer.offset_bytes;
    if (status == DYNO_OK)
        status = dyno_file_write(&maker->writer, opening, opening_bytes, err);
    put_u32(&end, DYNO_ARCHIVE_END_MAGIC);
    put_u32(&end, maker->block_count);
    put_u64(&end, maker->all_groups);
    put_u64(&end, maker->writer.offset_bytes);
    put_u64(&end, opening_at);
    put_u32(&end, (uint32_t)opening_bytes);
    dyno_strbuf_add(&end, dyno_strbuf_text(&heads), heads.bytes);
    put_u32(&end, dyno_crc32c(0, dyno_strbuf_text(&end), end.bytes));
    if (status == DYNO_OK &&
        (!dyno_strbuf_ok(&end) || !dyno_strbuf_ok(&heads) || !dyno_strbuf_ok(&maker->index)))
        status = DYNO_NOMEM(err);
    if (status == DYNO_OK && maker->block_count > 0)
        status = dyno_file_write(&maker->writer, maker->index.text, maker->index.bytes, err);
    if (status == DYNO_OK)
        status = dyno_file_write(&maker->writer, end.text, end.bytes, err);
    dyno_strbuf_fini(&end);
    dyno_strbuf_fini(&heads);
    return status;
}

static enum dyno_status write_archive(const char *path, const char *archive, struct dyno_err *err)
{
    struct maker maker = {0};
    enum dyno_status status = dyno_ledger_file_open(path, &maker.file, err);
    if (status == DYNO_OK)
        status = dyno_file_write_begin(&maker.writer, archive, err);
    if (status == DYNO_OK)
        status = write_all(&maker, err);
    if (status == DYNO_OK)
        status = dyno_file_write_commit(&maker.writer, err);
    else
        dyno_file_write_abort(&maker.writer);
    dyno_ledger_file_close(maker.file);
    dyno_strbuf_fini(&maker.raw);
    dyno_strbuf_fini(&maker.packed);
    dyno_strbuf_fini(&maker.index);
    return status;
}

/* --- the archive is the file --- */

static bool same_items(const struct dyno_items *a, const struct dyno_items *b)
{
    if (a->record_count != b->record_count || a->entry_count != b->entry_count ||
        a->entries_bytes != b->entries_bytes)
        return false;
    return a->record_count == 0 ||
           (memcmp(a->seed, b->seed, DYNO_SEED_BYTES) == 0 &&
            (a->entries_bytes == 0 || memcmp(a->entries, b->entries, a->entries_bytes) == 0) &&
            memcmp(a->records, b->records, (size_t)a->record_count * DYNO_RECORD_BYTES) == 0);
}

static enum dyno_status compare_groups(struct dyno_ledger_file *file,
                                       struct dyno_ledger_file *archive,
                                       struct dyno_archive_report *report, struct dyno_err *err)
{
    struct dyno_ledger_group a;
    struct dyno_ledger_group b;
    bool has_a = true;
    bool has_b = true;
    for (uint64_t number = 0;; number = a.group.number + 1) {
        DYNO_TRY(dyno_ledger_file_group(file, number, &a, &has_a, err));
        DYNO_TRY(dyno_ledger_file_group(archive, number, &b, &has_b, err));
        if (has_a != has_b || (has_a && (memcmp(a.header, b.header, DYNO_GROUP_HEADER_BYTES) != 0 ||
                                         !same_items(&a.items, &b.items))))
            return DYNO_FAIL(err, DYNO_E_CORRUPT,
                             "group %" PRIu64 " of the archive is not that of the file", number);
        if (!has_a)
            return DYNO_OK;
        report->group_count++;
        report->record_count += a.group.record_count;
    }
}

static enum dyno_status compare_heads(struct dyno_ledger_file *file,
                                      struct dyno_ledger_file *archive, struct dyno_err *err)
{
    struct dyno_ledger_head a;
    struct dyno_ledger_head b;
    bool has_a = true;
    bool has_b = true;
    for (uint64_t from = 0; has_a; from = a.head.group_count + 1) {
        DYNO_TRY(dyno_ledger_file_head(file, from, &a, &has_a, err));
        DYNO_TRY(dyno_ledger_file_head(archive, from, &b, &has_b, err));
        if (has_a != has_b || (has_a && (memcmp(a.bytes, b.bytes, DYNO_HEAD_BYTES) != 0 ||
                                         a.proof_bytes != b.proof_bytes ||
                                         memcmp(a.proof, b.proof, a.proof_bytes) != 0)))
            return DYNO_FAIL(err, DYNO_E_CORRUPT, "a head of the archive is not that of the file");
    }
    return DYNO_OK;
}

static enum dyno_status compare(const char *path, const char *archive_path,
                                struct dyno_archive_report *report, struct dyno_err *err)
{
    struct dyno_ledger_file *file = NULL;
    struct dyno_ledger_file *archive = NULL;
    uint8_t openings[2][DYNO_OPENING_BYTES_MAX];
    enum dyno_status status = dyno_ledger_file_open(path, &file, err);
    if (status == DYNO_OK)
        status = dyno_archive_open(archive_path, &archive, err);
    if (status == DYNO_OK) {
        const size_t bytes = dyno_opening_encode(dyno_ledger_file_opening(file), openings[0]);
        if (bytes != dyno_opening_encode(dyno_ledger_file_opening(archive), openings[1]) ||
            memcmp(openings[0], openings[1], bytes) != 0)
            status = DYNO_FAIL(err, DYNO_E_CORRUPT, "the archive is of another file");
    }
    if (status == DYNO_OK)
        status = compare_groups(file, archive, report, err);
    if (status == DYNO_OK)
        status = compare_heads(file, archive, err);
    dyno_ledger_file_close(file);
    dyno_ledger_file_close(archive);
    return status;
}

/* --- files --- */

static uint64_t size_of(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 ? (uint64_t)info.st_size : 0;
}

/* TO/NNNNNNNN.archive */
static enum dyno_status name_archive(const char *path, const char *to, struct dyno_strbuf *out,
                                     struct dyno_err *err)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    const size_t digits = strspn(name, "0123456789");
    if (digits != 8 || strcmp(name + digits, DYNO_LEDGER_SUFFIX) != 0)
        return DYNO_FAIL(err, DYNO_E_ARG, "\"%s\" is no file of a ledger's folder", path);
    if (to != NULL)
        dyno_strbuf_printf(out, "%s/", to);
    else
        dyno_strbuf_add(out, path, (size_t)(name - path));
    dyno_strbuf_add(out, name, digits);
    dyno_strbuf_puts(out, DYNO_ARCHIVE_SUFFIX);
    return dyno_strbuf_ok(out) ? DYNO_OK : DYNO_NOMEM(err);
}

static enum dyno_status remove_file(const char *path, struct dyno_err *err)
{
    struct dyno_strbuf folder = {0};
    const char *slash = strrchr(path, '/');
    if (unlink(path) != 0)
        return DYNO_FAIL(err, DYNO_E_IO, "cannot remove \"%s\": %s", path, strerror(errno));
    if (slash != NULL)
        dyno_strbuf_add(&folder, path, (size_t)(slash - path) + 1);
    else
        dyno_strbuf_puts(&folder, ".");
    const int fd = open(dyno_strbuf_text(&folder), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) { /* that it is gone need not be durable: both would be there again */
        (void)fsync(fd);
        (void)close(fd);
    }
    dyno_strbuf_fini(&folder);
    return DYNO_OK;
}

static enum dyno_status check_plain(const char *path, struct dyno_err *err)
{
    struct dyno_strbuf log = {0};
    dyno_strbuf_printf(&log, "%s-wal", path);
    if (!dyno_strbuf_ok(&log))
        return DYNO_NOMEM(err);
    const bool has_log = size_of(dyno_strbuf_text(&log)) > 0;
    dyno_strbuf_fini(&log);
    return !has_log
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_BUSY,
                           "\"%s\" keeps its log beside it: the next start of its server makes "
                           "it one plain file",
                           path);
}

static enum dyno_status make(const char *path, const char *archive,
                             struct dyno_archive_report *report, struct dyno_err *err)
{
    const struct dyno_verify_options how = {0};
    struct dyno_verify_report verified;
    DYNO_TRY(check_plain(path, err));
    DYNO_TRY(dyno_ledger_verify(&path, 1, &how, &verified, err));
    report->file_bytes = size_of(path);
    report->was_there =
        access(archive, F_OK) == 0 && compare(path, archive, report, NULL) == DYNO_OK;
    if (!report->was_there) {
        report->group_count = report->record_count = 0;
        DYNO_TRY(write_archive(path, archive, err));
        DYNO_TRY(compare(path, archive, report, err));
    }
    DYNO_TRY(dyno_ledger_verify(&archive, 1, &how, &verified, err));
    report->archive_bytes = size_of(archive);
    return remove_file(path, err);
}

enum dyno_status dyno_archive_make(const char *path, const char *to,
                                   struct dyno_archive_report *report_out, struct dyno_err *err)
{
    struct dyno_strbuf archive = {0};
    *report_out = (struct dyno_archive_report){0};
    enum dyno_status status = name_archive(path, to, &archive, err);
    if (status == DYNO_OK)
        status = make(path, dyno_strbuf_text(&archive), report_out, err);
    dyno_strbuf_fini(&archive);
    return status;
}
