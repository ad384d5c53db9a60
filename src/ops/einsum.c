/* einsum.c - sums of products over named axes, "ij,jk->ik".  (ONNX Einsum-12) */
#include <ctype.h>
#include <string.h>

#include "ops/infer.h"
#include "ops/move.h"
#include "ops/ref.h"

static const struct dyno_attr attrs[] = {
    {"equation", DYNO_ATTR_STR, offsetof(struct dyno_einsum_attrs, equation), 0, NULL, 1},
};

#define TERMS_MAX  8
#define LETTERS    52
#define LABELS_MAX (LETTERS + DYNO_RANK_MAX) /* the axes of "..." come after the letters */

/* The equation for inputs of known ranks: each term's axes as labels. */
struct equation {
    int term_count;
    int ranks[TERMS_MAX];
    uint8_t terms[TERMS_MAX][DYNO_RANK_MAX];
    int out_rank;
    uint8_t out[DYNO_RANK_MAX];
};

static int label_of(char c)
{
    return c >= 'a' ? c - 'a' + 26 : c - 'A';
}

struct term {
    const char *text;
    size_t bytes;
    int rank;          /* axes of its tensor; -1: as many as it names */
    int ellipsis_rank; /* axes of "..." where rank is -1 */
};

/* The axes of "..." are labelled so that the last ones of all terms meet. */
static enum dyno_status parse_term(struct term term, uint8_t *labels, int *rank_out,
                                   struct dyno_err *err)
{
    const char *const text = term.text;
    const int shown = term.bytes < 64 ? (int)term.bytes : 64;
    int named = 0;
    bool has_dots = false;
    for (size_t i = 0; i < term.bytes; i++)
        named += isalpha((unsigned char)text[i]) != 0;
    const int hidden = term.rank >= 0 ? term.rank - named : term.ellipsis_rank;
    int at = 0;
    for (size_t i = 0; i < term.bytes; i++) {
        if (text[i] == ' ')
            continue;
        const bool dots = term.bytes - i >= 3 && memcmp(text + i, "...", 3) == 0;
        if (!dots && isalpha((unsigned char)text[i]) == 0)
            return DYNO_FAIL(err, DYNO_E_FORMAT, "the equation has '%c' in a term", text[i]);
        const int axes = dots ? hidden : 1;
        if ((dots && has_dots) || axes < 0 || at + axes > DYNO_RANK_MAX)
            return DYNO_FAIL(err, DYNO_E_FORMAT,
                             "term '%.*s' of the equation does not fit its tensor", shown, text);
        for (int j = 0; j < axes; j++)
            labels[at++] = (uint8_t)(dots ? LABELS_MAX - axes + j : label_of(text[i]));
        has_dots = has_dots || dots;
        i += dots ? 2 : 0;
    }
    *rank_out = at;
    if (term.rank >= 0 && at != term.rank)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "term '%.*s' names %d axes, the input has %d", shown,
                         text, at, term.rank);
    return DYNO_OK;
}

/* Without "->": the axes of "...", then the letters that come once, in order. */
static enum dyno_status implicit_output(struct equation *eq, int ellipsis_rank,
                                        struct dyno_err *err)
{
    int seen[LABELS_MAX] = {0};
    for (int t = 0; t < eq->term_count; t++)
        for (int i = 0; i < eq->ranks[t]; i++)
            seen[eq->terms[t][i]]++;
    for (int i = 0; i < ellipsis_rank; i++)
        eq->out[eq->out_rank++] = (uint8_t)(LABELS_MAX - ellipsis_rank + i);
    for (int label = 0; label < LETTERS; label++) {
        if (seen[label] != 1)
            continue;
        if (eq->out_rank == DYNO_RANK_MAX)
            return DYNO_FAIL(err, DYNO_E_LIMIT, "the output has more than %d axes", DYNO_RANK_MAX);
        eq->out[eq->out_rank++] = (uint8_t)label;
    }
    return DYNO_OK;
}

