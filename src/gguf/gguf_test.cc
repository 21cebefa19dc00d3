// GGUF files that are right, damaged or lying about sizes; what the blocks stand for.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "base/numeric.h"
#include "gguf/file.h"
#include "gguf/model.h"
#include "gguf/tokenizer.h"
#include "ops/infer.h"

namespace cameo::gguf {
namespace {

template <class T>
std::string raw(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}
std::string text(const std::string& s) { return raw(uint64_t{s.size()}) + s; }
std::string meta(const std::string& key, uint32_t value) { return text(key) + raw(uint32_t{4}) + raw(value); }
std::string meta(const std::string& key, float value) { return text(key) + raw(uint32_t{6}) + raw(value); }
std::string meta(const std::string& key, const std::string& value) { return text(key) + raw(uint32_t{8}) + text(value); }
std::string entry(const std::string& name, const std::vector<uint64_t>& extents, uint32_t type, uint64_t offset) {
  std::string out = text(name) + raw(static_cast<uint32_t>(extents.size()));
  for (uint64_t e : extents) out += raw(e);
  return out + raw(type) + raw(offset);
}

struct Parts {
  std::vector<std::string> metadata, tensors;
  std::string data;
};
std::string file_of(const Parts& p) {
  std::string out = "GGUF" + raw(uint32_t{3}) + raw(uint64_t{p.tensors.size()}) + raw(uint64_t{p.metadata.size()});
  for (const auto& m : p.metadata) out += m;
  for (const auto& t : p.tensors) out += t;
  out.resize((out.size() + 31) / 32 * 32);
  return out + p.data;
}
Result<File> parse(const std::string& bytes) { return File::parse(std::as_bytes(std::span(bytes)), nullptr, "m.gguf"); }

Parts good() {
  return {{meta("general.name", std::string("x"))}, {entry("a", {32, 2}, 8, 0), entry("b", {4}, 0, 96)}, std::string(112, '\1')};
}

TEST(Gguf, ReadsEntries) {
  const std::string bytes = file_of(good());
  const auto file = parse(bytes);
  ASSERT_TRUE(file.ok()) << file.error().message();
  EXPECT_EQ(std::get<std::string_view>(file->metadata().at("general.name")), "x");
  EXPECT_EQ(file->tensors().at("a").dims, (Dims{2, 32}));
  EXPECT_EQ(file->tensors().at("a").bytes.size(), 68u);
  EXPECT_EQ(file->tensors().at("b").bytes.size(), 16u);
}

TEST(Gguf, RefusesDamage) {
  const auto with_tensor = [](const std::string& tensor) {
    Parts p = good();
    p.tensors = {tensor};
    return file_of(p);
  };
  const auto with_meta = [](const std::string& value) {
    Parts p = good();
    p.metadata = {value};
    return file_of(p);
  };
  const std::string start = "GGUF" + raw(uint32_t{3});
  Parts twice = good(), key_twice = good();
  twice.tensors[1] = entry("a", {4}, 0, 96);
  key_twice.metadata.push_back(key_twice.metadata[0]);
  const struct {
    const char* name;
    std::string bytes;
    const char* part;
  } kCases[] = {
      {"empty", "", "not a GGUF"},
      {"version 9", "GGUF" + raw(uint32_t{9}) + std::string(16, '\0'), "version 9"},
      {"2^63 tensors", start + raw(uint64_t{1} << 63) + raw(uint64_t{0}), "cannot hold"},
      {"2^60 keys", start + raw(uint64_t{0}) + raw(uint64_t{1} << 60), "cannot hold"},
      {"key of 2^64 - 1 bytes", start + raw(uint64_t{0}) + raw(uint64_t{1}) + raw(UINT64_MAX) + std::string(40, 'x'), "metadata"},
      {"string of 2^40 bytes", with_meta(text("k") + raw(uint32_t{8}) + raw(uint64_t{1} << 40)), "'k'"},
      {"array of 2^61 numbers", with_meta(text("k") + raw(uint32_t{9}) + raw(uint32_t{10}) + raw(uint64_t{1} << 61)), "'k'"},
      {"array of 2^50 strings", with_meta(text("k") + raw(uint32_t{9}) + raw(uint32_t{8}) + raw(uint64_t{1} << 50)), "'k'"},
      {"array of arrays", with_meta(text("k") + raw(uint32_t{9}) + raw(uint32_t{9}) + raw(uint64_t{1})), "array of type 9"},
      {"type 13", with_meta(text("k") + raw(uint32_t{13})), "type 13"},
      {"key twice", file_of(key_twice), "twice"},
      {"alignment 0", with_meta(meta("general.alignment", uint32_t{0})), "general.alignment"},
      {"tensor twice", file_of(twice), "'a' stands twice"},
      {"rank 99", with_tensor(entry("a", std::vector<uint64_t>(99, 1), 0, 0)), "rank 99"},
      {"extent 2^63", with_tensor(entry("a", {uint64_t{1} << 63}, 0, 0)), "extent"},
      {"product overflows", with_tensor(entry("a", {uint64_t{1} << 48, uint64_t{1} << 48, 4}, 0, 0)), "'a'"},
      {"no whole block", with_tensor(entry("a", {31}, 8, 0)), "blocks of 32"},
      {"unknown type", with_tensor(entry("a", {32}, 77, 0)), "type 77"},
      {"offset not aligned", with_tensor(entry("a", {4}, 0, 1)), "'a'"},
      {"offset outside", with_tensor(entry("a", {4}, 0, 1 << 20)), "'a'"},
      {"offset wraps", with_tensor(entry("a", {4}, 0, UINT64_MAX - 31)), "'a'"},
      {"too long", with_tensor(entry("a", {1000}, 0, 0)), "cut off"},
      {"shared bytes", file_of({{}, {entry("a", {16}, 0, 0), entry("b", {4}, 0, 32)}, std::string(64, 'x')}), "share bytes"},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.name);
    const auto file = parse(c.bytes);
    ASSERT_FALSE(file.ok());
    EXPECT_NE(file.error().message().find(c.part), std::string::npos) << file.error().message();
  }
}

TEST(Gguf, EveryTruncationIsRefused) {
  const std::string whole = file_of(good());
  for (size_t size = 0; size < whole.size(); ++size) EXPECT_FALSE(parse(whole.substr(0, size)).ok()) << size;
}

std::string half(float v) { return raw(Float16(v).bits); }

TEST(Gguf, BlocksStandForTheirFormulas) {
  // Bytes 0x10 + i, so that the low half of byte i is i and the high half 1.
  std::string halves;
  for (char i = 0; i < 16; ++i) halves += static_cast<char>(0x10 + i);
  const auto run = [](uint32_t type, const std::string& bytes) {
    const BlockType* t = find_block_type(type);
    std::vector<float> out(static_cast<size_t>(t->elements));
    EXPECT_EQ(bytes.size(), static_cast<size_t>(t->bytes));
    dequantize(*t, reinterpret_cast<const uint8_t*>(bytes.data()), t->elements, out.data());
    return out;
  };
  const auto q4_0 = run(2, half(0.5f) + halves), q4_1 = run(3, half(0.5f) + half(-3) + halves);
  const auto q8_0 = run(8, half(0.25f) + std::string(31, '\x80') + '\x7f');
  for (int i = 0; i < 32; ++i) {
    const int code = i < 16 ? i : 1;
    EXPECT_EQ(q4_0[static_cast<size_t>(i)], 0.5f * static_cast<float>(code - 8));
    EXPECT_EQ(q4_1[static_cast<size_t>(i)], 0.5f * static_cast<float>(code) - 3);
    EXPECT_EQ(q8_0[static_cast<size_t>(i)], 0.25f * (i < 31 ? -128.f : 127.f));
  }
  // Group g has scale g + 1 and least value 2 g, six bits each.
  std::string packed(12, '\0');
  const auto scale = [](int g) { return 9 * g % 64; };
  const auto least = [](int g) { return (7 * g + 40) % 64; };
  for (int g = 0; g < 4; ++g) {
    packed[static_cast<size_t>(g)] = static_cast<char>(scale(g) | (scale(g + 4) >> 4) << 6);
    packed[static_cast<size_t>(g + 4)] = static_cast<char>(least(g) | (least(g + 4) >> 4) << 6);
    packed[static_cast<size_t>(g + 8)] = static_cast<char>((scale(g + 4) & 15) | (least(g + 4) & 15) << 4);
  }
  std::string codes, fifth(32, '\x0f');
  for (int i = 0; i < 128; ++i) codes += static_cast<char>((i % 16) | (i / 16) << 4);
  const auto q4_k = run(12, half(2) + half(0.5f) + packed + codes), q5_k = run(13, half(2) + half(0.5f) + packed + fifth + codes);
  for (int i = 0; i < 256; ++i) {
    const int g = i / 32, byte = i / 64 * 32 + i % 32, low = g % 2 == 0 ? byte % 16 : byte / 16;
    const auto value = [&](int code) { return 2.f * static_cast<float>(scale(g) * code) - 0.5f * static_cast<float>(least(g)); };
    EXPECT_EQ(q4_k[static_cast<size_t>(i)], value(low)) << i;
    EXPECT_EQ(q5_k[static_cast<size_t>(i)], value(low + (g < 4 ? 16 : 0))) << i;
  }
  // Low halves 5, high bits 2: 37 - 32, times the group's scale.
  std::string scales;
  for (int g = 0; g < 16; ++g) scales += static_cast<char>(g - 8);
  const auto q6_k = run(14, std::string(128, '\x55') + std::string(64, '\xaa') + scales + half(0.5f));
  for (int i = 0; i < 256; ++i) EXPECT_EQ(q6_k[static_cast<size_t>(i)], 0.5f * static_cast<float>(5 * (i / 16 - 8))) << i;
}

// The types whose codes are not those of the others.
TEST(Gguf, BlocksOfTwoAndThreeBitsAndUnevenOnes) {
  std::mt19937 random(3);
  const auto bytes_of = [&](int64_t count) {
    std::string bytes;
    for (int64_t i = 0; i < count; ++i) bytes += static_cast<char>(random());
    return bytes;
  };
  const auto run = [](uint32_t type, const std::string& bytes) {
    const BlockType* t = find_block_type(type);
    std::vector<float> out(static_cast<size_t>(t->elements));
    EXPECT_EQ(bytes.size(), static_cast<size_t>(t->bytes));
    dequantize(*t, reinterpret_cast<const uint8_t*>(bytes.data()), t->elements, out.data());
    return out;
  };
  const auto at = [](const std::string& bytes, int i) { return static_cast<int>(static_cast<uint8_t>(bytes[static_cast<size_t>(i)])); };
  // Loops as the format's definition nests them: halves of 128, bit pairs, groups of 16.
  const std::string scales = bytes_of(16), codes = bytes_of(64), third = bytes_of(32), packed = bytes_of(12);
  const auto q2_k = run(10, scales + codes + half(2) + half(0.5f)), q3_k = run(11, third + codes + packed + half(2));
  int element = 0;
  for (int upper = 0; upper < 2; ++upper)
    for (int pair = 0; pair < 4; ++pair)
      for (int j = 0; j < 32; ++j, ++element) {
        const int group = element / 16, code = at(codes, upper * 32 + j) >> pair * 2 & 3;
        EXPECT_EQ(q2_k[static_cast<size_t>(element)],
                  2.f * static_cast<float>((at(scales, group) & 15) * code) - 0.5f * static_cast<float>(at(scales, group) >> 4));
        // Six bits of scale `group`: four from a half of a byte, two from a quarter of one of the last four.
        const int low = group < 8 ? at(packed, group) & 15 : at(packed, group - 8) >> 4;
        const int scale = (low | (at(packed, 8 + group % 4) >> 2 * (group / 4) & 3) << 4) - 32;
        const int value = (at(third, j) >> (upper * 4 + pair) & 1) != 0 ? code : code - 4;
        EXPECT_EQ(q3_k[static_cast<size_t>(element)], 2.f * static_cast<float>(scale * value)) << element;
      }
  // Codes 0…15 in the low halves, 15 in the high ones.
  std::string halves;
  for (int i = 0; i < 16; ++i) halves += static_cast<char>(0xf0 | i);
  const auto iq4_nl = run(20, half(0.5f) + halves);
  EXPECT_EQ(std::vector<float>(iq4_nl.begin(), iq4_nl.begin() + 4), (std::vector<float>{-63.5f, -52, -41.5f, -32.5f}));
  EXPECT_EQ(iq4_nl[8], 0.5f);
  for (size_t i = 15; i < 32; ++i) EXPECT_EQ(iq4_nl[i], 56.5f);
  // Scales 1 + 16 (g % 4) - 32 of the groups.
  std::string all;
  for (int g = 0; g < 8; ++g) all += halves;
  const auto iq4_xs = run(23, half(1) + "\xe4\xe4" + std::string(4, '\x11') + all);
  for (size_t i = 0; i < 256; ++i) {
    const float value = i % 32 < 16 ? iq4_nl[i % 32] * 2 : 113;
    EXPECT_EQ(iq4_xs[i], value * static_cast<float>(1 + 16 * static_cast<int>(i / 32 % 4) - 32)) << i;
  }
}

// A model of one layer, all matrices of that type.
std::string tiny_model(uint32_t type, const std::string& architecture = "llama") {
  constexpr uint32_t kWidth = 256, kWide = 512, kVocabulary = 32;
  Parts p;
  const auto key = [&](const std::string& name) { return architecture + "." + name; };
  p.metadata = {meta("general.architecture", architecture),        meta(key("block_count"), uint32_t{1}),
                meta(key("context_length"), uint32_t{64}),         meta(key("embedding_length"), kWidth),
                meta(key("feed_forward_length"), kWide),           meta(key("attention.head_count"), uint32_t{4}),
                meta(key("attention.head_count_kv"), uint32_t{2}), meta(key("attention.layer_norm_rms_epsilon"), 1e-5f)};
  std::mt19937 random(7);
  const auto add = [&](const std::string& name, std::vector<uint64_t> extents, uint32_t of) {
    const BlockType* t = find_block_type(of);
    p.data.resize((p.data.size() + 31) / 32 * 32);
    p.tensors.push_back(entry(name, extents, of, p.data.size()));
    uint64_t elements = 1;
    for (uint64_t e : extents) elements *= e;
    for (uint64_t b = 0; b < elements / static_cast<uint64_t>(t->elements); ++b) {
      std::string block;
      if (of == 0) {
        block = raw(1.f);
      } else if (of == 1) {
        block = half(static_cast<float>(random() % 100) / 500 - 0.1f);
      } else if (of == 30) {
        block = raw(Bfloat16(static_cast<float>(random() % 100) / 500 - 0.1f).bits);
      } else {
        for (int64_t i = 0; i < t->bytes; ++i) block += static_cast<char>(random());
        const std::string small = half(0.004f);
        const size_t at = of == 14 ? 208 : 0;
        block.replace(at, 2, small);
        if (t->offsets) block.replace(2, 2, half(0.001f));
      }
      p.data += block;
    }
  };
  add("token_embd.weight", {kWidth, kVocabulary}, type);
  add("output_norm.weight", {kWidth}, 0);
  for (const auto& [name, in, out] : std::vector<std::tuple<std::string, uint32_t, uint32_t>>{{"attn_q", kWidth, kWidth},
                                                                                              {"attn_k", kWidth, kWidth / 2},
                                                                                              {"attn_v", kWidth, kWidth / 2},
                                                                                              {"attn_output", kWidth, kWidth},
                                                                                              {"ffn_gate", kWidth, kWide},
                                                                                              {"ffn_up", kWidth, kWide},
                                                                                              {"ffn_down", kWide, kWidth}})
    add("blk.0." + name + ".weight", {in, out}, type);
  for (const char* name : {"attn_norm", "ffn_norm"}) add(std::string("blk.0.") + name + ".weight", {kWidth}, 0);
  return file_of(p);
}

TEST(Gguf, KeepsMatricesOfFewBits) {
  for (uint32_t type : {0u, 1u, 30u, 2u, 3u, 6u, 7u, 8u, 10u, 11u, 12u, 13u, 14u, 20u, 23u}) {
    SCOPED_TRACE(find_block_type(type)->name);
    const std::string bytes = tiny_model(type);
    const auto file = parse(bytes);
    ASSERT_TRUE(file.ok()) << file.error().message();
    const auto graph = build_graph(*file, "m.gguf");
    ASSERT_TRUE(graph.ok()) << graph.error().message();
    EXPECT_TRUE(ir::verify(*graph).ok());
    size_t packed = 0;
    for (const ir::Node& node : graph->nodes) packed += node.op->name == "QuantizedWeightMatMul";
    EXPECT_EQ(packed, type == 0 ? 0u : 5u);  // query, key and value are one product, gate and up another
    EXPECT_EQ(graph->value(graph->outputs[0]).name, "logits");
  }
}

std::string strings(const std::string& key, const std::vector<std::string>& values) {
  std::string out = text(key) + raw(uint32_t{9}) + raw(uint32_t{8}) + raw(uint64_t{values.size()});
  for (const std::string& v : values) out += text(v);
  return out;
}
std::string kinds(const std::vector<int32_t>& values) {
  std::string out = text("tokenizer.ggml.token_type") + raw(uint32_t{9}) + raw(uint32_t{5}) + raw(uint64_t{values.size()});
  for (int32_t v : values) out += raw(v);
  return out;
}

TEST(Gguf, CarriesATokenizer) {
  const auto json_of = [](const std::string& pre, const std::vector<int32_t>& types) {
    const std::string bytes = file_of({{meta("tokenizer.ggml.model", std::string("gpt2")), meta("tokenizer.ggml.pre", pre), kinds(types),
                                        strings("tokenizer.ggml.tokens", {"a", "b", "ab", "<|end|>"}),
                                        strings("tokenizer.ggml.merges", {"a b"}), meta("tokenizer.ggml.eos_token_id", uint32_t{3})},
                                       {},
                                       ""});
    const auto file = parse(bytes);
    EXPECT_TRUE(file.ok());
    EXPECT_EQ(meta_token(*file, "tokenizer.ggml.eos_token_id"), "<|end|>");
    return tokenizer_json(*file);
  };
  const auto good = json_of("smollm", {1, 1, 1, 3});
  ASSERT_TRUE(good.ok()) << good.error().message();
  for (const char* part : {R"("ab":2)", R"("merges":["a b"])", R"("content":"<|end|>")", R"("individual_digits":true)"})
    EXPECT_NE(good->find(part), std::string::npos) << part << ": " << *good;
  EXPECT_EQ(json_of("smollm", {1, 1}).error().code(), ErrorCode::kInvalidModel);
  EXPECT_NE(json_of("tekken", {1, 1, 1, 3}).error().message().find("'tekken'"), std::string::npos);
}

TEST(Gguf, SaysWhatIsWrongWithAModel) {
  const auto message = [](const std::string& bytes) {
    const auto file = parse(bytes);
    if (!file.ok()) return file.error().message();
    const auto graph = build_graph(*file, "m.gguf");
    return graph.ok() ? std::string() : graph.error().message();
  };
  EXPECT_NE(message(tiny_model(8, "mamba")).find("'mamba' is not known; known are llama"), std::string::npos);
  const auto replaced = [](const std::string& from, const std::string& to) {
    std::string bytes = tiny_model(8);
    const size_t at = bytes.find(from);
    EXPECT_NE(at, std::string::npos);
    return bytes.replace(at, from.size(), to);
  };
  EXPECT_NE(message(replaced("attn_k.weight", "attn_x.weight")).find("no tensor 'blk.0.attn_k.weight'"), std::string::npos);
  EXPECT_NE(message(replaced(meta("llama.embedding_length", uint32_t{256}), meta("llama.embedding_length", uint32_t{128}))).find("shape"),
            std::string::npos);
  EXPECT_NE(message(replaced(meta("llama.block_count", uint32_t{1}), meta("llama.block_count", uint32_t{0}))).find("block_count"),
            std::string::npos);
  EXPECT_NE(message(replaced(meta("llama.attention.head_count_kv", uint32_t{2}), meta("llama.attention.head_count_kv", uint32_t{3}))), "");
  EXPECT_NE(message(replaced("llama.feed_forward_length", "llama.feed_forward_weight")).find("'feed_forward_length' is missing"),
            std::string::npos);
}

}  // namespace
}  // namespace cameo::gguf
