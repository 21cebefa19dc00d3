#include "backends/cuda/runtime.h"

#include <algorithm>

namespace cameo::cuda {
namespace {

constexpr size_t kBlockAlignment = 512;

// Results after which every further call of this process fails.
bool is_sticky(cudaError_t result) {
  switch (result) {
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
#ifndef CAMEO_HIP
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
#endif
    case cudaErrorLaunchFailure:
    case cudaErrorECCUncorrectable:
    case cudaErrorUnknown:
      return true;
    default:
      return false;
  }
}

std::atomic<cudaError_t> failed_with = cudaSuccess;

// For tests: how many of what allocates are still to succeed before one fails; 0: nothing fails.
std::atomic<int64_t> allocations_left = 0;
bool fails_now() { return allocations_left.load(std::memory_order_relaxed) > 0 && allocations_left.fetch_sub(1) == 1; }
template <class Call>
cudaError_t attempt(Call call) {
  return fails_now() ? cudaErrorMemoryAllocation : call();
}

}  // namespace

Status check(cudaError_t result, const char* what) {
  if (result == cudaSuccess) [[likely]]
    return {};
  cudaGetLastError();
  if (result == cudaErrorMemoryAllocation) return error(ErrorCode::kOutOfMemory, "{}: the device has no memory left", what);
  if (is_sticky(result)) {
    cudaError_t none = cudaSuccess;
    if (!failed_with.compare_exchange_strong(none, result)) return usable();
    return error(ErrorCode::kDevice, "{}: {} ({}); the device cannot be used by this process any more, start it again", what,
                 cudaGetErrorString(result), cudaGetErrorName(result));
  }
  return error(ErrorCode::kDevice, "{}: {} ({})", what, cudaGetErrorString(result), cudaGetErrorName(result));
}

Status usable() {
  const cudaError_t result = failed_with.load(std::memory_order_relaxed);
  if (result == cudaSuccess) [[likely]]
    return {};
  return error(ErrorCode::kDevice, "the device failed before ({}); start the process again", cudaGetErrorName(result));
}

Result<DeviceInfo> current_device() {
  int count = 0;
  const cudaError_t result = cudaGetDeviceCount(&count);
  if (result != cudaSuccess || count == 0) {
    cudaGetLastError();
    return error(ErrorCode::kDevice, "there is no usable NVIDIA GPU: {}",
                 result == cudaSuccess || result == cudaErrorNoDevice ? "the driver finds none"
                 : result == cudaErrorInsufficientDriver              ? "no driver, or one older than CUDA 13"
                                                                      : cudaGetErrorString(result));
  }
  DeviceInfo info;
  CAMEO_TRY(check(cudaGetDevice(&info.ordinal), "cudaGetDevice"));
  cudaDeviceProp properties;
  CAMEO_TRY(check(cudaGetDeviceProperties(&properties, info.ordinal), "cudaGetDeviceProperties"));
  info.name = properties.name;
  info.major = properties.major;
  info.minor = properties.minor;
  info.multiprocessors = properties.multiProcessorCount;
#ifdef CAMEO_HIP
  info.shared_per_block = static_cast<int>(properties.sharedMemPerBlock);
  // "gfx90a:sramecc+:xnack-"
  info.gfx = static_cast<int>(std::strtol(properties.gcnArchName + 3, nullptr, 16));
#else
  info.shared_per_block = static_cast<int>(properties.sharedMemPerBlockOptin);
#endif
  info.l2_bytes = static_cast<size_t>(properties.l2CacheSize);
  info.total_bytes = properties.totalGlobalMem;
  CAMEO_TRY(check(cudaDriverGetVersion(&info.driver_version), "cudaDriverGetVersion"));
  CAMEO_TRY(check(cudaRuntimeGetVersion(&info.runtime_version), "cudaRuntimeGetVersion"));
  return info;
}

Result<Stream> Stream::create(int rank) {
  cudaStream_t stream = nullptr;
  int least = 0, greatest = 0;
  if (rank > 0) CAMEO_TRY(check(cudaDeviceGetStreamPriorityRange(&least, &greatest), "cudaDeviceGetStreamPriorityRange"));
  const int priority = std::max(least - rank, greatest);
  CAMEO_TRY(check(attempt([&] { return cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking, rank > 0 ? priority : 0); }),
                  "cudaStreamCreate"));
  return Stream(stream);
}
Stream::~Stream() {
  if (stream_) cudaStreamDestroy(stream_);
}
Status synchronize(cudaStream_t stream) { return check(cudaStreamSynchronize(stream), "waiting for the device"); }
Result<bool> finished(cudaStream_t stream) {
  const cudaError_t result = cudaStreamQuery(stream);
  if (result == cudaErrorNotReady) {
    cudaGetLastError();
    return false;
  }
  CAMEO_TRY(check(result, "the device's work"));
  return true;
}

