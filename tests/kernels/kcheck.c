/* kcheck.c - every kernel of this machine against the references, in guarded buffers; and, with
 * --bench, how fast the same cases go.
 *
 *   kcheck [--isa=portable,avx2,avx512] [--filter=TEXT] [--kernel=TEXT] [--seed=N] [--bench] [-v]
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "ktrial.h"

#define X(name) extern const struct kcase_family kcases_##name;
#include "families.def"
#undef X
static const struct kcase_family *const families[] = {
#define X(name) &kcases_##name,
#include "families.def"
#undef X
};

struct options {
    uint64_t isa_mask;
    bool portable;
    const char *filter, *kernel;
    uint64_t seed;
    bool bench, verbose;
};

static struct options options = {.portable = true, .filter = "", .kernel = "", .seed = 1};
static struct dyno_pool *pools[2]; /* one and two threads */
static long run_count, uncovered_count;

/* --- running --- */

static double now_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static double flops(const struct trial *trial)
{
    const struct dyno_step *step = &trial->step;
    const double outs = (double)product(trial->outs[0].dims, 0, trial->outs[0].rank);
    const struct dyno_buf *w = &trial->ins[1];
    if (strcmp(trial->data->row->op, "Conv") == 0)
        return 2.0 * outs * (double)product(w->dims, 1, w->rank);
    if (step->own_in_count >= 2 &&
        (strcmp(trial->data->row->op, "MatMul") == 0 || strcmp(trial->data->row->op, "Gemm") == 0))
        return 2.0 * outs * (double)trial->ins[0].dims[trial->ins[0].rank - 1];
    return 0.0;
}

static void bench(const struct trial *trial, struct dyno_run_args *args)
{
    double best = 1e30;
    const double stop = now_us() + 50e3;
    for (int i = 0; i < 3 || (now_us() < stop && i < 2000); i++) {
        const double start = now_us();
        (void)trial->kernel->run(args);
        best = fmin(best, now_us() - start);
    }
    double bytes = 0.0;
    for (uint32_t i = 0; i < trial->step.in_count; i++)
        bytes += (double)trial->in_mem[i].bytes;
    for (uint32_t i = 0; i < trial->step.out_count; i++)
        bytes += (double)trial->out_mem[i].bytes;
    printf("%-18s %-34s %-24s cfg %u,%u,%u %-5s t%d %10.2f us %8.2f GB/s %8.2f GFLOP/s est %.1f\n",
           trial->data->row->op, trial->data->row->ins, trial->kernel->name, trial->tactic.cfg[0],
           trial->tactic.cfg[1], trial->tactic.cfg[2],
           trial->tactic.out_layout.kind == DYNO_LAYOUT_BLOCK ? "block" : "row", trial->threads,
           best, bytes / best * 1e-3, flops(trial) / best * 1e-3, (double)trial->tactic.est_us);
}

/* The kernel must know its own tactic again, and no other in its place. */
static bool checks_tactic(struct trial *trial, const struct dyno_site *site)
{
    struct dyno_err err = {0};
    struct dyno_tactic *tactic = &trial->step.tactic;
    trial->step.packed = trial->packed.data;
    if (dyno_kernel_check(trial->kernel, site, &err) != DYNO_OK) {
        fail(trial, err.text);
        return false;
    }
    tactic->packed_bytes += 64;
    if (dyno_kernel_check(trial->kernel, site, NULL) == DYNO_OK)
        fail(trial, "does not mind 64 more bytes of packed weights");
    tactic->packed_bytes = 0;
    trial->step.packed = NULL;
    if (trial->tactic.packed_bytes != 0 && dyno_kernel_check(trial->kernel, site, NULL) == DYNO_OK)
        fail(trial, "does not mind that the packed weights are missing");
    *tactic = trial->tactic;
    trial->step.packed = trial->packed.data;
    for (uint32_t bit = 1; bit != 0; bit <<= 1) {
        tactic->flags = trial->tactic.flags ^ bit;
        if (dyno_kernel_check(trial->kernel, site, NULL) == DYNO_OK)
            fail(trial, "does not mind other flags");
    }
    *tactic = trial->tactic;
    return true;
}

