// Which of PyTorch's containers a file is, and each as a Source. All have a pickle with the names and shapes; they differ in where the
// storages lie.
#include <charconv>

#include "kernels/core/error.h"
#include "weights/formats/json_guard.h"
#include "weights/formats/torch_legacy.h"
#include "weights/formats/torch_source.h"
#include "weights/formats/torch_tar.h"

namespace graft {
namespace {

[[noreturn]] void refuse(const std::string& path, const std::string& what, std::uint64_t at, const std::string& who,
                         const std::string& advice) {
  throw Error(Code::input, path + ": " + what + " at byte " + std::to_string(at) + " (" + who + "); " + advice);
}

SourcePtr source_of(const char* kind, std::span<const std::byte> file, const std::string& path, TorchLegacy parsed,
                    std::shared_ptr<const void> keeper) {
  std::vector<StoragePlace> places;
  for (std::size_t i = 0; i < parsed.places.size(); ++i)
    places.push_back({parsed.places[i], offset_in(file, parsed.places[i]), nullptr, parsed.contents.storages[i].swap});
  return std::make_unique<TorchSource>(path, kind, std::move(parsed.tree), std::move(parsed.contents), std::move(places),
                                       std::move(keeper));
}

// The folder of the archive that has data.pkl, with its slash; nothing when there is none.
const ZipMember* data_pickle(const ZipView& zip) {
  const ZipMember* found = nullptr;
  for (const ZipMember& m : zip.members())
    if (m.name == "data.pkl" || m.name.ends_with("/data.pkl"))
      if (!found || m.name.size() < found->name.size()) found = &m;
  return found;
}

}  // namespace

bool is_torch_zip(const ZipView& zip) { return data_pickle(zip) != nullptr; }

SourcePtr open_torch_zip(const ZipView& view) {
  auto zip = std::make_shared<const ZipView>(view);
  const std::string& path = zip->path();
  const ZipMember* pickle = data_pickle(*zip);
  if (!pickle) refuse(path, "a zip without data.pkl, so none of PyTorch's,", 0, "members", "name the file of the weights");
  const std::string root = pickle->name.substr(0, pickle->name.size() - std::string_view("data.pkl").size());
  const KeptBytes stream = zip->bytes(*pickle, std::uint64_t{1} << 30);
  const auto tree = std::make_shared<PickleTree>(parse_pickle(stream.data, path, pickle->name, pickle->method == 0 ? pickle->offset : 0));
  if (tree->size != stream.data.size())
    tree->refuse(kNoPickle, std::to_string(stream.data.size() - tree->size) + " bytes after the pickle's end", "",
                 "the file is damaged, get it again");
  bool big = false;
  if (const ZipMember* order = zip->find(root + "byteorder")) {
    const KeptBytes text = zip->bytes(*order, 64);
    const std::string_view word(reinterpret_cast<const char*>(text.data.data()), text.data.size());
    if (word != "little" && word != "big")
      refuse(path, "the byte order " + in_quotes(word), order->offset, in_quotes(order->name), "it is little or big, the file is damaged");
    big = word == "big";
  }
  std::uint64_t unpacked = 0;  // ZipView has bounded what members can claim
  for (const ZipMember& m : zip->members()) unpacked += m.size;
  PickledContents contents = collect_tensors(*tree, unpacked);
  std::vector<StoragePlace> places;
  for (const PickledStorage& s : contents.storages) {
    if (s.inside) {
      places.push_back({s.data, 0, nullptr, s.swap});
      continue;
    }
    const std::string name = root + "data/" + s.key;
    const ZipMember* m = zip->find(name);
    if (!m && s.bytes > 0) tree->refuse(s.at, "the storage " + in_quotes(name) + " is missing", "", "the file is incomplete, get it again");
    if (m && m->size != s.bytes)
      refuse(path,
             std::string("a storage ") + (m->size > s.bytes ? "longer" : "shorter") + " than declared: " + std::to_string(m->size) +
                 " bytes in place of " + std::to_string(s.bytes),
             m->offset, in_quotes(name), "the file is damaged, get it again");
    places.push_back({{}, m && m->method == 0 ? m->offset : 0, m, big});
  }
  const bool script = zip->find(root + "constants.pkl") != nullptr;
  auto kept = std::make_shared<KeptBytes>(stream);
  auto source =
      std::make_unique<TorchSource>(path, script ? "TorchScript" : "PyTorch zip", tree, std::move(contents), std::move(places), kept, zip);
  if (script) source->notes.push_back("a TorchScript archive: its weights are read, its program is not");
  return source;
}

bool looks_like_torch(std::span<const std::byte> file) {
  return looks_like_torch_legacy(file) || looks_like_tar(file) || looks_like_pickle(file);
}

SourcePtr open_torch(std::span<const std::byte> file, const std::string& path, std::shared_ptr<const void> keeper) {
  if (looks_like_zip(file)) return open_torch_zip(ZipView::parse(file, path, std::move(keeper)));
  if (looks_like_torch_legacy(file)) return source_of("PyTorch before 1.6", file, path, parse_torch_legacy(file, path), std::move(keeper));
  if (looks_like_tar(file)) return source_of("PyTorch before 0.1.10 (tar)", file, path, parse_torch_tar(file, path), std::move(keeper));
  TorchLegacy plain;
  const auto tree = std::make_shared<PickleTree>(parse_pickle(file, path));
  if (tree->size != file.size())
    refuse(path, std::to_string(file.size() - tree->size) + " bytes after the pickle's end", tree->size, "end",
           "a file of several pickles or with something put behind it: save one dict");
  plain.tree = tree;
  plain.contents = collect_tensors(*tree, file.size());
  for (const PickledStorage& s : plain.contents.storages) {
    if (!s.inside)
      tree->refuse(s.at, "the storage " + in_quotes(s.key) + " is missing: this is the data.pkl of an archive without the archive", "",
                   "pack the folder as it was, or get the file again");
    plain.places.push_back(s.data);
  }
  return source_of("pickle", file, path, std::move(plain), std::move(keeper));
}

}  // namespace graft
