/* interpret.h - the oracle: a graph run on concrete tensors by the reference meaning of each op.
 *
 * Slow, obvious, one thread.  Every fast path is tested against it.  Besides computing, it checks
 * the types: a tensor whose shape is not what its value promises is an error.
 */
#ifndef DYNO_IR_INTERPRET_H
#define DYNO_IR_INTERPRET_H

#include "ir/graph.h"

/* Sees what each node gave, after its tail; nodes inside regions too, each turn.  outs[i].data is
 * NULL for an absent output; the data dies when its last reader has run. */
typedef void dyno_interpret_each_fn(void *arg, const struct dyno_node *node,
                                    const struct dyno_tensor *outs);

/* inputs[graph->input_count] in order; outputs[graph->output_count] are filled, their data lives in
 * `arena`.  Memory for intermediate results is given back when their last reader has run.
 * DYNO_E_ARG: an input is not of its type; DYNO_E_UNSUPPORTED: an op has no reference.
 * `graph` must be a top one.  The graph is only read. */
enum dyno_status dyno_graph_interpret(const struct dyno_graph *graph,
                                      const struct dyno_tensor *const *inputs,
                                      struct dyno_tensor *outputs, struct dyno_arena *arena,
                                      dyno_interpret_each_fn *each, void *arg,
                                      struct dyno_err *err);

#endif /* DYNO_IR_INTERPRET_H */
