#include <algorithm>
#include <array>

#include "ops/op.h"

namespace cameo::ops {

#define CAMEO_OP(name) extern const OpDef name##_op;
#include "ops/ops.inc"
#undef CAMEO_OP

namespace {

constexpr const OpDef* kOps[] = {
#define CAMEO_OP(name) &name##_op,
#include "ops/ops.inc"
#undef CAMEO_OP
};

bool before(const OpDef* a, std::pair<std::string_view, std::string_view> key) { return std::pair(a->name, a->domain) < key; }

}  // namespace

std::span<const OpDef* const> all_ops() {
  static const auto sorted = [] {
    std::array<const OpDef*, std::size(kOps)> ops;
    std::copy(std::begin(kOps), std::end(kOps), ops.begin());
    std::sort(ops.begin(), ops.end(), [](auto* a, auto* b) { return std::pair(a->name, a->domain) < std::pair(b->name, b->domain); });
    return ops;
  }();
  return sorted;
}

const OpDef* find_op(std::string_view domain, std::string_view name) {
  if (domain == "ai.onnx") domain = "";
  const auto ops = all_ops();
  const auto it = std::lower_bound(ops.begin(), ops.end(), std::pair(name, domain), before);
  return it != ops.end() && (*it)->name == name && (*it)->domain == domain ? *it : nullptr;
}

std::string TypeSet::to_string() const {
  std::string text;
  for (int i = 1; i < kNumDTypes; ++i)
    if (contains(static_cast<DType>(i))) text.append(text.empty() ? "" : ", ").append(dtype_name(static_cast<DType>(i)));
  return text;
}

RtValue RtValue::sequence(std::vector<RtValue> elements, DType element_dtype) {
  return {ir::Type::Kind::kSequence, {}, std::make_shared<std::vector<RtValue>>(std::move(elements)), element_dtype};
}

RtValue RtValue::optional(std::optional<RtValue> element) {
  auto elements = std::make_shared<std::vector<RtValue>>();
  if (element) elements->push_back(std::move(*element));
  return {ir::Type::Kind::kOptional, {}, std::move(elements), DType::kUndefined};
}

std::optional<std::vector<int64_t>> InferContext::ints(size_t i) const {
  if (!has_input(i)) return std::nullopt;
  if (const Tensor* t = constant(i)) {
    std::vector<int64_t> values(static_cast<size_t>(t->num_elements()));
    for (size_t k = 0; k < values.size(); ++k) {
      if (t->dtype() == DType::kInt64)
        values[k] = t->data<int64_t>()[k];
      else if (t->dtype() == DType::kInt32)
        values[k] = t->data<int32_t>()[k];
      else
        return std::nullopt;
    }
    return values;
  }
  const auto dims = values(i);
  if (!dims || !ir::is_static(*dims)) return std::nullopt;
  std::vector<int64_t> values;
  for (const ir::Dim& d : *dims) values.push_back(d.value());
  return values;
}

}  // namespace cameo::ops
