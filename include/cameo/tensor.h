// Tensors in host memory.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cameo/export.h"
#include "cameo/types.h"

namespace cameo {

// A dense, row-major tensor: a type, extents and a pointer. Copying a Tensor copies the handle, not the
// elements; it either shares ownership of its memory or views memory that somebody else keeps alive.
// The elements of a kString tensor are std::string objects.
class CAMEO_API Tensor {
 public:
  Tensor() = default;

  // New memory, zeroed, 64-byte aligned. Fails with kOutOfMemory, or kInvalidArgument for bad extents.
  static Result<Tensor> allocate(DType type, const Dims& dims);
  // A view: the caller keeps `data` alive and big enough.
  static Tensor view(DType type, const Dims& dims, void* data) { return Tensor(type, dims, data, nullptr); }
  // A view whose memory lives as long as `owner`.
  static Tensor shared(DType type, const Dims& dims, void* data, std::shared_ptr<const void> owner) {
    return Tensor(type, dims, data, std::move(owner));
  }
  // A copy of the values given, e.g. Tensor::of<int64_t>({2}, {1, 3}).
  template <class T>
  static Tensor of(const Dims& dims, std::initializer_list<T> values) {
    return of(dims, std::span<const T>(values.begin(), values.size()));
  }
  template <class T>
  static Tensor of(const Dims& dims, std::span<const T> values);

  DType dtype() const { return dtype_; }
  const Dims& dims() const { return dims_; }
  size_t rank() const { return dims_.rank(); }
  int64_t dim(size_t axis) const { return dims_[axis]; }
  int64_t num_elements() const { return dims_.num_elements(); }
  size_t num_bytes() const { return static_cast<size_t>(num_elements()) * dtype_size(dtype_); }
  bool defined() const { return dtype_ != DType::kUndefined; }

  void* raw() const { return data_; }
  template <class T>
  T* data() const {
    return static_cast<T*>(data_);
  }
  template <class T>
  std::span<T> span() const {
    return {static_cast<T*>(data_), static_cast<size_t>(num_elements())};
  }

  // The same elements with other extents (of the same number of elements).
  Tensor reshaped(const Dims& dims) const { return Tensor(dtype_, dims, data_, owner_); }
  // A copy with memory of its own.
  Result<Tensor> clone() const;
  // What keeps the memory alive; empty for a plain view.
  const std::shared_ptr<const void>& owner() const { return owner_; }

 private:
  Tensor(DType type, const Dims& dims, void* data, std::shared_ptr<const void> owner)
      : dtype_(type), dims_(dims), data_(data), owner_(std::move(owner)) {}

  DType dtype_ = DType::kUndefined;
  Dims dims_;
  void* data_ = nullptr;
  std::shared_ptr<const void> owner_;
};

// The element type of a C++ type: dtype_of<float>() is kFloat32. Specialised for the plain C++ types.
template <class T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, float>)
    return DType::kFloat32;
  else if constexpr (std::is_same_v<T, double>)
    return DType::kFloat64;
  else if constexpr (std::is_same_v<T, int8_t>)
    return DType::kInt8;
  else if constexpr (std::is_same_v<T, int16_t>)
    return DType::kInt16;
  else if constexpr (std::is_same_v<T, int32_t>)
    return DType::kInt32;
  else if constexpr (std::is_same_v<T, int64_t>)
    return DType::kInt64;
  else if constexpr (std::is_same_v<T, uint8_t>)
    return DType::kUint8;
  else if constexpr (std::is_same_v<T, uint16_t>)
    return DType::kUint16;
  else if constexpr (std::is_same_v<T, uint32_t>)
    return DType::kUint32;
  else if constexpr (std::is_same_v<T, uint64_t>)
    return DType::kUint64;
  else if constexpr (std::is_same_v<T, bool>)
    return DType::kBool;
  else if constexpr (std::is_same_v<T, std::string>)
    return DType::kString;
  else
    return T::kDType;
}

template <class T>
Tensor Tensor::of(const Dims& dims, std::span<const T> values) {
  Tensor tensor = allocate(dtype_of<T>(), dims).value();
  for (size_t i = 0; i < values.size() && i < static_cast<size_t>(tensor.num_elements()); ++i) tensor.data<T>()[i] = values[i];
  return tensor;
}

}  // namespace cameo
