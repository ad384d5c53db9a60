/* cublaslt_geometry.c - what of a step cuBLASLt can do: shapes, tails, packed weights. */
#include <string.h>

#include "backend/cpu/conv.h"
#include "backend/cuda/cublaslt_product.h"
#include "ops/gemm.h"

#define ALIGN_BYTES UINT64_C(256)
#define BYTES_MAX   (INT64_C(1) << 40)

static uint64_t round_up(uint64_t bytes)
{
    return (bytes + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES;
}

static bool is_tensor(const struct dyno_site *site, uint32_t i)
{
    return !dyno_cuda_is_absent(site, i) && dyno_cuda_is_f32(&site->ins[i]) &&
           !site->in_is_weight[i] && dyno_cuda_readable(site, i);
}

static bool is_gemm(const struct dyno_site *site)
{
    return site->step->op == DYNO_OP_gemm;
}

/* --- tails --- */

/* Is this operand the value so far, or an input? */
static bool is_value(const struct dyno_operand *operand, uint32_t instr)
{
    return operand->kind == DYNO_OPERAND_REG && operand->idx == instr;
}

/* v + input: as the bias, or as C. */
static bool take_sum(const struct dyno_site *site, const struct dyno_cuda_tail *tail,
                     const struct dyno_operand *operand, struct dyno_lt_geometry *geometry)
{
    uint32_t slot = 0;
    while (slot < tail->in_count && tail->ins[slot].idx != operand->idx)
        slot++;
    if (operand->kind != DYNO_OPERAND_INPUT || slot == tail->in_count)
        return false;
    const uint32_t idx = operand->idx;
    const uint8_t spread = tail->ins[slot].spread;
    if (spread == DYNO_CUDA_SAME && geometry->c == DYNO_LT_NONE &&
        dyno_layout_same(tail->ins[slot].layout, geometry->way.out)) {
        geometry->c = idx;
        geometry->beta = 1.0F;
        return true;
    }
    /* Along the last axis, which is that of rows where B is a vector. */
    const bool along = spread == DYNO_CUDA_COLUMN && !geometry->is_vector;
    if ((!along && spread != DYNO_CUDA_SCALAR) || !site->in_is_weight[idx] ||
        geometry->tail_bias != DYNO_LT_NONE)
        return false;
    geometry->tail_bias = idx;
    return true;
}

/* Sums with a bias and with a tensor, then at most one of the functions that the library has.  Its
 * GELU is the tanh form; the exact one is another function. */
static bool take_tail(const struct dyno_site *site, const struct dyno_tactic *tactic,
                      struct dyno_lt_geometry *geometry)
{
    const struct dyno_tail *program = &site->step->tail;
    struct dyno_cuda_tail tail;
    if (!dyno_cuda_tail_plan(site, tactic, &tail))
        return false;
    if (geometry->way.pass)
        return program->instr_count != 0;
    for (uint32_t i = 0; i < program->instr_count; i++) {
        const struct dyno_tail_instr *instr = &program->instrs[i];
        const struct dyno_operand *operands = instr->operands;
        if (instr->op == DYNO_PW_add) {
            const int other = is_value(&operands[0], i) ? 1 : 0;
            if (!is_value(&operands[1 - other], i) ||
                !take_sum(site, &tail, &operands[other], geometry))
                return false;
            continue;
        }
        if (i + 1 != program->instr_count || !is_value(&operands[0], i))
            return false;
        if (instr->op == DYNO_PW_relu)
            geometry->epilogue |= DYNO_LT_WITH_RELU;
        else if (instr->op == DYNO_PW_gelu_tanh)
            geometry->epilogue |= DYNO_LT_WITH_GELU;
        else
            return false;
    }
    return true;
}

/* --- MatMul and Gemm --- */

/* Gemm's C: a constant along n is a bias, a tensor of the result's shape is C. */
static bool take_c(const struct dyno_site *site, const struct dyno_tactic *tactic,
                   struct dyno_lt_geometry *geometry)
{
    const struct dyno_gemm_attrs *attrs = site->step->attrs;
    if (dyno_cuda_is_absent(site, 2))
        return true;
    const struct dyno_buf *c = &site->ins[2];
    const struct dyno_buf *out = &site->outs[0];
    if (dyno_cuda_is_constant(site, 2)) {
        const int64_t count = dyno_cuda_count(c, 0, c->rank);
        geometry->own_bias = 2;
        geometry->bias_factor = attrs->beta;
        return count == 1 || (count == geometry->n && c->dims[c->rank - 1] == count);
    }
    geometry->c = 2;
    geometry->beta = attrs->beta;
    return is_tensor(site, 2) && c->rank == 2 && c->dims[0] == out->dims[0] &&
           c->dims[1] == out->dims[1] && dyno_layout_same(tactic->in_layouts[2], geometry->way.out);
}

/* An axis of one where a vector lacks it. */
static void widen(struct dyno_buf *buf, int axis)
{
    if (buf->rank >= DYNO_RANK_MAX)
        return;
    for (int i = buf->rank; i > axis; i--)
        buf->dims[i] = buf->dims[i - 1];
    buf->dims[axis] = 1;
    buf->rank++;
}

/* Both factors and the result as matrices. */
static void widen_all(struct dyno_buf *a, struct dyno_buf *b, struct dyno_buf *out)
{
    const bool is_row = a->rank == 1, is_column = b->rank == 1;
    if (is_column) {
        widen(b, 1);
        widen(out, out->rank);
    }
    if (is_row) {
        widen(a, 0);
        widen(out, out->rank - 1);
    }
}

static bool matmul_of(const struct dyno_site *site, const struct dyno_tactic *tactic,
                      struct dyno_lt_geometry *geometry)
{
    struct dyno_buf a = site->ins[0], b = site->ins[1], out = site->outs[0];
    const struct dyno_gemm_attrs *attrs = site->step->attrs;
    bool a_shared = false, b_shared = false;
    geometry->b_packed = dyno_cuda_is_constant(site, 1);
    /* A constant A is read as it lies in the engine. */
    const bool has_a =
        is_tensor(site, 0) || (dyno_cuda_is_constant(site, 0) && geometry->way.in.elem == 0);
    if (!has_a || (!geometry->b_packed && !is_tensor(site, 1)) || a.rank < 1 || b.rank < 1)
        return false;
    geometry->is_vector = b.rank == 1;
    widen_all(&a, &b, &out);
    if (out.rank < 2 || !dyno_cuda_batch_spreads(&a, &out, &a_shared) ||
        !dyno_cuda_batch_spreads(&b, &out, &b_shared))
        return false;
    const bool b_given_turned = is_gemm(site) && attrs->trans_b != 0;
    geometry->a_turned = is_gemm(site) && attrs->trans_a != 0;
    geometry->b_turned = geometry->b_packed ? geometry->way.turned : b_given_turned;
    geometry->batch = dyno_cuda_count(&out, 0, out.rank - 2);
    geometry->m = a.dims[a.rank - (geometry->a_turned ? 1 : 2)];
    geometry->k = a.dims[a.rank - (geometry->a_turned ? 2 : 1)];
    geometry->n = b.dims[b.rank - (b_given_turned ? 2 : 1)];
    if (geometry->k != b.dims[b.rank - (b_given_turned ? 1 : 2)])
        return false;
    if (b_shared && !a_shared && !geometry->a_turned) { /* one tall matrix */
        geometry->m *= geometry->batch;
        geometry->batch = 1;
    }
    geometry->lda = geometry->a_turned ? geometry->m : geometry->k;
    geometry->ldo = geometry->n;
    geometry->a_step = a_shared ? 0 : geometry->m * geometry->k;
    geometry->b_step = b_shared ? 0 : geometry->k * geometry->n;
    geometry->channels = geometry->k;
    geometry->columns = geometry->n;
    if (is_gemm(site))
        geometry->alpha = attrs->alpha;
    return !is_gemm(site) || take_c(site, tactic, geometry);
}

/* --- Conv --- */

/* Of one tap, channels last: each position is a row.  Channels behind the last one are products
 * with zeros, which are zero after any epilogue. */
static bool conv_of(const struct dyno_site *site, struct dyno_lt_geometry *geometry)
{
    struct dyno_cpu_conv conv = {.batch = 0};
    const struct dyno_layout layout = geometry->way.in;
    if (!is_tensor(site, 0) || site->ins[0].rank < 3 || site->ins[0].rank > 4 ||
        !dyno_cuda_is_constant(site, 1) ||
        (!dyno_cuda_is_constant(site, 2) && !dyno_cuda_is_absent(site, 2)) ||
        dyno_cpu_conv_resolve(site, &conv, NULL) != DYNO_OK)
        return false;
    if (conv.groups != 1 || conv.taps != 1 || conv.sh != 1 || conv.sw != 1 || conv.ph != 0 ||
        conv.pw != 0 || conv.ph_end != 0 || conv.pw_end != 0)
        return false;
    geometry->b_packed = true;
    geometry->b_turned = geometry->way.turned;
    geometry->batch = 1;
    geometry->m = conv.batch * conv.oh * conv.ow;
    geometry->channels = conv.c;
    geometry->columns = conv.m;
    geometry->k = dyno_cuda_stored(conv.c, layout);
    geometry->n = dyno_cuda_stored(conv.m, layout);
    geometry->lda = dyno_cuda_ld(&site->ins[0], layout);
    geometry->ldo = dyno_cuda_ld(&site->outs[0], layout);
    geometry->own_bias = dyno_cuda_is_absent(site, 2) ? DYNO_LT_NONE : 2;
    return true;
}

/* --- both --- */

enum dyno_status dyno_lt_geometry_of(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                     const struct dyno_lt_way *way,
                                     struct dyno_lt_geometry *geometry_out, struct dyno_err *err)
{
    struct dyno_lt_geometry geometry = {.way = *way,
                                        .alpha = 1.0F,
                                        .own_bias = DYNO_LT_NONE,
                                        .tail_bias = DYNO_LT_NONE,
                                        .bias_factor = 1.0F,
                                        .c = DYNO_LT_NONE};
    const bool fits = site->step->op == DYNO_OP_conv ? conv_of(site, &geometry)
                                                     : matmul_of(site, tactic, &geometry);
    if (site->step->out_count != 1 || !dyno_cuda_is_f32(&site->outs[0]) || !fits ||
        !take_tail(site, tactic, &geometry) || geometry.k < 1 || geometry.n < 1)
        return dyno_cuda_refuse(site, err);
    if (geometry.batch > INT32_MAX || geometry.m > INT32_MAX || geometry.k > INT32_MAX ||
        geometry.n > INT32_MAX || geometry.k > BYTES_MAX / 4 / geometry.n)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "%lld products of %lld x %lld x %lld are too large",
                         (long long)geometry.batch, (long long)geometry.m, (long long)geometry.k,
                         (long long)geometry.n);
    const bool has_bias = geometry.own_bias != DYNO_LT_NONE || geometry.tail_bias != DYNO_LT_NONE;
    const uint64_t out_bytes = way->out.elem != 0 ? 2 : 4;
    const uint64_t in_bytes = way->in.elem != 0 ? 2 : 4;
    geometry.epilogue |= has_bias ? DYNO_LT_WITH_BIAS : 0;
    geometry.epilogue |= geometry.epilogue == 0 ? DYNO_LT_PLAIN : 0;
    geometry.ldb = geometry.b_turned ? geometry.k : geometry.n;
    geometry.out_step = geometry.m * geometry.n;
    geometry.ldc = geometry.ldo;
    if (geometry.c != DYNO_LT_NONE && dyno_cuda_is_last(way->out))
        geometry.ldc = dyno_cuda_ld(&site->ins[geometry.c], way->out);
    geometry.b_at = has_bias ? round_up((uint64_t)geometry.n * out_bytes) : 0;
    geometry.packed_bytes = geometry.b_at;
    if (geometry.b_packed)
        geometry.packed_bytes += (uint64_t)(geometry.b_step != 0 ? geometry.batch : 1) *
                                 (uint64_t)(geometry.k * geometry.n) * in_bytes;
    if (geometry.packed_bytes > (uint64_t)BYTES_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "weights of %llu bytes are too large",
                         (unsigned long long)geometry.packed_bytes);
    *geometry_out = geometry;
    return DYNO_OK;
}

