/* fuse_tails.c - pointwise nodes become the tail of the node that makes what they work on.
 *
 * From an anchor (a node whose kernel can run a tail) the pointwise nodes that work on its result
 * are taken in order, as long as the shape stays.  The longest run is kept of which nothing but the
 * last register is wanted outside; then no operand can depend on the anchor, and the anchor may
 * move to where the last of them stood.
 *
 * Anchors are visited from the last to the first: of two convolutions that meet in an addition the
 * later one gets it.  Pointwise nodes are anchors in a second round, when the heavy ones have had
 * their choice. */
#include "base/mem.h"
#include "passes/match.h"
#include "passes/pass.h"

dyno_pass_fn dyno_pass_fuse_tails;

#define EXTRA_INS_MAX 8

/* The run that starts at an anchor. */
struct run {
    struct dyno_node *anchor;
    struct dyno_node *at[DYNO_TAIL_INSTRS_MAX]; /* in order of execution */
    uint32_t last_reg[DYNO_TAIL_INSTRS_MAX];    /* register that holds the result of at[i] */
    uint32_t count;
    struct dyno_tail tail;
    struct dyno_value *extras[EXTRA_INS_MAX]; /* operands beside the anchor's own inputs */
    uint32_t extra_count;
};

static bool can_anchor(const struct dyno_node *node, bool pointwise_round)
{
    if (node->out_count == 0 || node->outs[0] == NULL || node->outs[0]->type.dtype != DYNO_F32 ||
        node->outs[0]->type.rank < 0)
        return false;
    for (uint32_t i = 1; i < node->out_count; i++) {
        if (node->outs[i] != NULL && node->outs[i]->uses != NULL)
            return false;
    }
    switch ((int)node->op) {
    case DYNO_OP_pointwise:
        return pointwise_round;
    case DYNO_OP_average_pool:
    case DYNO_OP_conv:
    case DYNO_OP_conv_transpose:
    case DYNO_OP_excitation:
    case DYNO_OP_gemm:
    case DYNO_OP_global_average_pool:
    case DYNO_OP_global_max_pool:
    case DYNO_OP_group_normalization:
    case DYNO_OP_instance_normalization:
    case DYNO_OP_layer_normalization:
    case DYNO_OP_log_softmax:
    case DYNO_OP_mat_mul:
    case DYNO_OP_max_pool:
    case DYNO_OP_mha:
    case DYNO_OP_reduce_l1:
    case DYNO_OP_reduce_l2:
    case DYNO_OP_reduce_max:
    case DYNO_OP_reduce_mean:
    case DYNO_OP_reduce_min:
    case DYNO_OP_reduce_prod:
    case DYNO_OP_reduce_sum:
    case DYNO_OP_reduce_sum_square:
    case DYNO_OP_resize:
    case DYNO_OP_rms_normalization:
    case DYNO_OP_softmax:
        return !pointwise_round;
    default:
        return false;
    }
}

/* The register that holds `value`; UINT32_MAX: none does. */
static uint32_t find_reg(const struct run *run, const struct dyno_value *value)
{
    if (value == run->anchor->outs[0])
        return run->anchor->tail.instr_count;
    if (run->anchor->op == DYNO_OP_pointwise && value == run->anchor->ins[0])
        return 0;
    for (uint32_t i = 0; i < run->count; i++) {
        if (value == run->at[i]->outs[0])
            return run->last_reg[i];
    }
    return UINT32_MAX;
}

static bool is_in_run(const struct run *run, const struct dyno_node *node)
{
    for (uint32_t i = 0; i < run->count; i++) {
        if (run->at[i] == node)
            return true;
    }
    return false;
}

static struct dyno_value *reg_value(const struct run *run, uint32_t idx)
{
    return idx == 0 ? run->anchor->outs[0] : run->at[idx - 1]->outs[0];
}

/* The first pointwise node, in order, that works on a register and is not in the run. */
static struct dyno_node *next_node(const struct run *run, const uint32_t *order)
{
    struct dyno_node *best = NULL;
    for (uint32_t i = 0; i <= run->count; i++) {
        for (const struct dyno_use *use = reg_value(run, i)->uses; use != NULL; use = use->next) {
            struct dyno_node *user = use->user;
            if (user == NULL || user->op != DYNO_OP_pointwise ||
                user->graph != run->anchor->graph || is_in_run(run, user))
                continue;
            if (best == NULL || order[user->id] < order[best->id])
                best = user;
        }
    }
    return best;
}

/* `value` as an operand of the run; kind NONE when there is no room for one more. */
static struct dyno_operand operand_of(struct run *run, struct dyno_value *value)
{
    const struct dyno_node *anchor = run->anchor;
    const uint32_t reg = find_reg(run, value);
    if (reg != UINT32_MAX)
        return (struct dyno_operand){.kind = DYNO_OPERAND_REG, .idx = (uint16_t)reg};
    for (uint32_t i = anchor->own_in_count; i < anchor->in_count; i++) {
        if (anchor->ins[i] == value)
            return (struct dyno_operand){.kind = DYNO_OPERAND_INPUT, .idx = (uint16_t)i};
    }
    uint32_t i = 0;
    while (i < run->extra_count && run->extras[i] != value)
        i++;
    const uint32_t used = anchor->in_count - anchor->own_in_count + i;
    if (used >= EXTRA_INS_MAX)
        return (struct dyno_operand){.kind = DYNO_OPERAND_NONE};
    if (i == run->extra_count)
        run->extras[run->extra_count++] = value;
    return (struct dyno_operand){.kind = DYNO_OPERAND_INPUT,
                                 .idx = (uint16_t)(anchor->in_count + i)};
}

