/* certify.h - what the files of `dyno certify` share: it measures what meter/cert computes with.
 *
 *   device     the CPU or a GPU
 *   subject    model, engine, baseline, range of shapes, points
 *   worker     a fresh process that runs segments and prints them (cmd_certify_worker.c)
 *   campaign   starts workers and collects their samples in certificates
 *   report     what a person, a program and a browser see
 */
#ifndef DYNO_CLI_CERTIFY_H
#define DYNO_CLI_CERTIFY_H

#include "base/json.h"
#include "base/progress.h"
#include "cli/certify_drops.h"
#include "cli/command.h"
#include "cli/session.h"
#include "meter/cert/anchor.h"
#include "meter/cert/cert.h"

/* The flags, as they came. */
struct dyno_certify_options {
    struct dyno_cli_list positional;
    struct dyno_cli_list load_inputs, points;
    const char *onnx, *engine, *out, *reference, *verify, *show, *save_baseline;
    const char *suspend, *reinstate, *reason, *watch, *baseline;
    const char *shapes, *min_shapes, *opt_shapes, *max_shapes;
    const char *device, *device_class, *svg, *factors, *anchor;
    int64_t threads, term_days, attempts, processes;
    double accuracy, p99_ms;
    bool top_1, new_reference, keep_baseline, trial, json;
};

/* certify_factors.c: put what a reference certificate says of its device into the table at `path`,
 * which is made when it is not there; that of the reference device lies in `folder`. */
enum dyno_status dyno_certify_note_factor(const char *path, const struct dyno_cert *cert,
                                          const char *folder, struct dyno_err *err);

/* How long things are measured. */
struct dyno_certify_schedule {
    uint32_t processes, blocks;
    double segment_ms, scenario_s; /* scenario_s: single runs of the first batch, each side */
};
/* process_count: of what is no trial; 0: as many as are wanted at least. */
struct dyno_certify_schedule dyno_certify_schedule(bool is_trial, int64_t process_count);

/* --- the device --- */

struct dyno_certify_device {
    bool on_gpu;
    char name[80];   /* "cpu", "cuda", "cuda:1" */
    char class[256]; /* of device: --device-class, or processor and threads, or what the GPU is
                        called */
};

/* What the engine is for, or without one what the certificate `like` (may be NULL) is of.  E_ARG:
 * --device names no device, or one of the other kind, or DYNO_ISA_DISABLE is set, which would slow
 * the baseline down; E_TARGET: there is no such GPU. */
DYNO_NODISCARD enum dyno_status dyno_certify_device(const struct dyno_certify_options *options,
                                                    const struct dyno_cert *like,
                                                    struct dyno_certify_device *device_out,
                                                    struct dyno_err *err);
/* The types that it computes in, the model's own float first: "fp32+fp16"; NULL: out of memory. */
const char *dyno_certify_precision(const struct dyno_engine *engine, struct dyno_arena *arena);
/* Is step `idx` of an unoptimised execution one without a kernel of its own: by a slow reference,
 * on a GPU also on the CPU, or by our kernel where a framework's library has a better one? */
bool dyno_certify_is_opaque(const struct dyno_engine *engine, uint32_t idx);
/* Do steps of an engine for a GPU run on the CPU? */
bool dyno_certify_runs_on_host(const struct dyno_engine *engine);

/* --- the subject --- */

struct dyno_certify_subject {
    struct dyno_arena *arena;
    struct dyno_certify_device device;
    struct dyno_cert_gpu gpu;
    const char *onnx_path, *engine_path;
    const char *model_name;
    char temp_folder[4000]; /* while the baseline is built; "": none */
    char baseline_path[4096];
    int baseline_fd; /* -1: it is a file of the caller's */
    struct dyno_pool *pool;
    struct dyno_engine *baseline, *engine; /* engine NULL: a reference certificate alone */
    struct dyno_cert_hash model_hash, baseline_hash, engine_hash;
    char processor[160];
    const char *isa, *precision;
    uint32_t threads;
    struct dyno_cert_input *inputs;
    uint32_t input_count;
    struct dyno_cert_axis *axes;
    uint32_t axis_count, point_count;
    bool has_batch;               /* the first dimension is open */
    int64_t batch_min, batch_max; /* of range and engine together */
    dyno_expr batch_expr;
};

/* Hash of the model at `path`, without building anything; what is wrong with it goes to stderr. */
DYNO_NODISCARD enum dyno_status dyno_certify_model_hash(const char *path,
                                                        struct dyno_cert_hash *hash_out,
                                                        struct dyno_err *err);

/* What it runs on, into a subject whose engines are open. */
DYNO_NODISCARD enum dyno_status dyno_certify_describe(struct dyno_certify_subject *subject,
                                                      struct dyno_err *err);
/* The range as a profile to build with, in the subject's arena; NULL: out of memory. */
struct dyno_profile_input *dyno_certify_profile(const struct dyno_certify_subject *subject);

/* Build the baseline, open the engine, find range and points.  like: take range, points and device
 * from this certificate; NULL: from flags and engine.  E_MISMATCH: the engine is of another model.
 */
