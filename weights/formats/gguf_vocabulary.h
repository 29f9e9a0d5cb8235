// The vocabulary that a GGUF file carries under tokenizer.ggml.*: what a tokenizer is made from.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "weights/formats/gguf.h"

namespace graft {

struct GgufVocabulary {
  std::string model;                // "gpt2" (byte pairs), "llama" (sentencepiece), "bert" (word pieces), ...
  std::string pre;                  // which splitting comes before byte pairs; empty where nothing is said
  std::vector<std::string> tokens;  // by number; bytes, not always UTF-8
  std::vector<float> scores;        // as many as tokens, or none
  std::vector<std::int32_t> types;  // as many as tokens, or none: 1 normal, 2 unknown, 3 control, 4 user defined, 5 unused, 6 byte
  std::vector<std::string> merges;  // "a b" in order of rank; none for other models
  std::map<std::string, std::int64_t> special;  // "bos", "eos", "unknown", "padding", ... to a token's number
  std::map<std::string, bool> flags;            // "add_bos_token", "add_space_prefix", ...
};

// Nothing when the file has no tokens. Error(input), naming `path` and the key: scores or types of another number than tokens, values of
// another kind, a special token whose number is not below the number of tokens.
std::optional<GgufVocabulary> read_vocabulary(const GgufKeys& keys, const std::string& path);

}  // namespace graft
