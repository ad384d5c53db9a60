/* engine_key.h - what an engine is made of, as one hash: the model's bytes, how it is built, by
 * what, for which machine.  Any thread.
 */
#ifndef DYNO_SERVE_MODEL_ENGINE_KEY_H
#define DYNO_SERVE_MODEL_ENGINE_KEY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define DYNO_MODEL_FILES_MAX 4096 /* of one version */

/* The files of a version folder that an engine may be made of: whatever is not an engine, also in
 * folders inside (the weights of a model may lie beside it under any name). */

/* Changes when one of them is written, replaced, added or taken away; reads no file.
 * E_IO; E_LIMIT: more than DYNO_MODEL_FILES_MAX, or folders in folders without end. */
DYNO_NODISCARD enum dyno_status dyno_model_stamp(const char *folder, uint64_t *stamp_out,
                                                 struct dyno_err *err);

/* SHA-256 of their names and bytes.  Ends early with E_CANCELLED when *is_cancelled (may be NULL)
 * becomes true. */
DYNO_NODISCARD enum dyno_status dyno_model_sum(const char *folder, const atomic_bool *is_cancelled,
                                               uint8_t sum_out[32], struct dyno_err *err);

/* 64 digits. */
struct dyno_engine_key {
    char text[65];
};

/* args: the builder's flags without paths, NULL ends them; gpu: what it tells of the GPU that it
 * builds for, "" of the CPU; builder: its path, whose file's size and time stand for what it is.
 * This build's version and the machine go in by themselves.  E_NOT_FOUND: there is no such builder.
 */
DYNO_NODISCARD enum dyno_status dyno_engine_key_make(const uint8_t sum[32], const char *const *args,
                                                     const char *gpu, const char *builder,
                                                     struct dyno_engine_key *key_out,
                                                     struct dyno_err *err);

#endif /* DYNO_SERVE_MODEL_ENGINE_KEY_H */
