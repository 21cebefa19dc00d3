#include <algorithm>
#include <map>

#include "base/error.h"
#include "cameo/version.h"
#include "ops/op.h"
#include "plan/content.h"
#include "plan/layout.h"
#include "plan_generated.h"
#include "tactics/tactic.h"

namespace cameo::plan {
namespace {

constexpr int kMaxSubgraphDepth = 64;

template <class... Args>
Error damaged(fmt::format_string<Args...> format, Args&&... args) {
  return error(ErrorCode::kInvalidPlan, format, std::forward<Args>(args)...);
}

std::string text(const flatbuffers::String* s) { return s ? s->str() : std::string(); }

// The elements of a vector. FlatBuffers' verifier does not check that 8-byte elements are aligned, so they are copied.
template <class T>
std::vector<T> numbers(const flatbuffers::Vector<T>* v) {
  std::vector<T> out(v ? v->size() : 0);
  if (!out.empty()) std::memcpy(out.data(), v->Data(), out.size() * sizeof(T));
  return out;
}

template <class Vector>
size_t size(const Vector* v) {
  return v ? v->size() : 0;
}

// The header, when everything in it fits the file.
Result<Header> read_header(const Plan& plan) {
  const auto bytes = plan.bytes();
  if (bytes.size() < sizeof(kMagic) || std::memcmp(bytes.data(), kMagic, sizeof kMagic) != 0)
    return damaged("this is not a Cameo plan: it does not begin with the plan signature");
  if (bytes.size() < kHeaderBytes) return damaged("the plan is cut off: {} bytes, the header alone has {}", bytes.size(), kHeaderBytes);
  Header h;
  std::memcpy(&h, bytes.data(), sizeof h);
  if (h.format_version != kPlanFormatVersion)
    return error(ErrorCode::kVersionMismatch,
                 "the plan has format version {}, this Cameo ({}) reads version {}; build it again from the model", h.format_version,
                 CAMEO_VERSION, kPlanFormatVersion);
  if (h.header_checksum != checksum(&h, offsetof(Header, header_checksum))) return damaged("the plan's header is damaged (checksum)");
  const bool zeros = h.reserved == 0 && std::all_of(std::begin(h.zero), std::end(h.zero), [](uint64_t z) { return z == 0; });
  if (!zeros) return damaged("the plan's header is damaged (reserved bytes are not zero)");
  if (h.file_bytes != bytes.size())
    return damaged("the plan is cut off or too long: {} bytes, its header says {}", bytes.size(), h.file_bytes);
  if (h.metadata_offset != kHeaderBytes || h.metadata_bytes > bytes.size() - kHeaderBytes ||
      h.weights_offset != align_up(kHeaderBytes + h.metadata_bytes) || h.weights_offset > bytes.size() ||
      h.weights_bytes != bytes.size() - h.weights_offset)
    return damaged("the plan's header names sections that do not fit its {} bytes", bytes.size());
  if (h.metadata_checksum != checksum(bytes.data() + kHeaderBytes, h.weights_offset - kHeaderBytes))
    return damaged("the plan's metadata is damaged (checksum)");
  return h;
}

Result<const fb::Plan*> read_metadata(const Plan& plan, const Header& h) {
  const auto* data = reinterpret_cast<const uint8_t*>(plan.bytes().data()) + h.metadata_offset;
  flatbuffers::Verifier verifier(data, h.metadata_bytes, /*max_depth=*/64 + 4 * kMaxSubgraphDepth, /*max_tables=*/100'000'000);
  if (!fb::VerifyPlanBuffer(verifier)) return damaged("the plan's metadata is malformed");
  return fb::GetPlan(data);
}

class Reader {
 public:
  Reader(const Plan& plan, const Header& header)
      : owner_(plan.owner()), weights_(plan.bytes().subspan(header.weights_offset, header.weights_bytes)) {}

