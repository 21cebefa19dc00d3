#include "huggingface/rotary.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace cameo::huggingface {
namespace {

// Wavelengths beyond the trained length are stretched, short ones stay, and between both there is a ramp (Llama 3.1).
void scale_llama3(Config& scaling, double factor, double trained, std::vector<float>& frequencies) {
  const double low = scaling.number("low_freq_factor", 1), high = scaling.number("high_freq_factor", 4);
  if (high <= low || low <= 0) return scaling.fail(ErrorCode::kInvalidModel, "high_freq_factor must be larger than low_freq_factor");
  for (float& f : frequencies) {
    const double turns = trained * f / (2 * std::numbers::pi);
    const double ramp = std::clamp((turns - low) / (high - low), 0.0, 1.0);
    f = static_cast<float>((1 - ramp) * f / factor + ramp * f);
  }
}

void scale_yarn(Config& scaling, double theta, double factor, double trained, Rotary& rotary) {
  const auto dim = static_cast<double>(rotary.frequencies.size() * 2);
  // The pair that turns so often within the trained length.
  const auto pair_of = [&](double turns) { return dim * std::log(trained / (turns * 2 * std::numbers::pi)) / (2 * std::log(theta)); };
  double low = pair_of(scaling.number("beta_fast", 32)), high = pair_of(scaling.number("beta_slow", 1));
  if (scaling.flag("truncate", true)) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0), high = std::min(high, dim - 1);
  if (low == high) high += 0.001;
  for (size_t i = 0; i < rotary.frequencies.size(); ++i) {
    const double stretched = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    float& f = rotary.frequencies[i];
    f = static_cast<float>(f / factor * stretched + f * (1 - stretched));
  }
  const auto scale_of = [&](double m) { return factor <= 1 ? 1.0 : 0.1 * m * std::log(factor) + 1; };
  const double all = scaling.number("mscale_all_dim", 0), one = scaling.number("mscale", 0);
  rotary.factor =
      static_cast<float>(scaling.number("attention_factor", all != 0 && one != 0 ? scale_of(one) / scale_of(all) : scale_of(1)));
}

}  // namespace

Rotary read_rotary(Config& config, int64_t dim) {
  // Newer files keep theta and the scaling in one object.
  auto parameters = config.object("rope_parameters");
  const double theta =
      parameters ? parameters->number("rope_theta", config.number("rope_theta", 10000)) : config.number("rope_theta", 10000);
  if (theta <= 1) config.fail(ErrorCode::kInvalidModel, "'rope_theta' must be larger than 1");
  Rotary rotary;
  if (dim > 65536) return config.fail(ErrorCode::kInvalidModel, fmt::format("rotary embedding cannot turn {} elements", dim)), rotary;
  for (int64_t i = 0; i < dim; i += 2)
    rotary.frequencies.push_back(1 / std::pow(static_cast<float>(theta), static_cast<float>(i) / static_cast<float>(dim)));
  auto scaling = parameters ? std::move(parameters) : config.object("rope_scaling");
  if (!scaling) return rotary;
  const std::string type = scaling->text("rope_type", scaling->text("type", "default"));
  const double factor = type == "default" ? 1 : scaling->number("factor");
  if (factor < 1) scaling->fail(ErrorCode::kInvalidModel, "'factor' must be at least 1");
  const auto trained =
      static_cast<double>(scaling->integer("original_max_position_embeddings", config.integer("max_position_embeddings", 2048)));
  if (type == "linear")
    for (float& f : rotary.frequencies) f = static_cast<float>(f / factor);
  else if (type == "llama3")
    scale_llama3(*scaling, factor, trained, rotary.frequencies);
  else if (type == "yarn")
    scale_yarn(*scaling, theta, factor, trained, rotary);
  else if (type != "default" && type != "dynamic")
    scaling->fail(ErrorCode::kUnsupported,
                  fmt::format("rope scaling '{}' is not known; known are linear, dynamic, llama3 and yarn", type.substr(0, 60)));
  config.adopt(*scaling);
  return rotary;
}

Result<RotaryTables> make_rotary_tables(const Rotary& rotary, int64_t positions) {
  RotaryTables tables;
  const auto pairs = static_cast<int64_t>(rotary.frequencies.size());
  CAMEO_ASSIGN(tables.cos, Tensor::allocate(DType::kFloat32, {positions, pairs}));
  CAMEO_ASSIGN(tables.sin, Tensor::allocate(DType::kFloat32, {positions, pairs}));
  for (int64_t p = 0; p < positions; ++p)
    for (int64_t i = 0; i < pairs; ++i) {
      const float angle = static_cast<float>(p) * rotary.frequencies[static_cast<size_t>(i)];
      tables.cos.data<float>()[p * pairs + i] = std::cos(angle) * rotary.factor;
      tables.sin.data<float>()[p * pairs + i] = std::sin(angle) * rotary.factor;
    }
  return tables;
}

}  // namespace cameo::huggingface
