// The thin layer under the backend: CUDA's runtime, or with CAMEO_HIP what AMD's HIP has for the same. Names are CUDA's.
#pragma once

#ifndef CAMEO_HIP

#include <cuda_runtime_api.h>

#else

#include <hip/hip_runtime_api.h>

using cudaError_t = hipError_t;
using cudaStream_t = hipStream_t;
using cudaEvent_t = hipEvent_t;
using cudaGraph_t = hipGraph_t;
using cudaGraphExec_t = hipGraphExec_t;
using cudaDeviceProp = hipDeviceProp_t;
// HIP has modules where CUDA has libraries of kernels, and functions where it has kernels.
using cudaLibrary_t = hipModule_t;
using cudaKernel_t = hipFunction_t;

constexpr auto cudaSuccess = hipSuccess;
constexpr auto cudaErrorMemoryAllocation = hipErrorMemoryAllocation;
constexpr auto cudaErrorNoDevice = hipErrorNoDevice;
constexpr auto cudaErrorInsufficientDriver = hipErrorInsufficientDriver;
constexpr auto cudaErrorNotReady = hipErrorNotReady;
constexpr auto cudaErrorInvalidValue = hipErrorInvalidValue;
constexpr auto cudaErrorIllegalAddress = hipErrorIllegalAddress;
constexpr auto cudaErrorLaunchTimeout = hipErrorLaunchTimeOut;
constexpr auto cudaErrorAssert = hipErrorAssert;
constexpr auto cudaErrorLaunchFailure = hipErrorLaunchFailure;
constexpr auto cudaErrorECCUncorrectable = hipErrorECCNotCorrectable;
constexpr auto cudaErrorUnknown = hipErrorUnknown;
constexpr auto cudaStreamNonBlocking = hipStreamNonBlocking;
constexpr auto cudaStreamCaptureModeThreadLocal = hipStreamCaptureModeThreadLocal;
constexpr unsigned long long cudaGraphInstantiateFlagUseNodePriority = 0;  // not passed on
constexpr auto cudaHostAllocPortable = hipHostMallocPortable;
constexpr auto cudaHostRegisterDefault = hipHostRegisterDefault;
constexpr auto cudaMemcpyDefault = hipMemcpyDefault;
constexpr auto cudaDevAttrComputeCapabilityMajor = hipDeviceAttributeComputeCapabilityMajor;
constexpr auto cudaDevAttrComputeCapabilityMinor = hipDeviceAttributeComputeCapabilityMinor;
constexpr auto cudaDevAttrMultiProcessorCount = hipDeviceAttributeMultiprocessorCount;
constexpr auto cudaDevAttrMaxSharedMemoryPerBlockOptin = hipDeviceAttributeMaxSharedMemoryPerBlock;

#define cudaGetLastError hipGetLastError
#define cudaGetErrorString hipGetErrorString
#define cudaGetErrorName hipGetErrorName
#define cudaGetDeviceCount hipGetDeviceCount
#define cudaGetDevice hipGetDevice
#define cudaGetDeviceProperties hipGetDeviceProperties
#define cudaDeviceGetAttribute hipDeviceGetAttribute
#define cudaDriverGetVersion hipDriverGetVersion
#define cudaRuntimeGetVersion hipRuntimeGetVersion
#define cudaStreamCreateWithPriority hipStreamCreateWithPriority
#define cudaDeviceGetStreamPriorityRange hipDeviceGetStreamPriorityRange
#define cudaStreamDestroy hipStreamDestroy
#define cudaStreamSynchronize hipStreamSynchronize
#define cudaStreamQuery hipStreamQuery
#define cudaStreamWaitEvent hipStreamWaitEvent
#define cudaStreamBeginCapture hipStreamBeginCapture
#define cudaStreamEndCapture hipStreamEndCapture
#define cudaEventCreate hipEventCreate
#define cudaEventCreateWithFlags hipEventCreateWithFlags
#define cudaEventDestroy hipEventDestroy
#define cudaEventRecord hipEventRecord
#define cudaEventSynchronize hipEventSynchronize
#define cudaEventElapsedTime hipEventElapsedTime
#define cudaGraphDestroy hipGraphDestroy
#define cudaGraphExecDestroy hipGraphExecDestroy
#define cudaGraphLaunch hipGraphLaunch
#define cudaFree hipFree
#define cudaMemGetInfo hipMemGetInfo
#define cudaFreeHost hipHostFree
#define cudaHostRegister hipHostRegister
#define cudaHostUnregister hipHostUnregister
#define cudaMemcpyAsync hipMemcpyAsync
#define cudaMemsetAsync hipMemsetAsync
#define cudaLibraryUnload hipModuleUnload
#define cudaLibraryGetKernel hipModuleGetFunction

inline cudaError_t cudaMalloc(void** data, size_t bytes) { return hipMalloc(data, bytes); }
inline cudaError_t cudaHostAlloc(void** data, size_t bytes, unsigned flags) { return hipHostMalloc(data, bytes, flags); }
inline cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  return hipGraphInstantiate(exec, graph, nullptr, nullptr, 0);
}
inline cudaError_t cudaLibraryLoadData(cudaLibrary_t* library, const void* image, void*, void**, unsigned, void*, void**, unsigned) {
  return hipModuleLoadData(library, image);
}

struct cudaPointerAttributes {
  hipMemoryType type;
};
constexpr auto cudaMemoryTypeDevice = hipMemoryTypeDevice;
constexpr auto cudaMemoryTypeManaged = hipMemoryTypeUnified;
inline cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* address) {
  hipPointerAttribute_t of;
  const hipError_t result = hipPointerGetAttributes(&of, address);
  if (result == hipSuccess) attributes->type = of.memoryType;
  return result;
}

struct cudaLaunchConfig_t {
  struct Extents {
    unsigned x = 1, y = 1, z = 1;
  } gridDim, blockDim;
  size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
};
inline cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* c, const void* kernel, void** arguments) {
  return hipModuleLaunchKernel(static_cast<hipFunction_t>(const_cast<void*>(kernel)), c->gridDim.x, c->gridDim.y, c->gridDim.z,
                               c->blockDim.x, c->blockDim.y, c->blockDim.z, static_cast<unsigned>(c->dynamicSmemBytes), c->stream,
                               arguments, nullptr);
}

#endif
