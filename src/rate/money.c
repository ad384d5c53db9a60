/* money.c - products that do not overflow, decimals. */
#include "rate/money.h"

#include <string.h>

#define LIMBS 13

/* LIMBS * 64 bits, the least first: two numbers of 127 bits and eight of 64, doubled, need 768. */
struct big {
    uint64_t limbs[LIMBS];
};

static const struct dyno_currency currencies[] = {
    {"AUD", 2}, {"BRL", 2}, {"CAD", 2}, {"CHF", 2}, {"CNY", 2}, {"CZK", 2}, {"DKK", 2},
    {"EUR", 2}, {"GBP", 2}, {"HKD", 2}, {"ILS", 2}, {"INR", 2}, {"JPY", 0}, {"KRW", 0},
    {"KWD", 3}, {"MXN", 2}, {"NOK", 2}, {"NZD", 2}, {"PLN", 2}, {"SEK", 2}, {"SGD", 2},
    {"TRY", 2}, {"TWD", 2}, {"USD", 2}, {"ZAR", 2},
};

const struct dyno_currency *dyno_currency_find(const char *code)
{
    for (size_t i = 0; i < DYNO_COUNT(currencies); i++)
        if (strcmp(currencies[i].code, code) == 0)
            return &currencies[i];
    return NULL;
}

uint64_t dyno_currency_minor(const struct dyno_currency *currency)
{
    uint64_t minor = DYNO_NANO;
    for (int i = 0; i < currency->decimals; i++)
        minor /= 10;
    return minor;
}

/* --- ratios --- */

static void multiply(struct big *big, uint64_t by)
{
    uint64_t carry = 0;
    for (int i = 0; i < LIMBS; i++) {
        const dyno_u128 product = (dyno_u128)big->limbs[i] * by + carry;
        big->limbs[i] = (uint64_t)product;
        carry = (uint64_t)(product >> 64);
    }
    DYNO_ASSERT(carry == 0);
}

/* Returns the remainder. */
static uint64_t divide(struct big *big, uint64_t by)
{
    uint64_t rest = 0;
    for (int i = LIMBS; i-- > 0;) {
        const dyno_u128 part = ((dyno_u128)rest << 64) | big->limbs[i];
        big->limbs[i] = (uint64_t)(part / by);
        rest = (uint64_t)(part % by);
    }
    return rest;
}

static void add(struct big *big, const struct big *other)
{
    uint64_t carry = 0;
    for (int i = 0; i < LIMBS; i++) {
        const dyno_u128 sum = (dyno_u128)big->limbs[i] + other->limbs[i] + carry;
        big->limbs[i] = (uint64_t)sum;
        carry = (uint64_t)(sum >> 64);
    }
    DYNO_ASSERT(carry == 0);
}

static dyno_u128 size_of(dyno_i128 value)
{
    return value < 0 ? -(dyno_u128)value : (dyno_u128)value;
}

/* A product of two numbers of 127 bits. */
static struct big product(dyno_u128 a, dyno_u128 b)
{
    struct big high = {{(uint64_t)a, (uint64_t)(a >> 64)}};
    struct big low = high;
    struct big sum = {{0}};
    multiply(&high, (uint64_t)(b >> 64));
    multiply(&low, (uint64_t)b);
    memcpy(&sum.limbs[1], high.limbs, sizeof(high.limbs) - sizeof(high.limbs[0]));
    add(&sum, &low);
    return sum;
}

