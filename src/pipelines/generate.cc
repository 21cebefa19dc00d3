#include "pipelines/generate.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"

namespace cameo {

Result<Generator> Generator::create(const Engine& engine) {
  bool has_ids = false, has_mask = false;
  for (const TensorInfo& input : engine.inputs()) {
    if (input.dtype != DType::kInt64 || input.dims.size() != 2 || (input.name != "input_ids" && input.name != "attention_mask"))
      return error(ErrorCode::kUnsupported, "input '{}' ({}) is not one of input_ids and attention_mask, int64[batch, sequence]",
                   input.name, input.type);
    (input.name == "input_ids" ? has_ids : has_mask) = true;
  }
  if (!has_ids) return error(ErrorCode::kUnsupported, "the model has no input 'input_ids'");
  const auto outputs = engine.outputs();
  const auto logits = std::find_if(outputs.begin(), outputs.end(), [](const TensorInfo& t) { return t.name == "logits"; });
  if (logits == outputs.end() || logits->dtype != DType::kFloat32 || logits->dims.size() != 3)
    return error(ErrorCode::kUnsupported, "the model has no output 'logits' of type float32[batch, sequence, vocabulary]");
  CAMEO_ASSIGN(ExecutionContext context, engine.create_context());
  return Generator(std::move(context), logits->name, has_mask);
}

Status Generator::set_inputs(std::span<const int64_t> ids, std::span<const int64_t> mask) {
  const Dims shape = {1, static_cast<int64_t>(ids.size())};
  // The context only reads its inputs.
  CAMEO_TRY(context_.set_input("input_ids", Tensor::view(DType::kInt64, shape, const_cast<int64_t*>(ids.data()))));
  if (has_mask_) CAMEO_TRY(context_.set_input("attention_mask", Tensor::view(DType::kInt64, shape, const_cast<int64_t*>(mask.data()))));
  return {};
}

Result<std::vector<uint32_t>> Generator::generate(std::span<const uint32_t> prompt, size_t max_new_tokens, std::span<const uint32_t> stop,
                                                  const OnStep& on_step) {
  if (prompt.empty()) return error(ErrorCode::kInvalidInput, "the prompt has no tokens");
  if (max_new_tokens == 0) return std::vector<uint32_t>{};
  if (max_new_tokens > size_t{1} << 30) return error(ErrorCode::kInvalidArgument, "{} new tokens are too many", max_new_tokens);
  std::vector<int64_t> ids(prompt.begin(), prompt.end());
  ids.reserve(prompt.size() + max_new_tokens);
  const std::vector<int64_t> mask(prompt.size() + max_new_tokens, 1);
  // The longest input first: a length that no profile allows is refused before any work is done.
  ids.resize(prompt.size() + max_new_tokens - 1);
  CAMEO_TRY(set_inputs(ids, std::span(mask).first(ids.size())));
  if (auto longest = context_.output_shape(output_); !longest.ok())
    return std::move(longest).error().in(fmt::format("{} prompt tokens and {} new ones", prompt.size(), max_new_tokens));
  ids.resize(prompt.size());

  std::vector<uint32_t> made;
  while (made.size() < max_new_tokens) {
    CAMEO_TRY(set_inputs(ids, std::span(mask).first(ids.size())));
    const auto start = std::chrono::steady_clock::now();
    CAMEO_TRY(context_.run());
    const double milliseconds = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    CAMEO_ASSIGN(const Tensor all, context_.output(output_));
    const auto length = static_cast<int64_t>(ids.size());
    if (all.rank() != 3 || all.dim(0) != 1 || all.dim(1) != length || all.dim(2) == 0)
      return error(ErrorCode::kUnsupported, "the model gave logits of shape {} for {} tokens", all.dims().to_string(), length);
    const std::span<const float> logits(all.data<float>() + (length - 1) * all.dim(2), static_cast<size_t>(all.dim(2)));
    const auto token = static_cast<uint32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
    made.push_back(token);
    ids.push_back(token);
    if (on_step && !on_step({token, logits, milliseconds})) break;
    if (std::find(stop.begin(), stop.end(), token) != stop.end()) break;
  }
  return made;
}

}  // namespace cameo
