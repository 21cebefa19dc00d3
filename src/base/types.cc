#include "cameo/types.h"

#include <algorithm>
#include <array>

#include "base/error.h"

namespace cameo {
namespace {

struct DTypeRow {
  std::string_view name;
  size_t size;
  int bits;
};

constexpr std::array<DTypeRow, kNumDTypes> kRows = {{
    {"undefined", 0, 0},      {"float32", 4, 32},   {"uint8", 1, 8},
    {"int8", 1, 8},           {"uint16", 2, 16},    {"int16", 2, 16},
    {"int32", 4, 32},         {"int64", 8, 64},     {"string", sizeof(std::string), 0},
    {"bool", 1, 8},           {"float16", 2, 16},   {"float64", 8, 64},
    {"uint32", 4, 32},        {"uint64", 8, 64},    {"complex64", 8, 64},
    {"complex128", 16, 128},  {"bfloat16", 2, 16},  {"float8e4m3fn", 1, 8},
    {"float8e4m3fnuz", 1, 8}, {"float8e5m2", 1, 8}, {"float8e5m2fnuz", 1, 8},
    {"uint4", 1, 4},          {"int4", 1, 4},       {"float4e2m1", 1, 4},
    {"float8e8m0", 1, 8},     {"uint2", 1, 2},      {"int2", 1, 2},
}};

const DTypeRow& row(DType type) {
  const auto index = static_cast<size_t>(type);
  return kRows[index < kRows.size() ? index : 0];
}

}  // namespace

std::string_view error_code_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return "invalid argument";
    case ErrorCode::kInvalidModel:
      return "invalid model";
    case ErrorCode::kInvalidPlan:
      return "invalid plan";
    case ErrorCode::kVersionMismatch:
      return "version mismatch";
    case ErrorCode::kInvalidInput:
      return "invalid input";
    case ErrorCode::kIo:
      return "file error";
    case ErrorCode::kUnsupported:
      return "unsupported";
    case ErrorCode::kOutOfMemory:
      return "out of memory";
    case ErrorCode::kDevice:
      return "device error";
    case ErrorCode::kCancelled:
      return "cancelled";
    case ErrorCode::kInternal:
      return "internal error";
  }
  return "unknown error";
}

bool is_valid_dtype(int64_t number) { return number > 0 && number < kNumDTypes; }
std::string_view dtype_name(DType type) { return row(type).name; }
size_t dtype_size(DType type) { return row(type).size; }
int dtype_bits(DType type) { return row(type).bits; }

DType dtype_from_name(std::string_view name) {
  for (size_t i = 1; i < kRows.size(); ++i)
    if (kRows[i].name == name) return static_cast<DType>(i);
  return DType::kUndefined;
}

void Dims::resize(size_t rank) {
  if (rank > kInline && rank > heap_capacity_) {
    const size_t capacity = std::max(rank, heap_capacity_ * 2);
    auto grown = std::make_unique<int64_t[]>(capacity);
    std::copy_n(data(), std::min(rank_, rank), grown.get());
    heap_ = std::move(grown);
    heap_capacity_ = capacity;
  }
  for (size_t i = rank_; i < rank; ++i) data()[i] = 0;
  rank_ = rank;
}

void Dims::assign(std::span<const int64_t> dims) {
  resize(dims.size());
  std::copy(dims.begin(), dims.end(), data());
}

void Dims::swap(Dims& other) noexcept {
  std::swap(rank_, other.rank_);
  std::swap(heap_capacity_, other.heap_capacity_);
  std::swap(inline_, other.inline_);
  std::swap(heap_, other.heap_);
}

void Dims::insert(size_t at, int64_t value) {
  push_back(value);
  std::rotate(begin() + at, end() - 1, end());
}

void Dims::erase(size_t at) {
  std::copy(begin() + at + 1, end(), begin() + at);
  resize(rank_ - 1);
}

Result<int64_t> Dims::checked_num_elements() const {
  constexpr int64_t kLimit = int64_t{1} << 62;
  int64_t product = 1;
  bool zero = false;
  for (int64_t d : span()) {
    if (d < 0) return error(ErrorCode::kInvalidInput, "shape {} has the negative extent {}", to_string(), d);
    zero |= d == 0;
    // Extents beside a zero count too: products of some of a tensor's extents, as strides are, never overflow.
    if (d != 0 && (__builtin_mul_overflow(product, d, &product) || product >= kLimit))
      return error(ErrorCode::kInvalidInput, "shape {} has too many elements (the limit is 2^62)", to_string());
  }
  return zero ? 0 : product;
}

bool operator==(const Dims& a, const Dims& b) { return std::equal(a.begin(), a.end(), b.begin(), b.end()); }

std::string Dims::to_string() const {
  if (empty()) return "scalar";
  std::string text;
  for (int64_t d : span()) {
    if (!text.empty()) text += 'x';
    text += std::to_string(d);
  }
  return text;
}

}  // namespace cameo
