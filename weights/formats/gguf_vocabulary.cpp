#include "weights/formats/gguf_vocabulary.h"

namespace graft {
namespace {

constexpr std::string_view kPrefix = "tokenizer.ggml.";

// Whose keys they are, for messages.
struct Keys {
  const GgufKeys& all;
  const std::string& path;
};
[[noreturn]] void refuse(const Keys& of, std::string_view key, const std::string& what) {
  const std::string whole = std::string(kPrefix) + std::string(key);
  throw Error(Code::input, of.path + ": " + what + " at byte " + std::to_string(of.all.byte_of(whole)) + " (key \"" + whole +
                               "\"); the vocabulary is damaged, get the file again");
}

std::vector<std::string> texts(const GgufValue& v, std::string_view key, const Keys& of) {
  if (v.type() != GgufType::array || v.element_type() != GgufType::text) refuse(of, key, "has something else than an array of texts");
  std::vector<std::string> all;
  all.reserve(v.size());
  for (std::size_t i = 0; i < v.size(); ++i) all.emplace_back(v.text(i));
  return all;
}

template <class T>
std::vector<T> of_tokens(const GgufValue& v, std::string_view key, std::size_t tokens, const Keys& of) {
  if (v.type() != GgufType::array || v.element_type() != gguf_type_of<T>())
    refuse(of, key, "has something else than an array of " + std::string(name_of(gguf_type_of<T>())));
  if (v.size() != tokens) refuse(of, key, "has " + std::to_string(v.size()) + " values for " + std::to_string(tokens) + " tokens");
  return v.numbers<T>();
}

}  // namespace

std::optional<GgufVocabulary> read_vocabulary(const GgufKeys& keys, const std::string& path) {
  const GgufValue* tokens = keys.find(std::string(kPrefix) + "tokens");
  if (!tokens) return {};
  const Keys of{keys, path};
  GgufVocabulary out;
  out.tokens = texts(*tokens, "tokens", of);
  for (const auto& [name, value, at] : keys.all()) {
    if (!name.starts_with(kPrefix)) continue;
    const std::string_view key = std::string_view(name).substr(kPrefix.size());
    constexpr std::string_view kId = "_token_id";
    if (key == "model" || key == "pre") {
      if (value.type() != GgufType::text) refuse(of, key, "has something else than text");
      (key == "model" ? out.model : out.pre) = value.text();
    } else if (key == "scores") {
      out.scores = of_tokens<float>(value, key, out.tokens.size(), of);
    } else if (key == "token_type") {
      out.types = of_tokens<std::int32_t>(value, key, out.tokens.size(), of);
    } else if (key == "merges") {
      out.merges = texts(value, key, of);
    } else if (key.ends_with(kId)) {
      if (!value.is_whole() || value.number() < 0 || value.number() >= static_cast<double>(out.tokens.size()))
        refuse(of, key, "names the token " + value.shown() + " of " + std::to_string(out.tokens.size()));
      out.special[std::string(key.substr(0, key.size() - kId.size()))] = value.whole();
    } else if (value.type() == GgufType::boolean) {
      out.flags[std::string(key)] = value.whole() != 0;
    }
  }
  return out;
}

}  // namespace graft
