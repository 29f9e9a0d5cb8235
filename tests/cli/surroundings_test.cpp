// What the surroundings do to graft: threads that the system refuses, streams that are closed or full, signals, folders without a
// permission, names that are no text, a checkpoint that would be written over. In each case one line that says so, the right exit code, and
// nothing lost.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "engine/data/drawn.h"
#include "engine/data/source.h"
#include "process.h"
#include "tests/data/files.h"

namespace graft::test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

// A network that steps in milliseconds.
std::string quick(int images, int hidden, int batch) {
  return "digits-cnn data.train_count=" + std::to_string(images) +
         " data.test_count=20 model.name=mlp model.hidden=" + std::to_string(hidden) + " train.batch=" + std::to_string(batch) +
         " schedule.warmup=0 train.log_every=1 ";
}
const std::string kQuick = quick(160, 8, 16);

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }
void expect_line(const Outcome& o, int code, const std::string& says) {
  EXPECT_EQ(o.code, code) << o.err;
  EXPECT_TRUE(has(o.err, says)) << o.err << "must say: " << says;
  EXPECT_EQ(std::count(o.err.begin(), o.err.end(), '\n'), 1) << o.err;
  EXPECT_EQ(o.err.rfind("graft: ", 0), 0u) << o.err;
}
// A script in which $G is graft. 60 seconds, since some of what is tested here used to hang.
Outcome shell(const fs::path& folder, const std::string& script) {
  write_file(folder / ".script", "G='" GRAFT_BINARY "'\n" + script + "\n");
  const Outcome o = run(folder, "--foreground 60 bash .script", "timeout");
  fs::remove(folder / ".script");
  return o;
}

// ---- what is read is not written over ----

TEST(Export, NeverWritesOverWhatItReads) {
  TempFolder t;
  ASSERT_EQ(run(t.path, "train " + kQuick + "train.steps=3 -q -o a").code, 0);
  ASSERT_EQ(run(t.path, "export a/checkpoints/best own.safetensors --plain").code, 0);
  const std::string best = "a/checkpoints/best", model = best + "/model.safetensors";
  const auto step = fs::read_symlink(t.path / best).string();
  const std::string before = read_file(t.path / model), own = read_file(t.path / "own.safetensors");
  for (const std::string& call : std::vector<std::string>{
           "export " + best + " " + model,
           "export " + model + " " + model,
           "export " + best + " ./a/checkpoints/" + step + "/model.safetensors",
           "export own.safetensors own.safetensors",
           "export " + best + " own.safetensors --like own.safetensors",
           "export " + model + " " + model + " --format onnx",
           "convert " + best + " " + model + " --dtype BF16",
           "convert own.safetensors ./own.safetensors",
           "convert " + best + " " + model + " --format gguf",
       })
    expect_line(run(t.path, call), 2, "cannot be read and written at once");
  for (const std::string& call :
       {"export " + best + " " + best + "/more.safetensors", "convert own.safetensors " + best + "/training.safetensors",
        "convert own.safetensors " + model, "export own.safetensors " + best + "/x.onnx"})
    expect_line(run(t.path, call), 2, "is a checkpoint of a run");
  EXPECT_EQ(read_file(t.path / model), before);
  EXPECT_EQ(read_file(t.path / "own.safetensors"), own);
  EXPECT_EQ(run(t.path, "resume a -q").code, 0);

  // The shards of what is read, which would be named as those that are written.
  fs::create_directory(t.path / "s");
  ASSERT_EQ(run(t.path, "convert own.safetensors s/model.safetensors --shard-size 8KB").code, 0);
  ASSERT_TRUE(fs::exists(t.path / "s/model.safetensors.index.json"));
  expect_line(run(t.path, "convert s s/model.safetensors --shard-size 8KB --dtype BF16"), 2, "cannot be read and written at once");
  EXPECT_EQ(run(t.path, "convert s s/other.safetensors").code, 0) << "beside them is no harm";
}

