// Times the convolutions of whole networks, layer by layer and tactic by tactic:
//   bench_conv [--batch=N] [--threads=N] [--rounds=N] [--network=NAME] [--tactic=PART] [--activation=none|relu|hard_swish|swish]
// A round runs every layer once, so that a layer's weights are as cold as in the network; its input was just written, and its
// output lies in memory that another layer used before. Each figure is the best of all rounds. The last line of a network is the sum of the
// fastest tactic of each layer.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>

#include "ops/cameo_conv.h"
#include "runtime/executor.h"

namespace cameo {
namespace {

struct Layer {
  int count, size, in, out, kernel, stride, group;
};

struct Network {
  const char* name;
  std::vector<Layer> layers;
};

const Network kNetworks[] = {
    {"resnet50", {{1, 224, 3, 64, 7, 2, 1},     {1, 56, 64, 64, 1, 1, 1},    {3, 56, 64, 64, 3, 1, 1},    {4, 56, 64, 256, 1, 1, 1},
                  {2, 56, 256, 64, 1, 1, 1},    {1, 56, 256, 128, 1, 1, 1},  {1, 56, 128, 128, 3, 2, 1},  {4, 28, 128, 512, 1, 1, 1},
                  {1, 56, 256, 512, 1, 2, 1},   {3, 28, 512, 128, 1, 1, 1},  {3, 28, 128, 128, 3, 1, 1},  {1, 28, 512, 256, 1, 1, 1},
                  {1, 28, 256, 256, 3, 2, 1},   {6, 14, 256, 1024, 1, 1, 1}, {1, 28, 512, 1024, 1, 2, 1}, {5, 14, 1024, 256, 1, 1, 1},
                  {5, 14, 256, 256, 3, 1, 1},   {1, 14, 1024, 512, 1, 1, 1}, {1, 14, 512, 512, 3, 2, 1},  {3, 7, 512, 2048, 1, 1, 1},
                  {1, 14, 1024, 2048, 1, 2, 1}, {2, 7, 2048, 512, 1, 1, 1},  {2, 7, 512, 512, 3, 1, 1}}},
    {"mobilenet_v3_large",
     {{1, 224, 3, 16, 3, 2, 1},     {1, 112, 16, 16, 3, 1, 16},   {1, 112, 16, 16, 1, 1, 1},    {1, 112, 16, 64, 1, 1, 1},
      {1, 112, 64, 64, 3, 2, 64},   {1, 56, 64, 24, 1, 1, 1},     {2, 56, 24, 72, 1, 1, 1},     {1, 56, 72, 72, 3, 1, 72},
      {1, 56, 72, 24, 1, 1, 1},     {1, 56, 72, 72, 5, 2, 72},    {1, 1, 72, 24, 1, 1, 1},      {1, 1, 24, 72, 1, 1, 1},
      {1, 28, 72, 40, 1, 1, 1},     {2, 28, 40, 120, 1, 1, 1},    {2, 28, 120, 120, 5, 1, 120}, {2, 1, 120, 32, 1, 1, 1},
      {2, 1, 32, 120, 1, 1, 1},     {2, 28, 120, 40, 1, 1, 1},    {1, 28, 40, 240, 1, 1, 1},    {1, 28, 240, 240, 3, 2, 240},
      {1, 14, 240, 80, 1, 1, 1},    {1, 14, 80, 200, 1, 1, 1},    {1, 14, 200, 200, 3, 1, 200}, {1, 14, 200, 80, 1, 1, 1},
      {2, 14, 80, 184, 1, 1, 1},    {2, 14, 184, 184, 3, 1, 184}, {2, 14, 184, 80, 1, 1, 1},    {1, 14, 80, 480, 1, 1, 1},
      {1, 14, 480, 480, 3, 1, 480}, {1, 1, 480, 120, 1, 1, 1},    {1, 1, 120, 480, 1, 1, 1},    {1, 14, 480, 112, 1, 1, 1},
      {2, 14, 112, 672, 1, 1, 1},   {1, 14, 672, 672, 3, 1, 672}, {2, 1, 672, 168, 1, 1, 1},    {2, 1, 168, 672, 1, 1, 1},
      {1, 14, 672, 112, 1, 1, 1},   {1, 14, 672, 672, 5, 2, 672}, {1, 7, 672, 160, 1, 1, 1},    {3, 7, 160, 960, 1, 1, 1},
      {2, 7, 960, 960, 5, 1, 960},  {2, 1, 960, 240, 1, 1, 1},    {2, 1, 240, 960, 1, 1, 1},    {2, 7, 960, 160, 1, 1, 1}}},
    {"efficientnet_b0",
     {{1, 224, 3, 32, 3, 2, 1},     {1, 112, 32, 32, 3, 1, 32},     {1, 112, 32, 16, 1, 1, 1},    {1, 112, 16, 96, 1, 1, 1},
      {1, 112, 96, 96, 3, 2, 96},   {1, 56, 96, 24, 1, 1, 1},       {2, 56, 24, 144, 1, 1, 1},    {1, 56, 144, 144, 3, 1, 144},
      {1, 56, 144, 24, 1, 1, 1},    {1, 56, 144, 144, 5, 2, 144},   {1, 28, 144, 40, 1, 1, 1},    {2, 28, 40, 240, 1, 1, 1},
      {1, 28, 240, 240, 5, 1, 240}, {1, 28, 240, 40, 1, 1, 1},      {1, 28, 240, 240, 3, 2, 240}, {1, 14, 240, 80, 1, 1, 1},
      {3, 14, 80, 480, 1, 1, 1},    {2, 14, 480, 480, 3, 1, 480},   {2, 14, 480, 80, 1, 1, 1},    {1, 14, 480, 480, 5, 1, 480},
      {1, 14, 480, 112, 1, 1, 1},   {3, 14, 112, 672, 1, 1, 1},     {2, 14, 672, 672, 5, 1, 672}, {2, 14, 672, 112, 1, 1, 1},
      {1, 14, 672, 672, 5, 2, 672}, {1, 7, 672, 192, 1, 1, 1},      {4, 7, 192, 1152, 1, 1, 1},   {3, 7, 1152, 1152, 5, 1, 1152},
      {3, 7, 1152, 192, 1, 1, 1},   {1, 7, 1152, 1152, 3, 1, 1152}, {1, 7, 1152, 320, 1, 1, 1},   {1, 7, 320, 1280, 1, 1, 1}}},
    {"other",  // dense blocks, grouped convolutions, wide depthwise windows, long sequences
     {{1, 56, 128, 32, 3, 1, 1},
      {1, 28, 128, 32, 3, 1, 1},
      {1, 14, 128, 32, 3, 1, 1},
      {1, 7, 128, 32, 3, 1, 1},
      {1, 56, 104, 104, 3, 2, 13},
      {1, 28, 208, 208, 3, 2, 26},
      {1, 14, 208, 208, 3, 1, 26},
      {1, 7, 440, 440, 3, 1, 55},
      {1, 56, 96, 96, 7, 1, 96},
      {1, 28, 192, 192, 7, 1, 192},
      {1, 14, 384, 384, 7, 1, 384},
      {1, 7, 768, 768, 7, 1, 768},
      {1, 73, 80, 192, 3, 1, 1},
      {1, 35, 64, 96, 3, 1, 1},
      {1, 35, 48, 64, 5, 1, 1},
      {1, 147, 32, 64, 3, 1, 1}}},
};

Tensor random_tensor(const Dims& dims, uint32_t seed) {
  Tensor t = Tensor::allocate(DType::kFloat32, dims).value();
  std::minstd_rand random(seed);
  for (float& v : t.span<float>()) v = static_cast<float>(random() % 2001) / 1000.f - 1.f;
  return t;
}

// A layer under one tactic, ready to run.
struct Candidate {
  Candidate(ir::Graph g, int threads) : graph(std::move(g)), state(default_allocator(), threads), executor(graph, state) {}
  ir::Graph graph;
  runtime::ExecutionState state;
  runtime::Executor executor;
  double best = 1e9;
};

std::vector<std::unique_ptr<Candidate>> candidates(const Layer& l, int batch, int threads, std::string_view part, ops::PointOp activation,
                                                   bool active) {
  ir::Graph graph;
  ir::Node node;
  node.op = ops::find_op(ops::kCameoDomain, "Conv");
  node.version = 1;
  node.name = "conv";
  auto attrs = std::make_unique<ops::CameoConvAttrs>();
  attrs->strides = {l.stride, l.stride};
  attrs->pads = std::vector<int64_t>(4, l.kernel / 2);
  attrs->group = l.group;
  attrs->channels_last = 1;
  ops::PointProgram program{2, {{ops::PointOp::kAdd, 0, 1, 0}}, {}};
  if (active) program.code.push_back({activation, 2, 0, 0});
  attrs->program = ops::encode(program);
  node.attrs = std::move(attrs);
  graph.inputs = {graph.add_value("x", ir::Type::tensor(DType::kFloat32, {batch, l.size, l.size, l.in}))};
  node.inputs = {graph.inputs[0], graph.add_constant("w", random_tensor({l.out, l.in / l.group, l.kernel, l.kernel}, 1)),
                 graph.add_constant("b", random_tensor({l.out}, 2))};
  graph.outputs = {graph.add_value("y")};
  node.outputs = graph.outputs;
  graph.nodes.push_back(std::move(node));
  std::vector<ops::Fact> inputs = {ops::Fact::of(graph.value(graph.inputs[0]).type)};
  const auto facts = ops::infer_graph(graph, inputs, {.fold_elements = 0}).value();
  std::vector<std::unique_ptr<Candidate>> found;
  for (const tactics::Tactic* tactic : tactics::all_tactics()) {
    if (!tactic->is_for(*graph.nodes[0].op) || tactic->name.find(part) == std::string_view::npos) continue;
    if (!tactic->supports(graph.nodes[0], facts).ok()) continue;
    ir::Graph copy = graph;
    if (!ir::infer_types(copy).ok() || !tactics::assign_tactic(copy.nodes[0], tactic, facts).ok()) continue;
    tactics::elide_packed_constants(copy);
    found.push_back(std::make_unique<Candidate>(std::move(copy), threads));
  }
  return found;
}

double products(const Layer& l, int batch) {
  const int64_t out = (l.size + l.kernel / 2 * 2 - l.kernel) / l.stride + 1;
  return batch * static_cast<double>(out) * static_cast<double>(out) * l.out * (l.in / l.group) * l.kernel * l.kernel;
}

void run(const Network& network, int batch, int threads, int rounds, std::string_view part, ops::PointOp activation, bool active) {
  std::vector<std::vector<std::unique_ptr<Candidate>>> all;
  int64_t largest = 0;
  for (const Layer& l : network.layers) {
    all.push_back(candidates(l, batch, threads, part, activation, active));
    largest = std::max<int64_t>(largest, int64_t{batch} * l.size * l.size * std::max(l.in, l.out));
  }
  const Tensor in = random_tensor({largest}, 3), out = random_tensor({largest}, 4);
  size_t most = 0;
  for (const auto& list : all) most = std::max(most, list.size());
  for (int round = 0; round < rounds; ++round)
    for (size_t k = 0; k < most; ++k)
      for (size_t i = 0; i < all.size(); ++i) {
        if (k >= all[i].size()) continue;
        Candidate& candidate = *all[i][k];
        const Layer& l = network.layers[i];
        const Tensor x = Tensor::view(DType::kFloat32, {batch, l.size, l.size, l.in}, in.raw());
        for (float& v : x.span<float>()) v = -v;
        const ops::RtValue input = ops::RtValue::of(x);
        ops::RtValue output;
        const runtime::Executor::OutputBinding binding{out.raw(), out.num_bytes()};
        const auto start = std::chrono::steady_clock::now();
        const Status status = candidate.executor.run({&input, 1}, {&binding, 1}, {&output, 1});
        const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        if (!status.ok()) {
          fmt::print(stderr, "{}: {}\n", candidate.graph.nodes[0].kernel, status.error().message());
          std::exit(1);
        }
        candidate.best = std::min(candidate.best, seconds);
      }
  double sum = 0, work = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    const Layer& l = network.layers[i];
    double best = 1e9;
    fmt::print("{:2} x {:3}x{:<3} {:4} -> {:4} {}x{}/{} g{:<4}", l.count, l.size, l.size, l.in, l.out, l.kernel, l.kernel, l.stride,
               l.group);
    for (const auto& candidate : all[i]) {
      best = std::min(best, candidate->best);
      fmt::print("  {} {:.1f} us {:.0f} GFLOP/s", candidate->graph.nodes[0].kernel, candidate->best * 1e6,
                 2e-9 * products(l, batch) / candidate->best);
    }
    fmt::print("\n");
    if (!all[i].empty()) {
      sum += l.count * best;
      work += l.count * products(l, batch);
    }
  }
  fmt::print("{}: {:.3f} ms, {:.0f} GFLOP/s\n\n", network.name, sum * 1e3, 2e-9 * work / sum);
}

}  // namespace
}  // namespace cameo

