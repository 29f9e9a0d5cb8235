// Keras' weights: .h5 and .weights.h5 of any Keras, and .keras archives (a zip with model.weights.h5 in it). Tensors have the paths they
// have in the file, so that the optimizer's are known by theirs (optimizer_weights/..., optimizer/vars/...); the configuration is metadata.
// Nothing of it is executed: a model with a Lambda layer, whose configuration holds Python bytecode (CVE-2025-9905), is refused.
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "engine/base/json.h"
#include "weights/formats/hdf5.h"
#include "weights/formats/json_guard.h"
#include "weights/formats/readers.h"
#include "weights/formats/zip.h"
#include "weights/stored_type.h"

namespace graft {
namespace {

constexpr std::string_view kConfig = "config.json", kWeights = "model.weights.h5", kAbout = "metadata.json";

// The name of the first layer of class Lambda in a model's configuration; with a loop of its own, as the nesting is the file's.
std::optional<std::string> lambda_layer(const nlohmann::json& config) {
  std::vector<const nlohmann::json*> open{&config};
  while (!open.empty()) {
    const nlohmann::json& j = *open.back();
    open.pop_back();
    if (j.is_object()) {
      const auto kind = j.find("class_name");
      if (kind != j.end() && kind->is_string() && kind->get_ref<const std::string&>() == "Lambda") {
        const auto inner = j.find("config");
        if (inner != j.end() && inner->is_object() && inner->contains("name") && (*inner)["name"].is_string())
          return (*inner)["name"].get<std::string>();
        return std::string("lambda");
      }
    }
    if (j.is_structured())
      for (const auto& inner : j) open.push_back(&inner);
  }
  return {};
}

void check_config(const std::string& text, const std::string& path, const std::string& key) {
  const auto config = read_json(text);
  if (config.is_discarded())
    throw Error(Code::input,
                path + ": the configuration is not JSON at byte 0 of it (" + in_quotes(key) + "); the file is damaged, get it again");
  const std::size_t at = text.find("\"Lambda\"");
  if (const auto layer = lambda_layer(config))
    throw Error(Code::input, path + ": the layer " + in_quotes(*layer) +
                                 " is a Lambda layer, whose configuration holds Python bytecode (CVE-2025-9905), at byte " +
                                 std::to_string(at == std::string::npos ? 0 : at) + " of " + in_quotes(key) +
                                 "; graft runs nothing out of a file: replace the layer by one with a name and save again, or save the "
                                 "weights alone (save_weights)");
}

class KerasSource : public Source {
 public:
  // `inner` lies at `base` of the file `path` and is kept by `keeper`.
  KerasSource(const std::string& file, std::span<const std::byte> inner, std::uint64_t base, std::shared_ptr<const void> keeper)
      : inner_(inner), keeper_(std::move(keeper)) {
    path = file;
    files.push_back(file);
    const ByteWindow window(inner_, file, base);
    Hdf5Contents c = read_hdf5(window);
    format = "HDF5";
    for (Hdf5Attribute& a : c.attributes) {
      if (a.name == "keras_version" || a.name == "layer_names") format = "Keras HDF5";
      if (a.object.empty() && a.name == "model_config") check_config(a.value, file, a.name);
      if (a.name == "weight_names") continue;  // one of every layer, and the paths say it
      metadata.emplace(a.object.empty() ? a.name : a.object + "@" + a.name, std::move(a.value));
    }
    notes = std::move(c.notes);
    std::map<std::uint64_t, std::size_t> seen;  // by header
    std::int64_t storages = 0;
    for (Hdf5Dataset& d : c.datasets) {
      std::int64_t storage = -1;
      if (const auto [it, fresh] = seen.emplace(d.object, tensors.size()); !fresh) {
        StoredTensor& first = tensors[it->second];
        if (first.storage < 0) first.storage = storages++;
        storage = first.storage;
      }
      if (d.path.find("/vars/") != std::string::npos || d.path.ends_with("/vars"))
        format = "Keras HDF5";  // Keras 3 keeps no version in the file
      tensors.push_back({d.path, d.dtype, d.shape, {}, window.offset_in_file(d.at), d.bytes, 0, storage});
      places_.push_back({d.at, d.swapped});
    }
  }
  KeptBytes bytes(std::size_t i) const override {
    const auto data = inner_.subspan(places_[i].at, tensors[i].bytes);
    if (!places_[i].swapped) return {data, keeper_};
    const auto copy = other_byte_order(data, static_cast<std::size_t>(stored_type(tensors[i].dtype)->bits) / 8);
    return {*copy, copy};
  }

 private:
  struct Place {
    std::uint64_t at;
    bool swapped;
  };
  std::span<const std::byte> inner_;
  std::shared_ptr<const void> keeper_;
  std::vector<Place> places_;
};

}  // namespace

SourcePtr open_hdf5(const FilePtr& file) { return std::make_unique<KerasSource>(file->path().string(), file->bytes(), 0, file); }

bool is_keras_archive(const ZipView& zip) { return zip.find(kConfig) && zip.find(kWeights); }

SourcePtr open_keras_archive(const FilePtr& file, const ZipView& zip) {
  const std::string path = file->path().string();
  const auto text = [&](std::string_view name) {
    const KeptBytes b = zip.bytes(*zip.find(name), std::uint64_t{256} << 20);
    return std::string(reinterpret_cast<const char*>(b.data.data()), b.data.size());
  };
  std::string config = text(kConfig);
  check_config(config, path, std::string(kConfig));
  const ZipMember& weights = *zip.find(kWeights);
  const KeptBytes inner = zip.bytes(weights);
  if (!is_hdf5(inner.data))
    throw Error(Code::input, path + ": the member model.weights.h5 is no HDF5 file at byte " + std::to_string(weights.offset) +
                                 "; the file is damaged, get it again");
  auto source = std::make_unique<KerasSource>(path, inner.data, weights.method == 0 ? weights.offset : 0, inner.keeper);
  if (weights.method != 0)
    for (StoredTensor& t : source->tensors) t.offset = 0;
  source->format = "Keras archive";
  source->metadata["model_config"] = std::move(config);
  if (zip.find(kAbout)) source->metadata["metadata"] = text(kAbout);
  return source;
}

}  // namespace graft
