// Memory for temporaries of kernels: a stack that grows on the first run and is reused afterwards.
#pragma once

#include <vector>

#include "cameo/allocator.h"

namespace cameo::runtime {

class Scratch {
 public:
  explicit Scratch(Allocator& allocator) : allocator_(allocator) {}
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  // 64-byte aligned; throws std::bad_alloc.
  void* allocate(size_t bytes);

  // Everything allocated while a Scope lives is given back when it ends.
  class Scope {
   public:
    explicit Scope(Scratch& scratch) : scratch_(scratch), block_(scratch.block_), used_(scratch.used_) {}
    ~Scope() { scratch_.release(block_, used_); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Scratch& scratch_;
    size_t block_, used_;
  };

 private:
  struct Block {
    void* memory;
    size_t bytes;
  };
  void release(size_t block, size_t used);

  Allocator& allocator_;
  std::vector<Block> blocks_;
  size_t block_ = 0, used_ = 0;  // the block that is filled now, and how far
};

}  // namespace cameo::runtime
