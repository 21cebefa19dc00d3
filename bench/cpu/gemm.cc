// Times float32 matrix products as the nodes of a model run them, tactic by tactic:
//   bench_gemm [--threads=N] [--rounds=N] [--warm] [--tactic=PART] [--shape=ROWSxDEPTHxCOLUMNS]
// Each figure is the best of all rounds. Constant right sides are used in turn from so many copies that they come from memory
// (with --warm one copy stays in the cache, as far as it fits). "bias+gelu" and the like are fused programs.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>

#include "ops/cameo_matmul.h"
#include "runtime/executor.h"

namespace cameo {
namespace {

enum class Right { kConstant, kConstantTransposed, kInput, kInputTransposed };
enum class Program { kNone, kBias, kBiasGelu, kBiasResidualRelu };

struct Shape {
  const char* name;
  int64_t rows, depth, columns;
  Right right = Right::kConstant;
  Program program = Program::kBias;
  int64_t batch = 1;
};

const Shape kShapes[] = {
    {"small", 16, 64, 64},
    {"decode", 1, 768, 768},
    {"decode", 1, 768, 2304},
    {"decode", 1, 768, 3072, Right::kConstant, Program::kBiasGelu},
    {"decode", 1, 3072, 768},
    {"decode b8", 8, 768, 3072},
    {"lm head", 1, 768, 50257, Right::kConstant, Program::kNone},
    {"tied lm head", 1, 768, 50257, Right::kConstantTransposed, Program::kNone},
    {"tied lm head b8", 8, 768, 50257, Right::kConstantTransposed, Program::kNone},
    {"tied lm head", 40, 768, 50257, Right::kConstantTransposed, Program::kNone},
    {"mpnet 16", 16, 768, 768},
    {"mpnet 16", 16, 768, 2304},
    {"mpnet 16", 16, 768, 3072, Right::kConstant, Program::kBiasGelu},
    {"mpnet 16", 16, 3072, 768},
    {"mpnet 128", 128, 768, 768},
    {"mpnet 128", 128, 768, 2304},
    {"mpnet 128", 128, 768, 3072, Right::kConstant, Program::kNone},
    {"mpnet 128", 128, 768, 3072, Right::kConstant, Program::kBiasGelu},
    {"mpnet 128", 128, 3072, 768},
    {"mpnet 8x128", 1024, 768, 3072},
    {"mpnet 8x128", 1024, 3072, 768},
    {"resnet", 3136, 64, 256, Right::kConstant, Program::kBiasResidualRelu},
    {"resnet", 3136, 256, 64, Right::kConstant, Program::kBiasResidualRelu},
    {"resnet", 784, 128, 512, Right::kConstant, Program::kBiasResidualRelu},
    {"resnet", 196, 1024, 256, Right::kConstant, Program::kBiasResidualRelu},
    {"resnet", 49, 512, 2048, Right::kConstant, Program::kBiasResidualRelu},
    {"resnet", 1, 2048, 1000},
    {"scores", 128, 64, 128, Right::kInputTransposed, Program::kNone, 12},
    {"values", 128, 128, 64, Right::kInput, Program::kNone, 12},
    {"decode scores", 1, 64, 512, Right::kInputTransposed, Program::kNone, 12},
    {"decode values", 1, 512, 64, Right::kInput, Program::kNone, 12},
    {"square", 1024, 1024, 1024, Right::kInput, Program::kNone},
};

Tensor random_tensor(const Dims& dims, uint32_t seed) {
  Tensor t = Tensor::allocate(DType::kFloat32, dims).value();
  std::minstd_rand random(seed);
  for (float& v : t.span<float>()) v = static_cast<float>(random() % 2001) / 1000.f - 1.f;
  return t;
}

bool is_constant(const Shape& s) { return s.right == Right::kConstant || s.right == Right::kConstantTransposed; }

// A node whose constants are packed; its executor.
struct Candidate {
  Candidate(ir::Graph g, int threads) : graph(std::move(g)), state(default_allocator(), threads), executor(graph, state) {}
  ir::Graph graph;
  runtime::ExecutionState state;
  runtime::Executor executor;
};

std::unique_ptr<Candidate> candidate(const Shape& s, const tactics::Tactic* tactic, int threads, uint32_t seed) {
  ir::Graph graph;
  ir::Node node;
  node.op = ops::find_op(ops::kCameoDomain, "MatMul");
  node.version = 1;
  auto attrs = std::make_unique<ops::CameoMatMulAttrs>();
  const bool transposed = s.right == Right::kConstantTransposed || s.right == Right::kInputTransposed;
  attrs->trans_b = transposed ? 1 : 0;
  ops::PointProgram program{1, {}, {}};
  if (s.program != Program::kNone) program = {2, {{ops::PointOp::kAdd, 0, 1}}, {}};
  if (s.program == Program::kBiasGelu) program.code.push_back({ops::PointOp::kGelu, 2});
  if (s.program == Program::kBiasResidualRelu)
    program = {3, {{ops::PointOp::kAdd, 0, 1}, {ops::PointOp::kAdd, 3, 2}, {ops::PointOp::kRelu, 4}}, {}};
  attrs->program = ops::encode(program);
  node.attrs = std::move(attrs);
  const auto batched = [&](int64_t m, int64_t n) { return s.batch == 1 ? Dims{m, n} : Dims{s.batch, m, n}; };
  const Dims b = transposed ? batched(s.columns, s.depth) : batched(s.depth, s.columns);
  const auto add_input = [&](const Dims& dims) {
    graph.inputs.push_back(graph.add_value("x", ir::Type::tensor(DType::kFloat32, ir::to_shape(dims))));
    return graph.inputs.back();
  };
  node.inputs.push_back(add_input(batched(s.rows, s.depth)));
  node.inputs.push_back(is_constant(s) ? graph.add_constant("b", random_tensor(b, seed)) : add_input(b));
  if (s.program != Program::kNone) node.inputs.push_back(graph.add_constant("bias", random_tensor({s.columns}, 2)));
  if (s.program == Program::kBiasResidualRelu) node.inputs.push_back(add_input({s.rows, s.columns}));
  graph.outputs = {graph.add_value("y")};
  node.outputs = graph.outputs;
  graph.nodes.push_back(std::move(node));
  if (!ir::infer_types(graph).ok()) return nullptr;
  std::vector<ops::Fact> inputs;
  for (ir::ValueId id : graph.inputs) inputs.push_back(ops::Fact::of(graph.value(id).type));
  const auto facts = ops::infer_graph(graph, inputs, {.fold_elements = 0}).value();
  if (!tactic->is_for(*graph.nodes[0].op) || !tactic->supports(graph.nodes[0], facts).ok()) return nullptr;
  if (!tactics::assign_tactic(graph.nodes[0], tactic, facts).ok()) return nullptr;
  tactics::elide_packed_constants(graph);
  return std::make_unique<Candidate>(std::move(graph), threads);
}

void run(const Shape& s, const tactics::Tactic* tactic, int threads, int rounds, bool warm) {
  const double weights = 4.0 * static_cast<double>(s.depth * s.columns * s.batch);
  const int copies = is_constant(s) && !warm ? std::clamp(static_cast<int>(128e6 / weights), 1, 64) : 1;
  std::vector<std::unique_ptr<Candidate>> nodes;
  for (int i = 0; i < copies; ++i) {
    nodes.push_back(candidate(s, tactic, threads, static_cast<uint32_t>(i + 1)));
    if (nodes.back() == nullptr) return;
  }
  std::vector<ops::RtValue> inputs;
  for (ir::ValueId id : nodes[0]->graph.inputs) {
    Dims dims;
    for (const ir::Dim& d : *nodes[0]->graph.value(id).type.shape) dims.push_back(d.value());
    inputs.push_back(ops::RtValue::of(random_tensor(dims, 7)));
  }
  const Tensor y = Tensor::allocate(DType::kFloat32, {s.batch * s.rows * s.columns}).value();
  const runtime::Executor::OutputBinding binding{y.raw(), y.num_bytes()};
  double best = 1e9, spent = 0;
  for (int round = 0; round < rounds * copies && spent < 2; ++round) {
    ops::RtValue output;
    Candidate& node = *nodes[static_cast<size_t>(round % copies)];
    const auto start = std::chrono::steady_clock::now();
    const Status status = node.executor.run(inputs, {&binding, 1}, {&output, 1});
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (!status.ok()) {
      fmt::print(stderr, "{}\n", status.error().message());
      std::exit(1);
    }
    if (round >= copies) best = std::min(best, seconds);
    spent += seconds;
  }
  const double work = 2e-9 * static_cast<double>(s.batch * s.rows * s.depth * s.columns);
  fmt::print("{:16} {:2} x {:4} x {:4} x {:5}  {:24} {:9.1f} us {:6.1f} GFLOP/s {:6.1f} GB/s\n", s.name, s.batch, s.rows, s.depth,
             s.columns, tactic->name, best * 1e6, work / best, weights * 1e-9 / best);
  std::fflush(stdout);
}

}  // namespace
}  // namespace cameo

