/* charge.c - prices of units, and of nanoseconds. */
#include "rate/charge.h"

#define AMOUNT_MAX ((dyno_u128)1 << 91)

struct dyno_ratio dyno_charge_unit(const struct dyno_tariff *tariff, int64_t speed_up_ppm,
                                   const char *class_name, const char *precision)
{
    struct dyno_price price = {tariff->device_hour, 1, 1};
    if (tariff->kind != DYNO_TARIFF_DEVICE_HOUR)
        price = dyno_tariff_price(tariff, speed_up_ppm);
    return (struct dyno_ratio){
        .a = price.nano,
        .b = 1,
        .nums = {price.num,
                 (uint64_t)dyno_tariff_factor(tariff->classes, tariff->class_count, class_name),
                 (uint64_t)dyno_tariff_factor(tariff->precisions, tariff->precision_count,
                                              precision)},
        .num_count = 3,
        .dens = {price.den, (uint64_t)DYNO_NANO, (uint64_t)DYNO_NANO},
        .den_count = 3};
}

static int64_t dearest_tier(const struct dyno_tariff *tariff)
{
    int64_t factor = DYNO_NANO;
    for (size_t i = 0; tariff->tier_mode != DYNO_TIERS_NONE && i < tariff->tier_count; i++)
        factor = tariff->tiers[i].factor > factor ? tariff->tiers[i].factor : factor;
    return factor;
}

/* A ratio that is an hour's becomes a ns's. */
static bool per_ns(struct dyno_ratio ratio, const struct dyno_tariff *tariff,
                   struct dyno_rate *rate)
{
    dyno_i128 amount = 0;
    ratio.b = (dyno_i128)1 << 64;
    ratio.dens[ratio.den_count++] = DYNO_NS_AN_HOUR;
    if (rate->is_by_device)
        ratio.dens[ratio.den_count++] = tariff->device_cores;
    const bool fits = dyno_ratio_round(&ratio, DYNO_ROUND_DOWN, &amount);
    rate->per_ns = (dyno_u128)amount;
    rate->device_cores = tariff->device_cores;
    return fits;
}

bool dyno_rate_of(const struct dyno_tariff *tariff, int64_t speed_up_ppm, const char *class_name,
                  const char *precision, struct dyno_rate *rate_out)
{
    struct dyno_ratio ratio = dyno_charge_unit(tariff, speed_up_ppm, class_name, precision);
    rate_out->is_by_device = tariff->kind == DYNO_TARIFF_DEVICE_HOUR;
    ratio.nums[ratio.num_count++] = (uint64_t)dearest_tier(tariff);
    ratio.dens[ratio.den_count++] = (uint64_t)DYNO_NANO;
    return per_ns(ratio, tariff, rate_out);
}

bool dyno_rate_of_cold_start(const struct dyno_tariff *tariff, struct dyno_rate *rate_out)
{
    const int64_t price = tariff->charges_cold_start ? tariff->device_hour : 0;
    rate_out->is_by_device = true;
    return per_ns((struct dyno_ratio){.a = price, .b = 1}, tariff, rate_out);
}

dyno_u128 dyno_rate_amount(const struct dyno_rate *rate, uint64_t ns)
{
    const dyno_u128 high = (rate->per_ns >> 64) * ns; /* below 2^126: a price fits into 126 bits */
    const dyno_u128 low = (dyno_u128)(uint64_t)rate->per_ns * ns >> 32;
    if (high >= AMOUNT_MAX >> 32)
        return AMOUNT_MAX;
    const dyno_u128 amount = (high << 32) + low;
    return amount < AMOUNT_MAX ? amount : AMOUNT_MAX;
}

const char *dyno_epu_text(dyno_u128 reference_ns, char out[DYNO_MONEY_ROOM])
{
    return dyno_decimal_text((dyno_i128)(reference_ns * 10 / 36), 12, 0, out);
}
