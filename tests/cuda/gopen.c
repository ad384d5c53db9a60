/* gopen.c - cases with an open size. */
#include "gopen.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "gplace.h"
#include "tune/corners.h"

#define SIZES_MAX  6
#define SHAPES_MAX 8
#define INS_BYTES  1024

struct gopen {
    struct kcase rows[SHAPES_MAX];
    char ins[SHAPES_MAX][INS_BYTES];       /* text of their inputs */
    struct kcase_data *shapes[SHAPES_MAX]; /* the first: the case itself, the optimum */
    int count, min, max;                   /* where the open size is least, greatest */
};

/* --- the text of inputs --- */

/* Where the shape in a token begins, and where it ends; false: none, or not to be changed. */
static bool shape_of(const char *token, size_t bytes, size_t *from_out, size_t *to_out)
{
    const char *colon = memchr(token, ':', bytes);
    size_t at = colon != NULL ? (size_t)(colon - token) + 1 : 0;
    *from_out = at;
    while (at < bytes && (isdigit((unsigned char)token[at]) || token[at] == 'x'))
        at++;
    *to_out = at;
    return at > *from_out && isdigit((unsigned char)token[*from_out]) &&
           memchr(token, '!', bytes) == NULL && memchr(token, '=', bytes) == NULL;
}

/* The next token of the text; NULL: none. */
static const char *next_token(const char *at, size_t *bytes_out)
{
    at += strspn(at, " ");
    *bytes_out = strcspn(at, " ");
    return *bytes_out != 0 ? at : NULL;
}

/* The which-th size that there is; 0: fewer.  Fastest axes come first. */
static long size_of(const char *ins, int which)
{
    long sizes[SIZES_MAX] = {0};
    int count = 0;
    size_t bytes = 0;
    for (const char *token = ins; (token = next_token(token, &bytes)) != NULL; token += bytes) {
        size_t from = 0, to = 0;
        if (!shape_of(token, bytes, &from, &to))
            continue;
        for (size_t end = to; end > from && count < SIZES_MAX; end--) {
            const bool begins = end - 1 == from || token[end - 2] == 'x';
            const long size = begins ? strtol(token + end - 1, NULL, 10) : 1;
            bool known = size <= 1;
            for (int i = 0; i < count; i++)
                known = known || sizes[i] == size;
            if (!known)
                sizes[count++] = size;
        }
    }
    return which < count ? sizes[which] : 0;
}

static void replace(const char *ins, long size, long by, char *out)
{
    size_t used = 0, bytes = 0;
    for (const char *token = ins; (token = next_token(token, &bytes)) != NULL; token += bytes) {
        size_t from = bytes, to = bytes;
        if (!shape_of(token, bytes, &from, &to))
            from = to = bytes;
        used += (size_t)snprintf(out + used, INS_BYTES - used, " %.*s", (int)from, token);
        for (size_t at = from; at < to && used < INS_BYTES;) {
            char *end = NULL;
            const long value = strtol(token + at, &end, 10);
            used += (size_t)snprintf(out + used, INS_BYTES - used, "%s%ld", at == from ? "" : "x",
                                     value == size ? by : value);
            at = (size_t)(end - token) + 1;
        }
        used +=
            (size_t)snprintf(out + used, INS_BYTES - used, "%.*s", (int)(bytes - to), token + to);
        DYNO_ASSERT(used < INS_BYTES);
    }
}

/* --- shapes --- */

static bool add(const struct kcase *row, long size, long by, struct gopen *open)
{
    const int i = open->count;
    struct kcase_data *data = dyno_alloc(1, sizeof(*data));
    struct dyno_err err = {0};
    if (data == NULL)
        exit(EXIT_FAILURE);
    replace(row->ins, size, by, open->ins[i]);
    open->rows[i] = *row;
    open->rows[i].ins = open->ins[i];
    data->arena = dyno_arena_create();
    if (kcase_make(&open->rows[i], 1, data, &err) != DYNO_OK) {
        dyno_arena_destroy(data->arena);
        dyno_free(data);
        return false;
    }
    open->shapes[open->count++] = data;
    return true;
}

static struct dyno_tensor *tensor_at(struct kcase_data *data, uint32_t idx)
{
    return idx < data->step.in_count ? &data->ins[idx] : &data->outs[idx - data->step.in_count];
}

/* Sizes that differ get a number: of all that they are. */
static void number(struct gopen *open, uint32_t idx)
{
    const int rank = tensor_at(open->shapes[0], idx)->rank;
    for (int d = 0; d < rank; d++) {
        int64_t sizes[SHAPES_MAX] = {0};
        bool differ = false;
        for (int i = 0; i < open->count; i++) {
            sizes[i] = tensor_at(open->shapes[i], idx)->dims[d];
            differ = differ || sizes[i] != sizes[0];
        }
        for (int i = 0; differ && i < open->count; i++) {
            struct kcase_data *data = open->shapes[i];
            uint32_t *at = idx < data->step.in_count ? data->in_open[idx]
                                                     : data->out_open[idx - data->step.in_count];
            at[d] = (uint32_t)dyno_hash64(7, sizes, sizeof(sizes)) | 1U;
        }
    }
}

