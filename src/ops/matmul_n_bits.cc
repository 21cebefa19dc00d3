// MatMulNBits (com.microsoft 1): y = A · W + bias, where W is K x N with 4 or 8 bits an element, W = (code - zero point) * scale, one
// scale and zero point for each block of block_size rows of a column (matmul_n_bits.h has the layout). Inputs: A [..., K] float32, B,
// scales float32, zero points uint8 (absent: half of the codes' range), g_idx (not supported), bias [N].
#include "ops/matmul_n_bits.h"

#include "base/error.h"

namespace cameo::ops {

Status MatMulNBitsAttrs::check(int64_t b, int64_t scales, int64_t zeros) const {
  constexpr int64_t kMost = int64_t{1} << 31;
  if (bits != 4 && bits != 8) return error(ErrorCode::kUnsupported, "bits is {}; 4 and 8 are supported", bits);
  if (K < 1 || N < 1 || K > kMost || N > kMost)
    return error(ErrorCode::kInvalidModel, "the weight has {} x {} elements; each extent must lie in [1, 2^31]", K, N);
  if (block_size < 16 || block_size > kMost || (block_size & (block_size - 1)) != 0)
    return error(ErrorCode::kInvalidModel, "block_size is {}; it must be a power of two from 16 on", block_size);
  if (b % (block_size * bits / 8) != 0 || b / (block_size * bits / 8) / blocks() != N || b / (block_size * bits / 8) % blocks() != 0)
    return error(ErrorCode::kInvalidModel, "B has {} bytes, which do not fit {} x {} elements of {} bits in blocks of {}", b, K, N, bits,
                 block_size);
  if (scales / blocks() != N || scales % blocks() != 0)
    return error(ErrorCode::kInvalidModel, "there are {} scales for {} columns of {} blocks", scales, N, blocks());
  if (zeros >= 0 && (zeros / zero_stride() != N || zeros % zero_stride() != 0))
    return error(ErrorCode::kInvalidModel, "the zero points have {} bytes for {} columns of {} blocks", zeros, N, blocks());
  return {};
}

namespace {

Status infer(InferContext& c) {
  const auto& attrs = c.attrs<MatMulNBitsAttrs>();
  if (c.has_input(4)) return error(ErrorCode::kUnsupported, "g_idx, which reorders rows, is not supported");
  const auto count = [&](size_t i) -> std::optional<int64_t> {
    if (!c.has_input(i)) return -1;
    const auto dims = c.shape(i) ? ir::to_dims(*c.shape(i)) : std::nullopt;
    return dims ? std::optional(dims->num_elements()) : std::nullopt;
  };
  if (attrs.N < 1 || attrs.N > (int64_t{1} << 31)) return error(ErrorCode::kInvalidModel, "N is {}; it must lie in [1, 2^31]", attrs.N);
  const auto b = count(1), scales = count(2), zeros = count(3), bias = count(5);
  if (b && scales && zeros) CAMEO_TRY(attrs.check(*b, *scales, *zeros));
  if (bias && *bias >= 0 && *bias != attrs.N)
    return error(ErrorCode::kInvalidModel, "the bias has {} elements, and the weight {} columns", *bias, attrs.N);
  ir::Type y = ir::Type::tensor(DType::kFloat32);
  y.shape = c.shape(0);
  if (y.shape) {
    if (y.shape->empty()) return error(ErrorCode::kInvalidModel, "A is a scalar; it must have rank 1 or more");
    if (y.shape->back().is_const() && y.shape->back().value() != attrs.K)
      return error(ErrorCode::kInvalidInput, "A has shape {}, but the weight {} rows", ir::to_string(*y.shape), attrs.K);
    y.shape->back() = attrs.N;
  }
  c.set_output(0, std::move(y));
  return {};
}

Status reference(KernelContext& c) {
  const auto& attrs = c.attrs<MatMulNBitsAttrs>();
  const Tensor &a = c.input(0), &b = c.input(1), &scales = c.input(2);
  const uint8_t* zeros = c.has_input(3) ? c.input(3).data<uint8_t>() : nullptr;
  CAMEO_TRY(attrs.check(b.num_elements(), scales.num_elements(), c.has_input(3) ? c.input(3).num_elements() : -1));
  float* y = c.output(0).data<float>();
  const int64_t k = attrs.K, n = attrs.N, rows = c.output(0).num_elements() / n;
  const auto column = c.scratch<float>(k);
  for (int64_t j = 0; j < n; ++j) {
    if (j % 256 == 0) CAMEO_TRY(c.check_cancelled());
    for (int64_t i = 0; i < k; ++i) {
      const int64_t block = i / attrs.block_size;
      column[static_cast<size_t>(i)] = static_cast<float>(attrs.code(b.data<uint8_t>(), i, j) - attrs.zero(zeros, block, j)) *
                                       scales.data<float>()[j * attrs.blocks() + block];
    }
    for (int64_t r = 0; r < rows; ++r) {
      float sum = 0;
      for (int64_t i = 0; i < k; ++i) sum += a.data<float>()[r * k + i] * column[static_cast<size_t>(i)];
      y[r * n + j] = sum + (c.has_input(5) ? c.input(5).data<float>()[j] : 0);
    }
  }
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(MatMulNBits) = {
    .name = "MatMulNBits",
    .domain = "com.microsoft",
    .max_version = 1,
    .min_inputs = 3,
    .max_inputs = 6,
    .input_types = {{DType::kFloat32}, {DType::kUint8}, {DType::kFloat32}, {DType::kUint8}, {DType::kInt32}, {DType::kFloat32}},
    .make_attrs = &ir::make_attrs<MatMulNBitsAttrs>,
    .infer = &infer,
    .reference = &reference,
};

}  // namespace cameo::ops
