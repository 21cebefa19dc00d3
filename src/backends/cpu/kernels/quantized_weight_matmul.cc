// ai.cameo.QuantizedWeightMatMul: tiles of rows by panels of the weight, each in one worker's cache until its epilogue is done.
//
// Variants, by what the processor has (quantized_weight.isa.cc says how each works):
//   split   AVX-512 VNNI, 4 and 8 bits: activations as 16-bit integers; memory speed for up to about 8 rows
//   float   all else: the weight becomes float32 in cache
#include <algorithm>
#include <atomic>
#include <cstring>

#include "backends/cpu/kernels/quantized_weight.h"
#include "backends/cpu/kernels/row_epilogue.h"
#include "backends/cpu/kernels/worker_scratch.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "ops/cameo_quantized_weight_matmul.h"
#include "tactics/tactic.h"

namespace cameo::tactics {
namespace {

constexpr int64_t kTileRows = 64, kTilePanels = 16, kTileBytes = 192 << 10;

Status supports(const ir::Node&, std::span<const ops::Fact>) { return {}; }

cpu::QuantizedWeight view_of(const ops::QuantizedWeightAttrs& attrs, const ops::QuantizedWeightTensors& w) {
  return {.values = static_cast<const uint8_t*>(w.values.raw()),
          .scales = w.scales.raw(),
          .zeros = w.zeros.dtype() == DType::kUint8 ? w.zeros.data<uint8_t>() : nullptr,
          .offsets = w.zeros.defined() && w.zeros.dtype() != DType::kUint8 ? w.zeros.raw() : nullptr,
          .half_scales = w.scales.dtype() == DType::kFloat16,
          .bfloat16 = w.values.dtype() == DType::kBfloat16,
          .bits = static_cast<int>(attrs.bits),
          .depth = attrs.k,
          .group = attrs.group(),
          .groups = attrs.groups()};
}

// The rows of A as integers; rows = 0 where some row has none (NaN, infinity).
cpu::SplitRows split_rows(ops::KernelContext& c, const float* a, int64_t rows, const cpu::QuantizedWeight& w) {
  const int64_t depth = (w.depth + 15) / 16 * 16;
  cpu::SplitRows split = {.values = c.scratch<int8_t>(rows * depth * 2).data(),
                          .sums = c.scratch<int32_t>(rows * w.groups * 2).data(),
                          .scales = c.scratch<float>(rows).data(),
                          .rows = rows,
                          .depth = depth,
                          .unit = cpu::split_unit(w)};
  std::atomic<bool> all = true;
  const auto& kernels = cpu::quantized_weight_kernels();
  // Whole blocks: the rows of one share cache lines.
  const int64_t step = std::max<int64_t>(1, 2048 / std::max<int64_t>(w.depth, 1)) * 8;
  c.threads().parallel_for((rows + step - 1) / step, [&](int64_t task, int) {
    for (int64_t r = task * step; r < std::min(rows, (task + 1) * step); ++r)
      if (!kernels.split_row(a + r * w.depth, w.depth, w.group, split, r)) all.store(false, std::memory_order_relaxed);
  });
  if (!all) split.rows = 0;
  return split;
}

Status run(ops::KernelContext& c) {
  const auto& attrs = c.attrs<ops::CameoQuantizedWeightMatMulAttrs>();
  CAMEO_ASSIGN(const ops::QuantizedWeightTensors tensors, ops::quantized_weight_of(c));
  const Tensor& a = c.input(0);
  if (a.dtype() != DType::kFloat32 || a.rank() == 0 || a.dim(a.rank() - 1) != attrs.k)
    return error(ErrorCode::kInvalidPlan, "A is {} of shape {}, but the weight has {} rows", dtype_name(a.dtype()), a.dims().to_string(),
                 attrs.k);
  Dims dims = a.dims();
  dims[dims.rank() - 1] = attrs.n;
  CAMEO_ASSIGN(const cpu::RowEpilogue epilogue, cpu::RowEpilogue::make(c, attrs, ops::kQuantizedWeightOperands, dims));
  if (dims.num_elements() == 0) return {};
  const int64_t n = attrs.n, rows = dims.num_elements() / n, panels = attrs.panels();

  struct Part {
    float* data;
    int64_t begin, width;
  };
  const auto parts = c.scratch<Part>(static_cast<int64_t>(c.num_outputs()));
  int64_t begin = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    const int64_t width = attrs.splits.empty() ? n : i < attrs.splits.size() ? attrs.splits[i] : -1;
    if (width < 0 || width > n - begin || (c.has_output(i) && c.output(i).num_elements() != rows * width))
      return error(ErrorCode::kInvalidPlan, "output {} does not fit {} rows of {} columns", i, rows, width);
    parts[i] = {c.has_output(i) ? c.output(i).data<float>() : nullptr, begin, width};
    begin += width;
  }

