// Engine and context: shapes, profiles, memory, errors.
#include <cmath>
#include <cstdlib>

#include "models.h"

namespace cameo::test {
namespace {

using S = std::string;

std::vector<float> values(const Tensor& t) { return {t.data<float>(), t.data<float>() + t.num_elements()}; }

TEST(Engine, DescribesInputsAndOutputs) {
  const Engine engine = load(softmax_model());
  ASSERT_EQ(engine.inputs().size(), 1u);
  EXPECT_EQ(engine.inputs()[0].name, "x");
  EXPECT_EQ(engine.inputs()[0].type, "float32[N, 4]");
  EXPECT_EQ(engine.inputs()[0].dims[0].symbol, "N");
  EXPECT_EQ(engine.inputs()[0].dims[1].value, 4);
  EXPECT_EQ(engine.outputs()[0].name, "y");
}

TEST(Engine, RunsAtManyShapes) {
  const Engine engine = load(softmax_model());
  auto context = engine.create_context();
  ASSERT_TRUE(context.ok());
  for (int64_t n : {1, 3, 0, 7, 3, 1}) {
    Tensor x = Tensor::allocate(DType::kFloat32, {n, 4}).value();
    ASSERT_TRUE(context->set_input("x", x).ok());
    EXPECT_EQ(context->output_shape("y").value().to_string(), Dims({n, 4}).to_string());
    ASSERT_TRUE(context->run().ok());
    const auto y = context->output("y");
    ASSERT_TRUE(y.ok());
    EXPECT_EQ(y->dims().to_string(), Dims({n, 4}).to_string());
    for (int64_t i = 0; i < n; ++i) EXPECT_NEAR(y->data<float>()[4 * i + 3] / y->data<float>()[4 * i], std::exp(3.f), 1e-3);
  }
}

TEST(Engine, CallersMemory) {
  const Engine engine = load(softmax_model());
  auto context = engine.create_context();
  ASSERT_TRUE(context.ok());
  float x[8] = {}, y[8] = {};
  EXPECT_ERROR(context->set_tensor_address("x", x, sizeof x), ErrorCode::kInvalidInput, S("'x'"), S("set_input_shape"));
  ASSERT_TRUE(context->set_input_shape("x", {2, 4}).ok());
  EXPECT_ERROR(context->set_tensor_address("x", x, 31), ErrorCode::kInvalidInput, S("'x'"), S("32 bytes"), S("2x4"), S("31"));
  ASSERT_TRUE(context->set_tensor_address("x", x, sizeof x).ok());
  ASSERT_TRUE(context->set_tensor_address("y", y, sizeof y).ok());
  ASSERT_TRUE(context->run().ok());
  EXPECT_EQ(context->output("y")->raw(), y);
  EXPECT_NEAR(y[0] + y[1] + y[2] + y[3], 1, 1e-6);
  ASSERT_TRUE(context->set_tensor_address("y", y, 12).ok());
  EXPECT_ERROR(context->run(), ErrorCode::kInvalidInput, S("'y'"), S("32 bytes"), S("12"));
  ASSERT_TRUE(context->set_tensor_address("y", nullptr, 0).ok());
  ASSERT_TRUE(context->run().ok());
  EXPECT_NE(context->output("y")->raw(), y);
}

TEST(Engine, WrongInputs) {
  const Engine engine = load(softmax_model());
  auto context = engine.create_context();
  ASSERT_TRUE(context.ok());
  EXPECT_ERROR(context->run(), ErrorCode::kInvalidInput, S("'x'"), S("no shape"));
  EXPECT_ERROR(context->set_input("z", Tensor::of<float>({1, 4}, {0, 0, 0, 0})), ErrorCode::kInvalidArgument, S("'z'"), S("'x'"));
  EXPECT_ERROR(context->set_input("x", Tensor::of<int32_t>({1, 4}, {0, 0, 0, 0})), ErrorCode::kInvalidInput, S("'x'"), S("int32"),
               S("float32"));
  EXPECT_ERROR(context->set_input_shape("x", {4}), ErrorCode::kInvalidInput, S("'x'"), S("rank 1"), S("float32[N, 4]"));
  EXPECT_ERROR(context->set_input_shape("x", {2, 5}), ErrorCode::kInvalidInput, S("dimension 1"), S("'x'"), S("is 5"), S("4"));
  EXPECT_ERROR(context->set_input_shape("x", {-2, 4}), ErrorCode::kInvalidInput, S("'x'"), S("-2"));
  EXPECT_ERROR(context->set_input_shape("x", {INT64_MAX, 4}), ErrorCode::kInvalidInput, S("'x'"), S("too many"));
  ASSERT_TRUE(context->set_input_shape("x", {1, 4}).ok());
  EXPECT_ERROR(context->run(), ErrorCode::kInvalidInput, S("'x'"), S("no data"));
  EXPECT_ERROR(context->output("y"), ErrorCode::kInvalidArgument, S("'y'"));
  EXPECT_ERROR(context->output("x"), ErrorCode::kInvalidArgument, S("'x'"), S("'y'"));
}

TEST(Engine, SymbolsMustAgree) {
  const Engine engine = load(two_inputs_model());
  auto context = engine.create_context();
  ASSERT_TRUE(context.ok());
  ASSERT_TRUE(context->set_input("a", Tensor::allocate(DType::kFloat32, {2, 3}).value()).ok());
  ASSERT_TRUE(context->set_input("c", Tensor::allocate(DType::kFloat32, {2, 4}).value()).ok());
  EXPECT_ERROR(context->run(), ErrorCode::kInvalidInput, S("dimension 1 of input 'a'"), S("dimension 1 of input 'c'"), S("'M'"),
               S("3 and 4"));
}

TEST(Engine, ShapesOutsideOfTheProfile) {
  BuildOptions options;
  options.profiles = {{{{"x", {1, 4}, {2, 4}, {4, 4}}}}, {{{"x", {8, 4}, {8, 4}, {16, 4}}}}};
  const Engine engine = load(softmax_model(), options);
  ASSERT_EQ(engine.profiles().size(), 2u);
  auto context = engine.create_context();
  ASSERT_TRUE(context.ok());
  const auto run_at = [&](int64_t n) -> Status {
    if (auto set = context->set_input("x", Tensor::allocate(DType::kFloat32, {n, 4}).value()); !set.ok()) return set;
    return context->run();
  };
  EXPECT_TRUE(run_at(3).ok());
  EXPECT_TRUE(run_at(12).ok());  // any profile that holds the shape
  EXPECT_ERROR(run_at(6), ErrorCode::kInvalidInput, S("dimension 0 of input 'x' is 6"), S("1 to 4"), S("none of the plan's 2 profiles"));
  ASSERT_TRUE(context->set_profile(1).ok());
  EXPECT_ERROR(run_at(3), ErrorCode::kInvalidInput, S("is 3"), S("profile 1"), S("8 to 16"));
  EXPECT_ERROR(context->set_profile(2), ErrorCode::kInvalidArgument, S("profile 2"), S("has 2"));
}

TEST(Builder, ProfilesThatDoNotFitTheModel) {
  const auto build_with = [](InputRange range) {
    BuildOptions options;
    options.profiles = {{{std::move(range)}}};
    const std::string model = softmax_model();
    return Builder().build(std::as_bytes(std::span(model)), "", options);
  };
  EXPECT_ERROR(build_with({"z", {1, 4}, {1, 4}, {1, 4}}), ErrorCode::kInvalidArgument, S("'z'"), S("'x'"));
  EXPECT_ERROR(build_with({"x", {1}, {1}, {1}}), ErrorCode::kInvalidArgument, S("'x'"), S("rank 1"));
  EXPECT_ERROR(build_with({"x", {1, 4}, {2}, {1, 4}}), ErrorCode::kInvalidArgument, S("'x'"), S("different ranks"));
  EXPECT_ERROR(build_with({"x", {3, 4}, {2, 4}, {4, 4}}), ErrorCode::kInvalidArgument, S("dimension 0"), S("min 3"), S("opt 2"));
  EXPECT_ERROR(build_with({"x", {1, 4}, {1, 4}, {1, 8}}), ErrorCode::kInvalidArgument, S("dimension 1"), S("fixed to 4"));
  EXPECT_ERROR(build_with({"x", {-1, 4}, {1, 4}, {1, 4}}), ErrorCode::kInvalidArgument, S("dimension 0"), S("min -1"));
  BuildOptions options;
  options.profiles = {{{{"a", {1, 1}, {2, 2}, {4, 4}}, {"c", {1, 1}, {2, 2}, {4, 8}}}}};
  const std::string model = two_inputs_model();
  EXPECT_ERROR(Builder().build(std::as_bytes(std::span(model)), "", options), ErrorCode::kInvalidArgument, S("'M'"), S("'a'"), S("'c'"));
}

TEST(Builder, Passes) {
  BuildOptions options;
  options.disabled_passes = {"no_such_pass"};
  const std::string model = softmax_model();
  EXPECT_ERROR(Builder().build(std::as_bytes(std::span(model)), "", options), ErrorCode::kInvalidArgument, S("no_such_pass"),
               S("dead_code"));
}

TEST(Builder, CanBeCancelled) {
  BuildOptions options;
  options.progress = [](std::string_view, double done) { return done < 0.3; };
  const std::string model = softmax_model();
  EXPECT_ERROR(Builder().build(std::as_bytes(std::span(model)), "", options), ErrorCode::kCancelled, S("cancelled"));
}

TEST(Engine, OutputsWhoseShapeDependsOnData) {
  const Engine engine = load(nonzero_model());
  auto context = engine.create_context();
  ASSERT_TRUE(context.ok());
  ASSERT_TRUE(context->set_input("x", Tensor::of<float>({2, 4}, {0, 1, 0, 2, 0, 0, 3, 0})).ok());
  EXPECT_EQ((*context->output_shape("y"))[0], 2);
  EXPECT_EQ((*context->output_shape("y"))[1], -1);
  ASSERT_TRUE(context->run().ok());
  EXPECT_EQ(context->output("y")->dims().to_string(), "2x3");
  ASSERT_TRUE(context->set_input("x", Tensor::of<float>({1, 4}, {0, 0, 0, 0})).ok());
  ASSERT_TRUE(context->run().ok());
  EXPECT_EQ(context->output("y")->dims().to_string(), "2x0");
  // Caller's memory is filled as far as the true shape goes; too little of it is an error.
  int64_t room[4] = {-7, -7, -7, -7};
  ASSERT_TRUE(context->set_tensor_address("y", room, sizeof room).ok());
  ASSERT_TRUE(context->set_input("x", Tensor::of<float>({1, 4}, {0, 5, 0, 0})).ok());
  ASSERT_TRUE(context->run().ok());
  EXPECT_EQ(context->output("y")->dims().to_string(), "2x1");
  EXPECT_EQ(room[1], 1);
  EXPECT_EQ(room[2], -7);
  ASSERT_TRUE(context->set_input("x", Tensor::of<float>({1, 4}, {1, 5, 1, 1})).ok());
  EXPECT_ERROR(context->run(), ErrorCode::kInvalidInput, S("'y'"), S("64 bytes"), S("32"));
}

TEST(Engine, MemoryIsReused) {
  const Engine engine = load(chain_model(10), {.reference = true});  // the passes would make one node of the chain
  const Dims shape = {1000, 4};
  const auto forecast = engine.memory_forecast(std::span(&shape, 1));
  ASSERT_TRUE(forecast.ok()) << forecast.error().message();
  EXPECT_LE(forecast->arena, 2u * 16064);
  EXPECT_GE(forecast->without_reuse, 9u * 16000);
  EXPECT_EQ(forecast->outputs, 16000u);
  EXPECT_TRUE(forecast->complete);
}

class CountingAllocator final : public Allocator {
 public:
  void* allocate(size_t bytes, size_t alignment) noexcept override {
    if (in_use + bytes > limit) return nullptr;
    in_use += bytes;
    ++calls;
    return std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  }
  void deallocate(void* memory, size_t bytes) noexcept override {
    in_use -= bytes;
    std::free(memory);
  }
  size_t in_use = 0, calls = 0, limit = SIZE_MAX;
};

TEST(Engine, CustomAllocator) {
  const Engine engine = load(chain_model(6));
  CountingAllocator allocator;
  {
    auto context = engine.create_context({.allocator = &allocator});
    ASSERT_TRUE(context.ok());
    ASSERT_TRUE(context->set_input("x", Tensor::allocate(DType::kFloat32, {100, 4}).value()).ok());
    const auto forecast = context->memory_forecast();
    ASSERT_TRUE(forecast.ok());
    ASSERT_TRUE(context->run().ok());
    EXPECT_GE(allocator.in_use, forecast->arena + forecast->outputs);
    const size_t calls = allocator.calls;
    ASSERT_TRUE(context->run().ok());
    EXPECT_EQ(allocator.calls, calls);
    allocator.limit = allocator.in_use;
    ASSERT_TRUE(context->set_input("x", Tensor::allocate(DType::kFloat32, {100000, 4}).value()).ok());
    EXPECT_ERROR(context->run(), ErrorCode::kOutOfMemory, S("memory"));
    ASSERT_TRUE(context->set_input("x", Tensor::allocate(DType::kFloat32, {10, 4}).value()).ok());
    allocator.limit = SIZE_MAX;
    EXPECT_TRUE(context->run().ok());
  }
  EXPECT_EQ(allocator.in_use, 0u);
}

TEST(Engine, TwoRunsGiveTheSameBits) {
  const Engine engine = load(softmax_model());
  auto a = engine.create_context(), b = engine.create_context();
  ASSERT_TRUE(a.ok() && b.ok());
  const Tensor x = Tensor::of<float>({2, 4}, {1, 2, 3, 4, -1, -2, -3, -4});
  for (auto* context : {&*a, &*b, &*a}) {
    ASSERT_TRUE(context->set_input("x", x).ok());
    ASSERT_TRUE(context->run().ok());
  }
  EXPECT_EQ(values(*a->output("y")), values(*b->output("y")));
}

TEST(Engine, OutlivesItsPlanAndHandle) {
  auto context = load(softmax_model()).create_context();
  ASSERT_TRUE(context.ok());
  ASSERT_TRUE(context->set_input("x", Tensor::allocate(DType::kFloat32, {1, 4}).value()).ok());
  EXPECT_TRUE(context->run().ok());
}

}  // namespace
}  // namespace cameo::test
