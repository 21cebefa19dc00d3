#include "case.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <sstream>

#include <protozero/pbf_reader.hpp>

#include "base/error.h"
#include "onnx/model.h"
#include "onnx/tensor_data.h"

namespace cameo::conformance {
namespace {

// Field numbers of SequenceProto and OptionalProto in onnx-data.proto.
enum SequenceField : protozero::pbf_tag_type { kTensorValues = 3, kSequenceValues = 5 };
enum OptionalField : protozero::pbf_tag_type { kTensorValue = 3, kSequenceValue = 5 };

Result<std::string> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return error(ErrorCode::kIo, "{}: cannot be opened", path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

Result<ops::RtValue> parse_tensor(std::string_view bytes) {
  CAMEO_ASSIGN(const onnx::TensorProto proto, onnx::read_tensor_proto(std::as_bytes(std::span(bytes))));
  CAMEO_ASSIGN(Tensor tensor, onnx::to_tensor(proto, onnx::TensorContext{}));
  return ops::RtValue::of(std::move(tensor));
}

std::string_view view(protozero::pbf_reader& reader) {
  const auto data = reader.get_view();
  return {data.data(), data.size()};
}

Result<ops::RtValue> parse_value(std::string_view bytes, const onnx::TypeProto& type);

Result<ops::RtValue> parse_sequence(std::string_view bytes, const onnx::TypeProto& element) {
  std::vector<ops::RtValue> elements;
  for (protozero::pbf_reader reader(bytes.data(), bytes.size()); reader.next();) {
    if (reader.tag() == kTensorValues || reader.tag() == kSequenceValues) {
      CAMEO_ASSIGN(ops::RtValue value, parse_value(view(reader), element));
      elements.push_back(std::move(value));
    } else {
      reader.skip();
    }
  }
  return ops::RtValue::sequence(std::move(elements), static_cast<DType>(element.elem_type));
}

Result<ops::RtValue> parse_optional(std::string_view bytes, const onnx::TypeProto& element) {
  std::optional<ops::RtValue> value;
  for (protozero::pbf_reader reader(bytes.data(), bytes.size()); reader.next();) {
    if (reader.tag() == kTensorValue || reader.tag() == kSequenceValue) {
      CAMEO_ASSIGN(value, parse_value(view(reader), element));
    } else {
      reader.skip();
    }
  }
  return ops::RtValue::optional(std::move(value));
}

Result<ops::RtValue> parse_value(std::string_view bytes, const onnx::TypeProto& type) {
  switch (type.kind) {
    case onnx::TypeProto::Kind::kTensor:
      return parse_tensor(bytes);
    case onnx::TypeProto::Kind::kSequence:
      return parse_sequence(bytes, *type.element);
    case onnx::TypeProto::Kind::kOptional:
      return parse_optional(bytes, *type.element);
    default:
      return error(ErrorCode::kUnsupported, "a value that is neither tensor, sequence nor optional");
  }
}

using NamedValues = std::vector<std::pair<std::string, ops::RtValue>>;

Result<NamedValues> read_values(const std::string& prefix, const std::vector<onnx::ValueInfoProto>& infos) {
  NamedValues values;
  for (size_t i = 0; i < infos.size(); ++i) {
    const std::string path = fmt::format("{}_{}.pb", prefix, i);
    CAMEO_ASSIGN(const std::string bytes, read_file(path));
    auto value = parse_value(bytes, infos[i].type);
    if (!value.ok()) return std::move(value).error().in(path);
    values.emplace_back(infos[i].name, *std::move(value));
  }
  return values;
}

}  // namespace

Result<std::vector<CaseEntry>> read_index(const std::string& data_dir) {
  CAMEO_ASSIGN(const std::string text, read_file(data_dir + "/index.txt"));
  std::vector<CaseEntry> entries;
  std::istringstream lines(text);
  for (CaseEntry entry; lines >> entry.name >> entry.rtol >> entry.atol;) entries.push_back(entry);
  return entries;
}

Result<Case> read_case(const std::string& data_dir, const CaseEntry& entry, const std::string& model_name) {
  const std::string folder = data_dir + "/" + entry.name;
  Case c{entry.name, entry.rtol, entry.atol, folder + "/" + model_name, {}, {}};
  CAMEO_ASSIGN(const onnx::Model model, onnx::read_model(c.model_path));
  CAMEO_ASSIGN(c.inputs, read_values(folder + "/input", model.graph.inputs));
  CAMEO_ASSIGN(c.outputs, read_values(folder + "/output", model.graph.outputs));
  return c;
}

Result<std::vector<std::pair<std::string, std::string>>> read_listed(const std::string& path) {
  CAMEO_ASSIGN(const std::string text, read_file(path));
  std::vector<std::pair<std::string, std::string>> listed;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line[0] == '#') continue;
    const size_t colon = line.find(": ");
    if (colon == std::string::npos || colon + 2 == line.size())
      return error(ErrorCode::kInvalidArgument, "{}: '{}' is not 'NAME: REASON'", path, line);
    listed.emplace_back(line.substr(0, colon), line.substr(colon + 2));
  }
  return listed;
}

}  // namespace cameo::conformance
