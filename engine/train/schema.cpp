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
  const std::vector<Condition> mnist = {{"data.kind", {"mnist"}}}, cnn = {{"model.name", {"mnist-cnn"}}};
  const std::vector<Condition> transfer = {{"init.from", {""}, true}};
  return {
      {"data.kind",
       text,
       "mnist",
       "where images come from: the MNIST files, or digits or letters drawn by graft",
       {},
       {"mnist", "digits", "letters"}},
      {"data.path", text, "", "folder with the four MNIST files (IDX, gzipped or not)", {}, {}, {}, mnist},
      {"data.classes", integers, "[]", "labels to keep; empty: all", between(0, 25)},
      {"data.per_class", integer, "0", "training images of each class; 0: all", kNotNegative},
      {"data.train_count", integer, "0", "training images to use (mnist; 0: all of them) or to draw", kNotNegative},
      {"data.test_count", integer, "0", "test images to use (mnist; 0: all of them) or to draw", kNotNegative},
      {"data.seed",
       integer,
       "1",
       "seed of drawing images and of choosing among them",
       kNotNegative,
       {},
       {},
       {{"data.kind", {"digits", "letters"}},
        {"data.per_class", {"0"}, true},
        {"data.train_count", {"0"}, true},
        {"data.test_count", {"0"}, true},
        {"data.validation", {"0"}, true}}},
      {"data.normalize", reals, "[0.1307, 0.3081]", "mean and standard deviation; pixels in [0, 1] become (x - mean) / deviation",
       kAnyNumber},
      {"data.validation", integer, "0", "training images held out to choose `best` by; 0: it is chosen by the test set", kNotNegative},

      {"model.name", text, "mnist-cnn", "network: two convolutions and two linear layers, or one hidden layer", {}, {"mnist-cnn", "mlp"}},
      {"model.classes", integer, "10", "outputs of the last layer", between(1, 1000000)},
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
       "a loss or gradient norm that is not finite: stop, or skip the step (ten in a row stop)",
       {},
       {"stop", "skip"}},
      {"train.preflight", boolean, "true", "a short look at data, model and step before a run of more than 500 steps; what it finds is said, the run goes on"},
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

      {"augment.shift", integer, "0", "largest shift in each direction, in pixels", between(0, 14)},
      {"augment.rotate", real, "0", "largest turn either way, in degrees", between(0, 180)},
      {"augment.scale", real, "0", "largest change of size either way, as a share of the size", kBelowOne},

      {"eval.every", count, "1", "epochs between evaluations", at_least(1), {}, "ep"},
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
