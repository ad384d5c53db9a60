/* proto.h - ONNX's messages as they are read off the wire.
 *
 * Everything lives in one arena; byte strings and tensor contents are views into the file.  Only
 * the fields that the importer needs are kept.  Names are NUL-terminated copies; absent ones "".
 */
#ifndef DYNO_ONNX_PROTO_H
#define DYNO_ONNX_PROTO_H

#include "ops/op.h"

/* AttributeProto.AttributeType */
enum dyno_proto_attr_type {
    DYNO_PROTO_UNDEFINED = 0,
    DYNO_PROTO_FLOAT = 1,
    DYNO_PROTO_INT = 2,
    DYNO_PROTO_STRING = 3,
    DYNO_PROTO_TENSOR = 4,
    DYNO_PROTO_GRAPH = 5,
    DYNO_PROTO_FLOATS = 6,
    DYNO_PROTO_INTS = 7,
    DYNO_PROTO_STRINGS = 8,
    DYNO_PROTO_TENSORS = 9,
    DYNO_PROTO_GRAPHS = 10,
    DYNO_PROTO_SPARSE_TENSOR = 11,
    DYNO_PROTO_SPARSE_TENSORS = 12,
    DYNO_PROTO_TYPE = 13,
    DYNO_PROTO_TYPES = 14,
    DYNO_PROTO_ATTR_TYPE_COUNT
};

struct dyno_proto_entry {
    const char *key;
    const char *value;
};

struct dyno_proto_tensor {
    const char *name;
    int64_t dtype; /* as written, not checked */
    const int64_t *dims;
    uint32_t dim_count;
    struct dyno_str body; /* the whole message: typed data fields are read out of it */
    struct dyno_str raw;  /* raw_data */
    bool has_raw;
    bool is_external;
    const struct dyno_proto_entry *external;
    uint32_t external_count;
};

struct dyno_proto_sparse {
    struct dyno_proto_tensor values; /* its name is the initialiser's */
    struct dyno_proto_tensor indices;
    const int64_t *dims;
    uint32_t dim_count;
};

struct dyno_proto_dim {
    int64_t value;     /* when has_value */
    const char *param; /* "" when absent */
    bool has_value;
};

enum dyno_proto_type_kind {
    DYNO_PROTO_KIND_NONE,
    DYNO_PROTO_KIND_TENSOR,
    DYNO_PROTO_KIND_SEQUENCE,
    DYNO_PROTO_KIND_OPTIONAL,
    DYNO_PROTO_KIND_OTHER, /* map, sparse tensor, opaque */
};

struct dyno_proto_type {
    enum dyno_proto_type_kind kind;
    int64_t dtype; /* of tensors, as written */
    bool has_shape;
    const struct dyno_proto_dim *dims;
    uint32_t dim_count;
    const struct dyno_proto_type *elem; /* of sequences and optionals; may be NULL */
};

struct dyno_proto_value_info {
    const char *name;
    struct dyno_proto_type type;
};

struct dyno_proto_attr {
    const char *name;
    const char *ref_name; /* inside functions: the caller's attribute of that name */
    int64_t type;         /* enum dyno_proto_attr_type; guessed from the fields when not written */
    float f;
    int64_t i;
    struct dyno_str s;
    const struct dyno_proto_tensor *t;
    const struct dyno_proto_graph *g;
    const struct dyno_proto_sparse *sparse;
    struct dyno_f32s floats;
    struct dyno_i64s ints;
    struct dyno_strs strings;
};

struct dyno_proto_node {
    const char *name;
    const char *op;
    const char *domain;
    const char *overload;
    const char *const *ins;
    uint32_t in_count;
    const char *const *outs;
    uint32_t out_count;
    const struct dyno_proto_attr *attrs;
    uint32_t attr_count;
};

struct dyno_proto_graph {
    const char *name;
    const struct dyno_proto_node *nodes;
    uint32_t node_count;
    const struct dyno_proto_tensor *inits;
    uint32_t init_count;
    const struct dyno_proto_sparse *sparse_inits;
    uint32_t sparse_init_count;
    const struct dyno_proto_value_info *inputs;
    uint32_t input_count;
    const struct dyno_proto_value_info *outputs;
    uint32_t output_count;
    const struct dyno_proto_value_info *infos;
    uint32_t info_count;
};

struct dyno_proto_opset {
    const char *domain;
    int64_t version;
};

/* StringStringEntryProto. */
struct dyno_proto_pair {
    const char *key;
    const char *value;
};

struct dyno_proto_function {
    const char *name;
    const char *domain;
    const char *overload;
    const char *const *ins;
    uint32_t in_count;
    const char *const *outs;
    uint32_t out_count;
    const char *const *attr_names;
    uint32_t attr_name_count;
    const struct dyno_proto_attr *attrs; /* with their fallback values */
    uint32_t attr_count;
    const struct dyno_proto_node *nodes;
    uint32_t node_count;
    const struct dyno_proto_opset *opsets;
    uint32_t opset_count;
};

struct dyno_proto_model {
    int64_t ir_version;
    const char *producer;
    const struct dyno_proto_opset *opsets;
    uint32_t opset_count;
    const struct dyno_proto_graph *graph; /* NULL when absent */
    const struct dyno_proto_function *functions;
    uint32_t function_count;
    const struct dyno_proto_pair *metadata;
    uint32_t metadata_count;
};

/* Fails with DYNO_E_FORMAT (what is broken and at which byte), DYNO_E_LIMIT (nested too deeply),
 * DYNO_E_NOMEM. */
enum dyno_status dyno_proto_read_model(const void *data, size_t bytes, struct dyno_arena *arena,
                                       struct dyno_proto_model *model_out, struct dyno_err *err);

/* One TensorProto. */
enum dyno_status dyno_proto_read_tensor(const void *data, size_t bytes, struct dyno_arena *arena,
                                        struct dyno_proto_tensor *tensor_out, struct dyno_err *err);

#endif /* DYNO_ONNX_PROTO_H */
