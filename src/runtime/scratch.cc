#include "runtime/scratch.h"

#include <algorithm>
#include <cstdint>
#include <new>

namespace cameo::runtime {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kLeastBlock = size_t{1} << 16;

}  // namespace

Scratch::~Scratch() {
  for (const Block& b : blocks_) allocator_.deallocate(b.memory, b.bytes);
}

void* Scratch::allocate(size_t bytes) {
  if (bytes > SIZE_MAX / 4) throw std::bad_alloc();
  bytes = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  while (block_ < blocks_.size() && blocks_[block_].bytes - used_ < bytes) {
    ++block_;
    used_ = 0;
  }
  if (block_ == blocks_.size()) {
    const size_t size = std::max({bytes, kLeastBlock, blocks_.empty() ? 0 : 2 * blocks_.back().bytes});
    blocks_.reserve(blocks_.size() + 1);
    void* memory = allocator_.allocate(size, kAlignment);
    if (memory == nullptr) throw std::bad_alloc();
    blocks_.push_back({memory, size});
    used_ = 0;
  }
  void* memory = static_cast<std::byte*>(blocks_[block_].memory) + used_;
  used_ += bytes;
  return memory;
}

void Scratch::release(size_t block, size_t used) {
  block_ = block;
  used_ = used;
}

}  // namespace cameo::runtime
