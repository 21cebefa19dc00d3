#include "backends/cuda/tile_products.h"

#include <algorithm>

#include "backends/cuda/fast_kernels.h"
#include "backends/cuda/measure.h"
#include "backends/cuda/wide_products.h"

namespace cameo::cuda {
namespace {

class TileOperation final : public Operation {
 public:
  TileOperation(const TileGemmArgs& args, int choice, const DeviceTraits& traits, const TileProblem& p, Operand w)
      : args_(args),
        choice_(choice),
        traits_(traits),
        x_(p.x),
        w_(std::move(w)),
        bias_(p.bias),
        addend_(p.addend),
        behind_(p.x_behind),
        y_(p.y) {}
  Status run(const Addresses& at, cudaStream_t stream) override {
    args_.x = at.of(x_);
    args_.w = at.of(w_);
    args_.bias = at.of(bias_);
    args_.addend = at.of(addend_);
    args_.behind.x = at.of(behind_);
    args_.y = at.of(y_);
    return check(
        choice_ < kTileChoices ? tile_gemm(args_, choice_, traits_, stream) : wide_product(args_, choice_ - kTileChoices, traits_, stream),
        "a product by tiles");
  }

 private:
  TileGemmArgs args_;
  const int choice_;
  const DeviceTraits traits_;
  const Operand x_, w_, bias_, addend_, behind_, y_;
};

// An address that is aligned as those of the run will be.
void* aligned_like(const Operand& o) {
  if (!o.present()) return nullptr;
  return o.kind == Operand::Kind::kFixed ? o.fixed : reinterpret_cast<void*>(uintptr_t{4096} + o.offset);
}

// Ways to do a problem: those of kernels/tile_gemm.h, then those of kernels/wide_product.h.
constexpr int kChoices = kTileChoices + kWideVariants;
const char* refusal(const TileProblem& p, const TileGemmArgs& a, int choice, const DeviceTraits& traits) {
  return choice < kTileChoices ? tile_gemm_refusal(a, choice, traits) : wide_refusal(p, a, choice - kTileChoices, traits);
}
bool promising(const TileGemmArgs& a, int choice, const DeviceTraits& traits) {
  return choice < kTileChoices ? tile_gemm_promising(a, choice, traits) : wide_promising(a, choice - kTileChoices, traits);
}

// The fastest choice and its time; -1 where none works. kOutOfMemory where there is no memory to measure over.
Result<std::pair<int, double>> fastest(Device& device, const TileGemmArgs& args, const TileProblem& p, const DeviceTraits& traits) {
  const auto up = [](size_t n) { return (n + 255) / 256 * 256; };
  const size_t w_bytes = up(static_cast<size_t>(std::max(p.n * p.k, wide_weight_elements(p.n, p.k))) * 2),
               y_bytes = up(static_cast<size_t>(p.m * p.n) * 2), bias_bytes = up(static_cast<size_t>(p.n) * 2);
  size_t x_bytes = up(static_cast<size_t>(p.m * p.k) * 2);
  if (p.window) {
    const TileWindow& w = *p.window;
    x_bytes = up(static_cast<size_t>(p.m / (int64_t{w.out_height} * w.out_width)) * static_cast<size_t>(w.height) *
                 static_cast<size_t>(w.width) * static_cast<size_t>(w.channels) * 2);
  }
  size_t behind_bytes = 0;
  if (p.behind.channels)
    behind_bytes =
        up(static_cast<size_t>(p.m / (int64_t{p.window->out_height} * p.window->out_width)) * static_cast<size_t>(p.behind.height) *
           static_cast<size_t>(p.behind.width) * static_cast<size_t>(p.behind.channels) * 2);
  const size_t copies = std::clamp<size_t>(2 * device.info().l2_bytes / w_bytes, 1, 64);
  std::pair<int, double> best(-1, 0.0);
  CAMEO_ASSIGN(const MemoryPool::Block memory,
               device.pool()->allocate(w_bytes * copies + x_bytes + 2 * y_bytes + bias_bytes + behind_bytes));
  const std::lock_guard lock(device.mutex());
  auto* base = static_cast<std::byte*>(memory.data());
  CAMEO_TRY(fill_measured(base, memory.bytes(), device.stream()));
  TileGemmArgs a = args;
  a.x = base + w_bytes * copies;
  a.y = base + w_bytes * copies + x_bytes;
  if (a.addend) a.addend = base + w_bytes * copies + x_bytes + y_bytes;
  if (a.bias) a.bias = base + w_bytes * copies + x_bytes + 2 * y_bytes;
  if (p.behind.channels) a.behind.x = base + w_bytes * copies + x_bytes + 2 * y_bytes + bias_bytes;
  for (int choice = 0; choice < kChoices; ++choice) {
    if (refusal(p, args, choice, traits) || !promising(args, choice, traits)) continue;
    const auto time = measure(device, [&](int call) {
      a.w = base + static_cast<size_t>(call) % copies * w_bytes;
      if (choice >= kTileChoices) return check(wide_product(a, choice - kTileChoices, traits, device.stream()), "a product of many rows");
      return check(tile_gemm(a, choice, traits, device.stream()), "a product by tiles");
    });
    if (time.ok() && (best.first < 0 || *time < best.second)) best = {choice, *time};
  }
  return best;
}

std::string describe(const TileProblem& p, const TileGemmArgs& a) {
  std::string window;
  if (p.window) {
    const TileWindow& w = *p.window;
    window =
        fmt::format(" of {}x{}x{} by {}x{} to {}x{} stride {} {} dilation {} {} pad {} {}", w.height, w.width, w.channels, w.kernel_height,
                    w.kernel_width, w.out_height, w.out_width, w.stride_h, w.stride_w, w.dilation_h, w.dilation_w, w.pad_top, w.pad_left);
  }
  if (p.behind.channels)
    window += fmt::format(" behind {}x{}x{} stride {} {}", p.behind.height, p.behind.width, p.behind.channels, p.behind.stride_h,
                          p.behind.stride_w);
  return fmt::format("tile, wide or divided {} {}x{}x{}{} act {} bias {} add {} {} dependent {}", dtype_name(p.x.dtype), p.m, p.n, p.k, window,
                     static_cast<int>(p.activation), p.bias.present(), p.addend.present(), p.addend_first, a.dependent);
}

}  // namespace

std::optional<TileEpilogue> match_tile_epilogue(const StepBuilder& b, const ops::PointProgram& program, const Dims& y) {
  TileEpilogue e;
  const auto inputs = static_cast<int16_t>(program.num_inputs);
  bool activated = false;
  for (size_t i = 0; i < program.code.size(); ++i) {
    const ops::PointInstruction& in = program.code[i];
    const int16_t made = i == 0 ? int16_t{0} : static_cast<int16_t>(inputs + i - 1);
    if (in.op == ops::PointOp::kAdd && (in.a == made) != (in.b == made)) {
      const int16_t other = in.a == made ? in.b : in.a;
      if (other <= 0 || other >= inputs) return std::nullopt;
      const size_t input = static_cast<size_t>(other) + 1;
      const Dims& dims = b.in_dims(input);
      if (!e.bias && !activated && dims.rank() > 0 && dims.back() == y.back() && dims.num_elements() == y.back()) {
        e.bias = input;
      } else if (!e.addend && dims == y) {
        e.addend = input;
        e.addend_first = !activated;
      } else {
        return std::nullopt;
      }
      continue;
    }
    if (in.a != made || activated) return std::nullopt;
    activated = true;
    switch (in.op) {
      case ops::PointOp::kRelu:
        e.activation = TileActivation::kRelu;
        break;
      case ops::PointOp::kGelu:
        e.activation = TileActivation::kGelu;
        break;
      case ops::PointOp::kGeluTanh:
        e.activation = TileActivation::kGeluTanh;
        break;
      case ops::PointOp::kSwish:
        e.activation = TileActivation::kSilu;
        break;
      case ops::PointOp::kHardSwish:
        e.activation = TileActivation::kHardSwish;
        break;
      default:
        return std::nullopt;
    }
  }
  return e;
}

namespace {

// The kernel's arguments, if it takes the problem.
std::optional<TileGemmArgs> arguments(Device& device, const TileProblem& p) {
  const DType type = p.x.dtype;
  if (!device.has_gpu() || (type != DType::kFloat16 && type != DType::kBfloat16)) return std::nullopt;
  for (const Operand* o : {&p.w, &p.bias, &p.addend, &p.x_behind, &p.y})
    if (o->present() && o->dtype != type) return std::nullopt;
  if (p.m > INT32_MAX / 2 || p.n > INT32_MAX / 2 || p.k > INT32_MAX / 2) return std::nullopt;
  TileGemmArgs a;
  a.type = type == DType::kFloat16 ? Scalar::kFloat16 : Scalar::kBFloat16;
  a.m = static_cast<int32_t>(p.m);
  a.n = static_cast<int32_t>(p.n);
  a.k = static_cast<int32_t>(p.k);
  a.x = aligned_like(p.x);
  a.w = aligned_like(p.w);
  a.bias = aligned_like(p.bias);
  a.addend = aligned_like(p.addend);
  a.y = aligned_like(p.y);
  a.activation = p.activation;
  a.addend_first = p.addend_first;
  a.convolution = p.window.has_value();
  if (p.window) a.window = *p.window;
  a.behind = p.behind;
  a.behind.x = aligned_like(p.x_behind);
  // The weights are read while the kernel before still runs.
  a.dependent = p.w.kind == Operand::Kind::kFixed && device.info().arch() >= 90;
  const DeviceTraits traits = traits_of(device);
  bool any = false;
  for (int choice = 0; choice < kChoices && !any; ++choice) any = !refusal(p, a, choice, traits);
  return any ? std::optional(a) : std::nullopt;
}

}  // namespace

bool tiles_take(Device& device, const TileProblem& problem) { return arguments(device, problem).has_value(); }

Result<bool> try_tiles(StepBuilder& b, const TileProblem& p, const std::function<Result<double>()>& library) {
  Device& device = b.device();
  const auto taken = arguments(device, p);
  if (!taken) return false;
  const TileGemmArgs& a = *taken;
  const DeviceTraits traits = traits_of(device);
  const std::string problem = describe(p, a);
  int known = device.known_choice(problem);  // 0: the library; 1 + choice
  if (known < 0 || (known > 0 && refusal(p, a, known - 1, traits))) {
    const auto best = fastest(device, a, p, traits);
    if (!best.ok() && best.error().code() == ErrorCode::kOutOfMemory) return false;
    if (!best.ok()) return best.error();
    known = 0;
    if (best->first >= 0) {
      CAMEO_ASSIGN(const double other, library());
      if (other == 0 || best->second + p.before < other) known = 1 + best->first;
    }
    device.remember_choice(problem, known);
  }
  if (known == 0) return false;
  Operand w = p.w;
  if (known > kTileChoices) {
    CAMEO_ASSIGN(w, wide_weight(b, p));
  }
  b.add(std::make_unique<TileOperation>(a, known - 1, traits, p, std::move(w)));
  return true;
}

}  // namespace cameo::cuda
