#include "builder/timing_cache.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "backends/cpu/simd/isa.h"
#include "base/error.h"
#include "base/file.h"
#include "cameo/version.h"

namespace cameo::builder {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "cameo timing cache";
constexpr int kVersion = 1;

std::string processor_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.starts_with("model name")) {
      const size_t at = line.find(": ");
      if (at != std::string::npos) return line.substr(at + 2);
    }
  return "unknown processor";
}

}  // namespace

float round_time(double microseconds) { return static_cast<float>(std::round(microseconds * 100) / 100); }

std::string machine_name(int threads) {
  return fmt::format("{}, {}{}, {} threads, Cameo {}", processor_name(), cpu::isa_name(cpu::current_isa()), cpu::has_vnni() ? " vnni" : "",
                     threads, CAMEO_VERSION);
}

Result<TimingCache> TimingCache::load(const std::string& path) {
  TimingCache cache;
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return cache;
  CAMEO_ASSIGN(const MappedFile file, map_file(path));
  const auto damaged = [&](std::string_view what) {
    return error(ErrorCode::kInvalidArgument, "timing cache '{}': {}; delete the file to measure anew", path, what);
  };
  const auto* text = reinterpret_cast<const char*>(file.bytes.data());
  const Json json = Json::parse(text, text + file.bytes.size(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("format") || json["format"] != kFormat) return damaged("it is damaged, or no timing cache");
  if (!json.contains("version") || json["version"] != kVersion) return damaged("it is of another version");
  if (!json.contains("machines") || !json["machines"].is_object()) return damaged("it has no machines");
  for (const auto& [machine, problems] : json["machines"].items()) {
    if (!problems.is_object()) return damaged("a machine has no problems");
    for (const auto& [problem, times] : problems.items()) {
      if (!times.is_object()) return damaged("a problem has no times");
      for (const auto& [tactic, time] : times.items()) {
        if (!time.is_number()) return damaged("a time is no number");
        const auto value = time.get<float>();
        if (!std::isfinite(value)) return damaged("a time is not finite");
        cache.machines_[machine][problem][tactic] = value;
      }
    }
  }
  return cache;
}

Status TimingCache::save(const std::string& path) const {
  Json json = {{"format", kFormat}, {"version", kVersion}, {"machines", Json::object()}};
  for (const auto& [machine, problems] : machines_) {
    Json& m = json["machines"][machine] = Json::object();
    for (const auto& [problem, times] : problems) {
      Json& p = m[problem] = Json::object();
      for (const auto& [tactic, time] : times) p[tactic] = std::round(static_cast<double>(time) * 100) / 100;
    }
  }
  const std::string text = json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
  return write_file(path, std::as_bytes(std::span(text)));
}

const TimingCache::Times* TimingCache::find(const std::string& machine, const std::string& problem) const {
  const auto m = machines_.find(machine);
  if (m == machines_.end()) return nullptr;
  const auto p = m->second.find(problem);
  return p == m->second.end() ? nullptr : &p->second;
}

std::map<std::string, std::string> TimingCache::fastest(const std::string& machine) const {
  std::map<std::string, std::string> all;
  if (const auto m = machines_.find(machine); m != machines_.end())
    for (const auto& [problem, times] : m->second) {
      const auto best = std::min_element(times.begin(), times.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
      if (best != times.end()) all.emplace(problem, best->first);
    }
  return all;
}

void TimingCache::add(const std::string& machine, const std::string& problem, const std::string& tactic, float microseconds) {
  machines_[machine][problem][tactic] = round_time(microseconds);
  changed_ = true;
}

}  // namespace cameo::builder
