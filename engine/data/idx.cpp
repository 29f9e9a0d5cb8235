// IDX (Y. LeCun's format): two zero bytes, the type, the number of axes, their sizes as big-endian u32, then the elements.
#include <zlib.h>

#include <cstring>
#include <filesystem>
#include <utility>

#include "engine/data/dataset.h"

namespace graft {
namespace {

// The whole file, unpacked when it is gzip (zlib tells by the first bytes). At most `limit` bytes.
std::vector<std::uint8_t> slurp(const std::string& path, std::size_t limit) {
  gzFile f = gzopen(path.c_str(), "rb");
  if (!f) throw Error(Code::input, path + ": cannot open: " + std::strerror(errno));
  std::vector<std::uint8_t> bytes;
  std::vector<std::uint8_t> piece(1 << 20);
  std::string problem;
  for (;;) {
    const int n = gzread(f, piece.data(), static_cast<unsigned>(piece.size()));
    if (n < 0) {
      int code = 0;
      problem = gzerror(f, &code);
      break;
    }
    if (n == 0) {
      int code = 0;
      const char* text = gzerror(f, &code);
      if (code != Z_OK && code != Z_STREAM_END) problem = text;
      break;
    }
    if (bytes.size() + static_cast<std::size_t>(n) > limit) {
      problem = "more than " + std::to_string(limit) + " bytes";
      break;
    }
    bytes.insert(bytes.end(), piece.begin(), piece.begin() + n);
  }
  const int closed = gzclose(f);
  if (problem.empty() && closed != Z_OK) problem = closed == Z_BUF_ERROR ? "the gzip stream ends early" : "the gzip stream is damaged";
  if (problem.starts_with(path + ": ")) problem.erase(0, path.size() + 2);  // zlib names the file too
  if (!problem.empty()) throw Error(Code::input, path + ": cannot read: " + problem);
  return bytes;
}

std::string find(const std::string& folder, const std::string& stem, const std::string& kind) {
  namespace fs = std::filesystem;
  if (folder.empty()) throw Error(Code::usage, "data.path is empty; name the folder with the MNIST files, such as data.path=data/mnist");
  if (!fs::is_directory(folder)) throw Error(Code::input, folder + ": no such folder; data.path names the folder with the MNIST files");
  for (const std::string& name : {stem + "-" + kind, stem + "." + kind})
    for (const char* end : {"", ".gz"})
      if (const fs::path p = fs::path(folder) / (name + end); fs::is_regular_file(p)) return p.string();
  throw Error(Code::input, folder + ": neither " + stem + "-" + kind + " nor " + stem + "-" + kind + ".gz is there");
}
// The images and the labels.
std::pair<std::string, std::string> files_of(const std::string& folder, bool train) {
  const std::string stem = train ? "train" : "t10k";
  return {find(folder, stem + "-images", "idx3-ubyte"), find(folder, stem + "-labels", "idx1-ubyte")};
}

}  // namespace

Idx read_idx(const std::string& path) {
  const auto bytes = slurp(path, std::size_t{4} << 30);
  const auto fail = [&](const std::string& what) -> Error { return Error(Code::input, path + ": " + what); };
  if (bytes.size() < 4) throw fail("has " + std::to_string(bytes.size()) + " bytes; an IDX file begins with 4 bytes of magic");
  if (bytes[0] != 0 || bytes[1] != 0) throw fail("is not IDX: it must begin with two zero bytes");
  if (bytes[2] != 0x08) throw fail("holds element type " + std::to_string(bytes[2]) + "; only unsigned bytes (8) are read");
  const std::size_t axes = bytes[3];
  if (axes < 1 || axes > 4) throw fail("has " + std::to_string(axes) + " axes; 1 to 4 are read");
  if (bytes.size() < 4 + 4 * axes) throw fail("ends within its sizes");
  Idx idx;
  std::uint64_t count = 1;
  for (std::size_t i = 0; i < axes; ++i) {
    const std::uint8_t* p = bytes.data() + 4 + 4 * i;
    const std::uint64_t n = std::uint64_t{p[0]} << 24 | std::uint64_t{p[1]} << 16 | std::uint64_t{p[2]} << 8 | p[3];
    if (n != 0 && count > (std::uint64_t{1} << 40) / n) throw fail("its sizes multiply to more than 2^40 elements");
    count *= n;
    idx.sizes.push_back(static_cast<std::int64_t>(n));
  }
  const std::uint64_t have = bytes.size() - 4 - 4 * axes;
  if (have != count) throw fail("promises " + std::to_string(count) + " elements but holds " + std::to_string(have));
  idx.bytes.assign(bytes.begin() + static_cast<std::ptrdiff_t>(4 + 4 * axes), bytes.end());
  return idx;
}

void want_mnist(const std::string& folder, bool train) { files_of(folder, train); }

Dataset load_mnist(const std::string& folder, bool train) {
  const auto [image_path, label_path] = files_of(folder, train);
  const Idx images = read_idx(image_path), labels = read_idx(label_path);
  if (images.sizes.size() != 3)
    throw Error(Code::input, image_path + ": has " + std::to_string(images.sizes.size()) + " axes; images have 3 (count, height, width)");
  if (labels.sizes.size() != 1)
    throw Error(Code::input, label_path + ": has " + std::to_string(labels.sizes.size()) + " axes; labels have 1");
  if (images.sizes[0] != labels.sizes[0])
    throw Error(Code::input,
                label_path + ": holds " + std::to_string(labels.sizes[0]) + " labels for " + std::to_string(images.sizes[0]) + " images");
  if (images.sizes[0] == 0) throw Error(Code::input, image_path + ": holds no image");
  if (images.sizes[1] == 0 || images.sizes[2] == 0)
    throw Error(Code::input, image_path + ": its images are " + std::to_string(images.sizes[1]) + " x " + std::to_string(images.sizes[2]) +
                                 " pixels; the file is damaged, get it again");
  const Tensor block = Tensor::empty({images.sizes[0], 1, images.sizes[1], images.sizes[2]}, DType::u8, Device{});
  if (!images.bytes.empty()) std::memcpy(block.raw(), images.bytes.data(), images.bytes.size());
  const std::string name = std::string("mnist ") + (train ? "train" : "test");
  LabelledImages all;
  all.source = images_in_memory(name, block);
  for (int i = 0; i < 10; ++i) all.class_names.push_back(std::to_string(i));
  for (std::size_t i = 0; i < labels.bytes.size(); ++i) {
    if (labels.bytes[i] > 9)
      throw Error(Code::input,
                  label_path + ": label " + std::to_string(i) + " is " + std::to_string(labels.bytes[i]) + "; MNIST has 0 to 9");
    all.labels.push_back(labels.bytes[i]);
  }
  return make_dataset(name, std::move(all));
}

}  // namespace graft
