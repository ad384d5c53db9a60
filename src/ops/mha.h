/* mha.h - attributes of Dyno's MultiHeadAttention (domain "dyno").
 *
 * Inputs  q [B, Tq, >= q_offset + heads*head_dim], k [B, Tk, >= k_offset + heads*head_dim],
 *         v [B, Tk, >= v_offset + heads*v_head_dim], mask (optional, f32, added to the scores,
 *         broadcastable to [B, heads, Tq, Tk]).
 * Output  [B, Tq, heads*v_head_dim]:  softmax(scale * q . k^T + mask) . v for each head.
 * Head h uses elements [offset + h*dim, offset + (h+1)*dim) of the last axis, so that q, k and v
 * may be one packed tensor given three times.  A row of scores that is -inf throughout gives NaN.
 */
#ifndef DYNO_OPS_MHA_H
#define DYNO_OPS_MHA_H

#include <stdint.h>

struct dyno_mha_attrs {
    int64_t heads;      /* required, >= 1 */
    int64_t head_dim;   /* required, >= 1: of q and k */
    int64_t v_head_dim; /* 0: head_dim; dyno_mha_v_head_dim */
    float scale;        /* factor of q . k; 1 (not 1/sqrt(head_dim): whoever builds it says so) */
    int64_t q_offset;   /* elements into the last axis */
    int64_t k_offset;
    int64_t v_offset;
};

static inline int64_t dyno_mha_v_head_dim(const struct dyno_mha_attrs *attrs)
{
    return attrs->v_head_dim != 0 ? attrs->v_head_dim : attrs->head_dim;
}

#endif /* DYNO_OPS_MHA_H */
