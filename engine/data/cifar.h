// CIFAR-10 and CIFAR-100 in the binary format of their page (A. Krizhevsky, https://www.cs.toronto.edu/~kriz/cifar.html).
#pragma once
#include <filesystem>

#include "engine/data/source.h"

namespace graft {

// The training or test pictures in `folder`, u8 [n, 3, 32, 32] in one block: data_batch_1.bin .. data_batch_5.bin or test_batch.bin with
// batches.meta.txt (CIFAR-10); train.bin or test.bin with fine_label_names.txt and the fine labels (CIFAR-100). The folder's own folder
// cifar-10-batches-bin or cifar-100-binary serves as well. Without the file of names the classes are called 0, 1, ... and `notes` says so.
// Pictures stand in the order of the files. Error(input), one line: a file missing, of a length that is no whole number of records, empty;
// a label out of range (file and record); names of another number.
LabelledImages load_cifar(const std::filesystem::path& folder, bool train);

}  // namespace graft
