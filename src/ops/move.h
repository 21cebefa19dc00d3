// Moving elements without looking at them: copies, strided copies, and the inference steps that such operators share.
#pragma once

#include <cstddef>

#include "ops/checks.h"
#include "ops/op.h"
#include "ops/shapes.h"

namespace cameo::ops {

// Operators that make a rank out of numbers in a model refuse more dimensions than this.
inline constexpr size_t kMaxRank = 64;

// The address of an element, counted in elements from the first.
inline std::byte* address(const Tensor& t, int64_t offset) {
  return static_cast<std::byte*>(t.raw()) + offset * static_cast<int64_t>(dtype_size(t.dtype()));
}

// The product of extents [first, last).
inline int64_t product(const Dims& dims, size_t first, size_t last) {
  int64_t n = 1;
  for (size_t i = first; i < last; ++i) n *= dims[i];
  return n;
}

// to[i] = from[i]; nothing when both are the same memory.
void copy_elements(DType type, const void* from, void* to, int64_t count);
// to[i] = *value
void fill_elements(DType type, const void* value, void* to, int64_t count);
// to[sum(i * to_strides)] = from[sum(i * from_strides)] for all indices i of `dims`. Strides count elements; those of
// `from` may be 0 or negative.
void copy_strided(DType type, const Dims& dims, const void* from, const Dims& from_strides, void* to, const Dims& to_strides);

// reference() of operators whose output has the elements of input 0 in the same order.
Status copy_input(KernelContext& context);

// An index list (int32 or int64) as int64, negative entries counted from `extent`; an error for those out of
// [-extent, extent).
Status read_indices(const Tensor& indices, int64_t extent, std::span<int64_t> out);

// The element type that an attribute names by its ONNX number; an error if there is none or it is not allowed.
Result<DType> dtype_of_attribute(int64_t number, TypeSet allowed);

// The first element of an int32 or int64 tensor.
Result<int64_t> read_int(const Tensor& t, const char* what);

inline ir::Type tensor_type(DType dtype, std::optional<ir::Shape> shape) {
  return {ir::Type::Kind::kTensor, dtype, std::move(shape), nullptr};
}
// How many elements an input of rank 1 has, when that is known now.
std::optional<int64_t> list_length(const InferContext& context, size_t i);

}  // namespace cameo::ops
