// What everything on one GPU shares, and the weights of one model in its memory.
#pragma once

#ifndef CAMEO_HIP
#include <cublasLt.h>
#include <cudnn.h>
#endif

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "backends/cuda/modules.h"
#include "backends/cuda/runtime.h"
#include "backends/cuda/tuning.h"
#include "cameo/tensor.h"

namespace cameo::cuda {

class Device {
 public:
  // The GPU that the calling thread uses.
  static Result<std::unique_ptr<Device>> open();
  // None: kernels are compiled for that architecture and not loaded, nothing can run. For tests.
  // With `amd`, for these architectures of AMD instead ("gfx90a").
  static std::unique_ptr<Device> without_gpu(int arch, std::vector<std::string> amd = {});
  ~Device();

  const DeviceInfo& info() const { return info_; }
  bool has_gpu() const { return has_gpu_; }
  // Whether a kernel may start while the one before it runs (programmatic dependent launch).
  bool dependent_launch() const { return dependent_launch_; }
  Result<cudaKernel_t> kernel(const std::string& source, const char* name);
#ifndef CAMEO_HIP
  Result<cublasLtHandle_t> cublaslt();
  // A handle is used by one thread at a time: its owner holds the lock while it sets the stream and calls.
  Result<cudnnHandle_t> cudnn();
  std::mutex& cudnn_mutex() { return cudnn_mutex_; }
#endif

  // Where work runs that is done once: copies of weights, measurements.
  cudaStream_t stream() const { return stream_ ? stream_->get() : nullptr; }
  const std::shared_ptr<MemoryPool>& pool() const { return pool_; }
  std::mutex& mutex() { return mutex_; }
  // The fastest choice found for a problem, by its description; -1 when none is known and it is to be measured. Where the thread's
  // Tuning measures nothing, 0 stands for what is not known: what a heuristic has first.
  int known_choice(const std::string& problem);
  void remember_choice(const std::string& problem, int choice);
  // What is known from elsewhere, and of this device: what was measured here before is not replaced.
  void add_choices(const std::map<std::string, int>& choices);
  // Keeps what was measured since the last call in the user's folder of compiled kernels, for other processes.
  void save_choices();
  // What measurements depend on besides the problem: GPU, driver, Cameo's version.
  const std::string& tuning_key() const { return tuning_key_; }

 private:
  Device(DeviceInfo info, bool has_gpu, std::vector<std::string> amd = {})
      : info_(std::move(info)),
        has_gpu_(has_gpu),
#ifdef CAMEO_HIP
        dependent_launch_(false),
#else
        dependent_launch_(amd.empty() && info_.arch() >= 90),
#endif
        modules_(info_.arch(), std::move(amd)),
        pool_(std::make_shared<MemoryPool>()),
        tuning_key_(make_tuning_key(info_)) {
  }
  static std::string make_tuning_key(const DeviceInfo& info);

  const DeviceInfo info_;
  const bool has_gpu_;
  const bool dependent_launch_;
  Modules modules_;
  std::shared_ptr<MemoryPool> pool_;
  std::unique_ptr<Stream> stream_;
  std::mutex mutex_, handle_mutex_, cudnn_mutex_, choice_mutex_;
  std::map<std::string, int> choices_;
  bool choices_changed_ = false;
  const std::string tuning_key_;
#ifndef CAMEO_HIP
  cublasLtHandle_t cublaslt_ = nullptr;
  cudnnHandle_t cudnn_ = nullptr;
#endif
};

// Constants in device memory: each form of a tensor once, however many steps read it.
class WeightStore {
 public:
  explicit WeightStore(Device& device, int level = 3, bool deterministic = false, bool error_on_miss = false)
      : device_(device), tuning_(level, deterministic, error_on_miss) {}
  // How the model's kernels are chosen.
  Tuning& tuning() { return tuning_; }
  using Fill = std::function<Status(void* to)>;
  // `key` names tensor and form; `fill` writes the memory and waits until that is done.
  Result<std::shared_ptr<const MemoryPool::Block>> get(const std::string& key, size_t bytes, const Fill& fill);
  size_t bytes() const { return bytes_; }
  void clear() {
    const std::lock_guard lock(mutex_);
    blocks_.clear();
    bytes_ = 0;
  }

 private:
  Device& device_;
  Tuning tuning_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const MemoryPool::Block>> blocks_;
  size_t bytes_ = 0;
};

}  // namespace cameo::cuda
