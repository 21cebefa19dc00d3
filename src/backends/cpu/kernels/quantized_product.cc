#include "backends/cpu/kernels/quantized_product.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>

#include "backends/cpu/kernels/quantized_gemm.h"
#include "backends/cpu/kernels/row_epilogue.h"
#include "backends/cpu/kernels/worker_scratch.h"
#include "base/error.h"
#include "base/thread_pool.h"

namespace cameo::cpu {
namespace {

constexpr int64_t kTileRows = 64;
// Whose sums stay in the L1 cache beside the rows; programs take longer runs of columns, for each begins anew in every row.
constexpr int64_t kTilePanels = 4, kProgramPanels = 16;

ByteType byte_type(DType type) {
  return type == DType::kUint8 ? ByteType::kUint8 : type == DType::kInt8 ? ByteType::kInt8 : ByteType::kFloat;
}

// The frequent programs, run in one go with the conversion: sum + bias + residual, then Relu or Clip.
struct SimpleEpilogue {
  const float* bias = nullptr;
  const Tensor* residual = nullptr;
  float residual_scale = 1, residual_zero = 0;
  float low = -std::numeric_limits<float>::infinity(), high = std::numeric_limits<float>::infinity();
};

std::optional<SimpleEpilogue> simple_epilogue(ops::KernelContext& c, const ops::QuantizedAttrs& attrs, const ops::PointProgram& program,
                                              const Dims& dims) {
  SimpleEpilogue simple;
  int current = 0;
  for (size_t i = 0; i < program.code.size(); ++i) {
    const ops::PointInstruction& step = program.code[i];
    const bool last = i + 1 == program.code.size();
    if (step.op == ops::PointOp::kAdd && (step.a == current) != (step.b == current)) {
      const int other = step.a == current ? step.b : step.a;
      if (other < 1 || other >= program.num_inputs) return std::nullopt;
      const Tensor& t = c.input(ops::kQuantizedOperands + static_cast<size_t>(other) - 1);
      if (t.dtype() == DType::kFloat32 && t.num_elements() == attrs.n && t.dim(t.rank() - 1) == attrs.n && simple.bias == nullptr) {
        simple.bias = t.data<float>();
      } else if (t.dims() == dims && simple.residual == nullptr) {
        simple.residual = &t;
        simple.residual_scale = attrs.operand_scale(static_cast<size_t>(other) - 1);
        simple.residual_zero = static_cast<float>(attrs.operand_zero(static_cast<size_t>(other) - 1));
      } else {
        return std::nullopt;
      }
    } else if (step.op == ops::PointOp::kRelu && step.a == current && last) {
      simple.low = 0;
    } else if (step.op == ops::PointOp::kClip && step.a == current && step.b < 0 && step.c < 0 && last) {
      simple.low = program.constants[static_cast<size_t>(-1 - step.b)];
      simple.high = program.constants[static_cast<size_t>(-1 - step.c)];
    } else {
      return std::nullopt;
    }
    current = program.num_inputs + static_cast<int>(i);
  }
  return simple;
}

// The way from sums of a row to the output.
class Finisher {
 public:
  static Result<Finisher> make(ops::KernelContext& c, const ops::QuantizedAttrs& attrs) {
    Finisher f;
    const Tensor& y = c.output(0);
    f.n_ = attrs.n;
    f.y_ = static_cast<uint8_t*>(y.raw());
    f.y_type_ = byte_type(y.dtype());
    f.y_size_ = f.y_type_ == ByteType::kFloat ? 4 : 1;
    f.y_inverse_scale_ = 1 / attrs.y_scale;
    f.y_scale_ = attrs.y_scale;
    f.y_zero_ = static_cast<int32_t>(attrs.y_zero);
    const size_t operands = c.num_inputs() - std::min(c.num_inputs(), ops::kQuantizedOperands);
    CAMEO_ASSIGN(const ops::PointProgram program, attrs.decode(1 + operands));
    f.simple_ = simple_epilogue(c, attrs, program, y.dims());
    if (!f.simple_) {
      CAMEO_ASSIGN(f.program_, RowEpilogue::make(c, attrs, ops::kQuantizedOperands, y.dims()));
    }
    f.fold(c, attrs);
    return f;
  }

  // Panels to finish at once.
  int64_t panels() const { return simple_ ? kTilePanels : kProgramPanels; }

