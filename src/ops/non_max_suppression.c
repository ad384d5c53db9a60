/* non_max_suppression.c - boxes chosen by score, class by class, dropping those that overlap a
 * chosen one; y [n, 3] = batch, class, box.  (ONNX NonMaxSuppression-11) */
#include <inttypes.h>
#include <math.h>

#include "ops/infer.h"
#include "ops/move.h"
#include "ops/ref.h"

enum { BOXES, SCORES, MAX_BOXES, IOU_THRESHOLD, SCORE_THRESHOLD };

static const struct dyno_attr attrs[] = {
    {"center_point_box", DYNO_ATTR_I64,
     offsetof(struct dyno_non_max_suppression_attrs, center_point_box), 0, NULL, 0},
};

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const dyno_expr dims[2] = {DYNO_EXPR_NONE, dyno_expr_const(ctx->exprs, 3)};
    for (uint32_t i = BOXES; i <= SCORES; i++) {
        DYNO_TRY(dyno_infer_want(ctx, i, DYNO_WANT_FLOAT));
        if (ctx->in[i]->rank >= 0 && ctx->in[i]->rank != 3)
            return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "input %u has %d dimensions, must have 3", i,
                             ctx->in[i]->rank);
    }
    return dyno_infer_set(ctx, 0, DYNO_I64, 2, dims);
}

struct box {
    double y1, x1, y2, x2;
};

static struct box load_box(const struct dyno_tensor *boxes, int64_t idx, bool is_center)
{
    double v[4];
    for (int i = 0; i < 4; i++)
        v[i] = dyno_elem_load_f64(boxes->dtype, boxes->data, (size_t)(idx * 4 + i));
    if (is_center) /* x, y, width, height */
        return (struct box){v[1] - v[3] / 2, v[0] - v[2] / 2, v[1] + v[3] / 2, v[0] + v[2] / 2};
    /* Any two opposite corners. */
    return (struct box){fmin(v[0], v[2]), fmin(v[1], v[3]), fmax(v[0], v[2]), fmax(v[1], v[3])};
}

static double overlap(struct box a, struct box b)
{
    const double height = fmin(a.y2, b.y2) - fmax(a.y1, b.y1);
    const double width = fmin(a.x2, b.x2) - fmax(a.x1, b.x1);
    const double common = fmax(0.0, height) * fmax(0.0, width);
    const double whole = (a.y2 - a.y1) * (a.x2 - a.x1) + (b.y2 - b.y1) * (b.x2 - b.x1) - common;
    return whole > 0.0 ? common / whole : 0.0;
}

struct limits {
    int64_t max_boxes;
    double iou;
    bool has_score;
    double score;
    bool is_center;
};

static double scalar(const struct dyno_ref *ctx, uint32_t idx, double fallback)
{
    if (idx >= ctx->in_count || ctx->in[idx] == NULL || dyno_tensor_count(ctx->in[idx]) == 0)
        return fallback;
    return dyno_elem_load_f64(ctx->in[idx]->dtype, ctx->in[idx]->data, 0);
}

/* Boxes of one batch and class into chosen_out[], best first; returns how many. */
static int64_t choose(const struct dyno_ref *ctx, const struct limits *limits, int64_t batch,
                      int64_t class_idx, bool *taken, int64_t *chosen_out)
{
    const struct dyno_tensor *const boxes = ctx->in[BOXES];
    const struct dyno_tensor *const scores = ctx->in[SCORES];
    const int64_t count = boxes->dims[1];
    const int64_t row = (batch * scores->dims[1] + class_idx) * count;
    int64_t chosen = 0;
    for (int64_t i = 0; i < count; i++) {
        const double score = dyno_elem_load_f64(scores->dtype, scores->data, (size_t)(row + i));
        taken[i] = limits->has_score && !(score > limits->score);
    }
    while (chosen < limits->max_boxes) {
        int64_t best = -1;
        double best_score = 0.0;
        for (int64_t i = 0; i < count; i++) {
            const double score = dyno_elem_load_f64(scores->dtype, scores->data, (size_t)(row + i));
            if (!taken[i] && (best < 0 || score > best_score)) {
                best = i;
                best_score = score;
            }
        }
        if (best < 0)
            break;
        chosen_out[chosen++] = best;
        const struct box box = load_box(boxes, batch * count + best, limits->is_center);
        for (int64_t i = 0; i < count; i++) {
            const struct box other = load_box(boxes, batch * count + i, limits->is_center);
            taken[i] = taken[i] || i == best || overlap(box, other) > limits->iou;
        }
    }
    return chosen;
}

