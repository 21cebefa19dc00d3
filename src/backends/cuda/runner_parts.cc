// Runner, runs whose first or last steps are taken part by part of the batch, beside the copies of inputs and outputs.
#include <algorithm>
#include <bit>

#include "backends/cuda/annotate.h"
#include "backends/cuda/runner.h"

namespace cameo::cuda {
namespace {

using ops::RtValue;
using Place = runtime::Specialization::Place;

constexpr size_t kAlignment = 256;                  // of parts; libraries count on it
constexpr size_t kLeastCopied = size_t{2} << 20;    // bytes of inputs or outputs that parts are tried for
constexpr size_t kLeastOfPart = size_t{512} << 10;  // bytes: what is less takes as long as a copy does to begin
constexpr int kMostParts = 16;

size_t bytes_of(const Dims& dims, DType type) { return static_cast<size_t>(dims.num_elements()) * dtype_size(type); }
// Of a value in memory, in bytes.
size_t bytes_of(const runtime::Specialization& spec, ir::ValueId id, DType storage) {
  return bytes_of(ir::to_dims(*spec.facts[id].type.shape).value_or(Dims()), storage);
}

// How a run is divided, as a choice: 0 not at all, else 1 + 64 log2(parts) + 8 (eighths of the steps in the head) + (in the tail).
struct Division {
  int parts = 1, head = 0, tail = 0;
  int code() const { return parts == 1 ? 0 : 1 + 64 * (std::bit_width(static_cast<unsigned>(parts)) - 1) + 8 * head + tail; }
  static Division of(int code) {
    if (code < 65 || code > 320) return {};
    return {1 << (code - 1) / 64, (code - 1) % 64 / 8, (code - 1) % 8};
  }
};

}  // namespace

bool Runner::runs_in_parts(const Prepared& p) const {
  return p.overlap && p.runs > 0 && session_.graphs && !node_times_ && !Annotation::on();
}

// The work at 1/parts of the batch: the symbol that is the first extent of the largest input or output. Null where there is none.
Result<std::unique_ptr<Runner::Prepared>> Runner::make_part(const Prepared& p, int parts) {
  const auto symbol_of = [&](ir::ValueId id) {
    const ir::Type& type = graph_.value(id).type;
    return type.is_tensor() && type.shape && !type.shape->empty() ? type.shape->front().symbol_name().value_or("") : std::string();
  };
  std::string batch;
  size_t most = 0;
  for (const auto* list : {&graph_.inputs, &graph_.outputs})
    for (ir::ValueId id : *list) {
      const auto dims = p.spec.facts[id].type.shape ? ir::to_dims(*p.spec.facts[id].type.shape) : std::nullopt;
      if (!dims || bytes_of(*dims, p.spec.facts[id].type.dtype) <= most) continue;
      most = bytes_of(*dims, p.spec.facts[id].type.dtype);
      batch = symbol_of(id);
    }
  if (batch.empty()) return nullptr;
  std::vector<ops::Fact> facts;
  bool divided = false;
  for (ir::ValueId id : graph_.inputs) {
    ops::Fact fact = ops::Fact::of(p.spec.facts[id].type);
    const auto dims = fact.type.shape ? ir::to_dims(*fact.type.shape) : std::nullopt;
    if (!dims) return nullptr;
    if (symbol_of(id) == batch) {
      if ((*dims)[0] % parts != 0 || (*dims)[0] == 0) return nullptr;
      fact.type.shape->front() = (*dims)[0] / parts;
      divided = true;
    }
    facts.push_back(std::move(fact));
  }
  if (!divided) return nullptr;
  CAMEO_ASSIGN(Prepared made, make_prepared(facts, p.simplified.has_value(), !(p.shortcuts.empty() && p.pools.empty()), &p));
  if (!made.fixed || !made.norms.empty() || !made.encoders.empty() || made.shortcuts != p.shortcuts || made.pools != p.pools)
    return nullptr;
  return std::make_unique<Prepared>(std::move(made));
}

// The division with so many eighths of the steps in the head and the tail, as far as that is allowed; takes `part` if it is. Null
// where it is not.
std::unique_ptr<Runner::Overlap> Runner::make_overlap(Prepared& p, std::unique_ptr<Prepared>& part, int parts, int head_eighths,
                                                      int tail_eighths) const {
  const auto& whole = p.spec;
  const size_t steps = whole.steps.size();
  const auto input = [&](size_t step, size_t i) { return inputs_of(p, whole.steps[step].node)[i]; };
  // What a convolution takes over is one whose values have the batch as first extent, as has its own.
  RowParts most = rows_apart(graph_, whole, part->spec, parts, input);
  for (size_t k = 0; k < steps; ++k) {
    const uint32_t n = whole.steps[k].node;
    bool apart = has_rows(whole, part->spec, output_of(p, n, 0), parts);
    if (const auto shortcut = p.shortcuts.find(n); shortcut != p.shortcuts.end())
      apart = apart && has_rows(whole, part->spec, graph_.nodes[shortcut->second].inputs[0], parts);
    if (apart || (!p.shortcuts.count(n) && !p.pools.count(n))) continue;
    if (k < most.head) most.head = k;
    if (k >= most.tail) most.tail = k + 1;
  }
  // The first and the last step that makes a value and reads it, by value.
  constexpr size_t kNone = SIZE_MAX;
  std::vector<size_t> made(whole.values.size(), kNone), read(whole.values.size(), 0);
  const auto source = [&](ir::ValueId id) { return whole.values[id].place == Place::kView ? whole.values[id].source : id; };
  for (size_t k = 0; k < steps; ++k) {
    const uint32_t n = whole.steps[k].node;
    for_each_input(p, n, [&](ir::ValueId id) { read[source(id)] = k; });
    for (size_t i = 0; i < graph_.nodes[n].outputs.size(); ++i)
      if (const ir::ValueId id = output_of(p, n, i); id != ir::kNoValue) made[source(id)] = k;
  }
  const auto kept_apart = [&](ir::ValueId id) {
    return has_rows(whole, part->spec, id, parts) && p.storage[id] == part->storage[id] && !p.beside.count(id) && !part->beside.count(id) &&
           bytes_of(part->spec, id, part->storage[id]) % kAlignment == 0;
  };
  // Whether what lies between the steps before `cut` and those from it on can lie there part behind part.
  const auto may_cut = [&](size_t cut) {
    for (size_t id = 0; id < made.size(); ++id)
      if (made[id] != kNone && made[id] < cut && read[id] >= cut && !kept_apart(static_cast<ir::ValueId>(id))) return false;
    return true;
  };
  auto o = std::make_unique<Overlap>();
  o->parts = parts;
  o->steps.head = std::min(most.head, steps * static_cast<size_t>(head_eighths) / 8);
  while (o->steps.head > 0 && o->steps.head < steps && !may_cut(o->steps.head)) --o->steps.head;
  o->steps.tail = std::max({most.tail, steps - steps * static_cast<size_t>(tail_eighths) / 8, o->steps.head});
  while (o->steps.tail < steps && !may_cut(o->steps.tail)) ++o->steps.tail;
  if (o->steps.head == 0 && o->steps.tail == steps) return nullptr;
  const auto in_parts = [&](size_t step) { return step < o->steps.head || step >= o->steps.tail; };
  std::vector<char> read_in_parts(made.size(), 0);
  for (size_t k = 0; k < steps; ++k)
    if (in_parts(k)) for_each_input(p, whole.steps[k].node, [&](ir::ValueId id) { read_in_parts[source(id)] = 1; });
  o->in_whole.assign(made.size(), 0);
  o->strides.assign(made.size(), 0);
  for (size_t i = 0; i < made.size(); ++i) {
    const auto id = static_cast<ir::ValueId>(i);
    const Place place = whole.values[i].place;
    if (place == Place::kView || place == Place::kConstant) continue;
    const bool made_in_parts = made[i] != kNone && in_parts(made[i]);
    const bool crosses = made[i] != kNone &&
                         ((made[i] < o->steps.head && read[i] >= o->steps.head) || (made[i] < o->steps.tail && read[i] >= o->steps.tail));
    if (place != Place::kInput && place != Place::kOutput && !crosses) continue;
    o->in_whole[i] = 1;
    // What parts neither read nor make is copied as one.
    if (!made_in_parts && !read_in_parts[i]) continue;
    if (!has_rows(whole, part->spec, id, parts)) {
      if (made_in_parts) return nullptr;
      continue;
    }
    if (!kept_apart(id)) return nullptr;
    o->strides[i] = bytes_of(part->spec, id, part->storage[i]);
  }
  o->part = std::move(part);
  return o;
}

// The memory that a divided run needs besides that of a whole one.
Status Runner::reserve_parts(Prepared& p) {
  Overlap& o = *p.overlap;
  p.scratch_bytes = std::max(p.scratch_bytes, o.part->scratch_bytes);
  CAMEO_TRY(reserve(p));
  for (int lane = 0; lane < 2; ++lane) {
    CAMEO_ASSIGN(o.memory[lane], session_.pool->allocate(o.part->block_bytes));
    CAMEO_ASSIGN(o.scratch[lane], session_.pool->allocate(o.part->scratch_bytes));
  }
  return {};
}

// Captures the steps of each part and those in between, where their addresses have changed.
Status Runner::capture_parts(Prepared& p) {
  Overlap& o = *p.overlap;
  Prepared& part = *o.part;
  if (o.captured_at == block_.data() && o.captured_scratch == scratch_.data() && o.captured_at) return {};
  o.captured_at = nullptr;
  o.heads.clear();
  o.tails.clear();
  o.middle.reset();
  const size_t steps = p.steps.size();
  auto* base = static_cast<std::byte*>(block_.data());
  const auto whole = [&](ir::ValueId id) -> void* {
    if (id == ir::kNoValue) return nullptr;
    const auto& plan = p.spec.values[id];
    return base + p.offsets[plan.place == Place::kView ? plan.source : id];
  };
  const auto of_part = [&](int c) {
    return [&, c](ir::ValueId id) -> void* {
      if (id == ir::kNoValue) return nullptr;
      const auto& plan = part.spec.values[id];
      const ir::ValueId source = plan.place == Place::kView ? plan.source : id;
      if (o.in_whole[source]) return base + p.offsets[source] + static_cast<size_t>(c) * o.strides[source];
      return static_cast<std::byte*>(o.memory[c % 2].data()) + part.offsets[source];
    };
  };
  // Kernels are loaded before they are captured. What they read is there, but may be anything: indices out of range are no faults.
  CAMEO_TRY(launch_steps(part, 0, o.steps.head, of_part(0), o.scratch[0].data()));
  CAMEO_TRY(launch_steps(part, o.steps.tail, steps, of_part(0), o.scratch[0].data()));
  CAMEO_TRY(synchronize(session_.stream));
  (void)session_.faults.take();
  for (int c = 0; c < o.parts; ++c) {
    const auto capture = [&](size_t first, size_t last, std::vector<CapturedGraph>& to) -> Status {
      if (first == last) return {};
      CAMEO_ASSIGN(CapturedGraph graph, CapturedGraph::capture(session_.stream, [&] {
                     return launch_steps(part, first, last, of_part(c), o.scratch[c % 2].data());
                   }));
      to.push_back(std::move(graph));
      return {};
    };
    CAMEO_TRY(capture(0, o.steps.head, o.heads));
    CAMEO_TRY(capture(o.steps.tail, steps, o.tails));
    while (o.copied.size() <= static_cast<size_t>(c)) {
      CAMEO_ASSIGN(Event event, Event::create());
      o.copied.push_back(std::move(event));
    }
    while (o.done.size() <= static_cast<size_t>(c)) {
      CAMEO_ASSIGN(Event event, Event::create());
      o.done.push_back(std::move(event));
    }
  }
  if (o.steps.head < o.steps.tail) {
    CAMEO_ASSIGN(o.middle, CapturedGraph::capture(session_.stream,
                                                  [&] { return launch_steps(p, o.steps.head, o.steps.tail, whole, scratch_.data()); }));
  }
  if (!copy_in_) {
    CAMEO_ASSIGN(Stream in, Stream::create());
    CAMEO_ASSIGN(Stream out, Stream::create());
    CAMEO_ASSIGN(Stream beside, Stream::create());
    CAMEO_ASSIGN(Event begun, Event::create());
    CAMEO_ASSIGN(Event copied_out, Event::create());
    CAMEO_ASSIGN(Event beside_begins, Event::create());
    CAMEO_ASSIGN(Event beside_done, Event::create());
    copy_in_ = std::move(in);
    copy_out_ = std::move(out);
    beside_ = std::move(beside);
    begun_ = std::move(begun);
    beside_begins_ = std::move(beside_begins);
    beside_done_ = std::move(beside_done);
    copied_out_ = std::move(copied_out);
  }
  o.captured_at = block_.data();
  o.captured_scratch = scratch_.data();
  return {};
}

Status Runner::run_in_parts(Prepared& p, std::span<const Value> inputs, Event* inputs_copied) {
  CAMEO_TRY(capture_parts(p));
  Overlap& o = *p.overlap;
  const cudaStream_t stream = session_.stream;
  if (o.heads.empty()) {
    CAMEO_TRY(copy_inputs(p, inputs));
    if (inputs_copied) CAMEO_TRY(inputs_copied->record(stream));
  } else {
    // What ran before may still read the inputs' memory.
    CAMEO_TRY(begun_->record(stream));
    CAMEO_TRY(begun_->make_wait(copy_in_->get()));
  }
  const bool ends_in_head = o.steps.head == p.steps.size();
  const auto stream_of = [&](size_t c) { return c % 2 == 0 ? stream : beside_->get(); };
  const auto join = [&]() -> Status {
    CAMEO_TRY(beside_done_->record(beside_->get()));
    return beside_done_->make_wait(stream);
  };
  for (size_t c = 0; c < o.heads.size(); ++c) {
    for (size_t i = 0; i < inputs.size(); ++i) {
      const Value& v = inputs[i];
      const ir::ValueId id = graph_.inputs[i];
      const size_t stride = o.strides[id], bytes = stride ? stride : bytes_of(v.dims, v.dtype);
      if (stride == 0 && c > 0) continue;
      const auto* from = static_cast<const std::byte*>(v.device ? v.device : v.host->tensor.raw());
      CAMEO_TRY(copy(static_cast<std::byte*>(block_.data()) + p.offsets[id] + c * stride, from + c * stride, bytes, copy_in_->get()));
    }
    CAMEO_TRY(o.copied[c].record(copy_in_->get()));
    CAMEO_TRY(o.copied[c].make_wait(stream_of(c)));
    if (c == 0 && inputs_copied) CAMEO_TRY(inputs_copied->record(stream));
    CAMEO_TRY(o.heads[c].launch(stream_of(c)));
    if (ends_in_head) CAMEO_TRY(o.done[c].record(stream_of(c)));
  }
  if (!o.heads.empty()) CAMEO_TRY(join());
  if (o.middle) CAMEO_TRY(o.middle->launch(stream));
  if (o.tails.empty()) return {};
  CAMEO_TRY(beside_begins_->record(stream));
  CAMEO_TRY(beside_begins_->make_wait(beside_->get()));
  for (size_t c = 0; c < o.tails.size(); ++c) {
    CAMEO_TRY(o.tails[c].launch(stream_of(c)));
    CAMEO_TRY(o.done[c].record(stream_of(c)));
  }
  return join();
}

Status Runner::copy_outputs(std::span<const Value> outputs, std::span<void* const> to) {
  const Overlap* o = ran_in_parts_ && current_ ? current_->overlap.get() : nullptr;
  const bool in_parts = o && (!o->tails.empty() || o->steps.head == current_->steps.size());
  const auto stride_of = [&](size_t k) { return in_parts ? o->strides[graph_.outputs[k]] : 0; };
  if (in_parts) {
    for (size_t c = 0; c < o->done.size(); ++c) {
      CAMEO_TRY(o->done[c].make_wait(copy_out_->get()));
      for (size_t k = 0; k < outputs.size(); ++k) {
        const size_t stride = stride_of(k);
        if (!to[k] || stride == 0) continue;
        CAMEO_TRY(copy(static_cast<std::byte*>(to[k]) + c * stride, static_cast<const std::byte*>(outputs[k].device) + c * stride, stride,
                       copy_out_->get()));
      }
    }
    CAMEO_TRY(copied_out_->record(copy_out_->get()));
  }
  for (size_t k = 0; k < outputs.size(); ++k)
    if (to[k] && stride_of(k) == 0) CAMEO_TRY(copy(to[k], outputs[k].device, bytes_of(outputs[k].dims, outputs[k].dtype), session_.stream));
  return in_parts ? copied_out_->make_wait(session_.stream) : Status();
}

// Milliseconds of a run with all its copies.
Result<double> Runner::time_run(Prepared& p, std::span<const Value> inputs, std::span<void* const> to) {
  CAMEO_ASSIGN(Event start, Event::create());
  CAMEO_ASSIGN(Event end, Event::create());
  std::vector<Value> outputs;
  for (ir::ValueId id : graph_.outputs) outputs.push_back(placed_value(p, id));
  double least = 1e30;
  for (int round = 0; round < 5; ++round) {
    CAMEO_TRY(start.record(session_.stream));
    ran_in_parts_ = runs_in_parts(p);
    if (ran_in_parts_) {
      CAMEO_TRY(run_in_parts(p, inputs, nullptr));
    } else {
      CAMEO_TRY(copy_inputs(p, inputs));
      CAMEO_TRY(run_fixed(p));
    }
    CAMEO_TRY(copy_outputs(outputs, to));
    CAMEO_TRY(end.record(session_.stream));
    CAMEO_TRY(synchronize(session_.stream));
    CAMEO_ASSIGN(const double time, end.since(start));
    // The first runs load and capture.
    if (round > 1) least = std::min(least, time);
  }
  return least;
}

// Decides whether the run is divided, by measuring it with inputs of zeros.
Status Runner::choose_overlap(Prepared& p) {
  if (!is_main_ || !p.fixed || !p.norms.empty() || !p.encoders.empty() || (p.simplified && !p.simplified->roundings.empty()) ||
      !session_.graphs || !session_.device.has_gpu() || p.steps.size() < 4 || Annotation::on())
    return {};
  size_t in_bytes = 0, out_bytes = 0;
  std::string shapes;
  for (const auto* list : {&graph_.inputs, &graph_.outputs})
    for (ir::ValueId id : *list) {
      const auto& value = p.spec.values[id];
      if (list == &graph_.outputs && value.place != Place::kOutput) return {};
      const ir::Type& type = p.spec.facts[id].type;
      const Dims dims = *ir::to_dims(*type.shape);
      (list == &graph_.inputs ? in_bytes : out_bytes) += bytes_of(dims, type.dtype);
      shapes += fmt::format(" {}{}", dtype_name(type.dtype), dims.to_string());
    }
  if (std::max(in_bytes, out_bytes) < kLeastCopied) return {};
  const std::string problem = fmt::format("overlap {} steps {}:{}", p.steps.size(), static_cast<int>(session_.precision), shapes);
  const int known = session_.device.known_choice(problem);
  if (known == 0) return {};
  // Where it cannot be done, for want of memory for example, the run stays whole.
  const auto gives_up = [&]() -> Status {
    p.overlap.reset();
    return usable();
  };
  if (known > 0) {
    const Division d = Division::of(known);
    if (d.parts == 1) return {};
    auto part = make_part(p, d.parts);
    if (!part.ok()) return gives_up();
    if (*part) p.overlap = make_overlap(p, *part, d.parts, d.head, d.tail);
    if (p.overlap && !reserve_parts(p).ok()) return gives_up();
    return {};
  }
  const auto measured = [&]() -> Status {
    std::vector<PinnedBlock> blocks;
    std::vector<Value> inputs;
    std::vector<void*> to;
    for (ir::ValueId id : graph_.inputs) {
      const ir::Type& type = p.spec.facts[id].type;
      const Dims dims = *ir::to_dims(*type.shape);
      CAMEO_ASSIGN(PinnedBlock block, PinnedBlock::allocate(bytes_of(dims, type.dtype)));
      std::fill_n(static_cast<std::byte*>(block.data()), block.bytes(), std::byte{0});
      inputs.push_back(Value::of(RtValue::of(Tensor::view(type.dtype, dims, block.data()))));
      blocks.push_back(std::move(block));
    }
    for (ir::ValueId id : graph_.outputs) {
      const ir::Type& type = p.spec.facts[id].type;
      CAMEO_ASSIGN(PinnedBlock block, PinnedBlock::allocate(bytes_of(*ir::to_dims(*type.shape), type.dtype)));
      to.push_back(block.data());
      blocks.push_back(std::move(block));
    }
    const auto before = current_;
    current_ = &p;
    CAMEO_TRY(reserve(p));
    CAMEO_ASSIGN(double least, time_run(p, inputs, to));
    Division best;
    std::unique_ptr<Overlap> chosen;
    for (int parts = 2; parts <= kMostParts; parts *= 2) {
      if (std::max(in_bytes, out_bytes) / static_cast<size_t>(parts) < kLeastOfPart) break;
      CAMEO_ASSIGN(std::unique_ptr<Prepared> part, make_part(p, parts));
      if (!part) continue;
      Division best_here{.parts = parts};
      double least_here = 1e30;
      RowParts last;
      const auto attempt = [&](const Division& d) -> Status {
        auto o = make_overlap(p, part, parts, d.head, d.tail);
        if (!o) return {};
        if (o->steps.head == last.head && o->steps.tail == last.tail) {
          part = std::move(o->part);
          return {};
        }
        last = o->steps;
        p.overlap = std::move(o);
        CAMEO_TRY(reserve_parts(p));
        const auto time = time_run(p, inputs, to);
        part = std::move(p.overlap->part);
        p.overlap.reset();
        if (!time.ok()) return std::move(time).error();
        if (*time < least_here) {
          least_here = *time;
          best_here = d;
        }
        return {};
      };
      // What goes on in parts costs more than it does as one: longer heads and tails are tried while they are better.
      if (in_bytes >= kLeastCopied)
        for (int head = 1; head < 7 && head <= best_here.head + 2; ++head) CAMEO_TRY(attempt({.parts = parts, .head = head}));
      const int head = best_here.head;
      if (out_bytes >= kLeastCopied)
        for (int tail = 1; tail + head < 8 && tail <= best_here.tail + 2; ++tail)
          CAMEO_TRY(attempt({.parts = parts, .head = head, .tail = tail}));
      // More parts than are better are not tried.
      if (least_here >= (chosen ? 0.995 : 0.98) * least) {
        if (chosen) break;
        continue;
      }
      least = least_here;
      best = best_here;
      chosen = make_overlap(p, part, parts, best.head, best.tail);
    }
    p.overlap = std::move(chosen);
    if (p.overlap) CAMEO_TRY(reserve_parts(p));
    current_ = before;
    (void)session_.faults.take();
    session_.device.remember_choice(problem, best.code());
    return {};
  };
  if (Status status = measured(); !status.ok()) {
    current_ = nullptr;
    return gives_up();
  }
  return {};
}

}  // namespace cameo::cuda
