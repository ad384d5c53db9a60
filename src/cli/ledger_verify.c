/* ledger_verify.c - dyno ledger verify: files, kept heads, proofs. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/progress.h"
#include "cli/ledger_command.h"
#include "meter/ledger/export.h"
#include "meter/ledger/heads.h"
#include "meter/ledger/proof.h"
#include "meter/ledger/verify.h"
#include "rate/invoice.h"

/* --- pieces of reports --- */

static void put_hex(struct dyno_json_writer *json, const char *key, const void *data, size_t bytes)
{
    char text[2 * DYNO_HEAD_BYTES + 1];
    dyno_json_put_str(json, key, dyno_hex_text(data, bytes, text));
}

/* --- heads --- */

/* "head" of a JSON object, or the digits alone. */
static enum dyno_status read_head(const char *path, struct dyno_arena *arena,
                                  struct dyno_head *head_out, struct dyno_err *err)
{
    struct dyno_file_map map = {0};
    uint8_t bytes[DYNO_HEAD_BYTES];
    DYNO_TRY(dyno_file_map(path, &map, err));
    const char *text = map.data;
    size_t count = map.bytes;
    while (count > 0 && (text[count - 1] == '\n' || text[count - 1] == '\r'))
        count--;
    if (count > 0 && text[0] == '{') {
        const struct dyno_json *root = NULL;
        const struct dyno_json *digits = NULL;
        if (dyno_json_parse(text, count, arena, &root, NULL) == DYNO_OK)
            digits = dyno_json_find(root, "head");
        count = digits != NULL && digits->kind == DYNO_JSON_STRING ? digits->text_bytes : 0;
        text = count > 0 ? digits->text : "";
    }
    enum dyno_status status =
        count == 2 * sizeof(bytes) && dyno_hex_parse(text, count, bytes)
            ? DYNO_OK
            : DYNO_FAIL(err, DYNO_E_FORMAT,
                        "it is neither %zu hexadecimal digits nor a JSON object "
                        "with them as its \"head\"",
                        2 * sizeof(bytes));
    dyno_file_unmap(&map);
    if (status == DYNO_OK)
        status = dyno_head_decode(bytes, sizeof(bytes), head_out, err);
    if (status == DYNO_OK)
        status = dyno_head_check(bytes, err);
    if (status != DYNO_OK)
        dyno_err_prefix(err, "\"%s\"", path);
    return status;
}

/* --- files --- */

static void put_report(struct dyno_json_writer *json, const struct dyno_verify_report *report)
{
    char wide[DYNO_U128_TEXT_ROOM];
    char epu[DYNO_MONEY_ROOM];
    dyno_json_put_bool(json, "good", true);
    dyno_json_put_u64(json, "node", report->node);
    dyno_json_put_u64(json, "files", report->files);
    dyno_json_put_u64(json, "first_group", report->first_group);
    dyno_json_put_u64(json, "groups", report->groups);
    dyno_json_put_u64(json, "epochs", report->epochs);
    dyno_json_put_u64(json, "records", report->records);
    dyno_json_put_u64(json, "usage", report->usage);
    dyno_json_put_u64(json, "voids", report->voids);
    dyno_json_put_u64(json, "unconfirmed", report->unconfirmed);
    dyno_json_put_str(json, "device_ns", dyno_u128_text(report->device_ns, wide));
    dyno_json_put_str(json, "reference_ns", dyno_u128_text(report->reference_ns, wide));
    dyno_json_put_str(json, "epu_hours", dyno_hours_text(report->reference_ns, epu));
    dyno_json_put_u64(json, "heads", report->heads);
    dyno_json_put_u64(json, "signed_heads", report->signed_heads);
    dyno_json_put_bool(json, "closed", report->has_end);
    dyno_json_put_bool(json, "retired", report->is_retired);
    put_hex(json, "chain", report->chain.bytes, DYNO_DIGEST_BYTES);
    put_hex(json, "root", report->root.bytes, DYNO_DIGEST_BYTES);
}