static enum dyno_status check_shapes(struct dyno_ref *ctx)
{
    const struct dyno_tensor *const boxes = ctx->in[BOXES];
    const struct dyno_tensor *const scores = ctx->in[SCORES];
    if (boxes->dims[2] != 4 || boxes->dims[0] != scores->dims[0] ||
        boxes->dims[1] != scores->dims[2])
        return DYNO_FAIL(ctx->err, DYNO_E_ARG,
                         "boxes must be [batch, n, 4] and scores [batch, class, n]; n is %" PRId64
                         " and %" PRId64,
                         boxes->dims[1], scores->dims[2]);
    return DYNO_OK;
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_non_max_suppression_attrs *const a = ctx->attrs;
    const struct dyno_tensor *const scores = ctx->in[SCORES];
    DYNO_TRY(check_shapes(ctx));
    const int64_t count = scores->dims[2];
    const bool has_max = ctx->in_count > MAX_BOXES && ctx->in[MAX_BOXES] != NULL;
    const int64_t asked = has_max ? dyno_ref_i64(ctx->in[MAX_BOXES], 0) : 0;
    const struct limits limits = {
        .max_boxes = asked < 0 ? 0 : (asked > count ? count : asked),
        .iou = scalar(ctx, IOU_THRESHOLD, 0.0),
        .has_score = ctx->in_count > SCORE_THRESHOLD && ctx->in[SCORE_THRESHOLD] != NULL,
        .score = scalar(ctx, SCORE_THRESHOLD, 0.0),
        .is_center = a->center_point_box != 0,
    };
    const int64_t lists = scores->dims[0] * scores->dims[1];
    const size_t room = (size_t)(lists * limits.max_boxes) + (size_t)count + 1;
    bool *const taken = dyno_arena_alloc(ctx->arena, (size_t)count + 1, sizeof(*taken));
    int64_t *const chosen = dyno_arena_alloc(ctx->arena, room, sizeof(*chosen));
    int64_t *const counts = dyno_arena_alloc(ctx->arena, (size_t)lists + 1, sizeof(*counts));
    if (taken == NULL || chosen == NULL || counts == NULL)
        return DYNO_NOMEM(ctx->err);
    int64_t total = 0;
    for (int64_t i = 0; i < lists; i++) {
        counts[i] =
            choose(ctx, &limits, i / scores->dims[1], i % scores->dims[1], taken, chosen + total);
        total += counts[i];
    }
    DYNO_TRY(dyno_ref_alloc(ctx, 0, DYNO_I64, 2, (const int64_t[]){total, 3}));
    int64_t *out = ctx->out[0].data;
    for (int64_t i = 0, at = 0; i < lists; i++)
        for (int64_t j = 0; j < counts[i]; j++, out += 3) {
            out[0] = i / scores->dims[1];
            out[1] = i % scores->dims[1];
            out[2] = chosen[at++];
        }
    return DYNO_OK;
}

const struct dyno_op dyno_op_non_max_suppression = {
    .onnx_name = "NonMaxSuppression",
    .domain = "",
    .since = 11,
    .in_min = 2,
    .in_max = 5,
    .out_min = 1,
    .out_max = 1,
    .flags = DYNO_OP_OPEN,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_non_max_suppression_attrs),
    .infer = infer,
    .reference = reference,
};
