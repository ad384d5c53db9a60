/* fuzz_onnx.c - any bytes as a model: the importer answers with a graph or with a sentence.
 *
 * With clang and -DDYNO_FUZZ=ON this is a libFuzzer program; otherwise (DYNO_FUZZ_REPLAY) its main
 * replays the files and folders given as arguments, which is how the corpus is a test.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "onnx/import.h"
#include "replay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct dyno_onnx_model *model = NULL;
    struct dyno_err err = {0};
    const enum dyno_status status = dyno_onnx_import_bytes(data, bytes, NULL, NULL, &model, &err);
    const bool consistent = (status == DYNO_OK) == (model != NULL);
    const bool told = status == DYNO_OK || (err.status == status && err.text[0] != '\0');
    dyno_onnx_model_close(model);
    if (!consistent || !told || dyno_mem_live_count() != 0) {
        (void)fprintf(stderr, "status %d, text '%s', %llu blocks left\n", (int)status, err.text,
                      (unsigned long long)dyno_mem_live_count());
        abort();
    }
    return 0;
}

#ifdef DYNO_FUZZ_REPLAY
int main(int argc, char **argv)
{
    return replay(argc, argv, NULL, LLVMFuzzerTestOneInput);
}
#endif
