/* retire.c - the last head of a ledger: made, kept, read. */
#include "meter/ledger/retire.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "meter/ledger/export.h"
#include "meter/ledger/segment.h"

struct walk {
    const struct dyno_ledger_store *store;
    bool has_head, has_group;
    struct dyno_head head;   /* the newest */
    struct dyno_group group; /* the last */
    struct dyno_digest chain;
    struct dyno_frontier frontier;
    struct dyno_frontier before; /* where the proof begins: at the newest head, or the first file */
    struct dyno_cover cover;
};

typedef enum dyno_status walk_fn(struct walk *walk, struct dyno_ledger_file *file,
                                 struct dyno_err *err);

static enum dyno_status each(struct walk *walk, const char *const *paths, size_t count,
                             walk_fn *visit, struct dyno_err *err)
{
    for (size_t i = 0; i < count; i++) {
        struct dyno_ledger_file *file = NULL;
        DYNO_TRY(dyno_ledger_store_open(walk->store, paths[i], &file, err));
        const enum dyno_status status = visit(walk, file, err);
        if (status != DYNO_OK)
            dyno_err_prefix(err, "\"%s\"", paths[i]);
        dyno_ledger_file_close(file);
        DYNO_TRY(status);
    }
    return DYNO_OK;
}

static enum dyno_status look_for_heads(struct walk *walk, struct dyno_ledger_file *file,
                                       struct dyno_err *err)
{
    for (uint64_t place = 0;;) {
        struct dyno_ledger_head head;
        bool found = false;
        DYNO_TRY(dyno_ledger_file_head(file, place, &head, &found, err));
        if (!found)
            return DYNO_OK;
        walk->has_head = true;
        walk->head = head.head;
        place = head.head.group_count + 1;
    }
}

static void begin_proof(struct walk *walk)
{
    walk->before = walk->frontier;
    dyno_cover_init(&walk->cover, walk->frontier.count);
}

static enum dyno_status add_groups(struct walk *walk, struct dyno_ledger_file *file,
                                   struct dyno_err *err)
{
    const struct dyno_opening *opening = dyno_ledger_file_opening(file);
    if (!walk->has_group) {
        walk->frontier = opening->frontier;
        begin_proof(walk);
    }
    for (;;) {
        struct dyno_ledger_group group;
        bool found = false;
        DYNO_TRY(dyno_ledger_file_header(file, walk->frontier.count, &group, &found, err));
        if (!found)
            return DYNO_OK;
        if (group.group.number != walk->frontier.count)
            return DYNO_FAIL(err, DYNO_E_CORRUPT, "group %" PRIu64 " is missing",
                             walk->frontier.count);
        walk->has_group = true;
        walk->group = group.group;
        dyno_group_hash(group.header, &walk->chain);
        dyno_frontier_add(&walk->frontier, &walk->chain);
        dyno_cover_add(&walk->cover, &walk->chain);
        if (walk->has_head && walk->head.group_count == walk->frontier.count)
            begin_proof(walk);
    }
}

/* Who signs its heads says when they end. */
static enum dyno_status check_signer(const struct walk *walk, struct dyno_signer *signer,
                                     struct dyno_err *err)
{
    uint8_t key[DYNO_KEY_BYTES] = {0};
    if (!walk->has_head || !walk->head.is_signed)
        return DYNO_OK;
    if (signer != NULL)
        dyno_signer_key(signer, key);
    return signer != NULL && memcmp(key, walk->head.key, sizeof(key)) == 0
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_DENIED,
                           "the heads of node %" PRIu32 " are signed: its last one must be signed "
                           "with the same key",
                           walk->group.node);
}

static enum dyno_status check_age(const struct walk *walk, uint64_t now_ns, struct dyno_err *err)
{
    char when[DYNO_NS_TEXT_ROOM];
    if (walk->group.kind == DYNO_GROUP_CLOSE ||
        (now_ns >= DYNO_RETIRE_AFTER_NS && walk->group.time_ns <= now_ns - DYNO_RETIRE_AFTER_NS))
        return DYNO_OK;
    return DYNO_FAIL(err, DYNO_E_BUSY,
                     "node %" PRIu32 " wrote its ledger at %s: one that lives makes a head every "
                     "hour, so it is retired an hour after that at the earliest",
                     walk->group.node, dyno_ns_text(walk->group.time_ns, when));
}

