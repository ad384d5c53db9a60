/* gcheck.c - every GPU kernel on the cases of tests/kernels, against the references.
 *
 *     gcheck [--filter=OP] [--kernel=NAME] [--shard=I/N] [--every=N] [--compile-only=SM] [--open]
 * [-v]
 *
 * --open: candidates for a profile in which a size is open, at several of its shapes: all with the
 * program that the first has.
 * --every: of each kernel's trials the first, and one in N, the same ones each time.
 * Needs a GPU; with --compile-only the programs of every case are compiled and nothing runs.
 * Outputs begin as NaN, and what lies before and behind every buffer must stay as it was.  Of
 * kernels that take channel views, some of a trial's tensors are: they lie inside wider ones, whose
 * other channels are NaN to who reads and must stay to who writes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/libraries.h"
#include "backend/cuda/nvrtc.h"
#include "backend/cuda/program.h"
#include "base/mem.h"
#include "gopen.h"
#include "gplace.h"
#include "gtrial.h"

#define SKIPPED     77
#define GUARD_BYTE  0xA5
#define KERNELS_MAX 256

#define X(name) extern const struct kcase_family kcases_##name;
#include "families.def"
#undef X
static const struct kcase_family *const families[] = {
#define X(name) &kcases_##name,
#include "families.def"
#undef X
};

static struct {
    const char *filter, *kernel;
    int shard, shards, every, compile_only;
    bool verbose, open;
} options = {.filter = "", .kernel = "", .shards = 1, .every = 1};

static struct dyno_cuda *cuda;
static struct dyno_cuda_programs *programs;
static struct dyno_target target;
static const struct dyno_cuda_program *open_program; /* of the first shape; NULL: none yet */
static uint32_t run_count, fail_count, covered_count, case_count, view_count, dropped_count;

void fail(const struct trial *trial, const char *what)
{
    const struct kcase *row = trial->data->row;
    fail_count++;
    (void)fprintf(stderr, "FAIL %s {%s} [%s] %s: %s cfg %u %u %u out %u/%u/%u: %s%s%s\n", row->op,
                  row->attrs, row->ins, row->tail == NULL ? "" : row->tail, trial->kernel->name,
                  trial->tactic.cfg[0], trial->tactic.cfg[1], trial->tactic.cfg[2],
                  trial->tactic.out_layout.kind, trial->tactic.out_layout.block,
                  trial->tactic.out_layout.elem, what, trial->err.text[0] != 0 ? ": " : "",
                  trial->err.text);
}

/* --- memory --- */

static bool ok(int code)
{
    return code == DYNO_CU_OK;
}

static bool give(struct memory *memory, uint64_t bytes, const void *from)
{
    memory->bytes = bytes;
    if (dyno_cuda_alloc(cuda, bytes + 2 * GUARD_BYTES, &memory->base, NULL) != DYNO_OK)
        return false;
    if (!ok(cuda->cu->fill(memory->base, GUARD_BYTE, bytes + 2 * GUARD_BYTES, NULL)))
        return false;
    if (from != NULL && bytes != 0)
        return ok(cuda->cu->copy_in(memory->base + GUARD_BYTES, from, bytes, NULL));
    return bytes == 0 || ok(cuda->cu->fill(memory->base + GUARD_BYTES, 0xFF, bytes, NULL));
}

static void *address(const struct memory *memory)
{
    return (void *)(uintptr_t)(memory->base + GUARD_BYTES + memory->at);
}

/* All of it on the host again; false when the guards changed. */
static bool take(struct memory *memory)
{
    memory->host = malloc(memory->bytes + 2 * GUARD_BYTES);
    if (memory->host == NULL ||
        !ok(cuda->cu->copy_out(memory->host, memory->base, memory->bytes + 2 * GUARD_BYTES,
                               NULL)) ||
        !ok(cuda->cu->stream_wait(NULL)))
        return false;
    for (uint64_t i = 0; i < GUARD_BYTES; i++) {
        if ((unsigned char)memory->host[i] != GUARD_BYTE ||
            (unsigned char)memory->host[GUARD_BYTES + memory->bytes + i] != GUARD_BYTE)
            return false;
    }
    return true;
}

