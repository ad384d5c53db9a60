/* test_nn_rnn.c - RNN, GRU, LSTM: one-unit cells by hand, directions, lengths, layouts. */
#include "unit/ops/nn_case.h"

#include "ops/rnn.h"

#define STRS(...)                                         \
    ((struct dyno_strs){(struct dyno_str[]){__VA_ARGS__}, \
                        DYNO_COUNT(((struct dyno_str[]){__VA_ARGS__}))})
#define AFFINE      \
    {               \
        "Affine", 6 \
    }

/* With the identity as activation an RNN sums: h = x + h/2. */
static void rnn_sums(void)
{
    struct nn_case c;
    nn_begin(&c, &dyno_op_rnn);
    struct dyno_rnn_attrs *a = c.attrs;
    a->activations = STRS(AFFINE);
    nn_in(&c, DYNO_F32, DIMS(3, 1, 1), F32S(4, 8, 16));
    nn_in(&c, DYNO_F32, DIMS(1, 1, 1), F32S(1));
    nn_in(&c, DYNO_F32, DIMS(1, 1, 1), F32S(0.5F));
    nn_run_ok(&c, 2);
    nn_want(&c, 0, DIMS(3, 1, 1, 1), F32S(4, 10, 21));
    nn_want(&c, 1, DIMS(1, 1, 1), F32S(21));
    a->direction = DYNO_RNN_REVERSE;
    nn_run_ok(&c, 2);
    nn_want(&c, 0, DIMS(3, 1, 1, 1), F32S(12, 16, 16));
    nn_want(&c, 1, DIMS(1, 1, 1), F32S(12));
    a->direction = DYNO_RNN_FORWARD;
    a->clip = 9;
    nn_run_ok(&c, 2);
    nn_want(&c, 0, DIMS(3, 1, 1, 1), F32S(4, 9, 9));
    nn_end(&c);
}

static void rnn_both_ways_batch_first(void)
{
    struct nn_case c;
    nn_begin(&c, &dyno_op_rnn);
    struct dyno_rnn_attrs *a = c.attrs;
    a->activations = STRS(AFFINE, AFFINE);
    a->activation_alpha = (struct dyno_f32s){F32S(1, 2), 2}; /* backwards everything doubles */
    a->direction = DYNO_RNN_BIDIRECTIONAL;
    a->layout = 1;
    int32_t lengths[] = {2, 1};
    nn_in(&c, DYNO_F32, DIMS(2, 2, 1), F32S(1, 2, 3, 4)); /* [batch, time, 1] */
    nn_in(&c, DYNO_F32, DIMS(2, 1, 1), F32S(1, 1));
    nn_in(&c, DYNO_F32, DIMS(2, 1, 1), F32S(1, 1));
    nn_in(&c, DYNO_F32, DIMS(2, 2), F32S(0, 0.5F, 0, 0));
    nn_in(&c, DYNO_I32, DIMS(2), lengths);
    nn_in(&c, DYNO_F32, DIMS(2, 2, 1), F32S(10, 0, 20, 0)); /* [batch, direction, 1] */
    nn_run_ok(&c, 2);
    /* batch 0: forward 11.5, 14; backward 2*2=4, then 2*(1+4)=10; batch 1 has one step */
    nn_want(&c, 0, DIMS(2, 2, 2, 1), F32S(11.5F, 10, 14, 4, 23.5F, 6, 0, 0));
    nn_want(&c, 1, DIMS(2, 2, 1), F32S(14, 10, 23.5F, 6));
    lengths[1] = 3;
    nn_refused(&c, DYNO_E_FORMAT, "sequence_lens[1] is 3, must be 0..2");
    nn_end(&c);
}

static void gru(void)
{
    struct nn_case c;
    nn_begin(&c, &dyno_op_gru);
    struct dyno_rnn_attrs *a = c.attrs;
    a->activations = STRS(AFFINE, AFFINE);
    nn_in(&c, DYNO_F32, DIMS(1, 1, 1), F32S(1));
    nn_in(&c, DYNO_F32, DIMS(1, 3, 1), F32S(0.25F, 0.5F, 2)); /* z r h */
    nn_in(&c, DYNO_F32, DIMS(1, 3, 1), F32S(0, 0, 3));
    nn_in(&c, DYNO_F32, DIMS(1, 6), F32S(0, 0, 0, 0, 0, 1)); /* only Rb_h */
    nn_absent(&c);
    nn_in(&c, DYNO_F32, DIMS(1, 1, 1), F32S(4));
    nn_run_ok(&c, 2);
    /* h~ = 2 + 3*(0.5*4) + 1 = 9; h = 0.75*9 + 0.25*4 */
    nn_want(&c, 1, DIMS(1, 1, 1), F32S(7.75F));
    a->linear_before_reset = 1;
    nn_run_ok(&c, 2);
    /* h~ = 2 + 0.5*(3*4 + 1) = 8.5 */
    nn_want(&c, 1, DIMS(1, 1, 1), F32S(7.375F));
    nn_end(&c);
}

