#include <map>

#include "base/error.h"
#include "cameo/version.h"
#include "ops/op.h"
#include "plan/content.h"
#include "plan/layout.h"
#include "plan_generated.h"

namespace cameo::plan {
namespace {

using flatbuffers::Offset;

class Writer {
 public:
  Result<Plan> write(const Content& content) {
    CAMEO_ASSIGN(const auto graph, this->graph(content.graph));
    std::vector<Offset<fb::Profile>> profiles;
    for (const Profile& profile : content.profiles) {
      std::vector<Offset<fb::InputRange>> inputs;
      for (const InputRange& r : profile.inputs)
        inputs.push_back(fb::CreateInputRange(builder_, builder_.CreateString(r.name), dims(r.min), dims(r.opt), dims(r.max)));
      profiles.push_back(fb::CreateProfile(builder_, builder_.CreateVector(inputs)));
    }
    std::vector<Offset<fb::Choice>> choices;
    for (const auto& [problem, choice] : content.choices)
      choices.push_back(fb::CreateChoice(builder_, builder_.CreateString(problem), choice));
    builder_.Finish(fb::CreatePlan(builder_, builder_.CreateString(content.cameo_version), builder_.CreateString(content.backend),
                                   builder_.CreateString(content.target), builder_.CreateString(content.model_name), graph,
                                   builder_.CreateVector(profiles), builder_.CreateString(content.batch),
                                   builder_.CreateString(content.precision), content.cpu_fallback, builder_.CreateString(content.tuned_for),
                                   builder_.CreateVector(choices), static_cast<int8_t>(content.tuning_level), content.deterministic));
    return assemble();
  }

 private:
  struct Weight {
    Tensor tensor;
    uint64_t offset;
  };

  Offset<flatbuffers::Vector<int64_t>> dims(const Dims& d) { return builder_.CreateVector(d.data(), d.size()); }

  Offset<flatbuffers::Vector<Offset<flatbuffers::String>>> strings(std::span<const std::string> list) {
    std::vector<Offset<flatbuffers::String>> out;
    for (const std::string& s : list) out.push_back(builder_.CreateString(s));
    return builder_.CreateVector(out);
  }

  Offset<fb::Type> type(const ir::Type& t) {
    Offset<fb::Type> element = 0;
    if (t.element) element = type(*t.element);
    std::vector<Offset<fb::Dim>> extents;
    if (t.shape)
      for (const ir::Dim& d : *t.shape)
        extents.push_back(fb::CreateDim(builder_, d.is_const() ? d.value() : -1,
                                        d.is_const() || d.is_unknown() ? 0 : builder_.CreateString(d.to_string())));
    return fb::CreateType(builder_, static_cast<fb::TypeKind>(t.kind), static_cast<uint8_t>(t.dtype), t.shape.has_value(),
                          builder_.CreateVector(extents), element);
  }

  // Places a tensor in the weights section; the same memory is placed once.
  Offset<fb::Constant> constant(const Tensor& t) {
    const auto dtype = static_cast<uint8_t>(t.dtype());
    if (t.dtype() == DType::kString) {
      const auto list = strings(t.span<std::string>());
      return fb::CreateConstant(builder_, dtype, dims(t.dims()), 0, 0, list);
    }
    const uint64_t bytes = t.num_bytes();
    const auto key = std::pair(t.raw(), bytes);
    auto it = placed_.find(key);
    if (bytes > 0 && it == placed_.end()) {
      it = placed_.emplace(key, weights_end_).first;
      weights_.push_back({t, weights_end_});
      weights_end_ = align_up(weights_end_ + bytes);
    }
    return fb::CreateConstant(builder_, dtype, dims(t.dims()), bytes > 0 ? it->second : 0, bytes);
  }

  Result<Offset<fb::Graph>> graph(const ir::Graph& g) {
    std::vector<Offset<fb::Value>> values;
    for (const ir::Value& v : g.values) {
      const auto name = builder_.CreateString(v.name);
      const auto t = type(v.type);
      values.push_back(fb::CreateValue(builder_, name, t, v.is_constant() ? constant(v.constant) : Offset<fb::Constant>(0), v.elided));
    }
    std::vector<Offset<fb::Node>> nodes;
    for (const ir::Node& n : g.nodes) {
      std::vector<Offset<fb::Subgraph>> subgraphs;
      for (const ir::Subgraph& s : n.subgraphs) {
        CAMEO_ASSIGN(const auto inner, graph(*s.graph));
        subgraphs.push_back(fb::CreateSubgraph(builder_, builder_.CreateString(s.attribute), inner, builder_.CreateVector(s.captures)));
      }
      std::vector<Offset<fb::Constant>> packed;
      for (const Tensor& t : n.packed) packed.push_back(constant(t));
      std::vector<Offset<fb::Trial>> trials;
      for (const ir::TacticTrial& t : n.trials)
        trials.push_back(fb::CreateTrial(builder_, builder_.CreateString(t.tactic), t.microseconds, builder_.CreateString(t.reason)));
      nodes.push_back(fb::CreateNode(builder_, builder_.CreateString(n.op->domain.data(), n.op->domain.size()),
                                     builder_.CreateString(n.op->name.data(), n.op->name.size()), n.version, builder_.CreateString(n.name),
                                     builder_.CreateVector(n.inputs), builder_.CreateVector(n.outputs), attrs(*n.attrs),
                                     builder_.CreateVector(subgraphs), strings(n.sources), builder_.CreateString(n.kernel),
                                     builder_.CreateVector(packed), builder_.CreateVector(trials)));
    }
    return fb::CreateGraph(builder_, builder_.CreateString(g.name), builder_.CreateVector(values), builder_.CreateVector(nodes),
                           builder_.CreateVector(g.inputs), builder_.CreateVector(g.outputs));
  }

