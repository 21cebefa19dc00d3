#include "cameo/tensor.h"

#include <cstdlib>
#include <cstring>

#include "base/error.h"

namespace cameo {
namespace {

constexpr size_t kAlignment = 64;

// Zeroed memory for n bytes, or null. calloc leaves untouched pages to the kernel, so a large tensor costs nothing until used.
std::shared_ptr<void> allocate_bytes(size_t n) {
  if (n > SIZE_MAX - 2 * kAlignment) return nullptr;
  void* block = std::calloc(1, n + kAlignment);
  if (block == nullptr) return nullptr;
  const auto address = (reinterpret_cast<uintptr_t>(block) + kAlignment - 1) & ~(uintptr_t{kAlignment} - 1);
  return std::shared_ptr<void>(reinterpret_cast<void*>(address), [block](void*) { std::free(block); });
}

}  // namespace

Result<Tensor> Tensor::allocate(DType type, const Dims& dims) {
  if (type == DType::kUndefined) return error(ErrorCode::kInvalidArgument, "a tensor needs an element type");
  CAMEO_ASSIGN(const int64_t count, dims.checked_num_elements());
  if (type == DType::kString) {
    if (static_cast<size_t>(count) > PTRDIFF_MAX / sizeof(std::string))
      return error(ErrorCode::kOutOfMemory, "no memory for a string tensor of shape {}", dims.to_string());
    auto strings = std::make_shared<std::vector<std::string>>(static_cast<size_t>(count));
    void* data = strings->data();
    return Tensor(type, dims, data, std::move(strings));
  }
  size_t bytes = 0;
  if (__builtin_mul_overflow(static_cast<size_t>(count), dtype_size(type), &bytes) || bytes > PTRDIFF_MAX)
    return error(ErrorCode::kOutOfMemory, "a {} tensor of shape {} is larger than the address space", dtype_name(type), dims.to_string());
  auto memory = allocate_bytes(bytes);
  if (memory == nullptr)
    return error(ErrorCode::kOutOfMemory, "no memory for a {} tensor of shape {} ({} bytes)", dtype_name(type), dims.to_string(), bytes);
  void* data = memory.get();
  return Tensor(type, dims, data, std::move(memory));
}

Result<Tensor> Tensor::clone() const {
  CAMEO_ASSIGN(Tensor copy, allocate(dtype_, dims_));
  if (dtype_ == DType::kString) {
    for (int64_t i = 0; i < num_elements(); ++i) copy.data<std::string>()[i] = data<std::string>()[i];
  } else if (num_bytes() > 0) {
    std::memcpy(copy.raw(), raw(), num_bytes());
  }
  return copy;
}

}  // namespace cameo
