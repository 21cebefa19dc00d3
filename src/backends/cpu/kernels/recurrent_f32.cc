// LSTM and GRU of float32 with the usual activation functions, without peepholes and clipping, by recurrent_f32.isa.cc.
// Directions, and groups of sequences, are tasks of their own. Weights are put into panels when the plan is built, or before
// each run where they are no constants.
#include "backends/cpu/kernels/recurrent_f32.h"

#include <atomic>

#include "backends/cpu/kernels/gemm_f32.h"
#include "base/thread_pool.h"
#include "ops/recurrent.h"
#include "tactics/tactic.h"

namespace cameo::tactics {
namespace {

enum Input : size_t { kX, kW, kR, kB, kLengths, kInitialH, kInitialC, kPeepholes };

bool is_default(const std::vector<std::string>& names, std::initializer_list<const char*> defaults) {
  for (size_t i = 0; i < names.size(); ++i)
    if (names[i] != defaults.begin()[i % defaults.size()]) return false;
  return true;
}
bool is_usual(const ops::LstmAttrs& a) { return !a.clip && a.input_forget == 0 && is_default(a.activations, {"Sigmoid", "Tanh", "Tanh"}); }
bool is_usual(const ops::GruAttrs& a) { return !a.clip && is_default(a.activations, {"Sigmoid", "Tanh"}); }

template <class Attrs>
Status supports(const ir::Node& node, std::span<const ops::Fact> facts) {
  if (!is_usual(node.attrs_as<Attrs>())) return refuse("the activation functions are not the usual ones");
  if (node.inputs.size() > kPeepholes && node.inputs[kPeepholes] != ir::kNoValue) return refuse("there are peepholes");
  if (facts[node.inputs[kX]].type.dtype != DType::kFloat32) return refuse("the inputs are not float32");
  return {};
}

bool linear_before_reset(const ops::LstmAttrs&) { return false; }
bool linear_before_reset(const ops::GruAttrs& attrs) { return attrs.linear_before_reset != 0; }

// The weights of one direction in panels: W, R, and of GRU the candidate's part of R apart.
struct Panels {
  int64_t input, hidden, gates;
  int64_t r_columns() const { return (gates == 3 ? 2 : 4) * hidden; }
  int64_t w_floats() const { return cpu::recurrent_padded(gates * hidden) * input; }
  int64_t r_floats() const { return cpu::recurrent_padded(r_columns()) * hidden; }
  int64_t floats() const { return w_floats() + r_floats() + (gates == 3 ? cpu::recurrent_padded(hidden) * hidden : 0); }

