/* shapes.c - shape flags. */
#include "cli/shapes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define INPUTS_MAX 64

struct parsed {
    const char *name;
    int rank;
    int64_t dims[DYNO_RANK_MAX];
};

static enum dyno_status parse_dims(const char *flag, const char *text, size_t bytes,
                                   struct parsed *out, struct dyno_err *err)
{
    const char *at = text;
    const char *const end = text + bytes;
    if (bytes == 6 && memcmp(text, "scalar", 6) == 0)
        return DYNO_OK;
    while (at < end) {
        char *stop = NULL;
        errno = 0;
        const long long size = strtoll(at, &stop, 10);
        if (stop == at || errno != 0 || size < 0 || out->rank == DYNO_RANK_MAX ||
            (stop < end && (*stop != 'x' || stop + 1 == end)))
            return DYNO_FAIL(err, DYNO_E_ARG,
                             "%s: '%.*s' is not a shape (wants 1x3x224x224, at most %d sizes)",
                             flag, (int)bytes, text, DYNO_RANK_MAX);
        out->dims[out->rank++] = size;
        at = stop < end ? stop + 1 : end;
    }
    return DYNO_OK;
}

static enum dyno_status parse_flag(const char *flag, const char *text, struct dyno_arena *arena,
                                   struct parsed *out, uint32_t *count_out, struct dyno_err *err)
{
    uint32_t count = 0;
    *count_out = 0;
    while (text != NULL && *text != 0) {
        const size_t bytes = strcspn(text, ",");
        const char *colon = memrchr(text, ':', bytes);
        if (colon == NULL || colon == text || count == INPUTS_MAX)
            return DYNO_FAIL(err, DYNO_E_ARG, "%s: '%.*s' is not NAME:SHAPE", flag, (int)bytes,
                             text);
        out[count] =
            (struct parsed){.name = dyno_arena_strndup(arena, text, (size_t)(colon - text))};
        if (out[count].name == NULL)
            return DYNO_NOMEM(err);
        DYNO_TRY(parse_dims(flag, colon + 1, bytes - (size_t)(colon + 1 - text), &out[count], err));
        count++;
        text += bytes;
        text += *text == ',';
    }
    *count_out = count;
    return DYNO_OK;
}

static const struct parsed *find(const struct parsed *list, uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(list[i].name, name) == 0)
            return &list[i];
    }
    return NULL;
}

static enum dyno_status join(const struct parsed *const corners[3], struct dyno_profile_input *out,
                             struct dyno_err *err)
{
    static const int stand_in[3][3] = {{0, 1, 2}, {1, 2, 0}, {2, 1, 0}};
    int64_t *dims[3] = {out->min, out->opt, out->max};
    for (int corner = 0; corner < 3; corner++) {
        const struct parsed *from = NULL;
        for (int k = 0; from == NULL && k < 3; k++)
            from = corners[stand_in[corner][k]];
        if (out->rank >= 0 && out->rank != from->rank)
            return DYNO_FAIL(err, DYNO_E_ARG, "the shapes of '%s' differ in their number of sizes",
                             out->name);
        out->rank = from->rank;
        memcpy(dims[corner], from->dims, sizeof(from->dims));
    }
    for (int i = 0; i < out->rank; i++) {
        if (out->min[i] > out->opt[i] || out->opt[i] > out->max[i])
            return DYNO_FAIL(err, DYNO_E_ARG,
                             "the shapes of '%s': size %d is not min <= opt <= max (%lld, %lld, "
                             "%lld)",
                             out->name, i, (long long)out->min[i], (long long)out->opt[i],
                             (long long)out->max[i]);
    }
    return DYNO_OK;
}

enum dyno_status dyno_cli_shapes(const char *shapes, const char *min, const char *opt,
                                 const char *max, struct dyno_arena *arena,
                                 struct dyno_cli_shapes *out, struct dyno_err *err)
{
    static const char *const flags[3] = {"--minShapes", "--optShapes", "--maxShapes"};
    const char *texts[3] = {min, opt, max};
    struct parsed *lists[3];
    uint32_t counts[3] = {0, 0, 0};
    *out = (struct dyno_cli_shapes){0};
    if (shapes != NULL && (min != NULL || opt != NULL || max != NULL))
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "--shapes fixes the shapes; it does not go with --min/opt/maxShapes");
    out->items = dyno_arena_alloc(arena, (size_t)3 * INPUTS_MAX, sizeof(*out->items));
    for (int c = 0; c < 3; c++) {
        lists[c] = dyno_arena_alloc(arena, INPUTS_MAX, sizeof(*lists[c]));
        if (lists[c] == NULL || out->items == NULL)
            return DYNO_NOMEM(err);
        DYNO_TRY(parse_flag(shapes != NULL ? "--shapes" : flags[c],
                            shapes != NULL ? shapes : texts[c], arena, lists[c], &counts[c], err));
    }
    for (int c = 0; c < 3; c++) {
        for (uint32_t i = 0; i < counts[c]; i++) {
            const char *name = lists[c][i].name;
            bool known = false;
            for (uint32_t k = 0; k < out->count && !known; k++)
                known = strcmp(out->items[k].name, name) == 0;
            if (known)
                continue;
            struct dyno_profile_input *item = &out->items[out->count++];
            item->name = name;
            item->rank = -1;
            const struct parsed *corners[3];
            for (int k = 0; k < 3; k++)
                corners[k] = find(lists[k], counts[k], name);
            DYNO_TRY(join(corners, item, err));
        }
    }
    return DYNO_OK;
}
