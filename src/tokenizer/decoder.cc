#include "tokenizer/decoder.h"

#include <algorithm>
#include <utility>

#include "tokenizer/byte_level.h"
#include "tokenizer/pattern.h"
#include "tokenizer/unicode.h"

namespace cameo::tokenizer {
namespace {

constexpr std::string_view kKnown = "BPEDecoder, ByteFallback, ByteLevel, CTC, Fuse, Metaspace, Replace, Sequence, Strip, WordPiece";

Status check_size(size_t bytes, const Limits& limits) {
  if (bytes <= limits.max_bytes) return {};
  return error(ErrorCode::kInvalidInput, "the decoder makes the text longer than {} bytes", limits.max_bytes);
}

// The text with every occurrence of `from` replaced; an empty `from` is before every character and at the end.
std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  size_t done = 0;
  const auto replace = [&](size_t at) {
    out.append(text, done, at - done);
    out += to;
    done = at + from.size();
  };
  if (from.empty()) {
    for (size_t at = 0; at < text.size(); at += decode_at(text, at).bytes) replace(at);
    replace(text.size());
    return out;
  }
  for (size_t at = text.find(from); at != std::string_view::npos; at = text.find(from, done)) replace(at);
  out.append(text, done);
  return out;
}

// Takes back the spaces that English tokenization puts before punctuation and contractions.
std::string clean_up(std::string text) {
  static constexpr std::pair<std::string_view, std::string_view> kRules[] = {
      {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},    {" n't", "n't"},
      {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
  };
  for (const auto& [from, to] : kRules) {
    if (text.find(from) != std::string::npos) text = replace_all(text, from, to);
  }
  return text;
}

// Tokens of a word after its first bear a prefix; other tokens follow a space.
class WordPiece : public Decoder {
 public:
  WordPiece(std::string prefix, bool clean) : prefix_(std::move(prefix)), clean_(clean) {}
  Status decode(std::vector<std::string>& tokens, Limits&) const override {
    for (size_t i = 0; i < tokens.size(); ++i) {
      std::string& token = tokens[i];
      if (i > 0) {
        if (token.starts_with(prefix_)) {
          token.erase(0, prefix_.size());
        } else {
          token.insert(0, 1, ' ');
        }
      }
      if (clean_) token = clean_up(std::move(token));
    }
    return {};
  }

 private:
  std::string prefix_;
  bool clean_;
};

// The replacement character is a space, but nothing in the first token where one was prepended.
class Metaspace : public Decoder {
 public:
  Metaspace(std::string replacement, bool prepended) : replacement_(std::move(replacement)), prepended_(prepended) {}
  Status decode(std::vector<std::string>& tokens, Limits&) const override {
    for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = replace_all(tokens[i], replacement_, i == 0 && prepended_ ? "" : " ");
    return {};
  }

 private:
  std::string replacement_;
  bool prepended_;
};

// A suffix ends each word.
class BpeDecoder : public Decoder {
 public:
  explicit BpeDecoder(std::string suffix) : suffix_(std::move(suffix)) {}
  Status decode(std::vector<std::string>& tokens, Limits&) const override {
    for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = replace_all(tokens[i], suffix_, i + 1 == tokens.size() ? "" : " ");
    return {};
  }

 private:
  std::string suffix_;
};

// Connectionist temporal classification: equal tokens side by side are one, padding is nothing.
class Ctc : public Decoder {
 public:
  Ctc(std::string padding, std::string delimiter, bool clean)
      : padding_(std::move(padding)), delimiter_(std::move(delimiter)), clean_(clean) {}
  Status decode(std::vector<std::string>& tokens, Limits&) const override {
    tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
    for (std::string& token : tokens) {
      token = replace_all(token, padding_, "");
      if (clean_) token = replace_all(clean_up(std::move(token)), delimiter_, " ");
    }
    std::erase(tokens, "");
    return {};
  }

 private:
  std::string padding_, delimiter_;
  bool clean_;
};

// All tokens' bytes as one text; what is not UTF-8 becomes U+FFFD.
class ByteLevel : public Decoder {
 public:
  Status decode(std::vector<std::string>& tokens, Limits&) const override {
    std::string bytes;
    for (const std::string& token : tokens) append_byte_level_decoded(bytes, token);
    tokens.assign(1, find_invalid_utf8(bytes) == std::string::npos ? std::move(bytes) : to_valid_utf8(bytes));
    return {};
  }
};

// Runs of <0x41>-like tokens as text, or one U+FFFD for each if the run is not UTF-8.
class ByteFallback : public Decoder {
 public:
  Status decode(std::vector<std::string>& tokens, Limits&) const override {
    std::vector<std::string> out;
    std::string run;
    const auto flush = [&] {
      if (run.empty()) return;
      if (find_invalid_utf8(run) == std::string::npos) {
        out.push_back(run);
      } else {
        out.insert(out.end(), run.size(), "\xef\xbf\xbd");
      }
      run.clear();
    };
    for (std::string& token : tokens) {
      const int byte = byte_of(token);
      if (byte >= 0) {
        run += static_cast<char>(byte);
      } else {
        flush();
        out.push_back(std::move(token));
      }
    }
    flush();
    tokens = std::move(out);
    return {};
  }

 private:
  static int hex(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
  }
  static int byte_of(std::string_view token) {
    if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
    const int high = token[3] == '+' ? 0 : hex(token[3]);  // Rust's from_str_radix takes a sign
    const int low = hex(token[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
  }
};

class Fuse : public Decoder {
 public:
  Status decode(std::vector<std::string>& tokens, Limits&) const override {
    std::string all;
    for (const std::string& token : tokens) all += token;
    tokens.assign(1, std::move(all));
    return {};
  }
};

class Replace : public Decoder {
 public:
  Replace(Pattern pattern, std::string content) : pattern_(std::move(pattern)), content_(std::move(content)) {}
  Status decode(std::vector<std::string>& tokens, Limits& limits) const override {
    size_t bytes = 0;
    for (std::string& token : tokens) {
      if (!token.empty()) {
        CAMEO_ASSIGN(const std::vector<Span> matches, pattern_.find_all(token, limits));
        std::string out;
        size_t at = 0;
        for (const Span& match : matches) {
          out.append(token, at, match.begin - at);
          out += content_;
          at = match.end;
          CAMEO_TRY(check_size(bytes + out.size(), limits));
        }
        out.append(token, at);
        token = std::move(out);
      }
      bytes += token.size();
      CAMEO_TRY(check_size(bytes, limits));
    }
    return {};
  }

 private:
  Pattern pattern_;
  std::string content_;
};

// Takes up to `start` of a character off each token's start and up to `stop` off its end.
class Strip : public Decoder {
 public:
  Strip(std::string content, uint32_t start, uint32_t stop) : content_(std::move(content)), start_(start), stop_(stop) {}
  Status decode(std::vector<std::string>& tokens, Limits&) const override {
    for (std::string& token : tokens) {
      std::string_view rest = token;
      for (uint32_t i = 0; i < start_ && rest.starts_with(content_); ++i) rest.remove_prefix(content_.size());
      for (uint32_t i = 0; i < stop_ && rest.ends_with(content_); ++i) rest.remove_suffix(content_.size());
      token = std::string(rest);
    }
    return {};
  }

 private:
  std::string content_;
  uint32_t start_, stop_;
};

class Sequence : public Decoder {
 public:
  explicit Sequence(std::vector<std::unique_ptr<Decoder>> stages) : stages_(std::move(stages)) {}
  Status decode(std::vector<std::string>& tokens, Limits& limits) const override {
    for (const auto& stage : stages_) {
      CAMEO_TRY(stage->decode(tokens, limits));
      size_t bytes = 0;
      for (const std::string& token : tokens) bytes += token.size();
      CAMEO_TRY(check_size(bytes, limits));
    }
    return {};
  }

 private:
  std::vector<std::unique_ptr<Decoder>> stages_;
};

}  // namespace

Result<std::unique_ptr<Decoder>> parse_decoder(const Json& json, std::string where, int depth) {
  if (depth > kMaxStageDepth) return error(ErrorCode::kUnsupported, "{} is nested more than {} deep", where, kMaxStageDepth);
  CAMEO_ASSIGN(const Fields fields, Fields::of(json, std::move(where)));
  CAMEO_ASSIGN(const std::string type, fields.type());
  if (type == "BPEDecoder") {
    CAMEO_ASSIGN(std::string suffix, fields.string("suffix"));
    return std::make_unique<BpeDecoder>(std::move(suffix));
  }
  if (type == "CTC") {
    CAMEO_ASSIGN(std::string padding, fields.string("pad_token"));
    CAMEO_ASSIGN(std::string delimiter, fields.string("word_delimiter_token"));
    CAMEO_ASSIGN(const bool clean, fields.boolean("cleanup"));
    return std::make_unique<Ctc>(std::move(padding), std::move(delimiter), clean);
  }
  if (type == "Metaspace") {
    CAMEO_ASSIGN(std::string replacement, fields.character("replacement"));
    CAMEO_ASSIGN(const std::string scheme, fields.string_or("prepend_scheme", "always"));
    CAMEO_ASSIGN(const bool prefix_space, fields.boolean_or("add_prefix_space", true));
    return std::make_unique<Metaspace>(std::move(replacement), prefix_space && scheme != "never");
  }
  if (type == "WordPiece") {
    CAMEO_ASSIGN(std::string prefix, fields.string("prefix"));
    CAMEO_ASSIGN(const bool clean, fields.boolean("cleanup"));
    return std::make_unique<WordPiece>(std::move(prefix), clean);
  }
  if (type == "ByteLevel") return std::make_unique<ByteLevel>();
  if (type == "ByteFallback") return std::make_unique<ByteFallback>();
  if (type == "Fuse") return std::make_unique<Fuse>();
  if (type == "Replace") {
    CAMEO_ASSIGN(Pattern pattern, Pattern::parse(fields, "pattern"));
    CAMEO_ASSIGN(std::string content, fields.string("content"));
    return std::make_unique<Replace>(std::move(pattern), std::move(content));
  }
  if (type == "Strip") {
    CAMEO_ASSIGN(std::string content, fields.character("content"));
    CAMEO_ASSIGN(const uint32_t start, fields.uint32("start"));
    CAMEO_ASSIGN(const uint32_t stop, fields.uint32("stop"));
    return std::make_unique<Strip>(std::move(content), start, stop);
  }
  if (type == "Sequence") {
    CAMEO_ASSIGN(const Json* list, fields.array("decoders"));
    std::vector<std::unique_ptr<Decoder>> stages;
    for (const Json& item : *list) {
      CAMEO_ASSIGN(auto stage, parse_decoder(item, fmt::format("{}[{}]", fields.path("decoders"), stages.size()), depth + 1));
      stages.push_back(std::move(stage));
    }
    return std::make_unique<Sequence>(std::move(stages));
  }
  return unsupported_type(fields, type, kKnown);
}

}  // namespace cameo::tokenizer
