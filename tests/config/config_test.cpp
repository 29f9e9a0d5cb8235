// Configuration: what each wrong input is answered with (word for word), which layer wins, and that the resolved text reads back equal.
#include "engine/train/config.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>

#include "engine/train/recipes.h"
#include "kernels/core/error.h"

namespace graft {
namespace {

using Ints = std::vector<std::int64_t>;
using Reals = std::vector<double>;
using Texts = std::vector<std::string>;

// The message of the usage error that `f` throws.
std::string refusal(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::usage) << e.what();
    EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos) << e.what();
    return e.what();
  }
  return "(accepted)";
}

// Assignments in order on the defaults, then check().
std::string refused(const std::vector<std::string>& assignments) {
  return refusal([&] {
    Config c;
    for (const auto& a : assignments) c.set(a);
    c.check();
  });
}

std::string refused_file(const std::string& text) {
  return refusal([&] {
    Config c;
    c.merge_text(text, "c.toml");
    c.check();
  });
}

struct Wrong {
  std::vector<std::string> input;
  std::string message;  // after "command line: "
};

TEST(ConfigWrong, KeyValue) {
  const std::string optim_keys =
      "the keys of [optim] are name, lr, weight_decay, momentum, nesterov, beta1, beta2, eps, groups, layer_decay and l2_sp";
  const std::string the_sections = "the sections are data, model, init, train, optim, schedule, augment, peft, eval and log";
  const std::string epochs = "train.epochs must be a whole number of epochs, such as 5 or 5ep, got ";
  const std::vector<Wrong> all = {
      // form
      {{"optim.lr"}, R"("optim.lr" has no value; write optim.lr=VALUE)"},
      {{"fast"}, R"("fast" has no '='; write SECTION.KEY=VALUE)"},
      {{""}, R"("" has no '='; write SECTION.KEY=VALUE)"},
      {{"=3"}, R"("=3" has no key before '='; write SECTION.KEY=VALUE)"},
      {{"optim.lr="}, "optim.lr has no value; write optim.lr=VALUE, a finite number"},
      {{"train.batch=3", "train.batch=4"}, "train.batch is given twice, 3 and 4; keep one"},
      // names
      {{"optim.rl=1"}, "unknown key optim.rl; did you mean optim.lr?"},
      {{"optim.weight-decay=1"}, "unknown key optim.weight-decay; did you mean optim.weight_decay?"},
      {{"Optim.LR=1"}, "unknown key Optim.LR; did you mean optim.lr?"},
      {{"optm.lr=1"}, "unknown key optm.lr; did you mean optim.lr?"},
      {{"train.lr=1"}, "unknown key train.lr; did you mean optim.lr?"},
      {{"lr=1"}, "unknown key lr; did you mean optim.lr?"},
      {{"epoch=1"}, "unknown key epoch; did you mean train.epochs?"},
      {{"seed=1"}, "unknown key seed; did you mean data.seed or train.seed?"},
      {{"name=x"}, "unknown key name; did you mean model.name, optim.name or schedule.name?"},
      {{"optim=sgd"}, "optim is a section, not a key; write optim.KEY"},
      {{"optim.=1"}, "unknown key optim.; " + optim_keys},
      {{"optim.zzzzzz=1"}, "unknown key optim.zzzzzz; " + optim_keys},
      {{"log.tensorboard=true"}, "unknown key log.tensorboard; section [log] has no keys"},
      {{"zebra=1"}, "unknown key zebra; a key is SECTION.KEY, " + the_sections},
      {{"zebra.stripes=1"}, "unknown key zebra.stripes; a key is SECTION.KEY, " + the_sections},
      {{"\x1b[2J.\xff=1"}, "unknown key ?[2J.?; a key is SECTION.KEY, " + the_sections},
      // types
      {{"train.batch=many"}, R"(train.batch must be a whole number, got "many")"},
      {{"train.batch=6.5"}, R"(train.batch must be a whole number, got "6.5")"},
      {{"train.batch=64 # large"}, R"(train.batch must be a whole number, got "64 # large")"},
      {{"train.batch=_64"}, R"(train.batch must be a whole number, got "_64")"},
      {{"train.batch=99999999999999999999"}, "train.batch = 99999999999999999999 does not fit in a 64-bit integer"},
      {{"optim.lr=fast"}, R"(optim.lr must be a finite number, got "fast")"},
      {{"optim.lr=1e-4x"}, R"(optim.lr must be a finite number, got "1e-4x")"},
      {{"optim.lr=inf"}, "optim.lr must be a finite number, got inf"},
      {{"optim.lr=nan"}, "optim.lr must be a finite number, got nan"},
      {{"optim.lr=1e999"}, "optim.lr = 1e999 does not fit in a 64-bit float"},
      {{"model.channels_last=yes"}, R"(model.channels_last must be true or false, got "yes")"},
      {{"data.path=\"mnist"}, "data.path = \"mnist is not a quoted string; close the quotes or leave them out"},
      {{"data.path=a\nb"}, R"(data.path = "a?b" holds a control character; remove it)"},
      {{"data.path=\xff"}, R"(data.path = "?" is not UTF-8; rename the file or give another string)"},
      // units
      {{"train.epochs=5st"}, epochs + "\"5st\""},
      {{"train.epochs=5ep5ep"}, epochs + "\"5ep5ep\""},
      {{"train.epochs=5 ep"}, epochs + "\"5 ep\""},
      {{"train.epochs=ep"}, epochs + "\"ep\""},
      {{"train.epochs=1e1"}, epochs + "\"1e1\""},
      {{"train.steps=5ep"}, R"(train.steps must be a whole number of steps, such as 5 or 5st, got "5ep")"},
      {{"train.steps=99999999999999999999st"}, "train.steps = 99999999999999999999st does not fit in a 64-bit integer"},
      {{"train.batch=5st"}, R"(train.batch must be a whole number, got "5st")"},
      // ranges and choices
      {{"train.epochs=0"}, "train.epochs = 0 is out of range: it must be >= 1 and <= 1000000 (passes over the training images)"},
      {{"optim.lr=0"}, "optim.lr = 0.0 is out of range: it must be > 0 (learning rate at its highest)"},
      {{"train.ema=1"},
       "train.ema = 1.0 is out of range: it must be >= 0 and < 1 (decay of the running mean of the weights that is evaluated and saved; 0: "
       "off)"},
      {{"train.seed=-1"},
       "train.seed = -1 is out of range: it must be >= 0 (seed of initial weights, order of images, dropout and augmentation)"},
      {{"augment.shift=1001"},
       "augment.shift = 1001 is out of range: it must be >= 0 and <= 1000 (largest shift in each direction, in pixels)"},
      {{"augment.area=[0.5]"}, "augment.area must be [smallest, largest], got 1 numbers"},
      {{"augment.ratio=[2, 1]"}, "augment.ratio = [2.0, 1.0] is the wrong way round: it must be [smallest, largest]"},
      {{"optim.name=adamm"},
       R"(optim.name = "adamm" is not known: it must be one of sgd, adam, adamw, rmsprop, adagrad, adafactor or lion; did you mean adam?)"},
      {{"optim.name="}, R"(optim.name = "" is not known: it must be one of sgd, adam, adamw, rmsprop, adagrad, adafactor or lion)"},
      {{"train.dtype=f16"}, R"(train.dtype = "f16" is not known: it must be one of f32 or bf16; did you mean bf16?)"},
      {{"schedule.name=one_cycle"},
       R"(schedule.name = "one_cycle" is not known: it must be one of constant, step, cosine, linear, one-cycle or polynomial; )"
       "did you mean one-cycle?"},
      // lists
      {{"data.classes=1,2"}, R"(data.classes must be a list of whole numbers, got "1,2"; write the list in brackets: data.classes=[0,1])"},
      {{"data.classes=[1"}, R"(data.classes must be a list of whole numbers, got "[1"; write the list in brackets: data.classes=[0,1])"},
      {{"data.classes=["}, R"(data.classes must be a list of whole numbers, got "["; write the list in brackets: data.classes=[0,1])"},
      {{"data.classes=[1,,2]"}, "data.classes has an empty element at position 1; write data.classes=[a,b] without a comma at the end"},
      {{"data.classes=[1,]"}, "data.classes has an empty element at position 1; write data.classes=[a,b] without a comma at the end"},
      {{"data.classes=[1,two]"}, R"(data.classes[1] must be a whole number, got "two")"},
      {{"data.classes=[[1]]"}, R"(data.classes[0] must be a whole number, got "[1]")"},
      {{"data.classes=[0,26]"}, "data.classes names 26, and data.kind = mnist has the classes 0 to 9; remove it"},
      {{"data.classes=[1,2,1]"}, "data.classes names 1 twice; remove one"},
      {{"data.normalize=0.5"},
       R"(data.normalize must be a list of numbers, got "0.5"; write the list in brackets: data.normalize=[0.5,0.25])"},
      {{"data.normalize=[0.5]"}, "data.normalize must be means, then as many deviations, got 1 numbers"},
      {{"data.normalize=[0.5,0]"}, "data.normalize[1] = 0.0 is out of range: a deviation must be > 0"},
      {{"init.freeze=conv*"}, R"(init.freeze must be a list of strings, got "conv*"; write the list in brackets: init.freeze=[a,b])"},
      {{"init.freeze=[\"a]"}, "init.freeze = \"a has a quote that is not closed"},
      {{"init.freeze=['a'\n[[[]"}, "init.freeze[0] = 'a'?[[[ is not a quoted string; close the quotes or leave them out"},
      {{"init.freeze=[\"\"]"}, "init.freeze[0] is an empty string; remove it"},
      {{"init.freeze=[a,a]"}, R"(init.freeze names "a" twice; remove one)"},
      // values that do not apply
      {{"schedule.name=cosine", "schedule.power=2"},
       "schedule.power = 2.0 is not used: it applies only with schedule.name = polynomial, and schedule.name is cosine (command line); "
       "remove it"},
      {{"optim.name=sgd", "optim.beta1=0.9"},
       "optim.beta1 = 0.9 is not used: it applies only with optim.name = adam, adamw or lion, and optim.name is sgd (command line); remove "
       "it"},
      {{"optim.momentum=0.9"},
       "optim.momentum = 0.9 is not used: it applies only with optim.name = sgd or rmsprop, and optim.name is adamw (default); remove it"},
      {{"data.kind=digits", "data.path=x"},
       "data.path = \"x\" is not used: it applies only with data.kind = mnist, cifar, folder or table, and data.kind is digits (command "
       "line); remove it"},
      {{"data.seed=3"},
       "data.seed = 3 is not used: it applies only with data.kind = digits, letters, shapes or spirals or with data.per_class, "
       "data.train_count, "
       "data.test_count or data.validation set, and data.kind is mnist (default); remove it"},
      {{"init.head=new"},
       "init.head = \"new\" is not used: it applies only with init.from set, and init.from is empty (default); remove it"},
      {{"init.from=", "init.freeze=[]"},
       "init.freeze = [] is not used: it applies only with init.from set, and init.from is empty (command line); remove it"},
      {{"model.hidden=64"},
       "model.hidden = 64 is not used: it applies only with model.name = mlp, and model.name is mnist-cnn (default); remove it"},
      {{"train.epochs=4", "train.steps=9"},
       "train.epochs = 4 is not used: it applies only with train.steps = 0, and train.steps is 9 (command line); remove it"},
      {{"schedule.name=one-cycle", "schedule.warmup=5"},
       "schedule.warmup = 5 is not used: it applies only with schedule.name other than one-cycle, and schedule.name is one-cycle "
       "(command line); remove it"},
      // rules between keys
      {{"data.classes=[11]"}, "data.classes names 11, and data.kind = mnist has the classes 0 to 9; remove it"},
      {{"model.classes=9"},
       "model.classes = 9 is too few: the data has 10 classes; set model.classes=10 or choose among them by data.classes"},
      {{"data.kind=letters", "data.train_count=5", "data.test_count=5", "model.classes=10"},
       "model.classes = 10 is too few: the data has 26 classes; set model.classes=26 or choose among them by data.classes"},
      {{"data.kind=digits"}, "data.train_count = 0 says `all`, and data.kind = digits is drawn without end; set data.train_count=N"},
      {{"data.kind=digits", "data.train_count=5"},
       "data.test_count = 0 says `all`, and data.kind = digits is drawn without end; set data.test_count=N"},
      {{"data.train_count=300", "data.validation=300"},
       "data.validation = 300 leaves nothing to train on: there are 300 training images (data.train_count = 300); choose fewer"},
      {{"train.patience=3"},
       "train.patience ends training by held-out images, and data.validation = 0 holds out none; set data.validation=0.1"},
      {{"optim.name=sgd", "optim.nesterov=true"}, "optim.nesterov = true needs a momentum; set optim.momentum=0.9"},
      {{"train.steps=5", "schedule.warmup=5"}, "schedule.warmup = 5 does not end within train.steps = 5; choose fewer"},
  };
  for (const Wrong& w : all) EXPECT_EQ(refused(w.input), "command line: " + w.message) << w.input.front();
}

TEST(ConfigWrong, Files) {
  const std::vector<std::pair<std::string, std::string>> all = {
      {"[optm]\nlr = 1", "c.toml:1: unknown section [optm]; did you mean [optim]?"},
      {"\n\n[zebra]",
       "c.toml:3: unknown section [zebra]; the sections are data, model, init, train, optim, schedule, augment, peft, eval and log"},
      {"lr = 1", "c.toml:1: unknown key lr; did you mean optim.lr?"},
      {"[optim]\nlr = 0.1\nmomentun = 0.9", "c.toml:3: unknown key optim.momentun; did you mean optim.momentum?"},
      {"[log]\ntensorboard = true", "c.toml:2: unknown key log.tensorboard; section [log] has no keys"},
      {"optim = 3", "c.toml:1: optim is a section, got 3; write [optim] and its keys below it"},
      {"[[optim]]\nlr = 1", "c.toml:1: optim is a section, got a list; write [optim] and its keys below it"},
      {"[optim.lr]", "c.toml:1: optim.lr must be a finite number, got a section"},
      {"[optim]\nlr = 'fast'", "c.toml:2: optim.lr must be a finite number, got the string \"fast\""},
      {"[optim]\nlr = nan", "c.toml:2: optim.lr must be a finite number, got nan"},
      {"[optim]\nname = 3", "c.toml:2: optim.name must be a string, got 3"},
      {"[train]\nbatch = 64.0", "c.toml:2: train.batch must be a whole number, got 64.0"},
      {"[train]\nbatch = true", "c.toml:2: train.batch must be a whole number, got true"},
      {"[train]\nepochs = '5st'", "c.toml:2: train.epochs must be a whole number of epochs, such as 5 or 5ep, got \"5st\""},
      {"[train]\nepochs = 2026-01-01", "c.toml:2: train.epochs must be a whole number of epochs, such as 5 or 5ep, got a date or time"},
      {"[model]\nchannels_last = 1", "c.toml:2: model.channels_last must be true or false, got 1"},
      {"[data]\nclasses = 3", "c.toml:2: data.classes must be a list of whole numbers, got 3"},
      {"[data]\nclasses = [1, 'a']", "c.toml:2: data.classes[1] must be a whole number, got the string \"a\""},
      {"[data]\nnormalize = [1, 2, 3]", "c.toml:2: data.normalize must be means, then as many deviations, got 3 numbers"},
      {"[data]\npath = \"a\\u0000b\"", "c.toml:2: data.path = \"a?b\" holds a control character; remove it"},
      {"[model]\ndropout1 = 1",
       "c.toml:2: model.dropout1 = 1.0 is out of range: it must be >= 0 and < 1 (share of activations dropped after "
       "the pooling)"},
      // the first in the file, not in the alphabet
      {"[train]\nzz = 1\nbatch = 0\n[data]\nyy = 1",
       "c.toml:2: unknown key train.zz; the keys of [train] are epochs, steps, batch, accumulate, recompute, eval_batch, seed, "
       "checkpoint_every, keep, on_nan, patience, min_gain, preflight, clip_norm, ema, "
       "label_smoothing, log_every, graph and dtype"},
      {"[optim]\nname = 'sgd'\nbeta1 = 0.5",
       "c.toml:3: optim.beta1 = 0.5 is not used: it applies only with optim.name = adam, adamw or lion, and optim.name is sgd (c.toml:2); "
       "remove it"},
      {"[model]\nclasses = 12\n[data]\nkind = 'letters'\ntrain_count = 1\ntest_count = 1",
       "c.toml:2: model.classes = 12 is too few: the data has 26 classes; set model.classes=26 or choose among them by data.classes"},
  };
  for (const auto& [text, message] : all) { EXPECT_EQ(refused_file(text), message) << text; }
}

TEST(ConfigWrong, SyntaxNamesLineAndColumn) {
  const std::vector<std::pair<std::string, std::string>> all = {
      {"[optim]\nlr = 1\nlr = 2", "c.toml:3:6: not TOML: "},  // a key twice
      {"[optim]\n[optim]", "c.toml:2:1: not TOML: "},
      {"[optim]\nlr = ", "c.toml:2:6: not TOML: "},
      {"[optim]\nlr = 1e999", "c.toml:2:"},
      {"[optim]\nname = adam", "c.toml:2:8: not TOML: "},
      {"[optim", "c.toml:1:"},
      {"[[[1]]]", "c.toml:1: not TOML: this line cannot be read"},  // toml++ 3.3 asserts here
      {"[optim]\nlr = 1\n[[=\n[train]", "c.toml:3: not TOML: this line cannot be read"},
      {"[[", "c.toml:1:"},
      {"[data]\npath = \"\xff\"", "c.toml:2:"},
  };
  for (const auto& [text, start] : all) EXPECT_EQ(refused_file(text).substr(0, start.size()), start) << text;
}

TEST(ConfigWrong, FilesThatCannotBeRead) {
  const std::string next = "; give the path of a TOML file", dir = testing::TempDir() + "config_test";
  std::filesystem::create_directories(dir);
  EXPECT_EQ(refusal([&] { Config().merge_file(dir + "/none.toml"); }), dir + "/none.toml: no such configuration file" + next);
  EXPECT_EQ(refusal([&] { Config().merge_file(dir); }), dir + ": is a folder, not a configuration file" + next);
  EXPECT_EQ(refusal([&] { Config().merge_file("/dev/zero"); }),
            "/dev/zero: is longer than 1 MiB, too long for a configuration file" + next);
  std::ofstream(dir + "/c.toml") << "[train]\nbatch = -1\n";
  EXPECT_EQ(refusal([&] { Config().merge_file(dir + "/c.toml"); }),
            dir + "/c.toml:2: train.batch = -1 is out of range: it must be >= 1 and <= 16777216 (images per step)");
  std::filesystem::remove_all(dir);
}

TEST(ConfigWrong, RecipeAndFlagAndVerb) {
  EXPECT_EQ(
      refusal([] { Config::recipe("mnist-cn"); }),
      R"(unknown recipe "mnist-cn"; did you mean mnist-cnn? the recipes are mnist-cnn, mnist-bn-cnn, digits-cnn, letters-cnn, mnist-mlp, shapes-resnet, spirals-mlp, table-mlp, cifar-resnet8, cifar-resnet20, cifar-resnet32, cifar-resnet44 and cifar-resnet56)");
  EXPECT_EQ(
      refusal([] { Config::recipe("zebra"); }),
      R"(unknown recipe "zebra"; the recipes are mnist-cnn, mnist-bn-cnn, digits-cnn, letters-cnn, mnist-mlp, shapes-resnet, spirals-mlp, table-mlp, cifar-resnet8, cifar-resnet20, cifar-resnet32, cifar-resnet44 and cifar-resnet56)");
  Config c;
  EXPECT_EQ(refusal([&] { c.set("train.seed=x", Origin::flag("--seed")); }), R"(flag --seed: train.seed must be a whole number, got "x")");
  EXPECT_EQ(refusal([&] { c.explain("optim.rl"); }), "unknown key optim.rl; did you mean optim.lr?");
  c.set("optim.lr=0.5");
  EXPECT_EQ(refusal([&] { c.check_read("graft eval"); }),
            "command line: optim.lr = 0.5 is not used: graft eval has no use for it; remove it");
}

TEST(ConfigWrong, ProgramAsksForWhatIsNotThere) {
  const auto code = [](const std::function<void()>& f) {
    try {
      f();
    } catch (const Error& e) { return e.code(); }
    return Code::no;
  };
  EXPECT_EQ(code([] { Config().get<double>("optim.rate"); }), Code::bug);
  EXPECT_EQ(code([] { Config().get<std::int64_t>("optim.lr"); }), Code::bug);
  EXPECT_EQ(code([] { Config().origin("optim.rate"); }), Code::bug);
}

TEST(Config, ARefusedFileChangesNothing) {
  Config c;
  EXPECT_NE(refusal([&] { c.merge_text("[train]\nbatch = 7\nepochs = 0", "c.toml"); }), "(accepted)");
  EXPECT_EQ(c.get<std::int64_t>("train.batch"), 64);
  EXPECT_EQ(c.origin("train.batch").where, "default");
}

TEST(Config, ReadsEveryType) {
  Config c;
  for (const char* a :
       {"train.epochs=10ep", "train.steps=0st", " train.batch = 1_024 ", "optim.lr=+1e-4", "model.channels_last=true", "data.path=a b=c",
        "data.classes=[ 3, 1 ]", "data.normalize=[-1,2]", "init.from='x y'", "init.freeze=[conv1.*, \"a,b\", it's]"})
    c.set(a);
  EXPECT_EQ(c.get<std::int64_t>("train.epochs"), 10);
  EXPECT_EQ(c.get<std::int64_t>("train.batch"), 1024);
  EXPECT_EQ(c.get<double>("optim.lr"), 1e-4);
  EXPECT_TRUE(c.get<bool>("model.channels_last"));
  EXPECT_EQ(c.get<std::string>("data.path"), "a b=c");
  EXPECT_EQ(c.get<Ints>("data.classes"), (Ints{3, 1}));
  EXPECT_EQ(c.get<Reals>("data.normalize"), (Reals{-1, 2}));
  EXPECT_EQ(c.get<std::string>("init.from"), "x y");
  EXPECT_EQ(c.get<Texts>("init.freeze"), (Texts{"conv1.*", "a,b", "it's"}));
  Config f;
  f.merge_text("optim.lr = 1\n[train]\nepochs = '10ep'\nsteps = 5000\n[data]\nclasses = []\nnormalize = [0, 1.5]\n[log]\n", "c.toml");
  EXPECT_EQ(f.get<double>("optim.lr"), 1.0);
  EXPECT_EQ(f.get<std::int64_t>("train.epochs"), 10);
  EXPECT_EQ(f.get<std::int64_t>("train.steps"), 5000);
  EXPECT_EQ(f.get<Ints>("data.classes"), Ints{});
  EXPECT_EQ(f.get<Reals>("data.normalize"), (Reals{0, 1.5}));
}

TEST(Config, DefaultsThatFollowTheOptimizer) {
  Config c;
  EXPECT_EQ(c.get<double>("optim.beta2"), 0.999);
  c.set("optim.name=lion");
  EXPECT_EQ(c.get<double>("optim.beta2"), 0.99);
  c.set("optim.beta2=0.999");
  EXPECT_EQ(c.get<double>("optim.beta2"), 0.999);
  Config a;
  a.set("optim.name=adagrad");
  EXPECT_EQ(a.get<double>("optim.eps"), 1e-10);
  EXPECT_EQ(a.value_text("optim.eps"), "1e-10");
}

TEST(Config, TheLayerDecidesNotTheOrder) {
  // each layer sets one key more than the layer above it; they arrive in every order
  std::vector<int> order = {0, 1, 2, 3};
  do {
    Config c = Config::recipe("mnist-cnn");
    bool first_file = true;
    for (const int step : order) {
      if (step == 0 || step == 1) {  // two files: the first given is the weaker one
        c.merge_text(
            first_file ? "[train]\nseed = 2\nbatch = 2\neval_batch = 2\nlog_every = 2\n" : "[train]\nseed = 3\nbatch = 3\neval_batch = 3\n",
            first_file ? "a.toml" : "b.toml");
        first_file = false;
      } else if (step == 2) {
        c.set("train.seed=4");
        c.set("train.batch=4");
      } else {
        c.set("train.seed=5", Origin::flag("--seed"));
      }
    }
    EXPECT_EQ(c.get<std::int64_t>("train.seed"), 5);
    EXPECT_EQ(c.get<std::int64_t>("train.batch"), 4);
    EXPECT_EQ(c.get<std::int64_t>("train.eval_batch"), 3);
    EXPECT_EQ(c.get<std::int64_t>("train.log_every"), 2);
    EXPECT_EQ(c.get<double>("optim.lr"), 1e-3);
    EXPECT_EQ(c.get<double>("train.ema"), 0);
    EXPECT_EQ(c.origin("train.seed").where, "flag --seed");
    EXPECT_EQ(c.origin("train.batch").where, "command line");
    EXPECT_EQ(c.origin("train.eval_batch").where, "b.toml:4");
    EXPECT_EQ(c.origin("train.log_every").where, "a.toml:5");
    EXPECT_EQ(c.origin("optim.lr").where, "recipe mnist-cnn");
    EXPECT_EQ(c.origin("train.ema").where, "default");
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST(Config, AHigherLayerMayRuleOutWhatALowerOneSet) {
  Config c;
  c.merge_text("[optim]\nname = 'sgd'\nmomentum = 0.9\n[train]\nepochs = 3\n", "a.toml");
  c.check();
  Config by_command = c;
  by_command.set("optim.name=adamw");
  by_command.set("train.steps=10");
  by_command.check();
  EXPECT_EQ(by_command.why_unused("optim.momentum"),
            "it applies only with optim.name = sgd or rmsprop, and optim.name is adamw (command line)");
  Config by_file = c;
  by_file.merge_text("[optim]\nname = 'adamw'\n", "b.toml");
  by_file.check();
  by_file.set("optim.momentum=0.5");  // but not the other way round
  EXPECT_EQ(refusal([&] { by_file.check(); }),
            "command line: optim.momentum = 0.5 is not used: it applies only with optim.name = sgd or rmsprop, and optim.name is adamw "
            "(b.toml:2); remove it");
}

TEST(Config, AccountsForWhatWasRead) {
  Config c = Config::recipe("mnist-cnn");
  c.merge_text("[optim]\nname = 'sgd'\nmomentum = 0.9\n[train]\nbatch = 32\n", "a.toml");
  c.set("train.seed=7");
  c.check();
  EXPECT_EQ(c.unread(), (Texts{"train.batch", "train.seed", "optim.name", "optim.momentum"}));
  c.get<std::int64_t>("train.batch");
  c.get<std::string>("optim.name");
  c.get<double>("optim.momentum");
  EXPECT_EQ(c.unread(), (Texts{"train.seed"}));
  c.get<std::int64_t>("train.seed");
  c.check_read("graft train");
}

void expect_round_trip(const Config& c) {
  c.check();
  Config back;
  back.merge_text(c.text(), "config.toml");
  back.check();
  EXPECT_TRUE(back == c) << c.text();
  // and again: only the comments may differ
  const auto bare = [](const std::string& text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); i = text.find('\n', i) + 1) {
      const std::string line = text.substr(i, text.find('\n', i) - i);
      if (line[0] != '#') out += line.substr(0, line.rfind("  # ")) + "\n";
    }
    return out;
  };
  EXPECT_EQ(bare(back.text()), bare(c.text()));
}

TEST(Config, TextReadsBackEqual) {
  expect_round_trip(Config());
  for (const Recipe& r : recipes()) expect_round_trip(Config::recipe(r.name));
  for (const auto& name : {"sgd", "adam", "adamw", "rmsprop", "adagrad", "adafactor", "lion"})
    for (const auto& schedule : {"constant", "step", "cosine", "linear", "one-cycle", "polynomial"}) {
      Config c = Config::recipe("mnist-cnn");
      c.set(std::string("optim.name=") + name);
      c.set(std::string("schedule.name=") + schedule);
      expect_round_trip(c);
    }
  Config c;
  for (const char* a : {"optim.lr=0.1", "augment.rotate=1e-300", "train.clip_norm=1e22", "augment.scale=0.30000000000000004",
                        "data.path=C:\\\"q\" # \xc3\xa9'", "init.from=run 1/last", "init.freeze=[\"a\\\\\\\"b\", conv*]",
                        "data.classes=[7,0,3]", "train.seed=9223372036854775807", "train.steps=500st"})
    c.set(a, Origin::flag("--odd\nname"));
  EXPECT_EQ(c.get<std::string>("data.path"), "C:\\\"q\" # \xc3\xa9'");
  EXPECT_EQ(c.get<Texts>("init.freeze"), (Texts{"a\\\"b", "conv*"}));
  EXPECT_EQ(c.get<std::int64_t>("train.seed"), 9223372036854775807);
  expect_round_trip(c);
}

TEST(Config, EqualityIsOfWhatApplies) {
  Config a, b;
  EXPECT_TRUE(a == b);
  b.set("model.hidden=99");  // no mlp
  EXPECT_TRUE(a == b);
  b.set("train.batch=65");
  EXPECT_FALSE(a == b);
  a.set("train.batch=65", Origin::flag("--batch"));
  EXPECT_TRUE(a == b);
  a.set("model.name=mlp");
  EXPECT_FALSE(a == b);
}

TEST(Config, TextSaysWhereValuesCameFrom) {
  Config c = Config::recipe("mnist-cnn");
  c.merge_text("[train]\nbatch = 32\n", "a.toml");
  c.set("optim.lr=0.002");
  c.set("train.seed=7", Origin::flag("--seed"));
  const std::string text = c.text();
  for (const char* line :
       {"batch = 32                        # a.toml:2\n", "lr = 0.002                        # command line\n",
        "seed = 7                          # flag --seed\n", "epochs = 5                        # recipe mnist-cnn\n",
        "ema = 0.0                         # default\n",
        "# hidden does not apply: it applies only with model.name = mlp, and model.name is mnist-cnn (recipe mnist-cnn)\n"})
    EXPECT_NE(text.find(line), std::string::npos) << line << text;
}

TEST(Config, Explains) {
  Config c = Config::recipe("mnist-cnn");
  c.set("optim.lr=0.002");
  EXPECT_EQ(c.explain("optim.lr"),
            "optim.lr = 0.002\n  from     command line\n  meaning  learning rate at its highest\n  type     a finite number\n"
            "  rule     > 0\n  default  0.001\n");
  EXPECT_EQ(c.explain("model.hidden"),
            "model.hidden = 128\n  from     default\n  meaning  width of the hidden layer\n  type     a whole number\n"
            "  rule     >= 1 and <= 1000000\n  default  128\n"
            "  unused   it applies only with model.name = mlp, and model.name is mnist-cnn (recipe mnist-cnn)\n");
  const std::string all = c.explain();
  EXPECT_EQ(static_cast<std::size_t>(std::count(all.begin(), all.end(), '\n')), schema().size());
}

TEST(ConfigSchema, IsSound) {
  std::set<std::string_view> names;
  for (const Key& k : schema()) {
    EXPECT_TRUE(names.insert(k.name).second) << k.name;
    const std::string_view section = k.name.substr(0, k.name.find('.'));
    EXPECT_NE(std::find(sections().begin(), sections().end(), section), sections().end()) << k.name;
    EXPECT_FALSE(k.doc.empty()) << k.name;
    EXPECT_EQ(k.unit.empty(), k.type != Type::count) << k.name;
    EXPECT_TRUE(k.allowed.empty() || k.type == Type::text) << k.name;
    for (const Condition& c : k.applies) {
      const auto other = std::find_if(schema().begin(), schema().end(), [&](const Key& o) { return o.name == c.key; });
      ASSERT_NE(other, schema().end()) << k.name;
      EXPECT_FALSE(c.values.empty()) << k.name;
      for (const auto v : c.values)
        if (!other->allowed.empty()) {
          EXPECT_NE(std::find(other->allowed.begin(), other->allowed.end(), v), other->allowed.end()) << k.name;
        }
    }
  }
}

TEST(ConfigRecipes, HoldAndDiffer) {
  for (const Recipe& r : recipes()) {
    const Config c = Config::recipe(r.name);
    c.check();
    for (const Key& k : schema())  // a recipe says nothing that does not apply
      if (c.origin(k.name).layer == Layer::recipe) {
        EXPECT_EQ(c.why_unused(k.name), "") << r.name;
        EXPECT_EQ(c.origin(k.name).where, "recipe " + std::string(r.name));
      }
    for (const Recipe& o : recipes()) EXPECT_EQ(Config::recipe(o.name) == c, o.name == r.name);
  }
}

TEST(Nearest, CountsEditsAndKnowsWhenToBeSilent) {
  EXPECT_EQ(nearest("trian", {"eval", "train", "tune"}), "train");
  EXPECT_EQ(nearest("BATCH-size", {"batch_size"}), "batch_size");
  EXPECT_EQ(nearest("rl", {"lr"}), "lr");
  EXPECT_EQ(nearest("adamm", {"adamw", "adam"}), "adamw");  // both one edit: the first
  EXPECT_EQ(nearest("abc", {"xyz"}), "");
  EXPECT_EQ(nearest("", {"a"}), "");
  EXPECT_EQ(nearest("a", {}), "");
  EXPECT_EQ(nearest(std::string(1000000, 'a'), {"aa"}), "");
}

TEST(Units, Durations) {
  EXPECT_EQ(parse_duration("30m"), 1800);
  EXPECT_EQ(parse_duration("1h30m"), 5400);
  EXPECT_EQ(parse_duration("1.5h"), 5400);
  EXPECT_EQ(parse_duration("2d1s500ms"), 172801.5);
  EXPECT_EQ(parse_duration("0s"), 0);
  const std::string next = "; write a time such as 30m, 1h30m or 90s (d, h, m, s, ms)";
  for (const auto& [text, why] : std::vector<std::pair<std::string, std::string>>{{"", "is empty"},
                                                                                  {"30", "has no unit"},
                                                                                  {"m", "is not a time"},
                                                                                  {"-3s", "is not a time"},
                                                                                  {"infs", "is not a time"},
                                                                                  {"1 h", "has an unknown unit"},
                                                                                  {"30M", "has an unknown unit"},
                                                                                  {"1e3s", "has an unknown unit"},
                                                                                  {"5w", "has an unknown unit"},
                                                                                  {"5m5m", "has units that do not fall"},
                                                                                  {"30m1h", "has units that do not fall"},
                                                                                  {"1h30", "has no unit"}}) {
    EXPECT_EQ(refusal([&, t = text] { parse_duration(t, "--max-time"); }), "--max-time \"" + text + "\" " + why + next);
  }
  EXPECT_NE(refusal([] { parse_duration(std::string(400, '9') + "s"); }), "(accepted)");
}

TEST(Units, Bytes) {
  EXPECT_EQ(parse_bytes("6GiB"), 6442450944);
  EXPECT_EQ(parse_bytes("1.5kB"), 1500);
  EXPECT_EQ(parse_bytes("512mib"), 536870912);
  EXPECT_EQ(parse_bytes("0B"), 0);
  const std::string next = "; write a size such as 6GiB, 512MiB or 4096B (B, kB, MB, GB, TB, KiB, MiB, GiB, TiB)";
  for (const auto& [text, why] : std::vector<std::pair<std::string, std::string>>{{"", "is empty"},
                                                                                  {"6", "has no unit"},
                                                                                  {"GiB", "is not a size"},
                                                                                  {"-1B", "is not a size"},
                                                                                  {"6G", "has an unknown unit"},
                                                                                  {"6 GiB", "has an unknown unit"},
                                                                                  {"8388608TiB", "is too large"}}) {
    EXPECT_EQ(refusal([&, t = text] { parse_bytes(t, "--memory"); }), "--memory \"" + text + "\" " + why + next);
  }
}

}  // namespace
}  // namespace graft
