/* import.c - a model from its bytes to its graph. */
#include "onnx/import.h"

#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "onnx/importer.h"

#define IR_VERSION_MAX 13

/* --- the main graph --- */

static bool is_input(const struct dyno_proto_graph *proto, const char *name)
{
    for (uint32_t i = 0; i < proto->input_count; i++) {
        if (strcmp(proto->inputs[i].name, name) == 0)
            return true;
    }
    return false;
}

/* The outputs' names are promised to the user: values of these names exist before all others. */
static enum dyno_status reserve_outputs(struct dyno_scope *scope,
                                        const struct dyno_proto_graph *proto)
{
    struct dyno_importer *imp = scope->imp;
    for (uint32_t i = 0; i < proto->output_count; i++) {
        const char *name = proto->outputs[i].name;
        if (is_input(proto, name))
            continue;
        if (dyno_map_find(&scope->reserved, name, strlen(name), NULL)) {
            dyno_problem_add(&imp->problems, DYNO_E_FORMAT, "", "output '%s' is listed twice",
                             name);
            continue;
        }
        struct dyno_value *value = dyno_graph_value(scope->graph, name);
        if (value == NULL || !dyno_map_put_ptr(&scope->reserved, name, strlen(name), value))
            return DYNO_NOMEM(imp->err);
    }
    return DYNO_OK;
}

/* A constant that is an output is copied under the output's name. */
static enum dyno_status output_of_constant(struct dyno_scope *scope, const char *name,
                                           struct dyno_value *constant,
                                           struct dyno_value **value_out)
{
    struct dyno_value *named = dyno_map_find_ptr(&scope->reserved, name, strlen(name));
    struct dyno_node *node =
        dyno_graph_node(scope->graph, DYNO_OP_identity, name, &constant, 1, 1, NULL, NULL);
    *value_out = named;
    if (node == NULL || named == NULL)
        return DYNO_NOMEM(scope->imp->err);
    dyno_node_set_out(node, 0, named);
    return dyno_node_infer(node, scope->imp->err);
}

static enum dyno_status add_output(struct dyno_scope *scope,
                                   const struct dyno_proto_value_info *info)
{
    struct dyno_importer *imp = scope->imp;
    struct dyno_value *value = dyno_scope_find(scope, info->name);
    if (value == NULL) {
        dyno_problem_add(&imp->problems, DYNO_E_FORMAT, "",
                         "output '%s' is not made by any node, input or initialiser", info->name);
        return DYNO_OK;
    }
    if (imp->problems.count > 0)
        return DYNO_OK;
    if (value->type.constant != NULL &&
        dyno_map_find(&scope->reserved, info->name, strlen(info->name), NULL))
        DYNO_TRY(output_of_constant(scope, info->name, value, &value));
    if (info->type.kind == DYNO_PROTO_KIND_TENSOR && value->type.kind == DYNO_TYPE_TENSOR) {
        const enum dyno_dtype dtype = value->type.dtype;
        if (info->type.dtype != (int64_t)dtype && info->type.dtype != 0 && dtype != DYNO_DTYPE_NONE)
            dyno_problem_add(&imp->problems, DYNO_E_FORMAT, "",
                             "output '%s' is %s, but declared as %s", info->name,
                             dyno_dtype_text(dtype),
                             info->type.dtype > 0 && info->type.dtype < DYNO_DTYPE_COUNT
                                 ? dyno_dtype_text((enum dyno_dtype)info->type.dtype)
                                 : "an unknown type");
        if (info->type.has_shape && value->type.rank >= 0 &&
            info->type.dim_count != (uint32_t)value->type.rank)
            dyno_problem_add(&imp->problems, DYNO_E_FORMAT, "",
                             "output '%s' has %d dimensions, but is declared with %u", info->name,
                             value->type.rank, info->type.dim_count);
    }
    return dyno_graph_add_output(scope->graph, value) ? DYNO_OK : DYNO_NOMEM(imp->err);
}

