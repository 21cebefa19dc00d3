#include <algorithm>

#include "base/error.h"
#include "pipelines/decoder_strategy.h"

namespace cameo {
namespace {

constexpr std::string_view kPast = "past_key_values.", kPresent = "present.";

bool is_index(const TensorInfo& t, size_t rank) {
  return t.is_tensor && (t.dtype == DType::kInt64 || t.dtype == DType::kInt32) && t.has_rank && t.dims.size() == rank;
}

bool is_float(DType type) { return type == DType::kFloat32 || type == DType::kFloat16 || type == DType::kBfloat16; }

// The largest extent that the model and its profiles allow; 0 when nothing limits it.
int64_t limit(const Engine& engine, const std::string& input, size_t dim) {
  for (const TensorInfo& t : engine.inputs())
    if (t.name == input && t.dims[dim].value >= 0) return t.dims[dim].value;
  int64_t most = 0;
  for (const Profile& profile : engine.profiles()) {
    const auto range = std::find_if(profile.inputs.begin(), profile.inputs.end(), [&](const InputRange& r) { return r.name == input; });
    if (range == profile.inputs.end() || dim >= range->max.rank()) return 0;
    most = std::max(most, range->max[dim]);
  }
  return most;
}

// Keys or values, when the input is one of these.
std::optional<LanguageModel::Cache> read_cache(const TensorInfo& t) {
  const size_t rank = t.dims.size();
  if (!t.name.starts_with(kPast) || !t.is_tensor || !is_float(t.dtype) || (rank != 3 && rank != 4)) return std::nullopt;
  LanguageModel::Cache cache = {t.name, std::string(kPresent) + t.name.substr(kPast.size()), rank == 3, 1, t.dims[rank - 1].value};
  if (rank == 4) cache.heads = t.dims[1].value;
  if (cache.heads < 1 || cache.size < 1) return std::nullopt;
  return cache;
}

}  // namespace

Result<LanguageModel> LanguageModel::read(const Engine& engine) {
  const auto refuse = [](const TensorInfo& t) {
    return error(ErrorCode::kUnsupported,
                 "'{}' ({}) is not an input of the language models that are known: input_ids, attention_mask and position_ids, "
                 "int64[batch, sequence], and past_key_values.N.key and .value, float[batch, heads, past, size]",
                 t.name, t.type);
  };
  LanguageModel model;
  int lengths = 0;
  for (const TensorInfo& t : engine.inputs()) {
    if (t.name == "input_ids" && is_index(t, 2)) {
      model.ids = {t.name, t.dtype};
    } else if (t.name == "attention_mask" && (is_index(t, 2) || (t.dtype == DType::kBool && t.dims.size() == 2))) {
      model.mask = {t.name, t.dtype};
    } else if (t.name == "position_ids" && is_index(t, 2)) {
      model.positions = {t.name, t.dtype};
    } else if ((t.name == "past_lengths" || t.name == "last_positions") && t.is_tensor && t.dtype == DType::kInt64 && t.dims.size() == 1) {
      ++lengths;
    } else if (auto cache = read_cache(t); cache && (model.caches.empty() || model.cache_type == t.dtype)) {
      model.cache_type = t.dtype;
      model.caches.push_back(*std::move(cache));
    } else {
      return refuse(t);
    }
  }
  model.in_place = lengths == 2;
  if (lengths == 1 || (model.in_place && (model.caches.empty() || model.mask || model.positions)))
    return error(ErrorCode::kUnsupported, "the inputs are those of a plan with a cache only in part");
  if (!model.in_place)
    for (const Cache& cache : model.caches)
      if (cache.packed) return error(ErrorCode::kUnsupported, "input '{}' is not [batch, heads, past, size]", cache.past);
  if (model.ids.name.empty()) return error(ErrorCode::kUnsupported, "the model has no input 'input_ids', int64[batch, sequence]");
  const auto outputs = engine.outputs();
  const auto find = [&](const std::string& name) {
    return std::find_if(outputs.begin(), outputs.end(), [&](const TensorInfo& t) { return t.name == name; });
  };
  const auto logits = find("logits");
  if (logits == outputs.end() || !logits->is_tensor || !is_float(logits->dtype) || logits->dims.size() != 3)
    return error(ErrorCode::kUnsupported, "the model has no output 'logits' of type float32[batch, sequence, vocabulary]");
  for (const Cache& cache : model.caches)
    if (const auto present = find(cache.present); present == outputs.end() || present->dtype != model.cache_type)
      return error(ErrorCode::kUnsupported, "input '{}' has no output '{}' that goes with it", cache.past, cache.present);
  model.logits = logits->name;
  model.logits_type = logits->dtype;
  model.vocabulary = std::max<int64_t>(logits->dims[2].value, 0);
  model.max_batch = limit(engine, model.ids.name, 0);
  model.max_length =
      model.in_place ? limit(engine, model.caches[0].past, model.caches[0].packed ? 1 : 2) : limit(engine, model.ids.name, 1);
  return model;
}

}  // namespace cameo
