/* test_expr.c - canonical forms, ranges, text, and random programs against direct evaluation. */
#include "base/expr.h"

#include <inttypes.h>

#include "base/mem.h"
#include "test.h"

static struct dyno_exprs *pool;

static dyno_expr parse(const char *text)
{
    dyno_expr e = DYNO_EXPR_NONE;
    struct dyno_err err = {0};
    const enum dyno_status status = dyno_expr_parse(pool, text, strlen(text), &e, &err);
    CHECK_MSG(status == DYNO_OK, "%s: %s", text, err.text);
    return e;
}

static void check_same(const char *a, const char *b)
{
    CHECK_MSG(parse(a) != DYNO_EXPR_NONE && parse(a) == parse(b), "%s is not %s", a, b);
}

static void check_differ(const char *a, const char *b)
{
    CHECK_MSG(parse(a) != parse(b), "%s is %s", a, b);
}

static void check_print(const char *text, const char *want)
{
    struct dyno_strbuf out = {0};
    dyno_expr_print(pool, parse(text), &out);
    CHECK_STR(dyno_strbuf_text(&out), want);
    CHECK_MSG(parse(dyno_strbuf_text(&out)) == parse(text), "%s", text);
    dyno_strbuf_fini(&out);
}

static void check_range(const char *text, int64_t want_min, int64_t want_max)
{
    int64_t min = 0;
    int64_t max = 0;
    dyno_expr_range(pool, parse(text), &min, &max);
    CHECK_MSG(min == want_min && max == want_max, "%s: %" PRId64 "..%" PRId64, text, min, max);
}

static void test_sums_and_products(void)
{
    check_same("(2*n + n)*4", "12*n");
    check_same("n*m*4", "m*(4*n)");
    check_same("(n + 1)*(n - 1)", "n*n - 1");
    check_same("n - n", "0");
    check_same("n*0", "0");
    check_same("(n + m) - m", "n");
    check_same("3 + 4", "7");
    check_same("a*b*c + c*b*a", "2*a*b*c");
    check_differ("n + 1", "n");
    check_differ("n*m", "n + m");
}

static void test_division(void)
{
    check_same("12*n*m//(4*n)", "3*m");
    check_same("(n*m + n)//n", "m + 1");
    check_same("(4*n + 3)//4", "n");
    check_same("(5*n)//2", "2*n + n//2");
    check_same("n//2//3", "n//6");
    check_same("((n - 1)//2 + 1 - 1)//2 + 1", "(n + 3)//4");
    check_same("(6*n + 3)//9", "(2*n + 1)//3");
    check_same("(2*n)//(2*m)", "n//m");
    check_same("(n*k)//(m*k)", "n//m");
    check_same("((n + 1)*m)//(n + 1)", "m");
    check_same("n//n", "1");
    check_same("(n + m)//(n + m)", "1");
    check_same("7//-2", "-4");
    check_same("-7//2", "-4");
    check_same("7%-2", "-1");
    check_same("0//n", "0");
    check_same("(n*4)%4", "0");
    check_same("(4*n + 3)%4", "3");
    check_same("(2*n)%4", "2*(n%2)");
    check_same("(2*n + 1)%4", "2*(n%2) + 1");
    check_same("(n%8 + 1)%4", "(n + 1)%4");
    check_same("n%1", "0");
    check_same("(s*12)//12", "s");
    CHECK(parse("n//0") == DYNO_EXPR_NONE);
    CHECK(parse("n%(m - m)") == DYNO_EXPR_NONE);
    /* z may be zero: nothing may be cancelled */
    (void)dyno_expr_symbol(pool, "z", 0, 100);
    check_differ("(n*z)//z", "n");
    check_differ("z//z", "1");
}

static void test_ceildiv(void)
{
    const dyno_expr n = parse("n");
    CHECK(dyno_expr_ceildiv(pool, n, dyno_expr_const(pool, 4)) == parse("(n + 3)//4"));
    CHECK(dyno_expr_ceildiv(pool, dyno_expr_const(pool, 7), dyno_expr_const(pool, -2)) ==
          parse("-3"));
    CHECK(dyno_expr_ceildiv(pool, parse("8*n"), dyno_expr_const(pool, 4)) == parse("2*n"));
}

