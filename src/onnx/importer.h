/* importer.h - what the files of the importer share and nobody else sees.
 *
 * Functions return DYNO_OK when they could go on: what is wrong with the model becomes a problem
 * (dyno_problem_*).  Any other status ends the import (out of memory, limits).
 */
#ifndef DYNO_ONNX_IMPORTER_H
#define DYNO_ONNX_IMPORTER_H

#include "base/file.h"
#include "base/map.h"
#include "base/strbuf.h"
#include "onnx/import.h"
#include "onnx/proto.h"

#define DYNO_IMPORT_DEPTH_MAX 32                  /* functions in functions, graphs in graphs */
#define DYNO_IMPORT_NODES_MAX (UINT32_C(1) << 18) /* nodes after inlining functions */

/* --- problems --- */

struct dyno_problems {
    uint32_t count;
    enum dyno_status status;  /* of the import; DYNO_OK while there are none */
    struct dyno_strbuf first; /* sentences for the error's text */
    dyno_onnx_problem_fn *fn;
    void *fn_arg;
};

/* Note a problem: `place` (may be "") and a sentence. */
void dyno_problem_add(struct dyno_problems *problems, enum dyno_status status, const char *place,
                      const char *fmt, ...) DYNO_PRINTF(4, 5);
/* DYNO_OK when there are none; otherwise the summary. */
enum dyno_status dyno_problems_end(struct dyno_problems *problems, struct dyno_err *err);

/* --- tensors --- */

struct dyno_external {
    struct dyno_external *next;
    char *path; /* real path */
    struct dyno_file_map map;
};

/* Where the contents of tensors come from. */
struct dyno_tensor_source {
    struct dyno_arena *arena;         /* for what cannot be used in place */
    const char *folder;               /* for external data; NULL: refused */
    struct dyno_external **externals; /* files mapped so far */
};

enum dyno_status dyno_tensor_of_proto(const struct dyno_tensor_source *source,
                                      const struct dyno_proto_tensor *proto,
                                      struct dyno_tensor *tensor_out, struct dyno_err *err);
enum dyno_status dyno_tensor_of_sparse(const struct dyno_tensor_source *source,
                                       const struct dyno_proto_sparse *proto,
                                       struct dyno_tensor *tensor_out, struct dyno_err *err);
/* Bytes of an external file that hold `tensor`; maps the file when it is new. */
enum dyno_status dyno_external_find(const struct dyno_tensor_source *source,
                                    const struct dyno_proto_tensor *tensor, size_t wanted_bytes,
                                    struct dyno_str *data_out, struct dyno_err *err);
void dyno_externals_destroy(struct dyno_external *externals);

/* --- the import --- */

struct dyno_onnx_model {
    struct dyno_file_map file;
    struct dyno_external *externals;
    struct dyno_graph *graph;
    const char *producer;
    struct dyno_proto_pair *metadata;
    uint32_t metadata_count;
    int opset;
    uint64_t file_bytes;
};

struct dyno_importer {
    struct dyno_onnx_model *model;
    const struct dyno_onnx_options *options;
    struct dyno_tensor_source source;
    struct dyno_arena *scratch; /* dies with the import */
    struct dyno_proto_model proto;
    struct dyno_map functions;
    struct dyno_map poisoned; /* ids of values whose type is unknown because of a problem */
    struct dyno_problems problems;
    struct dyno_value absent; /* what an absent argument of a function is bound to */
    uint32_t node_count;
    bool opset_refused;
    struct dyno_err *err; /* of what ends the import */
};

/* A call of a function of the model: what its body's attribute references mean. */
struct dyno_call {
    const struct dyno_call *outer; /* the call in whose function this one is; NULL: none */
    const struct dyno_proto_function *function;
    const struct dyno_proto_attr *attrs;
    uint32_t attr_count;
};

/* Names that are visible at some place, and the graph that nodes made there go to. */
struct dyno_scope {
    struct dyno_importer *imp;
    struct dyno_scope *outer; /* NULL at the top and in the body of a function */
    struct dyno_graph *graph;
    const struct dyno_proto_opset *opsets;
    uint32_t opset_count;
    const struct dyno_call *call; /* NULL outside functions */
    const char *place;            /* "function 'F' called by node 3 F 'x': ", or "" */
    const char *prefix;           /* of names made here: "x/", or "" */
    struct dyno_map values;       /* name -> struct dyno_value */
    struct dyno_map infos;        /* name -> struct dyno_proto_type, declared */
    struct dyno_map reserved;     /* at the top: outputs of the model, made before their nodes */
    uint32_t depth;
};

/* A name's value in this scope or around it; NULL when there is none. */
struct dyno_value *dyno_scope_find(const struct dyno_scope *scope, const char *name);
/* Bind `name`; a problem when it is bound in this very scope.  False when out of memory. */
bool dyno_scope_define(struct dyno_scope *scope, const char *name, struct dyno_value *value);
/* Opset of a domain here; 0 when it is not imported. */
int64_t dyno_scope_opset(const struct dyno_scope *scope, const char *domain);
/* "" and "ai.onnx" */
bool dyno_onnx_domain(const char *domain);
void dyno_scope_fini(struct dyno_scope *scope);

/* --- one node on its way from the wire into the graph --- */

struct dyno_draft {
    struct dyno_scope *scope;
    const struct dyno_proto_node *wire;
    uint32_t idx;
    const char *op; /* adapters rename it */
    int64_t opset;
    struct dyno_value **ins; /* NULL: absent */
    uint32_t in_count;
    struct dyno_proto_attr *attrs; /* references resolved */
    uint32_t attr_count;
    uint32_t out_count;
    bool failed; /* a problem was noted: no node is made */
};

