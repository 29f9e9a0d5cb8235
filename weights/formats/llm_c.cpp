// The files of llm.c (GPT-2: 256 int32 and sixteen arrays, those of the layers stacked) and of llama2.c version 0 (7 int32 and the arrays
// of a Llama). Neither has names in it: the order is the format. llm.c's arrays have the names of its C program, as they lie in the file;
// of llama2.c's, each layer's part is a tensor of its own with Meta's name. Weights are [out, in] in both. From train_gpt2.c and
// train_gpt2.py of karpathy/llm.c and export.py of karpathy/llama2.c.
#include <array>
#include <limits>
#include <optional>

#include "weights/formats/byte_window.h"
#include "weights/formats/readers.h"
#include "weights/stored_type.h"

namespace graft {
namespace {

constexpr std::int32_t kMagic = 20240326;
constexpr std::uint64_t kHeader = 256 * 4, kLlamaHeader = 7 * 4;
constexpr std::int64_t kMostLayers = 1 << 16;

// One array of the file: layers times a shape, or one tensor where there are no layers in it.
struct Stack {
  std::string before, after;  // the name around the number of the layer; `before` alone where there is no number
  bool layered;
  std::vector<std::int64_t> shape;  // of one layer
  std::int64_t rows = -1;           // as many of the first rows are shown, the others are padding; -1: all
};

class StackedSource : public Source {
 public:
  StackedSource(const FilePtr& file, std::string kind) : file_(file) {
    path = file->path().string();
    format = std::move(kind);
    files.push_back(path);
  }
  // Where the last array ends; nothing when that overflows.
  static std::optional<std::uint64_t> end(std::uint64_t begin, std::int64_t layers, const StoredType& type,
                                          const std::vector<Stack>& stacks) {
    std::uint64_t at = begin;
    for (const Stack& s : stacks) {
      std::vector<std::int64_t> whole = s.shape;
      if (s.layered) whole.insert(whole.begin(), layers);
      const auto bytes = stored_bytes(type, whole);
      if (!bytes || *bytes > std::uint64_t{std::numeric_limits<std::int64_t>::max()} - at) return {};
      at += *bytes;
    }
    return at;
  }
  void fill(std::uint64_t begin, std::int64_t layers, const StoredType& type, const std::vector<Stack>& stacks) {
    std::uint64_t at = begin;
    for (const Stack& s : stacks) {
      const std::uint64_t bytes = *stored_bytes(type, s.shape);
      for (std::int64_t l = 0; l < (s.layered ? layers : 1); ++l, at += bytes) {
        StoredTensor t{
            s.layered ? s.before + std::to_string(l) + s.after : s.before, std::string(type.name), s.shape, {}, at, bytes, 0, -1};
        if (s.rows >= 0) t.shape[0] = s.rows, t.bytes = *stored_bytes(type, t.shape);
        tensors.push_back(std::move(t));
      }
    }
  }
  KeptBytes bytes(std::size_t i) const override { return {file_->bytes().subspan(tensors[i].offset, tensors[i].bytes), file_}; }

