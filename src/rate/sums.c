/* sums.c - a hash table that grows by doubling. */
#include "rate/sums.h"

#include <string.h>

#include "base/mem.h"

#define FIRST_CAPACITY 256
#define KEY_WORDS      12

void dyno_sums_fini(struct dyno_sums *sums)
{
    dyno_free(sums->slots);
    dyno_free(sums->used);
    *sums = (struct dyno_sums){0};
}

static void words_of(const struct dyno_sum *sum, uint32_t words[KEY_WORDS])
{
    const struct dyno_usage_key *key = &sum->key;
    const uint32_t all[KEY_WORDS] = {key->tenant,        key->model,          key->variant,
                                     key->class_name,    key->precision,      key->certificate,
                                     sum->kind,          sum->tariff,         sum->is_late,
                                     sum->is_taken_back, (uint32_t)sum->hour, sum->is_device};
    memcpy(words, all, sizeof(all));
}

static uint64_t hash_of(const struct dyno_sum *sum)
{
    uint32_t words[KEY_WORDS];
    uint64_t hash = 0x9e3779b97f4a7c15U;
    words_of(sum, words);
    for (int i = 0; i < KEY_WORDS; i++) {
        hash = (hash ^ words[i]) * 0xff51afd7ed558ccdU;
        hash ^= hash >> 32;
    }
    return hash;
}

static bool same_key(const struct dyno_sum *a, const struct dyno_sum *b)
{
    uint32_t left[KEY_WORDS];
    uint32_t right[KEY_WORDS];
    words_of(a, left);
    words_of(b, right);
    return memcmp(left, right, sizeof(left)) == 0;
}

static size_t find(const struct dyno_sums *sums, const struct dyno_sum *key)
{
    size_t at = (size_t)hash_of(key) & (sums->capacity - 1);
    while (sums->used[at] && !same_key(&sums->slots[at], key))
        at = (at + 1) & (sums->capacity - 1);
    return at;
}

static enum dyno_status grow(struct dyno_sums *sums, struct dyno_err *err)
{
    struct dyno_sums larger = {.capacity = sums->capacity > 0 ? sums->capacity * 2 : FIRST_CAPACITY,
                               .count = sums->count};
    larger.slots = dyno_alloc(larger.capacity, sizeof(*larger.slots));
    larger.used = dyno_alloc(larger.capacity, sizeof(*larger.used));
    if (larger.slots == NULL || larger.used == NULL) {
        dyno_sums_fini(&larger);
        return DYNO_NOMEM(err);
    }
    for (size_t i = 0; i < sums->capacity; i++) {
        if (!sums->used[i])
            continue;
        const size_t at = find(&larger, &sums->slots[i]);
        larger.slots[at] = sums->slots[i];
        larger.used[at] = true;
    }
    dyno_sums_fini(sums);
    *sums = larger;
    return DYNO_OK;
}

enum dyno_status dyno_sums_at(struct dyno_sums *sums, const struct dyno_sum *key,
                              struct dyno_sum **sum_out, struct dyno_err *err)
{
    if (sums->count >= DYNO_SUMS_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "more than %zu lines to rate", DYNO_SUMS_MAX);
    if (sums->count * 2 >= sums->capacity)
        DYNO_TRY(grow(sums, err));
    const size_t at = find(sums, key);
    if (!sums->used[at]) {
        sums->slots[at] = *key;
        sums->used[at] = true;
        sums->count++;
    }
    *sum_out = &sums->slots[at];
    return DYNO_OK;
}
