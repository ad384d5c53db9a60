/* cert_case.h - certificates of made-up samples: the truth is known, and chance is seeded. */
#ifndef DYNO_TESTS_CERT_CASE_H
#define DYNO_TESTS_CERT_CASE_H

#include <math.h>

#include "meter/cert/cert.h"
#include "meter/cert/random.h"

/* What the samples shall be like. */
struct cert_case {
    double item_ns; /* of the baseline at the first point; the others follow the sizes' product */
    double speedup;
    double noise;         /* of a segment, as a share */
    double bias;          /* what the control's B is slower, as a share */
    double warm_up;       /* what the first half of the blocks is slower */
    double opaque;        /* share of the baseline */
    uint32_t slow_clocks; /* so many blocks of each process see the clock move */
    uint64_t segment_ns;
    uint32_t processes, blocks, extra_blocks;
    bool is_trial;
    uint64_t error_1e9;
    uint32_t axis_count;
    uint32_t runs; /* of the scenarios; 0: none */
};

static const struct cert_case cert_good = {.item_ns = 20e6,
                                           .speedup = 4.0,
                                           .noise = 0.003,
                                           .segment_ns = DYNO_CERT_SEGMENT_NS,
                                           .processes = 5,
                                           .blocks = 4,
                                           .error_1e9 = 1000,
                                           .axis_count = 1,
                                           .runs = 700};

static inline void *cert_case_alloc(struct dyno_cert *cert, size_t count, size_t bytes)
{
    void *memory = dyno_arena_alloc(cert->arena, count, bytes);
    DYNO_ASSERT(memory != NULL);
    return memory;
}

static inline double cert_case_noise(const struct cert_case *c, struct dyno_rng *rng)
{
    double sum = 0.0; /* nearly normal */
    for (int i = 0; i < 6; i++)
        sum += dyno_rng_unit(rng) - 0.5;
    return 1.0 + c->noise * sum * 1.41;
}

static inline void cert_case_series(const struct cert_case *c, struct dyno_cert *cert,
                                    struct dyno_cert_series *series, double item_ns,
                                    double b_item_ns, struct dyno_rng *rng)
{
    const uint64_t batch = 2;
    const uint32_t blocks = c->blocks + c->extra_blocks;
    series->count = c->processes;
    series->processes = cert_case_alloc(cert, c->processes, sizeof(*series->processes));
    for (uint32_t p = 0; p < c->processes; p++) {
        struct dyno_cert_process *process = &series->processes[p];
        process->count = blocks;
        process->blocks = cert_case_alloc(cert, blocks, sizeof(*process->blocks));
        for (uint32_t b = 0; b < blocks; b++) {
            for (int i = 0; i < 4; i++) {
                struct dyno_cert_segment *s = &process->blocks[b].segments[i];
                double ns = (i == 0 || i == 3 ? item_ns : b_item_ns) * cert_case_noise(c, rng);
                if (p < c->processes / 2)
                    ns *= 1.0 + c->warm_up;
                s->items = batch * (uint64_t)ceil((double)c->segment_ns / ns / (double)batch + 1.0);
                s->ns = (uint64_t)(ns * (double)s->items);
                s->chain_ns = 100000 + (b < c->slow_clocks && i == 2 ? 2500 : 0);
            }
        }
    }
}

static inline void cert_case_scenarios(const struct cert_case *c, struct dyno_cert *cert,
                                       struct dyno_rng *rng)
{
    static const uint64_t batches[] = {1, 2, 8};
    struct dyno_cert_scenarios *scenarios = &cert->scenarios;
    scenarios->bound_ns = (uint64_t)(c->item_ns * 3.0);
    scenarios->row_count = c->runs > 0 ? 3 : 0;
    scenarios->rows = cert_case_alloc(cert, 3, sizeof(*scenarios->rows));
    for (uint32_t r = 0; r < scenarios->row_count; r++) {
        scenarios->rows[r].batch = batches[r];
        for (int side = 0; side < 2; side++) {
            const double run_ns = c->item_ns * (double)batches[r] / (side == 0 ? 1.0 : c->speedup);
            uint64_t *runs = cert_case_alloc(cert, c->runs, sizeof(*runs));
            for (uint32_t i = 0; i < c->runs; i++)
                runs[i] = (uint64_t)(run_ns * cert_case_noise(c, rng));
            scenarios->rows[r].run_ns[side] = runs;
            scenarios->rows[r].counts[side] = c->runs;
        }
    }
}

