/* infer.h - one inference as the Open Inference Protocol means it, whatever carried it.
 *
 * Made by a codec, in an arena of the caller's; tensor data points into the body that was decoded,
 * or into memory that the caller's `take` gave.  No threads, no network: pure functions of bytes.
 *
 * Nothing here is larger than a constant times the body: counts and texts have limits, and numbers
 * that were written as text are unpacked only after `take` agreed.
 */
#ifndef DYNO_SERVE_V2_INFER_H
#define DYNO_SERVE_V2_INFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/strbuf.h"
#include "base/tensor.h"

#define DYNO_V2_TENSORS_MAX    256  /* inputs, and requested outputs, of one request */
#define DYNO_V2_PARAMS_MAX     64   /* of one request or tensor */
#define DYNO_V2_TEXT_BYTES_MAX 8192 /* a name, an id, the text of a parameter */

enum dyno_v2_param_kind {
    DYNO_V2_PARAM_BOOL,
    DYNO_V2_PARAM_INT,
    DYNO_V2_PARAM_UINT,
    DYNO_V2_PARAM_DOUBLE,
    DYNO_V2_PARAM_TEXT,
};

struct dyno_v2_param {
    struct dyno_v2_param *next;
    const char *name;
    enum dyno_v2_param_kind kind;
    bool boolean;
    int64_t integer; /* INT; UINT as bits */
    double number;
    const char *text;
};

/* Where in shared memory a tensor's bytes are, or shall be. */
struct dyno_v2_place {
    const char *region; /* NULL: nowhere in it */
    uint64_t offset, bytes;
};

struct dyno_v2_tensor {
    const char *name;
    enum dyno_dtype dtype;
    int rank;
    int64_t dims[DYNO_RANK_MAX];
    const void *data; /* NULL with a place, until they are fetched from there */
    size_t bytes;
    struct dyno_v2_place place;
};

struct dyno_v2_wanted {
    const char *name;
    bool is_binary;           /* JSON: as raw bytes after the JSON */
    bool says_binary;         /* the request said so of this output, either way */
    uint32_t classifications; /* 0: the tensor itself */
    struct dyno_v2_place place;
};

struct dyno_infer {
    const char *model, *version; /* gRPC: from the message; HTTP: from the path */
    const char *id;              /* NULL: none */
    struct dyno_v2_param *params;
    struct dyno_v2_tensor *inputs;
    size_t input_count;
    struct dyno_v2_wanted *wanted; /* none: all outputs */
    size_t wanted_count;
    bool wants_binary;             /* outputs that were not named */
    uint64_t priority, timeout_us; /* 0: not given */
};

/* Memory for what text unpacks to, 64-byte aligned; NULL: not granted (E_BUSY to the client).
 */
struct dyno_v2_memory {
    void *(*take)(struct dyno_v2_memory *memory, size_t bytes);
};

/* The answer: outputs in order, data dense; one with a place has its data there and none here. */
struct dyno_infer_answer {
    const char *model, *version, *id, *variant; /* id and variant may be NULL */
    const char *record; /* the id of its usage record; NULL: there is none */
    const struct dyno_v2_tensor *outputs;
    const struct dyno_v2_wanted *wanted; /* one an output */
    size_t output_count;
    bool is_of_stream; /* tells that it is the last of its request, as answers in streams do */
};

/* --- datatypes: FP32, INT64, ... --- */

const char *dyno_v2_datatype(enum dyno_dtype dtype); /* NULL: has no name in the protocol */
enum dyno_dtype dyno_v2_datatype_parse(const char *text, size_t bytes); /* STR for BYTES; NONE */

/* Count of elements and bytes of a tensor whose type has a fixed size; E_ARG names `name` when a
 * dimension is negative or the size overflows. */
enum dyno_status dyno_v2_size(const struct dyno_v2_tensor *tensor, uint64_t *count_out,
                              size_t *bytes_out, struct dyno_err *err);

/* Does a BYTES tensor of `count` elements, each a length and its bytes, fill data exactly? */
bool dyno_v2_bytes_fit(const void *data, size_t bytes, uint64_t count);

const struct dyno_v2_param *dyno_v2_param_find(const struct dyno_v2_param *params,
                                               const char *name);

/* Fill what the protocol says in parameters: priority, timeout, binary_data_output (also into the
 * requested outputs that do not say it themselves).  E_ARG: a reserved one of the wrong kind, and
 * what this server does not have (sequences; names of Triton's own that it does not take). */
enum dyno_status dyno_v2_take_params(struct dyno_infer *infer, bool is_grpc, struct dyno_err *err);

/* Fill a tensor's place from its parameters; `what` is "input" or "output".  E_ARG. */
enum dyno_status dyno_v2_take_place(const struct dyno_v2_param *params, const char *what,
                                    const char *name, struct dyno_v2_place *place,
                                    struct dyno_err *err);
/* Fill a requested output, whose name is set, from its parameters.  E_ARG. */
enum dyno_status dyno_v2_take_wanted(const struct dyno_v2_param *params,
                                     struct dyno_v2_wanted *wanted, struct dyno_err *err);

/* --- JSON and binary tensors --- */

/* body[0..json_bytes) is the JSON, the rest raw tensors.  E_FORMAT, E_ARG, E_LIMIT, E_NOMEM. */
enum dyno_status dyno_v2_json_decode(const char *body, size_t bytes, size_t json_bytes,
                                     struct dyno_arena *arena, struct dyno_v2_memory *memory,
                                     struct dyno_infer *infer_out, struct dyno_err *err);

/* The JSON of the answer; *raw_bytes_out is what the raw tensors after it take (0: all is JSON). */
enum dyno_status dyno_v2_json_encode(const struct dyno_infer_answer *answer,
                                     struct dyno_strbuf *out, size_t *raw_bytes_out,
                                     struct dyno_err *err);

/* What the elements that such an answer has as text take at most; the rest of it is small. */
size_t dyno_v2_json_bytes_max(const struct dyno_infer_answer *answer);

/* --- protobuf: inference.ModelInferRequest and ModelInferResponse --- */

enum dyno_status dyno_v2_pb_decode(const void *body, size_t bytes, struct dyno_arena *arena,
                                   struct dyno_v2_memory *memory, struct dyno_infer *infer_out,
                                   struct dyno_err *err);

/* All but the contents, which are fields of their own at the end: raw_output_contents, one an
 * output, for the caller to append with dyno_v2_pb_raw_head. */
void dyno_v2_pb_encode(const struct dyno_infer_answer *answer, struct dyno_strbuf *out);
/* Tag and length of one raw output into to[11]; how many bytes that is. */
size_t dyno_v2_pb_raw_head(size_t bytes, char *to);

#endif /* DYNO_SERVE_V2_INFER_H */
