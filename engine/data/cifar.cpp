// A record is its label (CIFAR-100: coarse label, fine label), one byte each, then 3 x 32 x 32 bytes: red, green, blue, each row-major.
#include "engine/data/cifar.h"

#include <cstring>

#include "engine/base/file.h"
#include "engine/base/text.h"

namespace graft {
namespace {
namespace fs = std::filesystem;

constexpr std::size_t kPixels = 3 * 32 * 32;
struct Kind {
  const char *name, *folder, *names;
  std::vector<const char*> train, test;
  std::size_t label_bytes;
  int classes;
};
const Kind& kind_of(int classes) {
  static const Kind kTen{"cifar-10",
                         "cifar-10-batches-bin",
                         "batches.meta.txt",
                         {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"},
                         {"test_batch.bin"},
                         1,
                         10};
  static const Kind kHundred{"cifar-100", "cifar-100-binary", "fine_label_names.txt", {"train.bin"}, {"test.bin"}, 2, 100};
  return classes == 10 ? kTen : kHundred;
}

// The names of the classes, a line each; empty lines at the end are passed over.
std::vector<std::string> read_names(const fs::path& path, int classes) {
  std::vector<std::string> names;
  const std::string text = read_text(path, 1 << 16);
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    if (line.ends_with('\r')) line.pop_back();
    names.push_back(std::move(line));
    at = end + 1;
  }
  while (!names.empty() && names.back().empty()) names.pop_back();
  if (names.size() != static_cast<std::size_t>(classes))
    throw Error(Code::input, one_line(path.native()) + ": has " + std::to_string(names.size()) + " names; " + std::to_string(classes) +
                                 " are wanted, a line each");
  return names;
}

}  // namespace

LabelledImages load_cifar(const fs::path& folder, bool train) {
  const std::string shown = one_line(folder.native());
  if (folder.empty()) throw Error(Code::usage, "the folder of CIFAR is empty text; name the one with data_batch_1.bin or train.bin");
  std::error_code ec;
  if (!fs::is_directory(folder, ec)) throw Error(Code::input, shown + ": no such folder; name the one with CIFAR's binary files");
  const Kind* kind = nullptr;
  fs::path at;
  for (const Kind* k : {&kind_of(10), &kind_of(100)})
    for (const fs::path& p : {folder, folder / k->folder})
      for (const char* file : train ? k->train : k->test)
        if (!kind && fs::exists(p / file, ec)) kind = k, at = p;
  if (!kind)
    throw Error(Code::input, shown + ": holds neither " +
                                 (train ? "data_batch_1.bin (CIFAR-10) nor train.bin" : "test_batch.bin (CIFAR-10) nor test.bin") +
                                 " (CIFAR-100); the binary version is read, not the one for Python or Matlab");

  const auto& files = train ? kind->train : kind->test;
  const std::size_t record = kind->label_bytes + kPixels;
  std::vector<std::shared_ptr<const MappedFile>> maps;
  std::size_t count = 0;
  for (const char* file : files) {
    if (!fs::exists(at / file, ec))
      throw Error(Code::input,
                  one_line((at / file).native()) + ": is missing, and others of " + kind->name + " are there; put it beside them");
    maps.push_back(MappedFile::open(at / file));
    const std::size_t bytes = maps.back()->bytes().size();
    if (bytes == 0 || bytes % record != 0)
      throw Error(Code::input, one_line((at / file).native()) + ": has " + std::to_string(bytes) +
                                   " bytes, which is no whole number of records of " + std::to_string(record) + "; it is cut off, or not " +
                                   kind->name + " in binary; get it again");
    count += bytes / record;
  }

  LabelledImages set;
  const Tensor block = Tensor::empty({static_cast<std::int64_t>(count), 3, 32, 32}, DType::u8, Device{});
  std::uint8_t* to = block.data<std::uint8_t>();
  set.labels.reserve(count);
  for (std::size_t f = 0; f < files.size(); ++f) {
    const auto bytes = maps[f]->bytes();
    for (std::size_t r = 0; r < bytes.size() / record; ++r, to += kPixels) {
      const std::byte* from = bytes.data() + r * record;
      const int label = static_cast<std::uint8_t>(from[kind->label_bytes - 1]);
      const int coarse = static_cast<std::uint8_t>(from[0]);
      const auto out_of_range = [&](const char* which, int found, int classes) {
        return Error(Code::input, one_line((at / files[f]).native()) + ": record " + std::to_string(r) + " has " + which +
                                      std::to_string(found) + "; " + kind->name + " has 0 to " + std::to_string(classes - 1) +
                                      "; the file is damaged or of another kind");
      };
      if (label >= kind->classes) throw out_of_range("label ", label, kind->classes);
      if (kind->label_bytes == 2 && coarse >= 20) throw out_of_range("coarse label ", coarse, 20);
      set.labels.push_back(label);
      std::memcpy(to, from + kind->label_bytes, kPixels);
    }
  }
  if (fs::exists(at / kind->names, ec)) {
    set.class_names = read_names(at / kind->names, kind->classes);
  } else {
    for (int c = 0; c < kind->classes; ++c) set.class_names.push_back(std::to_string(c));
    set.notes.push_back(one_line((at / kind->names).native()) + " is not there: the classes are called by their numbers");
  }
  set.source = images_in_memory(std::string(kind->name) + (train ? " train" : " test"), block);
  return set;
}

}  // namespace graft
