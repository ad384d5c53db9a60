/* test_share.c - shares of batches: published examples, and properties over random batches. */
#include "meter/account/share.h"

#include "base/err.h"
#include "random.h"
#include "test.h"

#define COUNT_MAX 300

static struct dyno_share shares[COUNT_MAX];

static void set(const uint64_t *sizes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        shares[i] = (struct dyno_share){.key = 100 + i, .size = sizes[i]};
}

static dyno_u128 sum_of(size_t count)
{
    dyno_u128 sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += shares[i].part;
    return sum;
}

static void check_parts(const uint64_t *want, size_t count)
{
    for (size_t i = 0; i < count; i++)
        CHECK_MSG(shares[i].part == want[i], "share %zu: got %llu, want %llu", i,
                  (unsigned long long)shares[i].part, (unsigned long long)want[i]);
}

/* x = 1, 4, 7, 12; a = 20, b = 3: the Shapley values, by enumeration of all orders. */
static void test_examples(void)
{
    static const uint64_t sizes[] = {1, 4, 7, 12};
    static const uint64_t affine[] = {8, 17, 26, 41};
    static const uint64_t padded[] = {25, 125, 275, 775}; /* 0.25, 1.25, 2.75, 7.75 of 12 */
    set(sizes, 4);
    dyno_share_affine(92, (struct dyno_share_cost){20, 3}, shares, 4);
    check_parts(affine, 4);
    dyno_share_affine(92000, (struct dyno_share_cost){20, 3}, shares, 4);
    CHECK(shares[0].part == 8000 && shares[3].part == 41000);
    set(sizes, 4);
    dyno_share_padded(1200, (struct dyno_share_cost){0, 1}, shares, 4);
    check_parts(padded, 4);
    static const uint64_t alike[] = {4, 3, 3};
    set(sizes, 3);
    dyno_share_affine(10, (struct dyno_share_cost){0, 0}, shares, 3);
    check_parts(alike, 3);
    dyno_share_affine(10, (struct dyno_share_cost){7, 0}, shares, 3);
    check_parts(alike, 3);
}

/* All sizes are 0 where nothing was counted: nobody is favoured. */
static void test_nothing(void)
{
    static const uint64_t sizes[] = {0, 0};
    set(sizes, 2);
    dyno_split(5, shares, 2);
    CHECK(shares[0].part == 3 && shares[1].part == 2);
    dyno_share_padded(4, (struct dyno_share_cost){0, 5}, shares, 2);
    CHECK(shares[0].part == 2 && shares[1].part == 2);
    dyno_split(0, shares, 2);
    CHECK(sum_of(2) == 0);
    static const uint64_t one[] = {UINT32_MAX};
    set(one, 1);
    dyno_share_affine(UINT64_MAX, (struct dyno_share_cost){(uint64_t)1 << 56, (uint64_t)1 << 40},
                      shares, 1);
    CHECK(shares[0].part == UINT64_MAX);
}

/* The largest of everything: nothing may overflow. */
static void test_extremes(void)
{
    static struct dyno_share many[DYNO_SHARES_MAX];
    for (int padded = 0; padded < 2; padded++) {
        dyno_u128 sum = 0;
        for (size_t i = 0; i < DYNO_SHARES_MAX; i++)
            many[i] = (struct dyno_share){.key = i, .size = UINT32_MAX - (i & 1)};
        const struct dyno_share_cost cost = {(uint64_t)1 << 56, (uint64_t)1 << 40};
        if (padded)
            dyno_share_padded(UINT64_MAX, cost, many, DYNO_SHARES_MAX);
        else
            dyno_share_affine(UINT64_MAX, cost, many, DYNO_SHARES_MAX);
        for (size_t i = 0; i < DYNO_SHARES_MAX; i++)
            sum += many[i].part;
        CHECK(sum == UINT64_MAX);
        CHECK(many[0].part >= many[1].part);
    }
}

typedef void share_fn(uint64_t total_ns, struct dyno_share_cost cost, struct dyno_share *shares,
                      size_t count);