DYNO_NODISCARD enum dyno_status dyno_certify_subject_open(
    const struct dyno_certify_options *options, const struct dyno_cert_hash *model,
    const struct dyno_cert *like, struct dyno_certify_subject *subject, struct dyno_err *err);
void dyno_certify_subject_close(struct dyno_certify_subject *subject);

/* Sizes of an input at a batch (0: as the range has it) and a point. */
struct dyno_certify_dims {
    uint32_t rank;
    int64_t sizes[DYNO_CERT_RANK_MAX];
    bool is_batch[DYNO_CERT_RANK_MAX];
};
void dyno_certify_shape(const struct dyno_certify_subject *subject, int64_t batch, uint32_t point,
                        uint32_t input_idx, struct dyno_certify_dims *dims_out);
/* Shapes of all inputs as a flag's text, at a batch (0: as the range has it) and a point. */
void dyno_certify_shape_text(const struct dyno_certify_subject *subject, int64_t batch,
                             uint32_t point, struct dyno_strbuf *out);

/* Put what is measured on into an empty certificate, which borrows from the subject. */
DYNO_NODISCARD enum dyno_status dyno_certify_fill(const struct dyno_certify_options *options,
                                                  const struct dyno_certify_subject *subject,
                                                  struct dyno_cert *cert, struct dyno_err *err);

/* --- measuring --- */

struct dyno_certify_campaign {
    const struct dyno_certify_options *options;
    const struct dyno_certify_subject *subject;
    struct dyno_certify_schedule schedule;
    int64_t batch_max; /* of the scenarios */
    struct dyno_progress progress;
    uint64_t steps_done, steps_total, start_ns;
    struct dyno_certify_drops drops; /* of the process that measures */
};

/* The baseline's throughput at growing batches, into a reference certificate. */
DYNO_NODISCARD enum dyno_status dyno_certify_sweep(struct dyno_certify_campaign *campaign,
                                                   struct dyno_cert *reference,
                                                   struct dyno_err *err);
/* One attempt over all points: a new one in each certificate that is not NULL. */
DYNO_NODISCARD enum dyno_status dyno_certify_attempt(struct dyno_certify_campaign *campaign,
                                                     uint64_t batch, struct dyno_cert *reference,
                                                     struct dyno_cert *engine,
                                                     struct dyno_err *err);
/* The point that the range calls its best: whose sizes are the inputs' opt, or the nearest. */
uint32_t dyno_certify_best_point(const struct dyno_certify_subject *subject);
/* Short blocks of baseline and engine at one point, some hundreds, each to `fn` as it comes; what
 * fn returns instead of OK ends it and is returned. */
typedef enum dyno_status dyno_certify_block_fn(void *arg, const struct dyno_cert_block *block,
                                               struct dyno_err *err);
struct dyno_certify_look {
    uint64_t batch;
    uint32_t point;
    const struct dyno_cli_list *inputs; /* NAME:FILE.npy of that shape; NULL: they are made up */
    dyno_certify_block_fn *fn;
    void *arg;
};
DYNO_NODISCARD enum dyno_status dyno_certify_blocks(const struct dyno_certify_campaign *campaign,
                                                    const struct dyno_certify_look *look,
                                                    struct dyno_err *err);

/* Live data made into a batch: files of all inputs in a folder of their own, in TMPDIR when that is
 * set, else in memory where there is such a place. */
struct dyno_certify_live {
    struct dyno_arena *arena;
    char folder[4096]; /* "": none */
    struct dyno_cli_list inputs;
    uint32_t point; /* whose sizes the data has */
};
/* Rows of options->load_inputs, repeated until they are a batch.  E_ARG: an input is missing, or
 * the sizes are those of no point. */
DYNO_NODISCARD enum dyno_status dyno_certify_live_open(const struct dyno_certify_options *options,
                                                       const struct dyno_certify_subject *subject,
                                                       uint64_t batch,
                                                       struct dyno_certify_live *live,
                                                       struct dyno_err *err);
void dyno_certify_live_close(struct dyno_certify_live *live); /* accepts a zeroed one */
/* Single runs for the scenarios. */
DYNO_NODISCARD enum dyno_status dyno_certify_scenarios(struct dyno_certify_campaign *campaign,
                                                       struct dyno_cert *engine,
                                                       struct dyno_err *err);
/* The engine's answers against FP32's. */
DYNO_NODISCARD enum dyno_status dyno_certify_accuracy(const struct dyno_certify_options *options,
                                                      const struct dyno_certify_subject *subject,
                                                      struct dyno_cert *engine,
                                                      struct dyno_err *err);

/* --- telling --- */

/* path: of the file, may be NULL. */
void dyno_certify_report_text(const struct dyno_cert *cert, const char *path);
void dyno_certify_report_json(struct dyno_json_writer *json, const struct dyno_cert *cert,
                              const char *path);
/* certify_anchor.c: as lines after its certificate's, and as a member beside it. */
void dyno_certify_anchor_text(const struct dyno_anchor *anchor);
void dyno_certify_anchor_json(struct dyno_json_writer *json, const struct dyno_anchor *anchor);
/* Distributions of baseline and engine and of their ratio, as a picture. */
void dyno_certify_svg(const struct dyno_cert *cert, struct dyno_strbuf *out);

#endif /* DYNO_CLI_CERTIFY_H */
