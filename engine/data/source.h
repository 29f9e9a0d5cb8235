// Where the pictures of a data set come from: memory, files in folders, an archive. They are read one by one when a batch wants them, so a
// set may be larger than memory.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/data/image.h"
#include "engine/tensor/tensor.h"

namespace graft {

class ImageSource {
 public:
  virtual ~ImageSource() = default;
  virtual std::int64_t size() const = 0;
  // Picture i, decoded. From any number of threads at once; the same every time. Error(input) naming the file and what is wrong with it.
  virtual Image read(std::int64_t i) const = 0;
  virtual std::string where(std::int64_t i) const = 0;  // "train/cat/7.png", "train.tar.gz:cat/7.png", "digits: image 7"
  // Of a source whose pictures lie in memory as one block of u8 or f32 [n, bands, height, width]: that block; else undefined.
  virtual Tensor block() const { return {}; }
};

// A source with a class for each of its pictures.
struct LabelledImages {
  std::shared_ptr<const ImageSource> source;
  std::vector<std::int64_t> labels;      // source->size() of them, in 0 .. class_names.size() - 1
  std::vector<std::string> class_names;  // sorted bytewise where they come from names of folders
  std::vector<std::string> notes;        // one line each on what was left out and why
};

// Pictures in one block of memory, u8 or f32 [n, bands, height, width] on the CPU.
std::shared_ptr<const ImageSource> images_in_memory(std::string name, Tensor block);

}  // namespace graft
