/* check_cudnn.c - our declarations of cuDNN (backend/cuda/cudnn.h) against NVIDIA's header:
 * compiled where that header is, never run.
 */
#include <cudnn.h>

#include "backend/cuda/cudnn.h"

_Static_assert(CUDNN_MAJOR == 9, "the version that we load");
_Static_assert(sizeof(cudnnStatus_t) == sizeof(int), "results");
_Static_assert(sizeof(cudnnBackendDescriptorType_t) == sizeof(int) &&
                   sizeof(cudnnBackendAttributeName_t) == sizeof(int) &&
                   sizeof(cudnnBackendAttributeType_t) == sizeof(int),
               "enumerations");
_Static_assert(sizeof(cudnnHandle_t) == sizeof(void *) && sizeof(cudaStream_t) == sizeof(void *) &&
                   sizeof(cudnnBackendDescriptor_t) == sizeof(void *),
               "handles");

#define SAME(ours, theirs) _Static_assert((int)(ours) == (int)(theirs), #theirs)
SAME(DYNO_CUDNN_OK, CUDNN_STATUS_SUCCESS);
SAME(DYNO_CUDNN_HOST_MEMORY, CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED);
SAME(DYNO_CUDNN_DEVICE_MEMORY, CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED);

/* The same rows with NVIDIA's types must be NVIDIA's functions. */
#undef CUDNN_STATUS
#undef CUDNN_KIND
#undef CUDNN_ATTRIBUTE
#undef CUDNN_TYPE
#undef CUDNN_HANDLE
#undef CUDNN_STREAM
#undef CUDNN_DESCRIPTOR
#undef CUDNN_DESCRIPTOR_CONST
#define CUDNN_STATUS           cudnnStatus_t
#define CUDNN_KIND             cudnnBackendDescriptorType_t
#define CUDNN_ATTRIBUTE        cudnnBackendAttributeName_t
#define CUDNN_TYPE             cudnnBackendAttributeType_t
#define CUDNN_HANDLE           cudnnHandle_t
#define CUDNN_STREAM           cudaStream_t
#define CUDNN_DESCRIPTOR       cudnnBackendDescriptor_t
#define CUDNN_DESCRIPTOR_CONST cudnnBackendDescriptor_t const
// NOLINTBEGIN(bugprone-macro-parentheses): symbol and params are parts of types
#define DYNO_CUDNN(result, name, symbol, params) \
    _Static_assert(                              \
        __builtin_types_compatible_p(__typeof__(&symbol), result(CUDNNWINAPI *) params), #symbol);
// NOLINTEND(bugprone-macro-parentheses)
#include "backend/cuda/cudnn.def"
#undef DYNO_CUDNN
