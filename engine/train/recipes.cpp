// The recipes. They name what makes them different from the defaults; betas and eps are left to the defaults, which follow optim.name.
#include "engine/train/recipes.h"

namespace graft {

const std::vector<Recipe>& recipes() {
  static const std::vector<Recipe> all = {
      {"mnist-cnn", "MNIST by two convolutions and two linear layers: at least 0.991 on the test set within 5 epochs", R"(
[data]
kind = "mnist"
normalize = [0.1307, 0.3081]  # mean and standard deviation of the training images
validation = 2000

[model]
name = "mnist-cnn"
classes = 10
dropout1 = 0.25
dropout2 = 0.5

[train]
epochs = 5
batch = 64
eval_batch = 1000

[optim]
name = "adamw"
lr = 1e-3
weight_decay = 1e-4

[schedule]
name = "cosine"  # down to zero: the last epoch is what brings the last tenths
warmup = 200
)"},
      {"digits-cnn", "the same network on drawn digits: needs no files", R"(
[data]
kind = "digits"
train_count = 12000
test_count = 2000

[model]
name = "mnist-cnn"
classes = 10
dropout1 = 0.25
dropout2 = 0.5

[train]
epochs = 3
batch = 64
eval_batch = 1000

[optim]
name = "adamw"
lr = 1e-3
weight_decay = 1e-4

[schedule]
name = "cosine"
warmup = 50
)"},
      {"letters-cnn", "the same network on drawn letters: from scratch, or with init.from the target of a transfer from digits", R"(
[data]
kind = "letters"
train_count = 13000
test_count = 2600

[model]
name = "mnist-cnn"
classes = 26
dropout1 = 0.25
dropout2 = 0.5

[train]
epochs = 4
batch = 64
eval_batch = 1000

[optim]
name = "adamw"
lr = 1e-3
weight_decay = 1e-4

[schedule]
name = "cosine"
warmup = 50
)"},
      {"mnist-mlp", "MNIST by one hidden layer: quick, and a floor that a convolution must beat", R"(
[data]
kind = "mnist"
normalize = [0.1307, 0.3081]

[model]
name = "mlp"
classes = 10
hidden = 512

[train]
epochs = 10
batch = 128
eval_batch = 1000

[optim]
name = "adamw"
lr = 1e-3
weight_decay = 1e-2

[schedule]
name = "cosine"
warmup = 100
)"},
  };
  return all;
}

}  // namespace graft
