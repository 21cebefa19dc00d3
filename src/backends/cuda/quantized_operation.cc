#include "backends/cuda/quantized_operation.h"

#include <algorithm>

#include "backends/cuda/fast_kernels.h"
#include "backends/cuda/measure.h"

namespace cameo::cuda {
namespace {

constexpr size_t kMostOperands = 64;  // of a node

void place(QuantizedProductArgs& a, const QuantizedOperands& o, const Addresses& at) {
  a.x = at.of(o.x);
  a.w = at.of(o.w);
  a.scale = static_cast<const float*>(at.of(o.scale));
  a.bias = static_cast<const float*>(at.of(o.bias));
  a.x_factor = static_cast<const float*>(at.of(o.x_factor));
  a.residual = at.of(o.residual);
  a.y = at.of(o.y);
  a.behind.x = at.of(o.x_behind);
  a.behind.ratio = static_cast<const float*>(at.of(o.ratio));
}

class QuantizedOperation final : public Operation {
 public:
  QuantizedOperation(const QuantizedProductArgs& args, const DeviceTraits& traits, QuantizedOperands operands)
      : args_(args), traits_(traits), operands_(std::move(operands)) {}
  Status run(const Addresses& at, cudaStream_t stream) override {
    place(args_, operands_, at);
    return check(quantized_product(args_, traits_, stream), "a product of 8 bits");
  }

