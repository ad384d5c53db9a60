/* inputs.c - the model's inputs: types as declared, overridden, and with ranges for open sizes. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "onnx/importer.h"

/* What is known of one dimension of one input, and of the symbol it is an instance of. */
struct size_range {
    int64_t min, max;
    const char *from; /* the input that says so; NULL: nobody */
};

/* Ranges by symbol name, collected before any symbol is made: inputs that share a symbol share its
 * range. */
struct ranges {
    struct dyno_scope *scope;
    struct dyno_map by_symbol; /* name -> struct size_range in scratch */
};

static const struct dyno_onnx_shape *find_shape(const struct dyno_onnx_options *options,
                                                const char *name)
{
    for (uint32_t i = 0; i < options->shape_count; i++) {
        if (strcmp(options->shapes[i].name, name) == 0)
            return &options->shapes[i];
    }
    return NULL;
}

static const struct dyno_onnx_profile *find_profile(const struct dyno_onnx_options *options,
                                                    const char *name)
{
    for (uint32_t i = 0; i < options->profile_count; i++) {
        if (strcmp(options->profiles[i].name, name) == 0)
            return &options->profiles[i];
    }
    return NULL;
}

/* "<input>_<axis>" for dimensions without a name. */
static const char *symbol_name(struct dyno_scope *scope, const struct dyno_proto_dim *dim,
                               const char *input, uint32_t axis)
{
    if (dim != NULL && dim->param[0] != '\0' && strcmp(dim->param, "?") != 0)
        return dim->param;
    const size_t room = strlen(input) + 16;
    char *name = dyno_arena_alloc(scope->imp->scratch, room, 1);
    if (name != NULL)
        (void)snprintf(name, room, "%s_%u", input, axis);
    return name;
}

/* Ask for [min, max] of axis of input; false: nothing is asked. */
static bool asked_range(const struct dyno_onnx_options *options, const char *input, uint32_t axis,
                        struct size_range *range_out)
{
    const struct dyno_onnx_shape *shape = find_shape(options, input);
    const struct dyno_onnx_profile *profile = find_profile(options, input);
    range_out->from = input;
    if (profile != NULL && (int)axis < profile->rank) {
        range_out->min = profile->min[axis];
        range_out->max = profile->max[axis];
        return true;
    }
    if (shape != NULL && (int)axis < shape->rank && shape->dims[axis] != -1) {
        range_out->min = range_out->max = shape->dims[axis];
        return true;
    }
    return false;
}

static bool dim_is_open(const struct dyno_proto_dim *dim)
{
    return !dim->has_value || dim->value == -1;
}

static enum dyno_status collect_range(struct ranges *ranges, const struct dyno_proto_dim *dim,
                                      const char *input, uint32_t axis)
{
    struct dyno_importer *imp = ranges->scope->imp;
    struct size_range asked;
    if (!asked_range(imp->options, input, axis, &asked))
        return DYNO_OK;
    if (asked.min < 0 || asked.max < asked.min) {
        dyno_problem_add(&imp->problems, DYNO_E_ARG, "",
                         "input '%s': the range %" PRId64 "..%" PRId64
                         " asked for dimension %u is empty or negative",
                         input, asked.min, asked.max, axis);
        return DYNO_OK;
    }
    if (!dim_is_open(dim))
        return DYNO_OK;
    const char *name = symbol_name(ranges->scope, dim, input, axis);
    if (name == NULL)
        return DYNO_NOMEM(imp->err);
    struct size_range *known = dyno_map_find_ptr(&ranges->by_symbol, name, strlen(name));
    if (known == NULL) {
        known = dyno_arena_memdup(imp->scratch, &asked, sizeof(asked));
        if (known == NULL || !dyno_map_put_ptr(&ranges->by_symbol, name, strlen(name), known))
            return DYNO_NOMEM(imp->err);
    } else if (known->min != asked.min || known->max != asked.max) {
        dyno_problem_add(&imp->problems, DYNO_E_ARG, "",
                         "inputs '%s' and '%s' share the size '%s', but %" PRId64 "..%" PRId64
                         " and %" PRId64 "..%" PRId64 " are asked for it",
                         known->from, input, name, known->min, known->max, asked.min, asked.max);
    }
    return DYNO_OK;
}

