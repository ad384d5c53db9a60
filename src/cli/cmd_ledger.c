/* cmd_ledger.c - dyno ledger: is it what was written, what proves a record, what stands in it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/progress.h"
#include "cli/flags.h"
#include "meter/ledger/export.h"
#include "meter/ledger/proof.h"
#include "meter/ledger/verify.h"

#define CHUNK_BYTES 65536U /* of text, before it is written */

struct options {
    struct dyno_cli_list positional;
    const char *key, *head, *proof, *format, *tenant, *since, *until;
    bool json;
};

#define AT(field) DYNO_FLAG_AT(options, field)
static const struct dyno_flag flags[] = {
    {.name = "--key",
     .value = "FILE",
     .help = "verify: the public key that must have signed every head: PEM, or 64 hexadecimal "
             "digits",
     .kind = DYNO_FLAG_STR,
     AT(key)},
    {.name = "--head",
     .value = "FILE",
     .help = "verify: a head that was published (a line of heads --json, or its hexadecimal "
             "digits); the ledger must go on from it",
     .kind = DYNO_FLAG_STR,
     AT(head)},
    {.name = "--proof",
     .value = "FILE",
     .help = "verify: check this proof, and nothing else",
     .kind = DYNO_FLAG_STR,
     AT(proof)},
    {.name = "--format",
     .value = "csv|json",
     .help = "export: comma-separated values, or a JSON object a line",
     .kind = DYNO_FLAG_STR,
     AT(format),
     .fallback_text = "csv"},
    {.name = "--tenant",
     .value = "NAME",
     .help = "export: only the records of this tenant",
     .kind = DYNO_FLAG_STR,
     AT(tenant)},
    {.name = "--since",
     .value = "TIME",
     .help = "export: only records that start then or later: 2026-01-31 or 2026-01-31T12:00:00Z",
     .kind = DYNO_FLAG_STR,
     AT(since)},
    {.name = "--until",
     .value = "TIME",
     .help = "export: only records that start before then",
     .kind = DYNO_FLAG_STR,
     AT(until)},
    DYNO_FLAG_JSON(options),
};

/* One call of the program. */
struct work {
    const struct options *options;
    struct dyno_arena *arena;
    const char **paths;
    size_t path_count;
};

static enum dyno_status find_paths(struct work *work, uint32_t first, struct dyno_err *err)
{
    const struct dyno_cli_list *given = &work->options->positional;
    if (given->count <= first)
        return DYNO_FAIL(err, DYNO_E_ARG, "%s wants the folder of a ledger, or files of one",
                         given->items[0]);
    return dyno_ledger_paths(given->items + first, given->count - first, work->arena, &work->paths,
                             &work->path_count, err);
}

static enum dyno_status print_json(struct dyno_strbuf *text, struct dyno_err *err)
{
    const bool ok = dyno_strbuf_ok(text);
    if (ok)
        printf("%s\n", dyno_strbuf_text(text));
    dyno_strbuf_fini(text);
    return ok ? DYNO_OK : DYNO_NOMEM(err);
}

/* --- pieces of reports --- */

static void put_text(struct dyno_json_writer *json, const char *key, const char *text)
{
    dyno_json_key(json, key);
    dyno_json_str(json, text);
}

static void put_count(struct dyno_json_writer *json, const char *key, uint64_t value)
{
    dyno_json_key(json, key);
    dyno_json_u64(json, value);
}

static void put_bool(struct dyno_json_writer *json, const char *key, bool value)
{
    dyno_json_key(json, key);
    dyno_json_bool(json, value);
}

static void put_hex(struct dyno_json_writer *json, const char *key, const void *data, size_t bytes)
{
    char text[2 * DYNO_HEAD_BYTES + 1];
    put_text(json, key, dyno_hex_text(data, bytes, text));
}

/* Reference-ns as EPU-hours, to the last digit. */
static const char *epu_text(dyno_u128 reference_ns, char out[64])
{
    const dyno_u128 hour_ns = (dyno_u128)3600 * 1000000000U;
    char whole[DYNO_U128_TEXT_ROOM];
    dyno_u128 rest = reference_ns % hour_ns;
    (void)dyno_u128_text(reference_ns / hour_ns, whole);
    rest = rest * 1000000000U / hour_ns;
    (void)snprintf(out, 64, "%s.%09" PRIu64, whole, (uint64_t)rest);
    return out;
}

