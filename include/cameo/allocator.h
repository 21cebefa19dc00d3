// Where Cameo's working memory comes from.
#pragma once

#include <cstddef>

#include "cameo/export.h"

namespace cameo {

// Implement it to give contexts memory of your own (a pool, huge pages, a limit). Called from several
// threads at once when several contexts share it.
class CAMEO_API Allocator {
 public:
  virtual ~Allocator() = default;
  // At least `bytes` bytes at a multiple of `alignment` (a power of two), or null when there is none.
  virtual void* allocate(size_t bytes, size_t alignment) noexcept = 0;
  // Takes back what allocate() gave, with the same `bytes`.
  virtual void deallocate(void* memory, size_t bytes) noexcept = 0;
};

// The C++ heap.
CAMEO_API Allocator& default_allocator();

}  // namespace cameo
