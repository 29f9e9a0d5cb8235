#include "tests/fuzz/targets.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <set>
#include <stdexcept>

#include "tests/fuzz/table_checksums.h"
#include "tests/temp_folder.h"
#include "weights/companions.h"
#include "weights/formats/byte_window.h"
#include "weights/formats/ggml_legacy.h"
#include "weights/formats/gguf.h"
#include "weights/formats/gguf_vocabulary.h"
#include "weights/formats/hdf5.h"
#include "weights/formats/json_guard.h"
#include "weights/formats/leveldb_table.h"
#include "weights/formats/npy.h"
#include "weights/formats/pickle.h"
#include "weights/formats/readers.h"
#include "weights/formats/safetensors.h"
#include "weights/formats/shard_index.h"
#include "weights/formats/snappy.h"
#include "weights/formats/tf_bundle.h"
#include "weights/formats/torch_values.h"
#include "weights/formats/zip.h"
#include "weights/maps/rules.h"
#include "weights/name_pattern.h"
#include "weights/onnx/graph.h"
#include "weights/onnx/proto.h"
#include "weights/stored_type.h"

namespace graft::fuzz {
namespace fs = std::filesystem;
namespace {

using Bytes = std::span<const std::byte>;
const std::string kName = "input";

std::string_view text_of(Bytes b) { return {reinterpret_cast<const char*>(b.data()), b.size()}; }
void want(bool holds, const std::string& what) {
  if (!holds) throw std::logic_error(what);
}

[[noreturn]] void none() { throw Error(Code::input, "bytes of another kind"); }

// A file without a folder, for the readers that take paths. Their pages hide what reads a little past the end, so that whatever can be read
// from memory is read there first.
class MemoryFile {
 public:
  explicit MemoryFile(Bytes bytes) : fd_(::memfd_create("graft_fuzz", MFD_CLOEXEC)) {
    if (fd_ < 0) throw std::runtime_error("no memory file");
    for (std::size_t at = 0; at < bytes.size();) {
      const auto n = ::write(fd_, bytes.data() + at, bytes.size() - at);
      if (n <= 0) throw std::runtime_error("a memory file cannot be written");
      at += static_cast<std::size_t>(n);
    }
  }
  ~MemoryFile() { ::close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  fs::path path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

// Takes everything a source offers. What it says of itself must hold: a reader that accepts damage and then lies about sizes is a finding
// like any crash.
void use(const Source& s) {
  unsigned sum = 0;
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < s.tensors.size(); ++i) {
    const StoredTensor& t = s.tensors[i];
    want(t.file < s.files.size(), "a tensor of no file");
    const StoredType* type = stored_type(t.dtype);
    if (type == nullptr) {  // a container's own, such as ONNX's INT4: listed, and not to be loaded
      try {
        s.load(i);
      } catch (const Error& e) {
        if (e.code() != Code::input) throw;
        continue;
      }
      want(false, "a tensor of the unknown dtype " + t.dtype + " that loads");
      continue;
    }
    want(names.insert(t.name).second, "two tensors of the name " + t.name);
    const KeptBytes b = s.bytes(i);
    want(b.data.size() == t.bytes, "other bytes than said of " + t.name);
    // ONNX rounds an odd number of 4-bit elements up to a byte, which no type that loads may do.
    const auto size = stored_bytes(*type, t.shape);
    const bool rounded = !size && type->bits < 8 && !type->loads;
    if (t.strides.empty()) want(rounded || size == b.data.size(), "bytes that are not the shape's of " + t.name);
    for (const std::byte x : b.data) sum += static_cast<unsigned>(x);
    if (type->loads && t.shape.size() <= 8) want(s.load(i).shape() == Shape(t.shape), "another shape than said of " + t.name);
  }
  volatile unsigned seen = sum;
  (void)seen;
}
void use_file(Bytes bytes, SourcePtr (*open)(const FilePtr&)) {
  const MemoryFile file(bytes);
  use(*open(MappedFile::open(file.path())));
}

void safetensors(Bytes bytes) {
  const SafetensorsFile file = SafetensorsFile::parse(bytes, kName);
  std::uint64_t next = 0;
  for (const SafetensorsEntry& e : file.entries) {
    want(e.bytes.data() >= bytes.data() && e.bytes.data() + e.bytes.size() <= bytes.data() + bytes.size(), "an entry outside of its file");
    want(e.offset >= next, "entries that lie over one another");
    next = e.offset + e.bytes.size();
    want(file.find(e.name) == &e, "a name that is there twice");
    const StoredType* type = stored_type(e.dtype);
    want(type != nullptr && stored_bytes(*type, e.shape) == e.bytes.size(), "an entry whose bytes are not its shape's");
  }
  const MemoryFile copy(bytes);
  use(*open_safetensors(copy.path()));
}

void safetensors_index(Bytes bytes) {
  const MemoryFile file(bytes);
  const ShardIndex index = read_shard_index(file.path());
  for (const auto& [name, shard] : index)
    want(shard.file.find('/') == std::string::npos && shard.file != ".." && shard.file != "." && !shard.file.empty(),
         "a shard that is a path: " + shard.file);
  shards_of(file.path(), index);
}

class JsonWalk : public JsonEvents {
 public:
  void key(const std::string&, std::uint64_t byte) override { at(byte); }
  bool begin(Kind, std::uint64_t byte) override {
    at(byte);
    if (begun_++ % 7 == 6) return false;
    ++depth_;
    return true;
  }
  void end(std::uint64_t byte) override {
    at(byte);
    want(depth_-- > 0, "more ends than beginnings");
  }
  void natural(std::uint64_t, std::uint64_t byte) override { at(byte); }
  void text(const std::string& value, std::uint64_t byte) override {
    at(byte);
    want(first_not_utf8(value) == std::string::npos, "text that is not UTF-8");
  }
  void other(Kind, std::uint64_t byte) override { at(byte); }
  int depth() const { return depth_; }