TEST(Export, AdaptersStayOutOfACheckpoint) {
  TempFolder t;
  ASSERT_EQ(run(t.path, "train " + kQuick + "train.steps=2 -q -o base").code, 0);
  ASSERT_EQ(run(t.path, "finetune " + kQuick + "--from base/checkpoints/best peft.method=lora train.steps=2 -q -o lora").code, 0);
  ASSERT_EQ(run(t.path, "train " + kQuick + "train.steps=2 -q -o other").code, 0);
  expect_line(run(t.path, "export lora/checkpoints/best other/checkpoints/best --format peft"), 2, "is a checkpoint of a run");
  for (const char* own : {"lora", "base"})
    expect_line(run(t.path, std::string("export lora/checkpoints/best ") + own + "/checkpoints/best --format peft"), 2,
                "cannot be read and written at once");
  EXPECT_EQ(run(t.path, "resume lora -q").code, 0);
}

// ---- the system ----

TEST(System, RefusesAThreadAndItIsSaid) {
  TempFolder t;
  // Threads as large as this do not fit in that much memory.
  const Outcome o =
      shell(t.path, "ulimit -s 1048576 && ulimit -v 6291456 || exit 99\nexec $G train " + kQuick + "train.steps=2 -q --threads 64");
  if (o.code == 99) GTEST_SKIP() << "no limits can be set here: " << o.err;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer wants more memory than that";
#endif
  expect_line(o, 2, "64 threads: the system allows no more than ");
  EXPECT_TRUE(has(o.err, "; use --threads ")) << o.err;
}

TEST(System, ClosedStreamsAreNoFilesOfTheRun) {
  TempFolder t;
  ASSERT_EQ(run(t.path, "train " + kQuick + "train.steps=12 -q -o a").code, 0);
  const Outcome o = shell(t.path, "$G train " + kQuick + "train.steps=12 -o b <&- >&- 2>&-");
  EXPECT_EQ(o.code, 0);
  const std::string log = read_file(t.path / "b/log.jsonl"), csv = read_file(t.path / "b/metrics.csv");
  EXPECT_EQ(csv, read_file(t.path / "a/metrics.csv"));
  std::istringstream in(log);
  std::size_t lines = 0;
  for (std::string line; std::getline(in, line); ++lines) EXPECT_TRUE(Json::accept(line)) << line;
  EXPECT_GE(lines, 12u);
}

TEST(System, AnAnswerThatCannotBeWrittenIsNoSuccess) {
  TempFolder t;
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "no /dev/full";
  ASSERT_EQ(run(t.path, "train " + kQuick + "train.steps=2 -q -o a").code, 0);
  for (const char* call : {"eval a/checkpoints/best --json", "kernels list --json", "--help", "config show digits-cnn"})
    expect_line(shell(t.path, std::string("$G ") + call + " >/dev/full"), 75, "No space left on device");
  expect_line(shell(t.path, "$G eval nowhere >/dev/full"), 3, "nowhere");
}

TEST(System, AFileLimitIsSaid) {
  TempFolder t;
  const Outcome o = shell(t.path, "ulimit -f 200\nexec $G train " + quick(160, 2048, 16) + "train.steps=2 -q -o a");
  expect_line(o, 3, "File too large; what was there before is unchanged; raise the limit on files");
}

TEST(System, ARunGoesOnWhenNobodyReadsItsProgress) {
  TempFolder t;
  const Outcome o = shell(t.path, "$G train " + kQuick + "train.steps=400 eval.every=1000 -o a 2>&1 | head -2\nexit ${PIPESTATUS[0]}");
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_TRUE(fs::exists(t.path / "a/report.json"));
}

TEST(System, Usr1BeforeThereIsAnythingToWriteIsNoEnd) {
  TempFolder t;
  if (!fs::exists("/proc/self/status")) GTEST_SKIP() << "no /proc";
  // 98: it was not caught before the data were there and the folder was made
  const Outcome o = shell(t.path, "$G train " + quick(20000, 8, 16) + "train.steps=3 eval.every=1000 -q -o a &\n" + R"(
for i in $(seq 500); do
  grep -q '^SigCgt:.*[2367abef]..$' /proc/$!/status && break
  sleep 0.01
done
[ -e a ] && { kill $!; exit 98; }
kill -USR1 $!
wait $!)");
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_TRUE(fs::exists(t.path / "a/report.json"));
}