int main(int argc, char** argv) {
  using cameo::ops::PointOp;
  int batch = 1, threads = 0, rounds = 10;
  std::string network, part;
  PointOp activation = PointOp::kRelu;
  bool active = true;
  for (int i = 1; i < argc; ++i) {
    const std::string_view arg = argv[i];
    const auto value = [&](std::string_view name) { return arg.starts_with(name) ? argv[i] + name.size() : nullptr; };
    if (const char* v = value("--batch=")) {
      batch = std::atoi(v);
    } else if (const char* v = value("--threads=")) {
      threads = std::atoi(v);
    } else if (const char* v = value("--rounds=")) {
      rounds = std::atoi(v);
    } else if (const char* v = value("--network=")) {
      network = v;
    } else if (const char* v = value("--tactic=")) {
      part = v;
    } else if (const char* v = value("--activation=")) {
      active = std::strcmp(v, "none") != 0;
      activation = std::strcmp(v, "swish") == 0        ? PointOp::kSwish
                   : std::strcmp(v, "hard_swish") == 0 ? PointOp::kHardSwish
                                                       : PointOp::kRelu;
    } else {
      fmt::print(stderr, "unknown argument {}\n", arg);
      return 2;
    }
  }
  for (const cameo::Network& n : cameo::kNetworks)
    if (network.empty() || network == n.name) cameo::run(n, batch, threads, rounds, part, activation, active);
}
