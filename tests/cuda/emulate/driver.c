/* driver.c - stands in for libcuda.so.1: the machine, its errors, programs and launches.
 *
 * DYNO_EMULATE_COMPUTE (80): the compute capability.  DYNO_EMULATE_MEMORY (1 GiB): bytes of memory.
 * DYNO_EMULATE_FAIL (0: none): the n-th launch that runs fails, and the GPU with it.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"

#define OWN_MAX    49152 /* dynamic shared memory of a block whose program did not ask for more */
#define PARAMS_MAX 4096

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local bool has_context;

uint64_t emulate_setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL && *text != 0 ? strtoull(text, NULL, 10) : otherwise;
}

static int compute(void)
{
    return (int)emulate_setting("DYNO_EMULATE_COMPUTE", 80);
}

int emulate_begin(void)
{
    (void)pthread_mutex_lock(&lock);
    return emulate_broken != 0 ? emulate_broken : has_context ? EMULATE_OK : EMULATE_NO_CONTEXT;
}

int emulate_end(int code)
{
    (void)pthread_mutex_unlock(&lock);
    return code;
}

/* --- the machine --- */

int cuInit(unsigned int flags)
{
    const int code = (int)emulate_setting("DYNO_EMULATE_INIT", 0);
    return code != 0 ? code : (int)flags;
}

int cuDriverGetVersion(int *version)
{
    *version = (int)emulate_setting("DYNO_EMULATE_DRIVER", 13000);
    return EMULATE_OK;
}