// ---- where it writes ----

TEST(RunFolder, NamesThatCannotBeLookedAtAreALine) {
  TempFolder t;
  const std::string call = "train " + kQuick + "train.steps=2 -q ";
  expect_line(run(t.path, call + "-o " + std::string(300, 'x')), 3, "File name too long");
  expect_line(shell(t.path, "$G " + call + "-o $'b\\xffd'"), 2, "--out b\\xffd: is no UTF-8 text");
  expect_line(shell(t.path, "$G " + call + "-o $'a\\nb'"), 2, "--out a\\x0ab: is no UTF-8 text");
  expect_line(shell(t.path, "echo x >runs; $G " + call + "; r=$?; rm runs; exit $r"), 3, "runs: cannot make the folder");
  for (const auto& e : fs::directory_iterator(t.path)) EXPECT_TRUE(e.path().filename().string().starts_with(".std")) << e.path();
  if (::geteuid() == 0) {
    // root may write anywhere, so somebody else is asked
    if (run(t.path, "nobody -s /bin/sh -c true", "su").code != 0) return;
    ASSERT_EQ(::chmod(t.path.c_str(), 0755), 0);
    fs::create_directory(t.path / "closed");
    ASSERT_EQ(::chmod((t.path / "closed").c_str(), 0700), 0);
    fs::copy_file(GRAFT_BINARY, t.path / "graft");
    expect_line(run(t.path, "nobody -s /bin/sh -c './graft " + call + "-o closed/a'", "su"), 3, "Permission denied; check the permissions");
    expect_line(run(t.path, "nobody -s /bin/sh -c './graft " + call + "'", "su"), 3, "Permission denied; check the permissions");
  }
}

TEST(RunFolder, ACurrentFolderThatIsNoTextIsNoEnd) {
  TempFolder t;
  const Outcome o = shell(t.path, "mkdir $'b\\xffd' && cd $'b\\xffd' && $G train " + kQuick + "train.steps=2 -q --json");
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_TRUE(Json::accept(o.out)) << o.out;
  EXPECT_EQ(shell(t.path, "cd $'b\\xffd' && $G eval runs/*/checkpoints/best").code, 0);
}

TEST(Classes, WhoseNamesAreNoTextAreKnownAgain) {
  TempFolder t;
  const Drawn d = draw_shapes(96, 1);
  const auto source = images_in_memory("shapes", d.block);
  const std::string named[] = {
      "b\xff"
      "d",
      "new\nline"};
  int count[2] = {};
  for (std::int64_t i = 0; i < 96; ++i)
    if (const auto label = d.labels[static_cast<std::size_t>(i)]; label < 2)
      write_file(t.path / (count[label]++ % 3 < 2 ? "set/train" : "set/test") / named[label] / (std::to_string(i) + ".png"),
                 text_of(encode_png(source->read(i))));
  const Outcome o = run(t.path,
                        "train shapes-resnet data.kind=folder data.train_count=0 data.test_count=0 data.path=set data.validation=0 "
                        "model.width=2 train.steps=2 "
                        "train.batch=8 -q -o a");
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(run(t.path, "resume a -q").code, 0);
  const Outcome e = run(t.path, "eval a/checkpoints/best --json -q");
  ASSERT_EQ(e.code, 0) << e.err;
  EXPECT_TRUE(Json::parse(e.out)["by_class"].contains("b\\xffd")) << e.out;
  EXPECT_EQ(run(t.path, "predict a/checkpoints/best").code, 0);
  fs::rename(t.path / "set/test" / named[0], t.path / "set/test/\xfe");
  expect_line(run(t.path, "eval a/checkpoints/best"), 3, "class '\\xfe' is not one of");
}

// ---- how to go on ----

std::string said_to_go_on(const Outcome& o) {
  const std::string begin = "go on with: ";
  const auto at = o.err.find(begin);
  if (at == std::string::npos) return {};
  const std::string line = o.err.substr(at + begin.size());
  return line.substr(0, line.find('\n'));
}

