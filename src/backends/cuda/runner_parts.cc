// Runner, divided runs: tasks of parts of the batch on two streams beside the copies of inputs and outputs.
#include <algorithm>

#include "backends/cuda/annotate.h"
#include "backends/cuda/kernels/transfer.h"
#include "backends/cuda/runner.h"

namespace cameo::cuda {
namespace {

using Place = runtime::Specialization::Place;

constexpr size_t kMostByKernel = size_t{256} << 10;  // bytes of an output
constexpr int kRanks = 3;                            // priorities among the last tasks: what is done first can be copied first

size_t bytes_of(const Value& v) { return static_cast<size_t>(v.dims.num_elements()) * dtype_size(v.dtype); }

}  // namespace

// Division pays where there is something to copy beside the parts.
bool Runner::runs_in_parts(const Prepared& p, std::span<const Value> inputs, bool outputs_to_host) const {
  if (!p.overlap || p.runs == 0 || !session_.graphs || node_times_ || Annotation::on()) return false;
  if (p.overlap->ends_in_parts() && !outputs_to_host) return false;
  if (!p.overlap->begins_in_parts()) return true;
  size_t from_host = 0;
  for (const Value& v : inputs) from_host += v.device ? 0 : bytes_of(v);
  return from_host >= Division::kLeastCopied;
}

// The memory that a divided run needs besides that of a whole one.
Status Runner::reserve_parts(Prepared& p) {
  Overlap& o = *p.overlap;
  size_t block_bytes = 0, scratch_bytes = 0;
  for (const auto& part : o.parts) {
    if (!part) continue;
    block_bytes = std::max(block_bytes, part->prepared.block_bytes);
    scratch_bytes = std::max(scratch_bytes, part->prepared.scratch_bytes);
  }
  p.scratch_bytes = std::max(p.scratch_bytes, scratch_bytes);
  CAMEO_TRY(reserve(p));
  for (int lane = 0; lane < 2; ++lane) {
    CAMEO_ASSIGN(o.memory[lane], session_.pool->allocate(block_bytes));
    CAMEO_ASSIGN(o.scratch[lane], session_.pool->allocate(scratch_bytes));
  }
  CAMEO_ASSIGN(o.between, session_.pool->allocate(o.between_bytes));
  return {};
}

// Captures each task, where addresses have changed.
Status Runner::capture_parts(Prepared& p) {
  Overlap& o = *p.overlap;
  if (o.captured_at == block_.data() && o.captured_scratch == scratch_.data() && o.captured_at) return {};
  o.captured_at = nullptr;
  o.graphs.clear();
  const auto launch_task = [&](const Task& task, cudaStream_t stream) -> Status {
    const Segment& segment = o.segments[task.segment];
    Prepared& work = segment.level < 0 ? p : o.parts[segment.level]->prepared;
    const auto address = [&](ir::ValueId id) -> void* {
      if (id == ir::kNoValue) return nullptr;
      const auto& plan = work.spec.values[id];
      const ir::ValueId source = plan.place == Place::kView ? plan.source : id;
      const size_t behind = segment.level < 0 ? 0 : static_cast<size_t>(task.part) * o.strides[segment.level][source];
      switch (segment.level < 0 ? Overlap::Lies::kInWhole : o.lies[source]) {
        case Overlap::Lies::kInWhole:
          return static_cast<std::byte*>(block_.data()) + p.offsets[source] + behind;
        case Overlap::Lies::kBetween:
          return static_cast<std::byte*>(o.between.data()) + o.between_offsets[source] + behind;
        case Overlap::Lies::kInLane:
          break;
      }
      return static_cast<std::byte*>(o.memory[task.lane].data()) + work.offsets[source];
    };
    void* scratch = segment.level < 0 ? scratch_.data() : o.scratch[task.lane].data();
    return launch_steps(work, segment.first, segment.last, address, scratch, stream);
  };
  // Kernels are loaded before they are captured. What they read is there, but may be anything: indices out of range are no faults.
  for (const Task& task : o.tasks)
    if (task.part == 0) CAMEO_TRY(launch_task(task, session_.stream));
  CAMEO_TRY(synchronize(session_.stream));
  (void)session_.faults.take();
  const auto make_events = [](std::vector<Event>& events, size_t count) -> Status {
    while (events.size() < count) {
      CAMEO_ASSIGN(Event event, Event::create());
      events.push_back(std::move(event));
    }
    return {};
  };
  CAMEO_TRY(make_events(o.done, o.tasks.size()));
  CAMEO_TRY(make_events(o.copied, static_cast<size_t>(o.segments.front().parts())));
  std::vector<Stream> ranks;
  for (int rank = 0; rank < kRanks; ++rank) {
    CAMEO_ASSIGN(Stream stream, Stream::create(rank));
    ranks.push_back(std::move(stream));
  }
  for (size_t i = 0; i < o.tasks.size(); ++i) {
    const Stream& stream = ranks[std::min(o.tasks.size() - 1 - i, ranks.size() - 1)];
    CAMEO_ASSIGN(CapturedGraph graph, CapturedGraph::capture(
                                          stream.get(), [&] { return launch_task(o.tasks[i], stream.get()); }, true));
    o.graphs.push_back(std::move(graph));
  }
  if (!copy_in_) {
    CAMEO_ASSIGN(Stream in, Stream::create());
    CAMEO_ASSIGN(Stream out, Stream::create());
    CAMEO_ASSIGN(Stream beside, Stream::create());
    CAMEO_ASSIGN(Event begun, Event::create());
    CAMEO_ASSIGN(Event copied_out, Event::create());
    CAMEO_ASSIGN(Event beside_done, Event::create());
    copy_in_ = std::move(in);
    copy_out_ = std::move(out);
    beside_ = std::move(beside);
    begun_ = std::move(begun);
    beside_done_ = std::move(beside_done);
    copied_out_ = std::move(copied_out);
  }
  o.captured_at = block_.data();
  o.captured_scratch = scratch_.data();
  return {};
}

// Inputs that the first steps read come part by part, those that are the same for all parts with the first one, others with the last.
Status Runner::copy_part_of_inputs(const Prepared& p, std::span<const Value> inputs, int part) {
  const Overlap& o = *p.overlap;
  const Segment& first = o.segments.front();
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Value& v = inputs[i];
    const ir::ValueId id = graph_.inputs[i];
    const size_t stride = o.read_first[i] ? o.strides[first.level][id] : 0;
    if (stride == 0 && part != (o.read_first[i] ? 0 : first.parts() - 1)) continue;
    const size_t behind = static_cast<size_t>(part) * stride;
    const auto* from = static_cast<const std::byte*>(v.device ? v.device : v.host->tensor.raw());
    CAMEO_TRY(copy(static_cast<std::byte*>(block_.data()) + p.offsets[id] + behind, from + behind, stride ? stride : bytes_of(v),
                   copy_in_->get()));
  }
  return {};
}

