/* samples.c - what the samples of a certificate must be before anything is derived from them. */
#include "meter/cert/internal.h"

#define BAD(...) return DYNO_FAIL(err, DYNO_E_FORMAT, __VA_ARGS__)

static bool is_number(uint64_t value, uint64_t least)
{
    return value >= least && value <= DYNO_CERT_NUMBER_MAX;
}

static enum dyno_status check_axes(const struct dyno_cert *cert, struct dyno_err *err)
{
    uint64_t points = 1;
    for (uint32_t a = 0; a < cert->axis_count; a++) {
        const struct dyno_cert_axis *axis = &cert->axes[a];
        if (axis->place_count == 0 || axis->point_count == 0)
            BAD("axis %u has no place or no points", a + 1);
        for (uint32_t i = 0; i < axis->place_count; i++) {
            const struct dyno_cert_place *place = &axis->places[i];
            if (place->input >= cert->input_count ||
                place->dim >= cert->inputs[place->input].rank || place->dim == 0)
                BAD("axis %u lies at dimension %u of input %u, which is not there", a + 1,
                    place->dim, place->input);
        }
        for (uint32_t i = 0; i < axis->point_count; i++) {
            if (axis->points[i] < 1 || axis->points[i] > DYNO_CERT_AXIS_MAX ||
                (i > 0 && axis->points[i] <= axis->points[i - 1]))
                BAD("axis %u: point %lld is not in 1 to %lld, rising", a + 1,
                    (long long)axis->points[i], (long long)DYNO_CERT_AXIS_MAX);
        }
        points *= axis->point_count;
        if (points > DYNO_CERT_POINTS_MAX)
            return DYNO_FAIL(err, DYNO_E_LIMIT, "the grid has more than %u points",
                             DYNO_CERT_POINTS_MAX);
    }
    DYNO_ASSERT(points == cert->point_count);
    return DYNO_OK;
}

static enum dyno_status check_inputs(const struct dyno_cert *cert, struct dyno_err *err)
{
    if (cert->input_count == 0)
        BAD("there are no inputs");
    for (uint32_t i = 0; i < cert->input_count; i++) {
        const struct dyno_cert_input *input = &cert->inputs[i];
        for (uint32_t d = 0; d < input->rank; d++) {
            if (input->min[d] < 0 || input->min[d] > input->opt[d] || input->opt[d] > input->max[d])
                BAD("input '%s': size %u is not 0 <= min <= opt <= max", input->name, d);
        }
    }
    return DYNO_OK;
}

static enum dyno_status check_sweep(const struct dyno_cert *cert, struct dyno_err *err)
{
    if (cert->sweep_count == 0)
        BAD("there is no sweep over batches");
    for (uint32_t i = 0; i < cert->sweep_count; i++) {
        const struct dyno_cert_sweep *row = &cert->sweep[i];
        if (!is_number(row->batch, 1) || !is_number(row->items, 1) || !is_number(row->ns, 1) ||
            row->items % row->batch != 0 || (i > 0 && row->batch <= cert->sweep[i - 1].batch))
            BAD("row %u of the sweep is no throughput of a larger batch", i + 1);
        if (!cert->is_trial && row->ns < DYNO_CERT_SEGMENT_NS)
            BAD("row %u of the sweep is shorter than a second, and the certificate is no trial",
                i + 1);
    }
    return DYNO_OK;
}

static enum dyno_status check_scenarios(const struct dyno_cert *cert, struct dyno_err *err)
{
    const struct dyno_cert_scenarios *scenarios = &cert->scenarios;
    if (scenarios->row_count > 0 && !is_number(scenarios->bound_ns, 1))
        BAD("the latency bound is not above 0");
    for (uint32_t r = 0; r < scenarios->row_count; r++) {
        const struct dyno_cert_row *row = &scenarios->rows[r];
        if (!is_number(row->batch, 1) || row->batch > UINT32_MAX ||
            row->batch % scenarios->rows[0].batch != 0 ||
            (r > 0 && row->batch <= scenarios->rows[r - 1].batch))
            BAD("row %u of the scenarios is no larger multiple of the first batch", r + 1);
        for (int side = 0; side < 2; side++) {
            if (row->counts[side] == 0)
                BAD("row %u of the scenarios has no run times", r + 1);
            for (uint32_t i = 0; i < row->counts[side]; i++) {
                if (!is_number(row->run_ns[side][i], 1))
                    BAD("row %u of the scenarios: run %u took no time", r + 1, i + 1);
            }
        }
    }
    return DYNO_OK;
}

static enum dyno_status check_accuracy(const struct dyno_cert *cert, struct dyno_err *err)
{
    const struct dyno_cert_accuracy *accuracy = &cert->accuracy;
    if (accuracy->class_1e6 < DYNO_CERT_CLASS_LEAST || accuracy->class_1e6 > 1000000)
        BAD("an accuracy class of %u millionths: wants %u to 1000000", accuracy->class_1e6,
            DYNO_CERT_CLASS_LEAST);
    if (accuracy->output_count == 0)
        BAD("the accuracy of no output was measured");
    for (uint32_t i = 0; i < accuracy->output_count; i++) {
        const struct dyno_cert_output *output = &accuracy->outputs[i];
        if (!is_number(output->rows, 1) || !is_number(output->elements, 1) ||
            !is_number(output->error_1e9, 0) || output->same_top_1 > output->rows)
            BAD("accuracy of output '%s': the counts are not possible", output->name);
    }
    return DYNO_OK;
}

