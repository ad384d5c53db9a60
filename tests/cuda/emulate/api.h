/* api.h - the interface of the emulated driver: every row of driver.def, and what its files
 * (driver.c, memory.c, stream.c, graph.c) know of each other.
 */
#ifndef DYNO_TESTS_EMULATE_API_H
#define DYNO_TESTS_EMULATE_API_H

#include "backend/cuda/driver.h"
#include "emulate.h"
#include "library.h"

/* NOLINTBEGIN(readability-identifier-naming, bugprone-macro-parentheses): as NVIDIA names them */
#define DYNO_CU(name, symbol, params) \
    __attribute__((visibility("default"))) CU_RESULT symbol params;
#include "backend/cuda/driver.def"
#undef DYNO_CU
/* NOLINTEND(readability-identifier-naming, bugprone-macro-parentheses) */

/* Every call that touches the GPU lies between these.  What begin gives is what the call gives,
 * unless it is EMULATE_OK. */
int emulate_begin(void);
int emulate_end(int code);

/* A number of the environment. */
uint64_t emulate_setting(const char *name, uint64_t otherwise);
uint64_t emulate_memory_max(void);

/* What the next launch takes by the GPU's clock, and what a library does with so many results:
 * alone each follows its like, in a network another one, which costs what a test says. */
uint64_t emulate_launch_ns(const struct emulate_launch *what);
uint64_t emulate_call_ns(uint64_t results);

/* What went wrong with a launch; nothing works after that.  Inside of a call. */
extern int emulate_broken;

/* All of bytes[n] is memory of the GPU.  Was this memory of the host given by the driver? */
bool emulate_is_device(const void *bytes, size_t n);
bool emulate_is_pinned(const void *host);

/* A copy of the launch and its parameters, in its turn.  All that is waiting, now. */
int emulate_stream_launch(void *stream, const struct emulate_launch *what, size_t params_bytes);
int emulate_stream_flush_all(void);

/* After a wait: pools keep nothing that nobody uses, as they are made. */
void emulate_pools_trim(void);

#endif /* DYNO_TESTS_EMULATE_API_H */
