/* interpret_regions.c - If, Loop and Scan by the reference meaning.  (ONNX If-25, Loop-25, Scan-25)
 */
#include <string.h>

#include "ir/interpret_run.h"

/* --- stacking the values of the turns --- */

/* The values that one scanned output took, turn by turn. */
struct stack {
    struct dyno_tensor *items;
    size_t count, capacity;
};

static enum dyno_status push(struct stack *stack, struct dyno_arena *arena,
                             const struct dyno_tensor *item, struct dyno_err *err)
{
    if (stack->count == stack->capacity) {
        const size_t capacity = stack->capacity != 0 ? stack->capacity * 2 : 16;
        struct dyno_tensor *items = dyno_arena_alloc(arena, capacity, sizeof(*items));
        if (items == NULL)
            return DYNO_NOMEM(err);
        if (stack->count != 0)
            memcpy(items, stack->items, stack->count * sizeof(*items));
        stack->items = items;
        stack->capacity = capacity;
    }
    return dyno_tensor_copy(arena, item, &stack->items[stack->count++], err);
}

/* Bytes an element; sub-byte types have none that can be moved singly. */
static enum dyno_status item_bytes(enum dyno_dtype dtype, size_t *bytes_out, struct dyno_err *err)
{
    const unsigned bits = dyno_dtype_bits(dtype);
    if (bits < 8)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED, "%s cannot be scanned", dyno_dtype_text(dtype));
    *bytes_out = bits / 8;
    return DYNO_OK;
}

/* A shape for the items of a stack that is empty: open sizes are 0. */
static struct dyno_tensor empty_item(struct dyno_interp *run, const struct dyno_value *value)
{
    struct dyno_tensor item = {.dtype = value->type.dtype};
    item.rank = value->type.rank >= 0 ? value->type.rank : 0;
    for (int i = 0; i < item.rank; i++) {
        if (!dyno_sizes_eval(&run->sizes, value->type.dims[i], &item.dims[i]))
            item.dims[i] = 0;
    }
    return item;
}

/* One tensor out of all items, the new axis at `axis`, backwards when asked. */
static enum dyno_status unite(struct dyno_interp *run, const struct stack *stack,
                              const struct dyno_value *value, int64_t axis, bool backwards,
                              struct dyno_tensor *out, struct dyno_arena *arena)
{
    const struct dyno_tensor item = stack->count != 0 ? stack->items[0] : empty_item(run, value);
    size_t elem_bytes = 0;
    DYNO_TRY(item_bytes(item.dtype, &elem_bytes, run->err));
    axis += axis < 0 ? item.rank + 1 : 0;
    if (item.rank == DYNO_RANK_MAX || axis < 0 || axis > item.rank)
        return DYNO_FAIL(run->err, DYNO_E_FORMAT, "scan axis %lld does not fit rank %d",
                         (long long)axis, item.rank + 1);
    *out = (struct dyno_tensor){.dtype = item.dtype, .rank = item.rank + 1};
    size_t outer = 1;
    size_t inner = elem_bytes;
    for (int i = 0; i < item.rank; i++) {
        out->dims[i < axis ? i : i + 1] = item.dims[i];
        *(i < axis ? &outer : &inner) *= (size_t)item.dims[i];
    }
    out->dims[axis] = (int64_t)stack->count;
    DYNO_TRY(dyno_tensor_room(arena, out, run->err));
    for (size_t turn = 0; turn < stack->count; turn++) {
        const struct dyno_tensor *from = &stack->items[turn];
        if (from->dtype != item.dtype || from->rank != item.rank ||
            memcmp(from->dims, item.dims, sizeof(item.dims[0]) * (size_t)item.rank) != 0)
            return DYNO_FAIL(run->err, DYNO_E_FORMAT, "a scanned value changes its shape");
        const size_t at = backwards ? stack->count - 1 - turn : turn;
        for (size_t i = 0; i < outer; i++)
            memcpy((char *)out->data + (i * stack->count + at) * inner,
                   (const char *)from->data + i * inner, inner);
    }
    return DYNO_OK;
}

/* --- If --- */

static enum dyno_status run_if(struct dyno_interp *run, const struct dyno_node *node,
                               const struct dyno_tensor *const *ins, struct dyno_tensor *outs,
                               struct dyno_arena *arena)
{
    if (ins[0]->dtype != DYNO_BOOL || dyno_tensor_count(ins[0]) != 1)
        return DYNO_FAIL(run->err, DYNO_E_FORMAT, "the condition is not one bool");
    const bool taken = dyno_elem_load_i64(DYNO_BOOL, ins[0]->data, 0) != 0;
    return dyno_interp_graph(run, node->regions[taken ? 0 : 1], outs, arena);
}

/* --- Loop and Scan --- */

/* What goes round: the values carried into a turn, in one of two arenas that change places. */
struct turns {
    struct dyno_arena *now, *next;
    struct dyno_arena *stacked; /* items of the stacks */
    struct dyno_tensor *state;  /* carried values, data in `now` */
    struct dyno_tensor *given;  /* what the body gave, data in `next` */
    struct stack *stacks;
    uint32_t state_count, stack_count;
};

