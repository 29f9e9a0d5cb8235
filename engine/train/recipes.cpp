// The recipes. They name what makes them different from the defaults; betas and eps are left to the defaults, which follow optim.name.
#include "engine/train/recipes.h"

#include <string>

namespace graft {

namespace {

// The option-A residual networks for small images (He et al. 2015), one text for each depth.
std::string cifar_text(const std::string& depth) {
  return R"(
[data]
kind = "cifar"  # the binary files, or train and test as folders or archives
normalize = [0.485, 0.456, 0.406, 0.229, 0.224, 0.225]  # what published checkpoints of these networks were trained with
validation = 0.05

[model]
name = "cifar-resnet)" +
         depth + R"("

[train]
epochs = 30
batch = 128
eval_batch = 500

[optim]
name = "sgd"
lr = 0.1
momentum = 0.9
nesterov = true
weight_decay = 5e-4

[schedule]
name = "one-cycle"

[augment]
crop_pad = 4
flip = 0.5

[eval]
test = true  # the recipe asks for one look at the end
)";
}

}  // namespace

const std::vector<Recipe>& recipes() {
  static const std::string cifar20 = cifar_text("20"), cifar32 = cifar_text("32"), cifar44 = cifar_text("44"), cifar56 = cifar_text("56");
  static const std::vector<Recipe> all = {
      {"mnist-cnn", "MNIST by two convolutions and two linear layers: at least 0.991 on the test set within 5 epochs", R"(
[data]
kind = "mnist"
normalize = [0.1307, 0.3081]  # mean and standard deviation of the training images
validation = 0  # nothing is chosen by held-out images: all 60,000 are learned from, and the last weights are the run's

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

[eval]
test = true  # the recipe asks for one look at the end
)"},
      {"mnist-bn-cnn", "MNIST by three convolutions, two linear layers and batch norms: the network of published checkpoints", R"(
[data]
kind = "mnist"
normalize = [0.1307, 0.3081]
validation = 0.05

[model]
name = "mnist-bn-cnn"
classes = 10

[train]
epochs = 5
batch = 64
eval_batch = 1000

[optim]
name = "adamw"
lr = 1e-3
weight_decay = 1e-4

[schedule]
name = "cosine"
warmup = 200

[eval]
test = true  # the recipe asks for one look at the end
)"},
      {"digits-cnn", "the same network on drawn digits: needs no files", R"(
[data]
kind = "digits"
train_count = 12000
test_count = 2000
normalize = [0.1307, 0.3081]
validation = 0.1

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

[eval]
test = true  # the recipe asks for one look at the end
)"},
      {"letters-cnn", "the same network on drawn letters: from scratch, or with init.from the target of a transfer from digits", R"(
[data]
kind = "letters"
train_count = 13000
test_count = 2600
normalize = [0.1307, 0.3081]
validation = 0.1

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

[eval]
test = true  # the recipe asks for one look at the end
)"},
      {"mnist-mlp", "MNIST by one hidden layer: quick, and a floor that a convolution must beat", R"(
[data]
kind = "mnist"
normalize = [0.1307, 0.3081]
validation = 2000

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

[eval]
test = true  # the recipe asks for one look at the end
)"},
      {"shapes-resnet", "drawn coloured shapes by a small residual network: needs no files", R"(
[data]
kind = "shapes"
train_count = 4000
test_count = 1000
validation = 0.1

[model]
name = "cifar-resnet20"
width = 8

[train]
epochs = 4
batch = 64

[optim]
name = "adamw"
lr = 3e-3
weight_decay = 1e-4

[schedule]
name = "one-cycle"

[augment]
flip = 0.5

[eval]
test = true  # the recipe asks for one look at the end
)"},
      {"spirals-mlp", "points on three arms of a spiral by one hidden layer: two numbers in, seconds to learn", R"(
[data]
kind = "spirals"
train_count = 3000
test_count = 1000
validation = 0.1

[model]
name = "mlp"
hidden = 256

[train]
epochs = 60
batch = 32

[optim]
name = "adamw"
lr = 1e-2

[schedule]
name = "cosine"
warmup = 50

[eval]
every = 10
test = true  # the recipe asks for one look at the end
)"},
      {"table-mlp", "a table of numbers and categories (CSV, TSV, JSON lines) by one hidden layer", R"(
[data]
kind = "table"
validation = 0.1

[model]
name = "mlp"
hidden = 64

[train]
epochs = 30
batch = 32

[optim]
name = "adamw"
lr = 3e-3
weight_decay = 1e-3

[schedule]
name = "cosine"

[eval]
test = true  # the recipe asks for one look at the end
)"},
      {"cifar-resnet8",
       "CIFAR by MLPerf Tiny's residual network of Keras, on bytes as they are (0 to 255), as its published weights want them", R"(
[data]
kind = "cifar"  # the binary files, or train and test as folders or archives
normalize = [0, 0, 0, 0.00392156862745098, 0.00392156862745098, 0.00392156862745098]  # 1/255: the bytes themselves
validation = 0.05

[model]
name = "resnet8"

[train]
epochs = 30
batch = 32
eval_batch = 500

[optim]
name = "adamw"
lr = 1e-3
weight_decay = 1e-4

[schedule]
name = "cosine"

[augment]
crop_pad = 4
flip = 0.5

[eval]
test = true  # the recipe asks for one look at the end
)"},
      {"cifar-resnet20", "CIFAR by the residual network with 20 layers", cifar20},
      {"cifar-resnet32", "the same with 32 layers", cifar32},
      {"cifar-resnet44", "the same with 44 layers", cifar44},
      {"cifar-resnet56", "the same with 56 layers", cifar56},
  };
  return all;
}

}  // namespace graft
