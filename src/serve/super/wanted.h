/* wanted.h - the names of the models that a worker is to have, where they outlive it.
 *
 * Lies in memory that the supervisor and every worker map; one thread of the worker that lives
 * writes.  He may die between any two instructions: a name goes into a free slot first and counts
 * with the one byte that is stored after it.  What a reader finds damaged he skips.
 */
#ifndef DYNO_SERVE_SUPER_WANTED_H
#define DYNO_SERVE_SUPER_WANTED_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"

#define DYNO_WANTED_MAX            10000
#define DYNO_WANTED_NAME_BYTES_MAX 128

struct dyno_wanted_slot {
    atomic_uchar is_used;
    char name[DYNO_WANTED_NAME_BYTES_MAX + 1];
};

/* Zeroed is empty. */
struct dyno_wanted {
    atomic_uint used_count; /* slots from here on were never used: nobody touches their pages */
    struct dyno_wanted_slot slots[DYNO_WANTED_MAX];
};

/* From now on `name` is wanted, or is not.  False: it is too long, or there is no slot left. */
bool dyno_wanted_set(struct dyno_wanted *wanted, const char *name, bool is_wanted);

/* The names, copied into `arena`. */
enum dyno_status dyno_wanted_list(const struct dyno_wanted *wanted, struct dyno_arena *arena,
                                  const char *const **names_out, size_t *count_out,
                                  struct dyno_err *err);

#endif /* DYNO_SERVE_SUPER_WANTED_H */
