#include "backends/cuda/hip/rtc.h"

#include <dlfcn.h>

namespace cameo::cuda::hip {
namespace {

// hiprtc.h's, of which these are all that is needed; a result of 0 is success.
struct Library {
  int (*create)(void** program, const char* source, const char* name, int headers, const char** texts, const char** names) = nullptr;
  int (*destroy)(void** program) = nullptr;
  int (*compile)(void* program, int options, const char** list) = nullptr;
  int (*log_size)(void* program, size_t* size) = nullptr;
  int (*log)(void* program, char* text) = nullptr;
  int (*code_size)(void* program, size_t* size) = nullptr;
  int (*code)(void* program, char* image) = nullptr;
};

template <class Function>
bool find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr;
}

Result<Library> load() {
  void* file = nullptr;
  for (const char* name : {"libhiprtc.so.6", "libhiprtc.so", "libamdhip64.so.5", "libamdhip64.so"})
    if (!file) file = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (!file) return error(ErrorCode::kUnsupported, "hipRTC is not found: neither libhiprtc nor libamdhip64 can be loaded");
  Library l;
  if (!find(file, "hiprtcCreateProgram", l.create) || !find(file, "hiprtcDestroyProgram", l.destroy) ||
      !find(file, "hiprtcCompileProgram", l.compile) || !find(file, "hiprtcGetProgramLogSize", l.log_size) ||
      !find(file, "hiprtcGetProgramLog", l.log) || !find(file, "hiprtcGetCodeSize", l.code_size) || !find(file, "hiprtcGetCode", l.code))
    return error(ErrorCode::kUnsupported, "the library of HIP has no hipRTC");
  return l;
}

}  // namespace

Result<std::string> compile(const std::string& source, const std::string& architecture) {
  static const Result<Library> loaded = load();
  if (!loaded.ok()) return loaded.error();
  const Library& l = *loaded;
  void* program = nullptr;
  if (l.create(&program, source.c_str(), "kernel.hip", 0, nullptr, nullptr) != 0)
    return error(ErrorCode::kDevice, "hipRTC takes no program");
  struct Destroy {
    const Library& l;
    void* program;
    ~Destroy() { l.destroy(&program); }
  } destroy{l, program};
  const std::string target = "--gpu-architecture=" + architecture;
  // One option alone: hipRTC 5.2 reads freed memory where there are more.
  const char* options[] = {target.c_str()};
  const int result = l.compile(program, 1, options);
  size_t size = 0;
  if (result != 0) {
    l.log_size(program, &size);
    std::string log(size, '\0');
    l.log(program, log.data());
    return error(ErrorCode::kInternal, "a generated kernel does not compile for {}: {}\n{}", architecture, log.c_str(), source);
  }
  if (l.code_size(program, &size) != 0 || size == 0) return error(ErrorCode::kInternal, "hipRTC made no code for {}", architecture);
  std::string image(size, '\0');
  l.code(program, image.data());
  return image;
}

}  // namespace cameo::cuda::hip
