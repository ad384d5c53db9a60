/* advise_judge.c - the windows of each model's variants, judged one after another. */
#include "cli/advise_judge.h"

#include <stdlib.h>
#include <string.h>

const char *dyno_advise_reason_text(enum dyno_advise_reason reason)
{
    static const char *const texts[] = {
#define X(sym, name, sentence) name,
        DYNO_ADVISE_REASONS(X)
#undef X
    };
    return texts[reason];
}

const char *dyno_advise_reason_sentence(enum dyno_advise_reason reason)
{
    static const char *const texts[] = {
#define X(sym, name, sentence) sentence,
        DYNO_ADVISE_REASONS(X)
#undef X
    };
    return texts[reason];
}

/* --- subjects --- */

static int compare_subjects(const struct dyno_usage_source *source, const struct dyno_advise_key *a,
                            const struct dyno_advise_key *b)
{
    const uint32_t pairs[][2] = {
        {a->model, b->model}, {a->variant, b->variant}, {a->device, b->device}};
    for (size_t i = 0; i < DYNO_COUNT(pairs); i++) {
        const int by_name = strcmp(dyno_usage_source_name(source, pairs[i][0]),
                                   dyno_usage_source_name(source, pairs[i][1]));
        if (by_name != 0)
            return by_name;
    }
    return 0;
}

static int compare(const void *left, const void *right, void *arg)
{
    const struct dyno_advise_cell *a = left;
    const struct dyno_advise_cell *b = right;
    const int by_subject = compare_subjects(arg, &a->key, &b->key);
    if (by_subject != 0)
        return by_subject;
    if (a->key.window != b->key.window)
        return a->key.window < b->key.window ? -1 : 1;
    /* Any order that is the same each time. */
    const int by_cited = strcmp(dyno_usage_source_name(arg, a->key.certificate),
                                dyno_usage_source_name(arg, b->key.certificate));
    if (by_cited != 0)
        return by_cited;
    if (a->key.is_memory != b->key.is_memory)
        return a->key.is_memory < b->key.is_memory ? -1 : 1;
    if (a->key.is_core != b->key.is_core)
        return a->key.is_core < b->key.is_core ? -1 : 1;
    return (a->key.price > b->key.price) - (a->key.price < b->key.price);
}

static void fill(const struct dyno_advise *advise, struct dyno_advise_subject *subject)
{
    const struct dyno_advise_key *key = &subject->cells[0].key;
    subject->model = dyno_usage_source_name(advise->source, key->model);
    subject->variant = dyno_usage_source_name(advise->source, key->variant);
    subject->device = dyno_usage_source_name(advise->source, key->device);
    for (size_t i = 0; i < subject->cell_count; i++)
        subject->is_on_gpu = subject->is_on_gpu ||
                             (subject->cells[i].requests > 0 && subject->cells[i].key.is_core == 0);
    subject->tie = (struct dyno_advise_tie){.model = subject->model,
                                            .device = subject->device,
                                            .is_on_gpu = subject->is_on_gpu,
                                            .reference = ""};
    for (size_t i = 0; i < subject->cell_count; i++) {
        const struct dyno_advise_cell *cell = &subject->cells[i];
        subject->requests += cell->requests;
        if (cell->key.certificate != 0)
            subject->cited = dyno_advise_certs_find(
                &advise->certs, dyno_usage_source_name(advise->source, cell->key.certificate));
        if (cell->key.reference != 0)
            subject->tie.reference = dyno_usage_source_name(advise->source, cell->key.reference);
    }
    subject->tie.cited = subject->cited;
}

/* "1" of "1/fp32": versions are models of their own. */
static bool is_same_model(const struct dyno_advise_subject *a, const struct dyno_advise_subject *b)
{
    const size_t bytes = strcspn(a->variant, "/");
    return strcmp(a->model, b->model) == 0 && strcmp(a->device, b->device) == 0 &&
           a->is_on_gpu == b->is_on_gpu && strcspn(b->variant, "/") == bytes &&
           a->variant[bytes] == '/' && b->variant[bytes] == '/' &&
           memcmp(a->variant, b->variant, bytes) == 0;
}

/* What its own records do not cite, those of other variants of the same model may. */
static void tie_by_others(const struct dyno_advise *advise, struct dyno_advise_subject *subject)
{
    struct dyno_advise_tie *tie = &subject->tie;
    for (size_t i = 0; i < advise->subject_count && tie->cited == NULL; i++) {
        const struct dyno_advise_subject *other = &advise->subjects[i];
        if (!is_same_model(subject, other))
            continue;
        tie->cited = other->cited;
        if (tie->reference[0] == 0)
            tie->reference = other->tie.reference;
    }
}

