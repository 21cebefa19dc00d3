// cameo bench generate MODEL: what the ways to continue a text cost, end to end.
//
// End to end is the whole loop: the prompt in, then for each token the model's run, the logits that are needed out, and the
// choice of the likeliest token. "Compute" is the model's runs alone.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/error.h"
#include "base/file.h"
#include "cli/generate.h"
#include "pipelines/decoder.h"
#include "pipelines/sampler.h"

namespace cameo::cli {
namespace {

using Json = nlohmann::ordered_json;
using Rows = std::vector<std::vector<uint32_t>>;

struct Options {
  TextModelFlags model;
  std::vector<std::string> prompts;
  std::vector<std::string> configurations = {"1x12", "8x12", "16x12", "8x8", "8x16", "8x32"};
  std::vector<std::string> modes = {"recompute", "o1", "cached"};
  size_t rounds = 7, fit_tokens = 64, prompt_tokens = 0;
  std::string markdown, svg, json;
};

struct Configuration {
  size_t batch, tokens;
};

constexpr const char* kPrompts[] = {"The capital of France is the city of", "In the beginning there was the word and",
                                    "A good way to learn a language is to", "It was the best of times, it was the"};
constexpr DecodeMode kModes[] = {DecodeMode::kRecompute, DecodeMode::kLastLogits, DecodeMode::kCached};

// One loop over all tokens.
struct Loop {
  double total = 0, compute = 0;  // milliseconds
  std::vector<double> steps;      // the model's run alone; the first is the prompt's
  std::vector<double> wall;       // the same with all that is around it
  Rows made;
};

Result<Loop> run_loop(Decoder& decoder, const Rows& prompts, size_t tokens) {
  Loop loop;
  loop.made.resize(prompts.size());
  const auto start = std::chrono::steady_clock::now();
  std::vector<uint32_t> next(prompts.size());
  GenerateOptions greedy;
  greedy.max_new_tokens = tokens;
  if (decoder.generates(prompts.size(), prompts[0].size() + tokens, greedy)) {
    auto last = start;
    CAMEO_TRY(decoder.generate(prompts, greedy, [&](std::span<const uint32_t> made) -> Result<bool> {
      const auto now = std::chrono::steady_clock::now();
      loop.steps.push_back(std::chrono::duration<double, std::milli>(now - std::exchange(last, now)).count());
      for (size_t row = 0; row < made.size(); ++row) loop.made[row].push_back(made[row]);
      return true;
    }));
    loop.total = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    loop.compute = decoder.times().compute_ms;
    loop.wall = loop.steps;
    return loop;
  }
  auto last = start;
  for (size_t step = 0; step < tokens; ++step) {
    CAMEO_TRY(step == 0 ? decoder.prefill(prompts) : decoder.step(next));
    loop.steps.push_back(decoder.times().compute_ms);
    for (size_t row = 0; row < prompts.size(); ++row) {
      CAMEO_ASSIGN(next[row], likeliest(decoder.logits(row)));
      loop.made[row].push_back(next[row]);
    }
    const auto now = std::chrono::steady_clock::now();
    loop.wall.push_back(std::chrono::duration<double, std::milli>(now - std::exchange(last, now)).count());
  }
  loop.total = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  for (const double ms : loop.steps) loop.compute += ms;
  return loop;
}

double median(std::vector<double> values) { return statistics(std::move(values)).median; }

// a + b * length, by least squares.
struct Line {
  double intercept = 0, slope = 0, r2 = 0;
};
Line fit(const std::vector<double>& x, const std::vector<double>& y) {
  const auto n = static_cast<double>(x.size());
  double sx = 0, sy = 0, sxx = 0, sxy = 0, syy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    sx += x[i], sy += y[i];
    sxx += x[i] * x[i], sxy += x[i] * y[i], syy += y[i] * y[i];
  }
  const double dx = n * sxx - sx * sx, dy = n * syy - sy * sy, dxy = n * sxy - sx * sy;
  if (dx <= 0) return {};
  const double slope = dxy / dx;
  return {(sy - slope * sx) / n, slope, dy > 0 ? dxy * dxy / (dx * dy) : 1};
}

struct Machine {
  std::vector<Decoder> decoders;  // one for each of kModes that the model has
  std::vector<DecodeMode> modes;
  std::string why_not_cached;
};

// The loops of all modes, in turn, `rounds` times after one to warm up.
Result<std::vector<std::vector<Loop>>> measure(Machine& machine, const Rows& prompts, size_t tokens, size_t rounds) {
  std::vector<std::vector<Loop>> loops(machine.decoders.size());
  for (size_t round = 0; round <= rounds; ++round) {
    for (size_t i = 0; i < machine.decoders.size(); ++i) {
      const size_t mode = (i + round) % machine.decoders.size();
      CAMEO_ASSIGN(Loop loop, run_loop(machine.decoders[mode], prompts, tokens));
      if (round > 0) loops[mode].push_back(std::move(loop));
    }
  }
  return loops;
}

Result<std::vector<Configuration>> parse_configurations(const std::vector<std::string>& texts) {
  std::vector<Configuration> made;
  for (const std::string& text : texts) {
    Configuration c = {};
    char rest = 0;
    if (std::sscanf(text.c_str(), "%zux%zu%c", &c.batch, &c.tokens, &rest) != 2 || c.batch == 0 || c.tokens == 0 || c.batch > 4096 ||
        c.tokens > 1 << 20)
      return error(ErrorCode::kInvalidArgument, "--configurations: '{}' is no batch and number of new tokens, such as 8x12", text);
    made.push_back(c);
  }
  return made;
}

std::string svg(const Json& fits) {
  constexpr double kWidth = 640, kHeight = 400, kLeft = 60, kTop = 30, kRight = 20, kBottom = 50;
  double most_x = 1, most_y = 0;
  for (const Json& f : fits)
    for (size_t i = 0; i < f["lengths"].size(); ++i) {
      most_x = std::max(most_x, f["lengths"][i].get<double>());
      most_y = std::max(most_y, f["step_ms"][i].get<double>());
    }
  const double unit = std::pow(10, std::floor(std::log10(std::max(most_y, 1e-6))));
  const double tick = most_y / unit > 5 ? 2 * unit : most_y / unit > 2 ? unit : unit / 2;
  most_y = std::ceil(most_y / tick) * tick;
  const auto x = [&](double v) { return kLeft + v / most_x * (kWidth - kLeft - kRight); };
  const auto y = [&](double v) { return kHeight - kBottom - v / most_y * (kHeight - kTop - kBottom); };
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" font-family=\"sans-serif\" font-size=\"12\">\n"
      "<rect width=\"{0}\" height=\"{1}\" fill=\"white\"/>\n",
      kWidth, kHeight);
  for (double v = 0; v <= most_y * 1.0001; v += tick)
    out += fmt::format(
        "<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"#ddd\"/><text x=\"{:.1f}\" y=\"{:.1f}\" "
        "text-anchor=\"end\">{:g}</text>\n",
        kLeft, y(v), kWidth - kRight, y(v), kLeft - 6, y(v) + 4, v);
  for (int i = 0; i <= 4; ++i)
    out += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{:.0f}</text>\n", x(most_x * i / 4), kHeight - kBottom + 18,
                       most_x * i / 4);
  out += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">tokens of the sequence</text>\n", (kLeft + kWidth) / 2,
                     kHeight - 12);
  out += fmt::format("<text x=\"{:.1f}\" y=\"18\">milliseconds a step (compute)</text>\n", kLeft);
  constexpr const char* kColours[] = {"#c0392b", "#e67e22", "#2471a3"};
  size_t line = 0;
  for (const Json& f : fits) {
    const char* colour = kColours[line % 3];
    std::string points;
    for (size_t i = 0; i < f["lengths"].size(); ++i)
      points += fmt::format("{:.1f},{:.1f} ", x(f["lengths"][i].get<double>()), y(f["step_ms"][i].get<double>()));
    out += fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"/>\n", points, colour);
    out += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" fill=\"{}\">{}</text>\n", kLeft + 12, kTop + 14 + 16 * static_cast<double>(line),
                       colour, f["mode"].get<std::string>());
    ++line;
  }
  return out + "</svg>\n";
}