static void drop(struct memory *memory)
{
    free(memory->host);
    dyno_cuda_free(cuda, memory->base);
    *memory = (struct memory){0};
}

/* --- one tactic --- */

/* Of a kernel that takes channel views some tensors are: others in each trial. */
static void widen(const struct trial *trial, struct dyno_buf *buf, uint32_t idx)
{
    const uint32_t turn = (run_count * 2654435761U) >> 16;
    if (trial->kernel->strided && is_last(buf) && buf->ld != 0 && (turn >> idx % 16 & 1) != 0)
        buf->ld += (2 + (idx + run_count) % 2) * buf->layout.block;
}

static bool make_ins(struct trial *trial)
{
    const struct kcase_data *data = trial->data;
    for (uint32_t i = 0; i < trial->step.in_count; i++) {
        const struct dyno_layout layout =
            i < DYNO_STEP_INS_MAX ? trial->tactic.in_layouts[i] : DYNO_ROW;
        describe(&trial->ins[i], &data->ins[i], data->in_open[i], layout);
        widen(trial, &trial->ins[i], i + 1);
        trial->gpu_ins[i] = trial->ins[i];
        if (trial->ins[i].rank < 0)
            continue;
        trial->ins[i].data = data->in_is_known[i] ? data->ins[i].data : NULL;
        if (options.compile_only != 0)
            continue;
        char *stored = calloc(1, stored_bytes(&trial->ins[i]) + 1);
        if (stored == NULL)
            return false;
        store(&trial->ins[i], &data->ins[i], stored);
        const bool given = give(&trial->in_mem[i], stored_bytes(&trial->ins[i]), stored);
        free(stored);
        if (!given)
            return false;
        trial->in_mem[i].at = view_at(&trial->ins[i]);
        trial->gpu_ins[i].data = address(&trial->in_mem[i]);
        view_count += trial->in_mem[i].at != 0;
    }
    for (uint32_t i = 0; i < trial->step.out_count; i++) {
        describe(&trial->outs[i], &data->outs[i], data->out_open[i],
                 i == 0 ? trial->tactic.out_layout : DYNO_ROW);
        widen(trial, &trial->outs[i], 0);
        trial->gpu_outs[i] = trial->outs[i];
        if (options.compile_only == 0) {
            if (!give(&trial->out_mem[i], stored_bytes(&trial->outs[i]), NULL))
                return false;
            trial->out_mem[i].at = view_at(&trial->outs[i]);
            trial->gpu_outs[i].data = address(&trial->out_mem[i]);
            view_count += trial->out_mem[i].at != 0;
        }
    }
    return true;
}

static bool pack(struct trial *trial, const struct dyno_site *site)
{
    if (trial->tactic.packed_bytes == 0)
        return true;
    trial->host_packed = dyno_alloc(trial->tactic.packed_bytes, 1);
    bool done =
        trial->host_packed != NULL &&
        trial->kernel->pack(site, &trial->tactic, trial->host_packed, &trial->err) == DYNO_OK;
    if (done && options.compile_only == 0)
        done = give(&trial->packed, trial->tactic.packed_bytes, trial->host_packed);
    trial->step.packed = "packed";
    return done;
}

static void launch(struct trial *trial, const struct dyno_cuda_program *program, void *state)
{
    const struct dyno_gpu_launch gpu = {
        .cu = cuda->cu, .function = program != NULL ? program->module.function : NULL};
    struct dyno_run_args args = {.step = &trial->step,
                                 .ins = trial->gpu_ins,
                                 .outs = trial->gpu_outs,
                                 .packed = address(&trial->packed),
                                 .state = state,
                                 .workspace = address(&trial->workspace),
                                 .gpu = &gpu,
                                 .err = &trial->err};
    if (trial->kernel->run(&args) != DYNO_OK || !ok(cuda->cu->stream_wait(NULL))) {
        fail(trial, "it does not run");
        (void)fprintf(stderr, "the GPU is in no state to go on\n");
        exit(EXIT_FAILURE);
    }
    for (uint32_t i = 0; i < trial->step.out_count; i++) {
        if (!take(&trial->out_mem[i]))
            fail(trial, "it writes outside its output");
        else
            compare(trial, i);
    }
}

