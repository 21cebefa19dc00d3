// A node of one operator, run by its reference implementation and by a tactic, for tests of kernels. Every tensor ends at a
// page that cannot be read or written, and sentinels stand before it.
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <variant>

#include "runtime/executor.h"
#include "tactics/tactic.h"

namespace cameo::tactics {

inline constexpr uint8_t kSentinelByte = 0xa5;
inline constexpr size_t kSentinelBytes = 256;

// Memory of `bytes` that ends at a page without access.
class GuardedMemory {
 public:
  explicit GuardedMemory(size_t bytes) : bytes_(bytes) {
    constexpr size_t kPage = 4096;
    mapped_ = (bytes + kSentinelBytes + kPage - 1) / kPage * kPage + kPage;
    base_ = static_cast<uint8_t*>(mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mprotect(base_ + mapped_ - kPage, kPage, PROT_NONE);
    data_ = base_ + mapped_ - kPage - bytes;
    std::memset(data_ - kSentinelBytes, kSentinelByte, kSentinelBytes + bytes);
  }
  GuardedMemory(const GuardedMemory&) = delete;
  GuardedMemory& operator=(const GuardedMemory&) = delete;
  ~GuardedMemory() { munmap(base_, mapped_); }
  uint8_t* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  void expect_untouched() const {
    for (size_t i = 0; i < kSentinelBytes; ++i) ASSERT_EQ(*(data_ - kSentinelBytes + i), kSentinelByte) << "written before the output";
  }

 private:
  uint8_t* base_;
  uint8_t* data_;
  size_t mapped_, bytes_;
};

inline Tensor guarded(const Tensor& t) {
  auto memory = std::make_shared<GuardedMemory>(t.num_bytes());
  if (t.num_bytes() > 0) std::memcpy(memory->data(), t.raw(), t.num_bytes());
  void* data = memory->data();
  return Tensor::shared(t.dtype(), t.dims(), data, std::move(memory));
}

// Numbers in [-limit, limit], the same for a seed.
inline Tensor random_floats(const Dims& dims, uint32_t seed, float limit = 1.f) {
  Tensor t = Tensor::allocate(DType::kFloat32, dims).value();
  std::mt19937 random(seed);
  for (float& v : t.span<float>()) v = (static_cast<float>(random() % 200001) / 100000.f - 1.f) * limit;
  return t;
}

// NaN, infinities, zeros and subnormals among other numbers.
inline Tensor special_floats(const Dims& dims, uint32_t seed) {
  Tensor t = random_floats(dims, seed, 4.f);
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const float values[] = {std::nanf(""), kInfinity, -kInfinity, 0.f, -0.f, 1e-40f, -1e-40f, 8e37f, -8e37f, 1.f};
  std::mt19937 random(seed);
  for (float& v : t.span<float>())
    if (random() % 3 == 0) v = values[random() % std::size(values)];
  return t;
}

// Sets one attribute by its ONNX name.
class AttrSetter final : public ir::AttrVisitor {
 public:
  using Value = std::variant<int64_t, float, std::string, std::vector<int64_t>, std::vector<float>>;
  AttrSetter(std::string name, Value value) : name_(std::move(name)), value_(std::move(value)) {}
  bool found() const { return found_; }

  void operator()(const char* n, int64_t& v) override { fill(n, v); }
  void operator()(const char* n, float& v) override { fill(n, v); }
  void operator()(const char* n, std::string& v) override { fill(n, v); }
  void operator()(const char* n, std::vector<int64_t>& v) override { fill(n, v); }
  void operator()(const char* n, std::vector<float>& v) override { fill(n, v); }
  void operator()(const char*, std::vector<std::string>&) override {}
  void operator()(const char*, Tensor&) override {}
  void operator()(const char* n, std::optional<int64_t>& v) override { fill_optional(n, v); }
  void operator()(const char* n, std::optional<float>& v) override { fill_optional(n, v); }
  void operator()(const char* n, std::optional<std::string>& v) override { fill_optional(n, v); }
  void operator()(const char* n, std::optional<std::vector<int64_t>>& v) override { fill_optional(n, v); }
  void operator()(const char* n, std::optional<std::vector<float>>& v) override { fill_optional(n, v); }
  void operator()(const char*, std::optional<std::vector<std::string>>&) override {}

