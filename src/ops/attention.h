/* attention.h - attributes of ONNX Attention-24.
 *
 * Inputs   Q, K, V: [B, heads, T, dim], or [B, T, heads*dim] with q_num_heads and kv_num_heads;
 *          attn_mask (bool, or float that is added; broadcastable to [B, q heads, Tq, total], its
 *          last axis may be shorter: the rest is masked); past_key, past_value
 *          [B, kv heads, past, dim]; nonpad_kv_seqlen [B] (i64).
 * Outputs  Y like Q, present_key, present_value, qk_matmul_output [B, q heads, Tq, total].
 * total = past + Tk.  Each kv head serves q heads / kv heads neighbouring query heads.
 */
#ifndef DYNO_OPS_ATTENTION_H
#define DYNO_OPS_ATTENTION_H

#include "ops/op.h"

/* What output 3 holds. */
enum dyno_attention_qk {
    DYNO_ATTENTION_QK_RAW,     /* scale * Q . K^T */
    DYNO_ATTENTION_QK_MASKED,  /* ... + mask */
    DYNO_ATTENTION_QK_CAPPED,  /* ... after softcap */
    DYNO_ATTENTION_QK_SOFTMAX, /* the weights */
};

struct dyno_attention_attrs {
    int64_t is_causal;         /* query i sees keys 0..past+i */
    int64_t kv_num_heads;      /* for rank-3 K, V */
    int64_t q_num_heads;       /* for rank-3 Q */
    int64_t qk_mode;           /* enum dyno_attention_qk (qk_matmul_output_mode) */
    float scale;               /* 0: 1/sqrt(dim of Q) */
    float softcap;             /* > 0: scores become softcap * tanh(scores / softcap) */
    int64_t softmax_precision; /* a dtype; the reference computes in f64 whatever it says */
};

/* Sizes for concrete Q, K, V and past (NULL: none). */
struct dyno_attention_shape {
    int64_t batch, q_heads, kv_heads, q_len, kv_len, past_len, total_len, dim, v_dim;
    bool packed; /* rank 3: [B, T, heads*dim] */
};
enum dyno_status dyno_attention_shape(const struct dyno_attention_attrs *attrs,
                                      const struct dyno_tensor *q, const struct dyno_tensor *k,
                                      const struct dyno_tensor *v, const struct dyno_tensor *past,
                                      struct dyno_attention_shape *shape_out, struct dyno_err *err);

#endif /* DYNO_OPS_ATTENTION_H */
