/* make_usage.c - a month's ledger to rate: tenants, models and classes in turn, at times that rise.
 *
 *     make_usage FOLDER RECORDS [CERTIFICATE]
 *
 * One request in a hundred failed, one in ten thousand is void.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "meter/ledger/ledger.h"

#define BATCH    8192U
#define TENANTS  50U
#define MODELS   5U
#define CLASSES  3U
#define MONTH_NS (UINT64_C(30) * 86400 * 1000000000)
#define FIRST_NS (UINT64_C(1727740800) * 1000000000) /* 2024-10-01 */

static struct dyno_ledger_entry entries[BATCH];
static atomic_uint left;

static void note_done(struct dyno_ledger_entry *entry)
{
    (void)entry;
    (void)atomic_fetch_sub(&left, 1);
}

static void stop(const struct dyno_err *err)
{
    (void)fprintf(stderr, "make_usage: %s\n", err->text);
    exit(1);
}

static uint32_t name(struct dyno_ledger *ledger, enum dyno_name_kind kind, const char *text,
                     uint32_t number)
{
    char whole[96];
    uint32_t handle = 0;
    struct dyno_err err = {0};
    (void)snprintf(whole, sizeof(whole), number != UINT32_MAX ? "%s-%u" : "%s", text,
                   (unsigned)number);
    if (dyno_ledger_name(ledger, kind, whole, &handle, &err) != DYNO_OK)
        stop(&err);
    return handle;
}

static void fill(struct dyno_record *record, const uint32_t *tenants, const uint32_t *models,
                 const uint32_t *classes, uint32_t certificate, uint64_t n, uint64_t count)
{
    const bool is_ok = n % 100 != 99;
    *record = (struct dyno_record){.kind = DYNO_RECORD_USAGE,
                                   .outcome = is_ok ? DYNO_OUTCOME_OK : DYNO_OUTCOME_FAILED,
                                   .items = 1 + (uint32_t)(n % 8),
                                   .batch_count = 8,
                                   .batch_id = n / 8 + 1,
                                   .start_ns = FIRST_NS + MONTH_NS / count * n,
                                   .queue_ns = 120000,
                                   .device_ns = 3400000 + n % 1000,
                                   .reference_ns = is_ok ? 13600000 + n % 4096 : 0};
    record->names[DYNO_NAME_TENANT - 1] = tenants[n % TENANTS];
    record->names[DYNO_NAME_MODEL - 1] = models[n / 7 % MODELS];
    record->names[DYNO_NAME_VARIANT - 1] = models[MODELS];
    record->names[DYNO_NAME_CLASS - 1] = classes[n / 3 % CLASSES];
    record->names[DYNO_NAME_CERTIFICATE - 1] = certificate;
}

int main(int argc, char **argv)
{
    uint32_t tenants[TENANTS];
    uint32_t models[MODELS + 1];
    uint32_t classes[CLASSES];
    struct dyno_ledger *ledger = NULL;
    struct dyno_err err = {0};
    if (argc < 3)
        return 2;
    const uint64_t count = strtoull(argv[2], NULL, 10);
    const struct dyno_ledger_options options = {.folder = argv[1], .node = 1};
    if (count == 0 || dyno_ledger_open(&options, &ledger, &err) != DYNO_OK)
        stop(&err);
    for (uint32_t i = 0; i < TENANTS; i++)
        tenants[i] = name(ledger, DYNO_NAME_TENANT, "tenant", i);
    for (uint32_t i = 0; i < MODELS; i++)
        models[i] = name(ledger, DYNO_NAME_MODEL, "model", i);
    models[MODELS] = name(ledger, DYNO_NAME_VARIANT, "1/fp32", UINT32_MAX);
    for (uint32_t i = 0; i < CLASSES; i++)
        classes[i] = name(ledger, DYNO_NAME_CLASS, "class", i);
    const uint32_t certificate =
        argc > 3 ? name(ledger, DYNO_NAME_CERTIFICATE, argv[3], UINT32_MAX) : 0;
    for (uint64_t n = 0; n < count;) {
        uint32_t batch = 0;
        for (; batch < BATCH && n < count; batch++, n++) {
            struct dyno_record *record = &entries[batch].record;
            fill(record, tenants, models, classes, certificate, n, count);
            if (n % 10000 == 9999) { /* the one before it, which is of an earlier group by then */
                *record = (struct dyno_record){.kind = DYNO_RECORD_VOID,
                                               .id = {.node = 1},
                                               .start_ns = record->start_ns,
                                               .voids = {1, dyno_ledger_epoch(ledger), n - 9000}};
            }
            entries[batch].done = note_done;
        }
        atomic_store(&left, batch);
        for (uint32_t i = 0; i < batch; i++)
            dyno_ledger_append(ledger, &entries[i]);
        while (atomic_load(&left) > 0)
            (void)usleep(50);
        for (uint32_t i = 0; i < batch; i++)
            if (entries[i].record.kind == DYNO_RECORD_USAGE)
                (void)dyno_ledger_sent(ledger, &entries[i].record.id.seq, 1, NULL);
    }
    if (dyno_ledger_close(ledger, &err) != DYNO_OK)
        stop(&err);
    return 0;
}
