#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

#include "ops/dispatch.h"
#include "passes/pass_test.h"

namespace cameo::passes {

ir::ValueId TestGraph::input(const std::string& name, DType dtype, ir::Shape shape) {
  graph.inputs.push_back(graph.add_value(name, ir::Type::tensor(dtype, std::move(shape))));
  return graph.inputs.back();
}

ir::ValueId TestGraph::input_of_unknown_rank(const std::string& name, DType dtype) {
  graph.inputs.push_back(graph.add_value(name, ir::Type::tensor(dtype)));
  return graph.inputs.back();
}

ir::ValueId TestGraph::node(std::string_view op, std::vector<ir::ValueId> inputs, const AttrList& attrs, int version) {
  return nodes(op, std::move(inputs), 1, attrs, version)[0];
}

std::vector<ir::ValueId> TestGraph::nodes(std::string_view name, std::vector<ir::ValueId> inputs, size_t num_outputs, const AttrList& attrs,
                                          int version) {
  ir::Node node;
  node.op = ops::find_op("", name);
  if (node.op == nullptr) {
    ADD_FAILURE() << "there is no operator " << name;
    return std::vector<ir::ValueId>(num_outputs, ir::kNoValue);
  }
  node.version = version ? version : node.op->max_version;
  node.name = fmt::format("{}_{}", name, graph.nodes.size());
  node.sources = {node.name};
  node.inputs = std::move(inputs);
  auto made = make_attrs(*node.op, attrs);
  EXPECT_TRUE(made.ok()) << made.error().message();
  node.attrs = made.ok() ? std::move(made).value() : node.op->make_attrs();
  for (size_t i = 0; i < num_outputs; ++i) node.outputs.push_back(graph.add_value(fmt::format("{}:{}", node.name, i)));
  graph.nodes.push_back(std::move(node));
  return graph.nodes.back().outputs;
}

namespace {

// Small numbers, and the ones that betray a careless rewrite: -0, NaN, infinities.
Tensor random_tensor(DType dtype, const Dims& dims, std::mt19937& random) {
  Tensor t = Tensor::allocate(dtype, dims).value();
  const auto n = t.num_elements();
  if (dtype == DType::kBool) {
    for (int64_t i = 0; i < n; ++i) t.data<bool>()[i] = random() % 2;
    return t;
  }
  EXPECT_TRUE(ops::dispatch_numbers(dtype, "random_tensor", [&](auto tag) -> Status {
                using T = typename decltype(tag)::type;
                using C = compute_t<T>;
                for (int64_t i = 0; i < n; ++i) {
                  C value = static_cast<C>(static_cast<int>(random() % 200) - (std::is_unsigned_v<C> ? 0 : 100));
                  if constexpr (std::is_floating_point_v<C>) {
                    value /= static_cast<C>(7);
                    const C odd[] = {static_cast<C>(-0.0), static_cast<C>(NAN), static_cast<C>(INFINITY), static_cast<C>(-INFINITY)};
                    if (random() % 16 == 0) value = odd[random() % 4];
                  }
                  t.data<T>()[i] = static_cast<T>(value);
                }
                return {};
              }).ok());
  return t;
}

bool same_element(const Tensor& a, const Tensor& b, int64_t i) {
  if (a.dtype() == DType::kString) return a.data<std::string>()[i] == b.data<std::string>()[i];
  const size_t size = dtype_size(a.dtype());
  const auto* x = static_cast<const char*>(a.raw()) + static_cast<size_t>(i) * size;
  const auto* y = static_cast<const char*>(b.raw()) + static_cast<size_t>(i) * size;
  if (std::memcmp(x, y, size) == 0) return true;
  bool both_nan = false;
  if (ops::kFloatTypes.contains(a.dtype()))
    (void)ops::dispatch_floats(a.dtype(), "same_element", [&](auto tag) -> Status {
      using T = typename decltype(tag)::type;
      both_nan = std::isnan(static_cast<compute_t<T>>(a.data<T>()[i])) && std::isnan(static_cast<compute_t<T>>(b.data<T>()[i]));
      return {};
    });
  return both_nan;
}

std::vector<std::string> names_of(const ir::Graph& graph, const std::vector<ir::ValueId>& ids) {
  std::vector<std::string> names;
  for (ir::ValueId id : ids) names.push_back(graph.value(id).name);
  return names;
}

}  // namespace

void expect_same_results(const ir::Graph& a, const ir::Graph& b, const Symbols& symbols, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<ops::RtValue> inputs;
  for (ir::ValueId id : a.inputs) {
    const ir::Type& type = a.value(id).type;
    Dims dims;
    if (type.shape)
      for (const ir::Dim& d : *type.shape)
        dims.push_back(d.evaluate([&](const std::string& name) -> std::optional<int64_t> {
                          const auto it = symbols.find(name);
                          return it == symbols.end() ? 3 : it->second;
                        }).value_or(2));
    else
      dims = {2, 3};
    inputs.push_back(ops::RtValue::of(random_tensor(type.dtype, dims, random)));
  }
  const auto before = ops::evaluate_graph(a, inputs), after = ops::evaluate_graph(b, inputs);
  ASSERT_TRUE(before.ok()) << before.error().message();
  ASSERT_TRUE(after.ok()) << after.error().message() << "\n" << ir::to_string(b);
  ASSERT_EQ(before->size(), after->size());
  for (size_t k = 0; k < before->size(); ++k) {
    const Tensor &x = (*before)[k].tensor, &y = (*after)[k].tensor;
    ASSERT_EQ(dtype_name(x.dtype()), dtype_name(y.dtype())) << "output " << k;
    ASSERT_EQ(x.dims().to_string(), y.dims().to_string()) << "output " << k;
    for (int64_t i = 0; i < x.num_elements(); ++i) ASSERT_TRUE(same_element(x, y, i)) << "output " << k << ", element " << i;
  }
}

ir::Graph optimised(const ir::Graph& graph, const std::string& pass, const std::vector<Symbols>& symbols, PassReport* report) {
  ir::Graph result = graph;
  PassOptions options;
  options.verify = true;
  for (const Pass* known : all_passes())
    if (!pass.empty() && known->name != pass) options.disabled.emplace_back(known->name);
  EXPECT_TRUE(pass.empty() || options.disabled.size() + 1 == all_passes().size()) << "there is no pass " << pass;
  std::vector<PassReport> reports;
  auto status = run_passes(result, options, reports);
  EXPECT_TRUE(status.ok()) << status.error().message();
  if (!status.ok()) return result;
  if (report) *report = reports.front();
  EXPECT_EQ(names_of(graph, graph.inputs), names_of(result, result.inputs));
  EXPECT_EQ(names_of(graph, graph.outputs), names_of(result, result.outputs));
  for (const Symbols& at : symbols)
    for (unsigned seed : {1u, 2u}) expect_same_results(graph, result, at, seed);
  ir::Graph again = result;
  status = run_passes(again, options, reports);
  EXPECT_TRUE(status.ok()) << status.error().message();
  for (const PassReport& r : reports) EXPECT_EQ(r.changes, 0) << r.name << " finds something in its own result:\n" << ir::to_string(result);
  return result;
}

size_t count(const ir::Graph& graph, std::string_view op) {
  return static_cast<size_t>(std::ranges::count_if(graph.nodes, [&](const ir::Node& node) { return node.op->name == op; }));
}

std::string ops_of(const ir::Graph& graph) {
  std::string text;
  for (const ir::Node& node : graph.nodes) text.append(text.empty() ? "" : ", ").append(node.op->name);
  return text;
}

namespace {

TEST(Pattern, CommutativeInputsAndRepeatedNames) {
  TestGraph g;
  const auto x = g.input("x", DType::kFloat32, {2, 3});
  const auto root = g.node("Sqrt", {g.node("Add", {g.scalar(0.5f), g.node("Mul", {x, x})})});
  g.output(root);
  std::vector<ops::Fact> facts = {ops::Fact::of(g.graph.value(x).type)};
  const Editor editor = Editor::open(g.graph, facts).value();
  const Pattern square = op("Mul", any("x"), any("x"));
  const auto found = match(op("Sqrt", op("Add", square, scalar(0.5))), editor, 2);
  ASSERT_TRUE(found);
  EXPECT_EQ((*found)["x"], x);
  EXPECT_EQ(found->nodes().size(), 3u);
  EXPECT_FALSE(match(op("Sqrt", op("Add", square, scalar(0.25))), editor, 2));
  EXPECT_TRUE(match(op("Sqrt", op("Add", square, scalar(0.5001, 1e-3))), editor, 2));
  EXPECT_FALSE(match(op("Sqrt", op("Sub", square, scalar(0.5))), editor, 2));
  EXPECT_FALSE(match(op("Sqrt", op("Add", op("Mul", any("x"), constant("x")), any())), editor, 2));
}

TEST(Pattern, OptionalNodesAndBacktracking) {
  TestGraph g;
  const auto x = g.input("x", DType::kFloat32, {2}), y = g.input("y", DType::kFloat32, {2});
  // The first order binds "a" to y, and only then does the second operand fail.
  const auto sum = g.node("Add", {g.node("Neg", {y}), g.node("Neg", {x})});
  g.output(g.node("Mul", {sum, x}));
  std::vector<ops::Fact> facts = {ops::Fact::of(g.graph.value(x).type), ops::Fact::of(g.graph.value(y).type)};
  const Editor editor = Editor::open(g.graph, facts).value();
  const Pattern pattern = op("Mul", op("Add", op("Neg", any("a")), op("Neg", any("b"))), any("a"));
  const auto found = match(pattern, editor, 3);
  ASSERT_TRUE(found);
  EXPECT_EQ((*found)["a"], x);
  EXPECT_EQ((*found)["b"], y);
  const auto through = match(op("Mul", maybe("Cast", op("Add", any(), any()).as("sum")), any("x")), editor, 3);
  ASSERT_TRUE(through);
  EXPECT_NE(through->node("sum"), nullptr);
  EXPECT_EQ(through->node("other"), nullptr);
  EXPECT_EQ((*through)["other"], ir::kNoValue);
}

TEST(Pattern, NodesBelowTheRootAreUsedInsideOnly) {
  TestGraph g;
  const auto x = g.input("x", DType::kFloat32, {2});
  const auto inner = g.node("Neg", {x});
  g.output(g.node("Tanh", {inner}));
  g.output(g.node("Sqrt", {inner}));
  std::vector<ops::Fact> facts = {ops::Fact::of(g.graph.value(x).type)};
  const Editor editor = Editor::open(g.graph, facts).value();
  std::string near_miss;
  EXPECT_FALSE(match(op("Tanh", op("Neg", any())), editor, 1, &near_miss));
  EXPECT_EQ(near_miss, "'Neg_0:0', which it would take in, is used elsewhere too");
  EXPECT_TRUE(match(op("Tanh", op("Neg", any()).shared()), editor, 1));
  // The same Pattern object twice is one node, whose uses are then all inside.
  const Pattern both = op("Neg", any());
  EXPECT_FALSE(match(op("Add", both, both), editor, 1));
}

TEST(Editor, RefusesMalformedPatches) {
  TestGraph g;
  const auto x = g.input("x", DType::kFloat32, {2, 3});
  const auto y = g.node("Neg", {x});
  g.output(y);
  std::vector<ops::Fact> facts = {ops::Fact::of(g.graph.value(x).type)};
  Editor editor = Editor::open(g.graph, facts).value();
  const auto refused = [&](auto fill) {
    Patch patch(editor);
    fill(patch);
    const uint32_t root = 0;
    auto applied = editor.apply(std::move(patch), root, std::span(&root, 1));
    return applied.ok() ? std::string() : applied.error().message();
  };
  EXPECT_EQ(refused([&](Patch& p) { p.replace(y, p.node("NoSuchOperator", {x})); }),
            "malformed patch: there is no operator NoSuchOperator");
  EXPECT_EQ(refused([&](Patch& p) {
              p.replace(y, p.node("Neg", {x}, {{"axis", int64_t{1}}}));
            }),
            "malformed patch: Neg has no attribute 'axis' of that type");
  EXPECT_EQ(refused([&](Patch& p) { p.replace(y, p.node("Transpose", {x})); }),
            "'Neg_0:0' is float32[2, 3], but its replacement float32[3, 2]");
  EXPECT_EQ(refused([&](Patch& p) { p.replace(x, y); }), "malformed patch: 'x' is replaced, which no node makes");
  EXPECT_EQ(refused([&](Patch& p) { p.replace(y, y); }), "malformed patch: a value is replaced by itself");
  EXPECT_EQ(refused([&](Patch& p) { p.replace(y, p.node("Neg", {12345})); }), "malformed patch: an id is out of range");
  EXPECT_EQ(g.graph.nodes.size(), 1u);
  ASSERT_TRUE(editor.finish().ok());
  EXPECT_TRUE(ir::verify(g.graph).ok());
}

TEST(Driver, UnknownPassIsNamedWithTheKnownOnes) {
  ir::Graph graph;
  std::vector<PassReport> reports;
  const auto status = run_passes(graph, {.disabled = {"fuse_everything"}}, reports);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code(), ErrorCode::kInvalidArgument);
  EXPECT_NE(status.error().message().find("no pass 'fuse_everything'"), std::string::npos);
  EXPECT_NE(status.error().message().find("dead_code, "), std::string::npos);
}

TEST(Driver, ReportsEveryPassAndLogs) {
  struct Lines final : Logger {
    std::vector<std::string> lines;
    void log(Severity, std::string_view message) noexcept override { lines.emplace_back(message); }
  } logger;
  TestGraph g;
  g.output(g.node("Neg", {g.node("Identity", {g.input("x", DType::kInt32, {2})})}));
  std::vector<PassReport> reports;
  ASSERT_TRUE(run_passes(g.graph, {.disabled = {"chains"}, .logger = &logger}, reports).ok());
  EXPECT_EQ(reports.size() + 1, all_passes().size());
  for (const PassReport& report : reports) EXPECT_EQ(report.changes, report.name == "identity" ? 1 : 0) << report.name;
  EXPECT_TRUE(std::ranges::any_of(
      logger.lines, [](const std::string& line) { return line.starts_with("pass identity (round 1): 1 changes, 2 to 1 nodes, "); }));
}

TEST(Driver, CanBeCancelled) {
  TestGraph g;
  g.output(g.node("Neg", {g.input("x", DType::kInt32, {2})}));
  std::vector<PassReport> reports;
  const auto status = run_passes(g.graph, {.check_cancelled = [] { return error(ErrorCode::kCancelled, "stop"); }}, reports);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code(), ErrorCode::kCancelled);
}

TEST(Driver, LongChainsTakeLinearTime) {
  TestGraph g;
  auto x = g.input("x", DType::kInt32, {2, 3});
  for (int i = 0; i < 20000; ++i) x = g.node("Identity", {g.node("Transpose", {x})});
  for (int i = 0; i < 20000; ++i) g.node("Neg", {x});
  g.output(g.node("Neg", {x}));
  std::vector<PassReport> reports;
  ASSERT_TRUE(run_passes(g.graph, {}, reports).ok());
  EXPECT_EQ(ops_of(g.graph), "Neg");
}

}  // namespace
}  // namespace cameo::passes
