// Every configuration key, in the order of the resolved file: type, default, meaning, range, and when it applies. Everything else (parsing, messages,
// documentation) reads this table.
#include <limits>

#include "engine/train/config.h"

namespace graft {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr Range kAnyNumber = {};
constexpr Range kPositive = {0, kInf, true, false};
constexpr Range kNotNegative = {0, kInf, false, false};
constexpr Range kBelowOne = {0, 1, false, true};  // [0, 1)
constexpr Range at_least(double lo) { return {lo, kInf, false, false}; }
constexpr Range between(double lo, double hi) { return {lo, hi, false, false}; }

std::vector<Key> make_schema() {
  using enum Type;
  const std::vector<Condition> files = {{"data.kind", {"mnist", "cifar", "folder", "table"}}}, cnn = {{"model.name", {"mnist-cnn"}}};
  const std::vector<Condition> transfer = {{"init.from", {""}, true}};
  return {
      {"data.kind",
       text,
       "mnist",
       "where pictures come from: the MNIST files; train and test as folders or archives with a folder per class; the CIFAR files or such folders; tables; or drawn by graft",
       {},
       {"mnist", "cifar", "folder", "table", "digits", "letters", "shapes", "spirals"}},
      {"data.path", text, "", "folder with the files of data.kind: MNIST's IDX, CIFAR's .bin, or train and test as folders, archives or tables", {}, {}, {}, files},
      {"data.target", text, "label", "column of a table that is to be predicted", {}, {}, {}, {{"data.kind", {"table"}}}},
      {"data.size", integer, "0", "height and width that pictures are brought to; 0: they are all of one size", between(0, 1 << 16)},
      {"data.fit", text, "crop", "how: crop the middle, stretch, or pad with black", {}, {"crop", "stretch", "pad"}, {}, {{"data.size", {"0"}, true}}},
      {"data.bands", integer, "0", "1: gray, 3: red, green and blue; 0: as pictures are", between(0, 3)},
      {"data.workers", integer, "-1", "threads that make batches ahead; 0: none; -1: as many as the data and the device make useful", between(-1, 256)},
      {"data.classes", integers, "[]", "labels to keep; empty: all", between(0, 1000000)},
      {"data.per_class", integer, "0", "training images of each class; 0: all", kNotNegative},
      {"data.train_count", integer, "0", "training images to use (0: all of them) or to draw", kNotNegative},
      {"data.test_count", integer, "0", "test images to use (0: all of them) or to draw", kNotNegative},
      {"data.seed",
       integer,
       "1",
       "seed of drawing images and of choosing among them",
       kNotNegative,
       {},
       {},
       {{"data.kind", {"digits", "letters", "shapes", "spirals"}},
        {"data.per_class", {"0"}, true},
        {"data.train_count", {"0"}, true},
        {"data.test_count", {"0"}, true},
        {"data.validation", {"0"}, true}}},
      {"data.normalize",
       reals,
       "[]",
       "mean and deviation, or the means of all bands and then their deviations; white becomes (1 - mean) / deviation; empty: measured on the training images",
       kAnyNumber},
      {"data.validation", real, "0", "training images held out to judge by and to choose `best`: a share of them, or from 1 on so many; 0: none", kNotNegative},

      {"model.name", text, "mnist-cnn", "network: two convolutions and two linear layers, or one hidden layer", {}, {"mnist-cnn", "mlp"}},
      {"model.classes", integer, "0", "outputs of the last layer; 0: as many as the data has classes", between(0, 1000000)},
      {"model.dropout1", real, "0.25", "share of activations dropped after the pooling", kBelowOne, {}, {}, cnn},
      {"model.dropout2", real, "0.5", "share of activations dropped before the last layer", kBelowOne, {}, {}, cnn},
      {"model.channels_last", boolean, "false", "keep images as NHWC in memory", {}, {}, {}, cnn},
      {"model.hidden", integer, "128", "width of the hidden layer", between(1, 1000000), {}, {}, {{"model.name", {"mlp"}}}},

      {"init.from", text, "", "weights or checkpoint to start from (transfer); empty: from scratch"},
      {"init.head",
       text,
       "auto",
       "last layer: keep the file's, make it new, or auto: keep it where its shape fits",
       {},
       {"auto", "keep", "new"},
       {},
       transfer},
      {"init.freeze", texts, "[]", "parameters that stay as they are: name patterns, * stands for anything", {}, {}, {}, transfer},

      {"train.epochs", count, "5", "passes over the training images", between(1, 1000000), {}, "ep", {{"train.steps", {"0"}}}},
      {"train.steps", count, "0", "optimizer steps in all; 0: as many as train.epochs makes", kNotNegative, {}, "st"},
      {"train.batch", integer, "64", "images per step", between(1, 1 << 24)},
      {"train.accumulate", integer, "1", "parts that a batch is computed in, for less memory; the gradient is the whole batch's", between(1, 1 << 24)},
      {"train.eval_batch", integer, "1000", "images per step of an evaluation; changes speed and memory only", between(1, 1 << 24)},
      {"train.seed", integer, "1", "seed of initial weights, order of images, dropout and augmentation", kNotNegative},
      {"train.checkpoint_every", count, "0", "steps between checkpoints; 0: one after each epoch", kNotNegative, {}, "st"},
      {"train.keep", integer, "2", "checkpoints that stay, the newest ones; the best one stays beside them", at_least(1)},
      {"train.on_nan",
       text,
       "stop",
       "a loss or gradient norm that is not finite: stop, skip the step (ten in a row stop), or roll back to the last checkpoint with half the rate (three times)",
       {},
       {"stop", "skip", "rollback"}},
      {"train.patience", integer, "0", "evaluations without a better one after which training ends; 0: it never ends early", kNotNegative},
      {"train.min_gain", real, "0", "how much better an evaluation must be to count", kNotNegative, {}, {}, {{"train.patience", {"0"}, true}}},
      {"train.clip_norm", real, "0", "largest norm of the whole gradient; 0: not clipped", kNotNegative},
      {"train.ema", real, "0", "decay of the running mean of the weights that is evaluated and saved; 0: off", kBelowOne},
      {"train.label_smoothing", real, "0", "share of the target spread over all classes", kBelowOne},
      {"train.log_every", count, "50", "steps between log lines", at_least(1), {}, "st"},
      {"train.graph",
       text,
       "auto",
       "capture a step once and replay it: true, false, or auto: on a GPU; the numbers are the same",
       {},
       {"auto", "true", "false"}},
      {"train.dtype", text, "f32", "number format of activations and gradients; master weights stay f32", {}, {"f32", "bf16"}},

      {"optim.name", text, "adamw", "update rule", {}, {"sgd", "adam", "adamw", "rmsprop", "adagrad", "adafactor", "lion"}},
      {"optim.lr", real, "1e-3", "learning rate at its highest", kPositive},
      {"optim.weight_decay", real, "0", "pull towards zero: decoupled in adamw, adafactor and lion, else added to the gradient",
       kNotNegative},
      {"optim.momentum", real, "0", "share of the previous update that is kept", kBelowOne, {}, {}, {{"optim.name", {"sgd", "rmsprop"}}}},
      {"optim.nesterov", boolean, "false", "look ahead along the momentum", {}, {}, {}, {{"optim.name", {"sgd"}}}},
      {"optim.beta1", real, "0.9", "decay of the mean of gradients", kBelowOne, {}, {}, {{"optim.name", {"adam", "adamw", "lion"}}}},
      {"optim.beta2",
       real,
       "0.999",
       "decay of the mean of squared gradients (0.99 by default in rmsprop and lion)",
       kBelowOne,
       {},
       {},
       {{"optim.name", {"adam", "adamw", "rmsprop", "lion"}}}},
      {"optim.eps",
       real,
       "1e-8",
       "added to the denominator (1e-10 by default in adagrad)",
       kPositive,
       {},
       {},
       {{"optim.name", {"adam", "adamw", "rmsprop", "adagrad"}}}},

      {"schedule.name",
       text,
       "constant",
       "course of the learning rate",
       {},
       {"constant", "step", "cosine", "linear", "one-cycle", "polynomial"}},
      {"schedule.warmup",
       count,
       "0",
       "steps in which the rate rises from zero",
       kNotNegative,
       {},
       "st",
       {{"schedule.name", {"one-cycle"}, true}}},
      {"schedule.step_size", count, "1", "epochs between two falls", at_least(1), {}, "ep", {{"schedule.name", {"step"}}}},
      {"schedule.gamma", real, "0.7", "factor of each fall", {0, 1, true, false}, {}, {}, {{"schedule.name", {"step"}}}},
      {"schedule.power", real, "1", "exponent of the fall", kPositive, {}, {}, {{"schedule.name", {"polynomial"}}}},
      {"schedule.final",
       real,
       "0",
       "rate at the end as a share of optim.lr",
       between(0, 1),
       {},
       {},
       {{"schedule.name", {"cosine", "linear", "one-cycle", "polynomial"}}}},

      {"augment.shift", integer, "0", "largest shift in each direction, in pixels", between(0, 1000)},
      {"augment.rotate", real, "0", "largest turn either way, in degrees", between(0, 180)},
      {"augment.scale", real, "0", "largest change of size either way, as a share of the size", kBelowOne},
      {"augment.crop_pad", integer, "0", "zeros put around a picture, of which a part of its own size is cut at random; in pixels", between(0, 1000)},
      {"augment.area", reals, "[]", "smallest and largest share of the area of a random part that is resized to the picture's size; empty: off", {0, 1, true, false}},
      {"augment.ratio",
       reals,
       "[0.75, 1.3333333333333333]",
       "smallest and largest width / height of that part",
       kPositive,
       {},
       {},
       {{"augment.area", {"[]"}, true}}},
      {"augment.flip", real, "0", "probability of a mirrored picture (left and right)", between(0, 1)},
      {"augment.flip_vertical", real, "0", "probability of a picture upside down", between(0, 1)},
      {"augment.brightness", real, "0", "largest change of the brightness factor, either way", between(0, 1000)},
      {"augment.contrast", real, "0", "largest change of the contrast factor, either way", between(0, 1000)},
      {"augment.saturation", real, "0", "largest change of the saturation factor, either way (pictures with three bands)", between(0, 1000)},
      {"augment.hue", real, "0", "largest turn of the colours, either way, as a share of the circle (pictures with three bands)", between(0, 0.5)},
      {"augment.erase", real, "0", "probability that a random rectangle becomes 0", between(0, 1)},
      {"augment.policy", text, "none", "random operations on every picture", {}, {"none", "randaugment"}},
      {"augment.policy_ops", integer, "2", "operations per picture", between(1, 14), {}, {}, {{"augment.policy", {"none"}, true}}},
      {"augment.policy_magnitude", integer, "9", "strength of each operation", between(0, 30), {}, {}, {{"augment.policy", {"none"}, true}}},
      {"augment.mixup", real, "0", "Beta parameter of the share by which two pictures are mixed; 0: off", between(0, 1000)},
      {"augment.cutmix", real, "0", "Beta parameter of the area that a picture gets from another; 0: off. With mixup: one of the two per batch", between(0, 1000)},

      {"eval.every", count, "1", "epochs between evaluations on the held-out images", at_least(1), {}, "ep"},
      {"eval.every_steps", count, "0", "steps between evaluations; 0: eval.every counts", kNotNegative, {}, "st"},
      {"eval.metric", text, "accuracy", "what makes an evaluation better", {}, {"accuracy", "loss"}},
      {"eval.train_count", integer, "1000", "training images, as they are, that each evaluation looks at beside the held-out ones: the gap shows over-fitting; 0: none", kNotNegative},
      {"eval.test", boolean, "false", "look at the test images once, when training has ended; else they stay locked until graft eval"},
  };
}

}  // namespace

const std::vector<Key>& schema() {
  static const std::vector<Key> table = make_schema();
  return table;
}

const std::vector<std::string_view>& sections() {
  static const std::vector<std::string_view> names = {"data", "model", "init", "train", "optim", "schedule", "augment", "eval", "log"};
  return names;
}

const std::vector<SpecialDefault>& special_defaults() {
  static const std::vector<SpecialDefault> table = {
      {"optim.beta2", "optim.name", "rmsprop", "0.99"},
      {"optim.beta2", "optim.name", "lion", "0.99"},
      {"optim.eps", "optim.name", "adagrad", "1e-10"},
  };
  return table;
}

}  // namespace graft
