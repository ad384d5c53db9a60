/* dyno/engine.h - load a tuned engine and run it.
 *
 * Ownership: *_create/_open give the caller one object, to be released once by _destroy/_close.
 *            Pointers passed in are borrowed for the call unless a comment says longer.
 * Threads:   an engine is immutable and shared by any number of threads and contexts; a context
 *            belongs to one thread at a time; a pool may be shared by all contexts of a process.
 * Data:      tensors are dense, row-major, little-endian, in the host's memory, of the types and
 *            shapes that dyno_engine_input/_output describe.
 */
#ifndef DYNO_ENGINE_H
#define DYNO_ENGINE_H

#include <stddef.h>
#include <stdint.h>

#include "dyno/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define DYNO_API_RANK_MAX 8

struct dyno_pool;
struct dyno_engine;
struct dyno_context;
struct dyno_run; /* one submitted inference */

/* --- the thread pool --- */

/* thread_count 0: one a CPU this process may use.  bind: pin the worker threads to CPUs.
 * What is submitted to the contexts of a pool is executed on a thread of the pool, one run after
 * the other, in the order it came. */
DYNO_NODISCARD DYNO_API enum dyno_status dyno_threads_create(int thread_count, int bind,
                                                             struct dyno_pool **pool_out,
                                                             struct dyno_err *err);
DYNO_API void dyno_threads_destroy(struct dyno_pool *pool); /* accepts NULL */

/* --- engines --- */

/* Map and check the engine file at `path`: every offset, count and CRC.  Nothing is copied that can
 * be used in place.
 * Fails with E_NOT_FOUND (there is no such file), E_IO, E_FORMAT, E_CORRUPT, E_TARGET (this machine
 * lacks what the engine needs), E_UNSUPPORTED (a kernel the file names is not in this build),
 * E_LIMIT, E_NOMEM. */
DYNO_NODISCARD DYNO_API enum dyno_status dyno_engine_open(const char *path,
                                                          struct dyno_engine **engine_out,
                                                          struct dyno_err *err);
/* The same, on a device of this machine that is named: "cpu", "cuda" (the first GPU) or "cuda:N".
 * NULL: as dyno_engine_open, which takes the first GPU for an engine that wants one.
 * E_TARGET: there is no such GPU, or the engine was built for the other kind of device; E_ARG: no
 * device is called that. */
DYNO_NODISCARD DYNO_API enum dyno_status dyno_engine_open_on(const char *path, const char *device,
                                                             struct dyno_engine **engine_out,
                                                             struct dyno_err *err);
/* The same without opening a GPU: an engine for one tells what it is, and makes no contexts
 * (E_TARGET). */
DYNO_NODISCARD DYNO_API enum dyno_status dyno_engine_inspect(const char *path,
                                                             struct dyno_engine **engine_out,
                                                             struct dyno_err *err);
/* After every context of it is destroyed.  Accepts NULL. */
DYNO_API void dyno_engine_close(struct dyno_engine *engine);

/* A sentence about how this machine differs from the one the engine was tuned on; "" when not.
 * Lives as long as the engine. */
DYNO_API const char *dyno_engine_warning(const struct dyno_engine *engine);

/* SHA-256 of the file: the engine's identity.  Reads the whole file. */
DYNO_NODISCARD DYNO_API enum dyno_status dyno_engine_identity(const struct dyno_engine *engine,
                                                              uint8_t sha256_out[32],
                                                              struct dyno_err *err);

/* What of this machine decides how an engine is built: instruction sets, processor, caches.  The
 * same text on two machines means that an engine of one is as good on the other.  Cut to `bytes`,
 * which 256 suffice for.  Any thread. */
DYNO_API void dyno_machine_text(char *text_out, size_t bytes);

/* What a GPU is. */
struct dyno_device_info {
    char name[128]; /* as its driver has it */
    int compute;    /* capability, 90 for 9.0 */
    uint64_t memory_bytes;
};
/* device: "cuda" or "cuda:N".  Opens it for the call.  E_TARGET: there is none; E_ARG. */
DYNO_NODISCARD DYNO_API enum dyno_status dyno_device_describe(const char *device,
                                                              struct dyno_device_info *info_out,
                                                              struct dyno_err *err);

