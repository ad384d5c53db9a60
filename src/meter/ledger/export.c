/* export.c - the columns of a record, once for both forms. */
#include "meter/ledger/export.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/calendar.h"
#include "base/json.h"

#define SECOND_NS UINT64_C(1000000000)

/* --- times --- */

const char *dyno_ns_text(uint64_t time_ns, char out[DYNO_NS_TEXT_ROOM])
{
    char seconds[DYNO_TIME_TEXT_ROOM];
    (void)dyno_time_text((int64_t)(time_ns / SECOND_NS), seconds);
    (void)snprintf(out, DYNO_NS_TEXT_ROOM, "%.19s.%09" PRIu64 "Z", seconds, time_ns % SECOND_NS);
    return out;
}

/* Digits at text[at..at+count) as a number from min to max; -1: they are none. */
static int take(const char *text, size_t at, size_t count, int min, int max)
{
    int value = 0;
    for (size_t i = at; i < at + count; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        value = 10 * value + (text[i] - '0');
    }
    return value >= min && value <= max ? value : -1;
}

/* ".123Z" or "Z"; false: something else. */
static bool take_fraction(const char *text, uint64_t *ns_out)
{
    uint64_t unit_ns = SECOND_NS;
    *ns_out = 0;
    if (*text == '.') {
        for (text++; *text >= '0' && *text <= '9' && unit_ns > 1; text++) {
            unit_ns /= 10;
            *ns_out += unit_ns * (uint64_t)(*text - '0');
        }
        if (unit_ns == SECOND_NS)
            return false;
    }
    return strcmp(text, "Z") == 0;
}

bool dyno_ns_parse(const char *text, uint64_t *time_ns_out)
{
    struct tm fields = {0};
    uint64_t fraction_ns = 0;
    const size_t bytes = strlen(text);
    *time_ns_out = 0;
    if (bytes < 10 || text[4] != '-' || text[7] != '-')
        return false;
    fields.tm_year = take(text, 0, 4, 1970, 2553) - 1900;
    fields.tm_mon = take(text, 5, 2, 1, 12) - 1;
    fields.tm_mday = take(text, 8, 2, 1, 31);
    if (bytes > 10) {
        if (bytes < 20 || text[10] != 'T' || text[13] != ':' || text[16] != ':' ||
            !take_fraction(text + 19, &fraction_ns))
            return false;
        fields.tm_hour = take(text, 11, 2, 0, 23);
        fields.tm_min = take(text, 14, 2, 0, 59);
        fields.tm_sec = take(text, 17, 2, 0, 59);
    }
    if (fields.tm_year < 70 || fields.tm_mon < 0 || fields.tm_mday < 1 || fields.tm_hour < 0 ||
        fields.tm_min < 0 || fields.tm_sec < 0)
        return false;
    const int day = fields.tm_mday;
    const time_t seconds = timegm(&fields); /* moves the 31st of a month of 30 days */
    *time_ns_out = (uint64_t)seconds * SECOND_NS + fraction_ns;
    return seconds >= 0 && fields.tm_mday == day;
}

/* --- columns --- */

struct writer {
    struct dyno_strbuf *out;
    struct dyno_json_writer json;
    bool is_csv, is_head; /* only the names */
    const char *comma;
};

static void put_csv(struct writer *writer, const char *text)
{
    dyno_strbuf_puts(writer->out, writer->comma);
    writer->comma = ",";
    if (text[strcspn(text, ",\"\r\n")] == 0) {
        dyno_strbuf_puts(writer->out, text);
        return;
    }
    dyno_strbuf_puts(writer->out, "\"");
    for (const char *at = text; *at != 0; at++)
        dyno_strbuf_add(writer->out, *at == '"' ? "\"\"" : at, *at == '"' ? 2 : 1);
    dyno_strbuf_puts(writer->out, "\"");
}

static void put(struct writer *writer, const char *name, const char *text)
{
    if (writer->is_csv) {
        put_csv(writer, writer->is_head ? name : text);
        return;
    }
    dyno_json_put_str(&writer->json, name, text);
}

static void put_number(struct writer *writer, const char *name, uint64_t value)
{
    char text[24];
    if (writer->is_csv) {
        (void)snprintf(text, sizeof(text), "%" PRIu64, value);
        put(writer, name, text);
        return;
    }
    dyno_json_put_u64(&writer->json, name, value);
}

