/* sources.h - the templates of kernels/ and ops/pw.def as text, put into the binary by the build
 * (embed.cmake writes sources.c).
 */
#ifndef DYNO_BACKEND_CUDA_SOURCES_H
#define DYNO_BACKEND_CUDA_SOURCES_H

#include <stddef.h>

struct dyno_cuda_source {
    const char *name; /* of the file */
    const char *text; /* ends with a NUL that `bytes` does not count */
    size_t bytes;
};

extern const struct dyno_cuda_source dyno_cuda_sources[];
extern const size_t dyno_cuda_source_count;

#endif /* DYNO_BACKEND_CUDA_SOURCES_H */