static void execute(struct trial *trial, const struct dyno_site *site)
{
    struct dyno_err err = {0};
    const struct dyno_kernel *kernel = trial->kernel;
    if (kernel->pack != NULL && trial->tactic.packed_bytes != 0) {
        trial->packed = kguard_create(trial->tactic.packed_bytes, 64);
        if (kernel->pack(site, &trial->tactic, trial->packed.data, &err) != DYNO_OK) {
            fail(trial, err.text);
            return;
        }
        if (kguard_damage(&trial->packed) != 0)
            fail(trial, "packed outside its room");
        kguard_readonly(&trial->packed);
        /* What lives on in the packed form alone is gone from here on. */
        for (uint32_t i = 0; i < trial->step.in_count && i < 32; i++)
            if ((kernel->packed_ins >> i & 1U) != 0 && trial->data->in_is_weight[i])
                trial->seen[i].data = trial->ins[i].data = NULL;
    }
    if (!checks_tactic(trial, site))
        return;
    trial->state = kguard_create(kernel->state_bytes, 64);
    kguard_fill(&trial->state, 0);
    uint64_t workspace_bytes = 0;
    if (kernel->prepare(site, &trial->tactic, trial->packed.data, trial->state.data,
                        &workspace_bytes, &err) != DYNO_OK) {
        fail(trial, err.text);
        return;
    }
    trial->workspace = kguard_create(workspace_bytes, 64);
    kguard_fill(&trial->workspace, 0xff);
    struct dyno_run_args args = {.step = &trial->step,
                                 .ins = trial->ins,
                                 .outs = trial->outs,
                                 .packed = trial->packed.data,
                                 .state = trial->state.data,
                                 .workspace = trial->workspace.data,
                                 .pool = pools[trial->threads - 1],
                                 .scratch = trial->scratch,
                                 .err = &err};
    if (kernel->run(&args) != DYNO_OK) {
        fail(trial, err.text);
        return;
    }
    run_count++;
    if (options.bench)
        bench(trial, &args);
    else
        compare(trial);
}

static void try_tactic(const struct kcase_data *data, const struct dyno_kernel *kernel,
                       const struct dyno_tactic *tactic, const struct dyno_target *target,
                       int threads)
{
    struct trial *trial = dyno_alloc(1, sizeof(*trial));
    if (trial == NULL)
        exit(EXIT_FAILURE);
    trial->data = data;
    trial->kernel = kernel;
    trial->tactic = *tactic;
    trial->threads = threads;
    trial->strided = threads == 2 && !options.bench;
    trial->step = data->step;
    trial->step.tactic = *tactic;
    trial->target = *target;
    trial->target.thread_count = threads;
    trial->scratch = dyno_arena_create();
    for (uint32_t i = 0; i < data->step.in_count; i++)
        place_input(trial, i);
    for (uint32_t i = 0; i < data->step.out_count; i++)
        place_output(trial, i);
    /* Activations do not exist yet when a kernel is prepared. */
    memcpy(trial->seen, trial->ins, sizeof(trial->seen));
    for (uint32_t i = 0; i < data->step.in_count; i++)
        if (!data->in_is_known[i])
            trial->seen[i].data = NULL;
    const struct dyno_site site = {.step = &trial->step,
                                   .ins = trial->seen,
                                   .outs = trial->outs,
                                   .in_is_weight = data->in_is_weight,
                                   .target = &trial->target};
    if (options.verbose)
        printf("  %s cfg %u,%u,%u threads %d\n", kernel->name, tactic->cfg[0], tactic->cfg[1],
               tactic->cfg[2], threads);
    execute(trial, &site);
    for (uint32_t i = 0; i < data->step.in_count; i++)
        kguard_destroy(&trial->in_mem[i]);
    for (uint32_t i = 0; i < data->step.out_count; i++)
        kguard_destroy(&trial->out_mem[i]);
    kguard_destroy(&trial->packed);
    kguard_destroy(&trial->state);
    kguard_destroy(&trial->workspace);
    dyno_arena_destroy(trial->scratch);
    dyno_free(trial);
}

/* --- one case --- */

/* The step as a tuner sees it. */
struct plain {
    struct dyno_buf ins[KCASE_INS_MAX], outs[KCASE_OUTS_MAX];
    struct dyno_target target;
    struct dyno_site site;
};

