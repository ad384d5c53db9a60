/* json_number.c - decimal text to int64 and double.
 *
 * A number of at most 19 digits m and an exponent of ten in -19..19 is m * 10^e with both in 64
 * bits: the quotient or product in 128 bits, and whether something is left, round to nearest even
 * exactly.  Those are nearly all that are sent; the rest go through strtod.
 */
#include "base/json_number.h"

#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX     512
#define DIGITS_EXACT 19

__extension__ typedef unsigned __int128 wide;

static const uint64_t tens[20] = {1U,
                                  10U,
                                  100U,
                                  1000U,
                                  10000U,
                                  100000U,
                                  1000000U,
                                  10000000U,
                                  100000000U,
                                  1000000000U,
                                  10000000000U,
                                  100000000000U,
                                  1000000000000U,
                                  10000000000000U,
                                  100000000000000U,
                                  1000000000000000U,
                                  10000000000000000U,
                                  100000000000000000U,
                                  1000000000000000000U,
                                  10000000000000000000U};

/* value * 2^scale, and a little more when `sticky`, to nearest even; value is not 0. */
static double round_wide(wide value, int scale, bool sticky)
{
    const uint64_t high = (uint64_t)(value >> 64);
    const int bits =
        high != 0 ? 128 - __builtin_clzll(high) : 64 - __builtin_clzll((uint64_t)value);
    const int drop = bits - 54; /* keep 53 and the bit to round by */
    if (drop <= 0)
        return ldexp((double)(uint64_t)value, scale); /* at most 54 bits: rounded once here */
    uint64_t kept = (uint64_t)(value >> drop);
    sticky = sticky || (value & (((wide)1 << drop) - 1)) != 0;
    if ((kept & 1U) != 0 && (sticky || (kept & 2U) != 0))
        kept += 2;
    return ldexp((double)(kept >> 1), scale + drop + 1);
}

static double exact(uint64_t mantissa, int exponent)
{
    if (mantissa == 0)
        return 0.0;
    if (exponent >= 0)
        return round_wide((wide)mantissa * tens[exponent], 0, false);
    const int shift = __builtin_clzll(mantissa);
    const wide top = (wide)(mantissa << shift) << 64;
    const uint64_t by = tens[-exponent];
    /* The quotient has 64 bits or more, so that no bit to round by is lost. */
    const wide quotient = top / by;
    return round_wide(quotient, -64 - shift, quotient * by != top);
}

static locale_t c_locale;
static pthread_once_t c_locale_once = PTHREAD_ONCE_INIT;

static void c_locale_make(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

static double by_library(const char *at, size_t bytes)
{
    char text[TEXT_MAX];
    memcpy(text, at, bytes);
    text[bytes] = 0;
    (void)pthread_once(&c_locale_once, c_locale_make);
    return c_locale != (locale_t)0 ? strtod_l(text, NULL, c_locale) : strtod(text, NULL);
}

/* What is written, as digits * 10^exponent. */
struct decimal {
    const char *at;
    const char *end;
    uint64_t mantissa;
    int digits; /* significant ones; more than DIGITS_EXACT do not fit */
    int exponent;
};

static size_t take_digits(struct decimal *decimal, bool after_point)
{
    const char *start = decimal->at;
    for (; decimal->at < decimal->end; decimal->at++) {
        const unsigned digit = (unsigned)(unsigned char)*decimal->at - '0';
        if (digit > 9)
            break;
        if (decimal->digits < DIGITS_EXACT)
            decimal->mantissa = decimal->mantissa * 10 + digit;
        decimal->digits += decimal->digits > 0 || digit != 0;
        decimal->exponent -= after_point;
    }
    return (size_t)(decimal->at - start);
}

/* After the e; false without a digit. */
static bool take_exponent(struct decimal *decimal)
{
    const bool is_negative = decimal->at < decimal->end && *decimal->at == '-';
    if (decimal->at < decimal->end && (*decimal->at == '-' || *decimal->at == '+'))
        decimal->at++;
    const char *start = decimal->at;
    int value = 0;
    for (; decimal->at < decimal->end && *decimal->at >= '0' && *decimal->at <= '9'; decimal->at++)
        value = value < 100000 ? value * 10 + (*decimal->at - '0') : value;
    decimal->exponent += is_negative ? -value : value;
    return decimal->at > start;
}

static bool accept(struct decimal *decimal, const char *set)
{
    if (decimal->at == decimal->end || (*decimal->at != set[0] && *decimal->at != set[1]))
        return false;
    decimal->at++;
    return true;
}

const char *dyno_json_number(const char *at, const char *end, struct dyno_json_token *token,
                             const char **why_out)
{
    const bool is_negative = at < end && *at == '-';
    struct decimal decimal = {.at = at + is_negative, .end = end};
    const bool leading_zero = decimal.at < end && *decimal.at == '0';
    *why_out = "malformed number";
    const size_t digits = take_digits(&decimal, false);
    if (digits == 0 || (leading_zero && digits > 1))
        return decimal.at;
    bool is_int = true;
    if (accept(&decimal, "..")) {
        is_int = false;
        if (take_digits(&decimal, true) == 0)
            return decimal.at;
    }
    if (accept(&decimal, "eE")) {
        is_int = false;
        if (!take_exponent(&decimal))
            return decimal.at;
    }
    const size_t bytes = (size_t)(decimal.at - at);
    *why_out = "number of more than 511 characters";
    if (bytes >= TEXT_MAX)
        return decimal.at;
    *why_out = NULL;
    if (decimal.digits <= DIGITS_EXACT && decimal.exponent >= -19 && decimal.exponent <= 19) {
        const double value = exact(decimal.mantissa, decimal.exponent);
        token->number = is_negative ? -value : value;
    } else {
        token->number = by_library(at, bytes);
    }
    const uint64_t most = (uint64_t)INT64_MAX + is_negative;
    token->is_int = is_int && decimal.digits <= DIGITS_EXACT && decimal.mantissa <= most;
    if (token->is_int)
        token->integer = is_negative ? (int64_t)(0 - decimal.mantissa) : (int64_t)decimal.mantissa;
    return decimal.at;
}
