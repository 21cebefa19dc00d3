// NegativeLogLikelihoodLoss, SoftmaxCrossEntropyLoss: a thread for each label, then one block for the sum or mean, so that the order
// of the sums is the same every time.
#include "backends/cuda/ops/ops.h"

namespace cameo::cuda {
namespace {

Status make_class_loss(StepBuilder& b) {
  CAMEO_ASSIGN(Operand x, b.input(0));
  CAMEO_ASSIGN(Operand labels, b.input(1));
  const Operand y = b.output(0);
  const bool softmax = b.node().op->name == "SoftmaxCrossEntropyLoss", wide = b.in_type(0) == DType::kFloat64;
  const std::string reduction = b.attrs().text("reduction", "mean");
  const int64_t samples = labels.dims.num_elements(), classes = x.dims[1], inner = samples == 0 ? 1 : samples / x.dims[0];
  const DType real = wide ? DType::kFloat64 : DType::kFloat32;
  const Operand losses = b.scratch(real, Dims{samples}), weights = b.scratch(real, Dims{samples});
  if (samples > 0) {
    Source s;
    s.declare(fmt::format("typedef {} R;", compute_type(real)));
    const auto at = s.unravel("i", Dims{x.dims[0], inner});
    const std::string n = s.number(classes), step = s.number(inner);
    s.line(fmt::format("const I base = ({}) * {} * {} + {};", at[0], n, step, at[1]));
    std::string less = "(R)0";
    if (softmax) {
      s.line("R peak = -__int_as_float(0x7f800000), sum = 0;");
      s.line(fmt::format("for (I k = 0; k < {}; ++k) peak = most<R>(peak, {});", n, s.load(x, fmt::format("base + k * {}", step))));
      s.line(fmt::format("for (I k = 0; k < {}; ++k) sum += exp({} - peak);", n, s.load(x, fmt::format("base + k * {}", step))));
      s.line("const R less = peak + log(sum);");
      less = "less";
      if (b.has_output(1))
        s.line(fmt::format("for (I k = 0; k < {0}; ++k) put({1}[base + k * {2}], {3} - less);", n, s.write(b.output(1)), step,
                           s.load(x, fmt::format("base + k * {}", step))));
    }
    s.line(fmt::format("const i64 label = {};", s.load(labels, "i")));
    const std::string ignored =
        b.attrs().has("ignore_index") ? fmt::format("label == {}", literal(b.attrs().integer("ignore_index"))) : "false";
    s.line(fmt::format("const bool ignored = {};", ignored));
    s.line(s.check_index("ignored ? 0 : label", n));
    s.line(fmt::format("const I c = ignored || label < 0 || label >= {} ? 0 : (I)label;", n));
    std::string weight = "(R)1";
    if (b.has_input(2)) {
      CAMEO_ASSIGN(Operand w, b.input(2));
      weight = s.load(w, "c");
    }
    s.line(fmt::format("const R w = ignored ? (R)0 : {};", weight));
    s.line(fmt::format("const R own = ignored ? (R)0 : -w * ({} - {});", s.load(x, fmt::format("base + c * {}", step)), less));
    if (reduction == "none") {
      s.store(y, "i", "own");
    } else {
      s.store(losses, "i", "own");
      s.store(weights, "i", "w");
    }
    CAMEO_TRY(s.launch_elements(b, samples));
  }
  if (reduction == "none") return {};
  Source s;
  s.declare(fmt::format("typedef {} R;", compute_type(real)));
  s.line("R loss = 0, weight = 0;");
  s.line(fmt::format("for (I k = t; k < {}; k += blockDim.x) {{ loss += {}; weight += {}; }}", s.number(samples), s.load(losses, "k"),
                     s.load(weights, "k")));
  s.line("loss = block_reduce(loss, Plus());");
  s.line("weight = block_reduce(weight, Plus());");
  s.line(fmt::format("if (t == 0) put({}[0], {});", s.write(y), reduction == "mean" ? "loss / weight" : "loss"));
  return s.launch_blocks(b, 1, 1024);
}

}  // namespace

std::vector<DeviceOp> loss_ops() {
  return {
      {"NegativeLogLikelihoodLoss", "", make_class_loss},
      {"SoftmaxCrossEntropyLoss", "", make_class_loss},
  };
}

}  // namespace cameo::cuda