  // Sums of some rows from column `first` on become elements of the output; they are overwritten.
  void run(int64_t row, int64_t rows, int64_t first, int64_t count, int32_t* acc, int64_t acc_stride) const {
    const int64_t at = row * n_ + first;
    QuantizedFinish f = {.acc = acc,
                         .scales = scales_ + first,
                         .bias = bias_ + first,
                         .residual = nullptr,
                         .residual_type = ByteType::kNone,
                         .residual_scale = residual_scale_,
                         .low = low_,
                         .high = high_,
                         .y = y_ + at * y_size_,
                         .y_type = y_type_,
                         .zero = y_zero_,
                         .count = count,
                         .rows = rows,
                         .acc_stride = acc_stride,
                         .residual_stride = n_,
                         .y_stride = n_};
    if (simple_) {
      if (const Tensor* residual = simple_->residual) {
        f.residual_type = byte_type(residual->dtype());
        f.residual = static_cast<const uint8_t*>(residual->raw()) + at * (f.residual_type == ByteType::kFloat ? 4 : 1);
      }
      return quantized_gemm_kernels().finish(f);
    }
    // A whole program runs on floats in the place of the sums.
    f.y = acc;
    f.y_type = ByteType::kFloat;
    f.y_stride = acc_stride;
    quantized_gemm_kernels().finish(f);
    for (int64_t r = 0; r < rows; ++r) {
      auto* floats = reinterpret_cast<float*>(acc + r * acc_stride);
      program_.run(row + r, first, count, floats);
      uint8_t* y = y_ + (at + r * n_) * y_size_;
      if (y_type_ == ByteType::kFloat)
        std::memcpy(y, floats, static_cast<size_t>(count) * 4);
      else
        quantized_gemm_kernels().to_bytes({y, y_type_, floats, y_scale_, static_cast<float>(y_zero_), count});
    }
  }

 private:
  // Everything up to the rounding is linear: the scale of the output goes into the factors, the residual's zero point into the bias.
  void fold(ops::KernelContext& c, const ops::QuantizedAttrs& attrs) {
    const SimpleEpilogue s = simple_.value_or(SimpleEpilogue{});
    const bool bytes = simple_ && y_type_ != ByteType::kFloat;
    const float unit = bytes ? y_inverse_scale_ : 1;
    const bool byte_residual = s.residual != nullptr && s.residual->dtype() != DType::kFloat32;
    residual_scale_ = (byte_residual ? s.residual_scale : 1) * unit;
    low_ = s.low * unit;
    high_ = s.high * unit;
    if (bytes) {
      const float least = (y_type_ == ByteType::kUint8 ? 0.f : -128.f) - static_cast<float>(y_zero_);
      low_ = std::clamp(low_, least, least + 255);
      high_ = std::clamp(high_, least, least + 255);
    }
    float* scales = c.scratch<float>(attrs.n).data();
    float* bias = c.scratch<float>(attrs.n).data();
    const float* w_scales = c.input(2).data<float>();
    const float x_scale = attrs.x_scale, less = byte_residual ? s.residual_zero * residual_scale_ : 0;
    for (int64_t j = 0; j < attrs.n; ++j) scales[j] = x_scale * w_scales[j] * unit;
    if (s.bias != nullptr)
      for (int64_t j = 0; j < attrs.n; ++j) bias[j] = s.bias[j] * unit - less;
    else
      std::fill_n(bias, attrs.n, 0 - less);
    scales_ = scales;
    bias_ = bias;
  }

  std::optional<SimpleEpilogue> simple_;
  RowEpilogue program_;
  const float *scales_ = nullptr, *bias_ = nullptr;
  float residual_scale_ = 1, low_ = 0, high_ = 0;
  uint8_t* y_ = nullptr;
  ByteType y_type_ = ByteType::kFloat;
  int64_t y_size_ = 4, n_ = 0;
  float y_scale_ = 1, y_inverse_scale_ = 1;
  int32_t y_zero_ = 0;
};

#if defined(__x86_64__)
// Clang 14's __builtin_cpu_supports() does not know "avxvnni": leaf 7, subleaf 1, bit 4 of eax.
bool has_avx_vnni() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a >> 4 & 1) != 0;
}
#endif

}  // namespace

bool quantized_vnni(Isa isa) {
#if defined(__x86_64__)
  static const bool wide = __builtin_cpu_supports("avx512vnni"), narrow = has_avx_vnni();
  return (isa == Isa::kAvx512 && wide) || (isa == Isa::kAvx2 && narrow);
#else
  return false;
#endif
}

Result<std::vector<Tensor>> column_sums(const Tensor& w, int64_t k, int64_t n, bool depthwise) {
  const int64_t columns = depthwise ? n : (n + 15) / 16 * 16;
  CAMEO_ASSIGN(Tensor sums, Tensor::allocate(DType::kInt32, {columns}));
  for (int64_t j = 0; j < n; ++j) {
    uint32_t sum = 0;
    for (int64_t i = 0; i < k; ++i)
      sum += static_cast<uint32_t>(depthwise ? w.data<int8_t>()[i * n + j] : ops::packed_weight(w.data<int8_t>(), k, i, j));
    sums.data<int32_t>()[j] = static_cast<int32_t>(sum);
  }
  return std::vector<Tensor>{sums};
}

