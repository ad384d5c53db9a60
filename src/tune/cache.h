/* cache.h - the timing cache: what was measured is not measured again, and the same cache gives the
 * same engine.
 *
 * A text file, one entry a line: 32 hex digits of key, microseconds, the kernel's name for a human.
 * The key covers the step (op, attributes, tail, shapes, layouts), the kernel with its packing
 * version and configuration, the processor, and the number of threads.  Whole graphs (tune/whole.h)
 * and what trials in them gave (tune/retime.h) have keys and names of their own.  Files may be
 * concatenated; the least time wins.  One thread at a time.
 */
#ifndef DYNO_TUNE_CACHE_H
#define DYNO_TUNE_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct dyno_tune_cache;

struct dyno_tune_key {
    uint64_t hi, lo;
};

struct dyno_tune_cache *dyno_tune_cache_create(void); /* NULL: out of memory */
void dyno_tune_cache_destroy(struct dyno_tune_cache *cache);

/* Add the entries of a file; a file that does not exist adds none.  E_FORMAT names the line. */
DYNO_NODISCARD enum dyno_status dyno_tune_cache_load(struct dyno_tune_cache *cache,
                                                     const char *path, struct dyno_err *err);
/* Write all entries, sorted by key, atomically. */
DYNO_NODISCARD enum dyno_status dyno_tune_cache_save(const struct dyno_tune_cache *cache,
                                                     const char *path, struct dyno_err *err);

bool dyno_tune_cache_find(const struct dyno_tune_cache *cache, struct dyno_tune_key key,
                          float *us_out);
/* False when out of memory.  `kernel` is static text. */
bool dyno_tune_cache_put(struct dyno_tune_cache *cache, struct dyno_tune_key key, float us,
                         const char *kernel);
uint32_t dyno_tune_cache_count(const struct dyno_tune_cache *cache);

#endif /* DYNO_TUNE_CACHE_H */
