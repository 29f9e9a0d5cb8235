// Data sets from files: folders, archives in both layouts, CIFAR in binary. Everything is written by the test; picture k is one gray pixel
// of value k.
#include <zlib.h>

#include <algorithm>
#include <thread>

#include "engine/data/archive.h"
#include "engine/data/cifar.h"
#include "engine/data/folder.h"
#include "tests/data/files.h"
#include "tests/temp_folder.h"

namespace graft {
namespace {

using test::gray_png;
using test::refused;
using test::TempFolder;
using test::write_file;
namespace fs = std::filesystem;
using Files = std::vector<std::pair<std::string, std::string>>;

std::vector<int> grays(const LabelledImages& set) {
  std::vector<int> all;
  for (std::int64_t i = 0; i < set.source->size(); ++i) all.push_back(static_cast<int>(set.source->read(i).bytes[0]));
  return all;
}
using Labels = std::vector<std::int64_t>;
using Names = std::vector<std::string>;
bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// ---- folders ----

TEST(Folders, AreClassesInBytewiseOrder) {
  TempFolder t;
  const std::string odd = "\xff\xfe";
  for (const auto& [name, bytes] : Files{{"dog/2.png", gray_png(5)},
                                         {"dog/10.png", gray_png(4)},
                                         {"dog/deep/er/x.PNG", gray_png(6)},
                                         {"cat/b.png", gray_png(2)},
                                         {"cat/a.jpg", gray_png(1)},
                                         {"cat-wild/z.png", gray_png(3)},
                                         {odd + "/" + odd + ".png", gray_png(7)},
                                         {"cat/notes.txt", "no picture"},
                                         {"cat/.hidden.png", "no"},
                                         {".cache/x.png", "no"},
                                         {"loose.png", gray_png(9)},
                                         {"README", "text"}})
    write_file(t.path / name, bytes);
  const LabelledImages set = open_image_folder(t.path);
  EXPECT_EQ(set.class_names, (Names{"cat", "cat-wild", "dog", odd}));
  EXPECT_EQ(set.labels, (Labels{0, 0, 1, 2, 2, 2, 3}));
  EXPECT_EQ(grays(set), (std::vector{1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(set.source->where(0), t.path.string() + "/cat/a.jpg");
  EXPECT_EQ(set.source->where(6), t.path.string() + "/\\xff\\xfe/\\xff\\xfe.png");
  ASSERT_EQ(set.notes.size(), 2u);
  EXPECT_EQ(set.notes[0], "1 of the pictures lie outside of the classes' folders and were left out, such as loose.png");
  EXPECT_EQ(set.notes[1], "2 files do not end as a picture's does (.png .jpg .jpeg .tif .tiff) and were left out: the first is README");
}
TEST(Folders, APictureThatCannotBeReadIsNamedWhenItIsRead) {
  TempFolder t;
  write_file(t.path / "cat/1.png", gray_png(1));
  write_file(t.path / "cat/\xff.png", "nonsense");
  write_file(t.path / "cat/gone.png", gray_png(1));
  const LabelledImages set = open_image_folder(t.path.string() + "/");
  fs::remove(t.path / "cat/gone.png");
  EXPECT_EQ(set.source->read(0).numel(), 1);
  EXPECT_TRUE(refused(Code::input, [&] { set.source->read(1); }).starts_with(t.path.string() + "/cat/gone.png: "));
  EXPECT_TRUE(refused(Code::input, [&] { set.source->read(2); }).starts_with(t.path.string() + "/cat/\\xff.png: is no picture"));
}
TEST(Folders, LinksAreFollowedAndDoNotGoRound) {
  TempFolder t;
  write_file(t.path / "elsewhere/1.png", gray_png(1));
  fs::create_directories(t.path / "set/dog");
  fs::create_directory_symlink(t.path / "elsewhere", t.path / "set/cat");
  fs::create_symlink(t.path / "elsewhere/1.png", t.path / "set/dog/1.png");
  EXPECT_EQ(open_image_folder(t.path / "set").labels, (Labels{0, 1}));
  fs::create_directory_symlink(t.path / "set", t.path / "set/dog/again");
  EXPECT_TRUE(has(refused(Code::input, [&] { open_image_folder(t.path / "set"); }), "is a link to a folder that it lies in"));
}
TEST(Folders, OtherLayoutsAreRefusedInALine) {
  TempFolder t;
  const std::string root = t.path.string();
  const auto message = [&](const std::string& p, Code code = Code::input) { return refused(code, [&] { open_image_folder(p); }); };
  EXPECT_TRUE(has(message("", Code::usage), "name a folder"));
  EXPECT_TRUE(has(message(root + "/nope"), root + "/nope: no such folder"));
  EXPECT_EQ(message(root), root + ": holds no folder; it wants a folder per class: " + root + "/CLASS/NAME.png");
  write_file(t.path / "1.png", gray_png(1));
  EXPECT_TRUE(has(message(root), "the pictures lie directly in it, without classes; it wants a folder per class"));
  EXPECT_TRUE(has(message(root + "/1.png"), "no such folder"));
  write_file(t.path / "train/cat/1.png", gray_png(1));
  write_file(t.path / "test/cat/1.png", gray_png(1));
  EXPECT_TRUE(has(message(root, Code::usage), "its folders are test, train, which are splits and not classes"));
  EXPECT_EQ(open_image_folder(root + "/train").class_names, Names{"cat"});
  fs::create_directories(t.path / "train/dog/old");
  EXPECT_EQ(message(root + "/train"),
            root + "/train/dog: this class has no picture (.png .jpg .jpeg .tif .tiff); put some there or remove the folder");
}

// ---- archives ----

std::string tar_entry(const std::string& name, const std::string& body, char type = '0', const std::string& link = "") {
  std::string h(512, '\0');
  const auto put = [&](std::size_t at, const std::string& s) { h.replace(at, s.size(), s); };
  const auto octal = [](std::size_t n, int digits) {
    std::string s(static_cast<std::size_t>(digits), '0');
    for (int i = digits - 1; i >= 0; --i, n /= 8) s[static_cast<std::size_t>(i)] = static_cast<char>('0' + n % 8);
    return s;
  };
  put(0, name), put(100, "0000644"), put(108, "0000000"), put(116, "0000000"), put(124, octal(body.size(), 11)), put(136, "00000000000");
  put(156, std::string(1, type)), put(157, link),
      put(257, std::string("ustar\0"
                           "00",
                           8)),
      put(148, "        ");
  std::size_t sum = 0;
  for (const char c : h) sum += static_cast<unsigned char>(c);
  put(148, octal(sum, 6) + '\0' + ' ');
  return h + body + std::string((512 - body.size() % 512) % 512, '\0');
}
std::string tar(const Files& files) {
  std::string all;
  for (const auto& [name, body] : files) all += tar_entry(name, body, name.ends_with('/') ? '5' : '0');
  return all + std::string(1024, '\0');
}
void write_gzip(const fs::path& p, const std::string& bytes) {
  gzFile f = gzopen(p.c_str(), "wb");
  gzwrite(f, bytes.data(), static_cast<unsigned>(bytes.size()));
  gzclose(f);
}
std::string little(std::uint64_t n, int bytes) {
  std::string s;
  for (int i = 0; i < bytes; ++i) s += static_cast<char>(n >> 8 * i & 255);
  return s;
}
std::string zip(const Files& files, int flags = 0) {  // stored, not packed; flags 0x800: names are UTF-8
  std::string all, directory;
  for (const auto& [name, body] : files) {
    const std::string common = little(20, 2) + little(static_cast<std::uint64_t>(flags), 2) + little(0, 6) +
                               little(crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size())), 4) +
                               little(body.size(), 4) + little(body.size(), 4) + little(name.size(), 2) + little(0, 2);
    directory += "PK\x01\x02" + little(20, 2) + common + little(0, 6) + little(0100644u << 16, 4) + little(all.size(), 4) + name;
    all += "PK\x03\x04" + common + name + body;
  }
  return all + directory + "PK\x05\x06" + little(0, 4) + little(files.size(), 2) + little(files.size(), 2) + little(directory.size(), 4) +
         little(all.size(), 4) + little(0, 2);
}

class Archives : public ::testing::Test {
 protected:
  void SetUp() override {
    write_file(at, tar({{"a/1.png", gray_png(1)}}));
    if (const std::string reason = why_no_archives(); !reason.empty()) {
      EXPECT_TRUE(has(refused(Code::input, [&] { open_image_archive(at); }), reason));
      GTEST_SKIP() << reason;
    }
  }
  LabelledImages open(const std::string& bytes, const std::string& inside = "") {
    write_file(at, bytes);
    return open_image_archive(at, inside);
  }
  std::string message(const std::string& bytes, Code code = Code::input, const std::string& inside = "") {
    const std::string what = refused(code, [&] { open(bytes, inside); });
    EXPECT_TRUE(what.starts_with(at.string())) << what;
    return what;
  }
  TempFolder t;
  const fs::path at = t.path / "set.tar";
};

TEST_F(Archives, AreWhatTheirFoldersAre) {
  const std::string odd = "\xff\xfe";
  const Files files = {{"dog/2.png", gray_png(5)},
                       {"dog/10.png", gray_png(4)},
                       {"cat-wild/z.png", gray_png(3)},
                       {"cat/b.png", gray_png(2)},
                       {"cat/a.JPG", gray_png(1)},
                       {"dog/deep/er/x.png", gray_png(6)},
                       {odd + "/" + odd + ".png", gray_png(7)},
                       {"cat/notes.txt", "no picture"},
                       {"cat/._a.jpg", "no"},
                       {"loose.png", gray_png(9)}};
  for (const auto& [name, bytes] : files) write_file(t.path / "set" / name, bytes);
  const LabelledImages folder = open_image_folder(t.path / "set");
  Files below;
  for (const auto& [name, bytes] : files)
    if (name != "loose.png") below.push_back({"./data/train/" + name, bytes});
  write_gzip(t.path / "set.tgz", tar(files));
  write_file(t.path / "set.zip", zip(files));
  for (const LabelledImages& set : {open(tar(files)), open_image_archive(t.path / "set.tgz"), open_image_archive(t.path / "set.zip"),
                                    open(tar(below)), open(tar(below), "data/train")}) {
    EXPECT_EQ(set.class_names, folder.class_names);
    EXPECT_EQ(set.labels, folder.labels);
    EXPECT_EQ(grays(set), grays(folder));
    EXPECT_TRUE(has(set.notes.back(), "1 file does not end as a picture's does"));
  }
  EXPECT_EQ(open(tar(files)).source->where(6), at.string() + ":\\xff\\xfe/\\xff\\xfe.png");
  EXPECT_EQ(open(tar(below), "data/train").source->where(0), at.string() + ":data/train/cat/a.JPG");
  EXPECT_EQ(open(tar(files)).notes, open_image_folder(t.path / "set").notes);
}
// libarchive gave no name where it was marked as UTF-8 and the program's language was "C", and the picture was passed over in silence.
TEST_F(Archives, NamesMarkedAsUtf8) {
  const std::string cat = "\u732b/\u00e91.png", dog = "\u72ac/1.png";
  const auto pax = [](const std::string& name) {
    const std::string body = " path=" + name + "\n";
    return tar_entry("pax", std::to_string(body.size() + 2) + body, 'x') + tar_entry("x", gray_png(1));
  };
  for (const std::string& bytes : {zip({{cat, gray_png(1)}, {dog, gray_png(1)}}, 0x800), pax(cat) + pax(dog) + std::string(1024, '\0')}) {
    const LabelledImages set = open(bytes);
    EXPECT_EQ(set.class_names, (Names{"\u72ac", "\u732b"}));
    EXPECT_EQ(set.source->where(1), at.string() + ":" + cat);
    EXPECT_EQ(set.source->size(), 2);
  }
}
TEST_F(Archives, ReadFromManyThreadsAtOnceGivesTheSame) {
  Files files;
  for (int i = 0; i < 60; ++i) files.push_back({std::to_string(i % 3) + "/" + std::to_string(100 + i) + ".png", gray_png(i, 20, 20)});
  const LabelledImages set = open(tar(files));
  const std::vector<int> once = grays(set);
  std::vector<std::vector<int>> each(8);
  std::vector<std::thread> threads;
  for (auto& mine : each) threads.emplace_back([&] { mine = grays(set); });
  for (auto& thread : threads) thread.join();
  for (const auto& mine : each) EXPECT_EQ(mine, once);
}
TEST_F(Archives, WebDatasetLabelsStandBesideThePictures) {
  const LabelledImages set = open(tar({{"0002.jpg", gray_png(2)},
                                       {"0002.cls", "0"},
                                       {"0002.json", "{}"},
                                       {"0001.cls", " 3\n"},
                                       {"0001.png", gray_png(1)},
                                       {"0001.seg.png", gray_png(9)}}));
  EXPECT_EQ(set.labels, (Labels{3, 0}));
  EXPECT_EQ(grays(set), (std::vector{1, 2}));
  EXPECT_EQ(set.class_names, (Names{"0", "1", "2", "3"}));
  ASSERT_EQ(set.notes.size(), 2u);
  EXPECT_EQ(set.notes[0], "no picture has label 1, 2");
  EXPECT_TRUE(has(set.notes[1], "2 files do not end"));
  EXPECT_TRUE(
      has(message(tar({{"1.jpg", gray_png(1)}, {"1.cls", "cat"}})), "set.tar:1.cls: its label is \"cat\"; it must be a whole number"));
  EXPECT_TRUE(has(message(tar({{"1.jpg", gray_png(1)}, {"1.cls", "-1"}})), "its label is \"-1\""));
  EXPECT_TRUE(has(message(tar({{"1.jpg", gray_png(1)}, {"1.cls", "9999999999999999999"}})), "its label is"));
  EXPECT_TRUE(has(message(tar({{"1.jpg", gray_png(1)}, {"1.cls", ""}})), "its label is \"\""));
  EXPECT_TRUE(has(message(tar({{"1.jpg", gray_png(1)}, {"1.cls", "1"}, {"2.jpg", gray_png(1)}})),
                  "set.tar:2.jpg: has no label; put 2.cls beside it"));
  EXPECT_TRUE(has(message(tar({{"1.jpg", gray_png(1)}, {"1.cls", "1"}, {"2.cls", "1"}})), "set.tar:2.cls: has no picture beside it"));
  EXPECT_TRUE(has(message(tar({{"1.jpg", gray_png(1)}, {"1.png", gray_png(1)}, {"1.cls", "1"}})), "is the second picture of 1"));
}
TEST_F(Archives, NamesThatComeTwiceAndLinks) {
  const LabelledImages set =
      open(tar_entry("a/1.png", gray_png(1)) + tar_entry("b/1.png", gray_png(2)) + tar_entry("a/1.png", gray_png(3)) +
           tar_entry("b/2.png", "", '1', "a/1.png") + tar_entry("b/3.png", "", '2', "1.png") + std::string(1024, '\0'));
  EXPECT_EQ(grays(set), (std::vector{3, 2, 3}));
  EXPECT_EQ(set.labels, (Labels{0, 1, 1}));
  EXPECT_EQ(set.notes, (Names{"1 symbolic links are no files of the archive and were left out, such as b/3.png",
                              "1 names come more than once; the later file counts, such as a/1.png"}));
  EXPECT_TRUE(has(message(tar_entry("b/2.png", "", '1', "gone.png") + std::string(1024, '\0')),
                  "b/2.png: links to gone.png, which is not among the pictures"));
}
TEST_F(Archives, OtherLayoutsAreRefusedInALine) {
  EXPECT_TRUE(has(message(tar({{"1.png", gray_png(1)}})), "its pictures lie in no folder, without classes; it wants a folder per class"));
  EXPECT_TRUE(has(message(tar({{"a/1.txt", "x"}})), "holds no picture; it wants a folder per class"));
  EXPECT_TRUE(has(message(tar({{"train/a/1.png", gray_png(1)}, {"test/a/1.png", gray_png(1)}}), Code::usage),
                  "its folders are test, train, which are splits"));
  EXPECT_TRUE(has(message(tar({{"train/a/1.png", gray_png(1)}}), Code::input, "nope"), "set.tar:nope: holds no picture"));
  EXPECT_TRUE(
      has(message(tar({{"t/a/1.png", gray_png(1)}, {"t/b/1.png", gray_png(1)}, {"t/c/", ""}})), "set.tar:t/c: this class has no picture"));
  EXPECT_EQ(open(tar({{"t/a/1.png", gray_png(1)}, {"t/a/2.png", gray_png(1)}})).class_names, Names{"a"});
  EXPECT_TRUE(has(message("no archive at all"), "cannot be read as an archive"));
  EXPECT_TRUE(has(refused(Code::input, [&] { open_image_archive(t.path / "nope.tar"); }), "no such file"));
  EXPECT_TRUE(has(refused(Code::input, [&] { open_image_archive(t.path); }), "is no file"));
  refused(Code::usage, [] { open_image_archive(""); });
}
TEST_F(Archives, TheLimitOfMemoryIsKept) {
  const std::string body = gray_png(1);
  write_file(at, tar({{"a/1.png", body}, {"b/1.png", body}}));
  const std::uint64_t each = body.size() + 7 + 200;
  EXPECT_EQ(open_image_archive(at, "", 2 * each).source->size(), 2);
  EXPECT_TRUE(has(refused(Code::input, [&] { open_image_archive(at, "", 2 * each - 1); }),
                  "more than " + std::to_string(2 * each - 1) + " bytes, the most that is kept in memory"));
}
TEST_F(Archives, EveryTruncationIsRefusedAndEveryFlippedByteHandled) {
  const Files files = {{"a/1.png", gray_png(1)}, {"b/1.png", gray_png(2)}};
  const std::string plain = tar(files), zipped = zip(files);
  write_gzip(t.path / "z", plain);
  const std::string packed = test::read_file(t.path / "z");
  const std::size_t marked = plain.size() - 1024 + 512;  // the first of the two blocks of zeros at the end is there
  for (std::size_t n = 0; n < marked; n += n < 600 ? 1 : 16) message(plain.substr(0, n));
  for (std::size_t n = 0; n < packed.size(); ++n) message(packed.substr(0, n));
  for (std::size_t n = 0; n < zipped.size(); ++n) {
    write_file(at, zipped.substr(0, n));
    try {
      const LabelledImages set = open_image_archive(at);  // a zip whose directory is cut off still has its entries one after the other
      EXPECT_LE(set.source->size(), 2);
    } catch (const Error& e) { EXPECT_EQ(e.code(), Code::input) << e.what(); }
  }
  for (const std::string& whole : {plain, packed, zipped})
    for (std::size_t n = 0; n < whole.size(); n += n < 600 ? 1 : 7) {
      std::string s = whole;
      s[n] = static_cast<char>(s[n] ^ 0x55);
      write_file(at, s);
      try {
        const LabelledImages set = open_image_archive(at);
        for (std::int64_t i = 0; i < set.source->size(); ++i) set.source->read(i);
      } catch (const Error& e) { EXPECT_EQ(e.code(), Code::input) << e.what(); }
    }
}

// ---- CIFAR ----

std::string cifar_records(const std::vector<std::string>& labels) {
  std::string all;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    all += labels[i];
    for (int p = 0; p < 3072; ++p) all += static_cast<char>(p * 7 + static_cast<int>(i) * 13);
  }
  return all;
}
TEST(Cifar, TenAndAHundredClasses) {
  TempFolder t;
  for (int b = 1; b <= 5; ++b)
    write_file(t.path / "ten" / ("data_batch_" + std::to_string(b) + ".bin"),
               cifar_records({std::string(1, static_cast<char>(b)), std::string(1, '\x09')}));
  write_file(t.path / "ten/test_batch.bin", cifar_records({std::string(1, '\0')}));
  LabelledImages set = load_cifar(t.path / "ten", true);
  EXPECT_EQ(set.labels, (Labels{1, 9, 2, 9, 3, 9, 4, 9, 5, 9}));
  EXPECT_EQ(set.class_names[9], "9");
  EXPECT_TRUE(has(set.notes.at(0), "batches.meta.txt is not there"));
  EXPECT_EQ(set.source->block().shape(), (Shape{10, 3, 32, 32}));
  const Image image = set.source->read(3);  // the second record of the second file
  EXPECT_TRUE(image.height == 32 && image.width == 32 && image.bands == 3);
  for (int y : {0, 31})
    for (int x : {0, 17})
      for (int band = 0; band < 3; ++band)
        EXPECT_EQ(image.data<std::uint8_t>()[(y * 32 + x) * 3 + band], static_cast<std::uint8_t>((band * 1024 + y * 32 + x) * 7 + 13));
  write_file(t.path / "ten/batches.meta.txt", "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n");
  EXPECT_EQ(load_cifar(t.path / "ten", false).class_names[9], "truck");
  EXPECT_EQ(load_cifar(t.path / "ten", false).labels, Labels{0});
  EXPECT_TRUE(load_cifar(t.path / "ten", false).notes.empty());

  write_file(t.path / "hundred/cifar-100-binary/train.bin", cifar_records({std::string("\x13\x63"), std::string("\0\x05", 2)}));
  set = load_cifar(t.path / "hundred", true);
  EXPECT_EQ(set.labels, (Labels{99, 5}));
  EXPECT_EQ(set.class_names.size(), 100u);
}
TEST(Cifar, WhatIsWrongIsNamed) {
  TempFolder t;
  const auto message = [&](bool train = false) { return refused(Code::input, [&] { load_cifar(t.path, train); }); };
  EXPECT_TRUE(has(message(), "holds neither test_batch.bin (CIFAR-10) nor test.bin (CIFAR-100)"));
  EXPECT_TRUE(has(refused(Code::input, [&] { load_cifar(t.path / "nope", true); }), "no such folder"));
  const std::string whole = cifar_records({"\x01", "\x02"});
  for (const std::size_t n : {std::size_t{0}, std::size_t{1}, std::size_t{3072}, std::size_t{3074}, whole.size() - 1}) {
    write_file(t.path / "test_batch.bin", whole.substr(0, n));
    EXPECT_TRUE(has(message(), "test_batch.bin: has " + std::to_string(n) + " bytes, which is no whole number of records of 3073"));
  }
  write_file(t.path / "test_batch.bin", cifar_records({"\x01", "\x0a"}));
  EXPECT_TRUE(has(message(), "test_batch.bin: record 1 has label 10; cifar-10 has 0 to 9"));
  write_file(t.path / "test_batch.bin", whole);
  write_file(t.path / "batches.meta.txt", "a\nb\n");
  EXPECT_TRUE(has(message(), "batches.meta.txt: has 2 names; 10 are wanted"));
  write_file(t.path / "data_batch_2.bin", whole);
  EXPECT_TRUE(has(message(true), "data_batch_1.bin: is missing, and others of cifar-10 are there"));
  TempFolder u;
  write_file(u.path / "test.bin", cifar_records({std::string("\x14\x01")}));
  EXPECT_TRUE(has(refused(Code::input, [&] { load_cifar(u.path, false); }), "record 0 has coarse label 20; cifar-100 has 0 to 19"));
  write_file(u.path / "test.bin", cifar_records({std::string("\x01\x64")}));
  EXPECT_TRUE(has(refused(Code::input, [&] { load_cifar(u.path, false); }), "record 0 has label 100; cifar-100 has 0 to 99"));
}

// ---- memory ----

TEST(MemorySource, GivesOnePictureOfTheBlock) {
  const auto source =
      images_in_memory("set", Tensor::from(std::vector<float>{0, 1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23, 30, 31, 32, 33}, {2, 2, 1, 4}));
  const Image image = source->read(1);
  EXPECT_TRUE(image.height == 1 && image.width == 4 && image.bands == 2 && image.depth == Image::Depth::f32);
  EXPECT_EQ((std::vector<float>(image.data<float>(), image.data<float>() + 8)), (std::vector<float>{20, 30, 21, 31, 22, 32, 23, 33}));
  EXPECT_EQ(source->where(1), "set: image 1");
  EXPECT_TRUE(source->block().same_storage(source->block()));
  refused(Code::usage, [&] { source->read(2); });
  refused(Code::usage, [] { images_in_memory("set", Tensor::empty({2, 3}, DType::u8)); });
  refused(Code::usage, [] { images_in_memory("set", Tensor::empty({2, 1, 3, 3}, DType::i64)); });
  refused(Code::usage, [] { images_in_memory("set", {}); });
}

}  // namespace
}  // namespace graft
