// The audit against a set that the test breaks itself, in places it knows: every defect is found, and none that is not there.
#include "engine/data/audit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <set>

#include "engine/base/context.h"
#include "engine/data/archive.h"
#include "engine/data/audit_table.h"
#include "engine/data/drawn.h"
#include "engine/data/folder.h"
#include "engine/data/lookalikes.h"
#include "engine/data/resize.h"
#include "engine/data/split.h"
#include "kernels/core/philox.h"
#include "kernels/core/thread_pool.h"
#include "tests/data/files.h"
#include "tests/temp_folder.h"

namespace graft {
namespace {
namespace fs = std::filesystem;
using test::refused;
using test::TempFolder;
using test::write_file;

Dataset shapes(std::int64_t count, std::uint64_t seed) {
  Drawn d = draw_shapes(count, seed);
  return make_dataset("shapes", {images_in_memory("shapes", d.block), std::move(d.labels), std::move(d.class_names), {}});
}
void write_png(const fs::path& p, const Image& image) { write_file(p, test::text_of(encode_png(image))); }
// What storing again does to a picture: `levels` of even noise either way.
Image noisy(Image image, int levels, std::uint64_t seed) {
  auto* at = image.data<std::uint8_t>();
  for (std::int64_t i = 0; i < image.numel(); ++i) {
    const int noise = static_cast<int>(philox(seed, 1, static_cast<std::uint64_t>(i))[0] % static_cast<unsigned>(2 * levels + 1)) - levels;
    at[i] = static_cast<std::uint8_t>(std::clamp(at[i] + noise, 0, 255));
  }
  return image;
}
Image lighter(Image image) {
  for (std::byte& b : image.bytes) b = static_cast<std::byte>(std::min(255, std::to_integer<int>(b) * 9 / 10 + 20));
  return image;
}
Image filled(std::int64_t side, std::int64_t bands, int value) {
  Image image = Image::make(side, side, bands);
  std::fill(image.bytes.begin(), image.bytes.end(), static_cast<std::byte>(value));
  return image;
}
std::string kinds(const AuditReport& r) {
  std::string s;
  for (const AuditFinding& f : r.findings) s += f.kind + ":" + std::to_string(f.cases.size()) + " ";
  return s;
}
// Of a finding: each case as the sorted names of its pictures' files.
using Places = std::set<std::vector<std::string>>;
Places places_of(const AuditReport& r, const std::vector<AuditPart>& parts, const std::string& kind) {
  Places all;
  const AuditFinding* f = r.find(kind);
  if (!f) return all;
  for (const AuditCase& c : f->cases) {
    std::vector<std::string> names;
    for (const AuditPlace& p : c.places) {
      const AuditPart& part = parts[static_cast<std::size_t>(p.part)];
      names.push_back(part.name + "/" + fs::path(part.data.where(p.index)).filename().string());
    }
    std::sort(names.begin(), names.end());
    all.insert(names);
  }
  return all;
}

TEST(Audit, FindsNothingInCleanSets) {
  for (const std::uint64_t seed : {11u, 12u, 13u}) {
    const AuditReport s = audit_pictures({{"train", shapes(800, seed), {}, ""}, {"test", shapes(200, seed + 100), {}, ""}});
    EXPECT_EQ(kinds(s), "") << "shapes, seed " << seed;
    EXPECT_EQ(s.readable(), 1000);
    for (const char* kind : {"digits", "letters"}) {
      const AuditReport g =
          audit_pictures({{"train", draw_glyphs(kind, 800, seed), {}, ""}, {"test", draw_glyphs(kind, 200, seed + 100), {}, ""}});
      EXPECT_EQ(kinds(g), "") << kind << ", seed " << seed;
    }
  }
}

// 240 shapes in train, 80 in validation, 80 in test, as PNG files, and every kind of defect.
struct Broken {
  TempFolder t;
  std::vector<AuditPart> parts;
  Broken() {
    const Dataset base = shapes(400, 7);
    const auto put = [&](const std::string& part, std::int64_t i) {
      const std::string& name = base.class_names[static_cast<std::size_t>(base.labels.data<std::int64_t>()[i])];
      write_png(t.path / part / name / (std::to_string(i) + ".png"), base.image(i));
    };
    for (std::int64_t i = 0; i < 400; ++i) put(i < 240 ? "train" : i < 320 ? "validation" : "test", i);
    const auto at = [&](const std::string& part, std::int64_t i, const std::string& name) {  // beside picture i's class, in another part
      return t.path / part / base.class_names[static_cast<std::size_t>(base.labels.data<std::int64_t>()[i])] / name;
    };
    write_png(at("test", 3, "leak.png"), base.image(3));    // the same pixels in two parts
    write_png(at("train", 5, "twice.png"), base.image(5));  // and twice in one
    write_png(at("validation", 9, "near.png"), noisy(base.image(9), 4, 1));
    write_png(at("test", 12, "light.png"), lighter(base.image(12)));
    write_png(at("train", 17, "again.png"), resize(base.image(17), 64, 64));  // nearly the same, and of another size
    write_png(t.path / "train" / base.class_names[(21 + 3) % 8] / "conflict.png", base.image(21));
    write_png(t.path / "train" / base.class_names[(26 + 1) % 8] / "nearly.png", noisy(base.image(26), 3, 2));
    write_file(t.path / "train/circle/cut.png", test::text_of(encode_png(base.image(30))).substr(0, 200));
    write_file(t.path / "validation/star/page.png", "<html>not found</html>");
    write_file(t.path / "test/star/empty.png", "");
    write_png(t.path / "train/moon/black.png", filled(32, 3, 0));
    write_png(t.path / "test/moon/gray.png", filled(32, 3, 90));
    write_png(t.path / "train/ring/dot.png", filled(1, 3, 77));
    write_png(t.path / "train/ring/small.png", resize(shapes(1, 991).image(0), 20, 24));
    Image one_band = Image::make(32, 32, 1);
    const Image other = shapes(3, 992).image(2);
    for (int p = 0; p < 32 * 32; ++p) one_band.bytes[static_cast<std::size_t>(p)] = other.bytes[static_cast<std::size_t>(p * 3)];
    write_png(t.path / "train/ring/gray.png", one_band);
    Image deep = Image::make(32, 32, 3, Image::Depth::u16);
    const Image third = shapes(5, 993).image(4);
    for (std::int64_t i = 0; i < deep.numel(); ++i)
      deep.data<std::uint16_t>()[i] = static_cast<std::uint16_t>(std::to_integer<int>(third.bytes[static_cast<std::size_t>(i)]) * 257 + 1);
    write_png(t.path / "validation/ring/deep.png", deep);
    fs::create_directories(t.path / "train/nothing");
    const Dataset more = shapes(40, 994);
    for (int k = 0; k < 2; ++k) write_png(t.path / "train/rare" / (std::to_string(k) + ".png"), more.image(k));
    for (int k = 2; k < 10; ++k) write_png(t.path / "test/unlearnt" / (std::to_string(k) + ".png"), more.image(k));
    write_file(t.path / "train/readme.txt", "text");
    for (const char* part : {"train", "validation", "test"}) {
      LabelledImages set = open_image_folder(t.path / part, true);
      std::vector<std::string> notes = set.notes;
      parts.push_back({part, make_dataset(part, std::move(set)), notes, ""});
    }
  }
};
TEST(Audit, FindsEveryDefectOfABrokenSetAndNoOther) {
  const Broken b;
  const AuditReport r = audit_pictures(b.parts);
  const auto found = [&](const char* kind) { return places_of(r, b.parts, kind); };
  EXPECT_EQ(found("unreadable"), (Places{{"train/cut.png"}, {"validation/page.png"}, {"test/empty.png"}}));
  EXPECT_EQ(found("duplicate_across"), (Places{{"test/leak.png", "train/3.png"}}));
  EXPECT_EQ(found("duplicate_within"), (Places{{"train/5.png", "train/twice.png"}, {"train/21.png", "train/conflict.png"}}));
  EXPECT_EQ(found("near_across"), (Places{{"train/9.png", "validation/near.png"}, {"test/light.png", "train/12.png"}}));
  EXPECT_EQ(found("near_within"), (Places{{"train/17.png", "train/again.png"}, {"train/26.png", "train/nearly.png"}}));
  EXPECT_EQ(found("conflict"), (Places{{"train/21.png", "train/conflict.png"}, {"train/26.png", "train/nearly.png"}}));
  EXPECT_EQ(found("constant"), (Places{{"train/black.png"}, {"test/gray.png"}}));
  EXPECT_EQ(found("one_pixel"), (Places{{"train/dot.png"}}));
  EXPECT_EQ(found("size"), (Places{{"train/again.png"}, {"train/dot.png"}, {"train/small.png"}}));
  EXPECT_EQ(found("bands"), (Places{{"train/gray.png"}}));
  EXPECT_EQ(found("depth"), (Places{{"validation/deep.png"}}));
  const auto texts = [&](const char* kind) {
    std::set<std::string> all;
    if (const AuditFinding* f = r.find(kind))
      for (const AuditCase& c : f->cases) all.insert(c.text);
    return all;
  };
  EXPECT_EQ(texts("empty_class"), (std::set<std::string>{"nothing: no picture"}));
  EXPECT_EQ(texts("class_missing"), (std::set<std::string>{"rare: no picture in validation", "rare: no picture in test",
                                                           "unlearnt: no picture in train", "unlearnt: no picture in validation"}));
  EXPECT_EQ(texts("few"), (std::set<std::string>{"rare: 2 in train"}));
  EXPECT_EQ(texts("imbalance").size(), 1u);
  EXPECT_EQ(r.findings.size(), 15u) << kinds(r);
  ASSERT_EQ(r.notes.size(), 1u);
  EXPECT_NE(r.notes[0].find("readme.txt"), std::string::npos);
  EXPECT_EQ(r.readable(), 400 + 7 + 6 + 10);
}
TEST(Audit, SaysTheSameForAnyNumberOfThreads) {
  const Broken b;
  const auto text = [&](int threads) {
    Queue q(threads, Device{});
    UseQueue use(q);
    std::string s;
    for (const AuditFinding& f : audit_pictures(b.parts).findings)
      for (const AuditCase& c : f.cases) {
        s += f.kind + c.text;
        for (const AuditPlace& p : c.places) s += " " + std::to_string(p.part) + "," + std::to_string(p.index);
      }
    return s;
  };
  EXPECT_EQ(text(1), text(5));
}
TEST(Audit, SizesAndBandsThatAreBroughtToOneAreNoFinding) {
  const Broken b;
  AuditOptions o;
  o.any_size = true, o.bands = 3;
  const AuditReport r = audit_pictures(b.parts, o);
  EXPECT_EQ(r.find("size"), nullptr);
  EXPECT_EQ(r.find("bands"), nullptr);
}
TEST(Audit, NumbersThatAreNotFinite) {
  const Tensor block = Tensor::empty({12, 1, 8, 8}, DType::f32, Device{});
  for (std::int64_t i = 0; i < block.numel(); ++i)
    block.data<float>()[i] = static_cast<float>(philox(1, 2, static_cast<std::uint64_t>(i))[0] % 1000) / 1000;
  block.data<float>()[3 * 64 + 5] = std::numeric_limits<float>::quiet_NaN();
  block.data<float>()[7 * 64] = std::numeric_limits<float>::infinity();
  const AuditReport r = audit_pictures(
      {{"train", make_dataset("floats", {images_in_memory("floats", block), std::vector<std::int64_t>(12, 0), {"one"}, {}}), {}, ""}});
  EXPECT_EQ(kinds(r), "not_finite:2 ");
  EXPECT_EQ(r.find("not_finite")->cases[1].places, (std::vector<AuditPlace>{{0, 7}}));
}
TEST(Audit, APartThatCannotBeOpenedIsNamedAndTheOthersAreLookedAt) {
  const AuditReport r = audit_pictures({{"train", {}, {}, "train.tar: is cut off"}, {"test", shapes(80, 3), {}, ""}});
  EXPECT_EQ(r.readable(), 80);
  ASSERT_NE(r.find("part"), nullptr);
  EXPECT_NE(r.find("part")->cases[0].text.find("is cut off"), std::string::npos);
}
TEST(Audit, FortyMillionPixelsAndALoneOne) {
  Image big = Image::make(5000, 8000, 1);
  for (std::int64_t i = 0; i < big.numel(); ++i)
    big.bytes[static_cast<std::size_t>(i)] = static_cast<std::byte>(i / 8000 / 20 + i % 8000 / 32);
  TempFolder t;
  write_png(t.path / "a/big.png", big);
  write_png(t.path / "a/half.png", resize(big, 500, 800));
  write_png(t.path / "b/one.png", filled(1, 1, 5));
  const AuditReport r = audit_pictures({{"train", make_dataset("x", open_image_folder(t.path)), {}, ""}});
  EXPECT_EQ(r.readable(), 3);
  ASSERT_NE(r.find("near_within"), nullptr) << kinds(r);
  ASSERT_NE(r.find("one_pixel"), nullptr);
}

// Real pictures, re-encoded as strong JPEG: some were photographed once and stored twice; the classes' own likeness is no finding.
TEST(Audit, Cifar) {
  const char* named = std::getenv("GRAFT_TEST_DATA");
  const fs::path data = named ? fs::path(named) : fs::path(GRAFT_SOURCE_DIR) / "../shared/data";
  if (!fs::exists(data / "cifar10/test.tar.gz")) GTEST_SKIP() << "no CIFAR-10 at " << data << "; set GRAFT_TEST_DATA";
  if (!why_no_archives().empty() || !why_not(PictureFormat::jpeg).empty()) GTEST_SKIP() << "built without archives or JPEG";
  const Dataset test = make_dataset("test", open_image_archive(data / "cifar10/test.tar.gz"));
  const AuditReport r = audit_pictures({{"test", test, {}, ""}});
  EXPECT_EQ(r.readable(), test.size());
  for (const AuditFinding& f : r.findings) EXPECT_EQ(f.kind, "near_within");
  const AuditFinding* near = r.find("near_within");
  EXPECT_LE(near ? near->cases.size() : 0, 5u);  // one in a thousand
  // Copies that a mail program or a web page makes: smaller, lighter, noisier.
  const Dataset some = subset(test, {0, 500, 1000, 1500, 2000, 2500, 3000, 3500, 4000, 4500});
  std::vector<Look> looks;
  for (std::int64_t i = 0; i < test.size(); ++i) looks.push_back(look_of(test.image(i)));
  for (std::int64_t i = 0; i < some.size(); ++i) looks.push_back(look_of(noisy(lighter(some.image(i)), 5, static_cast<std::uint64_t>(i))));
  std::set<std::int64_t> found;
  for (const Lookalike& l : find_lookalikes(looks, current_queue().pool()))
    if (l.b >= test.size() && l.a == (l.b - test.size()) * 500) found.insert(l.b);
  EXPECT_GE(found.size(), 9u);
}

TEST(Looks, StayWhereAPictureIsStoredAnewAndPartWhereItIsAnother) {
  const Dataset d = shapes(64, 5);
  for (std::int64_t i = 0; i + 1 < d.size(); ++i) {
    const Image image = d.image(i);
    const Look look = look_of(image);
    EXPECT_NEAR(difference(look, look), 0, 1e-5);  // f32
    EXPECT_LT(difference(look, look_of(noisy(image, 4, 3))), kMost);
    EXPECT_LT(difference(look, look_of(lighter(image))), kMost);
    EXPECT_GT(difference(look, look_of(d.image(i + 1))), 0.3f);
  }
  EXPECT_FALSE(look_of(filled(32, 3, 5)).comparable());
  EXPECT_FALSE(look_of(filled(4, 3, 5)).comparable());
}
TEST(Looks, ContentCountsSizeBandsAndDepth) {
  Image a = filled(4, 1, 7), b = Image::make(2, 8, 1), c = Image::make(2, 2, 4), d = Image::make(2, 4, 1, Image::Depth::u16);
  b.bytes = c.bytes = d.bytes = a.bytes;
  const std::set<Digest> all = {content_digest(a), content_digest(b), content_digest(c), content_digest(d)};
  EXPECT_EQ(all.size(), 4u);
  EXPECT_EQ(content_digest(a), content_digest(Image(a)));
}

// ---- tables ----

AuditReport table_audit(const fs::path& folder, const std::vector<std::pair<std::string, std::string>>& files) {
  std::vector<TablePart> parts;
  for (const auto& [name, text] : files) {
    write_file(folder / (name + ".csv"), text);
    parts.push_back({name, read_table_text(folder / (name + ".csv")), ""});
  }
  return audit_tables(parts, "label");
}
std::string clean_rows(int first, int count) {
  std::string s;
  for (int i = first; i < first + count; ++i)
    s += std::to_string(i * 37 % 101) + "." + std::to_string(i) + "," + (i % 3 ? "red" : "blue") + "," + (i % 2 ? "yes" : "no") + "\n";
  return s;
}
TEST(AuditTables, CleanOnesHaveNothingAndBrokenOnesAllOfIt) {
  TempFolder t;
  const std::string head = "size,colour,label\n";
  EXPECT_EQ(kinds(table_audit(t.path, {{"train", head + clean_rows(0, 60)}, {"test", head + clean_rows(60, 20)}})), "");
  const AuditReport r =
      table_audit(t.path, {{"train", head + clean_rows(0, 60) +
                                         "1.5,red,yes\n1.50,red,yes\n2.5,blue,yes\n2.5,blue,no\n,red,no\nnan,red,no\nlong,red,no\n1,2\n"},
                           {"test", head + clean_rows(60, 20) + clean_rows(4, 1)}});
  EXPECT_EQ(kinds(r), "fields:1 missing:1 not_finite:1 not_number:1 duplicate_across:1 duplicate_within:2 conflict:1 ");
  EXPECT_EQ(r.find("duplicate_across")->cases[0].places, (std::vector<AuditPlace>{{0, 4}, {1, 20}}));
  EXPECT_EQ(r.find("duplicate_within")->cases[0].places, (std::vector<AuditPlace>{{0, 60}, {0, 61}}));
  EXPECT_EQ(r.find("conflict")->cases[0].places, (std::vector<AuditPlace>{{0, 62}, {0, 63}}));
  EXPECT_EQ(r.find("fields")->cases[0].places, (std::vector<AuditPlace>{{0, 67}}));
}
TEST(AuditTables, ColumnsThatSayNothingOrEverything) {
  TempFolder t;
  std::string text = "a,unit,code,label,note\n", other = "a,unit,code,label\n";
  for (int i = 0; i < 80; ++i)
    text += std::to_string(i) + ".5,cm," + (i % 2 ? "7" : "9") + "," + (i % 2 ? "x" : "y") + ",words " + std::to_string(i) + "\n";
  for (int i = 0; i < 4; ++i) other += std::to_string(i + 100) + ",cm,7,x\n";
  const AuditReport r = table_audit(t.path, {{"train", text}, {"test", other}});
  EXPECT_EQ(kinds(r), "columns:1 free_text:1 constant_column:1 label_column:1 ");
  EXPECT_EQ(r.find("label_column")->cases[0].text, "'code' has a value for each value of 'label'");
  EXPECT_NE(refused(Code::usage, [&] { table_audit(t.path, {{"train", "a,b\n1,2\n"}}); }).find("is not a column"), std::string::npos);
}
TEST(AuditTables, ValuesOfAnyBytesAreShownPrintable) {
  TempFolder t;
  std::string text = "a,label\n", value(39, 'x');
  for (int i = 0; i < 40; ++i) text += std::to_string(i) + "," + (i % 2 ? "p" : "q") + "\n";
  const AuditReport r = table_audit(t.path, {{"train", text + value + "\xc3\xa4 and more,p\n\xff\t,q\n"}});
  ASSERT_NE(r.find("not_number"), nullptr) << kinds(r);
  EXPECT_EQ(r.find("not_number")->cases[0].text, "'a' is '" + value + "\\xc3...'");
  EXPECT_EQ(r.find("not_number")->cases[1].text, "'a' is '\\xff\\x09'");
}
TEST(AuditTables, ClassesOfVeryDifferentSizes) {
  TempFolder t;
  std::string text = "a,label\n";
  for (int i = 0; i < 60; ++i) text += std::to_string(i) + "," + (i < 4 ? "rare" : "often") + "\n";
  EXPECT_EQ(kinds(table_audit(t.path, {{"train", text}, {"test", "a,label\n99,often\n"}})), "class_missing:1 few:1 imbalance:1 ");
}

// ---- splits ----

TEST(Split, SharesAreKeptWithinAnItemInEachClass) {
  const std::vector<Share> parts = parse_shares("train=0.8,validation=0.1,test=0.1");
  std::vector<std::int64_t> labels;
  for (int i = 0; i < 1003; ++i) labels.push_back(i % 7 == 0 ? 1 : i % 50 == 1 ? 2 : 0);
  const auto of = split_items(labels, {}, parts, 5, true);
  EXPECT_EQ(of, split_items(labels, {}, parts, 5, true));
  EXPECT_NE(of, split_items(labels, {}, parts, 6, true));
  for (std::int64_t c = 0; c < 3; ++c) {
    const auto n = static_cast<double>(std::count(labels.begin(), labels.end(), c));
    for (std::size_t p = 0; p < parts.size(); ++p) {
      double have = 0;
      for (std::size_t i = 0; i < labels.size(); ++i) have += labels[i] == c && of[i] == p;
      EXPECT_LT(std::abs(have - parts[p].share * n), 1) << c << " " << p;
    }
  }
}
TEST(Split, GroupsStayTogether) {
  std::vector<std::int64_t> labels(300, 0), groups;
  for (int i = 0; i < 300; ++i) groups.push_back(i % 90);
  const auto of = split_items(labels, groups, parse_shares("a=0.5,b=0.5"), 1, false);
  for (int i = 90; i < 300; ++i) EXPECT_EQ(of[static_cast<std::size_t>(i)], of[static_cast<std::size_t>(i % 90)]);
  EXPECT_NEAR(std::count(of.begin(), of.end(), 0u), 150, 4);  // a group has 3 or 4
}
TEST(Split, SharesThatCannotBe) {
  for (const char* text : {"", "train", "train=0.5", "train=0.5,test=0.6", "train=1,train=0", "a=0.5,a=0.5", "../x=0.5,b=0.5",
                           ".a=0.5,b=0.5", "=0.5,b=0.5", "a=x,b=1", "a=nan,b=1", "a=-1,b=2", "a=0.5,b=0.5,"})
    EXPECT_NE(refused(Code::usage, [&] { parse_shares(text); }).find("--parts"), std::string::npos) << text;
}

}  // namespace
}  // namespace graft