static void test_order(void)
{
    (void)dyno_expr_symbol(pool, "small", 1, 8);
    (void)dyno_expr_symbol(pool, "big", 100, 200);
    check_same("min(small, big)", "small");
    check_same("max(small, big)", "big");
    check_same("min(n, n + 1)", "n");
    check_same("max(n, n + 1)", "n + 1");
    check_same("min(n, m)", "min(m, n)");
    check_same("min(min(n, m), n)", "min(n, m)");
    check_same("min(max(n, m), n)", "n");
    check_same("min(min(n, 7), 5)", "min(n, 5)");
    check_same("min(n, 9223372036854775807)", "n");
    check_same("max(n, 0)", "n");
    check_same("eq(n, n)", "1");
    check_same("eq(n, n + 1)", "0");
    check_same("eq(n, m)", "eq(m, n)");
    check_same("eq(2*n, 2*m)", "eq(n, m)");
    check_same("eq(2*n, 2*m + 1)", "0");
    check_same("eq(n, 0)", "0");
    check_same("lt(n, n + 1)", "1");
    check_same("lt(n, n)", "0");
    check_same("lt(0, n)", "1");
    check_same("lt(2*n, 7)", "lt(n, 4)");
    check_same("lt(2*n, 8)", "lt(n, 4)");
    check_same("lt(3*n, 9223372036854775807)", "lt(n, 3074457345618258603)");
    check_differ("lt(n, 4)", "lt(n, 5)");
    check_same("select(1, n, m)", "n");
    check_same("select(0, n, m)", "m");
    check_same("select(n, a, b)", "a");
    check_same("select(eq(n, m), a, a)", "a");
    check_same("select(eq(n, 3), 1, 0)", "eq(n, 3)");
}

static void test_ranges(void)
{
    (void)dyno_expr_symbol(pool, "small", 1, 8);
    check_range("small", 1, 8);
    check_range("3*small - 1", 2, 23);
    check_range("-small", -8, -1);
    check_range("small*small", 1, 64);
    check_range("(small + 1)//2", 1, 4);
    check_range("(small + 3)%4", 0, 3);
    check_range("n", 1, INT64_MAX);
    check_range("1 - n", INT64_MIN, 0);
    check_range("min(n, 5)", 1, 5);
    check_range("max(n, 5)", 5, INT64_MAX);
    check_range("select(eq(n, 2), 3, small)", 1, 8);
    check_range("100//n", 0, 100);
    check_range("lt(n, m)", 0, 1);
    int64_t min = 0;
    int64_t max = 0;
    dyno_expr_range(pool, DYNO_EXPR_NONE, &min, &max);
    CHECK(min == INT64_MIN && max == INT64_MAX);
}

static void test_text(void)
{
    check_print("12*batch*time", "12*batch*time");
    check_print("(width - 1)//2 + 1", "(width + 1)//2");
    check_print("1 - n", "-n + 1");
    check_print("n - m", "n - m");
    check_print("-3*n", "-3*n");
    check_print("(n//2)*m", "m*(n//2)");
    check_print("n//(m*k)", "n//(m*k)");
    check_print("n%(m + 1)", "n%(m + 1)");
    check_print("min(n, m*2)", "min(n, 2*m)");
    check_print("select(eq(n, 4), n, 2)", "select(eq(n - 4, 0), n, 2)");
    check_print("-9223372036854775808", "-9223372036854775808");
    check_print("'batch size' + 1", "'batch size' + 1");
    check_print("'it\\'s'*2", "2*'it\\'s'");
    check_print("min", "min");
    check_print("?", "?");
    dyno_expr e;
    static const char *const bad[] = {
        "", "n +", "(n", "n)", "1 2", "min(n", "'n", "min(n)", "9999999999999999999", "n $ 2", "@"};
    for (size_t i = 0; i < DYNO_COUNT(bad); i++) {
        struct dyno_err err = {0};
        CHECK_MSG(dyno_expr_parse(pool, bad[i], strlen(bad[i]), &e, &err) == DYNO_E_FORMAT, "%s",
                  bad[i]);
        CHECK(strstr(err.text, "expected at column") != NULL);
    }
    char deep[1001];
    memset(deep, '(', 1000);
    deep[1000] = 0;
    CHECK(dyno_expr_parse(pool, deep, 1000, &e, NULL) == DYNO_E_LIMIT);
}