enum dyno_status dyno_retirement_make(const struct dyno_ledger_store *store,
                                      const char *const *paths, size_t path_count,
                                      struct dyno_signer *signer, uint64_t now_ns,
                                      struct dyno_head_line *line_out, struct dyno_err *err)
{
    struct walk walk = {.store = store};
    *line_out = (struct dyno_head_line){0};
    DYNO_TRY(each(&walk, paths, path_count, look_for_heads, err));
    DYNO_TRY(each(&walk, paths, path_count, add_groups, err));
    if (!walk.has_group)
        return DYNO_FAIL(err, DYNO_E_NOT_FOUND, "the ledger has no group: nothing ends");
    DYNO_TRY(check_signer(&walk, signer, err));
    DYNO_TRY(check_age(&walk, now_ns, err));
    const struct dyno_group *last = &walk.group;
    line_out->head = (struct dyno_head){
        .node = last->node,
        .segment = last->segment,
        .epoch = last->epoch,
        .seq = last->first_seq + last->record_count - 1,
        .group_count = walk.frontier.count,
        .time_ns = now_ns > last->time_ns ? now_ns : last->time_ns,
        .chain = walk.chain,
        .is_last = true,
    };
    dyno_frontier_root(&walk.frontier, &line_out->head.root);
    line_out->proof_bytes = dyno_head_proof_encode(&walk.before, &walk.cover, line_out->proof);
    return dyno_head_encode(&line_out->head, signer, line_out->bytes, err);
}

/* --- beside the files --- */

static enum dyno_status path_of(const char *folder, char path[DYNO_SEGMENT_PATH_ROOM],
                                struct dyno_err *err)
{
    const int bytes = snprintf(path, DYNO_SEGMENT_PATH_ROOM, "%s/" DYNO_RETIREMENT_FILE, folder);
    return bytes >= 0 && (size_t)bytes < DYNO_SEGMENT_PATH_ROOM
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_LIMIT, "the path of a ledger is longer than %u bytes",
                           DYNO_SEGMENT_PATH_ROOM);
}

enum dyno_status dyno_retirement_check(const struct dyno_head_line *line, struct dyno_err *err)
{
    struct dyno_head_chain alone = {0};
    if (!line->head.is_last)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "it is not the last head of a ledger");
    return dyno_head_chain_add(&alone, line, err);
}

enum dyno_status dyno_retirement_read(const char *folder, struct dyno_head_line *line_out,
                                      bool *found_out, struct dyno_err *err)
{
    char path[DYNO_SEGMENT_PATH_ROOM];
    struct dyno_file_map map = {0};
    *found_out = false;
    DYNO_TRY(path_of(folder, path, err));
    if (access(path, F_OK) != 0)
        return DYNO_OK;
    DYNO_TRY(dyno_file_map(path, &map, err));
    enum dyno_status status = dyno_head_line_parse(map.data, map.bytes, line_out, err);
    if (status == DYNO_OK)
        status = dyno_retirement_check(line_out, err);
    dyno_file_unmap(&map);
    if (status != DYNO_OK)
        dyno_err_prefix(err, "\"%s\"", path);
    *found_out = status == DYNO_OK;
    return status;
}

enum dyno_status dyno_retirement_write(const char *folder, const struct dyno_head_line *line,
                                       struct dyno_err *err)
{
    char path[DYNO_SEGMENT_PATH_ROOM];
    struct dyno_strbuf text = {0};
    DYNO_TRY(path_of(folder, path, err));
    dyno_head_line_print(&line->head, line->bytes, line->proof, line->proof_bytes, &text);
    return dyno_file_write_text(path, &text, err);
}

enum dyno_status dyno_retirement_refuse(const struct dyno_head *last, struct dyno_err *err)
{
    char when[DYNO_NS_TEXT_ROOM];
    return DYNO_FAIL(err, DYNO_E_DENIED,
                     "the ledger of node %" PRIu32 " was retired at %s, after %" PRIu64
                     " groups, and does not go on: give this server another folder, and a node "
                     "number of its own",
                     last->node, dyno_ns_text(last->time_ns, when), last->group_count);
}
