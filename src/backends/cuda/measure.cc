#include "backends/cuda/measure.h"

#include <algorithm>

#include "backends/cuda/tuning.h"

namespace cameo::cuda {
namespace {

constexpr double kEnough = 300;  // microseconds of one round
constexpr int kFewest = 4, kMost = 24;

}  // namespace

Result<double> measure(Device& device, const std::function<Status(int i)>& call) {
  cudaStream_t stream = device.stream();
  CAMEO_ASSIGN(Event start, Event::create());
  CAMEO_ASSIGN(Event end, Event::create());
  // The first call loads what it needs.
  CAMEO_TRY(call(0));
  CAMEO_TRY(start.record(stream));
  CAMEO_TRY(call(1));
  CAMEO_TRY(end.record(stream));
  CAMEO_TRY(synchronize(stream));
  CAMEO_ASSIGN(const double once, end.since(start));
  const int calls = std::clamp(static_cast<int>(kEnough / std::max(once * 1e3, 1.0)), kFewest, kMost);
  CAMEO_ASSIGN(const CapturedGraph graph, CapturedGraph::capture(stream, [&]() -> Status {
                 for (int i = 0; i < calls; ++i) CAMEO_TRY(call(i));
                 return {};
               }));
  double least = 1e30;
  const int rounds = Tuning::current() ? Tuning::current()->rounds() : 3;
  for (int round = 0; round <= rounds; ++round) {
    CAMEO_TRY(start.record(stream));
    CAMEO_TRY(graph.launch(stream));
    CAMEO_TRY(end.record(stream));
    CAMEO_TRY(synchronize(stream));
    CAMEO_ASSIGN(const double time, end.since(start));
    if (round > 0) least = std::min(least, time);
  }
  return least * 1e3 / calls;
}

}  // namespace cameo::cuda
