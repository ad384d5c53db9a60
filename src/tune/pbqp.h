/* pbqp.h - partitioned boolean quadratic problem: one option a node, least sum of node and edge
 * costs.
 *
 * Exact where the graph reduces by nodes of degree at most two (chains, trees, diamonds); where it
 * does not, the node with most edges is fixed by its cheapest neighbourhood first.  (Scholz and
 * Eckstein, "Register Allocation for Irregular Architectures", 2002; Hames and Scholz, 2006.)
 */
#ifndef DYNO_TUNE_PBQP_H
#define DYNO_TUNE_PBQP_H

#include <stdint.h>

#include "base/err.h"

#define DYNO_PBQP_OPTIONS_MAX 12

struct dyno_pbqp;

struct dyno_pbqp *dyno_pbqp_create(uint32_t node_count); /* NULL: out of memory */
void dyno_pbqp_destroy(struct dyno_pbqp *pbqp);          /* accepts NULL */

/* Costs of the options of a node; option_count 1..DYNO_PBQP_OPTIONS_MAX. */
void dyno_pbqp_node(struct dyno_pbqp *pbqp, uint32_t node, const float *costs, int option_count);

/* Add costs[i * options of b + j] to the edge between a and b (a != b). */
DYNO_NODISCARD enum dyno_status dyno_pbqp_edge(struct dyno_pbqp *pbqp, uint32_t a, uint32_t b,
                                               const float *costs, struct dyno_err *err);

/* The chosen option of each node, into choice_out[node_count].  Destroys the problem's costs. */
DYNO_NODISCARD enum dyno_status dyno_pbqp_solve(struct dyno_pbqp *pbqp, int *choice_out,
                                                struct dyno_err *err);

#endif /* DYNO_TUNE_PBQP_H */