  Result<Content> read(const fb::Plan& p) {
    Content content;
    content.cameo_version = text(p.cameo_version());
    content.backend = text(p.backend());
    content.target = text(p.target());
    content.model_name = text(p.model_name());
    content.batch = text(p.batch());
    content.precision = text(p.precision());
    content.cpu_fallback = p.cpu_fallback();
    content.tuned_for = text(p.tuned_for());
    for (size_t i = 0; i < size(p.choices()); ++i) content.choices[text(p.choices()->Get(i)->problem())] = p.choices()->Get(i)->choice();
    content.tuning_level = p.tuning_level();
    if (content.tuning_level < 0 || content.tuning_level > 5) return damaged("the plan has the tuning level {}", content.tuning_level);
    content.deterministic = p.deterministic();
    if (!p.graph()) return damaged("the plan has no graph");
    CAMEO_ASSIGN(content.graph, graph(*p.graph(), 0));
    if (auto status = ir::verify(content.graph); !status.ok()) return damaged("{}", status.error().message());
    for (size_t i = 0; i < size(p.profiles()); ++i) {
      Profile& profile = content.profiles.emplace_back();
      const auto* inputs = p.profiles()->Get(i)->inputs();
      for (size_t k = 0; k < size(inputs); ++k) {
        const fb::InputRange& r = *inputs->Get(k);
        InputRange range{text(r.name()), dims(r.min()), dims(r.opt()), dims(r.max())};
        if (range.min.rank() != range.opt.rank() || range.min.rank() != range.max.rank())
          return damaged("profile {} has ranks that differ for input '{}'", i, range.name);
        for (size_t d = 0; d < range.min.rank(); ++d)
          if (range.min[d] < 0 || range.min[d] > range.opt[d] || range.opt[d] > range.max[d])
            return damaged("profile {} has no range for dimension {} of input '{}'", i, d, range.name);
        profile.inputs.push_back(std::move(range));
      }
    }
    return content;
  }

 private:
  static Dims dims(const flatbuffers::Vector<int64_t>* v) { return Dims(numbers(v)); }

  Result<DType> dtype(uint8_t number) {
    if (number != 0 && !is_valid_dtype(number)) return damaged("element type {} does not exist", number);
    return static_cast<DType>(number);
  }

  Result<ir::Type> type(const fb::Type* t, int depth) {
    ir::Type out;
    if (!t) return out;
    if (t->kind() > fb::TypeKind_MAX || depth > 8) return damaged("a type is malformed");
    out.kind = static_cast<ir::Type::Kind>(t->kind());
    CAMEO_ASSIGN(out.dtype, dtype(t->dtype()));
    if (out.kind == ir::Type::Kind::kSequence || out.kind == ir::Type::Kind::kOptional) {
      CAMEO_ASSIGN(ir::Type element, type(t->element(), depth + 1));
      out.element = std::make_shared<const ir::Type>(std::move(element));
      return out;
    }
    if (!t->has_shape()) return out;
    out.shape.emplace();
    for (size_t i = 0; i < size(t->dims()); ++i) {
      const fb::Dim& d = *t->dims()->Get(i);
      if (d.value() < -1) return damaged("a type has the extent {}", d.value());
      if (d.value() >= 0)
        out.shape->push_back(d.value());
      else
        out.shape->push_back(d.text() && d.text()->size() > 0 ? ir::Dim::symbol(d.text()->str()) : ir::Dim::unknown());
    }
    return out;
  }

  Result<Tensor> constant(const fb::Constant& c) {
    CAMEO_ASSIGN(const DType t, dtype(c.dtype()));
    if (t == DType::kUndefined) return damaged("a constant has no element type");
    const Dims shape = dims(c.dims());
    auto count = shape.checked_num_elements();
    if (!count.ok()) return damaged("a constant's {}", count.error().message());
    if (t == DType::kString) {
      if (size(c.strings()) != static_cast<uint64_t>(*count))
        return damaged("a string constant of shape {} has {} strings", shape.to_string(), size(c.strings()));
      CAMEO_ASSIGN(Tensor strings, Tensor::allocate(t, shape));
      for (int64_t i = 0; i < *count; ++i) strings.data<std::string>()[i] = text(c.strings()->Get(static_cast<uint32_t>(i)));
      return strings;
    }
    uint64_t bytes = 0;
    if (__builtin_mul_overflow(static_cast<uint64_t>(*count), dtype_size(t), &bytes) || bytes != c.bytes())
      return damaged("a constant of type {} and shape {} has {} bytes", dtype_name(t), shape.to_string(), c.bytes());
    if (bytes > weights_.size() || c.offset() > weights_.size() - bytes || c.offset() % kAlignment != 0)
      return damaged("a constant lies at bytes {} to {} of {} bytes of weights", c.offset(), c.offset() + bytes, weights_.size());
    // Constants are never written to; Tensor has no const view.
    auto* data = const_cast<std::byte*>(weights_.data() + c.offset());
    return Tensor::shared(t, shape, data, owner_);
  }

