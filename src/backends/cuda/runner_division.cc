// Runner, how a run is divided among parts of the batch: what may be, what its values need, and which way is the fastest.
#include <algorithm>
#include <set>

#include "backends/cuda/annotate.h"
#include "backends/cuda/runner.h"

namespace cameo::cuda {
namespace {

using ops::RtValue;
using Place = runtime::Specialization::Place;

constexpr size_t kAlignment = 256;                  // of parts; libraries count on it
constexpr size_t kLeastOfPart = size_t{256} << 10;  // bytes: what is less takes as long as a copy does to begin
constexpr double kBetter = 0.996;                   // of a time: what is worth a change
// Cuts that are tried.
constexpr int kCuts[] = {0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 18, 20, 24, 28, 32, 36, 40, 48, 56, 64, 80, 96, 112, 127};
constexpr int kMostCuts = std::size(kCuts);
constexpr int kStride = 3;            // from one to the next at first
constexpr int kMostRefinements = 30;  // measurements

size_t bytes_of(const Dims& dims, DType type) { return static_cast<size_t>(dims.num_elements()) * dtype_size(type); }
// Of a value in memory, in bytes.
size_t bytes_of(const runtime::Specialization& spec, ir::ValueId id, DType storage) {
  return bytes_of(ir::to_dims(*spec.facts[id].type.shape).value_or(Dims()), storage);
}

}  // namespace

// The run at 1/parts of the batch, the symbol that is the first extent of the largest input or output. Null where there is none.
Result<std::shared_ptr<Runner::Part>> Runner::make_part(const Prepared& p, int parts) {
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
  auto part = std::make_shared<Part>();
  CAMEO_ASSIGN(part->prepared, make_prepared(facts, p.simplified.has_value(), !(p.shortcuts.empty() && p.pools.empty()), &p));
  const Prepared& made = part->prepared;
  if (!made.fixed || !made.norms.empty() || !made.encoders.empty() || made.shortcuts != p.shortcuts || made.pools != p.pools ||
      !std::equal(made.gates.begin(), made.gates.end(), p.gates.begin(), p.gates.end(),
                  [](const auto& a, const auto& b) { return a.first == b.first; }) ||
      !std::equal(made.layouts.begin(), made.layouts.end(), p.layouts.begin(), p.layouts.end(),
                  [](const auto& a, const auto& b) { return a.first == b.first && a.second.inputs == b.second.inputs; }))
    return nullptr;
  // Steps that put elements elsewhere take the whole batch.
  const auto input = [&](size_t step, size_t i) {
    const uint32_t node = p.spec.steps[step].node;
    return p.layouts.count(node) || (p.gates.count(node) && i > 0) ? ir::kNoValue : inputs_of(p, node)[i];
  };
  part->apart = rows_apart(graph_, p.spec, made.spec, parts, input);
  // What a convolution takes over is one whose values have the batch as first extent, as has its own.
  for (size_t k = 0; k < p.spec.steps.size(); ++k) {
    const uint32_t n = p.spec.steps[k].node;
    const auto shortcut = p.shortcuts.find(n);
    if (shortcut == p.shortcuts.end() && !p.pools.count(n)) continue;
    bool apart = true;
    for_each_output(p, n, [&](ir::ValueId id) { apart = apart && has_rows(p.spec, made.spec, id, parts); });
    if (shortcut != p.shortcuts.end()) apart = apart && has_rows(p.spec, made.spec, graph_.nodes[shortcut->second].inputs[0], parts);
    if (apart) continue;
    part->apart.head = std::min(part->apart.head, k);
    part->apart.tail = std::max(part->apart.tail, k + 1);
  }
  return part;
}

// The division as far as it may be; null where nothing is left of it.
std::unique_ptr<Runner::Overlap> Runner::make_overlap(const Prepared& p, const Parts& parts, const Division& division) const {
  const auto& whole = p.spec;
  const size_t steps = whole.steps.size();
  constexpr size_t kNone = SIZE_MAX;
  // The first and the last step that makes a value and reads it, by value.
  std::vector<size_t> made(whole.values.size(), kNone), read(whole.values.size(), 0);
  const auto source = [&](ir::ValueId id) { return whole.values[id].place == Place::kView ? whole.values[id].source : id; };
  for (size_t k = 0; k < steps; ++k) {
    const uint32_t n = whole.steps[k].node;
    for_each_input(p, n, [&](ir::ValueId id) { read[source(id)] = k; });
    for_each_output(p, n, [&](ir::ValueId id) { made[source(id)] = read[source(id)] = k; });
  }
  const auto kept_apart = [&](ir::ValueId id, int level) {
    const Prepared& part = parts[level]->prepared;
    return has_rows(whole, part.spec, id, Division::parts_of(level)) && p.storage[id] == part.storage[id] && !p.beside.count(id) &&
           !part.beside.count(id) && bytes_of(part.spec, id, part.storage[id]) % kAlignment == 0;
  };
  // Whether what lies between the steps before `cut` and those from it on can lie there part behind part.
  const auto may_cut = [&](size_t cut, const Division::Cuts& cuts) {
    if (cut == 0 || cut == steps) return true;
    for (size_t id = 0; id < made.size(); ++id) {
      if (made[id] == kNone || made[id] >= cut || read[id] < cut) continue;
      for (int level = 0; level < Division::kLevels; ++level)
        if (cuts[level] > (level + 1 < Division::kLevels ? cuts[level + 1] : 0) && parts[level] &&
            !kept_apart(static_cast<ir::ValueId>(id), level))
          return false;
    }
    return true;
  };
  auto o = std::make_unique<Overlap>();
  Division& d = o->division;
  for (int level = Division::kLevels - 1, before = 0; level >= 0; --level) {
    int cut = before;
    if (division.head[level] > before && parts[level])
      cut = std::min<int>(division.head[level], static_cast<int>(std::min(steps, parts[level]->apart.head)));
    while (cut > before && !may_cut(static_cast<size_t>(cut), division.head)) --cut;
    d.head[level] = before = std::max(cut, before);
  }
  const int rest = static_cast<int>(std::min<size_t>(steps - static_cast<size_t>(d.head[0]), Division::kMostSteps));
  for (int level = Division::kLevels - 1, before = 0; level >= 0; --level) {
    int cut = before;
    if (division.tail[level] > before && parts[level])
      cut = std::min(
          {division.tail[level], rest, static_cast<int>(std::min<size_t>(steps - parts[level]->apart.tail, Division::kMostSteps))});
    while (cut > before && !may_cut(steps - static_cast<size_t>(cut), division.tail)) --cut;
    d.tail[level] = before = std::max(cut, before);
  }
  if (d.none()) return nullptr;
  o->segments = segments_of(d, steps);
  o->tasks = tasks_of(o->segments);
  std::vector<size_t> segment_of(steps, 0);
  for (size_t s = 0; s < o->segments.size(); ++s) {
    std::fill(segment_of.begin() + static_cast<ptrdiff_t>(o->segments[s].first),
              segment_of.begin() + static_cast<ptrdiff_t>(o->segments[s].last), s);
    if (const int level = o->segments[s].level; level >= 0) o->parts[level] = parts[level];
  }
  // By level, and for the whole batch: whether its steps read or make a value. And whether the steps at the beginning read it.
  std::array<std::vector<char>, Division::kLevels> touched;
  for (auto& list : touched) list.assign(made.size(), 0);
  std::vector<char> read_first(made.size(), 0);
  for (size_t k = 0; k < steps; ++k) {
    const int level = o->segments[segment_of[k]].level;
    if (level < 0) continue;
    const uint32_t n = whole.steps[k].node;
    const auto touch = [&](ir::ValueId id) {
      touched[level][source(id)] = 1;
      if (k < static_cast<size_t>(d.head[0])) read_first[source(id)] = 1;
    };
    for_each_input(p, n, touch);
    for_each_output(p, n, touch);
  }
  // Where the whole batch begins and ends, or the first steps meet the last ones, what is alive lies in the memory of the whole.
  const auto begin = static_cast<size_t>(d.head[0]), end = steps - static_cast<size_t>(d.tail[0]);
  o->lies.assign(made.size(), Overlap::Lies::kInLane);
  o->between_offsets.assign(made.size(), 0);
  for (auto& list : o->strides) list.assign(made.size(), 0);
  for (size_t i = 0; i < made.size(); ++i) {
    const auto id = static_cast<ir::ValueId>(i);
    const Place place = whole.values[i].place;
    if (place == Place::kView || place == Place::kConstant) continue;
    const bool crosses = made[i] != kNone && segment_of[made[i]] != segment_of[read[i]];
    const auto alive_at = [&](size_t step) { return made[i] < step && read[i] >= step; };
    if (place != Place::kInput && place != Place::kOutput && !crosses) continue;
    if (place != Place::kInput && place != Place::kOutput && !alive_at(begin) && !alive_at(end)) {
      o->lies[i] = Overlap::Lies::kBetween;
      o->between_offsets[i] = o->between_bytes;
      o->between_bytes += (bytes_of(whole, id, p.storage[id]) + 511) / 512 * 512;
    } else {
      o->lies[i] = Overlap::Lies::kInWhole;
    }
    for (int level = 0; level < Division::kLevels; ++level) {
      if (!o->parts[level]) continue;
      const bool made_here = made[i] != kNone && o->segments[segment_of[made[i]]].level == level;
      const bool apart = kept_apart(id, level);
      if (apart) o->strides[level][i] = bytes_of(o->parts[level]->prepared.spec, id, p.storage[id]);
      // An input of another kind is the same for all parts.
      if (touched[level][i] && !apart && (made_here || has_rows(whole, o->parts[level]->prepared.spec, id, Division::parts_of(level))))
        return nullptr;
    }
  }
  for (ir::ValueId id : graph_.inputs) o->read_first.push_back(read_first[id]);
  for (ir::ValueId id : graph_.outputs) {
    if (made[source(id)] == kNone) return nullptr;
    o->made_in.push_back(segment_of[made[source(id)]]);
    for (auto& strides : o->strides) strides[id] = strides[source(id)];
  }
  return o;
}

// Milliseconds of a run with all its copies.
Result<double> Runner::time_run(Prepared& p, std::span<const Value> inputs, std::span<const Target> to) {
  CAMEO_ASSIGN(Event start, Event::create());
  CAMEO_ASSIGN(Event end, Event::create());
  std::vector<Value> outputs;
  for (ir::ValueId id : graph_.outputs) outputs.push_back(placed_value(p, id));
  double least = 1e30;
  for (int round = 0; round < 5; ++round) {
    CAMEO_TRY(start.record(session_.stream));
    ran_in_parts_ = p.overlap && p.runs > 0;
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

// Decides whether the run is divided, and how.
Status Runner::choose_overlap(Prepared& p) {
  if (!is_main_ || !p.fixed || !p.norms.empty() || !p.encoders.empty() || (p.simplified && !p.simplified->roundings.empty()) ||
      !session_.graphs || !session_.device.has_gpu() || p.steps.size() < 4 || Annotation::on())
    return {};
  size_t in_bytes = 0, out_bytes = 0;
  std::string shapes;
  for (const auto* list : {&graph_.inputs, &graph_.outputs})
    for (ir::ValueId id : *list) {
      const auto& value = p.spec.values[id];
      const Place place = value.place == Place::kView ? p.spec.values[value.source].place : value.place;
      if (list == &graph_.outputs && place != Place::kOutput) return {};
      const ir::Type& type = p.spec.facts[id].type;
      const Dims dims = *ir::to_dims(*type.shape);
      (list == &graph_.inputs ? in_bytes : out_bytes) += bytes_of(dims, type.dtype);
      shapes += fmt::format(" {}{}", dtype_name(type.dtype), dims.to_string());
    }
  if (std::max(in_bytes, out_bytes) < Division::kLeastCopied) return {};
  // Models of the same extents differ by their operators (FNV-1a): lower precision has others.
  uint32_t kinds = 2166136261u;
  for (const auto& step : p.spec.steps)
    for (char c : graph_.nodes[step.node].op->name) kinds = (kinds ^ static_cast<uint8_t>(c)) * 16777619u;
  const std::string problem =
      fmt::format("parts of {} steps {:x} {}:{}", p.steps.size(), kinds, static_cast<int>(session_.precision), shapes);
  const int head = session_.device.known_choice("first " + problem), tail = session_.device.known_choice("last " + problem);
  if (head == 0 && tail == 0) return {};
  // Where it cannot be done, for want of memory for example, the run stays whole.
  const auto gives_up = [&]() -> Status {
    p.overlap.reset();
    return usable();
  };
  if (head >= 0 && tail >= 0) {
    const Division division{cuts_of(head), cuts_of(tail)};
    Parts parts;
    for (int level = 0; level < Division::kLevels; ++level) {
      const auto used = [&](const Division::Cuts& cuts) { return cuts[level] > (level + 1 < Division::kLevels ? cuts[level + 1] : 0); };
      if (!used(division.head) && !used(division.tail)) continue;
      auto part = make_part(p, Division::parts_of(level));
      if (!part.ok()) return gives_up();
      parts[level] = std::move(part).value();
    }
    p.overlap = make_overlap(p, parts, division);
    if (p.overlap && !reserve_parts(p).ok()) return gives_up();
    return {};
  }
  const auto before = current_;
  const auto measured = measure_divisions(p, in_bytes, out_bytes);
  current_ = before;
  (void)session_.faults.take();
  if (!measured.ok()) {
    current_ = nullptr;
    return gives_up();
  }
  session_.device.remember_choice("first " + problem, code_of(measured->head));
  session_.device.remember_choice("last " + problem, code_of(measured->tail));
  return {};
}

// The fastest division, by runs with inputs of zeros and all copies; p.overlap becomes it.
Result<Division> Runner::measure_divisions(Prepared& p, size_t in_bytes, size_t out_bytes) {
  std::vector<PinnedBlock> blocks;
  std::vector<Value> inputs;
  std::vector<Target> to;
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
    to.push_back({block.data(), true});
    blocks.push_back(std::move(block));
  }
  current_ = &p;
  CAMEO_TRY(reserve(p));
  CAMEO_ASSIGN(const double whole, time_run(p, inputs, to));
  Parts parts;
  Division best;
  double least = 0.98 * whole;
  std::set<std::pair<int, int>> tried;
  // Milliseconds of a division, many where it is none or was tried before.
  const auto time_of = [&](const Division& division) -> Result<double> {
    p.overlap = make_overlap(p, parts, division);
    double time = 1e30;
    if (p.overlap && tried.emplace(code_of(p.overlap->division.head), code_of(p.overlap->division.tail)).second) {
      if (const Status reserved = reserve_parts(p); !reserved.ok()) {
        p.overlap.reset();
        CAMEO_TRY(usable());
        return time;
      }
      CAMEO_ASSIGN(time, time_run(p, inputs, to));
      if (time < least) {
        least = time * kBetter;
        best = p.overlap->division;
      }
    }
    p.overlap.reset();
    return time;
  };
  // One number of parts each for the first and for the last steps, as long as more parts are better.
  for (const bool head : {true, false}) {
    const size_t bytes = head ? in_bytes : out_bytes;
    if (bytes < Division::kLeastCopied) continue;
    const Division start = best;
    for (int level = 0; level < Division::kLevels && bytes / static_cast<size_t>(Division::parts_of(level)) >= kLeastOfPart; ++level) {
      if (!parts[level]) {
        CAMEO_ASSIGN(parts[level], make_part(p, Division::parts_of(level)));
      }
      if (!parts[level]) continue;
      const Division before = best;
      double least_here = 1e30;
      int worse = 0;
      for (int i = 1; i < kMostCuts && worse < 2; i += kStride) {
        Division division = start;
        Division::Cuts& cuts = head ? division.head : division.tail;
        for (int l = 0; l <= level; ++l) cuts[l] = kCuts[i];
        CAMEO_ASSIGN(const double time, time_of(division));
        worse = time < least_here ? 0 : worse + 1;
        least_here = std::min(least_here, time);
      }
      if (level > 0 && best == before) break;
    }
  }
  // Then each cut is moved, a little and further.
  bool moved = !best.none();
  for (int left = kMostRefinements; moved && left > 0;) {
    moved = false;
    for (int side = 0; side < 2 && left > 0; ++side)
      for (int level = 0; level < Division::kLevels && left > 0; ++level) {
        if (!parts[level] || (side == 0 ? in_bytes : out_bytes) < Division::kLeastCopied) continue;
        for (const int by : {1, -1, 3, -3}) {
          Division division = best;
          Division::Cuts& cuts = side == 0 ? division.head : division.tail;
          const auto at = std::lower_bound(kCuts, kCuts + kMostCuts, cuts[level]) - kCuts + by;
          if (at < 0 || at >= kMostCuts) continue;
          cuts[level] = kCuts[at];
          for (int l = 0; l < level; ++l) cuts[l] = std::max(cuts[l], cuts[level]);
          for (int l = level + 1; l < Division::kLevels; ++l) cuts[l] = std::min(cuts[l], cuts[level]);
          const Division before = best;
          CAMEO_ASSIGN(const double time, time_of(division));
          if (time < 1e30) --left;
          moved = moved || best != before;
        }
      }
  }
  session_.pool->trim();  // of what other ways took
  if (best.none()) return best;
  p.overlap = make_overlap(p, parts, best);
  if (p.overlap) CAMEO_TRY(reserve_parts(p));
  return best;
}

}  // namespace cameo::cuda
