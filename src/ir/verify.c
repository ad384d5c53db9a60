/* verify.c - every rule that the structure promises. */
#include "base/mem.h"
#include "ir/internal.h"

struct checker {
    const struct dyno_exprs *exprs;
    uint8_t *visible; /* by value id: made before this point, in this graph or around it */
    uint8_t *checked; /* by value id: its list of uses was walked */
    struct dyno_err *err;
};

#define BROKEN(checker, ...) DYNO_FAIL((checker)->err, DYNO_E_FORMAT, __VA_ARGS__)

/* As many contents as its sizes, which are numbers, say. */
static enum dyno_status check_host(const struct checker *checker, const struct dyno_value *value)
{
    const struct dyno_type *type = &value->type;
    int64_t dims[DYNO_RANK_MAX];
    int64_t count = 0;
    bool known = type->rank >= 0 && type->kind == DYNO_TYPE_TENSOR;
    for (int i = 0; i < type->rank && known; i++)
        known = dyno_expr_is_const(checker->exprs, type->dims[i], &dims[i]);
    if (!known || !dyno_dims_count(dims, type->rank, &count) || count != type->elem_count)
        return BROKEN(checker, "host value '%s' has %u contents, not as many as its shape says",
                      value->name, type->elem_count);
    return DYNO_OK;
}

static enum dyno_status check_type(const struct checker *checker, const struct dyno_value *value)
{
    const struct dyno_type *type = &value->type;
    if (type->dtype == DYNO_DTYPE_NONE || type->rank < -1 || type->rank > DYNO_RANK_MAX)
        return BROKEN(checker, "value '%s' has no type", value->name);
    for (int i = 0; i < type->rank; i++) {
        if (type->dims[i] == DYNO_EXPR_NONE)
            return BROKEN(checker, "axis %d of value '%s' has no size", i, value->name);
    }
    for (uint32_t i = 0; type->elems != NULL && i < type->elem_count; i++) {
        if (type->elems[i] == DYNO_EXPR_NONE)
            return BROKEN(checker, "element %u of value '%s' is not known", i, value->name);
    }
    return dyno_value_is_host(value) ? check_host(checker, value) : DYNO_OK;
}

/* The list of uses is well linked and each use is what its user says. */
static enum dyno_status check_uses(const struct checker *checker, const struct dyno_value *value)
{
    const struct dyno_use *prev = NULL;
    for (const struct dyno_use *use = value->uses; use != NULL; prev = use, use = use->next) {
        if (use->prev != prev)
            return BROKEN(checker, "the uses of value '%s' are not well linked", value->name);
        const struct dyno_node *user = use->user;
        const struct dyno_graph *graph = use->graph;
        const bool node_agrees = user != NULL && use->idx < user->in_count &&
                                 &user->in_uses[use->idx] == use && user->ins[use->idx] == value;
        const bool graph_agrees = user == NULL && graph != NULL && use->idx < graph->output_count &&
                                  &graph->output_uses[use->idx] == use &&
                                  graph->outputs[use->idx] == value;
        if (!node_agrees && !graph_agrees)
            return BROKEN(checker, "value '%s' lists a use that does not use it", value->name);
    }
    return DYNO_OK;
}

/* A value that `who` reads: visible there, typed, and it knows about this use. */
static enum dyno_status check_read(struct checker *checker, const struct dyno_graph *graph,
                                   const struct dyno_value *value, const struct dyno_use *use,
                                   const char *who)
{
    const bool is_free =
        value->producer == NULL && (value->type.constant != NULL || value->type.elems != NULL);
    if (!is_free && checker->visible[value->id] == 0)
        return BROKEN(checker, "%s reads value '%s' before it is made", who, value->name);
    const struct dyno_name *name = dyno_names_find(graph->names, DYNO_NAME_VALUE, value->name);
    if (name == NULL || name->item != value)
        return BROKEN(checker, "the name of value '%s' is not its own", value->name);
    if (use->prev == NULL ? value->uses != use : use->prev->next != use)
        return BROKEN(checker, "value '%s' does not list its use by %s", value->name, who);
    if (checker->checked[value->id] != 0)
        return DYNO_OK;
    checker->checked[value->id] = 1;
    DYNO_TRY(check_type(checker, value));
    return check_uses(checker, value);
}

static enum dyno_status check_tail(const struct checker *checker, const struct dyno_node *node)
{
    const struct dyno_tail *tail = &node->tail;
    if (tail->instr_count > DYNO_TAIL_INSTRS_MAX)
        return BROKEN(checker, "the tail of node %s has %u instructions, at most %d fit",
                      node->name, tail->instr_count, DYNO_TAIL_INSTRS_MAX);
    if (tail->instr_count == 0 && node->own_in_count != node->in_count)
        return BROKEN(checker, "node %s has operands of a tail, but no tail", node->name);
    for (uint32_t i = 0; i < tail->instr_count; i++) {
        const struct dyno_tail_instr *instr = &tail->instrs[i];
        if (instr->op >= DYNO_PW_COUNT)
            return BROKEN(checker, "instruction %u of node %s is unknown", i, node->name);
        for (int j = 0; j < dyno_pw_infos[instr->op].operand_count; j++) {
            const struct dyno_operand *operand = &instr->operands[j];
            const bool is_input = operand->kind == DYNO_OPERAND_INPUT &&
                                  operand->idx >= node->own_in_count &&
                                  operand->idx < node->in_count && node->ins[operand->idx] != NULL;
            const bool is_reg = operand->kind == DYNO_OPERAND_REG && operand->idx <= i;
            if (!is_input && !is_reg && operand->kind != DYNO_OPERAND_CONST)
                return BROKEN(checker, "operand %d of instruction %u of node %s names nothing", j,
                              i, node->name);
        }
    }
    return DYNO_OK;
}