TEST(GoOnWith, IsALineForAShellAndForTheFolderWhereItWasSaid) {
  TempFolder t;
  fs::create_directory(t.path / "elsewhere");
  const std::string call = "train " + kQuick + "train.steps=4000 --max-time 1ms -q ";
  Outcome o = shell(t.path, "$G " + call + "-o \"it's a run\"");
  ASSERT_EQ(o.code, 75) << o.err;
  EXPECT_EQ(said_to_go_on(o), "graft resume 'it'\\''s a run'");
  const std::string line = said_to_go_on(o);
  o = shell(t.path, "graft() { $G \"$@\"; }\n" + line + " --max-time 1ms -q");
  EXPECT_EQ(o.code, 75) << o.err;
  EXPECT_EQ(said_to_go_on(o), line);

  ASSERT_EQ(run(t.path, call + "-o a").code, 75);
  o = shell(t.path / "elsewhere", "$G resume ../a --max-time 1ms -q");
  EXPECT_EQ(said_to_go_on(o), "graft resume ../a");
  const std::string whole = (t.path / "a").string();
  o = shell(t.path / "elsewhere", "$G resume " + whole + " --max-time 1ms -q");
  EXPECT_EQ(said_to_go_on(o), "graft resume " + whole);
}

// The page with its pictures is larger than any other file of this little network.
TEST(GoOnWith, AReportThatDoesNotFitComesAfterTheResult) {
  TempFolder t;
  const std::string call = "train " + quick(640, 1, 320) + "data.validation=320 train.steps=2 -q -o ";
  ASSERT_EQ(run(t.path, call + "whole").code, 0);
  std::uintmax_t largest = 0;
  for (const auto& e : fs::recursive_directory_iterator(t.path / "whole"))
    if (e.is_regular_file() && e.path().filename() != "report.html") largest = std::max(largest, e.file_size());
  ASSERT_GT(fs::file_size(t.path / "whole/report.html"), largest + 2048);
  const Outcome o = shell(t.path, "ulimit -f " + std::to_string(largest / 1024 + 1) + "\nexec $G " + call + "a");
  EXPECT_EQ(o.code, 3) << o.err;
  EXPECT_TRUE(has(o.out, "last training loss")) << o.out;
  EXPECT_TRUE(has(o.err, "report.html: cannot write") && has(o.err, ": graft resume a\n")) << o.err;
  EXPECT_EQ(run(t.path, "resume a -q").code, 0);
  EXPECT_TRUE(fs::exists(t.path / "a/report.html"));
}

// ---- options that count ----

TEST(Options, JsonIsJsonWhereverItIsTaken) {
  TempFolder t;
  const auto document = [&](const std::string& arguments) {
    const Outcome o = run(t.path, arguments);
    EXPECT_EQ(o.code, 0) << arguments << ": " << o.err;
    return Json::parse(o.out, nullptr, false);
  };
  const Json shown = document("config show digits-cnn optim.lr=0.25 --json");
  EXPECT_EQ(shown["optim.lr"]["value"], 0.25);
  EXPECT_EQ(shown["optim.lr"]["origin"], "command line");
  EXPECT_EQ(shown["train.seed"]["origin"], "default");
  EXPECT_TRUE(shown["data.normalize"]["value"].is_array());
  EXPECT_FALSE(shown.contains("data.path")) << "it does not apply";
  const Json explained = document("config show digits-cnn --explain --json");
  EXPECT_TRUE(explained["data.path"].contains("unused"));
  EXPECT_TRUE(explained["optim.lr"]["meaning"].is_string());
  EXPECT_EQ(document("config check digits-cnn --json"), Json::parse("{\"ok\": true}"));
  const Json softmax = document("kernels explain softmax --json");
  EXPECT_EQ(softmax["family"], "softmax");
  ASSERT_FALSE(softmax["shapes"].empty());
  for (const Json& s : softmax["shapes"])
    EXPECT_EQ(std::count_if(s["variants"].begin(), s["variants"].end(), [](const Json& v) { return v["taken"] == true; }), 1) << s;
}