/* --- heads --- */

static void put_head(struct dyno_json_writer *json, const struct dyno_head *head)
{
    char time[DYNO_NS_TEXT_ROOM];
    put_count(json, "node", head->node);
    put_count(json, "groups", head->group_count);
    put_count(json, "epoch", head->epoch);
    put_count(json, "seq", head->seq);
    put_text(json, "time", dyno_ns_text(head->time_ns, time));
    put_hex(json, "root", head->root.bytes, DYNO_DIGEST_BYTES);
    put_hex(json, "chain", head->chain.bytes, DYNO_DIGEST_BYTES);
    if (head->is_signed)
        put_hex(json, "key", head->key, DYNO_KEY_BYTES);
    put_bool(json, "signed", head->is_signed);
}

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

static void print_head(const struct dyno_ledger_head *head, bool as_json)
{
    char time[DYNO_NS_TEXT_ROOM];
    char root[2 * DYNO_DIGEST_BYTES + 1];
    if (!as_json) {
        printf("%s  %" PRIu64 " groups, to record %" PRIu32 "-%" PRIu32 "-%" PRIu64 ", %s\n  %s\n",
               dyno_ns_text(head->head.time_ns, time), head->head.group_count, head->head.node,
               head->head.epoch, head->head.seq, head->head.is_signed ? "signed" : "not signed",
               dyno_hex_text(head->head.root.bytes, DYNO_DIGEST_BYTES, root));
        return;
    }
    struct dyno_strbuf text = {0};
    struct dyno_strbuf proof = {0};
    struct dyno_json_writer json = {.out = &text, .indent = 0};
    dyno_json_object_begin(&json);
    put_head(&json, &head->head);
    put_hex(&json, "head", head->bytes, DYNO_HEAD_BYTES);
    dyno_hex_print(head->proof, head->proof_bytes, &proof);
    put_text(&json, "proof", dyno_strbuf_text(&proof));
    dyno_json_object_end(&json);
    if (dyno_strbuf_ok(&text) && dyno_strbuf_ok(&proof))
        printf("%s\n", dyno_strbuf_text(&text));
    dyno_strbuf_fini(&text);
    dyno_strbuf_fini(&proof);
}

static enum dyno_status print_heads(const struct work *work, const char *path, uint64_t *count,
                                    struct dyno_err *err)
{
    struct dyno_ledger_file *file = NULL;
    uint64_t place = 0;
    bool found = true;
    DYNO_TRY(dyno_ledger_file_open(path, &file, err));
    enum dyno_status status = DYNO_OK;
    while (status == DYNO_OK && found) {
        struct dyno_ledger_head head;
        status = dyno_ledger_file_head(file, place, &head, &found, err);
        if (status != DYNO_OK || !found)
            break;
        place = head.head.group_count + 1;
        print_head(&head, work->options->json);
        (*count)++;
    }
    dyno_ledger_file_close(file);
    return status;
}

static enum dyno_status heads(struct work *work, struct dyno_err *err)
{
    uint64_t count = 0;
    DYNO_TRY(find_paths(work, 1, err));
    for (size_t i = 0; i < work->path_count; i++)
        DYNO_TRY(print_heads(work, work->paths[i], &count, err));
    if (count == 0 && !work->options->json)
        printf("there are no heads yet: one is made every hour, and when a file is closed\n");
    return DYNO_OK;
}

/* --- verify --- */

static void put_report(struct dyno_json_writer *json, const struct dyno_verify_report *report)
{
    char wide[DYNO_U128_TEXT_ROOM];
    char epu[64];
    put_bool(json, "good", true);
    put_count(json, "node", report->node);
    put_count(json, "files", report->files);
    put_count(json, "first_group", report->first_group);
    put_count(json, "groups", report->groups);
    put_count(json, "epochs", report->epochs);
    put_count(json, "records", report->records);
    put_count(json, "usage", report->usage);
    put_count(json, "voids", report->voids);
    put_count(json, "unconfirmed", report->unconfirmed);
    put_text(json, "device_ns", dyno_u128_text(report->device_ns, wide));
    put_text(json, "reference_ns", dyno_u128_text(report->reference_ns, wide));
    put_text(json, "epu_hours", epu_text(report->reference_ns, epu));
    put_count(json, "heads", report->heads);
    put_count(json, "signed_heads", report->signed_heads);
    put_bool(json, "closed", report->has_end);
    put_hex(json, "chain", report->chain.bytes, DYNO_DIGEST_BYTES);
    put_hex(json, "root", report->root.bytes, DYNO_DIGEST_BYTES);
}

