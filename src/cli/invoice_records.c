/* invoice_records.c - a line of an invoice, record by record, with what each one costs. */
#include <stdio.h>
#include <string.h>

#include "base/calendar.h"
#include "cli/invoicing.h"
#include "meter/account/record.h"
#include "rate/document.h"

#define CHUNK_BYTES 65536U /* of text, before it is written */

struct drill {
    const struct dyno_invoicing *work;
    const struct dyno_account *account;
    const struct dyno_line *line;
    struct dyno_rater *rater; /* tells which line usage belongs to */
    bool as_json;
    dyno_u128 units;
    dyno_i128 nano;
    struct dyno_usage sum;
    dyno_u128 core_ns, reference_ns, byte_ns;
    struct dyno_strbuf text;
};

static void put_row(struct drill *drill, const struct dyno_usage *usage, dyno_u128 core_ns,
                    dyno_i128 nano)
{
    const struct dyno_record_id id = {usage->node, usage->epoch, usage->seq};
    const dyno_i128 sign = usage->is_taken_back ? -1 : 1;
    char id_text[DYNO_RECORD_TEXT_ROOM];
    char when[DYNO_TIME_TEXT_ROOM];
    char wide[3][DYNO_U128_TEXT_ROOM];
    char amount[DYNO_MONEY_ROOM];
    const char *const names[] = {"id",           "start",          "items",       "core_ns",
                                 "reference_ns", "memory_byte_ns", "certificate", "exact"};
    char items[24];
    (void)snprintf(items, sizeof(items), "%llu", (unsigned long long)usage->items);
    const char *const values[] = {
        dyno_record_id_text(id, id_text),
        dyno_time_text(usage->start_s, when),
        items,
        dyno_i128_text(sign * (dyno_i128)core_ns, wide[0]),
        dyno_i128_text(sign * (dyno_i128)usage->reference_ns, wide[1]),
        dyno_u128_text(usage->byte_ns, wide[2]),
        dyno_usage_source_name(drill->work->source, usage->key.certificate),
        dyno_decimal_text(nano, 9, 0, amount)};
    if (drill->as_json) {
        struct dyno_json_writer json = {.out = &drill->text};
        dyno_json_object_begin(&json);
        for (size_t i = 0; i < DYNO_COUNT(names); i++)
            dyno_json_put_str(&json, names[i], values[i]);
        dyno_json_object_end(&json);
    } else {
        for (size_t i = 0; i < DYNO_COUNT(names); i++) {
            dyno_strbuf_puts(&drill->text, i > 0 ? "," : "");
            dyno_csv_text(&drill->text, values[i]);
        }
    }
    dyno_strbuf_puts(&drill->text, drill->as_json ? "\n" : "\r\n");
}

static enum dyno_status flush(struct drill *drill, size_t least, struct dyno_err *err)
{
    if (!dyno_strbuf_ok(&drill->text))
        return DYNO_NOMEM(err);
    if (drill->text.bytes < least || drill->text.bytes == 0)
        return DYNO_OK;
    const enum dyno_status status = dyno_bill_write(NULL, &drill->text, err);
    dyno_strbuf_clear(&drill->text);
    return status;
}

static enum dyno_status take(void *arg, const struct dyno_usage *usage, struct dyno_err *err)
{
    struct drill *drill = arg;
    bool is_here = false;
    dyno_i128 nano = 0;
    DYNO_TRY(dyno_line_find(drill->rater, drill->account, drill->line, usage, &is_here, err));
    if (!is_here)
        return DYNO_OK;
    const dyno_u128 core_ns =
        (dyno_u128)usage->device_ns * (usage->is_core ? 1U : drill->line->tariff->device_cores);
    drill->units += dyno_line_units(drill->line, usage);
    DYNO_TRY(dyno_line_part(drill->line, drill->units, &nano, err));
    drill->sum.requests += usage->requests;
    drill->sum.items += usage->items;
    drill->core_ns += core_ns;
    drill->reference_ns += usage->reference_ns;
    drill->byte_ns += usage->byte_ns;
    put_row(drill, usage, core_ns, nano - drill->nano);
    drill->nano = nano;
    return flush(drill, CHUNK_BYTES, err);
}

/* Files that are read once more give the same. */
static enum dyno_status check_sums(const struct drill *drill, struct dyno_err *err)
{
    const struct dyno_line *line = drill->line;
    const bool is_floor = line->kind == DYNO_LINE_RESIDENCY;
    const bool same =
        is_floor ? drill->byte_ns == line->byte_ns
                 : drill->sum.requests == line->requests && drill->sum.items == line->items &&
                       drill->core_ns == line->core_ns && drill->reference_ns == line->reference_ns;
    return same && drill->nano == line->nano
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_CORRUPT,
                           "the ledger was changed while it was read: its records do not add up to "
                           "the line");
}

static enum dyno_status find_line(const struct dyno_invoicing *work,
                                  const struct dyno_account *account,
                                  const struct dyno_line **line_out, struct dyno_err *err)
{
    const int64_t number = work->options->line;
    if (number < 1 || (uint64_t)number > account->line_count)
        return DYNO_FAIL(err, DYNO_E_ARG, "--records wants --line=N, from 1 to %zu",
                         account->line_count);
    *line_out = &account->lines[number - 1];
    return dyno_line_has_usage(*line_out)
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_ARG,
                           "line %lld (%s) is made of the lines before it, and not of records",
                           (long long)number, dyno_line_kind_text((*line_out)->kind));
}

enum dyno_status dyno_invoice_records(const struct dyno_invoicing *work,
                                      const struct dyno_account *account, struct dyno_err *err)
{
    const struct dyno_invoice_options *options = work->options;
    struct drill drill = {
        .work = work, .account = account, .as_json = dyno_invoice_wants_json(options)};
    if (!drill.as_json && strcmp(options->format, "csv") != 0 &&
        strcmp(options->format, "text") != 0)
        return DYNO_FAIL(err, DYNO_E_ARG, "--records are csv or json, not %.32s", options->format);
    DYNO_TRY(find_line(work, account, &drill.line, err));
    DYNO_TRY(dyno_usage_source_rater(work->source, work->book, NULL, NULL, 0, &drill.rater, err));
    if (!drill.as_json)
        dyno_strbuf_puts(&drill.text, "id,start,items,core_ns,reference_ns,memory_byte_ns,"
                                      "certificate,exact\r\n");
    enum dyno_status status = dyno_usage_source_each(work->source, take, &drill, err);
    if (status == DYNO_OK)
        status = flush(&drill, 0, err);
    if (status == DYNO_OK)
        status = check_sums(&drill, err);
    dyno_strbuf_fini(&drill.text);
    dyno_rater_destroy(drill.rater);
    return status;
}
