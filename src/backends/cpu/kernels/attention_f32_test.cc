#include "backends/cpu/kernels/kernel_test.h"

namespace cameo::tactics {
namespace {

constexpr double kRelative = 2e-5, kAbsolute = 4e-6;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

NodeTest attention(const Tensor& q, const Tensor& k, const Tensor& v) {
  return std::move(NodeTest("", "Attention", 24).input(q).input(k).input(v));
}

// [batch, heads, length, size]
NodeTest self_attention(int64_t batch, int64_t heads, int64_t kv_heads, int64_t queries, int64_t keys, int64_t size, int64_t value_size) {
  return attention(random_floats({batch, heads, queries, size}, 1, 2.f), random_floats({batch, kv_heads, keys, size}, 2, 2.f),
                   random_floats({batch, kv_heads, keys, value_size}, 3));
}

// true for about one of `of` keys
Tensor random_mask(const Dims& dims, uint32_t seed, uint32_t of) {
  Tensor t = Tensor::allocate(DType::kBool, dims).value();
  std::mt19937 random(seed);
  for (bool& b : t.span<bool>()) b = random() % of == 0;
  return t;
}

TEST(AttentionKernels, Sizes) {
  for (int64_t size : {1, 3, 4, 7, 8, 15, 16, 17, 31, 32, 33, 64, 65, 80})
    for (int64_t length : {1, 2, 5, 6, 7, 17, 49, 65}) {
      self_attention(2, 2, 2, length, length, size, size).expect_same("attention_f32", kRelative, kAbsolute);
      if (HasFatalFailure()) return;
    }
  for (int64_t keys : {1, 15, 16, 17, 63, 64, 65, 130, 197})
    for (int64_t queries : {1, 3, 6, 7, 48, 49, 97}) {
      self_attention(1, 2, 1, queries, keys, 24, 20).expect_same("attention_f32", kRelative, kAbsolute);
      self_attention(1, 2, 1, queries, keys, 16, 48).set("is_causal", 1).expect_same("attention_f32", kRelative, kAbsolute);
      if (HasFatalFailure()) return;
    }
}

TEST(AttentionKernels, PackedHeads) {
  for (int64_t queries : {1, 5, 70}) {
    attention(random_floats({2, queries, 6 * 10}, 1), random_floats({2, 33, 2 * 10}, 2), random_floats({2, 33, 2 * 16}, 3))
        .set("q_num_heads", 6)
        .set("kv_num_heads", 2)
        .expect_same("attention_f32", kRelative, kAbsolute);
    if (HasFatalFailure()) return;
  }
}

TEST(AttentionKernels, ZeroExtents) {
  self_attention(0, 2, 2, 4, 4, 8, 8).expect_same("attention_f32");
  self_attention(1, 2, 2, 0, 4, 8, 8).outputs({true, true, true}).expect_same("attention_f32");
  self_attention(1, 2, 2, 4, 0, 8, 8).expect_same("attention_f32");
  self_attention(1, 2, 2, 4, 4, 8, 0).expect_same("attention_f32");
}

TEST(AttentionKernels, Masks) {
  for (int64_t queries : {1, 4, 61})
    for (const Dims& dims : {Dims{70}, Dims{queries, 70}, Dims{1, 70}, Dims{3, 1, queries, 70}, Dims{1, 2, queries, 70}, Dims{3, 1, 1, 70},
                             Dims{queries, 37}, Dims{1}, Dims{3, 2, queries, 3}}) {
      for (uint32_t of : {1u, 2u, 50u}) {
        self_attention(3, 2, 2, queries, 70, 16, 16).input(random_mask(dims, of, of)).expect_same("attention_f32", kRelative, kAbsolute);
        if (HasFatalFailure()) return;
      }
      Tensor added = random_floats(dims, 4, 3.f);
      self_attention(3, 2, 2, queries, 70, 16, 16).input(added).expect_same("attention_f32", kRelative, kAbsolute);
      std::mt19937 random(5);
      for (float& f : added.span<float>())
        if (random() % 2) f = random() % 4 ? -kInfinity : std::numeric_limits<float>::lowest();
      self_attention(3, 2, 2, queries, 70, 16, 16).input(added).set("is_causal", 1).expect_same("attention_f32", kRelative, kAbsolute);
      for (float& f : added.span<float>()) f = std::numeric_limits<float>::lowest();
      self_attention(3, 2, 2, queries, 70, 16, 16).input(added).expect_same("attention_f32", kRelative, kAbsolute);
      for (float& f : added.span<float>()) f = -kInfinity;
      self_attention(3, 2, 2, queries, 70, 16, 16).input(added).expect_same("attention_f32", kRelative, kAbsolute);
      if (HasFatalFailure()) return;
    }
}

TEST(AttentionKernels, PastAndPresent) {
  for (int64_t past : {0, 1, 40, 130})
    for (int64_t queries : {1, 3, 50}) {
      for (bool present : {false, true}) {
        self_attention(2, 4, 2, queries, queries, 16, 16)
            .absent()
            .input(random_floats({2, 2, past, 16}, 4))
            .input(random_floats({2, 2, past, 16}, 5))
            .set("is_causal", 1)
            .outputs({true, present, present})
            .expect_same("attention_f32", kRelative, kAbsolute);
        if (HasFatalFailure()) return;
      }
    }
}

TEST(AttentionKernels, LengthsWindowsSoftcapAndScale) {
  const Tensor lengths = Tensor::of<int64_t>({3}, {0, 5, 90});
  for (int64_t queries : {1, 5, 60}) {
    self_attention(3, 2, 2, queries, 90, 16, 16)
        .absent()
        .absent()
        .absent()
        .input(lengths)
        .expect_same("attention_f32", kRelative, kAbsolute);
    self_attention(3, 2, 2, queries, 90, 16, 16)
        .absent()
        .absent()
        .absent()
        .input(lengths)
        .set("is_causal", 1)
        .expect_same("attention_f32", kRelative, kAbsolute);
    self_attention(1, 2, 2, queries, 90, 16, 16).set("softcap", AttrSetter::Value(1.5f)).expect_same("attention_f32", kRelative, kAbsolute);
    self_attention(1, 2, 2, queries, 90, 16, 16).set("scale", AttrSetter::Value(2.f)).expect_same("attention_f32", 1e-4, 1e-5);
    self_attention(1, 2, 2, queries, 200, 16, 16)
        .version(25)
        .set("left_window_size", 7)
        .set("right_window_size", 2)
        .expect_same("attention_f32", kRelative, kAbsolute);
    if (HasFatalFailure()) return;
  }
}

// Few queries and many keys.
TEST(AttentionKernels, LongTexts) {
  for (int64_t keys : {255, 256, 257, 512, 1030}) {
    self_attention(1, 4, 2, 3, keys, 16, 32).expect_same("attention_f32", kRelative, kAbsolute);
    self_attention(1, 4, 2, 3, keys, 16, 32).set("is_causal", 1).expect_same("attention_f32", kRelative, kAbsolute);
    self_attention(1, 2, 2, 2, keys, 16, 16)
        .version(25)
        .set("left_window_size", 5)
        .set("right_window_size", 300)
        .expect_same("attention_f32", kRelative, kAbsolute);
    self_attention(1, 2, 2, 1, keys, 16, 16).input(random_mask({1, 1, 1, keys}, 4, 300)).expect_same("attention_f32", kRelative, kAbsolute);
    self_attention(1, 2, 2, 1, keys, 16, 16).input(Tensor::allocate(DType::kBool, {1, keys}).value()).expect_same("attention_f32");
    self_attention(4, 3, 1, 2, keys, 16, 16)
        .absent()
        .absent()
        .absent()
        .input(Tensor::of<int64_t>({4}, {0, 2, keys, keys / 2}))
        .set("is_causal", 1)
        .expect_same("attention_f32", kRelative, kAbsolute);
    if (HasFatalFailure()) return;
  }
  Tensor k = random_floats({1, 1, 900, 8}, 2);
  for (int64_t i = 0; i < k.num_elements(); ++i) k.data<float>()[i] *= static_cast<float>(i) / 500;
  attention(random_floats({1, 1, 2, 8}, 1, 3.f), k, random_floats({1, 1, 900, 16}, 3)).expect_same("attention_f32", 1e-4, 1e-5);
}

TEST(AttentionKernels, SpecialValues) {
  for (int64_t queries : {1, 20}) {
    attention(special_floats({1, 1, queries, 8}, 1), random_floats({1, 1, 70, 8}, 2), random_floats({1, 1, 70, 16}, 3))
        .set("scale", AttrSetter::Value(1.f))
        .expect_same("attention_f32", 1e-4, 1e-5);
    attention(random_floats({1, 1, queries, 8}, 1), random_floats({1, 1, 70, 8}, 2), special_floats({1, 1, 70, 16}, 3))
        .expect_same("attention_f32", 1e-4, 1e-5);
  }
  // Large scores that grow from block to block: the weights are corrected.
  Tensor k = random_floats({1, 1, 200, 8}, 2);
  for (int64_t i = 0; i < k.num_elements(); ++i) k.data<float>()[i] *= static_cast<float>(i) / 50;
  attention(random_floats({1, 1, 60, 8}, 1, 3.f), k, random_floats({1, 1, 200, 16}, 3)).expect_same("attention_f32", 1e-4, 1e-5);
}

TEST(AttentionKernels, Refuses) {
  EXPECT_NE(self_attention(1, 1, 1, 2, 2, 4, 4).outputs({true, false, false, true}).refusal("attention_f32"), "");
  EXPECT_NE(self_attention(1, 1, 1, 2, 2, 4, 4).set("softmax_precision", 11).refusal("attention_f32"), "");
}

}  // namespace
}  // namespace cameo::tactics
