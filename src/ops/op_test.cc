#include "ops/op_test.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <sstream>

#include "ops/dispatch.h"

namespace cameo::ops {
namespace {

struct Table {
  std::string op;
  OpCases cases;
};

// Before the names of Cameo's own operators.
constexpr std::string_view kOwnDomain = "ai.cameo.";

std::vector<Table>& tables() {
  static std::vector<Table> all;
  return all;
}

// Fills an attribute struct from texts.
class TextAttrs final : public ir::AttrVisitor {
 public:
  explicit TextAttrs(const std::vector<std::pair<std::string, std::string>>& attributes) : texts_(attributes.begin(), attributes.end()) {}
  void operator()(const char* n, int64_t& v) override { set(n, v); }
  void operator()(const char* n, float& v) override { set(n, v); }
  void operator()(const char* n, std::string& v) override { set(n, v); }
  void operator()(const char* n, std::vector<int64_t>& v) override { set(n, v); }
  void operator()(const char* n, std::vector<float>& v) override { set(n, v); }
  void operator()(const char* n, std::vector<std::string>& v) override { set(n, v); }
  void operator()(const char* n, Tensor&) override { EXPECT_EQ(texts_.count(n), 0u) << "tensor attributes cannot be written as text"; }
  void operator()(const char* n, std::optional<int64_t>& v) override { set_optional(n, v); }
  void operator()(const char* n, std::optional<float>& v) override { set_optional(n, v); }
  void operator()(const char* n, std::optional<std::string>& v) override { set_optional(n, v); }
  void operator()(const char* n, std::optional<std::vector<int64_t>>& v) override { set_optional(n, v); }
  void operator()(const char* n, std::optional<std::vector<float>>& v) override { set_optional(n, v); }
  void operator()(const char* n, std::optional<std::vector<std::string>>& v) override { set_optional(n, v); }
  void expect_all_used() const {
    for (const auto& [name, text] : texts_) EXPECT_TRUE(used_.count(name)) << "the operator has no attribute '" << name << "'";
  }