static enum dyno_status check_graph(struct checker *checker, const struct dyno_graph *graph);

static enum dyno_status check_node(struct checker *checker, const struct dyno_graph *graph,
                                   const struct dyno_node *node)
{
    if (node->graph != graph || (uint32_t)node->op >= DYNO_OP_COUNT || node->attrs == NULL)
        return BROKEN(checker, "a node of graph '%s' is not of it, or of no operator", graph->name);
    const struct dyno_name *name = dyno_names_find(graph->names, DYNO_NAME_NODE, node->name);
    if (node->name[0] == '\0' || name == NULL || name->item != node)
        return BROKEN(checker, "the name of node '%s' is not its own", node->name);
    if (node->origin_count == 0)
        return BROKEN(checker, "node %s stands for no node of the model", node->name);
    if (node->own_in_count > node->in_count)
        return BROKEN(checker, "node %s owns %u of %u inputs", node->name, node->own_in_count,
                      node->in_count);
    const enum dyno_status counts = dyno_node_check_counts(node, checker->err);
    if (counts != DYNO_OK) {
        dyno_err_prefix(checker->err, "node %s (%s)", node->name, dyno_ops[node->op]->onnx_name);
        return counts;
    }
    for (uint32_t i = 0; i < node->in_count; i++) {
        if (node->ins[i] != NULL)
            DYNO_TRY(check_read(checker, graph, node->ins[i], &node->in_uses[i], node->name));
    }
    DYNO_TRY(check_tail(checker, node));
    for (uint32_t i = 0; i < node->region_count; i++) {
        if (node->regions[i]->outer != graph)
            return BROKEN(checker, "region %u of node %s belongs elsewhere", i, node->name);
        DYNO_TRY(check_graph(checker, node->regions[i]));
    }
    for (uint32_t i = 0; i < node->out_count; i++) {
        const struct dyno_value *out = node->outs[i];
        if (out == NULL)
            continue;
        if (out->producer != node || out->producer_out_idx != i || out->type.constant != NULL)
            return BROKEN(checker, "output %u of node %s has another producer", i, node->name);
        DYNO_TRY(check_type(checker, out));
        checker->visible[out->id] = 1;
    }
    return DYNO_OK;
}

static enum dyno_status check_graph(struct checker *checker, const struct dyno_graph *graph)
{
    const struct dyno_node *prev = NULL;
    uint32_t count = 0;
    for (uint32_t i = 0; i < graph->input_count; i++) {
        const struct dyno_value *input = graph->inputs[i];
        if (input->producer != NULL || input->type.constant != NULL || input->type.elems != NULL)
            return BROKEN(checker, "input '%s' is made inside the graph", input->name);
        DYNO_TRY(check_type(checker, input));
        checker->visible[input->id] = 1;
    }
    for (const struct dyno_node *node = graph->first; node != NULL;
         prev = node, node = node->next) {
        if (node->prev != prev)
            return BROKEN(checker, "the nodes of graph '%s' are not well linked", graph->name);
        DYNO_TRY(check_node(checker, graph, node));
        count++;
    }
    if (graph->last != prev || graph->node_count != count)
        return BROKEN(checker, "graph '%s' counts %u nodes, but has %u", graph->name,
                      graph->node_count, count);
    for (uint32_t i = 0; i < graph->output_count; i++)
        DYNO_TRY(check_read(checker, graph, graph->outputs[i], &graph->output_uses[i],
                            "an output of the graph"));
    if (graph->outer == NULL)
        return DYNO_OK;
    /* What a region made is not visible around it. */
    for (uint32_t i = 0; i < graph->input_count; i++)
        checker->visible[graph->inputs[i]->id] = 0;
    for (const struct dyno_node *node = graph->first; node != NULL; node = node->next) {
        for (uint32_t i = 0; i < node->out_count; i++) {
            if (node->outs[i] != NULL)
                checker->visible[node->outs[i]->id] = 0;
        }
    }
    return DYNO_OK;
}

enum dyno_status dyno_graph_verify(const struct dyno_graph *graph, struct dyno_err *err)
{
    const size_t count = (size_t)dyno_graph_top(graph)->value_id_count + 1;
    struct checker checker = {.exprs = graph->exprs,
                              .visible = dyno_alloc(count, 1),
                              .checked = dyno_alloc(count, 1),
                              .err = err};
    enum dyno_status status = DYNO_OK;
    if (checker.visible == NULL || checker.checked == NULL)
        status = DYNO_NOMEM(err);
    else
        status = check_graph(&checker, graph);
    dyno_free(checker.visible);
    dyno_free(checker.checked);
    return status;
}
