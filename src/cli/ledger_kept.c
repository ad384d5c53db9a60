/* ledger_kept.c - heads that somebody kept: of files, of answers of a server, in any order. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "cli/ledger_command.h"

#define HEADS_MAX 10000000U

struct kept_line {
    struct dyno_head_line line;
    const char *path;
    size_t number; /* of the line, from 1 on */
};

struct lines {
    struct dyno_arena *arena;
    struct kept_line **items;
    size_t count, room;
};

static enum dyno_status add(struct lines *lines, const char *text, size_t bytes, const char *path,
                            size_t number, struct dyno_err *err)
{
    if (lines->count == HEADS_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "more than %u heads", HEADS_MAX);
    if (lines->count == lines->room) {
        const size_t room = lines->room > 0 ? lines->room * 2 : 256;
        struct kept_line **grown = dyno_arena_alloc(lines->arena, room, sizeof(struct kept_line *));
        if (grown == NULL)
            return DYNO_NOMEM(err);
        if (lines->count > 0)
            memcpy(grown, lines->items, lines->count * sizeof(*grown));
        lines->items = grown;
        lines->room = room;
    }
    struct kept_line *line = dyno_arena_alloc(lines->arena, 1, sizeof(*line));
    if (line == NULL)
        return DYNO_NOMEM(err);
    line->path = path;
    line->number = number;
    const enum dyno_status status = dyno_head_line_parse(text, bytes, &line->line, err);
    if (status != DYNO_OK)
        dyno_err_prefix(err, "\"%s\", line %zu", path, number);
    lines->items[lines->count++] = line;
    return status;
}

static enum dyno_status read_file(struct lines *lines, const char *path, struct dyno_err *err)
{
    struct dyno_file_map map = {0};
    enum dyno_status status = dyno_file_map(path, &map, err);
    const char *text = map.data;
    size_t number = 0;
    for (size_t at = 0; status == DYNO_OK && at < map.bytes;) {
        const char *end = memchr(text + at, '\n', map.bytes - at);
        const size_t bytes = end != NULL ? (size_t)(end - text) - at : map.bytes - at;
        number++;
        if (bytes > 0)
            status = add(lines, text + at, bytes, path, number, err);
        at += bytes + 1;
    }
    dyno_file_unmap(&map);
    return status;
}

static int compare(const void *left, const void *right)
{
    const struct dyno_head *a = &(*(const struct kept_line *const *)left)->line.head;
    const struct dyno_head *b = &(*(const struct kept_line *const *)right)->line.head;
    if (a->group_count != b->group_count)
        return a->group_count < b->group_count ? -1 : 1;
    return a->time_ns < b->time_ns ? -1 : a->time_ns > b->time_ns;
}

enum dyno_status dyno_kept_heads_read(const struct dyno_cli_list *files, const uint8_t *key,
                                      struct dyno_arena *arena, struct dyno_kept_heads *kept_out,
                                      struct dyno_err *err)
{
    struct lines lines = {.arena = arena};
    struct dyno_head_chain chain = {.key = key};
    *kept_out = (struct dyno_kept_heads){0};
    for (uint32_t i = 0; i < files->count; i++)
        DYNO_TRY(read_file(&lines, files->items[i], err));
    if (lines.count == 0)
        return DYNO_FAIL(err, DYNO_E_NOT_FOUND, "\"%s\" has no head", files->items[0]);
    qsort(lines.items, lines.count, sizeof(*lines.items), compare);
    kept_out->items = dyno_arena_alloc(arena, lines.count, sizeof(*kept_out->items));
    if (kept_out->items == NULL)
        return DYNO_NOMEM(err);
    for (size_t i = 0; i < lines.count; i++) {
        const struct kept_line *line = lines.items[i];
        if (i > 0 && memcmp(line->line.bytes, lines.items[i - 1]->line.bytes, DYNO_HEAD_BYTES) == 0)
            continue; /* kept twice */
        const enum dyno_status status = dyno_head_chain_add(&chain, &line->line, err);
        if (status != DYNO_OK) {
            dyno_err_prefix(err, "\"%s\", line %zu", line->path, line->number);
            return status;
        }
        kept_out->items[kept_out->count++] = line->line.head;
    }
    kept_out->signed_count = chain.signed_count;
    kept_out->gaps = chain.gaps;
    return DYNO_OK;
}
