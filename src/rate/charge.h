/* charge.h - what the work of a request costs: shared by the lines of a statement and by budgets,
 * which price requests one by one.
 *
 * Pure functions; any thread.
 */
#ifndef DYNO_RATE_CHARGE_H
#define DYNO_RATE_CHARGE_H

#include "rate/tariff.h"

#define DYNO_NS_AN_HOUR UINT64_C(3600000000000)

/* The list price of an EPU-hour (of DEVICE_HOUR: of a device-hour), with the factors of class and
 * precision, in nano-units. */
struct dyno_ratio dyno_charge_unit(const struct dyno_tariff *tariff, int64_t speed_up_ppm,
                                   const char *class_name, const char *precision);

/* That price a nanosecond.  Amounts that are made with it add up to the line of a statement over
 * the same requests, to a nano-unit in 2^32 requests.  Where a tier costs more than the list price
 * it is that of the dearest tier: who reserves by it never reserves too little. */
struct dyno_rate {
    dyno_u128 per_ns;      /* 2^-64 nano-units */
    bool is_by_device;     /* a core-ns; else a reference-ns */
    uint64_t device_cores; /* core-ns of a ns of a device whose time is not told by core */
};
/* False: a price that is past all reason. */
bool dyno_rate_of(const struct dyno_tariff *tariff, int64_t speed_up_ppm, const char *class_name,
                  const char *precision, struct dyno_rate *rate_out);

/* The same of loading an engine that a request waited for: a core-ns, 0 where the tariff does not
 * charge it. */
bool dyno_rate_of_cold_start(const struct dyno_tariff *tariff, struct dyno_rate *rate_out);

/* Reference-ns as EPU-hours with at most 12 decimals, cut: a small request is some 1e-10 of them.
 */
const char *dyno_epu_text(dyno_u128 reference_ns, char out[DYNO_MONEY_ROOM]);

#define DYNO_AMOUNT_FRACTION_BITS 32

/* In 2^-32 nano-units, cut; at most 2^91. */
dyno_u128 dyno_rate_amount(const struct dyno_rate *rate, uint64_t ns);

#endif /* DYNO_RATE_CHARGE_H */
