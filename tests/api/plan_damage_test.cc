// Plans that are cut off, altered or made for something else.
#include <cstring>
#include <filesystem>

#include "cameo/version.h"
#include "models.h"
#include "ops/op.h"
#include "plan/content.h"
#include "plan/layout.h"

namespace cameo::test {
namespace {

using S = std::string;

// A copy at an aligned address, which loads without copying weights.
struct Copy {
  explicit Copy(std::span<const std::byte> bytes) : memory(Tensor::allocate(DType::kUint8, {static_cast<int64_t>(bytes.size())}).value()) {
    std::memcpy(memory.raw(), bytes.data(), bytes.size());
  }
  std::span<std::byte> bytes() { return {memory.data<std::byte>(), memory.num_bytes()}; }
  Plan plan(size_t size) { return Plan(bytes().first(size), memory.owner()); }
  Plan plan() { return plan(bytes().size()); }
  // Sets all checksums right again, as somebody would who changes a plan on purpose.
  void seal() {
    plan::Header h;
    std::memcpy(&h, bytes().data(), sizeof h);
    h.metadata_checksum = plan::checksum(bytes().data() + plan::kHeaderBytes, h.weights_offset - plan::kHeaderBytes);
    h.weights_checksum = plan::checksum(bytes().data() + h.weights_offset, h.weights_bytes);
    h.header_checksum = plan::checksum(&h, offsetof(plan::Header, header_checksum));
    std::memcpy(bytes().data(), &h, sizeof h);
  }
  Tensor memory;
};

bool is_plan_error(const Error& e) { return e.code() == ErrorCode::kInvalidPlan || e.code() == ErrorCode::kVersionMismatch; }

TEST(PlanDamage, EveryTruncationIsRejected) {
  Copy copy(build(softmax_model()).bytes());
  for (size_t size = 0; size < copy.bytes().size(); ++size) {
    const auto engine = Engine::load(copy.plan(size));
    ASSERT_FALSE(engine.ok()) << "of " << copy.bytes().size() << " bytes, " << size;
    ASSERT_TRUE(is_plan_error(engine.error())) << engine.error().message();
  }
}

TEST(PlanDamage, EveryChangedByteIsRejected) {
  Copy copy(build(softmax_model()).bytes());
  for (size_t at = 0; at < copy.bytes().size(); ++at)
    for (int flip : {0x01, 0x80, 0xff}) {
      copy.bytes()[at] ^= static_cast<std::byte>(flip);
      const auto engine = Engine::load(copy.plan());
      ASSERT_FALSE(engine.ok()) << "byte " << at;
      ASSERT_TRUE(is_plan_error(engine.error())) << engine.error().message();
      copy.bytes()[at] ^= static_cast<std::byte>(flip);
    }
  EXPECT_TRUE(Engine::load(copy.plan()).ok());
}

// With the checksums set right, a change is either rejected or gives a plan that runs or fails in order.
TEST(PlanDamage, EveryChangedByteWithRightChecksumsIsHarmless) {
  const Plan plan = build(softmax_model());
  Copy original(plan.bytes());
  size_t accepted = 0;
  for (size_t at = plan::kHeaderBytes; at < original.bytes().size(); ++at)
    for (int flip : {0x01, 0x80, 0xff}) {
      Copy copy(plan.bytes());
      copy.bytes()[at] ^= static_cast<std::byte>(flip);
      copy.seal();
      auto engine = Engine::load(copy.plan());
      if (!engine.ok()) continue;
      ++accepted;
      auto context = engine->create_context();
      if (!context.ok()) continue;
      for (const TensorInfo& input : engine->inputs())
        if (input.dtype != DType::kUndefined && context->set_input(input.name, Tensor::allocate(input.dtype, {2, 4}).value()).ok())
          (void)context->run();
    }
  EXPECT_GT(accepted, 0u);  // names and weights may change
}

TEST(PlanDamage, OtherVersionsAndTargets) {
  EXPECT_ERROR(Engine::load(Plan()), ErrorCode::kInvalidPlan, S("not a Cameo plan"));
  Copy copy(build(softmax_model()).bytes());
  const uint32_t other = kPlanFormatVersion + 1;
  std::memcpy(copy.bytes().data() + 8, &other, sizeof other);
  EXPECT_ERROR(Engine::load(copy.plan()), ErrorCode::kVersionMismatch, S("reads version " + std::to_string(kPlanFormatVersion)), S("build it again"));

  plan::Content content;
  content.cameo_version = CAMEO_VERSION;
  content.target = "some-other-cpu";
  auto elsewhere = plan::write(content);
  ASSERT_TRUE(elsewhere.ok());
  EXPECT_ERROR(Engine::load(*elsewhere), ErrorCode::kVersionMismatch, S("some-other-cpu"), S("build it again"));
  content.target = plan::host_target();
  content.cameo_version = "0.0.1";
  auto older = plan::write(content);
  ASSERT_TRUE(older.ok());
  EXPECT_ERROR(Engine::load(*older), ErrorCode::kVersionMismatch, S("Cameo 0.0.1"), S(CAMEO_VERSION), S("build it again"));
  EXPECT_EQ(plan_info(*older)->cameo_version, "0.0.1");
}

TEST(Plan, KeepsWhatWasChosenForADevice) {
  plan::Content content = plan::read(build(softmax_model()), true).value();
  content.backend = content.target = "cuda";
  content.precision = "fp16";
  content.tuned_for = "some GPU, driver 1";
  content.choices = {{"gemm 1x2x3", 4}, {"conv", 0}};
  content.tuning_level = 2;
  content.deterministic = true;
  const auto back = plan::read(plan::write(content).value(), true);
  ASSERT_TRUE(back.ok()) << back.error().message();
  EXPECT_EQ(back->tuned_for, content.tuned_for);
  EXPECT_EQ(back->choices, content.choices);
  EXPECT_EQ(back->tuning_level, 2);
  EXPECT_TRUE(back->deterministic);
  content.tuning_level = 9;
  EXPECT_ERROR(plan::read(plan::write(content).value(), true), ErrorCode::kInvalidPlan, S("tuning level 9"));
}

TEST(PlanDamage, NodesThatTheirOperatorDoesNotAllow) {
  plan::Content good = plan::read(build(softmax_model()), true).value();
  const auto load_with = [&](auto change) {
    plan::Content content = good;
    change(content.graph);
    return Engine::load(plan::write(content).value());
  };
  EXPECT_TRUE(load_with([](ir::Graph&) {}).ok());
  EXPECT_ERROR(load_with([](ir::Graph& g) { g.nodes[0].version = 99; }), ErrorCode::kInvalidPlan, S("version 99"), S("add"));
  const auto add_subgraph = [](ir::Graph& g) {
    g.nodes[0].subgraphs.emplace_back();
    g.nodes[0].subgraphs[0].attribute = "body";
    g.nodes[0].subgraphs[0].graph = std::make_unique<ir::Graph>();
  };
  EXPECT_ERROR(load_with(add_subgraph), ErrorCode::kInvalidPlan, S("'body'"), S("out of place"));
  EXPECT_ERROR(load_with([](ir::Graph& g) { g.nodes[0].op = ops::find_op("", "Loop"); }), ErrorCode::kInvalidPlan, S("Loop"));
  EXPECT_ERROR(load_with([](ir::Graph& g) { std::swap(g.nodes[0], g.nodes[1]); }), ErrorCode::kInvalidPlan, S("before it is made"));
  EXPECT_ERROR(load_with([](ir::Graph& g) { g.nodes[1].outputs[0] = g.nodes[0].outputs[0]; }), ErrorCode::kInvalidPlan, S("second time"));
  EXPECT_ERROR(load_with([](ir::Graph& g) { g.outputs = {12345}; }), ErrorCode::kInvalidPlan, S("value 12345 does not exist"));
}

TEST(Plan, SameModelGivesTheSameBytes) {
  // Times differ from run to run; with a timing cache the second build measures nothing.
  const std::string cache = testing::TempDir() + "/plan_test_times.json";
  std::filesystem::remove(cache);
  const Plan a = build(softmax_model(), {.timing_cache = cache}), b = build(softmax_model(), {.timing_cache = cache});
  ASSERT_EQ(a.bytes().size(), b.bytes().size());
  EXPECT_EQ(std::memcmp(a.bytes().data(), b.bytes().data(), a.bytes().size()), 0);
}

TEST(Plan, SavesWholeOrNotAtAll) {
  const Plan plan = build(softmax_model());
  EXPECT_ERROR(plan.save("/no/such/folder/m.plan"), ErrorCode::kIo, S("/no/such/folder/m.plan"));
  const std::string path = testing::TempDir() + "/saved.plan";
  ASSERT_TRUE(plan.save(path).ok());
  EXPECT_TRUE(Engine::load(path).ok());
  EXPECT_ERROR(Engine::load("/dev/null"), ErrorCode::kIo, S("/dev/null"));
  EXPECT_ERROR(Engine::load(testing::TempDir()), ErrorCode::kIo, S("regular file"));
}

}  // namespace
}  // namespace cameo::test
