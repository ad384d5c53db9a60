/* graph.h - one graph in static single assignment: typed values, nodes in topological order.
 *
 * Everything lives in the graph's arena and dies with it; a removed node is unlinked, not freed.
 * A region (the body of If, Loop, Scan) is a graph that shares the arena and the expression pool of
 * the graph around it and may use its values.  One thread at a time.
 *
 * Constructors return NULL when out of memory.  The list of nodes is always kept in an order in
 * which every value is made before it is used (dyno_graph_sort restores it after surgery).
 */
#ifndef DYNO_IR_GRAPH_H
#define DYNO_IR_GRAPH_H

#include "ops/op.h"

struct dyno_node;
struct dyno_graph;

/* Where a value is used; intrusive list per value. */
struct dyno_use {
    struct dyno_use *prev, *next;
    struct dyno_node *user;   /* NULL: output number `idx` of `graph` */
    struct dyno_graph *graph; /* whose output it is; NULL when a node uses it */
    uint32_t idx;             /* which input of the user */
};

/* A value without producer is one of: an input of its graph, a constant (type.constant), or a host
 * value: a small integer tensor whose contents are expressions (type.elems), computed when shapes
 * are bound and made by no node. */
struct dyno_value {
    const char *name; /* unique in the graph; the ONNX name where it came from one */
    struct dyno_type type;
    struct dyno_node *producer; /* NULL: see above */
    uint32_t producer_out_idx;
    struct dyno_use *uses; /* first of the list */
    uint32_t id;           /* dense, stable, never reused: index for side tables */
};

struct dyno_node {
    struct dyno_node *prev, *next;
    struct dyno_graph *graph;
    enum dyno_op_id op;
    const char *name;           /* unique, never empty */
    const char *const *origins; /* the ONNX nodes this one stands for; at least one */
    uint32_t origin_count;
    void *attrs;             /* the op's attribute struct */
    struct dyno_value **ins; /* NULL entries: absent optional inputs */
    struct dyno_use *in_uses;
    uint32_t in_count;
    struct dyno_value **outs; /* NULL entries: outputs nobody wants */
    uint32_t out_count;
    struct dyno_tail tail; /* fused pointwise program; its inputs follow the op's own */
    uint32_t own_in_count; /* inputs of the op itself; the tail's come after */
    struct dyno_graph **regions;
    uint32_t region_count;
    uint32_t id; /* dense, stable */
};

struct dyno_graph {
    struct dyno_arena *arena;
    struct dyno_exprs *exprs;
    const char *name;
    struct dyno_graph *outer; /* of a region; NULL at the top */
    struct dyno_node *first, *last;
    uint32_t node_count;
    struct dyno_value **inputs; /* without those that are constants */
    uint32_t input_count;
    struct dyno_value **outputs;
    struct dyno_use *output_uses;
    uint32_t output_count;
    uint32_t value_id_count; /* ids given so far in the whole tree of graphs; ask the top one */
    uint32_t node_id_count;
    struct dyno_names *names; /* private: name -> value or node; shared with the regions */
};

/* --- making --- */

/* A graph with its own arena and expression pool. */
struct dyno_graph *dyno_graph_create(const char *name);
void dyno_graph_destroy(struct dyno_graph *graph); /* accepts NULL */
/* A region of `outer`; destroyed with it. */
struct dyno_graph *dyno_graph_region(struct dyno_graph *outer, const char *name);

/* A value with no producer; `name` is made unique by a suffix when taken; NULL: a made-up one. */
struct dyno_value *dyno_graph_value(struct dyno_graph *graph, const char *name);
struct dyno_value *dyno_graph_add_input(struct dyno_graph *graph, const char *name);
bool dyno_graph_add_output(struct dyno_graph *graph, struct dyno_value *value);
void dyno_graph_set_output(struct dyno_graph *graph, uint32_t idx, struct dyno_value *value);

/* A constant.  `tensor` is copied (its data is not, and must outlive the graph). */
struct dyno_value *dyno_graph_constant(struct dyno_graph *graph, const char *name,
                                       const struct dyno_tensor *tensor);
/* A constant whose data is allocated in the arena, zeroed, for the caller to fill through
 * (*data_out) before anything else looks at the value. */
struct dyno_value *dyno_graph_constant_new(struct dyno_graph *graph, const char *name,
                                           enum dyno_dtype dtype, int rank, const int64_t *dims,
                                           void **data_out);
/* After filling: derive type.elems.  False when out of memory. */
bool dyno_graph_constant_done(struct dyno_graph *graph, struct dyno_value *value);
/* A host value of dtype I64 and rank 1 (or 0: rank_is_0, count 1) with these contents. */
struct dyno_value *dyno_graph_host(struct dyno_graph *graph, const char *name,
                                   const dyno_expr *elems, uint32_t count, bool rank_is_0);

/* A node with attributes at their fallbacks, put before `before` (NULL: at the end).  `like` (may
 * be NULL) gives its origins; otherwise its own name is its origin.  ins may hold NULLs. out_count
 * fresh unnamed values are made. */
struct dyno_node *dyno_graph_node(struct dyno_graph *graph, enum dyno_op_id op, const char *name,
                                  struct dyno_value *const *ins, uint32_t in_count,
                                  uint32_t out_count, struct dyno_node *before,
                                  const struct dyno_node *like);

/* --- surgery --- */

/* Give `node` one more region; false when out of memory. */
bool dyno_node_add_region(struct dyno_node *node, struct dyno_graph *region);

