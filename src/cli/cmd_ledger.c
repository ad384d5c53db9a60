/* cmd_ledger.c - dyno ledger: is it what was written, what proves a record, what stands in it. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/hex.h"
#include "cli/ledger_command.h"
#include "meter/ledger/export.h"
#include "meter/ledger/heads.h"
#include "meter/ledger/parts.h"
#include "meter/ledger/proof.h"
#include "meter/ledger/scan.h"

#define CHUNK_BYTES 65536U /* of text, before it is written */

#define AT(field) DYNO_FLAG_AT(dyno_ledger_flags, field)
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
    {.name = "--heads",
     .value = "FILE",
     .help =
         "verify: heads that were kept (lines of --publish-heads, of heads --json, or of a "
         "server's /v2/ledger/heads), checked against each other and against the ledger, if one "
         "is given; may be given again. retire: the ledger must have all of them",
     .kind = DYNO_FLAG_LIST,
     AT(heads)},
    {.name = "--proof",
     .value = "FILE",
     .help = "verify: check this proof, and nothing else",
     .kind = DYNO_FLAG_STR,
     AT(proof)},
    {.name = "--format",
     .value = "csv|json|cloudevents|cloudevents-batch",
     .help = "export: comma-separated values; a JSON object a line; settled usage as CloudEvents "
             "1.0, one a line, or all as one JSON array",
     .kind = DYNO_FLAG_STR,
     AT(format),
     .fallback_text = "csv"},
    {.name = "--tenant",
     .value = "NAME",
     .help = "export: only the records of this tenant, which the ledger must know",
     .kind = DYNO_FLAG_STR,
     AT(tenant)},
    {.name = "--since",
     .value = "TIME",
     .help = "export: only records that start then or later: 2026-01-31 or 2026-01-31T12:00:00Z",
     .kind = DYNO_FLAG_STR,
     AT(since)},
    {.name = "--until",
     .value = "TIME",
     .help = "export: only records that start before then; archive: only files that ended before "
             "then",
     .kind = DYNO_FLAG_STR,
     AT(until)},
    DYNO_FLAG_FLEET_LEDGER(dyno_ledger_flags, fleet),
    {.name = "--node",
     .value = "N",
     .help = "With --fleet-ledger: of this node only; retire: this node",
     .kind = DYNO_FLAG_INT,
     AT(node),
     .fallback = -1,
     .min = -1,
     .max = 4294967295.0},
    {.name = "--ledger-key",
     .value = "FILE",
     .help = "retire: the private key (Ed25519, PEM) that has signed the heads of this ledger",
     .kind = DYNO_FLAG_STR,
     AT(ledger_key)},
    {.name = "--to",
     .value = "DIR",
     .help = "archive: put archives into this folder, and not beside the files",
     .kind = DYNO_FLAG_STR,
     AT(to)},
    {.name = "--remove-shipped",
     .help = "archive: remove the folder's closed files, archives, too, that the fleet of "
             "--fleet-ledger has byte by byte and that ended over an hour ago",
     .kind = DYNO_FLAG_BOOL,
     AT(remove_shipped)},
    DYNO_FLAG_JSON(dyno_ledger_flags),
};

enum dyno_status dyno_ledger_find_files(struct dyno_ledger_work *work, uint32_t first,
                                        struct dyno_err *err)
{
    const struct dyno_ledger_flags *options = work->options;
    const struct dyno_cli_list *given = &options->positional;
    struct dyno_cli_list ledgers = {0};
    if (options->fleet == NULL && given->count <= first)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "%s wants the folder of a ledger, or files of one, or --fleet-ledger",
                         given->items[0]);
    for (uint32_t i = first; i < given->count; i++)
        ledgers.items[ledgers.count++] = given->items[i];
    return dyno_ledger_files_open(&ledgers, options->fleet, options->node, work->arena,
                                  &work->files, err);
}

