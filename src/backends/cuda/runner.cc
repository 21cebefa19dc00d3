#include "backends/cuda/runner.h"

#include <algorithm>

#include "backends/cuda/annotate.h"
#include "backends/cuda/fast_kernels.h"
#include "backends/cuda/source.h"
#include "ops/channels_last.h"
#include "ops/value.h"
#include "runtime/memory_plan.h"

namespace cameo::cuda {
namespace {

using ops::RtValue;
using Place = runtime::Specialization::Place;

constexpr size_t kMaxPrepared = 32;
constexpr size_t kAlignment = 512;

constexpr size_t kAttentionMask = 3, kAttentionTable = 7;  // inputs; the table is there in a simplified graph alone

constexpr int64_t kSmallStep = 1024;      // elements of values
constexpr size_t kMostParameters = 3500;  // bytes, of a kernel

constexpr int64_t kMostJoinedRows = 16, kMostJoinedSize = 1024;  // of norms that products do

size_t align(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

ir::Type Value::type() const {
  if (host) return ops::type_of(*host);
  return ir::Type::tensor(dtype, ir::to_shape(dims));
}

Value Value::of(RtValue v) {
  Value value;
  if (v.is_tensor()) {
    value.dtype = v.tensor.dtype();
    value.dims = v.tensor.dims();
  }
  value.host = std::move(v);
  return value;
}

Runner::Runner(const ir::Graph& graph, Session& session, bool is_main)
    : graph_(graph), session_(session), is_main_(is_main), values_(graph.values.size()) {}
Runner::~Runner() {
  // After an error they may still be at work.
  if (copy_in_) (void)synchronize(copy_in_->get());
  if (copy_out_) (void)synchronize(copy_out_->get());
  if (beside_) (void)synchronize(beside_->get());
}

Result<runtime::Specialization*> Runner::specialization(std::span<const ops::Fact> inputs) {
  CAMEO_ASSIGN(Prepared * p, prepare(inputs));
  return &p->spec;
}

bool Runner::is_for(const Prepared& p, std::span<const ops::Fact> inputs) const {
  for (size_t i = 0; i < inputs.size(); ++i) {
    const ir::Type &a = p.spec.facts[graph_.inputs[i]].type, &b = inputs[i].type;
    if (!(a.is_tensor() && b.is_tensor() && a.dtype == b.dtype && a.shape && b.shape && *a.shape == *b.shape)) return false;
  }
  return true;
}

bool Runner::is_ready(std::span<const ops::Fact> inputs) const {
  return std::any_of(prepared_.begin(), prepared_.end(), [&](const Prepared& p) { return is_for(p, inputs); });
}

Result<Runner::Prepared*> Runner::prepare(std::span<const ops::Fact> inputs) {
  for (auto it = prepared_.begin(); it != prepared_.end(); ++it) {
    if (!is_for(*it, inputs)) continue;
    prepared_.splice(prepared_.begin(), prepared_, it);
    return &prepared_.front();
  }
  const Tuning::Scope scope(session_.weights.tuning());
  CAMEO_ASSIGN(Prepared p, make_prepared(inputs, true, true));
  if (!p.fixed && !(p.shortcuts.empty() && p.pools.empty())) {
    CAMEO_ASSIGN(p, make_prepared(inputs, true, false));
  }
  // Steps that were not made ready run one by one, as the graph has them.
  if (p.simplified && !p.fixed) {
    CAMEO_ASSIGN(p, make_prepared(inputs, false, false));
  }
  if (prepared_.size() == kMaxPrepared) prepared_.pop_back();
  prepared_.push_front(std::move(p));
  const Status chosen = choose_overlap(prepared_.front());
  session_.device.save_choices();
  CAMEO_TRY(chosen);
  CAMEO_TRY(session_.weights.tuning().take_missed());
  return &prepared_.front();
}

Result<Runner::Prepared> Runner::make_prepared(std::span<const ops::Fact> inputs, bool simplified, bool joined, const Prepared* like) {
  Prepared p;
  CAMEO_ASSIGN(p.spec, runtime::specialize(graph_, inputs));
  if (simplified && is_main_ && all_on_device(p.spec)) {
    CAMEO_ASSIGN(p.simplified, simplify(graph_, p.spec));
    find_encoders(p);
  }
  assign_storage(p);
  if (p.simplified) {
    drop_casts(p);
    if (like) {
      std::map<uint32_t, size_t> order;
      for (const auto& step : like->spec.steps) order.emplace(step.node, order.size());
      for (const auto* joins : {&like->shortcuts, &like->pools})
        for (const auto& [node, other] : *joins) order.emplace(other, order[node]);
      std::stable_sort(p.spec.steps.begin(), p.spec.steps.end(),
                       [&](const auto& a, const auto& b) { return order[a.node] < order[b.node]; });
    } else {
      put_small_first(p);
    }
    if (session_.device.has_gpu())
      p.gates = find_channel_gates(graph_, p.spec, p.storage, activation_type(session_.precision), traits_of(session_.device));
    p.layouts = fuse_layouts(graph_, p.spec, [&](uint32_t node) { return inputs_of(p, node); });
    lay_beside(p);
    join_norms(p);
    if (joined) {
      join_shortcuts(p);
      join_pools(p);
    }
  }
  p.steps.resize(p.spec.steps.size());
  place(p);
  CAMEO_TRY(make_fixed(p));
  return p;
}

// Steps of a few elements that wait for nothing else go first, where one kernel can do them.
void Runner::put_small_first(Prepared& p) const {
  auto& spec = p.spec;
  std::vector<char> late(spec.values.size(), 0);
  const auto small = [&](ir::ValueId id) {
    const auto dims = id == ir::kNoValue || !spec.facts[id].type.shape ? std::nullopt : ir::to_dims(*spec.facts[id].type.shape);
    return id == ir::kNoValue || spec.values[id].place == Place::kConstant || (dims && dims->num_elements() <= kSmallStep);
  };
  const auto is_late = [&](ir::ValueId id) {
    return id != ir::kNoValue && late[spec.values[id].place == Place::kView ? spec.values[id].source : id];
  };
  std::vector<runtime::Specialization::Step> first, rest;
  for (auto& step : spec.steps) {
    const ir::Node& node = graph_.nodes[step.node];
    bool goes_first = !p.encoders.count(step.node);
    for (ir::ValueId id : node.inputs) goes_first = goes_first && small(id) && !is_late(id);
    for (ir::ValueId id : inputs_of(p, step.node)) goes_first = goes_first && small(id) && !is_late(id);
    for (ir::ValueId id : node.outputs) goes_first = goes_first && small(id);
    if (!goes_first) {
      for (ir::ValueId id : node.outputs)
        if (id != ir::kNoValue) late[id] = 1;
      if (const ir::Node* rounding = rounding_of(p, step.node)) late[rounding->outputs[0]] = 1;
    }
    (goes_first ? first : rest).push_back(std::move(step));
  }
  first.insert(first.end(), std::make_move_iterator(rest.begin()), std::make_move_iterator(rest.end()));
  spec.steps = std::move(first);
}

// Neighbouring steps that a block can do become one kernel.
Status Runner::chain_small(Prepared& p) {
  std::vector<const ChainLink*> links;
  size_t bytes = 0;
  for (size_t k = 0; k <= p.steps.size(); ++k) {
    const auto* operations = k < p.steps.size() ? &p.steps[k]->step.operations : nullptr;
    const ChainLink* link = operations && operations->size() == 1 ? chain_link(*operations->front()) : nullptr;
    const size_t more = link ? 8 * (link->operands.size() + std::max<size_t>(link->numbers.size(), 1)) : 0;
    if (links.size() > 1 && (!link || bytes + more > kMostParameters)) {
      CAMEO_ASSIGN(std::unique_ptr<Chain> chain, Chain::make(session_.device, links));
      if (chain) p.chains[k - links.size()] = {k, std::move(chain)};
    }
    if (!link || bytes + more > kMostParameters) links.clear(), bytes = 0;
    if (link) links.push_back(link), bytes += more;
  }
  return {};
}

// Layers of an encoder that one kernel does.
void Runner::find_encoders(Prepared& p) const {
  const DType type = activation_type(session_.precision);
  if (type == DType::kFloat32 || !session_.device.has_gpu()) return;
  for (EncoderChain& chain : cuda::find_encoders(
           graph_, p.spec, *p.simplified, type == DType::kFloat16 ? Scalar::kFloat16 : Scalar::kBFloat16, traits_of(session_.device)))
    p.encoders.emplace(replace_steps(chain, graph_, p.spec), std::move(chain));
}

// The values that a step reads: those of its node, or others in their place.
std::vector<ir::ValueId> Runner::inputs_of(const Prepared& p, uint32_t node) const {
  if (const auto encoder = p.encoders.find(node); encoder != p.encoders.end()) return encoder->second.inputs;
  if (const auto layout = p.layouts.find(node); layout != p.layouts.end()) return layout->second.inputs;
  if (const auto gate = p.gates.find(node); gate != p.gates.end()) return gate->second.inputs;
  std::vector<ir::ValueId> ids = graph_.nodes[node].inputs;
  if (!p.simplified) return ids;
  if (const auto bias = p.simplified->biases.find(node); bias != p.simplified->biases.end()) ids[kAttentionMask] = bias->second.mask;
  if (const auto image = p.simplified->images.find(node); image != p.simplified->images.end()) ids[0] = image->second;
  return ids;
}

// The rounding that a norm's step does as well, or null.
const ir::Node* Runner::rounding_of(const Prepared& p, uint32_t node) const {
  if (!p.simplified) return nullptr;
  const auto found = p.simplified->roundings.find(node);
  return found == p.simplified->roundings.end() ? nullptr : &graph_.nodes[found->second.node];
}

// Queries, keys and values that one product makes stay side by side as it writes them, where attention alone reads them.
void Runner::lay_beside(Prepared& p) const {
  const auto& spec = p.spec;
  for (const auto& step : spec.steps) {
    const ir::Node& node = graph_.nodes[step.node];
    const std::string_view op = node.op->name;
    if (node.op->domain != "ai.cameo" || (op != "MatMul" && op != "Float8MatMul" && op != "QuantizedWeightMatMul") ||
        node.outputs.size() < 2)
      continue;
    const DType type = p.storage[node.outputs[0]];
    const auto size = static_cast<int64_t>(dtype_size(type));
    int64_t pitch = 0, rows = 0;
    bool fits = true;
    for (ir::ValueId id : node.outputs) {
      fits =
          fits && id != ir::kNoValue && spec.values[id].place == Place::kArena && p.storage[id] == type && spec.values[id].dims.rank() == 3;
      if (!fits) break;
      const DType declared = spec.facts[id].type.dtype;
      const Dims& dims = spec.values[id].dims;
      fits = type == (declared == DType::kFloat32 ? activation_type(session_.precision) : declared) && dims[2] * size % 16 == 0;
      rows = dims[0] * dims[1];
      pitch += dims[2];
    }
    if (!fits || rows * pitch > INT32_MAX / 2) continue;
    const auto is_part = [&](ir::ValueId id) { return std::find(node.outputs.begin(), node.outputs.end(), id) != node.outputs.end(); };
    for (ir::ValueId id : spec.views) fits = fits && !is_part(spec.values[id].source);
    for (const ir::Node& reader : graph_.nodes) {
      bool reads = false;
      ir::for_each_use(reader, [&](ir::ValueId id) { reads |= is_part(id); });
      if (!reads) continue;
      // Without a past, and with nothing but its result to write.
      bool alone = reader.op->domain.empty() && reader.op->name == "Attention";
      for (size_t i = kAttentionMask; i < reader.inputs.size(); ++i)
        alone = alone && (reader.inputs[i] == ir::kNoValue || (i == kAttentionMask && !is_part(reader.inputs[i])));
      for (size_t i = 1; i < reader.outputs.size(); ++i) alone = alone && reader.outputs[i] == ir::kNoValue;
      fits = fits && alone;
    }
    if (!fits) continue;
    int64_t column = 0;
    for (ir::ValueId id : node.outputs) {
      p.beside[id] = {node.outputs[0], column, pitch};
      column += spec.values[id].dims[2];
    }
  }
}

// Norms of few rows become part of the product that comes next and reads them.
void Runner::join_norms(Prepared& p) const {
  if (!session_.device.has_gpu()) return;
  auto& spec = p.spec;
  const DType narrow = activation_type(session_.precision);
  const auto is_product = [](const ir::Node& node) {
    return node.op->name == "MatMul" && (node.op->domain.empty() || node.op->domain == "ai.cameo") && node.inputs.size() <= kNormInput &&
           node.outputs.size() <= kNormOutput;
  };
  std::vector<runtime::Specialization::Step> steps;
  for (size_t k = 0; k < spec.steps.size(); ++k) {
    const uint32_t n = spec.steps[k].node;
    const ir::Node& norm = graph_.nodes[n];
    const bool named = norm.op->domain.empty() && (norm.op->name == "LayerNormalization" || norm.op->name == "RMSNormalization");
    steps.push_back(spec.steps[k]);
    if (!named || p.encoders.count(n) || rounding_of(p, n) || k + 1 == spec.steps.size() || narrow == DType::kFloat32) continue;
    const ir::Node& product = graph_.nodes[spec.steps[k + 1].node];
    const ir::ValueId x = norm.inputs[0], y = norm.outputs[0];
    if (!is_product(product) || product.inputs[0] != y || spec.values[y].place != Place::kArena || p.storage[x] != narrow ||
        p.storage[y] != narrow || p.beside.count(x) || p.beside.count(y))
      continue;
    const Dims& dims = spec.values[y].dims;
    const int64_t size = dims.rank() > 0 ? dims.back() : 0, axis = Attributes(*norm.attrs).integer("axis", -1);
    bool fits = size > 0 && size <= kMostJoinedSize && size % 64 == 0 && dims.num_elements() / size <= kMostJoinedRows &&
                (axis == -1 || axis == static_cast<int64_t>(dims.rank()) - 1);
    // Weights are constants of the model's float32 or of 16 bits, as long as a row.
    for (size_t i = 1; i < norm.inputs.size(); ++i)
      fits = fits && norm.inputs[i] != ir::kNoValue && spec.values[norm.inputs[i]].place == Place::kConstant &&
             spec.facts[norm.inputs[i]].constant.num_elements() == size &&
             spec.facts[norm.inputs[i]].type.dtype == spec.facts[x].type.dtype;
    for (size_t i = 1; i < norm.outputs.size(); ++i) fits = fits && norm.outputs[i] == ir::kNoValue;
    fits = fits && norm.inputs.size() > 1 && product.inputs.size() > 1 && product.inputs[1] != ir::kNoValue &&
           spec.values[product.inputs[1]].place == Place::kConstant && spec.facts[product.inputs[1]].constant.rank() == 2;
    // The product's other operands are there before it.
    fits = fits && std::find(product.inputs.begin() + 1, product.inputs.end(), y) == product.inputs.end();
    if (!fits) continue;
    p.norms[spec.steps[k + 1].node] = n;
    steps.pop_back();
  }
  spec.steps = std::move(steps);
}

// The block of device memory: inputs, what the arena holds, outputs.
void Runner::place(Prepared& p) const {
  const auto& spec = p.spec;
  p.offsets.assign(spec.values.size(), 0);
  size_t bytes = 0;
  const auto add = [&](ir::ValueId id, const ir::Type& type) {
    const auto dims = type.shape ? ir::to_dims(*type.shape) : std::nullopt;
    if (!type.is_tensor() || !dims || type.dtype == DType::kString) return;
    p.offsets[id] = bytes;
    bytes += align(static_cast<size_t>(dims->num_elements()) * dtype_size(p.storage[id]));
  };
  for (ir::ValueId id : graph_.inputs) add(id, spec.facts[id].type);
  for (size_t id = 0; id < spec.values.size(); ++id)
    if (spec.values[id].place == Place::kOutput) add(static_cast<ir::ValueId>(id), spec.facts[id].type);
  // The arena again, with the sizes that the elements really have.
  constexpr uint32_t kNever = UINT32_MAX;
  std::vector<uint32_t> made(spec.values.size(), kNever), read(spec.values.size(), kNever);
  for (uint32_t k = 0; k < spec.steps.size(); ++k) {
    const ir::Node& node = graph_.nodes[spec.steps[k].node];
    ir::for_each_use(node, [&](ir::ValueId id) { read[id] = k; });
    for_each_input(p, spec.steps[k].node, [&](ir::ValueId id) { read[id] = k; });
    if (const auto joined = p.norms.find(spec.steps[k].node); joined != p.norms.end()) {
      ir::for_each_use(graph_.nodes[joined->second], [&](ir::ValueId id) { read[id] = k; });
      made[graph_.nodes[joined->second].outputs[0]] = k;
    }
    for_each_output(p, spec.steps[k].node, [&](ir::ValueId id) { made[id] = read[id] = k; });
  }
  for (ir::ValueId id : spec.views) {
    const ir::ValueId source = spec.values[id].source;
    if (read[id] != kNever) read[source] = std::max(read[source] == kNever ? 0 : read[source], read[id]);
  }
  for (const auto& [id, part] : p.beside) read[part.first] = std::max(read[part.first], read[id]);
  std::vector<size_t> ids;
  std::vector<runtime::Lifetime> lifetimes;
  for (size_t id = 0; id < spec.values.size(); ++id) {
    if (spec.values[id].place != Place::kArena) continue;
    int64_t elements = spec.values[id].dims.num_elements();
    if (const auto part = p.beside.find(static_cast<ir::ValueId>(id)); part != p.beside.end()) {
      if (part->second.column > 0) continue;
      elements = elements / spec.values[id].dims.back() * part->second.pitch;
    }
    ids.push_back(id);
    lifetimes.push_back({align(static_cast<size_t>(elements) * dtype_size(p.storage[id])), made[id], read[id]});
  }
  const runtime::MemoryPlan plan = runtime::plan_memory(lifetimes);
  for (size_t k = 0; k < ids.size(); ++k) p.offsets[ids[k]] = bytes + plan.offsets[k];
  for (const auto& [id, part] : p.beside)
    p.offsets[id] = p.offsets[part.first] + static_cast<size_t>(part.column) * dtype_size(p.storage[id]);
  p.block_bytes = bytes + align(plan.bytes);
}

View Runner::view_of(const Prepared& p, ir::ValueId id) const {
  View v;
  if (id == ir::kNoValue) return v;
  const auto& value = p.spec.values[id];
  if (value.place == Place::kConstant) {
    v.value = p.spec.facts[id].constant;
    v.dtype = v.storage = v.value.dtype();
    v.dims = v.value.dims();
    v.weight = graph_.values[id].constant.defined() && graph_.values[id].constant.raw() == v.value.raw();
    return v;
  }
  if (value.place == Place::kRunTime || (values_[id].present() && value.place == Place::kInput && !values_[id].device)) {
    const Value& there = values_[id];
    v.dtype = there.dtype;
    v.storage = there.device ? there.storage : there.dtype;
    v.dims = there.dims;
    if (there.host && there.host->is_tensor() && !there.device) v.value = there.host->tensor;
    return v;
  }
  const ir::Type& type = p.spec.facts[id].type;
  v.dtype = type.dtype;
  v.storage = p.storage[id];
  if (type.shape)
    if (auto dims = ir::to_dims(*type.shape)) v.dims = *dims;
  if (const auto part = p.beside.find(id); part != p.beside.end()) v.pitch = part->second.pitch;
  return v;
}

Result<Runner::Ready> Runner::make_ready(const ir::Node& node, std::vector<View> inputs, std::vector<View> outputs, const ir::Node* norm,
                                         const ir::Node* shortcut, const ir::Node* pool, const std::function<Status(StepBuilder&)>& make) {
  const DeviceOp* op = find_device_op(node);
  if (!op) return error(ErrorCode::kUnsupported, "the device has no such operator");
  for (const auto* list : {&inputs, &outputs})
    for (const View& v : *list)
      if (v.dtype != DType::kUndefined)
        if (auto n = v.dims.checked_num_elements(); !n.ok()) return std::move(n).error();
  Ready ready;
  ready.views = inputs;
  ready.views.insert(ready.views.end(), outputs.begin(), outputs.end());
  StepBuilder b(node, std::move(inputs), std::move(outputs), session_.precision, session_.device, session_.weights, &session_.faults);
  b.set_norm(norm);
  b.set_shortcut(shortcut);
  b.set_pool(pool);
  CAMEO_TRY(make ? make(b) : op->make(b));
  ready.step = b.take();
  return ready;
}

// Whether all shapes are known and every step can be made ready for the device.
bool Runner::all_on_device(const runtime::Specialization& spec) const {
  if (!spec.complete) return false;
  for (const auto& step : spec.steps) {
    const ir::Node& node = graph_.nodes[step.node];
    const DeviceOp* op = find_device_op(node);
    if (!step.shapes_known || stays_on_host(node) || !op || op->bound || !supports_types(node, graph_).ok()) return false;
    for (size_t i = 0; i < node.inputs.size(); ++i)
      if ((op->host_inputs >> std::min<size_t>(i, 31) & 1) && node.inputs[i] != ir::kNoValue &&
          spec.values[node.inputs[i]].place != Place::kConstant)
        return false;
  }
  return true;
}

// The value that a step gives as output `output` of its node.
ir::ValueId Runner::output_of(const Prepared& p, uint32_t node, size_t output) const {
  if (const auto pool = p.pools.find(node); pool != p.pools.end() && output == 0) return graph_.nodes[pool->second].outputs[0];
  return graph_.nodes[node].outputs[output];
}

// Calls `each` for every value that a step makes, with the result of a rounding that it does as well.
void Runner::for_each_output(const Prepared& p, uint32_t node, const std::function<void(ir::ValueId)>& each) const {
  for (size_t i = 0; i < graph_.nodes[node].outputs.size(); ++i)
    if (const ir::ValueId id = output_of(p, node, i); id != ir::kNoValue) each(id);
  if (const ir::Node* rounding = rounding_of(p, node)) each(rounding->outputs[0]);
}

// Calls `each` for every value that a step reads.
void Runner::for_each_input(const Prepared& p, uint32_t node, const std::function<void(ir::ValueId)>& each) const {
  for (ir::ValueId id : inputs_of(p, node))
    if (id != ir::kNoValue) each(id);
  if (const auto shortcut = p.shortcuts.find(node); shortcut != p.shortcuts.end())
    ir::for_each_use(graph_.nodes[shortcut->second], [&](ir::ValueId id) { each(id); });
}

// What the maker of a step sees of its inputs.
std::vector<View> Runner::views_of_inputs(const Prepared& p, uint32_t node) const {
  std::vector<View> inputs;
  for (ir::ValueId id : inputs_of(p, node)) inputs.push_back(view_of(p, id));
  if (p.simplified && p.simplified->images.count(node)) {
    inputs[0].dims = ops::channels_last(inputs[0].dims);
    inputs[0].channels_first = true;
    if (const DType type = p.spec.facts[graph_.nodes[node].inputs[0]].type.dtype; type != inputs[0].dtype) inputs[0].rounded = type;
  }
  if (p.simplified)
    if (const auto bias = p.simplified->biases.find(node); bias != p.simplified->biases.end()) {
      const Tensor& table = bias->second.table;
      inputs.resize(kAttentionTable);
      inputs.push_back({.dtype = table.dtype(), .storage = table.dtype(), .dims = table.dims(), .value = table});
    }
  if (const ir::Node* rounding = rounding_of(p, node)) {
    inputs.resize(rounding_place(graph_.nodes[node]).scale);
    inputs.push_back(view_of(p, rounding->inputs[1]));
  }
  if (const auto norm = p.norms.find(node); norm != p.norms.end()) {
    inputs.resize(kNormInput);
    for (ir::ValueId id : graph_.nodes[norm->second].inputs) inputs.push_back(view_of(p, id));
  }
  if (const auto shortcut = p.shortcuts.find(node); shortcut != p.shortcuts.end()) {
    inputs.resize(kShortcutInput);
    for (ir::ValueId id : graph_.nodes[shortcut->second].inputs) inputs.push_back(view_of(p, id));
  }
  return inputs;
}

// Makes every step ready now, if that can be.
Status Runner::make_fixed(Prepared& p) {
  if (!all_on_device(p.spec)) return {};
  for (ir::ValueId id : graph_.inputs) values_[id] = Value{};
  for (size_t k = 0; k < p.spec.steps.size(); ++k) {
    const ir::Node& node = graph_.nodes[p.spec.steps[k].node];
    std::vector<View> outputs;
    const uint32_t n = p.spec.steps[k].node;
    for (size_t i = 0; i < node.outputs.size(); ++i) outputs.push_back(view_of(p, output_of(p, n, i)));
    if (const ir::Node* rounding = rounding_of(p, n)) {
      outputs.resize(rounding_place(node).output);
      outputs.push_back(view_of(p, rounding->outputs[0]));
      outputs[0].unread = p.simplified->roundings.at(n).alone;
    }
    const auto joined = [&](const std::map<uint32_t, uint32_t>& nodes) {
      const auto other = nodes.find(n);
      return other == nodes.end() ? nullptr : &graph_.nodes[other->second];
    };
    const ir::Node* norm = joined(p.norms);
    if (norm) {
      outputs.resize(kNormOutput);
      outputs.push_back(view_of(p, norm->outputs[0]));
    }
    std::function<Status(StepBuilder&)> make;
    if (const auto encoder = p.encoders.find(n); encoder != p.encoders.end())
      make = [&with = encoder->second](StepBuilder& b) { return make_encoder(b, with); };
    else if (const auto layout = p.layouts.find(n); layout != p.layouts.end())
      make = [&with = layout->second](StepBuilder& b) { return make_fused_layout(b, with); };
    else if (const auto gate = p.gates.find(n); gate != p.gates.end())
      make = [&with = gate->second](StepBuilder& b) { return make_channel_gate(b, with); };
    auto ready = make_ready(node, views_of_inputs(p, n), std::move(outputs), norm, joined(p.shortcuts), joined(p.pools), make);
    if (!ready.ok()) {
      // The step may do with values that are there in the run alone, or run on the host.
      if (ready.error().code() == ErrorCode::kUnsupported) return {};
      return std::move(ready).error().in(node.describe());
    }
    p.scratch_bytes = std::max(p.scratch_bytes, ready->step.scratch_bytes);
    p.steps[k] = std::move(ready).value();
  }
  p.fixed = true;
  return p.simplified ? chain_small(p) : Status();
}

Status Runner::reserve(Prepared& p) {
  const auto grow = [&](MemoryPool::Block& block, size_t bytes) -> Status {
    if (block.data() && block.bytes() >= bytes) return {};
    CAMEO_TRY(synchronize(session_.stream));
    block = MemoryPool::Block();
    CAMEO_ASSIGN(block, session_.pool->allocate(bytes));
    return {};
  };
  CAMEO_TRY(grow(block_, p.block_bytes));
  return grow(scratch_, p.scratch_bytes);
}

Result<void*> Runner::scratch(size_t bytes) {
  if (scratch_.bytes() < bytes || !scratch_.data()) {
    CAMEO_TRY(synchronize(session_.stream));
    scratch_ = MemoryPool::Block();
    CAMEO_ASSIGN(scratch_, session_.pool->allocate(bytes));
  }
  return scratch_.data();
}

// A value that has a place in the block.
Value Runner::placed_value(const Prepared& p, ir::ValueId id) const {
  const auto& plan = p.spec.values[id];
  const ir::ValueId source = plan.place == Place::kView ? plan.source : id;
  Value v;
  v.dtype = p.spec.facts[id].type.dtype;
  v.storage = p.storage[source];
  if (const auto& shape = p.spec.facts[id].type.shape)
    if (auto dims = ir::to_dims(*shape)) v.dims = *dims;
  v.device = static_cast<std::byte*>(block_.data()) + p.offsets[source];
  return v;
}

Status Runner::launch_fixed(Prepared& p) {
  auto* base = static_cast<std::byte*>(block_.data());
  return launch_steps(
      p, 0, p.steps.size(),
      [&](ir::ValueId id) -> void* {
        if (id == ir::kNoValue) return nullptr;
        const auto& plan = p.spec.values[id];
        return base + p.offsets[plan.place == Place::kView ? plan.source : id];
      },
      scratch_.data(), session_.stream);
}

// Puts steps [first, last) on the stream.
Status Runner::launch_steps(Prepared& p, size_t first, size_t last, const AddressOf& address, void* scratch_memory, cudaStream_t stream) {
  std::vector<void*> inputs, outputs;
  const auto operands = [&](size_t k) {
    const ir::Node& node = graph_.nodes[p.spec.steps[k].node];
    inputs.clear();
    outputs.clear();
    for (ir::ValueId id : inputs_of(p, p.spec.steps[k].node)) inputs.push_back(address(id));
    for (size_t i = 0; i < node.outputs.size(); ++i) outputs.push_back(address(output_of(p, p.spec.steps[k].node, i)));
    if (const ir::Node* rounding = rounding_of(p, p.spec.steps[k].node)) {
      outputs.resize(rounding_place(node).output);
      outputs.push_back(address(rounding->outputs[0]));
    }
    if (const auto shortcut = p.shortcuts.find(p.spec.steps[k].node); shortcut != p.shortcuts.end()) {
      inputs.resize(kShortcutInput);
      for (ir::ValueId id : graph_.nodes[shortcut->second].inputs) inputs.push_back(address(id));
    }
  };
  auto* scratch = static_cast<std::byte*>(scratch_memory);
  for (size_t k = first; k < last; ++k) {
    const ir::Node& node = graph_.nodes[p.spec.steps[k].node];
    const auto chained = p.chains.find(k);
    if (chained != p.chains.end() && chained->second.last <= last && !node_times_ && !Annotation::on()) {
      std::vector<std::vector<void*>> lists;
      std::vector<Addresses> at;
      for (; k < chained->second.last; ++k) {
        operands(k);
        lists.push_back(std::move(inputs));
        lists.push_back(std::move(outputs));
      }
      for (size_t i = 0; i < lists.size(); i += 2) at.push_back({lists[i], lists[i + 1], scratch});
      if (auto status = chained->second.chain->run(at, stream); !status.ok()) return std::move(status).error().in(node.describe());
      --k;
      continue;
    }
    const Annotation range(node);
    operands(k);
    if (const auto joined = p.norms.find(p.spec.steps[k].node); joined != p.norms.end()) {
      const ir::Node& norm = graph_.nodes[joined->second];
      inputs.resize(kNormInput);
      for (ir::ValueId id : norm.inputs) inputs.push_back(address(id));
      outputs.resize(kNormOutput);
      outputs.push_back(address(norm.outputs[0]));
    }
    std::chrono::steady_clock::time_point start;
    if (node_times_) {
      CAMEO_TRY(synchronize(stream));
      start = std::chrono::steady_clock::now();
    }
    if (auto status = p.steps[k]->step.run({inputs, outputs, scratch}, stream); !status.ok())
      return std::move(status).error().in(node.describe());
    if (node_times_) {
      if (auto status = synchronize(stream); !status.ok()) return std::move(status).error().in(node.describe());
      (*node_times_)[p.spec.steps[k].node] += std::chrono::steady_clock::now() - start;
    }
  }
  return {};
}

Status Runner::run_fixed(Prepared& p) {
  // The first run at a shape goes without a graph: many shapes are seen but once.
  if (!session_.graphs || node_times_ || Annotation::on() || !is_main_ || p.runs++ == 0 || p.steps.empty()) return launch_fixed(p);
  if (!p.graph || p.captured_at != block_.data() || p.captured_scratch != scratch_.data()) {
    p.graph.reset();
    CAMEO_ASSIGN(p.graph, CapturedGraph::capture(session_.stream, [&] { return launch_fixed(p); }));
    p.captured_at = block_.data();
    p.captured_scratch = scratch_.data();
  }
  return p.graph->launch(session_.stream);
}

Status Runner::to_device(Value& value) {
  if (value.device || !value.host || !value.host->is_tensor()) return {};
  const Tensor& t = value.host->tensor;
  auto block = session_.pool->allocate(t.num_bytes());
  if (!block.ok()) return std::move(block).error();
  auto owner = std::make_shared<MemoryPool::Block>(std::move(block).value());
  CAMEO_TRY(copy(owner->data(), t.raw(), t.num_bytes(), session_.stream));
  value.device = owner->data();
  value.owner = std::move(owner);
  value.storage = t.dtype();
  return {};
}

Status Runner::fetch(Value& value) {
  if (value.host || value.dtype == DType::kUndefined) return {};
  CAMEO_ASSIGN(Tensor t, Tensor::allocate(value.dtype, value.dims));
  const void* from = value.device;
  MemoryPool::Block converted;
  if (value.storage != value.dtype && t.num_elements() > 0) {
    CAMEO_ASSIGN(converted, session_.pool->allocate(t.num_bytes()));
    StepBuilder b(graph_.nodes.front(), {}, {}, session_.precision, session_.device, session_.weights);
    const Operand source{.kind = Operand::Kind::kFixed, .fixed = value.device, .dtype = value.storage, .dims = value.dims};
    const Operand target{.kind = Operand::Kind::kFixed, .fixed = converted.data(), .dtype = value.dtype, .dims = value.dims};
    CAMEO_TRY(copy_elements(b, source, target));
    const Step step = b.take();
    CAMEO_TRY(step.run({}, session_.stream));
    from = converted.data();
  }
  CAMEO_TRY(copy(t.raw(), from, t.num_bytes(), session_.stream));
  CAMEO_TRY(synchronize(session_.stream));
  ++session_.copies_to_host;
  value.host = RtValue::of(std::move(t));
  return {};
}

// Inputs go to their place in the block.
Status Runner::copy_inputs(Prepared& p, std::span<const Value> inputs) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Value& v = inputs[i];
    if (!v.is_tensor() || v.dtype == DType::kString) continue;
    const size_t bytes = static_cast<size_t>(v.dims.num_elements()) * dtype_size(v.dtype);
    CAMEO_TRY(copy(static_cast<std::byte*>(block_.data()) + p.offsets[graph_.inputs[i]], v.device ? v.device : v.host->tensor.raw(), bytes,
                   session_.stream));
  }
  return {};
}

// Step by step, each made ready when its turn comes.
Status Runner::run_each(Prepared& p) {
  const auto& spec = p.spec;
  for (size_t id = 0; id < values_.size(); ++id)
    if (spec.values[id].place == Place::kConstant) values_[id] = Value::of(RtValue::of(spec.facts[id].constant));
  for (size_t k = 0; k < spec.steps.size(); ++k) {
    if (session_.cancelled.load(std::memory_order_relaxed)) return error(ErrorCode::kCancelled, "the run was cancelled");
    const ir::Node& node = graph_.nodes[spec.steps[k].node];
    const auto start = std::chrono::steady_clock::now();
    if (auto status = run_step(p, k); !status.ok()) return std::move(status).error().in(node.describe());
    if (node_times_) {
      CAMEO_TRY(synchronize(session_.stream));
      (*node_times_)[spec.steps[k].node] += std::chrono::steady_clock::now() - start;
    }
    for (ir::ValueId id : spec.steps[k].released) values_[id] = Value{};
  }
  return {};
}

Status Runner::run(std::span<const Value> inputs, std::vector<Value>& outputs, Event* inputs_copied, bool outputs_to_host) {
  std::vector<ops::Fact> facts;
  for (const Value& v : inputs) facts.push_back(ops::Fact::of(v.type()));
  CAMEO_ASSIGN(Prepared * p, prepare(facts));
  current_ = p;
  CAMEO_TRY(reserve(*p));
  for (Value& v : values_) v = Value{};
  const auto& spec = p->spec;
  for (size_t i = 0; i < graph_.inputs.size(); ++i) {
    const ir::ValueId id = graph_.inputs[i];
    Value& v = values_[id];
    v = inputs[i];
    if (!v.is_tensor() || v.dtype == DType::kString) continue;
    // Inputs go to their place in the block, where captured work reads them.
    v.device = static_cast<std::byte*>(block_.data()) + p->offsets[id];
    v.storage = v.dtype;
    v.owner = nullptr;
  }
  ran_in_parts_ = runs_in_parts(*p, inputs, outputs_to_host);
  if (ran_in_parts_) {
    CAMEO_TRY(run_in_parts(*p, inputs, inputs_copied));
  } else {
    CAMEO_TRY(copy_inputs(*p, inputs));
    if (inputs_copied) CAMEO_TRY(inputs_copied->record(session_.stream));
    CAMEO_TRY(p->fixed ? run_fixed(*p) : run_each(*p));
  }
  outputs.clear();
  for (ir::ValueId id : graph_.outputs) {
    const Place place = spec.values[id].place;
    if (place == Place::kConstant)
      outputs.push_back(Value::of(RtValue::of(spec.facts[id].constant)));
    else if (place == Place::kInput || place == Place::kRunTime || !p->fixed)
      outputs.push_back(values_[id]);
    else
      outputs.push_back(placed_value(*p, id));
  }
  return {};
}

}  // namespace cameo::cuda
