// Safetensors files that are right, damaged or lying about sizes.
#include "huggingface/safetensors.h"

#include <gtest/gtest.h>

#include <cstring>

namespace cameo::huggingface {
namespace {

std::string file_of(const std::string& header, const std::string& data) {
  const uint64_t size = header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &size, 8);
  return bytes + header + data;
}

Result<SafetensorsFile> parse(const std::string& bytes) {
  return SafetensorsFile::parse(std::as_bytes(std::span(bytes)), nullptr, "m.safetensors");
}

std::string tensor(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
}

TEST(Safetensors, ReadsTensorsAlignedOrNot) {
  const float values[] = {1, -2, 3.5f};
  const std::string data("x" + std::string(reinterpret_cast<const char*>(values), sizeof values));
  for (const std::string pad : {"", " ", "  ", "   "}) {
    const std::string bytes = file_of(R"({"__metadata__":{"format":"pt"},"b":)" + tensor("U8", "[1]", "[0,1]") + R"(,"a.b":)" +
                                          tensor("F32", "[3,1]", "[1,13]") + R"(,"none":)" + tensor("F16", "[0,4]", "[13,13]") + "}" + pad,
                                      data);
    const auto file = parse(bytes);
    ASSERT_TRUE(file.ok()) << file.error().message();
    ASSERT_EQ(file->tensors().size(), 3u);
    const Tensor& t = file->tensors().at("a.b");
    EXPECT_EQ(t.dims(), (Dims{3, 1}));
    EXPECT_EQ(std::vector<float>(t.span<float>().begin(), t.span<float>().end()), (std::vector<float>{1, -2, 3.5f}));
    EXPECT_EQ(file->tensors().at("none").num_elements(), 0);
  }
}

TEST(Safetensors, RefusesDamage) {
  const std::string eight(8, 'x'), good = R"({"a":)" + tensor("F32", "[2]", "[0,8]") + "}";
  ASSERT_TRUE(parse(file_of(good, eight)).ok());
  std::string huge = file_of(good, eight);
  huge.replace(0, 8, "\xff\xff\xff\xff\xff\xff\xff\x7f", 8);
  const auto with = [&](const std::string& entry) { return file_of(R"({"a":)" + entry + "}", eight); };
  const struct {
    const char* name;
    std::string bytes;
    const char* part;
  } kCases[] = {
      {"empty", "", "shorter than 8"},
      {"header longer than the file", file_of(good, eight).substr(0, 20), "cut off"},
      {"huge header", huge, "cut off"},
      {"no JSON", file_of("hello", eight), "not a JSON object"},
      {"a list", file_of("[1]", eight), "not a JSON object"},
      {"nested without end", file_of(std::string(1000000, '['), ""), "not a JSON object"},
      {"data cut off", file_of(good, "1234567"), "7 bytes of data"},
      {"twice", file_of(R"({"a":)" + tensor("F32", "[1]", "[0,4]") + R"(,"a":)" + tensor("F32", "[1]", "[4,8]") + "}", eight), "'a' twice"},
      {"shared bytes", file_of(R"({"a":)" + tensor("F32", "[1]", "[0,4]") + R"(,"b":)" + tensor("I8", "[2]", "[3,5]") + "}", eight),
       "share bytes"},
      {"not an object", with("3"), "needs dtype"},
      {"no dtype", with(R"({"shape":[2],"data_offsets":[0,8]})"), "needs dtype"},
      {"unknown dtype", with(tensor("F4", "[2]", "[0,8]")), "'F4'"},
      {"one offset", with(tensor("F32", "[2]", "[8]")), "needs dtype"},
      {"offsets backwards", with(tensor("F32", "[2]", "[8,0]")), "do not lie"},
      {"offset below zero", with(tensor("F32", "[2]", "[-8,0]")), "no counts"},
      {"offset of 2^64", with(tensor("F32", "[2]", "[0,18446744073709551616]")), "no counts"},
      {"offset far out", with(tensor("F32", "[2]", "[0,18446744073709551615]")), "do not lie"},
      {"fraction", with(tensor("F32", "[2.5]", "[0,8]")), "no count"},
      {"negative extent", with(tensor("F32", "[-2]", "[0,8]")), "no count"},
      {"shape too small", with(tensor("F32", "[1]", "[0,8]")), "8 bytes"},
      {"shape too large", with(tensor("F32", "[3]", "[0,8]")), "8 bytes"},
      {"product overflows", with(tensor("F32", "[4294967296,4294967296,4294967296]", "[0,8]")), "tensor 'a'"},
      {"product of 2^64 + 2", with(tensor("F32", "[9223372036854775809,2]", "[0,8]")), "tensor 'a'"},
      {"type of other size", with(tensor("F64", "[2]", "[0,8]")), "8 bytes"},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.name);
    const auto file = parse(c.bytes);
    ASSERT_FALSE(file.ok());
    EXPECT_NE(file.error().message().find(c.part), std::string::npos) << file.error().message();
    EXPECT_NE(file.error().message().find("m.safetensors"), std::string::npos);
  }
}

TEST(Safetensors, EveryTruncationIsRefused) {
  const std::string good = file_of(R"({"a":)" + tensor("F32", "[2]", "[0,8]") + "}", "12345678");
  for (size_t size = 0; size < good.size(); ++size) EXPECT_FALSE(parse(good.substr(0, size)).ok()) << size;
}

}  // namespace
}  // namespace cameo::huggingface