enum dyno_status dyno_ledger_want_folder(const struct dyno_ledger_flags *options,
                                         const char *action, struct dyno_err *err)
{
    const struct dyno_cli_list *given = &options->positional;
    struct stat info;
    if (given->count != 2)
        return DYNO_FAIL(err, DYNO_E_ARG, "%s wants one folder of a ledger, not %u arguments",
                         action, given->count - 1);
    if (stat(given->items[1], &info) != 0)
        return DYNO_FAIL(err, dyno_file_read_status(errno), "\"%s\": %s", given->items[1],
                         strerror(errno));
    return S_ISDIR(info.st_mode)
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_ARG, "%s wants the folder of a ledger, and \"%s\" is a file",
                           action, given->items[1]);
}

enum dyno_status dyno_ledger_print_numbers(const struct dyno_ledger_number *numbers, size_t count,
                                           struct dyno_err *err)
{
    struct dyno_strbuf text = {0};
    struct dyno_json_writer json = {.out = &text, .indent = 2};
    dyno_json_object_begin(&json);
    for (size_t i = 0; i < count; i++)
        dyno_json_put_u64(&json, numbers[i].name, numbers[i].value);
    dyno_json_object_end(&json);
    return dyno_cli_print(&text, err);
}

/* What is printed of several files is all of it, from this time on, or an error. */
static enum dyno_status check_between(const struct dyno_ledger_work *work, uint64_t from_ns,
                                      struct dyno_err *err)
{
    const struct dyno_ledger_files *files = &work->files;
    struct dyno_ledger_part *parts = NULL;
    DYNO_TRY(
        dyno_ledger_parts_find(files->store, files->names, files->count, work->arena, &parts, err));
    return dyno_ledger_parts_check(parts, files->count, from_ns, false, err);
}

/* --- heads --- */

static void print_head(const struct dyno_ledger_head *head, bool as_json)
{
    char time[DYNO_NS_TEXT_ROOM];
    char root[2 * DYNO_DIGEST_BYTES + 1];
    struct dyno_strbuf line = {0};
    if (!as_json) {
        printf("%s  %" PRIu64 " groups, to record %" PRIu32 "-%" PRIu32 "-%" PRIu64
               ", %s%s\n  %s\n",
               dyno_ns_text(head->head.time_ns, time), head->head.group_count, head->head.node,
               head->head.epoch, head->head.seq, head->head.is_signed ? "signed" : "not signed",
               head->head.is_last ? ": the last one, the node was retired" : "",
               dyno_hex_text(head->head.root.bytes, DYNO_DIGEST_BYTES, root));
        return;
    }
    dyno_head_line_print(&head->head, head->bytes, head->proof, head->proof_bytes, &line);
    if (dyno_strbuf_ok(&line))
        printf("%s", dyno_strbuf_text(&line));
    dyno_strbuf_fini(&line);
}

