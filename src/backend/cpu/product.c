/* product.c - MatMul and Gemm as one thing. */
#include "backend/cpu/product.h"

#include "backend/cpu/kernel.h"
#include "ops/gemm.h"

#define ELEMENTS_MAX (INT64_C(1) << 40)

static bool constant(const struct dyno_site *site, uint32_t idx)
{
    return site->in_is_weight[idx];
}

/* One value a column, or one for all. */
static bool along_columns(const struct dyno_buf *buf, int64_t n)
{
    for (int i = 0; i < buf->rank - 1; i++) {
        if (buf->dims[i] != 1)
            return false;
    }
    return buf->rank == 0 || buf->dims[buf->rank - 1] == 1 || buf->dims[buf->rank - 1] == n;
}

/* The tail starts by adding a constant row, and nothing else looks at what came before. */
static bool peels(const struct dyno_site *site, int64_t n, uint32_t *input_out)
{
    const struct dyno_tail *tail = &site->step->tail;
    if (tail->instr_count == 0 || tail->instrs[0].op != DYNO_PW_add)
        return false;
    const struct dyno_operand *ops = tail->instrs[0].operands;
    const int at = ops[0].kind == DYNO_OPERAND_REG ? 1 : 0;
    if (ops[1 - at].kind != DYNO_OPERAND_REG || ops[at].kind != DYNO_OPERAND_INPUT)
        return false;
    const uint32_t input = ops[at].idx;
    if (input >= site->step->in_count || !constant(site, input) ||
        !dyno_cpu_is_f32(&site->ins[input]) || !along_columns(&site->ins[input], n))
        return false;
    for (uint32_t i = 1; i < tail->instr_count; i++) {
        const int count = dyno_pw_infos[tail->instrs[i].op].operand_count;
        for (int k = 0; k < count; k++) {
            if (tail->instrs[i].operands[k].kind == DYNO_OPERAND_REG &&
                tail->instrs[i].operands[k].idx == 0)
                return false;
        }
    }
    *input_out = input;
    return true;
}

static bool resolve_mat_mul(const struct dyno_site *site, struct dyno_cpu_product *p)
{
    const struct dyno_buf *a = &site->ins[0];
    const struct dyno_buf *b = &site->ins[1];
    struct dyno_mat_mul_shape *shape = &p->shape;
    if (dyno_mat_mul_shape(a->rank, a->dims, b->rank, b->dims, shape, NULL) != DYNO_OK)
        return false;
    p->rows = shape->m;
    p->k = shape->k;
    p->n = shape->n;
    p->batches = shape->batch_count;
    p->b_count = b->rank > 2 ? dyno_cpu_product(b->dims, 0, b->rank - 2) : 1;
    const int64_t a_count = a->rank > 2 ? dyno_cpu_product(a->dims, 0, a->rank - 2) : 1;
    p->folded = p->b_count == 1 && a_count == p->batches;
    if (p->folded) {
        p->rows *= p->batches;
        p->batches = 1;
    }
    p->a_row = p->k;
    p->a_col = 1;
    p->b_row = p->n;
    p->b_col = 1;
    return true;
}

static bool resolve_gemm(const struct dyno_site *site, struct dyno_cpu_product *p)
{
    const struct dyno_gemm_attrs *attrs = site->step->attrs;
    const struct dyno_buf *a = &site->ins[0];
    const struct dyno_buf *b = &site->ins[1];
    if (a->rank != 2 || b->rank != 2)
        return false;
    const bool ta = attrs->trans_a != 0;
    const bool tb = attrs->trans_b != 0;
    p->rows = a->dims[ta ? 1 : 0];
    p->k = a->dims[ta ? 0 : 1];
    p->n = b->dims[tb ? 0 : 1];
    p->batches = p->b_count = 1;
    p->folded = true;
    p->a_row = ta ? 1 : p->k;
    p->a_col = ta ? p->rows : 1;
    p->b_row = tb ? 1 : p->n;
    p->b_col = tb ? p->k : 1;
    p->alpha = attrs->alpha;
    p->beta = attrs->beta;
    const bool has_c = site->step->own_in_count > 2 && site->ins[2].rank >= 0 && p->beta != 0.0F;
    if (!has_c)
        return true;
    const struct dyno_buf *c = &site->ins[2];
    if (c->rank > 2 || !dyno_cpu_is_f32(c))
        return false;
    p->bias = constant(site, 1) && constant(site, 2) && along_columns(c, p->n);
    p->addend = !p->bias;
    return true;
}

