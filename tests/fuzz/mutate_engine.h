/* mutate_engine.h - changes to engine files that leave most of them an engine: values of known
 * fields, other kernels, other operators and attributes, records more or less.
 */
#ifndef DYNO_TESTS_FUZZ_MUTATE_ENGINE_H
#define DYNO_TESTS_FUZZ_MUTATE_ENGINE_H

#include <stddef.h>
#include <stdint.h>

/* Change data[bytes] in place, which has room for `max`; the new size.  Same seed, same change.
 * What is no engine is given back as it is. */
size_t mutate_engine(uint8_t *data, size_t bytes, size_t max, uint32_t seed);

#endif /* DYNO_TESTS_FUZZ_MUTATE_ENGINE_H */
