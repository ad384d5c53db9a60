/* library.h - what the emulated driver gives to libraries that compute on its GPU, as NVIDIA's own
 * do on a real one: they find these functions in libcuda.so.1.
 */
#ifndef DYNO_TESTS_EMULATE_LIBRARY_H
#define DYNO_TESTS_EMULATE_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>

#define EMULATE_EXPORT __attribute__((visibility("default")))

/* When its turn comes on the stream; the result is that of the GPU: 0, or what it is broken by. */
typedef int emulate_call_fn(const void *data);

/* `call` on a copy of data[bytes], in its turn on the stream or in each launch of the graph that is
 * captured there.  It counts as one launch of so many threads.  The driver's result. */
EMULATE_EXPORT int emulate_library_call(void *stream, emulate_call_fn *call, const void *data,
                                        size_t bytes, unsigned threads);
EMULATE_EXPORT bool emulate_library_is_capturing(void *stream);
/* Inside of a call: is all of at[bytes] memory of the GPU? */
EMULATE_EXPORT bool emulate_library_memory(const void *at, size_t bytes);
/* Of the GPU; fails where the thread has no context. */
EMULATE_EXPORT int emulate_library_device(int *compute, int *sm_count);

#endif /* DYNO_TESTS_EMULATE_LIBRARY_H */