enum dyno_status dyno_cert_check_samples(const struct dyno_cert *cert, struct dyno_err *err)
{
    DYNO_TRY(check_inputs(cert, err));
    DYNO_TRY(check_axes(cert, err));
    if (cert->issued_s < 0 || cert->term_days == 0 || cert->term_days > 36500)
        BAD("a term of %u days: wants 1 to 36500", cert->term_days);
    for (int side = 0; side < 2; side++) {
        if (!is_number(cert->energy.items[side], 0) ||
            !is_number(cert->energy.millijoules[side], 0) ||
            (cert->energy.items[side] == 0) != (cert->energy.items[0] == 0))
            BAD("the energy is not possible");
    }
    if (cert->attempt_count == 0 || cert->attempt_count > DYNO_CERT_ATTEMPTS_MAX)
        BAD("%u attempts: wants 1 to %u", cert->attempt_count, DYNO_CERT_ATTEMPTS_MAX);
    if (cert->kind == DYNO_CERT_REFERENCE)
        return check_sweep(cert, err);
    DYNO_TRY(check_accuracy(cert, err));
    return check_scenarios(cert, err);
}

/* --- segments --- */

static enum dyno_status check_block(const struct dyno_cert *cert,
                                    const struct dyno_cert_block *block, struct dyno_err *err)
{
    for (int i = 0; i < 4; i++) {
        const struct dyno_cert_segment *segment = &block->segments[i];
        if (!is_number(segment->items, 1) || !is_number(segment->ns, 1) ||
            !is_number(segment->chain_ns, cert->gpu.compute != 0 ? 0 : 1) ||
            !is_number(segment->steal_ns, 0) || segment->items % cert->batch != 0 ||
            segment->ns / segment->items >= DYNO_CERT_ITEM_NS_MAX)
            BAD("a segment of %llu items in %llu ns is not possible at batch %llu",
                (unsigned long long)segment->items, (unsigned long long)segment->ns,
                (unsigned long long)cert->batch);
        if (segment->ns < cert->segment_ns)
            BAD("a segment of %llu ns is shorter than the %llu ns of the schedule",
                (unsigned long long)segment->ns, (unsigned long long)cert->segment_ns);
    }
    return DYNO_OK;
}

static enum dyno_status check_series(const struct dyno_cert *cert, const char *what,
                                     const struct dyno_cert_series *series, uint32_t *total_blocks,
                                     struct dyno_err *err)
{
    bool has_ended = false;
    if (series->count != cert->process_count)
        BAD("%s: %u processes instead of %u", what, series->count, cert->process_count);
    for (uint32_t p = 0; p < series->count; p++) {
        const struct dyno_cert_process *process = &series->processes[p];
        /* An attempt ends with the first process that has not what is wanted of it. */
        has_ended = has_ended || (p > 0 && process->count == 0 && !cert->is_trial);
        if (has_ended && process->count == 0)
            continue;
        if (has_ended || process->count < cert->block_count)
            BAD("%s: process %u has %u blocks instead of %u", what, p + 1, process->count,
                cert->block_count);
        *total_blocks += process->count;
        if (*total_blocks > DYNO_CERT_BLOCKS_MAX)
            return DYNO_FAIL(err, DYNO_E_LIMIT, "more than %u blocks", DYNO_CERT_BLOCKS_MAX);
        for (uint32_t b = 0; b < process->count; b++)
            DYNO_TRY(check_block(cert, &process->blocks[b], err));
    }
    return DYNO_OK;
}

enum dyno_status dyno_cert_check_segments(const struct dyno_cert *cert, struct dyno_err *err)
{
    uint32_t total_blocks = 0;
    if (!is_number(cert->batch, 1))
        BAD("the batch is not above 0");
    if (cert->process_count < DYNO_CERT_PROCESSES_MIN ||
        cert->process_count > DYNO_CERT_PROCESSES_MAX || cert->block_count == 0)
        BAD("%u processes of %u blocks: wants %u to %u processes and a block", cert->process_count,
            cert->block_count, DYNO_CERT_PROCESSES_MIN, DYNO_CERT_PROCESSES_MAX);
    if (!cert->is_trial &&
        (cert->process_count < DYNO_CERT_PROCESSES || cert->block_count < DYNO_CERT_BLOCKS ||
         cert->segment_ns < DYNO_CERT_SEGMENT_NS))
        BAD("%u processes of %u blocks of segments of %llu ns, and the certificate is no trial: it "
            "wants %u, %u and %u",
            cert->process_count, cert->block_count, (unsigned long long)cert->segment_ns,
            DYNO_CERT_PROCESSES, DYNO_CERT_BLOCKS, DYNO_CERT_SEGMENT_NS);
    for (uint32_t a = 0; a < cert->attempt_count; a++) {
        for (uint32_t i = 0; i < cert->point_count; i++) {
            const struct dyno_cert_point *point = &cert->attempts[a].points[i];
            if (!is_number(point->profiled_ns, 1) || point->opaque_ns > point->profiled_ns)
                BAD("the profile of a point is not possible");
            DYNO_TRY(check_series(cert, "control", &point->control, &total_blocks, err));
            if (cert->kind == DYNO_CERT_ENGINE)
                DYNO_TRY(check_series(cert, "speed-up", &point->speedup, &total_blocks, err));
        }
    }
    return DYNO_OK;
}