static enum dyno_status check_output(const struct equation *eq, struct dyno_err *err)
{
    bool named[LABELS_MAX] = {false};
    bool placed[LABELS_MAX] = {false};
    for (int t = 0; t < eq->term_count; t++)
        for (int i = 0; i < eq->ranks[t]; i++)
            named[eq->terms[t][i]] = true;
    for (int i = 0; i < eq->out_rank; i++) {
        if (!named[eq->out[i]] || placed[eq->out[i]])
            return DYNO_FAIL(err, DYNO_E_FORMAT, "axis %d of the equation's output is %s", i,
                             named[eq->out[i]] ? "there already" : "in no input");
        placed[eq->out[i]] = true;
    }
    return DYNO_OK;
}

static enum dyno_status parse(const struct dyno_str *equation, const int *ranks, uint32_t in_count,
                              struct equation *eq, struct dyno_err *err)
{
    const char *at = equation->text;
    const char *const end = equation->text + equation->bytes;
    const char *const arrow = memmem(at, equation->bytes, "->", 2);
    const char *const terms_end = arrow != NULL ? arrow : end;
    int ellipsis_rank = 0;
    *eq = (struct equation){0};
    for (bool more = true; more;) {
        const char *const comma = memchr(at, ',', (size_t)(terms_end - at));
        const char *const stop = comma != NULL ? comma : terms_end;
        const int t = eq->term_count++;
        if (t >= TERMS_MAX || (uint32_t)t >= in_count)
            return DYNO_FAIL(err, DYNO_E_FORMAT,
                             "the equation has more terms than the node inputs");
        const struct term term = {at, (size_t)(stop - at), ranks[t], 0};
        DYNO_TRY(parse_term(term, eq->terms[t], &eq->ranks[t], err));
        int hidden = 0;
        for (int i = 0; i < eq->ranks[t]; i++)
            hidden += eq->terms[t][i] >= LETTERS;
        ellipsis_rank = hidden > ellipsis_rank ? hidden : ellipsis_rank;
        more = comma != NULL;
        at = stop + 1;
    }
    if ((uint32_t)eq->term_count != in_count)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "the equation has %d terms, the node %u inputs",
                         eq->term_count, in_count);
    if (arrow == NULL) {
        DYNO_TRY(implicit_output(eq, ellipsis_rank, err));
    } else {
        const struct term term = {arrow + 2, (size_t)(end - arrow - 2), -1, ellipsis_rank};
        DYNO_TRY(parse_term(term, eq->out, &eq->out_rank, err));
    }
    return check_output(eq, err);
}

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_einsum_attrs *const a = ctx->attrs;
    struct equation eq;
    int ranks[TERMS_MAX] = {0};
    dyno_expr sizes[LABELS_MAX];
    dyno_expr dims[DYNO_RANK_MAX];
    if (ctx->in_count > TERMS_MAX)
        return DYNO_FAIL(ctx->err, DYNO_E_LIMIT, "there are %u inputs, at most %d are held",
                         ctx->in_count, TERMS_MAX);
    if (a->equation.text == NULL)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "attribute equation is absent");
    for (uint32_t i = 0; i < ctx->in_count; i++) {
        DYNO_TRY(dyno_infer_want(ctx, i, DYNO_WANT_NUMBER));
        DYNO_TRY(dyno_infer_want_same(ctx, 0, i));
        ranks[i] = ctx->in[i]->rank;
        if (ranks[i] < 0)
            return dyno_infer_set(ctx, 0, ctx->in[0]->dtype, -1, NULL);
    }
    DYNO_TRY(parse(&a->equation, ranks, ctx->in_count, &eq, ctx->err));
    for (int i = 0; i < LABELS_MAX; i++)
        sizes[i] = dyno_expr_const(ctx->exprs, 1);
    for (int t = 0; t < eq.term_count; t++)
        for (int i = 0; i < eq.ranks[t]; i++) {
            dyno_expr *const size = &sizes[eq.terms[t][i]];
            int rank = 0;
            DYNO_TRY(dyno_infer_broadcast_dims(ctx, size, 1, &ctx->in[t]->dims[i], 1, size, &rank));
        }
    for (int i = 0; i < eq.out_rank; i++)
        dims[i] = sizes[eq.out[i]];
    return dyno_infer_set(ctx, 0, ctx->in[0]->dtype, eq.out_rank, dims);
}

