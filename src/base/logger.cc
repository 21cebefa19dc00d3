#include "cameo/logger.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "cameo/allocator.h"
#include "cameo/version.h"

namespace cameo {
namespace {

class HeapAllocator final : public Allocator {
 public:
  void* allocate(size_t bytes, size_t alignment) noexcept override {
    if (bytes > SIZE_MAX - alignment) return nullptr;
    return std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  }
  void deallocate(void* memory, size_t) noexcept override { std::free(memory); }
};

}  // namespace

void StderrLogger::log(Severity severity, std::string_view message) noexcept {
  if (severity > least_) return;
  constexpr const char* kNames[] = {"error", "warning", "info", "verbose"};
  // One call a line, so that lines of several threads do not mix.
  std::fprintf(stderr, "[cameo] %s: %.*s\n", kNames[static_cast<int>(severity)], static_cast<int>(message.size()), message.data());
}

Logger& default_logger() {
  static StderrLogger logger;
  return logger;
}

Allocator& default_allocator() {
  static HeapAllocator allocator;
  return allocator;
}

const char* version() { return CAMEO_VERSION; }

}  // namespace cameo
