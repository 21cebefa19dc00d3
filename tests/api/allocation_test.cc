// A second run at a shape allocates nothing: counted at operator new and malloc.
#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "models.h"

namespace {
std::atomic<size_t> allocations{0};
}

// Every way of the program to the heap goes through these.
void* operator new(size_t n) {
  ++allocations;
  if (void* p = std::malloc(n ? n : 1)) return p;
  throw std::bad_alloc();
}
void* operator new(size_t n, std::align_val_t a) {
  ++allocations;
  if (void* p =
          std::aligned_alloc(static_cast<size_t>(a), (n + static_cast<size_t>(a) - 1) / static_cast<size_t>(a) * static_cast<size_t>(a)))
    return p;
  throw std::bad_alloc();
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, size_t, std::align_val_t) noexcept { std::free(p); }

namespace cameo::test {
namespace {

TEST(Allocation, SecondRunAllocatesNothing) {
  auto plan = Builder().build(std::string(CAMEO_SOURCE_DIR) + "/models/tiny-gpt2/model.onnx");
  ASSERT_TRUE(plan.ok()) << plan.error().message();
  auto engine = Engine::load(*plan);
  ASSERT_TRUE(engine.ok());
  auto context = engine->create_context();
  ASSERT_TRUE(context.ok());
  const auto bind = [&](int64_t length) {
    Tensor ids = Tensor::allocate(DType::kInt64, {1, length}).value(), mask = Tensor::allocate(DType::kInt64, {1, length}).value();
    for (int64_t& m : mask.span<int64_t>()) m = 1;
    ASSERT_TRUE(context->set_input("input_ids", ids).ok());
    ASSERT_TRUE(context->set_input("attention_mask", mask).ok());
  };
  bind(16);
  ASSERT_TRUE(context->run().ok());
  const size_t before = allocations;
  const size_t heap_before = mallinfo2().uordblks;
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(context->run().ok());
  EXPECT_EQ(allocations - before, 0u);
  EXPECT_EQ(mallinfo2().uordblks, heap_before);
  // Back at a shape that was run before: the binding may allocate, the run does not.
  bind(8);
  ASSERT_TRUE(context->run().ok());
  bind(16);
  ASSERT_TRUE(context->run().ok());
  const size_t again = allocations;
  ASSERT_TRUE(context->run().ok());
  EXPECT_EQ(allocations - again, 0u);
}

}  // namespace
}  // namespace cameo::test