  cpu::QuantizedWeightProduct product = {};
  product.w = view_of(attrs, tensors);
  product.a = a.data<float>();
  product.lda = attrs.k;
  bool split = cpu::has_vnni() && attrs.bits != 16 && product.w.group <= 65536;
  if (split) {
    product.split = split_rows(c, product.a, rows, product.w);
    split = product.split.rows != 0;
  }
  const auto multiply = split ? cpu::quantized_weight_kernels().multiply_split : cpu::quantized_weight_kernels().multiply_float;

  const int64_t workers = c.threads().size();
  const int64_t panel_bytes = std::max<int64_t>(1, tensors.values.num_elements() * (attrs.bits == 16 ? 2 : 1) / panels);
  // Enough tasks to share evenly; of many rows, a block of panels that stays in the L2 cache for all rows of a tile.
  const int64_t row_tiles = (rows + kTileRows - 1) / kTileRows, share = row_tiles * panels / (4 * workers);
  const int64_t most = std::clamp<int64_t>(rows <= 8 ? share : std::min(share, kTileBytes / panel_bytes), 1, kTilePanels);
  // As many for each worker; of more than one block of rows by whole pairs of panels.
  const int64_t unit = rows <= 8 ? 1 : 2, units = (panels + unit - 1) / unit;
  int64_t panel_tiles = (panels + most - 1) / most;
  if (panel_tiles > workers) panel_tiles = (panel_tiles + workers - 1) / workers * workers;
  panel_tiles = std::min(panel_tiles, units);
  const int64_t step = (units + panel_tiles - 1) / panel_tiles * unit;
  const int64_t tile_floats = std::min(rows, kTileRows) * step * 16, buffer_floats = split ? 0 : cpu::kDequantizedRows * 16;
  const cpu::WorkerScratch buffers(c, tile_floats + buffer_floats);
  CAMEO_TRY(c.check_cancelled());
  c.threads().parallel_for(row_tiles * panel_tiles, [&](int64_t task, int worker) {
    cpu::QuantizedWeightProduct p = product;
    p.first_row = task / panel_tiles * kTileRows;
    p.last_row = std::min(rows, p.first_row + kTileRows);
    p.first_panel = units * (task % panel_tiles) / panel_tiles * unit;
    p.last_panel = std::min(panels, units * (task % panel_tiles + 1) / panel_tiles * unit);
    p.y = buffers.of(worker);
    p.ldy = step * 16;
    p.buffer = p.y + tile_floats;
    // Whole panels of the only output are made where they belong.
    const bool direct = parts.size() == 1 && parts[0].data != nullptr && p.last_panel * 16 <= n;
    if (direct) {
      p.y = parts[0].data + p.first_row * n + p.first_panel * 16;
      p.ldy = n;
    }
    multiply(p);
    const int64_t first = p.first_panel * 16, last = std::min(n, p.last_panel * 16);
    for (int64_t r = p.first_row; r < p.last_row; ++r) {
      float* row = p.y + (r - p.first_row) * p.ldy;
      epilogue.run(r, first, last - first, row);
      if (direct) continue;
      for (const Part& part : parts) {
        const int64_t from = std::max(first, part.begin), to = std::min(last, part.begin + part.width);
        if (from < to && part.data != nullptr)
          std::memcpy(part.data + r * part.width + from - part.begin, row + from - first, static_cast<size_t>(to - from) * sizeof(float));
      }
    }
  });
  return {};
}

}  // namespace

CAMEO_DEFINE_TACTIC(quantized_weight_matmul) = {
    .name = "quantized_weight_matmul",
    .op = "QuantizedWeightMatMul",
    .domain = "ai.cameo",
    .supports = &supports,
    .run = &run,
};

}  // namespace cameo::tactics