static void print_report(const struct dyno_verify_report *r)
{
    char wide[DYNO_U128_TEXT_ROOM];
    char epu[64];
    char root[2 * DYNO_DIGEST_BYTES + 1];
    printf("good: the ledger of node %" PRIu32 " is what was written\n", r->node);
    printf("  files       %" PRIu64 ", %s\n", r->files,
           r->has_end ? "the last one closed" : "the last one open, or its writer was stopped");
    printf("  groups      %" PRIu64 ", from number %" PRIu64 "\n", r->groups, r->first_group);
    printf("  records     %" PRIu64 ": %" PRIu64 " requests, %" PRIu64 " voids, %" PRIu64
           " unconfirmed\n",
           r->records, r->usage, r->voids, r->unconfirmed);
    printf("  device      %s ns\n", dyno_u128_text(r->device_ns, wide));
    printf("  delivered   %s reference-ns, %s EPU-hours (before voids and what is unconfirmed)\n",
           dyno_u128_text(r->reference_ns, wide), epu_text(r->reference_ns, epu));
    printf("  heads       %" PRIu64 ", %" PRIu64 " of them signed\n", r->heads, r->signed_heads);
    printf("  root        %s\n", dyno_hex_text(r->root.bytes, DYNO_DIGEST_BYTES, root));
}

static void step(void *arg, uint64_t records, const char *path)
{
    (void)records;
    dyno_progress_step(arg, 1, path);
}

/* Groups in all files, for the progress bar alone. */
static uint64_t count_groups(const struct work *work)
{
    uint64_t count = 0;
    for (size_t i = 0; i < work->path_count; i++) {
        struct dyno_ledger_file *file = NULL;
        uint64_t last = 0;
        bool found = false;
        if (dyno_ledger_file_open(work->paths[i], &file, NULL) != DYNO_OK)
            continue;
        if (dyno_ledger_file_last(file, &last, &found, NULL) == DYNO_OK && found)
            count += last + 1 - dyno_ledger_file_opening(file)->frontier.count;
        dyno_ledger_file_close(file);
    }
    return count;
}

static enum dyno_status verify_files(struct work *work, const uint8_t *key, struct dyno_err *err)
{
    const struct options *options = work->options;
    struct dyno_verify_report report;
    struct dyno_progress progress;
    struct dyno_head head;
    struct dyno_verify_options how = {.key = key, .on_step = step, .arg = &progress};
    DYNO_TRY(find_paths(work, 1, err));
    if (options->head != NULL) {
        DYNO_TRY(read_head(options->head, work->arena, &head, err));
        how.heads = &head;
        how.head_count = 1;
    }
    dyno_progress_begin(&progress, "verify", count_groups(work));
    const enum dyno_status status =
        dyno_ledger_verify(work->paths, work->path_count, &how, &report, err);
    dyno_progress_end(&progress);
    if (status != DYNO_OK)
        return status;
    if (!options->json) {
        print_report(&report);
        return DYNO_OK;
    }
    struct dyno_strbuf text = {0};
    struct dyno_json_writer json = {.out = &text, .indent = 2};
    dyno_json_object_begin(&json);
    put_report(&json, &report);
    dyno_json_object_end(&json);
    return print_json(&text, err);
}

/* --- proofs --- */