static enum dyno_status print_heads(const struct dyno_ledger_work *work, const char *path,
                                    uint64_t *count, struct dyno_err *err)
{
    struct dyno_ledger_file *file = NULL;
    uint64_t place = 0;
    bool found = true;
    DYNO_TRY(dyno_ledger_store_open(work->files.store, path, &file, err));
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

static enum dyno_status node_of(const struct dyno_ledger_files *files, const char *name,
                                uint32_t *node_out, struct dyno_err *err)
{
    struct dyno_ledger_file *file = NULL;
    DYNO_TRY(dyno_ledger_store_open(files->store, name, &file, err));
    *node_out = dyno_ledger_file_opening(file)->node;
    dyno_ledger_file_close(file);
    return DYNO_OK;
}

/* After the heads of its node. */
static enum dyno_status print_last(const struct dyno_ledger_work *work, const char *path,
                                   uint32_t node, struct dyno_err *err)
{
    struct dyno_head_line last;
    bool found = false;
    DYNO_TRY(dyno_ledger_files_retirement(&work->files, node, path, &last, &found, err));
    const struct dyno_ledger_head head = {last.bytes, last.head, last.proof, last.proof_bytes};
    if (found)
        print_head(&head, work->options->json);
    return DYNO_OK;
}

static enum dyno_status heads(struct dyno_ledger_work *work, struct dyno_err *err)
{
    const struct dyno_ledger_files *files = &work->files;
    uint64_t count = 0;
    uint32_t node = 0;
    DYNO_TRY(dyno_ledger_find_files(work, 1, err));
    DYNO_TRY(check_between(work, 0, err));
    for (size_t i = 0; i < files->count; i++) {
        const uint32_t before = node;
        DYNO_TRY(node_of(files, files->names[i], &node, err));
        if (i > 0 && node != before)
            DYNO_TRY(print_last(work, files->names[i - 1], before, err));
        DYNO_TRY(print_heads(work, files->names[i], &count, err));
    }
    DYNO_TRY(print_last(work, files->names[files->count - 1], node, err));
    if (count == 0 && !work->options->json)
        printf("there are no heads yet: one is made every hour, and when a file is closed\n");
    return DYNO_OK;
}

/* --- proofs --- */

static enum dyno_status prove(struct dyno_ledger_work *work, struct dyno_err *err)
{
    struct dyno_record_id id;
    struct dyno_strbuf text = {0};
    const struct dyno_cli_list *given = &work->options->positional;
    if (given->count < 2)
        return DYNO_FAIL(err, DYNO_E_ARG, "prove wants the id of a record, and a ledger");
    DYNO_TRY(dyno_record_id_parse(given->items[1], &id, err));
    DYNO_TRY(dyno_ledger_find_files(work, 2, err));
    if (work->files.fleet != NULL)
        DYNO_TRY(dyno_fleet_files(work->files.fleet, id.node, work->arena, &work->files.names,
                                  &work->files.count, err));
    struct dyno_err made = {0};
    const enum dyno_status status =
        dyno_proof_make(work->files.store, work->files.names, work->files.count, id, &text, &made);
    if (status == DYNO_OK)
        return dyno_cli_print(&text, err);
    dyno_strbuf_fini(&text);
    if (status == DYNO_E_NOT_FOUND) /* it may be in a file that is missing */
        DYNO_TRY(check_between(work, 0, err));
    return DYNO_FAIL(err, status, "%s", made.text);
}

/* --- export --- */

/* X(symbol, name) */
#define EXPORT_FORMATS(X)         \
    X(CSV, "csv")                 \
    X(JSON, "json")               \
    X(CLOUDEVENTS, "cloudevents") \
    X(BATCH, "cloudevents-batch")

enum export_format {
#define X(sym, name) EXPORT_##sym,
    EXPORT_FORMATS(X)
#undef X
        EXPORT_FORMAT_COUNT
};

static const char *const format_names[] = {
#define X(sym, name) name,
    EXPORT_FORMATS(X)
#undef X
};

struct exporting {
    const struct dyno_ledger_flags *options;
    uint64_t since_ns, until_ns, count;
    bool knows_tenant; /* of --tenant: a record of any time is its */
    enum export_format format;
    struct dyno_strbuf text;
};

static void flush(struct dyno_strbuf *text)
{
    if (text->bytes > 0)
        (void)fwrite(text->text, 1, text->bytes, stdout);
    dyno_strbuf_clear(text);
}

/* An event is told once and never taken back: only of what is settled. */
static void print_event(struct exporting *to, const struct dyno_scanned *scanned)
{
    if (scanned->record.kind != DYNO_RECORD_USAGE || scanned->state != DYNO_RECORD_STATE_SENT)
        return;
    if (to->format == EXPORT_BATCH)
        dyno_strbuf_puts(&to->text, to->count > 0 ? ",\n" : "\n");
    dyno_export_cloudevent(scanned, &to->text);
    if (to->format == EXPORT_CLOUDEVENTS)
        dyno_strbuf_puts(&to->text, "\n");
    to->count++;
}

static void print_record(struct exporting *to, const struct dyno_scanned *scanned)
{
    switch (to->format) {
    case EXPORT_CSV:
        dyno_export_csv(scanned, &to->text);
        break;
    case EXPORT_JSON:
        dyno_export_json(scanned, &to->text);
        break;
    case EXPORT_CLOUDEVENTS:
    case EXPORT_BATCH:
        print_event(to, scanned);
        break;
    case EXPORT_FORMAT_COUNT:
        break;
    }
}

static enum dyno_status export_record(void *arg, const struct dyno_scanned *scanned,
                                      struct dyno_err *err)
{
    struct exporting *to = arg;
    if (to->options->tenant != NULL &&
        strcmp(to->options->tenant, scanned->names[DYNO_NAME_TENANT - 1]) != 0)
        return DYNO_OK;
    to->knows_tenant = true;
    if (scanned->record.start_ns < to->since_ns || scanned->record.start_ns >= to->until_ns)
        return DYNO_OK;
    print_record(to, scanned);
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

static enum dyno_status take_format(const struct dyno_ledger_flags *options,
                                    enum export_format *format_out, struct dyno_err *err)
{
    const char *name = options->json ? "json" : options->format;
    for (int i = 0; i < EXPORT_FORMAT_COUNT; i++) {
        if (strcmp(name, format_names[i]) != 0)
            continue;
        *format_out = (enum export_format)i;
        return DYNO_OK;
    }
    return DYNO_FAIL(err, DYNO_E_ARG,
                     "--format=%s: wants csv, json, cloudevents or cloudevents-batch", name);
}

static enum dyno_status export_records(struct dyno_ledger_work *work, struct dyno_err *err)
{
    const struct dyno_ledger_flags *options = work->options;
    struct exporting to = {.options = options, .until_ns = UINT64_MAX};
    char since[DYNO_NS_TEXT_ROOM];
    char until[DYNO_NS_TEXT_ROOM];
    DYNO_TRY(take_format(options, &to.format, err));
    DYNO_TRY(take_time("--since", options->since, &to.since_ns, err));
    DYNO_TRY(take_time("--until", options->until, &to.until_ns, err));
    if (to.until_ns <= to.since_ns)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "--until must be later than --since: this is from %s until %s",
                         dyno_ns_text(to.since_ns, since), dyno_ns_text(to.until_ns, until));
    DYNO_TRY(dyno_ledger_find_files(work, 1, err));
    DYNO_TRY(check_between(work, to.since_ns, err));
    if (to.format == EXPORT_CSV)
        dyno_export_csv_head(&to.text);
    if (to.format == EXPORT_BATCH)
        dyno_strbuf_puts(&to.text, "[");
    enum dyno_status status = dyno_ledger_scan_store(work->files.store, work->files.names,
                                                     work->files.count, export_record, &to, err);
    if (status == DYNO_OK && options->tenant != NULL && !to.knows_tenant) {
        dyno_strbuf_clear(&to.text); /* a table without rows would say that it used nothing */
        status = DYNO_FAIL(err, DYNO_E_NOT_FOUND, "the ledger knows no tenant '%.128s'",
                           options->tenant);
    }
    if (status == DYNO_OK && to.format == EXPORT_BATCH)
        dyno_strbuf_puts(&to.text, "\n]\n");
    flush(&to.text);
    dyno_strbuf_fini(&to.text);
    return status;
}

/* --- the command --- */

static const struct action {
    const char *name;
    enum dyno_status (*run)(struct dyno_ledger_work *work, struct dyno_err *err);
    bool verifies, exports, ships, archives, retires;
} actions[] = {
    {.name = "verify", .run = dyno_ledger_run_verify, .verifies = true},
    {.name = "prove", .run = prove},
    {.name = "export", .run = export_records, .exports = true},
    {.name = "heads", .run = heads},
    {.name = "ship", .run = dyno_ledger_run_ship, .ships = true},
    {.name = "archive", .run = dyno_ledger_run_archive, .archives = true},
    {.name = "retire", .run = dyno_ledger_run_retire, .retires = true},
};

static enum dyno_status check_flags(const struct action *action,
                                    const struct dyno_ledger_flags *options, struct dyno_err *err)
{
    if (!action->verifies &&
        (options->key != NULL || options->head != NULL ||
         (options->heads.count > 0 && !action->retires) || options->proof != NULL))
        return DYNO_FAIL(err, DYNO_E_ARG, "%s takes no --key, --head, --heads or --proof",
                         action->name);
    if (!action->exports &&
        (options->tenant != NULL || options->since != NULL ||
         (options->until != NULL && !action->archives) || strcmp(options->format, "csv") != 0))
        return DYNO_FAIL(err, DYNO_E_ARG, "%s takes no --format, --tenant, --since or --until",
                         action->name);
    if (options->node >= 0 && (options->fleet == NULL || action->ships))
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "--node says which of the nodes of --fleet-ledger is read");
    if (!action->archives && options->to != NULL)
        return DYNO_FAIL(err, DYNO_E_ARG, "%s takes no --to", action->name);
    if (!action->archives && options->remove_shipped)
        return DYNO_FAIL(err, DYNO_E_ARG, "%s takes no --remove-shipped", action->name);
    if (!action->retires && options->ledger_key != NULL)
        return DYNO_FAIL(err, DYNO_E_ARG, "%s takes no --ledger-key", action->name);
    return DYNO_OK;
}

