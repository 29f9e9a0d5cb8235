// NumPy's arrays of objects (np.save of a dict, of a list of arrays): behind the header lies the pickle of the array itself. numpy.load
// would run it; here it goes through the machine that reads PyTorch's pickles, in which nothing can be called, and what is read are the
// arrays of numbers inside, by their paths.
#include "engine/base/text.h"
#include "weights/formats/npy.h"
#include "weights/formats/readers.h"
#include "weights/formats/torch_rebuild.h"
#include "weights/formats/torch_source.h"

namespace graft {
namespace {

std::string sizes(const std::vector<std::int64_t>& shape) {
  std::string s = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) s += (i ? "," : "") + std::to_string(shape[i]);
  return s + "]";
}

}  // namespace

SourcePtr open_npy_objects(const NpyArray& header, std::span<const std::byte> stream, const std::string& path, const std::string& part,
                           std::uint64_t base, std::shared_ptr<const void> keeper) {
  const auto tree = std::make_shared<PickleTree>(parse_pickle(stream, path, part, base));
  if (tree->size != stream.size())
    tree->refuse(tree->root, std::to_string(stream.size() - tree->size) + " bytes after the end of the pickle", "",
                 "something was put behind the file, get it again");
  PickledContents contents = collect_tensors(*tree, stream.size());
  {
    PickledContents unused;
    const TensorOfId none;
    const TorchRebuild rebuild(*tree, unused, none);
    bool single = false;
    const PickleId list = rebuild.object_array(tree->root, single);
    if (list == kNoPickle)
      tree->refuse(tree->root, "an array of objects whose pickle is none", "", "the file is damaged or made to mislead, get it again");
    const std::vector<std::int64_t> shape = rebuild.array_shape(tree->root);
    std::uint64_t wanted = 1;
    for (const std::int64_t n : header.shape)
      if (__builtin_mul_overflow(wanted, static_cast<std::uint64_t>(n), &wanted)) wanted = ~std::uint64_t{0};
    if (shape != header.shape || tree->items(list).size() != wanted)
      tree->refuse(tree->root,
                   "an array of objects that is " + sizes(header.shape) + " by its header, and by its pickle " + sizes(shape) + " of " +
                       std::to_string(tree->items(list).size()),
                   "", "the file is damaged or made to mislead, get it again");
  }
  std::vector<StoragePlace> places;
  for (const PickledStorage& s : contents.storages) {
    if (!s.inside)
      tree->refuse(s.at, "a tensor of PyTorch's in an array of NumPy's, whose numbers are elsewhere,", one_line(s.key),
                   "save it with torch.save");
    const std::uint64_t at = base > 0 ? offset_in(stream, s.data) : 0;
    places.push_back({s.data, at > 0 ? base + at : 0, nullptr, s.swap});
  }
  return std::make_unique<TorchSource>(path, "npy of objects", tree, std::move(contents), std::move(places), std::move(keeper));
}

}  // namespace graft