  class AttrWriter;
  Offset<flatbuffers::Vector<Offset<fb::Attr>>> attrs(const ir::Attrs& a);

  Result<Plan> assemble() {
    const uint64_t metadata_bytes = builder_.GetSize();
    const uint64_t weights_offset = align_up(kHeaderBytes + metadata_bytes);
    CAMEO_ASSIGN(const Tensor memory, Tensor::allocate(DType::kUint8, {static_cast<int64_t>(weights_offset + weights_end_)}));
    const std::span<std::byte> bytes(memory.data<std::byte>(), memory.num_bytes());
    std::memcpy(bytes.data() + kHeaderBytes, builder_.GetBufferPointer(), metadata_bytes);
    for (const Weight& w : weights_) std::memcpy(bytes.data() + weights_offset + w.offset, w.tensor.raw(), w.tensor.num_bytes());
    Header header{};
    std::memcpy(header.magic, kMagic, sizeof kMagic);
    header.format_version = kPlanFormatVersion;
    header.file_bytes = bytes.size();
    header.metadata_offset = kHeaderBytes;
    header.metadata_bytes = metadata_bytes;
    header.weights_offset = weights_offset;
    header.weights_bytes = weights_end_;
    header.metadata_checksum = checksum(bytes.data() + kHeaderBytes, weights_offset - kHeaderBytes);
    header.weights_checksum = checksum(bytes.data() + weights_offset, weights_end_);
    header.header_checksum = checksum(&header, offsetof(Header, header_checksum));
    std::memcpy(bytes.data(), &header, sizeof header);
    return Plan(bytes, memory.owner());
  }

  flatbuffers::FlatBufferBuilder builder_;
  std::map<std::pair<void*, uint64_t>, uint64_t> placed_;
  std::vector<Weight> weights_;
  uint64_t weights_end_ = 0;
};

// Writes each attribute that is set.
class Writer::AttrWriter final : public ir::AttrVisitor {
 public:
  explicit AttrWriter(Writer& writer) : w_(writer) {}
  std::vector<Offset<fb::Attr>> list;

  void operator()(const char* n, int64_t& v) override { ints(n, fb::AttrKind_Int, {&v, 1}); }
  void operator()(const char* n, float& v) override { floats(n, fb::AttrKind_Float, {&v, 1}); }
  void operator()(const char* n, std::string& v) override { strings(n, fb::AttrKind_String, {&v, 1}); }
  void operator()(const char* n, std::vector<int64_t>& v) override { ints(n, fb::AttrKind_Ints, v); }
  void operator()(const char* n, std::vector<float>& v) override { floats(n, fb::AttrKind_Floats, v); }
  void operator()(const char* n, std::vector<std::string>& v) override { strings(n, fb::AttrKind_Strings, v); }
  void operator()(const char* n, Tensor& v) override {
    if (!v.defined()) return;
    const auto name = w_.builder_.CreateString(n);
    const auto tensor = w_.constant(v);
    list.push_back(fb::CreateAttr(w_.builder_, name, fb::AttrKind_Tensor, 0, 0, 0, tensor));
  }
  void operator()(const char* n, std::optional<int64_t>& v) override { optional(n, v); }
  void operator()(const char* n, std::optional<float>& v) override { optional(n, v); }
  void operator()(const char* n, std::optional<std::string>& v) override { optional(n, v); }
  void operator()(const char* n, std::optional<std::vector<int64_t>>& v) override { optional(n, v); }
  void operator()(const char* n, std::optional<std::vector<float>>& v) override { optional(n, v); }
  void operator()(const char* n, std::optional<std::vector<std::string>>& v) override { optional(n, v); }

 private:
  void ints(const char* n, fb::AttrKind kind, std::span<const int64_t> v) {
    const auto name = w_.builder_.CreateString(n);
    const auto data = w_.builder_.CreateVector(v.data(), v.size());
    list.push_back(fb::CreateAttr(w_.builder_, name, kind, data));
  }
  void floats(const char* n, fb::AttrKind kind, std::span<const float> v) {
    const auto name = w_.builder_.CreateString(n);
    const auto data = w_.builder_.CreateVector(v.data(), v.size());
    list.push_back(fb::CreateAttr(w_.builder_, name, kind, 0, data));
  }
  void strings(const char* n, fb::AttrKind kind, std::span<const std::string> v) {
    const auto name = w_.builder_.CreateString(n);
    const auto data = w_.strings(v);
    list.push_back(fb::CreateAttr(w_.builder_, name, kind, 0, 0, data));
  }
  template <class T>
  void optional(const char* n, std::optional<T>& v) {
    if (v) (*this)(n, *v);
  }
  Writer& w_;
};

Offset<flatbuffers::Vector<Offset<fb::Attr>>> Writer::attrs(const ir::Attrs& a) {
  AttrWriter writer(*this);
  const_cast<ir::Attrs&>(a).visit(writer);  // reading: visit() is not const because the importer writes through it
  return builder_.CreateVector(writer.list);
}

}  // namespace

Result<Plan> write(const Content& content) { return Writer().write(content); }

}  // namespace cameo::plan
