#include "weights/writers.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/autograd/tape.h"
#include "engine/base/file.h"
#include "engine/base/json.h"
#include "engine/ops/ops.h"
#include "weights/formats/ggml_blocks.h"
#include "weights/formats/gguf.h"
#include "weights/formats/json_guard.h"
#include "weights/formats/npy.h"
#include "weights/formats/safetensors.h"
#include "weights/formats/torch_writer.h"
#include "weights/stored_type.h"

namespace graft {
namespace fs = std::filesystem;
namespace {

bool is_block(const OutTensor& t) {
  const StoredType* type = stored_type(t.dtype);
  return type && type->elements > 1;
}
bool has_floats(const OutTensor& t) {
  const StoredType* type = stored_type(t.dtype);
  return type && type->loads && is_float(type->loaded);
}

// One tensor as a Source, so that loading (widening, strides, blocks) is written once.
class OneTensor : public Source {
 public:
  explicit OneTensor(OutTensor t) : t_(std::move(t)) {
    path = "what is to be written";
    files = {path};
    tensors = {{t_.name, t_.dtype, t_.shape, t_.strides, 0, 0, 0, -1}};
  }
  KeptBytes bytes(std::size_t) const override { return t_.bytes(); }

 private:
  OutTensor t_;
};

DType dtype_named(std::string_view name) {
  for (const DType t : kAllDTypes)
    if (stored_name(t) == name) return t;
  throw Error(Code::usage,
              "'" + std::string(name) +
                  "' is no type that floats can be written in; take F64, F32, BF16, F16, or for gguf a block type such as Q8_0 or Q4_K");
}

OutTensor dense(OutTensor t) {
  if (t.strides.empty()) return t;
  OutTensor out = t;
  out.strides.clear();
  out.storage = -1;
  const StoredType* type = stored_type(t.dtype);
  if (!type || type->elements != 1)
    throw Error(Code::usage, "tensor " + in_quotes(t.name) + " has strides and the type " + t.dtype +
                                 ", which this container has no place for; convert it to F32 (--dtype F32)");
  out.bytes = [t = std::move(t)]() -> KeptBytes { return dense_once(t); };
  return out;
}

// Tensors that are one and the same memory with one and the same shape are one tensor in containers without ties: the first name is
// written, the others are told.
std::vector<OutTensor> without_ties(std::vector<OutTensor> all, std::map<std::string, std::string>& metadata,
                                    std::vector<std::string>& said) {
  std::vector<OutTensor> out;
  for (OutTensor& t : all) {
    const auto same = t.storage < 0 ? out.end() : std::find_if(out.begin(), out.end(), [&](const OutTensor& o) {
      return o.storage == t.storage && o.offset == t.offset && o.shape == t.shape && o.strides == t.strides && o.dtype == t.dtype;
    });
    if (same == out.end()) {
      out.push_back(std::move(t));
      continue;
    }
    metadata[t.name] = same->name;  // as the safetensors package tells it
    said.push_back(in_quotes(t.name) + " is " + in_quotes(same->name) + " and is written once, under that name");
  }
  return out;
}

std::span<const std::byte> held(const OutTensor& t, KeptBytes& holder) {
  holder = t.bytes();
  return holder.data;
}

// The type that `container` can hold for this tensor, nearest to what it is.
std::string holdable(const OutTensor& t, Container container) {
  const bool block = is_block(t);
  if (container == Container::gguf) {
    if (ggml_type_of(t.dtype)) return t.dtype;
    if (!has_floats(t))
      throw Error(Code::usage,
                  "tensor " + in_quotes(t.name) + " is " + t.dtype + ", which gguf has not; leave it out or convert it where it was made");
    return "F32";
  }
  if (block) return "F32";
  const bool f8 = t.dtype.starts_with("F8_");
  if (container == Container::npz && f8) return "F32";
  if (container == Container::torch && t.dtype == "F8_E8M0") return "F32";
  return t.dtype;
}

// As huggingface_hub splits (split_state_dict_into_shards_factory), so that the same checkpoint has the same shards: in the order of the
// tensors, a tensor larger than a shard by itself, without an end to the shard that is being filled.
std::vector<std::vector<const OutTensor*>> split(const std::vector<OutTensor>& tensors, std::uint64_t most, std::uint64_t& total) {
  std::vector<std::vector<const OutTensor*>> shards;
  std::vector<const OutTensor*> now;
  std::uint64_t filled = 0;
  for (const OutTensor& t : tensors) {
    const StoredType* type = stored_type(t.dtype);  // none for what only its own container has; the header refuses it
    const std::uint64_t size = type ? stored_bytes(*type, t.shape).value_or(0) : 0;
    total += size;
    if (size > most) {
      shards.push_back({&t});
      continue;
    }
    if (size > most - filled) shards.push_back(std::move(now)), now.clear(), filled = 0;
    now.push_back(&t);
    filled += size;
  }
  if (!now.empty() || shards.empty()) shards.push_back(std::move(now));
  return shards;
}

fs::path write_shards(const fs::path& path, const std::vector<OutTensor>& tensors, const OutCheckpoint& c,
                      const std::map<std::string, std::string>& metadata, std::uint64_t most, std::vector<std::string>& said) {
  std::uint64_t total = 0;
  const auto shards = split(tensors, most, total);
  std::string stem = path.filename().string();
  if (stem.ends_with(".safetensors")) stem.resize(stem.size() - 12);
  std::map<std::string, std::string> file_of;  // sorted, as transformers writes it
  for (std::size_t s = 0; s < shards.size(); ++s) {
    const std::string name =
        shards.size() == 1 ? path.filename().string() : fmt::format("{}-{:05}-of-{:05}.safetensors", stem, s + 1, shards.size());
    std::vector<SafetensorsItem> items;
    for (const OutTensor* t : shards[s]) items.push_back({t->name, t->dtype, t->shape}), file_of[t->name] = name;
    KeptBytes kept;
    write_safetensors(
        path.parent_path() / name, items, metadata, [&](std::size_t i) { return held(*shards[s][i], kept); }, c.metadata_order);
  }
  if (shards.size() == 1) return path;
  Json map = Json::object();
  for (const auto& [name, file] : file_of) map[name] = file;
  const Json index{{"metadata", {{"total_size", total}}}, {"weight_map", map}};
  const fs::path at = path.parent_path() / (stem + ".safetensors.index.json");
  write_atomically(at, json_ascii(index) + "\n");
  said.push_back(std::to_string(shards.size()) + " shards; their index is " + at.string());
  return at;
}

}  // namespace

std::optional<Container> container_named(std::string_view name) {
  if (name == "safetensors") return Container::safetensors;
  if (name == "pt" || name == "pth" || name == "torch" || name == "bin") return Container::torch;
  if (name == "npz") return Container::npz;
  if (name == "gguf") return Container::gguf;
  return {};
}
std::optional<Container> container_of_file(const fs::path& path) {
  const std::string extension = path.extension().string();
  return extension.empty() ? std::nullopt : container_named(std::string_view(extension).substr(1));
}
std::string_view name_of(Container c) {
  switch (c) {
    case Container::safetensors: return "safetensors";
    case Container::torch: return "PyTorch zip";
    case Container::npz: return "npz";
    case Container::gguf: return "GGUF";
  }
  return {};
}

OutCheckpoint as_written(std::shared_ptr<const Source> source) {
  OutCheckpoint out;
  out.metadata = source->metadata;
  out.metadata_order = source->metadata_order;
  out.origin = source;
  for (std::size_t i = 0; i < source->tensors.size(); ++i) {
    const StoredTensor& t = source->tensors[i];
    out.tensors.push_back({t.name, t.dtype, t.shape, t.strides, t.storage, t.offset, [source, i] { return source->bytes(i); }});
  }
  return out;
}

OutTensor out_tensor(const std::string& name, const Tensor& t) {
  return {name, std::string(stored_name(t.dtype())), {t.shape().begin(), t.shape().end()}, {}, -1, 0, [t]() -> KeptBytes {
            const auto kept = std::make_shared<Tensor>(contiguous(t.detach()));
            return {{static_cast<const std::byte*>(kept->raw()), static_cast<std::size_t>(kept->bytes())}, kept};
          }};
}

Tensor load_once(const OutTensor& t) { return OneTensor(t).load(0); }
KeptBytes dense_once(const OutTensor& t) { return OneTensor(t).dense_bytes(0); }

OutTensor in_dtype(OutTensor t, std::string_view dtype) {
  if (t.dtype == dtype || !has_floats(t)) return t;
  OutTensor out = t;
  out.dtype = dtype;
  out.strides.clear();
  out.storage = -1;
  const StoredType* to = stored_type(dtype);
  if (to && to->elements > 1) {
    if (!quantises(dtype))
      throw Error(Code::usage,
                  std::string(dtype) + " is a type that graft reads and does not write; take Q8_0, Q4_0 or one of Q2_K to Q6_K");
    if (!stored_bytes(*to, t.shape))
      throw Error(Code::usage, "tensor " + in_quotes(t.name) + ": its last axis is not whole blocks of " + std::to_string(to->elements) +
                                   " as " + std::string(dtype) + " wants");
    out.bytes = [t = std::move(t), to]() -> KeptBytes {
      NoGrad off;
      UseQueue host(host_queue());
      const Tensor floats = cast(OneTensor(t).load(0), DType::f32);
      const auto blocks = static_cast<std::size_t>(floats.numel() / to->elements);
      auto kept = std::make_shared<std::vector<std::byte>>(blocks * static_cast<std::size_t>(to->bits / 8));
      if (blocks) quantise_blocks(to->name, floats.data<float>(), blocks, kept->data());
      return {*kept, kept};
    };
    return out;
  }
  const DType wanted = dtype_named(dtype);
  if (!is_float(wanted)) dtype_named("");
  out.bytes = [t = std::move(t), wanted]() -> KeptBytes {
    NoGrad off;
    UseQueue host(host_queue());
    const auto kept = std::make_shared<Tensor>(cast(OneTensor(t).load(0), wanted));
    return {{static_cast<const std::byte*>(kept->raw()), static_cast<std::size_t>(kept->bytes())}, kept};
  };
  return out;
}

Written write_checkpoint(const fs::path& path, Container container, const OutCheckpoint& checkpoint, const WriteOptions& options) {
  Written written{path, {}};
  std::vector<std::string>& said = written.said;
  std::map<std::string, std::string> metadata = checkpoint.metadata;
  std::vector<OutTensor> tensors = checkpoint.tensors;
  if (container != Container::torch) tensors = without_ties(std::move(tensors), metadata, said);
  if (const auto* gguf = dynamic_cast<const GgufSource*>(checkpoint.origin.get()); gguf && container != Container::gguf) {
    // Metadata elsewhere is text: what GGUF has of lists (its vocabulary) would be there in part, as it is shown.
    std::size_t lists = 0;
    for (const GgufKey& k : gguf->keys.all()) {
      if (k.value.type() == GgufType::text && metadata.count(k.name) && first_not_utf8(k.value.text()) == std::string_view::npos)
        metadata[k.name] = k.value.text();
      if (k.value.type() == GgufType::array) lists += metadata.erase(k.name);
    }
    if (lists)
      said.push_back(std::to_string(lists) + " keys of GGUF that are lists (a vocabulary is made of them) have no place in " +
                     std::string(name_of(container)) + " and were left out");
  }
  std::map<std::string, int> changed;  // "Q4_K to F32": how many
  for (OutTensor& t : tensors) {
    std::string wanted = holdable(t, container);
    if (!options.dtype.empty() && has_floats(t))
      wanted = container == Container::gguf ? gguf_dtype_for(options.dtype, t.shape) : options.dtype;
    if (wanted != t.dtype) ++changed[t.dtype + " to " + wanted];
    t = in_dtype(std::move(t), wanted);
    if (container != Container::torch) t = dense(std::move(t));
  }
  for (const auto& [what, count] : changed) said.push_back(std::to_string(count) + (count == 1 ? " tensor" : " tensors") + " from " + what);

  KeptBytes kept;
  const auto bytes_of = [&](std::size_t i) { return held(tensors[i], kept); };
  switch (container) {
    case Container::safetensors: {
      if (options.shard_bytes > 0) {
        written.at = write_shards(path, tensors, checkpoint, metadata, options.shard_bytes, said);
        break;
      }
      std::vector<SafetensorsItem> items;
      for (const OutTensor& t : tensors) items.push_back({t.name, t.dtype, t.shape});
      write_safetensors(path, items, metadata, bytes_of, checkpoint.metadata_order);
      break;
    }
    case Container::npz: {
      std::vector<NpzItem> items;
      for (const OutTensor& t : tensors) items.push_back({t.name, t.dtype, t.shape});
      write_npz(path, items, bytes_of);
      break;
    }
    case Container::gguf: {
      std::vector<GgufItem> items;
      for (const OutTensor& t : tensors) items.push_back({t.name, t.dtype, t.shape});
      const auto* origin = dynamic_cast<const GgufSource*>(checkpoint.origin.get());
      GgufKeys keys;
      if (origin) {
        keys = options.dtype.empty() ? origin->keys : gguf_keys_for(origin->keys, options.dtype);
      } else {
        keys.set("general.architecture", GgufValue::of("graft"));
        for (const auto& [key, value] : metadata) keys.set(key, GgufValue::of(value));
      }
      write_gguf(path, keys, items, bytes_of);
      break;
    }
    case Container::torch: {
      std::vector<TorchItem> items;
      for (const OutTensor& t : tensors) items.push_back({t.name, t.dtype, t.shape, t.strides, t.storage, t.offset});
      write_torch(path, items, bytes_of, checkpoint.wrapped_in);
      break;
    }
  }
  return written;
}

}  // namespace graft
