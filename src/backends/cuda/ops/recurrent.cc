// LSTM, GRU and RNN: a block for each direction and sequence walks through time with the states in shared memory. Its threads
// take a column of the gates each; weights are transposed once, so that neighbouring threads read neighbours.
#include "ops/recurrent.h"
#include "backends/cuda/ops/ops.h"

namespace cameo::cuda {
namespace {

using Kind = ops::Activation::Kind;

std::string activation(const ops::Activation& f, const std::string& x) {
  const std::string a = "(C)" + literal(f.alpha), b = "(C)" + literal(f.beta);
  switch (f.kind) {
    case Kind::kRelu:
      return fmt::format("({0} > (C)0 ? {0} : (C)0)", x);
    case Kind::kTanh:
      return fmt::format("tanh({})", x);
    case Kind::kSigmoid:
      return fmt::format("sigmoid({})", x);
    case Kind::kAffine:
      return fmt::format("({} * {} + {})", a, x, b);
    case Kind::kLeakyRelu:
      return fmt::format("({0} < (C)0 ? {1} * {0} : {0})", x, a);
    case Kind::kThresholdedRelu:
      return fmt::format("({0} > {1} ? {0} : (C)0)", x, a);
    case Kind::kScaledTanh:
      return fmt::format("({} * tanh({} * {}))", a, b, x);
    case Kind::kHardSigmoid:
      return fmt::format("fmin(fmax({} * {} + {}, (C)0), (C)1)", a, x, b);
    case Kind::kElu:
      return fmt::format("({0} < (C)0 ? {1} * expm1({0}) : {0})", x, a);
    case Kind::kSoftsign:
      return fmt::format("({0} / ((C)1 + fabs({0})))", x);
    case Kind::kSoftplus:
      return fmt::format("softplus({})", x);
  }
  return x;
}

// [directions, gates * hidden, n] as [directions, n, gates * hidden].
Result<Operand> transposed(StepBuilder& b, size_t input) {
  const Dims& d = b.in_dims(input);
  const Dims dims{d[0], d[2], d[1]};
  const DType type = b.in_type(input);
  if (b.value(input))
    return b.prepared(input, "transposed", type, dims, [](StepBuilder& inner, const Operand& from, const Operand& to) {
      return transpose(inner, from, to, {0, 2, 1});
    });
  CAMEO_ASSIGN(Operand from, b.input(input));
  const Operand to = b.scratch(type, dims);
  CAMEO_TRY(transpose(b, from, to, {0, 2, 1}));
  return to;
}

enum class Cell { kLstm, kGru, kRnn };

Status recurrent(StepBuilder& b, Cell cell, const ops::RecurrentAttrs& attrs, const ops::Activations& f) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  CAMEO_ASSIGN(Operand w, transposed(b, 1));
  CAMEO_ASSIGN(Operand r, transposed(b, 2));
  const bool batch_first = attrs.layout != 0;
  const int64_t directions = w.dims[0], input = w.dims[1], width = w.dims[2], hidden = r.dims[1], length = x.dims[batch_first ? 1 : 0],
                batch = x.dims[batch_first ? 0 : 1];
  const size_t per_direction = cell == Cell::kLstm ? 3 : cell == Cell::kGru ? 2 : 1;
  const std::string type = b.in_type(0) == DType::kFloat64 ? "double" : "float";
  const bool lstm = cell == Cell::kLstm, gru = cell == Cell::kGru;
  Source s;
  s.declare("typedef " + type + " C;");
  const std::string H = s.number(hidden), G = s.number(width), T = s.number(length), B = s.number(batch), D = s.number(directions),
                    X = s.number(input);
  const auto at = s.unravel("block", Dims{directions, batch});
  s.line(fmt::format("const I d = {}, b = {};", at[0], at[1]));
  // States, the gates of a step, and for GRU what the candidate takes from the state.
  const int64_t shared = hidden * 2 + width + (gru ? hidden : 0) + input;
  s.line("extern __shared__ double memory[];");
  s.line(fmt::format("C *h = (C*)memory, *c = h + {0}, *g = c + {0}, *row = g + {1}, *extra = row + {2};", H, G, X));
  const std::string state = batch_first ? fmt::format("(b * {} + d) * {}", D, H) : fmt::format("(d * {} + b) * {}", B, H);
  s.line(fmt::format("const I state = {};", state));
  s.line(fmt::format("for (I j = t; j < {}; j += blockDim.x) {{ h[j] = 0; c[j] = 0;", H));
  if (b.has_input(5)) {
    CAMEO_ASSIGN(Operand h0, b.input(5));
    s.line(fmt::format("h[j] = {};", s.load(h0, "state + j")));
  }
  if (lstm && b.has_input(6)) {
    CAMEO_ASSIGN(Operand c0, b.input(6));
    s.line(fmt::format("c[j] = {};", s.load(c0, "state + j")));
  }
  s.line("}");
  s.line(fmt::format("I steps = {};", T));
  if (b.has_input(4)) {
    CAMEO_ASSIGN(Operand lengths, b.input(4));
    s.line(fmt::format("steps = (I){}; steps = steps < 0 ? 0 : steps > {} ? {} : steps;", s.load(lengths, "b"), T, T));
  }
  s.line(fmt::format("const bool backwards = {};", attrs.direction == "reverse" ? "true" : "d == 1"));
  s.line("__syncthreads();");
  std::string bias_w = "(C)0", bias_r = "(C)0";
  if (b.has_input(3)) {
    CAMEO_ASSIGN(Operand bias, b.input(3));
    bias_w = "(C)" + s.load(bias, fmt::format("d * 2 * {} + j", G));
    bias_r = "(C)" + s.load(bias, fmt::format("d * 2 * {} + {} + j", G, G));
  }
  const auto y_at = [&](const std::string& time) {
    return batch_first ? fmt::format("((b * {} + {}) * {} + d) * {}", T, time, D, H)
                       : fmt::format("(({} * {} + d) * {} + b) * {}", time, D, B, H);
  };
  s.line("for (I step = 0; step < steps; ++step) {");
  s.line("const I time = backwards ? steps - 1 - step : step;");
  s.line(
      fmt::format("const I ix = {};", batch_first ? fmt::format("(b * {} + time) * {}", T, X) : fmt::format("(time * {} + b) * {}", B, X)));
  s.line(fmt::format("for (I j = t; j < {}; j += blockDim.x) row[j] = {};", X, s.load(x, "ix + j")));
  s.line("__syncthreads();");
  s.line(fmt::format("for (I j = t; j < {}; j += blockDim.x) {{", G));
  s.line(fmt::format("C in = {}, own = {};", bias_w, bias_r));
  s.line(fmt::format("for (I k = 0; k < {0}; ++k) in += row[k] * {1};", X, s.load(w, fmt::format("(d * {} + k) * {} + j", X, G))));
  const bool reset_first = gru && b.attrs().integer("linear_before_reset") == 0;
  const std::string dot = s.load(r, fmt::format("(d * {} + k) * {} + j", H, G));
  if (gru) {
    s.line(fmt::format("const bool candidate = j >= 2 * {};", H));
    s.line(fmt::format("if (!candidate || {}) for (I k = 0; k < {}; ++k) own += h[k] * {};", reset_first ? "false" : "true", H, dot));
    s.line(fmt::format("if (candidate) {{ g[j] = in; extra[j - 2 * {}] = own; }} else g[j] = in + own;", H));
  } else {
    s.line(fmt::format("for (I k = 0; k < {}; ++k) own += h[k] * {};", H, dot));
    s.line("g[j] = in + own;");
  }
  s.line("}");
  s.line("__syncthreads();");
  const auto clipped = [&](const std::string& value) {
    return attrs.clip ? fmt::format("fmin(fmax({}, -(C){}), (C){})", value, literal(*attrs.clip), literal(*attrs.clip)) : value;
  };
  // An activation may be another one in the second direction.
  const auto apply = [&](size_t which, const std::string& value) {
    s.line(fmt::format("u = {};", clipped(value)));
    const std::string first = activation(f.list[which], "u");
    return directions == 1 ? first : fmt::format("(d == 0 ? {} : {})", first, activation(f.list[per_direction + which], "u"));
  };
  s.line("C u;");
  if (lstm) {
    std::string pi = "(C)0", po = "(C)0", pf = "(C)0";
    if (b.has_input(7)) {
      CAMEO_ASSIGN(Operand peepholes, b.input(7));
      pi = s.load(peepholes, fmt::format("d * 3 * {} + j", H));
      po = s.load(peepholes, fmt::format("(d * 3 + 1) * {} + j", H));
      pf = s.load(peepholes, fmt::format("(d * 3 + 2) * {} + j", H));
    }
    s.line(fmt::format("for (I j = t; j < {}; j += blockDim.x) {{", H));
    s.line(fmt::format("const C gate_i = {};", apply(0, fmt::format("g[j] + {} * c[j]", pi))));
    if (b.attrs().integer("input_forget") != 0)
      s.line("const C gate_f = (C)1 - gate_i;");
    else
      s.line(fmt::format("const C gate_f = {};", apply(0, fmt::format("g[2 * {} + j] + {} * c[j]", H, pf))));
    s.line(fmt::format("const C fresh = {};", apply(1, fmt::format("g[3 * {} + j]", H))));
    s.line("const C next = gate_f * c[j] + gate_i * fresh;");
    s.line(fmt::format("const C gate_o = {};", apply(0, fmt::format("g[{} + j] + {} * next", H, po))));
    s.line("c[j] = next;");
    s.line(fmt::format("h[j] = gate_o * {};", apply(2, "next")));
  } else if (gru) {
    s.line(fmt::format("for (I j = t; j < 2 * {}; j += blockDim.x) {{", H));
    s.line(fmt::format("g[j] = {};", apply(0, "g[j]")));
    s.line("}");
    s.line("__syncthreads();");
    if (reset_first) {
      s.line(fmt::format("for (I j = t; j < {}; j += blockDim.x) c[j] = g[{} + j] * h[j];", H, H));
      s.line("__syncthreads();");
      s.line(fmt::format("for (I m = t; m < {}; m += blockDim.x) {{ const I j = 2 * {} + m; C own = extra[m];", H, H));
      s.line(fmt::format("for (I k = 0; k < {}; ++k) own += c[k] * {};", H, dot));
      s.line("extra[m] = own; }");
      s.line("__syncthreads();");
    }
    s.line(fmt::format("for (I j = t; j < {}; j += blockDim.x) {{", H));
    const std::string take = reset_first ? "extra[j]" : fmt::format("g[{} + j] * extra[j]", H);
    s.line(fmt::format("const C fresh = {};", apply(1, fmt::format("g[2 * {} + j] + {}", H, take))));
    s.line("h[j] = ((C)1 - g[j]) * fresh + g[j] * h[j];");
  } else {
    s.line(fmt::format("for (I j = t; j < {}; j += blockDim.x) {{", H));
    s.line(fmt::format("h[j] = {};", apply(0, "g[j]")));
  }
  if (b.has_output(0)) s.store(b.output(0), y_at("time") + " + j", "h[j]");
  s.line("}");
  s.line("__syncthreads();");
  s.line("}");
  if (b.has_output(0)) {
    s.line(fmt::format("for (I time = steps; time < {}; ++time) for (I j = t; j < {}; j += blockDim.x)", T, H));
    s.store(b.output(0), y_at("time") + " + j", "0");
  }
  s.line(fmt::format("for (I j = t; j < {}; j += blockDim.x) {{", H));
  if (b.has_output(1)) s.store(b.output(1), "state + j", "h[j]");
  if (lstm && b.has_output(2)) s.store(b.output(2), "state + j", "c[j]");
  s.line("}");
  const size_t bytes = static_cast<size_t>(shared) * (type == "double" ? 8 : 4);
  if (bytes > 48 * 1024) return error(ErrorCode::kUnsupported, "{} hidden units and {} inputs do not fit in shared memory", hidden, input);
  const int threads = width >= 1024 ? 1024 : static_cast<int>((width + 31) / 32 * 32);
  return s.launch_blocks(b, directions * batch, std::max(threads, 32), bytes);
}

Status make_lstm(StepBuilder& b) {
  const auto& attrs = b.node().attrs_as<ops::LstmAttrs>();
  CAMEO_ASSIGN(const ops::Activations f, ops::make_activations(attrs, static_cast<size_t>(b.in_dims(1)[0]), {"Sigmoid", "Tanh", "Tanh"}));
  return recurrent(b, Cell::kLstm, attrs, f);
}
Status make_gru(StepBuilder& b) {
  const auto& attrs = b.node().attrs_as<ops::GruAttrs>();
  CAMEO_ASSIGN(const ops::Activations f, ops::make_activations(attrs, static_cast<size_t>(b.in_dims(1)[0]), {"Sigmoid", "Tanh"}));
  return recurrent(b, Cell::kGru, attrs, f);
}
Status make_rnn(StepBuilder& b) {
  ops::RecurrentAttrs attrs;
  attrs.direction = b.attrs().text("direction", "forward");
  attrs.layout = b.attrs().integer("layout");
  if (b.attrs().has("clip")) attrs.clip = b.attrs().real("clip");
  attrs.activations = b.attrs().texts("activations");
  attrs.activation_alpha = b.attrs().reals("activation_alpha");
  attrs.activation_beta = b.attrs().reals("activation_beta");
  CAMEO_ASSIGN(const ops::Activations f, ops::make_activations(attrs, static_cast<size_t>(b.in_dims(1)[0]), {"Tanh"}));
  return recurrent(b, Cell::kRnn, attrs, f);
}

}  // namespace

std::vector<DeviceOp> recurrent_ops() { return {{"LSTM", "", make_lstm}, {"GRU", "", make_gru}, {"RNN", "", make_rnn}}; }

}  // namespace cameo::cuda