/* What a caller must know of one input or output.  dtype is ONNX's TensorProto.DataType number.
 * An open dimension has min < max; for outputs opt/min/max are those of the profile's shapes, and
 * rank is -1 (and dims unknown) when it depends on data. */
struct dyno_io_info {
    const char *name; /* lives as long as the engine */
    int dtype;
    int rank;
    int64_t min[DYNO_API_RANK_MAX];
    int64_t opt[DYNO_API_RANK_MAX];
    int64_t max[DYNO_API_RANK_MAX];
};
DYNO_API uint32_t dyno_engine_input_count(const struct dyno_engine *engine);
DYNO_API uint32_t dyno_engine_output_count(const struct dyno_engine *engine);
DYNO_API void dyno_engine_input(const struct dyno_engine *engine, uint32_t idx,
                                struct dyno_io_info *info_out);
DYNO_API void dyno_engine_output(const struct dyno_engine *engine, uint32_t idx,
                                 struct dyno_io_info *info_out);

/* Bytes of the mapped file, number of steps a run launches. */
DYNO_API uint64_t dyno_engine_file_bytes(const struct dyno_engine *engine);
/* Memory that the engine and all its contexts hold now, beside the file: every byte they have
 * allocated.  Any thread. */
DYNO_API uint64_t dyno_engine_memory_bytes(const struct dyno_engine *engine);
/* The same of the GPU's memory: weights, programs, arenas of contexts, and what their graphs are
 * estimated to take; 0 on the CPU.  Any thread. */
DYNO_API uint64_t dyno_engine_gpu_bytes(const struct dyno_engine *engine);
/* What the card of an engine for a GPU tells of itself now: all of the card, whoever uses it.  NAN:
 * it does not tell that. */
struct dyno_device_facts {
    double energy_j; /* since some moment: differences are the energy between two readings */
    double power_w, power_limit_w;
    double busy; /* share of the last moments in which a kernel ran, 0 to 1 */
    double memory_used_bytes, memory_bytes;
    double core_mhz, memory_mhz;
    double temperature_c;
    char uuid[96];   /* "GPU-..."; "": it does not tell */
    char driver[80]; /* its version, "580.159.04"; "" */
};
/* The same of a device, "cuda" or "cuda:N", which is not opened for it.  E_UNSUPPORTED: nothing
 * here tells; E_TARGET, E_IO: there is none; E_ARG.  Any thread. */
DYNO_NODISCARD DYNO_API enum dyno_status dyno_device_look(const char *device,
                                                          struct dyno_device_facts *facts_out,
                                                          struct dyno_err *err);
/* E_UNSUPPORTED, with a sentence: an engine of the CPU, or nothing here tells (no
 * libnvidia-ml.so.1, a MIG slice).  Any thread. */
DYNO_NODISCARD DYNO_API enum dyno_status dyno_engine_device_facts(
    const struct dyno_engine *engine, struct dyno_device_facts *facts_out, struct dyno_err *err);
/* Memory that runs read inputs from and write outputs to the fastest: page-locked where the engine
 * is for a GPU, ordinary else.  Counted in dyno_engine_memory_bytes; freed (NULL is accepted)
 * before the engine is closed.  Any thread. */
DYNO_NODISCARD DYNO_API enum dyno_status dyno_engine_alloc(struct dyno_engine *engine, size_t bytes,
                                                           void **memory_out, struct dyno_err *err);
DYNO_API void dyno_engine_free(struct dyno_engine *engine, void *memory);
/* The same of memory that the caller has: a mapping, whole pages.  Until dyno_engine_unlock, which
 * comes before it is unmapped and before the engine is closed.  On the CPU nothing happens.  E_IO:
 * it cannot be locked, and is as it was.  Any thread. */