/* --- packing --- */

static float bias_from(const struct dyno_site *site, uint32_t idx, int64_t n)
{
    if (idx == DYNO_LT_NONE)
        return 0.0F;
    const struct dyno_buf *buf = &site->ins[idx];
    const float *values = buf->data;
    return dyno_cuda_count(buf, 0, buf->rank) == 1 ? values[0] : values[n];
}

static float weight_at(const struct dyno_site *site, const struct dyno_lt_geometry *geometry,
                       int64_t item, int64_t k, int64_t n)
{
    const float *w =
        (const float *)site->ins[1].data + item * geometry->channels * geometry->columns;
    const struct dyno_gemm_attrs *attrs = site->step->attrs;
    if (k >= geometry->channels || n >= geometry->columns)
        return 0.0F;
    const bool turned = site->step->op == DYNO_OP_conv || (is_gemm(site) && attrs->trans_b != 0);
    return turned ? w[n * geometry->channels + k] : w[k * geometry->columns + n];
}

void dyno_lt_pack(const struct dyno_site *site, const struct dyno_lt_geometry *geometry, void *dst)
{
    const enum dyno_dtype out = dyno_layout_elem(geometry->way.out, DYNO_F32);
    const enum dyno_dtype in = dyno_layout_elem(geometry->way.in, DYNO_F32);
    memset(dst, 0, geometry->packed_bytes);
    for (int64_t n = 0; geometry->b_at != 0 && n < geometry->columns; n++) {
        const float bias = bias_from(site, geometry->own_bias, n) * geometry->bias_factor +
                           bias_from(site, geometry->tail_bias, n);
        dyno_elem_store_f64(out, dst, (size_t)n, (double)bias);
    }
    char *b = (char *)dst + geometry->b_at;
    const int64_t items = geometry->b_step != 0 ? geometry->batch : 1;
    for (int64_t i = 0; geometry->b_packed && i < items; i++) {
        for (int64_t k = 0; k < geometry->k; k++) {
            for (int64_t n = 0; n < geometry->n; n++) {
                const int64_t at = geometry->b_turned ? n * geometry->k + k : k * geometry->n + n;
                dyno_elem_store_f64(in, b, (size_t)(i * geometry->k * geometry->n + at),
                                    (double)weight_at(site, geometry, i, k, n));
            }
        }
    }
}
