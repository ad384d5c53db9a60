/* repository.h - what lies in a model repository: REPO/MODEL/VERSION/NAME.engine, or
 * model.onnx there.
 *
 * Reads folders, never engines.  Names that break the rule are not seen.  Paths are made of names
 * that passed the rule and of nothing else.  Any thread.
 */
#ifndef DYNO_SERVE_MODEL_REPOSITORY_H
#define DYNO_SERVE_MODEL_REPOSITORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "serve/model/maker.h"

#define DYNO_MODEL_NAME_BYTES_MAX 128
#define DYNO_REPO_MODELS_MAX      10000
#define DYNO_REPO_VERSIONS_MAX    1000 /* of one model */
#define DYNO_REPO_VARIANTS_MAX    64   /* of one version */

/* [A-Za-z0-9][A-Za-z0-9_.-]*, at most DYNO_MODEL_NAME_BYTES_MAX. */
bool dyno_model_name_ok(const char *name);
/* A decimal number above 0 without leading zeros; 0 when it is none. */
uint64_t dyno_model_version_parse(const char *text);

/* Where the names of an output's classes stand: a file in the model's folder. */
struct dyno_model_labels {
    const struct dyno_model_labels *next;
    const char *output, *file;
};

/* What the configuration says of one variant, of every version. */
struct dyno_model_variant {
    const struct dyno_model_variant *next;
    const char *name;
    double accuracy;    /* 0..1; 1 when it does not say */
    bool is_pinned;     /* or the whole model is */
    const char *device; /* "cuda:N", the GPU that it goes to; NULL: to any */
};

/* config.json of a model; every field may be absent. */
struct dyno_model_config {
    bool has_max_batch;
    int64_t max_batch; /* max_batch_size */
    int64_t instances; /* instance_count; 0: not said */
    bool all_versions;
    uint64_t latest_count; /* versions, when not all and not listed; default 1 */
    const uint64_t *versions;
    size_t version_count; /* version_policy.specific */
    const struct dyno_model_labels *labels;
    bool is_pinned;                            /* all of its variants */
    const struct dyno_model_variant *variants; /* those that are mentioned */
    struct dyno_make_wish build;               /* how engines are built of a model.onnx */
};

/* What it says of a variant by that name, mentioned or not. */
struct dyno_model_variant dyno_model_variant_of(const struct dyno_model_config *config,
                                                const char *name);

/* Does it name a GPU that engines are built on? */
bool dyno_model_builds_on_gpu(const struct dyno_model_config *config);

struct dyno_repo_variant {
    struct dyno_repo_variant *next;
    const char *name; /* of the file without .engine */
    const char *path;
};

struct dyno_repo_version {
    struct dyno_repo_version *next; /* newest first */
    uint64_t number;
    const char *folder;
    struct dyno_repo_variant *variants;
    size_t variant_count;
    bool has_onnx; /* a model.onnx lies there */
};

struct dyno_repo_model {
    struct dyno_repo_model *next; /* by name */
    const char *name, *folder;
    struct dyno_repo_version
        *versions; /* those that the configuration wants, or that was asked for */
    struct dyno_model_config config;
};

/* FOLDER/NAME in the arena; NULL: out of memory. */
char *dyno_repo_path(struct dyno_arena *arena, const char *folder, const char *name);

/* The names of all models in `folders`; the same name twice is taken from the first folder.  E_IO
 * names a folder that cannot be read. */
enum dyno_status dyno_repo_list(const char *const *folders, size_t folder_count,
                                struct dyno_arena *arena, struct dyno_repo_model **models_out,
                                struct dyno_err *err);

/* One model with its versions and engines; version 0: those that its configuration wants, else this
 * one alone.  E_NOT_FOUND: there is no such model; E_ARG: the name is none; E_FORMAT: its
 * config.json, with the field. */
enum dyno_status dyno_repo_read(const char *const *folders, size_t folder_count, const char *name,
                                uint64_t version, struct dyno_arena *arena,
                                struct dyno_repo_model **model_out, struct dyno_err *err);

/* config.json's text, into `config` (zeroed). */
enum dyno_status dyno_model_config_parse(const char *text, size_t bytes, struct dyno_arena *arena,
                                         struct dyno_model_config *config, struct dyno_err *err);

#endif /* DYNO_SERVE_MODEL_REPOSITORY_H */
