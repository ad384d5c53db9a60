/* fuzz_ledger.c - any bytes as a record, a group's header, its items, a name, a head with its
 * proof, an opening, the proof of a record, and a line of a published head; the first byte says
 * which; a capital letter, that the checksum is mended first.  Built as fuzz_onnx.c is.
 *
 * What is accepted must be written as the same bytes again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/hash.h"
#include "base/le.h"
#include "base/mem.h"
#include "meter/ledger/heads.h"
#include "meter/ledger/proof.h"
#include "replay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void want_same(const void *a, const void *b, size_t bytes)
{
    if (memcmp(a, b, bytes) != 0)
        abort();
}

static enum dyno_status try_record(const uint8_t *data, size_t bytes, struct dyno_err *err)
{
    uint8_t again[DYNO_RECORD_BYTES];
    struct dyno_record record;
    if (bytes != DYNO_RECORD_BYTES)
        return DYNO_OK;
    DYNO_TRY(dyno_record_decode(data, &record, err));
    dyno_record_encode(&record, again);
    want_same(data, again, sizeof(again));
    return DYNO_OK;
}

static enum dyno_status try_group(const uint8_t *data, size_t bytes, struct dyno_err *err)
{
    uint8_t again[DYNO_GROUP_HEADER_BYTES];
    struct dyno_group group;
    DYNO_TRY(dyno_group_decode(data, bytes, &group, err));
    dyno_group_encode(&group, again);
    want_same(data, again, sizeof(again));
    return DYNO_OK;
}

/* A header, then the items that it may or may not be of. */
static enum dyno_status try_items(const uint8_t *data, size_t bytes, struct dyno_err *err)
{
    static struct dyno_digest leaves[DYNO_GROUP_ITEMS_MAX];
    struct dyno_ledger_names names = {0};
    struct dyno_group group;
    struct dyno_items items;
    if (bytes < DYNO_GROUP_HEADER_BYTES)
        return DYNO_OK;
    DYNO_TRY(dyno_group_decode(data, DYNO_GROUP_HEADER_BYTES, &group, err));
    DYNO_TRY(dyno_items_open(&group, data + DYNO_GROUP_HEADER_BYTES,
                             bytes - DYNO_GROUP_HEADER_BYTES, &items, err));
    enum dyno_status status = dyno_ledger_names_add(&names, &items, err);
    dyno_ledger_names_fini(&names);
    return status == DYNO_OK ? dyno_items_leaves(&items, leaves, err) : status;
}

static enum dyno_status try_entry(const uint8_t *data, size_t bytes, struct dyno_err *err)
{
    uint8_t again[DYNO_ENTRY_HEAD_BYTES + DYNO_NAME_BYTES_MAX];
    struct dyno_entry entry;
    DYNO_TRY(dyno_entry_decode(data, bytes, &entry, err));
    if (dyno_entry_encode(entry.kind, entry.id, entry.text, entry.text_bytes, again) !=
        entry.bytes_count)
        abort();
    want_same(data, again, entry.bytes_count);
    return DYNO_OK;
}

static enum dyno_status try_head(const uint8_t *data, size_t bytes, struct dyno_err *err)
{
    struct dyno_frontier before;
    struct dyno_frontier after;
    struct dyno_head head;
    if (bytes < DYNO_HEAD_BYTES)
        return DYNO_OK;
    DYNO_TRY(dyno_head_decode(data, DYNO_HEAD_BYTES, &head, err));
    return dyno_head_proof_decode(data + DYNO_HEAD_BYTES, bytes - DYNO_HEAD_BYTES, head.group_count,
                                  &before, &after, err);
}

static enum dyno_status try_opening(const uint8_t *data, size_t bytes, struct dyno_err *err)
{
    uint8_t again[DYNO_OPENING_BYTES_MAX];
    struct dyno_opening opening;
    DYNO_TRY(dyno_opening_decode(data, bytes, &opening, err));
    if (dyno_opening_encode(&opening, again) != bytes)
        abort();
    want_same(data, again, bytes);
    return DYNO_OK;
}

