/* interpret_run.h - what the files of the interpreter share. */
#ifndef DYNO_IR_INTERPRET_RUN_H
#define DYNO_IR_INTERPRET_RUN_H

#include "ir/internal.h"
#include "ir/interpret.h"

/* --- sizes: what the symbols stand for in this run --- */

enum dyno_bound { DYNO_BOUND_NOT, DYNO_BOUND_INPUT, DYNO_BOUND_NODE };

struct dyno_sizes {
    const struct dyno_exprs *exprs;
    int64_t *symbols; /* by symbol */
    uint8_t *bound;   /* by symbol: enum dyno_bound */
    int64_t *values;  /* by expression */
    uint8_t *known;   /* by expression: 1 when values[] holds */
    bool stale;       /* a symbol was bound after values[] was computed */
};

bool dyno_sizes_init(struct dyno_sizes *sizes, const struct dyno_exprs *exprs);
void dyno_sizes_fini(struct dyno_sizes *sizes);
/* False when the expression holds a symbol that is not bound, overflows, or divides by zero. */
bool dyno_sizes_eval(struct dyno_sizes *sizes, dyno_expr e, int64_t *value_out);
/* The tensor is what the value's type says; symbols that are dimensions are bound by it.
 * E_ARG for inputs, E_MISMATCH for what nodes made. */
enum dyno_status dyno_sizes_match(struct dyno_sizes *sizes, const struct dyno_value *value,
                                  const struct dyno_tensor *tensor, enum dyno_bound by,
                                  struct dyno_err *err);

/* --- one run --- */

struct dyno_interp {
    const struct dyno_graph *top;
    struct dyno_sizes sizes;
    struct dyno_tensor *tensors; /* by value id */
    uint8_t *present;            /* by value id */
    struct dyno_arena **arenas;  /* by node id: what holds its results; NULL: none */
    uint32_t *last_users;        /* by node id: the id of its last reader in its graph */
    uint32_t *free_heads;        /* by node id: first of the nodes whose last reader it is */
    uint32_t *free_nexts;        /* by node id: next in that list */
    dyno_interpret_each_fn *each;
    void *arg;
    struct dyno_err *err;
};

/* Run a graph whose inputs are present; its outputs are copied into `arena`. */
enum dyno_status dyno_interp_graph(struct dyno_interp *run, const struct dyno_graph *graph,
                                   struct dyno_tensor *outputs, struct dyno_arena *arena);
/* Present from now on; the tensor's data must outlive its readers. */
void dyno_interp_set(struct dyno_interp *run, const struct dyno_value *value,
                     const struct dyno_tensor *tensor);
/* If, Loop and Scan: outs[node->out_count] are made in `arena`. */
enum dyno_status dyno_interp_regions(struct dyno_interp *run, const struct dyno_node *node,
                                     const struct dyno_tensor *const *ins, struct dyno_tensor *outs,
                                     struct dyno_arena *arena);

/* Room for the elements that to->dtype, rank and dims say. */
enum dyno_status dyno_tensor_room(struct dyno_arena *arena, struct dyno_tensor *to,
                                  struct dyno_err *err);

#endif /* DYNO_IR_INTERPRET_RUN_H */