Result<Event> Event::create() {
  cudaEvent_t event = nullptr;
  CAMEO_TRY(check(attempt([&] { return cudaEventCreate(&event); }), "cudaEventCreate"));
  return Event(event);
}
Event::~Event() {
  if (event_) cudaEventDestroy(event_);
}
Status Event::record(cudaStream_t stream) { return check(cudaEventRecord(event_, stream), "cudaEventRecord"); }
Status Event::make_wait(cudaStream_t stream) const { return check(cudaStreamWaitEvent(stream, event_, 0), "cudaStreamWaitEvent"); }
Status Event::wait() const { return check(cudaEventSynchronize(event_), "waiting for the device"); }
Result<double> Event::since(const Event& start) const {
  float milliseconds = 0;
  CAMEO_TRY(check(cudaEventElapsedTime(&milliseconds, start.event_, event_), "cudaEventElapsedTime"));
  return milliseconds;
}

Status CapturedGraph::begin(cudaStream_t stream) {
  return check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
}
Result<CapturedGraph> CapturedGraph::end(cudaStream_t stream, Status status, bool ranked) {
  cudaGraph_t graph = nullptr;
  const cudaError_t ended = cudaStreamEndCapture(stream, &graph);
  struct Destroy {
    cudaGraph_t graph;
    ~Destroy() {
      if (graph) cudaGraphDestroy(graph);
    }
  } destroy{graph};
  if (!status.ok()) {
    cudaGetLastError();
    return std::move(status).error();
  }
  CAMEO_TRY(check(ended, "cudaStreamEndCapture"));
  cudaGraphExec_t exec = nullptr;
  CAMEO_TRY(check(attempt([&] { return cudaGraphInstantiate(&exec, graph, ranked ? cudaGraphInstantiateFlagUseNodePriority : 0); }),
                  "cudaGraphInstantiate"));
  return CapturedGraph(exec);
}
CapturedGraph::~CapturedGraph() {
  if (exec_) cudaGraphExecDestroy(exec_);
}
Status CapturedGraph::launch(cudaStream_t stream) const { return check(cudaGraphLaunch(exec_, stream), "cudaGraphLaunch"); }

MemoryPool::~MemoryPool() { release_free(); }

MemoryPool::Block::~Block() {
  if (data_) pool_->give_back(data_, bytes_);
}

void MemoryPool::give_back(void* data, size_t bytes) {
  const std::lock_guard lock(mutex_);
  free_.emplace(bytes, data);
}

void MemoryPool::trim() {
  const std::lock_guard lock(mutex_);
  release_free();
}

void MemoryPool::release_free() {
  for (const auto& [bytes, data] : free_) {
    cudaFree(data);
    held_ -= bytes;
  }
  free_.clear();
}