static enum dyno_status try_proof(const uint8_t *data, size_t bytes, struct dyno_err *err)
{
    struct dyno_proof_report report;
    struct dyno_arena *arena = dyno_arena_create();
    if (arena == NULL)
        abort();
    const enum dyno_status status =
        dyno_proof_check((const char *)data, bytes, arena, &report, err);
    dyno_arena_destroy(arena);
    return status;
}

/* A line of a published head: what is taken is taken again when it is printed. */
static enum dyno_status try_line(const uint8_t *data, size_t bytes, struct dyno_err *err)
{
    struct dyno_head_chain chain = {0};
    struct dyno_head_line line;
    struct dyno_head_line again;
    struct dyno_strbuf text = {0};
    DYNO_TRY(dyno_head_line_parse((const char *)data, bytes, &line, err));
    dyno_head_line_print(&line.head, line.bytes, line.proof, line.proof_bytes, &text);
    if (!dyno_strbuf_ok(&text) ||
        dyno_head_line_parse(dyno_strbuf_text(&text), text.bytes - 1, &again, err) != DYNO_OK ||
        again.proof_bytes != line.proof_bytes)
        abort();
    want_same(line.bytes, again.bytes, sizeof(line.bytes));
    want_same(line.proof, again.proof, line.proof_bytes);
    dyno_strbuf_fini(&text);
    DYNO_TRY(dyno_head_chain_add(&chain, &line, err));
    return dyno_head_chain_add(&chain, &again, err);
}

/* A copy whose checksum, of the bytes before it, is right; NULL: it has none.  Caller frees. */
static uint8_t *mend(const uint8_t *data, size_t bytes, size_t crc_at)
{
    if (bytes < 4 || crc_at > bytes - 4)
        return NULL;
    uint8_t *copy = malloc(bytes);
    if (copy == NULL)
        abort();
    memcpy(copy, data, bytes);
    dyno_le_put_u32(copy + crc_at, dyno_crc32c(0, copy, crc_at));
    return copy;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const struct {
        char letter;
        enum dyno_status (*fn)(const uint8_t *data, size_t bytes, struct dyno_err *err);
        size_t crc_at; /* SIZE_MAX: the last four bytes */
    } rows[] = {{'r', try_record, DYNO_RECORD_BYTES - 4},
                {'g', try_group, DYNO_GROUP_HEADER_BYTES - 4},
                {'i', try_items, DYNO_GROUP_HEADER_BYTES - 4},
                {'e', try_entry, 0},
                {'h', try_head, DYNO_HEAD_BYTES - 4},
                {'o', try_opening, SIZE_MAX},
                {'p', try_proof, 0},
                {'l', try_line, 0}};
    struct dyno_err err = {0};
    enum dyno_status status = DYNO_OK;
    if (bytes == 0)
        return 0;
    for (size_t i = 0; i < DYNO_COUNT(rows); i++) {
        if (rows[i].letter == (char)data[0])
            status = rows[i].fn(data + 1, bytes - 1, &err);
        if (rows[i].letter - 'a' + 'A' != data[0] || rows[i].crc_at == 0)
            continue;
        uint8_t *mended =
            mend(data + 1, bytes - 1, rows[i].crc_at != SIZE_MAX ? rows[i].crc_at : bytes - 5);
        if (mended != NULL)
            status = rows[i].fn(mended, bytes - 1, &err);
        free(mended);
    }
    if ((status != DYNO_OK && err.text[0] == '\0') || dyno_mem_live_count() != 0) {
        (void)fprintf(stderr, "status %d, text '%s', %llu blocks left\n", (int)status, err.text,
                      (unsigned long long)dyno_mem_live_count());
        abort();
    }
    return 0;
}

#ifdef DYNO_FUZZ_REPLAY
int main(int argc, char **argv)
{
    return replay(argc, argv, NULL, LLVMFuzzerTestOneInput);
}
#endif
