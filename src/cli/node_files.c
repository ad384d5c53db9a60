/* node_files.c - the files of ledgers by node, their newest heads, and whether they stand. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "cli/invoicing.h"
#include "meter/ledger/verify.h"

/* Heads and the last group of one more file of the node. */
static enum dyno_status look(struct dyno_node_files *node, struct dyno_ledger_file *file,
                             struct dyno_err *err)
{
    struct dyno_ledger_head head;
    struct dyno_ledger_group group;
    uint64_t number = 0;
    bool found = true;
    for (uint64_t from = 0; found; from = head.head.group_count + 1) {
        DYNO_TRY(dyno_ledger_file_head(file, from, &head, &found, err));
        if (!found)
            break;
        node->has_head = true;
        node->head = head.head;
        memcpy(node->head_bytes, head.bytes, DYNO_HEAD_BYTES);
    }
    node->is_ended = false;
    DYNO_TRY(dyno_ledger_file_last(file, &number, &found, err));
    if (!found)
        return DYNO_OK;
    DYNO_TRY(dyno_ledger_file_header(file, number, &group, &found, err));
    node->is_ended = found && group.group.kind == DYNO_GROUP_CLOSE;
    return DYNO_OK;
}

static enum dyno_status take_file(const struct dyno_ledger_files *files, const char *path,
                                  struct dyno_node_files *nodes, size_t *count,
                                  struct dyno_arena *arena, struct dyno_err *err)
{
    struct dyno_ledger_file *file = NULL;
    size_t at = 0;
    DYNO_TRY(dyno_ledger_store_open(files->store, path, &file, err));
    const struct dyno_opening *opening = dyno_ledger_file_opening(file);
    while (at < *count && nodes[at].node != opening->node)
        at++;
    enum dyno_status status = DYNO_OK;
    if (at == *count) {
        nodes[at] = (struct dyno_node_files){
            .node = opening->node,
            .store = files->store,
            .first_group = opening->frontier.count,
            .first_ns = opening->time_ns,
            .paths = dyno_arena_alloc(arena, files->count, sizeof(*nodes[at].paths))};
        if (nodes[at].paths == NULL)
            status = DYNO_NOMEM(err);
        (*count)++;
    }
    if (status == DYNO_OK) {
        nodes[at].paths[nodes[at].path_count++] = path;
        status = look(&nodes[at], file, err);
        if (status != DYNO_OK)
            dyno_err_prefix(err, "\"%s\"", path);
    }
    dyno_ledger_file_close(file);
    return status;
}

/* Its last head stands for all that there is, and is looked at with the other heads. */
static enum dyno_status take_retirement(const struct dyno_ledger_files *files,
                                        struct dyno_node_files *node, struct dyno_err *err)
{
    struct dyno_head_line last;
    bool found = false;
    DYNO_TRY(dyno_ledger_files_retirement(files, node->node, node->paths[node->path_count - 1],
                                          &last, &found, err));
    if (!found)
        return DYNO_OK;
    node->has_head = true;
    node->head = last.head;
    memcpy(node->head_bytes, last.bytes, DYNO_HEAD_BYTES);
    return DYNO_OK;
}

static int compare(const void *left, const void *right)
{
    const struct dyno_node_files *a = left;
    const struct dyno_node_files *b = right;
    return a->node < b->node ? -1 : a->node > b->node;
}

enum dyno_status dyno_node_files_find(struct dyno_invoicing *work,
                                      struct dyno_node_files **nodes_out, size_t *count_out,
                                      struct dyno_err *err)
{
    const struct dyno_ledger_files *files = &work->files;
    *count_out = 0;
    DYNO_TRY(dyno_invoicing_files(work, err));
    struct dyno_node_files *nodes = dyno_arena_alloc(work->arena, files->count + 1, sizeof(*nodes));
    if (nodes == NULL)
        return DYNO_NOMEM(err);
    for (size_t i = 0; i < files->count; i++)
        DYNO_TRY(take_file(files, files->names[i], nodes, count_out, work->arena, err));
    for (size_t i = 0; i < *count_out; i++)
        DYNO_TRY(take_retirement(files, &nodes[i], err));
    qsort(nodes, *count_out, sizeof(*nodes), compare);
    *nodes_out = nodes;
    return DYNO_OK;
}

static enum dyno_status decode(const struct dyno_invoice_head *said, struct dyno_head *out,
                               struct dyno_err *err)
{
    uint8_t bytes[DYNO_HEAD_BYTES];
    const bool is_hex = dyno_hex_parse(said->text, strlen(said->text), bytes);
    DYNO_ASSERT(is_hex); /* it was read so, or made so */
    return dyno_head_decode(bytes, sizeof(bytes), out, err);
}

static const struct dyno_invoice_head *find(const struct dyno_invoice_closing *closing,
                                            uint32_t node)
{
    for (size_t i = 0; closing != NULL && i < closing->head_count; i++)
        if (closing->heads[i].node == node)
            return &closing->heads[i];
    return NULL;
}

enum dyno_status dyno_node_files_verify(const struct dyno_node_files *nodes, size_t count,
                                        const struct dyno_invoice_closing *before,
                                        const struct dyno_invoice_closing *closing,
                                        struct dyno_err *err)
{
    for (size_t i = 0; i < closing->head_count; i++) {
        const struct dyno_invoice_head *said = &closing->heads[i];
        const struct dyno_invoice_head *earlier = find(before, said->node);
        struct dyno_head heads[2];
        struct dyno_verify_report report;
        struct dyno_verify_options how = {.heads = heads};
        size_t at = 0;
        while (at < count && nodes[at].node != said->node)
            at++;
        if (at == count)
            return DYNO_FAIL(err, DYNO_E_NOT_FOUND,
                             "the ledger of node %" PRIu32 " is not among those of --ledger",
                             said->node);
        if (earlier != NULL)
            DYNO_TRY(decode(earlier, &heads[how.head_count++], err));
        DYNO_TRY(decode(said, &heads[how.head_count++], err));
        how.store = nodes[at].store;
        DYNO_TRY(dyno_ledger_verify(nodes[at].paths, nodes[at].path_count, &how, &report, err));
    }
    return DYNO_OK;
}
