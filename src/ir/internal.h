/* internal.h - what the files of ir share and nobody else sees. */
#ifndef DYNO_IR_INTERNAL_H
#define DYNO_IR_INTERNAL_H

#include "ir/graph.h"

/* --- names: values and nodes are two name spaces, each unique over a graph and its regions --- */

enum dyno_name_kind { DYNO_NAME_FREE, DYNO_NAME_VALUE, DYNO_NAME_NODE, DYNO_NAME_GONE };

struct dyno_name {
    enum dyno_name_kind kind;
    uint32_t hash;
    const char *text;
    void *item;
    const struct dyno_graph *graph;
    uint32_t suffix; /* the last one given to a name derived from this one */
};

struct dyno_names {
    struct dyno_arena *arena;
    struct dyno_name *at;
    size_t slot_count; /* a power of two */
    size_t used_count; /* slots that are not FREE */
};

struct dyno_names *dyno_names_create(struct dyno_arena *arena);
/* Enter `item` under `wanted`, or `wanted` with a suffix when taken.  Returns the arena's copy of
 * the name; NULL when out of memory. */
const char *dyno_names_add(struct dyno_names *names, enum dyno_name_kind kind, const char *wanted,
                           void *item, const struct dyno_graph *graph);
const struct dyno_name *dyno_names_find(const struct dyno_names *names, enum dyno_name_kind kind,
                                        const char *text);
/* Forget the name if it belongs to `item`. */
void dyno_names_remove(struct dyno_names *names, enum dyno_name_kind kind, const char *text,
                       const void *item);

/* --- uses --- */

void dyno_use_link(struct dyno_use *use, struct dyno_value *value);   /* value may be NULL */
void dyno_use_unlink(struct dyno_use *use, struct dyno_value *value); /* value may be NULL */
/* *to becomes what *from was in the list of `value`. */
void dyno_use_move(struct dyno_use *to, struct dyno_use *from, struct dyno_value *value);

/* Take the name of a value that nothing refers to any more out of the map. */
void dyno_value_forget(struct dyno_graph *graph, struct dyno_value *value);

/* --- inference --- */

/* Counts and presence of the op's own inputs and outputs; the sentence does not name the node. */
enum dyno_status dyno_node_check_counts(const struct dyno_node *node, struct dyno_err *err);
/* Store an inferred type.  Sizes and contents that depend on symbols made since the pool held
 * `before` expressions are those of the earlier type, where there is one: inferring twice must not
 * rename what is known only while running. */
enum dyno_status dyno_value_set_type(struct dyno_graph *graph, struct dyno_value *value,
                                     struct dyno_type type, size_t before, struct dyno_err *err);
bool dyno_op_is(const struct dyno_node *node, const char *onnx_name);
enum dyno_status dyno_infer_regions(struct dyno_node *node, struct dyno_err *err);
/* Of Scan: how many inputs are states (UINT32_MAX: num_scan_inputs is wrong); entry idx of a list
 * of axes or directions, 0 when the list ends before. */
uint32_t dyno_scan_state_count(const struct dyno_node *node);
int64_t dyno_scan_axis(const struct dyno_node *node, const char *attr, uint32_t idx);

#endif /* DYNO_IR_INTERNAL_H */