static void print_report(const struct dyno_verify_report *r)
{
    char wide[DYNO_U128_TEXT_ROOM];
    char epu[DYNO_MONEY_ROOM];
    char root[2 * DYNO_DIGEST_BYTES + 1];
    printf("good: the ledger of node %" PRIu32 " is what was written\n", r->node);
    printf("  files       %" PRIu64 ", %s\n", r->files,
           r->is_retired ? "the last one of a node that was retired"
           : r->has_end  ? "the last one closed"
                         : "the last one open, or its writer was stopped");
    printf("  groups      %" PRIu64 ", from number %" PRIu64 "\n", r->groups, r->first_group);
    printf("  records     %" PRIu64 ": %" PRIu64 " requests, %" PRIu64 " voids, %" PRIu64
           " unconfirmed\n",
           r->records, r->usage, r->voids, r->unconfirmed);
    printf("  device      %s ns\n", dyno_u128_text(r->device_ns, wide));
    printf("  delivered   %s reference-ns, %s EPU-hours (before voids and what is unconfirmed)\n",
           dyno_u128_text(r->reference_ns, wide), dyno_hours_text(r->reference_ns, epu));
    printf("  heads       %" PRIu64 ", %" PRIu64 " of them signed\n", r->heads, r->signed_heads);
    printf("  root        %s\n", dyno_hex_text(r->root.bytes, DYNO_DIGEST_BYTES, root));
}

static void step(void *arg, uint64_t records, const char *path)
{
    (void)records;
    dyno_progress_step(arg, 1, path);
}

/* Groups in all files, for the progress bar alone. */
static uint64_t count_groups(const struct dyno_ledger_files *files)
{
    uint64_t count = 0;
    for (size_t i = 0; i < files->count; i++) {
        struct dyno_ledger_file *file = NULL;
        uint64_t last = 0;
        bool found = false;
        if (dyno_ledger_store_open(files->store, files->names[i], &file, NULL) != DYNO_OK)
            continue;
        if (dyno_ledger_file_last(file, &last, &found, NULL) == DYNO_OK && found)
            count += last + 1 - dyno_ledger_file_opening(file)->frontier.count;
        dyno_ledger_file_close(file);
    }
    return count;
}

/* Kept heads alone: they go on from one another, as far as their proofs go. */
static enum dyno_status tell_kept(const struct dyno_kept_heads *kept, bool as_json,
                                  struct dyno_err *err)
{
    const struct dyno_head *last = &kept->items[kept->count - 1];
    char time[DYNO_NS_TEXT_ROOM];
    if (!as_json) {
        printf("good: %zu heads of node %" PRIu32 ", %" PRIu64 " of them signed, over %" PRIu64
               " to %" PRIu64 " groups, until %s\n",
               kept->count, last->node, kept->signed_count, kept->items[0].group_count,
               last->group_count, dyno_ns_text(last->time_ns, time));
        if (kept->gaps == 0)
            printf("  each goes on from the one before: nothing under one was changed later\n");
        else
            printf("  %" PRIu64 " of them do not begin at the one before, for some between are not "
                   "here: only the ledger can tell whether they go on from it\n",
                   kept->gaps);
        return DYNO_OK;
    }
    struct dyno_strbuf text = {0};
    struct dyno_json_writer json = {.out = &text, .indent = 2};
    dyno_json_object_begin(&json);
    dyno_json_put_bool(&json, "good", true);
    dyno_json_put_u64(&json, "heads", kept->count);
    dyno_json_put_u64(&json, "signed_heads", kept->signed_count);
    dyno_json_put_u64(&json, "gaps", kept->gaps);
    dyno_head_json(last, &json);
    dyno_json_object_end(&json);
    return dyno_cli_print(&text, err);
}

/* With the last head of the ledger among those that are looked for, where there is one. */
static enum dyno_status add_last(const struct dyno_ledger_files *files, struct dyno_arena *arena,
                                 struct dyno_verify_options *how, struct dyno_err *err)
{
    struct dyno_ledger_file *file = NULL;
    struct dyno_head_line last;
    bool found = false;
    DYNO_TRY(dyno_ledger_store_open(files->store, files->names[0], &file, err));
    const uint32_t node = dyno_ledger_file_opening(file)->node;
    dyno_ledger_file_close(file);
    DYNO_TRY(dyno_ledger_files_retirement(files, node, files->names[files->count - 1], &last,
                                          &found, err));
    if (!found)
        return DYNO_OK;
    if (how->key != NULL && memcmp(last.head.key, how->key, DYNO_KEY_BYTES) != 0)
        return DYNO_FAIL(err, DYNO_E_MISMATCH,
                         "its last head is not signed with the key that was given");
    struct dyno_head *heads = dyno_arena_alloc(arena, how->head_count + 1, sizeof(*heads));
    size_t at = how->head_count;
    if (heads == NULL)
        return DYNO_NOMEM(err);
    for (; at > 0 && how->heads[at - 1].group_count > last.head.group_count; at--)
        heads[at] = how->heads[at - 1];
    heads[at] = last.head;
    if (at > 0)
        memcpy(heads, how->heads, at * sizeof(*heads));
    how->heads = heads;
    how->head_count++;
    return DYNO_OK;
}

