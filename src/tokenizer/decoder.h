// The way back: tokens to text.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tokenizer/json_fields.h"
#include "tokenizer/limits.h"

namespace cameo::tokenizer {

class Decoder {
 public:
  virtual ~Decoder() = default;
  // Changes the list of strings, all valid UTF-8; joined they are the text. An error if they would pass the limits.
  virtual Status decode(std::vector<std::string>& tokens, Limits& limits) const = 0;
};

// Known types: BPEDecoder, ByteFallback, ByteLevel, CTC, Fuse, Metaspace, Replace, Sequence, Strip, WordPiece.
Result<std::unique_ptr<Decoder>> parse_decoder(const Json& json, std::string where, int depth = 0);

}  // namespace cameo::tokenizer