/* An operand of `node`'s own tail as one of the run's; `base`: the run's register of what `node`'s
 * first instruction will write. */
static struct dyno_operand translate(struct run *run, const struct dyno_node *node,
                                     struct dyno_operand operand, uint32_t base)
{
    if (operand.kind == DYNO_OPERAND_INPUT)
        return operand_of(run, node->ins[operand.idx]);
    if (operand.kind != DYNO_OPERAND_REG)
        return operand;
    if (operand.idx == 0)
        return operand_of(run, node->ins[0]);
    return (struct dyno_operand){.kind = DYNO_OPERAND_REG,
                                 .idx = (uint16_t)(base + operand.idx - 1)};
}

/* Append the program of `node`; false, and the run is spoilt, when it does not fit. */
static bool append(struct run *run, struct dyno_node *node)
{
    const uint32_t base = run->tail.instr_count + 1;
    if (run->count == DYNO_TAIL_INSTRS_MAX || node->tail.instr_count == 0 ||
        run->tail.instr_count + node->tail.instr_count > DYNO_TAIL_INSTRS_MAX ||
        !dyno_match_same_type(node->outs[0], run->anchor->outs[0]))
        return false;
    for (uint32_t i = 0; i < node->tail.instr_count; i++) {
        struct dyno_tail_instr instr = node->tail.instrs[i];
        for (size_t j = 0; j < DYNO_COUNT(instr.operands); j++) {
            const bool absent = instr.operands[j].kind == DYNO_OPERAND_NONE;
            instr.operands[j] = translate(run, node, instr.operands[j], base);
            if (!absent && instr.operands[j].kind == DYNO_OPERAND_NONE)
                return false;
        }
        dyno_tail_instr_order(&instr);
        run->tail.instrs[run->tail.instr_count++] = instr;
    }
    run->last_reg[run->count] = run->tail.instr_count;
    run->at[run->count++] = node;
    return true;
}

/* Nothing but the last register is used outside the run. */
static bool is_closed(const struct run *run)
{
    for (uint32_t i = 0; i < run->count; i++) {
        for (const struct dyno_use *use = reg_value(run, i)->uses; use != NULL; use = use->next) {
            if (use->user == NULL || !is_in_run(run, use->user))
                return false;
        }
    }
    return true;
}

/* The longest closed run; count 0 when there is none. */
static void grow(struct dyno_node *anchor, const uint32_t *order, struct run *best)
{
    struct run run = {.anchor = anchor, .tail = anchor->tail};
    best->count = 0;
    for (;;) {
        struct dyno_node *node = next_node(&run, order);
        if (node == NULL || !append(&run, node))
            return;
        if (is_closed(&run))
            *best = run;
    }
}

static bool absorb(const struct run *run, uint32_t *order)
{
    struct dyno_node *anchor = run->anchor;
    struct dyno_node *last = run->at[run->count - 1];
    struct dyno_value *result = last->outs[0];
    for (uint32_t i = 0; i < run->extra_count; i++) {
        if (dyno_node_add_in(anchor, run->extras[i]) == UINT32_MAX)
            return false;
    }
    for (uint32_t i = 0; i < run->count; i++) {
        if (!dyno_node_add_origins(anchor, run->at[i]))
            return false;
    }
    dyno_node_move(anchor, last);
    order[anchor->id] = order[last->id];
    last->outs[0] = NULL;
    result->producer = NULL;
    for (uint32_t i = run->count; i > 0; i--)
        dyno_node_remove(run->at[i - 1]);
    dyno_node_set_out(anchor, 0, result);
    anchor->tail = run->tail;
    return true;
}

enum dyno_status dyno_pass_fuse_tails(struct dyno_graph *graph, bool *changed_out,
                                      struct dyno_err *err)
{
    uint32_t position = 0;
    uint32_t *order = dyno_alloc((size_t)dyno_graph_top(graph)->node_id_count + 1, sizeof(*order));
    struct run *run = dyno_alloc(1, sizeof(*run));
    enum dyno_status status = DYNO_OK;
    if (order == NULL || run == NULL) {
        status = DYNO_NOMEM(err);
        goto out;
    }
    for (const struct dyno_node *node = graph->first; node != NULL; node = node->next)
        order[node->id] = position++;
    for (int round = 0; round < 2; round++) {
        struct dyno_node *prev = NULL;
        for (struct dyno_node *node = graph->last; node != NULL; node = prev) {
            prev = node->prev;
            if (!can_anchor(node, round == 1))
                continue;
            grow(node, order, run);
            if (run->count == 0)
                continue;
            if (!absorb(run, order)) {
                status = DYNO_NOMEM(err);
                goto out;
            }
            *changed_out = true;
        }
    }
out:
    dyno_free(run);
    dyno_free(order);
    return status;
}
