// NumPy's arrays against files that numpy wrote, headers that it would not, archives written here and read by numpy, and damaged files.
#include "weights/formats/npy.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <set>

#include "tests/weights/damage.h"
#include "weights/formats/zip.h"

namespace graft {
namespace {

using damage::read_file;
using damage::refused;
using damage::TempFolder;
using damage::write_file;
namespace fs = std::filesystem;

const fs::path kGolden = fs::path(GRAFT_SOURCE_DIR) / "tests/golden/numpy";

// The numbers that make.py puts into an array of this dtype.
void expect_numbers(const Tensor& t, const std::string& dtype, const std::string& name) {
  const auto v = t.values();
  for (std::size_t i = 0; i < v.size(); ++i) {
    const double k = static_cast<double>(i);
    EXPECT_EQ(v[i], dtype == "BOOL" ? (i % 3 == 1) : dtype[0] == 'U' ? k : k - 2) << name << " " << i;
  }
}
std::size_t index_of(const Source& s, const std::string& name) {
  const StoredTensor* t = s.find(name);
  return t ? static_cast<std::size_t>(t - s.tensors.data()) : s.tensors.size();
}

std::string npy(const std::string& header, const std::string& data, char version = 1) {
  std::string out("\x93NUMPY", 6);
  out += version;
  out += '\0';
  for (int i = 0; i < (version == 1 ? 2 : 4); ++i) out += static_cast<char>(header.size() >> (8 * i) & 255u);
  return out + header + data;
}

TEST(Npy, ReadsEveryVersionOrderAndByteOrder) {
  const std::map<std::string, std::pair<std::string, std::vector<std::int64_t>>> want = {
      {"version_1", {"F32", {3, 2}}}, {"version_2", {"F64", {3, 2}}}, {"version_3", {"I64", {3, 2}}},
      {"python2", {"F32", {3, 2}}},   {"fortran", {"F32", {3, 4}}},   {"big_endian", {"F32", {3, 4}}}};
  for (const auto& [name, what] : want) {
    const auto s = open_source(kGolden / ("good_" + name + ".npy"));
    EXPECT_EQ(s->format, "npy");
    ASSERT_EQ(s->tensors.size(), 1u) << name;
    EXPECT_EQ(s->tensors[0].name, "good_" + name);
    EXPECT_EQ(s->tensors[0].dtype, what.first) << name;
    EXPECT_EQ(s->tensors[0].shape, what.second) << name;
    EXPECT_EQ(s->tensors[0].strides.empty(), name != "fortran");
    expect_numbers(s->load(0), what.first, name);
  }
}
TEST(Npy, ReadsEveryTypeOfAnArchive) {
  const auto s = open_source(kGolden / "good_every.npz");
  EXPECT_EQ(s->format, "npz");
  EXPECT_TRUE(s->warnings.empty());
  ASSERT_EQ(s->tensors.size(), 34u);
  const std::map<std::string, std::string> types = {{"f2", "F16"}, {"f4", "F32"},  {"f8", "F64"}, {"i1", "I8"},   {"i2", "I16"},
                                                    {"i4", "I32"}, {"i8", "I64"},  {"u1", "U8"},  {"u2", "U16"},  {"u4", "U32"},
                                                    {"u8", "U64"}, {"b1", "BOOL"}, {"c8", "C64"}, {"c16", "C128"}};
  for (std::size_t i = 0; i < s->tensors.size(); ++i) {
    const StoredTensor& t = s->tensors[i];
    const bool typed = t.name.starts_with("le.") || t.name.starts_with("be.");
    if (typed) {
      EXPECT_EQ(t.dtype, types.at(t.name.substr(3))) << t.name;
    } else {
      EXPECT_EQ(t.dtype, t.name == "bf16" ? "BF16" : "F32") << t.name;
    }
    if (t.dtype[0] != 'C') {
      expect_numbers(s->load(i), t.dtype, t.name);
      continue;
    }
    const KeptBytes b = s->bytes(i);
    for (std::size_t k = 0; k < 12; ++k) {
      double v = 0;
      float single = 0;
      if (t.dtype == "C64") std::memcpy(&single, b.data.data() + 4 * k, 4), v = single;
      else std::memcpy(&v, b.data.data() + 8 * k, 8);
      const double i0 = static_cast<double>(k / 2);
      EXPECT_EQ(v, k % 2 ? i0 : i0 - 2) << t.name << " " << k;
    }
  }
  EXPECT_EQ(s->find("scalar")->shape, std::vector<std::int64_t>{});
  EXPECT_EQ(s->find("none")->shape, (std::vector<std::int64_t>{0, 3}));
  EXPECT_EQ(s->find("fortran")->strides, (std::vector<std::int64_t>{1, 2, 6}));
  EXPECT_EQ(s->load(index_of(*s, "fortran")).shape(), Shape({2, 3, 4}));
  EXPECT_NE(s->find("layer/kernel"), nullptr);
  ASSERT_EQ(s->notes.size(), 1u);
  EXPECT_NE(s->notes[0].find("taken as bfloat16"), std::string::npos);
}
TEST(Npy, ReadsPackedArchives) {
  const auto s = open_source(kGolden / "good_packed.npz");
  ASSERT_EQ(s->tensors.size(), 6u);
  for (std::size_t i = 0; i < s->tensors.size(); ++i) {
    EXPECT_EQ(s->tensors[i].offset, 0u) << "packed: it has no place in the file";
    expect_numbers(s->load(i), s->tensors[i].dtype, s->tensors[i].name);
  }
}

TEST(Npy, ReadsTheArraysInArraysOfObjects) {
  const auto dict = open_source(kGolden / "good_objects_dict.npy");
  EXPECT_EQ(dict->format, "npy of objects");
  EXPECT_TRUE(dict->warnings.empty());
  EXPECT_EQ(dict->metadata, (std::map<std::string, std::string>{{"steps", "7"}, {"name", "net"}}));
  ASSERT_EQ(dict->tensors.size(), 2u);
  const std::size_t kernel = index_of(*dict, "conv.kernel"), bias = index_of(*dict, "conv.bias");
  ASSERT_LT(std::max(kernel, bias), 2u);
  EXPECT_EQ(dict->tensors[kernel].dtype, "F32");
  EXPECT_EQ(dict->tensors[kernel].shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(dict->tensors[bias].dtype, "F64") << "big endian in the file";
  expect_numbers(dict->load(kernel), "F32", "kernel");
  expect_numbers(dict->load(bias), "F64", "bias");
  // Where inspect says that they lie.
  const KeptBytes b = dict->bytes(kernel);
  EXPECT_EQ(read_file(kGolden / "good_objects_dict.npy").substr(dict->tensors[kernel].offset, 24),
            std::string(reinterpret_cast<const char*>(b.data.data()), b.data.size()));

  const auto rows = open_source(kGolden / "good_objects_rows.npy");
  ASSERT_EQ(rows->tensors.size(), 3u);
  const std::vector<std::pair<std::string, std::vector<std::int64_t>>> want = {{"F32", {2, 2}}, {"I64", {5}}, {"F32", {2, 3}}};
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(rows->tensors[i].name, std::to_string(i));
    EXPECT_EQ(rows->tensors[i].dtype, want[i].first);
    EXPECT_EQ(rows->tensors[i].shape, want[i].second);
    expect_numbers(rows->load(i), want[i].first, "row");
  }
  EXPECT_EQ(rows->tensors[2].strides, (std::vector<std::int64_t>{1, 2})) << "Fortran order";

  const auto python2 = open_source(kGolden / "good_objects_python2.npy");
  ASSERT_EQ(python2->tensors.size(), 2u);
  EXPECT_EQ(python2->find("w")->shape, (std::vector<std::int64_t>{40, 2}));
  EXPECT_NE(python2->find("b\xc3\xa9"), nullptr) << "Python 2's bytes are Latin-1";
  for (std::size_t i = 0; i < 2; ++i) expect_numbers(python2->load(i), "F32", "python2");
}
TEST(Npz, ArraysOfObjectsStandUnderTheirMembersNames) {
  for (const char* name : {"good_objects.npz", "good_objects_packed.npz"}) {
    const bool packed = std::string(name) == "good_objects_packed.npz";
    const auto s = open_source(kGolden / name);
    EXPECT_EQ(s->format, "npz");
    EXPECT_TRUE(s->warnings.empty());
    ASSERT_EQ(s->tensors.size(), 3u) << name;
    std::set<std::string> names;
    for (std::size_t i = 0; i < 3; ++i) {
      names.insert(s->tensors[i].name);
      EXPECT_EQ(s->tensors[i].offset == 0, packed || s->tensors[i].name == "params.conv.bias")
          << s->tensors[i].name << ": big endian, so not as it stands";
      expect_numbers(s->load(i), s->tensors[i].dtype, s->tensors[i].name);
    }
    EXPECT_EQ(names, (std::set<std::string>{"plain", "params.conv.kernel", "params.conv.bias"}));
    EXPECT_EQ(s->metadata.at("params.steps"), "7");
    if (!packed) {
      EXPECT_EQ(s->metadata.at("config.lr"), "0.1");
      EXPECT_EQ(s->metadata.at("config.layers"), "[1, 2]");
    }
  }
}
TEST(Npy, RefusesObjectsThatWantMoreThanToBeRead) {
  refused(kGolden / "bad_objects_call.npy", {"needs posix.system", "graft runs nothing that a file names"});
  refused(kGolden / "bad_objects_class.npy", {"needs numpy.random.mtrand.RandomState"});
}

TEST(Npy, RefusesWhatIsNoArrayOfNumbers) {
  refused(kGolden / "bad_objects.npy", {"Python objects", "CVE-2019-6446", "\"|O\"", "closed pickle reader"});
  refused(kGolden / "bad_structured.npy", {"structured", "an array of its own"});
  refused(kGolden / "bad_text.npy", {"holds text", "\"<U2\""});
  refused(kGolden / "bad_bytes.npy", {"holds text", "\"|S2\""});
  refused(kGolden / "bad_dates.npy", {"dates or times"});
  refused(kGolden / "bad_long_double.npy", {"\"<f16\"", "astype"});
}
TEST(Npy, RefusesHeadersThatNumpyWouldNotWrite) {
  TempFolder dir;
  const std::string data(16, 'x');
  const auto header = [](const std::string& descr, const std::string& order, const std::string& shape) {
    return "{'descr': " + descr + ", 'fortran_order': " + order + ", 'shape': " + shape + ", }\n";
  };
  const auto wrong = [&](const std::string& bytes, const std::vector<std::string>& parts) {
    write_file(dir / "a", bytes);
    refused(dir / "a", parts);
  };
  write_file(dir / "a", npy(header("'<f4'", "False", "(2, 2)"), data));
  EXPECT_EQ(open_source(dir / "a")->tensors[0].name, "a") << "by content, not by the ending";
  // What could be evaluated is only text here.
  wrong(npy("__import__('os').system('false')\n", data), {"no '{' where it must be", "byte 10"});
  wrong(npy(header("'<f4'", "False", "(2, __import__('os'))"), data), {"no natural number"});
  wrong(npy(header("'<f4'", "not True", "(2, 2)"), data), {"neither True nor False"});
  wrong(npy(header("'<f4'", "False", "(2, -2)"), data), {"no natural number"});
  wrong(npy(header("'<f4'", "False", "(2 2)"), data), {"no ','"});
  wrong(npy(header("'<f4'", "False", "(4)"), data), {"a number and no tuple"});
  wrong(npy(header("'<f4'", "False", "[2, 2]"), data), {"no '('"});
  wrong(npy(header("'<f4'", "False", "(0x2, 2)"), data), {"no ','"});
  wrong(npy(header("'<\\x66' ", "False", "(2, 2)"), data), {"escape"});
  wrong(npy(header("'f4'", "False", "(2, 2)"), data), {"no type of NumPy's"});
  wrong(npy(header("'|f4'", "False", "(2, 2)"), data), {"without a byte order"});
  wrong(npy(header("'|V1'", "False", "(16,)"), data), {"\"|V1\""});
  wrong(npy("{'descr': '<f4', 'fortran_order': False}", data), {"no 'descr', 'fortran_order' or 'shape'"});
  wrong(npy("{'descr': '<f4', 'descr': '<f8', 'fortran_order': False, 'shape': (2,)}", data), {"'descr' twice"});
  wrong(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4,), 'more': 1}", data), {"\"more\""});
  wrong(npy(header("'<f4'", "False", "(2, 2)") + "import os", data), {"more after its dictionary"});
  wrong(npy(header("'<f4'", "False", "(9223372036854775807, 9223372036854775807)"), data), {"overflows"});
  wrong(npy(header("'<f4'", "False", "(9223372036854775808,)"), data), {"above 2^63"});
  wrong(npy(header("'<f4'", "False", "(2, 3)"), data), {"24 bytes and 16 are there", "cut"});
  wrong(npy(header("'<f4'", "False", "(2,)"), data), {"8 bytes and 16 are there", "more than this array"});
  wrong(npy(header("'<f4'", "False", "(2, 2)"), data, 4), {"version 4.0"});
  wrong(npy(header("'<f4'", "False", "(2L, 2L)"), data, 3), {"no ','"});
  wrong(npy(header("'<f4'", "False", "(2, 2)") + std::string(10000, ' '), data, 2), {"at most 10000"});
  std::string axes = "(";
  for (int i = 0; i < 65; ++i) axes += "1,";
  wrong(npy(header("'<f4'", "False", axes + ")"), "1234"), {"more than 64 axes"});
}