/* A kernel that would take no channel view must be kept from them. */
static void check_refusal(struct trial *trial, const struct dyno_site *site)
{
    struct dyno_kernel dense = *trial->kernel;
    bool any = false;
    for (uint32_t i = 0; i < trial->step.in_count; i++)
        any = any || view_at(&trial->ins[i]) != 0;
    for (uint32_t i = 0; i < trial->step.out_count; i++)
        any = any || view_at(&trial->outs[i]) != 0;
    dense.strided = false;
    if (any && dyno_kernel_check(&dense, site, NULL) != DYNO_E_FORMAT)
        fail(trial, "a dense kernel is given a channel view");
}

static void execute(struct trial *trial)
{
    uint64_t workspace_bytes = 0;
    bool is_prepared = false;
    const struct dyno_cuda_program *program = NULL;
    const struct dyno_site site = {.step = &trial->step,
                                   .ins = trial->ins,
                                   .outs = trial->outs,
                                   .in_is_weight = trial->data->in_is_weight,
                                   .target = &target};
    void *state = dyno_alloc(1, trial->kernel->state_bytes + 64);
    if (state == NULL || !make_ins(trial) || !pack(trial, &site)) {
        fail(trial, "no memory, or it does not pack");
    } else if (dyno_kernel_check(trial->kernel, &site, &trial->err) != DYNO_OK) {
        fail(trial, "its own tactic is refused");
    } else if (dyno_cuda_programs_get(programs, trial->kernel, &site, &trial->tactic, &program,
                                      &trial->err) != DYNO_OK) {
        fail(trial, "no program");
    } else if (open_program != NULL && program != open_program) {
        fail(trial, "another program than at the profile's optimum");
    } else if (trial->kernel->prepare(&site, &trial->tactic, trial->host_packed, state,
                                      &workspace_bytes, &trial->err) != DYNO_OK) {
        fail(trial, "it is not prepared");
    } else {
        is_prepared = true;
        open_program = options.open ? program : NULL;
    }
    if (is_prepared && options.compile_only == 0) {
        check_refusal(trial, &site);
        if (give(&trial->workspace, workspace_bytes, NULL))
            launch(trial, program, state);
        else
            fail(trial, "no memory");
    }
    if (is_prepared && trial->kernel->release != NULL)
        trial->kernel->release(state);
    dyno_free(trial->host_packed);
    dyno_free(state);
}

/* Is this trial, of so many of its kernel before it, in the share?  No fixed step: types and
 * layouts take turns. */
static bool is_chosen(const struct dyno_kernel *kernel)
{
    static uint32_t trial_counts[KERNELS_MAX];
    size_t idx = 0;
    while (dyno_kernels[idx] != kernel)
        idx++;
    DYNO_ASSERT(idx < KERNELS_MAX);
    const uint32_t count = trial_counts[idx]++;
    return count == 0 || (count * 2654435761U >> 16) % (uint32_t)options.every == 0;
}

static void try_tactic(const struct kcase_data *data, const struct dyno_kernel *kernel,
                       const struct dyno_tactic *tactic)
{
    struct trial *trial = calloc(1, sizeof(*trial));
    if (trial == NULL)
        exit(EXIT_FAILURE);
    trial->data = data;
    trial->kernel = kernel;
    trial->tactic = *tactic;
    trial->step = data->step;
    trial->step.tactic = *tactic;
    run_count++;
    execute(trial);
    if (options.compile_only == 0) {
        for (uint32_t i = 0; i < data->step.in_count; i++)
            drop(&trial->in_mem[i]);
        for (uint32_t i = 0; i < data->step.out_count; i++)
            drop(&trial->out_mem[i]);
        drop(&trial->packed);
        drop(&trial->workspace);
    }
    free(trial);
}

