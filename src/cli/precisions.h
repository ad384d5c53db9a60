/* precisions.h - what dyno build takes of layers and their accuracy. */
#ifndef DYNO_CLI_PRECISIONS_H
#define DYNO_CLI_PRECISIONS_H

#include "build/build.h"
#include "cli/command.h"
#include "cli/shapes.h"

/* trtexec's --layerPrecisions: `conv1:fp32,decoder*:fp32`; a name may hold colons: the last one
 * counts.  allowed: enum dyno_precision that other flags allow.  Rules live in `arena`. */
DYNO_NODISCARD enum dyno_status dyno_cli_precisions(const char *text, uint32_t allowed,
                                                    struct dyno_arena *arena,
                                                    struct dyno_layer_precision **rules_out,
                                                    uint32_t *count_out, struct dyno_err *err);

/* Inputs to judge an engine by: files of --loadInputs, in batches where their first dimension is
 * longer than the profile's, or one made-up set at the optimum. */
struct dyno_cli_samples {
    const struct dyno_cli_list *files;
    struct dyno_array *whole; /* of the files, once loaded */
    int64_t items, batch;     /* items 0: no batches */
};
/* A dyno_build_options.sample. */
enum dyno_status dyno_cli_sample(void *samples_arg, const struct dyno_engine *engine, uint32_t idx,
                                 struct dyno_arena *arena, struct dyno_array **inputs_out,
                                 struct dyno_err *err);

#endif /* DYNO_CLI_PRECISIONS_H */
