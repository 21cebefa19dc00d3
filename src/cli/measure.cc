// Timing of repeated runs.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <mutex>
#include <nlohmann/json.hpp>
#include <numeric>
#include <thread>

#include "base/error.h"
#include "cli/cli.h"

namespace cameo::cli {
namespace {

using Clock = std::chrono::steady_clock;

double milliseconds(Clock::duration d) { return std::chrono::duration<double, std::milli>(d).count(); }

// What one thread does: its own context, runs until the time is over.
Status measure_one(const Engine& engine, const std::map<std::string, Tensor>& inputs, std::optional<size_t> profile, const Load& load,
                   RequestTimes& times) {
  const int share = std::max(1, static_cast<int>(std::thread::hardware_concurrency() / std::max<size_t>(1, load.streams)));
  CAMEO_ASSIGN(ExecutionContext context, engine.create_context({.threads = load.threads > 0 || load.streams == 1 ? load.threads : share,
                                                                .cpus = load.cpus,
                                                                .cuda_graphs = load.cuda_graphs}));
  if (profile) CAMEO_TRY(context.set_profile(*profile));
  Clock::time_point start = Clock::now(),
                    warm = start + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(load.warmup_seconds));
  bool warming = true;
  const auto duration = std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(load.duration_seconds));
  while (true) {
    const auto t0 = Clock::now();
    if (warming && t0 >= warm) {
      warming = false;
      start = t0;
    }
    if (!warming && t0 - start >= duration && times.latency.size() >= load.least_iterations) break;
    for (const auto& [name, tensor] : inputs) CAMEO_TRY(context.set_input(name, tensor));
    const auto t1 = Clock::now();
    CAMEO_TRY(context.run());
    const auto t2 = Clock::now();
    for (const TensorInfo& info : engine.outputs())
      if (info.is_tensor) CAMEO_TRY(context.output(info.name));
    const auto t3 = Clock::now();
    const auto device = context.device_times();
    if (!warming && device) {
      times.h2d.push_back(device->h2d);
      times.compute.push_back(device->compute);
      times.d2h.push_back(device->d2h);
      times.enqueue.push_back(milliseconds(t2 - t1));
      times.latency.push_back(milliseconds(t3 - t0));
    } else if (!warming) {
      times.h2d.push_back(milliseconds(t1 - t0));
      times.compute.push_back(milliseconds(t2 - t1));
      // The CPU computes in the call itself, so enqueueing takes as long as the work.
      times.enqueue.push_back(milliseconds(t2 - t1));
      times.d2h.push_back(milliseconds(t3 - t2));
      times.latency.push_back(milliseconds(t3 - t0));
    }
    if (load.idle_seconds > 0) std::this_thread::sleep_for(std::chrono::duration<double>(load.idle_seconds));
  }
  times.wall_seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return {};
}

}  // namespace

Result<RequestTimes> measure(const Engine& engine, const std::map<std::string, Tensor>& inputs, std::optional<size_t> profile,
                             const Load& load) {
  std::vector<RequestTimes> times(std::max<size_t>(1, load.streams));
  std::vector<Status> results(times.size());
  std::vector<std::thread> threads;
  for (size_t i = 1; i < times.size(); ++i)
    threads.emplace_back([&, i] { results[i] = measure_one(engine, inputs, profile, load, times[i]); });
  results[0] = measure_one(engine, inputs, profile, load, times[0]);
  for (std::thread& t : threads) t.join();
  for (Status& r : results) CAMEO_TRY(std::move(r));
  RequestTimes all = std::move(times[0]);
  for (size_t i = 1; i < times.size(); ++i) {
    for (auto part : {&RequestTimes::latency, &RequestTimes::h2d, &RequestTimes::compute, &RequestTimes::d2h, &RequestTimes::enqueue})
      (all.*part).insert((all.*part).end(), (times[i].*part).begin(), (times[i].*part).end());
    all.wall_seconds = std::max(all.wall_seconds, times[i].wall_seconds);
  }
  return all;
}

double percentile(const std::vector<double>& sorted, double percent) {
  if (sorted.empty()) return 0;
  const auto rank = static_cast<size_t>(std::ceil(percent / 100 * static_cast<double>(sorted.size())));
  return sorted[std::clamp<size_t>(rank, 1, sorted.size()) - 1];
}

Statistics statistics(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  const double median = n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
  return {values.front(),
          values.back(),
          std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(n),
          median,
          percentile(values, 90),
          percentile(values, 95),
          percentile(values, 99)};
}

nlohmann::ordered_json to_json(const Statistics& s) {
  return {{"min", s.min}, {"max", s.max}, {"mean", s.mean}, {"median", s.median}, {"p90", s.p90}, {"p95", s.p95}, {"p99", s.p99}};
}

nlohmann::ordered_json to_json(const RequestTimes& times) {
  return {{"iterations", times.latency.size()},
          {"throughput_qps", times.qps()},
          {"latency_ms", to_json(statistics(times.latency))},
          {"h2d_ms", to_json(statistics(times.h2d))},
          {"compute_ms", to_json(statistics(times.compute))},
          {"d2h_ms", to_json(statistics(times.d2h))},
          {"enqueue_ms", to_json(statistics(times.enqueue))}};
}

}  // namespace cameo::cli