Result<MemoryPool::Block> MemoryPool::allocate(size_t bytes) {
  if (bytes > PTRDIFF_MAX) return error(ErrorCode::kOutOfMemory, "{} bytes of device memory were asked for", bytes);
  bytes = (std::max<size_t>(bytes, 1) + kBlockAlignment - 1) / kBlockAlignment * kBlockAlignment;
  const std::lock_guard lock(mutex_);
  Block block;
  const auto take = [&](void* data, size_t size) {
    block.pool_ = shared_from_this();
    block.data_ = data;
    block.bytes_ = size;
  };
  if (const auto it = free_.lower_bound(bytes); it != free_.end() && it->first / 2 <= bytes) {
    take(it->second, it->first);
    free_.erase(it);
    return block;
  }
  if (limit_ > 0 && held_ + bytes > limit_) release_free();
  if (limit_ > 0 && held_ + bytes > limit_)
    return error(ErrorCode::kOutOfMemory, "{} bytes of device memory are needed where {} of the limit of {} are in use", bytes,
                 held_.load(), limit_);
  void* data = nullptr;
  const bool fails = fails_now();
  const auto malloc = [&] { return fails ? cudaErrorMemoryAllocation : cudaMalloc(&data, bytes); };
  cudaError_t result = malloc();
  if (result == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    release_free();
    result = malloc();
  }
  if (result == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    size_t free_bytes = 0, total = 0;
    cudaMemGetInfo(&free_bytes, &total);
    return error(ErrorCode::kOutOfMemory, "{} bytes of device memory are needed; {} of {} are free", bytes, free_bytes, total);
  }
  CAMEO_TRY(check(result, "cudaMalloc"));
  held_ += bytes;
  take(data, bytes);
  return block;
}

Result<PinnedBlock> PinnedBlock::allocate(size_t bytes) {
  PinnedBlock block;
  const cudaError_t result = attempt([&] { return cudaHostAlloc(&block.data_, std::max<size_t>(bytes, 1), cudaHostAllocPortable); });
  if (result == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    return error(ErrorCode::kOutOfMemory, "no {} bytes of page-locked host memory", bytes);
  }
  CAMEO_TRY(check(result, "cudaHostAlloc"));
  block.bytes_ = bytes;
  return block;
}
PinnedBlock::~PinnedBlock() {
  if (data_) cudaFreeHost(data_);
}

Result<Registration> Registration::make(void* data, size_t bytes) {
  CAMEO_TRY(check(attempt([&] { return cudaHostRegister(data, bytes, cudaHostRegisterDefault); }), "cudaHostRegister"));
  return Registration(data);
}
Registration::~Registration() {
  if (data_) cudaHostUnregister(data_);
}

Status copy(void* to, const void* from, size_t bytes, cudaStream_t stream) {
  if (bytes == 0) return {};
  return check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream), "copying between host and device");
}
Status fill(void* to, int byte, size_t bytes, cudaStream_t stream) {
  if (bytes == 0) return {};
  return check(cudaMemsetAsync(to, byte, bytes, stream), "cudaMemset");
}
bool is_device_memory(const void* address) {
  cudaPointerAttributes attributes;
  if (cudaPointerGetAttributes(&attributes, address) != cudaSuccess) {
    cudaGetLastError();
    return false;
  }
  return attributes.type == cudaMemoryTypeDevice || attributes.type == cudaMemoryTypeManaged;
}

Result<Module> Module::load(const void* image) {
  cudaLibrary_t library = nullptr;
  CAMEO_TRY(check(attempt([&] { return cudaLibraryLoadData(&library, image, nullptr, nullptr, 0, nullptr, nullptr, 0); }),
                  "loading a compiled kernel"));
  return Module(library);
}
Module::~Module() {
  if (library_) cudaLibraryUnload(library_);
}
Result<cudaKernel_t> Module::kernel(const char* name) const {
  cudaKernel_t kernel = nullptr;
  CAMEO_TRY(check(cudaLibraryGetKernel(&kernel, library_, name), "finding a compiled kernel"));
  return kernel;
}

Status launch(cudaKernel_t kernel, const KernelShape& shape, void** arguments, cudaStream_t stream) {
  cudaLaunchConfig_t config = {};
  config.gridDim = {shape.grid[0], shape.grid[1], shape.grid[2]};
  config.blockDim = {shape.block[0], shape.block[1], shape.block[2]};
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = stream;
#ifndef CAMEO_HIP
  cudaLaunchAttribute attribute;
  if (shape.dependent) {
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
    config.attrs = &attribute;
    config.numAttrs = 1;
  }
#endif
  return check(cudaLaunchKernelExC(&config, reinterpret_cast<const void*>(kernel), arguments), "launching a kernel");
}

}  // namespace cameo::cuda

// Makes the n-th allocation from now on fail (0: none); gives how many were still to succeed.
extern "C" __attribute__((visibility("default"))) int64_t cameo_cuda_fail_allocation(int64_t n) {
  return cameo::cuda::allocations_left.exchange(n);
}
