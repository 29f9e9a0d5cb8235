// TensorFlow's checkpoints of version 2, "bundles" (tensorflow/core/util/tensor_bundle): PREFIX.index, a LevelDB table of protocol buffers,
// and PREFIX.data-?????-of-????? with the raw bytes. Read are dense numeric tensors, whole or partitioned; the object graph of
// tf.train.Checkpoint is passed over, other text and variants are refused.
#pragma once
#include <filesystem>
#include <optional>

#include "weights/formats/readers.h"

namespace graft {

// The .index that `path` means: itself where it is one, PREFIX.index for a prefix, and in a folder what its file `checkpoint` names, else
// the only .index there. Nothing where the path has to do with no bundle. Error(input) where a folder's `checkpoint` names a file that is
// not there or lies elsewhere.
std::optional<std::filesystem::path> bundle_index(const std::filesystem::path& path);

// Error(input) on damage (checksums of the table when it is opened, of a tensor when it is loaded), missing shards (all of them named), a
// checkpoint of version 1.
SourcePtr open_tf_bundle(const std::filesystem::path& index);

}  // namespace graft
