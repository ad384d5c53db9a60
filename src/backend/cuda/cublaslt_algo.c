/* cublaslt_algo.c - products and algorithms as cuBLASLt has them. */
#include <string.h>

#include "backend/cuda/cublaslt_product.h"

static LT_TYPE type_of(struct dyno_layout layout)
{
    if (layout.elem == DYNO_F16)
        return DYNO_LT_F16;
    return layout.elem == DYNO_BF16 ? DYNO_LT_BF16 : DYNO_LT_F32;
}

static LT_COMPUTE compute_of(const struct dyno_lt_geometry *geometry)
{
    return geometry->way.tf32 ? DYNO_LT_COMPUTE_TF32 : DYNO_LT_COMPUTE_F32;
}

/* --- products --- */

static int set_layout(const struct dyno_lt *lt, LT_LAYOUT *layout, LT_TYPE type, int64_t rows,
                      int64_t columns, int64_t ld, int64_t batch, int64_t step)
{
    const int32_t count = (int32_t)batch;
    int code =
        lt->layout_init(layout, sizeof(*layout), type, (uint64_t)rows, (uint64_t)columns, ld);
    if (code == DYNO_LT_OK && batch > 1)
        code = lt->layout_set(layout, DYNO_LT_BATCH_COUNT, &count, sizeof(count));
    if (code == DYNO_LT_OK && batch > 1)
        code = lt->layout_set(layout, DYNO_LT_BATCH_STEP, &step, sizeof(step));
    return code;
}

static int set_product(const struct dyno_lt *lt, const struct dyno_lt_geometry *geometry,
                       LT_PRODUCT *product)
{
    /* Their A is B here: both are transposed, and the result with them. */
    const int32_t turn_a = geometry->b_turned, turn_b = geometry->a_turned;
    const int32_t bias_type = type_of(geometry->way.out);
    const void *somewhere = (const void *)(uintptr_t)256; /* how the bias will be aligned */
    int code = lt->product_init(product, sizeof(*product), compute_of(geometry), DYNO_LT_F32);
    const struct {
        LT_PRODUCT_ATTRIBUTE attribute;
        const void *value;
        size_t bytes;
    } rows[] = {
        {DYNO_LT_TURN_A, &turn_a, sizeof(turn_a)},
        {DYNO_LT_TURN_B, &turn_b, sizeof(turn_b)},
        {DYNO_LT_EPILOGUE, &geometry->epilogue, sizeof(geometry->epilogue)},
        {DYNO_LT_BIAS, &somewhere, sizeof(somewhere)},
        {DYNO_LT_BIAS_TYPE, &bias_type, sizeof(bias_type)},
    };
    const size_t count = (geometry->epilogue & DYNO_LT_WITH_BIAS) != 0 ? DYNO_COUNT(rows) : 3;
    for (size_t i = 0; i < count && code == DYNO_LT_OK; i++)
        code = lt->product_set(product, rows[i].attribute, rows[i].value, rows[i].bytes);
    return code;
}

enum dyno_status dyno_lt_describe(const struct dyno_lt *lt, const struct dyno_lt_geometry *geometry,
                                  struct dyno_lt_call *call_out, struct dyno_err *err)
{
    const struct dyno_lt_geometry *g = geometry;
    const LT_TYPE in = type_of(g->way.in), out = type_of(g->way.out);
    *call_out = (struct dyno_lt_call){0};
    int code = set_layout(lt, &call_out->a, in, g->b_turned ? g->k : g->n,
                          g->b_turned ? g->n : g->k, g->ldb, g->batch, g->b_step);
    if (code == DYNO_LT_OK)
        code = set_layout(lt, &call_out->b, in, g->a_turned ? g->m : g->k,
                          g->a_turned ? g->k : g->m, g->lda, g->batch, g->a_step);
    if (code == DYNO_LT_OK)
        code = set_layout(lt, &call_out->c, out, g->n, g->m, g->ldc, g->batch, g->out_step);
    if (code == DYNO_LT_OK)
        code = set_layout(lt, &call_out->d, out, g->n, g->m, g->ldo, g->batch, g->out_step);
    if (code == DYNO_LT_OK)
        code = set_product(lt, g, &call_out->product);
    return dyno_lt_check(lt, code, "to describe a product", err);
}

/* --- algorithms --- */

