// cameo embed MODEL "text"…
#include <fmt/ranges.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "cameo/embed.h"
#include "cli/cli.h"

namespace cameo::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::string model, file, output, tokenizer;
  std::vector<std::string> texts;
  std::optional<Pooling> pooling;
  std::optional<bool> normalize;
  size_t max_length = 0, pad_to = 0, batch_tokens = EmbedderOptions{}.batch_tokens;
  int threads = 0;
  bool similarities = false, raw = false;
  BuildOptions build;
};

Result<Embedder> make_embedder(const Options& o, Logger& logger) {
  EmbedderLoadOptions load = {.tokenizer = o.tokenizer, .build = o.build, .change = {}, .logger = &logger};
  load.build.progress = progress_bar();
  load.change = [&o](EmbedderOptions& options) {
    options.pooling = o.pooling.value_or(options.pooling);
    options.normalize = o.normalize.value_or(options.normalize);
    if (o.max_length != 0) options.max_length = o.max_length;
    options.pad_to = o.pad_to;
    options.batch_tokens = o.batch_tokens;
    options.threads = o.threads;
  };
  CAMEO_ASSIGN(Embedder embedder, Embedder::load(o.model, load));
  if (auto bar = progress_bar())
    embedder.set_progress([bar](size_t done, size_t of) { return bar("embed", static_cast<double>(done) / static_cast<double>(of)); });
  return embedder;
}

std::vector<float> row_of(const Tensor& tensor, int64_t row) {
  const int64_t width = tensor.num_elements() / std::max<int64_t>(1, tensor.dim(0));
  return {tensor.data<float>() + row * width, tensor.data<float>() + (row + 1) * width};
}

// A JSON object a line.
std::string json_lines(std::span<const std::string> texts, const Tensor& vectors) {
  std::string lines;
  for (size_t i = 0; i < texts.size(); ++i)
    lines += fmt::format("{{\"text\":{},\"embedding\":[{}]}}\n", Json(texts[i]).dump(-1, ' ', false, Json::error_handler_t::replace),
                         fmt::join(row_of(vectors, static_cast<int64_t>(i)), ","));
  return lines;
}

// The cosine of each text with each.
std::vector<std::vector<float>> similarities_of(const Tensor& vectors) {
  const auto count = static_cast<size_t>(vectors.dim(0));
  std::vector<std::vector<float>> rows(count), result(count, std::vector<float>(count));
  for (size_t i = 0; i < count; ++i) rows[i] = row_of(vectors, static_cast<int64_t>(i));
  const auto dot = [&](size_t a, size_t b) {
    double sum = 0;
    for (size_t k = 0; k < rows[a].size(); ++k) sum += static_cast<double>(rows[a][k]) * rows[b][k];
    return sum;
  };
  for (size_t a = 0; a < count; ++a)
    for (size_t b = 0; b < count; ++b) {
      const double lengths = std::sqrt(dot(a, a) * dot(b, b));
      result[a][b] = lengths == 0 ? 0 : static_cast<float>(dot(a, b) / lengths);
    }
  return result;
}

void print_similarities(std::span<const std::string> texts, const std::vector<std::vector<float>>& similarities) {
  for (size_t a = 0; a < texts.size(); ++a) {
    for (float s : similarities[a]) fmt::print("{:7.4f} ", s);
    fmt::print(" {}\n", texts[a]);
  }
}

// The first and last rows of each text's states, and of each row the first and last components.
void print_states(std::span<const std::string> texts, const Tensor& states) {
  const int64_t length = states.dim(1), width = states.dim(2);
  for (size_t i = 0; i < texts.size(); ++i) {
    fmt::print("{}\n", texts[i]);
    for (int64_t t = 0; t < length; ++t) {
      if (length > 8 && t == 3) {
        fmt::print("  …\n");
        t = length - 3;
      }
      const float* row = states.data<float>() + (static_cast<int64_t>(i) * length + t) * width;
      const auto head = std::span(row, static_cast<size_t>(std::min<int64_t>(3, width)));
      const auto tail = std::span(row + std::max<int64_t>(width - 3, 0), static_cast<size_t>(std::min<int64_t>(3, width)));
      fmt::print("  {:5}  {:11.8f}  …  {:11.8f}\n", t, fmt::join(head, " "), fmt::join(tail, " "));
    }
  }
}