static void put_columns(struct writer *writer, const struct dyno_scanned *scanned)
{
    const struct dyno_record *r = &scanned->record;
    char text[DYNO_RECORD_TEXT_ROOM];
    char time[DYNO_NS_TEXT_ROOM];
    char wide[DYNO_U128_TEXT_ROOM];
    struct dyno_strbuf flags = {0};
    dyno_record_flags_print(r->flags, &flags);
    put(writer, "id", dyno_record_id_text(r->id, text));
    put_number(writer, "group", scanned->group);
    put(writer, "kind", dyno_record_kind_text(r->kind));
    put(writer, "state", dyno_record_state_text(scanned->state));
    put(writer, "outcome", dyno_outcome_text(r->outcome));
    put(writer, "flags", dyno_strbuf_text(&flags));
#define X(sym, value, name, field) put(writer, name, scanned->names[(value)-1]);
    DYNO_NAME_KIND_MAP(X)
#undef X
    put_number(writer, "items", r->items);
    put_number(writer, "batch_id", r->batch_id);
    put_number(writer, "batch_size", r->batch_count);
    put(writer, "start", dyno_ns_text(r->start_ns, time));
    put_number(writer, "queue_ns", r->queue_ns);
    put_number(writer, "device_ns", r->device_ns);
    put_number(writer, "reference_ns", r->reference_ns);
    put(writer, "memory_byte_ns", dyno_u128_text(r->memory_byte_ns, wide));
    put(writer, "voids", r->kind == DYNO_RECORD_VOID ? dyno_record_id_text(r->voids, text) : "");
    dyno_strbuf_fini(&flags);
}

void dyno_export_csv_head(struct dyno_strbuf *out)
{
    static const struct dyno_scanned none = {
        .record = {.kind = DYNO_RECORD_USAGE, .outcome = DYNO_OUTCOME_OK},
        .names = {"", "", "", "", "", "", "", "", ""},
    };
    struct writer writer = {.out = out, .is_csv = true, .is_head = true, .comma = ""};
    put_columns(&writer, &none);
    dyno_strbuf_puts(out, "\r\n");
}

void dyno_export_csv(const struct dyno_scanned *scanned, struct dyno_strbuf *out)
{
    struct writer writer = {.out = out, .is_csv = true, .comma = ""};
    put_columns(&writer, scanned);
    dyno_strbuf_puts(out, "\r\n");
}

void dyno_export_json(const struct dyno_scanned *scanned, struct dyno_strbuf *out)
{
    struct writer writer = {.out = out, .json = {.out = out, .indent = 0}};
    dyno_json_object_begin(&writer.json);
    put_columns(&writer, scanned);
    dyno_json_object_end(&writer.json);
    dyno_strbuf_puts(out, "\n");
}

/* --- CloudEvents --- */

static void put_data(struct writer *writer, const struct dyno_scanned *scanned)
{
    const struct dyno_record *r = &scanned->record;
    const dyno_u128 hour_ns = (dyno_u128)3600 * SECOND_NS;
    char epu[DYNO_U128_TEXT_ROOM + 24];
    char flags_text[128];
    struct dyno_strbuf flags = {0};
    dyno_record_flags_print(r->flags, &flags);
    (void)snprintf(flags_text, sizeof(flags_text), "%.127s", dyno_strbuf_text(&flags));
    dyno_strbuf_fini(&flags);
    (void)snprintf(epu, sizeof(epu), "%" PRIu64 ".%09" PRIu64,
                   (uint64_t)(r->reference_ns / hour_ns),
                   (uint64_t)(r->reference_ns % hour_ns * SECOND_NS / hour_ns));
    put(writer, "outcome", dyno_outcome_text(r->outcome));
    put(writer, "flags", flags_text);
#define X(sym, value, name, field) put(writer, name, scanned->names[(value)-1]);
    DYNO_NAME_KIND_MAP(X)
#undef X
    put_number(writer, "items", r->items);
    put_number(writer, "queue_ns", r->queue_ns);
    put_number(writer, (r->flags & DYNO_RECORD_CORE_NS) != 0 ? "core_ns" : "device_ns",
               r->device_ns);
    put_number(writer, "reference_ns", r->reference_ns);
    put(writer, "epu_hours", epu);
}

void dyno_export_cloudevent(const struct dyno_scanned *scanned, struct dyno_strbuf *out)
{
    const struct dyno_record *r = &scanned->record;
    const char *tenant = scanned->names[DYNO_NAME_TENANT - 1];
    struct writer writer = {.out = out, .json = {.out = out, .indent = -1}};
    char id[DYNO_RECORD_TEXT_ROOM];
    char time[DYNO_NS_TEXT_ROOM];
    char source[40];
    (void)snprintf(source, sizeof(source), "/dyno/nodes/%" PRIu32, r->id.node);
    dyno_json_object_begin(&writer.json);
    put(&writer, "specversion", "1.0");
    put(&writer, "id", dyno_record_id_text(r->id, id));
    put(&writer, "source", source);
    put(&writer, "type", "dyno.usage.v1");
    if (tenant[0] != 0)
        put(&writer, "subject", tenant);
    put(&writer, "time", dyno_ns_text(r->start_ns, time));
    put(&writer, "datacontenttype", "application/json");
    dyno_json_put_object_begin(&writer.json, "data");
    put_data(&writer, scanned);
    dyno_json_object_end(&writer.json);
    dyno_json_object_end(&writer.json);
}
