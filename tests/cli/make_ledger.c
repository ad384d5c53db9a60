/* make_ledger.c - a ledger out of lines of text, for tests of what reads one.
 *
 *   make_ledger FOLDER [live|still [AGO_S]] < LINES
 *
 * A line: TENANT MODEL VARIANT CLASS CERTIFICATE OUTCOME ITEMS DEVICE_NS REFERENCE_NS START_S
 * [unsent|void|batch=N|for=S|FLAG ...] batch=N: it ran with so many requests.  for=S: memory was
 * held so many seconds.  FLAG as in the ledger.  CERTIFICATE "-" is none, "ref:ADDRESS" that of a
 * reference certificate alone, "ref:ADDRESS+ADDRESS" with an engine's; CLASS may be CLASS@DEVICE,
 * VARIANT VARIANT@TARIFF/VERSION; OUTCOME as in the ledger, or "residency", whose ITEMS are
 * byte-seconds, or "cold-start", or "on-cores", which is ok, its time that of cores, or
 * "gpu-cold-start".  Or "sent N" and "void N" of the N-th record of this start, or "sync", which is
 * answered when all before it is durable; "live" has a head soon after each, "still" none but that
 * of the start. AGO_S: the clock is so many seconds behind.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "meter/ledger/ledger.h"

#define LINES_MAX    100000
#define FIRST_NUMBER 6 /* texts before them */
#define NUMBER_COUNT 4
#define TEXT_COUNT   14

static atomic_size_t done_count;
static struct dyno_ledger_entry entries[LINES_MAX];
static bool is_unsent[LINES_MAX];

static void stop(const char *what)
{
    (void)fprintf(stderr, "make_ledger: %s\n", what);
    exit(1);
}

static void set_name(struct dyno_ledger *ledger, struct dyno_record *record,
                     enum dyno_name_kind kind, const char *text)
{
    struct dyno_err err = {0};
    if (strcmp(text, "-") != 0 &&
        dyno_ledger_name(ledger, kind, text, &record->names[kind - 1], &err) != DYNO_OK)
        stop(err.text);
}

static void set_outcome(struct dyno_record *record, const char *text, unsigned long long items)
{
    record->kind = DYNO_RECORD_USAGE;
    record->items = (uint32_t)items;
    if (strcmp(text, "residency") == 0) {
        record->kind = DYNO_RECORD_RESIDENCY;
        record->items = 0;
        record->memory_byte_ns = (dyno_u128)items * 1000000000U;
        return;
    }
    if (strcmp(text, "cold-start") == 0 || strcmp(text, "gpu-cold-start") == 0) {
        record->kind = DYNO_RECORD_PLATFORM;
        record->flags = text[0] == 'c' ? DYNO_RECORD_CORE_NS : 0;
        record->items = 0;
        return;
    }
    if (strcmp(text, "on-cores") == 0) {
        record->outcome = DYNO_OUTCOME_OK;
        record->flags = DYNO_RECORD_CORE_NS;
        return;
    }
    for (uint32_t i = 1; dyno_outcome_text(i) != NULL; i++)
        if (strcmp(dyno_outcome_text(i), text) == 0)
            record->outcome = (enum dyno_outcome)i;
}

static void set_certificates(struct dyno_ledger *ledger, struct dyno_record *record, char *text)
{
    if (strncmp(text, "ref:", 4) != 0) {
        set_name(ledger, record, DYNO_NAME_CERTIFICATE, text);
        return;
    }
    char *engine = strchr(text, '+');
    if (engine != NULL) {
        *engine = 0;
        set_name(ledger, record, DYNO_NAME_CERTIFICATE, engine + 1);
    }
    set_name(ledger, record, DYNO_NAME_REFERENCE, text + 4);
}

/* What may stand behind the start; returns whether a void of the record must follow. */
static bool take_more(struct dyno_record *record, const char *text, size_t i)
{
    static const struct {
        const char *text;
        uint32_t flag;
    } flags[] = {
#define X(sym, value, text) {text, DYNO_RECORD_##sym},
        DYNO_RECORD_FLAG_MAP(X)
#undef X
    };
    if (strncmp(text, "batch=", 6) == 0) {
        record->batch_count = (uint32_t)strtoul(text + 6, NULL, 10);
        record->batch_id = i + 1;
    }
    if (strncmp(text, "for=", 4) == 0)
        record->queue_ns = strtoull(text + 4, NULL, 10) * 1000000000U;
    for (size_t k = 0; k < DYNO_COUNT(flags); k++)
        if (strcmp(text, flags[k].text) == 0)
            record->flags |= flags[k].flag;
    is_unsent[i] = is_unsent[i] || strcmp(text, "unsent") == 0;
    return strcmp(text, "void") == 0;
}

static void on_done(struct dyno_ledger_entry *entry)
{
    (void)entry;
    atomic_fetch_add(&done_count, 1);
}

static void append(struct dyno_ledger *ledger, struct dyno_ledger_entry *entry)
{
    struct dyno_err err = {0};
    if (dyno_record_check(&entry->record, &err) != DYNO_OK)
        stop(err.text);
    entry->done = on_done;
    dyno_ledger_append(ledger, entry);
}

