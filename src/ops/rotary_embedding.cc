// RotaryEmbedding (ai.onnx 23): turns pairs (a, b) of each head by the angle of the token's position:
//   a' = cos * a - sin * b,  b' = sin * a + cos * b
// The pairs are the two halves of the first rotary_embedding_dim elements of a head (0: of all), or with `interleaved` its
// neighbours; the rest of the head stays. x is [batch, heads, length, size] or packed [batch, length, heads * size]. The caches are
// [positions, dim / 2], looked up by position_ids [batch, length], or without those [batch, length, dim / 2]. Each
// product and each sum is rounded to the type of x. (Su et al., RoFormer, 2021.)
#include "ops/attention_rows.h"
#include "ops/checks.h"
#include "ops/dispatch.h"

namespace cameo::ops {
namespace {

enum Input : size_t { kX, kCos, kSin, kPositions };

struct RotaryEmbeddingAttrs : ir::AttrsOf<RotaryEmbeddingAttrs> {
  int64_t interleaved = 0, num_heads = 0, rotary_embedding_dim = 0;
  void visit(ir::AttrVisitor& v) override {
    v("interleaved", interleaved);
    v("num_heads", num_heads);
    v("rotary_embedding_dim", rotary_embedding_dim);
  }
};

Status infer(InferContext& c) {
  const auto& attrs = c.attrs<RotaryEmbeddingAttrs>();
  CAMEO_TRY(check_same_dtype(c, {kX, kCos, kSin}));
  CAMEO_TRY(check_rank(c, kPositions, 2, "position_ids"));
  const size_t cache_rank = c.has_input(kPositions) ? 2 : 3;
  CAMEO_TRY(check_rank(c, kCos, cache_rank, "cos_cache"));
  CAMEO_TRY(check_rank(c, kSin, cache_rank, "sin_cache"));
  if (const auto& x = c.shape(kX)) {
    if (x->size() != 3 && x->size() != 4) return error(ErrorCode::kInvalidInput, "X is {}; it must have rank 3 or 4", ir::to_string(*x));
    const bool packed = x->size() == 3;
    if (packed && attrs.num_heads < 1)
      return error(ErrorCode::kInvalidModel, "num_heads is {}; an X of rank 3 needs 1 or more", attrs.num_heads);
    if (packed && (*x)[2].is_const() && (*x)[2].value() % attrs.num_heads != 0)
      return error(ErrorCode::kInvalidInput, "the last extent of X is {}, which {} heads do not divide", (*x)[2].value(), attrs.num_heads);
    const ir::Dim size = packed ? floor_div((*x)[2], attrs.num_heads) : (*x)[3], length = packed ? (*x)[1] : (*x)[2];
    const ir::Dim dim = attrs.rotary_embedding_dim == 0 ? size : ir::Dim(attrs.rotary_embedding_dim);
    if (dim.is_const() && (dim.value() < 0 || dim.value() % 2 != 0 || (size.is_const() && dim.value() > size.value())))
      return error(ErrorCode::kInvalidInput, "the rotary dimension is {}; it must be even and at most the head size {}", dim.value(),
                   size.to_string());
    const ir::Shape cache =
        c.has_input(kPositions) ? ir::Shape{ir::Dim(), floor_div(dim, 2)} : ir::Shape{(*x)[0], length, floor_div(dim, 2)};
    CAMEO_TRY(check_shape(c, kCos, cache, "cos_cache"));
    CAMEO_TRY(check_shape(c, kSin, cache, "sin_cache"));
    CAMEO_TRY(check_shape(c, kPositions, {(*x)[0], length}, "position_ids"));
  }
  if (c.shape(kCos) && c.shape(kSin)) CAMEO_TRY(check_shape(c, kSin, *c.shape(kCos), "sin_cache"));
  c.set_output(0, c.input(kX));
  return {};
}

template <class T>
Status run(KernelContext& c) {
  using C = compute_t<T>;
  const auto& attrs = c.attrs<RotaryEmbeddingAttrs>();
  const Tensor& x = c.input(kX);
  const Dims& d = x.dims();
  const HeadLayout layout =
      d.rank() == 4 ? HeadLayout{false, d[1], d[2], d[3]} : HeadLayout{true, attrs.num_heads, d[1], d[2] / attrs.num_heads};
  const int64_t half = (attrs.rotary_embedding_dim == 0 ? layout.size : attrs.rotary_embedding_dim) / 2;
  const int64_t* positions = c.has_input(kPositions) ? c.input(kPositions).data<int64_t>() : nullptr;
  const auto rounded = [](C v) { return static_cast<C>(static_cast<T>(v)); };
  for (int64_t b = 0; b < d[0]; ++b)
    for (int64_t t = 0; t < layout.length; ++t) {
      int64_t row = b * layout.length + t;
      if (positions) {
        row = positions[row];
        if (row < 0 || row >= c.input(kCos).dim(0))
          return error(ErrorCode::kInvalidInput, "position_ids[{}, {}] is {}; allowed: 0 to {}", b, t, row, c.input(kCos).dim(0) - 1);
      }
      const T *cosine = c.input(kCos).data<T>() + row * half, *sine = c.input(kSin).data<T>() + row * half;
      for (int64_t h = 0; h < layout.heads; ++h) {
        const T* from = x.data<T>() + layout.at(b, h, t);
        T* to = c.output(0).data<T>() + layout.at(b, h, t);
        for (int64_t i = 0; i < half; ++i) {
          const int64_t first = attrs.interleaved ? 2 * i : i, second = attrs.interleaved ? 2 * i + 1 : half + i;
          const C p = static_cast<C>(from[first]), q = static_cast<C>(from[second]);
          const C co = static_cast<C>(cosine[i]), si = static_cast<C>(sine[i]);
          to[first] = static_cast<T>(rounded(co * p) - rounded(si * q));
          to[second] = static_cast<T>(rounded(si * p) + rounded(co * q));
        }
        std::copy(from + 2 * half, from + layout.size, to + 2 * half);
      }
    }
  return {};
}

Status reference(KernelContext& c) {
  return dispatch_floats(c.input(kX).dtype(), "RotaryEmbedding", [&](auto tag) -> Status { return run<typename decltype(tag)::type>(c); });
}

constexpr TypeSet kTypes = {DType::kFloat32, DType::kFloat16, DType::kBfloat16};

}  // namespace

CAMEO_DEFINE_OP(RotaryEmbedding) = {
    .name = "RotaryEmbedding",
    .min_version = 23,
    .min_inputs = 3,
    .max_inputs = 4,
    .input_types = {kTypes, kTypes, kTypes, TypeSet{DType::kInt64}},
    .make_attrs = &ir::make_attrs<RotaryEmbeddingAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