void dyno_node_set_in(struct dyno_node *node, uint32_t idx, struct dyno_value *value);
/* Append an input; returns its index or UINT32_MAX.  For a tail's operands. */
uint32_t dyno_node_add_in(struct dyno_node *node, struct dyno_value *value);
/* Drop inputs from `count` on. */
void dyno_node_truncate_ins(struct dyno_node *node, uint32_t count);
/* Make `value` output idx of `node` (its old producer loses it). */
void dyno_node_set_out(struct dyno_node *node, uint32_t idx, struct dyno_value *value);
/* Add the origins of `other` to `node`; false when out of memory. */
bool dyno_node_add_origins(struct dyno_node *node, const struct dyno_node *other);
/* Unlink; its outputs must be unused. */
void dyno_node_remove(struct dyno_node *node);
/* Move `node` before `before` (NULL: to the end). */
void dyno_node_move(struct dyno_node *node, struct dyno_node *before);
/* Every use of `old` (graph outputs too) becomes a use of `with`. */
void dyno_value_replace(struct dyno_value *old, struct dyno_value *with);
/* The same, but graph outputs keep their value and so their name: when `old` is one, `old` takes
 * over the producer of `with`, and the uses of `with` become uses of `old`.  False, and nothing
 * done, where that cannot be: `with` has no producer here or is a graph output itself. */
bool dyno_value_forward(struct dyno_value *old, struct dyno_value *with);
/* `value` loses its producer and becomes a constant (the tensor is copied, its data is not) or,
 * with its type.elems, a host value.  It must not be a graph output.  False when out of memory. */
bool dyno_value_make_constant(struct dyno_graph *graph, struct dyno_value *value,
                              const struct dyno_tensor *tensor);
void dyno_value_make_host(struct dyno_value *value);

/* `node` (an If whose way is known) is replaced by the nodes of its region `idx`, which has no
 * inputs; its outputs keep their names where they must.  False when out of memory. */
bool dyno_node_inline_region(struct dyno_node *node, uint32_t idx);

/* --- asking --- */

/* Attribute `name` of the node through the op's table, at the address of its struct member (see
 * enum dyno_attr_kind); NULL when the op has none of that name and kind. */
void *dyno_node_attr(const struct dyno_node *node, const char *name, enum dyno_attr_kind kind);
/* Two nodes of one op have equal attributes (contents, not addresses). */
bool dyno_node_attrs_equal(const struct dyno_node *a, const struct dyno_node *b);
/* Equal attributes have equal hashes. */
uint64_t dyno_node_attrs_hash(const struct dyno_node *node);
/* Same dtype, shape and bytes; texts by content. */
bool dyno_tensors_equal(const struct dyno_tensor *a, const struct dyno_tensor *b);

uint32_t dyno_value_use_count(const struct dyno_value *value);
/* The one node of its own graph that uses the value, once; NULL otherwise, and for outputs. */
struct dyno_node *dyno_value_sole_user(const struct dyno_value *value);
bool dyno_value_is_output(const struct dyno_value *value);
static inline const struct dyno_tensor *dyno_value_constant(const struct dyno_value *value)
{
    return value != NULL ? value->type.constant : NULL;
}
static inline bool dyno_value_is_host(const struct dyno_value *value)
{
    return value->producer == NULL && value->type.constant == NULL && value->type.elems != NULL;
}
/* The graph around everything. */
static inline const struct dyno_graph *dyno_graph_top(const struct dyno_graph *graph)
{
    while (graph->outer != NULL)
        graph = graph->outer;
    return graph;
}
/* A value of the graph or of those around it; NULL: none of that name. */
struct dyno_value *dyno_graph_find_value(const struct dyno_graph *graph, const char *name);
/* Dimension as constant; false when open. */
bool dyno_value_dim(const struct dyno_graph *graph, const struct dyno_value *value, int axis,
                    int64_t *size_out);

/* --- whole-graph --- */

/* Run the infer rule of one node and store the types of its outputs (constant stays NULL: folding
 * is a pass).  Sizes known only while running keep the symbol of an earlier inference.  Errors read
 * "node NAME (Op): ...". */
enum dyno_status dyno_node_infer(struct dyno_node *node, struct dyno_err *err);
/* All nodes in order. */
enum dyno_status dyno_graph_infer(struct dyno_graph *graph, struct dyno_err *err);
/* Topological order again, stable; DYNO_E_FORMAT names a node on a cycle. */
enum dyno_status dyno_graph_sort(struct dyno_graph *graph, struct dyno_err *err);
/* Remove nodes whose outputs nobody uses, and unused constants from the names. Returns how many. */
uint32_t dyno_graph_drop_dead(struct dyno_graph *graph);
/* Every rule the structure promises: uses match inputs, order, counts, types present, unique names.
 * DYNO_E_FORMAT with a sentence. */
enum dyno_status dyno_graph_verify(const struct dyno_graph *graph, struct dyno_err *err);

/* The text form (docs/ir.md): printed by passes, read by tests.  dyno_graph_parse reads it back;
 * its errors begin with "line:column: ". */
void dyno_graph_print(const struct dyno_graph *graph, struct dyno_strbuf *out);
enum dyno_status dyno_graph_parse(const char *text, size_t bytes, struct dyno_graph **graph_out,
                                  struct dyno_err *err);

/* A copy of a tensor with its data, texts included, in `arena`. */
enum dyno_status dyno_tensor_copy(struct dyno_arena *arena, const struct dyno_tensor *from,
                                  struct dyno_tensor *to, struct dyno_err *err);
/* Deterministic contents for tests: floats in [-1, 1), integers in [0, 8).  Not for strings. */
void dyno_tensor_fill_random(struct dyno_tensor *tensor, uint64_t seed);

#endif /* DYNO_IR_GRAPH_H */