  Result<std::vector<ir::ValueId>> ids(const flatbuffers::Vector<uint32_t>* v, size_t num_values, bool optional) {
    std::vector<ir::ValueId> out;
    for (size_t i = 0; i < size(v); ++i) {
      const uint32_t id = v->Get(static_cast<uint32_t>(i));
      if (id >= num_values && !(optional && id == ir::kNoValue)) return damaged("value {} does not exist; there are {}", id, num_values);
      out.push_back(id);
    }
    return out;
  }

  class AttrReader;
  Result<std::shared_ptr<const ir::Attrs>> attrs(const ops::OpDef& op, const fb::Node& n);

  // Kernels rely on the versions and subgraphs of their OpDef; numbers and types of inputs are checked by inference.
  static Status check_node(const ir::Node& node) {
    const ops::OpDef& op = *node.op;
    if (node.version < op.min_version || node.version > op.max_version)
      return damaged("node '{}' ({}) has version {}, which is not in {} to {}", node.name, op.name, node.version, op.min_version,
                     op.max_version);
    if (const auto* tactic = tactics::find_tactic(node.kernel); !node.kernel.empty() && (tactic == nullptr || !tactic->is_for(op)))
      return damaged("node '{}' ({}) names the kernel '{}', which this Cameo does not have", node.name, op.name, node.kernel);
    auto expected = op.subgraphs.begin();
    for (const ir::Subgraph& subgraph : node.subgraphs) {
      if (op.optional_subgraphs)
        while (expected != op.subgraphs.end() && *expected != subgraph.attribute) ++expected;
      if (expected == op.subgraphs.end() || *expected != subgraph.attribute)
        return damaged("node '{}' ({}) has a subgraph '{}' out of place", node.name, op.name, subgraph.attribute);
      ++expected;
    }
    if (!op.optional_subgraphs && expected != op.subgraphs.end())
      return damaged("node '{}' ({}) lacks its subgraph '{}'", node.name, op.name, *expected);
    return {};
  }

  // Only a tactic that has its own form of a constant may read one whose elements are not there.
  static Status check_elided(const ir::Node& node, const ir::Graph& graph) {
    const tactics::Tactic* tactic = tactics::find_tactic(node.kernel);
    const uint64_t packed_inputs = tactic != nullptr && !node.packed.empty() ? tactic->packed_inputs : 0;
    for (size_t i = 0; i < node.inputs.size(); ++i)
      if (node.inputs[i] != ir::kNoValue && graph.value(node.inputs[i]).elided && (i >= 64 || (packed_inputs >> i & 1) == 0))
        return damaged("node '{}' ({}) reads the elements of '{}', which are not in the plan", node.name, node.op->name,
                       graph.value(node.inputs[i]).name);
    for (const ir::Subgraph& subgraph : node.subgraphs)
      for (ir::ValueId id : subgraph.captures)
        if (graph.value(id).elided) return damaged("node '{}' captures '{}', which is not in the plan", node.name, graph.value(id).name);
    return {};
  }