Result<int> run(Options& o, const Common& common) {
  if (!o.file.empty() && !o.texts.empty()) return error(ErrorCode::kInvalidArgument, "give texts or --file, not both");
  if (o.raw && o.similarities)
    return error(ErrorCode::kInvalidArgument, "--similarities compares pooled vectors; --raw gives hidden states");
  const bool npy = o.output.ends_with(".npy");
  if (!o.output.empty() && !npy && !o.output.ends_with(".jsonl"))
    return error(ErrorCode::kInvalidArgument, "--output {}: the name must end in .npy or .jsonl", o.output);
  if (o.raw && !o.output.empty() && !npy) return error(ErrorCode::kInvalidArgument, "--raw writes .npy files only");
  StderrLogger logger(common.verbose ? Severity::kVerbose : Severity::kWarning);
  std::vector<std::string> lines = o.texts;
  if (lines.empty()) {
    CAMEO_ASSIGN(lines, read_lines(o.file.empty() ? "-" : o.file));
  }
  if (lines.empty()) return error(ErrorCode::kInvalidInput, "there is no text to embed");
  CAMEO_ASSIGN(Embedder embedder, make_embedder(o, logger));
  const std::vector<std::string_view> texts(lines.begin(), lines.end());
  const auto start = std::chrono::steady_clock::now();
  CAMEO_ASSIGN(const Tensor result, o.raw ? embedder.hidden_states(texts) : embedder.embed(texts));
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (npy)
    CAMEO_TRY(write_npy(o.output, result));
  else if (!o.output.empty())
    CAMEO_TRY(write_file(o.output, std::as_bytes(std::span<const char>(json_lines(lines, result)))));

  const EmbedStatistics& s = embedder.statistics();
  if (s.truncated > 0)
    logger.log(Severity::kWarning, fmt::format("{} of {} texts were cut off after {} tokens (--max-length)", s.truncated, s.texts,
                                               embedder.options().max_length));
  if (common.json) {
    static constexpr const char* kPoolings[] = {"mean", "cls", "max", "last"};
    Json object = {{"texts", s.texts},
                   {"tokens", s.tokens},
                   {"padded_tokens", s.padded_tokens},
                   {"truncated", s.truncated},
                   {"runs", s.runs},
                   {"width", embedder.width()},
                   {"pooling", o.raw ? "none" : kPoolings[static_cast<int>(embedder.options().pooling)]},
                   {"normalized", !o.raw && embedder.options().normalize},
                   {"seconds", seconds}};
    if (!o.output.empty()) object["output"] = o.output;
    if (o.similarities)
      object["similarities"] = similarities_of(result);
    else if (o.output.empty() && o.raw)
      object["shape"] = std::vector<int64_t>(result.dims().begin(), result.dims().end());
    if (o.output.empty() && !o.similarities) {
      Json& rows = object[o.raw ? "hidden_states" : "embeddings"] = Json::array();
      for (int64_t i = 0; i < result.dim(0); ++i) rows.push_back(row_of(result, i));
    }
    std::printf("%s\n", object.dump().c_str());
    return kDone;
  }
  if (o.similarities)
    print_similarities(lines, similarities_of(result));
  else if (o.output.empty() && o.raw)
    print_states(lines, result);
  else if (o.output.empty())
    std::fputs(json_lines(lines, result).c_str(), stdout);
  if (!o.output.empty())
    std::fprintf(stderr, "%s: float32 %s; %zu texts, %zu tokens in %.3f s\n", o.output.c_str(), result.dims().to_string().c_str(), s.texts,
                 s.tokens, seconds);
  return kDone;
}

}  // namespace

Run add_embed(CLI::App& app, const Common& common) {
  auto o = std::make_shared<Options>();
  app.add_option("model", o->model, "Folder with a model and tokenizer.json, ONNX or GGUF file, or plan")->required();
  app.add_option("texts", o->texts, "Texts to embed; without any, and without --file, the lines of stdin");
  app.add_option("--file", o->file, "File with a text on each line; - is stdin");
  app.add_option("-o,--output", o->output, "Write FILE.npy (float32 [texts, width]) or FILE.jsonl in place of stdout");
  app.add_flag("--similarities", o->similarities, "Print the cosine of each text with each");
  app.add_flag("--raw", o->raw, "Give the hidden states of all tokens, [texts, length, width], not pooled");
  static const std::map<std::string, Pooling> kPoolings = {
      {"mean", Pooling::kMean}, {"cls", Pooling::kCls}, {"max", Pooling::kMax}, {"last", Pooling::kLast}};
  app.add_option("--pooling", o->pooling, "mean, cls, max or last; default: what 1_Pooling/config.json says, else mean")
      ->transform(CLI::CheckedTransformer(kPoolings).description(""));
  app.add_flag_callback(
      "--normalize", [o] { o->normalize = true; }, "Scale vectors to length 1; default: what modules.json says, else yes");
  app.add_flag_callback(
      "--no-normalize", [o] { o->normalize = false; }, "Leave vectors as long as they are");
  app.add_option("--max-length", o->max_length, "Cut texts off after so many tokens; 0: as the model's files say")->capture_default_str();
  app.add_option("--pad-to", o->pad_to, "Pad every text to so many tokens")->capture_default_str();
  app.add_option("--batch-tokens", o->batch_tokens, "Tokens that run together, padding included")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--threads", o->threads, "Threads to use; 0: one for each processor")->check(CLI::Range(0, 1024))->capture_default_str();
  app.add_option("--tokenizer", o->tokenizer, "tokenizer.json; default: the one in the model's folder");
  app.add_option("--weights", o->build.weights, "When a model is built: how its weights are stored (see cameo build)")
      ->transform(CLI::CheckedTransformer(weight_types()).description(""));
  app.add_option("--opt-level", o->build.optimization_level, "When a model is built: how much to measure, 0 to 5")
      ->check(CLI::Range(0, 5))
      ->capture_default_str();
  return [o, &common] { return run(*o, common); };
}

}  // namespace cameo::cli
