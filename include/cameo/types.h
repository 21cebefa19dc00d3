// Element types and shapes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "cameo/error.h"
#include "cameo/export.h"

namespace cameo {

// Element types. The numbers are those of ONNX's TensorProto.DataType, and part of the C ABI.
// An element of a 4-bit or 2-bit type takes one byte in memory: the value in the low bits, sign-extended
// for the signed types. (ONNX files pack them; Cameo unpacks them when it reads a file.)
enum class DType : uint8_t {
  kUndefined = 0,
  kFloat32 = 1,
  kUint8 = 2,
  kInt8 = 3,
  kUint16 = 4,
  kInt16 = 5,
  kInt32 = 6,
  kInt64 = 7,
  kString = 8,
  kBool = 9,
  kFloat16 = 10,
  kFloat64 = 11,
  kUint32 = 12,
  kUint64 = 13,
  kComplex64 = 14,
  kComplex128 = 15,
  kBfloat16 = 16,
  kFloat8E4M3FN = 17,
  kFloat8E4M3FNUZ = 18,
  kFloat8E5M2 = 19,
  kFloat8E5M2FNUZ = 20,
  kUint4 = 21,
  kInt4 = 22,
  kFloat4E2M1 = 23,
  kFloat8E8M0 = 24,
  kUint2 = 25,
  kInt2 = 26,
};
inline constexpr int kNumDTypes = 27;

// Whether the number names a type of the list above (kUndefined excluded).
CAMEO_API bool is_valid_dtype(int64_t number);
// "float32", "int4", …
CAMEO_API std::string_view dtype_name(DType type);
// The type of a name as dtype_name writes it; kUndefined if there is none.
CAMEO_API DType dtype_from_name(std::string_view name);
// Bytes an element takes in memory; for kString sizeof(std::string), for kUndefined 0.
CAMEO_API size_t dtype_size(DType type);
// Bits an element takes in an ONNX file (4 for kInt4, 2 for kUint2, …); 0 for kString and kUndefined.
CAMEO_API int dtype_bits(DType type);

// The extents of a tensor, outermost first; {} is a scalar. Up to kInline dimensions are kept without
// an allocation. An extent is never negative in a tensor that exists.
class CAMEO_API Dims {
 public:
  static constexpr size_t kInline = 8;

  Dims() = default;
  Dims(std::initializer_list<int64_t> dims) : Dims(std::span<const int64_t>(dims.begin(), dims.size())) {}
  explicit Dims(std::span<const int64_t> dims) { assign(dims); }
  Dims(size_t rank, int64_t value) {
    resize(rank);
    for (size_t i = 0; i < rank; ++i) data()[i] = value;
  }
  Dims(const Dims& other) { assign(other.span()); }
  Dims(Dims&& other) noexcept { swap(other); }
  Dims& operator=(const Dims& other) {
    if (this != &other) assign(other.span());
    return *this;
  }
  Dims& operator=(Dims&& other) noexcept {
    swap(other);
    return *this;
  }

  size_t rank() const { return rank_; }
  size_t size() const { return rank_; }
  bool empty() const { return rank_ == 0; }
  int64_t* data() { return heap_ ? heap_.get() : inline_; }
  const int64_t* data() const { return heap_ ? heap_.get() : inline_; }
  int64_t& operator[](size_t i) { return data()[i]; }
  int64_t operator[](size_t i) const { return data()[i]; }
  int64_t* begin() { return data(); }
  int64_t* end() { return data() + rank_; }
  const int64_t* begin() const { return data(); }
  const int64_t* end() const { return data() + rank_; }
  int64_t back() const { return data()[rank_ - 1]; }
  std::span<const int64_t> span() const { return {data(), rank_}; }

  void push_back(int64_t value) {
    resize(rank_ + 1);
    data()[rank_ - 1] = value;
  }
  void insert(size_t at, int64_t value);
  void erase(size_t at);
  void resize(size_t rank);  // new extents are 0
  void assign(std::span<const int64_t> dims);
  void swap(Dims& other) noexcept;

  // The product; of {} it is 1. Only for dims that checked_num_elements accepted.
  int64_t num_elements() const {
    int64_t n = 1;
    for (int64_t d : span()) n *= d;
    return n;
  }
  // The product, or an error when an extent is negative or the product is 2^62 or more.
  Result<int64_t> checked_num_elements() const;

  CAMEO_API friend bool operator==(const Dims& a, const Dims& b);
  // "1x3x224x224", "scalar"
  std::string to_string() const;

 private:
  size_t rank_ = 0;
  size_t heap_capacity_ = 0;
  int64_t inline_[kInline] = {};
  std::unique_ptr<int64_t[]> heap_;
};

}  // namespace cameo