/* Returns whether a void of it must follow. */
static bool take_line(struct dyno_ledger *ledger, const char *line, size_t i)
{
    static char copy[2048];
    const char *texts[TEXT_COUNT] = {""};
    unsigned long long numbers[NUMBER_COUNT] = {0};
    struct dyno_record *record = &entries[i].record;
    char *rest = NULL;
    size_t count = 0;
    (void)snprintf(copy, sizeof(copy), "%s", line);
    for (char *at = strtok_r(copy, " \n", &rest); at != NULL && count < TEXT_COUNT;
         at = strtok_r(NULL, " \n", &rest))
        texts[count++] = at;
    static const enum dyno_name_kind kinds[] = {DYNO_NAME_TENANT, DYNO_NAME_MODEL,
                                                DYNO_NAME_VARIANT, DYNO_NAME_CLASS,
                                                DYNO_NAME_CERTIFICATE};
    if (count < FIRST_NUMBER + NUMBER_COUNT)
        stop("a line has ten texts or more");
    for (size_t k = 0; k < NUMBER_COUNT; k++) {
        char *end = NULL;
        numbers[k] = strtoull(texts[FIRST_NUMBER + k], &end, 10);
        if (*end != 0)
            stop("a number is none");
    }
    for (size_t k = 0; k < DYNO_COUNT(kinds); k++)
        if (kinds[k] == DYNO_NAME_CLASS && strchr(texts[k], '@') != NULL) {
            char *at = strchr(copy + (texts[k] - copy), '@');
            *at = 0;
            set_name(ledger, record, DYNO_NAME_DEVICE, at + 1);
            set_name(ledger, record, kinds[k], texts[k]);
        } else if (kinds[k] == DYNO_NAME_VARIANT && strchr(texts[k], '@') != NULL) {
            char *at = strchr(copy + (texts[k] - copy), '@');
            *at = 0;
            set_name(ledger, record, DYNO_NAME_TARIFF, at + 1);
            set_name(ledger, record, kinds[k], texts[k]);
        } else if (kinds[k] == DYNO_NAME_CERTIFICATE)
            set_certificates(ledger, record, copy + (texts[k] - copy));
        else
            set_name(ledger, record, kinds[k], texts[k]);
    set_outcome(record, texts[5], numbers[0]);
    record->device_ns = numbers[1];
    record->reference_ns = numbers[2];
    record->start_ns = numbers[3] * 1000000000U;
    bool is_void = false;
    for (size_t k = FIRST_NUMBER + NUMBER_COUNT; k < count; k++)
        is_void = take_more(record, texts[k], i) || is_void;
    append(ledger, &entries[i]);
    return is_void;
}

/* A void of a record that this start has appended. */
static void take_void(struct dyno_ledger *ledger, size_t of, size_t i)
{
    struct dyno_record *record = &entries[i].record;
    record->kind = DYNO_RECORD_VOID;
    record->start_ns = entries[of - 1].record.start_ns;
    record->voids = (struct dyno_record_id){1, dyno_ledger_epoch(ledger), of};
    record->id.node = 1;
    append(ledger, &entries[i]);
}

/* Everything up to `count` is durable, and what has left is told of. */
static void settle(struct dyno_ledger *ledger, size_t count)
{
    struct dyno_err err = {0};
    while (atomic_load(&done_count) < count)
        (void)usleep(1000);
    for (size_t i = 0; i < count; i++) {
        if (!is_unsent[i] && entries[i].record.kind == DYNO_RECORD_USAGE &&
            dyno_ledger_sent(ledger, &(uint64_t){i + 1}, 1, &err) != DYNO_OK)
            stop(err.text);
        is_unsent[i] = is_unsent[i] || entries[i].record.kind == DYNO_RECORD_USAGE;
    }
}

/* "sent N", "void N", "sync", or a record; returns how many entries there are then. */
static size_t take(struct dyno_ledger *ledger, const char *line, size_t count)
{
    struct dyno_err err = {0};
    const char *blank = strchr(line, ' ');
    const uint64_t seq = blank != NULL ? strtoull(blank, NULL, 10) : 0;
    if (strncmp(line, "sent ", 5) == 0) {
        if (dyno_ledger_sent(ledger, &seq, 1, &err) != DYNO_OK)
            stop(err.text);
        return count;
    }
    if (strncmp(line, "void ", 5) == 0 && seq >= 1 && seq <= count) {
        take_void(ledger, seq, count);
        return count + 1;
    }
    if (strncmp(line, "sync", 4) == 0) {
        settle(ledger, count);
        (void)usleep(300000); /* a watermark, and a head over it */
        (void)printf("ok\n");
        (void)fflush(stdout);
        return count;
    }
    if (take_line(ledger, line, count)) {
        take_void(ledger, count + 1, count + 1);
        count++;
    }
    return count + 1;
}

static uint64_t clock_ns(void *arg)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return ((uint64_t)now.tv_sec - *(const uint64_t *)arg) * 1000000000U + (uint64_t)now.tv_nsec;
}

int main(int argc, char **argv)
{
    static char line[2048];
    struct dyno_ledger *ledger = NULL;
    struct dyno_err err = {0};
    size_t count = 0;
    if (argc < 2 || argc > 4)
        stop("FOLDER [live|still [AGO_S]] < LINES");
    const uint64_t soon_ns = argc > 2 ? 10000000 : 0;
    uint64_t ago_s = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;
    const bool is_live = argc > 2 && strcmp(argv[2], "live") == 0;
    const struct dyno_ledger_options options = {.folder = argv[1],
                                                .node = 1,
                                                .head_interval_ns = is_live ? soon_ns : 0,
                                                .sent_interval_ns = soon_ns,
                                                .now_ns = clock_ns,
                                                .arg = &ago_s};
    if (dyno_ledger_open(&options, &ledger, &err) != DYNO_OK)
        stop(err.text);
    while (fgets(line, sizeof(line), stdin) != NULL && line[0] != '\n' && count + 1 < LINES_MAX)
        count = take(ledger, line, count);
    settle(ledger, count);
    if (dyno_ledger_close(ledger, &err) != DYNO_OK)
        stop(err.text);
    return 0;
}
