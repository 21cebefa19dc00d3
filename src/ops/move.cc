#include "ops/move.h"

#include <algorithm>
#include <cstring>

#include "ops/dispatch.h"

namespace cameo::ops {
namespace {

struct Loop {
  int64_t extent, from, to;
};

template <class T>
void copy_row(const Loop& loop, const T* from, T* to) {
  if (loop.from == 1 && loop.to == 1)
    std::copy_n(from, loop.extent, to);
  else if (loop.from == 0 && loop.to == 1)
    std::fill_n(to, loop.extent, *from);
  else
    for (int64_t i = 0; i < loop.extent; ++i) to[i * loop.to] = from[i * loop.from];
}

// Squares that fit the first-level cache, so that a transposition touches each cache line once.
template <class T>
void copy_blocks(const Loop& a, const Loop& b, const T* from, T* to) {
  constexpr int64_t kBlock = 16;
  for (int64_t i0 = 0; i0 < a.extent; i0 += kBlock)
    for (int64_t j0 = 0; j0 < b.extent; j0 += kBlock)
      for (int64_t i = i0, i1 = std::min(a.extent, i0 + kBlock); i < i1; ++i)
        for (int64_t j = j0, j1 = std::min(b.extent, j0 + kBlock); j < j1; ++j) to[i * a.to + j * b.to] = from[i * a.from + j * b.from];
}

template <class T>
void copy_loops(const Loop* loops, size_t count, const T* from, T* to) {
  if (count == 1) return copy_row(loops[0], from, to);
  if (count == 2 && loops[1].from != 1 && loops[0].from == 1) return copy_blocks(loops[0], loops[1], from, to);
  for (int64_t i = 0; i < loops->extent; ++i) copy_loops(loops + 1, count - 1, from + i * loops->from, to + i * loops->to);
}

// Drops extents of 1 and joins neighbours that are one loop for both sides.
size_t simplify(const Dims& dims, const Dims& from, const Dims& to, Loop* loops) {
  size_t count = 0;
  for (size_t i = 0; i < dims.rank(); ++i) {
    if (dims[i] == 1) continue;
    const Loop loop{dims[i], from[i], to[i]};
    if (count > 0 && loops[count - 1].from == loop.from * loop.extent && loops[count - 1].to == loop.to * loop.extent)
      loops[count - 1] = {loops[count - 1].extent * loop.extent, loop.from, loop.to};
    else
      loops[count++] = loop;
  }
  if (count == 0) loops[count++] = {1, 1, 1};
  return count;
}

}  // namespace

void copy_elements(DType type, const void* from, void* to, int64_t count) {
  if (from == to || count <= 0) return;
  if (type == DType::kString)
    std::copy_n(static_cast<const std::string*>(from), count, static_cast<std::string*>(to));
  else
    std::memcpy(to, from, static_cast<size_t>(count) * dtype_size(type));
}

void fill_elements(DType type, const void* value, void* to, int64_t count) {
  (void)dispatch_storage(type, "fill", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    std::fill_n(static_cast<T*>(to), std::max<int64_t>(count, 0), *static_cast<const T*>(value));
    return {};
  });
}

void copy_strided(DType type, const Dims& dims, const void* from, const Dims& from_strides, void* to, const Dims& to_strides) {
  for (int64_t extent : dims.span())
    if (extent == 0) return;
  constexpr size_t kInline = 16;
  Loop inline_loops[kInline];
  std::vector<Loop> more(dims.rank() > kInline ? dims.rank() : 0);
  Loop* loops = more.empty() ? inline_loops : more.data();
  const size_t count = simplify(dims, from_strides, to_strides, loops);
  // A transposition: the loop that is contiguous in `from` goes next to the innermost one.
  if (loops[count - 1].from != 1)
    for (size_t i = 0; i + 1 < count; ++i)
      if (loops[i].from == 1) {
        std::rotate(loops + i, loops + i + 1, loops + count - 1);
        break;
      }
  (void)dispatch_storage(type, "copy", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    copy_loops(loops, count, static_cast<const T*>(from), static_cast<T*>(to));
    return {};
  });
}

Status copy_input(KernelContext& c) {
  copy_elements(c.input(0).dtype(), c.input(0).raw(), c.output(0).raw(), c.output(0).num_elements());
  return {};
}

Status read_indices(const Tensor& indices, int64_t extent, std::span<int64_t> out) {
  const bool wide = indices.dtype() == DType::kInt64;
  for (size_t i = 0; i < out.size(); ++i) {
    const int64_t index = wide ? indices.data<int64_t>()[i] : indices.data<int32_t>()[i];
    if (index < -extent || index >= extent)
      return error(ErrorCode::kInvalidInput, "index {} at position {} is out of range; the extent is {}", index, i, extent);
    out[i] = index < 0 ? index + extent : index;
  }
  return {};
}

Result<DType> dtype_of_attribute(int64_t number, TypeSet allowed) {
  if (!is_valid_dtype(number)) return error(ErrorCode::kInvalidModel, "dtype is {}, which names no element type", number);
  const auto type = static_cast<DType>(number);
  if (!allowed.contains(type)) return error(ErrorCode::kInvalidModel, "dtype is {}; allowed: {}", dtype_name(type), allowed.to_string());
  return type;
}

Result<int64_t> read_int(const Tensor& t, const char* what) {
  if (t.num_elements() < 1) return error(ErrorCode::kInvalidInput, "{} has no element", what);
  return t.dtype() == DType::kInt64 ? t.data<int64_t>()[0] : t.data<int32_t>()[0];
}

std::optional<int64_t> list_length(const InferContext& c, size_t i) {
  if (!c.shape(i) || c.shape(i)->size() != 1 || !(*c.shape(i))[0].is_const()) return std::nullopt;
  return (*c.shape(i))[0].value();
}

}  // namespace cameo::ops