static void test_symbols(void)
{
    const dyno_expr a = dyno_expr_symbol(pool, "sym", 2, 9);
    CHECK(dyno_expr_symbol(pool, "sym", 5, 6) == a);
    int64_t min = 0;
    int64_t max = 0;
    const size_t idx = (size_t)dyno_exprs_node(pool, a).value;
    CHECK_STR(dyno_exprs_symbol(pool, idx, &min, &max), "sym");
    CHECK(min == 2 && max == 9);
    (void)dyno_expr_symbol(pool, "?1", 1, 2);
    const dyno_expr x = dyno_expr_fresh(pool, 0, 5);
    const dyno_expr y = dyno_expr_fresh(pool, 0, 5);
    CHECK(x != y && x != parse("?1") && y != parse("?1"));
    int64_t value = 0;
    CHECK(!dyno_expr_is_const(pool, a, &value) &&
          !dyno_expr_is_const(pool, DYNO_EXPR_NONE, &value));
    CHECK(dyno_expr_is_const(pool, parse("2*3"), &value) && value == 6);
}

static void test_none_and_overflow(void)
{
    const dyno_expr n = parse("n");
    CHECK(dyno_expr_add(pool, n, DYNO_EXPR_NONE) == DYNO_EXPR_NONE);
    CHECK(dyno_expr_min(pool, DYNO_EXPR_NONE, n) == DYNO_EXPR_NONE);
    CHECK(parse("9223372036854775807 + 1") == DYNO_EXPR_NONE);
    CHECK(parse("n*9223372036854775807*2") == DYNO_EXPR_NONE);
    CHECK(parse("-9223372036854775808//-1") == DYNO_EXPR_NONE);
    CHECK(dyno_expr_const(pool, DYNO_EXPR_POISON) == DYNO_EXPR_NONE);
}

static void test_poison(void)
{
    struct dyno_exprs *own = dyno_exprs_create();
    const dyno_expr z = dyno_expr_symbol(own, "z", 0, 10);
    const dyno_expr n = dyno_expr_symbol(own, "n", 1, 10);
    const dyno_expr quotient = dyno_expr_floordiv(own, n, z);
    const dyno_expr more = dyno_expr_add(own, quotient, n);
    const dyno_expr is_zero = dyno_expr_eq(own, z, dyno_expr_const(own, 0));
    const dyno_expr guarded = dyno_expr_select(own, is_zero, n, quotient);
    const dyno_expr product = dyno_expr_mul(own, n, dyno_expr_mul(own, n, n));
    int64_t values[64];
    CHECK(dyno_exprs_count(own) <= 64);
    dyno_exprs_eval(own, (const int64_t[]){0, 6}, values);
    CHECK(!dyno_expr_value_ok(values[quotient]) && !dyno_expr_value_ok(values[more]));
    CHECK(values[guarded] == 6 && values[product] == 216);
    dyno_exprs_eval(own, (const int64_t[]){3, 6}, values);
    CHECK(values[quotient] == 2 && values[more] == 8 && values[guarded] == 2);
    dyno_exprs_eval(own, (const int64_t[]){1, INT64_MAX / 2}, values);
    CHECK(!dyno_expr_value_ok(values[product]));
    dyno_exprs_eval(own, (const int64_t[]){DYNO_EXPR_POISON, 6}, values);
    CHECK(!dyno_expr_value_ok(values[quotient]) && values[product] == 216);
    dyno_exprs_eval(own, (const int64_t[]){INT64_MIN, 6}, values);
    CHECK(!dyno_expr_value_ok(values[z]) && !dyno_expr_value_ok(values[quotient]));
    dyno_exprs_destroy(own);
}

