#include "backends/cuda/encoder_chain.h"

#include <algorithm>
#include <array>

#include "backends/cuda/fast_kernels.h"
#include "backends/cuda/measure.h"
#include "backends/cuda/tuning.h"

namespace cameo::cuda {
namespace {

class EncoderChainOperation final : public Operation {
 public:
  EncoderChainOperation(const EncoderChainArgs& args, std::vector<EncoderLayer> layers, std::vector<EncoderSums> sums,
                        const DeviceTraits& traits, Operand x, Operand mask, Operand y, Operand workspace)
      : args_(args),
        layers_(std::move(layers)),
        sums_(std::move(sums)),
        traits_(traits),
        x_(std::move(x)),
        mask_(std::move(mask)),
        y_(std::move(y)),
        workspace_(std::move(workspace)) {
    args_.encoder.layer = layers_.data();
    args_.sums = sums_.data();
  }
  Status run(const Addresses& at, cudaStream_t stream) override {
    args_.encoder.x = at.of(x_);
    args_.encoder.bias = at.of(mask_);
    args_.encoder.y = at.of(y_);
    args_.encoder.workspace = at.of(workspace_);
    return check(encoder_chain(args_, traits_, stream), "the layers of an encoder");
  }

 private:
  EncoderChainArgs args_;
  const std::vector<EncoderLayer> layers_;
  const std::vector<EncoderSums> sums_;
  const DeviceTraits traits_;
  const Operand x_, mask_, y_, workspace_;
};

constexpr int kMostTilings = 16, kMeasuredLayers = 3;

// Candidates of a product, the likeliest first. In the second layer it has all operands that it has in any.
std::vector<RowsTiling> candidates(const EncoderChainArgs& args, EncoderProduct which, const DeviceTraits& traits) {
  std::vector<RowsTiling> tilings = rows_tilings(encoder_chain_product(args, std::min(1, args.encoder.layers - 1), which), traits);
  if (tilings.size() > kMostTilings) tilings.resize(kMostTilings);
  return tilings;
}

// Chooses the tilings one after another, each within a chain of the model's own layers. False where there is no memory for that: the
// likeliest are taken then.
Result<bool> measure_tilings(Device& device, EncoderChainArgs& args, std::array<int, kEncoderProducts>& chosen,
                             const DeviceTraits& traits) {
  const EncoderArgs whole = args.encoder;
  EncoderChainArgs part = args;
  part.encoder.layers = std::min(whole.layers, kMeasuredLayers);
  const int groups = whole.layers / part.encoder.layers;
  const auto up = [](size_t n) { return (n + 255) / 256 * 256; };
  const size_t rows = static_cast<size_t>(whole.batch) * static_cast<size_t>(whole.tokens),
               x_bytes = up(rows * static_cast<size_t>(whole.hidden) * 2),
               mask_bytes =
                   whole.bias_type == BiasType::kNone
                       ? 0
                       : up(4 * static_cast<size_t>(whole.batch * whole.bias_strides.batch + whole.heads * whole.bias_strides.head +
                                                    whole.tokens * whole.bias_strides.row + whole.bias_keys));
  auto memory = device.pool()->allocate(2 * x_bytes + mask_bytes + static_cast<size_t>(encoder_chain_workspace(whole)));
  if (!memory.ok()) return false;
  const std::lock_guard lock(device.mutex());
  auto* base = static_cast<std::byte*>(memory->data());
  CAMEO_TRY(fill(base, kMeasuredByte, memory->bytes(), device.stream()));
  part.encoder.x = base, part.encoder.y = base + x_bytes, part.encoder.workspace = base + 2 * x_bytes + mask_bytes;
  if (mask_bytes) part.encoder.bias = base + 2 * x_bytes;
  const auto time = [&] {
    return measure(device, [&](int call) {
      const int first = call % groups * part.encoder.layers;
      EncoderChainArgs these = part;
      these.encoder.layer += first, these.sums += first;
      return check(encoder_chain(these, traits, device.stream()), "the layers of an encoder");
    });
  };
  auto best = time();
  if (!best.ok()) return std::move(best).error();
  for (const EncoderProduct which : {kEncoderDown, kEncoderUp, kEncoderQkv, kEncoderOut}) {
    const std::vector<RowsTiling> tilings = candidates(args, which, traits);
    const int count =
        Tuning::current() ? Tuning::current()->candidates(static_cast<int>(tilings.size())) : static_cast<int>(tilings.size());
    for (int i = 1; i < count; ++i) {
      part.tilings[which] = tilings[static_cast<size_t>(i)];
      const auto now = time();
      if (now.ok() && *now < *best) *best = *now, chosen[which] = i;
    }
    part.tilings[which] = tilings[static_cast<size_t>(chosen[which])];
  }
  return true;
}

}  // namespace

Status add_encoder_chain(StepBuilder& b, const EncoderArgs& encoder, std::vector<EncoderLayer> layers, std::vector<EncoderSums> sums,
                         Operand x, Operand mask, Operand y) {
  Device& device = b.device();
  const DeviceTraits traits = traits_of(device);
  EncoderChainArgs args{.encoder = encoder, .sums = sums.data(), .tilings = {}};
  args.encoder.layer = layers.data();
  // Until the run has them: any that are aligned as they will be.
  void* const some = reinterpret_cast<void*>(uintptr_t{4096});
  args.encoder.x = args.encoder.y = args.encoder.workspace = some;
  const Operand workspace = b.scratch(DType::kUint8, Dims{encoder_chain_workspace(encoder)});
  std::array<int, kEncoderProducts> chosen{};
  bool known = true;
  const auto problem = [&](int which) {
    const RowsProductArgs p = encoder_chain_product(args, 0, static_cast<EncoderProduct>(which));
    return fmt::format("encoder layer product {} type {} {}x{}x{} heads {} tokens {} act {} pre {} bias {} {}", which, static_cast<int>(p.type),
                       p.m, p.n, p.k, encoder.heads, encoder.tokens, static_cast<int>(encoder.activation), encoder.pre,
                       encoder.bias_type != BiasType::kNone, encoder.relative != nullptr);
  };
  for (int which = 0; which < kEncoderProducts; ++which) {
    const std::vector<RowsTiling> tilings = candidates(args, static_cast<EncoderProduct>(which), traits);
    if (tilings.empty()) return error(ErrorCode::kUnsupported, "a product of the layers of an encoder has no kernel");
    const int choice = device.known_choice(problem(which));
    if (choice < 0 || choice >= static_cast<int>(tilings.size()))
      known = false;
    else
      chosen[static_cast<size_t>(which)] = choice;
    args.tilings[which] = tilings[static_cast<size_t>(chosen[static_cast<size_t>(which)])];
  }
  bool measured = false;
  if (!known) {
    CAMEO_ASSIGN(measured, measure_tilings(device, args, chosen, traits));
  }
  for (int which = 0; which < kEncoderProducts; ++which) {
    if (measured) device.remember_choice(problem(which), chosen[static_cast<size_t>(which)]);
    args.tilings[which] =
        candidates(args, static_cast<EncoderProduct>(which), traits)[static_cast<size_t>(chosen[static_cast<size_t>(which)])];
  }
  b.add(std::make_unique<EncoderChainOperation>(args, std::move(layers), std::move(sums), traits, std::move(x), std::move(mask),
                                                std::move(y), workspace));
  return {};
}

}  // namespace cameo::cuda
