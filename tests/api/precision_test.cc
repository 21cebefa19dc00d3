// What lower precisions do to the results of models/tiny-gpt2, and what is said about options and inputs that do not fit.
#include <cmath>
#include <cstdio>
#include <fstream>
#include <random>

#include "models.h"

namespace cameo::test {
namespace {

using S = std::string;

const std::string kModel = CAMEO_SOURCE_DIR "/models/tiny-gpt2/model.onnx";

std::map<std::string, Tensor> tokens(uint32_t seed, int64_t batch = 2, int64_t length = 24) {
  std::mt19937 random(seed);
  Tensor ids = Tensor::allocate(DType::kInt64, {batch, length}).value(), mask = Tensor::allocate(DType::kInt64, {batch, length}).value();
  for (int64_t& id : ids.span<int64_t>()) id = random() % 4096;
  for (int64_t& m : mask.span<int64_t>()) m = 1;
  return {{"input_ids", ids}, {"attention_mask", mask}};
}

BuildOptions int8_options(CalibrationMethod method = CalibrationMethod::kMinMax) {
  BuildOptions options;
  options.optimization_level = 0;  // what is faster depends on the moment
  options.threads = 2;
  options.int8 = true;
  options.calibration_method = method;
  for (uint32_t seed = 0; seed < 4; ++seed) options.calibration.push_back(tokens(seed));
  return options;
}

BuildOptions weight_options(WeightType type, int64_t group_size) {
  BuildOptions options;
  options.optimization_level = 0;
  options.weights = type;
  options.weight_group_size = group_size;
  return options;
}

std::vector<float> logits(const BuildOptions& options, std::vector<LayerPrecision>* layers = nullptr) {
  Builder builder;
  const auto plan = builder.build(kModel, options);
  EXPECT_TRUE(plan.ok()) << plan.error().message();
  if (!plan.ok()) return {};
  if (layers != nullptr) *layers = builder.precisions();
  const auto engine = Engine::load(*plan);
  EXPECT_TRUE(engine.ok());
  auto context = engine->create_context();
  EXPECT_TRUE(context.ok());
  for (const auto& [name, tensor] : tokens(100)) EXPECT_TRUE(context->set_input(name, tensor).ok());
  const Status ran = context->run();
  EXPECT_TRUE(ran.ok()) << ran.error().message();
  const auto y = context->output("logits");
  EXPECT_TRUE(y.ok());
  return {y->data<float>(), y->data<float>() + y->num_elements()};
}

double cosine(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    ab += static_cast<double>(a[i]) * b[i];
    aa += static_cast<double>(a[i]) * a[i];
    bb += static_cast<double>(b[i]) * b[i];
  }
  return ab / std::sqrt(aa * bb);
}

TEST(Precision, Int8KeepsResults) {
  const std::vector<float> want = logits({});
  for (CalibrationMethod method : {CalibrationMethod::kMinMax, CalibrationMethod::kEntropy, CalibrationMethod::kPercentile})
    for (bool symmetric : {false, true}) {
      BuildOptions options = int8_options(method);
      options.symmetric_activations = symmetric;
      std::vector<LayerPrecision> layers;
      EXPECT_GT(cosine(want, logits(options, &layers)), 0.99);
      EXPECT_GT(std::ranges::count(layers, "int8", &LayerPrecision::precision), 10);
    }
}

TEST(Precision, WeightsKeepResults) {
  const std::vector<float> want = logits({});
  const struct {
    WeightType type;
    int64_t group_size;
    double least;
  } kCases[] = {{WeightType::kFloat16, 0, 0.999999}, {WeightType::kBfloat16, 0, 0.9999}, {WeightType::kInt8, 0, 0.999},
                {WeightType::kInt8, 64, 0.9995},     {WeightType::kInt4, 32, 0.98},      {WeightType::kInt4, 64, 0.97},
                {WeightType::kInt4, 128, 0.95}};
  for (const auto& c : kCases)
    EXPECT_GT(cosine(want, logits(weight_options(c.type, c.group_size))), c.least) << static_cast<int>(c.type) << " " << c.group_size;
}

TEST(Precision, BudgetHolds) {
  const std::vector<float> want = logits({});
  BuildOptions options = weight_options(WeightType::kInt4, 0);
  options.calibration = {tokens(100)};
  size_t before = 0;
  for (double most : {0., 1e-3, 1.}) {
    options.max_loss = MaxLoss{MaxLoss::Metric::kCosine, most};
    std::vector<LayerPrecision> layers;
    EXPECT_LE(1 - cosine(want, logits(options, &layers)), most + 1e-7);
    const auto lowered = static_cast<size_t>(std::ranges::count(layers, "", &LayerPrecision::reason));
    EXPECT_GE(lowered, before);
    before = lowered;
  }
  EXPECT_GT(before, 10u);
}

TEST(Precision, CacheGivesTheSamePlan) {
  BuildOptions options = int8_options();
  options.calibration_cache = testing::TempDir() + "/precision_test_calibration.json";
  std::remove(options.calibration_cache.c_str());
  Builder builder;
  const auto first = builder.build(kModel, options);
  ASSERT_TRUE(first.ok()) << first.error().message();
  options.calibration.clear();
  const auto second = builder.build(kModel, options);
  ASSERT_TRUE(second.ok()) << second.error().message();
  EXPECT_TRUE(std::ranges::equal(first->bytes(), second->bytes()));
  std::ofstream(options.calibration_cache, std::ios::trunc) << "{\"format\": ";
  EXPECT_ERROR(builder.build(kModel, options), ErrorCode::kInvalidArgument, S("damaged"), S("delete it"));
  std::remove(options.calibration_cache.c_str());
}

TEST(Precision, TimesComeFromTheCache) {
  BuildOptions options = int8_options();
  options.optimization_level = 1;
  options.profiles = {{{{"input_ids", {1, 1}, {2, 24}, {2, 24}}, {"attention_mask", {1, 1}, {2, 24}, {2, 24}}}}};
  options.timing_cache = testing::TempDir() + "/precision_test_times.json";
  std::remove(options.timing_cache.c_str());
  Builder builder;
  options.error_on_miss = true;
  EXPECT_ERROR(builder.build(kModel, options), ErrorCode::kInvalidArgument, S("timing cache"));
  options.error_on_miss = false;
  const auto first = builder.build(kModel, options);
  ASSERT_TRUE(first.ok()) << first.error().message();
  for (const LayerPrecision& l : builder.precisions()) EXPECT_GE(l.float_microseconds, 0) << l.layer;
  options.error_on_miss = true;
  const auto second = builder.build(kModel, options);
  ASSERT_TRUE(second.ok()) << second.error().message();
  EXPECT_TRUE(std::ranges::equal(first->bytes(), second->bytes()));
  std::remove(options.timing_cache.c_str());
}

TEST(Precision, CalibrationInputsThatDoNotFit) {
  const auto with = [](auto change) {
    BuildOptions options = int8_options();
    change(options.calibration[1]);
    return Builder().build(kModel, options);
  };
  using Sample = std::map<std::string, Tensor>;
  const auto code = ErrorCode::kInvalidArgument;
  EXPECT_ERROR(with([](Sample& s) { s["ids"] = s["input_ids"], s.erase("input_ids"); }), code, S("sample 2"), S("'input_ids'"), S("'ids'"));
  EXPECT_ERROR(with([](Sample& s) { s["input_ids"] = Tensor::of<float>({1, 1}, {1}); }), code, S("sample 2"), S("float32"), S("int64"));
  EXPECT_ERROR(with([](Sample& s) { s["attention_mask"] = tokens(0, 2, 3).at("input_ids"); }), code, S("'attention_mask'"), S("2x3"),
               S("24"));
  EXPECT_ERROR(with([](Sample& s) { s["input_ids"] = Tensor::of<int64_t>({1}, {1}); }), code, S("sample 2"), S("int64["));
  EXPECT_FALSE(with([](Sample& s) { s["input_ids"].data<int64_t>()[0] = 1'000'000; }).ok()) << "an id beyond the vocabulary";
}

TEST(Precision, OptionsThatDoNotFitTogether) {
  const auto with = [](auto change) {
    BuildOptions options = int8_options();
    change(options);
    return Builder().build(kModel, options);
  };
  const auto code = ErrorCode::kInvalidArgument;
  EXPECT_ERROR(with([](BuildOptions& o) { o.calibration.clear(); }), code, S("calibration"));
  EXPECT_ERROR(with([](BuildOptions& o) { o.int8 = false; }), code, S("calibration inputs"));
  EXPECT_ERROR(with([](BuildOptions& o) { o.int8 = false, o.max_loss = MaxLoss{}; }), code, S("bound on the loss"));
  EXPECT_ERROR(with([](BuildOptions& o) { o.calibration.clear(), o.max_loss = MaxLoss{}; }), code, S("needs inputs"));
  EXPECT_ERROR(with([](BuildOptions& o) { o.weights = WeightType::kInt8, o.max_loss = MaxLoss{}; }), code, S("not both"));
  EXPECT_ERROR(with([](BuildOptions& o) { o.reference = true; }), code, S("reference"));
  EXPECT_ERROR(with([](BuildOptions& o) { o.strongly_typed = true; }), code, S("strongly typed"));
  EXPECT_ERROR(with([](BuildOptions& o) { o.weight_group_size = 32; }), code, S("group size"));
  EXPECT_ERROR(with([](BuildOptions& o) { o.weights = WeightType::kInt4, o.weight_group_size = 24; }), code, S("24"), S("multiple of 16"));
}

}  // namespace
}  // namespace cameo::test
