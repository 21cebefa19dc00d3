// Texts to vectors with an encoder model: tokenise, run in batches of like lengths, pool, normalise.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "cameo/builder.h"
#include "cameo/engine.h"
#include "cameo/error.h"
#include "cameo/export.h"
#include "cameo/tensor.h"
#include "cameo/tokenizer.h"

namespace cameo {

// How the hidden states of a text's tokens become one vector: their mean, the first one ([CLS]), the largest value of
// each component, or the last one. Padding does not count.
enum class Pooling { kMean, kCls, kMax, kLast };

struct EmbedderOptions {
  static constexpr size_t kUsualMaxLength = 512;

  Pooling pooling = Pooling::kMean;
  bool normalize = true;  // to length 1
  // Texts are cut off after so many tokens, special ones included. 0: as many as tokenizer.json says, 512 if it does not;
  // never more than the plan's profiles allow.
  size_t max_length = 0;
  size_t pad_to = 0;           // every text is padded to at least so many tokens
  size_t batch_tokens = 1024;  // tokens in a run, padding included; a text longer than that runs alone
  int threads = 0;             // 0: one for each processor that the process may use

  // What the files of sentence-transformers in the model's folder say of pooling, normalisation and length (modules.json,
  // 1_Pooling/config.json, sentence_bert_config.json); the defaults above where there are none. Errors: kInvalidModel for a damaged file,
  // kUnsupported for a module or a pooling that is not known.
  CAMEO_API static Result<EmbedderOptions> from_folder(const std::string& folder);
};

// How Embedder::load finds and builds a model.
struct EmbedderLoadOptions {
  std::string tokenizer;                         // this tokenizer.json instead of the folder's
  BuildOptions build;                            // where a plan is built
  std::function<void(EmbedderOptions&)> change;  // changes what the folder's files say; may be empty
  Logger* logger = nullptr;                      // null: default_logger()
};

// What the last embed() or hidden_states() did.
struct EmbedStatistics {
  size_t texts = 0;
  size_t tokens = 0;         // of the texts, special ones included
  size_t padded_tokens = 0;  // that ran, padding included
  size_t truncated = 0;      // texts that were cut off
  size_t runs = 0;
};

// An encoder: input_ids, and if the model has them attention_mask and token_type_ids (int64 or int32, [batch, sequence]) →
// an output float [batch, sequence, width] ("last_hidden_state", else the first of that rank), or vectors that the model pools
// itself, float [batch, width]. For use by one thread at a time.
class CAMEO_API Embedder {
 public:
  // Errors: kUnsupported when the engine's inputs and outputs are not those of an encoder; kInvalidArgument for options that no
  // profile of the plan allows.
  static Result<Embedder> create(const Engine& engine, Tokenizer tokenizer, const EmbedderOptions& options = {});
  // From a folder that holds a plan, an ONNX file, or config.json and safetensors, with tokenizer.json and what from_folder() reads; or
  // from one of these files or a GGUF file. Language models made from config.json or GGUF give their last hidden states. Errors: those
  // of Builder, Engine, Tokenizer, from_folder and create; kIo for missing files.
  static Result<Embedder> load(const std::string& path, const EmbedderLoadOptions& options = {});
  Embedder(Embedder&&) noexcept;
  Embedder& operator=(Embedder&&) noexcept;
  ~Embedder();

  // A float32 tensor [texts, width()], a row a text in the order given. Errors: kInvalidInput for text that is not UTF-8 or
  // has no tokens, or a token that the model does not know; those of ExecutionContext::run.
  Result<Tensor> embed(std::span<const std::string_view> texts);
  // The hidden states before pooling, float32 [texts, length, width()], length being that of the longest text or pad_to. Rows
  // of padding are what the model gives, zero beyond the padding that a text ran with. Errors: also kUnsupported for a model
  // that pools itself.
  Result<Tensor> hidden_states(std::span<const std::string_view> texts);

  int64_t width() const;
  const EmbedderOptions& options() const;  // with max_length as it holds
  const EmbedStatistics& statistics() const;

  // Called after every run with the texts done so far; returning false stops with kCancelled.
  void set_progress(std::function<bool(size_t done, size_t of)> progress);

 private:
  struct Impl;
  explicit Embedder(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace cameo