static void turns_fini(struct turns *turns)
{
    dyno_arena_destroy(turns->now);
    dyno_arena_destroy(turns->next);
    dyno_arena_destroy(turns->stacked);
}

/* state_count carried values, then stack_count scanned ones, of a body with given_count outputs. */
static enum dyno_status turns_init(struct turns *turns, struct dyno_arena *arena,
                                   const struct dyno_tensor *const *initial, uint32_t state_count,
                                   uint32_t stack_count, uint32_t given_count, struct dyno_err *err)
{
    turns->now = dyno_arena_create();
    turns->next = dyno_arena_create();
    turns->stacked = dyno_arena_create();
    turns->state = dyno_arena_alloc(arena, (size_t)state_count + 1, sizeof(*turns->state));
    turns->given = dyno_arena_alloc(arena, (size_t)given_count + 1, sizeof(*turns->given));
    turns->stacks = dyno_arena_alloc(arena, (size_t)stack_count + 1, sizeof(*turns->stacks));
    turns->state_count = state_count;
    turns->stack_count = stack_count;
    if (turns->now == NULL || turns->next == NULL || turns->stacked == NULL ||
        turns->state == NULL || turns->given == NULL || turns->stacks == NULL)
        return DYNO_NOMEM(err);
    for (uint32_t i = 0; i < state_count; i++)
        turns->state[i] = *initial[i];
    return DYNO_OK;
}

/* One turn of the body, whose carried outputs begin at `first`; its inputs are set. */
static enum dyno_status turn_once(struct dyno_interp *run, struct turns *turns,
                                  const struct dyno_graph *body, uint32_t first)
{
    dyno_arena_reset(turns->next);
    DYNO_TRY(dyno_interp_graph(run, body, turns->given, turns->next));
    for (uint32_t i = 0; i < turns->state_count; i++)
        turns->state[i] = turns->given[first + i];
    for (uint32_t i = 0; i < turns->stack_count; i++)
        DYNO_TRY(push(&turns->stacks[i], turns->stacked,
                      &turns->given[first + turns->state_count + i], run->err));
    struct dyno_arena *now = turns->now;
    turns->now = turns->next;
    turns->next = now;
    return DYNO_OK;
}

static enum dyno_status enter(struct dyno_interp *run, const struct dyno_value *inside,
                              const struct dyno_tensor *tensor)
{
    dyno_interp_set(run, inside, tensor);
    return dyno_sizes_match(&run->sizes, inside, tensor, DYNO_BOUND_NODE, run->err);
}

static bool truth(const struct dyno_tensor *tensor)
{
    return dyno_tensor_count(tensor) > 0 && dyno_elem_load_i64(DYNO_BOOL, tensor->data, 0) != 0;
}

static enum dyno_status loop_turns(struct dyno_interp *run, const struct dyno_node *node,
                                   const struct dyno_tensor *const *ins, struct turns *turns)
{
    const struct dyno_graph *body = node->regions[0];
    const int64_t limit = ins[0] != NULL && dyno_tensor_count(ins[0]) > 0
                              ? dyno_elem_load_i64(ins[0]->dtype, ins[0]->data, 0)
                              : INT64_MAX;
    bool goes_on = ins[1] == NULL || truth(ins[1]);
    for (int64_t turn = 0; turn < limit && goes_on; turn++) {
        uint8_t is_on = 1;
        const struct dyno_tensor count = {.dtype = DYNO_I64, .data = &turn};
        const struct dyno_tensor cond = {.dtype = DYNO_BOOL, .data = &is_on};
        DYNO_TRY(enter(run, body->inputs[0], &count));
        DYNO_TRY(enter(run, body->inputs[1], &cond));
        for (uint32_t i = 0; i < turns->state_count; i++)
            DYNO_TRY(enter(run, body->inputs[2 + i], &turns->state[i]));
        DYNO_TRY(turn_once(run, turns, body, 1));
        goes_on = turns->given[0].dtype == DYNO_BOOL && truth(&turns->given[0]);
    }
    return DYNO_OK;
}

static enum dyno_status run_loop(struct dyno_interp *run, const struct dyno_node *node,
                                 const struct dyno_tensor *const *ins, struct dyno_tensor *outs,
                                 struct dyno_arena *arena)
{
    const struct dyno_graph *body = node->regions[0];
    const uint32_t state_count = node->own_in_count - 2;
    struct turns turns = {0};
    enum dyno_status status =
        turns_init(&turns, arena, ins + 2, state_count, body->output_count - 1 - state_count,
                   body->output_count, run->err);
    if (status == DYNO_OK)
        status = loop_turns(run, node, ins, &turns);
    for (uint32_t i = 0; i < state_count && status == DYNO_OK; i++)
        status = dyno_tensor_copy(arena, &turns.state[i], &outs[i], run->err);
    for (uint32_t i = 0; i < turns.stack_count && status == DYNO_OK; i++)
        status = unite(run, &turns.stacks[i], body->outputs[1 + state_count + i], 0, false,
                       &outs[state_count + i], arena);
    turns_fini(&turns);
    return status;
}

