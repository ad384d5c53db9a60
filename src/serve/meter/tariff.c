/* tariff.c - the version of its tenant's tariff that a record names: the one in force by the book
 * that the server was given, at the record's start.
 *
 * A claim, and not a price: an invoice is made by the book of its closing, and says where that one
 * has another version for the time.  Nothing is claimed without a book.
 */
#include <stdio.h>

#include "base/log.h"
#include "serve/meter/internal.h"

#define KEPT 64

/* Of the last tenants of a thread, so that a request asks neither the book nor the ledger. */
struct kept_tariff {
    uint64_t meter; /* id; 0: none */
    uint64_t book;  /* id */
    uint64_t tenant;
    int64_t from_s, until_s; /* it is the one in force */
    uint32_t handle;
};
static _Thread_local struct kept_tariff kept_tariffs[KEPT];

void dyno_meter_begin_tariffs(struct dyno_meter *meter)
{
    static atomic_uint_fast64_t last_id;
    meter->id = atomic_fetch_add(&last_id, 1) + 1;
}

void dyno_meter_look_at_book(struct dyno_meter *meter)
{
    struct dyno_err err = {0};
    bool is_new = false;
    if (meter->options.quota == NULL)
        return;
    if (dyno_quota_read_book(meter->options.quota, &is_new, &err) != DYNO_OK)
        dyno_log(DYNO_LOG_WARN, "the book of tariffs before stays in force: %s", err.text);
    else if (is_new)
        dyno_log(DYNO_LOG_INFO, "another book of tariffs is in force");
}

uint32_t dyno_meter_tariff(struct dyno_meter *meter, const struct dyno_meter_request *request)
{
    const int64_t start_s = (int64_t)(request->wall_ns / 1000000000U);
    struct kept_tariff *kept = &kept_tariffs[request->tenant_id % KEPT];
    char text[DYNO_NAME_BYTES_MAX + 1];
    int64_t until_s = 0;
    uint32_t handle = 0;
    /* Asked before the tariff: one that is replaced meanwhile is asked again by the next. */
    const uint64_t book =
        meter->options.quota != NULL ? dyno_quota_book_id(meter->options.quota) : 0;
    if (book == 0)
        return 0;
    if (kept->meter == meter->id && kept->book == book && kept->tenant == request->tenant_id &&
        start_s >= kept->from_s && start_s < kept->until_s)
        return kept->handle;
    const struct dyno_tariff *tariff =
        dyno_quota_tariff(meter->options.quota, dyno_meter_tenant_name(request), start_s, &until_s);
    if (tariff == NULL)
        return 0;
    const int bytes =
        snprintf(text, sizeof(text), "%s/%lld", tariff->name, (long long)tariff->version);
    if (bytes < 0 || (size_t)bytes >= sizeof(text) ||
        dyno_ledger_name(meter->ledger, DYNO_NAME_TARIFF, text, &handle, NULL) != DYNO_OK)
        return 0;
    *kept = (struct kept_tariff){meter->id, book, request->tenant_id, start_s, until_s, handle};
    return handle;
}