int dyno_lt_find(const struct dyno_lt_session *session, struct dyno_lt_call *call,
                 const struct dyno_lt_geometry *geometry, uint64_t workspace_bytes,
                 struct dyno_lt_found *found, int max)
{
    const struct dyno_lt *lt = session->lt;
    const uint32_t align_bytes = DYNO_LT_ALIGN_BYTES, reductions = DYNO_LT_AS_SUMS;
    struct dyno_lt_wish wish;
    int count = 0;
    int code = lt->wish_init(&wish, sizeof(wish));
    if (code == DYNO_LT_OK)
        code =
            lt->wish_set(&wish, DYNO_LT_WORKSPACE_MAX, &workspace_bytes, sizeof(workspace_bytes));
    /* Sums are f32, those over parts of k, too. */
    if (code == DYNO_LT_OK && geometry->way.out.elem != 0)
        code = lt->wish_set(&wish, DYNO_LT_REDUCTIONS, &reductions, sizeof(reductions));
    for (int i = DYNO_LT_ALIGN_A; i <= DYNO_LT_ALIGN_D && code == DYNO_LT_OK; i++)
        code = lt->wish_set(&wish, i, &align_bytes, sizeof(align_bytes));
    if (code == DYNO_LT_OK)
        code = lt->find(session->handle, &call->product, &call->a, &call->b, &call->c, &call->d,
                        &wish, max, found, &count);
    int kept = 0;
    for (int i = 0; code == DYNO_LT_OK && i < count && i < max; i++) {
        if (found[i].state == DYNO_LT_OK && found[i].workspace_bytes <= workspace_bytes)
            found[kept++] = found[i];
    }
    return kept;
}

/* What an algorithm is made of, besides its number: where each lies in the parameters. */
static const struct part {
    LT_ALGO_ATTRIBUTE attribute;
    uint8_t bytes, cfg, shift, bits;
} parts[] = {
    {DYNO_LT_ALGO_TILE, 4, 1, 0, 16},    {DYNO_LT_ALGO_STAGES, 4, 1, 16, 16},
    {DYNO_LT_ALGO_SPLIT, 4, 2, 0, 16},   {DYNO_LT_ALGO_REDUCTION, 4, 2, 16, 8},
    {DYNO_LT_ALGO_SWIZZLE, 4, 2, 24, 8}, {DYNO_LT_ALGO_CUSTOM, 4, 3, 0, 32},
    {DYNO_LT_ALGO_INNER, 2, 4, 0, 16},   {DYNO_LT_ALGO_CLUSTER, 2, 4, 16, 16},
};

static uint32_t mask_of(const struct part *part)
{
    return part->bits == 32 ? UINT32_MAX : (1U << part->bits) - 1;
}

/* An attribute of two or of four bytes. */
static bool get(const struct dyno_lt *lt, const struct dyno_lt_algo *algo,
                LT_ALGO_ATTRIBUTE attribute, size_t bytes, uint32_t *value_out)
{
    uint32_t wide = 0;
    uint16_t narrow = 0;
    size_t written = 0;
    void *to = bytes == sizeof(narrow) ? (void *)&narrow : (void *)&wide;
    if (lt->algo_get(algo, attribute, to, bytes, &written) != DYNO_LT_OK || written != bytes)
        return false;
    *value_out = bytes == sizeof(narrow) ? narrow : wide;
    return true;
}

static bool set(const struct dyno_lt *lt, struct dyno_lt_algo *algo, LT_ALGO_ATTRIBUTE attribute,
                size_t bytes, uint32_t value)
{
    const uint16_t narrow = (uint16_t)value;
    const void *from = bytes == sizeof(narrow) ? (const void *)&narrow : (const void *)&value;
    return lt->algo_set(algo, attribute, from, bytes) == DYNO_LT_OK;
}

bool dyno_lt_algo_write(const struct dyno_lt *lt, const struct dyno_lt_algo *algo, uint32_t *cfg)
{
    uint32_t value = 0;
    if (!get(lt, algo, DYNO_LT_ALGO_ID, sizeof(value), &value) || value > UINT16_MAX)
        return false;
    cfg[0] |= value << 16;
    for (size_t i = 0; i < DYNO_COUNT(parts); i++) {
        if (!get(lt, algo, parts[i].attribute, parts[i].bytes, &value) ||
            value > mask_of(&parts[i]))
            return false;
        cfg[parts[i].cfg] |= value << parts[i].shift;
    }
    return true;
}

bool dyno_lt_algo_read(const struct dyno_lt_session *session,
                       const struct dyno_lt_geometry *geometry, const uint32_t *cfg,
                       struct dyno_lt_algo *algo_out)
{
    const struct dyno_lt *lt = session->lt;
    const LT_TYPE in = type_of(geometry->way.in), out = type_of(geometry->way.out);
    bool ok = lt->algo_init(session->handle, compute_of(geometry), DYNO_LT_F32, in, in, out, out,
                            (int)(cfg[0] >> 16), algo_out) == DYNO_LT_OK;
    for (size_t i = 0; ok && i < DYNO_COUNT(parts); i++)
        ok = set(lt, algo_out, parts[i].attribute, parts[i].bytes,
                 cfg[parts[i].cfg] >> parts[i].shift & mask_of(&parts[i]));
    return ok;
}