  void pack(const float* w, const float* r, float* to) const {
    const auto& kernels = cpu::gemm_f32_kernels();
    kernels.pack_panels(w, 1, input, input, gates * hidden, to);
    kernels.pack_panels(r, 1, hidden, hidden, r_columns(), to + w_floats());
    if (gates == 3) kernels.pack_panels(r + 2 * hidden * hidden, 1, hidden, hidden, hidden, to + w_floats() + r_floats());
  }
};

template <int64_t Gates>
Result<std::vector<Tensor>> prepack(const ir::Node& node, std::span<const ops::Fact> facts) {
  const Tensor &w = facts[node.inputs[kW]].constant, &r = facts[node.inputs[kR]].constant;
  std::vector<Tensor> result;
  if (!w.defined() || !r.defined() || w.rank() != 3 || r.rank() != 3) return result;
  const Panels panels = {w.dim(2), r.dim(2), Gates};
  CAMEO_ASSIGN(Tensor packed, Tensor::allocate(DType::kFloat32, {w.dim(0), panels.floats()}));
  for (int64_t d = 0; d < w.dim(0); ++d)
    panels.pack(w.data<float>() + d * w.dim(1) * w.dim(2), r.data<float>() + d * r.dim(1) * r.dim(2),
                packed.data<float>() + d * panels.floats());
  result.push_back(std::move(packed));
  return result;
}

template <class Attrs, bool HasCell>
Status run(ops::KernelContext& c) {
  constexpr int64_t kGates = HasCell ? 4 : 3;
  const auto& attrs = c.attrs<Attrs>();
  bool plain = is_usual(attrs) && !c.has_input(kPeepholes);
  for (size_t i = 0; i < c.num_inputs(); ++i)
    if (c.has_input(i)) plain &= c.input(i).dtype() == (i == kLengths ? DType::kInt32 : DType::kFloat32);
  const bool elided = !c.node().packed.empty() && (c.input(kW).raw() == nullptr || c.input(kR).raw() == nullptr);
  if (!plain && elided) return error(ErrorCode::kInvalidPlan, "the weights are packed for another form of the operator");
  if (!plain) return c.node().op->reference(c);

  const auto g = ops::RecurrentGeometry::make(c, attrs);
  const auto data = [&](size_t i) { return c.has_input(i) ? c.input(i).template data<float>() : nullptr; };
  const int32_t* lengths = c.has_input(kLengths) ? c.input(kLengths).data<int32_t>() : nullptr;
  if (lengths)
    for (int64_t b = 0; b < g.batch; ++b)
      if (lengths[b] < 0 || lengths[b] > g.length)
        return error(ErrorCode::kInvalidInput, "sequence_lens[{}] is {}; allowed: 0 to {}", b, lengths[b], g.length);
  float* y = c.has_output(0) ? c.output(0).data<float>() : nullptr;
  float* last_h = c.has_output(1) ? c.output(1).data<float>() : nullptr;
  float* last_c = HasCell && c.has_output(2) ? c.output(2).data<float>() : nullptr;
  const float *h = data(kInitialH), *cell = HasCell ? data(kInitialC) : nullptr;
  const int64_t width = kGates * g.hidden, group = lengths ? 1 : cpu::kRecurrentRows;
  const int64_t groups = (g.batch + group - 1) / group, tasks = g.directions * groups;
  const int64_t per_thread = (cpu::recurrent_scratch(g.hidden, kGates) + 15) / 16 * 16;
  float* const scratch = c.scratch<float>(c.threads().size() * per_thread).data();
  const auto& kernels = cpu::recurrent_kernels();
  const Panels panels = {g.input, g.hidden, kGates};
  const float* packed = nullptr;
  if (const auto& tensors = c.node().packed; !tensors.empty()) {
    if (tensors.size() != 1 || tensors[0].dtype() != DType::kFloat32 || !(tensors[0].dims() == Dims{g.directions, panels.floats()}))
      return error(ErrorCode::kInvalidPlan, "the packed weights do not fit an input of {} and a state of {}", g.input, g.hidden);
    packed = tensors[0].data<float>();
  } else {
    float* const fresh = c.scratch<float>(g.directions * panels.floats()).data();
    for (int64_t d = 0; d < g.directions; ++d)
      panels.pack(data(kW) + d * width * g.input, data(kR) + d * width * g.hidden, fresh + d * panels.floats());
    packed = fresh;
  }
  std::atomic<bool> cancelled = false;
  const auto run_group = [&](int64_t task, int worker) {
    if (worker == 0 && !c.check_cancelled().ok()) cancelled = true;
    if (cancelled) return;
    const int64_t d = task / groups, b = task % groups * group;
    const int64_t state = g.state_at(d, b), steps = lengths ? lengths[b] : g.length;
    const cpu::RecurrentSequences s = {.x = data(kX) + g.x_at(0, b),
                                       .x_time = g.x_at(1, 0),
                                       .x_row = g.x_at(0, 1),
                                       .w = packed + d * panels.floats(),
                                       .r = packed + d * panels.floats() + panels.w_floats(),
                                       .r_candidate = packed + d * panels.floats() + panels.w_floats() + panels.r_floats(),
                                       .bias = data(kB) ? data(kB) + d * 2 * width : nullptr,
                                       .initial_h = h ? h + state : nullptr,
                                       .initial_c = cell ? cell + state : nullptr,
                                       .y = y ? y + g.y_at(0, d, b) : nullptr,
                                       .y_time = g.y_at(1, 0, 0),
                                       .y_row = g.y_at(0, 0, 1),
                                       .last_h = last_h ? last_h + state : nullptr,
                                       .last_c = last_c ? last_c + state : nullptr,
                                       .state_row = g.state_at(0, 1),
                                       .rows = std::min(group, g.batch - b),
                                       .steps = steps,
                                       .input = g.input,
                                       .hidden = g.hidden,
                                       .backwards = g.backwards(d),
                                       .linear_before_reset = linear_before_reset(attrs)};
    (HasCell ? kernels.lstm : kernels.gru)(s, scratch + worker * per_thread);
    if (y)
      for (int64_t t = steps; t < g.length; ++t) std::fill_n(y + g.y_at(t, d, b), g.hidden, 0.f);
  };
  // Some microseconds of work are not worth a second thread.
  if (tasks * g.length * width * (g.input + g.hidden) < 128 * 1024)
    for (int64_t task = 0; task < tasks; ++task) run_group(task, 0);
  else
    c.threads().parallel_for(tasks, run_group);
  return c.check_cancelled();
}

}  // namespace

CAMEO_DEFINE_TACTIC(lstm_f32) = {
    .name = "lstm_f32",
    .op = "LSTM",
    .supports = &supports<ops::LstmAttrs>,
    .prepack = &prepack<4>,
    .packed_inputs = 1 << kW | 1 << kR,
    .run = &run<ops::LstmAttrs, true>,
};
CAMEO_DEFINE_TACTIC(gru_f32) = {
    .name = "gru_f32",
    .op = "GRU",
    .supports = &supports<ops::GruAttrs>,
    .prepack = &prepack<3>,
    .packed_inputs = 1 << kW | 1 << kR,
    .run = &run<ops::GruAttrs, false>,
};

}  // namespace cameo::tactics