Status Runner::run_in_parts(Prepared& p, std::span<const Value> inputs, Event* inputs_copied) {
  CAMEO_TRY(capture_parts(p));
  Overlap& o = *p.overlap;
  const cudaStream_t stream = session_.stream;
  if (o.begins_in_parts()) {
    // What ran before may still read the inputs' memory.
    CAMEO_TRY(begun_->record(stream));
    CAMEO_TRY(begun_->make_wait(copy_in_->get()));
  } else {
    CAMEO_TRY(copy_inputs(p, inputs));
    if (inputs_copied) CAMEO_TRY(inputs_copied->record(stream));
  }
  bool beside = false;
  for (size_t i = 0; i < o.tasks.size(); ++i) {
    const Task& task = o.tasks[i];
    const cudaStream_t lane = task.lane == 0 ? stream : beside_->get();
    beside = beside || task.lane == 1;
    if (task.segment == 0 && o.begins_in_parts()) {
      CAMEO_TRY(copy_part_of_inputs(p, inputs, task.part));
      CAMEO_TRY(o.copied[task.part].record(copy_in_->get()));
      CAMEO_TRY(o.copied[task.part].make_wait(lane));
      if (i == 0 && inputs_copied) CAMEO_TRY(inputs_copied->record(stream));
    }
    for (size_t need : task.needs)
      if (o.tasks[need].lane != task.lane) CAMEO_TRY(o.done[need].make_wait(lane));
    CAMEO_TRY(o.graphs[i].launch(lane));
    CAMEO_TRY(o.done[i].record(lane));
  }
  if (!beside) return {};
  CAMEO_TRY(beside_done_->record(beside_->get()));
  return beside_done_->make_wait(stream);
}

Status Runner::copy_outputs(std::span<const Value> outputs, std::span<const Target> to) {
  const Overlap* o = ran_in_parts_ && current_ ? current_->overlap.get() : nullptr;
  const auto stride_of = [&](size_t k, size_t segment) -> size_t {
    return to[k].data && o->made_in[k] == segment && o->segments[segment].level >= 0
               ? o->strides[o->segments[segment].level][graph_.outputs[k]]
               : 0;
  };
  bool in_parts = false;
  for (size_t i = 0; o && i < o->tasks.size(); ++i) {
    const Task& task = o->tasks[i];
    bool waits = false;
    for (size_t k = 0; k < outputs.size(); ++k) {
      const size_t stride = stride_of(k, task.segment), behind = static_cast<size_t>(task.part) * stride;
      if (stride == 0) continue;
      if (!waits) CAMEO_TRY(o->done[i].make_wait(copy_out_->get()));
      in_parts = waits = true;
      CAMEO_TRY(copy(static_cast<std::byte*>(to[k].data) + behind, static_cast<const std::byte*>(outputs[k].device) + behind, stride,
                     copy_out_->get()));
    }
  }
  if (in_parts) CAMEO_TRY(copied_out_->record(copy_out_->get()));
  TransferArgs small;
  for (size_t k = 0; k < outputs.size(); ++k) {
    const size_t bytes = bytes_of(outputs[k]);
    if (!to[k].data || (o && stride_of(k, o->made_in[k]) > 0)) continue;
    if (to[k].locked && bytes <= kMostByKernel && small.add(to[k].data, outputs[k].device, bytes)) continue;
    CAMEO_TRY(copy(to[k].data, outputs[k].device, bytes, session_.stream));
  }
  CAMEO_TRY(check(transfer(small, session_.stream), "copying small outputs"));
  return in_parts ? copied_out_->make_wait(session_.stream) : Status();
}

}  // namespace cameo::cuda