 private:
  FilePtr file_;
};

std::vector<Stack> gpt2(std::int64_t positions, std::int64_t vocab, std::int64_t padded, std::int64_t l, std::int64_t c) {
  return {{"wte", "", false, {padded, c}, vocab},
          {"wpe", "", false, {positions, c}},
          {"ln1w", "", false, {l, c}},
          {"ln1b", "", false, {l, c}},
          {"qkvw", "", false, {l, 3 * c, c}},
          {"qkvb", "", false, {l, 3 * c}},
          {"attprojw", "", false, {l, c, c}},
          {"attprojb", "", false, {l, c}},
          {"ln2w", "", false, {l, c}},
          {"ln2b", "", false, {l, c}},
          {"fcw", "", false, {l, 4 * c, c}},
          {"fcb", "", false, {l, 4 * c}},
          {"fcprojw", "", false, {l, c, 4 * c}},
          {"fcprojb", "", false, {l, c}},
          {"lnfw", "", false, {c}},
          {"lnfb", "", false, {c}}};
}

struct LlamaSizes {
  std::int64_t dim, hidden, layers, heads, kv_heads, vocab, positions;
  bool shared;  // embedding and classifier are one
};

std::vector<Stack> llama(const LlamaSizes& s) {
  const std::string n = "layers.";
  const std::int64_t head = s.dim / s.heads, kv = head * s.kv_heads;
  std::vector<Stack> all = {{"tok_embeddings.weight", "", false, {s.vocab, s.dim}},
                            {n, ".attention_norm.weight", true, {s.dim}},
                            {n, ".attention.wq.weight", true, {s.dim, s.dim}},
                            {n, ".attention.wk.weight", true, {kv, s.dim}},
                            {n, ".attention.wv.weight", true, {kv, s.dim}},
                            {n, ".attention.wo.weight", true, {s.dim, s.dim}},
                            {n, ".ffn_norm.weight", true, {s.dim}},
                            {n, ".feed_forward.w1.weight", true, {s.hidden, s.dim}},
                            {n, ".feed_forward.w2.weight", true, {s.dim, s.hidden}},
                            {n, ".feed_forward.w3.weight", true, {s.hidden, s.dim}},
                            {"norm.weight", "", false, {s.dim}},
                            {"freqs_cos", "", false, {s.positions, head / 2}},
                            {"freqs_sin", "", false, {s.positions, head / 2}}};
  if (!s.shared) all.push_back({"output.weight", "", false, {s.vocab, s.dim}});
  return all;
}

// The sizes of a llama2.c file, where its length is exactly what they take: the format has no magic number.
std::optional<LlamaSizes> llama_sizes(std::span<const std::byte> file) {
  if (file.size() < kLlamaHeader) return {};
  std::array<std::int32_t, 7> h{};
  std::memcpy(h.data(), file.data(), kLlamaHeader);
  if (h[5] == std::numeric_limits<std::int32_t>::min()) return {};
  const LlamaSizes s{h[0], h[1], h[2], h[3], h[4], h[5] < 0 ? -static_cast<std::int64_t>(h[5]) : h[5], h[6], h[5] > 0};
  for (const std::int64_t v : {s.dim, s.hidden, s.layers, s.heads, s.kv_heads, s.vocab, s.positions})
    if (v < 1) return {};
  if (s.layers > kMostLayers || s.dim % s.heads || s.heads % s.kv_heads || s.dim / s.heads % 2) return {};
  const auto end = StackedSource::end(kLlamaHeader, s.layers, *stored_type("F32"), llama(s));
  if (!end || *end != file.size()) return {};
  return s;
}

}  // namespace

bool is_llm_c(std::span<const std::byte> file) {
  std::int32_t magic = 0;
  if (file.size() < 4) return false;
  std::memcpy(&magic, file.data(), 4);
  return magic == kMagic;
}

SourcePtr open_llm_c(const FilePtr& file) {
  const ByteWindow w(file->bytes(), file->path().string());
  w.bytes(0, kHeader, "the header");
  const auto at = [&](int i) { return std::int64_t{w.le<std::int32_t>(4 * static_cast<std::uint64_t>(i), "the header")}; };
  const std::int64_t version = at(1);
  if (version != 3 && version != 5)
    w.refuse(4, "an llm.c file of version " + std::to_string(version),
             "graft reads 3 (fp32, padded vocabulary) and 5 (bf16): write it anew with llm.c's train_gpt2.py");
  const std::int64_t positions = at(2), vocab = at(3), layers = at(4), heads = at(5), channels = at(6), padded = at(7);
  for (int i = 2; i < 8; ++i)
    if (at(i) < 1) w.refuse(4 * static_cast<std::uint64_t>(i), "the size " + std::to_string(at(i)) + " in the header");
  if (layers > kMostLayers) w.refuse(16, std::to_string(layers) + " layers in the header");
  if (padded < vocab) w.refuse(28, "a padded vocabulary of " + std::to_string(padded) + " for " + std::to_string(vocab) + " words");
  if (channels % heads) w.refuse(20, std::to_string(channels) + " channels for " + std::to_string(heads) + " heads");
  const StoredType& type = *stored_type(version == 3 ? "F32" : "BF16");
  const auto stacks = gpt2(positions, vocab, padded, layers, channels);
  const auto end = StackedSource::end(kHeader, layers, type, stacks);
  if (!end || *end != w.size())
    w.refuse(w.size(),
             "the file has " + std::to_string(w.size()) + " bytes and its header says " +
                 (end ? std::to_string(*end) : "more than any file has"),
             "the file is cut or damaged, get it again");
  auto source = std::make_unique<StackedSource>(file, "llm.c");
  source->fill(kHeader, layers, type, stacks);
  source->metadata = {{"version", std::to_string(version)},   {"max_seq_len", std::to_string(positions)},
                      {"vocab_size", std::to_string(vocab)},  {"padded_vocab_size", std::to_string(padded)},
                      {"num_layers", std::to_string(layers)}, {"num_heads", std::to_string(heads)},
                      {"channels", std::to_string(channels)}};
  if (padded > vocab)
    source->notes.push_back("wte has " + std::to_string(padded - vocab) + " rows of padding in the file, which are left out");
  return source;
}

bool is_llama2_c(std::span<const std::byte> file) { return llama_sizes(file).has_value(); }

SourcePtr open_llama2_c(const FilePtr& file) {
  const LlamaSizes s = llama_sizes(file->bytes()).value();
  auto source = std::make_unique<StackedSource>(file, "llama2.c");
  source->fill(kLlamaHeader, s.layers, *stored_type("F32"), llama(s));
  source->metadata = {{"dim", std::to_string(s.dim)},
                      {"hidden_dim", std::to_string(s.hidden)},
                      {"n_layers", std::to_string(s.layers)},
                      {"n_heads", std::to_string(s.heads)},
                      {"n_kv_heads", std::to_string(s.kv_heads)},
                      {"vocab_size", std::to_string(s.vocab)},
                      {"max_seq_len", std::to_string(s.positions)},
                      {"shared_classifier", s.shared ? "true" : "false"}};
  return source;
}

}  // namespace graft