static void make_plain(const struct kcase_data *data, struct plain *plain)
{
    for (uint32_t i = 0; i < data->step.in_count; i++) {
        describe(&plain->ins[i], &data->ins[i], DYNO_ROW, false);
        plain->ins[i].data = data->in_is_known[i] ? data->ins[i].data : NULL;
    }
    for (uint32_t i = 0; i < data->step.out_count; i++)
        describe(&plain->outs[i], &data->outs[i], DYNO_ROW, false);
    dyno_target_detect(&plain->target, NULL);
    plain->site = (struct dyno_site){.step = &data->step,
                                     .ins = plain->ins,
                                     .outs = plain->outs,
                                     .in_is_weight = data->in_is_weight,
                                     .target = &plain->target};
}

/* --- parameters that no tuner asks for: refused, or as right as the others --- */

static bool same_tactic(const struct dyno_tactic *a, const struct dyno_tactic *b)
{
    return memcmp(a->cfg, b->cfg, sizeof(a->cfg)) == 0 &&
           memcmp(a->in_layouts, b->in_layouts, sizeof(a->in_layouts)) == 0 &&
           memcmp(&a->out_layout, &b->out_layout, sizeof(a->out_layout)) == 0;
}

static void try_asked(const struct kcase_data *data, const struct dyno_kernel *kernel,
                      const struct plain *plain, const struct dyno_tactic *asked,
                      const struct dyno_tactic *known)
{
    struct dyno_tactic tactic;
    if (dyno_kernel_settle(kernel, &plain->site, asked, &tactic, NULL) == DYNO_OK &&
        !same_tactic(&tactic, known))
        try_tactic(data, kernel, &tactic, &plain->target, 1);
}

static void flip(struct dyno_layout *layout)
{
    *layout = layout->kind == DYNO_LAYOUT_ROW ? DYNO_BLOCK16 : DYNO_ROW;
}

static void try_foreign(const struct kcase_data *data, const struct dyno_kernel *kernel,
                        const struct plain *plain, const struct dyno_tactic *tactic)
{
    static const uint32_t values[] = {0, 1, 2, 3, 17, UINT32_MAX};
    struct dyno_tactic settled;
    for (int c = 0; c < DYNO_TACTIC_CFGS; c++) {
        for (size_t v = 0; v < DYNO_COUNT(values); v++) {
            struct dyno_tactic asked = *tactic;
            asked.cfg[c] = values[v];
            if (values[v] != tactic->cfg[c])
                try_asked(data, kernel, plain, &asked, tactic);
        }
        struct dyno_tactic asked = *tactic;
        asked.cfg[c] = UINT32_MAX;
        if (dyno_kernel_settle(kernel, &plain->site, &asked, &settled, NULL) == DYNO_OK) {
            fail_count++;
            (void)fprintf(stderr, "FAIL kernel %s takes anything as cfg %d\n", kernel->name, c);
        }
    }
    for (uint32_t i = 0; i < data->step.in_count && i < DYNO_STEP_INS_MAX; i++) {
        struct dyno_tactic asked = *tactic;
        flip(&asked.in_layouts[i]);
        if (data->ins[i].dtype == DYNO_F32 && data->ins[i].rank >= 2 && !data->in_is_weight[i])
            try_asked(data, kernel, plain, &asked, tactic);
    }
    struct dyno_tactic asked = *tactic;
    flip(&asked.out_layout);
    try_asked(data, kernel, plain, &asked, tactic);
}

static bool selected(const struct dyno_kernel *kernel)
{
    if ((kernel->isa_mask & ~options.isa_mask) != 0 || strstr(kernel->name, options.kernel) == NULL)
        return false;
    return options.portable || kernel->isa_mask != 0;
}

/* Made by passes for a GPU alone: here its reference is enough. */
static bool is_for_gpu(const char *op)
{
    return strcmp(op, "Excitation") == 0;
}