std::string name_of(DecodeMode mode) {
  return mode == DecodeMode::kRecompute ? "no cache" : mode == DecodeMode::kLastLogits ? "O1" : "with cache";
}

std::string markdown(const Json& result) {
  std::string out =
      "| batch | new tokens | no cache E2E (ms) | its compute (ms) | E2E / compute | O1 E2E (ms) | O1 drop | with cache E2E (ms) | no "
      "cache / with cache |\n"
      "|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n";
  const auto number = [](const Json& row, const char* key, const char* unit, double scale = 1) {
    return row.contains(key) ? fmt::format("{:.2f}{}", scale * row[key].get<double>(), unit) : std::string("-");
  };
  for (const Json& row : result["table"])
    out += fmt::format("| {} | {} | {} | {} | {} | {} | {} | {} | {} |\n", row["batch"].get<size_t>(), row["new_tokens"].get<size_t>(),
                       number(row, "recompute_ms", ""), number(row, "recompute_compute_ms", ""), number(row, "e2e_over_compute", "×"),
                       number(row, "o1_ms", ""), number(row, "o1_drop", " %", 100), number(row, "cached_ms", ""),
                       number(row, "cache_gain", "×"));
  out += fmt::format(
      "\nTime of a step with {} rows, as the sequence grows from {} to {} tokens:\n\n| mode | ms at the start | us more for each token | "
      "R2 |\n|---|---:|---:|---:|\n",
      result["fit_batch"].get<size_t>(), result["fits"][0]["lengths"].front().get<size_t>(),
      result["fits"][0]["lengths"].back().get<size_t>());
  for (const Json& f : result["fits"])
    out += fmt::format("| {} | {:.3f} | {:.2f} | {:.2f} |\n", f["mode"].get<std::string>(), f["at_start_ms"].get<double>(),
                       1000 * f["ms_per_token"].get<double>(), f["r2"].get<double>());
  const Json& a = result["agreement"];
  out += fmt::format("\nAgreement of the modes, token by token: {} of {} sequences, {} tokens.\n", a["equal_sequences"].get<size_t>(),
                     a["sequences"].get<size_t>(), a["tokens"].get<size_t>());
  return out;
}