QuantizedInput quantized_input(ops::KernelContext& c, int64_t zero) {
  const Tensor& x = c.input(0);
  if (x.dtype() == DType::kUint8) return {x.data<uint8_t>(), static_cast<int32_t>(zero)};
  const int64_t size = x.num_elements();
  uint8_t* copy = c.scratch<uint8_t>(size).data();
  constexpr int64_t kStep = 1 << 16;
  c.threads().parallel_for((size + kStep - 1) / kStep, [&](int64_t task, int) {
    for (int64_t i = task * kStep; i < std::min(size, (task + 1) * kStep); ++i) copy[i] = static_cast<uint8_t>(x.data<uint8_t>()[i] ^ 0x80);
  });
  return {copy, static_cast<int32_t>(zero) + 128};
}

Status run_quantized(ops::KernelContext& c, const ops::QuantizedAttrs& attrs, const Tensor& weight, int64_t rows, int32_t x_zero,
                     bool depthwise, const QuantizedRows& source) {
  const int64_t n = attrs.n, panels = (n + 15) / 16, columns = depthwise ? n : panels * 16;
  const auto& packed = c.node().packed;
  if (packed.empty() || packed[0].dtype() != DType::kInt32 || packed[0].num_elements() != columns)
    return error(ErrorCode::kInvalidPlan, "the packed sums of the weight do not fit it");
  if (c.output(0).dtype() != static_cast<DType>(attrs.y_type) || c.output(0).num_elements() != rows * n)
    return error(ErrorCode::kInvalidPlan, "the output does not fit {} rows of {} columns", rows, n);
  if (rows == 0 || n == 0) return {};
  CAMEO_ASSIGN(const Finisher finisher, Finisher::make(c, attrs));
  int32_t* start = c.scratch<int32_t>(columns).data();
  const auto* column_sum = packed[0].data<uint32_t>();
  for (int64_t j = 0; j < columns; ++j) start[j] = static_cast<int32_t>(0u - static_cast<uint32_t>(x_zero) * column_sum[j]);
  CAMEO_TRY(c.check_cancelled());

  const auto& kernels = quantized_gemm_kernels();
  const auto multiply = quantized_vnni(current_isa()) ? kernels.multiply_vnni : kernels.multiply;
  const auto* w = weight.data<int8_t>();
  const int64_t workers = c.threads().size();
  // All panels for a tile of rows, so that its rows are looked up once, unless that leaves threads without work. Then a thread takes
  // its panels for all tiles: they are read from memory once.
  const int64_t most_rows = depthwise ? 16 : kTileRows;
  int64_t row_tiles = (rows + most_rows - 1) / most_rows;
  if (row_tiles > workers) row_tiles = std::min(rows, (row_tiles + workers - 1) / workers * workers);
  int64_t step = panels;
  if (!depthwise && row_tiles < 4 * workers) {
    const int64_t parts = (4 * workers + row_tiles - 1) / row_tiles;
    step = std::min(panels, std::max<int64_t>(4, (panels + parts - 1) / parts + 3) / 4 * 4);
  }
  const int64_t panel_tiles = depthwise ? 1 : (panels + step - 1) / step;
  // A worker's sums, pointers to rows, and copies of rows.
  const int64_t tile_rows = std::min(rows, most_rows), group = finisher.panels(), acc_stride = group * 16;
  const int64_t acc_bytes = (depthwise ? (columns + 15) / 16 * 16 : tile_rows * acc_stride) * 4,
                pointer_bytes = source.taps * tile_rows * 8;
  const int64_t row_pointer_bytes = depthwise ? source.taps * 8 : 0;
  const WorkerScratch scratch(c, (acc_bytes + pointer_bytes + row_pointer_bytes + source.pack_bytes * tile_rows + 3) / 4);
  c.threads().parallel_for(row_tiles * panel_tiles, [&](int64_t task, int worker) {
    const int64_t tile = task % row_tiles, first_row = rows * tile / row_tiles, count = rows * (tile + 1) / row_tiles - first_row;
    auto* sums = reinterpret_cast<int32_t*>(scratch.of(worker));
    auto* at = reinterpret_cast<const uint8_t**>(reinterpret_cast<uint8_t*>(sums) + acc_bytes);
    const uint8_t** row = at + source.taps * tile_rows;
    source.locate(first_row, count, at, reinterpret_cast<uint8_t*>(row) + row_pointer_bytes);
    if (depthwise) {
      for (int64_t r = 0; r < count; ++r) {
        for (int64_t t = 0; t < source.taps; ++t) row[t] = at[t * count + r];
        kernels.depthwise(row, source.taps, w, start, n, sums);
        finisher.run(first_row + r, 1, 0, n, sums, n);
      }
      return;
    }
    const int64_t begin = task / row_tiles * step, end = std::min(panels, begin + step);
    for (int64_t panel = begin; panel < end; panel += group) {
      const int64_t last = std::min(end, panel + group);
      multiply({.rows = at,
                .row_pitch = count,
                .taps = source.taps,
                .depth = source.depth,
                .b = w,
                .start = start,
                .c = sums,
                .ldc = acc_stride},
               count, panel, last);
      finisher.run(first_row, count, panel * 16, std::min(n, last * 16) - panel * 16, sums, acc_stride);
    }
  });
  return {};
}

}  // namespace cameo::cpu