/* Past the limits of polynomials the value stays right. */
static void test_limits(void)
{
    struct dyno_exprs *own = dyno_exprs_create();
    int64_t symbols[100];
    int64_t want_sum = 0;
    dyno_expr sum = dyno_expr_const(own, 0);
    dyno_expr product = dyno_expr_const(own, 1);
    for (int i = 0; i < 100; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "s%d", i);
        const dyno_expr symbol = dyno_expr_symbol(own, name, 1, 3);
        symbols[i] = 1 + i % 2;
        sum = dyno_expr_add(own, dyno_expr_mul(own, dyno_expr_const(own, i), symbol), sum);
        want_sum += i * symbols[i];
        if (i < 40)
            product = dyno_expr_mul(own, symbol, product);
    }
    const dyno_expr square = dyno_expr_mul(own, sum, sum);
    const dyno_expr minus = dyno_expr_sub(own, square, sum);
    int64_t *values = calloc(dyno_exprs_count(own), sizeof(*values));
    dyno_exprs_eval(own, symbols, values);
    CHECK(values[sum] == want_sum && values[product] == 1 << 20);
    CHECK(values[square] == want_sum * want_sum);
    CHECK(values[minus] == want_sum * want_sum - want_sum);
    CHECK(dyno_expr_mul(own, sum, sum) == square);
    free(values);
    dyno_exprs_destroy(own);
}

/* --- random programs: the canonical value equals the plain one --- */

static uint64_t seed = 1;

static uint32_t dice(uint32_t sides)
{
    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)(seed >> 33) % sides;
}

#define RANDOM_SYMBOLS 5
#define RANDOM_STEPS   24
#define RANDOM_ROUNDS  4

struct random_program {
    struct dyno_exprs *exprs;
    dyno_expr at[RANDOM_STEPS];
    int64_t plain[RANDOM_ROUNDS][RANDOM_STEPS];
};

static bool is_plain_ok(int64_t a, int64_t b, int64_t c)
{
    return dyno_expr_value_ok(a) && dyno_expr_value_ok(b) && dyno_expr_value_ok(c);
}

static int64_t plain_op(uint32_t op, int64_t a, int64_t b, int64_t c)
{
    const int64_t limit = INT64_C(1) << 40;
    int64_t value = 0;
    if (!is_plain_ok(a, b, c))
        return DYNO_EXPR_POISON;
    switch (op) {
    case 0:
        value = a + b;
        break;
    case 1:
        value = a - b;
        break;
    case 2:
        if (a > 100000 || a < -100000 || b > 100000 || b < -100000)
            return DYNO_EXPR_POISON;
        value = a * b;
        break;
    case 3:
    case 4:
        if (b == 0)
            return DYNO_EXPR_POISON;
        value = a / b - (a % b != 0 && (a % b < 0) != (b < 0));
        value = op == 3 ? value : a - b * value;
        break;
    case 5:
        value = a < b ? a : b;
        break;
    case 6:
        value = a > b ? a : b;
        break;
    case 7:
        value = a == b;
        break;
    case 8:
        value = a < b;
        break;
    case 9:
        value = a != 0 ? b : c;
        break;
    default: /* ceildiv */
        if (b == 0)
            return DYNO_EXPR_POISON;
        value = a / b + (a % b != 0 && (a % b < 0) == (b < 0));
        break;
    }
    return value > limit || value < -limit ? DYNO_EXPR_POISON : value;
}

static dyno_expr build_op(struct dyno_exprs *exprs, uint32_t op, dyno_expr a, dyno_expr b,
                          dyno_expr c)
{
    switch (op) {
    case 0:
        return dyno_expr_add(exprs, a, b);
    case 1:
        return dyno_expr_sub(exprs, a, b);
    case 2:
        return dyno_expr_mul(exprs, a, b);
    case 3:
        return dyno_expr_floordiv(exprs, a, b);
    case 4:
        return dyno_expr_mod(exprs, a, b);
    case 5:
        return dyno_expr_min(exprs, a, b);
    case 6:
        return dyno_expr_max(exprs, a, b);
    case 7:
        return dyno_expr_eq(exprs, a, b);
    case 8:
        return dyno_expr_lt(exprs, a, b);
    case 9:
        return dyno_expr_select(exprs, a, b, c);
    default:
        return dyno_expr_ceildiv(exprs, a, b);
    }
}