static const struct {
    int code;
    const char *name, *text;
} errors[] = {
    {EMULATE_INVALID, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {EMULATE_NO_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {EMULATE_BAD_IMAGE, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {EMULATE_NO_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {EMULATE_OTHER_GPU, "CUDA_ERROR_NO_BINARY_FOR_GPU",
     "no kernel image is available for execution on the device"},
    {EMULATE_BAD_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {EMULATE_NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {EMULATE_NOT_READY, "CUDA_ERROR_NOT_READY", "device not ready"},
    {EMULATE_BAD_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {EMULATE_BAD_LAUNCH, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES",
     "too many resources requested for launch"},
    {EMULATE_MISALIGNED, "CUDA_ERROR_MISALIGNED_ADDRESS", "misaligned address"},
    {EMULATE_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {EMULATE_UNSUPPORTED, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    {EMULATE_CAPTURING, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
     "operation not permitted when stream is capturing"},
};

int cuGetErrorName(int code, const char **text)
{
    *text = NULL;
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
        *text = errors[i].code == code ? errors[i].name : *text;
    return *text != NULL ? EMULATE_OK : EMULATE_INVALID;
}

int cuGetErrorString(int code, const char **text)
{
    *text = NULL;
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
        *text = errors[i].code == code ? errors[i].text : *text;
    return *text != NULL ? EMULATE_OK : EMULATE_INVALID;
}

/* They are alike, and share what a process has: a process uses one of them. */
int cuDeviceGetCount(int *count)
{
    *count = (int)emulate_setting("DYNO_EMULATE_GPUS", 1);
    return EMULATE_OK;
}

int cuDeviceGet(int *device, int ordinal)
{
    int count = 0;
    *device = ordinal;
    (void)cuDeviceGetCount(&count);
    return ordinal >= 0 && ordinal < count ? EMULATE_OK : EMULATE_INVALID;
}

int cuDeviceGetName(char *name, int bytes, int device)
{
    (void)device;
    (void)snprintf(name, (size_t)bytes, "Emulated GPU");
    return EMULATE_OK;
}

int cuDeviceTotalMem_v2(size_t *bytes, int device)
{
    (void)device;
    *bytes = (size_t)emulate_memory_max();
    return EMULATE_OK;
}

static int shared_max(void)
{
    return compute() >= 90 ? 232448 : 166912;
}

/* Those of an A100 or an H100, so that plans are what they would be there. */
int cuDeviceGetAttribute(int *value, int attribute, int device)
{
    const struct {
        int attribute, value;
    } rows[] = {
        {DYNO_CU_CC_MAJOR, compute() / 10},
        {DYNO_CU_CC_MINOR, compute() % 10},
        {DYNO_CU_SM_COUNT, compute() >= 90 ? 132 : 108},
        {DYNO_CU_L2_BYTES, 40 << 20},
        {DYNO_CU_SHARED_MAX, shared_max()},
        {DYNO_CU_CLOCK_KHZ, 1410000},
        {DYNO_CU_MEMORY_KHZ, 1215000},
        {DYNO_CU_MEMORY_BITS, 5120},
        {DYNO_CU_HAS_POOLS, emulate_setting("DYNO_EMULATE_POOLS", 1) != 0},
        {DYNO_CU_PCI_DOMAIN, 0},
        {DYNO_CU_PCI_BUS, 0x1b}, /* where the card of fake_nvml.c is */
        {DYNO_CU_PCI_DEVICE, device},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].attribute == attribute) {
            *value = rows[i].value;
            return EMULATE_OK;
        }
    }
    return EMULATE_INVALID;
}

int cuDevicePrimaryCtxRetain(void **context, int device)
{
    int same = 0;
    *context = &lock;
    return cuDeviceGet(&same, device);
}

int cuDevicePrimaryCtxRelease_v2(int device)
{
    int same = 0;
    return cuDeviceGet(&same, device);
}

int cuCtxSetCurrent(void *context)
{
    has_context = context != NULL;
    return emulate_broken;
}

/* --- programs --- */

int cuModuleLoadData(void **module, const void *image)
{
    struct emulate_program *program = NULL;
    int code = emulate_begin();
    if (code == EMULATE_OK)
        code = emulate_program_load(image, compute(), &program);
    if (program != NULL)
        program->shared_max = OWN_MAX;
    *module = program;
    return emulate_end(code);
}

int cuModuleUnload(void *module)
{
    const int code = emulate_begin();
    (void)emulate_stream_flush_all();
    emulate_program_unload(module);
    return emulate_end(code);
}

int cuModuleGetFunction(void **function, void *module, const char *name)
{
    const int code = emulate_begin();
    *function = module;
    return emulate_end(code != EMULATE_OK || strcmp(name, "dyno_main") == 0 ? code
                                                                            : EMULATE_NOT_FOUND);
}

static int own_bytes(const struct emulate_program *program)
{
    return (int)(program->about->shared_end - program->about->shared_begin);
}

int cuFuncGetAttribute(int *value, int attribute, void *function)
{
    const int code = emulate_begin();
    *value = own_bytes(function);
    return emulate_end(
        code != EMULATE_OK || attribute == DYNO_CU_FUNCTION_SHARED ? code : EMULATE_UNSUPPORTED);
}

int cuFuncSetAttribute(void *function, int attribute, int value)
{
    struct emulate_program *program = function;
    int code = emulate_begin();
    if (code == EMULATE_OK && attribute != DYNO_CU_FUNCTION_SHARED_MAX)
        code = EMULATE_UNSUPPORTED;
    if (code == EMULATE_OK && (value < 0 || value > shared_max() - own_bytes(program)))
        code = EMULATE_INVALID;
    if (code == EMULATE_OK)
        program->shared_max = value;
    return emulate_end(code);
}

/* What a card takes. */
static int check_launch(const struct emulate_launch *what, size_t params_bytes)
{
    const struct emulate_about *about = what->program->about;
    for (int i = 0; i < 3; i++) {
        if (what->grid[i] == 0 || (i > 0 && what->grid[i] > 65535) || about->cluster[i] == 0 ||
            what->grid[i] % about->cluster[i] != 0)
            return EMULATE_INVALID;
    }
    if (what->threads == 0 || what->threads > 1024 || what->threads % 32 != 0 ||
        what->shared_bytes > (unsigned)what->program->shared_max ||
        params_bytes != about->params_bytes || params_bytes > PARAMS_MAX)
        return EMULATE_INVALID;
    return what->threads <= about->threads_max ? EMULATE_OK : EMULATE_BAD_LAUNCH;
}

/* NOLINTNEXTLINE(readability-function-size): as many parameters as NVIDIA gave it */
int cuLaunchKernel(void *function, unsigned int grid_x, unsigned int grid_y, unsigned int grid_z,
                   unsigned int block_x, unsigned int block_y, unsigned int block_z,
                   unsigned int shared_bytes, void *stream, void **params, void **extra)
{
    struct emulate_launch launch = {.program = function,
                                    .grid = {grid_x, grid_y, grid_z},
                                    .threads = block_x,
                                    .shared_bytes = shared_bytes};
    int code = emulate_begin();
    if (code == EMULATE_OK &&
        (function == NULL || params != NULL || extra == NULL ||
         extra[0] != (void *)DYNO_CU_PARAMS_AT || extra[2] != (void *)DYNO_CU_PARAMS_BYTES ||
         extra[4] != NULL || block_y != 1 || block_z != 1))
        code = EMULATE_INVALID;
    if (code == EMULATE_OK)
        code = check_launch(&launch, *(const size_t *)extra[3]);
    if (code == EMULATE_OK) {
        launch.params = extra[1];
        code = emulate_stream_launch(stream, &launch, *(const size_t *)extra[3]);
    }
    return emulate_end(code);
}