static enum dyno_status verify_ledger(const struct dyno_ledger_files *files,
                                      struct dyno_arena *arena,
                                      const struct dyno_verify_options *options,
                                      struct dyno_verify_report *report, struct dyno_err *err)
{
    struct dyno_progress progress;
    struct dyno_verify_options how = *options;
    DYNO_TRY(add_last(files, arena, &how, err));
    how.store = files->store;
    how.on_step = step;
    how.arg = &progress;
    dyno_progress_begin(&progress, "verify", count_groups(files));
    const enum dyno_status status =
        dyno_ledger_verify(files->names, files->count, &how, report, err);
    dyno_progress_end(&progress);
    return status;
}

/* As text, or as an object of JSON. */
static void tell_report(const struct dyno_verify_report *report, size_t kept_count,
                        struct dyno_json_writer *json, bool as_json)
{
    if (as_json) {
        dyno_json_object_begin(json);
        put_report(json, report);
        dyno_json_put_u64(json, "kept_heads", kept_count);
        dyno_json_object_end(json);
        return;
    }
    print_report(report);
    if (kept_count > 0)
        printf("  kept heads  %zu, all of this ledger\n", kept_count);
}

/* --- the fleet --- */

/* What the fleet has of one node: its groups, and what their watermarks say. */
enum dyno_status dyno_ledger_verify_node(struct dyno_ledger_work *work, uint32_t node,
                                         const struct dyno_verify_options *how,
                                         struct dyno_verify_report *report_out,
                                         struct dyno_err *err)
{
    struct dyno_ledger_files files = work->files;
    if (files.fleet == NULL)
        return verify_ledger(&files, work->arena, how, report_out, err);
    DYNO_TRY(dyno_fleet_files(files.fleet, node, work->arena, &files.names, &files.count, err));
    DYNO_TRY(verify_ledger(&files, work->arena, how, report_out, err));
    return dyno_fleet_check(files.fleet, node, report_out->first_group + report_out->groups,
                            &report_out->chain, err);
}

static enum dyno_status verify_nodes(struct dyno_ledger_work *work,
                                     const struct dyno_verify_options *how,
                                     struct dyno_json_writer *json, struct dyno_err *err)
{
    uint32_t *nodes = NULL;
    size_t count = 0;
    const int64_t only = work->options->node;
    DYNO_TRY(dyno_fleet_nodes(work->files.fleet, work->arena, &nodes, &count, err));
    for (size_t i = 0; i < count; i++) {
        struct dyno_verify_report report;
        if (only >= 0 && nodes[i] != (uint32_t)only)
            continue;
        DYNO_TRY(dyno_ledger_verify_node(work, nodes[i], how, &report, err));
        tell_report(&report, how->head_count, json, work->options->json);
    }
    return DYNO_OK;
}

static enum dyno_status verify_fleet(struct dyno_ledger_work *work,
                                     const struct dyno_verify_options *how, struct dyno_err *err)
{
    struct dyno_strbuf text = {0};
    struct dyno_json_writer json = {.out = &text, .indent = 2};
    if (how->head_count > 0 && work->options->node < 0)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "heads are those of one node: with --fleet-ledger give --node, too");
    dyno_json_object_begin(&json);
    dyno_json_put_array_begin(&json, "nodes");
    const enum dyno_status status = verify_nodes(work, how, &json, err);
    dyno_json_array_end(&json);
    dyno_json_object_end(&json);
    if (status == DYNO_OK && work->options->json)
        return dyno_cli_print(&text, err);
    dyno_strbuf_fini(&text);
    return status;
}

