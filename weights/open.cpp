// Which container a path is. Order matters where one format's beginning could be another's: the unmistakable magic numbers first, then the
// formats that have none.
#include <algorithm>
#include <array>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string_view>

#include "engine/base/json.h"
#include "engine/base/text.h"
#include "weights/companions.h"
#include "weights/formats/hdf5.h"
#include "weights/formats/json_guard.h"
#include "weights/formats/leveldb_table.h"
#include "weights/formats/npy.h"
#include "weights/formats/readers.h"
#include "weights/formats/tf_bundle.h"
#include "weights/formats/zip.h"
#include "weights/onnx/proto.h"

namespace graft {
namespace fs = std::filesystem;
namespace {

[[noreturn]] void refuse(const fs::path& path, const std::string& what) { throw Error(Code::input, path.string() + ": " + what); }

std::string_view head_of(const MappedFile& f, std::size_t most) {
  return {reinterpret_cast<const char*>(f.bytes().data()), std::min(f.bytes().size(), most)};
}

bool starts_without_case(std::string_view text, std::string_view lower) {
  return text.size() >= lower.size() && std::equal(lower.begin(), lower.end(), text.begin(), [](char a, char b) {
           return a == (b >= 'A' && b <= 'Z' ? static_cast<char>(b + 32) : b);
         });
}

// What people save in place of weights: a pointer, a page that says why there was no download, a path.
void refuse_text(const fs::path& path, const MappedFile& f) {
  const std::string_view text = head_of(f, 4096);
  if (text.empty()) refuse(path, "the file is empty at byte 0; get it again");
  if (text.starts_with("version https://git-lfs")) {
    const auto at = text.find("\nsize ");
    std::string size;
    if (at != std::string_view::npos)
      for (std::size_t i = at + 6; i < text.size() && text[i] >= '0' && text[i] <= '9'; ++i) size += text[i];
    refuse(path, "a Git LFS pointer at byte 0 (" + (size.empty() ? "the file" : size + " bytes") + " elsewhere); run git lfs pull");
  }
  auto body = text;
  if (body.starts_with("\xEF\xBB\xBF")) body.remove_prefix(3);
  while (!body.empty() && (body.front() == ' ' || body.front() == '\t' || body.front() == '\n' || body.front() == '\r'))
    body.remove_prefix(1);
  if (starts_without_case(body, "<!doctype") || starts_without_case(body, "<html") || starts_without_case(body, "<?xml") ||
      starts_without_case(body, "<head"))
    refuse(path, "an HTML page at byte 0, not weights (a download that failed?); open it to read why, then get the file again");
  // All of the beginning printable: nobody's weights are.
  const bool printable =
      first_not_utf8(text.substr(0, text.size() < 4096 ? text.size() : 4000)) == std::string_view::npos &&
      std::none_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 9 || (c > 13 && c < 32); });
  if (!printable) return;
  if (!body.empty() && (body.front() == '{' || body.front() == '['))
    refuse(path, "JSON text at byte 0, not weights; name the file of the weights, or the folder that holds both");
  if (f.bytes().size() < 4096 && body.find('\n') >= (body.empty() ? 0 : body.size() - 1) && body.find('/') != std::string_view::npos)
    refuse(path, "the text " + in_quotes(body.substr(0, std::min<std::size_t>(body.size(), 120))) +
                     " at byte 0, not weights: the path of a link that was copied as a file (a model cache?); copy what it points to");
  refuse(path, "text at byte 0, not weights; it begins with " + in_quotes(body.substr(0, 60)));
}

SourcePtr open_zip(const FilePtr& file) {
  ZipView zip = ZipView::open(file);
  if (is_torch_zip(zip)) return open_torch_zip(zip);
  if (is_keras_archive(zip)) return open_keras_archive(file, zip);
  if (is_npz(zip)) return open_npz(file, std::move(zip));
  refuse(file->path(),
         "a zip archive at byte 0 that holds no weights graft knows (PyTorch's, arrays of NumPy, a Keras model); unpack it and name what "
         "is in it");
}

