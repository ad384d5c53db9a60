/* generate.h - the generate extension: one JSON object whose members are inputs and parameters, and
 * one whose members are outputs.
 *
 * Pure functions of bytes, as all of v2.
 */
#ifndef DYNO_SERVE_V2_GENERATE_H
#define DYNO_SERVE_V2_GENERATE_H

#include "serve/v2/infer.h"

/* A member of the object, or of its member "parameters", that is called like one of `inputs` (of
 * the model: type, and shape with -1 for open) is that input: a value, or an array, which may be
 * nested and is read in order.  Known dimensions are taken as they are; the last open one gets what
 * is left, the others are 1.  "id" is the request's; every other member is a parameter.  The names
 * of `inputs` outlive the result.  E_FORMAT, E_ARG, E_LIMIT, E_NOMEM, E_BUSY. */
enum dyno_status dyno_v2_generate_decode(const char *body, size_t bytes,
                                         const struct dyno_v2_tensor *inputs, size_t input_count,
                                         struct dyno_arena *arena, struct dyno_v2_memory *memory,
                                         struct dyno_infer *infer_out, struct dyno_err *err);

/* id, model_name, model_version, variant, and each output: a value if it has one element, else a
 * flat array.  An output that is called like one of those four is left out. */
enum dyno_status dyno_v2_generate_encode(const struct dyno_infer_answer *answer,
                                         struct dyno_strbuf *out, struct dyno_err *err);

#endif /* DYNO_SERVE_V2_GENERATE_H */
