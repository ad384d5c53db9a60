/* test_nn_norm.c - the normalisations: small cases by hand, shapes, refusals. */
#include "unit/ops/nn_case.h"

#include "ops/norm.h"

/* Mean 3, population variance 4: normalised (-1, 1) with epsilon 0. */
#define LOW  1
#define HIGH 5

static void layer_norm(void)
{
    struct nn_case c;
    nn_begin(&c, &dyno_op_layer_normalization);
    struct dyno_layer_norm_attrs *a = c.attrs;
    CHECK(a->axis == -1 && a->epsilon == 1e-5F && a->stash_type == DYNO_F32);
    a->epsilon = 0;
    nn_in(&c, DYNO_F32, DIMS(2, 2), F32S(LOW, HIGH, 10, 30));
    nn_in(&c, DYNO_F32, DIMS(2), F32S(2, 3));
    nn_in(&c, DYNO_F32, DIMS(2), F32S(0.5F, 0));
    nn_run_ok(&c, 3);
    nn_want(&c, 0, DIMS(2, 2), F32S(-1.5F, 3, -1.5F, 3));
    nn_want(&c, 1, DIMS(2, 1), F32S(3, 20));
    nn_want(&c, 2, DIMS(2, 1), F32S(0.5F, 0.1F));
    a->axis = 0; /* all four: mean 11.5, variance 124.25 */
    a->epsilon = 19.75F;
    c.in_count = 2;
    nn_run_ok(&c, 2);
    nn_want(&c, 0, DIMS(2, 2), F32S(-1.75F, -1.625F, -0.25F, 4.625F));
    nn_want(&c, 1, DIMS(1, 1), F32S(11.5F));
    nn_end(&c);

    struct nn_infer s;
    nn_infer_begin(&s, &dyno_op_layer_normalization);
    nn_infer_in(&s, DYNO_F32, "batch, t, 768");
    nn_infer_in(&s, DYNO_F32, "768");
    CHECK(nn_infer_run(&s, 3) == DYNO_OK);
    nn_infer_want(&s, 0, DYNO_F32, "batch, t, 768");
    nn_infer_want(&s, 2, DYNO_F32, "batch, t, 1");
    nn_infer_in(&s, DYNO_F32, "512");
    nn_infer_refused(&s, "bias has size 512 where x has 768 (axis 2)");
    nn_infer_end(&s);
}

static void rms_norm(void)
{
    struct nn_case c;
    nn_begin(&c, &dyno_op_rms_normalization);
    struct dyno_rms_norm_attrs *a = c.attrs;
    a->epsilon = 0;
    nn_in(&c, DYNO_F32, DIMS(1, 2), F32S(1, 7)); /* mean square 25 */
    nn_in(&c, DYNO_F32, DIMS(2), F32S(5, 10));
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(1, 2), F32S(1, 14));
    nn_end(&c);
}

static void channel_norms(void)
{
    struct nn_case c;
    nn_begin(&c, &dyno_op_instance_normalization);
    struct dyno_instance_norm_attrs *instance = c.attrs;
    instance->epsilon = 0;
    nn_in(&c, DYNO_F32, DIMS(1, 2, 2), F32S(LOW, HIGH, 10, 30));
    nn_in(&c, DYNO_F32, DIMS(2), F32S(1, 2));
    nn_in(&c, DYNO_F32, DIMS(2), F32S(0, 1));
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(1, 2, 2), F32S(-1, 1, -1, 3));
    nn_end(&c);

    nn_begin(&c, &dyno_op_group_normalization);
    struct dyno_group_norm_attrs *group = c.attrs;
    group->epsilon = 0;
    group->num_groups = 2;
    nn_in(&c, DYNO_F32, DIMS(1, 4, 1), F32S(LOW, HIGH, 10, 30));
    nn_in(&c, DYNO_F32, DIMS(4), F32S(1, 2, 3, 4));
    nn_in(&c, DYNO_F32, DIMS(4), F32S(0, 0, 1, 1));
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(1, 4, 1), F32S(-1, 2, -2, 5));
    group->num_groups = 3;
    nn_refused(&c, DYNO_E_FORMAT, "num_groups 3 does not divide x's 4 channels");
    nn_end(&c);

    nn_begin(&c, &dyno_op_batch_normalization);
    struct dyno_batch_norm_attrs *batch = c.attrs;
    batch->epsilon = 1;
    nn_in(&c, DYNO_F32, DIMS(2, 2), F32S(1, 2, 3, 4));
    nn_in(&c, DYNO_F32, DIMS(2), F32S(2, 2));
    nn_in(&c, DYNO_F32, DIMS(2), F32S(0, 10));
    nn_in(&c, DYNO_F32, DIMS(2), F32S(1, 2));
    nn_in(&c, DYNO_F32, DIMS(2), F32S(3, 0));
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(2, 2), F32S(0, 10, 2, 14));
    batch->training_mode = 1;
    nn_refused(&c, DYNO_E_UNSUPPORTED, "training_mode is 1");
    nn_end(&c);

    struct nn_infer s;
    nn_infer_begin(&s, &dyno_op_batch_normalization);
    nn_infer_in(&s, DYNO_F32, "n, 8, h, w");
    for (int i = 0; i < 3; i++)
        nn_infer_in(&s, DYNO_F32, "8");
    nn_infer_in(&s, DYNO_F32, "9");
    nn_infer_refused(&s, "var has 9 entries, wants 8");
    nn_infer_end(&s);
}

static void other_norms(void)
{
    struct nn_case c;
    nn_begin(&c, &dyno_op_mean_variance_normalization);
    nn_in(&c, DYNO_F32, DIMS(2, 2, 1, 1), F32S(LOW, 10, HIGH, 30));
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(2, 2, 1, 1), F32S(-1, -1, 1, 1));
    nn_end(&c);

    nn_begin(&c, &dyno_op_lp_normalization);
    struct dyno_lp_norm_attrs *lp = c.attrs;
    lp->axis = 0;
    nn_in(&c, DYNO_F32, DIMS(2, 2), F32S(3, 0, -4, 0));
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(2, 2), F32S(0.6F, NAN, -0.8F, NAN));
    lp->p = 1;
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(2, 2), F32S(3 / 7.0F, NAN, -4 / 7.0F, NAN));
    lp->p = 3;
    nn_refused(&c, DYNO_E_FORMAT, "p is 3");
    nn_end(&c);

    nn_begin(&c, &dyno_op_lrn);
    struct dyno_lrn_attrs *lrn = c.attrs;
    lrn->size = 2; /* a channel and the one above it */
    lrn->alpha = 2;
    lrn->beta = 1;
    lrn->bias = 1;
    nn_in(&c, DYNO_F32, DIMS(1, 3, 1), F32S(1, 2, 3));
    nn_run_ok(&c, 1);
    nn_want(&c, 0, DIMS(1, 3, 1), F32S(1 / 6.0F, 2 / 14.0F, 3 / 10.0F));
    nn_end(&c);
}

int main(void)
{
    layer_norm();
    rms_norm();
    channel_norms();
    other_norms();
    return TEST_RESULT();
}
