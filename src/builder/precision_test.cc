// Calibration, its file, and the choice of precisions, on small graphs.
#include "builder/precision.h"

#include <cmath>
#include <cstdio>
#include <fstream>
#include <random>
#include <sstream>

#include "builder/calibration.h"
#include "passes/lower_quantized.h"
#include "passes/pass_test.h"

namespace cameo::builder {
namespace {

Tensor random_tensor(const Dims& dims, uint32_t seed, float scale = 1) {
  Tensor t = Tensor::allocate(DType::kFloat32, dims).value();
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, scale);
  for (float& v : t.span<float>()) v = normal(random);
  return t;
}

// Two products with Relu between them, and a convolution, as the passes leave them. `outlier` goes into the second weight.
ir::Graph small_graph(float outlier = 0) {
  passes::TestGraph g;
  const auto x = g.input("x", DType::kFloat32, {4, 96});
  const auto h = g.node("Relu", {g.node("MatMul", {x, g.graph.add_constant("w1", random_tensor({96, 80}, 1, 0.1f))})});
  Tensor w2 = random_tensor({80, 64}, 2, 0.1f);
  for (int64_t i = 0; outlier != 0 && i < 64; ++i) w2.data<float>()[i] = outlier;
  g.output(g.node("MatMul", {h, g.graph.add_constant("w2", w2)}));
  const auto image = g.input("image", DType::kFloat32, {1, 4, 8, 8});
  g.output(g.node("Conv", {image, g.graph.add_constant("w3", random_tensor({8, 4, 3, 3}, 3, 0.2f))}));
  ir::Graph graph = g.graph;
  std::vector<PassReport> reports;
  EXPECT_TRUE(passes::run_passes(graph, {}, reports).ok());
  return graph;
}

Samples samples(int count = 3) {
  Samples all;
  for (int i = 0; i < count; ++i)
    all.push_back({{"x", random_tensor({4, 96}, static_cast<uint32_t>(10 + i))},
                   {"image", random_tensor({1, 4, 8, 8}, static_cast<uint32_t>(20 + i))}});
  return all;
}

double loss_between(const ir::Graph& want, const ir::Graph& got) {
  const auto inputs = graph_inputs(want, samples(1)).value();
  const auto a = ops::evaluate_graph(want, inputs[0]), b = ops::evaluate_graph(got, inputs[0]);
  EXPECT_TRUE(a.ok() && b.ok());
  std::vector<Tensor> x, y;
  for (const auto& v : *a) x.push_back(v.tensor);
  for (const auto& v : *b) y.push_back(v.tensor);
  return loss_of(MaxLoss::Metric::kRelative, x, y);
}

// Level 0 by default: what is faster depends on the moment.
Status lower(ir::Graph& graph, BuildOptions options, std::vector<PassReport>& reports, std::vector<LayerPrecision>& layers, int level = 0) {
  TimingCache cache;
  options.optimization_level = level;
  return lower_precision(graph, options, {}, cache, reports, layers);
}

TEST(Calibration, EveryMethodKeepsResults) {
  const ir::Graph graph = small_graph();
  for (CalibrationMethod method : {CalibrationMethod::kMinMax, CalibrationMethod::kEntropy, CalibrationMethod::kPercentile}) {
    ir::Graph lowered = graph;
    std::vector<PassReport> reports;
    std::vector<LayerPrecision> layers;
    BuildOptions options;
    options.int8 = true;
    options.calibration = samples();
    options.calibration_method = method;
    const Status status = lower(lowered, options, reports, layers);
    ASSERT_TRUE(status.ok()) << status.error().message();
    EXPECT_EQ(passes::count(lowered, "QuantizedMatMul"), 2u) << passes::ops_of(lowered);
    EXPECT_EQ(passes::count(lowered, "QuantizedConv"), 1u);
    EXPECT_EQ(layers.size(), 3u);
    for (const LayerPrecision& l : layers) EXPECT_EQ(l.precision, "int8");
    EXPECT_LT(loss_between(graph, lowered), method == CalibrationMethod::kMinMax ? 0.03 : 0.15);
  }
}

TEST(Calibration, RangesOfKnownValues) {
  const ir::Graph graph = small_graph();
  Samples two = samples(2);
  std::fill_n(two[0].at("x").data<float>(), 4 * 96, 0.5f);
  std::fill_n(two[1].at("x").data<float>(), 4 * 96, -2.f);
  two[1].at("x").data<float>()[7] = -INFINITY;  // no number, no range
  const auto ranges = calibrate(graph, two, CalibrationMethod::kMinMax, 1);
  ASSERT_TRUE(ranges.ok()) << ranges.error().message();
  EXPECT_EQ(ranges->at("x").min, -2);
  EXPECT_EQ(ranges->at("x").max, 0.5f);
}

TEST(Calibration, InputsThatDoNotFit) {
  const ir::Graph graph = small_graph();
  Samples none, missing = samples(1), wrong = samples(1), shape = samples(1), nan = samples(1);
  missing[0].erase("image");
  wrong[0]["x"] = Tensor::of<int64_t>({1}, {1});
  shape[0]["x"] = random_tensor({4, 95}, 1);
  nan[0].at("x").data<float>()[5] = NAN;
  for (const Samples& bad : {none, missing, wrong, shape, nan}) EXPECT_FALSE(calibrate(graph, bad, CalibrationMethod::kMinMax, 1).ok());
}

TEST(Calibration, EntropyCutsRareOutliers) {
  std::vector<double> counts(2048, 0);
  for (size_t i = 0; i < 400; ++i) counts[i] = 1000 * std::exp(-static_cast<double>(i) / 80);
  counts[2047] = 1;
  EXPECT_LT(entropy_threshold(counts), 1000u);
  EXPECT_GE(entropy_threshold(counts), 128u);
  EXPECT_EQ(entropy_threshold(std::vector<double>(2048, 0)), 2048u);
  EXPECT_EQ(entropy_threshold(std::vector<double>(100, 5)), 100u);
}

TEST(Calibration, FileIsChecked) {
  const std::string path = testing::TempDir() + "/calibration.json";
  const Ranges ranges = {{"x", {-1.5f, 2, 0.7f, 0.1f, {-1, -1.5f}, {2, 1}, {0.5f, 0.8f}}}, {"y", {0, 6, 1}}};
  ASSERT_TRUE(save_ranges(path, ranges, 42, CalibrationMethod::kEntropy).ok());
  const auto back = load_ranges(path, 42, CalibrationMethod::kEntropy);
  ASSERT_TRUE(back.ok()) << back.error().message();
  EXPECT_EQ(back->at("x").min, -1.5f);
  EXPECT_EQ(back->at("y").rms, 1);
  EXPECT_EQ(back->at("x").channel_min, ranges.at("x").channel_min);
  EXPECT_EQ(back->at("x").channel_rms, ranges.at("x").channel_rms);
  EXPECT_TRUE(back->at("y").channel_max.empty());
  EXPECT_FALSE(load_ranges(path, 43, CalibrationMethod::kEntropy).ok()) << "another model";
  EXPECT_FALSE(load_ranges(path, 42, CalibrationMethod::kMinMax).ok()) << "another method";
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  const std::string whole = text.str();
  // Cut off anywhere, or with any one byte changed: an error, or what was saved.
  for (size_t i = 0; i < whole.size(); ++i) {
    for (const std::string& damaged : {whole.substr(0, i), [&] {
                                         auto s = whole;
                                         s[i] = static_cast<char>(s[i] ^ 1);
                                         return s;
                                       }()}) {
      std::ofstream(path, std::ios::trunc) << damaged;
      const auto read = load_ranges(path, 42, CalibrationMethod::kEntropy);
      if (!read.ok()) continue;
      ASSERT_EQ(read->size(), 2u) << i;
      EXPECT_EQ(read->at("x").max, 2) << i;
    }
  }
  std::remove(path.c_str());
}

TEST(Precision, BudgetKeepsLayersInFloat) {
  const ir::Graph graph = small_graph();
  for (double most : {0., 1.}) {
    ir::Graph lowered = graph;
    std::vector<PassReport> reports;
    std::vector<LayerPrecision> layers;
    BuildOptions options;
    options.int8 = true;
    options.calibration = samples();
    options.max_loss = MaxLoss{MaxLoss::Metric::kRelative, most};
    const Status status = lower(lowered, options, reports, layers);
    ASSERT_TRUE(status.ok()) << status.error().message();
    if (most == 0) {
      EXPECT_EQ(passes::count(lowered, "QuantizedMatMul") + passes::count(lowered, "QuantizedConv"), 0u);
    }
    for (const LayerPrecision& l : layers) {
      EXPECT_GE(l.loss, 0);
      EXPECT_EQ(l.precision == "float32", !l.reason.empty());
    }
  }
}

TEST(Precision, LayersThatLoseTooMuchKeepFloat) {
  // Columns with one weight a thousand times the others: those others become zero.
  ir::Graph graph = small_graph(1000.f);
  std::vector<PassReport> reports;
  std::vector<LayerPrecision> layers;
  BuildOptions options;
  options.int8 = true;
  options.calibration = samples();
  for (auto& sample : options.calibration) sample.at("x").data<float>()[3] = 1e6f;
  ASSERT_TRUE(lower(graph, options, reports, layers).ok());
  EXPECT_EQ(layers[0].precision, "float32");
  EXPECT_NE(layers[0].reason.find("rounding would take"), std::string::npos) << layers[0].reason;
}

TEST(Precision, OptionsThatDoNotFitTogether) {
  ir::Graph graph = small_graph();
  std::vector<PassReport> reports;
  std::vector<LayerPrecision> layers;
  BuildOptions options;
  options.max_loss = MaxLoss{};
  EXPECT_FALSE(lower(graph, options, reports, layers).ok());
  options.weights = WeightType::kInt8;
  EXPECT_FALSE(lower(graph, options, reports, layers).ok());
  options = {};
  options.int8 = true;
  EXPECT_FALSE(lower(graph, options, reports, layers).ok());
  options = {};
  options.weights = WeightType::kInt4;
  options.weight_group_size = 20;
  EXPECT_FALSE(lower(graph, options, reports, layers).ok());
}

TEST(Precision, Losses) {
  const Tensor a = Tensor::of<float>({1, 2}, {3, 4}), b = Tensor::of<float>({1, 2}, {4, 3}), c = Tensor::of<float>({1, 2}, {3, NAN});
  EXPECT_EQ(loss_of(MaxLoss::Metric::kCosine, {&a, 1}, {&a, 1}), 0);
  EXPECT_NEAR(loss_of(MaxLoss::Metric::kCosine, {&a, 1}, {&b, 1}), 1 - 24. / 25, 1e-12);
  EXPECT_NEAR(loss_of(MaxLoss::Metric::kRelative, {&a, 1}, {&b, 1}), std::sqrt(2.) / 5, 1e-12);
  const double p = 1 / (1 + std::exp(1.)), q = 1 - p;
  EXPECT_NEAR(loss_of(MaxLoss::Metric::kKl, {&a, 1}, {&b, 1}), (q - p) * std::log(q / p), 1e-9);
  for (auto metric : {MaxLoss::Metric::kCosine, MaxLoss::Metric::kRelative, MaxLoss::Metric::kKl})
    EXPECT_EQ(loss_of(metric, {&a, 1}, {&c, 1}), INFINITY);
}

}  // namespace
}  // namespace cameo::builder