DYNO_NODISCARD DYNO_API enum dyno_status dyno_engine_lock(struct dyno_engine *engine, void *memory,
                                                          size_t bytes, struct dyno_err *err);
DYNO_API void dyno_engine_unlock(struct dyno_engine *engine, void *memory);
/* The GPU that the engine was built for, as its driver names it; "" for an engine of the CPU. */
DYNO_API const char *dyno_engine_device_name(const struct dyno_engine *engine);
DYNO_API uint32_t dyno_engine_step_count(const struct dyno_engine *engine);

/* --- contexts --- */

/* A context costs its arena (activations and workspace of the shapes bound to it).  `engine` and
 * `pool` must outlive it; pool NULL: everything on the submitting thread. */
DYNO_NODISCARD DYNO_API enum dyno_status dyno_context_create(struct dyno_engine *engine,
                                                             struct dyno_pool *pool,
                                                             struct dyno_context **context_out,
                                                             struct dyno_err *err);
/* Waits for what is in flight.  Accepts NULL. */
DYNO_API void dyno_context_destroy(struct dyno_context *context);

enum dyno_location {
    DYNO_IN_HOST,  /* this process's own */
    DYNO_IN_DEVICE /* of the GPU that the engine runs on */
};

/* An array of the caller's.  For an input all fields are read.  For an output: data NULL means
 * "memory of the context" and dtype, rank, dims, data and bytes are filled when the run completes
 * (valid until the next submit or destroy); data set means "write here", and bytes is its room.
 *
 * Memory of the GPU is any that the process has there (cuMemAlloc, cudaMalloc, a framework's
 * tensor), by its address; of an output it is always the caller's.  What fills an input must have
 * ended when the run is begun, and outputs are there when it has completed; no stream of the
 * caller's is waited for.  E_UNSUPPORTED: a step that runs on the CPU touches that input or output
 * (dyno inspect shows them), or the output's shape is known only when it is made. */
struct dyno_array {
    void *data;
    size_t bytes;
    int dtype;
    int rank;
    int64_t dims[DYNO_API_RANK_MAX];
    enum dyno_location location; /* where data lies */
};

/* Shapes of outputs for given input shapes, without running: fills dtype, rank, dims and bytes of
 * outputs[], leaves data.  rank -1 where it depends on data. */
DYNO_NODISCARD DYNO_API enum dyno_status dyno_context_bind(struct dyno_context *context,
                                                           const struct dyno_array *inputs,
                                                           struct dyno_array *outputs,
                                                           struct dyno_err *err);

/* Run and wait.  inputs[] and outputs[] have dyno_engine_*_count items in the engine's order.
 * Fails with E_ARG when a type or shape is outside the profile; the sentence names the input, the
 * dimension and the bounds. */
DYNO_NODISCARD DYNO_API enum dyno_status dyno_context_run(struct dyno_context *context,
                                                          const struct dyno_array *inputs,
                                                          struct dyno_array *outputs,
                                                          struct dyno_err *err);

/* --- runs that take turns --- */

/* Contexts of one GPU, whatever their engines, whose runs take turns: the kernels of one begin when
 * those of the one before it have ended, so each has the GPU to itself and its events tell what it
 * took.  Copies of inputs and outputs overlap with the kernels of others. */
struct dyno_turns;
/* device: "cuda" or "cuda:N". */
DYNO_NODISCARD DYNO_API enum dyno_status dyno_turns_create(const char *device,
                                                           struct dyno_turns **turns_out,
                                                           struct dyno_err *err);
DYNO_API void dyno_turns_destroy(struct dyno_turns *turns); /* nothing runs; accepts NULL */

/* The next number.  Turns are taken in the order of numbers: each must be used by a run, or passed,
 * or all after it wait.  Any thread. */
DYNO_API uint64_t dyno_turns_next(struct dyno_turns *turns);
/* Do nothing with it, when its turn has come. */
DYNO_API void dyno_turns_pass(struct dyno_turns *turns, uint64_t number);
/* As dyno_context_run; uses the number whatever becomes of it. */
DYNO_NODISCARD DYNO_API enum dyno_status dyno_context_run_in_turn(
    struct dyno_context *context, struct dyno_turns *turns, uint64_t number,
    const struct dyno_array *inputs, struct dyno_array *outputs, struct dyno_err *err);

