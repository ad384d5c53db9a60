/* bench_report.h - what dyno bench found, as text and as JSON. */
#ifndef DYNO_CLI_BENCH_REPORT_H
#define DYNO_CLI_BENCH_REPORT_H

#include "cli/report.h"
#include "cli/session.h"

struct dyno_bench_result {
    const char *name; /* of the engine or model */
    uint32_t stream_count;
    struct dyno_latency latency;
    struct dyno_latency gpu; /* count 0: on the CPU */
    bool no_transfers;       /* inputs and outputs were on the GPU */
    double qps, items_s;
    double wall_s;
    double energy_j; /* of the whole card, while all streams ran; NAN: it does not tell */
    uint64_t arena_bytes, tensor_bytes;
    uint64_t launches;                  /* kernels that a run launches on the GPU */
    const struct dyno_context *context; /* of one of the streams */
    double *us;                         /* sorted, of all streams */
    double *step_us;                    /* with --dumpProfile: mean of each step */
};

void dyno_bench_print(const struct dyno_bench_result *result, const struct dyno_session *session);
/* with_layers: each step, with its time where there is one. */
DYNO_NODISCARD enum dyno_status dyno_bench_print_json(const struct dyno_bench_result *result,
                                                      const struct dyno_session *session,
                                                      bool with_layers, struct dyno_err *err);
void dyno_bench_print_layers(const struct dyno_session *session);
void dyno_bench_print_profile(const struct dyno_bench_result *result,
                              const struct dyno_session *session);

#endif /* DYNO_CLI_BENCH_REPORT_H */
