/* wanted.h - the orders that a worker is to start with, where they outlive it.
 *
 * Lies in memory that the supervisor and every worker map; one thread at a time of the worker that
 * lives writes.  He may die between any two instructions: an order goes into a free slot first and
 * counts with the one byte that is stored after it.  What a reader finds damaged he skips.
 *
 * What is kept is not a log: an order replaces those that it covers (the same model, version and
 * variant, or parts of them), and to unload is kept only where an order to load a whole stays that
 * it takes something from.
 */
#ifndef DYNO_SERVE_SUPER_WANTED_H
#define DYNO_SERVE_SUPER_WANTED_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"

#define DYNO_WANTED_MAX            10000
#define DYNO_WANTED_NAME_BYTES_MAX 128

struct dyno_wanted_order {
    const char *model, *variant; /* variant "": all */
    unsigned long long version;  /* 0: all */
    bool is_load;
};

struct dyno_wanted_slot {
    atomic_uchar use; /* 0: none; 1: it is to be loaded; 2: it is not */
    unsigned number;  /* orders are told by it */
    unsigned long long version;
    char model[DYNO_WANTED_NAME_BYTES_MAX + 1], variant[DYNO_WANTED_NAME_BYTES_MAX + 1];
};

/* Zeroed is empty. */
struct dyno_wanted {
    atomic_uint used_count; /* slots from here on were never used: nobody touches their pages */
    struct dyno_wanted_slot slots[DYNO_WANTED_MAX];
};

/* The order was carried out.  False: a name is too long, or there is no slot left. */
bool dyno_wanted_set(struct dyno_wanted *wanted, const struct dyno_wanted_order *order);

/* What is to be done again, in this order, copied into `arena`. */
enum dyno_status dyno_wanted_list(const struct dyno_wanted *wanted, struct dyno_arena *arena,
                                  struct dyno_wanted_order **orders_out, size_t *count_out,
                                  struct dyno_err *err);

#endif /* DYNO_SERVE_SUPER_WANTED_H */