/* An open first dimension is the batch, unless a range was asked for it or for one that shares its
 * symbol. */
static enum dyno_status collect_batch(struct ranges *ranges,
                                      const struct dyno_proto_value_info *info)
{
    struct dyno_importer *imp = ranges->scope->imp;
    const struct dyno_proto_type *type = &info->type;
    struct size_range batch = {1, imp->options->batch_max, info->name};
    struct size_range asked;
    if (batch.max <= 0 || type->dim_count == 0 || !dim_is_open(&type->dims[0]) ||
        asked_range(imp->options, info->name, 0, &asked))
        return DYNO_OK;
    const char *name = symbol_name(ranges->scope, &type->dims[0], info->name, 0);
    if (name == NULL)
        return DYNO_NOMEM(imp->err);
    if (dyno_map_find_ptr(&ranges->by_symbol, name, strlen(name)) != NULL)
        return DYNO_OK;
    struct size_range *known = dyno_arena_memdup(imp->scratch, &batch, sizeof(batch));
    if (known == NULL || !dyno_map_put_ptr(&ranges->by_symbol, name, strlen(name), known))
        return DYNO_NOMEM(imp->err);
    return DYNO_OK;
}

/* The dimension as an expression. */
static dyno_expr input_dim(struct ranges *ranges, const struct dyno_proto_dim *dim,
                           const char *input, uint32_t axis)
{
    struct dyno_exprs *exprs = ranges->scope->graph->exprs;
    struct size_range range = {1, INT64_MAX, NULL};
    const bool open = dim_is_open(dim);
    const bool asked = asked_range(ranges->scope->imp->options, input, axis, &range);
    if (!open && !asked)
        return dyno_expr_const(exprs, dim->value);
    const char *name = symbol_name(ranges->scope, open ? dim : NULL, input, axis);
    if (name == NULL)
        return DYNO_EXPR_NONE;
    const struct size_range *shared =
        open ? dyno_map_find_ptr(&ranges->by_symbol, name, strlen(name)) : NULL;
    if (shared != NULL)
        range = *shared;
    if (range.min == range.max)
        return dyno_expr_const(exprs, range.min);
    return dyno_expr_symbol(exprs, name, range.min, range.max);
}

/* --- declared types --- */

static bool check_type(struct dyno_scope *scope, const struct dyno_proto_type *proto,
                       const char *name)
{
    struct dyno_problems *problems = &scope->imp->problems;
    const uint32_t before = problems->count;
    if (proto->dtype <= DYNO_DTYPE_NONE || proto->dtype >= DYNO_DTYPE_COUNT)
        dyno_problem_add(problems, DYNO_E_FORMAT, scope->place,
                         "value '%s' has the unknown element type %" PRId64, name, proto->dtype);
    if (proto->dim_count > DYNO_RANK_MAX)
        dyno_problem_add(problems, DYNO_E_LIMIT, scope->place,
                         "value '%s' has %u dimensions, at most %d are held", name,
                         proto->dim_count, DYNO_RANK_MAX);
    for (uint32_t i = 0; i < proto->dim_count; i++) {
        if (proto->dims[i].has_value && proto->dims[i].value < -1)
            dyno_problem_add(problems, DYNO_E_FORMAT, scope->place,
                             "value '%s': dimension %u is %" PRId64 ", may not be negative", name,
                             i, proto->dims[i].value);
    }
    return problems->count == before;
}

/* The innermost tensor type of sequences and optionals. */
static const struct dyno_proto_type *elem_type(const struct dyno_proto_type *proto)
{
    while (proto != NULL && proto->kind != DYNO_PROTO_KIND_TENSOR)
        proto = proto->elem;
    return proto;
}

