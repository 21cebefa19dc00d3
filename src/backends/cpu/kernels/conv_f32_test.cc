// Every convolution tactic against the reference implementation.
#include <limits>

#include "backends/cpu/kernels/kernel_test.h"
#include "ops/cameo_conv.h"
#include "ops/convolve.h"

namespace cameo::tactics {
namespace {

using ops::PointOp;

enum class Epilogue { kNone, kBias, kRelu, kResidualRelu, kHardSwish, kSwish, kClip, kGeneral };

struct Case {
  int64_t batch, height, width, channels, outputs, kernel_height, kernel_width;
  int64_t stride = 1, dilation = 1;
  std::vector<int64_t> pads = {0, 0, 0, 0};
  int64_t group = 1;
  Epilogue epilogue = Epilogue::kBias;
  bool one_axis = false;  // width alone

  std::string to_string() const {
    return fmt::format("{}x{}x{}x{} to {}, {}x{} stride {} dilation {} pads {},{},{},{} group {} epilogue {}{}", batch, height, width,
                       channels, outputs, kernel_height, kernel_width, stride, dilation, pads[0], pads[1], pads[2], pads[3], group,
                       static_cast<int>(epilogue), one_axis ? " one axis" : "");
  }
};

enum class Form { kChannelsLast, kChannelsFirst, kOnnx };

Dims image_dims(const Case& k, int64_t height, int64_t width, int64_t channels, Form form) {
  if (k.one_axis) return form == Form::kChannelsLast ? Dims{k.batch, width, channels} : Dims{k.batch, channels, width};
  return form == Form::kChannelsLast ? Dims{k.batch, height, width, channels} : Dims{k.batch, channels, height, width};
}

struct Built {
  ir::Graph graph;
  std::vector<Tensor> inputs;  // of the graph
  std::vector<ops::Fact> facts;
  int64_t out_size = 0;
};

Built build(const Case& k, Form form) {
  Built b;
  ir::Node node;
  node.name = "conv";
  const auto fill = [&](auto& attrs) {
    attrs.strides = k.one_axis ? std::vector<int64_t>{k.stride} : std::vector<int64_t>{k.stride, k.stride};
    attrs.dilations = k.one_axis ? std::vector<int64_t>{k.dilation} : std::vector<int64_t>{k.dilation, k.dilation};
    attrs.pads = k.one_axis ? std::vector<int64_t>{k.pads[1], k.pads[3]} : k.pads;
    attrs.group = k.group;
  };
  const Dims weights = k.one_axis ? Dims{k.outputs, k.channels / k.group, k.kernel_width}
                                  : Dims{k.outputs, k.channels / k.group, k.kernel_height, k.kernel_width};
  const int64_t out_height = k.one_axis ? 1 : (k.height + k.pads[0] + k.pads[2] - (k.kernel_height - 1) * k.dilation - 1) / k.stride + 1;
  const int64_t out_width = (k.width + k.pads[1] + k.pads[3] - (k.kernel_width - 1) * k.dilation - 1) / k.stride + 1;
  const Dims in = image_dims(k, k.height, k.width, k.channels, form), out = image_dims(k, out_height, out_width, k.outputs, form);
  b.out_size = out.num_elements();
  b.inputs = {guarded(random_floats(in, 1))};
  b.graph.inputs = {b.graph.add_value("x", ir::Type::tensor(DType::kFloat32, ir::to_shape(in)))};
  node.inputs = {b.graph.inputs[0], b.graph.add_constant("w", random_floats(weights, 2))};
  if (form == Form::kOnnx) {
    node.op = ops::find_op("", "Conv");
    node.version = 11;
    auto attrs = std::make_unique<ops::ConvAttrs>();
    fill(*attrs);
    node.attrs = std::move(attrs);
    if (k.epilogue != Epilogue::kNone) node.inputs.push_back(b.graph.add_constant("b", random_floats({k.outputs}, 3)));
  } else {
    node.op = ops::find_op(ops::kCameoDomain, "Conv");
    node.version = 1;
    auto attrs = std::make_unique<ops::CameoConvAttrs>();
    fill(*attrs);
    attrs->channels_last = form == Form::kChannelsLast;
    ops::PointProgram program{1, {}, {}};
    const auto bias_dims = form == Form::kChannelsLast ? Dims{k.outputs} : k.one_axis ? Dims{k.outputs, 1} : Dims{1, k.outputs, 1, 1};
    if (k.epilogue != Epilogue::kNone) {
      node.inputs.push_back(b.graph.add_constant("b", guarded(random_floats(bias_dims, 3))));
      program.num_inputs = 2;
    }
    if (k.epilogue == Epilogue::kResidualRelu || k.epilogue == Epilogue::kGeneral) {
      b.inputs.push_back(guarded(random_floats(out, 4)));
      b.graph.inputs.push_back(b.graph.add_value("r", ir::Type::tensor(DType::kFloat32, ir::to_shape(out))));
      node.inputs.push_back(b.graph.inputs[1]);
      program.num_inputs = 3;
    }
    switch (k.epilogue) {
      case Epilogue::kNone:
        break;
      case Epilogue::kBias:
        program.code = {{PointOp::kAdd, 0, 1, 0}};
        break;
      case Epilogue::kRelu:
        program.code = {{PointOp::kAdd, 1, 0, 0}, {PointOp::kRelu, 2, 0, 0}};
        break;
      case Epilogue::kResidualRelu:
        program.code = {{PointOp::kAdd, 0, 1, 0}, {PointOp::kAdd, 2, 3, 0}, {PointOp::kRelu, 4, 0, 0}};
        break;
      case Epilogue::kHardSwish:
        program.code = {{PointOp::kAdd, 0, 1, 0}, {PointOp::kHardSwish, 2, 0, 0}};
        break;
      case Epilogue::kSwish:
        program.code = {{PointOp::kAdd, 0, 1, 0}, {PointOp::kSwish, 2, 0, 0}};
        break;
      case Epilogue::kClip:
        program.code = {{PointOp::kAdd, 0, 1, 0}, {PointOp::kClip, 2, -1, -2}};
        program.constants = {-0.5f, 0.75f};
        break;
      case Epilogue::kGeneral:
        program.code = {{PointOp::kAdd, 0, 1, 0}, {PointOp::kTanh, 3, 0, 0}, {PointOp::kMul, 4, 2, 0}};
        break;
    }
    attrs->program = ops::encode(program);
    attrs->constants = program.constants;
    node.attrs = std::move(attrs);
  }
  b.graph.outputs = {b.graph.add_value("y")};
  node.outputs = b.graph.outputs;
  b.graph.nodes.push_back(std::move(node));
  EXPECT_TRUE(ir::infer_types(b.graph).ok()) << k.to_string();
  std::vector<ops::Fact> facts;
  for (ir::ValueId id : b.graph.inputs) facts.push_back(ops::Fact::of(b.graph.value(id).type));
  b.facts = ops::infer_graph(b.graph, facts, {.fold_elements = 0}).value();
  return b;
}

// Runs the graph into memory with sentinels before it and a guard page behind.
Status run(const Built& b, int threads, std::vector<float>& out) {
  const auto count = static_cast<size_t>(b.out_size);
  const GuardedMemory memory(count * sizeof(float));
  runtime::ExecutionState state(default_allocator(), threads);
  runtime::Executor executor(b.graph, state);
  std::vector<ops::RtValue> inputs;
  for (const Tensor& t : b.inputs) inputs.push_back(ops::RtValue::of(t));
  const runtime::Executor::OutputBinding binding{memory.data(), memory.bytes()};
  ops::RtValue output;
  CAMEO_TRY(executor.run(inputs, {&binding, 1}, {&output, 1}));
  memory.expect_untouched();
  out.resize(count);
  if (count > 0) std::memcpy(out.data(), memory.data(), memory.bytes());
  return {};
}

// The largest error allowed, as a share of the largest value.
double tolerance(std::string_view tactic) { return tactic.find("winograd") != std::string_view::npos ? 1e-4 : 1e-5; }

void compare(const Case& k, Form form, const Built& b, std::string_view tactic, const std::vector<float>& want,
             const std::vector<float>& got) {
  double largest = 1e-3;
  for (float v : want)
    if (std::isfinite(v)) largest = std::max(largest, std::abs(static_cast<double>(v)));
  for (size_t i = 0; i < want.size(); ++i) {
    const bool same = std::isfinite(want[i]) ? std::abs(static_cast<double>(want[i]) - got[i]) <= tolerance(tactic) * largest
                      : std::isnan(want[i])  ? std::isnan(got[i])
                                             : want[i] == got[i];
    ASSERT_TRUE(same) << tactic << ": " << k.to_string() << " form " << static_cast<int>(form) << " at " << i << " of " << b.out_size
                      << ": " << got[i] << " in place of " << want[i];
  }
}

// Checks every tactic that takes the case; gives their number.
int check(const Case& k, Form form, bool special_values = false) {
  Built b = build(k, form);
  if (special_values) {
    const auto x = b.inputs[0].span<float>();
    x[x.size() / 2] = std::numeric_limits<float>::quiet_NaN();
    x[x.size() - 1] = std::numeric_limits<float>::infinity();
  }
  std::vector<float> want, got, again;
  EXPECT_TRUE(run(b, 1, want).ok());
  int tried = 0;
  for (const Tactic* tactic : all_tactics()) {
    ir::Node& node = b.graph.nodes[0];
    if (!tactic->is_for(*node.op) || !tactic->supports(node, b.facts).ok()) continue;
    // A transform mixes the pixels of a tile: what is not finite spreads to all of it.
    if (special_values && tactic->name.find("winograd") != std::string_view::npos) continue;
    ++tried;
    Built copy = build(k, form);
    copy.inputs = b.inputs;
    const Status assigned = assign_tactic(copy.graph.nodes[0], tactic, copy.facts);
    EXPECT_TRUE(assigned.ok()) << tactic->name << ": " << (assigned.ok() ? "" : assigned.error().message());
    Tensor& packed = copy.graph.nodes[0].packed.at(0);
    packed = guarded(packed);
    elide_packed_constants(copy.graph);
    const Status status = run(copy, 1, got);
    EXPECT_TRUE(status.ok()) << tactic->name << " " << k.to_string() << ": " << (status.ok() ? "" : status.error().message());
    if (!status.ok()) continue;
    compare(k, form, b, tactic->name, want, got);
    for (int threads : {1, 2, 3}) {
      EXPECT_TRUE(run(copy, threads, again).ok());
      EXPECT_TRUE(got.empty() || std::memcmp(got.data(), again.data(), got.size() * sizeof(float)) == 0)
          << tactic->name << ": " << k.to_string() << " is not the same with " << threads << " threads";
    }
    // A plan that was altered.
    packed = Tensor::allocate(DType::kFloat32, {packed.num_elements() - 1}).value();
    EXPECT_FALSE(run(copy, 1, again).ok()) << tactic->name << " takes packed weights of a wrong size";
  }
  return tried;
}

constexpr Epilogue kEpilogues[] = {Epilogue::kNone,      Epilogue::kBias,  Epilogue::kRelu, Epilogue::kResidualRelu,
                                   Epilogue::kHardSwish, Epilogue::kSwish, Epilogue::kClip, Epilogue::kGeneral};

TEST(ConvF32Kernels, ChannelsAndWidths) {
  int64_t i = 0;
  for (int64_t channels : {1, 3, 4, 15, 16, 17, 33})
    for (int64_t outputs : {1, 2, 8, 15, 16, 17, 31, 33, 49, 65})
      for (int64_t kernel : {1, 3}) {
        const int64_t width = 1 + i * 5 % 17, height = 1 + i * 3 % 7, pad = kernel / 2;
        const Case k = {2, height, width, channels, outputs, kernel, kernel, 1, 1, {pad, pad, pad, pad}, 1, kEpilogues[i % 8]};
        ++i;
        for (Form form : {Form::kChannelsLast, Form::kChannelsFirst, Form::kOnnx}) ASSERT_GE(check(k, form), 1);
        if (HasFatalFailure()) return;
      }
}

TEST(ConvF32Kernels, WindowsOfAllKinds) {
  int64_t i = 0;
  for (int64_t kernel : {1, 2, 3, 4, 5, 7})
    for (int64_t stride : {1, 2, 3})
      for (int64_t dilation : {1, 2, 12})
        for (const std::vector<int64_t>& pads : {std::vector<int64_t>{0, 0, 0, 0}, {1, 1, 1, 1}, {0, 2, 3, 1}, {5, 0, 12, 12}}) {
          const int64_t span = (kernel - 1) * dilation + 1;
          const int64_t height = std::max<int64_t>(1, span - pads[0] - pads[2]) + i % 5,
                        width = std::max<int64_t>(1, span - pads[1] - pads[3]) + i % 19;
          Case k = {1 + i % 2, height, width, 6, 18, kernel, kernel, stride, dilation, pads, 1, kEpilogues[i % 8]};
          ++i;
          ASSERT_GE(check(k, Form::kChannelsLast), 1);
          k.group = 6;  // depthwise, by 3 and by 1
          k.epilogue = kEpilogues[i / 3 % 8];
          check(k, Form::kChannelsLast);
          k.outputs = 6;
          check(k, i % 2 == 0 ? Form::kChannelsLast : Form::kOnnx);
          k.group = 2;
          check(k, i % 2 == 0 ? Form::kChannelsLast : Form::kChannelsFirst);
          if (HasFatalFailure()) return;
        }
}

TEST(ConvF32Kernels, DepthwiseChannels) {
  int64_t i = 0;
  for (int64_t channels : {1, 2, 3, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 40})
    for (int64_t kernel : {3, 5, 7})
      for (int64_t stride : {1, 2}) {
        const int64_t pad = kernel / 2;
        const Case k = {1 + i % 2, 1 + i * 3 % 11, 1 + i * 7 % 31,       channels, channels,         kernel, kernel,
                        stride,    1 + i % 3 / 2,  {pad, pad, pad, pad}, channels, kEpilogues[i % 8]};
        ++i;
        if (k.dilation > 1 && (k.height + 2 * pad < kernel * 2 - 1 || k.width + 2 * pad < kernel * 2 - 1)) continue;
        check(k, Form::kChannelsLast);
        check(k, Form::kOnnx);
        if (HasFatalFailure()) return;
      }
}

TEST(ConvF32Kernels, GroupsOfFewChannels) {
  int64_t i = 0;
  for (int64_t width : {2, 4, 8, 16})
    for (int64_t groups : {2, 3, 5, 13})
      for (int64_t kernel : {1, 3, 5})
        for (int64_t stride : {1, 2}) {
          const int64_t pad = kernel / 2;
          const Case k = {1 + i % 2, 2 + i * 3 % 11,       1 + i * 7 % 31, width * groups,   width * groups, kernel, kernel, stride,
                          1,         {pad, pad, pad, pad}, groups,         kEpilogues[i % 8]};
          ++i;
          ASSERT_GE(check(k, Form::kChannelsLast), 2);
          check(k, Form::kOnnx);
          if (HasFatalFailure()) return;
        }
}

TEST(ConvF32Kernels, LargeEnoughToBeSplit) {
  for (Epilogue epilogue : {Epilogue::kBias, Epilogue::kResidualRelu}) {
    for (const Case& k : {
             Case{1, 14, 14, 64, 256, 1, 1},                            // more channels than pixels
             Case{1, 7, 7, 1024, 96, 1, 1},                             // rows 4096 bytes apart
             Case{1, 7, 7, 256, 130, 3, 3, 1, 1, {1, 1, 1, 1}},         // several chunks of taps
             Case{1, 56, 56, 32, 32, 3, 3, 1, 1, {1, 1, 1, 1}},         // many rows
             Case{1, 14, 14, 40, 256, 3, 3, 1, 12, {12, 12, 12, 12}},   // taps that lie in the padding
             Case{1, 14, 14, 256, 300, 3, 3, 1, 12, {12, 12, 12, 12}},  //
             Case{2, 30, 30, 48, 48, 3, 3, 2, 1, {1, 1, 1, 1}, 3},      // groups
             Case{1, 30, 37, 104, 104, 3, 3, 2, 1, {1, 1, 1, 1}, 13},   //
             Case{2, 30, 61, 3, 17, 5, 4, 2, 1, {2, 9, 0, 7}},          // few channels
             Case{1, 40, 15, 1, 17, 3, 3, 1, 1, {0, 0, 0, 0}},          //
             Case{1, 64, 64, 3, 32, 7, 7, 2, 1, {3, 3, 3, 3}},          // few channels
             Case{2, 28, 28, 72, 72, 5, 5, 1, 1, {2, 2, 2, 2}, 72},     // depthwise
             Case{1, 1, 300, 80, 96, 1, 3, 1, 1, {0, 1, 0, 1}, 1, Epilogue::kBias, true},
         }) {
      Case changed = k;
      changed.epilogue = epilogue;
      ASSERT_GE(check(changed, Form::kChannelsLast), 1) << changed.to_string();
      if (HasFatalFailure()) return;
    }
  }
}

TEST(ConvF32Kernels, SpecialValuesAndEmptyBatches) {
  for (int64_t kernel : {1, 3})
    for (int64_t group : {1, 20})
      for (Epilogue epilogue : kEpilogues) {
        Case k = {1, 5, 9, 20, 20, kernel, kernel, 1, 1, {1, 1, 1, 1}, group, epilogue};
        check(k, Form::kChannelsLast, true);
        k.batch = 0;
        check(k, Form::kChannelsLast);
        check(k, Form::kOnnx);
        if (HasFatalFailure()) return;
      }
}

TEST(ConvF32Kernels, ImagesWithoutPixelsAndFarPadding) {
  for (int64_t channels : {3, 16})
    for (int64_t group : {int64_t{1}, channels}) {
      check({1, 0, 5, channels, channels, 3, 3, 1, 1, {2, 1, 2, 1}, group}, Form::kChannelsLast);
      check({1, 4, 5, channels, channels, 3, 3, 1, 1, {40, 50, 30, 20}, group}, Form::kChannelsLast);
      check({1, 4, 5, channels, channels, 1, 1, 1000, 1, {3000, 5000, 0, 0}, group}, Form::kChannelsLast);
      if (HasFatalFailure()) return;
    }
}

TEST(ConvF32Kernels, OneAxis) {
  for (Form form : {Form::kChannelsLast, Form::kChannelsFirst, Form::kOnnx})
    for (int64_t stride : {1, 2})
      for (int64_t group : {1, 18}) {
        const Case k = {2, 1, 37, 18, 36, 1, 3, stride, 1, {0, 1, 0, 1}, group, Epilogue::kRelu, true};
        check(k, form);
        if (HasFatalFailure()) return;
      }
}

}  // namespace
}  // namespace cameo::tactics
