#include "onnx/tensor_data.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/numeric.h"
#include "onnx/test_models.h"

namespace cameo::onnx {
namespace {

using namespace test;

// Numbers of a typed field, packed; `unpacked` writes each with a tag of its own.
struct TypedCase {
  const char* name;
  int type;
  std::vector<int64_t> dims;
  std::string fields;
  std::string expected;  // the tensor's bytes
};

std::string floats(uint32_t field, const std::vector<float>& values) {
  std::string out;
  protozero::pbf_writer(out).add_packed_float(field, values.begin(), values.end());
  return out;
}
std::string doubles(uint32_t field, const std::vector<double>& values) {
  std::string out;
  protozero::pbf_writer(out).add_packed_double(field, values.begin(), values.end());
  return out;
}

Result<Tensor> convert(const std::string& message, const TensorContext& context = {}) {
  CAMEO_ASSIGN(const TensorProto proto, read_tensor_proto(std::as_bytes(std::span(message))));
  return to_tensor(proto, context);
}

TEST(TensorData, EveryTypeFromItsField) {
  const std::vector<TypedCase> cases = {
      {"float", 1, {2}, floats(4, {1.5f, -2.f}), raw<float>({1.5f, -2.f})},
      {"float, not packed", 1, {2}, float32(4, 1.5f) + float32(4, -2.f), raw<float>({1.5f, -2.f})},
      {"uint8", 2, {2}, numbers(5, {0, 255}), raw<uint8_t>({0, 255})},
      {"int8", 3, {2}, numbers(5, {-128, 127}), raw<int8_t>({-128, 127})},
      {"uint16", 4, {2}, numbers(5, {1, 65535}), raw<uint16_t>({1, 65535})},
      {"int16", 5, {2}, numbers(5, {-32768, 3}), raw<int16_t>({-32768, 3})},
      {"int32", 6, {2}, numbers(5, {-5, 2147483647}), raw<int32_t>({-5, 2147483647})},
      {"int32, not packed", 6, {2}, number(5, -5) + number(5, 300), raw<int32_t>({-5, 300})},
      {"int32, in runs", 6, {3}, numbers(5, {1, 2}) + number(5, 3), raw<int32_t>({1, 2, 3})},
      {"int64", 7, {2}, numbers(7, {-1, INT64_MAX}), raw<int64_t>({-1, INT64_MAX})},
      {"bool", 9, {3}, numbers(5, {0, 1, 7}), std::string("\0\1\1", 3)},
      {"float16", 10, {2}, numbers(5, {0x3c00, 0xc000}), raw<uint16_t>({0x3c00, 0xc000})},
      {"float16, sign extended", 10, {1}, numbers(5, {-16384}), raw<uint16_t>({0xc000})},
      {"double", 11, {2}, doubles(10, {1.5, -2}), raw<double>({1.5, -2})},
      {"uint32", 12, {2}, numbers(11, {1, 4294967295}), raw<uint32_t>({1, 4294967295u})},
      {"uint64", 13, {1}, numbers(11, {-1}), raw<uint64_t>({UINT64_MAX})},
      {"complex64", 14, {1}, floats(4, {1, 2}), raw<float>({1, 2})},
      {"complex128", 15, {1}, doubles(10, {1, 2}), raw<double>({1, 2})},
      {"bfloat16", 16, {1}, numbers(5, {0x3f80}), raw<uint16_t>({0x3f80})},
      {"float8e4m3fn", 17, {2}, numbers(5, {0x38, 0xff}), "\x38\xff"},
      {"float8e4m3fnuz", 18, {1}, numbers(5, {0x80}), "\x80"},
      {"float8e5m2", 19, {1}, numbers(5, {0x7b}), "\x7b"},
      {"float8e5m2fnuz", 20, {1}, numbers(5, {0x12}), "\x12"},
      {"uint4", 21, {3}, numbers(5, {0x2f, 0x07}), "\x0f\x02\x07"},
      {"int4", 22, {3}, numbers(5, {0x2f, 0x08}), "\xff\x02\xf8"},
      {"float4e2m1", 23, {2}, numbers(5, {0x9e}), "\x0e\x09"},
      {"float8e8m0", 24, {1}, numbers(5, {127}), "\x7f"},
      {"uint2", 25, {5}, numbers(5, {0xe4, 0x02}), std::string("\0\1\2\3\2", 5)},
      {"int2", 26, {5}, numbers(5, {0xe4, 0x02}), std::string("\0\1\xfe\xff\xfe", 5)},
      {"scalar", 7, {}, numbers(7, {3}), raw<int64_t>({3})},
      {"nothing", 1, {0, 4}, "", ""},
  };
  for (const TypedCase& c : cases) {
    SCOPED_TRACE(c.name);
    auto tensor = convert(tensor_head("t", c.type, c.dims) + c.fields);
    ASSERT_TRUE(tensor.ok()) << tensor.error().message();
    EXPECT_EQ(static_cast<int>(tensor->dtype()), c.type);
    EXPECT_EQ(tensor->dims(), Dims(c.dims));
    EXPECT_EQ(std::string(static_cast<const char*>(tensor->raw()), tensor->num_bytes()), c.expected);
  }
}

TEST(TensorData, EveryTypeFromRawData) {
  for (int type = 1; type < kNumDTypes; ++type) {
    if (type == static_cast<int>(DType::kString)) continue;
    SCOPED_TRACE(dtype_name(static_cast<DType>(type)));
    const int bits = dtype_bits(static_cast<DType>(type));
    const std::string data((3 * bits + 7) / 8, '\x01');
    auto tensor = convert(test::tensor("t", type, {3}, data));
    ASSERT_TRUE(tensor.ok()) << tensor.error().message();
    EXPECT_EQ(tensor->num_elements(), 3);
    if (bits >= 8) {
      EXPECT_EQ(std::string(static_cast<const char*>(tensor->raw()), tensor->num_bytes()), data);
    }
    auto longer = convert(test::tensor("t", type, {3}, data + "x"));
    ASSERT_FALSE(longer.ok());
    EXPECT_NE(longer.error().message().find("tensor 't'"), std::string::npos) << longer.error().message();
  }
}

TEST(TensorData, Strings) {
  auto tensor = convert(tensor_head("t", 8, {2, 1}) + bytes(6, "a\0b") + bytes(6, ""));
  ASSERT_TRUE(tensor.ok()) << tensor.error().message();
  EXPECT_EQ(tensor->data<std::string>()[0], "a");
  EXPECT_EQ(tensor->data<std::string>()[1], "");
}

TEST(TensorData, RawBoolsBecomeZeroOrOne) {
  auto tensor = convert(test::tensor("t", 9, {3}, std::string("\0\x05\1", 3)));
  ASSERT_TRUE(tensor.ok());
  EXPECT_EQ(std::string(static_cast<const char*>(tensor->raw()), 3), std::string("\0\1\1", 3));
}

TEST(TensorData, AlignedRawDataIsViewed) {
  const std::vector<float> values = {1, 2, 3, 4};
  for (int shift = 0; shift < 4; ++shift) {
    std::string message = test::tensor(std::string(static_cast<size_t>(shift) + 1, 'n'), 1, {4}, raw(values));
    const auto owner = std::make_shared<std::string>(message);
    auto proto = read_tensor_proto(std::as_bytes(std::span(*owner)));
    ASSERT_TRUE(proto.ok());
    auto tensor = to_tensor(*proto, {.owner = owner});
    ASSERT_TRUE(tensor.ok());
    const bool aligned = reinterpret_cast<uintptr_t>(proto->raw_data.data()) % 4 == 0;
    EXPECT_EQ(tensor->raw() == proto->raw_data.data(), aligned);
    EXPECT_EQ(tensor->data<float>()[3], 4);
  }
}

TEST(TensorData, SparseBecomesDense) {
  const auto convert_sparse = [](const std::string& indices, const std::vector<int64_t>& dims) -> Result<Tensor> {
    static std::string message;
    message = test::model(graph({.nodes = {},
                                 .outputs = {value_info("s", tensor_type(1, {2, 3}))},
                                 .more = bytes(15, bytes(1, float_tensor("s", {2}, {5, 7})) + bytes(2, indices) + numbers(3, dims))}));
    CAMEO_ASSIGN(ImportedModel model, import_bytes(message));
    return model.graph.value(model.graph.outputs[0]).constant;
  };
  const std::vector<float> expected = {0, 5, 0, 0, 0, 7};
  for (const std::string& indices :
       {test::tensor("", 7, {2}, raw<int64_t>({1, 5})), test::tensor("", 7, {2, 2}, raw<int64_t>({0, 1, 1, 2}))}) {
    auto dense = convert_sparse(indices, {2, 3});
    ASSERT_TRUE(dense.ok()) << dense.error().message();
    EXPECT_EQ(std::vector<float>(dense->span<float>().begin(), dense->span<float>().end()), expected);
  }
}

}  // namespace
}  // namespace cameo::onnx