enum dyno_status dyno_import_type(struct dyno_scope *scope, const struct dyno_proto_type *proto,
                                  const char *name, struct dyno_type *type_out)
{
    const struct dyno_proto_type *elem = elem_type(proto);
    *type_out = (struct dyno_type){.rank = -1};
    if (proto->kind == DYNO_PROTO_KIND_SEQUENCE ||
        (proto->kind == DYNO_PROTO_KIND_OPTIONAL && proto->elem != NULL &&
         proto->elem->kind == DYNO_PROTO_KIND_SEQUENCE))
        type_out->kind = DYNO_TYPE_SEQUENCE;
    if (proto->kind == DYNO_PROTO_KIND_OPTIONAL)
        type_out->kind = DYNO_TYPE_OPTIONAL;
    if (proto->kind == DYNO_PROTO_KIND_NONE || elem == NULL)
        return DYNO_OK;
    if (!check_type(scope, elem, name))
        return DYNO_OK;
    type_out->dtype = (enum dyno_dtype)elem->dtype;
    if (!elem->has_shape || proto->kind != DYNO_PROTO_KIND_TENSOR)
        return DYNO_OK;
    type_out->rank = (int)elem->dim_count;
    for (uint32_t i = 0; i < elem->dim_count; i++) {
        const struct dyno_proto_dim *dim = &elem->dims[i];
        type_out->dims[i] = dim_is_open(dim) ? dyno_expr_fresh(scope->graph->exprs, 0, INT64_MAX)
                                             : dyno_expr_const(scope->graph->exprs, dim->value);
        if (type_out->dims[i] == DYNO_EXPR_NONE)
            return DYNO_NOMEM(scope->imp->err);
    }
    return DYNO_OK;
}

bool dyno_import_type_fits(const struct dyno_scope *scope, const struct dyno_type *type)
{
    int64_t dims[DYNO_RANK_MAX];
    int64_t count = 0;
    size_t bytes = 0;
    int known = 0;
    for (int i = 0; i < type->rank; i++) {
        if (dyno_expr_is_const(scope->graph->exprs, type->dims[i], &dims[known]) &&
            dims[known] != 0)
            known++;
    }
    if (type->dtype == DYNO_DTYPE_NONE || type->rank < 0)
        return true;
    return dyno_dims_count(dims, known, &count) &&
           dyno_dtype_bytes(type->dtype, (uint64_t)count, &bytes) && bytes <= INT64_MAX;
}

/* --- inputs --- */

static bool is_initialised(const struct dyno_scope *scope, const char *name)
{
    return dyno_map_find(&scope->values, name, strlen(name), NULL);
}

static enum dyno_status add_input(struct ranges *ranges, const struct dyno_proto_value_info *info)
{
    struct dyno_scope *scope = ranges->scope;
    struct dyno_importer *imp = scope->imp;
    const struct dyno_proto_type *proto = &info->type;
    struct dyno_type type;
    struct dyno_value *value = dyno_graph_add_input(scope->graph, info->name);
    if (value == NULL || !dyno_scope_define(scope, info->name, value))
        return DYNO_NOMEM(imp->err);
    const uint32_t before = imp->problems.count;
    DYNO_TRY(dyno_import_type(scope, proto, info->name, &type));
    if (type.dtype == DYNO_DTYPE_NONE || imp->problems.count > before) {
        if (imp->problems.count == before)
            dyno_problem_add(
                &imp->problems,
                proto->kind == DYNO_PROTO_KIND_OTHER ? DYNO_E_UNSUPPORTED : DYNO_E_FORMAT,
                scope->place,
                "input '%s' has no type that is supported (tensor, sequence or optional)",
                info->name);
        return dyno_map_put(&imp->poisoned, (const char *)&value->id, sizeof(value->id), 1)
                   ? DYNO_OK
                   : DYNO_NOMEM(imp->err);
    }
    for (int i = 0; i < type.rank; i++) {
        type.dims[i] = input_dim(ranges, &proto->dims[i], info->name, (uint32_t)i);
        if (type.dims[i] == DYNO_EXPR_NONE)
            return DYNO_NOMEM(imp->err);
    }
    value->type = type;
    if (dyno_import_type_fits(scope, &type))
        return DYNO_OK;
    dyno_problem_add(&imp->problems, DYNO_E_FORMAT, scope->place,
                     "input '%s': the product of its dimensions does not fit 63 bits", info->name);
    return dyno_map_put(&imp->poisoned, (const char *)&value->id, sizeof(value->id), 1)
               ? DYNO_OK
               : DYNO_NOMEM(imp->err);
}