static enum dyno_status verify_files(struct dyno_ledger_work *work, const uint8_t *key,
                                     struct dyno_err *err)
{
    const struct dyno_ledger_flags *options = work->options;
    struct dyno_verify_report report;
    struct dyno_head head;
    struct dyno_verify_options how = {.key = key};
    struct dyno_kept_heads kept = {0};
    if (options->heads.count > 0)
        DYNO_TRY(dyno_kept_heads_read(&options->heads, key, work->arena, &kept, err));
    if (options->heads.count > 0 && options->positional.count == 1 && options->fleet == NULL)
        return tell_kept(&kept, options->json, err);
    DYNO_TRY(dyno_ledger_find_files(work, 1, err));
    how.heads = kept.items;
    how.head_count = kept.count;
    if (options->head != NULL) {
        DYNO_TRY(read_head(options->head, work->arena, &head, err));
        how.heads = &head;
        how.head_count = 1;
    }
    if (work->files.fleet != NULL)
        return verify_fleet(work, &how, err);
    DYNO_TRY(verify_ledger(&work->files, work->arena, &how, &report, err));
    struct dyno_strbuf text = {0};
    struct dyno_json_writer json = {.out = &text, .indent = 2};
    tell_report(&report, how.head_count, &json, options->json);
    if (options->json)
        return dyno_cli_print(&text, err);
    return DYNO_OK;
}

/* --- proofs --- */

/* What a record says beside its names, by its kind. */
static void print_amounts(const struct dyno_record *r)
{
    const char *unit = (r->flags & DYNO_RECORD_CORE_NS) != 0 ? "core-ns" : "ns";
    char wide[DYNO_U128_TEXT_ROOM];
    char id[DYNO_RECORD_TEXT_ROOM];
    char epu[DYNO_MONEY_ROOM];
    if (r->kind == DYNO_RECORD_VOID) {
        printf("  %-22s%s, which is rated 0\n", "takes back", dyno_record_id_text(r->voids, id));
        return;
    }
    if (r->kind == DYNO_RECORD_USAGE)
        printf("  %-22s%" PRIu32 ", in batch %" PRIu64 " of %" PRIu32 "\n", "items", r->items,
               r->batch_id, r->batch_count);
    if (r->kind != DYNO_RECORD_RESIDENCY)
        printf("  %-22s%" PRIu64 " %s\n", "device", r->device_ns, unit);
    if (r->kind == DYNO_RECORD_USAGE)
        printf("  %-22s%" PRIu64 " reference-ns, %s EPU-hours\n", "delivered", r->reference_ns,
               dyno_hours_text(r->reference_ns, epu));
    if (r->memory_byte_ns != 0)
        printf("  %-22s%s byte-ns\n", "memory", dyno_u128_text(r->memory_byte_ns, wide));
}

static void print_proof(const struct dyno_proof_report *report)
{
    const struct dyno_record *r = &report->record;
    char id[DYNO_RECORD_TEXT_ROOM];
    char time[DYNO_NS_TEXT_ROOM];
    char text[2 * DYNO_DIGEST_BYTES + 1];
    struct dyno_strbuf record_flags = {0};
    dyno_record_flags_print(r->flags, &record_flags);
    printf("good: record %s is in the ledger of node %" PRIu32 "\n", dyno_record_id_text(r->id, id),
           report->head.node);
    printf("  %-22s%s\n", "kind", dyno_record_kind_text(r->kind));
    if (r->kind == DYNO_RECORD_USAGE)
        printf("  %-22s%s\n", "outcome", dyno_outcome_text(r->outcome));
    for (uint32_t i = 0; i < DYNO_NAME_KINDS; i++)
        if (report->names[i][0] != 0)
            printf("  %-22s%s\n", dyno_name_kind_text(i + 1), report->names[i]);
    printf("  %-22s%s\n", "start", dyno_ns_text(r->start_ns, time));
    print_amounts(r);
    if (dyno_strbuf_text(&record_flags)[0] != 0)
        printf("  %-22s%s\n", "flags", dyno_strbuf_text(&record_flags));
    printf("  %-22s%s, over %" PRIu64 " groups\n", "head", dyno_ns_text(report->head.time_ns, time),
           report->head.group_count);
    printf("  %-22s%s\n", "root", dyno_hex_text(report->head.root.bytes, DYNO_DIGEST_BYTES, text));
    printf("  %-22s%s\n", "signed by",
           report->head.is_signed ? dyno_hex_text(report->head.key, DYNO_KEY_BYTES, text)
                                  : "nobody: compare the root with one that was published");
    dyno_strbuf_fini(&record_flags);
}