static void print_proof(const struct dyno_proof_report *report)
{
    const struct dyno_record *r = &report->record;
    char id[DYNO_RECORD_TEXT_ROOM];
    char time[DYNO_NS_TEXT_ROOM];
    char text[2 * DYNO_DIGEST_BYTES + 1];
    char epu[64];
    struct dyno_strbuf record_flags = {0};
    dyno_record_flags_print(r->flags, &record_flags);
    printf("good: record %s is in the ledger of node %" PRIu32 "\n", dyno_record_id_text(r->id, id),
           report->head.node);
    printf("  %-22s%s\n", "kind", dyno_record_kind_text(r->kind));
    printf("  %-22s%s\n", "outcome", dyno_outcome_text(r->outcome));
    for (uint32_t i = 0; i < DYNO_NAME_KINDS; i++)
        if (report->names[i][0] != 0)
            printf("  %-22s%s\n", dyno_name_kind_text(i + 1), report->names[i]);
    printf("  %-22s%s\n", "start", dyno_ns_text(r->start_ns, time));
    printf("  %-22s%" PRIu32 ", in batch %" PRIu64 " of %" PRIu32 "\n", "items", r->items,
           r->batch_id, r->batch_count);
    printf("  %-22s%" PRIu64 " ns\n", "device", r->device_ns);
    printf("  %-22s%" PRIu64 " reference-ns, %s EPU-hours\n", "delivered", r->reference_ns,
           epu_text(r->reference_ns, epu));
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
    char time[DYNO_NS_TEXT_ROOM];
    dyno_record_flags_print(r->flags, &record_flags);
    dyno_json_object_begin(&json);
    put_bool(&json, "good", true);
    put_text(&json, "id", dyno_record_id_text(r->id, id));
    put_text(&json, "kind", dyno_record_kind_text(r->kind));
    put_text(&json, "outcome", dyno_outcome_text(r->outcome));
    put_text(&json, "flags", dyno_strbuf_text(&record_flags));
    for (uint32_t i = 0; i < DYNO_NAME_KINDS; i++)
        put_text(&json, dyno_name_kind_text(i + 1), report->names[i]);
    put_count(&json, "items", r->items);
    put_count(&json, "batch_id", r->batch_id);
    put_count(&json, "batch_size", r->batch_count);
    put_text(&json, "start", dyno_ns_text(r->start_ns, time));
    put_count(&json, "queue_ns", r->queue_ns);
    put_count(&json, "device_ns", r->device_ns);
    put_count(&json, "reference_ns", r->reference_ns);
    put_count(&json, "group", report->group.number);
    dyno_json_key(&json, "head");
    dyno_json_object_begin(&json);
    put_head(&json, &report->head);
    dyno_json_object_end(&json);
    dyno_json_object_end(&json);
    dyno_strbuf_fini(&record_flags);
    return print_json(&text, err);
}

