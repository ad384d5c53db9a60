/* device.h - a GPU that is open: its primary context, what it is, and memory on it.
 *
 * Named "cuda" (the first) or "cuda:N".  One object a GPU and owner; the primary context behind it
 * is shared by all of a process.  Any thread, after dyno_cuda_enter.
 */
#ifndef DYNO_BACKEND_CUDA_DEVICE_H
#define DYNO_BACKEND_CUDA_DEVICE_H

#include "backend/backend.h"
#include "backend/cuda/driver.h"

struct dyno_cuda {
    const struct dyno_cu *cu;
    int ordinal;
    CU_DEVICE handle;
    CU_CONTEXT context;
    CU_POOL pool;        /* of its process and this GPU; NULL: the GPU has none */
    struct dyno_gpu gpu; /* what it is */
};

/* "cuda" or "cuda:N" into its ordinal; false for anything else. */
bool dyno_cuda_ordinal(const char *name, int *ordinal_out);

/* E_TARGET: no driver, or no such GPU. */
DYNO_NODISCARD enum dyno_status dyno_cuda_open(int ordinal, struct dyno_cuda **cuda_out,
                                               struct dyno_err *err);
void dyno_cuda_close(struct dyno_cuda *cuda); /* accepts NULL */

/* Called with the last open object of a GPU in this process, before its context goes: for what was
 * kept with that.  One function; set before any GPU is opened, or by whoever has one open. */
void dyno_cuda_on_last_close(void (*leave)(const struct dyno_cuda *cuda));

/* Make this GPU the one of the calling thread. */
DYNO_NODISCARD enum dyno_status dyno_cuda_enter(const struct dyno_cuda *cuda, struct dyno_err *err);

/* Memory of the GPU, at a multiple of 256; 0 bytes give an address, too. */
DYNO_NODISCARD enum dyno_status dyno_cuda_alloc(const struct dyno_cuda *cuda, uint64_t bytes,
                                                uint64_t *address_out, struct dyno_err *err);
/* The same from the pool, for work of that stream alone: what other streams run goes on, where
 * dyno_cuda_alloc may wait for it.  Without a pool it is dyno_cuda_alloc. */
DYNO_NODISCARD enum dyno_status dyno_cuda_pool_alloc(const struct dyno_cuda *cuda, CU_STREAM stream,
                                                     uint64_t bytes, uint64_t *address_out,
                                                     struct dyno_err *err);
/* Of either.  Nothing works any more on what is of the pool: nobody waits for that here. */
void dyno_cuda_free(const struct dyno_cuda *cuda, uint64_t address); /* accepts 0 */
/* What the pool holds for nobody goes back to the driver, for any process. */
void dyno_cuda_pool_trim(const struct dyno_cuda *cuda);

/* A loaded program: its module and its entry, dyno_main. */
struct dyno_cuda_module {
    CU_MODULE module;
    CU_FUNCTION function;
};
/* cubin: checked by dyno_cubin_check.  E_TARGET when the driver refuses it. */
DYNO_NODISCARD enum dyno_status dyno_cuda_module_load(const struct dyno_cuda *cuda,
                                                      const void *cubin,
                                                      struct dyno_cuda_module *module_out,
                                                      struct dyno_err *err);
void dyno_cuda_module_unload(const struct dyno_cuda *cuda, struct dyno_cuda_module *module);

/* The driver takes the address of a cubin and no size: is everything that it will follow inside
 * bytes[n]?  What the code there does cannot be judged: an engine for a GPU is a program. */
bool dyno_cubin_check(const void *bytes, uint64_t n);

#endif /* DYNO_BACKEND_CUDA_DEVICE_H */
