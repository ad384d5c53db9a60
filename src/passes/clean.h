/* clean.h - what the clean passes share. */
#ifndef DYNO_PASSES_CLEAN_H
#define DYNO_PASSES_CLEAN_H

#include "ir/graph.h"

/* Call `each` on the graph and on every region inside it, regions before what is around them. */
typedef enum dyno_status dyno_clean_fn(struct dyno_graph *graph, void *arg, bool *changed_out,
                                       struct dyno_err *err);
enum dyno_status dyno_clean_each(struct dyno_graph *graph, dyno_clean_fn *each, void *arg,
                                 bool *changed_out, struct dyno_err *err);

/* Which symbols are sizes of the inputs of the top graph: an expression over them alone is known as
 * soon as the inputs are, so that a host value may hold it. */
struct dyno_bindable {
    const struct dyno_exprs *exprs;
    uint8_t *symbols; /* by symbol: 1 when a size of an input */
};
/* dyno_clean_each with a struct dyno_bindable as `arg`. */
enum dyno_status dyno_clean_each_bindable(struct dyno_graph *graph, dyno_clean_fn *each,
                                          bool *changed_out, struct dyno_err *err);
bool dyno_bindable_ask(const struct dyno_bindable *bindable, dyno_expr e);
bool dyno_bindable_all(const struct dyno_bindable *bindable, const dyno_expr *at, uint32_t count);

/* Output 0 of `node` is the same as `with`: its readers read that, or, where the name of a graph
 * output is in the way, the node becomes an Identity of it (no change when it is one). */
enum dyno_status dyno_clean_bypass(struct dyno_node *node, struct dyno_value *with,
                                   bool *changed_out, struct dyno_err *err);

/* The operand that says "these sizes": a constant where they are all known, else a host value.
 * NULL when out of memory. */
struct dyno_value *dyno_clean_sizes(struct dyno_graph *graph, const dyno_expr *dims,
                                    uint32_t count);

/* Turn `node` into a Reshape of `data` to exactly the sizes of its output 0, which must be
 * bindable. False when out of memory. */
bool dyno_clean_reshape(struct dyno_node *node, struct dyno_value *data);

/* The permutation of a Transpose whose rank is known (its fallback is the reversal). */
bool dyno_clean_perm(const struct dyno_node *node, int64_t *perm_out);

#endif /* DYNO_PASSES_CLEAN_H */
