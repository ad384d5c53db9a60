/* share.h - what a batch took, divided among its requests; the parts add up exactly.
 *
 * Both rules are Shapley values of their cost function.  The fixed part goes to each request alike,
 * never to each tenant, so whoever splits an account, or sends one request through two, gains
 * nothing.  The parts depend on the requests and their keys, not on the order they are given in.
 * No allocation, no state; any thread, with shares of its own.
 */
#ifndef DYNO_METER_ACCOUNT_SHARE_H
#define DYNO_METER_ACCOUNT_SHARE_H

#include <stddef.h>

#include "base/wide.h"

#define DYNO_SHARES_MAX 65536U /* requests of one batch */

struct dyno_share {
    uint64_t key;   /* decides between equals, smaller first: unique in the batch, lasting */
    uint64_t size;  /* items, at most UINT32_MAX (dyno_split: a weight of any value) */
    dyno_u128 part; /* out: what it carries */
    uint64_t rest;  /* working space */
    uint32_t order; /* working space */
};

/* What a batch costs, after the engine's fit, in any unit: only the relation of the two counts. */
struct dyno_share_cost {
    uint64_t fixed;    /* a: a run, at most 2^56 */
    uint64_t per_item; /* b: at most 2^40; both 0: all requests are alike */
};

/* total in proportion to the sizes (all 0: equal parts), rounded down, and what is left one by one
 * to the largest remainders.  1 <= count <= DYNO_SHARES_MAX. */
void dyno_split(dyno_u128 total, struct dyno_share *shares, size_t count);

/* Cost C = a + b * sum(x): request i carries a/n + b * x_i, scaled to total_ns. */
void dyno_share_affine(uint64_t total_ns, struct dyno_share_cost cost, struct dyno_share *shares,
                       size_t count);

/* A padded batch, C = a + b * n * max(x): the part with b by the airport rule (Littlechild and
 * Owen, "A Simple Expression for the Shapley Value in a Special Case", 1973): each step from one
 * size to the next larger one is paid by those who need it, alike. */
void dyno_share_padded(uint64_t total_ns, struct dyno_share_cost cost, struct dyno_share *shares,
                       size_t count);

#endif /* DYNO_METER_ACCOUNT_SHARE_H */
