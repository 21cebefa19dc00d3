// Rounding of one weight matrix.
#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <numeric>
#include <vector>

#include "backends/cpu/kernels/weight_rounding.h"
#include "base/error.h"
#include "base/numeric.h"
#include "base/thread_pool.h"
#include "passes/quantize_weights.h"

namespace cameo::passes {
namespace {

constexpr float kLargestHalf = 65504, kSmallestNormalHalf = 0x1p-14f;

// The rows of the 16 columns of a panel, zero where there are none.
void load_panel(const WeightMatrix& m, int64_t panel, float* to) {
  const int64_t columns = std::min<int64_t>(16, m.columns - panel * 16);
  for (int64_t r = 0; r < m.rows; ++r)
    for (int64_t c = 0; c < 16; ++c) to[r * 16 + c] = c < columns ? m.data[r * m.row_stride + (panel * 16 + c) * m.column_stride] : 0;
}

template <class Half>
void store_halves(const WeightMatrix& m, int64_t panel, const float* rows, Half* to) {
  for (int64_t i = 0; i < m.rows * 16; ++i) to[panel * m.rows * 16 + i] = Half(rows[i]);
}

// Codes of one panel, [rows][16], to their places (cameo_quantized_weight.h).
void pack_panel(const ops::QuantizedWeightAttrs& a, int64_t panel, const uint8_t* codes, uint8_t* values) {
  const int64_t rows_deep = a.bits == 8 ? 4 : 8, deep = (a.k + rows_deep - 1) / rows_deep;
  uint8_t* to = values + panel * deep * 64;
  for (int64_t r = 0; r < a.k; ++r)
    for (int64_t c = 0; c < 16; ++c) {
      uint8_t& byte = to[(r / rows_deep * 16 + c) * 4 + r % 4];
      const bool high = a.bits == 4 && r % 8 >= 4;
      byte = static_cast<uint8_t>(high ? byte | codes[r * 16 + c] << 4 : codes[r * 16 + c]);
    }
}

}  // namespace

Result<QuantizedWeight> quantize_weight(const WeightMatrix& m, WeightType type, int64_t group_size, ThreadPool& threads) {
  QuantizedWeight result;
  ops::QuantizedWeightAttrs& a = result.attrs;
  a.bits = type == WeightType::kInt4 ? 4 : type == WeightType::kInt8 ? 8 : 16;
  a.k = m.rows;
  a.n = m.columns;
  a.group_size = a.bits == 16 || group_size >= m.rows ? 0 : group_size;
  std::atomic<bool> finite = true, fits_half = true;
  const bool halves = type == WeightType::kFloat16;
  const DType value_type = a.bits != 16 ? DType::kUint8 : halves ? DType::kFloat16 : DType::kBfloat16;
  CAMEO_ASSIGN(result.tensors.values, Tensor::allocate(value_type, a.value_dims()));
  Tensor scales;
  if (a.bits != 16) {
    CAMEO_ASSIGN(scales, Tensor::allocate(DType::kFloat32, a.scale_dims()));
  }
  const auto& kernels = cpu::weight_rounding_kernels();
  // Scales first: whether float16 holds them all decides what the codes are rounded for.
  const auto for_each_panel = [&](auto&& fn) {
    const auto size = static_cast<size_t>(m.rows) * 16;
    std::vector<float> buffers(size * static_cast<size_t>(threads.size()));
    threads.parallel_for(a.panels(), [&](int64_t panel, int worker) {
      float* rows = buffers.data() + size * static_cast<size_t>(worker);
      load_panel(m, panel, rows);
      fn(panel, rows, worker);
    });
  };
  const auto for_each_group = [&](int64_t panel, auto&& fn) {
    for (int64_t g = 0; g < a.groups(); ++g) fn(g * a.group(), std::min(a.k, (g + 1) * a.group()), (panel * a.groups() + g) * 16);
  };
  for_each_panel([&](int64_t panel, const float* rows, int) {
    const auto most = std::transform_reduce(
        rows, rows + m.rows * 16, 0u, [](uint32_t x, uint32_t y) { return std::max(x, y); },
        [](float x) { return std::bit_cast<uint32_t>(x) & 0x7fffffffu; });
    if (most >= 0x7f800000u) finite = false;
    if (halves && std::bit_cast<float>(most) > kLargestHalf) fits_half = false;
    if (!finite || !fits_half) return;
    if (a.bits == 16) {
      if (halves)
        store_halves(m, panel, rows, result.tensors.values.data<Float16>());
      else
        store_halves(m, panel, rows, result.tensors.values.data<Bfloat16>());
      return;
    }
    for_each_group(panel, [&](int64_t first, int64_t last, int64_t at) {
      float* to = scales.data<float>() + at;
      kernels.choose_scales({rows + first * 16, last - first, static_cast<int>(a.bits), nullptr, to});
      for (int64_t c = 0; c < 16; ++c)
        if (to[c] != 0 && (std::fabs(to[c]) < kSmallestNormalHalf || std::fabs(to[c]) > kLargestHalf)) fits_half = false;
    });
  });
  if (!finite) return error(ErrorCode::kUnsupported, "the weights have NaN or infinity");
  if (halves && !fits_half) return error(ErrorCode::kUnsupported, "the weights are too large for float16");
  if (a.bits == 16) return result;

  // A scale a column costs nothing; one for each few rows does.
  if (a.group_size != 0 && fits_half) {
    CAMEO_ASSIGN(result.tensors.scales, Tensor::allocate(DType::kFloat16, a.scale_dims()));
    for (int64_t i = 0; i < scales.num_elements(); ++i) {
      const Float16 half(scales.data<float>()[i]);
      result.tensors.scales.data<Float16>()[i] = half;
      scales.data<float>()[i] = static_cast<float>(half);
    }
  } else {
    result.tensors.scales = scales;
  }
  std::vector<std::vector<uint8_t>> codes(static_cast<size_t>(threads.size()), std::vector<uint8_t>(static_cast<size_t>(m.rows) * 16));
  for_each_panel([&](int64_t panel, const float* rows, int worker) {
    uint8_t* to = codes[static_cast<size_t>(worker)].data();
    for_each_group(panel, [&](int64_t first, int64_t last, int64_t at) {
      kernels.round({rows + first * 16, last - first, static_cast<int>(a.bits), to + first * 16, scales.data<float>() + at});
    });
    pack_panel(a, panel, to, result.tensors.values.data<uint8_t>());
  });
  return result;
}

}  // namespace cameo::passes
