/* identity.c - the hash that a model is known by. */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "onnx/importer.h"

#define DIGEST_BYTES 32U

static void hash_map(const struct dyno_file_map *map, uint8_t digest_out[DIGEST_BYTES])
{
    struct dyno_sha256 sha;
    dyno_sha256_init(&sha);
    if (map->bytes > 0)
        dyno_sha256_update(&sha, map->data, map->bytes);
    dyno_sha256_final(&sha, digest_out);
}

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, DIGEST_BYTES);
}

enum dyno_status dyno_onnx_model_identity(const struct dyno_onnx_model *model,
                                          uint8_t sha256_out[32], struct dyno_err *err)
{
    static const char tag[] = "dyno model 1\n";
    size_t count = 0;
    if (model->file.data == NULL)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED,
                         "a model that was not read from a file has no identity");
    hash_map(&model->file, sha256_out);
    for (const struct dyno_external *at = model->externals; at != NULL; at = at->next)
        count++;
    if (count == 0)
        return DYNO_OK;
    uint8_t(*digests)[DIGEST_BYTES] = dyno_alloc(count, DIGEST_BYTES);
    if (digests == NULL)
        return DYNO_NOMEM(err);
    size_t i = 0;
    for (const struct dyno_external *at = model->externals; at != NULL; at = at->next)
        hash_map(&at->map, digests[i++]);
    qsort(digests, count, DIGEST_BYTES, by_bytes);
    struct dyno_sha256 sha;
    dyno_sha256_init(&sha);
    dyno_sha256_update(&sha, tag, sizeof(tag) - 1);
    dyno_sha256_update(&sha, sha256_out, DIGEST_BYTES);
    dyno_sha256_update(&sha, digests, count * DIGEST_BYTES);
    dyno_sha256_final(&sha, sha256_out);
    dyno_free(digests);
    return DYNO_OK;
}
