// LinearAttention, CausalConvWithState: operators that carry a state from call to call.
#include <cmath>

#include "backends/cuda/ops/ops.h"

namespace cameo::cuda {
namespace {

// Columns of a head's state never meet: a warp has one column in registers, spread over its lanes, and goes through the tokens.
Status make_linear_attention(StepBuilder& b) {
  CAMEO_ASSIGN(Operand q, b.input(0));
  CAMEO_ASSIGN(Operand k, b.input(1));
  CAMEO_ASSIGN(Operand v, b.input(2));
  const int64_t heads = b.attrs().integer("kv_num_heads"), group = b.attrs().integer("q_num_heads") / heads;
  const int64_t length = q.dims[1], size = k.dims[2] / heads, values = v.dims[2] / heads;
  constexpr int64_t kMostSize = 1024;
  if (size > kMostSize) return error(ErrorCode::kUnsupported, "LinearAttention with keys of {} elements", size);
  const std::string rule = b.attrs().text("update_rule", "gated_delta");
  const bool gated = rule == "gated" || rule == "gated_delta", delta = rule == "delta" || rule == "gated_delta";
  const float given = b.attrs().real("scale"), scale = given != 0 ? given : 1 / std::sqrt(static_cast<float>(size));
  const int64_t per_lane = (size + 31) / 32;
  Source s;
  s.declare(fmt::format("#define PER_LANE {}", std::max<int64_t>(1, per_lane)));
  const auto at = s.unravel("block", Dims{q.dims[0], heads, values});
  s.line(fmt::format("const I batch = {}, head = {}, column = {}, size = {}, values = {}, heads = {};", at[0], at[1], at[2], s.number(size),
                     s.number(values), s.number(heads)));
  const std::string each = "for (int r = 0; r < PER_LANE; ++r)";
  const std::string own = "((batch * heads + head) * size + t + 32 * r) * values + column";
  s.line("float state[PER_LANE];");
  s.line("#pragma unroll");
  std::string start = "0.f";
  if (b.has_input(3)) {
    CAMEO_ASSIGN(Operand past, b.input(3));
    start = fmt::format("t + 32 * r < size ? (float){} : 0.f", s.load(past, own));
  }
  s.line(fmt::format("{} state[r] = {};", each, start));
  s.line(fmt::format("for (I token = 0; token < {}; ++token) {{", s.number(length)));
  s.line(fmt::format("const I row = batch * {} + token;", s.number(length)));
  s.line(fmt::format("float value = {};", s.load(v, "(row * heads + head) * values + column")));
  s.line("float key[PER_LANE];");
  s.line(fmt::format("{} key[r] = t + 32 * r < size ? (float){} : 0.f;", each, s.load(k, "(row * heads + head) * size + t + 32 * r")));
  if (gated) {
    CAMEO_ASSIGN(Operand decay, b.input(4));
    if (decay.dims[2] == heads)
      s.line(fmt::format("{{ const float f = expf({}); {} state[r] *= f; }}", s.load(decay, "row * heads + head"), each));
    else
      s.line(
          fmt::format("{} if (t + 32 * r < size) state[r] *= expf({});", each, s.load(decay, "(row * heads + head) * size + t + 32 * r")));
  }
  if (delta) {
    CAMEO_ASSIGN(Operand beta, b.input(5));
    s.line(fmt::format("{{ float recalled = 0; {} recalled += key[r] * state[r]; recalled = warp_reduce(recalled, Plus());", each));
    s.line(fmt::format("value = {} * (value - recalled); }}", s.load(beta, beta.dims[2] == 1 ? "row" : "row * heads + head")));
  }
  s.line(each + " state[r] += key[r] * value;");
  if (b.has_output(0)) {
    s.line(fmt::format("for (I g = 0; g < {}; ++g) {{ const I h = (row * heads + head) * {} + g; float sum = 0;", s.number(group),
                       s.number(group)));
    s.line(fmt::format("{} if (t + 32 * r < size) sum += {} * state[r];", each, s.load(q, "h * size + t + 32 * r")));
    s.line("sum = warp_reduce(sum, Plus());");
    s.line(fmt::format("if (t == 0) put({}[h * values + column], sum * {}); }}", s.write(b.output(0)), literal(scale)));
  }
  s.line("}");
  if (b.has_output(1)) s.line(fmt::format("{} if (t + 32 * r < size) put({}[{}], state[r]);", each, s.write(b.output(1)), own));
  return s.launch_blocks(b, q.dims[0] * heads * values, 32);
}

Status make_causal_conv(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  CAMEO_ASSIGN(Operand w, b.input(1));
  const int64_t length = x.dims[2], kernel = w.dims[2], state = kernel - 1;
  Operand past;
  if (b.has_input(3)) {
    CAMEO_ASSIGN(past, b.input(3));
  }
  // Element `at` of the past followed by x.
  const auto element = [&](Source& s, const std::string& row, const std::string& at) {
    const std::string before = past.present() ? s.load(past, fmt::format("{} * {} + {}", row, s.number(state), at)) : "0.f";
    return fmt::format("({0} < {1} ? {2} : {3})", at, s.number(state), before,
                       s.load(x, fmt::format("{} * {} + {} - {}", row, s.number(length), at, s.number(state))));
  };
  if (b.has_output(0) && b.out_dims(0).num_elements() > 0) {
    const Operand y = b.output(0);
    Source s;
    const auto at = s.unravel("i", y.dims);
    s.line(fmt::format("const I c = {}, row = ({}) * {} + c;", at[1], at[0], s.number(x.dims[1])));
    std::string bias = "0.f";
    if (b.has_input(2)) {
      CAMEO_ASSIGN(Operand o, b.input(2));
      bias = s.load(o, "c");
    }
    s.line(fmt::format("float sum = {};", bias));
    s.line(fmt::format("for (I j = 0; j < {}; ++j) {{ const I k = {} + j; sum += {} * {}; }}", s.number(kernel), at[2],
                       s.load(w, fmt::format("c * {} + j", s.number(kernel))), element(s, "row", "k")));
    // The sum is rounded to the type of x before the activation.
    if (b.attrs().text("activation", "none") != "none") {
      s.line(fmt::format("{} r; put(r, sum); sum = get(r);", storage_type(b.in_type(0))));
      s.line("sum *= sigmoid(sum);");
    }
    s.store(y, "i", "sum");
    CAMEO_TRY(s.launch_elements(b, y.dims.num_elements()));
  }
  if (!b.has_output(1)) return {};
  const Operand present = b.output(1);
  Source s;
  const auto at = s.unravel("i", Dims{x.dims[0] * x.dims[1], state});
  s.line(fmt::format("const I row = {}, k = {} + {};", at[0], at[1], s.number(length)));
  s.store(present, "i", element(s, "row", "k"));
  return s.launch_elements(b, present.dims.num_elements());
}

}  // namespace

std::vector<DeviceOp> state_ops() {
  return {
      {"LinearAttention", "", make_linear_attention},
      {"CausalConvWithState", "", make_causal_conv},
  };
}

}  // namespace cameo::cuda
