/* test_measure.c - what a candidate of a GPU is timed with, on a driver that writes down what it is
 * asked for (record.h): each launch reads a copy of the weights of its own, of as many as the cache
 * asks for.
 */
#include "base/mem.h"
#include "needs_nvrtc.h"
#include "record.h"
#include "test.h"
#include "tune/measure.h"

#define SKIPPED 77
#define SIZE    64 /* x[64, 64] times a constant [64, 64] */
#define TENSORS (UINT64_C(2) * SIZE * SIZE * 4)

extern const struct dyno_kernel dyno_kernel_cuda_matmul_ffma, dyno_kernel_cuda_matmul_pair;

static struct dyno_buf matrix(const void *data)
{
    return (struct dyno_buf){
        .dtype = DYNO_F32, .rank = 2, .dims = {SIZE, SIZE}, .data = (void *)(uintptr_t)data};
}

/* How often each of the parameters' texts was launched; their number. */
static uint32_t count_kinds(const struct record *record, uint32_t first, uint32_t *least_out,
                            uint32_t *most_out)
{
    uint32_t kinds = 0;
    *least_out = UINT32_MAX;
    *most_out = 0;
    for (uint32_t i = first; i < record->launch_count; i++) {
        uint32_t count = 0;
        bool is_first = true;
        for (uint32_t k = first; k < record->launch_count; k++) {
            const bool same = record->launches[k].params_hash == record->launches[i].params_hash;
            count += same;
            is_first = is_first && !(same && k < i);
        }
        kinds += is_first;
        *least_out = count < *least_out ? count : *least_out;
        *most_out = count > *most_out ? count : *most_out;
    }
    return kinds;
}

/* Times the first tactic of `kernel`; of those launches that are in the graph: *kinds_out. */
static void measure(const struct dyno_kernel *kernel, const struct dyno_site *site,
                    uint64_t passing_bytes, uint64_t *packed_out, uint32_t *kinds_out)
{
    struct dyno_err err = {0};
    struct dyno_cuda *cuda = NULL;
    struct dyno_tactic tactics[DYNO_TACTICS_MAX];
    struct record *record = record_start(90);
    REQUIRE(dyno_cuda_open(0, &cuda, &err) == DYNO_OK);
    struct dyno_cuda_programs *programs = dyno_cuda_programs_create(cuda, 90);
    REQUIRE(programs != NULL &&
            dyno_kernel_candidates(kernel, site, tactics, DYNO_TACTICS_MAX) > 0);
    const struct dyno_measure_options options = {
        .budget_us = 4000, .give_up_us = 1e9, .passing_bytes = passing_bytes};
    float us = 0.0F;
    CHECK_MSG(dyno_measure_gpu(site, &tactics[0], programs, &options, &us, &err) == DYNO_OK, "%s",
              err.text);
    CHECK(us > 0.0F && record->graph_count == 1);
    uint32_t captured = 0, least = 0, most = 0;
    while (captured < record->launch_count && !record->launches[captured].captured)
        captured++;
    *kinds_out = count_kinds(record, captured, &least, &most);
    CHECK_MSG(least == most && record->launch_count - captured >= 16, "%u to %u of %u", least, most,
              record->launch_count - captured);
    *packed_out = tactics[0].packed_bytes;
    dyno_cuda_programs_destroy(programs);
    dyno_cuda_close(cuda);
    CHECK(record->live_count == 0 && record->module_count == 0);
    record_end();
}

int main(void)
{
    static float weights[SIZE * SIZE];
    if (nvrtc_is_missing())
        return SKIPPED;
    const struct dyno_target target = {
        .workspace_bytes_max = UINT64_MAX,
        .gpu = {.compute = 90, .sm_count = 132, .shared_bytes = 232448}};
    struct dyno_step step = {
        .name = "s", .op = DYNO_OP_mat_mul, .in_count = 2, .own_in_count = 2, .out_count = 1};
    struct dyno_buf ins[2] = {matrix(NULL), matrix(weights)}, out = matrix(NULL);
    bool in_is_weight[2] = {false, true};
    const struct dyno_site site = {
        .step = &step, .ins = ins, .outs = &out, .in_is_weight = in_is_weight, .target = &target};
    uint64_t packed = 0;
    uint32_t kinds = 0;
    /* As warm as can be: one copy. */
    measure(&dyno_kernel_cuda_matmul_ffma, &site, 0, &packed, &kinds);
    CHECK_MSG(kinds == 1 && packed >= SIZE * SIZE * 4, "%u", kinds);
    /* What passes in a launch is a copy and both tensors; the constant as it was is not read. */
    const uint64_t each = (packed + 255) / 256 * 256 + TENSORS;
    for (uint32_t copies = 2; copies <= 32; copies *= 2) {
        measure(&dyno_kernel_cuda_matmul_ffma, &site, (copies - 1) * each, &packed, &kinds);
        CHECK_MSG(kinds == copies, "%u in the place of %u", kinds, copies);
        measure(&dyno_kernel_cuda_matmul_ffma, &site, copies * each - 1, &packed, &kinds);
        CHECK_MSG(kinds == copies, "%u in the place of %u", kinds, copies);
    }
    measure(&dyno_kernel_cuda_matmul_ffma, &site, UINT64_C(1) << 40, &packed, &kinds);
    CHECK(kinds == 128); /* the most */
    /* Where nothing is packed there is nothing to copy. */
    in_is_weight[1] = false;
    ins[1].data = NULL;
    measure(&dyno_kernel_cuda_matmul_pair, &site, UINT64_C(1) << 40, &packed, &kinds);
    CHECK(kinds == 1 && packed == 0);
    return TEST_RESULT();
}