/* --- submitted runs --- */

/* When a run began and ended, CLOCK_MONOTONIC nanoseconds, on the device's own timeline. */
struct dyno_run_times {
    uint64_t submit_ns;
    uint64_t start_ns;
    uint64_t end_ns;
};

/* Called once on the thread that ran it (or cancelled it); may submit again to another context. */
typedef void dyno_run_done_fn(void *arg, enum dyno_status status,
                              const struct dyno_run_times *times, const struct dyno_err *err);

/* Queue a run; returns at once.  The arrays in inputs[]/outputs[] are copied, their data and the
 * outputs[] array itself must live until completion.  A context has at most one run in flight:
 * a second submit fails with E_ARG.  `done` may be NULL (then use poll or wait). */
DYNO_NODISCARD DYNO_API enum dyno_status dyno_context_submit(struct dyno_context *context,
                                                             const struct dyno_array *inputs,
                                                             struct dyno_array *outputs,
                                                             dyno_run_done_fn *done, void *done_arg,
                                                             struct dyno_err *err);

/* 1 when nothing is in flight, 0 while a run is queued or running. */
DYNO_API int dyno_context_poll(struct dyno_context *context);

/* Wait for the run in flight; its status, times (may be NULL) and error text.  A run that has not
 * started is executed on the calling thread.  A callback may still be running on another thread
 * when this returns. */
DYNO_NODISCARD DYNO_API enum dyno_status dyno_context_wait(struct dyno_context *context,
                                                           struct dyno_run_times *times_out,
                                                           struct dyno_err *err);

/* Cancel a run that has not started: it completes with E_CANCELLED and 1 is returned; 0 when it had
 * started or nothing is in flight. */
DYNO_API int dyno_context_cancel(struct dyno_context *context);

/* Time of each step in the last run, microseconds, into us_out[dyno_engine_step_count]; only after
 * dyno_context_profile(context, 1).  Names of the steps and their kernels: dyno_engine_step. */
DYNO_API void dyno_context_profile(struct dyno_context *context, int on);
DYNO_API void dyno_context_step_times(const struct dyno_context *context, float *us_out);
struct dyno_step_info {
    const char *name;
    const char *op;
    const char *kernel;
    const char *const *origins;
    uint32_t origin_count;
};
DYNO_API void dyno_engine_step(const struct dyno_engine *engine, uint32_t idx,
                               struct dyno_step_info *info_out);

/* Nanoseconds that the last run kept the GPU busy, by its events, without copies; 0 on the CPU. */
DYNO_API uint64_t dyno_context_device_ns(const struct dyno_context *context);

/* Kernels that a run like the last one launches on the GPU, those of NVIDIA's libraries among them,
 * copies and fills not; 0 on the CPU.  It runs nothing.  E_ARG: nothing has run with the shapes
 * bound last. */
DYNO_NODISCARD DYNO_API enum dyno_status dyno_context_launches(struct dyno_context *context,
                                                               uint64_t *count_out,
                                                               struct dyno_err *err);

/* For measuring, of a context on a GPU: with 0, runs from the next one on copy nothing between the
 * caller's memory and the GPU: the inputs are those of the last run that did, of the same shapes,
 * and outputs are not brought back.  1, as at first: they do.  On the CPU nothing is copied anyway.
 */
DYNO_API void dyno_context_transfers(struct dyno_context *context, int on);

/* Bytes of activations and workspace of the shapes bound last; and what the tensors would take
 * without sharing. */
DYNO_API uint64_t dyno_context_arena_bytes(const struct dyno_context *context);
DYNO_API uint64_t dyno_context_tensor_bytes(const struct dyno_context *context);

#ifdef __cplusplus
}
#endif
#endif /* DYNO_ENGINE_H */