  Result<ir::Graph> graph(const fb::Graph& g, int depth) {
    if (depth > kMaxSubgraphDepth) return damaged("subgraphs are nested more than {} deep", kMaxSubgraphDepth);
    ir::Graph out;
    out.name = text(g.name());
    for (size_t i = 0; i < size(g.values()); ++i) {
      const fb::Value& v = *g.values()->Get(static_cast<uint32_t>(i));
      CAMEO_ASSIGN(ir::Type t, type(v.type(), 0));
      const ir::ValueId id = out.add_value(text(v.name()), std::move(t));
      if (v.constant()) {
        auto tensor = constant(*v.constant());
        if (!tensor.ok()) return std::move(tensor).error().in(out.value(id).name);
        out.value(id).constant = std::move(tensor).value();
      }
      out.value(id).elided = v.elided();
    }
    const size_t n = out.values.size();
    for (size_t i = 0; i < size(g.nodes()); ++i) {
      const fb::Node& from = *g.nodes()->Get(static_cast<uint32_t>(i));
      ir::Node node;
      node.op = ops::find_op(text(from.domain()), text(from.op()));
      if (!node.op)
        return damaged("node '{}' has the operator {}.{}, which this Cameo does not have", text(from.name()), text(from.domain()),
                       text(from.op()));
      node.version = from.version();
      node.name = text(from.name());
      node.kernel = text(from.kernel());
      CAMEO_ASSIGN(node.inputs, ids(from.inputs(), n, true));
      CAMEO_ASSIGN(node.outputs, ids(from.outputs(), n, true));
      for (size_t k = 0; k < size(from.sources()); ++k) node.sources.push_back(text(from.sources()->Get(static_cast<uint32_t>(k))));
      CAMEO_ASSIGN(node.attrs, attrs(*node.op, from));
      for (size_t k = 0; k < size(from.subgraphs()); ++k) {
        const fb::Subgraph& s = *from.subgraphs()->Get(static_cast<uint32_t>(k));
        if (!s.graph()) return damaged("node '{}' has an empty subgraph", node.name);
        ir::Subgraph& subgraph = node.subgraphs.emplace_back();
        subgraph.attribute = text(s.attribute());
        CAMEO_ASSIGN(ir::Graph inner, graph(*s.graph(), depth + 1));
        subgraph.graph = std::make_unique<ir::Graph>(std::move(inner));
        CAMEO_ASSIGN(subgraph.captures, ids(s.captures(), n, false));
      }
      for (size_t k = 0; k < size(from.packed()); ++k) {
        CAMEO_ASSIGN(Tensor packed, constant(*from.packed()->Get(static_cast<uint32_t>(k))));
        node.packed.push_back(std::move(packed));
      }
      for (size_t k = 0; k < size(from.trials()); ++k) {
        const fb::Trial& t = *from.trials()->Get(static_cast<uint32_t>(k));
        node.trials.push_back({text(t.tactic()), t.microseconds(), text(t.reason())});
      }
      CAMEO_TRY(check_node(node));
      CAMEO_TRY(check_elided(node, out));
      out.nodes.push_back(std::move(node));
    }
    CAMEO_ASSIGN(out.inputs, ids(g.inputs(), n, false));
    CAMEO_ASSIGN(out.outputs, ids(g.outputs(), n, false));
    for (ir::ValueId id : out.outputs)
      if (out.value(id).elided) return damaged("the output '{}' is not in the plan", out.value(id).name);
    return out;
  }

  std::shared_ptr<const void> owner_;
  std::span<const std::byte> weights_;
};

// Fills an attribute struct from the plan.
class Reader::AttrReader final : public ir::AttrVisitor {
 public:
  AttrReader(Reader& reader, const fb::Node& node) : reader_(reader) {
    for (size_t i = 0; i < size(node.attrs()); ++i) {
      const fb::Attr* a = node.attrs()->Get(static_cast<uint32_t>(i));
      if (!attrs_.emplace(text(a->name()), a).second) fail("has attribute '{}' twice", text(a->name()));
    }
  }

  void operator()(const char* n, int64_t& v) override {
    if (const auto* a = find(n, fb::AttrKind_Int))
      if (one(n, a->ints())) v = numbers(a->ints())[0];
  }
  void operator()(const char* n, float& v) override {
    if (const auto* a = find(n, fb::AttrKind_Float))
      if (one(n, a->floats())) v = a->floats()->Get(0);
  }
  void operator()(const char* n, std::string& v) override {
    if (const auto* a = find(n, fb::AttrKind_String))
      if (one(n, a->strings())) v = text(a->strings()->Get(0));
  }
  void operator()(const char* n, std::vector<int64_t>& v) override {
    if (const auto* a = find(n, fb::AttrKind_Ints)) v = numbers(a->ints());
  }
  void operator()(const char* n, std::vector<float>& v) override {
    if (const auto* a = find(n, fb::AttrKind_Floats)) v = numbers(a->floats());
  }
  void operator()(const char* n, std::vector<std::string>& v) override {
    const auto* a = find(n, fb::AttrKind_Strings);
    if (!a) return;
    v.clear();
    for (size_t i = 0; i < size(a->strings()); ++i) v.push_back(text(a->strings()->Get(static_cast<uint32_t>(i))));
  }
  void operator()(const char* n, Tensor& v) override {
    const auto* a = find(n, fb::AttrKind_Tensor);
    if (!a) return;
    if (!a->tensor()) return fail("attribute '{}' holds no tensor", n);
    auto tensor = reader_.constant(*a->tensor());
    if (tensor.ok())
      v = std::move(tensor).value();
    else
      fail("attribute '{}': {}", n, tensor.error().message());
  }
  void operator()(const char* n, std::optional<int64_t>& v) override { optional(n, v); }
  void operator()(const char* n, std::optional<float>& v) override { optional(n, v); }
  void operator()(const char* n, std::optional<std::string>& v) override { optional(n, v); }
  void operator()(const char* n, std::optional<std::vector<int64_t>>& v) override { optional(n, v); }
  void operator()(const char* n, std::optional<std::vector<float>>& v) override { optional(n, v); }
  void operator()(const char* n, std::optional<std::vector<std::string>>& v) override { optional(n, v); }