static enum dyno_status run(const void *opaque, struct dyno_err *err)
{
    const struct dyno_ledger_flags *options = opaque;
    const char *name = options->positional.items[0];
    struct dyno_ledger_work work = {.options = options};
    const struct action *action = NULL;
    for (size_t i = 0; i < DYNO_COUNT(actions); i++)
        if (strcmp(actions[i].name, name) == 0)
            action = &actions[i];
    if (action == NULL)
        return DYNO_FAIL(
            err, DYNO_E_ARG,
            "it knows verify, prove, export, heads, ship, archive and retire, not '%s'", name);
    DYNO_TRY(check_flags(action, options, err));
    work.arena = dyno_arena_create();
    if (work.arena == NULL)
        return DYNO_NOMEM(err);
    const enum dyno_status status = action->run(&work, err);
    dyno_ledger_files_close(&work.files);
    dyno_arena_destroy(work.arena);
    return status;
}

const struct dyno_command dyno_command_ledger = {
    .name = "ledger",
    .summary = "Check, prove and export what was metered",
    .positional = "verify|prove ID|export|heads|ship|archive|retire FOLDER|FILE...",
    .positional_min = 1,
    .positional_max = DYNO_CLI_LIST_MAX,
    .text =
        "verify hashes and counts everything again, and says the first thing that is wrong. prove "
        "prints what shows that a record is in the ledger, which verify --proof checks alone. "
        "export prints every record. heads prints what is published: whoever keeps one can "
        "tell (verify --heads) when anything before it was changed. archive compresses the files of a "
        "folder that are closed, and removes each when its archive was read again and is it; "
        "archives are read as files are. retire says, once and signed, that the node of a ledger "
        "never comes back and its ledger ends where it ends, so that periods can be closed. Files "
        "may be given in any order, and be read while a server writes them; export and heads refuse "
        "those between which one is missing. ship sends a ledger's files to the fleet, from where its copy ends; the others read that copy when "
        "--fleet-ledger is given without files.",
    .flags = flags,
    .flag_count = DYNO_COUNT(flags),
    .options_bytes = sizeof(struct dyno_ledger_flags),
    .run = run,
};