static enum dyno_status find_subjects(struct dyno_advise *advise, struct dyno_err *err)
{
    struct dyno_advise_cell *cells =
        dyno_arena_alloc(advise->arena, advise->cell_count + 1, sizeof(*cells));
    advise->subjects =
        dyno_arena_alloc(advise->arena, advise->cell_count + 1, sizeof(*advise->subjects));
    if (cells == NULL || advise->subjects == NULL)
        return DYNO_NOMEM(err);
    for (size_t i = 0; i < advise->cell_count; i++)
        cells[i] = *advise->cells[i];
    qsort_r(cells, advise->cell_count, sizeof(*cells), compare, advise->source);
    for (size_t i = 0; i < advise->cell_count; i++) {
        if (i == 0 || compare_subjects(advise->source, &cells[i - 1].key, &cells[i].key) != 0)
            advise->subjects[advise->subject_count++] =
                (struct dyno_advise_subject){.cells = &cells[i]};
        advise->subjects[advise->subject_count - 1].cell_count++;
    }
    for (size_t i = 0; i < advise->subject_count; i++)
        fill(advise, &advise->subjects[i]);
    for (size_t i = 0; i < advise->subject_count; i++)
        tie_by_others(advise, &advise->subjects[i]);
    return DYNO_OK;
}

/* --- a cell --- */

struct sight {
    const struct dyno_advise *advise;
    struct dyno_advise_subject *subject;
    struct dyno_advice_window slow, batch; /* of the window that is looked at */
    dyno_u128 slow_ns, batch_ns;           /* the most of a cell in it: that one is told of */
};

static struct dyno_advice_time time_of(const struct dyno_advise *advise,
                                       const struct dyno_advise_cell *cell, dyno_u128 ns)
{
    const struct dyno_advise_price *price = &advise->prices[cell->key.price];
    return (struct dyno_advice_time){ns, price->cores, price->device_hour};
}

static bool is_baseline(const char *variant)
{
    const char *slash = strrchr(variant, '/');
    return strcmp(slash != NULL ? slash + 1 : variant, "baseline") == 0;
}

static enum dyno_advise_reason reason_of(const struct dyno_speed *now,
                                         const struct dyno_advise_cert *cited,
                                         const struct dyno_advise_cert *lapsed)
{
    if (cited != NULL)
        return DYNO_ADVISE_SLOW;
    if (dyno_speed_is_known(now))
        return DYNO_ADVISE_UNOPTIMISED;
    if (lapsed != NULL)
        return lapsed->state.kind == DYNO_CERT_SUSPENDED ? DYNO_ADVISE_SUSPENDED
                                                         : DYNO_ADVISE_EXPIRED;
    return DYNO_ADVISE_UNCERTIFIED;
}

/* Its own certificate, when that counts no more, or else one of the model's. */
static const struct dyno_advise_cert *lapsed_of(const struct sight *sight)
{
    const struct dyno_advise_cert *cited = sight->subject->cited;
    if (cited != NULL)
        return cited->state.kind != DYNO_CERT_IN_FORCE ? cited : NULL;
    return dyno_advise_certs_lapsed(&sight->advise->certs, &sight->subject->tie);
}

/* Device time at less than the engine of this model could do. */
static enum dyno_status judge_speed(struct sight *sight, const struct dyno_advise_cell *cell,
                                    const struct dyno_advise_cert *cited, struct dyno_err *err)
{
    struct dyno_advise_track *track = &sight->subject->slow;
    const struct dyno_advise *advise = sight->advise;
    const bool is_unoptimised = cell->key.certificate == 0 &&
                                (cell->key.reference != 0 || is_baseline(sight->subject->variant));
    const struct dyno_speed now = cited != NULL    ? cited->speed
                                  : is_unoptimised ? DYNO_SPEED_UNOPTIMISED
                                                   : (struct dyno_speed){0, 0};
    const struct dyno_advice_time time = time_of(advise, cell, cell->ns);
    struct dyno_waste waste = {0};
    if (!dyno_speed_is_under(&now, DYNO_ADVICE_CALM_PPM))
        return DYNO_OK;
    const struct dyno_advise_cert *could =
        dyno_advise_certs_best(&advise->certs, &sight->subject->tie, cited);
    const struct dyno_speed could_be = could != NULL ? could->speed : (struct dyno_speed){0, 0};
    DYNO_TRY(dyno_waste_add(&waste, &time, &now, &could_be, err));
    sight->slow.doubt_nano += waste.nano;
    if (!dyno_speed_is_under(&now, DYNO_ADVICE_SLOW_PPM))
        return DYNO_OK;
    const struct dyno_advise_cert *lapsed =
        cited == NULL && !is_unoptimised ? lapsed_of(sight) : NULL;
    const enum dyno_advise_reason reason = reason_of(&now, cited, lapsed);
    sight->slow.waste_nano += waste.nano;
    sight->slow.is_decided = sight->slow.is_decided || reason == DYNO_ADVISE_SUSPENDED;
    if (cell->ns > sight->slow_ns) {
        sight->slow_ns = cell->ns;
        track->reason = reason;
        track->now = now;
        track->could = could;
        track->own = cited != NULL ? cited : lapsed;
    }
    track->device_ns += cell->ns / time.cores;
    return dyno_waste_add(&track->waste, &time, &now, &could_be, err);
}