static inline void cert_case_shapes(const struct cert_case *c, struct dyno_cert *cert)
{
    static int64_t sizes[] = {100, 200, 400};
    struct dyno_cert_input *input = cert_case_alloc(cert, 1, sizeof(*input));
    *input = (struct dyno_cert_input){.name = "x",
                                      .type = "f32",
                                      .rank = 4,
                                      .min = {1, 3, 100, 100},
                                      .opt = {1, 3, 200, 200},
                                      .max = {8, 3, 400, 400}};
    cert->inputs = input;
    cert->input_count = 1;
    cert->axis_count = c->axis_count;
    cert->axes = cert_case_alloc(cert, 3, sizeof(*cert->axes));
    for (uint32_t a = 0; a < c->axis_count; a++) {
        struct dyno_cert_place *place = cert_case_alloc(cert, 1, sizeof(*place));
        *place = (struct dyno_cert_place){.input = 0, .dim = a + 2};
        cert->axes[a] = (struct dyno_cert_axis){
            .places = place, .place_count = 1, .points = sizes, .point_count = 3};
        cert->point_count *= 3;
    }
}

/* Not yet derived.  The model is fill[model] times. */
static inline struct dyno_cert *cert_case_make(enum dyno_cert_kind kind, const struct cert_case *c,
                                               uint64_t seed)
{
    struct dyno_cert *cert = dyno_cert_create(kind);
    struct dyno_rng rng;
    DYNO_ASSERT(cert != NULL);
    dyno_rng_seed(&rng, seed);
    cert->program = "dyno 0.0.1";
    cert->issued_s = 1764000000;
    cert->term_days = 365;
    cert->is_trial = c->is_trial;
    cert->device_class = "cpu of a test, 2 threads";
    cert->processor = "a processor, \"quoted\"";
    cert->isa = "avx2";
    cert->threads = 2;
    cert->model_name = "m.onnx";
    memset(cert->model.bytes, 0x11, 32);
    memset(cert->baseline.bytes, 0x22, 32);
    memset(cert->engine.bytes, 0x33, 32);
    memset(cert->reference.bytes, 0x44, 32);
    cert->precision = "fp32";
    cert_case_shapes(c, cert);
    cert->process_count = c->processes;
    cert->block_count = c->blocks;
    cert->segment_ns = c->segment_ns;
    cert->batch = 2;
    static struct dyno_cert_sweep sweep[] = {
        {1, 94, 2000000000}, {2, 100, 2000000000}, {4, 100, 1950000000}};
    cert->sweep = sweep;
    cert->sweep_count = 3;
    cert->attempts = cert_case_alloc(cert, 1, sizeof(*cert->attempts));
    cert->attempt_count = 1;
    cert->attempts[0].begun_s = cert->issued_s - 100;
    cert->attempts[0].points =
        cert_case_alloc(cert, cert->point_count, sizeof(struct dyno_cert_point));
    for (uint32_t i = 0; i < cert->point_count; i++) {
        struct dyno_cert_point *point = &cert->attempts[0].points[i];
        double item_ns = c->item_ns;
        for (uint32_t a = 0, k = i; a < c->axis_count; a++, k /= 3)
            item_ns *= (double)(1U << k % 3);
        point->profiled_ns = 1000000;
        point->opaque_ns = (uint64_t)(c->opaque * 1e6);
        cert_case_series(c, cert, &point->control, item_ns, item_ns * (1.0 + c->bias), &rng);
        if (kind == DYNO_CERT_ENGINE)
            cert_case_series(c, cert, &point->speedup, item_ns, item_ns / c->speedup, &rng);
    }
    struct dyno_cert_output *output = cert_case_alloc(cert, 1, sizeof(*output));
    *output = (struct dyno_cert_output){
        .name = "y", .rows = 1000, .elements = 10000, .error_1e9 = c->error_1e9, .same_top_1 = 995};
    cert->accuracy =
        (struct dyno_cert_accuracy){.class_1e6 = 990000, .outputs = output, .output_count = 1};
    if (kind == DYNO_CERT_ENGINE)
        cert_case_scenarios(c, cert, &rng);
    return cert;
}

#endif /* DYNO_TESTS_CERT_CASE_H */