static void run_case(const struct kcase *row)
{
    struct dyno_err err = {0};
    struct kcase_data *data = dyno_alloc(1, sizeof(*data));
    if (data == NULL)
        exit(EXIT_FAILURE);
    data->arena = dyno_arena_create();
    if (options.verbose)
        printf("%s {%s} [%s] %s\n", row->op, row->attrs, row->ins,
               row->tail == NULL ? "" : row->tail);
    if (kcase_make(row, options.seed, data, &err) != DYNO_OK) {
        fail_count++;
        (void)fprintf(stderr, "FAIL %s {%s} [%s]: %s\n", row->op, row->attrs, row->ins, err.text);
    } else {
        struct plain plain;
        make_plain(data, &plain);
        bool covered = options.kernel[0] != '\0';
        for (size_t k = 0; k < dyno_kernel_count; k++) {
            struct dyno_tactic tactics[DYNO_TACTICS_MAX];
            const struct dyno_kernel *kernel = dyno_kernels[k];
            if (!selected(kernel))
                continue;
            const int count =
                dyno_kernel_candidates(kernel, &plain.site, tactics, DYNO_TACTICS_MAX);
            for (int t = 0; t < count; t++) {
                covered = covered || (tactics[t].flags & DYNO_TACTIC_REFERENCE) == 0;
                if (options.bench && (tactics[t].flags & DYNO_TACTIC_REFERENCE) != 0)
                    continue;
                try_tactic(data, kernel, &tactics[t], &plain.target, 1);
                try_tactic(data, kernel, &tactics[t], &plain.target, 2);
                if (!options.bench)
                    try_foreign(data, kernel, &plain, &tactics[t]);
            }
        }
        if (!covered && !is_for_gpu(row->op)) {
            uncovered_count++;
            (void)fprintf(stderr, "FAIL %s {%s} [%s] %s: no kernel takes it\n", row->op, row->attrs,
                          row->ins, row->tail == NULL ? "" : row->tail);
        }
    }
    dyno_arena_destroy(data->arena);
    dyno_free(data);
}

/* --- the command --- */

static void parse_isa(const char *text)
{
    const uint64_t all = options.isa_mask;
    options.portable = strstr(text, "portable") != NULL;
    options.isa_mask = 0;
    if (strstr(text, "avx2") != NULL)
        options.isa_mask |= all & DYNO_ISA_AVX2;
    if (strstr(text, "avx512") != NULL)
        options.isa_mask |= all;
}

static bool parse_option(const char *text)
{
    if (strncmp(text, "--isa=", 6) == 0)
        parse_isa(text + 6);
    else if (strncmp(text, "--filter=", 9) == 0)
        options.filter = text + 9;
    else if (strncmp(text, "--kernel=", 9) == 0)
        options.kernel = text + 9;
    else if (strncmp(text, "--seed=", 7) == 0)
        options.seed = strtoull(text + 7, NULL, 10);
    else if (strcmp(text, "--bench") == 0)
        options.bench = true;
    else if (strcmp(text, "-v") == 0)
        options.verbose = true;
    else
        return false;
    return true;
}

int main(int argc, char **argv)
{
    options.isa_mask = dyno_isa_detect();
    for (int i = 1; i < argc; i++)
        if (!parse_option(argv[i])) {
            (void)fprintf(stderr, "kcheck: option %s is not known\n", argv[i]);
            return 64;
        }
    for (int i = 0; i < 2; i++) {
        struct dyno_err err = {0};
        const struct dyno_pool_options wanted = {.thread_count = i + 1};
        if (dyno_pool_create(&wanted, &pools[i], &err) != DYNO_OK) {
            (void)fprintf(stderr, "kcheck: %s\n", err.text);
            return EXIT_FAILURE;
        }
    }
    long case_count = 0;
    for (size_t f = 0; f < DYNO_COUNT(families); f++)
        for (size_t i = 0; i < families[f]->count; i++) {
            const struct kcase *row = &families[f]->cases[i];
            if (strstr(families[f]->name, options.filter) == NULL &&
                strstr(row->op, options.filter) == NULL)
                continue;
            case_count++;
            run_case(row);
        }
    for (int i = 0; i < 2; i++)
        dyno_pool_destroy(pools[i]);
    printf("%ld cases, %ld runs, %ld failed, %ld without a kernel (seed %llu)\n", case_count,
           run_count, fail_count, uncovered_count, (unsigned long long)options.seed);
    return case_count > 0 && run_count > 0 && fail_count + uncovered_count == 0 ? EXIT_SUCCESS
                                                                                : EXIT_FAILURE;
}