static enum dyno_status verify_proof(struct work *work, const uint8_t *key, struct dyno_err *err)
{
    const struct options *options = work->options;
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

static enum dyno_status verify(struct work *work, struct dyno_err *err)
{
    uint8_t key[DYNO_KEY_BYTES];
    const struct options *options = work->options;
    if (options->key != NULL)
        DYNO_TRY(dyno_public_key_read(options->key, key, err));
    const uint8_t *wanted = options->key != NULL ? key : NULL;
    if (options->proof == NULL)
        return verify_files(work, wanted, err);
    if (options->positional.count > 1)
        return DYNO_FAIL(err, DYNO_E_ARG, "a proof is checked alone: give --proof or files");
    return verify_proof(work, wanted, err);
}

static enum dyno_status prove(struct work *work, struct dyno_err *err)
{
    struct dyno_record_id id;
    struct dyno_strbuf text = {0};
    const struct dyno_cli_list *given = &work->options->positional;
    if (given->count < 2)
        return DYNO_FAIL(err, DYNO_E_ARG, "prove wants the id of a record, and a ledger");
    DYNO_TRY(dyno_record_id_parse(given->items[1], &id, err));
    DYNO_TRY(find_paths(work, 2, err));
    const enum dyno_status status = dyno_proof_make(work->paths, work->path_count, id, &text, err);
    if (status == DYNO_OK)
        return print_json(&text, err);
    dyno_strbuf_fini(&text);
    return status;
}

/* --- export --- */

struct exporting {
    const struct options *options;
    uint64_t since_ns, until_ns;
    bool as_json;
    struct dyno_strbuf text;
};

static void flush(struct dyno_strbuf *text)
{
    if (text->bytes > 0)
        (void)fwrite(text->text, 1, text->bytes, stdout);
    dyno_strbuf_clear(text);
}

static enum dyno_status export_record(void *arg, const struct dyno_scanned *scanned,
                                      struct dyno_err *err)
{
    struct exporting *to = arg;
    if (scanned->record.start_ns < to->since_ns || scanned->record.start_ns >= to->until_ns)
        return DYNO_OK;
    if (to->options->tenant != NULL &&
        strcmp(to->options->tenant, scanned->names[DYNO_NAME_TENANT - 1]) != 0)
        return DYNO_OK;
    if (to->as_json)
        dyno_export_json(scanned, &to->text);
    else
        dyno_export_csv(scanned, &to->text);
    if (!dyno_strbuf_ok(&to->text))
        return DYNO_NOMEM(err);
    if (to->text.bytes >= CHUNK_BYTES)
        flush(&to->text);
    return ferror(stdout) ? DYNO_FAIL(err, DYNO_E_IO, "cannot write to standard output") : DYNO_OK;
}

static enum dyno_status take_time(const char *flag, const char *text, uint64_t *time_out,
                                  struct dyno_err *err)
{
    if (text == NULL || dyno_ns_parse(text, time_out))
        return DYNO_OK;
    return DYNO_FAIL(err, DYNO_E_ARG, "%s=%s: wants 2026-01-31 or 2026-01-31T12:00:00Z", flag,
                     text);
}

static enum dyno_status export(struct work *work, struct dyno_err *err) {
    const struct options *options = work->options;
    struct exporting to = {.options = options, .until_ns = UINT64_MAX};
    to.as_json = options->json || strcmp(options->format, "json") == 0;
    if (!to.as_json && strcmp(options->format, "csv") !=
                           0) return DYNO_FAIL(err, DYNO_E_ARG, "--format=%s: wants csv or json",
                                               options->format);
    DYNO_TRY(take_time("--since", options->since, &to.since_ns, err));
    DYNO_TRY(take_time("--until", options->until, &to.until_ns, err));
    DYNO_TRY(find_paths(work, 1, err));
    if (!to.as_json) dyno_export_csv_head(&to.text);
    const enum dyno_status status = dyno_ledger_scan(work->paths, work->path_count, export_record,
                                                     &to, err);
    flush(&to.text);
    dyno_strbuf_fini(&to.text);
    return status;
}

/* --- the command --- */

static const struct action {
    const char *name;
    enum dyno_status (*run)(struct work *work, struct dyno_err *err);
    bool verifies, exports;
} actions[] = {
    {.name = "verify", .run = verify, .verifies = true},
    {.name = "prove", .run = prove},
    {.name = "export", .run = export, .exports = true},
    {.name = "heads", .run = heads},
};

static enum dyno_status check_flags(const struct action *action, const struct options *options,
                                    struct dyno_err *err)
{
    if (!action->verifies &&
        (options->key != NULL || options->head != NULL || options->proof != NULL))
        return DYNO_FAIL(err, DYNO_E_ARG, "%s takes no --key, --head or --proof", action->name);
    if (!action->exports && (options->tenant != NULL || options->since != NULL ||
                             options->until != NULL || strcmp(options->format, "csv") != 0))
        return DYNO_FAIL(err, DYNO_E_ARG, "%s takes no --format, --tenant, --since or --until",
                         action->name);
    return DYNO_OK;
}

static enum dyno_status run(const void *opaque, struct dyno_err *err)
{
    const struct options *options = opaque;
    const char *name = options->positional.items[0];
    struct work work = {.options = options};
    const struct action *action = NULL;
    for (size_t i = 0; i < DYNO_COUNT(actions); i++)
        if (strcmp(actions[i].name, name) == 0)
            action = &actions[i];
    if (action == NULL)
        return DYNO_FAIL(err, DYNO_E_ARG, "it knows verify, prove, export and heads, not '%s'",
                         name);
    DYNO_TRY(check_flags(action, options, err));
    work.arena = dyno_arena_create();
    if (work.arena == NULL)
        return DYNO_NOMEM(err);
    const enum dyno_status status = action->run(&work, err);
    dyno_arena_destroy(work.arena);
    return status;
}

const struct dyno_command dyno_command_ledger = {
    .name = "ledger",
    .summary = "Check, prove and export what was metered",
    .positional = "verify|prove ID|export|heads FOLDER|FILE...",
    .positional_min = 1,
    .positional_max = DYNO_CLI_LIST_MAX,
    .text =
        "verify hashes and counts everything again, and says the first thing that is wrong. prove "
        "prints what shows that a record is in the ledger, which verify --proof checks alone. "
        "export prints every record. heads prints what is published: whoever keeps one can "
        "tell (verify --head) when anything before it was changed. Files may be read while a "
        "server writes them.",
    .flags = flags,
    .flag_count = DYNO_COUNT(flags),
    .options_bytes = sizeof(struct options),
    .run = run,
};
