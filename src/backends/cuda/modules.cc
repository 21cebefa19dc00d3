#include "backends/cuda/modules.h"

#include <vector>

#include "backends/cuda/cubin_cache.h"
#include "backends/cuda/hip/rtc.h"
#ifndef CAMEO_HIP
#include "backends/cuda/libraries.h"
#endif

namespace cameo::cuda {

#ifdef CAMEO_HIP

Result<std::string> compile(const std::string& source, int arch) { return hip::compile(source, fmt::format("gfx{:x}", arch)); }

#else

Result<std::string> compile(const std::string& source, int arch) {
  CAMEO_ASSIGN(const Nvrtc* nvrtc, Nvrtc::get());
  nvrtcProgram program = nullptr;
  if (const auto made = nvrtc->nvrtcCreateProgram(&program, source.c_str(), "kernel.cu", 0, nullptr, nullptr); made != NVRTC_SUCCESS)
    return error(ErrorCode::kDevice, "NVRTC: {}", nvrtc->nvrtcGetErrorString(made));
  struct Destroy {
    const Nvrtc* nvrtc;
    nvrtcProgram program;
    ~Destroy() { nvrtc->nvrtcDestroyProgram(&program); }
  } destroy{nvrtc, program};
  const std::string target = fmt::format("--gpu-architecture=sm_{}", arch);
  const char* options[] = {target.c_str(), "--std=c++17", "--fmad=true", "-default-device"};
  const auto result = nvrtc->nvrtcCompileProgram(program, std::size(options), options);
  if (result != NVRTC_SUCCESS) {
    size_t size = 0;
    nvrtc->nvrtcGetProgramLogSize(program, &size);
    std::string log(size, '\0');
    nvrtc->nvrtcGetProgramLog(program, log.data());
    return error(ErrorCode::kInternal, "a generated kernel does not compile ({}): {}\n{}", nvrtc->nvrtcGetErrorString(result), log.c_str(),
                 source);
  }
  size_t size = 0;
  if (nvrtc->nvrtcGetCUBINSize(program, &size) != NVRTC_SUCCESS || size == 0)
    return error(ErrorCode::kInternal, "NVRTC made no code for sm_{}", arch);
  std::string image(size, '\0');
  nvrtc->nvrtcGetCUBIN(program, image.data());
  return image;
}

#endif

Result<cudaKernel_t> Modules::kernel(const std::string& source, const char* name) {
  const std::lock_guard lock(mutex_);
  if (const auto it = entries_.find(source); it != entries_.end()) return it->second.kernel;
  std::string image = cubin_cache::read(source, arch_);
  if (image.empty()) {
    CAMEO_ASSIGN(image, compile(source, arch_));
    cubin_cache::write(source, arch_, image);
  }
  CAMEO_ASSIGN(Module module, Module::load(image.data()));
  CAMEO_ASSIGN(cudaKernel_t kernel, module.kernel(name));
  entries_.emplace(source, Entry{std::move(module), kernel});
  return kernel;
}

Status Modules::check(const std::string& source) {
  const std::lock_guard lock(mutex_);
  if (checked_.count(source)) return {};
  if (amd_.empty()) CAMEO_TRY(compile(source, arch_));
  for (const std::string& architecture : amd_) CAMEO_TRY(hip::compile(source, architecture));
  checked_.insert(source);
  return {};
}

}  // namespace cameo::cuda
