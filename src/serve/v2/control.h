/* control.h - what the protocol tells about server and models, as JSON and as protobuf.
 *
 * The structs are filled by the caller; the functions write bytes and nothing else.
 */
#ifndef DYNO_SERVE_V2_CONTROL_H
#define DYNO_SERVE_V2_CONTROL_H

#include "base/json.h"
#include "serve/v2/infer.h"

#define DYNO_V2_SERVER_NAME "dyno"

struct dyno_v2_model {
    const char *name;
    const char *const *versions;
    size_t version_count;
    const struct dyno_v2_tensor *inputs, *outputs; /* dims with -1 for open */
    size_t input_count, output_count;
    const char *const *label_files; /* one an output, "" where it has none */
    int64_t max_batch;
    int instances;
};

struct dyno_v2_duration {
    uint64_t count, ns;
};

/* Executions of one batch size. */
struct dyno_v2_batch {
    uint64_t size;
    struct dyno_v2_duration infer;
};

struct dyno_v2_stats {
    const char *name, *version;
    uint64_t last_ms, inference_count, execution_count;
    struct dyno_v2_duration success, fail, queue, input, infer, output;
    const struct dyno_v2_batch *batches;
    size_t batch_count;
    uint64_t memory_bytes;
};

struct dyno_v2_index_row {
    const char *name, *version, *state, *reason; /* version NULL, state "": nothing to tell */
};

/* Each writes one JSON value. */
/* The server's extensions are those of Triton that it has, without client memory one less. */
void dyno_v2_json_server(struct dyno_json_writer *json, bool has_shm);
void dyno_v2_json_model(struct dyno_json_writer *json, const struct dyno_v2_model *model);
void dyno_v2_json_config(struct dyno_json_writer *json, const struct dyno_v2_model *model);
void dyno_v2_json_stats(struct dyno_json_writer *json, const struct dyno_v2_stats *stats);
void dyno_v2_json_index_row(struct dyno_json_writer *json, const struct dyno_v2_index_row *row);

/* Each writes the fields of one message; nested ones (stats, index rows) as their field of it. */
void dyno_v2_pb_server(struct dyno_strbuf *out, bool has_shm);
void dyno_v2_pb_model(struct dyno_strbuf *out, const struct dyno_v2_model *model);
void dyno_v2_pb_config(struct dyno_strbuf *out, const struct dyno_v2_model *model);
void dyno_v2_pb_stats(struct dyno_strbuf *out, const struct dyno_v2_stats *stats);
void dyno_v2_pb_index_row(struct dyno_strbuf *out, const struct dyno_v2_index_row *row);

/* A request of at most two texts, field 1 and field 2 (name and version of ModelReady and the like,
 * repository and model of the repository calls); "" where absent. */
struct dyno_v2_names {
    const char *first, *second;
    bool ready;                   /* RepositoryIndex: field 2 as a boolean */
    struct dyno_v2_param *params; /* field 3 of the repository calls; bytes are a text "" */
};
enum dyno_status dyno_v2_pb_names(const void *body, size_t bytes, struct dyno_arena *arena,
                                  struct dyno_v2_names *names_out, struct dyno_err *err);

/* The names of both forms; how many. */
size_t dyno_v2_extensions(bool has_shm, const char *const **names_out);

#endif /* DYNO_SERVE_V2_CONTROL_H */