/* Shapes and profiles must be of inputs, and of their rank. */
static void check_asked(struct dyno_scope *scope, const struct dyno_proto_graph *proto,
                        const char *name, int rank)
{
    struct dyno_problems *problems = &scope->imp->problems;
    for (uint32_t i = 0; i < proto->input_count; i++) {
        const struct dyno_proto_value_info *info = &proto->inputs[i];
        if (strcmp(info->name, name) != 0 || is_initialised(scope, name))
            continue;
        if (info->type.has_shape && (int)info->type.dim_count != rank)
            dyno_problem_add(problems, DYNO_E_ARG, "",
                             "input '%s' has %u dimensions, the shape asked for it has %d", name,
                             info->type.dim_count, rank);
        return;
    }
    dyno_problem_add(problems, DYNO_E_ARG, "",
                     "a shape is asked for '%s', which is not an input of the model", name);
}

/* A shape asked for an input that declares none gives it its rank. */
static enum dyno_status adopt_rank(struct dyno_scope *scope, struct dyno_proto_value_info *info)
{
    const struct dyno_onnx_options *options = scope->imp->options;
    const struct dyno_onnx_profile *profile = find_profile(options, info->name);
    const struct dyno_onnx_shape *shape = find_shape(options, info->name);
    const int rank = profile != NULL ? profile->rank : shape != NULL ? shape->rank : -1;
    if (info->type.kind != DYNO_PROTO_KIND_TENSOR || info->type.has_shape || rank < 0)
        return DYNO_OK;
    struct dyno_proto_dim *dims =
        dyno_arena_alloc(scope->imp->scratch, (size_t)rank + 1, sizeof(*dims));
    if (dims == NULL)
        return DYNO_NOMEM(scope->imp->err);
    for (int i = 0; i < rank; i++)
        dims[i].param = "";
    info->type.dims = dims;
    info->type.dim_count = (uint32_t)rank;
    info->type.has_shape = true;
    return DYNO_OK;
}

static enum dyno_status import_inputs(struct ranges *ranges, const struct dyno_proto_graph *proto)
{
    struct dyno_scope *scope = ranges->scope;
    const struct dyno_onnx_options *options = scope->imp->options;
    const uint32_t before = scope->imp->problems.count;
    for (uint32_t i = 0; i < options->shape_count; i++)
        check_asked(scope, proto, options->shapes[i].name, options->shapes[i].rank);
    for (uint32_t i = 0; i < options->profile_count; i++)
        check_asked(scope, proto, options->profiles[i].name, options->profiles[i].rank);
    if (scope->imp->problems.count > before)
        return dyno_problems_end(&scope->imp->problems, scope->imp->err);
    struct dyno_proto_value_info *infos =
        dyno_arena_alloc(scope->imp->scratch, (size_t)proto->input_count + 1, sizeof(*infos));
    if (infos == NULL)
        return DYNO_NOMEM(scope->imp->err);
    for (uint32_t i = 0; i < proto->input_count; i++) {
        infos[i] = proto->inputs[i];
        DYNO_TRY(adopt_rank(scope, &infos[i]));
        for (uint32_t axis = 0; axis < infos[i].type.dim_count; axis++) {
            if (!is_initialised(scope, infos[i].name))
                DYNO_TRY(collect_range(ranges, &infos[i].type.dims[axis], infos[i].name, axis));
        }
    }
    for (uint32_t i = 0; i < proto->input_count; i++)
        if (!is_initialised(scope, infos[i].name))
            DYNO_TRY(collect_batch(ranges, &infos[i]));
    const uint32_t first_id = scope->graph->value_id_count;
    for (uint32_t i = 0; i < proto->input_count; i++) {
        /* Before IR version 4 initialisers were listed as inputs, too. */
        const struct dyno_value *had = dyno_scope_find(scope, infos[i].name);
        if (had != NULL && had->id < first_id)
            continue;
        DYNO_TRY(add_input(ranges, &infos[i]));
    }
    return DYNO_OK;
}

enum dyno_status dyno_import_inputs(struct dyno_scope *scope, const struct dyno_proto_graph *proto)
{
    struct ranges ranges = {.scope = scope};
    const enum dyno_status status = import_inputs(&ranges, proto);
    dyno_map_fini(&ranges.by_symbol);
    return status;
}
