// Tables of numbers and categories with a column to predict: CSV (RFC 4180), TSV (no quoting) and JSON lines. A row becomes a picture of 1
// x 1 with a band per number and per category, so that normalisation, loaders and models are those of pictures.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "engine/data/source.h"

namespace graft {

struct TableColumn {
  std::string name;
  std::vector<std::string> levels;  // of a category, sorted; empty: numbers
};
// What the training table says of all parts. The names of columns may come in another order in another part.
struct TableFormat {
  std::vector<TableColumn> columns;  // without the target
  std::string target;
  std::vector<std::string> classes;  // sorted; as numbers where all are numbers
  std::int64_t bands() const;
};
// Error(input) with file and line: a missing or surplus field, a missing value, a number that is not finite, free text (a column of more
// than 64 different words), more than 10,000 classes. Error(usage) where there is no column `target`, with the nearest name.
TableFormat table_format(const std::filesystem::path& path, const std::string& target);
// f32 [rows, bands, 1, 1]. A word that is not among the levels of its column is none of them: zeros. Error(input) as above, and for a class
// or a column that the format lacks.
LabelledImages read_table(const std::filesystem::path& path, const TableFormat& format);

}  // namespace graft
