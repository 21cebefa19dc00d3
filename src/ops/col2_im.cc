// Col2Im (ai.onnx 18): puts blocks back where a sliding window took them from, adding where they overlap.
// x [N, C * prod(block), L] -> y [N, C, image...], L being the number of window positions
// prod((image + pads - dilation * (block - 1) - 1) / stride + 1). Sums of 16-bit floats are kept in float.
#include <algorithm>

#include "ops/dispatch.h"
#include "ops/move.h"

namespace cameo::ops {
namespace {

struct Col2ImAttrs : ir::AttrsOf<Col2ImAttrs> {
  std::vector<int64_t> strides, pads, dilations;
  void visit(ir::AttrVisitor& v) override {
    v("strides", strides);
    v("pads", pads);
    v("dilations", dilations);
  }
};

struct Axis {
  int64_t image, block, stride, dilation, pad;
  int64_t positions;  // of the window
};

// One axis of the geometry; an error when the window does not fit.
Result<Axis> axis_of(const Col2ImAttrs& attrs, size_t i, size_t rank, int64_t image, int64_t block) {
  Axis a{image,
         block,
         attrs.strides.empty() ? 1 : attrs.strides[i],
         attrs.dilations.empty() ? 1 : attrs.dilations[i],
         attrs.pads.empty() ? 0 : attrs.pads[i],
         0};
  const int64_t pad_after = attrs.pads.empty() ? 0 : attrs.pads[rank + i];
  constexpr int64_t kLimit = int64_t{1} << 31;
  for (int64_t v : {a.image, a.block, a.stride, a.dilation})
    if (v < 1 || v > kLimit)
      return error(ErrorCode::kInvalidInput, "axis {} has image {}, block {}, stride {} and dilation {}; each must be 1 to {}", i, a.image,
                   a.block, a.stride, a.dilation, kLimit);
  if (a.pad < 0 || pad_after < 0 || a.pad > kLimit || pad_after > kLimit)
    return error(ErrorCode::kInvalidInput, "axis {} has the pads {} and {}; allowed are 0 to {}", i, a.pad, pad_after, kLimit);
  const int64_t room = a.image + a.pad + pad_after - 1 - a.dilation * (a.block - 1);
  if (room < 0)
    return error(ErrorCode::kInvalidInput, "a block of {} with dilation {} does not fit an image of {} with pads {} and {}", a.block,
                 a.dilation, a.image, a.pad, pad_after);
  a.positions = room / a.stride + 1;
  return a;
}

Status infer(InferContext& c) {
  const auto& attrs = c.attrs<Col2ImAttrs>();
  CAMEO_TRY(check_rank(c, 0, 3, "the input"));
  CAMEO_TRY(check_rank(c, 1, 1, "image_shape"));
  CAMEO_TRY(check_rank(c, 2, 1, "block_shape"));
  const auto image = c.values(1);
  const auto block = c.ints(2);
  const auto n1 = list_length(c, 1), n2 = list_length(c, 2);
  if (n1 && n2 && *n1 != *n2) return error(ErrorCode::kInvalidInput, "image_shape has {} extents, block_shape {}", *n1, *n2);
  const auto n = n1 ? n1 : n2;
  if (!n) {
    c.set_output(0, ir::Type::tensor(c.dtype(0)));
    return {};
  }
  if (*n < 1 || *n > static_cast<int64_t>(kMaxRank))
    return error(ErrorCode::kUnsupported, "image_shape has {} extents; 1 to {} are supported", *n, kMaxRank);
  const auto rank = static_cast<size_t>(*n);
  for (const auto& [name, list, length] :
       {std::tuple{"strides", &attrs.strides, rank}, {"dilations", &attrs.dilations, rank}, {"pads", &attrs.pads, 2 * rank}})
    if (!list->empty() && list->size() != length)
      return error(ErrorCode::kInvalidModel, "{} has {} entries; {} are needed", name, list->size(), length);
  ir::Shape out(2 + rank);
  ir::Dim size = 1, positions = 1;
  for (size_t i = 0; i < rank; ++i) {
    out[2 + i] = image ? (*image)[i] : ir::Dim::unknown();
    size = size * (block ? ir::Dim((*block)[i]) : ir::Dim::unknown());
    if (block && out[2 + i].is_const()) {
      CAMEO_ASSIGN(const Axis a, axis_of(attrs, i, rank, out[2 + i].value(), (*block)[i]));
      positions = positions * ir::Dim(a.positions);
    } else {
      positions = ir::Dim::unknown();
    }
  }
  if (c.shape(0)) {
    const ir::Shape& in = *c.shape(0);
    out[0] = in[0];
    if (in[1].is_const() && block && (!size.is_const() || in[1].value() % size.value() != 0))
      return error(ErrorCode::kInvalidInput, "the input's extent {} is no multiple of the block's {} elements", in[1].value(),
                   size.to_string());
    out[1] = floor_div(in[1], size);
    if (in[2].is_const() && block && image && ir::is_static(*image) && !(positions == in[2]))
      return error(ErrorCode::kInvalidInput, "the input has {} blocks, but the window has {} positions", in[2].value(),
                   positions.to_string());
  }
  c.set_output(0, c.dtype(0), std::move(out));
  return {};
}

// Adds the blocks of one channel: from [prod(block), prod(positions)], to [image...] cleared.
template <class T, class C>
void add_blocks(std::span<const Axis> axes, std::span<int64_t> tap, std::span<int64_t> at, const T* from, C* to) {
  const size_t rank = axes.size();
  std::fill(tap.begin(), tap.end(), 0);
  while (true) {
    std::fill(at.begin(), at.end(), 0);
    for (bool more = true; more; ++from) {
      int64_t offset = 0;
      bool inside = true;
      for (size_t i = 0; i < rank; ++i) {
        const int64_t position = at[i] * axes[i].stride - axes[i].pad + tap[i] * axes[i].dilation;
        inside &= position >= 0 && position < axes[i].image;
        offset = inside ? offset * axes[i].image + position : 0;
      }
      if (inside) to[offset] = static_cast<C>(to[offset] + static_cast<C>(*from));
      more = false;
      for (size_t i = rank; i-- > 0 && !more;) {
        if (++at[i] < axes[i].positions)
          more = true;
        else
          at[i] = 0;
      }
    }
    size_t i = rank;
    while (i-- > 0) {
      if (++tap[i] < axes[i].block) break;
      tap[i] = 0;
      if (i == 0) return;
    }
  }
}

Status reference(KernelContext& c) {
  const auto& attrs = c.attrs<Col2ImAttrs>();
  const Tensor& x = c.input(0);
  Tensor& y = c.output(0);
  if (y.num_elements() == 0) return {};
  const auto rank = static_cast<size_t>(c.input(1).num_elements());
  const auto axes = c.scratch<Axis>(static_cast<int64_t>(rank));
  for (size_t i = 0; i < rank; ++i) {
    CAMEO_ASSIGN(axes[i], axis_of(attrs, i, rank, c.input(1).data<int64_t>()[i], c.input(2).data<int64_t>()[i]));
  }
  const auto tap = c.scratch<int64_t>(static_cast<int64_t>(rank)), at = c.scratch<int64_t>(static_cast<int64_t>(rank));
  const int64_t images = y.dim(0) * y.dim(1), size = product(y.dims(), 2, y.rank()), step = x.num_elements() / images;
  return dispatch_numbers(x.dtype(), "Col2Im", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    using C = typename std::conditional_t<std::is_integral_v<T>, std::make_unsigned<T>, std::type_identity<compute_t<T>>>::type;
    const auto image = c.scratch<C>(size);
    for (int64_t i = 0; i < images; ++i) {
      std::fill(image.begin(), image.end(), C{0});
      add_blocks<T, C>(axes, tap, at, x.data<T>() + i * step, image.data());
      for (int64_t k = 0; k < size; ++k) y.data<T>()[i * size + k] = static_cast<T>(image[static_cast<size_t>(k)]);
    }
    return {};
  });
}

}  // namespace

CAMEO_DEFINE_OP(Col2Im) = {
    .name = "Col2Im",
    .min_version = 18,
    .min_inputs = 3,
    .max_inputs = 3,
    .input_types = {kNumericTypes, {DType::kInt64}},
    .make_attrs = &ir::make_attrs<Col2ImAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
