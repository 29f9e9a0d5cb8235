// Tables: what is read is what was written, in all three forms; what cannot be read is named by file and line.
#include "engine/data/table.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/data/files.h"
#include "tests/temp_folder.h"

namespace graft {
namespace {
namespace fs = std::filesystem;

struct Folder : test::TempFolder {
  fs::path write(const std::string& name, const std::string& text) const {
    std::ofstream(path / name, std::ios::binary) << text;
    return path / name;
  }
};

TEST(Table, TheThreeFormsSayTheSame) {
  Folder f;
  const fs::path files[] = {
      f.write("a.csv",
              "\xef\xbb\xbfsize,\"colour, seen\",label\r\n1.5,red,10\r\n-2e3,\"dark \"\"blue\"\"\nat night\",9\r\n\r\n+7,red,10\r\n"),
      f.write("a.tsv", "size\tcolour, seen\tlabel\n1.5\tred\t10\n-2e3\tdark \"blue\"at night\t9\n+7\tred\t10"),
      f.write("a.jsonl",
              "{\"size\":1.5,\"colour, seen\":\"red\",\"label\":10}\n{\"size\":-2000,\"colour, seen\":\"dark \\\"blue\\\"\\nat "
              "night\",\"label\":9}\n\n"
              "{\"label\":10,\"size\":7,\"colour, seen\":\"red\"}\n")};
  for (const fs::path& p : files) {
    const TableFormat t = table_format(p, "label");
    ASSERT_EQ(t.columns.size(), 2u) << p;
    EXPECT_EQ(t.columns[0].name, "size");
    EXPECT_TRUE(t.columns[0].levels.empty());
    EXPECT_EQ(t.columns[1].levels.size(), 2u);
    EXPECT_EQ(t.classes, (std::vector<std::string>{"9", "10"})) << "numbers in their order";
    const LabelledImages rows = read_table(p, t);
    EXPECT_EQ(rows.labels, (std::vector<std::int64_t>{1, 0, 1}));
    EXPECT_EQ(rows.source->block().str(), "f32[3,3,1,1]");
    EXPECT_EQ(rows.source->block().values(), (std::vector<double>{1.5, 0, 1, -2000, 1, 0, 7, 0, 1})) << p;
  }
  // another part: columns in another order, a word that was not seen
  const TableFormat t = table_format(files[0], "label");
  EXPECT_EQ(read_table(f.write("b.csv", "label,size,\"colour, seen\"\n9,1,green\n"), t).source->block().values(),
            (std::vector<double>{1, 0, 0}));
}

TEST(Table, WhatIsWrongIsNamedByFileAndLine) {
  Folder f;
  const auto said = [&](const std::string& text, const std::string& name = "t.csv", const std::string& target = "y") -> std::string {
    try {
      const fs::path p = f.write(name, text);
      read_table(p, table_format(p, target));
    } catch (const Error& e) {
      const std::string s = e.what();
      EXPECT_EQ(s.find('\n'), std::string::npos) << s;
      return s.substr(s.find(name));
    }
    return "(accepted)";
  };
  EXPECT_EQ(said("x,y\n1,2\n3\n"), "t.csv:3: has 1 fields, the first line names 2");
  EXPECT_EQ(said("x,y\n1,a\n,b\n"), "t.csv:3: column 'x' is missing a value; fill it in or remove the row");
  EXPECT_EQ(said("x,y\n1,a\nNA,b\n"), "t.csv:3: column 'x' is missing a value; fill it in or remove the row");
  EXPECT_EQ(said("x,y\n1,a\nnan,b\n"), "t.csv:3: column 'x' holds 'nan'; a finite number is wanted");
  EXPECT_EQ(said("x,y\n1,a\n\"2,b\n"), "t.csv:3: a quoted field does not end");
  EXPECT_EQ(said("x,y\n1,a\n\"2\"b,b\n"), "t.csv:3: text follows a quoted field; separate fields, and double quotes within one");
  EXPECT_EQ(said("x,x\n1,a\n"), "t.csv: two columns are called 'x'; the first line names the columns");
  EXPECT_EQ(said("x,y\n"), "t.csv: has no rows; the first line names the columns, the others are the data");
  EXPECT_EQ(said(""), "t.csv: has no rows; the first line names the columns, the others are the data");
  EXPECT_EQ(said("y\n1\n"), "t.csv: has no column beside 'y' to predict it from");
  EXPECT_EQ(said("x,y\n1,a\n", "t.csv", "label"), "t.csv; there are x, y");
  EXPECT_EQ(said("{\"x\":1,\"y\":2}\n[1]\n", "t.jsonl"), "t.jsonl:2: is not a JSON object");
  EXPECT_EQ(said("{\"x\":1,\"y\":2}\n{\"x\":1}\n", "t.jsonl"), "t.jsonl:2: has no 'y', which the first line has");
  EXPECT_EQ(said("{\"x\":[1],\"y\":2}\n", "t.jsonl"), "t.jsonl:1: 'x' is not a number or a word; tables have one value per column");
  EXPECT_EQ(said(std::string("x,y\n1,\0\n", 8)), "t.csv: holds zero bytes and is no text");
  std::string words = "x,y\n";
  for (int i = 0; i < 65; ++i) words += "word" + std::to_string(i) + ",1\n";
  EXPECT_EQ(said(words), "t.csv: column 'x' holds text of more than 64 kinds; numbers and categories are read, so leave it out");
  const fs::path train = f.write("train.csv", "x,y\n1,a\n2,b\n");
  test::refused([&] { read_table(f.write("test.csv", "x,y\n1,c\n"), table_format(train, "y")); },
                {"test.csv:2: class 'c' does not occur in the training table"}, Code::input);
}

}  // namespace
}  // namespace graft