 private:
  static std::string unquoted(std::string text) { return text.size() >= 2 && text[0] == '\'' ? text.substr(1, text.size() - 2) : text; }
  static void parse(const std::string& text, int64_t& v) { v = std::stoll(text); }
  static void parse(const std::string& text, float& v) { v = std::stof(text); }
  static void parse(const std::string& text, std::string& v) { v = unquoted(text); }
  template <class T>
  static void parse(const std::string& text, std::vector<T>& v) {
    std::istringstream list(text.substr(1, text.size() - 2));
    v.clear();
    for (std::string item; std::getline(list, item, ',');) {
      item.erase(0, item.find_first_not_of(' '));
      parse(item, v.emplace_back());
    }
  }
  template <class T>
  void set(const char* name, T& v) {
    const auto it = texts_.find(name);
    if (it == texts_.end()) return;
    used_[name] = true;
    parse(it->second, v);
  }
  template <class T>
  void set_optional(const char* name, std::optional<T>& v) {
    if (texts_.count(name)) set(name, v.emplace());
  }
  std::map<std::string, std::string> texts_;
  std::map<std::string, bool> used_;
};

double as_number(const Tensor& t, int64_t i) {
  switch (t.dtype()) {
    case DType::kBool:
      return t.data<bool>()[i];
    case DType::kFloat8E4M3FN:
      return static_cast<float>(t.data<Float8E4M3FN>()[i]);
    case DType::kFloat8E4M3FNUZ:
      return static_cast<float>(t.data<Float8E4M3FNUZ>()[i]);
    case DType::kFloat8E5M2:
      return static_cast<float>(t.data<Float8E5M2>()[i]);
    case DType::kFloat8E5M2FNUZ:
      return static_cast<float>(t.data<Float8E5M2FNUZ>()[i]);
    case DType::kFloat8E8M0:
      return static_cast<float>(t.data<Float8E8M0>()[i]);
    case DType::kFloat4E2M1:
      return static_cast<float>(t.data<Float4E2M1>()[i]);
    case DType::kInt4:
    case DType::kInt2:
      return t.data<int8_t>()[i];
    case DType::kUint4:
    case DType::kUint2:
      return t.data<uint8_t>()[i];
    default:
      break;
  }
  double value = 0;
  const auto status = dispatch_numbers(t.dtype(), "the comparison", [&](auto tag) -> Status {
    using T = typename decltype(tag)::type;
    value = static_cast<double>(static_cast<compute_t<T>>(t.data<T>()[i]));
    return {};
  });
  EXPECT_TRUE(status.ok()) << status.error().message();
  return value;
}

void expect_equal(const Tensor& got, const Tensor& want, double tolerance) {
  ASSERT_EQ(dtype_name(got.dtype()), dtype_name(want.dtype()));
  ASSERT_EQ(got.dims().to_string(), want.dims().to_string());
  for (int64_t i = 0; i < want.num_elements(); ++i) {
    if (want.dtype() == DType::kString) {
      EXPECT_EQ(got.data<std::string>()[i], want.data<std::string>()[i]) << "at " << i;
      continue;
    }
    const double a = as_number(got, i), b = as_number(want, i);
    if (std::isnan(b) || std::isinf(b))
      EXPECT_TRUE(a == b || (std::isnan(a) && std::isnan(b))) << "at " << i << ": " << a << " for " << b;
    else
      EXPECT_LE(std::fabs(a - b), tolerance * std::max(1.0, std::fabs(b))) << "at " << i << ": " << a << " for " << b;
  }
}

void expect_equal(const RtValue& got, const RtValue& want, double tolerance) {
  ASSERT_EQ(got.kind, want.kind);
  if (want.is_tensor()) return expect_equal(got.tensor, want.tensor, tolerance);
  ASSERT_EQ(got.elements->size(), want.elements->size());
  if (want.element_dtype != DType::kUndefined) {
    EXPECT_EQ(dtype_name(got.element_dtype), dtype_name(want.element_dtype));
  }
  for (size_t i = 0; i < want.elements->size(); ++i) {
    SCOPED_TRACE("element " + std::to_string(i));
    expect_equal((*got.elements)[i], (*want.elements)[i], tolerance);
  }
}

// A node without inputs and outputs.
ir::Node make_node(const OpDef& op, int version, const std::vector<std::pair<std::string, std::string>>& attributes,
                   const std::vector<ir::Graph>& subgraphs) {
  ir::Node node;
  node.op = &op;
  node.version = version;
  node.name = "tested";
  std::shared_ptr<ir::Attrs> attrs = op.make_attrs();
  TextAttrs filler(attributes);
  attrs->visit(filler);
  filler.expect_all_used();
  node.attrs = attrs;
  if (!op.optional_subgraphs) EXPECT_EQ(subgraphs.size(), op.subgraphs.size());
  for (size_t i = 0; i < std::min(subgraphs.size(), op.subgraphs.size()); ++i) {
    ir::Subgraph& subgraph = node.subgraphs.emplace_back();
    subgraph.attribute = op.subgraphs[i];
    subgraph.graph = std::make_unique<ir::Graph>(subgraphs[i]);
  }
  return node;
}

void run(const std::string& op_name, const OpCase& c) {
  SCOPED_TRACE(op_name + ": " + c.name);
  const bool own = op_name.starts_with(kOwnDomain);
  const OpDef* op = own ? find_op("ai.cameo", op_name.substr(kOwnDomain.size())) : find_op(c.domain, op_name);
  ASSERT_NE(op, nullptr) << "no line in ops.inc";
  ir::Node node = make_node(*op, c.domain.empty() && !own ? c.version : op->max_version, c.attributes, c.subgraphs);
  std::vector<RtValue> inputs;
  for (const CaseValue& v : c.inputs) {
    node.inputs.push_back(!v.is_tensor() || v.tensor.defined() ? static_cast<ir::ValueId>(inputs.size()) : ir::kNoValue);
    inputs.push_back(v);
  }
  const size_t num_outputs = c.outputs.empty() ? static_cast<size_t>(std::max(1, op->min_outputs)) : c.outputs.size();
  for (size_t i = 0; i < num_outputs; ++i) node.outputs.push_back(static_cast<ir::ValueId>(inputs.size() + i));
  auto outputs = evaluate_node(node, inputs, std::vector<std::vector<RtValue>>(node.subgraphs.size()));
  if (!c.error.empty()) {
    ASSERT_FALSE(outputs.ok()) << "an error was expected";
    EXPECT_NE(outputs.error().message().find(c.error), std::string::npos) << outputs.error().message();
    return;
  }
  ASSERT_TRUE(outputs.ok()) << outputs.error().message();
  for (size_t i = 0; i < c.outputs.size(); ++i)
    if (!c.outputs[i].is_tensor() || c.outputs[i].tensor.defined()) expect_equal((*outputs)[i], c.outputs[i], c.tolerance);
}

class OpTable : public testing::Test {
 public:
  explicit OpTable(const Table& table) : table_(table) {}
  void TestBody() override {
    for (const OpCase& c : table_.cases()) run(table_.op, c);
  }