static void check_random_round(const struct random_program *program, int round,
                               const int64_t *symbols)
{
    int64_t *values = calloc(dyno_exprs_count(program->exprs), sizeof(*values));
    dyno_exprs_eval(program->exprs, symbols, values);
    for (int i = 0; i < RANDOM_STEPS; i++) {
        const dyno_expr e = program->at[i];
        const int64_t want = program->plain[round][i];
        if (e == DYNO_EXPR_NONE || !dyno_expr_value_ok(want))
            continue;
        struct dyno_strbuf text = {0};
        dyno_expr_print(program->exprs, e, &text);
        CHECK_MSG(values[e] == want, "%s: got %" PRId64 ", want %" PRId64, dyno_strbuf_text(&text),
                  values[e], want);
        int64_t min = 0;
        int64_t max = 0;
        dyno_expr_range(program->exprs, e, &min, &max);
        CHECK_MSG(min <= want && want <= max, "%s", dyno_strbuf_text(&text));
        dyno_expr back = DYNO_EXPR_NONE;
        if (text.bytes < 4000 && round == 0) {
            CHECK(dyno_expr_parse(program->exprs, text.text, text.bytes, &back, NULL) == DYNO_OK);
            CHECK_MSG(back == e, "%s", text.text);
        }
        dyno_strbuf_fini(&text);
    }
    free(values);
}

static void test_random(void)
{
    static const int64_t mins[RANDOM_SYMBOLS] = {1, 1, -6, 0, 4};
    static const int64_t maxs[RANDOM_SYMBOLS] = {9, 40, 6, 12, 7};
    for (int program_idx = 0; program_idx < 4000; program_idx++) {
        struct random_program program = {.exprs = dyno_exprs_create()};
        int64_t symbols[RANDOM_ROUNDS][RANDOM_SYMBOLS];
        for (int i = 0; i < RANDOM_STEPS; i++) {
            if (i < RANDOM_SYMBOLS) {
                const char name[2] = {(char)('a' + i), 0};
                program.at[i] = dyno_expr_symbol(program.exprs, name, mins[i], maxs[i]);
                for (int r = 0; r < RANDOM_ROUNDS; r++)
                    program.plain[r][i] = symbols[r][i] =
                        mins[i] + dice((uint32_t)(maxs[i] - mins[i] + 1));
            } else if (i < RANDOM_SYMBOLS + 4) {
                const int64_t value = (int64_t)dice(20) - 4;
                program.at[i] = dyno_expr_const(program.exprs, value);
                for (int r = 0; r < RANDOM_ROUNDS; r++)
                    program.plain[r][i] = value;
            } else {
                const uint32_t op = dice(11);
                const uint32_t a = dice((uint32_t)i);
                const uint32_t b = dice((uint32_t)i);
                const uint32_t c = dice((uint32_t)i);
                program.at[i] =
                    build_op(program.exprs, op, program.at[a], program.at[b], program.at[c]);
                for (int r = 0; r < RANDOM_ROUNDS; r++)
                    program.plain[r][i] =
                        plain_op(op, program.plain[r][a], program.plain[r][b], program.plain[r][c]);
            }
        }
        for (int r = 0; r < RANDOM_ROUNDS; r++)
            check_random_round(&program, r, symbols[r]);
        dyno_exprs_destroy(program.exprs);
    }
}

static void test_out_of_memory(void)
{
    for (uint64_t nth = 1; nth < 200; nth++) {
        bool lost = false;
        dyno_mem_fail_at(nth);
        struct dyno_exprs *own = dyno_exprs_create();
        for (int i = 0; own != NULL && i < 100; i++)
            lost |= dyno_expr_add(own, dyno_expr_fresh(own, 1, 9), dyno_expr_const(own, i)) ==
                    DYNO_EXPR_NONE;
        dyno_mem_fail_at(0);
        if (own != NULL) {
            CHECK(dyno_exprs_out_of_memory(own) == lost);
            const dyno_expr n = dyno_expr_symbol(own, "n", 1, 9);
            CHECK(n != DYNO_EXPR_NONE && dyno_expr_add(own, n, n) != DYNO_EXPR_NONE);
            CHECK((size_t)dyno_exprs_node(own, n).value < dyno_exprs_symbol_count(own));
        }
        dyno_exprs_destroy(own);
    }
}

int main(void)
{
    pool = dyno_exprs_create();
    REQUIRE(pool != NULL);
    test_sums_and_products();
    test_division();
    test_ceildiv();
    test_order();
    test_ranges();
    test_text();
    test_symbols();
    test_none_and_overflow();
    test_poison();
    test_limits();
    test_random();
    dyno_exprs_destroy(pool);
    test_out_of_memory();
    CHECK(dyno_mem_live_count() == 0);
    return TEST_RESULT();
}