 private:
  template <class T>
  void fill(const char* name, T& v) {
    if (name_ != name) return;
    found_ = true;
    v = std::get<T>(value_);
  }
  template <class T>
  void fill_optional(const char* name, std::optional<T>& v) {
    if (name_ == name) fill(name, v.emplace());
  }
  std::string name_;
  Value value_;
  bool found_ = false;
};

// NodeTest("", "Softmax", 13).set("axis", 1).input(x).expect_same("softmax_f32");
class NodeTest {
 public:
  NodeTest(std::string_view domain, std::string_view op, int version) {
    node_.op = ops::find_op(domain, op);
    node_.version = version;
    node_.name = op;
    node_.attrs = node_.op->make_attrs();
  }
  NodeTest& set(std::string name, AttrSetter::Value value) {
    AttrSetter setter(name, std::move(value));
    const_cast<ir::Attrs&>(*node_.attrs).visit(setter);
    EXPECT_TRUE(setter.found()) << "no attribute " << name;
    return *this;
  }
  NodeTest& set(std::string name, int value) { return set(std::move(name), AttrSetter::Value(int64_t{value})); }
  NodeTest& set(std::string name, std::initializer_list<int64_t> value) {
    return set(std::move(name), AttrSetter::Value(std::vector<int64_t>(value)));
  }
  NodeTest& version(int version) {
    node_.version = version;
    return *this;
  }
  NodeTest& input(const Tensor& t) {
    values_.push_back(ops::RtValue::of(guarded(t)));
    graph_.inputs.push_back(
        graph_.add_value("x" + std::to_string(node_.inputs.size()), ir::Type::tensor(t.dtype(), ir::to_shape(t.dims()))));
    node_.inputs.push_back(graph_.inputs.back());
    return *this;
  }
  NodeTest& constant(const Tensor& t) {
    node_.inputs.push_back(graph_.add_constant("c" + std::to_string(node_.inputs.size()), guarded(t)));
    return *this;
  }
  NodeTest& absent() {
    node_.inputs.push_back(ir::kNoValue);
    return *this;
  }
  // Which outputs the node has; by default the first alone.
  NodeTest& outputs(std::vector<bool> present) {
    present_ = std::move(present);
    return *this;
  }

  // The outputs that are present. Without a tactic the reference runs.
  std::vector<Tensor> run(const Tactic* tactic, int threads = 1) {
    finish();
    ir::Graph graph = graph_;
    const Status assigned = assign_tactic(graph.nodes[0], tactic, facts());
    EXPECT_TRUE(assigned.ok()) << assigned.error().message();
    for (Tensor& packed : graph.nodes[0].packed) packed = guarded(packed);
    elide_packed_constants(graph);
    runtime::ExecutionState state(default_allocator(), threads);
    runtime::Executor executor(graph, state);
    std::vector<Tensor> results;
    std::vector<std::shared_ptr<GuardedMemory>> memory;
    std::vector<runtime::Executor::OutputBinding> bindings;
    for (ir::ValueId id : graph_.outputs) {
      const ir::Type& type = graph_.value(id).type;
      Dims dims;
      for (const ir::Dim& d : *type.shape) dims.push_back(d.is_const() ? d.value() : 0);
      memory.push_back(std::make_shared<GuardedMemory>(static_cast<size_t>(dims.num_elements()) * dtype_size(type.dtype)));
      const bool known = std::all_of(type.shape->begin(), type.shape->end(), [](const ir::Dim& d) { return d.is_const(); });
      bindings.push_back({known ? memory.back()->data() : nullptr, memory.back()->bytes()});
      results.push_back(Tensor::shared(type.dtype, dims, memory.back()->data(), memory.back()));
    }
    std::vector<ops::RtValue> outputs(results.size());
    const Status status = executor.run(values_, bindings, outputs);
    EXPECT_TRUE(status.ok()) << status.error().message();
    for (size_t i = 0; i < outputs.size() && status.ok(); ++i) {
      if (outputs[i].tensor.raw() != results[i].raw()) results[i] = outputs[i].tensor.clone().value();
      memory[i]->expect_untouched();
    }
    return results;
  }