 private:
  QuantizedProductArgs args_;
  const DeviceTraits traits_;
  const QuantizedOperands operands_;
};

std::string describe(const QuantizedProductArgs& a) {
  const auto& e = a.behind;
  const std::string behind = e.channels ? fmt::format(" behind {}x{}x{} s{},{}", e.in_h, e.in_w, e.channels, e.stride_h, e.stride_w) : "";
  return fmt::format("quantized product {} {}x{}x{}x{} {}x{} n {} kernel {}x{} s{},{} p{},{} d{},{} > {} residual {} act {}{}",
                     static_cast<int>(a.x_type), a.batch, a.in_h, a.in_w, a.channels, a.out_h, a.out_w, a.n, a.kernel_h, a.kernel_w,
                     a.stride_h, a.stride_w, a.pad_h, a.pad_w, a.dilation_h, a.dilation_w, static_cast<int>(a.y_type),
                     static_cast<int>(a.residual_type), static_cast<int>(a.activation), behind);
}

// The fastest variant and its time, over memory of its own; the first and no time where there is none.
Result<std::pair<int, double>> fastest(Device& device, QuantizedProductArgs a, const DeviceTraits& traits) {
  const auto up = [](int64_t n) { return static_cast<size_t>((n + 511) / 512 * 512); };
  const size_t x = up(int64_t{a.batch} * a.in_h * a.in_w * a.channels), y = up(a.rows() * a.n * bytes_of(a.y_type)),
               w = up(quantized_weight_bytes(a.n, a.weight_rows())), columns = up((a.n + kQuantizedColumns) * 4),
               residual = a.residual_type == Element::kNone ? 0 : up(a.rows() * a.n * bytes_of(a.residual_type)),
               behind = up(int64_t{a.batch} * a.behind.in_h * a.behind.in_w * a.behind.channels);
  std::pair<int, double> best(0, 0.0);
  auto memory = device.pool()->allocate(x + y + w + residual + behind + columns);
  if (!memory.ok()) return best;
  const std::lock_guard lock(device.mutex());
  auto* at = static_cast<std::byte*>(memory->data());
  CAMEO_TRY(fill_measured(at, memory->bytes(), device.stream()));
  a.x = at;
  a.y = at + x;
  a.w = at + x + y;
  if (residual) a.residual = at + x + y + w;
  a.behind.x = at + x + y + w + residual;
  a.scale = a.behind.ratio = reinterpret_cast<const float*>(at + x + y + w + residual + behind);
  if (a.bias) a.bias = a.scale;
  if (a.x_factor) a.x_factor = a.scale;
  for (a.variant = 0; a.variant < kQuantizedVariants; ++a.variant) {
    const auto time = measure(device, [&](int) { return check(quantized_product(a, traits, device.stream()), "a product of 8 bits"); });
    if (time.ok() && (best.second == 0 || *time < best.second)) best = {a.variant, *time};
  }
  return best;
}

}  // namespace

Element element_of(DType type) {
  switch (type) {
    case DType::kUint8:
      return Element::kUint8;
    case DType::kInt8:
      return Element::kInt8;
    case DType::kFloat8E4M3FN:
      return Element::kFloat8;
    case DType::kFloat16:
      return Element::kFloat16;
    case DType::kBfloat16:
      return Element::kBFloat16;
    case DType::kFloat32:
      return Element::kFloat32;
    default:
      return Element::kNone;
  }
}

Result<std::unique_ptr<Operation>> make_quantized_product(StepBuilder& b, QuantizedProductArgs a, const QuantizedOperands& o,
                                                          double* microseconds) {
  std::unique_ptr<Operation> none;
  if (!b.device().has_gpu()) return none;
  a.x_type = element_of(o.x.dtype);
  a.y_type = element_of(o.y.dtype);
  a.residual_type = o.residual.present() ? element_of(o.residual.dtype) : Element::kNone;
  if (a.y_type == Element::kNone || (o.residual.present() && a.residual_type == Element::kNone)) return none;
  // Addresses that are aligned as those of the run will be.
  auto* somewhere = reinterpret_cast<void*>(uintptr_t{4096});
  const std::vector<void*> many(kMostOperands, somewhere);
  for (const Operand* each : {&o.x, &o.residual, &o.x_behind, &o.y})
    if (each->index >= kMostOperands) return none;
  place(a, o, {many, many, static_cast<std::byte*>(somewhere)});
  const DeviceTraits traits = traits_of(b.device());
  if (quantized_product_refusal(a, traits) != nullptr) return none;
  // The weights are there before the kernel before begins.
  a.dependent = o.w.kind == Operand::Kind::kFixed;
  const std::string problem = describe(a);
  a.variant = b.device().known_choice(problem);
  if (a.variant < 0 || a.variant >= kQuantizedVariants || microseconds) {
    CAMEO_ASSIGN(const auto best, fastest(b.device(), a, traits));
    a.variant = best.first;
    if (microseconds) *microseconds = best.second;
    if (best.second > 0) b.device().remember_choice(problem, a.variant);
  }
  return std::make_unique<QuantizedOperation>(a, traits, o);
}

Status tile_weight(StepBuilder& b, const Operand& to, int64_t rows, int64_t columns, const WeightElement& element) {
  // quantized_weight_offset() backwards.
  Source s;
  const std::string block = s.name("block"), column = s.name("column"), row = s.name("row");
  s.line(fmt::format("const I {} = i / 8192, c = i % 8192 / 128, piece = (i % 128 / 16) ^ (c % 8);", block));
  const std::string steps = s.number((rows + 127) / 128);
  s.line(fmt::format("const I {} = {} / {} * 64 + c % 8 / 2 * 16 + c / 8 * 2 + c % 2;", column, block, steps));
  s.line(fmt::format("const I {} = {} % {} * 128 + piece * 16 + i % 16;", row, block, steps));
  s.line(fmt::format("const bool inside = {} < {} && {} < {};", row, s.number(rows), column, s.number(columns)));
  s.line("if (!inside) { " + fmt::format("*((u8*){} + i) = 0; return; }}", s.write(to)));
  s.line(fmt::format("put({}[i], {});", s.write(to), element(s, row, column)));
  return s.launch_elements(b, to.dims.num_elements());
}

Result<Operand> tiled_weight(StepBuilder& b, size_t input, const std::string& form, DType type, int64_t rows, int64_t columns,
                             const WeightCode& code) {
  return b.prepared(input, fmt::format("tiles of {} x {} {}", rows, columns, form), type, Dims{quantized_weight_bytes(columns, rows)},
                    [&](StepBuilder& inner, const Operand& from, const Operand& to) {
                      return tile_weight(inner, to, rows, columns, [&](Source& s, const std::string& row, const std::string& column) {
                        return code(s, from, row, column);
                      });
                    });
}

}  // namespace cameo::cuda