static enum dyno_status import_main(struct dyno_scope *scope, const struct dyno_proto_graph *proto)
{
    DYNO_TRY(reserve_outputs(scope, proto));
    DYNO_TRY(dyno_import_constants(scope, proto));
    DYNO_TRY(dyno_import_inputs(scope, proto));
    DYNO_TRY(dyno_import_nodes(scope, proto->nodes, proto->node_count));
    for (uint32_t i = 0; i < proto->output_count; i++)
        DYNO_TRY(add_output(scope, &proto->outputs[i]));
    if (proto->output_count == 0)
        dyno_problem_add(&scope->imp->problems, DYNO_E_FORMAT, "", "the graph has no outputs");
    return DYNO_OK;
}

/* --- the model --- */

static void check_versions(struct dyno_importer *imp)
{
    const struct dyno_proto_model *proto = &imp->proto;
    if (proto->ir_version < 1 || proto->ir_version > IR_VERSION_MAX)
        dyno_problem_add(&imp->problems, DYNO_E_UNSUPPORTED, "",
                         "the file is of ONNX IR version %" PRId64
                         ", versions 1 to %d are supported",
                         proto->ir_version, IR_VERSION_MAX);
    for (uint32_t i = 0; i < proto->opset_count; i++) {
        const struct dyno_proto_opset *opset = &proto->opsets[i];
        if (dyno_onnx_domain(opset->domain))
            imp->model->opset = opset->version < INT32_MAX ? (int)opset->version : INT32_MAX;
        for (uint32_t j = 0; j < i; j++) {
            if (strcmp(proto->opsets[j].domain, opset->domain) == 0)
                dyno_problem_add(&imp->problems, DYNO_E_FORMAT, "",
                                 "the opset of domain '%s' is imported twice", opset->domain);
        }
    }
}

/* The model's own key-value pairs, kept beyond the reading. */
static bool keep_metadata(struct dyno_importer *imp)
{
    struct dyno_onnx_model *model = imp->model;
    struct dyno_arena *arena = model->graph->arena;
    const uint32_t count = imp->proto.metadata_count;
    model->metadata = dyno_arena_alloc(arena, count + 1U, sizeof(*model->metadata));
    for (uint32_t i = 0; model->metadata != NULL && i < count; i++) {
        model->metadata[i].key = dyno_arena_strdup(arena, imp->proto.metadata[i].key);
        model->metadata[i].value = dyno_arena_strdup(arena, imp->proto.metadata[i].value);
        if (model->metadata[i].key == NULL || model->metadata[i].value == NULL)
            return false;
        model->metadata_count++;
    }
    return model->metadata != NULL;
}

static enum dyno_status import_proto(struct dyno_importer *imp)
{
    struct dyno_onnx_model *model = imp->model;
    struct dyno_scope scope = {.imp = imp,
                               .opsets = imp->proto.opsets,
                               .opset_count = imp->proto.opset_count,
                               .place = "",
                               .prefix = ""};
    if (imp->proto.graph == NULL)
        return DYNO_FAIL(imp->err, DYNO_E_FORMAT, "the file holds no graph: not an ONNX model");
    model->graph = dyno_graph_create(imp->proto.graph->name);
    if (model->graph == NULL)
        return DYNO_NOMEM(imp->err);
    imp->source.arena = model->graph->arena;
    scope.graph = model->graph;
    model->producer = dyno_arena_strdup(model->graph->arena, imp->proto.producer);
    if (model->producer == NULL || !keep_metadata(imp))
        return DYNO_NOMEM(imp->err);
    check_versions(imp);
    DYNO_TRY(dyno_import_index_functions(imp));
    enum dyno_status status = import_main(&scope, imp->proto.graph);
    dyno_scope_fini(&scope);
    DYNO_TRY(status);
    DYNO_TRY(dyno_problems_end(&imp->problems, imp->err));
    return dyno_graph_verify(model->graph, imp->err);
}