  Status finish() {
    if (!error_ && used_ != attrs_.size()) fail("has {} attributes of which its operator knows {}", attrs_.size(), used_);
    if (error_) return *error_;
    return {};
  }

 private:
  template <class... Args>
  void fail(fmt::format_string<Args...> format, Args&&... args) {
    if (!error_) error_ = damaged(format, std::forward<Args>(args)...);
  }
  const fb::Attr* find(const char* n, fb::AttrKind kind) {
    const auto it = attrs_.find(n);
    if (it == attrs_.end()) return nullptr;
    ++used_;
    if (it->second->kind() == kind) return it->second;
    fail("attribute '{}' has kind {}, not {}", n, static_cast<int>(it->second->kind()), static_cast<int>(kind));
    return nullptr;
  }
  template <class V>
  bool one(const char* n, const V* values) {
    if (size(values) == 1) return true;
    fail("attribute '{}' has {} values, not one", n, size(values));
    return false;
  }
  template <class T>
  void optional(const char* n, std::optional<T>& v) {
    if (attrs_.count(n)) (*this)(n, v.emplace());
  }

  Reader& reader_;
  std::map<std::string, const fb::Attr*> attrs_;
  size_t used_ = 0;
  std::optional<Error> error_;
};

Result<std::shared_ptr<const ir::Attrs>> Reader::attrs(const ops::OpDef& op, const fb::Node& n) {
  std::shared_ptr<ir::Attrs> out = op.make_attrs();
  AttrReader reader(*this, n);
  out->visit(reader);
  if (auto status = reader.finish(); !status.ok())
    return std::move(status).error().in(fmt::format("node '{}' ({})", text(n.name()), op.name));
  return std::shared_ptr<const ir::Attrs>(std::move(out));
}

}  // namespace

Result<Content> read(const Plan& plan, bool verify_weights) {
  CAMEO_ASSIGN(const Header header, read_header(plan));
  CAMEO_ASSIGN(const fb::Plan* metadata, read_metadata(plan, header));
  const std::string made_by = text(metadata->cameo_version());
  if (made_by != CAMEO_VERSION)
    return error(ErrorCode::kVersionMismatch, "the plan was built by Cameo {}, this is Cameo {}; build it again from the model", made_by,
                 CAMEO_VERSION);
  const std::string target = text(metadata->target());
  // Plans for a device hold no machine code: its kernels are chosen and compiled where the plan is loaded.
  const bool fits = text(metadata->backend()) == "cpu" ? target == host_target() : text(metadata->backend()) == "cuda" && target == "cuda";
  if (!fits)
    return error(ErrorCode::kVersionMismatch, "the plan was built for {} {}, this machine is cpu {}; build it again here",
                 text(metadata->backend()), target, host_target());
  if (verify_weights) {
    const auto weights = plan.bytes().subspan(header.weights_offset, header.weights_bytes);
    if (header.weights_checksum != checksum(weights.data(), weights.size())) return damaged("the plan's weights are damaged (checksum)");
  }
  return Reader(plan, header).read(*metadata);
}

std::string host_target() {
#if defined(__x86_64__)
  return "x86-64";
#elif defined(__aarch64__)
  return "aarch64";
#else
  return "generic";
#endif
}

}  // namespace cameo::plan

namespace cameo {

Result<PlanInfo> plan_info(const Plan& plan) {
  CAMEO_ASSIGN(const plan::Header header, plan::read_header(plan));
  CAMEO_ASSIGN(const plan::fb::Plan* metadata, plan::read_metadata(plan, header));
  PlanInfo info;
  info.format_version = header.format_version;
  info.cameo_version = plan::text(metadata->cameo_version());
  info.backend = plan::text(metadata->backend());
  info.target = plan::text(metadata->target());
  info.model_name = plan::text(metadata->model_name());
  info.metadata_bytes = header.metadata_bytes;
  info.weight_bytes = header.weights_bytes;
  return info;
}

}  // namespace cameo
