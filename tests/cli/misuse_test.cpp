// Wrong calls: one clear line on stderr, the right exit code, nothing on stdout, nothing written. The corpus is a table: arguments, exit
// code, and a text that the line must contain.
#include <gtest/gtest.h>

#include <algorithm>

#include "kernels/core/device.h"
#include "process.h"

namespace graft::test {
namespace {

struct Misuse {
  const char* arguments;
  int code;
  const char* says;
};
// What a device can and cannot do is different from build to build and from machine to machine.
std::vector<Misuse> device_corpus() {
  std::vector<Misuse> all = {{"gradcheck mnist-mlp --device cuda:x", 2, "there is cpu, emu, cuda, cuda:N and auto"},
                             {"train digits-cnn --device CUDA", 2, "--device CUDA"},
                             {"train digits-cnn --device cuda:", 2, "--device cuda:"},
                             {"train digits-cnn --device emu:1", 2, "--device emu:1"},
                             {"gradcheck mnist-cnn model.channels_last=true --kernel conv=cpu.1_rows", 2, "was forced but cannot run here"},
                             {"train digits-cnn -q data.train_count=64 data.test_count=9 model.channels_last=true --kernel conv=cpu.1_rows",
                              2, "was forced but cannot run here"}};
  static const std::string no_cuda = why_not({DeviceKind::cuda, 0}), no_emu = why_not({DeviceKind::emu, 0});
  if (!no_cuda.empty()) {  // not built, no driver, one that is too old, no GPU: the reason, and what else there is
    for (const char* a : {"train digits-cnn --device cuda", "eval nowhere --device cuda:0", "gradcheck mnist-mlp --device cuda"})
      all.push_back({a, 6, no_cuda.c_str()});
  } else {
    all.push_back({"train digits-cnn --device cuda --memory 1MiB", 4, "cuda:0: out of memory"});
    all.push_back({"gradcheck mnist-cnn --device cuda --kernel conv=cuda.2_depthwise", 2, "was forced but cannot run here"});
  }
  if (!no_emu.empty()) {
    all.push_back({"train digits-cnn --device emu", 6, no_emu.c_str()});
  } else {
    all.push_back({"train digits-cnn --device emu --memory 1MiB", 4, "emu: out of memory"});
    all.push_back({"gradcheck mnist-cnn --device emu --kernel conv=emu.2_depthwise", 2, "was forced but cannot run here"});
    all.push_back({"gradcheck mnist-mlp --kernel matmul=emu.1_tiled", 2, "does not run on cpu"});
  }
  return all;
}
const Misuse kCorpus[] = {
    // verbs and options
    {"", 2, "subcommand"},
    {"trian", 2, "did you mean train"},
    {"finetun", 2, "did you mean finetune"},
    {"evall x", 2, "eval"},
    {"--bogus", 2, "bogus"},
    {"train", 2, "name a recipe"},
    {"train mnist-cmn", 2, "mnist-cnn"},
    {"train digits-cnn --sed 1", 2, "--seed"},
    {"train digits-cnn --seed", 2, "seed"},
    {"train digits-cnn --seed x", 2, "seed"},
    {"train digits-cnn --threads -1", 2, "--threads"},
    {"train digits-cnn --threads 99999", 2, "--threads"},
    {"train digits-cnn --threads 0", 2, "from 1 to 4096"},
    {"demo --threads 0", 2, "from 1 to 4096"},
    {"doctor --threads -1", 2, "from 1 to 4096"},
    {"kernels check softmax --threads 0", 2, "from 1 to 4096"},
    {"kernels bench softmax --threads 0", 2, "from 1 to 4096"},
    {"eval nowhere --threads 0", 2, "from 1 to 4096"},
    {"train digits-cnn --seed 18446744073709551615", 2, "from 0 to 9223372036854775807"},
    {"train digits-cnn --seed -1", 2, "from 0 to"},
    {"demo --seed 18446744073709551615", 2, "from 0 to"},
    {"kernels check softmax --seed 9223372036854775808", 2, "from 0 to"},
    {"train digits-cnn --max-time 0s", 2, "--max-time 0s"},
    {"resume nowhere --max-time 0ms", 2, "--max-time 0ms"},
    {"convert other.safetensors a.safetensors --dtype I32", 2, "--dtype I32: is no type"},
    {"convert other.safetensors a.gguf --dtype I32", 2, "--dtype I32: is no type"},
    {"train digits-cnn --threads two", 2, "threads"},
    {"train digits-cnn --device gpu", 2, "--device gpu"},
    {"train digits-cnn --device cuda:99", 6, "--device cuda:99"},
    {"train digits-cnn --memory lots", 2, "--memory"},
    {"train digits-cnn --memory 5", 2, "--memory"},
    {"train digits-cnn --max-time soon", 2, "--max-time"},
    {"compare letters-cnn", 2, "--from"},
    {"compare", 2, "--from"},
    {"compare letters-cnn --from bad.toml --arms ful,scratch", 2, "did you mean full"},
    {"compare letters-cnn --from bad.toml --arms full", 2, "two are wanted"},
    {"compare letters-cnn --from bad.toml --arms full,full", 2, "twice"},
    {"compare letters-cnn --from bad.toml --seeds 0", 2, "--seeds"},
    {"compare letters-cnn --from bad.toml --tune 99", 2, "--tune"},
    {"compare letters-cnn --from bad.toml --budget 5", 2, "--budget"},
    {"compare letters-cnn --from bad.toml --budget 1.5st", 2, "whole number"},
    {"compare letters-cnn --from bad.toml --budget -1flop", 2, "--budget"},
    {"compare letters-cnn --from missing.safetensors", 3, "missing.safetensors"},
    {"compare letters-cnn --from bad.toml init.from=x", 2, "--from"},
    {"resume", 2, "run"},
    {"resume nowhere", 3, "is no folder"},
    {"resume bad.toml", 3, "is no folder"},
    {"resume .", 3, "has no config.toml"},
    {"resume nowhere --max-time soon", 2, "--max-time"},
    {"resume nowhere train.steps=3", 2, "train.steps=3"},
    {"resum runs/a", 2, "did you mean resume"},
    {"train digits-cnn train.keep=0", 2, "train.keep"},
    {"train digits-cnn --max-time 5", 2, "--max-time"},
    {"train digits-cnn --kernel conv", 2, "FAMILY=VARIANT"},
    {"train digits-cnn --kernel conf=naive", 2, "conf"},
    {"train digits-cnn --kernel conv=fast", 2, "fast"},
    {"finetune letters-cnn", 2, "--from"},
    {"finetune", 2, "--from"},
    {"doctor --all", 2, "all"},
    {"demo --seed x", 2, "seed"},
    {"demo --epochs 3", 2, "epochs"},
    {"config", 2, "subcommand"},
    {"config list", 2, "list"},
    {"config show", 2, "name a recipe"},
    {"config check nope", 2, "nope"},
    {"kernels", 2, "subcommand"},
    {"kernels lst", 2, "list"},
    {"kernels list convv", 2, "did you mean conv"},
    {"kernels check conv --variant fast", 2, "fast"},
    {"kernels check nope", 2, "nope"},
    {"kernels explain", 2, "family"},
    {"kernels explain nope", 2, "nope"},
    {"kernels bench conv --variant nope", 2, "nope"},
    {"kernels bench conv --seconds -1", 2, "seconds"},
    {"kernels bench conv --seconds x", 2, "seconds"},
    {"gradcheck", 2, "name a model"},
    {"gradcheck nope", 2, "nope"},
    {"kernels bench softmax --device tpu", 2, "--device tpu"},
    {"kernels bench softmax --device cuda:99", 6, "--device cuda:99"},
    {"kernels bench softmax --dtype f12", 2, "f32"},
    {"kernels bench matmul --shape 512x512x512 --dtype i64", 2, "i64"},
    {"kernels bench softmax --shape 9999", 2, "4096x1024"},
    {"kernels bench sofmax", 2, "did you mean softmax"},
    {"kernels bench softmax --against openbals", 2, "openbals"},
    {"kernels bench softmax --against openblas", 2, "in softmax"},
    {"kernels bench softmax --variant cpu.1_simd,naiv", 2, "did you mean naive"},
    {"kernels bench softmax --variant ref", 2, "no chosen variant runs"},
    {"kernels bench softmax --csv /nowhere/a.csv", 3, "/nowhere"},
    {"kernels bench softmax --html /nowhere/a.html", 3, "/nowhere"},
    {"kernels bench softmax -o /nowhere/a.json", 3, "/nowhere"},
    {"kernels bench softmax --seed -1", 2, "seed"},
    {"kernels bench softmax --threads 99999", 2, "--threads"},
    {"kernels compare", 2, "required"},
    {"kernels compare missing.json missing.json", 3, "missing.json"},
    {"kernels compare bad.toml bad.toml", 3, "not JSON"},
    {"kernels compare rows.json rows.json", 3, "row 0"},
    {"kernels compare norows.json norows.json", 3, "rows"},
    {"kernels compare times.json times.json", 3, "no sound times"},
    {"kernels compare times.json times.json --threshold x", 2, "threshold"},
    {"kernels try", 2, "required"},
    {"kernels try missing.cpp", 3, "--new"},
    {"kernels try bad.toml", 2, ".cu"},
    {"kernels try empty.cpp --device emu", 2, ".cpp runs on the CPU"},
    {"kernels try empty.cpp --device tpu", 2, "tpu"},
    {"kernels try empty.cpp --new", 2, "there already"},
    {"kernels try empty.txt --new", 2, ".cu"},
    {"kernels try empty.cpp", 2, "has no row"},
    {"kernels try empty.cu --device cpu", 2, "emu and cuda"},
    {"doctor --peaks --device emu", 2, "mean nothing"},
    // data
    {"data", 2, "subcommand"},
    {"data chek", 2, "did you mean check"},
    {"data check", 2, "name the data first"},
    {"data check digits-cn", 2, "digits-cnn"},
    {"data check nowhere/at/all", 3, "no such file or folder"},
    {"data check rows.json", 3, "is no folder, archive"},
    {"data check .", 3, "can be read"},
    {"data check taken", 3, "holds no data set"},
    {"data check digits-cnn --examples -1", 2, "--examples"},
    {"data check missing.csv", 3, "missing.csv"},
    {"data check digits-cnn --out taken", 2, "taken"},
    {"data check digits-cnn --out /proc/nothing/here", 3, "/proc/nothing"},
    {"data check digits-cnn data.kindd=folder", 2, "data.kind"},
    {"data check table/train.csv", 2, "data.target"},
    {"data check short", 3, "promises"},
    {"data split table/train.csv", 2, "--out"},
    {"data split digits-cnn --out new", 2, "has its parts already"},
    {"data split --out new", 2, "name the data first"},
    {"data split table/train.csv --out taken", 2, "is there already"},
    {"data split table/train.csv --out new --parts train=0.5", 2, "sum to"},
    {"data split table/train.csv --out new --stratify", 2, "data.target"},
    {"data split table/train.csv --out new --seed -1", 2, "--seed"},
    {"data split table --out new", 2, "has its parts already"},
    {"data split table/train.csv --out /proc/nothing/here", 3, "/proc/nothing"},
    {"data preview digits-cnn", 2, "--out"},
    {"data preview digits-cnn --out sheet.pdf", 2, ".html or .png"},
    {"data preview digits-cnn --out taken.png --count 0", 2, "--count"},
    {"data preview table --out sheet.png data.target=b", 2, "has no pictures"},
    {"data preview digits-cnn --out /proc/nothing.png", 3, "/proc/nothing.png"},
    {"data preview digits-cnn --out sheet.png --augment augment.policy=randaugmnt", 2, "augment.policy"},
    // keys
    {"train digits-cnn lr=1", 2, "lr"},
    {"train digits-cnn optim.lrr=1", 2, "optim.lr"},
    {"train digits-cnn -o ''", 2, "--out: is empty"},
    {"train digits-cnn --kernel ''", 2, "--kernel: is empty"},
    {"train digits-cnn --config ''", 2, "--config: is empty"},
    {"gradcheck mnist-mlp optim.lr=3", 2, "graft gradcheck has no use for it"},
    {"gradcheck nothing-like-it", 2, "unknown recipe"},
    {"train digits-cnn optm.lr=1", 2, "optim"},
    {"train digits-cnn optim.lr", 2, "optim.lr"},
    {"train digits-cnn optim.lr=", 2, "optim.lr"},
    {"train digits-cnn optim.lr=fast", 2, "optim.lr"},
    {"train digits-cnn optim.lr=-1", 2, "optim.lr"},
    {"train digits-cnn optim.lr=nan", 2, "optim.lr"},
    {"train digits-cnn optim.lr=inf", 2, "optim.lr"},
    {"train digits-cnn train.epochs=0", 2, "train.epochs"},
    {"train digits-cnn train.epochs=1.5", 2, "train.epochs"},
    {"train digits-cnn train.epochs=5st", 2, "train.epochs"},
    {"train digits-cnn train.batch=0", 2, "train.batch"},
    {"train digits-cnn train.batch=-4", 2, "train.batch"},
    {"train digits-cnn train.seed=-1", 2, "train.seed"},
    {"train digits-cnn train.steps=-1", 2, "train.steps"},
    {"train digits-cnn train.steps=10ep", 2, "train.steps"},
    {"train digits-cnn train.graph=maybe", 2, "auto, true or false"},
    {"train digits-cnn train.dtype=f8", 2, "train.dtype"},
    {"train digits-cnn train.ema=1", 2, "train.ema"},
    {"train digits-cnn train.label_smoothing=1.5", 2, "label_smoothing"},
    {"train digits-cnn train.clip_norm=-1", 2, "clip_norm"},
    {"train digits-cnn train.log_every=0", 2, "log_every"},
    {"train digits-cnn train.checkpoint_every=-5", 2, "checkpoint_every"},
    {"train digits-cnn model.name=resnet", 2, "model.name"},
    {"train digits-cnn model.classes=-1", 2, "model.classes"},
    {"train digits-cnn model.classes=5", 2, "classes"},
    {"train digits-cnn model.dropout1=1", 2, "dropout1"},
    {"train digits-cnn model.dropout2=-0.1", 2, "dropout2"},
    {"train digits-cnn model.channels_last=maybe", 2, "channels_last"},
    {"train digits-cnn model.hidden=64", 2, "model.hidden"},
    {"train digits-cnn optim.name=adamm", 2, "optim.name"},
    {"train digits-cnn optim.momentum=0.9", 2, "momentum"},
    {"train digits-cnn optim.name=sgd optim.beta1=0.9", 2, "beta1"},
    {"train digits-cnn optim.name=sgd optim.nesterov=true", 2, "nesterov"},
    {"train digits-cnn optim.beta1=1", 2, "beta1"},
    {"train digits-cnn schedule.name=cosin", 2, "schedule.name"},
    {"train digits-cnn schedule.power=2", 2, "schedule.power"},
    {"train digits-cnn schedule.gamma=0.5", 2, "schedule.gamma"},
    {"train digits-cnn schedule.warmup=-1", 2, "warmup"},
    {"train digits-cnn train.steps=5 schedule.warmup=5", 2, "warmup"},
    {"train digits-cnn data.kind=cifar", 2, "data.kind"},
    {"train digits-cnn data.path=.", 2, "data.path"},
    {"train digits-cnn data.classes=[0,10]", 2, "data.classes"},
    {"train digits-cnn data.classes=0,1", 2, "data.classes"},
    {"train digits-cnn data.normalize=[0.5]", 2, "normalize"},
    {"train digits-cnn data.normalize=[0.5,0]", 2, "normalize"},
    {"train digits-cnn data.train_count=0", 2, "train_count"},
    {"train digits-cnn data.per_class=-1", 2, "per_class"},
    {"train digits-cnn data.train_count=20 data.test_count=10 data.per_class=50", 2, "class"},
    {"train digits-cnn data.validation=99999", 2, "validation"},
    {"train digits-cnn init.head=old", 2, "init.head"},
    {"train digits-cnn init.freeze=[conv1.*]", 2, "init.freeze"},
    {"train digits-cnn augment.shift=9999", 2, "shift"},
    {"train digits-cnn augment.scale=2", 2, "scale"},
    {"train digits-cnn eval.every=0", 2, "eval.every"},
    {"train digits-cnn train.epochs=1 train.epochs=2", 2, "train.epochs"},
    {"train digits-cnn train.epochs=2 train.steps=5", 2, "train.epochs"},
    // files
    {"train missing.toml", 2, "missing.toml"},
    {"train bad.toml", 2, "bad.toml:2"},
    {"train unknown.toml", 2, "optim.lrr"},
    {"train digits-cnn --config missing.toml", 2, "missing.toml"},
    {"train mnist-cnn", 2, "data.path"},
    {"train mnist-cnn data.path=nowhere", 3, "nowhere"},
    {"train mnist-cnn data.path=.", 3, "train-images"},
    {"train mnist-cnn data.path=broken", 3, "train-images"},
    {"train mnist-cnn data.path=short", 3, "promises"},
    {"finetune digits-cnn --from nowhere", 3, "nowhere"},
    {"finetune digits-cnn --from empty.safetensors", 3, "empty.safetensors"},
    {"finetune digits-cnn --from text.safetensors", 3, "text.safetensors"},
    {"finetune digits-cnn --from other.safetensors", 3, "missing"},
    {"eval", 2, "name a checkpoint"},
    {"eval nowhere", 3, "nowhere"},
    {"eval other.safetensors", 3, "configuration"},
    {"eval text.safetensors", 3, "text.safetensors"},
    {"predict", 2, "name a checkpoint"},
    {"predict nowhere --index 1", 3, "nowhere"},
    {"train digits-cnn --out taken", 2, "taken"},
    {"train digits-cnn --memory 1MiB", 4, "memory"},
    {"demo --out /proc/nothing/here", 3, "/proc/nothing"},
};

TEST(Doctor, SaysWhatItLookedFor) {
  TempFolder t;
  const Outcome o = run(t.path, "doctor");
  EXPECT_EQ(o.code, 0) << o.err;
  for (const DeviceKind k : {DeviceKind::emu, DeviceKind::cuda}) EXPECT_NE(o.out.find(describe({k, 0})), std::string::npos) << o.out;
}

TEST(Misuse, HasAHundredCases) { EXPECT_GE(std::size(kCorpus), 100u); }

TEST(Misuse, OneLineTheRightCodeAndNothingWritten) {
  TempFolder t;
  const auto put = [&](const std::string& name, const std::string& text) {
    std::filesystem::create_directories((t.path / name).parent_path());
    std::ofstream(t.path / name, std::ios::binary) << text;
  };
  put("bad.toml", "[optim]\nlr = = 1\n");
  put("unknown.toml", "[optim]\nlrr = 1\n");
  put("broken/train-images-idx3-ubyte", "not idx");
  put("broken/train-labels-idx1-ubyte", "not idx");
  put("short/train-images-idx3-ubyte", std::string("\0\0\x08\x03\0\0\0\x02\0\0\0\x02\0\0\0\x02"
                                                   "abc",
                                                   19));
  put("short/train-labels-idx1-ubyte", std::string("\0\0\x08\x01\0\0\0\x02"
                                                   "\1\2",
                                                   10));
  put("rows.json", R"({"rows": [{"family": "softmax"}]})");
  put("norows.json", R"({"row": []})");
  put("times.json",
      R"({"rows": [{"family": "a", "variant": "b", "shape": "c", "dtype": "f32", "threads": 1, "median_s": -1, "spread": 0}]})");
  put("table/train.csv", "a,b\n1,2\n3,4\n");
  put("empty.cpp", "// nothing\n");
  put("empty.cu", "// nothing\n");
  put("empty.safetensors", "");
  put("text.safetensors", "this is no checkpoint, whatever its name says");
  const std::string header = R"({"conv1.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  std::string other(8, '\0');
  other[0] = static_cast<char>(header.size());
  put("other.safetensors", other + header + std::string(4, '\0'));
  std::filesystem::create_directories(t.path / "taken");
  const auto listing = [&] {
    std::vector<std::string> names;
    for (const auto& e : std::filesystem::recursive_directory_iterator(t.path)) names.push_back(e.path().string());
    std::sort(names.begin(), names.end());
    return names;
  };
  run(t.path, "doctor");  // the streams' files are there from now on
  const auto before = listing();
  std::vector<Misuse> corpus(std::begin(kCorpus), std::end(kCorpus));
  for (const Misuse& m : device_corpus()) corpus.push_back(m);
  for (const Misuse& m : corpus) {
    const Outcome o = run(t.path, m.arguments);
    const std::string what = std::string("graft ") + m.arguments + "\n" + o.err;
    EXPECT_EQ(o.code, m.code) << what;
    EXPECT_NE(o.err.find(m.says), std::string::npos) << what << "must say: " << m.says;
    EXPECT_EQ(std::count(o.err.begin(), o.err.end(), '\n'), 1) << what;
    EXPECT_EQ(o.err.rfind("graft: ", 0), 0u) << what;
    EXPECT_TRUE(o.out.empty()) << what << o.out;
    if (const auto now = listing(); now != before) {
      for (const auto& n : now)
        if (!std::binary_search(before.begin(), before.end(), n)) {
          ADD_FAILURE() << what << "left " << n;
          std::filesystem::remove_all(n);
        }
    }
  }
}

}  // namespace
}  // namespace graft::test
