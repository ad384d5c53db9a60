/* import.h - an ONNX file becomes a graph.
 *
 * The importer reads the protobuf wire itself, out of the mapped file; weights stay where they are.
 * Opsets 7 to 25 are accepted; every node is rewritten to the one canonical form that `ops` knows
 * (adapt*.c), functions of the model and If with a constant condition are inlined.
 *
 * Whatever is wrong is collected and reported together, each finding one sentence with node
 * (number, operator, name), input or attribute, and rule.
 *
 * Ownership: a model owns its graph and the mapped files that constants of the graph point into.
 * Threads: one at a time a model.
 */
#ifndef DYNO_ONNX_IMPORT_H
#define DYNO_ONNX_IMPORT_H

#include "ir/graph.h"

#define DYNO_ONNX_OPSET_MIN    7
#define DYNO_ONNX_OPSET_MAX    25
#define DYNO_ONNX_PROBLEMS_MAX 200 /* findings reported; the rest is only counted */

struct dyno_onnx_model;

/* Gives input `name` the shape dims[rank]; -1 keeps what the model says of that dimension. */
struct dyno_onnx_shape {
    const char *name;
    int rank;
    int64_t dims[DYNO_RANK_MAX];
};

/* Bounds of each dimension of input `name`.  min == max fixes a dimension; min < max makes it a
 * symbol with that range (also where the model fixes it). */
struct dyno_onnx_profile {
    const char *name;
    int rank;
    int64_t min[DYNO_RANK_MAX];
    int64_t max[DYNO_RANK_MAX];
};

/* Called for each finding, in order, while the import runs; `text` is one sentence. */
typedef void dyno_onnx_problem_fn(void *arg, const char *text);

/* Zero-initialised is the default. */
struct dyno_onnx_options {
    const struct dyno_onnx_shape *shapes;
    uint32_t shape_count;
    const struct dyno_onnx_profile *profiles;
    uint32_t profile_count;
    /* Above 0: an open first dimension that nothing else is asked of is 1..batch_max. */
    int64_t batch_max;
    dyno_onnx_problem_fn *problem; /* may be NULL */
    void *problem_arg;
};

/* Import the file at `path`; `options` may be NULL.  External data is looked for beside the model
 * and nowhere else.
 * Fails with E_NOT_FOUND, E_IO, E_NOMEM; with E_FORMAT or E_UNSUPPORTED (when nothing is malformed)
 * after all findings are made: `err` then holds how many there are and the first of them. */
enum dyno_status dyno_onnx_import(const char *path, const struct dyno_onnx_options *options,
                                  struct dyno_onnx_model **model_out, struct dyno_err *err);

/* The same from memory, which must outlive the model.  folder: where external data lies, NULL:
 * external data is refused. */
enum dyno_status dyno_onnx_import_bytes(const void *data, size_t bytes, const char *folder,
                                        const struct dyno_onnx_options *options,
                                        struct dyno_onnx_model **model_out, struct dyno_err *err);

void dyno_onnx_model_close(struct dyno_onnx_model *model); /* accepts NULL */

/* Belongs to the model; may be changed in place (passes do). */
struct dyno_graph *dyno_onnx_model_graph(struct dyno_onnx_model *model);

/* "" when the model does not say; the opset of the default domain. */
const char *dyno_onnx_model_producer(const struct dyno_onnx_model *model);
int dyno_onnx_model_opset(const struct dyno_onnx_model *model);

/* metadata_props: what the exporter wrote beside the graph (labels, an alphabet, ...). */
uint32_t dyno_onnx_model_metadata_count(const struct dyno_onnx_model *model);
void dyno_onnx_model_metadata(const struct dyno_onnx_model *model, uint32_t idx,
                              const char **key_out, const char **value_out);

/* Bytes of the model file and of the external files it uses. */
uint64_t dyno_onnx_model_file_bytes(const struct dyno_onnx_model *model);

/* SHA-256 of what the model is: of its file; where data lies in other files, of the text
 * "dyno model 1\n", the SHA-256 of its file, and those of the other files that it uses, in rising
 * order.  Not the file's name and nothing that a machine adds.  E_UNSUPPORTED: the
 * model was read from memory; E_NOMEM. */
DYNO_NODISCARD enum dyno_status dyno_onnx_model_identity(const struct dyno_onnx_model *model,
                                                         uint8_t sha256_out[32],
                                                         struct dyno_err *err);

/* Read one serialised TensorProto (what ONNX tests and data files hold).  Data is in `arena` or
 * points into `data`. */
enum dyno_status dyno_onnx_tensor_read(const void *data, size_t bytes, struct dyno_arena *arena,
                                       struct dyno_tensor *tensor_out, struct dyno_err *err);

#endif /* DYNO_ONNX_IMPORT_H */
