// Loop (ai.onnx 1, 11, 13, 16, 19, 21, 23, 24, 25): runs its body while i < M and the condition holds.
// Inputs: M (int64, may be absent: no limit), cond (bool, may be absent: the body's condition is then ignored), N carried values.
// The body takes (i, cond, carried...) and gives (cond, carried..., K scan values); each scan output stacks the values of all
// iterations along a new first axis. Later versions add types and let carried values be sequences and optionals.
#include <algorithm>
#include <limits>

#include "ops/dispatch.h"
#include "ops/sequence.h"

namespace cameo::ops {
namespace {

// Below this depth of nesting, carried shapes are given up at once instead of being settled by repeated inference.
constexpr int kDepthOfRepeatedInference = 3;
constexpr int kInferenceRounds = 4;

size_t num_carried(const ir::Node& node) { return std::max<size_t>(node.inputs.size(), 2) - 2; }

Status check_body(const ir::Node& node) {
  const ir::Subgraph& body = node.subgraphs[0];
  if (body.num_formal_inputs() != 2 + num_carried(node))
    return error(ErrorCode::kInvalidModel, "the body has {} inputs; with {} carried values it needs {}", body.num_formal_inputs(),
                 num_carried(node), 2 + num_carried(node));
  if (body.graph->outputs.size() < 1 + std::max(num_carried(node), node.outputs.size()))
    return error(ErrorCode::kInvalidModel, "the body has {} outputs; with {} carried values and {} outputs of the node it needs {}",
                 body.graph->outputs.size(), num_carried(node), node.outputs.size(), 1 + std::max(num_carried(node), node.outputs.size()));
  return {};
}

// Whether the body hands on the condition it is given, or true: then only M ends the loop.
bool condition_is_constant(const ir::Graph& body) {
  ir::ValueId id = body.outputs[0];
  for (auto node = body.nodes.rbegin(); node != body.nodes.rend(); ++node)
    if (!node->outputs.empty() && node->outputs[0] == id && node->op->name == "Identity") id = node->inputs[0];
  const Tensor& constant = body.value(id).constant;
  if (constant.defined()) return constant.dtype() == DType::kBool && constant.num_elements() == 1 && constant.data<bool>()[0];
  return id == body.inputs[1];
}

// How many iterations there are, when that is known.
ir::Dim trip_count(const InferContext& c) {
  const auto limit = c.values(0);
  if (!limit || limit->size() != 1 || (*limit)[0].is_unknown()) return {};
  if (c.has_input(1)) {
    const Tensor* condition = c.constant(1);
    if (!condition || condition->num_elements() != 1 || !condition->data<bool>()[0]) return {};
    if (!condition_is_constant(*c.node().subgraphs[0].graph)) return {};
  }
  const ir::Dim& count = (*limit)[0];
  if (!count.is_const()) return max(count, 0);
  // Exporters write the largest int64 for "no limit".
  if (count.value() > std::numeric_limits<int32_t>::max()) return {};
  return std::max<int64_t>(count.value(), 0);
}

// Types of the carried values that hold in every iteration, and what the body makes of them.
Result<std::vector<ir::Type>> infer_body(InferContext& c, std::vector<ir::Type>& formal) {
  const bool repeat = c.subgraph_depth() < kDepthOfRepeatedInference;
  for (int round = 1;; ++round) {
    if (!repeat || round == kInferenceRounds)
      for (size_t i = 2; i < formal.size(); ++i)
        if (formal[i].is_tensor()) formal[i].shape.reset();
    auto made = c.infer_subgraph(0, formal);
    if (!made.ok()) return std::move(made).error().in("body");
    bool settled = true;
    for (size_t i = 2; i < formal.size(); ++i) {
      const ir::Type& out = (*made)[i - 1];
      if (formal[i].is_tensor() && out.is_tensor() && formal[i].dtype != DType::kUndefined && out.dtype != DType::kUndefined &&
          formal[i].dtype != out.dtype)
        return error(ErrorCode::kInvalidModel, "carried value {} starts as {}, but the body makes {} of it", i - 2, formal[i].to_string(),
                     out.to_string());
      ir::Type either = ir::join(formal[i], out);
      settled &= either.to_string() == formal[i].to_string();
      formal[i] = std::move(either);
    }
    if (settled || !repeat || round == kInferenceRounds) return made;
  }
}

Status infer(InferContext& c) {
  CAMEO_TRY(check_body(c.node()));
  if (!c.has_input(0) && !c.has_input(1))
    return error(ErrorCode::kUnsupported, "has neither a trip count (input 0) nor a condition (input 1): it would never end");
  std::vector<ir::Type> formal = {ir::Type::tensor(DType::kInt64, {}), ir::Type::tensor(DType::kBool, {})};
  for (size_t i = 2; i < c.num_inputs(); ++i) formal.push_back(c.input(i));
  CAMEO_ASSIGN(std::vector<ir::Type> made, infer_body(c, formal));
  const size_t carried = num_carried(c.node());
  for (size_t i = 0; i < c.num_outputs(); ++i) {
    if (i < carried) {
      c.set_output(i, std::move(formal[2 + i]));
      continue;
    }
    ir::Type& type = made[1 + i];
    if (type.kind != ir::Type::Kind::kUnknown && !type.is_tensor())
      return error(ErrorCode::kInvalidModel, "scan output {} is {}; only tensors can be stacked", i - carried, type.to_string());
    if (type.shape) type.shape->insert(type.shape->begin(), trip_count(c));
    c.set_output(i, std::move(type));
  }
  return {};
}

// Stacks tensors of one type and shape along a new first axis. Room is made for the expected number at once, but not for
// absurd ones, and doubled when it runs out.
class Stack {
 public:
  explicit Stack(int64_t expected) : expected_(expected) {}