 private:
  const Table& table_;
};

}  // namespace

int register_op_cases(const char* op, OpCases cases) {
  tables().push_back({op, std::move(cases)});
  return 0;
}

ir::ValueId GraphBuilder::input(ir::Type type) {
  graph_.inputs.push_back(graph_.add_value("input", std::move(type)));
  return graph_.inputs.back();
}

ir::ValueId GraphBuilder::constant(Tensor tensor) { return graph_.add_constant("constant", std::move(tensor)); }

ir::ValueId GraphBuilder::node(const std::string& op_name, std::vector<ir::ValueId> inputs,
                               const std::vector<std::pair<std::string, std::string>>& attributes, std::vector<ir::Graph> subgraphs) {
  const OpDef* op = find_op("", op_name);
  EXPECT_NE(op, nullptr) << op_name;
  ir::Node node = make_node(*op, op->max_version, attributes, subgraphs);
  node.inputs = std::move(inputs);
  node.outputs = {graph_.add_value(op_name)};
  graph_.nodes.push_back(std::move(node));
  return graph_.nodes.back().outputs[0];
}

Tensor numbers(DType type, const Dims& dims, std::initializer_list<double> values) {
  Tensor t = Tensor::allocate(type, dims).value();
  int64_t i = 0;
  for (double v : values) {
    const auto f = static_cast<float>(v);
    switch (type) {
      case DType::kBool:
        t.data<bool>()[i] = v != 0;
        break;
      case DType::kFloat8E4M3FN:
        t.data<Float8E4M3FN>()[i] = Float8E4M3FN(f);
        break;
      case DType::kFloat8E4M3FNUZ:
        t.data<Float8E4M3FNUZ>()[i] = Float8E4M3FNUZ(f);
        break;
      case DType::kFloat8E5M2:
        t.data<Float8E5M2>()[i] = Float8E5M2(f);
        break;
      case DType::kFloat8E5M2FNUZ:
        t.data<Float8E5M2FNUZ>()[i] = Float8E5M2FNUZ(f);
        break;
      case DType::kFloat8E8M0:
        t.data<Float8E8M0>()[i] = Float8E8M0(f);
        break;
      case DType::kFloat4E2M1:
        t.data<Float4E2M1>()[i] = Float4E2M1(f);
        break;
      case DType::kInt4:
      case DType::kInt2:
        t.data<int8_t>()[i] = static_cast<int8_t>(v);
        break;
      case DType::kUint4:
      case DType::kUint2:
        t.data<uint8_t>()[i] = static_cast<uint8_t>(v);
        break;
      default:
        EXPECT_TRUE(dispatch_numbers(type, "numbers()", [&](auto tag) -> Status {
                      using T = typename decltype(tag)::type;
                      t.data<T>()[i] = static_cast<T>(static_cast<compute_t<T>>(v));
                      return {};
                    }).ok());
    }
    ++i;
  }
  return t;
}

// GoogleTest learns of the tables here: one test per operator.
void register_op_tests() {
  for (const Table& table : tables())
    testing::RegisterTest("Ops", table.op.c_str(), nullptr, nullptr, __FILE__, __LINE__,
                          [&table]() -> OpTable* { return new OpTable(table); });
}

TEST(OpRegistry, EveryOperatorHasATable) {
  for (const OpDef* op : all_ops()) {
    bool found = false;
    const std::string name = (op->domain == "ai.cameo" ? std::string(kOwnDomain) : "").append(op->name);
    for (const Table& table : tables()) found |= table.op == name;
    EXPECT_TRUE(found) << name << " has no table of cases";
  }
}

}  // namespace cameo::ops

int main(int argc, char** argv) {
  cameo::ops::register_op_tests();
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