 private:
  void at(std::uint64_t byte) {
    want(byte >= last_, "an event before the one before it");
    last_ = byte;
  }
  std::uint64_t last_ = 0;
  int depth_ = 0, begun_ = 0;
};
void json_guard(Bytes bytes) {
  in_quotes(text_of(bytes));
  JsonWalk walk;
  parse_json(text_of(bytes), kName, "the header", 8, walk);
  want(walk.depth() == 0, "fewer ends than beginnings");
}

void zip(Bytes bytes) {
  const ZipView archive = ZipView::parse(bytes, kName);
  for (const ZipMember& m : archive.members()) {
    want(m.offset <= bytes.size() && m.packed <= bytes.size() - m.offset, "a member outside of its archive");
    want(archive.find(m.name) == &m, "a name that is there twice");
    const fs::path name = m.name;
    want(!m.name.empty() && name.is_relative() && std::find(name.begin(), name.end(), "..") == name.end(),
         "a name that leaves its folder: " + m.name);
    want(archive.bytes(m, 8 << 20).data.size() == m.size, "a member of another size than said");
  }
}

void pickle(Bytes bytes) {
  const PickleTree tree = parse_pickle(bytes, kName);
  want(tree.size <= bytes.size() && tree.root < tree.count(), "a tree that is larger than its stream");
  const PickledContents c = collect_tensors(tree, bytes.size());
  for (const PickledTensor& t : c.tensors) {
    want(t.storage < c.storages.size(), "a tensor of no storage");
    const PickledStorage& s = c.storages[t.storage];
    want(t.first <= s.bytes && t.range <= s.bytes - t.first, "a tensor that leaves its storage");
    if (s.inside) want(s.data.size() == s.bytes, "a storage of other bytes than said");
  }
}

void torch(Bytes bytes) {
  if (!looks_like_zip(bytes)) return use(*open_torch(bytes, kName));
  const ZipView archive = ZipView::parse(bytes, kName);
  if (!is_torch_zip(archive)) none();
  use(*open_torch_zip(archive));
}

void npy(Bytes bytes) {
  if (!is_npy(bytes)) none();
  const NpyArray a = read_npy(ByteWindow(bytes, kName), bytes.size(), "");
  want(a.at <= bytes.size() && a.bytes <= bytes.size() - a.at, "data outside of the file");
  use_file(bytes, open_npy);
}
void npz(Bytes bytes) {
  if (!looks_like_zip(bytes)) none();
  const MemoryFile memory(bytes);
  const FilePtr file = MappedFile::open(memory.path());
  ZipView archive = ZipView::open(file);
  if (!is_npz(archive)) none();
  use(*open_npz(file, std::move(archive)));
}
void hdf5(Bytes bytes) {
  if (!is_hdf5(bytes)) none();
  const Hdf5Contents c = read_hdf5(ByteWindow(bytes, kName));
  for (const Hdf5Dataset& d : c.datasets)
    want(d.at <= bytes.size() && d.bytes <= bytes.size() - d.at, "a dataset outside of its file: " + d.path);
  use_file(bytes, open_hdf5);
}
void keras_archive(Bytes bytes) {
  if (!looks_like_zip(bytes)) none();
  const MemoryFile memory(bytes);
  const FilePtr file = MappedFile::open(memory.path());
  const ZipView archive = ZipView::open(file);
  if (!is_keras_archive(archive)) none();
  use(*open_keras_archive(file, archive));
}

// Most of what a fuzzer changes is caught by a checksum. So each table is read as it is, and then with its checksums made right, which is
// what somebody who means harm would do.
void leveldb_table(Bytes bytes) {
  unsnappy(bytes);
  try {
    read_leveldb_table(ByteWindow(bytes, kName));
  } catch (const Error& e) {
    if (e.code() != Code::input) throw;
  }
  const std::vector<std::byte> mended = with_right_checksums(bytes);
  const auto entries = read_leveldb_table(ByteWindow(mended, kName));
  for (std::size_t i = 1; i < entries.size(); ++i) want(entries[i - 1].key < entries[i].key, "keys out of order");
}

// The index of a bundle with one shard of numbers beside it.
class BundleFolder : test::TempFolder {
 public:
  BundleFolder() { test::write_file(path / "b.data-00000-of-00001", std::string(1352, '\1')); }
  fs::path put(Bytes index) const {
    const fs::path file = path / "b.index";
    test::write_file(file, std::string(reinterpret_cast<const char*>(index.data()), index.size()));
    return file;
  }
};
void tf_bundle(Bytes bytes) {
  static const BundleFolder folder;
  const SourcePtr source = open_tf_bundle(folder.put(with_right_checksums(bytes)));
  try {
    use(*source);
  } catch (const Error& e) {  // each tensor has a checksum too, which this shard's numbers cannot have for all of them
    if (e.code() != Code::input) throw;
  }
}

void gguf(Bytes bytes) {
  const GgufFile file = GgufFile::parse(bytes, kName);
  for (const GgufTensor& t : file.tensors)
    want(t.offset <= bytes.size() && t.bytes <= bytes.size() - t.offset, "a tensor outside of its file: " + t.name);
  std::size_t length = 0;
  for (const GgufKey& k : file.keys.all()) length += k.value.shown().size();
  want(length < (std::size_t{64} << 20), "keys that are shown at a length of their own");
  const MemoryFile copy(bytes);
  use(*open_gguf(copy.path()));
  read_vocabulary(file.keys, kName);
}
void legacy_ggml(Bytes bytes) { use(LegacyGgmlSource(bytes, kName)); }
void llm_c(Bytes bytes) {
  if (is_llm_c(bytes)) return use_file(bytes, open_llm_c);
  if (!is_llama2_c(bytes)) none();
  use_file(bytes, open_llama2_c);
}

void maps(Bytes bytes) {
  const auto all = parse_maps(text_of(bytes), kName);
  for (const WeightMap& m : all)
    for (const MapRule& r : m.rules)
      for (const std::string& from : r.from)
        if (const auto parts = fits(from, "layer1.0.conv1.weight"))
          for (const std::string& to : r.to) filled(to, *parts);
}

// A config.json beside the weights: what the outputs are called, and the same text saying so.
void labels(Bytes bytes) {
  const std::string json(text_of(bytes));
  const std::vector<std::string> told = labels_of_config(json);
  const std::vector<std::string> wanted{"one", "two"};
  const std::string now = with_labels(json, wanted);
  if (now != json) want(labels_of_config(now) == wanted, "labels that are not those that were written");
  if (told.empty()) none();
  want(labels_of_config(with_labels(json, told)).size() == told.size(), "labels that are lost on the way");
}

// An expression and, behind the first line feed, a name.
void name_pattern(Bytes bytes) {
  const std::string_view text = text_of(bytes);
  const auto line = text.find('\n');
  const auto pattern = NamePattern::parse(text.substr(0, line));
  if (!pattern || line == std::string_view::npos) none();
  std::uint64_t work = 10'000'000;
  const auto whole = pattern->matches(text.substr(line + 1), true, work), part = pattern->matches(text.substr(line + 1), false, work);
  if (whole && part && *whole) want(*part, "a whole name that matches and does not begin with a match");
}

// Both kinds of files that ONNX has: a tensor by itself, and a model.
void onnx(Bytes bytes) {
  const MemoryFile file(bytes);
  try {
    read_onnx_tensor(file.path());
  } catch (const Error& e) {
    if (e.code() != Code::input) throw;
  }
  use(*open_onnx(file.path()));
}
// A graph is checked as a whole before it runs: who makes which name, types, operators that are known.
void onnx_graph(Bytes bytes) {
  const MemoryFile file(bytes);
  const OnnxGraph graph(read_onnx(file.path()));
  want(graph.inputs().size() <= bytes.size() && graph.outputs().size() <= bytes.size(), "more inputs or outputs than bytes");
}

// Whatever a file is, through the door that users have: recognising it, too, must not fall over.
void any_file(Bytes bytes) {
  const MemoryFile file(bytes);
  use(*open_source(file.path()));
}

}  // namespace

const std::vector<FuzzTarget>& targets() {
  static const std::vector<FuzzTarget> all = {
      {"safetensors", safetensors, Code::input, {"tests/golden/safetensors"}},
      {"safetensors_index", safetensors_index, Code::input, {}},
      {"json_guard", json_guard, Code::input, {}},
      {"zip", zip, Code::input, {"tests/golden/torch", "tests/golden/numpy"}},
      {"pickle", pickle, Code::input, {"tests/golden/torch"}},
      {"torch", torch, Code::input, {"tests/golden/torch"}},
      {"npy", npy, Code::input, {"tests/golden/numpy"}},
      {"npz", npz, Code::input, {"tests/golden/numpy"}},
      {"hdf5", hdf5, Code::input, {"tests/golden/keras"}},
      {"keras_archive", keras_archive, Code::input, {}},
      {"leveldb_table", leveldb_table, Code::input, {"tests/golden/tf"}},
      {"tf_bundle", tf_bundle, Code::input, {"tests/golden/tf"}},
      {"gguf", gguf, Code::input, {"tests/golden/gguf"}},
      {"legacy_ggml", legacy_ggml, Code::input, {}},
      {"llm_c", llm_c, Code::input, {"tests/golden/llmc"}},
      {"onnx", onnx, Code::input, {"tests/golden/onnx"}},
      {"onnx_graph", onnx_graph, Code::input, {"tests/golden/onnx"}},
      {"maps", maps, Code::usage, {"weights/maps"}},
      {"labels", labels, Code::input, {}},
      {"name_pattern", name_pattern, Code::input, {}},
      {"any_file",
       any_file,
       Code::input,
       {"tests/golden/safetensors", "tests/golden/gguf", "tests/golden/numpy", "tests/golden/torch", "tests/golden/keras",
        "tests/golden/llmc"}},
  };
  return all;
}

const FuzzTarget* find_target(const std::string& name) {
  const auto it = std::find_if(targets().begin(), targets().end(), [&](const FuzzTarget& t) { return t.name == name; });
  return it == targets().end() ? nullptr : &*it;
}

bool parse(const FuzzTarget& target, Bytes bytes) {
  try {
    target.parse(bytes);
    return true;
  } catch (const Error& e) {
    if (e.code() != target.answer) throw;
    const std::string_view what = e.what();
    want(what.find('\n') == std::string_view::npos, "a message of several lines: " + std::string(what));
    return false;
  }
}

std::vector<fs::path> seeds(const FuzzTarget& target, const fs::path& repository) {
  std::vector<fs::path> all;
  std::vector<std::string> folders = target.golden;
  folders.push_back("tests/fuzz/corpus/" + target.name);
  for (const std::string& folder : folders) {
    if (!fs::is_directory(repository / folder)) continue;
    for (const auto& f : fs::recursive_directory_iterator(repository / folder))
      if (f.is_regular_file()) all.push_back(f.path());
  }
  std::sort(all.begin(), all.end());
  return all;
}

}  // namespace graft::fuzz