static enum dyno_status print_proof_json(const struct dyno_proof_report *report,
                                         struct dyno_err *err)
{
    const struct dyno_record *r = &report->record;
    struct dyno_strbuf text = {0};
    struct dyno_strbuf record_flags = {0};
    struct dyno_json_writer json = {.out = &text, .indent = 2};
    char id[DYNO_RECORD_TEXT_ROOM];
    char wide[DYNO_U128_TEXT_ROOM];
    char time[DYNO_NS_TEXT_ROOM];
    dyno_record_flags_print(r->flags, &record_flags);
    dyno_json_object_begin(&json);
    dyno_json_put_bool(&json, "good", true);
    dyno_json_put_str(&json, "id", dyno_record_id_text(r->id, id));
    dyno_json_put_str(&json, "kind", dyno_record_kind_text(r->kind));
    dyno_json_put_str(&json, "outcome", dyno_outcome_text(r->outcome));
    dyno_json_put_str(&json, "flags", dyno_strbuf_text(&record_flags));
    for (uint32_t i = 0; i < DYNO_NAME_KINDS; i++)
        dyno_json_put_str(&json, dyno_name_kind_text(i + 1), report->names[i]);
    dyno_json_put_u64(&json, "items", r->items);
    dyno_json_put_u64(&json, "batch_id", r->batch_id);
    dyno_json_put_u64(&json, "batch_size", r->batch_count);
    dyno_json_put_str(&json, "start", dyno_ns_text(r->start_ns, time));
    dyno_json_put_u64(&json, "queue_ns", r->queue_ns);
    dyno_json_put_u64(&json, "device_ns", r->device_ns);
    dyno_json_put_u64(&json, "reference_ns", r->reference_ns);
    dyno_json_put_str(&json, "memory_byte_ns", dyno_u128_text(r->memory_byte_ns, wide));
    dyno_json_put_str(&json, "voids",
                      r->kind == DYNO_RECORD_VOID ? dyno_record_id_text(r->voids, id) : "");
    dyno_json_put_u64(&json, "group", report->group.number);
    dyno_json_put_object_begin(&json, "head");
    dyno_head_json(&report->head, &json);
    dyno_json_object_end(&json);
    dyno_json_object_end(&json);
    dyno_strbuf_fini(&record_flags);
    return dyno_cli_print(&text, err);
}

static enum dyno_status verify_proof(struct dyno_ledger_work *work, const uint8_t *key,
                                     struct dyno_err *err)
{
    const struct dyno_ledger_flags *options = work->options;
    struct dyno_proof_report report;
    struct dyno_file_map map = {0};
    DYNO_TRY(dyno_file_map(options->proof, &map, err));
    enum dyno_status status = dyno_proof_check(map.data, map.bytes, work->arena, &report, err);
    dyno_file_unmap(&map);
    if (status == DYNO_OK && key != NULL &&
        (!report.head.is_signed || memcmp(report.head.key, key, DYNO_KEY_BYTES) != 0))
        status =
            DYNO_FAIL(err, DYNO_E_MISMATCH, "its head is not signed with the key that was given");
    if (status == DYNO_OK && options->head != NULL) {
        struct dyno_head head;
        status = read_head(options->head, work->arena, &head, err);
        if (status == DYNO_OK &&
            (head.node != report.head.node || head.group_count != report.head.group_count ||
             !dyno_digest_equal(&head.root, &report.head.root)))
            status = DYNO_FAIL(err, DYNO_E_MISMATCH, "its head is not the one that was given");
    }
    if (status != DYNO_OK) {
        dyno_err_prefix(err, "\"%s\"", options->proof);
        return status;
    }
    if (options->json)
        return print_proof_json(&report, err);
    print_proof(&report);
    return DYNO_OK;
}

enum dyno_status dyno_ledger_run_verify(struct dyno_ledger_work *work, struct dyno_err *err)
{
    uint8_t key[DYNO_KEY_BYTES];
    const struct dyno_ledger_flags *options = work->options;
    if (options->key != NULL)
        DYNO_TRY(dyno_public_key_read(options->key, key, err));
    if (options->heads.count > 0 && (options->head != NULL || options->proof != NULL))
        return DYNO_FAIL(err, DYNO_E_ARG, "give one of --head, --heads and --proof");
    const uint8_t *wanted = options->key != NULL ? key : NULL;
    if (options->proof == NULL)
        return verify_files(work, wanted, err);
    if (options->positional.count > 1)
        return DYNO_FAIL(err, DYNO_E_ARG, "a proof is checked alone: give --proof or files");
    return verify_proof(work, wanted, err);
}