/* Slice `turn` of a scanned input. */
static enum dyno_status slice(const struct dyno_tensor *whole, int64_t axis, int64_t turn,
                              struct dyno_tensor *out, struct dyno_arena *arena,
                              struct dyno_err *err)
{
    size_t elem_bytes = 0;
    DYNO_TRY(item_bytes(whole->dtype, &elem_bytes, err));
    size_t outer = 1;
    size_t inner = elem_bytes;
    *out = (struct dyno_tensor){.dtype = whole->dtype, .rank = whole->rank - 1};
    for (int i = 0; i < whole->rank; i++) {
        if (i == axis)
            continue;
        out->dims[i < axis ? i : i - 1] = whole->dims[i];
        *(i < axis ? &outer : &inner) *= (size_t)whole->dims[i];
    }
    DYNO_TRY(dyno_tensor_room(arena, out, err));
    for (size_t i = 0; i < outer; i++)
        memcpy((char *)out->data + i * inner,
               (const char *)whole->data + (i * (size_t)whole->dims[axis] + (size_t)turn) * inner,
               inner);
    return DYNO_OK;
}

static enum dyno_status scan_turn(struct dyno_interp *run, const struct dyno_node *node,
                                  const struct dyno_tensor *const *ins, struct turns *turns,
                                  int64_t turn, int64_t length)
{
    const struct dyno_graph *body = node->regions[0];
    for (uint32_t i = 0; i < node->own_in_count; i++) {
        struct dyno_tensor item;
        if (i < turns->state_count) {
            DYNO_TRY(enter(run, body->inputs[i], &turns->state[i]));
            continue;
        }
        const uint32_t idx = i - turns->state_count;
        int64_t axis = dyno_scan_axis(node, "scan_input_axes", idx);
        axis += axis < 0 ? ins[i]->rank : 0;
        if (axis < 0 || axis >= ins[i]->rank || ins[i]->dims[axis] != length)
            return DYNO_FAIL(run->err, DYNO_E_FORMAT, "scanned input %u does not have %lld slices",
                             idx, (long long)length);
        const bool backwards = dyno_scan_axis(node, "scan_input_directions", idx) == 1;
        DYNO_TRY(
            slice(ins[i], axis, backwards ? length - 1 - turn : turn, &item, turns->now, run->err));
        DYNO_TRY(enter(run, body->inputs[i], &item));
    }
    return turn_once(run, turns, body, 0);
}

static enum dyno_status run_scan(struct dyno_interp *run, const struct dyno_node *node,
                                 const struct dyno_tensor *const *ins, struct dyno_tensor *outs,
                                 struct dyno_arena *arena)
{
    const struct dyno_graph *body = node->regions[0];
    const uint32_t state_count = dyno_scan_state_count(node);
    struct turns turns = {0};
    int64_t axis = dyno_scan_axis(node, "scan_input_axes", 0);
    const struct dyno_tensor *first = ins[state_count];
    axis += axis < 0 ? first->rank : 0;
    if (axis < 0 || axis >= first->rank)
        return DYNO_FAIL(run->err, DYNO_E_FORMAT, "scan axis %lld is outside rank %d",
                         (long long)axis, first->rank);
    enum dyno_status status =
        turns_init(&turns, arena, ins, state_count, body->output_count - state_count,
                   body->output_count, run->err);
    for (int64_t turn = 0; turn < first->dims[axis] && status == DYNO_OK; turn++)
        status = scan_turn(run, node, ins, &turns, turn, first->dims[axis]);
    for (uint32_t i = 0; i < state_count && status == DYNO_OK; i++)
        status = dyno_tensor_copy(arena, &turns.state[i], &outs[i], run->err);
    for (uint32_t i = 0; i < turns.stack_count && status == DYNO_OK; i++)
        status = unite(run, &turns.stacks[i], body->outputs[state_count + i],
                       dyno_scan_axis(node, "scan_output_axes", i),
                       dyno_scan_axis(node, "scan_output_directions", i) == 1,
                       &outs[state_count + i], arena);
    turns_fini(&turns);
    return status;
}

enum dyno_status dyno_interp_regions(struct dyno_interp *run, const struct dyno_node *node,
                                     const struct dyno_tensor *const *ins, struct dyno_tensor *outs,
                                     struct dyno_arena *arena)
{
    if (dyno_op_is(node, "If"))
        return run_if(run, node, ins, outs, arena);
    if (dyno_op_is(node, "Loop"))
        return run_loop(run, node, ins, outs, arena);
    if (dyno_op_is(node, "Scan"))
        return run_scan(run, node, ins, outs, arena);
    return DYNO_FAIL(run->err, DYNO_E_UNSUPPORTED, "its regions have no reference");
}
