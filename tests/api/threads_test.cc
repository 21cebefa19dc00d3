// One engine, many contexts on many threads; also run under ThreadSanitizer.
#include <atomic>
#include <thread>

#include "models.h"

namespace cameo::test {
namespace {

class CountingLogger final : public Logger {
 public:
  void log(Severity, std::string_view) noexcept override { ++messages; }
  std::atomic<int> messages{0};
};

TEST(Threads, ManyContextsOfOneEngine) {
  CountingLogger logger;
  auto plan = Builder(logger).build(std::string(CAMEO_SOURCE_DIR) + "/models/tiny-gpt2/model.onnx");
  ASSERT_TRUE(plan.ok()) << plan.error().message();
  auto engine = Engine::load(*plan, {.logger = &logger, .verify_weights = {}});
  ASSERT_TRUE(engine.ok());
  constexpr int kThreads = 6, kRuns = 4;
  std::vector<std::vector<float>> last(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      auto context = engine->create_context();
      ASSERT_TRUE(context.ok());
      for (int run = 0; run < kRuns; ++run) {
        const int64_t length = 4 + (t + run) % 3;
        Tensor ids = Tensor::allocate(DType::kInt64, {1, length}).value(), mask = Tensor::allocate(DType::kInt64, {1, length}).value();
        for (int64_t i = 0; i < length; ++i) {
          ids.data<int64_t>()[i] = 100 + i;
          mask.data<int64_t>()[i] = 1;
        }
        ASSERT_TRUE(context->set_input("input_ids", ids).ok());
        ASSERT_TRUE(context->set_input("attention_mask", mask).ok());
        ASSERT_TRUE(context->run().ok());
        const Tensor logits = context->output("logits").value();
        // The first position sees one token, whatever follows, so all threads must agree on it.
        last[t].assign(logits.data<float>(), logits.data<float>() + logits.dim(2));
      }
    });
  for (std::thread& t : threads) t.join();
  for (int t = 1; t < kThreads; ++t)
    for (size_t i = 0; i < last[0].size(); ++i) ASSERT_NEAR(last[t][i], last[0][i], 1e-4);
}

TEST(Threads, CancelFromAnotherThread) {
  BuildOptions as_written;  // 400 nodes, so 400 places to stop at
  as_written.reference = true;
  const Engine engine = load(chain_model(400), as_written);
  auto context = engine.create_context();
  ASSERT_TRUE(context.ok());
  ASSERT_TRUE(context->set_input("x", Tensor::allocate(DType::kFloat32, {50000, 4}).value()).ok());
  std::atomic<bool> stop{false};
  std::thread canceller([&] {
    while (!stop) {
      context->cancel();
      std::this_thread::yield();
    }
  });
  auto status = context->run();
  // A busy machine may not let the other thread begin before a run has ended.
  for (int run = 0; status.ok() && run < 1000; ++run) status = context->run();
  stop = true;
  canceller.join();
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code(), ErrorCode::kCancelled);
  EXPECT_TRUE(context->run().ok()) << "the context is usable afterwards";
}

TEST(Threads, BuildersAtOnce) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([] {
      for (int i = 0; i < 5; ++i) EXPECT_TRUE(Engine::load(build(softmax_model())).ok());
    });
  for (std::thread& t : threads) t.join();
}

}  // namespace
}  // namespace cameo::test