/* --- cases --- */

/* Its cfg is a tile and a split. */
static bool is_product(const struct dyno_kernel *kernel)
{
    return strstr(kernel->name, "_mma_") != NULL || strstr(kernel->name, "_ffma_") != NULL ||
           strstr(kernel->name, "_tf32_") != NULL;
}

/* Other parameters than the estimates like: every tile and every split comes up in some case. */
static void try_others(const struct kcase_data *data, const struct dyno_kernel *kernel,
                       const struct dyno_site *site, const struct dyno_tactic *like, uint32_t salt)
{
    if (!is_product(kernel))
        return;
    for (uint32_t i = 0; i < 3; i++) {
        struct dyno_tactic asked = *like;
        struct dyno_tactic settled;
        asked.cfg[0] = (salt + i * 3) % (target.gpu.compute == 90 ? 18 : 10);
        asked.cfg[1] = 1U << (salt / 3 + i) % 4;
        if (asked.cfg[0] == like->cfg[0] && asked.cfg[1] == like->cfg[1])
            continue;
        if (asked.cfg[1] > 1 && target.gpu.compute < 90)
            continue;
        if (dyno_kernel_settle(kernel, site, &asked, &settled, NULL) == DYNO_OK &&
            is_chosen(kernel))
            try_tactic(data, kernel, &settled);
    }
}

/* Its candidates; their number. */
static int run_kernel(const struct kcase_data *data, const struct dyno_kernel *kernel,
                      const struct dyno_site *site)
{
    struct dyno_tactic tactics[DYNO_TACTICS_MAX];
    const int count = dyno_kernel_candidates(kernel, site, tactics, DYNO_TACTICS_MAX);
    struct dyno_layout last = {.kind = 255};
    for (int t = 0; t < count; t++) {
        if (stores_halves(&tactics[t], data->step.in_count) && !is_for_halves(data->row))
            continue;
        const bool first = !dyno_layout_same(last, tactics[t].out_layout);
        last = tactics[t].out_layout;
        if (options.compile_only != 0 && !first)
            continue;
        if (first)
            try_others(data, kernel, site, &tactics[t], case_count + (uint32_t)t);
        /* Of those that differ in how much a thread makes, some in each case. */
        const bool in_turn = !is_product(kernel) && (case_count + (uint32_t)t) % 3 == 0;
        if ((first || in_turn || kernel->library != 0 || data->row->mode != KCHECK_SUM) &&
            is_chosen(kernel))
            try_tactic(data, kernel, &tactics[t]);
    }
    return count;
}

static void run_kernels(const struct kcase_data *data)
{
    struct place place;
    bool covered = false;
    make_place(data, &target, &place);
    for (size_t k = 0; k < dyno_kernel_count; k++) {
        if (dyno_kernels[k]->place != DYNO_ON_GPU ||
            strstr(dyno_kernels[k]->name, options.kernel) == NULL)
            continue;
        covered = run_kernel(data, dyno_kernels[k], &place.site) > 0 || covered;
    }
    covered_count += covered;
    if (!covered && options.verbose)
        printf("none  %s {%s} [%s] %s\n", data->row->op, data->row->attrs, data->row->ins,
               data->row->tail == NULL ? "" : data->row->tail);
}

/* --- open sizes --- */

static bool is_wanted(const struct kcase *row, const struct dyno_kernel *kernel,
                      const struct dyno_tactic *tactic, uint32_t in_count)
{
    open_program = NULL;
    return (is_for_halves(row) || !stores_halves(tactic, in_count)) && is_chosen(kernel);
}

static void run_open(const struct kcase *row)
{
    dropped_count += gopen_run(row, &target, is_wanted, try_tactic);
}

