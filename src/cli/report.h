/* report.h - what the commands print: for a person as text, for a program as JSON. */
#ifndef DYNO_CLI_REPORT_H
#define DYNO_CLI_REPORT_H

#include "build/build.h"

void dyno_report_build_json(const struct dyno_build_report *report,
                            const struct dyno_engine *engine, const char *onnx_path,
                            const char *engine_path, struct dyno_strbuf *out);
void dyno_report_build_text(const struct dyno_build_report *report,
                            const struct dyno_engine *engine, const char *onnx_path,
                            const char *engine_path, bool verbose);

/* What was tried in runs of the whole graph; nothing where nothing was. */
struct dyno_json_writer;
void dyno_report_providers_json(const struct dyno_build_report *report,
                                struct dyno_json_writer *json);
void dyno_report_providers_text(const struct dyno_build_report *report);
void dyno_report_retime_json(const struct dyno_retime_report *report,
                             struct dyno_json_writer *json);
void dyno_report_retime_text(const struct dyno_retime_report *report, bool verbose);

/* Inputs or outputs of an engine as a JSON array / as text lines. */
void dyno_report_ios_json(const struct dyno_engine *engine, struct dyno_json_writer *json);
void dyno_report_ios_text(const struct dyno_engine *engine);
/* What precisions were allowed in an engine for a GPU, and whether its steps may overlap; nothing
 * for the CPU. */
void dyno_report_precisions_json(const struct dyno_engine *engine, struct dyno_json_writer *json);
void dyno_report_precisions_text(const struct dyno_engine *engine);
/* How many steps of the GPU overlap at the shapes that the context has bound; nothing for the CPU.
 */
void dyno_report_branches_json(const struct dyno_context *context, struct dyno_json_writer *json);
void dyno_report_branches_text(const struct dyno_context *context);
/* The accuracy budget and the error that was found; nothing where none was given. */
void dyno_report_accuracy_json(const struct dyno_engine *engine, struct dyno_json_writer *json);
void dyno_report_accuracy_text(const struct dyno_engine *engine);
/* Of a GPU's step: what it stores and rounds to, "FP32", "TF32", "FP16", "BF16"; on the CPU "". */
const char *dyno_report_precision(const struct dyno_engine *engine, uint32_t idx);
/* Step `idx` as fields of an object that is open; nodes_key: what its original nodes are called. */
void dyno_report_step_json(const struct dyno_engine *engine, uint32_t idx, const char *nodes_key,
                           struct dyno_json_writer *json);

/* Latencies of one stream of runs. */
struct dyno_latency {
    uint64_t count;
    double min_us, max_us, mean_us, median_us;
    double p90_us, p95_us, p99_us;
};
/* Sorts us[count]. */
void dyno_latency_of(double *us, uint64_t count, struct dyno_latency *latency_out);
/* The q-th quantile (0..1) of sorted values: the smallest value with at least q of all at or below.
 */
double dyno_quantile(const double *sorted_us, uint64_t count, double q);

/* Highest resident memory of this process so far, bytes. */
uint64_t dyno_peak_rss_bytes(void);

#endif /* DYNO_CLI_REPORT_H */