static void lstm(void)
{
    struct nn_case c;
    nn_begin(&c, &dyno_op_lstm);
    struct dyno_rnn_attrs *a = c.attrs;
    a->activations = STRS(AFFINE, AFFINE, AFFINE);
    nn_in(&c, DYNO_F32, DIMS(1, 1, 1), F32S(1));
    nn_in(&c, DYNO_F32, DIMS(1, 4, 1), F32S(0.5F, 2, 0.25F, 3)); /* i o f c */
    nn_in(&c, DYNO_F32, DIMS(1, 4, 1), F32S(0, 0, 0, 1));
    nn_absent(&c);
    nn_absent(&c);
    nn_in(&c, DYNO_F32, DIMS(1, 1, 1), F32S(5));
    nn_in(&c, DYNO_F32, DIMS(1, 1, 1), F32S(8));
    nn_run_ok(&c, 3);
    /* C = 0.25*8 + 0.5*(3 + 5) = 6; H = 2*6 */
    nn_want(&c, 0, DIMS(1, 1, 1, 1), F32S(12));
    nn_want(&c, 1, DIMS(1, 1, 1), F32S(12));
    nn_want(&c, 2, DIMS(1, 1, 1), F32S(6));
    nn_in(&c, DYNO_F32, DIMS(1, 3), F32S(0.125F, 1, 0)); /* peepholes i o f */
    nn_run_ok(&c, 3);
    /* i = 0.5 + 1; C = 2 + 12 = 14; o = 2 + 14 */
    nn_want(&c, 2, DIMS(1, 1, 1), F32S(14));
    nn_want(&c, 1, DIMS(1, 1, 1), F32S(224));
    a->input_forget = 1;
    nn_run_ok(&c, 3);
    nn_want(&c, 2, DIMS(1, 1, 1), F32S(8)); /* f = 1 - 1.5 */
    nn_end(&c);

    nn_begin(&c, &dyno_op_lstm); /* the fallbacks: sigmoid(0) * tanh(0.5 * tanh(atanh 0.5)) */
    nn_in(&c, DYNO_F32, DIMS(1, 1, 1), F32S(1));
    nn_in(&c, DYNO_F32, DIMS(1, 4, 1), F32S(0, 0, 0, 0.54930615F));
    nn_in(&c, DYNO_F32, DIMS(1, 4, 1), F32S(0, 0, 0, 0));
    nn_run_ok(&c, 3);
    nn_want(&c, 2, DIMS(1, 1, 1), F32S(0.25F));
    nn_want(&c, 1, DIMS(1, 1, 1), F32S(0.12245933F));
    nn_end(&c);
}

static void shapes(void)
{
    struct nn_infer c;
    nn_infer_begin(&c, &dyno_op_lstm);
    struct dyno_rnn_attrs *a = c.attrs;
    a->direction = DYNO_RNN_BIDIRECTIONAL;
    a->hidden_size = 128;
    nn_infer_in(&c, DYNO_F32, "t, n, 64");
    nn_infer_in(&c, DYNO_F32, "2, 512, 64");
    nn_infer_in(&c, DYNO_F32, "2, 512, 128");
    CHECK(nn_infer_run(&c, 3) == DYNO_OK);
    nn_infer_want(&c, 0, DYNO_F32, "t, 2, n, 128");
    nn_infer_want(&c, 2, DYNO_F32, "2, n, 128");
    a->layout = 1;
    CHECK(nn_infer_run(&c, 3) == DYNO_OK);
    nn_infer_want(&c, 0, DYNO_F32, "t, n, 2, 128");
    nn_infer_want(&c, 1, DYNO_F32, "t, 2, 128");
    a->hidden_size = 100;
    nn_infer_refused(&c, "w has size 512 on axis 1, wants 400");
    nn_infer_end(&c);
}

static void refusals(void)
{
    struct nn_case c;
    nn_begin(&c, &dyno_op_rnn);
    struct dyno_rnn_attrs *a = c.attrs;
    nn_in(&c, DYNO_F32, DIMS(1, 1, 1), F32S(1));
    nn_in(&c, DYNO_F32, DIMS(1, 1, 1), F32S(1));
    nn_in(&c, DYNO_F32, DIMS(1, 1, 1), F32S(1));
    a->activations = STRS({"Sine", 4});
    nn_refused(&c, DYNO_E_FORMAT, "activations[0] is 'Sine'");
    nn_end(&c);
}

int main(void)
{
    rnn_sums();
    rnn_both_ways_batch_first();
    gru();
    lstm();
    shapes();
    refusals();
    return TEST_RESULT();
}