  Status push(const RtValue& value) {
    const Tensor& t = value.tensor;
    if (!value.is_tensor() || !t.defined()) return error(ErrorCode::kInvalidInput, "only tensors can be stacked");
    if (!rows_.defined()) {
      row_ = t.dims();
      const auto row_bytes = static_cast<int64_t>(t.num_bytes()) + 1;
      const bool all = expected_ <= kLargestGuess / row_bytes;
      CAMEO_TRY(reserve(t.dtype(), all ? expected_ : std::clamp<int64_t>(kFirstGuess / row_bytes, 1, expected_)));
    }
    if (t.dtype() != rows_.dtype() || t.dims() != row_)
      return error(ErrorCode::kInvalidInput, "the body gives {}[{}] where it gave {}[{}] before; all iterations must give one shape",
                   dtype_name(t.dtype()), t.dims().to_string(), dtype_name(rows_.dtype()), row_.to_string());
    if (count_ == rows_.dim(0)) CAMEO_TRY(reserve(t.dtype(), std::min(2 * count_, expected_)));
    ++count_;
    return copy(t, rows_, (count_ - 1) * t.num_elements());
  }

  // `type` is that of one value, for the case that there was none: extents that are not known count as 0.
  Result<Tensor> finish(const ir::Type& type) {
    if (!rows_.defined()) {
      if (type.dtype == DType::kUndefined)
        return error(ErrorCode::kUnsupported, "there was no iteration and the element type of a scan output is not known");
      Dims dims = {0};
      if (type.shape)
        for (const ir::Dim& d : *type.shape) dims.push_back(d.is_const() ? d.value() : 0);
      return Tensor::allocate(type.dtype, dims);
    }
    Dims dims = row_;
    dims.insert(0, count_);
    return Tensor::shared(rows_.dtype(), dims, rows_.raw(), rows_.owner());
  }

 private:
  static constexpr int64_t kLargestGuess = int64_t{64} << 20, kFirstGuess = int64_t{1} << 16;  // bytes