TEST(Options, KernelsOfTheEnvironmentAreChecked) {
  TempFolder t;
  for (const auto& [value, says] : {std::pair{"nonsense", "is not FAMILY=VARIANT"},
                                    {"conf=naive", "no kernel family 'conf'"},
                                    {"conv=fast", "conv has no variant 'fast'"}}) {
    const Outcome o = shell(t.path, std::string("GRAFT_KERNELS=") + value + " $G train " + kQuick + "-q");
    expect_line(o, 2, says);
    EXPECT_TRUE(has(o.err, "GRAFT_KERNELS")) << o.err;
  }
  EXPECT_EQ(shell(t.path, "GRAFT_KERNELS= $G config check digits-cnn").code, 0);
}

TEST(Eval, RefusesWhatItHasNoUseFor) {
  TempFolder t;
  ASSERT_EQ(run(t.path, "train " + kQuick + "train.steps=2 -q -o a").code, 0);
  const std::string best = "a/checkpoints/best";
  expect_line(run(t.path, "eval " + best + " data.path=/x"), 2, "data.path");
  expect_line(run(t.path, "eval " + best + " optim.lr=3"), 2, "optim.lr = 3.0 is not used: graft eval has no use for it");
  expect_line(run(t.path, "predict " + best + " train.steps=3"), 2, "graft predict has no use for it");
  EXPECT_EQ(run(t.path, "eval " + best + " data.test_count=10 train.eval_batch=5").code, 0);
  expect_line(run(t.path, "eval a"), 3, "is the folder of a run and no checkpoint; name one of its checkpoints: a/checkpoints/best");
  expect_line(run(t.path, "finetune " + kQuick + "--from a"), 3, "name one of its checkpoints: a/checkpoints/best");
  expect_line(run(t.path, "export a b.pt"), 3, "name one of its checkpoints: a/checkpoints/best");
}

TEST(Eval, OutputsThatAreNotFiniteAreNoAnswer) {
  TempFolder t;
  ASSERT_EQ(run(t.path, "train " + kQuick + "train.steps=2 -q -o a").code, 0);
  const fs::path model = t.path / "a/checkpoints/best/model.safetensors";
  std::string bytes = read_file(model);
  std::uint64_t header = 0;
  std::memcpy(&header, bytes.data(), sizeof header);
  const float nan = NAN;
  for (std::size_t at = 8 + header; at + 4 <= bytes.size(); at += 4) std::memcpy(bytes.data() + at, &nan, sizeof nan);
  write_file(t.path / "nan.safetensors", bytes);
  expect_line(run(t.path, "eval nan.safetensors -q"), 5, "the model's outputs for 20 of 20 images are not finite, first for image 0");
  const Outcome p = run(t.path, "predict nan.safetensors --index 3");
  expect_line(p, 5, "the model's outputs for it are not finite");
  EXPECT_TRUE(p.out.empty()) << p.out;
}

TEST(Finetune, TakesItsOriginFromAFile) {
  TempFolder t;
  ASSERT_EQ(run(t.path, "train " + kQuick + "train.steps=2 -q -o a").code, 0);
  write_file(t.path / "from.toml", "[init]\nfrom = \"a/checkpoints/best\"\n");
  const Outcome o = run(t.path, "finetune " + kQuick + "train.steps=2 --config from.toml -q -o b --json");
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(Json::parse(o.out)["verb"], "finetune");
}

TEST(Options, NewlinesOfANameStayInTheLine) {
  TempFolder t;
  for (const char* call : {"eval $'a\\nb'", "train digits-cnn --config $'a\\nb'", "$'a\\nb'", "inspect $'a\\n\\xff'"}) {
    const Outcome o = shell(t.path, std::string("$G ") + call);
    EXPECT_EQ(std::count(o.err.begin(), o.err.end(), '\n'), 1) << o.err;
    EXPECT_TRUE(o.code == 2 || o.code == 3) << o.code;
  }
}

TEST(Options, MemoryIsToldInUnitsThatShowIt) {
  TempFolder t;
  const Outcome o = run(t.path, "train " + kQuick + "-q --memory 100KiB");
  expect_line(o, 4, "limit 100 KiB");
  EXPECT_FALSE(has(o.err, "largest:;") || has(o.err, "0 MiB")) << o.err;
}

}  // namespace
}  // namespace graft::test