bool dyno_cpu_product_resolve(const struct dyno_site *site, struct dyno_cpu_product *product_out)
{
    const struct dyno_step *step = site->step;
    if ((step->op != DYNO_OP_mat_mul && step->op != DYNO_OP_gemm) || step->own_in_count < 2 ||
        !dyno_cpu_is_f32(&site->ins[0]) || !dyno_cpu_is_f32(&site->ins[1]) ||
        !dyno_cpu_is_f32(&site->outs[0]) || !dyno_cpu_tail_accepts(site))
        return false;
    struct dyno_cpu_product p = {.alpha = 1.0F, .beta = 1.0F};
    if (!(step->op == DYNO_OP_mat_mul ? resolve_mat_mul(site, &p) : resolve_gemm(site, &p)))
        return false;
    if (p.rows > ELEMENTS_MAX || p.k > INT32_MAX || p.n > INT32_MAX || p.batches > ELEMENTS_MAX)
        return false;
    p.b_constant = constant(site, 1);
    if (p.b_constant && !p.addend && peels(site, p.n, &p.peeled_input)) {
        p.peeled = true;
        p.bias = true;
    }
    *product_out = p;
    return true;
}

void dyno_cpu_product_tail(const struct dyno_step *step, const struct dyno_cpu_product *product,
                           struct dyno_tail *tail_out)
{
    *tail_out = step->tail;
    if (!product->peeled)
        return;
    tail_out->instr_count--;
    for (uint32_t i = 0; i < tail_out->instr_count; i++) {
        struct dyno_tail_instr *instr = &tail_out->instrs[i];
        *instr = step->tail.instrs[i + 1];
        for (int k = 0; k < 3; k++) {
            if (instr->operands[k].kind == DYNO_OPERAND_REG && instr->operands[k].idx > 0)
                instr->operands[k].idx--;
        }
    }
}

void dyno_cpu_product_batch(const struct dyno_cpu_product *product, int64_t batch, int64_t *a_out,
                            int64_t *b_out)
{
    *a_out = *b_out = 0;
    if (!product->folded)
        dyno_mat_mul_batch(&product->shape, batch, a_out, b_out);
}

bool dyno_cpu_product_packed(const struct dyno_cpu_product *product, int panel,
                             struct dyno_cpu_product_packed *packed_out)
{
    const int64_t columns = dyno_gemm_columns(panel, product->n);
    const uint64_t bias = product->bias ? ((uint64_t)columns + 15) & ~15ULL : 0;
    const uint64_t matrix = dyno_cpu_size((uint64_t)columns, (uint64_t)product->k, 0);
    const uint64_t floats =
        dyno_cpu_size(matrix, product->b_constant ? (uint64_t)product->b_count : 0, bias);
    if (floats > ELEMENTS_MAX || matrix > ELEMENTS_MAX)
        return false;
    *packed_out = (struct dyno_cpu_product_packed){
        .columns = columns,
        .b_at = (int64_t)bias,
        .b_matrix = (int64_t)matrix,
        .all_bytes = floats * sizeof(float),
    };
    return true;
}

static void add_row(const struct dyno_buf *buf, float factor, int64_t n, float *dst)
{
    const float *from = buf->data;
    const bool one = buf->rank == 0 || buf->dims[buf->rank - 1] == 1;
    for (int64_t i = 0; i < n; i++)
        dst[i] += factor * from[one ? 0 : i];
}

void dyno_cpu_product_pack(const struct dyno_site *site, const struct dyno_cpu_product *product,
                           int panel, float *dst)
{
    struct dyno_cpu_product_packed packed;
    DYNO_ASSERT(dyno_cpu_product_packed(product, panel, &packed));
    for (int64_t i = 0; i < packed.b_at; i++)
        dst[i] = 0.0F;
    if (product->bias) {
        if (product->peeled)
            add_row(&site->ins[product->peeled_input], 1.0F, product->n, dst);
        if (site->step->op == DYNO_OP_gemm && site->step->own_in_count > 2 &&
            site->ins[2].rank >= 0 && product->beta != 0.0F)
            add_row(&site->ins[2], product->beta, product->n, dst);
    }
    if (!product->b_constant)
        return;
    const float *b = site->ins[1].data;
    for (int64_t i = 0; i < product->b_count; i++)
        dyno_gemm_pack(panel, product->k, product->n, b + i * product->k * product->n,
                       product->b_row, product->b_col, product->alpha,
                       dst + packed.b_at + i * packed.b_matrix);
}

void dyno_cpu_product_addend(const struct dyno_buf *c, ptrdiff_t *row_out, ptrdiff_t *col_out)
{
    const int64_t cols = c->rank > 0 ? c->dims[c->rank - 1] : 1;
    const int64_t rows = c->rank > 1 ? c->dims[c->rank - 2] : 1;
    *col_out = cols == 1 ? 0 : 1;
    *row_out = rows == 1 ? 0 : cols;
}