  static Status copy(const Tensor& from, Tensor& to, int64_t offset) {
    return dispatch_storage(from.dtype(), "Loop", [&](auto tag) -> Status {
      using T = typename decltype(tag)::type;
      std::copy_n(from.data<T>(), from.num_elements(), to.data<T>() + offset);
      return {};
    });
  }

  Status reserve(DType dtype, int64_t capacity) {
    Dims dims = row_;
    dims.insert(0, capacity);
    CAMEO_ASSIGN(Tensor larger, Tensor::allocate(dtype, dims));
    if (rows_.defined()) CAMEO_TRY(copy(rows_, larger, 0));
    rows_ = std::move(larger);
    return {};
  }

  int64_t expected_;
  Dims row_;
  Tensor rows_;
  int64_t count_ = 0;
};

Result<bool> read_condition(const RtValue& value, const char* what) {
  const Tensor& t = value.tensor;
  if (!value.is_tensor() || t.dtype() != DType::kBool || t.num_elements() != 1)
    return error(ErrorCode::kInvalidInput, "{} is {}[{}]; it must be one bool", what, dtype_name(t.dtype()), t.dims().to_string());
  return t.data<bool>()[0];
}

Status reference(KernelContext& c) {
  const ir::Graph& body = *c.node().subgraphs[0].graph;
  const size_t carried = num_carried(c.node());
  int64_t limit = std::numeric_limits<int64_t>::max();
  if (c.has_input(0)) {
    if (c.input(0).num_elements() != 1)
      return error(ErrorCode::kInvalidInput, "the trip count has shape {}; it must be one number", c.input(0).dims().to_string());
    limit = c.input(0).data<int64_t>()[0];
  }
  bool proceed = true;
  if (c.has_input(1)) {
    CAMEO_ASSIGN(proceed, read_condition(c.value(1), "the condition"));
  }
  std::vector<RtValue> formal(2 + carried);
  for (size_t i = 0; i < carried; ++i) formal[2 + i] = c.value(2 + i);
  std::vector<Stack> stacks(c.num_outputs() > carried ? c.num_outputs() - carried : 0, Stack(std::max<int64_t>(limit, 1)));
  for (int64_t i = 0; proceed && i < limit; ++i) {
    CAMEO_TRY(c.check_cancelled());
    formal[0] = RtValue::of(Tensor::of<int64_t>({}, {i}));
    formal[1] = RtValue::of(Tensor::of<bool>({}, {proceed}));
    auto made = c.run_subgraph(0, formal);
    if (!made.ok()) return std::move(made).error().in("iteration " + std::to_string(i));
    if (c.has_input(1)) {
      CAMEO_ASSIGN(proceed, read_condition((*made)[0], "the body's condition"));
    }
    for (size_t k = 0; k < carried; ++k) formal[2 + k] = std::move((*made)[1 + k]);
    for (size_t k = 0; k < stacks.size(); ++k)
      if (auto status = stacks[k].push((*made)[1 + carried + k]); !status.ok())
        return std::move(status).error().in("iteration " + std::to_string(i) + ": scan output " + std::to_string(k));
  }
  for (size_t k = 0; k < c.num_outputs(); ++k) {
    if (!c.has_output(k)) continue;
    if (k < carried) {
      c.set_value(k, std::move(formal[2 + k]));
    } else {
      CAMEO_ASSIGN(Tensor stacked, stacks[k - carried].finish(body.value(body.outputs[1 + k]).type));
      c.set_value(k, RtValue::of(std::move(stacked)));
    }
  }
  return {};
}

}  // namespace

CAMEO_DEFINE_OP(Loop) = {
    .name = "Loop",
    .min_inputs = 0,
    .max_inputs = kVariadic,
    .min_outputs = 0,
    .max_outputs = kVariadic,
    .input_types = {{DType::kInt64}, kBoolType, {}},
    .infer = &infer,
    .reference = &reference,
    .flags = kControlFlow | kDataDependent,
    .subgraphs = {"body"},
};

}  // namespace cameo::ops