SourcePtr open_file(const fs::path& path) {
  // An index is text like any other; its shards tell whose it is. Those that say so themselves are not read twice.
  if (const std::string name = path.filename().string(); name.ends_with(".index.json"))
    return !name.ends_with(".safetensors.index.json") && is_torch_index(path) ? open_torch_index(path) : open_safetensors(path);
  const FilePtr file = MappedFile::open(path);
  const auto bytes = file->bytes();
  if (looks_like_torch(bytes)) return open_torch(bytes, path.string(), file);  // before text: pickles of protocol 0 are printable
  refuse_text(path, *file);
  if (const std::string_view magic = head_of(*file, 4); magic == "GGUF" || magic == "FUGG") return open_gguf(path);
  if (head_of(*file, 4) == "lmgg") return open_legacy_ggml(path);
  if (is_npy(bytes)) return open_npy(file);
  if (is_hdf5(bytes)) return open_hdf5(file);
  if (looks_like_zip(bytes)) return open_zip(file);
  if (is_llm_c(bytes)) return open_llm_c(file);
  if (is_leveldb_table(bytes)) return open_tf_bundle(path);
  if (looks_like_onnx(bytes.first(std::min<std::size_t>(bytes.size(), 64)), bytes.size())) return open_onnx(path);
  if (is_llama2_c(bytes)) return open_llama2_c(file);
  return open_safetensors(path);
}

// A model's folder as hubs have it says in config.json what the network is. What it says of how weights are packed decides whether they can
// be read at all.
void read_config(const fs::path& folder, Source& source) {
  const fs::path path = folder / "config.json";
  std::error_code ec;
  if (!fs::is_regular_file(path, ec)) return;
  const std::string text = read_text(path, 4 << 20);
  const nlohmann::json j = read_json(text);
  if (!j.is_object()) {
    source.warnings.push_back(path.string() + ": is no JSON object; what it says of the network was not read");
    return;
  }
  for (const char* key : {"model_type", "torch_dtype", "dtype"})
    if (const auto it = j.find(key); it != j.end() && it->is_string()) source.beside.emplace(key, it->get<std::string>());
  if (const auto it = j.find("architectures"); it != j.end() && it->is_array() && !it->empty() && it->front().is_string())
    source.beside.emplace("architecture", it->front().get<std::string>());
  if (const auto labels = labels_of_config(text); !labels.empty()) source.beside.emplace("labels", json_ascii(labels, -1));
  if (const auto it = j.find("quantization_config"); it != j.end() && it->is_object()) {
    const auto method = it->find("quant_method");
    refuse(path, "the weights are packed by " +
                     (method != it->end() && method->is_string() ? in_quotes(method->get<std::string>())
                                                                 : std::string("a method without a name")) +
                     " (quantization_config), which graft does not unpack; get the checkpoint that it was made of, or a GGUF of it");
  }
}

// The weights of a folder as safetensors come first (open_safetensors says what it wants, where there is nothing at all).
SourcePtr open_folder(const fs::path& path) {
  std::error_code ec;
  bool safetensors = false;
  std::vector<fs::path> gguf;
  for (const auto& f : fs::directory_iterator(path, ec)) {
    const std::string name = f.path().filename().string();
    safetensors = safetensors || name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json");
    if (name.ends_with(".gguf")) gguf.push_back(f.path());
  }
  if (safetensors) return open_safetensors(path);
  if (const auto torch = torch_in_folder(path)) return open_file(*torch);
  if (const auto index = bundle_index(path)) return open_tf_bundle(*index);
  if (gguf.size() == 1) return open_file(gguf[0]);
  return open_safetensors(path);
}

}  // namespace

std::unique_ptr<Source> open_source(const fs::path& path) {
  std::error_code ec;
  if (fs::is_directory(path, ec)) {
    SourcePtr source = open_folder(path);
    read_config(path, *source);
    return source;
  }
  if (const auto index = bundle_index(path)) return open_tf_bundle(*index);  // a prefix: there is no file of that name
  return open_file(path);
}

}  // namespace graft
