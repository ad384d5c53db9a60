/* match.h - the small questions that fusing passes ask, and the two moves they end with.
 *
 * A fusion turns the last node of a pattern into the fused one (dyno_fuse_become), so that its
 * name, its output and its place stay, and then absorbs the nodes that nobody uses any more.
 */
#ifndef DYNO_PASSES_MATCH_H
#define DYNO_PASSES_MATCH_H

#include "ir/graph.h"

/* --- asking --- */

/* The node that makes input idx of `user` as its output 0, when it is an `op` of the same graph and
 * has no tail; NULL otherwise. */
struct dyno_node *dyno_match_in(const struct dyno_node *user, uint32_t idx, enum dyno_op_id op);

/* The same for any op; a tail is refused too. */
struct dyno_node *dyno_match_any(const struct dyno_node *user, uint32_t idx);

/* Whether `node` is a plain f32 `op` (no tail, f32 output 0 and inputs). */
bool dyno_match_f32(const struct dyno_node *node, enum dyno_op_id op);

/* A float constant of exactly one element, whatever its rank. */
bool dyno_match_scalar(const struct dyno_value *value, double *scalar_out);

/* Two-input node: the value beside a one-element constant.  For a node that does not commute the
 * constant must be input 1.  NULL when neither is one. */
struct dyno_value *dyno_match_beside_scalar(const struct dyno_node *node, double *scalar_out);

/* Two-input node with `value` as one input: the other one; NULL when it is not. */
struct dyno_value *dyno_match_beside(const struct dyno_node *node, const struct dyno_value *value);

/* |a - b| within a few roundings of f32. */
bool dyno_match_near(double a, double b);

/* Same dtype, same known rank, provably the same dimensions. */
bool dyno_match_same_type(const struct dyno_value *a, const struct dyno_value *b);

/* `value` is f32 and broadcasts to the shape of `to` without growing it: from the last axis on,
 * each dimension is 1 or provably that of `to`. */
bool dyno_match_broadcasts(const struct dyno_graph *graph, const struct dyno_value *value,
                           const struct dyno_value *to);

/* A f32 constant that varies along `axis` of `like` at most: fills out[count], where count is the
 * known size of that axis.  False when it is something else or would grow the shape. */
bool dyno_match_channel(const struct dyno_graph *graph, const struct dyno_value *value,
                        const struct dyno_value *like, int axis, double *out, int64_t count);

/* Attribute `name` of the node through its op's table: points at the int64_t, float, int32_t,
 * struct dyno_i64s ... of that kind; NULL when the op has none of that name and kind. */
const void *dyno_match_attr(const struct dyno_node *node, const char *name,
                            enum dyno_attr_kind kind);
int64_t dyno_match_attr_i64(const struct dyno_node *node, const char *name, int64_t otherwise);
/* Whether enumeration attribute `name` is spelled `text`. */
bool dyno_match_attr_is(const struct dyno_node *node, const char *name, const char *text);
/* Whether the node is a Transpose by exactly this permutation. */
bool dyno_match_perm(const struct dyno_node *node, const int64_t *perm, uint32_t rank);

/* Integer constants of a value (axes, shapes, starts); false unless all are known and count <= max.
 * An absent value has none. */
bool dyno_match_ints(const struct dyno_graph *graph, const struct dyno_value *value,
                     int64_t *values_out, uint32_t max, uint32_t *count_out);

/* --- changing --- */

/* The nodes of a pattern, without the one that becomes the fused node. */
#define DYNO_MATCH_NODES_MAX 48
struct dyno_match {
    struct dyno_node *at[DYNO_MATCH_NODES_MAX];
    uint32_t count;
};

/* NULLs and nodes that are there already are ignored; one too many is left out (it then lives on
 * until the clean passes find that it is dead). */
void dyno_match_add(struct dyno_match *match, struct dyno_node *node);

/* The first node behind `node` that is not in the match: where a walk goes on when the match is
 * absorbed. */
struct dyno_node *dyno_match_next(const struct dyno_node *node, const struct dyno_match *match);

/* `node` becomes an `op` with these inputs, attributes at their fallbacks, no tail.  False when out
 * of memory. */
bool dyno_fuse_become(struct dyno_node *node, enum dyno_op_id op, struct dyno_value *const *ins,
                      uint32_t in_count);

/* Remove the nodes of the match that nobody uses any more; `node` gets their origins.  False when
 * out of memory. */
bool dyno_fuse_absorb(struct dyno_node *node, const struct dyno_match *match);

/* Output 0 of `from` becomes output 0 of `node`, whose own output must have no other use than
 * `from`; `from` is absorbed. */
bool dyno_fuse_take_over(struct dyno_node *node, struct dyno_node *from);

/* An `op` behind `node`: it takes over output 0 of `node`, which gets a fresh one; the new node
 * reads that and `second`.  No types are inferred.  NULL when out of memory. */
struct dyno_node *dyno_fuse_append(struct dyno_node *node, enum dyno_op_id op,
                                   struct dyno_value *second);

/* Sums and products name their register first, so that kernels meet one form of a bias. */
void dyno_tail_instr_order(struct dyno_tail_instr *instr);

/* A f32 constant holding these values, of shape dims[rank]; NULL when out of memory. */
struct dyno_value *dyno_fuse_constant(struct dyno_graph *graph, const char *name, int rank,
                                      const int64_t *dims, const double *values);

/* A Slice before `before` makes `part` of channels start, start + 1, ... of `whole`, `count` of
 * them; it has the name and the origins of `like`.  No types are inferred.  False when out of
 * memory. */
bool dyno_fuse_channels(struct dyno_value *whole, int64_t start, int64_t count,
                        struct dyno_value *part, struct dyno_node *before,
                        const struct dyno_node *like);

#endif /* DYNO_PASSES_MATCH_H */
