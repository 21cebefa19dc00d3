#include "backends/cuda/device.h"

#include <charconv>
#include <fstream>

#include "backends/cuda/cubin_cache.h"
#ifndef CAMEO_HIP
#include "backends/cuda/libraries.h"
#endif
#include "backends/cuda/tuning.h"
#include "cameo/version.h"

namespace cameo::cuda {
namespace {

// "580.95.05" of "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build …".
std::string driver_release() {
  std::ifstream file("/proc/driver/nvidia/version");
  std::string line;
  std::getline(file, line);
  for (size_t at = line.find("  "); at != std::string::npos; at = line.find("  ", at + 1)) {
    const size_t begin = line.find_first_not_of(' ', at), end = line.find(' ', begin);
    if (begin != std::string::npos && line[begin] >= '0' && line[begin] <= '9') return line.substr(begin, end - begin);
  }
  return "";
}

// A line for each problem: the choice, a tab, the problem.
std::map<std::string, int> parse_choices(const std::string& text) {
  std::map<std::string, int> choices;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size()), tab = text.find('\t', at);
    int choice = -1;
    if (tab < end && std::from_chars(text.data() + at, text.data() + tab, choice).ec == std::errc() && choice >= 0)
      choices[text.substr(tab + 1, end - tab - 1)] = choice;
    at = end + 1;
  }
  return choices;
}

}  // namespace

std::string Device::make_tuning_key(const DeviceInfo& info) {
  return fmt::format("{}, sm_{}, {} multiprocessors, driver {} (CUDA {}.{}), Cameo {}", info.name, info.arch(), info.multiprocessors,
                     driver_release(), info.driver_version / 1000, info.driver_version % 1000 / 10, CAMEO_VERSION);
}

Result<std::unique_ptr<Device>> Device::open() {
  CAMEO_TRY(usable());
  CAMEO_ASSIGN(DeviceInfo info, current_device());
  std::unique_ptr<Device> device(new Device(std::move(info), true));
  CAMEO_ASSIGN(Stream stream, Stream::create());
  device->stream_ = std::make_unique<Stream>(std::move(stream));
  device->choices_ = parse_choices(cubin_cache::read("choices of " + device->tuning_key_, device->info_.arch()));
  return device;
}

std::unique_ptr<Device> Device::without_gpu(int arch, std::vector<std::string> amd) {
  DeviceInfo info;
  info.major = arch / 10;
  info.minor = arch % 10;
  info.multiprocessors = 132;
  info.shared_per_block = 227 * 1024;
  return std::unique_ptr<Device>(new Device(std::move(info), false, std::move(amd)));
}

#ifdef CAMEO_HIP

Device::~Device() = default;

#else

Device::~Device() {
  if (cublaslt_) (*CublasLt::get())->cublasLtDestroy(cublaslt_);
  if (cudnn_) (*Cudnn::get())->cudnnDestroy(cudnn_);
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

#endif

Result<cudaKernel_t> Device::kernel(const std::string& source, const char* name) {
  if (has_gpu_) return modules_.kernel(source, name);
  CAMEO_TRY(modules_.check(source));
  return cudaKernel_t{};
}

int Device::known_choice(const std::string& problem) {
  Tuning* tuning = Tuning::current();
  int choice = -1;
  if (!tuning || !tuning->deterministic()) {
    const std::lock_guard lock(choice_mutex_);
    if (const auto it = choices_.find(problem); it != choices_.end()) choice = it->second;
  }
  if (!tuning) return choice;
  if (choice < 0 && tuning->error_on_miss() && tuning->measures()) {
    tuning->missed(problem);
    return 0;
  }
  if (choice >= 0) tuning->chose(problem, choice);
  return choice < 0 && !tuning->measures() ? 0 : choice;
}

void Device::remember_choice(const std::string& problem, int choice) {
  if (Tuning* tuning = Tuning::current()) {
    if (!tuning->measures()) return;
    tuning->chose(problem, choice);
  }
  const std::lock_guard lock(choice_mutex_);
  choices_[problem] = choice;
  choices_changed_ = true;
}

void Device::add_choices(const std::map<std::string, int>& choices) {
  const std::lock_guard lock(choice_mutex_);
  choices_.insert(choices.begin(), choices.end());
}

void Device::save_choices() {
  const std::lock_guard lock(choice_mutex_);
  if (!std::exchange(choices_changed_, false)) return;
  pool_->trim();  // of what was measured over
  const std::string what = "choices of " + tuning_key_;
  // Other processes may have measured meanwhile.
  choices_.merge(parse_choices(cubin_cache::read(what, info_.arch())));
  std::string text;
  for (const auto& [problem, choice] : choices_)
    if (problem.find_first_of("\n\t") == std::string::npos) text += fmt::format("{}\t{}\n", choice, problem);
  cubin_cache::write(what, info_.arch(), text);
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
