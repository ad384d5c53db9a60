/* check_driver.c - our declarations of the driver (backend/cuda/driver.h) against NVIDIA's header:
 * compiled where that header is, never run.
 */
/* NOLINTNEXTLINE(readability-identifier-naming): NVIDIA's name */
#define __CUDA_API_VERSION_INTERNAL /* older functions are declared, too: those of CUDA 12.0 */
#include <cuda.h>

#include "backend/cuda/driver.h"

_Static_assert(sizeof(CUresult) == sizeof(int) && sizeof(CUdevice) == sizeof(int), "results");
_Static_assert(sizeof(CUdevice_attribute) == sizeof(int), "enumerations");
_Static_assert(sizeof(CUfunction_attribute) == sizeof(int), "enumerations");
_Static_assert(sizeof(CUgraphNodeType) == sizeof(int), "enumerations");
_Static_assert(sizeof(CUstreamCaptureMode) == sizeof(int), "enumerations");
_Static_assert(sizeof(CUstreamCaptureStatus) == sizeof(int), "enumerations");
_Static_assert(sizeof(CUdeviceptr) == sizeof(unsigned long long), "addresses");
_Static_assert(sizeof(CUcontext) == sizeof(void *) && sizeof(CUstream) == sizeof(void *) &&
                   sizeof(CUgraphExec) == sizeof(void *) && sizeof(CUfunction) == sizeof(void *),
               "handles");

#define SAME(ours, theirs) _Static_assert((int)(ours) == (int)(theirs), #theirs)
SAME(DYNO_CU_OK, CUDA_SUCCESS);
SAME(DYNO_CU_OUT_OF_MEMORY, CUDA_ERROR_OUT_OF_MEMORY);
SAME(DYNO_CU_NO_DEVICE, CUDA_ERROR_NO_DEVICE);
SAME(DYNO_CU_NOT_SUPPORTED, CUDA_ERROR_NOT_SUPPORTED);
SAME(DYNO_CU_SHARED_MAX, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN);
SAME(DYNO_CU_SM_COUNT, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
SAME(DYNO_CU_L2_BYTES, CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE);
SAME(DYNO_CU_CC_MAJOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
SAME(DYNO_CU_CC_MINOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
SAME(DYNO_CU_CLOCK_KHZ, CU_DEVICE_ATTRIBUTE_CLOCK_RATE);
SAME(DYNO_CU_PCI_BUS, CU_DEVICE_ATTRIBUTE_PCI_BUS_ID);
SAME(DYNO_CU_PCI_DEVICE, CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID);
SAME(DYNO_CU_PCI_DOMAIN, CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID);
SAME(DYNO_CU_HAS_POOLS, CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED);
SAME(DYNO_CU_POOL_PINNED, CU_MEM_ALLOCATION_TYPE_PINNED);
SAME(DYNO_CU_POOL_DEVICE, CU_MEM_LOCATION_TYPE_DEVICE);
SAME(0, CU_MEM_HANDLE_TYPE_NONE);
SAME(DYNO_CU_FUNCTION_SHARED, CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES);
SAME(DYNO_CU_FUNCTION_SHARED_MAX, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES);
SAME(DYNO_CU_STREAM_NON_BLOCKING, CU_STREAM_NON_BLOCKING);
SAME(DYNO_CU_HOST_PORTABLE, CU_MEMHOSTALLOC_PORTABLE);
SAME(DYNO_CU_HOST_PORTABLE, CU_MEMHOSTREGISTER_PORTABLE);
SAME(DYNO_CU_EVENT_NO_TIMING, CU_EVENT_DISABLE_TIMING);
SAME(DYNO_CU_CAPTURE_THREAD, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
SAME(DYNO_CU_NODE_KERNEL, CU_GRAPH_NODE_TYPE_KERNEL);
SAME(DYNO_CU_NODE_GRAPH, CU_GRAPH_NODE_TYPE_GRAPH);
SAME(DYNO_CU_FOLLOW_THESE, CU_STREAM_SET_CAPTURE_DEPENDENCIES);
#ifdef CU_LAUNCH_PARAM_BUFFER_POINTER_AS_INT
SAME(DYNO_CU_PARAMS_AT, CU_LAUNCH_PARAM_BUFFER_POINTER_AS_INT);
SAME(DYNO_CU_PARAMS_BYTES, CU_LAUNCH_PARAM_BUFFER_SIZE_AS_INT);
#endif

_Static_assert(sizeof(struct dyno_cu_pool_props) == sizeof(CUmemPoolProps), "pools");
#define SAME_PLACE(ours, theirs)                                         \
    _Static_assert(offsetof(struct dyno_cu_pool_props, ours) ==          \
                           offsetof(CUmemPoolProps, theirs) &&           \
                       sizeof(((struct dyno_cu_pool_props *)0)->ours) == \
                           sizeof(((CUmemPoolProps *)0)->theirs),        \
                   #theirs)
SAME_PLACE(kind, allocType);
SAME_PLACE(exported_as, handleTypes);
SAME_PLACE(place, location.type);
SAME_PLACE(device, location.id);
SAME_PLACE(security, win32SecurityAttributes);

/* The same rows with NVIDIA's types must be NVIDIA's functions. */
#undef CU_RESULT
#undef CU_DEVICE
#undef CU_DEVICE_ATTRIBUTE
#undef CU_FUNCTION_ATTRIBUTE
#undef CU_CAPTURE_MODE
#undef CU_CAPTURE_STATUS
#undef CU_CONTEXT
#undef CU_STREAM
#undef CU_EVENT
#undef CU_MODULE
#undef CU_FUNCTION
#undef CU_GRAPH
#undef CU_GRAPH_EXEC
#undef CU_GRAPH_NODE
#undef CU_GRAPH_NODE_TYPE
#undef CU_POOL
#undef CU_POOL_PROPS
#undef CU_ADDRESS
#undef CU_NUMBER
#define CU_RESULT             CUresult
#define CU_DEVICE             CUdevice
#define CU_DEVICE_ATTRIBUTE   CUdevice_attribute
#define CU_FUNCTION_ATTRIBUTE CUfunction_attribute
#define CU_CAPTURE_MODE       CUstreamCaptureMode
#define CU_CAPTURE_STATUS     CUstreamCaptureStatus
#define CU_CONTEXT            CUcontext
#define CU_STREAM             CUstream
#define CU_EVENT              CUevent
#define CU_MODULE             CUmodule
#define CU_FUNCTION           CUfunction
#define CU_GRAPH              CUgraph
#define CU_GRAPH_EXEC         CUgraphExec
#define CU_GRAPH_NODE         CUgraphNode
#define CU_GRAPH_NODE_TYPE    CUgraphNodeType
#define CU_POOL               CUmemoryPool
#define CU_POOL_PROPS         CUmemPoolProps
#define CU_ADDRESS            CUdeviceptr
#define CU_NUMBER             cuuint64_t
// NOLINTBEGIN(bugprone-macro-parentheses): symbol and params are parts of types
#define DYNO_CU(name, symbol, params)                                                             \
    _Static_assert(__builtin_types_compatible_p(__typeof__(&symbol), CUresult(CUDAAPI *) params), \
                   #symbol);
// NOLINTEND(bugprone-macro-parentheses)
#include "backend/cuda/driver.def"
#undef DYNO_CU