TEST(Npz, WhatIsWrittenIsReadAgainAndAligned) {
  TempFolder dir;
  const std::vector<NpzItem> items = {{"a", "F32", {2, 3}},  {"deep/b.c", "I64", {}}, {"none", "F16", {0, 4}}, {"half", "BF16", {4}},
                                      {"flag", "BOOL", {3}}, {"c", "C64", {1}},       {"u", "U8", {5}}};
  std::vector<std::string> data;
  for (const NpzItem& i : items) {
    std::string bytes(*stored_bytes(*stored_type(i.dtype), i.shape), '\0');
    for (std::size_t k = 0; k < bytes.size(); ++k) bytes[k] = static_cast<char>(i.dtype == "BOOL" ? k % 2 : k + 1);
    data.push_back(bytes);
  }
  const auto give = [&](std::size_t i) { return std::as_bytes(std::span(data[i].data(), data[i].size())); };
  write_npz(dir / "a.npz", items, give);
  const auto s = open_source(dir / "a.npz");
  ASSERT_EQ(s->tensors.size(), items.size());
  for (std::size_t i = 0; i < items.size(); ++i) {
    EXPECT_EQ(s->tensors[i].name, items[i].name);
    EXPECT_EQ(s->tensors[i].dtype, items[i].dtype);
    EXPECT_EQ(s->tensors[i].shape, items[i].shape);
    EXPECT_EQ(s->tensors[i].offset % 64, 0u) << items[i].name;
    const KeptBytes b = s->bytes(i);
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(b.data.data()), b.data.size()), data[i]) << items[i].name;
  }
  const std::string once = read_file(dir / "a.npz");
  write_npz(dir / "a.npz", items, give);
  EXPECT_EQ(read_file(dir / "a.npz"), once) << "the same arrays, the same bytes";

  const auto usage = [&](const std::vector<NpzItem>& wrong) {
    try {
      write_npz(dir / "a.npz", wrong, give);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Code::usage) << e.what();
      EXPECT_EQ(read_file(dir / "a.npz"), once) << "the old file is as it was";
      return;
    }
    ADD_FAILURE() << "accepted";
  };
  usage({{"a", "F32", {2, 3}}, {"a", "F32", {2}}});
  usage({{"a", "F32", {2, 2}}});
  usage({{"a", "Q4_0", {32}}});
  usage({{"a", "F8_E4M3", {24}}});
  usage({{"../a", "F32", {2, 3}}});
}
TEST(Npz, NumpyLoadsWhatIsWritten) {
  const char* given = std::getenv("GRAFT_PYTHON");
  const std::string python = given ? given : "python3";
  if (std::system((python + " -c 'import numpy' >/dev/null 2>&1").c_str()) != 0)
    GTEST_SKIP() << python << " has no numpy: set GRAFT_PYTHON to one that has";
  TempFolder dir;
  const std::vector<float> a = {1, 2.5f, -3, 4, 5, 6};
  const std::vector<std::int64_t> b = {-7};
  const std::vector<std::int32_t> big(100000, 3);
  write_npz(dir / "a.npz", {{"a", "F32", {2, 3}}, {"deep/b", "I64", {}}, {"none", "F64", {0, 2}}, {"big", "I32", {100, 1000}}},
            [&](std::size_t i) {
              return i == 0   ? std::as_bytes(std::span(a))
                     : i == 1 ? std::as_bytes(std::span(b))
                     : i == 2 ? std::span<const std::byte>()
                              : std::as_bytes(std::span(big));
            });
  write_file(dir / "judge.py",
             "import sys, zipfile, numpy as np\n"
             "assert zipfile.ZipFile(sys.argv[1]).testzip() is None\n"
             "z = np.load(sys.argv[1], allow_pickle=False)\n"
             "assert sorted(z.files) == ['a', 'big', 'deep/b', 'none'], z.files\n"
             "assert z['a'].dtype == np.float32 and z['a'].tolist() == [[1, 2.5, -3], [4, 5, 6]]\n"
             "assert z['deep/b'].dtype == np.int64 and z['deep/b'].shape == () and z['deep/b'] == -7\n"
             "assert z['none'].dtype == np.float64 and z['none'].shape == (0, 2)\n"
             "assert z['big'].shape == (100, 1000) and (z['big'] == 3).all()\n");
  EXPECT_EQ(std::system((python + " " + (dir / "judge.py").string() + " " + (dir / "a.npz").string()).c_str()), 0);
}
TEST(Npz, LeavesWhatIsNoArrayAndSaysSo) {
  TempFolder dir;
  const std::string one = npy_header("U8", std::vector<std::int64_t>{1}) + "x";
  write_atomically(dir / "a.zip", [&](FileSink& sink) {
    ZipWriter zip(sink);
    zip.add("readme.txt", std::string_view("hello"));
    zip.add("b.npy.npy", std::string_view(one));
    zip.finish();
  });
  const auto s = open_source(dir / "a.zip");
  ASSERT_EQ(s->tensors.size(), 1u);
  EXPECT_EQ(s->tensors[0].name, "b.npy") << "one ending is numpy's, the rest is the name";
  ASSERT_EQ(s->warnings.size(), 1u);
  EXPECT_NE(s->warnings[0].find("\"readme.txt\" is no array"), std::string::npos);
}

TEST(Npy, SurvivesDamage) {
  TempFolder dir;
  damage::SweepCount all;
  for (const char* name : {"good_version_1.npy", "good_version_3.npy", "good_fortran.npy", "good_every.npz", "good_packed.npz"}) {
    const fs::path file = dir / "x";
    write_file(file, read_file(kGolden / name));
    const auto c = damage::sweep(file, file, 400, 1500);
    EXPECT_GT(c.refused, 100) << name;
    all.opened += c.opened, all.refused += c.refused;
  }
  std::printf("damaged npy and npz: %d refused, %d opened (numbers or unused bytes differ)\n", all.refused, all.opened);
}

TEST(Npy, ObjectsSurviveDamage) {
  TempFolder dir;
  for (const char* name : {"good_objects_dict.npy", "good_objects_python2.npy", "good_objects.npz", "good_objects_packed.npz"}) {
    const fs::path file = dir / "x";
    write_file(file, read_file(kGolden / name));
    const auto c = damage::sweep(file, file, 400, 1500);
    EXPECT_GT(c.refused, 100) << name;
    std::printf("%s damaged: %d refused, %d opened (numbers or names differ)\n", name, c.refused, c.opened);
  }
}

}  // namespace
}  // namespace graft
