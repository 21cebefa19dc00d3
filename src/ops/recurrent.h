// What GRU, LSTM and RNN share: attributes, shapes, activation functions, and the walk over directions and time.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "ops/accumulate.h"
#include "ops/checks.h"
#include "ops/dispatch.h"

namespace cameo::ops {

struct RecurrentAttrs {
  std::string direction = "forward";
  std::optional<int64_t> hidden_size;
  std::optional<float> clip;
  int64_t layout = 0;
  int64_t output_sequence = 0;  // obsolete
  std::vector<std::string> activations;
  std::vector<float> activation_alpha, activation_beta;

  void visit_recurrent(ir::AttrVisitor& v) {
    v("direction", direction);
    v("hidden_size", hidden_size);
    v("clip", clip);
    v("layout", layout);
    v("output_sequence", output_sequence);
    v("activations", activations);
    v("activation_alpha", activation_alpha);
    v("activation_beta", activation_beta);
  }
};

struct LstmAttrs : ir::AttrsOf<LstmAttrs>, RecurrentAttrs {
  int64_t input_forget = 0;
  void visit(ir::AttrVisitor& v) override {
    visit_recurrent(v);
    v("input_forget", input_forget);
  }
};

struct GruAttrs : ir::AttrsOf<GruAttrs>, RecurrentAttrs {
  int64_t linear_before_reset = 0;
  void visit(ir::AttrVisitor& v) override {
    visit_recurrent(v);
    v("linear_before_reset", linear_before_reset);
  }
};

struct Activation {
  enum class Kind { kRelu, kTanh, kSigmoid, kAffine, kLeakyRelu, kThresholdedRelu, kScaledTanh, kHardSigmoid, kElu, kSoftsign, kSoftplus };
  Kind kind = Kind::kTanh;
  float alpha = 0, beta = 0;

  // x[i] = f(x[i]) after clipping to [-clip, clip]; no clip where it is infinite.
  template <class C>
  void apply(C* x, int64_t n, C clip) const;
};
extern template void Activation::apply(float*, int64_t, float) const;
extern template void Activation::apply(double*, int64_t, double) const;

// The activation functions of all directions: `defaults` repeated for each direction unless attrs.activations is
// set. activation_alpha and activation_beta are consumed in order by the functions that take one.
struct Activations {
  static constexpr size_t kMax = 6;
  Activation list[kMax];
};
Result<Activations> make_activations(const RecurrentAttrs& attrs, size_t directions, std::initializer_list<const char*> defaults);

// Checks attributes and inputs X, W, R, B, sequence_lens, initial_h of a cell with that many gates, and sets Y and Y_h
// (and Y_c when `cell_state`, which also checks initial_c and P).
Status infer_recurrent(InferContext& c, const RecurrentAttrs& attrs, int64_t gates, std::initializer_list<const char*> defaults,
                       bool cell_state = false);

// The extents, and where things lie in memory with either layout.
struct RecurrentGeometry {
  int64_t directions, length, batch, input, hidden;
  bool batch_first, reversed;  // reversed: direction 0 runs backwards

  static RecurrentGeometry make(KernelContext& c, const RecurrentAttrs& attrs);
  bool backwards(int64_t direction) const { return reversed || direction == 1; }
  // First element of X at a time step, of Y, and of a state (initial_h, Y_h, …).
  int64_t x_at(int64_t t, int64_t b) const { return (batch_first ? b * length + t : t * batch + b) * input; }
  int64_t y_at(int64_t t, int64_t d, int64_t b) const {
    return (batch_first ? (b * length + t) * directions + d : (t * directions + d) * batch + b) * hidden;
  }
  int64_t state_at(int64_t d, int64_t b) const { return (batch_first ? b * directions + d : d * batch + b) * hidden; }
};

// Runs all sequences. For each direction and each sequence: step(direction, x, state) takes the projection x of the
// time step's input, x = X_t * W^T (gates x hidden), and turns the states h (and c) into the next ones.
//   start(direction) is called before the sequences of a direction.
template <class C>
struct RecurrentState {
  C* h;
  C* cell;  // null without cell state
};

template <class T, class C, class Start, class Step>
Status run_recurrent(KernelContext& c, const RecurrentGeometry& g, int64_t gates, bool cell_state, Start start, Step step) {
  const int64_t width = gates * g.hidden;
  const T* x = c.input(0).data<T>();
  const int32_t* lengths = c.num_inputs() > 4 && c.has_input(4) ? c.input(4).data<int32_t>() : nullptr;
  T* y = c.has_output(0) ? c.output(0).data<T>() : nullptr;
  T* y_h = c.has_output(1) ? c.output(1).data<T>() : nullptr;
  T* y_c = cell_state && c.has_output(2) ? c.output(2).data<T>() : nullptr;
  const RecurrentState<C> state{c.scratch<C>(g.hidden).data(), cell_state ? c.scratch<C>(g.hidden).data() : nullptr};
  C* projection = c.scratch<C>(width).data();
  C* row = c.scratch<C>(g.input).data();
  C* weights = c.scratch<C>(width * g.input).data();
  const auto load = [&](size_t input, int64_t at, C* to) {
    for (int64_t i = 0; i < g.hidden; ++i) to[i] = c.has_input(input) ? static_cast<C>(c.input(input).data<T>()[at + i]) : C{0};
  };
  if (lengths)
    for (int64_t b = 0; b < g.batch; ++b)
      if (lengths[b] < 0 || lengths[b] > g.length)
        return error(ErrorCode::kInvalidInput, "sequence_lens[{}] is {}; allowed: 0 to {}", b, lengths[b], g.length);
  for (int64_t d = 0; d < g.directions; ++d) {
    start(d);
    const T* w = c.input(1).data<T>() + d * width * g.input;
    for (int64_t i = 0; i < width * g.input; ++i) weights[i] = static_cast<C>(w[i]);
    for (int64_t b = 0; b < g.batch; ++b) {
      const int64_t steps = lengths ? lengths[b] : g.length;
      load(5, g.state_at(d, b), state.h);
      if (cell_state) load(6, g.state_at(d, b), state.cell);
      for (int64_t s = 0; s < steps; ++s) {
        const int64_t t = g.backwards(d) ? steps - 1 - s : s;
        for (int64_t i = 0; i < g.input; ++i) row[i] = static_cast<C>(x[g.x_at(t, b) + i]);
        for (int64_t i = 0; i < width; ++i) projection[i] = dot<C>(weights + i * g.input, row, g.input);
        step(d, projection, state);
        if (y)
          for (int64_t i = 0; i < g.hidden; ++i) y[g.y_at(t, d, b) + i] = static_cast<T>(state.h[i]);
      }
      CAMEO_TRY(c.check_cancelled());
      if (y)
        for (int64_t t = steps; t < g.length; ++t) std::fill_n(y + g.y_at(t, d, b), g.hidden, T{});
      if (y_h)
        for (int64_t i = 0; i < g.hidden; ++i) y_h[g.state_at(d, b) + i] = static_cast<T>(state.h[i]);
      if (y_c)
        for (int64_t i = 0; i < g.hidden; ++i) y_c[g.state_at(d, b) + i] = static_cast<T>(state.cell[i]);
    }
  }
  return {};
}

// Elements [at, at + n) of input i as C; zeros when it is absent.
template <class T, class C>
void load_parameters(KernelContext& c, size_t i, int64_t at, std::span<C> to) {
  const T* from = c.has_input(i) ? c.input(i).data<T>() + at : nullptr;
  for (size_t k = 0; k < to.size(); ++k) to[k] = from ? static_cast<C>(from[k]) : C{0};
}

}  // namespace cameo::ops