static enum dyno_status import(struct dyno_onnx_model *model, const void *data, size_t bytes,
                               const char *folder, const struct dyno_onnx_options *options,
                               struct dyno_err *err)
{
    static const struct dyno_onnx_options defaults = {0};
    if (options == NULL)
        options = &defaults;
    struct dyno_importer imp = {.model = model, .options = options, .err = err};
    imp.source.folder = folder;
    imp.source.externals = &model->externals;
    imp.problems.fn = options->problem;
    imp.problems.fn_arg = options->problem_arg;
    imp.scratch = dyno_arena_create();
    enum dyno_status status = imp.scratch != NULL ? DYNO_OK : DYNO_NOMEM(err);
    if (status == DYNO_OK)
        status = dyno_proto_read_model(data, bytes, imp.scratch, &imp.proto, err);
    if (status == DYNO_OK)
        status = import_proto(&imp);
    dyno_map_fini(&imp.functions);
    dyno_map_fini(&imp.poisoned);
    dyno_strbuf_fini(&imp.problems.first);
    dyno_arena_destroy(imp.scratch);
    model->file_bytes = bytes;
    for (const struct dyno_external *at = model->externals; at != NULL; at = at->next)
        model->file_bytes += at->map.bytes;
    return status;
}

enum dyno_status dyno_onnx_import_bytes(const void *data, size_t bytes, const char *folder,
                                        const struct dyno_onnx_options *options,
                                        struct dyno_onnx_model **model_out, struct dyno_err *err)
{
    *model_out = NULL;
    struct dyno_onnx_model *model = dyno_alloc(1, sizeof(*model));
    if (model == NULL)
        return DYNO_NOMEM(err);
    const enum dyno_status status = import(model, data, bytes, folder, options, err);
    if (status != DYNO_OK)
        dyno_onnx_model_close(model);
    else
        *model_out = model;
    return status;
}

/* The folder that `path` lies in; NULL when out of memory. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    const size_t bytes = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);
    char *folder = dyno_alloc(bytes + 2, 1);
    if (folder == NULL)
        return NULL;
    memcpy(folder, slash == NULL ? "." : path, slash == NULL ? 1 : bytes);
    return folder;
}

enum dyno_status dyno_onnx_import(const char *path, const struct dyno_onnx_options *options,
                                  struct dyno_onnx_model **model_out, struct dyno_err *err)
{
    enum dyno_status status = DYNO_OK;
    char *folder = NULL;
    *model_out = NULL;
    struct dyno_onnx_model *model = dyno_alloc(1, sizeof(*model));
    if (model == NULL)
        return DYNO_NOMEM(err);
    folder = folder_of(path);
    status = folder != NULL ? dyno_file_map(path, &model->file, err) : DYNO_NOMEM(err);
    if (status != DYNO_OK)
        goto out;
    status = import(model, model->file.data, model->file.bytes, folder, options, err);
    if (status != DYNO_OK) {
        dyno_err_prefix(err, "%s", path);
        goto out;
    }
    *model_out = model;
    model = NULL;
out:
    dyno_onnx_model_close(model);
    dyno_free(folder);
    return status;
}

void dyno_onnx_model_close(struct dyno_onnx_model *model)
{
    if (model == NULL)
        return;
    dyno_graph_destroy(model->graph);
    dyno_externals_destroy(model->externals);
    dyno_file_unmap(&model->file);
    dyno_free(model);
}

struct dyno_graph *dyno_onnx_model_graph(struct dyno_onnx_model *model)
{
    return model->graph;
}

uint32_t dyno_onnx_model_metadata_count(const struct dyno_onnx_model *model)
{
    return model->metadata_count;
}

void dyno_onnx_model_metadata(const struct dyno_onnx_model *model, uint32_t idx,
                              const char **key_out, const char **value_out)
{
    DYNO_ASSERT(idx < model->metadata_count);
    *key_out = model->metadata[idx].key;
    *value_out = model->metadata[idx].value;
}

const char *dyno_onnx_model_producer(const struct dyno_onnx_model *model)
{
    return model->producer;
}

int dyno_onnx_model_opset(const struct dyno_onnx_model *model)
{
    return model->opset;
}

uint64_t dyno_onnx_model_file_bytes(const struct dyno_onnx_model *model)
{
    return model->file_bytes;
}
