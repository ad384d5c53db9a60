/* rivals.c - groups of equal steps, and what else they could be done by. */
#include "tune/rivals.h"

#include <string.h>

#include "base/hash.h"
#include "tune/tuner.h"

#define NO_GROUP UINT32_MAX

bool dyno_tuned_has_rivals(const struct dyno_tuned *tuned)
{
    return tuned->options.target->gpu.compute != 0 && tuned->options.retime.trials > 0;
}

struct groups {
    struct dyno_tuned *tuned;
    struct dyno_tune_key *keys; /* by step: what its choice was timed as */
    uint32_t *first;            /* by step: the first of its group; NO_GROUP: none */
    uint32_t *steps;            /* of a group each, one after the other */
    struct dyno_rival *rivals;
    int count;
};

static const struct dyno_tune_option *chosen_of(const struct dyno_tuned *tuned, uint32_t idx)
{
    return &tuned->choices[idx].options[tuned->picked[idx]];
}

static bool is_same(const struct dyno_tactic *a, const struct dyno_tactic *b, uint32_t in_count)
{
    return a->kernel == b->kernel && memcmp(a->cfg, b->cfg, sizeof(a->cfg)) == 0 &&
           a->flags == b->flags && a->packed_bytes == b->packed_bytes &&
           dyno_tune_same_layouts(a, b, in_count);
}

/* --- groups --- */

static enum dyno_status key_of(struct dyno_tuned *tuned, uint32_t idx,
                               const struct dyno_tactic *tactic, struct dyno_tune_key *key_out)
{
    struct dyno_site site;
    DYNO_TRY(dyno_tuned_site(tuned, idx, &site));
    return dyno_tune_signature(&site, tactic, tuned->passing_bytes, key_out, tuned->err);
}

static enum dyno_status find_groups(struct groups *groups)
{
    struct dyno_tuned *tuned = groups->tuned;
    for (uint32_t s = 0; s < tuned->plan->step_count; s++) {
        groups->first[s] = NO_GROUP;
        /* A run of the graph is the time of its GPU. */
        if (tuned->choices[s].timed_count < 2 || !chosen_of(tuned, s)->measured ||
            dyno_kernel_find(chosen_of(tuned, s)->tactic.kernel)->place != DYNO_ON_GPU)
            continue;
        DYNO_TRY(key_of(tuned, s, &chosen_of(tuned, s)->tactic, &groups->keys[s]));
        groups->first[s] = s;
        for (uint32_t k = 0; k < s && groups->first[s] == s; k++) {
            if (groups->first[k] == k && groups->keys[k].hi == groups->keys[s].hi &&
                groups->keys[k].lo == groups->keys[s].lo)
                groups->first[s] = k;
        }
    }
    return DYNO_OK;
}

/* --- rivals --- */

static bool was_timed(const struct dyno_tune_choice *choice, const struct dyno_tactic *tactic,
                      uint32_t in_count)
{
    bool found = false;
    for (int i = 0; i < choice->timed_count && !found; i++)
        found = is_same(&choice->timed[i].tactic, tactic, in_count);
    return found;
}

/* Could this one be in the place of the chosen, in each step of the group?  What a step may be done
 * by is not told by its signature alone: rules of precision, and sizes that are open. */
static bool is_rival(const struct groups *groups, uint32_t first,
                     const struct dyno_tune_option *option)
{
    const struct dyno_tuned *tuned = groups->tuned;
    const struct dyno_tune_option *chosen = chosen_of(tuned, first);
    const struct dyno_tactic *tactic = &option->tactic;
    const uint32_t in_count = tuned->plan->steps[first].in_count;
    if (!dyno_retime_is_near(option->us, chosen->us) ||
        !dyno_tune_same_layouts(tactic, &chosen->tactic, in_count) ||
        dyno_tune_uses(tactic, in_count) != dyno_tune_uses(&chosen->tactic, in_count) ||
        is_same(tactic, &chosen->tactic, in_count))
        return false;
    for (uint32_t s = first + 1; s < tuned->plan->step_count; s++) {
        if (groups->first[s] == first && !was_timed(&tuned->choices[s], tactic, in_count))
            return false;
    }
    return true;
}

static enum dyno_status add_rivals(struct groups *groups, uint32_t first)
{
    struct dyno_tuned *tuned = groups->tuned;
    const struct dyno_tune_choice *choice = &tuned->choices[first];
    uint32_t step_count = 0;
    for (uint32_t s = first; s < tuned->plan->step_count; s++) {
        if (groups->first[s] == first)
            groups->steps[step_count++] = s;
    }
    for (int i = 0; i < choice->timed_count; i++) {
        struct dyno_rival *rival = &groups->rivals[groups->count];
        struct dyno_tune_key keys[2] = {groups->keys[first]};
        if (!is_rival(groups, first, &choice->timed[i]))
            continue;
        *rival = (struct dyno_rival){.group = first,
                                     .steps = groups->steps,
                                     .step_count = step_count,
                                     .tactic = choice->timed[i].tactic,
                                     .chosen = chosen_of(tuned, first)->tactic,
                                     .us = choice->timed[i].us,
                                     .chosen_us = chosen_of(tuned, first)->us};
        DYNO_TRY(key_of(tuned, first, &rival->tactic, &keys[1]));
        rival->key = (struct dyno_tune_key){.hi = dyno_hash64(1, keys, sizeof(keys)),
                                            .lo = dyno_hash64(2, keys, sizeof(keys))};
        groups->count++;
    }
    groups->steps += step_count;
    return DYNO_OK;
}

enum dyno_status dyno_tuned_rivals(struct dyno_tuned *tuned, struct dyno_rival **rivals_out,
                                   int *count_out, struct dyno_err *err)
{
    const uint32_t step_count = tuned->plan->step_count;
    struct groups groups = {.tuned = tuned};
    size_t most = 1;
    *rivals_out = NULL;
    *count_out = 0;
    if (!dyno_tuned_has_rivals(tuned) || tuned->picked == NULL)
        return DYNO_OK;
    tuned->err = err;
    for (uint32_t s = 0; s < step_count; s++)
        most += (size_t)tuned->choices[s].timed_count;
    groups.keys = dyno_arena_alloc(tuned->arena, step_count + 1U, sizeof(*groups.keys));
    groups.first = dyno_arena_alloc(tuned->arena, step_count + 1U, sizeof(*groups.first));
    groups.steps = dyno_arena_alloc(tuned->arena, step_count + 1U, sizeof(*groups.steps));
    groups.rivals = dyno_arena_alloc(tuned->arena, most, sizeof(*groups.rivals));
    if (tuned->taken == NULL)
        tuned->taken = dyno_arena_alloc(tuned->arena, step_count + 1U, sizeof(*tuned->taken));
    if (groups.keys == NULL || groups.first == NULL || groups.steps == NULL ||
        groups.rivals == NULL || tuned->taken == NULL)
        return DYNO_NOMEM(err);
    DYNO_TRY(find_groups(&groups));
    for (uint32_t s = 0; s < step_count; s++) {
        if (groups.first[s] == s)
            DYNO_TRY(add_rivals(&groups, s));
    }
    *rivals_out = groups.rivals;
    *count_out = dyno_retime_order(groups.rivals, groups.count, &tuned->options.retime);
    return DYNO_OK;
}

void dyno_tuned_take(struct dyno_tuned *tuned, const struct dyno_rival *of_group,
                     const struct dyno_rival *rival)
{
    for (uint32_t i = 0; i < of_group->step_count; i++)
        tuned->taken[of_group->steps[i]] = rival;
}