/* "node 41 Conv 'c3'" in scratch. */
const char *dyno_draft_where(const struct dyno_draft *draft);
void dyno_draft_problem(struct dyno_draft *draft, enum dyno_status status, const char *fmt, ...)
    DYNO_PRINTF(3, 4);
/* What `status` and err's text mean for the draft: nothing, the end (no memory), or a problem. */
enum dyno_status dyno_draft_absorb(struct dyno_draft *draft, enum dyno_status status,
                                   const struct dyno_err *err);

const struct dyno_proto_attr *dyno_draft_attr(const struct dyno_draft *draft, const char *name);
void dyno_draft_drop_attr(struct dyno_draft *draft, const char *name);
/* Set (replace or append) an attribute; false when out of memory. */
bool dyno_draft_set_attr(struct dyno_draft *draft, const struct dyno_proto_attr *attr);
bool dyno_draft_set_int(struct dyno_draft *draft, const char *name, int64_t value);
bool dyno_draft_set_str(struct dyno_draft *draft, const char *name, const char *text);
/* Put a value at input idx, with absent inputs before it; false when out of memory. */
bool dyno_draft_set_in(struct dyno_draft *draft, uint32_t idx, struct dyno_value *value);

/* A constant made for the draft, 1-d or (rank 0) a scalar; NULL when out of memory. */
struct dyno_value *dyno_draft_ints(struct dyno_draft *draft, const char *suffix, int rank,
                                   const int64_t *values, uint32_t count);
struct dyno_value *dyno_draft_scalar(struct dyno_draft *draft, const char *suffix,
                                     enum dyno_dtype dtype, double number);
/* A node put before the draft, inferred; NULL when out of memory.  Attributes: `set` of the op's
 * table, by name. */
struct dyno_node *dyno_draft_helper(struct dyno_draft *draft, const char *onnx_name,
                                    const char *suffix, struct dyno_value *const *ins,
                                    uint32_t in_count);
void dyno_node_set_i64(struct dyno_node *node, const char *attr, int64_t value);
/* Infer `node`; problems go to the draft and poison the node's outputs. */
enum dyno_status dyno_draft_infer(struct dyno_draft *draft, struct dyno_node *node);

/* Rewrite the draft to the canonical form (adapt.c). */
enum dyno_status dyno_draft_adapt(struct dyno_draft *draft);
/* Fill the attribute struct of `node` (attrs.c). */
enum dyno_status dyno_draft_bind_attrs(struct dyno_draft *draft, struct dyno_node *node);
/* Constant nodes (constant.c): the value that the attribute holds; NULL in *value_out after a
 * problem. */
enum dyno_status dyno_draft_constant(struct dyno_draft *draft, struct dyno_value **value_out);

/* --- whole graphs --- */

/* wire indices in an order in which values come before their uses; count entries in scratch.
 * A cycle is a problem. */
enum dyno_status dyno_import_order(struct dyno_scope *scope, const struct dyno_proto_node *nodes,
                                   uint32_t count, uint32_t **order_out, bool *cyclic_out);
enum dyno_status dyno_import_nodes(struct dyno_scope *scope, const struct dyno_proto_node *nodes,
                                   uint32_t count);
enum dyno_status dyno_import_node(struct dyno_scope *scope, const struct dyno_proto_node *wire,
                                  uint32_t idx);
enum dyno_status dyno_import_main(struct dyno_importer *imp);
/* Initialisers and declared types of `proto` into the scope. */
enum dyno_status dyno_import_constants(struct dyno_scope *scope,
                                       const struct dyno_proto_graph *proto);
/* The inputs of the main graph, with their symbols. */
enum dyno_status dyno_import_inputs(struct dyno_scope *scope, const struct dyno_proto_graph *proto);
/* Does it fit into 63 bits of bytes, as far as its sizes are known? */
bool dyno_import_type_fits(const struct dyno_scope *scope, const struct dyno_type *type);
/* A type as declared, for a value called `name`; open dimensions become fresh symbols. */
enum dyno_status dyno_import_type(struct dyno_scope *scope, const struct dyno_proto_type *proto,
                                  const char *name, struct dyno_type *type_out);
/* Body graphs of If, Loop, Scan, SequenceMap. */
enum dyno_status dyno_import_regions(struct dyno_draft *draft, struct dyno_node *node);
/* If with a known condition: its branch in place.  *done_out says whether it was one. */
enum dyno_status dyno_import_known_if(struct dyno_draft *draft, bool *done_out);
/* The function that `wire` calls; NULL when it is not one of the model's. */
enum dyno_status dyno_import_function(const struct dyno_importer *imp,
                                      const struct dyno_proto_node *wire,
                                      const struct dyno_proto_function **function_out);
enum dyno_status dyno_import_call(struct dyno_draft *draft,
                                  const struct dyno_proto_function *function);
enum dyno_status dyno_import_index_functions(struct dyno_importer *imp);
/* Make output idx of the draft's wire node be `value` (an Identity when the value has a name of its
 * own to keep). */
enum dyno_status dyno_draft_alias_out(struct dyno_draft *draft, uint32_t idx,
                                      struct dyno_value *value);
/* Values of unknown type for all outputs. */
enum dyno_status dyno_draft_poison_outs(struct dyno_draft *draft);

#endif /* DYNO_ONNX_IMPORTER_H */
