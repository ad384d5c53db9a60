/* money.h - exact money: whole nano-units of a currency, and products rounded once.
 *
 * Values only; any thread.  Nothing here is a floating-point number.
 */
#ifndef DYNO_RATE_MONEY_H
#define DYNO_RATE_MONEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/wide.h"

#define DYNO_NANO       INT64_C(1000000000) /* nano-units a unit; also the one of factors */
#define DYNO_PPM        INT64_C(1000000)
#define DYNO_MONEY_ROOM 56 /* bytes of any amount as text */
#define DYNO_RATIO_MAX  8  /* numbers on either side of a ratio */

/* ISO 4217, and how many decimals an invoice shows. */
struct dyno_currency {
    char code[4];
    int decimals;
};
/* NULL: not known. */
const struct dyno_currency *dyno_currency_find(const char *code);
/* Nano-units of the least amount that an invoice shows: 10^(9 - decimals). */
uint64_t dyno_currency_minor(const struct dyno_currency *currency);

enum dyno_rounding {
    DYNO_ROUND_HALF_AWAY, /* from zero: what is owed */
    DYNO_ROUND_HALF_EVEN, /* what is given back */
    DYNO_ROUND_DOWN,      /* to zero */
};

/* a * b * nums[0] * nums[1] ... / dens[0] / dens[1] ..., rounded once.  False: it does not fit into
 * 126 bits.  No den is 0; at most DYNO_RATIO_MAX of each. */
struct dyno_ratio {
    dyno_i128 a, b;
    uint64_t nums[DYNO_RATIO_MAX], dens[DYNO_RATIO_MAX];
    size_t num_count, den_count;
};
bool dyno_ratio_round(const struct dyno_ratio *ratio, enum dyno_rounding rounding, dyno_i128 *out);

/* "12", "0.5", "-3.000000001": a decimal number with at most `decimals` of them, into whole units
 * of the last one.  E_ARG names `what` and the rule; |value| stays below 10^15 units. */
enum dyno_status dyno_decimal_parse(const char *text, int decimals, const char *what,
                                    int64_t *value_out, struct dyno_err *err);

/* `value` units of 10^-scale as a decimal number with at least `least` decimals and none that is
 * a zero beyond those: (1875000000, 9, 2) is "1.875". */
const char *dyno_decimal_text(dyno_i128 value, int scale, int least, char out[DYNO_MONEY_ROOM]);

/* Nano-units in least amounts of the currency, half to even: to be looked at, not charged. */
dyno_i128 dyno_money_minor(const struct dyno_currency *currency, dyno_i128 nano);

#endif /* DYNO_RATE_MONEY_H */