/* Device time of a certified engine in smaller batches than those of its certificate. */
static enum dyno_status judge_batch(struct sight *sight, const struct dyno_advise_cell *cell,
                                    const struct dyno_advise_cert *cited, struct dyno_err *err)
{
    struct dyno_advise_track *track = &sight->subject->batch;
    const struct dyno_advice_time time = time_of(sight->advise, cell, cell->certified_ns);
    struct dyno_waste waste = {0};
    if (cited == NULL || cell->certified_ns == 0 || cell->runs_1e9 == 0 ||
        dyno_speed_is_under(&cited->speed, DYNO_ADVICE_SLOW_PPM) ||
        cell->items * 1000000000U >= cited->batch * cell->runs_1e9)
        return DYNO_OK;
    const uint64_t threads = cell->key.is_core && cited->threads > 0 ? cited->threads : 1;
    const dyno_u128 delivered_ppm =
        cell->reference_ns * threads * (uint64_t)DYNO_PPM / cell->certified_ns;
    if (delivered_ppm >= (uint64_t)cited->speed.high_ppm)
        return DYNO_OK;
    const int64_t ppm = delivered_ppm > 0 ? (int64_t)delivered_ppm : 1;
    const struct dyno_speed now = {ppm, ppm};
    DYNO_TRY(dyno_waste_add(&waste, &time, &now, &cited->speed, err));
    sight->batch.waste_nano += waste.nano;
    sight->batch.doubt_nano += waste.nano;
    if (cell->certified_ns > sight->batch_ns) {
        sight->batch_ns = cell->certified_ns;
        track->reason = DYNO_ADVISE_UNDER_BATCHED;
        track->now = now;
        track->could = track->own = cited;
        track->batch_1e3 = (uint64_t)(cell->items * 1000000000U * 1000U / cell->runs_1e9);
    }
    track->device_ns += cell->certified_ns / time.cores;
    return dyno_waste_add(&track->waste, &time, &now, &cited->speed, err);
}

/* NULL: nothing that counted when the window began. */
static const struct dyno_advise_cert *cited_by(const struct dyno_advise *advise,
                                               const struct dyno_advise_cell *cell)
{
    if (cell->key.certificate == 0)
        return NULL;
    const struct dyno_advise_cert *cert = dyno_advise_certs_find(
        &advise->certs, dyno_usage_source_name(advise->source, cell->key.certificate));
    const int64_t begin_s = advise->first_s + cell->key.window * advise->window_s;
    return cert != NULL && begin_s < cert->ends_s ? cert : NULL;
}

static enum dyno_status judge_subject(const struct dyno_advise *advise,
                                      struct dyno_advise_subject *subject, struct dyno_err *err)
{
    size_t at = 0;
    for (uint32_t window = 0; window < advise->window_count; window++) {
        struct sight sight = {.advise = advise, .subject = subject};
        dyno_u128 held_byte_ns = 0;
        dyno_u128 idle_byte_ns = 0;
        for (; at < subject->cell_count && subject->cells[at].key.window == window; at++) {
            const struct dyno_advise_cell *cell = &subject->cells[at];
            held_byte_ns += cell->held_byte_ns;
            idle_byte_ns += cell->idle_byte_ns;
            if (cell->key.is_memory != 0)
                continue;
            const struct dyno_advise_cert *cited = cited_by(advise, cell);
            DYNO_TRY(judge_speed(&sight, cell, cited, err));
            DYNO_TRY(judge_batch(&sight, cell, cited, err));
        }
        dyno_advice_step(&subject->slow.advice, &sight.slow, advise->least);
        dyno_advice_step(&subject->batch.advice, &sight.batch, advise->least);
        DYNO_TRY(dyno_advise_idle_step(advise, subject, held_byte_ns, idle_byte_ns, err));
    }
    return DYNO_OK;
}

/* Each probe must be of something that is looked at: else its name is wrong. */
static enum dyno_status check_probes(const struct dyno_advise *advise, struct dyno_err *err)
{
    for (size_t i = 0; i < advise->certs.count; i++) {
        const struct dyno_advise_cert *cert = &advise->certs.items[i];
        bool is_of_any = cert->probe == NULL;
        for (size_t k = 0; k < advise->subject_count && !is_of_any; k++)
            is_of_any = dyno_advise_cert_is_of(cert, &advise->subjects[k].tie);
        if (!is_of_any)
            return DYNO_FAIL(err, DYNO_E_NOT_FOUND,
                             "--probe=%s: no record of this time is of its model and device (one "
                             "that cites no certificate is told by name: --probe=MODEL=FILE)",
                             cert->probe);
    }
    return DYNO_OK;
}

enum dyno_status dyno_advise_judge(struct dyno_advise *advise, struct dyno_err *err)
{
    DYNO_TRY(find_subjects(advise, err));
    DYNO_TRY(check_probes(advise, err));
    for (size_t i = 0; i < advise->subject_count; i++)
        DYNO_TRY(judge_subject(advise, &advise->subjects[i], err));
    return DYNO_OK;
}