static void check_random(share_fn *fn)
{
    const size_t count = 1 + random_below(COUNT_MAX);
    const uint64_t total_ns = random_bits(60);
    const struct dyno_share_cost cost = {random_bits(56), random_bits(40)};
    static struct dyno_share kept[COUNT_MAX];
    const bool few_sizes = random_below(2) == 0;
    for (size_t i = 0; i < count; i++)
        shares[i] = (struct dyno_share){.key = random_u64(),
                                        .size = few_sizes ? random_below(3) : random_bits(32)};
    fn(total_ns, cost, shares, count);
    CHECK(sum_of(count) == total_ns);
    for (size_t i = 1; i < count; i++) { /* who is larger pays no less; equals pay alike, to 1 ns */
        const struct dyno_share *a = &shares[i - 1];
        const struct dyno_share *b = &shares[i];
        const dyno_u128 less = a->size < b->size ? a->part : b->part;
        const dyno_u128 more = a->size < b->size ? b->part : a->part;
        CHECK(a->size == b->size ? less + 1 >= more && more + 1 >= less : less <= more + 1);
    }
    memcpy(kept, shares, sizeof(kept));
    for (size_t i = count; i-- > 1;) { /* in another order each still has its part */
        const size_t other = random_below(i + 1);
        struct dyno_share moved = kept[i];
        kept[i] = kept[other];
        kept[other] = moved;
        moved = shares[i];
        shares[i] = shares[other];
        shares[other] = moved;
    }
    fn(total_ns, cost, shares, count);
    for (size_t i = 0; i < count; i++)
        CHECK(shares[i].part == kept[i].part && shares[i].key == kept[i].key);
}

/* One request sent as two pays the fixed part twice; what the others pay never grows.  And an
 * account that is split in two pays for its requests what it paid before, whoever owns them. */
static void check_splitting(void)
{
    const size_t count = 1 + random_below(20);
    const struct dyno_share_cost cost = {random_bits(40), random_bits(20)};
    uint64_t items = 0;
    uint64_t sizes[21];
    for (size_t i = 0; i < count; i++) {
        sizes[i] = 2 * (1 + random_below(100));
        items += sizes[i];
    }
    set(sizes, count);
    const uint64_t total_ns = cost.fixed + cost.per_item * items;
    dyno_share_affine(total_ns, cost, shares, count);
    const dyno_u128 whole = shares[0].part;
    sizes[count] = sizes[0] /= 2;
    set(sizes, count + 1);
    dyno_share_affine(total_ns, cost, shares, count + 1); /* the batch took no less time */
    CHECK(shares[0].part + shares[count].part + 1 >= whole);
}

/* Against the rule in long double, for batches where that is exact enough. */
static void check_close(void)
{
    const size_t count = 1 + random_below(30);
    const struct dyno_share_cost cost = {random_bits(30), 1 + random_bits(12)};
    long double weights[30];
    long double sum = 0;
    const uint64_t total_ns = random_bits(40);
    for (size_t i = 0; i < count; i++)
        shares[i] = (struct dyno_share){.key = i, .size = random_bits(10)};
    dyno_share_padded(total_ns, cost, shares, count);
    for (size_t i = 0; i < count; i++) {
        long double phi = 0;
        for (uint64_t level = 1; level <= shares[i].size; level++) {
            int payers = 0;
            for (size_t j = 0; j < count; j++)
                payers += shares[j].size >= level;
            phi += 1.0L / payers;
        }
        weights[i] = (long double)cost.fixed / count + (long double)cost.per_item * count * phi;
        sum += weights[i];
    }
    for (size_t i = 0; i < count && sum > 0; i++) {
        const long double want = (long double)total_ns * weights[i] / sum;
        const long double got = (long double)shares[i].part;
        CHECK_MSG(got < want + 1.01L && want < got + 1.01L, "got %Lf, want %Lf", got, want);
    }
}

static void check_split(void)
{
    const size_t count = 1 + random_below(COUNT_MAX);
    const dyno_u128 total = ((dyno_u128)random_bits(62) << 64) | random_u64();
    for (size_t i = 0; i < count; i++)
        shares[i] = (struct dyno_share){.key = i, .size = random_bits(64)};
    dyno_split(total, shares, count);
    CHECK(sum_of(count) == total);
}

int main(void)
{
    test_examples();
    test_nothing();
    test_extremes();
    for (int i = 0; i < 2000; i++) {
        check_random(dyno_share_affine);
        check_random(dyno_share_padded);
        check_splitting();
        check_split();
    }
    for (int i = 0; i < 200; i++)
        check_close();
    return TEST_RESULT();
}
