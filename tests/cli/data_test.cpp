// graft data check, split and preview as a user calls them: exit codes, what is written, and what must not be.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/data/archive.h"
#include "engine/data/drawn.h"
#include "engine/data/folder.h"
#include "tests/cli/process.h"
#include "tests/data/files.h"

namespace graft::test {
namespace {
namespace fs = std::filesystem;
using Json = nlohmann::json;

Image shape(const Drawn& d, std::int64_t i) { return images_in_memory("shapes", d.block)->read(i); }
void write_png(const fs::path& p, const Image& image) { write_file(p, text_of(encode_png(image))); }
// `count` drawn shapes as ROOT/CLASS/NUMBER.png.
void write_shapes(const fs::path& root, std::int64_t count, std::uint64_t seed) {
  const Drawn d = draw_shapes(count, seed);
  for (std::int64_t i = 0; i < count; ++i)
    write_png(root / d.class_names[static_cast<std::size_t>(d.labels[static_cast<std::size_t>(i)])] / (std::to_string(i) + ".png"),
              shape(d, i));
}
std::vector<std::string> files_below(const fs::path& root) {
  std::vector<std::string> all;
  for (const auto& e : fs::recursive_directory_iterator(root))
    if (!e.is_directory()) all.push_back(e.path().native().substr(root.native().size() + 1));
  std::sort(all.begin(), all.end());
  return all;
}
bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(DataCheck, CleanIsZeroFindingsAreOneAndBothStreamsKeepTheirPlace) {
  TempFolder t;
  write_shapes(t.path / "set", 80, 1);
  Outcome o = run(t.path, "data check set");
  EXPECT_EQ(o.code, 0) << o.err << o.out;
  EXPECT_TRUE(has(o.out, "nothing found")) << o.out;
  EXPECT_TRUE(o.err.empty()) << o.err;
  // The same as parts, one picture of which leaks; an unreadable one is in the middle.
  write_shapes(t.path / "parts/train", 80, 1);
  write_shapes(t.path / "parts/test", 40, 2);
  fs::copy_file(t.path / "parts/train/circle/8.png", t.path / "parts/test/circle/leak.png");
  write_file(t.path / "parts/train/moon/39.png", "no picture");
  o = run(t.path, "data check parts --out report --json");
  EXPECT_EQ(o.code, 1) << o.err;
  const Json j = Json::parse(o.out);
  ASSERT_EQ(j["findings"].size(), 2u) << o.out;
  EXPECT_EQ(j["findings"][0]["kind"], "unreadable");
  EXPECT_TRUE(has(j["findings"][0]["cases"][0]["text"], "parts/train/moon/39.png: is no picture")) << o.out;
  EXPECT_EQ(j["findings"][1]["kind"], "duplicate_across");
  EXPECT_EQ(j["findings"][1]["cases"][0]["places"][1]["where"], "parts/test/circle/leak.png");
  EXPECT_EQ(files_below(t.path / "report"), (std::vector<std::string>{"report.html", "report.json"}));
  EXPECT_EQ(Json::parse(read_file(t.path / "report/report.json")), j);
  const std::string page = read_file(t.path / "report/report.html");
  EXPECT_TRUE(has(page, "data:image/png;base64,") && has(page, "leak.png") && page.ends_with("</html>\n"));
  EXPECT_FALSE(has(page, "http")) << "a report needs no network";
  const std::string one = run(t.path, "data check parts --threads 1").out;
  EXPECT_EQ(one, run(t.path, "data check parts --threads 4").out);
  EXPECT_TRUE(has(one, "train       parts/train/circle/8.png")) << one;
}
TEST(DataCheck, HardSetsGiveOneClearLineOrJustWork) {
  TempFolder t;
  const std::string odd = "\xff\xfe";
  write_shapes(t.path / "odd", 40, 3);
  write_png(t.path / "odd" / odd / (odd + ".png"), shape(draw_shapes(1, 9), 0));
  Outcome o = run(t.path, "data check odd --json");
  EXPECT_EQ(o.code, 1) << o.err;  // a class with one picture
  EXPECT_TRUE(Json::parse(o.out)["parts"][0]["classes"].contains("\\xff\\xfe")) << o.out;
  // Nothing readable
  write_file(t.path / "bad/a/1.png", "x");
  write_file(t.path / "bad/b/1.png", "y");
  o = run(t.path, "data check bad --out report");
  EXPECT_EQ(o.code, 3) << o.out;
  EXPECT_TRUE(has(o.err, "bad/a/1.png: is no picture") && std::count(o.err.begin(), o.err.end(), '\n') == 1) << o.err;
  EXPECT_FALSE(fs::exists(t.path / "report") || fs::exists(t.path / "report.new"));
  // An empty class is found in folders; where all are empty nothing is readable
  fs::create_directories(t.path / "odd/empty");
  EXPECT_TRUE(has(run(t.path, "data check odd").out, "empty: no picture"));
  fs::create_directories(t.path / "none/a");
  EXPECT_EQ(run(t.path, "data check none").code, 3);
  // Pictures without classes
  write_png(t.path / "flat/1.png", shape(draw_shapes(1, 9), 0));
  o = run(t.path, "data check flat");
  EXPECT_EQ(o.code, 3);
  EXPECT_EQ(std::count(o.err.begin(), o.err.end(), '\n'), 1) << o.err;
  // CIFAR with a label out of range in the test part: named, the training part is looked at
  std::string records;
  for (int i = 0; i < 40; ++i) {
    records += static_cast<char>(i % 10);
    for (int k = 0; k < 3072; ++k) records += static_cast<char>((k % 32) * (i + 3) + k / 32 * (i % 7));
  }
  for (int i = 1; i <= 5; ++i) {
    records[1] = static_cast<char>(i);
    write_file(t.path / ("cifar/data_batch_" + std::to_string(i) + ".bin"), records);
  }
  std::string wrong = records;
  wrong[3073] = 77;
  write_file(t.path / "cifar/test_batch.bin", wrong);
  o = run(t.path, "data check cifar --examples 0");
  EXPECT_EQ(o.code, 1) << o.err;
  EXPECT_TRUE(has(o.out, "record 1 has label 77")) << o.out;
  EXPECT_TRUE(has(o.out, "train       200 pictures, 200 readable")) << o.out;
}
TEST(DataCheck, AnInterruptEndsItInALine) {
  TempFolder t;
  const Outcome o =
      run(t.path, "--foreground --preserve-status -s INT 0.3 '" GRAFT_BINARY "' data check digits-cnn data.train_count=20000 --out r",
          "timeout");
  EXPECT_EQ(o.code, 130) << o.out;
  EXPECT_LE(std::count(o.err.begin(), o.err.end(), '\n'), 1) << o.err;  // none where it came before the program's first line
  EXPECT_FALSE(fs::exists(t.path / "r") || fs::exists(t.path / "r.new"));
}
// What folders and archives leave out is said when their part is opened, also where there is to be no progress; where nothing is left out,
// nothing is said.
TEST(DataCheck, TrainingSaysWhatItLeavesOut) {
  TempFolder t;
  write_shapes(t.path / "set/train", 80, 1);
  write_shapes(t.path / "set/test", 40, 2);
  const std::string args =
      "shapes-resnet data.kind=folder data.train_count=0 data.test_count=0 model.width=2 train.steps=2 train.batch=8 eval.train_count=8 "
      "--json -q ";
  Outcome o = run(t.path, "train " + args + "data.path=set -o clean");
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(o.err, "");
  write_file(t.path / "set/train/circle/about.txt", "x");
  write_file(t.path / "set/train/star/Thumbs.db", "x");
  write_file(t.path / "set/test/moon/list.csv", "x");
  fs::copy_file(t.path / "set/train/circle/8.png", t.path / "set/train/stray.png");
  const auto said = [&](const char* part, const char* words) {
    const std::size_t at = o.err.find("graft: set/" + std::string(part) + ": ");
    EXPECT_NE(at, std::string::npos) << part << ": " << o.err;
    return at != std::string::npos && has(o.err.substr(at), words);
  };
  o = run(t.path, "train " + args + "data.path=set -o run");
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_TRUE(said("train", "1 of the pictures lie outside of the classes' folders and were left out, such as stray.png\n")) << o.err;
  EXPECT_TRUE(has(o.err, "graft: set/train: 2 files do not end as a picture's does") &&
              has(o.err, "left out: the first is circle/about.txt\n"))
      << o.err;
  EXPECT_TRUE(said("test", "1 file does not end as a picture's does") && said("test", "was left out: moon/list.csv\n")) << o.err;
  EXPECT_EQ(std::count(o.err.begin(), o.err.end(), '\n'), 3) << o.err;
  o = run(t.path, "finetune " + args + "data.path=set --from run/checkpoints/best eval.test=false -o tuned");
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_TRUE(said("train", "stray.png\n") && said("train", "the first is circle/about.txt\n") && !has(o.err, "moon/list.csv"))
      << o.err << "the test part is not opened";
  o = run(t.path, "eval run/checkpoints/best -q");
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_TRUE(said("test", "was left out: moon/list.csv\n") && !has(o.err, "stray.png")) << o.err;
  EXPECT_EQ(std::count(o.err.begin(), o.err.end(), '\n'), 1) << o.err;
  if (const std::string why = why_no_archives(); !why.empty()) GTEST_SKIP() << "the rest: " << why;
  fs::create_symlink("8.png", t.path / "set/train/circle/link.png");
  ASSERT_EQ(std::system(("cd '" + t.path.string() +
                         "' && mkdir packed && tar cf packed/train.tar -C set/train . && tar cf packed/test.tar -C set/test .")
                            .c_str()),
            0);
  o = run(t.path, "train " + args + "data.path=packed -o from_archives");
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_TRUE(
      has(o.err, "graft: packed/train.tar: 1 symbolic links are no files of the archive and were left out, such as circle/link.png\n"))
      << o.err;
  EXPECT_TRUE(has(o.err, "graft: packed/test.tar: 1 file")) << o.err;
}
TEST(DataCheck, AnArchiveWithPartsAndOneWithout) {
  if (const std::string why = why_no_archives(); !why.empty()) GTEST_SKIP() << why;
  TempFolder t;
  write_shapes(t.path / "a/train", 80, 1);
  write_shapes(t.path / "a/test", 40, 2);
  fs::create_directories(t.path / "a/train/empty");
  ASSERT_EQ(std::system(("cd '" + t.path.string() +
                         "' && tar cf parts.tar -C a train test && tar cf one.tar -C a/train . && mkdir b && tar czf b/train.tar.gz -C "
                         "a/train . && tar cf "
                         "b/test.tar -C a/test .")
                            .c_str()),
            0);
  for (const char* data : {"parts.tar", "b"}) {
    const Outcome o = run(t.path, std::string("data check ") + data);
    EXPECT_EQ(o.code, 1) << o.err << o.out;
    EXPECT_TRUE(has(o.out, "train       80 pictures") && has(o.out, "test        40 pictures") && has(o.out, "empty: no picture"))
        << data << o.out;
  }
  EXPECT_TRUE(has(run(t.path, "data check one.tar").out, "all         80 pictures"));
  const Outcome o = run(t.path, "data split one.tar --out s");
  EXPECT_EQ(o.code, 2);
  EXPECT_TRUE(has(o.err, "unpack it")) << o.err;
}
TEST(DataCheck, RecipesAndTables) {
  TempFolder t;
  EXPECT_EQ(run(t.path, "data check digits-cnn data.train_count=200 data.test_count=100").code, 0);
  const Outcome held = run(t.path, "data check digits-cnn data.train_count=200 data.test_count=100 data.validation=0.2");
  EXPECT_TRUE(has(held.out, "validation  40 pictures")) << held.out << held.err;
  std::string rows = "a,b,label\n";
  for (int i = 0; i < 40; ++i) rows += std::to_string(i) + "," + std::to_string(i * i % 17) + "," + (i % 3 ? "x" : "y") + "\n";
  write_file(t.path / "t/train.csv", rows);
  write_file(t.path / "t/test.csv", "a,b,label\n3,9,y\n77,1,x\n");
  const Outcome o = run(t.path, "data check t");
  EXPECT_EQ(o.code, 1) << o.err;
  EXPECT_TRUE(has(o.out, "duplicate_across") && has(o.out, "t/train.csv:5") && has(o.out, "t/test.csv:2")) << o.out;
  EXPECT_EQ(run(t.path, "data check t/train.csv").code, 0);
}

TEST(DataSplit, PicturesOnceEachByLinkTheSameForASeed) {
  TempFolder t;
  write_shapes(t.path / "set", 160, 4);
  const std::string odd = "\xfe name, \"quoted\".png";
  const Image first = shape(draw_shapes(160, 4), 0);
  write_png(t.path / "set/circle" / odd, first);    // equal to picture 0
  write_png(t.path / "set/star/0copy.png", first);  // too
  write_file(t.path / "set/heart/broken.png", "no picture");
  Outcome o = run(t.path, "data split set --out s/one --group-duplicates --stratify");
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_TRUE(has(o.out, "3 are equal or nearly equal")) << o.out;
  std::multiset<std::string> placed;
  std::map<std::string, std::string> part_of;
  for (const std::string& f : files_below(t.path / "s/one")) {
    if (f == "manifest.csv") continue;
    const std::size_t slash = f.find('/');
    placed.insert(f.substr(slash + 1));
    part_of[f.substr(slash + 1)] = f.substr(0, slash);
    EXPECT_TRUE(fs::equivalent(t.path / "s/one" / f, t.path / "set" / f.substr(slash + 1))) << f << " is a hard link";
  }
  const auto all = files_below(t.path / "set");
  EXPECT_EQ(placed, std::multiset<std::string>(all.begin(), all.end()));
  EXPECT_EQ(part_of.at("circle/0.png"), part_of.at("circle/" + odd));
  EXPECT_EQ(part_of.at("circle/0.png"), part_of.at("star/0copy.png"));
  const std::string manifest = read_file(t.path / "s/one/manifest.csv");
  EXPECT_TRUE(has(manifest, "file,class,part\n")) << manifest;
  EXPECT_TRUE(has(manifest, "\"circle/\xfe name, \"\"quoted\"\".png\",circle," + part_of.at("circle/" + odd) + "\n")) << manifest;
  // The same seed, the same parts, here as copies; another seed, others; and never over what is there
  EXPECT_EQ(run(t.path, "data split set --out two --group-duplicates --stratify --copy --threads 3").code, 0);
  EXPECT_EQ(files_below(t.path / "two"), files_below(t.path / "s/one"));
  EXPECT_EQ(read_file(t.path / "two/manifest.csv"), manifest);
  EXPECT_FALSE(fs::equivalent(t.path / "two" / part_of.at("circle/0.png") / "circle/0.png", t.path / "set/circle/0.png"));
  EXPECT_EQ(run(t.path, "data split set --out three --group-duplicates --stratify --seed 2").code, 0);
  EXPECT_NE(read_file(t.path / "three/manifest.csv"), manifest);
  o = run(t.path, "data split set --out two");
  EXPECT_EQ(o.code, 2);
  EXPECT_TRUE(has(o.err, "is there already")) << o.err;
  EXPECT_EQ(run(t.path, "data split set --out set/inside").code, 2);
  EXPECT_FALSE(fs::exists(t.path / "set/inside"));
  // What was split is clean across its parts
  const std::string check = run(t.path, "data check two").out;
  EXPECT_FALSE(has(check, "across")) << check;
}
TEST(DataSplit, NothingHalfIsLeft) {
  TempFolder t;
  write_shapes(t.path / "set", 40, 4);
  fs::create_symlink(t.path / "nowhere", t.path / "set/star/zz.png");  // ends the split when most is done
  Outcome o = run(t.path, "data split set --out s");
  EXPECT_EQ(o.code, 3);
  EXPECT_EQ(std::count(o.err.begin(), o.err.end(), '\n'), 1) << o.err;
  EXPECT_TRUE(has(o.err, "zz.png")) << o.err;
  EXPECT_FALSE(fs::exists(t.path / "s") || fs::exists(t.path / "s.new"));
  fs::remove(t.path / "set/star/zz.png");
  if (::geteuid() != 0) {  // root writes everywhere
    fs::create_directories(t.path / "locked");
    ::chmod((t.path / "locked").c_str(), 0555);
    o = run(t.path, "data split set --out locked/s");
    ::chmod((t.path / "locked").c_str(), 0755);
    EXPECT_EQ(o.code, 3);
    EXPECT_TRUE(has(o.err, "check the permissions")) << o.err;
  }
  fs::create_directories(t.path / "s.new");
  o = run(t.path, "data split set --out s");
  EXPECT_EQ(o.code, 2);
  EXPECT_TRUE(has(o.err, "s.new: is there")) << o.err;
  EXPECT_TRUE(fs::exists(t.path / "s.new"));
}
TEST(DataSplit, TablesKeepTheirBytes) {
  TempFolder t;
  const std::string head =
      "\xef\xbb\xbf"
      "a,\"b, c\",label\r\n";
  std::vector<std::string> rows;
  for (int i = 0; i < 50; ++i)
    rows.push_back(std::to_string(i % 20) + ",\"line\n" + std::to_string(i % 20) + "\"," + (i % 20 % 4 ? "x" : "y") +
                   (i % 2 ? "\r\n" : "\n"));
  rows.back() = "99,last,x";  // without an end of line
  std::string text = head;
  for (const auto& r : rows) text += r;
  write_file(t.path / "all.csv", text);
  const Outcome o = run(t.path, "data split all.csv --out s --group-duplicates --stratify --parts a=0.5,b=0.5");
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(files_below(t.path / "s"), (std::vector<std::string>{"a.csv", "b.csv", "manifest.csv"}));
  const std::string a = read_file(t.path / "s/a.csv"), b = read_file(t.path / "s/b.csv");
  rows.back() += "\n";
  std::size_t bytes = 0;
  for (const std::string& r : rows) {
    const bool in_a = has(a, r);
    EXPECT_NE(in_a, has(b, r)) << r;
    bytes += r.size();
  }
  EXPECT_TRUE(a.starts_with(head) && b.starts_with(head));
  EXPECT_EQ(a.size() + b.size(), bytes + 2 * head.size());
  EXPECT_EQ(std::count(a.begin(), a.end(), 'x') > 0 && std::count(b.begin(), b.end(), 'x') > 0, true);
}

TEST(DataPreview, SheetsOfEveryKind) {
  TempFolder t;
  write_shapes(t.path / "set", 40, 4);
  write_file(t.path / "set/circle/-.png", "no picture");
  Outcome o = run(t.path, "data preview set --out sheet.png --count 3");
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_TRUE(has(o.err, "circle/-.png") && has(o.err, "its place stays empty")) << o.err;
  const std::string png = read_file(t.path / "sheet.png");
  const Image sheet = decode_image(bytes_of(png), "sheet");
  EXPECT_EQ(sheet.height, 8 * 100 + 4);
  EXPECT_EQ(sheet.width, 3 * 104 + 4);
  // The second place of the first row shows picture 0 of the class, enlarged threefold; the first stays grey.
  const Image circle = decode_image(bytes_of(read_file(t.path / "set/circle/0.png")), "circle");
  for (std::int64_t y = 0; y < 96; ++y)
    for (std::int64_t x = 0; x < 96; ++x)
      for (std::int64_t k = 0; k < 3; ++k) {
        ASSERT_EQ(sheet.data<std::uint8_t>()[((4 + y) * sheet.width + 108 + x) * 3 + k],
                  circle.data<std::uint8_t>()[((y / 3) * 32 + x / 3) * 3 + k])
            << y << " " << x;
        ASSERT_EQ(sheet.data<std::uint8_t>()[((4 + y) * sheet.width + 4 + x) * 3 + k], 128);
      }
  EXPECT_EQ(run(t.path, "data preview set --out sheet.png").code, 2) << "never over what is there";
  fs::remove(t.path / "set/circle/-.png");
  o = run(t.path, "data preview set --out sheet.html --count 2 --augment augment.flip=1");
  EXPECT_EQ(o.code, 0) << o.err;
  const std::string page = read_file(t.path / "sheet.html");
  std::size_t pictures = 0;
  for (std::size_t at = 0; (at = page.find("<img", at)) != std::string::npos; ++at) ++pictures;
  EXPECT_EQ(pictures, 8u * 2 * 2);
  EXPECT_FALSE(has(page, "http"));
}
TEST(DataPreview, ShowsWhatTrainingMakesOfAPicture) {
  TempFolder t;
  const Outcome o =
      run(t.path,
          "data preview digits-cnn data.train_count=20 data.test_count=10 augment.shift=0 augment.rotate=0 augment.scale=0 augment.flip=1 "
          "data.normalize=[0.2,0.4] --count 1 --augment --out s.png");
  ASSERT_EQ(o.code, 0) << o.err;
  const std::string png = read_file(t.path / "s.png");
  const Image s = decode_image(bytes_of(png), "s");
  // 28 pixels, enlarged threefold: 84 in the middle of 96. The right one of a pair is the left one mirrored.
  const std::int64_t edge = 6, side = 84;
  std::int64_t dark = 0;
  for (std::int64_t y = 0; y < side; ++y)
    for (std::int64_t x = 0; x < side; ++x) {
      const auto at = [&](std::int64_t left) { return static_cast<int>(s.data<std::uint8_t>()[((4 + edge + y) * s.width + left) * 3]); };
      ASSERT_EQ(at(4 + edge + x), at(4 + 96 + 2 + edge + side - 1 - x)) << y << " " << x;
      dark += at(4 + edge + x) > 128;
    }
  EXPECT_GT(dark, 0);
}

}  // namespace
}  // namespace graft::test
