/* factor_file.c - the table of devices out of a file. */
#include "meter/cert/factor_file.h"

#include "base/file.h"

#define FILE_BYTES_MAX ((size_t)16 << 20)

enum dyno_status dyno_factors_load(const char *path, struct dyno_arena *arena,
                                   struct dyno_factors *factors_out, struct dyno_err *err)
{
    struct dyno_file_map map = {0};
    DYNO_TRY(dyno_file_map(path, &map, err));
    const enum dyno_status status =
        map.bytes > FILE_BYTES_MAX
            ? DYNO_FAIL(err, DYNO_E_LIMIT, "a table of device factors has at most %zu bytes",
                        FILE_BYTES_MAX)
            : dyno_factors_parse(map.data, map.bytes, arena, factors_out, err);
    dyno_file_unmap(&map);
    if (status != DYNO_OK)
        dyno_err_prefix(err, "%s", path);
    return status;
}
