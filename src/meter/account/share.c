/* share.c - weights of requests, and largest remainders. */
#include "meter/account/share.h"

#include "base/err.h"

/* --- sorting, without moving the shares --- */

/* Does share a come before b?  0: by remainder, large first; 1: by size, small first. */
static bool precedes(const struct dyno_share *shares, int by_size, uint32_t a, uint32_t b)
{
    const struct dyno_share *x = &shares[a];
    const struct dyno_share *y = &shares[b];
    if (by_size && x->size != y->size)
        return x->size < y->size;
    if (!by_size && x->rest != y->rest)
        return x->rest > y->rest;
    if (x->key != y->key)
        return x->key < y->key;
    return a < b;
}

/* Heapsort (Williams 1964): the last in order sinks to the root, then goes to the end. */
static void sink(struct dyno_share *shares, int by_size, size_t at, size_t count)
{
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= count)
            return;
        if (child + 1 < count &&
            precedes(shares, by_size, shares[child].order, shares[child + 1].order))
            child++;
        if (!precedes(shares, by_size, shares[at].order, shares[child].order))
            return;
        const uint32_t moved = shares[at].order;
        shares[at].order = shares[child].order;
        shares[child].order = moved;
        at = child;
    }
}

/* shares[k].order: which share is the k-th. */
static void sort(struct dyno_share *shares, int by_size, size_t count)
{
    for (size_t i = 0; i < count; i++)
        shares[i].order = (uint32_t)i;
    for (size_t i = count / 2; i-- > 0;)
        sink(shares, by_size, i, count);
    for (size_t end = count; end-- > 1;) {
        const uint32_t last = shares[0].order;
        shares[0].order = shares[end].order;
        shares[end].order = last;
        sink(shares, by_size, 0, end);
    }
}

/* --- parts in proportion to weights --- */

/* part holds the weight of each; `sum` is that of all, above 0. */
static void divide(dyno_u128 total, dyno_u128 sum, struct dyno_share *shares, size_t count)
{
    /* Weights of 64 bits: no product below is larger than 128 bits. */
    int shift = 0;
    while ((sum >> shift) > UINT64_MAX)
        shift++;
    uint64_t weights = 0;
    for (size_t i = 0; i < count; i++)
        weights += (uint64_t)(shares[i].part >> shift);
    dyno_u128 left = total;
    for (size_t i = 0; i < count; i++) {
        const uint64_t weight = (uint64_t)(shares[i].part >> shift);
        const dyno_u128 product = total % weights * weight;
        shares[i].part = total / weights * weight + product / weights;
        shares[i].rest = (uint64_t)(product % weights);
        left -= shares[i].part;
    }
    if (left == 0)
        return;
    DYNO_ASSERT(left < count);
    sort(shares, 0, count);
    for (size_t k = 0; k < (size_t)left; k++)
        shares[shares[k].order].part++;
}

static void check_count(size_t count)
{
    DYNO_ASSERT(count >= 1 && count <= DYNO_SHARES_MAX);
}

static void check_cost(struct dyno_share_cost cost)
{
    DYNO_ASSERT(cost.fixed <= (uint64_t)1 << 56 && cost.per_item <= (uint64_t)1 << 40);
}

static void divide_alike(dyno_u128 total, struct dyno_share *shares, size_t count)
{
    for (size_t i = 0; i < count; i++)
        shares[i].part = 1;
    divide(total, count, shares, count);
}

void dyno_split(dyno_u128 total, struct dyno_share *shares, size_t count)
{
    dyno_u128 sum = 0;
    check_count(count);
    for (size_t i = 0; i < count; i++) {
        shares[i].part = shares[i].size;
        sum += shares[i].size;
    }
    if (sum == 0)
        divide_alike(total, shares, count);
    else
        divide(total, sum, shares, count);
}

/* --- the two rules --- */

void dyno_share_affine(uint64_t total_ns, struct dyno_share_cost cost, struct dyno_share *shares,
                       size_t count)
{
    dyno_u128 sum = 0;
    check_count(count);
    check_cost(cost);
    for (size_t i = 0; i < count; i++) { /* n times a/n + b * x: below 2^89 */
        DYNO_ASSERT(shares[i].size <= UINT32_MAX);
        shares[i].part = (dyno_u128)cost.per_item * shares[i].size * count + cost.fixed;
        sum += shares[i].part;
    }
    if (sum == 0)
        divide_alike(total_ns, shares, count);
    else
        divide(total_ns, sum, shares, count);
}

/* A step is divided by the number of those who pay it and rounded down: as far behind the point as
 * the largest sum of all weights leaves room for. */
static int fraction_bits(struct dyno_share_cost cost, uint64_t size_max, size_t count)
{
    const dyno_u128 sum_max =
        (dyno_u128)cost.fixed * count + (dyno_u128)cost.per_item * size_max * count * count;
    int bits = 0; /* the sum is below 2^105 */
    while (bits < 64 && (sum_max >> (126 - bits)) == 0)
        bits++;
    return bits;
}

void dyno_share_padded(uint64_t total_ns, struct dyno_share_cost cost, struct dyno_share *shares,
                       size_t count)
{
    dyno_u128 sum = 0;
    dyno_u128 paid = 0; /* by each who is not smaller than what was looked at */
    uint64_t before = 0;
    check_count(count);
    check_cost(cost);
    sort(shares, 1, count);
    const uint64_t size_max = shares[shares[count - 1].order].size;
    DYNO_ASSERT(size_max <= UINT32_MAX);
    const int bits = fraction_bits(cost, size_max, count);
    for (size_t k = 0; k < count; k++) {
        struct dyno_share *share = &shares[shares[k].order];
        /* n times a/n, and n times b times n times the step. */
        const dyno_u128 step = (dyno_u128)cost.per_item * (share->size - before) * count * count;
        paid += (step << bits) / (count - k);
        before = share->size;
        share->part = ((dyno_u128)cost.fixed << bits) + paid;
        sum += share->part;
    }
    if (sum == 0)
        divide_alike(total_ns, shares, count);
    else
        divide(total_ns, sum, shares, count);
}