Result<int> run(const Options& o, const Common& common) {
  StderrLogger logger(common.verbose ? Severity::kVerbose : Severity::kWarning);
  CAMEO_ASSIGN(const std::vector<Configuration> configurations, parse_configurations(o.configurations));
  Machine machine;
  // A plan that keeps keys and values has other inputs: a plan for each way. Where no cache can be made, there are two ways.
  TextModelFlags flags = o.model;
  flags.last_logits = true;
  CAMEO_ASSIGN(const LoadedTextModel plain, load_text_model(flags, logger));
  flags.last_logits = false;
  CAMEO_ASSIGN(const LoadedTextModel cached, load_text_model(flags, logger));
  for (const DecodeMode mode : kModes) {
    const bool cache = mode == DecodeMode::kCached;
    if (cache && cached.generator.mode() != DecodeMode::kCached) {
      machine.why_not_cached = cached.generator.why_not_cached();
      continue;
    }
    if (std::find(o.modes.begin(), o.modes.end(), decode_mode_name(mode)) == o.modes.end()) continue;
    CAMEO_ASSIGN(Decoder decoder, Decoder::create((cache ? cached : plain).model.engine(),
                                                  {.mode = mode, .threads = o.model.threads, .max_length = o.model.max_length}));
    machine.decoders.push_back(std::move(decoder));
    machine.modes.push_back(mode);
  }
  if (machine.decoders.empty()) return error(ErrorCode::kUnsupported, "none of --modes can be run: {}", machine.why_not_cached);

  // Prompts of one length, so that all peers can run them.
  Rows base;
  std::vector<std::string> texts = o.prompts;
  if (texts.empty()) texts.assign(std::begin(kPrompts), std::end(kPrompts));
  size_t shortest = SIZE_MAX;
  for (const std::string& text : texts) {
    CAMEO_ASSIGN(Encoding encoding, plain.model.tokenizer().encode(text));
    if (encoding.ids.empty()) return error(ErrorCode::kInvalidInput, "a prompt has no tokens");
    if (o.prompt_tokens > 0 && encoding.ids.size() < o.prompt_tokens)
      return error(ErrorCode::kInvalidInput, "a prompt has {} tokens, and --prompt-tokens is {}", encoding.ids.size(), o.prompt_tokens);
    if (o.prompt_tokens > 0) encoding.ids.resize(o.prompt_tokens);
    shortest = std::min(shortest, encoding.ids.size());
    base.push_back(std::move(encoding.ids));
  }
  const auto batch_of = [&](size_t batch, bool same_length) {
    Rows rows;
    for (size_t i = 0; i < batch; ++i) {
      rows.push_back(base[i % base.size()]);
      if (same_length) rows.back().resize(shortest);
    }
    return rows;
  };
  size_t fit_tokens = o.fit_tokens;
  if (const size_t most = plain.model.max_positions(); most > 0 && shortest + fit_tokens > most + 1)
    fit_tokens = most + 1 - std::min(most, shortest);

  Json result = {
      {"model", o.model.path}, {"threads", o.model.threads}, {"rounds", o.rounds}, {"prompt_tokens", shortest}, {"table", Json::array()}};
  if (!machine.why_not_cached.empty()) result["why_not_cached"] = machine.why_not_cached;
  size_t sequences = 0, equal = 0, tokens = 0;
  const auto compare = [&](const std::vector<std::vector<Loop>>& loops) {
    for (size_t row = 0; row < loops[0][0].made.size(); ++row) {
      bool same = true;
      for (const auto& mode : loops)
        for (const Loop& loop : mode) same &= loop.made[row] == loops[0][0].made[row];
      ++sequences;
      equal += same;
      tokens += loops[0][0].made[row].size();
    }
  };
  for (const Configuration& c : configurations) {
    const Rows prompts = batch_of(c.batch, true);
    CAMEO_ASSIGN(const auto loops, measure(machine, prompts, c.tokens, o.rounds));
    compare(loops);
    Json row = {{"batch", c.batch}, {"new_tokens", c.tokens}};
    for (size_t m = 0; m < loops.size(); ++m) {
      std::vector<double> totals, computes, steps, prompt_times, token_times;
      for (const Loop& loop : loops[m]) {
        totals.push_back(loop.total);
        computes.push_back(loop.compute);
        prompt_times.push_back(loop.wall[0]);
        token_times.insert(token_times.end(), loop.wall.begin() + 1, loop.wall.end());
        if (c.tokens > 1)
          steps.push_back(std::accumulate(loop.steps.begin() + 1, loop.steps.end(), 0.0) / static_cast<double>(c.tokens - 1));
      }
      const std::string mode(decode_mode_name(machine.modes[m]));
      row[mode + "_ms"] = median(totals);
      row[mode + "_compute_ms"] = median(computes);
      row[mode + "_min_ms"] = statistics(totals).min;
      row[mode + "_prompt_ms"] = median(std::move(prompt_times));
      if (!token_times.empty()) row[mode + "_token_ms"] = median(std::move(token_times));
      if (!steps.empty()) row[mode + "_step_ms"] = median(steps);  // of the model's run, after the prompt's
    }
    const auto of = [&](const char* key) { return row[key].get<double>(); };
    if (row.contains("recompute_ms")) {
      row["e2e_over_compute"] = of("recompute_ms") / of("recompute_compute_ms");
      if (row.contains("o1_ms")) row["o1_drop"] = 1 - of("o1_ms") / of("recompute_ms");
      if (row.contains("cached_ms")) row["cache_gain"] = of("recompute_ms") / of("cached_ms");
    }
    row["prompt_token_ids"] = prompts;
    row["token_ids"] = loops[0][0].made;
    result["table"].push_back(std::move(row));
  }
  // Rows of different lengths, beside what each gives alone.
  for (const size_t length : {size_t{8}, size_t{24}}) {
    const Rows prompts = batch_of(base.size(), false);
    CAMEO_ASSIGN(auto loops, measure(machine, prompts, length, 1));
    for (size_t row = 0; row < prompts.size(); ++row) {
      CAMEO_ASSIGN(const auto alone, measure(machine, {prompts[row]}, length, 1));
      for (size_t m = 0; m < loops.size(); ++m) {
        Loop& loop = loops[m].emplace_back(loops[m][0]);
        loop.made[row] = alone[m][0].made[0];
      }
    }
    compare(loops);
  }
  result["agreement"] = {{"sequences", sequences}, {"equal_sequences", equal}, {"tokens", tokens}};

  constexpr size_t kFitBatch = 8;
  result["fit_batch"] = kFitBatch;
  result["fits"] = Json::array();
  CAMEO_ASSIGN(const auto long_loops, measure(machine, batch_of(kFitBatch, true), fit_tokens, std::min<size_t>(o.rounds, 5)));
  for (size_t m = 0; m < long_loops.size(); ++m) {
    std::vector<double> lengths, times;
    for (size_t step = 1; step < fit_tokens; ++step) {  // the first is the prompt's
      std::vector<double> ms;
      for (const Loop& loop : long_loops[m]) ms.push_back(loop.steps[step]);
      lengths.push_back(static_cast<double>(shortest + step));
      times.push_back(median(std::move(ms)));
    }
    const Line line = fit(lengths, times);
    Json lengths_json = Json::array();
    for (const double length : lengths) lengths_json.push_back(static_cast<size_t>(length));
    result["fits"].push_back({{"mode", name_of(machine.modes[m])},
                              {"at_start_ms", line.intercept + line.slope * (lengths.empty() ? 0 : lengths[0])},
                              {"ms_per_token", line.slope},
                              {"r2", line.r2},
                              {"lengths", std::move(lengths_json)},
                              {"step_ms", times}});
  }
  const auto write = [](const std::string& path, const std::string& text) -> Status {
    return path.empty() ? Status() : write_file(path, std::as_bytes(std::span(text)));
  };
  CAMEO_TRY(write(o.markdown, markdown(result)));
  CAMEO_TRY(write(o.svg, svg(result["fits"])));
  CAMEO_TRY(write(o.json, result.dump(1) + "\n"));
  std::printf("%s\n", common.json ? result.dump(2).c_str() : markdown(result).c_str());
  if (!machine.why_not_cached.empty()) std::fprintf(stderr, "no cache: %s\n", machine.why_not_cached.c_str());
  return equal == sequences ? kDone : kCheckFailed;
}

}  // namespace

Run add_bench_generate(CLI::App& app, const Common& common) {
  auto o = std::make_shared<Options>();
  add_text_model_flags(app, o->model);
  app.add_option("--prompt", o->prompts, "Prompts of the rows, in turn; repeat for more")->allow_extra_args(false);
  app.add_option("--prompt-tokens", o->prompt_tokens, "Tokens that prompts are cut to; 0: as they are");
  app.add_option("--configurations", o->configurations, "Batch and new tokens of each row of the table")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--modes", o->modes, "Ways to run that are measured")
      ->delimiter(',')
      ->capture_default_str()
      ->check(CLI::IsMember({"recompute", "o1", "cached"}));
  app.add_option("--rounds", o->rounds, "Times that each is measured; the median counts")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  app.add_option("--fit-tokens", o->fit_tokens, "New tokens of the run that shows how steps grow")
      ->capture_default_str()
      ->check(CLI::Range(3, 100000));
  app.add_option("--markdown", o->markdown, "File for the tables");
  app.add_option("--svg", o->svg, "File for a plot of time by length");
  app.add_option("--export", o->json, "File for all figures as JSON");
  return [o, &common] { return run(*o, common); };
}

}  // namespace cameo::cli
