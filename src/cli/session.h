/* session.h - what bench, run and compare share: an engine from a file or built in memory, a pool,
 * a context, and input arrays. */
#ifndef DYNO_CLI_SESSION_H
#define DYNO_CLI_SESSION_H

#include "build/build.h"
#include "cli/command.h"
#include "cli/shapes.h"

struct dyno_session_options {
    const char *engine_path; /* either this ... */
    const char *onnx_path;   /* ... or this, built now */
    bool baseline;
    bool exact;
    int level;
    int threads;        /* 0: one a CPU */
    const char *device; /* of a file: that it is to run on; to build for; NULL: its own, the CPU */
    const struct dyno_profile_input *profile;
    uint32_t profile_count;
    const char *timing_cache_path;
};

struct dyno_session {
    struct dyno_pool *pool;
    struct dyno_built built; /* when built now */
    struct dyno_engine *engine;
    bool owns_engine;
    uint64_t load_ns; /* opening the file, or building */
};

DYNO_NODISCARD enum dyno_status dyno_session_open(const struct dyno_session_options *options,
                                                  struct dyno_session *session_out,
                                                  struct dyno_err *err);
void dyno_session_close(struct dyno_session *session); /* accepts a zeroed one */

/* True when the path ends in .onnx. */
bool dyno_is_onnx_path(const char *path);

/* Arrays for every input of the engine, in `arena`: from files, items NAME<separator>FILE.npy,
 * where given, else made up: floats in [-1, 1), integers 0 (so that indices are in range), at the
 * profile's optimum or at `shapes`.  E_ARG names an item that is no input, a type or a shape that
 * does not fit. */
DYNO_NODISCARD enum dyno_status dyno_session_inputs(
    const struct dyno_engine *engine, const struct dyno_cli_list *files, char separator,
    const struct dyno_cli_shapes *shapes, struct dyno_arena *arena, struct dyno_array **inputs_out,
    struct dyno_err *err);

/* What the importer found, on stderr: each finding a line as it comes, except a lone one, which is
 * the sentence of the error. */
struct dyno_findings {
    uint32_t count;
    char first[DYNO_ERR_TEXT_BYTES];
};
void dyno_findings_add(void *findings_arg, const char *text); /* a dyno_onnx_problem_fn */
/* Take out of the error what has been said already. */
void dyno_findings_end(const struct dyno_findings *findings, struct dyno_err *err);

/* E_IO when the folder that `path` (may be NULL) is to be written into is not there: found before
 * the long work, not after it. */
DYNO_NODISCARD enum dyno_status dyno_session_check_folder(const char *path, struct dyno_err *err);

#endif /* DYNO_CLI_SESSION_H */