/* The loop nest: one counter a label in use, the output's first, the summed ones after. */
struct nest {
    int depth;
    int out_depth;
    int64_t sizes[LABELS_MAX];
    int64_t strides[TERMS_MAX][LABELS_MAX];
};

static void nest_init(const struct dyno_ref *ctx, const struct equation *eq, struct nest *nest)
{
    int place[LABELS_MAX];
    memset(nest, 0, sizeof(*nest));
    for (int i = 0; i < LABELS_MAX; i++)
        place[i] = -1;
    for (int i = 0; i < eq->out_rank; i++)
        place[eq->out[i]] = nest->depth++;
    nest->out_depth = nest->depth;
    for (int t = 0; t < eq->term_count; t++) {
        int64_t strides[DYNO_RANK_MAX];
        dyno_ref_strides(eq->ranks[t], ctx->in[t]->dims, strides);
        for (int i = 0; i < eq->ranks[t]; i++) {
            int *const at = &place[eq->terms[t][i]];
            if (*at < 0)
                *at = nest->depth++;
            const int64_t size = ctx->in[t]->dims[i];
            if (nest->sizes[*at] == 0 || nest->sizes[*at] == 1)
                nest->sizes[*at] = size;
            nest->strides[t][*at] += size == 1 ? 0 : strides[i]; /* twice in a term: a diagonal */
        }
    }
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_einsum_attrs *const a = ctx->attrs;
    struct dyno_tensor *const out = &ctx->out[0];
    const bool is_float = dyno_dtype_is_float(out->dtype);
    struct equation eq;
    struct nest nest;
    int ranks[TERMS_MAX];
    for (uint32_t i = 0; i < ctx->in_count; i++)
        ranks[i] = ctx->in[i]->rank;
    DYNO_TRY(parse(&a->equation, ranks, ctx->in_count, &eq, ctx->err));
    nest_init(ctx, &eq, &nest);
    const int64_t count = dyno_tensor_count(out);
    int64_t summed = 1;
    for (int i = nest.out_depth; i < nest.depth; i++)
        summed *= nest.sizes[i];
    for (int64_t i = 0; i < count; i++) {
        double sum_f64 = 0.0;
        uint64_t sum_i64 = 0;
        for (int64_t j = 0; j < summed; j++) {
            double f64 = 1.0;
            uint64_t i64 = 1;
            int64_t at[TERMS_MAX] = {0};
            int64_t rest = j;
            for (int d = nest.depth - 1; d >= 0; d--) {
                if (d == nest.out_depth - 1)
                    rest = i;
                for (int t = 0; t < eq.term_count; t++)
                    at[t] += rest % nest.sizes[d] * nest.strides[t][d];
                rest /= nest.sizes[d];
            }
            for (int t = 0; t < eq.term_count; t++) {
                if (is_float)
                    f64 *= dyno_elem_load_f64(out->dtype, ctx->in[t]->data, (size_t)at[t]);
                else
                    i64 *= (uint64_t)dyno_ref_i64(ctx->in[t], at[t]);
            }
            sum_f64 += f64;
            sum_i64 += i64;
        }
        if (is_float)
            dyno_elem_store_f64(out->dtype, out->data, (size_t)i, sum_f64);
        else
            dyno_elem_store_i64(out->dtype, out->data, (size_t)i, (int64_t)sum_i64);
    }
    return DYNO_OK;
}

const struct dyno_op dyno_op_einsum = {
    .onnx_name = "Einsum",
    .since = 12,
    DYNO_VARIADIC_OP,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_einsum_attrs),
    .infer = infer,
    .reference = reference,
};
