// The zip view against archives of other writers, each rule broken once, and damage; the writer against its own view and, by its bytes,
// against the format.
#include "weights/formats/zip.h"

#include <random>

#include "tests/weights/torch_testing.h"

namespace graft {
namespace {

using torch_testing::bytes_of;
using torch_testing::kGolden;
using torch_testing::read_file;
using torch_testing::refusal;
using torch_testing::refused;
using torch_testing::TempFolder;

std::string text_of(const KeptBytes& b) { return {reinterpret_cast<const char*>(b.data.data()), b.data.size()}; }
std::map<std::string, std::string> contents(const ZipView& z) {
  std::map<std::string, std::string> all;
  for (const ZipMember& m : z.members()) all[m.name] = text_of(z.bytes(m));
  return all;
}
std::string written(const std::vector<std::pair<std::string, std::string>>& members, std::uint64_t align = 64,
                    ZipWriter::Zip64 zip64 = ZipWriter::Zip64::needed) {
  TempFolder dir;
  write_atomically(dir / "z", [&](FileSink& sink) {
    ZipWriter w(sink, align, zip64);
    for (const auto& [name, data] : members) w.add(name, data);
    w.finish();
  });
  return read_file(dir / "z");
}
void patch(std::string& s, std::size_t at, std::uint64_t v, int width) {
  for (int i = 0; i < width; ++i) s[at + static_cast<std::size_t>(i)] = static_cast<char>(v >> (8 * i));
}
// Where the central header of member i begins, and its local one.
std::size_t central(const std::string& s, std::size_t i) {
  std::size_t at = s.find("PK\1\2");
  for (; i > 0; --i) at = s.find("PK\1\2", at + 4);
  return at;
}
std::size_t local(const std::string& s, std::size_t i) {
  std::size_t at = s.find("PK\3\4");
  for (; i > 0; --i) at = s.find("PK\3\4", at + 4);
  return at;
}
std::size_t end_record(const std::string& s) { return s.rfind("PK\5\6"); }

const std::vector<std::pair<std::string, std::string>> kThree = {{"a/one", std::string(100, 'x')}, {"a/none", ""}, {"b", "hello"}};

TEST(Zip, ReadsWhatOthersWrote) {
  struct Foreign {
    const char* file;
    std::map<std::string, std::string> want;
  };
  const std::string many(30000, 'n');
  const Foreign all[] = {{"zipfile.zip",
                          {{"stored", "plain bytes"},
                           {"deflated", many},
                           {"empty", ""},
                           {"d\xc3\xa4/\xc3\xbc", "utf-8"}}},                                // zipfile, with a folder and a comment
                         {"zipfile64.zip", {{"big", "zip64 without need"}, {"next", "x"}}},  // force_zip64
                         {"streamed.zip", {{"s", std::string(1000, 's')}, {"t", "tail"}}}};  // to a pipe: sizes follow the data
  for (const auto& [file, want] : all) EXPECT_EQ(contents(ZipView::open(MappedFile::open(kGolden / file))), want) << file;
}

TEST(Zip, StoredMembersAreSpansOfTheFile) {
  for (const auto zip64 : {ZipWriter::Zip64::needed, ZipWriter::Zip64::always})
    for (const std::uint64_t align : {1u, 16u, 64u, 4096u}) {
      const std::string file = written(kThree, align, zip64);
      const ZipView z = ZipView::parse(bytes_of(file), "z");
      ASSERT_EQ(z.members().size(), 3u);
      for (std::size_t i = 0; i < 3; ++i) {
        const ZipMember& m = z.members()[i];
        EXPECT_EQ(m.name, kThree[i].first);
        EXPECT_EQ(m.offset % align, 0u);
        const KeptBytes b = z.bytes(m);
        EXPECT_EQ(text_of(b), kThree[i].second);
        EXPECT_EQ(b.data.data(), bytes_of(file).data() + m.offset);
        EXPECT_EQ(z.find(m.name), &m);
      }
      EXPECT_EQ(z.find("absent"), nullptr);
      EXPECT_EQ(file, written(kThree, align, zip64)) << "no times in it";
    }
  EXPECT_EQ(ZipView::parse(bytes_of(written({})), "z").members().size(), 0u);
  EXPECT_TRUE(looks_like_zip(bytes_of(written({}))));
  EXPECT_FALSE(looks_like_zip(bytes_of(std::string("PK"))));
}

TEST(Zip, ManyMembers) {
  std::vector<std::pair<std::string, std::string>> many;
  for (int i = 0; i < 70000; ++i) many.emplace_back("m" + std::to_string(i), i % 1000 ? "" : std::to_string(i));
  const std::string file = written(many, 1);
  const ZipView z = ZipView::parse(bytes_of(file), "z");
  ASSERT_EQ(z.members().size(), many.size()) << "more than the short end record can count";
  EXPECT_EQ(text_of(z.bytes(*z.find("m69000"))), "69000");
}

TEST(Zip, WriterRefuses) {
  for (const auto& [name, why] : std::vector<std::pair<std::string, std::string>>{{"", "is empty"},
                                                                                  {"/etc/x", "absolute"},
                                                                                  {"a/../b", "leaves its folder"},
                                                                                  {"..", "leaves"},
                                                                                  {"a\nb", "control"},
                                                                                  {"a/", "folder"},
                                                                                  {"C:\\x", "absolute"},
                                                                                  {"w:0.npy", ""}})
    EXPECT_NE(refusal([&] { written({{name, "x"}}); }, Code::usage).find(why.empty() ? "(accepted)" : why), std::string::npos) << name;
  EXPECT_NE(refusal([&] { written({{"a", "x"}, {"a", "y"}}); }, Code::usage).find("is there twice"), std::string::npos);
}

// `change` must make the whole archive of three a refused one, at the latest when its members are read.
void broken(const std::function<void(std::string&)>& change, const std::vector<std::string>& parts) {
  std::string s = written(kThree);
  change(s);
  refused([&] { contents(ZipView::parse(bytes_of(s), "x.zip")); }, parts);
}

TEST(Zip, EveryRuleBrokenOnce) {
  broken([](std::string& s) { s.resize(s.size() - 1); }, {"x.zip: ", "without its end record", "the download was cut off"});
  broken([](std::string& s) { s = s.substr(0, 10); }, {"a zip of only 10 bytes"});
  broken([](std::string& s) { s += "tail"; }, {"without its end record"});
  broken([](std::string& s) { s.insert(0, "head"); }, {"does not lie from byte", "something was put before"});
  broken([](std::string& s) { patch(s, central(s, 0) + 8, 0x0801, 2); }, {"the member is encrypted", "\"a/one\""});
  broken([](std::string& s) { patch(s, local(s, 0) + 6, 0x0801, 2); }, {"the member is encrypted"});
  broken([](std::string& s) { patch(s, end_record(s) + 4, 1, 2); }, {"a zip in several parts"});
  broken([](std::string& s) { patch(s, central(s, 1) + 34, 1, 2); }, {"lies in another part of the zip", "\"a/none\""});
  broken([](std::string& s) { s[local(s, 0) + 30] = 'z'; }, {"the member calls itself \"z/one\"", "\"a/one\""});
  broken([](std::string& s) { s[local(s, 0) + 30 + 2] = s[central(s, 0) + 46 + 2] = '\n'; }, {"has a control character"});
  broken([](std::string& s) { s[local(s, 2) + 30] = s[central(s, 2) + 46] = '/'; }, {"is an absolute path"});
  broken([](std::string& s) { s.replace(local(s, 0) + 30, 3, "../"), s.replace(central(s, 0) + 46, 3, "../"); }, {"leaves its folder"});
  broken([](std::string& s) { patch(s, central(s, 0) + 10, 12, 2), patch(s, local(s, 0) + 8, 12, 2); },
         {"is packed by method 12", "pack it anew"});
  broken([](std::string& s) { patch(s, local(s, 0) + 8, 8, 2); }, {"another method than the central directory"});
  broken([](std::string& s) { s[local(s, 2) + 64 - local(s, 2) % 64 + 0] ^= 1; }, {"the CRC of the member's bytes", "\"b\""});
  broken([](std::string& s) { patch(s, local(s, 0) + 22, 99, 4); }, {"another size or CRC than the central directory"});
  broken([](std::string& s) { patch(s, central(s, 0) + 24, 99, 4), patch(s, local(s, 0) + 22, 99, 4); },
         {"is stored, but its two sizes differ"});
  broken(
      [](std::string& s) {
        for (const int at : {20, 24}) patch(s, central(s, 0) + static_cast<std::size_t>(at), 100000, 4);
        for (const int at : {18, 22}) patch(s, local(s, 0) + static_cast<std::size_t>(at), 100000, 4);
      },
      {"the member takes 100000 bytes"});
  broken([](std::string& s) { patch(s, central(s, 0) + 42, 5, 4); }, {"where no member begins"});
  broken([](std::string& s) { patch(s, central(s, 0) + 42, 0x7fffffff, 4); }, {"where no member begins"});
  broken([](std::string& s) { patch(s, end_record(s) + 8, 2, 2), patch(s, end_record(s) + 10, 2, 2); },
         {"bytes too many", "central directory"});
  broken([](std::string& s) { patch(s, end_record(s) + 8, 4, 2), patch(s, end_record(s) + 10, 4, 2); }, {"cannot stand in a directory"});
  broken([](std::string& s) { patch(s, central(s, 0) + 28, 60000, 2); }, {"a member's name leaves the central directory"});
  // Members over one another: two names for the same bytes.
  const std::string twice = written({{"a", "0123456789"}, {"b", "0123456789"}});
  {
    std::string s = twice;
    s[central(s, 0) + 46] = 'b';
    patch(s, central(s, 0) + 42, local(s, 1), 4);
    refused([&] { ZipView::parse(bytes_of(s), "x.zip"); }, {"lie over one another"});
  }
  {
    std::string s = twice;
    s[local(s, 1) + 30] = s[central(s, 1) + 46] = 'a';
    refused([&] { ZipView::parse(bytes_of(s), "x.zip"); }, {"the member is there twice", "\"a\""});
  }
  // A member that reaches into the next.
  {
    std::string s = written({{"a", "0123456789"}, {"b", std::string(1000, 'b')}});
    for (const int at : {20, 24}) patch(s, central(s, 0) + static_cast<std::size_t>(at), 80, 4);
    for (const int at : {18, 22}) patch(s, local(s, 0) + static_cast<std::size_t>(at), 80, 4);
    refused([&] { ZipView::parse(bytes_of(s), "x.zip"); }, {"\"a\" and \"b\" lie over one another"});
  }
}

TEST(Zip, Zip64RulesBrokenOnce) {
  const std::string whole = written(kThree, 64, ZipWriter::Zip64::always);
  const std::size_t record = whole.rfind("PK\6\6"), locator = whole.rfind("PK\6\7");
  const auto with = [&](std::size_t at, std::uint64_t v, int width) {
    std::string s = whole;
    patch(s, at, v, width);
    return [s] { contents(ZipView::parse(bytes_of(s), "x.zip")); };
  };
  refused(with(locator + 8, record + 1, 8), {"zip64 end record is not where its locator says"});
  refused(with(locator + 8, ~std::uint64_t{0}, 8), {"zip64 end record is not where its locator says"});
  refused(with(locator + 16, 2, 4), {"a zip in several parts"});
  refused(with(record + 40, 1, 8), {"does not lie from byte"});
  refused(with(record + 48, ~std::uint64_t{0}, 8), {"does not lie from byte"});
  refused(with(record + 24, 1ull << 60, 8), {"a zip in several parts"});
  refused(with(end_record(whole) + 10, 5, 2), {"the two end records of the zip disagree"});
  refused(with(central(whole, 0) + 46 + 5 + 2, 4, 2), {"the zip64 field is too short"});
}

TEST(Zip, DeflatedMembersAreBounded) {
  const std::string whole = read_file(kGolden / "zipfile.zip");
  const ZipView z = ZipView::parse(bytes_of(whole), "z");
  const ZipMember& m = *z.find("deflated");
  EXPECT_EQ(m.method, 8);
  refused([&] { z.bytes(m, 29999); }, {"the member is 30000 bytes, more than the 29999 that are taken"});
  const auto claim = [&](std::uint64_t size) {
    std::string s = whole;
    std::size_t c = central(s, 0), l = local(s, 0);
    while (s.compare(c + 46, 8, "deflated") != 0) c = s.find("PK\1\2", c + 4);
    while (s.compare(l + 30, 8, "deflated") != 0) l = s.find("PK\3\4", l + 4);
    patch(s, c + 24, size, 4);
    patch(s, l + 22, size, 4);
    return [s] { contents(ZipView::parse(bytes_of(s), "x.zip")); };
  };
  refused(claim(29999), {"are more than the 29999 that it says"});
  refused(claim(30001), {"inflates to 30000 bytes in place of 30001"});
  refused(claim(4000000000u), {"cannot be the 4000000000 that the member says"});
}

TEST(Zip, Damage) {
  std::mt19937 random(3);
  int refusals = 0, same = 0;
  for (const std::string& whole : {read_file(kGolden / "zipfile.zip"), read_file(kGolden / "streamed.zip"),
                                   read_file(kGolden / "zipfile64.zip"), written(kThree), written(kThree, 64, ZipWriter::Zip64::always)}) {
    const auto want = contents(ZipView::parse(bytes_of(whole), "z"));
    for (std::size_t n = 0; n < whole.size(); ++n)
      EXPECT_NE(refusal([&] { contents(ZipView::parse(bytes_of(whole).first(n), "z")); }), "(accepted)") << n;
    for (std::size_t at = 0; at < whole.size(); ++at)
      for (int bit = 0; bit < 8; ++bit) {
        std::string s = whole;
        s[at] = static_cast<char>(s[at] ^ (1 << bit));
        try {
          const auto got = contents(ZipView::parse(bytes_of(s), "z"));
          // A name's letter in both headers would have to change for another name, and one bit changes one of them.
          EXPECT_EQ(got, want) << at;
          ++same;
        } catch (const Error& e) {
          EXPECT_EQ(e.code(), Code::input);
          ++refusals;
        }
      }
  }
  EXPECT_GT(refusals, 5000);
  EXPECT_GT(same, 1000) << "times, versions, padding";
}

}  // namespace
}  // namespace graft
