#include "backends/cuda/kernels/kernel.h"

namespace cameo::cuda {

DeviceTraits device_traits() {
  int device = 0, major = 0, minor = 0;
  DeviceTraits t;
  if (cudaGetDevice(&device) != cudaSuccess) return t;
  if (cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) != cudaSuccess) return t;
  cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device);
  cudaDeviceGetAttribute(&t.multiprocessors, cudaDevAttrMultiProcessorCount, device);
  cudaDeviceGetAttribute(&t.shared_memory, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  t.capability = major * 10 + minor;
  return t;
}

}  // namespace cameo::cuda
