/* certify_live.c - live data for a watch: rows that were served, made into a certified batch. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/npy.h"
#include "cli/certify.h"

#define BATCH_BYTES_MAX ((size_t)1 << 30)

/* The file that is given for an input; NULL: none is. */
static const char *file_of(const struct dyno_cli_list *list, const char *name)
{
    const size_t bytes = strlen(name);
    for (uint32_t i = 0; i < list->count; i++)
        if (strncmp(list->items[i], name, bytes) == 0 && list->items[i][bytes] == ':')
            return list->items[i] + bytes + 1;
    return NULL;
}

/* Has the data these sizes, whatever its rows? */
static bool suits(const struct dyno_tensor *data, const struct dyno_certify_dims *dims)
{
    bool ok = data->rank == (int)dims->rank;
    for (uint32_t d = 0; ok && d < dims->rank; d++)
        ok = d == 0 && dims->is_batch[0] ? data->dims[0] >= 1 : data->dims[d] == dims->sizes[d];
    return ok;
}

static bool find_point(const struct dyno_certify_subject *subject, const struct dyno_tensor *data,
                       uint64_t batch, uint32_t *point_out)
{
    for (uint32_t p = 0; p < subject->point_count; p++) {
        bool ok = true;
        for (uint32_t i = 0; ok && i < subject->input_count; i++) {
            struct dyno_certify_dims dims;
            dyno_certify_shape(subject, (int64_t)batch, p, i, &dims);
            ok = suits(&data[i], &dims);
        }
        *point_out = p;
        if (ok)
            return true;
    }
    return false;
}

/* Rows one after the other, and again from the first on, until they are `rows`. */
static enum dyno_status repeat(struct dyno_certify_live *live, struct dyno_tensor *data,
                               int64_t rows, struct dyno_err *err)
{
    size_t row_bytes = 0;
    size_t bytes = 0;
    int64_t count = 0;
    if (!dyno_dims_count(data->dims + 1, data->rank - 1, &count) ||
        !dyno_dtype_bytes(data->dtype, (uint64_t)count, &row_bytes) ||
        __builtin_mul_overflow(row_bytes, (size_t)rows, &bytes) || bytes > BATCH_BYTES_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "a batch of %lld rows of the data is too large",
                         (long long)rows);
    unsigned char *to = dyno_arena_alloc(live->arena, bytes, 1);
    if (to == NULL)
        return DYNO_NOMEM(err);
    for (int64_t r = 0; r < rows; r++)
        memcpy(to + (size_t)r * row_bytes,
               (const unsigned char *)data->data + (size_t)(r % data->dims[0]) * row_bytes,
               row_bytes);
    data->data = to;
    data->dims[0] = rows;
    return DYNO_OK;
}

static enum dyno_status make_folder(struct dyno_certify_live *live, struct dyno_err *err)
{
    const char *named = getenv("TMPDIR"); // NOLINT(concurrency-mt-unsafe)
    const char *const places[] = {named, "/dev/shm", "/tmp"};
    for (size_t i = 0; i < DYNO_COUNT(places); i++) {
        if (places[i] == NULL)
            continue;
        (void)snprintf(live->folder, sizeof(live->folder), "%s/dyno-live-XXXXXX", places[i]);
        if (mkdtemp(live->folder) != NULL)
            return DYNO_OK;
    }
    live->folder[0] = 0;
    return DYNO_FAIL(err, DYNO_E_IO,
                     "cannot make a folder for live data in TMPDIR, /dev/shm or /tmp");
}

static enum dyno_status save(struct dyno_certify_live *live,
                             const struct dyno_certify_subject *subject, struct dyno_tensor *data,
                             uint64_t batch, struct dyno_err *err)
{
    DYNO_TRY(make_folder(live, err));
    for (uint32_t i = 0; i < subject->input_count; i++) {
        struct dyno_certify_dims dims;
        dyno_certify_shape(subject, (int64_t)batch, live->point, i, &dims);
        if (dims.rank > 0 && dims.is_batch[0])
            DYNO_TRY(repeat(live, &data[i], dims.sizes[0], err));
        const size_t room = strlen(subject->inputs[i].name) + sizeof(live->folder) + 24;
        char *item = dyno_arena_alloc(live->arena, room, 1);
        if (item == NULL)
            return DYNO_NOMEM(err);
        const int at = snprintf(item, room, "%s:", subject->inputs[i].name);
        (void)snprintf(item + at, room - (size_t)at, "%s/%u.npy", live->folder, i);
        live->inputs.items[live->inputs.count++] = item;
        DYNO_TRY(dyno_npy_save(item + at, &data[i], err));
    }
    return DYNO_OK;
}

static enum dyno_status open_live(const struct dyno_certify_options *options,
                                  const struct dyno_certify_subject *subject, uint64_t batch,
                                  struct dyno_certify_live *live, struct dyno_err *err)
{
    struct dyno_tensor *data =
        dyno_arena_alloc(live->arena, subject->input_count + 1U, sizeof(*data));
    if (data == NULL)
        return DYNO_NOMEM(err);
    if (subject->input_count > DYNO_CLI_LIST_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "more than %d inputs", DYNO_CLI_LIST_MAX);
    for (uint32_t i = 0; i < subject->input_count; i++) {
        const char *name = subject->inputs[i].name;
        const char *path = file_of(&options->load_inputs, name);
        if (path == NULL)
            return DYNO_FAIL(err, DYNO_E_ARG, "--loadInputs has no data for input '%s'", name);
        DYNO_TRY(dyno_npy_load(path, live->arena, &data[i], err));
    }
    if (!find_point(subject, data, batch, &live->point))
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "the data of --loadInputs has the sizes of no point of the certificate");
    return save(live, subject, data, batch, err);
}

enum dyno_status dyno_certify_live_open(const struct dyno_certify_options *options,
                                        const struct dyno_certify_subject *subject, uint64_t batch,
                                        struct dyno_certify_live *live, struct dyno_err *err)
{
    *live = (struct dyno_certify_live){.arena = dyno_arena_create()};
    if (live->arena == NULL)
        return DYNO_NOMEM(err);
    const enum dyno_status status = open_live(options, subject, batch, live, err);
    if (status != DYNO_OK)
        dyno_certify_live_close(live);
    return status;
}

void dyno_certify_live_close(struct dyno_certify_live *live)
{
    for (uint32_t i = 0; i < live->inputs.count; i++)
        (void)unlink(strrchr(live->inputs.items[i], ':') + 1);
    if (live->folder[0] != 0)
        (void)rmdir(live->folder);
    dyno_arena_destroy(live->arena);
    *live = (struct dyno_certify_live){0};
}
