/* program.h - GPU programs: a template, the choices of a kernel before it, and the cubin of both.
 *
 * A text is: parameters, instructions and the prelude, the table of tail instructions, the choices,
 * the template.
 */
#ifndef DYNO_BACKEND_CUDA_PROGRAM_H
#define DYNO_BACKEND_CUDA_PROGRAM_H

#include "backend/cuda/device.h"
#include "base/arena.h"

/* The whole text for the compiler; "" (and DYNO_E_UNSUPPORTED) when there is no such template. */
DYNO_NODISCARD enum dyno_status dyno_cuda_program_text(const char *source, const char *choices,
                                                       struct dyno_strbuf *text,
                                                       struct dyno_err *err);

/* What a kernel chooses for this step and tactic, with a hash of the template behind it: an engine
 * holds this text, and one of another build's template is another. */
DYNO_NODISCARD enum dyno_status dyno_cuda_program_choices(const struct dyno_kernel *kernel,
                                                          const struct dyno_site *site,
                                                          const struct dyno_tactic *tactic,
                                                          const char **source_out,
                                                          struct dyno_strbuf *choices,
                                                          struct dyno_err *err);

/* Programs that were compiled, each once, for one compute capability; loaded when `cuda` is there.
 * One thread at a time. */
struct dyno_cuda_programs;
struct dyno_cuda_program {
    struct dyno_program compiled;   /* image NULL: not yet */
    struct dyno_cuda_module module; /* when there is a GPU */
    struct dyno_arena *arena;       /* of the image */
    struct dyno_err err;            /* why it does not compile */
    struct dyno_cuda_program *next;
};

/* cuda: NULL: compile only.  NULL when out of memory. */
struct dyno_cuda_programs *dyno_cuda_programs_create(const struct dyno_cuda *cuda, int compute);
void dyno_cuda_programs_destroy(struct dyno_cuda_programs *programs); /* accepts NULL */

/* Of the steps of kernels that call a library there are none: nothing is wanted, NULL is got. */

/* Remember that this step and tactic will be asked for, and compile all such on the threads of
 * `pool` (NULL: on this one).  What does not compile says so when it is got. */
DYNO_NODISCARD enum dyno_status dyno_cuda_programs_want(struct dyno_cuda_programs *programs,
                                                        const struct dyno_kernel *kernel,
                                                        const struct dyno_site *site,
                                                        const struct dyno_tactic *tactic,
                                                        struct dyno_err *err);
DYNO_NODISCARD enum dyno_status dyno_cuda_programs_compile(struct dyno_cuda_programs *programs,
                                                           struct dyno_pool *pool,
                                                           struct dyno_err *err);

/* The program of this step and tactic, compiled now if it is new. */
DYNO_NODISCARD enum dyno_status dyno_cuda_programs_get(struct dyno_cuda_programs *programs,
                                                       const struct dyno_kernel *kernel,
                                                       const struct dyno_site *site,
                                                       const struct dyno_tactic *tactic,
                                                       const struct dyno_cuda_program **out,
                                                       struct dyno_err *err);
const struct dyno_cuda *dyno_cuda_programs_device(const struct dyno_cuda_programs *programs);
uint32_t dyno_cuda_programs_count(const struct dyno_cuda_programs *programs);

#endif /* DYNO_BACKEND_CUDA_PROGRAM_H */
