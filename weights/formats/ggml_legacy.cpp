#include "weights/formats/ggml_legacy.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <string_view>

#include "weights/formats/json_guard.h"
#include "weights/stored_type.h"

namespace graft {
namespace {

constexpr std::size_t kMostAxes = 4, kMostName = 255;
constexpr std::string_view kAgain = "the file is damaged, get it again",
                           kGguf = "convert the model to GGUF with llama.cpp's or whisper.cpp's scripts";
constexpr const char* kWhisper[] = {"n_vocab",      "n_audio_ctx", "n_audio_state", "n_audio_head", "n_audio_layer", "n_text_ctx",
                                    "n_text_state", "n_text_head", "n_text_layer",  "n_mels",       "ftype"};
constexpr const char* kGpt2[] = {"n_vocab", "n_ctx", "n_embd", "n_head", "n_layer", "ftype"};

class LegacyReader {
 public:
  LegacyReader(std::span<const std::byte> bytes, const std::string& path) : bytes_(bytes), path_(path) {}

  [[noreturn]] void fail(const std::string& what, std::uint64_t byte, std::string_view todo) const {
    throw Error(Code::input, path_ + ": " + what + " at byte " + std::to_string(byte) + " (" + subject + "); " + std::string(todo));
  }
  std::uint64_t at() const { return at_; }
  std::uint64_t left() const { return bytes_.size() - at_; }
  void need(std::uint64_t n, const std::string& what) const {
    if (n > left())
      fail("is truncated: " + what + " takes " + std::to_string(n) + " bytes, and the file ends after " + std::to_string(left()), at_,
           "get the file again");
  }
  std::string_view take(std::uint64_t n, const std::string& what) {
    need(n, what);
    const std::string_view s(reinterpret_cast<const char*>(bytes_.data() + at_), n);
    at_ += n;
    return s;
  }
  // A number that is not negative and not above `most`.
  std::uint64_t count(const std::string& what, std::uint64_t most) {
    const std::uint64_t at = at_;
    std::int32_t v;
    std::memcpy(&v, take(4, what).data(), 4);
    if (v < 0 || static_cast<std::uint64_t>(v) > most)
      fail("has " + std::to_string(v) + " for " + what + ", and 0 to " + std::to_string(most) + " are possible", at, kAgain);
    return static_cast<std::uint64_t>(v);
  }
  // The number at place i after the magic, without going there; -1 beyond the end.
  std::int64_t peek(std::size_t i) const {
    std::int32_t v;
    if (bytes_.size() < 8 + 4 * i) return -1;
    std::memcpy(&v, bytes_.data() + 4 + 4 * i, 4);
    return v;
  }

  std::string subject = "header";

 private:
  std::span<const std::byte> bytes_;
  const std::string& path_;
  std::uint64_t at_ = 4;  // after the magic
};

}  // namespace

LegacyGgmlSource::LegacyGgmlSource(const std::filesystem::path& opened) : map_(MappedFile::open(opened)) {
  read(map_->bytes(), opened.string());
}
LegacyGgmlSource::LegacyGgmlSource(std::span<const std::byte> bytes, const std::string& path) { read(bytes, path); }

void LegacyGgmlSource::read(std::span<const std::byte> bytes, const std::string& of) {
  all_ = bytes;
  path = of;
  files = {of};
  LegacyReader r(bytes, path);
  if (bytes.size() < 4 || std::memcmp(bytes.data(), "lmgg", 4) != 0)
    r.fail("does not begin with lmgg", 0, "this is no file of ggml's old container");

  // Whisper says the number of its mel bands twice, GPT-2 the size of its vocabulary.
  constexpr std::uint64_t most = 0x7fffffff;
  std::span<const char* const> names;
  if (r.peek(9) > 0 && r.peek(9) == r.peek(11)) {
    model = "whisper";
    names = kWhisper;
  } else if (r.peek(0) > 0 && r.peek(0) == r.peek(6)) {
    model = "gpt2";
    names = kGpt2;
  } else {
    r.fail(bytes.size() < 52 ? "is truncated, or of a model that graft does not know in this container"
                             : "is of a model that graft does not know in this container",
           4, kGguf);
  }
  format = "legacy ggml (" + model + ")";
  for (const char* name : names) sizes[name] = static_cast<std::int64_t>(r.count(name, most));
  if (model == "whisper") {
    r.subject = "mel filters";
    const std::uint64_t mels = r.count("the number of mel bands", 4096), bins = r.count("the number of frequencies", 65536);
    if (mels == 0 || bins == 0) r.fail("has mel filters without elements", r.at() - 8, kAgain);
    const std::string_view filters = r.take(4 * mels * bins, "the mel filters");
    mel_filters.resize(mels * bins);
    std::memcpy(mel_filters.data(), filters.data(), filters.size());
    mel_bins = static_cast<std::int64_t>(bins);
  }
  r.subject = "vocabulary";
  const std::uint64_t texts = r.count("the number of tokens", std::min(r.left() / 4, std::uint64_t{1} << 24));
  for (std::uint64_t i = 0; i < texts; ++i) tokens.emplace_back(r.take(r.count("the length of a token", most), "a token"));

  std::set<std::string, std::less<>> seen;
  while (r.left() > 0) {
    r.subject = "tensor " + std::to_string(tensors.size());
    const std::uint64_t begin = r.at();
    const std::uint64_t axes = r.count("the number of axes", kMostAxes), length = r.count("the length of a name", kMostName);
    const std::uint64_t type_at = r.at(), type = r.count("the type of a tensor", most);
    StoredTensor t;
    t.shape.resize(axes);
    for (std::uint64_t i = axes; i-- > 0;) {
      t.shape[i] = static_cast<std::int64_t>(r.count("the size of an axis", most));
      if (t.shape[i] == 0) r.fail("has an axis of size 0", r.at() - 4, kAgain);
    }
    t.name = r.take(length, "the name of a tensor");
    if (t.name.empty() || first_not_utf8(t.name) != std::string_view::npos || t.name.find('\0') != std::string::npos)
      r.fail("has a name that is not text: " + in_quotes(t.name), r.at() - length, kAgain);
    r.subject = "tensor " + in_quotes(t.name);
    if (!seen.insert(t.name).second) r.fail("has this tensor twice", begin, kAgain);
    if (type > 1) r.fail("has the ggml type " + std::to_string(type) + ", and of this container F32 and F16 are read", type_at, kGguf);
    t.dtype = type == 0 ? "F32" : "F16";
    const auto size = stored_bytes(*stored_type(t.dtype), t.shape);
    if (!size) r.fail("has more elements than 63 bits count", begin, kAgain);
    t.offset = r.at();
    t.bytes = *size;
    r.take(*size, "its data");
    tensors.push_back(std::move(t));
  }
  if (tensors.empty()) warnings.push_back("the file has no tensors: a header and a vocabulary alone, as whisper.cpp's test models have it");

  for (const auto& [name, value] : sizes) metadata[name] = std::to_string(value);
  metadata["tokens"] = std::to_string(tokens.size());
  if (model == "whisper") metadata["mel_filters"] = "[" + std::to_string(sizes["n_mels"]) + ", " + std::to_string(mel_bins) + "]";
}

KeptBytes LegacyGgmlSource::bytes(std::size_t i) const { return {all_.subspan(tensors[i].offset, tensors[i].bytes), map_}; }

SourcePtr open_legacy_ggml(const std::filesystem::path& path) { return std::make_unique<LegacyGgmlSource>(path); }

}  // namespace graft