static void run_case(const struct kcase *row)
{
    struct dyno_err err = {0};
    case_count++;
    if (strstr(row->op, options.filter) == NULL ||
        (int)(case_count % (uint32_t)options.shards) != options.shard)
        return;
    if (options.open) {
        run_open(row);
        return;
    }
    struct kcase_data *data = dyno_alloc(1, sizeof(*data));
    if (data == NULL)
        exit(EXIT_FAILURE);
    data->arena = dyno_arena_create();
    if (kcase_make(row, 1, data, &err) == DYNO_OK)
        run_kernels(data);
    dyno_arena_destroy(data->arena);
    dyno_free(data);
}

static void parse(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--filter=", 9) == 0)
            options.filter = argv[i] + 9;
        else if (strncmp(argv[i], "--kernel=", 9) == 0)
            options.kernel = argv[i] + 9;
        else if (strncmp(argv[i], "--shard=", 8) == 0 && strchr(argv[i], '/') != NULL) {
            options.shard = (int)strtol(argv[i] + 8, NULL, 10);
            options.shards = (int)strtol(strchr(argv[i], '/') + 1, NULL, 10);
        } else if (strncmp(argv[i], "--every=", 8) == 0)
            options.every = (int)strtol(argv[i] + 8, NULL, 10);
        else if (strncmp(argv[i], "--compile-only=", 15) == 0)
            options.compile_only = (int)strtol(argv[i] + 15, NULL, 10);
        else if (strcmp(argv[i], "--open") == 0)
            options.open = true;
        else if (strcmp(argv[i], "-v") == 0)
            options.verbose = true;
        else
            exit(2);
    }
    if (options.shards < 1 || options.every < 1)
        exit(2);
}

/* Kernels of libraries that are not there have no candidates. */
static void print_libraries(void)
{
    struct dyno_strbuf lines = {0};
    if (target.libraries != NULL)
        dyno_cuda_libraries_describe(target.libraries, &lines);
    printf("%s", dyno_strbuf_text(&lines));
    dyno_strbuf_fini(&lines);
}

int main(int argc, char **argv)
{
    struct dyno_err err = {0};
    int version = 0;
    parse(argc, argv);
    if (dyno_nvrtc_version(&version, &err) != DYNO_OK) {
        (void)fprintf(stderr, "skipped: %s\n", err.text);
        return SKIPPED;
    }
    dyno_target_detect(&target, NULL);
    target.gpu = (struct dyno_gpu){.compute = options.compile_only,
                                   .sm_count = 132,
                                   .shared_bytes = options.compile_only >= 90 ? 232448 : 166912};
    target.precisions = DYNO_PRECISION_F16 | DYNO_PRECISION_BF16 | DYNO_PRECISION_TF32;
    target.baseline = true; /* kernels then give what only an unoptimised execution takes, too */
    if (options.compile_only == 0) {
        if (dyno_cuda_open(0, &cuda, &err) != DYNO_OK) {
            (void)fprintf(stderr, "%s\n", err.text);
            return 2;
        }
        target.gpu = cuda->gpu;
        target.libraries = dyno_cuda_libraries_create(cuda, NULL);
        print_libraries();
    }
    programs = dyno_cuda_programs_create(cuda, target.gpu.compute);
    for (size_t f = 0; f < DYNO_COUNT(families); f++) {
        for (size_t i = 0; i < families[f]->count; i++)
            run_case(&families[f]->cases[i]);
    }
    if (options.open)
        printf("%u candidates refused at a bound of their profile, ", dropped_count);
    printf("%u cases, %u with a GPU kernel, %u trials, %u channel views, %u programs, %u failed\n",
           case_count, covered_count, run_count, view_count, dyno_cuda_programs_count(programs),
           fail_count);
    dyno_cuda_libraries_destroy(target.libraries);
    dyno_cuda_programs_destroy(programs);
    dyno_cuda_close(cuda);
    return fail_count != 0 || run_count == 0;
}
