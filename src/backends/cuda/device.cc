#include "backends/cuda/device.h"

#include "backends/cuda/libraries.h"

namespace cameo::cuda {

Result<std::unique_ptr<Device>> Device::open() {
  CAMEO_TRY(usable());
  CAMEO_ASSIGN(DeviceInfo info, current_device());
  std::unique_ptr<Device> device(new Device(std::move(info), true));
  CAMEO_ASSIGN(Stream stream, Stream::create());
  device->stream_ = std::make_unique<Stream>(std::move(stream));
  return device;
}

std::unique_ptr<Device> Device::without_gpu(int arch) {
  DeviceInfo info;
  info.major = arch / 10;
  info.minor = arch % 10;
  info.multiprocessors = 132;
  info.shared_per_block = 227 * 1024;
  return std::unique_ptr<Device>(new Device(std::move(info), false));
}

Device::~Device() {
  if (cublaslt_) (*CublasLt::get())->cublasLtDestroy(cublaslt_);
  if (cudnn_) (*Cudnn::get())->cudnnDestroy(cudnn_);
}

Result<cudaKernel_t> Device::kernel(const std::string& source, const char* name) {
  if (has_gpu_) return modules_.kernel(source, name);
  CAMEO_TRY(modules_.check(source));
  return cudaKernel_t{};
}

Result<cublasLtHandle_t> Device::cublaslt() {
  if (!has_gpu_) return cublasLtHandle_t{};
  CAMEO_ASSIGN(const CublasLt* library, CublasLt::get());
  const std::lock_guard lock(handle_mutex_);
  if (!cublaslt_)
    if (const auto status = library->cublasLtCreate(&cublaslt_); status != CUBLAS_STATUS_SUCCESS)
      return error(ErrorCode::kDevice, "cublasLtCreate: {}", library->cublasLtGetStatusName(status));
  return cublaslt_;
}

Result<cudnnHandle_t> Device::cudnn() {
  if (!has_gpu_) return cudnnHandle_t{};
  CAMEO_ASSIGN(const Cudnn* library, Cudnn::get());
  const std::lock_guard lock(handle_mutex_);
  if (!cudnn_)
    if (const auto status = library->cudnnCreate(&cudnn_); status != CUDNN_STATUS_SUCCESS)
      return error(ErrorCode::kDevice, "cudnnCreate: {}", library->cudnnGetErrorString(status));
  return cudnn_;
}

int Device::known_choice(const std::string& problem) {
  const std::lock_guard lock(choice_mutex_);
  const auto it = choices_.find(problem);
  return it == choices_.end() ? -1 : it->second;
}
void Device::remember_choice(const std::string& problem, int choice) {
  const std::lock_guard lock(choice_mutex_);
  choices_[problem] = choice;
}

Result<std::shared_ptr<const MemoryPool::Block>> WeightStore::get(const std::string& key, size_t bytes, const Fill& fill) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto it = blocks_.find(key); it != blocks_.end()) return it->second;
  }
  // Not under the lock: making one form may ask for another.
  std::shared_ptr<MemoryPool::Block> block;
  if (device_.has_gpu()) {
    CAMEO_ASSIGN(MemoryPool::Block made, device_.pool()->allocate(bytes));
    block = std::make_shared<MemoryPool::Block>(std::move(made));
  } else {
    block = std::make_shared<MemoryPool::Block>();
  }
  CAMEO_TRY(fill(block->data()));
  const std::lock_guard lock(mutex_);
  const auto [it, is_new] = blocks_.emplace(key, std::move(block));
  if (is_new) bytes_ += bytes;
  return it->second;
}

}  // namespace cameo::cuda