/* With the which-th of its sizes open; false when there are fewer.  Give it back in either case. */
static bool make(const struct kcase *row, int which, struct gopen *open_out)
{
    /* Bounds that vectors and blocks of channels divide say nothing of what lies between. */
    static const long sets[2][7] = {{1, 2, 5, 8, 12, 3, 7}, {8, 32, 9, 12, 16, 31, 11}};
    const long *others = sets[(strlen(row->ins) + strlen(row->op) + (size_t)which) % 2];
    const long size = size_of(row->ins, which);
    *open_out = (struct gopen){.count = 0};
    if (size == 0 || !add(row, size, size, open_out))
        return false;
    long least = size, greatest = size;
    for (size_t i = 0; i < DYNO_COUNT(sets[0]); i++) {
        if (others[i] == size || !add(row, size, others[i], open_out))
            continue;
        if (others[i] < least)
            open_out->min = open_out->count - 1;
        if (others[i] > greatest)
            open_out->max = open_out->count - 1;
        least = others[i] < least ? others[i] : least;
        greatest = others[i] > greatest ? others[i] : greatest;
    }
    const uint32_t tensors =
        open_out->shapes[0]->step.in_count + open_out->shapes[0]->step.out_count;
    for (uint32_t i = 0; i < tensors; i++)
        number(open_out, i);
    return true;
}

static void drop(struct gopen *open)
{
    for (int i = 0; i < open->count; i++) {
        dyno_arena_destroy(open->shapes[i]->arena);
        dyno_free(open->shapes[i]);
    }
    open->count = 0;
}

static uint32_t run_kernel(
    const struct gopen *open, const struct dyno_kernel *kernel, const struct dyno_site *site,
    bool (*is_wanted)(const struct kcase *row, const struct dyno_kernel *kernel,
                      const struct dyno_tactic *tactic, uint32_t in_count),
    void (*attempt)(const struct kcase_data *data, const struct dyno_kernel *kernel,
                    const struct dyno_tactic *tactic))
{
    struct dyno_tactic tactics[DYNO_TACTICS_MAX];
    const int count = dyno_kernel_candidates(kernel, site, tactics, DYNO_TACTICS_MAX);
    struct dyno_layout last = {.kind = 255};
    uint32_t dropped_count = 0;
    for (int t = 0; t < count; t++) {
        if (!dyno_tune_runs_at_corners(kernel, site, &tactics[t])) {
            dropped_count++;
            continue;
        }
        const bool first = !dyno_layout_same(last, tactics[t].out_layout);
        last = tactics[t].out_layout;
        if (!first || !is_wanted(open->rows, kernel, &tactics[t], site->step->in_count))
            continue;
        for (int i = 0; i < open->count; i++)
            attempt(open->shapes[i], kernel, &tactics[t]);
    }
    return dropped_count;
}

uint32_t gopen_run(const struct kcase *row, const struct dyno_target *target,
                   bool (*is_wanted)(const struct kcase *row, const struct dyno_kernel *kernel,
                                     const struct dyno_tactic *tactic, uint32_t in_count),
                   void (*attempt)(const struct kcase_data *data, const struct dyno_kernel *kernel,
                                   const struct dyno_tactic *tactic))
{
    struct gopen *open = dyno_alloc(1, sizeof(*open));
    struct place *places = dyno_alloc(3, sizeof(*places));
    uint32_t dropped_count = 0;
    if (open == NULL || places == NULL)
        exit(EXIT_FAILURE);
    for (int which = 0; make(row, which, open); which++) {
        make_place(open->shapes[0], target, &places[0]);
        make_place(open->shapes[open->min], target, &places[1]);
        make_place(open->shapes[open->max], target, &places[2]);
        const struct dyno_site others[] = {places[1].site, places[2].site};
        places[0].site.others = others;
        places[0].site.other_count = DYNO_COUNT(others);
        for (size_t k = 0; k < dyno_kernel_count && open->count > 1; k++) {
            /* A plan of cuDNN's is packed at the optimum and bound from there; a trial packs anew.
             */
            if (dyno_kernels[k]->place == DYNO_ON_GPU &&
                dyno_kernels[k]->library != DYNO_LIBRARY_cudnn)
                dropped_count +=
                    run_kernel(open, dyno_kernels[k], &places[0].site, is_wanted, attempt);
        }
        drop(open);
    }
    drop(open);
    dyno_free(places);
    dyno_free(open);
    return dropped_count;
}