  std::vector<ops::Fact> facts() {
    finish();
    std::vector<ops::Fact> inputs;
    for (ir::ValueId id : graph_.inputs) inputs.push_back(ops::Fact::of(graph_.value(id).type));
    return ops::infer_graph(graph_, inputs, {.fold_elements = 0}).value();
  }

  // Why the tactic refuses the node; empty when it takes it.
  std::string refusal(std::string_view name) {
    const auto known = facts();
    const Status status = find_tactic(name)->supports(graph_.nodes[0], known);
    return status.ok() ? "" : status.error().message();
  }

  // The tactic takes the node, gives what the reference gives up to |difference| <= absolute + relative * |reference|, and
  // the same bits with any number of threads.
  void expect_same(std::string_view name, double relative = 1e-5, double absolute = 1e-6) {
    const Tactic* tactic = find_tactic(name);
    ASSERT_NE(tactic, nullptr) << name;
    ASSERT_EQ(refusal(name), "") << describe();
    const auto want = run(nullptr);
    std::vector<Tensor> first;
    for (int threads : {1, 2, 3}) {
      const auto got = run(tactic, threads);
      for (size_t i = 0; i < want.size(); ++i) {
        ASSERT_NO_FATAL_FAILURE(expect_close(want[i], got[i], relative, absolute)) << name << " output " << i << ": " << describe();
        if (threads > 1 && got[i].num_bytes() > 0) {
          ASSERT_EQ(std::memcmp(got[i].raw(), first[i].raw(), got[i].num_bytes()), 0)
              << "other bits with " << threads << " threads: " << describe();
        }
      }
      if (threads == 1) first = got;
    }
  }

 private:
  void finish() {
    if (!graph_.nodes.empty()) return;
    for (size_t i = 0; i < present_.size(); ++i) {
      node_.outputs.push_back(present_[i] ? graph_.add_value("y" + std::to_string(i)) : ir::kNoValue);
      if (present_[i]) graph_.outputs.push_back(node_.outputs.back());
    }
    graph_.nodes.push_back(node_);
    const Status status = ir::infer_types(graph_);
    EXPECT_TRUE(status.ok()) << status.error().message();
  }

  std::string describe() {
    std::string text = std::string(node_.op->name) + " {" + ir::to_string(*node_.attrs) + "}";
    for (ir::ValueId id : node_.inputs) text += id == ir::kNoValue ? ", -" : ", " + graph_.value(id).type.to_string();
    return text;
  }

  static void expect_close(const Tensor& want, const Tensor& got, double relative, double absolute) {
    ASSERT_EQ(want.dims(), got.dims());
    ASSERT_EQ(want.dtype(), got.dtype());
    if (want.dtype() != DType::kFloat32) {
      const auto *w = static_cast<const uint8_t*>(want.raw()), *g = static_cast<const uint8_t*>(got.raw());
      for (size_t i = 0; i < want.num_bytes(); ++i) ASSERT_EQ(g[i], w[i]) << "byte " << i;
      return;
    }
    for (int64_t i = 0; i < want.num_elements(); ++i) {
      const double w = want.data<float>()[i], g = got.data<float>()[i];
      const bool same = std::isnan(w) ? std::isnan(g) : std::isinf(w) ? g == w : std::fabs(w - g) <= absolute + relative * std::fabs(w);
      ASSERT_TRUE(same) << "element " << i << " is " << g << ", not " << w;
    }
  }

  ir::Graph graph_;
  ir::Node node_;
  std::vector<ops::RtValue> values_;
  std::vector<bool> present_ = {true};
};

}  // namespace cameo::tactics
