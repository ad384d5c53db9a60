/* link.c - a user's program: every function of the public headers, through the shared library. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dyno/engine.h"

typedef void any_fn(void);

#define FN(name)                \
    {                           \
#name, (any_fn *)(name) \
    }
static const struct {
    const char *name;
    any_fn *fn;
} exported[] = {
    FN(dyno_status_text),          FN(dyno_status_exit_code),    FN(dyno_threads_create),
    FN(dyno_threads_destroy),      FN(dyno_engine_open),         FN(dyno_engine_close),
    FN(dyno_machine_text),         FN(dyno_engine_warning),      FN(dyno_engine_identity),
    FN(dyno_engine_input_count),   FN(dyno_engine_output_count), FN(dyno_engine_input),
    FN(dyno_engine_output),        FN(dyno_engine_file_bytes),   FN(dyno_engine_step_count),
    FN(dyno_engine_step),          FN(dyno_context_create),      FN(dyno_context_destroy),
    FN(dyno_context_bind),         FN(dyno_context_run),         FN(dyno_context_submit),
    FN(dyno_context_poll),         FN(dyno_context_wait),        FN(dyno_context_cancel),
    FN(dyno_context_profile),      FN(dyno_context_step_times),  FN(dyno_context_arena_bytes),
    FN(dyno_context_tensor_bytes), FN(dyno_engine_open_on),      FN(dyno_engine_inspect),
    FN(dyno_engine_memory_bytes),  FN(dyno_engine_gpu_bytes),    FN(dyno_engine_device_name),
    FN(dyno_context_device_ns),    FN(dyno_device_describe),
};

int main(void)
{
    struct dyno_err err = {0};
    struct dyno_engine *engine = NULL;
    struct dyno_pool *pool = NULL;
    for (size_t i = 0; i < sizeof(exported) / sizeof(exported[0]); i++) {
        if (exported[i].fn == NULL) {
            (void)fprintf(stderr, "%s is missing\n", exported[i].name);
            return EXIT_FAILURE;
        }
    }
    if (dyno_threads_create(2, 0, &pool, &err) != DYNO_OK) {
        (void)fprintf(stderr, "%s\n", err.text);
        return EXIT_FAILURE;
    }
    dyno_threads_destroy(pool);
    dyno_engine_close(NULL);
    dyno_context_destroy(NULL);
    dyno_threads_destroy(NULL);
    const enum dyno_status status = dyno_engine_open("/nonexistent.engine", &engine, &err);
    if (status != DYNO_E_NOT_FOUND || engine != NULL ||
        strstr(err.text, "/nonexistent.engine") == NULL) {
        (void)fprintf(stderr, "an engine that is not there: %d, '%s'\n", (int)status, err.text);
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
