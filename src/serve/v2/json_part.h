/* json_part.h - the pieces that JSON requests are made of: tokens, texts, parameters, data.
 *
 * Inside v2 only.  Whatever is returned lies in the arena, but data of tensors, whose memory `take`
 * gave.
 */
#ifndef DYNO_SERVE_V2_JSON_PART_H
#define DYNO_SERVE_V2_JSON_PART_H

#include "base/json.h"
#include "serve/v2/infer.h"

struct dyno_v2_json {
    struct dyno_json_reader reader;
    struct dyno_arena *arena;
    struct dyno_v2_memory *memory;
    struct dyno_err *err;
};

/* E_FORMAT with line and column. */
enum dyno_status dyno_v2_json_refuse(const struct dyno_v2_json *json, const char *what);
enum dyno_status dyno_v2_json_next(struct dyno_v2_json *json, struct dyno_json_token *token);
/* Past the value that `token` is, or opens. */
enum dyno_status dyno_v2_json_skip(struct dyno_v2_json *json, const struct dyno_json_token *token);

enum dyno_status dyno_v2_json_string(struct dyno_v2_json *json, const struct dyno_json_token *token,
                                     const char **text_out);
/* The member that `token` is, as a parameter. */
enum dyno_status dyno_v2_json_param(struct dyno_v2_json *json, const struct dyno_json_token *token,
                                    struct dyno_v2_param *param);
/* The object that `token` opens, put before *params_out; a name that appears twice is refused. */
enum dyno_status dyno_v2_json_params(struct dyno_v2_json *json, const struct dyno_json_token *token,
                                     struct dyno_v2_param **params_out);
/* The reader stands after the opening bracket of a tensor's data; its name, type and shape are
 * known.  Sets data and bytes. */
enum dyno_status dyno_v2_json_data(struct dyno_v2_json *json, struct dyno_v2_tensor *tensor);
/* The same for a tensor of one element, which `token` is. */
enum dyno_status dyno_v2_json_value(struct dyno_v2_json *json, const struct dyno_json_token *token,
                                    struct dyno_v2_tensor *tensor);

/* All elements of an output as an array, or one alone as a value.  E_ARG: JSON cannot hold them. */
enum dyno_status dyno_v2_json_put_elements(struct dyno_json_writer *json,
                                           const struct dyno_v2_tensor *tensor, bool unwraps_one,
                                           struct dyno_err *err);

#endif /* DYNO_SERVE_V2_JSON_PART_H */