int main(int argc, char** argv) {
  int threads = 0, rounds = 20;
  bool warm = false;
  std::string part;
  cameo::Shape only{"given", 0, 0, 0};
  for (int i = 1; i < argc; ++i) {
    const std::string_view arg = argv[i];
    const auto value = [&](std::string_view name) { return arg.starts_with(name) ? argv[i] + name.size() : nullptr; };
    if (const char* v = value("--threads=")) {
      threads = std::atoi(v);
    } else if (const char* v = value("--rounds=")) {
      rounds = std::max(std::atoi(v), 2);
    } else if (const char* v = value("--tactic=")) {
      part = v;
    } else if (const char* v = value("--shape=")) {
      if (std::sscanf(v, "%ldx%ldx%ld", &only.rows, &only.depth, &only.columns) != 3) return 2;
    } else if (arg == "--warm") {
      warm = true;
    } else {
      fmt::print(stderr, "unknown argument {}\n", arg);
      return 2;
    }
  }
  const std::span<const cameo::Shape> shapes = only.rows > 0 ? std::span<const cameo::Shape>(&only, 1) : cameo::kShapes;
  for (const cameo::Shape& s : shapes)
    for (const cameo::tactics::Tactic* tactic : cameo::tactics::all_tactics())
      if (tactic->op == "MatMul" && tactic->name.find(part) != std::string_view::npos) cameo::run(s, tactic, threads, rounds, warm);
}