/* Half away from zero is floor((2n + d) / 2d) for what is not negative; a tie leaves no rest. */
bool dyno_ratio_round(const struct dyno_ratio *ratio, enum dyno_rounding rounding, dyno_i128 *out)
{
    DYNO_ASSERT(ratio->num_count <= DYNO_RATIO_MAX && ratio->den_count <= DYNO_RATIO_MAX);
    struct big top = product(size_of(ratio->a), size_of(ratio->b));
    struct big bottom = {{1}};
    bool is_tie = true;
    for (size_t i = 0; i < ratio->num_count; i++)
        multiply(&top, ratio->nums[i]);
    for (size_t i = 0; i < ratio->den_count; i++) {
        DYNO_ASSERT(ratio->dens[i] != 0);
        multiply(&bottom, ratio->dens[i]);
    }
    if (rounding != DYNO_ROUND_DOWN) {
        multiply(&top, 2);
        add(&top, &bottom);
        is_tie = divide(&top, 2) == 0;
    }
    for (size_t i = 0; i < ratio->den_count; i++)
        is_tie = (divide(&top, ratio->dens[i]) == 0) && is_tie;
    for (int i = 2; i < LIMBS; i++)
        if (top.limbs[i] != 0)
            return false;
    if (top.limbs[1] >> 62 != 0)
        return false;
    dyno_i128 result = (dyno_i128)(((dyno_u128)top.limbs[1] << 64) | top.limbs[0]);
    if (rounding == DYNO_ROUND_HALF_EVEN && is_tie && (result & 1) != 0)
        result--;
    *out = (ratio->a < 0) != (ratio->b < 0) ? -result : result;
    return true;
}

/* --- text --- */

enum dyno_status dyno_decimal_parse(const char *text, int decimals, const char *what,
                                    int64_t *value_out, struct dyno_err *err)
{
    const char *at = text + (text[0] == '-');
    int64_t value = 0;
    int whole_count = 0;
    int decimal_count = 0;
    for (; *at >= '0' && *at <= '9' && whole_count < 16; at++, whole_count++)
        value = value * 10 + (*at - '0');
    const bool is_good = whole_count > 0 && whole_count < 16 && (at == text || at[-1] != '-');
    int64_t scaled = value;
    if (is_good && *at == '.') {
        at++;
        for (; *at >= '0' && *at <= '9' && decimal_count < decimals; at++, decimal_count++)
            if (__builtin_mul_overflow(scaled, 10, &scaled) ||
                __builtin_add_overflow(scaled, *at - '0', &scaled))
                return DYNO_FAIL(err, DYNO_E_ARG, "%s: %.40s is too large", what, text);
        if (decimal_count == 0)
            return DYNO_FAIL(err, DYNO_E_ARG, "%s: %.40s has no digit after its point", what, text);
    }
    if (!is_good || *at != 0)
        return DYNO_FAIL(err, DYNO_E_ARG, "%s: %.40s is no decimal number with at most %d decimals",
                         what, text, decimals);
    for (; decimal_count < decimals; decimal_count++)
        if (__builtin_mul_overflow(scaled, 10, &scaled))
            return DYNO_FAIL(err, DYNO_E_ARG, "%s: %.40s is too large", what, text);
    *value_out = text[0] == '-' ? -scaled : scaled;
    return DYNO_OK;
}

const char *dyno_decimal_text(dyno_i128 value, int scale, int least, char out[DYNO_MONEY_ROOM])
{
    char digits[DYNO_MONEY_ROOM];
    dyno_u128 size = value < 0 ? -(dyno_u128)value : (dyno_u128)value;
    int count = 0;
    char *to = out;
    int drop = 0;
    while (drop < scale - least && size % 10 == 0) {
        size /= 10;
        drop++;
    }
    const int kept = scale - drop;
    do {
        digits[count++] = (char)('0' + (int)(size % 10));
        size /= 10;
    } while (size != 0 || count <= kept);
    if (value < 0)
        *to++ = '-';
    while (count-- > 0) {
        *to++ = digits[count];
        if (count == kept && kept > 0)
            *to++ = '.';
    }
    *to = 0;
    return out;
}

dyno_i128 dyno_money_minor(const struct dyno_currency *currency, dyno_i128 nano)
{
    const struct dyno_ratio ratio = {
        .a = nano, .b = 1, .dens = {dyno_currency_minor(currency)}, .den_count = 1};
    dyno_i128 minor = 0;
    return dyno_ratio_round(&ratio, DYNO_ROUND_HALF_EVEN, &minor) ? minor : 0;
}
